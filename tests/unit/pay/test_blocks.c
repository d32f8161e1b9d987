/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A block and its certificates are one, whatever moment the rig is killed at. RR_KILLS: how often
 * at random moments. It was so that a kill between the block and the marks offered the certificates
 * again. */
#include "payer.h"
#include "reputation/reputation.h"
#include <signal.h>
#include <sys/wait.h>

#define DEPOSIT (1000 * (uint64_t)WORLD_PRICE)

static int set_up(void **state)
{
    struct world *world = world_new();
    *state = world;
    return 0;
}

static int tear_down(void **state)
{
    world_free(*state);
    return 0;
}

/* A pool of which 100 units are settled: room for many certificates. */
static void make_payer(struct world *world, int number)
{
    struct rr_hash32 pool = world_make_pool(world, number, DEPOSIT, 5000);
    struct rr_purse *purse = world_purse(world, number, &pool, 900);
    struct rr_session_request request = world_request(world, number, rr_purse_voucher(purse));
    struct rr_session_answer session;
    uint32_t submitted;
    world_ok(rr_till_open_session(world->till, &session, &request, &world->manifest, &fault));
    assert_int_equal(world_charge(world, &session, purse, 800, 1), RR_OK);
    world_ok(rr_till_settle(world->till, true, &submitted, &fault));
    world_mine(world, 1);
    world_ok(rr_till_settle(world->till, true, &submitted, &fault));
    rr_purse_free(purse);
}

static bool certify(struct world *world, int viewer, struct rr_certificate *out)
{
    uint64_t height = rr_proof_puzzle_height(&world->genesis, world_height(world));
    struct rr_certificate certificate = {.chain_id = rr_genesis_chain_id(&world->genesis),
                                         .cacher = world->rig_public,
                                         .viewer = world->viewer_public[viewer],
                                         .block_height = height};
    struct rr_hash32 hash;
    if (rr_chain_block_hash(world->chain, height, &certificate.block_hash, NULL) != RR_OK) {
        return false;
    }
    rr_certificate_work_hash(&hash, &certificate);
    for (certificate.nonce = 1; certificate.nonce < 1000; certificate.nonce++) {
        uint8_t mix[32] = {0};
        uint8_t final_be[32];
        world_work(world, hash.bytes, certificate.nonce, mix, final_be);
        if (rr_reputation_time_ms(final_be, world->genesis.certificate_hashes_per_s,
                                  world->genesis.puzzle_blocks, world->genesis.block_ms) > 0) {
            rr_certificate_sign(&certificate, world->viewers[viewer]);
            *out = certificate;
            return true;
        }
    }
    return false;
}

static void solve(struct world *world, struct rr_block_template *made,
                  const struct rr_certificate_set *sets, uint32_t count)
{
    uint8_t final_be[32];
    atomic_fetch_add(&world->now_ms, world->genesis.block_ms);
    world_ok(rr_chain_template(world->chain, made, &world->rig_public, sets, count, &fault));
    do {
        made->block.header.nonce++;
        world_work(world, made->work_hash, made->block.header.nonce, made->block.header.mix.bytes,
                   final_be);
    } while (!rr_rule_solves(final_be, made->block.header.difficulty));
}

/* Each certificate of the chain's kept sets is there once. Gives how many there are. */
static uint32_t count_once(struct world *world)
{
    static struct rr_certificate seen[4096];
    uint32_t total = 0;
    for (uint64_t h = 1; h <= world_height(world); h++) {
        struct rr_certificate_set *sets;
        uint32_t count;
        world_ok(rr_chain_sets(world->chain, h, &sets, &count, &fault));
        for (uint32_t s = 0; s < count; s++) {
            for (uint32_t i = 0; i < sets[s].count; i++) {
                const struct rr_certificate *one = &sets[s].entries[i].certificate;
                for (uint32_t k = 0; k < total; k++) {
                    if (seen[k].block_height == one->block_height &&
                        memcmp(&seen[k].viewer, &one->viewer, sizeof(one->viewer)) == 0) {
                        fail_msg("the certificate of block %llu is in two blocks, again in %llu",
                                 (unsigned long long)one->block_height, (unsigned long long)h);
                    }
                }
                assert_true(total < RR_COUNT(seen));
                seen[total++] = *one;
            }
        }
        rr_till_free_sets(sets, count);
    }
    return total;
}

static uint32_t waiting(struct world *world)
{
    struct rr_certificate_set *sets;
    uint32_t count;
    uint32_t total = 0;
    world_ok(rr_till_build_sets(world->till, &sets, &count, world_height(world) + 1, &fault));
    for (uint32_t s = 0; s < count; s++) {
        total += sets[s].count;
    }
    rr_till_free_sets(sets, count);
    return total;
}

static void add_one(struct world *world, int viewer)
{
    struct rr_certificate certificate;
    struct rr_till_taken taken;
    assert_true(certify(world, viewer, &certificate));
    world_ok(rr_till_add_certificates(world->till, &certificate, 1, &taken, &fault));
    assert_int_equal(taken.accepted, 1);
}

/* The three steps of rr_till_append, left off after each of them as a kill would. */
static void a_kill_between_block_and_marks_spends_the_certificate_once(void **state)
{
    struct world *world = *state;
    make_payer(world, 0);
    for (int steps = 0; steps <= 3; steps++) {
        world_mine(world, 2); /* the next puzzle */
        add_one(world, 0);
        assert_int_equal(waiting(world), 1);
        struct rr_block_template made = {0};
        struct rr_certificate_set *sets;
        uint32_t count;
        uint64_t height = world_height(world) + 1;
        world_ok(rr_till_build_sets(world->till, &sets, &count, height, &fault));
        solve(world, &made, sets, count);
        if (steps >= 1) {
            world_ok(rr_chain_keep_sets(world->chain, height, sets, count, &fault));
        }
        if (steps >= 2) {
            world_ok(rr_chain_append(world->chain, &made.block, &fault));
        }
        if (steps >= 3) {
            world_ok(rr_till_sets_mined(world->till, sets, count, height, &fault));
        }
        rr_till_free_sets(sets, count);
        rr_block_clear(&made.block);
        world_restart(world);
        assert_int_equal(waiting(world), steps < 2 ? 1 : 0);
        if (steps < 2) { /* goes into the next block instead */
            world_ok(rr_till_build_sets(world->till, &sets, &count, height, &fault));
            solve(world, &made, sets, count);
            world_ok(rr_till_append(world->till, &made.block, sets, count, &fault));
            rr_till_free_sets(sets, count);
            rr_block_clear(&made.block);
        }
        assert_int_equal(waiting(world), 0);
        assert_int_equal(count_once(world), (uint32_t)steps + 1);
    }
}

static void the_slower_of_two_blocks_leaves_the_sets_of_the_first(void **state)
{
    struct world *world = *state;
    make_payer(world, 0);
    world_mine(world, 2);
    add_one(world, 0);
    struct rr_block_template first = {0};
    struct rr_block_template second = {0};
    struct rr_certificate_set *sets;
    uint32_t count;
    world_ok(rr_till_build_sets(world->till, &sets, &count, world_height(world) + 1, &fault));
    solve(world, &first, sets, count);
    solve(world, &second, sets, count);
    world_ok(rr_till_append(world->till, &first.block, sets, count, &fault));
    world_refused(rr_till_append(world->till, &second.block, NULL, 0, &fault), RR_ERR_STATE);
    world_refused(rr_till_append(world->till, &second.block, sets, count, &fault), RR_ERR_STATE);
    assert_int_equal(count_once(world), 1);
    rr_till_free_sets(sets, count);
    rr_block_clear(&first.block);
    rr_block_clear(&second.block);
}

/* Mines as the daemon does, with a certificate of each viewer for each puzzle. */
static _Noreturn void child(struct world *world, int fd)
{
    world_open_chain(world);
    world_open_till(world);
    for (;;) {
        struct rr_certificate_set *sets;
        struct rr_block_template made = {0};
        uint32_t count;
        struct rr_fault fault = {0};
        for (int viewer = 0; viewer < 2; viewer++) {
            struct rr_certificate certificate;
            struct rr_till_taken taken;
            if (!certify(world, viewer, &certificate) ||
                rr_till_add_certificates(world->till, &certificate, 1, &taken, &fault) != RR_OK) {
                _exit(3);
            }
        }
        if (rr_till_build_sets(world->till, &sets, &count, world_height(world) + 1, &fault) !=
            RR_OK) {
            _exit(4);
        }
        solve(world, &made, sets, count);
        if (rr_till_append(world->till, &made.block, sets, count, &fault) != RR_OK) {
            _exit(5);
        }
        if (write(fd, "b", 1) != 1) {
            _exit(6);
        }
        rr_till_free_sets(sets, count);
        rr_block_clear(&made.block);
    }
}

static void kills_at_random_moments_spend_each_certificate_once(void **state)
{
    struct world *world = *state;
    const char *asked = getenv("RR_KILLS");
    long kills = asked != NULL ? strtol(asked, NULL, 10) : getenv("RR_SHORT") != NULL ? 5 : 25;
    struct rr_prng prng;
    uint32_t spent = 0;
    make_payer(world, 0);
    make_payer(world, 1);
    rr_till_close(world->till);
    rr_chain_close(world->chain);
    rr_prng_seed(&prng, 50);
    for (long i = 0; i < kills; i++) {
        int ends[2];
        char block;
        assert_int_equal(pipe(ends), 0);
        pid_t pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
            close(ends[0]);
            child(world, ends[1]);
        }
        close(ends[1]);
        for (uint64_t blocks = 1 + rr_prng_below(&prng, 3); blocks > 0; blocks--) {
            assert_int_equal(read(ends[0], &block, 1), 1); /* it gets there, however slow */
        }
        usleep((useconds_t)rr_prng_below(&prng, 15000)); /* somewhere in the next ones */
        assert_int_equal(kill(pid, SIGKILL), 0);
        close(ends[0]);
        int status = 0;
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFSIGNALED(status)); /* not one that left by itself */
        world_open_chain(world);
        world_open_till(world);
        struct rr_chain_tip tip;
        rr_chain_tip(world->chain, &tip);
        if (tip.time_ms > atomic_load(&world->now_ms)) {
            atomic_store(&world->now_ms, tip.time_ms); /* the child's clock went on */
        }
        spent = count_once(world);
        rr_till_close(world->till);
        rr_chain_close(world->chain);
    }
    world_open_chain(world);
    world_open_till(world);
    print_message("%ld kills, %u certificates in %llu blocks, none twice\n", kills, spent,
                  (unsigned long long)world_height(world));
    assert_true(spent > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        T(a_kill_between_block_and_marks_spends_the_certificate_once),
        T(the_slower_of_two_blocks_leaves_the_sets_of_the_first),
        T(kills_at_random_moments_spend_each_certificate_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

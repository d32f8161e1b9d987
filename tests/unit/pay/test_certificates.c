/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Certificates from the viewer's hand into a block. */
#include "payer.h"
#include "reputation/reputation.h"

#define DEPOSIT (1000 * (uint64_t)WORLD_PRICE)

static int set_up(void **state)
{
    *state = world_new();
    return 0;
}

static int tear_down(void **state)
{
    world_free(*state);
    return 0;
}

/* The best of many nonces, as a viewer would search. */
static uint64_t work(struct world *world, struct rr_certificate *certificate, uint64_t first,
                     uint64_t tries)
{
    struct rr_hash32 hash;
    uint64_t best_ms = 0;
    uint64_t best = first;
    rr_certificate_work_hash(&hash, certificate);
    for (uint64_t nonce = first; nonce < first + tries; nonce++) {
        uint8_t mix[32] = {0};
        uint8_t final_be[32];
        world_work(world, hash.bytes, nonce, mix, final_be);
        uint64_t ms = rr_reputation_time_ms(final_be, world->genesis.certificate_hashes_per_s,
                                            world->genesis.puzzle_blocks, world->genesis.block_ms);
        if (ms > best_ms) {
            best_ms = ms;
            best = nonce;
        }
    }
    certificate->nonce = best;
    return best_ms;
}

static struct rr_certificate certify(struct world *world, int viewer, uint64_t height,
                                     uint64_t *service_ms)
{
    struct rr_certificate certificate = {.chain_id = rr_genesis_chain_id(&world->genesis),
                                         .cacher = world->rig_public,
                                         .viewer = world->viewer_public[viewer],
                                         .block_height = height};
    world_ok(rr_chain_block_hash(world->chain, height, &certificate.block_hash, &fault));
    *service_ms = work(world, &certificate, 1, 64);
    assert_true(*service_ms > 0);
    rr_certificate_sign(&certificate, world->viewers[viewer]);
    return certificate;
}

static struct rr_till_taken last_taken;

/* Adds one that has to be refused, for this reason and no other. */
#define REFUSED(world, certificate, reason)                                                        \
    do {                                                                                           \
        assert_int_equal(add(world, certificate, 1), 0);                                           \
        assert_int_equal(last_taken.refused[reason], 1);                                           \
    } while (0)

static uint32_t add(struct world *world, const struct rr_certificate *certificates, uint32_t count)
{
    struct rr_till_taken taken = {.accepted = 99};
    uint32_t all = 0;
    world_ok(rr_till_add_certificates(world->till, certificates, count, &taken, &fault));
    for (size_t i = 0; i < RR_PROOF_REFUSAL_COUNT; i++) {
        all += taken.refused[i];
    }
    assert_int_equal(taken.accepted + all, count);
    last_taken = taken;
    return taken.accepted;
}

static uint64_t certificates_of(struct world *world)
{
    struct rr_till_stats stats;
    rr_till_stats(world->till, &stats);
    return stats.certificates;
}

struct viewer {
    struct rr_hash32 pool;
    struct rr_purse *purse;
    struct rr_session_answer session;
};

/* A pool with a session, `units` of it paid and settled. */
static struct viewer make_viewer(struct world *world, int number, uint32_t units)
{
    struct viewer viewer;
    uint32_t submitted;
    viewer.pool = world_make_pool(world, number, DEPOSIT, 500);
    viewer.purse = world_purse(world, number, &viewer.pool, 900);
    struct rr_session_request request =
        world_request(world, number, rr_purse_voucher(viewer.purse));
    world_ok(
        rr_till_open_session(world->till, &viewer.session, &request, &world->manifest, &fault));
    if (units > 0) {
        assert_int_equal(world_charge(world, &viewer.session, viewer.purse, units, 1), RR_OK);
        world_ok(rr_till_settle(world->till, true, &submitted, &fault));
        world_mine(world, 1);
        world_ok(rr_till_settle(world->till, true, &submitted, &fault));
    }
    return viewer;
}

static uint64_t latest_puzzle(struct world *world)
{
    return rr_proof_puzzle_height(&world->genesis, world_height(world));
}

static void a_certificate_goes_into_one_block_and_no_other(void **state)
{
    struct world *world = *state;
    struct viewer viewer = make_viewer(world, 0, 100);
    uint64_t ms;
    struct rr_certificate certificate = certify(world, 0, latest_puzzle(world), &ms);
    struct rr_certificate_set *sets = NULL;
    uint32_t count = 0;
    assert_int_equal(add(world, &certificate, 1), 1);
    assert_int_equal(add(world, &certificate, 1), 1); /* known: fine, not counted again */
    assert_int_equal(certificates_of(world), 1);
    world_restart(world);
    assert_int_equal(certificates_of(world), 1);
    world_ok(rr_till_build_sets(world->till, &sets, &count, world_height(world) + 1, &fault));
    assert_int_equal(count, 1);
    assert_int_equal(sets[0].count, 1);
    assert_int_equal(sets[0].entries[0].credit_ms, ms);
    assert_memory_equal(&sets[0].entries[0].pool_id, &viewer.pool, sizeof(viewer.pool));
    world_mine_sets(world, world->rig, sets, count);
    struct rr_chain_tip tip;
    rr_chain_tip(world->chain, &tip);
    assert_true(tip.r_q32 > 0);
    world_ok(rr_till_sets_mined(world->till, sets, count, tip.height, &fault));
    world_ok(rr_till_sets_mined(world->till, sets, count, tip.height, &fault)); /* twice is once */
    rr_till_free_sets(sets, count);
    world_ok(rr_till_build_sets(world->till, &sets, &count, tip.height + 1, &fault));
    assert_int_equal(count, 0);
    assert_null(sets);
    assert_int_equal(add(world, &certificate, 1), 1); /* spent: known */
    world_restart(world);
    world_ok(rr_till_build_sets(world->till, &sets, &count, tip.height + 1, &fault));
    assert_int_equal(count, 0);
    assert_int_equal(certificates_of(world), 1);
    rr_purse_free(viewer.purse);
}

static void what_is_wrong_is_not_accepted(void **state)
{
    struct world *world = *state;
    struct viewer viewer = make_viewer(world, 0, 100);
    world_mine(world, 4);
    uint64_t ms;
    struct rr_certificate good = certify(world, 0, latest_puzzle(world), &ms);
    struct rr_certificate bad = good;
    bad.signature.bytes[0] ^= 1;
    REFUSED(world, &bad, RR_PROOF_SIGNATURE);
    bad = good;
    bad.chain_id++;
    rr_certificate_sign(&bad, world->viewers[0]);
    REFUSED(world, &bad, RR_PROOF_CHAIN);
    bad = good;
    bad.cacher = world->viewer_public[3];
    rr_certificate_sign(&bad, world->viewers[0]);
    REFUSED(world, &bad, RR_PROOF_CACHER);
    bad = good;
    bad.block_hash.bytes[0] ^= 1;
    rr_certificate_sign(&bad, world->viewers[0]);
    REFUSED(world, &bad, RR_PROOF_BLOCK);
    bad = certify(world, 0, latest_puzzle(world) - 1, &ms); /* no puzzle of its own */
    REFUSED(world, &bad, RR_PROOF_HEIGHT);
    bad = good;
    bad.viewer = world->viewer_public[3]; /* no pool */
    rr_certificate_sign(&bad, world->viewers[3]);
    REFUSED(world, &bad, RR_PROOF_UNBOUND);
    bad = good; /* too little work */
    for (uint64_t nonce = 1; work(world, &bad, nonce, 1) > 0; nonce++) {
    }
    rr_certificate_sign(&bad, world->viewers[0]);
    REFUSED(world, &bad, RR_PROOF_WORK);
    assert_int_equal(certificates_of(world), 0);

    struct rr_certificate old = certify(world, 0, latest_puzzle(world), &ms);
    world_mine(world, (int)world->genesis.window_blocks + 2);
    REFUSED(world, &old, RR_PROOF_HEIGHT); /* out of the window */
    struct rr_certificate many[RR_CERTIFICATES_POST_MAX + 1] = {0};
    struct rr_till_taken accepted;
    world_refused(rr_till_add_certificates(world->till, many, RR_CERTIFICATES_POST_MAX + 1,
                                           &accepted, &fault),
                  RR_ERR_LIMIT);
    rr_purse_free(viewer.purse);
}

static void a_better_nonce_replaces_a_worse_one_until_it_is_spent(void **state)
{
    struct world *world = *state;
    struct viewer viewer = make_viewer(world, 0, 100);
    struct rr_certificate worse = {.chain_id = rr_genesis_chain_id(&world->genesis),
                                   .cacher = world->rig_public,
                                   .viewer = world->viewer_public[0],
                                   .block_height = latest_puzzle(world)};
    world_ok(rr_chain_block_hash(world->chain, worse.block_height, &worse.block_hash, &fault));
    struct rr_certificate better = worse;
    uint64_t worse_ms = 0;
    uint64_t better_ms = 0;
    for (uint64_t nonce = 1; worse_ms == 0 || worse_ms >= 4000; nonce++) {
        worse_ms = work(world, &worse, nonce, 1);
    }
    for (uint64_t nonce = 1; better_ms <= worse_ms; nonce++) {
        better_ms = work(world, &better, nonce, 1);
    }
    rr_certificate_sign(&worse, world->viewers[0]);
    rr_certificate_sign(&better, world->viewers[0]);
    assert_int_equal(add(world, &worse, 1), 1);
    assert_int_equal(add(world, &better, 1), 1);
    assert_int_equal(add(world, &worse, 1), 1);
    assert_int_equal(certificates_of(world), 1);
    struct rr_certificate_set *sets;
    uint32_t count;
    world_ok(rr_till_build_sets(world->till, &sets, &count, world_height(world) + 1, &fault));
    assert_int_equal(count, 1);
    assert_int_equal(sets[0].count, 1);
    assert_int_equal(sets[0].entries[0].credit_ms, better_ms);
    assert_int_equal(sets[0].entries[0].certificate.nonce, better.nonce);
    rr_till_free_sets(sets, count);
    rr_purse_free(viewer.purse);
}

static void credit_is_capped_by_what_each_pool_paid(void **state)
{
    struct world *world = *state;
    /* 1 unit settled: 10^6 / 1000 = 1000 ms of credit in all. */
    struct viewer poor = make_viewer(world, 0, 1);
    struct viewer unpaid = make_viewer(world, 1, 0);
    struct rr_certificate certificates[3];
    uint64_t ms[3];
    uint64_t last = latest_puzzle(world);
    certificates[0] = certify(world, 0, last, &ms[0]);
    certificates[1] = certify(world, 0, last - 2, &ms[1]);
    certificates[2] = certify(world, 1, last, &ms[2]);
    assert_true(ms[0] + ms[1] > 1000);
    assert_int_equal(add(world, certificates, 3), 3);
    struct rr_certificate_set *sets;
    uint32_t count;
    world_ok(rr_till_build_sets(world->till, &sets, &count, world_height(world) + 1, &fault));
    assert_int_equal(count, 1);
    assert_int_equal(rr_certificate_set_ms(&sets[0]), 1000);
    for (uint32_t i = 0; i < sets[0].count; i++) {
        assert_memory_equal(&sets[0].entries[i].certificate.viewer, &world->viewer_public[0], 32);
    }
    world_mine_sets(world, world->rig, sets, count);
    world_ok(rr_till_sets_mined(world->till, sets, count, world_height(world), &fault));
    rr_till_free_sets(sets, count);
    world_ok(rr_till_build_sets(world->till, &sets, &count, world_height(world) + 1, &fault));
    assert_int_equal(count, 0); /* used up, and the other viewer has settled nothing */
    /* Settling gives the rest its credit. */
    uint32_t submitted;
    assert_int_equal(world_charge(world, &unpaid.session, unpaid.purse, 50, 1), RR_OK);
    world_ok(rr_till_settle(world->till, true, &submitted, &fault));
    world_mine(world, 1);
    world_ok(rr_till_settle(world->till, true, &submitted, &fault));
    world_ok(rr_till_build_sets(world->till, &sets, &count, world_height(world) + 1, &fault));
    assert_int_equal(count, 1);
    assert_int_equal(sets[0].count, 1);
    assert_int_equal(sets[0].entries[0].credit_ms, ms[2]);
    rr_till_free_sets(sets, count);
    rr_purse_free(poor.purse);
    rr_purse_free(unpaid.purse);
}

static void without_work_to_verify_nothing_is_taken(void **state)
{
    struct world *world = *state;
    struct rr_certificate certificate = {.chain_id = 0};
    struct rr_till_taken accepted;
    rr_till_set_work(world->till, NULL, NULL);
    world_refused(rr_till_add_certificates(world->till, &certificate, 1, &accepted, &fault),
                  RR_ERR_STATE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        T(a_certificate_goes_into_one_block_and_no_other),
        T(what_is_wrong_is_not_accepted),
        T(a_better_nonce_replaces_a_worse_one_until_it_is_spent),
        T(credit_is_capped_by_what_each_pool_paid),
        T(without_work_to_verify_nothing_is_taken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

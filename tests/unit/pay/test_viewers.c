/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Puzzles as the till sees them: late certificates, and viewers whose work fails to come. The clock
 * is the test's. */
#include "payer.h"
#include "reputation/reputation.h"

#define DEPOSIT (2000 * (uint64_t)WORLD_PRICE)

struct viewer {
    struct rr_hash32 pool;
    struct rr_purse *purse;
    struct rr_session_answer session;
    uint32_t units;
};

static uint64_t virtual_us(void *ctx)
{
    struct world *world = ctx;
    return atomic_load(&world->now_ms) * 1000;
}

static void reopen(struct world *world, enum rr_till_withholding withholding)
{
    rr_till_close(world->till);
    world->options.withholding = withholding;
    world_open_till(world);
}

static int set_up(void **state)
{
    struct world *world = world_new();
    world->clock.monotonic_us = virtual_us;
    world->options.risk_limit = coins(DEPOSIT);
    world->options.settle_amount = coins(DEPOSIT);
    *state = world;
    return 0;
}

static int tear_down(void **state)
{
    world_free(*state);
    return 0;
}

static struct viewer make_viewer(struct world *world, int number)
{
    struct viewer viewer = {.units = 0};
    viewer.pool = world_make_pool(world, number, DEPOSIT, 1000);
    viewer.purse = world_purse(world, number, &viewer.pool, 1900);
    struct rr_session_request request =
        world_request(world, number, rr_purse_voucher(viewer.purse));
    world_ok(
        rr_till_open_session(world->till, &viewer.session, &request, &world->manifest, &fault));
    return viewer;
}

/* What a daemon does at each tip. */
static void look(struct world *world)
{
    uint32_t submitted;
    world_ok(rr_till_settle(world->till, false, &submitted, &fault));
}

static enum rr_err serve(struct world *world, struct viewer *viewer)
{
    viewer->units++;
    return world_charge(world, &viewer->session, viewer->purse, 1, viewer->units);
}

/* One puzzle watched from its first block to its end; the tip is then at the next one. */
static enum rr_err watch_puzzle(struct world *world, struct viewer *viewer)
{
    enum rr_err err = RR_OK;
    assert_int_equal(world_height(world) % world->genesis.puzzle_blocks, 0);
    for (uint32_t block = 0; block < world->genesis.puzzle_blocks && err == RR_OK; block++) {
        err = serve(world, viewer);
        atomic_fetch_add(&world->now_ms, world->genesis.block_ms - 100);
        err = err == RR_OK ? serve(world, viewer) : err;
        atomic_fetch_add(&world->now_ms, 100 - world->genesis.block_ms);
        world_mine(world, 1); /* moves the clock by a block's time */
        look(world);
    }
    return err;
}

static void go_to_puzzle(struct world *world)
{
    do {
        world_mine(world, 1);
        look(world);
    } while (world_height(world) % world->genesis.puzzle_blocks != 0);
}

static struct rr_certificate certify(struct world *world, int viewer, uint64_t height,
                                     uint64_t tries)
{
    struct rr_certificate certificate = {.chain_id = rr_genesis_chain_id(&world->genesis),
                                         .cacher = world->rig_public,
                                         .viewer = world->viewer_public[viewer],
                                         .block_height = height};
    struct rr_hash32 hash;
    uint8_t best[32];
    memset(best, 0xff, sizeof(best));
    world_ok(rr_chain_block_hash(world->chain, height, &certificate.block_hash, &fault));
    rr_certificate_work_hash(&hash, &certificate);
    for (uint64_t nonce = 1; nonce <= tries; nonce++) {
        uint8_t mix[32] = {0};
        uint8_t final_be[32];
        world_work(world, hash.bytes, nonce, mix, final_be);
        if (memcmp(final_be, best, 32) < 0) {
            memcpy(best, final_be, 32);
            certificate.nonce = nonce;
        }
    }
    rr_certificate_sign(&certificate, world->viewers[viewer]);
    return certificate;
}

static struct rr_till_taken add(struct world *world, const struct rr_certificate *certificate)
{
    struct rr_till_taken taken;
    world_ok(rr_till_add_certificates(world->till, certificate, 1, &taken, &fault));
    return taken;
}

static struct rr_till_stats stats_of(struct world *world)
{
    struct rr_till_stats stats;
    rr_till_stats(world->till, &stats);
    return stats;
}

static bool see_pool(void *ctx, const struct rr_till_pool *pool)
{
    *(struct rr_till_pool *)ctx = *pool;
    return true;
}

static struct rr_till_pool pool_of(struct world *world)
{
    struct rr_till_pool pool = {0};
    world_ok(rr_till_visit(world->till, see_pool, &pool, &fault));
    return pool;
}

static void a_certificate_may_come_one_puzzle_late_and_no_later(void **state)
{
    struct world *world = *state;
    struct viewer viewer = make_viewer(world, 0);
    go_to_puzzle(world);
    uint64_t first = world_height(world);
    assert_int_equal(watch_puzzle(world, &viewer), RR_OK);
    struct rr_certificate late = certify(world, 0, first, 64);
    assert_int_equal(watch_puzzle(world, &viewer), RR_OK);
    struct rr_certificate too_late = late;
    struct rr_certificate good = certify(world, 0, first + world->genesis.puzzle_blocks, 64);
    assert_int_equal(add(world, &good).accepted, 1);
    struct rr_till_taken taken = add(world, &too_late);
    assert_int_equal(taken.accepted, 0);
    assert_int_equal(taken.refused[RR_PROOF_LATE], 1);
    assert_int_equal(stats_of(world).certificates_refused[RR_PROOF_LATE], 1);
    assert_int_equal(stats_of(world).certificates, 1);
    rr_purse_free(viewer.purse);
}

/* Few hashes are asked for, so that some certificates are below the ledger's floor. */
static void a_viewer_that_works_is_never_reported(void **state)
{
    struct world *world = *state;
    struct viewer viewer = make_viewer(world, 0);
    go_to_puzzle(world);
    uint32_t poor = 0;
    for (int i = 0; i < 30; i++) {
        uint64_t height = world_height(world);
        assert_int_equal(watch_puzzle(world, &viewer), RR_OK);
        struct rr_certificate certificate = certify(world, 0, height, 16);
        poor += add(world, &certificate).refused[RR_PROOF_WORK];
    }
    struct rr_till_pool pool = pool_of(world);
    print_message("30 puzzles, %u certificates below the floor: %.1f of the work shown\n", poor,
                  pool.service.share);
    assert_true(pool.service.puzzles >= 28);
    assert_int_equal(pool.service.missing, 0); /* poor ones are no missing ones */
    assert_false(pool.service.withheld);
    assert_int_equal(stats_of(world).withheld, 0);
    rr_purse_free(viewer.purse);
}

static void a_silent_viewer_is_reported_once_and_served_on(void **state)
{
    struct world *world = *state;
    struct viewer viewer = make_viewer(world, 0);
    reopen(world, RR_WITHHOLDING_REPORT);
    go_to_puzzle(world);
    for (int i = 0; i < 4; i++) { /* the fourth is still in its grace */
        assert_int_equal(stats_of(world).withheld, 0);
        assert_int_equal(watch_puzzle(world, &viewer), RR_OK);
    }
    assert_int_equal(stats_of(world).withheld, 1);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(watch_puzzle(world, &viewer), RR_OK);
    }
    struct rr_till_pool pool = pool_of(world);
    assert_true(pool.service.withheld && !pool.dropped);
    assert_int_equal(pool.service.missing, pool.service.puzzles);
    assert_int_equal(stats_of(world).withheld, 1);
    assert_int_equal(stats_of(world).dropped_viewers, 0);
    rr_purse_free(viewer.purse);
}

static void a_silent_viewer_is_dropped_for_a_window_where_the_config_says_so(void **state)
{
    struct world *world = *state;
    struct viewer viewer = make_viewer(world, 0);
    struct viewer other = make_viewer(world, 1);
    reopen(world, RR_WITHHOLDING_DROP);
    go_to_puzzle(world);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(watch_puzzle(world, &viewer), RR_OK);
    }
    assert_int_equal(stats_of(world).withheld, 1);
    assert_int_equal(stats_of(world).dropped_viewers, 1);
    assert_true(pool_of(world).dropped || !pool_of(world).service.withheld);
    assert_int_equal(watch_puzzle(world, &viewer), RR_ERR_STATE);
    assert_int_equal(serve(world, &other), RR_OK);
    struct rr_session_request request = world_request(world, 0, rr_purse_voucher(viewer.purse));
    struct rr_session_answer answer;
    world_refused(rr_till_open_session(world->till, &answer, &request, &world->manifest, &fault),
                  RR_ERR_TRUST);
    /* What it paid is settled all the same. */
    uint32_t submitted = 0;
    world_ok(rr_till_settle(world->till, true, &submitted, &fault));
    world_mine(world, (int)world->genesis.window_blocks);
    look(world);
    assert_int_equal(stats_of(world).settled_units, stats_of(world).paid_units);
    assert_int_equal(stats_of(world).dropped_viewers, 0);
    world_ok(rr_till_open_session(world->till, &answer, &request, &world->manifest, &fault));
    assert_int_equal(pool_of(world).service.puzzles, 0); /* a clean sheet */
    rr_purse_free(viewer.purse);
    rr_purse_free(other.purse);
}

static void where_it_is_off_nobody_is_looked_at(void **state)
{
    struct world *world = *state;
    struct viewer viewer = make_viewer(world, 0);
    reopen(world, RR_WITHHOLDING_OFF);
    go_to_puzzle(world);
    for (int i = 0; i < 8; i++) {
        assert_int_equal(watch_puzzle(world, &viewer), RR_OK);
    }
    assert_int_equal(stats_of(world).withheld, 0);
    assert_int_equal(pool_of(world).service.puzzles, 0);
    rr_purse_free(viewer.purse);
}

/* A look at a resource for less than a quarter of a puzzle could not be credited, so it is not
 * asked for. */
static void short_visits_owe_nothing(void **state)
{
    struct world *world = *state;
    struct viewer viewer = make_viewer(world, 0);
    go_to_puzzle(world);
    for (int i = 0; i < 10; i++) {
        assert_int_equal(serve(world, &viewer), RR_OK);
        atomic_fetch_add(&world->now_ms, 900);
        assert_int_equal(serve(world, &viewer), RR_OK);
        go_to_puzzle(world);
    }
    assert_int_equal(pool_of(world).service.puzzles, 0);
    assert_int_equal(stats_of(world).withheld, 0);
    rr_purse_free(viewer.purse);
}

static void what_is_below_the_fee_is_held_back_and_shown(void **state)
{
    struct world *world = *state;
    world->manifest.slice_price = coins(10);
    struct viewer viewer = {.pool = world_make_pool(world, 0, 1000, 1000)};
    viewer.purse = world_purse(world, 0, &viewer.pool, 90);
    struct rr_session_request request = world_request(world, 0, rr_purse_voucher(viewer.purse));
    world_ok(
        rr_till_open_session(world->till, &viewer.session, &request, &world->manifest, &fault));
    assert_int_equal(serve(world, &viewer), RR_OK);
    uint32_t submitted = 9;
    world_ok(rr_till_settle(world->till, true, &submitted, &fault));
    assert_int_equal(submitted, 0);
    assert_int_equal(stats_of(world).held_pools, 1);
    assert_int_equal(rr_coin_units(stats_of(world).held), 10);
    rr_purse_free(viewer.purse);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        T(a_certificate_may_come_one_puzzle_late_and_no_later),
        T(a_viewer_that_works_is_never_reported),
        T(a_silent_viewer_is_reported_once_and_served_on),
        T(a_silent_viewer_is_dropped_for_a_window_where_the_config_says_so),
        T(where_it_is_off_nobody_is_looked_at),
        T(short_visits_owe_nothing),
        T(what_is_below_the_fee_is_held_back_and_shown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

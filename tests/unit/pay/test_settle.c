/* SPDX-License-Identifier: GPL-2.0-or-later */
/* From the book onto the chain: when, how much, and what a restart in between does. */
#include "payer.h"

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

static struct rr_till_stats stats_of(struct world *world)
{
    struct rr_till_stats stats;
    rr_till_stats(world->till, &stats);
    return stats;
}

static uint32_t settle(struct world *world, bool all)
{
    uint32_t submitted = 99;
    world_ok(rr_till_settle(world->till, all, &submitted, &fault));
    return submitted;
}

struct payer {
    struct rr_hash32 pool;
    struct rr_purse *purse;
    struct rr_session_answer session;
};

static struct payer open_payer(struct world *world, int viewer, uint32_t blocks)
{
    struct payer payer;
    payer.pool = world_make_pool(world, viewer, DEPOSIT, blocks);
    payer.purse = world_purse(world, viewer, &payer.pool, 900);
    struct rr_session_request request = world_request(world, viewer, rr_purse_voucher(payer.purse));
    world_ok(rr_till_open_session(world->till, &payer.session, &request, &world->manifest, &fault));
    return payer;
}

static void paid_units_are_settled_units_at_the_end_and_the_rig_has_the_coins(void **state)
{
    struct world *world = *state;
    struct rr_address rig;
    struct rr_account before;
    struct rr_account after;
    rr_address_of(&rig, &world->rig_public);
    struct payer payers[3];
    for (int i = 0; i < 3; i++) {
        payers[i] = open_payer(world, i, 200);
        for (uint64_t key = 0; key < 20; key++) {
            assert_int_equal(
                world_charge(world, &payers[i].session, payers[i].purse, (uint32_t)i + 1, key),
                RR_OK);
        }
    }
    assert_int_equal(stats_of(world).paid_units, 20 * (1 + 2 + 3));
    assert_int_equal(settle(world, false), 0); /* neither much, nor old, nor late */
    world_ok(rr_chain_account(world->chain, &rig, &before, &fault));
    assert_int_equal(settle(world, true), 3);
    assert_int_equal(settle(world, true), 0); /* on their way already */
    world_restart(world);
    assert_int_equal(settle(world, true), 3); /* handed in again, the same ones */
    struct rr_chain_tip tip;
    rr_chain_tip(world->chain, &tip);
    assert_int_equal(tip.mempool, 3);
    world_mine_sets(world, world->viewers[3], NULL, 0);
    assert_int_equal(settle(world, true), 0);
    struct rr_till_stats stats = stats_of(world);
    assert_int_equal(stats.settled_units, 120);
    assert_int_equal(stats.paid_units, 120);
    assert_int_equal(rr_coin_compare(stats.paid, stats.settled), 0);
    world_ok(rr_chain_account(world->chain, &rig, &after, &fault));
    struct rr_coin gained;
    assert_true(rr_coin_sub(&gained, after.balance, before.balance));
    assert_true(rr_coin_units(gained) < 120 * (uint64_t)WORLD_PRICE); /* fees came out of it */
    assert_true(rr_coin_units(gained) > 100 * (uint64_t)WORLD_PRICE);
    world_restart(world);
    assert_int_equal(stats_of(world).settled_units, 120);

    /* The same vouchers go on after a settlement. */
    assert_int_equal(world_charge(world, &payers[1].session, payers[1].purse, 5, 500), RR_OK);
    assert_int_equal(settle(world, true), 1);
    world_mine(world, 1);
    assert_int_equal(settle(world, true), 0);
    assert_int_equal(stats_of(world).settled_units, 125);
    assert_int_equal(stats_of(world).paid_units, 125);
    for (int i = 0; i < 3; i++) {
        rr_purse_free(payers[i].purse);
    }
}

static void settlement_comes_by_amount_and_by_age(void **state)
{
    struct world *world = *state;
    struct payer payer = open_payer(world, 0, 200);
    assert_int_equal(world_charge(world, &payer.session, payer.purse, 499, 1), RR_OK);
    assert_int_equal(settle(world, false), 0);
    assert_int_equal(world_charge(world, &payer.session, payer.purse, 1, 2), RR_OK);
    assert_int_equal(settle(world, false), 1);
    world_mine(world, 1);
    assert_int_equal(settle(world, false), 0);
    assert_int_equal(stats_of(world).settled_units, 500);

    assert_int_equal(world_charge(world, &payer.session, payer.purse, 3, 3), RR_OK);
    assert_int_equal(settle(world, false), 0);
    atomic_fetch_add(&world->now_ms, 59000);
    assert_int_equal(settle(world, false), 0);
    atomic_fetch_add(&world->now_ms, 1000);
    assert_int_equal(settle(world, false), 1);
    world_mine(world, 1);
    assert_int_equal(settle(world, false), 0);
    assert_int_equal(stats_of(world).settled_units, 503);
    rr_purse_free(payer.purse);
}

static void a_stolen_account_sequence_only_delays(void **state)
{
    struct world *world = *state;
    struct payer payer = open_payer(world, 0, 200);
    assert_int_equal(world_charge(world, &payer.session, payer.purse, 30, 1), RR_OK);
    assert_int_equal(settle(world, true), 1);
    /* The settlement gets lost with the chain's waiting list, and another transaction takes its
     * sequence. */
    struct rr_block blocks[16];
    uint64_t height = world_height(world);
    assert_true(height <= RR_COUNT(blocks));
    for (uint64_t i = 0; i < height; i++) {
        world_ok(rr_chain_block(world->chain, i + 1, &blocks[i], &fault));
    }
    rr_till_close(world->till);
    rr_chain_close(world->chain);
    assert_int_equal(rr_remove_tree(world->chain_folder, NULL), RR_OK);
    world_open_chain(world);
    for (uint64_t i = 0; i < height; i++) {
        world_ok(rr_chain_append(world->chain, &blocks[i], &fault));
        rr_block_clear(&blocks[i]);
    }
    struct rr_tx thief = {.type = RR_TX_TRANSFER};
    thief.body.transfer.amount = coins(5);
    rr_address_of(&thief.body.transfer.to, &world->viewer_public[3]);
    world_ok(world_submit(world, &thief, world->rig, &fault));
    world_mine(world, 1);

    world_open_till(world);
    assert_int_equal(settle(world, true), 1); /* made anew */
    world_mine(world, 1);
    assert_int_equal(settle(world, true), 0);
    assert_int_equal(stats_of(world).settled_units, 30);
    assert_int_equal(stats_of(world).paid_units, 30);
    rr_purse_free(payer.purse);
}

static void what_costs_more_than_it_brings_is_left(void **state)
{
    struct world *world = *state;
    world->manifest.slice_price = coins(1);
    struct payer payer = open_payer(world, 0, 200);
    assert_int_equal(world_charge(world, &payer.session, payer.purse, 1, 1), RR_OK);
    assert_int_equal(settle(world, true), 0);
    assert_int_equal(stats_of(world).paid_units, 1);
    assert_int_equal(stats_of(world).settled_units, 0);
    rr_purse_free(payer.purse);
}

static void a_released_pool_stays_in_the_sums(void **state)
{
    struct world *world = *state;
    struct payer payer = open_payer(world, 0, 12);
    assert_int_equal(world_charge(world, &payer.session, payer.purse, 40, 1), RR_OK);
    assert_int_equal(settle(world, true), 1);
    world_mine(world, 22); /* in a block, and past end and hold, without a look in between */
    struct rr_tx release = {.type = RR_TX_RELEASE_POOL};
    release.body.release_pool.pool_id = payer.pool;
    world_ok(world_submit(world, &release, world->viewers[0], &fault));
    world_mine(world, 1);
    struct rr_pool_state gone;
    assert_int_equal(rr_chain_pool(world->chain, &payer.pool, &gone, NULL), RR_ERR_NOTFOUND);
    assert_int_equal(settle(world, false), 0);
    assert_int_equal(stats_of(world).settled_units, 40);
    world_restart(world);
    world_restart(world); /* the first one took its session out of the tables */
    struct rr_till_stats stats = stats_of(world);
    assert_int_equal(stats.sessions, 1);
    assert_int_equal(stats.paid_units, 40);
    assert_int_equal(stats.settled_units, 40);
    assert_int_equal(world_charge(world, &payer.session, payer.purse, 0, 1), RR_ERR_NOTFOUND);
    rr_purse_free(payer.purse);
}

static void a_block_taken_back_takes_its_settlement_back(void **state)
{
    struct world *world = *state;
    struct payer payer = open_payer(world, 0, 200);
    assert_int_equal(world_charge(world, &payer.session, payer.purse, 50, 1), RR_OK);
    assert_int_equal(settle(world, true), 1);
    world_mine(world, 1);
    settle(world, true);
    assert_int_equal(stats_of(world).settled_units, 50);
    world_ok(rr_chain_undo_tip(world->chain, &fault));
    world_mine_sets(world, world->viewers[3], NULL,
                    0); /* the settlement waits again and comes in */
    world_mine(world, 1);
    assert_int_equal(world_charge(world, &payer.session, payer.purse, 1, 2), RR_OK);
    settle(world, true);
    world_mine(world, 1);
    settle(world, true);
    assert_int_equal(stats_of(world).settled_units, 51);
    assert_int_equal(stats_of(world).paid_units, 51);
    rr_purse_free(payer.purse);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        T(paid_units_are_settled_units_at_the_end_and_the_rig_has_the_coins),
        T(settlement_comes_by_amount_and_by_age),
        T(a_stolen_account_sequence_only_delays),
        T(what_costs_more_than_it_brings_is_left),
        T(a_released_pool_stays_in_the_sums),
        T(a_block_taken_back_takes_its_settlement_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Waiting transactions: taking in, replacing, dropping, coming back. */
#include "ledger_txs.h"

#include "ledger/ledger_chain.h"

static void what_is_known_already_is_welcome(void **state)
{
    (void)state;
    struct world w;
    world_rich(&w);
    struct rr_tx tx = world_transfer(&w, 1, 2, COIN);
    world_accept(&w, &tx);
    world_accept(&w, &tx);
    assert_int_equal(world_waiting(&w), 1);
    world_mine(&w, 0);
    world_accept(&w, &tx); /* in a block */
    assert_int_equal(world_waiting(&w), 0);
    world_clear(&w);
}

static void sequences_follow_those_that_wait(void **state)
{
    (void)state;
    struct world w;
    world_rich(&w);
    for (uint64_t i = 1; i <= 5; i++) {
        struct rr_tx tx = world_transfer(&w, 1, 2, i);
        assert_int_equal(tx.sequence, i);
        world_accept(&w, &tx);
    }
    uint64_t next;
    assert_int_equal(rr_chain_next_sequence(w.chain, &w.pub[1], &next, NULL), RR_OK);
    assert_int_equal(next, 6);
    struct rr_tx gap = world_transfer(&w, 1, 2, 1);
    gap.sequence = 8;
    rr_tx_sign(&gap, w.keys[1]);
    world_refuse(&w, &gap, RR_ERR_STATE, "next one is 6");
    world_mine(&w, 0);
    assert_int_equal(world_waiting(&w), 0);
    world_clear(&w);
}

static void funds_count_what_waits(void **state)
{
    (void)state;
    struct world w;
    world_rich(&w);
    uint64_t half = world_balance(&w, 1) / 2;
    struct rr_tx tx = world_transfer(&w, 1, 7, half);
    world_accept(&w, &tx);
    tx = world_transfer(&w, 1, 7, half);
    world_refuse(&w, &tx, RR_ERR_FUNDS, "the account has");
    tx = world_transfer(&w, 7, 6, half / 2); /* coins that wait may be spent by a later one */
    world_accept(&w, &tx);
    world_mine(&w, 0);
    world_mine(&w, 0);
    assert_int_equal(world_balance(&w, 6), half / 2);
    world_clear(&w);
}

static void replacing_takes_ten_percent_more(void **state)
{
    (void)state;
    struct world w;
    world_rich(&w);
    struct rr_tx first = world_transfer(&w, 1, 2, COIN);
    struct rr_tx later;
    struct rr_tx better = world_transfer(&w, 1, 3, 2 * COIN);
    uint64_t fee = rr_coin_units(first.fee);
    world_accept(&w, &first);
    later = world_transfer(&w, 1, 2, 3 * COIN);
    world_accept(&w, &later);
    better.fee = units(fee * 11 / 10 - 1);
    rr_tx_sign(&better, w.keys[1]);
    world_refuse(&w, &better, RR_ERR_LIMIT, "10 %");
    better.fee = units(fee * 11 / 10);
    better.body.transfer.amount = units(5000 * COIN);
    rr_tx_sign(&better, w.keys[1]);
    world_refuse(&w, &better, RR_ERR_FUNDS, "the account has"); /* the old one stays */
    better.body.transfer.amount = units(2 * COIN);
    rr_tx_sign(&better, w.keys[1]);
    struct rr_tx forged = better;
    forged.signature.bytes[3] ^= 1;
    world_refuse(&w, &forged, RR_ERR_TRUST, "signature");
    world_accept(&w, &better);
    assert_int_equal(world_waiting(&w), 2);
    world_reopen(&w);
    assert_int_equal(world_waiting(&w), 2);
    uint64_t three = world_balance(&w, 3);
    world_mine(&w, 0);
    assert_int_equal(world_balance(&w, 3), three + 2 * COIN);
    assert_int_equal(world_waiting(&w), 0);
    world_audit(&w);
    world_clear(&w);
}

static void an_account_has_at_most_256_waiting(void **state)
{
    (void)state;
    struct world w;
    world_rich(&w);
    for (int i = 0; i < 256; i++) {
        struct rr_tx tx = world_transfer(&w, 1, 2, 1);
        world_accept(&w, &tx);
    }
    struct rr_tx tx = world_transfer(&w, 1, 2, 1);
    world_refuse(&w, &tx, RR_ERR_LIMIT, "at most 256");
    tx = world_transfer(&w, 2, 1, 1);
    world_accept(&w, &tx);
    world_mine(&w, 0);
    assert_int_equal(world_waiting(&w), 0);
    world_clear(&w);
}

/* Fee as a multiple of the least, so that sizes do not matter. */
static struct rr_tx paying(struct world *world, int from, uint64_t times)
{
    struct rr_tx tx = world_transfer(world, from, 5, COIN);
    tx.fee = units(rr_coin_units(tx.fee) * times);
    rr_tx_sign(&tx, world->keys[from]);
    return tx;
}

static void when_full_the_cheapest_last_one_gives_way_to_a_better_one(void **state)
{
    (void)state;
    struct world w;
    world_rich(&w);
    w.chain->mempool.most = 4;
    struct rr_tx cheap = paying(&w, 1, 2); /* cheapest of all, but another follows it */
    world_accept(&w, &cheap);
    struct rr_tx follows = paying(&w, 1, 6);
    world_accept(&w, &follows);
    struct rr_tx gives_way = paying(&w, 2, 3);
    world_accept(&w, &gives_way);
    struct rr_tx stays = paying(&w, 3, 5);
    world_accept(&w, &stays);
    struct rr_tx tx = paying(&w, 4, 3);
    world_refuse(&w, &tx, RR_ERR_LIMIT, "4 transactions wait already");
    tx = paying(&w, 4, 4);
    struct rr_tx forged = tx;
    forged.signature.bytes[9] ^= 1;
    world_refuse(&w, &forged, RR_ERR_TRUST, "signature");
    world_accept(&w, &tx);
    assert_int_equal(world_waiting(&w), 4);
    world_reopen(&w);
    assert_int_equal(world_waiting(&w), 4);
    world_mine(&w, 0);
    struct rr_hash32 id;
    uint64_t height;
    rr_tx_id(&id, &gives_way);
    assert_int_equal(rr_chain_tx_height(w.chain, &id, &height, NULL), RR_ERR_NOTFOUND);
    rr_tx_id(&id, &tx);
    assert_int_equal(rr_chain_tx_height(w.chain, &id, &height, NULL), RR_OK);
    rr_tx_id(&id, &cheap);
    assert_int_equal(rr_chain_tx_height(w.chain, &id, &height, NULL), RR_OK);
    world_audit(&w);
    world_clear(&w);
}

static void what_a_block_makes_impossible_no_longer_waits(void **state)
{
    (void)state;
    struct world w;
    world_rich(&w);
    struct rr_tx a = world_transfer(&w, 1, 2, COIN);
    struct rr_tx b = world_transfer(&w, 1, 3, COIN);
    b.body.transfer.amount = units(7);
    b.fee = units(rr_coin_units(a.fee) * 2);
    rr_tx_sign(&b, w.keys[1]);
    w.now_ms += 2000;
    struct rr_block block;
    world_accept(&w, &b);
    world_template(&w, &block, 0); /* a block that holds b, made by another */
    assert_int_equal(rr_chain_undo_tip(w.chain, NULL), RR_OK);
    world_mine(&w, 4); /* our own tip, b in it */
    rr_block_clear(&block);
    struct rr_tx stale = world_transfer(&w, 2, 3, 5);
    stale.valid_until_height = world_height(&w) + 1;
    rr_tx_sign(&stale, w.keys[2]);
    world_template(&w, &block, 0); /* empty: the stale one misses its block */
    world_accept(&w, &stale);
    struct rr_tx after = world_transfer(&w, 2, 3, 6);
    world_accept(&w, &after);
    assert_int_equal(world_waiting(&w), 2);
    assert_int_equal(world_append(&w, &block), RR_OK);
    rr_block_clear(&block);
    assert_int_equal(world_waiting(&w), 0); /* `after` follows a sequence that is gone */
    world_reopen(&w);
    assert_int_equal(world_waiting(&w), 0);
    world_clear(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_known_already_is_welcome),
        cmocka_unit_test(sequences_follow_those_that_wait),
        cmocka_unit_test(funds_count_what_waits),
        cmocka_unit_test(replacing_takes_ten_percent_more),
        cmocka_unit_test(an_account_has_at_most_256_waiting),
        cmocka_unit_test(when_full_the_cheapest_last_one_gives_way_to_a_better_one),
        cmocka_unit_test(what_a_block_makes_impossible_no_longer_waits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

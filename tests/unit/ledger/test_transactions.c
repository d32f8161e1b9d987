/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What each transaction does and what it is refused for. The cases of Theta's ledger tests that
 * concern these types are here in our terms; those marked "Theta" are defects read in its source,
 * as negative tests. */
#include "ledger_txs.h"

/* ---- transfers -------------------------------------------------------------- */
static void a_transfer_moves_coins_and_its_fee_goes_to_the_miner(void **state)
{
    (void)state;
    struct world w;
    world_rich(&w);
    uint64_t one = world_balance(&w, 1);
    uint64_t two = world_balance(&w, 2);
    struct rr_tx tx = world_transfer(&w, 1, 2, 7 * COIN);
    uint64_t fee = rr_coin_units(tx.fee);
    world_accept(&w, &tx);
    world_mine(&w, 5);
    assert_int_equal(world_balance(&w, 1), one - 7 * COIN - fee);
    assert_int_equal(world_balance(&w, 2), two + 7 * COIN);
    assert_int_equal(world_balance(&w, 5), 50 * COIN + fee);
    world_audit(&w);
    world_clear(&w);
}

static void a_transfer_to_oneself_costs_the_fee_only(void **state)
{
    (void)state;
    struct world w;
    world_rich(&w);
    uint64_t one = world_balance(&w, 1);
    struct rr_tx tx = world_transfer(&w, 1, 1, 100 * COIN);
    world_accept(&w, &tx);
    world_mine(&w, 0);
    assert_int_equal(world_balance(&w, 1), one - rr_coin_units(tx.fee));
    world_audit(&w);
    world_clear(&w);
}

static void transfers_are_refused_for_each_thing_that_is_wrong(void **state)
{
    (void)state;
    struct world w;
    world_rich(&w);
    struct rr_hash32 root = world_root(&w);
    struct rr_tx tx = world_transfer(&w, 1, 2, 0);
    world_refuse(&w, &tx, RR_ERR_LIMIT, "0 coins");
    tx = world_transfer(&w, 1, 2, world_balance(&w, 1));
    world_refuse(&w, &tx, RR_ERR_FUNDS, "the account has");
    tx = world_transfer(&w, 7, 2, 1); /* an account never seen */
    world_refuse(&w, &tx, RR_ERR_FUNDS, "the account has 0 coins");
    tx = world_transfer(&w, 1, 2, RR_COIN_MAX_UNITS); /* amount and fee pass the cap */
    world_refuse(&w, &tx, RR_ERR_FUNDS, "the account has");
    tx = world_transfer(&w, 1, 2, COIN);
    tx.sequence++;
    rr_tx_sign(&tx, w.keys[1]);
    world_refuse(&w, &tx, RR_ERR_STATE, "sequence");
    tx.sequence -= 2;
    rr_tx_sign(&tx, w.keys[1]);
    world_refuse(&w, &tx, RR_ERR_STATE, "sequence");
    tx = world_transfer(&w, 1, 2, COIN);
    tx.fee = units(rr_coin_units(tx.fee) - 1);
    rr_tx_sign(&tx, w.keys[1]);
    world_refuse(&w, &tx, RR_ERR_LIMIT, "the least for this transaction");
    tx = world_transfer(&w, 1, 2, COIN);
    tx.chain_id++;
    rr_tx_sign(&tx, w.keys[1]);
    world_refuse(&w, &tx, RR_ERR_TRUST, "chain");
    tx = world_transfer(&w, 1, 2, COIN);
    tx.body.transfer.amount = units(2 * COIN); /* changed after signing */
    world_refuse(&w, &tx, RR_ERR_TRUST, "signature");
    tx = world_transfer(&w, 1, 2, COIN);
    memset(&tx.signature, 0, sizeof tx.signature); /* unsigned */
    world_refuse(&w, &tx, RR_ERR_TRUST, "signature");
    tx = world_transfer(&w, 1, 2, COIN);
    tx.sender = w.pub[2]; /* signed by another */
    tx.sequence = 1;
    world_refuse(&w, &tx, RR_ERR_TRUST, "signature");
    tx = world_transfer(&w, 1, 2, COIN);
    tx.valid_until_height = world_height(&w);
    rr_tx_sign(&tx, w.keys[1]);
    world_refuse(&w, &tx, RR_ERR_STATE, "valid until");
    assert_int_equal(world_waiting(&w), 0);
    world_mine(&w, 6);
    assert_false(rr_hash32_equal(&root, &(struct rr_hash32){0}));
    world_audit(&w);
    world_clear(&w);
}

static void a_signature_with_the_other_s_does_not_hold(void **state)
{
    (void)state;
    struct world w;
    world_rich(&w);
    /* Order of secp256k1: s -> n - s made a second valid ECDSA signature; BIP-340 has one. */
    static const uint8_t order[32] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
                                      0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfe,
                                      0xba, 0xae, 0xdc, 0xe6, 0xaf, 0x48, 0xa0, 0x3b,
                                      0xbf, 0xd2, 0x5e, 0x8c, 0xd0, 0x36, 0x41, 0x41};
    struct rr_tx tx = world_transfer(&w, 1, 2, COIN);
    struct rr_u256 s =
        rr_u256_sub(rr_u256_from_be(order), rr_u256_from_be(tx.signature.bytes + 32), NULL);
    rr_u256_to_be(tx.signature.bytes + 32, s);
    world_refuse(&w, &tx, RR_ERR_TRUST, "signature");
    world_clear(&w);
}

static void valid_until_counts_the_block_itself(void **state)
{
    (void)state;
    struct world w;
    world_rich(&w);
    struct rr_tx tx = world_transfer(&w, 1, 2, COIN);
    tx.valid_until_height = world_height(&w) + 1;
    rr_tx_sign(&tx, w.keys[1]);
    world_accept(&w, &tx);
    world_mine(&w, 0);
    uint64_t height;
    struct rr_hash32 id;
    rr_tx_id(&id, &tx);
    assert_int_equal(rr_chain_tx_height(w.chain, &id, &height, NULL), RR_OK);
    assert_int_equal(height, tx.valid_until_height);
    world_clear(&w);
}

/* ---- pools ------------------------------------------------------------------ */
static void a_pool_locks_deposit_and_collateral(void **state)
{
    (void)state;
    struct world w;
    world_rich(&w);
    uint64_t one = world_balance(&w, 1);
    struct rr_tx tx = world_create_pool(&w, 1, 100 * COIN, 100 * COIN + 1, 0, 3);
    world_accept(&w, &tx);
    world_mine(&w, 0);
    struct rr_hash32 id;
    struct rr_pool_state pool;
    rr_tx_id(&id, &tx);
    assert_int_equal(rr_chain_pool(w.chain, &id, &pool, NULL), RR_OK);
    assert_int_equal(rr_coin_units(pool.deposit_left), 100 * COIN);
    assert_int_equal(rr_coin_units(pool.collateral), 100 * COIN + 1);
    assert_int_equal(pool.end_height, pool.created_height + 3);
    assert_int_equal(pool.created_height, world_height(&w));
    assert_int_equal(world_balance(&w, 1), one - 200 * COIN - 1 - rr_coin_units(tx.fee));
    world_audit(&w);
    world_clear(&w);
}

static void pools_are_refused_for_each_thing_that_is_wrong(void **state)
{
    (void)state;
    struct world w;
    world_rich(&w);
    struct rr_tx tx = world_create_pool(&w, 1, 0, COIN, 0, 10);
    world_refuse(&w, &tx, RR_ERR_LIMIT, "deposit is 0");
    tx = world_create_pool(&w, 1, COIN, COIN, 0, 10); /* [THETA-PAT 0108]: strictly more */
    world_refuse(&w, &tx, RR_ERR_LIMIT, "collateral");
    tx = world_create_pool(&w, 1, COIN, COIN - 1, 0, 10);
    world_refuse(&w, &tx, RR_ERR_LIMIT, "collateral");
    tx = world_create_pool(&w, 1, COIN, 5 * COIN, COIN / 2,
                           10); /* 10 L = collateral: strictly more */
    world_refuse(&w, &tx, RR_ERR_LIMIT, "10 times the cap");
    tx = world_create_pool(&w, 1, COIN, 5 * COIN, RR_COIN_MAX_UNITS, 10); /* 10 L overflows */
    world_refuse(&w, &tx, RR_ERR_LIMIT, "10 times the cap");
    tx = world_create_pool(&w, 1, COIN, 2 * COIN, 0, 2);
    world_refuse(&w, &tx, RR_ERR_LIMIT, "lasts 2 blocks");
    tx = world_create_pool(&w, 1, COIN, 2 * COIN, 0, 1001);
    world_refuse(&w, &tx, RR_ERR_LIMIT, "lasts 1001 blocks");
    tx = world_create_pool(&w, 1, 600 * COIN, 601 * COIN, 0, 10);
    world_refuse(&w, &tx, RR_ERR_FUNDS, "the account has");
    tx = world_create_pool(&w, 1, RR_COIN_MAX_UNITS - 1, RR_COIN_MAX_UNITS, 0,
                           10); /* sum passes the cap */
    world_refuse(&w, &tx, RR_ERR_LIMIT, "cap of all coins");
    assert_int_equal(world_waiting(&w), 0);
    tx = world_create_pool(&w, 1, COIN, 5 * COIN + 1, COIN / 2, 10);
    world_accept(&w, &tx);
    world_clear(&w);
}

static void a_pool_is_refilled_by_its_owner_before_the_end_only(void **state)
{
    (void)state;
    struct world w;
    world_rich(&w);
    struct rr_hash32 id = world_pool(&w, 1, 10 * COIN, 30 * COIN, 0, 4);
    struct rr_tx tx = world_tx(&w, RR_TX_REFILL_POOL, 1);
    tx.body.refill_pool.pool_id = id;
    tx.body.refill_pool.amount = units(20 * COIN); /* deposit would equal the collateral */
    world_sign(&w, &tx, 1);
    world_refuse(&w, &tx, RR_ERR_LIMIT, "collateral");
    tx.body.refill_pool.amount = units(0);
    world_sign(&w, &tx, 1);
    world_refuse(&w, &tx, RR_ERR_LIMIT, "refill of 0");
    tx.body.refill_pool.amount = units(5 * COIN);
    tx.body.refill_pool.pool_id.bytes[0] ^= 1;
    world_sign(&w, &tx, 1);
    world_refuse(&w, &tx, RR_ERR_STATE, "no pool");
    struct rr_tx foreign = world_tx(&w, RR_TX_REFILL_POOL, 2);
    foreign.body.refill_pool.pool_id = id;
    foreign.body.refill_pool.amount = units(COIN);
    world_sign(&w, &foreign, 2);
    world_refuse(&w, &foreign, RR_ERR_TRUST, "another key");
    tx.body.refill_pool.pool_id = id;
    world_sign(&w, &tx, 1);
    world_accept(&w, &tx);
    world_mine(&w, 0);
    struct rr_pool_state pool;
    assert_int_equal(rr_chain_pool(w.chain, &id, &pool, NULL), RR_OK);
    assert_int_equal(rr_coin_units(pool.deposit), 15 * COIN);
    assert_int_equal(rr_coin_units(pool.deposit_left), 15 * COIN);
    while (world_height(&w) + 1 < pool.end_height) {
        world_mine(&w, 0);
    }
    tx = world_tx(&w, RR_TX_REFILL_POOL, 1);
    tx.body.refill_pool.pool_id = id;
    tx.body.refill_pool.amount = units(COIN);
    world_sign(&w, &tx, 1);
    world_refuse(&w, &tx, RR_ERR_STATE, "the pool ends at");
    world_audit(&w);
    world_clear(&w);
}

/* ---- settlements ------------------------------------------------------------ */
static void settlements_pay_what_is_new_and_take_their_fee_from_it(void **state)
{
    (void)state;
    struct world w;
    world_rich(&w);
    struct rr_hash32 id = world_pool(&w, 1, 10 * COIN, 20 * COIN, 0, 50);
    /* Two to Bob (key 6: an empty account can settle), one to Carol. */
    struct rr_voucher bob = world_voucher(&w, &id, 1, 6, 2 * COIN, 1);
    struct rr_voucher carol = world_voucher(&w, &id, 1, 7, 3 * COIN, 1);
    struct rr_tx first = world_settle(&w, &bob, 6);
    struct rr_tx third = world_settle(&w, &carol, 7);
    uint64_t fee = rr_coin_units(first.fee);
    world_accept(&w, &first);
    world_accept(&w, &third);
    world_mine(&w, 5);
    assert_int_equal(world_balance(&w, 6), 2 * COIN - fee);
    assert_int_equal(world_balance(&w, 7), 3 * COIN - fee);
    assert_int_equal(world_balance(&w, 5), 50 * COIN + 2 * fee);
    bob = world_voucher(&w, &id, 1, 6, 4 * COIN, 2); /* cumulative: 2 more */
    struct rr_tx second = world_settle(&w, &bob, 6);
    world_accept(&w, &second);
    world_mine(&w, 0);
    assert_int_equal(world_balance(&w, 6), 4 * COIN - 2 * fee);
    struct rr_pool_target target;
    struct rr_pool_state pool;
    assert_int_equal(rr_chain_pool_target(w.chain, &id, &w.address[6], &target, NULL), RR_OK);
    assert_int_equal(rr_coin_units(target.settled), 4 * COIN);
    assert_int_equal(target.seq, 2);
    assert_int_equal(rr_chain_pool(w.chain, &id, &pool, NULL), RR_OK);
    assert_int_equal(rr_coin_units(pool.deposit_left), 3 * COIN);
    world_audit(&w);
    world_clear(&w);
}

static void settlements_are_refused_for_each_thing_that_is_wrong(void **state)
{
    (void)state;
    struct world w;
    world_rich(&w);
    struct rr_hash32 id = world_pool(&w, 1, 10 * COIN, 20 * COIN, 0, 50);
    struct rr_hash32 other = world_pool(&w, 2, 10 * COIN, 20 * COIN, 0, 50);
    struct rr_voucher good = world_voucher(&w, &id, 1, 6, 4 * COIN, 5);
    struct rr_tx tx = world_settle(&w, &good, 6);
    world_accept(&w, &tx);
    world_mine(&w, 0);

    world_refuse(&w, &(struct rr_tx){.type = RR_TX_TRANSFER}, RR_ERR_TRUST, "chain");
    tx = world_settle(&w, &good, 6); /* replay of the same sequence */
    world_refuse(&w, &tx, RR_ERR_STATE, "nothing to pay");
    struct rr_voucher v = world_voucher(&w, &id, 1, 6, 3 * COIN, 6); /* lower cumulative */
    tx = world_settle(&w, &v, 6);
    world_refuse(&w, &tx, RR_ERR_STATE, "nothing to pay");
    v = world_voucher(&w, &id, 1, 6, 5 * COIN, 4); /* older sequence, higher value */
    tx = world_settle(&w, &v, 6);
    world_refuse(&w, &tx, RR_ERR_STATE, "sequence");
    v = world_voucher(&w, &id, 1, 6, 5 * COIN, 6);
    tx = world_settle(&w, &v, 7); /* sent by another than its target */
    world_refuse(&w, &tx, RR_ERR_TRUST, "another target");
    v = world_voucher(&w, &id, 2, 6, 5 * COIN, 6); /* signed by another than the owner */
    tx = world_settle(&w, &v, 6);
    world_refuse(&w, &tx, RR_ERR_TRUST, "pool's owner");
    v = world_voucher(&w, &id, 1, 6, 5 * COIN, 6);
    v.pool_id = other; /* a voucher of one pool on another */
    tx = world_settle(&w, &v, 6);
    world_refuse(&w, &tx, RR_ERR_TRUST, "pool's owner");
    v = world_voucher(&w, &id, 1, 6, 5 * COIN, 6);
    v.chain_id ^= 1; /* another chain, signed for it */
    world_sign_voucher(&w, &v, 1);
    tx = world_settle(&w, &v, 6);
    world_refuse(&w, &tx, RR_ERR_TRUST, "voucher is signed for chain");
    v = world_voucher(&w, &id, 1, 6, 5 * COIN, 6);
    v.expiry_height = world_height(&w);
    world_sign_voucher(&w, &v, 1);
    tx = world_settle(&w, &v, 6);
    world_refuse(&w, &tx, RR_ERR_STATE, "good until");
    v = world_voucher(&w, &id, 1, 1, 5 * COIN, 6); /* Theta: source and target differ */
    tx = world_settle(&w, &v, 1);
    world_refuse(&w, &tx, RR_ERR_STATE, "towards itself");
    v = world_voucher(&w, &id, 1, 6, 4 * COIN + 10, 6); /* less than the fee is due */
    tx = world_settle(&w, &v, 6);
    world_refuse(&w, &tx, RR_ERR_FUNDS, "is more than");
    memset(v.pool_id.bytes, 9, 32);
    tx = world_settle(&w, &v, 6);
    world_refuse(&w, &tx, RR_ERR_STATE, "no pool");
    assert_int_equal(world_waiting(&w), 0);
    world_audit(&w);
    world_clear(&w);
}

static void an_underfunded_settlement_pays_what_is_left_and_the_next_takes_no_fee(void **state)
{
    (void)state;
    struct world w;
    world_rich(&w);
    struct rr_hash32 id = world_pool(&w, 1, 10 * COIN, 20 * COIN, 0, 50);
    struct rr_voucher bob = world_voucher(&w, &id, 1, 6, 8 * COIN, 1);
    struct rr_voucher carol = world_voucher(&w, &id, 1, 7, 8 * COIN, 1);
    struct rr_voucher dave = world_voucher(&w, &id, 1, 5, 8 * COIN, 1);
    struct rr_tx tx = world_settle(&w, &bob, 6);
    world_accept(&w, &tx);
    world_mine(&w, 0);
    tx = world_settle(&w, &carol, 7);
    world_accept(&w, &tx);
    world_mine(&w, 0);
    assert_int_equal(world_balance(&w, 7), 2 * COIN - rr_coin_units(tx.fee));
    struct rr_pool_target target;
    assert_int_equal(rr_chain_pool_target(w.chain, &id, &w.address[7], &target, NULL), RR_OK);
    assert_int_equal(rr_coin_units(target.settled), 2 * COIN);
    /* Theta paid nothing, said OK and charged the fee to the victim. */
    tx = world_settle(&w, &dave, 5);
    world_refuse(&w, &tx, RR_ERR_FUNDS, "used up");
    assert_int_equal(world_balance(&w, 5), 0);
    /* After a refill the same voucher brings the rest. */
    struct rr_tx refill = world_tx(&w, RR_TX_REFILL_POOL, 1);
    refill.body.refill_pool.pool_id = id;
    refill.body.refill_pool.amount = units(9 * COIN);
    world_sign(&w, &refill, 1);
    world_accept(&w, &refill);
    world_mine(&w, 0);
    tx = world_settle(&w, &carol, 7);
    world_accept(&w, &tx);
    world_mine(&w, 0);
    assert_int_equal(world_balance(&w, 7), 8 * COIN - 2 * rr_coin_units(tx.fee));
    world_audit(&w);
    world_clear(&w);
}

static void the_fee_of_a_settlement_is_never_more_than_what_the_pool_still_pays(void **state)
{
    (void)state;
    struct world w;
    world_rich(&w);
    struct rr_hash32 id = world_pool(&w, 1, 10 * COIN, 20 * COIN, 0, 50);
    struct rr_voucher bob = world_voucher(&w, &id, 1, 6, 10 * COIN - 5, 1);
    struct rr_voucher carol = world_voucher(&w, &id, 1, 7, 8 * COIN, 1);
    struct rr_tx tx = world_settle(&w, &bob, 6);
    world_accept(&w, &tx);
    world_mine(&w, 0);
    tx = world_settle(&w, &carol, 7);
    world_accept(&w, &tx);
    world_mine(&w, 5);
    assert_int_equal(world_balance(&w, 7), 0);
    assert_int_equal(world_balance(&w, 5), 50 * COIN + 5);
    world_audit(&w);
    world_clear(&w);
}

static void paywords_settle_as_deep_as_their_preimage_shows_and_again_as_they_grow(void **state)
{
    (void)state;
    struct world w;
    world_rich(&w);
    struct rr_hash32 id = world_pool(&w, 1, 10 * COIN, 20 * COIN, 0, 50);
    struct rr_hash32 words[11];
    memset(words[10].bytes, 0x77, 32);
    for (int i = 10; i > 0; i--) {
        rr_payword_step(&words[i - 1], &words[i]);
    }
    struct rr_voucher v = world_voucher(&w, &id, 1, 6, COIN, 1);
    v.payword_root = words[0];
    v.unit_price = units(COIN / 10);
    v.max_units = 8;
    world_sign_voucher(&w, &v, 1);
    struct rr_tx tx = world_tx(&w, RR_TX_SETTLE, 6);
    tx.body.settle.voucher = v;
    tx.body.settle.depth = 4;
    tx.body.settle.preimage = words[3]; /* one short */
    world_sign(&w, &tx, 6);
    world_refuse(&w, &tx, RR_ERR_TRUST, "preimage");
    tx.body.settle.depth = 9; /* deeper than the owner allowed */
    tx.body.settle.preimage = words[9];
    tx.fee = units(0);
    world_sign(&w, &tx, 6);
    world_refuse(&w, &tx, RR_ERR_TRUST, "allows 8");
    tx.body.settle.depth = 4;
    tx.body.settle.preimage = words[4];
    world_sign(&w, &tx, 6);
    world_accept(&w, &tx);
    world_mine(&w, 0);
    struct rr_pool_target target;
    assert_int_equal(rr_chain_pool_target(w.chain, &id, &w.address[6], &target, NULL), RR_OK);
    assert_int_equal(rr_coin_units(target.settled), COIN + 4 * (COIN / 10));
    tx = world_tx(&w, RR_TX_SETTLE, 6); /* same voucher, same sequence, four units more */
    tx.body.settle.voucher = v;
    tx.body.settle.depth = 8;
    tx.body.settle.preimage = words[8];
    world_sign(&w, &tx, 6);
    world_accept(&w, &tx);
    world_mine(&w, 0);
    assert_int_equal(rr_chain_pool_target(w.chain, &id, &w.address[6], &target, NULL), RR_OK);
    assert_int_equal(rr_coin_units(target.settled), COIN + 8 * (COIN / 10));
    world_audit(&w);
    world_clear(&w);
}

static void a_cap_bounds_what_one_target_gets(void **state)
{
    (void)state;
    struct world w;
    world_rich(&w);
    struct rr_hash32 id = world_pool(&w, 1, 10 * COIN, 41 * COIN, 4 * COIN, 50);
    struct rr_voucher v = world_voucher(&w, &id, 1, 6, 9 * COIN, 1);
    struct rr_tx tx = world_settle(&w, &v, 6);
    world_accept(&w, &tx);
    world_mine(&w, 0);
    assert_int_equal(world_balance(&w, 6), 4 * COIN - rr_coin_units(tx.fee));
    v = world_voucher(&w, &id, 1, 6, 10 * COIN, 2);
    tx = world_settle(&w, &v, 6);
    world_refuse(&w, &tx, RR_ERR_STATE, "nothing to pay");
    world_audit(&w);
    world_clear(&w);
}

static void settlement_ends_where_release_begins(void **state)
{
    (void)state;
    struct world w;
    world_rich(&w);
    struct rr_hash32 id = world_pool(&w, 1, 10 * COIN, 20 * COIN, 0, 3);
    struct rr_pool_state pool;
    assert_int_equal(rr_chain_pool(w.chain, &id, &pool, NULL), RR_OK);
    uint64_t last = pool.end_height + 2 * w.genesis.checkpoint_blocks;
    struct rr_voucher v = world_voucher(&w, &id, 1, 6, 2 * COIN, 1);
    struct rr_tx settle = world_settle(&w, &v, 6);
    struct rr_tx foreign = world_release(&w, &id, 2);
    while (world_height(&w) + 1 < last) {
        struct rr_tx early = world_release(&w, &id, 1);
        world_refuse(&w, &early, RR_ERR_STATE, "released after");
        world_mine(&w, 0);
    }
    struct rr_tx release = world_release(&w, &id, 1);
    world_refuse(&w, &release, RR_ERR_STATE,
                 "released after"); /* for block `last`: still settlements */
    world_accept(&w, &settle);
    world_mine(&w, 0);
    assert_int_equal(world_height(&w), last);
    v = world_voucher(&w, &id, 1, 6, 3 * COIN, 2);
    settle = world_settle(&w, &v, 6);
    world_refuse(&w, &settle, RR_ERR_STATE, "took settlements until");
    world_refuse(&w, &foreign, RR_ERR_TRUST, "another key");
    uint64_t one = world_balance(&w, 1);
    world_accept(&w, &release);
    world_mine(&w, 0);
    assert_int_equal(world_balance(&w, 1), one + 28 * COIN - rr_coin_units(release.fee));
    assert_int_equal(rr_chain_pool(w.chain, &id, &pool, NULL), RR_ERR_NOTFOUND);
    struct rr_pool_target target;
    assert_int_equal(rr_chain_pool_target(w.chain, &id, &w.address[6], &target, NULL), RR_OK);
    assert_true(rr_coin_is_zero(
        target.settled)); /* Theta: accounts grew without bound; here the list goes */
    release = world_release(&w, &id, 1); /* a second release */
    world_refuse(&w, &release, RR_ERR_STATE, "no pool");
    world_audit(&w);
    world_clear(&w);
}

static void of_three_pools_only_the_due_one_goes(void **state)
{
    (void)state;
    struct world w;
    world_rich(&w);
    struct rr_hash32 a = world_pool(&w, 1, COIN, 2 * COIN, 0, 3);
    struct rr_hash32 b = world_pool(&w, 1, COIN, 2 * COIN, 0, 30);
    struct rr_hash32 c = world_pool(&w, 1, COIN, 2 * COIN, 0, 60);
    world_mine_many(&w, 0, 3 + 2 * w.genesis.checkpoint_blocks);
    struct rr_tx tx = world_release(&w, &b, 1);
    world_refuse(&w, &tx, RR_ERR_STATE, "released after");
    tx = world_release(&w, &a, 1);
    world_accept(&w, &tx);
    world_mine(&w, 0);
    struct rr_pool_state pool;
    assert_int_equal(rr_chain_pool(w.chain, &a, &pool, NULL), RR_ERR_NOTFOUND);
    assert_int_equal(rr_chain_pool(w.chain, &b, &pool, NULL), RR_OK);
    assert_int_equal(rr_chain_pool(w.chain, &c, &pool, NULL), RR_OK);
    world_audit(&w);
    world_clear(&w);
}

static void an_owner_who_locked_everything_can_still_release(void **state)
{
    (void)state;
    struct world w;
    world_rich(&w);
    struct rr_tx tx = world_create_pool(&w, 1, COIN, 2 * COIN, 0, 3);
    uint64_t rest = world_balance(&w, 1) - rr_coin_units(tx.fee);
    struct rr_hash32 id = world_pool(&w, 1, rest / 2 - 10, rest - (rest / 2 - 10), 0, 3);
    assert_int_equal(world_balance(&w, 1), 0);
    world_mine_many(&w, 0, 4 + 2 * w.genesis.checkpoint_blocks);
    tx = world_release(&w, &id, 1);
    world_accept(&w, &tx);
    world_mine(&w, 0);
    assert_int_equal(world_balance(&w, 1), rest - rr_coin_units(tx.fee));
    world_clear(&w);
}

/* ---- contracts -------------------------------------------------------------- */
static void a_contract_is_claimed_attested_and_paid(void **state)
{
    (void)state;
    struct world w;
    world_rich(&w);
    uint64_t two = world_balance(&w, 2);
    struct rr_tx open = world_open_contract(&w, 1, 2, 3, 5 * COIN, 40);
    struct rr_hash32 id;
    rr_tx_id(&id, &open);
    world_accept(&w, &open);
    world_mine(&w, 0);
    struct rr_tx claim = world_claim(&w, &id, 3);
    world_refuse(&w, &claim, RR_ERR_TRUST, "another provider");
    struct rr_tx attest = world_attest(&w, &id, 3, 1, 3, 0);
    world_refuse(&w, &attest, RR_ERR_STATE, "is open");
    claim = world_claim(&w, &id, 2);
    world_accept(&w, &claim);
    world_mine(&w, 0);
    uint64_t claimed = world_height(&w);
    claim = world_claim(&w, &id, 2); /* once */
    world_refuse(&w, &claim, RR_ERR_STATE, "is claimed");
    attest = world_attest(&w, &id, 3, claimed, 3, 0); /* the beacon must come after the claim */
    world_refuse(&w, &attest, RR_ERR_STATE, "beacon");
    attest = world_attest(&w, &id, 3, claimed + 1, 3, 0); /* nobody knows that block yet */
    world_refuse(&w, &attest, RR_ERR_STATE, "beacon");
    world_mine(&w, 0);
    attest = world_attest(&w, &id, 2, claimed + 1, 3, 0);
    world_refuse(&w, &attest, RR_ERR_TRUST, "another verifier");
    attest = world_attest(&w, &id, 3, claimed + 1, 2, 0); /* fewer checks than asked */
    world_refuse(&w, &attest, RR_ERR_LIMIT, "asks for 3");
    attest = world_attest(&w, &id, 3, claimed + 1, 3, 4);
    world_refuse(&w, &attest, RR_ERR_LIMIT, "failed 4");
    attest = world_attest(&w, &id, 3, claimed + 1, 3, 0);
    world_accept(&w, &attest);
    world_mine(&w, 0);
    struct rr_contract_state contract;
    assert_int_equal(rr_chain_contract(w.chain, &id, &contract, NULL), RR_OK);
    assert_int_equal(contract.status, RR_CONTRACT_PAID);
    assert_int_equal(world_balance(&w, 2), two + 5 * COIN - rr_coin_units(claim.fee));
    attest = world_attest(&w, &id, 3, claimed + 1, 3, 3); /* once */
    world_refuse(&w, &attest, RR_ERR_STATE, "is paid");
    world_mine_many(&w, 0, 40); /* its expiry height changes nothing more */
    assert_int_equal(rr_chain_contract(w.chain, &id, &contract, NULL), RR_OK);
    assert_int_equal(contract.status, RR_CONTRACT_PAID);
    world_audit(&w);
    world_clear(&w);
}

static void a_failed_attestation_gives_the_price_back(void **state)
{
    (void)state;
    struct world w;
    world_rich(&w);
    struct rr_tx open = world_open_contract(&w, 1, 1, 1, 5 * COIN, 40); /* one key in all roles */
    struct rr_hash32 id;
    rr_tx_id(&id, &open);
    uint64_t one = world_balance(&w, 1);
    world_accept(&w, &open);
    world_mine(&w, 0);
    struct rr_tx claim = world_claim(&w, &id, 1);
    world_accept(&w, &claim);
    world_mine_many(&w, 0, 2);
    struct rr_tx attest =
        world_attest(&w, &id, 1, world_height(&w), 1, 1); /* stopped at the first failure */
    world_accept(&w, &attest);
    struct rr_block block;
    w.now_ms += 2000;
    world_template(&w, &block, 0);
    assert_false(rr_hash32_is_zero(&block.header.attest_root));
    assert_int_equal(world_append(&w, &block), RR_OK);
    rr_block_clear(&block);
    struct rr_contract_state contract;
    assert_int_equal(rr_chain_contract(w.chain, &id, &contract, NULL), RR_OK);
    assert_int_equal(contract.status, RR_CONTRACT_REFUSED);
    assert_int_equal(world_balance(&w, 1), one - rr_coin_units(open.fee) -
                                               rr_coin_units(claim.fee) -
                                               rr_coin_units(attest.fee));
    world_audit(&w);
    world_clear(&w);
}

static void contracts_expire_in_the_block_of_their_expiry_height(void **state)
{
    (void)state;
    struct world w;
    world_rich(&w);
    uint64_t one = world_balance(&w, 1);
    struct rr_hash32 ids[3];
    uint64_t fees = 0;
    for (int i = 0; i < 3; i++) { /* three with one expiry height: they hang on one list */
        struct rr_tx open = world_open_contract(&w, 1, 2, 3, COIN, 6);
        rr_tx_id(&ids[i], &open);
        fees += rr_coin_units(open.fee);
        world_accept(&w, &open);
    }
    world_mine(&w, 0);
    uint64_t expiry = world_height(&w) + 6;
    struct rr_tx claim = world_claim(&w, &ids[1], 2);
    world_accept(&w, &claim);
    while (world_height(&w) + 1 < expiry) {
        world_mine(&w, 0);
    }
    assert_int_equal(world_balance(&w, 1), one - 3 * COIN - fees);
    struct rr_tx late = world_claim(&w, &ids[0], 2);
    world_refuse(&w, &late, RR_ERR_STATE, "is expired");
    world_mine(&w, 0);
    assert_int_equal(world_height(&w), expiry);
    assert_int_equal(world_balance(&w, 1), one - fees);
    for (int i = 0; i < 3; i++) {
        struct rr_contract_state contract;
        assert_int_equal(rr_chain_contract(w.chain, &ids[i], &contract, NULL), RR_OK);
        assert_int_equal(contract.status, RR_CONTRACT_EXPIRED);
    }
    world_audit(&w);
    world_clear(&w);
}

static void contracts_are_refused_for_each_thing_that_is_wrong(void **state)
{
    (void)state;
    struct world w;
    world_rich(&w);
    struct rr_tx tx = world_open_contract(&w, 1, 2, 3, COIN, 0);
    world_refuse(&w, &tx, RR_ERR_LIMIT, "lasts 0 blocks");
    tx = world_open_contract(&w, 1, 2, 3, COIN, (1u << 20) + 1);
    world_refuse(&w, &tx, RR_ERR_LIMIT, "blocks");
    tx = world_open_contract(&w, 1, 2, 3, 5000 * COIN, 10);
    world_refuse(&w, &tx, RR_ERR_FUNDS, "the account has");
    struct rr_hash32 none = {{1}};
    tx = world_claim(&w, &none, 2);
    world_refuse(&w, &tx, RR_ERR_STATE, "no contract");
    tx = world_attest(&w, &none, 2, 1, 1, 0);
    world_refuse(&w, &tx, RR_ERR_STATE, "no contract");
    world_clear(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_transfer_moves_coins_and_its_fee_goes_to_the_miner),
        cmocka_unit_test(a_transfer_to_oneself_costs_the_fee_only),
        cmocka_unit_test(transfers_are_refused_for_each_thing_that_is_wrong),
        cmocka_unit_test(a_signature_with_the_other_s_does_not_hold),
        cmocka_unit_test(valid_until_counts_the_block_itself),
        cmocka_unit_test(a_pool_locks_deposit_and_collateral),
        cmocka_unit_test(pools_are_refused_for_each_thing_that_is_wrong),
        cmocka_unit_test(a_pool_is_refilled_by_its_owner_before_the_end_only),
        cmocka_unit_test(settlements_pay_what_is_new_and_take_their_fee_from_it),
        cmocka_unit_test(settlements_are_refused_for_each_thing_that_is_wrong),
        cmocka_unit_test(an_underfunded_settlement_pays_what_is_left_and_the_next_takes_no_fee),
        cmocka_unit_test(the_fee_of_a_settlement_is_never_more_than_what_the_pool_still_pays),
        cmocka_unit_test(paywords_settle_as_deep_as_their_preimage_shows_and_again_as_they_grow),
        cmocka_unit_test(a_cap_bounds_what_one_target_gets),
        cmocka_unit_test(settlement_ends_where_release_begins),
        cmocka_unit_test(of_three_pools_only_the_due_one_goes),
        cmocka_unit_test(an_owner_who_locked_everything_can_still_release),
        cmocka_unit_test(a_contract_is_claimed_attested_and_paid),
        cmocka_unit_test(a_failed_attestation_gives_the_price_back),
        cmocka_unit_test(contracts_expire_in_the_block_of_their_expiry_height),
        cmocka_unit_test(contracts_are_refused_for_each_thing_that_is_wrong),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

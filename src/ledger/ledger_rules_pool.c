/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Micropayment pools on the chain (spec 60, 1-2). Pure. */
#include "ledger/ledger_rules.h"

#include <string.h>

RR_COUNTER(ledger_underfunded, "reelrig_ledger_underfunded_settlements_total",
           "Settlements in blocks that found less in their pool than the voucher says")

/* [THETA-PAT 0108] collateral > deposit; with a cap per target also > 10 caps: a tracker admits a
 * pool to one group of at most 10, so what a reseller can draw from the members stays below what it
 * can lose. */
static bool collateral_covers(struct rr_coin collateral, struct rr_coin deposit, struct rr_coin cap)
{
    struct rr_coin ten_caps;
    return rr_coin_compare(collateral, deposit) > 0 &&
           (rr_coin_is_zero(cap) ||
            (rr_coin_mul(&ten_caps, cap, 10) && rr_coin_compare(collateral, ten_caps) > 0));
}

static enum rr_err refuse_collateral(struct rr_coin collateral, struct rr_coin deposit,
                                     struct rr_coin cap, struct rr_fault *fault)
{
    char has[RR_COIN_TEXT_BYTES];
    char holds[RR_COIN_TEXT_BYTES];
    char limit[RR_COIN_TEXT_BYTES];
    rr_coin_text(has, collateral);
    rr_coin_text(holds, deposit);
    rr_coin_text(limit, cap);
    return rr_fail(fault, RR_ERR_LIMIT,
                   "the collateral is %s coins; it must be more than the deposit %s and than 10 "
                   "times the cap %s",
                   has, holds, limit);
}

static enum rr_err check_new_pool(const struct ledger_call *call, uint64_t *end_height,
                                  struct rr_coin *locked, struct rr_fault *fault)
{
    const struct rr_genesis *genesis = call->rules->genesis;
    struct rr_coin deposit = call->tx->body.create_pool.deposit;
    struct rr_coin collateral = call->tx->body.create_pool.collateral;
    struct rr_coin cap = call->tx->body.create_pool.cap;
    uint32_t blocks = call->tx->body.create_pool.duration_blocks;
    if (rr_coin_is_zero(deposit)) {
        return rr_fail(fault, RR_ERR_LIMIT, "the pool's deposit is 0; fund it");
    }
    if (!collateral_covers(collateral, deposit, cap)) {
        return refuse_collateral(collateral, deposit, cap, fault);
    }
    if (blocks < genesis->pool_blocks_min || blocks > genesis->pool_blocks_max) {
        return rr_fail(fault, RR_ERR_LIMIT, "the pool lasts %u blocks; this chain allows %u to %u",
                       blocks, genesis->pool_blocks_min, genesis->pool_blocks_max);
    }
    if (__builtin_add_overflow(call->rules->height, (uint64_t)blocks, end_height) ||
        !rr_coin_add(locked, deposit, collateral)) {
        return rr_fail(fault, RR_ERR_LIMIT,
                       "deposit and collateral pass the cap of all coins; lower them");
    }
    return RR_OK;
}

enum rr_err ledger_create_pool(struct ledger_call *call, struct rr_fault *fault)
{
    uint64_t end_height = 0;
    struct rr_coin locked = RR_COIN_ZERO;
    struct rr_coin spend;
    enum rr_err err = check_new_pool(call, &end_height, &locked, fault);
    if (err == RR_OK) {
        err = ledger_can_spend(call, &spend, locked, fault);
    }
    if (err == RR_OK) {
        err = ledger_spend(call, spend, fault);
    }
    if (err != RR_OK) {
        return err;
    }
    struct ledger_pool pool = {
        .pub = {.resource_id = call->tx->body.create_pool.resource_id,
                .owner = call->tx->sender,
                .deposit = call->tx->body.create_pool.deposit,
                .deposit_left = call->tx->body.create_pool.deposit,
                .collateral = call->tx->body.create_pool.collateral,
                .cap = call->tx->body.create_pool.cap,
                .created_height = call->rules->height,
                .end_height = end_height},
    };
    return ledger_put_pool(call->view, &call->id, &pool, fault);
}

static enum rr_err load_pool(const struct ledger_call *call, const struct rr_hash32 *id,
                             struct ledger_pool *pool, struct rr_fault *fault)
{
    bool found;
    enum rr_err err = ledger_get_pool(call->view, id, pool, &found, fault);
    if (err == RR_OK && !found) {
        char text[65];
        rr_hex(text, id->bytes, sizeof id->bytes);
        return rr_fail(fault, RR_ERR_STATE, "there is no pool %s: never made, or released already",
                       text);
    }
    return err;
}

static enum rr_err check_owner(const struct ledger_call *call, const struct ledger_pool *pool,
                               struct rr_fault *fault)
{
    if (memcmp(pool->pub.owner.bytes, call->tx->sender.bytes, sizeof pool->pub.owner.bytes) != 0) {
        return rr_fail(fault, RR_ERR_TRUST,
                       "the pool belongs to another key; only its owner may do this");
    }
    return RR_OK;
}

enum rr_err ledger_refill_pool(struct ledger_call *call, struct rr_fault *fault)
{
    const struct rr_hash32 *id = &call->tx->body.refill_pool.pool_id;
    struct rr_coin amount = call->tx->body.refill_pool.amount;
    struct ledger_pool pool;
    struct rr_coin spend;
    enum rr_err err = load_pool(call, id, &pool, fault);
    if (err == RR_OK) {
        err = check_owner(call, &pool, fault);
    }
    if (err != RR_OK) {
        return err;
    }
    if (call->rules->height >= pool.pub.end_height) {
        return rr_fail(fault, RR_ERR_STATE, "the pool ends at height %llu; open a new one",
                       (unsigned long long)pool.pub.end_height);
    }
    if (rr_coin_is_zero(amount)) {
        return rr_fail(fault, RR_ERR_LIMIT, "a refill of 0 coins adds nothing; give an amount");
    }
    /* Against all that was ever funded, not what is left: a slash burns deposit + 1 of the
     * collateral. */
    if (!rr_coin_add(&pool.pub.deposit, pool.pub.deposit, amount) ||
        !rr_coin_add(&pool.pub.deposit_left, pool.pub.deposit_left, amount) ||
        !collateral_covers(pool.pub.collateral, pool.pub.deposit, pool.pub.cap)) {
        return refuse_collateral(pool.pub.collateral, pool.pub.deposit, pool.pub.cap, fault);
    }
    err = ledger_can_spend(call, &spend, amount, fault);
    if (err == RR_OK) {
        err = ledger_spend(call, spend, fault);
    }
    return err == RR_OK ? ledger_put_pool(call->view, id, &pool, fault) : err;
}

/* ---- settlement ------------------------------------------------------------- */
static enum rr_err check_preimage(const struct rr_tx *tx, struct rr_fault *fault)
{
    const struct rr_voucher *voucher = &tx->body.settle.voucher;
    uint32_t depth = tx->body.settle.depth;
    if (depth == 0) {
        return rr_hash32_is_zero(&tx->body.settle.preimage)
                   ? RR_OK
                   : rr_fail(fault, RR_ERR_TRUST,
                             "a preimage is given for depth 0; give its depth");
    }
    if (rr_hash32_is_zero(&voucher->payword_root) || depth > voucher->max_units) {
        return rr_fail(fault, RR_ERR_TRUST, "depth %u is claimed, the voucher allows %u", depth,
                       rr_hash32_is_zero(&voucher->payword_root) ? 0 : voucher->max_units);
    }
    struct rr_hash32 hash = tx->body.settle.preimage;
    for (uint32_t i = 0; i < depth; i++) {
        rr_payword_step(&hash, &hash);
    }
    if (!rr_hash32_equal(&hash, &voucher->payword_root)) {
        return rr_fail(fault, RR_ERR_TRUST,
                       "the preimage does not lead to the voucher's root in %u steps", depth);
    }
    return RR_OK;
}

static enum rr_err check_voucher(const struct ledger_call *call, const struct ledger_pool *pool,
                                 struct rr_fault *fault)
{
    const struct rr_voucher *voucher = &call->tx->body.settle.voucher;
    struct rr_address owner;
    if (voucher->chain_id != call->rules->chain_id) {
        return rr_fail(fault, RR_ERR_TRUST,
                       "the voucher is signed for chain %08x, this is chain %08x",
                       voucher->chain_id, call->rules->chain_id);
    }
    if (memcmp(voucher->target.bytes, call->address.bytes, sizeof voucher->target.bytes) != 0) {
        return rr_fail(fault, RR_ERR_TRUST,
                       "the voucher names another target than the sender; only it may settle");
    }
    rr_address_of(&owner, &pool->pub.owner);
    if (memcmp(owner.bytes, call->address.bytes, sizeof owner.bytes) == 0) {
        return rr_fail(fault, RR_ERR_STATE,
                       "a pool's owner cannot settle towards itself; release the pool instead");
    }
    uint64_t last = pool->pub.end_height + ledger_hold_blocks(call->rules->genesis);
    if (call->rules->height > last) {
        return rr_fail(fault, RR_ERR_STATE,
                       "the pool took settlements until height %llu, the next block is %llu",
                       (unsigned long long)last, (unsigned long long)call->rules->height);
    }
    if (call->rules->height > voucher->expiry_height) {
        return rr_fail(
            fault, RR_ERR_STATE, "the voucher was good until height %llu, the next block is %llu",
            (unsigned long long)voucher->expiry_height, (unsigned long long)call->rules->height);
    }
    if (call->rules->signatures_known) {
        return RR_OK;
    }
    struct rr_hash32 digest;
    rr_voucher_digest(&digest, voucher);
    if (!rr_verify(&voucher->signature, &pool->pub.owner, &digest)) {
        return rr_fail(fault, RR_ERR_TRUST,
                       "the voucher's signature is not that of the pool's owner");
    }
    return check_preimage(call->tx, fault);
}

/* What is paid now. Sequence: `seq >= last and value > settled`, not strictly up: one voucher with
 * paywords grows after a settlement, and its later units must not need a new signature; value
 * strictly up already stops a replay. A voucher that was paid in part (under-funded) may come again
 * after a refill, since `settled` counts what was paid. */
static enum rr_err find_proceeds(const struct ledger_call *call, const struct ledger_pool *pool,
                                 const struct ledger_target *target, struct rr_coin *paid,
                                 struct rr_fault *fault)
{
    const struct rr_voucher *voucher = &call->tx->body.settle.voucher;
    char text[2][RR_COIN_TEXT_BYTES];
    struct rr_coin value;
    struct rr_coin open;
    if (voucher->seq < target->pub.seq) {
        return rr_fail(fault, RR_ERR_STATE,
                       "the voucher has sequence %llu, %llu is settled already",
                       (unsigned long long)voucher->seq, (unsigned long long)target->pub.seq);
    }
    if (!rr_voucher_value(&value, voucher, call->tx->body.settle.depth)) {
        return rr_fail(fault, RR_ERR_LIMIT, "the voucher's value passes the cap of all coins");
    }
    if (!rr_coin_is_zero(pool->pub.cap) && rr_coin_compare(value, pool->pub.cap) > 0) {
        value = pool->pub.cap; /* the owner may sign more, the pool never pays it to one target */
    }
    rr_coin_text(text[0], value);
    rr_coin_text(text[1], target->pub.settled);
    if (!rr_coin_sub(&open, value, target->pub.settled) || rr_coin_is_zero(open)) {
        return rr_fail(fault, RR_ERR_STATE,
                       "the voucher is worth %s coins here and %s are settled: nothing to pay",
                       text[0], text[1]);
    }
    if (rr_coin_compare(call->tx->fee, open) > 0) {
        rr_coin_text(text[1], call->tx->fee);
        rr_coin_text(text[0], open);
        return rr_fail(fault, RR_ERR_FUNDS,
                       "the fee %s is more than the %s coins to settle; settle when more is due",
                       text[1], text[0]);
    }
    if (rr_coin_is_zero(pool->pub.deposit_left)) {
        return rr_fail(fault, RR_ERR_FUNDS,
                       "the pool's deposit is used up; nothing is paid and no fee is taken");
    }
    *paid = rr_coin_compare(open, pool->pub.deposit_left) > 0 ? pool->pub.deposit_left : open;
    if (rr_coin_compare(open, *paid) > 0 && call->rules->counting) {
        rr_counter_add(&ledger_underfunded, 1);
    }
    return RR_OK;
}

static enum rr_err put_target(const struct ledger_call *call, const struct rr_hash32 *pool_id,
                              const struct rr_address *address, const struct ledger_target *target,
                              struct rr_fault *fault)
{
    struct ledger_key key = ledger_key_target(pool_id, address);
    struct ledger_value value;
    ledger_target_encode(&value, target);
    return call->view->put(call->view->ctx, LEDGER_POOL_TARGETS, &key, &value, fault);
}

enum rr_err ledger_settle(struct ledger_call *call, struct rr_fault *fault)
{
    const struct rr_voucher *voucher = &call->tx->body.settle.voucher;
    struct ledger_pool pool;
    struct ledger_target target = {0};
    struct rr_coin paid;
    bool known = false;
    enum rr_err err = load_pool(call, &voucher->pool_id, &pool, fault);
    if (err == RR_OK) {
        err = ledger_get_target(call->view, &voucher->pool_id, &call->address, &target, &known,
                                fault);
    }
    if (err == RR_OK) {
        err = find_proceeds(call, &pool, &target, &paid, fault);
    }
    if (err == RR_OK) {
        err = check_voucher(call, &pool, fault);
    }
    if (err != RR_OK) {
        return err;
    }
    /* Never more than the proceeds: with little left in the pool the fee is what there is. */
    call->fee = rr_coin_compare(call->tx->fee, paid) > 0 ? paid : call->tx->fee;
    struct rr_coin net;
    if (!rr_coin_sub(&net, paid, call->fee) ||
        !rr_coin_sub(&pool.pub.deposit_left, pool.pub.deposit_left, paid) ||
        !rr_coin_add(&target.pub.settled, target.pub.settled, paid) ||
        !rr_coin_add(&call->sender.balance, call->sender.balance, net)) {
        RR_BUG("a settlement's sums do not fit");
    }
    target.pub.seq = voucher->seq;
    call->sender.sequence = call->tx->sequence;
    if (!known) {
        target.next = pool.head;
        pool.head = call->address;
    }
    err = ledger_put_pool(call->view, &voucher->pool_id, &pool, fault);
    if (err == RR_OK) {
        err = put_target(call, &voucher->pool_id, &call->address, &target, fault);
    }
    return err == RR_OK ? ledger_put_account(call->view, &call->address, &call->sender, fault)
                        : err;
}

/* ---- release ---------------------------------------------------------------- */
static bool is_no_address(const struct rr_address *address)
{
    static const struct rr_address none;
    return memcmp(address->bytes, none.bytes, sizeof none.bytes) == 0;
}

/* As many steps as the pool had targets, each of which paid a fee for its place. */
static enum rr_err remove_targets(const struct ledger_call *call, const struct rr_hash32 *id,
                                  struct rr_address at, struct rr_fault *fault)
{
    while (!is_no_address(&at)) {
        struct ledger_target target;
        bool found;
        struct ledger_key key = ledger_key_target(id, &at);
        enum rr_err err = ledger_get_target(call->view, id, &at, &target, &found, fault);
        if (err != RR_OK) {
            return err;
        }
        if (!found) {
            return rr_fail(fault, RR_ERR_DAMAGED,
                           "a pool's list of targets is broken; replay the chain");
        }
        err = ledger_remove(call->view, LEDGER_POOL_TARGETS, &key, fault);
        if (err != RR_OK) {
            return err;
        }
        at = target.next;
    }
    return RR_OK;
}

enum rr_err ledger_release_pool(struct ledger_call *call, struct rr_fault *fault)
{
    const struct rr_hash32 *id = &call->tx->body.release_pool.pool_id;
    struct ledger_pool pool;
    struct rr_coin back;
    enum rr_err err = load_pool(call, id, &pool, fault);
    if (err == RR_OK) {
        err = check_owner(call, &pool, fault);
    }
    if (err != RR_OK) {
        return err;
    }
    uint64_t last = pool.pub.end_height + ledger_hold_blocks(call->rules->genesis);
    if (call->rules->height <= last) {
        return rr_fail(fault, RR_ERR_STATE,
                       "the pool takes settlements until height %llu and may be released after it; "
                       "the next block is %llu",
                       (unsigned long long)last, (unsigned long long)call->rules->height);
    }
    if (!rr_coin_add(&back, pool.pub.deposit_left, pool.pub.collateral) ||
        !rr_coin_add(&call->sender.balance, call->sender.balance, back)) {
        RR_BUG("a release's sums do not fit");
    }
    /* What comes back pays the fee, so that an owner who locked everything can still release. */
    struct rr_coin spend;
    err = ledger_can_spend(call, &spend, RR_COIN_ZERO, fault);
    if (err == RR_OK) {
        err = ledger_spend(call, spend, fault);
    }
    if (err == RR_OK) {
        err = remove_targets(call, id, pool.head, fault);
    }
    struct ledger_key key = ledger_key_of(id->bytes, sizeof id->bytes);
    return err == RR_OK ? ledger_remove(call->view, LEDGER_POOLS, &key, fault) : err;
}

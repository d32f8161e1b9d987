/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Rules for taking money off the chain (spec 60, 1 c and 2). */
#include "pay/pay_till.h"
#include <string.h>

enum rr_err pay_voucher_check(const struct rr_till *till, const struct rr_voucher *voucher,
                              const struct rr_pubkey *owner, struct rr_fault *fault)
{
    if (voucher->chain_id != till->chain_id) {
        return rr_fail(fault, RR_ERR_TRUST,
                       "the voucher is for chain %08x, this rig is on chain %08x",
                       voucher->chain_id, till->chain_id);
    }
    if (memcmp(&voucher->target, &till->address, sizeof(till->address)) != 0) {
        return rr_fail(
            fault, RR_ERR_TRUST,
            "the voucher pays another target than this rig: take the target of its offer");
    }
    /* The ledger weighs each payword as a byte of the settlement. */
    if ((uint64_t)voucher->max_units + RR_TX_BYTES_MAX > till->options.genesis->block_bytes_max) {
        return rr_fail(fault, RR_ERR_LIMIT,
                       "a voucher over %u units cannot be settled in a block of %u bytes: make "
                       "several shorter ones",
                       voucher->max_units, till->options.genesis->block_bytes_max);
    }
    struct rr_hash32 digest;
    rr_voucher_digest(&digest, voucher);
    if (!rr_verify(&voucher->signature, owner, &digest)) {
        return rr_fail(fault, RR_ERR_TRUST, "the voucher is not signed by the owner of its pool");
    }
    return RR_OK;
}

/* The value would stay under the risk limit and within what the pool can still pay. */
static enum rr_err check_exposure(const struct rr_till *till, struct pay_session *session,
                                  struct rr_coin value, struct rr_fault *fault)
{
    struct rr_coin open;
    if (!rr_coin_sub(&open, value, session->settled)) {
        open = RR_COIN_ZERO;
    }
    if (rr_coin_compare(value, session->ceiling) > 0) {
        char text[2][RR_COIN_TEXT_BYTES];
        rr_coin_text(text[0], value);
        rr_coin_text(text[1], session->ceiling);
        return rr_fail(fault, RR_ERR_FUNDS,
                       "%s coins in all are more than the %s that the pool can pay: refill it",
                       text[0], text[1]);
    }
    if (rr_coin_compare(open, till->options.risk_limit) > 0) {
        char text[2][RR_COIN_TEXT_BYTES];
        rr_coin_text(text[0], open);
        rr_coin_text(text[1], till->options.risk_limit);
        session->pressed = true;
        return rr_fail(fault, RR_ERR_FUNDS,
                       "%s coins not settled would pass the risk limit of %s: come again after "
                       "the next settlement",
                       text[0], text[1]);
    }
    return RR_OK;
}

/* Last height at which this rig is willing to take more: it needs the margin to settle. */
static enum rr_err check_time(const struct rr_till *till, const struct pay_session *session,
                              uint64_t expiry_height, struct rr_fault *fault)
{
    uint64_t height = atomic_load(&till->height);
    uint64_t end = session->end_height < expiry_height ? session->end_height : expiry_height;
    if (session->over || height + till->options.margin_blocks >= end) {
        return rr_fail(fault, RR_ERR_STATE,
                       "pool or voucher ends at height %llu, the chain is at %llu and this rig "
                       "settles %u blocks before: open a new pool",
                       (unsigned long long)end, (unsigned long long)height,
                       till->options.margin_blocks);
    }
    return RR_OK;
}

static void book_value(const struct rr_till *till, struct pay_session *session,
                       struct rr_coin value)
{
    session->value = value;
    session->version++;
    session->touched = true;
    if (session->open_ms == 0 && !rr_coin_is_zero(pay_session_open_value(session))) {
        session->open_ms = rr_wall_ms(till->options.clock);
    }
}

bool pay_voucher_same(const struct rr_voucher *a, const struct rr_voucher *b)
{
    struct rr_hash32 left;
    struct rr_hash32 right;
    rr_voucher_digest(&left, a);
    rr_voucher_digest(&right, b);
    return rr_hash32_equal(&left, &right);
}

/* Against what is booked: only upwards. */
static enum rr_err check_order(const struct pay_session *session, const struct rr_voucher *voucher,
                               struct rr_fault *fault)
{
    uint64_t last =
        session->voucher.seq > session->chain_seq ? session->voucher.seq : session->chain_seq;
    if (voucher->seq <= last) {
        return rr_fail(fault, RR_ERR_STATE,
                       "the voucher has sequence %llu, but %llu was taken: renew with a higher one",
                       (unsigned long long)voucher->seq, (unsigned long long)last);
    }
    if (voucher->max_units > 0 && rr_coin_compare(voucher->unit_price, session->unit_price) != 0) {
        char text[2][RR_COIN_TEXT_BYTES];
        rr_coin_text(text[0], voucher->unit_price);
        rr_coin_text(text[1], session->unit_price);
        return rr_fail(fault, RR_ERR_STATE,
                       "the voucher is at %s a unit, but this pool began at %s: open a new pool",
                       text[0], text[1]);
    }
    if (rr_coin_compare(voucher->cum_amount, session->value) < 0) {
        char text[2][RR_COIN_TEXT_BYTES];
        rr_coin_text(text[0], voucher->cum_amount);
        rr_coin_text(text[1], session->value);
        return rr_fail(fault, RR_ERR_FUNDS,
                       "the renewed voucher starts at %s, but %s are paid: it must not take back",
                       text[0], text[1]);
    }
    return RR_OK;
}

enum rr_err pay_voucher_take(const struct rr_till *till, struct pay_session *session,
                             const struct rr_voucher *voucher, bool *changed,
                             struct rr_fault *fault)
{
    if (!rr_hash32_equal(&voucher->pool_id, &session->pool_id)) {
        return rr_fail(fault, RR_ERR_TRUST,
                       "the voucher is out of another pool than the session's");
    }
    if (pay_voucher_same(voucher, &session->voucher)) {
        *changed = false;
        return RR_OK;
    }
    struct rr_coin most;
    enum rr_err err = check_order(session, voucher, fault);
    if (err == RR_OK) {
        err = check_time(till, session, voucher->expiry_height, fault);
    }
    if (err != RR_OK) {
        return err;
    }
    if (!rr_voucher_value(&most, voucher, voucher->max_units) ||
        rr_coin_compare(most, session->ceiling) > 0 ||
        (!rr_coin_is_zero(session->cap) && rr_coin_compare(most, session->cap) > 0)) {
        char text[RR_COIN_TEXT_BYTES];
        rr_coin_text(text, session->ceiling);
        return rr_fail(fault, RR_ERR_FUNDS,
                       "at its end the voucher is worth more than the %s that the pool can pay to "
                       "this rig: refill the pool, or sign for fewer units",
                       text);
    }
    err = check_exposure(till, session, voucher->cum_amount, fault);
    if (err != RR_OK) {
        return err;
    }
    session->voucher = *voucher;
    session->depth = 0;
    session->link = voucher->payword_root;
    book_value(till, session, voucher->cum_amount);
    *changed = true;
    return RR_OK;
}

enum rr_err pay_payword_take(const struct rr_till *till, struct pay_session *session,
                             uint32_t depth, const struct rr_hash32 *preimage, bool *changed,
                             struct rr_fault *fault)
{
    const struct rr_voucher *voucher = &session->voucher;
    *changed = false;
    if (depth < session->depth) {
        return RR_OK; /* an earlier request that came late: its unit is in already */
    }
    if (depth > voucher->max_units || rr_hash32_is_zero(&voucher->payword_root)) {
        return rr_fail(fault, RR_ERR_FUNDS,
                       "depth %u is beyond the %u units of the voucher: renew it", depth,
                       voucher->max_units);
    }
    if (depth - session->depth > PAY_STEPS_MAX) {
        return rr_fail(fault, RR_ERR_LIMIT, "%u units at once; at most %d in one request",
                       depth - session->depth, PAY_STEPS_MAX);
    }
    struct rr_hash32 link = *preimage;
    for (uint32_t step = session->depth; step < depth; step++) {
        rr_payword_step(&link, &link);
    }
    if (!rr_hash32_equal(&link, &session->link)) {
        return rr_fail(fault, RR_ERR_TRUST,
                       "the preimage for depth %u does not lead to the voucher's root", depth);
    }
    if (depth == session->depth) {
        return RR_OK;
    }
    struct rr_coin value;
    if (!rr_voucher_value(&value, voucher, depth)) {
        return rr_fail(fault, RR_ERR_LIMIT, "the voucher at depth %u is beyond the cap of amounts",
                       depth);
    }
    enum rr_err err = check_time(till, session, voucher->expiry_height, fault);
    if (err == RR_OK) {
        err = check_exposure(till, session, value, fault);
    }
    if (err != RR_OK) {
        return err;
    }
    session->depth = depth;
    session->link = *preimage;
    book_value(till, session, value);
    *changed = true;
    return RR_OK;
}

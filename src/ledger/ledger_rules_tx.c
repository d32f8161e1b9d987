/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What every transaction is checked for, and transfers. Pure.
 *
 * type           signed by        pays the fee     moves
 * transfer       sender           sender           amount: sender -> to
 * create_pool    owner            owner            deposit + collateral: owner -> pool
 * refill_pool    the pool's owner owner            amount: owner -> pool
 * settle         voucher's target the proceeds     value - settled: pool -> target
 * release_pool   the pool's owner what comes back  deposit left + collateral: pool -> owner
 * open_contract  owner            owner            price: owner -> contract
 * claim          its provider     provider         -
 * attestation    its verifier     verifier         price: contract -> provider, or back to the
 * owner
 *
 * Refusals: RR_ERR_TRUST a signature, chain or preimage that does not hold; RR_ERR_FUNDS coins
 * missing; RR_ERR_LIMIT a value out of its range; RR_ERR_STATE anything that the state does not
 * allow now. */
#include "ledger/ledger_rules.h"

uint64_t ledger_tx_weight(const struct rr_tx *tx)
{
    struct rr_buf bytes = {0};
    rr_tx_encode(&bytes, tx);
    uint64_t weight = bytes.len;
    rr_buf_clear(&bytes);
    /* A payword step is a hash: it costs about what a byte of a signed transaction costs.
     * Unweighed, one settlement could make every node hash for minutes. */
    return tx->type == RR_TX_SETTLE ? weight + tx->body.settle.depth : weight;
}

struct rr_coin ledger_min_fee(const struct rr_genesis *genesis, const struct rr_tx *tx)
{
    struct rr_coin per_byte;
    struct rr_coin fee;
    if (!rr_coin_of_units(&per_byte, genesis->fee_units_per_byte) ||
        !rr_coin_mul(&fee, per_byte, ledger_tx_weight(tx)) ||
        !rr_coin_add(&fee, fee, genesis->fee_base)) {
        bool fits = rr_coin_of_units(&fee, RR_COIN_MAX_UNITS);
        RR_CHECK(fits);
    }
    return fee;
}

uint64_t ledger_hold_blocks(const struct rr_genesis *genesis)
{
    return 2 * (uint64_t)genesis->checkpoint_blocks;
}

bool ledger_is_refusal(enum rr_err code)
{
    return code == RR_ERR_TRUST || code == RR_ERR_FUNDS || code == RR_ERR_STATE ||
           code == RR_ERR_LIMIT;
}

enum rr_err ledger_can_spend(const struct ledger_call *call, struct rr_coin *spend,
                             struct rr_coin amount, struct rr_fault *fault)
{
    struct rr_coin sum;
    if (!rr_coin_add(&sum, amount, call->tx->fee) ||
        rr_coin_compare(sum, call->sender.balance) > 0) {
        char has[RR_COIN_TEXT_BYTES];
        char needs[RR_COIN_TEXT_BYTES];
        char fee[RR_COIN_TEXT_BYTES];
        rr_coin_text(has, call->sender.balance);
        rr_coin_text(needs, amount);
        rr_coin_text(fee, call->tx->fee);
        return rr_fail(fault, RR_ERR_FUNDS,
                       "the account has %s coins, the transaction needs %s and a fee of %s; wait "
                       "for income or send less",
                       has, needs, fee);
    }
    *spend = sum;
    return RR_OK;
}

enum rr_err ledger_spend(struct ledger_call *call, struct rr_coin spend, struct rr_fault *fault)
{
    struct rr_account after = call->sender;
    if (!rr_coin_sub(&after.balance, after.balance, spend)) {
        RR_BUG("spent more than was checked");
    }
    after.sequence = call->tx->sequence;
    call->sender = after;
    call->fee = call->tx->fee;
    return ledger_put_account(call->view, &call->address, &after, fault);
}

static enum rr_err transfer(struct ledger_call *call, struct rr_fault *fault)
{
    struct rr_coin amount = call->tx->body.transfer.amount;
    if (rr_coin_is_zero(amount)) {
        return rr_fail(fault, RR_ERR_LIMIT, "a transfer of 0 coins moves nothing; give an amount");
    }
    struct rr_coin spend = RR_COIN_ZERO;
    enum rr_err err = ledger_can_spend(call, &spend, amount, fault);
    if (err == RR_OK) {
        err = ledger_spend(call, spend, fault);
    }
    /* After the debit is written: sender and receiver may be one account. */
    return err == RR_OK ? ledger_credit(call->view, &call->tx->body.transfer.to, amount, fault)
                        : err;
}

static enum rr_err check_form(const struct ledger_rules *rules, const struct rr_tx *tx,
                              struct rr_fault *fault)
{
    if (tx->chain_id != rules->chain_id) {
        return rr_fail(fault, RR_ERR_TRUST,
                       "the transaction is signed for chain %08x, this is chain %08x", tx->chain_id,
                       rules->chain_id);
    }
    if (tx->valid_until_height != 0 && tx->valid_until_height < rules->height) {
        return rr_fail(
            fault, RR_ERR_STATE,
            "the transaction was valid until height %llu, the next block is %llu; sign it again",
            (unsigned long long)tx->valid_until_height, (unsigned long long)rules->height);
    }
    uint64_t weight = ledger_tx_weight(tx);
    if (weight > rules->genesis->block_bytes_max) {
        return rr_fail(fault, RR_ERR_LIMIT, "the transaction weighs %llu, a whole block at most %u",
                       (unsigned long long)weight, rules->genesis->block_bytes_max);
    }
    struct rr_coin least = ledger_min_fee(rules->genesis, tx);
    if (rr_coin_compare(tx->fee, least) < 0) {
        char found[RR_COIN_TEXT_BYTES];
        char expected[RR_COIN_TEXT_BYTES];
        rr_coin_text(found, tx->fee);
        rr_coin_text(expected, least);
        return rr_fail(fault, RR_ERR_LIMIT,
                       "the fee is %s coins, the least for this transaction is %s; raise it", found,
                       expected);
    }
    return RR_OK;
}

static enum rr_err check_sender(struct ledger_call *call, struct rr_fault *fault)
{
    rr_address_of(&call->address, &call->tx->sender);
    enum rr_err err = ledger_get_account(call->view, &call->address, &call->sender, fault);
    if (err != RR_OK) {
        return err;
    }
    if (call->sender.sequence == UINT64_MAX || call->tx->sequence != call->sender.sequence + 1) {
        return rr_fail(
            fault, RR_ERR_STATE,
            "the transaction has sequence %llu, the account's next one is %llu; sign it with that",
            (unsigned long long)call->tx->sequence, (unsigned long long)call->sender.sequence + 1);
    }
    if (!call->rules->signatures_known) {
        struct rr_hash32 digest;
        rr_tx_digest(&digest, call->tx);
        if (!rr_verify(&call->tx->signature, &call->tx->sender, &digest)) {
            return rr_fail(fault, RR_ERR_TRUST,
                           "the transaction's signature is not its sender's; sign it again");
        }
    }
    return RR_OK;
}

static enum rr_err dispatch(struct ledger_call *call, struct rr_fault *fault)
{
    switch (call->tx->type) {
    case RR_TX_TRANSFER:
        return transfer(call, fault);
    case RR_TX_CREATE_POOL:
        return ledger_create_pool(call, fault);
    case RR_TX_REFILL_POOL:
        return ledger_refill_pool(call, fault);
    case RR_TX_SETTLE:
        return ledger_settle(call, fault);
    case RR_TX_RELEASE_POOL:
        return ledger_release_pool(call, fault);
    case RR_TX_OPEN_CONTRACT:
        return ledger_open_contract(call, fault);
    case RR_TX_CLAIM:
        return ledger_claim(call, fault);
    case RR_TX_ATTESTATION:
        return ledger_attest(call, fault);
    }
    return rr_fail(fault, RR_ERR_LIMIT, "transactions of type %d are not known to this version",
                   (int)call->tx->type);
}

enum rr_err ledger_apply_tx(const struct ledger_rules *rules, const struct ledger_view *view,
                            const struct rr_tx *tx, struct rr_coin *fee, struct rr_fault *fault)
{
    struct ledger_call call = {.rules = rules, .view = view, .tx = tx};
    enum rr_err err = check_form(rules, tx, fault);
    if (err == RR_OK) {
        err = check_sender(&call, fault);
    }
    if (err == RR_OK) {
        rr_tx_id(&call.id, tx);
        err = dispatch(&call, fault);
    }
    if (err == RR_OK) {
        *fee = call.fee;
    }
    return err;
}

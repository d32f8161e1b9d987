/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Counting a whole state, and replaying a whole chain. */
#include "ledger/ledger_chain.h"

#include <string.h>

struct auditing {
    struct rr_chain_audit audit;
    struct ledger_sum sum;
    uint8_t table;
    bool failed;
};

static bool add(struct rr_coin *sum, struct rr_coin amount)
{
    return rr_coin_add(sum, *sum, amount);
}

static bool audit_account(struct rr_chain_audit *audit, struct rr_slice value)
{
    struct rr_account account;
    audit->account_count++;
    return ledger_account_decode(&account, value) && add(&audit->accounts, account.balance);
}

static bool audit_pool(struct rr_chain_audit *audit, struct rr_slice value)
{
    struct ledger_pool pool;
    audit->pool_count++;
    return ledger_pool_decode(&pool, value) && add(&audit->pools, pool.pub.deposit_left) &&
           add(&audit->pools, pool.pub.collateral);
}

static bool audit_contract(struct rr_chain_audit *audit, struct rr_slice value)
{
    struct ledger_contract contract;
    audit->contract_count++;
    if (!ledger_contract_decode(&contract, value)) {
        return false;
    }
    bool holds =
        contract.pub.status == RR_CONTRACT_OPEN || contract.pub.status == RR_CONTRACT_CLAIMED;
    return !holds || add(&audit->contracts, contract.pub.price);
}

static bool audit_record(struct rr_chain_audit *audit, enum ledger_table table,
                         struct rr_slice value)
{
    struct ledger_target target;
    struct ledger_escrow escrow;
    switch (table) {
    case LEDGER_ACCOUNTS:
        return audit_account(audit, value);
    case LEDGER_POOLS:
        return audit_pool(audit, value);
    case LEDGER_POOL_TARGETS:
        return ledger_target_decode(&target, value);
    case LEDGER_CONTRACTS:
        return audit_contract(audit, value);
    case LEDGER_ESCROW:
        return ledger_escrow_decode(&escrow, value) && add(&audit->escrow, escrow.bonus);
    case LEDGER_DUE:
        return value.len == sizeof(struct rr_hash32);
    case LEDGER_META:
        return ledger_coin_decode(&audit->issued, value);
    }
    return false;
}

static bool visit_record(void *ctx, struct rr_slice key, struct rr_slice value)
{
    struct auditing *auditing = ctx;
    ledger_sum_add(&auditing->sum, auditing->table, key, value);
    auditing->failed = !audit_record(&auditing->audit, (enum ledger_table)auditing->table, value);
    return !auditing->failed;
}

static bool sums_hold(const struct rr_chain_audit *audit)
{
    struct rr_coin all = audit->accounts;
    return add(&all, audit->pools) && add(&all, audit->contracts) && add(&all, audit->escrow) &&
           rr_coin_compare(all, audit->issued) == 0;
}

enum rr_err store_audit(struct rr_db_txn *txn, struct rr_chain_audit *out, struct ledger_sum *sum,
                        struct rr_fault *fault)
{
    struct auditing auditing = {0};
    for (uint8_t table = LEDGER_TABLE_FIRST; table <= LEDGER_TABLE_LAST; table++) {
        auditing.table = table;
        enum rr_err err =
            rr_db_scan(txn, table, rr_slice_of(NULL, 0), visit_record, &auditing, fault);
        if (err != RR_OK) {
            return err;
        }
        if (auditing.failed) {
            return rr_fail(
                fault, RR_ERR_DAMAGED,
                "a record of state table %u does not follow its layout; restore the chain folder",
                table);
        }
    }
    if (!sums_hold(&auditing.audit)) {
        char issued[RR_COIN_TEXT_BYTES];
        rr_coin_text(issued, auditing.audit.issued);
        return rr_fail(fault, RR_ERR_DAMAGED,
                       "accounts, pools, contracts and escrow do not sum to the %s coins issued; "
                       "restore the chain folder",
                       issued);
    }
    ledger_sum_root(&auditing.audit.state_root, &auditing.sum);
    *sum = auditing.sum;
    *out = auditing.audit;
    return RR_OK;
}

enum rr_err rr_chain_audit(struct rr_chain *chain, struct rr_chain_audit *out,
                           struct rr_fault *fault)
{
    struct rr_db_txn *txn;
    struct rr_chain_audit audit;
    struct ledger_sum sum;
    struct rr_hash32 hash;
    struct rr_header header;
    uint64_t height;
    enum rr_err err = rr_db_begin(chain->db, false, &txn, fault);
    if (err != RR_OK) {
        return err;
    }
    err = store_audit(txn, &audit, &sum, fault);
    if (err == RR_OK) {
        err = store_tip(txn, &height, &hash, fault);
    }
    if (err == RR_OK) {
        err = store_header(txn, height, &header, fault);
    }
    rr_db_abort(txn);
    if (err == RR_OK && !rr_hash32_equal(&audit.state_root, &header.state_root)) {
        err = rr_fail(fault, RR_ERR_DAMAGED,
                      "the state does not hash to what header %llu says; replay the chain",
                      (unsigned long long)height);
    }
    if (err == RR_OK) {
        *out = audit;
    }
    return err;
}

/* ---- replay ----------------------------------------------------------------- */
static enum rr_err copy_blocks(struct rr_chain *from, struct rr_chain *into, uint64_t height,
                               struct rr_fault *fault)
{
    enum rr_err err = RR_OK;
    for (uint64_t at = 1; err == RR_OK && at <= height; at++) {
        struct rr_block block;
        struct rr_fault why = {0};
        err = rr_chain_block(from, at, &block, fault);
        if (err != RR_OK) {
            break;
        }
        err = rr_chain_append(into, &block, &why);
        rr_block_clear(&block);
        if (err != RR_OK && ledger_is_refusal(err)) {
            err = rr_fail(fault, RR_ERR_DAMAGED,
                          "block %llu of the chain does not hold when replayed: %s",
                          (unsigned long long)at, why.text);
        } else if (err != RR_OK && fault != NULL) {
            *fault = why;
        }
    }
    return err;
}

enum rr_err rr_chain_replay(struct rr_chain *from, const struct rr_chain_options *into,
                            struct rr_fault *fault)
{
    struct rr_chain *copy;
    struct rr_chain_tip tip;
    struct rr_chain_tip replayed;
    rr_chain_tip(from, &tip);
    enum rr_err err = rr_chain_open(&copy, into, fault);
    if (err != RR_OK) {
        return err;
    }
    rr_chain_tip(copy, &replayed);
    if (replayed.height != 0) {
        err = rr_fail(fault, RR_ERR_EXISTS,
                      "%s holds a chain of %llu blocks; replay into an empty folder", into->folder,
                      (unsigned long long)replayed.height);
    }
    if (err == RR_OK) {
        err = copy_blocks(from, copy, tip.height, fault);
    }
    if (err == RR_OK) {
        rr_chain_tip(copy, &replayed);
        if (!rr_hash32_equal(&tip.hash, &replayed.hash) ||
            !rr_hash32_equal(&tip.state_root, &replayed.state_root)) {
            err = rr_fail(fault, RR_ERR_DAMAGED,
                          "the replayed chain parts from the stored one at height %llu",
                          (unsigned long long)tip.height);
        }
    }
    rr_chain_close(copy);
    return err;
}

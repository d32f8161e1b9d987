/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Reading the chain and its state; every call has a database transaction of its own and waits for
 * no writer. */
#include "ledger/ledger_chain.h"

#include <string.h>

enum rr_err rr_chain_header(struct rr_chain *chain, uint64_t height, struct rr_header *out,
                            struct rr_fault *fault)
{
    struct rr_db_txn *txn;
    enum rr_err err = rr_db_begin(chain->db, false, &txn, fault);
    if (err == RR_OK) {
        err = store_header(txn, height, out, fault);
        rr_db_abort(txn);
    }
    return err;
}

enum rr_err rr_chain_block(struct rr_chain *chain, uint64_t height, struct rr_block *out,
                           struct rr_fault *fault)
{
    struct rr_db_txn *txn;
    enum rr_err err = rr_db_begin(chain->db, false, &txn, fault);
    if (err == RR_OK) {
        err = store_block(txn, height, out, fault);
        rr_db_abort(txn);
    }
    return err;
}

enum rr_err rr_chain_block_hash(struct rr_chain *chain, uint64_t height, struct rr_hash32 *out,
                                struct rr_fault *fault)
{
    struct rr_header header;
    enum rr_err err = rr_chain_header(chain, height, &header, fault);
    if (err == RR_OK) {
        rr_header_hash(out, &header);
    }
    return err;
}

enum rr_err rr_chain_account(struct rr_chain *chain, const struct rr_address *address,
                             struct rr_account *out, struct rr_fault *fault)
{
    struct rr_db_txn *txn;
    enum rr_err err = rr_db_begin(chain->db, false, &txn, fault);
    if (err == RR_OK) {
        struct ledger_view view = store_view(txn);
        err = ledger_get_account(&view, address, out, fault);
        rr_db_abort(txn);
    }
    return err;
}

enum rr_err rr_chain_pool(struct rr_chain *chain, const struct rr_hash32 *pool_id,
                          struct rr_pool_state *out, struct rr_fault *fault)
{
    struct rr_db_txn *txn;
    enum rr_err err = rr_db_begin(chain->db, false, &txn, fault);
    if (err != RR_OK) {
        return err;
    }
    struct ledger_view view = store_view(txn);
    struct ledger_pool pool;
    bool found = false;
    err = ledger_get_pool(&view, pool_id, &pool, &found, fault);
    rr_db_abort(txn);
    if (err == RR_OK && !found) {
        return rr_fail(fault, RR_ERR_NOTFOUND,
                       "no block up to the tip made this pool, or it is released");
    }
    if (err == RR_OK) {
        *out = pool.pub;
    }
    return err;
}

enum rr_err rr_chain_pool_target(struct rr_chain *chain, const struct rr_hash32 *pool_id,
                                 const struct rr_address *target, struct rr_pool_target *out,
                                 struct rr_fault *fault)
{
    struct rr_db_txn *txn;
    enum rr_err err = rr_db_begin(chain->db, false, &txn, fault);
    if (err != RR_OK) {
        return err;
    }
    struct ledger_view view = store_view(txn);
    struct ledger_target found_target = {0};
    bool found;
    err = ledger_get_target(&view, pool_id, target, &found_target, &found, fault);
    rr_db_abort(txn);
    if (err == RR_OK) {
        *out = found_target.pub;
    }
    return err;
}

enum rr_err rr_chain_contract(struct rr_chain *chain, const struct rr_hash32 *contract_id,
                              struct rr_contract_state *out, struct rr_fault *fault)
{
    struct rr_db_txn *txn;
    enum rr_err err = rr_db_begin(chain->db, false, &txn, fault);
    if (err != RR_OK) {
        return err;
    }
    struct ledger_view view = store_view(txn);
    struct ledger_contract contract;
    bool found = false;
    err = ledger_get_contract(&view, contract_id, &contract, &found, fault);
    rr_db_abort(txn);
    if (err == RR_OK && !found) {
        return rr_fail(fault, RR_ERR_NOTFOUND, "no block up to the tip opened this contract");
    }
    if (err == RR_OK) {
        *out = contract.pub;
    }
    return err;
}

/* ---- pools: copied first, so that the visitor may call the chain ------------ */
struct pool_copy {
    struct rr_hash32 id;
    struct rr_pool_state pool;
};
struct pools {
    struct pool_copy *list;
    size_t count, cap;
    bool damaged;
};

static bool copy_pool(void *ctx, struct rr_slice key, struct rr_slice value)
{
    struct pools *pools = ctx;
    struct ledger_pool pool;
    if (key.len != 32 || !ledger_pool_decode(&pool, value)) {
        pools->damaged = true;
        return false;
    }
    if (pools->count == pools->cap) {
        pools->cap = pools->cap == 0 ? 16 : 2 * pools->cap;
        pools->list = rr_realloc(pools->list, pools->cap * sizeof *pools->list);
    }
    memcpy(pools->list[pools->count].id.bytes, key.ptr, 32);
    pools->list[pools->count++].pool = pool.pub;
    return true;
}

enum rr_err rr_chain_visit_pools(struct rr_chain *chain,
                                 bool (*visit)(void *ctx, const struct rr_hash32 *pool_id,
                                               const struct rr_pool_state *pool),
                                 void *ctx, struct rr_fault *fault)
{
    struct rr_db_txn *txn;
    struct pools pools = {0};
    enum rr_err err = rr_db_begin(chain->db, false, &txn, fault);
    if (err != RR_OK) {
        return err;
    }
    err = rr_db_scan(txn, LEDGER_POOLS, rr_slice_of(NULL, 0), copy_pool, &pools, fault);
    rr_db_abort(txn);
    if (err == RR_OK && pools.damaged) {
        err = rr_fail(fault, RR_ERR_DAMAGED,
                      "a record of the pools does not follow its layout; replay the chain");
    }
    for (size_t i = 0; err == RR_OK && i < pools.count; i++) {
        if (!visit(ctx, &pools.list[i].id, &pools.list[i].pool)) {
            break;
        }
    }
    rr_free(pools.list);
    return err;
}

/* ---- transactions ----------------------------------------------------------- */
static enum rr_err find_tx(struct rr_db_txn *txn, const struct rr_hash32 *tx_id, uint64_t *height,
                           uint32_t *index, struct rr_fault *fault)
{
    enum rr_err err = store_tx_place(txn, tx_id, height, index, fault);
    if (err == RR_ERR_NOTFOUND) {
        char text[65];
        rr_hex(text, tx_id->bytes, sizeof tx_id->bytes);
        return rr_fail(fault, RR_ERR_NOTFOUND, "no block holds transaction %s; it may still wait",
                       text);
    }
    return err;
}

enum rr_err rr_chain_tx_height(struct rr_chain *chain, const struct rr_hash32 *tx_id,
                               uint64_t *height, struct rr_fault *fault)
{
    struct rr_db_txn *txn;
    uint64_t found;
    uint32_t index;
    enum rr_err err = rr_db_begin(chain->db, false, &txn, fault);
    if (err != RR_OK) {
        return err;
    }
    err = find_tx(txn, tx_id, &found, &index, fault);
    rr_db_abort(txn);
    if (err == RR_OK) {
        *height = found;
    }
    return err;
}

static enum rr_err fill_place(struct rr_db_txn *txn, struct rr_tx_proof *proof, uint64_t height,
                              uint32_t index, struct rr_fault *fault)
{
    struct rr_block block;
    enum rr_err err = store_block(txn, height, &block, fault);
    if (err != RR_OK) {
        return err;
    }
    if (index < block.tx_count) {
        struct rr_hash32 *leaves = rr_alloc_array(block.tx_count, sizeof *leaves);
        for (uint32_t i = 0; i < block.tx_count; i++) {
            struct rr_hash32 id;
            rr_tx_id(&id, &block.txs[i]);
            rr_hash(&leaves[i], "rr.txleaf.v1", rr_slice_of(id.bytes, sizeof id.bytes));
        }
        rr_merkle_prove(&proof->place, leaves, block.tx_count, index);
        proof->tx = block.txs[index];
        rr_free(leaves);
    } else {
        err = rr_fail(fault, RR_ERR_DAMAGED,
                      "the index of transactions points beyond block %llu; replay the chain",
                      (unsigned long long)height);
    }
    rr_block_clear(&block);
    return err;
}

static enum rr_err prove(struct rr_db_txn *txn, struct rr_tx_proof *out,
                         const struct rr_hash32 *tx_id, uint64_t from_height,
                         struct rr_fault *fault)
{
    uint64_t height;
    uint32_t index;
    struct rr_tx_proof proof;
    enum rr_err err = find_tx(txn, tx_id, &height, &index, fault);
    if (err != RR_OK) {
        return err;
    }
    if (from_height >= height) {
        return rr_fail(
            fault, RR_ERR_STATE,
            "the transaction stands in block %llu, not above block %llu; ask from a lower one",
            (unsigned long long)height, (unsigned long long)from_height);
    }
    if (height - from_height > RR_TX_PROOF_HEADERS_MAX) {
        return rr_fail(fault, RR_ERR_LIMIT,
                       "the proof would take %llu headers, at most %d fit; ask from a later block",
                       (unsigned long long)(height - from_height), RR_TX_PROOF_HEADERS_MAX);
    }
    memset(&proof, 0, sizeof proof);
    err = fill_place(txn, &proof, height, index, fault);
    if (err != RR_OK) {
        return err;
    }
    proof.header_count = (uint32_t)(height - from_height);
    proof.headers = rr_alloc_array(proof.header_count, sizeof *proof.headers);
    for (uint32_t i = 0; err == RR_OK && i < proof.header_count; i++) {
        err = store_header(txn, from_height + 1 + i, &proof.headers[i], fault);
    }
    if (err == RR_OK) {
        *out = proof;
    } else {
        rr_tx_proof_clear(&proof);
    }
    return err;
}

enum rr_err rr_chain_prove_tx(struct rr_chain *chain, struct rr_tx_proof *out,
                              const struct rr_hash32 *tx_id, uint64_t from_height,
                              struct rr_fault *fault)
{
    struct rr_db_txn *txn;
    enum rr_err err = rr_db_begin(chain->db, false, &txn, fault);
    if (err == RR_OK) {
        err = prove(txn, out, tx_id, from_height, fault);
        rr_db_abort(txn);
    }
    return err;
}

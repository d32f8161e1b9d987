/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Taking the tip block back by its before-images. */
#include "ledger/ledger_chain.h"

#include <string.h>

struct undo {
    struct rr_chain *chain;
    struct rr_header parent;
    struct rr_hash32 parent_hash;
    struct waiting **list; /* the block's transactions, then those that waited */
    uint32_t count, fresh; /* the first `fresh` were made here */
    struct fit fit;
};

static bool read_image(struct rr_reader *reader, uint8_t *table, struct ledger_key *key,
                       struct rr_slice *old)
{
    *table = rr_read_u8(reader);
    struct rr_slice key_bytes = rr_read_var16(reader, LEDGER_KEY_MAX);
    *old = rr_read_var16(reader, LEDGER_RECORD_MAX);
    if (reader->failed || *table < LEDGER_TABLE_FIRST || *table > LEDGER_TABLE_LAST ||
        key_bytes.len == 0) {
        return false;
    }
    *key = ledger_key_of(key_bytes.ptr, key_bytes.len);
    return true;
}

static enum rr_err restore_record(struct rr_db_txn *txn, struct ledger_sum *sum, uint8_t table,
                                  const struct ledger_key *key, struct rr_slice old,
                                  struct rr_fault *fault)
{
    struct rr_slice now;
    enum rr_err err = rr_db_get(txn, table, store_key(key), &now, fault);
    if (err == RR_OK) {
        ledger_sum_remove(sum, table, store_key(key), now);
    } else if (err != RR_ERR_NOTFOUND) {
        return err;
    }
    if (old.len != 0) {
        ledger_sum_add(sum, table, store_key(key), old);
    }
    return store_put(txn, table, key, old, fault);
}

static enum rr_err restore_state(struct undo *undo, struct rr_db_txn *txn, struct rr_fault *fault)
{
    uint64_t height = undo->chain->tip.height;
    struct ledger_key at = ledger_key_height(height);
    struct ledger_sum sum;
    struct rr_hash32 root;
    struct rr_slice found;
    enum rr_err err = rr_db_get(txn, STORE_UNDO, store_key(&at), &found, fault);
    if (err == RR_ERR_NOTFOUND) {
        return rr_fail(
            fault, RR_ERR_STATE,
            "block %llu cannot be taken back: its undo record is older than two checkpoints",
            (unsigned long long)height);
    }
    if (err == RR_OK) {
        err = store_sum(txn, &sum, fault);
    }
    if (err != RR_OK) {
        return err;
    }
    struct rr_buf images = {0}; /* a view of the database does not outlive the first write */
    rr_buf_append(&images, found.ptr, found.len);
    struct rr_reader reader = rr_reader_of(rr_buf_slice(&images));
    bool whole = rr_read_u8(&reader) == 1;
    while (err == RR_OK && whole && reader.len != 0) {
        uint8_t table;
        struct ledger_key key;
        struct rr_slice old;
        whole = read_image(&reader, &table, &key, &old);
        if (whole) {
            err = restore_record(txn, &sum, table, &key, old, fault);
        }
    }
    rr_buf_clear(&images);
    if (err != RR_OK) {
        return err;
    }
    ledger_sum_root(&root, &sum);
    if (!whole || !rr_hash32_equal(&root, &undo->parent.state_root)) {
        return rr_fail(
            fault, RR_ERR_DAMAGED,
            "the undo record of block %llu does not lead to its parent's state; replay the chain",
            (unsigned long long)height);
    }
    err = store_put_sum(txn, &sum, fault);
    return err == RR_OK ? rr_db_delete(txn, STORE_UNDO, store_key(&at), fault) : err;
}

static enum rr_err remove_block(struct undo *undo, struct rr_db_txn *txn, struct rr_fault *fault)
{
    struct ledger_key key = ledger_key_height(undo->chain->tip.height);
    struct rr_hash32 hash = undo->chain->tip_hash;
    enum rr_err err = rr_db_delete(txn, STORE_HEADERS, store_key(&key), fault);
    if (err == RR_OK) {
        err = rr_db_delete(txn, STORE_BLOCKS, store_key(&key), fault);
    }
    if (err == RR_OK) {
        err = rr_db_delete(txn, STORE_HASHES, rr_slice_of(hash.bytes, sizeof hash.bytes), fault);
    }
    for (uint32_t i = 0; err == RR_OK && i < undo->fresh; i++) {
        const struct rr_hash32 *id = &undo->list[i]->id;
        err = rr_db_delete(txn, STORE_TXS, rr_slice_of(id->bytes, sizeof id->bytes), fault);
    }
    return err == RR_OK ? store_put_tip(txn, undo->parent.height, &undo->parent_hash, fault) : err;
}

static enum rr_err undo_body(struct rr_db_txn *txn, void *ctx, struct rr_fault *fault)
{
    struct undo *undo = ctx;
    struct ledger_view below = store_view(txn);
    enum rr_err err = restore_state(undo, txn, fault);
    if (err == RR_OK) {
        err = remove_block(undo, txn, fault);
    }
    fit_clear(&undo->fit);
    if (err == RR_OK) {
        err = mempool_fit(undo->chain, &undo->fit, &below, undo->parent.height + 1, undo->list,
                          undo->count, UINT32_MAX, NULL, fault);
    }
    for (uint32_t i = 0; err == RR_OK && i < undo->fresh; i++) {
        err = mempool_put_row(txn, undo->list[i], fault);
    }
    return err == RR_OK ? mempool_delete_dropped(txn, &undo->fit, undo->list, fault) : err;
}

/* The block's transactions wait again, before all others. */
static enum rr_err collect(struct undo *undo, struct rr_fault *fault)
{
    struct rr_chain *chain = undo->chain;
    struct mempool *pool = &chain->mempool;
    struct rr_db_txn *txn;
    struct rr_block block;
    enum rr_err err = rr_db_begin(chain->db, false, &txn, fault);
    if (err != RR_OK) {
        return err;
    }
    err = store_header(txn, chain->tip.height - 1, &undo->parent, fault);
    if (err == RR_OK) {
        err = store_block(txn, chain->tip.height, &block, fault);
    }
    rr_db_abort(txn);
    if (err != RR_OK) {
        return err;
    }
    rr_header_hash(&undo->parent_hash, &undo->parent);
    uint64_t first = pool->count != 0 ? pool->list[0]->arrival : pool->next_arrival;
    undo->list = rr_alloc_array((size_t)block.tx_count + pool->count + 1, sizeof(struct waiting *));
    for (uint32_t i = 0; i < block.tx_count; i++) {
        undo->list[i] = waiting_new(&block.txs[i]);
        undo->list[i]->arrival = first - block.tx_count + i;
    }
    undo->fresh = block.tx_count;
    rr_block_clear(&block);
    for (uint32_t i = 0; i < pool->count; i++) {
        undo->list[undo->fresh + i] = pool->list[i];
    }
    undo->count = undo->fresh + pool->count;
    return RR_OK;
}

static enum rr_err undo_locked(struct rr_chain *chain, struct rr_fault *fault)
{
    struct undo undo = {.chain = chain};
    if (chain->tip.height == 0) {
        return rr_fail(fault, RR_ERR_STATE,
                       "the tip is the genesis block: there is nothing to take back");
    }
    enum rr_err err = collect(&undo, fault);
    if (err == RR_OK) {
        err = rr_db_write(chain->db, undo_body, &undo, fault);
        if (err == RR_OK) {
            mempool_adopt(&chain->mempool, &undo.fit, undo.list);
            chain->mean_height = 0;
            chain_set_tip(chain, &undo.parent, &undo.parent_hash);
        } else {
            fit_clear(&undo.fit);
            for (uint32_t i = 0; i < undo.fresh; i++) {
                rr_free(undo.list[i]);
            }
        }
        rr_free(undo.list);
    }
    return err;
}

enum rr_err rr_chain_undo_tip(struct rr_chain *chain, struct rr_fault *fault)
{
    pthread_mutex_lock(&chain->lock);
    enum rr_err err = undo_locked(chain, fault);
    pthread_mutex_unlock(&chain->lock);
    if (err == RR_OK) {
        chain_notify(chain);
    }
    return err;
}

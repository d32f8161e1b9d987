/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One block, one transaction of the database: a crash is before or after it, never inside. */
#include "ledger/ledger_chain.h"

#include <string.h>

RR_COUNTER(ledger_blocks, "reelrig_ledger_blocks_total", "Blocks appended by this process")
RR_COUNTER(ledger_txs, "reelrig_ledger_transactions_total",
           "Transactions in the blocks appended by this process")
RR_COUNTER(ledger_blocks_refused, "reelrig_ledger_blocks_refused_total", "Blocks that broke a rule")

/* ---- before the write: header, roots, clock, work; cheap before dear -------- */
static enum rr_err check_roots(const struct rr_block *block, struct rr_fault *fault)
{
    struct rr_hash32 root;
    rr_block_tx_root(&root, block->txs, block->tx_count);
    if (!rr_hash32_equal(&root, &block->header.tx_root)) {
        return rr_fail(fault, RR_ERR_TRUST,
                       "the transactions of block %llu do not hash to its header's root",
                       (unsigned long long)block->header.height);
    }
    ledger_attest_root(&root, block->txs, block->tx_count);
    if (!rr_hash32_equal(&root, &block->header.attest_root)) {
        return rr_fail(fault, RR_ERR_TRUST,
                       "the attestations of block %llu do not hash to its header's root",
                       (unsigned long long)block->header.height);
    }
    return RR_OK;
}

static enum rr_err check_header(struct rr_chain *chain, const struct rr_header *header,
                                struct rr_fault *fault)
{
    struct rr_db_txn *txn;
    struct rr_rule_past past;
    if (header->height != chain->tip.height + 1 ||
        !rr_hash32_equal(&header->parent, &chain->tip_hash)) {
        return rr_fail(fault, RR_ERR_STATE,
                       "the block is of height %llu on another parent than the tip, which has "
                       "height %llu; blocks "
                       "extend the tip only",
                       (unsigned long long)header->height, (unsigned long long)chain->tip.height);
    }
    enum rr_err err = rr_db_begin(chain->db, false, &txn, fault);
    if (err != RR_OK) {
        return err;
    }
    err = store_past(chain, txn, header->height, &past, fault);
    rr_db_abort(txn);
    if (err == RR_OK) {
        err = rr_rule_header(&chain->genesis, header, &chain->tip, &past, fault);
    }
    if (err != RR_OK) {
        return err;
    }
    uint64_t now_ms = rr_wall_ms(chain->clock);
    if (header->time_ms > now_ms && header->time_ms - now_ms > LEDGER_FUTURE_MS) {
        return rr_fail(fault, RR_ERR_TRUST,
                       "the block is dated %llu ms ahead of this clock, at most %d are allowed",
                       (unsigned long long)(header->time_ms - now_ms), LEDGER_FUTURE_MS);
    }
    return RR_OK;
}

/* ---- the write -------------------------------------------------------------- */
struct append {
    struct rr_chain *chain;
    const struct rr_block *block;
    struct rr_hash32 hash;
    struct waiting **left; /* waiting ones that this block does not hold */
    uint32_t left_count;
    struct fit fit; /* they, tried on the new state */
};

static bool is_waiting(void *ctx, const struct rr_hash32 *id)
{
    return mempool_find(ctx, id) != NULL;
}

struct writing {
    struct rr_db_txn *txn;
    struct rr_buf *undo;
    uint32_t changes;
};

static enum rr_err write_change(void *ctx, const struct ledger_change *change,
                                struct rr_fault *fault)
{
    struct writing *writing = ctx;
    writing->changes++;
    rr_write_u8(writing->undo, change->table);
    rr_write_var16(writing->undo, store_key(&change->key));
    rr_write_var16(writing->undo, rr_slice_of(change->old, change->old_len));
    return store_put(writing->txn, change->table, &change->key,
                     rr_slice_of(change->now, change->now_len), fault);
}

/* State, its hash, and the before-images: version, then table, key, old value (empty: absent) to
 * the end. */
static enum rr_err write_state(struct append *append, struct rr_db_txn *txn,
                               struct ledger_overlay *overlay, struct rr_fault *fault)
{
    const struct rr_header *header = &append->block->header;
    struct ledger_sum sum;
    struct rr_hash32 root;
    enum rr_err err = store_sum(txn, &sum, fault);
    if (err != RR_OK) {
        return err;
    }
    ledger_sum_overlay(&sum, overlay);
    ledger_sum_root(&root, &sum);
    if (!rr_hash32_equal(&root, &header->state_root)) {
        return rr_fail(fault, RR_ERR_TRUST,
                       "block %llu leads to another state than its header says",
                       (unsigned long long)header->height);
    }
    struct rr_buf undo = {0};
    struct writing writing = {.txn = txn, .undo = &undo};
    struct ledger_key key = ledger_key_height(header->height);
    rr_write_u8(&undo, 1);
    err = ledger_overlay_visit(overlay, write_change, &writing, fault);
    if (err == RR_OK) {
        err = store_put(txn, STORE_UNDO, &key, rr_buf_slice(&undo), fault);
    }
    rr_buf_clear(&undo);
    uint64_t hold = ledger_hold_blocks(&append->chain->genesis);
    if (err == RR_OK && header->height > hold) {
        struct ledger_key old = ledger_key_height(header->height - hold);
        err = rr_db_delete(txn, STORE_UNDO, store_key(&old), fault);
    }
    return err == RR_OK ? store_put_sum(txn, &sum, fault) : err;
}

static enum rr_err write_tx_places(const struct rr_block *block, struct rr_db_txn *txn,
                                   struct rr_fault *fault)
{
    struct rr_buf place = {0};
    enum rr_err err = RR_OK;
    for (uint32_t i = 0; err == RR_OK && i < block->tx_count; i++) {
        struct rr_hash32 id;
        rr_tx_id(&id, &block->txs[i]);
        place.len = 0;
        rr_write_u64(&place, block->header.height);
        rr_write_u32(&place, i);
        err = rr_db_put(txn, STORE_TXS, rr_slice_of(id.bytes, sizeof id.bytes),
                        rr_buf_slice(&place), fault);
    }
    rr_buf_clear(&place);
    return err;
}

static enum rr_err write_block(struct append *append, struct rr_db_txn *txn, struct rr_fault *fault)
{
    const struct rr_block *block = append->block;
    struct ledger_key key = ledger_key_height(block->header.height);
    struct rr_buf bytes = {0};
    rr_header_encode(&bytes, &block->header);
    enum rr_err err = store_put(txn, STORE_HEADERS, &key, rr_buf_slice(&bytes), fault);
    if (err == RR_OK) {
        rr_buf_clear(&bytes);
        rr_block_encode(&bytes, block);
        err = store_put(txn, STORE_BLOCKS, &key, rr_buf_slice(&bytes), fault);
    }
    rr_buf_clear(&bytes);
    if (err == RR_OK) {
        err =
            rr_db_put(txn, STORE_HASHES, rr_slice_of(append->hash.bytes, sizeof append->hash.bytes),
                      store_key(&key), fault);
    }
    if (err == RR_OK) {
        err = write_tx_places(block, txn, fault);
    }
    return err == RR_OK ? store_put_tip(txn, block->header.height, &append->hash, fault) : err;
}

/* Rows of mined transactions go, and of those that the new state no longer allows. */
static enum rr_err write_mempool(struct append *append, struct rr_db_txn *txn,
                                 const struct ledger_view *below, struct rr_fault *fault)
{
    const struct mempool *pool = &append->chain->mempool;
    const struct rr_block *block = append->block;
    enum rr_err err = RR_OK;
    for (uint32_t i = 0; err == RR_OK && i < block->tx_count; i++) {
        struct rr_hash32 id;
        rr_tx_id(&id, &block->txs[i]);
        const struct waiting *entry = mempool_find(pool, &id);
        err = entry != NULL ? mempool_delete_row(txn, entry, fault) : RR_OK;
    }
    fit_clear(&append->fit);
    if (err == RR_OK) {
        err = mempool_fit(append->chain, &append->fit, below, block->header.height + 1,
                          append->left, append->left_count, UINT32_MAX, NULL, fault);
    }
    return err == RR_OK ? mempool_delete_dropped(txn, &append->fit, append->left, fault) : err;
}

static enum rr_err append_body(struct rr_db_txn *txn, void *ctx, struct rr_fault *fault)
{
    struct append *append = ctx;
    struct rr_chain *chain = append->chain;
    struct ledger_rules rules = chain_rules(chain, append->block->header.height);
    struct ledger_view below = store_view(txn);
    struct ledger_overlay *overlay = ledger_overlay_new(&below);
    struct ledger_view view = ledger_overlay_view(overlay);
    rules.counting = true;
    enum rr_err err =
        ledger_apply_block(&rules, &view, append->block, is_waiting, &chain->mempool, fault);
    if (err == RR_OK) {
        err = write_state(append, txn, overlay, fault);
    }
    if (err == RR_OK) {
        err = write_block(append, txn, fault);
    }
    if (err == RR_OK) {
        err = write_mempool(append, txn, &view, fault);
    }
    ledger_overlay_free(overlay);
    return err;
}

/* Waiting transactions without those that the block holds. */
static void find_left(struct append *append)
{
    const struct mempool *pool = &append->chain->mempool;
    const struct rr_block *block = append->block;
    append->left = rr_alloc_array(pool->count + 1, sizeof(struct waiting *));
    for (uint32_t i = 0; i < block->tx_count; i++) {
        struct rr_hash32 id;
        rr_tx_id(&id, &block->txs[i]);
        struct waiting *entry = mempool_find(pool, &id);
        if (entry != NULL) {
            entry->listed = true;
        }
    }
    for (uint32_t i = 0; i < pool->count; i++) {
        if (!pool->list[i]->listed) {
            append->left[append->left_count++] = pool->list[i];
        }
        pool->list[i]->listed = false;
    }
}

static enum rr_err append_locked(struct rr_chain *chain, const struct rr_block *block,
                                 struct rr_fault *fault)
{
    struct append append = {.chain = chain, .block = block};
    enum rr_err err = check_header(chain, &block->header, fault);
    if (err == RR_OK) {
        err = check_roots(block, fault);
    }
    if (err == RR_OK && !ledger_work_holds(&block->header, chain->work, chain->work_ctx)) {
        err = rr_fail(fault, RR_ERR_TRUST,
                      "the work of block %llu does not hold: mix, final hash or difficulty",
                      (unsigned long long)block->header.height);
    }
    if (err != RR_OK) {
        return err;
    }
    rr_header_hash(&append.hash, &block->header);
    find_left(&append);
    err = rr_db_write(chain->db, append_body, &append, fault);
    if (err == RR_OK) {
        mempool_adopt(&chain->mempool, &append.fit, append.left);
        chain_set_tip(chain, &block->header, &append.hash);
    } else {
        fit_clear(&append.fit);
    }
    rr_free(append.left);
    return err;
}

enum rr_err rr_chain_append(struct rr_chain *chain, const struct rr_block *block,
                            struct rr_fault *fault)
{
    pthread_mutex_lock(&chain->lock);
    enum rr_err err = append_locked(chain, block, fault);
    pthread_mutex_unlock(&chain->lock);
    if (err == RR_OK) {
        rr_counter_add(&ledger_blocks, 1);
        rr_counter_add(&ledger_txs, block->tx_count);
        chain_notify(chain);
    } else if (ledger_is_refusal(err)) {
        rr_counter_add(&ledger_blocks_refused, 1);
    }
    return err;
}

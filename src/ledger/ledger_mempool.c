/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Waiting transactions: a list by arrival, an index by id, and the state as it will be after them.
 */
#include "ledger/ledger_chain.h"

#include <string.h>

/* Arrivals start here, so that the transactions of an undone block find room before those that
 * wait. */
#define ARRIVAL_FIRST (UINT64_C(1) << 32)

struct waiting *waiting_new(const struct rr_tx *tx)
{
    struct waiting *entry = rr_alloc(sizeof *entry);
    entry->tx = *tx;
    entry->weight = ledger_tx_weight(tx);
    rr_tx_id(&entry->id, tx);
    return entry;
}

/* Ids are hashes of signed bytes; the list is short, so a plain slot of their first word will do.
 */
static uint32_t slot_of(const struct mempool *pool, const struct rr_hash32 *id)
{
    return (uint32_t)rr_load_u64le(id->bytes) & pool->mask;
}

static void index_entry(struct mempool *pool, uint32_t at)
{
    uint32_t slot = slot_of(pool, &pool->list[at]->id);
    while (pool->slots[slot] != 0) {
        slot = (slot + 1) & pool->mask;
    }
    pool->slots[slot] = at + 1;
}

/* Room for `count` entries, and the index made anew. */
static void reindex(struct mempool *pool, uint32_t count)
{
    if (pool->cap < count || pool->list == NULL) {
        pool->cap = count < 64 ? 64 : count * 2;
        pool->list = rr_realloc(pool->list, pool->cap * sizeof(struct waiting *));
    }
    pool->mask = 127;
    while (pool->mask < 2 * pool->cap) {
        pool->mask = pool->mask * 2 + 1;
    }
    rr_free(pool->slots);
    pool->slots = rr_alloc_array((size_t)pool->mask + 1, sizeof *pool->slots);
    for (uint32_t i = 0; i < pool->count; i++) {
        index_entry(pool, i);
    }
}

void mempool_clear(struct mempool *pool)
{
    for (uint32_t i = 0; i < pool->count; i++) {
        rr_free(pool->list[i]);
    }
    rr_free(pool->list);
    rr_free(pool->slots);
    ledger_overlay_free(pool->pending);
    *pool = (struct mempool){0};
}

struct waiting *mempool_find(const struct mempool *pool, const struct rr_hash32 *id)
{
    if (pool->slots == NULL) {
        return NULL;
    }
    for (uint32_t slot = slot_of(pool, id); pool->slots[slot] != 0;
         slot = (slot + 1) & pool->mask) {
        struct waiting *entry = pool->list[pool->slots[slot] - 1];
        if (rr_hash32_equal(&entry->id, id)) {
            return entry;
        }
    }
    return NULL;
}

void mempool_push(struct mempool *pool, struct waiting *entry)
{
    if (pool->count == pool->cap) {
        reindex(pool, pool->count + 1);
    }
    pool->list[pool->count++] = entry;
    index_entry(pool, pool->count - 1);
    if (entry->arrival >= pool->next_arrival) {
        pool->next_arrival = entry->arrival + 1;
    }
}

static bool load_row(void *ctx, struct rr_slice key, struct rr_slice value)
{
    struct mempool *pool = ctx;
    struct rr_tx tx;
    struct rr_fault fault = {0};
    if (key.len != 8 || rr_tx_decode(&tx, value, &fault) != RR_OK) {
        rr_log(RR_LOG_WARN, "ledger", "a waiting transaction does not decode and is left out: %s",
               fault.text);
        return true;
    }
    struct waiting *entry = waiting_new(&tx);
    for (int i = 0; i < 8; i++) {
        entry->arrival = entry->arrival << 8 | key.ptr[i];
    }
    mempool_push(pool, entry);
    return true;
}

enum rr_err mempool_load(struct mempool *pool, struct rr_db_txn *txn, struct rr_fault *fault)
{
    pool->next_arrival = ARRIVAL_FIRST;
    pool->most = LEDGER_POOL_MAX;
    reindex(pool, 1);
    return rr_db_scan(txn, STORE_MEMPOOL, rr_slice_of(NULL, 0), load_row, pool, fault);
}

enum rr_err mempool_fit(struct rr_chain *chain, struct fit *out, const struct ledger_view *below,
                        uint64_t height, struct waiting *const *list, uint32_t count,
                        uint32_t focus, struct rr_fault *focus_fault, struct rr_fault *fault)
{
    struct ledger_rules rules = chain_rules(chain, height);
    struct fit fit = {.pending = ledger_overlay_new(below),
                      .drop = rr_alloc_array(count + 1, sizeof(bool)),
                      .count = count};
    struct ledger_view view = ledger_overlay_view(fit.pending);
    enum rr_err err = ledger_begin_block(&rules, &view, fault);
    for (uint32_t i = 0; err == RR_OK && i < count; i++) {
        struct rr_fault why = {0};
        struct rr_coin fee;
        rules.signatures_known = i != focus;
        err = ledger_apply_tx(&rules, &view, &list[i]->tx, &fee, &why);
        if (err != RR_OK && ledger_is_refusal(err)) {
            fit.drop[i] = true;
            err = RR_OK;
            if (i == focus && focus_fault != NULL) {
                *focus_fault = why;
            }
        } else if (err != RR_OK && fault != NULL) {
            *fault = why;
        }
    }
    if (err != RR_OK) {
        fit_clear(&fit);
        return err;
    }
    *out = fit;
    return RR_OK;
}

void fit_clear(struct fit *fit)
{
    ledger_overlay_free(fit->pending);
    rr_free(fit->drop);
    *fit = (struct fit){0};
}

void mempool_adopt(struct mempool *pool, struct fit *fit, struct waiting *const *list)
{
    struct waiting **old = pool->list;
    uint32_t old_count = pool->count;
    uint64_t next_arrival = pool->next_arrival;
    struct mempool fresh = {.next_arrival = next_arrival, .most = pool->most};
    reindex(&fresh, fit->count + 1);
    for (uint32_t i = 0; i < fit->count; i++) {
        list[i]->listed = true;
    }
    for (uint32_t i = 0; i < old_count; i++) {
        if (!old[i]->listed) {
            rr_free(old[i]);
        }
    }
    for (uint32_t i = 0; i < fit->count; i++) {
        list[i]->listed = false;
        if (fit->drop[i]) {
            rr_free(list[i]);
        } else {
            mempool_push(&fresh, list[i]);
        }
    }
    rr_free(old);
    rr_free(pool->slots);
    ledger_overlay_free(pool->pending);
    fresh.pending = fit->pending;
    fit->pending = NULL;
    fit_clear(fit);
    *pool = fresh;
}

enum rr_err mempool_put_row(struct rr_db_txn *txn, const struct waiting *entry,
                            struct rr_fault *fault)
{
    struct ledger_key key = ledger_key_height(entry->arrival);
    struct rr_buf bytes = {0};
    rr_tx_encode(&bytes, &entry->tx);
    enum rr_err err = store_put(txn, STORE_MEMPOOL, &key, rr_buf_slice(&bytes), fault);
    rr_buf_clear(&bytes);
    return err;
}

enum rr_err mempool_delete_row(struct rr_db_txn *txn, const struct waiting *entry,
                               struct rr_fault *fault)
{
    struct ledger_key key = ledger_key_height(entry->arrival);
    return rr_db_delete(txn, STORE_MEMPOOL, store_key(&key), fault);
}

enum rr_err mempool_delete_dropped(struct rr_db_txn *txn, const struct fit *fit,
                                   struct waiting *const *list, struct rr_fault *fault)
{
    for (uint32_t i = 0; i < fit->count; i++) {
        enum rr_err err = fit->drop[i] ? mempool_delete_row(txn, list[i], fault) : RR_OK;
        if (err != RR_OK) {
            return err;
        }
    }
    return RR_OK;
}

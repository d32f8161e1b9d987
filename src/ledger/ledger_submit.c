/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Taking a transaction in: checked on the state as it will be after all that wait, durable before
 * it is acknowledged. */
#include "ledger/ledger_chain.h"

#include <stdlib.h>
#include <string.h>

RR_COUNTER(ledger_txs_refused, "reelrig_ledger_transactions_refused_total",
           "Transactions that were submitted and refused")
RR_COUNTER(ledger_txs_evicted, "reelrig_ledger_transactions_evicted_total",
           "Waiting transactions that gave way to one with a higher fee")

static bool same_sender(const struct rr_tx *a, const struct rr_tx *b)
{
    return memcmp(a->sender.bytes, b->sender.bytes, sizeof a->sender.bytes) == 0;
}

/* ---- the usual way: after all that wait ------------------------------------- */
static enum rr_err put_row(struct rr_db_txn *txn, void *ctx, struct rr_fault *fault)
{
    return mempool_put_row(txn, ctx, fault);
}

/* The state after what waits is made anew when a write failed under it. */
static enum rr_err refit(struct rr_chain *chain, struct rr_fault *fault)
{
    struct rr_db_txn *txn;
    struct mempool *pool = &chain->mempool;
    struct fit fit;
    enum rr_err err = rr_db_begin(chain->db, false, &txn, fault);
    if (err != RR_OK) {
        return err;
    }
    struct ledger_view below = store_view(txn);
    err = mempool_fit(chain, &fit, &below, chain->tip.height + 1, pool->list, pool->count,
                      UINT32_MAX, NULL, fault);
    rr_db_abort(txn);
    if (err == RR_OK) {
        ledger_overlay_free(pool->pending);
        pool->pending = fit.pending;
        fit.pending = NULL;
        fit_clear(&fit);
    }
    return err;
}

static enum rr_err try_pending(struct rr_chain *chain, const struct rr_tx *tx,
                               struct rr_fault *fault)
{
    struct rr_db_txn *txn;
    struct rr_coin fee;
    enum rr_err err = chain->mempool.pending == NULL ? refit(chain, fault) : RR_OK;
    if (err == RR_OK) {
        err = rr_db_begin(chain->db, false, &txn, fault);
    }
    if (err != RR_OK) {
        return err;
    }
    struct ledger_rules rules = chain_rules(chain, chain->tip.height + 1);
    struct ledger_view below = store_view(txn);
    ledger_overlay_set_below(chain->mempool.pending, &below);
    struct ledger_view view = ledger_overlay_view(chain->mempool.pending);
    err = ledger_apply_tx(&rules, &view, tx, &fee, fault);
    rr_db_abort(txn);
    if (err != RR_OK && !ledger_is_refusal(err)) {
        ledger_overlay_free(chain->mempool.pending); /* may be half written */
        chain->mempool.pending = NULL;
    }
    return err;
}

static enum rr_err add_last(struct rr_chain *chain, const struct rr_tx *tx, struct rr_fault *fault)
{
    enum rr_err err = try_pending(chain, tx, fault);
    if (err != RR_OK) {
        return err;
    }
    struct waiting *entry = waiting_new(tx);
    entry->arrival = chain->mempool.next_arrival;
    err = rr_db_write(chain->db, put_row, entry, fault);
    if (err != RR_OK) {
        rr_free(entry);
        ledger_overlay_free(chain->mempool.pending);
        chain->mempool.pending = NULL;
        return err;
    }
    mempool_push(&chain->mempool, entry);
    return RR_OK;
}

/* ---- the rare way: another one gives way ------------------------------------ */
struct exchange {
    struct rr_chain *chain;
    struct waiting **list; /* as it shall be */
    uint32_t count, focus; /* the new one's place */
    const struct waiting *leaves;
    struct fit fit;
};

static enum rr_err exchange_rows(struct rr_db_txn *txn, void *ctx, struct rr_fault *fault)
{
    struct exchange *exchange = ctx;
    enum rr_err err = mempool_delete_row(txn, exchange->leaves, fault);
    if (err == RR_OK) {
        err = mempool_put_row(txn, exchange->list[exchange->focus], fault);
    }
    return err == RR_OK ? mempool_delete_dropped(txn, &exchange->fit, exchange->list, fault) : err;
}

/* `leaves` goes out, the transaction comes in (at its place when they have one sequence, else at
 * the end). */
static enum rr_err add_for(struct rr_chain *chain, const struct rr_tx *tx, struct waiting *leaves,
                           struct rr_fault *fault)
{
    struct mempool *pool = &chain->mempool;
    struct exchange exchange = {.chain = chain, .leaves = leaves};
    struct rr_db_txn *txn;
    struct waiting *entry = waiting_new(tx);
    bool in_place = same_sender(&leaves->tx, tx) && leaves->tx.sequence == tx->sequence;
    entry->arrival = in_place ? leaves->arrival : pool->next_arrival;
    exchange.list = rr_alloc_array(pool->count + 1, sizeof(struct waiting *));
    for (uint32_t i = 0; i < pool->count; i++) {
        if (pool->list[i] != leaves) {
            exchange.list[exchange.count++] = pool->list[i];
        } else if (in_place) {
            exchange.focus = exchange.count;
            exchange.list[exchange.count++] = entry;
        }
    }
    if (!in_place) {
        exchange.focus = exchange.count;
        exchange.list[exchange.count++] = entry;
    }
    struct rr_fault why = {0};
    enum rr_err err = rr_db_begin(chain->db, false, &txn, fault);
    if (err == RR_OK) {
        struct ledger_view below = store_view(txn);
        err = mempool_fit(chain, &exchange.fit, &below, chain->tip.height + 1, exchange.list,
                          exchange.count, exchange.focus, &why, fault);
        rr_db_abort(txn);
    }
    if (err == RR_OK && exchange.fit.drop[exchange.focus]) {
        err = why.code;
        if (fault != NULL) {
            *fault = why;
        }
    }
    if (err == RR_OK) {
        err = rr_db_write(chain->db, exchange_rows, &exchange, fault);
    }
    if (err == RR_OK) {
        mempool_adopt(pool, &exchange.fit, exchange.list);
        rr_counter_add(&ledger_txs_evicted, 1);
    } else {
        fit_clear(&exchange.fit);
        rr_free(entry);
    }
    rr_free(exchange.list);
    return err;
}

/* At least +10 %: each replacement costs its sender, so nobody can keep a node busy for free. */
static enum rr_err replace(struct rr_chain *chain, const struct rr_tx *tx, struct waiting *old,
                           struct rr_fault *fault)
{
    struct rr_coin least;
    if (!rr_coin_scale(&least, old->tx.fee, 11, 10) || rr_coin_compare(tx->fee, least) < 0 ||
        rr_coin_compare(tx->fee, old->tx.fee) <= 0) {
        char has[RR_COIN_TEXT_BYTES];
        char waits[RR_COIN_TEXT_BYTES];
        rr_coin_text(has, tx->fee);
        rr_coin_text(waits, old->tx.fee);
        return rr_fail(fault, RR_ERR_LIMIT,
                       "a transaction with sequence %llu and a fee of %s waits; replacing it takes "
                       "10 %% more, this one "
                       "pays %s",
                       (unsigned long long)tx->sequence, waits, has);
    }
    return add_for(chain, tx, old, fault);
}

/* fee_a / weight_a < fee_b / weight_b, exactly. */
static bool pays_less(struct rr_coin fee_a, uint64_t weight_a, struct rr_coin fee_b,
                      uint64_t weight_b)
{
    struct rr_u256 a = rr_u256_mul(rr_u256_of(rr_coin_units(fee_a)), rr_u256_of(weight_b), NULL);
    struct rr_u256 b = rr_u256_mul(rr_u256_of(rr_coin_units(fee_b)), rr_u256_of(weight_a), NULL);
    return rr_u256_compare(a, b) < 0;
}

static int by_sender(const void *a, const void *b)
{
    const struct waiting *x = *(struct waiting *const *)a;
    const struct waiting *y = *(struct waiting *const *)b;
    int order = memcmp(x->tx.sender.bytes, y->tx.sender.bytes, sizeof x->tx.sender.bytes);
    return order != 0                        ? order
           : x->tx.sequence < y->tx.sequence ? -1
                                             : x->tx.sequence > y->tx.sequence;
}

/* The one that pays least for its weight among the last of each sender: no sequence is left
 * hanging. */
static struct waiting *find_cheapest(const struct mempool *pool, const struct rr_tx *tx)
{
    struct waiting **sorted = rr_alloc_array(pool->count + 1, sizeof(struct waiting *));
    struct waiting *cheapest = NULL;
    memcpy(sorted, pool->list, pool->count * sizeof(struct waiting *));
    qsort(sorted, pool->count, sizeof(struct waiting *), by_sender);
    for (uint32_t i = 0; i < pool->count; i++) {
        bool last = i + 1 == pool->count || !same_sender(&sorted[i]->tx, &sorted[i + 1]->tx);
        if (last && !same_sender(&sorted[i]->tx, tx) &&
            (cheapest == NULL ||
             pays_less(sorted[i]->tx.fee, sorted[i]->weight, cheapest->tx.fee, cheapest->weight))) {
            cheapest = sorted[i];
        }
    }
    rr_free(sorted);
    return cheapest;
}

static enum rr_err add_full(struct rr_chain *chain, const struct rr_tx *tx, struct rr_fault *fault)
{
    struct waiting *cheapest = find_cheapest(&chain->mempool, tx);
    if (cheapest == NULL ||
        !pays_less(cheapest->tx.fee, cheapest->weight, tx->fee, ledger_tx_weight(tx))) {
        return rr_fail(fault, RR_ERR_LIMIT,
                       "%u transactions wait already and none pays less for its size; raise the "
                       "fee or come back later",
                       chain->mempool.count);
    }
    return add_for(chain, tx, cheapest, fault);
}

/* ---- the door --------------------------------------------------------------- */
static enum rr_err is_mined(struct rr_chain *chain, const struct rr_hash32 *id, bool *mined,
                            struct rr_fault *fault)
{
    struct rr_db_txn *txn;
    uint64_t height;
    uint32_t index;
    enum rr_err err = rr_db_begin(chain->db, false, &txn, fault);
    if (err != RR_OK) {
        return err;
    }
    err = store_tx_place(txn, id, &height, &index, fault);
    rr_db_abort(txn);
    *mined = err == RR_OK;
    return err == RR_ERR_NOTFOUND ? RR_OK : err;
}

static enum rr_err submit_locked(struct rr_chain *chain, const struct rr_tx *tx,
                                 struct rr_fault *fault)
{
    struct rr_hash32 id;
    struct mempool *pool = &chain->mempool;
    struct waiting *old = NULL;
    uint32_t of_sender = 0;
    bool known = false;
    rr_tx_id(&id, tx);
    if (mempool_find(pool, &id) != NULL) {
        return RR_OK;
    }
    enum rr_err err = is_mined(chain, &id, &known, fault);
    if (err != RR_OK || known) {
        return err;
    }
    for (uint32_t i = 0; i < pool->count; i++) {
        if (same_sender(&pool->list[i]->tx, tx)) {
            of_sender++;
            old = pool->list[i]->tx.sequence == tx->sequence ? pool->list[i] : old;
        }
    }
    if (old != NULL) {
        return replace(chain, tx, old, fault);
    }
    if (of_sender >= LEDGER_SENDER_MAX) {
        return rr_fail(fault, RR_ERR_LIMIT,
                       "%u transactions of this account wait, at most %d may; wait for a block",
                       of_sender, LEDGER_SENDER_MAX);
    }
    return pool->count >= pool->most ? add_full(chain, tx, fault) : add_last(chain, tx, fault);
}

enum rr_err rr_chain_submit(struct rr_chain *chain, const struct rr_tx *tx, struct rr_fault *fault)
{
    pthread_mutex_lock(&chain->lock);
    enum rr_err err = submit_locked(chain, tx, fault);
    chain_show(chain);
    pthread_mutex_unlock(&chain->lock);
    if (err == RR_OK) {
        chain_notify_waiting(chain);
    } else if (ledger_is_refusal(err)) {
        rr_counter_add(&ledger_txs_refused, 1);
    }
    return err;
}

enum rr_err rr_chain_next_sequence(struct rr_chain *chain, const struct rr_pubkey *key,
                                   uint64_t *out, struct rr_fault *fault)
{
    struct rr_address address;
    struct rr_account account;
    rr_address_of(&address, key);
    pthread_mutex_lock(&chain->lock);
    enum rr_err err = rr_chain_account(chain, &address, &account, fault);
    if (err == RR_OK) {
        uint64_t last = account.sequence;
        for (uint32_t i = 0; i < chain->mempool.count; i++) {
            const struct rr_tx *tx = &chain->mempool.list[i]->tx;
            if (memcmp(tx->sender.bytes, key->bytes, sizeof key->bytes) == 0 &&
                tx->sequence > last) {
                last = tx->sequence;
            }
        }
        *out = last + 1;
    }
    pthread_mutex_unlock(&chain->lock);
    return err;
}

struct rr_coin rr_chain_min_fee(const struct rr_chain *chain, const struct rr_tx *tx)
{
    return ledger_min_fee(&chain->genesis, tx);
}

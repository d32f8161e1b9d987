/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The chain object: where the rules meet the database, the clock and the waiting transactions.
 * Private to the folder. */
#ifndef RR_LEDGER_CHAIN_H
#define RR_LEDGER_CHAIN_H
#include "db/db.h"
#include "ledger/ledger_rules.h"

#include <pthread.h>

/* Database tables; the state tables keep their numbers of enum ledger_table. Heights are big-endian
 * keys. */
enum store_table {
    STORE_CHAIN =
        0, /* "genesis" -> encoding; "tip" -> height, hash; "sum" -> lanes of the state hash */
    STORE_HEADERS = 8,  /* height -> header */
    STORE_BLOCKS = 9,   /* height -> block */
    STORE_HASHES = 10,  /* header hash -> height */
    STORE_TXS = 11,     /* transaction id -> height, index */
    STORE_UNDO = 12,    /* height -> before-images */
    STORE_MEMPOOL = 13, /* arrival -> waiting transaction */
    STORE_SETS = 14,    /* height, index -> certificate set */
    STORE_TABLES = 15
};

#define LEDGER_WATCHERS_MAX 8
#define LEDGER_POOL_MAX     65536 /* waiting transactions */
#define LEDGER_SENDER_MAX   256   /* of one account */

/* A waiting transaction. */
struct waiting {
    struct rr_tx tx;
    struct rr_hash32 id;
    uint64_t arrival; /* its key in STORE_MEMPOOL, and their order */
    uint64_t weight;
    bool listed; /* mark of mempool_adopt */
};
/* Waiting transactions and the state as it will be after them, for the checks of the next one. */
struct mempool {
    struct waiting **list; /* by arrival */
    uint32_t count, cap;
    uint32_t *slots; /* by id: index + 1 into list */
    uint32_t mask;
    struct ledger_overlay *pending; /* on the tip's state; below it is set for each call */
    uint64_t next_arrival;
    uint32_t most; /* LEDGER_POOL_MAX */
};

struct rr_chain {
    struct rr_genesis genesis;
    uint32_t chain_id;
    const struct rr_clock *clock;
    bool (*work)(void *ctx, const uint8_t header_hash[32], uint64_t nonce, uint8_t mix[32],
                 uint8_t final_be[32]);
    void *work_ctx;
    struct rr_db *db;
    /* Held by whatever changes the chain or the waiting transactions, across the commit. Readers of
     * the state use a database transaction of their own and never wait for it. */
    pthread_mutex_t lock;
    struct rr_header tip; /* under lock, as all below it but `shown` */
    struct rr_hash32 tip_hash;
    struct mempool mempool;
    uint64_t mean_height; /* checkpoint that `mean` belongs to; 0: none yet */
    struct rr_u256 mean;
    /* What rr_chain_tip shows, under its own lock so that no caller waits for a disk. */
    pthread_mutex_t shown_lock;
    struct rr_chain_tip shown;
    struct {
        void (*fn)(void *ctx, const struct rr_chain_tip *tip);
        void *ctx;
    } watchers[LEDGER_WATCHERS_MAX];
    uint32_t watcher_count;
    struct {
        void (*fn)(void *ctx);
        void *ctx;
    } listeners[LEDGER_WATCHERS_MAX]; /* to waiting transactions; under shown_lock */
    uint32_t listener_count;
    pthread_mutex_t sender_lock; /* outermost: asking for a sequence and using it */
};

/* ---- store: typed access to the tables -------------------------------------- */
/* Reads the state through a transaction; put is a bug. */
struct ledger_view store_view(struct rr_db_txn *txn);
enum rr_err store_header(struct rr_db_txn *txn, uint64_t height, struct rr_header *out,
                         struct rr_fault *fault) RR_MUST_USE;
/* RR_ERR_NOTFOUND beyond the tip; *out owned (rr_block_clear). */
enum rr_err store_block(struct rr_db_txn *txn, uint64_t height, struct rr_block *out,
                        struct rr_fault *fault) RR_MUST_USE;
enum rr_err store_sum(struct rr_db_txn *txn, struct ledger_sum *out,
                      struct rr_fault *fault) RR_MUST_USE;
enum rr_err store_put_sum(struct rr_db_txn *txn, const struct ledger_sum *sum,
                          struct rr_fault *fault) RR_MUST_USE;
enum rr_err store_put_tip(struct rr_db_txn *txn, uint64_t height, const struct rr_hash32 *hash,
                          struct rr_fault *fault) RR_MUST_USE;
enum rr_err store_tip(struct rr_db_txn *txn, uint64_t *height, struct rr_hash32 *hash,
                      struct rr_fault *fault) RR_MUST_USE;
/* RR_ERR_NOTFOUND (fault not filled) when no block holds it. */
enum rr_err store_tx_place(struct rr_db_txn *txn, const struct rr_hash32 *id, uint64_t *height,
                           uint32_t *index, struct rr_fault *fault) RR_MUST_USE;
/* What the header of `height` (tip + 1) is judged by. Chain locked. */
enum rr_err store_past(struct rr_chain *chain, struct rr_db_txn *txn, uint64_t height,
                       struct rr_rule_past *out, struct rr_fault *fault) RR_MUST_USE;
enum rr_err store_put(struct rr_db_txn *txn, uint32_t table, const struct ledger_key *key,
                      struct rr_slice value, struct rr_fault *fault) RR_MUST_USE;
struct rr_slice store_key(const struct ledger_key *key);
/* Scans every state table; sums and root recomputed. RR_ERR_DAMAGED on a record that does not
 * decode. */
enum rr_err store_audit(struct rr_db_txn *txn, struct rr_chain_audit *out, struct ledger_sum *sum,
                        struct rr_fault *fault) RR_MUST_USE;

/* ---- chain ------------------------------------------------------------------ */
struct ledger_rules chain_rules(const struct rr_chain *chain, uint64_t height);
/* Makes `header` the tip in memory, and in what rr_chain_tip shows. Chain locked. */
void chain_set_tip(struct rr_chain *chain, const struct rr_header *header,
                   const struct rr_hash32 *hash);
/* Refreshes the number of waiting transactions in what is shown. Chain locked. */
void chain_show(struct rr_chain *chain);
/* Chain not locked. */
void chain_notify(struct rr_chain *chain);
void chain_notify_waiting(struct rr_chain *chain);

/* ---- waiting transactions --------------------------------------------------- */
struct waiting *waiting_new(const struct rr_tx *tx);
void mempool_clear(struct mempool *pool);
/* Reads STORE_MEMPOOL into the list; rows that no longer decode are logged and left out. */
enum rr_err mempool_load(struct mempool *pool, struct rr_db_txn *txn,
                         struct rr_fault *fault) RR_MUST_USE;
struct waiting *mempool_find(const struct mempool *pool, const struct rr_hash32 *id);
/* Tries a list on a state (borrowed view, one block below `height`): which of them still hold, in
 * this order. out->drop[i] true: does not. focus: its signatures are checked too, and its refusal
 * fills focus_fault (may be UINT32_MAX). *out owned (fit_clear). */
struct fit {
    struct ledger_overlay *pending;
    bool *drop;
    uint32_t count;
};
enum rr_err mempool_fit(struct rr_chain *chain, struct fit *out, const struct ledger_view *below,
                        uint64_t height, struct waiting *const *list, uint32_t count,
                        uint32_t focus, struct rr_fault *focus_fault,
                        struct rr_fault *fault) RR_MUST_USE;
void fit_clear(struct fit *fit);
/* Takes over the fit's overlay and keeps those of `list` that it did not drop; entries of the old
 * list that are in neither are freed, dropped ones too. */
void mempool_adopt(struct mempool *pool, struct fit *fit, struct waiting *const *list);
/* Deletes the rows of dropped entries. */
enum rr_err mempool_delete_dropped(struct rr_db_txn *txn, const struct fit *fit,
                                   struct waiting *const *list, struct rr_fault *fault) RR_MUST_USE;
/* Adds one that the pending state already contains. */
void mempool_push(struct mempool *pool, struct waiting *entry);
enum rr_err mempool_put_row(struct rr_db_txn *txn, const struct waiting *entry,
                            struct rr_fault *fault) RR_MUST_USE;
enum rr_err mempool_delete_row(struct rr_db_txn *txn, const struct waiting *entry,
                               struct rr_fault *fault) RR_MUST_USE;
#endif

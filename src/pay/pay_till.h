/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Private to pay: how the till keeps its book. */
#ifndef RR_PAY_TILL_H
#define RR_PAY_TILL_H
#include "db/db.h"
#include "pay/pay.h"
#include "pay/pay_viewers.h"
#include "proof/proof.h"
#include <pthread.h>
#include <stdatomic.h>

/* A request may skip at most this many paywords: bounds its hashing to well under a millisecond.
 * Ours. */
#define PAY_STEPS_MAX 4096
/* Certificates waiting for a block: four blocks full of the most that a header can commit to. Ours.
 */
#define PAY_CERTIFICATES_MAX 65536
/* A settlement that no block took within so many blocks is dead and made anew. Ours. */
#define PAY_SETTLE_BLOCKS 40

enum pay_table {
    PAY_TABLE_META,         /* "identity", "totals" of sessions no longer kept, "certificates" */
    PAY_TABLE_SESSIONS,     /* session id: session record */
    PAY_TABLE_SLICES,       /* session id || chunk u64 big-endian: 64-byte bit map */
    PAY_TABLE_CERTIFICATES, /* viewer || block height u64 big-endian: certificate record */
    PAY_TABLE_CREDITS,      /* pool id: milliseconds credited in blocks, u64 */
    PAY_TABLES
};

/* ---- slices paid: a set of 64-bit keys, kept in chunks of 512 ----------------------------------
 */
#define PAY_CHUNK_BYTES 64
struct pay_chunk {
    uint64_t number; /* key >> 9 */
    uint8_t bits[PAY_CHUNK_BYTES];
    bool used, dirty;
};
struct pay_slices {
    struct pay_chunk *chunks; /* open addressing, capacity a power of two */
    uint32_t capacity, count;
    uint64_t *changed; /* numbers of the dirty chunks */
    uint32_t changed_capacity, changed_count;
};
bool pay_slices_has(const struct pay_slices *slices, uint64_t key);
void pay_slices_add(struct pay_slices *slices, uint64_t key); /* marks its chunk dirty */
void pay_slices_load(struct pay_slices *slices, uint64_t number,
                     const uint8_t bits[static PAY_CHUNK_BYTES]);
/* The next dirty chunk, clean from now on; NULL when there is none. */
const struct pay_chunk *pay_slices_next_dirty(struct pay_slices *slices);
void pay_slices_set_dirty(struct pay_slices *slices); /* all of them, after a write that failed */
void pay_slices_clear(struct pay_slices *slices);

/* ---- sessions: one for each pool that pays this rig ---------------------------------------------
 */
struct pay_session {
    /* Fixed once it is in the tables. */
    uint8_t id[RR_SESSION_ID_BYTES];
    bool free; /* the owner's: nothing is booked */
    struct rr_hash32 pool_id, resource_id;
    struct rr_pubkey viewer;
    struct rr_coin unit_price;
    struct rr_coin origin; /* settled on the chain before this book began */
    struct pay_session *next_by_id, *next_by_pool, *next_by_viewer;
    struct pay_viewer *record; /* what the viewer returns for its service; NULL: the owner's */

    pthread_mutex_t lock; /* of all below */
    struct rr_voucher voucher;
    uint32_t depth;        /* of this voucher */
    struct rr_hash32 link; /* the payword at depth */
    struct rr_coin value;  /* of voucher at depth */
    uint64_t used_units;   /* slices served for them */
    struct pay_slices slices;

    /* As last seen on the chain. */
    struct rr_coin settled;
    struct rr_coin ceiling; /* settled + deposit left: more cannot be settled */
    struct rr_coin cap;     /* 0: none */
    uint64_t chain_seq, end_height;
    uint64_t facts_height; /* tip at which this was so */
    bool over;    /* nothing of it can be settled any more: released, or its last height passed */
    bool touched; /* since the chain was last asked */
    bool pressed; /* a charge met the risk limit: settle soon */

    uint64_t open_ms;      /* wall time of the first unit not settled; 0: none */
    struct rr_tx *pending; /* settlement on its way into a block; NULL: none */
    bool pending_sent;     /* in this life */

    uint64_t version, durable; /* of the fields that a record holds */
    bool queued;
    struct rr_coin counted; /* value within the till's totals */
};

/* Hash table in shards by a key field of the session; items are never taken out. */
enum pay_index { PAY_BY_ID, PAY_BY_POOL, PAY_BY_VIEWER };
#define PAY_SHARDS 64
struct pay_shard {
    pthread_rwlock_t lock;
    struct pay_session **buckets;
    uint32_t capacity, count;
};
struct pay_index_table {
    enum pay_index by;
    struct pay_shard shards[PAY_SHARDS];
};
void pay_index_init(struct pay_index_table *table, enum pay_index by);
void pay_index_clear(struct pay_index_table *table); /* not the sessions */
void pay_index_insert(struct pay_index_table *table, struct pay_session *session);
/* First session with this key (16 bytes by id, else 32), or after `after` the next; NULL when none.
 */
struct pay_session *pay_index_find(struct pay_index_table *table, const uint8_t *key,
                                   const struct pay_session *after);

/* ---- the till ----------------------------------------------------------------------------------
 */
typedef void pay_done_fn(void *ctx, enum rr_err result);
struct pay_waiter {
    pay_done_fn *done;
    void *ctx;
};
struct pay_queue {
    struct pay_waiter *waiters;
    size_t waiter_count, waiter_capacity;
    struct pay_session **sessions;
    size_t session_count, session_capacity;
};
struct pay_totals {
    uint64_t sessions, paid_units, settled_units;
    struct rr_coin paid, settled;
};
struct rr_till {
    struct rr_till_options options;
    uint32_t chain_id;
    struct rr_pubkey key;
    struct rr_address address;
    struct rr_db *db;
    _Atomic uint64_t height; /* of the tip, when it was last looked at */
    _Atomic uint64_t refused, certificates;
    _Atomic uint64_t certificates_refused[RR_PROOF_REFUSAL_COUNT];
    _Atomic uint64_t withheld;
    _Atomic(struct pay_viewer *) viewers; /* grows at its head, under create_lock */

    pthread_mutex_t create_lock; /* making sessions; of all[] */
    struct pay_index_table by_id, by_pool, by_viewer;
    struct pay_session **all;
    size_t count, capacity;
    uint8_t owner_id[RR_SESSION_ID_BYTES];

    pthread_mutex_t totals_lock;
    struct pay_totals totals; /* durable, sessions no longer kept included */
    uint64_t held_pools;      /* at the last settle */
    struct rr_coin held;

    pthread_mutex_t settle_lock;

    pthread_mutex_t certificate_lock; /* writers of certificates and credits */
    uint32_t waiting;                 /* certificates not in a block */
    bool (*work)(void *ctx, const uint8_t header_hash[32], uint64_t nonce, uint8_t mix[32],
                 uint8_t final_be[32]);
    void *work_ctx;
    bool (*work_many)(void *ctx, struct rr_proof_work *works, size_t count);
    void *work_many_ctx;
    void (*on_certificates)(void *ctx);
    void *on_certificates_ctx;

    pthread_mutex_t block_lock; /* a block and its certificates, as one; outside of all others */
    bool blocks_unmarked;       /* a block's certificates could not be marked; under block_lock */

    pthread_t committer;
    bool committer_made, committer_runs;
    pthread_mutex_t queue_lock;
    pthread_cond_t queue_wake;
    struct pay_queue queue;
    bool stop;
};

/* session.c */
struct pay_session *pay_session_new(void);
void pay_session_free(struct pay_session *session);
/* Into all[] and the indexes; under create_lock or before the till is shared. */
void pay_till_insert(struct rr_till *till, struct pay_session *session);
/* Copies the list of sessions; owned by the caller (rr_free). */
struct pay_session **pay_till_list(struct rr_till *till, size_t *count);
void pay_session_encode(struct rr_buf *out, const struct pay_session *session);
enum rr_err pay_session_decode(struct pay_session *out, struct rr_slice bytes,
                               struct rr_fault *fault) RR_MUST_USE;
/* Whole units between origin and value. */
uint64_t pay_session_units(const struct pay_session *session, struct rr_coin value);
/* value - settled, 0 when the chain is ahead. */
struct rr_coin pay_session_open_value(const struct pay_session *session);
/* What the chain says about a session's pool. Read without the session's lock: the chain has locks
 * of its own. */
struct pay_facts {
    uint64_t height; /* of the tip, read first */
    bool pool_found;
    struct rr_pool_state pool;
    struct rr_pool_target target;
    struct rr_hash32 pending_id; /* of the settlement asked for */
    bool pending_mined;
};
/* pending_id NULL: no settlement is on its way. */
enum rr_err pay_facts_read(struct rr_till *till, struct pay_facts *out,
                           const struct rr_hash32 *pool_id, const struct rr_hash32 *pending_id,
                           struct rr_fault *fault) RR_MUST_USE;
/* Takes them over unless older than what is known; under the session's lock. True when its record
 * changed (version is raised). */
bool pay_facts_take(struct rr_till *till, struct pay_session *session,
                    const struct pay_facts *facts);

/* Adds what one session paid to sums. */
void pay_totals_add(struct pay_totals *totals, const struct pay_session *session);

/* load.c: what earlier lives left; sessions that are over go into the sums and out of the tables.
 */
enum rr_err pay_till_load(struct rr_till *till, struct rr_fault *fault) RR_MUST_USE;

/* commit.c */
enum rr_err pay_committer_start(struct rr_till *till, struct rr_fault *fault) RR_MUST_USE;
void pay_committer_stop(struct rr_till *till);
/* Under the session's lock: its record has to be written; done (may be NULL) is called after. */
void pay_committer_queue(struct rr_till *till, struct pay_session *session, pay_done_fn *done,
                         void *ctx);
/* Waits until one callback came. */
struct pay_wait {
    pthread_mutex_t lock;
    pthread_cond_t wake;
    uint32_t left;
    enum rr_err err; /* the first that was not RR_OK */
};
void pay_wait_init(struct pay_wait *wait);
void pay_wait_expect(struct pay_wait *wait); /* one more callback */
void pay_wait_done(void *wait, enum rr_err result);
enum rr_err pay_wait_finish(struct pay_wait *wait); /* blocks, then clears */

/* voucher.c: rules for taking money; all under the session's lock, nothing durable yet. */
/* What needs no session: chain, target, signature of the owner. */
enum rr_err pay_voucher_check(const struct rr_till *till, const struct rr_voucher *voucher,
                              const struct rr_pubkey *owner, struct rr_fault *fault) RR_MUST_USE;
bool pay_voucher_same(const struct rr_voucher *a, const struct rr_voucher *b);
/* Makes `voucher` (checked) the session's; *changed false when it already is. */
enum rr_err pay_voucher_take(const struct rr_till *till, struct pay_session *session,
                             const struct rr_voucher *voucher, bool *changed,
                             struct rr_fault *fault) RR_MUST_USE;
/* Moves to `depth` when preimage proves it; *changed false when that deep already. */
enum rr_err pay_payword_take(const struct rr_till *till, struct pay_session *session,
                             uint32_t depth, const struct rr_hash32 *preimage, bool *changed,
                             struct rr_fault *fault) RR_MUST_USE;
#endif

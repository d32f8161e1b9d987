/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The door of pay, floor 4: micropayment pools from the provider's and the payer's side (spec 60,
 * 1-3). */
#ifndef RR_PAY_H
#define RR_PAY_H
#include "ledger/ledger.h"
#include "proof/proof.h"
#include "wire/wire.h"

/* ---- provider: sessions of paying viewers ---------------------------------------------------- */
struct rr_till; /* the provider's book: durable, one db environment */
/* What a viewer that keeps certificates back comes to (spec 10, 3). */
enum rr_till_withholding {
    RR_WITHHOLDING_REPORT, /* log, counter, stats */
    RR_WITHHOLDING_DROP,   /* and nothing more is served to it for one reputation window */
    RR_WITHHOLDING_OFF     /* not looked at */
};
struct rr_till_options {
    const char *folder;
    struct rr_chain *chain;           /* borrowed; pools are looked up there */
    const struct rr_genesis *genesis; /* borrowed */
    const struct rr_seckey *key;      /* target of vouchers; borrowed */
    const struct rr_clock *clock;
    struct rr_coin risk_limit;    /* unsettled exposure per pool (spec 60, 1 c) */
    struct rr_coin settle_amount; /* settle when this much is open, */
    uint64_t settle_age_ms;       /* or this old, */
    uint32_t margin_blocks;       /* or this close to the pool's end */
    uint32_t commit_ms;           /* group commit, <= 20 */
    enum rr_till_withholding withholding;
};
/* Sessions, vouchers and paid units of a former life come back; certificates in blocks of the chain
 * are marked as spent. *out owned (close). Starts the commit thread. Blocks. */
enum rr_err rr_till_open(struct rr_till **out, const struct rr_till_options *options,
                         struct rr_fault *fault) RR_MUST_USE;
void rr_till_close(struct rr_till *till);

/* Opens a session, or renews its voucher: checks pool (own chain), owner's signature, target,
 * expiry, funds, exposure, sequence, `slice_price` of the manifest. Durable on return. Same viewer,
 * pool and voucher again: same session. Blocks (one group commit). */
enum rr_err rr_till_open_session(struct rr_till *till, struct rr_session_answer *out,
                                 const struct rr_session_request *request,
                                 const struct rr_manifest *manifest,
                                 struct rr_fault *fault) RR_MUST_USE;
/* A session without price for the rig's own player; forgotten at restart. */
void rr_till_owner_session(struct rr_till *till, uint8_t out[static RR_SESSION_ID_BYTES]);

/* Books the payment of a request header for `units` slices of a resource. Result through `done`,
 * once, on the commit thread after the units are durable (or at once, inside the call, when nothing
 * new has to be written): RR_OK: serve. RR_ERR_FUNDS: not enough paid, risk limit reached, pool or
 * voucher at its end (402). RR_ERR_LIMIT: more than 4096 units in one request. RR_ERR_STATE: the
 * viewer is dropped, since its certificates fail to come.
 * RR_ERR_TRUST, _NOTFOUND: wrong preimage or session. RR_ERR_FULL, _IO: not written; the same
 * request may come again. `done` must not block, and must not open sessions. Keys ascending are
 * cheapest. Overpaid units stay credited. Each slice key (rendition u16 << 48 | segment u32 << 16 |
 * slice u16) already paid in this session is free of charge. Never blocks; any thread. [THETA-PAT
 * 0103-0117] */
void rr_till_charge(struct rr_till *till, const struct rr_payment_header *payment,
                    const struct rr_hash32 *resource_id, const uint64_t *slice_keys,
                    uint32_t slice_count, void (*done)(void *ctx, enum rr_err result), void *ctx);

/* Units that a session of this resource has paid in all, by its best voucher and payword; durable
 * or about to be. RR_ERR_NOTFOUND. Any thread. */
enum rr_err rr_till_paid(struct rr_till *till, uint64_t *units,
                         const uint8_t session_id[static RR_SESSION_ID_BYTES],
                         const struct rr_hash32 *resource_id, struct rr_fault *fault) RR_MUST_USE;

struct rr_till_taken {
    uint32_t accepted; /* known ones too */
    uint32_t refused[RR_PROOF_REFUSAL_COUNT];
};
/* Certificates of viewers, checked (place, on time, binding, signature, work in one batch), kept
 * durable until they are in a block. At most RR_CERTIFICATES_POST_MAX, else RR_ERR_LIMIT;
 * RR_ERR_STATE without a verifier. Work that is below the floor is no credit but is seen by the
 * test for withholding. Blocks for work and one commit. */
enum rr_err rr_till_add_certificates(struct rr_till *till,
                                     const struct rr_certificate *certificates, uint32_t count,
                                     struct rr_till_taken *taken,
                                     struct rr_fault *fault) RR_MUST_USE;
/* Verifier of certificate work, set at start; as in ledger.h. */
void rr_till_set_work(struct rr_till *till,
                      bool (*work)(void *ctx, const uint8_t header_hash[32], uint64_t nonce,
                                   uint8_t mix[32], uint8_t final_be[32]),
                      void *ctx);
/* The same for many at once, used instead; as in proof.h. Any thread may be called by it. */
void rr_till_set_work_many(struct rr_till *till,
                           bool (*work_many)(void *ctx, struct rr_proof_work *works, size_t count),
                           void *ctx);
/* Wakes the caller when new certificates wait for a block: on the thread that brought them, no lock
 * held. One caller, set at start. */
void rr_till_on_certificates(struct rr_till *till, void (*fn)(void *ctx), void *ctx);
/* Sets for the next block out of the certificates at hand, capped by technique 1 and by what each
 * pool paid (settled) over genesis credit_units_per_ms. Waits for an rr_till_append that runs.
 * *sets owned by the caller (rr_till_free_sets). Not from a callback of the chain's tip. */
enum rr_err rr_till_build_sets(struct rr_till *till, struct rr_certificate_set **sets,
                               uint32_t *count, uint64_t next_height,
                               struct rr_fault *fault) RR_MUST_USE;
void rr_till_free_sets(struct rr_certificate_set *sets, uint32_t count);
/* A solved block of this rig to the chain: its sets kept, the block appended, its certificates
 * marked as spent, in this order; a crash in between is mended by the next rr_till_open. The errors
 * of rr_chain_append and _keep_sets; when only the marking fails it is logged, made up for before
 * the next sets are built, and RR_OK. Any thread; blocks. */
enum rr_err rr_till_append(struct rr_till *till, const struct rr_block *block,
                           const struct rr_certificate_set *sets, uint32_t count,
                           struct rr_fault *fault) RR_MUST_USE;
/* Marks the certificates of these sets as spent by block `height`. Twice is once. */
enum rr_err rr_till_sets_mined(struct rr_till *till, const struct rr_certificate_set *sets,
                               uint32_t count, uint64_t height, struct rr_fault *fault) RR_MUST_USE;

/* Settlements that are due now (`all`: everything open): signed settle transactions, submitted to
 * the chain; and takes note of those that are in blocks. Call it at each tip. */
enum rr_err rr_till_settle(struct rr_till *till, bool all, uint32_t *submitted,
                           struct rr_fault *fault) RR_MUST_USE;

struct rr_till_stats {
    uint64_t sessions, paid_units, certificates; /* since the data folder was made */
    struct rr_coin paid, settled;                /* paid: best vouchers; settled: on the chain */
    uint64_t settled_units;                      /* settled amounts over their unit prices */
    uint64_t refused;
    uint64_t held_pools; /* due, but the fee is more than what is open; at the last settle */
    struct rr_coin held; /* open in these */
    uint64_t certificates_refused[RR_PROOF_REFUSAL_COUNT]; /* in this life, as the next two */
    uint64_t withheld;        /* how often a viewer was found to keep certificates back */
    uint64_t dropped_viewers; /* now */
};
void rr_till_stats(struct rr_till *till, struct rr_till_stats *out);
struct rr_till_pool {
    struct rr_hash32 pool_id, resource_id;
    struct rr_pubkey viewer;
    struct rr_coin paid, settled, unit_price;
    uint64_t units, end_height;
    /* Of its viewer: puzzles in which it was served and demanded work, in this life, at most
     * RR_PROOF_WITHHOLDING_PUZZLES; and the verdict on them. */
    struct rr_proof_withholding service;
    bool dropped;
};
enum rr_err rr_till_visit(struct rr_till *till,
                          bool (*visit)(void *ctx, const struct rr_till_pool *pool), void *ctx,
                          struct rr_fault *fault) RR_MUST_USE;

/* ---- payer: a core without I/O --------------------------------------------------------------- */
/* Voucher and payword chain of one pool towards one target. Serialized state is written durably by
 * the caller BEFORE a preimage it allows leaves the process (reserve before sign). */
struct rr_purse;
/* max_units paywords at unit_price; needs deposit >= max_units * unit_price. seed: 32 secret bytes,
 * copied. NULL when max_units is 0 or beyond RR_PURSE_UNITS_MAX (ours: 2.3 s of hashing and 8 MB).
 * Makes the whole chain: 0.14 us a unit. */
#define RR_PURSE_UNITS_MAX (1u << 24)
struct rr_purse *rr_purse_new(const struct rr_seckey *key, uint32_t chain_id,
                              const struct rr_hash32 *pool_id, const struct rr_pubkey *target,
                              struct rr_coin unit_price, uint32_t max_units, uint64_t expiry_height,
                              const uint8_t seed[static 32]);
/* The next voucher of the same pool, target and price: sequence up by one, starting at what was
 * paid, with a chain of its own. For a chain that is used up or expires; give it to the provider by
 * a session request. RR_ERR_LIMIT leaves the purse as it was. */
enum rr_err rr_purse_renew(struct rr_purse *purse, const struct rr_seckey *key, uint32_t max_units,
                           uint64_t expiry_height, struct rr_fault *fault) RR_MUST_USE;
void rr_purse_free(struct rr_purse *purse);
const struct rr_voucher *rr_purse_voucher(const struct rr_purse *purse);
/* Pays `units` more: the depth and preimage to send. RR_ERR_FUNDS when the chain is used up. */
enum rr_err rr_purse_pay(struct rr_purse *purse, uint32_t units, uint32_t *depth,
                         struct rr_hash32 *preimage, struct rr_fault *fault) RR_MUST_USE;
uint32_t rr_purse_depth(const struct rr_purse *purse);
/* Sets the depth on resume (never lower). */
void rr_purse_resume(struct rr_purse *purse, uint32_t depth);
/* Whole state but the key: for the caller's file. Decode checks against key. */
void rr_purse_encode(struct rr_buf *out, const struct rr_purse *purse);
enum rr_err rr_purse_decode(struct rr_purse **out, const struct rr_seckey *key,
                            struct rr_slice bytes, struct rr_fault *fault) RR_MUST_USE;
#endif

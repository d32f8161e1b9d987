/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The door of proof, floor 3: what makes a service certificate count, and proof of transcoding as
 * the ledger sees it (spec 10, 3; 20, 4; 50, 3). A core without I/O: blocks and work come through
 * callbacks. Any thread; nothing is kept between calls. */
#ifndef RR_PROOF_H
#define RR_PROOF_H
#include "proof/proof_engagement.h"
#include "proof/proof_verdicts.h"
#include "proof/proof_withholding.h"
#include "wire/wire.h"

/* ---- service certificates -------------------------------------------------------------------- */
/* Where the checks get their facts. All pointers borrowed for the call. */
struct rr_proof_view {
    const struct rr_genesis *genesis;
    uint64_t tip_height;
    /* Hash of the block at `height` <= tip_height on the own chain; false when it cannot be read.
     */
    bool (*block_hash)(void *ctx, uint64_t height, struct rr_hash32 *out);
    void *block_ctx;
    /* Light evaluation of work: fills mix and final_be of header hash and nonce; false when it
     * cannot. As in ledger.h, but nothing to compare mix with: a certificate carries none, so it is
     * handed in zeroed. */
    bool (*work)(void *ctx, const uint8_t header_hash[32], uint64_t nonce, uint8_t mix[32],
                 uint8_t final_be[32]);
    void *work_ctx;
};
/* Height whose block hash is the puzzle while `tip_height` is the tip: the greatest multiple of d
 * that is not above it
 * ([THETA-18] technique 2: a puzzle lives d blocks, so heights between make no puzzles of their
 * own). */
uint64_t rr_proof_puzzle_height(const struct rr_genesis *genesis, uint64_t tip_height);
/* True when a certificate for block k may enter a block at next_height: k below it, and not more
 * than W below. */
bool rr_proof_in_window(const struct rr_genesis *genesis, uint64_t block_height,
                        uint64_t next_height) RR_MUST_USE;
/* What costs no curve and no memory-hard hash: chain, cacher, puzzle height, window, own block hash
 * at k. RR_ERR_TRUST (another chain, cacher or block), RR_ERR_STATE (height out of the window or no
 * puzzle of its own). */
enum rr_err rr_proof_certificate_place(const struct rr_proof_view *view,
                                       const struct rr_certificate *certificate,
                                       const struct rr_pubkey *cacher,
                                       struct rr_fault *fault) RR_MUST_USE;
/* The whole check: place, signature of the viewer, then work. *service_ms: T_sc of [THETA-18 eq 6,
 * 11] with the floor of spec 50, 3; never 0 on success. RR_ERR_TRUST also for a wrong signature;
 * RR_ERR_LIMIT for work below the floor. */
enum rr_err rr_proof_certificate_check(const struct rr_proof_view *view, uint64_t *service_ms,
                                       const struct rr_certificate *certificate,
                                       const struct rr_pubkey *cacher,
                                       struct rr_fault *fault) RR_MUST_USE;
/* True while the cacher that made the puzzle of block_height takes certificates for it: during the
 * puzzle and the next one, or for the time of one where blocks come faster than T_b. end_ms: date
 * of block_height + d, which ended the puzzle, where tip_height is not below it; tip_ms: date of
 * the tip. Ours: what is found at the end of a puzzle needs a way and a block's time to arrive;
 * later ones would let a viewer answer for puzzles that it did not watch in. A block may hold
 * certificates of its whole window. */
bool rr_proof_on_time(const struct rr_genesis *genesis, uint64_t block_height, uint64_t tip_height,
                      uint64_t end_ms, uint64_t tip_ms) RR_MUST_USE;

/* ---- many certificates at once ------------------------------------------------------------------
 */
#define RR_PROOF_REFUSALS(X)                                                                       \
    X(RR_PROOF_ACCEPTED, "accepted")                                                               \
    X(RR_PROOF_CHAIN, "chain")         /* for another chain */                                     \
    X(RR_PROOF_CACHER, "cacher")       /* for another cacher */                                    \
    X(RR_PROOF_HEIGHT, "height")       /* not a puzzle's, or out of the window */                  \
    X(RR_PROOF_LATE, "late")           /* its puzzle and the next one are over */                  \
    X(RR_PROOF_BLOCK, "block")         /* not this chain's block */                                \
    X(RR_PROOF_UNBOUND, "unbound")     /* the viewer has no pool that pays this rig */             \
    X(RR_PROOF_SIGNATURE, "signature") /* not the viewer's */                                      \
    X(RR_PROOF_WORK, "work")           /* below the floor of a quarter */                          \
    X(RR_PROOF_FULL, "full")           /* no room to keep it */
enum rr_proof_refusal {
#define X(id, text) id,
    RR_PROOF_REFUSALS(X)
#undef X
        RR_PROOF_REFUSAL_COUNT
};
/* "late", "work": a word for counters and answers; static. */
const char *rr_proof_refusal_text(enum rr_proof_refusal refusal);
struct rr_proof_verdict {
    enum rr_proof_refusal refusal;
    bool worked;          /* final_be holds the work, also of one refused for its floor */
    uint8_t final_be[32]; /* H* */
    uint64_t service_ms;  /* T_sc; 0 unless accepted */
};
#define RR_PROOF_BATCH_MAX 256
/* Each as rr_proof_certificate_check would, but in three passes over all: place, signatures, and
 * then the work of those that are left as one batch through work_many (NULL: one by one through
 * view->work). A certificate given twice is computed once for each. verdicts[i].refusal is kept as
 * it is where it is not RR_PROOF_ACCEPTED at the call: the caller has refused that one by rules of
 * its own. count at most RR_PROOF_BATCH_MAX, else RR_ERR_LIMIT; RR_ERR_STATE when the work could
 * not be computed (then nothing is judged). Any thread; blocks for the work. (spec 10, 3:
 * verification is batched) */
enum rr_err
rr_proof_certificates_check(const struct rr_proof_view *view, struct rr_proof_verdict *verdicts,
                            const struct rr_certificate *certificates, uint32_t count,
                            const struct rr_pubkey *cacher,
                            bool (*work_many)(void *ctx, struct rr_proof_work *works, size_t count),
                            void *work_ctx, struct rr_fault *fault) RR_MUST_USE;

/* ---- sets for a block ([THETA-18] techniques 1 and 3; spec 50, 3) ------------------------------
 */
/* Most entries a block may carry: the cap of genesis and of the header's form, whichever is less.
 */
uint32_t rr_proof_entries_max(const struct rr_genesis *genesis);
/* Milliseconds of credit that a pool still has; called once for each distinct pool of a building or
 * check. */
struct rr_proof_room {
    uint64_t (*ms)(void *ctx, const struct rr_hash32 *pool_id);
    void *ctx;
};
/* Sets out of `entries` (credit_ms = T_sc, pool_id as bound; cacher the same in all), which are
 * sorted in place by (viewer, block height). Of equal (viewer, block height) the one with most
 * credit stays. Credit is cut to the room of the pool, in order; entries left with none are
 * dropped, and so are those beyond rr_proof_entries_max. With binding none, room is not asked and
 * pool_id becomes zero. *sets owned by the caller (rr_proof_sets_free); count 0: NULL. */
void rr_proof_sets_build(const struct rr_genesis *genesis, struct rr_certificate_set **sets,
                         uint32_t *count, struct rr_certificate_entry *entries,
                         uint32_t entry_count, struct rr_proof_room room);
void rr_proof_sets_free(struct rr_certificate_set *sets, uint32_t count);
/* The rules for sets that another built: sizes, order and uniqueness across all sets, one cacher,
 * binding, credit over no pool's room. Signatures and work are rr_proof_certificate_check's.
 * RR_ERR_TRUST or RR_ERR_LIMIT names set and entry. */
enum rr_err rr_proof_sets_check(const struct rr_genesis *genesis,
                                const struct rr_certificate_set *sets, uint32_t count,
                                struct rr_proof_room room, struct rr_fault *fault) RR_MUST_USE;

/* The whole check of sets that another built, `cacher` its miner: rr_proof_sets_check, then place,
 * signature and work of each certificate by rr_proof_certificates_check, a set at a time, and no
 * credit above T_sc. RR_ERR_TRUST, RR_ERR_LIMIT, RR_ERR_STATE; names set and entry. Blocks. */
enum rr_err
rr_proof_sets_verify(const struct rr_proof_view *view, const struct rr_certificate_set *sets,
                     uint32_t count, const struct rr_pubkey *cacher, struct rr_proof_room room,
                     bool (*work_many)(void *ctx, struct rr_proof_work *works, size_t count),
                     void *work_ctx, struct rr_fault *fault) RR_MUST_USE;

/* ---- proof of transcoding (spec 20, 4) ----------------------------------------------------------
 */
/* The beacon is the block this far above the one that holds the claim. Ours: the hash of the
 * claim's own block is in the hands of the miner that includes it, who may be the claimant; the
 * block after that he can only withhold, at the price of a reward. Two keeps the road short; longer
 * waits belong to chains with strangers as miners. */
#define RR_PROOF_BEACON_BLOCKS 2
uint64_t rr_proof_beacon_height(uint64_t claimed_height); /* saturates */
/* Leaves to be checked: max(challenges, ceil(leaves / 64)), at most leaves. */
uint32_t rr_proof_draw_count(uint32_t leaves, uint16_t challenges);
/* Draws rr_proof_draw_count distinct leaves, each subset equally likely, ascending into indices[];
 * leaves in 1..RR_LEAVES_MAX, else RR_ERR_LIMIT. *count <= capacity, else RR_ERR_LIMIT. Stream:
 * BLAKE2b-256("rr.pot.draw.v1", beacon || counter u64) in u64 words, rejection sampling, Floyd's
 * method; beacon = BLAKE2b-256("rr.pot.beacon.v1", block hash || root). The root is mixed in so
 * that one block draws differently for each claim. */
enum rr_err rr_proof_draw(const struct rr_hash32 *block_hash, const struct rr_hash32 *root,
                          uint32_t leaves, uint16_t challenges, uint32_t *indices, uint32_t *count,
                          uint32_t capacity, struct rr_fault *fault) RR_MUST_USE;
/* What an answer has to fit: contract and claim as they stand on the ledger. */
struct rr_proof_claim {
    struct rr_hash32 contract_id, job_id, root;
    uint32_t leaves;
};
/* The answer is for this claim and this drawn index, and its leaf stands there under the root.
 * RR_ERR_TRUST says which part does not hold. The re-encode itself is transcode's. */
enum rr_err rr_proof_answer_check(const struct rr_pot_answer *answer,
                                  const struct rr_proof_claim *claim, uint32_t index,
                                  struct rr_fault *fault) RR_MUST_USE;
/* Evidence of an attestation: "rr.pot.evid.v1" over count u32, then per answer, in the order drawn,
 * length u32 of its encoding, the encoding, and passed u8. */
void rr_proof_evidence(struct rr_hash32 *out, const struct rr_pot_answer *answers,
                       const bool *passed, uint32_t count);
#endif

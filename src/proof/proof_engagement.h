/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Engagement puzzles ([THETA-18] eq. 12-13; spec 10, 4): work on a segment, claims, prizes. Enter
 * by proof.h. */
#ifndef RR_PROOF_ENGAGEMENT_H
#define RR_PROOF_ENGAGEMENT_H
#include "keccak/keccak.h"
#include "wire/wire.h"

/* ---- the segment, read once for all its puzzles and viewers ------------------------------------
 */
/* Hashes of a plain segment (wire_puzzle.h) that go on; in the caller's memory, may be copied, one
 * thread at a time. */
struct rr_proof_segment {
    struct rr_keccak256 work;
    struct rr_hasher digest;
};
void rr_proof_segment_begin(struct rr_proof_segment *out);
/* The next bytes of the plain segment; any cut of it gives the same. */
void rr_proof_segment_add(struct rr_proof_segment *segment, const void *bytes, size_t len);
/* begin and add for a file that has been taken apart. */
void rr_proof_segment_of(struct rr_proof_segment *out, const struct rr_puzzle_scan *scan);
/* "rr.segment.v1" of what was added. Does not end it. */
void rr_proof_segment_digest(const struct rr_proof_segment *segment, struct rr_hash32 *out);
/* keccak256("reelrig/poe" || segment || rand || viewer), which the work is done on: who knows it
 * has had each byte of the segment. Does not end it. [THETA-18 eq. 13; spec 10, 4] */
void rr_proof_segment_engagement(const struct rr_proof_segment *segment, struct rr_hash32 *out,
                                 const uint8_t rand[static RR_PUZZLE_RAND_BYTES],
                                 const struct rr_pubkey *viewer);

/* ---- claims --------------------------------------------------------------------------------- */
/* Which segment of which network. */
struct rr_proof_place {
    uint32_t chain_id;
    struct rr_hash32 resource_id;
    uint16_t rendition;
    uint32_t segment;
};
/* Everything of a claim but nonce and signature, which stay zero; the search is on out->engagement.
 * RR_ERR_TRUST when the puzzle is of another segment. */
enum rr_err
rr_proof_engagement_begin(struct rr_puzzle_claim *out, const struct rr_proof_place *place,
                          const struct rr_puzzle_box *box, const struct rr_proof_segment *segment,
                          const struct rr_pubkey *viewer, struct rr_fault *fault) RR_MUST_USE;

/* Where the checks get their facts. All pointers borrowed for the call. */
struct rr_proof_engagement_view {
    uint32_t chain_id;
    const struct rr_hash32 *contract_id; /* that is asked to pay; NULL: whichever the claim names */
    /* Of the resource, its signature checked by the caller. NULL: the file at hand is taken for the
     * segment that the claim names. */
    const struct rr_manifest *manifest;
    /* True when a claim that counts stands before this one in the ledger's order: for
     * RR_PUZZLE_WORK anybody's of this puzzle (viewer NULL), for RR_PUZZLE_STAKE this viewer's.
     * NULL: none does. */
    bool (*won)(void *ctx, const struct rr_hash32 *puzzle_id, const struct rr_pubkey *viewer);
    void *won_ctx;
    /* Light evaluation of work, as in rr_proof_view. */
    bool (*work)(void *ctx, const uint8_t header_hash[32], uint64_t nonce, uint8_t mix[32],
                 uint8_t final_be[32]);
    void *work_ctx;
};
/* What costs neither bytes nor curve nor hash: chain, contract, place in the manifest, claims
 * before. RR_ERR_TRUST (another chain, contract or resource), RR_ERR_NOTFOUND (no such segment),
 * RR_ERR_EXISTS (won before, or claimed twice). */
enum rr_err rr_proof_engagement_place(const struct rr_proof_engagement_view *view,
                                      const struct rr_puzzle_claim *claim,
                                      struct rr_fault *fault) RR_MUST_USE;
/* What takes the segment's file: it is the manifest's, its plain segment is the claim's, it carries
 * this puzzle for this contract, and the engagement is made of it for this viewer. RR_ERR_TRUST
 * says which part does not hold; RR_ERR_FORMAT, RR_ERR_LIMIT as rr_puzzle_scan. */
enum rr_err rr_proof_engagement_segment(const struct rr_proof_engagement_view *view,
                                        const struct rr_puzzle_claim *claim, struct rr_slice file,
                                        struct rr_fault *fault) RR_MUST_USE;
/* The whole check: place, segment, signature of the viewer, then work, which a stake puzzle has
 * none of. RR_ERR_TRUST also for a wrong signature; RR_ERR_LIMIT for work below the difficulty. */
enum rr_err rr_proof_engagement_check(const struct rr_proof_engagement_view *view,
                                      const struct rr_puzzle_claim *claim, struct rr_slice file,
                                      struct rr_fault *fault) RR_MUST_USE;

/* Many claims in the ledger's order, their work as one batch. */
#define RR_PROOF_CLAIMS_MAX 256
struct rr_proof_work {
    uint8_t header_hash[32];
    uint64_t nonce;
    uint8_t final_be[32]; /* written */
};
struct rr_proof_engagement_item {
    const struct rr_puzzle_claim *claim;
    struct rr_slice file;
    struct rr_fault fault; /* written: code RR_OK when the claim counts */
};
/* Each as rr_proof_engagement_check would, after those before it: of several valid claims of one
 * puzzle the first counts. work_many fills final_be of all, as rr_hash_verify does, and is false
 * when it cannot (then RR_ERR_STATE, nothing is judged); view->work is not called. count at most
 * RR_PROOF_CLAIMS_MAX, else RR_ERR_LIMIT. */
enum rr_err rr_proof_engagement_check_many(const struct rr_proof_engagement_view *view,
                                           struct rr_proof_engagement_item *items, uint32_t count,
                                           bool (*work_many)(void *ctx, struct rr_proof_work *works,
                                                             size_t count),
                                           void *work_ctx, struct rr_fault *fault) RR_MUST_USE;

/* ---- prizes ----------------------------------------------------------------------------------
 */
/* Prize of a puzzle of that segment: base (100 + rise_percent segment) / 100, rounded down; false
 * over the cap of amounts. Straight, not compound: a budget can be worked out by hand. [THETA-18:
 * prizes may rise with time] */
bool rr_proof_engagement_prize(struct rr_coin *out, struct rr_coin base, uint32_t rise_percent,
                               uint32_t segment) RR_MUST_USE;
/* A viewer whose claim of a stake puzzle counts, and its stake when the claims close. */
struct rr_proof_stake {
    struct rr_pubkey viewer;
    struct rr_coin stake;
};
/* Winner of a stake puzzle: index into claims, drawn with chances exactly as the stakes. The next
 * block's hash after the last claim draws, so no claimant knows it when he claims. claims strictly
 * rising by key (else RR_ERR_USAGE), so that their order on the way does not matter. Draw: a point
 * below the sum of stakes out of BLAKE2b-256("rr.pzdraw.v1", block_hash || puzzle_id || counter
 * u64), first 8 bytes, rejection sampling; whose span of the sum holds the point wins.
 * RR_ERR_STATE: nobody has a stake; RR_ERR_LIMIT: the sum is over the cap of amounts. */
enum rr_err rr_proof_engagement_draw(uint32_t *winner, const struct rr_proof_stake *claims,
                                     uint32_t count, const struct rr_hash32 *puzzle_id,
                                     const struct rr_hash32 *block_hash,
                                     struct rr_fault *fault) RR_MUST_USE;
/* A prize among viewers who share by contract: floor(prize weight / sum) each, and what rounding
 * leaves to the last by rule (spec 60: rounding goes to the last). The sum of shares is the prize.
 * shares: count, written on success. RR_ERR_USAGE: count 0 or all weights 0; RR_ERR_LIMIT: their
 * sum is above 2^64 - 1. */
enum rr_err rr_proof_engagement_share(struct rr_coin *shares, struct rr_coin prize,
                                      const uint64_t *weights, uint32_t count,
                                      struct rr_fault *fault) RR_MUST_USE;
#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hash/hash.h"
#include "proof/proof.h"

#include <string.h>

/* ---- the segment ----------------------------------------------------------------------------- */

void rr_proof_segment_begin(struct rr_proof_segment *out)
{
    static const char domain[] = "reelrig/poe";
    rr_keccak256_init(&out->work);
    rr_keccak256_add(&out->work, domain, sizeof domain - 1);
    rr_hasher_init(&out->digest, "rr.segment.v1");
}

void rr_proof_segment_add(struct rr_proof_segment *segment, const void *bytes, size_t len)
{
    rr_keccak256_add(&segment->work, bytes, len);
    rr_hasher_add(&segment->digest, bytes, len);
}

void rr_proof_segment_of(struct rr_proof_segment *out, const struct rr_puzzle_scan *scan)
{
    rr_proof_segment_begin(out);
    for (uint32_t i = 0; i < scan->plain_count; i++) {
        rr_proof_segment_add(out, scan->plain[i].ptr, scan->plain[i].len);
    }
}

void rr_proof_segment_digest(const struct rr_proof_segment *segment, struct rr_hash32 *out)
{
    struct rr_hasher hasher = segment->digest;
    rr_hasher_final(&hasher, out);
}

void rr_proof_segment_engagement(const struct rr_proof_segment *segment, struct rr_hash32 *out,
                                 const uint8_t rand[static RR_PUZZLE_RAND_BYTES],
                                 const struct rr_pubkey *viewer)
{
    struct rr_keccak256 work = segment->work;
    rr_keccak256_add(&work, rand, RR_PUZZLE_RAND_BYTES);
    rr_keccak256_add(&work, viewer->bytes, sizeof viewer->bytes);
    rr_keccak256_final(&work, out->bytes);
}

/* ---- building -------------------------------------------------------------------------------- */

enum rr_err rr_proof_engagement_begin(struct rr_puzzle_claim *out,
                                      const struct rr_proof_place *place,
                                      const struct rr_puzzle_box *box,
                                      const struct rr_proof_segment *segment,
                                      const struct rr_pubkey *viewer, struct rr_fault *fault)
{
    struct rr_puzzle_claim claim = {.chain_id = place->chain_id,
                                    .contract_id = box->contract_id,
                                    .resource_id = place->resource_id,
                                    .rendition = place->rendition,
                                    .segment = place->segment,
                                    .puzzle = box->puzzle,
                                    .viewer = *viewer};
    rr_proof_segment_digest(segment, &claim.segment_digest);
    if (memcmp(claim.segment_digest.bytes, box->puzzle.segment, sizeof box->puzzle.segment) != 0) {
        return rr_fail(fault, RR_ERR_TRUST, "the puzzle was made for another segment");
    }
    rr_proof_segment_engagement(segment, &claim.engagement, box->puzzle.rand, viewer);
    *out = claim;
    return RR_OK;
}

/* ---- checking -------------------------------------------------------------------------------- */

static enum rr_err refuse_won(const struct rr_puzzle_claim *claim, struct rr_fault *fault)
{
    return claim->puzzle.kind == RR_PUZZLE_STAKE
               ? rr_fail(fault, RR_ERR_EXISTS, "this viewer has claimed this puzzle before")
               : rr_fail(fault, RR_ERR_EXISTS,
                         "the puzzle is won: a claim that counts stands before this one");
}

/* The file of the claim's place as the manifest has it. */
static const struct rr_segment *segment_of(const struct rr_manifest *manifest,
                                           const struct rr_puzzle_claim *claim)
{
    return claim->rendition < manifest->rendition_count &&
                   claim->segment < manifest->renditions[claim->rendition].segment_count
               ? &manifest->renditions[claim->rendition].segments[claim->segment]
               : NULL;
}

enum rr_err rr_proof_engagement_place(const struct rr_proof_engagement_view *view,
                                      const struct rr_puzzle_claim *claim, struct rr_fault *fault)
{
    if (claim->chain_id != view->chain_id) {
        return rr_fail(fault, RR_ERR_TRUST, "the claim is for chain %08x, this is chain %08x",
                       claim->chain_id, view->chain_id);
    }
    if (view->contract_id != NULL && !rr_hash32_equal(&claim->contract_id, view->contract_id)) {
        return rr_fail(fault, RR_ERR_TRUST, "the claim is for another contract than the one asked");
    }
    if (view->manifest != NULL) {
        if (!rr_hash32_equal(&claim->resource_id, &view->manifest->resource_id)) {
            return rr_fail(fault, RR_ERR_TRUST, "the claim is for another resource");
        }
        if (segment_of(view->manifest, claim) == NULL) {
            return rr_fail(fault, RR_ERR_NOTFOUND, "the resource has no segment %u of rendition %u",
                           claim->segment, (unsigned)claim->rendition);
        }
    }
    if (view->won != NULL) {
        struct rr_hash32 id;
        rr_puzzle_id(&id, claim);
        bool stake = claim->puzzle.kind == RR_PUZZLE_STAKE;
        if (view->won(view->won_ctx, &id, stake ? &claim->viewer : NULL)) {
            return refuse_won(claim, fault);
        }
    }
    return RR_OK;
}

static bool carries(const struct rr_puzzle_scan *scan, const struct rr_puzzle_claim *claim)
{
    struct rr_buf wanted = {0}, one = {0};
    bool found = false;
    rr_puzzle_encode(&wanted, &claim->puzzle);
    for (uint32_t i = 0; i < scan->count && !found; i++) {
        one.len = 0;
        rr_puzzle_encode(&one, &scan->boxes[i].puzzle);
        found = rr_slice_equal(rr_buf_slice(&one), rr_buf_slice(&wanted)) &&
                rr_hash32_equal(&scan->boxes[i].contract_id, &claim->contract_id);
    }
    rr_buf_clear(&wanted);
    rr_buf_clear(&one);
    return found;
}

enum rr_err rr_proof_engagement_segment(const struct rr_proof_engagement_view *view,
                                        const struct rr_puzzle_claim *claim, struct rr_slice file,
                                        struct rr_fault *fault)
{
    struct rr_puzzle_scan scan;
    struct rr_proof_segment segment;
    struct rr_hash32 hash;
    const struct rr_segment *kept =
        view->manifest != NULL ? segment_of(view->manifest, claim) : NULL;
    if (kept != NULL) {
        rr_segment_digest(&hash, file);
        if (!rr_hash32_equal(&hash, &kept->digest)) {
            return rr_fail(fault, RR_ERR_TRUST,
                           "the file is not the segment that the owner's manifest names");
        }
    }
    enum rr_err err = rr_puzzle_scan(&scan, file, fault);
    if (err != RR_OK) {
        return err;
    }
    rr_proof_segment_of(&segment, &scan);
    rr_proof_segment_digest(&segment, &hash);
    if (!rr_hash32_equal(&hash, &claim->segment_digest)) {
        return rr_fail(fault, RR_ERR_TRUST, "the claim is for another segment than this one");
    }
    if (memcmp(hash.bytes, claim->puzzle.segment, sizeof claim->puzzle.segment) != 0 ||
        memcmp(claim->contract_id.bytes, claim->puzzle.contract, sizeof claim->puzzle.contract) !=
            0) {
        return rr_fail(fault, RR_ERR_TRUST,
                       "the claim's puzzle is of another segment or contract than the claim");
    }
    if (!carries(&scan, claim)) {
        return rr_fail(fault, RR_ERR_TRUST,
                       "the segment carries no such puzzle of this contract: it was made up");
    }
    rr_proof_segment_engagement(&segment, &hash, claim->puzzle.rand, &claim->viewer);
    if (!rr_hash32_equal(&hash, &claim->engagement)) {
        return rr_fail(fault, RR_ERR_TRUST,
                       "the engagement is not made of this segment for this viewer");
    }
    return RR_OK;
}

/* What stands before the work. */
static enum rr_err check_before(const struct rr_proof_engagement_view *view,
                                const struct rr_puzzle_claim *claim, struct rr_slice file,
                                struct rr_fault *fault)
{
    enum rr_err err = rr_proof_engagement_place(view, claim, fault);
    err = err != RR_OK ? err : rr_proof_engagement_segment(view, claim, file, fault);
    if (err == RR_OK && !rr_puzzle_claim_verify(claim)) {
        err = rr_fail(fault, RR_ERR_TRUST, "the claim is not signed by its viewer");
    }
    return err;
}

/* [THETA-18 eq. 13] as spec 10, 1 has it: final * difficulty <= 2^256, exactly. */
static enum rr_err check_work(const struct rr_puzzle_claim *claim,
                              const uint8_t final_be[static 32], struct rr_fault *fault)
{
    return rr_hash_solves(final_be, rr_puzzle_difficulty_value(claim->puzzle.difficulty))
               ? RR_OK
               : rr_fail(fault, RR_ERR_LIMIT,
                         "the nonce does not solve the puzzle: its hash is above the difficulty");
}

enum rr_err rr_proof_engagement_check(const struct rr_proof_engagement_view *view,
                                      const struct rr_puzzle_claim *claim, struct rr_slice file,
                                      struct rr_fault *fault)
{
    uint8_t mix[32] = {0}, final_be[32] = {0};
    enum rr_err err = check_before(view, claim, file, fault);
    if (err != RR_OK || claim->puzzle.kind == RR_PUZZLE_STAKE) {
        return err;
    }
    if (!view->work(view->work_ctx, claim->engagement.bytes, claim->nonce, mix, final_be)) {
        return rr_fail(fault, RR_ERR_STATE, "the work of the claim could not be computed");
    }
    return check_work(claim, final_be, fault);
}

/* ---- many ------------------------------------------------------------------------------------ */

/* True when one of those before that count wins over items[at]. */
static bool won_before(const struct rr_proof_engagement_item *items, const struct rr_hash32 *ids,
                       uint32_t at)
{
    const struct rr_puzzle_claim *claim = items[at].claim;
    for (uint32_t i = 0; i < at; i++) {
        if (items[i].fault.code == RR_OK && rr_hash32_equal(&ids[i], &ids[at]) &&
            (claim->puzzle.kind == RR_PUZZLE_WORK ||
             memcmp(&items[i].claim->viewer, &claim->viewer, sizeof claim->viewer) == 0)) {
            return true;
        }
    }
    return false;
}

enum rr_err rr_proof_engagement_check_many(const struct rr_proof_engagement_view *view,
                                           struct rr_proof_engagement_item *items, uint32_t count,
                                           bool (*work_many)(void *ctx, struct rr_proof_work *works,
                                                             size_t count),
                                           void *work_ctx, struct rr_fault *fault)
{
    if (count > RR_PROOF_CLAIMS_MAX) {
        return rr_fail(fault, RR_ERR_LIMIT, "%u claims at once; at most %d are checked", count,
                       RR_PROOF_CLAIMS_MAX);
    }
    struct rr_proof_work works[RR_PROOF_CLAIMS_MAX];
    struct rr_hash32 ids[RR_PROOF_CLAIMS_MAX];
    uint32_t due[RR_PROOF_CLAIMS_MAX], due_count = 0;
    for (uint32_t i = 0; i < count; i++) {
        const struct rr_puzzle_claim *claim = items[i].claim;
        rr_puzzle_id(&ids[i], claim);
        items[i].fault = (struct rr_fault){0};
        if (check_before(view, claim, items[i].file, &items[i].fault) == RR_OK &&
            claim->puzzle.kind == RR_PUZZLE_WORK) {
            works[due_count] = (struct rr_proof_work){.nonce = claim->nonce};
            memcpy(works[due_count].header_hash, claim->engagement.bytes, 32);
            due[due_count++] = i;
        }
    }
    if (due_count > 0 && !work_many(work_ctx, works, due_count)) {
        return rr_fail(fault, RR_ERR_STATE, "the work of %u claims could not be computed",
                       due_count);
    }
    for (uint32_t i = 0; i < due_count; i++) {
        struct rr_proof_engagement_item *item = &items[due[i]];
        enum rr_err err = check_work(item->claim, works[i].final_be, &item->fault);
        RR_CHECK(err == item->fault.code);
    }
    for (uint32_t i = 0; i < count; i++) {
        if (items[i].fault.code == RR_OK && won_before(items, ids, i)) {
            enum rr_err err = refuse_won(items[i].claim, &items[i].fault);
            RR_CHECK(err == items[i].fault.code);
        }
    }
    return RR_OK;
}

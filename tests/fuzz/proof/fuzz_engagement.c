/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A claim and a segment out of foreign bytes: the check never falls over and always says why; what
 * it takes (the work is taken for good here) it takes again, and not of another viewer. */
#include "proof/proof.h"
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool work(void *ctx, const uint8_t header_hash[32], uint64_t nonce, uint8_t mix[32],
                 uint8_t final_be[32])
{
    (void)ctx, (void)header_hash, (void)nonce, (void)mix;
    memset(final_be, 0, 32);
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t secret[32] = {1};
    struct rr_puzzle_claim claim;
    struct rr_fault fault = {0};
    if (size < RR_PUZZLE_CLAIM_BYTES ||
        rr_puzzle_claim_decode(&claim, rr_slice_of(data, RR_PUZZLE_CLAIM_BYTES), &fault) != RR_OK) {
        return 0;
    }
    struct rr_slice file = rr_slice_of(data + RR_PUZZLE_CLAIM_BYTES, size - RR_PUZZLE_CLAIM_BYTES);
    struct rr_proof_engagement_view view = {.chain_id = claim.chain_id, .work = work};
    enum rr_err err = rr_proof_engagement_check(&view, &claim, file, &fault);
    if (err != RR_OK) {
        RR_CHECK(fault.code == err && fault.text[0] != '\0');
    }
    /* Its own signature is hard to hit upon: past it with a key of ours. */
    struct rr_puzzle_scan scan;
    if (rr_puzzle_scan(&scan, file, NULL) == RR_OK && scan.count > 0) {
        struct rr_seckey *key = rr_seckey_from_bytes(secret);
        struct rr_pubkey viewer;
        struct rr_proof_segment segment;
        struct rr_proof_place place = {.chain_id = claim.chain_id};
        rr_seckey_public(key, &viewer);
        rr_proof_segment_of(&segment, &scan);
        if (rr_proof_engagement_begin(&claim, &place, &scan.boxes[0], &segment, &viewer, &fault) ==
            RR_OK) {
            rr_puzzle_claim_sign(&claim, key);
            RR_CHECK(rr_proof_engagement_check(&view, &claim, file, &fault) == RR_OK);
            claim.viewer.bytes[0] ^= 1;
            RR_CHECK(rr_proof_engagement_check(&view, &claim, file, &fault) == RR_ERR_TRUST);
        }
        rr_seckey_free(key);
    }
    return 0;
}

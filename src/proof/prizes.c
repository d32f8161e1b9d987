/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Who gets a prize, and how much. */
#include "proof/proof.h"

#include <string.h>

bool rr_proof_engagement_prize(struct rr_coin *out, struct rr_coin base, uint32_t rise_percent,
                               uint32_t segment)
{
    return rr_coin_scale(out, base, 100 + (uint64_t)rise_percent * segment, 100);
}

/* ---- by stake -------------------------------------------------------------------------------- */

/* 0 .. bound-1. The lowest 2^64 mod bound words are thrown away, so that each value keeps equally
 * many. */
static uint64_t point_below(uint64_t bound, const struct rr_hash32 *puzzle_id,
                            const struct rr_hash32 *block_hash)
{
    uint64_t reject = (UINT64_MAX - bound + 1) % bound;
    for (uint64_t counter = 0;; counter++) {
        struct rr_hasher hasher;
        struct rr_hash32 hash;
        uint8_t bytes[8];
        for (int i = 0; i < 8; i++) {
            bytes[i] = (uint8_t)(counter >> 8 * i);
        }
        rr_hasher_init(&hasher, "rr.pzdraw.v1");
        rr_hasher_add(&hasher, block_hash->bytes, sizeof block_hash->bytes);
        rr_hasher_add(&hasher, puzzle_id->bytes, sizeof puzzle_id->bytes);
        rr_hasher_add(&hasher, bytes, sizeof bytes);
        rr_hasher_final(&hasher, &hash);
        uint64_t word = rr_load_u64le(hash.bytes);
        if (word >= reject) {
            return word % bound;
        }
    }
}

enum rr_err rr_proof_engagement_draw(uint32_t *winner, const struct rr_proof_stake *claims,
                                     uint32_t count, const struct rr_hash32 *puzzle_id,
                                     const struct rr_hash32 *block_hash, struct rr_fault *fault)
{
    struct rr_coin sum = RR_COIN_ZERO;
    for (uint32_t i = 0; i < count; i++) {
        if (i > 0 && memcmp(claims[i - 1].viewer.bytes, claims[i].viewer.bytes, 32) >= 0) {
            return rr_fail(fault, RR_ERR_USAGE,
                           "claims %u and %u do not rise by their viewers' keys", i - 1, i);
        }
        if (!rr_coin_add(&sum, sum, claims[i].stake)) {
            return rr_fail(fault, RR_ERR_LIMIT, "the stakes are together over the cap of amounts");
        }
    }
    if (rr_coin_is_zero(sum)) {
        return rr_fail(fault, RR_ERR_STATE, "none of %u claimants has a stake", count);
    }
    uint64_t point = point_below(rr_coin_units(sum), puzzle_id, block_hash);
    for (uint32_t i = 0;; i++) {
        uint64_t stake = rr_coin_units(claims[i].stake);
        if (point < stake) {
            *winner = i;
            return RR_OK;
        }
        point -= stake;
    }
}

/* ---- among a group --------------------------------------------------------------------------- */

enum rr_err rr_proof_engagement_share(struct rr_coin *shares, struct rr_coin prize,
                                      const uint64_t *weights, uint32_t count,
                                      struct rr_fault *fault)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (weights[i] > UINT64_MAX - sum) {
            return rr_fail(fault, RR_ERR_LIMIT, "the weights are together above 2^64 - 1");
        }
        sum += weights[i];
    }
    if (sum == 0) {
        return rr_fail(fault, RR_ERR_USAGE, "a prize for %u viewers without any weight", count);
    }
    struct rr_coin left = prize;
    for (uint32_t i = 0; i + 1 < count; i++) {
        RR_CHECK(rr_coin_scale(&shares[i], prize, weights[i], sum));
        RR_CHECK(rr_coin_sub(&left, left, shares[i]));
    }
    shares[count - 1] = left;
    return RR_OK;
}

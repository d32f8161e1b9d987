/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Proof of transcoding among many: challenges checked, votes of the pool of verifiers counted,
 * fraud proofs (spec 20, 4; 50, 4 and 6). Enter by proof.h. */
#ifndef RR_PROOF_VERDICTS_H
#define RR_PROOF_VERDICTS_H
#include "wire/wire.h"

/* The pool of verifiers of an epoch. weight: that key's, 0 for a stranger; any thread. */
struct rr_proof_pool {
    uint64_t (*weight)(void *ctx, const struct rr_pubkey *verifier);
    void *ctx;
    uint64_t total; /* of all members */
};
struct rr_proof_claim;

/* The challenge is of this claim: beacon_height is rr_proof_beacon_height of where the claim
 * stands, block_hash that block's, and the leaf is among those drawn. Who is challenged checks this
 * before it shows anything. RR_ERR_TRUST. */
enum rr_err rr_proof_challenge_check(const struct rr_pot_challenge *challenge,
                                     const struct rr_proof_claim *claim, uint64_t claimed_height,
                                     uint16_t challenges, const struct rr_hash32 *block_hash,
                                     struct rr_fault *fault) RR_MUST_USE;

enum rr_proof_decision {
    RR_PROOF_OPEN,    /* neither side has more than half of the pool's weight */
    RR_PROOF_GOOD,    /* more than half accepts */
    RR_PROOF_REFUSED, /* more than half refuses, for whatever reason */
};
/* Counts votes on one leaf. Votes of strangers, with a wrong signature, on another leaf or
 * contract, and those of a key that says two different things count for nothing; the same vote
 * twice counts once. So is a failing answer of a tolerant class decided ([spec 50, 6]: more than
 * half). count at most RR_POT_VOTES_MAX, else RR_ERR_LIMIT. */
enum rr_err rr_proof_majority(enum rr_proof_decision *out, const struct rr_pot_vote *votes,
                              uint32_t count, const struct rr_pot_challenge *challenge,
                              const struct rr_hash32 *leaf, const struct rr_proof_pool *pool,
                              struct rr_fault *fault) RR_MUST_USE;

/* That a fraud proof holds: the leaf stands at its place under the claim's root, and more than half
 * of the pool by weight has signed that the profile makes other bytes of it, all the same ones; or
 * that its source is not the stored original. Any node can check it without video: signatures and
 * one Merkle path. Class exact only: a lost vote on margins costs nobody his stake (spec 50, 4).
 * RR_ERR_TRUST says what is missing; RR_ERR_STATE: the job's class is another. */
enum rr_err rr_proof_fraud_check(const struct rr_pot_fraud *fraud,
                                 const struct rr_proof_claim *claim, uint32_t chain_id,
                                 enum rr_exactness exactness, const struct rr_proof_pool *pool,
                                 struct rr_fault *fault) RR_MUST_USE;

/* Least challenges so that cheating on `num` of `den` leaves goes unseen with at most one chance in
 * `odds`: 1 - (1 - f)^c >= 1 - 1/odds. At most UINT16_MAX. num <= den, den > 0. */
uint16_t rr_proof_challenges_for(uint32_t num, uint32_t den, uint32_t odds);
#endif

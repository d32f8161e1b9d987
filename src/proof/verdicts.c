/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "proof/proof.h"

#include <string.h>

enum rr_err rr_proof_challenge_check(const struct rr_pot_challenge *challenge,
                                     const struct rr_proof_claim *claim, uint64_t claimed_height,
                                     uint16_t challenges, const struct rr_hash32 *block_hash,
                                     struct rr_fault *fault)
{
    if (!rr_hash32_equal(&challenge->contract_id, &claim->contract_id) ||
        !rr_hash32_equal(&challenge->root, &claim->root) || challenge->leaves != claim->leaves) {
        return rr_fail(fault, RR_ERR_TRUST, "the challenge is for another claim");
    }
    if (challenge->beacon_height != rr_proof_beacon_height(claimed_height) ||
        !rr_hash32_equal(&challenge->beacon, block_hash)) {
        return rr_fail(
            fault, RR_ERR_TRUST,
            "the challenge names block %llu; the beacon of a claim in block %llu is %llu",
            (unsigned long long)challenge->beacon_height, (unsigned long long)claimed_height,
            (unsigned long long)rr_proof_beacon_height(claimed_height));
    }
    uint32_t room = rr_proof_draw_count(claim->leaves, challenges), count = 0;
    uint32_t *drawn = rr_alloc_array(room + 1u, sizeof *drawn);
    bool found = false;
    enum rr_err err = rr_proof_draw(block_hash, &claim->root, claim->leaves, challenges, drawn,
                                    &count, room, fault);
    for (uint32_t i = 0; i < count && err == RR_OK; i++) {
        found = found || drawn[i] == challenge->index;
    }
    rr_free(drawn);
    return err != RR_OK || found
               ? err
               : rr_fail(fault, RR_ERR_TRUST, "leaf %u was not drawn", (unsigned)challenge->index);
}

/* ---- votes ----------------------------------------------------------------------------------- */

static bool same_key(const struct rr_pubkey *a, const struct rr_pubkey *b)
{
    return memcmp(a->bytes, b->bytes, sizeof a->bytes) == 0;
}

static bool on_leaf(const struct rr_pot_vote *vote, const struct rr_pot_challenge *challenge,
                    const struct rr_hash32 *leaf)
{
    return rr_hash32_equal(&vote->contract_id, &challenge->contract_id) &&
           rr_hash32_equal(&vote->root, &challenge->root) && vote->index == challenge->index &&
           rr_hash32_equal(&vote->leaf, leaf);
}

/* A key that accepts and refuses the same leaf has no say; one that repeats itself has one. */
static bool counts(const struct rr_pot_vote *votes, const bool *valid, uint32_t count, uint32_t at)
{
    for (uint32_t i = 0; i < count; i++) {
        if (i != at && valid[i] && same_key(&votes[i].verifier, &votes[at].verifier)) {
            bool other =
                (votes[i].refusal == RR_POT_ACCEPTED) != (votes[at].refusal == RR_POT_ACCEPTED);
            if (other || i < at) {
                return false;
            }
        }
    }
    return true;
}

static bool over_half(uint64_t weight, uint64_t total)
{
    return weight > total / 2;
}

enum rr_err rr_proof_majority(enum rr_proof_decision *out, const struct rr_pot_vote *votes,
                              uint32_t count, const struct rr_pot_challenge *challenge,
                              const struct rr_hash32 *leaf, const struct rr_proof_pool *pool,
                              struct rr_fault *fault)
{
    bool valid[RR_POT_VOTES_MAX];
    uint64_t good = 0, bad = 0;
    if (count > RR_POT_VOTES_MAX) {
        return rr_fail(fault, RR_ERR_LIMIT, "%u votes on a leaf; at most %d are counted",
                       (unsigned)count, RR_POT_VOTES_MAX);
    }
    for (uint32_t i = 0; i < count; i++) { /* the curve last */
        valid[i] = on_leaf(&votes[i], challenge, leaf) &&
                   pool->weight(pool->ctx, &votes[i].verifier) > 0 && rr_pot_vote_verify(&votes[i]);
    }
    for (uint32_t i = 0; i < count; i++) {
        if (valid[i] && counts(votes, valid, count, i)) {
            uint64_t weight = pool->weight(pool->ctx, &votes[i].verifier);
            *(votes[i].refusal == RR_POT_ACCEPTED ? &good : &bad) += weight;
        }
    }
    *out = over_half(good, pool->total)  ? RR_PROOF_GOOD
           : over_half(bad, pool->total) ? RR_PROOF_REFUSED
                                         : RR_PROOF_OPEN;
    return RR_OK;
}

/* ---- fraud proofs ------------------------------------------------------------------------------
 */

static enum rr_err check_votes(const struct rr_pot_fraud *fraud, const struct rr_proof_claim *claim,
                               uint32_t chain_id, const struct rr_proof_pool *pool,
                               struct rr_fault *fault)
{
    const struct rr_pot_challenge place = {.contract_id = claim->contract_id,
                                           .root = claim->root,
                                           .leaves = claim->leaves,
                                           .index = fraud->answer.place.index};
    struct rr_hash32 leaf;
    uint64_t weight = 0;
    rr_pot_leaf_hash(&leaf, &fraud->answer.job_id, &fraud->answer.leaf);
    for (uint32_t i = 0; i < fraud->count; i++) {
        const struct rr_pot_vote *vote = &fraud->votes[i];
        if (i > 0 && memcmp(fraud->votes[i - 1].verifier.bytes, vote->verifier.bytes,
                            sizeof vote->verifier.bytes) >= 0) {
            return rr_fail(fault, RR_ERR_TRUST, "the votes' keys do not ascend at vote %u",
                           (unsigned)i);
        }
        if (!on_leaf(vote, &place, &leaf) || vote->chain_id != chain_id) {
            return rr_fail(fault, RR_ERR_TRUST, "vote %u is on another leaf", (unsigned)i);
        }
        if (vote->refusal != fraud->votes[0].refusal ||
            (vote->refusal != RR_POT_DIGEST && vote->refusal != RR_POT_SOURCE) ||
            !rr_hash32_equal(&vote->remade, &fraud->votes[0].remade)) {
            return rr_fail(fault, RR_ERR_TRUST,
                           "vote %u does not say what the first one says, or is no word on bytes",
                           (unsigned)i);
        }
        if (!rr_pot_vote_verify(vote)) {
            return rr_fail(fault, RR_ERR_TRUST, "vote %u is not signed by its verifier",
                           (unsigned)i);
        }
        weight += pool->weight(pool->ctx, &vote->verifier);
    }
    return over_half(weight, pool->total)
               ? RR_OK
               : rr_fail(fault, RR_ERR_TRUST,
                         "the votes weigh %llu of the pool's %llu; more than half is due",
                         (unsigned long long)weight, (unsigned long long)pool->total);
}

enum rr_err rr_proof_fraud_check(const struct rr_pot_fraud *fraud,
                                 const struct rr_proof_claim *claim, uint32_t chain_id,
                                 enum rr_exactness exactness, const struct rr_proof_pool *pool,
                                 struct rr_fault *fault)
{
    if (exactness != RR_EXACT) {
        return rr_fail(fault, RR_ERR_STATE,
                       "the job is judged by margins; fraud proofs are for class exact");
    }
    enum rr_err err =
        rr_proof_answer_check(&fraud->answer, claim, fraud->answer.place.index, fault);
    if (err != RR_OK) {
        return err;
    }
    if (fraud->count == 0) {
        return rr_fail(fault, RR_ERR_TRUST, "the proof has no votes");
    }
    if (fraud->votes[0].refusal == RR_POT_DIGEST &&
        rr_hash32_equal(&fraud->votes[0].remade, &fraud->answer.leaf.output_digest)) {
        return rr_fail(fault, RR_ERR_TRUST, "the votes' own digest is the leaf's: it is right");
    }
    return check_votes(fraud, claim, chain_id, pool, fault);
}

uint16_t rr_proof_challenges_for(uint32_t num, uint32_t den, uint32_t odds)
{
    /* (1 - f)^c in units of 2^-62, rounded up: never fewer challenges than are due. */
    const uint64_t one = UINT64_C(1) << 62;
    uint64_t unseen = one, most = odds > 0 ? one / odds : one;
    uint16_t count = 0;
    while (unseen > most && count < UINT16_MAX && num > 0) {
        uint64_t whole = unseen / den * (den - num);
        uint64_t rest = unseen % den * (den - num);
        unseen = whole + rest / den + (rest % den != 0 ? 1 : 0);
        count++;
    }
    return num == 0 ? UINT16_MAX : count;
}

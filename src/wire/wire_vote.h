/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What verifiers say of drawn leaves: challenges, votes, fraud proofs (spec 20, 4; 50, 4 and 6).
 * Private to wire; enter by wire.h. */
#ifndef RR_WIRE_VOTE_H
#define RR_WIRE_VOTE_H
#include "wire/wire_pot.h"

/* Asks for one drawn leaf of a claim. All of it follows from the chain: who is asked checks it. */
struct rr_pot_challenge {
    struct rr_hash32 contract_id, root;
    uint32_t leaves;
    uint64_t beacon_height;  /* block that drew */
    struct rr_hash32 beacon; /* its hash */
    uint32_t index;          /* of the leaf; below leaves */
};
void rr_pot_challenge_encode(struct rr_buf *out, const struct rr_pot_challenge *challenge);
enum rr_err rr_pot_challenge_decode(struct rr_pot_challenge *out, struct rr_slice bytes,
                                    struct rr_fault *fault) RR_MUST_USE;

/* One verifier's word on one leaf. */
struct rr_pot_vote {
    uint32_t chain_id;
    struct rr_hash32 contract_id, root;
    uint32_t index;
    enum rr_pot_refusal refusal;
    struct rr_hash32 leaf;   /* rr_pot_leaf_hash of what it judged */
    struct rr_hash32 remade; /* output_digest that the profile makes; zero where it made none */
    struct rr_pubkey verifier;
    struct rr_signature signature; /* of verifier, over "rr.pot.vote.v1" of all before it */
};
void rr_pot_vote_encode(struct rr_buf *out, const struct rr_pot_vote *vote);
enum rr_err rr_pot_vote_decode(struct rr_pot_vote *out, struct rr_slice bytes,
                               struct rr_fault *fault) RR_MUST_USE;
void rr_pot_vote_sign(struct rr_pot_vote *vote, const struct rr_seckey *key); /* sets verifier */
bool rr_pot_vote_verify(const struct rr_pot_vote *vote) RR_MUST_USE;

/* That a claimed leaf of class exact is wrong: the leaf with its place under the claimed root, and
 * votes that say so. Compact: no GOP, no video. */
#define RR_POT_VOTES_MAX 128
struct rr_pot_fraud {
    struct rr_pot_answer answer;
    struct rr_pot_vote *votes; /* verifiers' keys strictly ascending; owned */
    uint32_t count;
};
void rr_pot_fraud_encode(struct rr_buf *out, const struct rr_pot_fraud *fraud);
enum rr_err rr_pot_fraud_decode(struct rr_pot_fraud *out, struct rr_slice bytes,
                                struct rr_fault *fault) RR_MUST_USE;
void rr_pot_fraud_clear(struct rr_pot_fraud *fraud);
#endif

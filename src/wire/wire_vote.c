/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "wire/wire_private.h"

#include <string.h>

void rr_pot_challenge_encode(struct rr_buf *out, const struct rr_pot_challenge *challenge)
{
    rr_write_u8(out, WIRE_VERSION);
    wire_write_hash(out, &challenge->contract_id);
    wire_write_hash(out, &challenge->root);
    rr_write_u32(out, challenge->leaves);
    rr_write_u64(out, challenge->beacon_height);
    wire_write_hash(out, &challenge->beacon);
    rr_write_u32(out, challenge->index);
}

enum rr_err rr_pot_challenge_decode(struct rr_pot_challenge *out, struct rr_slice bytes,
                                    struct rr_fault *fault)
{
    struct rr_reader reader = rr_reader_of(bytes);
    struct rr_pot_challenge challenge;
    wire_read_version(&reader);
    wire_read_hash(&reader, &challenge.contract_id);
    wire_read_hash(&reader, &challenge.root);
    challenge.leaves = rr_read_u32(&reader);
    challenge.beacon_height = rr_read_u64(&reader);
    wire_read_hash(&reader, &challenge.beacon);
    challenge.index = rr_read_u32(&reader);
    if (challenge.leaves > RR_LEAVES_MAX || challenge.index >= challenge.leaves) {
        wire_refuse(&reader);
    }
    enum rr_err err = wire_done(&reader, "challenge", fault);
    if (err == RR_OK) {
        *out = challenge;
    }
    return err;
}

/* ---- votes ----------------------------------------------------------------------------------- */

static void write_vote(struct rr_buf *out, const struct rr_pot_vote *vote, bool with_signature)
{
    rr_write_u32(out, vote->chain_id);
    wire_write_hash(out, &vote->contract_id);
    wire_write_hash(out, &vote->root);
    rr_write_u32(out, vote->index);
    rr_write_u8(out, (uint8_t)vote->refusal);
    wire_write_hash(out, &vote->leaf);
    wire_write_hash(out, &vote->remade);
    wire_write_key(out, &vote->verifier);
    if (with_signature) {
        wire_write_signature(out, &vote->signature);
    }
}

static void read_vote(struct rr_reader *reader, struct rr_pot_vote *out)
{
    out->chain_id = rr_read_u32(reader);
    wire_read_hash(reader, &out->contract_id);
    wire_read_hash(reader, &out->root);
    out->index = rr_read_u32(reader);
    uint8_t refusal = rr_read_u8(reader);
    out->refusal = refusal < RR_POT_REFUSAL_COUNT ? (enum rr_pot_refusal)refusal : RR_POT_ACCEPTED;
    wire_read_hash(reader, &out->leaf);
    wire_read_hash(reader, &out->remade);
    wire_read_key(reader, &out->verifier);
    wire_read_signature(reader, &out->signature);
    if (refusal >= RR_POT_REFUSAL_COUNT) {
        wire_refuse(reader);
    }
}

void rr_pot_vote_encode(struct rr_buf *out, const struct rr_pot_vote *vote)
{
    rr_write_u8(out, WIRE_VERSION);
    write_vote(out, vote, true);
}

enum rr_err rr_pot_vote_decode(struct rr_pot_vote *out, struct rr_slice bytes,
                               struct rr_fault *fault)
{
    struct rr_reader reader = rr_reader_of(bytes);
    struct rr_pot_vote vote;
    wire_read_version(&reader);
    read_vote(&reader, &vote);
    enum rr_err err = wire_done(&reader, "vote on a leaf", fault);
    if (err == RR_OK) {
        *out = vote;
    }
    return err;
}

static void vote_digest(struct rr_hash32 *out, const struct rr_pot_vote *vote)
{
    struct rr_buf bytes = {0};
    rr_write_u8(&bytes, WIRE_VERSION);
    write_vote(&bytes, vote, false);
    rr_hash(out, "rr.pot.vote.v1", rr_buf_slice(&bytes));
    rr_buf_clear(&bytes);
}

void rr_pot_vote_sign(struct rr_pot_vote *vote, const struct rr_seckey *key)
{
    struct rr_hash32 digest;
    rr_seckey_public(key, &vote->verifier);
    vote_digest(&digest, vote);
    rr_sign(&vote->signature, key, &digest);
}

bool rr_pot_vote_verify(const struct rr_pot_vote *vote)
{
    struct rr_hash32 digest;
    vote_digest(&digest, vote);
    return rr_verify(&vote->signature, &vote->verifier, &digest);
}

/* ---- fraud proofs ------------------------------------------------------------------------------
 */

void rr_pot_fraud_encode(struct rr_buf *out, const struct rr_pot_fraud *fraud)
{
    struct rr_buf answer = {0};
    RR_CHECK(fraud->count <= RR_POT_VOTES_MAX);
    rr_pot_answer_encode(&answer, &fraud->answer);
    rr_write_u8(out, WIRE_VERSION);
    rr_write_var16(out, rr_buf_slice(&answer));
    rr_write_u16(out, (uint16_t)fraud->count);
    for (uint32_t i = 0; i < fraud->count; i++) {
        write_vote(out, &fraud->votes[i], true);
    }
    rr_buf_clear(&answer);
}

enum rr_err rr_pot_fraud_decode(struct rr_pot_fraud *out, struct rr_slice bytes,
                                struct rr_fault *fault)
{
    struct rr_reader reader = rr_reader_of(bytes);
    struct rr_pot_fraud fraud = {0};
    wire_read_version(&reader);
    struct rr_slice answer = rr_read_var16(&reader, UINT16_MAX);
    if (!reader.failed && rr_pot_answer_decode(&fraud.answer, answer, NULL) != RR_OK) {
        wire_refuse(&reader);
    }
    fraud.count = rr_read_count16(&reader, RR_POT_VOTES_MAX);
    if (reader.failed) {
        return wire_done(&reader, "fraud proof", fault);
    }
    fraud.votes = rr_alloc_array(fraud.count + 1u, sizeof *fraud.votes);
    for (uint32_t i = 0; i < fraud.count && !reader.failed; i++) {
        read_vote(&reader, &fraud.votes[i]);
        if (i > 0 && memcmp(fraud.votes[i - 1].verifier.bytes, fraud.votes[i].verifier.bytes,
                            sizeof fraud.votes[i].verifier.bytes) >= 0) {
            wire_refuse(&reader);
        }
    }
    enum rr_err err = wire_done(&reader, "fraud proof", fault);
    if (err != RR_OK) {
        rr_free(fraud.votes);
        return err;
    }
    *out = fraud;
    return RR_OK;
}

void rr_pot_fraud_clear(struct rr_pot_fraud *fraud)
{
    rr_free(fraud->votes);
    *fraud = (struct rr_pot_fraud){0};
}

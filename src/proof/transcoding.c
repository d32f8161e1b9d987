/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "proof/proof.h"

uint64_t rr_proof_beacon_height(uint64_t claimed_height)
{
    return claimed_height > UINT64_MAX - RR_PROOF_BEACON_BLOCKS
               ? UINT64_MAX
               : claimed_height + RR_PROOF_BEACON_BLOCKS;
}

uint32_t rr_proof_draw_count(uint32_t leaves, uint16_t challenges)
{
    uint32_t least = leaves / 64 + (leaves % 64 != 0);
    uint32_t count = challenges > least ? challenges : least;
    return count < leaves ? count : leaves;
}

/* Endless words out of a 32-byte seed. */
struct stream {
    struct rr_hash32 seed;
    uint64_t counter;
    uint8_t block[32];
    unsigned used; /* bytes of block */
};

static uint64_t next_word(struct stream *stream)
{
    if (stream->used == sizeof(stream->block)) {
        uint8_t counter[8];
        for (int i = 0; i < 8; i++) {
            counter[i] = (uint8_t)(stream->counter >> (8 * i));
        }
        struct rr_hasher hasher;
        struct rr_hash32 hash;
        rr_hasher_init(&hasher, "rr.pot.draw.v1");
        rr_hasher_add(&hasher, stream->seed.bytes, sizeof(stream->seed.bytes));
        rr_hasher_add(&hasher, counter, sizeof(counter));
        rr_hasher_final(&hasher, &hash);
        for (unsigned i = 0; i < sizeof(stream->block); i++) {
            stream->block[i] = hash.bytes[i];
        }
        stream->counter++;
        stream->used = 0;
    }
    uint64_t word = rr_load_u64le(stream->block + stream->used);
    stream->used += 8;
    return word;
}

/* 0 .. bound-1. The lowest 2^64 mod bound words are thrown away, so that every value keeps equally
 * many. */
static uint32_t below(struct stream *stream, uint32_t bound)
{
    uint64_t reject = (UINT64_MAX - bound + 1) % bound;
    uint64_t word;
    do {
        word = next_word(stream);
    } while (word < reject);
    return (uint32_t)(word % bound);
}

static bool take(uint8_t *taken, uint32_t index)
{
    uint8_t bit = (uint8_t)(1u << (index % 8));
    if (taken[index / 8] & bit) {
        return false;
    }
    taken[index / 8] |= bit;
    return true;
}

enum rr_err rr_proof_draw(const struct rr_hash32 *block_hash, const struct rr_hash32 *root,
                          uint32_t leaves, uint16_t challenges, uint32_t *indices, uint32_t *count,
                          uint32_t capacity, struct rr_fault *fault)
{
    if (leaves == 0 || leaves > RR_LEAVES_MAX) {
        return rr_fail(fault, RR_ERR_LIMIT,
                       "a claim over %u leaves cannot be drawn from: 1 to %u are allowed", leaves,
                       RR_LEAVES_MAX);
    }
    uint32_t want = rr_proof_draw_count(leaves, challenges);
    if (want > capacity) {
        return rr_fail(fault, RR_ERR_LIMIT,
                       "%u challenges are due for %u leaves, but the caller has room for %u", want,
                       leaves, capacity);
    }
    struct stream stream = {.used = sizeof(stream.block)};
    struct rr_hasher hasher;
    rr_hasher_init(&hasher, "rr.pot.beacon.v1");
    rr_hasher_add(&hasher, block_hash->bytes, sizeof(block_hash->bytes));
    rr_hasher_add(&hasher, root->bytes, sizeof(root->bytes));
    rr_hasher_final(&hasher, &stream.seed);

    /* Floyd: as many draws as indices, no retries, each subset of `want` equally likely. */
    uint8_t *taken = rr_alloc(leaves / 8 + 1);
    for (uint32_t last = leaves - want; last < leaves; last++) {
        if (!take(taken, below(&stream, last + 1))) {
            RR_CHECK(take(taken, last));
        }
    }
    uint32_t found = 0;
    for (uint32_t index = 0; index < leaves; index++) {
        if (taken[index / 8] & 1u << (index % 8)) {
            indices[found++] = index;
        }
    }
    RR_CHECK(found == want);
    rr_free(taken);
    *count = want;
    return RR_OK;
}

enum rr_err rr_proof_answer_check(const struct rr_pot_answer *answer,
                                  const struct rr_proof_claim *claim, uint32_t index,
                                  struct rr_fault *fault)
{
    if (!rr_hash32_equal(&answer->contract_id, &claim->contract_id)) {
        return rr_fail(fault, RR_ERR_TRUST,
                       "the answer is for another contract than the one challenged");
    }
    if (!rr_hash32_equal(&answer->job_id, &claim->job_id)) {
        return rr_fail(fault, RR_ERR_TRUST, "the answer is for another job than the contract's");
    }
    if (answer->place.count != claim->leaves) {
        return rr_fail(fault, RR_ERR_TRUST, "the answer counts %u leaves, the claim %u",
                       answer->place.count, claim->leaves);
    }
    if (answer->place.index != index) {
        return rr_fail(fault, RR_ERR_TRUST, "the answer shows leaf %u, drawn was leaf %u",
                       answer->place.index, index);
    }
    struct rr_hash32 leaf;
    rr_pot_leaf_hash(&leaf, &answer->job_id, &answer->leaf);
    if (!rr_merkle_check(&answer->place, &leaf, &claim->root)) {
        return rr_fail(fault, RR_ERR_TRUST,
                       "leaf %u of the answer does not stand under the claimed root", index);
    }
    return RR_OK;
}

void rr_proof_evidence(struct rr_hash32 *out, const struct rr_pot_answer *answers,
                       const bool *passed, uint32_t count)
{
    struct rr_buf text = {0};
    struct rr_buf one = {0};
    rr_write_u32(&text, count);
    for (uint32_t i = 0; i < count; i++) {
        one.len = 0;
        rr_pot_answer_encode(&one, &answers[i]);
        rr_write_var32(&text, rr_buf_slice(&one));
        rr_write_u8(&text, passed[i] ? 1 : 0);
    }
    rr_hash(out, "rr.pot.evid.v1", rr_buf_slice(&text));
    rr_buf_clear(&one);
    rr_buf_clear(&text);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Challenges, votes of a pool of verifiers, fraud proofs. */
#include "proof/proof.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
/* after its own needs */
#include <cmocka.h>

#define LEAVES 40
#define POOL   5
#define CHAIN  7

static struct rr_hash32 hashes[LEAVES];
static struct rr_pot_leaf leaves[LEAVES];
static struct rr_proof_claim claim;
static struct rr_seckey *keys[POOL + 1]; /* the last one is a stranger's; ascending */
static const uint64_t weights[POOL] = {30, 25, 20, 15, 10};

static int by_key(const void *a, const void *b)
{
    struct rr_pubkey x, y;
    rr_seckey_public(*(struct rr_seckey *const *)a, &x);
    rr_seckey_public(*(struct rr_seckey *const *)b, &y);
    return memcmp(x.bytes, y.bytes, sizeof x.bytes);
}

static uint64_t weight(void *ctx, const struct rr_pubkey *verifier)
{
    (void)ctx;
    for (unsigned i = 0; i < POOL; i++) {
        struct rr_pubkey key;
        rr_seckey_public(keys[i], &key);
        if (memcmp(key.bytes, verifier->bytes, sizeof key.bytes) == 0) {
            return weights[i];
        }
    }
    return 0;
}

static const struct rr_proof_pool pool = {.weight = weight, .total = 100};

static int begin(void **state)
{
    (void)state;
    rr_crypto_init();
    memset(&claim, 0, sizeof claim);
    claim.contract_id.bytes[0] = 1;
    claim.job_id.bytes[0] = 2;
    claim.leaves = LEAVES;
    for (uint32_t i = 0; i < LEAVES; i++) {
        leaves[i] = (struct rr_pot_leaf){.gop = i, .output_bytes = 100 + i};
        leaves[i].output_digest.bytes[0] = (uint8_t)i;
        rr_pot_leaf_hash(&hashes[i], &claim.job_id, &leaves[i]);
    }
    rr_merkle_root(&claim.root, hashes, LEAVES);
    for (unsigned i = 0; i <= POOL; i++) {
        keys[i] = rr_seckey_new();
    }
    qsort(keys, POOL, sizeof keys[0], by_key);
    return 0;
}

static int end(void **state)
{
    (void)state;
    for (unsigned i = 0; i <= POOL; i++) {
        rr_seckey_free(keys[i]);
    }
    return 0;
}

static struct rr_pot_vote vote_of(unsigned key, uint32_t index, enum rr_pot_refusal refusal)
{
    struct rr_pot_vote vote = {.chain_id = CHAIN,
                               .contract_id = claim.contract_id,
                               .root = claim.root,
                               .index = index,
                               .refusal = refusal,
                               .leaf = hashes[index]};
    vote.remade.bytes[0] = 0xee;
    rr_pot_vote_sign(&vote, keys[key]);
    return vote;
}

static void a_challenge_must_follow_from_the_beacon(void **state)
{
    (void)state;
    struct rr_hash32 beacon = {{9}};
    uint32_t drawn[LEAVES], count = 0;
    assert_int_equal(rr_proof_draw(&beacon, &claim.root, LEAVES, 8, drawn, &count, LEAVES, NULL),
                     RR_OK);
    struct rr_pot_challenge good = {.contract_id = claim.contract_id,
                                    .root = claim.root,
                                    .leaves = LEAVES,
                                    .beacon_height = rr_proof_beacon_height(100),
                                    .beacon = beacon,
                                    .index = drawn[3]};
    assert_int_equal(rr_proof_challenge_check(&good, &claim, 100, 8, &beacon, NULL), RR_OK);
    struct rr_pot_challenge bad = good;
    for (bad.index = 0; bad.index == drawn[0] || bad.index == drawn[1] || bad.index == drawn[2] ||
                        bad.index == drawn[3] || bad.index == drawn[4] || bad.index == drawn[5] ||
                        bad.index == drawn[6] || bad.index == drawn[7];
         bad.index++) {
    }
    assert_int_equal(rr_proof_challenge_check(&bad, &claim, 100, 8, &beacon, NULL), RR_ERR_TRUST);
    bad = good;
    bad.beacon_height++;
    assert_int_equal(rr_proof_challenge_check(&bad, &claim, 100, 8, &beacon, NULL), RR_ERR_TRUST);
    bad = good;
    bad.beacon.bytes[5] ^= 1; /* a beacon of the challenger's own */
    assert_int_equal(rr_proof_challenge_check(&bad, &claim, 100, 8, &beacon, NULL), RR_ERR_TRUST);
    bad = good;
    bad.root.bytes[0] ^= 1;
    assert_int_equal(rr_proof_challenge_check(&bad, &claim, 100, 8, &beacon, NULL), RR_ERR_TRUST);
}

/* The cheat of spec 20, 4: a root made when the drawn leaves were known does not hold them. */
static void a_root_computed_after_the_challenge_is_caught(void **state)
{
    (void)state;
    struct rr_hash32 others[LEAVES], root;
    struct rr_pot_answer answer = {.contract_id = claim.contract_id, .job_id = claim.job_id};
    memcpy(others, hashes, sizeof others);
    answer.leaf = leaves[6];
    answer.leaf.output_digest.bytes[9] ^= 1; /* made honestly only now */
    rr_pot_leaf_hash(&others[6], &claim.job_id, &answer.leaf);
    rr_merkle_root(&root, others, LEAVES);
    rr_merkle_prove(&answer.place, others, LEAVES, 6);
    assert_int_equal(rr_proof_answer_check(&answer, &claim, 6, NULL), RR_ERR_TRUST);
    struct rr_proof_claim later = claim;
    later.root = root; /* would hold: the ledger has the earlier one */
    assert_int_equal(rr_proof_answer_check(&answer, &later, 6, NULL), RR_OK);
}

static enum rr_proof_decision decide(const struct rr_pot_vote *votes, uint32_t count)
{
    const struct rr_pot_challenge challenge = {
        .contract_id = claim.contract_id, .root = claim.root, .leaves = LEAVES, .index = 6};
    enum rr_proof_decision decision = RR_PROOF_OPEN;
    assert_int_equal(
        rr_proof_majority(&decision, votes, count, &challenge, &hashes[6], &pool, NULL), RR_OK);
    return decision;
}

static void more_than_half_of_the_weight_decides(void **state)
{
    (void)state;
    struct rr_pot_vote votes[4];
    votes[0] = vote_of(0, 6, RR_POT_PSNR); /* 30 */
    votes[1] = vote_of(2, 6, RR_POT_SSIM); /* 20: half is not enough, whatever the reasons */
    assert_int_equal(decide(votes, 2), RR_PROOF_OPEN);
    votes[2] = vote_of(4, 6, RR_POT_TILE);
    assert_int_equal(decide(votes, 3), RR_PROOF_REFUSED);
    votes[2] = vote_of(2, 6, RR_POT_SSIM); /* says it twice */
    assert_int_equal(decide(votes, 3), RR_PROOF_OPEN);
    votes[2] = vote_of(2, 6, RR_POT_ACCEPTED); /* says both: counts for nothing */
    votes[3] = vote_of(4, 6, RR_POT_TILE);
    assert_int_equal(decide(votes, 4), RR_PROOF_OPEN);
    votes[2] = vote_of(POOL, 6, RR_POT_TILE); /* a stranger */
    votes[3] = vote_of(1, 7, RR_POT_TILE);    /* another leaf */
    assert_int_equal(decide(votes, 4), RR_PROOF_OPEN);
    votes[2] = vote_of(1, 6, RR_POT_TILE);
    votes[2].signature.bytes[3] ^= 1;
    assert_int_equal(decide(votes, 3), RR_PROOF_OPEN);
    votes[0] = vote_of(0, 6, RR_POT_ACCEPTED);
    votes[1] = vote_of(1, 6, RR_POT_ACCEPTED);
    assert_int_equal(decide(votes, 2), RR_PROOF_GOOD);
}

static void a_fraud_proof_needs_place_and_majority_and_one_result(void **state)
{
    (void)state;
    struct rr_pot_vote votes[POOL];
    struct rr_pot_fraud fraud = {.votes = votes, .count = 3};
    fraud.answer = (struct rr_pot_answer){
        .contract_id = claim.contract_id, .job_id = claim.job_id, .leaf = leaves[6]};
    rr_merkle_prove(&fraud.answer.place, hashes, LEAVES, 6);
    for (unsigned i = 0; i < POOL; i++) {
        votes[i] = vote_of(i, 6, RR_POT_DIGEST);
    }
    assert_int_equal(rr_proof_fraud_check(&fraud, &claim, CHAIN, RR_EXACT, &pool, NULL), RR_OK);
    assert_int_equal(rr_proof_fraud_check(&fraud, &claim, CHAIN + 1, RR_EXACT, &pool, NULL),
                     RR_ERR_TRUST);
    assert_int_equal(rr_proof_fraud_check(&fraud, &claim, CHAIN, RR_TOLERANT_BUILD, &pool, NULL),
                     RR_ERR_STATE);
    fraud.count = 1; /* 30 of 100 */
    assert_int_equal(rr_proof_fraud_check(&fraud, &claim, CHAIN, RR_EXACT, &pool, NULL),
                     RR_ERR_TRUST);
    fraud.count = 3;
    votes[1].remade.bytes[1] ^= 1; /* two who made different things prove nothing */
    rr_pot_vote_sign(&votes[1], keys[1]);
    assert_int_equal(rr_proof_fraud_check(&fraud, &claim, CHAIN, RR_EXACT, &pool, NULL),
                     RR_ERR_TRUST);
    votes[1] = votes[0]; /* one key twice */
    assert_int_equal(rr_proof_fraud_check(&fraud, &claim, CHAIN, RR_EXACT, &pool, NULL),
                     RR_ERR_TRUST);
    votes[1] = vote_of(1, 6, RR_POT_PSNR); /* margins slash nobody */
    assert_int_equal(rr_proof_fraud_check(&fraud, &claim, CHAIN, RR_EXACT, &pool, NULL),
                     RR_ERR_TRUST);
    votes[1] = vote_of(1, 6, RR_POT_DIGEST);
    fraud.answer.leaf.output_bytes++; /* no longer what was claimed */
    assert_int_equal(rr_proof_fraud_check(&fraud, &claim, CHAIN, RR_EXACT, &pool, NULL),
                     RR_ERR_TRUST);
}

/* An honest rig cannot be slashed by its own digest. */
static void votes_that_name_the_leafs_own_digest_prove_nothing(void **state)
{
    (void)state;
    struct rr_pot_vote votes[3];
    struct rr_pot_fraud fraud = {.votes = votes, .count = 3};
    fraud.answer = (struct rr_pot_answer){
        .contract_id = claim.contract_id, .job_id = claim.job_id, .leaf = leaves[6]};
    rr_merkle_prove(&fraud.answer.place, hashes, LEAVES, 6);
    for (unsigned i = 0; i < 3; i++) {
        votes[i] = vote_of(i, 6, RR_POT_DIGEST);
        votes[i].remade = leaves[6].output_digest;
        rr_pot_vote_sign(&votes[i], keys[i]);
    }
    assert_int_equal(rr_proof_fraud_check(&fraud, &claim, CHAIN, RR_EXACT, &pool, NULL),
                     RR_ERR_TRUST);
}

static void challenges_that_are_due_follow_from_the_odds(void **state)
{
    (void)state;
    assert_int_equal(rr_proof_challenges_for(1, 1, 100), 1);
    assert_int_equal(rr_proof_challenges_for(1, 2, 100), 7);   /* 0.5^7 = 0.0078 */
    assert_int_equal(rr_proof_challenges_for(1, 10, 100), 44); /* 0.9^44 = 0.0097 */
    assert_int_equal(rr_proof_challenges_for(1, 100, 100), 459);
    assert_int_equal(rr_proof_challenges_for(0, 100, 100), UINT16_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_challenge_must_follow_from_the_beacon),
        cmocka_unit_test(a_root_computed_after_the_challenge_is_caught),
        cmocka_unit_test(more_than_half_of_the_weight_decides),
        cmocka_unit_test(a_fraud_proof_needs_place_and_majority_and_one_result),
        cmocka_unit_test(votes_that_name_the_leafs_own_digest_prove_nothing),
        cmocka_unit_test(challenges_that_are_due_follow_from_the_odds),
    };
    return cmocka_run_group_tests_name("verdicts", tests, begin, end);
}

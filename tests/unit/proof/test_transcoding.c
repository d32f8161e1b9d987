/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The draw, the answers, the evidence. */
#include "proof/proof.h"
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
/* after its own needs */
#include <cmocka.h>

static uint32_t draw(uint64_t block, uint64_t root_number, uint32_t leaves, uint16_t challenges,
                     uint32_t *indices)
{
    struct rr_hash32 hash = {{0}};
    struct rr_hash32 root = {{0}};
    struct rr_fault fault = {0};
    uint32_t count = 0;
    memcpy(hash.bytes, &block, sizeof(block));
    memcpy(root.bytes, &root_number, sizeof(root_number));
    assert_int_equal(rr_proof_draw(&hash, &root, leaves, challenges, indices, &count, 4096, &fault),
                     RR_OK);
    return count;
}

static void the_count_is_at_least_one_in_64_and_at_most_all(void **state)
{
    (void)state;
    assert_int_equal(rr_proof_draw_count(100, 8), 8);
    assert_int_equal(rr_proof_draw_count(5, 8), 5);
    assert_int_equal(rr_proof_draw_count(512, 8), 8);
    assert_int_equal(rr_proof_draw_count(513, 8), 9);
    assert_int_equal(rr_proof_draw_count(6400, 8), 100);
    assert_int_equal(rr_proof_draw_count(1, 1), 1);
    assert_int_equal(rr_proof_draw_count(RR_LEAVES_MAX, 1), RR_LEAVES_MAX / 64);
    assert_int_equal(rr_proof_draw_count(UINT32_MAX, UINT16_MAX), 1u << 26);
    assert_int_equal(rr_proof_beacon_height(7), 9);
    assert_int_equal(rr_proof_beacon_height(UINT64_MAX), UINT64_MAX);
}

static void draws_are_distinct_ascending_and_in_range(void **state)
{
    (void)state;
    static uint32_t indices[4096];
    for (uint64_t seed = 0; seed < 300; seed++) {
        uint32_t leaves = (uint32_t)(1 + seed * 7 % 700);
        uint16_t challenges = (uint16_t)(1 + seed % 40);
        uint32_t count = draw(seed, 1, leaves, challenges, indices);
        assert_int_equal(count, rr_proof_draw_count(leaves, challenges));
        for (uint32_t i = 0; i < count; i++) {
            assert_true(indices[i] < leaves);
            assert_true(i == 0 || indices[i] > indices[i - 1]);
        }
    }
}

/* All subsets of 3 out of 7: each of the 35 equally likely. Chi-square with 34 degrees of freedom
 * stays below 80 with probability 1 - 10^-5 when the draw is even; the seeds are fixed, so the
 * outcome is too. */
static void every_subset_is_equally_likely(void **state)
{
    (void)state;
    uint32_t seen[128] = {0};
    uint32_t indices[4096];
    const uint32_t tries = 35000;
    for (uint32_t i = 0; i < tries; i++) {
        uint32_t mask = 0;
        assert_int_equal(draw(i, 2, 7, 3, indices), 3);
        for (int k = 0; k < 3; k++) {
            mask |= 1u << indices[k];
        }
        seen[mask]++;
    }
    double chi = 0;
    int subsets = 0;
    for (int mask = 0; mask < 128; mask++) {
        if (__builtin_popcount((unsigned)mask) == 3) {
            double off = (double)seen[mask] - tries / 35.0;
            chi += off * off / (tries / 35.0);
            subsets++;
        } else {
            assert_int_equal(seen[mask], 0);
        }
    }
    assert_int_equal(subsets, 35);
    assert_true(chi < 80.0);
    assert_true(chi > 8.0); /* too even would be as suspect */
}

/* A loop that reduced words modulo a leaf count without rejection, or drew with a fixed stream,
 * fails here. */
static void every_leaf_of_a_long_job_is_equally_likely(void **state)
{
    (void)state;
    enum { LEAVES = 97, CHALLENGES = 8, TRIES = 12000 };
    uint32_t seen[LEAVES] = {0};
    uint32_t indices[4096];
    for (uint32_t i = 0; i < TRIES; i++) {
        uint32_t count = draw(i, 3, LEAVES, CHALLENGES, indices);
        for (uint32_t k = 0; k < count; k++) {
            seen[indices[k]]++;
        }
    }
    double mean = (double)TRIES * CHALLENGES / LEAVES;
    double chi = 0;
    for (int i = 0; i < LEAVES; i++) {
        chi += (seen[i] - mean) * (seen[i] - mean) / mean;
    }
    assert_true(chi < 170.0); /* 96 degrees of freedom: mean 96, standard deviation below 14 */
}

static void draws_hang_on_block_and_root(void **state)
{
    (void)state;
    uint32_t a[4096];
    uint32_t b[4096];
    int same_block = 0;
    int same_root = 0;
    for (uint64_t i = 0; i < 50; i++) {
        draw(i, 4, 1000, 8, a);
        draw(i, 4, 1000, 8, b);
        assert_memory_equal(a, b, 16 * sizeof(a[0]));
        draw(i, 5, 1000, 8, b);
        same_block += memcmp(a, b, 16 * sizeof(a[0])) == 0;
        draw(i + 1, 4, 1000, 8, b);
        same_root += memcmp(a, b, 16 * sizeof(a[0])) == 0;
    }
    assert_int_equal(same_block, 0);
    assert_int_equal(same_root, 0);
}

/* Fixed for good: another program has to draw the same. tests/unit/proof/draw.py makes it again. */
static void the_draw_is_that_of_the_vector(void **state)
{
    (void)state;
    uint32_t indices[4096];
    static const uint32_t want[] = {4,   95,  150, 199, 235, 305, 361, 424,
                                    513, 518, 668, 706, 725, 824, 854, 932};
    assert_int_equal(draw(0x0123456789abcdefu, 0xfedcba98u, 1000, 8, indices), RR_COUNT(want));
    assert_memory_equal(indices, want, sizeof(want));
}

static void limits_are_kept(void **state)
{
    (void)state;
    struct rr_hash32 zero = {{0}};
    struct rr_fault fault = {0};
    uint32_t indices[4] = {7, 7, 7, 7};
    uint32_t count = 9;
    assert_int_equal(rr_proof_draw(&zero, &zero, 0, 4, indices, &count, 4, &fault), RR_ERR_LIMIT);
    assert_int_equal(rr_proof_draw(&zero, &zero, RR_LEAVES_MAX + 1, 4, indices, &count, 4, &fault),
                     RR_ERR_LIMIT);
    assert_int_equal(rr_proof_draw(&zero, &zero, 10, 5, indices, &count, 4, &fault), RR_ERR_LIMIT);
    assert_int_equal(count, 9);
    assert_int_equal(indices[0], 7);
    assert_int_equal(rr_proof_draw(&zero, &zero, 4, 4, indices, &count, 4, &fault), RR_OK);
    for (uint32_t i = 0; i < 4; i++) {
        assert_int_equal(indices[i], i);
    }
}

/* ---- answers -----------------------------------------------------------------------------------
 */
#define LEAVES 11
static void make_job(struct rr_pot_leaf leaves[LEAVES], struct rr_hash32 hashes[LEAVES],
                     struct rr_proof_claim *claim)
{
    memset(claim, 0, sizeof(*claim));
    memset(leaves, 0, LEAVES * sizeof(*leaves));
    claim->contract_id.bytes[0] = 1;
    claim->job_id.bytes[0] = 2;
    claim->leaves = LEAVES;
    for (uint32_t i = 0; i < LEAVES; i++) {
        leaves[i].rendition = (uint16_t)(i % 3);
        leaves[i].gop = i / 3;
        leaves[i].source_last = i;
        leaves[i].output_bytes = 1000 + i;
        leaves[i].output_digest.bytes[4] = (uint8_t)i;
        rr_pot_leaf_hash(&hashes[i], &claim->job_id, &leaves[i]);
    }
    rr_merkle_root(&claim->root, hashes, LEAVES);
}

static void an_answer_holds_only_for_its_own_leaf_job_and_contract(void **state)
{
    (void)state;
    struct rr_pot_leaf leaves[LEAVES];
    struct rr_hash32 hashes[LEAVES];
    struct rr_proof_claim claim;
    struct rr_fault fault = {0};
    make_job(leaves, hashes, &claim);
    for (uint32_t i = 0; i < LEAVES; i++) {
        struct rr_pot_answer answer = {
            .contract_id = claim.contract_id, .job_id = claim.job_id, .leaf = leaves[i]};
        rr_merkle_prove(&answer.place, hashes, LEAVES, i);
        assert_int_equal(rr_proof_answer_check(&answer, &claim, i, &fault), RR_OK);
        assert_int_equal(rr_proof_answer_check(&answer, &claim, (i + 1) % LEAVES, &fault),
                         RR_ERR_TRUST);
        struct rr_pot_answer bad = answer;
        bad.contract_id.bytes[9] ^= 1;
        assert_int_equal(rr_proof_answer_check(&bad, &claim, i, &fault), RR_ERR_TRUST);
        bad = answer;
        bad.job_id.bytes[9] ^= 1;
        assert_int_equal(rr_proof_answer_check(&bad, &claim, i, &fault), RR_ERR_TRUST);
        bad = answer;
        bad.leaf.output_digest.bytes[0] ^= 1;
        assert_int_equal(rr_proof_answer_check(&bad, &claim, i, &fault), RR_ERR_TRUST);
        bad = answer;
        bad.leaf.output_bytes++;
        assert_int_equal(rr_proof_answer_check(&bad, &claim, i, &fault), RR_ERR_TRUST);
        bad = answer; /* swapped between GOPs: another leaf's place */
        bad.leaf = leaves[(i + 1) % LEAVES];
        assert_int_equal(rr_proof_answer_check(&bad, &claim, i, &fault), RR_ERR_TRUST);
        bad = answer;
        bad.place.count++;
        assert_int_equal(rr_proof_answer_check(&bad, &claim, i, &fault), RR_ERR_TRUST);
        bad = answer;
        bad.place.depth++;
        assert_int_equal(rr_proof_answer_check(&bad, &claim, i, &fault), RR_ERR_TRUST);
    }
}

static void evidence_hangs_on_answers_order_and_verdicts(void **state)
{
    (void)state;
    struct rr_pot_leaf leaves[LEAVES];
    struct rr_hash32 hashes[LEAVES];
    struct rr_proof_claim claim;
    struct rr_pot_answer answers[2];
    struct rr_hash32 evidence[5];
    make_job(leaves, hashes, &claim);
    for (uint32_t i = 0; i < 2; i++) {
        answers[i] = (struct rr_pot_answer){
            .contract_id = claim.contract_id, .job_id = claim.job_id, .leaf = leaves[i]};
        rr_merkle_prove(&answers[i].place, hashes, LEAVES, i);
    }
    bool passed[2] = {true, true};
    rr_proof_evidence(&evidence[0], answers, passed, 2);
    rr_proof_evidence(&evidence[1], answers, passed, 1);
    passed[1] = false;
    rr_proof_evidence(&evidence[2], answers, passed, 2);
    passed[1] = true;
    struct rr_pot_answer turned[2] = {answers[1], answers[0]};
    rr_proof_evidence(&evidence[3], turned, passed, 2);
    answers[0].leaf.gop ^= 1;
    rr_proof_evidence(&evidence[4], answers, passed, 2);
    for (int i = 0; i < 5; i++) {
        for (int j = 0; j < i; j++) {
            assert_false(rr_hash32_equal(&evidence[i], &evidence[j]));
        }
    }
    answers[0].leaf.gop ^= 1;
    rr_proof_evidence(&evidence[1], answers, passed, 2);
    assert_true(rr_hash32_equal(&evidence[0], &evidence[1]));
}

int main(void)
{
    rr_crypto_init();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_count_is_at_least_one_in_64_and_at_most_all),
        cmocka_unit_test(draws_are_distinct_ascending_and_in_range),
        cmocka_unit_test(every_subset_is_equally_likely),
        cmocka_unit_test(every_leaf_of_a_long_job_is_equally_likely),
        cmocka_unit_test(draws_hang_on_block_and_root),
        cmocka_unit_test(the_draw_is_that_of_the_vector),
        cmocka_unit_test(limits_are_kept),
        cmocka_unit_test(an_answer_holds_only_for_its_own_leaf_job_and_contract),
        cmocka_unit_test(evidence_hangs_on_answers_order_and_verdicts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Claims of engagement puzzles: built, checked, refused with the reason. */
#include "hash/hash.h"
#include "proof/proof.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
/* after its own needs */
#include <cmocka.h>

#define CHAIN 0x1234abcdu

/* A published segment with two puzzles, a viewer, and a network without memory-hard work. */
struct small {
    struct rr_seckey *viewer_key, *other_key;
    struct rr_pubkey viewer, other;
    struct rr_hash32 contract;
    struct rr_buf plain, file;
    struct rr_puzzle_box boxes[3];
    struct rr_proof_segment segment;
    struct rr_proof_place place;
    struct rr_segment segments[2];
    struct rr_rendition renditions[2];
    struct rr_manifest manifest;
    struct rr_proof_engagement_view view;
    uint32_t works;
};

/* Keccak-256 of header hash and nonce in place of Ethash: as hard to guess, but quick. */
static void quick(const uint8_t header_hash[32], uint64_t nonce, uint8_t final_be[32])
{
    uint8_t bytes[40];
    memcpy(bytes, header_hash, 32);
    for (unsigned i = 0; i < 8; i++) {
        bytes[32 + i] = (uint8_t)(nonce >> 8 * i);
    }
    rr_keccak256(final_be, bytes, sizeof bytes);
}

static bool work(void *ctx, const uint8_t header_hash[32], uint64_t nonce, uint8_t mix[32],
                 uint8_t final_be[32])
{
    struct small *small = ctx;
    (void)mix;
    small->works++;
    quick(header_hash, nonce, final_be);
    return true;
}

static bool work_many(void *ctx, struct rr_proof_work *works, size_t count)
{
    struct small *small = ctx;
    small->works += (uint32_t)count;
    for (size_t i = 0; i < count; i++) {
        quick(works[i].header_hash, works[i].nonce, works[i].final_be);
    }
    return true;
}

static void put_box(struct rr_buf *out, const char *type, const void *payload, size_t len)
{
    uint32_t size = (uint32_t)len + 8;
    for (int shift = 24; shift >= 0; shift -= 8) {
        rr_write_u8(out, (uint8_t)(size >> shift));
    }
    rr_buf_append(out, type, 4);
    rr_buf_append(out, payload, len);
}

static void make_puzzles(struct small *small)
{
    struct rr_puzzle_scan scan;
    struct rr_hash32 digest;
    assert_int_equal(rr_puzzle_scan(&scan, rr_buf_slice(&small->plain), NULL), RR_OK);
    rr_puzzle_segment_digest(&digest, &scan);
    for (unsigned i = 0; i < 3; i++) {
        struct rr_puzzle_box *box = &small->boxes[i];
        *box = (struct rr_puzzle_box){
            .timescale = 24000, .id = i, .contract_id = small->contract, .puzzle.kind = 1};
        box->puzzle.difficulty.mantissa = 50;
        memset(box->puzzle.rand, (int)(i + 1), sizeof box->puzzle.rand);
        memcpy(box->puzzle.segment, digest.bytes, sizeof box->puzzle.segment);
        memcpy(box->puzzle.contract, small->contract.bytes, sizeof box->puzzle.contract);
    }
    small->boxes[1].puzzle.kind = RR_PUZZLE_STAKE;
    small->boxes[1].puzzle.difficulty.mantissa = 1;
    /* The third is not in the file. */
    assert_int_equal(
        rr_puzzle_insert(&small->file, rr_buf_slice(&small->plain), small->boxes, 2, NULL), RR_OK);
    assert_int_equal(rr_puzzle_scan(&scan, rr_buf_slice(&small->file), NULL), RR_OK);
    rr_proof_segment_of(&small->segment, &scan);
}

static int set_up(void **state)
{
    struct small *small = rr_alloc(sizeof *small);
    uint8_t secret[32] = {3};
    small->viewer_key = rr_seckey_from_bytes(secret);
    secret[0] = 5;
    small->other_key = rr_seckey_from_bytes(secret);
    rr_seckey_public(small->viewer_key, &small->viewer);
    rr_seckey_public(small->other_key, &small->other);
    memset(small->contract.bytes, 0x77, 32);
    put_box(&small->plain, "moof", "a fragment", 10);
    put_box(&small->plain, "mdat", "pictures that move", 18);
    make_puzzles(small);
    memset(small->place.resource_id.bytes, 0x55, 32);
    small->place.chain_id = CHAIN;
    small->place.rendition = 1;
    small->place.segment = 1;
    rr_segment_digest(&small->segments[1].digest, rr_buf_slice(&small->file));
    small->renditions[1] = (struct rr_rendition){.segments = small->segments, .segment_count = 2};
    small->manifest = (struct rr_manifest){.resource_id = small->place.resource_id,
                                           .renditions = small->renditions,
                                           .rendition_count = 2};
    small->view = (struct rr_proof_engagement_view){.chain_id = CHAIN,
                                                    .contract_id = &small->contract,
                                                    .manifest = &small->manifest,
                                                    .work = work,
                                                    .work_ctx = small};
    *state = small;
    return 0;
}

static int tear_down(void **state)
{
    struct small *small = *state;
    rr_seckey_free(small->viewer_key);
    rr_seckey_free(small->other_key);
    rr_buf_clear(&small->plain);
    rr_buf_clear(&small->file);
    rr_free(small);
    return 0;
}

static struct rr_puzzle_claim solved_by(struct small *small, unsigned box,
                                        const struct rr_seckey *key)
{
    struct rr_puzzle_claim claim;
    struct rr_pubkey viewer;
    uint8_t final_be[32];
    rr_seckey_public(key, &viewer);
    assert_int_equal(rr_proof_engagement_begin(&claim, &small->place, &small->boxes[box],
                                               &small->segment, &viewer, NULL),
                     RR_OK);
    for (;; claim.nonce++) {
        quick(claim.engagement.bytes, claim.nonce, final_be);
        if (rr_hash_solves(final_be, rr_puzzle_difficulty_value(claim.puzzle.difficulty))) {
            break;
        }
    }
    rr_puzzle_claim_sign(&claim, key);
    return claim;
}

static enum rr_err check(struct small *small, const struct rr_puzzle_claim *claim,
                         struct rr_fault *fault)
{
    *fault = (struct rr_fault){0};
    return rr_proof_engagement_check(&small->view, claim, rr_buf_slice(&small->file), fault);
}

static void assert_refused(struct small *small, const struct rr_puzzle_claim *claim,
                           enum rr_err code, const char *why)
{
    struct rr_fault fault;
    assert_int_equal(check(small, claim, &fault), code);
    if (strstr(fault.text, why) == NULL) {
        fail_msg("'%s' does not say '%s'", fault.text, why);
    }
}

/* ---- the segment ----------------------------------------------------------------------------- */

static void test_pieces(void **state)
{
    struct small *small = *state;
    struct rr_buf whole = {0};
    struct rr_hash32 expected, digest, got;
    rr_buf_append(&whole, "reelrig/poe", 11);
    rr_buf_append(&whole, small->plain.ptr, small->plain.len);
    rr_buf_append(&whole, small->boxes[0].puzzle.rand, 16);
    rr_buf_append(&whole, small->viewer.bytes, 32);
    rr_keccak256(expected.bytes, whole.ptr, whole.len);
    rr_segment_digest(&digest, rr_buf_slice(&small->plain));
    for (size_t cut = 0; cut <= small->plain.len; cut++) {
        struct rr_proof_segment segment;
        rr_proof_segment_begin(&segment);
        rr_proof_segment_add(&segment, small->plain.ptr, cut);
        rr_proof_segment_add(&segment, small->plain.ptr + cut, small->plain.len - cut);
        rr_proof_segment_engagement(&segment, &got, small->boxes[0].puzzle.rand, &small->viewer);
        assert_true(rr_hash32_equal(&got, &expected));
        rr_proof_segment_digest(&segment, &got);
        assert_true(rr_hash32_equal(&got, &digest));
        rr_proof_segment_engagement(&segment, &got, small->boxes[0].puzzle.rand, &small->viewer);
        assert_true(rr_hash32_equal(&got, &expected)); /* none of these has ended it */
    }
    rr_proof_segment_engagement(&small->segment, &got, small->boxes[0].puzzle.rand, &small->viewer);
    assert_true(rr_hash32_equal(&got, &expected)); /* the boxes are no part of it */
    rr_proof_segment_engagement(&small->segment, &got, small->boxes[1].puzzle.rand, &small->viewer);
    assert_false(rr_hash32_equal(&got, &expected));
    rr_proof_segment_engagement(&small->segment, &got, small->boxes[0].puzzle.rand, &small->other);
    assert_false(rr_hash32_equal(&got, &expected));
    rr_buf_clear(&whole);
}

static void test_begin_refused(void **state)
{
    struct small *small = *state;
    struct rr_puzzle_claim claim;
    struct rr_puzzle_box box = small->boxes[0];
    box.puzzle.segment[15] ^= 1;
    assert_int_equal(rr_proof_engagement_begin(&claim, &small->place, &box, &small->segment,
                                               &small->viewer, NULL),
                     RR_ERR_TRUST);
}

/* ---- one claim ------------------------------------------------------------------------------- */

static void test_valid(void **state)
{
    struct small *small = *state;
    struct rr_fault fault;
    for (unsigned box = 0; box < 2; box++) {
        struct rr_puzzle_claim claim = solved_by(small, box, small->viewer_key), again;
        struct rr_buf bytes = {0};
        small->works = 0;
        if (check(small, &claim, &fault) != RR_OK) {
            fail_msg("%s", fault.text);
        }
        assert_int_equal(small->works, box == 0); /* by stake there is no work */
        rr_puzzle_claim_encode(&bytes, &claim);
        assert_int_equal(bytes.len, RR_PUZZLE_CLAIM_BYTES);
        assert_int_equal(rr_puzzle_claim_decode(&again, rr_buf_slice(&bytes), NULL), RR_OK);
        assert_int_equal(check(small, &again, &fault), RR_OK);
        rr_buf_clear(&bytes);
    }
    small->view.manifest = NULL;
    small->view.contract_id = NULL;
    struct rr_puzzle_claim claim = solved_by(small, 0, small->viewer_key);
    assert_int_equal(check(small, &claim, &fault), RR_OK);
}

static void test_nonce(void **state)
{
    struct small *small = *state;
    struct rr_puzzle_claim claim = solved_by(small, 0, small->viewer_key);
    unsigned refused = 0;
    for (claim.nonce = 1000; claim.nonce < 1020; claim.nonce++) {
        struct rr_fault fault;
        uint8_t final_be[32];
        rr_puzzle_claim_sign(&claim, small->viewer_key);
        quick(claim.engagement.bytes, claim.nonce, final_be);
        bool good = rr_hash_solves(final_be, rr_u256_of(50));
        assert_int_equal(check(small, &claim, &fault), good ? RR_OK : RR_ERR_LIMIT);
        refused += !good;
    }
    assert_true(refused > 10);
}

static void test_viewer(void **state)
{
    struct small *small = *state;
    struct rr_puzzle_claim claim = solved_by(small, 0, small->viewer_key);
    rr_puzzle_claim_sign(&claim, small->other_key); /* the finder's answer under another name */
    assert_refused(small, &claim, RR_ERR_TRUST, "for this viewer");
    claim = solved_by(small, 0, small->viewer_key);
    claim.nonce++;
    small->works = 0;
    assert_refused(small, &claim, RR_ERR_TRUST, "not signed by its viewer");
    assert_int_equal(small->works, 0); /* the curve stands before the work */
}

static void test_segment(void **state)
{
    struct small *small = *state;
    struct rr_puzzle_claim claim = solved_by(small, 0, small->viewer_key);
    for (size_t at = 0; at < small->file.len; at++) {
        small->file.ptr[at] ^= 1;
        assert_refused(small, &claim, RR_ERR_TRUST, "not the segment that the owner's manifest");
        small->file.ptr[at] ^= 1;
    }
    small->view.manifest = NULL; /* even where nobody knows what the file should be */
    struct rr_fault fault;
    for (size_t at = 0; at < small->file.len; at++) {
        small->file.ptr[at] ^= 1;
        /* Times, ids and the other puzzle are not what this claim is about. */
        bool ours = at < 12 || (at >= 32 && at < 179) || at >= 2 * 179;
        enum rr_err err = check(small, &claim, &fault);
        assert_true(ours ? err != RR_OK
                         : err == RR_OK || err == RR_ERR_TRUST || err == RR_ERR_FORMAT);
        small->file.ptr[at] ^= 1;
    }
    struct rr_buf other = {0};
    put_box(&other, "moof", "a fragment", 10);
    put_box(&other, "mdat", "other pictures", 14);
    assert_int_equal(rr_proof_engagement_check(&small->view, &claim, rr_buf_slice(&other), &fault),
                     RR_ERR_TRUST);
    assert_non_null(strstr(fault.text, "another segment"));
    rr_buf_clear(&other);
}

static void test_made_up(void **state)
{
    struct small *small = *state;
    struct rr_puzzle_claim claim = solved_by(small, 2, small->viewer_key);
    assert_refused(small, &claim, RR_ERR_TRUST, "made up");
    claim = solved_by(small, 0, small->viewer_key);
    claim.puzzle.difficulty.mantissa = 1; /* an easier one */
    rr_puzzle_claim_sign(&claim, small->viewer_key);
    assert_refused(small, &claim, RR_ERR_TRUST, "made up");
    claim = solved_by(small, 0, small->viewer_key);
    claim.contract_id.bytes[31] ^= 1; /* a contract whose id begins the same */
    rr_puzzle_claim_sign(&claim, small->viewer_key);
    assert_refused(small, &claim, RR_ERR_TRUST, "another contract");
    small->view.contract_id = NULL;
    assert_refused(small, &claim, RR_ERR_TRUST, "made up");
}

static void test_place(void **state)
{
    struct small *small = *state;
    struct rr_puzzle_claim good = solved_by(small, 0, small->viewer_key), claim = good;
    claim.chain_id++;
    assert_refused(small, &claim, RR_ERR_TRUST, "chain");
    claim = good;
    claim.resource_id.bytes[0] ^= 1;
    assert_refused(small, &claim, RR_ERR_TRUST, "another resource");
    claim = good;
    claim.segment = 2;
    assert_refused(small, &claim, RR_ERR_NOTFOUND, "no segment 2");
    claim = good;
    claim.rendition = 0;
    assert_refused(small, &claim, RR_ERR_NOTFOUND, "rendition 0");
    claim = good;
    claim.segment = 0;
    assert_refused(small, &claim, RR_ERR_TRUST, "manifest");
}

/* ---- claims before it ------------------------------------------------------------------------ */

struct past {
    struct rr_hash32 puzzle;
    struct rr_pubkey viewer;
};

static bool won(void *ctx, const struct rr_hash32 *puzzle_id, const struct rr_pubkey *viewer)
{
    const struct past *past = ctx;
    return rr_hash32_equal(puzzle_id, &past->puzzle) &&
           (viewer == NULL || memcmp(viewer, &past->viewer, sizeof *viewer) == 0);
}

static void test_won(void **state)
{
    struct small *small = *state;
    struct rr_fault fault;
    static struct past past;
    past.viewer = small->viewer;
    small->view.won = won;
    small->view.won_ctx = &past;
    for (unsigned box = 0; box < 2; box++) {
        struct rr_puzzle_claim mine = solved_by(small, box, small->viewer_key);
        struct rr_puzzle_claim theirs = solved_by(small, box, small->other_key);
        past.puzzle = (struct rr_hash32){0};
        assert_int_equal(check(small, &mine, &fault), RR_OK);
        rr_puzzle_id(&past.puzzle, &mine);
        assert_refused(small, &mine, RR_ERR_EXISTS, box == 0 ? "is won" : "claimed this puzzle");
        assert_int_equal(check(small, &theirs, &fault), box == 0 ? RR_ERR_EXISTS : RR_OK);
    }
}

static void test_many(void **state)
{
    struct small *small = *state;
    struct rr_puzzle_claim claims[] = {
        solved_by(small, 0, small->viewer_key), /* with a wrong nonce: does not count */
        solved_by(small, 0, small->other_key),  /* so this one is the first */
        solved_by(small, 0, small->viewer_key), /* too late */
        solved_by(small, 1, small->viewer_key), solved_by(small, 1, small->other_key),
        solved_by(small, 1, small->viewer_key), /* twice */
        solved_by(small, 2, small->viewer_key), /* made up */
    };
    static const enum rr_err expected[] = {RR_ERR_LIMIT, RR_OK,         RR_ERR_EXISTS, RR_OK,
                                           RR_OK,        RR_ERR_EXISTS, RR_ERR_TRUST};
    struct rr_proof_engagement_item items[RR_COUNT(claims)];
    struct rr_fault fault = {0};
    uint8_t final_be[32];
    do {
        claims[0].nonce++;
        quick(claims[0].engagement.bytes, claims[0].nonce, final_be);
    } while (rr_hash_solves(final_be, rr_u256_of(50)));
    rr_puzzle_claim_sign(&claims[0], small->viewer_key);
    for (size_t i = 0; i < RR_COUNT(claims); i++) {
        items[i] = (struct rr_proof_engagement_item){.claim = &claims[i],
                                                     .file = rr_buf_slice(&small->file)};
    }
    small->works = 0;
    assert_int_equal(rr_proof_engagement_check_many(&small->view, items, RR_COUNT(claims),
                                                    work_many, small, &fault),
                     RR_OK);
    assert_int_equal(small->works, 3);
    for (size_t i = 0; i < RR_COUNT(claims); i++) {
        assert_int_equal(items[i].fault.code, expected[i]);
        assert_int_equal(items[i].fault.text[0] == '\0', expected[i] == RR_OK);
    }
    assert_int_equal(rr_proof_engagement_check_many(&small->view, items, RR_PROOF_CLAIMS_MAX + 1,
                                                    work_many, small, &fault),
                     RR_ERR_LIMIT);
}

/* ---- with the real hash ---------------------------------------------------------------------- */

static void test_ethash(void **state)
{
    struct small *small = *state;
    struct rr_hash_params params = {.cache_items = 1021, .dataset_items = 8191};
    struct rr_hash_light *light;
    struct rr_fault fault;
    struct rr_puzzle_claim claim;
    uint8_t mix[32], final_be[32];
    assert_int_equal(rr_hash_light_new(&light, &params, &fault), RR_OK);
    small->view.work = rr_hash_light_work;
    small->view.work_ctx = light;
    assert_int_equal(rr_proof_engagement_begin(&claim, &small->place, &small->boxes[0],
                                               &small->segment, &small->viewer, NULL),
                     RR_OK);
    uint64_t wrong = UINT64_MAX;
    for (;; claim.nonce++) {
        rr_hash_light_compute(light, claim.engagement.bytes, claim.nonce, mix, final_be);
        if (rr_hash_solves(final_be, rr_u256_of(50))) {
            break;
        }
        wrong = claim.nonce;
    }
    rr_puzzle_claim_sign(&claim, small->viewer_key);
    assert_int_equal(check(small, &claim, &fault), RR_OK);
    if (wrong != UINT64_MAX) {
        claim.nonce = wrong;
        rr_puzzle_claim_sign(&claim, small->viewer_key);
        assert_refused(small, &claim, RR_ERR_LIMIT, "does not solve");
    }
    rr_hash_light_free(light);
}

int main(void)
{
    rr_crypto_init();
#define TEST(sentence, test)                                                                       \
    {                                                                                              \
        sentence, test, set_up, tear_down, NULL                                                    \
    }
    const struct CMUnitTest tests[] = {
        TEST("a segment in any pieces gives the engagement of the whole", test_pieces),
        TEST("no claim begins on a puzzle of another segment", test_begin_refused),
        TEST("a solved puzzle's claim counts, before and after the wire", test_valid),
        TEST("a nonce that does not solve is refused", test_nonce),
        TEST("another viewer's answer and a broken signature are refused", test_viewer),
        TEST("a segment with one byte altered is refused", test_segment),
        TEST("a puzzle that the segment does not carry is refused", test_made_up),
        TEST("another chain, resource or place is refused", test_place),
        TEST("a won puzzle is won once; by stake each viewer claims once", test_won),
        TEST("of many claims the first valid one of each puzzle counts", test_many),
        TEST("the real hash decides", test_ethash),
    };
#undef TEST
    return cmocka_run_group_tests_name("engagement", tests, NULL, NULL);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Rules for one certificate and for sets of them. */
#include "proof/proof.h"
#include "reputation/reputation.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
/* after its own needs */
#include <cmocka.h>

struct small {
    struct rr_genesis genesis;
    struct rr_seckey *viewer_key;
    struct rr_pubkey cacher, viewer;
    uint8_t final_be[32]; /* what the work callback answers */
    bool can_work;
    uint32_t works;
};

static bool hash_of_block(void *ctx, uint64_t height, struct rr_hash32 *out)
{
    (void)ctx;
    memset(out, 0, sizeof(*out));
    memcpy(out->bytes, &height, sizeof(height));
    out->bytes[31] = 0xaa;
    return height < 1000;
}

static bool work(void *ctx, const uint8_t header_hash[32], uint64_t nonce, uint8_t mix[32],
                 uint8_t final_be[32])
{
    struct small *small = ctx;
    (void)header_hash;
    (void)nonce;
    (void)mix;
    memcpy(final_be, small->final_be, 32);
    small->works++;
    return small->can_work;
}

static int set_up(void **state)
{
    static struct small small;
    struct rr_fault fault = {0};
    uint8_t bytes[32] = {3};
    assert_int_equal(
        rr_genesis_parse(&small.genesis, rr_slice_str(rr_genesis_preset("dev")), "dev", &fault),
        RR_OK);
    small.genesis.puzzle_blocks = 4;
    small.genesis.window_blocks = 40;
    small.genesis.block_ms = 1000;
    small.genesis.certificate_hashes_per_s = 16;
    small.genesis.certificates_per_block = 1000;
    small.genesis.certificate_binding = RR_BINDING_POOL;
    small.viewer_key = rr_seckey_from_bytes(bytes);
    rr_seckey_public(small.viewer_key, &small.viewer);
    memset(small.cacher.bytes, 0xcc, 32);
    memset(small.final_be, 0, 32);
    small.final_be[0] = 4; /* E = 63: 63/16 s */
    small.can_work = true;
    small.works = 0;
    *state = &small;
    return 0;
}

static int tear_down(void **state)
{
    struct small *small = *state;
    rr_seckey_free(small->viewer_key);
    return 0;
}

static struct rr_proof_view view_of(struct small *small, uint64_t tip)
{
    return (struct rr_proof_view){.genesis = &small->genesis,
                                  .tip_height = tip,
                                  .block_hash = hash_of_block,
                                  .work = work,
                                  .work_ctx = small};
}

static struct rr_certificate make(struct small *small, uint64_t height)
{
    struct rr_certificate certificate = {.chain_id = rr_genesis_chain_id(&small->genesis),
                                         .cacher = small->cacher,
                                         .viewer = small->viewer,
                                         .block_height = height};
    hash_of_block(NULL, height, &certificate.block_hash);
    rr_certificate_sign(&certificate, small->viewer_key);
    return certificate;
}

static enum rr_err check(struct small *small, const struct rr_certificate *certificate,
                         uint64_t tip, uint64_t *ms)
{
    struct rr_fault fault = {0};
    struct rr_proof_view view = view_of(small, tip);
    enum rr_err err = rr_proof_certificate_check(&view, ms, certificate, &small->cacher, &fault);
    assert_true(err == RR_OK || fault.text[0] != 0);
    return err;
}

static void a_good_certificate_is_worth_its_work(void **state)
{
    struct small *small = *state;
    struct rr_certificate certificate = make(small, 100);
    uint64_t ms = 0;
    assert_int_equal(check(small, &certificate, 102, &ms), RR_OK);
    assert_int_equal(ms, 63 * 1000 / 16);
    small->final_be[0] = 0;
    assert_int_equal(check(small, &certificate, 102, &ms), RR_OK);
    assert_int_equal(ms, 4000); /* at most d T_b */
    small->final_be[0] = 16;    /* E = 15 < 16 * 4 / 4 */
    assert_int_equal(check(small, &certificate, 102, &ms), RR_ERR_LIMIT);
    small->can_work = false;
    assert_int_equal(check(small, &certificate, 102, &ms), RR_ERR_TRUST);
    assert_int_equal(ms, 4000);
}

static void cheap_checks_come_before_dear_ones(void **state)
{
    struct small *small = *state;
    uint64_t ms = 77;
    struct rr_certificate bad = make(small, 100);
    bad.chain_id++;
    assert_int_equal(check(small, &bad, 102, &ms), RR_ERR_TRUST);
    bad = make(small, 100);
    bad.cacher.bytes[0] ^= 1;
    assert_int_equal(check(small, &bad, 102, &ms), RR_ERR_TRUST);
    bad = make(small, 101);
    assert_int_equal(check(small, &bad, 102, &ms), RR_ERR_STATE);
    bad = make(small, 104); /* not there yet */
    assert_int_equal(check(small, &bad, 103, &ms), RR_ERR_STATE);
    bad = make(small, 60); /* next block 101: 41 below */
    assert_int_equal(check(small, &bad, 100, &ms), RR_ERR_STATE);
    bad = make(small, 100);
    bad.block_hash.bytes[7] ^= 1;
    assert_int_equal(check(small, &bad, 102, &ms), RR_ERR_TRUST);
    bad = make(small, 100);
    bad.nonce ^= 1; /* after signing */
    assert_int_equal(check(small, &bad, 102, &ms), RR_ERR_TRUST);
    assert_int_equal(small->works, 0);
    assert_int_equal(ms, 77);
    struct rr_certificate edge = make(small, 60);
    assert_int_equal(check(small, &edge, 99, &ms), RR_OK);
    assert_int_equal(rr_proof_puzzle_height(&small->genesis, 103), 100);
    assert_int_equal(rr_proof_puzzle_height(&small->genesis, 104), 104);
    assert_int_equal(rr_proof_puzzle_height(&small->genesis, 3), 0);
}

/* ---- sets --------------------------------------------------------------------------------------
 */
static uint64_t room_for_all(void *ctx, const struct rr_hash32 *pool_id)
{
    (void)pool_id;
    return *(const uint64_t *)ctx;
}

static struct rr_certificate_entry entry_of(struct small *small, uint32_t viewer, uint64_t height,
                                            uint8_t pool, uint64_t ms)
{
    struct rr_certificate_entry entry = {.credit_ms = ms};
    entry.certificate.cacher = small->cacher;
    entry.certificate.block_height = height;
    entry.certificate.viewer.bytes[0] = (uint8_t)(viewer >> 8);
    entry.certificate.viewer.bytes[1] = (uint8_t)viewer;
    entry.pool_id.bytes[0] = pool;
    return entry;
}

static void shuffle(struct rr_certificate_entry *entries, uint32_t count, uint64_t seed)
{
    struct rr_prng prng;
    rr_prng_seed(&prng, seed);
    for (uint32_t i = count; i > 1; i--) {
        uint32_t at = (uint32_t)rr_prng_below(&prng, i);
        struct rr_certificate_entry held = entries[i - 1];
        entries[i - 1] = entries[at];
        entries[at] = held;
    }
}

static void sets_are_sorted_unique_and_full_whatever_the_order_given(void **state)
{
    struct small *small = *state;
    enum { VIEWERS = 150, HEIGHTS = 4, COPIES = 2, ALL = VIEWERS * HEIGHTS * COPIES };
    static struct rr_certificate_entry entries[ALL];
    uint64_t plenty = UINT64_MAX;
    struct rr_hash32 first_leaf = {{0}};
    for (uint64_t seed = 0; seed < 5; seed++) {
        uint32_t n = 0;
        for (uint32_t v = 0; v < VIEWERS; v++) {
            for (uint32_t h = 0; h < HEIGHTS; h++) {
                for (uint32_t c = 0; c < COPIES; c++) {
                    entries[n] = entry_of(small, v, 4ull * h, 1, 1000 + 500 * c);
                    entries[n++].certificate.nonce = c;
                }
            }
        }
        shuffle(entries, ALL, seed);
        struct rr_certificate_set *sets;
        uint32_t count;
        struct rr_fault fault = {0};
        struct rr_proof_room room = {.ms = room_for_all, .ctx = &plenty};
        rr_proof_sets_build(&small->genesis, &sets, &count, entries, ALL, room);
        assert_int_equal(count, 3);
        assert_int_equal(sets[0].count, 256);
        assert_int_equal(sets[1].count, 256);
        assert_int_equal(sets[2].count, VIEWERS * HEIGHTS - 512);
        assert_int_equal(rr_certificate_set_ms(&sets[0]), 256 * 1500); /* the better copy stayed */
        assert_int_equal(rr_proof_sets_check(&small->genesis, sets, count, room, &fault), RR_OK);
        struct rr_hash32 leaf;
        rr_certificate_set_leaf(&leaf, 0, &sets[0]);
        assert_true(seed == 0 || rr_hash32_equal(&leaf, &first_leaf));
        first_leaf = leaf;
        rr_proof_sets_free(sets, count);
    }
}

static void the_cap_of_a_block_binds(void **state)
{
    struct small *small = *state;
    static struct rr_certificate_entry entries[600];
    uint64_t plenty = UINT64_MAX;
    struct rr_proof_room room = {.ms = room_for_all, .ctx = &plenty};
    struct rr_certificate_set *sets;
    uint32_t count;
    for (uint32_t i = 0; i < 600; i++) {
        entries[i] = entry_of(small, i, 4, 1, 1000);
    }
    small->genesis.certificates_per_block = 300;
    rr_proof_sets_build(&small->genesis, &sets, &count, entries, 600, room);
    assert_int_equal(count, 2);
    assert_int_equal(sets[0].count + sets[1].count, 300);
    small->genesis.certificates_per_block = 299;
    struct rr_fault fault = {0};
    assert_int_equal(rr_proof_sets_check(&small->genesis, sets, count, room, &fault), RR_ERR_LIMIT);
    rr_proof_sets_free(sets, count);
    small->genesis.certificates_per_block = 1u << 20;
    assert_int_equal(rr_proof_entries_max(&small->genesis), 16384);
}

static uint64_t room_by_pool(void *ctx, const struct rr_hash32 *pool_id)
{
    uint32_t *asked = ctx;
    (*asked)++;
    return pool_id->bytes[0] * 1000u;
}

static void credit_ends_where_the_pool_ends(void **state)
{
    struct small *small = *state;
    struct rr_certificate_entry entries[9];
    uint32_t asked = 0;
    struct rr_proof_room room = {.ms = room_by_pool, .ctx = &asked};
    for (uint32_t i = 0; i < 9; i++) {
        entries[i] = entry_of(small, i, 4, (uint8_t)(i % 3), 700); /* pools of 0, 1000, 2000 ms */
    }
    struct rr_certificate_set *sets;
    uint32_t count;
    rr_proof_sets_build(&small->genesis, &sets, &count, entries, 9, room);
    assert_int_equal(count, 1);
    assert_int_equal(asked, 3);
    assert_int_equal(sets[0].count, 5); /* 700 + 300 of one, 700 + 700 + 600 of the other */
    assert_int_equal(rr_certificate_set_ms(&sets[0]), 3000);
    struct rr_fault fault = {0};
    small->genesis.certificates_per_block = 1000;
    /* Pool 0 has the zero id, which no bound entry may carry; it was dropped above for having no
     * room. */
    assert_int_equal(rr_proof_sets_check(&small->genesis, sets, count, room, &fault), RR_OK);
    for (uint32_t i = 0; i < sets[0].count; i++) {
        sets[0].entries[i].credit_ms++;
        assert_int_equal(rr_proof_sets_check(&small->genesis, sets, count, room, &fault),
                         RR_ERR_LIMIT);
        sets[0].entries[i].credit_ms--;
    }
    rr_proof_sets_free(sets, count);
}

static void without_binding_no_pool_is_asked(void **state)
{
    struct small *small = *state;
    struct rr_certificate_entry entries[2] = {entry_of(small, 1, 4, 9, 700),
                                              entry_of(small, 0, 4, 9, 700)};
    struct rr_certificate_set *sets;
    uint32_t count;
    struct rr_proof_room none = {0};
    small->genesis.certificate_binding = RR_BINDING_NONE;
    rr_proof_sets_build(&small->genesis, &sets, &count, entries, 2, none);
    assert_int_equal(count, 1);
    assert_int_equal(sets[0].count, 2);
    assert_true(rr_hash32_is_zero(&sets[0].entries[0].pool_id));
    struct rr_fault fault = {0};
    assert_int_equal(rr_proof_sets_check(&small->genesis, sets, count, none, &fault), RR_OK);
    sets[0].entries[1].pool_id.bytes[0] = 1;
    assert_int_equal(rr_proof_sets_check(&small->genesis, sets, count, none, &fault), RR_ERR_TRUST);
    rr_proof_sets_free(sets, count);
    rr_proof_sets_build(&small->genesis, &sets, &count, entries, 0, none);
    assert_int_equal(count, 0);
    assert_null(sets);
}

static void what_another_built_wrong_is_found(void **state)
{
    struct small *small = *state;
    static struct rr_certificate_entry entries[300];
    uint64_t plenty = UINT64_MAX;
    struct rr_proof_room room = {.ms = room_for_all, .ctx = &plenty};
    struct rr_certificate_set *sets;
    uint32_t count;
    struct rr_fault fault = {0};
    for (uint32_t i = 0; i < 300; i++) {
        entries[i] = entry_of(small, i, 4, 1, 1000);
    }
    rr_proof_sets_build(&small->genesis, &sets, &count, entries, 300, room);
    assert_int_equal(rr_proof_sets_check(&small->genesis, sets, count, room, &fault), RR_OK);
    struct rr_certificate_entry held = sets[1].entries[0];
    sets[1].entries[0] = sets[0].entries[255]; /* the same certificate in two sets */
    assert_int_equal(rr_proof_sets_check(&small->genesis, sets, count, room, &fault), RR_ERR_TRUST);
    sets[1].entries[0] = held;
    sets[1].entries[3].certificate.cacher.bytes[0] ^= 1;
    assert_int_equal(rr_proof_sets_check(&small->genesis, sets, count, room, &fault), RR_ERR_TRUST);
    sets[1].entries[3].certificate.cacher.bytes[0] ^= 1;
    sets[1].entries[3].pool_id.bytes[0] = 0;
    assert_int_equal(rr_proof_sets_check(&small->genesis, sets, count, room, &fault), RR_ERR_TRUST);
    sets[1].entries[3].pool_id.bytes[0] = 1;
    sets[1].entries[3].credit_ms = 0;
    assert_int_equal(rr_proof_sets_check(&small->genesis, sets, count, room, &fault), RR_ERR_LIMIT);
    sets[1].entries[3].credit_ms = 4001;
    assert_int_equal(rr_proof_sets_check(&small->genesis, sets, count, room, &fault), RR_ERR_LIMIT);
    sets[1].entries[3].credit_ms = 4000;
    assert_int_equal(rr_proof_sets_check(&small->genesis, sets, count, room, &fault), RR_OK);
    assert_int_equal(rr_proof_sets_check(&small->genesis, sets, 65, room, &fault), RR_ERR_LIMIT);
    uint32_t kept = sets[1].count;
    sets[1].count = 0;
    assert_int_equal(rr_proof_sets_check(&small->genesis, sets, count, room, &fault), RR_ERR_LIMIT);
    sets[1].count = kept;
    rr_proof_sets_free(sets, count);
}

int main(void)
{
    rr_crypto_init();
    const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        T(a_good_certificate_is_worth_its_work),
        T(cheap_checks_come_before_dear_ones),
        T(sets_are_sorted_unique_and_full_whatever_the_order_given),
        T(the_cap_of_a_block_binds),
        T(credit_ends_where_the_pool_ends),
        T(without_binding_no_pool_is_asked),
        T(what_another_built_wrong_is_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

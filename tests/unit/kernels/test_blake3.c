/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "vectors.h"

#include "blake3/blake3.h"
#include "kcheck/kcheck.h"

#define INPUT_MAX 1048577
static uint8_t input[INPUT_MAX];
static uint8_t key[32];

static int make_input(void **state)
{
    (void)state;
    fill_counting(input, sizeof(input));
    for (uint8_t i = 0; i < 32; i++) {
        key[i] = (uint8_t)(100 + i);
    }
    return 0;
}

static void check_row(char *row)
{
    uint8_t want[32];
    uint8_t got[32];
    size_t len = (size_t)next_u64(&row);
    assert_true(len <= sizeof(input));
    next_hex(&row, want, 32);
    rr_blake3(got, len == 0 ? NULL : input, len);
    assert_memory_equal(got, want, 32);
    next_hex(&row, want, 32);
    rr_blake3_keyed(got, key, input, len);
    assert_memory_equal(got, want, 32);
}

static void roots_equal_the_vectors(void **state)
{
    (void)state;
    assert_int_equal(each_row("blake3.txt", "blake3", check_row), 39);
}

/* Root by the nodes that proofs use, built the way the paper draws the tree. */
static void node(uint8_t *out, const uint8_t (*cvs)[32], size_t count, bool root, const uint8_t *k)
{
    uint8_t left[32];
    uint8_t right[32];
    if (count == 1) {
        memcpy(out, cvs[0], 32);
        return;
    }
    size_t half = 1;
    while (half * 2 < count) {
        half *= 2;
    }
    node(left, cvs, half, false, k);
    node(right, cvs + half, count - half, false, k);
    if (root) {
        rr_blake3_parent_root(out, left, right, k);
    } else {
        rr_blake3_parent_cv(out, left, right, k);
    }
}

static void tree_of_chunk_values_has_the_same_root(void **state)
{
    (void)state;
    static uint8_t cvs[300][32];
    const size_t lengths[] = {1025, 2048, 2049, 3072, 5000, 31744, 102400, 300000};
    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        for (int keyed = 0; keyed < 2; keyed++) {
            const uint8_t *k = keyed ? key : NULL;
            uint8_t want[32];
            uint8_t got[32];
            size_t chunks = (lengths[i] + 1023) / 1024;
            size_t some = chunks / 2;
            /* In two calls, so that the index of the first chunk counts. */
            rr_blake3_chunk_cvs(cvs[0], input, some * 1024, 0, k);
            rr_blake3_chunk_cvs(cvs[some], input + some * 1024, lengths[i] - some * 1024, some, k);
            node(got, (const uint8_t(*)[32])cvs, chunks, true, k);
            if (keyed) {
                rr_blake3_keyed(want, key, input, lengths[i]);
            } else {
                rr_blake3(want, input, lengths[i]);
            }
            assert_memory_equal(got, want, 32);
        }
    }
}

static void final_may_be_asked_at_any_time(void **state)
{
    (void)state;
    struct rr_blake3_hasher hasher;
    rr_blake3_init_keyed(&hasher, key);
    for (size_t len = 0; len < 9000; len += 500) {
        uint8_t want[32];
        uint8_t got[32];
        rr_blake3_final(&hasher, got);
        rr_blake3_keyed(want, key, input, len);
        assert_memory_equal(got, want, 32);
        rr_blake3_add(&hasher, input + len, 500);
    }
}

static void law(uint8_t *out, const uint8_t *in, size_t len)
{
    rr_blake3(out, in, len);
}

static void pieces(uint8_t *out, const uint8_t *in, size_t len, struct rr_kcheck_random *random)
{
    struct rr_blake3_hasher hasher;
    rr_blake3_init(&hasher);
    while (len > 0) {
        size_t take = rr_kcheck_size(random, len);
        rr_blake3_add(&hasher, in, take);
        in += take;
        len -= take;
    }
    rr_blake3_final(&hasher, out);
}

static void chunks_law(uint8_t *out, const uint8_t *in, size_t len)
{
    rr_blake3_chunk_cvs(out, in, len, 5, key);
}

static void chunks_one_by_one(uint8_t *out, const uint8_t *in, size_t len,
                              struct rr_kcheck_random *random)
{
    (void)random;
    for (size_t at = 0; at < len; at += 1024) {
        rr_blake3_chunk_cvs(out + at / 1024 * 32, in + at, len - at < 1024 ? len - at : 1024,
                            5 + at / 1024, key);
    }
}

static void run(const struct rr_kcheck *check, unsigned rounds)
{
    char text[200];
    uint8_t *room = test_malloc(rr_kcheck_room(check));
    uint64_t seed = test_seed();
    print_message("seed 0x%llx\n", (unsigned long long)seed);
    bool equal = rr_kcheck_run(check, seed, rounds, room, text);
    test_free(room);
    if (!equal) {
        fail_msg("%s", text);
    }
}

static void pieces_give_the_root_of_the_whole(void **state)
{
    (void)state;
    const struct rr_kcheck check = {.name = "blake3 in pieces",
                                    .law = law,
                                    .variant = pieces,
                                    .len_max = 70000,
                                    .out_bytes = 32};
    run(&check, 500);
}

static void chunk_values_do_not_depend_on_the_call(void **state)
{
    (void)state;
    const struct rr_kcheck check = {.name = "blake3 chunk values",
                                    .law = chunks_law,
                                    .variant = chunks_one_by_one,
                                    .len_max = 40000,
                                    .out_per_chunk = 32,
                                    .chunk_bytes = 1024};
    run(&check, 300);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(roots_equal_the_vectors),
        cmocka_unit_test(tree_of_chunk_values_has_the_same_root),
        cmocka_unit_test(final_may_be_asked_at_any_time),
        cmocka_unit_test(pieces_give_the_root_of_the_whole),
        cmocka_unit_test(chunk_values_do_not_depend_on_the_call),
    };
    return cmocka_run_group_tests(tests, make_input, NULL);
}

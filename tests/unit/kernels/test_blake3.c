/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "vectors.h"

#include "blake3/blake3.h"
#include "cpu/cpu.h"
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

static uint32_t features; /* of the variant that is looked at */

static void law(uint8_t *out, const uint8_t *in, size_t len)
{
    rr_cpu_narrow(0);
    rr_blake3(out, in, len);
    rr_cpu_narrow(features);
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

#define FIRST (UINT64_C(0xfffffff8)) /* the upper half of the counter begins among the lanes */

static void chunks_law(uint8_t *out, const uint8_t *in, size_t len)
{
    rr_cpu_narrow(0);
    rr_blake3_chunk_cvs(out, in, len, FIRST, key);
    rr_cpu_narrow(features);
}

static void chunks_at_once(uint8_t *out, const uint8_t *in, size_t len,
                           struct rr_kcheck_random *random)
{
    (void)random;
    rr_blake3_chunk_cvs(out, in, len, FIRST, key);
}

static void parents_law(uint8_t *out, const uint8_t *in, size_t len)
{
    memset(out, 0, (len + 63) / 64 * 32);
    for (size_t i = 0; i < len / 64; i++) {
        rr_cpu_narrow(0);
        rr_blake3_parent_cv(out + 32 * i, in + 64 * i, in + 64 * i + 32, key);
        rr_cpu_narrow(features);
    }
}

static void parents_at_once(uint8_t *out, const uint8_t *in, size_t len,
                            struct rr_kcheck_random *random)
{
    uint8_t nodes[64 * 64];
    (void)random;
    memset(out, 0, (len + 63) / 64 * 32);
    memcpy(nodes, in, len);
    rr_blake3_parent_cvs(nodes, nodes, len / 64, key); /* in place */
    memcpy(out, nodes, len / 64 * 32);
}

static void chunks_one_by_one(uint8_t *out, const uint8_t *in, size_t len,
                              struct rr_kcheck_random *random)
{
    (void)random;
    for (size_t at = 0; at < len; at += 1024) {
        rr_blake3_chunk_cvs(out + at / 1024 * 32, in + at, len - at < 1024 ? len - at : 1024,
                            FIRST + at / 1024, key);
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

static void check_kernel(uint32_t wanted)
{
    unsigned rounds = getenv("RR_SHORT") != NULL ? 100 : 2000;
    features = UINT32_MAX;
    rr_cpu_narrow(wanted);
    if (rr_cpu_features() != wanted) {
        rr_cpu_narrow(UINT32_MAX);
        print_message("this processor has no such registers\n");
        skip();
    }
    features = wanted;
    const struct rr_kcheck checks[] = {
        {.name = "blake3 in pieces",
         .law = law,
         .variant = pieces,
         .len_max = 70000,
         .out_bytes = 32},
        {.name = "blake3 chunk values, one by one",
         .law = chunks_law,
         .variant = chunks_one_by_one,
         .len_max = 40000,
         .out_per_chunk = 32,
         .chunk_bytes = 1024},
        {.name = "blake3 chunk values at once",
         .law = chunks_law,
         .variant = chunks_at_once,
         .len_max = 40000,
         .out_per_chunk = 32,
         .chunk_bytes = 1024},
        {.name = "blake3 parents",
         .law = parents_law,
         .variant = parents_at_once,
         .len_max = 4096,
         .out_per_chunk = 32,
         .chunk_bytes = 64},
    };
    for (size_t i = 0; i < sizeof(checks) / sizeof(checks[0]); i++) {
        run(&checks[i], rounds);
    }
    assert_int_equal(each_row("blake3.txt", "blake3", check_row), 39);
    rr_cpu_narrow(UINT32_MAX);
}

static void the_law_alone_holds(void **state)
{
    (void)state;
    check_kernel(0);
}

static void eight_lanes_equal_the_law(void **state)
{
    (void)state;
    check_kernel(RR_CPU_AVX2);
}

static void sixteen_lanes_equal_the_law(void **state)
{
    (void)state;
    check_kernel(RR_CPU_AVX2 | RR_CPU_AVX512);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(roots_equal_the_vectors),
        cmocka_unit_test(tree_of_chunk_values_has_the_same_root),
        cmocka_unit_test(final_may_be_asked_at_any_time),
        cmocka_unit_test(the_law_alone_holds),
        cmocka_unit_test(eight_lanes_equal_the_law),
        cmocka_unit_test(sixteen_lanes_equal_the_law),
    };
    return cmocka_run_group_tests(tests, make_input, NULL);
}

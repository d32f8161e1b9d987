/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The harness must catch what it is for: each variant here is wrong in one way. */
#include "vectors.h"

#include "kcheck/kcheck.h"

static void law(uint8_t *out, const uint8_t *in, size_t len)
{
    uint8_t sum = 0;
    for (size_t i = 0; i < len; i++) {
        sum ^= in[i];
    }
    memset(out, sum, 8);
}

static void same(uint8_t *out, const uint8_t *in, size_t len, struct rr_kcheck_random *random)
{
    (void)random;
    law(out, in, len);
}

static void last_byte_differs(uint8_t *out, const uint8_t *in, size_t len,
                              struct rr_kcheck_random *random)
{
    same(out, in, len, random);
    if (len % 64 == 63) {
        out[7] ^= 1;
    }
}

static void last_byte_unwritten(uint8_t *out, const uint8_t *in, size_t len,
                                struct rr_kcheck_random *random)
{
    uint8_t sum[8];
    same(sum, in, len, random);
    memcpy(out, sum, 7);
}

static void writes_one_beyond(uint8_t *out, const uint8_t *in, size_t len,
                              struct rr_kcheck_random *random)
{
    same(out, in, len, random);
    out[8] = 0;
}

static void writes_one_before(uint8_t *out, const uint8_t *in, size_t len,
                              struct rr_kcheck_random *random)
{
    same(out, in, len, random);
    *(out - 1) ^= 1;
}

static bool run(void (*variant)(uint8_t *, const uint8_t *, size_t, struct rr_kcheck_random *),
                uint64_t seed, unsigned rounds, char text[static 200])
{
    const struct rr_kcheck check = {
        .name = "sum", .law = law, .variant = variant, .len_max = 500, .out_bytes = 8};
    uint8_t *room = test_malloc(rr_kcheck_room(&check));
    bool equal = rr_kcheck_run(&check, seed, rounds, room, text);
    test_free(room);
    return equal;
}

static void equal_ways_pass(void **state)
{
    (void)state;
    char text[200];
    assert_true(run(same, 7, 2000, text));
}

static void each_wrong_way_is_caught(void **state)
{
    (void)state;
    char text[200];
    assert_false(run(last_byte_unwritten, 7, 2000, text));
    assert_non_null(strstr(text, "outputs differ"));
    assert_false(run(writes_one_beyond, 7, 2000, text));
    assert_non_null(strstr(text, "beside a buffer"));
    assert_false(run(writes_one_before, 7, 2000, text));
    assert_non_null(strstr(text, "beside a buffer"));
    assert_false(run(last_byte_differs, 7, 2000, text));
    assert_non_null(strstr(text, "outputs differ"));
}

static void printed_seed_repeats_the_failure_at_once(void **state)
{
    (void)state;
    char text[200];
    char again[200];
    assert_false(run(last_byte_differs, 99, 2000, text));
    uint64_t seed = strtoull(strstr(text, "0x"), NULL, 16);
    assert_false(run(last_byte_differs, seed, 1, again));
    assert_string_equal(text, again);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equal_ways_pass),
        cmocka_unit_test(each_wrong_way_is_caught),
        cmocka_unit_test(printed_seed_repeats_the_failure_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

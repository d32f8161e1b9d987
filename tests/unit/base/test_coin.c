/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "unit/base/unit.h"

__extension__ typedef unsigned __int128 wide;

static struct rr_coin coin(uint64_t units)
{
    struct rr_coin out;
    assert_true(rr_coin_of_units(&out, units));
    return out;
}

/* op's answer against the same in 128 bits. */
static void expect(bool ok, struct rr_coin got, bool negative, wide exact)
{
    bool fits = !negative && exact <= RR_COIN_MAX_UNITS;
    assert_int_equal(ok, fits);
    assert_true(rr_coin_units(got) == (fits ? (uint64_t)exact : 77));
}

static void check_pair(struct rr_coin a, struct rr_coin b, uint64_t times, uint64_t den)
{
    wide x = rr_coin_units(a);
    wide y = rr_coin_units(b);
    struct rr_coin out = coin(77);
    expect(rr_coin_add(&out, a, b), out, false, x + y);
    out = coin(77);
    expect(rr_coin_sub(&out, a, b), out, y > x, x - y);
    out = coin(77);
    expect(rr_coin_mul(&out, a, times), out, false, x * times);
    out = coin(77);
    expect(rr_coin_scale(&out, a, times, den), out, false, x * times / den);
    assert_int_equal(rr_coin_compare(a, b), (x > y) - (x < y));
}

static void arithmetic_is_exact_or_refused(void **state)
{
    (void)state;
    static const uint64_t edges[] = {0,
                                     1,
                                     2,
                                     RR_COIN_UNITS_PER_COIN,
                                     RR_COIN_MAX_UNITS / 2,
                                     RR_COIN_MAX_UNITS / 2 + 1,
                                     RR_COIN_MAX_UNITS - 1,
                                     RR_COIN_MAX_UNITS};
    static const uint64_t factors[] = {0, 1, 2, 18, 19, UINT64_MAX / 2, UINT64_MAX};
    for (size_t i = 0; i < RR_COUNT(edges); i++) {
        for (size_t j = 0; j < RR_COUNT(edges); j++) {
            for (size_t k = 0; k < RR_COUNT(factors) * RR_COUNT(factors); k++) {
                uint64_t den = factors[k / RR_COUNT(factors)];
                check_pair(coin(edges[i]), coin(edges[j]), factors[k % RR_COUNT(factors)],
                           den == 0 ? 3 : den);
            }
        }
    }
    struct rr_prng prng;
    rr_prng_seed(&prng, 1);
    for (int i = 0; i < 200000; i++) {
        uint64_t a = rr_prng_below(&prng, RR_COIN_MAX_UNITS + 1) >> rr_prng_below(&prng, 60);
        uint64_t b = rr_prng_below(&prng, RR_COIN_MAX_UNITS + 1) >> rr_prng_below(&prng, 60);
        check_pair(coin(a), coin(b), rr_prng_u64(&prng) >> rr_prng_below(&prng, 64),
                   (rr_prng_u64(&prng) >> rr_prng_below(&prng, 64)) | 1);
    }
}

static void more_than_the_cap_is_no_amount(void **state)
{
    (void)state;
    struct rr_coin out = coin(5);
    assert_false(rr_coin_of_units(&out, RR_COIN_MAX_UNITS + 1));
    assert_false(rr_coin_of_units(&out, UINT64_MAX));
    assert_true(rr_coin_units(out) == 5);
    assert_true(rr_coin_is_zero(RR_COIN_ZERO));
    assert_false(rr_coin_is_zero(out));
}

static void text_is_short_and_comes_back(void **state)
{
    (void)state;
    static const struct {
        uint64_t units;
        const char *text;
    } cases[] = {{0, "0"},
                 {1, "0.00000001"},
                 {100000000, "1"},
                 {1200000001, "12.00000001"},
                 {150000000, "1.5"},
                 {1000000000, "10"},
                 {RR_COIN_MAX_UNITS, "10000000000"}};
    char text[RR_COIN_TEXT_BYTES];
    struct rr_coin back;
    for (size_t i = 0; i < RR_COUNT(cases); i++) {
        rr_coin_text(text, coin(cases[i].units));
        assert_string_equal(text, cases[i].text);
        assert_true(rr_coin_parse(&back, text) && rr_coin_units(back) == cases[i].units);
    }
    struct rr_prng prng;
    rr_prng_seed(&prng, 2);
    for (int i = 0; i < 100000; i++) {
        struct rr_coin a =
            coin(rr_prng_below(&prng, RR_COIN_MAX_UNITS + 1) >> rr_prng_below(&prng, 60));
        rr_coin_text(text, a);
        assert_true(rr_coin_parse(&back, text) && rr_coin_compare(a, back) == 0);
    }
}

static void other_text_is_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {"",
                                      ".",
                                      "1.",
                                      ".5",
                                      "-1",
                                      "+1",
                                      " 1",
                                      "1 ",
                                      "1e3",
                                      "0x1",
                                      "1.000000001",
                                      "1,5",
                                      "1.5.2",
                                      "10000000000.00000001",
                                      "10000000001",
                                      "18446744073709551616",
                                      "1_0",
                                      "99999999999999999999999999999999999999",
                                      "1.-5"};
    for (size_t i = 0; i < RR_COUNT(bad); i++) {
        struct rr_coin out = coin(9);
        assert_false(rr_coin_parse(&out, bad[i]));
        assert_true(rr_coin_units(out) == 9);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(arithmetic_is_exact_or_refused),
        cmocka_unit_test(more_than_the_cap_is_no_amount),
        cmocka_unit_test(text_is_short_and_comes_back),
        cmocka_unit_test(other_text_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

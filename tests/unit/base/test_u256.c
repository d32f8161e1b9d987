/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "unit/base/unit.h"

__extension__ typedef unsigned __int128 wide;

/* Random length first, so that short operands and runs of ones and zeros come often. */
static struct rr_u256 draw(struct rr_prng *prng)
{
    struct rr_u256 a;
    uint64_t kind = rr_prng_below(prng, 4);
    for (size_t i = 0; i < 4; i++) {
        a.limb[i] = kind == 0 ? (rr_prng_below(prng, 2) != 0 ? UINT64_MAX : 0) : rr_prng_u64(prng);
    }
    return rr_u256_shr(a, (unsigned)rr_prng_below(prng, 256));
}

static bool equal(struct rr_u256 a, struct rr_u256 b)
{
    return rr_u256_compare(a, b) == 0;
}

static struct rr_u256 of_wide(wide x)
{
    return (struct rr_u256){{(uint64_t)x, (uint64_t)(x >> 64), 0, 0}};
}

/* a = q b + r with r < b and no wrap determines q and r. */
static void check_division(struct rr_u256 a, struct rr_u256 b)
{
    struct rr_u256 r;
    bool wrapped;
    struct rr_u256 q = rr_u256_div(a, b, &r);
    assert_true(rr_u256_compare(r, b) < 0);
    struct rr_u256 product = rr_u256_mul(q, b, &wrapped);
    assert_false(wrapped);
    assert_true(equal(rr_u256_add(product, r, &wrapped), a));
    assert_false(wrapped);
    assert_true(equal(rr_u256_div(a, b, NULL), q));
}

static void division_gives_the_only_quotient_and_rest(void **state)
{
    (void)state;
    struct rr_prng prng;
    rr_prng_seed(&prng, 3);
    struct rr_u256 one = rr_u256_of(1);
    const struct rr_u256 edges[] = {rr_u256_of(0),
                                    one,
                                    rr_u256_of(UINT64_MAX),
                                    rr_u256_shl(one, 64),
                                    rr_u256_shl(one, 128),
                                    rr_u256_sub(rr_u256_shl(one, 128), one, NULL),
                                    rr_u256_shl(one, 192),
                                    rr_u256_shl(one, 255),
                                    rr_u256_sub(rr_u256_max(), one, NULL),
                                    rr_u256_max()};
    for (size_t i = 0; i < RR_COUNT(edges); i++) {
        for (size_t j = 1; j < RR_COUNT(edges); j++) {
            check_division(edges[i], edges[j]);
        }
    }
    for (int i = 0; i < 100000; i++) {
        struct rr_u256 b = draw(&prng);
        if (!rr_u256_is_zero(b)) {
            check_division(draw(&prng), b);
        }
    }
}

static void small_values_agree_with_the_compiler(void **state)
{
    (void)state;
    struct rr_prng prng;
    rr_prng_seed(&prng, 4);
    for (int i = 0; i < 200000; i++) {
        wide x = (wide)rr_prng_u64(&prng) << 64 | rr_prng_u64(&prng);
        wide y = (wide)rr_prng_u64(&prng) << 64 | rr_prng_u64(&prng);
        x >>= 1 + rr_prng_below(&prng, 127);
        y >>= 1 + rr_prng_below(&prng, 127);
        y = y == 0 ? 1 : y;
        bool wrapped;
        struct rr_u256 rest;
        unsigned bits = (unsigned)rr_prng_below(&prng, 128);
        assert_true(equal(rr_u256_add(of_wide(x), of_wide(y), &wrapped), of_wide(x + y)));
        assert_false(wrapped);
        struct rr_u256 difference = rr_u256_sub(of_wide(x), of_wide(y), &wrapped);
        assert_int_equal(wrapped, x < y);
        assert_true(x < y || equal(difference, of_wide(x - y)));
        assert_true(equal(rr_u256_div(of_wide(x), of_wide(y), &rest), of_wide(x / y)));
        assert_true(equal(rest, of_wide(x % y)));
        assert_true(equal(rr_u256_mul(rr_u256_of((uint64_t)x), rr_u256_of((uint64_t)y), &wrapped),
                          of_wide((wide)(uint64_t)x * (uint64_t)y)));
        assert_false(wrapped);
        assert_true(equal(rr_u256_shr(of_wide(x), bits), of_wide(x >> bits)));
        assert_int_equal(rr_u256_compare(of_wide(x), of_wide(y)), (x > y) - (x < y));
        assert_true(rr_u256_saturate_u64(of_wide(x)) ==
                    (x > UINT64_MAX ? UINT64_MAX : (uint64_t)x));
    }
}

static void the_laws_of_arithmetic_hold_modulo_2_256(void **state)
{
    (void)state;
    struct rr_prng prng;
    rr_prng_seed(&prng, 5);
    for (int i = 0; i < 100000; i++) {
        struct rr_u256 a = draw(&prng);
        struct rr_u256 b = draw(&prng);
        struct rr_u256 c = draw(&prng);
        bool wrapped;
        assert_true(equal(rr_u256_sub(rr_u256_add(a, b, NULL), b, NULL), a));
        assert_true(equal(rr_u256_mul(a, b, NULL), rr_u256_mul(b, a, NULL)));
        assert_true(equal(rr_u256_mul(a, rr_u256_add(b, c, NULL), NULL),
                          rr_u256_add(rr_u256_mul(a, b, NULL), rr_u256_mul(a, c, NULL), NULL)));
        struct rr_u256 sum = rr_u256_add(a, b, &wrapped);
        assert_int_equal(wrapped, rr_u256_compare(sum, a) < 0);
        unsigned bits = (unsigned)rr_prng_below(&prng, 256);
        struct rr_u256 power = rr_u256_shl(rr_u256_of(1), bits);
        assert_true(equal(rr_u256_shl(a, bits), rr_u256_mul(a, power, NULL)));
        assert_true(equal(rr_u256_shr(a, bits), rr_u256_div(a, power, NULL)));
        (void)rr_u256_mul(a, b, &wrapped);
        bool exceeds =
            !rr_u256_is_zero(b) && rr_u256_compare(a, rr_u256_div(rr_u256_max(), b, NULL)) > 0;
        assert_int_equal(wrapped, exceeds);
    }
}

static void big_endian_bytes_come_back(void **state)
{
    (void)state;
    uint8_t bytes[32];
    uint8_t back[32];
    for (size_t i = 0; i < 32; i++) {
        bytes[i] = (uint8_t)(i + 1);
    }
    struct rr_u256 a = rr_u256_from_be(bytes);
    assert_true(a.limb[3] == UINT64_C(0x0102030405060708));
    assert_true(a.limb[0] == UINT64_C(0x191a1b1c1d1e1f20));
    rr_u256_to_be(back, a);
    assert_memory_equal(back, bytes, 32);
}

static void divide_by_zero(void)
{
    (void)rr_u256_div(rr_u256_max(), rr_u256_of(0), NULL);
}

static void shift_too_far(void)
{
    (void)rr_u256_shl(rr_u256_max(), 256);
}

static void division_by_zero_and_shifts_of_256_abort(void **state)
{
    (void)state;
    assert_aborts(divide_by_zero);
    assert_aborts(shift_too_far);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(division_gives_the_only_quotient_and_rest),
        cmocka_unit_test(small_values_agree_with_the_compiler),
        cmocka_unit_test(the_laws_of_arithmetic_hold_modulo_2_256),
        cmocka_unit_test(big_endian_bytes_come_back),
        cmocka_unit_test(division_by_zero_and_shifts_of_256_abort),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "vectors.h"

#include "kcheck/kcheck.h"
#include "reputation/reputation.h"

static void check_r(char *row)
{
    uint64_t y = next_u64(&row);
    assert_int_equal(rr_reputation_q32(y), next_u64(&row));
}

static void reputation_equals_the_big_integers(void **state)
{
    (void)state;
    assert_int_equal(each_row("reputation.txt", "r", check_r), 1000);
}

static void the_four_values_of_the_specification_hold(void **state)
{
    (void)state;
    assert_int_equal(rr_reputation_q32(0), 0);
    assert_int_equal(rr_reputation_q32(UINT64_C(1) << 32), 1984778077);
    assert_int_equal(rr_reputation_q32(UINT64_C(2) << 32), 3271021992);
    assert_int_equal(rr_reputation_q32(UINT64_C(10) << 32), 4294577331);
}

static void check_time(char *row)
{
    uint8_t final[32];
    next_hex(&row, final, 32);
    uint32_t s = (uint32_t)next_u64(&row);
    uint32_t d = (uint32_t)next_u64(&row);
    uint32_t block_ms = (uint32_t)next_u64(&row);
    assert_int_equal(rr_reputation_work(final), next_u64(&row));
    assert_int_equal(rr_reputation_time_ms(final, s, d, block_ms), next_u64(&row));
}

static void credited_time_equals_the_big_integers(void **state)
{
    (void)state;
    assert_int_equal(each_row("reputation.txt", "time", check_time), 406);
}

/* A decimal of up to 256 bits. */
static void next_u256(char **row, uint64_t limb[static 4])
{
    const char *word = next_word(row);
    memset(limb, 0, 32);
    for (; *word != '\0'; word++) {
        assert_true(*word >= '0' && *word <= '9');
        uint64_t carry = (uint64_t)(*word - '0');
        for (int i = 0; i < 4; i++) {
            uint64_t low = (limb[i] & UINT32_MAX) * 10 + carry;
            uint64_t high = (limb[i] >> 32) * 10 + (low >> 32);
            limb[i] = high << 32 | (low & UINT32_MAX);
            carry = high >> 32;
        }
        assert_int_equal(carry, 0);
    }
}

static void check_y(char *row)
{
    struct rr_reputation_terms terms;
    terms.c_num = (uint32_t)next_u64(&row);
    terms.c_den = (uint32_t)next_u64(&row);
    terms.hashes_per_s = (uint32_t)next_u64(&row);
    terms.block_ms = (uint32_t)next_u64(&row);
    terms.window_ms = next_u64(&row);
    terms.total_ms = next_u64(&row);
    next_u256(&row, terms.difficulty);
    assert_int_equal(rr_reputation_y_q32(&terms), next_u64(&row));
}

static void lambda_times_t_equals_the_big_integers(void **state)
{
    (void)state;
    assert_int_equal(each_row("reputation.txt", "y", check_y), 402);
}

static void divisors_of_zero_earn_nothing(void **state)
{
    (void)state;
    const struct rr_reputation_terms good = {1, 1, 1000, 2000, 2000, 1000, {1}};
    assert_true(rr_reputation_y_q32(&good) > 0);
    struct rr_reputation_terms terms = good;
    terms.c_den = 0;
    assert_int_equal(rr_reputation_y_q32(&terms), 0);
    terms = good;
    terms.window_ms = 0;
    assert_int_equal(rr_reputation_y_q32(&terms), 0);
    terms = good;
    terms.difficulty[0] = 0;
    assert_int_equal(rr_reputation_y_q32(&terms), 0);
}

static void reputation_never_falls(void **state)
{
    (void)state;
    struct rr_kcheck_random random = {test_seed()};
    print_message("seed 0x%llx\n", (unsigned long long)random.state);
    for (int run = 0; run < 200; run++) {
        uint64_t y = rr_kcheck_u64(&random) >> (24 + rr_kcheck_below(&random, 30));
        uint64_t step = 1 + (rr_kcheck_u64(&random) >> (36 + rr_kcheck_below(&random, 28)));
        uint32_t last = rr_reputation_q32(y);
        for (int i = 0; i < 1000; i++) {
            y += step;
            uint32_t r = rr_reputation_q32(y);
            assert_true(r >= last);
            last = r;
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reputation_equals_the_big_integers),
        cmocka_unit_test(the_four_values_of_the_specification_hold),
        cmocka_unit_test(credited_time_equals_the_big_integers),
        cmocka_unit_test(lambda_times_t_equals_the_big_integers),
        cmocka_unit_test(divisors_of_zero_earn_nothing),
        cmocka_unit_test(reputation_never_falls),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

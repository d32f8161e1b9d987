/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "bench/bench_bd.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static const struct bench_bd_point curve[BENCH_BD_POINTS] = {
    {686760, 45.2}, {309580, 41.9}, {157110, 38.6}, {85950, 35.1}};

static void the_same_curve_differs_by_nothing(void **state)
{
    (void)state;
    double percent = 1;
    assert_int_equal(bench_bd_rate(&percent, curve, curve, NULL), RR_OK);
    assert_true(fabs(percent) < 1e-9);
}

static void a_tenth_more_bytes_is_ten_percent(void **state)
{
    (void)state;
    struct bench_bd_point more[BENCH_BD_POINTS];
    double percent = 0;
    for (int i = 0; i < BENCH_BD_POINTS; i++) {
        more[BENCH_BD_POINTS - 1 - i] = curve[i]; /* order does not matter */
        more[BENCH_BD_POINTS - 1 - i].bytes *= 1.1;
    }
    assert_int_equal(bench_bd_rate(&percent, more, curve, NULL), RR_OK);
    assert_true(fabs(percent - 10) < 1e-6);
    assert_int_equal(bench_bd_rate(&percent, curve, more, NULL), RR_OK);
    assert_true(fabs(percent + 100.0 / 11) < 1e-6);
}

/* Log rate as a straight line of quality: one dB better at every rate is one dB's worth of rate
 * less. */
static void a_decibel_is_worth_its_rate(void **state)
{
    (void)state;
    struct bench_bd_point line[BENCH_BD_POINTS], better[BENCH_BD_POINTS];
    double percent = 0;
    for (int i = 0; i < BENCH_BD_POINTS; i++) {
        line[i] = (struct bench_bd_point){1000 * pow(2, i), 30 + 3.0 * i};
        better[i] = (struct bench_bd_point){line[i].bytes, line[i].db + 1};
    }
    assert_int_equal(bench_bd_rate(&percent, better, line, NULL), RR_OK);
    assert_true(fabs(percent - (pow(2, -1.0 / 3) - 1) * 100) < 1e-6);
}

static void curves_of_no_use_are_refused(void **state)
{
    (void)state;
    struct bench_bd_point bad[BENCH_BD_POINTS];
    double percent = 7;
    for (int i = 0; i < BENCH_BD_POINTS; i++) {
        bad[i] = (struct bench_bd_point){curve[i].bytes, curve[i].db + 20};
    }
    assert_int_equal(bench_bd_rate(&percent, bad, curve, NULL), RR_ERR_USAGE);
    for (int i = 0; i < BENCH_BD_POINTS; i++) {
        bad[i] = (struct bench_bd_point){curve[i].bytes, 40};
    }
    assert_int_equal(bench_bd_rate(&percent, bad, curve, NULL), RR_ERR_USAGE);
    bad[0] = (struct bench_bd_point){0, 30};
    assert_int_equal(bench_bd_rate(&percent, bad, curve, NULL), RR_ERR_USAGE);
    assert_true(percent == 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_same_curve_differs_by_nothing),
        cmocka_unit_test(a_tenth_more_bytes_is_ten_percent),
        cmocka_unit_test(a_decibel_is_worth_its_rate),
        cmocka_unit_test(curves_of_no_use_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

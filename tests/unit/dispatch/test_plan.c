/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "dispatch/dispatch.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
/* after setjmp and stdarg */
#include <cmocka.h>

static void near(double found, double expected)
{
    if (found < expected - 1e-9 || found > expected + 1e-9) {
        fail_msg("%f instead of %f", found, expected);
    }
}

static void the_largest_goes_first_to_whoever_is_free(void **state)
{
    const double seconds[] = {2, 7, 3, 5, 3};
    (void)state;
    near(rr_dispatch_efficiency(seconds, 5, 1, 0), 1);
    near(rr_dispatch_efficiency(seconds, 5, 1, 0.5), 20 / 22.5);
    near(rr_dispatch_efficiency(seconds, 5, 3, 0), 7.0 / 7); /* 7 beside 5+2 beside 3+3 */
    near(rr_dispatch_efficiency(seconds, 4, 2, 0), 8.5 / 9); /* 7+2 beside 5+3 */
    near(rr_dispatch_efficiency(NULL, 0, 4, 0.5), 1);
    near(rr_dispatch_efficiency(seconds, 5, 2, 0), 1);  /* 7+3 beside 5+3+2 */
    near(rr_dispatch_efficiency(seconds, 5, 16, 0), 1); /* no spreading beats the longest task */
}

/* Exhaustively for small ones: never worse than 4/3 of the best (Graham 1969), never better. */
static void no_order_of_six_tasks_is_worse_than_a_third_over_the_best(void **state)
{
    struct rr_prng prng;
    (void)state;
    rr_prng_seed(&prng, 7);
    for (unsigned round = 0; round < 300; round++) {
        double seconds[6], best = 1e9;
        for (unsigned i = 0; i < 6; i++) {
            seconds[i] = 1 + (double)rr_prng_below(&prng, 30);
        }
        for (unsigned who = 0; who < 729; who++) { /* 3 workers */
            double load[3] = {0};
            for (unsigned i = 0, code = who; i < 6; i++, code /= 3) {
                load[code % 3] += seconds[i];
            }
            double end = load[0] > load[1] ? load[0] : load[1];
            end = load[2] > end ? load[2] : end;
            best = end < best ? end : best;
        }
        double ideal = 0, longest = 0;
        for (unsigned i = 0; i < 6; i++) {
            ideal += seconds[i] / 3;
            longest = seconds[i] > longest ? seconds[i] : longest;
        }
        ideal = ideal > longest ? ideal : longest;
        double found = ideal / rr_dispatch_efficiency(seconds, 6, 3, 0);
        assert_true(found >= best - 1e-9 && found <= best * 4 / 3 + 1e-9);
    }
}

/* Times of 2 s GOPs of four rungs as the notes have them, spread by half: spec 20, 8. */
static void sixteen_workers_reach_their_figure_over_two_minutes_of_film(void **state)
{
    static const double rungs[] = {2.6, 1.2, 0.55, 0.35};
    double seconds[240];
    struct rr_prng prng;
    (void)state;
    rr_prng_seed(&prng, 1);
    for (unsigned i = 0; i < RR_COUNT(seconds); i++) {
        seconds[i] = rungs[i % 4] * (0.75 + (double)rr_prng_below(&prng, 1000) / 2000);
    }
    assert_true(rr_dispatch_efficiency(seconds, RR_COUNT(seconds), 16, 0) >= 0.95);
}

static void offers_fall_in_cost_and_sound_is_first(void **state)
{
    const struct rr_transcode_shard shards[] = {
        {.cost = 5}, {.cost = 9}, {.cost = 5}, {.sound = true, .cost = 1}, {.cost = 7}};
    const uint32_t expected[] = {3, 1, 4, 0, 2};
    uint32_t order[5];
    (void)state;
    rr_dispatch_order(order, shards, 5);
    assert_memory_equal(order, expected, sizeof order);
    rr_dispatch_order(order, shards, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_largest_goes_first_to_whoever_is_free),
        cmocka_unit_test(no_order_of_six_tasks_is_worse_than_a_third_over_the_best),
        cmocka_unit_test(sixteen_workers_reach_their_figure_over_two_minutes_of_film),
        cmocka_unit_test(offers_fall_in_cost_and_sound_is_first),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

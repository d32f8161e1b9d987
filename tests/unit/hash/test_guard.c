/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "hash/hash.h"

#define SECOND UINT64_C(1000000)
#define HOUR   (3600 * SECOND)

/* A device in virtual time. */
struct world {
    struct rr_hash_guard guard;
    struct rr_hash_guard_input in;
    struct rr_hash_guard_answer answer;
    uint64_t now;
    unsigned restarts, pauses, offs, said;
};

static struct world new_world(void)
{
    struct world w = {.now = 77 * SECOND};
    struct rr_hash_guard_options options = rr_hash_guard_defaults();
    rr_hash_guard_init(&w.guard, &options);
    w.in = (struct rr_hash_guard_input){.temperature_known = true,
                                        .temperature_mc = 60000,
                                        .running = true,
                                        .in_flight = 2,
                                        .rate_known = true,
                                        .rate = 1000000};
    return w;
}

/* One second; quanta end when `works`. */
static enum rr_hash_guard_want second(struct world *w, bool works)
{
    w->now += SECOND;
    w->in.quanta += works ? 500 : 0;
    w->answer = rr_hash_guard_step(&w->guard, &w->in, w->now);
    w->restarts += w->answer.want == RR_HASH_GUARD_RESTART;
    w->pauses += w->answer.changed && w->answer.want == RR_HASH_GUARD_PAUSE;
    w->offs += w->answer.changed && w->answer.want == RR_HASH_GUARD_OFF;
    w->said += w->answer.said[0] != '\0';
    assert_true((w->answer.want == RR_HASH_GUARD_RUN) == (w->answer.why[0] == '\0'));
    return w->answer.want;
}

static void a_healthy_device_is_left_alone_for_a_day(void **state)
{
    (void)state;
    struct world w = new_world();
    struct rr_prng prng;
    rr_prng_seed(&prng, 1);
    for (unsigned i = 0; i < 86400; i++) {
        w.in.temperature_mc = 60000 + (int32_t)rr_prng_below(&prng, 25001); /* up to the limit */
        w.in.rate = 800000 + rr_prng_below(&prng, 400000);
        w.in.rate_known = rr_prng_below(&prng, 3) != 0;
        w.in.errors += rr_prng_below(&prng, 20) == 0; /* 3 a minute */
        assert_int_equal(second(&w, true), RR_HASH_GUARD_RUN);
        assert_false(w.answer.changed);
    }
    assert_int_equal(w.said, 0);
}

/* Every sequence of 8 temperatures out of unknown, cool, between, hot, against a model in a line.
 */
static void every_sequence_of_temperatures_follows_the_hysteresis(void **state)
{
    (void)state;
    static const int32_t kinds[] = {0, 60000, 80000, 90000};
    for (unsigned sequence = 0; sequence < 65536; sequence++) {
        struct world w = new_world();
        bool paused = false, known = true;
        for (unsigned i = 0; i < 8; i++) {
            unsigned kind = sequence >> (2 * i) & 3;
            w.in.temperature_known = kind != 0;
            w.in.temperature_mc = kinds[kind];
            if (kind != 0) {
                paused = kinds[kind] > (paused ? 75000 : 85000);
            }
            enum rr_hash_guard_want want = second(&w, !paused);
            assert_int_equal(want, paused ? RR_HASH_GUARD_PAUSE : RR_HASH_GUARD_RUN);
            assert_int_equal(w.answer.said[0] != '\0', known != (kind != 0));
            known = kind != 0;
        }
        assert_int_equal(w.restarts, 0);
    }
}

static void a_temperature_that_flaps_around_the_limit_pauses_once(void **state)
{
    (void)state;
    struct world w = new_world();
    w.in.in_flight = 0;
    for (unsigned i = 0; i < 1000; i++) {
        w.in.temperature_mc = i % 2 == 0 ? 85001 : 84000;
        (void)second(&w, false);
    }
    assert_int_equal(w.pauses, 1);
    w.in.temperature_mc = 75000;
    assert_int_equal(second(&w, true), RR_HASH_GUARD_RUN);
}

static void an_unknown_temperature_pauses_nothing_and_is_said_once(void **state)
{
    (void)state;
    struct world w = new_world();
    w.in.temperature_known = false;
    w.in.temperature_mc = 200000; /* means nothing */
    for (unsigned i = 0; i < 100; i++) {
        assert_int_equal(second(&w, true), RR_HASH_GUARD_RUN);
        assert_int_equal(w.answer.said[0] != '\0', i == 0);
    }
    w.in.temperature_known = true;
    w.in.temperature_mc = 90000;
    assert_int_equal(second(&w, true), RR_HASH_GUARD_PAUSE);
    assert_non_null(strstr(w.answer.said, "known again"));
    assert_non_null(strstr(w.answer.why, "90.0 C"));
    w.in.temperature_known = false; /* hot, and now silent: it stays */
    assert_int_equal(second(&w, false), RR_HASH_GUARD_PAUSE);
    assert_non_null(strstr(w.answer.said, "stays paused"));
}

static void a_hang_is_seen_after_its_time_and_not_before(void **state)
{
    (void)state;
    struct world w = new_world();
    (void)second(&w, true);
    for (unsigned i = 1; i < 15; i++) {
        assert_int_equal(second(&w, false), RR_HASH_GUARD_RUN);
    }
    assert_int_equal(second(&w, false), RR_HASH_GUARD_RESTART);
    assert_non_null(strstr(w.answer.why, "15 s"));
    for (unsigned i = 0; i < 1000; i++) { /* nothing to do is no hang */
        w.in.in_flight = 0;
        assert_int_equal(second(&w, false), RR_HASH_GUARD_RUN);
    }
}

static void a_program_that_was_stopped_does_not_see_a_hang(void **state)
{
    (void)state;
    struct world w = new_world();
    (void)second(&w, true);
    w.now += HOUR;
    assert_int_equal(second(&w, false), RR_HASH_GUARD_RUN);
    w.now += HOUR;
    assert_int_equal(second(&w, false), RR_HASH_GUARD_RUN);
    w.now += HOUR;
    assert_int_equal(second(&w, false), RR_HASH_GUARD_RESTART); /* 3 x 5 s */
}

static void a_device_that_hangs_on_is_restarted_three_times_then_off(void **state)
{
    (void)state;
    struct world w = new_world();
    for (unsigned i = 0; i < 59; i++) {
        (void)second(&w, false);
    }
    assert_int_equal(w.restarts, 3);
    assert_int_equal(w.offs, 0);
    (void)second(&w, false);
    (void)second(&w, false);
    assert_int_equal(w.offs, 1);
    assert_non_null(strstr(w.answer.why, "no quantum"));
    assert_non_null(strstr(w.answer.why, "3 restarts"));
    w.in.temperature_mc = 99000;
    for (unsigned i = 0; i < 10000; i++) {
        assert_int_equal(second(&w, true), RR_HASH_GUARD_OFF); /* hours later, well or hot */
    }
    assert_int_equal(w.restarts, 3);
    w.in.temperature_mc = 60000;
    rr_hash_guard_clear(&w.guard);
    assert_int_equal(second(&w, true), RR_HASH_GUARD_RUN);
}

static void a_hang_every_half_hour_is_restarted_for_ever(void **state)
{
    (void)state;
    struct world w = new_world();
    for (unsigned i = 0; i < 20 * 1800; i++) {
        (void)second(&w, i % 1800 < 1780);
    }
    assert_int_equal(w.restarts, 20);
    assert_int_equal(w.offs, 0);
}

static void errors_count_by_rate_not_by_number(void **state)
{
    (void)state;
    struct world w = new_world();
    for (unsigned i = 0; i < 3600; i++) { /* 10 a minute, a whole hour */
        w.in.errors += i % 6 == 0;
        assert_int_equal(second(&w, true), RR_HASH_GUARD_RUN);
    }
    w = new_world();
    w.in.errors = 1000; /* of a former life */
    (void)second(&w, true);
    assert_int_equal(w.restarts, 0);
    w.in.errors += 10;
    assert_int_equal(second(&w, true), RR_HASH_GUARD_RUN);
    w.in.errors += 2;
    assert_int_equal(second(&w, true), RR_HASH_GUARD_RESTART);
    assert_non_null(strstr(w.answer.why, "errors"));
    w.in.errors = 0; /* counters of the opened device */
    assert_int_equal(second(&w, true), RR_HASH_GUARD_RUN);
    w.in.errors = UINT64_MAX;
    assert_int_equal(second(&w, true), RR_HASH_GUARD_RESTART);
}

static void a_rate_below_half_of_its_median_for_a_minute_restarts(void **state)
{
    (void)state;
    struct world w = new_world();
    for (unsigned i = 0; i < 600; i++) {
        (void)second(&w, true);
    }
    w.in.rate = 510000; /* above half: for ever */
    for (unsigned i = 0; i < 600; i++) {
        assert_int_equal(second(&w, true), RR_HASH_GUARD_RUN);
    }
    w.in.rate = 400000;
    for (unsigned i = 0; i < 59; i++) {
        assert_int_equal(second(&w, true), RR_HASH_GUARD_RUN);
    }
    w.in.rate_known = false; /* idle in between is neither better nor worse */
    for (unsigned i = 0; i < 600; i++) {
        assert_int_equal(second(&w, true), RR_HASH_GUARD_RUN);
    }
    w.in.rate_known = true;
    assert_int_equal(second(&w, true), RR_HASH_GUARD_RESTART);
    /* A lasting change (another dataset) costs one restart: it learns anew. */
    for (unsigned i = 0; i < 7200; i++) {
        assert_int_equal(second(&w, true), RR_HASH_GUARD_RUN);
    }
}

static void short_dips_of_the_rate_do_nothing(void **state)
{
    (void)state;
    struct world w = new_world();
    for (unsigned i = 0; i < 7200; i++) {
        w.in.rate = i % 50 == 0 ? 1000000 : i > 100 ? 1000 : 900000;
        assert_int_equal(second(&w, true), RR_HASH_GUARD_RUN);
    }
}

static void what_the_engine_restarts_itself_counts_too(void **state)
{
    (void)state;
    struct world w = new_world();
    for (unsigned i = 0; i < 3; i++) {
        w.in.lost = true;
        w.in.running = false;
        for (unsigned k = 0; k < 5; k++) {
            assert_int_equal(second(&w, false), RR_HASH_GUARD_RUN);
        }
        w.in.lost = false;
        w.in.running = true;
        assert_int_equal(second(&w, true), RR_HASH_GUARD_RUN);
    }
    w.in.lost = true;
    assert_int_equal(second(&w, false), RR_HASH_GUARD_OFF);
    assert_non_null(strstr(w.answer.why, "lost"));
}

static void a_device_that_stays_lost_is_opened_again_then_off(void **state)
{
    (void)state;
    struct world w = new_world();
    w.in.lost = true;
    w.in.running = false;
    for (unsigned i = 0; i < 3600; i++) {
        (void)second(&w, false);
    }
    assert_int_equal(w.restarts, 2); /* the loss itself was the first of three */
    assert_int_equal(w.offs, 1);
}

static void a_wrong_device_is_off_at_once(void **state)
{
    (void)state;
    struct world w = new_world();
    w.in.wrong = true;
    assert_int_equal(second(&w, false), RR_HASH_GUARD_OFF);
    assert_int_equal(w.restarts, 0);
}

static void guards_that_are_switched_off_do_nothing(void **state)
{
    (void)state;
    struct world w = new_world();
    struct rr_hash_guard_options none = {.restarts_max = 0};
    rr_hash_guard_init(&w.guard, &none);
    w.in.temperature_mc = 199000;
    for (unsigned i = 0; i < 1000; i++) {
        w.in.errors += 1000;
        w.in.rate = i < 100 ? 1000000 : 1;
        assert_int_equal(second(&w, false), RR_HASH_GUARD_RUN);
    }
}

static void the_rig_hears_of_it_only_when_every_device_is_off(void **state)
{
    (void)state;
    struct world worlds[3] = {new_world(), new_world(), new_world()};
    const struct rr_hash_guard *guards[3] = {&worlds[0].guard, &worlds[1].guard, &worlds[2].guard};
    assert_false(rr_hash_guard_all_off(guards, 0));
    for (unsigned bits = 0; bits < 8; bits++) { /* every set of them */
        for (unsigned i = 0; i < 3; i++) {
            worlds[i] = new_world();
            worlds[i].in.wrong = bits >> i & 1;
            (void)second(&worlds[i], true);
        }
        assert_int_equal(rr_hash_guard_all_off(guards, 3), bits == 7);
    }
    worlds[1] = new_world(); /* too hot is not off */
    worlds[1].in.temperature_mc = 120000;
    (void)second(&worlds[1], true);
    assert_false(rr_hash_guard_all_off(guards, 3));
}

/* Any input at all: ceilings hold, off stays off, pauses have a reason. */
static void no_input_breaks_the_promises(void **state)
{
    (void)state;
    unsigned rounds = getenv("RR_SHORT") != NULL ? 40 : 400;
    for (unsigned seed = 0; seed < rounds; seed++) {
        struct rr_prng prng;
        struct world w = new_world();
        uint64_t restarts[4] = {0};
        bool off = false, before_paused = false;
        unsigned count = 0;
        rr_prng_seed(&prng, seed);
        for (unsigned i = 0; i < 5000; i++) {
            if (rr_prng_below(&prng, 8) == 0) {
                w.in.temperature_known = rr_prng_below(&prng, 4) != 0;
                w.in.temperature_mc = (int32_t)rr_prng_below(&prng, 130000) - 10000;
            }
            if (rr_prng_below(&prng, 50) == 0) {
                w.in.running = rr_prng_below(&prng, 4) != 0;
                w.in.lost = !w.in.running && rr_prng_below(&prng, 2) == 0;
                w.in.in_flight = (uint32_t)rr_prng_below(&prng, 3);
                w.in.rate = rr_prng_u64(&prng) >> rr_prng_below(&prng, 64);
                w.in.rate_known = rr_prng_below(&prng, 2) == 0;
                w.in.errors = rr_prng_u64(&prng) >> rr_prng_below(&prng, 64);
            }
            w.now += rr_prng_below(&prng, 20) * SECOND;
            enum rr_hash_guard_want want = second(&w, rr_prng_below(&prng, 10) == 0);
            if (want == RR_HASH_GUARD_RESTART) {
                assert_true(count < 3 || w.now - restarts[count % 3] >= HOUR);
                restarts[count++ % 3] = w.now;
            }
            assert_true(!off || want == RR_HASH_GUARD_OFF);
            off = want == RR_HASH_GUARD_OFF;
            if (want == RR_HASH_GUARD_PAUSE && !before_paused && w.in.temperature_known) {
                assert_true(w.in.temperature_mc > 75000);
            }
            if (want == RR_HASH_GUARD_RUN && w.in.temperature_known) {
                assert_true(w.in.temperature_mc <= 85000);
            }
            before_paused = want == RR_HASH_GUARD_PAUSE;
            if (off && rr_prng_below(&prng, 100) == 0) {
                rr_hash_guard_clear(&w.guard);
                off = false;
                count = 0;
            }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_healthy_device_is_left_alone_for_a_day),
        cmocka_unit_test(every_sequence_of_temperatures_follows_the_hysteresis),
        cmocka_unit_test(a_temperature_that_flaps_around_the_limit_pauses_once),
        cmocka_unit_test(an_unknown_temperature_pauses_nothing_and_is_said_once),
        cmocka_unit_test(a_hang_is_seen_after_its_time_and_not_before),
        cmocka_unit_test(a_program_that_was_stopped_does_not_see_a_hang),
        cmocka_unit_test(a_device_that_hangs_on_is_restarted_three_times_then_off),
        cmocka_unit_test(a_hang_every_half_hour_is_restarted_for_ever),
        cmocka_unit_test(errors_count_by_rate_not_by_number),
        cmocka_unit_test(a_rate_below_half_of_its_median_for_a_minute_restarts),
        cmocka_unit_test(short_dips_of_the_rate_do_nothing),
        cmocka_unit_test(what_the_engine_restarts_itself_counts_too),
        cmocka_unit_test(a_device_that_stays_lost_is_opened_again_then_off),
        cmocka_unit_test(a_wrong_device_is_off_at_once),
        cmocka_unit_test(guards_that_are_switched_off_do_nothing),
        cmocka_unit_test(the_rig_hears_of_it_only_when_every_device_is_off),
        cmocka_unit_test(no_input_breaks_the_promises),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

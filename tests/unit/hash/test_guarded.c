/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Guards over a real engine whose devices a test rules: seconds are virtual, threads are not. */
#include "unit/hash/doubles_jobs.h"

struct guarded {
    struct rr_hash_engine *engine;
    const char *id;
    struct rr_hash_guard guard;
    struct rr_hash_guard_answer answer;
    uint64_t now_us;
};

/* A second passes for the guard; it wants what it wants. */
static enum rr_hash_guard_want look(struct guarded *one, int32_t temperature_mc)
{
    struct rr_hash_device_status status = status_of(one->engine, one->id);
    struct rr_hash_guard_input in = {.temperature_known = true,
                                     .temperature_mc = temperature_mc,
                                     .running = status.state == RR_HASH_DEVICE_RUNNING,
                                     .lost = status.state == RR_HASH_DEVICE_LOST,
                                     .wrong = status.state == RR_HASH_DEVICE_WRONG,
                                     .quanta = status.quanta,
                                     .errors = status.errors + status.failed_checks,
                                     .in_flight = status.in_flight};
    one->now_us += 1000000;
    one->answer = rr_hash_guard_step(&one->guard, &in, one->now_us);
    return one->answer.want;
}

static struct guarded guard_of(struct rr_hash_engine *engine, const char *id)
{
    struct rr_hash_guard_options options = rr_hash_guard_defaults();
    struct guarded one = {.engine = engine, .id = id};
    rr_hash_guard_init(&one.guard, &options);
    return one;
}

struct restart {
    struct rr_hash_engine *engine;
    pthread_t thread;
    enum rr_err err;
};

static void *run_restart(void *argument)
{
    struct restart *restart = argument;
    restart->err = rr_hash_device_restart(restart->engine, "red:0", NULL);
    return NULL;
}

/* The bug: a restart that waited for a driver that never came back kept the rig from stopping. */
static void a_device_that_hangs_is_restarted_and_holds_up_no_end(void **state)
{
    (void)state;
    tell_again();
    told[0][1] = (struct told){.there = true, .fail_after = -1};
    struct hash_kit kit = double_kit();
    kit.times.hang_us = UINT64_C(3600000000); /* the guard sees it first */
    struct rr_hash_engine *engine = engine_on(&kit, "red");
    struct guarded hangs = guard_of(engine, "red:0"), well = guard_of(engine, "red:1");
    atomic_store(&told[0][0].gate, true);
    struct rr_hash_job job = make_job(RR_HASH_ARGMIN, 1, 5, 20000);
    struct outcome outcome = {0};
    (void)submit(engine, &job, &outcome);
    await_count(&told[0][0].waiting, 1);

    unsigned seconds = 1;
    while (look(&hangs, 60000) == RR_HASH_GUARD_RUN && seconds < 100) {
        assert_int_equal(look(&well, 60000), RR_HASH_GUARD_RUN);
        seconds++;
    }
    assert_int_equal(hangs.answer.want, RR_HASH_GUARD_RESTART);
    assert_in_range(seconds, 15, 17);
    struct restart restart = {.engine = engine};
    assert_int_equal(pthread_create(&restart.thread, NULL, run_restart, &restart), 0);
    await(&outcome); /* its works went to the other */
    expect_law(&small, &job, &outcome);
    assert_int_equal(status_of(engine, "red:0").state, RR_HASH_DEVICE_PREPARING);

    rr_hash_engine_stop(engine);
    assert_int_equal(pthread_join(restart.thread, NULL), 0);
    assert_int_equal(restart.err, RR_ERR_CANCELLED);
    atomic_store(&told[0][0].gate, false);
    rr_hash_engine_free(engine);
    rr_hash_engine_stop(NULL);
}

static void a_hot_device_rests_while_the_other_works(void **state)
{
    (void)state;
    tell_again();
    told[0][1] = (struct told){.there = true, .fail_after = -1};
    struct hash_kit kit = double_kit();
    struct rr_hash_engine *engine = engine_on(&kit, "red");
    struct guarded hot = guard_of(engine, "red:0");
    assert_int_equal(look(&hot, 86000), RR_HASH_GUARD_PAUSE);
    assert_int_equal(rr_hash_device_pause(engine, hot.id, hot.answer.why, NULL), RR_OK);
    unsigned before = atomic_load(&told[0][0].searches);
    for (uint8_t round = 1; round < 4; round++) {
        struct rr_hash_job job = make_job(RR_HASH_ARGMIN, round, 5, 3000);
        struct outcome outcome = {0};
        (void)submit(engine, &job, &outcome);
        await(&outcome);
        expect_law(&small, &job, &outcome);
        assert_int_equal(look(&hot, 80000), RR_HASH_GUARD_PAUSE);
    }
    assert_int_equal(atomic_load(&told[0][0].searches), before);
    struct rr_hash_device_status status = status_of(engine, hot.id);
    assert_int_equal(status.state, RR_HASH_DEVICE_PAUSED);
    assert_non_null(strstr(status.why, "86.0 C"));
    assert_int_equal(look(&hot, 75000), RR_HASH_GUARD_RUN);
    assert_int_equal(rr_hash_device_pause(engine, hot.id, NULL, NULL), RR_OK);
    assert_int_equal(status_of(engine, hot.id).state, RR_HASH_DEVICE_RUNNING);
    rr_hash_engine_free(engine);
}

static void a_wrong_device_is_off_and_the_rig_goes_on(void **state)
{
    (void)state;
    tell_again();
    told[0][1] = (struct told){.there = true, .fail_after = -1};
    struct hash_kit kit = double_kit();
    struct rr_hash_engine *engine = engine_on(&kit, "red");
    struct guarded lies = guard_of(engine, "red:0"), well = guard_of(engine, "red:1");
    const struct rr_hash_guard *both[] = {&lies.guard, &well.guard};
    atomic_store(&told[0][0].lie, FALSE_BEST);
    for (uint8_t round = 1; status_of(engine, "red:0").state != RR_HASH_DEVICE_WRONG; round++) {
        struct rr_hash_job job = make_job(RR_HASH_ARGMIN, round, 5, 3000);
        struct outcome outcome = {0};
        (void)submit(engine, &job, &outcome);
        await(&outcome);
        expect_law(&small, &job, &outcome);
    }
    assert_int_equal(look(&lies, 60000), RR_HASH_GUARD_OFF);
    assert_int_equal(look(&well, 60000), RR_HASH_GUARD_RUN);
    assert_false(rr_hash_guard_all_off(both, 2));
    rr_hash_engine_free(engine);
}

int main(void)
{
    rr_log_set_level((enum rr_log_level)0); /* faults are what is tested */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_device_that_hangs_is_restarted_and_holds_up_no_end),
        cmocka_unit_test(a_hot_device_rests_while_the_other_works),
        cmocka_unit_test(a_wrong_device_is_off_and_the_rig_goes_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Several devices at once: who gets what, and what becomes of those that are lost, hang or lie. */
#include "unit/hash/doubles_jobs.h"

static void two_devices_of_different_speed_find_what_one_finds(void **state)
{
    (void)state;
    for (uint8_t round = 0; round < 6; round++) {
        tell_again();
        told[0][1] = (struct told){.there = true, .slots = 2, .fail_after = -1, .slow_us = 300};
        struct hash_kit kit = double_kit();
        struct rr_hash_engine *engine = engine_on(&kit, "red");
        struct rr_hash_job job =
            make_job(round % 2 ? RR_HASH_TARGET : RR_HASH_ARGMIN, round, UINT64_MAX - 19999, 20000);
        job.difficulty = round < 4 ? rr_u256_of(3000) : rr_u256_max();
        struct outcome outcome = {0};
        atomic_store(&told[0][0].gate, true);
        atomic_store(&told[0][1].gate, true);
        (void)submit(engine, &job, &outcome);
        await_count(&told[0][0].waiting, 1); /* each has a part of it */
        await_count(&told[0][1].waiting, 1);
        atomic_store(&told[0][0].gate, false);
        atomic_store(&told[0][1].gate, false);
        await(&outcome);
        expect_law(&small, &job, &outcome);
        if (job.kind == RR_HASH_ARGMIN) {
            assert_int_equal(outcome.result.hashes, 20000);
            struct rr_hash_device_status fast = status_of(engine, "red:0");
            struct rr_hash_device_status slow = status_of(engine, "red:1");
            assert_int_equal(fast.hashes + slow.hashes, 20000);
            assert_true(fast.quanta > 0 && slow.quanta > 0);
            assert_int_equal(fast.accepted + slow.accepted, 1);
        }
        rr_hash_engine_free(engine);
    }
}

static void works_of_a_lost_device_go_to_the_other(void **state)
{
    (void)state;
    for (int after = 0; after < 12; after += 3) {
        tell_again();
        told[0][1] = (struct told){.there = true, .slots = 3, .fail_after = -1};
        struct hash_kit kit = double_kit();
        kit.times.restarts_max = 0;
        struct rr_hash_engine *engine = engine_on(&kit, "red");
        atomic_store(&told[0][1].fail_after, after);
        struct rr_hash_job job = make_job(RR_HASH_ARGMIN, (uint8_t)after, 77, 30000);
        struct outcome outcome = {0};
        atomic_store(&told[0][0].gate, true);
        (void)submit(engine, &job, &outcome);
        await_state(engine, "red:1", RR_HASH_DEVICE_LOST);
        atomic_store(&told[0][0].gate, false);
        await(&outcome);
        expect_law(&small, &job, &outcome);
        assert_int_equal(outcome.result.hashes, 30000); /* none lost, none counted twice */
        await_state(engine, "red:1", RR_HASH_DEVICE_LOST);
        struct rr_hash_device_status lost = status_of(engine, "red:1");
        assert_int_equal(lost.in_flight, 0);
        assert_int_equal(lost.errors, 1);
        assert_non_null(strstr(lost.why, "fell off the bus"));
        assert_int_equal(status_of(engine, "red:0").hashes + lost.hashes, 30000);
        rr_hash_engine_free(engine);
    }
}

static void a_lost_device_starts_again_but_not_without_end(void **state)
{
    (void)state;
    tell_again();
    struct hash_kit kit = double_kit();
    struct rr_hash_engine *engine = engine_on(&kit, "red");
    struct rr_hash_job job = make_job(RR_HASH_ARGMIN, 1, 0, 3000);
    struct outcome outcome = {0};
    atomic_store(&told[0][0].fail_after, 0);
    (void)submit(engine, &job, &outcome);
    await(&outcome); /* waits for the device to be back */
    expect_law(&small, &job, &outcome);
    assert_int_equal(outcome.result.hashes, 3000);
    assert_int_equal(status_of(engine, "red:0").restarts, 1);

    struct outcome endless = {0};
    job = make_job(RR_HASH_TARGET, 2, 0, 0);
    (void)submit(engine, &job, &endless);
    while (atomic_load(&endless.calls) == 0) {
        if (atomic_load(&told[0][0].fail_after) < 0 &&
            status_of(engine, "red:0").state == RR_HASH_DEVICE_RUNNING) {
            atomic_store(&told[0][0].fail_after, 0);
        }
        wait_ms(1);
    }
    assert_int_equal(endless.result.end, RR_HASH_FAILED);
    assert_int_equal(status_of(engine, "red:0").state, RR_HASH_DEVICE_LOST);
    assert_int_equal(status_of(engine, "red:0").restarts, 2);
    atomic_store(&told[0][0].fail_after, -1);

    /* An operator's restart is not counted against it. */
    struct rr_fault fault = {0};
    uint64_t id = 0;
    assert_int_equal(rr_hash_submit(engine, &id, &job, keep, &endless, &fault), RR_ERR_STATE);
    assert_int_equal(rr_hash_device_restart(engine, "red:0", &fault), RR_OK);
    struct outcome after = {0};
    job = make_job(RR_HASH_ARGMIN, 3, 0, 500);
    (void)submit(engine, &job, &after);
    await(&after);
    expect_law(&small, &job, &after);
    rr_hash_engine_free(engine);
}

static void a_device_that_hangs_is_lost_and_its_late_answer_is_dropped(void **state)
{
    (void)state;
    tell_again();
    told[0][1] = (struct told){.there = true, .fail_after = -1};
    struct hash_kit kit = double_kit();
    kit.times.restarts_max = 0;
    kit.times.hang_us = 2000000; /* the other one may be slow on a busy machine */
    struct rr_hash_engine *engine = engine_on(&kit, "red");
    atomic_store(&told[0][0].gate, true);
    struct rr_hash_job job = make_job(RR_HASH_ARGMIN, 1, 5, 40000);
    struct outcome outcome = {0};
    assert_int_equal(rr_hash_device_pause(engine, "red:1", "after the other", NULL), RR_OK);
    (void)submit(engine, &job, &outcome);
    await_count(&told[0][0].waiting, 1);
    assert_int_equal(rr_hash_device_pause(engine, "red:1", NULL, NULL), RR_OK);
    await(&outcome);
    expect_law(&small, &job, &outcome);
    assert_int_equal(outcome.result.hashes, 40000);
    await_state(engine, "red:0", RR_HASH_DEVICE_LOST);
    struct rr_hash_device_status hangs = status_of(engine, "red:0");
    assert_int_equal(hangs.state, RR_HASH_DEVICE_LOST);
    assert_non_null(strstr(hangs.why, "hangs"));
    assert_int_equal(hangs.hashes, 0);
    assert_int_equal(atomic_load(&told[0][0].released), 0);
    atomic_store(&told[0][0].gate, false); /* the late answer: its thread is reaped */
    await_count(&told[0][0].released, 1);
    assert_int_equal(status_of(engine, "red:0").hashes, 0);
    assert_int_equal(rr_hash_device_restart(engine, "red:0", NULL), RR_OK);
    struct outcome after = {0};
    (void)submit(engine, &job, &after);
    await(&after);
    expect_law(&small, &job, &after);
    assert_int_equal(status_of(engine, "red:0").restarts, 1);
    rr_hash_engine_free(engine);
}

static void free_does_not_wait_for_ever_for_a_device_that_hangs(void **state)
{
    (void)state;
    tell_again();
    struct hash_kit kit = double_kit();
    kit.times.hang_us = 200000;
    struct rr_hash_engine *engine = engine_on(&kit, "red");
    atomic_store(&told[0][0].gate, true);
    struct rr_hash_job job = make_job(RR_HASH_TARGET, 1, 5, 0);
    struct outcome outcome = {0};
    (void)submit(engine, &job, &outcome);
    await_count(&told[0][0].waiting, 1);
    rr_hash_engine_free(engine);
    assert_int_equal(atomic_load(&outcome.calls), 1);
    assert_int_equal(outcome.result.end, RR_HASH_CANCELLED);
    assert_int_equal(atomic_load(&told[0][0].released), 0);
    atomic_store(&told[0][0].gate, false); /* comes back at last: frees what was left with it */
    await_count(&told[0][0].released, 1);
    wait_ms(50); /* for the sanitizers: the rest of that thread */
}

static void a_false_best_never_leaves_and_is_searched_again(void **state)
{
    (void)state;
    for (int kind = RR_HASH_TARGET; kind <= RR_HASH_ARGMIN; kind++) {
        tell_again();
        told[0][1] = (struct told){.there = true, .slots = 2, .fail_after = -1};
        struct hash_kit kit = double_kit();
        struct rr_hash_engine *engine = engine_on(&kit, "red");
        atomic_store(&told[0][1].lie, FALSE_BEST);
        struct rr_hash_job job = make_job((enum rr_hash_kind)kind, 9, 1000, 30000);
        job.difficulty = rr_u256_of(8000);
        struct outcome outcome = {0};
        assert_int_equal(rr_hash_device_pause(engine, "red:0", "until the other lied", NULL),
                         RR_OK);
        (void)submit(engine, &job, &outcome);
        await_state(engine, "red:1", RR_HASH_DEVICE_WRONG);
        assert_int_equal(atomic_load(&outcome.calls), 0);
        assert_true(status_of(engine, "red:1").rejected >= 1);
        assert_int_equal(rr_hash_device_pause(engine, "red:0", NULL, NULL), RR_OK);
        await(&outcome);
        expect_law(&small, &job, &outcome);
        assert_true(outcome.result.hashes <= 30000); /* what was undone does not count */
        assert_int_equal(status_of(engine, "red:0").state, RR_HASH_DEVICE_RUNNING);
        rr_hash_engine_free(engine);
    }
}

/* Every result of a device that overlooks holds by itself: only its proof finds it, and all that it
 * did for unfinished jobs is done again. */
static void what_an_overlooking_device_did_is_undone_by_its_proof(void **state)
{
    (void)state;
    tell_again();
    told[0][1] = (struct told){.there = true, .fail_after = -1};
    struct hash_kit kit = double_kit();
    kit.times.proof_us = UINT64_C(3600) * 1000000;
    struct rr_hash_engine *engine = engine_on(&kit, "red");
    struct rr_hash_job jobs[2] = {make_job(RR_HASH_ARGMIN, 3, 10, 30000),
                                  make_job(RR_HASH_TARGET, 4, 10, 30000)};
    jobs[1].difficulty = rr_u256_of(500);
    struct outcome outcomes[2] = {0};
    atomic_store(&told[0][0].gate, true); /* the honest one has a work of the first until the end */
    atomic_store(&told[0][1].gate, true);
    atomic_store(&told[0][1].lie, MISSES);
    (void)submit(engine, &jobs[0], &outcomes[0]);
    await_count(&told[0][0].waiting, 1);
    await_count(&told[0][1].waiting, 1);
    (void)submit(engine, &jobs[1], &outcomes[1]);
    struct rr_hash_job endless = make_job(RR_HASH_TARGET, 5, 0, 0); /* keeps it busy till then */
    struct outcome last = {0};
    uint64_t id = submit(engine, &endless, &last);
    atomic_store(&told[0][1].gate, false);
    unsigned before = atomic_load(&told[0][1].searches);
    await_count(&told[0][1].searches, before + 5);
    (void)pthread_mutex_lock(&engine->lock);
    hash_device_find(engine, "red:1")->next_proof_us = 0; /* the hour is over */
    (void)pthread_mutex_unlock(&engine->lock);
    await_state(engine, "red:1", RR_HASH_DEVICE_WRONG);
    assert_int_equal(atomic_load(&outcomes[0].calls), 0);
    bool open = atomic_load(&outcomes[1].calls) == 0;
    atomic_store(&told[0][0].gate, false);
    await(&outcomes[0]);
    expect_law(&small, &jobs[0], &outcomes[0]);
    await(&outcomes[1]);
    if (open) { /* what had ended before the proof was out */
        expect_law(&small, &jobs[1], &outcomes[1]);
    }
    assert_true(rr_hash_cancel(engine, id));
    assert_int_equal(status_of(engine, "red:1").failed_checks, 1);
    rr_hash_engine_free(engine);
}

static void a_wrong_device_is_off_until_it_is_restarted(void **state)
{
    (void)state;
    tell_again();
    struct hash_kit kit = double_kit();
    struct rr_hash_engine *engine = engine_on(&kit, "red");
    atomic_store(&told[0][0].lie, FALSE_BEST);
    struct rr_hash_job job = make_job(RR_HASH_ARGMIN, 9, 1000, 2000);
    struct outcome wrong = {0};
    (void)submit(engine, &job, &wrong);
    await(&wrong);
    assert_int_equal(wrong.result.end, RR_HASH_FAILED); /* nobody is left */
    assert_false(wrong.result.found);
    struct rr_fault fault = {0};
    assert_int_equal(rr_hash_device_restart(engine, "red:0", &fault), RR_ERR_DAMAGED);
    assert_int_equal(status_of(engine, "red:0").state, RR_HASH_DEVICE_WRONG);
    assert_int_equal(rr_hash_device_restart(engine, "red:7", &fault), RR_ERR_NOTFOUND);
    atomic_store(&told[0][0].lie, HONEST);
    assert_int_equal(rr_hash_device_restart(engine, "red:0", &fault), RR_OK);
    struct outcome right = {0};
    (void)submit(engine, &job, &right);
    await(&right);
    expect_law(&small, &job, &right);
    rr_hash_engine_free(engine);
}

static void a_paused_device_takes_nothing_until_it_goes_on(void **state)
{
    (void)state;
    tell_again();
    struct hash_kit kit = double_kit();
    struct rr_hash_engine *engine = engine_on(&kit, "red:0");
    struct rr_fault fault = {0};
    assert_int_equal(rr_hash_device_pause(engine, "red:0", "too hot", &fault), RR_OK);
    assert_int_equal(rr_hash_device_pause(engine, "red:9", "too hot", &fault), RR_ERR_NOTFOUND);
    assert_int_equal(rr_hash_device_pause(engine, "cpu", "too hot", &fault), RR_ERR_STATE);
    assert_string_equal(status_of(engine, "red:0").why, "too hot");
    struct rr_hash_job job = make_job(RR_HASH_ARGMIN, 9, 1000, 2000);
    struct outcome outcome = {0};
    unsigned before = atomic_load(&told[0][0].searches);
    (void)submit(engine, &job, &outcome);
    wait_ms(50);
    assert_int_equal(atomic_load(&outcome.calls), 0);
    assert_int_equal(atomic_load(&told[0][0].searches), before);
    assert_int_equal(rr_hash_device_restart(engine, "red:0", &fault), RR_OK);
    assert_int_equal(status_of(engine, "red:0").state, RR_HASH_DEVICE_PAUSED); /* stays so */
    assert_int_equal(rr_hash_device_pause(engine, "red:0", NULL, &fault), RR_OK);
    await(&outcome);
    expect_law(&small, &job, &outcome);
    rr_hash_engine_free(engine);
}

static void the_share_of_a_device_is_kept_and_can_be_changed(void **state)
{
    (void)state;
    tell_again();
    told[0][0].slots = 3;
    told[0][0].slow_us = 2000;
    struct hash_kit kit = double_kit();
    struct rr_hash_engine *engine = engine_on(&kit, "red");
    rr_hash_engine_set_share(engine, 100, 5);
    struct rr_hash_job job = make_job(RR_HASH_TARGET, 9, 0, 0);
    struct outcome outcome = {0};
    uint64_t start = hash_now_us();
    uint64_t id = submit(engine, &job, &outcome);
    wait_ms(400);
    uint64_t quanta = status_of(engine, "red:0").quanta;
    uint64_t passed = hash_now_us() - start;
    /* Each takes 2 ms at least, three could run at a time: one of 20 is allowed. */
    assert_true(quanta >= 1 && (quanta - 1) * 2000 * 20 <= passed * 3 / 2);
    rr_hash_engine_set_share(engine, 100, 100);
    unsigned before = atomic_load(&told[0][0].searches);
    await_count(&told[0][0].searches, before + 30);
    assert_true(rr_hash_cancel(engine, id));
    rr_hash_engine_free(engine);
}

/* ---- which devices search ---------------------------------------------------------------------
 */
static void a_card_is_taken_once_and_by_the_next_backend_when_the_first_fails(void **state)
{
    (void)state;
    static const struct {
        const char *why_not;
        enum rr_err open, prepare, blue;
        enum rr_hash_device_state red_is, blue_is, cpu_is;
    } cases[] = {
        {NULL, RR_OK, RR_OK, RR_OK, RR_HASH_DEVICE_RUNNING, RR_HASH_DEVICE_OFF, RR_HASH_DEVICE_OFF},
        {"driver too old", RR_OK, RR_OK, RR_OK, RR_HASH_DEVICE_OFF, RR_HASH_DEVICE_RUNNING,
         RR_HASH_DEVICE_OFF},
        {NULL, RR_ERR_UNSUPPORTED, RR_OK, RR_OK, RR_HASH_DEVICE_OFF, RR_HASH_DEVICE_RUNNING,
         RR_HASH_DEVICE_OFF},
        {NULL, RR_OK, RR_ERR_MEMORY, RR_OK, RR_HASH_DEVICE_OFF, RR_HASH_DEVICE_RUNNING,
         RR_HASH_DEVICE_OFF},
        {NULL, RR_OK, RR_ERR_MEMORY, RR_ERR_MEMORY, RR_HASH_DEVICE_OFF, RR_HASH_DEVICE_OFF,
         RR_HASH_DEVICE_RUNNING},
        {NULL, RR_OK, RR_ERR_DAMAGED, RR_ERR_IO, RR_HASH_DEVICE_WRONG, RR_HASH_DEVICE_OFF,
         RR_HASH_DEVICE_RUNNING},
    };
    for (size_t i = 0; i < RR_COUNT(cases); i++) {
        tell_again();
        told[0][0].pci = "0000:65:00.0";
        told[0][0].why_not = cases[i].why_not;
        told[0][0].open_err = (int)cases[i].open;
        told[0][0].prepare_err = (int)cases[i].prepare;
        told[1][0] = (struct told){.there = true,
                                   .pci = "0000:65:00.0",
                                   .fail_after = -1,
                                   .prepare_err = (int)cases[i].blue};
        told[1][1] = (struct told){.there = true, .processor = true, .fail_after = -1};
        struct hash_kit kit = double_kit();
        struct rr_hash_engine *engine = engine_on(&kit, i % 2 ? "auto" : NULL);
        assert_int_equal(status_of(engine, "red:0").state, cases[i].red_is);
        assert_int_equal(status_of(engine, "blue:0").state, cases[i].blue_is);
        assert_int_equal(status_of(engine, "blue:1").state, RR_HASH_DEVICE_OFF);
        assert_int_equal(status_of(engine, "cpu").state, cases[i].cpu_is);
        if (cases[i].red_is != RR_HASH_DEVICE_RUNNING) {
            assert_true(strlen(status_of(engine, "red:0").why) > 10);
        }
        struct rr_hash_job job = make_job(RR_HASH_ARGMIN, 9, 1000, 2000);
        struct outcome outcome = {0};
        (void)submit(engine, &job, &outcome);
        await(&outcome);
        expect_law(&small, &job, &outcome);
        rr_hash_engine_free(engine);
    }
}

static void the_cpu_goes_light_when_nothing_else_fits(void **state)
{
    (void)state;
    if ((uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE) > UINT64_C(200) << 30) {
        skip();
    }
    tell_again();
    told[0][0].prepare_err = RR_ERR_MEMORY;
    const struct rr_hash_params large = {.cache_items = 67, .dataset_items = 0x7fffffff};
    struct hash_kit kit = double_kit();
    struct rr_hash_engine *engine = NULL;
    struct rr_hash_options options = {.threads = 1, .dataset_bytes_max = UINT64_MAX};
    assert_int_equal(hash_engine_new_with(&engine, &kit, &large, &options, NULL), RR_OK);
    assert_non_null(strstr(rr_hash_engine_text(engine), "cpu, light"));
    struct rr_hash_job job = make_job(RR_HASH_TARGET, 9, 55, 0);
    job.difficulty = rr_u256_of(1);
    struct outcome outcome = {0};
    (void)submit(engine, &job, &outcome);
    await(&outcome);
    assert_int_equal(outcome.result.end, RR_HASH_FOUND);
    assert_int_equal(outcome.result.nonce, 55);
    rr_hash_engine_free(engine);
}

static void devices_are_chosen_by_name_and_id(void **state)
{
    (void)state;
    static const struct {
        const char *wish;
        const char *running[4];
    } cases[] = {
        {"red", {"red:0", "red:1"}},
        {"red:1", {"red:1"}},
        {"blue:0,red:0", {"red:0", "blue:0"}},
        {"auto,cpu", {"red:0", "red:1", "blue:0", "cpu"}},
        {"cpu", {"cpu"}},
        {"red:3", {"cpu"}}, /* was there yesterday */
        {"red:3,blue", {"blue:0"}},
    };
    for (size_t i = 0; i < RR_COUNT(cases); i++) {
        tell_again();
        told[0][1] = (struct told){.there = true, .fail_after = -1};
        told[1][0] = (struct told){.there = true, .fail_after = -1};
        struct hash_kit kit = double_kit();
        struct rr_hash_engine *engine = engine_on(&kit, cases[i].wish);
        struct rr_hash_device_status *all = test_calloc(RR_HASH_DEVICES_MAX, sizeof(*all));
        size_t count = rr_hash_engine_devices(engine, all, RR_HASH_DEVICES_MAX);
        size_t running = 0;
        for (size_t j = 0; j < count; j++) {
            running += all[j].state == RR_HASH_DEVICE_RUNNING;
            assert_true(all[j].state == RR_HASH_DEVICE_RUNNING || all[j].why[0] != '\0');
        }
        size_t wanted = 0;
        while (wanted < 4 && cases[i].running[wanted] != NULL) {
            assert_int_equal(status_of(engine, cases[i].running[wanted]).state,
                             RR_HASH_DEVICE_RUNNING);
            wanted++;
        }
        assert_int_equal(running, wanted);
        assert_int_equal(rr_hash_engine_devices(engine, all, 1), 1);
        test_free(all);
        rr_hash_engine_free(engine);
    }
    const char *const bad[] = {"green", "red,green", ",", "red,", "re", "redd", ":0"};
    for (size_t i = 0; i < RR_COUNT(bad); i++) {
        struct hash_kit kit = double_kit();
        struct rr_fault fault = {0};
        struct rr_hash_engine *none = NULL;
        struct rr_hash_options options = {.threads = 1, .devices = bad[i]};
        assert_int_equal(hash_engine_new_with(&none, &kit, &small, &options, &fault), RR_ERR_USAGE);
        assert_null(none);
        assert_non_null(strstr(fault.text, "choose"));
    }
    struct rr_hash_engine *none = NULL;
    struct rr_hash_options options = {.gpu_share_percent = 101};
    assert_int_equal(rr_hash_engine_new(&none, &small, &options, NULL), RR_ERR_USAGE);
}

static void the_machine_lists_its_cpu(void **state)
{
    (void)state;
    struct rr_hash_device *all = test_calloc(RR_HASH_DEVICES_MAX, sizeof(*all));
    size_t count = rr_hash_devices(all, RR_HASH_DEVICES_MAX);
    bool cpu = false;
    for (size_t i = 0; i < count; i++) {
        cpu = cpu || (strcmp(all[i].id, "cpu") == 0 && all[i].why_not[0] == '\0');
        assert_true(all[i].id[0] != '\0' && all[i].backend[0] != '\0');
    }
    assert_true(cpu);
    assert_int_equal(rr_hash_devices(all, 0), 0);
    test_free(all);
}

/* ---- verification ------------------------------------------------------------------------------
 */
static void make_checks(struct rr_hash_check *checks, size_t count)
{
    memset(checks, 0, count * sizeof(*checks));
    for (size_t i = 0; i < count; i++) {
        memset(checks[i].header_hash, (int)i, 32);
        checks[i].nonce = UINT64_MAX / count * i;
    }
}

static void expect_checks(const struct rr_hash_light *light, const struct rr_hash_check *checks,
                          size_t count)
{
    for (size_t i = 0; i < count; i += count / 7 + 1) {
        uint8_t mix[32];
        uint8_t final_be[32];
        rr_hash_light_compute(light, checks[i].header_hash, checks[i].nonce, mix, final_be);
        assert_memory_equal(checks[i].mix, mix, 32);
        assert_memory_equal(checks[i].final_be, final_be, 32);
    }
}

static void many_checks_go_to_a_device_and_few_to_the_cpu(void **state)
{
    (void)state;
    enum { MANY = 300 };
    struct rr_hash_check checks[MANY];
    tell_again();
    struct hash_kit kit = double_kit();
    struct rr_hash_engine *engine = engine_on(&kit, "red,cpu");
    unsigned before = atomic_load(&told[0][0].verified);
    make_checks(checks, 2);
    assert_int_equal(rr_hash_verify(engine, checks, 2, NULL), RR_OK);
    expect_checks(rr_hash_engine_light(engine), checks, 2);
    assert_int_equal(atomic_load(&told[0][0].verified), before);
    make_checks(checks, MANY);
    assert_int_equal(rr_hash_verify(engine, checks, MANY, NULL), RR_OK);
    expect_checks(rr_hash_engine_light(engine), checks, MANY);
    assert_int_equal(atomic_load(&told[0][0].verified), before + MANY);
    assert_int_equal(rr_hash_verify(engine, checks, 0, NULL), RR_OK);

    /* One that lies is found by the sample; the answers are right all the same. */
    atomic_store(&told[0][0].lie, WRONG_ALL);
    make_checks(checks, MANY);
    assert_int_equal(rr_hash_verify(engine, checks, MANY, NULL), RR_OK);
    expect_checks(rr_hash_engine_light(engine), checks, MANY);
    assert_int_equal(status_of(engine, "red:0").state, RR_HASH_DEVICE_WRONG);
    rr_hash_engine_free(engine);
}

static void a_verification_does_not_wait_for_a_device_that_hangs(void **state)
{
    (void)state;
    enum { MANY = 40 };
    struct rr_hash_check checks[MANY];
    tell_again();
    struct hash_kit kit = double_kit();
    kit.times.hang_us = 200000;
    kit.times.restarts_max = 0;
    struct rr_hash_engine *engine = engine_on(&kit, "red,cpu");
    atomic_store(&told[0][0].gate, true);
    make_checks(checks, MANY);
    assert_int_equal(rr_hash_verify(engine, checks, MANY, NULL), RR_OK);
    expect_checks(rr_hash_engine_light(engine), checks, MANY);
    assert_int_equal(status_of(engine, "red:0").state, RR_HASH_DEVICE_LOST);
    atomic_store(&told[0][0].gate, false);
    await_count(&told[0][0].released, 1);
    rr_hash_engine_free(engine);
}

/* ---- tuning ------------------------------------------------------------------------------------
 */
struct kept {
    unsigned loads, saves;
    char key[192], text[96];
};

static bool load(void *ctx, const char *key, char text[static 96])
{
    struct kept *kept = ctx;
    kept->loads++;
    if (strcmp(key, kept->key) != 0) {
        return false;
    }
    memcpy(text, kept->text, sizeof kept->text);
    return true;
}

static void save(void *ctx, const char *key, const char *text)
{
    struct kept *kept = ctx;
    kept->saves++;
    (void)snprintf(kept->key, sizeof kept->key, "%s", key);
    (void)snprintf(kept->text, sizeof kept->text, "%s", text);
}

static void a_device_is_tuned_once_and_again_only_when_asked(void **state)
{
    (void)state;
    struct kept kept = {0};
    struct rr_fault fault = {0};
    char text[96];
    tell_again();
    told[1][0] = (struct told){.there = true, .fail_after = -1};
    struct rr_hash_options options = {.threads = 1,
                                      .dataset_bytes_max = WHOLE,
                                      .devices = "blue:0,red:0",
                                      .tuning = {.load = load, .save = save, .ctx = &kept}};
    for (int start = 0; start < 3; start++) {
        struct hash_kit kit = double_kit();
        struct rr_hash_engine *engine = NULL;
        assert_int_equal(hash_engine_new_with(&engine, &kit, &small, &options, &fault), RR_OK);
        assert_int_equal(atomic_load(&told[1][0].tuned), 1);
        assert_int_equal(kept.saves, 1);
        assert_string_equal(kept.key, "blue:0|7.1|15"); /* 509 rows of 128 bytes: 2^15 or more */
        assert_string_equal(kept.text, "variant=0");
        if (start == 2) {
            struct rr_hash_job job = make_job(RR_HASH_TARGET, 2, 0, 0);
            struct outcome outcome = {0};
            uint64_t id = submit(engine, &job, &outcome);
            assert_int_equal(rr_hash_device_tune(engine, "blue:0", text, &fault), RR_OK);
            assert_string_equal(text, "variant=1");
            assert_int_equal(kept.saves, 2);
            assert_int_equal(rr_hash_device_tune(engine, "red:0", text, &fault),
                             RR_ERR_UNSUPPORTED);
            assert_int_equal(rr_hash_device_tune(engine, "red:8", text, &fault), RR_ERR_NOTFOUND);
            assert_true(rr_hash_cancel(engine, id));
        }
        rr_hash_engine_free(engine);
    }
}

int main(void)
{
    rr_log_set_level((enum rr_log_level)0); /* faults are what is tested */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_devices_of_different_speed_find_what_one_finds),
        cmocka_unit_test(works_of_a_lost_device_go_to_the_other),
        cmocka_unit_test(a_lost_device_starts_again_but_not_without_end),
        cmocka_unit_test(a_device_that_hangs_is_lost_and_its_late_answer_is_dropped),
        cmocka_unit_test(free_does_not_wait_for_ever_for_a_device_that_hangs),
        cmocka_unit_test(a_false_best_never_leaves_and_is_searched_again),
        cmocka_unit_test(what_an_overlooking_device_did_is_undone_by_its_proof),
        cmocka_unit_test(a_wrong_device_is_off_until_it_is_restarted),
        cmocka_unit_test(a_paused_device_takes_nothing_until_it_goes_on),
        cmocka_unit_test(the_share_of_a_device_is_kept_and_can_be_changed),
        cmocka_unit_test(a_card_is_taken_once_and_by_the_next_backend_when_the_first_fails),
        cmocka_unit_test(the_cpu_goes_light_when_nothing_else_fits),
        cmocka_unit_test(devices_are_chosen_by_name_and_id),
        cmocka_unit_test(the_machine_lists_its_cpu),
        cmocka_unit_test(many_checks_go_to_a_device_and_few_to_the_cpu),
        cmocka_unit_test(a_verification_does_not_wait_for_a_device_that_hangs),
        cmocka_unit_test(a_device_is_tuned_once_and_again_only_when_asked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

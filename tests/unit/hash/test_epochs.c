/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Epochs: prepared ahead, switched under load; and the light start. */
#include "unit/hash/doubles_jobs.h"

static const struct rr_hash_params other = {
    .cache_items = 71, .dataset_items = 613, .seed = {9, 8, 7}};
static const struct rr_hash_params third = {
    .cache_items = 73, .dataset_items = 701, .seed = {4, 4, 4}};

static void await_ready(struct rr_hash_engine *engine)
{
    for (int i = 0; i < 60000 && !rr_hash_engine_next_ready(engine); i++) {
        wait_ms(1);
    }
    assert_true(rr_hash_engine_next_ready(engine));
}

static void expect_search(struct rr_hash_engine *engine, const struct rr_hash_params *params,
                          uint8_t header)
{
    struct rr_hash_job job = make_job(RR_HASH_ARGMIN, header, 100, 1500);
    struct outcome outcome = {0};
    (void)submit(engine, &job, &outcome);
    await(&outcome);
    expect_law(params, &job, &outcome);
}

static void a_switch_ends_waiting_jobs_as_stale_and_searches_the_new_epoch(void **state)
{
    (void)state;
    for (int ahead = 0; ahead < 2; ahead++) {
        tell_again();
        told[0][1] = (struct told){.there = true, .slots = 2, .fail_after = -1};
        struct hash_kit kit = double_kit();
        struct rr_hash_engine *engine = engine_on(&kit, "red");
        expect_search(engine, &small, 1);
        struct rr_hash_job jobs[2] = {make_job(RR_HASH_TARGET, 2, 0, 0),
                                      make_job(RR_HASH_ARGMIN, 3, 0, UINT64_MAX)};
        struct outcome outcomes[2] = {0};
        (void)submit(engine, &jobs[0], &outcomes[0]);
        (void)submit(engine, &jobs[1], &outcomes[1]);
        uint64_t before = status_of(engine, "red:0").hashes;
        while (status_of(engine, "red:0").hashes < before + 2000) {
            wait_ms(1);
        }
        unsigned prepared = atomic_load(&told[0][0].prepared);
        if (ahead) {
            assert_int_equal(rr_hash_engine_prepare_next(engine, &other, NULL), RR_OK);
            await_ready(engine);
            assert_int_equal(atomic_load(&told[0][0].prepared), prepared + 1);
            assert_int_equal(atomic_load(&outcomes[0].calls), 0); /* searching goes on */
        }
        const struct rr_hash_light *old = rr_hash_engine_light(engine);
        assert_int_equal(rr_hash_engine_switch(engine, &other, NULL), RR_OK);
        assert_int_equal(rr_hash_engine_switch(engine, &other, NULL), RR_OK); /* nothing more */
        for (int i = 0; i < 2; i++) {
            await(&outcomes[i]);
            assert_int_equal(outcomes[i].result.end, RR_HASH_STALE);
            assert_int_equal(outcomes[i].result.found, i == 1);
        }
        /* The best so far is of its own epoch, whose cache the engine still keeps. */
        uint8_t mix[32];
        uint8_t final_be[32];
        rr_hash_light_compute(old, jobs[1].header_hash, outcomes[1].result.nonce, mix, final_be);
        assert_memory_equal(final_be, outcomes[1].result.final_be, 32);
        assert_ptr_not_equal(rr_hash_engine_light(engine), old);
        expect_search(engine, &other, 1);
        expect_search(engine, &other, 4);
        assert_int_equal(atomic_load(&told[0][0].prepared), prepared + 1);
        await_count(&told[0][0].released, 1);
        assert_true(status_of(engine, "red:0").stale + status_of(engine, "red:1").stale > 0);
        rr_hash_engine_free(engine);
        assert_int_equal(atomic_load(&told[0][0].released), atomic_load(&told[0][0].prepared));
    }
}

static void a_device_without_room_for_two_prepares_at_the_switch(void **state)
{
    (void)state;
    tell_again();
    atomic_store(&told[0][0].next_err, RR_ERR_MEMORY);
    struct hash_kit kit = double_kit();
    struct rr_hash_engine *engine = engine_on(&kit, "red");
    assert_int_equal(rr_hash_engine_prepare_next(engine, &other, NULL), RR_OK);
    await_ready(engine); /* said in the log; nothing more can be done ahead */
    expect_search(engine, &small, 1);
    assert_int_equal(atomic_load(&told[0][0].prepared), 1);
    atomic_store(&told[0][0].next_err, RR_OK); /* the old one goes first: there is room */
    assert_int_equal(rr_hash_engine_switch(engine, &other, NULL), RR_OK);
    expect_search(engine, &other, 1);
    assert_int_equal(atomic_load(&told[0][0].prepared), 2);
    assert_int_equal(atomic_load(&told[0][0].released), 1);
    rr_hash_engine_free(engine);
}

static void another_next_epoch_replaces_the_first(void **state)
{
    (void)state;
    tell_again();
    struct hash_kit kit = double_kit();
    struct rr_hash_engine *engine = engine_on(&kit, "red");
    assert_false(rr_hash_engine_next_ready(engine));
    assert_int_equal(rr_hash_engine_prepare_next(engine, &other, NULL), RR_OK);
    await_ready(engine);
    assert_int_equal(rr_hash_engine_prepare_next(engine, &third, NULL), RR_OK);
    await_ready(engine);
    expect_search(engine, &small, 1);
    assert_int_equal(rr_hash_engine_switch(engine, &third, NULL), RR_OK);
    expect_search(engine, &third, 1);
    assert_int_equal(rr_hash_engine_switch(engine, &small, NULL), RR_OK); /* back: made anew */
    expect_search(engine, &small, 1);
    struct rr_hash_params bad = small;
    bad.cache_items = 0;
    assert_int_equal(rr_hash_engine_prepare_next(engine, &bad, NULL), RR_ERR_LIMIT);
    assert_int_equal(rr_hash_engine_switch(engine, &bad, NULL), RR_ERR_LIMIT);
    rr_hash_engine_free(engine);
    assert_int_equal(atomic_load(&told[0][0].released), atomic_load(&told[0][0].prepared));
}

static void a_quantum_in_flight_ends_on_its_own_epoch(void **state)
{
    (void)state;
    tell_again();
    struct hash_kit kit = double_kit();
    struct rr_hash_engine *engine = engine_on(&kit, "red");
    assert_int_equal(rr_hash_engine_prepare_next(engine, &other, NULL), RR_OK);
    await_ready(engine);
    atomic_store(&told[0][0].gate, true);
    struct rr_hash_job job = make_job(RR_HASH_TARGET, 2, 0, 0);
    struct outcome outcome = {0};
    (void)submit(engine, &job, &outcome);
    await_count(&told[0][0].waiting, 1);
    assert_int_equal(rr_hash_engine_switch(engine, &other, NULL), RR_OK);
    wait_ms(30);
    assert_int_equal(atomic_load(&told[0][0].released), 0);
    assert_int_equal(atomic_load(&outcome.calls), 0); /* its work is still out */
    atomic_store(&told[0][0].gate, false);
    await(&outcome);
    assert_int_equal(outcome.result.end, RR_HASH_STALE);
    await_count(&told[0][0].released, 1);
    expect_search(engine, &other, 2);
    rr_hash_engine_free(engine);
}

/* A dataset that is wrong is found before the first search on it. */
static void a_new_dataset_is_proven_before_it_is_searched(void **state)
{
    (void)state;
    tell_again();
    told[0][1] = (struct told){.there = true, .fail_after = -1};
    struct hash_kit kit = double_kit();
    struct rr_hash_engine *engine = engine_on(&kit, "red");
    assert_int_equal(rr_hash_engine_prepare_next(engine, &other, NULL), RR_OK);
    await_ready(engine);
    atomic_store(&told[0][1].lie, WRONG_ALL);
    assert_int_equal(rr_hash_engine_switch(engine, &other, NULL), RR_OK);
    expect_search(engine, &other, 1);
    await_state(engine, "red:1", RR_HASH_DEVICE_WRONG);
    assert_int_equal(status_of(engine, "red:1").quanta, 0);
    rr_hash_engine_free(engine);
}

/* ---- under load --------------------------------------------------------------------------------
 */
struct load {
    struct rr_hash_engine *engine;
    atomic_bool stop;
    atomic_uint verified, searched, stale;
    struct rr_hash_check law[2][24];
};

static void make_law(struct rr_hash_check *law, size_t count, const struct rr_hash_params *params)
{
    struct rr_hash_light *light = NULL;
    assert_int_equal(rr_hash_light_new(&light, params, NULL), RR_OK);
    for (size_t i = 0; i < count; i++) {
        memset(law[i].header_hash, (int)i + 1, 32);
        law[i].nonce = i * 1000003;
        rr_hash_light_compute(light, law[i].header_hash, law[i].nonce, law[i].mix, law[i].final_be);
    }
    rr_hash_light_free(light);
}

static void *verify_all_the_time(void *argument)
{
    struct load *load = argument;
    for (unsigned round = 0; !atomic_load(&load->stop); round++) {
        struct rr_hash_check checks[24];
        size_t count = round % 2 ? 24 : 3; /* by a device, by the CPU */
        memcpy(checks, load->law[0], sizeof checks);
        for (size_t i = 0; i < count; i++) {
            memset(checks[i].mix, 0, 32);
            memset(checks[i].final_be, 0, 32);
        }
        RR_CHECK(rr_hash_verify(load->engine, checks, count, NULL) == RR_OK);
        bool first = memcmp(checks, load->law[0], count * sizeof(*checks)) == 0;
        bool second = memcmp(checks, load->law[1], count * sizeof(*checks)) == 0;
        RR_CHECK(first || second); /* all of one epoch, and right */
        atomic_fetch_add(&load->verified, 1);
    }
    return NULL;
}

static void *search_all_the_time(void *argument)
{
    struct load *load = argument;
    for (uint8_t round = 0; !atomic_load(&load->stop); round++) {
        struct rr_hash_job job = make_job(RR_HASH_ARGMIN, round, 0, 700);
        struct outcome outcome = {0};
        uint64_t id = 0;
        RR_CHECK(rr_hash_submit(load->engine, &id, &job, keep, &outcome, NULL) == RR_OK);
        while (atomic_load(&outcome.calls) == 0) {
            wait_ms(1);
        }
        RR_CHECK(outcome.result.end == RR_HASH_FOUND || outcome.result.end == RR_HASH_STALE);
        atomic_fetch_add(outcome.result.end == RR_HASH_FOUND ? &load->searched : &load->stale, 1);
    }
    return NULL;
}

static void epochs_are_switched_under_load_without_a_wrong_answer(void **state)
{
    (void)state;
    tell_again();
    told[0][1] = (struct told){.there = true, .slots = 2, .fail_after = -1};
    struct hash_kit kit = double_kit();
    struct load *load = test_calloc(1, sizeof(*load));
    make_law(load->law[0], 24, &small);
    make_law(load->law[1], 24, &other);
    load->engine = engine_on(&kit, "red,cpu");
    pthread_t threads[4];
    for (int i = 0; i < 4; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL,
                                        i % 2 ? verify_all_the_time : search_all_the_time, load),
                         0);
    }
    for (int round = 0; round < 8; round++) {
        const struct rr_hash_params *to = round % 2 ? &small : &other;
        if (round % 4 < 2) {
            assert_int_equal(rr_hash_engine_prepare_next(load->engine, to, NULL), RR_OK);
            await_ready(load->engine);
        }
        unsigned verified = atomic_load(&load->verified);
        unsigned searched = atomic_load(&load->searched);
        assert_int_equal(rr_hash_engine_switch(load->engine, to, NULL), RR_OK);
        await_count(&load->verified, verified + 3);
        await_count(&load->searched, searched + 2);
    }
    atomic_store(&load->stop, true);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    print_message("%u verified, %u searched, %u stale\n", atomic_load(&load->verified),
                  atomic_load(&load->searched), atomic_load(&load->stale));
    rr_hash_engine_free(load->engine);
    test_free(load);
}

/* ---- the light start ---------------------------------------------------------------------------
 */
static atomic_bool whole_gate; /* closed: whole datasets wait for it, or for their cancelling */
static atomic_uint whole_asked;

static enum rr_err gated_prepare(void **epoch, void *device, const struct hash_setup *setup,
                                 struct rr_fault *fault)
{
    atomic_fetch_add(&whole_asked, setup->dataset_bytes_max > 0);
    while (setup->dataset_bytes_max > 0 && atomic_load(&whole_gate)) {
        if (atomic_load(setup->cancel)) {
            return rr_fail(fault, RR_ERR_CANCELLED, "given up, as the engine asked");
        }
        wait_ms(1);
    }
    return hash_backend_cpu.prepare(epoch, device, setup, fault);
}

static void an_engine_searches_light_until_its_dataset_is_there(void **state)
{
    (void)state;
    struct hash_backend gated = hash_backend_cpu;
    const struct hash_backend *backends[] = {&gated};
    gated.prepare = gated_prepare;
    struct hash_kit kit = double_kit();
    kit.backends = backends;
    kit.count = 1;
    struct rr_hash_engine *engine = NULL;
    struct rr_hash_options options = {
        .threads = 1, .dataset_bytes_max = WHOLE, .light_first = true};
    atomic_store(&whole_gate, true);
    assert_int_equal(hash_engine_new_with(&engine, &kit, &small, &options, NULL), RR_OK);
    const char *first = rr_hash_engine_text(engine);
    assert_non_null(strstr(first, "cpu, light"));
    struct rr_hash_job job = make_job(RR_HASH_TARGET, 2, 0, 0); /* not stale by the upgrade */
    struct outcome outcome = {0};
    uint64_t id = submit(engine, &job, &outcome);
    await_count(&whole_asked, 1);
    expect_search(engine, &small, 7);
    atomic_store(&whole_gate, false);
    for (int i = 0; i < 60000 && strstr(rr_hash_engine_text(engine), "dataset") == NULL; i++) {
        wait_ms(1);
    }
    assert_non_null(strstr(rr_hash_engine_text(engine), "cpu, dataset"));
    assert_non_null(strstr(first, "light")); /* still readable, still what it was */
    expect_search(engine, &small, 8);
    assert_int_equal(atomic_load(&outcome.calls), 0);
    assert_int_equal(rr_hash_engine_switch(engine, &other, NULL), RR_OK); /* light, then whole */
    expect_search(engine, &other, 9);
    await(&outcome);
    assert_int_equal(outcome.result.end, RR_HASH_STALE);
    assert_false(rr_hash_cancel(engine, id));
    rr_hash_engine_free(engine);

    /* Freed while the dataset is being made: the build is given up. */
    atomic_store(&whole_gate, true);
    unsigned asked = atomic_load(&whole_asked);
    assert_int_equal(hash_engine_new_with(&engine, &kit, &small, &options, NULL), RR_OK);
    await_count(&whole_asked, asked + 1);
    rr_hash_engine_free(engine);
}

int main(void)
{
    rr_log_set_level((enum rr_log_level)0); /* faults are what is tested */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_switch_ends_waiting_jobs_as_stale_and_searches_the_new_epoch),
        cmocka_unit_test(a_device_without_room_for_two_prepares_at_the_switch),
        cmocka_unit_test(another_next_epoch_replaces_the_first),
        cmocka_unit_test(a_quantum_in_flight_ends_on_its_own_epoch),
        cmocka_unit_test(a_new_dataset_is_proven_before_it_is_searched),
        cmocka_unit_test(epochs_are_switched_under_load_without_a_wrong_answer),
        cmocka_unit_test(an_engine_searches_light_until_its_dataset_is_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

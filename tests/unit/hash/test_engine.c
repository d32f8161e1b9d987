/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "unit/kernels/vectors.h"

#include "hash/hash_backend.h"
#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

/* 64 KiB dataset: a hash in microseconds with it, about half a millisecond without. */
static const struct rr_hash_params small = {
    .cache_items = 67, .dataset_items = 509, .seed = {1, 2, 3}};
#define WHOLE UINT64_C(1) << 30

/* What a job's callback leaves for the test. */
struct outcome {
    atomic_uint calls;
    struct rr_hash_result result;
};

static void keep(void *ctx, const struct rr_hash_result *result)
{
    struct outcome *outcome = ctx;
    outcome->result = *result;
    atomic_fetch_add(&outcome->calls, 1);
}

static void wait_ms(long ms)
{
    struct timespec time = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    (void)nanosleep(&time, NULL);
}

static void await(struct outcome *outcome)
{
    for (int i = 0; i < 60000 && atomic_load(&outcome->calls) == 0; i++) {
        wait_ms(1);
    }
    assert_int_equal(atomic_load(&outcome->calls), 1);
}

static struct rr_hash_engine *new_engine(uint32_t threads, uint64_t dataset_bytes_max)
{
    struct rr_hash_engine *engine = NULL;
    struct rr_hash_options options = {.threads = threads, .dataset_bytes_max = dataset_bytes_max};
    assert_int_equal(rr_hash_engine_new(&engine, &small, &options, NULL), RR_OK);
    return engine;
}

static struct rr_hash_job make_job(enum rr_hash_kind kind, uint8_t header, uint64_t start,
                                   uint64_t count)
{
    struct rr_hash_job job = {
        .kind = kind, .nonce_start = start, .nonce_count = count, .difficulty = rr_u256_of(100)};
    memset(job.header_hash, header, 32);
    return job;
}

static uint64_t submit(struct rr_hash_engine *engine, const struct rr_hash_job *job,
                       struct outcome *outcome)
{
    uint64_t id = 0;
    assert_int_equal(rr_hash_submit(engine, &id, job, keep, outcome, NULL), RR_OK);
    assert_int_not_equal(id, 0);
    return id;
}

/* The answer by the light law, nonce after nonce. */
static bool by_hand(const struct rr_hash_light *light, const struct rr_hash_job *job,
                    uint64_t *nonce, uint8_t final_be[32])
{
    bool found = false;
    for (uint64_t i = 0; i < job->nonce_count; i++) {
        uint8_t mix[32];
        uint8_t final[32];
        rr_hash_light_compute(light, job->header_hash, job->nonce_start + i, mix, final);
        if (job->kind == RR_HASH_TARGET ? rr_hash_solves(final, job->difficulty)
                                        : !found || memcmp(final, final_be, 32) < 0) {
            memcpy(final_be, final, 32);
            *nonce = job->nonce_start + i;
            found = true;
            if (job->kind == RR_HASH_TARGET) {
                break;
            }
        }
    }
    return found;
}

static void both_kinds_equal_the_law_on_dataset_and_light(void **state)
{
    (void)state;
    for (int light = 0; light < 2; light++) {
        struct rr_hash_engine *engine = new_engine(2, light ? 0 : WHOLE);
        const char *kind = light ? "cpu, light, " : "cpu, dataset, ";
        assert_memory_equal(rr_hash_engine_text(engine), kind, strlen(kind)); /* then the kernels */
        for (uint8_t header = 0; header < 8; header++) {
            struct rr_hash_job job = make_job(header % 2 ? RR_HASH_TARGET : RR_HASH_ARGMIN, header,
                                              UINT64_MAX - 299, 300);
            if (header == 5) {
                job.difficulty = rr_u256_max(); /* nobody will find that */
            }
            struct outcome outcome = {0};
            uint64_t id = submit(engine, &job, &outcome);
            await(&outcome);
            uint64_t nonce = 0;
            uint8_t final_be[32] = {0};
            bool found = by_hand(rr_hash_engine_light(engine), &job, &nonce, final_be);
            assert_int_equal(outcome.result.job_id, id);
            assert_int_equal(outcome.result.found, found);
            assert_int_equal(outcome.result.end, found ? RR_HASH_FOUND : RR_HASH_NOTHING);
            assert_int_equal(outcome.result.nonce, nonce);
            assert_memory_equal(outcome.result.final_be, final_be, 32);
            if (header == 5 || job.kind == RR_HASH_ARGMIN) {
                assert_int_equal(outcome.result.hashes, 300);
            }
        }
        rr_hash_engine_free(engine);
    }
}

static void difficulty_one_is_solved_by_the_first_nonce(void **state)
{
    (void)state;
    struct rr_hash_engine *engine = new_engine(2, WHOLE);
    struct rr_hash_job job = make_job(RR_HASH_TARGET, 9, 12345, 0);
    job.difficulty = rr_u256_of(1);
    struct outcome outcome = {0};
    (void)submit(engine, &job, &outcome);
    await(&outcome);
    assert_int_equal(outcome.result.end, RR_HASH_FOUND);
    assert_int_equal(outcome.result.nonce, 12345);
    rr_hash_engine_free(engine);
}

static void jobs_that_make_no_sense_are_refused(void **state)
{
    (void)state;
    struct rr_hash_engine *engine = new_engine(1, WHOLE);
    struct rr_fault fault = {0};
    struct outcome outcome = {0};
    struct rr_hash_job bad[6];
    for (size_t i = 0; i < RR_COUNT(bad); i++) {
        bad[i] = make_job(RR_HASH_TARGET, 1, 0, 10);
    }
    bad[0].difficulty = rr_u256_of(0);
    bad[1].nonce_start = 2;
    bad[1].nonce_count = UINT64_MAX;
    bad[2].nonce_start = UINT64_MAX;
    bad[2].nonce_count = 2;
    bad[3].kind = (enum rr_hash_kind)3;
    bad[4].weight = RR_HASH_WEIGHT_MAX + 1;
    bad[5].kind = RR_HASH_ARGMIN;
    bad[5].nonce_count = 0;
    for (size_t i = 0; i < RR_COUNT(bad); i++) {
        uint64_t id = 77;
        assert_int_equal(rr_hash_submit(engine, &id, &bad[i], keep, &outcome, &fault),
                         RR_ERR_USAGE);
        assert_int_equal(id, 77);
        assert_true(strlen(fault.text) > 20);
    }
    /* The very end of the range is no wrap. */
    struct rr_hash_job last = make_job(RR_HASH_ARGMIN, 1, UINT64_MAX, 1);
    (void)submit(engine, &last, &outcome);
    await(&outcome);
    assert_int_equal(outcome.result.nonce, UINT64_MAX);
    assert_int_equal(outcome.result.hashes, 1);
    struct rr_hash_options options = {.share_percent = 101};
    struct rr_hash_engine *none = NULL;
    assert_int_equal(rr_hash_engine_new(&none, &small, &options, &fault), RR_ERR_USAGE);
    options = (struct rr_hash_options){.threads = RR_HASH_THREADS_MAX + 1};
    assert_int_equal(rr_hash_engine_new(&none, &small, &options, &fault), RR_ERR_LIMIT);
    assert_null(none);
    rr_hash_engine_free(engine);
}

/* Gives the job until a deadline, a longer one as long as a busy machine lets it make no hash. */
static void run_to_deadline(struct rr_hash_engine *engine, struct rr_hash_job *job,
                            struct outcome *outcome, uint64_t us)
{
    for (; us < UINT64_C(60) * 1000000; us *= 4) {
        uint64_t start_us = rr_monotonic_us(rr_clock_system());
        memset(outcome, 0, sizeof(*outcome));
        job->deadline_us = start_us + us;
        (void)submit(engine, job, outcome);
        await(outcome);
        assert_true(rr_monotonic_us(rr_clock_system()) - start_us >= us);
        if (outcome->result.hashes > 0) {
            return;
        }
        assert_int_equal(outcome->result.end, RR_HASH_NOTHING);
    }
    fail_msg("no hash within a minute");
}

static void argmin_ends_at_its_deadline_with_the_best_so_far(void **state)
{
    (void)state;
    for (uint32_t share = 5; share <= 100; share += 95) {
        struct rr_hash_engine *engine = NULL;
        struct rr_hash_options options = {
            .threads = 1, .share_percent = share, .dataset_bytes_max = WHOLE};
        assert_int_equal(rr_hash_engine_new(&engine, &small, &options, NULL), RR_OK);
        struct outcome outcome = {0};
        struct rr_hash_job job = make_job(RR_HASH_ARGMIN, 4, 1000, 0);
        run_to_deadline(engine, &job, &outcome, 100000);
        assert_int_equal(outcome.result.end, RR_HASH_FOUND);
        /* One thread gives all nonces in order: the law over as many must find the same. */
        job.nonce_count = outcome.result.hashes < 2000 ? outcome.result.hashes : 0;
        uint64_t nonce = 0;
        uint8_t final_be[32];
        if (job.nonce_count != 0) {
            assert_true(by_hand(rr_hash_engine_light(engine), &job, &nonce, final_be));
            assert_int_equal(outcome.result.nonce, nonce);
        }
        assert_true(outcome.result.nonce - 1000 < outcome.result.hashes);
        rr_hash_engine_free(engine);
    }
}

static void a_target_with_a_deadline_ends_with_nothing(void **state)
{
    (void)state;
    struct rr_hash_engine *engine = new_engine(2, WHOLE);
    struct outcome outcome = {0};
    struct outcome passed = {0};
    struct rr_hash_job job = make_job(RR_HASH_TARGET, 4, 0, 0);
    job.difficulty = rr_u256_max();
    run_to_deadline(engine, &job, &outcome, 20000);
    job.deadline_us = 1; /* long ago */
    (void)submit(engine, &job, &passed);
    await(&passed);
    assert_int_equal(passed.result.end, RR_HASH_NOTHING);
    assert_int_equal(outcome.result.end, RR_HASH_NOTHING);
    assert_false(outcome.result.found);
    assert_true(outcome.result.hashes > 0);
    rr_hash_engine_free(engine);
}

static void a_thousand_small_jobs_each_end_once_and_right(void **state)
{
    (void)state;
    enum { JOBS = 1000, NONCES = 20 };
    struct rr_hash_engine *engine = new_engine(2, WHOLE);
    struct outcome *outcomes = test_calloc(JOBS, sizeof(*outcomes));
    struct rr_hash_job jobs[JOBS];
    for (int i = 0; i < JOBS; i++) {
        jobs[i] = make_job(RR_HASH_ARGMIN, (uint8_t)i, (uint64_t)i * NONCES, NONCES);
        jobs[i].weight = 1 + (uint32_t)i % RR_HASH_WEIGHT_MAX;
        (void)submit(engine, &jobs[i], &outcomes[i]);
    }
    for (int i = 0; i < JOBS; i++) {
        await(&outcomes[i]);
        assert_int_equal(outcomes[i].result.end, RR_HASH_FOUND);
        assert_int_equal(outcomes[i].result.hashes, NONCES);
        if (i % 50 == 0) {
            uint64_t nonce = 0;
            uint8_t final_be[32];
            assert_true(by_hand(rr_hash_engine_light(engine), &jobs[i], &nonce, final_be));
            assert_int_equal(outcomes[i].result.nonce, nonce);
        }
    }
    rr_hash_engine_free(engine);
    test_free(outcomes);
}

static void cancel_under_load_calls_back_once_before_it_returns(void **state)
{
    (void)state;
    enum { JOBS = 300 };
    struct rr_hash_engine *engine = new_engine(2, WHOLE);
    struct outcome *outcomes = test_calloc(JOBS, sizeof(*outcomes));
    uint64_t ids[JOBS];
    for (int i = 0; i < JOBS; i++) {
        struct rr_hash_job job = make_job(RR_HASH_TARGET, (uint8_t)i, (uint64_t)i << 32, 0);
        job.difficulty = i % 3 == 0 ? rr_u256_of(500) : rr_u256_max();
        ids[i] = submit(engine, &job, &outcomes[i]);
    }
    unsigned cancelled = 0;
    for (int i = JOBS - 1; i >= 0; i--) {
        bool was = rr_hash_cancel(engine, ids[i]);
        assert_int_equal(atomic_load(&outcomes[i].calls), 1);
        assert_int_equal(was, outcomes[i].result.end == RR_HASH_CANCELLED);
        assert_true(was || i % 3 == 0);
        assert_false(rr_hash_cancel(engine, ids[i])); /* known no more */
        cancelled += was;
    }
    assert_true(cancelled >= JOBS * 2 / 3);
    assert_false(rr_hash_cancel(engine, 0));
    assert_false(rr_hash_cancel(engine, UINT64_MAX));
    rr_hash_engine_free(engine);
    for (int i = 0; i < JOBS; i++) {
        assert_int_equal(atomic_load(&outcomes[i].calls), 1);
    }
    test_free(outcomes);
}

static void a_cancelled_argmin_still_gives_its_best(void **state)
{
    (void)state;
    struct rr_hash_engine *engine = new_engine(1, WHOLE);
    struct outcome outcome = {0};
    struct rr_hash_job job = make_job(RR_HASH_ARGMIN, 6, 0, UINT64_MAX);
    uint64_t id = submit(engine, &job, &outcome);
    while (rr_hash_engine_rate(engine) == 0) {
        wait_ms(20);
    }
    assert_true(rr_hash_cancel(engine, id));
    assert_int_equal(outcome.result.end, RR_HASH_CANCELLED);
    assert_true(outcome.result.found);
    uint8_t mix[32];
    uint8_t final_be[32];
    rr_hash_light_compute(rr_hash_engine_light(engine), job.header_hash, outcome.result.nonce, mix,
                          final_be);
    assert_memory_equal(final_be, outcome.result.final_be, 32);
    assert_memory_equal(mix, outcome.result.mix, 32);
    rr_hash_engine_free(engine);
}

/* Several threads that submit and cancel at once: for the thread sanitizer above all. */
struct crowd {
    struct rr_hash_engine *engine;
    uint64_t seed;
    unsigned ended;
};

static void *submit_and_cancel(void *argument)
{
    struct crowd *crowd = argument;
    struct rr_prng prng;
    rr_prng_seed(&prng, crowd->seed);
    for (int round = 0; round < 100; round++) {
        struct outcome outcomes[8] = {0};
        uint64_t ids[8];
        for (size_t i = 0; i < 8; i++) {
            struct rr_hash_job job = make_job(
                rr_prng_below(&prng, 2) ? RR_HASH_TARGET : RR_HASH_ARGMIN,
                (uint8_t)rr_prng_u64(&prng), rr_prng_u64(&prng) >> 1, 1 + rr_prng_below(&prng, 60));
            job.deadline_us = rr_monotonic_us(rr_clock_system()) + rr_prng_below(&prng, 3000);
            RR_CHECK(rr_hash_submit(crowd->engine, &ids[i], &job, keep, &outcomes[i], NULL) ==
                     RR_OK);
        }
        for (size_t i = 0; i < 8; i++) {
            (void)rr_hash_cancel(crowd->engine, ids[i]);
            crowd->ended += atomic_load(&outcomes[i].calls);
        }
    }
    return NULL;
}

static void many_threads_submit_and_cancel_at_once(void **state)
{
    (void)state;
    enum { THREADS = 4 };
    struct rr_hash_engine *engine = new_engine(2, WHOLE);
    struct crowd crowds[THREADS];
    pthread_t threads[THREADS];
    for (size_t i = 0; i < THREADS; i++) {
        crowds[i] = (struct crowd){.engine = engine, .seed = test_seed() + i};
        assert_int_equal(pthread_create(&threads[i], NULL, submit_and_cancel, &crowds[i]), 0);
    }
    for (size_t i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_int_equal(crowds[i].ended, 800);
    }
    rr_hash_engine_free(engine);
}

static void free_ends_every_job_as_cancelled(void **state)
{
    (void)state;
    struct outcome outcomes[50] = {0};
    struct rr_hash_engine *engine = new_engine(2, 0);
    for (int i = 0; i < 50; i++) {
        struct rr_hash_job job = make_job(RR_HASH_TARGET, (uint8_t)i, 0, 0);
        job.difficulty = rr_u256_max();
        (void)submit(engine, &job, &outcomes[i]);
    }
    wait_ms(20);
    rr_hash_engine_free(engine);
    for (int i = 0; i < 50; i++) {
        assert_int_equal(atomic_load(&outcomes[i].calls), 1);
        assert_int_equal(outcomes[i].result.end, RR_HASH_CANCELLED);
    }
}

static void verify_equals_the_law(void **state)
{
    (void)state;
    struct rr_hash_engine *engine = new_engine(1, WHOLE);
    struct rr_hash_check checks[40] = {0};
    for (uint8_t i = 0; i < 40; i++) {
        memset(checks[i].header_hash, i, 32);
        checks[i].nonce = UINT64_MAX / 40 * i;
    }
    assert_int_equal(rr_hash_verify(engine, checks, 40, NULL), RR_OK);
    for (int i = 0; i < 40; i++) {
        uint8_t mix[32];
        uint8_t final_be[32];
        rr_hash_light_compute(rr_hash_engine_light(engine), checks[i].header_hash, checks[i].nonce,
                              mix, final_be);
        assert_memory_equal(checks[i].mix, mix, 32);
        assert_memory_equal(checks[i].final_be, final_be, 32);
    }
    rr_hash_engine_free(engine);
}

static uint64_t cpu_us(void)
{
    struct timespec time;
    assert_int_equal(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time), 0);
    return (uint64_t)time.tv_sec * 1000000 + (uint64_t)time.tv_nsec / 1000;
}

/* Processor time is what the share is of, so that a busy machine cannot spoil the test. */
static void the_share_of_time_is_kept(void **state)
{
    (void)state;
    struct rr_hash_engine *engine = NULL;
    struct rr_hash_options options = {
        .threads = 1, .share_percent = 10, .dataset_bytes_max = WHOLE};
    assert_int_equal(rr_hash_engine_new(&engine, &small, &options, NULL), RR_OK);
    struct outcome outcome = {0};
    struct rr_hash_job job = make_job(RR_HASH_ARGMIN, 6, 0, UINT64_MAX);
    uint64_t wall = rr_monotonic_us(rr_clock_system());
    uint64_t cpu = cpu_us();
    uint64_t id = submit(engine, &job, &outcome);
    do { /* until a hash was made, on a busy machine too */
        wait_ms(500);
    } while (rr_hash_engine_rate(engine) == 0);
    cpu = cpu_us() - cpu;
    wall = rr_monotonic_us(rr_clock_system()) - wall;
    assert_true(rr_hash_cancel(engine, id));
    rr_hash_engine_free(engine);
    print_message("%llu hashes, %llu of %llu us\n", (unsigned long long)outcome.result.hashes,
                  (unsigned long long)cpu, (unsigned long long)wall);
    assert_true(outcome.result.hashes > 0);
    assert_true(cpu * 100 < wall * 20);
}

/* ---- backends that are wrong --------------------------------------------------------------------
 */
static atomic_int lie; /* 0: honest, 1: wrong nonce in searches, 2: wrong in all */

static enum rr_err lying_search(void *epoch, uint32_t slot, struct hash_candidate *out,
                                const struct hash_work *works, size_t count, struct rr_fault *fault)
{
    enum rr_err err = hash_backend_cpu.search(epoch, slot, out, works, count, fault);
    for (size_t i = 0; i < count && atomic_load(&lie) != 0; i++) {
        out[i].nonce ^= out[i].found ? 1 : 0;
    }
    return err;
}

static enum rr_err lying_verify(void *epoch, struct rr_hash_check *checks, size_t count,
                                struct rr_fault *fault)
{
    enum rr_err err = hash_backend_cpu.verify(epoch, checks, count, fault);
    checks[count - 1].final_be[31] ^= atomic_load(&lie) == 2 ? 1 : 0;
    return err;
}

static struct hash_backend liar(void)
{
    struct hash_backend backend = hash_backend_cpu;
    backend.name = "liar";
    backend.search = lying_search;
    backend.verify = lying_verify;
    return backend;
}

static void a_wrong_backend_does_not_start(void **state)
{
    (void)state;
    struct hash_backend backend = liar();
    for (int how = 1; how <= 2; how++) {
        struct rr_fault fault = {0};
        struct rr_hash_engine *engine = NULL;
        struct rr_hash_options options = {.threads = 1, .dataset_bytes_max = WHOLE};
        atomic_store(&lie, how);
        assert_int_equal(hash_engine_new_on(&engine, &backend, &small, &options, 0, &fault),
                         RR_ERR_DAMAGED);
        assert_null(engine);
        assert_non_null(strstr(fault.text, "liar"));
    }
    atomic_store(&lie, 0);
}

static void a_wrong_result_never_leaves_and_stops_the_engine(void **state)
{
    (void)state;
    struct hash_backend backend = liar();
    struct rr_hash_engine *engine = NULL;
    struct rr_hash_options options = {.threads = 2, .dataset_bytes_max = WHOLE};
    assert_int_equal(hash_engine_new_on(&engine, &backend, &small, &options, 0, NULL), RR_OK);
    struct outcome endless = {0};
    struct outcome wrong = {0};
    struct rr_hash_job job = make_job(RR_HASH_TARGET, 1, 0, 0);
    job.difficulty = rr_u256_max();
    (void)submit(engine, &job, &endless);
    atomic_store(&lie, 1);
    job = make_job(RR_HASH_ARGMIN, 2, 0, 100);
    (void)submit(engine, &job, &wrong);
    await(&wrong);
    assert_int_equal(wrong.result.end, RR_HASH_FAILED);
    assert_false(wrong.result.found);
    await(&endless); /* all jobs end with the engine */
    assert_int_equal(endless.result.end, RR_HASH_FAILED);
    struct rr_fault fault = {0};
    uint64_t id = 0;
    assert_int_equal(rr_hash_submit(engine, &id, &job, keep, &wrong, &fault), RR_ERR_STATE);
    struct rr_hash_check check = {0};
    assert_int_equal(rr_hash_verify(engine, &check, 1, &fault), RR_ERR_STATE);
    atomic_store(&lie, 0);
    rr_hash_engine_free(engine);
}

static void a_backend_that_turns_wrong_is_found_by_the_next_proof(void **state)
{
    (void)state;
    struct hash_backend backend = liar();
    struct rr_hash_engine *engine = NULL;
    struct rr_hash_options options = {.threads = 1, .dataset_bytes_max = WHOLE};
    assert_int_equal(hash_engine_new_on(&engine, &backend, &small, &options, 20000, NULL), RR_OK);
    struct outcome endless = {0};
    struct rr_hash_job job = make_job(RR_HASH_TARGET, 1, 0, 0);
    job.difficulty = rr_u256_max();
    (void)submit(engine, &job, &endless);
    wait_ms(60); /* some honest proofs */
    assert_int_equal(atomic_load(&endless.calls), 0);
    atomic_store(&lie, 2);
    await(&endless);
    assert_int_equal(endless.result.end, RR_HASH_FAILED);
    atomic_store(&lie, 0);
    rr_hash_engine_free(engine);
}

int main(void)
{
    rr_log_set_level(RR_LOG_ERROR);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_kinds_equal_the_law_on_dataset_and_light),
        cmocka_unit_test(difficulty_one_is_solved_by_the_first_nonce),
        cmocka_unit_test(jobs_that_make_no_sense_are_refused),
        cmocka_unit_test(argmin_ends_at_its_deadline_with_the_best_so_far),
        cmocka_unit_test(a_target_with_a_deadline_ends_with_nothing),
        cmocka_unit_test(a_thousand_small_jobs_each_end_once_and_right),
        cmocka_unit_test(cancel_under_load_calls_back_once_before_it_returns),
        cmocka_unit_test(a_cancelled_argmin_still_gives_its_best),
        cmocka_unit_test(many_threads_submit_and_cancel_at_once),
        cmocka_unit_test(free_ends_every_job_as_cancelled),
        cmocka_unit_test(verify_equals_the_law),
        cmocka_unit_test(the_share_of_time_is_kept),
        cmocka_unit_test(a_wrong_backend_does_not_start),
        cmocka_unit_test(a_wrong_result_never_leaves_and_stops_the_engine),
        cmocka_unit_test(a_backend_that_turns_wrong_is_found_by_the_next_proof),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

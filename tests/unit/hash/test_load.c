/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Very many jobs: cancelled at random, and as fast as a device that answers at once. */
#include "unit/hash/doubles_jobs.h"

static bool is_short(void)
{
    return getenv("RR_SHORT") != NULL;
}

/* ---- cancelled at random -----------------------------------------------------------------------
 */
struct many {
    struct rr_hash_engine *engine;
    uint64_t seed;
    unsigned jobs, cancelled, ended;
};

static void *submit_and_cancel(void *argument)
{
    enum { HELD = 50 };
    struct many *many = argument;
    struct outcome *outcomes = rr_alloc_array(HELD, sizeof(*outcomes));
    uint64_t ids[HELD];
    struct rr_prng prng;
    rr_prng_seed(&prng, many->seed);
    for (unsigned done = 0; done < many->jobs; done += HELD) {
        for (size_t i = 0; i < HELD; i++) {
            enum rr_hash_kind kind = rr_prng_below(&prng, 2) ? RR_HASH_TARGET : RR_HASH_ARGMIN;
            struct rr_hash_job job =
                make_job(kind, (uint8_t)rr_prng_u64(&prng), rr_prng_u64(&prng) >> 1,
                         1 + rr_prng_below(&prng, 90));
            job.weight = (uint32_t)rr_prng_below(&prng, RR_HASH_WEIGHT_MAX + 1);
            job.difficulty = rr_prng_below(&prng, 2) ? rr_u256_of(60) : rr_u256_max();
            if (rr_prng_below(&prng, 3) == 0) {
                job.nonce_count = rr_prng_below(&prng, 2) ? job.nonce_count : UINT64_MAX >> 1;
                job.deadline_us = hash_now_us() + rr_prng_below(&prng, 20000);
            }
            atomic_store(&outcomes[i].calls, 0);
            RR_CHECK(rr_hash_submit(many->engine, &ids[i], &job, keep, &outcomes[i], NULL) ==
                     RR_OK);
        }
        size_t order[HELD];
        for (size_t i = 0; i < HELD; i++) {
            size_t at = (size_t)rr_prng_below(&prng, i + 1);
            order[i] = i;
            size_t other = order[at];
            order[at] = i;
            order[i] = other;
        }
        for (size_t n = 0; n < HELD; n++) {
            size_t i = order[n];
            if (rr_prng_below(&prng, 20) == 0) {
                wait_ms((long)rr_prng_below(&prng, 4));
            }
            bool was = rr_hash_cancel(many->engine, ids[i]);
            RR_CHECK(atomic_load(&outcomes[i].calls) == 1); /* has run, once */
            RR_CHECK(outcomes[i].result.job_id == ids[i]);
            RR_CHECK(was == (outcomes[i].result.end == RR_HASH_CANCELLED));
            many->cancelled += was;
            many->ended++;
        }
        for (size_t i = 0; i < HELD; i++) {
            RR_CHECK(atomic_load(&outcomes[i].calls) == 1); /* no answer came later */
        }
    }
    rr_free(outcomes);
    return NULL;
}

static void ten_thousand_jobs_are_cancelled_at_random(void **state)
{
    (void)state;
    enum { THREADS = 4 };
    tell_again();
    told[0][1] = (struct told){.there = true, .slots = 2, .works_max = 5, .fail_after = -1};
    struct hash_kit kit = double_kit();
    struct many many[THREADS];
    pthread_t threads[THREADS];
    struct rr_hash_engine *engine = engine_on(&kit, "red");
    for (size_t i = 0; i < THREADS; i++) {
        many[i] = (struct many){
            .engine = engine, .seed = test_seed() + i, .jobs = is_short() ? 500 : 2500};
        assert_int_equal(pthread_create(&threads[i], NULL, submit_and_cancel, &many[i]), 0);
    }
    unsigned cancelled = 0;
    for (size_t i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_int_equal(many[i].ended, many[i].jobs);
        cancelled += many[i].cancelled;
    }
    print_message("%u of %u were cancelled before their end\n", cancelled, many[0].jobs * THREADS);
    assert_true(cancelled > 0 && cancelled < many[0].jobs * THREADS);
    assert_int_equal(status_of(engine, "red:0").in_flight, 0);
    rr_hash_engine_free(engine);
}

/* ---- the scheduler alone -----------------------------------------------------------------------
 */
struct tally {
    atomic_uint ended, nothing;
    atomic_ullong hashes;
};

static void count(void *ctx, const struct rr_hash_result *result)
{
    struct tally *tally = ctx;
    atomic_fetch_add(&tally->nothing, result->end == RR_HASH_NOTHING);
    atomic_fetch_add(&tally->hashes, result->hashes);
    atomic_fetch_add(&tally->ended, 1);
}

static void a_hundred_thousand_small_jobs_go_through_a_device_that_answers_at_once(void **state)
{
    (void)state;
    enum { NONCES = 10000 };
    unsigned jobs = is_short() ? 5000 : 100000;
    tell_again();
    told[0][0].slots = 2;
    told[0][0].works_max = 4096;
    told[0][0].step = 128;
    atomic_store(&told[0][0].null, true);
    struct hash_kit kit = double_kit();
    struct rr_hash_engine *engine = engine_on(&kit, "red");
    struct tally tally = {0};
    uint64_t start = hash_now_us();
    for (unsigned i = 0; i < jobs; i++) {
        struct rr_hash_job job = make_job(RR_HASH_TARGET, (uint8_t)i, i, NONCES);
        uint64_t id = 0;
        while (rr_hash_submit(engine, &id, &job, count, &tally, NULL) == RR_ERR_LIMIT) {
            wait_ms(1);
        }
    }
    while (atomic_load(&tally.ended) < jobs) {
        wait_ms(1);
    }
    uint64_t us = hash_now_us() - start;
    struct rr_hash_device_status status = status_of(engine, "red:0");
    print_message("%u jobs in %llu ms: %llu jobs/s, %llu quanta, %llu Mhash/s\n", jobs,
                  (unsigned long long)us / 1000, (unsigned long long)jobs * 1000000 / us,
                  (unsigned long long)status.quanta, (unsigned long long)jobs * NONCES / us);
    assert_int_equal(atomic_load(&tally.nothing), jobs);
    assert_int_equal(atomic_load(&tally.hashes), (unsigned long long)jobs * NONCES);
    assert_int_equal(status.hashes, (uint64_t)jobs * NONCES);
    rr_hash_engine_free(engine);

    /* Quanta of one large job: what a launch costs here. */
    engine = engine_on(&kit, "red");
    struct rr_hash_job job = make_job(RR_HASH_TARGET, 1, 0, 0);
    struct outcome outcome = {0};
    uint64_t id = submit(engine, &job, &outcome);
    start = hash_now_us();
    await_count(&told[0][0].searches, atomic_load(&told[0][0].searches) + 1000);
    wait_ms(is_short() ? 20 : 300);
    us = hash_now_us() - start;
    print_message("%llu quanta/s of one job\n",
                  (unsigned long long)status_of(engine, "red:0").quanta * 1000000 / us);
    assert_true(rr_hash_cancel(engine, id));
    rr_hash_engine_free(engine);
}

int main(void)
{
    rr_log_set_level((enum rr_log_level)0);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ten_thousand_jobs_are_cancelled_at_random),
        cmocka_unit_test(a_hundred_thousand_small_jobs_go_through_a_device_that_answers_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

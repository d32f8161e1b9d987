/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What users get: many small jobs beside one large one, latencies, the whole engine. */
#include "bench/gpu_bench.h"
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define JOBS       5000u
#define JOB_NONCES 10000u

static uint32_t jobs_count(const struct gpu_bench *bench)
{
    return bench->dry ? 8 : JOBS;
}
static uint32_t job_nonces(const struct gpu_bench *bench)
{
    return bench->dry ? 300 : JOB_NONCES;
}

/* Slow cards do fewer rounds. */
static bool is_late(uint64_t start_us, unsigned seconds)
{
    return kit_now_us() - start_us > seconds * UINT64_C(1000000);
}

static bool standard_epoch(struct gpu_bench *bench)
{
    struct rr_hash_params params = size_params(bench, GPU_BENCH_EPOCH);
    double unused = 0;
    if (bench->epoch != NULL && bench->epoch->params.dataset_items == params.dataset_items) {
        return true;
    }
    return run_epoch(bench, &params, &unused, &unused);
}

void jobs_tune(struct gpu_bench *bench)
{
    struct hash_tuning best = {""};
    struct rr_fault fault = {0};
    if (!standard_epoch(bench)) {
        return;
    }
    uint32_t before = bench->device->blocks_max;
    bench->device->blocks_max = bench->dry ? 2 : before;
    uint64_t start = kit_now_us();
    kit_check(hash_backend_cuda.tune(bench->epoch, &best, &fault), "tune", &fault);
    double seconds = (double)(kit_now_us() - start) / 1e6;
    bench->device->blocks_max = before;
    kit_say("  %s in %.2f s", best.text, seconds);
    kit_json(",\n  \"tune\": {\"winner\": \"%s\", \"seconds\": %.3f}", best.text, seconds);
}

/* ---- the backend, two streams -------------------------------------------------------------------
 */
struct half {
    struct gpu_bench *bench;
    const struct hash_work *works;
    struct hash_candidate *found;
    size_t count;
    uint32_t slot;
    pthread_t thread;
};

static void *search_half(void *argument)
{
    const struct half *half = argument;
    struct rr_fault fault = {0};
    for (size_t first = 0; first < half->count; first += CUDA_WORKS_MAX) {
        size_t part = half->count - first < CUDA_WORKS_MAX ? half->count - first : CUDA_WORKS_MAX;
        kit_check(hash_backend_cuda.search(half->bench->epoch, half->slot, half->found + first,
                                           half->works + first, part, &fault),
                  "search", &fault);
    }
    return NULL;
}

/* Hashes per second of works that two streams share. */
static double search_all(struct gpu_bench *bench, const struct hash_work *works, size_t count,
                         struct hash_candidate *found)
{
    struct half halves[2] = {
        {bench, works, found, count / 2, 0, 0},
        {bench, works + count / 2, found + count / 2, count - count / 2, 1, 0}};
    uint64_t start = kit_now_us();
    for (int i = 0; i < 2; i++) {
        RR_CHECK(pthread_create(&halves[i].thread, NULL, search_half, &halves[i]) == 0);
    }
    for (int i = 0; i < 2; i++) {
        (void)pthread_join(halves[i].thread, NULL);
    }
    double seconds = (double)(kit_now_us() - start + 1) / 1e6;
    uint64_t hashes = 0;
    for (size_t i = 0; i < count; i++) {
        hashes += found[i].done;
    }
    return (double)hashes / seconds;
}

static void small_against_large(struct gpu_bench *bench)
{
    uint32_t count = jobs_count(bench);
    struct hash_work *works = rr_alloc_array(count, sizeof(*works));
    struct hash_candidate *found = rr_alloc_array(count, sizeof(*found));
    for (uint32_t i = 0; i < count; i++) {
        works[i] = (struct hash_work){.count = job_nonces(bench), .kind = RR_HASH_ARGMIN};
        rr_prng_bytes(&bench->prng, works[i].header_hash, 32);
        works[i].nonce = rr_prng_u64(&bench->prng) / 2;
    }
    struct hash_work large[2] = {works[0], works[0]};
    large[0].count = count / 2 * job_nonces(bench);
    large[1].nonce += large[0].count;
    large[1].count = (count - count / 2) * job_nonces(bench);
    struct kit_times many = {.count = 0};
    struct kit_times one = {.count = 0};
    uint64_t start = kit_now_us();
    for (int round = 0; round < (bench->dry ? 1 : 5) && !is_late(start, 20); round++) {
        kit_add(&one, search_all(bench, large, 2, found));
        kit_add(&many, search_all(bench, works, count, found));
    }
    double ratio = kit_median(&many) / kit_median(&one);
    kit_say("  %" PRIu32 " jobs of %" PRIu32 " nonces: %.2f MH/s, one of all: %.2f MH/s, %.3f",
            count, job_nonces(bench), kit_median(&many) / 1e6, kit_median(&one) / 1e6, ratio);
    kit_json(",\n  \"small_jobs\": {\"jobs\": %" PRIu32 ", \"nonces\": %" PRIu32
             ", \"mh_per_s\": %.3f, \"one_job_mh_per_s\": %.3f, \"ratio\": %.4f}",
             count, job_nonces(bench), kit_median(&many) / 1e6, kit_median(&one) / 1e6, ratio);
    rr_free(works);
    rr_free(found);
}

static void latencies(struct gpu_bench *bench)
{
    struct rr_fault fault = {0};
    kit_json(",\n  \"quanta\": [");
    uint32_t most = bench->dry ? 256 : 1u << 21;
    for (uint32_t nonces = bench->dry ? 128 : 1u << 14; nonces <= most; nonces *= 2) {
        struct kit_times ms = {.count = 0};
        struct hash_work work = {.count = nonces, .kind = RR_HASH_ARGMIN};
        for (int i = 0; i < (bench->dry ? 2 : 21); i++) {
            struct hash_candidate found;
            uint64_t start = kit_now_us();
            kit_check(hash_backend_cuda.search(bench->epoch, 0, &found, &work, 1, &fault), "search",
                      &fault);
            kit_add(&ms, (double)(kit_now_us() - start) / 1e3);
            work.nonce += nonces;
        }
        double rate = nonces / (kit_median(&ms) * 1e3 + 1e-3);
        kit_say("  a search of %7" PRIu32 " nonces: %.3f ms (%.3f to %.3f), %.2f MH/s alone",
                nonces, kit_median(&ms), kit_least(&ms), kit_most(&ms), rate);
        kit_json("%s\n    {\"nonces\": %" PRIu32 ", \"ms\": %.4f, \"min\": %.4f, \"max\": %.4f}",
                 nonces > (bench->dry ? 128 : 1u << 14) ? "," : "", nonces, kit_median(&ms),
                 kit_least(&ms), kit_most(&ms));
    }
    kit_json("\n  ],\n  \"verify\": [");
    static struct rr_hash_check checks[4096];
    rr_prng_bytes(&bench->prng, checks, sizeof(checks));
    static const size_t counts[] = {1, 128, 4096};
    for (size_t c = 0; c < RR_COUNT(counts) - (bench->dry ? 1 : 0); c++) {
        struct kit_times ms = {.count = 0};
        for (int i = 0; i < (bench->dry ? 1 : 21); i++) {
            uint64_t start = kit_now_us();
            kit_check(hash_backend_cuda.verify(bench->epoch, checks, counts[c], &fault), "verify",
                      &fault);
            kit_add(&ms, (double)(kit_now_us() - start) / 1e3);
        }
        kit_say("  %4zu checks: %.3f ms", counts[c], kit_median(&ms));
        kit_json("%s\n    {\"checks\": %zu, \"ms\": %.4f}", c > 0 ? "," : "", counts[c],
                 kit_median(&ms));
    }
    kit_json("\n  ]");
}

void jobs_bare(struct gpu_bench *bench)
{
    if (!standard_epoch(bench)) {
        return;
    }
    small_against_large(bench);
    latencies(bench);
}

/* ---- the engine ---------------------------------------------------------------------------------
 */
struct tally {
    pthread_mutex_t lock;
    pthread_cond_t all;
    uint32_t waiting, wrong;
    uint64_t hashes;
};

static void count_done(void *ctx, const struct rr_hash_result *result)
{
    struct tally *tally = ctx;
    (void)pthread_mutex_lock(&tally->lock);
    tally->hashes += result->hashes;
    tally->wrong += result->end == RR_HASH_FOUND ? 0 : 1;
    tally->waiting--;
    (void)pthread_cond_signal(&tally->all);
    (void)pthread_mutex_unlock(&tally->lock);
}

/* Hashes per second of `count` argmin jobs of `nonces` through the engine. */
static double engine_rate(struct gpu_bench *bench, struct rr_hash_engine *engine, uint32_t count,
                          uint64_t nonces)
{
    struct tally tally = {.waiting = count};
    RR_CHECK(pthread_mutex_init(&tally.lock, NULL) == 0 &&
             pthread_cond_init(&tally.all, NULL) == 0);
    struct rr_fault fault = {0};
    uint64_t start = kit_now_us();
    for (uint32_t i = 0; i < count; i++) {
        struct rr_hash_job job = {.nonce_count = nonces, .kind = RR_HASH_ARGMIN};
        rr_prng_bytes(&bench->prng, job.header_hash, 32);
        uint64_t id = 0;
        kit_check(rr_hash_submit(engine, &id, &job, count_done, &tally, &fault), "submit", &fault);
    }
    (void)pthread_mutex_lock(&tally.lock);
    while (tally.waiting > 0) {
        (void)pthread_cond_wait(&tally.all, &tally.lock);
    }
    (void)pthread_mutex_unlock(&tally.lock);
    double seconds = (double)(kit_now_us() - start + 1) / 1e6;
    kit_holds(bench, tally.wrong == 0,
              count > 1 ? "small jobs of the engine" : "a job of the engine");
    (void)pthread_cond_destroy(&tally.all);
    (void)pthread_mutex_destroy(&tally.lock);
    return (double)tally.hashes / seconds;
}

void jobs_engine(struct gpu_bench *bench)
{
    struct rr_hash_params params = size_params(bench, GPU_BENCH_EPOCH);
    struct rr_fault fault = {0};
    struct rr_hash_engine *engine = NULL;
    struct rr_hash_options options = {.devices = bench->about.id, .threads = bench->dry ? 1 : 0};
    run_drop(bench); /* a card may have room for one dataset only */
    uint64_t start = kit_now_us();
    kit_check(rr_hash_engine_new(&engine, &params, &options, &fault), "engine", &fault);
    double start_s = (double)(kit_now_us() - start) / 1e6;
    kit_say("  engine up in %.2f s: %s", start_s, rr_hash_engine_text(engine));
    kit_json(",\n  \"engine\": {\"text\": \"%s\", \"start_s\": %.3f, \"checks\": [",
             rr_hash_engine_text(engine), start_s);
    uint32_t count = jobs_count(bench);
    uint64_t all = (uint64_t)count * job_nonces(bench);
    (void)engine_rate(bench, engine, 1, all); /* warms quanta up */
    struct kit_times many = {.count = 0};
    struct kit_times one = {.count = 0};
    start = kit_now_us();
    for (int round = 0; round < (bench->dry ? 1 : 5) && !is_late(start, 40); round++) {
        kit_json(",");
        kit_add(&one, engine_rate(bench, engine, 1, all * (bench->dry ? 1 : 4)));
        kit_json(",");
        kit_add(&many, engine_rate(bench, engine, count, job_nonces(bench)));
    }
    static struct rr_hash_device_status status[RR_HASH_DEVICES_MAX];
    size_t devices = rr_hash_engine_devices(engine, status, RR_HASH_DEVICES_MAX);
    for (size_t i = 0; i < devices; i++) {
        if (strcmp(status[i].device.id, bench->about.id) == 0) {
            kit_json("], \"quanta\": %" PRIu64 ", \"last_quantum_us\": %" PRIu64
                     ", \"failed_checks\": %" PRIu64 ", \"errors\": %" PRIu64,
                     status[i].quanta, status[i].last_quantum_us, status[i].failed_checks,
                     status[i].errors);
        }
    }
    kit_say("  one job %.2f MH/s, %" PRIu32 " small ones %.2f MH/s", kit_median(&one) / 1e6, count,
            kit_median(&many) / 1e6);
    kit_json(",\n    \"one_job_mh_per_s\": %.3f, \"small_jobs_mh_per_s\": %.3f, \"ratio\": %.4f}",
             kit_median(&one) / 1e6, kit_median(&many) / 1e6, kit_median(&many) / kit_median(&one));
    rr_hash_engine_free(engine);
}

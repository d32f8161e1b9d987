/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Small jobs through the engine's door: thousands of headers against one of the same total. */
#include "bench/bench_hash.h"
#include "hash/hash.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

/* A network of its own: a dataset beyond the second cache that is made in a second. */
#define CACHE_ITEMS   16381u  /* prime; 1 MiB */
#define DATASET_ITEMS 524287u /* prime; 64 MiB */
#define RUNS          3

struct tally {
    pthread_mutex_t lock;
    pthread_cond_t all;
    uint32_t left;
    uint64_t hashes;
    bool wrong;
};

static void done(void *ctx, const struct rr_hash_result *result)
{
    struct tally *tally = ctx;
    (void)pthread_mutex_lock(&tally->lock);
    tally->hashes += result->hashes;
    tally->wrong = tally->wrong || result->end != RR_HASH_FOUND;
    if (--tally->left == 0) {
        (void)pthread_cond_signal(&tally->all);
    }
    (void)pthread_mutex_unlock(&tally->lock);
}

/* Hashes per second of the clock, from the first job's submission to the last one's end. */
static enum rr_err run_jobs(double *per_s, struct rr_hash_engine *engine, uint32_t jobs,
                            uint64_t each, uint64_t salt, struct rr_fault *fault)
{
    struct tally tally = {.left = jobs};
    enum rr_err err = RR_OK;
    RR_CHECK(pthread_mutex_init(&tally.lock, NULL) == 0 &&
             pthread_cond_init(&tally.all, NULL) == 0);
    uint64_t from_us = rr_monotonic_us(rr_clock_system());
    uint32_t taken = 0;
    while (taken < jobs && err == RR_OK) {
        struct rr_hash_job job = {.nonce_start = salt, .nonce_count = each, .kind = RR_HASH_ARGMIN};
        uint64_t id;
        memcpy(job.header_hash, &taken, sizeof taken);
        memcpy(job.header_hash + 8, &salt, sizeof salt);
        err = rr_hash_submit(engine, &id, &job, done, &tally, fault);
        taken += err == RR_OK ? 1 : 0;
    }
    (void)pthread_mutex_lock(&tally.lock);
    tally.left -= jobs - taken;
    while (tally.left > 0) {
        (void)pthread_cond_wait(&tally.all, &tally.lock);
    }
    (void)pthread_mutex_unlock(&tally.lock);
    uint64_t took_us = rr_monotonic_us(rr_clock_system()) - from_us;
    (void)pthread_cond_destroy(&tally.all);
    (void)pthread_mutex_destroy(&tally.lock);
    if (err == RR_OK && (tally.wrong || tally.hashes != jobs * each)) {
        err = rr_fail(fault, RR_ERR_DAMAGED, "jobs ended without a result or with lost hashes");
    }
    *per_s = (double)(jobs * each) * 1e6 / (double)(took_us > 0 ? took_us : 1);
    return err;
}

static enum rr_err measure(struct hash_table *table, struct rr_hash_engine *engine,
                           uint32_t threads, uint32_t jobs, uint32_t each, struct rr_fault *fault)
{
    char what[96];
    struct bench_row *row = hash_table_row(table);
    *row = (struct bench_row){.name = "small_jobs",
                              .variant = rr_ethash_kernels_choose(UINT32_MAX)->name,
                              .unit = "hashes/s",
                              .limit_name = "one job of their total",
                              .threads = threads,
                              .runs = RUNS};
    (void)snprintf(what, sizeof what, "%u argmin jobs of %u nonces, dataset 64 MiB", (unsigned)jobs,
                   (unsigned)each);
    row->what = hash_table_text(table, what);
    enum rr_err err = RR_OK;
    for (uint32_t turn = 0; turn < RUNS && err == RR_OK; turn++) {
        err = run_jobs(&row->limit[turn], engine, 1, (uint64_t)jobs * each, turn, fault);
        if (err == RR_OK) {
            err = run_jobs(&row->ours[turn], engine, jobs, each, turn, fault);
        }
    }
    return err;
}

enum rr_err hash_small_jobs(struct hash_table *table, const struct hash_world *world,
                            struct rr_fault *fault)
{
    const struct rr_hash_params params = {.cache_items = CACHE_ITEMS,
                                          .dataset_items = DATASET_ITEMS};
    enum rr_err err = RR_OK;
    for (uint32_t threads = 1; threads <= world->threads && err == RR_OK; threads++) {
        const struct rr_hash_options options = {
            .threads = threads, .dataset_bytes_max = UINT64_C(1) << 30, .devices = "cpu"};
        struct rr_hash_engine *engine = NULL;
        err = rr_hash_engine_new(&engine, &params, &options, fault);
        if (err == RR_OK) {
            err = measure(table, engine, threads, 5000, 128, fault);
        }
        if (err == RR_OK) {
            err = measure(table, engine, threads, 50, 10000, fault);
        }
        rr_hash_engine_free(engine);
    }
    return err;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Answers: the best nonce of each job is made again by the light law, then its owner is told; what
 * a wrong device did is taken out first. */
#include "hash/hash_engine.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define NICE_OF_CHECKS 15
#define BATCH          32 /* of the batched light law */

/* clang-format off */
static RR_COUNTER(cancelled_total, "reelrig_hash_cancelled_total",
                  "Jobs cancelled before their end")
static RR_COUNTER(stale_total, "reelrig_hash_stale_total", "Jobs ended by a switch of epochs")
static RR_COUNTER(results_total, "reelrig_hash_results_total",
                  "Results that the light law confirmed")
static RR_COUNTER(redone_total, "reelrig_hash_redone_total",
                  "Jobs searched again because a device was wrong")
    /* clang-format on */

    /* The engine whose callback runs on this thread: cancelling from there would wait for itself.
     */
    static _Thread_local const struct rr_hash_engine *in_callback;

bool hash_in_callback(const struct rr_hash_engine *engine)
{
    return in_callback == engine;
}

void hash_queue(struct rr_hash_engine *engine, struct hash_job *job)
{
    job->claimed = true;
    job->ready_next = NULL;
    if (engine->ready_first == NULL) {
        engine->ready_first = job;
    } else {
        engine->ready_last->ready_next = job;
    }
    engine->ready_last = job;
    engine->ready_count++;
    if (engine->idle_checkers > 0) {
        (void)pthread_cond_signal(&engine->ready);
    }
}

/* ---- the check ----------------------------------------------------------------------------------
 */
struct batch {
    struct hash_job *jobs[BATCH];
    struct rr_hash_result results[BATCH];
    size_t count;
};

/* Takes what wrong devices did out of a claimed job. True when it is to be searched again. */
static bool search_again(struct rr_hash_engine *engine, struct hash_job *job)
{
    job->claimed = false;
    if (hash_undo_wrong(engine, job)) {
        rr_counter_add(&redone_total, 1);
    }
    if (job->ring_next == NULL) {
        job->claimed = true;
        return false;
    }
    bool stale = job->epoch != engine->epoch;
    if (engine->broken || stale || job->waiters > 0) {
        job->failed = engine->broken;
        job->stale = stale;
        job->cancelled = job->waiters > 0;
        hash_jobs_stop(&engine->jobs, job);
        job->claimed = true;
        return false;
    }
    hash_stir(engine);
    return true;
}

/* By the light law, the whole batch: found is false where the device was wrong. Claimed jobs change
 * only on the thread that claimed them: no lock. */
static void confirm(struct batch *batch)
{
    struct rr_hash_check checks[BATCH];
    const struct hash_job *of[BATCH] = {NULL};
    struct rr_hash_result *into[BATCH] = {NULL};
    size_t count = 0;
    uint64_t start_us = hash_now_us();
    for (size_t i = 0; i < batch->count; i++) {
        const struct hash_job *job = batch->jobs[i];
        uint64_t offset = job->best.nonce - job->spec.nonce_start;
        if (job->best.found && !job->failed && job->best.nonce <= job->last &&
            offset <= job->last - job->spec.nonce_start) {
            memcpy(checks[count].header_hash, job->spec.header_hash, 32);
            checks[count].nonce = job->best.nonce;
            of[count] = job;
            into[count++] = &batch->results[i];
        }
    }
    for (size_t i = 0, run = 0; i < count; i += run) {
        for (run = 1; i + run < count && of[i + run]->epoch == of[i]->epoch;) {
            run++;
        }
        hash_check_many(of[i]->epoch, checks + i, run);
    }
    for (size_t i = 0; i < count; i++) {
        const struct hash_job *job = of[i];
        into[i]->found = memcmp(checks[i].final_be, job->best.final_be, 32) == 0 &&
                         (job->spec.kind != RR_HASH_TARGET ||
                          memcmp(checks[i].final_be, job->boundary_be, 32) <= 0);
        if (into[i]->found) {
            into[i]->nonce = checks[i].nonce;
            memcpy(into[i]->mix, checks[i].mix, 32);
            memcpy(into[i]->final_be, checks[i].final_be, 32);
        }
    }
    rr_counter_add(&hash_checked_us, hash_now_us() - start_us);
}

static uint64_t worth(const struct hash_job *job)
{
    if (job->spec.kind == RR_HASH_ARGMIN) {
        return job->hashes;
    }
    return rr_u256_saturate_u64(job->spec.difficulty);
}

static void accept(struct rr_hash_engine *engine, const struct hash_job *job)
{
    struct hash_device *device = &engine->devices[job->best_of.device];
    uint64_t gain = worth(job);
    device->status.accepted++;
    device->worth = gain > UINT64_MAX - device->worth ? UINT64_MAX : device->worth + gain;
    rr_counter_add(&results_total, 1);
}

static void refuse(struct rr_hash_engine *engine, const struct hash_job *job)
{
    struct hash_device *device = &engine->devices[job->best_of.device];
    char why[200];
    (void)snprintf(why, sizeof why, "gave nonce %" PRIu64 ", which the light law refuses",
                   job->best.nonce);
    device->status.rejected++;
    device->status.failed_checks++;
    rr_counter_add(&hash_failed_total, 1);
    hash_device_wrong(device, job->best_of.life, why);
}

/* After the check: true when the job is to be delivered as it is, or is to be searched again (then
 * *again). False: its best was refused or undone, the next one is to be checked. Lock held. */
static bool settled(struct rr_hash_engine *engine, struct hash_job *job,
                    const struct rr_hash_result *result, bool *again)
{
    *again = false;
    if (job->best.found && !job->failed) {
        if (!result->found) {
            refuse(engine, job);
            *again = search_again(engine, job);
            return *again;
        }
        if (job->best_of.life <= engine->devices[job->best_of.device].wrong_life) {
            *again = search_again(engine, job);
            return *again;
        }
        accept(engine, job);
    }
    *again = search_again(engine, job);
    return true;
}

/* Checks the batch until the best of each job holds, or nothing is left of it; those that are
 * searched again leave the batch. Lock held at call and return, not meanwhile. */
static void check(struct rr_hash_engine *engine, struct batch *batch)
{
    struct batch open = *batch;
    batch->count = 0;
    while (open.count > 0) {
        size_t count = open.count;
        for (size_t i = 0; i < count; i++) {
            open.results[i] =
                (struct rr_hash_result){.job_id = open.jobs[i]->id, .hashes = open.jobs[i]->hashes};
        }
        (void)pthread_mutex_unlock(&engine->lock);
        confirm(&open);
        (void)pthread_mutex_lock(&engine->lock);
        open.count = 0;
        for (size_t i = 0; i < count; i++) {
            bool again = false;
            if (!settled(engine, open.jobs[i], &open.results[i], &again)) {
                open.jobs[open.count++] = open.jobs[i];
            } else if (!again) {
                batch->jobs[batch->count] = open.jobs[i];
                batch->results[batch->count++] = open.results[i];
            }
        }
    }
}

static enum rr_hash_end end_of(const struct hash_job *job, const struct rr_hash_result *result)
{
    return job->cancelled  ? RR_HASH_CANCELLED
           : job->stale    ? RR_HASH_STALE
           : job->failed   ? RR_HASH_FAILED
           : result->found ? RR_HASH_FOUND
                           : RR_HASH_NOTHING;
}

/* Runs the callbacks of claimed and checked jobs. Lock held at call and return, not meanwhile. The
 * jobs may be freed on return. */
static void tell(struct rr_hash_engine *engine, struct batch *batch)
{
    for (size_t i = 0; i < batch->count; i++) {
        struct rr_hash_result *result = &batch->results[i];
        result->end = end_of(batch->jobs[i], result);
        rr_counter_add(&cancelled_total, result->end == RR_HASH_CANCELLED);
        rr_counter_add(&stale_total, result->end == RR_HASH_STALE);
    }
    (void)pthread_mutex_unlock(&engine->lock);
    const struct rr_hash_engine *outer = in_callback;
    in_callback = engine;
    for (size_t i = 0; i < batch->count; i++) {
        batch->jobs[i]->done(batch->jobs[i]->ctx, &batch->results[i]);
    }
    in_callback = outer;
    (void)pthread_mutex_lock(&engine->lock);
    bool waited = false;
    for (size_t i = 0; i < batch->count; i++) {
        struct hash_job *job = batch->jobs[i];
        job->end = batch->results[i].end;
        job->gone = true;
        hash_jobs_remove(&engine->jobs, job);
        hash_epoch_drop(engine, job->epoch);
        waited = waited || job->waiters > 0;
        if (job->waiters == 0) {
            rr_free(job);
        }
    }
    if (waited) {
        (void)pthread_cond_broadcast(&engine->gone);
    }
}

static void deliver(struct rr_hash_engine *engine, struct batch *batch)
{
    check(engine, batch);
    if (batch->count > 0) {
        tell(engine, batch);
    }
}

void hash_deliver_one(struct rr_hash_engine *engine, struct hash_job *job)
{
    struct batch batch = {.jobs = {job}, .count = 1};
    deliver(engine, &batch);
}

bool hash_deliver_some(struct rr_hash_engine *engine)
{
    struct batch batch;
    batch.count = 0;
    /* What costs a light hash each is spread over the checkers. */
    size_t most = engine->ready_count / (engine->checker_count + 1) + 1;
    while (batch.count < most && batch.count < BATCH && engine->ready_first != NULL) {
        batch.jobs[batch.count++] = engine->ready_first;
        engine->ready_first = engine->ready_first->ready_next;
        engine->ready_count--;
    }
    if (batch.count == 0) {
        return false;
    }
    if (engine->ready_first != NULL && engine->idle_checkers > 0) {
        (void)pthread_cond_signal(&engine->ready);
    }
    deliver(engine, &batch);
    return true;
}

void *hash_checker_body(void *argument)
{
    struct rr_hash_engine *engine = argument;
    (void)setpriority(PRIO_PROCESS, (id_t)gettid(), NICE_OF_CHECKS);
    (void)pthread_mutex_lock(&engine->lock);
    while (!engine->stopping) {
        if (!hash_deliver_some(engine)) {
            engine->idle_checkers++;
            (void)pthread_cond_wait(&engine->ready, &engine->lock);
            engine->idle_checkers--;
        }
    }
    hash_thread_leaves(engine);
    return NULL;
}

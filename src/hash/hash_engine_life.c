/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The life of a job: submitted, in the ring, in flight, ready, claimed by the one that checks it
 * and tells its owner (hash_engine_answers.c), gone. */
#include "hash/hash_engine.h"
#include <inttypes.h>

/* clang-format off */
static RR_COUNTER(jobs_total, "reelrig_hash_jobs_total", "Jobs taken")
    /* clang-format on */

    /* ---- ready jobs
     * ---------------------------------------------------------------------------------
     */
    void hash_job_settle(struct rr_hash_engine *engine, struct hash_job *job)
{
    if (hash_job_ready(job) && job->cancelled && job->waiters > 0) {
        (void)pthread_cond_broadcast(&engine->gone); /* who cancels delivers, whatever other
                                                        callbacks do meanwhile */
    } else if (hash_job_ready(job)) {
        hash_queue(engine, job);
    } else if (job->ring_next != NULL && engine->idle > 0) {
        (void)pthread_cond_signal(&engine->work);
    }
}

void hash_jobs_for_each(struct rr_hash_engine *engine,
                        void (*visit)(struct rr_hash_engine *engine, struct hash_job *job))
{
    for (size_t i = 0; i < HASH_BUCKETS; i++) {
        for (struct hash_job *job = engine->jobs.buckets[i]; job != NULL; job = job->bucket_next) {
            visit(engine, job);
        }
    }
}

void hash_job_fail(struct rr_hash_engine *engine, struct hash_job *job)
{
    if (!job->claimed) {
        job->failed = true;
        hash_jobs_stop(&engine->jobs, job);
        hash_job_settle(engine, job);
    }
}

void hash_job_stale(struct rr_hash_engine *engine, struct hash_job *job)
{
    if (!job->claimed) {
        job->stale = true;
        hash_jobs_stop(&engine->jobs, job);
        hash_job_settle(engine, job);
    }
}

/* ---- submitting and cancelling ------------------------------------------------------------------
 */
static enum rr_err check_job(const struct rr_hash_job *job, struct rr_fault *fault)
{
    if (job->kind != RR_HASH_TARGET && job->kind != RR_HASH_ARGMIN) {
        return rr_fail(fault, RR_ERR_USAGE, "hash job of kind %d; only target and argmin are known",
                       (int)job->kind);
    }
    if (job->nonce_count > 0 && job->nonce_count - 1 > UINT64_MAX - job->nonce_start) {
        return rr_fail(fault, RR_ERR_USAGE,
                       "%" PRIu64 " nonces from %" PRIu64 " go past the end of the 64-bit range; "
                       "split the range",
                       job->nonce_count, job->nonce_start);
    }
    if (job->kind == RR_HASH_TARGET && rr_u256_is_zero(job->difficulty)) {
        return rr_fail(fault, RR_ERR_USAGE, "hash job with difficulty 0; the least is 1");
    }
    if (job->kind == RR_HASH_ARGMIN && job->nonce_count == 0 && job->deadline_us == 0) {
        return rr_fail(fault, RR_ERR_USAGE,
                       "argmin job with neither a count nor a deadline would never end");
    }
    if (job->weight > RR_HASH_WEIGHT_MAX) {
        return rr_fail(fault, RR_ERR_USAGE, "hash job of weight %" PRIu32 "; choose 1 to %d",
                       job->weight, RR_HASH_WEIGHT_MAX);
    }
    return RR_OK;
}

/* Lock held. */
static enum rr_err enter_job(struct rr_hash_engine *engine, struct hash_job *job, uint64_t *job_id,
                             struct rr_fault *fault)
{
    if (engine->broken || engine->stopping) {
        return rr_fail(fault, RR_ERR_STATE, "the hash engine is off: %s",
                       engine->broken ? "no device is left; see the log, then restart one"
                                      : "it is being closed");
    }
    if (engine->jobs.count >= RR_HASH_JOBS_MAX) {
        return rr_fail(fault, RR_ERR_LIMIT,
                       "%d hash jobs are waiting already; try again when some have ended",
                       RR_HASH_JOBS_MAX);
    }
    job->epoch = engine->epoch;
    hash_epoch_hold(job->epoch);
    hash_jobs_add(&engine->jobs, job);
    *job_id = job->id;
    rr_counter_add(&jobs_total, 1);
    if (engine->idle > 0) {
        (void)pthread_cond_signal(&engine->work);
    }
    if (engine->jobs.deadlines.count > 0 && engine->jobs.deadlines.at[0] == job) {
        (void)pthread_cond_signal(&engine->due);
    }
    return RR_OK;
}

enum rr_err rr_hash_submit(struct rr_hash_engine *engine, uint64_t *job_id,
                           const struct rr_hash_job *spec,
                           void (*done)(void *ctx, const struct rr_hash_result *result), void *ctx,
                           struct rr_fault *fault)
{
    enum rr_err err = check_job(spec, fault);
    if (err != RR_OK) {
        return err;
    }
    struct hash_job *job = rr_alloc(sizeof(*job));
    job->spec = *spec;
    job->spec.weight = spec->weight == 0 ? 1 : spec->weight;
    job->done = done;
    job->ctx = ctx;
    job->next = spec->nonce_start;
    job->last = spec->nonce_count == 0 ? UINT64_MAX : spec->nonce_start + (spec->nonce_count - 1);
    if (spec->kind == RR_HASH_TARGET) {
        rr_u256_to_be(job->boundary_be, rr_hash_boundary(spec->difficulty));
    }
    (void)pthread_mutex_lock(&engine->lock);
    err = enter_job(engine, job, job_id, fault);
    (void)pthread_mutex_unlock(&engine->lock);
    if (err != RR_OK) {
        rr_free(job);
    }
    return err;
}

bool rr_hash_cancel(struct rr_hash_engine *engine, uint64_t job_id)
{
    bool cancelled = false;
    RR_CHECK(!hash_in_callback(engine));
    (void)pthread_mutex_lock(&engine->lock);
    struct hash_job *job = hash_jobs_find(&engine->jobs, job_id);
    if (job != NULL) {
        job->waiters++;
        if (!job->claimed) {
            job->cancelled = true;
            hash_jobs_stop(&engine->jobs, job);
        }
        while (!job->gone) {
            if (hash_job_ready(job)) {
                job->claimed = true;
                hash_deliver_one(engine, job);
            } else {
                (void)pthread_cond_wait(&engine->gone, &engine->lock);
            }
        }
        cancelled = job->end == RR_HASH_CANCELLED;
        job->waiters--;
        if (job->waiters == 0) {
            rr_free(job);
        }
    }
    (void)pthread_mutex_unlock(&engine->lock);
    return cancelled;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Threads of the engine and the life of a job: submitted, in the ring, in flight, over, claimed by
 * the one thread that calls `done`, gone. One lock guards all of it; hashes and callbacks run
 * outside. */
#include "hash/hash_jobs.h"
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define QUANTUM_NS      1500000 /* spec 10, 2: 1 to 2 ms */
#define QUANTUM_HASHES  4096    /* at most */
#define WORKS_AT_ONCE   16      /* small jobs share a quantum */
#define PROOF_US        (UINT64_C(3600) * 1000000)
#define RATE_WINDOW_US  1000000
#define NICE_OF_THREADS 19

/* clang-format off */
static RR_COUNTER(hashes_total, "reelrig_hash_hashes_total", "Hashes made by the engine")
static RR_COUNTER(quanta_total, "reelrig_hash_quanta_total", "Runs given to a backend")
static RR_COUNTER(jobs_total, "reelrig_hash_jobs_total", "Jobs taken")
static RR_COUNTER(cancelled_total, "reelrig_hash_cancelled_total",
                  "Jobs cancelled before their end")
static RR_COUNTER(results_total, "reelrig_hash_results_total",
                  "Results that the light law confirmed")
static RR_COUNTER(failed_total, "reelrig_hash_selfcheck_failed_total",
                  "Results and proofs that the light law refused")
static RR_GAUGE(rate_gauge, "reelrig_hash_rate", "Hashes per second over the last second")
    /* clang-format on */

    struct rr_hash_engine {
    const struct hash_backend *backend;
    void *device, *epoch;
    struct hash_opened opened;
    char text[64]; /* of people: "cpu, dataset" */
    struct rr_hash_light *light;
    uint32_t share_percent;
    uint64_t proof_us;

    pthread_mutex_t lock;
    pthread_cond_t wake; /* nonces to search, or the end */
    pthread_cond_t gone; /* a job's callback has returned */
    /* all below under lock */
    struct hash_jobs jobs;
    bool stopping;
    bool broken; /* the backend was wrong once: off until the next start */
    uint32_t quantum;
    uint64_t ns_per_hash; /* running mean of what a thread takes; 0: not known yet */
    uint64_t next_proof_us;
    uint64_t hashes, window_hashes, window_start_us, rate;

    pthread_t *threads;
    uint32_t thread_count, slots_taken;
};

/* The engine whose callback runs on this thread: cancelling from there would wait for itself. */
static _Thread_local const struct rr_hash_engine *in_callback;

static uint64_t now_us(void)
{
    return rr_monotonic_us(rr_clock_system());
}

/* ---- the end of a job ---------------------------------------------------------------------------
 */
/* Recomputes the best nonce by the light law. False when the backend was wrong. */
static bool confirm(const struct rr_hash_engine *engine, const struct hash_job *job,
                    struct rr_hash_result *result)
{
    const struct hash_candidate *best = &job->best;
    uint64_t offset = best->nonce - job->spec.nonce_start;
    if (best->nonce > job->last || offset > job->last - job->spec.nonce_start) {
        return false;
    }
    rr_hash_light_compute(engine->light, job->spec.header_hash, best->nonce, result->mix,
                          result->final_be);
    result->nonce = best->nonce;
    if (memcmp(result->final_be, best->final_be, 32) != 0) {
        return false;
    }
    return job->spec.kind != RR_HASH_TARGET || memcmp(result->final_be, job->boundary_be, 32) <= 0;
}

static void stop_all(struct rr_hash_engine *engine);

/* Ends a job that this thread has claimed. Lock held at call and return, not while done runs. The
 * job may be freed on return. */
static void deliver(struct rr_hash_engine *engine, struct hash_job *job)
{
    struct rr_hash_result result = {.job_id = job->id, .hashes = job->hashes};
    bool broken = engine->broken;
    result.end = job->cancelled ? RR_HASH_CANCELLED : RR_HASH_NOTHING;
    (void)pthread_mutex_unlock(&engine->lock);

    if (!broken && job->best.found) {
        result.found = confirm(engine, job, &result);
        broken = !result.found;
        rr_counter_add(result.found ? &results_total : &failed_total, 1);
        if (broken) {
            rr_log(
                RR_LOG_ERROR, "hash",
                "backend %s gave nonce %" PRIu64
                ", which the light law refuses; it is switched off: check memory and clocks, then "
                "restart",
                engine->backend->name, job->best.nonce);
        } else if (!job->cancelled) {
            result.end = RR_HASH_FOUND;
        }
    }
    if (broken && !job->cancelled) {
        result.end = RR_HASH_FAILED;
    }
    if (!result.found) {
        result.nonce = 0;
        memset(result.mix, 0, sizeof(result.mix));
        memset(result.final_be, 0, sizeof(result.final_be));
    }
    rr_counter_add(&cancelled_total, result.end == RR_HASH_CANCELLED ? 1 : 0);
    const struct rr_hash_engine *outer = in_callback;
    in_callback = engine;
    job->done(job->ctx, &result);
    in_callback = outer;

    (void)pthread_mutex_lock(&engine->lock);
    job->end = result.end;
    job->gone = true;
    hash_jobs_remove(&engine->jobs, job);
    if (job->waiters == 0) {
        rr_free(job);
    } else {
        (void)pthread_cond_broadcast(&engine->gone);
    }
    if (broken && !engine->broken) {
        engine->broken = true;
        stop_all(engine);
    }
}

static void deliver_if_ready(struct rr_hash_engine *engine, struct hash_job *job)
{
    if (hash_job_ready(job)) {
        job->claimed = true;
        deliver(engine, job);
    }
}

/* Takes all jobs out of the ring whose deadline is not after now_us, and delivers those that nobody
 * works on. Claiming them first keeps them alive while the lock is open during a delivery. */
static void stop_until(struct rr_hash_engine *engine, uint64_t until_us)
{
    struct hash_jobs *jobs = &engine->jobs;
    struct hash_job *ready = NULL;
    uint64_t first_us = UINT64_MAX;
    struct hash_job *job = jobs->ring;
    struct hash_job *last = job != NULL ? job->ring_before : NULL;
    while (job != NULL) {
        struct hash_job *next = job == last ? NULL : job->ring_next;
        uint64_t deadline_us = job->spec.deadline_us != 0 ? job->spec.deadline_us : UINT64_MAX;
        if (deadline_us <= until_us) {
            hash_jobs_stop(jobs, job);
            if (hash_job_ready(job)) {
                job->claimed = true;
                job->ring_next = ready; /* out of the ring: the link is free for this list */
                ready = job;
            }
        } else if (deadline_us < first_us) {
            first_us = deadline_us;
        }
        job = next;
    }
    jobs->first_deadline_us = first_us;
    while (ready != NULL) {
        job = ready;
        ready = job->ring_next;
        job->ring_next = NULL;
        deliver(engine, job);
    }
}

static void stop_all(struct rr_hash_engine *engine)
{
    stop_until(engine, UINT64_MAX);
}

/* ---- threads ------------------------------------------------------------------------------------
 */
static void count_rate(struct rr_hash_engine *engine, uint64_t now)
{
    uint64_t passed = now - engine->window_start_us;
    if (passed >= RATE_WINDOW_US) {
        engine->rate = (engine->hashes - engine->window_hashes) * 1000000 / passed;
        engine->window_hashes = engine->hashes;
        engine->window_start_us = now;
        rr_gauge_set(&rate_gauge, engine->rate);
    }
}

static void tune(struct rr_hash_engine *engine, uint64_t busy_us, uint64_t hashes)
{
    if (hashes == 0) {
        return;
    }
    uint64_t ns = busy_us * 1000 / hashes + 1;
    engine->ns_per_hash = engine->ns_per_hash == 0 ? ns : (engine->ns_per_hash * 7 + ns) / 8;
    uint64_t quantum = QUANTUM_NS / engine->ns_per_hash;
    quantum = quantum < QUANTUM_HASHES ? quantum : QUANTUM_HASHES;
    engine->quantum = quantum > 0 ? (uint32_t)quantum : 1;
}

/* One quantum. Lock held at call and return. Gives the time it was busy. */
static uint64_t run_quantum(struct rr_hash_engine *engine, uint32_t slot)
{
    struct hash_job *jobs[WORKS_AT_ONCE];
    struct hash_work works[WORKS_AT_ONCE];
    struct hash_candidate found[WORKS_AT_ONCE];
    size_t count = 0;
    uint32_t room = engine->quantum;
    while (count < WORKS_AT_ONCE && room > 0) {
        struct hash_job *job = hash_jobs_take(&engine->jobs, &works[count], engine->quantum, room);
        if (job == NULL) {
            break;
        }
        room -= works[count].count;
        jobs[count++] = job;
    }
    (void)pthread_mutex_unlock(&engine->lock);
    uint64_t start = now_us();
    memset(found, 0, sizeof(found));
    struct rr_fault fault = {0};
    enum rr_err err = engine->backend->search(engine->epoch, slot, found, works, count, &fault);
    uint64_t end = now_us();
    (void)pthread_mutex_lock(&engine->lock);

    if (err != RR_OK) {
        rr_log_fault(RR_LOG_ERROR, "hash", &fault);
        memset(found, 0, sizeof(found));
        engine->broken = true;
    }
    uint64_t hashes = 0;
    for (size_t i = 0; i < count; i++) {
        hashes += found[i].done;
    }
    engine->hashes += hashes;
    rr_counter_add(&hashes_total, hashes);
    rr_counter_add(&quanta_total, 1);
    tune(engine, end - start, hashes);
    count_rate(engine, end);
    /* All are brought back before the first delivery opens the lock; a job can be there twice. */
    for (size_t i = 0; i < count; i++) {
        hash_jobs_return(&engine->jobs, jobs[i], &found[i]);
    }
    struct hash_job *ready[WORKS_AT_ONCE];
    size_t ready_count = 0;
    for (size_t i = 0; i < count; i++) {
        if (hash_job_ready(jobs[i])) {
            jobs[i]->claimed = true;
            ready[ready_count++] = jobs[i];
        }
    }
    for (size_t i = 0; i < ready_count; i++) {
        deliver(engine, ready[i]);
    }
    if (err != RR_OK) {
        stop_all(engine);
    }
    return end - start;
}

static void prove_again(struct rr_hash_engine *engine, uint32_t slot, uint64_t now)
{
    engine->next_proof_us = now + engine->proof_us;
    (void)pthread_mutex_unlock(&engine->lock);
    struct rr_fault fault = {0};
    enum rr_err err =
        hash_backend_prove(engine->backend, engine->epoch, slot, engine->light, &fault);
    if (err != RR_OK) {
        rr_counter_add(&failed_total, 1);
        rr_log_fault(RR_LOG_ERROR, "hash", &fault);
    }
    (void)pthread_mutex_lock(&engine->lock);
    if (err != RR_OK && !engine->broken) {
        engine->broken = true;
        stop_all(engine);
    }
}

static void wait_until(struct rr_hash_engine *engine, uint64_t until_us)
{
    struct timespec until = {.tv_sec = (time_t)(until_us / 1000000),
                             .tv_nsec = (long)(until_us % 1000000) * 1000};
    (void)pthread_cond_timedwait(&engine->wake, &engine->lock, &until);
}

static void *work(void *argument)
{
    struct rr_hash_engine *engine = argument;
    /* Searching may take what others leave; refused priorities cost no correctness. */
    (void)setpriority(PRIO_PROCESS, (id_t)gettid(), NICE_OF_THREADS);
    uint64_t rest_until_us = 0;
    (void)pthread_mutex_lock(&engine->lock);
    uint32_t slot = engine->slots_taken++;
    while (!engine->stopping) {
        uint64_t now = now_us();
        if (engine->jobs.ring != NULL && now >= engine->jobs.first_deadline_us) {
            stop_until(engine, now);
        } else if (engine->jobs.ring == NULL) {
            (void)pthread_cond_wait(&engine->wake, &engine->lock);
        } else if (now < rest_until_us) {
            uint64_t deadline_us = engine->jobs.first_deadline_us;
            wait_until(engine, rest_until_us < deadline_us ? rest_until_us : deadline_us);
        } else if (now >= engine->next_proof_us) {
            prove_again(engine, slot, now);
        } else {
            uint64_t busy_us = run_quantum(engine, slot);
            uint32_t share = engine->share_percent;
            rest_until_us = share < 100 ? now_us() + busy_us * (100 - share) / share : 0;
        }
    }
    (void)pthread_mutex_unlock(&engine->lock);
    return NULL;
}

static enum rr_err start_threads(struct rr_hash_engine *engine, uint32_t count,
                                 struct rr_fault *fault)
{
    enum rr_err err = RR_OK;
    sigset_t all;
    sigset_t before;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all,
                          &before); /* signals belong to the program's own threads */
    engine->threads = rr_alloc_array(count, sizeof(*engine->threads));
    while (engine->thread_count < count) {
        int number = pthread_create(&engine->threads[engine->thread_count], NULL, work, engine);
        if (number != 0) {
            errno = number;
            err = rr_fail_errno(fault,
                                "cannot start thread %" PRIu32 " of %" PRIu32
                                " for hashing; lower hash.threads or raise the limit of tasks",
                                engine->thread_count + 1, count);
            break;
        }
        engine->thread_count++;
    }
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    return err;
}

/* ---- engine -------------------------------------------------------------------------------------
 */
static uint32_t usable_cores(void)
{
    cpu_set_t set;
    long online = sysconf(_SC_NPROCESSORS_ONLN);
    int count = sched_getaffinity(0, sizeof(set), &set) == 0 ? CPU_COUNT(&set) : (int)online;
    return count < 1 ? 1 : count > RR_HASH_THREADS_MAX ? RR_HASH_THREADS_MAX : (uint32_t)count;
}

static enum rr_err check_options(const struct rr_hash_options *options, struct rr_fault *fault)
{
    if (options->threads > RR_HASH_THREADS_MAX) {
        return rr_fail(fault, RR_ERR_LIMIT,
                       "%" PRIu32 " threads for hashing; at most %d are possible", options->threads,
                       RR_HASH_THREADS_MAX);
    }
    if (options->share_percent > 100) {
        return rr_fail(fault, RR_ERR_USAGE, "a share of %" PRIu32 " percent; choose 1 to 100",
                       options->share_percent);
    }
    return RR_OK;
}

static void free_parts(struct rr_hash_engine *engine)
{
    if (engine->epoch != NULL) {
        engine->backend->release(engine->epoch);
    }
    if (engine->device != NULL) {
        engine->backend->close(engine->device);
    }
    rr_hash_light_free(engine->light);
    rr_free(engine->threads);
    (void)pthread_cond_destroy(&engine->gone);
    (void)pthread_cond_destroy(&engine->wake);
    (void)pthread_mutex_destroy(&engine->lock);
    rr_free(engine);
}

static struct rr_hash_engine *new_engine(const struct hash_backend *backend,
                                         const struct rr_hash_options *options, uint64_t proof_us)
{
    struct rr_hash_engine *engine = rr_alloc(sizeof(*engine));
    engine->backend = backend;
    engine->share_percent = options->share_percent == 0 ? 100 : options->share_percent;
    engine->proof_us = proof_us;
    engine->quantum = 1; /* until the first one is measured */
    engine->window_start_us = now_us();
    engine->next_proof_us = proof_us != 0 ? engine->window_start_us + proof_us : UINT64_MAX;
    hash_jobs_init(&engine->jobs);
    pthread_condattr_t monotonic;
    RR_CHECK(pthread_condattr_init(&monotonic) == 0 &&
             pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC) == 0 &&
             pthread_mutex_init(&engine->lock, NULL) == 0 &&
             pthread_cond_init(&engine->wake, &monotonic) == 0 &&
             pthread_cond_init(&engine->gone, &monotonic) == 0);
    (void)pthread_condattr_destroy(&monotonic);
    return engine;
}

/* Opens the backend's first device and prepares it. */
static enum rr_err open_device(struct rr_hash_engine *engine, const struct rr_hash_params *params,
                               const struct rr_hash_options *options, uint32_t threads,
                               struct rr_fault *fault)
{
    const struct hash_backend *backend = engine->backend;
    struct rr_hash_device device = {0};
    if (backend->list(&device, 1) == 0 || device.why_not[0] != '\0') {
        return rr_fail(fault, RR_ERR_UNSUPPORTED, "hash backend %s is not usable: %s",
                       backend->name, device.why_not);
    }
    struct hash_open how = {.threads = threads};
    struct hash_setup setup = {.params = *params,
                               .light = engine->light,
                               .dataset_bytes_max = options->dataset_bytes_max,
                               .threads = threads};
    enum rr_err err = backend->open(&engine->device, &engine->opened, &device, &how, fault);
    if (err == RR_OK) {
        err = backend->prepare(&engine->epoch, engine->device, &setup, fault);
    }
    if (err == RR_OK) {
        (void)snprintf(engine->text, sizeof engine->text, "%s, %s", backend->name,
                       backend->text(engine->epoch));
        err = hash_backend_prove(backend, engine->epoch, 0, engine->light, fault);
        rr_counter_add(&failed_total, err == RR_OK ? 0 : 1);
    }
    return err;
}

enum rr_err hash_engine_new_on(struct rr_hash_engine **out, const struct hash_backend *backend,
                               const struct rr_hash_params *params,
                               const struct rr_hash_options *options, uint64_t proof_us,
                               struct rr_fault *fault)
{
    enum rr_err err = check_options(options, fault);
    if (err == RR_OK) {
        err = hash_params_check(params, fault);
    }
    if (err != RR_OK) {
        return err;
    }
    uint32_t threads = options->threads == 0 ? usable_cores() : options->threads;
    struct rr_hash_engine *engine = new_engine(backend, options, proof_us);
    err = rr_hash_light_new(&engine->light, params, fault);
    if (err == RR_OK) {
        err = open_device(engine, params, options, threads, fault);
    }
    if (err == RR_OK) {
        err = start_threads(engine, engine->opened.slots, fault);
        if (err != RR_OK) {
            rr_hash_engine_free(engine);
            return err;
        }
    }
    if (err != RR_OK) {
        free_parts(engine);
        return err;
    }
    *out = engine;
    return RR_OK;
}

enum rr_err rr_hash_engine_new(struct rr_hash_engine **out, const struct rr_hash_params *params,
                               const struct rr_hash_options *options, struct rr_fault *fault)
{
    return hash_engine_new_on(out, &hash_backend_cpu, params, options, PROOF_US, fault);
}

void rr_hash_engine_free(struct rr_hash_engine *engine)
{
    if (engine == NULL) {
        return;
    }
    RR_CHECK(in_callback != engine);
    (void)pthread_mutex_lock(&engine->lock);
    engine->stopping = true;
    for (size_t i = 0; i < HASH_BUCKETS; i++) {
        for (struct hash_job *job = engine->jobs.buckets[i]; job != NULL; job = job->bucket_next) {
            if (!job->claimed) {
                job->cancelled = true;
            }
        }
    }
    (void)pthread_cond_broadcast(&engine->wake);
    (void)pthread_mutex_unlock(&engine->lock);
    for (uint32_t i = 0; i < engine->thread_count; i++) {
        (void)pthread_join(engine->threads[i], NULL);
    }
    (void)pthread_mutex_lock(&engine->lock);
    stop_all(engine);
    RR_CHECK(engine->jobs.count == 0);
    (void)pthread_mutex_unlock(&engine->lock);
    free_parts(engine);
}

const struct rr_hash_light *rr_hash_engine_light(const struct rr_hash_engine *engine)
{
    return engine->light;
}

const char *rr_hash_engine_text(const struct rr_hash_engine *engine)
{
    return engine->text;
}

uint64_t rr_hash_engine_rate(struct rr_hash_engine *engine)
{
    (void)pthread_mutex_lock(&engine->lock);
    count_rate(engine, now_us());
    uint64_t rate = engine->rate;
    (void)pthread_mutex_unlock(&engine->lock);
    return rate;
}

/* ---- jobs ---------------------------------------------------------------------------------------
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
    if (engine->broken || engine->stopping) {
        err = rr_fail(
            fault, RR_ERR_STATE, "the hash engine is off: its backend %s %s", engine->backend->name,
            engine->broken ? "gave wrong results; see the log, then restart" : "is being closed");
    } else if (engine->jobs.count >= RR_HASH_JOBS_MAX) {
        err = rr_fail(fault, RR_ERR_LIMIT,
                      "%d hash jobs are waiting already; try again when some have ended",
                      RR_HASH_JOBS_MAX);
    } else {
        hash_jobs_add(&engine->jobs, job);
        *job_id = job->id;
        job = NULL;
        rr_counter_add(&jobs_total, 1);
        (void)pthread_cond_broadcast(&engine->wake);
    }
    (void)pthread_mutex_unlock(&engine->lock);
    rr_free(job);
    return err;
}

bool rr_hash_cancel(struct rr_hash_engine *engine, uint64_t job_id)
{
    bool cancelled = false;
    RR_CHECK(in_callback != engine);
    (void)pthread_mutex_lock(&engine->lock);
    struct hash_job *job = hash_jobs_find(&engine->jobs, job_id);
    if (job != NULL) {
        job->waiters++;
        if (!job->claimed) {
            job->cancelled = true;
            hash_jobs_stop(&engine->jobs, job);
            deliver_if_ready(engine, job);
        }
        while (!job->gone) {
            (void)pthread_cond_wait(&engine->gone, &engine->lock);
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

enum rr_err rr_hash_verify(struct rr_hash_engine *engine, struct rr_hash_check *checks,
                           size_t count, struct rr_fault *fault)
{
    (void)pthread_mutex_lock(&engine->lock);
    bool broken = engine->broken;
    (void)pthread_mutex_unlock(&engine->lock);
    if (broken) {
        return rr_fail(
            fault, RR_ERR_STATE,
            "the hash engine is off: its backend %s gave wrong results; see the log, then "
            "restart",
            engine->backend->name);
    }
    return engine->backend->verify(engine->epoch, checks, count, fault);
}

/* ---- devices ------------------------------------------------------------------------------------
 */
size_t rr_hash_devices(struct rr_hash_device *out, size_t max)
{
    return hash_backend_cpu.list(out, max);
}

size_t rr_hash_engine_devices(struct rr_hash_engine *engine, struct rr_hash_device_status *out,
                              size_t max)
{
    struct rr_hash_device device = {0};
    if (max == 0 || engine->backend->list(&device, 1) == 0) {
        return 0;
    }
    uint64_t rate = rr_hash_engine_rate(engine);
    (void)pthread_mutex_lock(&engine->lock);
    *out = (struct rr_hash_device_status){.device = device,
                                          .state = engine->broken ? RR_HASH_DEVICE_WRONG
                                                                  : RR_HASH_DEVICE_RUNNING,
                                          .hashes = engine->hashes,
                                          .rate = rate,
                                          .effective_rate = rate};
    (void)snprintf(out->text, sizeof out->text, "%s", engine->backend->text(engine->epoch));
    (void)pthread_mutex_unlock(&engine->lock);
    return 1;
}

void rr_hash_engine_set_share(struct rr_hash_engine *engine, uint32_t cpu_percent,
                              uint32_t gpu_percent)
{
    (void)gpu_percent;
    (void)pthread_mutex_lock(&engine->lock);
    engine->share_percent = cpu_percent == 0 || cpu_percent > 100 ? 100 : cpu_percent;
    (void)pthread_mutex_unlock(&engine->lock);
}

static enum rr_err no_such(const char *id, struct rr_fault *fault)
{
    return rr_fail(fault, RR_ERR_NOTFOUND, "no hash device %s that can do this", id);
}

enum rr_err rr_hash_device_pause(struct rr_hash_engine *engine, const char *id, const char *why,
                                 struct rr_fault *fault)
{
    (void)engine;
    (void)why;
    return no_such(id, fault);
}

enum rr_err rr_hash_device_restart(struct rr_hash_engine *engine, const char *id,
                                   struct rr_fault *fault)
{
    (void)engine;
    return no_such(id, fault);
}

enum rr_err rr_hash_device_tune(struct rr_hash_engine *engine, const char *id, char text[static 96],
                                struct rr_fault *fault)
{
    (void)engine;
    (void)text;
    return no_such(id, fault);
}

enum rr_err rr_hash_engine_prepare_next(struct rr_hash_engine *engine,
                                        const struct rr_hash_params *params, struct rr_fault *fault)
{
    (void)engine;
    return hash_params_check(params, fault);
}

bool rr_hash_engine_next_ready(struct rr_hash_engine *engine)
{
    (void)engine;
    return false;
}

enum rr_err rr_hash_engine_switch(struct rr_hash_engine *engine,
                                  const struct rr_hash_params *params, struct rr_fault *fault)
{
    (void)engine;
    (void)params;
    return rr_fail(fault, RR_ERR_UNSUPPORTED, "this engine keeps one epoch");
}

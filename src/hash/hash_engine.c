/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The engine's beginning and end, its threads, and what it says of itself. */
#include "hash/hash_engine.h"
#include <inttypes.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

const struct hash_times hash_times_default = {
    .proof_us = UINT64_C(3600) * 1000000, /* spec 10, 2: hourly */
    .hang_us = UINT64_C(10) * 1000000,    /* spec 10, 2: no quantum in 10 s */
    .backoff_us = UINT64_C(5) * 1000000,  /* ours: a driver's own reset takes a few seconds */
    .steady_us = UINT64_C(3600) * 1000000,
    .restarts_max = 6, /* ours: 5, 10, .. 160 s; then it is no passing fault */
};

/* clang-format off */
RR_COUNTER(hash_hashes_total, "reelrig_hash_hashes_total", "Hashes made by the engine")
RR_COUNTER(hash_quanta_total, "reelrig_hash_quanta_total", "Runs given to a backend")
RR_COUNTER(hash_failed_total, "reelrig_hash_selfcheck_failed_total",
           "Results and proofs that the light law refused")
RR_COUNTER(hash_checked_us, "reelrig_hash_selfcheck_us_total",
           "Processor time of checks by the light law and of proofs, in microseconds")
static RR_COUNTER(leaked_total, "reelrig_hash_leaked_total",
                  "Engines whose memory stays with a device that hangs")
    /* clang-format on */

    uint64_t hash_now_us(void)
{
    return rr_monotonic_us(rr_clock_system());
}

/* ---- threads ------------------------------------------------------------------------------------
 */
void hash_wait(struct rr_hash_engine *engine, pthread_cond_t *cond, uint64_t until_us)
{
    if (until_us == UINT64_MAX) {
        (void)pthread_cond_wait(cond, &engine->lock);
        return;
    }
    struct timespec until = {.tv_sec = (time_t)(until_us / 1000000),
                             .tv_nsec = (long)(until_us % 1000000) * 1000};
    (void)pthread_cond_timedwait(cond, &engine->lock, &until);
}

void hash_stir(struct rr_hash_engine *engine)
{
    (void)pthread_cond_broadcast(&engine->work);
    (void)pthread_cond_broadcast(&engine->change);
}

int hash_thread_start(struct rr_hash_engine *engine, pthread_t *thread, void *(*body)(void *),
                      void *argument)
{
    sigset_t all;
    sigset_t before;
    (void)sigfillset(&all); /* signals belong to the program's own threads */
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    int number = pthread_create(thread, NULL, body, argument);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    engine->threads_alive += number == 0;
    return number;
}

static void free_parts(struct rr_hash_engine *engine);

void hash_thread_leaves(struct rr_hash_engine *engine)
{
    engine->threads_alive--;
    bool last = engine->orphan && engine->threads_alive == 0;
    (void)pthread_cond_broadcast(&engine->change);
    (void)pthread_mutex_unlock(&engine->lock);
    if (last) {
        free_parts(engine);
    }
}

/* ---- beginning ----------------------------------------------------------------------------------
 */
static uint32_t usable_cores(void)
{
    cpu_set_t set;
    long online = sysconf(_SC_NPROCESSORS_ONLN);
    int count = sched_getaffinity(0, sizeof(set), &set) == 0 ? CPU_COUNT(&set) : (int)online;
    return count < 1 ? 1 : count > RR_HASH_THREADS_MAX ? RR_HASH_THREADS_MAX : (uint32_t)count;
}

static struct rr_hash_engine *new_engine(const struct hash_kit *kit,
                                         const struct rr_hash_options *options)
{
    struct rr_hash_engine *engine = rr_alloc(sizeof(*engine));
    engine->kit = *kit;
    engine->threads = options->threads == 0 ? usable_cores() : options->threads;
    engine->dataset_bytes_max = options->dataset_bytes_max;
    engine->light_first = options->light_first;
    engine->tuning = options->tuning;
    engine->cpu_percent = options->share_percent == 0 ? 100 : options->share_percent;
    engine->gpu_percent = options->gpu_share_percent == 0 ? 100 : options->gpu_share_percent;
    hash_jobs_init(&engine->jobs);
    pthread_condattr_t monotonic;
    RR_CHECK(pthread_condattr_init(&monotonic) == 0 &&
             pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC) == 0 &&
             pthread_mutex_init(&engine->lock, NULL) == 0 &&
             pthread_mutex_init(&engine->tuning_lock, NULL) == 0 &&
             pthread_cond_init(&engine->work, &monotonic) == 0 &&
             pthread_cond_init(&engine->change, &monotonic) == 0 &&
             pthread_cond_init(&engine->gone, &monotonic) == 0 &&
             pthread_cond_init(&engine->due, &monotonic) == 0 &&
             pthread_cond_init(&engine->ready, &monotonic) == 0);
    (void)pthread_condattr_destroy(&monotonic);
    return engine;
}

/* Lock held. */
static enum rr_err start_helpers(struct rr_hash_engine *engine, struct rr_fault *fault)
{
    uint32_t checkers = usable_cores();
    checkers = checkers < HASH_CHECKERS_MAX ? checkers : HASH_CHECKERS_MAX;
    int number = hash_thread_start(engine, &engine->watch, hash_watch_body, engine);
    engine->watch_runs = number == 0;
    while (number == 0 && engine->checker_count < checkers) {
        number = hash_thread_start(engine, &engine->checkers[engine->checker_count],
                                   hash_checker_body, engine);
        engine->checker_count += number == 0;
    }
    return number == 0 || (engine->watch_runs && engine->checker_count > 0)
               ? RR_OK
               : rr_fail(
                     fault, RR_ERR_IO,
                     "cannot start the threads of the hash engine: %s; raise the limit of tasks",
                     strerror(number));
}

/* Starts the devices that were asked for and waits until each searches or is left out; by
 * light_first only for the CPU. Lock held. */
static enum rr_err start_devices(struct rr_hash_engine *engine, struct rr_fault *fault)
{
    bool waits = true;
    bool any = false;
    for (uint32_t i = 0; i < engine->device_count; i++) {
        if (engine->devices[i].asked) {
            hash_device_ask(&engine->devices[i]);
            any = true;
        }
    }
    if (!any) {
        hash_devices_fall_back(engine);
    }
    while (waits) {
        waits = false;
        for (uint32_t i = 0; i < engine->device_count; i++) {
            const struct hash_device *device = &engine->devices[i];
            waits = waits || (device->asked && device->first_start &&
                              (device->is_cpu || !engine->light_first));
        }
        if (waits) {
            hash_wait(engine, &engine->change, UINT64_MAX);
        }
    }
    const struct rr_fault *last = NULL;
    for (uint32_t i = 0; i < engine->device_count; i++) {
        const struct hash_device *device = &engine->devices[i];
        if (device->asked && hash_device_wants(device)) {
            return RR_OK;
        }
        last = device->fault.code != RR_OK ? &device->fault : last;
    }
    if (last == NULL) {
        return rr_fail(fault, RR_ERR_UNSUPPORTED, "no hash device can be used%s%s",
                       engine->device_count > 0 ? ": " : "",
                       engine->device_count > 0 ? engine->devices[0].status.why : "");
    }
    if (fault != NULL) {
        *fault = *last;
    }
    return last->code;
}

enum rr_err hash_engine_new_with(struct rr_hash_engine **out, const struct hash_kit *kit,
                                 const struct rr_hash_params *params,
                                 const struct rr_hash_options *options, struct rr_fault *fault)
{
    enum rr_err err = hash_options_check(options, fault);
    if (err == RR_OK) {
        err = hash_params_check(params, fault);
    }
    if (err != RR_OK) {
        return err;
    }
    struct rr_hash_engine *engine = new_engine(kit, options);
    err = hash_devices_select(engine, options->devices, fault);
    if (err == RR_OK) {
        err = hash_epoch_new(&engine->epoch, params, fault);
    }
    if (err == RR_OK) {
        atomic_store(&engine->light, engine->epoch->light);
        (void)pthread_mutex_lock(&engine->lock);
        err = start_helpers(engine, fault);
        if (err == RR_OK) {
            err = start_devices(engine, fault);
        }
        hash_engine_retext(engine);
        (void)pthread_mutex_unlock(&engine->lock);
    }
    if (err != RR_OK) {
        rr_hash_engine_free(engine);
        return err;
    }
    *out = engine;
    return RR_OK;
}

enum rr_err hash_engine_new_on(struct rr_hash_engine **out, const struct hash_backend *backend,
                               const struct rr_hash_params *params,
                               const struct rr_hash_options *options, uint64_t proof_us,
                               struct rr_fault *fault)
{
    struct hash_kit kit = {.backends = &backend, .count = 1, .times = hash_times_default};
    struct rr_hash_options all = *options;
    struct rr_hash_device *device = rr_alloc(sizeof(*device));
    kit.times.proof_us = proof_us;
    all.devices = backend->list(device, 1) > 0 ? device->id : NULL;
    enum rr_err err = hash_engine_new_with(out, &kit, params, &all, fault);
    rr_free(device);
    return err;
}

enum rr_err rr_hash_engine_new(struct rr_hash_engine **out, const struct rr_hash_params *params,
                               const struct rr_hash_options *options, struct rr_fault *fault)
{
    struct hash_kit kit = {.falls_back = true, .times = hash_times_default};
    kit.backends = hash_backends(&kit.count);
    return hash_engine_new_with(out, &kit, params, options, fault);
}

/* ---- end ----------------------------------------------------------------------------------------
 */
static void reap_all(struct rr_hash_engine *engine)
{
    while (engine->dead != NULL) {
        RR_CHECK(hash_run_reap(engine, engine->dead));
    }
}

/* No thread is left but those that were joined or are this one. */
static void free_parts(struct rr_hash_engine *engine)
{
    (void)pthread_mutex_lock(&engine->lock);
    reap_all(engine);
    hash_epoch_drop(engine, engine->next);
    hash_epoch_drop(engine, engine->previous);
    hash_epoch_drop(engine, engine->epoch);
    (void)pthread_mutex_unlock(&engine->lock);
    hash_texts_clear(engine);
    hash_jobs_clear(&engine->jobs);
    (void)pthread_cond_destroy(&engine->ready);
    (void)pthread_cond_destroy(&engine->due);
    (void)pthread_cond_destroy(&engine->gone);
    (void)pthread_cond_destroy(&engine->change);
    (void)pthread_cond_destroy(&engine->work);
    (void)pthread_mutex_destroy(&engine->tuning_lock);
    (void)pthread_mutex_destroy(&engine->lock);
    rr_free(engine);
}

static void cancel_job(struct rr_hash_engine *engine, struct hash_job *job)
{
    if (!job->claimed) {
        job->cancelled = true;
        hash_jobs_stop(&engine->jobs, job);
        hash_job_settle(engine, job);
    }
}

static void begin_stop(struct rr_hash_engine *engine)
{
    engine->stopping = true;
    atomic_store(&engine->cancel, true);
    (void)pthread_cond_broadcast(&engine->due);
    (void)pthread_cond_broadcast(&engine->ready);
    hash_stir(engine);
}

void rr_hash_engine_stop(struct rr_hash_engine *engine)
{
    if (engine != NULL) {
        (void)pthread_mutex_lock(&engine->lock);
        begin_stop(engine);
        (void)pthread_mutex_unlock(&engine->lock);
    }
}

static void stop_all(struct rr_hash_engine *engine)
{
    begin_stop(engine);
    hash_jobs_for_each(engine, cancel_job);
    uint64_t until_us = hash_now_us() + engine->kit.times.hang_us;
    while (engine->threads_alive > 0 && hash_now_us() < until_us) {
        hash_wait(engine, &engine->change, until_us);
    }
    for (uint32_t i = 0; i < engine->device_count; i++) {
        hash_device_close(&engine->devices[i]);
    }
    hash_jobs_for_each(engine, cancel_job);
    while (engine->jobs.count > 0) {
        if (!hash_deliver_some(engine)) {
            hash_wait(engine, &engine->change, hash_now_us() + 1000); /* a checker has the last */
        }
    }
}

static void join_or_leave(struct rr_hash_engine *engine, pthread_t thread, bool left)
{
    if (left) {
        (void)pthread_mutex_unlock(&engine->lock);
        (void)pthread_join(thread, NULL);
        (void)pthread_mutex_lock(&engine->lock);
    } else {
        (void)pthread_detach(thread);
    }
}

/* Threads that came back are joined, others are left to themselves. */
static void part(struct rr_hash_engine *engine)
{
    if (engine->watch_runs) {
        join_or_leave(engine, engine->watch, true);
    }
    for (uint32_t i = 0; i < engine->checker_count; i++) {
        join_or_leave(engine, engine->checkers[i], true);
    }
    for (uint32_t i = 0; i < engine->device_count; i++) {
        struct hash_device *device = &engine->devices[i];
        if (device->keeper_runs) {
            join_or_leave(engine, device->keeper, device->keeper_left);
        }
    }
    if (engine->builder_runs) {
        join_or_leave(engine, engine->builder, engine->builder_left);
    }
    for (struct hash_run *run = engine->dead; run != NULL; run = run->next_dead) {
        for (uint32_t i = 0; i < run->slot_count; i++) {
            struct hash_slot *slot = &run->slots[i];
            if (slot->joinable) {
                join_or_leave(engine, slot->thread, slot->left);
                slot->joinable = false;
            }
        }
    }
}

void rr_hash_engine_free(struct rr_hash_engine *engine)
{
    if (engine == NULL) {
        return;
    }
    RR_CHECK(!hash_in_callback(engine));
    (void)pthread_mutex_lock(&engine->lock);
    stop_all(engine);
    part(engine);
    bool orphan = engine->threads_alive > 0;
    engine->orphan = orphan;
    if (orphan) {
        rr_counter_add(&leaked_total, 1);
        rr_log(RR_LOG_ERROR, "hash",
               "%" PRIu32
               " threads hang in a device's driver: the memory of this engine stays with "
               "them until they return",
               engine->threads_alive);
    }
    (void)pthread_mutex_unlock(&engine->lock);
    if (!orphan) {
        free_parts(engine);
    }
}

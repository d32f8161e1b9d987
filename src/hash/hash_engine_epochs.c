/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Epochs: the next one is made beside the present, a switch swaps pointers. */
#include "hash/hash_engine.h"
#include <string.h>

enum rr_err hash_epoch_new(struct hash_epoch **out, const struct rr_hash_params *params,
                           struct rr_fault *fault)
{
    struct rr_hash_light *light = NULL;
    enum rr_err err = rr_hash_light_new(&light, params, fault);
    if (err == RR_OK) {
        struct hash_epoch *epoch = rr_alloc(sizeof(*epoch));
        epoch->params = *params;
        epoch->light = light;
        epoch->holders = 1;
        *out = epoch;
    }
    return err;
}

void hash_epoch_hold(struct hash_epoch *epoch)
{
    epoch->holders++;
}

void hash_epoch_drop(struct rr_hash_engine *engine, struct hash_epoch *epoch)
{
    (void)engine;
    if (epoch != NULL && --epoch->holders == 0) {
        rr_hash_light_free(epoch->light);
        rr_free(epoch);
    }
}

bool hash_params_equal(const struct rr_hash_params *a, const struct rr_hash_params *b)
{
    return a->cache_items == b->cache_items && a->dataset_items == b->dataset_items &&
           memcmp(a->seed, b->seed, sizeof a->seed) == 0;
}

/* ---- the next one -------------------------------------------------------------------------------
 */
static bool next_is(const struct rr_hash_engine *engine, const struct rr_hash_params *params)
{
    return engine->next != NULL && hash_params_equal(&engine->next->params, params);
}

/* Lock held. Keepers see it and make their datasets. */
static void take_next(struct rr_hash_engine *engine, struct hash_epoch *epoch)
{
    hash_epoch_drop(engine, engine->next);
    engine->next = epoch;
    for (uint32_t i = 0; i < engine->device_count; i++) {
        if (engine->devices[i].run != NULL) {
            engine->devices[i].run->refused = NULL;
        }
    }
    hash_stir(engine);
}

static void *build(void *argument)
{
    struct rr_hash_engine *engine = argument;
    (void)pthread_mutex_lock(&engine->lock);
    while (!engine->stopping) {
        if (!engine->next_wanted) {
            hash_wait(engine, &engine->change, UINT64_MAX);
            continue;
        }
        struct rr_hash_params params = engine->next_params;
        struct hash_epoch *epoch = NULL;
        struct rr_fault fault = {0};
        (void)pthread_mutex_unlock(&engine->lock);
        enum rr_err err = hash_epoch_new(&epoch, &params, &fault);
        if (err != RR_OK) {
            rr_log_fault(RR_LOG_WARN, "hash", &fault); /* the switch will say so again */
        }
        (void)pthread_mutex_lock(&engine->lock);
        if (hash_params_equal(&params, &engine->next_params)) {
            engine->next_wanted = false;
            if (err == RR_OK) {
                take_next(engine, epoch);
                epoch = NULL;
            }
        }
        hash_epoch_drop(engine, epoch);
        hash_stir(engine);
    }
    engine->builder_left = true;
    hash_thread_leaves(engine);
    return NULL;
}

enum rr_err rr_hash_engine_prepare_next(struct rr_hash_engine *engine,
                                        const struct rr_hash_params *params, struct rr_fault *fault)
{
    enum rr_err err = hash_params_check(params, fault);
    if (err != RR_OK) {
        return err;
    }
    (void)pthread_mutex_lock(&engine->lock);
    bool there = hash_params_equal(params, &engine->epoch->params) || next_is(engine, params) ||
                 (engine->next_wanted && hash_params_equal(params, &engine->next_params));
    if (!there && !engine->builder_runs) {
        int number = hash_thread_start(engine, &engine->builder, build, engine);
        engine->builder_runs = number == 0;
        if (number != 0) {
            err = rr_fail(fault, RR_ERR_IO, "cannot start the thread of the next epoch: %s",
                          strerror(number));
        }
    }
    if (!there && err == RR_OK) {
        take_next(engine, NULL); /* another one is given up, with its datasets */
        engine->next_params = *params;
        engine->next_wanted = true;
    }
    (void)pthread_mutex_unlock(&engine->lock);
    return err;
}

bool rr_hash_engine_next_ready(struct rr_hash_engine *engine)
{
    (void)pthread_mutex_lock(&engine->lock);
    bool ready = engine->next != NULL;
    for (uint32_t i = 0; i < engine->device_count && ready; i++) {
        const struct hash_run *run = engine->devices[i].run;
        ready = run == NULL || run->refused == engine->next ||
                (run->next != NULL && run->next->epoch == engine->next);
    }
    (void)pthread_mutex_unlock(&engine->lock);
    return ready;
}

/* ---- the switch ---------------------------------------------------------------------------------
 */
static void swap_device(struct hash_device *device, const struct hash_epoch *epoch)
{
    struct hash_run *run = device->run;
    if (run == NULL || run->next == NULL || run->next->epoch != epoch) {
        return; /* its keeper makes what is lacking */
    }
    struct hash_dataset *before = run->now;
    run->now = run->next;
    run->next = NULL;
    run->unproven = true;
    if (before != NULL) {
        before->next_old = run->old;
        run->old = before;
    }
}

/* Lock held. */
static void swap(struct rr_hash_engine *engine, struct hash_epoch *epoch)
{
    hash_epoch_drop(engine, engine->previous);
    engine->previous = engine->epoch; /* its light cache has borrowers until the next switch */
    engine->epoch = epoch;
    atomic_store(&engine->light, epoch->light);
    for (uint32_t i = 0; i < engine->device_count; i++) {
        swap_device(&engine->devices[i], epoch);
    }
    hash_engine_retext(engine);
    hash_jobs_for_each(engine, hash_job_stale);
    hash_stir(engine);
}

/* The epoch of these params: the prepared one, or a new one. Lock held at call and return. */
static enum rr_err fetch(struct rr_hash_engine *engine, const struct rr_hash_params *params,
                         struct hash_epoch **epoch, struct rr_fault *fault)
{
    enum rr_err err = RR_OK;
    while (engine->next_wanted && hash_params_equal(params, &engine->next_params)) {
        hash_wait(engine, &engine->change, UINT64_MAX);
    }
    if (next_is(engine, params)) {
        *epoch = engine->next;
        engine->next = NULL;
        return RR_OK;
    }
    (void)pthread_mutex_unlock(&engine->lock);
    err = hash_epoch_new(epoch, params, fault);
    (void)pthread_mutex_lock(&engine->lock);
    return err;
}

enum rr_err rr_hash_engine_switch(struct rr_hash_engine *engine,
                                  const struct rr_hash_params *params, struct rr_fault *fault)
{
    enum rr_err err = hash_params_check(params, fault);
    if (err != RR_OK) {
        return err;
    }
    (void)pthread_mutex_lock(&engine->lock);
    while (engine->switching) {
        hash_wait(engine, &engine->change, UINT64_MAX);
    }
    if (!hash_params_equal(params, &engine->epoch->params)) {
        struct hash_epoch *epoch = NULL;
        engine->switching = true;
        err = fetch(engine, params, &epoch, fault);
        engine->switching = false;
        if (err == RR_OK) {
            swap(engine, epoch);
        }
        hash_stir(engine);
    }
    (void)pthread_mutex_unlock(&engine->lock);
    return err;
}

const struct rr_hash_light *rr_hash_engine_light(const struct rr_hash_engine *engine)
{
    return atomic_load(&engine->light);
}

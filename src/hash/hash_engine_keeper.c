/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The keeper of a device: one thread does all that blocks for long, one thing after the other, led
 * by what the device lacks. */
#include "hash/hash_engine.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define NICE_OF_BUILDS 10 /* after serving, before searching */

static uint32_t first_quantum(const struct hash_run *run)
{
    const struct hash_opened *opened = &run->opened;
    return opened->hashes_first > opened->hashes_step ? opened->hashes_first : opened->hashes_step;
}

/* Lock held. */
static void begin(struct hash_device *device, struct hash_run *run)
{
    struct rr_hash_engine *engine = device->engine;
    uint64_t now = hash_now_us();
    run->dead = false;
    run->last_done_us = now;
    device->run = run;
    device->life++;
    device->proving = false;
    device->first_start = false;
    device->ps_per_hash = 0;
    device->quantum = first_quantum(run);
    device->next_proof_us =
        engine->kit.times.proof_us != 0 ? now + engine->kit.times.proof_us : UINT64_MAX;
    device->running_since_us = now;
    device->worth = 0;
    device->window_start_us = now;
    device->window_hashes = device->status.hashes;
    device->status.restarts += device->life > 1;
}

static void start(struct hash_device *device)
{
    struct rr_hash_engine *engine = device->engine;
    struct rr_fault fault = {0};
    struct hash_run *run = NULL;
    struct hash_epoch *epoch = engine->epoch;
    device->start = false;
    device->start_at_us = UINT64_MAX;
    device->starting = true;
    hash_device_state(device, RR_HASH_DEVICE_PREPARING, "");
    hash_epoch_hold(epoch);
    (void)pthread_mutex_unlock(&engine->lock);
    enum rr_err err = hash_run_open(&run, device, epoch, &fault);
    (void)pthread_mutex_lock(&engine->lock);
    if (err == RR_OK) {
        begin(device, run);
        err = engine->stopping ? RR_OK : hash_run_start_slots(device, run, &fault);
        if (err != RR_OK) {
            hash_device_lost(device, run, fault.text);
            device->fault = fault;
        } else {
            hash_device_state(device,
                              device->paused ? RR_HASH_DEVICE_PAUSED : RR_HASH_DEVICE_RUNNING, "");
            hash_devices_count_left(engine);
        }
    } else {
        hash_epoch_drop(engine, epoch);
        hash_device_failed(device, &fault);
    }
    device->starting = false;
    device->start_err = err;
    device->starts_done++;
    hash_stir(engine);
}

/* ---- what a running device may lack -------------------------------------------------------------
 */
/* The device stays as it is when this fails, unless it is lost. */
static enum rr_err add_dataset(struct hash_dataset **out, struct hash_device *device,
                               struct hash_epoch *epoch, bool whole, struct rr_fault *fault)
{
    struct rr_hash_engine *engine = device->engine;
    struct hash_run *run = device->run;
    bool may_race = run->now == NULL;
    hash_epoch_hold(epoch);
    (void)pthread_mutex_unlock(&engine->lock);
    struct hash_dataset *made = NULL;
    enum rr_err err = hash_dataset_make(&made, device, run, epoch, whole, may_race, fault);
    (void)pthread_mutex_lock(&engine->lock);
    if (err != RR_OK) {
        hash_epoch_drop(engine, epoch);
    } else if (run->dead || engine->stopping) {
        hash_dataset_release(device, made);
        err = rr_fail(fault, RR_ERR_CANCELLED, "the device has ended meanwhile");
    } else {
        *out = made;
    }
    return err;
}

static void take_present(struct hash_device *device, struct hash_dataset *made)
{
    hash_dataset_retire(device->run, &device->run->now);
    device->run->now = made;
    device->run->unproven = true;
    device->ps_per_hash = 0;
    device->quantum = first_quantum(device->run);
    hash_device_state(device, device->paused ? RR_HASH_DEVICE_PAUSED : RR_HASH_DEVICE_RUNNING,
                      device->paused ? device->status.why : "");
}

/* The present epoch, when a switch came before its dataset. */
static void make_present(struct hash_device *device)
{
    struct rr_hash_engine *engine = device->engine;
    struct hash_run *run = device->run;
    struct rr_fault fault = {0};
    struct hash_dataset *made = NULL;
    hash_dataset_retire(run, &run->now);
    if (run->old != NULL) { /* first: there may be room for one only */
        if (!hash_dataset_release_old(run)) {
            hash_wait(engine, &engine->change, UINT64_MAX);
        }
        return;
    }
    if (!device->paused) {
        hash_device_state(device, RR_HASH_DEVICE_PREPARING, "makes the dataset of the new epoch");
    }
    bool whole =
        hash_dataset_whole(device, engine->epoch) && !(device->is_cpu && engine->light_first);
    enum rr_err err = add_dataset(&made, device, engine->epoch, whole, &fault);
    if (err == RR_OK) {
        take_present(device, made);
    } else if (err != RR_ERR_CANCELLED && device->run == run) {
        hash_device_lost(device, run, fault.text);
    }
}

/* The whole dataset after the light start: a pointer swap, jobs notice nothing but the rate. */
static void upgrade(struct hash_device *device)
{
    struct rr_hash_engine *engine = device->engine;
    struct hash_run *run = device->run;
    struct hash_epoch *epoch = engine->epoch;
    struct rr_fault fault = {0};
    struct hash_dataset *made = NULL;
    enum rr_err err = add_dataset(&made, device, epoch, true, &fault);
    if (err == RR_OK && engine->epoch == epoch) {
        take_present(device, made);
    } else if (err == RR_OK) {
        hash_dataset_release(device, made);
    } else if (err != RR_ERR_CANCELLED) {
        run->now->whole = true; /* not tried again */
        rr_log(RR_LOG_WARN, "hash", "device %s goes on searching light: %s",
               device->status.device.id, fault.text);
    }
}

static void make_next(struct hash_device *device)
{
    struct rr_hash_engine *engine = device->engine;
    struct hash_run *run = device->run;
    struct hash_epoch *epoch = engine->next;
    struct rr_fault fault = {0};
    struct hash_dataset *made = NULL;
    uint64_t bytes = hash_dataset_bytes(epoch);
    bool whole = hash_dataset_whole(device, epoch);
    uint64_t left = device->is_cpu && whole ? hash_memory_left() : 0;
    enum rr_err err = RR_OK;
    if (left != 0 && left < bytes + bytes / 8) {
        err = rr_fail(&fault, RR_ERR_MEMORY,
                      "%" PRIu64 " MiB of memory are left and %" PRIu64 " MiB are needed",
                      left >> 20, bytes >> 20);
    } else {
        err = add_dataset(&made, device, epoch, whole, &fault);
    }
    if (err == RR_OK && engine->next == epoch) {
        run->next = made;
    } else if (err == RR_OK && engine->epoch == epoch) {
        take_present(device, made); /* the switch came meanwhile */
    } else if (err == RR_OK) {
        hash_dataset_release(device, made);
    } else if (err != RR_ERR_CANCELLED && device->run == run) {
        run->refused = epoch;
        rr_log(RR_LOG_WARN, "hash",
               "device %s cannot keep two epochs (%s): it will make the next dataset at the switch "
               "and not search meanwhile",
               device->status.device.id, fault.text);
    }
    hash_stir(engine);
}

static void tune(struct hash_device *device)
{
    struct rr_hash_engine *engine = device->engine;
    struct hash_run *run = device->run;
    struct hash_dataset *dataset = run->now;
    if (dataset->users > 0) {
        hash_wait(engine, &engine->change, hash_now_us() + 2000); /* quanta end soon */
        return;
    }
    struct hash_tuning best = {{0}};
    struct rr_fault fault = {0};
    dataset->users++;
    (void)pthread_mutex_unlock(&engine->lock);
    enum rr_err err = hash_dataset_race(device, dataset, &best, &fault);
    (void)pthread_mutex_lock(&engine->lock);
    dataset->users--;
    (void)snprintf(dataset->text, sizeof dataset->text, "%s",
                   device->backend->text(dataset->state));
    memcpy(device->tuned, best.text, sizeof device->tuned);
    device->fault = fault;
    device->tune_err = err;
    device->tunes_done++;
    device->tune = false;
    run->unproven = true; /* another variant may be wrong where the last was right */
    hash_engine_retext(engine);
    device->ps_per_hash = 0;
    hash_stir(engine);
}

static void start_when_free(struct hash_device *device)
{
    uint64_t until_us = hash_run_old_until(device);
    if (until_us <= hash_now_us()) {
        start(device);
    } else {
        hash_wait(device->engine, &device->engine->change, until_us);
    }
}

/* One thing that a running device lacks; false when nothing is. */
static bool mend_running(struct hash_device *device)
{
    struct rr_hash_engine *engine = device->engine;
    struct hash_run *run = device->run;
    bool mended = true;
    if (run->now == NULL || run->now->epoch != engine->epoch) {
        make_present(device);
    } else if (device->tune) {
        tune(device);
    } else if (run->next != NULL && run->next->epoch != engine->next) {
        hash_dataset_retire(run, &run->next);
    } else if (!run->now->whole && hash_dataset_whole(device, engine->epoch)) {
        upgrade(device);
    } else if (engine->next != NULL && run->next == NULL && run->refused != engine->next) {
        make_next(device);
    } else {
        mended = false;
    }
    return mended;
}

/* The lock is open for a while in most of these: one thing, then all is looked at again. */
static bool mend(struct hash_device *device)
{
    if (hash_run_reap_some(device)) {
        return true;
    }
    if (device->run != NULL && hash_dataset_release_old(device->run)) {
        return true;
    }
    if (device->start || (device->run == NULL && hash_now_us() >= device->start_at_us)) {
        start_when_free(device);
        return true;
    }
    return device->run != NULL && mend_running(device);
}

static void *keep(void *argument)
{
    struct hash_device *device = argument;
    struct rr_hash_engine *engine = device->engine;
    (void)setpriority(PRIO_PROCESS, (id_t)gettid(), NICE_OF_BUILDS);
    (void)pthread_mutex_lock(&engine->lock);
    while (!engine->stopping) {
        if (!mend(device)) {
            hash_wait(engine, &engine->change,
                      device->run == NULL ? device->start_at_us : UINT64_MAX);
        }
    }
    device->keeper_left = true;
    hash_stir(engine);
    hash_thread_leaves(engine);
    return NULL;
}

enum rr_err hash_keeper_start(struct hash_device *device, struct rr_fault *fault)
{
    if (device->keeper_runs) {
        return RR_OK;
    }
    int number = hash_thread_start(device->engine, &device->keeper, keep, device);
    if (number != 0) {
        return rr_fail(fault, RR_ERR_IO, "cannot start the thread of hash device %s: %s",
                       device->status.device.id, strerror(number));
    }
    device->keeper_runs = true;
    return RR_OK;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Many checks at once, by the device that is best for so many. A device other than the CPU works on
 * a copy, on a thread of its own: when it hangs, the caller goes on elsewhere. */
#include "hash/hash_engine.h"
#include <stdio.h>
#include <string.h>

#define FEW           8     /* below: a GPU's launch costs more than these */
#define AT_ONCE       65536 /* of a request: 6.5 MiB */
#define SAMPLED_EVERY 4096

/* ---- on a device's thread -----------------------------------------------------------------------
 */
static struct hash_request *untaken(const struct hash_device *device)
{
    struct hash_request *request = device->requests;
    while (request != NULL && request->taken) {
        request = request->next;
    }
    return request;
}

static void unlink_request(struct hash_device *device, struct hash_request *request)
{
    struct hash_request **link = &device->requests;
    while (*link != NULL && *link != request) {
        link = &(*link)->next;
    }
    if (*link == request) {
        *link = request->next;
    }
}

static void free_request(struct rr_hash_engine *engine, struct hash_request *request)
{
    hash_epoch_drop(engine, request->epoch);
    rr_free(request->checks);
    rr_free(request);
}

bool hash_request_serve(struct hash_slot *slot)
{
    struct hash_run *run = slot->run;
    struct hash_device *device = run->device;
    struct rr_hash_engine *engine = device->engine;
    struct hash_request *request = untaken(device);
    if (request == NULL || run->verifying || device->tune) {
        return false;
    }
    if (run->now == NULL || run->now->epoch != request->epoch || run->unproven) {
        unlink_request(device, request);
        request->over = true;
        hash_stir(engine);
        return true;
    }
    struct hash_dataset *dataset = run->now;
    struct rr_fault fault = {0};
    request->taken = true;
    run->verifying = true;
    dataset->users++;
    slot->busy_since_us = hash_now_us();
    (void)pthread_mutex_unlock(&engine->lock);
    enum rr_err err =
        device->backend->verify(dataset->state, request->checks, request->count, &fault);
    (void)pthread_mutex_lock(&engine->lock);
    slot->busy_since_us = 0;
    run->verifying = false;
    dataset->users--;
    unlink_request(device, request);
    request->good = err == RR_OK && !run->dead && !request->over;
    request->over = true;
    request->returned = true;
    if (request->left) {
        free_request(engine, request);
    }
    if (!run->dead) {
        run->last_done_us = hash_now_us();
        if (err != RR_OK) {
            device->status.errors++;
            hash_device_lost(device, run, fault.text);
        }
    }
    hash_stir(engine);
    return true;
}

void hash_requests_fail(struct hash_device *device)
{
    while (device->requests != NULL) {
        struct hash_request *request = device->requests;
        device->requests = request->next;
        request->over = true;
    }
}

/* ---- on the caller's thread ---------------------------------------------------------------------
 */
/* The running device whose hash takes the least time, of the CPU's or of the others. */
static struct hash_device *fastest(struct rr_hash_engine *engine, const struct hash_epoch *epoch,
                                   bool cpu, const bool *tried)
{
    struct hash_device *best = NULL;
    for (uint32_t i = 0; i < engine->device_count; i++) {
        struct hash_device *device = &engine->devices[i];
        const struct hash_run *run = device->run;
        if (device->is_cpu != cpu || tried[i] || run == NULL || run->unproven || run->now == NULL ||
            run->now->epoch != epoch || device->status.state != RR_HASH_DEVICE_RUNNING) {
            continue;
        }
        if (best == NULL || device->ps_per_hash < best->ps_per_hash) {
            best = device;
        }
    }
    return best;
}

/* Lock held at call and return, not meanwhile. False: it did not answer. */
static bool ask_device(struct hash_device *device, struct hash_epoch *epoch,
                       struct rr_hash_check *checks, size_t count)
{
    struct rr_hash_engine *engine = device->engine;
    struct hash_request *request = rr_alloc(sizeof(*request));
    request->epoch = epoch;
    hash_epoch_hold(epoch);
    request->count = count;
    request->checks = rr_alloc_array(count, sizeof(*checks));
    memcpy(request->checks, checks, count * sizeof(*checks));
    request->next = device->requests;
    device->requests = request;
    hash_stir(engine);
    while (!request->over) {
        hash_wait(engine, &engine->change, UINT64_MAX);
    }
    bool good = request->good;
    if (good) {
        memcpy(checks, request->checks, count * sizeof(*checks));
    }
    if (request->taken && !request->returned) {
        request->left = true; /* a device hangs in it: its thread frees */
    } else {
        free_request(engine, request);
    }
    return good;
}

/* Some answers of the device, again by the light law; a wrong one switches it off. Lock as above.
 */
static bool sample(struct hash_device *device, uint64_t life, const struct hash_epoch *epoch,
                   const struct rr_hash_check *checks, size_t count)
{
    struct rr_hash_engine *engine = device->engine;
    size_t samples = 1 + count / SAMPLED_EVERY;
    bool good = true;
    (void)pthread_mutex_unlock(&engine->lock);
    for (size_t i = 0; i < samples && good; i++) {
        uint64_t random = 0;
        rr_random(&random, sizeof random);
        const struct rr_hash_check *made = &checks[random % count];
        struct rr_hash_check law = *made;
        hash_check_many(epoch, &law, 1);
        good = memcmp(law.mix, made->mix, 32) == 0 && memcmp(law.final_be, made->final_be, 32) == 0;
    }
    (void)pthread_mutex_lock(&engine->lock);
    if (!good) {
        device->status.failed_checks++;
        rr_counter_add(&hash_failed_total, 1);
        hash_device_wrong(device, life, "its verification disagrees with the light law");
    }
    return good;
}

/* The CPU's own way, on this thread. Lock as above. */
static bool by_cpu(struct hash_device *device, struct rr_hash_check *checks, size_t count)
{
    struct rr_hash_engine *engine = device->engine;
    struct hash_dataset *dataset = device->run->now;
    dataset->users++;
    (void)pthread_mutex_unlock(&engine->lock);
    bool good = device->backend->verify(dataset->state, checks, count, NULL) == RR_OK;
    (void)pthread_mutex_lock(&engine->lock);
    dataset->users--;
    bool kept = device->run != NULL && device->run->now == dataset && !device->tune;
    if (dataset->users == 0 && !kept) {
        hash_stir(engine); /* somebody may wait to release it */
    }
    return good;
}

static void verify_some(struct rr_hash_engine *engine, struct hash_epoch *epoch,
                        struct rr_hash_check *checks, size_t count)
{
    bool tried[RR_HASH_DEVICES_MAX] = {false};
    bool done = false;
    while (!done) {
        struct hash_device *device = count > FEW ? fastest(engine, epoch, false, tried) : NULL;
        if (device == NULL) {
            break;
        }
        uint64_t life = device->life;
        tried[device->index] = true;
        done =
            ask_device(device, epoch, checks, count) && sample(device, life, epoch, checks, count);
    }
    struct hash_device *cpu = done ? NULL : fastest(engine, epoch, true, tried);
    done = done || (cpu != NULL && by_cpu(cpu, checks, count));
    if (!done) {
        (void)pthread_mutex_unlock(&engine->lock);
        hash_check_many(epoch, checks, count);
        (void)pthread_mutex_lock(&engine->lock);
    }
}

enum rr_err rr_hash_verify(struct rr_hash_engine *engine, struct rr_hash_check *checks,
                           size_t count, struct rr_fault *fault)
{
    (void)pthread_mutex_lock(&engine->lock);
    bool broken = engine->broken;
    struct hash_epoch *epoch = engine->epoch;
    hash_epoch_hold(epoch);
    for (size_t i = 0; i < count && !broken; i += AT_ONCE) {
        verify_some(engine, epoch, checks + i, count - i < AT_ONCE ? count - i : AT_ONCE);
    }
    hash_epoch_drop(engine, epoch);
    (void)pthread_mutex_unlock(&engine->lock);
    return broken ? rr_fail(fault, RR_ERR_STATE,
                            "the hash engine is off: no device is left; see the log, then restart "
                            "one")
                  : RR_OK;
}

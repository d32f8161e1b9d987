/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A device from its opening to its closing. */
#include "hash/hash_engine.h"
#include <inttypes.h>
#include <string.h>

bool hash_run_reap(struct rr_hash_engine *engine, struct hash_run *run)
{
    struct hash_device *device = run->device;
    for (uint32_t i = 0; i < run->slot_count; i++) {
        if (run->slots[i].joinable && !run->slots[i].left) {
            return false;
        }
    }
    hash_dataset_retire(run, &run->now);
    hash_dataset_retire(run, &run->next);
    for (const struct hash_dataset *old = run->old; old != NULL; old = old->next_old) {
        if (old->users > 0) {
            return false; /* a caller of rr_hash_verify is in it */
        }
    }
    struct hash_run **link = &engine->dead;
    while (*link != NULL && *link != run) {
        link = &(*link)->next_dead;
    }
    if (*link == run) {
        *link = run->next_dead;
    }
    (void)pthread_mutex_unlock(&engine->lock);
    for (uint32_t i = 0; i < run->slot_count; i++) {
        struct hash_slot *slot = &run->slots[i];
        if (slot->joinable) {
            (void)pthread_join(slot->thread, NULL);
        }
        rr_free(slot->jobs);
        rr_free(slot->works);
        rr_free(slot->found);
    }
    (void)pthread_mutex_lock(&engine->lock);
    while (run->old != NULL) {
        (void)hash_dataset_release_old(run);
    }
    (void)pthread_mutex_unlock(&engine->lock);
    device->backend->close(run->handle);
    rr_free(run->slots);
    rr_free(run);
    (void)pthread_mutex_lock(&engine->lock);
    return true;
}

bool hash_run_reap_some(struct hash_device *device)
{
    for (struct hash_run *run = device->engine->dead; run != NULL; run = run->next_dead) {
        if (run->device == device && hash_run_reap(device->engine, run)) {
            return true;
        }
    }
    return false;
}

/* A device that is to start again waits for its threads, which hold its memory, unless they hang.
 */
uint64_t hash_run_old_until(const struct hash_device *device)
{
    uint64_t until_us = 0;
    for (const struct hash_run *run = device->engine->dead; run != NULL; run = run->next_dead) {
        uint64_t its_us = run->dead_since_us + device->engine->kit.times.hang_us;
        if (run->device == device && !run->hangs && its_us > until_us) {
            until_us = its_us;
        }
    }
    return until_us;
}

/* Lock held. */
enum rr_err hash_run_start_slots(struct hash_device *device, struct hash_run *run,
                                 struct rr_fault *fault)
{
    run->slots = rr_alloc_array(run->opened.slots, sizeof(*run->slots));
    run->slot_count = run->opened.slots;
    for (uint32_t i = 0; i < run->slot_count; i++) {
        struct hash_slot *slot = &run->slots[i];
        slot->run = run;
        slot->index = i;
        slot->jobs = rr_alloc_array(run->opened.works_max, sizeof(struct hash_job *));
        slot->works = rr_alloc_array(run->opened.works_max, sizeof(*slot->works));
        slot->found = rr_alloc_array(run->opened.works_max, sizeof(*slot->found));
    }
    for (uint32_t i = 0; i < run->slot_count; i++) {
        struct hash_slot *slot = &run->slots[i];
        int number = hash_thread_start(device->engine, &slot->thread, hash_slot_body, slot);
        if (number != 0) {
            return rr_fail(fault, RR_ERR_IO,
                           "cannot start thread %" PRIu32 " of %" PRIu32
                           " for hashing: %s; lower hash.threads or raise the limit of tasks",
                           i + 1, run->slot_count, strerror(number));
        }
        slot->joinable = true;
    }
    return RR_OK;
}

enum rr_err hash_run_open(struct hash_run **out, struct hash_device *device,
                          struct hash_epoch *epoch, struct rr_fault *fault)
{
    struct rr_hash_engine *engine = device->engine;
    const struct hash_open how = {.threads = engine->threads};
    struct hash_run *run = rr_alloc(sizeof(*run));
    run->device = device;
    run->dead = true; /* until its threads may start */
    enum rr_err err =
        device->backend->open(&run->handle, &run->opened, &device->status.device, &how, fault);
    if (err != RR_OK) {
        rr_free(run);
        return err;
    }
    bool whole = hash_dataset_whole(device, epoch) && !(device->is_cpu && engine->light_first);
    err = hash_dataset_make(&run->now, device, run, epoch, whole, true, fault);
    if (err == RR_OK) {
        uint64_t start_us = hash_now_us();
        err = hash_backend_prove(device->backend, run->now->state, 0, epoch->light, fault);
        rr_counter_add(&hash_checked_us, hash_now_us() - start_us);
        if (err != RR_OK) {
            device->backend->release(run->now->state);
            rr_free(run->now);
        }
    }
    if (err != RR_OK) {
        device->backend->close(run->handle);
        rr_free(run);
        return err;
    }
    *out = run;
    return RR_OK;
}

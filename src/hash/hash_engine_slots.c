/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The threads that search: fill a quantum from the jobs, hand it to the device, bring the answers
 * back. */
#include "hash/hash_engine.h"
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define NICE_OF_THREADS 19

static uint32_t share_of(const struct hash_device *device)
{
    return device->is_cpu ? device->engine->cpu_percent : device->engine->gpu_percent;
}

static bool has_epoch(const struct hash_run *run)
{
    return run->now != NULL && run->now->epoch == run->device->engine->epoch;
}

static bool may_search(const struct hash_slot *slot)
{
    const struct hash_device *device = slot->run->device;
    /* Streams of one device fill each other's rests: a share is kept by one alone. */
    bool alone = !device->is_cpu && share_of(device) < 100 && slot->index > 0;
    return has_epoch(slot->run) && !device->paused && !device->tune && !alone;
}

/* ---- a quantum ----------------------------------------------------------------------------------
 */
static bool fill(struct hash_slot *slot)
{
    struct hash_run *run = slot->run;
    struct hash_device *device = run->device;
    struct rr_hash_engine *engine = device->engine;
    uint32_t room = device->quantum;
    uint32_t turn = engine->turn > room ? engine->turn : room;
    while (slot->count < run->opened.works_max && room > 0) {
        struct hash_work *work = &slot->works[slot->count];
        struct hash_job *job =
            hash_jobs_take(&engine->jobs, work, turn, room, run->opened.hashes_step);
        if (job == NULL) {
            break;
        }
        room -= work->count;
        slot->jobs[slot->count++] = job;
    }
    slot->source = (struct hash_source){
        .device = device->index, .life = device->life, .proofs = device->proofs};
    device->status.in_flight += (uint32_t)slot->count;
    return slot->count > 0;
}

static void bring_back(struct hash_slot *slot, uint64_t start_us, uint64_t end_us)
{
    struct hash_run *run = slot->run;
    struct hash_device *device = run->device;
    struct rr_hash_engine *engine = device->engine;
    size_t count = slot->count;
    uint64_t hashes = 0;
    slot->count = 0;
    for (size_t i = 0; i < count; i++) {
        struct hash_candidate *found = &slot->found[i];
        uint32_t most = slot->works[i].count;
        found->done = found->done < most ? found->done : most;
        hashes += found->done;
        device->status.stale += slot->jobs[i]->stale;
        hash_jobs_return(&engine->jobs, slot->jobs[i], &slot->works[i], slot->source, found);
    }
    for (size_t i = 0; i < count; i++) {
        hash_job_settle(engine, slot->jobs[i]); /* a job can be there twice: the second finds it
                                                   claimed */
    }
    device->status.in_flight -= (uint32_t)count;
    device->status.hashes += hashes;
    device->status.quanta++;
    device->status.last_quantum_us = end_us - start_us;
    rr_counter_add(&hash_hashes_total, hashes);
    rr_counter_add(&hash_quanta_total, 1);
    hash_device_timed(device, end_us - start_us, hashes);
    (void)hash_device_rate(device, end_us);
}

/* Enters and leaves the backend: between the two the lock is open. False when the run died. */
static void enter(struct hash_slot *slot, struct hash_dataset **dataset)
{
    *dataset = slot->run->now;
    (*dataset)->users++;
    slot->busy_since_us = hash_now_us();
    (void)pthread_mutex_unlock(&slot->run->device->engine->lock);
}

static bool leave(struct hash_slot *slot, struct hash_dataset *dataset)
{
    struct rr_hash_engine *engine = slot->run->device->engine;
    (void)pthread_mutex_lock(&engine->lock);
    dataset->users--;
    slot->busy_since_us = 0;
    if (slot->run->dead) {
        return false;
    }
    slot->run->last_done_us = hash_now_us();
    if (dataset != slot->run->now && dataset->users == 0) {
        hash_stir(engine); /* an old epoch can be released */
    }
    return true;
}

static void run_quantum(struct hash_slot *slot)
{
    struct hash_run *run = slot->run;
    struct hash_device *device = run->device;
    struct hash_dataset *dataset = NULL;
    struct rr_fault fault = {0};
    size_t count = slot->count;
    enter(slot, &dataset);
    uint64_t start_us = hash_now_us();
    memset(slot->found, 0, count * sizeof(*slot->found));
    enum rr_err err = device->backend->search(dataset->state, slot->index, slot->found, slot->works,
                                              count, &fault);
    uint64_t end_us = hash_now_us();
    if (!leave(slot, dataset)) {
        return; /* too late: the works are with others, the answer is dropped */
    }
    if (err == RR_OK) {
        bring_back(slot, start_us, end_us);
        uint32_t share = share_of(device);
        slot->rest_until_us =
            share < 100 ? end_us + (end_us - start_us) * (100 - share) / share : 0;
        return;
    }
    device->status.errors++;
    rr_log_fault(RR_LOG_ERROR, "hash", &fault);
    if (err == RR_ERR_DAMAGED) {
        hash_device_wrong(device, device->life, fault.text);
    } else {
        hash_device_lost(device, run, fault.text);
    }
}

/* ---- the proof of every hour --------------------------------------------------------------------
 */
static bool proof_due(const struct hash_slot *slot)
{
    const struct hash_device *device = slot->run->device;
    return !device->proving && !slot->run->verifying &&
           (slot->run->unproven || hash_now_us() >= device->next_proof_us);
}

static void prove(struct hash_slot *slot)
{
    struct hash_run *run = slot->run;
    struct hash_device *device = run->device;
    struct rr_hash_engine *engine = device->engine;
    struct hash_dataset *dataset = NULL;
    struct rr_fault fault = {0};
    device->proving = true;
    run->verifying = true;
    enter(slot, &dataset);
    uint64_t start_us = hash_now_us();
    enum rr_err err = hash_backend_prove(device->backend, dataset->state, slot->index,
                                         dataset->epoch->light, &fault);
    rr_counter_add(&hash_checked_us, hash_now_us() - start_us);
    bool alive = leave(slot, dataset);
    run->verifying = false;
    if (!alive) {
        return;
    }
    device->proving = false;
    device->next_proof_us =
        engine->kit.times.proof_us != 0 ? hash_now_us() + engine->kit.times.proof_us : UINT64_MAX;
    if (err == RR_OK) {
        device->proofs++;
        run->unproven = run->unproven && dataset != run->now;
        hash_stir(engine);
        return;
    }
    rr_log_fault(RR_LOG_ERROR, "hash", &fault);
    if (err == RR_ERR_DAMAGED) {
        device->status.failed_checks++;
        rr_counter_add(&hash_failed_total, 1);
        hash_device_wrong(device, device->life, fault.text);
    } else {
        device->status.errors++;
        hash_device_lost(device, run, fault.text);
    }
}

/* ---- the thread ---------------------------------------------------------------------------------
 */
static void idle(struct rr_hash_engine *engine)
{
    engine->idle++;
    (void)pthread_cond_wait(&engine->work, &engine->lock);
    engine->idle--;
}

/* One is woken for a new job; who takes a part of it wakes the next. */
static void wake_next(struct rr_hash_engine *engine)
{
    if (engine->idle > 0 && engine->jobs.ring != NULL) {
        (void)pthread_cond_signal(&engine->work);
    }
}

void *hash_slot_body(void *argument)
{
    struct hash_slot *slot = argument;
    struct hash_run *run = slot->run;
    struct rr_hash_engine *engine = run->device->engine;
    if (run->device->is_cpu) {
        /* Searching may take what others leave; refused priorities cost no correctness. */
        (void)setpriority(PRIO_PROCESS, (id_t)gettid(), NICE_OF_THREADS);
    }
    (void)pthread_mutex_lock(&engine->lock);
    while (!run->dead && !engine->stopping) {
        if (hash_request_serve(slot)) {
            continue;
        }
        bool nothing = engine->jobs.ring == NULL && !run->unproven;
        if (!may_search(slot) || (run->unproven && !proof_due(slot))) {
            hash_wait(engine, &engine->change, UINT64_MAX);
        } else if (!nothing && proof_due(slot)) {
            prove(slot);
        } else if (!nothing && hash_now_us() < slot->rest_until_us) {
            wake_next(engine);
            hash_wait(engine, &engine->change, slot->rest_until_us);
        } else if (!nothing && fill(slot)) {
            wake_next(engine);
            run_quantum(slot);
        } else {
            idle(engine);
        }
    }
    slot->left = true;
    hash_stir(engine);
    hash_thread_leaves(engine);
    return NULL;
}

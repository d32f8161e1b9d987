/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What becomes of a device: running, lost, wrong, left out; its numbers; its operator's words. */
#include "hash/hash_engine.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define QUANTUM_US     1500 /* spec 10, 2: 1 to 2 ms */
#define RATE_WINDOW_US 1000000
#define QUANTUM_HASHES (UINT32_C(1) << 24)

bool hash_device_wants(const struct hash_device *device)
{
    switch (device->status.state) {
    case RR_HASH_DEVICE_PREPARING:
    case RR_HASH_DEVICE_RUNNING:
    case RR_HASH_DEVICE_PAUSED:
        return true;
    case RR_HASH_DEVICE_LOST:
        return device->start_at_us != UINT64_MAX;
    case RR_HASH_DEVICE_OFF:
    case RR_HASH_DEVICE_WRONG:
        break;
    }
    return false;
}

void hash_device_state(struct hash_device *device, enum rr_hash_device_state state, const char *why)
{
    device->status.state = state;
    (void)snprintf(device->status.why, sizeof device->status.why, "%.199s", why);
    hash_engine_retext(device->engine);
    hash_stir(device->engine);
}

void hash_devices_count_left(struct rr_hash_engine *engine)
{
    bool left = engine->stopping;
    for (uint32_t i = 0; i < engine->device_count && !left; i++) {
        left = engine->devices[i].asked && hash_device_wants(&engine->devices[i]);
    }
    if (!left && !engine->broken) {
        engine->broken = true;
        hash_jobs_for_each(engine, hash_job_fail);
    } else if (left) {
        engine->broken = false;
    }
}

/* ---- lost and wrong -----------------------------------------------------------------------------
 */
/* From here on no answer of the run counts: what it had goes to others. */
static void bury(struct hash_device *device, struct hash_run *run)
{
    struct rr_hash_engine *engine = device->engine;
    run->dead = true;
    run->dead_since_us = hash_now_us();
    for (uint32_t i = 0; i < run->slot_count; i++) {
        struct hash_slot *slot = &run->slots[i];
        for (size_t j = 0; j < slot->count; j++) {
            hash_jobs_give_back(&engine->jobs, slot->jobs[j], &slot->works[j]);
        }
        for (size_t j = 0; j < slot->count; j++) {
            hash_job_settle(engine, slot->jobs[j]);
        }
        device->status.in_flight -= (uint32_t)slot->count;
        slot->count = 0;
    }
    hash_requests_fail(device);
    device->run = NULL;
    device->proving = false;
    device->tune = false;
    device->quantum = 0;
    run->next_dead = engine->dead;
    engine->dead = run;
    engine->turn = 0;
    for (uint32_t i = 0; i < engine->device_count; i++) {
        uint32_t quantum = engine->devices[i].quantum;
        engine->turn = quantum > engine->turn ? quantum : engine->turn;
    }
}

static void plan_restart(struct hash_device *device)
{
    const struct hash_times *times = &device->engine->kit.times;
    uint64_t now = hash_now_us();
    if (device->running_since_us != 0 && now - device->running_since_us >= times->steady_us) {
        device->restarts_in_row = 0;
    }
    device->start_at_us = device->restarts_in_row < times->restarts_max
                              ? now + (times->backoff_us << device->restarts_in_row)
                              : UINT64_MAX;
    device->restarts_in_row++;
}

void hash_device_lost(struct hash_device *device, struct hash_run *run, const char *why)
{
    if (run->dead) {
        return;
    }
    bury(device, run);
    plan_restart(device);
    hash_device_state(device, RR_HASH_DEVICE_LOST, why);
    rr_log(RR_LOG_ERROR, "hash", "device %s is lost (%s); its works go to others; %s",
           device->status.device.id, why,
           device->start_at_us != UINT64_MAX ? "it will be started again"
                                             : "it was started too often: see to it, then restart");
    hash_devices_count_left(device->engine);
}

bool hash_undo_wrong(struct rr_hash_engine *engine, struct hash_job *job)
{
    bool any = false;
    for (uint32_t i = 0; i < engine->device_count; i++) {
        uint64_t life = engine->devices[i].wrong_life;
        any = (life > 0 && hash_jobs_undo(&engine->jobs, job, i, life)) || any;
    }
    return any;
}

static void undo(struct rr_hash_engine *engine, struct hash_job *job)
{
    if (job->claimed) {
        return; /* looked at again before it leaves */
    }
    if (hash_undo_wrong(engine, job)) {
        hash_job_settle(engine, job);
    }
}

void hash_device_wrong(struct hash_device *device, uint64_t life, const char *why)
{
    struct rr_hash_engine *engine = device->engine;
    if (life <= device->wrong_life) {
        return;
    }
    device->wrong_life = life;
    if (device->life == life) {
        if (device->run != NULL) {
            bury(device, device->run);
        }
        device->start_at_us = UINT64_MAX;
        hash_device_state(device, RR_HASH_DEVICE_WRONG, why);
    }
    rr_log(RR_LOG_ERROR, "hash",
           "device %s is switched off (%s); what it did for unfinished jobs is done again: check "
           "memory and clocks, then restart it",
           device->status.device.id, why);
    hash_devices_count_left(engine);
    hash_jobs_for_each(engine, undo);
    hash_stir(engine);
}

/* ---- a start that failed ------------------------------------------------------------------------
 */
void hash_device_ask(struct hash_device *device)
{
    struct rr_fault fault = {0};
    device->asked = true;
    device->first_start = true;
    device->start = true;
    device->status.state = RR_HASH_DEVICE_PREPARING;
    if (hash_keeper_start(device, &fault) != RR_OK) {
        device->asked = false;
        device->fault = fault;
        hash_device_state(device, RR_HASH_DEVICE_OFF, fault.text);
    }
}

void hash_devices_fall_back(struct rr_hash_engine *engine)
{
    for (uint32_t i = 0; i < engine->device_count && engine->kit.falls_back; i++) {
        struct hash_device *device = &engine->devices[i];
        if (device->is_cpu && !device->asked) {
            rr_log(RR_LOG_WARN, "hash", "no other device can be used: the CPU searches");
            device->last_resort = true;
            hash_device_ask(device);
        }
    }
}

static void ask_others(struct hash_device *device)
{
    struct rr_hash_engine *engine = device->engine;
    bool left = false;
    for (uint32_t i = 0; i < engine->device_count; i++) {
        struct hash_device *other = &engine->devices[i];
        if (other->stands_in == (int)device->index && !other->asked) {
            rr_log(RR_LOG_WARN, "hash", "device %s takes the place of %s", other->status.device.id,
                   device->status.device.id);
            hash_device_ask(other);
        }
        left = left || (other->asked && hash_device_wants(other));
    }
    if (!left) {
        hash_devices_fall_back(engine);
    }
}

void hash_device_close(struct hash_device *device)
{
    if (device->run != NULL) {
        bury(device, device->run);
    }
}

void hash_device_failed(struct hash_device *device, const struct rr_fault *fault)
{
    bool first = device->first_start;
    device->fault = *fault;
    device->first_start = false;
    device->start_at_us = UINT64_MAX;
    if (fault->code == RR_ERR_DAMAGED) {
        device->status.failed_checks++;
        rr_counter_add(&hash_failed_total, 1);
        hash_device_state(device, RR_HASH_DEVICE_WRONG, fault->text);
    } else if (first || fault->code == RR_ERR_MEMORY || fault->code == RR_ERR_UNSUPPORTED) {
        hash_device_state(device, RR_HASH_DEVICE_OFF, fault->text);
    } else {
        device->status.errors++;
        plan_restart(device);
        hash_device_state(device, RR_HASH_DEVICE_LOST, fault->text);
    }
    if (fault->code != RR_ERR_CANCELLED && !device->engine->stopping) {
        rr_log(RR_LOG_WARN, "hash", "device %s is left out: %s", device->status.device.id,
               fault->text);
        if (first || fault->code == RR_ERR_MEMORY) {
            ask_others(device);
        }
    }
    hash_devices_count_left(device->engine);
}

/* ---- numbers ------------------------------------------------------------------------------------
 */
uint64_t hash_device_rate(struct hash_device *device, uint64_t now_us)
{
    uint64_t passed = now_us - device->window_start_us;
    if (passed >= RATE_WINDOW_US) {
        device->status.rate = (device->status.hashes - device->window_hashes) * 1000000 / passed;
        device->window_hashes = device->status.hashes;
        device->window_start_us = now_us;
    }
    return device->status.rate;
}

/* Small quanta tell nothing of the rate: their launch costs more than their hashes. */
void hash_device_timed(struct hash_device *device, uint64_t busy_us, uint64_t hashes)
{
    struct rr_hash_engine *engine = device->engine;
    if (hashes == 0 || (hashes < device->quantum / 2 && busy_us < 2 * QUANTUM_US) ||
        device->run == NULL) {
        return;
    }
    uint64_t ps = (busy_us > 0 ? busy_us : 1) * 1000000 / hashes + 1;
    device->ps_per_hash = device->ps_per_hash == 0 ? ps : (device->ps_per_hash * 7 + ps) / 8;
    uint32_t step = device->run->opened.hashes_step;
    uint64_t quantum = UINT64_C(1000000) * QUANTUM_US / device->ps_per_hash;
    quantum = quantum < QUANTUM_HASHES ? quantum : QUANTUM_HASHES;
    quantum -= quantum % step;
    device->quantum = quantum > 0 ? (uint32_t)quantum : step;
    engine->turn = 0;
    for (uint32_t i = 0; i < engine->device_count; i++) {
        uint32_t other = engine->devices[i].quantum;
        engine->turn = other > engine->turn ? other : engine->turn;
    }
}

struct hash_device *hash_device_find(struct rr_hash_engine *engine, const char *id)
{
    for (uint32_t i = 0; i < engine->device_count; i++) {
        if (strcmp(engine->devices[i].status.device.id, id) == 0) {
            return &engine->devices[i];
        }
    }
    return NULL;
}

size_t rr_hash_engine_devices(struct rr_hash_engine *engine, struct rr_hash_device_status *out,
                              size_t max)
{
    (void)pthread_mutex_lock(&engine->lock);
    uint64_t now = hash_now_us();
    size_t count = engine->device_count < max ? engine->device_count : max;
    for (size_t i = 0; i < count; i++) {
        struct hash_device *device = &engine->devices[i];
        const struct hash_run *run = device->run;
        (void)hash_device_rate(device, now);
        uint64_t ran_us = device->running_since_us != 0 ? now - device->running_since_us : 0;
        out[i] = device->status;
        out[i].effective_rate =
            ran_us > 0 ? (uint64_t)((double)device->worth * 1e6 / (double)ran_us) : 0;
        (void)snprintf(out[i].text, sizeof out[i].text, "%s",
                       run != NULL && run->now != NULL ? run->now->text : "");
    }
    (void)pthread_mutex_unlock(&engine->lock);
    return count;
}

/* ---- an operator's words ------------------------------------------------------------------------
 */
static enum rr_err no_such(const char *id, struct rr_fault *fault)
{
    return rr_fail(fault, RR_ERR_NOTFOUND,
                   "no hash device %s; \"reelrig gpu list\" shows those there are", id);
}

static enum rr_err not_running(const struct hash_device *device, struct rr_fault *fault)
{
    return rr_fail(fault, RR_ERR_STATE, "hash device %s does not run: %s", device->status.device.id,
                   device->status.why[0] != '\0' ? device->status.why : "it was not asked for");
}

enum rr_err rr_hash_device_pause(struct rr_hash_engine *engine, const char *id, const char *why,
                                 struct rr_fault *fault)
{
    enum rr_err err = RR_OK;
    (void)pthread_mutex_lock(&engine->lock);
    struct hash_device *device = hash_device_find(engine, id);
    if (device == NULL) {
        err = no_such(id, fault);
    } else if (device->status.state != RR_HASH_DEVICE_RUNNING &&
               device->status.state != RR_HASH_DEVICE_PAUSED) {
        err = not_running(device, fault);
    } else {
        device->paused = why != NULL;
        hash_device_state(device, why != NULL ? RR_HASH_DEVICE_PAUSED : RR_HASH_DEVICE_RUNNING,
                          why != NULL ? why : "");
    }
    (void)pthread_mutex_unlock(&engine->lock);
    return err;
}

enum rr_err rr_hash_device_restart(struct rr_hash_engine *engine, const char *id,
                                   struct rr_fault *fault)
{
    enum rr_err err = RR_OK;
    (void)pthread_mutex_lock(&engine->lock);
    struct hash_device *device = hash_device_find(engine, id);
    if (device == NULL) {
        err = no_such(id, fault);
    } else if (device->keeper_runs || (err = hash_keeper_start(device, fault)) == RR_OK) {
        if (device->run != NULL) {
            bury(device, device->run);
        }
        device->asked = true;
        device->start = true;
        device->restarts_in_row = 0;
        hash_device_state(device, RR_HASH_DEVICE_PREPARING, "restarted");
        hash_devices_count_left(engine);
        uint64_t number = device->starts_done + (device->starting ? 2 : 1);
        while (device->starts_done < number && !engine->stopping) {
            hash_wait(engine, &engine->change, UINT64_MAX);
        }
        if (device->starts_done < number) {
            err = rr_fail(fault, RR_ERR_CANCELLED, "the engine ends: %.80s stays closed", id);
        } else if ((err = device->start_err) != RR_OK && fault != NULL) {
            *fault = device->fault;
        }
    }
    (void)pthread_mutex_unlock(&engine->lock);
    return err;
}

enum rr_err rr_hash_device_tune(struct rr_hash_engine *engine, const char *id, char text[static 96],
                                struct rr_fault *fault)
{
    enum rr_err err = RR_OK;
    (void)pthread_mutex_lock(&engine->lock);
    struct hash_device *device = hash_device_find(engine, id);
    if (device == NULL) {
        err = no_such(id, fault);
    } else if (device->backend->tune == NULL) {
        err =
            rr_fail(fault, RR_ERR_UNSUPPORTED, "hash device %s has no variants to choose from", id);
    } else if (device->run == NULL) {
        err = not_running(device, fault);
    } else {
        uint64_t number = device->tunes_done + 1;
        device->tune = true;
        hash_stir(engine);
        while (device->tunes_done < number && device->run != NULL && !engine->stopping) {
            hash_wait(engine, &engine->change, UINT64_MAX);
        }
        err = device->tunes_done < number ? not_running(device, fault) : device->tune_err;
        if (err == RR_OK) {
            memcpy(text, device->tuned, sizeof device->tuned);
        } else if (fault != NULL && device->tunes_done >= number) {
            *fault = device->fault;
        }
    }
    (void)pthread_mutex_unlock(&engine->lock);
    return err;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The watch: ends jobs at their deadline, and finds devices that hang. */
#include "hash/hash_engine.h"
#include <inttypes.h>
#include <stdio.h>

/* Since when the device has owed an answer; 0: it does not. */
static uint64_t owes_since(const struct hash_run *run)
{
    uint64_t since_us = 0;
    for (uint32_t i = 0; i < run->slot_count; i++) {
        uint64_t busy_us = run->slots[i].busy_since_us;
        if (busy_us != 0 && (since_us == 0 || busy_us < since_us)) {
            since_us = busy_us;
        }
    }
    return since_us != 0 && since_us < run->last_done_us ? run->last_done_us : since_us;
}

static void watch_device(struct hash_device *device, uint64_t now)
{
    uint64_t hang_us = device->engine->kit.times.hang_us;
    /* The CPU does not hang: it may be busy with better things for long. */
    struct hash_run *run = device->is_cpu ? NULL : device->run;
    uint64_t since_us = run != NULL ? owes_since(run) : 0;
    if (since_us != 0 && now > since_us && now - since_us >= hang_us) {
        char why[200];
        (void)snprintf(why, sizeof why, "hangs: no answer in %" PRIu64 " ms", hang_us / 1000);
        run->hangs = true;
        device->status.errors++;
        hash_device_lost(device, run, why);
    }
}

static uint64_t end_due(struct rr_hash_engine *engine, uint64_t now)
{
    struct hash_job *job = NULL;
    uint64_t deadline_us = hash_jobs_first_deadline(&engine->jobs, &job);
    while (job != NULL && deadline_us <= now) {
        hash_jobs_stop(&engine->jobs, job);
        hash_job_settle(engine, job);
        deadline_us = hash_jobs_first_deadline(&engine->jobs, &job);
    }
    return deadline_us;
}

void *hash_watch_body(void *argument)
{
    struct rr_hash_engine *engine = argument;
    uint64_t every_us = engine->kit.times.hang_us / 4 + 1;
    uint64_t looked_us = hash_now_us();
    (void)pthread_mutex_lock(&engine->lock);
    while (!engine->stopping) {
        uint64_t now = hash_now_us();
        uint64_t until_us = end_due(engine, now);
        bool slept = now - looked_us > 2 * every_us; /* this process was stopped: nobody hung */
        for (uint32_t i = 0; i < engine->device_count; i++) {
            struct hash_run *run = engine->devices[i].run;
            if (slept && run != NULL) {
                run->last_done_us = now;
            }
            watch_device(&engine->devices[i], now);
        }
        looked_us = now;
        hash_wait(engine, &engine->due, until_us < now + every_us ? until_us : now + every_us);
    }
    hash_thread_leaves(engine);
    return NULL;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The keeper of a device: one thread does all that blocks for long, one thing after the other, led
 * by what the device lacks. */
#include "hash/hash_engine.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define ROW_BYTES      UINT64_C(128)
#define MEMINFO_BYTES  65536
#define NICE_OF_BUILDS 10 /* after serving, before searching */

/* ---- datasets -----------------------------------------------------------------------------------
 */
static void tuning_key(const struct hash_device *device, const struct hash_epoch *epoch,
                       char key[static 192])
{
    uint64_t bytes = epoch->params.dataset_items * ROW_BYTES;
    (void)snprintf(key, 192, "%s|%s|%d", device->status.device.id, device->status.device.driver,
                   63 - __builtin_clzll(bytes));
}

static bool load_tuning(struct hash_device *device, const struct hash_epoch *epoch,
                        struct hash_tuning *tuning)
{
    struct rr_hash_engine *engine = device->engine;
    const struct rr_hash_tuning_store *store = &engine->tuning;
    char key[192];
    bool known = false;
    *tuning = (struct hash_tuning){{0}};
    if (device->backend->tune != NULL && store->load != NULL) {
        tuning_key(device, epoch, key);
        (void)pthread_mutex_lock(&engine->tuning_lock);
        known = store->load(store->ctx, key, tuning->text);
        (void)pthread_mutex_unlock(&engine->tuning_lock);
        tuning->text[sizeof tuning->text - 1] = '\0';
    }
    return known;
}

static enum rr_err race(struct hash_device *device, const struct hash_dataset *dataset,
                        struct hash_tuning *best, struct rr_fault *fault)
{
    struct rr_hash_engine *engine = device->engine;
    const struct rr_hash_tuning_store *store = &engine->tuning;
    char key[192];
    enum rr_err err = device->backend->tune(dataset->state, best, fault);
    if (err == RR_OK) {
        rr_log(RR_LOG_INFO, "hash", "device %s is tuned: %s", device->status.device.id, best->text);
        if (store->save != NULL) {
            tuning_key(device, dataset->epoch, key);
            (void)pthread_mutex_lock(&engine->tuning_lock);
            store->save(store->ctx, key, best->text);
            (void)pthread_mutex_unlock(&engine->tuning_lock);
        }
    }
    return err;
}

/* How much the kernel could give without paging; 0: not told. */
static uint64_t memory_left(void)
{
    struct rr_buf text = {0};
    unsigned long long kib = 0;
    if (rr_file_read(&text, "/proc/meminfo", MEMINFO_BYTES, NULL) == RR_OK) {
        rr_write_u8(&text, 0);
        const char *line = strstr((const char *)text.ptr, "MemAvailable:");
        if (line == NULL || sscanf(line, "MemAvailable: %llu kB", &kib) != 1) {
            kib = 0;
        }
    }
    rr_buf_clear(&text);
    return (uint64_t)kib * 1024;
}

static bool is_whole(const struct hash_device *device, const struct hash_epoch *epoch)
{
    const struct rr_hash_engine *engine = device->engine;
    return !device->is_cpu || (!device->light_only && epoch->params.dataset_items * ROW_BYTES <=
                                                          engine->dataset_bytes_max);
}

/* No lock. The epoch is held by the caller; the dataset takes that over on success. */
static enum rr_err make_dataset(struct hash_dataset **out, struct hash_device *device,
                                struct hash_run *run, struct hash_epoch *epoch, bool whole,
                                bool may_race, struct rr_fault *fault)
{
    struct rr_hash_engine *engine = device->engine;
    struct hash_setup setup = {.params = epoch->params,
                               .light = epoch->light,
                               .dataset_bytes_max = whole ? engine->dataset_bytes_max : 0,
                               .threads = engine->threads,
                               .cancel = &engine->cancel};
    struct hash_tuning best = {{0}};
    bool tuned = load_tuning(device, epoch, &setup.tuning);
    struct hash_dataset *dataset = rr_alloc(sizeof(*dataset));
    dataset->epoch = epoch;
    dataset->whole = whole;
    enum rr_err err = device->backend->prepare(&dataset->state, run->handle, &setup, fault);
    if (err != RR_OK) {
        rr_free(dataset);
        return err;
    }
    if (device->backend->tune != NULL && !tuned && may_race) {
        struct rr_fault unlucky = {0};
        if (race(device, dataset, &best, &unlucky) != RR_OK) {
            rr_log_fault(RR_LOG_WARN, "hash", &unlucky); /* the default variant serves */
        }
    }
    (void)snprintf(dataset->text, sizeof dataset->text, "%s",
                   device->backend->text(dataset->state));
    *out = dataset;
    return RR_OK;
}

/* Lock held at call and return, not meanwhile. */
static void release(struct hash_device *device, struct hash_dataset *dataset)
{
    struct rr_hash_engine *engine = device->engine;
    (void)pthread_mutex_unlock(&engine->lock);
    device->backend->release(dataset->state);
    (void)pthread_mutex_lock(&engine->lock);
    hash_epoch_drop(engine, dataset->epoch);
    rr_free(dataset);
}

static void retire(struct hash_run *run, struct hash_dataset **dataset)
{
    if (*dataset != NULL) {
        (*dataset)->next_old = run->old;
        run->old = *dataset;
        *dataset = NULL;
    }
}

static bool release_old(struct hash_run *run)
{
    for (struct hash_dataset **link = &run->old; *link != NULL; link = &(*link)->next_old) {
        struct hash_dataset *dataset = *link;
        if (dataset->users == 0) {
            *link = dataset->next_old;
            release(run->device, dataset);
            return true;
        }
    }
    return false;
}

/* ---- opening and closing ------------------------------------------------------------------------
 */
bool hash_run_reap(struct rr_hash_engine *engine, struct hash_run *run)
{
    struct hash_device *device = run->device;
    for (uint32_t i = 0; i < run->slot_count; i++) {
        if (run->slots[i].joinable && !run->slots[i].left) {
            return false;
        }
    }
    retire(run, &run->now);
    retire(run, &run->next);
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
        (void)release_old(run);
    }
    (void)pthread_mutex_unlock(&engine->lock);
    device->backend->close(run->handle);
    rr_free(run->slots);
    rr_free(run);
    (void)pthread_mutex_lock(&engine->lock);
    return true;
}

static bool reap_dead(struct hash_device *device)
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
static uint64_t old_life_until(const struct hash_device *device)
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
static enum rr_err start_slots(struct hash_device *device, struct hash_run *run,
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

static enum rr_err open_run(struct hash_run **out, struct hash_device *device,
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
    bool whole = is_whole(device, epoch) && !(device->is_cpu && engine->light_first);
    err = make_dataset(&run->now, device, run, epoch, whole, true, fault);
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
    device->quantum = run->opened.hashes_first > 0 ? run->opened.hashes_first : 1;
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
    device->busy = true;
    hash_device_state(device, RR_HASH_DEVICE_PREPARING, "");
    hash_epoch_hold(epoch);
    (void)pthread_mutex_unlock(&engine->lock);
    enum rr_err err = open_run(&run, device, epoch, &fault);
    (void)pthread_mutex_lock(&engine->lock);
    if (err == RR_OK) {
        begin(device, run);
        err = engine->stopping ? RR_OK : start_slots(device, run, &fault);
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
    device->busy = false;
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
    device->busy = true;
    (void)pthread_mutex_unlock(&engine->lock);
    struct hash_dataset *made = NULL;
    enum rr_err err = make_dataset(&made, device, run, epoch, whole, may_race, fault);
    (void)pthread_mutex_lock(&engine->lock);
    device->busy = false;
    if (err != RR_OK) {
        hash_epoch_drop(engine, epoch);
    } else if (run->dead || engine->stopping) {
        release(device, made);
        err = rr_fail(fault, RR_ERR_CANCELLED, "the device has ended meanwhile");
    } else {
        *out = made;
    }
    return err;
}

static void take_present(struct hash_device *device, struct hash_dataset *made)
{
    retire(device->run, &device->run->now);
    device->run->now = made;
    device->run->unproven = true;
    device->ps_per_hash = 0;
    device->quantum = device->run->opened.hashes_first > 0 ? device->run->opened.hashes_first : 1;
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
    retire(run, &run->now);
    if (run->old != NULL) { /* first: there may be room for one only */
        if (!release_old(run)) {
            hash_wait(engine, &engine->change, UINT64_MAX);
        }
        return;
    }
    if (!device->paused) {
        hash_device_state(device, RR_HASH_DEVICE_PREPARING, "makes the dataset of the new epoch");
    }
    bool whole = is_whole(device, engine->epoch) && !(device->is_cpu && engine->light_first);
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
        release(device, made);
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
    uint64_t bytes = epoch->params.dataset_items * ROW_BYTES;
    bool whole = is_whole(device, epoch);
    uint64_t left = device->is_cpu && whole ? memory_left() : 0;
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
        release(device, made);
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
    enum rr_err err = race(device, dataset, &best, &fault);
    (void)pthread_mutex_lock(&engine->lock);
    dataset->users--;
    (void)snprintf(dataset->text, sizeof dataset->text, "%s",
                   device->backend->text(dataset->state));
    memcpy(device->tuned, best.text, sizeof device->tuned);
    device->fault = fault;
    device->tune_err = err;
    device->tunes_done++;
    device->tune = false;
    hash_engine_retext(engine);
    device->ps_per_hash = 0;
    hash_stir(engine);
}

/* One thing that is lacking; false when nothing is. */
static bool mend(struct hash_device *device)
{
    struct rr_hash_engine *engine = device->engine;
    struct hash_run *run = device->run;
    if (reap_dead(device)) {
        return true;
    } else if (device->start || (run == NULL && hash_now_us() >= device->start_at_us)) {
        uint64_t until_us = old_life_until(device);
        if (until_us <= hash_now_us()) {
            start(device);
        } else {
            hash_wait(engine, &engine->change, until_us);
        }
    } else if (run == NULL) {
        return false;
    } else if (run->now == NULL || run->now->epoch != engine->epoch) {
        make_present(device);
    } else if (device->tune) {
        tune(device);
    } else if (run->next != NULL && run->next->epoch != engine->next) {
        retire(run, &run->next);
    } else if (run->old != NULL && release_old(run)) {
        return true;
    } else if (!run->now->whole && is_whole(device, engine->epoch)) {
        upgrade(device);
    } else if (engine->next != NULL && run->next == NULL && run->refused != engine->next) {
        make_next(device);
    } else {
        return false;
    }
    return true;
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

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Datasets of a device: made, tuned, retired, released once nobody is in them. */
#include "hash/hash_engine.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROW_BYTES     UINT64_C(128)
#define MEMINFO_BYTES 65536

uint64_t hash_dataset_bytes(const struct hash_epoch *epoch)
{
    return epoch->params.dataset_items * ROW_BYTES;
}

static void tuning_key(const struct hash_device *device, const struct hash_epoch *epoch,
                       char key[static 192])
{
    uint64_t bytes = hash_dataset_bytes(epoch);
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

enum rr_err hash_dataset_race(struct hash_device *device, const struct hash_dataset *dataset,
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
uint64_t hash_memory_left(void)
{
    struct rr_buf text = {0};
    static const char label[] = "MemAvailable:";
    uint64_t kib = 0;
    if (rr_file_read(&text, "/proc/meminfo", MEMINFO_BYTES, NULL) == RR_OK) {
        rr_write_u8(&text, 0);
        const char *line = strstr((const char *)text.ptr, label);
        kib = line != NULL ? strtoull(line + sizeof label - 1, NULL, 10) : 0;
    }
    rr_buf_clear(&text);
    return kib * 1024;
}

bool hash_dataset_whole(const struct hash_device *device, const struct hash_epoch *epoch)
{
    return !device->is_cpu || hash_dataset_bytes(epoch) <= device->engine->dataset_bytes_max;
}

/* No lock. The epoch is held by the caller; the dataset takes that over on success. */
enum rr_err hash_dataset_make(struct hash_dataset **out, struct hash_device *device,
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
    if (err == RR_ERR_MEMORY && device->last_resort && whole) {
        rr_log_fault(RR_LOG_WARN, "hash", fault);
        setup.dataset_bytes_max = 0; /* light goes everywhere */
        err = device->backend->prepare(&dataset->state, run->handle, &setup, fault);
    }
    if (err != RR_OK) {
        rr_free(dataset);
        return err;
    }
    if (device->backend->tune != NULL && !tuned && may_race) {
        struct rr_fault unlucky = {0};
        if (hash_dataset_race(device, dataset, &best, &unlucky) != RR_OK) {
            rr_log_fault(RR_LOG_WARN, "hash", &unlucky); /* the default variant serves */
        }
    }
    (void)snprintf(dataset->text, sizeof dataset->text, "%s",
                   device->backend->text(dataset->state));
    *out = dataset;
    return RR_OK;
}

/* Lock held at call and return, not meanwhile. */
void hash_dataset_release(struct hash_device *device, struct hash_dataset *dataset)
{
    struct rr_hash_engine *engine = device->engine;
    (void)pthread_mutex_unlock(&engine->lock);
    device->backend->release(dataset->state);
    (void)pthread_mutex_lock(&engine->lock);
    hash_epoch_drop(engine, dataset->epoch);
    rr_free(dataset);
}

void hash_dataset_retire(struct hash_run *run, struct hash_dataset **dataset)
{
    if (*dataset != NULL) {
        (*dataset)->next_old = run->old;
        run->old = *dataset;
        *dataset = NULL;
    }
}

bool hash_dataset_release_old(struct hash_run *run)
{
    for (struct hash_dataset **link = &run->old; *link != NULL; link = &(*link)->next_old) {
        struct hash_dataset *dataset = *link;
        if (dataset->users == 0) {
            *link = dataset->next_old;
            hash_dataset_release(run->device, dataset);
            return true;
        }
    }
    return false;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Repair in the background, scrub, and the check of every invariant (spec 30, 4). */
#include "storage/storage_private.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static RR_COUNTER(
    repaired_counter, "reelrig_store_shards_repaired_total",
    "Shards rebuilt and checked against their root") static RR_COUNTER(lost_counter,
                                                                       "reelrig_store_objects_lost_"
                                                                       "total",
                                                                       "Repairs that found fewer "
                                                                       "than k good shards")

    void storage_repair_later(struct rr_store *store, const struct rr_hash32 *object_id)
{
    pthread_mutex_lock(&store->repair_lock);
    struct storage_task **at = &store->queue;
    while (*at != NULL && !rr_hash32_equal(&(*at)->object_id, object_id)) {
        at = &(*at)->next;
    }
    if (*at == NULL && !store->closing) {
        struct storage_task *task = rr_alloc(sizeof *task);
        task->object_id = *object_id;
        *at = task;
        store->queued++;
        pthread_cond_broadcast(&store->repair_changed);
    }
    pthread_mutex_unlock(&store->repair_lock);
}

static bool is_closing(struct rr_store *store)
{
    pthread_mutex_lock(&store->repair_lock);
    bool closing = store->closing;
    pthread_mutex_unlock(&store->repair_lock);
    return closing;
}

/* Keeps or drops an object among those beyond repair; true when that is news. */
static bool note_lost(struct rr_store *store, const struct rr_hash32 *object_id, bool lost)
{
    pthread_mutex_lock(&store->repair_lock);
    struct storage_task **at = &store->lost;
    while (*at != NULL && !rr_hash32_equal(&(*at)->object_id, object_id)) {
        at = &(*at)->next;
    }
    struct storage_task *task = *at;
    if (task == NULL && lost) {
        *at = rr_alloc(sizeof **at);
        (*at)->object_id = *object_id;
    } else if (task != NULL && !lost) {
        *at = task->next;
        rr_free(task);
    }
    pthread_mutex_unlock(&store->repair_lock);
    return (task != NULL) != lost;
}

/* Rebuilds shard `lost` into a temporary file; k good shards are named by `from`. Published only
 * when its root is the record's. */
static enum rr_err rebuild(struct rr_store *store, const struct rr_object *object,
                           struct storage_shard *shards, const uint8_t from[], uint8_t lost,
                           struct rr_fault *fault)
{
    const struct storage_code *code = storage_code_get(object->k, object->m);
    uint64_t strips = storage_strips(object);
    char path[RR_PATH_BYTES], to[RR_PATH_BYTES], folder[RR_PATH_BYTES];
    uint8_t *in[RR_SHARDS_MAX];
    uint8_t *tables = rr_alloc_aligned((size_t)32 * object->k);
    uint8_t *buffers = rr_alloc_aligned(((size_t)object->k + 1) * RR_STRIP_BYTES);
    uint8_t *made = buffers + (size_t)object->k * RR_STRIP_BYTES;
    struct rr_hash32 *nodes = rr_alloc_array(strips, sizeof *nodes), root;
    int fd = -1;
    char id[65];
    rr_hex(id, object->object_id.bytes, 32);
    RR_CHECK(storage_code_decoder(code, tables, from, lost));
    enum rr_err err =
        rr_path(path, fault, "%s/tmp/%s.%03u.repair", store->folder, id, (unsigned)lost);
    if (err == RR_OK) {
        fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        err = fd >= 0 ? RR_OK : rr_fail_errno(fault, "cannot write %s", path);
    }
    for (uint64_t s = 0; s < strips && err == RR_OK; s++) {
        if (is_closing(store)) {
            err = rr_fail(fault, RR_ERR_CANCELLED, "the store closes; %s is repaired later", id);
        }
        for (unsigned i = 0; i < object->k && err == RR_OK; i++) {
            in[i] = buffers + (size_t)i * RR_STRIP_BYTES;
            if (!storage_shard_strip(store, &shards[from[i]], object, from[i], s, in[i])) {
                err =
                    rr_fail(fault, RR_ERR_DAMAGED, "a shard of %s went bad during its repair", id);
            }
        }
        if (err == RR_OK) {
            storage_code_decode(code, tables, in, made, RR_STRIP_BYTES);
            storage_strip_node(&nodes[s], made, s);
            err = rr_pwrite_full(fd, made, RR_STRIP_BYTES, s * RR_STRIP_BYTES, fault);
        }
    }
    if (err == RR_OK) {
        storage_shard_root(&root, nodes, strips, made);
        if (!rr_hash32_equal(&root, &object->roots[lost])) {
            err =
                rr_fail(fault, RR_ERR_DAMAGED,
                        "shard %u of %s was rebuilt with another root than its record's; not kept",
                        (unsigned)lost, id);
        }
    }
    if (err == RR_OK && (err = storage_sync(store, fd, fault)) == RR_OK &&
        (err = storage_shard_path(store, to, &object->object_id, lost, fault)) == RR_OK &&
        (err = storage_object_folder(store, folder, &object->object_id, fault)) == RR_OK &&
        (err = rr_make_folders(folder, fault)) == RR_OK) {
        storage_forget(store, &object->object_id, lost);
        err = rename(path, to) == 0 ? storage_sync_folder(store, folder, fault)
                                    : rr_fail_errno(fault, "cannot name %s", to);
    } else if (fd >= 0) {
        unlink(path);
    }
    if (fd >= 0) {
        close(fd);
    }
    rr_free(nodes);
    rr_free(buffers);
    rr_free(tables);
    return err;
}

/* Looks at all shards afresh: up to k good ones into from, bad ones into lost. */
static enum rr_err sort_shards(struct rr_store *store, const struct rr_object *object,
                               struct storage_shard *shards, uint8_t from[], unsigned *good,
                               uint8_t lost[], unsigned *bad, struct rr_fault *fault)
{
    for (unsigned j = 0; j < (unsigned)object->k + object->m; j++) {
        storage_forget(store, &object->object_id, (uint8_t)j);
        if (storage_shard_open(store, &shards[j], object, (uint8_t)j)) {
            if (*good < object->k) {
                from[(*good)++] = (uint8_t)j;
            }
        } else if (shards[j].refused != 0) {
            errno = shards[j].refused;
            return rr_fail_errno(fault, "cannot open the shards of an object to repair it");
        } else {
            lost[(*bad)++] = (uint8_t)j;
        }
    }
    return RR_OK;
}

static void count_bad(struct rr_store *store, const struct storage_shard *shard)
{
    atomic_fetch_add(shard->fd < 0 ? &store->missing : &store->damaged, 1);
}

static enum rr_err repair(struct rr_store *store, const struct rr_hash32 *object_id,
                          struct rr_fault *fault)
{
    struct rr_object object;
    uint8_t from[RR_SHARDS_MAX], lost[RR_SHARDS_MAX];
    unsigned good = 0, bad = 0;
    pthread_mutex_lock(&store->publish_lock);
    struct storage_shard *shards = rr_alloc_array(RR_SHARDS_MAX, sizeof *shards);
    enum rr_err err = storage_find(store, object_id, &object, fault);
    if (err == RR_OK) {
        err = sort_shards(store, &object, shards, from, &good, lost, &bad, fault);
    }
    if (err == RR_OK && good < object.k) {
        char id[65];
        rr_hex(id, object_id->bytes, 32);
        if (note_lost(store, object_id, true)) {
            rr_counter_add(&lost_counter, 1);
            for (unsigned i = 0; i < bad; i++) {
                count_bad(store, &shards[lost[i]]);
            }
        }
        err = rr_fail(fault, RR_ERR_DAMAGED, "object %s has only %u good shards of the %u it needs",
                      id, good, (unsigned)object.k);
    } else if (err == RR_OK) {
        (void)note_lost(store, object_id, false);
    }
    for (unsigned i = 0; i < bad && err == RR_OK; i++) {
        err = rebuild(store, &object, shards, from, lost[i], fault);
        if (err == RR_OK) {
            count_bad(store, &shards[lost[i]]);
            atomic_fetch_add(&store->repaired, 1);
            rr_counter_add(&repaired_counter, 1);
        }
    }
    for (unsigned j = 0; j < RR_SHARDS_MAX; j++) {
        storage_shard_close(&shards[j]);
    }
    rr_free(shards);
    pthread_mutex_unlock(&store->publish_lock);
    return err;
}

void *storage_repair_run(void *ctx)
{
    struct rr_store *store = ctx;
    pthread_mutex_lock(&store->repair_lock);
    while (!store->closing) {
        struct storage_task *task = store->queue;
        if (task == NULL) {
            pthread_cond_wait(&store->repair_changed, &store->repair_lock);
            continue;
        }
        store->queue = task->next;
        pthread_mutex_unlock(&store->repair_lock);
        struct rr_fault fault = {0};
        enum rr_err err = repair(store, &task->object_id, &fault);
        if (err != RR_OK && err != RR_ERR_NOTFOUND && err != RR_ERR_CANCELLED) {
            rr_log_fault(RR_LOG_ERROR, "store", &fault);
        }
        rr_free(task);
        pthread_mutex_lock(&store->repair_lock);
        store->queued--;
        pthread_cond_broadcast(&store->repair_changed);
    }
    pthread_mutex_unlock(&store->repair_lock);
    return NULL;
}

bool rr_store_wait_repaired(struct rr_store *store, uint64_t timeout_ms)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += (time_t)(timeout_ms / 1000);
    until.tv_nsec += (long)(timeout_ms % 1000) * 1000000L;
    if (until.tv_nsec >= 1000000000L) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000L;
    }
    pthread_mutex_lock(&store->repair_lock);
    int rc = 0;
    while (store->queued > 0 && rc != ETIMEDOUT) {
        rc = pthread_cond_timedwait(&store->repair_changed, &store->repair_lock, &until);
    }
    bool done = store->queued == 0;
    pthread_mutex_unlock(&store->repair_lock);
    return done;
}

/* ---- scrub and fsck
 * ------------------------------------------------------------------------------------------ */

struct id_list {
    struct rr_buf ids;
};

static bool add_id(void *ctx, const struct rr_object *object)
{
    struct id_list *list = ctx;
    rr_buf_append(&list->ids, object->object_id.bytes, 32);
    return true;
}

/* Looks at every shard of an object afresh. */
static enum rr_err look(struct rr_store *store, const struct rr_object *object, uint64_t *good,
                        uint64_t *bad, uint64_t *missing, struct rr_fault *fault)
{
    enum rr_err err = RR_OK;
    for (unsigned j = 0; j < (unsigned)object->k + object->m; j++) {
        struct storage_shard shard = {0};
        storage_forget(store, &object->object_id, (uint8_t)j);
        if (storage_shard_open(store, &shard, object, (uint8_t)j)) {
            ++*good;
        } else if (shard.refused != 0) {
            errno = shard.refused;
            err = rr_fail_errno(fault, "cannot open the shards of an object to check it");
        } else if (shard.fd >= 0) {
            ++*bad;
        } else {
            ++*missing;
        }
        storage_shard_close(&shard);
    }
    return err;
}

enum rr_err rr_store_scrub(struct rr_store *store, uint64_t *bad_shards, struct rr_fault *fault)
{
    struct id_list list = {0};
    uint64_t found = 0;
    enum rr_err err = rr_store_visit(store, add_id, &list, fault);
    for (size_t at = 0; at < list.ids.len && err == RR_OK; at += 32) {
        struct rr_hash32 id;
        struct rr_object object;
        uint64_t good = 0, bad = 0, missing = 0;
        memcpy(id.bytes, list.ids.ptr + at, 32);
        if (storage_find(store, &id, &object, NULL) == RR_OK) {
            err = look(store, &object, &good, &bad, &missing, fault);
            if (bad + missing > 0) {
                found += bad + missing;
                storage_repair_later(store, &id);
            }
        }
    }
    rr_buf_clear(&list.ids);
    if (err == RR_OK) {
        while (!rr_store_wait_repaired(store, 1000)) {
        }
        *bad_shards = found;
    }
    return err;
}

/* Files below objects/ that no record names. */
static uint64_t count_orphans(struct rr_store *store, bool remove)
{
    uint64_t orphans = 0;
    for (unsigned i = 0; i < 256; i++) {
        char folder[RR_PATH_BYTES];
        if (rr_path(folder, NULL, "%s/objects/%02x", store->folder, i) != RR_OK) {
            continue;
        }
        DIR *dir = opendir(folder);
        for (struct dirent *entry; dir != NULL && (entry = readdir(dir)) != NULL;) {
            struct rr_hash32 id;
            struct rr_object object;
            size_t len = strlen(entry->d_name);
            if (entry->d_name[0] == '.') {
                continue;
            }
            /* A record that cannot be read just now names its files all the same. */
            bool named = len == 68 &&
                         rr_unhex_slice(id.bytes, 32, rr_slice_of(entry->d_name, 64)) &&
                         storage_find(store, &id, &object, NULL) != RR_ERR_NOTFOUND;
            if (!named) {
                orphans++;
                if (remove) {
                    unlinkat(dirfd(dir), entry->d_name, 0);
                }
            }
        }
        if (dir != NULL) {
            closedir(dir);
        }
    }
    return orphans;
}

uint64_t storage_sweep(struct rr_store *store)
{
    return count_orphans(store, true);
}

enum rr_err rr_store_fsck(struct rr_store *store, struct rr_store_check *out,
                          struct rr_fault *fault)
{
    struct id_list list = {0};
    struct rr_store_check check = {0};
    uint64_t used = 0, counted = 0;
    enum rr_err err = rr_store_visit(store, add_id, &list, fault);
    for (size_t at = 0; at < list.ids.len && err == RR_OK; at += 32) {
        struct rr_hash32 id;
        struct rr_object object;
        memcpy(id.bytes, list.ids.ptr + at, 32);
        if (storage_find(store, &id, &object, NULL) == RR_OK) {
            check.objects++;
            counted += rr_object_shard_bytes(&object) * ((uint64_t)object.k + object.m);
            err = look(store, &object, &check.shards_good, &check.shards_bad, &check.shards_missing,
                       fault);
        }
    }
    rr_buf_clear(&list.ids);
    if (err == RR_OK && (err = storage_used(store, &used, fault)) == RR_OK) {
        check.orphans = count_orphans(store, false);
        check.quota_drift_bytes = used > counted ? used - counted : counted - used;
        *out = check;
    }
    return err;
}

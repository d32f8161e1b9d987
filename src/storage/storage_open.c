/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Opening and the index: objects, quota, manifests. */
#include "storage/storage_private.h"

#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

static const char *const tables[STORAGE_TABLES] = {"objects", "manifests", "meta"};
static const char used_key[] = "used-bytes";

static struct rr_slice id_key(const struct rr_hash32 *id)
{
    return rr_slice_of(id->bytes, sizeof id->bytes);
}

static uint64_t object_bytes(const struct rr_object *object)
{
    return rr_object_shard_bytes(object) * ((uint64_t)object->k + object->m);
}

static bool decode_live(struct rr_slice value, struct rr_object *out)
{
    return value.len > 1 && value.ptr[0] == STORAGE_LIVE &&
           rr_object_decode(out, rr_slice_of(value.ptr + 1, value.len - 1), NULL) == RR_OK;
}

/* ---- index
 * --------------------------------------------------------------------------------------------- */

enum rr_err storage_find(struct rr_store *store, const struct rr_hash32 *object_id,
                         struct rr_object *out, struct rr_fault *fault)
{
    struct rr_db_txn *txn = NULL;
    struct rr_slice value;
    enum rr_err err = rr_db_begin(store->db, false, &txn, fault);
    if (err != RR_OK) {
        return err;
    }
    err = rr_db_get(txn, STORAGE_OBJECTS, id_key(object_id), &value, fault);
    if (err == RR_OK && value.len > 0 && value.ptr[0] == STORAGE_DEAD) {
        err = RR_ERR_NOTFOUND;
    } else if (err == RR_OK && !decode_live(value, out)) {
        err = rr_fail(fault, RR_ERR_DAMAGED, "the index of the store in %s is damaged",
                      store->folder);
    }
    rr_db_abort(txn);
    if (err == RR_ERR_NOTFOUND) {
        char id[65];
        rr_hex(id, object_id->bytes, 32);
        return rr_fail(fault, RR_ERR_NOTFOUND, "there is no object %s in the store", id);
    }
    return err;
}

static enum rr_err read_used(struct rr_db_txn *txn, uint64_t *out, struct rr_fault *fault)
{
    struct rr_slice value;
    enum rr_err err = rr_db_get(txn, STORAGE_META, rr_slice_str(used_key), &value, fault);
    if (err == RR_ERR_NOTFOUND) {
        *out = 0;
        return RR_OK;
    }
    if (err == RR_OK && value.len != 8) {
        return rr_fail(fault, RR_ERR_DAMAGED, "the store's quota record is damaged");
    }
    if (err == RR_OK) {
        *out = rr_load_u64le(value.ptr);
    }
    return err;
}

static enum rr_err write_used(struct rr_db_txn *txn, uint64_t used, struct rr_fault *fault)
{
    uint8_t bytes[8];
    for (unsigned i = 0; i < 8; i++) {
        bytes[i] = (uint8_t)(used >> (8 * i));
    }
    return rr_db_put(txn, STORAGE_META, rr_slice_str(used_key), rr_slice_of(bytes, sizeof bytes),
                     fault);
}

enum rr_err storage_used(struct rr_store *store, uint64_t *out, struct rr_fault *fault)
{
    struct rr_db_txn *txn = NULL;
    enum rr_err err = rr_db_begin(store->db, false, &txn, fault);
    if (err == RR_OK) {
        err = read_used(txn, out, fault);
        rr_db_abort(txn);
    }
    return err;
}

/* A record's new state; erase when 0. */
struct change {
    const struct rr_object *object;
    enum storage_state state;
    bool erase;
};

static enum rr_err apply(struct rr_db_txn *txn, void *ctx, struct rr_fault *fault)
{
    const struct change *change = ctx;
    struct rr_buf value = {0};
    uint64_t used = 0, bytes = object_bytes(change->object);
    enum rr_err err = read_used(txn, &used, fault);
    if (err == RR_OK && change->erase) {
        err = rr_db_delete(txn, STORAGE_OBJECTS, id_key(&change->object->object_id), fault);
    } else if (err == RR_OK) {
        rr_write_u8(&value, (uint8_t)change->state);
        rr_object_encode(&value, change->object);
        err = rr_db_put(txn, STORAGE_OBJECTS, id_key(&change->object->object_id),
                        rr_buf_slice(&value), fault);
    }
    if (err == RR_OK && change->state == STORAGE_LIVE) {
        err = write_used(txn, used + bytes, fault);
    } else if (err == RR_OK && change->erase) {
        err = write_used(txn, used - (bytes < used ? bytes : used), fault);
    }
    rr_buf_clear(&value);
    return err;
}

enum rr_err storage_commit(struct rr_store *store, const struct rr_object *object,
                           struct rr_fault *fault)
{
    struct change change = {.object = object, .state = STORAGE_LIVE};
    enum rr_err err = rr_db_write(store->db, apply, &change, fault);
    if (err == RR_OK) {
        atomic_fetch_add(&store->objects, 1);
        atomic_fetch_add(&store->shards, (uint64_t)object->k + object->m);
        atomic_fetch_add(&store->bytes, object_bytes(object));
    }
    return err;
}

static enum rr_err bury(struct rr_store *store, const struct rr_object *object,
                        struct rr_fault *fault)
{
    char path[RR_PATH_BYTES];
    for (unsigned j = 0; j < (unsigned)object->k + object->m; j++) {
        storage_forget(store, &object->object_id, (uint8_t)j);
        if (storage_shard_path(store, path, &object->object_id, (uint8_t)j, NULL) == RR_OK) {
            unlink(path);
        }
    }
    struct change change = {.object = object, .state = STORAGE_DEAD, .erase = true};
    return rr_db_write(store->db, apply, &change, fault);
}

enum rr_err rr_store_remove(struct rr_store *store, const struct rr_hash32 *object_id,
                            struct rr_fault *fault)
{
    struct rr_object object;
    pthread_mutex_lock(&store->publish_lock);
    enum rr_err err = storage_find(store, object_id, &object, fault);
    if (err == RR_OK) {
        struct change change = {.object = &object, .state = STORAGE_DEAD};
        if ((err = rr_db_write(store->db, apply, &change, fault)) == RR_OK &&
            (err = bury(store, &object, fault)) == RR_OK) {
            atomic_fetch_sub(&store->objects, 1);
            atomic_fetch_sub(&store->shards, (uint64_t)object.k + object.m);
            atomic_fetch_sub(&store->bytes, object_bytes(&object));
        }
    } else if (err == RR_ERR_NOTFOUND) {
        err = RR_OK;
    }
    pthread_mutex_unlock(&store->publish_lock);
    return err;
}

enum rr_err rr_store_object(struct rr_store *store, const struct rr_hash32 *object_id,
                            struct rr_object *out, struct rr_fault *fault)
{
    return storage_find(store, object_id, out, fault);
}

struct object_visit {
    bool (*visit)(void *ctx, const struct rr_object *object);
    void *ctx;
    struct rr_buf dead; /* encoded records to bury, gathered at open */
};

static bool visit_value(void *ctx, struct rr_slice key, struct rr_slice value)
{
    struct object_visit *visit = ctx;
    struct rr_object object;
    (void)key;
    return !decode_live(value, &object) || visit->visit(visit->ctx, &object);
}

enum rr_err rr_store_visit(struct rr_store *store,
                           bool (*visit)(void *ctx, const struct rr_object *object), void *ctx,
                           struct rr_fault *fault)
{
    struct object_visit context = {.visit = visit, .ctx = ctx};
    struct rr_db_txn *txn = NULL;
    enum rr_err err = rr_db_begin(store->db, false, &txn, fault);
    if (err == RR_OK) {
        err = rr_db_scan(txn, STORAGE_OBJECTS, (struct rr_slice){0}, visit_value, &context, fault);
        rr_db_abort(txn);
    }
    return err;
}

enum rr_err rr_store_shard_path(struct rr_store *store, char out[static RR_PATH_BYTES],
                                const struct rr_hash32 *object_id, uint8_t index,
                                struct rr_fault *fault)
{
    return storage_shard_path(store, out, object_id, index, fault);
}

void rr_store_stats(struct rr_store *store, struct rr_store_stats *out)
{
    struct statvfs fs;
    *out = (struct rr_store_stats){
        .objects = atomic_load(&store->objects),
        .shards = atomic_load(&store->shards),
        .bytes = atomic_load(&store->bytes),
        .shards_missing = atomic_load(&store->missing),
        .shards_damaged = atomic_load(&store->damaged),
        .shards_repaired = atomic_load(&store->repaired),
        .degraded_reads = atomic_load(&store->degraded_reads),
        .quota_bytes = store->quota_bytes,
    };
    pthread_mutex_lock(&store->repair_lock);
    out->repair_queue = store->queued;
    pthread_mutex_unlock(&store->repair_lock);
    if (statvfs(store->folder, &fs) == 0) {
        out->free_bytes = (uint64_t)fs.f_bavail * fs.f_frsize;
    }
}

/* ---- manifests
 * ---------------------------------------------------------------------------------------------- */

static enum rr_err put_manifest(struct rr_db_txn *txn, void *ctx, struct rr_fault *fault)
{
    const struct rr_manifest *manifest = ctx;
    struct rr_manifest have;
    struct rr_slice value;
    struct rr_buf bytes = {0};
    enum rr_err err =
        rr_db_get(txn, STORAGE_MANIFESTS, id_key(&manifest->resource_id), &value, fault);
    if (err == RR_OK && rr_manifest_decode(&have, value, fault) == RR_OK) {
        bool newer = have.revision > manifest->revision;
        rr_manifest_clear(&have);
        if (newer) {
            return RR_OK; /* a later revision is here already */
        }
    } else if (err != RR_OK && err != RR_ERR_NOTFOUND) {
        return err;
    }
    rr_manifest_encode(&bytes, manifest);
    err = rr_db_put(txn, STORAGE_MANIFESTS, id_key(&manifest->resource_id), rr_buf_slice(&bytes),
                    fault);
    rr_buf_clear(&bytes);
    return err;
}

enum rr_err rr_store_put_manifest(struct rr_store *store, const struct rr_manifest *manifest,
                                  struct rr_fault *fault)
{
    struct rr_manifest copy = *manifest; /* only read */
    return rr_db_write(store->db, put_manifest, &copy, fault);
}

enum rr_err rr_store_manifest(struct rr_store *store, struct rr_manifest *out,
                              const struct rr_hash32 *resource_id, struct rr_fault *fault)
{
    struct rr_db_txn *txn = NULL;
    struct rr_slice value;
    enum rr_err err = rr_db_begin(store->db, false, &txn, fault);
    if (err != RR_OK) {
        return err;
    }
    err = rr_db_get(txn, STORAGE_MANIFESTS, id_key(resource_id), &value, fault);
    if (err == RR_OK) {
        err = rr_manifest_decode(out, value, fault);
    } else if (err == RR_ERR_NOTFOUND) {
        err = rr_fail(fault, RR_ERR_NOTFOUND, "there is no such resource on this rig");
    }
    rr_db_abort(txn);
    return err;
}

struct manifest_visit {
    bool (*visit)(void *ctx, const struct rr_hash32 *resource_id);
    void *ctx;
};

static bool visit_manifest(void *ctx, struct rr_slice key, struct rr_slice value)
{
    struct manifest_visit *visit = ctx;
    struct rr_hash32 id;
    (void)value;
    if (key.len != sizeof id.bytes) {
        return true;
    }
    memcpy(id.bytes, key.ptr, sizeof id.bytes);
    return visit->visit(visit->ctx, &id);
}

enum rr_err rr_store_visit_manifests(struct rr_store *store,
                                     bool (*visit)(void *ctx, const struct rr_hash32 *resource_id),
                                     void *ctx, struct rr_fault *fault)
{
    struct manifest_visit context = {.visit = visit, .ctx = ctx};
    struct rr_db_txn *txn = NULL;
    enum rr_err err = rr_db_begin(store->db, false, &txn, fault);
    if (err == RR_OK) {
        err = rr_db_scan(txn, STORAGE_MANIFESTS, (struct rr_slice){0}, visit_manifest, &context,
                         fault);
        rr_db_abort(txn);
    }
    return err;
}

/* ---- opening and closing
 * -------------------------------------------------------------------------------------- */

static bool gather_dead(void *ctx, struct rr_slice key, struct rr_slice value)
{
    struct rr_buf *dead = ctx;
    (void)key;
    if (value.len > 1 && value.ptr[0] == STORAGE_DEAD) {
        rr_write_var32(dead, rr_slice_of(value.ptr + 1, value.len - 1));
    }
    return true;
}

/* Ends removals that a crash cut short. */
static enum rr_err finish_removals(struct rr_store *store, struct rr_fault *fault)
{
    struct rr_buf dead = {0};
    struct rr_db_txn *txn = NULL;
    enum rr_err err = rr_db_begin(store->db, false, &txn, fault);
    if (err == RR_OK) {
        err = rr_db_scan(txn, STORAGE_OBJECTS, (struct rr_slice){0}, gather_dead, &dead, fault);
        rr_db_abort(txn);
    }
    struct rr_reader reader = rr_reader_of(rr_buf_slice(&dead));
    while (err == RR_OK && reader.len > 0) {
        struct rr_object object;
        struct rr_slice record = rr_read_var32(&reader, UINT32_MAX);
        if ((err = rr_object_decode(&object, record, fault)) == RR_OK) {
            err = bury(store, &object, fault);
        }
    }
    rr_buf_clear(&dead);
    return err;
}

static bool count_object(void *ctx, const struct rr_object *object)
{
    struct rr_store *store = ctx;
    char path[RR_PATH_BYTES];
    atomic_fetch_add(&store->objects, 1);
    atomic_fetch_add(&store->shards, (uint64_t)object->k + object->m);
    atomic_fetch_add(&store->bytes, object_bytes(object));
    for (unsigned j = 0; j < (unsigned)object->k + object->m; j++) {
        if (storage_shard_path(store, path, &object->object_id, (uint8_t)j, NULL) == RR_OK &&
            access(path, F_OK) != 0) {
            storage_repair_later(store, &object->object_id);
            break;
        }
    }
    return true;
}

static enum rr_err open_folder(struct rr_store *store, struct rr_fault *fault)
{
    char path[RR_PATH_BYTES];
    enum rr_err err = rr_path(path, fault, "%s/index", store->folder);
    if (err != RR_OK || (err = rr_make_folders(store->folder, fault)) != RR_OK ||
        (err = rr_db_open(&store->db, path, tables, STORAGE_TABLES, fault)) != RR_OK ||
        (err = rr_path(path, fault, "%s/tmp", store->folder)) != RR_OK ||
        (err = rr_remove_tree(path, fault)) != RR_OK ||
        (err = rr_make_folders(path, fault)) != RR_OK ||
        (err = rr_path(path, fault, "%s/objects", store->folder)) != RR_OK ||
        (err = rr_make_folders(path, fault)) != RR_OK ||
        (err = finish_removals(store, fault)) != RR_OK) {
        return err;
    }
    /* The names of the folders themselves must survive a power loss, not only what is in them. */
    if ((err = rr_folder_sync(store->folder, fault)) != RR_OK ||
        (err = rr_path(path, fault, "%s/..", store->folder)) != RR_OK ||
        (err = rr_folder_sync(path, fault)) != RR_OK) {
        return err;
    }
    uint64_t orphans = storage_sweep(store);
    if (orphans > 0) {
        rr_log(RR_LOG_INFO, "store", "removed %llu shard files that no record names",
               (unsigned long long)orphans);
    }
    return rr_store_visit(store, count_object, store, fault);
}

enum rr_err rr_store_open(struct rr_store **out, const struct rr_store_options *options,
                          struct rr_fault *fault)
{
    struct rr_store *store = rr_alloc(sizeof *store);
    if (strlen(options->folder) >= sizeof store->folder) {
        rr_free(store);
        return rr_fail(fault, RR_ERR_LIMIT, "the store's folder name is too long");
    }
    memcpy(store->folder, options->folder, strlen(options->folder) + 1);
    store->quota_bytes = options->quota_bytes;
    store->headroom_bytes = options->headroom_bytes;
    store->known = rr_alloc_array(STORAGE_KNOWN_MAX, sizeof *store->known);
    pthread_mutex_init(&store->known_lock, NULL);
    pthread_mutex_init(&store->repair_lock, NULL);
    pthread_mutex_init(&store->publish_lock, NULL);
    pthread_cond_init(&store->repair_changed, NULL);
    enum rr_err err = open_folder(store, fault);
    if (err != RR_OK) {
        rr_store_close(store);
        return err;
    }
    RR_CHECK(pthread_create(&store->repairer, NULL, storage_repair_run, store) == 0);
    store->repairer_runs = true;
    *out = store;
    return RR_OK;
}

void rr_store_close(struct rr_store *store)
{
    if (store == NULL) {
        return;
    }
    pthread_mutex_lock(&store->repair_lock);
    store->closing = true;
    pthread_cond_broadcast(&store->repair_changed);
    pthread_mutex_unlock(&store->repair_lock);
    if (store->repairer_runs) {
        pthread_join(store->repairer, NULL);
    }
    while (store->queue != NULL) {
        struct storage_task *task = store->queue;
        store->queue = task->next;
        rr_free(task);
    }
    while (store->lost != NULL) {
        struct storage_task *task = store->lost;
        store->lost = task->next;
        rr_free(task);
    }
    rr_db_close(store->db);
    for (size_t i = 0; i < STORAGE_KNOWN_MAX; i++) {
        rr_free(store->known[i].nodes);
    }
    rr_free(store->known);
    pthread_cond_destroy(&store->repair_changed);
    pthread_mutex_destroy(&store->publish_lock);
    pthread_mutex_destroy(&store->repair_lock);
    pthread_mutex_destroy(&store->known_lock);
    rr_free(store);
}

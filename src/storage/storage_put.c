/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Writing: reserve, temporary files, one pass that codes and hashes, sync, rename, sync the folder,
 * commit. Never a record before its files (spec 30, 2). */
#include "storage/storage_private.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define BATCH_STRIPS  16                  /* of each shard, written at a time: 256 KiB */
#define PUT_BYTES_MAX (UINT64_C(1) << 52) /* no sum over 255 shards of it overflows */

/* Where the bytes come from: memory or a file. */
struct source {
    struct rr_slice bytes;
    int fd;
    uint64_t length;
};
struct put {
    struct rr_store *store;
    struct source source;
    struct rr_object *object;
    const struct storage_code *code;
    size_t shards;
    uint64_t strips;
    uint8_t *batch;          /* shards x BATCH_STRIPS strips */
    struct rr_hash32 *nodes; /* shards x strips */
    int fds[RR_SHARDS_MAX];
    char temporary[RR_PATH_BYTES];
    uint64_t reserved;
};

static enum rr_err read_source(const struct source *source, uint8_t *out, uint64_t at, size_t len,
                               struct rr_fault *fault)
{
    size_t have = at >= source->length        ? 0
                  : source->length - at < len ? (size_t)(source->length - at)
                                              : len;
    memset(out + have, 0, len - have);
    if (have == 0) {
        return RR_OK;
    }
    if (source->fd < 0) {
        memcpy(out, source->bytes.ptr + at, have);
        return RR_OK;
    }
    enum rr_err err = rr_pread_full(source->fd, out, have, at, fault);
    return err == RR_ERR_DAMAGED
               ? rr_fail(fault, RR_ERR_IO, "the file became shorter while it was being stored")
               : err;
}

/* Quota and head-room before anything is written. */
static enum rr_err reserve(struct put *put, struct rr_fault *fault)
{
    struct rr_store *store = put->store;
    struct statvfs fs;
    uint64_t used, need = put->strips * RR_STRIP_BYTES * put->shards;
    if (atomic_load(&store->disk_failed)) {
        return rr_fail(fault, RR_ERR_IO,
                       "the disk under %s has failed to keep data; the store only reads",
                       store->folder);
    }
    uint64_t reserved = atomic_fetch_add(&store->reserved, need) + need;
    put->reserved = need;
    /* Read after the reservation: a put that ends between the two is then counted twice at worst,
     * never not at all. */
    enum rr_err err = storage_used(store, &used, fault);
    if (err != RR_OK) {
        return err;
    }
    if (store->quota_bytes != 0 && used + reserved > store->quota_bytes) {
        return rr_fail(fault, RR_ERR_FULL,
                       "%llu bytes of shards are beyond the store's quota: %llu of %llu used; "
                       "raise store.quota_mib or "
                       "remove objects",
                       (unsigned long long)need, (unsigned long long)used,
                       (unsigned long long)store->quota_bytes);
    }
    if (statvfs(store->folder, &fs) != 0) {
        return rr_fail_errno(fault, "cannot ask for the free space of %s", store->folder);
    }
    uint64_t free_bytes = (uint64_t)fs.f_bavail * fs.f_frsize;
    if (free_bytes < store->headroom_bytes || free_bytes - store->headroom_bytes < reserved) {
        return rr_fail(fault, RR_ERR_FULL,
                       "%s has %llu bytes free; %llu are needed and %llu stay free "
                       "(store.headroom_mib): make room",
                       store->folder, (unsigned long long)free_bytes, (unsigned long long)reserved,
                       (unsigned long long)store->headroom_bytes);
    }
    return RR_OK;
}

static enum rr_err temporary_path(const struct put *put, char out[static RR_PATH_BYTES],
                                  size_t index, struct rr_fault *fault)
{
    return rr_path(out, fault, "%.4000s.%03zu", put->temporary, index);
}

static enum rr_err open_temporary(struct put *put, struct rr_fault *fault)
{
    uint8_t id[16];
    char text[33], path[RR_PATH_BYTES];
    rr_random(id, sizeof id);
    rr_hex(text, id, sizeof id);
    enum rr_err err = rr_path(put->temporary, fault, "%s/tmp/%s", put->store->folder, text);
    for (size_t j = 0; j < put->shards && err == RR_OK; j++) {
        if ((err = temporary_path(put, path, j, fault)) != RR_OK) {
            break;
        }
        put->fds[j] = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        if (put->fds[j] < 0 ||
            posix_fallocate(put->fds[j], 0, (off_t)(put->strips * RR_STRIP_BYTES)) != 0) {
            err = rr_fail_errno(fault, "cannot make room for a shard in %s", put->store->folder);
            if (put->fds[j] >= 0) {
                err =
                    rr_fail(fault, RR_ERR_FULL, "no room for a shard of %llu bytes in %s",
                            (unsigned long long)(put->strips * RR_STRIP_BYTES), put->store->folder);
            }
        }
    }
    return err;
}

/* One stripe: read k strips, make m, hash all while they are in cache. */
static enum rr_err code_stripe(struct put *put, uint64_t stripe, size_t row, struct rr_fault *fault)
{
    uint8_t *strips[RR_SHARDS_MAX];
    uint64_t at = stripe * put->code->k * RR_STRIP_BYTES;
    for (size_t j = 0; j < put->shards; j++) {
        strips[j] = put->batch + (j * BATCH_STRIPS + row) * RR_STRIP_BYTES;
    }
    for (size_t j = 0; j < put->code->k; j++) {
        enum rr_err err =
            read_source(&put->source, strips[j], at + j * RR_STRIP_BYTES, RR_STRIP_BYTES, fault);
        if (err != RR_OK) {
            return err;
        }
    }
    storage_code_encode(put->code, strips, strips + put->code->k, RR_STRIP_BYTES);
    for (size_t j = 0; j < put->shards; j++) {
        struct rr_hash32 *node = &put->nodes[j * put->strips + stripe];
        if (put->strips == 1) {
            storage_shard_root(node, NULL, 1, strips[j]);
        } else {
            storage_strip_node(node, strips[j], stripe);
        }
    }
    return RR_OK;
}

static enum rr_err write_shards(struct put *put, struct rr_fault *fault)
{
    for (uint64_t s = 0; s < put->strips; s += BATCH_STRIPS) {
        size_t n = put->strips - s < BATCH_STRIPS ? (size_t)(put->strips - s) : BATCH_STRIPS;
        for (size_t row = 0; row < n; row++) {
            enum rr_err err = code_stripe(put, s + row, row, fault);
            if (err != RR_OK) {
                return err;
            }
        }
        for (size_t j = 0; j < put->shards; j++) {
            enum rr_err err =
                rr_pwrite_full(put->fds[j], put->batch + j * BATCH_STRIPS * RR_STRIP_BYTES,
                               n * RR_STRIP_BYTES, s * RR_STRIP_BYTES, fault);
            if (err != RR_OK) {
                return err;
            }
        }
    }
    for (size_t j = 0; j < put->shards; j++) {
        if (put->strips == 1) {
            put->object->roots[j] = put->nodes[j];
        } else {
            storage_shard_root(&put->object->roots[j], put->nodes + j * put->strips, put->strips,
                               NULL);
        }
    }
    rr_object_set_id(put->object);
    return RR_OK;
}

static enum rr_err publish(struct put *put, struct rr_fault *fault)
{
    struct rr_store *store = put->store;
    struct rr_object have;
    char from[RR_PATH_BYTES], to[RR_PATH_BYTES], folder[RR_PATH_BYTES];
    enum rr_err err = RR_OK;
    for (size_t j = 0; j < put->shards && err == RR_OK; j++) {
        err = storage_sync(store, put->fds[j], fault);
    }
    if (err != RR_OK ||
        (err = storage_object_folder(store, folder, &put->object->object_id, fault)) != RR_OK) {
        return err;
    }
    pthread_mutex_lock(&store->publish_lock);
    /* The same bytes again: these shards replace those that are here, which nobody vouches for. */
    bool known = storage_find(store, &put->object->object_id, &have, NULL) == RR_OK;
    err = rr_make_folders(folder, fault);
    for (size_t j = 0; j < put->shards && err == RR_OK; j++) {
        if ((err = temporary_path(put, from, j, fault)) == RR_OK &&
            (err = storage_shard_path(store, to, &put->object->object_id, (uint8_t)j, fault)) ==
                RR_OK &&
            rename(from, to) != 0) {
            err = rr_fail_errno(fault, "cannot name a shard %s", to);
        }
    }
    if (err == RR_OK && (err = storage_sync_folder(store, folder, fault)) == RR_OK &&
        (err = rr_path(folder, fault, "%s/objects", store->folder)) == RR_OK &&
        (err = storage_sync_folder(store, folder, fault)) == RR_OK && !known) {
        err = storage_commit(store, put->object, fault);
    }
    pthread_mutex_unlock(&store->publish_lock);
    return err;
}

static enum rr_err put_source(struct rr_store *store, struct rr_object *out, struct source source,
                              uint8_t k, uint8_t m, struct rr_fault *fault)
{
    struct rr_object object = {
        .length = source.length, .k = k, .m = m, .strip = RR_STRIP_BYTES, .class = RR_CLASS_LOCAL};
    if (k == 0 || m > RR_PARITY_MAX || k + m > RR_SHARDS_MAX) {
        return rr_fail(fault, RR_ERR_USAGE,
                       "%u+%u shards; 1 to 255 in all and at most 64 of parity", (unsigned)k,
                       (unsigned)m);
    }
    if (source.length > PUT_BYTES_MAX) {
        return rr_fail(fault, RR_ERR_LIMIT, "an object of %llu bytes; at most %llu",
                       (unsigned long long)source.length, (unsigned long long)PUT_BYTES_MAX);
    }
    struct put put = {.store = store,
                      .source = source,
                      .object = &object,
                      .code = storage_code_get(k, m),
                      .shards = (size_t)k + m,
                      .strips = storage_strips(&object)};
    for (size_t j = 0; j < put.shards; j++) {
        put.fds[j] = -1;
    }
    enum rr_err err = reserve(&put, fault);
    if (err == RR_OK) { /* only now: the disk has bounded the length */
        put.batch = rr_alloc_aligned(put.shards * BATCH_STRIPS * RR_STRIP_BYTES);
        put.nodes = rr_alloc_array(put.shards * put.strips, sizeof *put.nodes);
    }
    if (err == RR_OK && (err = open_temporary(&put, fault)) == RR_OK &&
        (err = write_shards(&put, fault)) == RR_OK) {
        err = publish(&put, fault);
    }
    for (size_t j = 0; j < put.shards; j++) {
        char path[RR_PATH_BYTES];
        if (put.fds[j] >= 0) {
            close(put.fds[j]);
            if (temporary_path(&put, path, j, NULL) == RR_OK) {
                unlink(
                    path); /* renamed away unless something failed or the object was here already */
            }
        }
    }
    atomic_fetch_sub(&store->reserved, put.reserved);
    rr_free(put.nodes);
    rr_free(put.batch);
    if (err == RR_OK) {
        *out = object;
    }
    return err;
}

enum rr_err rr_store_put(struct rr_store *store, struct rr_object *out, struct rr_slice bytes,
                         uint8_t k, uint8_t m, struct rr_fault *fault)
{
    return put_source(store, out, (struct source){.bytes = bytes, .fd = -1, .length = bytes.len}, k,
                      m, fault);
}

enum rr_err rr_store_put_fd(struct rr_store *store, struct rr_object *out, int fd, uint64_t length,
                            uint8_t k, uint8_t m, struct rr_fault *fault)
{
    return put_source(store, out, (struct source){.fd = fd, .length = length}, k, m, fault);
}

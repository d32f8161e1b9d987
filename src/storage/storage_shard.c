/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Shard files and what is known of them. */
#include "storage/storage_private.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define READ_STRIPS 16

uint64_t storage_strips(const struct rr_object *object)
{
    return rr_object_shard_bytes(object) / RR_STRIP_BYTES;
}

enum rr_err storage_object_folder(const struct rr_store *store, char out[static RR_PATH_BYTES],
                                  const struct rr_hash32 *object_id, struct rr_fault *fault)
{
    return rr_path(out, fault, "%s/objects/%02x", store->folder, object_id->bytes[0]);
}

enum rr_err storage_shard_path(const struct rr_store *store, char out[static RR_PATH_BYTES],
                               const struct rr_hash32 *object_id, uint8_t index,
                               struct rr_fault *fault)
{
    char id[65];
    rr_hex(id, object_id->bytes, 32);
    return rr_path(out, fault, "%s/objects/%.2s/%s.%03u", store->folder, id, id, (unsigned)index);
}

enum rr_err storage_sync(struct rr_store *store, int fd, struct rr_fault *fault)
{
    if (fdatasync(fd) != 0) {
        atomic_store(&store->disk_failed, true);
        return rr_fail_errno(
            fault,
            "the disk under %s failed to keep what was written; nothing more is stored there",
            store->folder);
    }
    return RR_OK;
}

enum rr_err storage_sync_folder(struct rr_store *store, const char *path, struct rr_fault *fault)
{
    enum rr_err err = rr_folder_sync(path, fault);
    if (err != RR_OK) {
        atomic_store(&store->disk_failed, true);
    }
    return err;
}

/* ---- shards that were checked whole
 * ------------------------------------------------------------------- */

/* Slot of (id, index): where it stands, or the one to take: an empty or the least used of eight.
 * Under known_lock. */
static struct storage_known *slot(struct rr_store *store, const struct rr_hash32 *object_id,
                                  uint8_t index)
{
    uint64_t at = rr_load_u64le(object_id->bytes) * UINT64_C(0x9e3779b97f4a7c15) +
                  index * UINT64_C(0xc2b2ae3d27d4eb4f);
    struct storage_known *least = NULL;
    for (uint64_t i = 0; i < 8; i++) {
        struct storage_known *known = &store->known[((at >> 20) + i) % STORAGE_KNOWN_MAX];
        if (known->nodes != NULL && known->index == index &&
            rr_hash32_equal(&known->object_id, object_id)) {
            return known;
        }
        if (least == NULL || known->nodes == NULL ||
            (least->nodes != NULL && known->used < least->used)) {
            least = least != NULL && least->nodes == NULL ? least : known;
        }
    }
    return least;
}

static uint64_t mtime_ns(const struct stat *st)
{
    return (uint64_t)st->st_mtim.tv_sec * UINT64_C(1000000000) + (uint64_t)st->st_mtim.tv_nsec;
}

static bool is_known(struct rr_store *store, const struct rr_object *object, uint8_t index,
                     const struct stat *st)
{
    pthread_mutex_lock(&store->known_lock);
    struct storage_known *known = slot(store, &object->object_id, index);
    bool same = known->nodes != NULL && known->index == index &&
                rr_hash32_equal(&known->object_id, &object->object_id) &&
                known->inode == (uint64_t)st->st_ino && known->mtime_ns == mtime_ns(st) &&
                (uint64_t)st->st_size == known->strips * RR_STRIP_BYTES;
    if (same) {
        known->used = ++store->known_clock;
    }
    pthread_mutex_unlock(&store->known_lock);
    return same;
}

static void remember(struct rr_store *store, const struct rr_object *object, uint8_t index,
                     const struct stat *st, struct rr_hash32 *nodes)
{
    pthread_mutex_lock(&store->known_lock);
    struct storage_known *known = slot(store, &object->object_id, index);
    rr_free(known->nodes);
    *known = (struct storage_known){.object_id = object->object_id,
                                    .index = index,
                                    .inode = (uint64_t)st->st_ino,
                                    .mtime_ns = mtime_ns(st),
                                    .strips = storage_strips(object),
                                    .nodes = nodes,
                                    .used = ++store->known_clock};
    pthread_mutex_unlock(&store->known_lock);
}

void storage_forget(struct rr_store *store, const struct rr_hash32 *object_id, uint8_t index)
{
    pthread_mutex_lock(&store->known_lock);
    struct storage_known *known = slot(store, object_id, index);
    if (known->nodes != NULL && known->index == index &&
        rr_hash32_equal(&known->object_id, object_id)) {
        rr_free(known->nodes);
        *known = (struct storage_known){0};
    }
    pthread_mutex_unlock(&store->known_lock);
}

static bool node_of(struct rr_store *store, const struct rr_object *object, uint8_t index,
                    uint64_t strip, struct rr_hash32 *out)
{
    pthread_mutex_lock(&store->known_lock);
    struct storage_known *known = slot(store, &object->object_id, index);
    bool found = known->nodes != NULL && known->index == index &&
                 rr_hash32_equal(&known->object_id, &object->object_id) && strip < known->strips;
    if (found) {
        *out = known->nodes[strip];
    }
    pthread_mutex_unlock(&store->known_lock);
    return found;
}

/* ---- reading
 * --------------------------------------------------------------------------------------------- */

static bool check_whole(struct rr_store *store, int fd, const struct rr_object *object,
                        uint8_t index, const struct stat *st)
{
    uint64_t strips = storage_strips(object);
    if ((uint64_t)st->st_size != strips * RR_STRIP_BYTES) {
        return false;
    }
    struct rr_hash32 *nodes = rr_alloc_array(strips, sizeof *nodes), root;
    uint8_t *piece = rr_alloc_aligned((size_t)READ_STRIPS * RR_STRIP_BYTES);
    bool good = true;
    for (uint64_t s = 0; s < strips && good; s += READ_STRIPS) {
        uint64_t n = strips - s < READ_STRIPS ? strips - s : READ_STRIPS;
        good = rr_pread_full(fd, piece, n * RR_STRIP_BYTES, s * RR_STRIP_BYTES, NULL) == RR_OK;
        for (uint64_t i = 0; i < n && good; i++) {
            storage_strip_node(&nodes[s + i], piece + i * RR_STRIP_BYTES, s + i);
        }
    }
    if (good) {
        storage_shard_root(&root, nodes, strips, piece);
        good = rr_hash32_equal(&root, &object->roots[index]);
    }
    rr_free(piece);
    if (good) {
        remember(store, object, index, st, nodes);
    } else {
        rr_free(nodes);
    }
    return good;
}

bool storage_shard_open(struct rr_store *store, struct storage_shard *shard,
                        const struct rr_object *object, uint8_t index)
{
    char path[RR_PATH_BYTES];
    struct stat st;
    if (shard->tried) {
        return shard->fd >= 0 && !shard->bad;
    }
    shard->tried = true;
    shard->fd = -1;
    if (storage_shard_path(store, path, &object->object_id, index, NULL) == RR_OK) {
        shard->fd = open(path, O_RDONLY | O_CLOEXEC);
    }
    if (shard->fd < 0) {
        bool gone = errno == ENOENT || errno == ENOTDIR || errno == ELOOP || errno == EIO;
        shard->refused = gone ? 0 : errno;
        return false;
    }
    if (fstat(shard->fd, &st) != 0 || (!is_known(store, object, index, &st) &&
                                       !check_whole(store, shard->fd, object, index, &st))) {
        shard->bad = true;
    }
    return !shard->bad;
}

void storage_shard_close(struct storage_shard *shard)
{
    if (shard->tried && shard->fd >= 0) {
        close(shard->fd);
    }
    *shard = (struct storage_shard){0};
}

bool storage_shard_strip(struct rr_store *store, struct storage_shard *shard,
                         const struct rr_object *object, uint8_t index, uint64_t strip,
                         uint8_t *out)
{
    struct rr_hash32 expected, found;
    if (!storage_shard_open(store, shard, object, index)) {
        return false;
    }
    bool good =
        rr_pread_full(shard->fd, out, RR_STRIP_BYTES, strip * RR_STRIP_BYTES, NULL) == RR_OK;
    if (good && storage_strips(object) == 1) {
        storage_shard_root(&found, NULL, 1, out);
        good = rr_hash32_equal(&found, &object->roots[index]);
    } else if (good) {
        struct stat st;
        /* The table may have lost this shard to others since it was opened: then it is checked
         * whole again. */
        good = node_of(store, object, index, strip, &expected) ||
               (fstat(shard->fd, &st) == 0 && check_whole(store, shard->fd, object, index, &st) &&
                node_of(store, object, index, strip, &expected));
        if (good) {
            storage_strip_node(&found, out, strip);
            good = rr_hash32_equal(&found, &expected);
        }
    }
    if (!good) {
        storage_forget(store, &object->object_id, index);
        shard->bad = true;
    }
    return good;
}

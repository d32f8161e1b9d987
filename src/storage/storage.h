/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The door of storage, floor 2: objects cut into k+m shards, durable on disk, read through
 * verification, repaired in the background (spec 30). The only includer of ISA-L. */
#ifndef RR_STORAGE_H
#define RR_STORAGE_H
#include "wire/wire.h"

struct rr_store;
struct rr_store_options {
    const char *folder;      /* borrowed during open */
    uint64_t quota_bytes;    /* of shards, for the one owner; 0: no quota */
    uint64_t headroom_bytes; /* kept free on the file system; refused below (spec 30, 2) */
};
/* Opens or makes the store, sweeps temporary and unlisted files, starts the repair thread.
 * RR_ERR_BUSY when another process holds it. *out owned (close). Blocks. */
enum rr_err rr_store_open(struct rr_store **out, const struct rr_store_options *options,
                          struct rr_fault *fault) RR_MUST_USE;
void rr_store_close(struct rr_store *store); /* stops repair; NULL is fine */

/* Writes `bytes` as an object of k data + m parity shards, plain, class local. Durable when it
 * returns; the same bytes again give the same record and cost no space. *out filled on success. Any
 * thread; blocks. [VC 7.1] */
enum rr_err rr_store_put(struct rr_store *store, struct rr_object *out, struct rr_slice bytes,
                         uint8_t k, uint8_t m, struct rr_fault *fault) RR_MUST_USE;
/* As rr_store_put from a file descriptor of `length` bytes, in bounded memory. */
enum rr_err rr_store_put_fd(struct rr_store *store, struct rr_object *out, int fd, uint64_t length,
                            uint8_t k, uint8_t m, struct rr_fault *fault) RR_MUST_USE;
/* RR_ERR_NOTFOUND when absent. */
enum rr_err rr_store_object(struct rr_store *store, const struct rr_hash32 *object_id,
                            struct rr_object *out, struct rr_fault *fault) RR_MUST_USE;
/* Exactly len bytes at offset of the object into out. Every shard that is read is checked against
 * its root once per process and file version (size, mtime, inode), damaged or missing ones are
 * decoded around and queued for repair; wrong bytes never leave. Fewer than k good shards:
 * RR_ERR_DAMAGED. Any thread; blocks. */
enum rr_err rr_store_read(struct rr_store *store, const struct rr_object *object, uint64_t offset,
                          void *out, size_t len, struct rr_fault *fault) RR_MUST_USE;
/* Removes the object's shards and record. Absent is RR_OK. */
enum rr_err rr_store_remove(struct rr_store *store, const struct rr_hash32 *object_id,
                            struct rr_fault *fault) RR_MUST_USE;

struct rr_store_stats {
    uint64_t objects, shards, bytes;         /* live */
    uint64_t shards_missing, shards_damaged; /* found since open */
    uint64_t shards_repaired;                /* since open */
    uint64_t repair_queue;
    uint64_t degraded_reads, quota_bytes, free_bytes;
};
void rr_store_stats(struct rr_store *store, struct rr_store_stats *out);
/* Calls visit for each live object (record borrowed) until it returns false. */
enum rr_err rr_store_visit(struct rr_store *store,
                           bool (*visit)(void *ctx, const struct rr_object *object), void *ctx,
                           struct rr_fault *fault) RR_MUST_USE;
/* Path of shard `index` (0..k+m-1), for operators and tests. */
enum rr_err rr_store_shard_path(struct rr_store *store, char out[static RR_PATH_BYTES],
                                const struct rr_hash32 *object_id, uint8_t index,
                                struct rr_fault *fault) RR_MUST_USE;
/* Reads every shard of every object, queues what is damaged for repair, waits for the queue. */
enum rr_err rr_store_scrub(struct rr_store *store, uint64_t *bad_shards,
                           struct rr_fault *fault) RR_MUST_USE;
/* Waits until the repair queue is empty or timeout_ms passed (false). */
bool rr_store_wait_repaired(struct rr_store *store, uint64_t timeout_ms);

/* Small named durable values beside the objects (manifests by resource id, latest revision). */
enum rr_err rr_store_put_manifest(struct rr_store *store, const struct rr_manifest *manifest,
                                  struct rr_fault *fault) RR_MUST_USE;
/* Decoded copy owned by the caller (rr_manifest_clear). */
enum rr_err rr_store_manifest(struct rr_store *store, struct rr_manifest *out,
                              const struct rr_hash32 *resource_id,
                              struct rr_fault *fault) RR_MUST_USE;
enum rr_err rr_store_visit_manifests(struct rr_store *store,
                                     bool (*visit)(void *ctx, const struct rr_hash32 *resource_id),
                                     void *ctx, struct rr_fault *fault) RR_MUST_USE;
/* Checks every invariant of the folder: records, files, roots, quota; counts go to out. Store may
 * be open. */
struct rr_store_check {
    uint64_t objects, shards_good, shards_bad, shards_missing, orphans, quota_drift_bytes;
};
enum rr_err rr_store_fsck(struct rr_store *store, struct rr_store_check *out,
                          struct rr_fault *fault) RR_MUST_USE;

/* Raw coding, for benches: parity[m] from data[k] of `bytes` each (a multiple of 32). */
void rr_store_encode_raw(uint8_t k, uint8_t m, const uint8_t *const data[], uint8_t *const parity[],
                         size_t bytes);
/* Encode and BLAKE3 roots of all k+m shards in one pass by strips; buffers as above, a multiple of
 * RR_STRIP_BYTES. */
void rr_store_encode_hashed(uint8_t k, uint8_t m, const uint8_t *const data[],
                            uint8_t *const parity[], size_t bytes, struct rr_hash32 roots[]);
#endif

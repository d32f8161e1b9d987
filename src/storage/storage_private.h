/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the files of storage share. Object layout (final): stripe s of an object is its bytes
 * [s k 16Ki, (s+1) k 16Ki), zero padded at the end; strip j of it is strip s of data shard j;
 * parity strips follow from the Cauchy matrix of ISA-L (gf_gen_cauchy1_matrix, k+m rows, k
 * columns). */
#ifndef RR_STORAGE_PRIVATE_H
#define RR_STORAGE_PRIVATE_H
#include "db/db.h"
#include "storage/storage.h"
#include <pthread.h>
#include <stdatomic.h>

enum storage_table { STORAGE_OBJECTS, STORAGE_MANIFESTS, STORAGE_META, STORAGE_TABLES };
/* First byte of an index value. */
enum storage_state { STORAGE_LIVE = 1, STORAGE_DEAD = 2 };

/* ---- coding (storage_code.c) ---- */
/* Tables of one (k, m): made once per process, never freed. */
struct storage_code {
    uint8_t k, m;
    uint8_t *matrix;
    uint8_t *tables;
};
/* k >= 1, m <= RR_PARITY_MAX, k + m <= RR_SHARDS_MAX. Any thread. */
const struct storage_code *storage_code_get(uint8_t k, uint8_t m);
void storage_code_encode(const struct storage_code *code, uint8_t *const data[],
                         uint8_t *const parity[], size_t bytes);
/* Tables (32 k bytes, the caller's) that make shard `lost` out of the k shards named by `from`.
 * False: these rows have no inverse. */
bool storage_code_decoder(const struct storage_code *code, uint8_t *tables, const uint8_t from[],
                          uint8_t lost);
void storage_code_decode(const struct storage_code *code, const uint8_t *tables,
                         uint8_t *const from[], uint8_t *out, size_t bytes);

/* ---- hashes of strips: the subtree of 16 chunks is a node of the shard's BLAKE3 tree ---- */
/* Node of strip `index` of a shard with more than one strip. */
void storage_strip_node(struct rr_hash32 *out, const uint8_t *strip, uint64_t index);
/* Root from the nodes of all strips; count 1: from the strip itself. */
void storage_shard_root(struct rr_hash32 *out, const struct rr_hash32 *nodes, uint64_t count,
                        const uint8_t *only_strip);

/* ---- the store ---- */
/* A shard file that was checked whole: its nodes hold while the file is the same. */
struct storage_known {
    struct rr_hash32 object_id;
    uint8_t index;
    uint64_t inode, mtime_ns;
    uint64_t strips;
    struct rr_hash32 *nodes;
    uint64_t used;
};
#define STORAGE_KNOWN_MAX 8192
struct storage_task {
    struct rr_hash32 object_id;
    struct storage_task *next;
};
struct rr_store {
    char folder[RR_PATH_BYTES - 256];
    struct rr_db *db;
    uint64_t quota_bytes, headroom_bytes;
    _Atomic uint64_t objects, shards, bytes,
        reserved; /* bytes: of shard files, as the index counts them */
    _Atomic uint64_t missing, damaged, repaired, degraded_reads;
    atomic_bool disk_failed; /* a failed fsync is final (spec 30, 2) */
    pthread_mutex_t known_lock;
    struct storage_known *known; /* STORAGE_KNOWN_MAX slots */
    uint64_t known_clock;
    pthread_mutex_t repair_lock;
    pthread_cond_t repair_changed;
    struct storage_task *queue;
    struct storage_task *lost; /* beyond repair, counted already */
    uint64_t queued;           /* waiting and running */
    bool closing;
    pthread_t repairer;
    bool repairer_runs;
    pthread_mutex_t publish_lock; /* put, repair and removal of one object never mix */
};

/* <folder>/objects/<first byte of id>/<id>.<index> */
enum rr_err storage_shard_path(const struct rr_store *store, char out[static RR_PATH_BYTES],
                               const struct rr_hash32 *object_id, uint8_t index,
                               struct rr_fault *fault) RR_MUST_USE;
enum rr_err storage_object_folder(const struct rr_store *store, char out[static RR_PATH_BYTES],
                                  const struct rr_hash32 *object_id,
                                  struct rr_fault *fault) RR_MUST_USE;
/* fdatasync, fsync of a folder: a failure is remembered, from then on nothing more is written. */
enum rr_err storage_sync(struct rr_store *store, int fd, struct rr_fault *fault) RR_MUST_USE;
enum rr_err storage_sync_folder(struct rr_store *store, const char *path,
                                struct rr_fault *fault) RR_MUST_USE;
/* Record of a live object. */
enum rr_err storage_find(struct rr_store *store, const struct rr_hash32 *object_id,
                         struct rr_object *out, struct rr_fault *fault) RR_MUST_USE;
enum rr_err storage_used(struct rr_store *store, uint64_t *out, struct rr_fault *fault) RR_MUST_USE;
/* Adds a record and its bytes to the quota in one transaction. */
enum rr_err storage_commit(struct rr_store *store, const struct rr_object *object,
                           struct rr_fault *fault) RR_MUST_USE;

/* A shard that is being read; {0} before the first use. */
struct storage_shard {
    int fd;
    int refused; /* errno of an open that says nothing about the shard: no descriptors, no memory */
    bool tried, bad;
};
/* Opens shard `index` and, unless this file has been checked before, reads it whole and compares
 * its root. False: missing, damaged, or refused by the system (`refused`). */
bool storage_shard_open(struct rr_store *store, struct storage_shard *shard,
                        const struct rr_object *object, uint8_t index);
void storage_shard_close(struct storage_shard *shard);
/* Reads one strip and checks it against its node. False: not what was stored; the shard is given
 * up. */
bool storage_shard_strip(struct rr_store *store, struct storage_shard *shard,
                         const struct rr_object *object, uint8_t index, uint64_t strip,
                         uint8_t *out);
void storage_forget(struct rr_store *store, const struct rr_hash32 *object_id, uint8_t index);
/* Queues an object for repair; twice is once. */
void storage_repair_later(struct rr_store *store, const struct rr_hash32 *object_id);
void *storage_repair_run(void *store);
/* Removes files below objects/ that no record names; how many. */
uint64_t storage_sweep(struct rr_store *store);
/* Of each of its shards. */
uint64_t storage_strips(const struct rr_object *object);
#endif

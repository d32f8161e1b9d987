/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Question: what do coding, hashing and durability of shards cost beyond what the machine needs in
 * any case? Method: one thread; ours and the limit of a row take turns over the same bytes,
 * BENCH_RUNS pairs after one that does not count; medians count. Rates are of object bytes, not of
 * shards. In memory the set is 64 MiB, beyond the caches. encode: strip by strip as a put does it,
 * against one call of ISA-L over whole shards. encode_hash: with the BLAKE3 roots of all shards,
 * against memcpy, and against coding first and hashing afterwards. put: the whole durable write,
 * against one file of as many bytes with one fdatasync. degraded_read: with m data shards gone,
 * against the same read when all are there. repair_shard: all of a repair of one shard (every shard
 * checked, decoded, its root compared, durable), against memcpy. What would make it wrong: a set
 * that fits a cache, a folder in RAM (syncs cost nothing; TMPDIR chooses), another writer on the
 * disk, a repair that overlaps the next run (each is waited for). Parity, roots and bytes read are
 * compared. */
#include "bench/bench.h"
#include "bench/bench_rows.h"
#include "blake3/blake3.h"
#include "cpu/cpu.h"
#include "storage/storage.h"
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DATA_BYTES ((size_t)64 << 20)
#define FILE_BYTES ((size_t)16 << 20) /* of an object on disk */
#define SHARDS_MAX 16
#define ROUNDS     8 /* of what is over too soon to be timed */
#define SEED       11

/* One code over memory that is allocated once. */
struct memory {
    uint8_t k, m;
    size_t shard_bytes;
    uint8_t *data, *parity, *copy;
    const uint8_t *from[SHARDS_MAX];
    uint8_t *to[SHARDS_MAX];
    struct rr_hash32 roots[SHARDS_MAX], again[SHARDS_MAX];
};

struct disk {
    char folder[RR_PATH_BYTES];
    struct rr_store *store;
    uint8_t *bytes, *out;
    uint8_t k, m;
    uint64_t runs;
    struct rr_object object;
};

typedef enum rr_err timed(void *ctx, struct rr_fault *fault);

static enum rr_err rate(double *out, timed *what, void *ctx, uint64_t bytes, struct rr_fault *fault)
{
    uint64_t from = rr_monotonic_us(rr_clock_system());
    enum rr_err err = what(ctx, fault);
    uint64_t us = rr_monotonic_us(rr_clock_system()) - from;
    *out = (double)bytes * 1e6 / (double)(us == 0 ? 1 : us);
    return err;
}

struct side {
    timed *what;
    uint64_t bytes; /* of one run */
};

/* ready: before ours, not timed; may be NULL. */
static enum rr_err take_turns(struct bench_row *row, struct side ours, struct side limit,
                              timed *ready, void *ctx, struct rr_fault *fault)
{
    enum rr_err err = RR_OK;
    for (int i = -1; i < BENCH_RUNS && err == RR_OK; i++) {
        double unused;
        err = ready != NULL ? ready(ctx, fault) : RR_OK;
        if (err == RR_OK) {
            err = rate(i < 0 ? &unused : &row->ours[i], ours.what, ctx, ours.bytes, fault);
        }
        if (err == RR_OK) {
            err = rate(i < 0 ? &unused : &row->limit[i], limit.what, ctx, limit.bytes, fault);
        }
    }
    return err;
}

/* ---- in memory ---------------------------------------------------------------------------------
 */
static enum rr_err raw(void *ctx, struct rr_fault *fault)
{
    struct memory *mem = ctx;
    (void)fault;
    for (unsigned i = 0; i < ROUNDS; i++) {
        rr_store_encode_raw(mem->k, mem->m, mem->from, mem->to, mem->shard_bytes);
    }
    return RR_OK;
}

static enum rr_err by_strips(void *ctx, struct rr_fault *fault)
{
    struct memory *mem = ctx;
    const uint8_t *from[SHARDS_MAX];
    uint8_t *to[SHARDS_MAX];
    (void)fault;
    for (size_t i = 0; i < ROUNDS * mem->shard_bytes; i += RR_STRIP_BYTES) {
        size_t at = i % mem->shard_bytes;
        for (unsigned j = 0; j < mem->k; j++) {
            from[j] = mem->from[j] + at;
        }
        for (unsigned j = 0; j < mem->m; j++) {
            to[j] = mem->to[j] + at;
        }
        rr_store_encode_raw(mem->k, mem->m, from, to, RR_STRIP_BYTES);
    }
    return RR_OK;
}

static enum rr_err fused(void *ctx, struct rr_fault *fault)
{
    struct memory *mem = ctx;
    (void)fault;
    rr_store_encode_hashed(mem->k, mem->m, mem->from, mem->to, mem->shard_bytes, mem->roots);
    return RR_OK;
}

static enum rr_err one_after_the_other(void *ctx, struct rr_fault *fault)
{
    struct memory *mem = ctx;
    (void)fault;
    rr_store_encode_raw(mem->k, mem->m, mem->from, mem->to, mem->shard_bytes);
    for (unsigned j = 0; j < (unsigned)mem->k + mem->m; j++) {
        rr_blake3(mem->again[j].bytes, j < mem->k ? mem->from[j] : mem->to[j - mem->k],
                  mem->shard_bytes);
    }
    return RR_OK;
}

static enum rr_err copy_all(void *ctx, struct rr_fault *fault)
{
    struct memory *mem = ctx;
    (void)fault;
    for (unsigned i = 0; i < ROUNDS; i++) {
        memcpy(mem->copy, mem->data, mem->shard_bytes * mem->k);
    }
    return RR_OK;
}

static void memory_init(struct memory *mem, uint8_t k, uint8_t m)
{
    struct rr_prng prng;
    *mem = (struct memory){.k = k, .m = m};
    mem->shard_bytes = DATA_BYTES / k / RR_STRIP_BYTES * RR_STRIP_BYTES;
    mem->data = rr_alloc_aligned(mem->shard_bytes * k);
    mem->parity = rr_alloc_aligned(mem->shard_bytes * m);
    mem->copy = rr_alloc_aligned(mem->shard_bytes * k);
    rr_prng_seed(&prng, SEED);
    rr_prng_bytes(&prng, mem->data, mem->shard_bytes * k);
    for (unsigned j = 0; j < k; j++) {
        mem->from[j] = mem->data + j * mem->shard_bytes;
    }
    for (unsigned j = 0; j < m; j++) {
        mem->to[j] = mem->parity + j * mem->shard_bytes;
    }
}

static void memory_clear(struct memory *mem)
{
    rr_free(mem->data);
    rr_free(mem->parity);
    rr_free(mem->copy);
}

static enum rr_err bench_memory(struct bench_row rows[3], uint8_t k, uint8_t m,
                                struct rr_fault *fault)
{
    struct memory mem;
    memory_init(&mem, k, m);
    uint64_t bytes = (uint64_t)mem.shard_bytes * k;
    enum rr_err err = take_turns(&rows[0], (struct side){by_strips, ROUNDS * bytes},
                                 (struct side){raw, ROUNDS * bytes}, NULL, &mem, fault);
    if (err == RR_OK) {
        err = take_turns(&rows[1], (struct side){fused, bytes},
                         (struct side){copy_all, ROUNDS * bytes}, NULL, &mem, fault);
    }
    if (err == RR_OK) {
        err = take_turns(&rows[2], (struct side){fused, bytes},
                         (struct side){one_after_the_other, bytes}, NULL, &mem, fault);
    }
    if (err == RR_OK && (memcmp(mem.roots, mem.again, sizeof mem.roots) != 0 ||
                         memcmp(mem.copy, mem.data, bytes) != 0)) {
        err = rr_fail(fault, RR_ERR_TRUST, "the roots of %u+%u made in two ways differ", k, m);
    }
    memory_clear(&mem);
    return err;
}

/* ---- on disk -----------------------------------------------------------------------------------
 */
/* Bytes that the store has not seen, for each put. */
static enum rr_err renew(void *ctx, struct rr_fault *fault)
{
    struct disk *disk = ctx;
    enum rr_err err = RR_OK;
    if (disk->runs++ > 0) {
        err = rr_store_remove(disk->store, &disk->object.object_id, fault);
    }
    memcpy(disk->bytes, &disk->runs, sizeof disk->runs);
    return err;
}

static enum rr_err put(void *ctx, struct rr_fault *fault)
{
    struct disk *disk = ctx;
    return rr_store_put(disk->store, &disk->object, rr_slice_of(disk->bytes, FILE_BYTES), disk->k,
                        disk->m, fault);
}

/* As many bytes as all shards have. */
static enum rr_err write_raw(void *ctx, struct rr_fault *fault)
{
    struct disk *disk = ctx;
    char path[RR_PATH_BYTES];
    enum rr_err err = rr_path(path, fault, "%.4000s/raw", disk->folder);
    if (err != RR_OK) {
        return err;
    }
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0) {
        return rr_fail_errno(fault, "cannot make %s", path);
    }
    err = rr_write_full(fd, disk->bytes, FILE_BYTES, fault);
    if (err == RR_OK) {
        err = rr_write_full(fd, disk->bytes, FILE_BYTES / disk->k * disk->m, fault);
    }
    if (err == RR_OK && fdatasync(fd) != 0) {
        err = rr_fail_errno(fault, "cannot make %s durable", path);
    }
    close(fd);
    unlink(path);
    return err;
}

static enum rr_err lose(struct disk *disk, unsigned first, unsigned count, struct rr_fault *fault)
{
    for (unsigned j = first; j < first + count; j++) {
        char path[RR_PATH_BYTES];
        enum rr_err err =
            rr_store_shard_path(disk->store, path, &disk->object.object_id, (uint8_t)j, fault);
        if (err != RR_OK) {
            return err;
        }
        if (unlink(path) != 0) {
            return rr_fail_errno(fault, "cannot remove the shard %s", path);
        }
    }
    return RR_OK;
}

static enum rr_err settle(struct disk *disk, struct rr_fault *fault)
{
    if (!rr_store_wait_repaired(disk->store, 60000)) {
        return rr_fail(fault, RR_ERR_TIMEOUT, "the store repairs for more than a minute");
    }
    return RR_OK;
}

static enum rr_err read_all(void *ctx, struct rr_fault *fault)
{
    struct disk *disk = ctx;
    return rr_store_read(disk->store, &disk->object, 0, disk->out, FILE_BYTES, fault);
}

/* All shards there and known; then the first m lost. The repair starts only after the read. */
static enum rr_err ready_degraded(void *ctx, struct rr_fault *fault)
{
    struct disk *disk = ctx;
    enum rr_err err = settle(disk, fault);
    return err == RR_OK ? lose(disk, 0, disk->m, fault) : err;
}

static enum rr_err read_healthy(void *ctx, struct rr_fault *fault)
{
    struct disk *disk = ctx;
    memset(disk->out, 0, FILE_BYTES);
    return read_all(disk, fault);
}

/* The reading of one byte starts the repair. */
static enum rr_err repair(void *ctx, struct rr_fault *fault)
{
    struct disk *disk = ctx;
    enum rr_err err = rr_store_read(disk->store, &disk->object, 0, disk->out, 1, fault);
    return err == RR_OK ? settle(disk, fault) : err;
}

static enum rr_err ready_repair(void *ctx, struct rr_fault *fault)
{
    return lose(ctx, 0, 1, fault);
}

static enum rr_err copy_object(void *ctx, struct rr_fault *fault)
{
    struct disk *disk = ctx;
    (void)fault;
    for (unsigned i = 0; i < ROUNDS; i++) {
        memcpy(disk->out, disk->bytes, FILE_BYTES);
    }
    return RR_OK;
}

/* As take_turns, but the limit waits for the repair that ours set off. */
static enum rr_err bench_degraded(struct bench_row *row, struct disk *disk, struct rr_fault *fault)
{
    enum rr_err err = RR_OK;
    for (int i = -1; i < BENCH_RUNS && err == RR_OK; i++) {
        double ours;
        double limit;
        err = ready_degraded(disk, fault);
        if (err == RR_OK) {
            err = rate(&ours, read_all, disk, FILE_BYTES, fault);
        }
        if (err == RR_OK && memcmp(disk->out, disk->bytes, FILE_BYTES) != 0) {
            err = rr_fail(fault, RR_ERR_TRUST, "a degraded read gave other bytes");
        }
        if (err == RR_OK && (err = settle(disk, fault)) == RR_OK) {
            err = read_healthy(disk, fault); /* looks at the new files for the first time */
        }
        if (err == RR_OK) {
            err = rate(&limit, read_all, disk, FILE_BYTES, fault);
        }
        if (err == RR_OK && i >= 0) {
            row->ours[i] = ours;
            row->limit[i] = limit;
        }
    }
    return err;
}

static enum rr_err disk_open(struct disk *disk, struct rr_fault *fault)
{
    const char *base = getenv("TMPDIR");
    char folder[RR_PATH_BYTES];
    struct rr_prng prng;
    enum rr_err err =
        rr_path(folder, fault, "%.3000s/rr-bench-XXXXXX", base == NULL ? "/tmp" : base);
    if (err != RR_OK) {
        return err;
    }
    if (mkdtemp(folder) == NULL) {
        return rr_fail_errno(fault, "cannot make the folder %s", folder);
    }
    memcpy(disk->folder, folder, sizeof folder);
    disk->bytes = rr_alloc_aligned(FILE_BYTES);
    disk->out = rr_alloc_aligned(FILE_BYTES);
    rr_prng_seed(&prng, SEED);
    rr_prng_bytes(&prng, disk->bytes, FILE_BYTES);
    err = rr_path(folder, fault, "%.4000s/store", disk->folder);
    struct rr_store_options options = {.folder = folder};
    return err == RR_OK ? rr_store_open(&disk->store, &options, fault) : err;
}

static void disk_close(struct disk *disk)
{
    struct rr_fault fault = {0};
    rr_store_close(disk->store);
    if (disk->folder[0] != '\0' && rr_remove_tree(disk->folder, &fault) != RR_OK) {
        rr_log_fault(RR_LOG_WARN, "bench", &fault);
    }
    rr_free(disk->bytes);
    rr_free(disk->out);
    rr_free(disk);
}

static enum rr_err bench_disk(struct bench_row rows[3], uint8_t k, uint8_t m,
                              struct rr_fault *fault)
{
    struct disk *disk = rr_alloc(sizeof *disk);
    struct rr_store_stats stats = {0};
    disk->k = k;
    disk->m = m;
    enum rr_err err = disk_open(disk, fault);
    if (err == RR_OK) {
        err = take_turns(&rows[0], (struct side){put, FILE_BYTES},
                         (struct side){write_raw, FILE_BYTES}, renew, disk, fault);
    }
    if (err == RR_OK) {
        err = bench_degraded(&rows[1], disk, fault);
    }
    if (err == RR_OK) {
        err =
            take_turns(&rows[2], (struct side){repair, FILE_BYTES},
                       (struct side){copy_object, ROUNDS * FILE_BYTES}, ready_repair, disk, fault);
    }
    if (err == RR_OK) {
        rr_store_stats(disk->store, &stats);
        if (stats.shards_repaired != (uint64_t)(BENCH_RUNS + 1) * (m + 1u)) {
            err = rr_fail(fault, RR_ERR_STATE, "%llu shards were rebuilt, %u lost",
                          (unsigned long long)stats.shards_repaired, (BENCH_RUNS + 1) * (m + 1u));
        }
    }
    disk_close(disk);
    return err;
}

enum rr_err rr_bench_erasure(struct rr_buf *out, bool json)
{
    struct rr_fault fault = {0};
#define ROW(what, peer)                                                                            \
    {                                                                                              \
        .name = (what), .variant = rr_cpu_text(), .unit = "B/s", .limit_name = (peer),             \
        .runs = BENCH_RUNS                                                                         \
    }
    struct bench_row rows[] = {
        ROW("encode_10_4", "isal"),
        ROW("encode_hash_10_4", "memcpy"),
        ROW("fused_10_4", "encode_then_hash"),
        ROW("encode_4_2", "isal"),
        ROW("encode_hash_4_2", "memcpy"),
        ROW("fused_4_2", "encode_then_hash"),
        ROW("put_4_2", "fdatasync"),
        ROW("degraded_read_4_2", "healthy_read"),
        ROW("repair_shard_4_2", "memcpy"),
    };
#undef ROW
    rr_crypto_init();
    enum rr_err err = bench_memory(&rows[0], 10, 4, &fault);
    if (err == RR_OK) {
        err = bench_memory(&rows[3], 4, 2, &fault);
    }
    if (err == RR_OK) {
        err = bench_disk(&rows[6], 4, 2, &fault);
    }
    if (err == RR_OK) {
        bench_report(out, json,
                     "erasure: what do coding, hashing and durability of shards cost beyond what "
                     "the machine needs in any case?",
                     rows, RR_COUNT(rows));
    } else {
        rr_log_fault(RR_LOG_ERROR, "bench", &fault);
    }
    return err;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A store in a folder of its own, and ways to spoil it; for the tests of storage. */
#ifndef RR_TEST_SHELF_H
#define RR_TEST_SHELF_H
#include "storage/storage.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define SHELF_WAIT_MS 60000

struct shelf {
    char folder[128];
    struct rr_store *store;
};

static struct rr_prng shelf_prng;

static inline void shelf_ok(enum rr_err err, const struct rr_fault *fault)
{
    if (err != RR_OK) {
        fail_msg("%s: %s [%s]", rr_err_text(err), fault->text, fault->where);
    }
}

static inline enum rr_err shelf_try_open(struct shelf *shelf, uint64_t quota, uint64_t headroom,
                                         struct rr_fault *fault)
{
    struct rr_store_options options = {
        .folder = shelf->folder, .quota_bytes = quota, .headroom_bytes = headroom};
    return rr_store_open(&shelf->store, &options, fault);
}

static inline void shelf_open(struct shelf *shelf)
{
    struct rr_fault fault = {0};
    shelf_ok(shelf_try_open(shelf, 0, 0, &fault), &fault);
}

/* In memory when there is a place for that: for tests that ask nothing of a disk. */
static inline void shelf_init(struct shelf *shelf, bool in_memory)
{
    const char *base = getenv("TMPDIR");
    base = base == NULL ? "/tmp" : base;
    base = in_memory && access("/dev/shm", W_OK) == 0 ? "/dev/shm" : base;
    snprintf(shelf->folder, sizeof shelf->folder, "%.80s/rr-shelf-XXXXXX", base);
    assert_non_null(mkdtemp(shelf->folder));
    shelf->store = NULL;
}

static inline void shelf_clear(struct shelf *shelf)
{
    struct rr_fault fault = {0};
    rr_store_close(shelf->store);
    shelf->store = NULL;
    shelf_ok(rr_remove_tree(shelf->folder, &fault), &fault);
}

static inline struct rr_object shelf_put(struct shelf *shelf, const void *bytes, size_t len,
                                         uint8_t k, uint8_t m)
{
    struct rr_fault fault = {0};
    struct rr_object object;
    shelf_ok(rr_store_put(shelf->store, &object, rr_slice_of(bytes, len), k, m, &fault), &fault);
    return object;
}

static inline void shelf_expect(struct shelf *shelf, const struct rr_object *object, uint64_t at,
                                const uint8_t *bytes, size_t len)
{
    struct rr_fault fault = {0};
    uint8_t *out = rr_alloc(len + 1);
    shelf_ok(rr_store_read(shelf->store, object, at, out, len, &fault), &fault);
    assert_memory_equal(out, bytes, len);
    rr_free(out);
}

static inline void shelf_path(struct shelf *shelf, char out[static RR_PATH_BYTES],
                              const struct rr_object *object, unsigned shard)
{
    struct rr_fault fault = {0};
    shelf_ok(rr_store_shard_path(shelf->store, out, &object->object_id, (uint8_t)shard, &fault),
             &fault);
}

static inline void shelf_delete(struct shelf *shelf, const struct rr_object *object, unsigned shard)
{
    char path[RR_PATH_BYTES];
    shelf_path(shelf, path, object, shard);
    assert_int_equal(unlink(path), 0);
}

/* Changes one bit; `secretly` as a disk does it: with the times of the file as they were. */
static inline void shelf_flip(struct shelf *shelf, const struct rr_object *object, unsigned shard,
                              uint64_t bit, bool secretly)
{
    char path[RR_PATH_BYTES];
    struct stat before;
    uint8_t byte;
    shelf_path(shelf, path, object, shard);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(fstat(fd, &before), 0);
    assert_int_equal(pread(fd, &byte, 1, (off_t)(bit / 8)), 1);
    byte ^= (uint8_t)(1u << bit % 8);
    assert_int_equal(pwrite(fd, &byte, 1, (off_t)(bit / 8)), 1);
    if (secretly) {
        struct timespec times[2] = {before.st_atim, before.st_mtim};
        assert_int_equal(futimens(fd, times), 0);
    }
    close(fd);
}

static inline void shelf_wait(struct shelf *shelf)
{
    assert_true(rr_store_wait_repaired(shelf->store, SHELF_WAIT_MS));
}

/* Nothing bad, missing, unlisted or miscounted is in the folder. */
static inline void shelf_expect_clean(struct shelf *shelf, uint64_t objects, uint64_t shards)
{
    struct rr_fault fault = {0};
    struct rr_store_check check;
    shelf_ok(rr_store_fsck(shelf->store, &check, &fault), &fault);
    assert_int_equal(check.shards_bad, 0);
    assert_int_equal(check.shards_missing, 0);
    assert_int_equal(check.orphans, 0);
    assert_int_equal(check.quota_drift_bytes, 0);
    assert_int_equal(check.objects, objects);
    assert_int_equal(check.shards_good, shards);
}

static inline struct rr_store_stats shelf_stats(struct shelf *shelf)
{
    struct rr_store_stats stats;
    rr_store_stats(shelf->store, &stats);
    return stats;
}

/* RR_SEED repeats a run. */
static inline void shelf_seed(void)
{
    const char *env = getenv("RR_SEED");
    uint64_t seed = env != NULL ? strtoull(env, NULL, 10) : (uint64_t)time(NULL);
    print_message("RR_SEED=%llu\n", (unsigned long long)seed);
    rr_crypto_init();
    rr_prng_seed(&shelf_prng, seed);
}

static inline unsigned shelf_count(const char *name, unsigned usual)
{
    const char *env = getenv(name);
    return env != NULL ? (unsigned)strtoul(env, NULL, 10) : usual;
}

static inline uint8_t *shelf_bytes(size_t len)
{
    uint8_t *bytes = rr_alloc(len + 1);
    rr_prng_bytes(&shelf_prng, bytes, len);
    return bytes;
}
#endif

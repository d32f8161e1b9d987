/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The store through its door alone: what is acknowledged stays, wrong bytes never leave, losses are
 * rebuilt. */
#include "storage/storage.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define MIB (1u << 20)

static char folder[RR_PATH_BYTES];
static struct rr_prng prng;

static void fill(uint8_t *bytes, size_t len)
{
    rr_prng_bytes(&prng, bytes, len);
}

static struct rr_store *open_store(uint64_t quota)
{
    struct rr_store *store = NULL;
    struct rr_fault fault = {0};
    struct rr_store_options options = {.folder = folder, .quota_bytes = quota, .headroom_bytes = 0};
    if (rr_store_open(&store, &options, &fault) != RR_OK) {
        fail_msg("%s", fault.text);
    }
    return store;
}

static struct rr_object put(struct rr_store *store, const uint8_t *bytes, size_t len, uint8_t k,
                            uint8_t m)
{
    struct rr_object object;
    struct rr_fault fault = {0};
    if (rr_store_put(store, &object, rr_slice_of(bytes, len), k, m, &fault) != RR_OK) {
        fail_msg("%s", fault.text);
    }
    return object;
}

static void shard_path(struct rr_store *store, char out[static RR_PATH_BYTES],
                       const struct rr_object *object, unsigned index)
{
    assert_int_equal(rr_store_shard_path(store, out, &object->object_id, (uint8_t)index, NULL),
                     RR_OK);
}

static void delete_shard(struct rr_store *store, const struct rr_object *object, unsigned index)
{
    char path[RR_PATH_BYTES];
    shard_path(store, path, object, index);
    assert_int_equal(unlink(path), 0);
}

static void flip_shard(struct rr_store *store, const struct rr_object *object, unsigned index,
                       uint64_t at, uint8_t mask)
{
    char path[RR_PATH_BYTES];
    uint8_t byte;
    shard_path(store, path, object, index);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(pread(fd, &byte, 1, (off_t)at), 1);
    byte ^= mask;
    assert_int_equal(pwrite(fd, &byte, 1, (off_t)at), 1);
    close(fd);
}

static void expect_bytes(struct rr_store *store, const struct rr_object *object,
                         const uint8_t *bytes, size_t len)
{
    struct rr_fault fault = {0};
    uint8_t *out = rr_alloc(len > 0 ? len : 1);
    if (rr_store_read(store, object, 0, out, len, &fault) != RR_OK) {
        fail_msg("%s", fault.text);
    }
    assert_memory_equal(out, bytes, len);
    rr_free(out);
}

static void any_length_comes_back_and_survives_reopening(void **state)
{
    (void)state;
    static const size_t lengths[] = {1, 16383, 16384, 65535, 65536, 65537, 300000, 3 * MIB + 17};
    struct rr_object objects[RR_COUNT(lengths)];
    uint8_t *bytes = rr_alloc(4 * MIB);
    fill(bytes, 4 * MIB);
    struct rr_store *store = open_store(0);
    for (size_t i = 0; i < RR_COUNT(lengths); i++) {
        objects[i] = put(store, bytes + i, lengths[i], 4, 2);
        assert_int_equal(objects[i].length, lengths[i]);
    }
    rr_store_close(store);
    store = open_store(0);
    for (size_t i = 0; i < RR_COUNT(lengths); i++) {
        struct rr_object found;
        assert_int_equal(rr_store_object(store, &objects[i].object_id, &found, NULL), RR_OK);
        expect_bytes(store, &found, bytes + i, lengths[i]);
        uint8_t piece[1000];
        uint64_t at = rr_prng_below(&prng, lengths[i]);
        size_t n = lengths[i] - at < sizeof piece ? (size_t)(lengths[i] - at) : sizeof piece;
        assert_int_equal(rr_store_read(store, &found, at, piece, n, NULL), RR_OK);
        assert_memory_equal(piece, bytes + i + at, n);
        assert_int_equal(rr_store_read(store, &found, lengths[i], piece, 1, NULL), RR_ERR_USAGE);
    }
    struct rr_store_stats before, after;
    rr_store_stats(store, &before);
    put(store, bytes, lengths[0], 4, 2);
    rr_store_stats(store, &after);
    assert_int_equal(before.bytes, after.bytes); /* the same bytes cost no space */
    rr_store_close(store);
    rr_free(bytes);
}

static void all_erasure_patterns(uint8_t k, uint8_t m, bool flip)
{
    unsigned n = (unsigned)k + m, tried = 0;
    size_t len = (size_t)k * RR_STRIP_BYTES - 5;
    uint8_t *bytes = rr_alloc(len);
    for (unsigned pattern = 0; pattern < 1u << n; pattern++) {
        if (__builtin_popcount(pattern) != m) {
            continue;
        }
        tried++;
        struct rr_store *store = open_store(0);
        fill(bytes, len);
        struct rr_object object = put(store, bytes, len, k, m);
        for (unsigned j = 0; j < n; j++) {
            if ((pattern >> j & 1) != 0) {
                if (flip) {
                    flip_shard(store, &object, j, rr_prng_below(&prng, RR_STRIP_BYTES),
                               (uint8_t)(1u << (j % 8)));
                } else {
                    delete_shard(store, &object, j);
                }
            }
        }
        expect_bytes(store, &object, bytes, len);
        uint64_t bad = 0;
        assert_int_equal(rr_store_scrub(store, &bad, NULL), RR_OK);
        struct rr_store_check check;
        assert_int_equal(rr_store_fsck(store, &check, NULL), RR_OK);
        assert_int_equal(check.shards_bad + check.shards_missing, 0);
        assert_int_equal(rr_store_remove(store, &object.object_id, NULL), RR_OK);
        rr_store_close(store);
    }
    rr_free(bytes);
    print_message("%u+%u: %u patterns\n", (unsigned)k, (unsigned)m, tried);
}

static void every_pattern_of_m_losses_is_read_and_rebuilt(void **state)
{
    (void)state;
    all_erasure_patterns(4, 2, false);
    all_erasure_patterns(4, 2, true);
    all_erasure_patterns(1, 3, false);
    all_erasure_patterns(5, 1, true);
    all_erasure_patterns(8, 3, false);
    all_erasure_patterns(6, 6, false);
}

static void one_loss_more_than_parity_is_an_error_not_wrong_bytes(void **state)
{
    (void)state;
    uint8_t bytes[70000], out[70000];
    fill(bytes, sizeof bytes);
    struct rr_store *store = open_store(0);
    struct rr_object object = put(store, bytes, sizeof bytes, 4, 2);
    delete_shard(store, &object, 0);
    flip_shard(store, &object, 2, 77, 1);
    flip_shard(store, &object, 5, 16384 + 1, 0x80);
    memset(out, 0xee, sizeof out);
    assert_int_equal(rr_store_read(store, &object, 0, out, sizeof out, NULL), RR_ERR_DAMAGED);
    rr_store_close(store);
}

static void random_flips_never_reach_a_reader(void **state)
{
    (void)state;
    size_t len = 700000;
    uint8_t *bytes = rr_alloc(len), *out = rr_alloc(len);
    unsigned flips = getenv("RR_SHORT") != NULL ? 100 : 1000;
    fill(bytes, len);
    struct rr_store *store = open_store(0);
    struct rr_object object = put(store, bytes, len, 4, 2);
    for (unsigned i = 0; i < flips; i++) {
        flip_shard(store, &object, (unsigned)rr_prng_below(&prng, 6),
                   rr_prng_below(&prng, rr_object_shard_bytes(&object)),
                   (uint8_t)(1u << rr_prng_below(&prng, 8)));
        uint64_t at = rr_prng_below(&prng, len - 1);
        size_t n = (size_t)rr_prng_below(&prng, len - at) + 1;
        assert_int_equal(rr_store_read(store, &object, at, out, n, NULL), RR_OK);
        assert_memory_equal(out, bytes + at, n);
        if (i % 10 == 9) {
            uint64_t bad;
            assert_int_equal(rr_store_scrub(store, &bad, NULL), RR_OK);
        } else {
            assert_true(rr_store_wait_repaired(store, 10000));
            uint64_t bad;
            assert_int_equal(rr_store_scrub(store, &bad, NULL), RR_OK);
        }
    }
    struct rr_store_stats stats;
    rr_store_stats(store, &stats);
    print_message("%u flips, %llu shards rebuilt\n", flips,
                  (unsigned long long)stats.shards_repaired);
    assert_in_range(stats.shards_repaired, flips, flips);
    rr_store_close(store);
    rr_free(bytes);
    rr_free(out);
}

static void quota_refuses_before_harm(void **state)
{
    (void)state;
    uint8_t *bytes = rr_alloc(MIB);
    struct rr_fault fault = {0};
    struct rr_object object;
    fill(bytes, MIB);
    struct rr_store *store = open_store(2 * MIB);
    put(store, bytes, MIB, 4, 2); /* 1.5 MiB of shards */
    assert_int_equal(rr_store_put(store, &object, rr_slice_of(bytes, MIB - 1), 4, 2, &fault),
                     RR_ERR_FULL);
    assert_non_null(strstr(fault.text, "quota"));
    struct rr_store_check check;
    assert_int_equal(rr_store_fsck(store, &check, NULL), RR_OK);
    assert_int_equal(check.orphans, 0);
    assert_int_equal(check.quota_drift_bytes, 0);
    rr_store_close(store);
    rr_free(bytes);
}

static void headroom_is_kept(void **state)
{
    (void)state;
    struct rr_store *store = NULL;
    struct rr_fault fault = {0};
    struct rr_object object;
    struct rr_store_options options = {.folder = folder, .headroom_bytes = UINT64_MAX / 2};
    assert_int_equal(rr_store_open(&store, &options, &fault), RR_OK);
    assert_int_equal(rr_store_put(store, &object, rr_slice_str("some bytes"), 4, 2, &fault),
                     RR_ERR_FULL);
    assert_non_null(strstr(fault.text, "free"));
    rr_store_close(store);
}

static void a_second_opener_is_refused(void **state)
{
    (void)state;
    struct rr_store *store = open_store(0), *second = NULL;
    struct rr_store_options options = {.folder = folder};
    struct rr_fault fault = {0};
    assert_int_equal(rr_store_open(&second, &options, &fault), RR_ERR_BUSY);
    rr_store_close(store);
}

/* Puts objects for ever, tells each acknowledged id through the pipe. */
static void put_for_ever(int fd, uint64_t seed)
{
    rr_prng_seed(&prng, seed);
    struct rr_store *store = open_store(0);
    for (;;) {
        uint8_t bytes[40000];
        fill(bytes, sizeof bytes);
        struct rr_object object =
            put(store, bytes, 1 + (size_t)rr_prng_below(&prng, sizeof bytes), 4, 2);
        if (write(fd, object.object_id.bytes, 32) != 32) {
            _exit(1);
        }
    }
}

static void kills_lose_nothing_acknowledged(void **state)
{
    (void)state;
    const char *env = getenv("RR_KILLS");
    long kills = env != NULL ? strtol(env, NULL, 10) : getenv("RR_SHORT") != NULL ? 10 : 60;
    uint64_t acknowledged = 0;
    for (long i = 0; i < kills; i++) {
        int fds[2];
        assert_int_equal(pipe(fds), 0);
        pid_t pid = fork();
        if (pid == 0) {
            close(fds[0]);
            put_for_ever(fds[1], (uint64_t)i + 1000);
        }
        close(fds[1]);
        nanosleep(&(struct timespec){.tv_nsec = (long)(5 + rr_prng_below(&prng, 60)) * 1000000},
                  NULL);
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
        struct rr_store *store = open_store(0);
        struct rr_hash32 id;
        while (read(fds[0], id.bytes, 32) == 32) {
            struct rr_object object;
            assert_int_equal(rr_store_object(store, &id, &object, NULL), RR_OK);
            uint8_t out[40000];
            assert_int_equal(rr_store_read(store, &object, 0, out, (size_t)object.length, NULL),
                             RR_OK);
            acknowledged++;
        }
        struct rr_store_check check;
        assert_int_equal(rr_store_fsck(store, &check, NULL), RR_OK);
        assert_int_equal(
            check.orphans + check.quota_drift_bytes + check.shards_bad + check.shards_missing, 0);
        rr_store_close(store);
        close(fds[0]);
    }
    print_message("%ld kills, %llu objects acknowledged, 0 lost\n", kills,
                  (unsigned long long)acknowledged);
    assert_true(acknowledged > 0);
}

static int make_folder(void **state)
{
    (void)state;
    const char *tmp = getenv("TMPDIR");
    snprintf(folder, sizeof folder, "%s/rr-store-XXXXXX", tmp != NULL ? tmp : "/tmp");
    return mkdtemp(folder) != NULL ? 0 : -1;
}

static int remove_folder(void **state)
{
    (void)state;
    return rr_remove_tree(folder, NULL) == RR_OK ? 0 : -1;
}

int main(void)
{
    rr_crypto_init();
    const char *env = getenv("RR_SEED");
    uint64_t seed = env != NULL ? strtoull(env, NULL, 10) : (uint64_t)time(NULL);
    print_message("seed %llu\n", (unsigned long long)seed);
    rr_prng_seed(&prng, seed);
#define TEST(name) cmocka_unit_test_setup_teardown(name, make_folder, remove_folder)
    const struct CMUnitTest tests[] = {
        TEST(any_length_comes_back_and_survives_reopening),
        TEST(every_pattern_of_m_losses_is_read_and_rebuilt),
        TEST(one_loss_more_than_parity_is_an_error_not_wrong_bytes),
        TEST(random_flips_never_reach_a_reader),
        TEST(quota_refuses_before_harm),
        TEST(headroom_is_kept),
        TEST(a_second_opener_is_refused),
        TEST(kills_lose_nothing_acknowledged),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

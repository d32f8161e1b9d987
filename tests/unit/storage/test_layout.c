/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The format of shards, worked out here a second time: layout of strips, Cauchy code in GF(2^8),
 * roots by b3sum. */
#include "shelf.h"

#include "blake3/blake3.h"
#include <spawn.h>
#include <sys/wait.h>

static uint8_t multiply(uint8_t a, uint8_t b)
{
    unsigned product = 0;
    for (unsigned x = a, y = b; y != 0; y >>= 1) {
        product ^= (y & 1) != 0 ? x : 0;
        x = x << 1 ^ ((x & 0x80) != 0 ? 0x11du : 0);
    }
    return (uint8_t)product;
}

static uint8_t invert(uint8_t a)
{
    unsigned b = 1;
    while (multiply(a, (uint8_t)b) != 1) {
        b++;
    }
    return (uint8_t)b;
}

static struct rr_buf read_shard(struct shelf *shelf, const struct rr_object *object, unsigned shard)
{
    struct rr_fault fault = {0};
    struct rr_buf out = {0};
    char path[RR_PATH_BYTES];
    shelf_path(shelf, path, object, shard);
    shelf_ok(rr_file_read(&out, path, 64 << 20, &fault), &fault);
    assert_int_equal(out.len, rr_object_shard_bytes(object));
    return out;
}

/* Of byte `at` of data shard j: its place in the object, zero beyond the end. */
static uint8_t data_byte(const struct rr_object *object, const uint8_t *bytes, unsigned j,
                         uint64_t at)
{
    uint64_t stripe = at / RR_STRIP_BYTES;
    uint64_t place = (stripe * object->k + j) * RR_STRIP_BYTES + at % RR_STRIP_BYTES;
    return place < object->length ? bytes[place] : 0;
}

static void check_object(struct shelf *shelf, size_t len, uint8_t k, uint8_t m)
{
    uint8_t *bytes = shelf_bytes(len);
    struct rr_object object = shelf_put(shelf, bytes, len, k, m);
    uint64_t strips = len == 0 ? 1 : (len + (size_t)k * RR_STRIP_BYTES - 1) / k / RR_STRIP_BYTES;
    assert_int_equal(rr_object_shard_bytes(&object), strips * RR_STRIP_BYTES);
    for (unsigned j = 0; j < (unsigned)k + m; j++) {
        struct rr_buf shard = read_shard(shelf, &object, j);
        struct rr_hash32 root;
        rr_blake3(root.bytes, shard.ptr, shard.len);
        assert_memory_equal(root.bytes, object.roots[j].bytes, 32);
        for (uint64_t at = 0; at < shard.len; at += j < k ? 1 : 97) {
            uint8_t expected = 0;
            if (j < k) {
                expected = data_byte(&object, bytes, j, at);
            }
            for (unsigned i = 0; i < k && j >= k; i++) {
                expected ^= multiply(invert((uint8_t)(i ^ j)), data_byte(&object, bytes, i, at));
            }
            assert_int_equal(shard.ptr[at], expected);
        }
        rr_buf_clear(&shard);
    }
    rr_free(bytes);
}

static void shards_hold_the_strips_and_the_code_that_the_format_says(void **state)
{
    static const struct {
        size_t len;
        uint8_t k, m;
    } cases[] = {{0, 4, 2},        {1, 4, 2},      {16384, 1, 0},   {65536, 4, 2},
                 {65537, 4, 2},    {300001, 4, 2}, {200000, 8, 3},  {163841, 10, 4},
                 {1000000, 20, 9}, {40000, 1, 3},  {100000, 2, 64}, {16384, 191, 64},
                 {50000, 254, 1},  {50000, 255, 0}};
    (void)state;
    struct shelf shelf;
    shelf_init(&shelf, true);
    shelf_open(&shelf);
    for (size_t i = 0; i < RR_COUNT(cases); i++) {
        check_object(&shelf, cases[i].len, cases[i].k, cases[i].m);
    }
    shelf_clear(&shelf);
}

static void shards_that_are_too_many_are_refused(void **state)
{
    static const uint8_t wrong[][2] = {{0, 2}, {0, 0}, {4, 65}, {192, 64}, {255, 1}};
    (void)state;
    struct shelf shelf;
    shelf_init(&shelf, true);
    shelf_open(&shelf);
    for (size_t i = 0; i < RR_COUNT(wrong); i++) {
        struct rr_fault fault = {0};
        struct rr_object object = {.length = 77};
        assert_int_equal(rr_store_put(shelf.store, &object, rr_slice_str("some bytes"), wrong[i][0],
                                      wrong[i][1], &fault),
                         RR_ERR_USAGE);
        assert_int_equal(object.length, 77);
    }
    shelf_expect_clean(&shelf, 0, 0);
    shelf_clear(&shelf);
}

/* First 64 characters that the program says of a file; false when there is no such program. */
static bool ask_b3sum(char out[static 65], char *path)
{
    int ends[2];
    pid_t pid;
    int status;
    posix_spawn_file_actions_t actions;
    char program[] = "b3sum";
    char option[] = "--no-names";
    char *arguments[] = {program, option, path, NULL};
    assert_int_equal(pipe(ends), 0);
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, ends[1], 1);
    posix_spawn_file_actions_addclose(&actions, ends[0]);
    int rc = posix_spawnp(&pid, program, &actions, NULL, arguments, environ);
    posix_spawn_file_actions_destroy(&actions);
    close(ends[1]);
    size_t got = 0;
    for (ssize_t n = 1; rc == 0 && got < 64 && n > 0; got += n > 0 ? (size_t)n : 0) {
        n = read(ends[0], out + got, 64 - got);
    }
    close(ends[0]);
    if (rc == 0) {
        assert_int_equal(waitpid(pid, &status, 0), pid);
        rc = WIFEXITED(status) && WEXITSTATUS(status) == 127 ? 127 : 0;
    }
    out[got] = '\0';
    return rc == 0;
}

static void b3sum_agrees_with_every_root(void **state)
{
    (void)state;
    struct shelf shelf;
    bool there = true;
    shelf_init(&shelf, true);
    shelf_open(&shelf);
    for (size_t len = 5; len < 2000000 && there; len = len * 7 + 3) {
        uint8_t *bytes = shelf_bytes(len);
        struct rr_object object = shelf_put(&shelf, bytes, len, 4, 2);
        for (unsigned j = 0; j < 6 && there; j++) {
            char path[RR_PATH_BYTES];
            char said[65];
            char root[65];
            shelf_path(&shelf, path, &object, j);
            rr_hex(root, object.roots[j].bytes, 32);
            there = ask_b3sum(said, path);
            if (there) {
                assert_string_equal(said, root);
            }
        }
        rr_free(bytes);
    }
    shelf_clear(&shelf);
    if (!there) {
        print_message("b3sum is not installed\n");
        skip();
    }
}

static void a_file_gives_the_same_record_as_its_bytes(void **state)
{
    (void)state;
    struct shelf shelf;
    struct rr_fault fault = {0};
    size_t len = (5 << 20) + 12345;
    uint8_t *bytes = shelf_bytes(len);
    shelf_init(&shelf, true);
    shelf_open(&shelf);
    char path[RR_PATH_BYTES];
    shelf_ok(rr_path(path, &fault, "%s/source", shelf.folder), &fault);
    shelf_ok(rr_file_write(path, rr_slice_of(bytes, len), 0600, &fault), &fault);
    struct rr_object one = shelf_put(&shelf, bytes, len, 10, 4);
    struct rr_object other;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    shelf_ok(rr_store_put_fd(shelf.store, &other, fd, len, 10, 4, &fault), &fault);
    assert_memory_equal(&one, &other, sizeof one);
    shelf_expect_clean(&shelf, 1, 14);
    /* Shorter than said: refused, and nothing of it stays. */
    assert_int_not_equal(rr_store_put_fd(shelf.store, &other, fd, len + 1, 4, 2, &fault), RR_OK);
    shelf_expect_clean(&shelf, 1, 14);
    close(fd);
    shelf_clear(&shelf);
    rr_free(bytes);
}

static void coding_in_memory_gives_the_roots_of_the_files(void **state)
{
    (void)state;
    struct shelf shelf;
    enum { K = 10, M = 4, STRIPS = 5, BYTES = STRIPS * RR_STRIP_BYTES };
    uint8_t *bytes = shelf_bytes((size_t)K * BYTES);
    uint8_t *shards = rr_alloc_aligned((size_t)(K + M) * BYTES);
    uint8_t *parity = rr_alloc_aligned((size_t)M * BYTES);
    const uint8_t *data[K];
    uint8_t *out[M];
    uint8_t *again[M];
    struct rr_hash32 roots[K + M];
    for (unsigned j = 0; j < K; j++) {
        data[j] = shards + (size_t)j * BYTES;
        for (unsigned s = 0; s < STRIPS; s++) {
            memcpy(shards + (size_t)j * BYTES + s * RR_STRIP_BYTES,
                   bytes + ((size_t)s * K + j) * RR_STRIP_BYTES, RR_STRIP_BYTES);
        }
    }
    for (unsigned j = 0; j < M; j++) {
        out[j] = shards + (size_t)(K + j) * BYTES;
        again[j] = parity + (size_t)j * BYTES;
    }
    rr_store_encode_hashed(K, M, data, out, BYTES, roots);
    rr_store_encode_raw(K, M, data, again, BYTES);
    assert_memory_equal(out[0], again[0], (size_t)M * BYTES);
    shelf_init(&shelf, true);
    shelf_open(&shelf);
    struct rr_object object = shelf_put(&shelf, bytes, (size_t)K * BYTES, K, M);
    assert_memory_equal(object.roots, roots, sizeof roots);
    shelf_clear(&shelf);
    rr_free(bytes);
    rr_free(shards);
    rr_free(parity);
}

int main(void)
{
    shelf_seed();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shards_hold_the_strips_and_the_code_that_the_format_says),
        cmocka_unit_test(shards_that_are_too_many_are_refused),
        cmocka_unit_test(b3sum_agrees_with_every_root),
        cmocka_unit_test(a_file_gives_the_same_record_as_its_bytes),
        cmocka_unit_test(coding_in_memory_gives_the_roots_of_the_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

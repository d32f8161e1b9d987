/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Promises of the door that cost data or trust when they are broken; each names the harm it guards.
 */
#include "shelf.h"

#include "db/db.h"
#include <pthread.h>
#include <stdatomic.h>
#include <sys/resource.h>

static void to_put_the_bytes_again_heals_an_object_beyond_repair(void **state)
{
    (void)state;
    struct shelf shelf;
    enum { LEN = 100000 };
    uint8_t *bytes = shelf_bytes(LEN);
    shelf_init(&shelf, true);
    shelf_open(&shelf);
    struct rr_object object = shelf_put(&shelf, bytes, LEN, 4, 2);
    for (unsigned j = 0; j < 5; j++) {
        shelf_delete(&shelf, &object, j);
    }
    /* "Durable when it returns": the record was there, so its shards were not looked at. */
    struct rr_object again = shelf_put(&shelf, bytes, LEN, 4, 2);
    assert_true(rr_hash32_equal(&object.object_id, &again.object_id));
    shelf_expect(&shelf, &again, 0, bytes, LEN);
    shelf_wait(&shelf);
    shelf_expect_clean(&shelf, 1, 6);
    shelf_clear(&shelf);
    rr_free(bytes);
}

static void a_damaged_record_costs_no_shard(void **state)
{
    (void)state;
    static const char *const tables[] = {"objects", "manifests", "meta"};
    struct shelf shelf;
    struct rr_fault fault = {0};
    struct rr_db *db = NULL;
    struct rr_db_txn *txn = NULL;
    char index[RR_PATH_BYTES];
    char path[RR_PATH_BYTES];
    struct stat info;
    shelf_init(&shelf, true);
    shelf_open(&shelf);
    struct rr_object object = shelf_put(&shelf, "precious", 8, 4, 2);
    shelf_path(&shelf, path, &object, 0);
    rr_store_close(shelf.store);
    shelf.store = NULL;
    shelf_ok(rr_path(index, &fault, "%s/index", shelf.folder), &fault);
    shelf_ok(rr_db_open(&db, index, tables, 3, &fault), &fault);
    shelf_ok(rr_db_begin(db, true, &txn, &fault), &fault);
    shelf_ok(rr_db_put(txn, 0, rr_slice_of(object.object_id.bytes, 32),
                       rr_slice_str("\001not a record"), &fault),
             &fault);
    shelf_ok(rr_db_commit(txn, &fault), &fault);
    rr_db_close(db);
    (void)!shelf_try_open(&shelf, 0, 0, &fault);
    /* The sweep takes files "that no record names": this one is named, by a record that is ill. */
    assert_int_equal(stat(path, &info), 0);
    shelf_clear(&shelf);
}

static void a_length_beyond_all_disks_is_refused_not_fatal(void **state)
{
    static const uint64_t lengths[] = {UINT64_C(1) << 45, UINT64_C(1) << 55, INT64_MAX, UINT64_MAX};
    (void)state;
    struct shelf shelf;
    shelf_init(&shelf, true);
    shelf_open(&shelf);
    int fd = open("/dev/zero", O_RDONLY | O_CLOEXEC);
    for (size_t i = 0; i < RR_COUNT(lengths); i++) {
        struct rr_fault fault = {0};
        struct rr_object object;
        enum rr_err err = rr_store_put_fd(shelf.store, &object, fd, lengths[i], 4, 2, &fault);
        assert_true(err == RR_ERR_FULL || err == RR_ERR_LIMIT);
    }
    close(fd);
    shelf_expect_clean(&shelf, 0, 0);
    shelf_clear(&shelf);
}

static void without_descriptors_nothing_is_called_lost(void **state)
{
    (void)state;
    struct shelf shelf;
    struct rr_fault fault = {0};
    struct rlimit before;
    uint8_t out[8];
    shelf_init(&shelf, true);
    shelf_open(&shelf);
    struct rr_object object = shelf_put(&shelf, "precious", 8, 4, 2);
    int next = open("/dev/null", O_RDONLY | O_CLOEXEC);
    close(next);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    struct rlimit none = {.rlim_cur = (rlim_t)next, .rlim_max = before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    enum rr_err err = rr_store_read(shelf.store, &object, 0, out, 8, &fault);
    shelf_wait(&shelf);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_int_equal(err, RR_ERR_IO);
    struct rr_store_stats stats = shelf_stats(&shelf);
    assert_int_equal(stats.shards_missing + stats.shards_damaged + stats.shards_repaired, 0);
    shelf_put(&shelf, "still writes", 12, 4, 2);
    shelf_clear(&shelf);
}

static void each_lost_shard_is_counted_once(void **state)
{
    (void)state;
    struct shelf shelf;
    enum { LEN = 200000 };
    uint8_t *bytes = shelf_bytes(LEN);
    shelf_init(&shelf, true);
    shelf_open(&shelf);
    struct rr_object object = shelf_put(&shelf, bytes, LEN, 4, 2);
    for (unsigned i = 1; i <= 5; i++) {
        shelf_delete(&shelf, &object, 0);
        shelf_flip(&shelf, &object, 2, 99, false);
        shelf_expect(&shelf, &object, 0, bytes, LEN);
        shelf_wait(&shelf);
        struct rr_store_stats stats = shelf_stats(&shelf);
        assert_int_equal(stats.shards_missing, i);
        assert_int_equal(stats.shards_damaged, i);
        assert_int_equal(stats.shards_repaired, 2 * i);
    }
    shelf_clear(&shelf);
    rr_free(bytes);
}

static void what_is_not_here_is_said_to_be_absent(void **state)
{
    (void)state;
    struct shelf shelf;
    struct rr_fault fault = {0};
    uint8_t out[8];
    shelf_init(&shelf, true);
    shelf_open(&shelf);
    struct rr_object object = shelf_put(&shelf, "precious", 8, 4, 2);
    shelf_ok(rr_store_remove(shelf.store, &object.object_id, &fault), &fault);
    assert_int_equal(rr_store_read(shelf.store, &object, 0, out, 8, &fault), RR_ERR_NOTFOUND);
    assert_int_equal(shelf_stats(&shelf).shards_missing, 0);
    shelf_clear(&shelf);
}

enum { RACERS = 8, RACES = 60, PIECE = 4 * RR_STRIP_BYTES, COST = 6 * RR_STRIP_BYTES };

struct race {
    struct rr_store *store;
    const uint8_t *bytes;
    _Atomic unsigned next;
};

static void *race_on(void *ctx)
{
    struct race *race = ctx;
    for (unsigned i; (i = atomic_fetch_add(&race->next, 1)) < RACES;) {
        struct rr_object object;
        struct rr_fault fault = {0};
        (void)!rr_store_put(race->store, &object, rr_slice_of(race->bytes + i, PIECE), 4, 2,
                            &fault);
    }
    return NULL;
}

static void many_writers_together_do_not_pass_the_quota(void **state)
{
    (void)state;
    uint8_t *bytes = shelf_bytes(PIECE + RACES);
    for (unsigned round = 0; round < 20; round++) {
        struct shelf shelf;
        struct rr_fault fault = {0};
        pthread_t threads[RACERS];
        shelf_init(&shelf, true);
        shelf_ok(shelf_try_open(&shelf, 10 * COST, 0, &fault), &fault);
        struct race race = {.store = shelf.store, .bytes = bytes};
        for (unsigned i = 0; i < RACERS; i++) {
            assert_int_equal(pthread_create(&threads[i], NULL, race_on, &race), 0);
        }
        for (unsigned i = 0; i < RACERS; i++) {
            assert_int_equal(pthread_join(threads[i], NULL), 0);
        }
        assert_in_range(shelf_stats(&shelf).bytes, 5 * COST, 10 * COST);
        shelf_clear(&shelf);
    }
    rr_free(bytes);
}

int main(void)
{
    shelf_seed();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(to_put_the_bytes_again_heals_an_object_beyond_repair),
        cmocka_unit_test(a_damaged_record_costs_no_shard),
        cmocka_unit_test(without_descriptors_nothing_is_called_lost),
        cmocka_unit_test(each_lost_shard_is_counted_once),
        cmocka_unit_test(what_is_not_here_is_said_to_be_absent),
        cmocka_unit_test(many_writers_together_do_not_pass_the_quota),
        cmocka_unit_test(a_length_beyond_all_disks_is_refused_not_fatal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "unit/base/unit.h"

#include "db/db.h"
#include <pthread.h>
#include <stdatomic.h>

static const char *const tables[] = {"first", "second"};
static char folder[64];
static struct rr_fault fault;
static struct rr_db *db;

static int set_up(void **state)
{
    (void)state;
    make_folder(folder);
    assert_int_equal(rr_db_open(&db, folder, tables, 2, &fault), RR_OK);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    rr_db_close(db);
    drop_folder(folder);
    return 0;
}

static struct rr_slice key_of(uint8_t be[static 4], uint32_t i)
{
    for (unsigned j = 0; j < 4; j++) {
        be[j] = (uint8_t)(i >> (24 - 8 * j));
    }
    return rr_slice_of(be, 4);
}

static void put_text(struct rr_db_txn *txn, uint32_t table, const char *key, const char *value)
{
    assert_int_equal(rr_db_put(txn, table, rr_slice_str(key), rr_slice_str(value), &fault), RR_OK);
}

static void assert_text(struct rr_db_txn *txn, uint32_t table, const char *key, const char *value)
{
    struct rr_slice got;
    enum rr_err err = rr_db_get(txn, table, rr_slice_str(key), &got, &fault);
    if (value == NULL) {
        assert_int_equal(err, RR_ERR_NOTFOUND);
    } else {
        assert_int_equal(err, RR_OK);
        assert_true(rr_slice_equal(got, rr_slice_str(value)));
    }
}

static struct rr_db_txn *begin(bool write)
{
    struct rr_db_txn *txn = NULL;
    assert_int_equal(rr_db_begin(db, write, &txn, &fault), RR_OK);
    return txn;
}

static void a_commit_is_there_after_reopening_and_an_abort_is_not(void **state)
{
    (void)state;
    struct rr_db_txn *txn = begin(true);
    put_text(txn, 0, "key", "value");
    put_text(txn, 1, "key", "other");
    put_text(txn, 1, "empty", "");
    assert_int_equal(rr_db_commit(txn, &fault), RR_OK);
    txn = begin(true);
    put_text(txn, 0, "key", "changed");
    put_text(txn, 0, "lost", "x");
    assert_text(txn, 0, "key", "changed");
    rr_db_abort(txn);
    rr_db_close(db);
    assert_int_equal(rr_db_open(&db, folder, tables, 2, &fault), RR_OK);
    txn = begin(false);
    assert_text(txn, 0, "key", "value");
    assert_text(txn, 1, "key", "other");
    assert_text(txn, 1, "empty", "");
    assert_text(txn, 0, "lost", NULL);
    rr_db_abort(txn);
    txn = begin(true);
    assert_int_equal(rr_db_delete(txn, 0, rr_slice_str("key"), &fault), RR_OK);
    assert_int_equal(rr_db_delete(txn, 0, rr_slice_str("key"), &fault), RR_OK);
    assert_text(txn, 0, "key", NULL);
    assert_int_equal(rr_db_commit(txn, &fault), RR_OK);
}

static void a_reader_keeps_its_picture_while_others_write(void **state)
{
    (void)state;
    struct rr_db_txn *txn = begin(true);
    put_text(txn, 0, "k", "old");
    assert_int_equal(rr_db_commit(txn, &fault), RR_OK);
    struct rr_db_txn *reader = begin(false);
    txn = begin(true);
    put_text(txn, 0, "k", "new");
    assert_int_equal(rr_db_commit(txn, &fault), RR_OK);
    struct rr_db_txn *second = begin(false); /* two of one thread */
    assert_text(reader, 0, "k", "old");
    assert_text(second, 0, "k", "new");
    rr_db_abort(reader);
    assert_int_equal(rr_db_commit(second, &fault), RR_OK);
}

struct scan {
    uint32_t next;
    uint32_t seen;
    uint32_t stop_after;
};

static bool count_up(void *ctx, struct rr_slice key, struct rr_slice value)
{
    struct scan *scan = ctx;
    uint8_t be[4];
    assert_true(rr_slice_equal(key, key_of(be, scan->next)));
    assert_true(rr_slice_equal(key, value));
    scan->next += 2;
    scan->seen++;
    return scan->seen != scan->stop_after;
}

static void scans_go_in_byte_order_from_any_key(void **state)
{
    (void)state;
    uint8_t be[4];
    struct rr_slice key;
    struct rr_slice value;
    struct rr_db_txn *txn = begin(true);
    assert_int_equal(rr_db_last(txn, 0, &key, &value, &fault), RR_ERR_NOTFOUND);
    for (uint32_t i = 1000; i > 0; i--) { /* even keys, put backwards */
        key = key_of(be, 2 * (i - 1));
        assert_int_equal(rr_db_put(txn, 0, key, key, &fault), RR_OK);
    }
    assert_int_equal(rr_db_commit(txn, &fault), RR_OK);
    txn = begin(false);
    struct scan scan = {0};
    assert_int_equal(rr_db_scan(txn, 0, (struct rr_slice){0}, count_up, &scan, &fault), RR_OK);
    assert_int_equal(scan.seen, 1000);
    scan = (struct scan){.next = 512};
    assert_int_equal(rr_db_scan(txn, 0, key_of(be, 511), count_up, &scan, &fault), RR_OK);
    assert_int_equal(scan.seen, 744);
    scan = (struct scan){.next = 512, .stop_after = 3};
    assert_int_equal(rr_db_scan(txn, 0, key_of(be, 512), count_up, &scan, &fault), RR_OK);
    assert_int_equal(scan.seen, 3);
    scan = (struct scan){0};
    assert_int_equal(rr_db_scan(txn, 0, key_of(be, 1999), count_up, &scan, &fault), RR_OK);
    assert_int_equal(rr_db_scan(txn, 1, (struct rr_slice){0}, count_up, &scan, &fault), RR_OK);
    assert_int_equal(scan.seen, 0);
    assert_int_equal(rr_db_last(txn, 0, &key, &value, &fault), RR_OK);
    assert_true(rr_slice_equal(key, key_of(be, 1998)));
    rr_db_abort(txn);
}

static void keys_have_1_to_511_bytes(void **state)
{
    (void)state;
    static const uint8_t bytes[RR_DB_KEY_MAX + 1];
    struct rr_slice none = {0};
    struct rr_slice longest = rr_slice_of(bytes, RR_DB_KEY_MAX);
    struct rr_slice over = rr_slice_of(bytes, RR_DB_KEY_MAX + 1);
    struct rr_slice value;
    struct rr_db_txn *txn = begin(true);
    assert_int_equal(rr_db_put(txn, 0, none, none, &fault), RR_ERR_LIMIT);
    assert_int_equal(rr_db_put(txn, 0, over, none, &fault), RR_ERR_LIMIT);
    assert_int_equal(rr_db_get(txn, 0, over, &value, &fault), RR_ERR_LIMIT);
    assert_int_equal(rr_db_put(txn, 0, longest, none, &fault), RR_OK);
    assert_int_equal(rr_db_get(txn, 0, longest, &value, &fault), RR_OK);
    assert_int_equal(rr_db_commit(txn, &fault), RR_OK);
}

static void open_in_child(void)
{
    struct rr_db *other = NULL;
    struct rr_fault own;
    bool busy = rr_db_open(&other, folder, tables, 2, &own) == RR_ERR_BUSY;
    _exit(busy && strstr(own.text, "another reelrigd uses the folder") != NULL ? 42 : 0);
}

static void a_second_opening_is_told_who_holds_the_folder(void **state)
{
    (void)state;
    struct rr_db *other = NULL;
    assert_int_equal(WEXITSTATUS(in_child(open_in_child)), 42);
    assert_int_equal(rr_db_open(&other, folder, tables, 2, &fault), RR_ERR_BUSY);
    assert_null(other);
}

enum { BIG_BYTES = 1 << 20 };

struct fill {
    uint32_t from;
    uint32_t count;
    unsigned runs;
};

static enum rr_err fill_body(struct rr_db_txn *txn, void *ctx, struct rr_fault *out)
{
    static uint8_t value[BIG_BYTES];
    struct fill *fill = ctx;
    uint8_t be[4];
    fill->runs++;
    for (uint32_t i = 0; i < fill->count; i++) {
        enum rr_err err =
            rr_db_put(txn, 0, key_of(be, fill->from + i), rr_slice_of(value, sizeof value), out);
        if (err != RR_OK) {
            return err;
        }
    }
    return RR_OK;
}

static bool count_all(void *ctx, struct rr_slice key, struct rr_slice value)
{
    (void)key;
    assert_int_equal(value.len, BIG_BYTES);
    *(uint32_t *)ctx += 1;
    return true;
}

static void assert_count(uint32_t expected)
{
    uint32_t count = 0;
    struct rr_db_txn *txn = begin(false);
    assert_int_equal(rr_db_scan(txn, 0, (struct rr_slice){0}, count_all, &count, &fault), RR_OK);
    assert_int_equal(count, expected);
    rr_db_abort(txn);
}

static void a_full_map_grows_and_the_write_runs_again(void **state)
{
    (void)state;
    struct fill fill = {.count = 150}; /* 64 MiB is too small, 128 MiB too */
    assert_int_equal(rr_db_write(db, fill_body, &fill, &fault), RR_OK);
    assert_int_equal(fill.runs, 3);
    assert_count(150);
    rr_db_close(db);
    assert_int_equal(rr_db_open(&db, folder, tables, 2, &fault), RR_OK);
    assert_count(150);
    fill = (struct fill){.from = 150, .count = 10}; /* the map opened just large enough */
    assert_int_equal(rr_db_write(db, fill_body, &fill, &fault), RR_OK);
    assert_count(160);
}

static void a_transaction_by_hand_meets_the_limit_once_and_then_fits(void **state)
{
    (void)state;
    struct fill fill = {.count = 80};
    struct rr_db_txn *txn = begin(true);
    assert_int_equal(fill_body(txn, &fill, &fault), RR_ERR_LIMIT);
    struct rr_slice key = rr_slice_str("k");
    assert_int_equal(rr_db_put(txn, 0, key, key, &fault), RR_ERR_LIMIT);
    assert_int_equal(rr_db_delete(txn, 0, key, &fault), RR_ERR_LIMIT);
    assert_int_equal(rr_db_commit(txn, &fault), RR_ERR_LIMIT);
    assert_count(0);
    txn = begin(true);
    assert_int_equal(fill_body(txn, &fill, &fault), RR_OK);
    assert_int_equal(rr_db_commit(txn, &fault), RR_OK);
    assert_count(80);
}

static void growing_under_ones_own_reader_is_refused_not_a_deadlock(void **state)
{
    (void)state;
    struct fill fill = {.count = 80};
    struct rr_db_txn *reader = begin(false);
    assert_int_equal(rr_db_write(db, fill_body, &fill, &fault), RR_ERR_STATE);
    rr_db_abort(reader);
    assert_int_equal(rr_db_write(db, fill_body, &fill, &fault), RR_OK);
    assert_count(80);
}

static enum rr_err refuse_body(struct rr_db_txn *txn, void *ctx, struct rr_fault *out)
{
    (void)ctx;
    put_text(txn, 0, "half", "done");
    return rr_fail(out, RR_ERR_FUNDS, "refused");
}

static void a_refusing_body_leaves_nothing(void **state)
{
    (void)state;
    assert_int_equal(rr_db_write(db, refuse_body, NULL, &fault), RR_ERR_FUNDS);
    assert_string_equal(fault.text, "refused");
    struct rr_db_txn *txn = begin(false);
    assert_text(txn, 0, "half", NULL);
    rr_db_abort(txn);
}

static atomic_bool reading;
static atomic_uint reads;

/* Each picture has whole writes of 20 only. Held for a while, so that without the gate some reader
 * would be open at all times and the map could never grow. */
static void *read_on(void *arg)
{
    (void)arg;
    while (atomic_load(&reading)) {
        struct rr_fault own;
        struct rr_db_txn *txn;
        uint32_t count = 0;
        if (rr_db_begin(db, false, &txn, &own) != RR_OK ||
            rr_db_scan(txn, 0, (struct rr_slice){0}, count_all, &count, &own) != RR_OK ||
            count % 20 != 0) {
            abort();
        }
        usleep(5000);
        rr_db_abort(txn);
        atomic_fetch_add(&reads, 1);
    }
    return NULL;
}

static void *write_on(void *arg)
{
    struct rr_fault own;
    struct fill fill = {.from = *(uint32_t *)arg, .count = 20};
    for (unsigned i = 0; i < 5; i++, fill.from += 20) {
        if (rr_db_write(db, fill_body, &fill, &own) != RR_OK) {
            abort();
        }
    }
    return NULL;
}

static void the_map_grows_under_readers_and_two_writers(void **state)
{
    (void)state;
    pthread_t readers[16];
    pthread_t writers[2];
    uint32_t from[2] = {0, 1000};
    atomic_store(&reading, true);
    for (size_t i = 0; i < RR_COUNT(readers); i++) {
        assert_int_equal(pthread_create(&readers[i], NULL, read_on, NULL), 0);
    }
    for (size_t i = 0; i < RR_COUNT(writers); i++) {
        assert_int_equal(pthread_create(&writers[i], NULL, write_on, &from[i]), 0);
    }
    for (size_t i = 0; i < RR_COUNT(writers); i++) {
        assert_int_equal(pthread_join(writers[i], NULL), 0);
    }
    atomic_store(&reading, false);
    for (size_t i = 0; i < RR_COUNT(readers); i++) {
        assert_int_equal(pthread_join(readers[i], NULL), 0);
    }
    assert_true(atomic_load(&reads) > 0);
    assert_count(200);
}

static void commit_and_die(void)
{
    struct fill fill = {.count = 70};
    struct rr_fault own;
    if (rr_db_open(&db, folder, tables, 2, &own) == RR_OK &&
        rr_db_write(db, fill_body, &fill, &own) == RR_OK) {
        struct rr_db_txn *txn;
        fill.from = 500;
        if (rr_db_begin(db, true, &txn, &own) == RR_OK) {
            (void)fill_body(txn, &fill, &own);
            raise(SIGKILL);
        }
    }
}

static void what_was_committed_survives_a_kill_in_the_next_write(void **state)
{
    (void)state;
    rr_db_close(db);
    db = NULL;
    int status = in_child(commit_and_die);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    assert_int_equal(rr_db_open(&db, folder, tables, 2, &fault), RR_OK);
    assert_count(70);
    struct fill fill = {.from = 70, .count = 1}; /* the dead writer's lock is free */
    assert_int_equal(rr_db_write(db, fill_body, &fill, &fault), RR_OK);
    assert_count(71);
}

static void bytes_that_are_no_database_are_damaged(void **state)
{
    (void)state;
    char path[RR_PATH_BYTES];
    uint8_t *bytes = rr_alloc(65536);
    rr_db_close(db);
    db = NULL;
    memset(bytes, 'x', 65536);
    assert_int_equal(rr_path(path, &fault, "%s/data.mdb", folder), RR_OK);
    assert_int_equal(rr_file_write(path, rr_slice_of(bytes, 65536), 0600, &fault), RR_OK);
    rr_free(bytes);
    assert_int_equal(rr_db_open(&db, folder, tables, 2, &fault), RR_ERR_DAMAGED);
    assert_null(db);
    assert_non_null(strstr(fault.text, folder));
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        T(a_commit_is_there_after_reopening_and_an_abort_is_not),
        T(a_reader_keeps_its_picture_while_others_write),
        T(scans_go_in_byte_order_from_any_key),
        T(keys_have_1_to_511_bytes),
        T(a_second_opening_is_told_who_holds_the_folder),
        T(a_full_map_grows_and_the_write_runs_again),
        T(a_transaction_by_hand_meets_the_limit_once_and_then_fits),
        T(growing_under_ones_own_reader_is_refused_not_a_deadlock),
        T(a_refusing_body_leaves_nothing),
        T(the_map_grows_under_readers_and_two_writers),
        T(what_was_committed_survives_a_kill_in_the_next_write),
        T(bytes_that_are_no_database_are_damaged),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

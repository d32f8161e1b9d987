/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SIGKILL at any moment: what was acknowledged stays, what was removed is gone, nothing is left
 * over and the quota is exact. RR_KILLS says how often. */
#include "shelf.h"

#include <poll.h>
#include <signal.h>
#include <sys/wait.h>

/* What the child tells about the object of a number. */
enum word { PUT_DONE = 1, REMOVE_BEGUN, REMOVE_DONE };
struct news {
    uint64_t word, number;
    struct rr_hash32 id;
};
enum { LEN_MAX = 600000, NUMBERS_MAX = 4096 };

/* The bytes of an object follow from its number. */
static size_t make_bytes(uint8_t *out, uint64_t number)
{
    struct rr_prng prng;
    rr_prng_seed(&prng, number);
    size_t len = 1 + (size_t)rr_prng_below(&prng, number % 8 == 0 ? LEN_MAX : 40000);
    rr_prng_bytes(&prng, out, len);
    return len;
}

static void tell(int fd, enum word word, uint64_t number, const struct rr_object *object)
{
    struct news news = {.word = word, .number = number, .id = object->object_id};
    if (write(fd, &news, sizeof news) != (ssize_t)sizeof news) {
        _exit(1);
    }
}

static _Noreturn void work_until_killed(const struct shelf *shelf, int fd, uint64_t first)
{
    static struct rr_object objects[NUMBERS_MAX];
    struct shelf mine = *shelf;
    struct rr_fault fault = {0};
    uint8_t *bytes = rr_alloc(LEN_MAX);
    if (shelf_try_open(&mine, 0, 0, &fault) != RR_OK) {
        _exit(2);
    }
    for (uint64_t i = 0; i < NUMBERS_MAX; i++) {
        size_t len = make_bytes(bytes, first + i);
        if (rr_store_put(mine.store, &objects[i], rr_slice_of(bytes, len), i % 2 == 0 ? 4 : 8,
                         i % 2 == 0 ? 2 : 3, &fault) != RR_OK) {
            _exit(3);
        }
        tell(fd, PUT_DONE, first + i, &objects[i]);
        if (i % 3 == 2) {
            tell(fd, REMOVE_BEGUN, first + i - 1, &objects[i - 1]);
            if (rr_store_remove(mine.store, &objects[i - 1].object_id, &fault) != RR_OK) {
                _exit(4);
            }
            tell(fd, REMOVE_DONE, first + i - 1, &objects[i - 1]);
        }
    }
    _exit(5);
}

struct known {
    struct rr_hash32 id;
    uint64_t number;
    enum word word;
};
struct ledger {
    struct known *known;
    size_t count;
};

static void hear(struct ledger *ledger, int fd)
{
    struct news news;
    while (read(fd, &news, sizeof news) == (ssize_t)sizeof news) {
        size_t i = 0;
        while (i < ledger->count && ledger->known[i].number != news.number) {
            i++;
        }
        if (i == ledger->count) {
            ledger->known = rr_realloc(ledger->known, ++ledger->count * sizeof *ledger->known);
        }
        ledger->known[i] = (struct known){news.id, news.number, (enum word)news.word};
    }
}

/* All that is known of; those of this life are read and compared. Returns how many live. */
static uint64_t check_known(struct shelf *shelf, struct ledger *ledger, size_t from)
{
    uint64_t live = 0;
    uint8_t *bytes = rr_alloc(LEN_MAX);
    for (size_t i = 0; i < ledger->count; i++) {
        struct known *known = &ledger->known[i];
        struct rr_object object;
        enum rr_err err = rr_store_object(shelf->store, &known->id, &object, NULL);
        if (known->word == REMOVE_BEGUN) { /* either is right, but it stays so */
            known->word = err == RR_OK ? PUT_DONE : REMOVE_DONE;
        }
        assert_int_equal(err, known->word == PUT_DONE ? RR_OK : RR_ERR_NOTFOUND);
        live += err == RR_OK ? 1 : 0;
        if (err == RR_OK && i >= from) {
            size_t len = make_bytes(bytes, known->number);
            assert_int_equal(object.length, len);
            shelf_expect(shelf, &object, 0, bytes, len);
        }
    }
    rr_free(bytes);
    return live;
}

static void sigkill_loses_nothing_that_was_acknowledged(void **state)
{
    (void)state;
    struct shelf shelf;
    struct ledger ledger = {0};
    unsigned kills = shelf_count("RR_KILLS", 100);
    uint64_t swept = 0;
    shelf_init(&shelf, false);
    for (unsigned i = 0; i < kills; i++) {
        int ends[2];
        int status;
        size_t before = ledger.count;
        assert_int_equal(pipe(ends), 0);
        pid_t pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
            close(ends[0]);
            work_until_killed(&shelf, ends[1], 1 + (uint64_t)i * NUMBERS_MAX);
        }
        close(ends[1]);
        /* One life in four may end before its store is even open. */
        struct pollfd first = {.fd = ends[0], .events = POLLIN};
        if (i % 4 != 0) {
            assert_int_equal(poll(&first, 1, 60000), 1);
        }
        struct timespec pause = {.tv_nsec = (long)rr_prng_below(&shelf_prng, 80000000)};
        nanosleep(&pause, NULL);
        assert_int_equal(kill(pid, SIGKILL), 0);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
        hear(&ledger, ends[0]);
        close(ends[0]);
        shelf_open(&shelf);
        uint64_t live = check_known(&shelf, &ledger, before);
        struct rr_store_check check;
        struct rr_fault fault = {0};
        shelf_ok(rr_store_fsck(shelf.store, &check, &fault), &fault);
        assert_int_equal(check.shards_bad, 0);
        assert_int_equal(check.shards_missing, 0);
        assert_int_equal(check.orphans, 0);
        assert_int_equal(check.quota_drift_bytes, 0);
        assert_int_equal(shelf_stats(&shelf).shards_repaired, 0);
        /* One more object for each life at most: committed, but killed before it could tell. */
        assert_in_range(check.objects, live, live + i + 1);
        swept = check.objects - live;
        rr_store_close(shelf.store);
        shelf.store = NULL;
    }
    print_message("%u kills, %zu objects acknowledged, 0 lost, %llu committed but not told\n",
                  kills, ledger.count, (unsigned long long)swept);
    assert_true(ledger.count > kills / 2);
    rr_free(ledger.known);
    shelf_clear(&shelf);
}

/* What a crash between the steps leaves, made by hand. */
static void leftovers_are_swept_at_the_next_start(void **state)
{
    (void)state;
    struct shelf shelf;
    struct rr_fault fault = {0};
    char path[RR_PATH_BYTES];
    char name[65];
    struct stat info;
    shelf_init(&shelf, false);
    shelf_open(&shelf);
    struct rr_object object = shelf_put(&shelf, "bytes", 5, 4, 2);
    rr_store_close(shelf.store);
    shelf.store = NULL;
    /* An unfinished write, and a shard that was renamed before its record was committed. */
    memset(name, 'a', 64);
    name[64] = '\0';
    shelf_ok(rr_path(path, &fault, "%s/tmp/%s.000", shelf.folder, name), &fault);
    shelf_ok(rr_file_write(path, rr_slice_str("half"), 0600, &fault), &fault);
    shelf_ok(rr_path(path, &fault, "%s/objects/aa", shelf.folder), &fault);
    shelf_ok(rr_make_folders(path, &fault), &fault);
    shelf_ok(rr_path(path, &fault, "%s/objects/aa/%s.001", shelf.folder, name), &fault);
    shelf_ok(rr_file_write(path, rr_slice_str("orphan"), 0600, &fault), &fault);
    shelf_open(&shelf);
    assert_int_equal(stat(path, &info), -1);
    shelf_ok(rr_path(path, &fault, "%s/tmp/%s.000", shelf.folder, name), &fault);
    assert_int_equal(stat(path, &info), -1);
    shelf_expect(&shelf, &object, 0, (const uint8_t *)"bytes", 5);
    shelf_expect_clean(&shelf, 1, 6);
    shelf_clear(&shelf);
}

int main(void)
{
    shelf_seed();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sigkill_loses_nothing_that_was_acknowledged),
        cmocka_unit_test(leftovers_are_swept_at_the_next_start),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Disks that fill up or fail to keep what was written. */
#include "shelf.h"

#include <errno.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <sys/wait.h>

/* Stands in front of the C library's: fails the n-th call from now, and counts. */
static _Atomic long fail_in;
static _Atomic long syncs;

int fdatasync(int fd)
{
    atomic_fetch_add(&syncs, 1);
    if (atomic_load(&fail_in) > 0 && atomic_fetch_sub(&fail_in, 1) == 1) {
        errno = EIO;
        return -1;
    }
    return (int)syscall(SYS_fdatasync, fd);
}

int fsync(int fd)
{
    atomic_fetch_add(&syncs, 1);
    if (atomic_load(&fail_in) > 0 && atomic_fetch_sub(&fail_in, 1) == 1) {
        errno = EIO;
        return -1;
    }
    return (int)syscall(SYS_fsync, fd);
}

static void every_shard_and_folder_is_synced_before_a_put_returns(void **state)
{
    (void)state;
    struct shelf shelf;
    shelf_init(&shelf, false);
    shelf_open(&shelf);
    long before = atomic_load(&syncs);
    shelf_put(&shelf, "durable", 7, 4, 2);
    /* Six files, their folder, the index. */
    assert_true(atomic_load(&syncs) - before >= 8);
    shelf_clear(&shelf);
}

static void a_failed_sync_is_final_and_nothing_unkept_is_acknowledged(void **state)
{
    (void)state;
    struct rr_fault fault = {0};
    /* The files in turn, then the folder of the object. */
    for (long nth = 1; nth <= 7; nth++) {
        struct shelf shelf;
        struct rr_object object;
        shelf_init(&shelf, false);
        shelf_open(&shelf);
        struct rr_object before = shelf_put(&shelf, "before", 6, 4, 2);
        atomic_store(&fail_in, nth);
        assert_int_equal(rr_store_put(shelf.store, &object, rr_slice_str("unkept"), 4, 2, &fault),
                         RR_ERR_IO);
        assert_int_equal(atomic_load(&fail_in), 0);
        assert_true(strlen(fault.text) > 0);
        /* The disk seems well again; it is not believed. */
        assert_int_equal(rr_store_put(shelf.store, &object, rr_slice_str("after"), 4, 2, &fault),
                         RR_ERR_IO);
        shelf_expect(&shelf, &before, 0, (const uint8_t *)"before", 6);
        assert_int_equal(shelf_stats(&shelf).objects, 1);
        rr_store_close(shelf.store);
        shelf_open(&shelf);
        shelf_expect_clean(&shelf, 1, 6);
        struct rr_object again = shelf_put(&shelf, "unkept", 6, 4, 2);
        shelf_expect(&shelf, &again, 0, (const uint8_t *)"unkept", 6);
        shelf_clear(&shelf);
    }
}

/* In a child with mounts of its own: fills a small file system to the brim. Exit status says. */
static _Noreturn void fill_small_disk(struct shelf *shelf)
{
    struct rr_fault fault = {0};
    char full[RR_PATH_BYTES];
    if (unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount("tmpfs", shelf->folder, "tmpfs", 0, "size=8m") != 0) {
        _exit(77);
    }
    struct shelf inner = *shelf;
    shelf_ok(rr_path(full, &fault, "%s/store", shelf->folder), &fault);
    snprintf(inner.folder, sizeof inner.folder, "%.120s", full);
    shelf_open(&inner);
    struct rr_object objects[64];
    uint8_t *bytes = shelf_bytes(400000 + 64);
    unsigned count = 0;
    enum rr_err err = RR_OK;
    for (; count < 64; count++) {
        err = rr_store_put(inner.store, &objects[count], rr_slice_of(bytes + count, 400000), 4, 2,
                           &fault);
        if (err != RR_OK) {
            break;
        }
    }
    assert_int_equal(err, RR_ERR_FULL);
    assert_true(count >= 3);
    for (unsigned i = 0; i < count; i++) {
        shelf_expect(&inner, &objects[i], 0, bytes + i, 400000);
    }
    shelf_expect_clean(&inner, count, (uint64_t)count * 6);
    /* Another program takes the rest: a put meets the end of the disk wherever it is. */
    shelf_ok(rr_path(full, &fault, "%s/filler", shelf->folder), &fault);
    int fd = open(full, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    for (off_t at = 0; posix_fallocate(fd, at, 4096) == 0; at += 4096) {
    }
    for (size_t len = 1; len < 400000; len *= 5) {
        struct rr_object refused;
        assert_int_equal(
            rr_store_put(inner.store, &refused, rr_slice_of(bytes + 50, len), 4, 2, &fault),
            RR_ERR_FULL);
    }
    shelf_expect_clean(&inner, count, (uint64_t)count * 6);
    close(fd);
    assert_int_equal(unlink(full), 0);
    /* Full is no failure: with room again, writing goes on. */
    shelf_ok(rr_store_remove(inner.store, &objects[0].object_id, &fault), &fault);
    objects[0] = shelf_put(&inner, bytes + 60, 300000, 4, 2);
    rr_store_close(inner.store);
    shelf_open(&inner);
    shelf_expect(&inner, &objects[0], 0, bytes + 60, 300000);
    shelf_expect_clean(&inner, count, (uint64_t)count * 6);
    rr_store_close(inner.store);
    rr_free(bytes);
    _exit(0);
}

static void a_full_disk_refuses_cleanly_and_recovers(void **state)
{
    (void)state;
    struct shelf shelf;
    int status;
    shelf_init(&shelf, false);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        alarm(120);
        fill_small_disk(&shelf);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    shelf_clear(&shelf);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77) {
        print_message("no right to mount a small file system\n");
        skip();
    }
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

int main(void)
{
    shelf_seed();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_shard_and_folder_is_synced_before_a_put_returns),
        cmocka_unit_test(a_failed_sync_is_final_and_nothing_unkept_is_acknowledged),
        cmocka_unit_test(a_full_disk_refuses_cleanly_and_recovers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

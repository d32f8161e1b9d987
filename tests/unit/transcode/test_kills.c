/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Workers shot at random, disks that fill, two jobs at a time: the same bytes come out, or nothing
 * that looks whole. RR_FULL=1: 200 workers are shot, else 20. */
#include "kit.h"
#include <dirent.h>
#include <pthread.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/syscall.h>

static char source[RR_PATH_BYTES];
static struct rr_hash32 expected;

static struct rr_transcode_options small_job(unsigned workers)
{
    struct rr_transcode_options options = kit_options("90,60", workers);
    options.gop_ms = 500;
    options.preset = "ultrafast";
    return options;
}

static int first_run(void **state)
{
    struct rr_transcode_options options = small_job(2);
    struct rr_transcode_result result = {0};
    struct rr_fault fault = {0};
    if (kit_begin(state) != 0 ||
        !kit_make(
            "-f lavfi -i testsrc2=s=160x90:r=25:d=8 -f lavfi -i sine=r=48000:d=8 -c:v libx264 "
            "-preset ultrafast -g 50 -c:a aac %s/a.mp4")) {
        return 1;
    }
    snprintf(source, sizeof source, "%s", kit_path("a.mp4"));
    if (kit_job(&result, source, "first", &options, &fault) != RR_OK) {
        print_message("%s\n", fault.text);
        return 1;
    }
    expected = kit_digest(&result);
    rr_transcode_result_clear(&result);
    return 0;
}

/* ---- shots
 * --------------------------------------------------------------------------------------------------
 */

struct hunter {
    pid_t job; /* the thread that runs the job */
    char folder[RR_PATH_BYTES];
    uint64_t seed;
    unsigned shots, most;
    atomic_bool over;
};

static unsigned records_in(const char *folder)
{
    unsigned count = 0;
    DIR *all = opendir(folder);
    for (const struct dirent *entry; all != NULL && (entry = readdir(all)) != NULL;) {
        count += strstr(entry->d_name, ".new") == NULL ? 1 : 0;
    }
    if (all != NULL) {
        closedir(all);
    }
    return count;
}

/* Children of the job's thread, at most `room`. */
static size_t children_of(pid_t thread, pid_t *out, size_t room)
{
    char path[64];
    struct rr_buf text = {0};
    size_t count = 0;
    snprintf(path, sizeof path, "/proc/self/task/%d/children", thread);
    if (rr_file_read(&text, path, 4096, NULL) == RR_OK) {
        rr_write_u8(&text, 0);
        for (char *at = (char *)text.ptr, *end = NULL; count < room; at = end) {
            long pid = strtol(at, &end, 10);
            if (end == at || pid <= 1) {
                break;
            }
            out[count++] = (pid_t)pid;
        }
    }
    rr_buf_clear(&text);
    return count;
}

/* One of them, whichever it is; by a descriptor, so that a number given anew is not hit. */
static bool shoot(pid_t thread, struct rr_prng *prng)
{
    pid_t before[64], after[64];
    size_t count = children_of(thread, before, RR_COUNT(before));
    if (count == 0) {
        return false;
    }
    pid_t pid = before[rr_prng_below(prng, count)];
    int fd = (int)syscall(SYS_pidfd_open, pid, 0);
    bool ours = false, hit = false;
    count = children_of(thread, after, RR_COUNT(after));
    for (size_t i = 0; fd >= 0 && i < count; i++) {
        ours |= after[i] == pid;
    }
    if (ours) {
        hit = syscall(SYS_pidfd_send_signal, fd, SIGKILL, NULL, 0) == 0;
    }
    if (fd >= 0) {
        close(fd);
    }
    return hit;
}

/* Shoots whenever the job has got a step further; that a task is hit again and again is another
 * test's affair. */
static void *hunt(void *ctx)
{
    struct hunter *hunter = ctx;
    struct rr_prng prng;
    unsigned seen = 0;
    rr_prng_seed(&prng, hunter->seed);
    while (!atomic_load(&hunter->over) && hunter->shots < hunter->most) {
        unsigned now = records_in(hunter->folder);
        if (now != seen || hunter->shots == 0) {
            usleep((useconds_t)rr_prng_below(&prng, 40000));
            if (shoot(hunter->job, &prng)) {
                hunter->shots++;
                seen = now;
            }
        }
        usleep(3000);
    }
    return NULL;
}

static void workers_shot_at_random_change_no_byte(void **state)
{
    (void)state;
    unsigned wanted = getenv("RR_FULL") != NULL ? 200 : getenv("RR_SHORT") != NULL ? 8 : 20;
    unsigned shots = 0, jobs = 0;
    for (; shots < wanted && jobs < wanted; jobs++) {
        struct rr_transcode_options options = small_job(1 + jobs % 3);
        struct rr_transcode_result result = {0};
        struct rr_fault fault = {0};
        struct hunter hunter = {
            .job = gettid(), .seed = jobs + 1, .most = wanted - shots < 6 ? wanted - shots : 6};
        pthread_t thread;
        char folder[64];
        snprintf(folder, sizeof folder, "shot-%u", jobs);
        snprintf(hunter.folder, sizeof hunter.folder, "%s", kit_path(folder));
        assert_int_equal(pthread_create(&thread, NULL, hunt, &hunter), 0);
        enum rr_err err = kit_job(&result, source, folder, &options, &fault);
        atomic_store(&hunter.over, true);
        pthread_join(thread, NULL);
        shots += hunter.shots;
        if (err != RR_OK) {
            fail_msg("job %u after %u shots: %s", jobs, hunter.shots, fault.text);
        }
        struct rr_hash32 digest = kit_digest(&result);
        assert_memory_equal(&digest, &expected, sizeof digest);
        rr_transcode_result_clear(&result);
        assert_int_equal(rr_remove_tree(hunter.folder, NULL), RR_OK);
    }
    print_message("      %u workers shot in %u jobs\n", shots, jobs);
    assert_true(shots >= wanted);
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); /* none left */
}

/* ---- two at a time
 * --------------------------------------------------------------------------------------------- */

struct twin {
    const char *name;
    struct rr_hash32 digest;
    enum rr_err err;
};

static void *run_twin(void *ctx)
{
    struct twin *twin = ctx;
    struct rr_transcode_options options = small_job(1);
    struct rr_transcode_result result = {0};
    char folder[RR_PATH_BYTES];
    int fd = open(source, O_RDONLY | O_CLOEXEC);
    snprintf(folder, sizeof folder, "%.2000s/%s", kit_folder, twin->name);
    options.job_folder = folder;
    twin->err = rr_transcode_run(&result, fd, &options, NULL, NULL, NULL, NULL);
    close(fd);
    if (twin->err == RR_OK) {
        twin->digest = kit_digest(&result);
        rr_transcode_result_clear(&result);
    }
    return NULL;
}

static void two_jobs_of_one_source(const char *first, const char *second, struct twin twins[2])
{
    pthread_t threads[2];
    twins[0] = (struct twin){.name = first};
    twins[1] = (struct twin){.name = second};
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, run_twin, &twins[i]), 0);
    }
    for (size_t i = 0; i < 2; i++) {
        pthread_join(threads[i], NULL);
    }
}

static void two_jobs_in_two_folders_are_both_right(void **state)
{
    (void)state;
    struct twin twins[2];
    two_jobs_of_one_source("left", "right", twins);
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(twins[i].err, RR_OK);
        assert_memory_equal(&twins[i].digest, &expected, sizeof expected);
    }
}

static void of_two_jobs_in_one_folder_one_is_told_to_wait(void **state)
{
    (void)state;
    struct twin twins[2];
    two_jobs_of_one_source("same", "same", twins);
    unsigned good = 0;
    for (size_t i = 0; i < 2; i++) {
        assert_true(twins[i].err == RR_OK || twins[i].err == RR_ERR_BUSY);
        good += twins[i].err == RR_OK ? 1 : 0;
    }
    assert_true(good >= 1); /* both, where the machine ran one after the other */
}

/* ---- disks
 * --------------------------------------------------------------------------------------------------
 */

static bool size_disk(const char *at, unsigned flags, unsigned kib)
{
    char size[32];
    snprintf(size, sizeof size, "size=%uk", kib);
    return mount("none", at, "tmpfs", flags, size) == 0;
}

/* A disk that has a little more room each time: it fills in the journal, the sound, the segments,
 * the playlists. */
static void a_disk_that_fills_anywhere_loses_nothing(void **state)
{
    (void)state;
    char disk[RR_PATH_BYTES], out[RR_PATH_BYTES], master[RR_PATH_BYTES];
    struct rr_transcode_options options = small_job(2);
    struct rr_transcode_result result = {0};
    enum rr_err err = RR_ERR_FULL;
    unsigned fills = 0;
    snprintf(disk, sizeof disk, "%s", kit_path("disk"));
    snprintf(out, sizeof out, "%.2000s/out", disk);
    snprintf(master, sizeof master, "%.2000s/out/master.m3u8", disk);
    if (mkdir(disk, 0700) != 0 || !size_disk(disk, 0, 32)) {
        skip();
    }
    for (unsigned kib = 32; err == RR_ERR_FULL && kib < 16384; kib += 60) {
        struct rr_fault fault = {0};
        assert_true(size_disk(disk, MS_REMOUNT, kib));
        err = rr_transcode_to_folder(&result, out, source, &options, NULL, NULL, NULL, &fault);
        if (err != RR_OK && err != RR_ERR_FULL) {
            print_message("%u KiB: %s\n", kib, fault.text);
        } else if (err == RR_ERR_FULL) {
            fills++;
            assert_non_null(strstr(fault.text, "No space left"));
            assert_int_not_equal(access(master, F_OK), 0);
        }
    }
    struct rr_hash32 digest = {0};
    if (err == RR_OK) {
        digest = kit_digest(&result);
    }
    rr_transcode_result_clear(&result);
    umount2(disk, MNT_DETACH);
    assert_int_equal(err, RR_OK);
    assert_true(fills > 3);
    assert_memory_equal(&digest, &expected, sizeof digest);
    print_message("      the disk was full %u times\n", fills);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(workers_shot_at_random_change_no_byte),
        cmocka_unit_test(two_jobs_in_two_folders_are_both_right),
        cmocka_unit_test(of_two_jobs_in_one_folder_one_is_told_to_wait),
        cmocka_unit_test(a_disk_that_fills_anywhere_loses_nothing),
    };
    char *printed = NULL;
    const char *argv[] = {"ffmpeg", "-version", NULL};
    if (kit_begin(NULL) != 0 || kit_run(&printed, argv) != 0) {
        return 77;
    }
    rr_free(printed);
    kit_end(NULL);
    return cmocka_run_group_tests(tests, first_run, kit_end);
}

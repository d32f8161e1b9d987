/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The same bytes, whatever happens on the way. */
#include "kit.h"
#include "transcode/transcode_private.h"
#include <dirent.h>

#define CLIP                                                                                       \
    "bbb_480p_corrupt_10s.ts" /* damage makes every GOP depend on the start: the hardest to resume \
                               */
static char source[RR_PATH_BYTES];
static struct rr_hash32 expected;

static int first_run(void **state)
{
    struct rr_transcode_options options = kit_options("360,240", 2);
    struct rr_transcode_result result = {0};
    const char *found = kit_clip(CLIP);
    if (kit_begin(state) != 0 || found == NULL) {
        return 1;
    }
    snprintf(source, sizeof source, "%s", found);
    assert_int_equal(kit_job(&result, source, "first", &options, NULL), RR_OK);
    expected = kit_digest(&result);
    rr_transcode_result_clear(&result);
    return 0;
}

static void finish_and_compare(const char *folder, unsigned workers, uint32_t least_resumed)
{
    struct rr_transcode_options options = kit_options("360,240", workers);
    struct rr_transcode_result result = {0};
    struct rr_fault fault = {0};
    if (kit_job(&result, source, folder, &options, &fault) != RR_OK) {
        fail_msg("%s", fault.text);
    }
    struct rr_hash32 digest = kit_digest(&result);
    assert_true(result.gops_resumed >= least_resumed);
    assert_memory_equal(&digest, &expected, sizeof digest);
    rr_transcode_result_clear(&result);
}

static void the_number_of_workers_changes_no_byte(void **state)
{
    (void)state;
    finish_and_compare("one", 1, 0);
    finish_and_compare("five", 5, 0);
}

static void a_finished_job_gives_its_result_again(void **state)
{
    (void)state;
    finish_and_compare("first", 2, 13); /* six GOPs of two rungs, and the sound */
}

/* Runs the job in a process of its own and kills it after `lifetime_us`. True when it had ended. */
static bool run_and_kill(unsigned workers, unsigned lifetime_us)
{
    int status = 0;
    pid_t pid = fork();
    if (pid == 0) {
        struct rr_transcode_options options = kit_options("360,240", workers);
        struct rr_transcode_result result = {0};
        _exit(kit_job(&result, source, "killed", &options, NULL) == RR_OK ? 0 : 1);
    }
    usleep(lifetime_us);
    kill(pid, SIGKILL);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status);
}

/* Times of death that walk through the job: decoding, encoding, sound, packing. A machine that is
 * too slow to finish a single GOP in the last of them is given ever longer lives until it has. */
static void killed_at_any_moment_a_job_goes_on_to_the_same_bytes(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 12; i++) {
        (void)run_and_kill(1 + i % 3, 40000 + i * 120000);
    }
    unsigned lifetime_us = 2000000;
    while (access(kit_path("killed/es-0-000000"), F_OK) != 0 && !run_and_kill(2, lifetime_us)) {
        assert_true(lifetime_us < 120000000);
        lifetime_us *= 2;
    }
    finish_and_compare("killed", 2, 1);
}

/* Workers that lost their parent: orphans belong to init, those of other tests have a parent. */
static unsigned orphans(void)
{
    unsigned alive = 0;
    DIR *all = opendir("/proc");
    assert_non_null(all);
    for (const struct dirent *entry; (entry = readdir(all)) != NULL;) {
        char path[RR_PATH_BYTES];
        struct rr_buf status = {0};
        snprintf(path, sizeof path, "/proc/%.32s/status", entry->d_name);
        if (strspn(entry->d_name, "0123456789") > 0 &&
            rr_file_read(&status, path, 1u << 16, NULL) == RR_OK) {
            rr_write_u8(&status, 0);
            const char *text = (char *)status.ptr;
            alive += strstr(text, "Name:\treelrig-worker\n") == text &&
                             strstr(text, "\nPPid:\t1\n") != NULL
                         ? 1
                         : 0;
        }
        rr_buf_clear(&status);
    }
    closedir(all);
    return alive;
}

static void workers_die_with_the_process_that_started_them(void **state)
{
    (void)state;
    for (unsigned looks = 0; orphans() > 0; looks++) {
        assert_true(looks < 100); /* 10 s */
        usleep(100000);
    }
}

static void a_torn_record_is_made_again(void **state)
{
    (void)state;
    static const char *const records[] = {"es-0-000002", "gop-000004", "sound-0", "end",
                                          "es-1-000000"};
    finish_and_compare("torn", 2, 0);
    for (size_t i = 0; i < RR_COUNT(records); i++) {
        char path[RR_PATH_BYTES];
        snprintf(path, sizeof path, "%.2000s/%s", kit_path("torn"), records[i]);
        struct stat facts;
        assert_int_equal(stat(path, &facts), 0);
        if (i % 2 == 0) {
            assert_int_equal(truncate(path, facts.st_size / 2), 0);
        } else {
            uint8_t byte = 0;
            int fd = open(path, O_RDWR | O_CLOEXEC);
            assert_int_equal(pread(fd, &byte, 1, facts.st_size - 1), 1);
            byte ^= 1;
            assert_int_equal(pwrite(fd, &byte, 1, facts.st_size - 1), 1);
            close(fd);
        }
        finish_and_compare("torn", 2, 5);
    }
}

static void another_video_or_other_options_are_refused_in_the_same_folder(void **state)
{
    (void)state;
    struct rr_transcode_options options = kit_options("360,240", 2);
    struct rr_transcode_result result = {0};
    struct rr_fault fault = {0};
    options.crf = 30;
    assert_int_equal(kit_job(&result, source, "first", &options, &fault), RR_ERR_STATE);
    assert_non_null(strstr(fault.text, "other options"));
    options.crf = 0;
    const char *other = kit_clip("bbb_480p_tswrap_10s.ts");
    assert_non_null(other);
    assert_int_equal(kit_job(&result, other, "first", &options, &fault), RR_ERR_STATE);
}

static void two_processes_cannot_work_in_one_folder(void **state)
{
    (void)state;
    struct rr_transcode_options options = kit_options("360,240", 2);
    struct rr_transcode_result result = {0};
    struct rr_fault fault = {0};
    char path[RR_PATH_BYTES];
    snprintf(path, sizeof path, "%.2000s/lock", kit_path("first"));
    int ready[2];
    char byte;
    assert_int_equal(pipe(ready), 0);
    pid_t pid = fork();
    if (pid == 0) { /* the lock belongs to a process */
        int held = -1;
        bool locked = rr_lock_file(&held, path, NULL) == RR_OK && write(ready[1], "L", 1) == 1;
        _exit(locked && sleep(120) == 0 ? 0 : 1);
    }
    close(ready[1]);
    assert_int_equal(read(ready[0], &byte, 1), 1);
    close(ready[0]);
    enum rr_err err = kit_job(&result, source, "first", &options, &fault);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    assert_int_equal(err, RR_ERR_BUSY);
}

static void cancelling_stops_soon_and_loses_nothing(void **state)
{
    (void)state;
    static atomic_bool cancel = true;
    struct rr_transcode_options options = kit_options("360,240", 2);
    struct rr_transcode_result result = {0};
    char folder[RR_PATH_BYTES];
    int fd = open(source, O_RDONLY | O_CLOEXEC);
    snprintf(folder, sizeof folder, "%s", kit_path("cancelled"));
    options.job_folder = folder;
    assert_int_equal(rr_transcode_run(&result, fd, &options, NULL, NULL, &cancel, NULL),
                     RR_ERR_CANCELLED);
    close(fd);
    finish_and_compare("cancelled", 2, 0);
}

/* Kills one worker of the running job once, by way of the progress callback's thread. */
struct killer {
    unsigned left;
};

static void kill_a_child(void *ctx, const struct rr_transcode_progress *progress)
{
    struct killer *killer = ctx;
    char path[64];
    struct rr_buf children = {0};
    (void)progress;
    snprintf(path, sizeof path, "/proc/self/task/%d/children", gettid());
    if (killer->left == 0 || rr_file_read(&children, path, 4096, NULL) != RR_OK) {
        return;
    }
    rr_write_u8(&children, 0);
    char *last = (char *)children.ptr;
    for (char *at = last; *at != 0;) { /* the encoders are the last */
        char *end = NULL;
        long pid = strtol(at, &end, 10);
        if (end == at) {
            break;
        }
        last = pid > 0 ? at : last;
        at = end + (*end == ' ');
    }
    long pid = strtol(last, NULL, 10);
    if (pid > 1 && kill((pid_t)pid, SIGKILL) == 0) {
        killer->left--;
    }
    rr_buf_clear(&children);
}

static void a_worker_that_dies_is_replaced_once(void **state)
{
    (void)state;
    struct killer killer = {.left = 1};
    struct rr_transcode_options options = kit_options("360,240", 2);
    struct rr_transcode_result result = {0};
    struct rr_fault fault = {0};
    char folder[RR_PATH_BYTES];
    int fd = open(source, O_RDONLY | O_CLOEXEC);
    snprintf(folder, sizeof folder, "%s", kit_path("bereaved"));
    options.job_folder = folder;
    rr_log_set_level(RR_LOG_ERROR);
    if (rr_transcode_run(&result, fd, &options, kill_a_child, &killer, NULL, &fault) != RR_OK) {
        fail_msg("%s", fault.text);
    }
    close(fd);
    assert_int_equal(killer.left, 0);
    struct rr_hash32 digest = kit_digest(&result);
    assert_memory_equal(&digest, &expected, sizeof digest);
    rr_transcode_result_clear(&result);
}

static void workers_that_keep_dying_fail_the_job_with_the_task_named(void **state)
{
    (void)state;
    struct killer killer = {.left = 1000};
    struct rr_transcode_options options = kit_options("360,240", 2);
    struct rr_transcode_result result = {0};
    struct rr_fault fault = {0};
    char folder[RR_PATH_BYTES];
    int fd = open(source, O_RDONLY | O_CLOEXEC);
    snprintf(folder, sizeof folder, "%s", kit_path("haunted"));
    options.job_folder = folder;
    options.preset = "veryslow"; /* long enough to be shot at */
    enum rr_err err = rr_transcode_run(&result, fd, &options, kill_a_child, &killer, NULL, &fault);
    close(fd);
    assert_int_equal(err, RR_ERR_DAMAGED);
    assert_true(strstr(fault.text, "GOP") != NULL || strstr(fault.text, "audio") != NULL);
    assert_non_null(strstr(fault.text, "signal 9"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_finished_job_gives_its_result_again),
        cmocka_unit_test(the_number_of_workers_changes_no_byte),
        cmocka_unit_test(killed_at_any_moment_a_job_goes_on_to_the_same_bytes),
        cmocka_unit_test(workers_die_with_the_process_that_started_them),
        cmocka_unit_test(a_torn_record_is_made_again),
        cmocka_unit_test(another_video_or_other_options_are_refused_in_the_same_folder),
        cmocka_unit_test(two_processes_cannot_work_in_one_folder),
        cmocka_unit_test(cancelling_stops_soon_and_loses_nothing),
        cmocka_unit_test(a_worker_that_dies_is_replaced_once),
        cmocka_unit_test(workers_that_keep_dying_fail_the_job_with_the_task_named),
    };
    if (kit_clip(CLIP) == NULL || kit_clip("bbb_480p_tswrap_10s.ts") == NULL) {
        return 77; /* no clips on this machine */
    }
    return cmocka_run_group_tests(tests, first_run, kit_end);
}

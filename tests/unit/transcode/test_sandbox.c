/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "kit.h"
#include "transcode/transcode_private.h"

/* How the worker ended that locked itself in and then tried `what`. */
static int self_test(const char *how, const char *what)
{
    char *printed = NULL;
    const char *argv[] = {KIT_WORKER, how, what, NULL};
    int status = kit_run(&printed, argv);
    rr_free(printed);
    return status;
}

static void what_the_worker_may_not_do_kills_it(void **state)
{
    (void)state;
    static const char *const forbidden[] = {"open", "socket", "fork", "exec", "kill", "code"};
    for (size_t i = 0; i < RR_COUNT(forbidden); i++) {
        int status = self_test("--self-test", forbidden[i]);
        if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGSYS) {
            fail_msg("\"%s\" ended with wait status %d and not by SIGSYS", forbidden[i], status);
        }
    }
}

static void a_worker_that_may_start_threads_may_start_nothing_else(void **state)
{
    (void)state;
    static const char *const forbidden[] = {"socket", "fork", "exec", "kill", "code"};
    for (size_t i = 0; i < RR_COUNT(forbidden); i++) {
        int status = self_test("--self-test-threads", forbidden[i]);
        if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGSYS) {
            fail_msg("\"%s\" ended with wait status %d and not by SIGSYS", forbidden[i], status);
        }
    }
    for (unsigned i = 0; i < 2; i++) { /* opening is answered with an error: encoders look around */
        int status = self_test("--self-test-threads", i == 0 ? "open" : "nothing");
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), 0);
    }
}

static void the_lock_itself_lets_the_worker_live(void **state)
{
    (void)state;
    int status = self_test("--self-test", "nothing");
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static void started_by_hand_it_only_says_whose_it_is(void **state)
{
    (void)state;
    char *printed = NULL;
    const char *argv[] = {KIT_WORKER, NULL};
    int status = kit_run(&printed, argv);
    assert_int_equal(WEXITSTATUS(status), 2);
    assert_non_null(strstr(printed, "reelrigd"));
    rr_free(printed);
}

static void read_link(char *out, size_t size, int pid, const char *name)
{
    char path[128];
    snprintf(path, sizeof path, "/proc/%d/ns/%s", pid, name);
    ssize_t len = readlink(path, out, size - 1);
    out[len > 0 ? len : 0] = 0;
}

/* Only what the kernel offers to this user; where it offers nothing the worker's greeting says so
 * and is logged. */
static void a_worker_lives_in_namespaces_of_its_own_with_one_descriptor(void **state)
{
    (void)state;
    static const char *const kinds[] = {"user", "net", "ipc", "mnt", "pid", "uts"};
    struct transcode_worker worker;
    char ours[64], its[64], path[64];
    assert_int_equal(transcode_worker_start(&worker, KIT_WORKER, false, NULL), RR_OK);
    read_link(ours, sizeof ours, getpid(), "user");
    read_link(its, sizeof its, worker.pid, "user");
    bool offered = its[0] != 0 && strcmp(ours, its) != 0;
    for (size_t i = 0; offered && i < RR_COUNT(kinds); i++) {
        read_link(ours, sizeof ours, getpid(), kinds[i]);
        read_link(its, sizeof its, worker.pid, kinds[i]);
        assert_string_not_equal(ours, its);
    }
    unsigned open_fds = 0;
    for (int fd = 3; fd < 256; fd++) {
        struct stat facts;
        snprintf(path, sizeof path, "/proc/%d/fd/%d", worker.pid, fd);
        open_fds += lstat(path, &facts) == 0 ? 1 : 0;
    }
    struct rr_buf status = {0};
    snprintf(path, sizeof path, "/proc/%d/status", worker.pid);
    assert_int_equal(rr_file_read(&status, path, 1u << 16, NULL), RR_OK);
    rr_write_u8(&status, 0);
    assert_non_null(strstr((char *)status.ptr, "NoNewPrivs:\t1"));
    assert_non_null(strstr((char *)status.ptr, "Seccomp:\t2"));
    rr_buf_clear(&status);
    transcode_worker_stop(&worker);
    if (!offered) {
        skip();
    }
    assert_true(open_fds <= 1);
}

static void a_worker_that_dies_is_told_apart_and_leaves_nothing(void **state)
{
    (void)state;
    struct transcode_worker worker;
    struct rr_fault fault = {0};
    uint8_t kind = 0;
    assert_int_equal(transcode_worker_start(&worker, KIT_WORKER, false, NULL), RR_OK);
    pid_t pid = worker.pid;
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(transcode_worker_take(&worker, &kind, &fault), RR_ERR_UNREACHABLE);
    assert_non_null(strstr(fault.text, "signal 9"));
    assert_int_equal(waitpid(pid, NULL, WNOHANG), -1); /* reaped */
}

static void a_message_that_is_no_task_is_answered_not_obeyed(void **state)
{
    (void)state;
    struct transcode_worker worker;
    struct rr_buf message = {0};
    struct rr_fault fault = {0};
    uint8_t kind = 0;
    static const uint8_t wrong[] = {0,
                                    TRANSCODE_HELLO,
                                    TRANSCODE_GRANT,
                                    TRANSCODE_SOURCE,
                                    TRANSCODE_ENCODE,
                                    TRANSCODE_AUDIO,
                                    TRANSCODE_MUX,
                                    TRANSCODE_SEGMENT,
                                    TRANSCODE_PROBE,
                                    200};
    assert_int_equal(transcode_worker_start(&worker, KIT_WORKER, false, NULL), RR_OK);
    for (size_t i = 0; i < RR_COUNT(wrong); i++) {
        rr_write_u8(&message, wrong[i]);
        rr_write_u8(&message, 7);
        assert_int_equal(transcode_worker_ask(&worker, &message, NULL, 0, 10, &fault), RR_OK);
        assert_int_equal(transcode_worker_take(&worker, &kind, &fault), RR_ERR_USAGE);
    }
    transcode_worker_stop(&worker);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_the_worker_may_not_do_kills_it),
        cmocka_unit_test(a_worker_that_may_start_threads_may_start_nothing_else),
        cmocka_unit_test(the_lock_itself_lets_the_worker_live),
        cmocka_unit_test(started_by_hand_it_only_says_whose_it_is),
        cmocka_unit_test(a_worker_lives_in_namespaces_of_its_own_with_one_descriptor),
        cmocka_unit_test(a_worker_that_dies_is_told_apart_and_leaves_nothing),
        cmocka_unit_test(a_message_that_is_no_task_is_answered_not_obeyed),
    };
    return cmocka_run_group_tests(tests, kit_begin, kit_end);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Starting, asking and ending worker processes. All calls for one worker come from the thread that
 * started it: the kernel ends a worker when that thread ends. */
#include "transcode/transcode_device.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define NAMESPACES                                                                                 \
    (CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWNS | CLONE_NEWUTS)
/* Two GOPs of one rung of the largest picture at a time, decoder and encoder; more is a bomb. */
#define ADDRESS_BYTES "25769803776"
#define STACK_BYTES   65536
#define START_SECONDS 30
#define WORKER_NAME   "reelrig-worker"
#define DEVICE_SUFFIX "-device"

enum rr_err transcode_worker_find(char out[static RR_PATH_BYTES],
                                  const struct rr_transcode_options *options,
                                  struct rr_fault *fault)
{
    char own[RR_PATH_BYTES];
    const char *named = options->worker_path != NULL ? options->worker_path : getenv("RR_WORKER");
    enum rr_err err = RR_OK;
    if (named != NULL) {
        err = rr_path(out, fault, "%s", named);
    } else {
        ssize_t len = readlink("/proc/self/exe", own, sizeof own - 1);
        own[len > 0 ? len : 0] = 0;
        char *slash = strrchr(own, '/');
        if (slash == NULL) {
            return rr_fail(fault, RR_ERR_STATE,
                           "/proc is not there, so %s cannot be found; set RR_WORKER", WORKER_NAME);
        }
        *slash = 0;
        err = rr_path(out, fault, "%s/%s", own, WORKER_NAME);
    }
    if (err == RR_OK && access(out, X_OK) != 0) {
        return rr_fail(fault, RR_ERR_STATE,
                       "no worker program at %.200s; install it there or set RR_WORKER", out);
    }
    return err;
}

struct start {
    const char *program;
    int socket;
    bool namespaces, threads, unlocked;
    const sigset_t *mask;
    char *const *environment;
};

/* Runs on memory shared with the parent, which waits: only plain system calls. */
static int child(void *ctx)
{
    const struct start *start = ctx;
    char name[] = WORKER_NAME, address[] = ADDRESS_BYTES;
    char locks[] = {start->namespaces ? '1' : '0', start->threads ? 't' : '-',
                    start->unlocked ? 'u' : '-', 0};
    char *const arguments[] = {name, locks, address, NULL};
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null < 0 || dup2(null, STDIN_FILENO) < 0 || dup2(null, STDOUT_FILENO) < 0) {
        _exit(126);
    }
    if (start->socket == TRANSCODE_SOCKET_FD) {
        fcntl(start->socket, F_SETFD, 0);
    } else if (dup2(start->socket, TRANSCODE_SOCKET_FD) < 0) {
        _exit(126);
    }
    syscall(SYS_close_range, TRANSCODE_SOCKET_FD + 1, ~0u, 0);
    sigprocmask(SIG_SETMASK, start->mask, NULL);
    execve(start->program, arguments, start->environment);
    _exit(127);
}

/* RR_DEVICE_UNLOCKED=1: workers of devices run without a lock, to measure where the kernel has no
 * Landlock, on clips of one's own. */
static bool unlocked(void)
{
    const char *value = getenv("RR_DEVICE_UNLOCKED");
    return value != NULL && strcmp(value, "1") == 0;
}

/* What a device's worker needs to find its driver comes behind what all may see. */
static const char *const kept[] = {"ASAN_OPTIONS",      "UBSAN_OPTIONS",
                                   "LD_LIBRARY_PATH",   "CUDA_VISIBLE_DEVICES",
                                   "LIBVA_DRIVER_NAME", "LIBVA_DRIVERS_PATH"};
#define KEPT_BY_ALL 2

static pid_t launch(const char *program, int socket, bool threads, bool device, bool *namespaces)
{
    sigset_t all, before;
    char *environment[RR_COUNT(kept) + 1] = {NULL};
    char options[RR_COUNT(kept)][512];
    size_t used = 0;
    for (size_t i = 0; i < (device ? RR_COUNT(kept) : KEPT_BY_ALL); i++) {
        const char *value = getenv(kept[i]);
        if (value != NULL && snprintf(options[used], sizeof options[0], "%s=%s", kept[i], value) <
                                 (int)sizeof options[0]) {
            environment[used] = options[used];
            used++;
        }
    }
    uint8_t *stack = mmap(NULL, STACK_BYTES, PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
    if (stack == MAP_FAILED) {
        return -1;
    }
    struct start start = {.program = program,
                          .socket = socket,
                          .namespaces = true,
                          .threads = threads,
                          .unlocked = device && unlocked(),
                          .mask = &before,
                          .environment = environment};
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    pid_t pid =
        clone(child, stack + STACK_BYTES, CLONE_VM | CLONE_VFORK | NAMESPACES | SIGCHLD, &start);
    if (pid < 0) { /* containers and hardened kernels forbid user namespaces; the other locks still
                      hold */
        start.namespaces = false;
        pid = clone(child, stack + STACK_BYTES, CLONE_VM | CLONE_VFORK | SIGCHLD, &start);
    }
    int saved = errno;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    munmap(stack, STACK_BYTES);
    *namespaces = start.namespaces;
    errno = saved;
    return pid;
}

/* Once a process: a rig whose kernel lacks a lock should say so, but not for every GOP. */
static enum rr_err check_hello(const struct transcode_hello *hello, struct rr_fault *fault)
{
    static atomic_bool said;
    if (hello->version != TRANSCODE_PROTO_VERSION) {
        return rr_fail(fault, RR_ERR_STATE,
                       "the worker program speaks version %u, this one %u; install both together",
                       hello->version, TRANSCODE_PROTO_VERSION);
    }
    if (hello->unlocked != 0) {
        rr_log(RR_LOG_WARN, "transcode",
               "RR_DEVICE_UNLOCKED: a device's worker runs without a lock");
        return RR_OK;
    }
    if (hello->seccomp == 0) {
        return rr_fail(
            fault, RR_ERR_STATE,
            "the kernel refuses seccomp filters, so foreign video cannot be decoded safely");
    }
    bool whole = hello->namespaces != 0 && hello->landlock_abi != 0;
    if (!atomic_exchange(&said, true)) {
        rr_log(whole ? RR_LOG_DEBUG : RR_LOG_WARN, "transcode",
               "sandbox of workers: seccomp yes, namespaces %s, Landlock %s (ABI %u)",
               hello->namespaces ? "yes" : "NO", hello->landlock_abi ? "yes" : "NO",
               hello->landlock_abi);
    }
    return RR_OK;
}

static enum rr_err start_once(struct transcode_worker *worker, const char *program, bool threads,
                              bool device, struct rr_fault *fault)
{
    int pair[2];
    bool namespaces = false;
    struct transcode_hello hello;
    *worker = (struct transcode_worker){.socket = -1};
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0) {
        return rr_fail_errno(fault, "no socket for a worker");
    }
    worker->socket = pair[0];
    worker->pid = launch(program, pair[1], threads, device, &namespaces);
    close(pair[1]);
    if (worker->pid < 0) {
        worker->pid = 0;
        enum rr_err err = rr_fail_errno(fault, "the worker %.200s does not start", program);
        transcode_worker_stop(worker);
        return err;
    }
    worker->deadline_us = rr_monotonic_us(rr_clock_system()) + START_SECONDS * UINT64_C(1000000);
    worker->seconds = START_SECONDS;
    enum rr_err err = transcode_worker_wait(worker, TRANSCODE_HELLO, NULL, fault);
    if (err == RR_OK && !transcode_decode_message(transcode_worker_body(worker), hello, &hello)) {
        err = rr_fail(fault, RR_ERR_STATE, "%.200s does not greet as a worker of this version",
                      program);
    }
    if (err == RR_OK) {
        err = check_hello(&hello, fault);
    }
    if (err == RR_OK && device && hello.landlock_abi == 0 && hello.unlocked == 0) {
        err = rr_fail(fault, RR_ERR_UNSUPPORTED,
                      "the kernel has no Landlock, which fences the files of a device's worker");
    } else if (err == RR_ERR_UNREACHABLE) {
        int ended = worker->ended;
        err = rr_fail(fault, RR_ERR_STATE, "the worker %.200s ended before it was ready", program);
        worker->ended = ended;
        return err;
    }
    if (err != RR_OK) {
        transcode_worker_stop(worker);
    }
    return err;
}

enum rr_err transcode_worker_start(struct transcode_worker *worker, const char *program,
                                   bool threads, struct rr_fault *fault)
{
    enum rr_err err = RR_OK;
    for (unsigned i = 0; i < TRANSCODE_DEATHS_MAX; i++) {
        err = start_once(worker, program, threads, false, fault);
        if (err != RR_ERR_STATE || !WIFSIGNALED(worker->ended)) {
            break; /* it runs, or a next one would end the same way */
        }
    }
    return err;
}

enum rr_err transcode_worker_start_device(struct transcode_worker *worker, const char *program,
                                          struct rr_fault *fault)
{
    char path[RR_PATH_BYTES];
    enum rr_err err = rr_path(path, fault, "%s" DEVICE_SUFFIX, program);
    if (err == RR_OK && access(path, X_OK) != 0) {
        return rr_fail(fault, RR_ERR_STATE, "no worker program for devices at %.200s", path);
    }
    return err != RR_OK ? err : start_once(worker, path, true, true, fault);
}

void transcode_worker_stop(struct transcode_worker *worker)
{
    if (worker->pid > 0) {
        kill(worker->pid, SIGKILL);
        while (waitpid(worker->pid, NULL, 0) < 0 && errno == EINTR) {
        }
    }
    if (worker->pid > 0 || worker->socket > 0) {
        close(worker->socket);
    }
    rr_buf_clear(&worker->message);
    *worker = (struct transcode_worker){.socket = -1, .ended = worker->ended};
}

enum rr_err transcode_worker_take_over(struct transcode_worker *worker,
                                       struct transcode_worker *spare, const char *program,
                                       struct rr_fault *fault)
{
    if (spare->pid == 0) {
        return transcode_worker_start(worker, program, false, fault);
    }
    *worker = *spare;
    *spare = (struct transcode_worker){.socket = -1};
    return RR_OK;
}

/* Reaps a worker whose socket is closed, and says how it ended. */
static enum rr_err bury(struct transcode_worker *worker, struct rr_fault *fault)
{
    int status = 0;
    if (worker->pid <= 0) { /* kill(0) would end ourselves and all that were started with us */
        return rr_fail(fault, RR_ERR_UNREACHABLE, "the worker was ended before");
    }
    /* A socket that closed without an end is no reason to wait for the process. */
    kill(worker->pid, SIGKILL);
    while (waitpid(worker->pid, &status, 0) < 0 && errno == EINTR) {
    }
    worker->pid = 0;
    close(worker->socket);
    rr_buf_clear(&worker->message);
    *worker = (struct transcode_worker){.socket = -1, .ended = status};
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS) {
        return rr_fail(fault, RR_ERR_UNREACHABLE,
                       "the worker tried what its sandbox forbids and was killed");
    }
    if (WIFSIGNALED(status)) {
        return rr_fail(fault, RR_ERR_UNREACHABLE, "the worker died of signal %d", WTERMSIG(status));
    }
    return rr_fail(fault, RR_ERR_UNREACHABLE, "the worker ended with status %d",
                   WEXITSTATUS(status));
}

enum rr_err transcode_worker_ask(struct transcode_worker *worker, struct rr_buf *message,
                                 const int *fds, size_t fd_count, unsigned seconds,
                                 struct rr_fault *fault)
{
    bool sent = transcode_send(worker->socket, rr_buf_slice(message), fds, fd_count);
    rr_buf_clear(message);
    if (!sent) {
        return bury(worker, fault);
    }
    worker->seconds = seconds;
    worker->deadline_us = rr_monotonic_us(rr_clock_system()) + seconds * UINT64_C(1000000);
    return RR_OK;
}

struct rr_slice transcode_worker_body(const struct transcode_worker *worker)
{
    return rr_slice_of(worker->message.ptr + 1, worker->message.len - 1);
}

enum rr_err transcode_worker_take(struct transcode_worker *worker, uint8_t *kind,
                                  struct rr_fault *fault)
{
    int fds[TRANSCODE_FDS_MAX];
    size_t fd_count = 0;
    struct transcode_failed failed;
    int got = transcode_receive(worker->socket, &worker->message, fds, &fd_count);
    for (size_t i = 0; i < fd_count; i++) {
        close(fds[i]); /* a worker has nothing to hand up */
    }
    if (got <= 0) {
        return bury(worker, fault);
    }
    worker->deadline_us = 0;
    *kind = worker->message.ptr[0];
    if (*kind != TRANSCODE_FAILED) {
        return RR_OK;
    }
    if (!transcode_decode_message(transcode_worker_body(worker), failed, &failed)) {
        return rr_fail(fault, RR_ERR_FORMAT, "the worker's error cannot be read");
    }
    return rr_fail(fault, failed.code, "%s", failed.text);
}

enum rr_err transcode_worker_wait_any(struct transcode_worker *worker, uint8_t *kind,
                                      const atomic_bool *cancel, struct rr_fault *fault)
{
    struct pollfd ready = {.fd = worker->socket, .events = POLLIN};
    int count = 0;
    while (count == 0) {
        if (cancel != NULL && atomic_load(cancel)) {
            return rr_fail(fault, RR_ERR_CANCELLED, "cancelled");
        }
        if (rr_monotonic_us(rr_clock_system()) > worker->deadline_us) {
            unsigned seconds = worker->seconds;
            transcode_worker_stop(worker);
            return rr_fail(fault, RR_ERR_TIMEOUT,
                           "the worker gave no answer within %u s and was ended", seconds);
        }
        count = poll(&ready, 1, 100);
        count = count < 0 && errno == EINTR ? 0 : count;
    }
    return transcode_worker_take(worker, kind, fault);
}

enum rr_err transcode_worker_wait(struct transcode_worker *worker, uint8_t kind,
                                  const atomic_bool *cancel, struct rr_fault *fault)
{
    uint8_t found = 0;
    enum rr_err err = transcode_worker_wait_any(worker, &found, cancel, fault);
    if (err == RR_OK && found != kind) {
        err = rr_fail(fault, RR_ERR_FORMAT, "the worker answered with message %u where %u was due",
                      found, kind);
    }
    return err;
}

enum rr_err transcode_memfd(int *out, const char *name, struct rr_fault *fault)
{
    int fd = memfd_create(name, MFD_CLOEXEC);
    if (fd < 0) {
        return rr_fail_errno(fault, "no memory file for %s", name);
    }
    *out = fd;
    return RR_OK;
}

enum rr_err transcode_source_fd(int *out, int source_fd, struct rr_fault *fault)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/self/fd/%d", source_fd);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd <
        0) { /* no /proc, or a file that may not be opened again: the worker only reads anyway */
        fd = fcntl(source_fd, F_DUPFD_CLOEXEC, TRANSCODE_SOCKET_FD + 1);
    }
    if (fd < 0) {
        return rr_fail_errno(fault, "the input cannot be handed to a worker");
    }
    *out = fd;
    return RR_OK;
}

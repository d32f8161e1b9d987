/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The lock ([VC 7.5], spec 20, 7). Namespaces are the parent's part: they exist before the program
 * starts. */
#include "transcode/worker/worker.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Debian 12's header knows ABI 1; later bits as in Linux' uapi/linux/landlock.h. */
#define FS_RIGHTS_ABI1  0x1fffu /* execute .. make_sym */
#define FS_RIGHT_REFER  0x2000u /* ABI 2 */
#define FS_RIGHT_TRUNC  0x4000u /* ABI 3 */
#define FS_RIGHT_IOCTL  0x8000u /* ABI 5 */
#define NET_RIGHTS_ABI4 0x3u    /* bind, connect TCP */
#define SCOPES_ABI6     0x3u    /* abstract sockets, signals */
#define RULESET_VERSION 1u

struct ruleset {
    uint64_t fs, net, scoped;
};

/* Deny all: a ruleset that handles every right the kernel knows, and no rule. 0 when the kernel has
 * no Landlock. */
static int landlock(void)
{
    long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, RULESET_VERSION);
    struct ruleset rules = {.fs = FS_RIGHTS_ABI1};
    size_t size = sizeof rules.fs;
    if (abi < 1) {
        return 0;
    }
    rules.fs |= (abi >= 2 ? FS_RIGHT_REFER : 0) | (abi >= 3 ? FS_RIGHT_TRUNC : 0) |
                (abi >= 5 ? FS_RIGHT_IOCTL : 0);
    if (abi >= 4) {
        rules.net = NET_RIGHTS_ABI4;
        size += sizeof rules.net;
    }
    if (abi >= 6) {
        rules.scoped = SCOPES_ABI6;
        size += sizeof rules.scoped;
    }
    int fd = (int)syscall(SYS_landlock_create_ruleset, &rules, size, 0);
    if (fd < 0) {
        return 0;
    }
    long done = syscall(SYS_landlock_restrict_self, fd, 0);
    close(fd);
    return done == 0 ? (int)(abi > UINT8_MAX ? UINT8_MAX : abi) : 0;
}

static bool allow_with_arguments(scmp_filter_ctx filter)
{
    /* No memory may become code. */
    struct scmp_arg_cmp no_exec = SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0);
    struct scmp_arg_cmp own_socket = SCMP_A0(SCMP_CMP_EQ, TRANSCODE_SOCKET_FD, 0);
    struct scmp_arg_cmp by_fd = SCMP_A3(SCMP_CMP_EQ, AT_EMPTY_PATH, 0);
    return seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 1, &no_exec) == 0 &&
           seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, SCMP_SYS(mprotect), 1, &no_exec) == 0 &&
           seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, SCMP_SYS(sendmsg), 1, &own_socket) == 0 &&
           seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, SCMP_SYS(recvmsg), 1, &own_socket) == 0 &&
           seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, SCMP_SYS(newfstatat), 1, &by_fd) == 0 &&
           /* glibc's qsort asks how much memory there is; "not known" serves. */
           seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(sysinfo), 0) == 0;
}

/* Threads and nothing else that clone can make: clone3 hides its flags in memory, where a filter
 * cannot look, and glibc falls back to clone when there is none. Encoders also ask for the
 * processor's description and for a priority; they live without. */
static bool allow_threads(scmp_filter_ctx filter)
{
    static const int calls[] = {
        SCMP_SYS(rt_sigaction), SCMP_SYS(set_robust_list), SCMP_SYS(rseq),
        SCMP_SYS(gettid),       SCMP_SYS(clock_nanosleep), SCMP_SYS(nanosleep)};
    static const int refused[] = {SCMP_SYS(openat),
                                  SCMP_SYS(open),
                                  SCMP_SYS(geteuid),
                                  SCMP_SYS(sched_setscheduler),
                                  SCMP_SYS(sched_setaffinity),
                                  SCMP_SYS(prctl),
                                  SCMP_SYS(sched_getparam),
                                  SCMP_SYS(sched_getscheduler)};
    struct scmp_arg_cmp thread =
        SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD | CLONE_VM | CLONE_SIGHAND,
                CLONE_THREAD | CLONE_VM | CLONE_SIGHAND);
    bool done = seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1, &thread) == 0 &&
                seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0) == 0;
    for (size_t i = 0; done && i < RR_COUNT(calls); i++) {
        done = seccomp_rule_add(filter, SCMP_ACT_ALLOW, calls[i], 0) == 0;
    }
    for (size_t i = 0; done && i < RR_COUNT(refused); i++) {
        done = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), refused[i], 0) == 0;
    }
    return done;
}

static bool seccomp_allow(bool threads)
{
    static const int calls[] = {
        SCMP_SYS(read),          SCMP_SYS(write),
        SCMP_SYS(pread64),       SCMP_SYS(pwrite64),
        SCMP_SYS(lseek),         SCMP_SYS(fstat),
        SCMP_SYS(ftruncate),     SCMP_SYS(munmap),
        SCMP_SYS(mremap),        SCMP_SYS(madvise),
        SCMP_SYS(brk),           SCMP_SYS(futex),
        SCMP_SYS(exit),          SCMP_SYS(exit_group),
        SCMP_SYS(rt_sigreturn),  SCMP_SYS(rt_sigprocmask),
        SCMP_SYS(clock_gettime), SCMP_SYS(getrandom),
        SCMP_SYS(sched_yield),   SCMP_SYS(sched_getaffinity),
        SCMP_SYS(close),
#ifdef RR_SANITIZED
        SCMP_SYS(sigaltstack),   SCMP_SYS(gettid),
        SCMP_SYS(getpid),        SCMP_SYS(rt_sigaction),
#endif
    };
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_KILL_PROCESS);
    bool done =
        filter != NULL && allow_with_arguments(filter) && (!threads || allow_threads(filter));
    for (size_t i = 0; done && i < RR_COUNT(calls); i++) {
        done = seccomp_rule_add(filter, SCMP_ACT_ALLOW, calls[i], 0) == 0;
    }
    done = done && seccomp_load(filter) == 0;
    seccomp_release(filter);
    return done;
}

static void limit(int what, uint64_t value)
{
    struct rlimit both = {.rlim_cur = value, .rlim_max = value};
    setrlimit((__rlimit_resource_t)what, &both);
}

void worker_lock_down(struct transcode_hello *hello, uint64_t address_bytes, bool threads)
{
    limit(RLIMIT_CORE, 0);
    limit(RLIMIT_NOFILE, 32);
    limit(RLIMIT_CPU,
          12 *
              3600); /* the parent's wall limits bite first; this one holds when the parent hangs */
    limit(RLIMIT_FSIZE, UINT64_C(64) << 30);
#ifndef RR_SANITIZED /* its shadow memory is terabytes of addresses */
    if (address_bytes > 0) {
        limit(RLIMIT_AS, address_bytes);
    }
    if (address_bytes > 0 && !threads) {
        limit(RLIMIT_DATA, address_bytes / 3); /* its own memory; pictures are shared files */
    }
#else
    (void)address_bytes;
#endif
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    hello->landlock_abi = (uint8_t)landlock();
    hello->seccomp = seccomp_allow(threads) ? 1 : 0;
}

int worker_self_test(const char *what)
{
    if (strcmp(what, "open") == 0) {
        return open("/dev/null", O_RDONLY | O_CLOEXEC) < 0 ? 0 : 1;
    } else if (strcmp(what, "socket") == 0) {
        socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    } else if (strcmp(what, "fork") == 0) {
        syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
    } else if (strcmp(what, "exec") == 0) {
        syscall(SYS_execve, "/bin/true", NULL, NULL);
    } else if (strcmp(what, "kill") == 0) {
        kill(getppid(), 0);
    } else if (strcmp(what, "code") == 0) {
        return mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) ==
                       MAP_FAILED
                   ? 2
                   : 1;
    } else if (strcmp(what, "nothing") == 0) {
        return 0;
    }
    return 1;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The ingest's lock: the network stays, all else goes. What is not on the list fails instead of
 * killing, because libraries try things and live without. */
#include "transcode/ingest/ingest.h"
#include <linux/landlock.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#define MEMORY_BYTES (UINT64_C(2) << 30)

static void deny_files(void)
{
    struct landlock_ruleset_attr rules = {.handled_access_fs = 0x1fff}; /* all of ABI 1 */
    int fd = (int)syscall(SYS_landlock_create_ruleset, &rules, sizeof rules, 0);
    if (fd >= 0) {
        (void)syscall(SYS_landlock_restrict_self, fd, 0);
        close(fd);
    }
}

static bool allow_calls(scmp_filter_ctx filter)
{
    static const int calls[] = {SCMP_SYS(read),           SCMP_SYS(write),
                                SCMP_SYS(pwrite64),       SCMP_SYS(close),
                                SCMP_SYS(fstat),          SCMP_SYS(poll),
                                SCMP_SYS(ppoll),          SCMP_SYS(epoll_wait),
                                SCMP_SYS(epoll_pwait),    SCMP_SYS(epoll_ctl),
                                SCMP_SYS(epoll_create1),  SCMP_SYS(epoll_create),
                                SCMP_SYS(socket),         SCMP_SYS(bind),
                                SCMP_SYS(listen),         SCMP_SYS(accept4),
                                SCMP_SYS(accept),         SCMP_SYS(getsockname),
                                SCMP_SYS(getpeername),    SCMP_SYS(setsockopt),
                                SCMP_SYS(getsockopt),     SCMP_SYS(sendto),
                                SCMP_SYS(sendmsg),        SCMP_SYS(recvfrom),
                                SCMP_SYS(recvmsg),        SCMP_SYS(shutdown),
                                SCMP_SYS(fcntl),          SCMP_SYS(ioctl),
                                SCMP_SYS(munmap),         SCMP_SYS(mremap),
                                SCMP_SYS(madvise),        SCMP_SYS(brk),
                                SCMP_SYS(futex),          SCMP_SYS(exit),
                                SCMP_SYS(exit_group),     SCMP_SYS(rt_sigreturn),
                                SCMP_SYS(rt_sigprocmask), SCMP_SYS(rt_sigaction),
                                SCMP_SYS(clock_gettime),  SCMP_SYS(clock_nanosleep),
                                SCMP_SYS(nanosleep),      SCMP_SYS(getrandom),
                                SCMP_SYS(sched_yield),    SCMP_SYS(gettid),
                                SCMP_SYS(getpid),         SCMP_SYS(set_robust_list),
                                SCMP_SYS(rseq),           SCMP_SYS(prctl),
                                SCMP_SYS(sigaltstack),    SCMP_SYS(newfstatat)};
    struct scmp_arg_cmp no_exec = SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0);
    struct scmp_arg_cmp thread =
        SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD | CLONE_VM, CLONE_THREAD | CLONE_VM);
    bool done =
        seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 1, &no_exec) == 0 &&
        seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, SCMP_SYS(mprotect), 1, &no_exec) == 0 &&
        seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1, &thread) == 0 &&
        seccomp_rule_add(filter, SCMP_ACT_ERRNO(38), SCMP_SYS(clone3), 0) == 0;
    for (size_t i = 0; done && i < RR_COUNT(calls); i++) {
        done = seccomp_rule_add(filter, SCMP_ACT_ALLOW, calls[i], 0) == 0;
    }
    return done;
}

void ingest_lock_down(void)
{
    struct rlimit none = {0, 0}, files = {256, 256};
    struct rlimit memory = {MEMORY_BYTES, MEMORY_BYTES};
    setrlimit(RLIMIT_CORE, &none);
    setrlimit(RLIMIT_NOFILE, &files);
#ifndef RR_SANITIZED /* its shadow memory is terabytes of addresses */
    setrlimit(RLIMIT_AS, &memory);
#else
    (void)memory;
#endif
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    deny_files();
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(1));
    /* Other threads of libsrt run already: they get the filter too. */
    if (filter == NULL || seccomp_attr_set(filter, SCMP_FLTATR_CTL_TSYNC, 1) != 0 ||
        !allow_calls(filter) || seccomp_load(filter) != 0) {
        _exit(3); /* no lock, no strangers */
    }
    seccomp_release(filter);
}

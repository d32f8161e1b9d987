/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The wider lock of a worker that needs a device (spec 20, 7). Drivers open libraries and nodes,
 * map code and start threads, and no two versions call the same; so files are fenced by Landlock,
 * to reading where libraries and facts of the machine lie and to writing on nodes of devices, and
 * the filter answers what it does not know with an error. No network, no process, no other file.
 * Without Landlock the parent does not use it. */
#include "transcode/worker/worker.h"
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <linux/landlock.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Later bits as in Linux' uapi/linux/landlock.h; Debian 12's header knows ABI 1. */
#define FS_RIGHTS_ABI1  UINT64_C(0x1fff)
#define FS_RIGHT_REFER  UINT64_C(0x2000)
#define FS_RIGHT_TRUNC  UINT64_C(0x4000)
#define FS_RIGHT_IOCTL  UINT64_C(0x8000)
#define NET_RIGHTS_ABI4 UINT64_C(3)
#define SCOPES_ABI6     UINT64_C(3)
#define RULESET_VERSION 1u
#define READ_FILE       UINT64_C(4)
#define WRITE_FILE      UINT64_C(2)
#define READ_DIR        UINT64_C(8)

struct ruleset {
    uint64_t fs, net, scoped;
};

/* Libraries and what drivers read of the machine; no home, no /etc as a whole, no /tmp, /var. */
static const char *const readable[] = {"/usr",
                                       "/lib",
                                       "/lib64",
                                       "/opt/nvidia",
                                       "/run/opengl-driver",
                                       "/nix/store",
                                       "/etc/ld.so.cache",
                                       "/etc/ld.so.preload",
                                       "/etc/nvidia",
                                       "/etc/libva.conf",
                                       "/etc/drirc",
                                       "/proc/driver",
                                       "/proc/devices",
                                       "/proc/modules",
                                       "/proc/cpuinfo",
                                       "/proc/meminfo",
                                       "/proc/version",
                                       "/proc/self",
                                       "/proc/sys/vm",
                                       "/sys/bus/pci",
                                       "/sys/class/drm",
                                       "/sys/dev/char",
                                       "/sys/devices",
                                       "/sys/module"};
static const char *const nodes[] = {"/dev/nvidia*", "/dev/dri",  "/dev/dxg",
                                    "/dev/null",    "/dev/zero", "/dev/urandom"};

static void allow_path(int ruleset, const char *path, uint64_t rights)
{
    struct stat facts;
    int fd = open(path, O_PATH | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &facts) != 0) {
        return; /* not on this machine */
    }
    if (!S_ISDIR(facts.st_mode)) {
        rights &= ~READ_DIR;
    }
    struct landlock_path_beneath_attr rule = {.allowed_access = rights, .parent_fd = fd};
    (void)syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0);
    close(fd);
}

static int landlock(void)
{
    long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, RULESET_VERSION);
    struct ruleset rules = {.fs = FS_RIGHTS_ABI1};
    size_t size = sizeof rules.fs;
    if (abi < 1) {
        return 0;
    }
    uint64_t ioctl_right = abi >= 5 ? FS_RIGHT_IOCTL : 0;
    rules.fs |= (abi >= 2 ? FS_RIGHT_REFER : 0) | (abi >= 3 ? FS_RIGHT_TRUNC : 0) | ioctl_right;
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
    for (size_t i = 0; i < RR_COUNT(readable); i++) {
        allow_path(fd, readable[i], READ_FILE | READ_DIR);
    }
    for (size_t i = 0; i < RR_COUNT(nodes); i++) {
        glob_t found;
        if (glob(nodes[i], 0, NULL, &found) == 0) {
            for (size_t j = 0; j < found.gl_pathc; j++) {
                allow_path(fd, found.gl_pathv[j], READ_FILE | WRITE_FILE | READ_DIR | ioctl_right);
            }
            globfree(&found);
        }
    }
    long done = syscall(SYS_landlock_restrict_self, fd, 0);
    close(fd);
    return done == 0 ? (int)(abi > UINT8_MAX ? UINT8_MAX : abi) : 0;
}

static const int allowed[] = {
    SCMP_SYS(read), SCMP_SYS(write), SCMP_SYS(pread64), SCMP_SYS(pwrite64), SCMP_SYS(readv),
    SCMP_SYS(writev), SCMP_SYS(lseek), SCMP_SYS(open), SCMP_SYS(openat), SCMP_SYS(close),
    SCMP_SYS(stat), SCMP_SYS(lstat), SCMP_SYS(fstat), SCMP_SYS(newfstatat), SCMP_SYS(statx),
    SCMP_SYS(statfs), SCMP_SYS(fstatfs), SCMP_SYS(access), SCMP_SYS(faccessat),
    SCMP_SYS(faccessat2), SCMP_SYS(readlink), SCMP_SYS(readlinkat), SCMP_SYS(getdents64),
    SCMP_SYS(getcwd), SCMP_SYS(ftruncate), SCMP_SYS(fallocate), SCMP_SYS(fadvise64),
    SCMP_SYS(fcntl), SCMP_SYS(dup), SCMP_SYS(dup2), SCMP_SYS(dup3), SCMP_SYS(pipe), SCMP_SYS(pipe2),
    SCMP_SYS(eventfd2), SCMP_SYS(epoll_create1), SCMP_SYS(epoll_ctl), SCMP_SYS(epoll_wait),
    SCMP_SYS(epoll_pwait), SCMP_SYS(poll), SCMP_SYS(ppoll), SCMP_SYS(select), SCMP_SYS(pselect6),
    SCMP_SYS(timerfd_create), SCMP_SYS(timerfd_settime), SCMP_SYS(memfd_create), SCMP_SYS(ioctl),
    /* memory; drivers map libraries and make code */
    SCMP_SYS(mmap), SCMP_SYS(munmap), SCMP_SYS(mremap), SCMP_SYS(mprotect), SCMP_SYS(madvise),
    SCMP_SYS(mincore), SCMP_SYS(msync), SCMP_SYS(mlock), SCMP_SYS(mlock2), SCMP_SYS(munlock),
    SCMP_SYS(brk), SCMP_SYS(get_mempolicy), SCMP_SYS(mbind), SCMP_SYS(membarrier),
    SCMP_SYS(pkey_alloc), SCMP_SYS(pkey_free), SCMP_SYS(pkey_mprotect),
    /* threads, signals of its own, time */
    SCMP_SYS(futex), SCMP_SYS(set_robust_list), SCMP_SYS(get_robust_list), SCMP_SYS(rseq),
    SCMP_SYS(set_tid_address), SCMP_SYS(arch_prctl), SCMP_SYS(gettid), SCMP_SYS(getpid),
    SCMP_SYS(getppid), SCMP_SYS(getuid), SCMP_SYS(geteuid), SCMP_SYS(getgid), SCMP_SYS(getegid),
    SCMP_SYS(getresuid), SCMP_SYS(getresgid), SCMP_SYS(sched_yield), SCMP_SYS(sched_getaffinity),
    SCMP_SYS(sched_setaffinity), SCMP_SYS(sched_getparam), SCMP_SYS(sched_getscheduler),
    SCMP_SYS(sched_get_priority_max), SCMP_SYS(sched_get_priority_min), SCMP_SYS(getpriority),
    SCMP_SYS(getcpu), SCMP_SYS(rt_sigaction), SCMP_SYS(rt_sigprocmask), SCMP_SYS(rt_sigreturn),
    SCMP_SYS(rt_sigtimedwait), SCMP_SYS(sigaltstack), SCMP_SYS(clock_gettime),
    SCMP_SYS(clock_getres), SCMP_SYS(clock_nanosleep), SCMP_SYS(nanosleep), SCMP_SYS(gettimeofday),
    SCMP_SYS(time), SCMP_SYS(times), SCMP_SYS(getrusage), SCMP_SYS(getrlimit), SCMP_SYS(sysinfo),
    SCMP_SYS(uname), SCMP_SYS(getrandom), SCMP_SYS(restart_syscall), SCMP_SYS(exit),
    SCMP_SYS(exit_group)};
/* No driver has a reason for these. */
static const int deadly[] = {SCMP_SYS(execve),
                             SCMP_SYS(execveat),
                             SCMP_SYS(ptrace),
                             SCMP_SYS(process_vm_readv),
                             SCMP_SYS(process_vm_writev),
                             SCMP_SYS(bpf),
                             SCMP_SYS(mount),
                             SCMP_SYS(umount2),
                             SCMP_SYS(pivot_root),
                             SCMP_SYS(setns),
                             SCMP_SYS(unshare),
                             SCMP_SYS(init_module),
                             SCMP_SYS(finit_module),
                             SCMP_SYS(kexec_load),
                             SCMP_SYS(add_key),
                             SCMP_SYS(keyctl),
                             SCMP_SYS(perf_event_open),
                             SCMP_SYS(io_uring_setup)};

static bool with_arguments(scmp_filter_ctx filter)
{
    static const int names[] = {PR_SET_NAME, PR_GET_NAME, PR_GET_DUMPABLE, PR_SET_VMA};
    uint64_t bits = CLONE_THREAD | CLONE_VM | CLONE_SIGHAND;
    struct scmp_arg_cmp own_socket = SCMP_A0(SCMP_CMP_EQ, TRANSCODE_SOCKET_FD, 0);
    struct scmp_arg_cmp thread = SCMP_A0(SCMP_CMP_MASKED_EQ, bits, bits);
    struct scmp_arg_cmp itself = SCMP_A0(SCMP_CMP_EQ, 0, 0);
    struct scmp_arg_cmp only_reads = SCMP_A2(SCMP_CMP_EQ, 0, 0);
    struct scmp_arg_cmp limits[] = {itself, only_reads};
    bool done =
        seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, SCMP_SYS(sendmsg), 1, &own_socket) == 0 &&
        seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, SCMP_SYS(recvmsg), 1, &own_socket) == 0 &&
        seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1, &thread) == 0 &&
        seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, SCMP_SYS(prlimit64), 2, limits) == 0 &&
        /* hides its flags in memory; glibc falls back to clone */
        seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0) == 0;
    for (size_t i = 0; done && i < RR_COUNT(names); i++) {
        struct scmp_arg_cmp name = SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)names[i], 0);
        done = seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, SCMP_SYS(prctl), 1, &name) == 0;
    }
    return done;
}

static bool seccomp(void)
{
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(EPERM));
    bool done = filter != NULL && with_arguments(filter);
    for (size_t i = 0; done && i < RR_COUNT(allowed); i++) {
        done = seccomp_rule_add(filter, SCMP_ACT_ALLOW, allowed[i], 0) == 0;
    }
    for (size_t i = 0; done && i < RR_COUNT(deadly); i++) {
        done = seccomp_rule_add(filter, SCMP_ACT_KILL_PROCESS, deadly[i], 0) == 0;
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

void worker_device_lock_down(struct transcode_hello *hello, uint64_t address_bytes, bool threads)
{
    (void)threads; /* every driver has some */
    limit(RLIMIT_CORE, 0);
    limit(RLIMIT_NOFILE, 1024);
    limit(RLIMIT_CPU, 12 * 3600);
    limit(RLIMIT_FSIZE, UINT64_C(64) << 30);
#ifndef RR_SANITIZED
    if (address_bytes > 0) { /* drivers reserve more addresses than any machine has memory */
        limit(RLIMIT_DATA, address_bytes);
    }
#else
    (void)address_bytes;
#endif
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    hello->landlock_abi = (uint8_t)landlock();
    hello->seccomp = seccomp() ? 1 : 0;
}

/* 0: it is as it should be. */
int worker_device_self_test(const char *what)
{
    if (strcmp(what, "file") == 0) {
        return open("/etc/passwd", O_RDONLY | O_CLOEXEC) < 0 && errno == EACCES ? 0 : 1;
    } else if (strcmp(what, "write") == 0) {
        return open("/tmp/reelrig-self-test", O_WRONLY | O_CREAT | O_CLOEXEC, 0600) < 0 ? 0 : 1;
    } else if (strcmp(what, "node") == 0) {
        return open("/dev/null", O_RDWR | O_CLOEXEC) >= 0 ? 0 : 1;
    } else if (strcmp(what, "library") == 0) {
        return open("/usr/lib", O_RDONLY | O_DIRECTORY | O_CLOEXEC) >= 0 ? 0 : 1;
    } else if (strcmp(what, "socket") == 0) {
        return socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0) < 0 ? 0 : 1;
    } else if (strcmp(what, "fork") == 0) {
        return syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0) < 0 ? 0 : 1;
    } else if (strcmp(what, "kill") == 0) {
        return kill(getppid(), 0) < 0 ? 0 : 1;
    } else if (strcmp(what, "exec") == 0) { /* is killed */
        syscall(SYS_execve, "/bin/true", NULL, NULL);
    }
    return 1;
}

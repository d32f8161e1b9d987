/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RR_BASE_ERR_H
#define RR_BASE_ERR_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* One list: code, exit status of the programs (spec 80, 1), text. Code branches on the enum only.
 */
#define RR_ERR_LIST(X)                                                                             \
    X(RR_OK, 0, "ok")                                                                              \
    X(RR_ERR_USAGE, 2, "wrong usage")                                                              \
    X(RR_ERR_FORMAT, 1, "bytes that do not follow their format")                                   \
    X(RR_ERR_TRUST, 1, "a signature, digest or proof that does not hold")                          \
    X(RR_ERR_LIMIT, 1, "beyond a limit")                                                           \
    X(RR_ERR_NOTFOUND, 1, "not found")                                                             \
    X(RR_ERR_EXISTS, 1, "there already")                                                           \
    X(RR_ERR_STATE, 1, "not possible in this state")                                               \
    X(RR_ERR_FUNDS, 1, "not enough coins")                                                         \
    X(RR_ERR_IO, 1, "input or output failed")                                                      \
    X(RR_ERR_FULL, 1, "no space left")                                                             \
    X(RR_ERR_MEMORY, 1, "out of memory")                                                           \
    X(RR_ERR_BUSY, 1, "in use by another")                                                         \
    X(RR_ERR_TIMEOUT, 1, "took too long")                                                          \
    X(RR_ERR_CANCELLED, 1, "cancelled")                                                            \
    X(RR_ERR_UNSUPPORTED, 1, "not supported")                                                      \
    X(RR_ERR_DAMAGED, 3, "damaged")                                                                \
    X(RR_ERR_UNREACHABLE, 4, "cannot be reached")

enum rr_err {
#define X(code, exit_status, text) code,
    RR_ERR_LIST(X)
#undef X
};

/* What went wrong, owned by the caller, never allocates. `text` says what was found, what was
 * expected and what to do; it is written once, where the fact is known. */
struct rr_fault {
    enum rr_err code;
    int sys_errno; /* 0 when no system call was at fault */
    const char *where;
    char text[320];
};

/* Static text of a code; any thread. */
const char *rr_err_text(enum rr_err code);
/* Exit status of a program that ends with this code; any thread. */
int rr_err_exit_status(enum rr_err code);

/* Fills `fault` (may be NULL) and returns `code`. Use the macros: they fill `where`. Any thread. */
enum rr_err rr_fault_set(struct rr_fault *fault, enum rr_err code, int sys_errno, const char *where,
                         const char *format, ...) __attribute__((format(printf, 5, 6)));

#define RR_STR_(x)                #x
#define RR_STR(x)                 RR_STR_(x)
#define RR_WHERE                  __FILE__ ":" RR_STR(__LINE__)
#define rr_fail(fault, code, ...) rr_fault_set((fault), (code), 0, RR_WHERE, __VA_ARGS__)
/* As rr_fail, with errno: ENOSPC, EDQUOT give RR_ERR_FULL, ENOMEM gives RR_ERR_MEMORY, ENOENT gives
 * RR_ERR_NOTFOUND, else RR_ERR_IO; strerror is appended to the sentence. */
#define rr_fail_errno(fault, ...) rr_fault_errno((fault), RR_WHERE, __VA_ARGS__)
enum rr_err rr_fault_errno(struct rr_fault *fault, const char *where, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Our own bug: says where and aborts, in release too. Never on bytes from outside. */
_Noreturn void rr_bug(const char *where, const char *what);
#define RR_BUG(what)    rr_bug(RR_WHERE, (what))
#define RR_CHECK(holds) ((holds) ? (void)0 : rr_bug(RR_WHERE, #holds))
#define RR_MUST_USE     __attribute__((warn_unused_result))
#define RR_COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define RR_API          __attribute__((visibility("default")))

#endif

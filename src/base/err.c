/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const char *rr_err_text(enum rr_err code)
{
    static const char *const texts[] = {
#define X(code, exit_status, text) [code] = (text),
        RR_ERR_LIST(X)
#undef X
    };
    return (size_t)code < RR_COUNT(texts) ? texts[code] : "unknown error";
}

int rr_err_exit_status(enum rr_err code)
{
    static const int statuses[] = {
#define X(code, exit_status, text) [code] = (exit_status),
        RR_ERR_LIST(X)
#undef X
    };
    return (size_t)code < RR_COUNT(statuses) ? statuses[code] : 1;
}

__attribute__((format(printf, 5, 0))) static void fill(struct rr_fault *fault, enum rr_err code,
                                                       int sys_errno, const char *where,
                                                       const char *format, va_list args)
{
    fault->code = code;
    fault->sys_errno = sys_errno;
    fault->where = where;
    int n = vsnprintf(fault->text, sizeof fault->text, format, args);
    if (sys_errno != 0 && n >= 0 && (size_t)n < sizeof fault->text) {
        char reason[96];
        snprintf(fault->text + n, sizeof fault->text - (size_t)n, ": %s",
                 strerror_r(sys_errno, reason, sizeof reason));
    }
}

enum rr_err rr_fault_set(struct rr_fault *fault, enum rr_err code, int sys_errno, const char *where,
                         const char *format, ...)
{
    if (fault != NULL) {
        va_list args;
        va_start(args, format);
        fill(fault, code, sys_errno, where, format, args);
        va_end(args);
    }
    return code;
}

static enum rr_err code_of_errno(int sys_errno)
{
    switch (sys_errno) {
    case ENOSPC:
    case EDQUOT:
        return RR_ERR_FULL;
    case ENOMEM:
        return RR_ERR_MEMORY;
    case ENOENT:
        return RR_ERR_NOTFOUND;
    default:
        return RR_ERR_IO;
    }
}

enum rr_err rr_fault_errno(struct rr_fault *fault, const char *where, const char *format, ...)
{
    int saved = errno;
    enum rr_err code = code_of_errno(saved);
    if (fault != NULL) {
        va_list args;
        va_start(args, format);
        fill(fault, code, saved, where, format, args);
        va_end(args);
    }
    return code;
}

_Noreturn void rr_bug(const char *where, const char *what)
{
    char line[512];
    int n = snprintf(line, sizeof line, "reelrig: bug at %s: %s\n", where, what);
    if (n > 0) {
        size_t len = (size_t)n < sizeof line ? (size_t)n : sizeof line - 1;
        ssize_t ignored = write(STDERR_FILENO, line, len);
        (void)ignored;
    }
    abort();
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
    TEXT_BYTES = 1024, /* of one message before escaping; what is over is cut off */
    LINE_BYTES =
        4 * TEXT_BYTES + 128, /* each byte may become \xNN; 128 for time, level and module */
};

static _Atomic int max_level = RR_LOG_INFO;

void rr_log_set_level(enum rr_log_level level)
{
    atomic_store_explicit(&max_level, (int)level, memory_order_relaxed);
}

static const char *level_name(enum rr_log_level level)
{
    switch (level) {
    case RR_LOG_ERROR:
        return "error";
    case RR_LOG_WARN:
        return "warn";
    case RR_LOG_INFO:
        return "info";
    case RR_LOG_DEBUG:
        return "debug";
    }
    return "?";
}

/* ASCII controls, DEL, and the C1 controls in UTF-8 (C2 80 .. C2 9F), which some terminals obey. */
static bool is_control(const uint8_t *at, const uint8_t *start)
{
    if (*at < 0x20 || *at == 0x7f) {
        return true;
    }
    if (*at == 0xc2) {
        return at[1] >= 0x80 && at[1] < 0xa0; /* the text ends in NUL: at[1] is there */
    }
    return *at >= 0x80 && *at < 0xa0 && at > start && at[-1] == 0xc2;
}

static size_t escape(char *line, const char *text)
{
    const uint8_t *start = (const uint8_t *)text;
    size_t len = 0;
    for (const uint8_t *at = start; *at != '\0'; at++) {
        if (is_control(at, start)) {
            len += (size_t)snprintf(line + len, 5, "\\x%02x", *at);
        } else {
            line[len++] = (char)*at;
        }
    }
    return len;
}

static size_t head(char *line, size_t cap, enum rr_log_level level, const char *module)
{
    int len;
    if (getenv("JOURNAL_STREAM") != NULL) {
        len = snprintf(line, cap, "<%d>%.32s: ", (int)level, module);
    } else {
        struct timespec now;
        struct tm utc;
        clock_gettime(CLOCK_REALTIME, &now);
        gmtime_r(&now.tv_sec, &utc);
        len = snprintf(line, cap,
                       "%04d-%02d-%02dT%02d:%02d:%02d.%03ldZ %s %.32s: ", utc.tm_year + 1900,
                       utc.tm_mon + 1, utc.tm_mday, utc.tm_hour, utc.tm_min, utc.tm_sec,
                       now.tv_nsec / 1000000, level_name(level), module);
    }
    return len < 0 ? 0 : (size_t)len < cap ? (size_t)len : cap - 1;
}

void rr_log(enum rr_log_level level, const char *module, const char *format, ...)
{
    if ((int)level > atomic_load_explicit(&max_level, memory_order_relaxed)) {
        return;
    }
    int saved = errno;
    char text[TEXT_BYTES];
    char line[LINE_BYTES];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (n < 0) {
        text[0] = '\0';
    } else if ((size_t)n >= sizeof text) {
        memcpy(text + sizeof text - 4, "...", 4);
    }
    size_t len = head(line, 127, level, module);
    len += escape(line + len, text);
    line[len++] = '\n';
    /* One write, so that lines of threads and of children on the same pipe never mix. */
    ssize_t ignored = write(STDERR_FILENO, line, len);
    (void)ignored;
    errno = saved;
}

void rr_log_fault(enum rr_log_level level, const char *module, const struct rr_fault *fault)
{
    rr_log(level, module, "%s [%s]", fault->text, fault->where != NULL ? fault->where : "?");
}

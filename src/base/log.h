/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RR_BASE_LOG_H
#define RR_BASE_LOG_H
#include "base/err.h"

enum rr_log_level { RR_LOG_ERROR = 3, RR_LOG_WARN = 4, RR_LOG_INFO = 6, RR_LOG_DEBUG = 7 };

/* One line to stderr: "<N>" prefix under systemd (JOURNAL_STREAM set), else time, level, module,
 * text. Control characters in the text are shown as \xNN. Any thread; lines never mix. */
void rr_log(enum rr_log_level level, const char *module, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Logs a handled fault once: "module: text [where]". */
void rr_log_fault(enum rr_log_level level, const char *module, const struct rr_fault *fault);
/* Lines above this level are dropped; default RR_LOG_INFO. */
void rr_log_set_level(enum rr_log_level level);
#endif

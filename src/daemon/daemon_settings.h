/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files that read settings share. */
#ifndef RR_DAEMON_SETTINGS_H
#define RR_DAEMON_SETTINGS_H
#include "base/base.h"

/* Copies the text of `key` into out (its NUL included), which keeps what it holds when the key is
 * absent. RR_ERR_FORMAT: no text, or longer than out. */
enum rr_err daemon_settings_text(const struct rr_config *config, const char *key, char *out,
                                 size_t out_bytes, struct rr_fault *fault) RR_MUST_USE;
#endif

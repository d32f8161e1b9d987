/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RR_BASE_CONFIG_H
#define RR_BASE_CONFIG_H
#include "base/bytes.h"

/* A TOML subset: tables [a.b], arrays of tables [[a]], bare and quoted keys, strings (basic,
 * literal), integers (decimal, 0x, underscores), floats, booleans, arrays of these, comments; CRLF
 * and BOM accepted. Not here: dates, inline tables, multi-line strings. Limits: 1 MiB text, depth
 * 8, 4096 keys. */
struct rr_config;
/* Parses borrowed text; `name` appears in errors as name:line:column. Duplicate keys are errors.
 * *out is owned by the caller (rr_config_free). RR_ERR_FORMAT with the position otherwise. */
enum rr_err rr_config_parse(struct rr_config **out, struct rr_slice text, const char *name,
                            struct rr_fault *fault) RR_MUST_USE;
void rr_config_free(struct rr_config *config);

/* Paths are dotted: "serve.port", "node.0.name" for arrays of tables. Each get marks the key as
 * known. Absent: *out untouched and RR_OK; wrong type or out of [min,max]: RR_ERR_FORMAT with its
 * position. */
enum rr_err rr_config_u64(const struct rr_config *config, const char *path, uint64_t *out,
                          uint64_t min, uint64_t max, struct rr_fault *fault) RR_MUST_USE;
enum rr_err rr_config_bool(const struct rr_config *config, const char *path, bool *out,
                           struct rr_fault *fault) RR_MUST_USE;
enum rr_err rr_config_double(const struct rr_config *config, const char *path, double *out,
                             struct rr_fault *fault) RR_MUST_USE;
/* *out is borrowed from config. */
enum rr_err rr_config_string(const struct rr_config *config, const char *path, const char **out,
                             struct rr_fault *fault) RR_MUST_USE;
/* Number of elements of an array (of values or tables), 0 when absent. */
size_t rr_config_count(const struct rr_config *config, const char *path);
/* Line of the value, from 1; 0 when absent: for sentences about values that do not go together. */
unsigned rr_config_line(const struct rr_config *config, const char *path);
/* RR_ERR_FORMAT naming the first key that no get asked for: a typing error never passes silently.
 */
enum rr_err rr_config_check_unknown(const struct rr_config *config,
                                    struct rr_fault *fault) RR_MUST_USE;
#endif

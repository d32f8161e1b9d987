/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Rows of a report: ours and the limit in turns, medians. Private to bench. */
#ifndef RR_BENCH_ROWS_H
#define RR_BENCH_ROWS_H
#include "base/base.h"

#define BENCH_RUNS 5
struct bench_row {
    const char *name, *variant, *unit, *limit_name; /* limit_name NULL: no limit in this row */
    double ours[BENCH_RUNS], limit[BENCH_RUNS];     /* per second */
    uint32_t runs;                                  /* filled pairs, 1..BENCH_RUNS */
    /* Where there is more to say; 0 or NULL: one thread of the cpu, nothing more. */
    uint32_t threads;
    const char *device;
    const char *what;        /* of the row: "huge pages, 1024 MiB" */
    double ref[BENCH_RUNS];  /* the law in the same turns; ref[0] 0: none */
    double peer[BENCH_RUNS]; /* another library in the same turns, likewise */
};
/* Seconds that work(ctx) takes; the monotonic clock. */
double bench_seconds(void (*work)(void *ctx), void *ctx);
/* Appends the whole report: question, machine, rows with median, min, max and ratio_limit (pair by
 * pair, median). */
void bench_report(struct rr_buf *out, bool json, const char *question, const struct bench_row *rows,
                  size_t count);
#endif

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "bench/bench_rows.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

double bench_seconds(void (*work)(void *ctx), void *ctx)
{
    uint64_t from_us = rr_monotonic_us(rr_clock_system());
    work(ctx);
    uint64_t took_us = rr_monotonic_us(rr_clock_system()) - from_us;
    return (double)(took_us > 0 ? took_us : 1) / 1e6;
}

static int compare(const void *left, const void *right)
{
    double a, b;
    memcpy(&a, left, sizeof a);
    memcpy(&b, right, sizeof b);
    return (a > b) - (a < b);
}

/* Median, least, greatest. */
static void spread(double out[3], const double *values, uint32_t count)
{
    double sorted[BENCH_RUNS];
    memcpy(sorted, values, count * sizeof *sorted);
    qsort(sorted, count, sizeof *sorted, compare);
    out[0] = count % 2 == 1 ? sorted[count / 2] : (sorted[count / 2 - 1] + sorted[count / 2]) / 2;
    out[1] = sorted[0];
    out[2] = sorted[count - 1];
}

/* "model name" of /proc/cpuinfo, with what JSON would have to escape left out. */
static void machine(char *out, size_t bytes)
{
    snprintf(out, bytes, "unknown");
    FILE *file = fopen("/proc/cpuinfo", "re");
    char line[512];
    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        const char *colon = strchr(line, ':');
        if (strncmp(line, "model name", 10) == 0 && colon != NULL) {
            size_t at = 0;
            for (const char *p = colon + 1; *p != '\0' && at + 1 < bytes; p++) {
                if (*p >= ' ' && *p != '"' && *p != '\\' && !(at == 0 && *p == ' ')) {
                    out[at++] = *p;
                }
            }
            out[at] = '\0';
            break;
        }
    }
    if (file != NULL) {
        fclose(file);
    }
}

/* Median of ours over another's, pair by pair, with least and greatest; 0 when there is none. */
static void ratio_to(double out[3], const struct bench_row *row, const double *other)
{
    double ratios[BENCH_RUNS];
    for (uint32_t i = 0; i < row->runs; i++) {
        ratios[i] = other[i] > 0 ? row->ours[i] / other[i] : 0;
    }
    spread(out, ratios, row->runs);
}

static void write_text(struct rr_buf *out, const struct bench_row *row, double ratio[3][3],
                       const double ours[3], const double limit[3])
{
    rr_buf_format(out, "  %-22s %-6s %14.4g %-10s", row->name, row->variant, ours[0], row->unit);
    if (row->threads > 1) {
        rr_buf_format(out, "  %u threads", (unsigned)row->threads);
    }
    if (row->limit_name != NULL) {
        rr_buf_format(out, "  %.3f of %s (%.4g; %.3f..%.3f)", ratio[0][0], row->limit_name,
                      limit[0], ratio[0][1], ratio[0][2]);
    }
    if (ratio[1][0] > 0) {
        rr_buf_format(out, "  %.2fx the law", ratio[1][0]);
    }
    if (ratio[2][0] > 0) {
        rr_buf_format(out, "  %.2fx the peer", ratio[2][0]);
    }
    if (row->what != NULL) {
        rr_buf_format(out, "  %s", row->what);
    }
    rr_buf_format(out, "\n");
}

static void write_row(struct rr_buf *out, bool json, const struct bench_row *row, bool first)
{
    double ours[3], limit[3] = {0}, ratio[3][3] = {{0}};
    spread(ours, row->ours, row->runs);
    if (row->limit_name != NULL) {
        spread(limit, row->limit, row->runs);
        ratio_to(ratio[0], row, row->limit);
    }
    ratio_to(ratio[1], row, row->ref);
    ratio_to(ratio[2], row, row->peer);
    if (!json) {
        write_text(out, row, ratio, ours, limit);
        return;
    }
    rr_buf_format(out,
                  "%s{\"name\":\"%s\",\"variant\":\"%s\",\"device\":\"%s\",\"threads\":%u,\"unit\":"
                  "\"%s\",\"runs\":%u,"
                  "\"per_s\":%.6g,\"min\":%.6g,\"max\":%.6g",
                  first ? "" : ",", row->name, row->variant,
                  row->device != NULL ? row->device : "cpu",
                  (unsigned)(row->threads > 0 ? row->threads : 1), row->unit, (unsigned)row->runs,
                  ours[0], ours[1], ours[2]);
    if (row->limit_name != NULL) {
        rr_buf_format(out,
                      ",\"limit\":\"%s\",\"limit_per_s\":%.6g,\"ratio_limit\":%.4f,\"ratio_min\":%."
                      "4f,\"ratio_max\":%.4f",
                      row->limit_name, limit[0], ratio[0][0], ratio[0][1], ratio[0][2]);
    }
    if (ratio[1][0] > 0) {
        rr_buf_format(out, ",\"ratio_ref\":%.3f", ratio[1][0]);
    }
    if (ratio[2][0] > 0) {
        rr_buf_format(out, ",\"ratio_peer\":%.3f", ratio[2][0]);
    }
    if (row->what != NULL) {
        rr_buf_format(out, ",\"what\":\"%s\"", row->what);
    }
    rr_buf_format(out, "}");
}

void bench_report(struct rr_buf *out, bool json, const char *question, const struct bench_row *rows,
                  size_t count)
{
    char cpu[128];
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    machine(cpu, sizeof cpu);
    if (json) {
        rr_buf_format(
            out, "{\"question\":\"%s\",\"machine\":\"%s, %ld cores\",\"version\":\"%s\",\"rows\":[",
            question, cpu, cores, RR_VERSION);
    } else {
        rr_buf_format(out, "%s\n%s, %ld cores; ours and the limit in turns, medians\n", question,
                      cpu, cores);
    }
    for (size_t i = 0; i < count; i++) {
        write_row(out, json, &rows[i], i == 0);
    }
    if (json) {
        rr_buf_format(out, "]}");
    }
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Question: what does a ladder cost beside ffmpeg, beside the bare work, and what do independent
 * GOPs, spot checks and the sandbox cost?
 * Method: H.264, veryfast, CRF 23, closed GOPs of 2 s, AAC 128 kb/s on both sides; ours, one ffmpeg
 * process for all rungs, one process for each rung, a single rendition, and the same libav calls in
 * one process on each core (reelrig-floor) take turns; wall time, and CPU of all processes.
 * BD-rates: the first 8 s, four CRFs each at the second rung, PSNR and SSIM by ffmpeg's filters
 * against the bicubically scaled source. What would make it wrong: other encoder settings; sources
 * in another cache state; a machine that others load, for wall times: CPU ratios stand that better.
 */
#include "bench/bench_transcode.h"
#include "bench/bench.h"
#include "dispatch/dispatch.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define RUNS_MAX 5
#define PRESET   "veryfast"
#define CRF      23
/* The simulated film: this long, of the clip's own tasks over and over. */
#define FILM_S  600
#define WORKERS 16

struct runs {
    struct bench_cost ladder[RUNS_MAX], one[RUNS_MAX], many[RUNS_MAX], single[RUNS_MAX],
        single_peer[RUNS_MAX], mute[RUNS_MAX];
    double floor_cpu[RUNS_MAX];
    struct bench_floor floor; /* of the last run */
    unsigned count;
    double price[2][2]; /* veryfast, medium; by PSNR, by SSIM */
    double spot_even, spot_ladder, spot_clip;
    uint32_t spot_leaves;
    struct bench_quality quality, quality_peer;
};

static int by_value(const void *a, const void *b)
{
    double left = *(const double *)a, right = *(const double *)b;
    return (left > right) - (left < right);
}

struct spread {
    double median, min, max;
};

static struct spread spread_of(const double *values, unsigned count)
{
    double sorted[RUNS_MAX];
    memcpy(sorted, values, count * sizeof *sorted);
    qsort(sorted, count, sizeof *sorted, by_value);
    return (struct spread){.median = sorted[count / 2], .min = sorted[0], .max = sorted[count - 1]};
}

/* ---- measuring ---------------------------------------------------------------------------------
 */

/* A bench takes minutes: what it is at, for people. */
static void show(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void show(const char *format, ...)
{
    va_list args;
    if (isatty(STDERR_FILENO) == 1) {
        va_start(args, format);
        fputs("bench: ", stderr);
        vfprintf(stderr, format, args);
        fputc('\n', stderr);
        va_end(args);
    }
}

static enum rr_err turn(struct runs *runs, const struct bench_clip *clip, struct rr_fault *fault)
{
    unsigned i = runs->count;
    const uint16_t *single = &clip->rungs[clip->rung_count > 1 ? 1 : 0];
    enum rr_err err = bench_ours(&runs->ladder[i], clip, clip->path, clip->rungs, clip->rung_count,
                                 PRESET, CRF, fault);
    err = err != RR_OK ? err
                       : bench_ffmpeg(&runs->one[i], clip, clip->rungs, clip->rung_count, PRESET,
                                      CRF, false, fault);
    err = err != RR_OK ? err
                       : bench_ffmpeg(&runs->many[i], clip, clip->rungs, clip->rung_count, PRESET,
                                      CRF, true, fault);
    err = err != RR_OK
              ? err
              : bench_ours(&runs->single[i], clip, clip->path, single, 1, PRESET, CRF, fault);
    err = err != RR_OK
              ? err
              : bench_ffmpeg(&runs->single_peer[i], clip, single, 1, PRESET, CRF, false, fault);
    err = err != RR_OK ? err
                       : bench_ours(&runs->mute[i], clip, clip->mute, clip->rungs, clip->rung_count,
                                    PRESET, CRF, fault);
    err = err != RR_OK ? err : bench_floor_run(&runs->floor, clip, PRESET, CRF, fault);
    runs->floor_cpu[i] = runs->floor.cpu_s;
    runs->count += err == RR_OK ? 1 : 0;
    return err;
}

/* Quality of the same rung on both sides of the last turn. */
static enum rr_err judge(struct runs *runs, const struct bench_clip *clip, struct rr_fault *fault)
{
    char ours[160], peer[128];
    struct bench_cost cost;
    unsigned rung = clip->rung_count > 1 ? 1 : 0;
    snprintf(ours, sizeof ours, "%s/ours/%up/index.m3u8", clip->folder, clip->rungs[rung]);
    snprintf(peer, sizeof peer, "%s/peer%u.mp4", clip->folder, rung);
    enum rr_err err =
        bench_ffmpeg(&cost, clip, clip->rungs, clip->rung_count, PRESET, CRF, false, fault);
    err = err != RR_OK
              ? err
              : bench_quality_of(&runs->quality, clip, ours, clip->mute, clip->rungs[rung], fault);
    return err != RR_OK ? err
                        : bench_quality_of(&runs->quality_peer, clip, peer, clip->mute,
                                           clip->rungs[rung], fault);
}

static enum rr_err measure(struct runs *runs, const struct bench_clip *clip, unsigned turns,
                           struct rr_fault *fault)
{
    uint16_t rung = clip->rungs[clip->rung_count > 1 ? 1 : 0];
    enum rr_err err = RR_OK;
    for (unsigned i = 0; i < turns && err == RR_OK; i++) {
        show("turn %u of %u: ours, ffmpeg, the bare calls", i + 1, turns);
        err = turn(runs, clip, fault);
    }
    show("qualities and BD-rates");
    err = err != RR_OK ? err : judge(runs, clip, fault);
    err = err != RR_OK
              ? err
              : bench_gop_price(&runs->price[0][0], &runs->price[0][1], clip, rung, PRESET, fault);
    err = err != RR_OK ? err
                       : bench_gop_price(&runs->price[1][0], &runs->price[1][1], clip, rung,
                                         "medium", fault);
    show("spot checks");
    err = err != RR_OK
              ? err
              : bench_spot_check(&runs->spot_even, &runs->spot_leaves, clip, clip->even, 1, fault);
    err = err != RR_OK ? err
                       : bench_spot_check(&runs->spot_ladder, &runs->spot_leaves, clip, clip->even,
                                          clip->rung_count, fault);
    return err != RR_OK
               ? err
               : bench_spot_check(&runs->spot_clip, &runs->spot_leaves, clip, clip->mute, 1, fault);
}

/* ---- the report --------------------------------------------------------------------------------
 */

struct report {
    struct rr_buf *out;
    bool json, rows;
};

static void row(struct report *report, const char *name, const struct bench_cost *ours,
                const double *peer_wall, const double *peer_cpu, unsigned count, double bd_rate,
                const char *what)
{
    double wall[RUNS_MAX], cpu[RUNS_MAX], seconds[RUNS_MAX], peer[RUNS_MAX];
    for (unsigned i = 0; i < count; i++) {
        wall[i] = ours[i].wall_s / peer_wall[i];
        cpu[i] = ours[i].cpu_s / peer_cpu[i];
        seconds[i] = ours[i].wall_s;
        peer[i] = peer_wall[i];
    }
    struct spread w = spread_of(wall, count), c = spread_of(cpu, count);
    struct spread s = spread_of(seconds, count), p = spread_of(peer, count);
    double fps = (double)ours[0].frames / s.median;
    char bd[32] = "null"; /* of rows that compare no qualities */
    if (!isnan(bd_rate)) {
        snprintf(bd, sizeof bd, "%.3f", bd_rate);
    }
    if (report->json) {
        rr_buf_format(report->out,
                      "%s{\"name\":\"%s\",\"runs\":%u,\"ratio_wall\":%.4f,\"ratio_wall_min\":%.4f,"
                      "\"ratio_wall_max\":%.4f,\"ratio_cpu\":%.4f,\"ratio_cpu_min\":%.4f,"
                      "\"ratio_cpu_max\":%.4f,\"bd_rate\":%s,\"fps\":%.2f,\"wall_s\":%.3f,"
                      "\"peer_wall_s\":%.3f,\"cpu_s\":%.3f,\"bytes\":%llu,\"what\":\"%s\"}",
                      report->rows ? "," : "", name, count, w.median, w.min, w.max, c.median, c.min,
                      c.max, bd, fps, s.median, p.median, ours[0].cpu_s,
                      (unsigned long long)ours[0].bytes, what);
    } else {
        rr_buf_format(report->out,
                      "  %-24s wall %.3f (%.3f to %.3f), CPU %.3f (%.3f to %.3f), BD-rate %s %%, "
                      "%.1f fps\n  %24s %s\n",
                      name, w.median, w.min, w.max, c.median, c.min, c.max, bd, fps, "", what);
    }
    report->rows = true;
}

static void single(struct report *report, const char *name, const char *unit, double value,
                   const char *what)
{
    if (report->json) {
        rr_buf_format(report->out, "%s{\"name\":\"%s\",\"%s\":%.4f,\"what\":\"%s\"}",
                      report->rows ? "," : "", name, unit, value, what);
    } else {
        rr_buf_format(report->out, "  %-24s %s %.3f\n  %24s %s\n", name, unit, value, "", what);
    }
    report->rows = true;
}

static void costs(const struct bench_cost *from, unsigned count, double *wall, double *cpu)
{
    for (unsigned i = 0; i < count; i++) {
        wall[i] = from[i].wall_s;
        cpu[i] = from[i].cpu_s;
    }
}

/* The encodes of a film on many workers, by the times that were measured; the same for whole shards
 * of one GOP, each with its part of the decode, as rigs of a rack take them. */
static void scaling(double *tasks, double *shards, const struct bench_floor *floor,
                    unsigned seconds)
{
    unsigned times = (FILM_S + seconds - 1) / seconds;
    double *all = rr_alloc_array(floor->task_count * times, sizeof *all);
    double *whole = rr_alloc_array(floor->task_count * times, sizeof *whole);
    size_t count = 0, gops = 0, clip_gops = 0;
    for (size_t i = 0; i < floor->task_count; i++) {
        clip_gops += i == 0 || floor->tasks[i].gop != floor->tasks[i - 1].gop ? 1 : 0;
    }
    for (unsigned t = 0; t < times; t++) {
        for (size_t i = 0; i < floor->task_count; i++) {
            if (i == 0 || floor->tasks[i].gop != floor->tasks[i - 1].gop) {
                whole[gops++] = floor->source_s / (double)clip_gops;
            }
            whole[gops - 1] += floor->tasks[i].cpu_s;
            all[count++] = floor->tasks[i].cpu_s;
        }
    }
    *tasks = rr_dispatch_efficiency(all, count, WORKERS, 0);
    *shards = rr_dispatch_efficiency(whole, gops, WORKERS, 0);
    rr_free(all);
    rr_free(whole);
}

static void report_rows(struct report *report, const struct runs *runs, unsigned seconds)
{
    double tasks, shards;
    double wall[RUNS_MAX], cpu[RUNS_MAX], limit[RUNS_MAX];
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    double bd = runs->price[0][0];
    costs(runs->one, runs->count, wall, cpu);
    row(report, "ladder_vs_one_ffmpeg", runs->ladder, wall, cpu, runs->count, bd,
        "all rungs and the sound, over one ffmpeg process; BD-rate: our second rung over one "
        "continuous encode of it by ffmpeg on one thread, first 8 s");
    costs(runs->many, runs->count, wall, cpu);
    row(report, "ladder_vs_four_ffmpeg", runs->ladder, wall, cpu, runs->count, bd,
        "over a process for each rung, all at once");
    costs(runs->single_peer, runs->count, wall, cpu);
    row(report, "one_rendition_vs_ffmpeg", runs->single, wall, cpu, runs->count, bd,
        "one rung and the sound, over ffmpeg with its own threads");
    for (unsigned i = 0; i < runs->count; i++) {
        limit[i] = runs->floor_cpu[i] / (double)cores;
    }
    row(report, "limit", runs->ladder, limit, runs->floor_cpu, runs->count, (double)NAN,
        "over the CPU of the bare libav calls, spread over all cores");
    row(report, "sandbox_price", runs->mute, limit, runs->floor_cpu, runs->count, (double)NAN,
        "without sound: ratio_cpu is what sandbox, copies, journal and containers cost");
    single(report, "independent_gop_price", "bd_rate", runs->price[1][0],
           "a fresh encoder for each GOP over one encoder, medium, percent by PSNR");
    single(report, "independent_gop_price_ssim", "bd_rate", runs->price[1][1], "the same by SSIM");
    single(report, "spot_check_price", "ratio", runs->spot_even,
           "a GOP made again over its part of the job; one rung, a keyframe every 2 s");
    single(report, "spot_check_price_ladder", "ratio", runs->spot_ladder,
           "the same, mean over all leaves of the ladder, whose decode is not shared then");
    single(report, "spot_check_price_clip", "ratio", runs->spot_clip,
           "one rung, with the clip's own keyframes, which decide the lead-in");
    scaling(&tasks, &shards, &runs->floor, seconds);
    single(report, "scaling_16", "ratio", tasks,
           "simulated: ideal over wall of the measured encodes of a film of 10 min, 16 workers");
    single(report, "scaling_16_shards", "ratio", shards,
           "simulated: the same for shards of one GOP, decode and all rungs, on 16 rigs");
    single(report, "psnr_over_ffmpeg", "db", runs->quality.psnr_db - runs->quality_peer.psnr_db,
           "second rung at equal CRF; the BD-rate is what compares");
}

static void write_report(struct rr_buf *out, bool json, const char *name,
                         const struct bench_clip *clip, const struct runs *runs, unsigned seconds)
{
    struct report report = {.out = out, .json = json};
    char ladder[64];
    int used = 0;
    for (unsigned i = 0; i < clip->rung_count; i++) {
        used += snprintf(ladder + used, sizeof ladder - (size_t)used, "%s%u", i > 0 ? "," : "",
                         clip->rungs[i]);
    }
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    if (json) {
        rr_buf_format(out,
                      "{\"question\":\"a ladder beside ffmpeg and beside the bare work\","
                      "\"clip\":\"%s\",\"seconds\":%u,\"ladder\":\"%s\",\"preset\":\"" PRESET
                      "\",\"crf\":%d,\"cores\":%ld,\"version\":\"%s\",\"psnr\":%.3f,"
                      "\"peer_psnr\":%.3f,\"ssim\":%.5f,\"peer_ssim\":%.5f,\"source_s\":%.3f,"
                      "\"rows\":[",
                      name, seconds, ladder, CRF, cores, RR_VERSION, runs->quality.psnr_db,
                      runs->quality_peer.psnr_db, runs->quality.ssim, runs->quality_peer.ssim,
                      runs->floor.source_s);
    } else {
        rr_buf_format(out,
                      "%s of %s, %u s, H.264 " PRESET " CRF %d, %ld cores; second rung %.2f dB, "
                      "ffmpeg's %.2f dB\n",
                      ladder, name, seconds, CRF, cores, runs->quality.psnr_db,
                      runs->quality_peer.psnr_db);
    }
    report_rows(&report, runs, seconds);
    if (json) {
        rr_buf_format(out, "]}");
    }
}

enum rr_err rr_bench_transcode(struct rr_buf *out, bool json, const char *clip_path,
                               unsigned seconds, unsigned turns)
{
    struct bench_clip clip = {0};
    struct runs *runs = rr_alloc(sizeof *runs);
    struct rr_fault fault = {0};
    const char *tmp = getenv("TMPDIR");
    RR_CHECK(seconds > 0 && turns > 0 && turns <= RUNS_MAX);
    snprintf(clip.folder, sizeof clip.folder, "%.40s/rr-bench-XXXXXX", tmp != NULL ? tmp : "/tmp");
    if (mkdtemp(clip.folder) == NULL) {
        rr_log(RR_LOG_ERROR, "bench", "cannot make a folder below %s", tmp != NULL ? tmp : "/tmp");
        rr_free(runs);
        return RR_ERR_IO;
    }
    enum rr_err err = bench_clip_make(&clip, clip_path, seconds, &fault);
    err = err != RR_OK ? err : measure(runs, &clip, turns, &fault);
    if (err == RR_OK) {
        const char *slash = clip_path != NULL ? strrchr(clip_path, '/') : NULL;
        const char *name = clip_path == NULL ? "drawn" : slash != NULL ? slash + 1 : clip_path;
        write_report(out, json, name, &clip, runs, seconds);
    } else {
        rr_log_fault(RR_LOG_ERROR, "bench", &fault);
    }
    struct rr_fault ignored;
    if (rr_remove_tree(clip.folder, &ignored) != RR_OK) {
        rr_log_fault(RR_LOG_WARN, "bench", &ignored);
    }
    rr_free(runs->floor.tasks);
    rr_free(runs);
    return err;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What came out beside what went in, by a referee that is not ours: ffmpeg's psnr and ssim. */
#include "bench/bench_transcode.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* The number behind `name` in text that holds `line` before it; NAN when it is not there. */
static double number_after(const char *text, const char *line, const char *name)
{
    const char *at = strstr(text, line);
    at = at != NULL ? strstr(at, name) : NULL;
    return at != NULL ? strtod(at + strlen(name), NULL) : (double)NAN;
}

enum rr_err bench_quality_of(struct bench_quality *out, const struct bench_clip *clip,
                             const char *path, const char *source, uint16_t rung,
                             struct rr_fault *fault)
{
    char filter[512], told[128];
    struct rr_buf text = {0};
    snprintf(told, sizeof told, "%s/quality.txt", clip->folder);
    snprintf(filter, sizeof filter,
             "[1:v]scale=-2:%u:flags=bicubic+accurate_rnd+bitexact,settb=1/1000,setpts=N*10,"
             "split[c][d];[0:v]settb=1/1000,setpts=N*10,split[a][b];[a][c]psnr[x];[b][d]ssim[y]",
             rung);
    const char *argv[] = {
        "ffmpeg", "-nostats", "-v",  "info", "-i",   path, "-i",   source, "-filter_complex",
        filter,   "-map",     "[x]", "-f",   "null", "-",  "-map", "[y]",  "-f",
        "null",   "-",        NULL};
    enum rr_err err = bench_spawn(argv, NULL, told, fault);
    err = err != RR_OK ? err : rr_file_read(&text, told, 1 << 20, fault);
    if (err == RR_OK) {
        rr_write_u8(&text, 0);
        out->psnr_db = number_after((const char *)text.ptr, "] PSNR ", "average:");
        out->ssim = number_after((const char *)text.ptr, "] SSIM ", "All:");
        if (!isfinite(out->psnr_db) || !isfinite(out->ssim)) {
            err = rr_fail(fault, RR_ERR_STATE, "ffmpeg told no PSNR and SSIM of %.100s", path);
        }
    }
    rr_buf_clear(&text);
    return err;
}

enum rr_err bench_gop_price(double *psnr_percent, double *ssim_percent,
                            const struct bench_clip *clip, uint16_t rung, const char *preset,
                            struct rr_fault *fault)
{
    static const uint16_t crfs[BENCH_BD_POINTS] = {20, 24, 28, 32};
    struct bench_bd_point ours[2][BENCH_BD_POINTS], peer[2][BENCH_BD_POINTS];
    char made[160], raw[128];
    enum rr_err err = RR_OK;
    snprintf(made, sizeof made, "%s/ours/%up/index.m3u8", clip->folder, rung);
    snprintf(raw, sizeof raw, "%s/continuous.h264", clip->folder);
    for (int i = 0; i < BENCH_BD_POINTS && err == RR_OK; i++) {
        struct bench_cost cost = {0};
        struct bench_quality quality[2] = {0};
        struct stat facts = {0};
        err = bench_ours(&cost, clip, clip->brief, &rung, 1, preset, crfs[i], fault);
        err = err != RR_OK ? err
                           : bench_quality_of(&quality[0], clip, made, clip->brief, rung, fault);
        err = err != RR_OK ? err : bench_continuous(clip, rung, preset, crfs[i], raw, fault);
        err =
            err != RR_OK ? err : bench_quality_of(&quality[1], clip, raw, clip->brief, rung, fault);
        if (err == RR_OK && stat(raw, &facts) != 0) {
            err = rr_fail_errno(fault, "%.100s", raw);
        }
        /* SSIM in decibels, so that its curve is one for a cubic. */
        ours[0][i] = (struct bench_bd_point){(double)cost.bytes, quality[0].psnr_db};
        ours[1][i] = (struct bench_bd_point){(double)cost.bytes, -10 * log10(1 - quality[0].ssim)};
        peer[0][i] = (struct bench_bd_point){(double)facts.st_size, quality[1].psnr_db};
        peer[1][i] =
            (struct bench_bd_point){(double)facts.st_size, -10 * log10(1 - quality[1].ssim)};
    }
    err = err != RR_OK ? err : bench_bd_rate(psnr_percent, ours[0], peer[0], fault);
    return err != RR_OK ? err : bench_bd_rate(ssim_percent, ours[1], peer[1], fault);
}

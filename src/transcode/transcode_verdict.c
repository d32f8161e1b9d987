/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The conditions of class tolerant. Integers alone: two verifiers with the same pictures must not
 * differ. */
#include "transcode/transcode_verdict.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

__extension__ typedef unsigned __int128 wide;

static const char *const plane_names[3] = {"Y", "Cb", "Cr"};

void transcode_series_add(struct transcode_series *series, const struct rr_quality found[static 3],
                          unsigned depth)
{
    for (unsigned i = 0; i < 3; i++) {
        struct rr_transcode_judged *plane = &series->planes[i];
        const struct rr_quality *one = &found[i];
        int32_t ssim = rr_quality_ssim(one), tile = rr_quality_tile_min(one);
        uint64_t off = one->sum_a > one->sum_b ? one->sum_a - one->sum_b : one->sum_b - one->sum_a;
        uint32_t milli = (uint32_t)(off * 1000 / (one->samples << (depth - 8)));
        bool first = series->frames == 0;
        plane->sse += one->sse;
        plane->samples += one->samples;
        plane->detail += one->laplace_b;
        plane->ssim_worst = first || ssim < plane->ssim_worst ? ssim : plane->ssim_worst;
        plane->tile_worst = first || tile < plane->tile_worst ? tile : plane->tile_worst;
        plane->mean_off = milli > plane->mean_off ? milli : plane->mean_off;
        series->ssim_sum[i] += ssim;
    }
    series->frames++;
}

void transcode_series_end(struct transcode_series *series)
{
    for (unsigned i = 0; i < 3 && series->frames > 0; i++) {
        series->planes[i].ssim = (int32_t)(series->ssim_sum[i] / series->frames);
    }
}

void transcode_verdict_refuse(struct rr_transcode_verdict *verdict, enum rr_pot_refusal refusal,
                              unsigned plane, const char *format, ...)
{
    verdict->failed |= 1u << refusal;
    if (verdict->refusal != RR_POT_ACCEPTED) {
        return;
    }
    va_list args;
    va_start(args, format);
    vsnprintf(verdict->sentence, sizeof verdict->sentence, format, args);
    va_end(args);
    verdict->refusal = refusal;
    verdict->plane = plane;
}

static void judge_bytes(struct rr_transcode_verdict *verdict)
{
    wide have = (wide)verdict->candidate_bytes * 100;
    if (have > (wide)verdict->output_bytes * TRANSCODE_BYTES_HIGH) {
        transcode_verdict_refuse(verdict, RR_POT_CAP, 0,
                                 "%llu bytes; the job's settings make %llu, and %u %% are allowed",
                                 (unsigned long long)verdict->candidate_bytes,
                                 (unsigned long long)verdict->output_bytes, TRANSCODE_BYTES_HIGH);
    }
    if (have < (wide)verdict->output_bytes * TRANSCODE_BYTES_LOW) {
        transcode_verdict_refuse(verdict, RR_POT_STARVED, 0,
                                 "%llu bytes; the job's settings make %llu, and %u %% are due",
                                 (unsigned long long)verdict->candidate_bytes,
                                 (unsigned long long)verdict->output_bytes, TRANSCODE_BYTES_LOW);
    }
}

static double fraction(int32_t ssim)
{
    return ssim / (double)RR_QUALITY_ONE;
}

static void judge_ssim(struct rr_transcode_verdict *verdict, unsigned i, int32_t mean_margin)
{
    const struct rr_transcode_judged *c = &verdict->candidate[i], *r = &verdict->reference[i];
    const struct {
        enum rr_pot_refusal refusal;
        const char *what;
        int32_t have, reference, margin;
    } rows[] = {
        {RR_POT_SSIM, "mean SSIM", c->ssim, r->ssim, mean_margin},
        {RR_POT_WORST, "SSIM of the worst picture", c->ssim_worst, r->ssim_worst, TRANSCODE_WORST},
        {RR_POT_TILE, "SSIM of the worst tile", c->tile_worst, r->tile_worst, TRANSCODE_TILE},
    };
    for (size_t k = 0; k < RR_COUNT(rows); k++) {
        if ((int64_t)rows[k].have < (int64_t)rows[k].reference - rows[k].margin) {
            transcode_verdict_refuse(verdict, rows[k].refusal, i,
                                     "%s: %s %.4f; the reference of as many bytes has %.4f, and "
                                     "%.3f less would do",
                                     plane_names[i], rows[k].what, fraction(rows[k].have),
                                     fraction(rows[k].reference), fraction(rows[k].margin));
        }
    }
}

static void judge_psnr(struct rr_transcode_verdict *verdict, unsigned i, bool device,
                       unsigned depth)
{
    const struct rr_transcode_judged *c = &verdict->candidate[i], *r = &verdict->reference[i];
    uint32_t most = device  ? TRANSCODE_PSNR_DEVICE
                    : i > 0 ? TRANSCODE_PSNR_BUILD_CHROMA
                            : TRANSCODE_PSNR_BUILD;
    if ((wide)c->sse * 1000000 > (wide)r->sse * most) {
        transcode_verdict_refuse(
            verdict, RR_POT_PSNR, i,
            "%s: PSNR %.2f dB; the reference of as many bytes has %.2f, and %.1f less would do",
            plane_names[i], rr_quality_psnr_db(c->sse, c->samples, depth),
            rr_quality_psnr_db(r->sse, r->samples, depth),
            device  ? 1.5
            : i > 0 ? 1.0
                    : 0.5);
    }
}

static void judge_mean(struct rr_transcode_verdict *verdict, unsigned i)
{
    const struct rr_transcode_judged *c = &verdict->candidate[i], *r = &verdict->reference[i];
    uint32_t most = r->mean_off + TRANSCODE_MEAN_MORE_MILLI;
    most = most > TRANSCODE_MEAN_MILLI ? most : TRANSCODE_MEAN_MILLI;
    if (c->mean_off > most) {
        transcode_verdict_refuse(verdict, RR_POT_MEAN, i,
                                 "%s: the mean of a picture is %u.%03u off the source's; at most "
                                 "%u.%03u is allowed",
                                 plane_names[i], (unsigned)c->mean_off / 1000,
                                 (unsigned)c->mean_off % 1000, (unsigned)most / 1000,
                                 (unsigned)most % 1000);
    }
}

static void judge_detail(struct rr_transcode_verdict *verdict, unsigned i, unsigned depth)
{
    const struct rr_transcode_judged *c = &verdict->candidate[i], *r = &verdict->reference[i];
    wide have = (wide)c->detail * 1000;
    uint64_t flat = r->samples * TRANSCODE_DETAIL_FLAT << 2 * (depth - 8);
    if (c->detail < flat && r->detail < flat) {
        return;
    }
    if (have < (wide)r->detail * TRANSCODE_DETAIL_LOW ||
        have > (wide)r->detail * TRANSCODE_DETAIL_HIGH) {
        transcode_verdict_refuse(
            verdict, RR_POT_DETAIL, i,
            "%s: %.3f of the reference's fine detail; %.2f to %.2f are allowed", plane_names[i],
            r->detail > 0 ? (double)c->detail / (double)r->detail : 0.0,
            TRANSCODE_DETAIL_LOW / 1000.0, TRANSCODE_DETAIL_HIGH / 1000.0);
    }
}

void transcode_verdict_judge(struct rr_transcode_verdict *verdict, enum rr_exactness exactness,
                             unsigned depth)
{
    bool device = exactness == RR_TOLERANT_DEVICE;
    judge_bytes(verdict);
    for (unsigned i = 0; i < 3; i++) {
        judge_psnr(verdict, i, device, depth);
        judge_ssim(verdict, i, device ? TRANSCODE_SSIM_DEVICE : TRANSCODE_SSIM_BUILD);
        judge_mean(verdict, i);
        judge_detail(verdict, i, depth);
    }
}

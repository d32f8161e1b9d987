/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is to be made: options, rungs, and the plan that decides every byte. */
#include "transcode/transcode_private.h"
#include <stdio.h>
#include <string.h>

static const uint16_t default_rungs[] = {720, 480, 360};

/* Keeps rungs[] falling; false when it is there already or there is no room. */
static bool insert_rung(struct rr_ladder *ladder, uint16_t rung)
{
    unsigned at = 0;
    while (at < ladder->rung_count && ladder->rungs[at] > rung) {
        at++;
    }
    if (ladder->rung_count == RR_RUNGS_MAX ||
        (at < ladder->rung_count && ladder->rungs[at] == rung)) {
        return false;
    }
    memmove(&ladder->rungs[at + 1], &ladder->rungs[at],
            sizeof ladder->rungs[0] * (ladder->rung_count - at));
    ladder->rungs[at] = rung;
    ladder->rung_count++;
    return true;
}

enum rr_err rr_ladder_parse(struct rr_ladder *out, const char *text, struct rr_fault *fault)
{
    struct rr_ladder ladder = {0};
    const char *at = text;
    while (true) {
        uint32_t value = 0;
        const char *start = at;
        while (*at >= '0' && *at <= '9' && value <= RR_RUNG_MAX) {
            value = value * 10 + (uint32_t)(*at++ - '0');
        }
        if (at == start || value < RR_RUNG_MIN || value > RR_RUNG_MAX || (*at != 0 && *at != ',')) {
            return rr_fail(
                fault, RR_ERR_USAGE,
                "ladder \"%.64s\": expected short sides of %d to %d pixels, like 720,480,360", text,
                RR_RUNG_MIN, RR_RUNG_MAX);
        }
        if (!insert_rung(&ladder, (uint16_t)value)) {
            return rr_fail(fault, RR_ERR_USAGE,
                           "ladder \"%.64s\": at most %d rungs are possible, each once", text,
                           RR_RUNGS_MAX);
        }
        if (*at++ == 0) {
            *out = ladder;
            return RR_OK;
        }
    }
}

enum rr_err transcode_options_fit(struct rr_transcode_options *out,
                                  const struct rr_transcode_options *options,
                                  struct rr_fault *fault)
{
    struct rr_transcode_options fit = *options;
    struct rr_ladder sorted = {0};
    fit.gop_ms = fit.gop_ms != 0 ? fit.gop_ms : 2000;
    fit.audio_bps = fit.audio_bps != 0 ? fit.audio_bps : 128000;
    if (fit.gop_ms < 500 || fit.gop_ms > 10000) {
        return rr_fail(fault, RR_ERR_USAGE, "GOPs of %u ms: 500 to 10000 are possible",
                       (unsigned)fit.gop_ms);
    }
    if (fit.audio_bps < 16000 || fit.audio_bps > 512000 || fit.workers > 256) {
        return rr_fail(
            fault, RR_ERR_USAGE,
            "%u bit/s of sound, %u workers: 16000 to 512000, and at most 256 are possible",
            (unsigned)fit.audio_bps, fit.workers);
    }
    enum rr_err err = transcode_codec_fit(&fit, fault);
    if (err != RR_OK) {
        return err;
    }
    if (fit.ladder.rung_count > RR_RUNGS_MAX) {
        return rr_fail(fault, RR_ERR_USAGE, "%u rungs: at most %d are possible",
                       fit.ladder.rung_count, RR_RUNGS_MAX);
    }
    for (unsigned i = 0; i < fit.ladder.rung_count; i++) {
        uint16_t rung = fit.ladder.rungs[i];
        if (rung < RR_RUNG_MIN || rung > RR_RUNG_MAX || !insert_rung(&sorted, rung)) {
            return rr_fail(fault, RR_ERR_USAGE, "rung %u is twice there or not within %d to %d",
                           rung, RR_RUNG_MIN, RR_RUNG_MAX);
        }
    }
    for (size_t i = 0; fit.ladder.rung_count == 0 && i < RR_COUNT(default_rungs); i++) {
        (void)insert_rung(&sorted, default_rungs[i]);
    }
    fit.ladder = sorted;
    *out = fit;
    return RR_OK;
}

/* Nearest even number, at least 2: 4:2:0 has one chroma sample for two columns and rows. */
static uint32_t even(uint64_t num, uint64_t den)
{
    uint64_t half = (num + den) / (2 * den);
    return half == 0 ? 2 : (uint32_t)(2 * half);
}

static uint64_t gcd(uint64_t a, uint64_t b)
{
    while (b != 0) {
        uint64_t rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

/* num/den in lowest terms, both within 16 bits; halved until they fit, which only absurd shapes
 * need. */
static void fit_ratio(uint16_t *out_num, uint16_t *out_den, uint64_t num, uint64_t den)
{
    uint64_t common = gcd(num, den);
    num /= common;
    den /= common;
    while (num > UINT16_MAX || den > UINT16_MAX) {
        num = num > 1 ? num / 2 : 1;
        den = den > 1 ? den / 2 : 1;
    }
    *out_num = (uint16_t)num;
    *out_den = (uint16_t)den;
}

/* Square pixels where those sides meet the displayed shape dw:dh within 0.5 % (ours: less than a
 * column of an SD picture), else the exact aspect. */
static struct transcode_rung shape_rung(uint64_t dw, uint64_t dh, uint64_t width, uint64_t height)
{
    struct transcode_rung rung = {.sar_num = 1, .sar_den = 1};
    width = width > TRANSCODE_SIDE_MAX ? TRANSCODE_SIDE_MAX : width;
    height = height > TRANSCODE_SIDE_MAX ? TRANSCODE_SIDE_MAX : height;
    rung.width = (uint16_t)width;
    rung.height = (uint16_t)height;
    uint64_t have = width * dh, want = height * dw;
    uint64_t off = have > want ? have - want : want - have;
    if (off * 200 >= want) {
        fit_ratio(&rung.sar_num, &rung.sar_den, want, have);
    }
    return rung;
}

uint8_t transcode_rungs_fit(struct transcode_rung rungs[RR_RUNGS_MAX],
                            const struct rr_ladder *ladder, const struct rr_transcode_facts *facts)
{
    uint64_t sar_num = facts->sar_num, sar_den = facts->sar_den;
    uint64_t common = gcd(sar_num, sar_den);
    uint8_t count = 0;
    sar_num /= common;
    sar_den /= common;
    if (sar_num > 4096 ||
        sar_den > 4096) { /* no such pixels exist; the products below must not overflow */
        sar_num = sar_den = 1;
    }
    /* Displayed size in units of 1/sar_den pixel. */
    uint64_t dw = facts->width * sar_num, dh = facts->height * sar_den;
    if (facts->rotation % 180 != 0) {
        uint64_t swap = dw;
        dw = dh;
        dh = swap;
    }
    uint64_t small = dw < dh ? dw : dh;
    for (unsigned i = 0; i < ladder->rung_count; i++) {
        if ((uint64_t)ladder->rungs[i] * sar_den <= small) {
            uint64_t side = even(ladder->rungs[i], 1),
                     other = even(side * (dw < dh ? dh : dw), small);
            rungs[count++] = shape_rung(dw, dh, dw < dh ? side : other, dw < dh ? other : side);
        }
    }
    if (count == 0) {
        rungs[count++] = shape_rung(dw, dh, even(dw, sar_den), even(dh, sar_den));
    }
    return count;
}

static void fill_video(struct transcode_plan *plan, const struct transcode_facts *facts,
                       const struct rr_transcode_options *options)
{
    const struct rr_transcode_facts *shown = &facts->shown;
    plan->tb_num = facts->tb_num;
    plan->tb_den = facts->tb_den;
    plan->first_pts = plan->origin = facts->first_pts;
    plan->orientation = facts->orientation;
    plan->ten_bit = shown->bit_depth > 8;
    plan->full_range = shown->full_range;
    plan->primaries = shown->primaries;
    plan->transfer = shown->transfer;
    plan->matrix = shown->matrix;
    plan->location = facts->location;
    plan->hdr = facts->hdr;
    plan->fps_num = shown->fps_num;
    plan->fps_den = shown->fps_den;
    plan->rung_count = transcode_rungs_fit(plan->rungs, &options->ladder, shown);
}

enum rr_err transcode_plan_make(struct transcode_plan *out, const struct transcode_facts *facts,
                                const struct rr_transcode_options *options, struct rr_fault *fault)
{
    struct transcode_plan plan = {.video_stream = facts->video_stream,
                                  .audio_stream = facts->audio_stream,
                                  .gop_ms = options->gop_ms,
                                  .codec = (uint8_t)options->codec,
                                  .crf = options->crf,
                                  .audio_bps = options->audio_bps};
    snprintf(plan.preset, sizeof plan.preset, "%s", options->preset);
    if (facts->video_stream >= 0) {
        const struct rr_transcode_facts *shown = &facts->shown;
        if (shown->width == 0 || shown->height == 0 || shown->sar_num == 0 || shown->sar_den == 0 ||
            shown->fps_num == 0 || shown->fps_den == 0) {
            return rr_fail(fault, RR_ERR_FORMAT,
                           "the worker tells of pictures of %ux%u at %u/%u a second",
                           (unsigned)shown->width, (unsigned)shown->height,
                           (unsigned)shown->fps_num, (unsigned)shown->fps_den);
        }
        fill_video(&plan, facts, options);
        enum rr_err err = transcode_codec_shape(&plan, fault);
        if (err != RR_OK) {
            return err;
        }
    } else {
        plan.tb_num = facts->audio_tb_num;
        plan.tb_den = facts->audio_tb_den;
        plan.first_pts = plan.origin = facts->audio_first_pts;
    }
    if (facts->video_stream >= 0 && facts->audio_stream >= 0) {
        /* Time 0 is where the first of the two begins; more than 10 s apart is a broken time stamp,
         * then the picture. */
        int64_t sound =
            transcode_rescale(transcode_rescale(facts->audio_first_pts, facts->audio_tb_num, 1),
                              plan.tb_den, (int64_t)facts->audio_tb_den * plan.tb_num);
        int64_t reach = transcode_rescale(10, plan.tb_den, plan.tb_num);
        if (sound < plan.origin && sound > plan.origin - reach) {
            plan.origin = sound;
        }
    }
    /* The source's own ticks, so that no time is rounded; doubled to what players expect of a
     * timescale. */
    if (plan.tb_num > 1 << 16) {
        return rr_fail(fault, RR_ERR_UNSUPPORTED, "a time base of %d/%d s", plan.tb_num,
                       plan.tb_den);
    }
    plan.timescale = (uint32_t)plan.tb_den;
    plan.ticks = (uint32_t)plan.tb_num;
    while (plan.timescale < 10000) {
        plan.timescale *= 2;
        plan.ticks *= 2;
    }
    *out = plan;
    return RR_OK;
}

void transcode_rung_name(char out[static RR_NAME_MAX + 1], const struct transcode_plan *plan,
                         unsigned rung)
{
    if (rung == TRANSCODE_AUDIO_RUNG) {
        snprintf(out, RR_NAME_MAX + 1, "audio");
        return;
    }
    const struct transcode_rung *shape = &plan->rungs[rung];
    /* The side that the ladder named: the short one as displayed. */
    uint64_t wide = (uint64_t)shape->width * shape->sar_num,
             high = (uint64_t)shape->height * shape->sar_den;
    snprintf(out, RR_NAME_MAX + 1, "%up", wide < high ? shape->width : shape->height);
}

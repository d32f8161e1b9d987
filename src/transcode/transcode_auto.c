/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The ladder that a video asks for: a worker measures what it costs at three sizes, and rungs are
 * chosen so that each costs clearly less than the one above. Whole numbers only: the same video
 * gives the same ladder everywhere. */
#include "transcode/transcode_private.h"
#include <string.h>

#define PROBE_CRF  23   /* H.264, at the usual preset */
#define PROBE_SIDE 1080 /* larger sizes are inferred from it */
#define MEASURE_S  300
#define STEP_PERCENT                                                                               \
    62 /* of the rate of the rung above, at most (ours; Apple asks for 1.5 to 2                    \
          times from rung to rung) */
#define DETAIL_PERCENT                                                                             \
    8                    /* what a top rung must cost above the next, else it shows nothing more   \
                          */
#define ENOUGH_KBPS  150 /* below it no smaller rung is of use */
#define PEAK_PERCENT 200 /* of a rung's mean, its limit */

static const uint16_t sides[] = {2160, 1440, 1080, 720, 540, 480, 360, 240};

/* kbit/s of a rung as measured, for GOPs of that length. */
static uint64_t kbps_of(const struct transcode_plan *plan, const struct transcode_measured *made,
                        unsigned rung)
{
    uint64_t frames = (uint64_t)plan->fps_num * plan->gop_ms / 1000 / plan->fps_den;
    uint64_t pieces = made->pieces > 0 ? made->pieces : 1;
    uint64_t others = made->others > 0 ? made->others : 1;
    frames = frames < 1 ? 1 : frames;
    uint64_t bytes = made->rungs[rung].key_bytes / pieces +
                     made->rungs[rung].other_bytes * (frames - 1) / others;
    return bytes * 8 / plan->gop_ms;
}

struct point {
    uint64_t pixels, kbps;
};

/* Straight between the measured sizes, smallest first; below them in proportion to the pixels,
 * above them as the last two say. */
static uint64_t infer(const struct point *points, unsigned count, uint64_t pixels)
{
    unsigned i = 1;
    if (pixels <= points[0].pixels || count == 1) {
        return points[0].kbps * pixels / (points[0].pixels > 0 ? points[0].pixels : 1);
    }
    while (i + 1 < count && pixels > points[i].pixels) {
        i++;
    }
    const struct point *low = &points[i - 1], *high = &points[i];
    uint64_t rise = high->kbps > low->kbps ? high->kbps - low->kbps : 0;
    uint64_t span = high->pixels > low->pixels ? high->pixels - low->pixels : 1;
    return low->kbps + (pixels - low->pixels) * rise / span;
}

/* H.264's rate at the probe's quality as another codec's at another quality. */
static uint64_t adapt(uint64_t kbps, const struct rr_transcode_options *options)
{
    uint16_t usual = rr_codec_crf(options->codec), crf = options->crf;
    kbps = kbps * transcode_rate_percent((uint8_t)options->codec) / 100;
    for (; crf > usual; crf--) {
        kbps = kbps * 1000 / 1122;
    }
    for (; crf < usual; crf++) {
        kbps = kbps * 1122 / 1000;
    }
    return kbps;
}

/* Two figures, upwards: 1234 becomes 1300. */
static uint32_t round_kbps(uint64_t kbps)
{
    uint64_t unit = 1;
    while (kbps / unit >= 100) {
        unit *= 10;
    }
    kbps = (kbps + unit - 1) / unit * unit;
    return (uint32_t)(kbps < 100 ? 100 : kbps > RR_KBPS_MAX ? RR_KBPS_MAX : kbps);
}

/* Sides to choose from: the usual ones within the source, and the source's own where it is well
 * above them. */
static unsigned candidates(uint16_t out[RR_COUNT(sides) + 1], uint32_t small, uint16_t side_min)
{
    unsigned count = 0;
    uint32_t largest = 0;
    for (size_t i = 0; i < RR_COUNT(sides) && largest == 0; i++) {
        largest = sides[i] <= small ? sides[i] : 0;
    }
    small = small > RR_RUNG_MAX ? RR_RUNG_MAX : small;
    if (small * 100 >= largest * 115) {
        out[count++] = (uint16_t)small;
    }
    for (size_t i = 0; i < RR_COUNT(sides); i++) {
        if (sides[i] <= small && sides[i] >= side_min) {
            out[count++] = sides[i];
        }
    }
    return count;
}

void transcode_auto_choose(struct rr_ladder *out, const struct transcode_plan *probe,
                           const struct transcode_measured *made, uint32_t small,
                           const struct rr_transcode_options *options)
{
    struct point points[RR_RUNGS_MAX];
    uint16_t wanted[RR_COUNT(sides) + 1];
    uint64_t kbps[RR_COUNT(sides) + 1], above = 0;
    struct rr_ladder ladder = {0};
    unsigned count = candidates(wanted, small, rr_codec_side_min(options->codec));
    unsigned rungs = made->rung_count;
    for (unsigned i = 0; i < rungs; i++) {
        const struct transcode_rung *rung = &probe->rungs[rungs - 1 - i];
        points[i].pixels = (uint64_t)rung->width * rung->height;
        points[i].kbps = kbps_of(probe, made, rungs - 1 - i);
    }
    /* Pixels of a side, by the shape of the probe's largest. */
    uint64_t top = probe->rungs[0].width < probe->rungs[0].height ? probe->rungs[0].width
                                                                  : probe->rungs[0].height;
    for (unsigned i = 0; i < count; i++) {
        uint64_t pixels =
            points[rungs - 1].pixels * wanted[i] / top * wanted[i] / (top > 0 ? top : 1);
        kbps[i] = adapt(infer(points, rungs, pixels), options);
    }
    unsigned first = 0;
    while (first + 1 < count && kbps[first] * 100 < kbps[first + 1] * (100 + DETAIL_PERCENT)) {
        first++;
    }
    for (unsigned i = first; i < count && (above == 0 || above > ENOUGH_KBPS); i++) {
        if (above == 0 || kbps[i] * 100 <= above * STEP_PERCENT) {
            struct rr_rung_rate rate = {.max_kbps = round_kbps(kbps[i] * PEAK_PERCENT / 100)};
            transcode_ladder_insert(&ladder, wanted[i], &rate);
            above = kbps[i] > 0 ? kbps[i] : 1;
        }
    }
    if (ladder.rung_count == 0) { /* smaller than any rung */
        transcode_ladder_usual(&ladder);
    }
    *out = ladder;
}

/* The plan of the probe: H.264 at full, half and quarter side. */
static enum rr_err probe_plan(struct transcode_plan *out, uint32_t small,
                              const struct transcode_job *job, struct rr_fault *fault)
{
    struct rr_transcode_options options = job->options;
    uint32_t side = small > PROBE_SIDE ? PROBE_SIDE : small;
    options.codec = RR_CODEC_H264;
    options.preset = rr_codec_preset(RR_CODEC_H264);
    options.crf = PROBE_CRF;
    options.ladder = (struct rr_ladder){0};
    for (unsigned i = 0; i < 3; i++, side /= 2) {
        struct rr_rung_rate none = {0};
        if (side >= RR_RUNG_MIN) {
            transcode_ladder_insert(&options.ladder, (uint16_t)side, &none);
        }
    }
    return transcode_plan_make(out, &job->facts, &options, fault);
}

static enum rr_err ask_worker(struct transcode_measured *made, const struct transcode_plan *plan,
                              const struct transcode_job *job, struct rr_fault *fault)
{
    struct transcode_worker worker = {.socket = -1};
    struct rr_buf message = {0};
    struct transcode_measure *ask = rr_alloc(sizeof *ask);
    ask->plan = *plan;
    ask->duration_us = job->facts.shown.duration_us;
    enum rr_err err = transcode_worker_start(&worker, job->program, false, fault);
    if (err == RR_OK) {
        transcode_encode_message(&message, TRANSCODE_MEASURE, measure, ask);
        err = transcode_worker_ask(&worker, &message, &job->source_fd, 1, MEASURE_S, fault);
    }
    err =
        err != RR_OK ? err : transcode_worker_wait(&worker, TRANSCODE_MEASURED, job->cancel, fault);
    if (err == RR_OK &&
        (!transcode_decode_message(transcode_worker_body(&worker), measured, made) ||
         made->rung_count != plan->rung_count)) {
        err = rr_fail(fault, RR_ERR_DAMAGED, "the measuring worker does not follow its form");
    }
    if (err == RR_OK && made->pieces == 0) {
        err = rr_fail(fault, RR_ERR_DAMAGED,
                      "no piece of the video decodes, so that no ladder can be chosen; name the "
                      "rungs, as in --ladder 720,480");
    }
    transcode_worker_stop(&worker);
    rr_free(ask);
    return err == RR_ERR_UNREACHABLE || err == RR_ERR_TIMEOUT
               ? rr_fail(fault, RR_ERR_DAMAGED,
                         "the video cannot be measured: the worker died or hung; name the rungs, "
                         "as in --ladder 720,480")
               : err;
}

enum rr_err transcode_auto(struct transcode_job *job, struct rr_fault *fault)
{
    struct transcode_plan plan = {0};
    struct transcode_measured made = {0};
    struct rr_ladder *ladder = &job->options.ladder;
    if (!ladder->automatic) {
        return RR_OK;
    }
    if (job->facts.video_stream < 0) {
        ladder->automatic = false;
        return RR_OK;
    }
    uint32_t small = transcode_short_side(&job->facts.shown);
    enum rr_err err = probe_plan(&plan, small, job, fault);
    err = err != RR_OK ? err : ask_worker(&made, &plan, job, fault);
    if (err != RR_OK) {
        return err;
    }
    transcode_auto_choose(ladder, &plan, &made, small, &job->options);
    struct rr_buf text = {0};
    rr_ladder_text(&text, ladder);
    rr_log(RR_LOG_INFO, "transcode",
           "ladder auto: %.*s; H.264 at crf %d takes %llu kbit/s at %ux%u", (int)text.len,
           (const char *)text.ptr, PROBE_CRF, (unsigned long long)kbps_of(&plan, &made, 0),
           plan.rungs[0].width, plan.rungs[0].height);
    rr_buf_clear(&text);
    return RR_OK;
}

enum rr_err rr_transcode_choose(struct rr_ladder *out, int source_fd,
                                const struct rr_transcode_options *options,
                                const atomic_bool *cancel, struct rr_fault *fault)
{
    struct transcode_job *job = rr_alloc(sizeof *job);
    enum rr_err err = transcode_prepare(job, source_fd, options, cancel, fault);
    if (err == RR_OK) {
        *out = job->options.ladder;
    }
    transcode_job_clear(job);
    rr_free(job);
    return err;
}

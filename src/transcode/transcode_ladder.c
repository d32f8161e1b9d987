/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is to be made: options, rungs, and the plan that decides every byte. */
#include "transcode/transcode_private.h"
#include <stdio.h>
#include <string.h>

static const uint16_t default_rungs[] = {720, 480, 360};

/* Keeps rungs[] falling; false when it is there already or there is no room. */
bool transcode_ladder_insert(struct rr_ladder *ladder, uint16_t rung,
                             const struct rr_rung_rate *rate)
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
    memmove(&ladder->rates[at + 1], &ladder->rates[at],
            sizeof ladder->rates[0] * (ladder->rung_count - at));
    ladder->rungs[at] = rung;
    ladder->rates[at] = *rate;
    ladder->rung_count++;
    return true;
}

/* Digits off the front of *at; 0 where there are none or too many. */
static uint32_t take_number(const char **at)
{
    uint32_t value = 0;
    while (**at >= '0' && **at <= '9' && value <= RR_KBPS_MAX) {
        value = value * 10 + (uint32_t)(*(*at)++ - '0');
    }
    return value;
}

/* ":crf=21:kbps=2500:max=4000", each once at most; false for another text. */
static bool take_rate(struct rr_rung_rate *out, const char **at)
{
    while (**at == ':') {
        static const char *const names[] = {":crf=", ":kbps=", ":max="};
        size_t i = 0;
        while (i < RR_COUNT(names) && strncmp(*at, names[i], strlen(names[i])) != 0) {
            i++;
        }
        if (i == RR_COUNT(names)) {
            return false;
        }
        *at += strlen(names[i]);
        bool by_rule = i > 0 && strncmp(*at, "auto", 4) == 0;
        *at += by_rule ? 4 : 0;
        uint32_t value = by_rule ? RR_KBPS_AUTO : take_number(at);
        uint32_t have = i == 0 ? out->crf : i == 1 ? out->kbps : out->max_kbps;
        if (have != 0 || value == 0 || (!by_rule && value > (i == 0 ? 63 : RR_KBPS_MAX))) {
            return false;
        }
        out->crf = i == 0 ? (uint16_t)value : out->crf;
        out->kbps = i == 1 ? value : out->kbps;
        out->max_kbps = i == 2 ? value : out->max_kbps;
    }
    return out->crf == 0 || out->kbps == 0;
}

enum rr_err rr_ladder_parse(struct rr_ladder *out, const char *text, struct rr_fault *fault)
{
    struct rr_ladder ladder = {0};
    const char *at = text;
    if (strcmp(text, "auto") == 0) {
        *out = (struct rr_ladder){.automatic = true};
        return RR_OK;
    }
    while (true) {
        struct rr_rung_rate rate = {0};
        uint32_t value = take_number(&at);
        if (value < RR_RUNG_MIN || value > RR_RUNG_MAX || !take_rate(&rate, &at) ||
            (*at != 0 && *at != ',')) {
            return rr_fail(fault, RR_ERR_USAGE,
                           "ladder \"%.64s\": expected \"auto\" or short sides of %d to %d pixels, "
                           "like 720,480,360 or 720:max=3000,480:crf=24",
                           text, RR_RUNG_MIN, RR_RUNG_MAX);
        }
        if (!transcode_ladder_insert(&ladder, (uint16_t)value, &rate)) {
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

static void write_kbps(struct rr_buf *out, const char *name, uint32_t kbps)
{
    if (kbps == RR_KBPS_AUTO) {
        rr_buf_format(out, "%sauto", name);
    } else if (kbps > 0) {
        rr_buf_format(out, "%s%u", name, (unsigned)kbps);
    }
}

void rr_ladder_text(struct rr_buf *out, const struct rr_ladder *ladder)
{
    if (ladder->automatic) {
        rr_buf_format(out, "auto");
    }
    for (unsigned i = 0; i < ladder->rung_count; i++) {
        const struct rr_rung_rate *rate = &ladder->rates[i];
        rr_buf_format(out, "%s%u", i > 0 ? "," : "", ladder->rungs[i]);
        if (rate->crf > 0) {
            rr_buf_format(out, ":crf=%u", rate->crf);
        }
        write_kbps(out, ":kbps=", rate->kbps);
        write_kbps(out, ":max=", rate->max_kbps);
    }
}

void transcode_ladder_usual(struct rr_ladder *ladder)
{
    static const struct rr_rung_rate none = {0};
    for (size_t i = 0; i < RR_COUNT(default_rungs); i++) {
        transcode_ladder_insert(ladder, default_rungs[i], &none);
    }
}

/* Rungs as the caller gave them, which may be no text: sorted, each once, rates that can be. */
static enum rr_err fit_ladder(struct rr_ladder *out, const struct rr_ladder *ladder,
                              struct rr_fault *fault)
{
    struct rr_ladder sorted = {.automatic = ladder->automatic};
    if (ladder->rung_count > RR_RUNGS_MAX) {
        return rr_fail(fault, RR_ERR_USAGE, "%u rungs: at most %d are possible", ladder->rung_count,
                       RR_RUNGS_MAX);
    }
    for (unsigned i = 0; i < ladder->rung_count; i++) {
        uint16_t rung = ladder->rungs[i];
        const struct rr_rung_rate *rate = &ladder->rates[i];
        if (rung < RR_RUNG_MIN || rung > RR_RUNG_MAX ||
            !transcode_ladder_insert(&sorted, rung, rate)) {
            return rr_fail(fault, RR_ERR_USAGE, "rung %u is twice there or not within %d to %d",
                           rung, RR_RUNG_MIN, RR_RUNG_MAX);
        }
        bool auto_mean = rate->kbps == RR_KBPS_AUTO, auto_most = rate->max_kbps == RR_KBPS_AUTO;
        if ((!auto_mean && rate->kbps > RR_KBPS_MAX) ||
            (!auto_most && rate->max_kbps > RR_KBPS_MAX) ||
            (!auto_mean && !auto_most && rate->max_kbps != 0 && rate->max_kbps < rate->kbps)) {
            return rr_fail(fault, RR_ERR_USAGE,
                           "rung %u: %u kbit/s with at most %u: up to %u are possible, and the "
                           "mean not above the limit",
                           rung, (unsigned)rate->kbps, (unsigned)rate->max_kbps, RR_KBPS_MAX);
        }
    }
    if (ladder->rung_count == 0) { /* an automatic one until the video was measured */
        transcode_ladder_usual(&sorted);
    }
    *out = sorted;
    return RR_OK;
}

enum rr_err transcode_options_fit(struct rr_transcode_options *out,
                                  const struct rr_transcode_options *options,
                                  struct rr_fault *fault)
{
    struct rr_transcode_options fit = *options;
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
    enum rr_err err = fit_ladder(&fit.ladder, &options->ladder, fault);
    err = err != RR_OK ? err : transcode_codec_fit(&fit, fault);
    if (err == RR_OK) {
        *out = fit;
    }
    return err;
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

/* Displayed size in units of 1/sar_den pixel, turned as shown. */
static void shown_size(uint64_t *dw, uint64_t *dh, uint64_t *unit,
                       const struct rr_transcode_facts *facts)
{
    uint64_t sar_num = facts->sar_num, sar_den = facts->sar_den;
    uint64_t common = gcd(sar_num, sar_den);
    sar_num /= common;
    sar_den /= common;
    while (sar_num > 4096 || sar_den > 4096) { /* the products must not overflow */
        sar_num = sar_num > 1 ? sar_num / 2 : 1;
        sar_den = sar_den > 1 ? sar_den / 2 : 1;
    }
    bool turned = facts->rotation % 180 != 0;
    *dw = turned ? facts->height * sar_den : facts->width * sar_num;
    *dh = turned ? facts->width * sar_num : facts->height * sar_den;
    *unit = sar_den;
}

uint32_t transcode_short_side(const struct rr_transcode_facts *facts)
{
    uint64_t dw, dh, unit;
    shown_size(&dw, &dh, &unit, facts);
    return (uint32_t)((dw < dh ? dw : dh) / unit);
}

bool transcode_rung_twin(const struct rr_ladder *ladder, unsigned i, uint32_t side)
{
    return i > 0 && ladder->rungs[i - 1] <= side &&
           even(ladder->rungs[i], 1) == even(ladder->rungs[i - 1], 1);
}

uint8_t transcode_rungs_fit(struct transcode_rung rungs[RR_RUNGS_MAX],
                            const struct rr_ladder *ladder, const struct rr_transcode_facts *facts)
{
    uint64_t dw, dh, sar_den;
    uint8_t count = 0;
    shown_size(&dw, &dh, &sar_den, facts);
    uint64_t small = dw < dh ? dw : dh;
    for (unsigned i = 0; i < ladder->rung_count; i++) {
        if ((uint64_t)ladder->rungs[i] * sar_den <= small &&
            !transcode_rung_twin(ladder, i, (uint32_t)(small / sar_den))) {
            uint64_t side = even(ladder->rungs[i], 1),
                     other = even(side * (dw < dh ? dh : dw), small);
            rungs[count] = shape_rung(dw, dh, dw < dh ? side : other, dw < dh ? other : side);
            rungs[count++].rate = ladder->rates[i];
        }
    }
    if (count == 0) {
        /* Smaller than all: what the smallest rung may take is enough. */
        rungs[count] = shape_rung(dw, dh, even(dw, sar_den), even(dh, sar_den));
        rungs[count++].rate = ladder->rung_count > 0 ? ladder->rates[ladder->rung_count - 1]
                                                     : (struct rr_rung_rate){0};
    }
    return count;
}

/* Units of 1/10000 cd/m2 or, better, the brightest pixel; what most is graded for when none says.
 */
static uint16_t peak_nits(const struct transcode_hdr *hdr)
{
    uint32_t nits = hdr->has_light && hdr->light_max > 0 ? hdr->light_max
                    : hdr->has_mastering                 ? hdr->luminance_max / 10000
                                                         : 0;
    return (uint16_t)(nits == 0 ? 1000 : nits < 250 ? 250 : nits > 10000 ? 10000 : nits);
}

void transcode_tone_fit(struct transcode_plan *plan)
{
    if (plan->transfer != TRANSCODE_PQ && plan->transfer != TRANSCODE_HLG) {
        return;
    }
    plan->tone = (struct transcode_tone){.transfer = plan->transfer,
                                         .primaries = plan->primaries,
                                         .matrix = plan->matrix,
                                         .full_range = plan->full_range,
                                         .peak_nits = plan->transfer == TRANSCODE_HLG
                                                          ? 1000 /* [BT.2100, note 5f] */
                                                          : peak_nits(&plan->hdr)};
    plan->ten_bit = plan->full_range = 0;
    plan->primaries = plan->transfer = plan->matrix = 1; /* [H.273]: BT.709 */
    plan->hdr = (struct transcode_hdr){0};
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
    plan->rung_count = options->one_rung ? 1 : plan->rung_count;
    if (options->tone_map) {
        transcode_tone_fit(plan);
    }
    transcode_rates_fit(plan, options->crf); /* of the pictures as they come out */
}

/* Time 0 is where the first of all tracks begins; more than 10 s apart is a broken time stamp, then
 * the picture. */
static void move_origin(struct transcode_plan *plan, const struct transcode_facts *facts)
{
    int64_t reach = transcode_rescale(10, plan->tb_den, plan->tb_num), first = plan->origin;
    for (unsigned i = 0; i < plan->audio_count; i++) {
        const struct transcode_sound_place *place = transcode_sound_place(facts, plan, i);
        int64_t sound = transcode_rescale(transcode_rescale(place->first_pts, place->tb_num, 1),
                                          plan->tb_den, (int64_t)place->tb_den * plan->tb_num);
        if (sound < plan->origin && sound > first - reach) {
            plan->origin = sound;
        }
    }
}

enum rr_err transcode_plan_make(struct transcode_plan *out, const struct transcode_facts *facts,
                                const struct rr_transcode_options *options, struct rr_fault *fault)
{
    struct transcode_plan plan = {.video_stream = facts->video_stream,
                                  .gop_ms = options->gop_ms,
                                  .codec = (uint8_t)options->codec,
                                  .tolerant = options->class == RR_TRANSCODE_TOLERANT,
                                  .audio_bps = options->audio_bps};
    snprintf(plan.preset, sizeof plan.preset, "%s", options->preset);
    enum rr_err err = transcode_tracks_fit(&plan, facts, options, fault);
    if (err != RR_OK) {
        return err;
    }
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
        err = transcode_codec_shape(&plan, fault);
        if (err != RR_OK) {
            return err;
        }
    } else if (plan.audio_count > 0) {
        const struct transcode_sound_place *place = transcode_sound_place(facts, &plan, 0);
        plan.tb_num = place->tb_num;
        plan.tb_den = place->tb_den;
        plan.first_pts = plan.origin = place->first_pts;
    } else {
        return rr_fail(fault, RR_ERR_USAGE, "neither pictures nor sound of the file are wanted");
    }
    move_origin(&plan, facts);
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
    if (rung >= TRANSCODE_AUDIO_RUNG) {
        bool text = rung >= TRANSCODE_SUBTITLE_RUNG;
        unsigned track = rung - (text ? TRANSCODE_SUBTITLE_RUNG : TRANSCODE_AUDIO_RUNG);
        const char *kind = text ? "subtitle" : "audio";
        if (track == 0) {
            snprintf(out, RR_NAME_MAX + 1, "%s", kind);
        } else {
            snprintf(out, RR_NAME_MAX + 1, "%s-%u", kind, track + 1);
        }
        return;
    }
    const struct transcode_rung *shape = &plan->rungs[rung];
    /* The side that the ladder named: the short one as displayed. */
    uint64_t wide = (uint64_t)shape->width * shape->sar_num,
             high = (uint64_t)shape->height * shape->sar_den;
    snprintf(out, RR_NAME_MAX + 1, "%up", wide < high ? shape->width : shape->height);
}

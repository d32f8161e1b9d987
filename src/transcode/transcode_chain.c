/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Contract chains and the transcoder: what a job is as a chain of steps, what a chain asks of the
 * transcoder, and who takes which part of it. */
#include "transcode/transcode_private.h"
#include "transcode/transcode_shard.h"
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SOUND_PROFILE "aac"

/* ---- from a job to its chain and back
 * -------------------------------------------------------------------- */

static struct rr_work_step *add(struct rr_work_chain *chain, enum rr_work_kind kind, uint8_t from,
                                enum rr_work_type type)
{
    RR_CHECK(chain->step_count < RR_WORK_STEPS_MAX);
    struct rr_work_step *step = &chain->steps[chain->step_count++];
    *step = (struct rr_work_step){.kind = kind};
    if (kind != RR_WORK_DEMUX) {
        step->input_count = 1;
        step->inputs[0] = (struct rr_work_input){.step = from, .type = type};
    }
    return step;
}

enum rr_err rr_transcode_chain_make(struct rr_work_chain *out,
                                    const struct rr_transcode_facts *facts,
                                    const struct rr_transcode_options *options,
                                    struct rr_fault *fault)
{
    struct rr_transcode_options fit;
    struct transcode_rung rungs[RR_RUNGS_MAX];
    struct rr_work_step mux = {.kind = RR_WORK_MUX};
    enum rr_err err = transcode_options_fit(&fit, options, fault);
    if (err != RR_OK) {
        return err;
    }
    if (!facts->has_video) {
        return rr_fail(fault, RR_ERR_UNSUPPORTED,
                       "the source has no pictures; a chain for other rigs needs them");
    }
    if (fit.ladder.automatic) {
        return rr_fail(fault, RR_ERR_UNSUPPORTED,
                       "a chain names its renditions; ladder \"auto\" is for the rig's own jobs");
    }
    out->step_count = 0;
    out->crf = fit.crf;
    out->tone_map = fit.tone_map ? 1 : 0;
    out->gop_ms = fit.gop_ms;
    add(out, RR_WORK_DEMUX, 0, RR_WORK_VIDEO_PACKETS);
    add(out, RR_WORK_DECODE_VIDEO, 0, RR_WORK_VIDEO_PACKETS);
    uint8_t count = transcode_rungs_fit(rungs, &fit.ladder, facts);
    out->output = fit.one_rung ? RR_WORK_MP4 : RR_WORK_LADDER;
    for (unsigned i = 0; i < (fit.one_rung ? 1u : count); i++) {
        uint8_t at = out->step_count;
        struct rr_work_step *step = add(out, RR_WORK_ENCODE_VIDEO, 1, RR_WORK_PICTURES);
        RR_CHECK(rr_transcode_profile(step->profile, fit.codec, fit.preset));
        /* The ladder falls, and what the source is too small for is left out at its top. */
        step->rung = fit.ladder.rungs[fit.ladder.rung_count - count + i];
        step->rate = fit.ladder.rates[fit.ladder.rung_count - count + i];
        mux.inputs[mux.input_count++] =
            (struct rr_work_input){.step = at, .type = RR_WORK_VIDEO_STREAM};
    }
    if (facts->audio_count > 0) {
        uint8_t at = out->step_count;
        add(out, RR_WORK_DECODE_AUDIO, 0, RR_WORK_AUDIO_PACKETS);
        struct rr_work_step *step = add(out, RR_WORK_ENCODE_AUDIO, at, RR_WORK_SAMPLES);
        snprintf(step->profile, sizeof step->profile, SOUND_PROFILE);
        step->bps = fit.audio_bps;
        mux.inputs[mux.input_count++] =
            (struct rr_work_input){.step = (uint8_t)(at + 1), .type = RR_WORK_AUDIO_STREAM};
    }
    out->steps[out->step_count++] = mux;
    return RR_OK;
}

static enum rr_err take_picture_step(struct rr_transcode_options *out,
                                     const struct rr_work_step *step, char *first,
                                     struct rr_fault *fault)
{
    if (!rr_transcode_profile_read(&out->codec, &out->preset, step->profile)) {
        return rr_fail(fault, RR_ERR_UNSUPPORTED,
                       "the chain asks for profile %s, which this version does not have",
                       step->profile);
    }
    if (step->rung < RR_RUNG_MIN || step->rung > RR_RUNG_MAX) {
        return rr_fail(fault, RR_ERR_UNSUPPORTED,
                       "the chain asks for a rung of %u; %d to %d is what there may be", step->rung,
                       RR_RUNG_MIN, RR_RUNG_MAX);
    }
    bool again = out->ladder.rung_count > 0;
    if ((again && strcmp(first, step->profile) != 0) || out->ladder.rung_count == RR_RUNGS_MAX ||
        (again && out->ladder.rungs[out->ladder.rung_count - 1] <= step->rung)) {
        return rr_fail(fault, RR_ERR_UNSUPPORTED,
                       "the renditions of a chain must fall in size and share their profile; "
                       "there may be %d",
                       RR_RUNGS_MAX);
    }
    memcpy(first, step->profile, sizeof step->profile);
    out->ladder.rates[out->ladder.rung_count] = step->rate;
    out->ladder.rungs[out->ladder.rung_count++] = step->rung;
    return RR_OK;
}

enum rr_err rr_transcode_chain_options(struct rr_transcode_options *out,
                                       const struct rr_work_chain *chain, struct rr_fault *fault)
{
    struct rr_transcode_options options = {
        .gop_ms = chain->gop_ms, .crf = chain->crf, .tone_map = chain->tone_map != 0};
    char profile[RR_NAME_MAX + 1] = "";
    enum rr_err err = rr_work_chain_check(chain, fault);
    unsigned sounds = 0;
    for (uint8_t i = 0; i < chain->step_count && err == RR_OK; i++) {
        const struct rr_work_step *step = &chain->steps[i];
        if (step->kind == RR_WORK_ENCODE_VIDEO) {
            err = take_picture_step(&options, step, profile, fault);
        } else if (step->kind == RR_WORK_ENCODE_AUDIO) {
            options.audio_bps = step->bps;
            if (++sounds > 1 || strcmp(step->profile, SOUND_PROFILE) != 0) {
                err = rr_fail(fault, RR_ERR_UNSUPPORTED,
                              "step %u of the chain is sound as %s; one as " SOUND_PROFILE
                              " is taken",
                              i, step->profile);
            }
        }
    }
    if (err == RR_OK && options.ladder.rung_count == 0) {
        err = rr_fail(fault, RR_ERR_UNSUPPORTED, "the chain encodes no pictures");
    }
    if (err == RR_OK) {
        options.one_rung = chain->output == RR_WORK_MP4;
        *out = options;
    }
    return err;
}

/* ---- who takes what
 * -------------------------------------------------------------------------------------- */

uint32_t rr_transcode_chain_leg(const struct rr_work_chain *chain, enum rr_transcode_leg leg)
{
    uint32_t steps = 0;
    for (uint8_t i = 0; i < chain->step_count; i++) {
        enum rr_work_kind kind = chain->steps[i].kind;
        bool sound = kind == RR_WORK_DECODE_AUDIO || kind == RR_WORK_ENCODE_AUDIO;
        enum rr_transcode_leg of = kind == RR_WORK_MUX ? RR_TRANSCODE_LEG_OUTPUT
                                   : sound             ? RR_TRANSCODE_LEG_SOUND
                                                       : RR_TRANSCODE_LEG_PICTURES;
        steps |= of == leg ? 1u << i : 0;
    }
    return steps;
}

uint32_t rr_transcode_chain_offered(const struct rr_work_chain *chain,
                                    const struct rr_work_offer *offer)
{
    uint32_t all = 0;
    for (unsigned leg = 0; leg < RR_TRANSCODE_LEGS; leg++) {
        uint32_t steps = rr_transcode_chain_leg(chain, (enum rr_transcode_leg)leg);
        bool whole = steps != 0;
        for (uint8_t i = 0; i < chain->step_count && whole; i++) {
            const struct rr_work_step *step = &chain->steps[i];
            bool codec = step->kind != RR_WORK_ENCODE_VIDEO;
            enum rr_codec wanted = RR_CODEC_H264;
            const char *preset;
            for (uint8_t j = 0; !codec && j < offer->codec_count; j++) {
                codec = rr_transcode_profile_read(&wanted, &preset, step->profile) &&
                        strcmp(offer->codecs[j].codec, rr_codec_text(wanted)) == 0 &&
                        step->rung >= offer->rung_min && step->rung <= offer->rung_max;
            }
            whole = (steps & 1u << i) == 0 || (codec && (offer->kinds & 1u << step->kind) != 0);
        }
        all |= whole ? steps : 0;
    }
    return all;
}

static struct rr_coin price_of(const struct rr_transcode_bid *bid, uint32_t steps)
{
    struct rr_coin sum = RR_COIN_ZERO;
    for (uint8_t i = 0; i < bid->quote->step_count; i++) {
        if ((steps & 1u << i) != 0 && !rr_coin_add(&sum, sum, bid->quote->prices[i])) {
            RR_CHECK(rr_coin_of_units(&sum, RR_COIN_MAX_UNITS));
        }
    }
    return sum;
}

/* All of them at a time: what one does in t, n do in the n-th part; 0 when nobody works. */
static uint64_t together_ms(const struct rr_transcode_bid *bids, const size_t *order, size_t count)
{
    double rate = 0;
    for (size_t i = 0; i < count; i++) {
        uint64_t ms = bids[order[i]].quote->work_ms;
        rate += 1.0 / (double)(ms > 0 ? ms : 1);
    }
    return rate > 0 ? (uint64_t)(1.0 / rate) : 0;
}

void rr_transcode_chain_choose(struct rr_transcode_choice *out, const struct rr_transcode_bid *bids,
                               size_t count, uint32_t leg, const struct rr_coin *price_max,
                               uint64_t deadline_ms)
{
    *out = (struct rr_transcode_choice){0};
    for (size_t i = 0; i < count && out->count < RR_TRANSCODE_BIDS_MAX; i++) {
        struct rr_coin price = price_of(&bids[i], leg);
        if (leg == 0 || (bids[i].steps & leg) != leg ||
            (price_max != NULL && rr_coin_compare(price, *price_max) > 0)) {
            continue;
        }
        size_t at = out->count++;
        while (at > 0 && rr_coin_compare(price_of(&bids[out->order[at - 1]], leg), price) > 0) {
            out->order[at] = out->order[at - 1];
            at--;
        }
        out->order[at] = i;
    }
    out->active = out->count > 0 ? 1 : 0;
    while (deadline_ms > 0 && out->active < out->count &&
           together_ms(bids, out->order, out->active) > deadline_ms) {
        out->active++;
    }
    out->late = deadline_ms > 0 && out->active > 0 &&
                together_ms(bids, out->order, out->active) > deadline_ms;
}

enum rr_err rr_transcode_shard_gops(uint32_t *gops, const char *path, struct rr_fault *fault)
{
    struct transcode_part part;
    struct stat facts;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &facts) != 0) {
        enum rr_err err = rr_fail_errno(fault, "%.200s cannot be read", path);
        if (fd >= 0) {
            close(fd);
        }
        return err;
    }
    enum rr_err err = transcode_part_open(&part, fd, 0, (uint64_t)facts.st_size, fault);
    if (err == RR_OK) {
        *gops = part.sound ? 0 : part.gops;
    }
    close(fd);
    return err;
}

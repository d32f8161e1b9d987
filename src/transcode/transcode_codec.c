/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The codecs that a ladder can be made in: what may be asked of each encoder, the profiles that pin
 * them, and the names by which players know the result. */
#include "transcode/transcode_private.h"
#include <stdio.h>
#include <string.h>

#define PRESETS_MAX 16
#define CHROMA_LEFT 1 /* H.273's type 0 and one, as libavutil counts */

/* The first preset that is listed beside `usual` in the table. Profiles pin Debian 12's builds. */
static const struct codec {
    const char *name, *profile; /* profile: "%s" is the preset */
    const char *presets[PRESETS_MAX];
    const char *usual;
    uint16_t crf, side_min;
    bool threads;
} codecs[] = {
    [RR_CODEC_H264] = {.name = "h264",
                       .profile = "x264-164-%s-v1",
                       .presets = {"ultrafast", "superfast", "veryfast", "faster", "fast", "medium",
                                   "slow", "slower", "veryslow"},
                       .usual = "veryfast",
                       .crf = 23,
                       .side_min = 2},
    [RR_CODEC_HEVC] = {.name = "hevc",
                       .profile = "x265-199-%s-v1",
                       .presets = {"ultrafast", "superfast", "veryfast", "faster", "fast", "medium",
                                   "slow", "slower", "veryslow"},
                       .usual = "superfast",
                       .crf = 26,
                       .side_min = 16,
                       .threads = true},
    [RR_CODEC_AV1] = {.name = "av1",
                      .profile = "svtav1-141-p%s-v1",
                      .presets = {"2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12"},
                      .usual = "10",
                      .crf = 35,
                      .side_min = 64,
                      .threads = true},
    [RR_CODEC_VP9] = {.name = "vp9",
                      .profile = "vpx9-112-c%s-v1",
                      .presets = {"0", "1", "2", "3", "4", "5", "6", "7", "8"},
                      .usual = "5",
                      .crf = 32,
                      .side_min = 2},
};

bool rr_codec_parse(enum rr_codec *out, const char *text)
{
    for (unsigned i = 0; i < RR_COUNT(codecs); i++) {
        if (strcmp(codecs[i].name, text) == 0) {
            *out = (enum rr_codec)i;
            return true;
        }
    }
    return false;
}

const char *rr_codec_text(enum rr_codec codec)
{
    return codecs[codec].name;
}

const char *rr_codec_preset(enum rr_codec codec)
{
    return codecs[codec].usual;
}

uint16_t rr_codec_crf(enum rr_codec codec)
{
    return codecs[codec].crf;
}

uint16_t rr_codec_side_min(enum rr_codec codec)
{
    return codecs[codec].side_min;
}

bool rr_transcode_profile(char out[static RR_NAME_MAX + 1], enum rr_codec codec, const char *preset)
{
    for (size_t i = 0; i < PRESETS_MAX && codecs[codec].presets[i] != NULL; i++) {
        if (strcmp(codecs[codec].presets[i], preset) == 0) {
            const char *gap = strstr(codecs[codec].profile, "%s");
            snprintf(out, RR_NAME_MAX + 1, "%.*s%s%s", (int)(gap - codecs[codec].profile),
                     codecs[codec].profile, preset, gap + 2);
            return true;
        }
    }
    return false;
}

bool rr_transcode_profile_read(enum rr_codec *codec, const char **preset, const char *profile)
{
    char made[RR_NAME_MAX + 1];
    for (unsigned i = 0; i < RR_COUNT(codecs); i++) {
        for (size_t j = 0; j < PRESETS_MAX && codecs[i].presets[j] != NULL; j++) {
            if (rr_transcode_profile(made, (enum rr_codec)i, codecs[i].presets[j]) &&
                strcmp(made, profile) == 0) {
                *codec = (enum rr_codec)i;
                *preset = codecs[i].presets[j];
                return true;
            }
        }
    }
    return false;
}

enum rr_err transcode_codec_fit(struct rr_transcode_options *fit, struct rr_fault *fault)
{
    char profile[RR_NAME_MAX + 1];
    if ((size_t)fit->codec >= RR_COUNT(codecs)) {
        return rr_fail(fault, RR_ERR_USAGE, "codec %d is not known", (int)fit->codec);
    }
    const struct codec *codec = &codecs[fit->codec];
    fit->crf = fit->crf != 0 ? fit->crf : codec->crf;
    fit->preset = fit->preset != NULL && fit->preset[0] != 0 ? fit->preset : codec->usual;
    for (unsigned i = 0; i <= fit->ladder.rung_count && i <= RR_RUNGS_MAX; i++) {
        uint16_t crf = i == 0 ? fit->crf : fit->ladder.rates[i - 1].crf;
        if (crf > TRANSCODE_CRF_MAX(fit->codec)) {
            return rr_fail(fault, RR_ERR_USAGE, "crf %u: %s takes 1 to %u", crf, codec->name,
                           TRANSCODE_CRF_MAX(fit->codec));
        }
    }
    if (!rr_transcode_profile(profile, fit->codec, fit->preset)) {
        size_t last = 0;
        while (last + 1 < PRESETS_MAX && codec->presets[last + 1] != NULL) {
            last++;
        }
        return rr_fail(fault, RR_ERR_USAGE, "preset \"%.32s\": %s has %s to %s", fit->preset,
                       codec->name, codec->presets[0], codec->presets[last]);
    }
    return RR_OK;
}

enum rr_err transcode_codec_shape(const struct transcode_plan *plan, struct rr_fault *fault)
{
    const struct codec *codec = &codecs[plan->codec];
    for (unsigned i = 0; i < plan->rung_count; i++) {
        if (plan->rungs[i].width < codec->side_min || plan->rungs[i].height < codec->side_min) {
            return rr_fail(
                fault, RR_ERR_UNSUPPORTED, "a picture of %ux%u: %s needs sides of at least %u",
                plan->rungs[i].width, plan->rungs[i].height, codec->name, codec->side_min);
        }
    }
    return RR_OK;
}

bool transcode_codec_threads(const struct transcode_plan *plan)
{
    return codecs[plan->codec].threads;
}

/* ---- names (RFC 6381); the bytes come from a worker and may be anything ------------------------
 */

/* Payload of the first NAL unit in Annex B for which (first byte & mask) >> shift is `type`. */
static struct rr_slice find_nal(struct rr_slice bytes, unsigned mask, unsigned shift, unsigned type)
{
    for (size_t i = 0; i + 4 <= bytes.len; i++) {
        const uint8_t *at = bytes.ptr + i;
        if (at[0] == 0 && at[1] == 0 && at[2] == 1 && (at[3] & mask) >> shift == type) {
            return rr_slice_of(at + 3, bytes.len - i - 3);
        }
    }
    return (struct rr_slice){0};
}

static bool name_avc(char *out, struct rr_slice extradata)
{
    struct rr_slice sps = find_nal(extradata, 0x1f, 0, 7);
    if (sps.len < 4) {
        return false;
    }
    snprintf(out, RR_NAME_MAX + 1, "avc1.%02x%02x%02x", sps.ptr[1], sps.ptr[2], sps.ptr[3]);
    return true;
}

/* profile_tier_level stands right behind the first three bytes of a sequence parameter set; bytes
 * 0 0 3 are 0 0 there. [ISO/IEC 14496-15, E.3; H.265 7.3.3] */
static bool name_hevc(char *out, struct rr_slice extradata)
{
    struct rr_slice sps = find_nal(extradata, 0x7e, 1, 33);
    uint8_t ptl[12];
    size_t have = 0, zeros = 0;
    for (size_t i = 3; i < sps.len && have < sizeof ptl; i++) {
        if (zeros >= 2 && sps.ptr[i] == 3) {
            zeros = 0;
            continue;
        }
        zeros = sps.ptr[i] == 0 ? zeros + 1 : 0;
        ptl[have++] = sps.ptr[i];
    }
    if (have < sizeof ptl) {
        return false;
    }
    uint32_t fits = 0; /* profile_compatibility_flag, the first bit lowest */
    for (unsigned bit = 0; bit < 32; bit++) {
        fits |= (uint32_t)(ptl[1 + bit / 8] >> (7 - bit % 8) & 1) << bit;
    }
    unsigned space = ptl[0] >> 6, last = 6;
    int len = snprintf(out, RR_NAME_MAX + 1, "hvc1.%s%u.%X.%c%u",
                       (const char *[]){"", "A", "B", "C"}[space], ptl[0] & 0x1fu, (unsigned)fits,
                       (ptl[0] & 0x20) != 0 ? 'H' : 'L', ptl[11]);
    while (last > 0 &&
           ptl[4 + last] == 0) { /* constraints; those that end it and are 0 are left out */
        last--;
    }
    for (unsigned i = 1; i <= last; i++) {
        len += snprintf(out + len, RR_NAME_MAX + 1 - (size_t)len, ".%X", ptl[4 + i]);
    }
    return true;
}

static bool name_vp9(char *out, const struct transcode_plan *plan,
                     const struct transcode_rung *rung)
{
    /* Chroma beside the left luma sample between two rows, or with it: as the container says. */
    unsigned chroma = plan->location == CHROMA_LEFT ? 0 : 1;
    snprintf(out, RR_NAME_MAX + 1, "vp09.%02u.%02u.%02u.%02u.%02u.%02u.%02u.%02u",
             plan->ten_bit ? 2u : 0u, transcode_level_vp9(plan, rung), plan->ten_bit ? 10u : 8u,
             chroma, plan->primaries, plan->transfer, plan->matrix, plan->full_range);
    return true;
}

enum rr_err transcode_codec_name(char out[static RR_NAME_MAX + 1],
                                 const struct transcode_plan *plan, unsigned rung,
                                 struct rr_slice extradata, struct rr_fault *fault)
{
    bool named = false;
    switch ((enum rr_codec)plan->codec) {
    case RR_CODEC_H264:
        named = name_avc(out, extradata);
        break;
    case RR_CODEC_HEVC:
        named = name_hevc(out, extradata);
        break;
    case RR_CODEC_AV1:
        named = transcode_name_av1(out, extradata);
        break;
    case RR_CODEC_VP9:
        named = name_vp9(out, plan, &plan->rungs[rung]);
        break;
    }
    return named ? RR_OK
                 : rr_fail(fault, RR_ERR_DAMAGED, "the encoder's parameter sets cannot be read");
}

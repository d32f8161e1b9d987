/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which tracks of sound and text a job carries, and as what. */
#include "transcode/transcode_private.h"
#include <stdio.h>
#include <string.h>

bool rr_audio_codec_parse(enum rr_audio_codec *out, const char *text)
{
    if (strcmp(text, "aac") == 0) {
        *out = RR_AUDIO_AAC;
    } else if (strcmp(text, "opus") == 0) {
        *out = RR_AUDIO_OPUS;
    } else {
        return false;
    }
    return true;
}

static bool add_number(struct rr_tracks *tracks, unsigned number)
{
    for (unsigned i = 0; i < tracks->count; i++) {
        if (tracks->numbers[i] == number) {
            return false;
        }
    }
    if (number == 0 || number > TRANSCODE_STREAMS_MAX || tracks->count == RR_TRACKS_MAX) {
        return false;
    }
    tracks->numbers[tracks->count++] = (uint8_t)number;
    return true;
}

enum rr_err rr_tracks_parse(struct rr_tracks *out, const char *text, struct rr_fault *fault)
{
    struct rr_tracks tracks = {.mode = RR_TRACKS_SOME};
    bool good = true;
    if (strcmp(text, "all") == 0 || strcmp(text, "none") == 0) {
        *out =
            (struct rr_tracks){.mode = strcmp(text, "all") == 0 ? RR_TRACKS_ALL : RR_TRACKS_NONE};
        return RR_OK;
    }
    for (const char *at = text; good; at++) {
        unsigned number = 0;
        for (; *at >= '0' && *at <= '9' && number < 1000; at++) {
            number = number * 10 + (unsigned)(*at - '0');
        }
        good = (*at == 0 || *at == ',') && add_number(&tracks, number);
        if (*at == 0) {
            break;
        }
    }
    if (!good) {
        return rr_fail(fault, RR_ERR_USAGE,
                       "tracks \"%.64s\": expected all, none, or numbers from 1 on like 1,2; at "
                       "most %d, each once",
                       text, RR_TRACKS_MAX);
    }
    *out = tracks;
    return RR_OK;
}

/* Takes part in a job: chosen, and there is room. */
static bool chosen(const struct rr_tracks *tracks, uint32_t index)
{
    if (tracks->mode == RR_TRACKS_SOME) {
        for (unsigned i = 0; i < tracks->count; i++) {
            if (tracks->numbers[i] == index + 1) {
                return true;
            }
        }
    }
    return tracks->mode == RR_TRACKS_ALL;
}

/* Stereo, unless the channels are to be kept: then one and two stay, 5.1 and more become 5.1, and
 * what is between, which few players place right, stereo (ours). */
static uint8_t channels_of(uint32_t channels, bool keep)
{
    return keep && channels == 1 ? 1 : keep && channels >= 6 ? 6 : 2;
}

static void name_track(struct transcode_track *track, int32_t stream, const char *language,
                       const char *label)
{
    track->stream = stream;
    transcode_language(track->language, language);
    snprintf(track->label, sizeof track->label, "%s", label);
}

static void take_audio(struct transcode_plan *plan, const struct transcode_facts *facts,
                       const struct rr_transcode_options *options)
{
    const struct rr_transcode_facts *shown = &facts->shown;
    int first = -1;
    for (uint32_t i = 0; i < shown->audio_count && i < RR_TRANSCODE_AUDIO_MAX; i++) {
        if (!facts->sounds[i].decodes || !chosen(&options->audio, i) ||
            plan->audio_count == RR_TRACKS_MAX) {
            continue;
        }
        struct transcode_track *track = &plan->audio[plan->audio_count];
        name_track(track, facts->sounds[i].stream, shown->audio[i].language, shown->audio[i].label);
        track->channels = channels_of(shown->audio[i].channels, options->keep_channels);
        first = first < 0 && shown->audio[i].is_default ? plan->audio_count : first;
        plan->audio_count++;
    }
    if (plan->audio_count > 1) {
        plan->audio[first < 0 ? 0 : first].flags = RR_RENDITION_DEFAULT;
    }
}

static void take_subtitles(struct transcode_plan *plan, const struct transcode_facts *facts,
                           const struct rr_transcode_options *options)
{
    const struct rr_transcode_facts *shown = &facts->shown;
    bool first = true;
    for (uint32_t i = 0; i < shown->subtitle_count && i < RR_TRANSCODE_SUBTITLE_MAX; i++) {
        const struct rr_transcode_subtitle *from = &shown->subtitles[i];
        if (!from->text || !chosen(&options->subtitles, i) ||
            plan->subtitle_count == RR_TRACKS_MAX) {
            continue;
        }
        struct transcode_track *track = &plan->subtitles[plan->subtitle_count++];
        name_track(track, facts->subtitle_streams[i], from->language, from->label);
        track->flags = from->forced ? RR_RENDITION_FORCED : 0;
        if (from->is_default && first) { /* a file may mark several; players take one */
            track->flags |= RR_RENDITION_DEFAULT;
            first = false;
        }
    }
}

/* Numbers that name nothing: the first of them, 0 when all do. */
static unsigned missing(const struct rr_tracks *tracks, uint32_t count)
{
    for (unsigned i = 0; tracks->mode == RR_TRACKS_SOME && i < tracks->count; i++) {
        if (tracks->numbers[i] > count) {
            return tracks->numbers[i];
        }
    }
    return 0;
}

enum rr_err transcode_tracks_fit(struct transcode_plan *plan, const struct transcode_facts *facts,
                                 const struct rr_transcode_options *options, struct rr_fault *fault)
{
    const struct rr_transcode_facts *shown = &facts->shown;
    unsigned audio = missing(&options->audio, shown->audio_count);
    unsigned subtitle = missing(&options->subtitles, shown->subtitle_count);
    if (audio != 0 || subtitle != 0) {
        return rr_fail(fault, RR_ERR_USAGE, "%s track %u: the file has %u",
                       audio != 0 ? "audio" : "subtitle", audio != 0 ? audio : subtitle,
                       (unsigned)(audio != 0 ? shown->audio_count : shown->subtitle_count));
    }
    plan->audio_codec = (uint8_t)options->audio_codec;
    take_audio(plan, facts, options);
    take_subtitles(plan, facts, options);
    return RR_OK;
}

const struct transcode_sound_place *transcode_sound_place(const struct transcode_facts *facts,
                                                          const struct transcode_plan *plan,
                                                          unsigned track)
{
    unsigned i = 0;
    while (i + 1 < RR_TRANSCODE_AUDIO_MAX && facts->sounds[i].stream != plan->audio[track].stream) {
        i++;
    }
    return &facts->sounds[i];
}

/* Number among the source's tracks of a kind that were wanted and are not in the plan. */
static bool left_out(const struct transcode_track *tracks, uint8_t count, int32_t stream,
                     const struct rr_tracks *wanted, uint32_t index)
{
    for (uint8_t i = 0; i < count; i++) {
        if (tracks[i].stream == stream) {
            return false;
        }
    }
    return chosen(wanted, index);
}

void transcode_tracks_tell(const struct transcode_plan *plan, const struct transcode_facts *facts,
                           const struct rr_transcode_options *options)
{
    const struct rr_transcode_facts *shown = &facts->shown;
    for (uint32_t i = 0; i < shown->audio_count && i < RR_TRANSCODE_AUDIO_MAX; i++) {
        const struct transcode_sound_place *place = &facts->sounds[i];
        if (left_out(plan->audio, plan->audio_count, place->stream, &options->audio, i)) {
            rr_log(RR_LOG_WARN, "transcode", "audio track %u (%s) is left out: %s", (unsigned)i + 1,
                   shown->audio[i].codec,
                   place->decodes ? "8 are carried at most" : "nothing of it decodes");
        }
    }
    for (uint32_t i = 0; i < shown->subtitle_count && i < RR_TRANSCODE_SUBTITLE_MAX; i++) {
        if (left_out(plan->subtitles, plan->subtitle_count, facts->subtitle_streams[i],
                     &options->subtitles, i)) {
            rr_log(RR_LOG_WARN, "transcode", "subtitle track %u (%s) is left out: %s",
                   (unsigned)i + 1, shown->subtitles[i].codec,
                   shown->subtitles[i].text ? "8 are carried at most"
                                            : "it is made of pictures, or a codec not taken");
        }
    }
}

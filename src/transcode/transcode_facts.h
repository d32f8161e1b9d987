/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a file holds, and which of its tracks are wanted. Enter by transcode.h. */
#ifndef RR_TRANSCODE_FACTS_H
#define RR_TRANSCODE_FACTS_H
#include "base/base.h"
#include "wire/wire.h"

/* What the sound is coded in. */
enum rr_audio_codec { RR_AUDIO_AAC, RR_AUDIO_OPUS };
/* "aac", "opus"; false for other texts. Any thread. */
bool rr_audio_codec_parse(enum rr_audio_codec *out, const char *text) RR_MUST_USE;
/* Which of the source's tracks of a kind: all, as far as RR_TRACKS_MAX goes (zeroed), none, or some
 * by their number among those of the kind, from 1 on. */
#define RR_TRACKS_MAX 8 /* with as many rungs they fit a manifest (RR_RENDITIONS_MAX) */
enum rr_tracks_mode { RR_TRACKS_ALL, RR_TRACKS_NONE, RR_TRACKS_SOME };
struct rr_tracks {
    enum rr_tracks_mode mode;
    uint8_t count;
    uint8_t numbers[RR_TRACKS_MAX];
};
/* "all", "none", "1", "2,1": at most RR_TRACKS_MAX different numbers of 1..64, else RR_ERR_USAGE.
 * Any thread. */
enum rr_err rr_tracks_parse(struct rr_tracks *out, const char *text,
                            struct rr_fault *fault) RR_MUST_USE;

/* ---- what a file holds
 * ----------------------------------------------------------------------------- */
#define RR_TRANSCODE_TEXT_MAX  31
#define RR_TRANSCODE_AUDIO_MAX 16
struct rr_transcode_audio {
    char codec[RR_TRANSCODE_TEXT_MAX + 1];
    uint32_t channels, sample_rate;
    int64_t start_us, duration_us; /* duration 0: not stated */
    char language[RR_LANGUAGE_MAX + 1],
        label[RR_NAME_MAX + 1]; /* the container's words, or empty */
    bool is_default;
};
#define RR_TRANSCODE_SUBTITLE_MAX 16
struct rr_transcode_subtitle {
    char codec[RR_TRANSCODE_TEXT_MAX + 1];
    char language[RR_LANGUAGE_MAX + 1], label[RR_NAME_MAX + 1];
    bool is_default, forced;
    bool text; /* false: pictures, which cannot become WebVTT */
};
struct rr_transcode_facts {
    char container[RR_TRANSCODE_TEXT_MAX + 1];
    int64_t start_us, duration_us; /* duration 0: not stated */
    bool has_video;
    char video_codec[RR_TRANSCODE_TEXT_MAX + 1];
    uint32_t width, height;    /* as coded, before rotation */
    uint32_t sar_num, sar_den; /* 1:1 when not stated */
    uint16_t rotation;         /* clockwise degrees: 0, 90, 180, 270 */
    bool mirrored;
    uint8_t bit_depth;
    bool full_range;
    uint8_t primaries, transfer, matrix; /* ITU-T H.273; 2 unspecified */
    uint32_t fps_num, fps_den;           /* mean */
    bool exact; /* its decoder is exact by standard: H.264, HEVC, VP9, AV1 */
    struct rr_transcode_audio audio[RR_TRANSCODE_AUDIO_MAX];
    struct rr_transcode_subtitle subtitles[RR_TRANSCODE_SUBTITLE_MAX];
    uint32_t audio_count, video_count, subtitle_count; /* also those beyond the arrays */
};
#endif

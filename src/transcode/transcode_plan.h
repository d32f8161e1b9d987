/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the probe tells, and the plan that follows from it: all that decides the bytes of a job. */
#ifndef RR_TRANSCODE_PLAN_H
#define RR_TRANSCODE_PLAN_H
#include "transcode/transcode.h"
#include "transcode/transcode_limits.h"

/* HDR10: mastering display in units of 1/50000 and 1/10000 cd/m2, as SEI 137 writes it; order G B
 * R, then white. */
struct transcode_hdr {
    uint8_t has_mastering, has_light;
    uint16_t primaries[3][2], white[2];
    uint32_t luminance_max, luminance_min;
    uint16_t light_max, light_mean;
};
/* Where one of shown.audio is. */
struct transcode_sound_place {
    int32_t stream;
    int32_t tb_num, tb_den;
    int64_t first_pts; /* of the first sound that decodes */
    uint8_t decodes;
};
struct transcode_facts {
    struct rr_transcode_facts shown;
    int32_t video_stream;   /* -1: none */
    int32_t tb_num, tb_den; /* of the video stream */
    int64_t first_pts;      /* of the first picture shown */
    int64_t frames_guess;   /* 0: not known */
    struct transcode_sound_place sounds[RR_TRANSCODE_AUDIO_MAX];
    int32_t subtitle_streams[RR_TRANSCODE_SUBTITLE_MAX];
    uint8_t orientation; /* bit 0 transpose first, then bit 1 flips columns, bit 2 flips rows */
    uint8_t location;    /* of chroma */
    struct transcode_hdr hdr;
};
struct transcode_rung {
    uint16_t width, height, sar_num, sar_den;
    struct rr_rung_rate rate; /* crf is of the codec; no rate is RR_KBPS_AUTO */
};
#define TRANSCODE_PQ  16 /* transfer characteristics [ITU-T H.273, table 3] */
#define TRANSCODE_HLG 18
/* What HDR pictures were before they became SDR; a transfer of 0: they stay. */
struct transcode_tone {
    uint8_t transfer, primaries, matrix, full_range;
    uint16_t peak_nits;
};
struct transcode_track {
    int32_t stream;
    uint8_t channels; /* that come out; 0 for subtitles */
    uint8_t flags;    /* RR_RENDITION_DEFAULT, RR_RENDITION_FORCED */
    char language[RR_LANGUAGE_MAX + 1], label[RR_NAME_MAX + 1];
};
/* All that decides the bytes that come out. */
struct transcode_plan {
    int32_t video_stream;
    int32_t tb_num, tb_den;
    int64_t first_pts, origin; /* in that time base; origin is time 0 of the output */
    uint32_t gop_ms;
    uint8_t orientation, ten_bit, full_range, primaries, transfer, matrix, location;
    struct transcode_hdr hdr;
    uint32_t timescale, ticks; /* output ticks per source tick */
    uint32_t fps_num, fps_den;
    struct transcode_tone tone;
    uint8_t codec, tolerant; /* enum rr_codec; class: devices may scale and encode */
    char preset[16];
    uint32_t audio_bps;  /* of one or two channels */
    uint8_t audio_codec; /* enum rr_audio_codec */
    uint8_t audio_count, subtitle_count;
    struct transcode_track audio[RR_TRACKS_MAX], subtitles[RR_TRACKS_MAX];
    uint8_t rung_count;
    struct transcode_rung rungs[RR_RUNGS_MAX];
};
#endif

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What parent and workers reckon alike: places on the grid, bytes of pictures, and bits: what is
 * usual, what a limit means for one GOP, when a GOP is encoded again. */
#ifndef RR_TRANSCODE_RATE_H
#define RR_TRANSCODE_RATE_H
#include "transcode/transcode_proto.h"

/* ---- arithmetic both sides must agree on (transcode_proto.c) ---- */
/* The cell of the GOP grid that a picture belongs to. */
uint32_t transcode_cell(const struct transcode_plan *plan, int64_t pts);
/* Bytes from row to row: swscale's SIMD writes past the end of a row, so rows are padded (ours). */
#define TRANSCODE_ALIGN 64u
uint32_t transcode_stride(const struct transcode_plan *plan, uint32_t width);
/* Bytes of one raw picture of a rung: planar 4:2:0, Y, Cb, Cr. */
uint64_t transcode_frame_bytes(const struct transcode_plan *plan,
                               const struct transcode_rung *rung);
/* value * num / den rounded down, in 128 bits; den > 0. */
int64_t transcode_rescale(int64_t value, int64_t num, int64_t den);

/* ---- rates ---- */

#define TRANSCODE_CRF_MAX(codec) ((codec) == RR_CODEC_AV1 || (codec) == RR_CODEC_VP9 ? 63u : 51u)
/* Mean kbit/s that is usual for pictures of that codec, size and rate; at least 50. */
uint32_t transcode_rate_usual(uint8_t codec, uint32_t width, uint32_t height, uint32_t fps_num,
                              uint32_t fps_den);
/* Ten times the level. */
unsigned transcode_level_vp9(const struct transcode_plan *plan, const struct transcode_rung *rung);
/* What a codec takes of H.264's rate. */
unsigned transcode_rate_percent(uint8_t codec);
/* Fills in what the rungs' rates leave open: RR_KBPS_AUTO, a limit for every mean, crf. By the
 * pictures as they come out: HDR that stays takes more. */
void transcode_rates_fit(struct transcode_plan *plan, uint16_t crf);
/* What an encoder of that GOP is told of a limit. bytes_max: UINT64_MAX without a limit. */
struct transcode_vbv {
    uint32_t rate_kbps, buffer_kbit;
    uint16_t start_permille;        /* how full the buffer is before the first picture */
    uint64_t bytes_mean, bytes_max; /* of the GOP's access units */
};
void transcode_vbv(struct transcode_vbv *out, const struct transcode_encode *ask);
/* Encodes of one GOP at most: a limit that is not kept is tried again with less, and a mean that is
 * missed by far with more, the latter seldom (measured: two tries serve, bar limits that no quality
 * reaches). */
#define TRANSCODE_TRIES_MAX  6
#define TRANSCODE_RAISES_MAX 3
/* The rate of the next try after `tries` of them, the last of `bytes`; false: the last one stays.
 */
bool transcode_rate_again(struct rr_rung_rate *rate, uint8_t codec, const struct transcode_vbv *vbv,
                          uint64_t bytes, unsigned tries);

/* What the plan's rungs cost, by pieces of the source. */
struct transcode_measure {
    struct transcode_plan plan;
    int64_t duration_us;
};
struct transcode_measured_rung {
    uint64_t key_bytes, other_bytes; /* of first pictures, of the rest */
};
struct transcode_measured {
    uint32_t pieces, others; /* first pictures, and others */
    uint8_t rung_count;
    struct transcode_measured_rung rungs[RR_RUNGS_MAX];
};
void transcode_code_measure(struct transcode_coder *coder, struct transcode_measure *m);
void transcode_code_measured(struct transcode_coder *coder, struct transcode_measured *m);
#endif

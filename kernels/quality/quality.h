/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How far one picture plane is from another: squared error, structural similarity (SSIM), means,
 * fine detail (Laplacian energy). Every figure is an integer that is the same on every machine and
 * variant, for verdicts are built on them. */
#ifndef RR_QUALITY_H
#define RR_QUALITY_H
#include <stddef.h>
#include <stdint.h>

/* SSIM as an integer: RR_QUALITY_ONE stands for 1.0, planes that are equal. */
#define RR_QUALITY_ONE   (INT32_C(1) << 30)
#define RR_QUALITY_TILES 8 /* columns and rows of tiles */

/* Samples of 8 bits are bytes, of 9 and 10 bits uint16_t of this machine's order with the value in
 * the low bits; no sample may be above its depth. */
struct rr_quality_shape {
    uint32_t width, height; /* 1 .. 65536 */
    unsigned depth;         /* 8, 9 or 10 */
};
/* One plane of one picture against another. */
struct rr_quality {
    uint64_t samples;
    uint64_t sse;                  /* sum of squared differences */
    uint64_t sum_a, sum_b;         /* of all samples: means */
    uint64_t laplace_a, laplace_b; /* sums of (4 p - left - right - above - below)^2, inside */
    int64_t ssim_sum;              /* over all windows, each at most RR_QUALITY_ONE */
    uint64_t windows;              /* 8x8 samples, every 4; 0: the plane is too small for one */
    int32_t window_min;            /* the worst one */
    /* The plane cut into 8 x 8 tiles, row by row; a tile's windows begin in it. */
    int64_t tile_sum[RR_QUALITY_TILES * RR_QUALITY_TILES];
    uint64_t tile_windows[RR_QUALITY_TILES * RR_QUALITY_TILES];
};

/* Bytes of working room for planes of that width. */
size_t rr_quality_room(uint32_t width);
/* Compares plane a with plane b; strides in bytes, no alignment asked. room: rr_quality_room bytes,
 * aligned for uint32_t. Any thread; each with its own room.
 * SSIM is [Wang 2004 eq 13] on windows of 8x8 samples at multiples of 4, equal weights, variances
 * over 63, C1 = (0.01 L)^2 / 64 (not the paper's: what
 * x264 and ffmpeg's filter "ssim" have, so that figures can be compared), C2 = (0.03 L)^2. A
 * window's value is the quotient of two doubles, each one rounded product of two exact integers,
 * times 2^30, cut towards 0: IEEE 754 leaves no choice, and sums of integers know no order (ours).
 */
void rr_quality_plane(struct rr_quality *out, const uint8_t *a, size_t a_stride, const uint8_t *b,
                      size_t b_stride, const struct rr_quality_shape *shape, void *room);

/* Mean of the windows; RR_QUALITY_ONE when there are none. */
int32_t rr_quality_ssim(const struct rr_quality *one);
/* Mean of the worst tile; RR_QUALITY_ONE when there are none. */
int32_t rr_quality_tile_min(const struct rr_quality *one);

/* For people, not for verdicts: 10 lg(max^2 samples / sse) in dB; 100 where that is more, or no
 * error at all. */
double rr_quality_psnr_db(uint64_t sse, uint64_t samples, unsigned depth);
#endif

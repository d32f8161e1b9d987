/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* HDR pictures (PQ, HLG) to SDR BT.709, in whole numbers: tables and pictures are equal on every
 * compiler and machine, because a spot check compares what was encoded from them. Pure compute,
 * never fails, any thread. */
#ifndef RR_TONEMAP_H
#define RR_TONEMAP_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RR_TONEMAP_WHITE_NITS 203 /* HDR reference white, SDR's full white here [BT.2408, 2.1] */

/* What the pictures are; numbers of ITU-T H.273. */
struct rr_tonemap_from {
    uint8_t transfer;   /* 16 PQ, 18 HLG */
    uint8_t primaries;  /* 9 BT.2020, 12 P3-D65, else taken for BT.709's */
    uint8_t matrix;     /* 9 and 10 BT.2020, else taken for BT.709's */
    bool full_range;    /* of 10-bit codes */
    uint16_t peak_nits; /* brightest that they show, 250..10000; HLG: of the display, 1000 */
};

#define RR_TONEMAP_CODES 16384 /* of R'G'B' in 14 bits */
#define RR_TONEMAP_STEPS 22529 /* light in steps of 1/1024 of each octave, 2^-24 to 2^7 */
struct rr_tonemap {
    int32_t luma, chroma[4];          /* Y'CbCr to R'G'B', Q14 */
    int32_t black;                    /* code of Y' = 0 */
    int32_t gamut[9];                 /* to BT.709's primaries, Q16, rows R G B */
    bool scene;                       /* light[] is of the scene (HLG) */
    uint32_t light[RR_TONEMAP_CODES]; /* of a code, Q24; 1 is white, for a scene its peak */
    uint32_t shown[RR_TONEMAP_STEPS]; /* scene: gain to display light, by luminance, Q20 */
    uint32_t gain[RR_TONEMAP_STEPS];  /* of the tone curve, by the largest of R G B, Q16 */
    uint16_t code[RR_TONEMAP_STEPS];  /* R'G'B' of light up to 1, 0..65535 */
};
/* The curve: BT.2390-11 5.4.1 (EETF, black 0) on the largest of R, G and B, so that hues stay; then
 * BT.709's primaries, cut off at 0 and 1, and the inverse of BT.1886's 2.4. HLG: BT.2100's display
 * with gamma 1.2 first. */
void rr_tonemap_init(struct rr_tonemap *map, const struct rr_tonemap_from *from);

/* One 4:2:0 picture of even sides: planes Y, Cb, Cr of 10-bit codes in 16-bit words of this
 * machine's order, strides in bytes, to 8-bit codes of limited range. */
void rr_tonemap_picture(const struct rr_tonemap *map, uint8_t *const out[static 3],
                        const size_t out_strides[static 3], const uint8_t *const in[static 3],
                        const size_t in_strides[static 3], uint32_t width, uint32_t height);

/* The parts, for tests: light of a PQ signal and its way back, both Q32, 1 is 10000 cd/m2. */
uint64_t rr_tonemap_pq_light(uint64_t signal_q32);
uint64_t rr_tonemap_pq_signal(uint64_t light_q32);
#endif

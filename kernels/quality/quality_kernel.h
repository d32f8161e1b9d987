/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Private to quality: what a variant for wide registers brings. */
#ifndef RR_QUALITY_KERNEL_H
#define RR_QUALITY_KERNEL_H
#include "quality/quality.h"

/* Sums over blocks of 4x4 samples, an array each. */
struct quality_sums {
    uint32_t *a, *b;   /* of samples */
    uint32_t *squares; /* of both planes */
    uint32_t *products;
};
struct quality_kernel {
    /* `count` blocks side by side, from rows a and b on. */
    void (*blocks8)(const struct quality_sums *out, const uint8_t *a, size_t a_stride,
                    const uint8_t *b, size_t b_stride, uint32_t count);
    void (*blocks16)(const struct quality_sums *out, const uint8_t *a, size_t a_stride,
                     const uint8_t *b, size_t b_stride, uint32_t count);
    /* SSIM of `count` windows, of 2x2 blocks each: count + 1 blocks of two rows of blocks. */
    void (*windows)(int32_t *out, const struct quality_sums *above,
                    const struct quality_sums *below, uint32_t count, uint32_t c1, uint32_t c2);
    /* Energy of a row without its first and last sample; width >= 3. */
    uint64_t (*laplace8)(const uint8_t *above, const uint8_t *row, const uint8_t *below,
                         uint32_t width);
    uint64_t (*laplace16)(const uint8_t *above, const uint8_t *row, const uint8_t *below,
                          uint32_t width);
};
extern const struct quality_kernel quality_ref;
extern const struct quality_kernel quality_avx2; /* x86-64 only */
/* The widest variant that rr_cpu_features allows. */
const struct quality_kernel *quality_kernel(void);
#endif

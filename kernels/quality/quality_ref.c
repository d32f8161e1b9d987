/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The law of the parts that have variants. */
#include "quality/quality_kernel.h"
#include <string.h>

static inline uint32_t sample(const uint8_t *row, uint32_t x, unsigned bytes)
{
    uint16_t value;
    if (bytes == 1) {
        return row[x];
    }
    memcpy(&value, row + (size_t)2 * x, 2);
    return value;
}

static inline void blocks(const struct quality_sums *out, const uint8_t *a, size_t a_stride,
                          const uint8_t *b, size_t b_stride, uint32_t count, unsigned bytes)
{
    for (uint32_t i = 0; i < count; i++) {
        uint32_t sum_a = 0, sum_b = 0, squares = 0, products = 0;
        for (uint32_t y = 0; y < 4; y++) {
            for (uint32_t x = 4 * i; x < 4 * i + 4; x++) {
                uint32_t p = sample(a + y * a_stride, x, bytes);
                uint32_t q = sample(b + y * b_stride, x, bytes);
                sum_a += p;
                sum_b += q;
                squares += p * p + q * q;
                products += p * q;
            }
        }
        out->a[i] = sum_a;
        out->b[i] = sum_b;
        out->squares[i] = squares;
        out->products[i] = products;
    }
}

static void blocks8(const struct quality_sums *out, const uint8_t *a, size_t a_stride,
                    const uint8_t *b, size_t b_stride, uint32_t count)
{
    blocks(out, a, a_stride, b, b_stride, count, 1);
}

static void blocks16(const struct quality_sums *out, const uint8_t *a, size_t a_stride,
                     const uint8_t *b, size_t b_stride, uint32_t count)
{
    blocks(out, a, a_stride, b, b_stride, count, 2);
}

/* All values but the two products and their quotient are integers below 2^53: exact. */
static int32_t window(double a, double b, double squares, double products, double c1, double c2)
{
    double spread = 64 * squares - a * a - b * b;
    double common = 64 * products - a * b;
    double above = (2 * a * b + c1) * (2 * common + c2);
    double below = (a * a + b * b + c1) * (spread + c2);
    return (int32_t)(above / below * RR_QUALITY_ONE);
}

static uint32_t four(const uint32_t *above, const uint32_t *below, uint32_t i)
{
    return above[i] + above[i + 1] + below[i] + below[i + 1];
}

static void windows(int32_t *out, const struct quality_sums *above,
                    const struct quality_sums *below, uint32_t count, uint32_t c1, uint32_t c2)
{
    for (uint32_t i = 0; i < count; i++) {
        out[i] = window(four(above->a, below->a, i), four(above->b, below->b, i),
                        four(above->squares, below->squares, i),
                        four(above->products, below->products, i), c1, c2);
    }
}

static inline uint64_t laplace(const uint8_t *above, const uint8_t *row, const uint8_t *below,
                               uint32_t width, unsigned bytes)
{
    uint64_t energy = 0;
    for (uint32_t x = 1; x + 1 < width; x++) {
        int32_t value = 4 * (int32_t)sample(row, x, bytes) - (int32_t)sample(row, x - 1, bytes) -
                        (int32_t)sample(row, x + 1, bytes) - (int32_t)sample(above, x, bytes) -
                        (int32_t)sample(below, x, bytes);
        energy += (uint32_t)(value * value);
    }
    return energy;
}

static uint64_t laplace8(const uint8_t *above, const uint8_t *row, const uint8_t *below,
                         uint32_t width)
{
    return laplace(above, row, below, width, 1);
}

static uint64_t laplace16(const uint8_t *above, const uint8_t *row, const uint8_t *below,
                          uint32_t width)
{
    return laplace(above, row, below, width, 2);
}

const struct quality_kernel quality_ref = {.blocks8 = blocks8,
                                           .blocks16 = blocks16,
                                           .windows = windows,
                                           .laplace8 = laplace8,
                                           .laplace16 = laplace16};

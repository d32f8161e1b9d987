/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Four blocks, four windows or sixteen samples at a time; what is left over is the law's. */
#include "quality/quality_kernel.h"
#include <immintrin.h>

#define vec __m256i

static inline vec load8(const uint8_t *p)
{
    return _mm256_cvtepu8_epi16(_mm_loadu_si128((const __m128i *)(const void *)p));
}

static inline vec load16(const uint8_t *p)
{
    return _mm256_loadu_si256((const vec *)(const void *)p);
}

static inline void store_pair(uint32_t *first, uint32_t *second, vec pairs_first, vec pairs_second)
{
    /* Sums of neighbours: first 0 1, second 0 1, first 2 3, second 2 3; the middle ones change. */
    vec both = _mm256_hadd_epi32(pairs_first, pairs_second);
    both = _mm256_permute4x64_epi64(both, 0xd8);
    _mm_storeu_si128((__m128i *)(void *)first, _mm256_castsi256_si128(both));
    _mm_storeu_si128((__m128i *)(void *)second, _mm256_extracti128_si256(both, 1));
}

static inline struct quality_sums sums_from(const struct quality_sums *sums, uint32_t at)
{
    return (struct quality_sums){.a = sums->a + at,
                                 .b = sums->b + at,
                                 .squares = sums->squares + at,
                                 .products = sums->products + at};
}

#define BLOCKS(name, load, bytes, rest)                                                            \
    static void name(const struct quality_sums *out, const uint8_t *a, size_t a_stride,            \
                     const uint8_t *b, size_t b_stride, uint32_t count)                            \
    {                                                                                              \
        const vec ones = _mm256_set1_epi16(1);                                                     \
        uint32_t i = 0;                                                                            \
        for (; i + 4 <= count; i += 4) {                                                           \
            const uint8_t *p = a + (size_t)4 * (bytes)*i, *q = b + (size_t)4 * (bytes)*i;          \
            vec sum_a = _mm256_setzero_si256(), sum_b = sum_a, squares = sum_a, products = sum_a;  \
            for (unsigned y = 0; y < 4; y++, p += a_stride, q += b_stride) {                       \
                vec u = load(p), v = load(q);                                                      \
                sum_a = _mm256_add_epi16(sum_a, u);                                                \
                sum_b = _mm256_add_epi16(sum_b, v);                                                \
                squares = _mm256_add_epi32(squares, _mm256_madd_epi16(u, u));                      \
                squares = _mm256_add_epi32(squares, _mm256_madd_epi16(v, v));                      \
                products = _mm256_add_epi32(products, _mm256_madd_epi16(u, v));                    \
            }                                                                                      \
            store_pair(out->a + i, out->b + i, _mm256_madd_epi16(sum_a, ones),                     \
                       _mm256_madd_epi16(sum_b, ones));                                            \
            store_pair(out->squares + i, out->products + i, squares, products);                    \
        }                                                                                          \
        struct quality_sums left = sums_from(out, i);                                              \
        quality_ref.rest(&left, a + (size_t)4 * (bytes)*i, a_stride, b + (size_t)4 * (bytes)*i,    \
                         b_stride, count - i);                                                     \
    }
BLOCKS(blocks8, load8, 1u, blocks8)
BLOCKS(blocks16, load16, 2u, blocks16)

static inline __m256d four(const uint32_t *above, const uint32_t *below)
{
    const __m128i *up = (const __m128i *)(const void *)above;
    const __m128i *down = (const __m128i *)(const void *)below;
    const __m128i *up_next = (const __m128i *)(const void *)(above + 1);
    const __m128i *down_next = (const __m128i *)(const void *)(below + 1);
    __m128i sum = _mm_add_epi32(_mm_add_epi32(_mm_loadu_si128(up), _mm_loadu_si128(up_next)),
                                _mm_add_epi32(_mm_loadu_si128(down), _mm_loadu_si128(down_next)));
    return _mm256_cvtepi32_pd(sum);
}

static void windows(int32_t *out, const struct quality_sums *above,
                    const struct quality_sums *below, uint32_t count, uint32_t c1, uint32_t c2)
{
    const __m256d k1 = _mm256_set1_pd(c1), k2 = _mm256_set1_pd(c2), wide = _mm256_set1_pd(64);
    const __m256d one = _mm256_set1_pd(RR_QUALITY_ONE);
    uint32_t i = 0;
    for (; i + 4 <= count; i += 4) {
        __m256d a = four(above->a + i, below->a + i), b = four(above->b + i, below->b + i);
        __m256d squares = four(above->squares + i, below->squares + i);
        __m256d products = four(above->products + i, below->products + i);
        __m256d level = _mm256_add_pd(_mm256_mul_pd(a, a), _mm256_mul_pd(b, b));
        __m256d cross = _mm256_mul_pd(a, b);
        __m256d spread = _mm256_sub_pd(_mm256_mul_pd(wide, squares), level);
        __m256d common = _mm256_sub_pd(_mm256_mul_pd(wide, products), cross);
        __m256d up = _mm256_mul_pd(_mm256_add_pd(_mm256_add_pd(cross, cross), k1),
                                   _mm256_add_pd(_mm256_add_pd(common, common), k2));
        __m256d down = _mm256_mul_pd(_mm256_add_pd(level, k1), _mm256_add_pd(spread, k2));
        __m128i value = _mm256_cvttpd_epi32(_mm256_mul_pd(_mm256_div_pd(up, down), one));
        _mm_storeu_si128((__m128i *)(void *)(out + i), value);
    }
    struct quality_sums up = sums_from(above, i), down = sums_from(below, i);
    quality_ref.windows(out + i, &up, &down, count - i, c1, c2);
}

static inline uint64_t total(vec words)
{
    uint32_t lane[8];
    uint64_t sum = 0;
    _mm256_storeu_si256((vec *)(void *)lane, words);
    for (unsigned i = 0; i < 8; i++) {
        sum += lane[i];
    }
    return sum;
}

#define FLUSH 64u /* a step adds at most 2 * 4092^2 < 2^26 to a lane of 32 bits */

#define LAPLACE(name, load, bytes, rest)                                                           \
    static uint64_t name(const uint8_t *above, const uint8_t *row, const uint8_t *below,           \
                         uint32_t width)                                                           \
    {                                                                                              \
        uint64_t energy = 0;                                                                       \
        vec words = _mm256_setzero_si256();                                                        \
        uint32_t x = 1, steps = 0;                                                                 \
        for (; x + 17 <= width; x += 16) {                                                         \
            size_t at = (size_t)(bytes)*x;                                                         \
            vec around = _mm256_add_epi16(load(above + at), load(below + at));                     \
            around = _mm256_add_epi16(around, load(row + at - (bytes)));                           \
            around = _mm256_add_epi16(around, load(row + at + (bytes)));                           \
            vec value = _mm256_sub_epi16(_mm256_slli_epi16(load(row + at), 2), around);            \
            words = _mm256_add_epi32(words, _mm256_madd_epi16(value, value));                      \
            if (++steps == FLUSH) {                                                                \
                energy += total(words);                                                            \
                words = _mm256_setzero_si256();                                                    \
                steps = 0;                                                                         \
            }                                                                                      \
        }                                                                                          \
        size_t at = (size_t)(bytes) * (x - 1);                                                     \
        return energy + total(words) +                                                             \
               quality_ref.rest(above + at, row + at, below + at, width - (x - 1));                \
    }
LAPLACE(laplace8, load8, 1u, laplace8)
LAPLACE(laplace16, load16, 2u, laplace16)

const struct quality_kernel quality_avx2 = {.blocks8 = blocks8,
                                            .blocks16 = blocks16,
                                            .windows = windows,
                                            .laplace8 = laplace8,
                                            .laplace16 = laplace16};

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Eight chunks, or parents, at a time. */
#include "blake3/blake3_kernel.h"
#include <immintrin.h>

#define LANES 8
#define vec   __m256i

static inline vec add(vec a, vec b)
{
    return _mm256_add_epi32(a, b);
}

static inline vec exor(vec a, vec b)
{
    return _mm256_xor_si256(a, b);
}

static inline vec turn16(vec a)
{
    const vec bytes = _mm256_set_epi8(13, 12, 15, 14, 9, 8, 11, 10, 5, 4, 7, 6, 1, 0, 3, 2, 13, 12,
                                      15, 14, 9, 8, 11, 10, 5, 4, 7, 6, 1, 0, 3, 2);
    return _mm256_shuffle_epi8(a, bytes);
}

static inline vec turn12(vec a)
{
    return _mm256_or_si256(_mm256_srli_epi32(a, 12), _mm256_slli_epi32(a, 20));
}

static inline vec turn8(vec a)
{
    const vec bytes = _mm256_set_epi8(12, 15, 14, 13, 8, 11, 10, 9, 4, 7, 6, 5, 0, 3, 2, 1, 12, 15,
                                      14, 13, 8, 11, 10, 9, 4, 7, 6, 5, 0, 3, 2, 1);
    return _mm256_shuffle_epi8(a, bytes);
}

static inline vec turn7(vec a)
{
    return _mm256_or_si256(_mm256_srli_epi32(a, 7), _mm256_slli_epi32(a, 25));
}

static inline vec spread(uint32_t word)
{
    return _mm256_set1_epi32((int)word);
}

/* Rows of 8 words become columns. */
static inline void transpose(vec m[static 8])
{
    vec t[8], u[8];
    for (int i = 0; i < 8; i += 2) {
        t[i] = _mm256_unpacklo_epi32(m[i], m[i + 1]);
        t[i + 1] = _mm256_unpackhi_epi32(m[i], m[i + 1]);
    }
    for (int i = 0; i < 8; i += 4) { /* u[i + j]: word j of each half, of four rows */
        u[i] = _mm256_unpacklo_epi64(t[i], t[i + 2]);
        u[i + 1] = _mm256_unpackhi_epi64(t[i], t[i + 2]);
        u[i + 2] = _mm256_unpacklo_epi64(t[i + 1], t[i + 3]);
        u[i + 3] = _mm256_unpackhi_epi64(t[i + 1], t[i + 3]);
    }
    for (int j = 0; j < 4; j++) {
        m[j] = _mm256_permute2x128_si256(u[j], u[4 + j], 0x20);
        m[4 + j] = _mm256_permute2x128_si256(u[j], u[4 + j], 0x31);
    }
}

static inline vec load(const uint8_t *p)
{
    return _mm256_loadu_si256((const vec *)(const void *)p);
}

static inline void load_blocks(vec m[static 16], const uint8_t *const from[static LANES], size_t at)
{
    for (int i = 0; i < LANES; i++) {
        m[i] = load(from[i] + at);
        m[8 + i] = load(from[i] + at + 32);
    }
    transpose(m);
    transpose(m + 8);
}

static inline void store_values(uint8_t *out, const vec cv[static 8], size_t count)
{
    vec m[8];
    for (int i = 0; i < 8; i++) {
        m[i] = cv[i];
    }
    transpose(m);
    for (size_t i = 0; i < count; i++) {
        _mm256_storeu_si256((vec *)(void *)(out + 32 * i), m[i]);
    }
}

#include "blake3/blake3_wide.h"

const struct blake3_kernel blake3_avx2 = {
    .lanes = LANES, .chunks = wide_chunks, .parents = wide_parents};

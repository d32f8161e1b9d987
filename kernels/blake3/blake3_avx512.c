/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Sixteen chunks, or parents, at a time. */
#include "blake3/blake3_kernel.h"
#include <immintrin.h>

#define LANES 16
#define vec   __m512i

static inline vec add(vec a, vec b)
{
    return _mm512_add_epi32(a, b);
}

static inline vec exor(vec a, vec b)
{
    return _mm512_xor_si512(a, b);
}

static inline vec turn16(vec a)
{
    return _mm512_ror_epi32(a, 16);
}

static inline vec turn12(vec a)
{
    return _mm512_ror_epi32(a, 12);
}

static inline vec turn8(vec a)
{
    return _mm512_ror_epi32(a, 8);
}

static inline vec turn7(vec a)
{
    return _mm512_ror_epi32(a, 7);
}

static inline vec spread(uint32_t word)
{
    return _mm512_set1_epi32((int)word);
}

/* Rows of 16 words become columns: first within groups of four rows and 128-bit parts, then the
 * parts. */
static inline void transpose(vec m[static 16])
{
    vec t[16], u[16];
    for (int i = 0; i < 16; i += 2) {
        t[i] = _mm512_unpacklo_epi32(m[i], m[i + 1]);
        t[i + 1] = _mm512_unpackhi_epi32(m[i], m[i + 1]);
    }
    for (int i = 0; i < 16; i += 4) { /* u[i + j]: word j of each part, of four rows */
        u[i] = _mm512_unpacklo_epi64(t[i], t[i + 2]);
        u[i + 1] = _mm512_unpackhi_epi64(t[i], t[i + 2]);
        u[i + 2] = _mm512_unpacklo_epi64(t[i + 1], t[i + 3]);
        u[i + 3] = _mm512_unpackhi_epi64(t[i + 1], t[i + 3]);
    }
    for (int j = 0; j < 4; j++) {
        vec a = _mm512_shuffle_i32x4(u[j], u[4 + j], 0x88); /* parts 0 and 2 of both */
        vec b = _mm512_shuffle_i32x4(u[j], u[4 + j], 0xdd);
        vec c = _mm512_shuffle_i32x4(u[8 + j], u[12 + j], 0x88);
        vec d = _mm512_shuffle_i32x4(u[8 + j], u[12 + j], 0xdd);
        m[j] = _mm512_shuffle_i32x4(a, c, 0x88);
        m[4 + j] = _mm512_shuffle_i32x4(b, d, 0x88);
        m[8 + j] = _mm512_shuffle_i32x4(a, c, 0xdd);
        m[12 + j] = _mm512_shuffle_i32x4(b, d, 0xdd);
    }
}

static inline void load_blocks(vec m[static 16], const uint8_t *const from[static LANES], size_t at)
{
    for (int i = 0; i < 16; i++) {
        m[i] = _mm512_loadu_si512(from[i] + at);
    }
    transpose(m);
}

static inline void store_values(uint8_t *out, const vec cv[static 8], size_t count)
{
    vec m[16];
    for (int i = 0; i < 16; i++) {
        m[i] = i < 8 ? cv[i] : _mm512_setzero_si512();
    }
    transpose(m);
    for (size_t i = 0; i < count; i++) {
        _mm256_storeu_si256((__m256i *)(void *)(out + 32 * i), _mm512_castsi512_si256(m[i]));
    }
}

#include "blake3/blake3_wide.h"

const struct blake3_kernel blake3_avx512 = {
    .lanes = LANES, .chunks = wide_chunks, .parents = wide_parents};

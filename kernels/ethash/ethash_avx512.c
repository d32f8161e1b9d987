/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A node is one register, and so are the indices of 16 nodes. */
#include "ethash/ethash_parts.h"
#include "keccak/keccak_lanes.h"
#include <immintrin.h>

#define GROUPS  4
#define GROUP   16
#define STATES  8
#define permute keccak_f1600_x8_avx512
#define vec     __m512i

static inline vec spread(uint32_t word)
{
    return _mm512_set1_epi32((int)word);
}

static inline vec counting(void)
{
    return _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
}

static inline vec add(vec a, vec b)
{
    return _mm512_add_epi32(a, b);
}

static inline vec exor(vec a, vec b)
{
    return _mm512_xor_si512(a, b);
}

static inline vec multiply(vec a, vec b)
{
    return _mm512_mullo_epi32(a, b);
}

static inline vec high(vec a, vec b)
{
    vec even = _mm512_srli_epi64(_mm512_mul_epu32(a, b), 32);
    vec odd = _mm512_mul_epu32(_mm512_srli_epi64(a, 32), _mm512_srli_epi64(b, 32));
    return _mm512_mask_blend_epi32(0xaaaa, even, odd);
}

static inline vec less(vec a, vec b)
{
    return _mm512_min_epu32(a, _mm512_sub_epi32(a, b));
}

static inline vec subtract(vec a, vec b)
{
    return _mm512_sub_epi32(a, b);
}

static inline void put(uint32_t to[static GROUP], vec from)
{
    _mm512_storeu_si512(to, from);
}

static inline void mix_node(struct rr_ethash_node *mix, const struct rr_ethash_node *with)
{
    vec product = multiply(_mm512_loadu_si512(mix), spread(ETHASH_FNV_PRIME));
    _mm512_storeu_si512(mix, exor(product, _mm512_loadu_si512(with)));
}

static inline void stream_node(struct rr_ethash_node *to, const struct rr_ethash_node *from)
{
    _mm512_stream_si512((void *)to, _mm512_loadu_si512(from));
}

static inline void fence(void)
{
    _mm_sfence();
}

/* By single reads, not by a gather: those cost several times as much where microcode guards them.
 */
static inline vec collect(const struct rr_ethash_node *nodes, size_t stride, size_t word)
{
#define AT(i) ((int)nodes[(i)*stride].word[word])
    return _mm512_set_epi32(AT(15), AT(14), AT(13), AT(12), AT(11), AT(10), AT(9), AT(8), AT(7),
                            AT(6), AT(5), AT(4), AT(3), AT(2), AT(1), AT(0));
#undef AT
}

#include "ethash/ethash_wide.h"

#include "ethash/ethash_tries_wide.h"

const struct rr_ethash_kernels ethash_kernels_avx512 = {
    .name = "avx512",
    .needs = RR_CPU_AVX512,
    .batch = GROUPS * GROUP,
    .items = items,
    .full = full,
    .light = light,
};

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A node is two registers, the indices of 8 nodes are one. */
#include "ethash/ethash_parts.h"
#include "keccak/keccak_lanes.h"
#include <immintrin.h>

#define GROUP   8
#define GROUPS  8
#define STATES  4
#define permute keccak_f1600_x4_avx2
#define vec     __m256i

static inline vec spread(uint32_t word)
{
    return _mm256_set1_epi32((int)word);
}

static inline vec counting(void)
{
    return _mm256_set_epi32(7, 6, 5, 4, 3, 2, 1, 0);
}

static inline vec add(vec a, vec b)
{
    return _mm256_add_epi32(a, b);
}

static inline vec exor(vec a, vec b)
{
    return _mm256_xor_si256(a, b);
}

static inline vec multiply(vec a, vec b)
{
    return _mm256_mullo_epi32(a, b);
}

static inline vec high(vec a, vec b)
{
    vec even = _mm256_srli_epi64(_mm256_mul_epu32(a, b), 32);
    vec odd = _mm256_mul_epu32(_mm256_srli_epi64(a, 32), _mm256_srli_epi64(b, 32));
    return _mm256_blend_epi32(even, odd, 0xaa);
}

static inline vec less(vec a, vec b)
{
    return _mm256_min_epu32(a, _mm256_sub_epi32(a, b));
}

static inline vec subtract(vec a, vec b)
{
    return _mm256_sub_epi32(a, b);
}

static inline void put(uint32_t to[static GROUP], vec from)
{
    _mm256_storeu_si256((void *)to, from);
}

static inline void mix_node(struct rr_ethash_node *mix, const struct rr_ethash_node *with)
{
    for (int half = 0; half < 16; half += GROUP) {
        vec *at = (void *)(mix->word + half);
        vec product = multiply(_mm256_loadu_si256(at), spread(ETHASH_FNV_PRIME));
        vec other = _mm256_loadu_si256((const void *)(with->word + half));
        _mm256_storeu_si256(at, exor(product, other));
    }
}

static inline void stream_node(struct rr_ethash_node *to, const struct rr_ethash_node *from)
{
    for (int half = 0; half < 16; half += GROUP) {
        vec words = _mm256_loadu_si256((const void *)(from->word + half));
        _mm256_stream_si256((void *)(to->word + half), words);
    }
}

static inline void fence(void)
{
    _mm_sfence();
}

/* Word `word` of four nodes. Inserted one by one: gcc puts a vector of words together in memory,
 * and reading it from there waits for the stores. */
static inline __m128i collect_4(const struct rr_ethash_node *nodes, size_t stride, size_t word)
{
    __m128i low = _mm_cvtsi32_si128((int)nodes[0].word[word]);
    __m128i high = _mm_cvtsi32_si128((int)nodes[2 * stride].word[word]);
    low = _mm_insert_epi32(low, (int)nodes[stride].word[word], 1);
    high = _mm_insert_epi32(high, (int)nodes[3 * stride].word[word], 1);
    return _mm_unpacklo_epi64(low, high);
}

static inline vec collect(const struct rr_ethash_node *nodes, size_t stride, size_t word)
{
    return _mm256_set_m128i(collect_4(nodes + 4 * stride, stride, word),
                            collect_4(nodes, stride, word));
}

#include "ethash/ethash_wide.h"

#include "ethash/ethash_tries_wide.h"

const struct rr_ethash_kernels ethash_kernels_avx2 = {
    .name = "avx2",
    .needs = RR_CPU_AVX2,
    .batch = GROUPS * GROUP,
    .items = items,
    .full = full,
    .light = light,
};

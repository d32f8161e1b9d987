/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Four states, a register for each lane; there are 16 registers, so that most lanes wait in the
 * first cache. */
#include "cpu/cpu.h"
#include "keccak/keccak_lanes.h"
#include <immintrin.h>

static inline __m256i exor(__m256i a, __m256i b)
{
    return _mm256_xor_si256(a, b);
}

static inline __m256i rotate(__m256i v, int bits)
{
    return _mm256_or_si256(_mm256_slli_epi64(v, bits), _mm256_srli_epi64(v, 64 - bits));
}

static inline __m256i rotate8(__m256i v)
{
    return _mm256_shuffle_epi8(v, _mm256_set_epi8(14, 13, 12, 11, 10, 9, 8, 15, 6, 5, 4, 3, 2, 1, 0,
                                                  7, 14, 13, 12, 11, 10, 9, 8, 15, 6, 5, 4, 3, 2, 1,
                                                  0, 7));
}

static inline __m256i rotate56(__m256i v)
{
    return _mm256_shuffle_epi8(v, _mm256_set_epi8(8, 15, 14, 13, 12, 11, 10, 9, 0, 7, 6, 5, 4, 3, 2,
                                                  1, 8, 15, 14, 13, 12, 11, 10, 9, 0, 7, 6, 5, 4, 3,
                                                  2, 1));
}

/* chi */
static inline void row(__m256i out[static 5], __m256i a, __m256i b, __m256i c, __m256i d, __m256i e)
{
    out[0] = exor(a, _mm256_andnot_si256(b, c));
    out[1] = exor(b, _mm256_andnot_si256(c, d));
    out[2] = exor(c, _mm256_andnot_si256(d, e));
    out[3] = exor(d, _mm256_andnot_si256(e, a));
    out[4] = exor(e, _mm256_andnot_si256(a, b));
}

/* Lane i, which is in column x, after theta. */
#define LANE(i, x) exor(a[i], theta[x])

static inline void round_x4(__m256i out[static 25], const __m256i a[static 25], uint64_t constant)
{
    __m256i column[5];
    __m256i theta[5];
    for (int x = 0; x < 5; x++) {
        column[x] = exor(exor(exor(a[x], a[x + 5]), exor(a[x + 10], a[x + 15])), a[x + 20]);
    }
    for (int x = 0; x < 5; x++) {
        theta[x] = exor(column[(x + 4) % 5], rotate(column[(x + 1) % 5], 1));
    }
    row(out, LANE(0, 0), rotate(LANE(6, 1), 44), rotate(LANE(12, 2), 43), rotate(LANE(18, 3), 21),
        rotate(LANE(24, 4), 14));
    out[0] = exor(out[0], _mm256_set1_epi64x((long long)constant));
    row(out + 5, rotate(LANE(3, 3), 28), rotate(LANE(9, 4), 20), rotate(LANE(10, 0), 3),
        rotate(LANE(16, 1), 45), rotate(LANE(22, 2), 61));
    row(out + 10, rotate(LANE(1, 1), 1), rotate(LANE(7, 2), 6), rotate(LANE(13, 3), 25),
        rotate8(LANE(19, 4)), rotate(LANE(20, 0), 18));
    row(out + 15, rotate(LANE(4, 4), 27), rotate(LANE(5, 0), 36), rotate(LANE(11, 1), 10),
        rotate(LANE(17, 2), 15), rotate56(LANE(23, 3)));
    row(out + 20, rotate(LANE(2, 2), 62), rotate(LANE(8, 3), 55), rotate(LANE(14, 4), 39),
        rotate(LANE(15, 0), 41), rotate(LANE(21, 1), 2));
}

void keccak_f1600_x4_avx2(uint64_t *lanes)
{
    __m256i a[25];
    __m256i b[25];
    for (int i = 0; i < 25; i++) {
        a[i] = _mm256_loadu_si256((const void *)(lanes + (size_t)4 * i));
    }
    for (int r = 0; r < KECCAK_ROUNDS; r += 2) {
        round_x4(b, a, keccak_round_constant[r]);
        round_x4(a, b, keccak_round_constant[r + 1]);
    }
    for (int i = 0; i < 25; i++) {
        _mm256_storeu_si256((void *)(lanes + (size_t)4 * i), a[i]);
    }
}

const struct rr_keccak_kernels keccak_kernels_avx2 = {
    .name = "avx2", .needs = RR_CPU_AVX2, .states = 4, .permute = keccak_f1600_x4_avx2};

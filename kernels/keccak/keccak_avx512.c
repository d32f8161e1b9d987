/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Eight states, a register for each lane. Rows are finished one after the other, so that only the
 * old state, five columns and one row are alive: the 32 registers hold all of it. */
#include "cpu/cpu.h"
#include "keccak/keccak_lanes.h"
#include <immintrin.h>

static inline __m512i xor3(__m512i a, __m512i b, __m512i c)
{
    return _mm512_ternarylogic_epi64(a, b, c, 0x96);
}

/* chi: a ^ (~b & c) */
static inline __m512i chi(__m512i a, __m512i b, __m512i c)
{
    return _mm512_ternarylogic_epi64(a, b, c, 0xd2);
}

static inline void row(__m512i out[static 5], __m512i a, __m512i b, __m512i c, __m512i d, __m512i e)
{
    out[0] = chi(a, b, c);
    out[1] = chi(b, c, d);
    out[2] = chi(c, d, e);
    out[3] = chi(d, e, a);
    out[4] = chi(e, a, b);
}

/* Lane i, which is in column x, after theta and rho. */
#define MOVED(i, x, bits)                                                                          \
    _mm512_rol_epi64(xor3(a[i], column[((x) + 4) % 5], turned[((x) + 1) % 5]), bits)

static inline void round_x8(__m512i out[static 25], const __m512i a[static 25], uint64_t constant)
{
    __m512i column[5];
    __m512i turned[5];
    for (int x = 0; x < 5; x++) {
        column[x] = xor3(xor3(a[x], a[x + 5], a[x + 10]), a[x + 15], a[x + 20]);
        turned[x] = _mm512_rol_epi64(column[x], 1);
    }
    row(out, MOVED(0, 0, 0), MOVED(6, 1, 44), MOVED(12, 2, 43), MOVED(18, 3, 21), MOVED(24, 4, 14));
    out[0] = _mm512_xor_si512(out[0], _mm512_set1_epi64((long long)constant));
    row(out + 5, MOVED(3, 3, 28), MOVED(9, 4, 20), MOVED(10, 0, 3), MOVED(16, 1, 45),
        MOVED(22, 2, 61));
    row(out + 10, MOVED(1, 1, 1), MOVED(7, 2, 6), MOVED(13, 3, 25), MOVED(19, 4, 8),
        MOVED(20, 0, 18));
    row(out + 15, MOVED(4, 4, 27), MOVED(5, 0, 36), MOVED(11, 1, 10), MOVED(17, 2, 15),
        MOVED(23, 3, 56));
    row(out + 20, MOVED(2, 2, 62), MOVED(8, 3, 55), MOVED(14, 4, 39), MOVED(15, 0, 41),
        MOVED(21, 1, 2));
}

void keccak_f1600_x8_avx512(uint64_t *lanes)
{
    __m512i a[25];
    __m512i b[25];
    for (int i = 0; i < 25; i++) {
        a[i] = _mm512_loadu_si512(lanes + (size_t)8 * i);
    }
    for (int r = 0; r < KECCAK_ROUNDS; r += 2) {
        round_x8(b, a, keccak_round_constant[r]);
        round_x8(a, b, keccak_round_constant[r + 1]);
    }
    for (int i = 0; i < 25; i++) {
        _mm512_storeu_si512(lanes + (size_t)8 * i, a[i]);
    }
}

const struct rr_keccak_kernels keccak_kernels_avx512 = {
    .name = "avx512", .needs = RR_CPU_AVX512, .states = 8, .permute = keccak_f1600_x8_avx512};

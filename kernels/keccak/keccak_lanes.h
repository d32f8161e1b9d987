/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Private to kernels: permutations of several states side by side, and what they share. */
#ifndef RR_KECCAK_LANES_H
#define RR_KECCAK_LANES_H
#include "keccak/keccak.h"

#define KECCAK_ROUNDS 24
extern const uint64_t keccak_round_constant[KECCAK_ROUNDS];

/* Keccak-f[1600] of 8 or 4 states: lane i of state s at lanes[i][s]. Any alignment, any thread;
 * only where rr_cpu_features has RR_CPU_AVX512 or RR_CPU_AVX2. [Keccak reference 3.0, 1.2] */
void keccak_f1600_x8_avx512(uint64_t *lanes);
void keccak_f1600_x4_avx2(uint64_t *lanes);

extern const struct rr_keccak_kernels keccak_kernels_ref;
extern const struct rr_keccak_kernels keccak_kernels_avx2;
extern const struct rr_keccak_kernels keccak_kernels_avx512;
#endif

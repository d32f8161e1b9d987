/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the processor can run, for kernels that have variants: each chooses its best one out of this
 * mask, which configuration and tests can narrow. */
#ifndef RR_CPU_H
#define RR_CPU_H
#include <stdint.h>

#define RR_CPU_AVX2   1u /* AVX2, BMI1 and BMI2 */
#define RR_CPU_AVX512 2u /* AVX-512 F, BW, DQ and VL, and all of RR_CPU_AVX2 */
#define RR_CPU_ALL    UINT32_MAX

/* Features of this processor that the system has switched on and rr_cpu_narrow has left. Any
 * thread. */
uint32_t rr_cpu_features(void);
/* From now on at most the features in `mask`; RR_CPU_ALL: all there are. Kernels look at each call,
 * so that a narrowing holds at once; any thread. */
void rr_cpu_narrow(uint32_t mask);
/* "avx512", "avx2" or "plain": what kernels choose now, for reports. Static. */
const char *rr_cpu_text(void);
/* The maker's name of the processor, printable; "processor" where it tells none. Any thread. [Intel
 * SDM 2A, CPUID 80000002h] */
void rr_cpu_name(char out[static 49]);
#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which variant serves: the widest one that the processor has. */
#include "blake3/blake3_kernel.h"
#include "cpu/cpu.h"

#if defined(__x86_64__)
const struct blake3_kernel *blake3_kernel(void)
{
    uint32_t features = rr_cpu_features();
    return (features & RR_CPU_AVX512) != 0 ? &blake3_avx512
           : (features & RR_CPU_AVX2) != 0 ? &blake3_avx2
                                           : NULL;
}
#else
const struct blake3_kernel *blake3_kernel(void)
{
    return NULL;
}
#endif

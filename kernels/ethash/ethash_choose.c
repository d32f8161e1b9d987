/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "ethash/ethash_parts.h"

static const struct rr_ethash_kernels *const variants[] = {
    &ethash_kernels_ref,
#if defined(__x86_64__)
    &ethash_kernels_avx2,
    &ethash_kernels_avx512,
#endif
};
#define VARIANTS (sizeof(variants) / sizeof(variants[0]))

const struct rr_ethash_kernels *rr_ethash_kernels_at(size_t index)
{
    return index < VARIANTS ? variants[index] : NULL;
}

const struct rr_ethash_kernels *rr_ethash_kernels_choose(uint32_t mask)
{
    uint32_t have = rr_cpu_features() & mask;
    size_t best = VARIANTS - 1;
    while ((variants[best]->needs & ~have) != 0) {
        best--; /* ends at the law, which needs nothing */
    }
    return variants[best];
}

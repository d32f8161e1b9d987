/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "keccak/keccak_lanes.h"

static const struct rr_keccak_kernels *const variants[] = {
    &keccak_kernels_ref,
#if defined(__x86_64__)
    &keccak_kernels_avx2,
    &keccak_kernels_avx512,
#endif
};

const struct rr_keccak_kernels *rr_keccak_kernels_at(size_t index)
{
    return index < sizeof(variants) / sizeof(variants[0]) ? variants[index] : NULL;
}

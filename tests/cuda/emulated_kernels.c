/* SPDX-License-Identifier: GPL-2.0-or-later */
/* kernels/ethash/ethash.cu as C, behind a table; compiled twice (emulated_kernels_narrow.c). */
#include "cuda/emulator.h"
#ifndef EMULATED_TABLE
#define EMULATED_TABLE emulated_kernels
#endif
#include "ethash/ethash.cu"

#define RUN(kernel, type)                                                                          \
    static void run_##kernel(const void *arguments)                                                \
    {                                                                                              \
        struct rr_ethash_gpu_##type a;                                                             \
        memcpy(&a, arguments, sizeof(a));                                                          \
        rr_ethash_gpu_##kernel(a);                                                                 \
    }
RR_ETHASH_GPU_KERNELS(RUN)

#define ROW(kernel, type)                                                                          \
    {"rr_ethash_gpu_" #kernel, run_##kernel, sizeof(struct rr_ethash_gpu_##type)},
const struct emulated_kernel EMULATED_TABLE[EMULATED_KERNELS + 1] = {RR_ETHASH_GPU_KERNELS(ROW)};

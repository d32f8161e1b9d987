/* SPDX-License-Identifier: GPL-2.0-or-later */
/* kernels/ethash/ethash_probe.cu as C, behind a table. */
#include "cuda/emulator.h"
#include "ethash/ethash_probe.cu"

#define RUN(kernel, type)                                                                          \
    static void run_##kernel(const void *arguments)                                                \
    {                                                                                              \
        struct rr_ethash_gpu_##type a;                                                             \
        memcpy(&a, arguments, sizeof(a));                                                          \
        rr_ethash_gpu_##kernel(a);                                                                 \
    }
RR_ETHASH_PROBE_KERNELS(RUN)

#define ROW(kernel, type)                                                                          \
    {"rr_ethash_gpu_" #kernel, run_##kernel, sizeof(struct rr_ethash_gpu_##type)},
const struct emulated_kernel emulated_probes[EMULATED_KERNELS + 1] = {RR_ETHASH_PROBE_KERNELS(ROW)};

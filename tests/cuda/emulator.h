/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Runs the real CUDA kernels of kernels/ethash on a CPU: the threads of a block are fibres, warp
 * and block operations are meetings of theirs. What a GPU forbids or leaves open ends the program
 * with a sentence: lanes at different meetings, threads that leave while others wait. */
#ifndef RR_TESTS_EMULATOR_H
#define RR_TESTS_EMULATOR_H
#include <stddef.h>
#include <stdint.h>

#define EMULATOR_THREADS_MAX 256

struct emulated_kernel {
    const char *name;
    void (*run)(const void *arguments);
    size_t arguments_bytes;
};
/* Each ends with one without a name. Kernels compared by 64 bits as on the device, and by the top 6
 * bits alone, so that ties are common. */
#define EMULATED_KERNELS 11
extern const struct emulated_kernel emulated_kernels[EMULATED_KERNELS + 1];
extern const struct emulated_kernel emulated_kernels_narrow[EMULATED_KERNELS + 1];
extern const struct emulated_kernel emulated_probes[EMULATED_KERNELS + 1];
/* NULL: no such kernel. */
const struct emulated_kernel *emulated_find(const struct emulated_kernel *kernels,
                                            const char *name);

/* Runs `blocks` blocks of `threads` (a multiple of 32, at most EMULATOR_THREADS_MAX) one after
 * another; odd blocks run their threads backwards. Any OS thread, several at a time. */
void emulator_launch(const struct emulated_kernel *kernel, uint32_t blocks, uint32_t threads,
                     const void *arguments);
#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the kernel bodies ask of the machine, on a CPU: whoever runs the kernels without a GPU (the
 * emulator of the tests) defines the functions that need other threads of the block. */
#ifndef RR_ETHASH_GPU_HOST_H
#define RR_ETHASH_GPU_HOST_H
#include "ethash/ethash_gpu.h"
#include <string.h>

#define RR_GPU_FN                      static inline __attribute__((unused))
#define RR_GPU_KERNEL(threads, blocks) static void
#define RR_GPU_SHARED                  static _Thread_local /* blocks run one after another in a thread */
#define RR_GPU_ALIGNED(bytes)          _Alignas(bytes)
#define RR_GPU_TABLE                   static const
#define RR_GPU_UNROLL
#define RR_GPU_UNROLL_2
#define RR_GPU_NO_UNROLL
#define RR_GPU_HAS_BULK 1

/* Of the running thread: its number, threads of its block, the block's number. */
uint32_t gpu_thread(void);
uint32_t gpu_threads(void);
uint32_t gpu_block(void);
/* As __shfl_sync with all lanes, __syncthreads, __syncwarp, atomicAdd. */
uint32_t gpu_shuffle(uint32_t value, uint32_t from, int width);
void gpu_sync_block(void);
void gpu_sync_warp(void);
uint32_t gpu_take(uint32_t *counter, uint32_t step);
/* mbarrier with one arrival; the copy may happen as late as the wait for it. */
void gpu_barrier_init(uint64_t *barrier);
void gpu_barrier_expect(uint64_t *barrier, uint32_t bytes);
void gpu_barrier_wait(uint64_t *barrier, uint32_t phase);
void gpu_bulk_load(void *to, const void *from, uint32_t bytes, uint64_t *barrier);

RR_GPU_FN uint32_t gpu_mul_high(uint32_t a, uint32_t b)
{
    return (uint32_t)((uint64_t)a * b >> 32);
}
RR_GPU_FN uint32_t gpu_opaque(uint32_t value)
{
    return value;
}
RR_GPU_FN uint64_t gpu_rotate(uint64_t v, uint32_t bits)
{
    return v << bits | v >> (64 - bits);
}
RR_GPU_FN uint64_t gpu_xor3(uint64_t a, uint64_t b, uint64_t c)
{
    return a ^ b ^ c;
}
RR_GPU_FN uint64_t gpu_chi(uint64_t a, uint64_t b, uint64_t c)
{
    return a ^ (~b & c);
}
RR_GPU_FN uint64_t gpu_swap_bytes(uint64_t v)
{
    return __builtin_bswap64(v);
}
RR_GPU_FN struct rr_ethash_gpu_quad gpu_load_row(const struct rr_ethash_gpu_quad *at)
{
    return *at;
}
RR_GPU_FN struct rr_ethash_gpu_quad gpu_load_cached(const struct rr_ethash_gpu_quad *at)
{
    return *at;
}
RR_GPU_FN struct rr_ethash_gpu_quad gpu_load_shared(const struct rr_ethash_gpu_quad *at)
{
    return *at;
}
RR_GPU_FN void gpu_store(struct rr_ethash_gpu_quad *at, const uint32_t *word)
{
    memcpy(at->word, word, sizeof(at->word));
}
#endif

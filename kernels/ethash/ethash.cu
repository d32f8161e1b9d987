/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The CUDA kernels; their bodies and arguments are in ethash_gpu_body.h and ethash_gpu.h. Also C,
 * for the emulator of the tests. */
#include "ethash/ethash_gpu_body.h"

RR_GPU_KERNEL(128, 1) rr_ethash_gpu_build(const struct rr_ethash_gpu_build a)
{
    gpu_build(a);
}

/* 8 lanes a row, 4 or 8 rows in flight a group, so 16 or 32 a warp. Bounds are the tightest that do
 * not spill: 6 blocks of 128 threads are 24 warps of a multiprocessor and 384 rows in flight. */
#define LANES8(in_flight, threads, blocks)                                                         \
    RR_GPU_KERNEL(threads, blocks)                                                                 \
    rr_ethash_gpu_lanes8_##in_flight##_##threads(const struct rr_ethash_gpu_search a)              \
    {                                                                                              \
        RR_GPU_SHARED struct gpu_best best[(threads) / 32];                                        \
        RR_GPU_SHARED RR_GPU_ALIGNED(16) struct gpu_stash room[threads];                           \
        gpu_search_block(a, gpu_own_block(), in_flight, best, room);                               \
    }
LANES8(4, 128, 6)
LANES8(4, 256, 3)
LANES8(8, 128, 4)
LANES8(8, 256, 2)

/* A thread a row by bulk copies; nothing before compute capability 9.0. */
RR_GPU_KERNEL(128, 5) rr_ethash_gpu_bulk_1_128(const struct rr_ethash_gpu_search a)
{
#if RR_GPU_HAS_BULK
    RR_GPU_SHARED struct gpu_best best[4];
    RR_GPU_SHARED RR_GPU_ALIGNED(16) struct gpu_bulk_room room[128];
    RR_GPU_SHARED uint64_t barriers[4];
    gpu_search_bulk(a, best, room, barriers);
#else
    (void)a;
#endif
}

/* As lanes8, by a grid that stays. */
#define PERSIST(in_flight, threads, blocks)                                                        \
    RR_GPU_KERNEL(threads, blocks)                                                                 \
    rr_ethash_gpu_persist_##in_flight##_##threads(const struct rr_ethash_gpu_search a)             \
    {                                                                                              \
        RR_GPU_SHARED struct gpu_best best[(threads) / 32];                                        \
        RR_GPU_SHARED RR_GPU_ALIGNED(16) struct gpu_stash room[threads];                           \
        RR_GPU_SHARED uint32_t next;                                                               \
        gpu_persist(a, in_flight, best, room, &next);                                              \
    }
PERSIST(4, 128, 6)
PERSIST(8, 128, 4)

RR_GPU_KERNEL(128, 1) rr_ethash_gpu_tail(const struct rr_ethash_gpu_tail a)
{
    RR_GPU_SHARED struct gpu_best best[4];
    gpu_tail(a, best);
}
RR_GPU_KERNEL(128, 1) rr_ethash_gpu_finish(const struct rr_ethash_gpu_tail a)
{
    RR_GPU_SHARED RR_GPU_ALIGNED(16) struct gpu_stash room[128];
    gpu_finish(a, room);
}
RR_GPU_KERNEL(128, 1) rr_ethash_gpu_verify(const struct rr_ethash_gpu_verify a)
{
    RR_GPU_SHARED RR_GPU_ALIGNED(16) struct gpu_stash room[128];
    gpu_verify(a, room);
}

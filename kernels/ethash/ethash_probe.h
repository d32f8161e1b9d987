/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Kernels that measure what the searches are compared with (bench/gpu_bench.c): how fast the same
 * memory gives random rows, one row after another, or all bytes in order; and a search in the
 * manner of the usual open miners. Layouts as in ethash_gpu.h. */
#ifndef RR_ETHASH_PROBE_H
#define RR_ETHASH_PROBE_H
#include "ethash/ethash_gpu.h"

/* Every 8 lanes read `turns` times as many random rows as the kernel has in flight, in the shape of
 * the searches; out takes a word a thread, so that nothing can be left out. Row numbers come from a
 * generator and not from the data; probe_chain's next row follows from the last one's words. */
struct rr_ethash_gpu_probe {
    const struct rr_ethash_gpu_quad *quads;
    uint64_t quads_count; /* probe_stream and probe_fill: all of them */
    uint32_t rows;        /* of 128 bytes to choose from */
    uint32_t turns, seed;
    uint32_t *out; /* a word a thread; probe_fill writes the quads instead */
};
/* One header, one boundary, no jobs: nonces first + thread; out[0] counts what solves, out[1..] are
 * offsets of the first few. */
struct rr_ethash_gpu_usual {
    struct rr_ethash_gpu_rows rows;
    uint64_t header[4]; /* arguments of a kernel lie in constant memory */
    uint64_t nonce, top_max;
    uint32_t *out; /* RR_ETHASH_GPU_USUAL_MAX + 1 words */
};
#define RR_ETHASH_GPU_USUAL_MAX 4u

#define RR_ETHASH_PROBE_KERNELS(X)                                                                 \
    X(probe_gather_1, probe)                                                                       \
    X(probe_gather_2, probe)                                                                       \
    X(probe_gather_4, probe)                                                                       \
    X(probe_gather_8, probe)                                                                       \
    X(probe_gather_16, probe)                                                                      \
    X(probe_chain, probe)                                                                          \
    X(probe_stream, probe)                                                                         \
    X(probe_fill, probe)                                                                           \
    X(usual, usual)
#endif

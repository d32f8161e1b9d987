/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the host and the CUDA kernels of Ethash hand each other: the same layout on both sides.
 *
 * A launch serves many jobs: a job's nonces are cut into blocks of 128, a block belongs to one job
 * and leaves one candidate of 16 bytes. A second kernel takes the best candidate of each job, a
 * third computes its whole hash. No result is written by an atomic, so that the order in which
 * blocks run cannot be seen in it. Pointers are device addresses. */
#ifndef RR_ETHASH_GPU_H
#define RR_ETHASH_GPU_H
#include <stdint.h>

#define RR_ETHASH_GPU_BLOCK  128u        /* nonces that share a candidate */
#define RR_ETHASH_GPU_NONE   0xffffffffu /* offset: no nonce of the block counts */
#define RR_ETHASH_GPU_TARGET 1u          /* as enum rr_hash_kind */
#define RR_ETHASH_GPU_ARGMIN 2u

/* 16 bytes of a row of the dataset (128) or of a node of the cache (64). */
struct rr_ethash_gpu_quad {
    uint32_t word[4];
};
struct rr_ethash_gpu_job {
    uint64_t header[4]; /* as stored */
    uint64_t nonce;     /* the first one */
    uint64_t top_max;   /* target: top 64 bits of the boundary */
    uint32_t count;     /* of nonces, < 2^32 - 1 */
    uint32_t kind;
    uint32_t block_first, block_count; /* its blocks in the launch */
};
/* The best nonce of a block. Target: the lowest one with top <= top_max; argmin: the one with the
 * smallest top, the lowest of several. A run is shorter than 2^32, so that the offset stands for
 * the nonce and leaves room for what exactness needs: how many nonces share an argmin's top. */
struct rr_ethash_gpu_candidate {
    uint64_t top;    /* first 8 bytes of the final hash as a big-endian number */
    uint32_t offset; /* from the job's first nonce, or RR_ETHASH_GPU_NONE */
    uint16_t ties;   /* argmin: nonces of the block with this top */
    uint16_t hashed; /* nonces of the block that belong to the job */
};
/* The best candidate of a job and its whole hash. */
struct rr_ethash_gpu_result {
    uint64_t top;
    uint32_t offset;
    uint32_t ties;   /* argmin: nonces of the job with this top */
    uint64_t hashed; /* counted by the device */
    uint64_t final[4];
    uint64_t reserved;
};
struct rr_ethash_gpu_check {
    uint64_t header[4];
    uint64_t nonce;
    uint64_t mix[4], final[4]; /* written */
};

/* n and floor(2^32 / n), which turns x % n into a high product, a product and a minimum. */
struct rr_ethash_gpu_modulus {
    uint32_t n, reciprocal;
};
static inline struct rr_ethash_gpu_modulus rr_ethash_gpu_modulus(uint32_t n)
{
    struct rr_ethash_gpu_modulus modulus;
    modulus.n = n;
    /* For n = 1 the quotient does not fit; one less is exact there as well. */
    modulus.reciprocal = n == 1 ? 0xffffffffu : (uint32_t)((UINT64_C(1) << 32) / n);
    return modulus;
}

/* ---- arguments: one structure a kernel --------------------------------------------------------
 */
struct rr_ethash_gpu_rows {
    const struct rr_ethash_gpu_quad *quads; /* 8 a row */
    struct rr_ethash_gpu_modulus items;
};
struct rr_ethash_gpu_search {
    struct rr_ethash_gpu_rows rows;
    const struct rr_ethash_gpu_job *jobs;
    const uint32_t *block_job; /* of each block its job */
    struct rr_ethash_gpu_candidate *candidates;
    uint32_t *counter; /* persistent kernels: 0 before the launch */
    uint32_t blocks;
};
/* Kernels tail (a CUDA block a job) and finish (a thread a job). */
struct rr_ethash_gpu_tail {
    struct rr_ethash_gpu_rows rows;
    const struct rr_ethash_gpu_job *jobs;
    const struct rr_ethash_gpu_candidate *candidates;
    struct rr_ethash_gpu_result *results;
    uint32_t jobs_count;
};
struct rr_ethash_gpu_verify {
    struct rr_ethash_gpu_rows rows;
    struct rr_ethash_gpu_check *checks;
    uint32_t count;
};
/* A thread a node of 64 bytes; nodes first .. first + count - 1. */
struct rr_ethash_gpu_build {
    const struct rr_ethash_gpu_quad *cache;
    struct rr_ethash_gpu_quad *dataset;
    struct rr_ethash_gpu_modulus cache_items;
    uint32_t first, count;
};

/* Every kernel and its arguments: its name is rr_ethash_gpu_<name>. Searches are called
 * <variant>_<rows in flight>_<threads of a block>; the others have 128 threads. */
#define RR_ETHASH_GPU_KERNELS(X)                                                                   \
    X(build, build)                                                                                \
    X(lanes8_4_128, search)                                                                        \
    X(lanes8_4_256, search)                                                                        \
    X(lanes8_8_128, search)                                                                        \
    X(lanes8_8_256, search)                                                                        \
    X(bulk_1_128, search)                                                                          \
    X(persist_4_128, search)                                                                       \
    X(persist_8_128, search)                                                                       \
    X(tail, tail)                                                                                  \
    X(finish, tail)                                                                                \
    X(verify, verify)
#endif

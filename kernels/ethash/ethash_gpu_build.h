/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Part of the kernels' bodies (ethash_gpu_body.h): nodes of the dataset. */
#ifndef RR_ETHASH_GPU_BUILD_H
#define RR_ETHASH_GPU_BUILD_H
#include "ethash/ethash_gpu_keccak.h"

/* ---- the dataset --------------------------------------------------------------------------------
 * A thread owns a node for both Keccaks; for the 256 parents 4 neighbours walk through their 4
 * nodes together, so that a node of the cache is read in one piece of 64 bytes. */
RR_GPU_FN void gpu_parents(uint32_t node[16], uint32_t index, struct rr_ethash_gpu_build a)
{
    uint32_t lane = gpu_thread() & 3;
    uint32_t mix[4][4];
    RR_GPU_UNROLL
    for (uint32_t n = 0; n < 4; n++) {
        RR_GPU_UNROLL
        for (uint32_t i = 0; i < 16; i++) {
            uint32_t word = gpu_shuffle(node[i], n, 4);
            if (lane == i / 4) {
                mix[n][i % 4] = word;
            }
        }
    }
    RR_GPU_NO_UNROLL
    for (uint32_t four = 0; four < GPU_PARENTS / 4; four++) {
        uint32_t access = gpu_opaque(4 * four);
        RR_GPU_UNROLL
        for (uint32_t w = 0; w < 4; w++) {
            struct rr_ethash_gpu_quad quad[4];
            RR_GPU_UNROLL
            for (uint32_t n = 0; n < 4; n++) {
                uint32_t parent = gpu_fnv((index - lane + n) ^ (access + w), mix[n][w]);
                parent = gpu_shuffle(gpu_modulo(parent, a.cache_items), four & 3, 4);
                quad[n] = gpu_load_cached(a.cache + 4 * (uint64_t)parent + lane);
            }
            RR_GPU_UNROLL
            for (uint32_t n = 0; n < 4; n++) {
                RR_GPU_UNROLL
                for (int i = 0; i < 4; i++) {
                    mix[n][i] = gpu_fnv(mix[n][i], quad[n].word[i]);
                }
            }
        }
    }
    RR_GPU_UNROLL
    for (uint32_t n = 0; n < 4; n++) {
        RR_GPU_UNROLL
        for (uint32_t i = 0; i < 16; i++) {
            uint32_t word = gpu_shuffle(mix[n][i % 4], i / 4, 4);
            node[i] = lane == n ? word : node[i];
        }
    }
}

RR_GPU_FN void gpu_build(struct rr_ethash_gpu_build a)
{
    uint32_t at = gpu_block() * gpu_threads() + gpu_thread();
    uint32_t index = a.first + at;
    uint32_t node[16];
    const struct rr_ethash_gpu_quad *start =
        a.cache + 4 * (uint64_t)gpu_modulo(index, a.cache_items);
    RR_GPU_UNROLL
    for (int q = 0; q < 4; q++) {
        struct rr_ethash_gpu_quad quad = gpu_load_cached(start + q);
        RR_GPU_UNROLL
        for (int i = 0; i < 4; i++) {
            node[4 * q + i] = quad.word[i];
        }
    }
    node[0] ^= index;
    gpu_hash_node(node);
    gpu_parents(node, index, a);
    gpu_hash_node(node);
    if (at < a.count) {
        RR_GPU_UNROLL
        for (int q = 0; q < 4; q++) {
            gpu_store(a.dataset + 4 * (uint64_t)index + q, node + 4 * q);
        }
    }
}
#endif

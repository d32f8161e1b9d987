/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Kernels of measurement, see ethash_probe.h. Also C, for the emulator of the tests. All have
 * blocks of 128 threads. */
#include "ethash/ethash_gpu_body.h"
#include "ethash/ethash_probe.h"

/* [Numerical Recipes' generator; the high product takes its better upper bits] */
RR_GPU_FN uint32_t gpu_next(uint32_t x)
{
    return x * 1664525u + 1013904223u;
}
RR_GPU_FN uint32_t gpu_probe_thread(void)
{
    return gpu_block() * gpu_threads() + gpu_thread();
}

RR_GPU_FN void gpu_gather(struct rr_ethash_gpu_probe a, const uint32_t in_flight)
{
    uint32_t lane = gpu_thread() & 7;
    uint32_t x = (gpu_probe_thread() / 8 + 1) * 2654435769u ^ a.seed;
    uint32_t sum = 0;
    RR_GPU_NO_UNROLL
    for (uint32_t turn = 0; turn < a.turns; turn++) {
        struct rr_ethash_gpu_quad quad[16];
        RR_GPU_UNROLL
        for (uint32_t p = 0; p < in_flight; p++) {
            x = gpu_next(x);
            quad[p] = gpu_load_row(a.quads + 8 * (uint64_t)gpu_mul_high(x, a.rows) + lane);
        }
        RR_GPU_UNROLL
        for (uint32_t p = 0; p < in_flight; p++) {
            sum ^= quad[p].word[0] ^ quad[p].word[1] ^ quad[p].word[2] ^ quad[p].word[3];
        }
    }
    a.out[gpu_probe_thread()] = sum;
}
#define GATHER(in_flight)                                                                          \
    RR_GPU_KERNEL(128, 1)                                                                          \
    rr_ethash_gpu_probe_gather_##in_flight(const struct rr_ethash_gpu_probe a)                     \
    {                                                                                              \
        gpu_gather(a, in_flight);                                                                  \
    }
GATHER(1)
GATHER(2)
GATHER(4)
GATHER(8)
GATHER(16)

RR_GPU_KERNEL(128, 1) rr_ethash_gpu_probe_chain(const struct rr_ethash_gpu_probe a)
{
    uint32_t lane = gpu_thread() & 7;
    uint32_t x = (gpu_probe_thread() / 8 + 1) * 2654435769u ^ a.seed;
    RR_GPU_NO_UNROLL
    for (uint32_t turn = 0; turn < a.turns; turn++) {
        uint64_t row = gpu_mul_high(gpu_next(x), a.rows);
        struct rr_ethash_gpu_quad quad = gpu_load_row(a.quads + 8 * row + lane);
        x = gpu_next(x) ^ gpu_shuffle(quad.word[turn & 3], turn & 7, 8);
    }
    a.out[gpu_probe_thread()] = x;
}

/* All quads once: the grid walks over them in steps of its own size, four loads at a time. */
RR_GPU_KERNEL(128, 1) rr_ethash_gpu_probe_stream(const struct rr_ethash_gpu_probe a)
{
    uint64_t step = (uint64_t)a.turns * gpu_threads(); /* turns: blocks of the grid */
    uint64_t at = gpu_probe_thread();
    uint32_t sum = 0;
    RR_GPU_NO_UNROLL
    for (; at + 3 * step < a.quads_count; at += 4 * step) {
        struct rr_ethash_gpu_quad quad[4];
        RR_GPU_UNROLL
        for (uint32_t p = 0; p < 4; p++) {
            quad[p] = gpu_load_row(a.quads + at + p * step);
        }
        RR_GPU_UNROLL
        for (uint32_t p = 0; p < 4; p++) {
            sum ^= quad[p].word[0] ^ quad[p].word[1] ^ quad[p].word[2] ^ quad[p].word[3];
        }
    }
    RR_GPU_NO_UNROLL
    for (; at < a.quads_count; at += step) {
        struct rr_ethash_gpu_quad quad = gpu_load_row(a.quads + at);
        sum ^= quad.word[0] ^ quad.word[1] ^ quad.word[2] ^ quad.word[3];
    }
    a.out[gpu_probe_thread()] = sum;
}

/* Something other than zeros to read, where no dataset is. */
RR_GPU_KERNEL(128, 1) rr_ethash_gpu_probe_fill(const struct rr_ethash_gpu_probe a)
{
    uint64_t step = (uint64_t)a.turns * gpu_threads();
    struct rr_ethash_gpu_quad *to = (struct rr_ethash_gpu_quad *)(void *)a.out;
    uint32_t x = gpu_probe_thread() * 2654435769u ^ a.seed;
    RR_GPU_NO_UNROLL
    for (uint64_t at = gpu_probe_thread(); at < a.quads_count; at += step) {
        uint32_t word[4];
        RR_GPU_UNROLL
        for (uint32_t i = 0; i < 4; i++) {
            x = gpu_next(x);
            word[i] = x ^ x >> 16;
        }
        gpu_store(to + at, word);
    }
}

/* ---- the usual way ------------------------------------------------------------------------------
 * Our own writing of the shape that open miners share: one header for the device, 8 lanes a row, 4
 * rows in flight, seeds and mixes handed round by shuffles, the row number by a division at run
 * time in every lane, results through an atomic. */
RR_GPU_FN void gpu_usual_four(uint32_t folded[8], const uint32_t seed[16],
                              struct rr_ethash_gpu_rows rows, uint32_t first)
{
    uint32_t lane = gpu_thread() & 7;
    uint32_t mix[4][4], start[4];
    RR_GPU_UNROLL
    for (uint32_t p = 0; p < 4; p++) {
        RR_GPU_UNROLL
        for (uint32_t i = 0; i < 16; i++) {
            uint32_t word = gpu_shuffle(seed[i], first + p, 8);
            mix[p][i % 4] = i < 4 || (lane & 3) == i / 4 ? word : mix[p][i % 4];
        }
        start[p] = gpu_shuffle(seed[0], first + p, 8);
    }
    RR_GPU_NO_UNROLL
    for (uint32_t four = 0; four < GPU_ACCESSES / 4; four++) {
        RR_GPU_UNROLL
        for (uint32_t w = 0; w < 4; w++) {
            struct rr_ethash_gpu_quad row[4];
            RR_GPU_UNROLL
            for (uint32_t p = 0; p < 4; p++) {
                uint32_t index = gpu_fnv(start[p] ^ (4 * four + w), mix[p][w]) % rows.items.n;
                index = gpu_shuffle(index, four & 7, 8);
                row[p] = gpu_load_cached(rows.quads + 8 * (uint64_t)index + lane);
            }
            RR_GPU_UNROLL
            for (uint32_t p = 0; p < 4; p++) {
                RR_GPU_UNROLL
                for (int i = 0; i < 4; i++) {
                    mix[p][i] = gpu_fnv(mix[p][i], row[p].word[i]);
                }
            }
        }
    }
    RR_GPU_UNROLL
    for (uint32_t p = 0; p < 4; p++) {
        uint32_t one = gpu_fnv(gpu_fnv(gpu_fnv(mix[p][0], mix[p][1]), mix[p][2]), mix[p][3]);
        RR_GPU_UNROLL
        for (uint32_t i = 0; i < 8; i++) {
            uint32_t word = gpu_shuffle(one, i, 8);
            folded[i] = lane == first + p ? word : folded[i];
        }
    }
}

RR_GPU_KERNEL(128, 1) rr_ethash_gpu_usual(const struct rr_ethash_gpu_usual a)
{
    uint32_t at = gpu_probe_thread();
    uint32_t seed[16], folded[8];
    uint64_t final[4];
    gpu_seed(seed, a.header, a.nonce + at);
    RR_GPU_UNROLL
    for (int i = 0; i < 8; i++) {
        folded[i] = 0;
    }
    RR_GPU_NO_UNROLL
    for (uint32_t first = 0; first < 8; first += 4) {
        gpu_usual_four(folded, seed, a.rows, first);
    }
    gpu_final(final, seed, folded);
    if (gpu_swap_bytes(final[0]) <= a.top_max) {
        uint32_t slot = gpu_take(a.out, 1);
        if (slot < RR_ETHASH_GPU_USUAL_MAX) {
            a.out[1 + slot] = at;
        }
    }
}

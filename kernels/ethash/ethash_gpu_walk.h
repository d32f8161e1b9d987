/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Part of the kernels' bodies (ethash_gpu_body.h): the 64 accesses of a hash, in two ways. */
#ifndef RR_ETHASH_GPU_WALK_H
#define RR_ETHASH_GPU_WALK_H
#include "ethash/ethash_gpu_keccak.h"

/* ---- the 64 accesses, 8 lanes a row -------------------------------------------------------------
 * A thread owns one nonce for both Keccaks. For the accesses, 8 neighbours walk through their 8
 * nonces together, `in_flight` at a time: each lane holds 4 of the 32 words of a mix and reads 16
 * of the 128 bytes of a row. Seeds and folded mixes change hands in shared memory, which also keeps
 * the seed out of the registers meanwhile. Every lane of the warp must come here. */
struct gpu_stash {
    struct rr_ethash_gpu_quad seed[4], folded[2];
    struct rr_ethash_gpu_quad gap; /* 28 words apart, 8 neighbours meet all banks once */
};

RR_GPU_FN void gpu_put(struct rr_ethash_gpu_quad *to, const uint32_t *word, int quads)
{
    RR_GPU_UNROLL
    for (int q = 0; q < quads; q++) {
        gpu_store(to + q, word + 4 * q);
    }
}
RR_GPU_FN void gpu_get(uint32_t *word, const struct rr_ethash_gpu_quad *from, int quads)
{
    RR_GPU_UNROLL
    for (int q = 0; q < quads; q++) {
        struct rr_ethash_gpu_quad quad = gpu_load_shared(from + q);
        RR_GPU_UNROLL
        for (int i = 0; i < 4; i++) {
            word[4 * q + i] = quad.word[i];
        }
    }
}

RR_GPU_FN void gpu_lanes8(struct gpu_stash *room, struct rr_ethash_gpu_rows rows,
                          const uint32_t in_flight)
{
    uint32_t lane = gpu_thread() & 7;
    struct gpu_stash *group = room + (gpu_thread() - lane);
    gpu_sync_warp();
    RR_GPU_NO_UNROLL
    for (uint32_t first = 0; first < 8; first += in_flight) {
        uint32_t mix[8][4], start[8];
        RR_GPU_UNROLL
        for (uint32_t p = 0; p < in_flight; p++) {
            gpu_get(mix[p], group[first + p].seed + (lane & 3), 1);
            start[p] = group[first + p].seed[0].word[0];
        }
        RR_GPU_NO_UNROLL
        for (uint32_t two = 0; two < GPU_ACCESSES / 2; two++) {
            /* Two a turn and a choice: unrolled by four, ptxas needs 20 to 90 registers more. */
            uint32_t access = gpu_opaque(2 * two);
            bool upper = (two & 1) != 0;
            RR_GPU_UNROLL
            for (uint32_t w = 0; w < 2; w++) {
                struct rr_ethash_gpu_quad row[8];
                RR_GPU_UNROLL
                for (uint32_t p = 0; p < in_flight; p++) {
                    uint32_t index =
                        gpu_fnv(start[p] ^ (access + w), upper ? mix[p][w + 2] : mix[p][w]);
                    index = gpu_shuffle(gpu_modulo(index, rows.items), two / 2 & 7, 8);
                    row[p] = gpu_load_row(rows.quads + 8 * (uint64_t)index + lane);
                }
                RR_GPU_UNROLL
                for (uint32_t p = 0; p < in_flight; p++) {
                    RR_GPU_UNROLL
                    for (int i = 0; i < 4; i++) {
                        mix[p][i] = gpu_fnv(mix[p][i], row[p].word[i]);
                    }
                }
            }
        }
        RR_GPU_UNROLL
        for (uint32_t p = 0; p < in_flight; p++) {
            group[first + p].folded[lane / 4].word[lane & 3] =
                gpu_fnv(gpu_fnv(gpu_fnv(mix[p][0], mix[p][1]), mix[p][2]), mix[p][3]);
        }
    }
    gpu_sync_warp();
}

/* ---- the 64 accesses, a thread a row ------------------------------------------------------------
 * Each lane lets the copy engine bring its row into shared memory. */
struct gpu_bulk_room {
    struct rr_ethash_gpu_quad row[8], seed[4];
    struct rr_ethash_gpu_quad gap; /* as above: 52 words apart */
};

/* mix[4 chunk + w], without an index that only the run knows. */
RR_GPU_FN uint32_t gpu_pick(const uint32_t mix[32], uint32_t chunk, uint32_t w)
{
    uint32_t a = chunk & 1 ? mix[4 + w] : mix[w];
    uint32_t b = chunk & 1 ? mix[12 + w] : mix[8 + w];
    uint32_t c = chunk & 1 ? mix[20 + w] : mix[16 + w];
    uint32_t d = chunk & 1 ? mix[28 + w] : mix[24 + w];
    a = chunk & 2 ? b : a;
    c = chunk & 2 ? d : c;
    return chunk & 4 ? c : a;
}

RR_GPU_FN void gpu_bulk(uint32_t folded[8], const uint32_t seed[16], struct rr_ethash_gpu_rows rows,
                        struct gpu_bulk_room *room, uint64_t *barrier)
{
    uint32_t lane = gpu_thread() & 31;
    uint32_t start = seed[0];
    uint32_t mix[32];
    RR_GPU_UNROLL
    for (int i = 0; i < 32; i++) {
        mix[i] = seed[i % 16];
    }
    RR_GPU_NO_UNROLL
    for (uint32_t four = 0; four < GPU_ACCESSES / 4; four++) {
        uint32_t access = gpu_opaque(4 * four);
        RR_GPU_UNROLL
        for (uint32_t w = 0; w < 4; w++) {
            uint32_t index = gpu_fnv(start ^ (access + w), gpu_pick(mix, four & 7, w));
            index = gpu_modulo(index, rows.items);
            if (lane == 0) {
                gpu_barrier_expect(barrier, 32 * 128);
            }
            gpu_sync_warp(); /* all have read their last row, and the bytes are announced */
            gpu_bulk_load(room->row, rows.quads + 8 * (uint64_t)index, 128, barrier);
            gpu_barrier_wait(barrier, w & 1); /* an even number of accesses a turn */
            RR_GPU_UNROLL
            for (int q = 0; q < 8; q++) {
                struct rr_ethash_gpu_quad quad = gpu_load_shared(room->row + q);
                RR_GPU_UNROLL
                for (int i = 0; i < 4; i++) {
                    mix[4 * q + i] = gpu_fnv(mix[4 * q + i], quad.word[i]);
                }
            }
        }
    }
    RR_GPU_UNROLL
    for (int i = 0; i < 8; i++) {
        const uint32_t *four = mix + 4 * i;
        folded[i] = gpu_fnv(gpu_fnv(gpu_fnv(four[0], four[1]), four[2]), four[3]);
    }
}
#endif

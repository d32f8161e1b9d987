/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The bodies of the CUDA kernels of Ethash, in the C that is also C++: nvcc compiles them for GPUs,
 * and a C compiler for the emulator of the tests, so that the code that runs on a card is executed
 * where there is none. The law is ethash_ref.c. */
#ifndef RR_ETHASH_GPU_BODY_H
#define RR_ETHASH_GPU_BODY_H
#ifdef __CUDACC__
#include "ethash/ethash_gpu.cuh"
#else
#include "ethash/ethash_gpu_host.h"
#include <stdbool.h>
#endif

#define GPU_FNV_PRIME 0x01000193u
#define GPU_ACCESSES  64u
#define GPU_PARENTS   256u
/* Bits of a final hash that candidates are compared by; tests narrow it, so that ties are common.
 */
#ifndef RR_ETHASH_GPU_TOP_MASK
#define RR_ETHASH_GPU_TOP_MASK 0xffffffffffffffffULL
#endif

RR_GPU_FN uint32_t gpu_fnv(uint32_t a, uint32_t b)
{
    return a * GPU_FNV_PRIME ^ b;
}

/* x % n. The high product is the quotient or one less, as x (2^32 mod n) / (n 2^32) < 1; then
 * r < 2 n <= 2^32, and of r and r - n the one that did not wrap is the smaller. */
RR_GPU_FN uint32_t gpu_modulo(uint32_t x, struct rr_ethash_gpu_modulus modulus)
{
    uint32_t r = x - gpu_mul_high(x, modulus.reciprocal) * modulus.n;
    uint32_t less = r - modulus.n;
    return less < r ? less : r;
}

/* ---- Keccak-f[1600] ---------------------------------------------------------------------------
 */
RR_GPU_TABLE uint64_t gpu_round_constant[24] = {
    0x0000000000000001ULL, 0x0000000000008082ULL, 0x800000000000808aULL, 0x8000000080008000ULL,
    0x000000000000808bULL, 0x0000000080000001ULL, 0x8000000080008081ULL, 0x8000000000008009ULL,
    0x000000000000008aULL, 0x0000000000000088ULL, 0x0000000080008009ULL, 0x000000008000000aULL,
    0x000000008000808bULL, 0x800000000000008bULL, 0x8000000000008089ULL, 0x8000000000008003ULL,
    0x8000000000008002ULL, 0x8000000000000080ULL, 0x000000000000800aULL, 0x800000008000000aULL,
    0x8000000080008081ULL, 0x8000000000008080ULL, 0x0000000080000001ULL, 0x8000000080008008ULL,
};

/* Rho and pi of theta's output t, then chi and iota, in straight lines: every lane keeps a register
 * of its own, and what a last round does not need falls away. */
RR_GPU_FN void gpu_rho_pi_chi(uint64_t a[25], const uint64_t t[25], uint64_t constant)
{
    uint64_t b[25];
    b[0] = t[0];
    b[10] = gpu_rotate(t[1], 1);
    b[20] = gpu_rotate(t[2], 62);
    b[5] = gpu_rotate(t[3], 28);
    b[15] = gpu_rotate(t[4], 27);
    b[16] = gpu_rotate(t[5], 36);
    b[1] = gpu_rotate(t[6], 44);
    b[11] = gpu_rotate(t[7], 6);
    b[21] = gpu_rotate(t[8], 55);
    b[6] = gpu_rotate(t[9], 20);
    b[7] = gpu_rotate(t[10], 3);
    b[17] = gpu_rotate(t[11], 10);
    b[2] = gpu_rotate(t[12], 43);
    b[12] = gpu_rotate(t[13], 25);
    b[22] = gpu_rotate(t[14], 39);
    b[23] = gpu_rotate(t[15], 41);
    b[8] = gpu_rotate(t[16], 45);
    b[18] = gpu_rotate(t[17], 15);
    b[3] = gpu_rotate(t[18], 21);
    b[13] = gpu_rotate(t[19], 8);
    b[14] = gpu_rotate(t[20], 18);
    b[24] = gpu_rotate(t[21], 2);
    b[9] = gpu_rotate(t[22], 61);
    b[19] = gpu_rotate(t[23], 56);
    b[4] = gpu_rotate(t[24], 14);
    RR_GPU_UNROLL
    for (int i = 0; i < 25; i++) {
        int y = i / 5 * 5;
        a[i] = gpu_chi(b[i], b[y + (i + 1) % 5], b[y + (i + 2) % 5]);
    }
    a[0] ^= constant;
}

RR_GPU_FN void gpu_keccak_round(uint64_t a[25], uint64_t constant)
{
    uint64_t column[5], turned[5], t[25];
    RR_GPU_UNROLL
    for (int x = 0; x < 5; x++) {
        column[x] = gpu_xor3(gpu_xor3(a[x], a[x + 5], a[x + 10]), a[x + 15], a[x + 20]);
    }
    RR_GPU_UNROLL
    for (int x = 0; x < 5; x++) {
        turned[x] = gpu_rotate(column[(x + 1) % 5], 1);
    }
    RR_GPU_UNROLL
    for (int i = 0; i < 25; i++) {
        t[i] = gpu_xor3(a[i], column[(i + 4) % 5], turned[i % 5]);
    }
    gpu_rho_pi_chi(a, t, constant);
}

/* The first round: most lanes are known to be zero, which plain operators let the compiler use. */
RR_GPU_FN void gpu_keccak_first(uint64_t a[25])
{
    uint64_t column[5], theta[5], t[25];
    RR_GPU_UNROLL
    for (int x = 0; x < 5; x++) {
        column[x] = a[x] ^ a[x + 5] ^ a[x + 10] ^ a[x + 15] ^ a[x + 20];
    }
    RR_GPU_UNROLL
    for (int x = 0; x < 5; x++) {
        theta[x] = column[(x + 4) % 5] ^ gpu_rotate(column[(x + 1) % 5], 1);
    }
    RR_GPU_UNROLL
    for (int i = 0; i < 25; i++) {
        t[i] = a[i] ^ theta[i % 5];
    }
    gpu_rho_pi_chi(a, t, 1);
}

RR_GPU_FN void gpu_keccak(uint64_t a[25])
{
    gpu_keccak_first(a);
    RR_GPU_UNROLL_2
    for (int round = 1; round < 23; round++) {
        gpu_keccak_round(a, gpu_round_constant[round]);
    }
    gpu_keccak_round(a, 0x8000000080008008ULL); /* apart: unused lanes fall away */
}

RR_GPU_FN void gpu_clear(uint64_t a[25], int from)
{
    RR_GPU_UNROLL
    for (int i = 0; i < 25; i++) {
        if (i >= from) {
            a[i] = 0;
        }
    }
}

/* word[2 i], word[2 i + 1] of a lane. */
RR_GPU_FN void gpu_split(uint32_t *word, const uint64_t *lane, int lanes)
{
    RR_GPU_UNROLL
    for (int i = 0; i < lanes; i++) {
        word[2 * i] = (uint32_t)lane[i];
        word[2 * i + 1] = (uint32_t)(lane[i] >> 32);
    }
}
RR_GPU_FN void gpu_pair(uint64_t *lane, const uint32_t *word, int lanes)
{
    RR_GPU_UNROLL
    for (int i = 0; i < lanes; i++) {
        lane[i] = (uint64_t)word[2 * i + 1] << 32 | word[2 * i];
    }
}

/* keccak512 of header and nonce. */
RR_GPU_FN void gpu_seed(uint32_t seed[16], const uint64_t header[4], uint64_t nonce)
{
    uint64_t a[25];
    gpu_clear(a, 5);
    RR_GPU_UNROLL
    for (int i = 0; i < 4; i++) {
        a[i] = header[i];
    }
    a[4] = nonce;
    a[5] = 1;
    a[8] = 0x8000000000000000ULL;
    gpu_keccak(a);
    gpu_split(seed, a, 8);
}

/* keccak512 of a node. */
RR_GPU_FN void gpu_hash_node(uint32_t node[16])
{
    uint64_t a[25];
    gpu_clear(a, 8);
    gpu_pair(a, node, 8);
    a[8] = 0x8000000000000001ULL;
    gpu_keccak(a);
    gpu_split(node, a, 8);
}

/* keccak256 of seed and mix; callers that use final[0] alone pay for no more. */
RR_GPU_FN void gpu_final(uint64_t final[4], const uint32_t seed[16], const uint32_t mix[8])
{
    uint64_t a[25];
    gpu_clear(a, 12);
    gpu_pair(a, seed, 8);
    gpu_pair(a + 8, mix, 4);
    a[12] = 1;
    a[16] = 0x8000000000000000ULL;
    gpu_keccak(a);
    RR_GPU_UNROLL
    for (int i = 0; i < 4; i++) {
        final[i] = a[i];
    }
}

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

/* ---- the best of many ---------------------------------------------------------------------------
 */
struct gpu_best {
    uint64_t top;
    uint32_t offset, ties, hashed;
};

RR_GPU_FN void gpu_merge(struct gpu_best *best, struct gpu_best other, uint32_t kind)
{
    bool take = other.offset < best->offset;
    uint32_t ties = best->ties;
    if (kind == RR_ETHASH_GPU_ARGMIN) {
        bool equal = other.top == best->top;
        take = other.top < best->top || (equal && take);
        ties = equal ? ties + other.ties : (take ? other.ties : ties);
    }
    best->ties = ties;
    best->hashed += other.hashed;
    best->top = take ? other.top : best->top;
    best->offset = take ? other.offset : best->offset;
}

RR_GPU_FN struct gpu_best gpu_none(void)
{
    struct gpu_best none;
    none.top = 0xffffffffffffffffULL;
    none.offset = RR_ETHASH_GPU_NONE;
    none.ties = 0;
    none.hashed = 0;
    return none;
}

/* The best of the 128 threads that share a block of nonces, in the first of them. `room` holds one
 * a warp of the CUDA block, all of whose threads come here. */
RR_GPU_FN void gpu_reduce(struct gpu_best *best, struct gpu_best *room, uint32_t kind)
{
    uint32_t lane = gpu_thread() & 31;
    uint32_t warp = gpu_thread() / 32;
    RR_GPU_NO_UNROLL
    for (uint32_t step = 16; step > 0; step /= 2) {
        struct gpu_best other;
        uint32_t low = gpu_shuffle((uint32_t)best->top, lane ^ step, 32);
        uint32_t high = gpu_shuffle((uint32_t)(best->top >> 32), lane ^ step, 32);
        other.top = (uint64_t)high << 32 | low;
        other.offset = gpu_shuffle(best->offset, lane ^ step, 32);
        other.ties = gpu_shuffle(best->ties, lane ^ step, 32);
        other.hashed = gpu_shuffle(best->hashed, lane ^ step, 32);
        gpu_merge(best, other, kind);
    }
    if (lane == 0) {
        room[warp] = *best;
    }
    gpu_sync_block();
    if ((gpu_thread() & 127) == 0) {
        for (uint32_t i = 1; i < 4; i++) {
            gpu_merge(best, room[warp + i], kind);
        }
    }
}

/* ---- kernels ------------------------------------------------------------------------------------
 */
/* Where a block of nonces lies in its job. Blocks past the end do the last one again, as every
 * thread is needed; they write nothing. */
struct gpu_place {
    const struct rr_ethash_gpu_job *job;
    uint32_t block, offset;
};
RR_GPU_FN struct gpu_place gpu_place_of(struct rr_ethash_gpu_search a, uint32_t block)
{
    struct gpu_place place;
    uint32_t use = block < a.blocks ? block : a.blocks - 1;
    place.job = a.jobs + a.block_job[use];
    place.block = block;
    place.offset = (use - place.job->block_first) * RR_ETHASH_GPU_BLOCK + (gpu_thread() & 127);
    return place;
}

RR_GPU_FN void gpu_leave(struct rr_ethash_gpu_search a, struct gpu_place place,
                         const uint64_t final[4], struct gpu_best *best_room)
{
    const struct rr_ethash_gpu_job *job = place.job;
    struct gpu_best best = gpu_none();
    uint64_t top = gpu_swap_bytes(final[0]) & RR_ETHASH_GPU_TOP_MASK;
    if (place.offset < job->count) {
        best.hashed = 1;
        if (job->kind == RR_ETHASH_GPU_ARGMIN || top <= (job->top_max & RR_ETHASH_GPU_TOP_MASK)) {
            best.top = top;
            best.offset = place.offset;
            best.ties = 1;
        }
    }
    gpu_reduce(&best, best_room, job->kind);
    if ((gpu_thread() & 127) == 0 && place.block < a.blocks) {
        struct rr_ethash_gpu_candidate out;
        out.top = best.top;
        out.offset = best.offset;
        out.ties = (uint16_t)best.ties;
        out.hashed = (uint16_t)best.hashed;
        a.candidates[place.block] = out;
    }
}

/* Final hash and mix of one nonce a thread; every lane of the warp must come here. */
RR_GPU_FN void gpu_whole(uint64_t final[4], uint32_t folded[8], const uint64_t header[4],
                         uint64_t nonce, struct rr_ethash_gpu_rows rows, const uint32_t in_flight,
                         struct gpu_stash *room)
{
    struct gpu_stash *mine = room + gpu_thread();
    uint32_t seed[16];
    gpu_seed(seed, header, nonce);
    gpu_put(mine->seed, seed, 4);
    gpu_lanes8(room, rows, in_flight);
    gpu_get(seed, mine->seed, 4);
    gpu_get(folded, mine->folded, 2);
    gpu_final(final, seed, folded);
}

RR_GPU_FN void gpu_search_block(struct rr_ethash_gpu_search a, uint32_t block,
                                const uint32_t in_flight, struct gpu_best *best_room,
                                struct gpu_stash *room)
{
    struct gpu_place place = gpu_place_of(a, block);
    uint64_t final[4];
    uint32_t folded[8];
    gpu_whole(final, folded, place.job->header, place.job->nonce + place.offset, a.rows, in_flight,
              room);
    gpu_leave(a, place, final, best_room);
}

/* Number of the 128 nonces that this thread shares. */
RR_GPU_FN uint32_t gpu_own_block(void)
{
    return (gpu_block() * gpu_threads() + gpu_thread()) / RR_ETHASH_GPU_BLOCK;
}

RR_GPU_FN void gpu_search_bulk(struct rr_ethash_gpu_search a, struct gpu_best *best_room,
                               struct gpu_bulk_room *room, uint64_t *barrier)
{
    struct gpu_bulk_room *mine = room + gpu_thread();
    struct gpu_place place = gpu_place_of(a, gpu_own_block());
    uint64_t final[4];
    uint32_t seed[16], folded[8];
    gpu_seed(seed, place.job->header, place.job->nonce + place.offset);
    gpu_put(mine->seed, seed, 4);
    if ((gpu_thread() & 31) == 0) {
        gpu_barrier_init(barrier + gpu_thread() / 32);
    }
    gpu_sync_warp();
    gpu_bulk(folded, seed, a.rows, mine, barrier + gpu_thread() / 32);
    gpu_get(seed, mine->seed, 4);
    gpu_final(final, seed, folded);
    gpu_leave(a, place, final, best_room);
}

/* Blocks of nonces are handed out by a counter to a grid that just fills the device. */
RR_GPU_FN void gpu_persist(struct rr_ethash_gpu_search a, const uint32_t in_flight,
                           struct gpu_best *best_room, struct gpu_stash *room, uint32_t *next)
{
    uint32_t step = gpu_threads() / RR_ETHASH_GPU_BLOCK;
    RR_GPU_NO_UNROLL
    for (;;) {
        if (gpu_thread() == 0) {
            *next = gpu_take(a.counter, step);
        }
        gpu_sync_block();
        uint32_t block = *next;
        if (block >= a.blocks) {
            return;
        }
        gpu_search_block(a, block + gpu_thread() / RR_ETHASH_GPU_BLOCK, in_flight, best_room, room);
        gpu_sync_block(); /* before next and the room are written again */
    }
}

RR_GPU_FN void gpu_tail(struct rr_ethash_gpu_tail a, struct gpu_best *room)
{
    const struct rr_ethash_gpu_job *job = a.jobs + gpu_block();
    struct gpu_best best = gpu_none();
    for (uint32_t i = gpu_thread(); i < job->block_count; i += RR_ETHASH_GPU_BLOCK) {
        struct rr_ethash_gpu_candidate candidate = a.candidates[job->block_first + i];
        struct gpu_best other;
        other.top = candidate.top;
        other.offset = candidate.offset;
        other.ties = candidate.ties;
        other.hashed = candidate.hashed;
        gpu_merge(&best, other, job->kind);
    }
    gpu_reduce(&best, room, job->kind);
    if (gpu_thread() == 0) {
        struct rr_ethash_gpu_result *out = a.results + gpu_block();
        out->top = best.top;
        out->offset = best.offset;
        out->ties = best.ties;
        out->hashed = best.hashed;
    }
}

RR_GPU_FN void gpu_finish(struct rr_ethash_gpu_tail a, struct gpu_stash *room)
{
    uint32_t at = gpu_block() * gpu_threads() + gpu_thread();
    uint32_t use = at < a.jobs_count ? at : a.jobs_count - 1;
    const struct rr_ethash_gpu_job *job = a.jobs + use;
    uint64_t final[4];
    uint32_t folded[8];
    gpu_whole(final, folded, job->header, job->nonce + a.results[use].offset, a.rows, 4, room);
    if (at < a.jobs_count) {
        for (int i = 0; i < 4; i++) {
            a.results[at].final[i] = final[i];
        }
    }
}

RR_GPU_FN void gpu_verify(struct rr_ethash_gpu_verify a, struct gpu_stash *room)
{
    uint32_t at = gpu_block() * gpu_threads() + gpu_thread();
    struct rr_ethash_gpu_check *check = a.checks + (at < a.count ? at : a.count - 1);
    uint64_t final[4], mix[4];
    uint32_t folded[8];
    gpu_whole(final, folded, check->header, check->nonce, a.rows, 4, room);
    gpu_pair(mix, folded, 4);
    if (at < a.count) {
        for (int i = 0; i < 4; i++) {
            check->mix[i] = mix[i];
            check->final[i] = final[i];
        }
    }
}

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

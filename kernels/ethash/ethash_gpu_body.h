/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The bodies of the CUDA kernels of Ethash, in the C that is also C++: nvcc compiles them for GPUs,
 * and a C compiler for the emulator of the tests, so that the code that runs on a card is executed
 * where there is none. The law is ethash_ref.c. */
#ifndef RR_ETHASH_GPU_BODY_H
#define RR_ETHASH_GPU_BODY_H
#include "ethash/ethash_gpu_build.h"
#include "ethash/ethash_gpu_walk.h"

/* Bits of a final hash that candidates are compared by; tests narrow it, so that ties are common.
 */
#ifndef RR_ETHASH_GPU_TOP_MASK
#define RR_ETHASH_GPU_TOP_MASK 0xffffffffffffffffULL
#endif

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
    gpu_whole(final, folded, job->header, job->nonce + a.results[use].offset, a.rows, 8, room);
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
    gpu_whole(final, folded, check->header, check->nonce, a.rows, 8, room);
    gpu_pair(mix, folded, 4);
    if (at < a.count) {
        for (int i = 0; i < 4; i++) {
            check->mix[i] = mix[i];
            check->final[i] = final[i];
        }
    }
}
#endif

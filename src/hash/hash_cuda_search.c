/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Searches and checks of the CUDA backend. The kernels compare finals by their top 64 bits; what
 * those cannot decide is computed whole, so that answers are exact. */
#include "hash/hash_cuda.h"
#include <inttypes.h>
#include <string.h>

#define BLOCK RR_ETHASH_GPU_BLOCK

_Static_assert(sizeof(struct rr_hash_check) == sizeof(struct rr_ethash_gpu_check),
               "checks go to the device as they are");
_Static_assert(sizeof(struct rr_ethash_gpu_candidate) == 16, "a candidate is 16 bytes");
_Static_assert((int)RR_HASH_TARGET == (int)RR_ETHASH_GPU_TARGET &&
                   (int)RR_HASH_ARGMIN == (int)RR_ETHASH_GPU_ARGMIN,
               "kinds go to the device as they are");

/* ---- whole hashes -------------------------------------------------------------------------------
 */
static enum rr_err run_checks(struct cuda_epoch *epoch, const struct cuda_pair *room, void *stream,
                              uint32_t count, struct rr_fault *fault)
{
    struct cuda_device *device = epoch->device;
    size_t bytes = count * sizeof(struct rr_ethash_gpu_check);
    struct rr_ethash_gpu_verify arguments = {
        .rows = cuda_rows(epoch), .checks = cuda_pointer(room->device), .count = count};
    int code = device->driver->to_device(room->device, room->host, bytes, stream);
    code = code != CUDA_OK ? code
                           : cuda_launch(device, CUDA_KERNEL_verify, (count + BLOCK - 1) / BLOCK,
                                         BLOCK, &arguments, stream);
    code =
        code != CUDA_OK ? code : device->driver->to_host(room->host, room->device, bytes, stream);
    code = code != CUDA_OK ? code : device->driver->stream_wait(stream);
    return cuda_result(device, code, "checking hashes", fault);
}

enum rr_err cuda_verify(void *state, struct rr_hash_check *checks, size_t count,
                        struct rr_fault *fault)
{
    struct cuda_epoch *epoch = state;
    struct cuda_device *device = epoch->device;
    enum rr_err err = cuda_enter(device, fault);
    for (size_t first = 0; first < count && err == RR_OK; first += CUDA_CHECKS_MAX) {
        size_t part = count - first < CUDA_CHECKS_MAX ? count - first : CUDA_CHECKS_MAX;
        memcpy(device->checks.host, checks + first, part * sizeof(*checks));
        err = run_checks(epoch, &device->checks, device->verify_stream, (uint32_t)part, fault);
        if (err == RR_OK) {
            memcpy(checks + first, device->checks.host, part * sizeof(*checks));
        }
    }
    return err;
}

/* ---- a launch -----------------------------------------------------------------------------------
 */
bool cuda_add_job(const struct cuda_device *device, struct cuda_slot *slot,
                  struct rr_ethash_gpu_job *job, uint32_t *jobs, uint32_t *blocks)
{
    uint32_t room = device->blocks_max - *blocks;
    if (*jobs == CUDA_WORKS_MAX || room == 0) {
        return false;
    }
    if (job->count > room * BLOCK) {
        job->count = room * BLOCK;
    }
    job->block_first = *blocks;
    job->block_count = (job->count + BLOCK - 1) / BLOCK;
    uint32_t *block_job = slot->block_job.host;
    for (uint32_t i = 0; i < job->block_count; i++) {
        block_job[*blocks + i] = *jobs;
    }
    *blocks += job->block_count;
    ((struct rr_ethash_gpu_job *)slot->jobs.host)[*jobs] = *job;
    *jobs += 1;
    return true;
}

int cuda_queue_search(const struct cuda_epoch *epoch, struct cuda_slot *slot,
                      const struct cuda_way *way, uint32_t blocks)
{
    const struct cuda_device *device = epoch->device;
    struct rr_ethash_gpu_search arguments = {.rows = cuda_rows(epoch),
                                             .jobs = cuda_pointer(slot->jobs.device),
                                             .block_job = cuda_pointer(slot->block_job.device),
                                             .candidates = cuda_pointer(slot->candidates.device),
                                             .counter = cuda_pointer(slot->counter),
                                             .blocks = blocks};
    uint32_t each = way->threads / BLOCK;
    uint32_t grid = (blocks + each - 1) / each;
    if (way->per_unit != 0) {
        uint32_t resident = way->per_unit * device->units;
        grid = grid < resident ? grid : resident;
        int code = device->driver->fill(slot->counter, 0, 1, slot->stream);
        if (code != CUDA_OK) {
            return code;
        }
    }
    return cuda_launch(device, way->kernel, grid, way->threads, &arguments, slot->stream);
}

static enum rr_err run_jobs(struct cuda_epoch *epoch, struct cuda_slot *slot, uint32_t jobs,
                            uint32_t blocks, struct rr_fault *fault)
{
    struct cuda_device *device = epoch->device;
    const struct cuda_driver *driver = device->driver;
    struct rr_ethash_gpu_tail arguments = {.rows = cuda_rows(epoch),
                                           .jobs = cuda_pointer(slot->jobs.device),
                                           .candidates = cuda_pointer(slot->candidates.device),
                                           .results = cuda_pointer(slot->results.device),
                                           .jobs_count = jobs};
    int code = driver->to_device(slot->jobs.device, slot->jobs.host,
                                 jobs * sizeof(struct rr_ethash_gpu_job), slot->stream);
    code = code != CUDA_OK ? code
                           : driver->to_device(slot->block_job.device, slot->block_job.host,
                                               blocks * sizeof(uint32_t), slot->stream);
    code = code != CUDA_OK ? code : cuda_queue_search(epoch, slot, &epoch->way, blocks);
    code = code != CUDA_OK
               ? code
               : cuda_launch(device, CUDA_KERNEL_tail, jobs, BLOCK, &arguments, slot->stream);
    code = code != CUDA_OK ? code
                           : cuda_launch(device, CUDA_KERNEL_finish, (jobs + BLOCK - 1) / BLOCK,
                                         BLOCK, &arguments, slot->stream);
    code = code != CUDA_OK
               ? code
               : driver->to_host(slot->results.host, slot->results.device,
                                 jobs * sizeof(struct rr_ethash_gpu_result), slot->stream);
    code = code != CUDA_OK ? code : driver->stream_wait(slot->stream);
    return cuda_result(device, code, "searching", fault);
}

/* ---- what 64 bits cannot decide -----------------------------------------------------------------
 */
struct question {
    struct cuda_epoch *epoch;
    struct cuda_slot *slot;
    const struct hash_work *work;
    const struct rr_ethash_gpu_job *job;
    const struct rr_ethash_gpu_candidate *candidates; /* of the job's blocks */
};

static enum rr_err fetch_candidates(struct question *question, struct rr_fault *fault)
{
    struct cuda_slot *slot = question->slot;
    struct cuda_device *device = question->epoch->device;
    const struct rr_ethash_gpu_job *job = question->job;
    size_t bytes = job->block_count * sizeof(*question->candidates);
    cuda_address from = slot->candidates.device + job->block_first * sizeof(*question->candidates);
    int code = device->driver->to_host(slot->candidates.host, from, bytes, slot->stream);
    code = code != CUDA_OK ? code : device->driver->stream_wait(slot->stream);
    question->candidates = slot->candidates.host;
    return cuda_result(device, code, "reading candidates", fault);
}

/* Computes nonces first .. first + count - 1 of the job whole, at most a block of them. */
static enum rr_err compute(const struct question *question, uint32_t first, uint32_t count,
                           struct rr_fault *fault)
{
    struct rr_hash_check *checks = question->slot->checks.host;
    for (uint32_t i = 0; i < count; i++) {
        memcpy(checks[i].header_hash, question->work->header_hash, 32);
        checks[i].nonce = question->job->nonce + first + i;
    }
    return run_checks(question->epoch, &question->slot->checks, question->slot->stream, count,
                      fault);
}

static uint32_t end_of_block(const struct question *question, uint32_t block)
{
    uint32_t end = (block + 1) * BLOCK;
    return end < question->job->count ? end : question->job->count;
}

static void take(struct hash_candidate *best, const struct rr_hash_check *check)
{
    best->found = true;
    best->nonce = check->nonce;
    memcpy(best->final_be, check->final_be, 32);
}

/* Several nonces have the smallest top: all of them whole. A block with one of them knows which. */
static enum rr_err settle_argmin(struct question *question, struct hash_candidate *best,
                                 uint64_t top, struct rr_fault *fault)
{
    enum rr_err err = fetch_candidates(question, fault);
    best->found = false;
    for (uint32_t block = 0; block < question->job->block_count && err == RR_OK; block++) {
        struct rr_ethash_gpu_candidate candidate = question->candidates[block];
        if (candidate.top != top || candidate.ties == 0) {
            continue;
        }
        uint32_t first = candidate.ties == 1 ? candidate.offset : block * BLOCK;
        uint32_t count = candidate.ties == 1 ? 1 : end_of_block(question, block) - first;
        err = compute(question, first, count, fault);
        const struct rr_hash_check *checks = question->slot->checks.host;
        for (uint32_t i = 0; i < count && err == RR_OK; i++) {
            if (!best->found || memcmp(checks[i].final_be, best->final_be, 32) < 0) {
                take(best, &checks[i]);
            }
        }
    }
    return err;
}

/* The nonce at `offset` has the boundary's own top and does not solve: the next ones that may. */
static enum rr_err settle_target(struct question *question, struct hash_candidate *best,
                                 uint32_t offset, struct rr_fault *fault)
{
    enum rr_err err = fetch_candidates(question, fault);
    uint32_t first = offset + 1;
    best->found = false;
    for (uint32_t block = offset / BLOCK; block < question->job->block_count && err == RR_OK;
         block++) {
        struct rr_ethash_gpu_candidate candidate = question->candidates[block];
        if (candidate.offset == RR_ETHASH_GPU_NONE) {
            continue;
        }
        first = candidate.offset > first ? candidate.offset : first;
        uint32_t end = end_of_block(question, block);
        if (first >= end) {
            continue;
        }
        err = compute(question, first, end - first, fault);
        const struct rr_hash_check *checks = question->slot->checks.host;
        for (uint32_t i = 0; i < end - first && err == RR_OK; i++) {
            if (memcmp(checks[i].final_be, question->work->boundary_be, 32) <= 0) {
                take(best, &checks[i]);
                return RR_OK;
            }
        }
    }
    return err;
}

/* The answer of one job of a launch; err: a result that no run of the kernels can leave. */
static enum rr_err answer(struct question *question, const struct rr_ethash_gpu_result *result,
                          struct hash_candidate *out, struct rr_fault *fault)
{
    const struct rr_ethash_gpu_job *job = question->job;
    bool target = job->kind == RR_ETHASH_GPU_TARGET;
    *out = (struct hash_candidate){.done = (uint32_t)result->hashed};
    bool none = result->offset == RR_ETHASH_GPU_NONE;
    if (result->hashed != job->count || (none ? !target : result->offset >= job->count)) {
        return rr_fail(fault, RR_ERR_DAMAGED,
                       "%s says it made %" PRIu64 " of %" PRIu32 " hashes, the best at %" PRIu32
                       "; lower its clocks, then restart it",
                       question->epoch->device->name, result->hashed, job->count, result->offset);
    }
    if (none) {
        return RR_OK;
    }
    out->found = true;
    out->nonce = job->nonce + result->offset;
    memcpy(out->final_be, result->final, 32);
    if (!target && result->ties > 1) {
        return settle_argmin(question, out, result->top, fault);
    }
    if (target && memcmp(out->final_be, question->work->boundary_be, 32) > 0) {
        return settle_target(question, out, result->offset, fault);
    }
    return RR_OK;
}

/* ---- search -------------------------------------------------------------------------------------
 */
static uint64_t top_of(const uint8_t *bytes)
{
    uint64_t top = 0;
    for (int i = 0; i < 8; i++) {
        top = top << 8 | bytes[i];
    }
    return top;
}

/* Fills the slot's tables with what is left of the works; jobs 0: nothing is. */
static void fill_tables(const struct cuda_device *device, struct cuda_slot *slot,
                        const struct hash_candidate *out, const struct hash_work *works,
                        size_t count, uint32_t *jobs, uint32_t *blocks)
{
    *jobs = 0;
    *blocks = 0;
    for (size_t i = 0; i < count; i++) {
        uint32_t reached = slot->reached[i];
        bool over = works[i].kind == RR_HASH_TARGET && out[i].found;
        if (reached == works[i].count || over) {
            continue;
        }
        struct rr_ethash_gpu_job job = {.nonce = works[i].nonce + reached,
                                        .top_max = top_of(works[i].boundary_be),
                                        .count = works[i].count - reached,
                                        .kind = (uint32_t)works[i].kind};
        memcpy(job.header, works[i].header_hash, sizeof(job.header));
        slot->work_of[*jobs < CUDA_WORKS_MAX ? *jobs : 0] = (uint32_t)i;
        if (!cuda_add_job(device, slot, &job, jobs, blocks)) {
            return;
        }
        slot->reached[i] += job.count;
    }
}

static void merge(struct hash_candidate *into, const struct hash_candidate *part,
                  enum rr_hash_kind kind)
{
    uint32_t done = into->done + part->done;
    if (part->found && (!into->found || hash_candidate_replaces(into, part, kind))) {
        *into = *part;
    }
    into->done = done;
}

enum rr_err cuda_search(void *state, uint32_t slot_number, struct hash_candidate *out,
                        const struct hash_work *works, size_t count, struct rr_fault *fault)
{
    struct cuda_epoch *epoch = state;
    RR_CHECK(slot_number < CUDA_SLOTS && count > 0 && count <= CUDA_WORKS_MAX);
    struct cuda_slot *slot = &epoch->device->slots[slot_number];
    enum rr_err err = cuda_enter(epoch->device, fault);
    memset(out, 0, count * sizeof(*out));
    memset(slot->reached, 0, count * sizeof(slot->reached[0]));
    while (err == RR_OK) {
        uint32_t jobs = 0;
        uint32_t blocks = 0;
        fill_tables(epoch->device, slot, out, works, count, &jobs, &blocks);
        if (jobs == 0) {
            break;
        }
        err = run_jobs(epoch, slot, jobs, blocks, fault);
        for (uint32_t i = 0; i < jobs && err == RR_OK; i++) {
            const struct hash_work *work = &works[slot->work_of[i]];
            struct question question = {
                epoch, slot, work, (const struct rr_ethash_gpu_job *)slot->jobs.host + i, NULL};
            struct hash_candidate part;
            err = answer(&question, (const struct rr_ethash_gpu_result *)slot->results.host + i,
                         &part, fault);
            if (err == RR_OK) {
                merge(&out[slot->work_of[i]], &part, work->kind);
            }
        }
    }
    return err;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Searches and checks by the backend `opencl`. The kernels compare the top 64 bits of finals and
 * give one candidate a work-group; the nonces in doubt, which are those of equal keys and each
 * winner, are then hashed once more in full, so that the answer is exact in all 256 bits. */
#include "hash/hash_opencl.h"
#include <inttypes.h>
#include <string.h>

#define ITEMS 64 /* of a work-group of `verify` */

/* A call of search, cut into batches of work-groups. */
struct run {
    const struct opencl_epoch *epoch;
    struct opencl_queue *queue;
    cl_kernel search;
    struct hash_candidate *out;
    const struct hash_work *works;
    size_t count;
    size_t next_work; /* where the next batch starts */
    uint64_t next_offset;
    uint32_t groups; /* of the batch at hand */
    uint32_t checks; /* that wait in host_checks */
};

static uint64_t load_be(const uint8_t bytes[static 8])
{
    uint64_t value = 0;
    for (int i = 0; i < 8; i++) {
        value = value << 8 | bytes[i];
    }
    return value;
}

static void dataset_arguments(const struct opencl_epoch *epoch, cl_kernel kernel, cl_uint first,
                              cl_int *code)
{
    const struct opencl_api *api = epoch->device->api;
    cl_mem high = epoch->high != NULL ? epoch->high : epoch->low;
    uint32_t magic = opencl_magic(epoch->params.dataset_items);
    opencl_argument_buffer(api, kernel, first, epoch->low, code);
    opencl_argument_buffer(api, kernel, first + 1, high, code);
    opencl_argument_u32(api, kernel, first + 2, epoch->low_rows, code);
    opencl_argument_u32(api, kernel, first + 3, epoch->params.dataset_items, code);
    opencl_argument_u32(api, kernel, first + 4, magic, code);
}

/* ---- checks -------------------------------------------------------------------------------------
 */
/* Drivers are known to report a launch as done that never ran. */
static enum rr_err left_out(const struct opencl_device *device, const char *what,
                            struct rr_fault *fault)
{
    return rr_fail(fault, RR_ERR_IO,
                   "OpenCL device %s left out a part of its %s; look at the kernel's log, at its "
                   "clocks and its power, then restart it",
                   device->name, what);
}

/* host_hashes[i] answers host_checks[i]. */
static enum rr_err hash_checks(const struct opencl_epoch *epoch, struct opencl_queue *queue,
                               uint32_t count, struct rr_fault *fault)
{
    cl_kernel kernel = queue->verify;
    uint32_t stamp = ++queue->stamp;
    const struct opencl_device *device = epoch->device;
    const struct opencl_api *api = device->api;
    const size_t local = ITEMS;
    size_t global = ((size_t)count + ITEMS - 1) / ITEMS * ITEMS;
    cl_int code = api->clEnqueueWriteBuffer(queue->queue, queue->checks, CL_TRUE, 0,
                                            count * sizeof(*queue->host_checks), queue->host_checks,
                                            0, NULL, NULL);
    opencl_argument_buffer(api, kernel, 0, queue->checks, &code);
    opencl_argument_buffer(api, kernel, 1, queue->hashes, &code);
    opencl_argument_u32(api, kernel, 2, count, &code);
    opencl_argument_u32(api, kernel, 3, stamp, &code);
    dataset_arguments(epoch, kernel, 4, &code);
    if (code == CL_SUCCESS) {
        code = api->clEnqueueNDRangeKernel(queue->queue, kernel, 1, NULL, &global, &local, 0, NULL,
                                           NULL);
    }
    if (code == CL_SUCCESS) {
        code = api->clEnqueueReadBuffer(queue->queue, queue->hashes, CL_TRUE, 0,
                                        count * sizeof(*queue->host_hashes), queue->host_hashes, 0,
                                        NULL, NULL);
    }
    if (code != CL_SUCCESS) {
        return opencl_failed(device, "its checks", code, fault);
    }
    for (uint32_t i = 0; i < count; i++) {
        if (queue->host_hashes[i].stamp != stamp) {
            return left_out(device, "checks", fault);
        }
    }
    return RR_OK;
}

enum rr_err opencl_verify(void *state, struct rr_hash_check *checks, size_t count,
                          struct rr_fault *fault)
{
    const struct opencl_epoch *epoch = state;
    struct opencl_queue *queue = &epoch->device->queues[OPENCL_SLOTS];
    for (size_t first = 0; first < count; first += OPENCL_CHECKS_MAX) {
        size_t now = count - first < OPENCL_CHECKS_MAX ? count - first : OPENCL_CHECKS_MAX;
        for (size_t i = 0; i < now; i++) {
            memcpy(queue->host_checks[i].header, checks[first + i].header_hash, 32);
            queue->host_checks[i].nonce = checks[first + i].nonce;
        }
        enum rr_err err = hash_checks(epoch, queue, (uint32_t)now, fault);
        if (err != RR_OK) {
            return err;
        }
        for (size_t i = 0; i < now; i++) {
            memcpy(checks[first + i].mix, queue->host_hashes[i].mix, 32);
            memcpy(checks[first + i].final_be, queue->host_hashes[i].final_be, 32);
        }
    }
    return RR_OK;
}

/* ---- nonces in doubt ----------------------------------------------------------------------------
 */
static bool solves(const struct hash_work *work, const uint8_t final_be[static 32])
{
    return memcmp(final_be, work->boundary_be, 32) <= 0;
}

static enum rr_err contradicts(const struct run *run, uint64_t nonce, struct rr_fault *fault)
{
    return rr_fail(fault, RR_ERR_DAMAGED,
                   "OpenCL device %s contradicts itself at nonce %" PRIu64
                   ": its search and its check differ; lower its clocks, or install another driver",
                   run->epoch->device->name, nonce);
}

/* Hashes the checks that wait and lets each work take its best one. */
static enum rr_err take_checks(struct run *run, struct rr_fault *fault)
{
    struct opencl_queue *queue = run->queue;
    uint32_t count = run->checks;
    run->checks = 0;
    enum rr_err err = count > 0 ? hash_checks(run->epoch, queue, count, fault) : RR_OK;
    for (uint32_t i = 0; i < count && err == RR_OK; i++) {
        const struct opencl_doubt *doubt = &queue->doubts[i];
        const struct hash_work *work = &run->works[doubt->work];
        struct hash_candidate *best = &run->out[doubt->work];
        struct hash_candidate tried = {
            .found = true, .done = best->done, .nonce = queue->host_checks[i].nonce};
        memcpy(tried.final_be, queue->host_hashes[i].final_be, 32);
        uint64_t key = load_be(tried.final_be) & run->epoch->device->api->key_mask;
        if (doubt->keyed && doubt->key != key) {
            return contradicts(run, tried.nonce, fault);
        }
        bool counts = work->kind != RR_HASH_TARGET || solves(work, tried.final_be);
        if (counts && hash_candidate_replaces(best, &tried, work->kind)) {
            *best = tried;
        }
    }
    return err;
}

static enum rr_err add_check(struct run *run, struct opencl_doubt doubt, uint64_t nonce,
                             struct rr_fault *fault)
{
    struct opencl_check *check = &run->queue->host_checks[run->checks];
    memcpy(check->header, run->works[doubt.work].header_hash, 32);
    check->nonce = nonce;
    run->queue->doubts[run->checks++] = doubt;
    return run->checks == OPENCL_CHECKS_MAX ? take_checks(run, fault) : RR_OK;
}

/* The candidate of a group. */
static enum rr_err add_candidate(struct run *run, uint32_t group, struct rr_fault *fault)
{
    const struct opencl_candidate *candidate = &run->queue->host_candidates[group];
    struct opencl_doubt doubt = {
        .work = run->queue->host_map[group][0], .keyed = true, .key = candidate->key};
    return add_check(run, doubt, run->works[doubt.work].nonce + candidate->offset, fault);
}

/* All nonces of a group from `offset` of its work on. */
static enum rr_err add_group(struct run *run, uint32_t group, uint32_t offset,
                             struct rr_fault *fault)
{
    struct opencl_doubt doubt = {.work = run->queue->host_map[group][0]};
    const struct hash_work *work = &run->works[doubt.work];
    uint64_t end = (uint64_t)run->queue->host_map[group][1] + run->epoch->program.shape->group;
    enum rr_err err = RR_OK;
    for (uint64_t i = offset; i < end && i < work->count && err == RR_OK; i++) {
        err = add_check(run, doubt, work->nonce + i, fault);
    }
    return err;
}

/* Groups first .. end - 1 of the batch are of one work. */
static uint32_t groups_end(const struct run *run, uint32_t first)
{
    uint32_t end = first;
    while (end < run->groups && run->queue->host_map[end][0] == run->queue->host_map[first][0]) {
        end++;
    }
    return end;
}

/* The groups whose candidate has the smallest key; of those in which several nonces have it, all
 * nonces. */
static enum rr_err settle_argmin(struct run *run, uint32_t first, uint32_t end,
                                 struct rr_fault *fault)
{
    const struct opencl_candidate *candidates = run->queue->host_candidates;
    uint64_t least = UINT64_MAX;
    enum rr_err err = RR_OK;
    for (uint32_t g = first; g < end; g++) {
        least = candidates[g].key < least ? candidates[g].key : least;
    }
    for (uint32_t g = first; g < end && err == RR_OK; g++) {
        if (candidates[g].key != least) {
            continue;
        }
        err = (candidates[g].info & OPENCL_TIE) != 0
                  ? add_group(run, g, run->queue->host_map[g][1], fault)
                  : add_candidate(run, g, fault);
    }
    return err;
}

/* The first candidate nearly always solves; one that equals the boundary in its key alone may not,
 * and then the nonces behind it are tried, group by group. */
static enum rr_err settle_target(struct run *run, uint32_t first, uint32_t end,
                                 struct rr_fault *fault)
{
    const struct opencl_candidate *candidates = run->queue->host_candidates;
    uint32_t owner = run->queue->host_map[first][0];
    enum rr_err err = RR_OK;
    for (uint32_t g = first; g < end && err == RR_OK && !run->out[owner].found; g++) {
        if ((candidates[g].info & OPENCL_FOUND) == 0) {
            continue;
        }
        uint64_t bound = load_be(run->works[owner].boundary_be) & run->epoch->device->api->key_mask;
        if (candidates[g].key == bound) {
            err = take_checks(run, fault); /* so that the group has room and stands alone */
            err = err == RR_OK ? add_group(run, g, candidates[g].offset, fault) : err;
            err = err == RR_OK ? take_checks(run, fault) : err;
        } else {
            return add_candidate(run, g, fault);
        }
    }
    return err;
}

static enum rr_err settle(struct run *run, struct rr_fault *fault)
{
    enum rr_err err = RR_OK;
    for (uint32_t first = 0, end = 0; first < run->groups && err == RR_OK; first = end) {
        end = groups_end(run, first);
        enum rr_hash_kind kind = run->works[run->queue->host_map[first][0]].kind;
        err = kind == RR_HASH_TARGET ? settle_target(run, first, end, fault)
                                     : settle_argmin(run, first, end, fault);
    }
    return err == RR_OK ? take_checks(run, fault) : err;
}

/* ---- batches ------------------------------------------------------------------------------------
 */
/* Fills the map with the next groups; targets that are solved need no more. */
static void next_batch(struct run *run)
{
    uint32_t group = run->epoch->program.shape->group;
    run->groups = 0;
    while (run->next_work < run->count && run->groups < OPENCL_GROUPS_MAX) {
        const struct hash_work *work = &run->works[run->next_work];
        bool over = work->kind == RR_HASH_TARGET && run->out[run->next_work].found;
        if (over || run->next_offset >= work->count) {
            run->next_work++;
            run->next_offset = 0;
            continue;
        }
        run->queue->host_map[run->groups][0] = (uint32_t)run->next_work;
        run->queue->host_map[run->groups][1] = (uint32_t)run->next_offset;
        run->groups++;
        run->next_offset += group;
    }
}

static cl_int enqueue_groups(const struct run *run, uint32_t at_once)
{
    const struct opencl_api *api = run->epoch->device->api;
    const struct opencl_queue *queue = run->queue;
    const size_t local = run->epoch->program.shape->items;
    uint32_t stamp = queue->stamp;
    cl_int code = CL_SUCCESS;
    opencl_argument_buffer(api, run->search, 0, queue->works, &code);
    opencl_argument_buffer(api, run->search, 1, queue->map, &code);
    opencl_argument_buffer(api, run->search, 2, queue->candidates, &code);
    opencl_argument_u32(api, run->search, 4, stamp, &code);
    dataset_arguments(run->epoch, run->search, 5, &code);
    for (uint32_t first = 0; first < run->groups && code == CL_SUCCESS; first += at_once) {
        uint32_t now = run->groups - first < at_once ? run->groups - first : at_once;
        size_t global = local * now;
        opencl_argument_u32(api, run->search, 3, first, &code);
        if (code == CL_SUCCESS) {
            code = api->clEnqueueNDRangeKernel(queue->queue, run->search, 1, NULL, &global, &local,
                                               0, NULL, NULL);
        }
    }
    return code;
}

/* Makes the groups of the map; launches are as long as OPENCL_LAUNCH_US by what others took. */
static cl_int make_groups(struct run *run)
{
    const struct opencl_device *device = run->epoch->device;
    const struct opencl_api *api = device->api;
    struct opencl_queue *queue = run->queue;
    uint64_t at_once = queue->ns_per_group == 0
                           ? UINT64_C(4) * device->units
                           : OPENCL_LAUNCH_US * UINT64_C(1000) / queue->ns_per_group;
    /* One a unit takes no longer than one alone; fewer would only cost launches. */
    at_once = at_once < device->units ? device->units : at_once;
    at_once = at_once > OPENCL_GROUPS_MAX ? OPENCL_GROUPS_MAX : at_once;
    uint64_t start_us = rr_monotonic_us(rr_clock_system());
    queue->stamp++;
    cl_int code = api->clEnqueueWriteBuffer(queue->queue, queue->map, CL_FALSE, 0,
                                            run->groups * sizeof(*queue->host_map), queue->host_map,
                                            0, NULL, NULL);
    if (code == CL_SUCCESS) {
        code = enqueue_groups(run, (uint32_t)at_once);
    }
    if (code == CL_SUCCESS) {
        code = api->clEnqueueReadBuffer(queue->queue, queue->candidates, CL_TRUE, 0,
                                        run->groups * sizeof(*queue->host_candidates),
                                        queue->host_candidates, 0, NULL, NULL);
    }
    if (code != CL_SUCCESS) {
        (void)api->clFinish(queue->queue); /* nothing may read the host's side any more */
        return code;
    }
    uint64_t ns = (rr_monotonic_us(rr_clock_system()) - start_us) * 1000 / run->groups + 1;
    queue->ns_per_group = queue->ns_per_group == 0 ? ns : (3 * queue->ns_per_group + ns) / 4;
    return CL_SUCCESS;
}

/* The device itself counts the hashes; what it did not make in this batch has another stamp. */
static enum rr_err count_hashes(struct run *run, struct rr_fault *fault)
{
    uint32_t group = run->epoch->program.shape->group;
    for (uint32_t g = 0; g < run->groups; g++) {
        uint32_t owner = run->queue->host_map[g][0];
        uint32_t left = run->works[owner].count - run->queue->host_map[g][1];
        uint32_t info = run->queue->host_candidates[g].info;
        uint32_t made = OPENCL_DONE(info);
        uint32_t asked = left < group ? left : group;
        uint32_t at = run->queue->host_candidates[g].offset - run->queue->host_map[g][1];
        if (info >> OPENCL_STAMP_BIT0 != run->queue->stamp || made != asked ||
            ((info & OPENCL_FOUND) != 0 && at >= asked)) {
            return left_out(run->epoch->device, "search", fault);
        }
        run->out[owner].done += made;
    }
    return RR_OK;
}

static enum rr_err write_works(const struct run *run, struct rr_fault *fault)
{
    struct opencl_queue *queue = run->queue;
    for (size_t i = 0; i < run->count; i++) {
        const struct hash_work *work = &run->works[i];
        struct opencl_work *to = &queue->host_works[i];
        *to = (struct opencl_work){
            .nonce = work->nonce,
            .boundary = load_be(work->boundary_be),
            .count = work->count,
            .kind = work->kind == RR_HASH_TARGET ? 1 : 2,
        };
        memcpy(to->header, work->header_hash, 32);
        run->out[i] = (struct hash_candidate){0};
    }
    cl_int code = run->epoch->device->api->clEnqueueWriteBuffer(
        queue->queue, queue->works, CL_TRUE, 0, run->count * sizeof(*queue->host_works),
        queue->host_works, 0, NULL, NULL);
    return code == CL_SUCCESS ? RR_OK : opencl_failed(run->epoch->device, "its jobs", code, fault);
}

enum rr_err opencl_search(void *state, uint32_t slot, struct hash_candidate *out,
                          const struct hash_work *works, size_t count, struct rr_fault *fault)
{
    struct opencl_epoch *epoch = state;
    RR_CHECK(slot < OPENCL_SLOTS && count <= OPENCL_WORKS_MAX);
    struct run run = {.epoch = epoch,
                      .queue = &epoch->device->queues[slot],
                      .search = epoch->program.search[slot],
                      .out = out,
                      .works = works,
                      .count = count};
    enum rr_err err = write_works(&run, fault);
    for (next_batch(&run); run.groups > 0 && err == RR_OK; next_batch(&run)) {
        cl_int code = make_groups(&run);
        err = code == CL_SUCCESS ? count_hashes(&run, fault)
                                 : opencl_failed(epoch->device, "a search", code, fault);
        if (err == RR_OK) {
            err = settle(&run, fault);
        }
    }
    return err;
}

/* ---- race of the variants -----------------------------------------------------------------------
 */
#define RACE_US    2000000 /* of all variants */
#define RACE_TURNS 3

struct racer {
    struct opencl_program program;
    bool runs;
    uint64_t ns_per_hash[RACE_TURNS];
    uint64_t median;
};

/* One turn: works of growing length until it has taken its share of the time. */
static enum rr_err race_once(struct opencl_epoch *epoch, uint64_t *ns_per_hash, uint64_t share_us,
                             struct rr_fault *fault)
{
    struct hash_work work = {.count = 128 * epoch->device->units, .kind = RR_HASH_ARGMIN};
    struct hash_candidate found;
    uint64_t hashes = 0;
    uint64_t start_us = rr_monotonic_us(rr_clock_system());
    uint64_t passed_us = 0;
    epoch->device->queues[0].ns_per_group = 0;
    while (passed_us < share_us) {
        enum rr_err err = opencl_search(epoch, 0, &found, &work, 1, fault);
        if (err != RR_OK) {
            return err;
        }
        uint64_t now_us = rr_monotonic_us(rr_clock_system()) - start_us;
        hashes += work.count;
        work.nonce += work.count;
        if (now_us - passed_us < share_us / 4 && work.count < (1u << 26)) {
            work.count *= 2;
        }
        passed_us = now_us;
    }
    /* In 1/1000 ns, so that fast cards differ too. */
    *ns_per_hash = passed_us * 1000000 / hashes + 1;
    return RR_OK;
}

/* A variant that does not give the law's answer is out. Also its first launch, which compiles. */
static bool race_allows(struct opencl_epoch *epoch)
{
    struct hash_work work = {.nonce = UINT64_MAX - 40, .count = 41, .kind = RR_HASH_ARGMIN};
    struct hash_candidate found = {0};
    struct hash_candidate law = {0};
    for (uint32_t i = 0; i < work.count; i++) {
        uint8_t mix[32];
        struct hash_candidate tried = {.found = true, .nonce = work.nonce + i};
        rr_hash_light_compute(epoch->light, work.header_hash, tried.nonce, mix, tried.final_be);
        law = hash_candidate_replaces(&law, &tried, work.kind) ? tried : law;
    }
    return opencl_search(epoch, 0, &found, &work, 1, NULL) == RR_OK && found.nonce == law.nonce &&
           memcmp(found.final_be, law.final_be, 32) == 0;
}

static uint64_t median_of_three(const uint64_t of[static 3])
{
    uint64_t low = of[0] < of[1] ? of[0] : of[1];
    uint64_t high = of[0] < of[1] ? of[1] : of[0];
    return of[2] < low ? low : of[2] > high ? high : of[2];
}

/* Compiles all; those that the device cannot do stay out. */
static size_t line_up(struct opencl_epoch *epoch, struct racer racers[static OPENCL_SHAPES])
{
    const struct opencl_device *device = epoch->device;
    size_t count = 0;
    for (size_t i = 0; i < OPENCL_SHAPES; i++) {
        struct rr_fault why = {0};
        if (opencl_shapes[i].items > device->items_max ||
            opencl_program_init(&racers[i].program, device, &opencl_shapes[i], &why) != RR_OK) {
            rr_log(RR_LOG_DEBUG, "hash", "left out of the race: %s", why.text);
            continue;
        }
        epoch->program = racers[i].program;
        racers[i].runs = race_allows(epoch);
        count += racers[i].runs;
    }
    return count;
}

enum rr_err opencl_tune(void *state, struct hash_tuning *best, struct rr_fault *fault)
{
    struct opencl_epoch *epoch = state;
    struct opencl_program before = epoch->program;
    struct racer *racers = rr_alloc_array(OPENCL_SHAPES, sizeof(*racers));
    size_t winner = OPENCL_SHAPES;
    enum rr_err err = RR_OK;
    size_t count = line_up(epoch, racers);
    for (size_t turn = 0; turn < RACE_TURNS && err == RR_OK; turn++) {
        for (size_t i = 0; i < OPENCL_SHAPES && err == RR_OK; i++) {
            if (racers[i].runs) {
                epoch->program = racers[i].program;
                err = race_once(epoch, &racers[i].ns_per_hash[turn], RACE_US / (RACE_TURNS * count),
                                fault);
            }
        }
    }
    for (size_t i = 0; i < OPENCL_SHAPES && err == RR_OK; i++) {
        racers[i].median = median_of_three(racers[i].ns_per_hash);
        if (racers[i].runs &&
            (winner == OPENCL_SHAPES || racers[i].median < racers[winner].median)) {
            winner = i;
        }
    }
    if (err == RR_OK && winner == OPENCL_SHAPES) {
        err = rr_fail(fault, RR_ERR_DAMAGED,
                      "no search variant gives the law's answer on OpenCL device %s; lower its "
                      "clocks, or install another driver",
                      epoch->device->name);
    }
    if (err == RR_OK) {
        opencl_shape_text(best->text, racers[winner].program.shape);
    }
    opencl_epoch_take(epoch, err == RR_OK ? &racers[winner].program : &before);
    for (size_t i = 0; i < OPENCL_SHAPES; i++) {
        if (i != winner || err != RR_OK) {
            opencl_program_clear(&racers[i].program, epoch->device->api);
        }
    }
    if (err == RR_OK) {
        opencl_program_clear(&before, epoch->device->api);
    }
    for (size_t i = 0; i < OPENCL_SLOTS; i++) {
        epoch->device->queues[i].ns_per_group = 0;
    }
    rr_free(racers);
    return err;
}

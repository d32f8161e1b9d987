/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The race between the ways to search: in turns over the same nonces, medians count, and the winner
 * must agree with the law. */
#include "hash/hash_cuda.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BUDGET_US    2000000 /* spec 10, 2: 2 to 3 s with the proof of the winner */
#define ROUNDS_MAX   15u
#define ROUNDS_MIN   3u
#define WAYS_MAX     12u
#define RESIDENT_MAX 32u  /* blocks of a multiprocessor that any device has */
#define LAUNCH_MS    8.0F /* long against the tail of a launch */

struct shape {
    enum cuda_kernel kernel;
    const char *variant;
    uint32_t rows, threads;
    int compute; /* at least */
};
/* The first one is the default. */
static const struct shape shapes[] = {
    {CUDA_KERNEL_lanes8_4_128, "lanes8", 4, 128, 0},
    {CUDA_KERNEL_lanes8_4_256, "lanes8", 4, 256, 0},
    {CUDA_KERNEL_lanes8_8_128, "lanes8", 8, 128, 0},
    {CUDA_KERNEL_lanes8_8_256, "lanes8", 8, 256, 0},
    {CUDA_KERNEL_bulk_1_128, "bulk", 1, 128, 90},
    {CUDA_KERNEL_persist_4_128, "persist", 4, 128, 0},
    {CUDA_KERNEL_persist_8_128, "persist", 8, 128, 0},
};

static bool is_persistent(const struct shape *shape)
{
    return strcmp(shape->variant, "persist") == 0;
}

void cuda_way_text(char text[static 96], const struct cuda_way *way)
{
    for (size_t i = 0; i < RR_COUNT(shapes); i++) {
        if (shapes[i].kernel == way->kernel) {
            (void)snprintf(text, 96,
                           "variant=%s rows=%" PRIu32 " block=%" PRIu32 " per_sm=%" PRIu32,
                           shapes[i].variant, shapes[i].rows, way->threads, way->per_unit);
        }
    }
}

struct cuda_way cuda_way_of(const struct cuda_device *device, const char *text)
{
    for (size_t i = 0; i < RR_COUNT(shapes); i++) {
        const struct shape *shape = &shapes[i];
        struct cuda_way way = {shape->kernel, shape->threads, 0};
        uint32_t most = is_persistent(shape) ? RESIDENT_MAX : 0;
        for (way.per_unit = most > 0 ? 1 : 0; way.per_unit <= most; way.per_unit++) {
            char known[96];
            cuda_way_text(known, &way);
            if (strcmp(known, text) == 0 && device->compute >= shape->compute) {
                return way;
            }
        }
    }
    return (struct cuda_way){shapes[0].kernel, shapes[0].threads, 0};
}

/* ---- the race -----------------------------------------------------------------------------------
 */
struct runner {
    struct cuda_way way;
    float ms[ROUNDS_MAX], median;
    bool out; /* cannot run here, or was wrong */
};
struct race {
    struct cuda_epoch *epoch;
    struct cuda_slot *slot;
    struct runner runners[WAYS_MAX];
    uint32_t count, blocks, rounds;
};

static void enter_ways(struct race *race)
{
    const struct cuda_device *device = race->epoch->device;
    for (size_t i = 0; i < RR_COUNT(shapes); i++) {
        const struct shape *shape = &shapes[i];
        struct cuda_way way = {shape->kernel, shape->threads, 0};
        int resident = 0;
        if (device->compute < shape->compute) {
            continue;
        }
        if (!is_persistent(shape)) {
            race->runners[race->count++].way = way;
            continue;
        }
        if (device->driver->occupancy(&resident, device->kernels[shape->kernel],
                                      (int)shape->threads, 0) != CUDA_OK) {
            continue;
        }
        for (int less = 0; less < 2 && resident - less > 0; less++) {
            way.per_unit = (uint32_t)(resident - less);
            race->runners[race->count++].way = way;
        }
    }
}

/* One launch of the search kernel alone, timed by the device. */
static int run_once(struct race *race, const struct cuda_way *way, float *ms)
{
    const struct cuda_driver *driver = race->epoch->device->driver;
    struct cuda_slot *slot = race->slot;
    int code = driver->event_record(slot->start, slot->stream);
    code = code != CUDA_OK ? code : cuda_queue_search(race->epoch, slot, way, race->blocks);
    code = code != CUDA_OK ? code : driver->event_record(slot->end, slot->stream);
    code = code != CUDA_OK ? code : driver->stream_wait(slot->stream);
    return code != CUDA_OK ? code : driver->event_elapsed(ms, slot->start, slot->end);
}

/* One job over `blocks` blocks into the slot's tables. */
static int set_blocks(struct race *race, uint32_t blocks)
{
    const struct cuda_driver *driver = race->epoch->device->driver;
    struct cuda_slot *slot = race->slot;
    struct rr_ethash_gpu_job job = {.header = {1, 2, 3, 4},
                                    .nonce = UINT64_C(1) << 40,
                                    .count = blocks * RR_ETHASH_GPU_BLOCK,
                                    .kind = RR_ETHASH_GPU_ARGMIN};
    uint32_t jobs = 0;
    race->blocks = 0;
    (void)cuda_add_job(race->epoch->device, slot, &job, &jobs, &race->blocks);
    int code = driver->to_device(slot->jobs.device, slot->jobs.host, sizeof(job), slot->stream);
    code = code != CUDA_OK ? code
                           : driver->to_device(slot->block_job.device, slot->block_job.host,
                                               race->blocks * sizeof(uint32_t), slot->stream);
    return code != CUDA_OK ? code : driver->stream_wait(slot->stream);
}

/* Grows the launch until it takes long enough; warms the device as well. */
static int calibrate(struct race *race)
{
    float ms = 0;
    uint32_t most = race->epoch->device->blocks_max;
    uint32_t blocks = race->epoch->device->units;
    int code = set_blocks(race, blocks);
    while (code == CUDA_OK) {
        code = run_once(race, &race->runners[0].way, &ms);
        if (code != CUDA_OK || ms >= LAUNCH_MS / 2 || race->blocks == most) {
            break;
        }
        blocks = race->blocks < most / 4 ? race->blocks * 4 : most;
        code = set_blocks(race, blocks);
    }
    return code;
}

static int compare_ms(const void *a, const void *b)
{
    float x = *(const float *)a;
    float y = *(const float *)b;
    return (x > y) - (x < y);
}

static enum rr_err run_race(struct race *race, struct rr_fault *fault)
{
    struct cuda_device *device = race->epoch->device;
    const struct rr_clock *clock = rr_clock_system();
    uint64_t until = rr_monotonic_us(clock) + BUDGET_US;
    while (race->rounds < ROUNDS_MAX &&
           (race->rounds < ROUNDS_MIN || rr_monotonic_us(clock) < until)) {
        for (uint32_t i = 0; i < race->count; i++) {
            struct runner *runner = &race->runners[i];
            if (runner->out) {
                continue;
            }
            int code = run_once(race, &runner->way, &runner->ms[race->rounds]);
            if (code == CUDA_OUT_OF_RESOURCES) {
                runner->out = true;
                continue;
            }
            enum rr_err err = cuda_result(device, code, "racing the variants", fault);
            if (err != RR_OK) {
                return err;
            }
        }
        race->rounds++;
        if (race->rounds >= 1 && rr_monotonic_us(clock) > until + BUDGET_US / 2) {
            break; /* a device so slow that three rounds are too many */
        }
    }
    for (uint32_t i = 0; i < race->count; i++) {
        qsort(race->runners[i].ms, race->rounds, sizeof(float), compare_ms);
        race->runners[i].median = race->runners[i].ms[race->rounds / 2];
    }
    return RR_OK;
}

/* The fastest runner that the law confirms. RR_ERR_DAMAGED: none was right. */
static enum rr_err crown(struct race *race, struct rr_fault *fault)
{
    struct cuda_epoch *epoch = race->epoch;
    enum rr_err err = rr_fail(fault, RR_ERR_UNSUPPORTED, "%s runs none of the search kernels",
                              epoch->device->name);
    for (;;) {
        struct runner *best = NULL;
        for (uint32_t i = 0; i < race->count; i++) {
            struct runner *runner = &race->runners[i];
            if (!runner->out && (best == NULL || runner->median < best->median)) {
                best = runner;
            }
        }
        if (best == NULL) {
            return err;
        }
        epoch->way = best->way;
        err = hash_backend_prove(&hash_backend_cuda, epoch, 0, epoch->light, fault);
        if (err != RR_ERR_DAMAGED) {
            return err;
        }
        char text[96] = "";
        cuda_way_text(text, &best->way);
        rr_log(RR_LOG_ERROR, "hash", "%s is wrong with %s; the next one is tried",
               epoch->device->name, text);
        best->out = true;
    }
}

enum rr_err cuda_tune(void *state, struct hash_tuning *best, struct rr_fault *fault)
{
    struct cuda_epoch *epoch = state;
    struct cuda_way before = epoch->way;
    enum rr_err err = cuda_enter(epoch->device, fault);
    if (err != RR_OK) {
        return err;
    }
    struct race *race = rr_alloc(sizeof(*race));
    race->epoch = epoch;
    race->slot = &epoch->device->slots[0];
    enter_ways(race);
    err = cuda_result(epoch->device, calibrate(race), "racing the variants", fault);
    if (err == RR_OK) {
        err = run_race(race, fault);
    }
    if (err == RR_OK) {
        err = crown(race, fault);
    }
    if (err == RR_OK) {
        struct hash_tuning won = {""};
        cuda_way_text(won.text, &epoch->way);
        (void)snprintf(epoch->text, sizeof(epoch->text), "dataset, %.80s", won.text);
        *best = won;
    } else {
        epoch->way = before;
    }
    rr_free(race);
    return err;
}

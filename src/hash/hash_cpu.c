/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The backend that every machine has: the kernels that its processor allows, over the dataset where
 * it fits, else light. */
#include "cpu/cpu.h"
#include "hash/hash_backend.h"
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define ROWS_PER_STEP    1024 /* 2 ms with AVX-512, 50 ms by the law, between looks at `cancel` */
#define ROWS_SAMPLED     64
#define WORKS_MAX        64
#define TRIES_AT_ONCE    64 /* a multiple of every variant's batch */
#define HASHES_PER_BATCH 16 /* fills every variant's vectors; more at once gains little */

struct cpu {
    uint32_t threads;
    const struct rr_ethash_kernels *kernels;
};
/* Parameters with their dataset. */
struct epoch {
    struct rr_hash_params params;
    const struct rr_hash_light *light;
    const struct rr_ethash_kernels *kernels;
    struct rr_ethash_node *dataset; /* NULL: light */
    char text[32];
};

static size_t list(struct rr_hash_device *out, size_t max)
{
    if (max == 0) {
        return 0;
    }
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    long pages = sysconf(_SC_PHYS_PAGES);
    long page_bytes = sysconf(_SC_PAGESIZE);
    *out = (struct rr_hash_device){.id = "cpu", .backend = "cpu"};
    rr_cpu_name(out->name);
    out->units = cores > 0 ? (uint32_t)cores : 0;
    out->memory_bytes = pages > 0 && page_bytes > 0 ? (uint64_t)pages * (uint64_t)page_bytes : 0;
    return 1;
}

static enum rr_err open_cpu(void **device, struct hash_opened *opened,
                            const struct rr_hash_device *which, const struct hash_open *how,
                            struct rr_fault *fault)
{
    (void)which;
    (void)fault;
    struct cpu *cpu = rr_alloc(sizeof(*cpu));
    cpu->threads = how->threads;
    cpu->kernels = rr_ethash_kernels_choose(how->kernel_mask == 0 ? UINT32_MAX : how->kernel_mask);
    uint32_t step = cpu->kernels->batch < HASHES_PER_BATCH ? cpu->kernels->batch : HASHES_PER_BATCH;
    *opened = (struct hash_opened){
        .slots = how->threads, .works_max = WORKS_MAX, .hashes_first = step, .hashes_step = step};
    *device = cpu;
    return RR_OK;
}

/* ---- dataset ------------------------------------------------------------------------------------
 */
/* What the threads that build share: each takes the next rows until none are left. */
struct build {
    const struct epoch *epoch;
    const atomic_bool *cancel;
    atomic_uint_fast64_t next;
    atomic_bool cancelled;
};

static void *build_rows(void *argument)
{
    struct build *build = argument;
    const struct epoch *epoch = build->epoch;
    uint64_t rows = epoch->params.dataset_items;
    for (;;) {
        if (build->cancel != NULL && atomic_load_explicit(build->cancel, memory_order_relaxed)) {
            atomic_store(&build->cancelled, true);
            return NULL;
        }
        uint64_t first = atomic_fetch_add(&build->next, ROWS_PER_STEP);
        if (first >= rows) {
            return NULL;
        }
        uint64_t count = rows - first < ROWS_PER_STEP ? rows - first : ROWS_PER_STEP;
        epoch->kernels->items(epoch->dataset + 2 * first, hash_light_cache(epoch->light),
                              epoch->params.cache_items, (uint32_t)first, (uint32_t)count);
    }
}

static enum rr_err build_dataset(const struct epoch *epoch, uint32_t threads,
                                 const atomic_bool *cancel, struct rr_fault *fault)
{
    struct build build = {.epoch = epoch, .cancel = cancel};
    uint32_t useful = epoch->params.dataset_items / ROWS_PER_STEP + 1;
    uint32_t helpers = (threads < useful ? threads : useful) - 1;
    pthread_t *threads_of = rr_alloc_array(helpers + 1, sizeof(*threads_of));
    uint32_t started = 0;
    while (started < helpers &&
           pthread_create(&threads_of[started], NULL, build_rows, &build) == 0) {
        started++; /* a thread that is refused costs time alone: the others take its rows */
    }
    (void)build_rows(&build);
    for (uint32_t i = 0; i < started; i++) {
        (void)pthread_join(threads_of[i], NULL);
    }
    rr_free(threads_of);
    if (atomic_load(&build.cancelled)) {
        return rr_fail(fault, RR_ERR_CANCELLED,
                       "the Ethash dataset was not wanted any more while it was made");
    }
    return RR_OK;
}

/* Rows spread over the dataset, made again by the law: memory that does not keep what it is given,
 * and a kernel that is wrong in places, show here. */
static enum rr_err sample(const struct epoch *epoch, struct rr_fault *fault)
{
    for (uint32_t i = 0; i < ROWS_SAMPLED; i++) {
        uint32_t last = epoch->params.dataset_items - 1;
        uint32_t row = (uint32_t)((uint64_t)last * i / (ROWS_SAMPLED - 1));
        struct rr_ethash_node again[2];
        rr_ethash_item(again, hash_light_cache(epoch->light), epoch->params.cache_items, row);
        if (memcmp(again, epoch->dataset + 2 * (size_t)row, sizeof(again)) != 0) {
            return rr_fail(fault, RR_ERR_DAMAGED,
                           "row %" PRIu32 " of the Ethash dataset is not what the law makes; "
                           "test this machine's memory",
                           row);
        }
    }
    return RR_OK;
}

static enum rr_err prepare(void **out, void *device, const struct hash_setup *setup,
                           struct rr_fault *fault)
{
    const struct cpu *cpu = device;
    enum rr_err err = RR_OK;
    struct epoch *epoch = rr_alloc(sizeof(*epoch));
    epoch->params = setup->params;
    epoch->light = setup->light;
    epoch->kernels = cpu->kernels;
    uint64_t nodes = UINT64_C(2) * epoch->params.dataset_items;
    bool whole = nodes * sizeof(struct rr_ethash_node) <= setup->dataset_bytes_max;
    if (whole) {
        err = hash_nodes_new(&epoch->dataset, nodes, fault);
    }
    if (whole && err == RR_OK) {
        err = build_dataset(epoch, setup->threads, setup->cancel, fault);
    }
    if (whole && err == RR_OK) {
        err = sample(epoch, fault);
    }
    if (err != RR_OK) {
        hash_nodes_free(epoch->dataset, nodes);
        rr_free(epoch);
        return err;
    }
    (void)snprintf(epoch->text, sizeof(epoch->text), "%s, %s", whole ? "dataset" : "light",
                   epoch->kernels->name);
    *out = epoch;
    return RR_OK;
}

static const char *text(const void *state)
{
    const struct epoch *epoch = state;
    return epoch->text;
}

static void release(void *state)
{
    struct epoch *epoch = state;
    hash_nodes_free(epoch->dataset, UINT64_C(2) * epoch->params.dataset_items);
    rr_free(epoch);
}

static void close_cpu(void *device)
{
    rr_free(device);
}

/* ---- hashes -------------------------------------------------------------------------------------
 */
static void compute(const struct epoch *epoch, struct rr_ethash_try *tries, size_t count)
{
    if (epoch->dataset != NULL) {
        epoch->kernels->full(tries, count, epoch->dataset, epoch->params.dataset_items);
    } else {
        epoch->kernels->light(tries, count, hash_light_cache(epoch->light),
                              epoch->params.cache_items, epoch->params.dataset_items);
    }
}

/* A work in the middle of its search. */
struct run {
    const struct hash_work *work;
    struct hash_candidate *best;
    uint32_t given; /* nonces that went into a batch */
    bool over;      /* a target that is met */
};

static void judge(struct run *run, const struct rr_ethash_try *made)
{
    const struct hash_work *work = run->work;
    struct hash_candidate tried = {.found = true, .nonce = made->nonce};
    memcpy(tried.final_be, made->final_be, 32);
    run->best->done++;
    tried.done = run->best->done;
    if (work->kind == RR_HASH_TARGET) {
        /* Nonces of a work come in order, so that the first is the lowest. */
        if (!run->over && memcmp(tried.final_be, work->boundary_be, 32) <= 0) {
            *run->best = tried;
            run->over = true;
        }
    } else if (hash_candidate_replaces(run->best, &tried, RR_HASH_ARGMIN)) {
        *run->best = tried;
    }
}

/* Batches are filled across works, so that many small ones are as fast as a large one. */
static void search_some(const struct epoch *epoch, struct hash_candidate *out,
                        const struct hash_work *works, size_t count)
{
    struct run runs[WORKS_MAX];
    struct rr_ethash_try tries[TRIES_AT_ONCE];
    struct run *owner[TRIES_AT_ONCE];
    for (size_t i = 0; i < count; i++) {
        out[i] = (struct hash_candidate){0};
        runs[i] = (struct run){.work = &works[i], .best = &out[i]};
    }
    /* A target is likely met in the first nonces or far away: a batch ends with its work's. */
    for (size_t at = 0; at < count;) {
        size_t filled = 0;
        while (filled < TRIES_AT_ONCE && at < count) {
            struct run *run = &runs[at];
            if (run->over || run->given == run->work->count) {
                at++;
                continue;
            }
            memcpy(tries[filled].header_hash, run->work->header_hash, 32);
            tries[filled].nonce = run->work->nonce + run->given++;
            owner[filled++] = run;
        }
        compute(epoch, tries, filled);
        for (size_t i = 0; i < filled; i++) {
            judge(owner[i], &tries[i]);
        }
    }
}

static enum rr_err search(void *epoch, uint32_t slot, struct hash_candidate *out,
                          const struct hash_work *works, size_t count, struct rr_fault *fault)
{
    (void)slot;
    (void)fault;
    for (size_t done = 0; done < count; done += WORKS_MAX) {
        search_some(epoch, out + done, works + done,
                    count - done < WORKS_MAX ? count - done : WORKS_MAX);
    }
    return RR_OK;
}

static enum rr_err verify(void *epoch, struct rr_hash_check *checks, size_t count,
                          struct rr_fault *fault)
{
    (void)fault;
    struct rr_ethash_try tries[TRIES_AT_ONCE];
    for (size_t done = 0; done < count; done += TRIES_AT_ONCE) {
        size_t some = count - done < TRIES_AT_ONCE ? count - done : TRIES_AT_ONCE;
        for (size_t i = 0; i < some; i++) {
            memcpy(tries[i].header_hash, checks[done + i].header_hash, 32);
            tries[i].nonce = checks[done + i].nonce;
        }
        compute(epoch, tries, some);
        for (size_t i = 0; i < some; i++) {
            memcpy(checks[done + i].mix, tries[i].mix, 32);
            memcpy(checks[done + i].final_be, tries[i].final_be, 32);
        }
    }
    return RR_OK;
}

const struct hash_backend hash_backend_cpu = {
    .name = "cpu",
    .list = list,
    .open = open_cpu,
    .prepare = prepare,
    .search = search,
    .verify = verify,
    .text = text,
    .release = release,
    .close = close_cpu,
};

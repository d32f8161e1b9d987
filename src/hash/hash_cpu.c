/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The backend that every machine has: the plain C law, over the dataset where it fits, else light.
 */
#include "hash/hash_backend.h"
#include <inttypes.h>
#include <pthread.h>
#include <string.h>

#define ROWS_PER_BUILDER 4096 /* below this a thread costs more than it makes */
#define ROWS_SAMPLED     64

struct cpu {
    uint32_t threads;
};
/* Parameters with their dataset. */
struct epoch {
    struct rr_hash_params params;
    const struct rr_hash_light *light;
    struct rr_ethash_node *dataset; /* NULL: light */
};

static size_t list(struct rr_hash_device *out, size_t max)
{
    if (max == 0) {
        return 0;
    }
    *out = (struct rr_hash_device){.id = "cpu", .backend = "cpu", .name = "processor"};
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
    *opened = (struct hash_opened){
        .slots = how->threads, .works_max = 16, .hashes_first = 1, .hashes_step = 1};
    *device = cpu;
    return RR_OK;
}

/* ---- dataset ------------------------------------------------------------------------------------
 */
struct builder {
    const struct epoch *epoch;
    uint32_t first, count;
    pthread_t thread;
    bool started;
};

static void *build_rows(void *argument)
{
    const struct builder *builder = argument;
    const struct epoch *epoch = builder->epoch;
    for (uint32_t i = 0; i < builder->count; i++) {
        uint32_t row = builder->first + i;
        rr_ethash_item(epoch->dataset + 2 * (size_t)row, hash_light_cache(epoch->light),
                       epoch->params.cache_items, row);
    }
    return NULL;
}

static void build(const struct epoch *epoch, uint32_t threads)
{
    uint32_t rows = epoch->params.dataset_items;
    uint32_t useful = rows / ROWS_PER_BUILDER + 1;
    threads = threads < useful ? threads : useful;
    struct builder *builders = rr_alloc_array(threads, sizeof(*builders));
    uint32_t first = 0;
    for (uint32_t i = 0; i < threads; i++) {
        uint32_t until = (uint32_t)((uint64_t)rows * (i + 1) / threads);
        builders[i] = (struct builder){.epoch = epoch, .first = first, .count = until - first};
        first = until;
        builders[i].started = i + 1 < threads && pthread_create(&builders[i].thread, NULL,
                                                                build_rows, &builders[i]) == 0;
    }
    for (uint32_t i = 0; i < threads; i++) {
        if (!builders[i].started) {
            (void)build_rows(&builders[i]); /* the last one, and those that got no thread */
        }
    }
    for (uint32_t i = 0; i < threads; i++) {
        if (builders[i].started) {
            (void)pthread_join(builders[i].thread, NULL);
        }
    }
    rr_free(builders);
}

/* Rows spread over the dataset, made again: memory that does not keep what it is given shows here.
 */
static enum rr_err sample(const struct epoch *epoch, struct rr_fault *fault)
{
    for (uint32_t i = 0; i < ROWS_SAMPLED; i++) {
        uint32_t row = (uint32_t)((uint64_t)epoch->params.dataset_items * i / ROWS_SAMPLED);
        struct rr_ethash_node again[2];
        rr_ethash_item(again, hash_light_cache(epoch->light), epoch->params.cache_items, row);
        if (memcmp(again, epoch->dataset + 2 * (size_t)row, sizeof(again)) != 0) {
            return rr_fail(fault, RR_ERR_DAMAGED,
                           "row %" PRIu32 " of the Ethash dataset is not what was written there; "
                           "test this machine's memory",
                           row);
        }
    }
    return RR_OK;
}

static enum rr_err prepare(void **out, void *device, const struct hash_setup *setup,
                           struct rr_fault *fault)
{
    (void)device;
    enum rr_err err = RR_OK;
    struct epoch *epoch = rr_alloc(sizeof(*epoch));
    epoch->params = setup->params;
    epoch->light = setup->light;
    uint64_t nodes = UINT64_C(2) * epoch->params.dataset_items;
    if (nodes * sizeof(struct rr_ethash_node) <= setup->dataset_bytes_max) {
        err = hash_nodes_new(&epoch->dataset, nodes, fault);
        if (err == RR_OK) {
            build(epoch, setup->threads);
            err = sample(epoch, fault);
        }
    }
    if (err != RR_OK) {
        hash_nodes_free(epoch->dataset, nodes);
        rr_free(epoch);
        return err;
    }
    *out = epoch;
    return RR_OK;
}

static const char *text(const void *state)
{
    const struct epoch *epoch = state;
    return epoch->dataset != NULL ? "dataset" : "light";
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
static void compute(const struct epoch *epoch, uint8_t *mix, uint8_t *final_be,
                    const uint8_t *header_hash, uint64_t nonce)
{
    if (epoch->dataset != NULL) {
        rr_ethash_full(mix, final_be, epoch->dataset, epoch->params.dataset_items, header_hash,
                       nonce);
    } else {
        rr_hash_light_compute(epoch->light, header_hash, nonce, mix, final_be);
    }
}

static void search_one(const struct epoch *epoch, struct hash_candidate *out,
                       const struct hash_work *work)
{
    struct hash_candidate best = {0};
    for (uint32_t i = 0; i < work->count; i++) {
        uint8_t mix[32];
        struct hash_candidate tried = {.found = true, .nonce = work->nonce + i};
        compute(epoch, mix, tried.final_be, work->header_hash, tried.nonce);
        best.done = i + 1;
        tried.done = i + 1;
        if (work->kind == RR_HASH_TARGET) {
            if (memcmp(tried.final_be, work->boundary_be, 32) <= 0) {
                best = tried;
                break;
            }
        } else if (hash_candidate_replaces(&best, &tried, RR_HASH_ARGMIN)) {
            best = tried;
        }
    }
    *out = best;
}

static enum rr_err search(void *epoch, uint32_t slot, struct hash_candidate *out,
                          const struct hash_work *works, size_t count, struct rr_fault *fault)
{
    (void)slot;
    (void)fault;
    for (size_t i = 0; i < count; i++) {
        search_one(epoch, &out[i], &works[i]);
    }
    return RR_OK;
}

static enum rr_err verify(void *epoch, struct rr_hash_check *checks, size_t count,
                          struct rr_fault *fault)
{
    (void)fault;
    for (size_t i = 0; i < count; i++) {
        compute(epoch, checks[i].mix, checks[i].final_be, checks[i].header_hash, checks[i].nonce);
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

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
    struct rr_hash_params params;
    const struct rr_hash_light *light;
    struct rr_ethash_node *dataset; /* NULL: light */
};

static bool probe(const char **why)
{
    (void)why;
    return true;
}

/* ---- dataset ------------------------------------------------------------------------------------
 */
struct builder {
    const struct cpu *cpu;
    uint32_t first, count;
    pthread_t thread;
    bool started;
};

static void *build_rows(void *argument)
{
    const struct builder *builder = argument;
    const struct cpu *cpu = builder->cpu;
    for (uint32_t i = 0; i < builder->count; i++) {
        uint32_t row = builder->first + i;
        rr_ethash_item(cpu->dataset + 2 * (size_t)row, hash_light_cache(cpu->light),
                       cpu->params.cache_items, row);
    }
    return NULL;
}

static void build(const struct cpu *cpu, uint32_t threads)
{
    uint32_t rows = cpu->params.dataset_items;
    uint32_t useful = rows / ROWS_PER_BUILDER + 1;
    threads = threads < useful ? threads : useful;
    struct builder *builders = rr_alloc_array(threads, sizeof(*builders));
    uint32_t first = 0;
    for (uint32_t i = 0; i < threads; i++) {
        uint32_t until = (uint32_t)((uint64_t)rows * (i + 1) / threads);
        builders[i] = (struct builder){.cpu = cpu, .first = first, .count = until - first};
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
static enum rr_err sample(const struct cpu *cpu, struct rr_fault *fault)
{
    for (uint32_t i = 0; i < ROWS_SAMPLED; i++) {
        uint32_t row = (uint32_t)((uint64_t)cpu->params.dataset_items * i / ROWS_SAMPLED);
        struct rr_ethash_node again[2];
        rr_ethash_item(again, hash_light_cache(cpu->light), cpu->params.cache_items, row);
        if (memcmp(again, cpu->dataset + 2 * (size_t)row, sizeof(again)) != 0) {
            return rr_fail(fault, RR_ERR_DAMAGED,
                           "row %" PRIu32 " of the Ethash dataset is not what was written there; "
                           "test this machine's memory",
                           row);
        }
    }
    return RR_OK;
}

static enum rr_err prepare(void **state, const char **text, const struct hash_setup *setup,
                           struct rr_fault *fault)
{
    enum rr_err err = RR_OK;
    struct cpu *cpu = rr_alloc(sizeof(*cpu));
    cpu->params = setup->params;
    cpu->light = setup->light;
    uint64_t nodes = UINT64_C(2) * cpu->params.dataset_items;
    if (nodes * sizeof(struct rr_ethash_node) <= setup->dataset_bytes_max) {
        err = hash_nodes_new(&cpu->dataset, nodes, fault);
        if (err == RR_OK) {
            build(cpu, setup->threads);
            err = sample(cpu, fault);
        }
    }
    if (err != RR_OK) {
        hash_nodes_free(cpu->dataset, nodes);
        rr_free(cpu);
        return err;
    }
    *text = cpu->dataset != NULL ? "cpu, dataset" : "cpu, light";
    *state = cpu;
    return RR_OK;
}

static void close_cpu(void *state)
{
    struct cpu *cpu = state;
    hash_nodes_free(cpu->dataset, UINT64_C(2) * cpu->params.dataset_items);
    rr_free(cpu);
}

/* ---- hashes -------------------------------------------------------------------------------------
 */
static void compute(const struct cpu *cpu, uint8_t *mix, uint8_t *final_be,
                    const uint8_t *header_hash, uint64_t nonce)
{
    if (cpu->dataset != NULL) {
        rr_ethash_full(mix, final_be, cpu->dataset, cpu->params.dataset_items, header_hash, nonce);
    } else {
        rr_hash_light_compute(cpu->light, header_hash, nonce, mix, final_be);
    }
}

static void search_one(const struct cpu *cpu, struct hash_candidate *out,
                       const struct hash_work *work)
{
    struct hash_candidate best = {0};
    for (uint32_t i = 0; i < work->count; i++) {
        uint8_t mix[32];
        struct hash_candidate tried = {.found = true, .nonce = work->nonce + i};
        compute(cpu, mix, tried.final_be, work->header_hash, tried.nonce);
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

static void search(void *state, struct hash_candidate *out, const struct hash_work *works,
                   size_t count)
{
    for (size_t i = 0; i < count; i++) {
        search_one(state, &out[i], &works[i]);
    }
}

static void verify(void *state, struct rr_hash_check *checks, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        compute(state, checks[i].mix, checks[i].final_be, checks[i].header_hash, checks[i].nonce);
    }
}

const struct hash_backend hash_backend_cpu = {
    .name = "cpu",
    .probe = probe,
    .prepare = prepare,
    .search = search,
    .verify = verify,
    .close = close_cpu,
};

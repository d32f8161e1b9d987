/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Question: how fast is the plain C law of the hash, beside reads of the same memory at random?
 * Method: one thread; a light cache and a dataset of test size; the limit of a full search is 64
 * dependent random 128 B reads a hash over the same dataset, in turns, five pairs. What would make
 * it wrong: a probe whose addresses do not depend on what was read, a dataset that fits into cache
 * (this one, 64 MiB, does not fit into L2). */
#include "bench/bench.h"
#include "bench/bench_rows.h"
#include "ethash/ethash.h"
#include "hash/hash.h"
#include "keccak/keccak.h"

#include <string.h>

#define CACHE_ITEMS   16381u  /* prime; 1 MiB */
#define DATASET_ITEMS 524287u /* prime; 64 MiB */
#define KECCAKS       200000u
#define HASHES        20000u
#define LIGHTS        200u
#define ITEMS         4000u

struct state {
    struct rr_hash_params params;
    struct rr_hash_light *light;
    struct rr_ethash_node *cache;
    struct rr_ethash_node *dataset; /* two for each item */
    uint64_t nonce, sink;
};

static void keccaks(void *ctx)
{
    struct state *s = ctx;
    uint64_t lanes[25] = {s->nonce};
    for (unsigned i = 0; i < KECCAKS; i++) {
        rr_keccak_f1600(lanes);
    }
    s->sink += lanes[0];
}

static void caches(void *ctx)
{
    struct state *s = ctx;
    rr_ethash_cache(s->cache, CACHE_ITEMS, s->params.seed);
}

static void items(void *ctx)
{
    struct state *s = ctx;
    struct rr_ethash_node item[2];
    for (unsigned i = 0; i < ITEMS; i++) {
        rr_ethash_item(item, s->cache, CACHE_ITEMS, (uint32_t)(s->nonce + i) % DATASET_ITEMS);
        memcpy(&s->sink, item, sizeof s->sink);
    }
    s->nonce += ITEMS;
}

static void searches(void *ctx)
{
    struct state *s = ctx;
    uint8_t header[32] = {1}, mix[32], final_be[32];
    for (unsigned i = 0; i < HASHES; i++) {
        rr_ethash_full(mix, final_be, s->dataset, DATASET_ITEMS, header, s->nonce++);
        s->sink += final_be[31];
    }
}

static void gathers(void *ctx)
{
    struct state *s = ctx;
    uint64_t at = s->nonce, words[16];
    for (unsigned i = 0; i < HASHES * 64u; i++) {
        memcpy(words, &s->dataset[2 * (at % DATASET_ITEMS)], sizeof words);
        at = at * UINT64_C(6364136223846793005) + words[i % 16] + 1;
    }
    s->sink += at;
}

static void lights(void *ctx)
{
    struct state *s = ctx;
    uint8_t header[32] = {2}, mix[32], final_be[32];
    for (unsigned i = 0; i < LIGHTS; i++) {
        rr_hash_light_compute(s->light, header, s->nonce++, mix, final_be);
        s->sink += final_be[31];
    }
}

static void measure(struct bench_row *row, const char *name, const char *unit, double count,
                    void (*work)(void *ctx), void (*limit)(void *ctx), struct state *state)
{
    *row = (struct bench_row){.name = name,
                              .variant = "ref",
                              .unit = unit,
                              .runs = BENCH_RUNS,
                              .limit_name = limit != NULL ? "random 128 B reads" : NULL};
    for (uint32_t i = 0; i < BENCH_RUNS; i++) {
        row->ours[i] = count / bench_seconds(work, state);
        row->limit[i] = limit != NULL ? count / bench_seconds(limit, state) : 0;
    }
}

enum rr_err rr_bench_hash(struct rr_buf *out, bool json)
{
    struct state s = {.params = {.cache_items = CACHE_ITEMS, .dataset_items = DATASET_ITEMS}};
    struct bench_row rows[5];
    struct rr_fault fault = {0};
    if (rr_hash_light_new(&s.light, &s.params, &fault) != RR_OK) {
        rr_log_fault(RR_LOG_ERROR, "bench", &fault);
        return fault.code;
    }
    s.cache = rr_alloc_aligned(CACHE_ITEMS * sizeof *s.cache);
    s.dataset = rr_alloc_aligned((size_t)2 * DATASET_ITEMS * sizeof *s.dataset);
    measure(&rows[0], "keccak_f1600", "perms/s", KECCAKS, keccaks, NULL, &s);
    measure(&rows[1], "light_cache", "caches/s", 1, caches, NULL, &s);
    measure(&rows[2], "dataset_item", "items/s", ITEMS, items, NULL, &s);
    for (uint32_t i = 0; i < DATASET_ITEMS; i++) {
        rr_ethash_item(&s.dataset[2 * (size_t)i], s.cache, CACHE_ITEMS, i);
    }
    measure(&rows[3], "full_search", "hashes/s", HASHES, searches, gathers, &s);
    measure(&rows[4], "light_verify", "hashes/s", LIGHTS, lights, NULL, &s);
    bench_report(out, json, "the plain law of the hash on one core; dataset 64 MiB", rows,
                 RR_COUNT(rows));
    rr_free(s.dataset);
    rr_free(s.cache);
    rr_hash_light_free(s.light);
    return s.sink == 0 ? RR_ERR_DAMAGED : RR_OK; /* the sink keeps the work from being left out */
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Memory, peer and correctness of `bench hash`. */
#include "bench/bench_hash.h"
#include "cpu/cpu.h"

#include <dlfcn.h>
#include <string.h>
#include <unistd.h>

#define ROWS      64u
#define TRIES     256u
#define COMPARED  40u /* no multiple of a batch */
#define LIGHT_TOO 3u

struct bench_row *hash_table_row(struct hash_table *table)
{
    RR_CHECK(table->count < HASH_ROWS_MAX);
    return &table->rows[table->count++];
}

const char *hash_table_text(struct hash_table *table, const char *text)
{
    RR_CHECK(table->text_count < HASH_ROWS_MAX);
    char *kept = table->texts[table->text_count++];
    size_t len = strlen(text) < sizeof table->texts[0] ? strlen(text) : sizeof table->texts[0] - 1;
    memcpy(kept, text, len);
    kept[len] = '\0';
    return kept;
}

static enum rr_err open_peer(struct hash_world *w, const char *path, struct rr_fault *fault)
{
    w->peer_library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (w->peer_library == NULL) {
        return rr_fail(fault, RR_ERR_USAGE, "cannot load the peer: %s", dlerror());
    }
    const struct rr_peer_ethash *peer = dlsym(w->peer_library, RR_PEER_ETHASH_SYMBOL);
    if (peer == NULL || peer->version != RR_PEER_ETHASH_VERSION) {
        return rr_fail(fault, RR_ERR_USAGE,
                       "%s is no peer of this version; give bin/peer_ethash.so of a build with "
                       "-DRR_PEER_ETHASH",
                       path);
    }
    w->peer_epoch = peer->open(w->dataset, (size_t)128 * w->dataset_items);
    if (w->peer_epoch == NULL) {
        return rr_fail(fault, RR_ERR_MEMORY, "%s has no memory for epoch 0", peer->name);
    }
    w->peer = peer;
    return RR_OK;
}

static enum rr_err differs(const char *variant, const char *what, struct rr_fault *fault)
{
    return rr_fail(fault, RR_ERR_DAMAGED, "%s makes another %s than the law; nothing is measured",
                   variant, what);
}

static bool same(const struct rr_ethash_try *a, const struct rr_ethash_try *b, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (memcmp(a[i].mix, b[i].mix, 32) != 0 || memcmp(a[i].final_be, b[i].final_be, 32) != 0) {
            return false;
        }
    }
    return true;
}

static enum rr_err compare_peer(const struct hash_world *w, const struct rr_ethash_try *full,
                                const struct rr_ethash_try *light, struct rr_fault *fault)
{
    for (size_t i = 0; w->peer != NULL && i < LIGHT_TOO; i++) {
        struct rr_ethash_try made[2] = {full[i], full[i]};
        w->peer->full(w->peer_epoch, made[0].header_hash, made[0].nonce, made[0].mix,
                      made[0].final_be);
        w->peer->light(w->peer_epoch, made[1].header_hash, made[1].nonce, made[1].mix,
                       made[1].final_be);
        if (!same(&made[0], &full[i], 1) || !same(&made[1], &light[i], 1)) {
            return differs(w->peer->name, "hash", fault);
        }
    }
    return RR_OK;
}

/* Every variant that is to be measured against the law, on the very buffers. */
static enum rr_err compare_all(const struct hash_world *w, struct rr_fault *fault)
{
    struct rr_ethash_try full[COMPARED] = {0}, light[LIGHT_TOO] = {0}, made[COMPARED];
    const struct rr_ethash_kernels *law = rr_ethash_kernels_at(0);
    for (size_t i = 0; i < COMPARED; i++) {
        full[i].nonce = i * UINT64_C(0x9e3779b97f4a7c15);
    }
    memcpy(light, full, sizeof light);
    law->full(full, COMPARED, w->dataset, w->dataset_items);
    law->light(light, LIGHT_TOO, w->cache, w->cache_items, w->dataset_items);
    law->items(w->rows[0], w->cache, w->cache_items, w->dataset_items - LIGHT_TOO, LIGHT_TOO);
    for (size_t i = 1; rr_ethash_kernels_at(i) != NULL; i++) {
        const struct rr_ethash_kernels *one = rr_ethash_kernels_at(i);
        if ((one->needs & ~rr_cpu_features()) != 0) {
            continue;
        }
        memcpy(made, full, sizeof made);
        one->full(made, COMPARED, w->dataset, w->dataset_items);
        if (!same(made, full, COMPARED)) {
            return differs(one->name, "full hash", fault);
        }
        one->light(made, LIGHT_TOO, w->cache, w->cache_items, w->dataset_items);
        if (!same(made, light, LIGHT_TOO)) {
            return differs(one->name, "light hash", fault);
        }
        struct rr_ethash_node *rows = w->rows[0] + (size_t)2 * LIGHT_TOO;
        one->items(rows, w->cache, w->cache_items, w->dataset_items - LIGHT_TOO, LIGHT_TOO);
        if (memcmp(rows, w->rows[0], (size_t)128 * LIGHT_TOO) != 0) {
            return differs(one->name, "item", fault);
        }
    }
    return compare_peer(w, full, light, fault);
}

bool hash_world_has(uint64_t bytes)
{
    long pages = sysconf(_SC_AVPHYS_PAGES);
    long page_bytes = sysconf(_SC_PAGESIZE);
    uint64_t free_bytes = pages > 0 && page_bytes > 0 ? (uint64_t)pages * (uint64_t)page_bytes : 0;
    return free_bytes / 2 >= bytes;
}

enum rr_err hash_world_open(struct hash_world *world, const char *peer_path, struct rr_fault *fault)
{
    struct hash_world w = {.threads = sysconf(_SC_NPROCESSORS_ONLN) > 1 ? 2 : 1};
    uint8_t seed[32];
    enum rr_err err = RR_OK;
    w.from_us = rr_monotonic_us(rr_clock_system());
    (void)rr_ethash_sizes(&w.cache_items, &w.dataset_items, 0);
    w.dataset_bytes = UINT64_C(128) * w.dataset_items;
    for (uint32_t i = 0; i < w.threads; i++) {
        w.rows[i] = rr_alloc_aligned((size_t)2 * ROWS * sizeof *w.rows[i]);
        w.tries[i] = rr_alloc_array(TRIES, sizeof *w.tries[i]);
    }
    w.cache = bench_map(UINT64_C(64) * w.cache_items, true);
    w.scratch = bench_map(UINT64_C(64) * w.cache_items, true);
    w.dataset = bench_map(w.dataset_bytes, true);
    if (w.cache == NULL || w.scratch == NULL || w.dataset == NULL) {
        err = rr_fail(fault, RR_ERR_MEMORY,
                      "bench hash needs 1.2 GiB for epoch 0, which the machine does not give");
    }
    if (err == RR_OK) {
        rr_ethash_seed(seed, 0);
        rr_ethash_cache(w.cache, w.cache_items, seed);
    }
    if (err == RR_OK && peer_path != NULL) {
        err = open_peer(&w, peer_path, fault);
    }
    if (err == RR_OK) {
        err = compare_all(&w, fault);
    }
    if (err != RR_OK) {
        hash_world_close(&w);
        return err;
    }
    *world = w;
    return RR_OK;
}

void hash_world_close(struct hash_world *world)
{
    if (world->peer_epoch != NULL && world->peer != NULL) {
        world->peer->close(world->peer_epoch);
    }
    if (world->peer_library != NULL) {
        (void)dlclose(world->peer_library);
    }
    bench_unmap(world->dataset, world->dataset_bytes);
    bench_unmap(world->scratch, UINT64_C(64) * world->cache_items);
    bench_unmap(world->cache, UINT64_C(64) * world->cache_items);
    for (uint32_t i = 0; i < BENCH_THREADS_MAX; i++) {
        rr_free(world->rows[i]);
        rr_free(world->tries[i]);
    }
}

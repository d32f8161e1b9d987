/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Parameters, difficulty, and the light check of anybody's work. */
#include "cpu/cpu.h"
#include "hash/hash_backend.h"
#include <inttypes.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

struct rr_hash_light {
    struct rr_hash_params params;
    struct rr_ethash_node *cache;
};

enum rr_err rr_hash_params_epoch(struct rr_hash_params *out, uint32_t epoch, uint32_t epoch_blocks,
                                 struct rr_fault *fault)
{
    struct rr_hash_params params;
    if (!rr_ethash_sizes(&params.cache_items, &params.dataset_items, epoch)) {
        return rr_fail(fault, RR_ERR_LIMIT, "epoch %" PRIu32 " is beyond the last Ethash epoch, %d",
                       epoch, RR_ETHASH_EPOCH_MAX);
    }
    rr_ethash_seed(params.seed, epoch * (epoch_blocks / RR_HASH_ETHASH_BLOCKS));
    *out = params;
    return RR_OK;
}

enum rr_err hash_params_check(const struct rr_hash_params *params, struct rr_fault *fault)
{
    if (params->cache_items == 0 || params->cache_items > RR_ETHASH_CACHE_ITEMS_MAX) {
        return rr_fail(fault, RR_ERR_LIMIT,
                       "an Ethash cache of %" PRIu32 " items; choose 1 to %d in the genesis file",
                       params->cache_items, RR_ETHASH_CACHE_ITEMS_MAX);
    }
    if (params->dataset_items == 0 || params->dataset_items > RR_ETHASH_DATASET_ITEMS_MAX) {
        return rr_fail(fault, RR_ERR_LIMIT,
                       "an Ethash dataset of %" PRIu32 " items; choose 1 to %" PRIu32
                       " in the genesis file",
                       params->dataset_items, RR_ETHASH_DATASET_ITEMS_MAX);
    }
    return RR_OK;
}

/* ---- difficulty --------------------------------------------------------------------------------
 */
struct rr_u256 rr_hash_boundary(struct rr_u256 difficulty)
{
    RR_CHECK(!rr_u256_is_zero(difficulty));
    /* 2^256 itself has no place in 256 bits: divide 2^256 - 1 and look whether the missing 1
     * counts. */
    struct rr_u256 rest;
    struct rr_u256 quotient = rr_u256_div(rr_u256_max(), difficulty, &rest);
    struct rr_u256 next = rr_u256_add(rest, rr_u256_of(1), NULL);
    if (rr_u256_compare(next, difficulty) != 0) {
        return quotient;
    }
    bool wrapped = false;
    struct rr_u256 boundary = rr_u256_add(quotient, rr_u256_of(1), &wrapped);
    return wrapped ? rr_u256_max() : boundary; /* wraps for difficulty 1 alone: every hash solves */
}

bool rr_hash_solves(const uint8_t final_be[static 32], struct rr_u256 difficulty)
{
    if (rr_u256_is_zero(difficulty)) {
        return false;
    }
    return rr_u256_compare(rr_u256_from_be(final_be), rr_hash_boundary(difficulty)) <= 0;
}

/* ---- memory -------------------------------------------------------------------------------------
 */
#define HUGE_PAGE_BYTES (UINT64_C(2) << 20) /* of x86-64 and arm64 with 4 KiB pages */

/* Whole huge pages for what is larger than one: the last one is not split for a few bytes. */
static uint64_t mapped_bytes(uint64_t count)
{
    uint64_t bytes = count * sizeof(struct rr_ethash_node);
    uint64_t pages = (bytes + HUGE_PAGE_BYTES - 1) / HUGE_PAGE_BYTES;
    return bytes < HUGE_PAGE_BYTES ? bytes : pages * HUGE_PAGE_BYTES;
}

/* Cuts what is before and after `bytes` from the first huge page on out of a map that is one huge
 * page larger: where a map begins is the kernel's choice, and often in the middle of a page. */
static uint8_t *align_map(uint8_t *map, uint64_t bytes)
{
    uint64_t before = (HUGE_PAGE_BYTES - (uintptr_t)map % HUGE_PAGE_BYTES) % HUGE_PAGE_BYTES;
    if (before > 0) {
        (void)munmap(map, (size_t)before);
    }
    if (before < HUGE_PAGE_BYTES) {
        (void)munmap(map + before + bytes, (size_t)(HUGE_PAGE_BYTES - before));
    }
    return map + before;
}

enum rr_err hash_nodes_new(struct rr_ethash_node **out, uint64_t count, struct rr_fault *fault)
{
    long pages = sysconf(_SC_PHYS_PAGES);
    long page_bytes = sysconf(_SC_PAGESIZE);
    uint64_t bytes = mapped_bytes(count);
    uint64_t have = pages > 0 && page_bytes > 0 ? (uint64_t)pages * (uint64_t)page_bytes : 0;
    if (have != 0 && bytes > have) {
        return rr_fail(fault, RR_ERR_MEMORY,
                       "Ethash needs %" PRIu64 " MiB and the machine has %" PRIu64
                       " MiB; lower hash.dataset_mib or use another machine",
                       bytes >> 20, have >> 20);
    }
    bool huge = bytes >= HUGE_PAGE_BYTES;
    uint8_t *map = mmap(NULL, (size_t)(bytes + (huge ? HUGE_PAGE_BYTES : 0)),
                        PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (map == MAP_FAILED) {
        return rr_fail_errno(fault, "cannot map %" PRIu64 " MiB for Ethash", bytes >> 20);
    }
    if (huge) {
        map = align_map(map, bytes);
        /* A wish: without it the search is slower by a third to a half. */
        (void)madvise(map, (size_t)bytes, MADV_HUGEPAGE);
    }
    *out = (void *)map;
    return RR_OK;
}

void hash_nodes_free(struct rr_ethash_node *nodes, uint64_t count)
{
    if (nodes != NULL) {
        (void)munmap(nodes, (size_t)mapped_bytes(count));
    }
}

/* ---- light --------------------------------------------------------------------------------------
 */
enum rr_err rr_hash_light_new(struct rr_hash_light **out, const struct rr_hash_params *params,
                              struct rr_fault *fault)
{
    struct rr_ethash_node *cache = NULL;
    enum rr_err err = hash_params_check(params, fault);
    if (err == RR_OK) {
        err = hash_nodes_new(&cache, params->cache_items, fault);
    }
    if (err != RR_OK) {
        return err;
    }
    rr_ethash_cache(cache, params->cache_items, params->seed);
    struct rr_hash_light *light = rr_alloc(sizeof(*light));
    light->params = *params;
    light->cache = cache;
    *out = light;
    return RR_OK;
}

void rr_hash_light_free(struct rr_hash_light *light)
{
    if (light != NULL) {
        hash_nodes_free(light->cache, light->params.cache_items);
        rr_free(light);
    }
}

const struct rr_ethash_node *hash_light_cache(const struct rr_hash_light *light)
{
    return light->cache;
}

void rr_hash_light_compute(const struct rr_hash_light *light, const uint8_t header_hash[static 32],
                           uint64_t nonce, uint8_t mix[static 32], uint8_t final_be[static 32])
{
    rr_ethash_light(mix, final_be, light->cache, light->params.cache_items,
                    light->params.dataset_items, header_hash, nonce);
}

bool rr_hash_light_work(void *light, const uint8_t header_hash[32], uint64_t nonce, uint8_t mix[32],
                        uint8_t final_be[32])
{
    rr_hash_light_compute(light, header_hash, nonce, mix, final_be);
    return true;
}

enum rr_err rr_hash_light_item(const struct rr_hash_light *light, const char *variant,
                               uint32_t index, uint8_t item[static 128], struct rr_fault *fault)
{
    struct rr_ethash_node nodes[2];
    const struct rr_ethash_kernels *kernels = rr_ethash_kernels_at(0);
    if (variant != NULL && strcmp(variant, "cpu") == 0) {
        kernels = rr_ethash_kernels_choose(rr_cpu_features());
    } else if (variant != NULL) {
        for (size_t i = 0; kernels != NULL && strcmp(kernels->name, variant) != 0; i++) {
            kernels = rr_ethash_kernels_at(i);
        }
    }
    if (kernels == NULL) {
        return rr_fail(fault, RR_ERR_NOTFOUND,
                       "'%.40s' makes no items of a dataset; law, cpu, ref, avx2 or avx512 was "
                       "expected",
                       variant);
    }
    if ((kernels->needs & ~rr_cpu_features()) != 0) {
        return rr_fail(fault, RR_ERR_UNSUPPORTED, "this processor cannot run %s", kernels->name);
    }
    kernels->items(nodes, light->cache, light->params.cache_items, index, 1);
    memcpy(item, nodes, sizeof(nodes));
    return RR_OK;
}

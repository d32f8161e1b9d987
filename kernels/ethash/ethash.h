/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Ethash, revision 23, with its sizes as parameters: a network may bring its own.
 * Pure compute: no memory of its own, never fails, any thread. */
#ifndef RR_ETHASH_H
#define RR_ETHASH_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RR_ETHASH_EPOCH_BLOCKS      30000       /* of Ethereum; Etchash has 60000 */
#define RR_ETHASH_EPOCH_MAX         32639       /* the last one whose light cache is below 4 GiB */
#define RR_ETHASH_CACHE_ITEMS_MAX   67106813    /* of that epoch */
#define RR_ETHASH_DATASET_ITEMS_MAX 0x7fffffffu /* an item is two nodes with 32-bit numbers */

/* 64 bytes: an item of the light cache, half an item of the dataset. Words are little-endian. */
struct rr_ethash_node {
    uint32_t word[16];
};

/* Sizes of a standard epoch: cache in 64 B items, dataset in 128 B items, each the largest prime
 * below its line. False, outputs untouched, above RR_ETHASH_EPOCH_MAX. */
bool rr_ethash_sizes(uint32_t *cache_items, uint32_t *dataset_items, uint32_t epoch);
/* keccak256 applied `epoch` times to 32 zero bytes. */
void rr_ethash_seed(uint8_t seed[static 32], uint32_t epoch);
/* Largest prime <= bound; 0 when bound < 2. For choosing sizes of a network's own. */
uint32_t rr_ethash_prime(uint32_t bound);

/* Fills cache[0..cache_items-1] from the seed; cache_items >= 1. Serial by its nature. */
void rr_ethash_cache(struct rr_ethash_node *cache, uint32_t cache_items,
                     const uint8_t seed[static 32]);
/* Item `index` of the dataset, index <= RR_ETHASH_DATASET_ITEMS_MAX. */
void rr_ethash_item(struct rr_ethash_node item[static 2], const struct rr_ethash_node *cache,
                    uint32_t cache_items, uint32_t index);

/* The hash by the light cache, items made as needed. dataset_items >= 1. mix and final_be as the
 * reference prints them; final_be counts as a big-endian number. */
void rr_ethash_light(uint8_t mix[static 32], uint8_t final_be[static 32],
                     const struct rr_ethash_node *cache, uint32_t cache_items,
                     uint32_t dataset_items, const uint8_t header_hash[static 32], uint64_t nonce);
/* The same by the whole dataset: 2 dataset_items nodes. */
void rr_ethash_full(uint8_t mix[static 32], uint8_t final_be[static 32],
                    const struct rr_ethash_node *dataset, uint32_t dataset_items,
                    const uint8_t header_hash[static 32], uint64_t nonce);

/* ---- many at once: the same law, as fast as the processor allows --------------------------------
 */
/* A hash to make, and made. */
struct rr_ethash_try {
    uint8_t header_hash[32];
    uint64_t nonce;
    uint8_t mix[32];      /* written */
    uint8_t final_be[32]; /* written */
};

/* A variant. Every function takes any count and any alignment, makes exactly what the law makes,
 * and is for any number of threads; sizes as above. Node arrays are borrowed. [ours: hardware
 * threads wait for memory, so that every function keeps many reads of independent work going] */
struct rr_ethash_kernels {
    const char *name; /* "ref", "avx2", "avx512" */
    uint32_t needs;   /* of rr_cpu_features */
    uint32_t batch;   /* tries that are made side by side: counts that are multiples fill it */
    /* Items first .. first + count - 1 to rows[0 .. 2 count - 1]. Rows aligned to 64 bytes are
     * written past the processor's caches: for building datasets. */
    void (*items)(struct rr_ethash_node *rows, const struct rr_ethash_node *cache,
                  uint32_t cache_items, uint32_t first, uint32_t count);
    /* Mix and final of each try by the whole dataset. */
    void (*full)(struct rr_ethash_try *tries, size_t count, const struct rr_ethash_node *dataset,
                 uint32_t dataset_items);
    /* The same by the light cache. */
    void (*light)(struct rr_ethash_try *tries, size_t count, const struct rr_ethash_node *cache,
                  uint32_t cache_items, uint32_t dataset_items);
};
/* Variants of this build, the law first, the fastest last; NULL beyond the last. A variant may run
 * only where rr_cpu_features has all that it needs. */
const struct rr_ethash_kernels *rr_ethash_kernels_at(size_t index);
/* The fastest variant that this processor and the mask both allow; mask 0 gives the law. */
const struct rr_ethash_kernels *rr_ethash_kernels_choose(uint32_t mask);
#endif

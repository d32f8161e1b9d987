/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The plain law. Nodes are words of 32 bits in the machine's order, which is why the order is
 * checked; Keccak reads and writes them as bytes, never through another pointer type. */
#include "ethash/ethash_parts.h"
#include "keccak/keccak.h"
#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "nodes are little-endian words");
_Static_assert(sizeof(struct rr_ethash_node) == 64, "a node is 64 bytes");

/* [Ethash revision 23, "Definitions"] */
#define CACHE_BYTES_INIT     (UINT64_C(1) << 24)
#define CACHE_BYTES_GROWTH   (UINT64_C(1) << 17)
#define DATASET_BYTES_INIT   (UINT64_C(1) << 30)
#define DATASET_BYTES_GROWTH (UINT64_C(1) << 23)

static inline uint32_t fnv(uint32_t a, uint32_t b)
{
    return a * ETHASH_FNV_PRIME ^ b;
}

static bool is_prime(uint32_t n)
{
    if (n < 2 || n % 2 == 0) {
        return n == 2;
    }
    for (uint32_t d = 3; (uint64_t)d * d <= n; d += 2) {
        if (n % d == 0) {
            return false;
        }
    }
    return true;
}

uint32_t rr_ethash_prime(uint32_t bound)
{
    while (bound >= 2 && !is_prime(bound)) {
        bound--;
    }
    return bound < 2 ? 0 : bound;
}

bool rr_ethash_sizes(uint32_t *cache_items, uint32_t *dataset_items, uint32_t epoch)
{
    if (epoch > RR_ETHASH_EPOCH_MAX) {
        return false;
    }
    uint64_t cache = (CACHE_BYTES_INIT + CACHE_BYTES_GROWTH * epoch) / 64;
    uint64_t dataset = (DATASET_BYTES_INIT + DATASET_BYTES_GROWTH * epoch) / 128;
    /* The line itself is even, so that "below" and "not above" are the same. */
    *cache_items = rr_ethash_prime((uint32_t)cache);
    *dataset_items = rr_ethash_prime((uint32_t)dataset);
    return true;
}

void rr_ethash_seed(uint8_t seed[static 32], uint32_t epoch)
{
    memset(seed, 0, 32);
    for (uint32_t i = 0; i < epoch; i++) {
        rr_keccak256(seed, seed, 32);
    }
}

static inline void hash_node(struct rr_ethash_node *node, const void *data, size_t len)
{
    uint8_t out[64];
    rr_keccak512(out, data, len);
    memcpy(node, out, sizeof(out));
}

void rr_ethash_cache(struct rr_ethash_node *cache, uint32_t cache_items,
                     const uint8_t seed[static 32])
{
    hash_node(&cache[0], seed, 32);
    for (uint32_t i = 1; i < cache_items; i++) {
        hash_node(&cache[i], &cache[i - 1], 64);
    }
    for (int round = 0; round < ETHASH_CACHE_ROUNDS; round++) {
        for (uint32_t i = 0; i < cache_items; i++) {
            const struct rr_ethash_node *before = &cache[i == 0 ? cache_items - 1 : i - 1];
            const struct rr_ethash_node *other = &cache[cache[i].word[0] % cache_items];
            struct rr_ethash_node mixed;
            for (int w = 0; w < 16; w++) {
                mixed.word[w] = before->word[w] ^ other->word[w];
            }
            hash_node(&cache[i], &mixed, 64);
        }
    }
}

void rr_ethash_item(struct rr_ethash_node item[static 2], const struct rr_ethash_node *cache,
                    uint32_t cache_items, uint32_t index)
{
    struct rr_ethash_node mix[2];
    for (uint32_t half = 0; half < 2; half++) {
        uint32_t number = 2 * index + half;
        mix[half] = cache[number % cache_items];
        mix[half].word[0] ^= number;
        hash_node(&mix[half], &mix[half], 64);
    }
    /* Both halves in turns: neither depends on the other, and each waits for its own reads. */
    for (uint32_t j = 0; j < ETHASH_PARENTS; j++) {
        for (uint32_t half = 0; half < 2; half++) {
            uint32_t number = 2 * index + half;
            uint32_t parent = fnv(number ^ j, mix[half].word[j % 16]) % cache_items;
            for (int w = 0; w < 16; w++) {
                mix[half].word[w] = fnv(mix[half].word[w], cache[parent].word[w]);
            }
        }
    }
    for (uint32_t half = 0; half < 2; half++) {
        hash_node(&item[half], &mix[half], 64);
    }
}

/* Where items come from: the dataset, or made from the cache when dataset is NULL. */
struct source {
    const struct rr_ethash_node *dataset;
    const struct rr_ethash_node *cache;
    uint32_t cache_items;
    uint32_t dataset_items;
};

static void hash(uint8_t *mix_out, uint8_t *final_be, const struct source *source,
                 const uint8_t *header_hash, uint64_t nonce)
{
    uint8_t start[40];
    memcpy(start, header_hash, 32);
    memcpy(start + 32, &nonce, 8);
    struct rr_ethash_node seed;
    hash_node(&seed, start, sizeof(start));

    struct rr_ethash_node mix[2] = {seed, seed};
    struct rr_ethash_node made[2];
    for (uint32_t i = 0; i < ETHASH_ACCESSES; i++) {
        uint32_t index =
            fnv(i ^ seed.word[0], mix[i / 16 % 2].word[i % 16]) % source->dataset_items;
        const struct rr_ethash_node *item = made;
        if (source->dataset != NULL) {
            item = source->dataset + 2 * (size_t)index;
        } else {
            rr_ethash_item(made, source->cache, source->cache_items, index);
        }
        for (int half = 0; half < 2; half++) {
            for (int w = 0; w < 16; w++) {
                mix[half].word[w] = fnv(mix[half].word[w], item[half].word[w]);
            }
        }
    }

    uint8_t folded[32];
    ethash_fold(folded, mix);
    uint8_t end[96];
    memcpy(end, &seed, 64);
    memcpy(end + 64, folded, 32);
    rr_keccak256(final_be, end, sizeof(end));
    memcpy(mix_out, folded, 32);
}

void rr_ethash_light(uint8_t mix[static 32], uint8_t final_be[static 32],
                     const struct rr_ethash_node *cache, uint32_t cache_items,
                     uint32_t dataset_items, const uint8_t header_hash[static 32], uint64_t nonce)
{
    struct source source = {NULL, cache, cache_items, dataset_items};
    hash(mix, final_be, &source, header_hash, nonce);
}

void rr_ethash_full(uint8_t mix[static 32], uint8_t final_be[static 32],
                    const struct rr_ethash_node *dataset, uint32_t dataset_items,
                    const uint8_t header_hash[static 32], uint64_t nonce)
{
    struct source source = {dataset, NULL, 0, dataset_items};
    hash(mix, final_be, &source, header_hash, nonce);
}

/* ---- the law in the form of a variant -----------------------------------------------------------
 */
static void items(struct rr_ethash_node *rows, const struct rr_ethash_node *cache,
                  uint32_t cache_items, uint32_t first, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        rr_ethash_item(rows + 2 * (size_t)i, cache, cache_items, first + i);
    }
}

static void full(struct rr_ethash_try *tries, size_t count, const struct rr_ethash_node *dataset,
                 uint32_t dataset_items)
{
    for (size_t i = 0; i < count; i++) {
        struct rr_ethash_try *to = &tries[i];
        rr_ethash_full(to->mix, to->final_be, dataset, dataset_items, to->header_hash, to->nonce);
    }
}

static void light(struct rr_ethash_try *tries, size_t count, const struct rr_ethash_node *cache,
                  uint32_t cache_items, uint32_t dataset_items)
{
    for (size_t i = 0; i < count; i++) {
        struct rr_ethash_try *to = &tries[i];
        rr_ethash_light(to->mix, to->final_be, cache, cache_items, dataset_items, to->header_hash,
                        to->nonce);
    }
}

const struct rr_ethash_kernels ethash_kernels_ref = {
    .name = "ref", .needs = 0, .batch = 1, .items = items, .full = full, .light = light};

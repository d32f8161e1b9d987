/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A node is one register of 16 words. What bounds Ethash is how many reads of random nodes are
 * under way; so nodes come in groups of 16, whose next indices are one vector, and two groups take
 * turns: while one waits for the nodes it has asked for, the other asks for its own. */
#include "ethash/ethash_parts.h"
#include "keccak/keccak_lanes.h"
#include <immintrin.h>
#include <string.h>

#define GROUP  16 /* indices in a vector */
#define GROUPS 2  /* that take turns */
#define STATES 8  /* of one permutation */

static inline __m512i fnv(__m512i a, __m512i b)
{
    return _mm512_xor_si512(_mm512_mullo_epi32(a, _mm512_set1_epi32(ETHASH_FNV_PRIME)), b);
}

/* What `% n` needs, n <= 2^31. The reciprocal floor((2^32 - 1) / n) is too small by at most n /
 * 2^32, so that a quotient by it is too small by less than x / 2^32 < 1 before it is floored: at
 * most one n is left over in the remainder. */
struct divisor {
    __m512i n, reciprocal;
};

static inline struct divisor make_divisor(uint32_t n)
{
    return (struct divisor){_mm512_set1_epi32((int)n), _mm512_set1_epi32((int)(UINT32_MAX / n))};
}

static inline __m512i modulo(__m512i x, const struct divisor *by)
{
    __m512i even = _mm512_srli_epi64(_mm512_mul_epu32(x, by->reciprocal), 32);
    __m512i odd = _mm512_mul_epu32(_mm512_srli_epi64(x, 32), by->reciprocal);
    __m512i quotient = _mm512_mask_blend_epi32(0xaaaa, even, odd);
    __m512i rest = _mm512_sub_epi32(x, _mm512_mullo_epi32(quotient, by->n));
    return _mm512_min_epu32(rest, _mm512_sub_epi32(rest, by->n)); /* wraps where rest < n */
}

/* Word `word` of the node at each of 16 places, `stride` nodes from one to the next. */
static inline __m512i collect(const struct rr_ethash_node *nodes, int stride, uint32_t word)
{
    const __m512i lane = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
    __m512i offset = _mm512_add_epi32(_mm512_mullo_epi32(lane, _mm512_set1_epi32(16 * stride)),
                                      _mm512_set1_epi32((int)word));
    return _mm512_i32gather_epi32(offset, (const int *)nodes, 4);
}

/* ---- items --------------------------------------------------------------------------------------
 */
/* Keccak-512 of each node of a group, in place. */
static void hash_nodes(struct rr_ethash_node *nodes)
{
    for (int half = 0; half < GROUP; half += STATES) {
        uint64_t lanes[25 * STATES] = {0};
        for (int s = 0; s < STATES; s++) {
            ethash_put(lanes + s, STATES, &nodes[half + s], 8);
            lanes[8 * STATES + s] = UINT64_C(0x8000000000000001);
        }
        keccak_f1600_x8_avx512(lanes);
        for (int s = 0; s < STATES; s++) {
            ethash_get(&nodes[half + s], lanes + s, STATES, 8);
        }
    }
}

struct item_group {
    struct rr_ethash_node mix[GROUP];
    __m512i index; /* of the nodes */
    uint32_t parent[GROUP];
};

static inline void ask_parents(struct item_group *group, const struct rr_ethash_node *cache,
                               const struct divisor *items, __m512i number)
{
    _mm512_storeu_si512(group->parent, modulo(number, items));
    for (int i = 0; i < GROUP; i++) {
        _mm_prefetch((const char *)&cache[group->parent[i]], _MM_HINT_T0);
    }
}

static inline void ask_round(struct item_group *group, const struct rr_ethash_node *cache,
                             const struct divisor *items, uint32_t round)
{
    __m512i salt = _mm512_xor_si512(group->index, _mm512_set1_epi32((int)round));
    ask_parents(group, cache, items, fnv(salt, collect(group->mix, 1, round % 16)));
}

static inline void mix_parents(struct item_group *group, const struct rr_ethash_node *cache)
{
    for (int i = 0; i < GROUP; i++) {
        __m512i mix = _mm512_loadu_si512(&group->mix[i]);
        __m512i parent = _mm512_loadu_si512(&cache[group->parent[i]]);
        _mm512_storeu_si512(&group->mix[i], fnv(mix, parent));
    }
}

/* mix[g][i] of each group becomes the node of index[g][i]. */
static void make_nodes(struct item_group group[static GROUPS], const struct rr_ethash_node *cache,
                       const struct divisor *items)
{
    for (int g = 0; g < GROUPS; g++) {
        ask_parents(&group[g], cache, items, group[g].index);
    }
    for (int g = 0; g < GROUPS; g++) {
        for (int i = 0; i < GROUP; i++) {
            group[g].mix[i] = cache[group[g].parent[i]];
        }
        uint32_t index[GROUP];
        _mm512_storeu_si512(index, group[g].index);
        for (int i = 0; i < GROUP; i++) {
            group[g].mix[i].word[0] ^= index[i];
        }
        hash_nodes(group[g].mix);
    }
    ask_round(&group[0], cache, items, 0);
    for (uint32_t round = 0; round < ETHASH_PARENTS; round++) {
        ask_round(&group[1], cache, items, round);
        mix_parents(&group[0], cache);
        if (round + 1 < ETHASH_PARENTS) {
            ask_round(&group[0], cache, items, round + 1);
        }
        mix_parents(&group[1], cache);
    }
    hash_nodes(group[0].mix);
    hash_nodes(group[1].mix);
}

static void items(struct rr_ethash_node *rows, const struct rr_ethash_node *cache,
                  uint32_t cache_items, uint32_t first, uint32_t count)
{
    const struct divisor divisor = make_divisor(cache_items);
    const __m512i lane = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
    struct item_group group[GROUPS];
    bool stream = (uintptr_t)rows % 64 == 0;
    for (uint32_t done = 0; done < count; done += GROUP) {
        uint32_t take = count - done < GROUP ? count - done : GROUP;
        for (int g = 0; g < GROUPS; g++) {
            group[g].index =
                _mm512_add_epi32(lane, _mm512_set1_epi32((int)(2 * (first + done)) + g * GROUP));
        }
        make_nodes(group, cache, &divisor);
        for (uint32_t i = 0; i < 2 * take; i++) {
            __m512i node = _mm512_loadu_si512(&group[i / GROUP].mix[i % GROUP]);
            struct rr_ethash_node *row = rows + 2 * (size_t)done + i;
            if (stream) {
                _mm512_stream_si512((void *)row, node);
            } else {
                _mm512_storeu_si512(row, node);
            }
        }
    }
    _mm_sfence(); /* streamed rows are seen by other threads after what follows */
}

/* ---- hashes -------------------------------------------------------------------------------------
 */
struct hash_group {
    struct rr_ethash_node seed[GROUP];
    struct rr_ethash_node mix[2 * GROUP]; /* two for each try */
    __m512i seed_word;                    /* word 0 of the seeds */
    uint32_t row[GROUP];
};

static void begin(struct hash_group *group, const struct rr_ethash_try *const tries[static GROUP])
{
    for (int half = 0; half < GROUP; half += STATES) {
        uint64_t lanes[25 * STATES] = {0};
        for (int s = 0; s < STATES; s++) {
            ethash_put(lanes + s, STATES, tries[half + s]->header_hash, 4);
            lanes[4 * STATES + s] = tries[half + s]->nonce;
            lanes[5 * STATES + s] = 1;
            lanes[8 * STATES + s] = UINT64_C(1) << 63;
        }
        keccak_f1600_x8_avx512(lanes);
        for (int s = 0; s < STATES; s++) {
            ethash_get(&group->seed[half + s], lanes + s, STATES, 8);
            group->mix[2 * (half + s)] = group->seed[half + s];
            group->mix[2 * (half + s) + 1] = group->seed[half + s];
        }
    }
    group->seed_word = collect(group->seed, 1, 0);
}

static void finish(struct hash_group *group, struct rr_ethash_try *const tries[static GROUP])
{
    for (int half = 0; half < GROUP; half += STATES) {
        uint64_t lanes[25 * STATES] = {0};
        for (int s = 0; s < STATES; s++) {
            struct rr_ethash_try *to = tries[half + s];
            ethash_fold(to->mix, &group->mix[2 * (half + s)]);
            ethash_put(lanes + s, STATES, &group->seed[half + s], 8);
            ethash_put(lanes + 8 * STATES + s, STATES, to->mix, 4);
            lanes[12 * STATES + s] = 1;
            lanes[16 * STATES + s] = UINT64_C(1) << 63;
        }
        keccak_f1600_x8_avx512(lanes);
        for (int s = 0; s < STATES; s++) {
            ethash_get(tries[half + s]->final_be, lanes + s, STATES, 4);
        }
    }
}

/* Numbers of the rows of access `access`. */
static inline __m512i choose_rows(const struct hash_group *group, const struct divisor *rows,
                                  uint32_t access)
{
    __m512i salt = _mm512_xor_si512(group->seed_word, _mm512_set1_epi32((int)access));
    return modulo(fnv(salt, collect(group->mix, 2, access % 32)), rows);
}

static inline void ask_rows(struct hash_group *group, const struct rr_ethash_node *dataset,
                            const struct divisor *rows, uint32_t access)
{
    _mm512_storeu_si512(group->row, choose_rows(group, rows, access));
    for (int i = 0; i < GROUP; i++) {
        const struct rr_ethash_node *row = dataset + 2 * (size_t)group->row[i];
        _mm_prefetch((const char *)row, _MM_HINT_T0);
        _mm_prefetch((const char *)(row + 1), _MM_HINT_T0);
    }
}

static inline void mix_rows(struct hash_group *group, const struct rr_ethash_node *dataset)
{
    for (int i = 0; i < GROUP; i++) {
        const struct rr_ethash_node *row = dataset + 2 * (size_t)group->row[i];
        for (int half = 0; half < 2; half++) {
            struct rr_ethash_node *mix = &group->mix[2 * i + half];
            _mm512_storeu_si512(mix, fnv(_mm512_loadu_si512(mix), _mm512_loadu_si512(row + half)));
        }
    }
}

static void full(struct rr_ethash_try *tries, size_t count, const struct rr_ethash_node *dataset,
                 uint32_t dataset_items)
{
    const struct divisor rows = make_divisor(dataset_items);
    struct hash_group group[GROUPS];
    for (size_t done = 0; done < count; done += GROUPS * GROUP) {
        struct rr_ethash_try spare;
        struct rr_ethash_try *to[GROUPS][GROUP];
        for (size_t i = 0; i < GROUPS * GROUP; i++) {
            to[i / GROUP][i % GROUP] = done + i < count ? &tries[done + i] : &spare;
        }
        spare = tries[done];
        for (int g = 0; g < GROUPS; g++) {
            begin(&group[g], (const struct rr_ethash_try *const *)to[g]);
        }
        ask_rows(&group[0], dataset, &rows, 0);
        for (uint32_t access = 0; access < ETHASH_ACCESSES; access++) {
            ask_rows(&group[1], dataset, &rows, access);
            mix_rows(&group[0], dataset);
            if (access + 1 < ETHASH_ACCESSES) {
                ask_rows(&group[0], dataset, &rows, access + 1);
            }
            mix_rows(&group[1], dataset);
        }
        for (int g = 0; g < GROUPS; g++) {
            finish(&group[g], to[g]);
        }
    }
}

static void light(struct rr_ethash_try *tries, size_t count, const struct rr_ethash_node *cache,
                  uint32_t cache_items, uint32_t dataset_items)
{
    const struct divisor rows = make_divisor(dataset_items);
    const struct divisor divisor = make_divisor(cache_items);
    struct hash_group group;
    struct item_group made[GROUPS];
    for (size_t done = 0; done < count; done += GROUP) {
        struct rr_ethash_try spare = tries[done];
        struct rr_ethash_try *to[GROUP];
        for (size_t i = 0; i < GROUP; i++) {
            to[i] = done + i < count ? &tries[done + i] : &spare;
        }
        begin(&group, (const struct rr_ethash_try *const *)to);
        for (uint32_t access = 0; access < ETHASH_ACCESSES; access++) {
            __m512i left = _mm512_slli_epi32(choose_rows(&group, &rows, access), 1);
            made[0].index = left; /* the left nodes of 16 rows, and the right ones */
            made[1].index = _mm512_or_si512(left, _mm512_set1_epi32(1));
            make_nodes(made, cache, &divisor);
            for (int i = 0; i < 2 * GROUP; i++) {
                struct rr_ethash_node *mix = &group.mix[i];
                _mm512_storeu_si512(
                    mix, fnv(_mm512_loadu_si512(mix), _mm512_loadu_si512(&made[i % 2].mix[i / 2])));
            }
        }
        finish(&group, to);
    }
}

const struct rr_ethash_kernels ethash_kernels_avx512 = {
    .name = "avx512",
    .needs = RR_CPU_AVX512,
    .batch = GROUPS * GROUP,
    .items = items,
    .full = full,
    .light = light,
};

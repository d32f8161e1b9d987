/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Private to ethash: what all wide variants share. What bounds Ethash is how many reads of random
 * nodes are under way; so nodes come in groups whose next indices are one register, and groups take
 * turns: while one waits for the nodes that it has asked for, the others ask for theirs.
 *
 * The including file brings GROUP (indices in a register) and GROUPS (that take turns, even);
 * `vec`, a register of indices, and on it: spread, counting (0, 1, 2 ...), add, exor, multiply,
 * high (upper half of the products), subtract, less (a - b where that does not wrap, else a), put;
 * mix_node (FNV of a node with another one, in place), stream_node (a store past the caches, to 64
 * B) and fence (after such stores); collect (word `word` of GROUP nodes, `stride` nodes from one to
 * the next); STATES and permute (Keccak-f[1600] of so many states, lane i of state s at
 * [i * STATES + s]). */
#define TRIES (GROUP * GROUPS / 2) /* of a light batch: an item is two nodes */
#define ASK   2 /* into the second cache: more reads can be under way there than to the first */

static inline vec fnv(vec a, vec b)
{
    return exor(multiply(a, spread(ETHASH_FNV_PRIME)), b);
}

/* What `% n` needs, n < 2^31. The reciprocal floor((2^32 - 1) / n) is too small by at most n /
 * 2^32, so that a quotient by it is too small by x / 2^32 < 1 before it is floored: the remainder
 * has at most one n too much. */
struct divisor {
    vec n, reciprocal;
};

static inline struct divisor make_divisor(uint32_t n)
{
    return (struct divisor){spread(n), spread(UINT32_MAX / n)};
}

static inline vec modulo(vec x, const struct divisor *by)
{
    vec quotient = high(x, by->reciprocal);
    return less(subtract(x, multiply(quotient, by->n)), by->n);
}

/* ---- nodes and items ----------------------------------------------------------------------------
 */
struct node_group {
    _Alignas(64) struct rr_ethash_node mix[GROUP];
    vec index; /* of the nodes */
    uint32_t parent[GROUP];
};

/* Keccak-512 of each node, in place. */
static void hash_nodes(struct rr_ethash_node nodes[static GROUP])
{
    for (int first = 0; first < GROUP; first += STATES) {
        _Alignas(64) uint64_t lanes[25 * STATES] = {0};
        for (int s = 0; s < STATES; s++) {
            ethash_put(lanes + s, STATES, &nodes[first + s], 8);
            lanes[8 * STATES + s] = ETHASH_PAD512_64;
        }
        permute(lanes);
        for (int s = 0; s < STATES; s++) {
            ethash_get(&nodes[first + s], lanes + s, STATES, 8);
        }
    }
}

static inline void ask_nodes(struct node_group *group, const struct rr_ethash_node *cache,
                             vec number)
{
    put(group->parent, number);
    for (int i = 0; i < GROUP; i++) {
        __builtin_prefetch(&cache[group->parent[i]], 0, ASK);
    }
}

static inline void ask_parents(struct node_group *group, const struct rr_ethash_node *cache,
                               const struct divisor *items, uint32_t round)
{
    vec word = collect(group->mix, 1, round % 16);
    ask_nodes(group, cache, modulo(fnv(exor(group->index, spread(round)), word), items));
}

static inline void mix_parents(struct node_group *group, const struct rr_ethash_node *cache)
{
    for (int i = 0; i < GROUP; i++) {
        mix_node(&group->mix[i], &cache[group->parent[i]]);
    }
}

static void start_nodes(struct node_group *group, const struct rr_ethash_node *cache)
{
    uint32_t index[GROUP];
    put(index, group->index);
    for (int i = 0; i < GROUP; i++) {
        group->mix[i] = cache[group->parent[i]];
        group->mix[i].word[0] ^= index[i];
    }
    hash_nodes(group->mix);
}

/* The nodes `index` of each of `groups` groups, into its `mix`. */
static void make_nodes(struct node_group *group, size_t groups, const struct rr_ethash_node *cache,
                       const struct divisor *items)
{
    for (size_t g = 0; g < groups; g++) {
        ask_nodes(&group[g], cache, modulo(group[g].index, items));
    }
    for (size_t g = 0; g < groups; g++) {
        start_nodes(&group[g], cache);
        ask_parents(&group[g], cache, items, 0);
    }
    for (uint32_t round = 0; round < ETHASH_PARENTS; round++) {
        for (size_t g = 0; g < groups; g++) {
            mix_parents(&group[g], cache);
            if (round + 1 < ETHASH_PARENTS) {
                ask_parents(&group[g], cache, items, round + 1);
            }
        }
    }
    for (size_t g = 0; g < groups; g++) {
        hash_nodes(group[g].mix);
    }
}

static void items(struct rr_ethash_node *rows, const struct rr_ethash_node *cache,
                  uint32_t cache_items, uint32_t first, uint32_t count)
{
    const struct divisor divisor = make_divisor(cache_items);
    struct node_group group[GROUPS];
    bool stream = (uintptr_t)rows % 64 == 0;
    for (uint32_t done = 0; done < count; done += TRIES) {
        uint32_t nodes = 2 * (count - done < TRIES ? count - done : TRIES);
        uint32_t groups = (nodes + GROUP - 1) / GROUP;
        for (uint32_t g = 0; g < groups; g++) {
            group[g].index = add(counting(), spread(2 * (first + done) + g * GROUP));
        }
        make_nodes(group, groups, cache, &divisor);
        for (uint32_t i = 0; i < nodes; i++) {
            const struct rr_ethash_node *node = &group[i / GROUP].mix[i % GROUP];
            struct rr_ethash_node *to = rows + 2 * (size_t)done + i;
            if (stream) {
                stream_node(to, node);
            } else {
                memcpy(to, node, sizeof(*to)); /* at any address */
            }
        }
    }
    fence();
}

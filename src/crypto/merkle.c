/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "crypto/crypto.h"

/* A node of level l covers the leaves [i << l, (i + 1) << l). An odd last node moves up unchanged,
 * so the root of any aligned range is the root of that range taken alone: siblings are computed
 * without a tree. */

static void join(struct rr_hash32 *out, const struct rr_hash32 *left, const struct rr_hash32 *right)
{
    struct rr_hasher hasher;
    rr_hasher_init(&hasher, "rr.node.v1");
    rr_hasher_add(&hasher, left->bytes, sizeof left->bytes);
    rr_hasher_add(&hasher, right->bytes, sizeof right->bytes);
    rr_hasher_final(&hasher, out);
}

void rr_merkle_root(struct rr_hash32 *out, const struct rr_hash32 *leaves, uint32_t count)
{
    /* stack[0..] holds the roots of the full subtrees met so far, largest first: one for each set
     * bit of the number of leaves taken. */
    struct rr_hash32 stack[RR_MERKLE_MAX_DEPTH + 1];
    unsigned used = 0;
    if (count == 0) {
        *out = (struct rr_hash32){0};
        return;
    }
    for (uint32_t i = 0; i < count; i++) {
        stack[used++] = leaves[i];
        for (uint32_t taken = i; (taken & 1) != 0; taken >>= 1) {
            join(&stack[used - 2], &stack[used - 2], &stack[used - 1]);
            used--;
        }
    }
    while (used > 1) {
        join(&stack[used - 2], &stack[used - 2], &stack[used - 1]);
        used--;
    }
    *out = stack[0];
}

void rr_merkle_prove(struct rr_merkle_proof *out, const struct rr_hash32 *leaves, uint32_t count,
                     uint32_t index)
{
    RR_CHECK(index < count);
    *out = (struct rr_merkle_proof){.index = index, .count = count};
    unsigned level = 0;
    uint32_t at = index;
    for (uint32_t nodes = count; nodes > 1; nodes = nodes / 2 + nodes % 2) {
        uint32_t sibling = at ^ 1;
        if (sibling < nodes) {
            uint64_t from = (uint64_t)sibling << level;
            uint64_t to = (uint64_t)(sibling + 1) << level;
            to = to > count ? count : to;
            rr_merkle_root(&out->siblings[out->depth], leaves + from, (uint32_t)(to - from));
            out->depth++;
        }
        at >>= 1;
        level++;
    }
}

bool rr_merkle_check(const struct rr_merkle_proof *proof, const struct rr_hash32 *leaf,
                     const struct rr_hash32 *root)
{
    if (proof->index >= proof->count || proof->depth > RR_MERKLE_MAX_DEPTH) {
        return false;
    }
    struct rr_hash32 node = *leaf;
    uint32_t at = proof->index;
    uint32_t used = 0;
    for (uint32_t nodes = proof->count; nodes > 1; nodes = nodes / 2 + nodes % 2) {
        if ((at ^ 1) < nodes) {
            if (used == proof->depth) {
                return false;
            }
            const struct rr_hash32 *sibling = &proof->siblings[used++];
            join(&node, (at & 1) != 0 ? sibling : &node, (at & 1) != 0 ? &node : sibling);
        }
        at >>= 1;
    }
    return used == proof->depth && rr_hash32_equal(&node, root);
}

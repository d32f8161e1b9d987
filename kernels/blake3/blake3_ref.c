/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The plain law. Nearly all time goes into chunks, which are independent of each other: several
 * whole ones go to a variant for wide registers where there is one (blake3_kernel.h). */
#include "blake3/blake3.h"
#include "blake3/blake3_kernel.h"
#include <string.h>

#define CHUNKS_AT_ONCE 16 /* lanes of the widest registers that a variant uses */

static const uint32_t iv[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                               0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};

/* Order of the message words: row r is the permutation of table 2 applied r times. */
static const uint8_t order[7][16] = {
    {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15},
    {2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8},
    {3, 4, 10, 12, 13, 2, 7, 14, 6, 5, 9, 0, 11, 15, 8, 1},
    {10, 7, 12, 9, 14, 3, 13, 15, 4, 0, 11, 2, 5, 8, 1, 6},
    {12, 13, 9, 11, 15, 10, 14, 8, 7, 2, 5, 3, 0, 1, 6, 4},
    {9, 14, 11, 5, 8, 12, 15, 1, 13, 3, 0, 10, 2, 6, 4, 7},
    {11, 15, 5, 0, 1, 9, 8, 6, 14, 10, 2, 12, 3, 4, 7, 13},
};

static inline uint32_t rotate(uint32_t v, unsigned bits)
{
    return v >> bits | v << (32 - bits);
}

static inline uint32_t load(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static void load_words(uint32_t words[static 8], const uint8_t *bytes)
{
    for (int i = 0; i < 8; i++) {
        words[i] = load(bytes + 4 * (size_t)i);
    }
}

static void store_words(uint8_t *bytes, const uint32_t words[static 8])
{
    for (int i = 0; i < 32; i++) {
        bytes[i] = (uint8_t)(words[i / 4] >> (8 * (i % 4)));
    }
}

static inline void quarter(uint32_t v[static 16], int a, int b, int c, int d, uint32_t x,
                           uint32_t y)
{
    v[a] = v[a] + v[b] + x;
    v[d] = rotate(v[d] ^ v[a], 16);
    v[c] = v[c] + v[d];
    v[b] = rotate(v[b] ^ v[c], 12);
    v[a] = v[a] + v[b] + y;
    v[d] = rotate(v[d] ^ v[a], 8);
    v[c] = v[c] + v[d];
    v[b] = rotate(v[b] ^ v[c], 7);
}

/* One block into cv; the first half of the output is all that 32-byte hashes need. [BLAKE3 2.2] */
static void compress(uint32_t cv[static 8], const uint8_t *block, uint32_t len, uint64_t counter,
                     uint32_t flags)
{
    uint32_t m[16];
    uint32_t v[16];
    load_words(m, block);
    load_words(m + 8, block + 32);
    memcpy(v, cv, 32);
    memcpy(v + 8, iv, 16);
    v[12] = (uint32_t)counter;
    v[13] = (uint32_t)(counter >> 32);
    v[14] = len;
    v[15] = flags;
#pragma GCC unroll 7
    for (int r = 0; r < 7; r++) {
        const uint8_t *o = order[r];
        quarter(v, 0, 4, 8, 12, m[o[0]], m[o[1]]);
        quarter(v, 1, 5, 9, 13, m[o[2]], m[o[3]]);
        quarter(v, 2, 6, 10, 14, m[o[4]], m[o[5]]);
        quarter(v, 3, 7, 11, 15, m[o[6]], m[o[7]]);
        quarter(v, 0, 5, 10, 15, m[o[8]], m[o[9]]);
        quarter(v, 1, 6, 11, 12, m[o[10]], m[o[11]]);
        quarter(v, 2, 7, 8, 13, m[o[12]], m[o[13]]);
        quarter(v, 3, 4, 9, 14, m[o[14]], m[o[15]]);
    }
    for (int i = 0; i < 8; i++) {
        cv[i] = v[i] ^ v[i + 8];
    }
}

/* A chunk of 0 to 1024 bytes; last: flags of its last block beside BLAKE3_CHUNK_END. [BLAKE3 2.4]
 */
static void hash_chunk(uint8_t *out, const uint8_t *data, size_t len, uint64_t index,
                       const uint32_t key[static 8], uint32_t mode, uint32_t last)
{
    uint32_t cv[8];
    memcpy(cv, key, 32);
    uint32_t flags = mode | BLAKE3_CHUNK_START;
    for (; len > RR_BLAKE3_BLOCK_BYTES; len -= RR_BLAKE3_BLOCK_BYTES) {
        compress(cv, data, RR_BLAKE3_BLOCK_BYTES, index, flags);
        data += RR_BLAKE3_BLOCK_BYTES;
        flags = mode;
    }
    uint8_t block[RR_BLAKE3_BLOCK_BYTES] = {0};
    if (len > 0) {
        memcpy(block, data, len);
    }
    compress(cv, block, (uint32_t)len, index, flags | BLAKE3_CHUNK_END | last);
    store_words(out, cv);
}

static void hash_parent(uint8_t *out, const uint8_t *left, const uint8_t *right,
                        const uint32_t key[static 8], uint32_t flags)
{
    uint8_t block[RR_BLAKE3_BLOCK_BYTES];
    uint32_t cv[8];
    memcpy(block, left, 32);
    memcpy(block + 32, right, 32);
    memcpy(cv, key, 32);
    compress(cv, block, RR_BLAKE3_BLOCK_BYTES, 0, flags | BLAKE3_PARENT);
    store_words(out, cv);
}

/* Key words and mode of a key that may be NULL. */
static uint32_t take_key(uint32_t words[static 8], const uint8_t *key)
{
    if (key == NULL) {
        memcpy(words, iv, sizeof(iv));
        return 0;
    }
    load_words(words, key);
    return BLAKE3_KEYED_HASH;
}

/* Chaining values of all chunks of len bytes, none of them the root. */
static void hash_chunks(uint8_t *out, const uint8_t *data, size_t len, uint64_t first,
                        const uint32_t key[static 8], uint32_t mode)
{
    const struct blake3_kernel *kernel = blake3_kernel();
    while (len > 0) {
        size_t chunks = 1;
        if (kernel != NULL && len >= 2 * RR_BLAKE3_CHUNK_BYTES) {
            chunks = len / RR_BLAKE3_CHUNK_BYTES;
            chunks = chunks < kernel->lanes ? chunks : kernel->lanes;
            kernel->chunks(out, data, chunks, first, key, mode);
        } else {
            hash_chunk(out, data, len < RR_BLAKE3_CHUNK_BYTES ? len : RR_BLAKE3_CHUNK_BYTES, first,
                       key, mode, 0);
        }
        size_t take = chunks * RR_BLAKE3_CHUNK_BYTES;
        take = take < len ? take : len;
        out += 32 * chunks;
        data += take;
        len -= take;
        first += chunks;
    }
}

/* Parents of `count` pairs of neighbours, none of them the root. */
static void hash_parents(uint8_t *out, const uint8_t *nodes, size_t count,
                         const uint32_t key[static 8], uint32_t mode)
{
    const struct blake3_kernel *kernel = blake3_kernel();
    while (count > 0) {
        size_t pairs = 1;
        if (kernel != NULL && count > 1) {
            pairs = count < kernel->lanes ? count : kernel->lanes;
            kernel->parents(out, nodes, pairs, key, mode);
        } else {
            hash_parent(out, nodes, nodes + 32, key, mode);
        }
        out += 32 * pairs;
        nodes += 64 * pairs;
        count -= pairs;
    }
}

void rr_blake3_chunk_cvs(uint8_t *out, const void *data, size_t len, uint64_t first,
                         const uint8_t *key)
{
    uint32_t words[8];
    uint32_t mode = take_key(words, key);
    hash_chunks(out, data, len, first, words, mode);
}

void rr_blake3_parent_cv(uint8_t out[static 32], const uint8_t left[static 32],
                         const uint8_t right[static 32], const uint8_t *key)
{
    uint32_t words[8];
    uint32_t mode = take_key(words, key);
    hash_parent(out, left, right, words, mode);
}

void rr_blake3_parent_cvs(uint8_t *out, const uint8_t *nodes, size_t count, const uint8_t *key)
{
    uint32_t words[8];
    uint32_t mode = take_key(words, key);
    hash_parents(out, nodes, count, words, mode);
}

void rr_blake3_parent_root(uint8_t out[static 32], const uint8_t left[static 32],
                           const uint8_t right[static 32], const uint8_t *key)
{
    uint32_t words[8];
    uint32_t mode = take_key(words, key);
    hash_parent(out, left, right, words, mode | BLAKE3_ROOT);
}

static void init(struct rr_blake3_hasher *hasher, const uint8_t *key)
{
    hasher->mode = take_key(hasher->key, key);
    hasher->depth = 0;
    hasher->chunks = 0;
    hasher->filled = 0;
}

void rr_blake3_init(struct rr_blake3_hasher *hasher)
{
    init(hasher, NULL);
}

void rr_blake3_init_keyed(struct rr_blake3_hasher *hasher, const uint8_t key[static 32])
{
    init(hasher, key);
}

/* Puts the node above the next `size` whole chunks (a power of two, and a divisor of those before)
 * on the stack, after merging the subtrees that it completes: one for each trailing zero bit of the
 * new count in units of size. Called only when more input follows, so that no node merged here can
 * be the root. [BLAKE3 5.1.2] */
static void push(struct rr_blake3_hasher *hasher, uint8_t cv[static 32], size_t size)
{
    hasher->chunks += size;
    for (uint64_t count = hasher->chunks / size; count % 2 == 0; count /= 2) {
        hasher->depth--;
        hash_parent(cv, hasher->stack[hasher->depth], cv, hasher->key, hasher->mode);
    }
    memcpy(hasher->stack[hasher->depth], cv, 32);
    hasher->depth++;
}

/* `count` whole chunks that more input follows. */
static void push_chunks(struct rr_blake3_hasher *hasher, const uint8_t *data, size_t count)
{
    uint8_t nodes[CHUNKS_AT_ONCE][32];
    size_t left = count, size = 1;
    hash_chunks(nodes[0], data, count * RR_BLAKE3_CHUNK_BYTES, hasher->chunks, hasher->key,
                hasher->mode);
    if (count == CHUNKS_AT_ONCE && hasher->chunks % CHUNKS_AT_ONCE == 0) {
        for (; left > 1; left /= 2, size *= 2) {
            hash_parents(nodes[0], nodes[0], left / 2, hasher->key, hasher->mode);
        }
    }
    for (size_t i = 0; i < left; i++) {
        push(hasher, nodes[i], size);
    }
}

void rr_blake3_add(struct rr_blake3_hasher *hasher, const void *data, size_t len)
{
    const uint8_t *p = data;
    while (len > 0) {
        if (hasher->filled == RR_BLAKE3_CHUNK_BYTES) {
            push_chunks(hasher, hasher->chunk, 1);
            hasher->filled = 0;
        }
        if (hasher->filled == 0 && len > RR_BLAKE3_CHUNK_BYTES) {
            size_t count = (len - 1) / RR_BLAKE3_CHUNK_BYTES;
            count = count < CHUNKS_AT_ONCE ? count : CHUNKS_AT_ONCE;
            push_chunks(hasher, p, count);
            p += count * RR_BLAKE3_CHUNK_BYTES;
            len -= count * RR_BLAKE3_CHUNK_BYTES;
            continue;
        }
        size_t room = RR_BLAKE3_CHUNK_BYTES - hasher->filled;
        size_t take = len < room ? len : room;
        memcpy(hasher->chunk + hasher->filled, p, take);
        hasher->filled += take;
        p += take;
        len -= take;
    }
}

void rr_blake3_final(const struct rr_blake3_hasher *hasher, uint8_t out[static 32])
{
    uint8_t cv[32];
    hash_chunk(cv, hasher->chunk, hasher->filled, hasher->chunks, hasher->key, hasher->mode,
               hasher->depth == 0 ? BLAKE3_ROOT : 0);
    for (uint32_t i = hasher->depth; i > 0; i--) {
        hash_parent(cv, hasher->stack[i - 1], cv, hasher->key,
                    hasher->mode | (i == 1 ? BLAKE3_ROOT : 0));
    }
    memcpy(out, cv, 32);
}

void rr_blake3(uint8_t out[static 32], const void *data, size_t len)
{
    struct rr_blake3_hasher hasher;
    init(&hasher, NULL);
    rr_blake3_add(&hasher, data, len);
    rr_blake3_final(&hasher, out);
}

void rr_blake3_keyed(uint8_t out[static 32], const uint8_t key[static 32], const void *data,
                     size_t len)
{
    struct rr_blake3_hasher hasher;
    init(&hasher, key);
    rr_blake3_add(&hasher, data, len);
    rr_blake3_final(&hasher, out);
}

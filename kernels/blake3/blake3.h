/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* BLAKE3, hash and keyed hash, 32 bytes of output, with the inner nodes of its tree at hand for
 * proofs of 1 KiB chunks. Pure compute: no memory of its own, never fails. */
#ifndef RR_BLAKE3_H
#define RR_BLAKE3_H
#include <stddef.h>
#include <stdint.h>

#define RR_BLAKE3_OUT_BYTES   32
#define RR_BLAKE3_KEY_BYTES   32
#define RR_BLAKE3_BLOCK_BYTES 64
#define RR_BLAKE3_CHUNK_BYTES 1024
#define RR_BLAKE3_DEPTH_MAX   54 /* 2^54 chunks of 2^10 bytes */

/* Root of len bytes; data may be NULL when len is 0. Any thread. [BLAKE3 2] */
void rr_blake3(uint8_t out[static 32], const void *data, size_t len);
void rr_blake3_keyed(uint8_t out[static 32], const uint8_t key[static 32], const void *data,
                     size_t len);

/* Root in pieces, in the caller's memory; final leaves the hasher as it was, so that more may be
 * added after it. One thread at a time for a hasher. */
struct rr_blake3_hasher {
    uint32_t key[8];
    uint32_t mode;   /* flag of the keyed hash, or 0 */
    uint32_t depth;  /* finished subtrees on the stack */
    uint64_t chunks; /* chunks merged into the stack */
    size_t filled;   /* bytes waiting in chunk */
    uint8_t chunk[RR_BLAKE3_CHUNK_BYTES];
    uint8_t stack[RR_BLAKE3_DEPTH_MAX + 1][32];
};
void rr_blake3_init(struct rr_blake3_hasher *hasher);
void rr_blake3_init_keyed(struct rr_blake3_hasher *hasher, const uint8_t key[static 32]);
void rr_blake3_add(struct rr_blake3_hasher *hasher, const void *data, size_t len);
void rr_blake3_final(const struct rr_blake3_hasher *hasher, uint8_t out[static 32]);

/* ---- the tree, for proofs. key NULL: plain hash. ----------------------------------------------
 */
/* Chaining values of chunks first, first + 1, ... of an input of more than one chunk: all of len,
 * 32 bytes out per chunk, the last one may be short (1 to 1024 bytes). Inputs of one chunk have no
 * chaining value: their root is rr_blake3. Any thread. */
void rr_blake3_chunk_cvs(uint8_t *out, const void *data, size_t len, uint64_t first,
                         const uint8_t *key);
/* Parent of two nodes that is not the root, and the root above two nodes. The left subtree of n
 * chunks holds the largest power of two below n. out may be left or right. Any thread. */
void rr_blake3_parent_cv(uint8_t out[static 32], const uint8_t left[static 32],
                         const uint8_t right[static 32], const uint8_t *key);
/* Parents of `count` pairs of neighbours: 64 B in and 32 B out for each; out may be nodes. */
void rr_blake3_parent_cvs(uint8_t *out, const uint8_t *nodes, size_t count, const uint8_t *key);
void rr_blake3_parent_root(uint8_t out[static 32], const uint8_t left[static 32],
                           const uint8_t right[static 32], const uint8_t *key);
#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Keccak-f[1600] and the hashes over it with the padding of the Keccak submission (0x01), as Ethash
 * uses them; not the SHA-3 of FIPS 202, which pads with 0x06. */
#ifndef RR_KECCAK_H
#define RR_KECCAK_H
#include <stddef.h>
#include <stdint.h>

/* One permutation of 25 lanes, lane (x, y) at x + 5 y. Any thread; never fails. [Keccak
 * reference 3.0, 1.2] */
void rr_keccak_f1600(uint64_t lanes[static 25]);

/* Hash of len bytes; data may be NULL when len is 0, and out may lie inside data. Any thread.
 * [Ethash revision 23, keccak256 and keccak512] */
void rr_keccak256(uint8_t out[static 32], const void *data, size_t len);
void rr_keccak512(uint8_t out[static 64], const void *data, size_t len);

/* Keccak-256 in pieces, in the caller's memory: init, any number of adds, final once. Not for two
 * threads at a time. The result equals rr_keccak256 of the pieces joined. */
struct rr_keccak256 {
    uint64_t lanes[25];
    uint8_t block[136];
    size_t filled; /* bytes waiting in block, < 136 */
};
void rr_keccak256_init(struct rr_keccak256 *hasher);
void rr_keccak256_add(struct rr_keccak256 *hasher, const void *data, size_t len);
void rr_keccak256_final(struct rr_keccak256 *hasher, uint8_t out[static 32]);

/* A way to permute several states at once. */
struct rr_keccak_kernels {
    const char *name; /* "ref", "avx2", "avx512" */
    uint32_t needs;   /* of rr_cpu_features */
    uint32_t states;
    /* rr_keccak_f1600 of each state: lane i of state s at lanes[i * states + s], 25 * states of
     * them. Any alignment, any thread; only where the processor has what it needs. */
    void (*permute)(uint64_t *lanes);
};
/* Variants of this build, the law first, the fastest last; NULL beyond the last. */
const struct rr_keccak_kernels *rr_keccak_kernels_at(size_t index);
#endif

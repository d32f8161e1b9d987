/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Part of the kernels' bodies (ethash_gpu_body.h): arithmetic and Keccak. */
#ifndef RR_ETHASH_GPU_KECCAK_H
#define RR_ETHASH_GPU_KECCAK_H
#ifdef __CUDACC__
#include "ethash/ethash_gpu.cuh"
#else
#include "ethash/ethash_gpu_host.h"
#include <stdbool.h>
#endif

#define GPU_FNV_PRIME 0x01000193u
#define GPU_ACCESSES  64u
#define GPU_PARENTS   256u

RR_GPU_FN uint32_t gpu_fnv(uint32_t a, uint32_t b)
{
    return a * GPU_FNV_PRIME ^ b;
}

/* x % n. The high product is the quotient or one less, as x (2^32 mod n) / (n 2^32) < 1; then
 * r < 2 n <= 2^32, and of r and r - n the one that did not wrap is the smaller. */
RR_GPU_FN uint32_t gpu_modulo(uint32_t x, struct rr_ethash_gpu_modulus modulus)
{
    uint32_t r = x - gpu_mul_high(x, modulus.reciprocal) * modulus.n;
    uint32_t less = r - modulus.n;
    return less < r ? less : r;
}

/* ---- Keccak-f[1600] ---------------------------------------------------------------------------
 */
RR_GPU_TABLE uint64_t gpu_round_constant[24] = {
    0x0000000000000001ULL, 0x0000000000008082ULL, 0x800000000000808aULL, 0x8000000080008000ULL,
    0x000000000000808bULL, 0x0000000080000001ULL, 0x8000000080008081ULL, 0x8000000000008009ULL,
    0x000000000000008aULL, 0x0000000000000088ULL, 0x0000000080008009ULL, 0x000000008000000aULL,
    0x000000008000808bULL, 0x800000000000008bULL, 0x8000000000008089ULL, 0x8000000000008003ULL,
    0x8000000000008002ULL, 0x8000000000000080ULL, 0x000000000000800aULL, 0x800000008000000aULL,
    0x8000000080008081ULL, 0x8000000000008080ULL, 0x0000000080000001ULL, 0x8000000080008008ULL,
};

/* Rho and pi of theta's output t, then chi and iota, in straight lines: every lane keeps a register
 * of its own, and what a last round does not need falls away. */
RR_GPU_FN void gpu_rho_pi_chi(uint64_t a[25], const uint64_t t[25], uint64_t constant)
{
    uint64_t b[25];
    b[0] = t[0];
    b[10] = gpu_rotate(t[1], 1);
    b[20] = gpu_rotate(t[2], 62);
    b[5] = gpu_rotate(t[3], 28);
    b[15] = gpu_rotate(t[4], 27);
    b[16] = gpu_rotate(t[5], 36);
    b[1] = gpu_rotate(t[6], 44);
    b[11] = gpu_rotate(t[7], 6);
    b[21] = gpu_rotate(t[8], 55);
    b[6] = gpu_rotate(t[9], 20);
    b[7] = gpu_rotate(t[10], 3);
    b[17] = gpu_rotate(t[11], 10);
    b[2] = gpu_rotate(t[12], 43);
    b[12] = gpu_rotate(t[13], 25);
    b[22] = gpu_rotate(t[14], 39);
    b[23] = gpu_rotate(t[15], 41);
    b[8] = gpu_rotate(t[16], 45);
    b[18] = gpu_rotate(t[17], 15);
    b[3] = gpu_rotate(t[18], 21);
    b[13] = gpu_rotate(t[19], 8);
    b[14] = gpu_rotate(t[20], 18);
    b[24] = gpu_rotate(t[21], 2);
    b[9] = gpu_rotate(t[22], 61);
    b[19] = gpu_rotate(t[23], 56);
    b[4] = gpu_rotate(t[24], 14);
    RR_GPU_UNROLL
    for (int i = 0; i < 25; i++) {
        int y = i / 5 * 5;
        a[i] = gpu_chi(b[i], b[y + (i + 1) % 5], b[y + (i + 2) % 5]);
    }
    a[0] ^= constant;
}

RR_GPU_FN void gpu_keccak_round(uint64_t a[25], uint64_t constant)
{
    uint64_t column[5], turned[5], t[25];
    RR_GPU_UNROLL
    for (int x = 0; x < 5; x++) {
        column[x] = gpu_xor3(gpu_xor3(a[x], a[x + 5], a[x + 10]), a[x + 15], a[x + 20]);
    }
    RR_GPU_UNROLL
    for (int x = 0; x < 5; x++) {
        turned[x] = gpu_rotate(column[(x + 1) % 5], 1);
    }
    RR_GPU_UNROLL
    for (int i = 0; i < 25; i++) {
        t[i] = gpu_xor3(a[i], column[(i + 4) % 5], turned[i % 5]);
    }
    gpu_rho_pi_chi(a, t, constant);
}

/* The first round: most lanes are known to be zero, which plain operators let the compiler use. */
RR_GPU_FN void gpu_keccak_first(uint64_t a[25])
{
    uint64_t column[5], theta[5], t[25];
    RR_GPU_UNROLL
    for (int x = 0; x < 5; x++) {
        column[x] = a[x] ^ a[x + 5] ^ a[x + 10] ^ a[x + 15] ^ a[x + 20];
    }
    RR_GPU_UNROLL
    for (int x = 0; x < 5; x++) {
        theta[x] = column[(x + 4) % 5] ^ gpu_rotate(column[(x + 1) % 5], 1);
    }
    RR_GPU_UNROLL
    for (int i = 0; i < 25; i++) {
        t[i] = a[i] ^ theta[i % 5];
    }
    gpu_rho_pi_chi(a, t, 1);
}

RR_GPU_FN void gpu_keccak(uint64_t a[25])
{
    gpu_keccak_first(a);
    RR_GPU_UNROLL_2
    for (int round = 1; round < 23; round++) {
        gpu_keccak_round(a, gpu_round_constant[round]);
    }
    gpu_keccak_round(a, 0x8000000080008008ULL); /* apart: unused lanes fall away */
}

RR_GPU_FN void gpu_clear(uint64_t a[25], int from)
{
    RR_GPU_UNROLL
    for (int i = 0; i < 25; i++) {
        if (i >= from) {
            a[i] = 0;
        }
    }
}

/* word[2 i], word[2 i + 1] of a lane. */
RR_GPU_FN void gpu_split(uint32_t *word, const uint64_t *lane, int lanes)
{
    RR_GPU_UNROLL
    for (int i = 0; i < lanes; i++) {
        word[2 * i] = (uint32_t)lane[i];
        word[2 * i + 1] = (uint32_t)(lane[i] >> 32);
    }
}
RR_GPU_FN void gpu_pair(uint64_t *lane, const uint32_t *word, int lanes)
{
    RR_GPU_UNROLL
    for (int i = 0; i < lanes; i++) {
        lane[i] = (uint64_t)word[2 * i + 1] << 32 | word[2 * i];
    }
}

/* keccak512 of header and nonce. */
RR_GPU_FN void gpu_seed(uint32_t seed[16], const uint64_t header[4], uint64_t nonce)
{
    uint64_t a[25];
    gpu_clear(a, 5);
    RR_GPU_UNROLL
    for (int i = 0; i < 4; i++) {
        a[i] = header[i];
    }
    a[4] = nonce;
    a[5] = 1;
    a[8] = 0x8000000000000000ULL;
    gpu_keccak(a);
    gpu_split(seed, a, 8);
}

/* keccak512 of a node. */
RR_GPU_FN void gpu_hash_node(uint32_t node[16])
{
    uint64_t a[25];
    gpu_clear(a, 8);
    gpu_pair(a, node, 8);
    a[8] = 0x8000000000000001ULL;
    gpu_keccak(a);
    gpu_split(node, a, 8);
}

/* keccak256 of seed and mix; callers that use final[0] alone pay for no more. */
RR_GPU_FN void gpu_final(uint64_t final[4], const uint32_t seed[16], const uint32_t mix[8])
{
    uint64_t a[25];
    gpu_clear(a, 12);
    gpu_pair(a, seed, 8);
    gpu_pair(a + 8, mix, 4);
    a[12] = 1;
    a[16] = 0x8000000000000000ULL;
    gpu_keccak(a);
    RR_GPU_UNROLL
    for (int i = 0; i < 4; i++) {
        final[i] = a[i];
    }
}
#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The plain law. Bytes go in and out through shifts, so that neither alignment nor byte order of
 * the machine matters; compilers turn them into single loads. */
#include "keccak/keccak.h"
#include "keccak/keccak_lanes.h"
#include <string.h>

const uint64_t keccak_round_constant[KECCAK_ROUNDS] = {
    0x0000000000000001, 0x0000000000008082, 0x800000000000808a, 0x8000000080008000,
    0x000000000000808b, 0x0000000080000001, 0x8000000080008081, 0x8000000000008009,
    0x000000000000008a, 0x0000000000000088, 0x0000000080008009, 0x000000008000000a,
    0x000000008000808b, 0x800000000000008b, 0x8000000000008089, 0x8000000000008003,
    0x8000000000008002, 0x8000000000000080, 0x000000000000800a, 0x800000008000000a,
    0x8000000080008081, 0x8000000000008080, 0x0000000080000001, 0x8000000080008008,
};

/* Rotation of lane i, and the lane it moves to. [Keccak reference 3.0, 2.3.3 and 2.3.4] */
static const uint8_t rotation[25] = {0,  1,  62, 28, 27, 36, 44, 6,  55, 20, 3,  10, 43,
                                     25, 39, 41, 45, 15, 21, 8,  18, 2,  61, 56, 14};
static const uint8_t moved_to[25] = {0,  10, 20, 5, 15, 16, 1,  11, 21, 6, 7,  17, 2,
                                     12, 22, 23, 8, 18, 3,  13, 14, 24, 9, 19, 4};

static inline uint64_t rotate(uint64_t v, unsigned bits)
{
    return v << bits | v >> (-bits & 63);
}

void rr_keccak_f1600(uint64_t lanes[static 25])
{
    uint64_t a[25];
    memcpy(a, lanes, sizeof(a));
    for (int round = 0; round < KECCAK_ROUNDS; round++) {
        uint64_t column[5];
        uint64_t b[25];
        for (int x = 0; x < 5; x++) {
            column[x] = a[x] ^ a[x + 5] ^ a[x + 10] ^ a[x + 15] ^ a[x + 20];
        }
#pragma GCC unroll 25
        for (int i = 0; i < 25; i++) {
            uint64_t theta = column[(i + 4) % 5] ^ rotate(column[(i + 1) % 5], 1);
            b[moved_to[i]] = rotate(a[i] ^ theta, rotation[i]);
        }
#pragma GCC unroll 25
        for (int i = 0; i < 25; i++) {
            int y = i / 5 * 5;
            a[i] = b[i] ^ (~b[y + (i + 1) % 5] & b[y + (i + 2) % 5]);
        }
        a[0] ^= keccak_round_constant[round];
    }
    memcpy(lanes, a, sizeof(a));
}

static inline uint64_t load(const uint8_t *p)
{
    return (uint64_t)p[0] | (uint64_t)p[1] << 8 | (uint64_t)p[2] << 16 | (uint64_t)p[3] << 24 |
           (uint64_t)p[4] << 32 | (uint64_t)p[5] << 40 | (uint64_t)p[6] << 48 |
           (uint64_t)p[7] << 56;
}

static void absorb(uint64_t lanes[static 25], const uint8_t *block, size_t rate)
{
    for (size_t i = 0; i < rate / 8; i++) {
        lanes[i] ^= load(block + 8 * i);
    }
    rr_keccak_f1600(lanes);
}

/* Pads the last, unfilled block, and gives the first `bytes` of the state. */
static void finish(uint64_t lanes[static 25], uint8_t *out, size_t bytes, const uint8_t *tail,
                   size_t len, size_t rate)
{
    uint8_t block[136] = {0};
    if (len > 0) {
        memcpy(block, tail, len);
    }
    block[len] = 0x01;
    block[rate - 1] |= 0x80;
    absorb(lanes, block, rate);
    for (size_t i = 0; i < bytes; i++) {
        out[i] = (uint8_t)(lanes[i / 8] >> (8 * (i % 8)));
    }
}

static void hash(uint8_t *out, size_t bytes, const void *data, size_t len)
{
    uint64_t lanes[25] = {0};
    size_t rate = 200 - 2 * bytes;
    const uint8_t *p = data;
    for (; len >= rate; len -= rate, p += rate) {
        absorb(lanes, p, rate);
    }
    finish(lanes, out, bytes, p, len, rate);
}

void rr_keccak256(uint8_t out[static 32], const void *data, size_t len)
{
    hash(out, 32, data, len);
}

void rr_keccak512(uint8_t out[static 64], const void *data, size_t len)
{
    hash(out, 64, data, len);
}

void rr_keccak256_init(struct rr_keccak256 *hasher)
{
    memset(hasher, 0, sizeof(*hasher));
}

void rr_keccak256_add(struct rr_keccak256 *hasher, const void *data, size_t len)
{
    const uint8_t *p = data;
    while (len > 0) {
        size_t room = sizeof(hasher->block) - hasher->filled;
        size_t take = len < room ? len : room;
        memcpy(hasher->block + hasher->filled, p, take);
        hasher->filled += take;
        p += take;
        len -= take;
        if (hasher->filled == sizeof(hasher->block)) {
            absorb(hasher->lanes, hasher->block, sizeof(hasher->block));
            hasher->filled = 0;
        }
    }
}

void rr_keccak256_final(struct rr_keccak256 *hasher, uint8_t out[static 32])
{
    finish(hasher->lanes, out, 32, hasher->block, hasher->filled, sizeof(hasher->block));
}

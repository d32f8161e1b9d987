/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The plain law. Bytes go in and out through shifts, so that neither alignment nor byte order of
 * the machine matters; compilers turn them into single loads. */
#include "keccak/keccak.h"
#include "keccak/keccak_lanes.h"
#include <string.h>

/* [Keccak reference 3.0, 1.2] */
const uint64_t keccak_round_constant[KECCAK_ROUNDS] = {
    0x0000000000000001, 0x0000000000008082, 0x800000000000808a, 0x8000000080008000,
    0x000000000000808b, 0x0000000080000001, 0x8000000080008081, 0x8000000000008009,
    0x000000000000008a, 0x0000000000000088, 0x0000000080008009, 0x000000008000000a,
    0x000000008000808b, 0x800000000000008b, 0x8000000000008089, 0x8000000000008003,
    0x8000000000008002, 0x8000000000000080, 0x000000000000800a, 0x800000008000000a,
    0x8000000080008081, 0x8000000000008080, 0x0000000080000001, 0x8000000080008008,
};

static inline uint64_t rotate(uint64_t v, unsigned bits)
{
    return v << bits | v >> (-bits & 63);
}

/* chi of one row. [Keccak reference 3.0, 2.3.1] */
static inline void row(uint64_t out[static 5], uint64_t a, uint64_t b, uint64_t c, uint64_t d,
                       uint64_t e)
{
    out[0] = a ^ (~b & c);
    out[1] = b ^ (~c & d);
    out[2] = c ^ (~d & e);
    out[3] = d ^ (~e & a);
    out[4] = e ^ (~a & b);
}

/* theta, then rho and pi as each row asks for its lanes, chi, iota. [Keccak reference 3.0, 2.3] */
static inline void round_of(uint64_t out[static 25], const uint64_t a[static 25], uint64_t constant)
{
    uint64_t c[5];
    uint64_t d[5];
    for (int x = 0; x < 5; x++) {
        c[x] = a[x] ^ a[x + 5] ^ a[x + 10] ^ a[x + 15] ^ a[x + 20];
    }
    for (int x = 0; x < 5; x++) {
        d[x] = c[(x + 4) % 5] ^ rotate(c[(x + 1) % 5], 1);
    }
    row(out, a[0] ^ d[0], rotate(a[6] ^ d[1], 44), rotate(a[12] ^ d[2], 43),
        rotate(a[18] ^ d[3], 21), rotate(a[24] ^ d[4], 14));
    out[0] ^= constant;
    row(out + 5, rotate(a[3] ^ d[3], 28), rotate(a[9] ^ d[4], 20), rotate(a[10] ^ d[0], 3),
        rotate(a[16] ^ d[1], 45), rotate(a[22] ^ d[2], 61));
    row(out + 10, rotate(a[1] ^ d[1], 1), rotate(a[7] ^ d[2], 6), rotate(a[13] ^ d[3], 25),
        rotate(a[19] ^ d[4], 8), rotate(a[20] ^ d[0], 18));
    row(out + 15, rotate(a[4] ^ d[4], 27), rotate(a[5] ^ d[0], 36), rotate(a[11] ^ d[1], 10),
        rotate(a[17] ^ d[2], 15), rotate(a[23] ^ d[3], 56));
    row(out + 20, rotate(a[2] ^ d[2], 62), rotate(a[8] ^ d[3], 55), rotate(a[14] ^ d[4], 39),
        rotate(a[15] ^ d[0], 41), rotate(a[21] ^ d[1], 2));
}

void rr_keccak_f1600(uint64_t lanes[static 25])
{
    uint64_t a[25];
    uint64_t b[25];
    memcpy(a, lanes, sizeof(a));
    for (int r = 0; r < KECCAK_ROUNDS; r += 2) {
        round_of(b, a, keccak_round_constant[r]);
        round_of(a, b, keccak_round_constant[r + 1]);
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

const struct rr_keccak_kernels keccak_kernels_ref = {
    .name = "ref", .needs = 0, .states = 1, .permute = rr_keccak_f1600};

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/rand.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>

void rr_random(void *out, size_t bytes)
{
    uint8_t *at = out;
    while (bytes > 0) {
        ssize_t got = getrandom(at, bytes, 0);
        if (got < 0) {
            RR_CHECK(errno == EINTR);
            continue;
        }
        at += got;
        bytes -= (size_t)got;
    }
}

static uint64_t rotate_left(uint64_t x, unsigned bits)
{
    return x << bits | x >> (64 - bits);
}

/* splitmix64 spreads the seed, so that close seeds give unrelated streams and the state is never
 * all zeros. */
void rr_prng_seed(struct rr_prng *prng, uint64_t seed)
{
    for (size_t i = 0; i < RR_COUNT(prng->s); i++) {
        seed += UINT64_C(0x9e3779b97f4a7c15);
        uint64_t z = seed;
        z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
        z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
        prng->s[i] = z ^ z >> 31;
    }
}

uint64_t rr_prng_u64(struct rr_prng *prng)
{
    uint64_t *s = prng->s;
    uint64_t result = rotate_left(s[1] * 5, 7) * 9;
    uint64_t t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotate_left(s[3], 45);
    return result;
}

uint64_t rr_prng_below(struct rr_prng *prng, uint64_t bound)
{
    RR_CHECK(bound > 0);
    /* 2^64 mod bound values at the bottom are drawn again: what is left is a whole multiple of
     * bound. */
    uint64_t threshold = (0 - bound) % bound;
    uint64_t x = rr_prng_u64(prng);
    while (x < threshold) {
        x = rr_prng_u64(prng);
    }
    return x % bound;
}

void rr_prng_bytes(struct rr_prng *prng, void *out, size_t bytes)
{
    uint8_t *at = out;
    while (bytes > 0) {
        uint64_t x = rr_prng_u64(prng);
        uint8_t le[8];
        for (size_t i = 0; i < 8; i++) {
            le[i] = (uint8_t)(x >> 8 * i);
        }
        size_t n = bytes < 8 ? bytes : 8;
        memcpy(at, le, n);
        at += n;
        bytes -= n;
    }
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RR_BASE_RAND_H
#define RR_BASE_RAND_H
#include "base/err.h"

/* Fills out with bytes from getrandom(2); aborts when the kernel has none. For keys and ids. Any
 * thread. */
void rr_random(void *out, size_t bytes);

/* Repeatable generator for tests, jitter and simulations (xoshiro256**, public domain algorithm).
 * Not for keys. */
struct rr_prng {
    uint64_t s[4];
};
void rr_prng_seed(struct rr_prng *prng, uint64_t seed);
uint64_t rr_prng_u64(struct rr_prng *prng);
uint64_t rr_prng_below(struct rr_prng *prng,
                       uint64_t bound); /* 0 .. bound-1, unbiased; bound > 0 */
void rr_prng_bytes(struct rr_prng *prng, void *out, size_t bytes);
#endif

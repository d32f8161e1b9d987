/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One harness for every kernel: runs the law and another way to the same result on inputs of random
 * sizes at skewed addresses, compares whole buffers, and watches the bytes around them. */
#ifndef RR_KCHECK_H
#define RR_KCHECK_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Repeatable random numbers of one case; not for keys. */
struct rr_kcheck_random {
    uint64_t state;
};
uint64_t rr_kcheck_u64(struct rr_kcheck_random *random);
/* 0 .. bound - 1, bound > 0; the bias of at most bound / 2^64 does not matter here. */
uint64_t rr_kcheck_below(struct rr_kcheck_random *random, uint64_t bound);
/* 0 .. max with a liking for 0, 1, max and the neighbours of multiples of powers of two. */
size_t rr_kcheck_size(struct rr_kcheck_random *random, size_t max);

/* Two ways to `out` from `in`. Random choices of a run (how to cut the input) come from `random`.
 */
struct rr_kcheck {
    const char *name;
    void (*law)(uint8_t *out, const uint8_t *in, size_t len);
    void (*variant)(uint8_t *out, const uint8_t *in, size_t len, struct rr_kcheck_random *random);
    size_t len_max;                    /* of the input */
    size_t out_bytes;                  /* of the output: fixed, plus ... */
    size_t out_per_chunk, chunk_bytes; /* ... this much for each begun chunk; chunk_bytes 0: none */
};
#define RR_KCHECK_GUARD_BYTES 128
/* Bytes of working room that rr_kcheck_run needs. */
size_t rr_kcheck_room(const struct rr_kcheck *check);
/* Runs `rounds` cases from `seed`, in `room`. False with a sentence (name, seed of the failed case,
 * its length, what differed) in text[200]: the same seed with one round repeats that case. One
 * thread. */
bool rr_kcheck_run(const struct rr_kcheck *check, uint64_t seed, unsigned rounds, uint8_t *room,
                   char text[static 200]);
#endif

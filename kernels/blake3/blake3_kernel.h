/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Private to blake3: what a variant for wide registers brings. Chunks do not depend on each other,
 * and neither do the parents of one level, so each lane of a register takes one. */
#ifndef RR_BLAKE3_KERNEL_H
#define RR_BLAKE3_KERNEL_H
#include <stddef.h>
#include <stdint.h>

/* Flags of a compression. [BLAKE3 2.2, table 3] */
enum {
    BLAKE3_CHUNK_START = 1,
    BLAKE3_CHUNK_END = 2,
    BLAKE3_PARENT = 4,
    BLAKE3_ROOT = 8,
    BLAKE3_KEYED_HASH = 16,
};

struct blake3_kernel {
    size_t lanes; /* most that one call takes */
    /* Chaining values of `count` (1..lanes) whole chunks first, first + 1, ..., none the root. */
    void (*chunks)(uint8_t *out, const uint8_t *data, size_t count, uint64_t first,
                   const uint32_t key[static 8], uint32_t mode);
    /* Parents of `count` (1..lanes) pairs of nodes, 64 B each, none the root. out may be pairs. */
    void (*parents)(uint8_t *out, const uint8_t *pairs, size_t count, const uint32_t key[static 8],
                    uint32_t mode);
};
extern const struct blake3_kernel blake3_avx2;   /* x86-64 only */
extern const struct blake3_kernel blake3_avx512; /* x86-64 only */
/* The widest variant that rr_cpu_features allows; NULL: the law alone. */
const struct blake3_kernel *blake3_kernel(void);
#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Private to ethash: constants of the algorithm and what its variants share. */
#ifndef RR_ETHASH_PARTS_H
#define RR_ETHASH_PARTS_H
#include "cpu/cpu.h"
#include "ethash/ethash.h"
#include <string.h>

/* [Ethash revision 23, "Definitions"] */
#define ETHASH_CACHE_ROUNDS 3
#define ETHASH_PARENTS      256
#define ETHASH_ACCESSES     64
#define ETHASH_FNV_PRIME    0x01000193

/* Keccak's padding in its place: after 64 B of 72, and apart in other blocks. */
#define ETHASH_PAD512_64 UINT64_C(0x8000000000000001)
#define ETHASH_PAD_FIRST UINT64_C(1)
#define ETHASH_PAD_LAST  UINT64_C(0x8000000000000000)

extern const struct rr_ethash_kernels ethash_kernels_ref;
extern const struct rr_ethash_kernels ethash_kernels_avx2;
extern const struct rr_ethash_kernels ethash_kernels_avx512;

/* The 128 B mix of a hash folded to its 32 B: four words become one. */
static inline void ethash_fold(uint8_t out[static 32], const struct rr_ethash_node mix[static 2])
{
    uint32_t folded[8];
    for (int i = 0; i < 8; i++) {
        const uint32_t *four = mix[i / 4].word + 4 * (size_t)(i % 4);
        uint32_t value = four[0];
        for (int w = 1; w < 4; w++) {
            value = value * ETHASH_FNV_PRIME ^ four[w];
        }
        folded[i] = value;
    }
    memcpy(out, folded, sizeof(folded));
}

/* Bytes to and from `words` lanes of one state among `states` side by side. */
static inline void ethash_put(uint64_t *lanes, int states, const void *from, int words)
{
    uint64_t word[25];
    memcpy(word, from, (size_t)words * 8);
    for (int i = 0; i < words; i++) {
        lanes[(ptrdiff_t)i * states] = word[i];
    }
}
static inline void ethash_get(void *to, const uint64_t *lanes, int states, int words)
{
    uint64_t word[25];
    for (int i = 0; i < words; i++) {
        word[i] = lanes[(ptrdiff_t)i * states];
    }
    memcpy(to, word, (size_t)words * 8);
}
#endif

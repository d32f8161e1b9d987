/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Private to blake3: the part that all wide variants share. The including file brings `vec`, a
 * register of LANES words, and on it: add, exor, turn16, turn12, turn8, turn7 (rotations to the
 * right), spread (one word into all lanes), load_blocks (word i of the block at from[lane] + at
 * into lane `lane` of m[i]) and store_values (the first `count` lanes of cv, 32 B each). Counters
 * go up from lane to lane, but `step` is 0 for parents, which have none. */
#include <string.h>

#define BLOCK_BYTES 64
#define CHUNK_BYTES 1024

#define QUARTER(a, b, c, d, x, y)                                                                  \
    do {                                                                                           \
        v[a] = add(add(v[a], v[b]), m[x]);                                                         \
        v[d] = turn16(exor(v[d], v[a]));                                                           \
        v[c] = add(v[c], v[d]);                                                                    \
        v[b] = turn12(exor(v[b], v[c]));                                                           \
        v[a] = add(add(v[a], v[b]), m[y]);                                                         \
        v[d] = turn8(exor(v[d], v[a]));                                                            \
        v[c] = add(v[c], v[d]);                                                                    \
        v[b] = turn7(exor(v[b], v[c]));                                                            \
    } while (0)
/* A round with the order of its message words: a row of the permutation of [BLAKE3 2.2, table 2]
 * applied again and again. Written out, so that every index is known when it is compiled. */
#define ROUND(a, b, c, d, e, f, g, h, i, j, k, l, n, o, p, q)                                      \
    do {                                                                                           \
        QUARTER(0, 4, 8, 12, a, b);                                                                \
        QUARTER(1, 5, 9, 13, c, d);                                                                \
        QUARTER(2, 6, 10, 14, e, f);                                                               \
        QUARTER(3, 7, 11, 15, g, h);                                                               \
        QUARTER(0, 5, 10, 15, i, j);                                                               \
        QUARTER(1, 6, 11, 12, k, l);                                                               \
        QUARTER(2, 7, 8, 13, n, o);                                                                \
        QUARTER(3, 4, 9, 14, p, q);                                                                \
    } while (0)

/* One block of every lane into the lanes' chaining values. */
static inline void compress(vec cv[static 8], const vec m[static 16], vec counter_low,
                            vec counter_high, uint32_t flags)
{
    static const uint32_t iv[4] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a};
    vec v[16] = {cv[0],         cv[1],         cv[2],       cv[3],         cv[4],
                 cv[5],         cv[6],         cv[7],       spread(iv[0]), spread(iv[1]),
                 spread(iv[2]), spread(iv[3]), counter_low, counter_high,  spread(BLOCK_BYTES),
                 spread(flags)};
    ROUND(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    ROUND(2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8);
    ROUND(3, 4, 10, 12, 13, 2, 7, 14, 6, 5, 9, 0, 11, 15, 8, 1);
    ROUND(10, 7, 12, 9, 14, 3, 13, 15, 4, 0, 11, 2, 5, 8, 1, 6);
    ROUND(12, 13, 9, 11, 15, 10, 14, 8, 7, 2, 5, 3, 0, 1, 6, 4);
    ROUND(9, 14, 11, 5, 8, 12, 15, 1, 13, 3, 0, 10, 2, 6, 4, 7);
    ROUND(11, 15, 5, 0, 1, 9, 8, 6, 14, 10, 2, 12, 3, 4, 7, 13);
    for (int i = 0; i < 8; i++) {
        cv[i] = exor(v[i], v[i + 8]);
    }
}

static inline void start_values(vec cv[static 8], const uint32_t key[static 8])
{
    for (int i = 0; i < 8; i++) {
        cv[i] = spread(key[i]);
    }
}

/* Lanes beyond count work on the first lane's bytes again: all addresses stay inside the input. */
static inline void lanes_from(const uint8_t *from[static LANES], const uint8_t *data, size_t count,
                              size_t stride)
{
    for (size_t i = 0; i < LANES; i++) {
        from[i] = data + (i < count ? i * stride : 0);
    }
}

static void wide_chunks(uint8_t *out, const uint8_t *data, size_t count, uint64_t first,
                        const uint32_t key[static 8], uint32_t mode)
{
    const uint8_t *from[LANES];
    uint32_t low[LANES], high[LANES];
    vec cv[8], m[16], counter_low, counter_high;
    lanes_from(from, data, count, CHUNK_BYTES);
    for (size_t i = 0; i < LANES; i++) {
        low[i] = (uint32_t)(first + i);
        high[i] = (uint32_t)((first + i) >> 32);
    }
    memcpy(&counter_low, low, sizeof low);
    memcpy(&counter_high, high, sizeof high);
    start_values(cv, key);
    for (size_t at = 0; at < CHUNK_BYTES; at += BLOCK_BYTES) {
        uint32_t flags = mode | (at == 0 ? BLAKE3_CHUNK_START : 0) |
                         (at == CHUNK_BYTES - BLOCK_BYTES ? BLAKE3_CHUNK_END : 0);
        load_blocks(m, from, at);
        compress(cv, m, counter_low, counter_high, flags);
    }
    store_values(out, cv, count);
}

static void wide_parents(uint8_t *out, const uint8_t *pairs, size_t count,
                         const uint32_t key[static 8], uint32_t mode)
{
    const uint8_t *from[LANES];
    vec cv[8], m[16], zero = spread(0);
    lanes_from(from, pairs, count, BLOCK_BYTES);
    start_values(cv, key);
    load_blocks(m, from, 0);
    compress(cv, m, zero, zero, mode | BLAKE3_PARENT);
    store_values(out, cv, count);
}

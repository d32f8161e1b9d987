/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The dataset on processors with wide vectors: a work-item makes eight nodes, so that as many reads
 * of the cache are under way. Compiled behind ethash_dataset.cl. */
#define LOT 8

DEFINE_KECCAK_F(keccak_f8, ulong8)

/* keccak512 of eight nodes, in place. */
INLINE void keccak512_lot(uint16 *m)
{
    ulong words[8 * LOT];
    ulong8 s[25];
    for (uint n = 0; n < LOT; n++) {
        vstore8(as_ulong8(m[n]), n, words);
    }
    for (uint i = 0; i < 25; i++) {
        s[i] = (ulong8)(0);
    }
    for (uint i = 0; i < 8; i++) {
        s[i] = (ulong8)(words[i], words[8 + i], words[16 + i], words[24 + i], words[32 + i],
                        words[40 + i], words[48 + i], words[56 + i]);
    }
    s[8] = (ulong8)(0x8000000000000001UL);
    keccak_f8(s);
    for (uint i = 0; i < 8; i++) {
        vstore8(s[i], i, words);
    }
    for (uint n = 0; n < LOT; n++) {
        m[n] = as_uint16((ulong8)(words[n], words[8 + n], words[16 + n], words[24 + n],
                                  words[32 + n], words[40 + n], words[48 + n], words[56 + n]));
    }
}

#define LOT_PARENT(j, word)                                                                        \
    {                                                                                              \
        uint8 words = (uint8)(m[0].word, m[1].word, m[2].word, m[3].word, m[4].word, m[5].word,    \
                              m[6].word, m[7].word);                                               \
        words ^= (nodes ^ (uint8)(j)) * FNV_PRIME;                                                 \
        vstore8(modulo8(words, cache_items, cache_magic), 0, row);                                 \
        UNROLL for (uint n = 0; n < LOT; n++)                                                      \
        {                                                                                          \
            m[n] = m[n] * FNV_PRIME ^ cache[row[n]];                                               \
        }                                                                                          \
    }

/* As `dataset`, with eight nodes a work-item. */
__kernel void dataset_lots(__global uint16 *out, uint base, uint first, uint count,
                           __global const uint16 *cache, uint cache_items, uint cache_magic)
{
    uint done = LOT * get_global_id(0);
    if (done >= count) {
        return;
    }
    uint row[LOT];
    uint16 m[LOT];
    uint8 nodes = (uint8)(first + done) + (uint8)(0, 1, 2, 3, 4, 5, 6, 7);
    vstore8(modulo8(nodes, cache_items, cache_magic), 0, row);
    for (uint n = 0; n < LOT; n++) {
        m[n] = cache[row[n]];
        m[n].s0 ^= first + done + n;
    }
    keccak512_lot(m);
    for (uint j = 0; j < PARENTS; j += 16) {
        LOT_PARENT(j, s0)
        LOT_PARENT(j + 1, s1)
        LOT_PARENT(j + 2, s2)
        LOT_PARENT(j + 3, s3)
        LOT_PARENT(j + 4, s4)
        LOT_PARENT(j + 5, s5)
        LOT_PARENT(j + 6, s6)
        LOT_PARENT(j + 7, s7)
        LOT_PARENT(j + 8, s8)
        LOT_PARENT(j + 9, s9)
        LOT_PARENT(j + 10, sa)
        LOT_PARENT(j + 11, sb)
        LOT_PARENT(j + 12, sc)
        LOT_PARENT(j + 13, sd)
        LOT_PARENT(j + 14, se)
        LOT_PARENT(j + 15, sf)
    }
    keccak512_lot(m);
    for (uint n = 0; n < min(count - done, (uint)LOT); n++) {
        out[first + done + n - base] = m[n];
    }
}

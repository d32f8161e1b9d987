/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Search variant for processors with wide vectors: a work-item makes eight hashes, its Keccaks in
 * eight states side by side, its rows eight at a time so that as many reads are under way. */
#define LOT       8
#define LOT_ITEMS (RR_GROUP / LOT)

DEFINE_KECCAK_F(keccak_f8, ulong8)

/* Word `word` of half `h` of all eight hashes picks their rows. */
#define LOT_ACCESS(i, h, word)                                                                     \
    {                                                                                              \
        uint8 words = (uint8)(m[0][h].word, m[1][h].word, m[2][h].word, m[3][h].word,              \
                              m[4][h].word, m[5][h].word, m[6][h].word, m[7][h].word);             \
        words ^= (first ^ (uint8)(i)) * FNV_PRIME;                                                 \
        vstore8(modulo8(words, rows, magic), 0, row);                                              \
        for (uint n = 0; n < LOT; n++) {                                                           \
            __global const uint16 *item = ROW_OF(low, high, low_rows, row[n], 2);                  \
            m[n][0] = m[n][0] * FNV_PRIME ^ item[0];                                               \
            m[n][1] = m[n][1] * FNV_PRIME ^ item[1];                                               \
        }                                                                                          \
    }
#define LOT_HALF(i, h)                                                                             \
    LOT_ACCESS((i) + 0, h, s0)                                                                     \
    LOT_ACCESS((i) + 1, h, s1)                                                                     \
    LOT_ACCESS((i) + 2, h, s2)                                                                     \
    LOT_ACCESS((i) + 3, h, s3)                                                                     \
    LOT_ACCESS((i) + 4, h, s4)                                                                     \
    LOT_ACCESS((i) + 5, h, s5)                                                                     \
    LOT_ACCESS((i) + 6, h, s6)                                                                     \
    LOT_ACCESS((i) + 7, h, s7)                                                                     \
    LOT_ACCESS((i) + 8, h, s8)                                                                     \
    LOT_ACCESS((i) + 9, h, s9)                                                                     \
    LOT_ACCESS((i) + 10, h, sa)                                                                    \
    LOT_ACCESS((i) + 11, h, sb)                                                                    \
    LOT_ACCESS((i) + 12, h, sc)                                                                    \
    LOT_ACCESS((i) + 13, h, sd)                                                                    \
    LOT_ACCESS((i) + 14, h, se)                                                                    \
    LOT_ACCESS((i) + 15, h, sf)

/* First 64 bits of the finals of nonce .. nonce + 7. */
INLINE ulong8 firsts_of(ulong4 header, ulong nonce, __global const uint16 *low,
                        __global const uint16 *high, uint low_rows, uint rows, uint magic)
{
    ulong words[8 * LOT];
    uint row[LOT];
    uint16 m[LOT][2];
    ulong8 s[25];
    for (uint i = 0; i < 25; i++) {
        s[i] = (ulong8)(0);
    }
    s[0] = (ulong8)(header.s0);
    s[1] = (ulong8)(header.s1);
    s[2] = (ulong8)(header.s2);
    s[3] = (ulong8)(header.s3);
    s[4] = (ulong8)(nonce) + (ulong8)(0, 1, 2, 3, 4, 5, 6, 7);
    s[5] = (ulong8)(1);
    s[8] = (ulong8)(0x8000000000000000UL);
    keccak_f8(s);
    for (uint i = 0; i < 8; i++) {
        vstore8(s[i], i, words);
    }
    for (uint n = 0; n < LOT; n++) {
        m[n][0] = as_uint16((ulong8)(words[n], words[8 + n], words[16 + n], words[24 + n],
                                     words[32 + n], words[40 + n], words[48 + n], words[56 + n]));
        m[n][1] = m[n][0];
    }
    uint8 first = as_uint16(s[0]).even; /* the low halves */
    ulong8 seed[8] = {s[0], s[1], s[2], s[3], s[4], s[5], s[6], s[7]};

    for (uint i = 0; i < ACCESSES; i += 32) {
        LOT_HALF(i, 0)
        LOT_HALF(i + 16, 1)
    }
    for (uint n = 0; n < LOT; n++) {
        ulong4 mix = (ulong4)(fold16(m[n][0]), fold16(m[n][1]));
        words[n] = mix.s0;
        words[8 + n] = mix.s1;
        words[16 + n] = mix.s2;
        words[24 + n] = mix.s3;
    }
    for (uint i = 0; i < 25; i++) {
        s[i] = i < 8 ? seed[i] : i < 12 ? vload8(i - 8, words) : (ulong8)(0);
    }
    s[12] = (ulong8)(1);
    s[16] = (ulong8)(0x8000000000000000UL);
    keccak_f8(s);
    return s[0];
}

/* Group g of the launch takes RR_GROUP nonces from map[g].y on of works[map[g].x]. */
__kernel __attribute__((reqd_work_group_size(LOT_ITEMS, 1, 1))) void
search(__global const work_t *works, __global const uint2 *map, __global candidate_t *out,
       uint first_group, uint stamp, __global const uint16 *low, __global const uint16 *high,
       uint low_rows, uint rows, uint magic)
{
    __local candidate_t all[LOT_ITEMS];
    uint group = first_group + get_group_id(0);
    uint offset = map[group].y;
    __global const work_t *work = &works[map[group].x];
    uint me = get_local_id(0) * LOT;
    uint left = work->count - offset;
    candidate_t mine = {0, 0, 0};
    if (me < left) {
        ulong keys[LOT];
        vstore8(firsts_of(vload4(0, work->header), work->nonce + offset + me, low, high, low_rows,
                          rows, magic),
                0, keys);
        for (uint n = 0; n < min(left - me, (uint)LOT); n++) {
            candidate_t tried =
                candidate_of(key_of(keys[n]), offset + me + n, work->kind, work->boundary);
            mine = better_of(mine, tried, work->kind);
        }
    }
    reduce(all, LOT_ITEMS, mine, work->kind, stamp, &out[group]);
}

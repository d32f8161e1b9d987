/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Ethash for OpenCL C 1.2: what all kernels share. One of the files ethash_dataset.cl (dataset and
 * single hashes), ethash_thread.cl, ethash_lanes.cl, ethash_lots.cl (searches) is compiled behind
 * this one.
 *
 * Given by the host: RR_GROUP nonces of a work-group, RR_PAIR hashes in flight in a group of lanes,
 * RR_KEY_MASK bits of a final that are compared (all; tests make ties common).
 * Nothing relies on work-items that run in step: what they share goes through local memory and
 * barriers, and each group writes a place of its own, so that there are no atomics. */

#define INLINE    static inline __attribute__((always_inline)) /* calls would spill registers */
#define FNV_PRIME 0x01000193u
#define ACCESSES  64u

/* Before loops over private arrays: these are to be registers, not memory. */
#define UNROLL _Pragma("unroll")

/* Words of 16, and 64-bit lanes of 8, are the same 64 bytes: devices are little-endian. */
typedef struct {
    ulong header[4];
    ulong nonce;
    ulong boundary; /* top 64 bits of what solves */
    uint count;
    uint kind; /* 1 target, 2 argmin */
    ulong unused;
} work_t;

typedef struct {
    ulong key; /* top 64 bits of the final */
    uint offset;
    uint info; /* bit 0 found, 1 another nonce has the same key, 2-15 hashes made, 16-31 stamp */
} candidate_t;

typedef struct {
    ulong header[4];
    ulong nonce;
    ulong unused[3];
} check_t;

#define TARGET     1u
#define FOUND      1u
#define TIE        2u
#define DONE_ONE   4u
#define DONE_BITS  0xfffcu
#define STAMP_BIT0 16

__constant ulong round_constants[24] = {
    0x0000000000000001UL, 0x0000000000008082UL, 0x800000000000808aUL, 0x8000000080008000UL,
    0x000000000000808bUL, 0x0000000080000001UL, 0x8000000080008081UL, 0x8000000000008009UL,
    0x000000000000008aUL, 0x0000000000000088UL, 0x0000000080008009UL, 0x000000008000000aUL,
    0x000000008000808bUL, 0x800000000000008bUL, 0x8000000000008089UL, 0x8000000000008003UL,
    0x8000000000008002UL, 0x8000000000000080UL, 0x000000000000800aUL, 0x800000008000000aUL,
    0x8000000080008081UL, 0x8000000000008080UL, 0x0000000080000001UL, 0x8000000080008008UL};

/* ---- Keccak -------------------------------------------------------------------------------------
 * Macros over a type, as OpenCL C has no generic functions: ulong, or ulong8 for eight states. All
 * indices are constants, so that the state stays in registers. */
#define THETA_COLUMN(x) (s[x] ^ s[x + 5] ^ s[x + 10] ^ s[x + 15] ^ s[x + 20])
#define THETA_APPLY(x, d)                                                                          \
    s[x] ^= d;                                                                                     \
    s[x + 5] ^= d;                                                                                 \
    s[x + 10] ^= d;                                                                                \
    s[x + 15] ^= d;                                                                                \
    s[x + 20] ^= d;
#define RHO_PI(TYPE, to, by)                                                                       \
    next = s[to];                                                                                  \
    s[to] = rotate(moved, (TYPE)(by));                                                             \
    moved = next;
#define CHI_ROW(TYPE, y)                                                                           \
    {                                                                                              \
        TYPE a0 = s[y], a1 = s[y + 1], a2 = s[y + 2], a3 = s[y + 3], a4 = s[y + 4];                \
        s[y] = a0 ^ (~a1 & a2);                                                                    \
        s[y + 1] = a1 ^ (~a2 & a3);                                                                \
        s[y + 2] = a2 ^ (~a3 & a4);                                                                \
        s[y + 3] = a3 ^ (~a4 & a0);                                                                \
        s[y + 4] = a4 ^ (~a0 & a1);                                                                \
    }
#define DEFINE_KECCAK_F(NAME, TYPE)                                                                \
    INLINE void NAME(TYPE *s)                                                                      \
    {                                                                                              \
        for (uint round = 0; round < 24; round++) {                                                \
            TYPE c0 = THETA_COLUMN(0), c1 = THETA_COLUMN(1), c2 = THETA_COLUMN(2);                 \
            TYPE c3 = THETA_COLUMN(3), c4 = THETA_COLUMN(4);                                       \
            TYPE d0 = c4 ^ rotate(c1, (TYPE)(1)), d1 = c0 ^ rotate(c2, (TYPE)(1));                 \
            TYPE d2 = c1 ^ rotate(c3, (TYPE)(1)), d3 = c2 ^ rotate(c4, (TYPE)(1));                 \
            TYPE d4 = c3 ^ rotate(c0, (TYPE)(1));                                                  \
            THETA_APPLY(0, d0)                                                                     \
            THETA_APPLY(1, d1)                                                                     \
            THETA_APPLY(2, d2)                                                                     \
            THETA_APPLY(3, d3)                                                                     \
            THETA_APPLY(4, d4)                                                                     \
            TYPE next, moved = s[1];                                                               \
            RHO_PI(TYPE, 10, 1)                                                                    \
            RHO_PI(TYPE, 7, 3)                                                                     \
            RHO_PI(TYPE, 11, 6)                                                                    \
            RHO_PI(TYPE, 17, 10)                                                                   \
            RHO_PI(TYPE, 18, 15)                                                                   \
            RHO_PI(TYPE, 3, 21)                                                                    \
            RHO_PI(TYPE, 5, 28)                                                                    \
            RHO_PI(TYPE, 16, 36)                                                                   \
            RHO_PI(TYPE, 8, 45)                                                                    \
            RHO_PI(TYPE, 21, 55)                                                                   \
            RHO_PI(TYPE, 24, 2)                                                                    \
            RHO_PI(TYPE, 4, 14)                                                                    \
            RHO_PI(TYPE, 15, 27)                                                                   \
            RHO_PI(TYPE, 23, 41)                                                                   \
            RHO_PI(TYPE, 19, 56)                                                                   \
            RHO_PI(TYPE, 13, 8)                                                                    \
            RHO_PI(TYPE, 12, 25)                                                                   \
            RHO_PI(TYPE, 2, 43)                                                                    \
            RHO_PI(TYPE, 20, 62)                                                                   \
            RHO_PI(TYPE, 14, 18)                                                                   \
            RHO_PI(TYPE, 22, 39)                                                                   \
            RHO_PI(TYPE, 9, 61)                                                                    \
            RHO_PI(TYPE, 6, 20)                                                                    \
            RHO_PI(TYPE, 1, 44)                                                                    \
            CHI_ROW(TYPE, 0)                                                                       \
            CHI_ROW(TYPE, 5)                                                                       \
            CHI_ROW(TYPE, 10)                                                                      \
            CHI_ROW(TYPE, 15)                                                                      \
            CHI_ROW(TYPE, 20)                                                                      \
            s[0] ^= (TYPE)(round_constants[round]);                                                \
        }                                                                                          \
    }

DEFINE_KECCAK_F(keccak_f, ulong)

/* keccak512 of 64 bytes; padding before FIPS 202, rate 72. */
INLINE ulong8 keccak512_node(ulong8 node)
{
    ulong s[25] = {node.s0, node.s1, node.s2,
                   node.s3, node.s4, node.s5,
                   node.s6, node.s7, 0x8000000000000001UL};
    keccak_f(s);
    return (ulong8)(s[0], s[1], s[2], s[3], s[4], s[5], s[6], s[7]);
}

/* keccak512 of header and nonce, 40 bytes. */
INLINE ulong8 keccak512_seed(ulong4 header, ulong nonce)
{
    ulong s[25] = {header.s0, header.s1, header.s2, header.s3,           nonce,
                   1,         0,         0,         0x8000000000000000UL};
    keccak_f(s);
    return (ulong8)(s[0], s[1], s[2], s[3], s[4], s[5], s[6], s[7]);
}

/* keccak256 of seed and mix, 96 bytes; rate 136. */
INLINE ulong4 keccak256_final(ulong8 seed, ulong4 mix)
{
    ulong s[25] = {seed.s0,
                   seed.s1,
                   seed.s2,
                   seed.s3,
                   seed.s4,
                   seed.s5,
                   seed.s6,
                   seed.s7,
                   mix.s0,
                   mix.s1,
                   mix.s2,
                   mix.s3,
                   1,
                   0,
                   0,
                   0,
                   0x8000000000000000UL};
    keccak_f(s);
    return (ulong4)(s[0], s[1], s[2], s[3]);
}

/* The final counts as a big-endian number: its first eight bytes are the top. */
INLINE ulong key_of(ulong first)
{
    return as_ulong(as_uchar8(first).s76543210) & RR_KEY_MASK;
}

/* ---- Ethash ------------------------------------------------------------------------------------
 */
/* x mod n with magic = floor(2^32 / n), 2^32 - 1 for n = 1: the quotient is at most 1 too small. */
INLINE uint modulo(uint x, uint n, uint magic)
{
    uint rest = x - mul_hi(x, magic) * n;
    return min(rest, rest - n);
}

INLINE uint8 modulo8(uint8 x, uint n, uint magic)
{
    uint8 rest = x - mul_hi(x, (uint8)(magic)) * (uint8)(n);
    return min(rest, rest - (uint8)(n));
}

/* Item `row`, `width` vectors long, of a dataset that may lie in two buffers. */
#define ROW_OF(low, high, low_rows, row, width)                                                    \
    ((row) < (low_rows) ? (low) + (size_t)(row) * (width)                                          \
                        : (high) + (size_t)((row) - (low_rows)) * (width))

INLINE uint fold4(uint a, uint b, uint c, uint d)
{
    return ((a * FNV_PRIME ^ b) * FNV_PRIME ^ c) * FNV_PRIME ^ d;
}

INLINE ulong2 fold16(uint16 m)
{
    return as_ulong2((uint4)(fold4(m.s0, m.s1, m.s2, m.s3), fold4(m.s4, m.s5, m.s6, m.s7),
                             fold4(m.s8, m.s9, m.sa, m.sb), fold4(m.sc, m.sd, m.se, m.sf)));
}

#define ACCESS(i, word)                                                                            \
    {                                                                                              \
        uint row = modulo(((first ^ (i)) * FNV_PRIME) ^ (word), rows, magic);                      \
        __global const uint16 *item = ROW_OF(low, high, low_rows, row, 2);                         \
        m0 = m0 * FNV_PRIME ^ item[0];                                                             \
        m1 = m1 * FNV_PRIME ^ item[1];                                                             \
    }
#define ACCESSES_OF_HALF(i, m)                                                                     \
    ACCESS((i) + 0, m.s0)                                                                          \
    ACCESS((i) + 1, m.s1)                                                                          \
    ACCESS((i) + 2, m.s2)                                                                          \
    ACCESS((i) + 3, m.s3)                                                                          \
    ACCESS((i) + 4, m.s4)                                                                          \
    ACCESS((i) + 5, m.s5)                                                                          \
    ACCESS((i) + 6, m.s6)                                                                          \
    ACCESS((i) + 7, m.s7)                                                                          \
    ACCESS((i) + 8, m.s8)                                                                          \
    ACCESS((i) + 9, m.s9)                                                                          \
    ACCESS((i) + 10, m.sa)                                                                         \
    ACCESS((i) + 11, m.sb)                                                                         \
    ACCESS((i) + 12, m.sc)                                                                         \
    ACCESS((i) + 13, m.sd)                                                                         \
    ACCESS((i) + 14, m.se)                                                                         \
    ACCESS((i) + 15, m.sf)

/* The mix of a seed by one work-item. */
INLINE ulong4 mix_of(ulong8 seed, __global const uint16 *low, __global const uint16 *high,
                     uint low_rows, uint rows, uint magic)
{
    uint16 m0 = as_uint16(seed);
    uint16 m1 = m0;
    uint first = m0.s0;
    for (uint i = 0; i < ACCESSES; i += 32) {
        ACCESSES_OF_HALF(i, m0)
        ACCESSES_OF_HALF(i + 16, m1)
    }
    return (ulong4)(fold16(m0), fold16(m1));
}

/* ---- one candidate of a group ------------------------------------------------------------------
 */
INLINE candidate_t candidate_of(ulong key, uint offset, uint kind, ulong boundary)
{
    candidate_t mine;
    mine.key = key;
    mine.offset = offset;
    mine.info = DONE_ONE | (kind != TARGET || key <= (boundary & RR_KEY_MASK) ? FOUND : 0);
    return mine;
}

/* Target: the lower nonce. Argmin: the smaller key, of equal ones the lower nonce, marked. */
INLINE candidate_t better_of(candidate_t a, candidate_t b, uint kind)
{
    uint done = (a.info & DONE_BITS) + (b.info & DONE_BITS);
    bool both = (a.info & b.info & FOUND) != 0;
    bool equal = kind != TARGET && a.key == b.key;
    bool b_wins = kind == TARGET || equal ? b.offset < a.offset : b.key < a.key;
    candidate_t best = (both ? b_wins : (b.info & FOUND) != 0) ? b : a;
    best.info = (best.info & (FOUND | TIE)) | done | (both && equal ? TIE : 0);
    return best;
}

/* The best of `count` (a power of two) work-items' candidates into *out. All of the group call it.
 */
INLINE void reduce(__local candidate_t *all, uint count, candidate_t mine, uint kind, uint stamp,
                   __global candidate_t *out)
{
    uint me = get_local_id(0);
    all[me] = mine;
    for (uint half_count = count / 2; half_count > 0; half_count /= 2) {
        barrier(CLK_LOCAL_MEM_FENCE);
        if (me < half_count) {
            all[me] = better_of(all[me], all[me + half_count], kind);
        }
    }
    if (me == 0) {
        candidate_t best = all[0];
        best.info |= stamp << STAMP_BIT0;
        *out = best;
    }
}

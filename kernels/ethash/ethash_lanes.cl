/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Search variant for GPUs: each work-item makes both Keccaks of a nonce of its own, and four of
 * them, 32 B of the row each, make the accesses of the hashes of all four, RR_PAIR (1, 2 or 4) at a
 * time. A row is then read by neighbours at once.
 *
 * Rows to read go through local memory in two places used in turn: who writes one again has passed
 * the barrier behind the last reading of it, so one barrier an access is enough. */
#define QUADS (RR_GROUP / 4)

#define LANES_ACCESS(i, word)                                                                      \
    UNROLL for (uint p = 0; p < RR_PAIR; p++)                                                      \
    {                                                                                              \
        if (lane == (i) / 8 % 4) {                                                                 \
            wanted[(i) % 2][p][quad] =                                                             \
                modulo(((first[p] ^ (i)) * FNV_PRIME) ^ m[p].word, rows, magic);                   \
        }                                                                                          \
    }                                                                                              \
    barrier(CLK_LOCAL_MEM_FENCE);                                                                  \
    UNROLL for (uint p = 0; p < RR_PAIR; p++)                                                      \
    {                                                                                              \
        uint row = wanted[(i) % 2][p][quad];                                                       \
        m[p] = m[p] * FNV_PRIME ^ ROW_OF(low8, high8, low_rows, row, 4)[lane];                     \
    }

/* Group g of the launch takes RR_GROUP nonces from map[g].y on of works[map[g].x]. */
__kernel __attribute__((reqd_work_group_size(RR_GROUP, 1, 1))) void
search(__global const work_t *works, __global const uint2 *map, __global candidate_t *out,
       uint first_group, uint stamp, __global const uint16 *low, __global const uint16 *high,
       uint low_rows, uint rows, uint magic)
{
    __local candidate_t all[RR_GROUP];
    __local ulong8 seeds[RR_PAIR][QUADS];
    __local ulong folded[RR_PAIR][QUADS][4];
    __local uint wanted[2][RR_PAIR][QUADS];
    __global const uint8 *low8 = (__global const uint8 *)low;
    __global const uint8 *high8 = (__global const uint8 *)high;
    uint group = first_group + get_group_id(0);
    uint offset = map[group].y;
    __global const work_t *work = &works[map[group].x];
    uint me = get_local_id(0);
    uint lane = me % 4;
    uint quad = me / 4;

    ulong8 seed = keccak512_seed(vload4(0, work->header), work->nonce + offset + me);
    ulong4 mix = (ulong4)(0);
    for (uint turn = 0; turn < 4; turn += RR_PAIR) {
        UNROLL for (uint p = 0; p < RR_PAIR; p++)
        {
            if (lane == turn + p) {
                seeds[p][quad] = seed;
            }
        }
        barrier(CLK_LOCAL_MEM_FENCE);
        uint8 m[RR_PAIR];
        uint first[RR_PAIR];
        UNROLL for (uint p = 0; p < RR_PAIR; p++)
        {
            uint16 start = as_uint16(seeds[p][quad]);
            first[p] = start.s0;
            m[p] = lane % 2 == 0 ? start.lo : start.hi;
        }
        for (uint i = 0; i < ACCESSES; i += 8) {
            LANES_ACCESS(i, s0)
            LANES_ACCESS(i + 1, s1)
            LANES_ACCESS(i + 2, s2)
            LANES_ACCESS(i + 3, s3)
            LANES_ACCESS(i + 4, s4)
            LANES_ACCESS(i + 5, s5)
            LANES_ACCESS(i + 6, s6)
            LANES_ACCESS(i + 7, s7)
        }
        UNROLL for (uint p = 0; p < RR_PAIR; p++)
        {
            folded[p][quad][lane] = as_ulong((uint2)(fold4(m[p].s0, m[p].s1, m[p].s2, m[p].s3),
                                                     fold4(m[p].s4, m[p].s5, m[p].s6, m[p].s7)));
        }
        barrier(CLK_LOCAL_MEM_FENCE);
        UNROLL for (uint p = 0; p < RR_PAIR; p++)
        {
            if (lane == turn + p) {
                mix = (ulong4)(folded[p][quad][0], folded[p][quad][1], folded[p][quad][2],
                               folded[p][quad][3]);
            }
        }
    }
    candidate_t mine = {0, 0, 0};
    if (me < work->count - offset) {
        mine = candidate_of(key_of(keccak256_final(seed, mix).s0), offset + me, work->kind,
                            work->boundary);
    }
    reduce(all, RR_GROUP, mine, work->kind, stamp, &out[group]);
}

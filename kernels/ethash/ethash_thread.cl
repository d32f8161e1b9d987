/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Search variant: a work-item makes a hash alone. Group g of the launch takes RR_GROUP nonces from
 * map[g].y on of works[map[g].x]. Dataset as for `verify`. */
__kernel __attribute__((reqd_work_group_size(RR_GROUP, 1, 1))) void
search(__global const work_t *works, __global const uint2 *map, __global candidate_t *out,
       uint first_group, uint stamp, __global const uint16 *low, __global const uint16 *high,
       uint low_rows, uint rows, uint magic)
{
    __local candidate_t all[RR_GROUP];
    uint group = first_group + get_group_id(0);
    uint offset = map[group].y;
    __global const work_t *work = &works[map[group].x];
    uint me = get_local_id(0);
    candidate_t mine = {0, 0, 0};
    if (me < work->count - offset) {
        ulong8 seed = keccak512_seed(vload4(0, work->header), work->nonce + offset + me);
        ulong4 mix = mix_of(seed, low, high, low_rows, rows, magic);
        mine = candidate_of(key_of(keccak256_final(seed, mix).s0), offset + me, work->kind,
                            work->boundary);
    }
    reduce(all, RR_GROUP, mine, work->kind, stamp, &out[group]);
}

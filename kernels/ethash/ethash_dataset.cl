/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The dataset, and single hashes by it. */
#define PARENTS 256u

#define PARENT(j, word)                                                                            \
    mix = mix * FNV_PRIME ^                                                                        \
          cache[modulo(((node ^ (j)) * FNV_PRIME) ^ (word), cache_items, cache_magic)];

/* Nodes (half items) first .. first + count - 1 of the dataset, a work-item each; out starts with
 * node `base`. */
__kernel void dataset(__global uint16 *out, uint base, uint first, uint count,
                      __global const uint16 *cache, uint cache_items, uint cache_magic)
{
    uint i = get_global_id(0);
    if (i >= count) {
        return;
    }
    uint node = first + i;
    uint16 mix = cache[modulo(node, cache_items, cache_magic)];
    mix.s0 ^= node;
    mix = as_uint16(keccak512_node(as_ulong8(mix)));
    for (uint j = 0; j < PARENTS; j += 16) {
        PARENT(j, mix.s0)
        PARENT(j + 1, mix.s1)
        PARENT(j + 2, mix.s2)
        PARENT(j + 3, mix.s3)
        PARENT(j + 4, mix.s4)
        PARENT(j + 5, mix.s5)
        PARENT(j + 6, mix.s6)
        PARENT(j + 7, mix.s7)
        PARENT(j + 8, mix.s8)
        PARENT(j + 9, mix.s9)
        PARENT(j + 10, mix.sa)
        PARENT(j + 11, mix.sb)
        PARENT(j + 12, mix.sc)
        PARENT(j + 13, mix.sd)
        PARENT(j + 14, mix.se)
        PARENT(j + 15, mix.sf)
    }
    out[node - base] = as_uint16(keccak512_node(as_ulong8(mix)));
}

/* Mix, final and stamp of each check: nine words of 64 bits. */
__kernel void verify(__global const check_t *checks, __global ulong *out, uint count, uint stamp,
                     __global const uint16 *low, __global const uint16 *high, uint low_rows,
                     uint rows, uint magic)
{
    uint i = get_global_id(0);
    if (i < count) {
        ulong8 seed = keccak512_seed(vload4(0, checks[i].header), checks[i].nonce);
        ulong4 mix = mix_of(seed, low, high, low_rows, rows, magic);
        __global ulong *mine = out + 9 * (size_t)i;
        vstore4(mix, 0, mine);
        vstore4(keccak256_final(seed, mix), 1, mine);
        mine[8] = stamp;
    }
}

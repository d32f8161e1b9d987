/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/u256.h"

#include <string.h>

__extension__ typedef unsigned __int128 wide;

enum { LIMBS = 4 };

struct rr_u256 rr_u256_of(uint64_t value)
{
    return (struct rr_u256){{value, 0, 0, 0}};
}

struct rr_u256 rr_u256_max(void)
{
    return (struct rr_u256){{UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX}};
}

struct rr_u256 rr_u256_from_be(const uint8_t bytes[static 32])
{
    struct rr_u256 a;
    for (size_t i = 0; i < LIMBS; i++) {
        uint64_t limb = 0;
        for (size_t j = 0; j < 8; j++) {
            limb = limb << 8 | bytes[8 * (LIMBS - 1 - i) + j];
        }
        a.limb[i] = limb;
    }
    return a;
}

void rr_u256_to_be(uint8_t bytes[static 32], struct rr_u256 a)
{
    for (size_t i = 0; i < 32; i++) {
        bytes[31 - i] = (uint8_t)(a.limb[i / 8] >> 8 * (i % 8));
    }
}

int rr_u256_compare(struct rr_u256 a, struct rr_u256 b)
{
    for (size_t i = LIMBS; i > 0; i--) {
        if (a.limb[i - 1] != b.limb[i - 1]) {
            return a.limb[i - 1] < b.limb[i - 1] ? -1 : 1;
        }
    }
    return 0;
}

bool rr_u256_is_zero(struct rr_u256 a)
{
    return (a.limb[0] | a.limb[1] | a.limb[2] | a.limb[3]) == 0;
}

struct rr_u256 rr_u256_add(struct rr_u256 a, struct rr_u256 b, bool *wrapped)
{
    struct rr_u256 sum;
    wide carry = 0;
    for (size_t i = 0; i < LIMBS; i++) {
        carry += (wide)a.limb[i] + b.limb[i];
        sum.limb[i] = (uint64_t)carry;
        carry >>= 64;
    }
    if (wrapped != NULL) {
        *wrapped = carry != 0;
    }
    return sum;
}

struct rr_u256 rr_u256_sub(struct rr_u256 a, struct rr_u256 b, bool *wrapped)
{
    struct rr_u256 rest;
    uint64_t borrow = 0;
    for (size_t i = 0; i < LIMBS; i++) {
        wide d = (wide)a.limb[i] - b.limb[i] - borrow;
        rest.limb[i] = (uint64_t)d;
        borrow = (uint64_t)(d >> 64) & 1;
    }
    if (wrapped != NULL) {
        *wrapped = borrow != 0;
    }
    return rest;
}

struct rr_u256 rr_u256_mul(struct rr_u256 a, struct rr_u256 b, bool *wrapped)
{
    uint64_t product[2 * LIMBS] = {0};
    for (size_t i = 0; i < LIMBS; i++) {
        uint64_t carry = 0;
        for (size_t j = 0; j < LIMBS; j++) {
            wide t = (wide)a.limb[i] * b.limb[j] + product[i + j] + carry;
            product[i + j] = (uint64_t)t;
            carry = (uint64_t)(t >> 64);
        }
        product[i + LIMBS] = carry;
    }
    if (wrapped != NULL) {
        *wrapped = (product[4] | product[5] | product[6] | product[7]) != 0;
    }
    return (struct rr_u256){{product[0], product[1], product[2], product[3]}};
}

static unsigned bit_length(struct rr_u256 a)
{
    for (unsigned i = LIMBS; i > 0; i--) {
        if (a.limb[i - 1] != 0) {
            return 64 * i - (unsigned)__builtin_clzll(a.limb[i - 1]);
        }
    }
    return 0;
}

static struct rr_u256 divide_by_limb(struct rr_u256 a, uint64_t b, struct rr_u256 *rest)
{
    struct rr_u256 quotient;
    wide r = 0;
    for (size_t i = LIMBS; i > 0; i--) {
        r = r << 64 | a.limb[i - 1];
        quotient.limb[i - 1] = (uint64_t)(r / b);
        r %= b;
    }
    *rest = rr_u256_of((uint64_t)r);
    return quotient;
}

/* Schoolbook in base 2: at most 192 steps, since b has more than one limb. */
static struct rr_u256 divide_by_bits(struct rr_u256 a, struct rr_u256 b, struct rr_u256 *rest)
{
    struct rr_u256 quotient = {0};
    unsigned a_bits = bit_length(a);
    unsigned b_bits = bit_length(b);
    unsigned steps = a_bits < b_bits ? 0 : a_bits - b_bits + 1;
    for (unsigned i = steps; i > 0; i--) {
        struct rr_u256 shifted = rr_u256_shl(b, i - 1);
        if (rr_u256_compare(a, shifted) >= 0) {
            a = rr_u256_sub(a, shifted, NULL);
            quotient.limb[(i - 1) / 64] |= UINT64_C(1) << (i - 1) % 64;
        }
    }
    *rest = a;
    return quotient;
}

struct rr_u256 rr_u256_div(struct rr_u256 a, struct rr_u256 b, struct rr_u256 *rest)
{
    RR_CHECK(!rr_u256_is_zero(b));
    struct rr_u256 r;
    struct rr_u256 quotient = (b.limb[1] | b.limb[2] | b.limb[3]) == 0
                                  ? divide_by_limb(a, b.limb[0], &r)
                                  : divide_by_bits(a, b, &r);
    if (rest != NULL) {
        *rest = r;
    }
    return quotient;
}

struct rr_u256 rr_u256_shl(struct rr_u256 a, unsigned bits)
{
    RR_CHECK(bits < 256);
    struct rr_u256 out = {0};
    unsigned limbs = bits / 64;
    unsigned within = bits % 64;
    for (unsigned i = limbs; i < LIMBS; i++) {
        out.limb[i] = a.limb[i - limbs] << within;
        if (within > 0 && i > limbs) {
            out.limb[i] |= a.limb[i - limbs - 1] >> (64 - within);
        }
    }
    return out;
}

struct rr_u256 rr_u256_shr(struct rr_u256 a, unsigned bits)
{
    RR_CHECK(bits < 256);
    struct rr_u256 out = {0};
    unsigned limbs = bits / 64;
    unsigned within = bits % 64;
    for (unsigned i = 0; i + limbs < LIMBS; i++) {
        out.limb[i] = a.limb[i + limbs] >> within;
        if (within > 0 && i + limbs + 1 < LIMBS) {
            out.limb[i] |= a.limb[i + limbs + 1] << (64 - within);
        }
    }
    return out;
}

uint64_t rr_u256_saturate_u64(struct rr_u256 a)
{
    return (a.limb[1] | a.limb[2] | a.limb[3]) != 0 ? UINT64_MAX : a.limb[0];
}

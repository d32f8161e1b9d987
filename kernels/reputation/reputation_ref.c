/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The plain law of spec 50, 3. Every step truncates where the rule says so; nothing here may be
 * reordered or "simplified": the bits are consensus. */
#include "reputation/reputation.h"
#include <stdbool.h>

__extension__ typedef unsigned __int128 uint128; /* not in ISO C, in every compiler of ours */

#define LOG2E_Q62 UINT64_C(6653256548922161246) /* round(2^62 log2(e)) */

/* C_i = round(2^(63 - 2^-i)), i = 1..32. tests/tools/reputation_vectors.py makes and checks them.
 */
static const uint64_t power[32] = {
    0x5a827999fcef3242, 0x6ba27e656b4eb57a, 0x75606373ee921c97, 0x7a92be8a92436616,
    0x7d41d96db915019d, 0x7e9f06067a4360ba, 0x7f4f08ae3dc7c426, 0x7fa765aca88f6453,
    0x7fd3ab290e46d769, 0x7fe9d3a8e07bf086, 0x7ff4e9597bed93ab, 0x7ffa748dff8dc61f,
    0x7ffd3a3f50020332, 0x7ffe9d1dbc0a75aa, 0x7fff4e8e6306ed59, 0x7fffa74712c3cdfd,
    0x7fffd3a381b1fa29, 0x7fffe9d1beed018a, 0x7ffff4e8defb81d7, 0x7ffffa746f5f012f,
    0x7ffffd3a37a7d0a8, 0x7ffffe9d1bd1fc58, 0x7fffff4e8de8832d, 0x7fffffa746f422d7,
    0x7fffffd3a37a09bb, 0x7fffffe9d1bd02f2, 0x7ffffff4e8de80fe, 0x7ffffffa746f4060,
    0x7ffffffd3a37a028, 0x7ffffffe9d1bd012, 0x7fffffff4e8de809, 0x7fffffffa746f404,
};

uint32_t rr_reputation_q32(uint64_t y_q32)
{
    /* 128 bits also for z: y near 2^64 gives z above 2^64. */
    uint128 z = (uint128)y_q32 * LOG2E_Q62 >> 62;
    uint128 k = z >> 32;
    if (k >= 63) {
        return UINT32_MAX;
    }
    uint32_t f = (uint32_t)z;
    uint64_t a = UINT64_C(1) << 63;
    for (int i = 1; i <= 32; i++) {
        if ((f >> (32 - i) & 1) != 0) {
            a = (uint64_t)((uint128)a * power[i - 1] >> 63);
        }
    }
    a >>= (unsigned)k;
    uint128 one = (uint128)1 << 63;
    uint128 r = ((one - a) << 32) / (one + a);
    return r > UINT32_MAX ? UINT32_MAX : (uint32_t)r;
}

/* ---- 256 bits, lowest limb first ---------------------------------------------------------------
 */
struct wide {
    uint64_t limb[4];
};

static int compare(const struct wide *a, const struct wide *b)
{
    for (int i = 3; i >= 0; i--) {
        if (a->limb[i] != b->limb[i]) {
            return a->limb[i] < b->limb[i] ? -1 : 1;
        }
    }
    return 0;
}

/* a times b in place; false when bits beyond 256 were lost. */
static bool multiply(struct wide *a, uint64_t b)
{
    uint64_t carry = 0;
    for (int i = 0; i < 4; i++) {
        uint128 v = (uint128)a->limb[i] * b + carry;
        a->limb[i] = (uint64_t)v;
        carry = (uint64_t)(v >> 64);
    }
    return carry == 0;
}

static void subtract(struct wide *a, const struct wide *b)
{
    uint64_t borrow = 0;
    for (int i = 0; i < 4; i++) {
        uint128 v = (uint128)a->limb[i] - b->limb[i] - borrow;
        a->limb[i] = (uint64_t)v;
        borrow = (uint64_t)(v >> 64) & 1;
    }
}

/* floor(a / b), saturated; b > 0. Long division bit by bit: slow, plain, and called once a block.
 */
static uint64_t divide(const struct wide *a, const struct wide *b)
{
    struct wide rest = {{0}};
    struct wide quotient = {{0}};
    for (int bit = 255; bit >= 0; bit--) {
        bool over = rest.limb[3] >> 63 != 0;
        for (int i = 3; i >= 0; i--) {
            uint64_t in = i > 0 ? rest.limb[i - 1] >> 63 : a->limb[bit / 64] >> (bit % 64) & 1;
            rest.limb[i] = rest.limb[i] << 1 | in;
        }
        if (over || compare(&rest, b) >= 0) {
            subtract(&rest, b);
            quotient.limb[bit / 64] |= UINT64_C(1) << (bit % 64);
        }
    }
    bool large = (quotient.limb[1] | quotient.limb[2] | quotient.limb[3]) != 0;
    return large ? UINT64_MAX : quotient.limb[0];
}

static bool is_zero(const struct wide *a)
{
    return (a->limb[0] | a->limb[1] | a->limb[2] | a->limb[3]) == 0;
}

uint64_t rr_reputation_work(const uint8_t final_be[static 32])
{
    struct wide h = {{0}};
    for (int i = 0; i < 32; i++) {
        h.limb[3 - i / 8] = h.limb[3 - i / 8] << 8 | final_be[i];
    }
    if (is_zero(&h)) {
        return UINT64_MAX;
    }
    struct wide all = {{UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX}};
    return divide(&all, &h);
}

uint64_t rr_reputation_time_ms(const uint8_t final_be[static 32], uint32_t hashes_per_s,
                               uint32_t puzzle_blocks, uint32_t block_ms)
{
    if (hashes_per_s == 0) {
        return 0;
    }
    uint64_t q = rr_reputation_work(final_be);
    uint64_t cap_ms = (uint64_t)puzzle_blocks * block_ms;
    /* q < s d T_b / 4 with T_b = block_ms / 1000, without the fractions. */
    if ((uint128)q * 4000 < (uint128)cap_ms * hashes_per_s) {
        return 0;
    }
    uint128 ms = (uint128)q * 1000 / hashes_per_s;
    return ms < cap_ms ? (uint64_t)ms : cap_ms;
}

uint64_t rr_reputation_y_q32(const struct rr_reputation_terms *terms)
{
    /* At most 32 + 32 + 32 + 64 + 32 = 192 bits. */
    struct wide above = {{UINT64_C(1) << 32, 0, 0, 0}};
    (void)multiply(&above, terms->c_num);
    (void)multiply(&above, terms->hashes_per_s);
    (void)multiply(&above, terms->block_ms);
    (void)multiply(&above, terms->total_ms);

    struct wide below = {
        {terms->difficulty[0], terms->difficulty[1], terms->difficulty[2], terms->difficulty[3]}};
    if (terms->c_den == 0 || terms->window_ms == 0 || is_zero(&below)) {
        return 0;
    }
    if (!multiply(&below, terms->c_den) || !multiply(&below, 1000) ||
        !multiply(&below, terms->window_ms)) {
        return 0; /* a divisor of more than 256 bits is above any numerator */
    }
    return divide(&above, &below);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RR_BASE_U256_H
#define RR_BASE_U256_H
#include "base/bytes.h"

/* 256-bit unsigned integers for consensus arithmetic, exact, no floating point. limb[0] is the
 * lowest. */
struct rr_u256 {
    uint64_t limb[4];
};
struct rr_u256 rr_u256_of(uint64_t value);
struct rr_u256 rr_u256_max(void);
struct rr_u256 rr_u256_from_be(const uint8_t bytes[static 32]);
void rr_u256_to_be(uint8_t bytes[static 32], struct rr_u256 a);
int rr_u256_compare(struct rr_u256 a, struct rr_u256 b);
bool rr_u256_is_zero(struct rr_u256 a);
/* *carry_out true when the result wrapped; may be NULL. */
struct rr_u256 rr_u256_add(struct rr_u256 a, struct rr_u256 b, bool *wrapped);
struct rr_u256 rr_u256_sub(struct rr_u256 a, struct rr_u256 b, bool *wrapped);
/* Low 256 bits; *wrapped true when higher bits were lost. */
struct rr_u256 rr_u256_mul(struct rr_u256 a, struct rr_u256 b, bool *wrapped);
/* floor(a / b); b == 0 is a bug. *rest may be NULL. */
struct rr_u256 rr_u256_div(struct rr_u256 a, struct rr_u256 b, struct rr_u256 *rest);
struct rr_u256 rr_u256_shl(struct rr_u256 a, unsigned bits); /* bits < 256 */
struct rr_u256 rr_u256_shr(struct rr_u256 a, unsigned bits);
uint64_t rr_u256_saturate_u64(struct rr_u256 a);
#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RR_BASE_COIN_H
#define RR_BASE_COIN_H
#include "base/err.h"

/* An amount in 1e-8 units (spec 50, 1). Raw `.units` outside base and wire is a lint error; use
 * these. */
struct rr_coin {
    uint64_t units;
};
#define RR_COIN_UNITS_PER_COIN UINT64_C(100000000)
#define RR_COIN_MAX_UNITS      UINT64_C(1000000000000000000) /* 1e18, the cap of any amount */

/* Each returns false, out untouched, when the result would pass the cap or go below zero. Any
 * thread. */
bool rr_coin_of_units(struct rr_coin *out, uint64_t units) RR_MUST_USE;
bool rr_coin_add(struct rr_coin *out, struct rr_coin a, struct rr_coin b) RR_MUST_USE;
bool rr_coin_sub(struct rr_coin *out, struct rr_coin a, struct rr_coin b) RR_MUST_USE;
bool rr_coin_mul(struct rr_coin *out, struct rr_coin a, uint64_t times) RR_MUST_USE;
/* floor(a * num / den), den > 0. */
bool rr_coin_scale(struct rr_coin *out, struct rr_coin a, uint64_t num, uint64_t den) RR_MUST_USE;
int rr_coin_compare(struct rr_coin a, struct rr_coin b); /* <0, 0, >0 */
bool rr_coin_is_zero(struct rr_coin a);
uint64_t rr_coin_units(struct rr_coin a);
#define RR_COIN_ZERO       ((struct rr_coin){0})
#define RR_COIN_TEXT_BYTES 24
/* "12.00000001" without trailing zeros, NUL-terminated. */
void rr_coin_text(char text[static RR_COIN_TEXT_BYTES], struct rr_coin a);
/* Decimal with at most 8 digits after the point; no sign, no exponent. */
bool rr_coin_parse(struct rr_coin *out, const char *text) RR_MUST_USE;
#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/coin.h"

#include <inttypes.h>
#include <stdio.h>

__extension__ typedef unsigned __int128 wide;

bool rr_coin_of_units(struct rr_coin *out, uint64_t units)
{
    if (units > RR_COIN_MAX_UNITS) {
        return false;
    }
    out->units = units;
    return true;
}

bool rr_coin_add(struct rr_coin *out, struct rr_coin a, struct rr_coin b)
{
    uint64_t sum;
    return !__builtin_add_overflow(a.units, b.units, &sum) && rr_coin_of_units(out, sum);
}

bool rr_coin_sub(struct rr_coin *out, struct rr_coin a, struct rr_coin b)
{
    return b.units <= a.units && rr_coin_of_units(out, a.units - b.units);
}

bool rr_coin_mul(struct rr_coin *out, struct rr_coin a, uint64_t times)
{
    uint64_t product;
    return !__builtin_mul_overflow(a.units, times, &product) && rr_coin_of_units(out, product);
}

bool rr_coin_scale(struct rr_coin *out, struct rr_coin a, uint64_t num, uint64_t den)
{
    RR_CHECK(den > 0);
    wide scaled = (wide)a.units * num / den;
    return scaled <= RR_COIN_MAX_UNITS && rr_coin_of_units(out, (uint64_t)scaled);
}

int rr_coin_compare(struct rr_coin a, struct rr_coin b)
{
    return (a.units > b.units) - (a.units < b.units);
}

bool rr_coin_is_zero(struct rr_coin a)
{
    return a.units == 0;
}

uint64_t rr_coin_units(struct rr_coin a)
{
    return a.units;
}

void rr_coin_text(char text[static RR_COIN_TEXT_BYTES], struct rr_coin a)
{
    uint64_t fraction = a.units % RR_COIN_UNITS_PER_COIN;
    int len = snprintf(text, RR_COIN_TEXT_BYTES, "%" PRIu64 ".%08" PRIu64,
                       a.units / RR_COIN_UNITS_PER_COIN, fraction);
    while (text[len - 1] == '0') {
        len--;
    }
    if (text[len - 1] == '.') {
        len--;
    }
    text[len] = '\0';
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

bool rr_coin_parse(struct rr_coin *out, const char *text)
{
    const char *p = text;
    uint64_t units = 0;
    if (!is_digit(*p)) {
        return false;
    }
    for (; is_digit(*p); p++) {
        units = units * 10 + (uint64_t)(*p - '0');
        if (units > RR_COIN_MAX_UNITS / RR_COIN_UNITS_PER_COIN) {
            return false;
        }
    }
    units *= RR_COIN_UNITS_PER_COIN;
    if (*p == '.') {
        p++;
        uint64_t place = RR_COIN_UNITS_PER_COIN;
        if (!is_digit(*p)) {
            return false;
        }
        for (; is_digit(*p); p++) {
            place /= 10; /* 0 at the ninth digit */
            if (place == 0) {
                return false;
            }
            units += place * (uint64_t)(*p - '0');
        }
    }
    return *p == '\0' && rr_coin_of_units(out, units);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RR_BASE_CLOCK_H
#define RR_BASE_CLOCK_H
#include "base/err.h"

/* Injectable time: cores take one of these, tests pass their own. */
struct rr_clock {
    uint64_t (*wall_ms)(void *ctx);      /* since 1970, UTC */
    uint64_t (*monotonic_us)(void *ctx); /* never goes back */
    void *ctx;
};
/* The machine's clock; static, any thread. */
const struct rr_clock *rr_clock_system(void);
uint64_t rr_wall_ms(const struct rr_clock *clock);
uint64_t rr_monotonic_us(const struct rr_clock *clock);
#endif

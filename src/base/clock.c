/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/clock.h"

#include <time.h>

static struct timespec now_of(clockid_t id)
{
    struct timespec now;
    RR_CHECK(clock_gettime(id, &now) == 0);
    return now;
}

static uint64_t system_wall_ms(void *ctx)
{
    (void)ctx;
    struct timespec now = now_of(CLOCK_REALTIME);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static uint64_t system_monotonic_us(void *ctx)
{
    (void)ctx;
    struct timespec now = now_of(CLOCK_MONOTONIC);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

const struct rr_clock *rr_clock_system(void)
{
    static const struct rr_clock clock = {system_wall_ms, system_monotonic_us, NULL};
    return &clock;
}

uint64_t rr_wall_ms(const struct rr_clock *clock)
{
    return clock->wall_ms(clock->ctx);
}

uint64_t rr_monotonic_us(const struct rr_clock *clock)
{
    return clock->monotonic_us(clock->ctx);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hash/hash_guard.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define SECOND_US  UINT64_C(1000000)
#define STEP_MAX   (5 * SECOND_US)
#define RATE_EVERY (60 * SECOND_US) /* a sample of the median, faster until there are RATES_MIN */
#define RATES_MIN  9                /* no judgement before */

struct rr_hash_guard_options rr_hash_guard_defaults(void)
{
    return (struct rr_hash_guard_options){.temperature_max_mc = 85000,
                                          .hysteresis_mc = 10000,
                                          .hang_us = 15 * SECOND_US,
                                          .stuck_us = 60 * SECOND_US,
                                          .errors_max = 10,
                                          .errors_us = 60 * SECOND_US,
                                          .rate_percent = 50,
                                          .rate_us = 60 * SECOND_US,
                                          .restarts_max = 3,
                                          .restarts_us = 3600 * SECOND_US};
}

void rr_hash_guard_init(struct rr_hash_guard *guard, const struct rr_hash_guard_options *options)
{
    RR_CHECK(options->restarts_max <= RR_HASH_GUARD_RESTARTS_MAX && options->hysteresis_mc >= 0);
    memset(guard, 0, sizeof(*guard));
    guard->options = *options;
    guard->temperature_known = true; /* so that the first unknown one is said */
}

/* What was learnt of a device that is opened again no longer holds. */
static void forget(struct rr_hash_guard *guard)
{
    guard->rate_count = guard->rate_next = 0;
    guard->rate_low_us = 0;
    guard->error_level_us = 0;
    guard->lost_us = 0;
    guard->quanta_us = 0;
}

void rr_hash_guard_clear(struct rr_hash_guard *guard)
{
    forget(guard);
    guard->restart_count = 0;
    guard->want = RR_HASH_GUARD_RUN;
    guard->why[0] = '\0';
}

/* ---- what is wrong ------------------------------------------------------------------------------
 */
/* True when the device is too hot now, or was and has not cooled down. Unknown keeps what was. */
static bool hot(struct rr_hash_guard *guard, const struct rr_hash_guard_input *in,
                char why[static 160])
{
    const struct rr_hash_guard_options *o = &guard->options;
    if (o->temperature_max_mc == 0) {
        return false;
    }
    bool was = guard->hot;
    if (!in->temperature_known) {
        if (was) {
            (void)snprintf(why, 160, "it was too hot, and its temperature is unknown since");
        }
        return was;
    }
    bool now = in->temperature_mc >
               (was ? o->temperature_max_mc - o->hysteresis_mc : o->temperature_max_mc);
    if (now) {
        (void)snprintf(why, 160, "%.1f C; it goes on at %.1f C, the limit is %.1f C",
                       in->temperature_mc / 1e3, (o->temperature_max_mc - o->hysteresis_mc) / 1e3,
                       o->temperature_max_mc / 1e3);
    }
    guard->hot = now;
    return now;
}

static bool hangs(struct rr_hash_guard *guard, const struct rr_hash_guard_input *in,
                  uint64_t passed, char why[static 160])
{
    const struct rr_hash_guard_options *o = &guard->options;
    bool idle = !in->running || in->in_flight == 0 || in->quanta != guard->quanta;
    guard->quanta = in->quanta;
    guard->quanta_us = idle ? 0 : guard->quanta_us + passed;
    guard->lost_us = in->lost ? guard->lost_us + passed : 0;
    if (o->hang_us != 0 && guard->quanta_us >= o->hang_us) {
        (void)snprintf(why, 160, "no quantum has ended for %" PRIu64 " s",
                       guard->quanta_us / SECOND_US);
        return true;
    }
    if (o->stuck_us != 0 && guard->lost_us >= o->stuck_us) {
        (void)snprintf(why, 160, "lost for %" PRIu64 " s", guard->lost_us / SECOND_US);
        return true;
    }
    return false;
}

/* A bucket that leaks errors_max errors in errors_us. */
static bool errs(struct rr_hash_guard *guard, const struct rr_hash_guard_input *in, uint64_t passed,
                 char why[static 160])
{
    const struct rr_hash_guard_options *o = &guard->options;
    uint64_t more = guard->stepped && in->errors > guard->errors ? in->errors - guard->errors : 0;
    guard->errors = in->errors;
    if (o->errors_us == 0) {
        return false;
    }
    uint64_t each = o->errors_us / (o->errors_max + UINT64_C(1));
    each = each > 0 ? each : 1;
    guard->error_level_us = guard->error_level_us > passed ? guard->error_level_us - passed : 0;
    bool many = more > o->errors_max;
    guard->error_level_us += (many ? o->errors_max + UINT64_C(1) : more) * each;
    if (many || guard->error_level_us > o->errors_max * each) {
        (void)snprintf(why, 160, "more than %" PRIu32 " errors in %" PRIu64 " s", o->errors_max,
                       o->errors_us / SECOND_US);
        return true;
    }
    return false;
}

static uint64_t median(const struct rr_hash_guard *guard)
{
    uint64_t sorted[RR_HASH_GUARD_RATES];
    for (uint32_t i = 0; i < guard->rate_count; i++) {
        uint32_t at = i;
        for (; at > 0 && sorted[at - 1] > guard->rates[i]; at--) {
            sorted[at] = sorted[at - 1];
        }
        sorted[at] = guard->rates[i];
    }
    return sorted[guard->rate_count / 2];
}

/* Low rates are kept out of the median: a slow decay must not become the measure of itself. */
static bool slow(struct rr_hash_guard *guard, const struct rr_hash_guard_input *in, uint64_t now,
                 uint64_t passed, char why[static 160])
{
    const struct rr_hash_guard_options *o = &guard->options;
    if (o->rate_us == 0 || !in->running || !in->rate_known) {
        return false; /* nothing was measured: neither better nor worse */
    }
    bool judged = guard->rate_count >= RATES_MIN;
    uint64_t middle = judged ? median(guard) : 0;
    if (judged && in->rate < middle / 100 * o->rate_percent) {
        guard->rate_low_us += passed;
        (void)snprintf(why, 160, "%" PRIu64 " H/s for %" PRIu64 " s; its median is %" PRIu64,
                       in->rate, guard->rate_low_us / SECOND_US, middle);
        return guard->rate_low_us >= o->rate_us;
    }
    guard->rate_low_us = 0;
    if (!judged || now - guard->rate_taken_us >= RATE_EVERY) {
        guard->rates[guard->rate_next] = in->rate;
        guard->rate_next = (guard->rate_next + 1) % RR_HASH_GUARD_RATES;
        guard->rate_count += guard->rate_count < RR_HASH_GUARD_RATES ? 1 : 0;
        guard->rate_taken_us = now;
    }
    return false;
}

/* ---- what is to be done -------------------------------------------------------------------------
 */
/* Counts a restart; false when the ceiling is reached. */
static bool may_restart(struct rr_hash_guard *guard, uint64_t now)
{
    const struct rr_hash_guard_options *o = &guard->options;
    uint32_t kept = 0;
    for (uint32_t i = 0; i < guard->restart_count; i++) {
        if (now - guard->restarts[i] < o->restarts_us) {
            guard->restarts[kept++] = guard->restarts[i];
        }
    }
    guard->restart_count = kept;
    if (kept >= o->restarts_max) {
        return false;
    }
    guard->restarts[guard->restart_count++] = now;
    return true;
}

static void say_temperature(struct rr_hash_guard *guard, const struct rr_hash_guard_input *in,
                            struct rr_hash_guard_answer *out)
{
    if (in->temperature_known != guard->temperature_known && guard->options.temperature_max_mc) {
        (void)snprintf(out->said, sizeof(out->said), "%s",
                       in->temperature_known ? "its temperature is known again"
                       : guard->hot
                           ? "its temperature is unknown since it got hot; it stays paused until "
                             "it is known"
                           : "its temperature is unknown; it runs without that guard");
    }
    guard->temperature_known = in->temperature_known;
}

struct rr_hash_guard_answer rr_hash_guard_step(struct rr_hash_guard *guard,
                                               const struct rr_hash_guard_input *in, uint64_t now)
{
    struct rr_hash_guard_answer out = {0};
    char why[160] = "", trouble[160] = "";
    enum rr_hash_guard_want before = guard->want;
    uint64_t passed = guard->stepped && now > guard->now_us ? now - guard->now_us : 0;
    passed = passed < STEP_MAX ? passed : STEP_MAX;

    say_temperature(guard, in, &out);
    bool failed = hangs(guard, in, passed, trouble) || errs(guard, in, passed, trouble) ||
                  slow(guard, in, now, passed, trouble);
    /* The engine restarts what it lost by itself: that counts against the same ceiling. */
    bool lost = in->lost && !guard->was_lost;
    guard->was_lost = in->lost;
    guard->now_us = now;
    guard->stepped = true;

    bool too_hot = hot(guard, in, why);
    enum rr_hash_guard_want want = RR_HASH_GUARD_RUN;
    if (before == RR_HASH_GUARD_OFF) {
        want = RR_HASH_GUARD_OFF;
        memcpy(why, guard->why, sizeof(why));
    } else if (in->wrong) {
        want = RR_HASH_GUARD_OFF;
        (void)snprintf(why, sizeof(why), "it disagreed with the law");
    } else if (failed || lost) {
        bool may = may_restart(guard, now);
        want = !may      ? RR_HASH_GUARD_OFF
               : failed  ? RR_HASH_GUARD_RESTART
               : too_hot ? RR_HASH_GUARD_PAUSE
                         : RR_HASH_GUARD_RUN;
        if (want == RR_HASH_GUARD_RESTART) {
            memcpy(why, trouble, sizeof(why));
        } else if (want == RR_HASH_GUARD_OFF) {
            (void)snprintf(why, sizeof(why),
                           "%.90s; %" PRIu32 " restarts in %" PRIu64 " s are spent",
                           failed ? trouble : "lost", guard->options.restarts_max,
                           guard->options.restarts_us / SECOND_US);
        }
        forget(guard);
    } else if (too_hot) {
        want = RR_HASH_GUARD_PAUSE;
    }
    memcpy(guard->why, why, sizeof(why));
    guard->want =
        want == RR_HASH_GUARD_RESTART ? RR_HASH_GUARD_RUN : want; /* a restart is a moment */
    out.want = want;
    out.changed = want != before || want == RR_HASH_GUARD_RESTART;
    memcpy(out.why, why, sizeof(out.why));
    return out;
}

bool rr_hash_guard_all_off(const struct rr_hash_guard *const *guards, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (guards[i]->want != RR_HASH_GUARD_OFF) {
            return false;
        }
    }
    return count > 0;
}

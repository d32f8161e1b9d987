/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Part of the door of hash: the ladder that keeps a device safe and the rig searching (spec 10, 2).
 * A pure core: no clock, no thread, no device; who owns one feeds it about once a second and does
 * what it wants. hash.h includes it. */
#ifndef RR_HASH_GUARD_H
#define RR_HASH_GUARD_H
#include "base/base.h"

struct rr_hash_guard_options {
    int32_t temperature_max_mc; /* above: pause; 0: never */
    int32_t hysteresis_mc;      /* goes on at temperature_max - hysteresis and below, >= 0 */
    uint64_t hang_us;           /* works in flight and no quantum ends for this long; 0: never */
    uint64_t stuck_us;          /* lost for this long and not back by itself; 0: never */
    uint32_t errors_max;        /* more than this ... */
    uint64_t errors_us;         /* ... in about this time: restart; 0: never */
    uint32_t rate_percent;      /* below this part of its own median ... */
    uint64_t rate_us;           /* ... for this long: restart; 0: never */
    uint32_t restarts_max;      /* in restarts_us, then off. 0..RR_HASH_GUARD_RESTARTS_MAX */
    uint64_t restarts_us;
};
#define RR_HASH_GUARD_RESTARTS_MAX 16
#define RR_HASH_GUARD_RATES        61 /* of the median: ours, an hour at one a minute, odd */
/* 85 degrees with 10 of hysteresis, hang 15 s (the engine's own watchdog has 10), stuck 60 s, 10
 * errors a minute, half of the median for 60 s, 3 restarts an hour. */
struct rr_hash_guard_options rr_hash_guard_defaults(void);

/* What is seen of a device at a moment. */
struct rr_hash_guard_input {
    bool temperature_known;
    int32_t temperature_mc;
    bool running;    /* takes work, or would if it were not paused */
    bool lost;       /* failed or hung, by the engine's own knowledge */
    bool wrong;      /* disagreed with the law: the engine has it off */
    bool rate_known; /* it was busy enough to be measured since the last step */
    uint64_t rate;   /* hashes per second of its busy time */
    uint64_t quanta; /* rising; falls back only by a restart */
    uint64_t errors; /* as above: errors and failed checks */
    uint32_t in_flight;
};

enum rr_hash_guard_want {
    RR_HASH_GUARD_RUN = 0,
    RR_HASH_GUARD_PAUSE,   /* too hot: pause this device, nothing else */
    RR_HASH_GUARD_RESTART, /* once: close, open, prepare, prove */
    RR_HASH_GUARD_OFF      /* until the operator or the next start says otherwise */
};
struct rr_hash_guard_answer {
    enum rr_hash_guard_want want;
    bool changed;   /* want differs from the last step's, or it is a restart */
    char why[160];  /* of want; empty for RR_HASH_GUARD_RUN */
    char said[160]; /* something to tell once: "its temperature is unknown"; empty: nothing */
};

/* State of one device; caller's memory, rr_hash_guard_init first. Fields are private. */
struct rr_hash_guard {
    struct rr_hash_guard_options options;
    enum rr_hash_guard_want want;
    char why[160];
    bool stepped, temperature_known, was_lost, hot;
    uint64_t now_us;
    uint64_t quanta, quanta_us; /* last seen, and since when */
    uint64_t lost_us;           /* how long it has been lost */
    uint64_t errors;
    uint64_t error_level_us; /* leaky: each error adds errors_us / errors_max, time takes away */
    uint64_t rates[RR_HASH_GUARD_RATES];
    uint32_t rate_count, rate_next;
    uint64_t rate_taken_us, rate_low_us; /* last taken; how long it has been low */
    uint64_t restarts[RR_HASH_GUARD_RESTARTS_MAX];
    uint32_t restart_count; /* of them, oldest first */
};
void rr_hash_guard_init(struct rr_hash_guard *guard, const struct rr_hash_guard_options *options);
/* One look at now_us (monotonic; never goes back). Steps further apart than 5 s count as 5 s: a
 * program that was stopped does not take that for a hang. */
struct rr_hash_guard_answer rr_hash_guard_step(struct rr_hash_guard *guard,
                                               const struct rr_hash_guard_input *input,
                                               uint64_t now_us);
/* The operator switches a device on again: forgets restarts and rates. */
void rr_hash_guard_clear(struct rr_hash_guard *guard);
/* True when there is something to tell the rig: every one of count devices is off (or wrong). One
 * card never is a reason. count 0: false. */
bool rr_hash_guard_all_off(const struct rr_hash_guard *const *guards, size_t count);
#endif

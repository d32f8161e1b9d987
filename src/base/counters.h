/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RR_BASE_COUNTERS_H
#define RR_BASE_COUNTERS_H
#include "base/err.h"
#include <stdatomic.h>

/* Process-wide named numbers that monitor shows. A counter only rises; a gauge is set. */
struct rr_counter {
    _Atomic uint64_t value;
    const char *name; /* Prometheus name, e.g. "reelrig_serve_bytes_total" */
    const char *help;
    bool gauge;
    struct rr_counter *next;
};
/* Static storage only; registers on first use, from any thread. */
void rr_counter_register(struct rr_counter *counter);
#define RR_COUNTER(id, metric, text)                                                               \
    struct rr_counter id = {.name = (metric), .help = (text)};                                     \
    __attribute__((constructor)) static void id##_register(void)                                   \
    {                                                                                              \
        rr_counter_register(&id);                                                                  \
    }
#define RR_GAUGE(id, metric, text)                                                                 \
    struct rr_counter id = {.name = (metric), .help = (text), .gauge = true};                      \
    __attribute__((constructor)) static void id##_register(void)                                   \
    {                                                                                              \
        rr_counter_register(&id);                                                                  \
    }
static inline void rr_counter_add(struct rr_counter *counter, uint64_t n)
{
    atomic_fetch_add_explicit(&counter->value, n, memory_order_relaxed);
}
static inline void rr_gauge_set(struct rr_counter *gauge, uint64_t value)
{
    atomic_store_explicit(&gauge->value, value, memory_order_relaxed);
}
static inline uint64_t rr_counter_get(struct rr_counter *counter)
{
    return atomic_load_explicit(&counter->value, memory_order_relaxed);
}
/* Calls visit for each, in registration order. */
void rr_counters_visit(void (*visit)(void *ctx, const char *name, const char *help, bool gauge,
                                     uint64_t value),
                       void *ctx);
#endif

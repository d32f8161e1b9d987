/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Largest first: order, and what it makes of a number of rigs. */
#include "dispatch/dispatch.h"
#include <stdlib.h>

static int falling(const void *a, const void *b)
{
    const double *x = a, *y = b;
    return (*x < *y) - (*x > *y);
}

/* The time until the last of `workers` has ended, tasks taken in falling order, each by whoever is
 * free first; overhead_s is added to each. 0 for no tasks. */
static double makespan(const double *seconds, size_t count, unsigned workers, double overhead_s)
{
    double *tasks = rr_alloc_array(count + 1, sizeof *tasks);
    double *free_at = rr_alloc_array(workers + 1u, sizeof *free_at);
    double end = 0;
    RR_CHECK(workers >= 1);
    for (size_t i = 0; i < count; i++) {
        tasks[i] = seconds[i];
    }
    qsort(tasks, count, sizeof *tasks, falling);
    for (size_t i = 0; i < count; i++) {
        unsigned first = 0;
        for (unsigned w = 1; w < workers; w++) {
            first = free_at[w] < free_at[first] ? w : first;
        }
        free_at[first] += tasks[i] + overhead_s;
        end = free_at[first] > end ? free_at[first] : end;
    }
    rr_free(tasks);
    rr_free(free_at);
    return end;
}

double rr_dispatch_efficiency(const double *seconds, size_t count, unsigned workers,
                              double overhead_s)
{
    double sum = 0, longest = 0;
    for (size_t i = 0; i < count; i++) {
        sum += seconds[i];
        longest = seconds[i] > longest ? seconds[i] : longest;
    }
    double end = makespan(seconds, count, workers, overhead_s);
    double ideal = sum / workers > longest ? sum / workers : longest;
    return end > 0 ? ideal / end : 1;
}

struct ranked {
    uint64_t cost;
    uint32_t index;
};

static int rank(const void *a, const void *b)
{
    const struct ranked *x = a, *y = b;
    if (x->cost != y->cost) {
        return x->cost < y->cost ? 1 : -1;
    }
    return (x->index > y->index) - (x->index < y->index);
}

void rr_dispatch_order(uint32_t *order, const struct rr_transcode_shard *shards, size_t count)
{
    struct ranked *ranked = rr_alloc_array(count + 1, sizeof *ranked);
    for (size_t i = 0; i < count; i++) {
        /* The sound is one task that nothing can split: it goes first. */
        ranked[i].cost = shards[i].sound ? UINT64_MAX : shards[i].cost;
        ranked[i].index = (uint32_t)i;
    }
    qsort(ranked, count, sizeof *ranked, rank);
    for (size_t i = 0; i < count; i++) {
        order[i] = ranked[i].index;
    }
    rr_free(ranked);
}

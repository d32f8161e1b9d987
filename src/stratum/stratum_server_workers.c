/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Sums per worker name. */
#include "stratum/stratum_server.h"

#include <stdlib.h>
#include <string.h>

#define WINDOW_US UINT64_C(60000000)   /* a rate is that of one to two windows */
#define FORGET_US UINT64_C(3600000000) /* a name unused for an hour makes room for another */

uint32_t stratum_worker_find(struct stratum_server *server, const char *name, uint64_t now_us)
{
    uint32_t place = STRATUM_NO_WORKER;
    for (uint32_t i = 0; i < STRATUM_WORKERS_MAX; i++) {
        const struct stratum_worker *worker = &server->workers[i];
        if (worker->used && strcmp(worker->sums.name, name) == 0) {
            return i;
        }
        bool free_place = !worker->used ||
                          (worker->sums.connections == 0 && now_us - worker->last_us > FORGET_US);
        if (place == STRATUM_NO_WORKER && free_place) {
            place = i;
        }
    }
    if (place != STRATUM_NO_WORKER) {
        struct stratum_worker *worker = &server->workers[place];
        *worker = (struct stratum_worker){.used = true, .last_us = now_us, .window_us = now_us};
        memcpy(worker->sums.name, name, strnlen(name, sizeof worker->sums.name - 1));
    }
    return place;
}

static void turn_window(struct stratum_worker *worker, uint64_t now_us)
{
    uint64_t passed = (now_us - worker->window_us) / WINDOW_US;
    if (passed > 0) {
        worker->window_hashes[1] = passed == 1 ? worker->window_hashes[0] : 0;
        worker->window_hashes[0] = 0;
        worker->window_us += passed * WINDOW_US;
    }
}

static uint64_t add(uint64_t a, uint64_t b)
{
    return a + b < a ? UINT64_MAX : a + b;
}

void stratum_worker_credit(struct stratum_worker *worker, uint64_t hashes, uint64_t now_us)
{
    turn_window(worker, now_us);
    worker->window_hashes[0] = add(worker->window_hashes[0], hashes);
    worker->sums.hashes = add(worker->sums.hashes, hashes);
    worker->sums.accepted++;
    worker->last_us = worker->last_share_us = now_us;
}

uint64_t stratum_worker_rate(const struct stratum_worker *worker, uint64_t now_us)
{
    struct stratum_worker copy = *worker;
    turn_window(&copy, now_us);
    uint64_t span_us = now_us - copy.window_us + (copy.window_hashes[1] > 0 ? WINDOW_US : 0);
    if (span_us < 1000000) {
        span_us = 1000000;
    }
    return (uint64_t)((double)add(copy.window_hashes[0], copy.window_hashes[1]) /
                      ((double)span_us / 1e6));
}

static int busiest_first(const void *a, const void *b)
{
    const struct rr_stratum_worker *x = a, *y = b;
    if (x->rate != y->rate) {
        return x->rate < y->rate ? 1 : -1;
    }
    return x->hashes != y->hashes ? (x->hashes < y->hashes ? 1 : -1) : strcmp(x->name, y->name);
}

size_t stratum_server_workers(const struct stratum_server *server, struct rr_stratum_worker *out,
                              size_t max, uint64_t now_us)
{
    struct rr_stratum_worker *all = rr_alloc_array(STRATUM_WORKERS_MAX, sizeof *all);
    size_t count = 0;
    for (size_t i = 0; i < STRATUM_WORKERS_MAX; i++) {
        const struct stratum_worker *worker = &server->workers[i];
        if (worker->used) {
            all[count] = worker->sums;
            all[count].rate = stratum_worker_rate(worker, now_us);
            all[count].last_share_ms =
                worker->last_share_us > 0 ? (now_us - worker->last_share_us) / 1000 : UINT64_MAX;
            count++;
        }
    }
    qsort(all, count, sizeof *all, busiest_first);
    count = count < max ? count : max;
    memcpy(out, all, count * sizeof *out);
    rr_free(all);
    return count;
}

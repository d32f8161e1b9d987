/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/counters.h"

#include <pthread.h>

/* Only ever appended to: a visitor may walk what it saw without the lock. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct rr_counter *first;
static struct rr_counter *last;

void rr_counter_register(struct rr_counter *counter)
{
    pthread_mutex_lock(&lock);
    if (counter->next == NULL && last != counter) {
        if (last == NULL) {
            first = counter;
        } else {
            last->next = counter;
        }
        last = counter;
    }
    pthread_mutex_unlock(&lock);
}

void rr_counters_visit(void (*visit)(void *ctx, const char *name, const char *help, bool gauge,
                                     uint64_t value),
                       void *ctx)
{
    pthread_mutex_lock(&lock);
    struct rr_counter *counter = first;
    struct rr_counter *end = last;
    pthread_mutex_unlock(&lock);
    while (counter != NULL) {
        visit(ctx, counter->name, counter->help, counter->gauge, rr_counter_get(counter));
        counter = counter == end ? NULL : counter->next;
    }
}

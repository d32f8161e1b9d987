/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Reads of the store, the ledger and the till's commits block; an epoll thread must not. */
#include "serve/serve_private.h"

struct serve_workers {
    pthread_mutex_t lock;
    pthread_cond_t wake;
    struct serve_job *first, **last;
    unsigned queued;
    bool stop;
    unsigned count;
    pthread_t threads[];
};

static void *worker(void *ctx)
{
    struct serve_workers *workers = ctx;
    pthread_mutex_lock(&workers->lock);
    for (;;) {
        while (workers->first == NULL && !workers->stop) {
            pthread_cond_wait(&workers->wake, &workers->lock);
        }
        struct serve_job *job = workers->first;
        if (job == NULL) {
            break;
        }
        workers->first = job->next;
        if (workers->first == NULL) {
            workers->last = &workers->first;
        }
        workers->queued--;
        pthread_mutex_unlock(&workers->lock);
        job->work(job);
        pthread_mutex_lock(&workers->lock);
    }
    pthread_mutex_unlock(&workers->lock);
    return NULL;
}

struct serve_workers *serve_workers_new(unsigned threads)
{
    struct serve_workers *workers = rr_alloc(sizeof(*workers) + threads * sizeof(pthread_t));
    RR_CHECK(pthread_mutex_init(&workers->lock, NULL) == 0);
    RR_CHECK(pthread_cond_init(&workers->wake, NULL) == 0);
    workers->last = &workers->first;
    for (unsigned i = 0; i < threads; i++) {
        if (pthread_create(&workers->threads[i], NULL, worker, workers) != 0) {
            break;
        }
        pthread_setname_np(workers->threads[i], "rr-serve-work");
        workers->count++;
    }
    if (workers->count == 0) {
        serve_workers_free(workers);
        return NULL;
    }
    return workers;
}

bool serve_workers_submit(struct serve_workers *workers, struct serve_job *job)
{
    pthread_mutex_lock(&workers->lock);
    bool fits = workers->queued < SERVE_JOBS_MAX;
    if (fits) {
        job->next = NULL;
        *workers->last = job;
        workers->last = &job->next;
        workers->queued++;
        pthread_cond_signal(&workers->wake);
    }
    pthread_mutex_unlock(&workers->lock);
    return fits;
}

void serve_workers_free(struct serve_workers *workers)
{
    if (workers == NULL) {
        return;
    }
    pthread_mutex_lock(&workers->lock);
    workers->stop = true;
    pthread_cond_broadcast(&workers->wake);
    pthread_mutex_unlock(&workers->lock);
    for (unsigned i = 0; i < workers->count; i++) {
        pthread_join(workers->threads[i], NULL);
    }
    pthread_cond_destroy(&workers->wake);
    pthread_mutex_destroy(&workers->lock);
    rr_free(workers);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "loop/loop.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>

enum { THREADS_MAX = 64, NAME_BYTES = 16 /* the kernel's limit of a thread's name */ };

struct job {
    void (*work)(void *ctx);
    struct rr_loop *loop;
    void (*done)(void *ctx);
    void *ctx;
    struct job *next;
};

struct rr_pool {
    char name[NAME_BYTES];
    unsigned threads;
    pthread_t ids[THREADS_MAX];
    pthread_mutex_t lock; /* of all below */
    pthread_cond_t filled;
    struct job *first;
    struct job *last;
    bool ending;
};

/* The next job, or NULL when the pool ends and nothing is left. */
static struct job *take_job(struct rr_pool *pool)
{
    pthread_mutex_lock(&pool->lock);
    while (pool->first == NULL && !pool->ending) {
        pthread_cond_wait(&pool->filled, &pool->lock);
    }
    struct job *job = pool->first;
    if (job != NULL) {
        pool->first = job->next;
        if (pool->first == NULL) {
            pool->last = NULL;
        }
    }
    pthread_mutex_unlock(&pool->lock);
    return job;
}

static void *run_thread(void *arg)
{
    struct rr_pool *pool = arg;
    pthread_setname_np(pthread_self(), pool->name);
    for (struct job *job = take_job(pool); job != NULL; job = take_job(pool)) {
        job->work(job->ctx);
        if (job->loop != NULL && job->done != NULL) {
            rr_loop_post(job->loop, job->done, job->ctx);
        }
        rr_free(job);
    }
    return NULL;
}

/* Threads inherit this mask: signals of the process go to the loop, and interrupt no system call of
 * a job. */
static void block_signals(sigset_t *old)
{
    static const int own[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT, SIGSYS, SIGPROF};
    sigset_t blocked;
    sigfillset(&blocked);
    for (size_t i = 0; i < RR_COUNT(own); i++) {
        sigdelset(&blocked, own[i]);
    }
    pthread_sigmask(SIG_SETMASK, &blocked, old);
}

struct rr_pool *rr_pool_new(const char *name, unsigned threads)
{
    RR_CHECK(threads >= 1 && threads <= THREADS_MAX);
    struct rr_pool *pool = rr_alloc(sizeof *pool);
    sigset_t old;
    snprintf(pool->name, sizeof pool->name, "rr-%.12s", name);
    pool->threads = threads;
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->filled, NULL);
    block_signals(&old);
    for (unsigned i = 0; i < threads; i++) {
        RR_CHECK(pthread_create(&pool->ids[i], NULL, run_thread, pool) == 0);
    }
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return pool;
}

void rr_pool_submit(struct rr_pool *pool, void (*work)(void *ctx), struct rr_loop *loop,
                    void (*done)(void *ctx), void *ctx)
{
    struct job *job = rr_alloc(sizeof *job);
    *job = (struct job){work, loop, done, ctx, NULL};
    pthread_mutex_lock(&pool->lock);
    if (pool->last == NULL) {
        pool->first = job;
    } else {
        pool->last->next = job;
    }
    pool->last = job;
    pthread_cond_signal(&pool->filled);
    pthread_mutex_unlock(&pool->lock);
}

void rr_pool_free(struct rr_pool *pool)
{
    if (pool == NULL) {
        return;
    }
    pthread_mutex_lock(&pool->lock);
    pool->ending = true;
    pthread_cond_broadcast(&pool->filled);
    pthread_mutex_unlock(&pool->lock);
    for (unsigned i = 0; i < pool->threads; i++) {
        RR_CHECK(pthread_join(pool->ids[i], NULL) == 0);
    }
    pthread_cond_destroy(&pool->filled);
    pthread_mutex_destroy(&pool->lock);
    rr_free(pool);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The queue of one rig: threads that take the largest shard first. */
#include "crypto/crypto.h"
#include "dispatch/dispatch.h"
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define SHARDS_MAX 64

struct entry {
    struct rr_dispatch_task task;
    struct entry *next;
};
struct done {
    struct rr_dispatch_answer answer;
    char path[RR_PATH_BYTES];
    struct done *next;
};
struct rr_dispatch_local {
    pthread_mutex_t lock;
    pthread_cond_t work, news;
    struct entry *tasks; /* in the order of their offers */
    struct done *done;
    pthread_t threads[SHARDS_MAX];
    unsigned count, started, working;
    uint64_t made;
    atomic_bool stop;
    struct rr_dispatch_job job;
    char worker[RR_PATH_BYTES];
    unsigned encoders; /* of a shard */
};

static struct entry *take(struct rr_dispatch_local *local)
{
    struct entry *entry = NULL;
    pthread_mutex_lock(&local->lock);
    while (!atomic_load(&local->stop) && local->tasks == NULL) {
        pthread_cond_wait(&local->work, &local->lock);
    }
    if (!atomic_load(&local->stop)) {
        entry = local->tasks;
        local->tasks = entry->next;
        local->working++;
    }
    pthread_mutex_unlock(&local->lock);
    return entry;
}

static void make(struct rr_dispatch_local *local, const struct rr_dispatch_task *task, uint64_t id)
{
    char folder[RR_PATH_BYTES];
    struct rr_fault fault = {0};
    struct rr_transcode_options options = {
        .workers = local->encoders, .worker_path = local->worker[0] != '\0' ? local->worker : NULL};
    struct done *done = rr_alloc(sizeof *done);
    done->answer.number = task->number;
    done->answer.revision = task->revision;
    done->answer.attempt = task->attempt;
    snprintf(done->answer.rig, sizeof done->answer.rig, "here");
    enum rr_err err =
        rr_path(done->path, &fault, "%s/part-%llu", local->job.folder, (unsigned long long)id);
    err = err != RR_OK
              ? err
              : rr_path(folder, &fault, "%s/work-%llu", local->job.folder, (unsigned long long)id);
    options.job_folder = folder;
    err = err != RR_OK
              ? err
              : rr_transcode_range(done->path, local->job.source_fd, rr_buf_slice(&task->plan),
                                   &task->shard, &options, &local->stop, &fault);
    done->answer.code = err;
    snprintf(done->answer.text, sizeof done->answer.text, "%.240s", fault.text);
    pthread_mutex_lock(&local->lock);
    done->next = local->done;
    local->done = done;
    local->working--;
    pthread_cond_signal(&local->news);
    pthread_mutex_unlock(&local->lock);
}

static void *work(void *ctx)
{
    struct rr_dispatch_local *local = ctx;
    struct entry *entry;
    while ((entry = take(local)) != NULL) {
        pthread_mutex_lock(&local->lock);
        uint64_t id = local->made++;
        pthread_mutex_unlock(&local->lock);
        make(local, &entry->task, id);
        rr_dispatch_task_clear(&entry->task);
        rr_free(entry);
    }
    return NULL;
}

static enum rr_err begin(void *ctx, const struct rr_dispatch_job *job, struct rr_fault *fault)
{
    struct rr_dispatch_local *local = ctx;
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    enum rr_err err = RR_OK;
    local->job = *job;
    local->encoders = job->options->workers != 0 ? job->options->workers : (unsigned)cores;
    local->encoders = (local->encoders + local->count - 1) / local->count;
    if (job->options->worker_path != NULL) {
        err = rr_path(local->worker, fault, "%s", job->options->worker_path);
    }
    atomic_store(&local->stop, false);
    while (err == RR_OK && local->started < local->count) {
        if (pthread_create(&local->threads[local->started], NULL, work, local) != 0) {
            err = rr_fail(fault, RR_ERR_MEMORY, "no thread for a shard");
            break;
        }
        local->started++;
    }
    return err;
}

static enum rr_err offer(void *ctx, const struct rr_dispatch_task *task, bool fresh,
                         struct rr_fault *fault)
{
    struct rr_dispatch_local *local = ctx;
    struct entry *entry = rr_alloc(sizeof *entry);
    struct entry **end = &local->tasks;
    (void)fresh;
    (void)fault;
    entry->task = *task;
    entry->task.plan = (struct rr_buf){0};
    rr_buf_append(&entry->task.plan, task->plan.ptr, task->plan.len);
    pthread_mutex_lock(&local->lock);
    while (*end != NULL) {
        end = &(*end)->next;
    }
    *end = entry;
    pthread_cond_signal(&local->work);
    pthread_mutex_unlock(&local->lock);
    return RR_OK;
}

static enum rr_err next(void *ctx, struct rr_dispatch_answer *out, char path[RR_PATH_BYTES],
                        bool *got, unsigned timeout_ms, struct rr_fault *fault)
{
    struct rr_dispatch_local *local = ctx;
    struct timespec until;
    (void)fault;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += timeout_ms / 1000;
    until.tv_nsec += (long)(timeout_ms % 1000) * 1000000;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    pthread_mutex_lock(&local->lock);
    while (local->done == NULL && pthread_cond_timedwait(&local->news, &local->lock, &until) == 0) {
    }
    struct done *done = local->done;
    if (done != NULL) {
        local->done = done->next;
    }
    pthread_mutex_unlock(&local->lock);
    *got = done != NULL;
    if (done != NULL) {
        *out = done->answer;
        memcpy(path, done->path, RR_PATH_BYTES);
        rr_free(done);
    }
    return RR_OK;
}

static void accept_one(void *ctx, const struct rr_dispatch_answer *answer, bool holds)
{
    (void)ctx;
    (void)answer;
    (void)holds;
}

static bool alive(void *ctx, const struct rr_dispatch_task *task)
{
    (void)ctx;
    (void)task;
    return true; /* a thread of ours ends with an answer or with us */
}

static int tell(void *ctx, uint32_t done, double percent)
{
    (void)ctx;
    (void)done;
    (void)percent;
    return -1;
}

static void end(void *ctx, bool done, bool cancelled)
{
    struct rr_dispatch_local *local = ctx;
    (void)done;
    (void)cancelled;
    pthread_mutex_lock(&local->lock);
    atomic_store(&local->stop, true);
    pthread_cond_broadcast(&local->work);
    pthread_mutex_unlock(&local->lock);
    while (local->started > 0) {
        pthread_join(local->threads[--local->started], NULL);
    }
    while (local->tasks != NULL) {
        struct entry *entry = local->tasks;
        local->tasks = entry->next;
        rr_dispatch_task_clear(&entry->task);
        rr_free(entry);
    }
    while (local->done != NULL) {
        struct done *one = local->done;
        local->done = one->next;
        rr_free(one);
    }
}

static const struct rr_dispatch_ops ops = {begin, offer, next, accept_one, alive, tell, end};

struct rr_dispatch_local *rr_dispatch_local_new(unsigned shards)
{
    struct rr_dispatch_local *local = rr_alloc(sizeof *local);
    pthread_condattr_t attributes;
    local->count = shards < 1 ? 1 : shards > SHARDS_MAX ? SHARDS_MAX : shards;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_mutex_init(&local->lock, NULL);
    pthread_cond_init(&local->work, NULL);
    pthread_cond_init(&local->news, &attributes);
    pthread_condattr_destroy(&attributes);
    return local;
}

void rr_dispatch_local_free(struct rr_dispatch_local *local)
{
    if (local != NULL) {
        end(local, false, true);
        pthread_mutex_destroy(&local->lock);
        pthread_cond_destroy(&local->work);
        pthread_cond_destroy(&local->news);
        rr_free(local);
    }
}

struct rr_dispatch_queue rr_dispatch_local_queue(struct rr_dispatch_local *local)
{
    return (struct rr_dispatch_queue){.ops = &ops, .ctx = local};
}

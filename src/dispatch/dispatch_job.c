/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The coordinator: offers what is missing, checks what comes, offers again what stays away. */
#include "crypto/crypto.h"
#include "dispatch/dispatch.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define RIGS_MAX  256
#define WAIT_MS   200
#define TELL_US   UINT64_C(1000000)
#define AGAIN_US  UINT64_C(8000000)  /* an offer that nobody knows of any more */
#define LONELY_US UINT64_C(15000000) /* without a rig, until a line says so */

struct offer {
    bool out;
    uint32_t revision, attempt;
    unsigned tries; /* that ended badly */
    uint64_t asked_us;
    char last[RR_DISPATCH_NAME_MAX + 1];
    char why[200];
};
struct rig {
    char name[RR_DISPATCH_NAME_MAX + 1];
    bool checked, liar;
};
struct coordinator {
    struct rr_dispatch_run *run;
    struct rr_transcode_job *job;
    struct rr_dispatch_job told;
    struct offer *offers;
    size_t count;
    struct rig rigs[RIGS_MAX];
    unsigned rig_count;
    uint64_t told_us, seen_us;
    int known; /* rigs, by the queue's last word; -1: unknown */
    bool lonely;
    const atomic_bool *cancel;
    rr_transcode_progress_fn *progress;
    void *progress_ctx;
};

static uint64_t now_us(void)
{
    return rr_monotonic_us(rr_clock_system());
}

static struct rig *rig_of(struct coordinator *c, const char *name)
{
    for (unsigned i = 0; i < c->rig_count; i++) {
        if (strcmp(c->rigs[i].name, name) == 0) {
            return &c->rigs[i];
        }
    }
    if (c->rig_count == RIGS_MAX) {
        return NULL; /* then every answer of the others is checked */
    }
    struct rig *rig = &c->rigs[c->rig_count++];
    snprintf(rig->name, sizeof rig->name, "%s", name);
    return rig;
}

/* ---- offers ---- */

static void avoid(struct rr_dispatch_task *task, const char *name)
{
    for (unsigned i = 0; i < task->avoid_count; i++) {
        if (strcmp(task->avoid[i], name) == 0) {
            return;
        }
    }
    if (name[0] != '\0' && task->avoid_count < RR_DISPATCH_AVOID_MAX) {
        snprintf(task->avoid[task->avoid_count++], sizeof task->avoid[0], "%s", name);
    }
}

static void make_task(struct rr_dispatch_task *task, const struct coordinator *c, uint32_t number)
{
    size_t count;
    struct rr_slice plan = rr_transcode_plan(c->job);
    *task = (struct rr_dispatch_task){.job = c->told.key,
                                      .source = c->told.source,
                                      .source_bytes = c->told.source_bytes,
                                      .number = number,
                                      .revision = c->offers[number].revision,
                                      .attempt = c->offers[number].attempt,
                                      .shard = rr_transcode_shards(c->job, &count)[number]};
    rr_buf_append(&task->plan, plan.ptr, plan.len);
    for (unsigned i = 0; i < c->rig_count; i++) {
        if (c->rigs[i].liar) {
            avoid(task, c->rigs[i].name);
        }
    }
    if (c->offers[number].tries > 0 && c->known != 1) { /* the only one may try again */
        avoid(task, c->offers[number].last);
    }
}

static enum rr_err offer(struct coordinator *c, uint32_t number, bool fresh, struct rr_fault *fault)
{
    struct rr_dispatch_task *task = rr_alloc(sizeof *task);
    make_task(task, c, number);
    enum rr_err err = c->run->queue.ops->offer(c->run->queue.ctx, task, fresh, fault);
    rr_dispatch_task_clear(task);
    rr_free(task);
    if (err == RR_OK) {
        c->offers[number].out = true;
        c->offers[number].asked_us = now_us();
    }
    return err;
}

/* All that is wanted and not out, largest first. */
static enum rr_err offer_all(struct coordinator *c, bool *wanted, struct rr_fault *fault)
{
    size_t count;
    const struct rr_transcode_shard *shards = rr_transcode_shards(c->job, &count);
    uint32_t *order = rr_alloc_array(count + 1, sizeof *order);
    enum rr_err err = RR_OK;
    rr_dispatch_order(order, shards, count);
    *wanted = false;
    for (size_t i = 0; i < count && err == RR_OK; i++) {
        const struct rr_transcode_shard *shard = &shards[order[i]];
        struct offer *out = &c->offers[order[i]];
        if (shard->done || (shard->here && !c->run->own)) {
            continue; /* what no rig is to make, rr_transcode_finish makes */
        }
        *wanted = true;
        if (out->out && out->revision == shard->revision) {
            continue;
        }
        bool fresh = out->attempt == 0 && shard->revision == 0 && !out->out;
        out->revision = shard->revision;
        out->attempt += fresh ? 0 : 1;
        err = offer(c, order[i], fresh, fault);
    }
    rr_free(order);
    return err;
}

/* What a queue lost, be it by a disaster or because an old answer crossed a new offer. */
static enum rr_err offer_lost(struct coordinator *c, struct rr_fault *fault)
{
    size_t count;
    const struct rr_transcode_shard *shards = rr_transcode_shards(c->job, &count);
    uint64_t now = now_us();
    enum rr_err err = RR_OK;
    for (uint32_t i = 0; i < count && err == RR_OK; i++) {
        struct offer *out = &c->offers[i];
        if (shards[i].done || !out->out || now - out->asked_us < AGAIN_US) {
            continue;
        }
        struct rr_dispatch_task *task = rr_alloc(sizeof *task);
        make_task(task, c, i);
        bool alive = c->run->queue.ops->alive(c->run->queue.ctx, task);
        rr_dispatch_task_clear(task);
        rr_free(task);
        out->asked_us = now;
        if (!alive) {
            rr_log(RR_LOG_WARN, "dispatch", "shard %u is in no queue any more; offered again",
                   (unsigned)i);
            out->attempt++;
            err = offer(c, i, false, fault);
        }
    }
    return err;
}

/* ---- answers ---- */

static enum rr_err went_wrong(struct coordinator *c, const struct rr_dispatch_answer *answer,
                              const char *why, struct rr_fault *fault)
{
    struct offer *out = &c->offers[answer->number];
    out->tries++;
    out->out = false;
    snprintf(out->last, sizeof out->last, "%s", answer->rig);
    snprintf(out->why, sizeof out->why, "%s", why);
    if (out->tries >= RR_DISPATCH_TRIES) {
        return rr_fail(fault, RR_ERR_DAMAGED,
                       "shard %u was given up after %u rigs; the last, %s: %.120s",
                       (unsigned)answer->number, out->tries, out->last, out->why);
    }
    rr_log(RR_LOG_WARN, "dispatch", "shard %u by %s: %s; it goes to another rig",
           (unsigned)answer->number, answer->rig, why);
    return RR_OK;
}

static bool to_check(const struct coordinator *c, const struct rig *rig)
{
    uint32_t dice = 0;
    if (c->run->own) {
        return false;
    }
    rr_random(&dice, sizeof dice);
    return rig == NULL || !rig->checked || dice % 1000 < c->run->checks_per_mille;
}

static enum rr_err take(struct coordinator *c, const struct rr_dispatch_answer *answer,
                        const char *path, struct rr_fault *fault)
{
    size_t count;
    const struct rr_transcode_shard *shards = rr_transcode_shards(c->job, &count);
    const struct rr_dispatch_ops *ops = c->run->queue.ops;
    bool part = answer->code == RR_OK;
    if (answer->number >= count || shards[answer->number].done ||
        answer->revision != shards[answer->number].revision) {
        ops->accept(c->run->queue.ctx, answer, false); /* twice made, or made in vain */
        return part && unlink(path) != 0 ? rr_fail_errno(fault, "%.200s", path) : RR_OK;
    }
    struct offer *out = &c->offers[answer->number];
    struct rig *rig = rig_of(c, answer->rig);
    if (!part) {
        ops->accept(c->run->queue.ctx, answer, false);
        /* What an earlier offer met, perhaps while nobody could give the source, says nothing. */
        return answer->attempt < out->attempt ? RR_OK : went_wrong(c, answer, answer->text, fault);
    }
    bool liar = rig != NULL && rig->liar;
    enum rr_err err =
        liar ? RR_ERR_TRUST
             : rr_transcode_take(c->job, answer->number, path, to_check(c, rig), fault);
    ops->accept(c->run->queue.ctx, answer, err == RR_OK);
    if (err == RR_ERR_TRUST) {
        char why[200];
        snprintf(why, sizeof why, "%.190s", liar ? "it gave wrong parts before" : fault->text);
        unlink(path);
        if (rig != NULL) {
            rig->liar = true;
        }
        return went_wrong(c, answer, why, fault);
    }
    if (err == RR_OK && rig != NULL) { /* an empty part shows nothing */
        rig->checked |= shards[answer->number].sound || shards[answer->number].take_size > 0;
    }
    return err;
}

static void tell(struct coordinator *c)
{
    size_t count;
    const struct rr_transcode_shard *shards = rr_transcode_shards(c->job, &count);
    struct rr_transcode_progress shown;
    uint32_t done = 0;
    uint64_t now = now_us();
    rr_transcode_shown(c->job, &shown);
    if (c->progress != NULL) {
        c->progress(c->progress_ctx, &shown);
    }
    if (now - c->told_us < TELL_US) {
        return;
    }
    c->told_us = now;
    for (size_t i = 0; i < count; i++) {
        done += shards[i].done ? 1 : 0;
    }
    int liars = 0;
    for (unsigned i = 0; i < c->rig_count; i++) {
        liars += c->rigs[i].liar ? 1 : 0;
    }
    c->known = c->run->queue.ops->tell(c->run->queue.ctx, done, shown.percent);
    bool some = c->known < 0 || c->known > liars;
    c->seen_us = some ? now : c->seen_us;
    if (now - c->seen_us > LONELY_US && !c->lonely) {
        c->lonely = true;
        rr_log(RR_LOG_WARN, "dispatch",
               liars > 0 ? "no rig is left that gave no wrong part; start a worker of this version"
                         : "no rig takes work; start `reelrig fleet worker` on one");
    }
    c->lonely = !some && c->lonely;
}

/* Until all shards are there. */
static enum rr_err collect(struct coordinator *c, struct rr_fault *fault)
{
    const struct rr_dispatch_ops *ops = c->run->queue.ops;
    struct rr_dispatch_answer *answer = rr_alloc(sizeof *answer);
    char *path = rr_alloc(RR_PATH_BYTES);
    bool wanted = true;
    enum rr_err err = RR_OK;
    while (err == RR_OK) {
        bool got = false;
        err = offer_all(c, &wanted, fault);
        if (err != RR_OK || !wanted) {
            break;
        }
        if (c->cancel != NULL && atomic_load(c->cancel)) {
            err = rr_fail(fault, RR_ERR_CANCELLED,
                          "cancelled; the same command goes on where it was");
            break;
        }
        err = ops->next(c->run->queue.ctx, answer, path, &got, WAIT_MS, fault);
        if (err == RR_OK && got) {
            err = take(c, answer, path, fault);
        }
        err = err != RR_OK || got ? err : offer_lost(c, fault);
        tell(c);
    }
    rr_free(answer);
    rr_free(path);
    return err;
}

static enum rr_err run(struct coordinator *c, struct rr_transcode_result *out, const char *folder,
                       struct rr_fault *fault)
{
    const struct rr_dispatch_ops *ops = c->run->queue.ops;
    enum rr_err err = rr_remove_tree(folder, fault); /* what an earlier life was receiving */
    err = err != RR_OK ? err : rr_make_folders(folder, fault);
    err = err != RR_OK ? err : ops->begin(c->run->queue.ctx, &c->told, fault);
    if (err != RR_OK) {
        return err;
    }
    for (unsigned round = 0;; round++) {
        err = collect(c, fault);
        err = err != RR_OK ? err
                           : rr_transcode_finish(c->job, out, c->progress, c->progress_ctx, fault);
        if (err != RR_ERR_TRUST || round == RR_DISPATCH_TRIES) {
            break;
        }
        rr_log_fault(RR_LOG_WARN, "dispatch", fault); /* borders: some are made again */
    }
    ops->end(c->run->queue.ctx, err == RR_OK, err == RR_ERR_CANCELLED || err == RR_ERR_DAMAGED);
    return err == RR_OK ? rr_remove_tree(folder, fault) : err;
}

/* The name of a job among rigs: of what is made, where. The same command goes on with it, and
 * another for the same video elsewhere does not take its answers. */
static void told_key(struct rr_hash32 *out, const struct rr_hash32 *job, const char *folder)
{
    char host[256] = "", path[RR_PATH_BYTES];
    struct rr_hasher hasher;
    const char *name = realpath(folder, path) != NULL ? path : folder;
    (void)gethostname(host, sizeof host - 1);
    rr_hasher_init(&hasher, "rr.dispatch.v1");
    rr_hasher_add(&hasher, job->bytes, sizeof job->bytes);
    rr_hasher_add(&hasher, host, strlen(host) + 1);
    rr_hasher_add(&hasher, name, strlen(name));
    rr_hasher_final(&hasher, out);
}

enum rr_err rr_dispatch_make(void *ctx, struct rr_transcode_result *out, int source_fd,
                             const struct rr_transcode_options *options,
                             rr_transcode_progress_fn *progress, void *progress_ctx,
                             const atomic_bool *cancel, struct rr_fault *fault)
{
    char folder[RR_PATH_BYTES];
    struct rr_fault own = {0};
    struct coordinator *c = rr_alloc(sizeof *c);
    fault = fault != NULL ? fault : &own;
    c->run = ctx;
    c->cancel = cancel;
    c->progress = progress;
    c->progress_ctx = progress_ctx;
    c->seen_us = now_us();
    enum rr_err err = rr_transcode_open(&c->job, source_fd, options, cancel, fault);
    err = err != RR_OK ? err : rr_path(folder, fault, "%s/incoming", options->job_folder);
    err = err != RR_OK ? err
                       : rr_dispatch_source_digest(&c->told.source, &c->told.source_bytes,
                                                   source_fd, cancel, fault);
    if (err == RR_OK) {
        (void)rr_transcode_shards(c->job, &c->count);
        c->offers = rr_alloc_array(c->count + 1, sizeof *c->offers);
        told_key(&c->told.key, rr_transcode_key(c->job), options->job_folder);
        c->told.source_fd = source_fd;
        c->told.folder = folder;
        c->told.title = c->run->title != NULL ? c->run->title : "";
        c->told.shards = (uint32_t)c->count;
        c->told.options = options;
        err = run(c, out, folder, fault);
    }
    rr_transcode_close(c->job);
    rr_free(c->offers);
    rr_free(c);
    return err;
}

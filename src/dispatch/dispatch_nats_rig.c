/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A rig of a rack: takes shards by lease, makes them, gives parts. What it does not finish goes to
 * others when its lease runs out. */
#include "crypto/crypto.h"
#include "dispatch/dispatch_nats.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SLOTS_MAX     64
#define FETCH_MS      1000
#define SOURCE_US     UINT64_C(30000000) /* without the source, until a task goes back */
#define AVOID_MS      2000  /* a task that this rig is not to take, back to the queue */
#define AVOID_REST_MS 10000 /* and then nothing for a while, so that others see it */
#define BACK_MS       10000
#define IDLE_FETCHES  10 /* in vain, until a slot asks whether the queue is still there */

struct rig;
struct slot {
    struct rig *rig;
    unsigned number;
    pthread_t thread;
    bool started;
    natsMsg *held; /* what is worked on; under the rig's lock */
    char job[65];  /* of it */
    atomic_bool cancel;
    bool dropped; /* by its coordinator; under the lock */
};
struct rig {
    struct rr_dispatch_nats *nats;
    const struct rr_dispatch_rig_options *options;
    struct rr_dispatch_cache *cache;
    pthread_mutex_t lock;
    struct slot slots[SLOTS_MAX];
    unsigned slot_count, workers;
    atomic_uint done, failed;
    atomic_bool quit; /* it never began */
};

static bool stopping(const struct rig *rig)
{
    return atomic_load(rig->options->stop) || atomic_load(&rig->quit);
}

static void rest(const struct rig *rig, unsigned ms)
{
    for (unsigned waited = 0; waited < ms && !stopping(rig); waited += 100) {
        nats_Sleep(100);
    }
}

/* ---- leases ---- */

static void hold(struct slot *slot, natsMsg *message, const struct rr_dispatch_task *task)
{
    pthread_mutex_lock(&slot->rig->lock);
    rr_hex(slot->job, task->job.bytes, sizeof task->job.bytes);
    slot->held = message;
    slot->dropped = false;
    atomic_store(&slot->cancel, false);
    pthread_mutex_unlock(&slot->rig->lock);
}

/* The keeper must not renew what is being acknowledged. True: its coordinator wants it no more. */
static bool release(struct slot *slot)
{
    pthread_mutex_lock(&slot->rig->lock);
    bool dropped = slot->dropped;
    slot->held = NULL;
    pthread_mutex_unlock(&slot->rig->lock);
    return dropped;
}

static void renew(struct rig *rig)
{
    struct rr_buf text = {0};
    unsigned busy = 0;
    pthread_mutex_lock(&rig->lock);
    for (unsigned i = 0; i < rig->slot_count; i++) {
        if (rig->slots[i].held != NULL) {
            (void)natsMsg_InProgress(rig->slots[i].held, NULL);
            busy++;
        }
    }
    pthread_mutex_unlock(&rig->lock);
    rr_buf_format(&text,
                  "{\"name\":\"%s\",\"version\":\"%s\",\"cores\":%ld,\"slots\":%u,\"busy\":%u,"
                  "\"done\":%u,\"failed\":%u,\"at_ms\":%llu}",
                  rig->options->name, RR_VERSION, sysconf(_SC_NPROCESSORS_ONLN), rig->slot_count,
                  busy, atomic_load(&rig->done), atomic_load(&rig->failed),
                  (unsigned long long)rr_wall_ms(rr_clock_system()));
    if (kvStore_Put(NULL, rig->nats->rigs, rig->options->name, text.ptr, (int)text.len) !=
        NATS_OK) {
        nats_mend(rig->nats);
    }
    rr_buf_clear(&text);
}

static void drop(struct rig *rig, const char *subject)
{
    const char *job = strrchr(subject, '.');
    pthread_mutex_lock(&rig->lock);
    for (unsigned i = 0; i < rig->slot_count && job != NULL; i++) {
        if (rig->slots[i].held != NULL && strcmp(rig->slots[i].job, job + 1) == 0) {
            rig->slots[i].dropped = true;
            atomic_store(&rig->slots[i].cancel, true);
        }
    }
    pthread_mutex_unlock(&rig->lock);
}

/* On the caller's thread, until the rig is to stop. */
static void keep(struct rig *rig)
{
    natsSubscription *cancelled = NULL;
    uint64_t renewed_us = 0;
    while (!stopping(rig)) {
        natsMsg *message = NULL;
        if (cancelled == NULL && natsConnection_SubscribeSync(&cancelled, rig->nats->connection,
                                                              "rr.cancel.*") != NATS_OK) {
            nats_Sleep(200);
        } else if (natsSubscription_NextMsg(&message, cancelled, 200) == NATS_OK) {
            drop(rig, natsMsg_GetSubject(message));
            natsMsg_Destroy(message);
        }
        if (nats_now_us() - renewed_us > NATS_RENEW_MS * UINT64_C(1000)) {
            renewed_us = nats_now_us();
            renew(rig);
        }
    }
    for (unsigned i = 0; i < rig->slot_count; i++) {
        atomic_store(&rig->slots[i].cancel, true);
    }
    natsSubscription_Destroy(cancelled);
}

/* ---- the source ---- */

struct asking {
    struct rig *rig;
    struct slot *slot;
    char subject[NATS_SUBJECT];
};

static enum rr_err fetch(void *ctx, uint8_t *out, uint64_t offset, size_t len,
                         struct rr_fault *fault)
{
    struct asking *asking = ctx;
    struct rr_buf question = {0};
    uint64_t until = nats_now_us() + SOURCE_US;
    natsStatus status = NATS_TIMEOUT;
    rr_write_u64(&question, offset);
    rr_write_u32(&question, (uint32_t)len);
    while (nats_now_us() < until && !atomic_load(&asking->slot->cancel) && !stopping(asking->rig)) {
        natsMsg *reply = NULL;
        status = natsConnection_Request(&reply, asking->rig->nats->connection, asking->subject,
                                        question.ptr, (int)question.len, 2000);
        if (status == NATS_OK && (size_t)natsMsg_GetDataLength(reply) == len) {
            memcpy(out, natsMsg_GetData(reply), len);
            natsMsg_Destroy(reply);
            rr_buf_clear(&question);
            return RR_OK;
        }
        natsMsg_Destroy(reply);
        nats_Sleep(200);
    }
    rr_buf_clear(&question);
    return rr_fail(fault, RR_ERR_UNREACHABLE, "nobody gives the source (%s)",
                   natsStatus_GetText(status));
}

/* ---- parts ---- */

static enum rr_err send_pieces(struct rig *rig, struct rr_dispatch_answer *answer, const char *path,
                               const char *tail, struct rr_fault *fault)
{
    char subject[NATS_SUBJECT];
    struct rr_hasher hasher;
    struct stat facts;
    uint8_t *piece = rr_alloc(NATS_PIECE);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    enum rr_err err = RR_OK;
    if (fd < 0 || fstat(fd, &facts) != 0) {
        err = rr_fail_errno(fault, "%.200s cannot be read back", path);
    } else {
        answer->bytes = (uint64_t)facts.st_size;
    }
    rr_hasher_init(&hasher, "rr.part.v1");
    for (uint64_t at = 0; err == RR_OK && at < answer->bytes;) {
        size_t now = (size_t)(answer->bytes - at < NATS_PIECE ? answer->bytes - at : NATS_PIECE);
        snprintf(subject, sizeof subject, "rr.part.%s.%u", tail, (unsigned)answer->pieces++);
        err = rr_pread_full(fd, piece, now, at, fault);
        rr_hasher_add(&hasher, piece, now);
        err = err != RR_OK ? err : nats_store(rig->nats, subject, rr_slice_of(piece, now), fault);
        at += now;
    }
    rr_hasher_final(&hasher, &answer->digest);
    if (fd >= 0) {
        close(fd);
    }
    rr_free(piece);
    return err;
}

/* path NULL: a failure. */
static enum rr_err give(struct rig *rig, const struct rr_dispatch_task *task, const char *path,
                        const struct rr_fault *why, struct rr_fault *fault)
{
    struct rr_dispatch_answer answer = {
        .number = task->number, .revision = task->revision, .attempt = task->attempt};
    char tail[NATS_SUBJECT - 16], subject[NATS_SUBJECT], job[65], nonce[9];
    struct rr_buf bytes = {0};
    uint8_t dice[4];
    enum rr_err err = RR_OK;
    rr_random(dice, sizeof dice);
    rr_hex(nonce, dice, sizeof dice);
    rr_hex(job, task->job.bytes, sizeof task->job.bytes);
    snprintf(answer.rig, sizeof answer.rig, "%s", rig->options->name);
    snprintf(tail, sizeof tail, "%s.%u.%s.%s", job, (unsigned)task->number, rig->options->name,
             nonce);
    if (path != NULL) {
        err = send_pieces(rig, &answer, path, tail, fault);
    } else {
        answer.code = why->code;
        for (const char *p = why->text; *p != '\0' && p - why->text < 200; p++) {
            answer.text[p - why->text] = *p < ' ' || *p > '~' ? '?' : *p;
        }
    }
    if (err == RR_OK) {
        snprintf(subject, sizeof subject, "rr.answer.%s", tail);
        rr_dispatch_answer_write(&bytes, &answer);
        err = nats_store(rig->nats, subject, rr_buf_slice(&bytes), fault);
        rr_buf_clear(&bytes);
    }
    return err;
}

/* ---- tasks ---- */

static enum rr_err make(struct slot *slot, const struct rr_dispatch_task *task, const char *path,
                        struct rr_fault *fault)
{
    struct rig *rig = slot->rig;
    struct asking asking = {.rig = rig, .slot = slot};
    char hex[65], folder[RR_PATH_BYTES];
    struct rr_transcode_options options = {.workers = rig->workers,
                                           .worker_path = rig->options->worker_path};
    int fd = -1;
    rr_hex(hex, task->source.bytes, sizeof task->source.bytes);
    snprintf(asking.subject, sizeof asking.subject, "rr.source.%s", hex);
    enum rr_err err = rr_path(folder, fault, "%s/work-%u", rig->options->folder, slot->number);
    options.job_folder = folder;
    err = err != RR_OK ? err
                       : rr_dispatch_cache_get(rig->cache, &fd, &task->source, task->source_bytes,
                                               NATS_PIECE, fetch, &asking, &slot->cancel, fault);
    err = err != RR_OK ? err
                       : rr_transcode_range(path, fd, rr_buf_slice(&task->plan), &task->shard,
                                            &options, &slot->cancel, fault);
    if (fd >= 0) {
        close(fd);
    }
    return err;
}

static bool avoided(const struct rig *rig, const struct rr_dispatch_task *task)
{
    for (unsigned i = 0; i < task->avoid_count; i++) {
        if (strcmp(task->avoid[i], rig->options->name) == 0) {
            return true;
        }
    }
    return false;
}

static void work_on(struct slot *slot, natsMsg *message, const struct rr_dispatch_task *task,
                    uint64_t delivered)
{
    struct rig *rig = slot->rig;
    struct rr_fault fault = {0}, sending = {0};
    char path[RR_PATH_BYTES];
    enum rr_err err = RR_OK;
    hold(slot, message, task);
    err = rr_path(path, &fault, "%s/part-%u", rig->options->folder, slot->number);
    if (err == RR_OK && delivered > NATS_DELIVERIES) {
        err = rr_fail(&fault, RR_ERR_DAMAGED,
                      "%llu rigs took it and died or gave it back; look into their logs",
                      (unsigned long long)delivered - 1);
    }
    err = err != RR_OK ? err : make(slot, task, path, &fault);
    bool over = stopping(rig) || atomic_load(&slot->cancel);
    enum rr_err sent = RR_OK;
    if (!over && err != RR_ERR_UNREACHABLE && err != RR_ERR_FULL) {
        sent = give(rig, task, err == RR_OK ? path : NULL, &fault, &sending);
        atomic_fetch_add(err == RR_OK ? &rig->done : &rig->failed, 1u);
    }
    bool later = err == RR_ERR_UNREACHABLE || err == RR_ERR_FULL; /* not the task's fault */
    bool dropped = release(slot);
    if (dropped) {
        (void)natsMsg_Term(message, NULL);
    } else if (over) {
        (void)natsMsg_Nak(message, NULL);
    } else if (later || sent != RR_OK) {
        rr_log_fault(RR_LOG_WARN, "fleet", sent != RR_OK ? &sending : &fault);
        (void)natsMsg_NakWithDelay(message, BACK_MS, NULL);
    } else {
        (void)natsMsg_Ack(message, NULL);
    }
    if (err != RR_OK && !over && !later) { /* that is said already */
        rr_log_fault(RR_LOG_WARN, "fleet", &fault);
    }
    if (err == RR_ERR_FULL) {
        rest(rig, AVOID_REST_MS); /* others may have room */
    }
    if (unlink(path) != 0 && errno != ENOENT) {
        rr_log(RR_LOG_WARN, "fleet", "%s cannot be removed", path);
    }
}

static void serve(struct slot *slot, natsMsg *message)
{
    struct rig *rig = slot->rig;
    struct rr_dispatch_task *task = rr_alloc(sizeof *task);
    struct rr_fault fault = {0};
    jsMsgMetaData *facts = NULL;
    uint64_t delivered = 1;
    if (natsMsg_GetMetaData(&facts, message) == NATS_OK) {
        delivered = facts->NumDelivered;
        jsMsgMetaData_Destroy(facts);
    }
    struct rr_slice bytes =
        rr_slice_of(natsMsg_GetData(message), (size_t)natsMsg_GetDataLength(message));
    if (rr_dispatch_task_read(task, bytes, &fault) != RR_OK) {
        rr_log_fault(RR_LOG_WARN, "fleet", &fault);
        (void)natsMsg_NakWithDelay(message, BACK_MS, NULL); /* perhaps a newer rig reads it */
        rest(rig, AVOID_REST_MS);
    } else if (avoided(rig, task)) {
        (void)natsMsg_NakWithDelay(message, AVOID_MS, NULL);
        rest(rig, AVOID_REST_MS);
    } else {
        work_on(slot, message, task, delivered);
    }
    rr_dispatch_task_clear(task);
    rr_free(task);
}

static natsSubscription *subscribe(struct rig *rig)
{
    natsSubscription *tasks = NULL;
    jsSubOptions options;
    jsErrCode error = 0;
    jsSubOptions_Init(&options);
    options.Stream = NATS_JOBS;
    options.ManualAck = true;
    options.Config.AckPolicy = js_AckExplicit;
    options.Config.AckWait = NATS_LEASE_MS * INT64_C(1000000);
    options.Config.MaxDeliver = -1;
    options.Config.MaxAckPending = 4096;
    return js_PullSubscribe(&tasks, rig->nats->js, "rr.job.>", NATS_CONSUMER, NULL, &options,
                            &error) == NATS_OK
               ? tasks
               : NULL;
}

/* Streams are wiped, servers come back empty: then nobody would ever answer the subscription. */
static bool lost(struct rig *rig)
{
    jsConsumerInfo *info = NULL;
    jsOptions options;
    jsErrCode error = 0;
    jsOptions_Init(&options);
    options.Wait = NATS_WAIT_MS;
    natsStatus status =
        js_GetConsumerInfo(&info, rig->nats->js, NATS_JOBS, NATS_CONSUMER, &options, &error);
    jsConsumerInfo_Destroy(info);
    return status == NATS_NOT_FOUND || error != 0;
}

static void *work(void *ctx)
{
    struct slot *slot = ctx;
    natsSubscription *tasks = NULL;
    unsigned idle = 0;
    while (!stopping(slot->rig)) {
        natsMsgList list = {0};
        jsErrCode error = 0;
        if (tasks == NULL && (tasks = subscribe(slot->rig)) == NULL) {
            nats_mend(slot->rig->nats);
            rest(slot->rig, 500);
            continue;
        }
        natsStatus status = natsSubscription_Fetch(&list, tasks, 1, FETCH_MS, &error);
        idle = status == NATS_OK ? 0 : idle + 1;
        if (status == NATS_OK && list.Count == 1) {
            serve(slot, list.Msgs[0]);
        } else if (status != NATS_TIMEOUT) {
            rest(slot->rig, 300);
        }
        natsMsgList_Destroy(&list);
        if (idle == IDLE_FETCHES) {
            idle = 0;
            if (lost(slot->rig)) {
                natsSubscription_Destroy(tasks);
                tasks = NULL;
            }
        }
    }
    natsSubscription_Destroy(tasks);
    return NULL;
}

enum rr_err rr_dispatch_rig_run(struct rr_dispatch_nats *nats,
                                const struct rr_dispatch_rig_options *options,
                                struct rr_fault *fault)
{
    struct rig *rig = rr_alloc(sizeof *rig);
    char path[RR_PATH_BYTES];
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    unsigned all = cores < 1 ? 1 : cores > 256 ? 256 : (unsigned)cores;
    rig->nats = nats;
    rig->options = options;
    rig->slot_count = options->slots != 0 ? options->slots : (all + 3) / 4;
    rig->slot_count = rig->slot_count > SLOTS_MAX ? SLOTS_MAX : rig->slot_count;
    rig->workers =
        options->workers != 0 ? options->workers : (all + rig->slot_count - 1) / rig->slot_count;
    pthread_mutex_init(&rig->lock, NULL);
    RR_CHECK(rr_dispatch_name_good(options->name));
    enum rr_err err = rr_path(path, fault, "%s/sources", options->folder);
    err =
        err != RR_OK ? err : rr_dispatch_cache_open(&rig->cache, path, options->cache_bytes, fault);
    for (unsigned i = 0; i < rig->slot_count && err == RR_OK; i++) {
        rig->slots[i].rig = rig;
        rig->slots[i].number = i;
        if (pthread_create(&rig->slots[i].thread, NULL, work, &rig->slots[i]) != 0) {
            err = rr_fail(fault, RR_ERR_MEMORY, "no thread for slot %u", i);
        } else {
            rig->slots[i].started = true;
        }
    }
    if (err == RR_OK) {
        keep(rig);
        (void)kvStore_Delete(nats->rigs, options->name);
    }
    atomic_store(&rig->quit, true);
    for (unsigned i = 0; i < rig->slot_count; i++) {
        if (rig->slots[i].started) {
            pthread_join(rig->slots[i].thread, NULL);
        }
    }
    rr_dispatch_cache_close(rig->cache);
    pthread_mutex_destroy(&rig->lock);
    rr_free(rig);
    return err;
}

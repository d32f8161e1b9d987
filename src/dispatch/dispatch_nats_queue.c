/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The coordinator's side of a rack: tasks into a work queue, parts out of a stream, the source to
 * whoever asks. */
#include "crypto/crypto.h"
#include "dispatch/dispatch_nats.h"
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define DEAF_US                                                                                    \
    UINT64_C(120000000) /* without an answer of any server, until a job stops waiting              \
                         */

/* ---- the source ---- */

static void serve_one(struct rr_dispatch_nats *nats, natsMsg *asked)
{
    int len = natsMsg_GetDataLength(asked);
    const char *reply = natsMsg_GetReply(asked);
    struct rr_reader reader =
        rr_reader_of(rr_slice_of(natsMsg_GetData(asked), len > 0 ? (size_t)len : 0));
    uint64_t offset = rr_read_u64(&reader);
    uint32_t bytes = rr_read_u32(&reader);
    if (!rr_reader_done(&reader) || reply == NULL || bytes > NATS_PIECE ||
        offset > nats->job.source_bytes || bytes > nats->job.source_bytes - offset) {
        return; /* no question of a rig of ours */
    }
    uint8_t *room = rr_alloc(bytes + 1u);
    if (rr_pread_full(nats->job.source_fd, room, bytes, offset, NULL) == RR_OK) {
        (void)natsConnection_Publish(nats->connection, reply, room, (int)bytes);
    }
    rr_free(room);
}

static void *serve(void *ctx)
{
    struct rr_dispatch_nats *nats = ctx;
    natsSubscription *asked = NULL;
    char subject[NATS_SUBJECT], hex[65];
    rr_hex(hex, nats->job.source.bytes, sizeof nats->job.source.bytes);
    snprintf(subject, sizeof subject, "rr.source.%s", hex);
    while (!atomic_load(&nats->stop)) {
        natsMsg *message = NULL;
        if (asked == NULL &&
            natsConnection_SubscribeSync(&asked, nats->connection, subject) != NATS_OK) {
            nats_Sleep(200);
        } else if (natsSubscription_NextMsg(&message, asked, 200) == NATS_OK) {
            serve_one(nats, message);
            natsMsg_Destroy(message);
        }
    }
    natsSubscription_Destroy(asked);
    return NULL;
}

/* ---- tasks ---- */

static void job_subject(char out[static NATS_SUBJECT], const struct rr_dispatch_nats *nats,
                        uint32_t number)
{
    snprintf(out, NATS_SUBJECT, "rr.job.%s.%u", nats->job_hex, (unsigned)number);
}

static enum rr_err is_there(struct rr_dispatch_nats *nats, bool *there, const char *stream,
                            const char *subject, struct rr_fault *fault)
{
    natsMsg *message = NULL;
    enum rr_err err = nats_last(nats, &message, stream, subject, fault);
    *there = message != NULL;
    natsMsg_Destroy(message);
    return err;
}

static enum rr_err known(struct rr_dispatch_nats *nats, bool *there, uint32_t number,
                         struct rr_fault *fault)
{
    char subject[NATS_SUBJECT];
    job_subject(subject, nats, number);
    /* The queue first: a rig answers before it takes the task out of it. */
    enum rr_err err = is_there(nats, there, NATS_JOBS, subject, fault);
    if (err == RR_OK && !*there) {
        snprintf(subject, sizeof subject, "rr.answer.%s.%u.>", nats->job_hex, (unsigned)number);
        err = is_there(nats, there, NATS_PARTS, subject, fault);
    }
    return err;
}

static enum rr_err begin(void *ctx, const struct rr_dispatch_job *job, struct rr_fault *fault)
{
    struct rr_dispatch_nats *nats = ctx;
    nats->job = *job;
    rr_hex(nats->job_hex, job->key.bytes, sizeof job->key.bytes);
    atomic_store(&nats->stop, false);
    if (pthread_create(&nats->server, NULL, serve, nats) != 0) {
        return rr_fail(fault, RR_ERR_MEMORY, "no thread to give the source away");
    }
    nats->serving = true;
    return RR_OK;
}

static enum rr_err offer(void *ctx, const struct rr_dispatch_task *task, bool fresh,
                         struct rr_fault *fault)
{
    struct rr_dispatch_nats *nats = ctx;
    struct rr_buf bytes = {0};
    char subject[NATS_SUBJECT];
    bool there = false;
    enum rr_err err = RR_OK;
    if (fresh && known(nats, &there, task->number, NULL) == RR_OK && there) {
        return RR_OK; /* an earlier life of this coordinator offered it */
    }
    job_subject(subject, nats, task->number);
    if (!fresh) {
        nats_remove(nats, NATS_JOBS, subject);
    }
    rr_dispatch_task_write(&bytes, task);
    err = nats_store(nats, subject, rr_buf_slice(&bytes), fault);
    rr_buf_clear(&bytes);
    return err;
}

/* A server that died may have taken a rig's last word on a task to its grave after the others had
 * counted it: then the task stays in the stream, and no rig ever gets it again (nats-server 2.9).
 */
static bool stranded(struct rr_dispatch_nats *nats, uint32_t number)
{
    char subject[NATS_SUBJECT];
    natsMsg *message = NULL;
    jsConsumerInfo *info = NULL;
    jsOptions options;
    jsErrCode error = 0;
    bool passed = false;
    job_subject(subject, nats, number);
    jsOptions_Init(&options);
    options.Wait = NATS_WAIT_MS;
    if (nats_last(nats, &message, NATS_JOBS, subject, NULL) == RR_OK && message != NULL &&
        js_GetConsumerInfo(&info, nats->js, NATS_JOBS, NATS_CONSUMER, &options, &error) ==
            NATS_OK) {
        passed = natsMsg_GetSequence(message) <= info->AckFloor.Stream;
        jsConsumerInfo_Destroy(info);
    }
    natsMsg_Destroy(message);
    return passed;
}

static bool alive(void *ctx, const struct rr_dispatch_task *task)
{
    bool there = true;
    if (known(ctx, &there, task->number, NULL) != RR_OK) {
        return true;
    }
    return there && !stranded(ctx, task->number);
}

/* ---- answers ---- */

/* The pieces of an answer into a file, digest checked. */
static enum rr_err gather(struct rr_dispatch_nats *nats, const struct rr_dispatch_answer *answer,
                          const char *path, struct rr_fault *fault)
{
    char subject[NATS_SUBJECT + 16];
    struct rr_hasher hasher;
    struct rr_hash32 digest;
    uint64_t at = 0;
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0) {
        return rr_fail_errno(fault, "%.200s cannot be made", path);
    }
    enum rr_err err = RR_OK;
    rr_hasher_init(&hasher, "rr.part.v1");
    for (uint32_t i = 0; i < answer->pieces && err == RR_OK; i++) {
        natsMsg *piece = NULL;
        snprintf(subject, sizeof subject, "rr.part.%s.%u", nats->answer + strlen("rr.answer."),
                 (unsigned)i);
        err = nats_last(nats, &piece, NATS_PARTS, subject, fault);
        if (err == RR_OK && piece == NULL) {
            err = rr_fail(fault, RR_ERR_TRUST, "a piece of a part is not there");
        }
        if (err == RR_OK) {
            size_t len = (size_t)natsMsg_GetDataLength(piece);
            rr_hasher_add(&hasher, natsMsg_GetData(piece), len);
            err = rr_pwrite_full(fd, natsMsg_GetData(piece), len, at, fault);
            at += len;
        }
        natsMsg_Destroy(piece);
    }
    rr_hasher_final(&hasher, &digest);
    close(fd);
    if (err == RR_OK && (at != answer->bytes || !rr_hash32_equal(&digest, &answer->digest))) {
        err = rr_fail(fault, RR_ERR_TRUST, "the pieces of a part do not have its digest");
    }
    if (err != RR_OK) {
        unlink(path);
    }
    return err;
}

/* Takes the answer that `next` gave out of the stream, with its pieces. */
static void forget(struct rr_dispatch_nats *nats)
{
    char subject[NATS_SUBJECT + 16];
    jsErrCode error = 0;
    (void)js_DeleteMsg(nats->js, NATS_PARTS, nats->answer_sequence, NULL, &error);
    snprintf(subject, sizeof subject, "rr.part.%s.>", nats->answer + strlen("rr.answer."));
    nats_purge(nats, NATS_PARTS, subject);
}

static enum rr_err read_answer(struct rr_dispatch_nats *nats, struct rr_dispatch_answer *out,
                               natsMsg *message, struct rr_fault *fault)
{
    char named[NATS_SUBJECT];
    const char *subject = natsMsg_GetSubject(message);
    nats->answer_sequence = natsMsg_GetSequence(message); /* also of one to be thrown away */
    if (strlen(subject) >= sizeof nats->answer || strncmp(subject, "rr.answer.", 10) != 0) {
        return rr_fail(fault, RR_ERR_FORMAT, "an answer with a strange subject");
    }
    snprintf(nats->answer, sizeof nats->answer, "%s", subject);
    enum rr_err err = rr_dispatch_answer_read(
        out, rr_slice_of(natsMsg_GetData(message), (size_t)natsMsg_GetDataLength(message)), fault);
    if (err == RR_OK) {
        snprintf(named, sizeof named, "rr.answer.%s.%u.%s.", nats->job_hex, (unsigned)out->number,
                 out->rig);
    }
    if (err == RR_OK && strncmp(subject, named, strlen(named)) != 0) {
        err = rr_fail(fault, RR_ERR_FORMAT, "an answer that is not its subject's");
    }
    return err;
}

static enum rr_err next(void *ctx, struct rr_dispatch_answer *out, char path[RR_PATH_BYTES],
                        bool *got, unsigned timeout_ms, struct rr_fault *fault)
{
    struct rr_dispatch_nats *nats = ctx;
    char subject[NATS_SUBJECT];
    natsMsg *message = NULL;
    snprintf(subject, sizeof subject, "rr.answer.%s.>", nats->job_hex);
    enum rr_err err = nats_last(nats, &message, NATS_PARTS, subject, fault);
    *got = false;
    if (err != RR_OK) { /* servers come and go; the job waits for them */
        nats->deaf_us = nats->deaf_us == 0 ? nats_now_us() : nats->deaf_us;
        return nats_now_us() - nats->deaf_us > DEAF_US ? err : RR_OK;
    }
    nats->deaf_us = 0;
    if (message == NULL) {
        nats_Sleep(timeout_ms);
        return RR_OK;
    }
    err = read_answer(nats, out, message, fault);
    natsMsg_Destroy(message);
    if (err == RR_OK && out->code == RR_OK) {
        err = rr_path(path, fault, "%s/part-%llu", nats->job.folder,
                      (unsigned long long)nats->incoming++);
        err = err != RR_OK ? err : gather(nats, out, path, fault);
    }
    if (err == RR_ERR_UNREACHABLE) {
        return RR_OK; /* it stays where it is */
    }
    if (err == RR_ERR_FORMAT || err == RR_ERR_TRUST) {
        rr_log_fault(RR_LOG_WARN, "dispatch", fault);
        forget(nats); /* the shard is missed and offered again */
        return RR_OK;
    }
    *got = err == RR_OK;
    return err;
}

static void accept_one(void *ctx, const struct rr_dispatch_answer *answer, bool holds)
{
    (void)answer;
    (void)holds; /* a rack has one owner: nobody is paid */
    forget(ctx);
}

/* ---- for people ---- */

static void count_rig(void *ctx, const char *key, struct rr_slice value)
{
    (void)key;
    (void)value;
    ++*(int *)ctx;
}

static int report(struct rr_dispatch_nats *nats, uint32_t done, double percent, const char *state)
{
    struct rr_buf text = {0};
    int rigs = 0;
    if (nats_each(nats, NATS_RIGS, count_rig, &rigs, NULL) != RR_OK) {
        rigs = -1; /* who knows */
    }
    rr_buf_format(&text, "{\"job\":\"%s\",\"title\":\"", nats->job_hex);
    for (const char *p = nats->job.title; *p != '\0' && text.len < 300; p++) {
        rr_buf_format(&text, "%c", *p < ' ' || *p > '~' || *p == '"' || *p == '\\' ? '?' : *p);
    }
    rr_buf_format(&text,
                  "\",\"shards\":%u,\"done\":%u,\"percent\":%.1f,\"rigs\":%d,\"state\":\"%s\"",
                  (unsigned)nats->job.shards, (unsigned)done, percent, rigs, state);
    rr_buf_format(&text, ",\"at_ms\":%llu}", (unsigned long long)rr_wall_ms(rr_clock_system()));
    if (kvStore_Put(NULL, nats->runs, nats->job_hex, text.ptr, (int)text.len) != NATS_OK) {
        nats_mend(nats);
    }
    rr_buf_clear(&text);
    return rigs;
}

static int tell(void *ctx, uint32_t done, double percent)
{
    return report(ctx, done, percent, "running");
}

static void end(void *ctx, bool done, bool cancelled)
{
    struct rr_dispatch_nats *nats = ctx;
    char subject[NATS_SUBJECT];
    atomic_store(&nats->stop, true);
    if (nats->serving) {
        pthread_join(nats->server, NULL);
        nats->serving = false;
    }
    if (done || cancelled) {
        snprintf(subject, sizeof subject, "rr.job.%s.>", nats->job_hex);
        nats_remove(nats, NATS_JOBS, subject);
        snprintf(subject, sizeof subject, "rr.cancel.%s", nats->job_hex);
        (void)natsConnection_Publish(nats->connection, subject, NULL, 0);
        snprintf(subject, sizeof subject, "rr.answer.%s.>", nats->job_hex);
        nats_purge(nats, NATS_PARTS, subject);
        snprintf(subject, sizeof subject, "rr.part.%s.>", nats->job_hex);
        nats_purge(nats, NATS_PARTS, subject);
    }
    (void)report(nats, done ? nats->job.shards : 0, done ? 100 : 0,
                 done        ? "done"
                 : cancelled ? "cancelled"
                             : "stopped");
}

static const struct rr_dispatch_ops ops = {begin, offer, next, accept_one, alive, tell, end};

struct rr_dispatch_queue rr_dispatch_nats_queue(struct rr_dispatch_nats *nats)
{
    return (struct rr_dispatch_queue){.ops = &ops, .ctx = nats};
}

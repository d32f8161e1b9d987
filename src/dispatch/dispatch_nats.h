/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Between the files that speak NATS.
 *
 * Stream RR_JOBS (work queue): rr.job.JOB.SHARD, the task; consumer "rigs", a lease of LEASE_MS
 * that in-progress acks renew. Stream RR_PARTS: rr.part.JOB.SHARD.RIG.NONCE.PIECE, bytes, and
 * rr.answer.JOB.SHARD.RIG.NONCE, which is sent when all pieces are stored. Plain subjects:
 * rr.source.DIGEST, answered by the coordinator with bytes of the source; rr.cancel.JOB. Registries
 * RR_RIGS (5 s) and RR_RUNS. Nothing in them is the only copy of anything. */
#ifndef RR_DISPATCH_NATS_H
#define RR_DISPATCH_NATS_H
#include "dispatch/dispatch.h"
#include <nats/nats.h>
#include <pthread.h>

#define NATS_JOBS        "RR_JOBS"
#define NATS_PARTS       "RR_PARTS"
#define NATS_RIGS        "RR_RIGS"
#define NATS_RUNS        "RR_RUNS"
#define NATS_CONSUMER    "rigs"
#define NATS_LEASE_MS    6000
#define NATS_RENEW_MS    1500
#define NATS_PIECE       (384u << 10) /* in base64 it must fit a message of 1 MiB */
#define NATS_SUBJECT     256
#define NATS_DELIVERIES  6 /* of a task whose rigs died; then it is called poison (ours) */
#define NATS_WAIT_MS     3000
#define NATS_PATIENCE_US UINT64_C(30000000) /* for servers that choose a new leader */

struct rr_dispatch_nats {
    natsOptions *options;
    natsConnection *connection;
    jsCtx *js;
    kvStore *rigs, *runs;
    int replicas;
    uint64_t alone_us; /* until then servers may still find each other */
    _Atomic uint64_t mended_us;
    /* of the coordinator */
    struct rr_dispatch_job job;
    char job_hex[65];
    char answer[NATS_SUBJECT]; /* subject of the one that `next` gave */
    uint64_t answer_sequence;
    uint64_t incoming, deaf_us; /* deaf_us: since when nothing can be asked; 0: it can */
    pthread_t server;           /* gives the source away */
    bool serving;
    atomic_bool stop;
};
/* The failure of a call in one sentence; RR_ERR_USAGE for logins and TLS, else RR_ERR_UNREACHABLE.
 */
enum rr_err nats_fail(struct rr_fault *fault, natsStatus status, int js_error, const char *what);
/* Publishes and waits for the ack; tries again while the servers choose a leader. */
enum rr_err nats_store(struct rr_dispatch_nats *nats, const char *subject, struct rr_slice bytes,
                       struct rr_fault *fault) RR_MUST_USE;
/* The last stored message of a subject (may hold '*'), owned by the caller; NULL: none. */
enum rr_err nats_last(struct rr_dispatch_nats *nats, natsMsg **out, const char *stream,
                      const char *subject, struct rr_fault *fault) RR_MUST_USE;
/* Makes streams and registries that are not there any more; now and then, any thread. */
void nats_mend(struct rr_dispatch_nats *nats);
/* All messages of a subject out of a work queue. */
void nats_remove(struct rr_dispatch_nats *nats, const char *stream, const char *subject);
/* The same for a stream that no consumer reads. */
void nats_purge(struct rr_dispatch_nats *nats, const char *stream, const char *subject);
/* The entries of the registry NATS_RIGS or NATS_RUNS: visit gets name and value, which is text of
 * ours or hostile. RR_ERR_UNREACHABLE. */
typedef void nats_visit_fn(void *ctx, const char *key, struct rr_slice value);
enum rr_err nats_each(struct rr_dispatch_nats *nats, const char *bucket, nats_visit_fn *visit,
                      void *ctx, struct rr_fault *fault) RR_MUST_USE;
uint64_t nats_now_us(void);
#endif

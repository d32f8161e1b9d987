/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Private to daemon_work*.c. */
#ifndef RR_DAEMON_WORK_JOBS_H
#define RR_DAEMON_WORK_JOBS_H
#include "daemon/daemon_rig.h"

#include <jansson.h>

#define WORK_IDLE_MS (10u * 60 * 1000) /* a job that nobody asks for this long is dropped */

/* Quotes that nobody has paid for yet; more, and the oldest of them makes room. An empty file each.
 */
#define WORK_UNFUNDED_MAX 64

#define WORK_SHARD_STATES(X)                                                                       \
    X(WORK_IDLE, "idle")                                                                           \
    X(WORK_QUEUED, "queued")                                                                       \
    X(WORK_RUNNING, "running")                                                                     \
    X(WORK_DONE, "done")                                                                           \
    X(WORK_FAILED, "failed")
enum work_shard_state {
#define X(id, text) id,
    WORK_SHARD_STATES(X)
#undef X
};
struct work_shard {
    struct rr_transcode_shard shard;
    enum work_shard_state state;
    uint32_t due_units; /* that it costs */
    struct rr_work_commit commit;
};
struct work_job {
    struct work_job *next;
    char handle[65];
    struct rr_work_order order;
    struct rr_work_quote quote;
    struct rr_hash32 quote_id;
    struct rr_hash32 work_id; /* same publisher, source and chain, whenever it was ordered */
    uint64_t touched_ms;
    bool funding, funded; /* its first payment is looked at; was taken */
    bool opened, ended;   /* ended: the worker thread removes it */
    unsigned users;       /* requests that hold it */
    uint8_t session_id[RR_SESSION_ID_BYTES];
    int source_fd;
    uint64_t source_bytes;
    struct rr_hasher hasher; /* of the source */
    bool source_done;
    struct rr_buf plan;
    struct rr_hash32 key;
    struct work_shard *shards; /* owned; NULL before opened */
    size_t shard_count;
    char error[320]; /* "" : none; with one it is over */
    atomic_bool cancel;
};
struct daemon_work {
    struct rr_rig *rig;
    char folder[RR_PATH_BYTES];
    pthread_t thread;
    bool thread_runs;
    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t changed;
    bool stopping;
    struct work_job *jobs;
    uint32_t speed; /* megapixel-frames a second, as seen */
    uint64_t gops_done, units_done;
};
/* The thread of the work: opens what has arrived, makes shards that are asked for while their
 * publishers pay, removes what is over. */
void *daemon_work_run(void *ctx);
/* Units of finished shards that are not paid; under the lock. */
uint64_t daemon_work_due(struct daemon_work *work, const struct work_job *job, uint64_t *paid);
enum rr_err daemon_work_path(const struct daemon_work *work, const struct work_job *job,
                             char out[static RR_PATH_BYTES], const char *format, unsigned number,
                             struct rr_fault *fault) RR_MUST_USE;
void daemon_work_offer(struct daemon_work *work, struct rr_work_offer *out); /* takes the lock */
#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Group commit: one thread writes what many charges changed, then calls them back. */
#include "pay/pay_till.h"
#include <errno.h>
#include <string.h>
#include <time.h>

RR_COUNTER(commits, "reelrig_pay_commits_total", "Group commits of the till")
RR_COUNTER(commit_failures, "reelrig_pay_commit_failures_total",
           "Group commits that failed; they are tried again")

#define RETRY_MS 500

/* ---- waiting for callbacks ---------------------------------------------------------------------
 */
void pay_wait_init(struct pay_wait *wait)
{
    *wait = (struct pay_wait){.err = RR_OK};
    RR_CHECK(pthread_mutex_init(&wait->lock, NULL) == 0);
    RR_CHECK(pthread_cond_init(&wait->wake, NULL) == 0);
}

void pay_wait_expect(struct pay_wait *wait)
{
    pthread_mutex_lock(&wait->lock);
    wait->left++;
    pthread_mutex_unlock(&wait->lock);
}

void pay_wait_done(void *ctx, enum rr_err result)
{
    struct pay_wait *wait = ctx;
    pthread_mutex_lock(&wait->lock);
    if (wait->err == RR_OK) {
        wait->err = result;
    }
    wait->left--;
    pthread_cond_signal(&wait->wake);
    pthread_mutex_unlock(&wait->lock);
}

enum rr_err pay_wait_finish(struct pay_wait *wait)
{
    pthread_mutex_lock(&wait->lock);
    while (wait->left > 0) {
        pthread_cond_wait(&wait->wake, &wait->lock);
    }
    enum rr_err err = wait->err;
    pthread_mutex_unlock(&wait->lock);
    pthread_cond_destroy(&wait->wake);
    pthread_mutex_destroy(&wait->lock);
    return err;
}

/* ---- queue -------------------------------------------------------------------------------------
 */
static void add_waiter(struct pay_queue *queue, struct pay_waiter waiter)
{
    if (queue->waiter_count == queue->waiter_capacity) {
        queue->waiter_capacity = queue->waiter_capacity == 0 ? 256 : queue->waiter_capacity * 2;
        queue->waiters =
            rr_realloc(queue->waiters, queue->waiter_capacity * sizeof(*queue->waiters));
    }
    queue->waiters[queue->waiter_count++] = waiter;
}

static void add_session(struct pay_queue *queue, struct pay_session *session)
{
    if (queue->session_count == queue->session_capacity) {
        queue->session_capacity = queue->session_capacity == 0 ? 256 : queue->session_capacity * 2;
        queue->sessions =
            rr_realloc(queue->sessions, queue->session_capacity * sizeof(struct pay_session *));
    }
    queue->sessions[queue->session_count++] = session;
}

static void clear_queue(struct pay_queue *queue)
{
    rr_free(queue->waiters);
    rr_free(queue->sessions);
    *queue = (struct pay_queue){0};
}

void pay_committer_queue(struct rr_till *till, struct pay_session *session, pay_done_fn *done,
                         void *ctx)
{
    pthread_mutex_lock(&till->queue_lock);
    bool idle = till->queue.waiter_count == 0 && till->queue.session_count == 0;
    if (!session->queued) {
        session->queued = true;
        add_session(&till->queue, session);
    }
    if (done != NULL) {
        add_waiter(&till->queue, (struct pay_waiter){.done = done, .ctx = ctx});
    }
    if (idle) {
        pthread_cond_signal(&till->queue_wake);
    }
    pthread_mutex_unlock(&till->queue_lock);
}

/* ---- one batch ---------------------------------------------------------------------------------
 */
struct put {
    enum pay_table table;
    uint32_t key_bytes, value_bytes;
    size_t at; /* key, then value, in `bytes` */
};
struct batch {
    struct rr_buf bytes;
    struct put *puts;
    size_t put_count, put_capacity;
    uint64_t *versions; /* of each session, as written */
    size_t version_capacity;
    struct pay_totals more; /* what it adds to the totals */
};

static void add_put(struct batch *batch, enum pay_table table, size_t at, size_t key_bytes)
{
    if (batch->put_count == batch->put_capacity) {
        batch->put_capacity = batch->put_capacity == 0 ? 256 : batch->put_capacity * 2;
        batch->puts = rr_realloc(batch->puts, batch->put_capacity * sizeof(*batch->puts));
    }
    batch->puts[batch->put_count++] = (struct put){
        .table = table,
        .key_bytes = (uint32_t)key_bytes,
        .value_bytes = (uint32_t)(batch->bytes.len - at - key_bytes),
        .at = at,
    };
}

static void write_be64(struct rr_buf *out, uint64_t value)
{
    for (int shift = 56; shift >= 0; shift -= 8) {
        rr_write_u8(out, (uint8_t)(value >> shift));
    }
}

/* Under the session's lock. */
static void snapshot(struct batch *batch, struct pay_session *session)
{
    size_t at = batch->bytes.len;
    rr_buf_append(&batch->bytes, session->id, sizeof(session->id));
    pay_session_encode(&batch->bytes, session);
    add_put(batch, PAY_TABLE_SESSIONS, at, sizeof(session->id));
    const struct pay_chunk *chunk;
    while ((chunk = pay_slices_next_dirty(&session->slices)) != NULL) {
        at = batch->bytes.len;
        rr_buf_append(&batch->bytes, session->id, sizeof(session->id));
        write_be64(&batch->bytes, chunk->number);
        size_t key_bytes = batch->bytes.len - at;
        rr_buf_append(&batch->bytes, chunk->bits, sizeof(chunk->bits));
        add_put(batch, PAY_TABLE_SLICES, at, key_bytes);
    }
}

static enum rr_err write_batch(struct rr_db_txn *txn, void *ctx, struct rr_fault *fault)
{
    const struct batch *batch = ctx;
    for (size_t i = 0; i < batch->put_count; i++) {
        const struct put *put = &batch->puts[i];
        const uint8_t *at = batch->bytes.ptr + put->at;
        enum rr_err err = rr_db_put(txn, (uint32_t)put->table, rr_slice_of(at, put->key_bytes),
                                    rr_slice_of(at + put->key_bytes, put->value_bytes), fault);
        if (err != RR_OK) {
            return err;
        }
    }
    return RR_OK;
}

/* What one session's written state adds to the sums that status shows. */
static void count_session(struct rr_till *till, struct pay_session *session, uint64_t version)
{
    if (session->durable == 0) {
        till->totals.sessions++;
    }
    session->durable = session->durable < version ? version : session->durable;
    struct rr_coin more;
    if (rr_coin_sub(&more, session->value, session->counted) && !rr_coin_is_zero(more) &&
        session->version == version) {
        till->totals.paid_units += pay_session_units(session, session->value) -
                                   pay_session_units(session, session->counted);
        if (!rr_coin_add(&till->totals.paid, till->totals.paid, more)) {
            rr_log(RR_LOG_WARN, "pay", "the sum of all payments is beyond the cap of amounts");
        }
        session->counted = session->value;
    }
}

static enum rr_err commit(struct rr_till *till, struct batch *batch, struct pay_queue *work)
{
    batch->bytes.len = 0;
    batch->put_count = 0;
    if (work->session_count > batch->version_capacity) {
        batch->version_capacity = work->session_count * 2;
        batch->versions =
            rr_realloc(batch->versions, batch->version_capacity * sizeof(*batch->versions));
    }
    for (size_t i = 0; i < work->session_count; i++) {
        struct pay_session *session = work->sessions[i];
        pthread_mutex_lock(&session->lock);
        session->queued = false;
        batch->versions[i] = session->version;
        if (session->version != session->durable) {
            snapshot(batch, session);
        }
        pthread_mutex_unlock(&session->lock);
    }
    struct rr_fault fault = {0};
    enum rr_err err =
        batch->put_count == 0 ? RR_OK : rr_db_write(till->db, write_batch, batch, &fault);
    if (err != RR_OK) {
        rr_log_fault(RR_LOG_ERROR, "pay", &fault);
        rr_counter_add(&commit_failures, 1);
    } else {
        rr_counter_add(&commits, 1);
    }
    for (size_t i = 0; i < work->session_count; i++) {
        struct pay_session *session = work->sessions[i];
        pthread_mutex_lock(&session->lock);
        if (err == RR_OK) {
            pthread_mutex_lock(&till->totals_lock);
            count_session(till, session, batch->versions[i]);
            pthread_mutex_unlock(&till->totals_lock);
        } else {
            pay_slices_set_dirty(&session->slices);
            pay_committer_queue(till, session, NULL, NULL);
        }
        pthread_mutex_unlock(&session->lock);
    }
    return err;
}

/* ---- the thread --------------------------------------------------------------------------------
 */
static void later(struct timespec *out, uint64_t ms)
{
    clock_gettime(CLOCK_MONOTONIC, out);
    out->tv_sec += (time_t)(ms / 1000);
    out->tv_nsec += (long)(ms % 1000) * 1000000L;
    if (out->tv_nsec >= 1000000000L) {
        out->tv_sec++;
        out->tv_nsec -= 1000000000L;
    }
}

/* Sleeps until `until`, or a stop; under queue_lock. */
static void sleep_until(struct rr_till *till, const struct timespec *until)
{
    while (!till->stop &&
           pthread_cond_timedwait(&till->queue_wake, &till->queue_lock, until) != ETIMEDOUT) {
    }
}

static void *run(void *ctx)
{
    struct rr_till *till = ctx;
    struct pay_queue work = {0};
    struct batch batch = {0};
    struct timespec next;
    later(&next, 0);
    enum rr_err err = RR_OK;
    pthread_mutex_lock(&till->queue_lock);
    for (;;) {
        while (!till->stop && till->queue.waiter_count == 0 && till->queue.session_count == 0) {
            pthread_cond_wait(&till->queue_wake, &till->queue_lock);
        }
        if (till->stop && till->queue.waiter_count == 0 &&
            (till->queue.session_count == 0 || err != RR_OK)) {
            break; /* stopped and nothing left, or nothing that the disk takes */
        }
        /* A lone charge is written at once; under load, commits start commit_ms apart and gather.
         */
        sleep_until(till, &next);
        struct pay_queue taken = till->queue;
        till->queue = work;
        work = taken;
        pthread_mutex_unlock(&till->queue_lock);

        later(&next, till->options.commit_ms);
        err = commit(till, &batch, &work);
        for (size_t i = 0; i < work.waiter_count; i++) {
            work.waiters[i].done(work.waiters[i].ctx, err);
        }
        work.waiter_count = 0;
        work.session_count = 0;
        if (err != RR_OK) {
            later(&next, RETRY_MS);
        }
        pthread_mutex_lock(&till->queue_lock);
    }
    pthread_mutex_unlock(&till->queue_lock);
    clear_queue(&work);
    rr_buf_clear(&batch.bytes);
    rr_free(batch.puts);
    rr_free(batch.versions);
    return NULL;
}

enum rr_err pay_committer_start(struct rr_till *till, struct rr_fault *fault)
{
    pthread_condattr_t attributes;
    RR_CHECK(pthread_condattr_init(&attributes) == 0);
    RR_CHECK(pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC) == 0);
    RR_CHECK(pthread_mutex_init(&till->queue_lock, NULL) == 0);
    RR_CHECK(pthread_cond_init(&till->queue_wake, &attributes) == 0);
    pthread_condattr_destroy(&attributes);
    till->committer_made = true;
    int failed = pthread_create(&till->committer, NULL, run, till);
    if (failed != 0) {
        errno = failed;
        return rr_fail_errno(fault, "the commit thread of the till could not be started");
    }
    till->committer_runs = true;
    return RR_OK;
}

void pay_committer_stop(struct rr_till *till)
{
    if (!till->committer_made) {
        return;
    }
    if (till->committer_runs) {
        pthread_mutex_lock(&till->queue_lock);
        till->stop = true;
        pthread_cond_signal(&till->queue_wake);
        pthread_mutex_unlock(&till->queue_lock);
        pthread_join(till->committer, NULL);
    }
    clear_queue(&till->queue);
    pthread_cond_destroy(&till->queue_wake);
    pthread_mutex_destroy(&till->queue_lock);
}

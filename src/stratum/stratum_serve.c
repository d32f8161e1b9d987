/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The server's shell: sockets and the verifying thread around the core. */
#include "stratum/stratum_pipe.h"
#include "stratum/stratum_server.h"

#include <pthread.h>
#include <string.h>

#define BATCH      64
#define TICK_MS    500
#define UNSENT_MAX (1u << 20) /* a miner that reads nothing is let go */

RR_GAUGE(stratum_serve_connections_gauge, "reelrig_stratum_connections",
         "Miners connected to this rig.")
RR_GAUGE(stratum_serve_rate_gauge, "reelrig_stratum_hashes_per_second",
         "Rate of the connected miners by their accepted shares.")
RR_GAUGE(stratum_serve_push_gauge, "reelrig_stratum_push_us",
         "From new work to the last byte handed to the kernel, in microseconds.")
RR_COUNTER(stratum_serve_accepted_counter, "reelrig_stratum_shares_accepted_total",
           "Shares that held.")
RR_COUNTER(stratum_serve_stale_counter, "reelrig_stratum_shares_stale_total",
           "Shares that came too late.")
RR_COUNTER(stratum_serve_duplicate_counter, "reelrig_stratum_shares_duplicate_total",
           "Shares that came twice.")
RR_COUNTER(stratum_serve_rejected_counter, "reelrig_stratum_shares_rejected_total",
           "Shares that did not hold.")
RR_COUNTER(stratum_serve_blocks_counter, "reelrig_stratum_blocks_total",
           "Blocks solved by connected miners.")
RR_COUNTER(stratum_serve_bans_counter, "reelrig_stratum_bans_total",
           "Addresses shut out for flooding.")
RR_COUNTER(stratum_serve_errors_counter, "reelrig_stratum_bad_messages_total",
           "Messages that made no sense.")

struct link {
    struct rr_stratum_server *server;
    struct stratum_conn *conn;
    struct stratum_pipe *pipe;
};

struct rr_stratum_server {
    struct rr_stratum_server_options options;
    struct rr_tcp_listener *listener;
    struct stratum_tls_context *tls;
    struct rr_timer *timer;
    struct rr_pool *pool;
    bool stopped;
    bool batch_runs;
    size_t batch_count;
    struct stratum_share batch[BATCH];
    struct rr_hash_check checks[BATCH];

    pthread_mutex_t lock; /* of the core and what follows */
    struct stratum_server *core;
    uint64_t push_us;
    bool work_posted;
    bool work_known;
    struct rr_stratum_work work; /* newest that was set */
    uint64_t work_us;
};

static uint64_t now_us(void)
{
    return rr_monotonic_us(rr_clock_system());
}

/* ---- connections ------------------------------------------------------------------------- */

static void drop(struct link *link)
{
    struct rr_stratum_server *server = link->server;
    stratum_server_drop(server->core, link->conn);
    stratum_pipe_close(link->pipe);
    rr_free(link);
}

/* Sends what the core has to say; ends the connection when it is to end. Under the lock. */
static void flush(struct link *link)
{
    struct stratum_conn *conn = link->conn;
    if (conn->output.len > 0 && stratum_pipe_open(link->pipe)) {
        stratum_pipe_send(link->pipe, rr_buf_slice(&conn->output));
        conn->output.len = 0;
    }
    if (conn->ending == NULL && stratum_pipe_unsent(link->pipe) > UNSENT_MAX) {
        conn->ending = "it does not read its answers";
    }
    if (conn->ending != NULL) {
        rr_log(RR_LOG_INFO, "stratum", "miner %s let go: %s%s", conn->peer, conn->ending,
               conn->banned ? "; its address stays out for stratum.ban_s" : "");
        drop(link);
    }
}

static void flush_all(struct rr_stratum_server *server)
{
    for (struct stratum_conn *conn = server->core->conns, *next; conn != NULL; conn = next) {
        next = conn->next;
        flush(conn->shell);
    }
}

static void publish_sums(struct rr_stratum_server *server)
{
    struct rr_stratum_server_stats stats;
    stratum_server_stats(server->core, &stats, now_us());
    rr_gauge_set(&stratum_serve_connections_gauge, stats.connections);
    rr_gauge_set(&stratum_serve_rate_gauge, stats.rate);
    rr_gauge_set(&stratum_serve_push_gauge, server->push_us);
    rr_gauge_set(&stratum_serve_accepted_counter, stats.accepted);
    rr_gauge_set(&stratum_serve_stale_counter, stats.stale);
    rr_gauge_set(&stratum_serve_duplicate_counter, stats.duplicate);
    rr_gauge_set(&stratum_serve_rejected_counter, stats.rejected);
    rr_gauge_set(&stratum_serve_blocks_counter, stats.blocks);
    rr_gauge_set(&stratum_serve_bans_counter, stats.bans);
    rr_gauge_set(&stratum_serve_errors_counter, stats.errors);
}

/* ---- verification ------------------------------------------------------------------------ */

/* On the pool's thread; the batch is this thread's until batch_done. */
static void verify_batch(void *ctx)
{
    struct rr_stratum_server *server = ctx;
    struct rr_fault fault = {0};
    for (size_t i = 0; i < server->batch_count; i++) {
        server->checks[i] = server->batch[i].check;
    }
    bool failed = server->options.verify(server->options.ctx, server->checks, server->batch_count,
                                         &fault) != RR_OK;
    if (failed) {
        rr_log_fault(RR_LOG_ERROR, "stratum", &fault);
    }
    for (size_t i = 0; i < server->batch_count; i++) {
        struct stratum_share *share = &server->batch[i];
        share->check = server->checks[i];
        share->failed = failed;
        if (!stratum_share_solves(share)) {
            continue;
        }
        struct rr_stratum_solution solution = {
            .work_id = share->work_id, .height = share->height, .nonce = share->check.nonce};
        memcpy(solution.mix, share->check.mix, 32);
        memcpy(solution.final_be, share->check.final_be, 32);
        memcpy(solution.worker, share->worker_name, sizeof solution.worker);
        share->block = server->options.solved(server->options.ctx, &solution);
    }
}

static void batch_done(void *ctx);

static void pump(struct rr_stratum_server *server)
{
    if (server->batch_runs || server->stopped) {
        return;
    }
    server->batch_count = stratum_server_take(server->core, server->batch, BATCH);
    if (server->batch_count > 0) {
        server->batch_runs = true;
        rr_pool_submit(server->pool, verify_batch, server->options.loop, batch_done, server);
    }
}

static void batch_done(void *ctx)
{
    struct rr_stratum_server *server = ctx;
    pthread_mutex_lock(&server->lock);
    server->batch_runs = false;
    if (!server->stopped) {
        stratum_server_judge(server->core, server->batch, server->batch_count, now_us());
        flush_all(server);
        pump(server);
        publish_sums(server);
    }
    pthread_mutex_unlock(&server->lock);
}

/* ---- events ------------------------------------------------------------------------------ */

static void on_opened(void *ctx)
{
    (void)ctx;
}

static void on_received(void *ctx, struct rr_slice bytes)
{
    struct link *link = ctx;
    struct rr_stratum_server *server = link->server;
    pthread_mutex_lock(&server->lock);
    stratum_server_input(server->core, link->conn, bytes, now_us());
    flush(link);
    pump(server);
    pthread_mutex_unlock(&server->lock);
}

static void on_closed(void *ctx, const struct rr_fault *why)
{
    struct link *link = ctx;
    struct rr_stratum_server *server = link->server;
    pthread_mutex_lock(&server->lock);
    rr_log_fault(RR_LOG_DEBUG, "stratum", why);
    drop(link);
    publish_sums(server);
    pthread_mutex_unlock(&server->lock);
}

static const struct stratum_pipe_events pipe_events = {on_opened, on_received, on_closed};

static void on_accepted(void *ctx, struct rr_tcp *tcp)
{
    struct rr_stratum_server *server = ctx;
    char peer[RR_TCP_PEER_BYTES];
    rr_tcp_peer(tcp, peer);
    pthread_mutex_lock(&server->lock);
    struct stratum_conn *conn = stratum_server_open(server->core, peer, now_us());
    if (conn == NULL) {
        rr_tcp_close(tcp);
    } else {
        struct link *link = rr_alloc(sizeof *link);
        link->server = server;
        link->conn = conn;
        conn->shell = link;
        link->pipe = stratum_pipe_accept(tcp, server->tls, &pipe_events, link);
        publish_sums(server);
    }
    pthread_mutex_unlock(&server->lock);
}

static void on_tick(void *ctx)
{
    struct rr_stratum_server *server = ctx;
    pthread_mutex_lock(&server->lock);
    stratum_server_tick(server->core, now_us());
    flush_all(server);
    pump(server);
    publish_sums(server);
    pthread_mutex_unlock(&server->lock);
}

static void on_work(void *ctx)
{
    struct rr_stratum_server *server = ctx;
    pthread_mutex_lock(&server->lock);
    server->work_posted = false;
    if (!server->stopped) {
        stratum_server_work(server->core, &server->work, now_us());
        flush_all(server);
        server->push_us = now_us() - server->work_us;
    }
    pthread_mutex_unlock(&server->lock);
}

/* ---- the door ---------------------------------------------------------------------------- */

void rr_stratum_server_set_work(struct rr_stratum_server *server,
                                const struct rr_stratum_work *work)
{
    pthread_mutex_lock(&server->lock);
    server->work = *work;
    server->work_us = now_us();
    bool post = !server->work_posted && !server->stopped;
    server->work_posted = server->work_posted || post;
    if (post) {
        rr_loop_post(server->options.loop, on_work, server);
    }
    pthread_mutex_unlock(&server->lock);
}

static enum rr_err check_options(const struct rr_stratum_server_options *o, struct rr_fault *fault)
{
    if (o->connections_max < 1 || o->connections_max > STRATUM_CONNECTIONS_MAX ||
        o->lines_per_s < 1 || o->lines_per_s > 10000 || o->share_ms < 100 || o->share_ms > 600000) {
        return rr_fail(fault, RR_ERR_USAGE,
                       "connections %u, lines per second %u or the time of a share %u ms is out of "
                       "range",
                       o->connections_max, o->lines_per_s, o->share_ms);
    }
    if (o->password != NULL && strlen(o->password) >= STRATUM_NAME_BYTES) {
        return rr_fail(fault, RR_ERR_USAGE, "the password is longer than %d characters",
                       STRATUM_NAME_BYTES - 1);
    }
    if ((o->certificate_path == NULL) != (o->key_path == NULL)) {
        return rr_fail(fault, RR_ERR_USAGE,
                       "TLS needs a certificate and its key; only one of them was given");
    }
    return RR_OK;
}

enum rr_err rr_stratum_server_start(struct rr_stratum_server **out,
                                    const struct rr_stratum_server_options *options,
                                    struct rr_fault *fault)
{
    enum rr_err err = check_options(options, fault);
    if (err != RR_OK) {
        return err;
    }
    struct stratum_server_config config = {.share_difficulty = options->share_difficulty,
                                           .share_ms = options->share_ms,
                                           .connections_max = options->connections_max,
                                           .lines_per_s = options->lines_per_s,
                                           .ban_ms = options->ban_ms};
    rr_random(&config.seed, sizeof config.seed);
    if (options->password != NULL) {
        memcpy(config.password, options->password, strlen(options->password));
    }
    struct rr_stratum_server *server = rr_alloc(sizeof *server);
    server->options = *options;
    pthread_mutex_init(&server->lock, NULL);
    server->core = stratum_server_new(&config);
    server->pool = rr_pool_new("stratum", 1);
    if (options->certificate_path != NULL) {
        err = stratum_tls_server(&server->tls, options->certificate_path, options->key_path, fault);
    }
    if (err == RR_OK) {
        err = rr_tcp_listen(&server->listener, options->loop, options->address, options->port,
                            on_accepted, server, fault);
    }
    if (err != RR_OK) {
        rr_stratum_server_stop(server);
        return err;
    }
    server->timer = rr_timer_new(options->loop, TICK_MS, TICK_MS, on_tick, server);
    *out = server;
    return RR_OK;
}

void rr_stratum_server_stop(struct rr_stratum_server *server)
{
    if (server == NULL) {
        return;
    }
    rr_timer_free(server->timer);
    rr_tcp_listener_free(server->listener);
    pthread_mutex_lock(&server->lock);
    server->stopped = true;
    while (server->core->conns != NULL) {
        drop(server->core->conns->shell);
    }
    pthread_mutex_unlock(&server->lock);
    rr_pool_free(server->pool);
    rr_loop_drain(server->options.loop); /* what was posted to this server */
    stratum_server_free(server->core);
    stratum_tls_context_free(server->tls);
    pthread_mutex_destroy(&server->lock);
    rr_free(server);
}

uint16_t rr_stratum_server_port(const struct rr_stratum_server *server)
{
    return rr_tcp_listener_port(server->listener);
}

void rr_stratum_server_stats(struct rr_stratum_server *server, struct rr_stratum_server_stats *out)
{
    pthread_mutex_lock(&server->lock);
    stratum_server_stats(server->core, out, now_us());
    out->push_us = server->push_us;
    pthread_mutex_unlock(&server->lock);
}

size_t rr_stratum_server_workers(struct rr_stratum_server *server, struct rr_stratum_worker *out,
                                 size_t max)
{
    pthread_mutex_lock(&server->lock);
    size_t count = stratum_server_workers(server->core, out, max, now_us());
    pthread_mutex_unlock(&server->lock);
    return count;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The door of loop, floor 1: the only owner of libuv. One loop is the control plane; what blocks
 * goes to a named pool. */
#ifndef RR_LOOP_H
#define RR_LOOP_H
#include "base/base.h"

struct rr_loop;
struct rr_pool; /* named worker threads with one FIFO queue */
struct rr_timer;

struct rr_loop *rr_loop_new(void);
void rr_loop_free(struct rr_loop *loop); /* after rr_loop_run returned */
/* Runs until rr_loop_stop; the calling thread becomes the loop's owner. Lag (how late a 100 ms
 * timer fires) goes to the gauge reelrig_loop_lag_us. */
void rr_loop_run(struct rr_loop *loop);
/* Any thread, any time, also from a signal callback. */
void rr_loop_stop(struct rr_loop *loop);
/* Runs fn(ctx) soon on the loop's thread; any thread; FIFO. */
void rr_loop_post(struct rr_loop *loop, void (*fn)(void *ctx), void *ctx);
/* Runs on the calling thread what is still posted, and returns how many that were; for after
 * rr_loop_run returned, so that late results of pools are not lost. What is left at rr_loop_free is
 * dropped unrun. */
size_t rr_loop_drain(struct rr_loop *loop);
/* Loop thread only. First after delay_ms, then every repeat_ms (0: once). Owned: rr_timer_free. */
struct rr_timer *rr_timer_new(struct rr_loop *loop, uint64_t delay_ms, uint64_t repeat_ms,
                              void (*fn)(void *ctx), void *ctx);
void rr_timer_free(struct rr_timer *timer); /* loop thread; NULL is fine */
/* Calls fn(ctx, signum) on the loop for SIGTERM, SIGINT and SIGHUP. */
void rr_loop_on_signals(struct rr_loop *loop, void (*fn)(void *ctx, int signum), void *ctx);
/* Calls fn on the loop whenever fd is readable, until the loop ends; fd is borrowed. */
void rr_loop_on_readable(struct rr_loop *loop, int fd, void (*fn)(void *ctx), void *ctx);
/* Loop thread. Ends that, before fd is closed; an fd that is not watched is fine. */
void rr_loop_off_readable(struct rr_loop *loop, int fd);

/* ---- TCP; loop thread only --------------------------------------------------------------- */
struct rr_tcp;
struct rr_tcp_listener;
/* What happens to a stream; each may close it. After `closed`, or after rr_tcp_close, nothing more
 * is called. */
struct rr_tcp_events {
    void (*opened)(void *ctx); /* of rr_tcp_connect only; may be NULL for accepted ones */
    void (*received)(void *ctx, struct rr_slice bytes); /* borrowed for the call, never empty */
    /* The stream ended or failed, the sentence says which; it is gone already. */
    void (*closed)(void *ctx, const struct rr_fault *why);
};
/* Listens on a numeric address (IPv4 or IPv6). accepted is given each stream, which calls
 * rr_tcp_start on it or rr_tcp_close, at once. RR_ERR_USAGE (no such address), RR_ERR_BUSY (port
 * taken). *out owned: rr_tcp_listener_free. */
enum rr_err rr_tcp_listen(struct rr_tcp_listener **out, struct rr_loop *loop, const char *address,
                          uint16_t port, void (*accepted)(void *ctx, struct rr_tcp *tcp), void *ctx,
                          struct rr_fault *fault) RR_MUST_USE;
uint16_t rr_tcp_listener_port(const struct rr_tcp_listener *listener);
void rr_tcp_listener_free(struct rr_tcp_listener *listener); /* NULL is fine */
/* Resolves host (never blocks the loop) and connects; then `opened`, or `closed` with
 * RR_ERR_UNREACHABLE. Owned: rr_tcp_close. events borrowed for the stream's life. */
struct rr_tcp *rr_tcp_connect(struct rr_loop *loop, const char *host, uint16_t port,
                              const struct rr_tcp_events *events, void *ctx);
/* Of an accepted stream: from now on events come. */
void rr_tcp_start(struct rr_tcp *tcp, const struct rr_tcp_events *events, void *ctx);
#define RR_TCP_PEER_BYTES 48
void rr_tcp_peer(const struct rr_tcp *tcp, char text[static RR_TCP_PEER_BYTES]); /* no port */
void rr_tcp_send(struct rr_tcp *tcp, struct rr_slice bytes);                     /* copies; FIFO */
size_t rr_tcp_unsent(const struct rr_tcp *tcp); /* bytes the kernel has not taken */
void rr_tcp_close(struct rr_tcp *tcp);          /* before the loop is freed; NULL is fine */

/* threads 1..64, named "rr-NAME". */
struct rr_pool *rr_pool_new(const char *name, unsigned threads);
/* Runs work(ctx) on a pool thread, then, when loop is not NULL, done(ctx) on the loop's thread. */
void rr_pool_submit(struct rr_pool *pool, void (*work)(void *ctx), struct rr_loop *loop,
                    void (*done)(void *ctx), void *ctx);
/* Waits for what is queued, then joins the threads. */
void rr_pool_free(struct rr_pool *pool);
#endif

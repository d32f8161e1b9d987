/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "stratum/stratum_pipe.h"

#include <string.h>

struct stratum_pipe {
    struct rr_tcp *tcp; /* NULL: gone */
    struct stratum_tls *tls;
    const struct stratum_pipe_events *events;
    void *ctx;
    bool opened, closed;
    unsigned inside; /* callbacks that run; the last one frees a closed pipe */
};

static void leave(struct stratum_pipe *pipe)
{
    if (--pipe->inside == 0 && pipe->closed) {
        stratum_tls_free(pipe->tls);
        rr_free(pipe);
    }
}

void stratum_pipe_close(struct stratum_pipe *pipe)
{
    if (pipe == NULL || pipe->closed) {
        return;
    }
    pipe->closed = true;
    rr_tcp_close(pipe->tcp);
    pipe->tcp = NULL;
    pipe->inside++;
    leave(pipe);
}

/* The stream is over; the owner still has to close the pipe. */
static void end(struct stratum_pipe *pipe, const struct rr_fault *why)
{
    rr_tcp_close(pipe->tcp);
    pipe->tcp = NULL;
    if (!pipe->closed) {
        pipe->events->closed(pipe->ctx, why);
    }
}

static void put(struct stratum_pipe *pipe, const struct rr_buf *wire)
{
    if (pipe->tcp != NULL && wire->len > 0) {
        rr_tcp_send(pipe->tcp, rr_buf_slice(wire));
    }
}

static void turn_tls(struct stratum_pipe *pipe, struct rr_slice bytes)
{
    struct rr_buf plain = {0}, wire = {0};
    struct rr_fault fault = {0};
    enum rr_err err = stratum_tls_receive(pipe->tls, bytes, &plain, &wire, &fault);
    put(pipe, &wire);
    if (err != RR_ERR_TRUST && !pipe->opened && stratum_tls_ready(pipe->tls)) {
        pipe->opened = true;
        pipe->events->opened(pipe->ctx);
    }
    if (plain.len > 0 && !pipe->closed) {
        pipe->events->received(pipe->ctx, rr_buf_slice(&plain));
    }
    if (err != RR_OK && !pipe->closed) {
        end(pipe, &fault);
    }
    rr_buf_clear(&plain);
    rr_buf_clear(&wire);
}

static void on_opened(void *ctx)
{
    struct stratum_pipe *pipe = ctx;
    pipe->inside++;
    if (pipe->tls != NULL) {
        turn_tls(pipe, (struct rr_slice){0});
    } else {
        pipe->opened = true;
        pipe->events->opened(pipe->ctx);
    }
    leave(pipe);
}

static void on_received(void *ctx, struct rr_slice bytes)
{
    struct stratum_pipe *pipe = ctx;
    pipe->inside++;
    if (pipe->tls != NULL) {
        turn_tls(pipe, bytes);
    } else {
        pipe->events->received(pipe->ctx, bytes);
    }
    leave(pipe);
}

static void on_closed(void *ctx, const struct rr_fault *why)
{
    struct stratum_pipe *pipe = ctx;
    pipe->inside++;
    pipe->tcp = NULL;
    end(pipe, why);
    leave(pipe);
}

static const struct rr_tcp_events tcp_events = {on_opened, on_received, on_closed};

static struct stratum_pipe *new_pipe(struct stratum_tls_context *tls, const char *host,
                                     const struct stratum_pipe_events *events, void *ctx)
{
    struct stratum_pipe *pipe = rr_alloc(sizeof *pipe);
    pipe->events = events;
    pipe->ctx = ctx;
    pipe->tls = tls != NULL ? stratum_tls_new(tls, host) : NULL;
    return pipe;
}

struct stratum_pipe *stratum_pipe_accept(struct rr_tcp *tcp, struct stratum_tls_context *tls,
                                         const struct stratum_pipe_events *events, void *ctx)
{
    struct stratum_pipe *pipe = new_pipe(tls, NULL, events, ctx);
    pipe->tcp = tcp;
    pipe->opened = tls == NULL;
    rr_tcp_start(tcp, &tcp_events, pipe);
    return pipe;
}

struct stratum_pipe *stratum_pipe_connect(struct rr_loop *loop, const char *host, uint16_t port,
                                          struct stratum_tls_context *tls,
                                          const struct stratum_pipe_events *events, void *ctx)
{
    struct stratum_pipe *pipe = new_pipe(tls, host, events, ctx);
    pipe->tcp = rr_tcp_connect(loop, host, port, &tcp_events, pipe);
    return pipe;
}

void stratum_pipe_send(struct stratum_pipe *pipe, struct rr_slice bytes)
{
    if (!stratum_pipe_open(pipe)) {
        return;
    }
    if (pipe->tls == NULL) {
        rr_tcp_send(pipe->tcp, bytes);
        return;
    }
    struct rr_buf wire = {0};
    if (stratum_tls_send(pipe->tls, bytes, &wire, NULL) == RR_OK) {
        put(pipe, &wire); /* else the next read tells */
    }
    rr_buf_clear(&wire);
}

bool stratum_pipe_open(const struct stratum_pipe *pipe)
{
    return pipe->opened && pipe->tcp != NULL;
}

size_t stratum_pipe_unsent(const struct stratum_pipe *pipe)
{
    return pipe->tcp != NULL ? rr_tcp_unsent(pipe->tcp) : 0;
}

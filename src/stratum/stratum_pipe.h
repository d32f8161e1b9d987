/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Private to stratum: a TCP stream with or without TLS. Loop thread only. */
#ifndef RR_STRATUM_PIPE_H
#define RR_STRATUM_PIPE_H
#include "loop/loop.h"
#include "stratum/stratum_tls.h"

struct stratum_pipe;
/* As rr_tcp_events, of plain bytes; opened: the handshake is done too. After `closed`, or after
 * stratum_pipe_close, nothing more is called. A callback may close the pipe. */
struct stratum_pipe_events {
    void (*opened)(void *ctx);
    void (*received)(void *ctx, struct rr_slice bytes);
    void (*closed)(void *ctx, const struct rr_fault *why);
};
/* tls may be NULL: none. events and tls borrowed for the pipe's life; owned: stratum_pipe_close,
 * also after `closed`. */
struct stratum_pipe *stratum_pipe_accept(struct rr_tcp *tcp, struct stratum_tls_context *tls,
                                         const struct stratum_pipe_events *events, void *ctx);
struct stratum_pipe *stratum_pipe_connect(struct rr_loop *loop, const char *host, uint16_t port,
                                          struct stratum_tls_context *tls,
                                          const struct stratum_pipe_events *events, void *ctx);
void stratum_pipe_send(struct stratum_pipe *pipe, struct rr_slice bytes); /* after opened */
bool stratum_pipe_open(const struct stratum_pipe *pipe);
size_t stratum_pipe_unsent(const struct stratum_pipe *pipe);
void stratum_pipe_close(struct stratum_pipe *pipe); /* NULL is fine */
#endif

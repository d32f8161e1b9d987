/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "loop/loop_private.h"

#include <stdio.h>
#include <string.h>

enum { BACKLOG = 128, READ_BYTES = 16384, KEEPALIVE_S = 60 };

struct resolve {
    uv_getaddrinfo_t request;
    struct rr_tcp *tcp; /* NULL: closed meanwhile */
};

struct rr_tcp {
    uv_tcp_t uv;
    const struct rr_tcp_events *events;
    void *ctx;
    struct resolve *resolve;
    uv_connect_t connect;
    bool closed;
    char name[128]; /* host:port of the other side, for sentences */
    char input[READ_BYTES];
};

struct rr_tcp_listener {
    uv_tcp_t uv;
    void (*accepted)(void *ctx, struct rr_tcp *tcp);
    void *ctx;
    uint16_t port;
};

struct write {
    uv_write_t request;
    char bytes[];
};

static void free_data(uv_handle_t *handle)
{
    rr_free(handle->data);
}

void rr_tcp_close(struct rr_tcp *tcp)
{
    if (tcp == NULL || tcp->closed) {
        return;
    }
    tcp->closed = true;
    if (tcp->resolve != NULL) {
        tcp->resolve->tcp = NULL;
    }
    uv_close((uv_handle_t *)&tcp->uv, free_data);
}

static void fail(struct rr_tcp *tcp, enum rr_err code, const char *what)
{
    struct rr_fault why = {0};
    void *ctx = tcp->ctx;
    const struct rr_tcp_events *events = tcp->events;
    rr_fault_set(&why, code, 0, RR_WHERE, "%s: %s", tcp->name, what);
    rr_tcp_close(tcp);
    events->closed(ctx, &why);
}

/* ---- reading and writing ----------------------------------------------------------------- */

static void give_room(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    struct rr_tcp *tcp = handle->data;
    (void)suggested;
    *buf = uv_buf_init(tcp->input, sizeof tcp->input);
}

static void on_read(uv_stream_t *stream, ssize_t len, const uv_buf_t *buf)
{
    struct rr_tcp *tcp = stream->data;
    if (tcp->closed || len == 0) {
        return;
    }
    if (len > 0) {
        tcp->events->received(tcp->ctx, rr_slice_of(buf->base, (size_t)len));
    } else if (len == UV_EOF) {
        fail(tcp, RR_ERR_UNREACHABLE, "the other side closed the connection");
    } else {
        fail(tcp, RR_ERR_UNREACHABLE, uv_strerror((int)len));
    }
}

static void on_written(uv_write_t *request, int status)
{
    struct rr_tcp *tcp = request->handle->data;
    rr_free(request->data);
    if (status < 0 && !tcp->closed) {
        fail(tcp, RR_ERR_UNREACHABLE, uv_strerror(status));
    }
}

void rr_tcp_send(struct rr_tcp *tcp, struct rr_slice bytes)
{
    if (tcp->closed || bytes.len == 0) {
        return;
    }
    struct write *write = rr_alloc(sizeof *write + bytes.len);
    memcpy(write->bytes, bytes.ptr, bytes.len);
    write->request.data = write;
    uv_buf_t buf = uv_buf_init(write->bytes, (unsigned)bytes.len);
    if (uv_write(&write->request, (uv_stream_t *)&tcp->uv, &buf, 1, on_written) != 0) {
        rr_free(write); /* the read tells what is wrong with the stream */
    }
}

size_t rr_tcp_unsent(const struct rr_tcp *tcp)
{
    return uv_stream_get_write_queue_size((const uv_stream_t *)&tcp->uv);
}

static void start_reading(struct rr_tcp *tcp)
{
    uv_tcp_nodelay(&tcp->uv, 1);
    uv_tcp_keepalive(&tcp->uv, 1, KEEPALIVE_S);
    uv_read_start((uv_stream_t *)&tcp->uv, give_room, on_read);
}

static struct rr_tcp *new_tcp(struct rr_loop *loop)
{
    struct rr_tcp *tcp = rr_alloc(sizeof *tcp);
    RR_CHECK(uv_tcp_init(loop_uv(loop), &tcp->uv) == 0);
    tcp->uv.data = tcp;
    return tcp;
}

/* ---- listening --------------------------------------------------------------------------- */

static bool read_address(struct sockaddr_storage *out, const char *address, uint16_t port)
{
    return uv_ip4_addr(address, port, (struct sockaddr_in *)out) == 0 ||
           uv_ip6_addr(address, port, (struct sockaddr_in6 *)out) == 0;
}

static uint16_t port_of(const struct sockaddr_storage *address)
{
    return ntohs(address->ss_family == AF_INET6 ? ((const struct sockaddr_in6 *)address)->sin6_port
                                                : ((const struct sockaddr_in *)address)->sin_port);
}

void rr_tcp_peer(const struct rr_tcp *tcp, char text[static RR_TCP_PEER_BYTES])
{
    struct sockaddr_storage address = {0};
    int len = sizeof address;
    text[0] = '\0';
    if (uv_tcp_getpeername(&tcp->uv, (struct sockaddr *)&address, &len) == 0) {
        uv_ip_name((const struct sockaddr *)&address, text, RR_TCP_PEER_BYTES);
    }
}

static void on_connection(uv_stream_t *stream, int status)
{
    struct rr_tcp_listener *listener = stream->data;
    if (status < 0) {
        return; /* out of descriptors: tried again with the next one */
    }
    struct rr_tcp *tcp = rr_alloc(sizeof *tcp);
    RR_CHECK(uv_tcp_init(stream->loop, &tcp->uv) == 0);
    tcp->uv.data = tcp;
    if (uv_accept(stream, (uv_stream_t *)&tcp->uv) != 0) {
        rr_tcp_close(tcp);
        return;
    }
    rr_tcp_peer(tcp, tcp->name);
    listener->accepted(listener->ctx, tcp);
}

void rr_tcp_start(struct rr_tcp *tcp, const struct rr_tcp_events *events, void *ctx)
{
    tcp->events = events;
    tcp->ctx = ctx;
    start_reading(tcp);
}

enum rr_err rr_tcp_listen(struct rr_tcp_listener **out, struct rr_loop *loop, const char *address,
                          uint16_t port, void (*accepted)(void *ctx, struct rr_tcp *tcp), void *ctx,
                          struct rr_fault *fault)
{
    struct sockaddr_storage where = {0};
    int len = sizeof where;
    if (!read_address(&where, address, port)) {
        return rr_fail(fault, RR_ERR_USAGE,
                       "'%s' is no address to listen on; a numeric one was expected, as in "
                       "\"127.0.0.1\"",
                       address);
    }
    struct rr_tcp_listener *listener = rr_alloc(sizeof *listener);
    listener->accepted = accepted;
    listener->ctx = ctx;
    RR_CHECK(uv_tcp_init(loop_uv(loop), &listener->uv) == 0);
    listener->uv.data = listener;
    int err = uv_tcp_bind(&listener->uv, (const struct sockaddr *)&where, 0);
    if (err == 0) {
        err = uv_listen((uv_stream_t *)&listener->uv, BACKLOG, on_connection);
    }
    if (err == 0) {
        err = uv_tcp_getsockname(&listener->uv, (struct sockaddr *)&where, &len);
    }
    if (err != 0) {
        rr_tcp_listener_free(listener);
        return rr_fail(fault, err == UV_EADDRINUSE ? RR_ERR_BUSY : RR_ERR_IO,
                       "cannot listen on %s port %u: %s; choose another one", address, port,
                       uv_strerror(err));
    }
    listener->port = port_of(&where);
    *out = listener;
    return RR_OK;
}

uint16_t rr_tcp_listener_port(const struct rr_tcp_listener *listener)
{
    return listener->port;
}

void rr_tcp_listener_free(struct rr_tcp_listener *listener)
{
    if (listener != NULL) {
        uv_close((uv_handle_t *)&listener->uv, free_data);
    }
}

/* ---- connecting -------------------------------------------------------------------------- */

static void on_connected(uv_connect_t *request, int status)
{
    struct rr_tcp *tcp = request->handle->data;
    if (tcp->closed) {
        return;
    }
    if (status < 0) {
        fail(tcp, RR_ERR_UNREACHABLE, uv_strerror(status));
        return;
    }
    start_reading(tcp);
    tcp->events->opened(tcp->ctx);
}

/* "localhost" often names ::1 first, where few listen. */
static const struct addrinfo *choose(const struct addrinfo *list)
{
    for (const struct addrinfo *a = list; a != NULL; a = a->ai_next) {
        if (a->ai_family == AF_INET) {
            return a;
        }
    }
    return list;
}

static void on_resolved(uv_getaddrinfo_t *request, int status, struct addrinfo *list)
{
    struct resolve *resolve = request->data;
    struct rr_tcp *tcp = resolve->tcp;
    rr_free(resolve);
    if (tcp != NULL) {
        tcp->resolve = NULL;
        const struct addrinfo *to = status == 0 ? choose(list) : NULL;
        if (to != NULL) {
            status = uv_tcp_connect(&tcp->connect, &tcp->uv, to->ai_addr, on_connected);
        }
        if (status != 0 || to == NULL) {
            fail(tcp, RR_ERR_UNREACHABLE, status != 0 ? uv_strerror(status) : "has no address");
        }
    }
    uv_freeaddrinfo(list);
}

static void fail_late(void *ctx)
{
    struct resolve *resolve = ctx;
    struct rr_tcp *tcp = resolve->tcp;
    rr_free(resolve);
    if (tcp != NULL) {
        tcp->resolve = NULL;
        fail(tcp, RR_ERR_UNREACHABLE, "is no name of a host");
    }
}

struct rr_tcp *rr_tcp_connect(struct rr_loop *loop, const char *host, uint16_t port,
                              const struct rr_tcp_events *events, void *ctx)
{
    struct rr_tcp *tcp = new_tcp(loop);
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    char service[8];
    tcp->events = events;
    tcp->ctx = ctx;
    snprintf(tcp->name, sizeof tcp->name, "%.100s:%u", host, port);
    snprintf(service, sizeof service, "%u", port);
    tcp->resolve = rr_alloc(sizeof *tcp->resolve);
    tcp->resolve->tcp = tcp;
    tcp->resolve->request.data = tcp->resolve;
    if (uv_getaddrinfo(loop_uv(loop), &tcp->resolve->request, on_resolved, host, service, &hints) !=
        0) {
        rr_loop_post(loop, fail_late, tcp->resolve);
    }
    return tcp;
}

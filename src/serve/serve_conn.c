/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One TCP connection of HTTP/1.1. One request at a time: the next of a pipeline is parsed when the
 * reply before it is written, so replies keep their order and a peer can make us hold one request,
 * not many. */
#include "serve/serve_reply.h"
#include "serve/serve_thread.h"
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

RR_COUNTER(requests_total, "reelrig_serve_requests_total", "HTTP requests received")
RR_COUNTER(bytes_total, "reelrig_serve_bytes_total", "Body bytes sent")
RR_COUNTER(segments_total, "reelrig_serve_segments_total", "Segments sent to their last byte")

/* A connection gives way to others after so many requests in a row. Ours. */
#define TURNS_MAX 64

/* ---- lifetime ------------------------------------------------------------------------- */
void serve_conn_accept(struct serve_thread *thread, int fd)
{
    struct serve_conn *conn = rr_alloc(sizeof(*conn));
    int one = 1;
    conn->thread = thread;
    conn->fd = fd;
    serve_http1_init(&conn->parser);
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
                                .data.ptr = conn};
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)); /* only slower without */
    if (epoll_ctl(thread->epoll, EPOLL_CTL_ADD, fd, &event) != 0) {
        close(fd);
        rr_free(conn);
        return;
    }
    serve_wheel_add(conn, thread->now_ms + SERVE_HEAD_MS);
    thread->connections++;
    atomic_fetch_add(&thread->serve->counts.connections, 1);
}

void serve_conn_destroy(struct serve_conn *conn)
{
    if (conn->request != NULL && conn->state == SERVE_WAITING) {
        conn->request->conn = NULL; /* freed when it is handed back */
    } else {
        serve_request_free(conn->request);
    }
    serve_wheel_remove(conn);
    conn->thread->connections--;
    atomic_fetch_sub(&conn->thread->serve->counts.connections, 1);
    serve_http1_clear(&conn->parser);
    rr_buf_clear(&conn->input);
    /* A child between fork and exec may hold the socket a moment longer; epoll must not speak of
     * it. */
    (void)epoll_ctl(conn->thread->epoll, EPOLL_CTL_DEL, conn->fd, NULL);
    close(conn->fd);
    rr_free(conn);
}

static void set_deadline(struct serve_conn *conn, uint64_t ms)
{
    serve_wheel_move(conn, conn->thread->now_ms + ms);
}

/* ---- writing -------------------------------------------------------------------------- */
static void begin_write(struct serve_conn *conn)
{
    struct serve_counts *counts = &conn->thread->serve->counts;
    uint16_t status = conn->request->reply.status;
    if (status == 402) {
        atomic_fetch_add_explicit(&counts->payment_required, 1, memory_order_relaxed);
    } else if (status == 404) {
        atomic_fetch_add_explicit(&counts->not_found, 1, memory_order_relaxed);
    }
    conn->state = SERVE_WRITING;
    conn->sent = 0;
    conn->progress = 0;
    conn->began_ms = conn->thread->now_ms;
    set_deadline(conn, SERVE_STALL_MS);
}

static void end_write(struct serve_conn *conn)
{
    struct serve_request *request = conn->request;
    struct serve_counts *counts = &conn->thread->serve->counts;
    bool stopping = atomic_load(&conn->thread->serve->stopping);
    bool last = request->reply.close || stopping || ++conn->served >= SERVE_REQUESTS_MAX;
    if (request->reply.segment && request->reply.body != NULL) {
        atomic_fetch_add_explicit(&counts->segments, 1, memory_order_relaxed);
        rr_counter_add(&segments_total, 1);
    }
    conn->request = NULL;
    serve_request_free(request);
    if (!last) {
        conn->state = SERVE_READING;
        conn->continued = false;
        set_deadline(conn, SERVE_IDLE_MS);
        return;
    }
    /* Unread bytes would turn our close into a reset, which may overtake the reply: read on for a
     * while. */
    conn->state = SERVE_LINGERING;
    rr_buf_clear(&conn->input);
    shutdown(conn->fd, SHUT_WR);
    set_deadline(conn, stopping ? SERVE_TICK_MS : SERVE_LINGER_MS);
}

/* A slow reader shall not hold megabytes in the kernel; a fast one is served best by one big write.
 */
static void note_progress(struct serve_conn *conn)
{
    if (conn->sent - conn->progress >= SERVE_STALL_BYTES) {
        conn->progress = conn->sent;
        set_deadline(conn, SERVE_STALL_MS);
    }
    if (!conn->slow && conn->thread->now_ms - conn->began_ms > SERVE_SLOW_MS) {
        int bytes = SERVE_NOTSENT_BYTES;
        (void)setsockopt(conn->fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &bytes, sizeof(bytes));
        conn->slow = true;
    }
}

static void count_sent(struct serve_conn *conn, uint64_t before)
{
    uint64_t head = conn->request->reply.head_len;
    uint64_t body = conn->sent > head ? conn->sent - (before > head ? before : head) : 0;
    if (body > 0) {
        atomic_fetch_add_explicit(&conn->thread->serve->counts.bytes, body, memory_order_relaxed);
        rr_counter_add(&bytes_total, body);
    }
}

/* False: it has to wait. */
static bool turn_write(struct serve_conn *conn)
{
    struct serve_reply *reply = &conn->request->reply;
    uint64_t total = reply->head_len + reply->len;
    while (conn->sent < total) {
        struct iovec parts[2];
        struct msghdr message = {.msg_iov = parts};
        if (conn->sent < reply->head_len) {
            parts[message.msg_iovlen++] =
                (struct iovec){reply->head + conn->sent, reply->head_len - (size_t)conn->sent};
        }
        if (reply->len > 0) {
            uint64_t at = conn->sent > reply->head_len ? conn->sent - reply->head_len : 0;
            parts[message.msg_iovlen++] =
                (struct iovec){reply->body->bytes + reply->first + at, (size_t)(reply->len - at)};
        }
        ssize_t len = sendmsg(conn->fd, &message, MSG_NOSIGNAL);
        if (len < 0 && errno == EINTR) {
            continue;
        }
        if (len < 0) {
            conn->writable = false;
            bool wait = errno == EAGAIN || errno == EWOULDBLOCK;
            conn->state = wait ? SERVE_WRITING : SERVE_CLOSED;
            return !wait;
        }
        uint64_t before = conn->sent;
        conn->sent += (uint64_t)len;
        count_sent(conn, before);
        note_progress(conn);
    }
    end_write(conn);
    return true;
}

/* ---- reading -------------------------------------------------------------------------- */
static void refuse(struct serve_conn *conn, uint16_t status, const char *message)
{
    struct serve_thread *thread = conn->thread;
    serve_request_free(conn->request);
    conn->request = serve_request_new(thread->serve, thread, conn);
    conn->request->reply.close = true;
    serve_reply_error(conn->request, status, "request", message);
    atomic_fetch_add_explicit(&thread->serve->counts.bad_requests, 1, memory_order_relaxed);
    begin_write(conn);
}

static void begin_request(struct serve_conn *conn)
{
    struct serve_thread *thread = conn->thread;
    struct serve_http1 *parser = &conn->parser;
    struct serve_request *request = serve_request_new(thread->serve, thread, conn);
    uint64_t body_max = 0;
    bool body = parser->head.chunked || parser->head.content_length > 0;
    request->bytes = parser->bytes;
    request->head = parser->head;
    parser->bytes = (struct rr_buf){0};
    conn->request = request;
    conn->began_ms = thread->now_ms;
    atomic_fetch_add_explicit(&thread->serve->counts.requests, 1, memory_order_relaxed);
    rr_counter_add(&requests_total, 1);
    request->reply.close = body; /* refused here, its body stays unread */
    serve_route_open(request, &body_max);
    parser->body_max = body_max;
    if (request->reply.status == 0) {
        request->reply.close = false;
    } else if (body) {
        begin_write(conn);
    }
}

static void take_body(struct serve_conn *conn)
{
    struct serve_request *request = conn->request;
    struct rr_serve *serve = conn->thread->serve;
    uint64_t len = conn->parser.body.len;
    request->body_counted += len;
    if (atomic_fetch_add(&serve->body_bytes, len) + len > SERVE_BODIES_MAX) {
        refuse(conn, 503, "Too many bodies are coming in at once; try again in a moment.");
        return;
    }
    rr_buf_append(&request->body, conn->parser.body.ptr, (size_t)len);
    uint64_t earned = SERVE_HEAD_MS + request->body.len * 1000 / SERVE_BODY_BPS;
    serve_wheel_move(conn, conn->began_ms + earned);
}

static void run_request(struct serve_conn *conn)
{
    struct serve_request *request = conn->request;
    if (request->reply.status == 0) {
        conn->state = SERVE_WAITING;
        set_deadline(conn, SERVE_WAIT_MS);
        serve_route_run(request);
    }
    if (request->reply.status != 0) {
        begin_write(conn);
    }
}

/* Feeds the parser until a request is whole, refused, or more bytes are needed. */
static void parse(struct serve_conn *conn, struct rr_slice *input)
{
    bool idle = serve_http1_idle(&conn->parser) && conn->request == NULL;
    while (conn->state == SERVE_READING) {
        switch (serve_http1_next(&conn->parser, input)) {
        case SERVE_MORE:
            if (idle && !serve_http1_idle(&conn->parser)) {
                set_deadline(conn, SERVE_HEAD_MS);
            }
            return;
        case SERVE_BEGIN:
            begin_request(conn);
            set_deadline(conn, SERVE_HEAD_MS);
            break;
        case SERVE_BODY:
            take_body(conn);
            break;
        case SERVE_END:
            run_request(conn);
            break;
        case SERVE_FAIL:
            refuse(conn, conn->parser.status, conn->parser.message);
            break;
        }
    }
}

/* A client that waits for leave to send its body gets it, once the head was found good. */
static bool send_continue(struct serve_conn *conn)
{
    static const char leave[] = "HTTP/1.1 100 Continue\r\n\r\n";
    if (conn->request == NULL || conn->continued || !conn->request->head.expect_continue ||
        conn->request->body.len > 0) {
        return true;
    }
    conn->continued = true;
    return send(conn->fd, leave, sizeof(leave) - 1, MSG_NOSIGNAL) == (ssize_t)sizeof(leave) - 1;
}

static void parse_kept(struct serve_conn *conn)
{
    struct rr_slice input = {conn->input.ptr + conn->input_at, conn->input.len - conn->input_at};
    parse(conn, &input);
    conn->input_at = conn->input.len - input.len;
    if (input.len == 0) {
        rr_buf_clear(&conn->input);
        conn->input_at = 0;
    }
}

/* False: it has to wait. */
static bool turn_read(struct serve_conn *conn)
{
    if (conn->input.len > 0) {
        parse_kept(conn);
        return true;
    }
    if (!conn->readable) {
        return false;
    }
    ssize_t len = recv(conn->fd, conn->thread->scratch, sizeof(conn->thread->scratch), 0);
    if (len > 0) {
        struct rr_slice input = {conn->thread->scratch, (size_t)len};
        parse(conn, &input);
        if (conn->state == SERVE_READING) {
            conn->state = send_continue(conn) ? SERVE_READING : SERVE_CLOSED;
        } else if (input.len > 0 && conn->state != SERVE_CLOSED) {
            rr_buf_append(&conn->input, input.ptr, input.len);
        }
    } else if (len < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
        conn->readable = false;
        return false;
    } else if (len == 0 || errno != EINTR) {
        conn->state = SERVE_CLOSED;
    }
    return true;
}

/* Reads what comes and drops it, until the peer is done; the deadline ends it otherwise. */
static bool turn_linger(struct serve_conn *conn)
{
    ssize_t len = 1;
    for (unsigned i = 0; i < TURNS_MAX && len > 0; i++) {
        len = recv(conn->fd, conn->thread->scratch, sizeof(conn->thread->scratch), 0);
    }
    bool wait = len < 0 && (errno == EAGAIN || errno == EWOULDBLOCK);
    conn->state = wait || len > 0 ? SERVE_LINGERING : SERVE_CLOSED;
    return !wait;
}

void serve_conn_run(struct serve_conn *conn)
{
    bool on = true;
    for (unsigned turn = 0; turn < TURNS_MAX && on; turn++) {
        switch ((enum serve_conn_state)conn->state) {
        case SERVE_READING:
            on = turn_read(conn);
            break;
        case SERVE_WAITING:
            on = conn->request->reply.status != 0;
            if (on) {
                begin_write(conn);
            }
            break;
        case SERVE_WRITING:
            on = turn_write(conn);
            break;
        case SERVE_LINGERING:
            on = turn_linger(conn);
            break;
        case SERVE_CLOSED:
            serve_conn_destroy(conn);
            return;
        }
    }
    if (on) { /* others first; setting the same interest again makes epoll report it again */
        struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
                                    .data.ptr = conn};
        if (epoll_ctl(conn->thread->epoll, EPOLL_CTL_MOD, conn->fd, &event) != 0) {
            serve_conn_destroy(conn);
        }
    }
}

/* ---- events --------------------------------------------------------------------------- */
void serve_conn_event(struct serve_conn *conn, uint32_t events)
{
    if (events & (EPOLLERR | EPOLLHUP)) {
        serve_conn_destroy(conn);
        return;
    }
    conn->readable = conn->readable || (events & (EPOLLIN | EPOLLRDHUP)) != 0;
    conn->writable = conn->writable || (events & EPOLLOUT) != 0;
    serve_conn_run(conn);
}

void serve_conn_expired(struct serve_conn *conn)
{
    bool asking = conn->request != NULL || !serve_http1_idle(&conn->parser);
    if (conn->state == SERVE_READING && asking) {
        refuse(conn, 408, "The request did not come in time.");
        serve_conn_run(conn);
        return;
    }
    serve_conn_destroy(conn);
}

void serve_conn_drain(struct serve_conn *conn)
{
    bool idle = conn->state == SERVE_READING && conn->request == NULL && conn->input.len == 0 &&
                serve_http1_idle(&conn->parser);
    if (idle || conn->state == SERVE_LINGERING) {
        serve_conn_destroy(conn);
    }
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* An epoll thread: its own listening socket (SO_REUSEPORT), its connections from first to last
 * byte. */
#include "serve/serve_thread.h"
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#define EVENTS_MAX      256
#define ACCEPTS_MAX     64  /* in one go; requests are waiting too */
#define ACCEPT_PAUSE_MS 200 /* after the process ran out of file descriptors */
#define VIEW_MS         250 /* a puzzle lives for d blocks of seconds; ours */

const char *serve_thread_date(struct serve_thread *thread)
{
    uint64_t second = rr_wall_ms(thread->serve->options.clock) / 1000;
    if (second != thread->date_second || thread->date[0] == '\0') {
        serve_date_text(thread->date, second);
        thread->date_second = second;
    }
    return thread->date;
}

/* ---- handing requests back ------------------------------------------------------------ */
static void nudge(struct serve_thread *thread)
{
    uint64_t one = 1;
    ssize_t len;
    do {
        len = write(thread->wake, &one, sizeof(one));
    } while (len < 0 && errno == EINTR); /* EAGAIN: it is awake already */
}

void serve_thread_nudge(struct serve_thread *thread)
{
    nudge(thread);
}

void serve_request_wake(struct serve_request *request)
{
    struct serve_thread *thread = request->thread;
    pthread_mutex_lock(&thread->done_lock);
    bool first = thread->done == NULL;
    request->next = thread->done;
    thread->done = request;
    if (first) {
        nudge(thread); /* under the lock: the thread cannot end before it took the request */
    }
    pthread_mutex_unlock(&thread->done_lock);
}

static void resume(struct serve_request *request)
{
    struct serve_conn *conn = request->conn;
    if (conn == NULL) {
        serve_request_free(request);
        return;
    }
    request->resume(request);
    serve_conn_run(conn);
}

static void take_done(struct serve_thread *thread)
{
    pthread_mutex_lock(&thread->done_lock);
    struct serve_request *newest = thread->done;
    thread->done = NULL;
    pthread_mutex_unlock(&thread->done_lock);
    struct serve_request *eldest = NULL;
    while (newest != NULL) {
        struct serve_request *next = newest->next;
        newest->next = eldest;
        eldest = newest;
        newest = next;
    }
    while (eldest != NULL) {
        struct serve_request *next = eldest->next;
        resume(eldest);
        eldest = next;
    }
}

/* ---- accepting ------------------------------------------------------------------------ */
static void turn_away(int fd)
{
    static const char busy[] = "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 5\r\n"
                               "Content-Length: 0\r\nConnection: close\r\n\r\n";
    (void)!send(fd, busy, sizeof(busy) - 1, MSG_NOSIGNAL | MSG_DONTWAIT);
    close(fd);
}

static void listen_on(struct serve_thread *thread, bool on)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = &thread->listener};
    if (thread->listens != on) {
        RR_CHECK(epoll_ctl(thread->epoll, on ? EPOLL_CTL_ADD : EPOLL_CTL_DEL, thread->listener,
                           &event) == 0);
        thread->listens = on;
    }
}

static void accept_some(struct serve_thread *thread)
{
    struct rr_serve *serve = thread->serve;
    for (unsigned i = 0; i < ACCEPTS_MAX; i++) {
        int fd = accept4(thread->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            if (atomic_load(&serve->counts.connections) >= serve->options.connections_max) {
                turn_away(fd);
            } else {
                serve_conn_accept(thread, fd);
            }
            continue;
        }
        if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
            rr_log(RR_LOG_WARN, "serve",
                   "no more connections for now: %s; raise LimitNOFILE or lower "
                   "serve.connections_max",
                   strerror(errno));
            thread->accept_after_ms = thread->now_ms + ACCEPT_PAUSE_MS;
            listen_on(thread, false);
            return;
        }
        if (errno != EINTR && errno != ECONNABORTED) {
            return;
        }
    }
}

/* ---- the loop ------------------------------------------------------------------------- */
static void set_now(struct serve_thread *thread)
{
    thread->now_ms = rr_monotonic_us(thread->serve->options.clock) / 1000;
}

static void close_listener(struct serve_thread *thread)
{
    if (thread->listener >= 0) {
        listen_on(thread, false);
        close(thread->listener);
        thread->listener = -1;
    }
}

/* True when the thread is to end. */
static bool turn_stop(struct serve_thread *thread)
{
    struct rr_serve *serve = thread->serve;
    if (!atomic_load(&serve->stopping)) {
        return false;
    }
    close_listener(thread);
    if (!thread->draining || atomic_load(&serve->force)) {
        thread->draining = true;
        serve_wheel_visit(thread,
                          atomic_load(&serve->force) ? serve_conn_destroy : serve_conn_drain);
    }
    return thread->connections == 0 && thread->requests == 0;
}

static void turn_clock(struct serve_thread *thread)
{
    serve_wheel_turn(thread, serve_conn_expired);
    if (thread->listener >= 0 && !thread->listens && thread->now_ms >= thread->accept_after_ms) {
        listen_on(thread, true);
    }
    if (thread->index == 0 && thread->now_ms >= thread->renew_ms) {
        thread->renew_ms = thread->now_ms + VIEW_MS;
        serve_view_renew(thread->serve);
    }
}

static void turn_event(struct serve_thread *thread, const struct epoll_event *event)
{
    if (event->data.ptr == &thread->listener) {
        if (thread->listener >= 0 && thread->listens) {
            accept_some(thread);
        }
    } else if (event->data.ptr == &thread->wake) {
        uint64_t count;
        (void)!read(thread->wake, &count, sizeof(count)); /* only its edge matters */
    } else {
        serve_conn_event(event->data.ptr, event->events);
    }
}

static void *run(void *ctx)
{
    struct serve_thread *thread = ctx;
    struct epoll_event events[EVENTS_MAX];
    set_now(thread);
    thread->tick = thread->now_ms / SERVE_TICK_MS;
    while (!turn_stop(thread)) {
        bool ticks = thread->connections > 0 || !thread->listens;
        int wait_ms = ticks ? SERVE_TICK_MS : thread->index == 0 ? VIEW_MS : -1;
        int count = epoll_wait(thread->epoll, events, EVENTS_MAX, wait_ms);
        RR_CHECK(count >= 0 || errno == EINTR);
        set_now(thread);
        for (int i = 0; i < count; i++) {
            turn_event(thread, &events[i]);
        }
        take_done(thread);
        turn_clock(thread);
    }
    /* The last waker may still hold the lock. */
    pthread_mutex_lock(&thread->done_lock);
    pthread_mutex_unlock(&thread->done_lock);
    return NULL;
}

struct serve_thread *serve_thread_start(struct rr_serve *serve, unsigned index, int listener)
{
    struct serve_thread *thread = rr_alloc(sizeof(*thread));
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = &thread->wake};
    thread->serve = serve;
    thread->index = index;
    thread->listener = listener;
    RR_CHECK(pthread_mutex_init(&thread->done_lock, NULL) == 0);
    thread->epoll = epoll_create1(EPOLL_CLOEXEC);
    thread->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (thread->epoll < 0 || thread->wake < 0 ||
        epoll_ctl(thread->epoll, EPOLL_CTL_ADD, thread->wake, &event) != 0) {
        goto fail;
    }
    listen_on(thread, true);
    if (pthread_create(&thread->id, NULL, run, thread) != 0) {
        goto fail;
    }
    pthread_setname_np(thread->id, "rr-serve");
    return thread;
fail:
    if (thread->epoll >= 0) {
        close(thread->epoll);
    }
    if (thread->wake >= 0) {
        close(thread->wake);
    }
    pthread_mutex_destroy(&thread->done_lock);
    rr_free(thread);
    return NULL;
}

void serve_thread_join(struct serve_thread *thread)
{
    pthread_join(thread->id, NULL);
    close(thread->epoll);
    close(thread->wake);
    pthread_mutex_destroy(&thread->done_lock);
    rr_free(thread);
}

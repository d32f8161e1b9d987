/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "loop/loop_private.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>

enum { LAG_PERIOD_MS = 100 };

RR_GAUGE(loop_lag_us, "reelrig_loop_lag_us",
         "How late the control loop ran its last 100 ms timer, in microseconds.")

struct post {
    void (*fn)(void *ctx);
    void *ctx;
    struct post *next;
};

struct watch {
    uv_poll_t poll;
    int fd;
    void (*fn)(void *ctx);
    void *ctx;
    struct watch *next;
};

static const int watched_signals[] = {SIGTERM, SIGINT, SIGHUP};

struct rr_loop {
    uv_loop_t uv;
    uv_async_t wake;
    uv_timer_t lag;
    uint64_t lag_due_ns;
    uv_signal_t signals[RR_COUNT(watched_signals)];
    void (*on_signal)(void *ctx, int signum);
    void *on_signal_ctx;
    struct watch *watches;
    atomic_bool stopping;
    pthread_mutex_t lock; /* of the posts */
    struct post *posts_first;
    struct post *posts_last;
};

struct rr_timer {
    uv_timer_t uv;
    void (*fn)(void *ctx);
    void *ctx;
};

/* ---- posts ------------------------------------------------------------------------------- */

/* Takes the whole queue at once: what a post posts runs in the next round, so that other events get
 * a turn. */
static size_t run_posts(struct rr_loop *loop)
{
    size_t count = 0;
    pthread_mutex_lock(&loop->lock);
    struct post *post = loop->posts_first;
    loop->posts_first = NULL;
    loop->posts_last = NULL;
    pthread_mutex_unlock(&loop->lock);
    while (post != NULL) {
        struct post *next = post->next;
        post->fn(post->ctx);
        rr_free(post);
        post = next;
        count++;
    }
    return count;
}

static void on_wake(uv_async_t *wake)
{
    struct rr_loop *loop = wake->data;
    run_posts(loop);
    if (atomic_load(&loop->stopping)) {
        uv_stop(&loop->uv);
    }
}

void rr_loop_post(struct rr_loop *loop, void (*fn)(void *ctx), void *ctx)
{
    struct post *post = rr_alloc(sizeof *post);
    post->fn = fn;
    post->ctx = ctx;
    pthread_mutex_lock(&loop->lock);
    if (loop->posts_last == NULL) {
        loop->posts_first = post;
    } else {
        loop->posts_last->next = post;
    }
    loop->posts_last = post;
    pthread_mutex_unlock(&loop->lock);
    RR_CHECK(uv_async_send(&loop->wake) == 0);
}

size_t rr_loop_drain(struct rr_loop *loop)
{
    size_t count = 0;
    for (size_t n = run_posts(loop); n > 0; n = run_posts(loop)) {
        count += n;
    }
    return count;
}

/* ---- life -------------------------------------------------------------------------------- */

struct rr_loop *rr_loop_new(void)
{
    struct rr_loop *loop = rr_alloc(sizeof *loop);
    RR_CHECK(uv_loop_init(&loop->uv) == 0);
    RR_CHECK(uv_async_init(&loop->uv, &loop->wake, on_wake) == 0);
    RR_CHECK(uv_timer_init(&loop->uv, &loop->lag) == 0);
    loop->wake.data = loop;
    loop->lag.data = loop;
    pthread_mutex_init(&loop->lock, NULL);
    return loop;
}

static void free_handle(uv_handle_t *handle)
{
    rr_free(handle->data);
}

/* `wake`, `lag` and the signals live in the loop; timers and watches are their own allocations, in
 * data. */
static void close_handle(uv_handle_t *handle, void *arg)
{
    struct rr_loop *loop = arg;
    if (!uv_is_closing(handle)) {
        uv_close(handle, handle->data == loop ? NULL : free_handle);
    }
}

void rr_loop_free(struct rr_loop *loop)
{
    if (loop == NULL) {
        return;
    }
    uv_walk(&loop->uv, close_handle, loop);
    uv_run(&loop->uv, UV_RUN_DEFAULT);
    RR_CHECK(uv_loop_close(&loop->uv) == 0);
    for (struct post *post = loop->posts_first; post != NULL;) {
        struct post *next = post->next;
        rr_free(post);
        post = next;
    }
    pthread_mutex_destroy(&loop->lock);
    rr_free(loop);
}

static void on_lag(uv_timer_t *timer)
{
    struct rr_loop *loop = timer->data;
    uint64_t now = uv_hrtime();
    rr_gauge_set(&loop_lag_us, now > loop->lag_due_ns ? (now - loop->lag_due_ns) / 1000 : 0);
    loop->lag_due_ns = now + (uint64_t)LAG_PERIOD_MS * 1000000;
}

void rr_loop_run(struct rr_loop *loop)
{
    uv_update_time(&loop->uv);
    loop->lag_due_ns = uv_hrtime() + (uint64_t)LAG_PERIOD_MS * 1000000;
    RR_CHECK(uv_timer_start(&loop->lag, on_lag, LAG_PERIOD_MS, LAG_PERIOD_MS) == 0);
    while (!atomic_load(&loop->stopping)) {
        uv_run(&loop->uv, UV_RUN_DEFAULT);
    }
    uv_timer_stop(&loop->lag);
    atomic_store(&loop->stopping, false);
}

void rr_loop_stop(struct rr_loop *loop)
{
    atomic_store(&loop->stopping, true);
    RR_CHECK(uv_async_send(&loop->wake) == 0);
}

uv_loop_t *loop_uv(struct rr_loop *loop)
{
    return &loop->uv;
}

/* ---- timers ------------------------------------------------------------------------------ */

static void on_timer(uv_timer_t *uv)
{
    struct rr_timer *timer = uv->data;
    timer->fn(timer->ctx);
}

struct rr_timer *rr_timer_new(struct rr_loop *loop, uint64_t delay_ms, uint64_t repeat_ms,
                              void (*fn)(void *ctx), void *ctx)
{
    struct rr_timer *timer = rr_alloc(sizeof *timer);
    timer->fn = fn;
    timer->ctx = ctx;
    RR_CHECK(uv_timer_init(&loop->uv, &timer->uv) == 0);
    timer->uv.data = timer;
    /* libuv counts from the time that it took at the start of this round: a long callback would
     * shorten it. */
    uv_update_time(&loop->uv);
    RR_CHECK(uv_timer_start(&timer->uv, on_timer, delay_ms, repeat_ms) == 0);
    return timer;
}

void rr_timer_free(struct rr_timer *timer)
{
    if (timer != NULL) {
        uv_close((uv_handle_t *)&timer->uv, free_handle);
    }
}

/* ---- signals and descriptors ------------------------------------------------------------- */

static void on_signal(uv_signal_t *handle, int signum)
{
    struct rr_loop *loop = handle->data;
    loop->on_signal(loop->on_signal_ctx, signum);
}

void rr_loop_on_signals(struct rr_loop *loop, void (*fn)(void *ctx, int signum), void *ctx)
{
    RR_CHECK(loop->on_signal == NULL);
    loop->on_signal = fn;
    loop->on_signal_ctx = ctx;
    for (size_t i = 0; i < RR_COUNT(watched_signals); i++) {
        RR_CHECK(uv_signal_init(&loop->uv, &loop->signals[i]) == 0);
        loop->signals[i].data = loop;
        RR_CHECK(uv_signal_start(&loop->signals[i], on_signal, watched_signals[i]) == 0);
    }
}

/* An error on fd (status < 0) is told as readable: the read shows it to fn. */
static void on_readable(uv_poll_t *poll, int status, int events)
{
    struct watch *watch = poll->data;
    (void)status;
    (void)events;
    watch->fn(watch->ctx);
}

void rr_loop_on_readable(struct rr_loop *loop, int fd, void (*fn)(void *ctx), void *ctx)
{
    struct watch *watch = rr_alloc(sizeof *watch);
    watch->fd = fd;
    watch->fn = fn;
    watch->ctx = ctx;
    RR_CHECK(uv_poll_init(&loop->uv, &watch->poll, fd) == 0);
    watch->poll.data = watch;
    RR_CHECK(uv_poll_start(&watch->poll, UV_READABLE, on_readable) == 0);
    watch->next = loop->watches;
    loop->watches = watch;
}

void rr_loop_off_readable(struct rr_loop *loop, int fd)
{
    struct watch **link = &loop->watches;
    while (*link != NULL && (*link)->fd != fd) {
        link = &(*link)->next;
    }
    if (*link != NULL) {
        struct watch *watch = *link;
        *link = watch->next;
        uv_poll_stop(&watch->poll);
        uv_close((uv_handle_t *)&watch->poll, free_handle);
    }
}

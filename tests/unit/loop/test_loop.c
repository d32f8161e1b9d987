/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "unit/base/unit.h"

#include "loop/loop.h"
#include <pthread.h>
#include <stdatomic.h>

static struct rr_loop *loop;

static int set_up(void **state)
{
    (void)state;
    loop = rr_loop_new();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    rr_loop_free(loop);
    return 0;
}

static uint64_t now_us(void)
{
    return rr_monotonic_us(rr_clock_system());
}

static void stop(void *ctx)
{
    rr_loop_stop(ctx);
}

static void a_stop_before_the_run_ends_it_at_once(void **state)
{
    (void)state;
    uint64_t start = now_us();
    rr_loop_stop(loop);
    rr_loop_run(loop);
    assert_true(now_us() - start < 5000000);
    rr_loop_post(loop, stop, loop); /* and it can run again */
    rr_loop_run(loop);
}

enum { POSTS = 20000, POSTERS = 4 };

struct order {
    uint32_t next[POSTERS];
    uint32_t total;
    pthread_t loop_thread;
    bool wrong_thread;
    bool wrong_order;
};
struct numbered {
    struct order *order;
    uint32_t poster;
    uint32_t number;
};
static struct order order;
static struct numbered numbered[POSTERS][POSTS];

static void take_numbered(void *ctx)
{
    struct numbered *item = ctx;
    struct order *all = item->order;
    all->wrong_thread |= !pthread_equal(pthread_self(), all->loop_thread);
    all->wrong_order |= all->next[item->poster]++ != item->number;
    if (++all->total == POSTERS * POSTS) {
        rr_loop_stop(loop);
    }
}

static void *post_numbered(void *arg)
{
    uint32_t poster = *(uint32_t *)arg;
    for (uint32_t i = 0; i < POSTS; i++) {
        numbered[poster][i] = (struct numbered){&order, poster, i};
        rr_loop_post(loop, take_numbered, &numbered[poster][i]);
    }
    return NULL;
}

static void posts_of_each_thread_run_in_order_on_the_loops_thread(void **state)
{
    (void)state;
    pthread_t ids[POSTERS];
    uint32_t names[POSTERS];
    order = (struct order){.loop_thread = pthread_self()};
    for (uint32_t i = 0; i < POSTERS; i++) {
        names[i] = i;
        assert_int_equal(pthread_create(&ids[i], NULL, post_numbered, &names[i]), 0);
    }
    rr_loop_run(loop);
    for (uint32_t i = 0; i < POSTERS; i++) {
        assert_int_equal(pthread_join(ids[i], NULL), 0);
    }
    assert_int_equal(order.total, POSTERS * POSTS);
    assert_false(order.wrong_thread);
    assert_false(order.wrong_order);
}

struct tick {
    unsigned count;
    unsigned stop_at;
    uint64_t first_us;
    struct rr_timer *timer;
};

static void on_tick(void *ctx)
{
    struct tick *tick = ctx;
    tick->first_us = tick->count == 0 ? now_us() : tick->first_us;
    if (++tick->count == tick->stop_at) {
        rr_timer_free(tick->timer); /* from its own callback */
        tick->timer = NULL;
        rr_loop_stop(loop);
    }
}

static void timers_run_once_or_again_and_never_early(void **state)
{
    (void)state;
    uint64_t start = now_us();
    struct tick once = {0};
    struct tick often = {.stop_at = 5};
    struct tick never = {0};
    once.timer = rr_timer_new(loop, 20, 0, on_tick, &once);
    often.timer = rr_timer_new(loop, 30, 10, on_tick, &often);
    never.timer = rr_timer_new(loop, 1, 0, on_tick, &never);
    rr_timer_free(never.timer);
    rr_timer_free(NULL);
    rr_loop_run(loop);
    assert_int_equal(once.count, 1);
    assert_int_equal(often.count, 5);
    assert_int_equal(never.count, 0);
    /* libuv counts whole milliseconds: up to one less of its own clock */
    assert_true(once.first_us - start >= 19000);
    assert_true(often.first_us - start >= 29000);
    rr_timer_free(once.timer);
}

static void a_timer_left_over_is_freed_with_the_loop(void **state)
{
    (void)state;
    struct tick tick = {.stop_at = 100};
    (void)rr_timer_new(loop, 1000000, 0, on_tick, &tick);
    rr_loop_post(loop, stop, loop);
    rr_loop_run(loop);
    assert_int_equal(tick.count, 0); /* the leak check of a sanitizer run is the test */
}

static unsigned lag_visits;
static uint64_t lag_us;

static void see_lag(void *ctx, const char *name, const char *help, bool gauge, uint64_t value)
{
    (void)ctx;
    (void)help;
    if (strcmp(name, "reelrig_loop_lag_us") == 0) {
        assert_true(gauge);
        lag_visits++;
        lag_us = value > lag_us ? value : lag_us;
    }
}

static void read_lag(void *ctx)
{
    rr_counters_visit(see_lag, ctx);
}

static void hog(void *ctx)
{
    (void)ctx;
    usleep(300000);
}

static void a_blocked_loop_shows_in_the_lag_gauge(void **state)
{
    (void)state;
    struct rr_timer *hogging = rr_timer_new(loop, 10, 0, hog, NULL);
    struct rr_timer *reading = rr_timer_new(loop, 5, 5, read_lag, NULL);
    struct rr_timer *ending = rr_timer_new(loop, 600, 0, stop, loop);
    rr_loop_run(loop);
    rr_timer_free(hogging);
    rr_timer_free(reading);
    rr_timer_free(ending);
    assert_true(lag_visits > 0);
    assert_true(lag_us >= 200000); /* due at 100 ms, held up until 310 ms */
}

static unsigned signals_seen;

static void on_signal(void *ctx, int signum)
{
    assert_ptr_equal(ctx, loop);
    signals_seen = signals_seen * 100 + (unsigned)signum;
    if (signum == SIGHUP) {
        raise(SIGTERM);
    } else if (signum == SIGTERM) {
        raise(SIGINT);
    } else {
        rr_loop_stop(loop); /* from a signal's callback */
    }
}

static void raise_hup(void *ctx)
{
    (void)ctx;
    raise(SIGHUP);
}

static void signals_arrive_on_the_loop(void **state)
{
    (void)state;
    signals_seen = 0;
    rr_loop_on_signals(loop, on_signal, loop);
    rr_loop_post(loop, raise_hup, NULL);
    rr_loop_run(loop);
    assert_int_equal(signals_seen, (SIGHUP * 100 + SIGTERM) * 100 + SIGINT);
}

struct readable {
    int fd;
    char got[8];
    size_t len;
};

static void on_readable(void *ctx)
{
    struct readable *readable = ctx;
    ssize_t n = read(readable->fd, readable->got + readable->len, 1);
    if (n > 0) {
        readable->len += (size_t)n;
    } else if (n == 0) {
        rr_loop_off_readable(loop, readable->fd);
        rr_loop_off_readable(loop, readable->fd); /* not watched any more is fine */
        rr_loop_stop(loop);
    }
}

static void *write_slowly(void *arg)
{
    int fd = *(int *)arg;
    for (const char *c = "abcd"; *c != '\0'; c++) {
        usleep(2000);
        if (write(fd, c, 1) != 1) {
            abort();
        }
    }
    close(fd);
    return NULL;
}

static void a_readable_descriptor_is_told_until_it_is_taken_off(void **state)
{
    (void)state;
    int ends[2];
    pthread_t writer;
    assert_int_equal(pipe(ends), 0);
    struct readable readable = {.fd = ends[0]};
    rr_loop_on_readable(loop, ends[0], on_readable, &readable);
    assert_int_equal(pthread_create(&writer, NULL, write_slowly, &ends[1]), 0);
    rr_loop_run(loop);
    assert_int_equal(pthread_join(writer, NULL), 0);
    assert_string_equal(readable.got, "abcd");
    close(ends[0]);
}

/* ---- pools ------------------------------------------------------------------------------- */

struct batch {
    atomic_uint worked;
    atomic_uint running;
    atomic_uint most_running;
    unsigned done;
    unsigned stop_at;
    pthread_t loop_thread;
    bool wrong;
};

static void work(void *ctx)
{
    struct batch *batch = ctx;
    unsigned running = atomic_fetch_add(&batch->running, 1) + 1;
    unsigned most = atomic_load(&batch->most_running);
    while (running > most && !atomic_compare_exchange_weak(&batch->most_running, &most, running)) {
    }
    usleep(1000);
    atomic_fetch_sub(&batch->running, 1);
    atomic_fetch_add(&batch->worked, 1);
}

static void done(void *ctx)
{
    struct batch *batch = ctx;
    batch->wrong |= !pthread_equal(pthread_self(), batch->loop_thread);
    if (++batch->done == batch->stop_at) {
        rr_loop_stop(loop);
    }
}

static void jobs_run_on_as_many_threads_and_end_on_the_loop(void **state)
{
    (void)state;
    struct batch batch = {.stop_at = 200, .loop_thread = pthread_self()};
    struct rr_pool *pool = rr_pool_new("test", 3);
    for (unsigned i = 0; i < 200; i++) {
        rr_pool_submit(pool, work, loop, done, &batch);
    }
    rr_loop_run(loop);
    rr_pool_free(pool);
    assert_int_equal(atomic_load(&batch.worked), 200);
    assert_int_equal(batch.done, 200);
    assert_false(batch.wrong);
    assert_in_range(atomic_load(&batch.most_running), 2, 3);
}

static void freeing_a_pool_waits_and_a_drain_takes_the_results(void **state)
{
    (void)state;
    struct batch batch = {.loop_thread = pthread_self()};
    struct rr_pool *pool = rr_pool_new("a name beyond the limit", 2);
    for (unsigned i = 0; i < 50; i++) {
        rr_pool_submit(pool, work, loop, done, &batch);
        rr_pool_submit(pool, work, NULL, NULL, &batch);
    }
    rr_pool_free(pool);
    assert_int_equal(atomic_load(&batch.worked), 100);
    assert_int_equal(batch.done, 0);
    assert_int_equal(rr_loop_drain(loop), 50);
    assert_int_equal(batch.done, 50);
    assert_int_equal(rr_loop_drain(loop), 0);
    rr_loop_post(loop, done, &batch); /* dropped with the loop */
}

struct row {
    unsigned taken[100];
    unsigned count;
};
struct place {
    struct row *row;
    unsigned number;
    char name[16];
};

static void line_up(void *ctx)
{
    struct place *place = ctx;
    place->row->taken[place->row->count++] = place->number;
    pthread_getname_np(pthread_self(), place->name, sizeof place->name);
}

static void one_thread_works_first_in_first_out_under_its_name(void **state)
{
    (void)state;
    struct row row = {.count = 0};
    static struct place places[100];
    struct rr_pool *pool = rr_pool_new("disk", 1);
    for (unsigned i = 0; i < 100; i++) {
        places[i] = (struct place){.row = &row, .number = i};
        rr_pool_submit(pool, line_up, NULL, NULL, &places[i]);
    }
    rr_pool_free(pool);
    assert_int_equal(row.count, 100);
    for (unsigned i = 0; i < 100; i++) {
        assert_int_equal(row.taken[i], i);
        assert_string_equal(places[i].name, "rr-disk");
    }
}

static void too_many_threads(void)
{
    (void)rr_pool_new("x", 65);
}

static void a_pool_has_1_to_64_threads(void **state)
{
    (void)state;
    struct rr_pool *pool = rr_pool_new("x", 64);
    rr_pool_free(pool);
    assert_aborts(too_many_threads);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        T(a_stop_before_the_run_ends_it_at_once),
        T(posts_of_each_thread_run_in_order_on_the_loops_thread),
        T(timers_run_once_or_again_and_never_early),
        T(a_timer_left_over_is_freed_with_the_loop),
        T(a_blocked_loop_shows_in_the_lag_gauge),
        T(signals_arrive_on_the_loop),
        T(a_readable_descriptor_is_told_until_it_is_taken_off),
        T(jobs_run_on_as_many_threads_and_end_on_the_loop),
        T(freeing_a_pool_waits_and_a_drain_takes_the_results),
        T(one_thread_works_first_in_first_out_under_its_name),
        T(a_pool_has_1_to_64_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "loop/loop.h"
#include "unit/base/unit.h"

/* One side of a stream. */
struct side {
    struct rr_tcp *tcp;
    bool echoes, close_at_once, opened, ended;
    size_t got;
    uint64_t sum;
    char why[200], peer[RR_TCP_PEER_BYTES];
    struct side *other;
};

static struct rr_loop *loop;
static uint64_t until_us;

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

static void on_opened(void *ctx)
{
    struct side *side = ctx;
    side->opened = true;
}

static void on_received(void *ctx, struct rr_slice bytes)
{
    struct side *side = ctx;
    side->got += bytes.len;
    for (size_t i = 0; i < bytes.len; i++) {
        side->sum += bytes.ptr[i];
    }
    if (side->close_at_once) {
        rr_tcp_close(side->tcp);
        side->tcp = NULL;
        side->ended = true;
    } else if (side->echoes) {
        rr_tcp_send(side->tcp, bytes);
    }
}

static void on_closed(void *ctx, const struct rr_fault *why)
{
    struct side *side = ctx;
    side->ended = true;
    side->tcp = NULL;
    snprintf(side->why, sizeof side->why, "%.199s", why->text);
    assert_int_equal(why->code, RR_ERR_UNREACHABLE);
}

static const struct rr_tcp_events events = {on_opened, on_received, on_closed};

static void on_accepted(void *ctx, struct rr_tcp *tcp)
{
    struct side *side = ctx;
    side->tcp = tcp;
    rr_tcp_peer(tcp, side->peer);
    rr_tcp_start(tcp, &events, side);
}

struct wait {
    bool (*holds)(void *ctx);
    void *ctx;
};

static void look(void *ctx)
{
    struct wait *wait = ctx;
    if (wait->holds(wait->ctx) || rr_monotonic_us(rr_clock_system()) > until_us) {
        rr_loop_stop(loop);
    }
}

static void wait_for(bool (*holds)(void *ctx), void *ctx)
{
    struct wait wait = {holds, ctx};
    until_us = rr_monotonic_us(rr_clock_system()) + UINT64_C(60000000);
    struct rr_timer *timer = rr_timer_new(loop, 0, 5, look, &wait);
    rr_loop_run(loop);
    rr_timer_free(timer);
    assert_true(holds(ctx));
}

static bool has_ended(void *ctx)
{
    return ((struct side *)ctx)->ended;
}

static bool is_open(void *ctx)
{
    return ((struct side *)ctx)->opened;
}

enum { BULK = 4 << 20 };

static bool has_all(void *ctx)
{
    return ((struct side *)ctx)->got == BULK;
}

static void bytes_come_back_whole_and_in_order(void **state)
{
    struct side server = {.echoes = true}, client = {0};
    struct rr_tcp_listener *listener = NULL;
    (void)state;
    assert_int_equal(rr_tcp_listen(&listener, loop, "127.0.0.1", 0, on_accepted, &server, NULL),
                     RR_OK);
    client.tcp =
        rr_tcp_connect(loop, "localhost", rr_tcp_listener_port(listener), &events, &client);
    wait_for(is_open, &client);
    uint8_t *bytes = malloc(BULK);
    uint64_t sum = 0;
    for (size_t i = 0; i < BULK; i++) {
        bytes[i] = (uint8_t)(i * 31);
        sum += bytes[i];
    }
    for (size_t at = 0; at < BULK; at += 65536) {
        rr_tcp_send(client.tcp, rr_slice_of(bytes + at, 65536));
    }
    memset(bytes, 0, BULK); /* it was copied */
    wait_for(has_all, &client);
    assert_int_equal(client.sum, sum);
    assert_int_equal(rr_tcp_unsent(client.tcp), 0);
    assert_string_equal(server.peer, "127.0.0.1");
    rr_tcp_close(client.tcp);
    wait_for(has_ended, &server);
    assert_non_null(strstr(server.why, "closed the connection"));
    assert_false(client.ended); /* who closes hears nothing more */
    rr_tcp_listener_free(listener);
    free(bytes);
}

static void a_stream_may_be_closed_in_its_own_callback(void **state)
{
    struct side server = {.close_at_once = true}, client = {0};
    struct rr_tcp_listener *listener = NULL;
    (void)state;
    assert_int_equal(rr_tcp_listen(&listener, loop, "127.0.0.1", 0, on_accepted, &server, NULL),
                     RR_OK);
    client.tcp =
        rr_tcp_connect(loop, "127.0.0.1", rr_tcp_listener_port(listener), &events, &client);
    wait_for(is_open, &client);
    rr_tcp_send(client.tcp, rr_slice_str("hello"));
    wait_for(has_ended, &client);
    assert_int_equal(server.got, 5);
    rr_tcp_listener_free(listener);
}

static void what_cannot_be_reached_says_so(void **state)
{
    struct rr_tcp_listener *listener = NULL;
    struct rr_fault fault = {0};
    struct side refused = {0}, unknown = {0}, nonsense = {0};
    (void)state;
    assert_int_equal(rr_tcp_listen(&listener, loop, "127.0.0.1", 0, on_accepted, NULL, NULL),
                     RR_OK);
    uint16_t port = rr_tcp_listener_port(listener);
    struct rr_tcp_listener *second = NULL;
    assert_int_equal(rr_tcp_listen(&second, loop, "127.0.0.1", port, on_accepted, NULL, &fault),
                     RR_ERR_BUSY);
    assert_int_equal(rr_tcp_listen(&second, loop, "localhost", 0, on_accepted, NULL, &fault),
                     RR_ERR_USAGE);
    rr_tcp_listener_free(listener);
    refused.tcp = rr_tcp_connect(loop, "127.0.0.1", port, &events, &refused);
    wait_for(has_ended, &refused);
    assert_non_null(strstr(refused.why, "refused"));
    unknown.tcp = rr_tcp_connect(loop, "no-such-host.invalid", 1, &events, &unknown);
    wait_for(has_ended, &unknown);
    char longest[400];
    memset(longest, 'x', sizeof longest - 1);
    longest[sizeof longest - 1] = '\0';
    nonsense.tcp = rr_tcp_connect(loop, longest, 1, &events, &nonsense);
    wait_for(has_ended, &nonsense);
    assert_false(refused.opened || unknown.opened || nonsense.opened);
}

static void a_stream_closed_while_it_resolves_or_connects_stays_silent(void **state)
{
    struct side sides[50] = {0};
    struct side last = {0};
    (void)state;
    for (size_t i = 0; i < RR_COUNT(sides); i++) {
        sides[i].tcp = rr_tcp_connect(loop, i % 2 == 0 ? "localhost" : "no-such-host.invalid", 9,
                                      &events, &sides[i]);
        rr_tcp_close(sides[i].tcp);
    }
    last.tcp = rr_tcp_connect(loop, "127.0.0.1", 9, &events, &last);
    wait_for(has_ended, &last);
    for (size_t i = 0; i < RR_COUNT(sides); i++) {
        assert_false(sides[i].opened || sides[i].ended);
    }
    rr_tcp_close(NULL);
    rr_tcp_listener_free(NULL);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
int main(void)
{
    signal(SIGPIPE, SIG_IGN);
    const struct CMUnitTest tests[] = {
        TEST(bytes_come_back_whole_and_in_order),
        TEST(a_stream_may_be_closed_in_its_own_callback),
        TEST(what_cannot_be_reached_says_so),
        TEST(a_stream_closed_while_it_resolves_or_connects_stays_silent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

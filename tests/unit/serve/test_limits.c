/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Slow clients, rude clients, too many clients, and the end. Time is the test's: later_us moves the
 * server's clock. */
#include "client.h"

#include <pthread.h>

#define SEGMENT_BYTES 20000

static int set_up(void **state)
{
    *state = world_new(1, SEGMENT_BYTES, SEGMENT_BYTES);
    return 0;
}

static int set_up_long(void **state)
{
    *state =
        world_new(1, 24u << 20, SEGMENT_BYTES); /* more than the kernel takes for one connection */
    return 0;
}

static int tear_down(void **state)
{
    world_free(*state);
    return 0;
}

static void pass(struct world *world, uint64_t seconds)
{
    atomic_fetch_add(&world->later_us, seconds * 1000000);
    usleep(300000); /* three ticks */
}

static bool open_still(struct client *client)
{
    bool ended;
    return !client_more(client, 0, &ended) && !ended;
}

static void wait_connections(struct world *world, uint64_t count)
{
    for (int i = 0; world_stats(world).connections != count; i++) {
        assert_true(i < 1000);
        usleep(5000);
    }
}

static void a_head_that_does_not_end_is_cut_and_others_are_served(void **state)
{
    struct world *world = *state;
    struct client slow = client_open(rr_serve_port(world->serve));
    struct client drip = client_open(rr_serve_port(world->serve));
    struct client silent = client_open(rr_serve_port(world->serve));
    struct client good = client_open(rr_serve_port(world->serve));
    struct answer answer = {0};
    client_text(&slow, "GET /healthz HTTP/1.1\r\nHost: a\r\nX-");
    client_text(&drip, "GET /healthz HTTP/1.1\r\nHost: a\r\n");
    client_ask(&good, &answer, "GET", "", "/healthz", "");
    for (int i = 0; i < 6; i++) {
        pass(world, 1);
        client_text(&drip, "A: b\r\n"); /* bytes now and then buy no time */
        client_ask(&good, &answer, "GET", "", "/healthz", "");
        assert_int_equal(answer.status, 200);
    }
    assert_true(open_still(&slow) && open_still(&drip) && open_still(&silent));
    pass(world, 3);
    client_read(&slow, &answer, false);
    assert_int_equal(answer.status, 408);
    assert_field(&answer, "Connection", "close");
    client_read(&drip, &answer, false);
    assert_int_equal(answer.status, 408);
    assert_true(client_ends(&slow, CLIENT_WAIT_MS));
    assert_true(client_ends(&drip, CLIENT_WAIT_MS));
    assert_true(client_ends(&silent, CLIENT_WAIT_MS)); /* never said a word: no reply */
    client_ask(&good, &answer, "GET", "", "/healthz", "");
    assert_int_equal(answer.status, 200);
    client_close(&slow);
    client_close(&drip);
    client_close(&silent);
    client_close(&good);
    answer_clear(&answer);
}

static void an_idle_connection_is_closed_after_half_a_minute(void **state)
{
    struct world *world = *state;
    struct client client = client_open(rr_serve_port(world->serve));
    struct answer answer = {0};
    client_ask(&client, &answer, "GET", "", "/healthz", "");
    pass(world, 28);
    assert_true(open_still(&client));
    client_ask(&client, &answer, "GET", "", "/healthz", "");
    assert_int_equal(answer.status, 200);
    pass(world, 28);
    assert_true(open_still(&client));
    pass(world, 3);
    assert_true(client_ends(&client, CLIENT_WAIT_MS));
    client_close(&client);
    answer_clear(&answer);
}

static void a_body_that_drips_is_cut(void **state)
{
    struct world *world = *state;
    struct client client = client_open(rr_serve_port(world->serve));
    struct answer answer = {0};
    client_text(&client, "POST /v1/sessions HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n");
    for (int i = 0; i < 4; i++) {
        client_text(&client, "some bytes");
        pass(world, 2);
    }
    assert_true(open_still(&client));
    pass(world, 3);
    client_read(&client, &answer, false);
    assert_int_equal(answer.status, 408);
    assert_true(client_ends(&client, CLIENT_WAIT_MS));
    client_close(&client);
    answer_clear(&answer);
}

static void a_reader_that_stops_is_cut_and_a_slow_one_is_not(void **state)
{
    struct world *world = *state;
    struct client stuck = client_open(rr_serve_port(world->serve));
    struct client slow = client_open(rr_serve_port(world->serve));
    const struct rr_buf *segment = &world->open.segments[0][0];
    char text[256];
    bool ended;
    snprintf(text, sizeof(text), "GET %s/hls/720p/seg_00000.m4s HTTP/1.1\r\nHost: a\r\n\r\n",
             world->open.path);
    client_text(&stuck, text);
    client_text(&slow, text);
    assert_true(client_more(&stuck, CLIENT_WAIT_MS, &ended));
    assert_true(client_more(&slow, CLIENT_WAIT_MS, &ended));
    for (int i = 0; i < 3; i++) {
        size_t until = (size_t)(i + 1) * (6u << 20);
        pass(world, 12);
        while (slow.in.len < until) {
            assert_true(client_more(&slow, CLIENT_WAIT_MS, &ended));
        }
    }
    assert_true(client_ends(&stuck, CLIENT_WAIT_MS));
    assert_true(stuck.in.len < segment->len);
    while (slow.in.len < segment->len) {
        assert_true(client_more(&slow, CLIENT_WAIT_MS, &ended));
    }
    wait_connections(world, 1);
    client_close(&stuck);
    client_close(&slow);
}

static void malformed_requests_are_answered_and_the_connection_ends(void **state)
{
    struct world *world = *state;
    static const struct {
        const char *text;
        unsigned status;
    } rows[] = {
        {"GET / HTTP/1.1\r\n\r\n", 400},
        {"GET /../x HTTP/1.1\r\nHost: a\r\n\r\n", 400},
        {"POST /v1/sessions HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n"
         "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /healthz HTTP/1.1\r\nHost: a\r\n\r\n",
         400},
        {"POST /v1/sessions HTTP/1.1\r\nHost: a\r\n\r\n", 411},
        {"POST /v1/certificates HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999\r\n\r\n", 413},
        {"POST /healthz HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello", 405},
        {"POST /nothing HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello", 404},
        {"GET / HTTP/3.0\r\n\r\n", 505},
        {"\x16\x03\x01\x02\x00\x01\xfc\x03", 400},
    };
    for (size_t i = 0; i < RR_COUNT(rows); i++) {
        struct client client = client_open(rr_serve_port(world->serve));
        struct answer answer = {0};
        client_text(&client, rows[i].text);
        client_read(&client, &answer, false);
        if (answer.status != rows[i].status) {
            fail_msg("%u for %s", answer.status, rows[i].text);
        }
        assert_field(&answer, "Connection", "close");
        assert_int_equal(client.in.len, 0); /* what follows is not taken for a request */
        shutdown(client.fd, SHUT_WR);
        assert_true(client_ends(&client, CLIENT_WAIT_MS));
        client_close(&client);
        answer_clear(&answer);
    }
    assert_int_equal(world_stats(world).bad_requests, RR_COUNT(rows) - 2);
    wait_connections(world, 0);
}

static void a_long_upload_that_is_refused_still_reads_its_reply(void **state)
{
    struct world *world = *state;
    struct client client = client_open(rr_serve_port(world->serve));
    struct answer answer = {0};
    struct rr_buf text = {0};
    rr_buf_format(&text, "POST /v1/sessions HTTP/1.1\r\nHost: a\r\n"
                         "Content-Length: 900000000\r\n\r\n");
    for (int i = 0; i < 100000; i++) {
        rr_buf_format(&text, "0123456789");
    }
    client_write(&client, text.ptr, text.len);
    client_read(&client, &answer, false);
    assert_int_equal(answer.status, 413);
    rr_buf_clear(&text);
    client_close(&client);
    answer_clear(&answer);
}

static void connections_beyond_the_limit_are_turned_away(void **state)
{
    struct world *world = *state;
    struct client clients[4];
    struct answer answer = {0};
    rr_serve_stop(world->serve, 500);
    world->options.connections_max = 3;
    world_start(world);
    for (int i = 0; i < 3; i++) {
        clients[i] = client_open(rr_serve_port(world->serve));
        client_ask(&clients[i], &answer, "GET", "", "/healthz", "");
        assert_int_equal(answer.status, 200);
    }
    clients[3] = client_open(rr_serve_port(world->serve));
    client_read(&clients[3], &answer, false);
    assert_int_equal(answer.status, 503);
    client_close(&clients[3]);
    client_close(&clients[0]);
    wait_connections(world, 2);
    clients[0] = client_open(rr_serve_port(world->serve));
    client_ask(&clients[0], &answer, "GET", "", "/healthz", "");
    assert_int_equal(answer.status, 200);
    for (int i = 0; i < 3; i++) {
        client_close(&clients[i]);
    }
    answer_clear(&answer);
}

static void a_taken_port_is_named(void **state)
{
    struct world *world = *state;
    struct rr_serve_options options = world->options;
    struct rr_serve *second = NULL;
    struct rr_fault fault = {0};
    char port[8];
    options.port = rr_serve_port(world->serve);
    snprintf(port, sizeof(port), "%u", options.port);
    for (options.threads = 1; options.threads < 4; options.threads += 2) {
        assert_int_equal(rr_serve_start(&second, &options, &fault), RR_ERR_BUSY);
        assert_non_null(strstr(fault.text, "127.0.0.1"));
        assert_non_null(strstr(fault.text, port));
        assert_null(second);
    }
    rr_serve_stop(world->serve, 500); /* also when it listens with several threads */
    world->options.threads = 3;
    world->options.port = options.port;
    world_start(world);
    for (options.threads = 1; options.threads < 4; options.threads += 2) {
        assert_int_equal(rr_serve_start(&second, &options, &fault), RR_ERR_BUSY);
    }
    options.port = 0;
    options.threads = 0;
    assert_int_equal(rr_serve_start(&second, &options, &fault), RR_ERR_USAGE);
    options.threads = 1;
    options.address = "localhost";
    assert_int_equal(rr_serve_start(&second, &options, &fault), RR_ERR_USAGE);
    options.address = "192.0.2.1"; /* TEST-NET-1, nobody's */
    assert_int_equal(rr_serve_start(&second, &options, &fault), RR_ERR_IO);
}

static void *read_on(void *ctx)
{
    usleep(200000);
    (void)client_ends(ctx, CLIENT_WAIT_MS);
    return NULL;
}

static void the_end_lets_replies_end(void **state)
{
    struct world *world = *state;
    struct client reading = client_open(rr_serve_port(world->serve));
    struct client idle = client_open(rr_serve_port(world->serve));
    struct answer answer = {0};
    const struct rr_buf *segment = &world->open.segments[0][0];
    char text[256];
    uint16_t port = rr_serve_port(world->serve);
    client_ask(&idle, &answer, "GET", "", "/healthz", "");
    snprintf(text, sizeof(text), "GET %s/hls/720p/seg_00000.m4s HTTP/1.1\r\nHost: a\r\n\r\n",
             world->open.path);
    client_text(&reading, text);
    bool ended;
    assert_true(client_more(&reading, CLIENT_WAIT_MS, &ended));
    pthread_t reader; /* goes on reading while this one stops the server */
    assert_int_equal(pthread_create(&reader, NULL, read_on, &reading), 0);
    uint64_t began = rr_monotonic_us(rr_clock_system());
    rr_serve_stop(world->serve, 10000);
    uint64_t took_ms = (rr_monotonic_us(rr_clock_system()) - began) / 1000;
    pthread_join(reader, NULL);
    client_read(&reading, &answer, false);
    assert_field(&answer, "Content-Type", "video/iso.segment");
    assert_body(&answer, segment->ptr, segment->len);
    assert_int_equal(reading.in.len, 0);
    client_close(&reading);
    assert_true(took_ms < 9000);
    assert_true(client_ends(&idle, CLIENT_WAIT_MS));
    client_close(&idle);
    world->options.port = port; /* free again at once */
    world_start(world);
    answer_clear(&answer);
}

static void the_end_does_not_wait_for_ever(void **state)
{
    struct world *world = *state;
    struct client stuck = client_open(rr_serve_port(world->serve));
    struct client half = client_open(rr_serve_port(world->serve));
    char text[256];
    bool ended;
    snprintf(text, sizeof(text), "GET %s/hls/720p/seg_00000.m4s HTTP/1.1\r\nHost: a\r\n\r\n",
             world->open.path);
    client_text(&stuck, text);
    assert_true(client_more(&stuck, CLIENT_WAIT_MS, &ended));
    client_text(&half, "GET / HT");
    usleep(50000);
    uint64_t began = rr_monotonic_us(rr_clock_system());
    rr_serve_stop(world->serve, 300);
    uint64_t took_ms = (rr_monotonic_us(rr_clock_system()) - began) / 1000;
    assert_true(took_ms >= 250 && took_ms < 2000);
    assert_true(client_ends(&half, CLIENT_WAIT_MS));
    client_close(&stuck);
    client_close(&half);
    world_start(world);
}

int main(void)
{
#define TEST(name)      cmocka_unit_test_setup_teardown(name, set_up, tear_down)
#define TEST_LONG(name) cmocka_unit_test_setup_teardown(name, set_up_long, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_head_that_does_not_end_is_cut_and_others_are_served),
        TEST(an_idle_connection_is_closed_after_half_a_minute),
        TEST(a_body_that_drips_is_cut),
        TEST_LONG(a_reader_that_stops_is_cut_and_a_slow_one_is_not),
        TEST(malformed_requests_are_answered_and_the_connection_ends),
        TEST(a_long_upload_that_is_refused_still_reads_its_reply),
        TEST(connections_beyond_the_limit_are_turned_away),
        TEST(a_taken_port_is_named),
        TEST_LONG(the_end_lets_replies_end),
        TEST_LONG(the_end_does_not_wait_for_ever),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

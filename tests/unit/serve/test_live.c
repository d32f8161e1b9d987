/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A live ladder over HTTP without a rig behind it: who asks for what comes next waits, and no
 * thread waits with him. */
#include "client.h"

#define MANY 300

static struct rr_serve_live *live;
static struct rr_serve *server;

static void begin(void)
{
    const struct rr_serve_live_options options = {.window = 3, .gop_ms = 1000};
    const struct rr_rendition list[] = {{.kind = RR_RENDITION_VIDEO,
                                         .name = "240p",
                                         .width = 428,
                                         .height = 240,
                                         .sar_num = 1,
                                         .sar_den = 1,
                                         .fps_num = 25,
                                         .fps_den = 1,
                                         .timescale = 90000},
                                        {.kind = RR_RENDITION_AUDIO,
                                         .name = "audio",
                                         .sar_num = 1,
                                         .sar_den = 1,
                                         .fps_den = 1,
                                         .channels = 2,
                                         .sample_rate = 48000,
                                         .timescale = 48000}};
    struct rr_serve_options serve = {
        .address = "127.0.0.1", .threads = 1, .connections_max = 1000, .clock = rr_clock_system()};
    struct rr_fault fault;
    live = rr_serve_live_new(&options);
    serve.live = live;
    assert_int_equal(rr_serve_start(&server, &serve, &fault), RR_OK);
    rr_serve_live_begin(live, list, 2, 340000);
    for (uint32_t i = 0; i < 2; i++) {
        rr_serve_live_init(live, i, i == 0 ? "avc1.64000c" : "mp4a.40.2", rr_slice_str("init"));
    }
}

static void end(void)
{
    rr_serve_stop(server, 0);
    rr_serve_live_free(live);
}

static void put(uint32_t rendition, uint64_t number, unsigned parts)
{
    rr_serve_live_open(live, rendition, number, 1700000000000 + number * 1000, false);
    for (unsigned i = 0; i < parts; i++) {
        rr_serve_live_part(live, rendition, 333333, i == 0, false, rr_slice_str("abc"));
    }
}

static void shut(uint32_t rendition, uint64_t number)
{
    rr_serve_live_close(live, rendition, number, 1700000000000 + number * 1000, false, false,
                        1000000);
}

static void send_get(struct client *client, const char *path)
{
    char text[512];
    snprintf(text, sizeof(text), "GET /live/%s HTTP/1.1\r\nHost: a\r\n\r\n", path);
    client_text(client, text);
}

static unsigned status_of(const char *path)
{
    struct client client = client_open(rr_serve_port(server));
    struct answer answer = {0};
    send_get(&client, path);
    client_read(&client, &answer, false);
    unsigned status = answer.status;
    answer_clear(&answer);
    client_close(&client);
    return status;
}

static bool silent(struct client *client, int wait_ms)
{
    bool ended;
    return !client_more(client, wait_ms, &ended) && !ended;
}

static bool body_has(const struct answer *answer, const char *text)
{
    return memmem(answer->body.ptr, answer->body.len, text, strlen(text)) != NULL;
}

static void a_playlist_is_held_until_the_part_is_in_it(void **state)
{
    (void)state;
    begin();
    put(0, 0, 1);
    struct client client = client_open(rr_serve_port(server));
    struct answer answer = {0};
    send_get(&client, "240p/index.m3u8?_HLS_msn=0&_HLS_part=1");
    assert_true(silent(&client, 150));
    rr_serve_live_part(live, 0, 333333, false, false, rr_slice_str("de"));
    client_read(&client, &answer, false);
    assert_int_equal(answer.status, 200);
    assert_true(body_has(&answer, "part_00000.1.m4s"));
    assert_field(&answer, "Cache-Control", "max-age=6");
    /* The last part of a segment is seen with the segment, a part after it is the next one's first.
     */
    send_get(&client, "240p/index.m3u8?_HLS_msn=0&_HLS_part=2");
    rr_serve_live_part(live, 0, 333333, false, true, rr_slice_str("f"));
    assert_true(silent(&client, 100));
    shut(0, 0);
    client_read(&client, &answer, false);
    assert_true(body_has(&answer, "part_00000.2.m4s") && body_has(&answer, "seg_00000.m4s"));
    send_get(&client, "240p/index.m3u8?_HLS_msn=0&_HLS_part=3");
    assert_true(silent(&client, 100));
    put(0, 1, 1);
    client_read(&client, &answer, false);
    assert_true(body_has(&answer, "part_00001.0.m4s"));
    send_get(&client, "240p/seg_00000.m4s");
    client_read(&client, &answer, false);
    assert_int_equal(answer.status, 200);
    assert_int_equal(answer.body.len, 6);
    assert_memory_equal(answer.body.ptr, "abcdef", 6);
    answer_clear(&answer);
    client_close(&client);
    end();
}

static void hinted_parts_wait_and_others_do_not(void **state)
{
    (void)state;
    begin();
    put(0, 0, 2);
    struct client client = client_open(rr_serve_port(server));
    struct answer answer = {0};
    send_get(&client, "240p/part_00000.2.m4s");
    assert_true(silent(&client, 100));
    assert_int_equal(status_of("240p/part_00000.3.m4s"), 404);
    assert_int_equal(status_of("240p/part_00001.0.m4s"), 404);
    assert_int_equal(status_of("240p/seg_00001.m4s"), 404);
    assert_int_equal(status_of("240p/index.m3u8?_HLS_msn=3"), 400);
    assert_int_equal(status_of("240p/index.m3u8?_HLS_part=3"), 400);
    assert_int_equal(status_of("240p/index.m3u8?_HLS_msn=-1"), 400);
    assert_int_equal(status_of("nowhere/index.m3u8"), 404);
    rr_serve_live_part(live, 0, 333333, false, false, rr_slice_str("xyz"));
    client_read(&client, &answer, false);
    assert_int_equal(answer.status, 200);
    assert_memory_equal(answer.body.ptr, "xyz", 3);
    /* A hint that is not kept: the segment ends without it. */
    send_get(&client, "240p/part_00000.3.m4s");
    assert_true(silent(&client, 100));
    shut(0, 0);
    client_read(&client, &answer, false);
    assert_int_equal(answer.status, 404);
    answer_clear(&answer);
    client_close(&client);
    end();
}

static void many_wait_on_one_thread_and_all_are_answered(void **state)
{
    (void)state;
    static struct client clients[MANY];
    struct answer answer = {0};
    begin();
    put(0, 0, 1);
    for (unsigned i = 0; i < MANY; i++) {
        clients[i] = client_open(rr_serve_port(server));
        send_get(&clients[i], i % 2 == 0 ? "240p/index.m3u8?_HLS_msn=0" : "240p/part_00000.1.m4s");
    }
    assert_int_equal(status_of("240p/index.m3u8"), 200); /* the thread is free */
    for (unsigned i = 0; i < 10; i++) {
        client_close(&clients[i]); /* some go while they wait */
    }
    rr_serve_live_part(live, 0, 333333, false, false, rr_slice_str("xyz"));
    shut(0, 0);
    for (unsigned i = 10; i < MANY; i++) {
        client_read(&clients[i], &answer, false);
        assert_int_equal(answer.status, 200);
        client_close(&clients[i]);
    }
    answer_clear(&answer);
    end();
}

static void who_waits_too_long_gets_503_and_the_end_answers_all(void **state)
{
    (void)state;
    begin();
    put(0, 0, 1);
    struct client client = client_open(rr_serve_port(server));
    struct client other = client_open(rr_serve_port(server));
    struct answer answer = {0};
    send_get(&client, "240p/index.m3u8?_HLS_msn=1");
    for (unsigned i = 0; i < 200 && silent(&client, 50); i++) {
        rr_serve_live_tick(live);
    }
    client_read(&client, &answer, false);
    assert_int_equal(answer.status, 503);
    send_get(&other, "240p/index.m3u8?_HLS_msn=0");
    assert_true(silent(&other, 100));
    rr_serve_live_end(live);
    client_read(&other, &answer, false);
    assert_int_equal(answer.status, 200);
    assert_true(body_has(&answer, "#EXT-X-ENDLIST"));
    answer_clear(&answer);
    client_close(&client);
    client_close(&other);
    end();
}

static void stopping_turns_away_who_waits(void **state)
{
    (void)state;
    begin();
    put(0, 0, 1);
    struct client client = client_open(rr_serve_port(server));
    struct answer answer = {0};
    send_get(&client, "master.m3u8");
    assert_true(silent(&client, 100));
    rr_serve_stop(server, 2000);
    client_read(&client, &answer, false);
    assert_int_equal(answer.status, 503);
    answer_clear(&answer);
    client_close(&client);
    rr_serve_live_free(live);
}

static void the_window_slides_and_the_list_of_renditions_comes_with_the_first_segments(void **state)
{
    (void)state;
    begin();
    struct client client = client_open(rr_serve_port(server));
    struct answer answer = {0};
    send_get(&client, "master.m3u8");
    assert_true(silent(&client, 100));
    for (uint64_t n = 0; n < 12; n++) {
        for (uint32_t r = 0; r < 2; r++) {
            put(r, n, 2);
            shut(r, n);
        }
    }
    client_read(&client, &answer, false);
    assert_int_equal(answer.status, 200);
    assert_true(body_has(&answer, "CODECS=\"avc1.64000c,mp4a.40.2\""));
    send_get(&client, "240p/index.m3u8");
    client_read(&client, &answer, false);
    assert_true(body_has(&answer, "#EXT-X-MEDIA-SEQUENCE:9\n"));
    assert_true(body_has(&answer, "LAST-MSN=11,LAST-PART=1"));
    assert_int_equal(status_of("240p/seg_00000.m4s"), 404);
    assert_int_equal(status_of("240p/seg_00004.m4s"), 200); /* a slow viewer still has time */
    assert_int_equal(status_of("240p/seg_00011.m4s"), 200);
    /* Nothing of a rig is there. */
    client_text(&client, "GET /v1/resources HTTP/1.1\r\nHost: a\r\n\r\n");
    client_read(&client, &answer, false);
    assert_int_equal(answer.status, 404);
    answer_clear(&answer);
    client_close(&client);
    end();
}

static unsigned long told_rate(void)
{
    struct rr_buf text = {0};
    assert_true(rr_serve_live_master(live, &text));
    rr_write_u8(&text, 0);
    const char *at = strstr((const char *)text.ptr, "BANDWIDTH=");
    assert_non_null(at);
    unsigned long rate = strtoul(at + 10, NULL, 10);
    rr_buf_clear(&text);
    return rate;
}

static void a_rate_is_the_largest_segments_and_not_a_last_pictures(void **state)
{
    (void)state;
    begin();
    put(0, 0, 1);
    put(1, 0, 1);
    shut(0, 0);
    shut(1, 0);
    unsigned long first = told_rate();
    put(0, 1, 9);
    shut(0, 1);
    unsigned long larger = told_rate();
    assert_true(larger > first);
    put(0, 2, 9);
    rr_serve_live_close(live, 0, 2, 1700000002000, false, false, 40000);
    assert_int_equal(told_rate(), larger);
    end();
}

static void a_playlist_that_ended_with_gaps_is_not_empty(void **state)
{
    (void)state;
    struct rr_buf text = {0};
    begin();
    put(1, 0, 1);
    shut(1, 0);
    for (uint64_t i = 1; i < 5; i++) {
        rr_serve_live_close(live, 1, i, 1700000000000 + i * 1000, false, true, 1000000);
    }
    rr_serve_live_end(live);
    rr_serve_live_playlist(live, &text, 1, false);
    rr_write_u8(&text, 0);
    assert_non_null(strstr((const char *)text.ptr, "#EXT-X-GAP"));
    assert_non_null(strstr((const char *)text.ptr, "#EXT-X-ENDLIST"));
    rr_buf_clear(&text);
    end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_rate_is_the_largest_segments_and_not_a_last_pictures),
        cmocka_unit_test(a_playlist_that_ended_with_gaps_is_not_empty),
        cmocka_unit_test(a_playlist_is_held_until_the_part_is_in_it),
        cmocka_unit_test(hinted_parts_wait_and_others_do_not),
        cmocka_unit_test(many_wait_on_one_thread_and_all_are_answered),
        cmocka_unit_test(who_waits_too_long_gets_503_and_the_end_answers_all),
        cmocka_unit_test(stopping_turns_away_who_waits),
        cmocka_unit_test(
            the_window_slides_and_the_list_of_renditions_comes_with_the_first_segments)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

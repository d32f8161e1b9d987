/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The RTMP door without sockets: what publishers send, in pieces of any size, and what strangers
 * do. */
#include "transcode/ingest/ingest_rtmp.c"
#include <setjmp.h>
#include <stdarg.h>
/* after setjmp and stdarg */
#include <cmocka.h>

static void put_chunk(struct rr_buf *out, uint8_t id, uint8_t type, uint32_t time,
                      struct rr_slice body, uint32_t chunk)
{
    rr_write_u8(out, id);
    put_be(out, time < 0xffffff ? time : 0xffffff, 3);
    put_be(out, (uint32_t)body.len, 3);
    rr_write_u8(out, type);
    put_be(out, 0, 4);
    for (size_t at = 0; at < body.len || at == 0; at += chunk) {
        if (at > 0) {
            rr_write_u8(out, (uint8_t)(0xc0 | id));
        }
        if (time >= 0xffffff) {
            put_be(out, time, 4);
        }
        rr_buf_append(out, body.ptr + at, body.len - at < chunk ? body.len - at : chunk);
    }
}

static void put_command(struct rr_buf *out, const char *name, double id, const char *app,
                        const char *key)
{
    struct rr_buf body = {0};
    put_string(&body, name);
    put_number(&body, id);
    if (app != NULL) {
        rr_write_u8(&body, 3);
        put_member(&body, "app", app);
        put_be(&body, 9, 3);
    } else {
        rr_write_u8(&body, 5);
    }
    if (key != NULL) {
        put_string(&body, key);
    }
    put_chunk(out, 3, TYPE_COMMAND, 0, rr_buf_slice(&body), 128);
    rr_buf_clear(&body);
}

static void put_hello(struct rr_buf *out)
{
    rr_write_u8(out, 3);
    for (unsigned i = 0; i < 2 * HANDSHAKE_BYTES; i++) {
        rr_write_u8(out, (uint8_t)i);
    }
}

/* All of it in pieces of `step` bytes; the answers to what was asked on the way. */
static enum rtmp_state feed(struct rtmp *rtmp, const struct rr_buf *in, size_t step,
                            struct rr_buf *media)
{
    struct rr_buf reply = {0};
    enum rtmp_state state = RTMP_TALKING;
    for (size_t at = 0; at < in->len && state != RTMP_BROKEN; at += step) {
        size_t now = in->len - at < step ? in->len - at : step;
        state = rtmp_feed(rtmp, rr_slice_of(in->ptr + at, now), &reply, media);
        if (state == RTMP_ASKS) {
            rtmp_admit(rtmp, true, &reply, media);
            state = rtmp_feed(rtmp, rr_slice_of("", 0), &reply, media);
        }
    }
    rr_buf_clear(&reply);
    return state;
}

static void put_stream(struct rr_buf *in, const char *app, const char *key)
{
    uint8_t body[1000];
    memset(body, 0x5a, sizeof body);
    put_hello(in);
    put_command(in, "connect", 1, app, NULL);
    put_command(in, "createStream", 4, NULL, NULL);
    put_command(in, "publish", 5, NULL, key);
    put_chunk(in, 6, TYPE_VIDEO, 40, rr_slice_of(body, sizeof body), 128);
    put_chunk(in, 4, TYPE_AUDIO, 0x1000000, rr_slice_of(body, 3), 128);
}

static void whatever_the_pieces_the_same_flv_comes_out(void **state)
{
    (void)state;
    static const size_t steps[] = {1, 2, 7, 127, 1536, 4000, 1 << 20};
    struct rr_buf in = {0}, first = {0};
    put_stream(&in, "live", "key");
    for (size_t i = 0; i < RR_COUNT(steps); i++) {
        struct rtmp *rtmp = rtmp_new("live", "key");
        struct rr_buf media = {0};
        assert_int_equal(feed(rtmp, &in, steps[i], &media), RTMP_PUBLISHING);
        assert_int_equal(media.len, 13 + 11 + 1000 + 4 + 11 + 3 + 4);
        assert_memory_equal(media.ptr, "FLV\1\5", 5);
        assert_int_equal(media.ptr[13], TYPE_VIDEO);
        assert_int_equal(media.ptr[13 + 6], 40);
        /* The long time of the sound: its low bits, then the high ones. */
        assert_int_equal(media.ptr[13 + 1015 + 7], 1);
        if (i == 0) {
            first = media;
        } else {
            assert_int_equal(first.len, media.len);
            assert_memory_equal(first.ptr, media.ptr, media.len);
            rr_buf_clear(&media);
        }
        rtmp_free(rtmp);
    }
    rr_buf_clear(&first);
    rr_buf_clear(&in);
}

static void only_the_right_application_and_key_may_publish(void **state)
{
    (void)state;
    static const struct {
        const char *app, *key;
        bool good;
    } tries[] = {{"live", "key", true},   {"live/", "key", true}, {"live", "key?a=b", true},
                 {"live", "Key", false},  {"live", "", false},    {"live", "keyy", false},
                 {"live", "ke", false},   {"liv", "key", false},  {"", "key", false},
                 {"lively", "key", false}};
    for (size_t i = 0; i < RR_COUNT(tries); i++) {
        struct rtmp *rtmp = rtmp_new("live", "key");
        struct rr_buf in = {0}, media = {0};
        put_stream(&in, tries[i].app, tries[i].key);
        enum rtmp_state got = feed(rtmp, &in, 100, &media);
        assert_int_equal(got, tries[i].good ? RTMP_PUBLISHING : RTMP_BROKEN);
        assert_true(tries[i].good == (media.len > 0));
        rr_buf_clear(&in);
        rr_buf_clear(&media);
        rtmp_free(rtmp);
    }
}

static void nobody_publishes_before_he_connects(void **state)
{
    (void)state;
    struct rtmp *rtmp = rtmp_new("live", "key");
    struct rr_buf in = {0}, media = {0};
    put_hello(&in);
    put_command(&in, "publish", 5, NULL, "key");
    assert_int_equal(feed(rtmp, &in, 64, &media), RTMP_BROKEN);
    rr_buf_clear(&in);
    rtmp_free(rtmp);
}

static void what_is_too_long_too_much_or_no_rtmp_ends_it(void **state)
{
    (void)state;
    struct rr_buf in = {0}, media = {0};
    struct rtmp *rtmp = rtmp_new("live", "key");
    rr_buf_append(&in, "GET / HTTP/1.1\r\n\r\n", 18);
    assert_int_equal(feed(rtmp, &in, 18, &media), RTMP_BROKEN);
    rtmp_free(rtmp);

    rtmp = rtmp_new("live", "key"); /* a message of 16 MiB is announced */
    in.len = 0;
    put_hello(&in);
    rr_buf_append(&in, "\x06\0\0\0\xff\xff\xff\x09\0\0\0\0", 12);
    assert_int_equal(feed(rtmp, &in, 5000, &media), RTMP_BROKEN);
    rtmp_free(rtmp);

    rtmp = rtmp_new("live", "key"); /* chunk streams without end */
    in.len = 0;
    put_hello(&in);
    for (unsigned i = 0; i < STREAMS_MAX + 1; i++) {
        rr_write_u8(&in, 0);
        rr_write_u8(&in, (uint8_t)i);
        rr_buf_append(&in, "\0\0\0\0\0\1\x04\0\0\0\0x", 12);
    }
    assert_int_equal(feed(rtmp, &in, 5000, &media), RTMP_BROKEN);
    rtmp_free(rtmp);

    rtmp = rtmp_new("live", "key"); /* talk without end */
    in.len = 0;
    put_hello(&in);
    put_command(&in, "connect", 1, "live", NULL);
    for (unsigned i = 0; i < COMMANDS_MAX + 1; i++) {
        put_command(&in, "releaseStream", 2, NULL, "key");
    }
    assert_int_equal(feed(rtmp, &in, 5000, &media), RTMP_BROKEN);
    rtmp_free(rtmp);
    rr_buf_clear(&in);
    rr_buf_clear(&media);
}

static void data_loses_its_wrapping_and_aggregates_are_opened(void **state)
{
    (void)state;
    struct rtmp *rtmp = rtmp_new("live", "key");
    struct rr_buf in = {0}, media = {0}, body = {0};
    put_stream(&in, "live", "key");
    assert_int_equal(feed(rtmp, &in, 4096, &media), RTMP_PUBLISHING);
    in.len = media.len = 0;
    put_string(&body, "@setDataFrame");
    put_string(&body, "onMetaData");
    put_chunk(&in, 5, TYPE_DATA, 0, rr_buf_slice(&body), 128);
    body.len = 0;
    put_tag(&body, TYPE_VIDEO, 500, rr_slice_str("vv"));
    put_tag(&body, TYPE_AUDIO, 520, rr_slice_str("a"));
    put_chunk(&in, 6, TYPE_AGGREGATE, 900, rr_buf_slice(&body), 128);
    assert_int_equal(feed(rtmp, &in, 4096, &media), RTMP_PUBLISHING);
    assert_int_equal(media.len, 11 + 13 + 4 + 11 + 2 + 4 + 11 + 1 + 4);
    assert_memory_equal(media.ptr + 11, "\2\0\12onMetaData", 13);
    assert_int_equal(be(media.ptr + 28 + 4, 3), 900);
    assert_int_equal(be(media.ptr + 28 + 17 + 4, 3), 920);
    in.len = 0;
    put_command(&in, "deleteStream", 6, NULL, NULL);
    assert_int_equal(feed(rtmp, &in, 4096, &media), RTMP_ENDED);
    rr_buf_clear(&in);
    rr_buf_clear(&media);
    rr_buf_clear(&body);
    rtmp_free(rtmp);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whatever_the_pieces_the_same_flv_comes_out),
        cmocka_unit_test(only_the_right_application_and_key_may_publish),
        cmocka_unit_test(nobody_publishes_before_he_connects),
        cmocka_unit_test(what_is_too_long_too_much_or_no_rtmp_ends_it),
        cmocka_unit_test(data_loses_its_wrapping_and_aggregates_are_opened)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

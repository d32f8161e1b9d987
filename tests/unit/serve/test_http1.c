/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The request parser against tables of what is right, what is wrong, and what two readers could
 * read differently. */
#include "serve/serve_http1.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
/* after its own needs */
#include <cmocka.h>

/* All that came out of one input, as text. */
static void trace(struct rr_buf *out, const char *input, size_t len, size_t piece,
                  uint64_t body_max)
{
    static const char *const methods[] = {"GET", "HEAD", "POST", "OPTIONS", "known", "other"};
    struct serve_http1 parser;
    serve_http1_init(&parser);
    size_t at = 0;
    bool in_body = false;
    while (at < len || piece == 0) {
        size_t n = piece == 0 || len - at < piece ? len - at : piece;
        struct rr_slice rest = rr_slice_of(input + at, n);
        at += n;
        for (;;) {
            enum serve_http1_event event = serve_http1_next(&parser, &rest);
            if (event == SERVE_MORE) {
                break;
            }
            if (event == SERVE_BEGIN) {
                struct rr_slice path = serve_span_of(&parser.bytes, parser.head.path);
                struct rr_slice query = serve_span_of(&parser.bytes, parser.head.query);
                parser.body_max = body_max;
                rr_buf_format(out, "%s %.*s?%.*s %s", methods[parser.head.method], (int)path.len,
                              (const char *)path.ptr, (int)query.len, (const char *)query.ptr,
                              parser.head.keep_alive ? "keep" : "close");
                in_body = false;
            } else if (event == SERVE_BODY) {
                rr_buf_format(out, "%s", in_body ? "" : " [");
                in_body = true;
                rr_buf_append(out, parser.body.ptr, parser.body.len);
            } else if (event == SERVE_END) {
                rr_buf_format(out, "%s.", in_body ? "]" : "");
            } else {
                rr_buf_format(out, "%s%u", in_body ? "]" : "", parser.status);
                at = len;
                break;
            }
        }
        if (piece == 0) {
            break;
        }
    }
    serve_http1_clear(&parser);
}

static void expect_len(const char *input, size_t len, const char *expected)
{
    for (size_t piece = 0; piece < 8; piece++) { /* whole, then by 1..7 bytes */
        struct rr_buf out = {0};
        trace(&out, input, len, piece, 100);
        rr_buf_append(&out, "", 1);
        if (strcmp((char *)out.ptr, expected) != 0) {
            fail_msg("by %zu: '%s' gave '%s', not '%s'", piece, input, (char *)out.ptr, expected);
        }
        rr_buf_clear(&out);
    }
}

struct shape {
    const char *input, *expected;
};

static void expect_all(const struct shape *shapes, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        expect_len(shapes[i].input, strlen(shapes[i].input), shapes[i].expected);
    }
}
#define H "Host: a\r\n"

static void right_requests_are_read(void **state)
{
    (void)state;
    static const struct shape shapes[] = {
        {"GET / HTTP/1.1\r\n" H "\r\n", "GET /? keep."},
        {"\r\nGET / HTTP/1.1\r\n" H "\r\n", "GET /? keep."},
        {"HEAD /a/b?x=1&y HTTP/1.1\r\nhOsT:\t a:80 \t\r\n\r\n", "HEAD /a/b?x=1&y keep."},
        {"GET /%61%2D%7e HTTP/1.1\r\n" H "\r\n", "GET /a-~? keep."},
        {"GET http://rig.example:8/x?y HTTP/1.1\r\n" H "\r\n", "GET /x?y keep."},
        {"OPTIONS * HTTP/1.1\r\n" H "\r\n", "OPTIONS *? keep."},
        {"GET / HTTP/1.0\r\n\r\n", "GET /? close."},
        {"GET / HTTP/1.1\r\n" H "Connection: foo, Close\r\n\r\n", "GET /? close."},
        {"PUT / HTTP/1.1\r\n" H "\r\n", "known /? keep."},
        {"BREW /pot HTTP/1.1\r\n" H "\r\n", "other /pot? keep."},
        {"POST /p HTTP/1.1\r\n" H "Content-Length: 0\r\n\r\n", "POST /p? keep."},
        {"POST /p HTTP/1.1\r\n" H "Content-Length: 4\r\n\r\nabcdGET / HTTP/1.1\r\n" H "\r\n",
         "POST /p? keep [abcd].GET /? keep."},
        {"POST /p HTTP/1.1\r\n" H
         "Transfer-Encoding: Chunked\r\n\r\n3\r\nabc\r\nA;x=\"1\"\r\n0123456789\r\n0\r\n\r\n",
         "POST /p? keep [abc0123456789]."},
        {"POST /p HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n00\r\nA: b\r\nC: "
         "d\r\n\r\nGET / HTTP/1.1\r\n" H "\r\n",
         "POST /p? keep [x].GET /? keep."},
        {"GET /1 HTTP/1.1\r\n" H "\r\nGET /2 HTTP/1.1\r\n" H "\r\nGET /3 HTTP/1.1\r\n" H "\r\n",
         "GET /1? keep.GET /2? keep.GET /3? keep."},
        {"GET /a..b/...x/.c HTTP/1.1\r\n" H "\r\n", "GET /a..b/...x/.c? keep."},
        {"GET / HTTP/1.1\r\n" H "X:\r\n\r\n", "GET /? keep."},
        {"GET /half HTTP/1.1\r\n" H, ""},
        {"", ""},
    };
    expect_all(shapes, RR_COUNT(shapes));
}

static void what_two_readers_could_read_differently_is_refused(void **state)
{
    (void)state;
    static const struct shape shapes[] = {
        /* both lengths */
        {"POST / HTTP/1.1\r\n" H "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
         "400"},
        {"POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
         "400"},
        /* lengths that differ, repeat, or are not numbers */
        {"POST / HTTP/1.1\r\n" H "Content-Length: 5\r\nContent-Length: 6\r\n\r\n", "400"},
        {"POST / HTTP/1.1\r\n" H "Content-Length: 5\r\nContent-Length: 5\r\n\r\n", "400"},
        {"POST / HTTP/1.1\r\n" H "Content-Length: 5, 5\r\n\r\n", "400"},
        {"POST / HTTP/1.1\r\n" H "Content-Length: +5\r\n\r\n", "400"},
        {"POST / HTTP/1.1\r\n" H "Content-Length: -5\r\n\r\n", "400"},
        {"POST / HTTP/1.1\r\n" H "Content-Length: 0x5\r\n\r\n", "400"},
        {"POST / HTTP/1.1\r\n" H "Content-Length: 5 5\r\n\r\n", "400"},
        {"POST / HTTP/1.1\r\n" H "Content-Length:\r\n\r\n", "400"},
        {"POST / HTTP/1.1\r\n" H "Content-Length: 99999999999999999999\r\n\r\n", "400"},
        {"POST / HTTP/1.1\r\n" H "Content-Length: 18446744073709551617\r\n\r\n", "400"},
        /* encodings */
        {"POST / HTTP/1.1\r\n" H "Transfer-Encoding: gzip, chunked\r\n\r\n", "501"},
        {"POST / HTTP/1.1\r\n" H "Transfer-Encoding: xchunked\r\n\r\n", "501"},
        {"POST / HTTP/1.1\r\n" H "Transfer-Encoding: identity\r\n\r\n", "501"},
        {"POST / HTTP/1.1\r\n" H
         "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n",
         "400"},
        {"POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
         "400"},
        {"POST / HTTP/1.1\r\n" H "Transfer-Encoding: \x0b"
         "chunked\r\n\r\n",
         "400"},
        {"POST / HTTP/1.0\r\n" H "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "400"},
        {"POST / HTTP/1.1\r\n" H "Transfer-Encoding : chunked\r\n\r\n", "400"},
        {"POST / HTTP/1.1\r\n" H "Transfer_Encoding: chunked\r\n\r\n", "411"},
        /* bodies where none is */
        {"GET / HTTP/1.1\r\n" H "Content-Length: 5\r\n\r\nhello", "400"},
        {"GET / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "400"},
        {"POST / HTTP/1.1\r\n" H "\r\n", "411"},
        /* line ends, folds, blanks */
        {"GET / HTTP/1.1\n" H "\n", "400"},
        {"GET / HTTP/1.1\r\n" H "A: b\nC: d\r\n\r\n", "400"},
        {"GET / HTTP/1.1\r\n" H "A: b\rC: d\r\n\r\n", "400"},
        {"GET / HTTP/1.1\r\n" H "A: b\r\r\n\r\n", "400"},
        {"GET / HTTP/1.1\r\n" H "A: b\r\n folded\r\n\r\n", "400"},
        {"GET / HTTP/1.1\r\n" H "A: b\r\n\tfolded\r\n\r\n", "400"},
        {"GET / HTTP/1.1\r\n A: b\r\n" H "\r\n", "400"},
        {"GET / HTTP/1.1\r\n" H "A : b\r\n\r\n", "400"},
        {"GET / HTTP/1.1\r\n" H ": b\r\n\r\n", "400"},
        {"GET / HTTP/1.1\r\n" H "no colon\r\n\r\n", "400"},
        {"GET / HTTP/1.1\r\n" H "A\x01: b\r\n\r\n", "400"},
        {"GET / HTTP/1.1\r\n" H "A: \x7f\r\n\r\n", "400"},
        {"GET / HTTP/1.1\r\n" H "\"A\": b\r\n\r\n", "400"},
        {"\r\n\r\nGET / HTTP/1.1\r\n" H "\r\n", "400"},
        /* hosts */
        {"GET / HTTP/1.1\r\n\r\n", "400"},
        {"GET / HTTP/1.1\r\n" H "Host: b\r\n\r\n", "400"},
        {"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", "400"},
        {"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", "400"},
        {"GET / HTTP/1.1\r\nHost: a@b\r\n\r\n", "400"},
        /* fields that decide and repeat */
        {"GET / HTTP/1.1\r\n" H "Range: bytes=0-1\r\nRange: bytes=2-3\r\n\r\n", "400"},
        {"GET / HTTP/1.1\r\n" H "Reelrig-Payment: a\r\nreelrig-payment: b\r\n\r\n", "400"},
        {"POST / HTTP/1.1\r\n" H "Content-Length: 1\r\nExpect: 200-ok\r\n\r\n", "417"},
        /* chunks */
        {"POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n-1\r\n", "POST /? keep400"},
        {"POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n 1\r\nx\r\n",
         "POST /? keep400"},
        {"POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n1 \r\nx\r\n",
         "POST /? keep400"},
        {"POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n0x1\r\nx\r\n",
         "POST /? keep400"},
        {"POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n1\nx\r\n0\r\n\r\n",
         "POST /? keep400"},
        {"POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n1;a\nb\r\nx\r\n0\r\n\r\n",
         "POST /? keep400"},
        {"POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n1\r\nxy\r\n0\r\n\r\n",
         "POST /? keep [x]400"},
        {"POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n1\r\nx\n0\r\n\r\n",
         "POST /? keep [x]400"},
        {"POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n0\r\nA: b\n\r\n",
         "POST /? keep400"},
        {"POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n123456789\r\n",
         "POST /? keep413"},
        {"POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n65\r\n", "POST /? keep413"},
        {"POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n64\r\n",
         "POST /? keep [x]413"},
        {"POST / HTTP/1.1\r\n" H "Content-Length: 101\r\n\r\n", "POST /? keep413"},
    };
    expect_all(shapes, RR_COUNT(shapes));
}

static void malformed_request_lines_and_targets_are_refused(void **state)
{
    (void)state;
    static const struct shape shapes[] = {
        {"GET\r\n\r\n", "400"},
        {" GET / HTTP/1.1\r\n\r\n", "400"},
        {"GET  / HTTP/1.1\r\n" H "\r\n", "400"},
        {"GET /  HTTP/1.1\r\n" H "\r\n", "400"},
        {"GET / HTTP/1.1 \r\n" H "\r\n", "400"},
        {"GET\t/\tHTTP/1.1\r\n" H "\r\n", "400"},
        {"G@T / HTTP/1.1\r\n" H "\r\n", "400"},
        {"GET / http/1.1\r\n" H "\r\n", "400"},
        {"GET / HTTP/11\r\n" H "\r\n", "400"},
        {"GET / HTTP/1.x\r\n" H "\r\n", "400"},
        {"GET /\r\n\r\n", "400"},
        {"GET / HTTP/1.2\r\n" H "\r\n", "505"},
        {"GET / HTTP/2.0\r\n" H "\r\n", "505"},
        {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "505"},
        {"GET * HTTP/1.1\r\n" H "\r\n", "400"},
        {"GET x HTTP/1.1\r\n" H "\r\n", "400"},
        {"CONNECT a:80 HTTP/1.1\r\n" H "\r\n", "400"},
        {"GET https://a/x HTTP/1.1\r\n" H "\r\n", "400"},
        {"GET http:///x HTTP/1.1\r\n" H "\r\n", "400"},
        {"GET http://a@b/x HTTP/1.1\r\n" H "\r\n", "400"},
        {"GET /a#b HTTP/1.1\r\n" H "\r\n", "400"},
        {"GET /a\\b HTTP/1.1\r\n" H "\r\n", "400"},
        {"GET /<a> HTTP/1.1\r\n" H "\r\n", "400"},
        {"GET /\xc3\xa4 HTTP/1.1\r\n" H "\r\n", "400"},
        {"GET /.. HTTP/1.1\r\n" H "\r\n", "400"},
        {"GET /a/../b HTTP/1.1\r\n" H "\r\n", "400"},
        {"GET /a/./b HTTP/1.1\r\n" H "\r\n", "400"},
        {"GET /%2e%2e/b HTTP/1.1\r\n" H "\r\n", "400"},
        {"GET /a/.%2E HTTP/1.1\r\n" H "\r\n", "400"},
        {"GET /a%2fb HTTP/1.1\r\n" H "\r\n", "400"},
        {"GET /a%5cb HTTP/1.1\r\n" H "\r\n", "400"},
        {"GET /a%252e HTTP/1.1\r\n" H "\r\n", "400"},
        {"GET /a%00 HTTP/1.1\r\n" H "\r\n", "400"},
        {"GET /a%0d%0a HTTP/1.1\r\n" H "\r\n", "400"},
        {"GET /a%4 HTTP/1.1\r\n" H "\r\n", "400"},
        {"GET /a%zz HTTP/1.1\r\n" H "\r\n", "400"},
        {"\x16\x03\x01\x02", "400"}, /* TLS */
    };
    expect_all(shapes, RR_COUNT(shapes));
    expect_len("GET /\0 HTTP/1.1\r\n" H "\r\n", 28, "400");
    expect_len("GET / HTTP/1.1\r\nHost: a\0b\r\n\r\n", 29, "400");
}

static void fill(struct rr_buf *out, const char *text, size_t times)
{
    for (size_t i = 0; i < times; i++) {
        rr_buf_format(out, "%s", text);
    }
}

static void long_heads_are_refused_at_their_limits(void **state)
{
    (void)state;
    struct rr_buf text = {0};
    rr_buf_format(&text, "GET /");
    fill(&text, "a", SERVE_LINE_MAX - 14);
    rr_buf_format(&text, " HTTP/1.1\r\n" H "\r\n");
    struct rr_buf out = {0};
    trace(&out, (char *)text.ptr, text.len, 0, 0);
    assert_memory_equal(out.ptr, "GET /aaa", 8);
    rr_buf_clear(&out);
    text.len = 0;
    rr_buf_format(&text, "GET /");
    fill(&text, "a", SERVE_LINE_MAX);
    rr_buf_append(&text, "", 1);
    expect_len((char *)text.ptr, text.len - 1, "414");
    text.len = 0;
    rr_buf_format(&text, "GET / HTTP/1.1\r\n" H);
    fill(&text, "A: b\r\n", SERVE_FIELDS_MAX - 1);
    size_t most = text.len;
    rr_buf_append(&text, "\r\n", 3);
    expect_len((char *)text.ptr, text.len - 1, "GET /? keep.");
    text.len = most;
    rr_buf_append(&text, "A: b\r\n\r\n", 9);
    expect_len((char *)text.ptr, text.len - 1, "431");
    text.len = most - strlen("A: b\r\n");
    rr_buf_format(&text, "A: ");
    size_t pad = SERVE_HEAD_MAX - 2 - text.len;
    fill(&text, "x", pad);
    rr_buf_append(&text, "\r\n\r\n", 5);
    expect_len((char *)text.ptr, text.len - 1, "GET /? keep.");
    text.len -= 5;
    rr_buf_append(&text, "x", 2);
    expect_len((char *)text.ptr, text.len - 1, "431");
    text.len = 0;
    rr_buf_format(&text, "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n0\r\n");
    fill(&text, "T: x\r\n", SERVE_TRAILER_MAX / 4 + 1);
    rr_buf_append(&text, "\r\n", 3);
    expect_len((char *)text.ptr, text.len - 1, "POST /? keep431");
    rr_buf_clear(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(right_requests_are_read),
        cmocka_unit_test(what_two_readers_could_read_differently_is_refused),
        cmocka_unit_test(malformed_request_lines_and_targets_are_refused),
        cmocka_unit_test(long_heads_are_refused_at_their_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The request parser: the same events whether the bytes come at once or in random pieces, and what
 * a head promises to the routes holds. */
#include "serve/serve_http1.h"
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void note_span(struct rr_buf *out, const struct serve_http1 *parser, struct serve_span span)
{
    rr_write_u16(out, span.at);
    if (span.at != 0) {
        RR_CHECK((size_t)span.at + span.len <= parser->bytes.len);
        rr_write_var16(out, serve_span_of(&parser->bytes, span));
    }
}

static void check_path(struct rr_slice path)
{
    size_t name = 0;
    RR_CHECK(path.len > 0 && (path.ptr[0] == '/' || (path.len == 1 && path.ptr[0] == '*')));
    for (size_t i = 0; i <= path.len; i++) {
        if (i == path.len || path.ptr[i] == '/') {
            RR_CHECK(i - name != 2 || memcmp(path.ptr + name, "..", 2) != 0);
            name = i + 1;
        } else {
            RR_CHECK(path.ptr[i] > 0x20 - 1 && path.ptr[i] != 0x7f && path.ptr[i] != '\\');
        }
    }
}

static void note_head(struct rr_buf *out, const struct serve_http1 *parser)
{
    const struct serve_head *head = &parser->head;
    RR_CHECK(parser->bytes.len <= SERVE_HEAD_MAX + 2);
    RR_CHECK(!head->chunked || head->content_length == 0);
    check_path(serve_span_of(&parser->bytes, head->path));
    rr_buf_format(out, "H%d.%d.%d.%d.%d.%llu", head->method, head->minor, head->keep_alive,
                  head->expect_continue, head->chunked, (unsigned long long)head->content_length);
    note_span(out, parser, head->path);
    note_span(out, parser, head->query);
    for (int i = 0; i < SERVE_FIELD_COUNT; i++) {
        note_span(out, parser, head->fields[i]);
    }
}

/* Writes all events to out; pieces of random sizes unless prng is NULL. */
static void run(struct rr_buf *out, const uint8_t *data, size_t size, struct rr_prng *prng)
{
    struct serve_http1 parser;
    struct rr_buf body = {0};
    enum serve_http1_event event = SERVE_MORE;
    serve_http1_init(&parser);
    for (size_t at = 0; at < size && event != SERVE_FAIL;) {
        size_t most = size - at;
        size_t len = prng == NULL ? most : 1 + (size_t)rr_prng_below(prng, most < 40 ? most : 40);
        struct rr_slice rest = {data + at, len};
        at += len;
        do {
            const uint8_t *before = rest.ptr;
            event = serve_http1_next(&parser, &rest);
            RR_CHECK(rest.ptr >= before && rest.ptr + rest.len == data + at);
            if (event == SERVE_BEGIN) {
                note_head(out, &parser);
                parser.body_max = 4096;
            } else if (event == SERVE_BODY) {
                RR_CHECK(parser.body.len > 0);
                rr_buf_append(&body, parser.body.ptr, parser.body.len);
                RR_CHECK(body.len <= 4096);
            } else if (event == SERVE_END) {
                rr_write_var32(out, rr_buf_slice(&body));
                body.len = 0;
            }
        } while (event != SERVE_MORE && event != SERVE_FAIL);
        RR_CHECK(event == SERVE_FAIL || rest.len == 0);
    }
    if (event == SERVE_FAIL) {
        RR_CHECK(parser.status >= 400 && parser.status <= 505 && parser.message != NULL);
        rr_buf_format(out, "F%u%s", parser.status, parser.message);
    }
    rr_write_var32(out, rr_buf_slice(&body));
    rr_write_u8(out, serve_http1_idle(&parser));
    rr_buf_clear(&body);
    serve_http1_clear(&parser);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct rr_buf whole = {0};
    run(&whole, data, size, NULL);
    struct rr_prng prng;
    rr_prng_seed(&prng, size);
    for (int i = 0; i < 3; i++) {
        struct rr_buf pieces = {0};
        run(&pieces, data, size, &prng);
        RR_CHECK(rr_slice_equal(rr_buf_slice(&whole), rr_buf_slice(&pieces)));
        rr_buf_clear(&pieces);
    }
    rr_buf_clear(&whole);
    return 0;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Private to serve: a strict parser of HTTP/1.1 requests, without I/O (RFC 9112). Bytes go in by
 * pieces of any size and events come out; where the pieces were cut never changes the events. */
#ifndef RR_SERVE_HTTP1_H
#define RR_SERVE_HTTP1_H
#include "base/base.h"

#define SERVE_HEAD_MAX    16384 /* request line and fields (spec 40, 2) */
#define SERVE_LINE_MAX    8192  /* request line; RFC 9112, 3 asks for 8000 at least */
#define SERVE_FIELDS_MAX  100   /* ours: the count of Apache and nginx */
#define SERVE_TRAILER_MAX 4096  /* ours: trailers are dropped, so few bytes are enough */

enum serve_method {
    SERVE_GET,
    SERVE_HEAD,
    SERVE_POST,
    SERVE_OPTIONS,
    SERVE_KNOWN, /* of the standard, of no use here: 405 */
    SERVE_OTHER  /* 501 */
};
/* Fields that a route may look at. */
enum serve_field {
    SERVE_HOST,
    SERVE_RANGE,
    SERVE_IF_RANGE,
    SERVE_IF_NONE_MATCH,
    SERVE_IF_MODIFIED_SINCE,
    SERVE_ACCEPT,
    SERVE_PAYMENT,
    SERVE_FIELD_COUNT
};
/* Place in the head's bytes; at 0 means absent (no field can stand there). */
struct serve_span {
    uint16_t at, len;
};
struct serve_head {
    enum serve_method method;
    uint8_t minor; /* HTTP/1.minor */
    bool keep_alive, expect_continue, chunked;
    uint64_t content_length; /* of a body that is not chunked */
    struct serve_span
        path; /* percent-decoded in place; begins with '/', no empty-name tricks, no "." or ".." */
    struct serve_span query; /* raw, without '?' */
    struct serve_span fields[SERVE_FIELD_COUNT];
};
enum serve_http1_event {
    SERVE_MORE,  /* all bytes are taken, more are needed */
    SERVE_BEGIN, /* a head is complete: `head` and `bytes` are filled */
    SERVE_BODY,  /* `body` is a view of the next decoded bytes of the body, inside the input */
    SERVE_END,   /* the request is complete */
    SERVE_FAIL   /* `status` and `message`; nothing more can be parsed on this connection */
};
struct serve_http1 {
    uint8_t phase; /* private */
    bool after_cr;
    uint8_t digits;
    uint16_t line, empty_lines;
    uint32_t trailer;
    uint64_t left; /* of body or chunk */
    uint64_t body_max;
    uint64_t body_seen;
    struct rr_buf
        bytes; /* of the head; may be taken by the caller after SERVE_BEGIN, leaving {0} */
    struct serve_head head;
    struct rr_slice body;
    uint16_t status;
    const char *message; /* static sentence */
};
/* Caller's memory; {0} is not valid. */
void serve_http1_init(struct serve_http1 *parser);
void serve_http1_clear(struct serve_http1 *parser);
/* Takes bytes off the front of *input up to the next event. After SERVE_BEGIN the caller may set
 * body_max (a longer body is 413; it is 0 before). After SERVE_END the next call begins the next
 * request. */
enum serve_http1_event serve_http1_next(struct serve_http1 *parser, struct rr_slice *input);
/* True when not a byte of a request was taken since the last one ended. */
bool serve_http1_idle(const struct serve_http1 *parser);
/* Value of a field or part inside the head's bytes; {NULL, 0} when absent. */
struct rr_slice serve_span_of(const struct rr_buf *bytes, struct serve_span span);
#endif

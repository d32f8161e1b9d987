/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Where a head ends is found byte by byte, with line ends checked on the way; the head is then
 * parsed at once. */
#include "serve/serve_http1.h"
#include "serve/serve_text.h"
#include <string.h>

enum phase {
    PHASE_HEAD,
    PHASE_DONE, /* head without body: the end event is due */
    PHASE_BODY,
    PHASE_CHUNK_SIZE,
    PHASE_CHUNK_EXTENSION,
    PHASE_CHUNK_LINE,
    PHASE_CHUNK_DATA,
    PHASE_CHUNK_CR,
    PHASE_CHUNK_LF,
    PHASE_TRAILER,
    PHASE_LAST_LF,
    PHASE_FAILED
};

static enum serve_http1_event refuse(struct serve_http1 *parser, uint16_t status,
                                     const char *message)
{
    parser->phase = PHASE_FAILED;
    parser->status = status;
    parser->message = message;
    return SERVE_FAIL;
}

static void begin(struct serve_http1 *parser)
{
    parser->phase = PHASE_HEAD;
    parser->after_cr = false;
    parser->line = 0;
    parser->empty_lines = 0;
    parser->trailer = 0;
    parser->digits = 0;
    parser->left = 0;
    parser->body_max = 0;
    parser->body_seen = 0;
    parser->bytes.len = 0;
    parser->head = (struct serve_head){0};
}

void serve_http1_init(struct serve_http1 *parser)
{
    *parser = (struct serve_http1){0};
    begin(parser);
}

void serve_http1_clear(struct serve_http1 *parser)
{
    rr_buf_clear(&parser->bytes);
}

bool serve_http1_idle(const struct serve_http1 *parser)
{
    return parser->phase == PHASE_HEAD && parser->bytes.len == 0 && !parser->after_cr;
}

struct rr_slice serve_span_of(const struct rr_buf *bytes, struct serve_span span)
{
    return span.at == 0 ? (struct rr_slice){NULL, 0} : rr_slice_of(bytes->ptr + span.at, span.len);
}

/* ---- one head ------------------------------------------------------------------------- */
/* What is left of the head, line by line. */
struct lines {
    uint8_t *base;
    size_t at, end;
};

/* The next line without its CRLF. */
static struct serve_span next_line(struct lines *lines)
{
    const uint8_t *from = lines->base + lines->at;
    const uint8_t *cr = memchr(from, '\r', lines->end - lines->at);
    RR_CHECK(cr != NULL);
    struct serve_span span = {(uint16_t)lines->at, (uint16_t)(cr - from)};
    lines->at += span.len + 2u;
    return span;
}

static enum serve_method method_of(struct rr_slice text)
{
    static const struct {
        const char *name;
        enum serve_method method;
    } known[] = {{"GET", SERVE_GET},         {"HEAD", SERVE_HEAD},   {"POST", SERVE_POST},
                 {"OPTIONS", SERVE_OPTIONS}, {"PUT", SERVE_KNOWN},   {"DELETE", SERVE_KNOWN},
                 {"PATCH", SERVE_KNOWN},     {"TRACE", SERVE_KNOWN}, {"CONNECT", SERVE_KNOWN}};
    for (size_t i = 0; i < RR_COUNT(known); i++) {
        if (rr_slice_equal(text, rr_slice_str(known[i].name))) {
            return known[i].method;
        }
    }
    return SERVE_OTHER;
}

/* Decodes in place; refuses what could mean two things to two readers: encoded slashes, controls,
 * dot names. */
static bool decode_path(uint8_t *text, uint16_t *len)
{
    size_t out = 0;
    for (size_t i = 0; i < *len; i++) {
        uint8_t c = text[i];
        if (c == '%') {
            if (i + 2 >= *len || !rr_unhex_slice(&c, 1, rr_slice_of(text + i + 1, 2))) {
                return false;
            }
            i += 2;
            if (c == '/' || c == '\\' || c == '%' || c < 0x20 || c == 0x7f) {
                return false;
            }
        }
        text[out++] = c;
    }
    size_t name = 1;
    for (size_t i = 1; i <= out; i++) {
        if (i < out && text[i] != '/') {
            continue;
        }
        size_t dots = i - name;
        if ((dots == 1 && text[name] == '.') ||
            (dots == 2 && text[name] == '.' && text[name + 1] == '.')) {
            return false;
        }
        name = i + 1;
    }
    *len = (uint16_t)out;
    return true;
}

/* Length of "http://authority" in front of an absolute form, 0 for others. Its host does not
 * matter: this server has one name space. */
static size_t absolute_prefix(struct rr_slice target)
{
    if (target.len < 8 || !serve_text_is(rr_slice_of(target.ptr, 7), "http://")) {
        return 0;
    }
    size_t i = 7;
    while (i < target.len && target.ptr[i] != '/' && target.ptr[i] != '?') {
        if (!serve_text_host(target.ptr[i])) {
            return 0;
        }
        i++;
    }
    return i < target.len && i > 7 && target.ptr[i] == '/' ? i : 0;
}

static bool take_target(struct serve_head *head, uint8_t *base, struct serve_span span)
{
    struct rr_slice target = rr_slice_of(base + span.at, span.len);
    for (size_t i = 0; i < target.len; i++) {
        if (!serve_text_uri(target.ptr[i])) {
            return false;
        }
    }
    if (head->method == SERVE_OPTIONS && target.len == 1 && target.ptr[0] == '*') {
        head->path = span;
        return true;
    }
    size_t skip = absolute_prefix(target);
    span.at = (uint16_t)(span.at + skip);
    span.len = (uint16_t)(span.len - skip);
    if (span.len == 0 || base[span.at] != '/') {
        return false;
    }
    const uint8_t *query = memchr(base + span.at, '?', span.len);
    if (query != NULL) {
        uint16_t at = (uint16_t)(query - base);
        head->query =
            (struct serve_span){(uint16_t)(at + 1), (uint16_t)(span.at + span.len - at - 1)};
        span.len = (uint16_t)(at - span.at);
    }
    head->path = span;
    return decode_path(base + span.at, &head->path.len);
}

/* method SP target SP HTTP/1.x, single spaces only. */
static enum serve_http1_event take_request_line(struct serve_http1 *parser, uint8_t *base,
                                                struct serve_span line)
{
    struct serve_head *head = &parser->head;
    uint8_t *text = base + line.at;
    const uint8_t *first = memchr(text, ' ', line.len);
    if (first == NULL || first == text) {
        return refuse(parser, 400, "The request line is not 'METHOD target HTTP/1.1'.");
    }
    size_t method_len = (size_t)(first - text);
    for (size_t i = 0; i < method_len; i++) {
        if (!serve_text_token(text[i])) {
            return refuse(parser, 400, "The method is not a token.");
        }
    }
    size_t rest = line.len - method_len - 1;
    const uint8_t *second = memchr(first + 1, ' ', rest);
    if (second == NULL || second == first + 1) {
        return refuse(parser, 400, "The request line is not 'METHOD target HTTP/1.1'.");
    }
    struct rr_slice version = {second + 1, rest - (size_t)(second - first)};
    if (version.len != 8 || memcmp(version.ptr, "HTTP/", 5) != 0 || version.ptr[6] != '.' ||
        !serve_text_digit(version.ptr[5]) || !serve_text_digit(version.ptr[7])) {
        return refuse(parser, 400, "The request line does not end with an HTTP version.");
    }
    if (version.ptr[5] != '1' || version.ptr[7] > '1') {
        return refuse(parser, 505, "Only HTTP/1.1 and HTTP/1.0 are spoken here.");
    }
    head->minor = (uint8_t)(version.ptr[7] - '0');
    head->keep_alive = head->minor == 1;
    head->method = method_of(rr_slice_of(text, method_len));
    struct serve_span target = {(uint16_t)(line.at + method_len + 1),
                                (uint16_t)(second - first - 1)};
    if (!take_target(head, base, target)) {
        return refuse(parser, 400, "The request target is not a plain path.");
    }
    return SERVE_MORE;
}

/* Framing and connection fields while the head is read. */
struct framing {
    bool length, encoding, unknown_encoding, close, keep, unknown_expect;
};

static bool take_length(struct serve_http1 *parser, struct framing *framing, struct rr_slice value)
{
    if (framing->length || value.len == 0 || value.len > 18) {
        return false;
    }
    framing->length = true;
    return serve_text_number(&parser->head.content_length, value, UINT64_MAX);
}

static void take_connection(struct framing *framing, struct rr_slice value)
{
    struct rr_slice item;
    while (serve_text_item(&item, &value)) {
        framing->close = framing->close || serve_text_is(item, "close");
        framing->keep = framing->keep || serve_text_is(item, "keep-alive");
    }
}

/* False when the field may stand only once and stood before, or has no possible meaning. */
static bool take_field(struct serve_http1 *parser, struct framing *framing, struct rr_slice name,
                       struct rr_slice value, struct serve_span place)
{
    static const struct {
        const char *name;
        bool list;
    } known[SERVE_FIELD_COUNT] = {
        [SERVE_HOST] = {"host", false},
        [SERVE_RANGE] = {"range", false},
        [SERVE_IF_RANGE] = {"if-range", false},
        [SERVE_IF_NONE_MATCH] = {"if-none-match", true},
        [SERVE_IF_MODIFIED_SINCE] = {"if-modified-since", false},
        [SERVE_ACCEPT] = {"accept", true},
        [SERVE_PAYMENT] = {"reelrig-payment", false},
    };
    struct serve_head *head = &parser->head;
    for (size_t i = 0; i < SERVE_FIELD_COUNT; i++) {
        if (!serve_text_is(name, known[i].name)) {
            continue;
        }
        if (head->fields[i].at != 0) {
            return known[i].list; /* the first line of a list is enough for us */
        }
        head->fields[i] = place;
        return true;
    }
    if (serve_text_is(name, "content-length")) {
        return take_length(parser, framing, value);
    }
    if (serve_text_is(name, "transfer-encoding")) {
        bool again = framing->encoding;
        framing->encoding = true;
        framing->unknown_encoding = !serve_text_is(value, "chunked");
        return !again;
    }
    if (serve_text_is(name, "connection")) {
        take_connection(framing, value);
    } else if (serve_text_is(name, "expect")) {
        head->expect_continue = serve_text_is(value, "100-continue");
        framing->unknown_expect = !head->expect_continue;
    }
    return true;
}

static enum serve_http1_event take_line(struct serve_http1 *parser, struct framing *framing,
                                        uint8_t *base, struct serve_span line)
{
    const uint8_t *text = base + line.at;
    const uint8_t *colon = memchr(text, ':', line.len);
    if (colon == NULL || colon == text) {
        return refuse(parser, 400, "A header line is not 'name: value'.");
    }
    size_t name_len = (size_t)(colon - text);
    for (size_t i = 0; i < name_len; i++) {
        if (!serve_text_token(text[i])) { /* also folded lines and spaces before the colon */
            return refuse(parser, 400, "A header name is not a token.");
        }
    }
    size_t from = name_len + 1;
    size_t to = line.len;
    while (from < to && serve_text_blank(text[from])) {
        from++;
    }
    while (to > from && serve_text_blank(text[to - 1])) {
        to--;
    }
    struct serve_span place = {(uint16_t)(line.at + from), (uint16_t)(to - from)};
    if (!take_field(parser, framing, rr_slice_of(text, name_len),
                    rr_slice_of(text + from, to - from), place)) {
        return refuse(parser, 400, "A header that may stand once stands twice, or has no meaning.");
    }
    return SERVE_MORE;
}

static bool host_fits(const struct serve_http1 *parser)
{
    struct rr_slice host = serve_span_of(&parser->bytes, parser->head.fields[SERVE_HOST]);
    if (parser->head.fields[SERVE_HOST].at == 0) {
        return parser->head.minor == 0;
    }
    for (size_t i = 0; i < host.len; i++) {
        if (!serve_text_host(host.ptr[i])) {
            return false;
        }
    }
    return true;
}

/* [RFC 9112, 6]: how long the body is, and whether two readers could disagree about it. */
static enum serve_http1_event settle_framing(struct serve_http1 *parser,
                                             const struct framing *framing)
{
    struct serve_head *head = &parser->head;
    if (framing->encoding && (framing->length || head->minor == 0)) {
        return refuse(parser, 400,
                      "Transfer-Encoding stands beside Content-Length or in HTTP/1.0.");
    }
    if (framing->encoding && framing->unknown_encoding) {
        return refuse(parser, 501, "The only transfer encoding known here is 'chunked'.");
    }
    if (!host_fits(parser)) {
        return refuse(parser, 400, "One Host header with a host name is needed.");
    }
    if (framing->unknown_expect) {
        return refuse(parser, 417, "The only expectation met here is '100-continue'.");
    }
    head->chunked = framing->encoding;
    bool body = framing->encoding || head->content_length > 0;
    if (body && head->method != SERVE_POST) {
        return refuse(parser, 400, "Only POST carries a body here.");
    }
    if (head->method == SERVE_POST && !framing->encoding && !framing->length) {
        return refuse(parser, 411, "A POST needs Content-Length or chunked encoding.");
    }
    head->expect_continue = head->expect_continue && body && head->minor == 1;
    head->keep_alive = framing->close ? false : head->keep_alive;
    parser->phase = head->chunked ? PHASE_CHUNK_SIZE : body ? PHASE_BODY : PHASE_DONE;
    parser->left = head->content_length;
    return SERVE_BEGIN;
}

static enum serve_http1_event parse_head(struct serve_http1 *parser)
{
    struct framing framing = {0};
    uint8_t *base = parser->bytes.ptr;
    struct lines lines = {base, 0, parser->bytes.len};
    enum serve_http1_event event = take_request_line(parser, base, next_line(&lines));
    for (unsigned count = 0; event == SERVE_MORE; count++) {
        struct serve_span line = next_line(&lines);
        if (line.len == 0) {
            return settle_framing(parser, &framing);
        }
        if (count == SERVE_FIELDS_MAX) {
            return refuse(parser, 431, "More than 100 header lines.");
        }
        event = take_line(parser, &framing, base, line);
    }
    return event;
}

/* ---- where the head ends -------------------------------------------------------------- */
/* One byte of the head: SERVE_END after the empty line, SERVE_FAIL for what no head may hold. */
static enum serve_http1_event scan(struct serve_http1 *parser, uint8_t c, size_t taken)
{
    if (parser->after_cr) {
        parser->after_cr = false;
        if (c != '\n') {
            return refuse(parser, 400, "A carriage return stands alone.");
        }
        bool empty = parser->line == 0;
        parser->line = 0;
        return empty ? SERVE_END : SERVE_MORE;
    }
    if (c == '\r') {
        parser->after_cr = true;
        return SERVE_MORE;
    }
    if (c == '\n' || c == 0x7f || (c < 0x20 && c != '\t')) {
        return refuse(parser, 400,
                      c == '\n' ? "A line feed stands alone."
                                : "A control character stands in the head.");
    }
    parser->line++;
    bool first_line = taken == (size_t)parser->line - 1;
    if (first_line && parser->line > SERVE_LINE_MAX) {
        return refuse(parser, 414, "The request line is longer than 8192 bytes.");
    }
    return taken >= SERVE_HEAD_MAX - 2 ? refuse(parser, 431, "The head is longer than 16384 bytes.")
                                       : SERVE_MORE;
}

static enum serve_http1_event next_head(struct serve_http1 *parser, struct rr_slice *input)
{
    size_t from = 0;
    size_t i = 0;
    enum serve_http1_event event = SERVE_MORE;
    while (i < input->len && event == SERVE_MORE) {
        bool nothing_yet = parser->bytes.len + i - from <= (parser->after_cr ? 1u : 0u);
        event = scan(parser, input->ptr[i], parser->bytes.len + i - from);
        i++;
        if (event == SERVE_END && nothing_yet) {
            /* [RFC 9112, 2.2]: an empty line before the request line is dropped; one is enough. */
            event = ++parser->empty_lines > 1
                        ? refuse(parser, 400, "Empty lines stand where a request was expected.")
                        : SERVE_MORE;
            parser->bytes.len = 0;
            from = i;
        }
    }
    if (event != SERVE_FAIL) {
        rr_buf_append(&parser->bytes, input->ptr + from, i - from);
    }
    input->ptr += i;
    input->len -= i;
    return event == SERVE_END ? parse_head(parser) : event;
}

/* ---- bodies --------------------------------------------------------------------------- */
static enum serve_http1_event give(struct serve_http1 *parser, struct rr_slice *input)
{
    size_t len = input->len < parser->left ? input->len : (size_t)parser->left;
    parser->body = rr_slice_of(input->ptr, len);
    parser->left -= len;
    input->ptr += len;
    input->len -= len;
    return SERVE_BODY;
}

static enum serve_http1_event end(struct serve_http1 *parser)
{
    begin(parser);
    return SERVE_END;
}

static enum serve_http1_event next_body(struct serve_http1 *parser, struct rr_slice *input)
{
    if (parser->head.content_length > parser->body_max) {
        return refuse(parser, 413, "The body is longer than this path takes.");
    }
    if (parser->left == 0) {
        return end(parser);
    }
    return input->len == 0 ? SERVE_MORE : give(parser, input);
}

static enum serve_http1_event chunk_size(struct serve_http1 *parser, uint8_t c)
{
    uint8_t digit;
    uint8_t pair[2] = {'0', c};
    if (rr_unhex_slice(&digit, 1, rr_slice_of(pair, 2))) {
        if (++parser->digits > 8) {
            return refuse(parser, 413, "A chunk is longer than this path takes.");
        }
        parser->left = parser->left << 4 | digit;
        return SERVE_MORE;
    }
    if (parser->digits == 0 || (c != ';' && c != '\r')) {
        return refuse(parser, 400, "A chunk does not begin with its size.");
    }
    parser->body_seen += parser->left;
    if (parser->body_seen > parser->body_max) {
        return refuse(parser, 413, "The body is longer than this path takes.");
    }
    parser->phase = c == ';' ? PHASE_CHUNK_EXTENSION : PHASE_CHUNK_LINE;
    return SERVE_MORE;
}

/* Visible text up to CR; its bytes count against the limit of what is dropped unread. */
static enum serve_http1_event drop(struct serve_http1 *parser, uint8_t c, enum phase next)
{
    if (c == '\r') {
        parser->phase = (uint8_t)next;
        return SERVE_MORE;
    }
    if (c == 0x7f || (c < 0x20 && c != '\t')) {
        return refuse(parser, 400, "A control character stands in a chunked body's frame.");
    }
    return ++parser->trailer > SERVE_TRAILER_MAX
               ? refuse(parser, 431, "Chunk extensions and trailers are longer than 4096 bytes.")
               : SERVE_MORE;
}

/* One byte of a chunked body's frame. */
static enum serve_http1_event frame(struct serve_http1 *parser, uint8_t c)
{
    switch (parser->phase) {
    case PHASE_CHUNK_SIZE:
        return chunk_size(parser, c);
    case PHASE_CHUNK_EXTENSION:
        return drop(parser, c, PHASE_CHUNK_LINE);
    case PHASE_CHUNK_LINE:
        parser->phase = parser->left == 0 ? PHASE_TRAILER : PHASE_CHUNK_DATA;
        parser->line = 0;
        parser->digits = 0;
        break;
    case PHASE_CHUNK_CR:
        parser->phase = PHASE_CHUNK_LF;
        return c == '\r' ? SERVE_MORE : refuse(parser, 400, "A chunk is longer than its size.");
    case PHASE_CHUNK_LF:
        parser->phase = PHASE_CHUNK_SIZE;
        break;
    case PHASE_TRAILER:
        if (c != '\r') {
            parser->line++;
        }
        return drop(parser, c, PHASE_LAST_LF);
    case PHASE_LAST_LF:
        if (c == '\n' && parser->line == 0) {
            return end(parser);
        }
        parser->phase = PHASE_TRAILER;
        parser->line = 0;
        break;
    default:
        RR_BUG("no phase of a frame");
    }
    return c == '\n' ? SERVE_MORE : refuse(parser, 400, "A carriage return stands alone.");
}

static enum serve_http1_event next_chunked(struct serve_http1 *parser, struct rr_slice *input)
{
    enum serve_http1_event event = SERVE_MORE;
    while (input->len > 0 && event == SERVE_MORE) {
        if (parser->phase == PHASE_CHUNK_DATA) {
            if (parser->left > 0) {
                return give(parser, input);
            }
            parser->phase = PHASE_CHUNK_CR;
        }
        event = frame(parser, input->ptr[0]);
        input->ptr++;
        input->len--;
    }
    return event;
}

enum serve_http1_event serve_http1_next(struct serve_http1 *parser, struct rr_slice *input)
{
    switch ((enum phase)parser->phase) {
    case PHASE_HEAD:
        return next_head(parser, input);
    case PHASE_DONE:
        return end(parser);
    case PHASE_BODY:
        return next_body(parser, input);
    case PHASE_FAILED:
        return SERVE_FAIL;
    case PHASE_CHUNK_SIZE:
    case PHASE_CHUNK_EXTENSION:
    case PHASE_CHUNK_LINE:
    case PHASE_CHUNK_DATA:
    case PHASE_CHUNK_CR:
    case PHASE_CHUNK_LF:
    case PHASE_TRAILER:
    case PHASE_LAST_LF:
        break;
    }
    return next_chunked(parser, input);
}

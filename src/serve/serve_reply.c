/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "serve/serve_reply.h"
#include "serve/serve_thread.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const char *reason_of(uint16_t status)
{
    static const struct {
        uint16_t status;
        const char *reason;
    } known[] = {
        {200, "OK"},
        {202, "Accepted"},
        {204, "No Content"},
        {206, "Partial Content"},
        {304, "Not Modified"},
        {400, "Bad Request"},
        {402, "Payment Required"},
        {403, "Forbidden"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {408, "Request Timeout"},
        {409, "Conflict"},
        {411, "Length Required"},
        {413, "Content Too Large"},
        {414, "URI Too Long"},
        {416, "Range Not Satisfiable"},
        {417, "Expectation Failed"},
        {431, "Request Header Fields Too Large"},
        {500, "Internal Server Error"},
        {501, "Not Implemented"},
        {503, "Service Unavailable"},
        {505, "HTTP Version Not Supported"},
        {507, "Insufficient Storage"},
    };
    for (size_t i = 0; i < RR_COUNT(known); i++) {
        if (known[i].status == status) {
            return known[i].reason;
        }
    }
    RR_BUG("a status without a reason");
}

void serve_reply_field(struct serve_request *request, const char *format, ...)
{
    struct serve_reply *reply = &request->reply;
    size_t room = sizeof(reply->head) - reply->head_len;
    va_list list;
    va_start(list, format);
    int len = vsnprintf(reply->head + reply->head_len, room, format, list);
    va_end(list);
    RR_CHECK(len >= 0 && (size_t)len + 2 < room); /* all values are bounded by us */
    reply->head_len = (uint16_t)(reply->head_len + (unsigned)len);
    memcpy(reply->head + reply->head_len, "\r\n", 2);
    reply->head_len += 2;
}

void serve_reply_begin(struct serve_request *request, uint16_t status)
{
    struct serve_reply *reply = &request->reply;
    reply->status = status;
    reply->head_len = 0;
    reply->close = reply->close || !request->head.keep_alive;
    serve_reply_field(request, "HTTP/1.1 %u %s", status, reason_of(status));
    serve_reply_field(request,
                      "Date: %s\r\nX-Content-Type-Options: nosniff\r\n"
                      "Access-Control-Allow-Origin: *\r\nAccess-Control-Expose-Headers: "
                      "Content-Range, Content-Length, Date, ETag, Reelrig-Puzzle",
                      serve_thread_date(request->thread));
}

void serve_reply_end(struct serve_request *request, struct serve_blob *body, uint64_t first,
                     uint64_t len)
{
    struct serve_reply *reply = &request->reply;
    if (reply->status != 204 && reply->status != 304) {
        serve_reply_field(request, "Content-Length: %llu", (unsigned long long)len);
    }
    if (reply->close) {
        serve_reply_field(request, "Connection: close");
    }
    serve_reply_field(request, "%s", "");
    if (request->head.method == SERVE_HEAD) {
        serve_blob_unref(body);
        body = NULL;
    }
    reply->body = body;
    reply->first = first;
    reply->len = body != NULL ? len : 0;
}

void serve_reply_bytes(struct serve_request *request, uint16_t status, const char *type,
                       const char *cache, struct rr_buf *bytes)
{
    size_t len = bytes->len;
    serve_reply_begin(request, status);
    serve_reply_field(request, "Content-Type: %s\r\nCache-Control: %s", type, cache);
    serve_reply_end(request, serve_blob_new(bytes), 0, len);
}

void serve_reply_error(struct serve_request *request, uint16_t status, const char *code,
                       const char *message)
{
    struct rr_buf text = {0};
    serve_json_error(&text, code, message);
    serve_reply_begin(request, status);
    if (status == 503) {
        serve_reply_field(request, "Retry-After: 1");
    }
    if (status == 405) {
        bool post =
            request->route == SERVE_ROUTE_SESSIONS || request->route == SERVE_ROUTE_CERTIFICATES ||
            request->route == SERVE_ROUTE_CLAIMS || request->route == SERVE_ROUTE_TRANSACTIONS;
        serve_reply_field(request, "Allow: %s", post ? "POST, OPTIONS" : "GET, HEAD, OPTIONS");
    }
    size_t len = text.len;
    serve_reply_field(request, "Content-Type: application/json\r\nCache-Control: no-store");
    serve_reply_end(request, serve_blob_new(&text), 0, len);
}

void serve_reply_fault(struct serve_request *request, enum rr_err err, const struct rr_fault *fault)
{
    static const struct {
        uint16_t status;
        const char *code;
    } known[] = {
        [RR_OK] = {500, "state"},
        [RR_ERR_USAGE] = {400, "usage"},
        [RR_ERR_FORMAT] = {400, "format"},
        [RR_ERR_TRUST] = {403, "trust"},
        [RR_ERR_LIMIT] = {413, "limit"},
        [RR_ERR_NOTFOUND] = {404, "not_found"},
        [RR_ERR_EXISTS] = {409, "exists"},
        [RR_ERR_STATE] = {409, "state"},
        [RR_ERR_FUNDS] = {402, "funds"},
        [RR_ERR_IO] = {500, "io"},
        [RR_ERR_FULL] = {507, "full"},
        [RR_ERR_MEMORY] = {503, "memory"},
        [RR_ERR_BUSY] = {503, "busy"},
        [RR_ERR_TIMEOUT] = {503, "timeout"},
        [RR_ERR_CANCELLED] = {503, "cancelled"},
        [RR_ERR_UNSUPPORTED] = {501, "unsupported"},
        [RR_ERR_DAMAGED] = {500, "damaged"},
        [RR_ERR_UNREACHABLE] = {503, "unreachable"},
    };
    RR_CHECK((size_t)err < RR_COUNT(known));
    const char *text = fault->text[0] != '\0' ? fault->text : rr_err_text(err);
    serve_reply_error(request, known[err].status, known[err].code, text);
}

void serve_reply_made(struct serve_request *request, uint16_t status, const char *type)
{
    if (request->err != RR_OK) {
        serve_reply_fault(request, request->err, &request->fault);
        return;
    }
    struct serve_blob *blob = request->blob;
    request->blob = NULL;
    serve_reply_begin(request, status);
    serve_reply_field(request, "Content-Type: %s\r\nCache-Control: no-store", type);
    serve_reply_end(request, blob, 0, blob->len);
}

void serve_reply_made_json(struct serve_request *request)
{
    serve_reply_made(request, 200, "application/json");
}

void serve_reply_made_wire(struct serve_request *request)
{
    serve_reply_made(request, 200, "application/octet-stream");
}

void serve_reply_offer(struct serve_request *request, uint16_t status, const char *reason)
{
    struct rr_serve *serve = request->serve;
    const struct rr_manifest *manifest = &request->resource->manifest;
    struct serve_view view;
    struct rr_buf text = {0};
    serve_view_get(serve, &view);
    struct rr_offer offer = {
        .resource_id = manifest->resource_id,
        .slice_price = manifest->slice_price,
        .slice_bytes = manifest->slice_bytes,
        .target = serve->options.key,
        .chain_id = serve->chain_id,
        .genesis = serve->genesis_hash,
        .checkpoint_height = view.checkpoint_height,
        .checkpoint_hash = view.checkpoint_hash,
        .pool_blocks_min = serve->options.genesis->pool_blocks_min,
        .margin_blocks = serve->options.margin_blocks,
        .test_addresses = serve->options.genesis->test_addresses,
    };
    rr_offer_json(&text, &offer);
    size_t len = text.len;
    serve_reply_begin(request, status);
    if (status == 402) {
        serve_reply_field(request, "Reelrig-Refused: %s", reason);
    }
    serve_reply_field(request, "Content-Type: application/json\r\nCache-Control: no-store");
    serve_reply_end(request, serve_blob_new(&text), 0, len);
}

/* ---- validators and ranges (RFC 9110, 13.2.2) ----------------------------------------- */
static void entity_fields(struct serve_request *request, const struct serve_entity *entity)
{
    serve_reply_field(request, "ETag: %s\r\nCache-Control: %s\r\nAccept-Ranges: bytes",
                      entity->etag, entity->cache);
    if (entity->vary != NULL) {
        serve_reply_field(request, "Vary: %s", entity->vary);
    }
    if (entity->modified_ms != 0) {
        char date[SERVE_DATE_BYTES];
        serve_date_text(date, entity->modified_ms / 1000);
        serve_reply_field(request, "Last-Modified: %s", date);
    }
}

static bool not_modified(struct serve_request *request, const struct serve_entity *entity)
{
    struct rr_slice tags = serve_request_field(request, SERVE_IF_NONE_MATCH);
    struct rr_slice since = serve_request_field(request, SERVE_IF_MODIFIED_SINCE);
    uint64_t seconds;
    if (tags.ptr != NULL) {
        return serve_etag_listed(tags, rr_slice_str(entity->etag));
    }
    return since.ptr != NULL && entity->modified_ms != 0 && serve_date_parse(&seconds, since) &&
           entity->modified_ms / 1000 <= seconds;
}

/* If-Range compares strongly: our tag, or exactly our date. */
static bool range_holds(struct serve_request *request, const struct serve_entity *entity)
{
    struct rr_slice given = serve_request_field(request, SERVE_IF_RANGE);
    uint64_t seconds;
    if (given.ptr == NULL || rr_slice_equal(given, rr_slice_str(entity->etag))) {
        return true;
    }
    return entity->modified_ms != 0 && serve_date_parse(&seconds, given) &&
           entity->modified_ms / 1000 == seconds;
}

bool serve_reply_settled(struct serve_request *request, const struct serve_entity *entity)
{
    struct serve_range ranges[SERVE_RANGES_MAX];
    unsigned count = 0;
    struct rr_slice text = serve_request_field(request, SERVE_RANGE);
    if (not_modified(request, entity)) {
        serve_reply_begin(request, 304);
        entity_fields(request, entity);
        serve_reply_end(request, NULL, 0, 0);
        return true;
    }
    request->range = (struct serve_range){0, entity->size > 0 ? entity->size - 1 : 0};
    request->partial = false;
    if (text.ptr == NULL || request->head.method != SERVE_GET || !range_holds(request, entity)) {
        return false;
    }
    switch (serve_range_parse(ranges, &count, text, entity->size)) {
    case SERVE_RANGE_ONE:
        request->range = ranges[0];
        request->partial = true;
        break;
    case SERVE_RANGE_OUTSIDE: {
        struct rr_buf json = {0};
        serve_json_error(&json, "range", "The range is outside of the body.");
        size_t len = json.len;
        serve_reply_begin(request, 416);
        serve_reply_field(request, "Content-Range: bytes */%llu\r\nContent-Type: application/json",
                          (unsigned long long)entity->size);
        serve_reply_end(request, serve_blob_new(&json), 0, len);
        return true;
    }
    case SERVE_RANGE_NONE:
    case SERVE_RANGE_MANY: /* the whole is a right answer, and costs a player nothing: none asks so
                            */
        break;
    }
    return false;
}

void serve_reply_entity_begin(struct serve_request *request, const struct serve_entity *entity)
{
    serve_reply_begin(request, request->partial ? 206 : 200);
    entity_fields(request, entity);
    serve_reply_field(request, "Content-Type: %s", entity->type);
    if (request->partial) {
        serve_reply_field(request, "Content-Range: bytes %llu-%llu/%llu",
                          (unsigned long long)request->range.first,
                          (unsigned long long)request->range.last,
                          (unsigned long long)entity->size);
    }
}

void serve_reply_entity(struct serve_request *request, const struct serve_entity *entity,
                        struct serve_blob *blob)
{
    if (serve_reply_settled(request, entity)) {
        serve_blob_unref(blob);
        return;
    }
    serve_reply_entity_begin(request, entity);
    uint64_t len = entity->size > 0 ? request->range.last - request->range.first + 1 : 0;
    serve_reply_end(request, blob, request->range.first, len);
}

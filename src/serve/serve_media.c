/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Manifests, playlists, and segments: found, paid, read, sent (spec 40, 4). */
#include "serve/serve_reply.h"
#include <string.h>

RR_COUNTER(refused_total, "reelrig_serve_payment_required_total", "Requests answered with 402")

static bool is_paid(const struct serve_request *request)
{
    return !rr_coin_is_zero(request->resource->manifest.slice_price);
}

/* ---- manifest ------------------------------------------------------------------------- */
static bool wants_json(const struct serve_request *request)
{
    struct rr_slice accept = serve_request_field(request, SERVE_ACCEPT);
    struct rr_slice item;
    while (serve_text_item(&item, &accept)) {
        const uint8_t *end = memchr(item.ptr, ';', item.len);
        item.len = end != NULL ? (size_t)(end - item.ptr) : item.len;
        if (serve_text_is(serve_text_trim(item), "application/json")) {
            return true;
        }
    }
    return false;
}

/* Also the digest of a long manifest is work for a worker. */
static void make_manifest_view(struct serve_request *request)
{
    struct rr_buf text = {0};
    if (wants_json(request)) {
        serve_json_manifest(&text, request->resource);
        request->blob = serve_blob_new(&text);
    } else {
        request->blob = serve_blob_ref(request->resource->wire);
    }
    rr_hash(&request->id, "rr.etag.v1", rr_slice_of(request->blob->bytes, request->blob->len));
}

static void reply_manifest(struct serve_request *request)
{
    struct serve_blob *blob = request->blob;
    struct serve_entity entity = {.type = wants_json(request) ? "application/json"
                                                              : "application/octet-stream",
                                  .cache = "no-cache",
                                  .vary = "Accept",
                                  .size = blob->len};
    serve_etag_of(entity.etag, &request->id);
    request->blob = NULL;
    serve_reply_entity(request, &entity, blob);
}

/* ---- segments ------------------------------------------------------------------------- */
static void segment_entity(const struct serve_request *request, struct serve_entity *out)
{
    const struct rr_manifest *manifest = &request->resource->manifest;
    enum rr_rendition_kind kind = manifest->renditions[request->ref.rendition].kind;
    bool segment = request->ref.kind == RR_HLS_SEGMENT;
    bool text = kind == RR_RENDITION_SUBTITLE;
    *out = (struct serve_entity){
        .type = text      ? (segment ? "text/vtt; charset=utf-8" : "application/ttml+xml")
                : segment ? "video/iso.segment"
                : kind == RR_RENDITION_AUDIO ? "audio/mp4"
                                             : "video/mp4",
        .cache = is_paid(request) ? "private, no-store" : "public, max-age=31536000, immutable",
        .modified_ms = manifest->created_ms,
        .size = request->asked->bytes,
    };
    serve_etag_of(out->etag, &request->asked->digest);
}

static void reply_segment(struct serve_request *request, struct serve_blob *blob)
{
    struct serve_entity entity;
    struct serve_view view;
    segment_entity(request, &entity);
    serve_reply_entity_begin(request, &entity);
    serve_view_get(request->serve, &view);
    serve_reply_field(request, "Reelrig-Puzzle: %s", view.puzzle);
    uint64_t len = entity.size > 0 ? request->range.last - request->range.first + 1 : 0;
    request->reply.segment =
        request->ref.kind == RR_HLS_SEGMENT && request->range.last + 1 == entity.size;
    serve_reply_end(request, blob, request->range.first, len);
}

static void segment_read(struct serve_request *request)
{
    struct serve_blob *blob = request->blob;
    if (request->err != RR_OK) {
        /* What the store has lost is our fault, not a wrong path. */
        enum rr_err err = request->err == RR_ERR_NOTFOUND ? RR_ERR_DAMAGED : request->err;
        serve_reply_fault(request, err, &request->fault);
        return;
    }
    request->blob = NULL;
    reply_segment(request, blob);
}

static void read_segment(struct serve_request *request)
{
    struct serve_blob *blob = NULL;
    if (request->head.method == SERVE_HEAD) {
        reply_segment(request, NULL);
        return;
    }
    request->resume = segment_read;
    enum rr_err err = serve_cache_get(request->serve->cache, &blob, request, request->asked);
    if (err == RR_OK) {
        reply_segment(request, blob);
    } else if (err != RR_ERR_STATE) { /* that one: woken when it is read */
        serve_reply_error(request, 503, "busy",
                          "Too much is being read already; try again in a moment.");
    }
}

/* ---- payment -------------------------------------------------------------------------- */
static void ask_payment(struct serve_request *request, const char *reason)
{
    rr_counter_add(&refused_total, 1);
    serve_reply_offer(request, 402, reason);
}

static void charged(struct serve_request *request)
{
    enum rr_err err = request->err;
    if (err == RR_OK) {
        read_segment(request);
    } else if (err == RR_ERR_FUNDS || err == RR_ERR_LIMIT || err == RR_ERR_NOTFOUND) {
        ask_payment(request, err == RR_ERR_FUNDS   ? "funds"
                             : err == RR_ERR_LIMIT ? "limit"
                                                   : "session");
    } else if (err == RR_ERR_TRUST) {
        serve_reply_error(request, 403, "trust",
                          "The payment does not continue what was paid in this session.");
    } else if (err == RR_ERR_STATE) {
        serve_reply_error(request, 403, "withheld",
                          "This rig does not serve this viewer for now: the service certificates "
                          "that its viewing asks for failed to come.");
    } else {
        serve_reply_fault(request, err, &request->fault);
    }
}

enum { CHARGE_CALLING, CHARGE_DONE, CHARGE_WAITING };

/* On the till's thread, or inside the call. */
static void charge_done(void *ctx, enum rr_err result)
{
    struct serve_request *request = ctx;
    request->err = result;
    if (atomic_exchange(&request->charge, CHARGE_DONE) == CHARGE_WAITING) {
        serve_request_wake(request);
    }
}

/* Slices that the range touches; a part costs the whole slice. False: more than a key can name. */
static bool name_slices(struct serve_request *request, uint32_t *count)
{
    uint32_t slice_bytes = request->resource->manifest.slice_bytes;
    uint64_t first = request->range.first / slice_bytes;
    uint64_t last = request->range.last / slice_bytes;
    if (last > UINT16_MAX) {
        return false;
    }
    *count = (uint32_t)(last - first + 1);
    request->slice_keys = rr_alloc_array(*count, sizeof(uint64_t));
    for (uint32_t i = 0; i < *count; i++) {
        request->slice_keys[i] = (uint64_t)request->ref.rendition << 48 |
                                 (uint64_t)request->ref.segment << 16 | (first + i);
    }
    return true;
}

static void charge(struct serve_request *request)
{
    struct rr_payment_header payment;
    uint32_t count = 0;
    struct rr_slice text = serve_request_field(request, SERVE_PAYMENT);
    if (text.ptr == NULL) {
        ask_payment(request, "payment");
        return;
    }
    enum rr_err err = rr_payment_header_parse(&payment, text, &request->fault);
    if (err != RR_OK) {
        serve_reply_fault(request, RR_ERR_FORMAT, &request->fault);
        return;
    }
    if (!name_slices(request, &count)) {
        serve_reply_error(request, 500, "limit",
                          "This segment has more slices than can be paid; the "
                          "publisher has to choose larger ones.");
        return;
    }
    request->resume = charged;
    rr_till_charge(request->serve->options.till, &payment, &request->resource->id,
                   request->slice_keys, count, charge_done, request);
    if (atomic_exchange(&request->charge, CHARGE_WAITING) == CHARGE_DONE) {
        charged(request);
    }
}

void serve_media_run(struct serve_request *request)
{
    const struct rr_rendition *rendition =
        &request->resource->manifest.renditions[request->ref.rendition];
    struct serve_entity entity;
    bool segment = request->ref.kind == RR_HLS_SEGMENT;
    request->asked = segment ? &rendition->segments[request->ref.segment] : &rendition->init;
    segment_entity(request, &entity);
    if (serve_reply_settled(request, &entity)) {
        return;
    }
    if (segment && is_paid(request) && request->head.method == SERVE_GET) {
        charge(request);
    } else {
        read_segment(request);
    }
}

/* ---- below /v1/resources/{id} --------------------------------------------------------- */
#define HLS_TYPE "application/vnd.apple.mpegurl"
static void reply_playlist(struct serve_request *request, struct serve_blob *blob, const char *type)
{
    const struct rr_manifest *manifest = &request->resource->manifest;
    struct serve_entity entity = {
        .type = type,
        .cache = manifest->kind == RR_RESOURCE_VOD ? "max-age=5" : "no-cache",
        .modified_ms = manifest->created_ms,
        .size = blob->len,
    };
    serve_etag_make(entity.etag, rr_slice_of(blob->bytes, blob->len));
    serve_reply_entity(request, &entity, serve_blob_ref(blob));
}

static void found(struct serve_request *request)
{
    struct serve_resource *resource = request->resource;
    if (request->route == SERVE_ROUTE_MANIFEST) {
        serve_request_block(request, make_manifest_view, reply_manifest);
        return;
    }
    if (request->route == SERVE_ROUTE_OFFER) {
        serve_reply_offer(request, 200, "");
        return;
    }
    if (!rr_hls_find(&request->ref, &resource->manifest, request->rest)) {
        serve_reply_error(request, 404, "not_found",
                          "The resource has no such playlist or segment.");
        return;
    }
    switch (request->ref.kind) {
    case RR_HLS_MASTER:
        reply_playlist(request, resource->master, HLS_TYPE);
        return;
    case RR_HLS_DASH:
        reply_playlist(request, resource->dash, "application/dash+xml");
        return;
    case RR_HLS_MEDIA:
        reply_playlist(request, resource->media[request->ref.rendition], HLS_TYPE);
        return;
    case RR_HLS_INIT:
    case RR_HLS_SEGMENT:
        serve_media_run(request);
        return;
    }
}

static void load(struct serve_request *request)
{
    request->err = serve_resources_load(request->serve->resources, &request->resource, &request->id,
                                        &request->fault);
}

static void loaded(struct serve_request *request)
{
    if (request->err == RR_ERR_NOTFOUND) {
        serve_reply_error(request, 404, "not_found", "This rig does not serve such a resource.");
    } else if (request->err != RR_OK) {
        serve_reply_fault(request, request->err, &request->fault);
    } else {
        found(request);
    }
}

void serve_resource_run(struct serve_request *request)
{
    request->resource = serve_resources_find(request->serve->resources, &request->id);
    if (request->resource != NULL) {
        found(request);
    } else {
        serve_request_block(request, load, loaded);
    }
}

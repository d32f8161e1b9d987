/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Amounts are decimal texts: coins with a point, units without. */
#include "serve/serve_reply.h"
#include <jansson.h>

static void set(json_t *object, const char *key, json_t *value)
{
    RR_CHECK(value != NULL && json_object_set_new(object, key, value) == 0);
}

static json_t *number(uint64_t value)
{
    return json_integer(value > INT64_MAX ? INT64_MAX : (json_int_t)value);
}

static json_t *hex32(const uint8_t bytes[static 32])
{
    char text[65];
    rr_hex(text, bytes, 32);
    return json_string(text);
}

static json_t *coin(struct rr_coin value)
{
    char text[RR_COIN_TEXT_BYTES];
    rr_coin_text(text, value);
    return json_string(text);
}

static int take(const char *text, size_t len, void *ctx)
{
    rr_buf_append(ctx, text, len);
    return 0;
}

/* Takes the reference. */
static void put(struct rr_buf *out, json_t *json)
{
    RR_CHECK(json_dump_callback(json, take, out, JSON_COMPACT) == 0);
    rr_buf_append(out, "\n", 1);
    json_decref(json);
}

void serve_json_error(struct rr_buf *out, const char *code, const char *message)
{
    json_t *json = json_object();
    json_t *text = json_string(message); /* NULL when it is not UTF-8 */
    set(json, "error", json_string(code));
    set(json, "message", text != NULL ? text : json_string("(the reason is not readable text)"));
    put(out, json);
}

void serve_json_claims(struct rr_buf *out, const struct rr_fault *faults, uint32_t count)
{
    json_t *json = json_object(), *list = json_array();
    uint64_t accepted = 0;
    for (uint32_t i = 0; i < count; i++) {
        bool kept = faults[i].code == RR_OK;
        json_t *reason = kept ? json_null() : json_string(faults[i].text);
        RR_CHECK(reason != NULL && json_array_append_new(list, reason) == 0);
        accepted += kept;
    }
    set(json, "accepted", number(accepted));
    set(json, "claims", list);
    put(out, json);
}

void serve_json_flat(struct rr_buf *out, const struct serve_number *members, size_t count)
{
    json_t *json = json_object();
    for (size_t i = 0; i < count; i++) {
        set(json, members[i].name,
            members[i].text != NULL ? json_string(members[i].text) : number(members[i].number));
    }
    put(out, json);
}

/* ---- resources ------------------------------------------------------------------------ */
static const char *kind_of(enum rr_resource_kind kind)
{
    switch (kind) {
    case RR_RESOURCE_VOD:
        return "vod";
    case RR_RESOURCE_LIVE:
        return "live";
    case RR_RESOURCE_FILE:
        return "file";
    }
    return "unknown";
}

static json_t *segment_json(const struct rr_segment *segment)
{
    json_t *json = json_object();
    set(json, "bytes", number(segment->bytes));
    set(json, "start", number(segment->start));
    set(json, "duration", number(segment->duration));
    set(json, "digest", hex32(segment->digest.bytes));
    return json;
}

static json_t *rendition_json(const struct rr_rendition *rendition, bool segments)
{
    json_t *json = json_object();
    bool video = rendition->kind == RR_RENDITION_VIDEO;
    set(json, "name", json_string(rendition->name));
    bool subtitle = rendition->kind == RR_RENDITION_SUBTITLE;
    set(json, "kind", json_string(video ? "video" : subtitle ? "subtitle" : "audio"));
    set(json, "codecs", json_string(rendition->codecs));
    if (video) {
        set(json, "width", number(rendition->width));
        set(json, "height", number(rendition->height));
        set(json, "fps_num", number(rendition->fps_num));
        set(json, "fps_den", number(rendition->fps_den));
    } else {
        set(json, "language", json_string(rendition->language));
        set(json, "label", json_string(rendition->label));
        set(json, "default", json_boolean((rendition->flags & RR_RENDITION_DEFAULT) != 0));
    }
    if (subtitle) {
        set(json, "forced", json_boolean((rendition->flags & RR_RENDITION_FORCED) != 0));
    } else if (!video) {
        set(json, "channels", number(rendition->channels));
        set(json, "sample_rate", number(rendition->sample_rate));
    }
    set(json, "peak_bps", number(rendition->peak_bps));
    set(json, "mean_bps", number(rendition->mean_bps));
    set(json, "segment_count", number(rendition->segment_count));
    if (segments) {
        json_t *list = json_array();
        set(json, "timescale", number(rendition->timescale));
        set(json, "init", segment_json(&rendition->init));
        for (uint32_t i = 0; i < rendition->segment_count; i++) {
            RR_CHECK(json_array_append_new(list, segment_json(&rendition->segments[i])) == 0);
        }
        set(json, "segments", list);
    }
    return json;
}

static json_t *resource_json(const struct serve_resource *resource, bool whole)
{
    const struct rr_manifest *manifest = &resource->manifest;
    json_t *json = json_object();
    json_t *list = json_array();
    set(json, "resource", hex32(manifest->resource_id.bytes));
    set(json, "title", json_string(manifest->title));
    set(json, "kind", json_string(kind_of(manifest->kind)));
    set(json, "revision", number(manifest->revision));
    set(json, "created_ms", number(manifest->created_ms));
    set(json, "duration_ms", number(resource->duration_ms));
    set(json, "slice_price", coin(manifest->slice_price));
    set(json, "slice_bytes", number(manifest->slice_bytes));
    if (whole) {
        set(json, "chain_id", number(manifest->chain_id));
        set(json, "owner", hex32(manifest->owner.bytes));
        set(json, "job", hex32(manifest->job_id.bytes));
        set(json, "proof_root", hex32(manifest->proof_root.bytes));
    }
    for (uint32_t i = 0; i < manifest->rendition_count; i++) {
        RR_CHECK(json_array_append_new(list, rendition_json(&manifest->renditions[i], whole)) == 0);
    }
    set(json, "renditions", list);
    return json;
}

void serve_json_manifest(struct rr_buf *out, const struct serve_resource *resource)
{
    put(out, resource_json(resource, true));
}

/* Ours: what a page can show; a tracker lists more. */
#define LIST_MAX 1000

struct ids {
    struct rr_hash32 *list;
    unsigned count;
};

static bool note(void *ctx, const struct rr_hash32 *resource_id)
{
    struct ids *ids = ctx;
    ids->list[ids->count++] = *resource_id;
    return ids->count < LIST_MAX;
}

enum rr_err serve_json_resources(struct rr_buf *out, struct rr_serve *serve, struct rr_fault *fault)
{
    struct ids ids = {rr_alloc_array(LIST_MAX, sizeof(struct rr_hash32)), 0};
    json_t *list = json_array();
    enum rr_err err = rr_store_visit_manifests(serve->options.store, note, &ids, fault);
    for (unsigned i = 0; i < ids.count && err == RR_OK; i++) {
        struct serve_resource *resource;
        err = serve_resources_load(serve->resources, &resource, &ids.list[i], fault);
        if (err == RR_OK) {
            RR_CHECK(json_array_append_new(list, resource_json(resource, false)) == 0);
            serve_resource_unref(resource);
        } else if (err == RR_ERR_NOTFOUND) {
            err = RR_OK; /* removed meanwhile */
        }
    }
    rr_free(ids.list);
    if (err != RR_OK) {
        json_decref(list);
        return err;
    }
    json_t *json = json_object();
    set(json, "resources", list);
    put(out, json);
    return RR_OK;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "wire/wire_private.h"

#include <string.h>

#define SLICE_BYTES_MIN 4096u
#define SLICE_BYTES_MAX (16u << 20)
#define SEGMENT_BYTES   (4 + 8 + 4 + 8 + 4 + 32)

void rr_resource_id(struct rr_hash32 *out, uint32_t chain_id, const struct rr_pubkey *owner,
                    const struct rr_hash32 *original, uint64_t created_ms,
                    enum rr_resource_kind kind)
{
    struct rr_buf bytes = {0};
    rr_write_u32(&bytes, chain_id);
    wire_write_key(&bytes, owner);
    wire_write_hash(&bytes, original);
    rr_write_u64(&bytes, created_ms);
    rr_write_u8(&bytes, (uint8_t)kind);
    rr_hash(out, "rr.resource", rr_buf_slice(&bytes));
    rr_buf_clear(&bytes);
}

void rr_segment_digest(struct rr_hash32 *out, struct rr_slice bytes)
{
    rr_hash(out, "rr.segment.v1", bytes);
}

void rr_manifest_set_title(struct rr_manifest *manifest, const char *text)
{
    size_t len = 0;
    memset(manifest->title, 0, sizeof manifest->title);
    for (size_t left = strlen(text); left > 0;) {
        size_t n = rr_utf8_step((const uint8_t *)text, left);
        size_t used = n > 0 ? n : 1;
        if (len + used > RR_NAME_MAX) {
            return;
        }
        memcpy(manifest->title + len, n > 0 ? text : "?", used);
        len += used;
        text += used;
        left -= used;
    }
}

/* ---- renditions
 * ----------------------------------------------------------------------------------- */

static void write_segment(struct rr_buf *out, const struct rr_segment *segment)
{
    rr_write_u32(out, segment->object);
    rr_write_u64(out, segment->offset);
    rr_write_u32(out, segment->bytes);
    rr_write_u64(out, segment->start);
    rr_write_u32(out, segment->duration);
    wire_write_hash(out, &segment->digest);
}

static void read_segment(struct rr_reader *reader, struct rr_segment *out,
                         const struct rr_manifest *manifest)
{
    out->object = rr_read_u32(reader);
    out->offset = rr_read_u64(reader);
    out->bytes = rr_read_u32(reader);
    out->start = rr_read_u64(reader);
    out->duration = rr_read_u32(reader);
    wire_read_hash(reader, &out->digest);
    if (reader->failed || out->object >= manifest->object_count || out->bytes == 0) {
        wire_refuse(reader);
        return;
    }
    uint64_t length = manifest->objects[out->object].length;
    if (out->bytes > length || out->offset > length - out->bytes) {
        wire_refuse(reader);
    }
}

static bool has_tracks(const struct rr_manifest *manifest)
{
    for (uint32_t i = 0; i < manifest->rendition_count; i++) {
        const struct rr_rendition *r = &manifest->renditions[i];
        if (r->kind == RR_RENDITION_SUBTITLE || r->language[0] != '\0' || r->label[0] != '\0' ||
            r->flags != 0) {
            return true;
        }
    }
    return false;
}

static void write_rendition(struct rr_buf *out, const struct rr_rendition *r, bool tracks)
{
    rr_write_u8(out, (uint8_t)r->kind);
    wire_write_text(out, r->name, RR_NAME_MAX);
    wire_write_text(out, r->codecs, RR_NAME_MAX);
    rr_write_u16(out, r->width);
    rr_write_u16(out, r->height);
    rr_write_u16(out, r->sar_num);
    rr_write_u16(out, r->sar_den);
    rr_write_u32(out, r->fps_num);
    rr_write_u32(out, r->fps_den);
    rr_write_u8(out, r->video_range);
    rr_write_u16(out, r->channels);
    rr_write_u32(out, r->sample_rate);
    rr_write_u32(out, r->peak_bps);
    rr_write_u32(out, r->mean_bps);
    rr_write_u32(out, r->timescale);
    if (tracks) {
        wire_write_text(out, r->language, RR_LANGUAGE_MAX);
        wire_write_text(out, r->label, RR_NAME_MAX);
        rr_write_u8(out, r->flags);
    }
    write_segment(out, &r->init);
    rr_write_u32(out, r->segment_count);
    for (uint32_t i = 0; i < r->segment_count; i++) {
        write_segment(out, &r->segments[i]);
    }
}

static bool rendition_fits(const struct rr_rendition *r)
{
    bool video = r->kind == RR_RENDITION_VIDEO, subtitle = r->kind == RR_RENDITION_SUBTITLE;
    bool known = video || subtitle || r->kind == RR_RENDITION_AUDIO;
    bool picture = r->width > 0 && r->height > 0 && r->sar_num > 0 && r->sar_den > 0;
    bool no_picture = r->width == 0 && r->height == 0;
    uint8_t flags = RR_RENDITION_DEFAULT | (subtitle ? RR_RENDITION_FORCED : 0u);
    return known && (video ? picture : no_picture) && r->fps_den > 0 && r->video_range <= 2 &&
           (r->flags & ~flags) == 0 && r->timescale > 0 && r->init.start == 0 &&
           r->init.duration == 0;
}

static void read_rendition(struct rr_reader *reader, struct rr_rendition *r,
                           const struct rr_manifest *manifest, bool tracks)
{
    r->kind = (enum rr_rendition_kind)rr_read_u8(reader);
    wire_read_text(reader, r->name, RR_NAME_MAX, wire_name_valid);
    wire_read_text(reader, r->codecs, RR_NAME_MAX, wire_codecs_valid);
    r->width = rr_read_u16(reader);
    r->height = rr_read_u16(reader);
    r->sar_num = rr_read_u16(reader);
    r->sar_den = rr_read_u16(reader);
    r->fps_num = rr_read_u32(reader);
    r->fps_den = rr_read_u32(reader);
    r->video_range = rr_read_u8(reader);
    r->channels = rr_read_u16(reader);
    r->sample_rate = rr_read_u32(reader);
    r->peak_bps = rr_read_u32(reader);
    r->mean_bps = rr_read_u32(reader);
    r->timescale = rr_read_u32(reader);
    if (tracks) {
        wire_read_text(reader, r->language, RR_LANGUAGE_MAX, wire_language_valid);
        wire_read_text(reader, r->label, RR_NAME_MAX, wire_title_valid);
        r->flags = rr_read_u8(reader);
    }
    read_segment(reader, &r->init, manifest);
    uint32_t count = rr_read_count32(reader, RR_SEGMENTS_MAX);
    if (reader->failed || !rendition_fits(r) || count > reader->len / SEGMENT_BYTES) {
        wire_refuse(reader);
        return;
    }
    r->segments = count > 0 ? rr_alloc_array(count, sizeof *r->segments) : NULL;
    r->segment_count = count;
    for (uint32_t i = 0; i < count && !reader->failed; i++) {
        read_segment(reader, &r->segments[i], manifest);
    }
}

/* ---- manifest
 * ---------------------------------------------------------------------------------------- */

static void write_manifest(struct rr_buf *out, const struct rr_manifest *manifest,
                           bool with_signature)
{
    bool tracks = has_tracks(manifest);
    rr_write_u8(out, tracks ? WIRE_VERSION_TRACKS : WIRE_VERSION);
    rr_write_u32(out, manifest->chain_id);
    wire_write_hash(out, &manifest->resource_id);
    wire_write_key(out, &manifest->owner);
    rr_write_u64(out, manifest->created_ms);
    rr_write_u8(out, (uint8_t)manifest->kind);
    rr_write_u32(out, manifest->revision);
    wire_write_text(out, manifest->title, RR_NAME_MAX);
    wire_write_coin(out, manifest->slice_price);
    rr_write_u32(out, manifest->slice_bytes);
    wire_write_hash(out, &manifest->job_id);
    wire_write_hash(out, &manifest->proof_root);
    rr_write_u32(out, manifest->original);
    rr_write_u32(out, manifest->object_count);
    for (uint32_t i = 0; i < manifest->object_count; i++) {
        wire_write_object(out, &manifest->objects[i], true);
    }
    rr_write_u16(out, (uint16_t)manifest->rendition_count);
    for (uint32_t i = 0; i < manifest->rendition_count; i++) {
        write_rendition(out, &manifest->renditions[i], tracks);
    }
    if (with_signature) {
        wire_write_signature(out, &manifest->signature);
    }
}

void rr_manifest_encode(struct rr_buf *out, const struct rr_manifest *manifest)
{
    write_manifest(out, manifest, true);
}

static void read_front(struct rr_reader *reader, struct rr_manifest *m, bool *tracks)
{
    uint8_t version = rr_read_u8(reader);
    *tracks = version == WIRE_VERSION_TRACKS;
    if (!*tracks && version != WIRE_VERSION) {
        wire_refuse(reader);
    }
    m->chain_id = rr_read_u32(reader);
    wire_read_hash(reader, &m->resource_id);
    wire_read_key(reader, &m->owner);
    m->created_ms = rr_read_u64(reader);
    m->kind = (enum rr_resource_kind)rr_read_u8(reader);
    m->revision = rr_read_u32(reader);
    wire_read_text(reader, m->title, RR_NAME_MAX, wire_title_valid);
    wire_read_coin(reader, &m->slice_price);
    m->slice_bytes = rr_read_u32(reader);
    wire_read_hash(reader, &m->job_id);
    wire_read_hash(reader, &m->proof_root);
    m->original = rr_read_u32(reader);
    bool kind_known =
        m->kind == RR_RESOURCE_VOD || m->kind == RR_RESOURCE_LIVE || m->kind == RR_RESOURCE_FILE;
    if (!kind_known || m->revision == 0 || m->slice_bytes < SLICE_BYTES_MIN ||
        m->slice_bytes > SLICE_BYTES_MAX) {
        wire_refuse(reader);
    }
}

/* Least bytes of an object record with one shard. */
#define OBJECT_BYTES_MIN (1 + 32 + 8 + 1 + 1 + 4 + 1 + 32 + 32)

/* A record in memory is much larger than the least one on the wire: room is made as records come,
 * not by the count. */
static struct rr_object *next_object(struct rr_manifest *m, uint32_t *room)
{
    if (m->object_count == *room) {
        *room = *room == 0 ? 2 : 2 * *room;
        m->objects = rr_realloc(m->objects, *room * sizeof *m->objects);
    }
    return &m->objects[m->object_count];
}

static void read_objects(struct rr_reader *reader, struct rr_manifest *m)
{
    uint32_t room = 0;
    uint32_t count = rr_read_count32(reader, RR_OBJECTS_MAX);
    if (reader->failed || count > reader->len / OBJECT_BYTES_MIN ||
        (m->kind == RR_RESOURCE_LIVE ? m->original != 0 : m->original >= count)) {
        wire_refuse(reader);
        return;
    }
    for (uint32_t i = 0; i < count && !reader->failed; i++) {
        struct rr_object *object = next_object(m, &room);
        struct rr_hash32 id;
        wire_read_object(reader, object);
        id = object->object_id;
        m->object_count++;
        rr_object_set_id(object);
        if (!rr_hash32_equal(&id, &object->object_id)) {
            wire_refuse(reader);
        }
    }
}

static void read_renditions(struct rr_reader *reader, struct rr_manifest *m, bool tracks)
{
    uint32_t count = rr_read_count16(reader, RR_RENDITIONS_MAX);
    if (reader->failed) {
        return;
    }
    m->renditions = count > 0 ? rr_alloc_array(count, sizeof *m->renditions) : NULL;
    m->rendition_count = count;
    for (uint32_t i = 0; i < count && !reader->failed; i++) {
        read_rendition(reader, &m->renditions[i], m, tracks);
        for (uint32_t j = 0; j < i; j++) {
            if (strcmp(m->renditions[i].name, m->renditions[j].name) == 0) {
                wire_refuse(reader);
            }
        }
    }
    if (has_tracks(m) != tracks) {
        wire_refuse(reader); /* the other version's form */
    }
}

enum rr_err rr_manifest_decode(struct rr_manifest *out, struct rr_slice bytes,
                               struct rr_fault *fault)
{
    struct rr_manifest manifest = {0};
    struct rr_reader reader = rr_reader_of(bytes);
    if (bytes.len > RR_MANIFEST_BYTES_MAX) {
        return rr_fail(fault, RR_ERR_LIMIT, "a manifest of %zu bytes; at most %u", bytes.len,
                       RR_MANIFEST_BYTES_MAX);
    }
    bool tracks = false;
    read_front(&reader, &manifest, &tracks);
    if (!reader.failed) {
        read_objects(&reader, &manifest);
    }
    if (!reader.failed) {
        read_renditions(&reader, &manifest, tracks);
    }
    wire_read_signature(&reader, &manifest.signature);
    enum rr_err err = wire_done(&reader, "manifest", fault);
    if (err == RR_OK) {
        static const struct rr_hash32 none;
        struct rr_hash32 id;
        const struct rr_hash32 *original = manifest.kind == RR_RESOURCE_LIVE
                                               ? &none
                                               : &manifest.objects[manifest.original].object_id;
        rr_resource_id(&id, manifest.chain_id, &manifest.owner, original, manifest.created_ms,
                       manifest.kind);
        if (!rr_hash32_equal(&id, &manifest.resource_id)) {
            err = rr_fail(fault, RR_ERR_TRUST,
                          "a manifest whose resource id does not fit its fields");
        }
    }
    if (err == RR_OK) {
        *out = manifest;
    } else {
        rr_manifest_clear(&manifest);
    }
    return err;
}

static void manifest_digest(struct rr_hash32 *out, const struct rr_manifest *manifest)
{
    struct rr_buf bytes = {0};
    write_manifest(&bytes, manifest, false);
    rr_hash(out, "rr.manifest.v1", rr_buf_slice(&bytes));
    rr_buf_clear(&bytes);
}

void rr_manifest_sign(struct rr_manifest *manifest, const struct rr_seckey *key)
{
    struct rr_hash32 digest;
    rr_seckey_public(key, &manifest->owner);
    manifest_digest(&digest, manifest);
    rr_sign(&manifest->signature, key, &digest);
}

bool rr_manifest_verify(const struct rr_manifest *manifest)
{
    struct rr_hash32 digest;
    manifest_digest(&digest, manifest);
    return rr_verify(&manifest->signature, &manifest->owner, &digest);
}

void rr_manifest_clear(struct rr_manifest *manifest)
{
    for (uint32_t i = 0; i < manifest->rendition_count; i++) {
        rr_free(manifest->renditions[i].segments);
    }
    rr_free(manifest->renditions);
    rr_free(manifest->objects);
    *manifest = (struct rr_manifest){0};
}

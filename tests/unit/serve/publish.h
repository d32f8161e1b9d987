/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Resources of random bytes in a real store. */
#ifndef RR_TEST_SERVE_PUBLISH_H
#define RR_TEST_SERVE_PUBLISH_H
#include "storage/storage.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
/* after its own needs */
#include <cmocka.h>

#define WORLD_PRICE    1000000u /* 0.01 coins a slice */
#define WORLD_SEGMENTS 5        /* of each of two renditions */
#define WORLD_SLICE    65536u

struct resource {
    struct rr_manifest manifest;
    struct rr_buf init[2], segments[2][WORLD_SEGMENTS];
    char path[128]; /* "/v1/resources/{id}" */
};
struct publisher {
    struct rr_store *store;
    const struct rr_seckey *key;
    uint32_t chain_id;
    uint64_t time_ms;
};

#define world_ok(call)                                                                             \
    do {                                                                                           \
        struct rr_fault fault = {0};                                                               \
        enum rr_err world_err = (call);                                                            \
        if (world_err != RR_OK) {                                                                  \
            fail_msg("%s: %s [%s]", rr_err_text(world_err), fault.text, fault.where);              \
        }                                                                                          \
    } while (0)

static inline struct rr_coin coins(uint64_t units)
{
    struct rr_coin coin = {0};
    assert_true(rr_coin_of_units(&coin, units));
    return coin;
}

static inline void world_put(const struct publisher *by, struct rr_manifest *manifest,
                             struct rr_segment *segment, struct rr_buf *bytes, uint32_t len,
                             struct rr_prng *prng)
{
    bytes->ptr = rr_alloc(len);
    bytes->len = bytes->cap = len;
    rr_prng_bytes(prng, bytes->ptr, len);
    struct rr_object *object = &manifest->objects[manifest->object_count];
    world_ok(rr_store_put(by->store, object, rr_buf_slice(bytes), 4, 2, &fault));
    segment->object = manifest->object_count++;
    segment->offset = 0;
    segment->bytes = len;
    rr_segment_digest(&segment->digest, rr_buf_slice(bytes));
}

static inline void world_describe(struct rr_rendition *rendition, bool video)
{
    rendition->kind = video ? RR_RENDITION_VIDEO : RR_RENDITION_AUDIO;
    snprintf(rendition->name, sizeof(rendition->name), "%s", video ? "720p" : "audio");
    snprintf(rendition->codecs, sizeof(rendition->codecs), "%s",
             video ? "avc1.64001f" : "mp4a.40.2");
    rendition->width = video ? 1280 : 0;
    rendition->height = video ? 720 : 0;
    rendition->sar_num = rendition->sar_den = video ? 1 : 0;
    rendition->fps_num = video ? 24 : 0;
    rendition->fps_den = 1;
    rendition->channels = video ? 0 : 2;
    rendition->sample_rate = video ? 0 : 48000;
    rendition->peak_bps = 3000000;
    rendition->mean_bps = 2000000;
    rendition->timescale = video ? 24000 : 48000;
}

/* Segments of about `bytes` each, all of different length; the very first of `first` bytes. */
static inline void world_publish(const struct publisher *by, struct resource *out, uint64_t price,
                                 uint32_t first, uint32_t bytes, uint64_t seed)
{
    struct rr_manifest *manifest = &out->manifest;
    struct rr_buf original = {0};
    struct rr_segment unused;
    struct rr_prng prng;
    char id[65];
    rr_prng_seed(&prng, seed);
    manifest->chain_id = by->chain_id;
    manifest->created_ms = by->time_ms + seed * 1000;
    manifest->kind = RR_RESOURCE_VOD;
    manifest->revision = 1;
    snprintf(manifest->title, sizeof(manifest->title), "title %u", (unsigned)seed);
    manifest->slice_price = coins(price);
    manifest->slice_bytes = WORLD_SLICE;
    manifest->objects = rr_alloc_array(3 + 2 * WORLD_SEGMENTS, sizeof(struct rr_object));
    manifest->renditions = rr_alloc_array(2, sizeof(struct rr_rendition));
    manifest->rendition_count = 2;
    world_put(by, manifest, &unused, &original, 5000, &prng);
    for (unsigned r = 0; r < 2; r++) {
        struct rr_rendition *rendition = &manifest->renditions[r];
        world_describe(rendition, r == 0);
        rendition->segments = rr_alloc_array(WORLD_SEGMENTS, sizeof(struct rr_segment));
        rendition->segment_count = WORLD_SEGMENTS;
        world_put(by, manifest, &rendition->init, &out->init[r], 700 + r, &prng);
        for (uint32_t i = 0; i < WORLD_SEGMENTS; i++) {
            struct rr_segment *segment = &rendition->segments[i];
            segment->start = (uint64_t)i * 2 * rendition->timescale;
            segment->duration = 2 * rendition->timescale;
            uint32_t len = r == 0 && i == 0 ? first : bytes + i * 777 + r;
            world_put(by, manifest, segment, &out->segments[r][i], len, &prng);
        }
    }
    rr_buf_clear(&original);
    rr_seckey_public(by->key, &manifest->owner);
    rr_resource_id(&manifest->resource_id, manifest->chain_id, &manifest->owner,
                   &manifest->objects[0].object_id, manifest->created_ms, manifest->kind);
    rr_manifest_sign(manifest, by->key);
    world_ok(rr_store_put_manifest(by->store, manifest, &fault));
    rr_hex(id, manifest->resource_id.bytes, 32);
    snprintf(out->path, sizeof(out->path), "/v1/resources/%s", id);
}

static inline void resource_clear(struct resource *resource)
{
    for (unsigned r = 0; r < 2; r++) {
        rr_buf_clear(&resource->init[r]);
        for (unsigned i = 0; i < WORLD_SEGMENTS; i++) {
            rr_buf_clear(&resource->segments[r][i]);
        }
    }
    rr_manifest_clear(&resource->manifest);
}
#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "serve/serve_private.h"
#include <string.h>

/* Ours: what one rig publishes fits; a stranger who asks for everything in turn cannot fill the
 * memory. */
#define RESOURCES_MAX       1024
#define RESOURCES_BYTES_MAX (128u << 20)
#define BUCKETS             256

struct serve_resources {
    const struct rr_serve_options *options;
    pthread_mutex_t lock;
    struct serve_resource *first, **last; /* eldest first */
    struct serve_resource *buckets[BUCKETS];
    unsigned count;
    uint64_t bytes, generation;
};

/* ---- blobs ---------------------------------------------------------------------------- */
struct serve_blob *serve_blob_new(struct rr_buf *bytes)
{
    struct serve_blob *blob = rr_alloc(sizeof(*blob));
    atomic_init(&blob->refs, 1);
    blob->bytes = bytes->ptr;
    blob->len = bytes->len;
    *bytes = (struct rr_buf){0};
    return blob;
}

struct serve_blob *serve_blob_ref(struct serve_blob *blob)
{
    atomic_fetch_add_explicit(&blob->refs, 1, memory_order_relaxed);
    return blob;
}

void serve_blob_unref(struct serve_blob *blob)
{
    if (blob == NULL || atomic_fetch_sub_explicit(&blob->refs, 1, memory_order_acq_rel) > 1) {
        return;
    }
    if (blob->held != NULL) {
        atomic_fetch_sub_explicit(blob->held, blob->len, memory_order_relaxed);
    }
    rr_free(blob->bytes);
    rr_free(blob);
}

void serve_etag_of(char etag[static SERVE_ETAG_BYTES], const struct rr_hash32 *digest)
{
    etag[0] = '"';
    rr_hex(etag + 1, digest->bytes, 32);
    etag[65] = '"';
    etag[66] = '\0';
}

void serve_etag_make(char etag[static SERVE_ETAG_BYTES], struct rr_slice bytes)
{
    struct rr_hash32 digest;
    rr_hash(&digest, "rr.etag.v1", bytes);
    serve_etag_of(etag, &digest);
}

/* ---- one resource --------------------------------------------------------------------- */
static uint64_t duration_of(const struct rr_rendition *rendition)
{
    if (rendition->segment_count == 0 || rendition->timescale == 0) {
        return 0;
    }
    uint64_t ticks = 0;
    for (uint32_t i = 0; i < rendition->segment_count; i++) {
        ticks += rendition->segments[i].duration;
    }
    return ticks / rendition->timescale * 1000 +
           ticks % rendition->timescale * 1000 / rendition->timescale;
}

/* The puzzles of a resource; empty where there are none, or their list is damaged, which is logged
 * and no reason not to serve. */
static void load_puzzles(const struct rr_serve_options *options, struct rr_puzzle_list *out,
                         const struct rr_hash32 *id)
{
    struct rr_buf bytes = {0};
    struct rr_fault fault = {0};
    enum rr_err err = RR_ERR_NOTFOUND;
    if (options->puzzles != NULL) {
        err = options->puzzles(options->puzzles_ctx, &bytes, id, &fault);
    }
    if (err == RR_OK) {
        err = rr_puzzle_list_decode(out, rr_buf_slice(&bytes), &fault);
    }
    if (err == RR_OK && !rr_hash32_equal(&out->resource_id, id)) {
        err = rr_fail(&fault, RR_ERR_DAMAGED, "the puzzle list is of another resource");
        rr_puzzle_list_clear(out);
    }
    if (err != RR_OK && err != RR_ERR_NOTFOUND) {
        rr_log_fault(RR_LOG_WARN, "serve", &fault);
    }
    rr_buf_clear(&bytes);
}

/* Takes the manifest. */
static struct serve_resource *make(struct rr_manifest *manifest, const struct rr_hash32 *id,
                                   const struct rr_puzzle_list *puzzles)
{
    struct serve_resource *resource = rr_alloc(sizeof(*resource));
    struct rr_buf text = {0};
    atomic_init(&resource->refs, 1);
    resource->id = *id;
    resource->manifest = *manifest;
    *manifest = (struct rr_manifest){0};
    const struct rr_manifest *kept = &resource->manifest;
    rr_manifest_encode(&text, kept);
    resource->wire = serve_blob_new(&text);
    rr_hls_master(&text, kept);
    resource->master = serve_blob_new(&text);
    rr_dash_manifest(&text, kept);
    resource->dash = serve_blob_new(&text);
    resource->media = rr_alloc_array(kept->rendition_count + 1u, sizeof(struct serve_blob *));
    uint32_t next = 0;
    for (uint32_t i = 0; i < kept->rendition_count; i++) {
        uint32_t first = next; /* entries rise by rendition */
        while (next < puzzles->count && puzzles->entries[next].rendition == i) {
            next++;
        }
        rr_hls_media_puzzles(&text, &kept->renditions[i],
                             next > first ? &puzzles->entries[first] : NULL, next - first);
        resource->media[i] = serve_blob_new(&text);
        uint64_t duration_ms = duration_of(&kept->renditions[i]);
        if (duration_ms > resource->duration_ms) {
            resource->duration_ms = duration_ms;
        }
    }
    return resource;
}

void serve_resource_unref(struct serve_resource *resource)
{
    if (resource == NULL ||
        atomic_fetch_sub_explicit(&resource->refs, 1, memory_order_acq_rel) > 1) {
        return;
    }
    for (uint32_t i = 0; i < resource->manifest.rendition_count; i++) {
        serve_blob_unref(resource->media[i]);
    }
    rr_free(resource->media);
    serve_blob_unref(resource->wire);
    serve_blob_unref(resource->master);
    serve_blob_unref(resource->dash);
    rr_manifest_clear(&resource->manifest);
    rr_free(resource);
}

/* ---- all of them ---------------------------------------------------------------------- */
struct serve_resources *serve_resources_new(const struct rr_serve_options *options)
{
    struct serve_resources *resources = rr_alloc(sizeof(*resources));
    resources->options = options;
    resources->last = &resources->first;
    RR_CHECK(pthread_mutex_init(&resources->lock, NULL) == 0);
    return resources;
}

static struct serve_resource **bucket_of(struct serve_resources *resources,
                                         const struct rr_hash32 *id)
{
    return &resources->buckets[id->bytes[0] % BUCKETS];
}

/* Unlinks it; the table's reference goes to the caller. */
static struct serve_resource *take_out(struct serve_resources *resources,
                                       struct serve_resource *resource)
{
    struct serve_resource **at = &resources->first;
    while (*at != resource) {
        at = &(*at)->next;
    }
    *at = resource->next;
    if (resource->next == NULL) {
        resources->last = at;
    }
    resource->next = NULL;
    at = bucket_of(resources, &resource->id);
    while (*at != resource) {
        at = &(*at)->next_in_bucket;
    }
    *at = resource->next_in_bucket;
    resources->count--;
    resources->bytes -= resource->wire->len;
    return resource;
}

void serve_resources_free(struct serve_resources *resources)
{
    if (resources == NULL) {
        return;
    }
    while (resources->first != NULL) {
        serve_resource_unref(take_out(resources, resources->first));
    }
    pthread_mutex_destroy(&resources->lock);
    rr_free(resources);
}

/* Under the lock; borrowed. */
static struct serve_resource *look_up(struct serve_resources *resources, const struct rr_hash32 *id)
{
    struct serve_resource *at = *bucket_of(resources, id);
    while (at != NULL && !rr_hash32_equal(&at->id, id)) {
        at = at->next_in_bucket;
    }
    return at;
}

static struct serve_resource *find(struct serve_resources *resources, const struct rr_hash32 *id)
{
    struct serve_resource *resource = look_up(resources, id);
    if (resource != NULL) {
        atomic_fetch_add_explicit(&resource->refs, 1, memory_order_relaxed);
    }
    return resource;
}

struct serve_resource *serve_resources_find(struct serve_resources *resources,
                                            const struct rr_hash32 *id)
{
    pthread_mutex_lock(&resources->lock);
    struct serve_resource *resource = find(resources, id);
    pthread_mutex_unlock(&resources->lock);
    return resource;
}

void serve_resources_forget(struct serve_resources *resources, const struct rr_hash32 *id)
{
    struct serve_resource *gone = NULL;
    pthread_mutex_lock(&resources->lock);
    resources->generation++;
    gone = look_up(resources, id);
    if (gone != NULL) {
        gone = take_out(resources, gone);
    }
    pthread_mutex_unlock(&resources->lock);
    serve_resource_unref(gone);
}

/* Keeps it unless another was faster, or it was forgotten while it was read. */
static struct serve_resource *keep(struct serve_resources *resources, struct serve_resource *loaded,
                                   uint64_t generation)
{
    pthread_mutex_lock(&resources->lock);
    struct serve_resource *there = find(resources, &loaded->id);
    if (there == NULL && generation == resources->generation) {
        *resources->last = loaded;
        resources->last = &loaded->next;
        resources->count++;
        resources->bytes += loaded->wire->len;
        struct serve_resource **bucket = bucket_of(resources, &loaded->id);
        loaded->next_in_bucket = *bucket;
        *bucket = loaded;
        atomic_fetch_add_explicit(&loaded->refs, 1, memory_order_relaxed);
        while (resources->count > RESOURCES_MAX || resources->bytes > RESOURCES_BYTES_MAX) {
            serve_resource_unref(take_out(resources, resources->first));
        }
    }
    pthread_mutex_unlock(&resources->lock);
    if (there != NULL) {
        serve_resource_unref(loaded);
        return there;
    }
    return loaded;
}

enum rr_err serve_resources_load(struct serve_resources *resources, struct serve_resource **out,
                                 const struct rr_hash32 *id, struct rr_fault *fault)
{
    struct rr_manifest manifest = {0};
    pthread_mutex_lock(&resources->lock);
    struct serve_resource *resource = find(resources, id);
    uint64_t generation = resources->generation;
    pthread_mutex_unlock(&resources->lock);
    if (resource == NULL) {
        struct rr_puzzle_list puzzles = {0};
        enum rr_err err = rr_store_manifest(resources->options->store, &manifest, id, fault);
        if (err != RR_OK) {
            return err;
        }
        load_puzzles(resources->options, &puzzles, id);
        resource = keep(resources, make(&manifest, id, &puzzles), generation);
        rr_puzzle_list_clear(&puzzles);
    }
    *out = resource;
    return RR_OK;
}

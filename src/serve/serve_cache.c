/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Whole segments by their digest, in one bounded memory. Eviction is CLOCK with two bits: a hit
 * raises, the hand lowers. The store is read outside the lock, once for however many wait. */
#include "serve/serve_private.h"
#include <string.h>

RR_COUNTER(cache_hits, "reelrig_serve_cache_hits_total",
           "Segments found in memory or already being read")
RR_COUNTER(cache_misses, "reelrig_serve_cache_misses_total", "Segments read from the store")

#define BUCKETS       4096
#define FREQUENCY_MAX 3
/* Beyond the configured bytes, memory that slow readers still hold may grow to this before new
 * reads are refused: twice the cache, but at least room for a few segments. Ours. */
#define SPARE_BYTES_MIN (64u << 20)

struct entry {
    struct serve_job job; /* first: a job is its entry */
    struct serve_cache *cache;
    struct rr_hash32 digest;
    struct entry *next_in_bucket;
    struct entry *next, *previous; /* ring, when ready */
    struct serve_blob *blob;       /* NULL: being read */
    struct serve_request *waiting, **waiting_last;
    struct serve_resource *resource; /* while being read */
    const struct rr_segment *segment;
    uint8_t frequency;
};
struct serve_cache {
    struct rr_store *store;
    struct serve_workers *workers;
    uint64_t bytes_max;
    pthread_mutex_t lock;
    struct entry *buckets[BUCKETS];
    struct entry *hand;
    uint32_t ring; /* entries in it */
    uint64_t hits, misses;
    _Atomic uint64_t held; /* bytes of all blobs alive, and of those to come */
};

struct serve_cache *serve_cache_new(struct rr_store *store, struct serve_workers *workers,
                                    uint64_t bytes_max)
{
    struct serve_cache *cache = rr_alloc(sizeof(*cache));
    cache->store = store;
    cache->workers = workers;
    cache->bytes_max = bytes_max;
    RR_CHECK(pthread_mutex_init(&cache->lock, NULL) == 0);
    return cache;
}

/* ---- table and ring; under the lock --------------------------------------------------- */
static struct entry **place_of(struct serve_cache *cache, const struct rr_hash32 *digest)
{
    uint32_t bucket = (uint32_t)(digest->bytes[0] | digest->bytes[1] << 8) % BUCKETS;
    struct entry **at = &cache->buckets[bucket];
    while (*at != NULL && !rr_hash32_equal(&(*at)->digest, digest)) {
        at = &(*at)->next_in_bucket;
    }
    return at;
}

static void ring_add(struct serve_cache *cache, struct entry *entry)
{
    if (cache->hand == NULL) {
        entry->next = entry->previous = entry;
        cache->hand = entry;
    } else { /* behind the hand: the last to be looked at */
        entry->next = cache->hand;
        entry->previous = cache->hand->previous;
        entry->previous->next = entry;
        cache->hand->previous = entry;
    }
    cache->ring++;
}

static void evict(struct serve_cache *cache, struct entry *entry)
{
    if (--cache->ring == 0) {
        cache->hand = NULL;
    } else {
        entry->previous->next = entry->next;
        entry->next->previous = entry->previous;
        cache->hand = cache->hand == entry ? entry->next : cache->hand;
    }
    *place_of(cache, &entry->digest) = entry->next_in_bucket;
    serve_blob_unref(entry->blob);
    rr_free(entry);
}

/* Makes room for `bytes`; what is being sent just now stays, for its memory would not come free. */
static void make_room(struct serve_cache *cache, uint64_t bytes)
{
    uint64_t steps = (uint64_t)cache->ring * (FREQUENCY_MAX + 1);
    while (steps-- > 0 && cache->ring > 0 && atomic_load(&cache->held) + bytes > cache->bytes_max) {
        struct entry *entry = cache->hand;
        if (atomic_load(&entry->blob->refs) > 1 || entry->frequency > 0) {
            entry->frequency = entry->frequency > 0 ? entry->frequency - 1 : 0;
            cache->hand = entry->next;
        } else {
            evict(cache, entry);
        }
    }
}

void serve_cache_free(struct serve_cache *cache)
{
    if (cache == NULL) {
        return;
    }
    while (cache->ring > 0) {
        evict(cache, cache->hand);
    }
    pthread_mutex_destroy(&cache->lock);
    rr_free(cache);
}

void serve_cache_stats(struct serve_cache *cache, uint64_t *hits, uint64_t *misses)
{
    pthread_mutex_lock(&cache->lock);
    *hits = cache->hits;
    *misses = cache->misses;
    pthread_mutex_unlock(&cache->lock);
}

/* ---- reading -------------------------------------------------------------------------- */
static enum rr_err read_segment(struct entry *entry, struct serve_blob **out,
                                struct rr_fault *fault)
{
    const struct rr_segment *segment = entry->segment;
    const struct rr_object *object = &entry->resource->manifest.objects[segment->object];
    struct rr_buf bytes = {.ptr = rr_alloc_aligned(segment->bytes), .len = segment->bytes};
    struct rr_hash32 digest;
    enum rr_err err =
        rr_store_read(entry->cache->store, object, segment->offset, bytes.ptr, bytes.len, fault);
    if (err == RR_OK) {
        rr_segment_digest(&digest, rr_buf_slice(&bytes));
        if (!rr_hash32_equal(&digest, &entry->digest)) {
            err = rr_fail(
                fault, RR_ERR_DAMAGED,
                "the store's bytes of a segment are not those of the manifest; publish it again");
        }
    }
    if (err != RR_OK) {
        rr_buf_clear(&bytes);
        return err;
    }
    *out = serve_blob_new(&bytes);
    (*out)->held = &entry->cache->held;
    return RR_OK;
}

/* A worker's job. The waiting requests get a reference each, or the fault. */
static void load(struct serve_job *job)
{
    struct entry *entry = (struct entry *)job;
    struct serve_cache *cache = entry->cache;
    struct serve_blob *blob = NULL;
    struct rr_fault fault = {0};
    uint64_t bytes = entry->segment->bytes;
    enum rr_err err = read_segment(entry, &blob, &fault);
    if (err != RR_OK) {
        rr_log_fault(RR_LOG_WARN, "serve", &fault);
    }
    serve_resource_unref(entry->resource);
    pthread_mutex_lock(&cache->lock);
    struct serve_request *waiting = entry->waiting;
    entry->waiting = NULL;
    entry->resource = NULL;
    entry->segment = NULL;
    for (struct serve_request *at = waiting; at != NULL; at = at->next) {
        at->err = err;
        at->fault = fault;
        at->blob = err == RR_OK ? serve_blob_ref(blob) : NULL;
    }
    if (err == RR_OK) {
        entry->blob = blob;
        ring_add(cache, entry);
    } else {
        *place_of(cache, &entry->digest) = entry->next_in_bucket;
        atomic_fetch_sub(&cache->held, bytes);
        rr_free(entry);
    }
    pthread_mutex_unlock(&cache->lock);
    while (waiting != NULL) {
        struct serve_request *next = waiting->next;
        serve_request_wake(waiting);
        waiting = next;
    }
}

static void wait_for(struct entry *entry, struct serve_request *request)
{
    request->next = NULL;
    *entry->waiting_last = request;
    entry->waiting_last = &request->next;
}

/* Under the lock. */
static enum rr_err begin(struct serve_cache *cache, struct entry **place,
                         struct serve_request *request, const struct rr_segment *segment)
{
    uint64_t spare = cache->bytes_max > SPARE_BYTES_MIN ? cache->bytes_max : SPARE_BYTES_MIN;
    make_room(cache, segment->bytes);
    if (atomic_load(&cache->held) + segment->bytes > cache->bytes_max + spare) {
        return RR_ERR_BUSY;
    }
    place = place_of(cache, &segment->digest); /* making room may have moved it */
    struct entry *entry = rr_alloc(sizeof(*entry));
    entry->job.work = load;
    entry->cache = cache;
    entry->digest = segment->digest;
    entry->waiting_last = &entry->waiting;
    entry->resource = request->resource;
    entry->segment = segment;
    atomic_fetch_add(&entry->resource->refs, 1);
    wait_for(entry, request);
    if (!serve_workers_submit(cache->workers, &entry->job)) {
        atomic_fetch_sub(&entry->resource->refs, 1); /* never the last: the request has one */
        rr_free(entry);
        return RR_ERR_BUSY;
    }
    atomic_fetch_add(&cache->held, segment->bytes);
    *place = entry;
    cache->misses++;
    rr_counter_add(&cache_misses, 1);
    return RR_ERR_STATE;
}

enum rr_err serve_cache_get(struct serve_cache *cache, struct serve_blob **out,
                            struct serve_request *request, const struct rr_segment *segment)
{
    enum rr_err err = RR_OK;
    pthread_mutex_lock(&cache->lock);
    struct entry **place = place_of(cache, &segment->digest);
    struct entry *entry = *place;
    if (entry == NULL) {
        err = begin(cache, place, request, segment);
    } else {
        cache->hits++;
        rr_counter_add(&cache_hits, 1);
        entry->frequency = entry->frequency < FREQUENCY_MAX ? entry->frequency + 1 : FREQUENCY_MAX;
        if (entry->blob != NULL) {
            *out = serve_blob_ref(entry->blob);
        } else {
            wait_for(entry, request);
            err = RR_ERR_STATE;
        }
    }
    pthread_mutex_unlock(&cache->lock);
    return err;
}

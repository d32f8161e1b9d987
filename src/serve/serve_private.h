/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Private to serve: requests, their way through the request core, and who owns what.
 *
 * A connection belongs to one epoll thread. A request belongs to that thread too, but for the time
 * that it waits for something: then it is held by a job of the workers, by an entry of the cache or
 * by the till, which hand it back by serve_request_wake, once. */
#ifndef RR_SERVE_PRIVATE_H
#define RR_SERVE_PRIVATE_H
#include "serve/serve.h"
#include "serve/serve_http1.h"
#include "serve/serve_text.h"
#include <pthread.h>
#include <stdatomic.h>

/* ---- bytes that are held by count ----------------------------------------------------- */
struct serve_blob {
    atomic_uint refs;
    uint8_t *bytes;
    size_t len;
    _Atomic uint64_t *held; /* lowered by len at the end; may be NULL */
};
struct serve_blob *serve_blob_new(struct rr_buf *bytes); /* takes the buffer; one reference */
struct serve_blob *serve_blob_ref(struct serve_blob *blob);
void serve_blob_unref(struct serve_blob *blob); /* NULL is fine; any thread */

#define SERVE_ETAG_BYTES 67 /* quotes, 64 hex digits, NUL */
void serve_etag_of(char etag[static SERVE_ETAG_BYTES], const struct rr_hash32 *digest);
/* BLAKE2b-256("rr.etag.v1") of a text that has no digest of its own. */
void serve_etag_make(char etag[static SERVE_ETAG_BYTES], struct rr_slice bytes);

/* ---- workers: what blocks runs here --------------------------------------------------- */
struct serve_job {
    struct serve_job *next;
    void (*work)(struct serve_job *job);
};
struct serve_workers;
struct serve_workers *serve_workers_new(unsigned threads);
/* False when the queue is full (SERVE_JOBS_MAX); then nothing happened. Any thread. */
#define SERVE_JOBS_MAX 8192
bool serve_workers_submit(struct serve_workers *workers, struct serve_job *job) RR_MUST_USE;
void serve_workers_free(struct serve_workers *workers); /* runs what is queued first */

/* ---- resources: decoded manifests and what is made of them ---------------------------- */
struct serve_resource {
    atomic_uint refs;
    struct serve_resource *next; /* in the order of loading */
    struct serve_resource *next_in_bucket;
    struct rr_hash32 id;
    struct rr_manifest manifest;
    struct serve_blob *wire, *master, *dash;
    struct serve_blob **media; /* a playlist for each rendition */
    uint64_t duration_ms;      /* of the longest rendition */
};
struct serve_resources;
/* options borrowed until free. */
struct serve_resources *serve_resources_new(const struct rr_serve_options *options);
void serve_resources_free(struct serve_resources *resources);
/* One reference, or NULL when it is not at hand. Any thread; never blocks. */
struct serve_resource *serve_resources_find(struct serve_resources *resources,
                                            const struct rr_hash32 *id);
/* Reads it from the store when it is not at hand. *out: one reference. RR_ERR_NOTFOUND. Blocks. */
enum rr_err serve_resources_load(struct serve_resources *resources, struct serve_resource **out,
                                 const struct rr_hash32 *id, struct rr_fault *fault) RR_MUST_USE;
void serve_resources_forget(struct serve_resources *resources, const struct rr_hash32 *id);
void serve_resource_unref(struct serve_resource *resource); /* NULL is fine */

/* ---- cache of whole segments ---------------------------------------------------------- */
struct serve_request;
struct serve_cache;
struct serve_cache *serve_cache_new(struct rr_store *store, struct serve_workers *workers,
                                    uint64_t bytes_max);
void serve_cache_free(struct serve_cache *cache); /* after the workers */
/* RR_OK: *out holds one reference, at once. RR_ERR_BUSY: too much is being read or sent already.
 * RR_ERR_STATE: the request waits and will be woken, with request->err and, when that is RR_OK,
 * request->blob. However many wait for one segment, the store is read once. segment is one of
 * request->resource. */
enum rr_err serve_cache_get(struct serve_cache *cache, struct serve_blob **out,
                            struct serve_request *request,
                            const struct rr_segment *segment) RR_MUST_USE;
void serve_cache_stats(struct serve_cache *cache, uint64_t *hits, uint64_t *misses);

/* ---- what the chain says, renewed four times a second --------------------------------- */
struct serve_view {
    struct rr_chain_tip tip;
    uint64_t checkpoint_height;
    struct rr_hash32 checkpoint_hash;
    char puzzle[RR_PUZZLE_TEXT_BYTES];
};

/* ---- one request ---------------------------------------------------------------------- */
enum serve_route {
    SERVE_ROUTE_HEALTH,
    SERVE_ROUTE_RESOURCES,
    SERVE_ROUTE_MANIFEST,
    SERVE_ROUTE_OFFER,
    SERVE_ROUTE_HLS,
    SERVE_ROUTE_SESSIONS,
    SERVE_ROUTE_CERTIFICATES,
    SERVE_ROUTE_CLAIMS,
    SERVE_ROUTE_WORK,
    SERVE_ROUTE_TIP,
    SERVE_ROUTE_GENESIS,
    SERVE_ROUTE_ACCOUNT,
    SERVE_ROUTE_TRANSACTIONS,
    SERVE_ROUTE_TRANSACTION,
    SERVE_ROUTE_PROOF,
    SERVE_ROUTE_HEADERS,
    SERVE_ROUTE_POOL,
    SERVE_ROUTE_LIVE
};
/* What a request below /live/ asks for. */
enum serve_live_kind {
    SERVE_LIVE_MASTER,
    SERVE_LIVE_PLAYLIST,
    SERVE_LIVE_INIT,
    SERVE_LIVE_SEGMENT,
    SERVE_LIVE_PART
};
struct serve_live_ask {
    enum serve_live_kind kind;
    uint32_t rendition, part;
    uint64_t segment;
    bool blocks, with_part; /* a playlist: until that segment or part is in it */
    bool late;              /* it has waited long enough */
    uint64_t deadline_ms;
};
#define SERVE_REPLY_HEAD_MAX 2048
/* The finished answer: head and, unless head_only, len bytes of body from first on. */
struct serve_reply {
    uint16_t status; /* 0: not finished */
    uint16_t head_len;
    bool close;   /* the connection ends after it */
    bool segment; /* its last byte is the last one of a segment */
    struct serve_blob *body;
    uint64_t first, len;
    char head[SERVE_REPLY_HEAD_MAX];
};
struct serve_thread;
struct serve_conn;
struct serve_request {
    struct serve_job job;
    struct serve_request *next; /* waiting for a segment, or woken */
    struct rr_serve *serve;
    struct serve_thread *thread;
    struct serve_conn *conn; /* NULL: gone meanwhile; its thread only */
    struct rr_buf bytes;     /* of the head */
    struct serve_head head;
    struct rr_buf body;
    uint64_t body_counted; /* against the limit of all bodies together */
    enum serve_route route;
    struct rr_slice rest;                            /* of the path, inside bytes */
    struct rr_hash32 id;                             /* in the path */
    void (*blocking)(struct serve_request *request); /* on a worker */
    void (*resume)(struct serve_request *request);   /* back on the thread */
    enum rr_err err;                                 /* of what was waited for */
    struct rr_fault fault;
    struct serve_live_ask live;
    struct serve_resource *resource;
    struct rr_hls_ref ref;
    const struct rr_segment *asked;
    struct serve_range range;
    bool partial;
    struct serve_blob *blob;
    uint64_t *slice_keys;
    atomic_int charge;
    struct serve_reply reply;
};
struct serve_request *serve_request_new(struct rr_serve *serve, struct serve_thread *thread,
                                        struct serve_conn *conn);
void serve_request_free(struct serve_request *request);
/* Hands a waiting request back to its thread; any thread. */
void serve_request_wake(struct serve_request *request);
/* Runs request->blocking on a worker, then resume on the thread; a full queue is answered with 503.
 */
void serve_request_block(struct serve_request *request,
                         void (*blocking)(struct serve_request *request),
                         void (*resume)(struct serve_request *request));
struct rr_slice serve_request_field(const struct serve_request *request, enum serve_field field);

/* The core without transport. open: after the head; *body_max for its body, or a reply is finished.
 * run: after the body; finishes a reply, or the request waits. */
void serve_route_open(struct serve_request *request, uint64_t *body_max);
void serve_route_run(struct serve_request *request);
void serve_ledger_run(struct serve_request *request);   /* below /v1/ledger */
void serve_resource_run(struct serve_request *request); /* below /v1/resources/{id} */
void serve_work_run(struct serve_request *request);     /* /v1/offers, /v1/jobs */
/* Opens a session that pays a resource or a job, out of the request's body. Blocks. */
void serve_work_session(struct serve_request *request);
void serve_media_run(struct serve_request *request); /* segment or init of request->resource */
void serve_live_run(struct serve_request *request);  /* below /live/ */
void serve_live_stop(struct rr_serve_live *live);    /* who waits is turned away */

/* ---- the server ----------------------------------------------------------------------- */
struct serve_counts {
    _Atomic uint64_t requests, bytes, segments, connections, not_found, payment_required,
        bad_requests;
};
/* Bodies that are being received, all together. Ours: 16 of the longest. */
#define SERVE_BODIES_MAX (256u << 20)
struct rr_serve {
    struct rr_serve_options options;
    struct rr_hash32 genesis_hash;
    uint32_t chain_id;
    struct serve_blob *genesis;
    struct serve_workers *workers;
    struct serve_resources *resources;
    struct serve_cache *cache;
    struct serve_thread **threads;
    uint16_t port;
    atomic_bool stopping, force;
    struct serve_counts counts;
    _Atomic uint64_t body_bytes;
    pthread_mutex_t view_lock;
    struct serve_view view; /* under view_lock */
    struct serve_job view_job;
    atomic_bool view_busy;
};
/* Copies the latest view. Any thread. */
void serve_view_get(struct rr_serve *serve, struct serve_view *out);
/* Asks a worker to renew it, unless one is at it. Any thread. */
void serve_view_renew(struct rr_serve *serve);

struct serve_thread *serve_thread_start(struct rr_serve *serve, unsigned index, int listener);
void serve_thread_nudge(struct serve_thread *thread); /* looks at stopping and force */
void serve_thread_join(struct serve_thread *thread);  /* and frees */
#endif

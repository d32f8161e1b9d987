/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The door of serve, floor 5: segments out over HTTP/1.1 (spec 40). Own epoll threads; other doors
 * (HTTP/2, 3, DPDK) are to stand behind the same request core. */
#ifndef RR_SERVE_H
#define RR_SERVE_H
#include "pay/pay.h"
#include "serve/serve_live.h"
#include "storage/storage.h"

struct rr_serve;
/* A request for offers or jobs; all borrowed for the call. */
#define RR_SERVE_WORK_BODY_MAX (8u << 20)
struct rr_serve_work {
    bool post, json;             /* json: the answer that is wire otherwise is asked for as JSON */
    struct rr_slice path, query; /* of the path what follows "/v1/" */
    struct rr_slice body;
    const struct rr_payment_header *payment; /* NULL: the request carries none */
};
struct rr_serve_options {
    const char *address; /* "127.0.0.1" */
    uint16_t port;       /* 0: any free one, see rr_serve_port */
    unsigned threads;    /* 1..64 */
    uint64_t cache_bytes;
    uint32_t connections_max;
    struct rr_store *store;
    struct rr_chain *chain;
    struct rr_till *till;
    const struct rr_genesis *genesis;
    struct rr_pubkey key;   /* the rig's, for offers and puzzles */
    uint32_t margin_blocks; /* as the till's; shown in offers */
    const struct rr_clock *clock;
    /* Appends the puzzle list of a resource (wire_puzzle.h) for the tags of its playlists; any
     * fault: it carries none. Blocks; any thread. NULL: no resource carries puzzles. */
    enum rr_err (*puzzles)(void *ctx, struct rr_buf *out, const struct rr_hash32 *resource_id,
                           struct rr_fault *fault);
    /* Judges claims of puzzles in their order and keeps those that count; faults: count, written,
     * code RR_OK: kept. Another return: none could be judged. ctx as above. Blocks; any thread.
     * NULL: claims are not taken. */
    enum rr_err (*claims)(void *ctx, const struct rr_puzzle_claim *claims, uint32_t count,
                          struct rr_fault *faults, struct rr_fault *fault);
    void *puzzles_ctx; /* of both */
    /* Answers below /v1/offers and /v1/jobs; its error is the reply. Blocks; any thread. NULL: this
     * rig works for nobody. */
    enum rr_err (*work)(void *ctx, const struct rr_serve_work *asked, struct rr_buf *out,
                        struct rr_fault *fault);
    /* Price of a unit of a job whose quote has this id, for sessions that pay it; RR_ERR_NOTFOUND.
     * Any thread. NULL with work. */
    enum rr_err (*work_price)(void *ctx, const struct rr_hash32 *quote_id, struct rr_coin *price,
                              struct rr_fault *fault);
    void *work_ctx;
    struct rr_serve_live *live; /* below /live/; NULL: none. With it store, chain, till and genesis
                                   may be NULL: then nothing else is served. Borrowed. */
};
/* Binds and starts. Port taken: RR_ERR_BUSY naming address and port. All pointers borrowed until
 * stop. */
enum rr_err rr_serve_start(struct rr_serve **out, const struct rr_serve_options *options,
                           struct rr_fault *fault) RR_MUST_USE;
/* Stops accepting, lets running responses end for at most drain_ms, closes. */
void rr_serve_stop(struct rr_serve *serve, uint64_t drain_ms);
uint16_t rr_serve_port(const struct rr_serve *serve);
/* A resource's manifest changed: caches of it are dropped. Any thread. */
void rr_serve_forget(struct rr_serve *serve, const struct rr_hash32 *resource_id);
struct rr_serve_stats {
    uint64_t requests, bytes, segments; /* segments: whole ones completed, by ranges or at once */
    uint64_t connections, not_found, payment_required, bad_requests, cache_hits, cache_misses;
};
void rr_serve_stats(struct rr_serve *serve, struct rr_serve_stats *out);
#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* From a path to what answers it. Knows no transport. */
#include "serve/serve_reply.h"
#include "serve/serve_thread.h"
#include <string.h>

/* u16 count, then certificates of less than 256 bytes each (wire_pay.h). */
#define CERTIFICATES_BYTES_MAX (2 + RR_CERTIFICATES_POST_MAX * 256)

#define CLAIMS_BYTES_MAX (3 + RR_PUZZLE_CLAIMS_POST_MAX * RR_PUZZLE_CLAIM_BYTES)

/* ---- requests ------------------------------------------------------------------------- */
struct serve_request *serve_request_new(struct rr_serve *serve, struct serve_thread *thread,
                                        struct serve_conn *conn)
{
    struct serve_request *request = rr_alloc(sizeof(*request));
    request->serve = serve;
    request->thread = thread;
    request->conn = conn;
    request->reply.close = atomic_load_explicit(&serve->stopping, memory_order_relaxed);
    thread->requests++;
    return request;
}

void serve_request_free(struct serve_request *request)
{
    if (request == NULL) {
        return;
    }
    request->thread->requests--;
    if (request->body_counted > 0) {
        atomic_fetch_sub(&request->serve->body_bytes, request->body_counted);
    }
    serve_resource_unref(request->resource);
    serve_blob_unref(request->blob);
    serve_blob_unref(request->reply.body);
    rr_free(request->slice_keys);
    rr_buf_clear(&request->bytes);
    rr_buf_clear(&request->body);
    rr_free(request);
}

struct rr_slice serve_request_field(const struct serve_request *request, enum serve_field field)
{
    return serve_span_of(&request->bytes, request->head.fields[field]);
}

static void work(struct serve_job *job)
{
    struct serve_request *request = (struct serve_request *)job;
    request->blocking(request);
    serve_request_wake(request);
}

void serve_request_block(struct serve_request *request,
                         void (*blocking)(struct serve_request *request),
                         void (*resume)(struct serve_request *request))
{
    request->job.work = work;
    request->blocking = blocking;
    request->resume = resume;
    if (!serve_workers_submit(request->serve->workers, &request->job)) {
        serve_reply_error(request, 503, "busy",
                          "Too much is waiting already; try again in a moment.");
    }
}

/* ---- routes --------------------------------------------------------------------------- */
static bool skip(struct rr_slice *path, const char *prefix)
{
    size_t len = strlen(prefix);
    if (path->len < len || memcmp(path->ptr, prefix, len) != 0) {
        return false;
    }
    path->ptr += len;
    path->len -= len;
    return true;
}

static bool is(struct rr_slice path, const char *text)
{
    return rr_slice_equal(path, rr_slice_str(text));
}

/* 64 hex digits, then the end or a slash. */
static bool skip_id(struct serve_request *request, struct rr_slice *path)
{
    if (path->len < 64 || (path->len > 64 && path->ptr[64] != '/') ||
        !rr_unhex_slice(request->id.bytes, 32, rr_slice_of(path->ptr, 64))) {
        return false;
    }
    path->ptr += 64;
    path->len -= 64;
    return true;
}

static bool find_resource_route(struct serve_request *request, struct rr_slice path)
{
    if (path.len == 0) {
        request->route = SERVE_ROUTE_RESOURCES;
        return true;
    }
    if (!skip(&path, "/") || !skip_id(request, &path)) {
        return false;
    }
    if (is(path, "/manifest")) {
        request->route = SERVE_ROUTE_MANIFEST;
        return true;
    }
    if (is(path, "/offer")) {
        request->route = SERVE_ROUTE_OFFER;
        return true;
    }
    request->route = SERVE_ROUTE_HLS;
    bool hls = skip(&path, "/hls/") || skip(&path, "/dash/"); /* the same files */
    request->rest = path;
    return hls;
}

static bool find_ledger_route(struct serve_request *request, struct rr_slice path)
{
    static const struct {
        const char *name;
        enum serve_route route;
    } plain[] = {{"tip", SERVE_ROUTE_TIP},
                 {"genesis", SERVE_ROUTE_GENESIS},
                 {"headers", SERVE_ROUTE_HEADERS},
                 {"transactions", SERVE_ROUTE_TRANSACTIONS}},
      with_id[] = {{"transactions/", SERVE_ROUTE_TRANSACTION},
                   {"proof/", SERVE_ROUTE_PROOF},
                   {"pools/", SERVE_ROUTE_POOL}};
    for (size_t i = 0; i < RR_COUNT(plain); i++) {
        if (is(path, plain[i].name)) {
            request->route = plain[i].route;
            return true;
        }
    }
    for (size_t i = 0; i < RR_COUNT(with_id); i++) {
        if (skip(&path, with_id[i].name)) {
            request->route = with_id[i].route;
            return skip_id(request, &path) && path.len == 0;
        }
    }
    request->route = SERVE_ROUTE_ACCOUNT;
    bool account = skip(&path, "account/");
    request->rest = path;
    return account && path.len > 0;
}

static bool find_route(struct serve_request *request)
{
    struct rr_slice path = serve_span_of(&request->bytes, request->head.path);
    if (is(path, "/healthz")) {
        request->route = SERVE_ROUTE_HEALTH;
        return true;
    }
    bool rig = request->serve->options.genesis != NULL;
    if (rig && is(path, "/v1/sessions")) {
        request->route = SERVE_ROUTE_SESSIONS;
        return true;
    }
    if (rig && is(path, "/v1/certificates")) {
        request->route = SERVE_ROUTE_CERTIFICATES;
        return true;
    }
    if (rig && is(path, "/v1/puzzle-claims")) {
        request->route = SERVE_ROUTE_CLAIMS;
        return true;
    }
    struct rr_slice work = path;
    if (skip(&work, "/v1/") && (is(work, "offers") || is(work, "jobs") || skip(&work, "jobs/"))) {
        request->route = SERVE_ROUTE_WORK;
        return request->serve->options.work != NULL;
    }
    if (skip(&path, "/live/")) {
        request->route = SERVE_ROUTE_LIVE;
        request->rest = path;
        return true;
    }
    if (!rig) {
        return false; /* a live ladder alone, without a rig behind it */
    }
    return skip(&path, "/v1/ledger/")
               ? find_ledger_route(request, path)
               : skip(&path, "/v1/resources") && find_resource_route(request, path);
}

/* Longest body of a POST there; 0: none is taken. */
static uint64_t body_limit(enum serve_route route)
{
    switch (route) {
    case SERVE_ROUTE_SESSIONS:
        return RR_SESSION_REQUEST_MAX;
    case SERVE_ROUTE_CERTIFICATES:
        return CERTIFICATES_BYTES_MAX;
    case SERVE_ROUTE_CLAIMS:
        return CLAIMS_BYTES_MAX;
    case SERVE_ROUTE_WORK:
        return RR_SERVE_WORK_BODY_MAX;
    case SERVE_ROUTE_TRANSACTIONS:
        return RR_TX_BYTES_MAX;
    case SERVE_ROUTE_HEALTH:
    case SERVE_ROUTE_RESOURCES:
    case SERVE_ROUTE_MANIFEST:
    case SERVE_ROUTE_OFFER:
    case SERVE_ROUTE_HLS:
    case SERVE_ROUTE_TIP:
    case SERVE_ROUTE_GENESIS:
    case SERVE_ROUTE_ACCOUNT:
    case SERVE_ROUTE_TRANSACTION:
    case SERVE_ROUTE_PROOF:
    case SERVE_ROUTE_HEADERS:
    case SERVE_ROUTE_POOL:
    case SERVE_ROUTE_LIVE:
        break;
    }
    return 0;
}

/* [Fetch, 4.9]: what a page of another origin may send; * does not stand for Authorization. */
static void reply_preflight(struct serve_request *request)
{
    serve_reply_begin(request, 204);
    serve_reply_field(request,
                      "Allow: GET, HEAD, POST, OPTIONS\r\n"
                      "Access-Control-Allow-Methods: GET, HEAD, POST, OPTIONS\r\n"
                      "Access-Control-Allow-Headers: Range, Reelrig-Payment, Content-Type, "
                      "Authorization, If-None-Match, If-Range\r\n"
                      "Access-Control-Max-Age: 86400");
    serve_reply_end(request, NULL, 0, 0);
}

void serve_route_open(struct serve_request *request, uint64_t *body_max)
{
    enum serve_method method = request->head.method;
    *body_max = 0;
    if (method == SERVE_OTHER) {
        serve_reply_error(request, 501, "method", "This method is not known here.");
        return;
    }
    if (method == SERVE_OPTIONS) {
        reply_preflight(request);
        return;
    }
    if (!find_route(request)) {
        serve_reply_error(request, 404, "not_found", "There is nothing at this path.");
        return;
    }
    *body_max = body_limit(request->route);
    bool post = *body_max > 0;
    if (request->route == SERVE_ROUTE_WORK && (method == SERVE_GET || method == SERVE_HEAD)) {
        *body_max = 0;
        return;
    }
    if (post ? method != SERVE_POST : method != SERVE_GET && method != SERVE_HEAD) {
        serve_reply_error(request, 405, "method", "This path does not take this method.");
    }
}

/* ---- what needs no resource ----------------------------------------------------------- */
/* {"accepted":2,"refused":1,"late":1}: each reason that there is, by its word. */
static void taken_json(struct rr_buf *text, const struct rr_till_taken *taken)
{
    struct serve_number members[2 + RR_PROOF_REFUSAL_COUNT] = {{"accepted", NULL, taken->accepted},
                                                               {"refused", NULL, 0}};
    size_t count = 2;
    for (size_t i = RR_PROOF_ACCEPTED + 1; i < RR_PROOF_REFUSAL_COUNT; i++) {
        if (taken->refused[i] > 0) {
            members[1].number += taken->refused[i];
            members[count++] = (struct serve_number){
                rr_proof_refusal_text((enum rr_proof_refusal)i), NULL, taken->refused[i]};
        }
    }
    serve_json_flat(text, members, count);
}

static void add_certificates(struct serve_request *request)
{
    struct rr_certificate *list = NULL;
    uint32_t count = 0;
    struct rr_till_taken taken = {0};
    struct rr_buf text = {0};
    enum rr_err err =
        rr_certificates_decode(&list, &count, rr_buf_slice(&request->body), &request->fault);
    if (err == RR_OK) {
        err = rr_till_add_certificates(request->serve->options.till, list, count, &taken,
                                       &request->fault);
    }
    if (err == RR_OK) {
        taken_json(&text, &taken);
        request->blob = serve_blob_new(&text);
    }
    request->err = err;
    rr_free(list);
}

static void add_claims(struct serve_request *request)
{
    const struct rr_serve_options *options = &request->serve->options;
    struct rr_puzzle_claim *list = NULL;
    struct rr_fault *faults = NULL;
    uint32_t count = 0;
    struct rr_buf text = {0};
    enum rr_err err =
        rr_puzzle_claims_decode(&list, &count, rr_buf_slice(&request->body), &request->fault);
    if (err == RR_OK && options->claims == NULL) {
        err = rr_fail(&request->fault, RR_ERR_NOTFOUND, "This rig takes no claims of puzzles.");
    }
    if (err == RR_OK) {
        faults = rr_alloc_array(count + 1u, sizeof(*faults));
        err = options->claims(options->puzzles_ctx, list, count, faults, &request->fault);
    }
    if (err == RR_OK) {
        serve_json_claims(&text, faults, count);
        request->blob = serve_blob_new(&text);
    }
    request->err = err;
    rr_free(faults);
    rr_free(list);
}

static void list_resources(struct serve_request *request)
{
    struct rr_buf text = {0};
    request->err = serve_json_resources(&text, request->serve, &request->fault);
    if (request->err == RR_OK) {
        request->blob = serve_blob_new(&text);
    } else {
        rr_buf_clear(&text);
    }
}

void serve_route_run(struct serve_request *request)
{
    struct rr_buf text = {0};
    const struct serve_number ok = {"status", "ok", 0};
    switch (request->route) {
    case SERVE_ROUTE_HEALTH:
        serve_json_flat(&text, &ok, 1);
        serve_reply_bytes(request, 200, "application/json", "no-store", &text);
        return;
    case SERVE_ROUTE_RESOURCES:
        serve_request_block(request, list_resources, serve_reply_made_json);
        return;
    case SERVE_ROUTE_SESSIONS:
        serve_request_block(request, serve_work_session, serve_reply_made_wire);
        return;
    case SERVE_ROUTE_CERTIFICATES:
        serve_request_block(request, add_certificates, serve_reply_made_json);
        return;
    case SERVE_ROUTE_CLAIMS:
        serve_request_block(request, add_claims, serve_reply_made_json);
        return;
    case SERVE_ROUTE_WORK:
        serve_work_run(request);
        return;
    case SERVE_ROUTE_LIVE:
        serve_live_run(request);
        return;
    case SERVE_ROUTE_MANIFEST:
    case SERVE_ROUTE_OFFER:
    case SERVE_ROUTE_HLS:
        serve_resource_run(request);
        return;
    case SERVE_ROUTE_TIP:
    case SERVE_ROUTE_GENESIS:
    case SERVE_ROUTE_ACCOUNT:
    case SERVE_ROUTE_TRANSACTIONS:
    case SERVE_ROUTE_TRANSACTION:
    case SERVE_ROUTE_PROOF:
    case SERVE_ROUTE_HEADERS:
    case SERVE_ROUTE_POOL:
        serve_ledger_run(request);
        return;
    }
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The door of monitor, floor 5: the control port (JSON API, server-sent events, /metrics, pages).
 * It knows no module: all it shows comes through the callbacks it is given. */
#ifndef RR_MONITOR_H
#define RR_MONITOR_H
#include "base/base.h"

struct rr_monitor;
/* One request to the API. All views are borrowed for the call. */
struct rr_monitor_request {
    const char *method; /* "GET" or "POST" */
    const char *path;   /* after "/api/v1/", e.g. "jobs/0123" */
    /* Query argument by name, NULL when absent; valid during the call. */
    const char *(*argument)(const struct rr_monitor_request *request, const char *name);
    const char *body_path; /* POST: file that holds the body; the callee may rename it away */
    uint64_t body_bytes;
    void *connection; /* private to monitor */
};
struct rr_monitor_options {
    const char *address;
    uint16_t port;             /* 0: any free one */
    const char *web_folder;    /* pages; NULL or absent: a line of text says so */
    const char *upload_folder; /* bodies are written here first */
    uint64_t upload_bytes_max;
    const char *token; /* bearer token for everything below /api and /metrics; copied */
    /* Answers a request: appends JSON to out. Called on a thread of monitor; may block for a while.
     * RR_ERR_NOTFOUND: 404, USAGE and FORMAT: 400, STATE, EXISTS, BUSY: 409, FUNDS: 402, LIMIT:
     * 413, FULL: 507, else 500; the fault's sentence is the answer then. */
    enum rr_err (*answer)(void *ctx, const struct rr_monitor_request *request, struct rr_buf *out,
                          struct rr_fault *fault);
    /* Appends to /metrics what has labels, behind the counters of base; NULL: nothing. As answer.
     */
    void (*metrics)(void *ctx, struct rr_buf *out);
    void *ctx;
};
/* Binds and starts. Port taken: RR_ERR_BUSY naming address and port. Options are borrowed until
 * stop. */
enum rr_err rr_monitor_start(struct rr_monitor **out, const struct rr_monitor_options *options,
                             struct rr_fault *fault) RR_MUST_USE;
void rr_monitor_stop(struct rr_monitor *monitor); /* NULL is fine */
uint16_t rr_monitor_port(const struct rr_monitor *monitor);
/* Sends one event ("data: <json>") to every open /api/v1/events stream. A slow reader skips to the
 * newest. Any thread. */
void rr_monitor_publish(struct rr_monitor *monitor, struct rr_slice json);
#endif

/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef RR_DAEMON_API_H
#define RR_DAEMON_API_H
#include "daemon/daemon_rig.h"

#include <jansson.h>

/* Answers one request of the control port (docs/api.md); ctx is the rig. As in monitor.h. */
enum rr_err daemon_api_answer(void *ctx, const struct rr_monitor_request *request,
                              struct rr_buf *out, struct rr_fault *fault);
/* Appends what /api/v1/status shows: the whole rig in one object. */
void daemon_api_snapshot(struct rr_rig *rig, struct rr_buf *out);

/* Appends the metrics that have labels; ctx is the rig. */
void daemon_api_metrics(void *ctx, struct rr_buf *out);

/* Views (daemon_views.c): new references. Amounts are decimal strings of coins, hashes lower-case
 * hex. */
json_t *daemon_view_status(struct rr_rig *rig);
json_t *daemon_view_jobs(struct rr_rig *rig);
json_t *daemon_view_job(struct rr_rig *rig, const char *handle); /* NULL: no such job */
json_t *daemon_view_chain(struct rr_rig *rig, uint64_t count);   /* newest blocks first */
json_t *daemon_view_block(struct rr_rig *rig, uint64_t height);  /* NULL: no such block */
json_t *daemon_view_pools(struct rr_rig *rig);
json_t *daemon_view_pool(struct rr_rig *rig,
                         const struct rr_hash32 *pool_id); /* NULL: not on the ledger */
json_t *daemon_view_wallet(struct rr_rig *rig);
json_t *daemon_view_store(struct rr_rig *rig);
/* Objects of a resource with the paths of their shards. */
enum rr_err daemon_view_objects(struct rr_rig *rig, const struct rr_hash32 *resource_id,
                                json_t **out, struct rr_fault *fault) RR_MUST_USE;
json_t *daemon_json_hash(const void *bytes, size_t len);
json_t *daemon_json_coin(struct rr_coin coin);
#endif

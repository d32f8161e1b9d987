/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The rig's engine in the service of others' mining pools. */
#ifndef RR_DAEMON_MINING_POOL_H
#define RR_DAEMON_MINING_POOL_H
#include "base/base.h"

#include <jansson.h>

#define MINING_POOL_URLS 16 /* as many as the client takes */

struct rr_rig;
struct daemon_mining_pool;

struct mining_pool_settings {
    uint32_t url_count; /* 0: off */
    char urls[MINING_POOL_URLS][320];
    char user[97], password[97], ca[256], fingerprint[97];
    uint32_t epoch_blocks; /* of a chain of standard epochs; 0: this rig's network */
    uint32_t response_ms, work_ms, return_ms;
};
/* Section [mining_pool]. RR_ERR_FORMAT with the key. */
enum rr_err daemon_mining_pool_settings(struct mining_pool_settings *out,
                                        const struct rr_config *config,
                                        struct rr_fault *fault) RR_MUST_USE;

/* Loop thread. *out owned (stop), NULL when it is off. Uses rig->engine, which must be there. */
enum rr_err daemon_mining_pool_start(struct daemon_mining_pool **out, struct rr_rig *rig,
                                     struct rr_fault *fault) RR_MUST_USE;
/* Loop thread or after the loop returned, before the engine is freed. NULL is fine. */
void daemon_mining_pool_stop(struct daemon_mining_pool *pool);
void daemon_mining_pool_free(struct daemon_mining_pool *pool); /* after the last status */
/* What the status shows; {"on": false} when it is NULL or stopped. New reference. Any thread. */
json_t *daemon_mining_pool_json(struct daemon_mining_pool *pool);
#endif

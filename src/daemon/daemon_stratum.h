/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Other miners on this rig's blocks (the rig as a mining pool). */
#ifndef RR_DAEMON_STRATUM_H
#define RR_DAEMON_STRATUM_H
#include "base/base.h"

#include <jansson.h>

struct rr_rig;
struct daemon_stratum;

struct stratum_settings {
    char listen[64]; /* empty: off */
    uint16_t port;
    char certificate[256], key[256], password[97];
    uint64_t share_difficulty;
    uint32_t share_ms, connections_max, lines_per_s, ban_ms;
};
/* Section [stratum]. RR_ERR_FORMAT with the key. */
enum rr_err daemon_stratum_settings(struct stratum_settings *out, const struct rr_config *config,
                                    struct rr_fault *fault) RR_MUST_USE;

/* Loop thread. *out owned (stop), NULL when it is off. */
enum rr_err daemon_stratum_start(struct daemon_stratum **out, struct rr_rig *rig,
                                 struct rr_fault *fault) RR_MUST_USE;
/* Loop thread or after the loop returned; when nobody else appends any more, and before what a new
 * block wakes is gone. NULL is fine. */
void daemon_stratum_stop(struct daemon_stratum *stratum);
void daemon_stratum_free(struct daemon_stratum *stratum); /* after stop and the last status */
/* What the status shows; {"on": false} when it is NULL or stopped. New reference. Any thread. */
json_t *daemon_stratum_json(struct daemon_stratum *stratum);
#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A build without libnats. */
#include "dispatch/dispatch.h"

static enum rr_err missing(struct rr_fault *fault)
{
    return rr_fail(fault, RR_ERR_UNSUPPORTED,
                   "this build has no NATS; install libnats-dev and build again");
}

bool rr_dispatch_nats_built(void)
{
    return false;
}

enum rr_err rr_dispatch_nats_open(struct rr_dispatch_nats **out,
                                  const struct rr_dispatch_nats_options *options,
                                  struct rr_fault *fault)
{
    (void)out;
    (void)options;
    return missing(fault);
}

void rr_dispatch_nats_close(struct rr_dispatch_nats *nats)
{
    (void)nats;
}

struct rr_dispatch_queue rr_dispatch_nats_queue(struct rr_dispatch_nats *nats)
{
    (void)nats;
    return (struct rr_dispatch_queue){0};
}

enum rr_err rr_dispatch_rig_run(struct rr_dispatch_nats *nats,
                                const struct rr_dispatch_rig_options *options,
                                struct rr_fault *fault)
{
    (void)nats;
    (void)options;
    return missing(fault);
}

enum rr_err rr_dispatch_nats_fleet(struct rr_dispatch_nats *nats, struct rr_buf *json,
                                   struct rr_fault *fault)
{
    (void)nats;
    (void)json;
    return missing(fault);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef RR_DAEMON_MINER_H
#define RR_DAEMON_MINER_H
#include "daemon/daemon_rig.h"

/* Thread body: builds templates with the certificates at hand, searches, appends; until
 * rig->stopping. ctx: the rig. */
void *daemon_miner_run(void *ctx);
/* A solved block to the ledger, its certificate sets beside it. Any thread; blocks. */
enum rr_err daemon_miner_append(struct rr_rig *rig, const struct rr_block *block,
                                const struct rr_certificate_set *sets, uint32_t set_count,
                                struct rr_fault *fault) RR_MUST_USE;
#endif

/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef RR_DAEMON_MINER_H
#define RR_DAEMON_MINER_H
#include "daemon/daemon_rig.h"

/* Thread body: builds templates with the certificates at hand, searches, appends; until
 * rig->stopping. A new tip ends a search at once, new certificates and transactions within a tenth
 * of a second. ctx: the rig. */
void *daemon_miner_run(void *ctx);
/* Certificates or transactions have come: for rr_till_on_certificates and rr_chain_on_waiting. ctx:
 * the rig. Any thread; does not block. */
void daemon_miner_new_body(void *ctx);
/* A solved block to the ledger, its certificate sets beside it. Any thread; blocks. RR_ERR_STATE:
 * another block of this height was first. */
enum rr_err daemon_miner_append(struct rr_rig *rig, const struct rr_block *block,
                                const struct rr_certificate_set *sets, uint32_t set_count,
                                struct rr_fault *fault) RR_MUST_USE;
#endif

/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef RR_DAEMON_MINER_H
#define RR_DAEMON_MINER_H
#include "daemon/daemon_rig.h"

/* Thread body: builds templates with the certificates at hand, searches, appends; until
 * rig->stopping. ctx: the rig. */
void *daemon_miner_run(void *ctx);
#endif

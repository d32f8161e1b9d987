/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The plain worker: no device, the narrow lock. */
#include "transcode/worker/worker.h"

const struct worker_profile worker_profile = {.lock_down = worker_lock_down,
                                              .self_test = worker_self_test};

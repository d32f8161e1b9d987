/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Private to loop. */
#ifndef RR_LOOP_PRIVATE_H
#define RR_LOOP_PRIVATE_H
#include "loop/loop.h"

#include <uv.h>

uv_loop_t *loop_uv(struct rr_loop *loop);
#endif

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Tasks and answers from the network: what is read is written again to the same bytes, and names
 * and counts stay within their limits. First byte: which. */
#include "dispatch/dispatch.h"
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void try_task(struct rr_slice body)
{
    struct rr_dispatch_task *task = rr_alloc(sizeof *task);
    struct rr_buf again = {0};
    if (rr_dispatch_task_read(task, body, NULL) == RR_OK) {
        rr_dispatch_task_write(&again, task);
        RR_CHECK(rr_slice_equal(body, rr_buf_slice(&again)));
        RR_CHECK(task->avoid_count <= RR_DISPATCH_AVOID_MAX);
        for (unsigned i = 0; i < task->avoid_count; i++) {
            RR_CHECK(rr_dispatch_name_good(task->avoid[i]));
        }
        RR_CHECK(task->plan.len <= RR_DISPATCH_PLAN_BYTES);
        rr_dispatch_task_clear(task);
    }
    rr_buf_clear(&again);
    rr_free(task);
}

static void try_answer(struct rr_slice body)
{
    struct rr_dispatch_answer answer;
    struct rr_buf again = {0};
    if (rr_dispatch_answer_read(&answer, body, NULL) == RR_OK) {
        rr_dispatch_answer_write(&again, &answer);
        RR_CHECK(rr_slice_equal(body, rr_buf_slice(&again)));
        RR_CHECK(rr_dispatch_name_good(answer.rig) && answer.pieces <= answer.bytes);
        RR_CHECK(rr_err_text(answer.code) != NULL);
    }
    rr_buf_clear(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > 0 && data[0] % 2 == 0) {
        try_task(rr_slice_of(data + 1, size - 1));
    } else if (size > 0) {
        try_answer(rr_slice_of(data + 1, size - 1));
    }
    return 0;
}

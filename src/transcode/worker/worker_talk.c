/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The worker's end of the socket, and libav's errors as ours. */
#include "transcode/worker/worker.h"
#include <limits.h>
#include <malloc.h>
#include <unistd.h>

static void drop_fds(struct worker *worker)
{
    for (size_t i = 0; i < worker->fd_count; i++) {
        close(worker->fds[i]);
    }
    worker->fd_count = 0;
}

bool worker_receive(struct worker *worker)
{
    drop_fds(worker);
    return transcode_receive(worker->socket, &worker->message, worker->fds, &worker->fd_count) > 0;
}

uint8_t worker_kind(const struct worker *worker)
{
    return worker->message.ptr[0];
}

struct rr_slice worker_body(const struct worker *worker)
{
    return rr_slice_of(worker->message.ptr + 1, worker->message.len - 1);
}

void worker_send(struct worker *worker, struct rr_buf *message)
{
    if (!transcode_send(worker->socket, rr_buf_slice(message), NULL, 0)) {
        _exit(3);
    }
    rr_buf_clear(message);
}

enum rr_err worker_fail_av(struct rr_fault *fault, int averror, const char *what)
{
    char text[AV_ERROR_MAX_STRING_SIZE] = "";
    av_strerror(averror, text, sizeof text);
    enum rr_err code = averror == AVERROR(ENOMEM)   ? RR_ERR_MEMORY
                       : averror == AVERROR(ENOSPC) ? RR_ERR_FULL
                       : averror == AVERROR(EFBIG)  ? RR_ERR_FULL
                                                    : RR_ERR_FORMAT;
    return rr_fail(fault, code, "%s: %s", what, text);
}

void worker_keep_memory(void)
{
    mallopt(M_MMAP_THRESHOLD, 32 << 20); /* the most that glibc takes */
    mallopt(M_TRIM_THRESHOLD, INT_MAX);
}

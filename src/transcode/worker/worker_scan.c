/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The video's packets without their pictures: digest, time and whether decoding may begin there,
 * for whoever cuts a job into shards. */
#include "transcode/worker/worker.h"
#include <string.h>
#include <unistd.h>

#define PIECE_NOTES 4096u

struct scan {
    struct worker_input input;
    AVPacket *packet;
    struct rr_buf notes;
    uint64_t written;
    uint32_t packets;
    int out_fd;
};

static enum rr_err flush(struct scan *scan, struct rr_fault *fault)
{
    enum rr_err err =
        rr_pwrite_full(scan->out_fd, scan->notes.ptr, scan->notes.len, scan->written, fault);
    scan->written += scan->notes.len;
    scan->notes.len = 0;
    return err;
}

static enum rr_err note(struct scan *scan, struct rr_fault *fault)
{
    struct rr_hash32 digest;
    int64_t pts = scan->packet->pts != AV_NOPTS_VALUE ? scan->packet->pts : INT64_MIN;
    if (scan->packets == TRANSCODE_SCAN_MAX) {
        return rr_fail(fault, RR_ERR_LIMIT, "more than %u packets of video; cut the input",
                       TRANSCODE_SCAN_MAX);
    }
    worker_packet_digest(&digest, scan->packet);
    rr_buf_append(&scan->notes, digest.bytes, sizeof digest.bytes);
    rr_write_u64(&scan->notes, (uint64_t)pts);
    rr_write_u8(&scan->notes, (scan->packet->flags & AV_PKT_FLAG_KEY) != 0);
    scan->packets++;
    return scan->notes.len >= PIECE_NOTES * TRANSCODE_SCAN_NOTE ? flush(scan, fault) : RR_OK;
}

static enum rr_err run(struct scan *scan, struct worker *worker, int source_fd, int stream,
                       struct rr_fault *fault)
{
    struct rr_buf message = {0};
    enum rr_err err = worker_input_open(&scan->input, source_fd, fault);
    scan->packet = av_packet_alloc();
    if (err == RR_OK && scan->packet == NULL) {
        err = rr_fail(fault, RR_ERR_MEMORY, "no memory for packets");
    }
    while (err == RR_OK && worker_input_read(&scan->input, scan->packet) >= 0) {
        if (scan->packet->stream_index == stream) {
            err = note(scan, fault);
        }
        av_packet_unref(scan->packet);
    }
    err = err != RR_OK ? err : flush(scan, fault);
    if (err == RR_OK) {
        struct transcode_scanned scanned = {.packets = scan->packets};
        transcode_encode_message(&message, TRANSCODE_SCANNED, scanned, &scanned);
        worker_send(worker, &message);
    }
    return err;
}

enum rr_err worker_scan(struct worker *worker, struct rr_fault *fault)
{
    struct transcode_scan *ask = rr_alloc(sizeof *ask);
    struct scan scan = {0};
    enum rr_err err;
    if (worker->fd_count != 2 || !transcode_decode_message(worker_body(worker), scan, ask)) {
        err = rr_fail(fault, RR_ERR_USAGE, "a scan that does not follow its form");
    } else {
        scan.out_fd = worker->fds[1];
        err = run(&scan, worker, worker->fds[0], ask->plan.video_stream, fault);
    }
    av_packet_free(&scan.packet);
    worker_input_close(&scan.input);
    rr_buf_clear(&scan.notes);
    rr_free(ask);
    return err;
}

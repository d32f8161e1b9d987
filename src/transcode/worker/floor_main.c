/* SPDX-License-Identifier: GPL-2.0-or-later */
/* reelrig-floor: the same libav calls as a job's, in one process, one thread, without sandbox,
 * messages, journal, shared memory and containers. What it takes is what the work itself takes; the
 * bench holds the product against it. Reads only clips that the bench names. */
#include "crypto/crypto.h"
#include "transcode/transcode_private.h"
#include "transcode/worker/worker.h"
#include <errno.h>
#include <fcntl.h>
#include <libavutil/log.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

struct floor {
    struct transcode_plan plan;
    struct worker_input input;
    AVCodecContext *decoder;
    AVPacket *packet;
    AVFrame *frame;
    struct worker_scale *scale;
    uint8_t *pictures[RR_RUNGS_MAX]; /* of the GOP that fills */
    uint32_t room;
    int64_t pts[TRANSCODE_FRAMES_MAX];
    uint32_t count, cell;
    struct transcode_encode *task;
    struct transcode_packets *packets;
    double source_s; /* decode and scale, of the whole clip */
    struct rr_buf rows;
    uint64_t frames, bytes;
};

const struct worker_profile worker_profile; /* no device */

static double cpu_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static enum rr_err end_gop(struct floor *run, struct rr_fault *fault)
{
    enum rr_err err = RR_OK;
    for (unsigned rung = 0; rung < run->plan.rung_count && err == RR_OK && run->count > 0; rung++) {
        struct rr_buf coded = {0};
        double start = cpu_seconds();
        transcode_encode_task(run->task, &run->plan, rung, run->pts, run->count);
        err = worker_encode_pictures(run->packets, &coded, run->task, run->pictures[rung], fault);
        rr_buf_format(&run->rows, "%s{\"gop\":%u,\"rung\":%u,\"cpu_s\":%.6f,\"bytes\":%zu}",
                      run->rows.len > 0 ? "," : "", (unsigned)run->cell, rung,
                      cpu_seconds() - start, coded.len);
        run->bytes += coded.len;
        rr_buf_clear(&coded);
    }
    run->frames += run->count;
    run->count = 0;
    return err;
}

static enum rr_err add_picture(struct floor *run, int64_t pts, struct rr_fault *fault)
{
    uint8_t *out[RR_RUNGS_MAX] = {0};
    if (run->count == TRANSCODE_FRAMES_MAX) {
        return rr_fail(fault, RR_ERR_LIMIT, "more than %d pictures in a GOP", TRANSCODE_FRAMES_MAX);
    }
    if (run->count == run->room) {
        run->room += 64;
        for (unsigned rung = 0; rung < run->plan.rung_count; rung++) {
            uint64_t bytes = transcode_frame_bytes(&run->plan, &run->plan.rungs[rung]);
            uint8_t *grown = rr_alloc_aligned((size_t)(bytes * run->room));
            if (run->count > 0) {
                memcpy(grown, run->pictures[rung], (size_t)(bytes * run->count));
            }
            rr_free(run->pictures[rung]);
            run->pictures[rung] = grown;
        }
    }
    for (unsigned rung = 0; rung < run->plan.rung_count; rung++) {
        out[rung] = run->pictures[rung] +
                    transcode_frame_bytes(&run->plan, &run->plan.rungs[rung]) * run->count;
    }
    run->pts[run->count++] = pts;
    return worker_scale_frame(run->scale, out, run->frame, fault);
}

/* Pictures of a clean clip only: a bench does not conceal. */
static enum rr_err decode(struct floor *run, const AVPacket *packet, struct rr_fault *fault)
{
    enum rr_err err = RR_OK;
    double start = cpu_seconds();
    int rc = avcodec_send_packet(run->decoder, packet);
    while (rc >= 0 && err == RR_OK && (rc = avcodec_receive_frame(run->decoder, run->frame)) >= 0) {
        int64_t pts = run->frame->pts;
        if (pts == AV_NOPTS_VALUE || pts < run->plan.first_pts) {
            continue;
        }
        uint32_t cell = transcode_cell(&run->plan, pts);
        if (run->count > 0 && cell != run->cell) {
            run->source_s += cpu_seconds() - start;
            err = end_gop(run, fault);
            start = cpu_seconds();
        }
        run->cell = cell;
        err = err != RR_OK ? err : add_picture(run, pts, fault);
        av_frame_unref(run->frame);
    }
    run->source_s += cpu_seconds() - start;
    if (err == RR_OK && rc < 0 && rc != AVERROR(EAGAIN) && rc != AVERROR_EOF) {
        err = worker_fail_av(fault, rc, "the clip does not decode");
    }
    return err;
}

static enum rr_err run_all(struct floor *run, int fd, struct rr_fault *fault)
{
    enum rr_err err = worker_input_open(&run->input, fd, fault);
    err = err != RR_OK
              ? err
              : worker_decoder_open(&run->decoder,
                                    run->input.format->streams[run->plan.video_stream], fault);
    run->packet = av_packet_alloc();
    run->frame = av_frame_alloc();
    run->scale = worker_scale_new(&run->plan);
    while (err == RR_OK && worker_input_read(&run->input, run->packet) >= 0) {
        if (run->packet->stream_index == run->plan.video_stream) {
            err = decode(run, run->packet, fault);
        }
        av_packet_unref(run->packet);
    }
    err = err != RR_OK ? err : decode(run, NULL, fault);
    return err != RR_OK ? err : end_gop(run, fault);
}

/* The plan as a job would make it: the probe's answer comes through a socket to ourselves. */
static enum rr_err make_plan(struct transcode_plan *plan, int fd,
                             const struct rr_transcode_options *options, struct rr_fault *fault)
{
    int pair[2], fds[TRANSCODE_FDS_MAX];
    size_t fd_count = 0;
    struct transcode_facts *facts = rr_alloc(sizeof *facts);
    struct rr_transcode_options fit;
    struct transcode_probe ask = {0};
    struct rr_buf message = {0};
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0) {
        rr_free(facts);
        return rr_fail_errno(fault, "no socket");
    }
    struct worker worker = {.socket = pair[0]};
    transcode_encode_message(&message, TRANSCODE_PROBE, probe, &ask);
    enum rr_err err = transcode_options_fit(&fit, options, fault);
    if (err == RR_OK &&
        (!transcode_send(pair[1], rr_buf_slice(&message), &fd, 1) || !worker_receive(&worker))) {
        err = rr_fail_errno(fault, "no probe");
    }
    err = err != RR_OK ? err : worker_probe(&worker, fault);
    if (err == RR_OK &&
        (transcode_receive(pair[1], &message, fds, &fd_count) <= 0 ||
         !transcode_decode_message(rr_slice_of(message.ptr + 1, message.len - 1), facts, facts))) {
        err = rr_fail(fault, RR_ERR_DAMAGED, "the probe's answer does not follow its form");
    }
    err = err != RR_OK ? err : transcode_plan_make(plan, facts, &fit, fault);
    if (err == RR_OK && plan->video_stream < 0) {
        err = rr_fail(fault, RR_ERR_FORMAT, "the clip has no video");
    }
    rr_buf_clear(&message);
    rr_buf_clear(&worker.message);
    close(pair[0]);
    close(pair[1]);
    rr_free(facts);
    return err;
}

static int report(const struct floor *run, enum rr_err err, const struct rr_fault *fault)
{
    if (err != RR_OK) {
        fprintf(stderr, "reelrig-floor: %s\n", fault->text);
        return 1;
    }
    dprintf(STDOUT_FILENO,
            "{\"frames\":%llu,\"bytes\":%llu,\"source_s\":%.6f,\"cpu_s\":%.6f,\"tasks\":[%.*s]}\n",
            (unsigned long long)run->frames, (unsigned long long)run->bytes, run->source_s,
            cpu_seconds(), (int)run->rows.len, (const char *)run->rows.ptr);
    return 0;
}

/* reelrig-floor CLIP LADDER CODEC PRESET CRF GOP_MS */
int main(int argc, char **argv)
{
    struct rr_fault fault = {0};
    struct rr_transcode_options options = {0};
    if (argc != 7 || !rr_codec_parse(&options.codec, argv[3])) {
        fprintf(stderr, "usage: reelrig-floor CLIP LADDER CODEC PRESET CRF GOP_MS\n");
        return 2;
    }
    options.preset = argv[4];
    options.crf = (uint16_t)strtoul(argv[5], NULL, 10);
    options.gop_ms = (uint32_t)strtoul(argv[6], NULL, 10);
    struct floor *run = rr_alloc(sizeof *run);
    int fd = open(argv[1], O_RDONLY | O_CLOEXEC);
    worker_keep_memory();
    setenv("SVT_LOG", "-1", 1);
    av_log_set_level(AV_LOG_QUIET);
    rr_crypto_init();
    run->task = rr_alloc(sizeof *run->task);
    run->packets = rr_alloc(sizeof *run->packets);
    enum rr_err err = fd >= 0 ? rr_ladder_parse(&options.ladder, argv[2], &fault)
                              : rr_fail_errno(&fault, "%.200s cannot be opened", argv[1]);
    int probe_fd = fd >= 0 ? fcntl(fd, F_DUPFD_CLOEXEC, 0) : -1;
    err = err != RR_OK ? err : make_plan(&run->plan, fd, &options, &fault);
    err = err != RR_OK ? err : run_all(run, probe_fd, &fault);
    int status = report(run, err, &fault);
    for (unsigned rung = 0; rung < RR_RUNGS_MAX; rung++) {
        rr_free(run->pictures[rung]);
    }
    worker_scale_free(run->scale);
    av_packet_free(&run->packet);
    av_frame_free(&run->frame);
    avcodec_free_context(&run->decoder);
    worker_input_close(&run->input);
    rr_buf_clear(&run->rows);
    rr_free(run->task);
    rr_free(run->packets);
    rr_free(run);
    return status;
}

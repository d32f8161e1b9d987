/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a video costs at some sizes: short pieces of it, spread over its length, through H.264 at
 * one quality. The places, the decoder and the encoder are those of a job, so the figures are the
 * same on every machine. */
#include "transcode/worker/worker.h"

/* Long enough that key pictures and the rest can be told apart; few enough that 1080p is a matter
 * of seconds (measured: 6 to 8 s of one core for 1080p24). */
#define PIECES       5
#define PIECE_FRAMES 16
#define SKIP_MAX     48 /* pictures decoded between a key picture and the piece */

struct measure {
    struct transcode_measure *ask;
    struct worker_input input;
    AVCodecContext *decoder;
    AVPacket *packet;
    AVFrame *frame;
    struct worker_scale *scale;
    uint8_t *pictures[RR_RUNGS_MAX]; /* of one piece */
    struct transcode_encode *task;
    struct transcode_packets *packets;
    struct transcode_measured made;
    int64_t from;           /* presentation time of the piece */
    uint32_t taken, passed; /* pictures of it, and before it */
};

static enum rr_err take_picture(struct measure *measure, struct rr_fault *fault)
{
    const struct transcode_plan *plan = &measure->ask->plan;
    int64_t pts = measure->frame->best_effort_timestamp;
    uint8_t *out[RR_RUNGS_MAX] = {0};
    if (measure->taken == 0 && pts != AV_NOPTS_VALUE && pts < measure->from &&
        measure->passed++ < SKIP_MAX) {
        return RR_OK;
    }
    for (unsigned i = 0; i < plan->rung_count; i++) {
        out[i] =
            measure->pictures[i] + transcode_frame_bytes(plan, &plan->rungs[i]) * measure->taken;
    }
    enum rr_err err = worker_scale_frame(measure->scale, out, measure->frame, fault);
    measure->taken += err == RR_OK ? 1 : 0;
    return err;
}

/* Damage is passed over: this is a guess at a cost. NULL packet: the end. */
static enum rr_err decode(struct measure *measure, const AVPacket *packet, struct rr_fault *fault)
{
    enum rr_err err = RR_OK;
    (void)avcodec_send_packet(measure->decoder, packet);
    while (err == RR_OK && measure->taken < PIECE_FRAMES &&
           avcodec_receive_frame(measure->decoder, measure->frame) >= 0) {
        err = take_picture(measure, fault);
        av_frame_unref(measure->frame);
    }
    return err;
}

static enum rr_err read_piece(struct measure *measure, struct rr_fault *fault)
{
    enum rr_err err = RR_OK;
    int stream = measure->ask->plan.video_stream;
    measure->taken = measure->passed = 0;
    /* A container that cannot seek goes on where it is. */
    (void)av_seek_frame(measure->input.format, stream, measure->from, AVSEEK_FLAG_BACKWARD);
    avcodec_flush_buffers(measure->decoder);
    while (err == RR_OK && measure->taken < PIECE_FRAMES &&
           av_read_frame(measure->input.format, measure->packet) >= 0) {
        if (measure->packet->stream_index == stream) {
            err = decode(measure, measure->packet, fault);
        }
        av_packet_unref(measure->packet);
    }
    return err == RR_OK && measure->taken < PIECE_FRAMES ? decode(measure, NULL, fault) : err;
}

static enum rr_err encode_piece(struct measure *measure, struct rr_fault *fault)
{
    const struct transcode_plan *plan = &measure->ask->plan;
    struct transcode_encode *task = measure->task;
    enum rr_err err = RR_OK;
    int64_t step = transcode_rescale(plan->timescale, plan->fps_den, plan->fps_num);
    for (unsigned rung = 0; rung < plan->rung_count && err == RR_OK; rung++) {
        struct rr_buf bytes = {0};
        struct transcode_measured_rung *to = &measure->made.rungs[rung];
        task->plan = *plan;
        task->rung = (uint8_t)rung;
        task->count = measure->taken;
        for (uint32_t i = 0; i < task->count; i++) {
            task->pts[i] = i * (step > 0 ? step : 1);
        }
        err =
            worker_encode_pictures(measure->packets, &bytes, task, measure->pictures[rung], fault);
        for (uint32_t i = 0; i < measure->packets->count && err == RR_OK; i++) {
            *(i == 0 ? &to->key_bytes : &to->other_bytes) += measure->packets->packets[i].bytes;
        }
        rr_buf_clear(&bytes);
    }
    measure->made.pieces++;
    measure->made.others += measure->taken - 1;
    return err;
}

static enum rr_err run(struct measure *measure, struct rr_fault *fault)
{
    const struct transcode_plan *plan = &measure->ask->plan;
    int stream = plan->video_stream;
    if (stream < 0 || stream >= (int)measure->input.format->nb_streams) {
        return rr_fail(fault, RR_ERR_USAGE, "the plan names stream %d of %u", stream,
                       measure->input.format->nb_streams);
    }
    enum rr_err err =
        worker_decoder_open(&measure->decoder, measure->input.format->streams[stream], fault);
    measure->packet = av_packet_alloc();
    measure->frame = av_frame_alloc();
    if (err == RR_OK && (measure->packet == NULL || measure->frame == NULL)) {
        err = rr_fail(fault, RR_ERR_MEMORY, "no memory for packets");
    }
    measure->made.rung_count = plan->rung_count;
    measure->scale = worker_scale_new(plan);
    for (unsigned i = 0; i < plan->rung_count; i++) {
        measure->pictures[i] =
            rr_alloc_aligned((size_t)(transcode_frame_bytes(plan, &plan->rungs[i]) * PIECE_FRAMES));
    }
    int64_t length =
        transcode_rescale(measure->ask->duration_us, plan->tb_den, (int64_t)plan->tb_num * 1000000);
    for (int64_t i = 0; i < PIECES && err == RR_OK; i++) {
        measure->from = plan->first_pts + length * (2 * i + 1) / (2 * PIECES);
        err = read_piece(measure, fault);
        if (err == RR_OK && measure->taken > 1) {
            err = encode_piece(measure, fault);
        }
    }
    if (err == RR_OK && measure->made.pieces == 0) { /* one or two pictures in all */
        measure->from = plan->first_pts;
        err = read_piece(measure, fault);
        if (err == RR_OK && measure->taken > 0) {
            err = encode_piece(measure, fault);
        }
    }
    return err;
}

enum rr_err worker_measure(struct worker *worker, struct rr_fault *fault)
{
    struct measure measure = {.ask = rr_alloc(sizeof *measure.ask),
                              .task = rr_alloc(sizeof *measure.task),
                              .packets = rr_alloc(sizeof *measure.packets)};
    struct rr_buf message = {0};
    enum rr_err err;
    if (worker->fd_count != 1 ||
        !transcode_decode_message(worker_body(worker), measure, measure.ask)) {
        err = rr_fail(fault, RR_ERR_USAGE, "a measure task that does not follow its form");
    } else {
        err = worker_input_open(&measure.input, worker->fds[0], fault);
        err = err != RR_OK ? err : run(&measure, fault);
    }
    worker_scale_free(measure.scale);
    for (unsigned i = 0; i < RR_RUNGS_MAX; i++) {
        rr_free(measure.pictures[i]);
    }
    av_packet_free(&measure.packet);
    av_frame_free(&measure.frame);
    avcodec_free_context(&measure.decoder);
    worker_input_close(&measure.input);
    if (err == RR_OK) {
        transcode_encode_message(&message, TRANSCODE_MEASURED, measured, &measure.made);
        worker_send(worker, &message);
    }
    rr_free(measure.packets);
    rr_free(measure.task);
    rr_free(measure.ask);
    return err;
}

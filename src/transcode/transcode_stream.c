/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Encoders that begin with a GOP while the source still decodes it, picture by picture, as live
 * does: when a job begins there is nothing else for them. Only what needs nothing of the GOP as a
 * whole, so that its bytes are those of the whole GOP given at once. */
#include "transcode/transcode_live_proto.h"
#include "transcode/transcode_scheduler.h"
#include <string.h>

#define AHEAD 4 /* pictures that an encoder has been given and not answered */

/* A limited rung is encoded again where its GOP is too large, and asks for its length first. */
static bool may_stream(const struct transcode_scheduler *plan, unsigned rung)
{
    const struct rr_rung_rate *rate = &plan->job->plan.rungs[rung].rate;
    return plan->granted_fds[rung] >= 0 && rate->kbps == 0 && rate->max_kbps == 0 &&
           (plan->granted_coded >> rung & 1) == 0 && transcode_device_maker(plan, rung) < 0;
}

static bool at_work(const struct transcode_scheduler *plan, unsigned rung)
{
    bool found = false;
    for (unsigned i = 0; i < plan->encoder_count; i++) {
        found |= plan->encoders[i].gop == plan->granted && plan->encoders[i].rung == rung;
    }
    return found;
}

bool transcode_stream_pick(const struct transcode_scheduler *plan, unsigned *rung_out)
{
    if (plan->granted == TRANSCODE_NO_TASK || plan->stream->count == 0) {
        return false;
    }
    for (unsigned rung = 0; rung < plan->job->plan.rung_count; rung++) {
        if (may_stream(plan, rung) && !at_work(plan, rung)) {
            *rung_out = rung; /* the largest comes first */
            return true;
        }
    }
    return false;
}

enum rr_err transcode_stream_feed(const struct transcode_scheduler *plan,
                                  struct transcode_encoder *encoder, struct rr_fault *fault)
{
    const struct transcode_job *job = plan->job;
    bool closed = encoder->gop != plan->granted;
    const struct transcode_gop_facts *facts = &job->gops[encoder->gop].facts;
    uint32_t count = closed ? facts->count : plan->stream->count;
    const int64_t *pts = closed ? facts->pts : plan->stream->pts;
    enum rr_err err = RR_OK;
    while (err == RR_OK && encoder->streams && encoder->waiting < AHEAD &&
           (encoder->sent < count || closed)) {
        struct transcode_picture picture = {.index = encoder->sent};
        struct rr_buf message = {0};
        if (encoder->sent < count) {
            picture.pts = (pts[encoder->sent] - pts[0]) * (int64_t)job->plan.ticks;
            encoder->sent++;
        } else {
            picture.last = 1;
            encoder->streams = false;
        }
        encoder->waiting++;
        transcode_encode_message(&message, TRANSCODE_PICTURE, picture, &picture);
        err = transcode_worker_ask(&encoder->worker, &message, NULL, 0,
                                   transcode_patience(&job->plan, count), fault);
    }
    return err;
}

enum rr_err transcode_stream_begin(struct transcode_scheduler *plan,
                                   struct transcode_encoder *encoder, unsigned rung,
                                   struct rr_fault *fault)
{
    struct rr_buf message = {0};
    int fds[2] = {plan->granted_fds[rung], encoder->out_fd};
    memset(plan->task, 0, sizeof *plan->task);
    plan->task->plan = plan->job->plan;
    plan->task->rung = (uint8_t)rung;
    transcode_encode_message(&message, TRANSCODE_ENCODE, encode, plan->task);
    encoder->gop = plan->granted;
    encoder->rung = rung;
    encoder->streams = true;
    encoder->sent = encoder->waiting = 0;
    enum rr_err err = transcode_worker_ask(&encoder->worker, &message, fds, 2,
                                           transcode_patience(&plan->job->plan, 1), fault);
    encoder->worker.deadline_us = 0; /* it waits for a picture first */
    return err != RR_OK ? err : transcode_stream_feed(plan, encoder, fault);
}

enum rr_err transcode_stream_serve(struct transcode_encoder *encoder, struct rr_fault *fault)
{
    if (encoder->waiting == 0) {
        return rr_fail(fault, RR_ERR_DAMAGED, "the encoder answered where nothing was asked");
    }
    encoder->waiting--;
    if (encoder->waiting > 0 || !encoder->streams) { /* more answers are due */
        encoder->worker.deadline_us =
            rr_monotonic_us(rr_clock_system()) + encoder->worker.seconds * UINT64_C(1000000);
    }
    return RR_OK;
}

enum rr_err transcode_stream_take(struct transcode_scheduler *plan, struct rr_fault *fault)
{
    const struct transcode_plan *made = &plan->job->plan;
    struct transcode_stream *stream = plan->stream;
    struct transcode_picture picture;
    if (plan->granted == TRANSCODE_NO_TASK || plan->granted_coded != 0 ||
        !transcode_decode_message(transcode_worker_body(&plan->source), picture, &picture) ||
        picture.index != stream->count || stream->count == TRANSCODE_FRAMES_MAX ||
        picture.pts < made->origin ||
        picture.pts - made->origin >= INT64_MAX / 4 / (int64_t)made->ticks ||
        (stream->count > 0 && picture.pts <= stream->pts[stream->count - 1])) {
        return rr_fail(fault, RR_ERR_DAMAGED,
                       "the source worker told a picture of GOP %u that does not follow the others",
                       (unsigned)plan->next_gop);
    }
    stream->pts[stream->count++] = picture.pts;
    return RR_OK;
}

bool transcode_stream_agrees(const struct transcode_scheduler *plan)
{
    const struct transcode_stream *stream = plan->stream;
    const struct transcode_gop *told = plan->told;
    return stream->count == 0 ||
           (stream->count == told->count &&
            memcmp(stream->pts, told->pts, sizeof *told->pts * told->count) == 0);
}

void transcode_stream_drop(struct transcode_scheduler *plan)
{
    for (unsigned i = 0; i < plan->encoder_count; i++) {
        struct transcode_encoder *encoder = &plan->encoders[i];
        if (encoder->streams && encoder->gop == plan->granted) {
            transcode_worker_stop(&encoder->worker);
            encoder->gop = TRANSCODE_NO_TASK;
            encoder->streams = false;
            encoder->waiting = 0;
        }
    }
    plan->stream->count = 0;
}

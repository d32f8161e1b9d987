/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One publisher after the other through the workers, and the loop that serves them all. */
#include "transcode/transcode_live_private.h"
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define TURN_MS     10
#define ASK_SECONDS 60

/* ---- a session ------------------------------------------------------------------------ */

/* The shape of the ladder stays as the first publisher made it. */
static enum rr_err keep_plan(struct live *live, const struct transcode_facts *facts,
                             struct rr_fault *fault)
{
    struct transcode_plan plan;
    enum rr_err err = transcode_plan_make(&plan, facts, &live->options, fault);
    if (err != RR_OK) {
        return err;
    }
    if (facts->video_stream < 0) {
        return rr_fail(fault, RR_ERR_UNSUPPORTED,
                       "the stream has no pictures, and live needs some");
    }
    plan.audio_count = plan.audio_count > 1 ? 1 : plan.audio_count; /* live carries one sound */
    plan.audio[0].flags = 0;
    plan.subtitle_count = 0;
    if (!live->planned) {
        live->plan = plan;
        return RR_OK;
    }
    if (plan.tb_num != live->plan.tb_num || plan.tb_den != live->plan.tb_den) {
        return rr_fail(fault, RR_ERR_UNSUPPORTED,
                       "the publisher came back with another time base (%d/%d, was %d/%d)",
                       plan.tb_num, plan.tb_den, live->plan.tb_num, live->plan.tb_den);
    }
    live->plan.video_stream = plan.video_stream;
    live->plan.audio_count = plan.audio_count;
    live->plan.audio[0] = plan.audio[0];
    live->plan.first_pts = plan.first_pts;
    live->plan.origin = plan.origin;
    live->plan.orientation = plan.orientation;
    return RR_OK;
}

/* Whole pictures in a part, and a little room for rounded times: parts are to fill 85 % at least.
 */
static uint32_t part_us_of(const struct live *live)
{
    uint64_t frames =
        (uint64_t)(live->part_ms + 1) * live->plan.fps_num / live->plan.fps_den / 1000;
    frames = frames < 1 ? 1 : frames;
    uint64_t us = frames * 1000000 * live->plan.fps_den / live->plan.fps_num;
    return (uint32_t)(us + us / 40);
}

static void tell_begin(struct live *live)
{
    struct rr_rendition *list = rr_alloc_array(RR_RUNGS_MAX + 1u, sizeof *list);
    const struct transcode_plan *plan = &live->plan;
    uint32_t count = 0;
    for (; count < plan->rung_count; count++) {
        list[count] = (struct rr_rendition){.kind = RR_RENDITION_VIDEO,
                                            .width = plan->rungs[count].width,
                                            .height = plan->rungs[count].height,
                                            .sar_num = plan->rungs[count].sar_num,
                                            .sar_den = plan->rungs[count].sar_den,
                                            .fps_num = plan->fps_num,
                                            .fps_den = plan->fps_den,
                                            .video_range = plan->transfer == 16   ? 1
                                                           : plan->transfer == 18 ? 2
                                                                                  : 0,
                                            .timescale = plan->timescale};
        transcode_rung_name(list[count].name, plan, count);
    }
    if (live->sound.wanted) {
        list[count] = (struct rr_rendition){.kind = RR_RENDITION_AUDIO,
                                            .sar_num = 1,
                                            .sar_den = 1,
                                            .fps_den = 1,
                                            .channels = 2,
                                            .timescale = 48000,
                                            .sample_rate = 48000};
        transcode_rung_name(list[count++].name, plan, TRANSCODE_AUDIO_RUNG);
    }
    live->sink->begin(live->sink->ctx, list, count, live->part_us);
    rr_free(list);
}

static enum rr_err ask_source(struct live *live, struct rr_fault *fault)
{
    struct transcode_source *ask = rr_alloc(sizeof *ask);
    struct rr_buf message = {0};
    int fds[2] = {live->input.spool, live->input.readers[0]};
    ask->plan = live->plan;
    enum rr_err err = transcode_worker_start(&live->source, live->program, false, fault);
    if (err == RR_OK) {
        transcode_encode_message(&message, TRANSCODE_SOURCE, source, ask);
        err = transcode_worker_ask(&live->source, &message, fds, 2, ASK_SECONDS, fault);
        live->source.deadline_us = 0;
        live->source_on = err == RR_OK;
        live->input.listens[0] = true;
    }
    rr_free(ask);
    return err;
}

static enum rr_err ask_sound(struct live *live, struct rr_fault *fault)
{
    struct transcode_audio *ask = rr_alloc(sizeof *ask);
    struct rr_buf message = {0};
    int fds[2] = {live->input.spool, live->input.readers[1]};
    ask->plan = live->plan;
    enum rr_err err = transcode_worker_start(&live->sound.worker, live->program, false, fault);
    if (err == RR_OK) {
        transcode_encode_message(&message, TRANSCODE_AUDIO, audio, ask);
        err = transcode_worker_ask(&live->sound.worker, &message, fds, 2, ASK_SECONDS, fault);
        live->sound.worker.deadline_us = 0;
        live->sound.on = err == RR_OK;
        live->input.listens[1] = true;
    }
    rr_free(ask);
    return err;
}

static enum rr_err begin_session(struct live *live, struct rr_fault *fault)
{
    struct transcode_facts *facts = rr_alloc(sizeof *facts);
    enum rr_err err = live_probe(live, facts, fault);
    err = err != RR_OK ? err : keep_plan(live, facts, fault);
    rr_free(facts);
    if (err != RR_OK) {
        return err;
    }
    live->session = true;
    live->source_done = live->granted = false;
    live->session_us = live->lag_us = 0;
    live->base = live->out_end;
    live->jumped = live->planned;
    struct live_sound *sound = &live->sound;
    sound->frame = 0;
    sound->queued = sound->ready = 0;
    sound->bytes.len = 0;
    if (sound->known) {
        sound->base = transcode_rescale(live->base, sound->shape.sample_rate, live->plan.timescale);
    }
    if (!live->planned) {
        live->planned = true;
        live->part_us = part_us_of(live);
        sound->wanted = live->plan.audio_count > 0;
        tell_begin(live);
    }
    err = ask_source(live, fault);
    if (err == RR_OK && sound->wanted && live->plan.audio_count > 0) {
        err = ask_sound(live, fault);
    }
    return err;
}

static void end_workers(struct live *live)
{
    transcode_worker_stop(&live->source);
    transcode_worker_stop(&live->sound.worker);
    live->source_on = live->sound.on = live->granted = false;
}

/* A GOP that the source left open when it died ends where its last picture does. */
static void close_open_gop(struct live *live)
{
    struct live_gop *gop = live_gop_at(live, live->next - 1);
    if (live->next == live->first || gop->closed) {
        return;
    }
    int64_t step = transcode_rescale(live->plan.timescale, live->plan.fps_den, live->plan.fps_num);
    gop->closed = true;
    gop->end = gop->times[gop->count - 1] + (step > 0 ? step : 1);
    gop->rungs = 0; /* no encoder may be told that it ended well */
    for (unsigned i = 0; i < live->plan.rung_count; i++) {
        if (live->rungs[i].busy && live->rungs[i].gop == live->next - 1) {
            transcode_worker_stop(&live->rungs[i].worker);
            live->rungs[i].on = live->rungs[i].busy = false;
        }
    }
    live->out_end = gop->end;
}

/* Its bytes are looked at no more: the next publisher begins on a spool of its own. */
static void end_publisher(struct live *live)
{
    live_input_end(live);
    if (live->input.network) {
        live->input.state = LIVE_INPUT_IDLE; /* its end is still to be told */
    }
}

/* The stream of this publisher cannot go on; the next may. */
static void break_session(struct live *live, const struct rr_fault *fault)
{
    live_say(live, RR_LIVE_FAULT, "%.400s", fault->text);
    end_workers(live);
    close_open_gop(live);
    live->source_done = true;
    if (live->input.state == LIVE_INPUT_BEGAN) {
        end_publisher(live);
    }
}

/* ---- the loop ------------------------------------------------------------------------- */

static enum rr_err take_read(struct live *live, const struct transcode_worker *worker,
                             unsigned reader, struct rr_fault *fault)
{
    struct transcode_read read;
    if (!transcode_decode_message(transcode_worker_body(worker), read, &read)) {
        return rr_fail(fault, RR_ERR_DAMAGED, "the worker's words do not follow their form");
    }
    live_input_read(&live->input, reader, read.offset);
    return RR_OK;
}

static enum rr_err serve_source(struct live *live, struct rr_fault *fault)
{
    uint8_t kind = 0;
    enum rr_err err = transcode_worker_take(&live->source, &kind, fault);
    if (err != RR_OK) {
        return err;
    }
    switch (kind) {
    case TRANSCODE_READ:
        return take_read(live, &live->source, 0, fault);
    case TRANSCODE_PICTURE:
        return live_take_picture(live, fault);
    case TRANSCODE_GOP:
        return live_take_gop(live, fault);
    case TRANSCODE_END:
        live->source_done = true;
        live->source_on = live->granted = false;
        transcode_worker_stop(&live->source);
        live->input.listens[0] = false;
        return RR_OK;
    default:
        return rr_fail(fault, RR_ERR_DAMAGED, "the source worker answered with message %u", kind);
    }
}

/* Whatever happens to the sound, pictures go on without it. */
static void serve_sound(struct live *live, struct rr_fault *fault)
{
    uint8_t kind = 0;
    enum rr_err err = transcode_worker_take(&live->sound.worker, &kind, fault);
    bool more = err == RR_OK && (kind == TRANSCODE_READ || kind == TRANSCODE_SOUND_FRAME);
    if (more) {
        err = kind == TRANSCODE_READ ? take_read(live, &live->sound.worker, 1, fault)
                                     : live_take_sound(live, fault);
    } else if (err == RR_OK && kind != TRANSCODE_SOUND) {
        err = rr_fail(fault, RR_ERR_DAMAGED, "the sound worker answered with message %u", kind);
    }
    if (more && err == RR_OK) {
        return;
    }
    if (err != RR_OK) {
        live_say(live, RR_LIVE_FAULT, "the sound stops: %.300s", fault->text);
    }
    transcode_worker_stop(&live->sound.worker);
    live->sound.on = false;
    live->input.listens[1] = false;
}

static enum rr_err turn(struct live *live, struct rr_fault *fault)
{
    struct pollfd ready[3 + RR_RUNGS_MAX];
    enum rr_err err = RR_OK;
    bool room = live->sound.queued + 8 < RR_COUNT(live->sound.sizes);
    ready[0] = (struct pollfd){.fd = live->input.control, .events = POLLIN};
    ready[1] = (struct pollfd){.fd = live->source_on ? live->source.socket : -1, .events = POLLIN};
    ready[2] = (struct pollfd){.fd = live->sound.on && room ? live->sound.worker.socket : -1,
                               .events = POLLIN};
    for (unsigned i = 0; i < RR_RUNGS_MAX; i++) {
        ready[3 + i] = (struct pollfd){
            .fd = live->rungs[i].on && live->rungs[i].busy ? live->rungs[i].worker.socket : -1,
            .events = POLLIN};
    }
    if (poll(ready, 3 + RR_RUNGS_MAX, TURN_MS) < 0 && errno != EINTR) {
        return rr_fail_errno(fault, "waiting for workers failed");
    }
    if (ready[0].revents != 0) {
        err = live_input_hear(live, fault);
    }
    if (err == RR_OK && ready[1].revents != 0) {
        if (serve_source(live, fault) != RR_OK) {
            break_session(live, fault);
        }
    }
    if (err == RR_OK && ready[2].revents != 0 && live->sound.on) {
        serve_sound(live, fault);
    }
    for (unsigned i = 0; i < RR_RUNGS_MAX && err == RR_OK; i++) {
        if (ready[3 + i].revents != 0 && live->rungs[i].on && live->rungs[i].busy) {
            err = live_take_coded(live, i, fault);
        }
    }
    return err;
}

static enum rr_err end_hung(struct live *live, struct rr_fault *fault)
{
    uint64_t now_us = rr_monotonic_us(rr_clock_system());
    for (unsigned i = 0; i < live->plan.rung_count; i++) {
        struct live_rung *r = &live->rungs[i];
        if (r->on && r->busy && r->waiting > 0 && r->worker.deadline_us != 0 &&
            now_us > r->worker.deadline_us) {
            live_say(live, RR_LIVE_FAULT, "an encoder gave no answer within %u s and is ended",
                     r->worker.seconds);
            transcode_worker_stop(&r->worker);
            r->on = r->busy = false;
            live_gop_at(live, r->gop)->rungs &= (uint8_t) ~(1u << i);
        }
    }
    (void)fault;
    return RR_OK;
}

static enum rr_err work(struct live *live, struct rr_fault *fault)
{
    enum rr_err err = live_grant(live, fault);
    if (err == RR_ERR_UNREACHABLE) {
        break_session(live, fault);
        err = RR_OK;
    }
    for (unsigned i = 0; i < live->plan.rung_count && err == RR_OK; i++) {
        err = live_pump(live, i, fault);
    }
    bool all = live->source_done && !live->sound.on;
    err = err != RR_OK ? err : live_pack_sound(live, all, fault);
    live_recycle(live);
    return err != RR_OK ? err : end_hung(live, fault);
}

static bool drained(const struct live *live)
{
    return live->source_done && !live->sound.on && live->first == live->next;
}

static void end_session(struct live *live)
{
    live->session = false;
    end_workers(live);
    live->gone_us = rr_monotonic_us(rr_clock_system());
}

/* Waits for a publisher. *done: none will come. */
static enum rr_err wait_publisher(struct live *live, bool *done, struct rr_fault *fault)
{
    uint64_t now_us = rr_monotonic_us(rr_clock_system());
    if (live->stopping || (!live->input.network && live->planned)) {
        *done = true;
        return RR_OK;
    }
    if (live->input.state == LIVE_INPUT_ENDED) {
        enum rr_err err = live_input_arm(live, fault);
        if (err != RR_OK) {
            return err;
        }
    }
    if (live->input.state == LIVE_INPUT_BEGAN) {
        enum rr_err err = begin_session(live, fault);
        if (err == RR_ERR_CANCELLED || (err != RR_OK && live->input.network)) {
            if (err != RR_ERR_CANCELLED) {
                live_say(live, RR_LIVE_FAULT, "%.400s", fault->text);
            }
            end_session(live);
            live->source_done = true;
            if (live->input.state == LIVE_INPUT_BEGAN) {
                end_publisher(live);
            }
            return RR_OK;
        }
        return err;
    }
    if (live->planned && now_us - live->gone_us > live->grace_ms * UINT64_C(1000)) {
        *done = true;
        return RR_OK;
    }
    struct pollfd ready = {.fd = live->input.control, .events = POLLIN};
    if (poll(&ready, 1, TURN_MS) > 0) {
        return live_input_hear(live, fault);
    }
    return RR_OK;
}

static enum rr_err loop(struct live *live, struct rr_fault *fault)
{
    enum rr_err err = live_input_arm(live, fault);
    bool done = false;
    while (err == RR_OK && !done) {
        if (atomic_load(live->stop) && !live->stopping) {
            live->stopping = true;
            if (live->session && live->input.state == LIVE_INPUT_BEGAN) {
                live_input_end(live);
            }
        }
        live->sink->tick(live->sink->ctx);
        if (!live->session) {
            err = wait_publisher(live, &done, fault);
            continue;
        }
        live_input_look(live);
        err = turn(live, fault);
        err = err != RR_OK ? err : work(live, fault);
        if (err == RR_OK && drained(live)) {
            end_session(live);
        }
    }
    return err;
}

/* ---- the door ------------------------------------------------------------------------- */

static unsigned reorder_of(enum rr_codec codec)
{
    switch (codec) {
    case RR_CODEC_H264:
    case RR_CODEC_HEVC:
        return 2; /* pyramids of B pictures reach so far and no further */
    case RR_CODEC_AV1:
    case RR_CODEC_VP9:
        break; /* hidden pictures travel with shown ones */
    }
    return 0;
}

static struct live *live_new(const struct rr_live_options *options, const struct rr_live_sink *sink,
                             const atomic_bool *stop)
{
    struct live *live = rr_alloc(sizeof *live);
    live->given = options;
    live->sink = sink;
    live->stop = stop;
    live->part_ms = options->part_ms != 0 ? options->part_ms : 333;
    live->grace_ms = options->grace_ms != 0 ? options->grace_ms : 30000;
    live->quiet_ms = options->quiet_ms != 0 ? options->quiet_ms : 5000;
    live->fine_wait_us = UINT64_C(15) * 1000000;
    live->source.socket = live->sound.worker.socket = live->sound.mux.worker.socket = -1;
    live->sound.fd = live->sound.mux.fd = -1;
    live->sound.end = INT64_MIN;
    live->input =
        (struct live_input){.control = -1, .spool = -1, .wakes = {-1, -1}, .readers = {-1, -1}};
    for (unsigned i = 0; i < RR_RUNGS_MAX; i++) {
        struct live_rung *r = &live->rungs[i];
        r->worker.socket = r->mux.worker.socket = r->out_fd = r->mux.fd = -1;
        r->active = true;
        r->packets = rr_alloc(sizeof *r->packets);
        for (unsigned j = 0; j < LIVE_GOPS; j++) {
            live->gops[j].frames[i] = -1;
        }
    }
    for (unsigned i = 0; i < LIVE_REORDER_MAX; i++) {
        live->before[i] = INT64_MIN;
    }
    live->task = rr_alloc(sizeof *live->task);
    live->packets = rr_alloc(sizeof *live->packets);
    live->told = rr_alloc(sizeof *live->told);
    live->mux = rr_alloc(sizeof *live->mux);
    live->segment = rr_alloc(sizeof *live->segment);
    live->frame = rr_alloc(sizeof *live->frame);
    return live;
}

static void live_free(struct live *live)
{
    end_workers(live);
    live_mux_stop(&live->sound.mux);
    if (live->sound.fd >= 0) {
        close(live->sound.fd);
    }
    for (unsigned i = 0; i < RR_RUNGS_MAX; i++) {
        struct live_rung *r = &live->rungs[i];
        transcode_worker_stop(&r->worker);
        live_mux_stop(&r->mux);
        if (r->out_fd >= 0) {
            close(r->out_fd);
        }
        rr_free(r->packets);
        for (unsigned j = 0; j < LIVE_GOPS; j++) {
            if (live->gops[j].frames[i] >= 0) {
                close(live->gops[j].frames[i]);
            }
        }
    }
    live_input_close(&live->input);
    rr_buf_clear(&live->sound.bytes);
    rr_free(live->task);
    rr_free(live->packets);
    rr_free(live->told);
    rr_free(live->mux);
    rr_free(live->segment);
    rr_free(live->frame);
    rr_free(live);
}

enum rr_err rr_live_run(const struct rr_live_options *options, const struct rr_live_sink *sink,
                        const atomic_bool *stop, struct rr_fault *fault)
{
    struct live *live = live_new(options, sink, stop);
    enum rr_err err = transcode_options_fit(&live->options, &options->job, fault);
    if (err == RR_OK && options->job.ladder.automatic) {
        err = rr_fail(fault, RR_ERR_USAGE,
                      "ladder \"auto\" measures the whole video first, and a live one is not there "
                      "yet; name the rungs, as 720,480,360");
    }
    if (err == RR_OK &&
        (live->part_ms < 200 || live->part_ms > 1000 || live->part_ms > live->options.gop_ms)) {
        err = rr_fail(fault, RR_ERR_USAGE,
                      "parts of %u ms: 200 to 1000 are possible, and no more than a GOP",
                      (unsigned)live->part_ms);
    }
    live->reorder = reorder_of(live->options.codec);
    err = err != RR_OK ? err : transcode_worker_find(live->program, &options->job, fault);
    err = err != RR_OK ? err : live_input_open(live, fault);
    err = err != RR_OK ? err : loop(live, fault);
    live_free(live);
    return err;
}

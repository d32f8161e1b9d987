/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A file's pictures, one by one. The worker that decodes fills one memory file while the other is
 * read; both are read by pread, for a mapping of what a worker can cut short would be a trap. */
#include "transcode/transcode_frames.h"
#include <poll.h>
#include <string.h>
#include <unistd.h>

#define CELL_MS 500 /* short, for memory's sake */

enum rr_err transcode_frames_open(struct transcode_frames *frames, const char *program,
                                  int source_fd, const atomic_bool *cancel, struct rr_fault *fault)
{
    struct transcode_facts facts;
    struct rr_transcode_options options = {0};
    *frames = (struct transcode_frames){
        .source_fd = -1, .fds = {-1, -1}, .worker = {.socket = -1}, .cancel = cancel};
    frames->gop = rr_alloc(sizeof *frames->gop);
    enum rr_err err = transcode_options_fit(&options, &options, fault);
    err = err != RR_OK ? err : transcode_source_fd(&frames->source_fd, source_fd, fault);
    err = err != RR_OK
              ? err
              : transcode_probe_with(&facts, NULL, program, frames->source_fd, 0, cancel, fault);
    err = err != RR_OK ? err : transcode_plan_make(&frames->plan, &facts, &options, fault);
    if (err == RR_OK && frames->plan.video_stream < 0) {
        err = rr_fail(fault, RR_ERR_FORMAT, "the file has no pictures to compare");
    }
    if (err == RR_OK) {
        /* Not scaled: as coded, turned as shown. */
        bool turned = (frames->plan.orientation & 1) != 0;
        uint32_t width = turned ? facts.shown.height : facts.shown.width;
        uint32_t height = turned ? facts.shown.width : facts.shown.height;
        frames->plan.rung_count = 1;
        frames->plan.rungs[0] = (struct transcode_rung){.width = (uint16_t)(width + width % 2),
                                                        .height = (uint16_t)(height + height % 2),
                                                        .sar_num = 1,
                                                        .sar_den = 1};
        frames->plan.gop_ms = CELL_MS;
    }
    return err;
}

static enum rr_err grant(struct transcode_frames *frames, unsigned slot, struct rr_fault *fault)
{
    struct transcode_grant leave = {.rungs = 1};
    struct rr_buf message = {0};
    transcode_encode_message(&message, TRANSCODE_GRANT, grant, &leave);
    return transcode_worker_ask(&frames->worker, &message, &frames->fds[slot], 1,
                                transcode_patience(&frames->plan, TRANSCODE_FRAMES_MAX), fault);
}

enum rr_err transcode_frames_start(struct transcode_frames *frames, const char *program,
                                   struct rr_fault *fault)
{
    struct transcode_source *ask = rr_alloc(sizeof *ask);
    struct rr_buf message = {0};
    ask->plan = frames->plan;
    transcode_encode_message(&message, TRANSCODE_SOURCE, source, ask);
    rr_free(ask);
    enum rr_err err = transcode_worker_start(&frames->worker, program, false, fault);
    for (unsigned i = 0; i < 2 && err == RR_OK; i++) {
        err = transcode_memfd(&frames->fds[i], "reelrig-pictures", fault);
    }
    err =
        err != RR_OK
            ? err
            : transcode_worker_ask(&frames->worker, &message, &frames->source_fd, 1,
                                   transcode_patience(&frames->plan, TRANSCODE_FRAMES_MAX), fault);
    rr_buf_clear(&message);
    frames->slot = 1;
    return err != RR_OK ? err : grant(frames, 0, fault);
}

/* The next GOP's account, or the end. */
static enum rr_err take_gop(struct transcode_frames *frames, struct rr_fault *fault)
{
    uint8_t kind = 0;
    enum rr_err err = transcode_worker_wait_any(&frames->worker, &kind, frames->cancel, fault);
    if (err != RR_OK) {
        return err;
    }
    if (kind == TRANSCODE_END) {
        frames->ended = true;
        return RR_OK;
    }
    if (kind != TRANSCODE_GOP ||
        !transcode_decode_message(transcode_worker_body(&frames->worker), gop, frames->gop) ||
        frames->gop->count == 0) {
        return rr_fail(fault, RR_ERR_DAMAGED,
                       "the worker's account of some pictures does not follow its form");
    }
    frames->at = 0;
    frames->slot ^= 1;
    return grant(frames, frames->slot ^ 1, fault);
}

enum rr_err transcode_frames_next(struct transcode_frames *frames, uint8_t *bytes, int64_t *pts,
                                  bool *end, struct rr_fault *fault)
{
    enum rr_err err = RR_OK;
    if (!frames->ended && frames->at >= frames->gop->count) {
        err = take_gop(frames, fault);
    }
    *end = frames->ended;
    if (err == RR_OK && !frames->ended) {
        uint64_t size = transcode_frame_bytes(&frames->plan, &frames->plan.rungs[0]);
        err =
            rr_pread_full(frames->fds[frames->slot], bytes, (size_t)size, size * frames->at, fault);
        *pts = frames->gop->pts[frames->at];
        frames->at++;
        frames->count++;
    }
    return err == RR_ERR_UNREACHABLE || err == RR_ERR_TIMEOUT
               ? rr_fail(fault, RR_ERR_DAMAGED,
                         "the file cannot be decoded further than picture %llu: the worker died",
                         (unsigned long long)frames->count)
               : err;
}

void transcode_frames_close(struct transcode_frames *frames)
{
    int fds[3] = {frames->source_fd, frames->fds[0], frames->fds[1]};
    transcode_worker_stop(&frames->worker);
    for (unsigned i = 0; i < 3; i++) {
        if (fds[i] >= 0) {
            close(fds[i]);
        }
    }
    rr_free(frames->gop);
    frames->gop = NULL;
}

size_t transcode_measure_room(const struct transcode_rung *rung)
{
    return rr_quality_room(rung->width);
}

static bool within(const uint8_t *plane, size_t stride, uint32_t width, uint32_t height)
{
    uint16_t bits = 0;
    for (uint32_t y = 0; y < height; y++) {
        for (uint32_t x = 0; x < width; x++) {
            uint16_t value;
            memcpy(&value, plane + y * stride + (size_t)2 * x, 2);
            bits |= value;
        }
    }
    return bits < 1u << 10;
}

enum rr_err transcode_measure(struct rr_quality out[static 3], const struct transcode_plan *plan,
                              const struct transcode_rung *rung, const uint8_t *a, const uint8_t *b,
                              void *room, struct rr_fault *fault)
{
    for (unsigned i = 0; i < 3; i++) {
        struct rr_quality_shape shape = {.width = rung->width / (i > 0 ? 2u : 1u),
                                         .height = rung->height / (i > 0 ? 2u : 1u),
                                         .depth = plan->ten_bit != 0 ? 10 : 8};
        size_t stride = transcode_stride(plan, shape.width);
        if (plan->ten_bit != 0 && (!within(a, stride, shape.width, shape.height) ||
                                   !within(b, stride, shape.width, shape.height))) {
            return rr_fail(fault, RR_ERR_DAMAGED, "a picture of 10 bits has samples of more");
        }
        rr_quality_plane(&out[i], a, stride, b, stride, &shape, room);
        a += stride * shape.height;
        b += stride * shape.height;
    }
    return RR_OK;
}

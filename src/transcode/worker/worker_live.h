/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Inside reelrig-worker: inputs that still grow, and results told while they are made. */
#ifndef RR_WORKER_LIVE_H
#define RR_WORKER_LIVE_H
#include "transcode/worker/worker.h"

/* True when the message brought `files` descriptors, or one more: then the input grows, and that
 * one, taken here, is a pipe with a byte for each growth that ends with the input. tell: the parent
 * hears how far reading is. */
bool worker_follow_take(struct worker *worker, size_t files, bool tell);
bool worker_follow_on(void);
/* At the end of what there is: waits for more. False: that was the end for good. */
bool worker_follow_wait(void);
/* Reading stands at offset. */
void worker_follow_told(int64_t offset);
/* The same where not reading counts but what became of it: all before offset is done with. */
void worker_follow_done(struct worker *worker, int64_t offset);
/* RR_ERR_UNSUPPORTED for an MP4 or QuickTime file whose pictures come before its index: it can be
 * read only when it is whole, and never in order. */
enum rr_err worker_follow_fits(int fd, struct rr_fault *fault);
/* How much may be looked at before the first picture: a live viewer waits meanwhile. */
void worker_follow_limits(AVFormatContext *format);

/* A publisher's clock that goes forward or back by more than this between two pictures or frames
 * was set anew (ours: no network holds back so much, no codec reorders so much). */
#define WORKER_JUMP_MS 10000
#define WORKER_BACK_MS 500
/* The time of the next picture, on a clock without jumps; pts itself when the input does not grow.
 * last: of the picture before, on that clock. */
int64_t worker_live_time(const struct transcode_plan *plan, int64_t pts, int64_t last,
                         int64_t duration);

/* The GOP's newest picture is in its memfds; nothing when the input does not grow. */
void worker_live_picture(struct worker *worker, const struct transcode_gop *gop);
void worker_live_sound(struct worker *worker, const AVCodecContext *encoder,
                       const AVPacket *packet);

/* A range of a file, mapped for reading. */
struct worker_view {
    uint8_t *bytes, *map;
    size_t map_bytes;
};
enum rr_err worker_view_open(struct worker_view *view, int fd, uint64_t offset, uint64_t bytes,
                             struct rr_fault *fault);
void worker_view_close(struct worker_view *view);
#endif

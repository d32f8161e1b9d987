/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "transcode/worker/worker_live.h"
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define TELL_BYTES  (16 << 10)
#define PROBE_BYTES (1 << 20)
#define ANALYZE_US  1500000
#define PAGE_BYTES  UINT64_C(4096)

/* Of the one input that this process has. */
static struct {
    bool on, ended;
    int wake;
    struct worker *tell; /* NULL: nobody wants to know */
    int64_t told;
    int64_t rebase; /* added to the pictures' times */
} follow = {.wake = -1};

bool worker_follow_take(struct worker *worker, size_t files, bool tell)
{
    if (worker->fd_count == files) {
        return true;
    }
    if (worker->fd_count != files + 1 || follow.on) {
        return false;
    }
    follow.on = true;
    follow.wake = worker->fds[--worker->fd_count];
    follow.tell = tell ? worker : NULL;
    return true;
}

bool worker_follow_on(void)
{
    return follow.on;
}

bool worker_follow_wait(void)
{
    uint8_t bytes[512];
    ssize_t got;
    if (!follow.on || follow.ended) {
        return false;
    }
    do {
        got = read(follow.wake, bytes, sizeof bytes);
    } while (got < 0 && errno == EINTR);
    follow.ended = got <= 0; /* once more: what came before the end */
    return true;
}

void worker_follow_done(struct worker *worker, int64_t offset)
{
    struct transcode_read read = {.offset = (uint64_t)offset};
    struct rr_buf message = {0};
    if (offset - follow.told >= TELL_BYTES) {
        follow.told = offset;
        transcode_encode_message(&message, TRANSCODE_READ, read, &read);
        worker_send(worker, &message);
    }
}

void worker_follow_told(int64_t offset)
{
    if (follow.tell != NULL) {
        worker_follow_done(follow.tell, offset);
    }
}

#define BOXES_MAX 64

/* Waits for the head of a box. False: the input ends before it. */
static bool read_box(int fd, int64_t offset, uint8_t head[static 8])
{
    ssize_t got;
    do {
        got = pread(fd, head, 8, offset);
    } while ((got < 0 && errno == EINTR) || (got >= 0 && got < 8 && worker_follow_wait()));
    return got == 8;
}

static bool is_box(const uint8_t head[static 8], const char *const *names, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (memcmp(head + 4, names[i], 4) == 0) {
            return true;
        }
    }
    return false;
}

enum rr_err worker_follow_fits(int fd, struct rr_fault *fault)
{
    static const char *const before[] = {"ftyp", "free", "skip", "wide", "pnot", "uuid"};
    static const char *const pictures[] = {"mdat"};
    uint8_t head[8];
    int64_t offset = 0;
    for (unsigned i = 0; follow.on && i < BOXES_MAX && read_box(fd, offset, head); i++) {
        uint32_t size = (uint32_t)head[0] << 24 | (uint32_t)head[1] << 16 | (uint32_t)head[2] << 8 |
                        (uint32_t)head[3];
        if (is_box(head, pictures, RR_COUNT(pictures))) {
            return rr_fail(fault, RR_ERR_UNSUPPORTED,
                           "an MP4 file whose index comes behind its pictures cannot be followed: "
                           "MPEG-TS, FLV, Matroska and fragmented MP4 can; a whole file is for "
                           "\"reelrig transcode\"");
        }
        if (size < 8 || !is_box(head, before, RR_COUNT(before))) {
            break;
        }
        offset += size;
    }
    return RR_OK;
}

void worker_follow_limits(AVFormatContext *format)
{
    if (follow.on) {
        format->probesize = PROBE_BYTES;
        format->max_analyze_duration = ANALYZE_US;
    }
}

int64_t worker_live_time(const struct transcode_plan *plan, int64_t pts, int64_t last,
                         int64_t duration)
{
    int64_t second = transcode_rescale(plan->tb_den, 1, plan->tb_num);
    if (!follow.on || pts == AV_NOPTS_VALUE) {
        return pts;
    }
    int64_t step = pts + follow.rebase - last;
    if (step > second * WORKER_JUMP_MS / 1000 || step < -second * WORKER_BACK_MS / 1000) {
        follow.rebase += (duration > 0 ? duration : 1) - step;
    }
    return pts + follow.rebase;
}

void worker_live_picture(struct worker *worker, const struct transcode_gop *gop)
{
    struct transcode_picture picture = {.index = gop->count - 1, .pts = gop->pts[gop->count - 1]};
    struct rr_buf message = {0};
    transcode_encode_message(&message, TRANSCODE_PICTURE, picture, &picture);
    worker_send(worker, &message);
}

void worker_live_sound(struct worker *worker, const AVCodecContext *encoder, const AVPacket *packet)
{
    struct transcode_sound_frame *frame = rr_alloc(sizeof *frame);
    struct rr_buf message = {0};
    frame->sample_rate = (uint32_t)encoder->sample_rate;
    frame->channels = (uint32_t)encoder->ch_layout.nb_channels;
    frame->frame_samples = (uint32_t)encoder->frame_size;
    frame->priming = (uint32_t)encoder->initial_padding;
    if (encoder->extradata_size > 0 && encoder->extradata_size <= TRANSCODE_EXTRADATA_MAX) {
        frame->extradata_bytes = (uint32_t)encoder->extradata_size;
        memcpy(frame->extradata, encoder->extradata, frame->extradata_bytes);
    }
    if (packet->size > 0 && packet->size <= TRANSCODE_SOUND_BYTES_MAX) {
        frame->bytes = (uint32_t)packet->size;
        memcpy(frame->data, packet->data, frame->bytes);
        transcode_encode_message(&message, TRANSCODE_SOUND_FRAME, sound_frame, frame);
        worker_send(worker, &message);
    }
    rr_free(frame);
}

enum rr_err worker_view_open(struct worker_view *view, int fd, uint64_t offset, uint64_t bytes,
                             struct rr_fault *fault)
{
    uint64_t start = offset / PAGE_BYTES * PAGE_BYTES;
    view->map_bytes = (size_t)(offset - start + bytes);
    view->map = mmap(NULL, view->map_bytes, PROT_READ, MAP_SHARED, fd, (off_t)start);
    if (view->map == MAP_FAILED) {
        return rr_fail_errno(fault, "a picture of %llu bytes cannot be mapped",
                             (unsigned long long)bytes);
    }
    view->bytes = view->map + (offset - start);
    return RR_OK;
}

void worker_view_close(struct worker_view *view)
{
    munmap(view->map, view->map_bytes);
}

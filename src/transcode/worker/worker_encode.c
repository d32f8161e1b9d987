/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One GOP of one rendition through an encoder of its own. Nothing of an earlier GOP may reach this
 * one: that is what makes it makeable again alone, byte for byte (measured: a flushed and reused
 * encoder is never equal). */
#include "transcode/worker/worker.h"
#include "transcode/worker/worker_live.h"
#include <libavutil/opt.h>
#include <libavutil/pixdesc.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

struct encoder {
    const struct transcode_encode *ask;
    AVCodecContext *codec;
    AVPacket *packet;
    struct rr_buf bytes;
    struct transcode_packets *answer;
    struct rr_rung_rate rate; /* of this try */
};

/* Another quality than the plan's, for a verifier's reference. */
static int set_quality(AVCodecContext *codec, const struct transcode_encode *ask)
{
    if (ask->quality == 0) {
        return 0;
    }
    return ask->plan.codec == RR_CODEC_AV1 || ask->plan.codec == RR_CODEC_VP9
               ? av_opt_set_int(codec->priv_data, "crf", (ask->quality + 50) / 100, 0)
               : av_opt_set_double(codec->priv_data, "crf", ask->quality / 100.0, 0);
}

static enum rr_err open_encoder(struct encoder *encoder, struct rr_fault *fault)
{
    const struct transcode_plan *plan = &encoder->ask->plan;
    const struct transcode_rung *rung = &plan->rungs[encoder->ask->rung];
    const char *name = worker_encoder_name(plan);
    const AVCodec *kind = avcodec_find_encoder_by_name(name);
    if (kind == NULL) {
        return rr_fail(fault, RR_ERR_UNSUPPORTED, "this libavcodec has no %s", name);
    }
    AVCodecContext *codec = encoder->codec = avcodec_alloc_context3(kind);
    encoder->packet = av_packet_alloc();
    if (codec == NULL || encoder->packet == NULL) {
        return rr_fail(fault, RR_ERR_MEMORY, "no memory for an encoder");
    }
    codec->width = rung->width;
    codec->height = rung->height;
    codec->sample_aspect_ratio = (AVRational){rung->sar_num, rung->sar_den};
    codec->pix_fmt = plan->ten_bit ? AV_PIX_FMT_YUV420P10LE : AV_PIX_FMT_YUV420P;
    codec->time_base = (AVRational){1, (int)plan->timescale};
    codec->framerate = (AVRational){(int)plan->fps_num, (int)plan->fps_den};
    codec->thread_count = 1;
    codec->flags |= AV_CODEC_FLAG_GLOBAL_HEADER;
    codec->color_range = plan->full_range ? AVCOL_RANGE_JPEG : AVCOL_RANGE_MPEG;
    codec->color_primaries = plan->primaries;
    codec->color_trc = plan->transfer;
    codec->colorspace = plan->matrix;
    codec->chroma_sample_location = plan->location;
    int rc = worker_codec_settings(codec, encoder->ask, &encoder->rate);
    rc = rc < 0 ? rc : set_quality(codec, encoder->ask);
    rc = rc < 0 ? rc : avcodec_open2(codec, kind, NULL);
    return rc < 0 ? worker_fail_av(fault, rc, "the encoder does not start") : RR_OK;
}

/* End of the NAL unit that starts at `at`, a start code; start codes are 3 or 4 bytes. */
static size_t next_start(const uint8_t *bytes, size_t len, size_t at)
{
    for (size_t i = at; i + 3 <= len; i++) {
        if (bytes[i] == 0 && bytes[i + 1] == 0 && bytes[i + 2] == 1) {
            return i > at && bytes[i - 1] == 0 ? i - 1 : i;
        }
    }
    return len;
}

/* Copies Annex-B without SEI of unregistered user data: x264 writes its build and options there,
 * which would tie the digest to a string that no decoder reads. */
static void append_stripped(struct rr_buf *out, const uint8_t *bytes, size_t len)
{
    for (size_t at = 0; at < len;) {
        size_t head = at;
        while (head < len && bytes[head] == 0) {
            head++;
        }
        head++; /* the 1 of the start code */
        size_t end = head < len ? next_start(bytes, len, head) : len;
        bool user_data = head + 1 < len && (bytes[head] & 0x1f) == 6 && bytes[head + 1] == 5;
        if (!user_data) {
            rr_buf_append(out, bytes + at, end - at);
        }
        at = end;
    }
}

static void append_coded(const struct encoder *encoder, struct rr_buf *out, const uint8_t *bytes,
                         size_t len)
{
    if (encoder->ask->plan.codec == RR_CODEC_H264) {
        append_stripped(out, bytes, len);
    } else if (len > 0) {
        rr_buf_append(out, bytes, len);
    }
}

static enum rr_err drain(struct encoder *encoder, struct rr_fault *fault)
{
    struct transcode_packets *answer = encoder->answer;
    int rc;
    while ((rc = avcodec_receive_packet(encoder->codec, encoder->packet)) == 0) {
        const AVPacket *packet = encoder->packet;
        size_t before = encoder->bytes.len;
        if (answer->count == TRANSCODE_FRAMES_MAX) {
            return rr_fail(fault, RR_ERR_LIMIT, "the encoder gave more packets than pictures");
        }
        append_coded(encoder, &encoder->bytes, packet->data, (size_t)packet->size);
        answer->packets[answer->count++] =
            (struct transcode_packet){.bytes = (uint32_t)(encoder->bytes.len - before),
                                      .pts = packet->pts,
                                      .key = (packet->flags & AV_PKT_FLAG_KEY) != 0};
        av_packet_unref(encoder->packet);
    }
    return rc == AVERROR(EAGAIN) || rc == AVERROR_EOF
               ? RR_OK
               : worker_fail_av(fault, rc, "the encoder failed");
}

static void keep(void *ctx, uint8_t *bytes)
{
    (void)ctx;
    (void)bytes;
}

/* The i-th picture of the GOP, at `picture`; what the encoder has ready is taken at once. */
static enum rr_err encode_picture(struct encoder *encoder, AVFrame *frame, uint8_t *picture,
                                  int64_t pts, struct rr_fault *fault)
{
    const struct transcode_encode *ask = encoder->ask;
    const struct transcode_rung *rung = &ask->plan.rungs[ask->rung];
    uint8_t *planes[4] = {0};
    int strides[4] = {0};
    worker_picture_layout(planes, strides, &ask->plan, rung, picture);
    memcpy(frame->data, planes, sizeof planes);
    memcpy(frame->linesize, strides, sizeof strides);
    frame->width = rung->width;
    frame->height = rung->height;
    frame->format = encoder->codec->pix_fmt;
    frame->pts = pts;
    frame->color_range = encoder->codec->color_range;
    frame->color_primaries = encoder->codec->color_primaries;
    frame->color_trc = encoder->codec->color_trc;
    frame->colorspace = encoder->codec->colorspace;
    /* Borrowed memory: an empty owner keeps libav from copying it once more. */
    frame->buf[0] = av_buffer_create(planes[0], (size_t)transcode_frame_bytes(&ask->plan, rung),
                                     keep, NULL, AV_BUFFER_FLAG_READONLY);
    int rc = avcodec_send_frame(encoder->codec, frame);
    enum rr_err err =
        rc < 0 ? worker_fail_av(fault, rc, "the encoder refuses a picture") : drain(encoder, fault);
    av_frame_unref(frame);
    return err;
}

static enum rr_err encode_end(struct encoder *encoder, struct rr_fault *fault)
{
    int rc = avcodec_send_frame(encoder->codec, NULL);
    return rc < 0 ? worker_fail_av(fault, rc, "the encoder does not end") : drain(encoder, fault);
}

static enum rr_err encode_frames(struct encoder *encoder, uint8_t *pictures, struct rr_fault *fault)
{
    const struct transcode_encode *ask = encoder->ask;
    uint64_t frame_bytes = transcode_frame_bytes(&ask->plan, &ask->plan.rungs[ask->rung]);
    AVFrame *frame = av_frame_alloc();
    enum rr_err err =
        frame != NULL ? RR_OK : rr_fail(fault, RR_ERR_MEMORY, "no memory for a picture");
    for (uint32_t i = 0; i < ask->count && err == RR_OK; i++) {
        err = encode_picture(encoder, frame, pictures + i * frame_bytes, ask->pts[i], fault);
    }
    err = err != RR_OK ? err : encode_end(encoder, fault);
    av_frame_free(&frame);
    return err;
}

static enum rr_err finish(struct encoder *encoder, struct rr_fault *fault)
{
    const AVCodecContext *codec = encoder->codec;
    struct rr_buf header = {0};
    append_coded(encoder, &header, codec->extradata, (size_t)codec->extradata_size);
    enum rr_err err = header.len <= TRANSCODE_EXTRADATA_MAX
                          ? RR_OK
                          : rr_fail(fault, RR_ERR_LIMIT, "parameter sets of %zu bytes", header.len);
    if (err == RR_OK) {
        if (header.len > 0) { /* VP9 has none */
            memcpy(encoder->answer->extradata, header.ptr, header.len);
        }
        encoder->answer->extradata_bytes = (uint32_t)header.len;
        encoder->answer->bytes = encoder->bytes.len;
    }
    rr_buf_clear(&header);
    return err;
}

enum rr_err worker_encode_pictures(struct transcode_packets *answer, struct rr_buf *bytes,
                                   const struct transcode_encode *ask, uint8_t *pictures,
                                   struct rr_fault *fault)
{
    struct encoder encoder = {.ask = ask, .answer = answer};
    struct transcode_vbv vbv;
    enum rr_err err = RR_OK;
    bool again = true;
    transcode_vbv(&vbv, ask);
    encoder.rate = ask->plan.rungs[ask->rung].rate;
    for (unsigned tries = 1; again && err == RR_OK; tries++) {
        avcodec_free_context(&encoder.codec);
        av_packet_free(&encoder.packet);
        encoder.bytes.len = 0;
        answer->count = 0;
        err = open_encoder(&encoder, fault);
        err = err != RR_OK ? err : encode_frames(&encoder, pictures, fault);
        again =
            transcode_rate_again(&encoder.rate, ask->plan.codec, &vbv, encoder.bytes.len, tries);
    }
    if (err == RR_OK) {
        err = finish(&encoder, fault);
    }
    avcodec_free_context(&encoder.codec);
    av_packet_free(&encoder.packet);
    if (err == RR_OK) {
        *bytes = encoder.bytes;
    } else {
        rr_buf_clear(&encoder.bytes);
    }
    return err;
}

static enum rr_err encode(struct transcode_packets *answer, const struct transcode_encode *ask,
                          const int *fds, struct rr_fault *fault)
{
    struct rr_buf coded = {0};
    size_t bytes =
        (size_t)(transcode_frame_bytes(&ask->plan, &ask->plan.rungs[ask->rung]) * ask->count);
    uint8_t *pictures = mmap(NULL, bytes, PROT_READ, MAP_SHARED, fds[0], 0);
    if (pictures == MAP_FAILED) {
        return rr_fail_errno(fault, "%zu bytes of pictures cannot be mapped", bytes);
    }
    enum rr_err err = worker_encode_pictures(answer, &coded, ask, pictures, fault);
    if (err == RR_OK) {
        err = rr_pwrite_full(fds[1], coded.ptr, coded.len, 0, fault);
    }
    rr_buf_clear(&coded);
    munmap(pictures, bytes);
    return err;
}

/* ---- live: pictures as they are decoded, packets as they are made; the bytes are those of the
 * whole GOP given at once */

/* What was made since the last word of it: into the file, and told. */
static enum rr_err tell(struct encoder *encoder, struct worker *worker, int out_fd, uint32_t *told,
                        struct rr_fault *fault)
{
    struct transcode_packets *answer = encoder->answer;
    struct rr_buf message = {0};
    uint32_t count = answer->count - *told;
    enum rr_err err = RR_OK;
    if (encoder->bytes.len > answer->bytes) {
        err = rr_pwrite_full(out_fd, encoder->bytes.ptr + answer->bytes,
                             encoder->bytes.len - answer->bytes, answer->bytes, fault);
    }
    if (err != RR_OK) {
        return err;
    }
    struct transcode_packets *part = rr_alloc(sizeof *part);
    answer->bytes = part->bytes = encoder->bytes.len;
    part->count = count;
    memcpy(part->packets, answer->packets + *told, sizeof *part->packets * count);
    if (*told == 0) {
        struct rr_buf header = {0};
        append_coded(encoder, &header, encoder->codec->extradata,
                     (size_t)encoder->codec->extradata_size);
        if (header.len > 0 && header.len <= TRANSCODE_EXTRADATA_MAX) {
            memcpy(part->extradata, header.ptr, header.len);
            part->extradata_bytes = (uint32_t)header.len;
        }
        rr_buf_clear(&header);
    }
    *told = answer->count;
    transcode_encode_message(&message, TRANSCODE_CODED, packets, part);
    worker_send(worker, &message);
    rr_free(part);
    return RR_OK;
}

static enum rr_err take_pictures(struct encoder *encoder, struct worker *worker, const int *fds,
                                 AVFrame *frame, struct rr_fault *fault)
{
    uint64_t bytes =
        transcode_frame_bytes(&encoder->ask->plan, &encoder->ask->plan.rungs[encoder->ask->rung]);
    struct transcode_picture picture;
    uint32_t told = 0;
    enum rr_err err = RR_OK;
    for (bool last = false; err == RR_OK && !last;) {
        if (!worker_receive(worker)) {
            _exit(0);
        }
        if (worker_kind(worker) != TRANSCODE_PICTURE ||
            !transcode_decode_message(worker_body(worker), picture, &picture)) {
            return rr_fail(fault, RR_ERR_USAGE, "a picture that does not follow its form");
        }
        last = picture.last != 0;
        if (last) {
            err = encode_end(encoder, fault);
        } else {
            struct worker_view view;
            err = worker_view_open(&view, fds[0], bytes * picture.index, bytes, fault);
            if (err == RR_OK) {
                err = encode_picture(encoder, frame, view.bytes, picture.pts, fault);
                worker_view_close(&view);
            }
        }
        if (err == RR_OK) {
            err = tell(encoder, worker, fds[1], &told, fault);
        }
    }
    return err;
}

/* A limit holds per GOP and asks for its length; a live GOP is taken for a whole one. */
static void assume_whole(struct transcode_encode *ask)
{
    const struct transcode_plan *plan = &ask->plan;
    int64_t step = transcode_rescale(plan->timescale, plan->fps_den, plan->fps_num);
    uint64_t whole = (uint64_t)plan->gop_ms * plan->timescale / 1000;
    step = step > 0 ? step : 1;
    ask->count = (uint32_t)(whole / (uint64_t)step);
    ask->count = ask->count < 1                      ? 1
                 : ask->count > TRANSCODE_FRAMES_MAX ? TRANSCODE_FRAMES_MAX
                                                     : ask->count;
    for (uint32_t i = 0; i < ask->count; i++) {
        ask->pts[i] = step * i;
    }
}

static enum rr_err encode_live(struct transcode_packets *answer, struct transcode_encode *ask,
                               struct worker *worker, struct rr_fault *fault)
{
    struct encoder encoder = {.ask = ask, .answer = answer};
    int fds[2] = {worker->fds[0], worker->fds[1]};
    AVFrame *frame = av_frame_alloc();
    worker->fd_count = 0; /* taken: later messages must not close them */
    encoder.rate = ask->plan.rungs[ask->rung].rate;
    assume_whole(ask);
    enum rr_err err = frame != NULL ? open_encoder(&encoder, fault)
                                    : rr_fail(fault, RR_ERR_MEMORY, "no memory for a picture");
    err = err != RR_OK ? err : take_pictures(&encoder, worker, fds, frame, fault);
    err = err != RR_OK ? err : finish(&encoder, fault);
    av_frame_free(&frame);
    avcodec_free_context(&encoder.codec);
    av_packet_free(&encoder.packet);
    rr_buf_clear(&encoder.bytes);
    close(fds[0]);
    close(fds[1]);
    return err;
}

enum rr_err worker_encode(struct worker *worker, struct rr_fault *fault)
{
    struct transcode_encode *ask = rr_alloc(sizeof *ask);
    struct transcode_packets *answer = rr_alloc(sizeof *answer);
    struct rr_buf message = {0};
    enum rr_err err;
    if (worker->fd_count != 2 || !transcode_decode_message(worker_body(worker), encode, ask) ||
        ask->rung >= ask->plan.rung_count) {
        err = rr_fail(fault, RR_ERR_USAGE, "an encode task that does not follow its form");
    } else if (ask->count == 0) {
        err = encode_live(answer, ask, worker, fault);
    } else {
        err = worker->device != NULL
                  ? worker_profile.encode(worker->device, ask, worker->fds, answer, fault)
                  : encode(answer, ask, worker->fds, fault);
    }
    if (err == RR_OK) {
        transcode_encode_message(&message, TRANSCODE_PACKETS, packets, answer);
        worker_send(worker, &message);
    }
    rr_free(answer);
    rr_free(ask);
    return err;
}

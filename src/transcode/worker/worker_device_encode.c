/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One GOP through an encoder session of its own, as on the CPU: IDR first, closed, nothing of the
 * GOP before. */
#include "transcode/worker/worker_device.h"
#include <string.h>

struct worker_device_encoder {
    struct worker_device *device;
    const struct transcode_plan *plan;
    unsigned rung;
    AVCodecContext *codec;
    AVBufferRef *frames; /* pool for pictures out of plain memory */
    AVPacket *packet;
    struct rr_buf bytes;
    struct transcode_packet packets[TRANSCODE_FRAMES_MAX];
    uint32_t count;
};

static enum AVPixelFormat plain_format(const struct transcode_plan *plan)
{
    return plan->ten_bit != 0 ? AV_PIX_FMT_P010LE : AV_PIX_FMT_NV12;
}

static int make_pool(struct worker_device_encoder *encoder)
{
    const struct transcode_rung *rung = &encoder->plan->rungs[encoder->rung];
    encoder->frames = av_hwframe_ctx_alloc(encoder->device->ref);
    if (encoder->frames == NULL) {
        return AVERROR(ENOMEM);
    }
    AVHWFramesContext *facts = (AVHWFramesContext *)encoder->frames->data;
    facts->format = encoder->device->kind->format;
    facts->sw_format = plain_format(encoder->plan);
    facts->width = rung->width;
    facts->height = rung->height;
    facts->initial_pool_size = encoder->device->kind->pool;
    return av_hwframe_ctx_init(encoder->frames);
}

static int configure(struct worker_device_encoder *encoder, AVBufferRef *frames)
{
    const struct transcode_plan *plan = encoder->plan;
    const struct transcode_rung *rung = &plan->rungs[encoder->rung];
    AVCodecContext *codec = encoder->codec;
    codec->width = rung->width;
    codec->height = rung->height;
    codec->sample_aspect_ratio = (AVRational){rung->sar_num, rung->sar_den};
    codec->time_base = (AVRational){1, (int)plan->timescale};
    codec->framerate = (AVRational){(int)plan->fps_num, (int)plan->fps_den};
    codec->thread_count = 1;
    codec->flags |= AV_CODEC_FLAG_GLOBAL_HEADER | AV_CODEC_FLAG_CLOSED_GOP;
    codec->gop_size = TRANSCODE_FRAMES_MAX; /* the only key picture is the first */
    codec->color_range = plan->full_range ? AVCOL_RANGE_JPEG : AVCOL_RANGE_MPEG;
    codec->color_primaries = plan->primaries;
    codec->color_trc = plan->transfer;
    codec->colorspace = plan->matrix;
    codec->chroma_sample_location = plan->location;
    codec->pix_fmt = plain_format(plan);
    if (encoder->device->kind->format != AV_PIX_FMT_NONE) {
        int rc = frames == NULL ? make_pool(encoder) : 0;
        if (rc < 0) {
            return rc;
        }
        codec->pix_fmt = encoder->device->kind->format;
        codec->hw_frames_ctx = av_buffer_ref(frames != NULL ? frames : encoder->frames);
    }
    return encoder->device->kind->settings(codec, plan, &rung->rate);
}

enum rr_err worker_device_encoder_open(struct worker_device_encoder **out,
                                       struct worker_device *device,
                                       const struct transcode_plan *plan, unsigned rung,
                                       AVBufferRef *frames, struct rr_fault *fault)
{
    const char *name = device->kind->encoders[plan->codec];
    const AVCodec *kind = name != NULL ? avcodec_find_encoder_by_name(name) : NULL;
    if (kind == NULL) {
        return rr_fail(fault, RR_ERR_UNSUPPORTED, "%s: this libavcodec has no encoder of %s for it",
                       device->id, avcodec_get_name(worker_codec_id(plan)));
    }
    struct worker_device_encoder *encoder = rr_alloc(sizeof *encoder);
    encoder->device = device;
    encoder->plan = plan;
    encoder->rung = rung;
    encoder->packet = av_packet_alloc();
    int rc = worker_driver.event(WORKER_DEVICE_ENCODER, kind->id);
    bool counted = rc >= 0;
    encoder->codec = rc < 0 ? NULL : avcodec_alloc_context3(kind);
    if (rc >= 0) {
        rc = encoder->codec == NULL || encoder->packet == NULL ? AVERROR(ENOMEM)
                                                               : configure(encoder, frames);
    }
    rc = rc < 0 ? rc : avcodec_open2(encoder->codec, kind, NULL);
    if (rc < 0) {
        if (!counted) {
            encoder->device = NULL; /* there is no session to give back */
        }
        enum rr_err err = worker_device_fail(fault, rc, "the device's encoder does not start");
        worker_device_encoder_free(encoder);
        return err;
    }
    *out = encoder;
    return RR_OK;
}

static enum rr_err drain(struct worker_device_encoder *encoder, struct rr_fault *fault)
{
    int rc;
    while ((rc = avcodec_receive_packet(encoder->codec, encoder->packet)) == 0) {
        const AVPacket *packet = encoder->packet;
        if (encoder->count == TRANSCODE_FRAMES_MAX) {
            return rr_fail(fault, RR_ERR_LIMIT, "the encoder gave more packets than pictures");
        }
        rr_buf_append(&encoder->bytes, packet->data, (size_t)packet->size);
        encoder->packets[encoder->count++] =
            (struct transcode_packet){.bytes = (uint32_t)packet->size,
                                      .pts = packet->pts,
                                      .key = (packet->flags & AV_PKT_FLAG_KEY) != 0};
        av_packet_unref(encoder->packet);
    }
    return rc == AVERROR(EAGAIN) || rc == AVERROR_EOF
               ? RR_OK
               : worker_device_fail(fault, rc, "the device's encoder failed");
}

enum rr_err worker_device_encoder_add(struct worker_device_encoder *encoder, AVFrame *frame,
                                      int64_t pts, struct rr_fault *fault)
{
    const AVCodecContext *codec = encoder->codec;
    frame->pts = pts;
    frame->pict_type = encoder->count == 0 && pts == 0 ? AV_PICTURE_TYPE_I : AV_PICTURE_TYPE_NONE;
    frame->color_range = codec->color_range;
    frame->color_primaries = codec->color_primaries;
    frame->color_trc = codec->color_trc;
    frame->colorspace = codec->colorspace;
    int rc = worker_driver.event(WORKER_DEVICE_ENCODED, codec->codec_id);
    rc = rc < 0 ? rc : avcodec_send_frame(encoder->codec, frame);
    return rc < 0 ? worker_device_fail(fault, rc, "the device's encoder refuses a picture")
                  : drain(encoder, fault);
}

/* Planar rows into those of NV12 or P010. */
static void pack(AVFrame *to, const struct transcode_plan *plan, const struct transcode_rung *rung,
                 uint8_t *picture)
{
    uint8_t *from[4];
    int strides[4];
    unsigned bytes = plan->ten_bit != 0 ? 2 : 1;
    worker_picture_layout(from, strides, plan, rung, picture);
    for (unsigned row = 0; row < rung->height; row++) {
        const uint8_t *in = from[0] + (size_t)row * (unsigned)strides[0];
        uint8_t *out = to->data[0] + (ptrdiff_t)row * to->linesize[0];
        for (unsigned i = 0; bytes == 2 && i < rung->width; i++) {
            unsigned value = (unsigned)(in[2 * i] | in[2 * i + 1] << 8) << 6;
            out[2 * i] = (uint8_t)value;
            out[2 * i + 1] = (uint8_t)(value >> 8);
        }
        if (bytes == 1) {
            memcpy(out, in, rung->width);
        }
    }
    for (unsigned row = 0; row < rung->height / 2u; row++) {
        uint8_t *out = to->data[1] + (ptrdiff_t)row * to->linesize[1];
        for (unsigned i = 0; i < rung->width / 2u; i++) {
            for (unsigned plane = 0; plane < 2; plane++, out += bytes) {
                const uint8_t *in =
                    from[1 + plane] + (size_t)row * (unsigned)strides[1] + (size_t)i * bytes;
                unsigned value = bytes == 2 ? (unsigned)(in[0] | in[1] << 8) << 6 : in[0];
                out[0] = (uint8_t)value;
                if (bytes == 2) {
                    out[1] = (uint8_t)(value >> 8);
                }
            }
        }
    }
}

enum rr_err worker_device_encoder_upload(struct worker_device_encoder *encoder, uint8_t *picture,
                                         int64_t pts, struct rr_fault *fault)
{
    const struct transcode_rung *rung = &encoder->plan->rungs[encoder->rung];
    AVFrame *plain = av_frame_alloc(), *there = av_frame_alloc();
    int rc = plain == NULL || there == NULL ? AVERROR(ENOMEM) : 0;
    enum rr_err err = RR_OK;
    if (rc == 0) {
        plain->format = plain_format(encoder->plan);
        plain->width = rung->width;
        plain->height = rung->height;
        rc = av_frame_get_buffer(plain, 0);
    }
    if (rc == 0) {
        pack(plain, encoder->plan, rung, picture);
    }
    if (rc == 0 && encoder->frames != NULL) {
        rc = av_hwframe_get_buffer(encoder->frames, there, 0);
        rc = rc < 0 ? rc : av_hwframe_transfer_data(there, plain, 0);
    }
    err = rc < 0 ? worker_device_fail(fault, rc, "a picture does not reach the device")
                 : worker_device_encoder_add(encoder, encoder->frames != NULL ? there : plain, pts,
                                             fault);
    av_frame_free(&plain);
    av_frame_free(&there);
    return err;
}

enum rr_err worker_device_encoder_end(struct worker_device_encoder *encoder, int fd,
                                      struct transcode_packets *answer, struct rr_fault *fault)
{
    AVCodecContext *codec = encoder->codec;
    int rc = avcodec_send_frame(codec, NULL);
    enum rr_err err = rc < 0 ? worker_device_fail(fault, rc, "the device's encoder does not end")
                             : drain(encoder, fault);
    if (err == RR_OK && codec->extradata_size > TRANSCODE_EXTRADATA_MAX) {
        err = rr_fail(fault, RR_ERR_LIMIT, "parameter sets of %d bytes", codec->extradata_size);
    }
    if (err == RR_OK && codec->extradata_size <= 0 && encoder->plan->codec != RR_CODEC_VP9) {
        err = rr_fail(fault, RR_ERR_UNSUPPORTED,
                      "the device's encoder gives no parameter sets beforehand");
    }
    err = err != RR_OK ? err : rr_pwrite_full(fd, encoder->bytes.ptr, encoder->bytes.len, 0, fault);
    if (err == RR_OK) {
        answer->extradata_bytes = (uint32_t)codec->extradata_size;
        if (codec->extradata_size > 0) {
            memcpy(answer->extradata, codec->extradata, (size_t)codec->extradata_size);
        }
        answer->bytes = encoder->bytes.len;
        answer->count = encoder->count;
        memcpy(answer->packets, encoder->packets, sizeof encoder->packets[0] * encoder->count);
    }
    return err;
}

void worker_device_encoder_free(struct worker_device_encoder *encoder)
{
    if (encoder == NULL) {
        return;
    }
    avcodec_free_context(&encoder->codec);
    if (encoder->device != NULL) {
        (void)worker_driver.event(WORKER_DEVICE_CLOSED, AV_CODEC_ID_NONE);
    }
    av_buffer_unref(&encoder->frames);
    av_packet_free(&encoder->packet);
    rr_buf_clear(&encoder->bytes);
    rr_free(encoder);
}

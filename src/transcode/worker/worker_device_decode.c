/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Decoding on a device. The bitstream is parsed by the same code of libavcodec as on the CPU, so
 * order, times and number of pictures are the same; what comes back is laid out as the CPU's
 * decoder would have given it, so that everything behind it cannot tell the difference. Never falls
 * back to software in here: foreign bytes are decoded on the CPU in the narrow sandbox only. */
#include "transcode/worker/worker_device.h"
#include <libavutil/imgutils.h>
#include <string.h>

static const struct {
    enum AVCodecID id;
    const char *name;
} decoders[] = {{AV_CODEC_ID_H264, "h264"},
                {AV_CODEC_ID_HEVC, "hevc"},
                {AV_CODEC_ID_VP9, "vp9"},
                {AV_CODEC_ID_AV1, "av1"}};

static enum AVPixelFormat pick_format(AVCodecContext *decoder, const enum AVPixelFormat *offered)
{
    const struct worker_device *device = decoder->opaque;
    while (*offered != AV_PIX_FMT_NONE && *offered != device->kind->format) {
        offered++;
    }
    return *offered;
}

static const AVCodec *find(const struct worker_device *device, enum AVCodecID id)
{
    for (size_t i = 0; i < RR_COUNT(decoders); i++) {
        if (decoders[i].id == id) {
            /* dav1d serves AV1 in software, and is what a double takes. */
            return device->kind->format == AV_PIX_FMT_NONE
                       ? avcodec_find_decoder(id)
                       : avcodec_find_decoder_by_name(decoders[i].name);
        }
    }
    return NULL;
}

enum rr_err worker_device_decoder_of(struct worker_device *device, AVCodecContext **out,
                                     const AVCodecParameters *shape, AVRational time_base,
                                     struct rr_fault *fault)
{
    const AVCodec *codec = device->kind->decodes ? find(device, shape->codec_id) : NULL;
    if (codec == NULL) {
        return rr_fail(fault, RR_ERR_UNSUPPORTED, "%s does not decode %s", device->id,
                       avcodec_get_name(shape->codec_id));
    }
    AVCodecContext *decoder = avcodec_alloc_context3(codec);
    if (decoder == NULL) {
        return rr_fail(fault, RR_ERR_MEMORY, "no memory for a decoder");
    }
    int rc = avcodec_parameters_to_context(decoder, shape);
    decoder->thread_count = 1;
    decoder->pkt_timebase = time_base;
    decoder->max_pixels = TRANSCODE_PIXELS_MAX;
    if (device->kind->format != AV_PIX_FMT_NONE) {
        decoder->opaque = device;
        decoder->get_format = pick_format;
        decoder->hw_device_ctx = av_buffer_ref(device->ref);
        decoder->extra_hw_frames = 4; /* one is held here, the filters hold some */
    }
    rc = rc < 0 ? rc : worker_driver.event(WORKER_DEVICE_DECODER, shape->codec_id);
    rc = rc < 0 ? rc : avcodec_open2(decoder, codec, NULL);
    if (rc < 0) {
        avcodec_free_context(&decoder);
        return worker_device_fail(fault, rc, "the device's decoder does not start");
    }
    *out = decoder;
    return RR_OK;
}

enum rr_err worker_device_decoder(struct worker_device *device, AVCodecContext **out,
                                  const AVStream *stream, struct rr_fault *fault)
{
    enum rr_err err =
        worker_device_decoder_of(device, out, stream->codecpar, stream->time_base, fault);
    if (err == RR_OK) {
        (*out)->flags |= AV_CODEC_FLAG_BITEXACT;
    }
    return err;
}

/* ---- out of the device
 * ------------------------------------------------------------------------------- */

static enum rr_err download(const struct worker_device *device, AVFrame *frame,
                            struct rr_fault *fault)
{
    if (device->kind->format == AV_PIX_FMT_NONE || frame->format != (int)device->kind->format) {
        return RR_OK;
    }
    AVFrame *plain = av_frame_alloc();
    if (plain == NULL) {
        return rr_fail(fault, RR_ERR_MEMORY, "no memory for a picture");
    }
    plain->format = ((AVHWFramesContext *)frame->hw_frames_ctx->data)->sw_format;
    int rc = av_hwframe_transfer_data(plain, frame, 0);
    rc = rc < 0 ? rc : av_frame_copy_props(plain, frame);
    if (rc >= 0) {
        av_frame_unref(frame);
        av_frame_move_ref(frame, plain);
    }
    av_frame_free(&plain);
    return rc < 0 ? worker_device_fail(fault, rc, "a picture does not leave the device") : RR_OK;
}

/* Rows of one or two bytes a sample; P010 keeps its ten bits on top. */
static void copy_plane(uint8_t *to, int to_stride, const uint8_t *from, int from_stride,
                       unsigned width, unsigned height, unsigned step, unsigned bytes)
{
    for (unsigned row = 0; row < height; row++, to += to_stride, from += from_stride) {
        if (step == 1 && bytes == 1) {
            memcpy(to, from, width);
            continue;
        }
        for (unsigned i = 0; i < width; i++) {
            if (bytes == 1) {
                to[i] = from[(size_t)i * step];
            } else {
                unsigned value = from[2 * (size_t)i * step] | from[2 * (size_t)i * step + 1] << 8;
                value >>= 6;
                to[2 * i] = (uint8_t)value;
                to[2 * i + 1] = (uint8_t)(value >> 8);
            }
        }
    }
}

/* NV12 or P010 from its left and upper crop on, into three planes. */
static void unpack(uint8_t *const to[4], const int strides[4], const AVFrame *frame, unsigned width,
                   unsigned height)
{
    unsigned bytes = frame->format == AV_PIX_FMT_P010LE ? 2 : 1;
    const uint8_t *luma = frame->data[0] + (ptrdiff_t)frame->crop_top * frame->linesize[0] +
                          (ptrdiff_t)frame->crop_left * bytes;
    const uint8_t *chroma = frame->data[1] + (ptrdiff_t)(frame->crop_top / 2) * frame->linesize[1] +
                            (ptrdiff_t)(frame->crop_left / 2) * 2 * bytes;
    copy_plane(to[0], strides[0], luma, frame->linesize[0], width, height, 1, bytes);
    for (unsigned i = 0; i < 2; i++) {
        copy_plane(to[1 + i], strides[1 + i], chroma + (size_t)i * bytes, frame->linesize[1],
                   (width + 1) / 2, (height + 1) / 2, 2, bytes);
    }
}

static bool packed(const AVFrame *frame)
{
    return frame->format == AV_PIX_FMT_NV12 || frame->format == AV_PIX_FMT_P010LE;
}

enum rr_err worker_device_plain(struct worker_device *device, AVFrame *frame,
                                struct rr_fault *fault)
{
    int rc = worker_driver.event(WORKER_DEVICE_PICTURE, AV_CODEC_ID_NONE);
    if (rc < 0) {
        return worker_device_fail(fault, rc, "the device's decoder failed");
    }
    enum rr_err err = download(device, frame, fault);
    if (err == RR_OK && worker_driver.spoil != NULL) {
        worker_driver.spoil(frame);
    }
    if (err != RR_OK || frame->format == AV_PIX_FMT_YUV420P ||
        frame->format == AV_PIX_FMT_YUVJ420P || frame->format == AV_PIX_FMT_YUV420P10LE) {
        return err;
    }
    if (!packed(frame)) {
        return rr_fail(fault, RR_ERR_UNSUPPORTED, "%s gives pictures that are not 4:2:0 in planes",
                       device->id);
    }
    AVFrame *planar = av_frame_alloc();
    if (planar == NULL) {
        return rr_fail(fault, RR_ERR_MEMORY, "no memory for a picture");
    }
    planar->format = frame->format == AV_PIX_FMT_NV12 ? AV_PIX_FMT_YUV420P : AV_PIX_FMT_YUV420P10LE;
    planar->width = frame->width - (int)frame->crop_left;
    planar->height = frame->height - (int)frame->crop_top;
    rc = planar->width > 0 && planar->height > 0 ? av_frame_get_buffer(planar, 0) : AVERROR(EINVAL);
    rc = rc < 0 ? rc : av_frame_copy_props(planar, frame);
    if (rc >= 0) {
        unpack(planar->data, planar->linesize, frame, (unsigned)planar->width,
               (unsigned)planar->height);
        planar->crop_left = planar->crop_top = planar->crop_right = planar->crop_bottom = 0;
        av_frame_unref(frame);
        av_frame_move_ref(frame, planar);
    }
    av_frame_free(&planar);
    return rc < 0 ? worker_fail_av(fault, rc, "no memory for a picture") : RR_OK;
}

enum rr_err worker_device_store(const struct transcode_plan *plan, unsigned rung, uint8_t *out,
                                const AVFrame *frame, struct rr_fault *fault)
{
    const struct transcode_rung *shape = &plan->rungs[rung];
    uint8_t *planes[4];
    int strides[4];
    AVFrame *plain = NULL;
    enum rr_err err = RR_OK;
    worker_picture_layout(planes, strides, plan, shape, out);
    if (frame->hw_frames_ctx != NULL) {
        plain = av_frame_alloc();
        int rc = plain == NULL ? AVERROR(ENOMEM) : 0;
        if (rc == 0) {
            plain->format = ((AVHWFramesContext *)frame->hw_frames_ctx->data)->sw_format;
            rc = av_hwframe_transfer_data(plain, frame, 0);
        }
        if (rc < 0) {
            av_frame_free(&plain);
            return worker_device_fail(fault, rc, "a picture does not leave the device");
        }
        frame = plain;
    }
    if (!packed(frame) || frame->width != shape->width || frame->height != shape->height ||
        (frame->format == AV_PIX_FMT_P010LE) != (plan->ten_bit != 0)) {
        err = rr_fail(fault, RR_ERR_UNSUPPORTED, "the device scaled to %dx%d where %ux%u was due",
                      frame->width, frame->height, shape->width, shape->height);
    } else {
        unpack(planes, strides, frame, shape->width, shape->height);
    }
    av_frame_free(&plain);
    return err;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One GOP as an encoder gave it, foreign or our own, into pictures: with a decoder of its own, so
 * that nothing but these bytes can show. */
#include "transcode/transcode_proto_decode.h"
#include "transcode/worker/worker.h"
#include <libavutil/imgutils.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

struct decoding {
    struct transcode_decode *ask;
    struct transcode_decoded *answer;
    const int *fds;
    AVCodecContext *decoder;
    AVPacket *packet;
    AVFrame *frame;
    uint8_t *picture; /* one, as the rung lays it out */
};

static enum rr_err open_decoder(struct decoding *decoding, struct rr_fault *fault)
{
    const struct transcode_packets *packets = &decoding->ask->packets;
    const AVCodec *kind = avcodec_find_decoder(worker_codec_id(&decoding->ask->plan));
    if (kind == NULL) {
        return rr_fail(fault, RR_ERR_UNSUPPORTED,
                       "this libavcodec does not decode the job's codec");
    }
    AVCodecContext *decoder = decoding->decoder = avcodec_alloc_context3(kind);
    decoding->packet = av_packet_alloc();
    decoding->frame = av_frame_alloc();
    if (decoder == NULL || decoding->packet == NULL || decoding->frame == NULL) {
        return rr_fail(fault, RR_ERR_MEMORY, "no memory for a decoder");
    }
    if (packets->extradata_bytes > 0) {
        decoder->extradata =
            av_mallocz(packets->extradata_bytes + (size_t)AV_INPUT_BUFFER_PADDING_SIZE);
        if (decoder->extradata == NULL) {
            return rr_fail(fault, RR_ERR_MEMORY, "no memory for a decoder");
        }
        memcpy(decoder->extradata, packets->extradata, packets->extradata_bytes);
        decoder->extradata_size = (int)packets->extradata_bytes;
    }
    decoder->thread_count = 1;
    decoder->flags |= AV_CODEC_FLAG_BITEXACT;
    decoder->max_pixels = TRANSCODE_PIXELS_MAX;
    decoder->pkt_timebase = (AVRational){1, (int)decoding->ask->plan.timescale};
    int rc = avcodec_open2(decoder, kind, NULL);
    return rc < 0 ? worker_fail_av(fault, rc, "the decoder does not start") : RR_OK;
}

/* Does a packet of H.264 or HEVC hold an IDR picture? Other codecs mark key frames alone. */
static bool holds_idr(const struct decoding *decoding, const uint8_t *bytes, size_t len, bool key)
{
    uint8_t codec = decoding->ask->plan.codec;
    if (codec != RR_CODEC_H264 && codec != RR_CODEC_HEVC) {
        return key;
    }
    for (size_t i = 0; i + 3 < len; i++) {
        if (bytes[i] == 0 && bytes[i + 1] == 0 && bytes[i + 2] == 1) {
            unsigned type =
                codec == RR_CODEC_H264 ? bytes[i + 3] & 0x1fu : bytes[i + 3] >> 1 & 0x3fu;
            if (codec == RR_CODEC_H264 ? type == 5 : type == 19 || type == 20) {
                return true;
            }
        }
    }
    return false;
}

static void note_stream(struct decoding *decoding)
{
    const AVFrame *frame = decoding->frame;
    struct transcode_decoded *answer = decoding->answer;
    int want = decoding->ask->plan.ten_bit != 0 ? AV_PIX_FMT_YUV420P10LE : AV_PIX_FMT_YUV420P;
    bool whole = frame->format == want ||
                 (want == AV_PIX_FMT_YUV420P && frame->format == AV_PIX_FMT_YUVJ420P);
    answer->width = (uint32_t)frame->width;
    answer->height = (uint32_t)frame->height;
    answer->format = whole;
    answer->sar_num =
        (uint32_t)(frame->sample_aspect_ratio.num > 0 ? frame->sample_aspect_ratio.num : 0);
    answer->sar_den =
        (uint32_t)(frame->sample_aspect_ratio.den > 0 ? frame->sample_aspect_ratio.den : 0);
    answer->full_range =
        frame->color_range == AVCOL_RANGE_JPEG || frame->format == AV_PIX_FMT_YUVJ420P;
    answer->primaries = (uint8_t)frame->color_primaries;
    answer->transfer = (uint8_t)frame->color_trc;
    answer->matrix = (uint8_t)frame->colorspace;
}

static enum rr_err write_picture(struct decoding *decoding, struct rr_fault *fault)
{
    const struct transcode_plan *plan = &decoding->ask->plan;
    const struct transcode_rung *rung = &plan->rungs[decoding->ask->rung];
    const AVFrame *frame = decoding->frame;
    uint64_t size = transcode_frame_bytes(plan, rung);
    uint8_t *planes[4];
    int strides[4];
    worker_picture_layout(planes, strides, plan, rung, decoding->picture);
    for (unsigned i = 0; i < 3; i++) {
        unsigned shift = i == 0 ? 0 : 1;
        av_image_copy_plane(planes[i], strides[i], frame->data[i], frame->linesize[i],
                            (rung->width >> shift) * (plan->ten_bit != 0 ? 2 : 1),
                            rung->height >> shift);
    }
    return rr_pwrite_full(decoding->fds[1], decoding->picture, (size_t)size,
                          size * decoding->answer->count, fault);
}

static enum rr_err take_frames(struct decoding *decoding, struct rr_fault *fault)
{
    const struct transcode_rung *rung = &decoding->ask->plan.rungs[decoding->ask->rung];
    struct transcode_decoded *answer = decoding->answer;
    enum rr_err err = RR_OK;
    int rc = 0;
    while (err == RR_OK && (rc = avcodec_receive_frame(decoding->decoder, decoding->frame)) >= 0) {
        const AVFrame *frame = decoding->frame;
        if (answer->count == TRANSCODE_FRAMES_MAX) {
            return rr_fail(fault, RR_ERR_LIMIT, "the GOP shows more than %d pictures",
                           TRANSCODE_FRAMES_MAX);
        }
        bool same = answer->count > 0 && answer->format != 0 && answer->width == rung->width &&
                    answer->height == rung->height;
        if (answer->count == 0 || same) { /* the first that differs stays told */
            note_stream(decoding);
        }
        if (answer->format != 0 && answer->width == rung->width && answer->height == rung->height) {
            err = write_picture(decoding, fault);
        }
        answer->damaged +=
            frame->decode_error_flags != 0 || (frame->flags & AV_FRAME_FLAG_CORRUPT) != 0 ? 1 : 0;
        answer->pts[answer->count++] = frame->pts;
        av_frame_unref(decoding->frame);
    }
    return err != RR_OK || rc == AVERROR(EAGAIN) || rc == AVERROR_EOF
               ? err
               : worker_fail_av(fault, rc, "the GOP does not decode");
}

static enum rr_err decode_all(struct decoding *decoding, const uint8_t *bytes,
                              struct rr_fault *fault)
{
    const struct transcode_packets *packets = &decoding->ask->packets;
    enum rr_err err = RR_OK;
    uint64_t at = 0;
    uint32_t idr = 0;
    for (uint32_t i = 0; i < packets->count && err == RR_OK; i++) {
        const struct transcode_packet *from = &packets->packets[i];
        AVPacket *packet = decoding->packet;
        int rc = av_new_packet(packet, (int)from->bytes);
        if (rc < 0) {
            return worker_fail_av(fault, rc, "no memory for a packet");
        }
        memcpy(packet->data, bytes + at, from->bytes);
        packet->pts = from->pts;
        packet->flags = from->key != 0 ? AV_PKT_FLAG_KEY : 0;
        bool is_idr = holds_idr(decoding, packet->data, from->bytes, from->key != 0);
        idr += is_idr ? 1 : 0;
        decoding->answer->idr = i == 0 ? is_idr : decoding->answer->idr;
        at += from->bytes;
        rc = avcodec_send_packet(decoding->decoder, packet);
        av_packet_unref(packet);
        err = rc < 0 ? worker_fail_av(fault, rc, "the GOP does not decode")
                     : take_frames(decoding, fault);
    }
    decoding->answer->idr = decoding->answer->idr != 0 && idr == 1;
    if (err == RR_OK) {
        int rc = avcodec_send_packet(decoding->decoder, NULL);
        err = rc < 0 ? worker_fail_av(fault, rc, "the GOP does not end")
                     : take_frames(decoding, fault);
    }
    return err;
}

static enum rr_err decode(struct decoding *decoding, struct rr_fault *fault)
{
    const struct transcode_packets *packets = &decoding->ask->packets;
    const struct transcode_plan *plan = &decoding->ask->plan;
    uint64_t sum = 0;
    for (uint32_t i = 0; i < packets->count; i++) {
        sum += packets->packets[i].bytes;
        if (packets->packets[i].bytes == 0 || packets->packets[i].bytes > INT32_MAX / 2) {
            return rr_fail(fault, RR_ERR_FORMAT, "packet %u has %u bytes", (unsigned)i,
                           (unsigned)packets->packets[i].bytes);
        }
    }
    if (packets->count == 0 || sum != packets->bytes) {
        return rr_fail(fault, RR_ERR_FORMAT, "packets of %llu bytes in a stream of %llu",
                       (unsigned long long)sum, (unsigned long long)packets->bytes);
    }
    uint8_t *bytes = rr_alloc((size_t)sum);
    enum rr_err err = rr_pread_full(decoding->fds[0], bytes, (size_t)sum, 0, fault);
    decoding->picture =
        rr_alloc_aligned((size_t)transcode_frame_bytes(plan, &plan->rungs[decoding->ask->rung]));
    err = err != RR_OK ? err : open_decoder(decoding, fault);
    err = err != RR_OK ? err : decode_all(decoding, bytes, fault);
    avcodec_free_context(&decoding->decoder);
    av_packet_free(&decoding->packet);
    av_frame_free(&decoding->frame);
    rr_free(decoding->picture);
    rr_free(bytes);
    return err;
}

enum rr_err worker_decode(struct worker *worker, struct rr_fault *fault)
{
    struct transcode_decode *ask = rr_alloc(sizeof *ask);
    struct decoding decoding = {
        .ask = ask, .answer = rr_alloc(sizeof *decoding.answer), .fds = worker->fds};
    struct rr_buf message = {0};
    enum rr_err err;
    if (worker->fd_count != 2 || !transcode_decode_message(worker_body(worker), decode, ask) ||
        ask->rung >= ask->plan.rung_count) {
        err = rr_fail(fault, RR_ERR_USAGE, "a decode task that does not follow its form");
    } else {
        err = decode(&decoding, fault);
    }
    if (err == RR_OK) {
        transcode_encode_message(&message, TRANSCODE_DECODED, decoded, decoding.answer);
        worker_send(worker, &message);
    }
    rr_free(decoding.answer);
    rr_free(ask);
    return err;
}

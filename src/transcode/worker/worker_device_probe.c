/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a device can do, by doing it: a few small pictures are coded here, decoded by the device and
 * compared with the CPU's decoder; encoded by the device and decoded again; scaled. A card without
 * an encoder is a fact. */
#include "transcode/worker/worker_device.h"
#include <libavutil/opt.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define SIDE     256 /* above every decoder's least size */
#define PICTURES 6

static const char *const codec_names[] = {"H.264", "HEVC", "AV1", "VP9"};

struct probe {
    struct rr_transcode_device *out;
    struct worker_device *device;
    struct transcode_plan plan;
    AVPacket *packets[PICTURES * 2];
    unsigned packet_count;
    AVCodecParameters *shape;
};

/* ---- a small film
 * -------------------------------------------------------------------------------------- */

static void make_plan(struct transcode_plan *plan, enum rr_codec codec, bool ten_bit)
{
    *plan = (struct transcode_plan){
        .tb_num = 1,
        .tb_den = 25,
        .gop_ms = 2000,
        .ten_bit = ten_bit ? 1 : 0,
        .primaries = AVCOL_PRI_BT709,
        .transfer = AVCOL_TRC_BT709,
        .matrix = AVCOL_SPC_BT709,
        .timescale = 25,
        .ticks = 1,
        .fps_num = 25,
        .fps_den = 1,
        .codec = (uint8_t)codec,
        .rung_count = 2,
        .rungs = {{SIDE, SIDE, 1, 1, {0}}, {SIDE / 2, SIDE / 2, 1, 1, {0}}}};
    plan->rungs[0].rate.crf = plan->rungs[1].rate.crf =
        codec == RR_CODEC_AV1 || codec == RR_CODEC_VP9 ? 40 : 26;
    const char *preset = codec == RR_CODEC_AV1 ? "12" : codec == RR_CODEC_VP9 ? "8" : "ultrafast";
    snprintf(plan->preset, sizeof plan->preset, "%s", preset);
}

/* Slopes that move and some noise, so that every tool of a codec has something to do. */
static void draw(uint8_t *picture, const struct transcode_plan *plan, unsigned number)
{
    uint8_t *planes[4];
    int strides[4];
    uint32_t noise = 12345 + number;
    worker_picture_layout(planes, strides, plan, &plan->rungs[0], picture);
    for (unsigned plane = 0; plane < 3; plane++) {
        unsigned side = plane == 0 ? SIDE : SIDE / 2;
        for (unsigned y = 0; y < side; y++) {
            uint8_t *row = planes[plane] + (size_t)y * (unsigned)strides[plane];
            for (unsigned x = 0; x < side; x++) {
                noise = noise * 1664525u + 1013904223u;
                unsigned value =
                    (x * (plane + 1) + y * 2 + number * 5 + (noise >> 28)) * 4 % 896 + 64;
                if (plan->ten_bit != 0) {
                    row[2 * x] = (uint8_t)value;
                    row[2 * x + 1] = (uint8_t)(value >> 8);
                } else {
                    row[x] = (uint8_t)(value >> 2);
                }
            }
        }
    }
}

static void drop_film(struct probe *probe)
{
    for (unsigned i = 0; i < probe->packet_count; i++) {
        av_packet_free(&probe->packets[i]);
    }
    probe->packet_count = 0;
    avcodec_parameters_free(&probe->shape);
}

static int take_packets(struct probe *probe, AVCodecContext *codec)
{
    int rc = 0;
    while (rc >= 0 && probe->packet_count < RR_COUNT(probe->packets)) {
        AVPacket *packet = av_packet_alloc();
        rc = packet == NULL ? AVERROR(ENOMEM) : avcodec_receive_packet(codec, packet);
        if (rc < 0) {
            av_packet_free(&packet);
        } else {
            probe->packets[probe->packet_count++] = packet;
        }
    }
    return rc == AVERROR(EAGAIN) || rc == AVERROR_EOF ? 0 : rc;
}

static int send_pictures(struct probe *probe, AVCodecContext *codec)
{
    const struct transcode_plan *plan = &probe->plan;
    uint8_t *room = rr_alloc_aligned((size_t)transcode_frame_bytes(plan, &plan->rungs[0]));
    AVFrame *frame = av_frame_alloc();
    int rc = frame == NULL ? AVERROR(ENOMEM) : 0;
    for (unsigned i = 0; i < PICTURES && rc >= 0; i++) {
        uint8_t *planes[4];
        int strides[4];
        draw(room, plan, i);
        worker_picture_layout(planes, strides, plan, &plan->rungs[0], room);
        frame->width = frame->height = SIDE;
        frame->format = codec->pix_fmt;
        frame->pts = i;
        rc = av_frame_get_buffer(frame, 0);
        for (unsigned plane = 0; plane < 3 && rc >= 0; plane++) {
            unsigned side = plane == 0 ? SIDE : SIDE / 2;
            for (unsigned y = 0; y < side; y++) {
                memcpy(frame->data[plane] + (ptrdiff_t)y * frame->linesize[plane],
                       planes[plane] + (size_t)y * (unsigned)strides[plane],
                       (size_t)side << plan->ten_bit);
            }
        }
        rc = rc < 0 ? rc : avcodec_send_frame(codec, frame);
        rc = rc < 0 ? rc : take_packets(probe, codec);
        av_frame_unref(frame);
    }
    rc = rc < 0 ? rc : avcodec_send_frame(codec, NULL);
    rc = rc < 0 ? rc : take_packets(probe, codec);
    av_frame_free(&frame);
    rr_free(room);
    return rc;
}

/* The film in a codec, by the CPU's encoder. False: it has none. */
static bool make_film(struct probe *probe)
{
    const AVCodec *kind = avcodec_find_encoder_by_name(worker_encoder_name(&probe->plan));
    AVCodecContext *codec = kind != NULL ? avcodec_alloc_context3(kind) : NULL;
    if (codec == NULL) {
        return false;
    }
    codec->width = codec->height = SIDE;
    codec->pix_fmt = probe->plan.ten_bit ? AV_PIX_FMT_YUV420P10LE : AV_PIX_FMT_YUV420P;
    codec->time_base = (AVRational){1, 25};
    codec->framerate = (AVRational){25, 1};
    codec->thread_count = 1;
    codec->flags |= AV_CODEC_FLAG_GLOBAL_HEADER;
    struct transcode_encode *ask = rr_alloc(sizeof *ask);
    ask->plan = probe->plan;
    ask->count = PICTURES;
    int rc = worker_codec_settings(codec, ask, &probe->plan.rungs[0].rate);
    rr_free(ask);
    rc = rc < 0 ? rc : avcodec_open2(codec, kind, NULL);
    rc = rc < 0 ? rc : send_pictures(probe, codec);
    probe->shape = avcodec_parameters_alloc();
    rc = probe->shape == NULL ? AVERROR(ENOMEM) : rc;
    rc = rc < 0 ? rc : avcodec_parameters_from_context(probe->shape, codec);
    avcodec_free_context(&codec);
    worker_device_forget();
    return rc >= 0 && probe->packet_count > 0;
}

/* ---- decode
 * ------------------------------------------------------------------------------------------ */

/* Decodes the film; the luma and chroma bytes of all pictures go into out. */
static enum rr_err decode_film(struct probe *probe, AVCodecContext *decoder, bool on_device,
                               struct rr_buf *out, struct rr_fault *fault)
{
    AVFrame *frame = av_frame_alloc();
    enum rr_err err = RR_OK;
    int rc = frame == NULL ? AVERROR(ENOMEM) : 0;
    for (unsigned i = 0; i <= probe->packet_count && rc >= 0 && err == RR_OK; i++) {
        rc = avcodec_send_packet(decoder, i < probe->packet_count ? probe->packets[i] : NULL);
        while (rc >= 0 && err == RR_OK && (rc = avcodec_receive_frame(decoder, frame)) >= 0) {
            err = on_device ? worker_device_plain(probe->device, frame, fault) : RR_OK;
            for (unsigned plane = 0; plane < 3 && err == RR_OK; plane++) {
                int rows = plane == 0 ? frame->height : frame->height / 2;
                int width = plane == 0 ? frame->width : frame->width / 2;
                for (int y = 0; y < rows; y++) {
                    rr_buf_append(out, frame->data[plane] + (ptrdiff_t)y * frame->linesize[plane],
                                  (size_t)width << probe->plan.ten_bit);
                }
            }
            av_frame_unref(frame);
        }
        rc = rc == AVERROR(EAGAIN) || rc == AVERROR_EOF ? 0 : rc;
    }
    av_frame_free(&frame);
    return err == RR_OK && rc < 0 ? worker_device_fail(fault, rc, "decoding failed") : err;
}

static enum rr_err probe_decode(struct probe *probe, struct rr_fault *fault)
{
    struct rr_buf here = {0}, there = {0};
    AVCodecContext *plain = NULL, *decoder = NULL;
    AVRational time_base = {1, 25};
    const AVCodec *codec = avcodec_find_decoder(probe->shape->codec_id);
    enum rr_err err = RR_OK;
    plain = codec != NULL ? avcodec_alloc_context3(codec) : NULL;
    if (plain == NULL || avcodec_parameters_to_context(plain, probe->shape) < 0 ||
        avcodec_open2(plain, codec, NULL) < 0) {
        err = rr_fail(fault, RR_ERR_UNSUPPORTED, "this libavcodec cannot check it");
    }
    err = err != RR_OK ? err : decode_film(probe, plain, false, &here, fault);
    worker_device_forget();
    err = err != RR_OK
              ? err
              : worker_device_decoder_of(probe->device, &decoder, probe->shape, time_base, fault);
    err = err != RR_OK ? err : decode_film(probe, decoder, true, &there, fault);
    if (err == RR_OK && !rr_slice_equal(rr_buf_slice(&here), rr_buf_slice(&there))) {
        err = rr_fail(fault, RR_ERR_DAMAGED,
                      "its pictures are not the CPU's (%zu and %zu bytes), so it is not used",
                      there.len, here.len);
    }
    avcodec_free_context(&plain);
    avcodec_free_context(&decoder);
    rr_buf_clear(&here);
    rr_buf_clear(&there);
    return err;
}

/* ---- scale and encode
 * -------------------------------------------------------------------------------- */

/* Any size that comes out right counts: the arithmetic is the driver's. */
static enum rr_err probe_scale(struct probe *probe, struct rr_fault *fault)
{
    AVCodecContext *decoder = NULL;
    AVFrame *frame = av_frame_alloc();
    const struct transcode_plan *plan = &probe->plan;
    uint8_t *room = rr_alloc_aligned((size_t)transcode_frame_bytes(plan, &plan->rungs[1]));
    enum rr_err err =
        worker_device_decoder_of(probe->device, &decoder, probe->shape, (AVRational){1, 25}, fault);
    int rc = frame == NULL ? AVERROR(ENOMEM) : 0;
    bool none = true;
    for (unsigned i = 0; i <= probe->packet_count && rc >= 0 && err == RR_OK && none; i++) {
        rc = avcodec_send_packet(decoder, i < probe->packet_count ? probe->packets[i] : NULL);
        rc = rc < 0 ? rc : avcodec_receive_frame(decoder, frame);
        none = rc == AVERROR(EAGAIN);
        rc = none ? 0 : rc;
    }
    if (err == RR_OK) {
        err = rc < 0 ? worker_device_fail(fault, rc, "decoding failed")
                     : worker_device_scale(probe->device, plan, frame, fault);
    }
    err = err != RR_OK ? err : worker_device_store(plan, 1, room, probe->device->scaled[1], fault);
    worker_device_unscale(probe->device);
    avcodec_free_context(&decoder);
    av_frame_free(&frame);
    rr_free(room);
    return err;
}

static enum rr_err probe_encode(struct probe *probe, struct rr_fault *fault)
{
    const struct transcode_plan *plan = &probe->plan;
    struct worker_device_encoder *encoder = NULL;
    struct transcode_packets *answer = rr_alloc(sizeof *answer);
    uint8_t *room = rr_alloc_aligned((size_t)transcode_frame_bytes(plan, &plan->rungs[0]));
    int fd = memfd_create("reelrig-probe", MFD_CLOEXEC);
    enum rr_err err = fd < 0 ? rr_fail_errno(fault, "no memory file") : RR_OK;
    err = err != RR_OK ? err
                       : worker_device_encoder_open(&encoder, probe->device, plan, 0, NULL, fault);
    for (unsigned i = 0; i < PICTURES && err == RR_OK; i++) {
        draw(room, plan, i);
        err = worker_device_encoder_upload(encoder, room, i, fault);
    }
    err = err != RR_OK ? err : worker_device_encoder_end(encoder, fd, answer, fault);
    for (uint32_t i = 0; err == RR_OK && i < answer->count; i++) {
        if (answer->count != PICTURES || (answer->packets[i].key != 0) != (i == 0)) {
            err = rr_fail(fault, RR_ERR_DAMAGED,
                          "%u pictures went in, %u came out, or the key picture is not the first "
                          "alone",
                          PICTURES, (unsigned)answer->count);
        }
    }
    worker_device_encoder_free(encoder);
    if (fd >= 0) {
        close(fd);
    }
    rr_free(room);
    rr_free(answer);
    return err;
}

/* ---- all of it
 * --------------------------------------------------------------------------------------- */

static void note(struct rr_transcode_device *out, const char *what, const struct rr_fault *fault)
{
    size_t used = strlen(out->why_not);
    snprintf(out->why_not + used, sizeof out->why_not - used, "%s%s: %.90s", used > 0 ? "; " : "",
             what, fault->text);
}

static void probe_codec(struct probe *probe, enum rr_codec codec, bool ten_bit)
{
    struct rr_transcode_device *out = probe->out;
    const struct worker_device_kind *kind = probe->device->kind;
    struct rr_fault fault = {0};
    char what[32];
    uint8_t bit = (uint8_t)(1u << codec);
    make_plan(&probe->plan, codec, ten_bit);
    if (kind->decodes && make_film(probe)) {
        enum rr_err err = probe_decode(probe, &fault);
        if (err == RR_OK) {
            *(ten_bit ? &out->decodes_10 : &out->decodes) |= bit;
        } else if (!ten_bit) {
            snprintf(what, sizeof what, "no decoding of %s", codec_names[codec]);
            note(out, what, &fault);
        }
        if (err == RR_OK && !ten_bit && !out->scales && kind->scaler != NULL) {
            out->scales = probe_scale(probe, &fault) == RR_OK;
            if (!out->scales) {
                note(out, "no scaling", &fault);
            }
        }
    }
    drop_film(probe);
    worker_device_forget();
    if (kind->encoders[codec] == NULL || (ten_bit && (out->encodes & bit) == 0)) {
        return;
    }
    enum rr_err err = probe_encode(probe, &fault);
    if (err == RR_OK || (err == RR_ERR_BUSY && !ten_bit)) {
        /* Sessions that others hold now come back; the job waits for them. */
        *(ten_bit ? &out->encodes_10 : &out->encodes) |= bit;
    } else if (!ten_bit && err != RR_ERR_UNSUPPORTED) {
        snprintf(what, sizeof what, "no encoding of %s", codec_names[codec]);
        note(out, what, &fault);
    }
}

void worker_device_probe(struct rr_transcode_device *out, const char *id)
{
    struct probe *probe = rr_alloc(sizeof *probe);
    struct rr_fault fault = {0};
    snprintf(out->id, sizeof out->id, "%.63s", id);
    probe->out = out;
    if (worker_device_open(&probe->device, id, false, &fault) != RR_OK) {
        snprintf(out->why_not, sizeof out->why_not, "%.220s", fault.text);
        rr_free(probe);
        return;
    }
    worker_driver.name(out->name, probe->device->ref, id);
    for (unsigned codec = 0; codec < 4; codec++) {
        probe_codec(probe, (enum rr_codec)codec, false);
        if (codec != RR_CODEC_H264) { /* almost no device decodes or encodes its ten bits */
            probe_codec(probe, (enum rr_codec)codec, true);
        }
    }
    if (out->encodes == 0) {
        struct rr_transcode_device found = *out; /* in front: the fact that matters most */
        snprintf(out->why_not, sizeof out->why_not, "this card has no encoder%s%.190s",
                 found.why_not[0] != 0 ? "; " : "", found.why_not);
    }
    worker_device_close(probe->device);
    rr_free(probe);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Inside reelrig-worker-device: decoding, scaling and encoding on one device. The plain worker has
 * none of this. What touches a driver stands behind worker_driver, so that tests can put a double
 * with software codecs in its place. */
#ifndef RR_WORKER_DEVICE_H
#define RR_WORKER_DEVICE_H
#include "transcode/worker/worker.h"
#include <libavfilter/avfilter.h>
#include <libavutil/hwcontext.h>
#include <libavutil/opt.h>

/* ---- what a driver must tell ---- */
struct worker_device_kind {
    const char *prefix; /* of ids: "cuda:" */
    enum AVHWDeviceType type;
    enum AVPixelFormat format;         /* of pictures on it; AV_PIX_FMT_NONE: plain memory */
    const char *encoders[4];           /* by enum rr_codec; NULL: none in this libavcodec */
    const char *scaler, *scaler_words; /* filter; its words before the format's name */
    int pool;                          /* pictures that must be allocated at once; 0: none */
    bool decodes;
    /* Preset and quality, before avcodec_open2. libav's error, or 0. */
    int (*settings)(AVCodecContext *codec, const struct transcode_plan *plan,
                    const struct rr_rung_rate *rate);
};
enum worker_device_event {
    WORKER_DEVICE_DECODER, /* a decoder is to be opened */
    WORKER_DEVICE_PICTURE, /* a picture was decoded */
    WORKER_DEVICE_ENCODER, /* an encoder is to be opened */
    WORKER_DEVICE_ENCODED, /* a picture goes into an encoder */
    WORKER_DEVICE_CLOSED,  /* an encoder was closed */
};
struct worker_driver {
    void (*early)(void); /* before the lock */
    /* What may be there, by the nodes alone. */
    void (*list)(struct transcode_device_names *out);
    const struct worker_device_kind *(*kind)(const char *id); /* NULL: no such kind */
    int (*open)(AVBufferRef **out, const struct worker_device_kind *kind, const char *id);
    void (*name)(char out[static 64], const AVBufferRef *device, const char *id);
    /* Before something happens: 0, or the libav error that it is to end with. */
    int (*event)(enum worker_device_event event, enum AVCodecID codec);
    /* Changes a decoded picture; only a double that lies does. May be NULL. */
    void (*spoil)(AVFrame *frame);
};
extern const struct worker_driver worker_driver;

/* ---- libav's complaints since the last were told, printable, for why_not ---- */
void worker_device_listen(void);
const char *worker_device_said(void);
void worker_device_forget(void);
/* `what`, libav's error and its complaints. RR_ERR_BUSY: the driver has no encoder session left;
 * RR_ERR_UNSUPPORTED: it has none at all; RR_ERR_IO: else. */
enum rr_err worker_device_fail(struct rr_fault *fault, int averror, const char *what);

/* ---- one device ---- */
struct worker_device {
    char id[RR_TRANSCODE_DEVICE_MAX + 1];
    const struct worker_device_kind *kind;
    AVBufferRef *ref; /* NULL for a kind in plain memory */
    bool exact;
    /* scaling (worker_device_scale.c) */
    AVFilterGraph *graph;
    AVFilterContext *in, *out[RR_RUNGS_MAX];
    AVFrame *scaled[RR_RUNGS_MAX];
    int width, height, format;
    uint8_t *frames; /* context that the graph was made for; only compared */
    struct worker_device_encoder *encoders[RR_RUNGS_MAX]; /* of the open GOP */
};
enum rr_err worker_device_open(struct worker_device **out, const char *id, bool exact,
                               struct rr_fault *fault);
void worker_device_close(struct worker_device *device);

/* ---- decoding (worker_device_decode.c) ---- */
enum rr_err worker_device_decoder(struct worker_device *device, AVCodecContext **out,
                                  const AVStream *stream, struct rr_fault *fault);
/* The same from parameters, for the probe. */
enum rr_err worker_device_decoder_of(struct worker_device *device, AVCodecContext **out,
                                     const AVCodecParameters *shape, AVRational time_base,
                                     struct rr_fault *fault);
/* The picture into plain planar memory, as a decoder of the CPU would have given it. */
enum rr_err worker_device_plain(struct worker_device *device, AVFrame *frame,
                                struct rr_fault *fault);
/* Planes of a picture on or off the device into a rung's layout. */
enum rr_err worker_device_store(const struct transcode_plan *plan, unsigned rung, uint8_t *out,
                                const AVFrame *frame, struct rr_fault *fault);

/* ---- scaling (worker_device_scale.c) ---- */
/* Whether the device can make this plan's pictures: no turning, no tone mapping. */
bool worker_device_scales(const struct worker_device *device, const struct transcode_plan *plan);
/* All rungs of one picture into device->scaled. */
enum rr_err worker_device_scale(struct worker_device *device, const struct transcode_plan *plan,
                                const AVFrame *frame, struct rr_fault *fault);
void worker_device_unscale(struct worker_device *device); /* drops the graph */

/* ---- encoding (worker_device_encode.c) ---- */
struct worker_device_encoder;
/* frames: pool of the pictures to come, NULL: they come from plain memory. */
enum rr_err worker_device_encoder_open(struct worker_device_encoder **out,
                                       struct worker_device *device,
                                       const struct transcode_plan *plan, unsigned rung,
                                       AVBufferRef *frames, struct rr_fault *fault);
/* A picture of the pool, at a time from the GOP's start. */
enum rr_err worker_device_encoder_add(struct worker_device_encoder *encoder, AVFrame *frame,
                                      int64_t pts, struct rr_fault *fault);
/* A rung's picture in plain memory. */
enum rr_err worker_device_encoder_upload(struct worker_device_encoder *encoder, uint8_t *picture,
                                         int64_t pts, struct rr_fault *fault);
/* Ends the stream into fd and fills answer. */
enum rr_err worker_device_encoder_end(struct worker_device_encoder *encoder, int fd,
                                      struct transcode_packets *answer, struct rr_fault *fault);
void worker_device_encoder_free(struct worker_device_encoder *encoder);

/* ---- probing (worker_device_probe.c) ---- */
void worker_device_probe(struct rr_transcode_device *out, const char *id);
#endif

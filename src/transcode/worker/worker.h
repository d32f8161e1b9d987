/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Inside reelrig-worker: the only code of the house that sees foreign bytes and libav. One thread,
 * no file, no network. Every handler returns RR_OK, or an error whose sentence goes to the parent;
 * only a broken socket ends the process. */
#ifndef RR_WORKER_H
#define RR_WORKER_H
#include "transcode/transcode_live_proto.h"
#include "transcode/transcode_rate.h"
#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>

struct worker {
    int socket;
    struct rr_buf message; /* last received, kind byte first */
    int fds[TRANSCODE_FDS_MAX];
    size_t fd_count; /* owned; closed when the next message comes */
    struct worker_mux *mux;
    struct worker_file *file;
    struct worker_device *device; /* NULL: the CPU */
};
/* Receives the next message; false at the end of the socket. */
bool worker_receive(struct worker *worker);
/* Body of the last message, without its kind. */
struct rr_slice worker_body(const struct worker *worker);
uint8_t worker_kind(const struct worker *worker);
/* Sends what encode_message appended; leaves the process when the parent is gone. */
void worker_send(struct worker *worker, struct rr_buf *message);
/* Freed memory stays with the process: each GOP's encoder asks for the same again, and fresh pages
 * were a tenth of the whole work (measured). */
void worker_keep_memory(void);
/* The error of a libav call in one sentence. */
enum rr_err worker_fail_av(struct rr_fault *fault, int averror, const char *what);

/* Resource limits, Landlock, seccomp; nothing can be opened after it. threads: they may be started.
 * Aborts only on misuse. */
void worker_lock_down(struct transcode_hello *hello, uint64_t address_bytes, bool threads);
/* Tries what must be killed: "open", "socket", "fork", "exec", "kill"; returns 1 if it came
 * through. */
int worker_self_test(const char *what);

/* What reelrig-worker-device does in another way; all but the first two are NULL in the plain
 * worker, and none but the first four is called without worker->device. */
struct worker_profile {
    void (*lock_down)(struct transcode_hello *hello, uint64_t address_bytes, bool threads);
    int (*self_test)(const char *what);
    void (*warm)(void);
    enum rr_err (*task)(struct worker *worker, struct rr_fault *fault);
    enum rr_err (*decoder)(struct worker_device *device, AVCodecContext **out,
                           const AVStream *stream, struct rr_fault *fault);
    /* Whether it scales; then, per GOP: the rungs that it will encode, each picture (the first may
     * drop rungs of `coded` that found no session), its raw rungs, the end of each coded rung. */
    bool (*scales)(const struct worker_device *device, const struct transcode_plan *plan);
    uint8_t (*gop_begin)(struct worker_device *device, const struct transcode_plan *plan,
                         uint8_t wanted);
    enum rr_err (*picture)(struct worker_device *device, const struct transcode_plan *plan,
                           uint8_t *coded, bool first, AVFrame *frame, int64_t pts,
                           struct rr_fault *fault);
    enum rr_err (*store)(struct worker_device *device, const struct transcode_plan *plan,
                         uint8_t *const out[RR_RUNGS_MAX], struct rr_fault *fault);
    enum rr_err (*gop_end)(struct worker_device *device, unsigned rung, int fd,
                           struct transcode_packets *answer, struct rr_fault *fault);
    /* Else: the decoded picture into plain memory, for the CPU to scale. */
    enum rr_err (*plain)(struct worker_device *device, AVFrame *frame, struct rr_fault *fault);
    enum rr_err (*encode)(struct worker_device *device, const struct transcode_encode *ask,
                          const int fds[2], struct transcode_packets *answer,
                          struct rr_fault *fault);
};
extern const struct worker_profile worker_profile;
/* The wider lock of a device's worker. */
void worker_device_lock_down(struct transcode_hello *hello, uint64_t address_bytes, bool threads);
int worker_device_self_test(const char *what);

/* ---- input ---- */
/* A stream's place on the file's clock, which may be set anew on the way. */
struct worker_clock {
    bool running;
    uint8_t epoch;
    int64_t at_us; /* of its last packet, as stamped */
};
#define WORKER_EPOCHS_MAX 64
struct worker_input {
    int fd;
    int64_t offset, size;
    AVIOContext *io;
    AVFormatContext *format;
    int video, audio; /* stream numbers, -1: none */
    struct worker_clock clocks[TRANSCODE_STREAMS_MAX];
    int64_t shift_us[WORKER_EPOCHS_MAX]; /* what an epoch's stamps are moved by */
    uint8_t epoch;                       /* the newest */
    int64_t end_us;                      /* where all that was read ends, moved */
};
/* Opens the container on fd (borrowed) behind whitelists and limits. */
enum rr_err worker_input_open(struct worker_input *input, int fd, struct rr_fault *fault);
void worker_input_close(struct worker_input *input);
/* av_read_frame on one time line: where the clock was set anew (files joined end to end, a
 * sender's restart) the stamps go on where they were. Depends on the packets before it alone, so
 * every pass over a file sees the same. */
int worker_input_read(struct worker_input *input, AVPacket *packet);
/* Takes the video stream of that number, from 1 on, instead of the best. */
enum rr_err worker_input_pick(struct worker_input *input, uint8_t number, struct rr_fault *fault);
/* Opens a decoder of a stream, one thread. */
enum rr_err worker_decoder_open(AVCodecContext **out, const AVStream *stream,
                                struct rr_fault *fault);

/* ---- scaling ---- */
struct worker_scale; /* one input picture into all rungs, cascading */
struct worker_scale *worker_scale_new(const struct transcode_plan *plan);
void worker_scale_free(struct worker_scale *scale);
/* out[i]: room for one frame of rung i, NULL when not wanted. */
enum rr_err worker_scale_frame(struct worker_scale *scale, uint8_t *const out[RR_RUNGS_MAX],
                               const AVFrame *frame, struct rr_fault *fault);
/* Plane pointers and strides of a packed rung picture. */
void worker_picture_layout(uint8_t *planes[4], int strides[4], const struct transcode_plan *plan,
                           const struct transcode_rung *rung, uint8_t *bytes);

/* ---- encoders ---- */
/* Looks all up once, while libraries may still open files. */
void worker_encoders_warm(void);
const char *worker_encoder_name(const struct transcode_plan *plan);
enum AVCodecID worker_codec_id(const struct transcode_plan *plan);
/* Preset, rate and what makes the result exact; before avcodec_open2. rate: of this try, else
 * the rung's. libav's error, or 0. */
int worker_codec_settings(AVCodecContext *codec, const struct transcode_encode *ask,
                          const struct rr_rung_rate *rate);

/* One GOP through a fresh encoder: ask->count pictures of rung ask->rung, one behind the other. The
 * packets' bytes come out in *bytes (owned by the caller, on success only). */
enum rr_err worker_encode_pictures(struct transcode_packets *answer, struct rr_buf *bytes,
                                   const struct transcode_encode *ask, uint8_t *pictures,
                                   struct rr_fault *fault);

/* ---- tasks ---- */
enum rr_err worker_probe(struct worker *worker, struct rr_fault *fault);
enum rr_err worker_source(struct worker *worker, struct rr_fault *fault);
enum rr_err worker_scan(struct worker *worker, struct rr_fault *fault);
/* What a leaf's source digest is made of. */
void worker_packet_digest(struct rr_hash32 *out, const AVPacket *packet);
enum rr_err worker_measure(struct worker *worker, struct rr_fault *fault);
enum rr_err worker_encode(struct worker *worker, struct rr_fault *fault);
enum rr_err worker_decode(struct worker *worker, struct rr_fault *fault);
enum rr_err worker_audio(struct worker *worker, struct rr_fault *fault);
enum rr_err worker_subtitle(struct worker *worker, struct rr_fault *fault);
enum rr_err worker_mux(struct worker *worker, struct rr_fault *fault);
enum rr_err worker_segment(struct worker *worker, struct rr_fault *fault);
void worker_mux_free(struct worker_mux *mux);
/* What the container is to know of a track; false: no memory. */
bool worker_mux_shape(AVStream *stream, const struct transcode_mux *ask);
/* Sample i of the segment, read from fd at *offset, which moves on. */
enum rr_err worker_mux_sample(AVPacket *packet, const struct transcode_sample *sample, int fd,
                              uint64_t *offset, struct rr_fault *fault);
/* The four tasks of one MP4 file, by the message's kind. */
enum rr_err worker_file(struct worker *worker, struct rr_fault *fault);
void worker_file_free(struct worker_file *file);
#endif

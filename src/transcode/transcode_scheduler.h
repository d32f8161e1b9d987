/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Between the files of the job's one thread: the scheduler and its workers. */
#ifndef RR_TRANSCODE_SCHEDULER_H
#define RR_TRANSCODE_SCHEDULER_H
#include "transcode/transcode_private.h"

#define TRANSCODE_POOL_MAX 64 /* idle memfds of raw pictures, all rungs */
#define TRANSCODE_NO_TASK  UINT32_MAX

struct transcode_pooled {
    int fd;
    unsigned rung;
};
struct transcode_encoder {
    struct transcode_worker worker;
    int out_fd;
    uint32_t gop; /* TRANSCODE_NO_TASK: idle */
    unsigned rung;
    int device;       /* that the worker was started for; TRANSCODE_CPU */
    bool streams;     /* its GOP's pictures are given one by one, and not all yet */
    uint32_t sent;    /* of them */
    uint32_t waiting; /* given and not answered */
};
/* Pictures of the granted GOP that are there already. */
struct transcode_stream {
    uint32_t count;
    int64_t pts[TRANSCODE_FRAMES_MAX]; /* source time base, rising */
};
struct transcode_scheduler {
    struct transcode_job *job;
    struct transcode_worker source, sound;
    uint32_t next_gop; /* that the source will tell */
    uint32_t granted;  /* number of the GOP that it may make now; TRANSCODE_NO_TASK: none */
    uint32_t held;     /* GOPs with pictures in memory */
    uint32_t window;
    int granted_fds[RR_RUNGS_MAX];
    bool source_on, sound_on;
    uint8_t source_deaths, sound_deaths; /* since it last gave something */
    unsigned sound_rung;   /* the track that the sound worker makes, as TRANSCODE_AUDIO_RUNG says */
    uint8_t granted_coded; /* rungs that the source was asked to encode on its device */
    uint8_t chained;       /* rungs of the GOP before next_gop whose packets are still to be told */
    int sound_fds[2];
    struct transcode_encoder *encoders;
    unsigned encoder_count;
    unsigned warmed; /* encoders whose worker was started before there was work for it, or need not
                        be */
    struct transcode_pooled pool[TRANSCODE_POOL_MAX];
    unsigned pooled;
    struct transcode_encode *task;
    struct transcode_packets *packets;
    struct transcode_gop *told;
    struct transcode_stream *stream;
};

/* ---- memory of raw pictures, and the source (transcode_source.c) ---- */
enum rr_err transcode_frames_get(struct transcode_scheduler *plan, int *out, unsigned rung,
                                 struct rr_fault *fault) RR_MUST_USE;
void transcode_frames_put(struct transcode_scheduler *plan, int fd, unsigned rung);
/* Starts the source worker so that it tells GOP `from` next, or the one before. */
enum rr_err transcode_source_start(struct transcode_scheduler *plan, uint32_t from,
                                   struct rr_fault *fault) RR_MUST_USE;
/* Leave to make one GOP more, while the window has room. RR_ERR_UNREACHABLE: it is dead. */
enum rr_err transcode_source_grant(struct transcode_scheduler *plan,
                                   struct rr_fault *fault) RR_MUST_USE;
/* Takes one message that is ready. */
enum rr_err transcode_source_serve(struct transcode_scheduler *plan,
                                   struct rr_fault *fault) RR_MUST_USE;
/* One more try on a fresh worker where `err` is worth it, else the fault with its place. */
enum rr_err transcode_source_failed(struct transcode_scheduler *plan, enum rr_err err,
                                    struct rr_fault *fault) RR_MUST_USE;

/* Ends its worker and takes back what it was granted. */
void transcode_source_stop(struct transcode_scheduler *plan);

/* ---- devices (transcode_device_job.c) ---- */
/* Who made this rendition; records of makers, before transcode_job_load. */
enum rr_err transcode_devices_settle(struct transcode_job *job, struct rr_fault *fault) RR_MUST_USE;
int transcode_device_maker(const struct transcode_scheduler *plan, unsigned rung);
/* Whether the rendition's maker may be given a GOP now. */
bool transcode_device_free(const struct transcode_scheduler *plan, unsigned rung);
unsigned transcode_device_busy(const struct transcode_scheduler *plan, int device);
/* Starts the worker of an encoder; of the source, on the CPU when its device does not open. */
enum rr_err transcode_device_encoder(struct transcode_scheduler *plan,
                                     struct transcode_encoder *encoder, int device,
                                     struct rr_fault *fault) RR_MUST_USE;
enum rr_err transcode_device_source(struct transcode_scheduler *plan,
                                    struct rr_fault *fault) RR_MUST_USE;
/* Rungs of `wanted` that the source's device encodes itself. */
uint8_t transcode_device_chain(const struct transcode_scheduler *plan, uint8_t wanted);
enum rr_err transcode_device_chained(struct transcode_scheduler *plan, uint8_t asked, uint8_t coded,
                                     struct rr_fault *fault) RR_MUST_USE;
/* A GOP came out well; an encoder failed, died or found no session; two failures in a row and the
 * device is given up; another card's parameter sets are not those of the GOPs before. */
void transcode_device_well(struct transcode_scheduler *plan, int device);
enum rr_err transcode_device_encoder_failed(struct transcode_scheduler *plan,
                                            struct transcode_encoder *encoder, enum rr_err err,
                                            struct rr_fault *fault) RR_MUST_USE;
enum rr_err transcode_device_strike(struct transcode_scheduler *plan, int device,
                                    struct rr_fault *fault) RR_MUST_USE;
enum rr_err transcode_device_differs(struct transcode_scheduler *plan, unsigned rung,
                                     struct rr_fault *fault) RR_MUST_USE;
/* True: it ran on a device, and is to be started again, on the CPU where that is better. */
bool transcode_device_source_failed(struct transcode_scheduler *plan, enum rr_err err,
                                    struct rr_fault *fault) RR_MUST_USE;

/* ---- encoders (transcode_encoders.c); as those of the source ---- */
/* Starts the worker of one encoder that will soon have work; a start that fails is told when there
 * is some. False: no more to start. */
bool transcode_encoder_warm(struct transcode_scheduler *plan);
/* Gives an idle encoder the task that comes next, while a core is free; one that streams its next
 * pictures. */
enum rr_err transcode_encoder_feed(struct transcode_scheduler *plan,
                                   struct transcode_encoder *encoder,
                                   struct rr_fault *fault) RR_MUST_USE;
/* Checks and journals a GOP of a rung: `body` of a PACKETS message, payload in fd. */
enum rr_err transcode_encoder_keep(struct transcode_scheduler *plan, struct rr_slice body,
                                   uint32_t gop, unsigned rung, int fd,
                                   struct rr_fault *fault) RR_MUST_USE;
/* Its pictures' memory goes back. */
void transcode_encoder_release(struct transcode_scheduler *plan, uint32_t gop, unsigned rung);
enum rr_err transcode_encoder_serve(struct transcode_scheduler *plan,
                                    struct transcode_encoder *encoder,
                                    struct rr_fault *fault) RR_MUST_USE;
enum rr_err transcode_encoder_failed(struct transcode_scheduler *plan,
                                     struct transcode_encoder *encoder, enum rr_err err,
                                     struct rr_fault *fault) RR_MUST_USE;

/* ---- encoders that keep pace with the source (transcode_stream.c) ---- */
/* The largest rung of the granted GOP that can be begun now. */
bool transcode_stream_pick(const struct transcode_scheduler *plan, unsigned *rung_out);
/* On an idle encoder whose worker runs. RR_ERR_UNREACHABLE: it is dead. */
enum rr_err transcode_stream_begin(struct transcode_scheduler *plan,
                                   struct transcode_encoder *encoder, unsigned rung,
                                   struct rr_fault *fault) RR_MUST_USE;
/* Gives one that streams what it may have now, and the GOP's end when that is told.
 * RR_ERR_UNREACHABLE: it is dead. */
enum rr_err transcode_stream_feed(const struct transcode_scheduler *plan,
                                  struct transcode_encoder *encoder,
                                  struct rr_fault *fault) RR_MUST_USE;
/* It answered a picture. */
enum rr_err transcode_stream_serve(struct transcode_encoder *encoder,
                                   struct rr_fault *fault) RR_MUST_USE;
/* The source told a picture. */
enum rr_err transcode_stream_take(struct transcode_scheduler *plan,
                                  struct rr_fault *fault) RR_MUST_USE;
/* Whether the GOP that is told (plan->told) has the pictures that were told. */
bool transcode_stream_agrees(const struct transcode_scheduler *plan);
/* The granted GOP will not come: ends the encoders that were at it. */
void transcode_stream_drop(struct transcode_scheduler *plan);

/* ---- sound and text (transcode_sound.c); as those of the source ---- */
/* Starts on the first track that is not done, if there is one. */
enum rr_err transcode_sound_start(struct transcode_scheduler *plan,
                                  struct rr_fault *fault) RR_MUST_USE;
enum rr_err transcode_sound_serve(struct transcode_scheduler *plan,
                                  struct rr_fault *fault) RR_MUST_USE;
enum rr_err transcode_sound_failed(struct transcode_scheduler *plan, enum rr_err err,
                                   struct rr_fault *fault) RR_MUST_USE;

/* ---- failures (transcode_job.c) ---- */
/* Adds to the fault where in the job it happened. */
enum rr_err transcode_place(struct rr_fault *fault, enum rr_err err, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* It ended without a word of its own: died or was silent for too long. */
bool transcode_died(enum rr_err err) RR_MUST_USE;
/* Whether a task gets one more fresh worker; what a worker says itself is final. Some deaths have
 * nothing to do with the input (a machine short of memory, an operator): six of SIGKILL are borne,
 * three crashes, one silence. */
bool transcode_again(enum rr_err err, const struct transcode_worker *worker,
                     uint8_t *deaths) RR_MUST_USE;
#endif

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Live input to a live ladder; enter by transcode.h. Pictures go to the encoders as they are
 * decoded and parts come out while their GOP is still encoded; a GOP's bytes are those that a job
 * over the recorded input would make. */
#ifndef RR_TRANSCODE_LIVE_H
#define RR_TRANSCODE_LIVE_H
#include "transcode/transcode.h"

struct rr_live_options {
    const char *input;       /* "srt://ADDRESS:PORT?passphrase=P&streamid=S&latency=MS",
                                "rtmp://ADDRESS:PORT/APP/KEY", or a file that grows */
    uint32_t part_ms;        /* 200..1000, default 333 */
    uint32_t grace_ms;       /* how long a publisher may be gone; default 30000 */
    uint32_t quiet_ms;       /* a file that does not grow so long has ended; default 5000 */
    bool catch_up;           /* a file: as fast as it can be read, not in step with its times */
    const char *ingest_path; /* default: RR_INGEST, then reelrig-ingest beside this program */
    struct rr_transcode_options job; /* job_folder is not used */
};
enum rr_live_event {
    RR_LIVE_CAME,     /* a publisher was let in, or a file is read */
    RR_LIVE_WENT,     /* it is gone; grace runs */
    RR_LIVE_REFUSED,  /* somebody was turned away */
    RR_LIVE_BEHIND,   /* the machine does not keep up: a rung or a GOP was dropped */
    RR_LIVE_RESTORED, /* a dropped rung is made again */
    RR_LIVE_FAULT     /* something failed and goes on */
};
struct rr_live_segment {
    uint64_t number;
    uint64_t start_us;       /* output time */
    uint64_t duration_us;    /* close only */
    uint64_t program_ms;     /* wall time of its beginning, since 1970 */
    bool discontinuity;      /* time jumped before it */
    bool gap;                /* close only: it is not whole, or was not made at all */
    struct rr_pot_leaf leaf; /* close only, video without gap: what a spot check compares */
};
struct rr_live_part {
    uint64_t segment;
    uint32_t number; /* in its segment */
    uint32_t duration_us;
    bool independent;
    bool last; /* its segment closes right after it */
    struct rr_slice
        bytes; /* borrowed for the call; the segment is its parts, one after the other */
};
/* Called on the thread of rr_live_run, one at a time; must not block long. */
struct rr_live_sink {
    void *ctx;
    void (*listening)(void *ctx, uint16_t port); /* network only */
    void (*said)(void *ctx, enum rr_live_event event, const char *text);
    /* Video highest first, then sound; rates, codecs and segments are not known yet. Once. */
    void (*begin)(void *ctx, const struct rr_rendition *renditions, uint32_t count,
                  uint32_t part_us);
    void (*init)(void *ctx, uint32_t rendition, const char *codecs, struct rr_slice bytes);
    void (*open)(void *ctx, uint32_t rendition, const struct rr_live_segment *segment);
    void (*part)(void *ctx, uint32_t rendition, const struct rr_live_part *part);
    void (*close)(void *ctx, uint32_t rendition, const struct rr_live_segment *segment);
    void (*tick)(void *ctx); /* some fifty times a second */
};
/* Runs until the input has ended, or *stop: then what came is finished. Blocks; the calling thread
 * is its only owner. A network input is received by reelrig-ingest, which may use the network and
 * decodes nothing; foreign bytes are parsed in sandboxed workers. RR_ERR_USAGE: input or options;
 * RR_ERR_BUSY: the port is taken; RR_ERR_FORMAT, RR_ERR_UNSUPPORTED, RR_ERR_DAMAGED: the first
 * publisher or the file sends no video that can be taken; RR_ERR_TIMEOUT: nobody came within the
 * grace time (stop: RR_OK). */
enum rr_err rr_live_run(const struct rr_live_options *options, const struct rr_live_sink *sink,
                        const atomic_bool *stop, struct rr_fault *fault) RR_MUST_USE;
#endif

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Between the files of live. One thread: it owns all of it. */
#ifndef RR_TRANSCODE_LIVE_PRIVATE_H
#define RR_TRANSCODE_LIVE_PRIVATE_H
#include "transcode/transcode_live_proto.h"
#include "transcode/transcode_private.h"

#define LIVE_GOPS        6 /* in memory at a time, at most */
#define LIVE_REORDER_MAX 4
#define LIVE_BEHIND_GOPS 3 /* an encoder that is so many GOPs late does not keep up */
#define LIVE_AHEAD       2 /* pictures that an encoder has been given and not answered */

/* ---- input (transcode_live_input.c) -----------------------------------------------------------
 */
enum live_input_state {
    LIVE_INPUT_IDLE,  /* nobody publishes */
    LIVE_INPUT_BEGAN, /* bytes come */
    LIVE_INPUT_ENDED  /* no more of this publisher, or of the file */
};
struct live_input {
    enum live_input_state state;
    bool network;
    pid_t pid; /* of reelrig-ingest */
    int control;
    struct rr_buf message;
    int spool;                /* what came and is not read yet; a file: itself */
    int wakes[2], readers[2]; /* pipes to the readers of pictures and sound */
    uint64_t read[2];         /* they are done with all before it */
    bool listens[2];          /* that reader exists */
    uint64_t punched;
    uint64_t size, grown_us; /* of a file */
};
struct live;
enum rr_err live_input_open(struct live *live, struct rr_fault *fault) RR_MUST_USE;
void live_input_close(struct live_input *input);
/* A fresh spool and pipes for whoever comes next. */
enum rr_err live_input_arm(struct live *live, struct rr_fault *fault) RR_MUST_USE;
/* Reads one word of the ingest. */
enum rr_err live_input_hear(struct live *live, struct rr_fault *fault) RR_MUST_USE;
/* Looks whether the file grew, or will not any more. */
void live_input_look(struct live *live);
/* Reader 0 or 1 stands at offset. */
void live_input_read(struct live_input *input, unsigned reader, uint64_t offset);
/* Bytes that wait to be read. */
uint64_t live_input_waiting(const struct live_input *input);
/* Ends the publisher, or the file. */
void live_input_end(struct live *live);
enum rr_err live_probe(struct live *live, struct transcode_facts *out,
                       struct rr_fault *fault) RR_MUST_USE;

/* ---- GOPs in flight (transcode_live_gop.c) ----------------------------------------------------
 */
struct live_gop {
    bool open, closed;
    bool jumped;   /* time jumps before it */
    uint8_t rungs; /* that are made of it */
    uint32_t cell, count, first, last;
    struct rr_hash32 digest;
    int64_t pts[TRANSCODE_FRAMES_MAX];   /* source time */
    int64_t times[TRANSCODE_FRAMES_MAX]; /* output ticks */
    int64_t end;                         /* output ticks; when closed */
    int64_t before[LIVE_REORDER_MAX];    /* times of the pictures before it, latest first */
    uint64_t program_ms;
    uint64_t read;            /* how far the input was read when it closed */
    int frames[RR_RUNGS_MAX]; /* memfds, kept for the next GOP in this place */
};
struct live_mux {
    struct transcode_worker worker;
    bool on, init_told;
    int fd;
    struct rr_buf extradata, bytes;
    uint32_t part;        /* of the segment */
    uint64_t part_sum_us; /* of its parts */
};
struct live_rung {
    struct transcode_worker worker;
    struct live_mux mux;
    bool on, busy, active, ended;
    uint64_t gop; /* that it works at, or will */
    uint32_t sent, waiting, part_first;
    uint64_t part_offset;
    int out_fd;
    struct transcode_packets *packets; /* owned; of this GOP so far */
};
struct live_sound {
    struct transcode_worker worker;
    struct live_mux mux;
    bool on, wanted, known;
    struct transcode_sound_frame shape; /* of the first frame */
    struct rr_buf bytes;                /* frames that wait */
    uint32_t sizes[4096];
    uint32_t queued, ready; /* ready: belong to the segment */
    uint64_t frame;         /* number of the first that waits, in this session */
    int64_t base, end;      /* in samples: time 0 of the session; end of what was published */
    uint64_t gop;
    bool opened;
    uint64_t start_us; /* of the open segment */
    int fd;
};
struct live {
    const struct rr_live_options *given;
    const struct rr_live_sink *sink;
    const atomic_bool *stop;
    struct rr_transcode_options options;
    uint32_t part_ms, grace_ms, quiet_ms;
    char program[RR_PATH_BYTES];
    struct live_input input;
    struct transcode_plan plan; /* streams and times of the present session, shape of the first */
    bool planned, session, stopping;
    uint32_t part_us;
    unsigned reorder;
    struct transcode_worker source;
    bool source_on, source_done;
    bool granted;
    uint64_t first, next; /* GOPs in memory: from first up to, not with, next */
    unsigned window;
    struct live_gop gops[LIVE_GOPS];
    struct live_rung rungs[RR_RUNGS_MAX];
    struct live_sound sound;
    int64_t base;    /* output ticks of time 0 of the session */
    int64_t out_end; /* where the last closed GOP ends */
    int64_t before[LIVE_REORDER_MAX];
    uint64_t session_us, session_ms; /* when its first picture was decoded */
    uint64_t gone_us;                /* since when nobody publishes */
    uint64_t fine_us, fine_wait_us;  /* a dropped rung comes back after so long without trouble */
    uint64_t lag_us;                 /* of the spool, at the last GOP */
    bool jumped;                     /* the next GOP follows a jump */
    struct transcode_encode *task;
    struct transcode_packets *packets;
    struct transcode_gop *told;
    struct transcode_mux *mux;
    struct transcode_segment *segment;
    struct transcode_sound_frame *frame;
};
struct live_gop *live_gop_at(struct live *live, uint64_t number);
void live_say(struct live *live, enum rr_live_event event, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Gives the source leave for the next GOP, when there is room, time and need; drops rungs. */
enum rr_err live_grant(struct live *live, struct rr_fault *fault) RR_MUST_USE;
enum rr_err live_take_picture(struct live *live, struct rr_fault *fault) RR_MUST_USE;
enum rr_err live_take_gop(struct live *live, struct rr_fault *fault) RR_MUST_USE;
/* Hands pictures to the encoder of a rung. */
enum rr_err live_pump(struct live *live, unsigned rung, struct rr_fault *fault) RR_MUST_USE;
/* Takes an answer of it. */
enum rr_err live_take_coded(struct live *live, unsigned rung, struct rr_fault *fault) RR_MUST_USE;
/* Forgets GOPs that all are done with. */
void live_recycle(struct live *live);

/* ---- parts (transcode_live_pack.c) ------------------------------------------------------------
 */
/* Parts out of the packets that a rung has; last: all of the GOP are there. */
enum rr_err live_pack(struct live *live, unsigned rung, bool last,
                      struct rr_fault *fault) RR_MUST_USE;
void live_close_segment(struct live *live, unsigned rung, bool gap);
enum rr_err live_take_sound(struct live *live, struct rr_fault *fault) RR_MUST_USE;
/* Parts out of the sound that waits; all: no more comes in this session. */
enum rr_err live_pack_sound(struct live *live, bool all, struct rr_fault *fault) RR_MUST_USE;
void live_mux_stop(struct live_mux *mux);
#endif

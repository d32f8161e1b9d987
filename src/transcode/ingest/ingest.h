/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Inside reelrig-ingest: takes publishers in from the network and writes what they send into the
 * spool that the job gave. It decodes nothing, opens no file, and knows one key. One thread. */
#ifndef RR_INGEST_H
#define RR_INGEST_H
#include "transcode/transcode_live_proto.h"

#define INGEST_MEDIA_MS 10000 /* a publisher that sends nothing for so long is let go */

struct ingest {
    int control;
    struct transcode_ingest config;
    struct rr_buf message;
    int spool, wakes[2]; /* -1: not armed */
    bool armed;
    bool active;    /* a publisher fills the spool */
    bool drop;      /* the job wants it gone */
    bool spool_bad; /* nothing can be written any more */
};

void ingest_tell(struct ingest *ingest, uint8_t kind, uint16_t port, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* Reads what the job says, without waiting; leaves the process when the job is gone. */
void ingest_hear(struct ingest *ingest);
/* True when a publisher may be let in now. */
bool ingest_free(const struct ingest *ingest);
void ingest_began(struct ingest *ingest, const char *who);
/* The spool takes more; a full one means that the network waits. */
bool ingest_room(const struct ingest *ingest);
void ingest_write(struct ingest *ingest, struct rr_slice bytes);
void ingest_ended(struct ingest *ingest, const char *why);
/* After it no file can be opened and nothing started. */
void ingest_lock_down(void);

/* Never return. */
void ingest_srt(struct ingest *ingest) __attribute__((noreturn));
void ingest_rtmp(struct ingest *ingest) __attribute__((noreturn));

/* ---- RTMP without I/O (ingest_rtmp.c) ---------------------------------------------------------
 */
/* One connection: bytes in, replies and FLV out. [RTMP 1.0; FLV 10.1] */
struct rtmp;
enum rtmp_state {
    RTMP_TALKING,
    RTMP_ASKS, /* app and key are right: rtmp_admit it, or refuse */
    RTMP_PUBLISHING,
    RTMP_ENDED, /* unpublished in order */
    RTMP_BROKEN /* not RTMP, or too much of it; rtmp_why */
};
struct rtmp *rtmp_new(const char *app, const char *key);
void rtmp_free(struct rtmp *rtmp);
/* Takes all bytes. reply and media get what is to be sent and stored. */
enum rtmp_state rtmp_feed(struct rtmp *rtmp, struct rr_slice bytes, struct rr_buf *reply,
                          struct rr_buf *media);
/* Answer to RTMP_ASKS. */
void rtmp_admit(struct rtmp *rtmp, bool yes, struct rr_buf *reply, struct rr_buf *media);
const char *rtmp_why(const struct rtmp *rtmp); /* static */
#endif

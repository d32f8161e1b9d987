/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What live adds to the messages: pictures one by one, frames of sound, how far an input is read;
 * and the words between the job and reelrig-ingest. Same rules as transcode_proto.h. */
#ifndef RR_TRANSCODE_LIVE_PROTO_H
#define RR_TRANSCODE_LIVE_PROTO_H
#include "transcode/transcode_proto.h"

#define TRANSCODE_SOUND_BYTES_MAX 16384

enum transcode_live_kind { /* beside transcode_kind */
                           TRANSCODE_PICTURE = 48,
                           TRANSCODE_CODED, /* a transcode_packets */
                           TRANSCODE_SOUND_FRAME,
                           TRANSCODE_READ,
};

/* From the source: picture `index` of the open GOP is in its memfds. To an encoder (asked to encode
 * 0 pictures): encode that one; last: there is no other, end the GOP. */
struct transcode_picture {
    uint32_t index;
    int64_t pts; /* source time base; to an encoder output ticks from the GOP's start */
    uint8_t last;
    uint8_t jumped; /* time jumped before it */
};
struct transcode_sound_frame {
    uint32_t sample_rate, channels, frame_samples, priming;
    uint32_t extradata_bytes;
    uint8_t extradata[TRANSCODE_EXTRADATA_MAX];
    uint32_t bytes;
    uint8_t data[TRANSCODE_SOUND_BYTES_MAX];
};
struct transcode_read {
    uint64_t offset; /* all bytes before it are done with */
};
void transcode_code_picture(struct transcode_coder *coder, struct transcode_picture *m);
void transcode_code_sound_frame(struct transcode_coder *coder, struct transcode_sound_frame *m);
void transcode_code_read(struct transcode_coder *coder, struct transcode_read *m);

/* ---- reelrig-ingest ---------------------------------------------------------------------------
 */
enum ingest_kind {
    INGEST_HELLO = 64, /* from it: it listens, port */
    INGEST_FAILED,     /* from it: cannot listen; text */
    INGEST_ARM,   /* to it, with a spool file and two pipes: the next publisher's bytes go there */
    INGEST_BEGAN, /* from it: a publisher was let in; text: where from */
    INGEST_ENDED, /* from it: it is gone; text: why */
    INGEST_REFUSED, /* from it: somebody was turned away; text */
    INGEST_START,   /* to it, first */
    INGEST_DROP     /* to it: end the publisher that is on */
};
enum ingest_scheme { INGEST_SRT = 1, INGEST_RTMP };
#define INGEST_TEXT_MAX 255
struct transcode_ingest { /* START */
    uint8_t scheme;
    uint16_t port;
    uint32_t latency_ms;
    char address[INGEST_TEXT_MAX + 1];
    char name[INGEST_TEXT_MAX + 1]; /* RTMP: app; SRT: stream id, "" any */
    char key[INGEST_TEXT_MAX + 1];  /* RTMP: stream key; SRT: passphrase, "" none */
};
struct transcode_ingest_said {
    uint16_t port;
    char text[INGEST_TEXT_MAX + 1];
};
void transcode_code_ingest(struct transcode_coder *coder, struct transcode_ingest *m);
void transcode_code_ingest_said(struct transcode_coder *coder, struct transcode_ingest_said *m);
/* The spool holds at most so much that nobody has read yet; then the network waits. */
#define INGEST_SPOOL_BYTES (UINT64_C(64) << 20)
#endif

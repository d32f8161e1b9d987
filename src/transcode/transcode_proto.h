/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Messages between the job's process and its workers, one per SOCK_SEQPACKET datagram; frames and
 * packets travel in memfds beside them. Each struct has one coding function that both writes and
 * reads, so that the two cannot differ. The parent takes a worker's messages for hostile bytes. */
#ifndef RR_TRANSCODE_PROTO_H
#define RR_TRANSCODE_PROTO_H
#include "transcode/transcode_plan.h"
#include "transcode/transcode_proto_device.h"
#define TRANSCODE_PROTO_VERSION  4
#define TRANSCODE_MESSAGE_MAX    65536
#define TRANSCODE_FRAMES_MAX     2048 /* of one GOP: its table of packets must fit a message */
#define TRANSCODE_EXTRADATA_MAX  4096
#define TRANSCODE_FDS_MAX        8
#define TRANSCODE_AUDIO_RUNG     128u /* and more: audio track 0 and more, where a rung may stand */
#define TRANSCODE_SUBTITLE_RUNG  192u
#define TRANSCODE_SOCKET_FD      3           /* where a worker finds its socket */
#define TRANSCODE_CUES_MAX       (1u << 18)  /* of one subtitle track: three a second for a day */
#define TRANSCODE_CUE_BYTES_MAX  2048u       /* of one cue's text (ours: ten long lines) */
#define TRANSCODE_TEXT_BYTES_MAX (32u << 20) /* of a track's cues */

enum transcode_kind {
    TRANSCODE_HELLO = 1,
    TRANSCODE_FAILED,
    TRANSCODE_PROBE,
    TRANSCODE_FACTS,
    TRANSCODE_SOURCE,
    TRANSCODE_GRANT,
    TRANSCODE_GOP,
    TRANSCODE_END,
    TRANSCODE_ENCODE,
    TRANSCODE_PACKETS,
    TRANSCODE_AUDIO,
    TRANSCODE_SOUND,
    TRANSCODE_MUX,
    TRANSCODE_SEGMENT,
    TRANSCODE_SEGMENT_MADE,
    TRANSCODE_SCAN,
    TRANSCODE_SCANNED,
    TRANSCODE_MEASURE,
    TRANSCODE_MEASURED,
    TRANSCODE_SUBTITLE,
    TRANSCODE_CUES,
    TRANSCODE_FILE,
    TRANSCODE_FILE_TRACK,
    TRANSCODE_FILE_PIECE,
    TRANSCODE_FILE_END,
    TRANSCODE_FILE_MADE,
    TRANSCODE_DECODE, /* a GOP as encoded, into pictures */
    TRANSCODE_DECODED,
};

/* Either way. Reading past the end, beyond a limit, or less than all sets in.failed. */
struct transcode_coder {
    struct rr_buf *out; /* NULL: reading */
    struct rr_reader in;
};

struct transcode_hello {
    uint16_t version;
    uint8_t namespaces, landlock_abi, seccomp, unlocked; /* 0: refused; asked not to lock itself */
};
struct transcode_failed {
    enum rr_err code;
    char text[256];
};
struct transcode_probe {
    uint8_t video; /* number of the video stream, from 1 on; 0: the best */
};
#define TRANSCODE_QUICK 2 /* the lead-in without what no picture refers to */
struct transcode_source {
    struct transcode_plan plan;
    uint32_t first_cell, first_packet;
    uint32_t end_cell; /* no GOP from that cell on; 0: to the end of the input */
    uint8_t one;       /* only that GOP, for a spot check; TRANSCODE_QUICK: see there */
    uint64_t work_max; /* pixels that may be decoded; 0: TRANSCODE_WORK_MAX */
};
/* Leave to make the next GOP; the memfds of the mask's rungs come with it, lowest first. coded: of
 * these, for the worker's device: packets instead of pictures. tell: a PICTURE as each is there. */
struct transcode_grant {
    uint8_t rungs, coded, tell;
};
struct transcode_gop {
    uint32_t cell; /* place on the grid of gop_ms; the leaf's GOP number */
    uint32_t first, last;
    struct rr_hash32 digest;
    uint32_t concealed;
    uint8_t unclean; /* damage was met: no later GOP may start but at packet 0 */
    uint8_t coded;   /* rungs whose packets follow, a message each, lowest bit first */
    uint32_t count;
    int64_t pts[TRANSCODE_FRAMES_MAX]; /* source time base, rising */
    int64_t end;                       /* where the last picture ends */
};
struct transcode_end {
    uint64_t frames, packets, concealed;
    uint32_t bad_from; /* lowest packet with damage; UINT32_MAX: none */
};
#define TRANSCODE_SCAN_MAX  (1u << 24) /* packets: a day of 194 pictures a second */
#define TRANSCODE_SCAN_NOTE 41u        /* bytes: digest, u64 pts (INT64_MIN: none), key */
struct transcode_scan {
    struct transcode_plan plan;
};
struct transcode_scanned {
    uint32_t packets;
};
struct transcode_encode {
    struct transcode_plan plan;
    uint8_t rung;
    uint32_t quality; /* in place of the plan's crf, in hundredths; 0: the plan's */
    uint32_t count;
    int64_t pts[TRANSCODE_FRAMES_MAX]; /* output ticks from the GOP's start */
};
struct transcode_packet {
    uint32_t bytes;
    int64_t pts;
    uint8_t key;
};
struct transcode_packets {
    uint64_t bytes;
    uint32_t extradata_bytes;
    uint8_t extradata[TRANSCODE_EXTRADATA_MAX];
    uint32_t count;
    struct transcode_packet packets[TRANSCODE_FRAMES_MAX];
};
struct transcode_audio {
    struct transcode_plan plan;
    uint8_t track; /* of plan.audio */
};
struct transcode_sound {
    uint64_t bytes;
    uint32_t extradata_bytes;
    uint8_t extradata[TRANSCODE_EXTRADATA_MAX];
    uint32_t sample_rate, channels, frame_samples, priming;
    uint64_t samples; /* without priming and padding */
    uint32_t source_packets;
    struct rr_hash32 digest;
    uint32_t count; /* coded frames; their u32 sizes are in the second memfd */
};
struct transcode_subtitle {
    struct transcode_plan plan;
    uint8_t track; /* of plan.subtitles */
};
/* The cues are in the memfd, by start: u32 start_ms, u32 end_ms (after it), u16 bytes, text as
 * WebVTT has it in a cue: UTF-8, lines, &amp; &lt; &gt; and <b> <i> <u> alone. */
struct transcode_cues {
    uint32_t count;
    uint64_t bytes;
    uint32_t source_packets;
    uint32_t left_out; /* cues that were no text, too long or too many */
    struct rr_hash32 digest;
};
struct transcode_mux {
    struct transcode_plan plan;
    uint8_t rung;  /* TRANSCODE_AUDIO_RUNG + n, TRANSCODE_SUBTITLE_RUNG + n: a track */
    int64_t start; /* of the first sample, output ticks */
    uint32_t sample_rate, channels, frame_samples, priming, bit_rate;
    uint32_t extradata_bytes;
    uint8_t extradata[TRANSCODE_EXTRADATA_MAX];
};
struct transcode_sample {
    uint32_t bytes;
    int64_t pts, dts;
    uint32_t duration;
    uint8_t key;
};
struct transcode_segment {
    uint64_t offset; /* of the payload in the first memfd */
    uint32_t count;
    struct transcode_sample samples[TRANSCODE_FRAMES_MAX];
};
struct transcode_segment_made {
    uint32_t init_bytes; /* at the front of the second memfd; 0 but for the first segment */
    uint64_t bytes;      /* after it */
};

/* One MP4 file: FILE, a FILE_TRACK (struct transcode_mux) for each track, pieces, FILE_END. Each is
 * answered by what is to be written where; the bytes are in the last memfd, one after another. */
struct transcode_file {
    uint32_t reserve; /* bytes kept in front for the index; 0: it goes to the end */
    uint32_t timescale;
};
struct transcode_piece {
    uint8_t track; /* as they came */
    struct transcode_segment segment;
};
#define TRANSCODE_EXTENTS_MAX 32
struct transcode_extent {
    uint64_t at, bytes;
};
struct transcode_file_made {
    uint32_t count;
    struct transcode_extent extents[TRANSCODE_EXTENTS_MAX];
};

/* Coding functions: all fields, in order; `in` limits every count. Any thread. */
void transcode_code_hello(struct transcode_coder *coder, struct transcode_hello *m);
void transcode_code_failed(struct transcode_coder *coder, struct transcode_failed *m);
void transcode_code_facts(struct transcode_coder *coder, struct transcode_facts *m);
void transcode_code_plan(struct transcode_coder *coder, struct transcode_plan *m);
void transcode_code_source(struct transcode_coder *coder, struct transcode_source *m);
void transcode_code_grant(struct transcode_coder *coder, struct transcode_grant *m);
void transcode_code_gop(struct transcode_coder *coder, struct transcode_gop *m);
void transcode_code_end(struct transcode_coder *coder, struct transcode_end *m);
void transcode_code_encode(struct transcode_coder *coder, struct transcode_encode *m);
void transcode_code_packets(struct transcode_coder *coder, struct transcode_packets *m);
void transcode_code_audio(struct transcode_coder *coder, struct transcode_audio *m);
void transcode_code_sound(struct transcode_coder *coder, struct transcode_sound *m);
void transcode_code_probe(struct transcode_coder *coder, struct transcode_probe *m);
void transcode_code_subtitle(struct transcode_coder *coder, struct transcode_subtitle *m);
void transcode_code_cues(struct transcode_coder *coder, struct transcode_cues *m);
void transcode_code_mux(struct transcode_coder *coder, struct transcode_mux *m);
void transcode_code_segment(struct transcode_coder *coder, struct transcode_segment *m);
void transcode_code_file(struct transcode_coder *coder, struct transcode_file *m);
void transcode_code_piece(struct transcode_coder *coder, struct transcode_piece *m);
void transcode_code_file_made(struct transcode_coder *coder, struct transcode_file_made *m);
void transcode_code_segment_made(struct transcode_coder *coder, struct transcode_segment_made *m);
void transcode_code_scan(struct transcode_coder *coder, struct transcode_scan *m);
void transcode_code_scanned(struct transcode_coder *coder, struct transcode_scanned *m);

/* Appends kind and body. */
#define transcode_encode_message(buf, kind, name, m)                                               \
    do {                                                                                           \
        struct transcode_coder coder_ = {.out = (buf)};                                            \
        rr_write_u8((buf), (kind));                                                                \
        transcode_code_##name(&coder_, (m));                                                       \
    } while (0)
/* False when the body (behind the kind byte) is no `name`; *m may be half written then. */
#define transcode_decode_message(body, name, m)                                                    \
    __extension__({                                                                                \
        struct transcode_coder coder_ = {.in = rr_reader_of(body)};                                \
        transcode_code_##name(&coder_, (m));                                                       \
        rr_reader_done(&coder_.in);                                                                \
    })

/* Sends one message with up to TRANSCODE_FDS_MAX borrowed descriptors; false: errno. Blocks. */
bool transcode_send(int socket, struct rr_slice message, const int *fds,
                    size_t fd_count) RR_MUST_USE;
/* Receives one message into out (cleared first) and its descriptors, close-on-exec, owned by the
 * caller, into fds. Returns 1; 0 at the end of the stream; -1 with errno, EMSGSIZE when cut short.
 * Blocks unless the socket does not. */
int transcode_receive(int socket, struct rr_buf *out, int fds[static TRANSCODE_FDS_MAX],
                      size_t *fd_count) RR_MUST_USE;

/* UTF-8 without control characters. */
bool transcode_label_valid(const char *text);
/* What a container calls a language (ISO 639-2, or a tag of RFC 5646) as playlists do: "eng" is
 * "en"; empty when it says nothing or nothing that is known to be a tag. */
void transcode_language(char out[static RR_LANGUAGE_MAX + 1], const char *text);
/* The way back, for the boxes of MP4: three letters, "und" when not known. */
void transcode_language_three(char out[static 4], const char *language);
#endif

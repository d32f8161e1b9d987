/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The server's side of RTMP for one publisher: handshake, chunks, the few commands that publishing
 * needs. All bytes come from strangers: every length has a limit before memory is taken for it.
 * [Adobe RTMP 1.0, 5 to 7; FLV 10.1, annex E] */
#include "transcode/ingest/ingest.h"
#include <string.h>

#define HANDSHAKE_BYTES 1536
#define CHUNK_MAX       65536
#define STREAMS_MAX     64         /* chunk streams at a time */
#define MESSAGE_MAX     (8u << 20) /* a key picture of 2160p is below 2 MiB */
#define PENDING_MAX     (16u << 20)
#define COMMANDS_MAX    64 /* before it publishes */
#define WINDOW_BYTES    2500000
#define NAME_MAX        255

enum {
    TYPE_CHUNK = 1,
    TYPE_ABORT = 2,
    TYPE_ACK = 3,
    TYPE_USER = 4,
    TYPE_WINDOW = 5,
    TYPE_BANDWIDTH = 6,
    TYPE_AUDIO = 8,
    TYPE_VIDEO = 9,
    TYPE_DATA3 = 15,
    TYPE_COMMAND3 = 17,
    TYPE_DATA = 18,
    TYPE_COMMAND = 20,
    TYPE_AGGREGATE = 22
};

struct chunk_stream {
    bool used;
    uint32_t id;
    uint32_t time, delta, length;
    uint8_t type;
    bool extended;
    struct rr_buf body;
};
struct rtmp {
    char app[NAME_MAX + 1], key[NAME_MAX + 1];
    enum rtmp_state state;
    const char *why;
    unsigned phase; /* 0 C0 C1, 1 C2, 2 chunks */
    struct rr_buf in;
    uint32_t chunk; /* of what comes */
    struct chunk_stream streams[STREAMS_MAX];
    uint32_t pending; /* bytes of messages that are not whole */
    uint64_t received, acked;
    unsigned commands;
    bool connected;
};

struct rtmp *rtmp_new(const char *app, const char *key)
{
    struct rtmp *rtmp = rr_alloc(sizeof *rtmp);
    memcpy(rtmp->app, app, strnlen(app, NAME_MAX));
    memcpy(rtmp->key, key, strnlen(key, NAME_MAX));
    rtmp->chunk = 128;
    return rtmp;
}

void rtmp_free(struct rtmp *rtmp)
{
    if (rtmp == NULL) {
        return;
    }
    for (unsigned i = 0; i < STREAMS_MAX; i++) {
        rr_buf_clear(&rtmp->streams[i].body);
    }
    rr_buf_clear(&rtmp->in);
    explicit_bzero(rtmp->key, sizeof rtmp->key);
    rr_free(rtmp);
}

const char *rtmp_why(const struct rtmp *rtmp)
{
    return rtmp->why != NULL ? rtmp->why : "";
}

static void broken(struct rtmp *rtmp, const char *why)
{
    rtmp->state = RTMP_BROKEN;
    rtmp->why = why;
}

/* ---- numbers -------------------------------------------------------------------------- */

static uint32_t be(const uint8_t *p, unsigned bytes)
{
    uint32_t value = 0;
    for (unsigned i = 0; i < bytes; i++) {
        value = value << 8 | p[i];
    }
    return value;
}

static void put_be(struct rr_buf *out, uint32_t value, unsigned bytes)
{
    while (bytes-- > 0) {
        rr_write_u8(out, (uint8_t)(value >> 8 * bytes));
    }
}

/* ---- AMF0 ----------------------------------------------------------------------------- */

struct amf {
    const uint8_t *at, *end;
    bool failed;
};

static struct rr_slice amf_bytes(struct amf *amf, size_t len)
{
    if (amf->failed || (size_t)(amf->end - amf->at) < len) {
        amf->failed = true;
        return rr_slice_of(NULL, 0);
    }
    struct rr_slice found = rr_slice_of(amf->at, len);
    amf->at += len;
    return found;
}

static uint32_t amf_be(struct amf *amf, unsigned bytes)
{
    struct rr_slice found = amf_bytes(amf, bytes);
    return found.ptr != NULL ? be(found.ptr, bytes) : 0;
}

static bool amf_string(struct amf *amf, struct rr_slice *out)
{
    if (amf_be(amf, 1) != 2) {
        amf->failed = true;
    }
    *out = amf_bytes(amf, amf_be(amf, 2));
    return !amf->failed;
}

static double amf_number(struct amf *amf)
{
    double value = 0;
    uint64_t bits = 0;
    if (amf_be(amf, 1) != 0) {
        amf->failed = true;
    }
    bits = (uint64_t)amf_be(amf, 4) << 32;
    bits |= amf_be(amf, 4);
    memcpy(&value, &bits, sizeof value);
    return amf->failed ? 0 : value;
}

/* Null, a number, a string, a flag: what stands between the arguments that matter. */
static void amf_skip(struct amf *amf)
{
    switch (amf_be(amf, 1)) {
    case 0:
        amf_bytes(amf, 8);
        return;
    case 1:
        amf_bytes(amf, 1);
        return;
    case 2:
        amf_bytes(amf, amf_be(amf, 2));
        return;
    case 5:
    case 6:
        return;
    default:
        amf->failed = true;
        return;
    }
}

/* The text member `name` of the object here. */
static bool amf_member(struct amf *amf, const char *name, struct rr_slice *out)
{
    if (amf_be(amf, 1) != 3) {
        return false;
    }
    while (!amf->failed) {
        struct rr_slice key = amf_bytes(amf, amf_be(amf, 2));
        if (amf->failed || key.len == 0) {
            return false;
        }
        if (rr_slice_equal(key, rr_slice_str(name))) {
            return amf_string(amf, out);
        }
        amf_skip(amf);
    }
    return false;
}

static void put_string(struct rr_buf *out, const char *text)
{
    rr_write_u8(out, 2);
    put_be(out, (uint32_t)strlen(text), 2);
    rr_buf_append(out, text, strlen(text));
}

static void put_number(struct rr_buf *out, double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    rr_write_u8(out, 0);
    put_be(out, (uint32_t)(bits >> 32), 4);
    put_be(out, (uint32_t)bits, 4);
}

static void put_member(struct rr_buf *out, const char *name, const char *text)
{
    put_be(out, (uint32_t)strlen(name), 2);
    rr_buf_append(out, name, strlen(name));
    put_string(out, text);
}

/* ---- what we send --------------------------------------------------------------------- */

/* In chunks of 128 bytes, the size that holds until another is agreed. */
static void put_message(struct rr_buf *reply, uint8_t type, uint32_t stream, struct rr_slice body)
{
    uint8_t id = type == TYPE_COMMAND ? 3 : 2;
    rr_write_u8(reply, id);
    put_be(reply, 0, 3);
    put_be(reply, (uint32_t)body.len, 3);
    rr_write_u8(reply, type);
    for (unsigned i = 0; i < 4; i++) {
        rr_write_u8(reply, (uint8_t)(stream >> 8 * i)); /* the one number here with its low byte
                                                           first */
    }
    for (size_t at = 0; at < body.len;) {
        size_t now = body.len - at < 128 ? body.len - at : 128;
        if (at > 0) {
            rr_write_u8(reply, (uint8_t)(0xc0 | id));
        }
        rr_buf_append(reply, body.ptr + at, now);
        at += now;
    }
}

static void put_control(struct rr_buf *reply, uint8_t type, uint32_t value, int limit)
{
    struct rr_buf body = {0};
    put_be(&body, value, 4);
    if (limit >= 0) {
        rr_write_u8(&body, (uint8_t)limit);
    }
    put_message(reply, type, 0, rr_buf_slice(&body));
    rr_buf_clear(&body);
}

static void put_status(struct rr_buf *reply, const char *level, const char *code, const char *text)
{
    struct rr_buf body = {0};
    put_string(&body, "onStatus");
    put_number(&body, 0);
    rr_write_u8(&body, 5);
    rr_write_u8(&body, 3);
    put_member(&body, "level", level);
    put_member(&body, "code", code);
    put_member(&body, "description", text);
    put_be(&body, 9, 3);
    put_message(reply, TYPE_COMMAND, 1, rr_buf_slice(&body));
    rr_buf_clear(&body);
}

/* ---- commands ------------------------------------------------------------------------- */

static void result(struct rr_buf *reply, const char *word, double id, const char *code,
                   double stream)
{
    struct rr_buf body = {0};
    put_string(&body, word);
    put_number(&body, id);
    if (code != NULL) {
        rr_write_u8(&body, 3);
        put_member(&body, "fmsVer", "FMS/3,0,1,123");
        put_be(&body, 9, 3);
        rr_write_u8(&body, 3);
        put_member(&body, "level", strcmp(word, "_error") == 0 ? "error" : "status");
        put_member(&body, "code", code);
        put_be(&body, 9, 3);
    } else {
        rr_write_u8(&body, 5);
        if (stream > 0) {
            put_number(&body, stream);
        } else {
            rr_write_u8(&body, 5);
        }
    }
    put_message(reply, TYPE_COMMAND, 0, rr_buf_slice(&body));
    rr_buf_clear(&body);
}

/* In a time that does not tell how much of it was right. */
static bool same_text(struct rr_slice given, const char *wanted)
{
    size_t len = strlen(wanted);
    uint8_t differs = given.len != len;
    for (size_t i = 0; i < len; i++) {
        differs |= (uint8_t)(given.len > 0 ? given.ptr[i % given.len] : 0) ^ (uint8_t)wanted[i];
    }
    return differs == 0;
}

static void take_connect(struct rtmp *rtmp, struct amf *amf, double id, struct rr_buf *reply)
{
    struct rr_slice app = {0};
    bool found = amf_member(amf, "app", &app);
    while (app.len > 0 && app.ptr[app.len - 1] == '/') {
        app.len--;
    }
    if (!found || !same_text(app, rtmp->app)) {
        result(reply, "_error", id, "NetConnection.Connect.Rejected", 0);
        broken(rtmp, "it asked for another application");
        return;
    }
    put_control(reply, TYPE_WINDOW, WINDOW_BYTES, -1);
    put_control(reply, TYPE_BANDWIDTH, WINDOW_BYTES, 2);
    result(reply, "_result", id, "NetConnection.Connect.Success", 0);
    rtmp->connected = true;
}

static void take_publish(struct rtmp *rtmp, struct amf *amf, struct rr_buf *reply)
{
    struct rr_slice key = {0};
    amf_skip(amf);
    bool found = amf_string(amf, &key);
    const uint8_t *query = found && key.len > 0 ? memchr(key.ptr, '?', key.len) : NULL;
    key.len = query != NULL ? (size_t)(query - key.ptr) : key.len;
    if (!rtmp->connected || !found || !same_text(key, rtmp->key)) {
        put_status(reply, "error", "NetStream.Publish.BadName", "This key may not publish.");
        broken(rtmp, "its key is wrong");
        return;
    }
    rtmp->state = RTMP_ASKS;
}

static void take_command(struct rtmp *rtmp, struct rr_slice body, struct rr_buf *reply)
{
    struct amf amf = {.at = body.ptr, .end = body.ptr + body.len};
    struct rr_slice name = {0};
    bool found = amf_string(&amf, &name);
    double id = found ? amf_number(&amf) : 0;
    if (!found || amf.failed) {
        broken(rtmp, "a command cannot be read");
    } else if (rtmp->state == RTMP_TALKING && rtmp->commands++ == COMMANDS_MAX) {
        broken(rtmp, "it talks and does not publish");
    } else if (rr_slice_equal(name, rr_slice_str("connect"))) {
        take_connect(rtmp, &amf, id, reply);
    } else if (rr_slice_equal(name, rr_slice_str("createStream"))) {
        result(reply, "_result", id, NULL, 1);
    } else if (rr_slice_equal(name, rr_slice_str("publish"))) {
        if (rtmp->state == RTMP_TALKING) {
            take_publish(rtmp, &amf, reply);
        }
    } else if (rr_slice_equal(name, rr_slice_str("FCUnpublish")) ||
               rr_slice_equal(name, rr_slice_str("deleteStream")) ||
               rr_slice_equal(name, rr_slice_str("closeStream"))) {
        if (rtmp->state == RTMP_PUBLISHING) {
            rtmp->state = RTMP_ENDED;
        }
    } else if (rr_slice_equal(name, rr_slice_str("play"))) {
        put_status(reply, "error", "NetStream.Play.StreamNotFound", "Nothing is played here.");
        broken(rtmp, "it wants to play, and this is for publishing");
    } else if (id > 0) {
        result(reply, "_result", id, NULL, 0); /* releaseStream, FCPublish: some wait for it */
    }
}

void rtmp_admit(struct rtmp *rtmp, bool yes, struct rr_buf *reply, struct rr_buf *media)
{
    static const uint8_t head[] = {'F', 'L', 'V', 1, 5, 0, 0, 0, 9, 0, 0, 0, 0};
    if (!yes) {
        put_status(reply, "error", "NetStream.Publish.BadName", "Somebody publishes already.");
        broken(rtmp, "somebody publishes already");
        return;
    }
    put_status(reply, "status", "NetStream.Publish.Start", "Go on.");
    rtmp->state = RTMP_PUBLISHING;
    rr_buf_append(media, head, sizeof head);
}

/* ---- media ---------------------------------------------------------------------------- */

static void put_tag(struct rr_buf *media, uint8_t type, uint32_t time, struct rr_slice body)
{
    rr_write_u8(media, type);
    put_be(media, (uint32_t)body.len, 3);
    put_be(media, time & 0xffffff, 3);
    rr_write_u8(media, (uint8_t)(time >> 24));
    put_be(media, 0, 3);
    rr_buf_append(media, body.ptr, body.len);
    put_be(media, (uint32_t)body.len + 11, 4);
}

static void take_data(struct rr_slice body, uint32_t time, struct rr_buf *media)
{
    struct amf amf = {.at = body.ptr, .end = body.ptr + body.len};
    struct rr_slice name = {0};
    if (!amf_string(&amf, &name)) {
        return;
    }
    if (rr_slice_equal(name, rr_slice_str("@setDataFrame"))) {
        body = rr_slice_of(amf.at, (size_t)(amf.end - amf.at));
    }
    if (body.len > 0 && body.len < (1u << 24)) {
        put_tag(media, TYPE_DATA, time, body);
    }
}

/* Tags of FLV in one message; their times are relative to its own. */
static void take_aggregate(struct rtmp *rtmp, struct rr_slice body, uint32_t time,
                           struct rr_buf *media)
{
    uint32_t first = 0;
    for (bool begun = false; body.len >= 11; begun = true) {
        uint32_t len = be(body.ptr + 1, 3);
        uint32_t stamp = be(body.ptr + 4, 3) | (uint32_t)body.ptr[7] << 24;
        first = begun ? first : stamp;
        if (body.len - 11 < len || body.len - 11 - len < 4) {
            broken(rtmp, "an aggregate that does not add up");
            return;
        }
        uint8_t type = body.ptr[0];
        if ((type == TYPE_AUDIO || type == TYPE_VIDEO) && len > 0) {
            put_tag(media, type, time + stamp - first, rr_slice_of(body.ptr + 11, len));
        }
        body.ptr += 11 + len + 4;
        body.len -= 11 + len + 4;
    }
}

static void take_message(struct rtmp *rtmp, const struct chunk_stream *stream, struct rr_buf *reply,
                         struct rr_buf *media)
{
    struct rr_slice body = rr_buf_slice(&stream->body);
    bool publishing = rtmp->state == RTMP_PUBLISHING;
    switch (stream->type) {
    case TYPE_CHUNK:
        rtmp->chunk = body.len == 4 ? be(body.ptr, 4) : 0;
        if (rtmp->chunk == 0 || rtmp->chunk > 0x7fffffff) {
            broken(rtmp, "a chunk size that cannot be");
        }
        return;
    case TYPE_COMMAND3:
    case TYPE_DATA3:
        if (body.len > 0) { /* AMF3's mark, then AMF0 as all senders write it */
            body = rr_slice_of(body.ptr + 1, body.len - 1);
        }
        if (stream->type == TYPE_COMMAND3) {
            take_command(rtmp, body, reply);
        } else if (publishing) {
            take_data(body, stream->time, media);
        }
        return;
    case TYPE_COMMAND:
        take_command(rtmp, body, reply);
        return;
    case TYPE_DATA:
        if (publishing) {
            take_data(body, stream->time, media);
        }
        return;
    case TYPE_AUDIO:
    case TYPE_VIDEO:
        if (publishing && body.len > 0) {
            put_tag(media, stream->type, stream->time, body);
        }
        return;
    case TYPE_AGGREGATE:
        if (publishing) {
            take_aggregate(rtmp, body, stream->time, media);
        }
        return;
    default: /* acknowledgements, pings, bandwidths: nothing depends on them here */
        return;
    }
}

/* ---- chunks --------------------------------------------------------------------------- */

static struct chunk_stream *find_stream(struct rtmp *rtmp, uint32_t id)
{
    struct chunk_stream *spare = NULL;
    for (unsigned i = 0; i < STREAMS_MAX; i++) {
        struct chunk_stream *stream = &rtmp->streams[i];
        if (stream->used && stream->id == id) {
            return stream;
        }
        spare = spare == NULL && !stream->used ? stream : spare;
    }
    if (spare != NULL) {
        spare->used = true;
        spare->id = id;
    }
    return spare;
}

/* What a chunk's header says, not yet believed: the chunk may still come in pieces. */
struct chunk_head {
    struct chunk_stream *stream;
    uint32_t time, delta, length;
    uint8_t type;
    bool extended;
};

static void read_time(struct chunk_head *out, unsigned form, uint32_t stamp, bool extended)
{
    const struct chunk_stream *stream = out->stream;
    if (stream->body.len > 0) {
        return; /* in the middle of a message */
    }
    out->extended = extended;
    out->time = form == 0 ? stamp : stream->time + stamp;
    out->delta = form == 0 ? 0 : stamp; /* a message that repeats all has the same time */
}

/* Basic and message header at `p`; 0: more bytes are needed, or broken. */
static size_t take_header(struct rtmp *rtmp, const uint8_t *p, size_t len, struct chunk_head *out)
{
    static const size_t sizes[] = {11, 7, 3, 0};
    unsigned form = p[0] >> 6;
    size_t basic = (p[0] & 63) == 0 ? 2 : (p[0] & 63) == 1 ? 3 : 1;
    size_t head = basic + sizes[form];
    if (len < head) {
        return 0;
    }
    uint32_t id = basic == 1 ? p[0] & 63u : basic == 2 ? 64u + p[1] : 64u + p[1] + 256u * p[2];
    struct chunk_stream *stream = find_stream(rtmp, id);
    if (stream == NULL) {
        broken(rtmp, "too many chunk streams");
        return 0;
    }
    const uint8_t *m = p + basic;
    if (form != 3 && stream->body.len > 0) {
        broken(rtmp, "a message begins before the one before it has ended");
        return 0;
    }
    *out = (struct chunk_head){.stream = stream,
                               .time = stream->time,
                               .delta = stream->delta,
                               .length = form <= 1 ? be(m + 3, 3) : stream->length,
                               .type = form <= 1 ? m[6] : stream->type,
                               .extended = stream->extended};
    uint32_t stamp = form == 3 ? stream->delta : be(m, 3);
    bool extended = form == 3 ? stream->extended : stamp == 0xffffff;
    if (extended) {
        if (len < head + 4) {
            return 0;
        }
        stamp = form == 3 ? stamp : be(p + head, 4);
        head += 4;
    }
    if (out->length > MESSAGE_MAX) {
        broken(rtmp, "a message that is too long");
        return 0;
    }
    read_time(out, form, stamp, extended);
    return head;
}

/* One chunk off the front; 0: more bytes are needed, or broken. */
static size_t take_chunk(struct rtmp *rtmp, const uint8_t *p, size_t len, struct rr_buf *reply,
                         struct rr_buf *media)
{
    struct chunk_head told = {0};
    size_t head = take_header(rtmp, p, len, &told);
    if (head == 0) {
        return 0;
    }
    struct chunk_stream *stream = told.stream;
    uint32_t left = told.length - (uint32_t)stream->body.len;
    uint32_t now = left < rtmp->chunk ? left : rtmp->chunk;
    if (len - head < now) {
        return 0;
    }
    stream->time = told.time;
    stream->delta = told.delta;
    stream->length = told.length;
    stream->type = told.type;
    stream->extended = told.extended;
    if (now > 0) {
        rr_buf_append(&stream->body, p + head, now);
    }
    rtmp->pending += now;
    if (rtmp->pending > PENDING_MAX) {
        broken(rtmp, "too many messages at once");
        return 0;
    }
    if (stream->body.len == stream->length) {
        rtmp->pending -= stream->length;
        take_message(rtmp, stream, reply, media);
        stream->body.len = 0;
    }
    return head + now;
}

static size_t shake_hands(struct rtmp *rtmp, const uint8_t *p, size_t len, struct rr_buf *reply)
{
    static const uint8_t zeros[8];
    if (rtmp->phase == 1) { /* its echo of ours; nothing is proven by it */
        if (len < HANDSHAKE_BYTES) {
            return 0;
        }
        rtmp->phase = 2;
        return HANDSHAKE_BYTES;
    }
    if (p[0] != 3) {
        broken(rtmp, "its first byte is not RTMP's");
        return 0;
    }
    if (len < 1 + HANDSHAKE_BYTES) {
        return 0;
    }
    rr_write_u8(reply, 3);
    rr_buf_append(reply, zeros, sizeof zeros);
    for (unsigned i = 0; i < HANDSHAKE_BYTES - 8; i++) {
        rr_write_u8(reply, (uint8_t)(i * 37 + 11));
    }
    rr_buf_append(reply, p + 1, HANDSHAKE_BYTES);
    rtmp->phase = 1;
    return 1 + HANDSHAKE_BYTES;
}

enum rtmp_state rtmp_feed(struct rtmp *rtmp, struct rr_slice bytes, struct rr_buf *reply,
                          struct rr_buf *media)
{
    size_t at = 0, used = 1;
    rr_buf_append(&rtmp->in, bytes.ptr, bytes.len);
    rtmp->received += bytes.len;
    while (at < rtmp->in.len && used > 0 &&
           (rtmp->state == RTMP_TALKING || rtmp->state == RTMP_PUBLISHING)) {
        const uint8_t *p = rtmp->in.ptr + at;
        size_t len = rtmp->in.len - at;
        used = rtmp->phase < 2 ? shake_hands(rtmp, p, len, reply)
                               : take_chunk(rtmp, p, len, reply, media);
        at += used;
    }
    rtmp->in.len -= at;
    if (rtmp->in.len > 0 && at > 0) {
        memmove(rtmp->in.ptr, rtmp->in.ptr + at, rtmp->in.len);
    }
    if (rtmp->in.len > MESSAGE_MAX + CHUNK_MAX && rtmp->state != RTMP_BROKEN) {
        broken(rtmp, "a chunk that is too long");
    }
    if (rtmp->received - rtmp->acked >= WINDOW_BYTES / 2 && rtmp->phase == 2) {
        rtmp->acked = rtmp->received;
        put_control(reply, TYPE_ACK, (uint32_t)rtmp->received, -1);
    }
    return rtmp->state;
}

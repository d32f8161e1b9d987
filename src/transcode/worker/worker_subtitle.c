/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One track of text as cues of WebVTT. libavcodec's decoders give every kind as an event of ASS;
 * bold, italic and underlined stay, everything else of its style goes. */
#include "crypto/crypto.h"
#include "transcode/worker/worker.h"
#include <stdlib.h>
#include <string.h>

#define FIELDS_BEFORE_TEXT 8    /* commas of an ASS event as libavcodec writes it */
#define UNKNOWN_MS         5000 /* of a cue whose end nobody says (ours: a long line's reading time) */
#define STYLES             3

struct cue {
    int64_t start_ms, end_ms; /* end 0: not known */
    uint32_t order;           /* of cues that start together: as they came */
    char *text;               /* owned */
};
struct subtitle {
    const struct transcode_plan *plan;
    const struct transcode_track *track;
    struct worker_input input;
    AVCodecContext *decoder;
    AVPacket *packet;
    struct rr_hasher hasher;
    struct transcode_cues answer;
    struct cue *cues; /* owned */
    uint32_t count, room;
};

/* ---- text of one event
 * -------------------------------------------------------------------------------- */

struct writer {
    struct rr_buf out;
    bool on[STYLES], wanted[STYLES]; /* b, i, u */
};

/* Tags nest: what is to end is ended with all inside it, and those are begun again. */
static void settle(struct writer *writer)
{
    int deepest = STYLES;
    for (int i = STYLES - 1; i >= 0; i--) {
        deepest = writer->on[i] != writer->wanted[i] ? i : deepest;
    }
    for (int i = STYLES - 1; i >= deepest; i--) {
        if (writer->on[i]) {
            rr_buf_format(&writer->out, "</%c>", "biu"[i]);
            writer->on[i] = false;
        }
    }
    for (int i = deepest; i < STYLES; i++) {
        if (writer->wanted[i]) {
            rr_buf_format(&writer->out, "<%c>", "biu"[i]);
            writer->on[i] = true;
        }
    }
}

/* One line break; none at the front, and never two. A tag open over it is closed first, so that
 * what follows stands alone. */
static void break_line(struct writer *writer)
{
    bool wanted[STYLES];
    memcpy(wanted, writer->wanted, sizeof wanted);
    memset(writer->wanted, 0, sizeof writer->wanted);
    settle(writer);
    memcpy(writer->wanted, wanted, sizeof wanted);
    while (writer->out.len > 0 && writer->out.ptr[writer->out.len - 1] == ' ') {
        writer->out.len--;
    }
    if (writer->out.len > 0 && writer->out.ptr[writer->out.len - 1] != '\n') {
        rr_write_u8(&writer->out, '\n');
    }
}

/* "{\\b1\\i0...}": of a block of overrides the three switches. Returns what follows it. */
static const char * override(struct writer *writer, const char *text)
{
    const char *end = strchr(text, '}');
    for (const char *at = text; end != NULL && at + 2 < end; at++) {
        const char *style = at[0] == '\\' && at[1] != 0 ? strchr("biu", at[1]) : NULL;
        if (style != NULL && *style != 0 && at[2] >= '0' && at[2] <= '9') {
            writer->wanted[style - "biu"] = at[2] != '0';
        } else if (at[0] == '\\' && at[1] == 'r') {
            memset(writer->wanted, 0, sizeof writer->wanted);
        }
    }
    return end != NULL ? end + 1 : text + strlen(text);
}

/* One character; what is none, or none of XML's, becomes '?'. Returns its bytes. */
static size_t put(struct writer *writer, const char *at)
{
    size_t n = rr_utf8_step((const uint8_t *)at, strlen(at));
    if (*at == ' ' || *at == '\t') {
        if (writer->out.len > 0 && writer->out.ptr[writer->out.len - 1] != '\n') {
            settle(writer);
            rr_write_u8(&writer->out, ' ');
        }
        return 1;
    }
    settle(writer);
    if (*at == '&' || *at == '<' || *at == '>') {
        rr_buf_format(&writer->out, "%s", *at == '&' ? "&amp;" : *at == '<' ? "&lt;" : "&gt;");
    } else if (n == 0 || (n == 3 && memcmp(at, "\xef\xbf", 2) == 0 && (uint8_t)at[2] >= 0xbe)) {
        rr_write_u8(&writer->out, '?');
    } else {
        rr_buf_append(&writer->out, at, n);
    }
    return n > 0 ? n : 1;
}

static void write_text(struct writer *writer, const char *text)
{
    while (*text != 0) {
        if (text[0] == '\\' && (text[1] == 'N' || text[1] == 'n')) {
            break_line(writer);
            text += 2;
        } else if (text[0] == '\\' && text[1] == 'h') {
            (void)put(writer, " ");
            text += 2;
        } else if (text[0] == '\\' && (text[1] == '{' || text[1] == '}')) {
            text += 1 + put(writer, text + 1);
        } else if (text[0] == '{') {
            text = override(writer, text);
        } else if (text[0] == '\n' || text[0] == '\r') {
            break_line(writer);
            text++;
        } else {
            text += put(writer, text);
        }
    }
    break_line(writer); /* closes what is open and trims */
    if (writer->out.len > 0) {
        writer->out.len--;
    }
}

/* The text of an event "ReadOrder,Layer,Style,Name,MarginL,MarginR,MarginV,Effect,Text". */
static const char *event_text(const char *ass)
{
    for (int i = 0; i < FIELDS_BEFORE_TEXT && ass != NULL; i++) {
        ass = strchr(ass, ',');
        ass = ass != NULL ? ass + 1 : NULL;
    }
    return ass;
}

/* ---- cues
 * --------------------------------------------------------------------------------------------- */

static void add_cue(struct subtitle *subtitle, int64_t start_ms, int64_t end_ms,
                    const struct rr_buf *text)
{
    if (subtitle->count == TRANSCODE_CUES_MAX || text->len > TRANSCODE_CUE_BYTES_MAX) {
        subtitle->answer.left_out++;
        return;
    }
    if (subtitle->count == subtitle->room) {
        subtitle->room = subtitle->room != 0 ? subtitle->room * 2 : 64;
        subtitle->cues = rr_realloc(subtitle->cues, sizeof *subtitle->cues * subtitle->room);
    }
    struct cue *cue = &subtitle->cues[subtitle->count];
    *cue = (struct cue){.start_ms = start_ms, .end_ms = end_ms, .order = subtitle->count++};
    cue->text = rr_alloc(text->len + 1);
    memcpy(cue->text, text->ptr, text->len);
    cue->text[text->len] = 0;
}

static void take_event(struct subtitle *subtitle, const AVSubtitle *event)
{
    const struct transcode_plan *plan = subtitle->plan;
    int64_t zero_ms = transcode_rescale(plan->origin, plan->tb_num * INT64_C(1000), plan->tb_den);
    struct writer writer = {0};
    if (event->pts == AV_NOPTS_VALUE) {
        subtitle->answer.left_out++;
        return;
    }
    int64_t at_ms = transcode_rescale(event->pts, 1, 1000) - zero_ms;
    for (unsigned i = 0; i < event->num_rects; i++) {
        const char *ass = event->rects[i]->ass;
        const char *text = ass != NULL ? event_text(ass) : event->rects[i]->text;
        if (text != NULL) {
            write_text(&writer, text);
        }
    }
    if (writer.out.len > 0) {
        bool ends = event->end_display_time > event->start_display_time &&
                    event->end_display_time != UINT32_MAX;
        add_cue(subtitle, at_ms + event->start_display_time,
                ends ? at_ms + event->end_display_time : 0, &writer.out);
    }
    rr_buf_clear(&writer.out);
}

static void hash_packet(struct subtitle *subtitle, const AVPacket *packet)
{
    struct rr_buf head = {0};
    struct rr_hasher hasher;
    struct rr_hash32 digest;
    rr_write_u32(&head, (uint32_t)packet->size);
    rr_write_u64(&head, (uint64_t)packet->pts);
    rr_write_u64(&head, (uint64_t)packet->duration);
    rr_hasher_init(&hasher, "rr.packet.v1");
    rr_hasher_add(&hasher, head.ptr, head.len);
    rr_hasher_add(&hasher, packet->data, (size_t)packet->size);
    rr_hasher_final(&hasher, &digest);
    rr_hasher_add(&subtitle->hasher, digest.bytes, sizeof digest.bytes);
    subtitle->answer.source_packets++;
    rr_buf_clear(&head);
}

static void read_all(struct subtitle *subtitle)
{
    while (worker_input_read(&subtitle->input, subtitle->packet) >= 0) {
        if (subtitle->packet->stream_index == subtitle->track->stream) {
            AVSubtitle event = {0};
            int got = 0;
            hash_packet(subtitle, subtitle->packet);
            /* What does not decode is left out: one line lost, not the film. */
            if (avcodec_decode_subtitle2(subtitle->decoder, &event, &got, subtitle->packet) < 0) {
                subtitle->answer.left_out += subtitle->packet->size > 2;
            } else if (got != 0) {
                take_event(subtitle, &event);
                avsubtitle_free(&event);
            }
        }
        av_packet_unref(subtitle->packet);
    }
}

static int by_start(const void *left, const void *right)
{
    const struct cue *a = left, *b = right;
    return a->start_ms != b->start_ms ? (a->start_ms < b->start_ms ? -1 : 1)
           : a->order < b->order      ? -1
                                      : 1;
}

/* A cue before time 0 is cut there; one without an end lasts to the next one's start. */
static enum rr_err write_cues(struct subtitle *subtitle, int fd, struct rr_fault *fault)
{
    struct rr_buf out = {0};
    if (subtitle->count > 0) {
        qsort(subtitle->cues, subtitle->count, sizeof *subtitle->cues, by_start);
    }
    for (uint32_t i = 0; i < subtitle->count; i++) {
        const struct cue *cue = &subtitle->cues[i];
        int64_t start_ms = cue->start_ms > 0 ? cue->start_ms : 0, end_ms = cue->end_ms;
        if (end_ms == 0) {
            end_ms = cue->start_ms + UNKNOWN_MS;
            for (uint32_t j = i + 1; j < subtitle->count; j++) {
                int64_t next_ms = subtitle->cues[j].start_ms;
                if (next_ms > cue->start_ms) {
                    end_ms = next_ms < end_ms ? next_ms : end_ms;
                    break;
                }
            }
        }
        size_t len = strlen(cue->text);
        if (end_ms <= start_ms || end_ms > TRANSCODE_DURATION_MAX_S * INT64_C(1000) ||
            out.len + len + 10 > TRANSCODE_TEXT_BYTES_MAX) {
            subtitle->answer.left_out += end_ms > 0;
            continue;
        }
        rr_write_u32(&out, (uint32_t)start_ms);
        rr_write_u32(&out, (uint32_t)end_ms);
        rr_write_var16(&out, rr_slice_of(cue->text, len));
        subtitle->answer.count++;
    }
    subtitle->answer.bytes = out.len;
    enum rr_err err = out.len > 0 ? rr_pwrite_full(fd, out.ptr, out.len, 0, fault) : RR_OK;
    rr_buf_clear(&out);
    return err;
}

static enum rr_err run(struct subtitle *subtitle, int in_fd, int out_fd, struct rr_fault *fault)
{
    int stream = subtitle->track->stream;
    enum rr_err err = worker_input_open(&subtitle->input, in_fd, fault);
    if (err != RR_OK) {
        return err;
    }
    if (stream >= (int)subtitle->input.format->nb_streams) {
        return rr_fail(fault, RR_ERR_USAGE, "the plan names stream %d of %u", stream,
                       subtitle->input.format->nb_streams);
    }
    rr_hasher_init(&subtitle->hasher, "rr.src.v1");
    subtitle->packet = av_packet_alloc();
    if (subtitle->packet == NULL) {
        return rr_fail(fault, RR_ERR_MEMORY, "no memory for subtitles");
    }
    err = worker_decoder_open(&subtitle->decoder, subtitle->input.format->streams[stream], fault);
    if (err == RR_OK) {
        read_all(subtitle);
        rr_hasher_final(&subtitle->hasher, &subtitle->answer.digest);
        err = write_cues(subtitle, out_fd, fault);
    }
    return err;
}

enum rr_err worker_subtitle(struct worker *worker, struct rr_fault *fault)
{
    struct transcode_subtitle *ask = rr_alloc(sizeof *ask);
    struct subtitle subtitle = {.plan = &ask->plan};
    struct rr_buf message = {0};
    enum rr_err err;
    if (worker->fd_count != 2 || !transcode_decode_message(worker_body(worker), subtitle, ask) ||
        ask->track >= ask->plan.subtitle_count) {
        err = rr_fail(fault, RR_ERR_USAGE, "a subtitle task that does not follow its form");
    } else {
        subtitle.track = &ask->plan.subtitles[ask->track];
        err = run(&subtitle, worker->fds[0], worker->fds[1], fault);
    }
    if (err == RR_OK) {
        transcode_encode_message(&message, TRANSCODE_CUES, cues, &subtitle.answer);
        worker_send(worker, &message);
    }
    for (uint32_t i = 0; i < subtitle.count; i++) {
        rr_free(subtitle.cues[i].text);
    }
    rr_free(subtitle.cues);
    av_packet_free(&subtitle.packet);
    avcodec_free_context(&subtitle.decoder);
    worker_input_close(&subtitle.input);
    rr_free(ask);
    return err;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Subtitles: the cues of a worker, checked, and WebVTT and TTML made of them. */
#include "transcode/transcode_private.h"
#include <stdio.h>
#include <string.h>

static bool take(struct rr_slice *text, const char *word)
{
    size_t len = strlen(word);
    if (text->len < len || memcmp(text->ptr, word, len) != 0) {
        return false;
    }
    text->ptr += len;
    text->len -= len;
    return true;
}

/* U+FFFE and U+FFFF, which XML does not take [XML 1.0, 2.2]. */
static bool no_character(struct rr_slice text)
{
    return text.len >= 3 && text.ptr[0] == 0xef && text.ptr[1] == 0xbf && text.ptr[2] >= 0xbe;
}

/* What a cue may hold [WebVTT, 4.2.2], of that only what the worker writes: whole characters, lines
 * none of which is empty, three entities and three tags. Then nothing in it can end the cue. */
static bool text_valid(struct rr_slice text)
{
    static const char *const words[] = {"&amp;", "&lt;", "&gt;", "<b>", "</b>",
                                        "<i>",   "</i>", "<u>",  "</u>"};
    bool line = false;
    while (text.len > 0) {
        size_t n = rr_utf8_step(text.ptr, text.len);
        bool word = false;
        if (*text.ptr == '\n') {
            if (!line || text.len == 1) {
                return false;
            }
            line = false;
            n = 1;
        } else if (*text.ptr == '&' || *text.ptr == '<') {
            for (size_t i = 0; i < RR_COUNT(words) && !word; i++) {
                word = take(&text, words[i]);
            }
            if (!word) {
                return false;
            }
            line = true;
            continue;
        } else if (n == 0 || *text.ptr == '>' || no_character(text)) {
            return false;
        } else {
            line = true;
        }
        text.ptr += n;
        text.len -= n;
    }
    return line;
}

bool transcode_cue_next(struct rr_reader *reader, struct transcode_cue *out)
{
    if (reader->len == 0) {
        return false;
    }
    out->start_ms = rr_read_u32(reader);
    out->end_ms = rr_read_u32(reader);
    out->text = rr_read_var16(reader, TRANSCODE_CUE_BYTES_MAX);
    return !reader->failed;
}

enum rr_err transcode_cues_check(const struct transcode_cues *facts, struct rr_slice cues,
                                 struct rr_fault *fault)
{
    struct rr_reader reader = rr_reader_of(cues);
    struct transcode_cue cue;
    uint32_t count = 0, before_ms = 0;
    bool good = facts->bytes == cues.len;
    while (good && transcode_cue_next(&reader, &cue)) {
        good = cue.start_ms >= before_ms && cue.end_ms > cue.start_ms &&
               cue.end_ms <= TRANSCODE_DURATION_MAX_S * UINT32_C(1000) && text_valid(cue.text);
        before_ms = cue.start_ms;
        count++;
    }
    return good && rr_reader_done(&reader) && count == facts->count
               ? RR_OK
               : rr_fail(fault, RR_ERR_DAMAGED, "subtitle %u of %u that the worker tells is none",
                         (unsigned)count, (unsigned)facts->count);
}

static void write_time(struct rr_buf *out, uint32_t ms)
{
    rr_buf_format(out, "%02u:%02u:%02u.%03u", (unsigned)(ms / 3600000), (unsigned)(ms / 60000 % 60),
                  (unsigned)(ms / 1000 % 60), (unsigned)(ms % 1000));
}

void transcode_cues_vtt(struct rr_buf *out, struct rr_slice cues, uint32_t from_ms, uint32_t to_ms,
                        uint32_t end_ms)
{
    struct rr_reader reader = rr_reader_of(cues);
    struct transcode_cue cue;
    rr_buf_format(out, "WEBVTT\nX-TIMESTAMP-MAP=MPEGTS:0,LOCAL:00:00:00.000\n\n");
    while (transcode_cue_next(&reader, &cue) && cue.start_ms < to_ms) {
        if (cue.end_ms <= from_ms || cue.start_ms >= end_ms) {
            continue;
        }
        write_time(out, cue.start_ms);
        rr_buf_format(out, " --> ");
        write_time(out, cue.end_ms < end_ms ? cue.end_ms : end_ms);
        rr_write_u8(out, '\n');
        rr_buf_append(out, cue.text.ptr, cue.text.len);
        rr_buf_format(out, "\n\n");
    }
}

/* The text is XML's already, but for its tags and lines. */
static void write_ttml_text(struct rr_buf *out, struct rr_slice text)
{
    static const char *const tags[][2] = {
        {"<b>", "<span tts:fontWeight=\"bold\">"},
        {"<i>", "<span tts:fontStyle=\"italic\">"},
        {"<u>", "<span tts:textDecoration=\"underline\">"},
        {"</b>", "</span>"},
        {"</i>", "</span>"},
        {"</u>", "</span>"},
        {"\n", "<br/>"},
    };
    while (text.len > 0) {
        bool found = false;
        for (size_t i = 0; i < RR_COUNT(tags) && !found; i++) {
            found = take(&text, tags[i][0]);
            if (found) {
                rr_buf_format(out, "%s", tags[i][1]);
            }
        }
        if (!found) {
            rr_write_u8(out, *text.ptr++);
            text.len--;
        }
    }
}

uint32_t transcode_cues_ttml(struct rr_buf *out, struct rr_slice cues, uint32_t end_ms,
                             const char *language)
{
    struct rr_reader reader = rr_reader_of(cues);
    struct transcode_cue cue;
    uint32_t count = 0;
    rr_buf_format(out,
                  "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
                  "<tt xmlns=\"http://www.w3.org/ns/ttml\" "
                  "xmlns:tts=\"http://www.w3.org/ns/ttml#styling\" xml:lang=\"%s\">\n"
                  "  <body>\n    <div>\n",
                  language);
    while (transcode_cue_next(&reader, &cue) && cue.start_ms < end_ms) {
        rr_buf_format(out, "      <p begin=\"");
        write_time(out, cue.start_ms);
        rr_buf_format(out, "\" end=\"");
        write_time(out, cue.end_ms < end_ms ? cue.end_ms : end_ms);
        rr_buf_format(out, "\">");
        write_ttml_text(out, cue.text);
        rr_buf_format(out, "</p>\n");
        count++;
    }
    rr_buf_format(out, "    </div>\n  </body>\n</tt>\n");
    return count;
}

void transcode_cues_digest(struct transcode_coded *out, struct rr_slice cues)
{
    rr_hash(&out->digest, "rr.cues.v1", cues);
    out->bytes = cues.len;
    out->done = true;
}

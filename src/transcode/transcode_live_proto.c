/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "transcode/transcode_live_proto.h"
#include <string.h>

static uint64_t code(struct transcode_coder *coder, uint64_t value, unsigned bytes, uint64_t max)
{
    uint64_t read = 0;
    for (unsigned i = 0; i < bytes; i++) {
        if (coder->out != NULL) {
            rr_write_u8(coder->out, (uint8_t)(value >> 8 * i));
        } else {
            read |= (uint64_t)rr_read_u8(&coder->in) << 8 * i;
        }
    }
    if (coder->out != NULL) {
        return value;
    }
    coder->in.failed |= read > max;
    return coder->in.failed ? 0 : read;
}

static void code_bytes(struct transcode_coder *coder, uint8_t *bytes, size_t len)
{
    if (coder->out != NULL) {
        rr_buf_append(coder->out, bytes, len);
    } else {
        rr_read_bytes(&coder->in, bytes, len);
    }
}

static void code_text(struct transcode_coder *coder, char text[static INGEST_TEXT_MAX + 1])
{
    size_t len = coder->out != NULL ? strnlen(text, INGEST_TEXT_MAX) : 0;
    len = (size_t)code(coder, len, 2, INGEST_TEXT_MAX);
    code_bytes(coder, (uint8_t *)text, len);
    if (coder->out == NULL) {
        text[coder->in.failed ? 0 : len] = 0;
        for (size_t i = 0; text[i] != 0; i++) {
            if (text[i] < 0x20 || text[i] > 0x7e) {
                text[i] = '?'; /* names of strangers go into sentences */
            }
        }
    }
}

#define TIME_MAX (INT64_C(1) << 61)

void transcode_code_picture(struct transcode_coder *coder, struct transcode_picture *m)
{
    m->index = (uint32_t)code(coder, m->index, 4, TRANSCODE_FRAMES_MAX);
    m->pts = (int64_t)code(coder, (uint64_t)m->pts, 8, UINT64_MAX);
    m->last = (uint8_t)code(coder, m->last, 1, 1);
    m->jumped = (uint8_t)code(coder, m->jumped, 1, 1);
    if (coder->out == NULL && (m->pts > TIME_MAX || m->pts < -TIME_MAX)) {
        coder->in.failed = true;
    }
}

void transcode_code_sound_frame(struct transcode_coder *coder, struct transcode_sound_frame *m)
{
    m->sample_rate = (uint32_t)code(coder, m->sample_rate, 4, 1000000);
    m->channels = (uint32_t)code(coder, m->channels, 4, 64);
    m->frame_samples = (uint32_t)code(coder, m->frame_samples, 4, 65536);
    m->priming = (uint32_t)code(coder, m->priming, 4, 65536);
    m->extradata_bytes = (uint32_t)code(coder, m->extradata_bytes, 4, TRANSCODE_EXTRADATA_MAX);
    code_bytes(coder, m->extradata, m->extradata_bytes);
    m->bytes = (uint32_t)code(coder, m->bytes, 4, TRANSCODE_SOUND_BYTES_MAX);
    code_bytes(coder, m->data, m->bytes);
}

void transcode_code_read(struct transcode_coder *coder, struct transcode_read *m)
{
    m->offset = code(coder, m->offset, 8, UINT64_C(1) << 62);
}

void transcode_code_ingest(struct transcode_coder *coder, struct transcode_ingest *m)
{
    m->scheme = (uint8_t)code(coder, m->scheme, 1, INGEST_RTMP);
    m->port = (uint16_t)code(coder, m->port, 2, UINT16_MAX);
    m->latency_ms = (uint32_t)code(coder, m->latency_ms, 4, 60000);
    code_text(coder, m->address);
    code_text(coder, m->name);
    code_text(coder, m->key);
}

void transcode_code_ingest_said(struct transcode_coder *coder, struct transcode_ingest_said *m)
{
    m->port = (uint16_t)code(coder, m->port, 2, UINT16_MAX);
    code_text(coder, m->text);
}

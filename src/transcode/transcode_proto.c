/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "transcode/transcode_proto_decode.h"
#include "transcode/transcode_rate.h"
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* ---- single values: each writes *value, or reads into it and checks it
 * --------------------------- */

static uint64_t code(struct transcode_coder *coder, uint64_t value, unsigned bytes, uint64_t max)
{
    if (coder->out != NULL) {
        for (unsigned i = 0; i < bytes; i++) {
            rr_write_u8(coder->out, (uint8_t)(value >> 8 * i));
        }
        return value;
    }
    uint64_t read = 0;
    for (unsigned i = 0; i < bytes; i++) {
        read |= (uint64_t)rr_read_u8(&coder->in) << 8 * i;
    }
    if (read > max) {
        coder->in.failed = true;
    }
    return coder->in.failed ? 0 : read;
}

static void code_u8(struct transcode_coder *coder, uint8_t *value, uint8_t max)
{
    *value = (uint8_t)code(coder, *value, 1, max);
}

static void code_bool(struct transcode_coder *coder, bool *value)
{
    *value = code(coder, *value, 1, 1) != 0;
}

static void code_u16(struct transcode_coder *coder, uint16_t *value)
{
    *value = (uint16_t)code(coder, *value, 2, UINT16_MAX);
}

static void code_u32(struct transcode_coder *coder, uint32_t *value, uint32_t max)
{
    *value = (uint32_t)code(coder, *value, 4, max);
}

static void code_u64(struct transcode_coder *coder, uint64_t *value, uint64_t max)
{
    *value = code(coder, *value, 8, max);
}

/* Times stay below 2^61 either way, so that sums of a few cannot overflow. */
#define TIME_MAX (INT64_C(1) << 61)

static void code_time(struct transcode_coder *coder, int64_t *value)
{
    *value = (int64_t)code(coder, (uint64_t)*value, 8, UINT64_MAX);
    if (coder->out == NULL && (*value > TIME_MAX || *value < -TIME_MAX)) {
        coder->in.failed = true;
        *value = 0;
    }
}

static void code_i32(struct transcode_coder *coder, int32_t *value, int32_t min, int32_t max)
{
    *value = (int32_t)(uint32_t)code(coder, (uint32_t)*value, 4, UINT32_MAX);
    if (coder->out == NULL && (*value < min || *value > max)) {
        coder->in.failed = true;
        *value = min;
    }
}

static void code_bytes(struct transcode_coder *coder, uint8_t *bytes, size_t len)
{
    if (coder->out != NULL) {
        rr_buf_append(coder->out, bytes, len);
    } else {
        rr_read_bytes(&coder->in, bytes, len);
    }
}

/* Printable ASCII, so that it may go into sentences and JSON as it is. */
static void code_text(struct transcode_coder *coder, char *text, size_t size)
{
    uint16_t len = (uint16_t)(coder->out != NULL ? strlen(text) : 0);
    code_u16(coder, &len);
    if (coder->out == NULL && len >= size) {
        coder->in.failed = true;
        len = 0;
    }
    code_bytes(coder, (uint8_t *)text, len);
    if (coder->out == NULL) {
        text[coder->in.failed ? 0 : len] = 0;
        for (size_t i = 0; text[i] != 0; i++) {
            coder->in.failed |= text[i] < 0x20 || text[i] > 0x7e;
        }
        coder->in.failed |= strlen(text) != len;
    }
}

/* UTF-8 without control characters: what a container calls a track. */
static void code_label(struct transcode_coder *coder, char *text, size_t size)
{
    uint16_t len = (uint16_t)(coder->out != NULL ? strlen(text) : 0);
    code_u16(coder, &len);
    if (coder->out == NULL && len >= size) {
        coder->in.failed = true;
        len = 0;
    }
    code_bytes(coder, (uint8_t *)text, len);
    if (coder->out == NULL) {
        text[coder->in.failed ? 0 : len] = 0;
        coder->in.failed |= strlen(text) != len || !transcode_label_valid(text);
    }
}

static void code_extradata(struct transcode_coder *coder, uint8_t *bytes, uint32_t *len)
{
    code_u32(coder, len, TRANSCODE_EXTRADATA_MAX);
    code_bytes(coder, bytes, *len);
}

/* ---- structs
 * ---------------------------------------------------------------------------------------- */

void transcode_code_hello(struct transcode_coder *coder, struct transcode_hello *m)
{
    code_u16(coder, &m->version);
    code_u8(coder, &m->namespaces, 1);
    code_u8(coder, &m->landlock_abi, UINT8_MAX);
    code_u8(coder, &m->seccomp, 1);
    code_u8(coder, &m->unlocked, 1);
}

void transcode_code_failed(struct transcode_coder *coder, struct transcode_failed *m)
{
    uint8_t value = (uint8_t)m->code;
    code_u8(coder, &value, RR_ERR_UNREACHABLE);
    m->code = (enum rr_err)value;
    coder->in.failed |= m->code == RR_OK;
    code_text(coder, m->text, sizeof m->text);
}

static void code_hdr(struct transcode_coder *coder, struct transcode_hdr *m)
{
    code_u8(coder, &m->has_mastering, 1);
    code_u8(coder, &m->has_light, 1);
    for (int i = 0; i < 3; i++) {
        code_u16(coder, &m->primaries[i][0]);
        code_u16(coder, &m->primaries[i][1]);
    }
    code_u16(coder, &m->white[0]);
    code_u16(coder, &m->white[1]);
    code_u32(coder, &m->luminance_max, UINT32_MAX);
    code_u32(coder, &m->luminance_min, UINT32_MAX);
    code_u16(coder, &m->light_max);
    code_u16(coder, &m->light_mean);
}

static void code_shown_audio(struct transcode_coder *coder, struct rr_transcode_audio *m)
{
    code_text(coder, m->codec, sizeof m->codec);
    code_u32(coder, &m->channels, 1024);
    code_u32(coder, &m->sample_rate, 10000000);
    code_time(coder, &m->start_us);
    code_time(coder, &m->duration_us);
    code_text(coder, m->language, sizeof m->language);
    code_label(coder, m->label, sizeof m->label);
    code_bool(coder, &m->is_default);
}

static void code_shown_subtitle(struct transcode_coder *coder, struct rr_transcode_subtitle *m)
{
    code_text(coder, m->codec, sizeof m->codec);
    code_text(coder, m->language, sizeof m->language);
    code_label(coder, m->label, sizeof m->label);
    code_bool(coder, &m->is_default);
    code_bool(coder, &m->forced);
    code_bool(coder, &m->text);
}

static void code_place(struct transcode_coder *coder, struct transcode_sound_place *m)
{
    code_i32(coder, &m->stream, 0, TRANSCODE_STREAMS_MAX - 1);
    code_i32(coder, &m->tb_num, 1, INT32_MAX);
    code_i32(coder, &m->tb_den, 1, INT32_MAX);
    code_time(coder, &m->first_pts);
    code_u8(coder, &m->decodes, 1);
}

static void code_track(struct transcode_coder *coder, struct transcode_track *m)
{
    code_i32(coder, &m->stream, 0, TRANSCODE_STREAMS_MAX - 1);
    code_u8(coder, &m->channels, 6);
    code_u8(coder, &m->flags, RR_RENDITION_DEFAULT | RR_RENDITION_FORCED);
    code_text(coder, m->language, sizeof m->language);
    code_label(coder, m->label, sizeof m->label);
}

static void code_shown(struct transcode_coder *coder, struct rr_transcode_facts *m)
{
    code_text(coder, m->container, sizeof m->container);
    code_time(coder, &m->start_us);
    code_time(coder, &m->duration_us);
    code_bool(coder, &m->has_video);
    code_text(coder, m->video_codec, sizeof m->video_codec);
    code_u32(coder, &m->width, TRANSCODE_SIDE_MAX);
    code_u32(coder, &m->height, TRANSCODE_SIDE_MAX);
    code_u32(coder, &m->sar_num, INT32_MAX);
    code_u32(coder, &m->sar_den, INT32_MAX);
    code_u16(coder, &m->rotation);
    code_bool(coder, &m->mirrored);
    code_u8(coder, &m->bit_depth, 64);
    code_bool(coder, &m->full_range);
    code_u8(coder, &m->primaries, UINT8_MAX);
    code_u8(coder, &m->transfer, UINT8_MAX);
    code_u8(coder, &m->matrix, UINT8_MAX);
    code_u32(coder, &m->fps_num, INT32_MAX);
    code_u32(coder, &m->fps_den, INT32_MAX);
    code_bool(coder, &m->exact);
    code_u32(coder, &m->audio_count, TRANSCODE_STREAMS_MAX);
    code_u32(coder, &m->video_count, TRANSCODE_STREAMS_MAX);
    code_u32(coder, &m->subtitle_count, TRANSCODE_STREAMS_MAX);
    for (uint32_t i = 0; i < m->audio_count && i < RR_TRANSCODE_AUDIO_MAX; i++) {
        code_shown_audio(coder, &m->audio[i]);
    }
    for (uint32_t i = 0; i < m->subtitle_count && i < RR_TRANSCODE_SUBTITLE_MAX; i++) {
        code_shown_subtitle(coder, &m->subtitles[i]);
    }
}

void transcode_code_facts(struct transcode_coder *coder, struct transcode_facts *m)
{
    code_shown(coder, &m->shown);
    code_i32(coder, &m->video_stream, -1, TRANSCODE_STREAMS_MAX - 1);
    code_i32(coder, &m->tb_num, 1, INT32_MAX);
    code_i32(coder, &m->tb_den, 1, INT32_MAX);
    code_time(coder, &m->first_pts);
    code_time(coder, &m->frames_guess);
    for (uint32_t i = 0; i < m->shown.audio_count && i < RR_TRANSCODE_AUDIO_MAX; i++) {
        code_place(coder, &m->sounds[i]);
    }
    for (uint32_t i = 0; i < m->shown.subtitle_count && i < RR_TRANSCODE_SUBTITLE_MAX; i++) {
        code_i32(coder, &m->subtitle_streams[i], 0, TRANSCODE_STREAMS_MAX - 1);
    }
    code_u8(coder, &m->orientation, 7);
    code_u8(coder, &m->location, UINT8_MAX);
    code_hdr(coder, &m->hdr);
}

void transcode_code_plan(struct transcode_coder *coder, struct transcode_plan *m)
{
    code_i32(coder, &m->video_stream, -1, TRANSCODE_STREAMS_MAX - 1);
    code_i32(coder, &m->tb_num, 1, INT32_MAX);
    code_i32(coder, &m->tb_den, 1, INT32_MAX);
    code_time(coder, &m->first_pts);
    code_time(coder, &m->origin);
    code_u32(coder, &m->gop_ms, 1000000);
    code_u8(coder, &m->orientation, 7);
    code_u8(coder, &m->ten_bit, 1);
    code_u8(coder, &m->full_range, 1);
    code_u8(coder, &m->primaries, UINT8_MAX);
    code_u8(coder, &m->transfer, UINT8_MAX);
    code_u8(coder, &m->matrix, UINT8_MAX);
    code_u8(coder, &m->location, UINT8_MAX);
    code_hdr(coder, &m->hdr);
    code_u32(coder, &m->timescale, INT32_MAX);
    code_u32(coder, &m->ticks, INT32_MAX);
    code_u32(coder, &m->fps_num, INT32_MAX);
    code_u32(coder, &m->fps_den, INT32_MAX);
    code_u8(coder, &m->codec, RR_CODEC_VP9);
    code_u8(coder, &m->tolerant, 1);
    code_u8(coder, &m->tone.transfer, 18);
    code_u8(coder, &m->tone.primaries, UINT8_MAX);
    code_u8(coder, &m->tone.matrix, UINT8_MAX);
    code_u8(coder, &m->tone.full_range, 1);
    code_u16(coder, &m->tone.peak_nits);
    code_text(coder, m->preset, sizeof m->preset);
    code_u32(coder, &m->audio_bps, INT32_MAX);
    code_u8(coder, &m->audio_codec, RR_AUDIO_OPUS);
    code_u8(coder, &m->audio_count, RR_TRACKS_MAX);
    code_u8(coder, &m->subtitle_count, RR_TRACKS_MAX);
    for (unsigned i = 0; i < m->audio_count; i++) {
        code_track(coder, &m->audio[i]);
    }
    for (unsigned i = 0; i < m->subtitle_count; i++) {
        code_track(coder, &m->subtitles[i]);
    }
    code_u8(coder, &m->rung_count, RR_RUNGS_MAX);
    for (unsigned i = 0; i < m->rung_count; i++) {
        code_u16(coder, &m->rungs[i].width);
        code_u16(coder, &m->rungs[i].height);
        code_u16(coder, &m->rungs[i].sar_num);
        code_u16(coder, &m->rungs[i].sar_den);
        code_u16(coder, &m->rungs[i].rate.crf);
        code_u32(coder, &m->rungs[i].rate.kbps, RR_KBPS_MAX);
        code_u32(coder, &m->rungs[i].rate.max_kbps, RR_KBPS_MAX);
    }
}

void transcode_code_source(struct transcode_coder *coder, struct transcode_source *m)
{
    transcode_code_plan(coder, &m->plan);
    code_u32(coder, &m->first_cell, UINT32_MAX);
    code_u32(coder, &m->first_packet, UINT32_MAX);
    code_u32(coder, &m->end_cell, UINT32_MAX);
    code_u8(coder, &m->one, TRANSCODE_QUICK);
    code_u64(coder, &m->work_max, UINT64_MAX);
}

void transcode_code_grant(struct transcode_coder *coder, struct transcode_grant *m)
{
    code_u8(coder, &m->rungs, UINT8_MAX);
    code_u8(coder, &m->coded, UINT8_MAX);
    code_u8(coder, &m->tell, 1);
}

void transcode_code_gop(struct transcode_coder *coder, struct transcode_gop *m)
{
    code_u32(coder, &m->cell, UINT32_MAX);
    code_u32(coder, &m->first, UINT32_MAX);
    code_u32(coder, &m->last, UINT32_MAX);
    code_bytes(coder, m->digest.bytes, sizeof m->digest.bytes);
    code_u32(coder, &m->concealed, TRANSCODE_FRAMES_MAX);
    code_u8(coder, &m->unclean, 1);
    code_u8(coder, &m->coded, UINT8_MAX);
    code_u32(coder, &m->count, TRANSCODE_FRAMES_MAX);
    for (uint32_t i = 0; i < m->count; i++) {
        code_time(coder, &m->pts[i]);
    }
    code_time(coder, &m->end);
}

void transcode_code_end(struct transcode_coder *coder, struct transcode_end *m)
{
    code_u64(coder, &m->frames, UINT32_MAX);
    code_u64(coder, &m->packets, UINT32_MAX);
    code_u64(coder, &m->concealed, UINT32_MAX);
    code_u32(coder, &m->bad_from, UINT32_MAX);
}

void transcode_code_scan(struct transcode_coder *coder, struct transcode_scan *m)
{
    transcode_code_plan(coder, &m->plan);
}

void transcode_code_scanned(struct transcode_coder *coder, struct transcode_scanned *m)
{
    code_u32(coder, &m->packets, TRANSCODE_SCAN_MAX);
}

void transcode_code_encode(struct transcode_coder *coder, struct transcode_encode *m)
{
    transcode_code_plan(coder, &m->plan);
    code_u8(coder, &m->rung, RR_RUNGS_MAX - 1);
    code_u32(coder, &m->quality, 6300);
    code_u32(coder, &m->count, TRANSCODE_FRAMES_MAX);
    for (uint32_t i = 0; i < m->count; i++) {
        code_time(coder, &m->pts[i]);
    }
}

void transcode_code_packets(struct transcode_coder *coder, struct transcode_packets *m)
{
    code_u64(coder, &m->bytes, UINT32_MAX);
    code_extradata(coder, m->extradata, &m->extradata_bytes);
    code_u32(coder, &m->count, TRANSCODE_FRAMES_MAX);
    for (uint32_t i = 0; i < m->count; i++) {
        code_u32(coder, &m->packets[i].bytes, UINT32_MAX);
        code_time(coder, &m->packets[i].pts);
        code_u8(coder, &m->packets[i].key, 1);
    }
}

void transcode_code_measure(struct transcode_coder *coder, struct transcode_measure *m)
{
    transcode_code_plan(coder, &m->plan);
    code_time(coder, &m->duration_us);
}

void transcode_code_measured(struct transcode_coder *coder, struct transcode_measured *m)
{
    code_u32(coder, &m->pieces, 1024);
    code_u32(coder, &m->others, 65536);
    code_u8(coder, &m->rung_count, RR_RUNGS_MAX);
    for (unsigned i = 0; i < m->rung_count; i++) {
        code_u64(coder, &m->rungs[i].key_bytes, UINT64_C(1) << 36);
        code_u64(coder, &m->rungs[i].other_bytes, UINT64_C(1) << 36);
    }
}

void transcode_code_decode(struct transcode_coder *coder, struct transcode_decode *m)
{
    transcode_code_plan(coder, &m->plan);
    code_u8(coder, &m->rung, RR_RUNGS_MAX - 1);
    transcode_code_packets(coder, &m->packets);
}

void transcode_code_decoded(struct transcode_coder *coder, struct transcode_decoded *m)
{
    code_u32(coder, &m->width, TRANSCODE_SIDE_MAX);
    code_u32(coder, &m->height, TRANSCODE_SIDE_MAX);
    code_u8(coder, &m->format, 1);
    code_u32(coder, &m->sar_num, INT32_MAX);
    code_u32(coder, &m->sar_den, INT32_MAX);
    code_u8(coder, &m->full_range, 1);
    code_u8(coder, &m->primaries, UINT8_MAX);
    code_u8(coder, &m->transfer, UINT8_MAX);
    code_u8(coder, &m->matrix, UINT8_MAX);
    code_u8(coder, &m->idr, 1);
    code_u32(coder, &m->damaged, TRANSCODE_FRAMES_MAX);
    code_u32(coder, &m->count, TRANSCODE_FRAMES_MAX);
    for (uint32_t i = 0; i < m->count; i++) {
        code_time(coder, &m->pts[i]);
    }
}

void transcode_code_probe(struct transcode_coder *coder, struct transcode_probe *m)
{
    code_u8(coder, &m->video, TRANSCODE_STREAMS_MAX);
}

void transcode_code_audio(struct transcode_coder *coder, struct transcode_audio *m)
{
    transcode_code_plan(coder, &m->plan);
    code_u8(coder, &m->track, RR_TRACKS_MAX - 1);
}

void transcode_code_subtitle(struct transcode_coder *coder, struct transcode_subtitle *m)
{
    transcode_code_plan(coder, &m->plan);
    code_u8(coder, &m->track, RR_TRACKS_MAX - 1);
}

void transcode_code_cues(struct transcode_coder *coder, struct transcode_cues *m)
{
    code_u32(coder, &m->count, TRANSCODE_CUES_MAX);
    code_u64(coder, &m->bytes, TRANSCODE_TEXT_BYTES_MAX);
    code_u32(coder, &m->source_packets, UINT32_MAX);
    code_u32(coder, &m->left_out, UINT32_MAX);
    code_bytes(coder, m->digest.bytes, sizeof m->digest.bytes);
}

void transcode_code_sound(struct transcode_coder *coder, struct transcode_sound *m)
{
    code_u64(coder, &m->bytes, UINT64_C(1) << 40);
    code_extradata(coder, m->extradata, &m->extradata_bytes);
    code_u32(coder, &m->sample_rate, 1000000);
    code_u32(coder, &m->channels, 64);
    code_u32(coder, &m->frame_samples, 65536);
    code_u32(coder, &m->priming, 65536);
    code_u64(coder, &m->samples, UINT64_C(1) << 48);
    code_u32(coder, &m->source_packets, UINT32_MAX);
    code_bytes(coder, m->digest.bytes, sizeof m->digest.bytes);
    code_u32(coder, &m->count, 1u << 26);
}

void transcode_code_mux(struct transcode_coder *coder, struct transcode_mux *m)
{
    transcode_code_plan(coder, &m->plan);
    code_u8(coder, &m->rung, UINT8_MAX);
    code_time(coder, &m->start);
    code_u32(coder, &m->sample_rate, 1000000);
    code_u32(coder, &m->channels, 64);
    code_u32(coder, &m->frame_samples, 65536);
    code_u32(coder, &m->priming, 65536);
    code_u32(coder, &m->bit_rate, INT32_MAX);
    code_extradata(coder, m->extradata, &m->extradata_bytes);
}

void transcode_code_segment(struct transcode_coder *coder, struct transcode_segment *m)
{
    code_u64(coder, &m->offset, UINT64_C(1) << 48);
    code_u32(coder, &m->count, TRANSCODE_FRAMES_MAX);
    for (uint32_t i = 0; i < m->count; i++) {
        code_u32(coder, &m->samples[i].bytes, UINT32_MAX);
        code_time(coder, &m->samples[i].pts);
        code_time(coder, &m->samples[i].dts);
        code_u32(coder, &m->samples[i].duration, INT32_MAX);
        code_u8(coder, &m->samples[i].key, 1);
    }
}

void transcode_code_segment_made(struct transcode_coder *coder, struct transcode_segment_made *m)
{
    code_u32(coder, &m->init_bytes, 1u << 20);
    code_u64(coder, &m->bytes, UINT32_MAX);
}

void transcode_code_file(struct transcode_coder *coder, struct transcode_file *m)
{
    code_u32(coder, &m->reserve, INT32_MAX);
    code_u32(coder, &m->timescale, INT32_MAX);
}

void transcode_code_piece(struct transcode_coder *coder, struct transcode_piece *m)
{
    code_u8(coder, &m->track, TRANSCODE_STREAMS_MAX);
    transcode_code_segment(coder, &m->segment);
}

void transcode_code_file_made(struct transcode_coder *coder, struct transcode_file_made *m)
{
    code_u32(coder, &m->count, TRANSCODE_EXTENTS_MAX);
    for (uint32_t i = 0; i < m->count; i++) {
        code_u64(coder, &m->extents[i].at, UINT64_C(1) << 48);
        code_u64(coder, &m->extents[i].bytes, UINT64_C(1) << 40);
    }
}

void transcode_code_device_names(struct transcode_coder *coder, struct transcode_device_names *m)
{
    code_u8(coder, &m->count, RR_TRANSCODE_DEVICES_MAX);
    for (unsigned i = 0; i < m->count; i++) {
        code_text(coder, m->names[i], sizeof m->names[i]);
    }
}

void transcode_code_device_ask(struct transcode_coder *coder, struct transcode_device_ask *m)
{
    code_text(coder, m->name, sizeof m->name);
}

void transcode_code_device_facts(struct transcode_coder *coder, struct rr_transcode_device *m)
{
    code_text(coder, m->id, sizeof m->id);
    code_text(coder, m->name, sizeof m->name);
    code_u8(coder, &m->decodes, 15);
    code_u8(coder, &m->decodes_10, 15);
    code_u8(coder, &m->encodes, 15);
    code_u8(coder, &m->encodes_10, 15);
    code_bool(coder, &m->scales);
    code_u16(coder, &m->sessions);
    code_text(coder, m->why_not, sizeof m->why_not);
}

void transcode_code_use(struct transcode_coder *coder, struct transcode_use *m)
{
    code_text(coder, m->device, sizeof m->device);
    code_u8(coder, &m->exact, 1);
}

/* ---- transport
 * ---------------------------------------------------------------------------------------- */

bool transcode_send(int socket, struct rr_slice message, const int *fds, size_t fd_count)
{
    union {
        struct cmsghdr header;
        uint8_t bytes[CMSG_SPACE(sizeof(int) * TRANSCODE_FDS_MAX)];
    } control = {0};
    union {
        const uint8_t *in;
        void *out;
    } base = {.in = message.ptr};
    struct iovec part = {.iov_base = base.out, .iov_len = message.len};
    struct msghdr head = {.msg_iov = &part, .msg_iovlen = 1};
    RR_CHECK(message.len <= TRANSCODE_MESSAGE_MAX && fd_count <= TRANSCODE_FDS_MAX);
    if (fd_count > 0) {
        head.msg_control = control.bytes;
        head.msg_controllen = CMSG_SPACE(sizeof(int) * fd_count);
        struct cmsghdr *item = CMSG_FIRSTHDR(&head);
        item->cmsg_level = SOL_SOCKET;
        item->cmsg_type = SCM_RIGHTS;
        item->cmsg_len = CMSG_LEN(sizeof(int) * fd_count);
        memcpy(CMSG_DATA(item), fds, sizeof(int) * fd_count);
    }
    ssize_t sent;
    do {
        sent = sendmsg(socket, &head, MSG_NOSIGNAL);
    } while (sent < 0 && errno == EINTR);
    return sent == (ssize_t)message.len;
}

int transcode_receive(int socket, struct rr_buf *out, int fds[static TRANSCODE_FDS_MAX],
                      size_t *fd_count)
{
    union {
        struct cmsghdr header;
        uint8_t bytes[CMSG_SPACE(sizeof(int) * TRANSCODE_FDS_MAX)];
    } control = {0};
    out->len = 0;
    rr_buf_reserve(out, TRANSCODE_MESSAGE_MAX);
    struct iovec part = {.iov_base = out->ptr, .iov_len = TRANSCODE_MESSAGE_MAX};
    struct msghdr head = {.msg_iov = &part,
                          .msg_iovlen = 1,
                          .msg_control = control.bytes,
                          .msg_controllen = sizeof control.bytes};
    ssize_t got;
    do {
        got = recvmsg(socket, &head, MSG_CMSG_CLOEXEC);
    } while (got < 0 && errno == EINTR);
    *fd_count = 0;
    if (got < 0) {
        return -1;
    }
    for (struct cmsghdr *item = CMSG_FIRSTHDR(&head); item != NULL;
         item = CMSG_NXTHDR(&head, item)) {
        if (item->cmsg_level == SOL_SOCKET && item->cmsg_type == SCM_RIGHTS) {
            size_t count = (item->cmsg_len - CMSG_LEN(0)) / sizeof(int);
            memcpy(fds, CMSG_DATA(item), count * sizeof(int));
            *fd_count = count;
        }
    }
    if ((head.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0) {
        for (size_t i = 0; i < *fd_count; i++) {
            close(fds[i]);
        }
        *fd_count = 0;
        errno = EMSGSIZE;
        return -1;
    }
    out->len = (size_t)got;
    return got > 0 ? 1 : 0;
}

bool transcode_label_valid(const char *text)
{
    for (size_t left = strlen(text); left > 0;) {
        size_t n = rr_utf8_step((const uint8_t *)text, left);
        if (n == 0) {
            return false;
        }
        text += n;
        left -= n;
    }
    return true;
}

/* ---- arithmetic both sides must agree on
 * ----------------------------------------------------------------- */

__extension__ typedef __int128 wide;

int64_t transcode_rescale(int64_t value, int64_t num, int64_t den)
{
    wide product = (wide)value * num;
    wide quotient = product / den;
    if (product % den != 0 && product < 0) {
        quotient--;
    }
    return quotient > INT64_MAX ? INT64_MAX : quotient < INT64_MIN ? INT64_MIN : (int64_t)quotient;
}

uint32_t transcode_cell(const struct transcode_plan *plan, int64_t pts)
{
    int64_t den = (int64_t)plan->tb_den * plan->gop_ms;
    int64_t cell = transcode_rescale(pts - plan->first_pts, (int64_t)plan->tb_num * 1000, den);
    return cell < 0 ? 0 : cell > UINT32_MAX ? UINT32_MAX : (uint32_t)cell;
}

uint32_t transcode_stride(const struct transcode_plan *plan, uint32_t width)
{
    return (width * (plan->ten_bit != 0 ? 2 : 1) + TRANSCODE_ALIGN - 1) / TRANSCODE_ALIGN *
           TRANSCODE_ALIGN;
}

uint64_t transcode_frame_bytes(const struct transcode_plan *plan, const struct transcode_rung *rung)
{
    uint64_t luma = (uint64_t)transcode_stride(plan, rung->width) * rung->height;
    uint64_t chroma = (uint64_t)transcode_stride(plan, rung->width / 2u) * (rung->height / 2u);
    return luma + 2 * chroma;
}

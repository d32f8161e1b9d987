/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Encoded GOPs into CMAF: one initialization segment, then a fragment a task. The form is
 * libavformat's; cut and times are the parent's. */
#include "transcode/worker/worker.h"
#include <libavutil/mastering_display_metadata.h>
#include <libavutil/opt.h>
#include <string.h>

/* An edit list in the initialization segment takes back the encoder's delay and the sound's
 * priming. Negative offsets would save it, but libavformat's own reader then shows pictures late
 * against the sound. */
#define CMAF_FLAGS "frag_custom+dash+skip_sidx+delay_moov+default_base_moof"
#define IO_BYTES   65536

struct worker_mux {
    AVFormatContext *format;
    struct rr_buf out;
    int64_t start; /* taken off the samples' times, added to the fragments' */
    bool begun;
};

static int take_bytes(void *ctx, uint8_t *bytes, int len)
{
    struct worker_mux *mux = ctx;
    rr_buf_append(&mux->out, bytes, (size_t)len);
    return len;
}

void worker_mux_free(struct worker_mux *mux)
{
    if (mux == NULL) {
        return;
    }
    if (mux->format != NULL && mux->format->pb != NULL) {
        av_freep(&mux->format->pb->buffer);
        avio_context_free(&mux->format->pb);
    }
    avformat_free_context(mux->format);
    rr_buf_clear(&mux->out);
    rr_free(mux);
}

static AVRational ratio(uint32_t num, int den)
{
    return (AVRational){(int)(num > INT32_MAX ? INT32_MAX : num), den};
}

static bool add_hdr(AVStream *stream, const struct transcode_hdr *hdr)
{
    static const int order[3] = {2, 0, 1}; /* of G B R, for R G B */
    if (hdr->has_mastering) {
        AVMasteringDisplayMetadata *master = av_mastering_display_metadata_alloc();
        if (master == NULL) {
            return false;
        }
        for (int i = 0; i < 3; i++) {
            master->display_primaries[i][0] = ratio(hdr->primaries[order[i]][0], 50000);
            master->display_primaries[i][1] = ratio(hdr->primaries[order[i]][1], 50000);
        }
        master->white_point[0] = ratio(hdr->white[0], 50000);
        master->white_point[1] = ratio(hdr->white[1], 50000);
        master->max_luminance = ratio(hdr->luminance_max, 10000);
        master->min_luminance = ratio(hdr->luminance_min, 10000);
        master->has_primaries = master->has_luminance = 1;
        if (av_stream_add_side_data(stream, AV_PKT_DATA_MASTERING_DISPLAY_METADATA,
                                    (uint8_t *)master, sizeof *master) < 0) {
            av_free(master);
            return false;
        }
    }
    if (hdr->has_light) {
        size_t size = 0;
        AVContentLightMetadata *light = av_content_light_metadata_alloc(&size);
        if (light == NULL) {
            return false;
        }
        light->MaxCLL = hdr->light_max;
        light->MaxFALL = hdr->light_mean;
        if (av_stream_add_side_data(stream, AV_PKT_DATA_CONTENT_LIGHT_LEVEL, (uint8_t *)light,
                                    size) < 0) {
            av_free(light);
            return false;
        }
    }
    return true;
}

static bool fill_video(AVStream *stream, const struct transcode_mux *ask)
{
    const struct transcode_plan *plan = &ask->plan;
    const struct transcode_rung *rung = &plan->rungs[ask->rung];
    AVCodecParameters *shape = stream->codecpar;
    shape->codec_type = AVMEDIA_TYPE_VIDEO;
    shape->codec_id = worker_codec_id(plan);
    if (plan->codec == RR_CODEC_HEVC) {
        shape->codec_tag = MKTAG('h', 'v', 'c', '1'); /* parameter sets in front only: some players
                                                         take nothing else */
    }
    if (plan->codec == RR_CODEC_VP9) {
        shape->profile = plan->ten_bit ? FF_PROFILE_VP9_2 : FF_PROFILE_VP9_0;
        shape->level = (int)transcode_level_vp9(plan, rung); /* its own looks at the size alone */
    }
    shape->width = rung->width;
    shape->height = rung->height;
    shape->format = plan->ten_bit ? AV_PIX_FMT_YUV420P10LE : AV_PIX_FMT_YUV420P;
    shape->sample_aspect_ratio = stream->sample_aspect_ratio =
        (AVRational){rung->sar_num, rung->sar_den};
    shape->color_range = plan->full_range ? AVCOL_RANGE_JPEG : AVCOL_RANGE_MPEG;
    shape->color_primaries = plan->primaries;
    shape->color_trc = plan->transfer;
    shape->color_space = plan->matrix;
    shape->chroma_location = plan->location;
    stream->time_base = (AVRational){1, (int)plan->timescale};
    stream->avg_frame_rate = (AVRational){(int)plan->fps_num, (int)plan->fps_den};
    return add_hdr(stream, &plan->hdr);
}

static bool fill_audio(AVStream *stream, const struct transcode_mux *ask)
{
    AVCodecParameters *shape = stream->codecpar;
    bool opus = ask->plan.audio_codec == RR_AUDIO_OPUS;
    shape->codec_type = AVMEDIA_TYPE_AUDIO;
    shape->codec_id = opus ? AV_CODEC_ID_OPUS : AV_CODEC_ID_AAC;
    shape->profile = opus ? FF_PROFILE_UNKNOWN : FF_PROFILE_AAC_LOW;
    shape->sample_rate = (int)ask->sample_rate;
    shape->bit_rate = ask->bit_rate;
    shape->frame_size = (int)ask->frame_samples;
    shape->initial_padding = (int)ask->priming;
    shape->seek_preroll = opus ? (int)ask->sample_rate * 80 / 1000 : 0; /* [RFC 7845, 4.6] */
    shape->format = opus ? AV_SAMPLE_FMT_FLT : AV_SAMPLE_FMT_FLTP;
    av_channel_layout_default(&shape->ch_layout, (int)ask->channels);
    stream->time_base = (AVRational){1, (int)ask->sample_rate};
    return true;
}

/* What the container says of a track besides its samples. */
static void fill_words(AVStream *stream, const struct transcode_track *track)
{
    char language[4];
    transcode_language_three(language, track->language);
    av_dict_set(&stream->metadata, "language", language, 0);
    if (track->label[0] != 0) {
        av_dict_set(&stream->metadata, "title", track->label, 0);
    }
    stream->disposition =
        ((track->flags & RR_RENDITION_DEFAULT) != 0 ? AV_DISPOSITION_DEFAULT : 0) |
        ((track->flags & RR_RENDITION_FORCED) != 0 ? AV_DISPOSITION_FORCED : 0);
}

/* Default style of a track of text [3GPP TS 26.245, 5.16]: white, 18 points, below, centred. */
static const uint8_t text_style[] = {0,   0,   0,    0,    1,    0xff, 0, 0,   0,   0,   0,   0,
                                     0,   0,   0,    0,    0,    0,    0, 0,   0,   0,   0,   1,
                                     0,   18,  0xff, 0xff, 0xff, 0xff, 0, 0,   0,   18,  'f', 't',
                                     'a', 'b', 0,    1,    0,    1,    5, 'S', 'e', 'r', 'i', 'f'};

static void fill_text(AVStream *stream)
{
    stream->codecpar->codec_type = AVMEDIA_TYPE_SUBTITLE;
    stream->codecpar->codec_id = AV_CODEC_ID_MOV_TEXT;
    stream->time_base = (AVRational){1, 1000};
}

bool worker_mux_shape(AVStream *stream, const struct transcode_mux *ask)
{
    bool text = ask->rung >= TRANSCODE_SUBTITLE_RUNG;
    bool audio = !text && ask->rung >= TRANSCODE_AUDIO_RUNG;
    const uint8_t *extradata = text ? text_style : ask->extradata;
    size_t bytes = text ? sizeof text_style : ask->extradata_bytes;
    stream->codecpar->extradata = av_mallocz(bytes + AV_INPUT_BUFFER_PADDING_SIZE);
    if (stream->codecpar->extradata == NULL) {
        return false;
    }
    memcpy(stream->codecpar->extradata, extradata, bytes);
    stream->codecpar->extradata_size = (int)bytes;
    if (text) {
        fill_text(stream);
        fill_words(stream, &ask->plan.subtitles[ask->rung - TRANSCODE_SUBTITLE_RUNG]);
        return true;
    }
    if (audio) {
        fill_words(stream, &ask->plan.audio[ask->rung - TRANSCODE_AUDIO_RUNG]);
    }
    return audio ? fill_audio(stream, ask) : fill_video(stream, ask);
}

static enum rr_err open_mux(struct worker_mux *mux, const struct transcode_mux *ask,
                            struct rr_fault *fault)
{
    AVStream *stream = NULL;
    AVDictionary *options = NULL;
    int rc = avformat_alloc_output_context2(&mux->format, NULL, "mp4", NULL);
    uint8_t *room = rc < 0 ? NULL : av_malloc(IO_BYTES);
    if (room == NULL ||
        (mux->format->pb = avio_alloc_context(room, IO_BYTES, 1, mux, NULL, take_bytes, NULL)) ==
            NULL ||
        (stream = avformat_new_stream(mux->format, NULL)) == NULL) {
        return rr_fail(fault, RR_ERR_MEMORY, "no memory for the container");
    }
    mux->format->pb->seekable = 0;
    mux->format->flags |= AVFMT_FLAG_CUSTOM_IO | AVFMT_FLAG_BITEXACT;
    mux->format->avoid_negative_ts = AVFMT_AVOID_NEG_TS_DISABLED;
    if (!worker_mux_shape(stream, ask)) {
        return rr_fail(fault, RR_ERR_MEMORY, "no memory for the container");
    }
    av_dict_set(&options, "movflags", CMAF_FLAGS, 0);
    av_dict_set_int(&options, "video_track_timescale", ask->plan.timescale, 0);
    rc = avformat_write_header(mux->format, &options);
    av_dict_free(&options);
    return rc < 0 ? worker_fail_av(fault, rc, "the container does not begin") : RR_OK;
}

enum rr_err worker_mux(struct worker *worker, struct rr_fault *fault)
{
    struct transcode_mux *ask = rr_alloc(sizeof *ask);
    struct rr_buf message = {0};
    struct transcode_segment_made made = {0};
    enum rr_err err;
    worker_mux_free(worker->mux);
    worker->mux = NULL;
    if (!transcode_decode_message(worker_body(worker), mux, ask) ||
        (ask->rung >= TRANSCODE_AUDIO_RUNG
             ? ask->rung >= TRANSCODE_AUDIO_RUNG + ask->plan.audio_count
             : ask->rung >= ask->plan.rung_count)) {
        err = rr_fail(fault, RR_ERR_USAGE, "a mux task that does not follow its form");
    } else {
        worker->mux = rr_alloc(sizeof *worker->mux);
        worker->mux->start = ask->start;
        err = open_mux(worker->mux, ask, fault);
    }
    rr_free(ask);
    if (err == RR_OK) {
        transcode_encode_message(&message, TRANSCODE_SEGMENT_MADE, segment_made, &made);
        worker_send(worker, &message);
    }
    return err;
}

static size_t box_bytes(const uint8_t *box)
{
    return (size_t)box[0] << 24 | (size_t)box[1] << 16 | (size_t)box[2] << 8 | box[3];
}

/* Adds start to the time of each track fragment below. A track that begins late is told so here and
 * not by an empty edit, because Chromium reads the first edit only and would lose the encoder's
 * delay. */
static void move_fragments(uint8_t *boxes, size_t len, int64_t start)
{
    for (size_t at = 0, size; at + 8 <= len; at += size) {
        uint8_t *box = boxes + at;
        size = box_bytes(box);
        if (size < 8 || size > len - at) {
            return;
        }
        if (memcmp(box + 4, "moof", 4) == 0 || memcmp(box + 4, "traf", 4) == 0) {
            move_fragments(box + 8, size - 8, start);
        } else if (memcmp(box + 4, "tfdt", 4) == 0 && size == 20 && box[8] == 1) {
            uint64_t time = 0;
            for (unsigned i = 0; i < 8; i++) {
                time = time << 8 | box[12 + i];
            }
            time += (uint64_t)start;
            for (unsigned i = 0; i < 8; i++) {
                box[12 + i] = (uint8_t)(time >> 8 * (7 - i));
            }
        }
    }
}

/* Bytes before the first fragment. */
static size_t init_bytes(const struct rr_buf *out)
{
    size_t at = 0;
    while (at + 8 <= out->len) {
        const uint8_t *box = out->ptr + at;
        size_t size = box_bytes(box);
        if ((memcmp(box + 4, "ftyp", 4) != 0 && memcmp(box + 4, "moov", 4) != 0) || size < 8) {
            break;
        }
        at += size;
    }
    return at;
}

enum rr_err worker_mux_sample(AVPacket *packet, const struct transcode_sample *sample, int fd,
                              uint64_t *offset, struct rr_fault *fault)
{
    if (sample->bytes > (1u << 30) || av_new_packet(packet, (int)sample->bytes) < 0) {
        return rr_fail(fault, RR_ERR_MEMORY, "no memory for a packet of %u bytes",
                       (unsigned)sample->bytes);
    }
    packet->pts = sample->pts;
    packet->dts = sample->dts;
    packet->duration = sample->duration;
    packet->flags = sample->key ? AV_PKT_FLAG_KEY : 0;
    enum rr_err err = rr_pread_full(fd, packet->data, sample->bytes, *offset, fault);
    *offset += sample->bytes;
    return err;
}

static enum rr_err write_samples(struct worker_mux *mux, const struct transcode_segment *ask,
                                 int fd, struct rr_fault *fault)
{
    AVPacket *packet = av_packet_alloc();
    uint64_t offset = ask->offset;
    enum rr_err err =
        packet != NULL ? RR_OK : rr_fail(fault, RR_ERR_MEMORY, "no memory for a packet");
    for (uint32_t i = 0; i < ask->count && err == RR_OK; i++) {
        err = worker_mux_sample(packet, &ask->samples[i], fd, &offset, fault);
        packet->pts -= mux->start;
        packet->dts -= mux->start;
        int rc = err == RR_OK ? av_write_frame(mux->format, packet) : 0;
        if (rc < 0) {
            err = worker_fail_av(fault, rc, "the container refuses a packet");
        }
        av_packet_unref(packet);
    }
    av_packet_free(&packet);
    return err;
}

static enum rr_err flush(struct worker_mux *mux, struct transcode_segment_made *made,
                         struct rr_fault *fault)
{
    for (int i = 0; i < 2; i++) {
        int rc = av_write_frame(mux->format, NULL);
        if (rc < 0) {
            return worker_fail_av(fault, rc, "the container does not close a fragment");
        }
        avio_flush(mux->format->pb);
        made->init_bytes = mux->begun ? 0 : (uint32_t)init_bytes(&mux->out);
        made->bytes = mux->out.len - made->init_bytes;
        if (made->bytes > 0) { /* the first flush may give the initialization segment alone */
            mux->begun = true;
            move_fragments(mux->out.ptr + made->init_bytes, made->bytes, mux->start);
            return RR_OK;
        }
    }
    return rr_fail(fault, RR_ERR_FORMAT, "the container gave no fragment");
}

enum rr_err worker_segment(struct worker *worker, struct rr_fault *fault)
{
    struct transcode_segment *ask = rr_alloc(sizeof *ask);
    struct transcode_segment_made made = {0};
    struct rr_buf message = {0};
    struct worker_mux *mux = worker->mux;
    enum rr_err err;
    if (mux == NULL || worker->fd_count != 2 ||
        !transcode_decode_message(worker_body(worker), segment, ask) || ask->count == 0) {
        err = rr_fail(fault, RR_ERR_USAGE, "a segment task that does not follow its form");
    } else {
        mux->out.len = 0;
        err = write_samples(mux, ask, worker->fds[0], fault);
    }
    if (err == RR_OK) {
        err = flush(mux, &made, fault);
    }
    if (err == RR_OK) {
        err = rr_pwrite_full(worker->fds[1], mux->out.ptr, mux->out.len, 0, fault);
    }
    if (err == RR_OK) {
        transcode_encode_message(&message, TRANSCODE_SEGMENT_MADE, segment_made, &made);
        worker_send(worker, &message);
    }
    rr_free(ask);
    return err;
}

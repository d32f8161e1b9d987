/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a file holds: the container's word, and the first picture and sound that really decode. */
#include "transcode/worker/worker.h"
#include "transcode/worker/worker_live.h"
#include <libavutil/avstring.h>
#include <libavutil/mastering_display_metadata.h>
#include <libavutil/pixdesc.h>
#include <stdlib.h>
#include <string.h>

/* Enough to reach the first picture of any sane file; one that hides it deeper counts as not
 * decodable. */
#define LOOK_PACKETS 20000
#define LOOK_BYTES   (INT64_C(256) << 20)

/* One track of sound, in the container's order. */
struct look_sound {
    int stream;
    AVCodecContext *decoder; /* NULL: not one that is taken */
    AVFrame *first;          /* NULL until found */
    int error;
};
struct looker {
    struct worker_input input;
    AVCodecContext *video;
    AVFrame *picture; /* the first; NULL until found */
    AVPacket *packet;
    struct look_sound sounds[RR_TRANSCODE_AUDIO_MAX];
    unsigned sound_count;
    int video_error;
};

static void take(AVCodecContext *decoder, const AVPacket *packet, AVFrame **found, int *error)
{
    if (decoder == NULL || *found != NULL) {
        return;
    }
    int rc = avcodec_send_packet(decoder, packet);
    if (rc < 0 && rc != AVERROR(EAGAIN)) {
        *error = rc;
        return;
    }
    AVFrame *frame = av_frame_alloc();
    if (frame != NULL && avcodec_receive_frame(decoder, frame) == 0) {
        *found = frame;
        return;
    }
    av_frame_free(&frame);
}

static bool all_found(const struct looker *looker)
{
    bool found = looker->video == NULL || looker->picture != NULL;
    for (unsigned i = 0; i < looker->sound_count; i++) {
        found = found && (looker->sounds[i].decoder == NULL || looker->sounds[i].first != NULL);
    }
    return found;
}

static void look(struct looker *looker)
{
    int64_t bytes = 0;
    for (int i = 0; i < LOOK_PACKETS && bytes < LOOK_BYTES; i++) {
        if (all_found(looker) || worker_input_read(&looker->input, looker->packet) < 0) {
            break;
        }
        bytes += looker->packet->size;
        if (looker->packet->stream_index == looker->input.video) {
            take(looker->video, looker->packet, &looker->picture, &looker->video_error);
        }
        for (unsigned j = 0; j < looker->sound_count; j++) {
            struct look_sound *sound = &looker->sounds[j];
            if (looker->packet->stream_index == sound->stream) {
                take(sound->decoder, looker->packet, &sound->first, &sound->error);
            }
        }
        av_packet_unref(looker->packet);
    }
    take(looker->video, NULL, &looker->picture, &looker->video_error);
    for (unsigned j = 0; j < looker->sound_count; j++) {
        struct look_sound *sound = &looker->sounds[j];
        take(sound->decoder, NULL, &sound->first, &sound->error);
    }
}

static uint16_t small(AVRational value, int scale)
{
    int64_t scaled =
        value.den != 0 ? transcode_rescale(value.num, scale, value.den > 0 ? value.den : 1) : 0;
    return (uint16_t)(scaled < 0 ? 0 : scaled > UINT16_MAX ? UINT16_MAX : scaled);
}

static uint32_t large(AVRational value, int scale)
{
    int64_t scaled =
        value.den != 0 ? transcode_rescale(value.num, scale, value.den > 0 ? value.den : 1) : 0;
    return (uint32_t)(scaled < 0 ? 0 : scaled > UINT32_MAX ? UINT32_MAX : scaled);
}

/* Of the stream, else of its first picture. */
static const void *side(const AVStream *stream, const AVFrame *frame,
                        enum AVPacketSideDataType of_stream, enum AVFrameSideDataType of_frame)
{
    const void *found = av_stream_get_side_data(stream, of_stream, NULL);
    const AVFrameSideData *data = av_frame_get_side_data(frame, of_frame);
    return found != NULL ? found : data != NULL ? data->data : NULL;
}

static void fill_hdr(struct transcode_hdr *out, const AVStream *stream, const AVFrame *frame)
{
    static const int order[3] = {1, 2, 0}; /* libav keeps R G B, the SEI G B R */
    const AVMasteringDisplayMetadata *master =
        side(stream, frame, AV_PKT_DATA_MASTERING_DISPLAY_METADATA,
             AV_FRAME_DATA_MASTERING_DISPLAY_METADATA);
    const AVContentLightMetadata *light =
        side(stream, frame, AV_PKT_DATA_CONTENT_LIGHT_LEVEL, AV_FRAME_DATA_CONTENT_LIGHT_LEVEL);
    if (master != NULL && master->has_primaries && master->has_luminance) {
        out->has_mastering = 1;
        for (int i = 0; i < 3; i++) {
            out->primaries[i][0] = small(master->display_primaries[order[i]][0], 50000);
            out->primaries[i][1] = small(master->display_primaries[order[i]][1], 50000);
        }
        out->white[0] = small(master->white_point[0], 50000);
        out->white[1] = small(master->white_point[1], 50000);
        out->luminance_max = large(master->max_luminance, 10000);
        out->luminance_min = large(master->min_luminance, 10000);
    }
    if (light != NULL) {
        out->has_light = 1;
        out->light_max = (uint16_t)(light->MaxCLL > UINT16_MAX ? UINT16_MAX : light->MaxCLL);
        out->light_mean = (uint16_t)(light->MaxFALL > UINT16_MAX ? UINT16_MAX : light->MaxFALL);
    }
}

/* The display matrix as one of the eight ways to lay down a picture; other angles are taken for the
 * nearest. */
static void fill_orientation(struct transcode_facts *facts, const AVStream *stream)
{
    const uint8_t *raw = av_stream_get_side_data(stream, AV_PKT_DATA_DISPLAYMATRIX, NULL);
    int32_t m[9];
    if (raw == NULL) {
        return;
    }
    memcpy(m, raw, sizeof m);
    bool transpose = llabs((long long)m[0]) < llabs((long long)m[1]);
    bool columns = transpose ? m[3] < 0 : m[0] < 0;
    bool rows = transpose ? m[1] < 0 : m[4] < 0;
    unsigned index = (transpose ? 1u : 0) | (columns ? 2u : 0) | (rows ? 4u : 0);
    facts->orientation = (uint8_t)index;
    facts->shown.mirrored = transpose == (columns == rows);
    facts->shown.rotation = !transpose ? (rows ? 180 : 0) : columns ? 90 : 270;
}

static void fill_colour(struct transcode_facts *facts, const AVFrame *frame,
                        const AVCodecContext *decoder)
{
    const AVPixFmtDescriptor *shape = av_pix_fmt_desc_get(frame->format);
    struct rr_transcode_facts *shown = &facts->shown;
    bool old_full = frame->format == AV_PIX_FMT_YUVJ420P || frame->format == AV_PIX_FMT_YUVJ422P ||
                    frame->format == AV_PIX_FMT_YUVJ444P || frame->format == AV_PIX_FMT_YUVJ440P;
    shown->bit_depth = (uint8_t)shape->comp[0].depth;
    shown->full_range = old_full || frame->color_range == AVCOL_RANGE_JPEG;
    shown->primaries = (uint8_t)frame->color_primaries;
    shown->transfer = (uint8_t)frame->color_trc;
    shown->matrix = (uint8_t)frame->colorspace;
    facts->location = (uint8_t)frame->chroma_location;
    if ((shape->flags & (AV_PIX_FMT_FLAG_RGB | AV_PIX_FMT_FLAG_PAL)) != 0) {
        /* Becomes YCbCr here, by the matrix of its size (as BT.709 and BT.601 were meant). */
        shown->full_range = false;
        shown->matrix = frame->height >= 720 ? AVCOL_SPC_BT709 : AVCOL_SPC_SMPTE170M;
    }
    (void)decoder;
}

static void fill_video(struct transcode_facts *facts, const struct looker *looker)
{
    const AVStream *stream = looker->input.format->streams[looker->input.video];
    const AVFrame *frame = looker->picture;
    struct rr_transcode_facts *shown = &facts->shown;
    AVRational sar = stream->sample_aspect_ratio.num > 0 ? stream->sample_aspect_ratio
                                                         : frame->sample_aspect_ratio;
    AVRational rate =
        stream->avg_frame_rate.num > 0 ? stream->avg_frame_rate : stream->r_frame_rate;
    enum AVCodecID id = stream->codecpar->codec_id;
    if (rate.num <= 0 || rate.den <= 0) {
        rate = (AVRational){25, 1};
    }
    shown->has_video = true;
    av_strlcpy(shown->video_codec, avcodec_get_name(id), sizeof shown->video_codec);
    shown->width = (uint32_t)frame->width;
    shown->height = (uint32_t)frame->height;
    shown->sar_num = sar.num > 0 && sar.den > 0 ? (uint32_t)sar.num : 1;
    shown->sar_den = sar.num > 0 && sar.den > 0 ? (uint32_t)sar.den : 1;
    shown->fps_num = (uint32_t)rate.num;
    shown->fps_den = (uint32_t)rate.den;
    shown->exact = id == AV_CODEC_ID_H264 || id == AV_CODEC_ID_HEVC || id == AV_CODEC_ID_VP9 ||
                   id == AV_CODEC_ID_AV1;
    facts->tb_num = stream->time_base.num;
    facts->tb_den = stream->time_base.den;
    facts->first_pts = frame->pts != AV_NOPTS_VALUE ? frame->pts
                       : frame->best_effort_timestamp != AV_NOPTS_VALUE
                           ? frame->best_effort_timestamp
                           : 0;
    facts->frames_guess = stream->nb_frames;
    if (facts->frames_guess <= 0 && shown->duration_us > 0) {
        facts->frames_guess =
            transcode_rescale(shown->duration_us, rate.num, (int64_t)rate.den * 1000000);
    }
    fill_colour(facts, frame, looker->video);
    fill_orientation(facts, stream);
    fill_hdr(&facts->hdr, stream, frame);
}

static int64_t micros(int64_t value, AVRational base)
{
    return value == AV_NOPTS_VALUE ? 0 : av_rescale_q(value, base, AV_TIME_BASE_Q);
}

/* Printable ASCII of a tag, or nothing. */
static void copy_language(char out[static RR_LANGUAGE_MAX + 1], const AVStream *stream)
{
    const AVDictionaryEntry *tag = av_dict_get(stream->metadata, "language", NULL, 0);
    size_t len = tag != NULL ? strlen(tag->value) : 0;
    for (size_t i = 0; i < len && len <= RR_LANGUAGE_MAX; i++) {
        len = tag->value[i] > 0x20 && tag->value[i] < 0x7f ? len : 0;
    }
    if (len > 0 && len <= RR_LANGUAGE_MAX) {
        memcpy(out, tag->value, len);
        out[len] = 0;
    }
}

/* As many whole characters of the title as fit. */
static void copy_label(char out[static RR_NAME_MAX + 1], const AVStream *stream)
{
    const AVDictionaryEntry *tag = av_dict_get(stream->metadata, "title", NULL, 0);
    const char *text = tag != NULL ? tag->value : "";
    size_t used = 0;
    for (size_t left = strlen(text); left > 0;) {
        size_t n = rr_utf8_step((const uint8_t *)text, left);
        size_t step = n > 0 ? n : 1;
        if (used + step > RR_NAME_MAX) {
            break;
        }
        memcpy(out + used, n > 0 ? text : "?", step);
        used += step;
        text += step;
        left -= step;
    }
    out[used] = 0;
}

static void fill_audio(struct rr_transcode_facts *shown, const AVStream *stream)
{
    if (shown->audio_count < RR_TRANSCODE_AUDIO_MAX) {
        struct rr_transcode_audio *audio = &shown->audio[shown->audio_count];
        av_strlcpy(audio->codec, avcodec_get_name(stream->codecpar->codec_id), sizeof audio->codec);
        audio->channels = (uint32_t)stream->codecpar->ch_layout.nb_channels;
        audio->sample_rate = (uint32_t)stream->codecpar->sample_rate;
        audio->start_us = micros(stream->start_time, stream->time_base);
        audio->duration_us = micros(stream->duration, stream->time_base);
        audio->is_default = (stream->disposition & AV_DISPOSITION_DEFAULT) != 0;
        copy_language(audio->language, stream);
        copy_label(audio->label, stream);
    }
    shown->audio_count++;
}

static void fill_subtitle(struct transcode_facts *facts, const AVStream *stream)
{
    struct rr_transcode_facts *shown = &facts->shown;
    if (shown->subtitle_count < RR_TRANSCODE_SUBTITLE_MAX) {
        struct rr_transcode_subtitle *subtitle = &shown->subtitles[shown->subtitle_count];
        const AVCodecDescriptor *codec = avcodec_descriptor_get(stream->codecpar->codec_id);
        AVCodecContext *decoder = NULL;
        av_strlcpy(subtitle->codec, avcodec_get_name(stream->codecpar->codec_id),
                   sizeof subtitle->codec);
        subtitle->is_default = (stream->disposition & AV_DISPOSITION_DEFAULT) != 0;
        subtitle->forced = (stream->disposition & AV_DISPOSITION_FORCED) != 0;
        subtitle->text = codec != NULL && (codec->props & AV_CODEC_PROP_TEXT_SUB) != 0 &&
                         worker_decoder_open(&decoder, stream, NULL) == RR_OK;
        copy_language(subtitle->language, stream);
        copy_label(subtitle->label, stream);
        facts->subtitle_streams[shown->subtitle_count] = stream->index;
        avcodec_free_context(&decoder);
    }
    shown->subtitle_count++;
}

static void fill_container(struct transcode_facts *facts, const struct looker *looker)
{
    const AVFormatContext *format = looker->input.format;
    struct rr_transcode_facts *shown = &facts->shown;
    av_strlcpy(shown->container, format->iformat->name, sizeof shown->container);
    shown->start_us = format->start_time == AV_NOPTS_VALUE ? 0 : format->start_time;
    shown->duration_us =
        format->duration == AV_NOPTS_VALUE || format->duration < 0 ? 0 : format->duration;
    shown->sar_num = shown->sar_den = 1;
    shown->fps_den = 1;
    for (unsigned i = 0; i < format->nb_streams; i++) {
        const AVStream *stream = format->streams[i];
        shown->video_count += stream->codecpar->codec_type == AVMEDIA_TYPE_VIDEO &&
                              (stream->disposition & AV_DISPOSITION_ATTACHED_PIC) == 0;
        if (stream->codecpar->codec_type == AVMEDIA_TYPE_AUDIO) {
            fill_audio(shown, stream);
        } else if (stream->codecpar->codec_type == AVMEDIA_TYPE_SUBTITLE) {
            fill_subtitle(facts, stream);
        }
    }
}

/* A track of a codec that is not taken is left out; when all are, that is the file's fault. */
static enum rr_err open_sounds(struct looker *looker, struct rr_fault *fault)
{
    AVFormatContext *format = looker->input.format;
    enum rr_err err = RR_OK;
    bool one = false;
    for (unsigned i = 0; i < format->nb_streams && looker->sound_count < RR_TRANSCODE_AUDIO_MAX;
         i++) {
        struct look_sound *sound = &looker->sounds[looker->sound_count];
        if (format->streams[i]->codecpar->codec_type == AVMEDIA_TYPE_AUDIO) {
            sound->stream = (int)i;
            enum rr_err opened = worker_decoder_open(&sound->decoder, format->streams[i], fault);
            one = one || opened == RR_OK;
            err = opened != RR_OK ? opened : err;
            looker->sound_count++;
        }
    }
    return one ? RR_OK : err;
}

static enum rr_err open_decoders(struct looker *looker, struct rr_fault *fault)
{
    AVFormatContext *format = looker->input.format;
    enum rr_err err = RR_OK;
    if (looker->input.video < 0 && looker->input.audio < 0) {
        return rr_fail(fault, RR_ERR_FORMAT,
                       "not a video, or cut short: the file (%s) holds neither pictures nor sound",
                       format->iformat->name);
    }
    if (looker->input.video >= 0) {
        err = worker_decoder_open(&looker->video, format->streams[looker->input.video], fault);
    }
    return err != RR_OK ? err : open_sounds(looker, fault);
}

static void fill_sounds(struct transcode_facts *facts, const struct looker *looker)
{
    for (unsigned i = 0; i < looker->sound_count; i++) {
        const struct look_sound *sound = &looker->sounds[i];
        const AVStream *stream = looker->input.format->streams[sound->stream];
        bool timed = sound->first != NULL && sound->first->pts != AV_NOPTS_VALUE;
        facts->sounds[i] =
            (struct transcode_sound_place){.stream = sound->stream,
                                           .tb_num = stream->time_base.num,
                                           .tb_den = stream->time_base.den,
                                           .first_pts = timed ? sound->first->pts : 0,
                                           .decodes = sound->first != NULL};
    }
}

static enum rr_err fill(struct transcode_facts *facts, struct looker *looker,
                        struct rr_fault *fault)
{
    bool sound = false;
    *facts = (struct transcode_facts){.video_stream = -1, .tb_num = 1, .tb_den = 1};
    for (unsigned i = 0; i < looker->sound_count; i++) {
        sound = sound || looker->sounds[i].first != NULL;
    }
    if (looker->video != NULL && looker->picture == NULL) {
        return rr_fail(fault, RR_ERR_DAMAGED,
                       "not one picture of the %s stream decodes: the file is damaged or cut short",
                       avcodec_get_name(looker->video->codec_id));
    }
    if (looker->video == NULL && !sound) {
        const AVStream *stream = looker->input.format->streams[looker->input.audio];
        return rr_fail(fault, RR_ERR_DAMAGED,
                       "nothing of the %s stream decodes: the file is damaged or cut short",
                       avcodec_get_name(stream->codecpar->codec_id));
    }
    fill_container(facts, looker);
    if (looker->picture != NULL) {
        facts->video_stream = looker->input.video;
        fill_video(facts, looker);
    }
    fill_sounds(facts, looker);
    return RR_OK;
}

enum rr_err worker_probe(struct worker *worker, struct rr_fault *fault)
{
    struct looker looker = {0};
    struct transcode_probe ask;
    struct rr_buf message = {0};
    if (!worker_follow_take(worker, 1, false) ||
        !transcode_decode_message(worker_body(worker), probe, &ask)) {
        return rr_fail(fault, RR_ERR_USAGE, "a probe task that does not follow its form");
    }
    enum rr_err err = worker_input_open(&looker.input, worker->fds[0], fault);
    if (err != RR_OK) {
        return err;
    }
    struct transcode_facts *facts = rr_alloc(sizeof *facts);
    looker.packet = av_packet_alloc();
    err = ask.video != 0 ? worker_input_pick(&looker.input, ask.video, fault) : RR_OK;
    err = err != RR_OK            ? err
          : looker.packet != NULL ? open_decoders(&looker, fault)
                                  : rr_fail(fault, RR_ERR_MEMORY, "no memory");
    if (err == RR_OK) {
        look(&looker);
        err = fill(facts, &looker, fault);
    }
    av_packet_free(&looker.packet);
    av_frame_free(&looker.picture);
    for (unsigned i = 0; i < looker.sound_count; i++) {
        av_frame_free(&looker.sounds[i].first);
        avcodec_free_context(&looker.sounds[i].decoder);
    }
    avcodec_free_context(&looker.video);
    worker_input_close(&looker.input);
    if (err == RR_OK) {
        transcode_encode_message(&message, TRANSCODE_FACTS, facts, facts);
        worker_send(worker, &message);
    }
    rr_free(facts);
    return err;
}

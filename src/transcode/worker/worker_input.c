/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "transcode/worker/worker.h"
#include "transcode/worker/worker_live.h"
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Containers that hold their own bytes. No playlist, no network, no image sequence: such demuxers
 * open other files. */
static const char formats[] =
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,mpegts,mpeg,avi,flv,asf,ogg,wav,mp3,aac,flac,"
    "h264,hevc,ivf,mpegvideo,m4v,mxf,nut,obu,av1,aiff,caf,ac3,eac3,dts,gif,wv,w64,amr,rm,vob";
/* A name in this list is a decoder, not a codec: "libdav1d" serves AV1. */
static const char codecs[] = "h264,hevc,vp8,vp9,libdav1d,libaom-av1,av1,mpeg1video,mpeg2video,"
                             "mpeg4,msmpeg4v1,msmpeg4,msmpeg4v2,wmv1,wmv2,wmv3,"
                             "vc1,h263,h263i,flv,mjpeg,prores,dnxhd,ffv1,huffyuv,ffvhuff,utvideo,"
                             "rawvideo,v210,theora,gif,png,qtrle,cinepak,svq1,"
                             "svq3,dvvideo,hap,cfhd,vp6,vp6f,rv30,rv40,aac,aac_latm,mp3float,mp3,"
                             "mp2float,mp2,ac3,eac3,dca,opus,vorbis,flac,alac,"
                             "pcm_s16le,pcm_s16be,pcm_s24le,pcm_s24be,pcm_s32le,pcm_s32be,pcm_"
                             "f32le,pcm_f32be,pcm_f64le,pcm_u8,pcm_s8,pcm_alaw,"
                             "pcm_mulaw,pcm_bluray,pcm_dvd,truehd,mlp,wmav1,wmav2,wmapro,wavpack,"
                             "amrnb,amrwb,adpcm_ms,adpcm_ima_wav,"
                             "adpcm_ima_qt,adpcm_swf,cook,ra_144,ra_288,libopus,libvorbis,speex,"
                             "mov_text,webvtt,subrip,srt,ass,ssa,dvbsub,"
                             "dvdsub,pgssub,text";
#define IO_BYTES 65536

static int read_bytes(void *ctx, uint8_t *out, int len)
{
    struct worker_input *input = ctx;
    ssize_t got;
    do {
        got = pread(input->fd, out, (size_t)len, input->offset);
    } while (got == 0 && worker_follow_wait());
    if (got < 0) {
        return AVERROR(errno);
    }
    input->offset += got;
    worker_follow_told(input->offset);
    return got == 0 ? AVERROR_EOF : (int)got;
}

static int64_t seek(void *ctx, int64_t offset, int whence)
{
    struct worker_input *input = ctx;
    if ((whence & AVSEEK_SIZE) != 0) {
        return input->size;
    }
    int64_t to = offset;
    switch (whence & ~AVSEEK_FORCE) {
    case SEEK_CUR:
        to += input->offset;
        break;
    case SEEK_END:
        to += input->size;
        break;
    default:
        break;
    }
    if (to < 0) {
        return AVERROR(EINVAL);
    }
    input->offset = to;
    return to;
}

static enum rr_err open_format(struct worker_input *input, struct rr_fault *fault)
{
    uint8_t *room = av_malloc(IO_BYTES);
    if (room == NULL ||
        (input->io = avio_alloc_context(room, IO_BYTES, 0, input, read_bytes, NULL,
                                        worker_follow_on() ? NULL : seek)) == NULL) {
        av_free(room);
        return rr_fail(fault, RR_ERR_MEMORY, "no memory for the input");
    }
    input->format = avformat_alloc_context();
    if (input->format == NULL) {
        return rr_fail(fault, RR_ERR_MEMORY, "no memory for the input");
    }
    input->format->pb = input->io;
    input->format->format_whitelist = av_strdup(formats);
    input->format->codec_whitelist = av_strdup(codecs);
    input->format->protocol_whitelist = av_strdup("none");
    input->format->max_streams = 16 * TRANSCODE_STREAMS_MAX; /* check_limits has the sentence */
    worker_follow_limits(input->format);
    input->format->flags |= AVFMT_FLAG_CUSTOM_IO;
    int rc = avformat_open_input(&input->format, "", NULL, NULL);
    if (rc == AVERROR_INVALIDDATA || rc == AVERROR_EOF) {
        return rr_fail(fault, RR_ERR_FORMAT,
                       "not a video, or cut short: no container that Reelrig takes begins here or "
                       "it has no index");
    }
    if (rc == AVERROR(EINVAL)) {
        return rr_fail(fault, RR_ERR_UNSUPPORTED,
                       "a container that Reelrig does not take: playlists and streams of "
                       "other files are refused");
    }
    return rc < 0 ? worker_fail_av(fault, rc, "the container cannot be opened") : RR_OK;
}

/* The best stream that is not a cover picture. */
static int best(const AVFormatContext *format, enum AVMediaType type)
{
    int found = -1;
    int64_t found_rank = -1;
    for (unsigned i = 0; i < format->nb_streams; i++) {
        const AVStream *stream = format->streams[i];
        if (stream->codecpar->codec_type != type ||
            (stream->disposition & AV_DISPOSITION_ATTACHED_PIC) != 0) {
            continue;
        }
        int64_t rank = (stream->disposition & AV_DISPOSITION_DEFAULT) != 0 ? 1 : 0;
        if (type == AVMEDIA_TYPE_VIDEO) {
            /* A file may mark several as default; then the biggest picture is meant. */
            rank = (rank << 40) + (int64_t)stream->codecpar->width * stream->codecpar->height;
        }
        if (rank > found_rank) {
            found = (int)i;
            found_rank = rank;
        }
    }
    return found;
}

static enum rr_err check_limits(const struct worker_input *input, struct rr_fault *fault)
{
    const AVFormatContext *format = input->format;
    if (format->nb_streams > TRANSCODE_STREAMS_MAX) {
        return rr_fail(fault, RR_ERR_LIMIT, "%u streams; at most %d are taken", format->nb_streams,
                       TRANSCODE_STREAMS_MAX);
    }
    /* Where the clock may be set anew the container's word is the difference of two clocks. */
    if (format->duration != AV_NOPTS_VALUE && (format->iformat->flags & AVFMT_TS_DISCONT) == 0 &&
        format->duration / AV_TIME_BASE > TRANSCODE_DURATION_MAX_S) {
        return rr_fail(fault, RR_ERR_LIMIT, "%lld s long; at most %d s are taken",
                       (long long)(format->duration / AV_TIME_BASE), TRANSCODE_DURATION_MAX_S);
    }
    if (input->video < 0) {
        return RR_OK;
    }
    const AVCodecParameters *shape = format->streams[input->video]->codecpar;
    uint64_t pixels = (uint64_t)(shape->width > 0 ? shape->width : 0) *
                      (uint64_t)(shape->height > 0 ? shape->height : 0);
    uint64_t frames = (uint64_t)(format->streams[input->video]->nb_frames > 0
                                     ? format->streams[input->video]->nb_frames
                                     : 0);
    if (shape->width > TRANSCODE_SIDE_MAX || shape->height > TRANSCODE_SIDE_MAX ||
        pixels > TRANSCODE_PIXELS_MAX) {
        return rr_fail(fault, RR_ERR_LIMIT,
                       "pictures of %dx%d; at most %d a side and 8192x4608 in all are taken",
                       shape->width, shape->height, TRANSCODE_SIDE_MAX);
    }
    if (pixels > 0 && frames > TRANSCODE_WORK_MAX / pixels) {
        return rr_fail(fault, RR_ERR_LIMIT, "%llu pictures of %dx%d are more than a day of 2160p60",
                       (unsigned long long)frames, shape->width, shape->height);
    }
    return RR_OK;
}

/* libavformat decodes a little of its own to learn what containers do not tell. */
static enum rr_err look_at_streams(AVFormatContext *format, struct rr_fault *fault)
{
    unsigned count = format->nb_streams;
    AVDictionary **options = av_calloc(count + 1, sizeof(AVDictionary *));
    for (unsigned i = 0; options != NULL && i < count; i++) {
        av_dict_set_int(&options[i], "max_pixels", TRANSCODE_PIXELS_MAX, 0);
        av_dict_set_int(&options[i], "max_samples", TRANSCODE_SAMPLES_MAX, 0);
        av_dict_set(&options[i], "threads", "1", 0);
    }
    int rc = options != NULL ? avformat_find_stream_info(format, options) : AVERROR(ENOMEM);
    for (unsigned i = 0; options != NULL && i < count; i++) {
        av_dict_free(&options[i]);
    }
    av_free(options);
    return rc < 0 ? worker_fail_av(fault, rc, "the streams cannot be read") : RR_OK;
}

enum rr_err worker_input_open(struct worker_input *input, int fd, struct rr_fault *fault)
{
    struct stat facts;
    *input = (struct worker_input){.fd = fd, .video = -1, .audio = -1};
    if (fstat(fd, &facts) != 0) {
        return rr_fail_errno(fault, "the input's size cannot be read");
    }
    if (facts.st_size == 0 && !worker_follow_on()) {
        return rr_fail(fault, RR_ERR_FORMAT, "the file is empty (0 bytes)");
    }
    input->size = facts.st_size;
    enum rr_err err = worker_follow_fits(fd, fault);
    err = err != RR_OK ? err : open_format(input, fault);
    if (err == RR_OK) {
        input->video = best(input->format, AVMEDIA_TYPE_VIDEO);
        err = check_limits(input, fault); /* before anything is decoded, and again after */
    }
    if (err == RR_OK) {
        err = look_at_streams(input->format, fault);
    }
    if (err == RR_OK) {
        input->video = best(input->format, AVMEDIA_TYPE_VIDEO);
        input->audio = best(input->format, AVMEDIA_TYPE_AUDIO);
        err = input->format->nb_streams > 0
                  ? check_limits(input, fault)
                  : rr_fail(fault, RR_ERR_FORMAT, "the container holds no stream");
    }
    if (err != RR_OK) {
        worker_input_close(input);
    }
    return err;
}

/* ---- clock
 * ------------------------------------------------------------------------------------------------
 */

#define STAMP_MAX (INT64_C(1) << 58) /* beyond it no clock counts; sums stay within 64 bits */
#define BACK_US   INT64_C(500000)    /* decoding time never runs back by more, but by a new clock */
#define AHEAD_US  INT64_C(600000000) /* longer gaps are a new clock; as for sound */
#define AHEAD_S   TRANSCODE_DURATION_MAX_S
#define SHORT_US  INT64_C(40000)
#define US_MAX    (INT64_C(1) << 56)

static int64_t sane(int64_t stamp)
{
    return stamp > STAMP_MAX || stamp < -STAMP_MAX ? AV_NOPTS_VALUE : stamp;
}

/* True when this packet's clock is not that of the stream's packet before. */
static bool set_anew(const struct worker_input *input, const struct worker_clock *clock,
                     int64_t at_us)
{
    bool may = (input->format->iformat->flags & AVFMT_TS_DISCONT) != 0;
    int64_t ahead = may ? AHEAD_US : AHEAD_S * INT64_C(1000000);
    return clock->running &&
           ((may && at_us < clock->at_us - BACK_US) || at_us > clock->at_us + ahead);
}

static void straighten(struct worker_input *input, AVPacket *packet)
{
    const AVStream *stream = input->format->streams[packet->stream_index];
    struct worker_clock *clock = &input->clocks[packet->stream_index];
    packet->pts = sane(packet->pts);
    packet->dts = sane(packet->dts);
    int64_t stamp = packet->dts != AV_NOPTS_VALUE ? packet->dts : packet->pts;
    int64_t at_us =
        stamp != AV_NOPTS_VALUE ? av_rescale_q(stamp, stream->time_base, AV_TIME_BASE_Q) : 0;
    if (stamp == AV_NOPTS_VALUE || at_us > US_MAX || at_us < -US_MAX) {
        packet->pts = packet->dts = AV_NOPTS_VALUE;
        return;
    }
    if (set_anew(input, clock, at_us) && clock->epoch + 1 < WORKER_EPOCHS_MAX) {
        /* The first stream that comes there says how far its epoch is moved, the others follow:
         * so they stay together. */
        clock->epoch++;
        if (clock->epoch > input->epoch) {
            input->epoch = clock->epoch;
            input->shift_us[input->epoch] = input->end_us - at_us;
        }
    }
    clock->running = true;
    clock->at_us = at_us;
    int64_t shift_us = input->shift_us[clock->epoch];
    int64_t length = av_rescale_q(packet->duration, stream->time_base, AV_TIME_BASE_Q);
    int64_t end_us = at_us + shift_us + (length > 0 && length < AHEAD_US ? length : SHORT_US);
    input->end_us = end_us > input->end_us ? end_us : input->end_us;
    int64_t shift = av_rescale_q(shift_us, AV_TIME_BASE_Q, stream->time_base);
    packet->pts += packet->pts != AV_NOPTS_VALUE ? shift : 0;
    packet->dts += packet->dts != AV_NOPTS_VALUE ? shift : 0;
}

int worker_input_read(struct worker_input *input, AVPacket *packet)
{
    int rc = av_read_frame(input->format, packet);
    if (rc >= 0 && packet->stream_index < TRANSCODE_STREAMS_MAX) {
        straighten(input, packet);
    }
    return rc;
}

void worker_input_close(struct worker_input *input)
{
    avformat_close_input(&input->format);
    if (input->io != NULL) {
        av_freep(&input->io->buffer);
        avio_context_free(&input->io);
    }
}

enum rr_err worker_input_pick(struct worker_input *input, uint8_t number, struct rr_fault *fault)
{
    unsigned count = 0;
    for (unsigned i = 0; i < input->format->nb_streams; i++) {
        const AVStream *stream = input->format->streams[i];
        if (stream->codecpar->codec_type == AVMEDIA_TYPE_VIDEO &&
            (stream->disposition & AV_DISPOSITION_ATTACHED_PIC) == 0 && ++count == number) {
            input->video = (int)i;
            return check_limits(input, fault);
        }
    }
    return rr_fail(fault, RR_ERR_USAGE, "video stream %u: the file has %u", number, count);
}

static bool listed(const char *name)
{
    size_t len = strlen(name);
    for (const char *at = codecs; (at = strstr(at, name)) != NULL; at += len) {
        if ((at == codecs || at[-1] == ',') && (at[len] == ',' || at[len] == 0)) {
            return true;
        }
    }
    return false;
}

enum rr_err worker_decoder_open(AVCodecContext **out, const AVStream *stream,
                                struct rr_fault *fault)
{
    const AVCodec *codec = avcodec_find_decoder(stream->codecpar->codec_id);
    const char *name = avcodec_get_name(stream->codecpar->codec_id);
    if (codec == NULL || !listed(codec->name)) {
        return rr_fail(fault, RR_ERR_UNSUPPORTED, "codec %s of stream %d is not supported", name,
                       stream->index);
    }
    AVCodecContext *decoder = avcodec_alloc_context3(codec);
    if (decoder == NULL) {
        return rr_fail(fault, RR_ERR_MEMORY, "no memory for a decoder");
    }
    int rc = avcodec_parameters_to_context(decoder, stream->codecpar);
    decoder->thread_count = 1;
    decoder->pkt_timebase = stream->time_base;
    decoder->flags |= AV_CODEC_FLAG_BITEXACT;
    decoder->max_pixels = TRANSCODE_PIXELS_MAX;
    decoder->max_samples = TRANSCODE_SAMPLES_MAX;
    if (rc >= 0) {
        rc = avcodec_open2(decoder, codec, NULL);
    }
    if (rc < 0) {
        avcodec_free_context(&decoder);
        char what[96];
        snprintf(what, sizeof what, "the %s decoder does not start", name);
        return worker_fail_av(fault, rc, what);
    }
    *out = decoder;
    return RR_OK;
}

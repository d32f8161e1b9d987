/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One track of sound, once and whole, as AAC or Opus: pieces encoded apart would each begin with
 * priming and gap. SIMD is off here: float results differ in the last bit between instruction sets,
 * and the digest is to be the same on every machine; sound is a few percent of a job. */
#include "crypto/crypto.h"
#include "transcode/worker/worker.h"
#include "transcode/worker/worker_live.h"
#include <libavutil/audio_fifo.h>
#include <libavutil/channel_layout.h>
#include <libavutil/cpu.h>
#include <libavutil/opt.h>
#include <libswresample/swresample.h>
#include <string.h>

#define JUMP_MS      100  /* smaller steps of time stamps are rounding, not gaps */
#define GAP_MAX_S    600  /* a longer gap is a broken time stamp */
#define PIECE        4096 /* samples of silence at a time */
#define CHANNELS_MAX 6    /* the plan's largest: 5.1 */

struct sound {
    const struct transcode_plan *plan;
    const struct transcode_track *track;
    struct worker *live; /* frames go to the parent one by one; NULL: into files */
    struct worker_input input;
    AVCodecContext *decoder, *encoder;
    SwrContext *resampler;
    AVChannelLayout in_layout;
    int in_rate, in_format;
    AVAudioFifo *fifo;
    AVPacket *packet, *coded;
    AVFrame *frame, *piece;
    int piece_room; /* samples */
    struct rr_hasher hasher;
    struct transcode_sound answer;
    int64_t written; /* samples put into the fifo since time 0, minus those dropped before it */
    int64_t drop;    /* samples still to be dropped */
    int64_t sent;    /* samples given to the encoder */
    int64_t rebase;  /* correction after a broken time stamp */
    int64_t silence; /* samples that nothing of the input stands for */
    bool flowing;
    bool placed; /* packets tell where they lie */
    int out_fd, sizes_fd;
    struct rr_buf sizes;
};

static void hash_packet(struct sound *sound, const AVPacket *packet)
{
    struct rr_buf head = {0};
    struct rr_hasher hasher;
    struct rr_hash32 digest;
    rr_write_u32(&head, (uint32_t)packet->size);
    rr_write_u64(&head, (uint64_t)packet->pts);
    rr_write_u64(&head, (uint64_t)packet->dts);
    rr_hasher_init(&hasher, "rr.packet.v1");
    rr_hasher_add(&hasher, head.ptr, head.len);
    rr_hasher_add(&hasher, packet->data, (size_t)packet->size);
    rr_hasher_final(&hasher, &digest);
    rr_hasher_add(&sound->hasher, digest.bytes, sizeof digest.bytes);
    sound->answer.source_packets++;
    rr_buf_clear(&head);
}

/* ---- encoder
 * ---------------------------------------------------------------------------------------- */

static int fit_rate(int rate)
{
    static const int taken[] = {48000, 44100, 32000};
    for (size_t i = 0; i < RR_COUNT(taken); i++) {
        if (rate == taken[i]) {
            return rate;
        }
    }
    return 48000;
}

/* AAC is libavcodec's own, whose floats are planes; libopus takes them interleaved, at 48 kHz. */
static enum rr_err open_encoder(struct sound *sound, struct rr_fault *fault)
{
    bool opus = sound->plan->audio_codec == RR_AUDIO_OPUS;
    const AVCodec *codec =
        opus ? avcodec_find_encoder_by_name("libopus") : avcodec_find_encoder(AV_CODEC_ID_AAC);
    AVCodecContext *encoder = sound->encoder = codec != NULL ? avcodec_alloc_context3(codec) : NULL;
    if (encoder == NULL) {
        return rr_fail(fault, RR_ERR_UNSUPPORTED, "this libavcodec has no %s encoder",
                       opus ? "Opus" : "AAC");
    }
    encoder->sample_rate = opus ? 48000 : fit_rate(sound->decoder->sample_rate);
    encoder->sample_fmt = opus ? AV_SAMPLE_FMT_FLT : AV_SAMPLE_FMT_FLTP;
    av_channel_layout_default(&encoder->ch_layout, sound->track->channels);
    encoder->bit_rate = (int64_t)sound->plan->audio_bps * (sound->track->channels > 2 ? 3 : 1);
    encoder->time_base = (AVRational){1, encoder->sample_rate};
    encoder->thread_count = 1;
    encoder->flags |= AV_CODEC_FLAG_GLOBAL_HEADER | AV_CODEC_FLAG_BITEXACT;
    int rc = avcodec_open2(encoder, codec, NULL);
    if (rc < 0) {
        return worker_fail_av(fault, rc, "the sound encoder does not start");
    }
    sound->fifo = av_audio_fifo_alloc(encoder->sample_fmt, sound->track->channels, PIECE);
    sound->piece = av_frame_alloc();
    sound->coded = av_packet_alloc();
    if (sound->fifo == NULL || sound->piece == NULL || sound->coded == NULL) {
        return rr_fail(fault, RR_ERR_MEMORY, "no memory for sound");
    }
    return RR_OK;
}

static enum rr_err drain(struct sound *sound, struct rr_fault *fault)
{
    int rc;
    while ((rc = avcodec_receive_packet(sound->encoder, sound->coded)) == 0) {
        if (sound->live != NULL) {
            worker_live_sound(sound->live, sound->encoder, sound->coded);
            av_packet_unref(sound->coded);
            continue;
        }
        enum rr_err err = rr_pwrite_full(sound->out_fd, sound->coded->data,
                                         (size_t)sound->coded->size, sound->answer.bytes, fault);
        if (err != RR_OK) {
            return err;
        }
        rr_write_u32(&sound->sizes, (uint32_t)sound->coded->size);
        sound->answer.bytes += (uint64_t)sound->coded->size;
        sound->answer.count++;
        av_packet_unref(sound->coded);
    }
    return rc == AVERROR(EAGAIN) || rc == AVERROR_EOF
               ? RR_OK
               : worker_fail_av(fault, rc, "the sound encoder failed");
}

/* Encodes whole frames out of the fifo; at the end the short rest too. */
static enum rr_err encode_ready(struct sound *sound, bool end, struct rr_fault *fault)
{
    enum rr_err err = RR_OK;
    int want = sound->encoder->frame_size;
    while (err == RR_OK && av_audio_fifo_size(sound->fifo) >= (end ? 1 : want)) {
        AVFrame *frame = av_frame_alloc();
        int ready = av_audio_fifo_size(sound->fifo);
        if (frame == NULL) {
            return rr_fail(fault, RR_ERR_MEMORY, "no memory for sound");
        }
        frame->nb_samples = ready < want ? ready : want;
        frame->format = sound->encoder->sample_fmt;
        frame->sample_rate = sound->encoder->sample_rate;
        av_channel_layout_copy(&frame->ch_layout, &sound->encoder->ch_layout);
        int rc = av_frame_get_buffer(frame, 0);
        if (rc >= 0) {
            frame->pts = sound->sent;
            sound->sent +=
                av_audio_fifo_read(sound->fifo, (void **)frame->extended_data, frame->nb_samples);
            rc = avcodec_send_frame(sound->encoder, frame);
        }
        av_frame_free(&frame);
        err = rc < 0 ? worker_fail_av(fault, rc, "the sound encoder refuses sound")
                     : drain(sound, fault);
    }
    if (err == RR_OK && end) {
        int rc = avcodec_send_frame(sound->encoder, NULL);
        err = rc < 0 ? worker_fail_av(fault, rc, "the sound encoder does not end")
                     : drain(sound, fault);
    }
    return err;
}

/* ---- time line
 * --------------------------------------------------------------------------------------- */

/* The samples of `piece`, less what is still to be dropped. */
static enum rr_err put(struct sound *sound, int samples, struct rr_fault *fault)
{
    int skip = (int)(sound->drop < samples ? sound->drop : samples);
    bool apart = av_sample_fmt_is_planar(sound->encoder->sample_fmt) != 0;
    size_t step = sizeof(float) * (apart ? 1u : sound->track->channels);
    void *planes[CHANNELS_MAX] = {0};
    for (unsigned i = 0; i < (apart ? sound->track->channels : 1u); i++) {
        planes[i] = sound->piece->extended_data[i] + (size_t)skip * step;
    }
    sound->drop -= skip;
    if (samples > skip &&
        av_audio_fifo_write(sound->fifo, planes, samples - skip) < samples - skip) {
        return rr_fail(fault, RR_ERR_MEMORY, "no memory for sound");
    }
    sound->written += samples - skip;
    if (!worker_follow_on() &&
        sound->written > (int64_t)TRANSCODE_DURATION_MAX_S * sound->encoder->sample_rate) {
        return rr_fail(fault, RR_ERR_LIMIT, "more than %d s of sound, the limit of one job",
                       TRANSCODE_DURATION_MAX_S);
    }
    return encode_ready(sound, false, fault);
}

static enum rr_err make_piece(struct sound *sound, int samples, struct rr_fault *fault)
{
    if (samples <= sound->piece_room) {
        return RR_OK;
    }
    if (samples > TRANSCODE_SAMPLES_MAX) {
        return rr_fail(fault, RR_ERR_LIMIT, "a packet of %d samples of sound", samples);
    }
    av_frame_unref(sound->piece);
    sound->piece_room = samples;
    sound->piece->format = sound->encoder->sample_fmt;
    sound->piece->nb_samples = samples;
    sound->piece->sample_rate = sound->encoder->sample_rate;
    av_channel_layout_copy(&sound->piece->ch_layout, &sound->encoder->ch_layout);
    return av_frame_get_buffer(sound->piece, 0) < 0
               ? rr_fail(fault, RR_ERR_MEMORY, "no memory for sound")
               : RR_OK;
}

static enum rr_err put_silence(struct sound *sound, int64_t samples, struct rr_fault *fault)
{
    enum rr_err err = make_piece(sound, PIECE, fault);
    while (err == RR_OK && samples > 0) {
        int now = (int)(samples < PIECE ? samples : PIECE);
        av_samples_set_silence(sound->piece->extended_data, 0, now, sound->track->channels,
                               sound->encoder->sample_fmt);
        err = put(sound, now, fault);
        samples -= now;
    }
    return err;
}

/* Time stamps cost an input nothing, the silence between them is coded like any sound: what is
 * filled in is paid for in the file's bytes. What grows has no size yet, and no end either. */
static enum rr_err fill_gap(struct sound *sound, int64_t samples, struct rr_fault *fault)
{
    int64_t rate = sound->encoder->sample_rate;
    int64_t most_s = TRANSCODE_SILENCE_FREE_S + sound->input.size / TRANSCODE_SILENCE_BYTES_PER_S;
    sound->silence += samples;
    if (!worker_follow_on() && sound->silence / rate > most_s) {
        return rr_fail(fault, RR_ERR_LIMIT,
                       "time stamps that leave %lld s without sound, in a file of %lld bytes: at "
                       "most %lld s of silence are filled in; leave the track out with --audio",
                       (long long)(sound->silence / rate), (long long)sound->input.size,
                       (long long)most_s);
    }
    return put_silence(sound, samples, fault);
}

/* NULL planes: what the resampler still holds, and its end. */
static enum rr_err convert(struct sound *sound, uint8_t **planes, int samples,
                           struct rr_fault *fault)
{
    enum rr_err err = make_piece(sound, swr_get_out_samples(sound->resampler, samples) + 64, fault);
    if (err != RR_OK) {
        return err;
    }
    int made = swr_convert(sound->resampler, sound->piece->extended_data, sound->piece_room,
                           (const uint8_t **)(void *)planes, samples);
    return made < 0 ? worker_fail_av(fault, made, "resampling failed") : put(sound, made, fault);
}

static enum rr_err open_resampler(struct sound *sound, struct rr_fault *fault)
{
    const AVFrame *frame = sound->frame;
    if (sound->resampler != NULL && frame->sample_rate == sound->in_rate &&
        frame->format == sound->in_format &&
        av_channel_layout_compare(&frame->ch_layout, &sound->in_layout) == 0) {
        return RR_OK;
    }
    enum rr_err err = sound->resampler != NULL ? convert(sound, NULL, 0, fault) : RR_OK;
    if (err != RR_OK) {
        return err;
    }
    swr_free(&sound->resampler);
    av_channel_layout_uninit(&sound->in_layout);
    av_channel_layout_copy(&sound->in_layout, &frame->ch_layout);
    if (sound->in_layout.order == AV_CHANNEL_ORDER_UNSPEC) {
        av_channel_layout_default(&sound->in_layout, frame->ch_layout.nb_channels);
    }
    sound->in_rate = frame->sample_rate;
    sound->in_format = frame->format;
    int rc = swr_alloc_set_opts2(&sound->resampler, &sound->encoder->ch_layout,
                                 sound->encoder->sample_fmt, sound->encoder->sample_rate,
                                 &sound->in_layout, frame->format, frame->sample_rate, 0, NULL);
    rc = rc < 0 ? rc : swr_init(sound->resampler);
    return rc < 0 ? worker_fail_av(fault, rc, "sound of this kind cannot be resampled") : RR_OK;
}

/* Silence or a cut where time stamps say that sound is missing or too much. */
static enum rr_err align(struct sound *sound, struct rr_fault *fault)
{
    const struct transcode_plan *plan = sound->plan;
    const AVStream *stream = sound->input.format->streams[sound->track->stream];
    int64_t rate = sound->encoder->sample_rate;
    if (sound->frame->pts == AV_NOPTS_VALUE) {
        return RR_OK;
    }
    int64_t at =
        transcode_rescale(sound->frame->pts, stream->time_base.num * rate, stream->time_base.den) -
        transcode_rescale(plan->origin, plan->tb_num * rate, plan->tb_den) - sound->rebase;
    int64_t gap = at - sound->written + sound->drop - swr_get_delay(sound->resampler, rate);
    bool jump = sound->live != NULL && sound->flowing &&
                (gap > WORKER_JUMP_MS * rate / 1000 || gap < -WORKER_BACK_MS * rate / 1000);
    if (jump || gap > GAP_MAX_S * rate || gap < -GAP_MAX_S * rate) {
        sound->rebase += gap;
        return RR_OK;
    }
    if (sound->flowing && gap < rate * JUMP_MS / 1000 && gap > -rate * JUMP_MS / 1000) {
        return RR_OK;
    }
    sound->flowing = true;
    if (gap < 0) {
        sound->drop -= gap;
        return RR_OK;
    }
    return fill_gap(sound, gap, fault);
}

/* ---- the pass
 * ---------------------------------------------------------------------------------------- */

/* NULL: the end. A packet that does not decode leaves a gap, which align fills. */
static enum rr_err decode(struct sound *sound, const AVPacket *packet, struct rr_fault *fault)
{
    enum rr_err err = RR_OK;
    avcodec_send_packet(sound->decoder, packet);
    while (err == RR_OK && avcodec_receive_frame(sound->decoder, sound->frame) == 0) {
        if (sound->frame->sample_rate >= TRANSCODE_SAMPLE_RATE_MIN &&
            sound->frame->nb_samples > 0) {
            err = open_resampler(sound, fault);
            err = err != RR_OK ? err : align(sound, fault);
            err = err != RR_OK ? err
                               : convert(sound, sound->frame->extended_data,
                                         sound->frame->nb_samples, fault);
        }
        av_frame_unref(sound->frame);
    }
    return err;
}

/* Where the packet lies; some containers do not say. */
static void tell_place(struct sound *sound)
{
    int64_t place = sound->packet->pos;
    sound->placed = sound->placed || place >= 0;
    if (sound->live != NULL && (place >= 0 || !sound->placed)) {
        worker_follow_done(sound->live, place >= 0 ? place : avio_tell(sound->input.io));
    }
}

static enum rr_err read_all(struct sound *sound, struct rr_fault *fault)
{
    enum rr_err err = RR_OK;
    while (err == RR_OK && worker_input_read(&sound->input, sound->packet) >= 0) {
        tell_place(sound);
        if (sound->packet->stream_index == sound->track->stream) {
            hash_packet(sound, sound->packet);
            err = decode(sound, sound->packet, fault);
        }
        av_packet_unref(sound->packet);
    }
    err = err != RR_OK ? err : decode(sound, NULL, fault);
    if (err == RR_OK && sound->resampler != NULL) {
        err = convert(sound, NULL, 0, fault);
    }
    if (err == RR_OK && sound->written == 0) {
        err = put_silence(sound, sound->encoder->frame_size, fault);
    }
    return err != RR_OK ? err : encode_ready(sound, true, fault);
}

static enum rr_err finish(struct sound *sound, struct rr_fault *fault)
{
    struct transcode_sound *answer = &sound->answer;
    const AVCodecContext *encoder = sound->encoder;
    if (encoder->extradata_size < 0 || encoder->extradata_size > TRANSCODE_EXTRADATA_MAX) {
        return rr_fail(fault, RR_ERR_LIMIT, "a sound configuration of %d bytes",
                       encoder->extradata_size);
    }
    memcpy(answer->extradata, encoder->extradata, (size_t)encoder->extradata_size);
    answer->extradata_bytes = (uint32_t)encoder->extradata_size;
    answer->sample_rate = (uint32_t)encoder->sample_rate;
    answer->channels = sound->track->channels;
    answer->frame_samples = (uint32_t)encoder->frame_size;
    answer->priming = (uint32_t)encoder->initial_padding;
    answer->samples = (uint64_t)sound->sent;
    rr_hasher_final(&sound->hasher, &answer->digest);
    return rr_pwrite_full(sound->sizes_fd, sound->sizes.ptr, sound->sizes.len, 0, fault);
}

static enum rr_err run(struct sound *sound, int fd, struct rr_fault *fault)
{
    int stream = sound->track->stream;
    enum rr_err err = worker_input_open(&sound->input, fd, fault);
    if (err != RR_OK) {
        return err;
    }
    if (stream < 0 || stream >= (int)sound->input.format->nb_streams) {
        return rr_fail(fault, RR_ERR_USAGE, "the plan names stream %d of %u", stream,
                       sound->input.format->nb_streams);
    }
    rr_hasher_init(&sound->hasher, "rr.src.v1");
    sound->packet = av_packet_alloc();
    sound->frame = av_frame_alloc();
    if (sound->packet == NULL || sound->frame == NULL) {
        return rr_fail(fault, RR_ERR_MEMORY, "no memory for sound");
    }
    err = worker_decoder_open(&sound->decoder, sound->input.format->streams[stream], fault);
    int rate = err == RR_OK ? sound->decoder->sample_rate : 0;
    if (rate > 0 && rate < TRANSCODE_SAMPLE_RATE_MIN) { /* 0: its first frame will tell */
        err = rr_fail(fault, RR_ERR_LIMIT,
                      "sound of %d samples a second; at least %d are taken; leave the track out "
                      "with --audio",
                      rate, TRANSCODE_SAMPLE_RATE_MIN);
    }
    err = err != RR_OK ? err : open_encoder(sound, fault);
    err = err != RR_OK ? err : read_all(sound, fault);
    return err != RR_OK ? err : finish(sound, fault);
}

enum rr_err worker_audio(struct worker *worker, struct rr_fault *fault)
{
    struct transcode_audio *ask = rr_alloc(sizeof *ask);
    struct sound *sound = rr_alloc(sizeof *sound);
    struct rr_buf message = {0};
    enum rr_err err;
    bool live = worker->fd_count == 2 && worker_follow_take(worker, 1, false);
    if ((!live && worker->fd_count != 3) ||
        !transcode_decode_message(worker_body(worker), audio, ask) ||
        ask->track >= ask->plan.audio_count || ask->plan.audio[ask->track].channels == 0) {
        err = rr_fail(fault, RR_ERR_USAGE, "an audio task that does not follow its form");
    } else {
        av_force_cpu_flags(0);
        sound->plan = &ask->plan;
        sound->track = &ask->plan.audio[ask->track];
        sound->live = live ? worker : NULL;
        sound->out_fd = live ? -1 : worker->fds[1];
        sound->sizes_fd = live ? -1 : worker->fds[2];
        err = run(sound, worker->fds[0], fault);
        av_force_cpu_flags(-1);
    }
    if (err == RR_OK) {
        transcode_encode_message(&message, TRANSCODE_SOUND, sound, &sound->answer);
        worker_send(worker, &message);
    }
    swr_free(&sound->resampler);
    av_channel_layout_uninit(&sound->in_layout);
    av_audio_fifo_free(sound->fifo);
    av_packet_free(&sound->packet);
    av_packet_free(&sound->coded);
    av_frame_free(&sound->frame);
    av_frame_free(&sound->piece);
    avcodec_free_context(&sound->decoder);
    avcodec_free_context(&sound->encoder);
    worker_input_close(&sound->input);
    rr_buf_clear(&sound->sizes);
    rr_free(sound);
    rr_free(ask);
    return err;
}

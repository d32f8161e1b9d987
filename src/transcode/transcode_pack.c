/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Encoded GOPs and sound into CMAF files, in order, through one mux worker; and the result that
 * names them. */
#include "transcode/transcode_private.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MUX_SECONDS 120
#define COPY_BYTES  (1u << 20)
/* Least length of a segment of text: an object in the store costs a strip for each shard, a cue is
 * a line, and players take text far ahead (ours). */
#define TEXT_SEGMENT_MS 10000
#define TEXT_TIMESCALE  1000u

struct packer {
    struct transcode_job *job;
    struct transcode_worker worker;
    int out_fd;
    struct rr_transcode_rendition *to;
    struct transcode_mux *mux;
    struct transcode_segment *segment;
    struct transcode_packets *packets;
    uint32_t room; /* of to->segments */
    char folder[RR_PATH_BYTES];
};

/* ---- files
 * ------------------------------------------------------------------------------------------------
 */

static enum rr_err copy_out(const char *path, int from, uint64_t offset, uint64_t bytes,
                            struct rr_fault *fault)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0) {
        return rr_fail_errno(fault, "%.200s cannot be made", path);
    }
    enum rr_err err = RR_OK;
    uint8_t *piece = rr_alloc(COPY_BYTES);
    for (uint64_t done = 0; done < bytes && err == RR_OK;) {
        size_t now = (size_t)(bytes - done < COPY_BYTES ? bytes - done : COPY_BYTES);
        err = rr_pread_full(from, piece, now, offset + done, fault);
        err = err != RR_OK ? err : rr_write_full(fd, piece, now, fault);
        done += now;
    }
    rr_free(piece);
    if (close(fd) != 0 && err == RR_OK) {
        err = rr_fail_errno(fault, "%.200s cannot be written", path);
    }
    return err;
}

/* One message to the mux worker and its answer. */
static enum rr_err exchange(struct packer *packer, struct rr_buf *message, const int *fds,
                            size_t fd_count, struct transcode_segment_made *made,
                            struct rr_fault *fault)
{
    enum rr_err err =
        transcode_worker_ask(&packer->worker, message, fds, fd_count, MUX_SECONDS, fault);
    err = err != RR_OK ? err
                       : transcode_worker_wait(&packer->worker, TRANSCODE_SEGMENT_MADE,
                                               packer->job->cancel, fault);
    if (err == RR_OK &&
        !transcode_decode_message(transcode_worker_body(&packer->worker), segment_made, made)) {
        err = rr_fail(fault, RR_ERR_DAMAGED, "the mux worker's answer does not follow its form");
    }
    return err == RR_ERR_UNREACHABLE || err == RR_ERR_TIMEOUT
               ? rr_fail(fault, err, "the worker that writes containers ended while it wrote %s",
                         packer->to->info.name)
               : err;
}

static enum rr_err make_folder(struct packer *packer, struct rr_fault *fault)
{
    enum rr_err err = rr_path(packer->folder, fault, "%s/out/%s", packer->job->options.job_folder,
                              packer->to->info.name);
    return err != RR_OK ? err : rr_make_folders(packer->folder, fault);
}

static enum rr_err open_session(struct packer *packer, struct rr_fault *fault)
{
    struct rr_buf message = {0};
    struct transcode_segment_made made;
    enum rr_err err = make_folder(packer, fault);
    if (err != RR_OK) {
        return err;
    }
    packer->room = 0;
    transcode_encode_message(&message, TRANSCODE_MUX, mux, packer->mux);
    return exchange(packer, &message, NULL, 0, &made, fault);
}

/* Writes the samples of packer->segment, read from fd, as the next segment. */
static enum rr_err add_segment(struct packer *packer, int fd, uint64_t start, uint64_t duration,
                               struct rr_fault *fault)
{
    struct rr_transcode_rendition *to = packer->to;
    struct rr_buf message = {0};
    struct transcode_segment_made made = {0};
    char path[RR_PATH_BYTES];
    int fds[2] = {fd, packer->out_fd};
    if (duration == 0 || duration > UINT32_MAX || to->segment_count == RR_SEGMENTS_MAX) {
        return rr_fail(fault, RR_ERR_LIMIT,
                       "segment %u of %s lasts %llu ticks; at most %u segments are possible",
                       (unsigned)to->segment_count, to->info.name, (unsigned long long)duration,
                       RR_SEGMENTS_MAX);
    }
    transcode_encode_message(&message, TRANSCODE_SEGMENT, segment, packer->segment);
    enum rr_err err = exchange(packer, &message, fds, 2, &made, fault);
    if (err == RR_OK && ((made.init_bytes != 0) != (to->segment_count == 0) || made.bytes == 0)) {
        err = rr_fail(fault, RR_ERR_DAMAGED, "the mux worker gave %u and %llu bytes for segment %u",
                      made.init_bytes, (unsigned long long)made.bytes, (unsigned)to->segment_count);
    }
    if (err == RR_OK && made.init_bytes != 0) {
        err = rr_path(path, fault, "%s/init.mp4", packer->folder);
        err = err != RR_OK ? err : copy_out(path, packer->out_fd, 0, made.init_bytes, fault);
        if (err == RR_OK) {
            to->init_path = rr_strdup(path);
            to->init_bytes = made.init_bytes;
        }
    }
    err = err != RR_OK ? err
                       : rr_path(path, fault, "%s/seg_%05u.m4s", packer->folder,
                                 (unsigned)to->segment_count);
    err = err != RR_OK ? err : copy_out(path, packer->out_fd, made.init_bytes, made.bytes, fault);
    if (err != RR_OK) {
        return err;
    }
    if (to->segment_count == packer->room) {
        packer->room = packer->room != 0 ? packer->room * 2 : 64;
        to->segments = rr_realloc(to->segments, sizeof *to->segments * packer->room);
    }
    to->segments[to->segment_count++] =
        (struct rr_transcode_segment){.start = start,
                                      .duration = (uint32_t)duration,
                                      .bytes = made.bytes,
                                      .path = rr_strdup(path)};
    to->frames_out += packer->segment->count;
    return RR_OK;
}

static uint64_t target_ticks(const struct rr_transcode_rendition *to)
{
    uint64_t longest = 1;
    for (uint32_t i = 0; i < to->segment_count; i++) {
        longest = to->segments[i].duration > longest ? to->segments[i].duration : longest;
    }
    uint64_t second = to->info.timescale;
    return (longest + second - 1) / second * second;
}

/* Mean over all, and the peak as HLS means it: over any run of segments that lasts 0.5 to 1.5
 * target durations [RFC 8216, 4.1]. A short last segment alone says little. */
static void fill_rates(struct rr_transcode_rendition *to)
{
    uint64_t bytes = 0, ticks = 0, target = target_ticks(to);
    double peak = 0;
    for (uint32_t i = 0; i < to->segment_count; i++) {
        uint64_t run_bytes = 0, run_ticks = 0;
        bytes += to->segments[i].bytes;
        ticks += to->segments[i].duration;
        for (uint32_t j = i; j < to->segment_count; j++) {
            run_bytes += to->segments[j].bytes;
            run_ticks += to->segments[j].duration;
            if (2 * run_ticks > 3 * target) {
                break;
            }
            double bps = (double)run_bytes * 8 * to->info.timescale / (double)run_ticks;
            peak = 2 * run_ticks >= target && bps > peak ? bps : peak;
        }
    }
    double mean = (double)bytes * 8 * to->info.timescale / (double)ticks + 0.999; /* upwards */
    peak = peak + 0.999 < mean ? mean : peak + 0.999;
    double shown = (double)to->frames_out * to->info.timescale / (double)ticks;
    double told = (double)to->info.fps_num / to->info.fps_den;
    if (to->info.kind == RR_RENDITION_VIDEO && (shown < told * 0.98 || shown > told * 1.02)) {
        /* A source of a variable rate tells another than its pictures show. */
        to->info.fps_num = (uint32_t)(shown * 1000 + 0.5);
        to->info.fps_den = 1000;
    }
    to->info.mean_bps = (uint32_t)(mean > UINT32_MAX ? UINT32_MAX : mean);
    to->info.peak_bps = (uint32_t)(peak > UINT32_MAX ? UINT32_MAX : peak);
}

/* ---- pictures
 * --------------------------------------------------------------------------------------------- */

/* Decoding time of the i-th packet of a GOP in output ticks: the time of the picture that is shown
 * `reorder` places before the i-th. Counted in pictures, not in time, because ffmpeg takes a
 * decoding time that lags far behind for a jump of the clock. Before the first picture the clock
 * runs at the mean rate; an edit list takes that start back. */
static int64_t decode_time(const struct transcode_job *job, uint32_t gop, uint32_t i)
{
    int64_t ticks = job->plan.ticks;
    int64_t place = (int64_t)i - job->reorder;
    while (place < 0 && gop > 0) {
        place += job->gops[--gop].facts.count;
    }
    const struct transcode_gop_facts *facts = &job->gops[gop].facts;
    if (place < 0) {
        int64_t step = transcode_rescale(job->plan.timescale, job->plan.fps_den, job->plan.fps_num);
        return (facts->pts[0] - job->plan.origin) * ticks + place * (step > 0 ? step : 1);
    }
    return ((place < facts->count ? facts->pts[place] : facts->end) - job->plan.origin) * ticks;
}

static void fill_samples(const struct transcode_job *job, uint32_t gop,
                         const struct transcode_packets *packets, struct transcode_segment *segment)
{
    const struct transcode_gop_facts *facts = &job->gops[gop].facts;
    int64_t start = (facts->pts[0] - job->plan.origin) * job->plan.ticks;
    segment->count = packets->count;
    for (uint32_t i = 0; i < packets->count; i++) {
        struct transcode_sample *sample = &segment->samples[i];
        int64_t next = decode_time(job, gop, i + 1);
        if (gop + 1 == job->gop_count && i + 1 == packets->count) {
            /* The track lasts as long as its pictures. */
            int64_t shown = (facts->end - job->gops[0].facts.pts[0]) * job->plan.ticks;
            next = decode_time(job, 0, 0) + shown;
        }
        sample->bytes = packets->packets[i].bytes;
        sample->pts = start + packets->packets[i].pts;
        sample->dts = decode_time(job, gop, i);
        sample->duration = next > sample->dts ? (uint32_t)(next - sample->dts) : 1;
        sample->key = packets->packets[i].key;
    }
}

enum rr_err transcode_pack_gop(struct transcode_segment *segment, int *fd_out,
                               struct transcode_packets *scratch, const struct transcode_job *job,
                               unsigned rung, uint32_t gop, struct rr_fault *fault)
{
    struct rr_buf body = {0};
    char name[64];
    uint64_t offset = 0, payload = 0;
    snprintf(name, sizeof name, TRANSCODE_CODED_RECORD, rung, (unsigned)gop);
    bool whole = transcode_journal_get(&body, job->options.job_folder, name, &offset, &payload) &&
                 body.len > 40 &&
                 transcode_decode_message(rr_slice_of(body.ptr, body.len - 40), packets, scratch) &&
                 scratch->count == job->gops[gop].facts.count && scratch->bytes == payload;
    rr_buf_clear(&body);
    if (!whole) {
        return rr_fail(fault, RR_ERR_DAMAGED, "%.160s/%s changed while the job ran; run it again",
                       job->options.job_folder, name);
    }
    segment->offset = offset;
    fill_samples(job, gop, scratch, segment);
    return transcode_pack_open(fd_out, job, name, fault);
}

static enum rr_err pack_gop(struct packer *packer, unsigned rung, uint32_t gop,
                            struct rr_fault *fault)
{
    struct transcode_job *job = packer->job;
    const struct transcode_gop_facts *facts = &job->gops[gop].facts;
    int fd = -1;
    enum rr_err err =
        transcode_pack_gop(packer->segment, &fd, packer->packets, job, rung, gop, fault);
    if (err == RR_OK) {
        uint64_t start = (uint64_t)(facts->pts[0] - job->plan.origin) * job->plan.ticks;
        err = add_segment(packer, fd, start,
                          (uint64_t)(facts->end - facts->pts[0]) * job->plan.ticks, fault);
        close(fd);
    }
    return err;
}

void transcode_pack_ask_video(struct transcode_mux *mux, const struct transcode_job *job,
                              unsigned rung)
{
    const struct rr_buf *extradata = &job->extradata[rung];
    mux->rung = (uint8_t)rung;
    mux->start = (job->gops[0].facts.pts[0] - job->plan.origin) * (int64_t)job->plan.ticks;
    mux->extradata_bytes = (uint32_t)extradata->len;
    if (extradata->len > 0) {
        memcpy(mux->extradata, extradata->ptr, extradata->len);
    }
}

static enum rr_err pack_video(struct packer *packer, unsigned rung, struct rr_fault *fault)
{
    struct transcode_job *job = packer->job;
    const struct transcode_plan *plan = &job->plan;
    struct rr_rendition *info = &packer->to->info;
    const struct rr_buf *extradata = &job->extradata[rung];
    enum rr_err err =
        transcode_codec_name(info->codecs, plan, rung, rr_buf_slice(extradata), fault);
    if (err != RR_OK) {
        return err;
    }
    info->kind = RR_RENDITION_VIDEO;
    transcode_rung_name(info->name, plan, rung);
    info->width = plan->rungs[rung].width;
    info->height = plan->rungs[rung].height;
    info->sar_num = plan->rungs[rung].sar_num;
    info->sar_den = plan->rungs[rung].sar_den;
    info->fps_num = plan->fps_num;
    info->fps_den = plan->fps_den;
    info->video_range = plan->transfer == 16   ? 1
                        : plan->transfer == 18 ? 2
                                               : 0; /* H.273: PQ, HLG */
    info->timescale = plan->timescale;
    transcode_pack_ask_video(packer->mux, job, rung);
    err = open_session(packer, fault);
    for (uint32_t gop = 0; gop < job->gop_count && err == RR_OK; gop++) {
        err = pack_gop(packer, rung, gop, fault);
    }
    return err;
}

/* ---- sound
 * -------------------------------------------------------------------------------------------------
 */

/* The coded frame nearest to that output time, in ticks of `timescale`. */
static uint64_t frame_near(const struct transcode_sound *sound, uint64_t ticks, uint32_t timescale)
{
    uint64_t sample =
        (uint64_t)transcode_rescale((int64_t)ticks, sound->sample_rate, timescale) + sound->priming;
    return (sample + sound->frame_samples / 2) / sound->frame_samples;
}

/* First frame of the segment after the one that begins at `frame`. Video's borders, as far as there
 * are any; after them, or without video, every gop_ms. */
static uint32_t next_border(const struct transcode_job *job, const struct transcode_sound *sound,
                            uint32_t gop, uint32_t frame)
{
    uint64_t border = 0;
    if (gop < job->gop_count) {
        int64_t end = job->gops[gop].facts.end - job->plan.origin;
        border = frame_near(sound, (uint64_t)end * job->plan.ticks, job->plan.timescale);
    } else {
        uint64_t at = (uint64_t)frame * sound->frame_samples;
        at = at > sound->priming ? at - sound->priming : 0;
        uint64_t step = (uint64_t)sound->sample_rate * job->plan.gop_ms / 1000;
        uint64_t cells = (at + sound->frame_samples / 2) / step + 1;
        border = frame_near(sound, cells * step, sound->sample_rate);
    }
    border = border > sound->count ? sound->count : border;
    /* One message holds one segment. */
    return border > frame + (uint64_t)TRANSCODE_FRAMES_MAX ? frame + TRANSCODE_FRAMES_MAX
                                                           : (uint32_t)border;
}

bool transcode_pack_sound(struct transcode_segment *segment, struct transcode_sound_cursor *at,
                          const struct transcode_job *job, unsigned track)
{
    const struct transcode_job_sound *made = &job->sounds[track];
    const struct transcode_sound *sound = &made->facts;
    uint64_t all = sound->samples + sound->priming;
    uint32_t border = at->frame;
    if (at->frame == 0) {
        at->offset = made->offset;
    }
    while (at->frame < sound->count && (border = next_border(job, sound, at->gop++, at->frame)) <=
                                           at->frame) { /* a GOP shorter than a coded frame */
    }
    struct rr_reader sizes = rr_reader_of(rr_slice_of(made->sizes.ptr + (size_t)at->frame * 4,
                                                      made->sizes.len - (size_t)at->frame * 4));
    segment->offset = at->offset;
    segment->count = 0;
    for (; at->frame < border; at->frame++) {
        struct transcode_sample *sample = &segment->samples[segment->count++];
        uint64_t begin = (uint64_t)at->frame * sound->frame_samples;
        uint64_t end = begin + sound->frame_samples < all ? begin + sound->frame_samples : all;
        sample->bytes = rr_read_u32(&sizes);
        sample->pts = sample->dts = (int64_t)begin - (int64_t)sound->priming;
        sample->duration = (uint32_t)(end > begin ? end - begin : 1);
        sample->key = 1;
        at->offset += sample->bytes;
    }
    return segment->count > 0;
}

static enum rr_err pack_sounds(struct packer *packer, unsigned track, int fd,
                               struct rr_fault *fault)
{
    struct transcode_segment *segment = packer->segment;
    struct transcode_sound_cursor at = {0};
    enum rr_err err = RR_OK;
    while (err == RR_OK && transcode_pack_sound(segment, &at, packer->job, track)) {
        const struct transcode_sample *first = &segment->samples[0],
                                      *last = &segment->samples[segment->count - 1];
        uint64_t start = first->pts > 0 ? (uint64_t)first->pts : 0;
        int64_t end = last->pts + (int64_t)last->duration;
        err =
            add_segment(packer, fd, start, end > (int64_t)start ? (uint64_t)end - start : 1, fault);
    }
    return err;
}

static void fill_track(struct rr_rendition *info, const struct transcode_track *track)
{
    info->sar_num = info->sar_den = 1;
    info->fps_den = 1;
    info->flags = track->flags;
    snprintf(info->language, sizeof info->language, "%s", track->language);
    snprintf(info->label, sizeof info->label, "%s", track->label);
}

void transcode_pack_ask_sound(struct transcode_mux *mux, const struct transcode_job *job,
                              unsigned track)
{
    const struct transcode_sound *sound = &job->sounds[track].facts;
    mux->rung = (uint8_t)(TRANSCODE_AUDIO_RUNG + track);
    mux->start = 0;
    mux->sample_rate = sound->sample_rate;
    mux->channels = sound->channels;
    mux->frame_samples = sound->frame_samples;
    mux->priming = sound->priming;
    mux->bit_rate = job->plan.audio_bps * (sound->channels > 2 ? 3 : 1);
    mux->extradata_bytes = sound->extradata_bytes;
    memcpy(mux->extradata, sound->extradata, sound->extradata_bytes);
}

enum rr_err transcode_pack_open(int *out, const struct transcode_job *job, const char *name,
                                struct rr_fault *fault)
{
    char path[RR_PATH_BYTES];
    enum rr_err err = rr_path(path, fault, "%s/%s", job->options.job_folder, name);
    int fd = err == RR_OK ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (err == RR_OK && fd < 0) {
        return rr_fail_errno(fault, "%.200s cannot be read", path);
    }
    *out = fd;
    return err;
}

static enum rr_err pack_audio(struct packer *packer, unsigned track, struct rr_fault *fault)
{
    struct transcode_job *job = packer->job;
    struct transcode_job_sound *sound = &job->sounds[track];
    struct rr_rendition *info = &packer->to->info;
    char name[64];
    int fd = -1;
    info->kind = RR_RENDITION_AUDIO;
    transcode_rung_name(info->name, &job->plan, TRANSCODE_AUDIO_RUNG + track);
    snprintf(info->codecs, sizeof info->codecs, "%s",
             job->plan.audio_codec == RR_AUDIO_OPUS ? "opus" : "mp4a.40.2");
    fill_track(info, &job->plan.audio[track]);
    info->channels = (uint16_t)sound->facts.channels;
    info->sample_rate = info->timescale = sound->facts.sample_rate;
    transcode_pack_ask_sound(packer->mux, job, track);
    snprintf(name, sizeof name, TRANSCODE_SOUND_RECORD, track);
    enum rr_err err = open_session(packer, fault);
    err = err != RR_OK ? err : transcode_pack_open(&fd, job, name, fault);
    if (err != RR_OK) {
        return err;
    }
    err = transcode_sound_digest(&sound->coded, &sound->facts, fd, sound->offset, fault);
    err = err != RR_OK ? err : pack_sounds(packer, track, fd, fault);
    close(fd);
    return err;
}

/* ---- text
 * -------------------------------------------------------------------------------------------------
 */

static uint32_t gop_end_ms(const struct transcode_job *job, uint32_t gop)
{
    int64_t end = job->gops[gop].facts.end - job->plan.origin;
    return (uint32_t)transcode_rescale(end, job->plan.tb_num * INT64_C(1000), job->plan.tb_den);
}

uint32_t transcode_pack_end_ms(const struct transcode_job *job)
{
    uint64_t end_ms = job->gop_count > 0 ? gop_end_ms(job, job->gop_count - 1) : 0;
    for (unsigned track = 0; track < job->plan.audio_count && job->gop_count == 0; track++) {
        const struct transcode_sound *sound = &job->sounds[track].facts;
        uint64_t ms = sound->samples * 1000 / sound->sample_rate;
        end_ms = ms > end_ms ? ms : end_ms;
    }
    return end_ms > 0 ? (uint32_t)end_ms : 1;
}

/* End of the segment of text that begins at from_ms: a border of the video's, where there is one.
 */
static uint32_t text_border(const struct transcode_job *job, uint32_t from_ms, uint32_t end_ms)
{
    uint32_t border = from_ms + TEXT_SEGMENT_MS;
    for (uint32_t gop = 0; gop < job->gop_count; gop++) {
        if (gop_end_ms(job, gop) >= border) {
            border = gop_end_ms(job, gop);
            break;
        }
    }
    return border < end_ms ? border : end_ms;
}

static enum rr_err pack_text_file(struct packer *packer, char **path_out, uint64_t *bytes_out,
                                  const char *name, const struct rr_buf *text,
                                  struct rr_fault *fault)
{
    char path[RR_PATH_BYTES];
    enum rr_err err = rr_path(path, fault, "%s/%s", packer->folder, name);
    err = err != RR_OK ? err : rr_file_write(path, rr_buf_slice(text), 0644, fault);
    if (err == RR_OK) {
        *path_out = rr_strdup(path);
        *bytes_out = text->len;
    }
    return err;
}

static enum rr_err pack_text_segment(struct packer *packer, unsigned track, uint32_t from_ms,
                                     uint32_t to_ms, uint32_t end_ms, struct rr_fault *fault)
{
    struct rr_transcode_rendition *to = packer->to;
    struct rr_transcode_segment segment = {.start = from_ms, .duration = to_ms - from_ms};
    struct rr_buf text = {0};
    char name[64];
    if (to->segment_count == packer->room) {
        packer->room = packer->room != 0 ? packer->room * 2 : 64;
        to->segments = rr_realloc(to->segments, sizeof *to->segments * packer->room);
    }
    snprintf(name, sizeof name, "seg_%05u.vtt", (unsigned)to->segment_count);
    transcode_cues_vtt(&text, rr_buf_slice(&packer->job->texts[track].cues), from_ms, to_ms,
                       end_ms);
    enum rr_err err = pack_text_file(packer, &segment.path, &segment.bytes, name, &text, fault);
    rr_buf_clear(&text);
    if (err == RR_OK) {
        to->segments[to->segment_count++] = segment;
    }
    return err;
}

static enum rr_err pack_text(struct packer *packer, unsigned track, struct rr_fault *fault)
{
    struct transcode_job *job = packer->job;
    struct rr_rendition *info = &packer->to->info;
    struct rr_slice cues = rr_buf_slice(&job->texts[track].cues);
    uint32_t end_ms = transcode_pack_end_ms(job);
    struct rr_buf text = {0};
    info->kind = RR_RENDITION_SUBTITLE;
    transcode_rung_name(info->name, &job->plan, TRANSCODE_SUBTITLE_RUNG + track);
    snprintf(info->codecs, sizeof info->codecs, "wvtt");
    fill_track(info, &job->plan.subtitles[track]);
    info->timescale = TEXT_TIMESCALE;
    packer->room = 0;
    enum rr_err err = make_folder(packer, fault);
    packer->to->frames_out = transcode_cues_ttml(&text, cues, end_ms, info->language);
    err = err != RR_OK ? err
                       : pack_text_file(packer, &packer->to->init_path, &packer->to->init_bytes,
                                        "all.ttml", &text, fault);
    rr_buf_clear(&text);
    for (uint32_t from_ms = 0, to_ms; from_ms < end_ms && err == RR_OK; from_ms = to_ms) {
        to_ms = text_border(job, from_ms, end_ms);
        err = pack_text_segment(packer, track, from_ms, to_ms, end_ms, fault);
    }
    return err;
}

/* ---- the result
 * ---------------------------------------------------------------------------------------------- */

static void fill_leaves(const struct transcode_job *job, struct rr_transcode_result *out)
{
    const struct transcode_plan *plan = &job->plan;
    size_t room = (size_t)job->gop_count * plan->rung_count + plan->audio_count;
    out->leaves = rr_alloc_array(room + plan->subtitle_count + 1, sizeof *out->leaves);
    for (unsigned rung = 0; rung < plan->rung_count; rung++) {
        for (uint32_t gop = 0; gop < job->gop_count; gop++) {
            const struct transcode_gop_facts *facts = &job->gops[gop].facts;
            out->leaves[out->leaf_count++] =
                (struct rr_pot_leaf){.rendition = (uint16_t)rung,
                                     .gop = facts->cell,
                                     .source_first = facts->first,
                                     .source_last = facts->last,
                                     .source_digest = facts->digest,
                                     .output_digest = job->gops[gop].coded[rung].digest,
                                     .output_bytes = job->gops[gop].coded[rung].bytes};
        }
    }
    for (unsigned track = 0; track < plan->audio_count; track++) {
        const struct transcode_job_sound *sound = &job->sounds[track];
        out->leaves[out->leaf_count++] =
            (struct rr_pot_leaf){.rendition = (uint16_t)(plan->rung_count + track),
                                 .source_last = sound->facts.source_packets - 1,
                                 .source_digest = sound->facts.digest,
                                 .output_digest = sound->coded.digest,
                                 .output_bytes = sound->coded.bytes};
    }
    for (unsigned track = 0; track < plan->subtitle_count; track++) {
        const struct transcode_job_text *text = &job->texts[track];
        struct transcode_coded coded = {0};
        uint32_t packets = text->facts.source_packets;
        transcode_cues_digest(&coded, rr_buf_slice(&text->cues));
        out->leaves[out->leaf_count++] = (struct rr_pot_leaf){
            .rendition = (uint16_t)(plan->rung_count + plan->audio_count + track),
            .source_last = packets > 0 ? packets - 1 : 0,
            .source_digest = text->facts.digest,
            .output_digest = coded.digest,
            .output_bytes = coded.bytes};
    }
}

static void fill_counts(const struct transcode_job *job, struct rr_transcode_result *out)
{
    for (uint32_t gop = 0; gop < job->gop_count; gop++) {
        const struct transcode_gop_facts *facts = &job->gops[gop].facts;
        if (facts->concealed > 0 && out->concealed == 0) {
            out->first_damage = facts->cell;
        }
        out->frames_in += facts->count;
        out->concealed += facts->concealed;
    }
    int64_t told_us = job->facts.shown.duration_us;
    /* A last subtitle may stay longer than the pictures. */
    if (job->gop_count > 0 && told_us > 0 && job->facts.shown.subtitle_count == 0) {
        const struct transcode_gop_facts *last = &job->gops[job->gop_count - 1].facts;
        int64_t shown_us = transcode_rescale(last->end - job->plan.origin,
                                             (int64_t)job->plan.tb_num * 1000000, job->plan.tb_den);
        if (shown_us < told_us / 100 * 95 && told_us - shown_us > 1000000) {
            rr_log(RR_LOG_WARN, "transcode",
                   "the file promises %.1f s and shows pictures for %.1f s: it may be cut short",
                   (double)told_us / 1e6, (double)shown_us / 1e6);
        }
    }
    out->facts = job->facts.shown;
    out->gops = job->plan.video_stream >= 0 ? job->gop_count : 1;
    out->gops_resumed = job->resumed;
}

/* The rest of the invariants: every rendition shows what the source shows, cut at the same times,
 * to the same end. */
static enum rr_err check_result(const struct transcode_job *job, struct rr_transcode_result *out,
                                struct rr_fault *fault)
{
    for (unsigned rung = 0; rung < job->plan.rung_count; rung++) {
        const struct rr_transcode_rendition *first = &out->renditions[0],
                                            *this = &out->renditions[rung];
        bool same =
            this->frames_out == out->frames_in && this->segment_count == first->segment_count;
        for (uint32_t i = 0; same && i < this->segment_count; i++) {
            same = this->segments[i].start == first->segments[i].start &&
                   this->segments[i].duration == first->segments[i].duration;
        }
        if (!same) {
            return rr_fail(fault, RR_ERR_DAMAGED,
                           "%s shows %llu of %llu pictures in %u segments and is not cut like %s",
                           this->info.name, (unsigned long long)this->frames_out,
                           (unsigned long long)out->frames_in, (unsigned)this->segment_count,
                           first->info.name);
        }
    }
    out->frames_out_ok = true;
    return RR_OK;
}

enum rr_err transcode_job_pack(struct transcode_job *job, struct rr_transcode_result *out,
                               struct rr_fault *fault)
{
    struct packer packer = {.job = job, .out_fd = -1};
    struct rr_transcode_result result = {0};
    packer.worker.socket = -1;
    packer.mux = rr_alloc(sizeof *packer.mux);
    packer.segment = rr_alloc(sizeof *packer.segment);
    packer.packets = rr_alloc(sizeof *packer.packets);
    packer.mux->plan = job->plan;
    result.renditions = rr_alloc_array(RR_RENDITIONS_MAX, sizeof *result.renditions);
    enum rr_err err = transcode_worker_take_over(&packer.worker, &job->maker, job->program, fault);
    err = err != RR_OK ? err : transcode_memfd(&packer.out_fd, "reelrig-segment", fault);
    unsigned rungs = job->plan.rung_count, sounds = rungs + job->plan.audio_count;
    for (unsigned i = 0; i < sounds + job->plan.subtitle_count && err == RR_OK; i++) {
        packer.to = &result.renditions[result.rendition_count++];
        err = i < rungs    ? pack_video(&packer, i, fault)
              : i < sounds ? pack_audio(&packer, i - rungs, fault)
                           : pack_text(&packer, i - sounds, fault);
        if (err == RR_OK) {
            fill_rates(packer.to);
        }
    }
    if (err == RR_OK) {
        fill_counts(job, &result);
        err = check_result(job, &result, fault);
    }
    if (err == RR_OK && job->options.mp4_path != NULL) {
        err = transcode_job_mp4(job, &packer.worker, job->options.mp4_path, fault);
    }
    transcode_worker_stop(&packer.worker);
    if (packer.out_fd >= 0) {
        close(packer.out_fd);
    }
    rr_free(packer.mux);
    rr_free(packer.segment);
    rr_free(packer.packets);
    if (err == RR_OK) {
        fill_leaves(job, &result);
        *out = result;
    } else {
        rr_transcode_result_clear(&result);
    }
    return err;
}

void rr_transcode_result_clear(struct rr_transcode_result *result)
{
    for (uint32_t i = 0; i < result->rendition_count; i++) {
        struct rr_transcode_rendition *rendition = &result->renditions[i];
        for (uint32_t j = 0; j < rendition->segment_count; j++) {
            rr_free(rendition->segments[j].path);
        }
        rr_free(rendition->segments);
        rr_free(rendition->init_path);
    }
    rr_free(result->renditions);
    rr_free(result->leaves);
    *result = (struct rr_transcode_result){0};
}

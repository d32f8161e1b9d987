/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Parts: some pictures or frames of sound as one CMAF fragment, as soon as their packets are there.
 * A segment is its parts, one after the other. */
#include "transcode/transcode_live_private.h"
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define MUX_SECONDS 60

/* ---- one fragment --------------------------------------------------------------------- */

void live_mux_stop(struct live_mux *mux)
{
    transcode_worker_stop(&mux->worker);
    if (mux->fd >= 0) {
        close(mux->fd);
    }
    mux->fd = -1;
    mux->on = false;
    rr_buf_clear(&mux->extradata);
    rr_buf_clear(&mux->bytes);
}

static enum rr_err exchange(struct live_mux *mux, struct rr_buf *message, const int *fds,
                            size_t count, struct transcode_segment_made *made,
                            struct rr_fault *fault)
{
    enum rr_err err = transcode_worker_ask(&mux->worker, message, fds, count, MUX_SECONDS, fault);
    err = err != RR_OK ? err
                       : transcode_worker_wait(&mux->worker, TRANSCODE_SEGMENT_MADE, NULL, fault);
    if (err == RR_OK &&
        !transcode_decode_message(transcode_worker_body(&mux->worker), segment_made, made)) {
        err = rr_fail(fault, RR_ERR_DAMAGED, "the mux worker's answer does not follow its form");
    }
    /* Its state is gone with it: no later fragment would fit. */
    return err == RR_ERR_UNREACHABLE || err == RR_ERR_TIMEOUT
               ? rr_fail(fault, RR_ERR_STATE, "the worker that writes containers ended")
               : err;
}

/* live->mux is filled but for plan and parameter sets. */
static enum rr_err start_mux(struct live *live, struct live_mux *mux, struct rr_fault *fault)
{
    struct rr_buf message = {0};
    struct transcode_segment_made made;
    enum rr_err err = transcode_worker_start(&mux->worker, live->program, false, fault);
    err = err != RR_OK ? err : transcode_memfd(&mux->fd, "reelrig-part", fault);
    if (err != RR_OK) {
        return err;
    }
    live->mux->plan = live->plan;
    live->mux->extradata_bytes = (uint32_t)mux->extradata.len;
    if (mux->extradata.len > 0) {
        memcpy(live->mux->extradata, mux->extradata.ptr, mux->extradata.len);
    }
    transcode_encode_message(&message, TRANSCODE_MUX, mux, live->mux);
    err = exchange(mux, &message, NULL, 0, &made, fault);
    mux->on = err == RR_OK;
    return err;
}

/* The samples of live->segment, read from fd, as one fragment in mux->bytes; *init gets how many of
 * them come before it. */
static enum rr_err make_fragment(struct live *live, struct live_mux *mux, int fd, uint32_t *init,
                                 struct rr_fault *fault)
{
    struct rr_buf message = {0};
    struct transcode_segment_made made = {0};
    int fds[2] = {fd, mux->fd};
    transcode_encode_message(&message, TRANSCODE_SEGMENT, segment, live->segment);
    enum rr_err err = exchange(mux, &message, fds, 2, &made, fault);
    if (err == RR_OK && ((made.init_bytes != 0) == mux->init_told || made.bytes == 0 ||
                         made.bytes > (UINT64_C(1) << 30))) {
        err = rr_fail(fault, RR_ERR_STATE, "the mux worker gave %u and %llu bytes",
                      (unsigned)made.init_bytes, (unsigned long long)made.bytes);
    }
    if (err == RR_OK) {
        size_t bytes = (size_t)(made.init_bytes + made.bytes);
        mux->bytes.len = 0;
        rr_buf_reserve(&mux->bytes, bytes);
        err = rr_pread_full(mux->fd, mux->bytes.ptr, bytes, 0, fault);
        mux->bytes.len = err == RR_OK ? bytes : 0;
        *init = made.init_bytes;
        mux->init_told = true;
    }
    return err;
}

static uint32_t micros(uint64_t ticks, uint32_t timescale)
{
    return (uint32_t)((ticks * 1000000 + timescale / 2) / timescale);
}

static void put_part(struct live *live, struct live_mux *mux, uint32_t rendition, uint64_t segment,
                     uint32_t init, uint32_t duration_us, bool independent, bool last)
{
    struct rr_live_part part = {.segment = segment,
                                .number = mux->part++,
                                .duration_us = duration_us,
                                .independent = independent,
                                .last = last,
                                .bytes = rr_slice_of(mux->bytes.ptr + init, mux->bytes.len - init)};
    mux->part_sum_us += duration_us;
    live->sink->part(live->sink->ctx, rendition, &part);
}

/* ---- pictures ------------------------------------------------------------------------- */

/* Output time of the picture at `place` of the GOP, which may lie before it; *known: it was told.
 */
static int64_t time_at(const struct live *live, const struct live_gop *gop, int64_t place,
                       bool *known)
{
    int64_t step = transcode_rescale(live->plan.timescale, live->plan.fps_den, live->plan.fps_num);
    *known = true;
    if (place < 0) {
        int64_t before = gop->before[-1 - place];
        return before != INT64_MIN ? before : gop->times[0] + place * (step > 0 ? step : 1);
    }
    if (place < gop->count) {
        return gop->times[place];
    }
    *known = gop->closed;
    return gop->end;
}

static enum rr_err begin_video(struct live *live, unsigned rung, struct rr_fault *fault)
{
    struct live_rung *r = &live->rungs[rung];
    struct live_gop *gop = live_gop_at(live, r->gop);
    *live->mux = (struct transcode_mux){.rung = (uint8_t)rung};
    live->mux->start = gop->times[0];
    return start_mux(live, &r->mux, fault);
}

static void tell_init(struct live *live, uint32_t rendition, const char *codecs,
                      const struct live_mux *mux, uint32_t init)
{
    if (init > 0) {
        live->sink->init(live->sink->ctx, rendition, codecs, rr_slice_of(mux->bytes.ptr, init));
    }
}

static struct rr_live_segment segment_of(const struct live *live, const struct live_gop *gop,
                                         uint64_t number)
{
    return (struct rr_live_segment){
        .number = number,
        .start_us = (uint64_t)transcode_rescale(gop->times[0], 1000000, live->plan.timescale),
        .program_ms = gop->program_ms,
        .discontinuity = gop->jumped};
}

/* Packets from part_first up to, not with, `end`. */
static enum rr_err put_pictures(struct live *live, unsigned rung, uint32_t end, int64_t ticks,
                                bool last, struct rr_fault *fault)
{
    struct live_rung *r = &live->rungs[rung];
    struct live_gop *gop = live_gop_at(live, r->gop);
    char codecs[RR_NAME_MAX + 1] = "";
    uint32_t init = 0;
    bool known;
    enum rr_err err = r->mux.on ? RR_OK : begin_video(live, rung, fault);
    if (err != RR_OK) {
        return err;
    }
    if (r->part_first == 0) {
        struct rr_live_segment segment = segment_of(live, gop, r->gop);
        r->mux.part = 0;
        r->mux.part_sum_us = 0;
        live->sink->open(live->sink->ctx, rung, &segment);
    }
    live->segment->offset = r->part_offset;
    live->segment->count = 0;
    for (uint32_t i = r->part_first; i < end; i++) {
        const struct transcode_packet *packet = &r->packets->packets[i];
        struct transcode_sample *sample = &live->segment->samples[live->segment->count++];
        int64_t dts = time_at(live, gop, (int64_t)i - live->reorder, &known);
        int64_t next = time_at(live, gop, (int64_t)i + 1 - live->reorder, &known);
        *sample = (struct transcode_sample){.bytes = packet->bytes,
                                            .pts = gop->times[0] + packet->pts,
                                            .dts = dts,
                                            .duration = next > dts ? (uint32_t)(next - dts) : 1,
                                            .key = packet->key};
        if (sample->pts < sample->dts) {
            return rr_fail(fault, RR_ERR_DAMAGED, "packet %u is shown before it is decoded",
                           (unsigned)i);
        }
        r->part_offset += packet->bytes;
    }
    err = make_fragment(live, &r->mux, r->out_fd, &init, fault);
    if (err == RR_OK && init > 0) {
        err =
            transcode_codec_name(codecs, &live->plan, rung, rr_buf_slice(&r->mux.extradata), fault);
        tell_init(live, rung, codecs, &r->mux, init);
    }
    if (err == RR_OK) {
        uint32_t us = micros((uint64_t)ticks, live->plan.timescale);
        uint64_t all_us =
            last ? micros((uint64_t)(gop->end - gop->times[0]), live->plan.timescale) : 0;
        if (last && all_us > r->mux.part_sum_us && all_us - r->mux.part_sum_us <= live->part_us) {
            us = (uint32_t)(all_us - r->mux.part_sum_us); /* no rounding adds up */
        }
        put_part(live, &r->mux, rung, r->gop, init, us, r->part_first == 0, last);
        r->part_first = end;
    }
    return err;
}

enum rr_err live_pack(struct live *live, unsigned rung, bool last, struct rr_fault *fault)
{
    struct live_rung *r = &live->rungs[rung];
    const struct live_gop *gop = live_gop_at(live, r->gop);
    int64_t most = transcode_rescale(live->part_us, live->plan.timescale, 1000000);
    int64_t step = transcode_rescale(live->plan.timescale, live->plan.fps_den, live->plan.fps_num);
    enum rr_err err = RR_OK;
    while (err == RR_OK && r->part_first < r->packets->count) {
        int64_t sum = 0;
        uint32_t end = r->part_first;
        bool full = false, known = true, unused;
        while (end < r->packets->count && !full) {
            int64_t next = time_at(live, gop, (int64_t)end + 1 - live->reorder, &known);
            if (!known) {
                break;
            }
            int64_t ticks = next - time_at(live, gop, (int64_t)end - live->reorder, &unused);
            full = sum > 0 && sum + ticks > most;
            if (!full) {
                sum += ticks;
                end++;
            }
        }
        /* Nothing more of usual length fits either: no need to wait for the next packet. */
        full = full || (sum > 0 && sum + step > most);
        bool all = last && end == r->packets->count;
        if (!full && !all) {
            return RR_OK;
        }
        err = put_pictures(live, rung, end, sum, all, fault);
    }
    return err;
}

void live_close_segment(struct live *live, unsigned rung, bool gap)
{
    struct live_rung *r = &live->rungs[rung];
    struct live_gop *gop = live_gop_at(live, r->gop);
    struct rr_live_segment segment = segment_of(live, gop, r->gop);
    struct transcode_coded coded = {0};
    struct rr_fault fault;
    segment.duration_us = micros((uint64_t)(gop->end - gop->times[0]), live->plan.timescale);
    segment.gap = gap;
    if (!gap && transcode_es_digest(&coded, live->packets, r->out_fd, 0, &fault) == RR_OK) {
        segment.leaf = (struct rr_pot_leaf){.rendition = (uint16_t)rung,
                                            .gop = gop->cell,
                                            .source_first = gop->first,
                                            .source_last = gop->last,
                                            .source_digest = gop->digest,
                                            .output_digest = coded.digest,
                                            .output_bytes = coded.bytes};
    }
    live->sink->close(live->sink->ctx, rung, &segment);
}

/* ---- sound ---------------------------------------------------------------------------- */

enum rr_err live_take_sound(struct live *live, struct rr_fault *fault)
{
    struct live_sound *sound = &live->sound;
    struct transcode_sound_frame *frame = live->frame;
    if (!transcode_decode_message(transcode_worker_body(&sound->worker), sound_frame, frame) ||
        frame->bytes == 0 || frame->sample_rate < 8000 || frame->frame_samples == 0 ||
        frame->channels == 0 || sound->queued == RR_COUNT(sound->sizes)) {
        return rr_fail(fault, RR_ERR_DAMAGED, "a frame of sound that does not follow its form");
    }
    if (!sound->known) {
        sound->known = true;
        sound->shape = *frame;
        sound->base = transcode_rescale(live->base, frame->sample_rate, live->plan.timescale);
        rr_buf_append(&sound->mux.extradata, frame->extradata, frame->extradata_bytes);
    }
    if (frame->sample_rate != sound->shape.sample_rate ||
        frame->frame_samples != sound->shape.frame_samples) {
        return rr_fail(
            fault, RR_ERR_UNSUPPORTED,
            "it came back at %u Hz, and this stream's has %u Hz; pictures go on without it",
            (unsigned)frame->sample_rate, (unsigned)sound->shape.sample_rate);
    }
    if (sound->base + (int64_t)(sound->frame + sound->queued) * frame->frame_samples -
            sound->shape.priming <
        sound->end) {
        sound->frame++; /* of the priming of a publisher that came back */
        return RR_OK;
    }
    sound->sizes[sound->queued++] = frame->bytes;
    rr_buf_append(&sound->bytes, frame->data, frame->bytes);
    return RR_OK;
}

static int64_t frame_start(const struct live_sound *sound, uint64_t queued)
{
    return sound->base + (int64_t)(sound->frame + queued) * sound->shape.frame_samples -
           sound->shape.priming;
}

static enum rr_err begin_sound(struct live *live, struct rr_fault *fault)
{
    struct live_sound *sound = &live->sound;
    *live->mux = (struct transcode_mux){.rung = TRANSCODE_AUDIO_RUNG,
                                        .start = 0,
                                        .sample_rate = sound->shape.sample_rate,
                                        .channels = sound->shape.channels,
                                        .frame_samples = sound->shape.frame_samples,
                                        .priming = sound->shape.priming,
                                        .bit_rate = live->plan.audio_bps};
    return start_mux(live, &sound->mux, fault);
}

static enum rr_err put_sound(struct live *live, uint32_t count, bool last, struct rr_fault *fault)
{
    struct live_sound *sound = &live->sound;
    uint64_t bytes = 0;
    uint32_t init = 0;
    enum rr_err err = sound->mux.on ? RR_OK : begin_sound(live, fault);
    if (err == RR_OK && sound->fd < 0) {
        err = transcode_memfd(&sound->fd, "reelrig-sound", fault);
    }
    if (err != RR_OK) {
        return err;
    }
    live->segment->offset = 0;
    live->segment->count = count;
    for (uint32_t i = 0; i < count; i++) {
        int64_t start = frame_start(sound, i);
        live->segment->samples[i] =
            (struct transcode_sample){.bytes = sound->sizes[i],
                                      .pts = start,
                                      .dts = start,
                                      .duration = sound->shape.frame_samples,
                                      .key = 1};
        bytes += sound->sizes[i];
    }
    err = rr_pwrite_full(sound->fd, sound->bytes.ptr, (size_t)bytes, 0, fault);
    err = err != RR_OK ? err : make_fragment(live, &sound->mux, sound->fd, &init, fault);
    if (err != RR_OK) {
        return err;
    }
    tell_init(live, live->plan.rung_count, "mp4a.40.2", &sound->mux, init);
    /* Priming lies before time 0 and is not heard. */
    int64_t first = frame_start(sound, 0), heard = frame_start(sound, count);
    heard -= first > 0 ? first : 0;
    put_part(live, &sound->mux, live->plan.rung_count, sound->gop, init,
             heard > 0 ? micros((uint64_t)heard, sound->shape.sample_rate) : 1, true, last);
    sound->end = frame_start(sound, count);
    sound->frame += count;
    sound->queued -= count;
    sound->ready -= count;
    memmove(sound->sizes, sound->sizes + count, sizeof *sound->sizes * sound->queued);
    sound->bytes.len -= (size_t)bytes;
    memmove(sound->bytes.ptr, sound->bytes.ptr + bytes, sound->bytes.len);
    return RR_OK;
}

/* Frames that are nearer to this segment than to the next, as far as pictures tell its reach. */
static void count_ready(struct live *live, const struct live_gop *gop)
{
    struct live_sound *sound = &live->sound;
    int64_t reach = gop->closed ? gop->end : gop->times[gop->count - 1];
    int64_t border =
        sound->known ? transcode_rescale(reach, sound->shape.sample_rate, live->plan.timescale) : 0;
    while (sound->ready < sound->queued &&
           frame_start(sound, sound->ready) + sound->shape.frame_samples / 2 < border) {
        sound->ready++;
    }
}

static void open_sound(struct live *live, const struct live_gop *gop)
{
    struct live_sound *sound = &live->sound;
    struct rr_live_segment segment = segment_of(live, gop, sound->gop);
    int64_t start = sound->known && sound->queued > 0 ? frame_start(sound, 0) : 0;
    segment.start_us = sound->start_us =
        start > 0 ? (uint64_t)transcode_rescale(start, 1000000, sound->shape.sample_rate) : 0;
    sound->opened = true;
    sound->mux.part = 0;
    sound->mux.part_sum_us = 0;
    live->sink->open(live->sink->ctx, live->plan.rung_count, &segment);
}

static void close_sound(struct live *live, const struct live_gop *gop)
{
    struct live_sound *sound = &live->sound;
    struct rr_live_segment segment = segment_of(live, gop, sound->gop);
    segment.gap = sound->mux.part == 0 || !sound->opened;
    segment.duration_us = segment.gap
                              ? micros((uint64_t)(gop->end - gop->times[0]), live->plan.timescale)
                              : sound->mux.part_sum_us;
    segment.start_us = segment.gap ? segment.start_us : sound->start_us;
    live->sink->close(live->sink->ctx, live->plan.rung_count, &segment);
    sound->opened = false;
    sound->gop++;
}

/* Bytes of sound lie behind those of pictures of the same time by no more (ours: ISO/IEC 13818-1
 * lets a receiver keep most streams for one second). */
#define SOUND_BEHIND_S 2

/* The sound's reader is past pictures that are so much later and found no more of this segment. */
static bool ran_dry(struct live *live, const struct live_gop *gop)
{
    for (uint64_t i = live->sound.gop + 1; gop->closed && i < live->next; i++) {
        const struct live_gop *later = live_gop_at(live, i);
        if (later->closed && later->end - gop->end >= SOUND_BEHIND_S * live->plan.timescale) {
            return live->input.read[1] >= later->read;
        }
    }
    return false;
}

/* Pictures wait no longer; those of a file do as long as its sound is still on the way. */
static bool overdue(const struct live *live, const struct live_gop *gop)
{
    return live->next - live->sound.gop >= live->window &&
           (live->input.network || live->input.read[1] >= gop->read);
}

/* What comes later all the same is too late: silence that fills a pause. */
static void skip_late(struct live *live, const struct live_gop *gop)
{
    struct live_sound *sound = &live->sound;
    if (sound->known) {
        int64_t end = transcode_rescale(gop->end, sound->shape.sample_rate, live->plan.timescale) -
                      sound->shape.frame_samples / 2;
        sound->end = end > sound->end ? end : sound->end;
    }
}

enum rr_err live_pack_sound(struct live *live, bool all, struct rr_fault *fault)
{
    struct live_sound *sound = &live->sound;
    enum rr_err err = RR_OK;
    while (err == RR_OK && sound->wanted && sound->gop < live->next) {
        const struct live_gop *gop = live_gop_at(live, sound->gop);
        uint32_t most = sound->known
                            ? (uint32_t)((uint64_t)live->part_us * sound->shape.sample_rate /
                                         1000000 / sound->shape.frame_samples)
                            : 1;
        most = most < 1 ? 1 : most;
        count_ready(live, gop);
        bool dry = ran_dry(live, gop);
        bool whole = gop->closed && (all || dry || !sound->on || sound->ready < sound->queued ||
                                     overdue(live, gop));
        while (err == RR_OK && (sound->ready >= most || (whole && sound->ready > 0))) {
            if (!sound->opened) {
                open_sound(live, gop);
            }
            bool last = whole && sound->ready <= most;
            err = put_sound(live, last ? sound->ready : most, last, fault);
        }
        if (!whole) {
            return err;
        }
        if (err == RR_OK) {
            close_sound(live, gop);
        }
        if (dry) {
            skip_late(live, gop);
        }
    }
    return err;
}

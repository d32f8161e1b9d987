/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The job's GOPs and tracks as one MP4 file. A mux worker makes the container, twice: first to
 * learn how long its index is, then with as much room in front. Only the second time bytes are
 * kept. */
#include "transcode/transcode_private.h"
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define FILE_SECONDS 120
#define COPY_BYTES   (1u << 20)
#define FREE_BYTES   8 /* of the box that fills what is left of the room: none smaller exists */
/* A file near 4 GiB: its index may need long offsets once it lies in front. */
#define LONG_FROM (UINT64_C(0xffffffff) - (UINT64_C(256) << 20))
#define TEXT_STEP 256 /* cues of a piece (ours) */

struct maker {
    struct transcode_job *job;
    struct transcode_worker *worker;
    int out_fd, to_fd, text_fd; /* to_fd -1: nothing is kept */
    struct transcode_mux *mux;
    struct transcode_piece *piece;
    struct transcode_packets *packets;
    struct transcode_file_made *made;
    uint64_t end, samples; /* of the file so far */
    int sound_fds[RR_TRACKS_MAX];
    struct transcode_sound_cursor sounds[RR_TRACKS_MAX];
    bool sound_on[RR_TRACKS_MAX];
    uint32_t text_ms[RR_TRACKS_MAX]; /* written up to there */
};

/* ---- the worker's bytes into the file
 * ------------------------------------------------------------------ */

static enum rr_err keep(struct maker *maker, struct rr_fault *fault)
{
    uint64_t from = 0;
    enum rr_err err = RR_OK;
    uint8_t *bytes = rr_alloc(COPY_BYTES);
    for (uint32_t i = 0; i < maker->made->count && err == RR_OK; i++) {
        const struct transcode_extent *extent = &maker->made->extents[i];
        for (uint64_t done = 0; done < extent->bytes && err == RR_OK && maker->to_fd >= 0;) {
            uint64_t left = extent->bytes - done;
            size_t now = (size_t)(left < COPY_BYTES ? left : COPY_BYTES);
            err = rr_pread_full(maker->out_fd, bytes, now, from + done, fault);
            err = err != RR_OK ? err
                               : rr_pwrite_full(maker->to_fd, bytes, now, extent->at + done, fault);
            done += now;
        }
        from += extent->bytes;
        uint64_t end = extent->at + extent->bytes;
        maker->end = end > maker->end ? end : maker->end;
    }
    rr_free(bytes);
    return err;
}

static enum rr_err exchange(struct maker *maker, struct rr_buf *message, int in_fd,
                            struct rr_fault *fault)
{
    int fds[2] = {in_fd, maker->out_fd};
    size_t skip = in_fd < 0 ? 1 : 0;
    enum rr_err err =
        transcode_worker_ask(maker->worker, message, fds + skip, 2 - skip, FILE_SECONDS, fault);
    err = err != RR_OK ? err
                       : transcode_worker_wait(maker->worker, TRANSCODE_FILE_MADE,
                                               maker->job->cancel, fault);
    if (err == RR_OK &&
        !transcode_decode_message(transcode_worker_body(maker->worker), file_made, maker->made)) {
        err = rr_fail(fault, RR_ERR_DAMAGED, "the mux worker's answer does not follow its form");
    }
    return err != RR_OK ? err : keep(maker, fault);
}

static enum rr_err put_piece(struct maker *maker, unsigned track, int fd, struct rr_fault *fault)
{
    struct rr_buf message = {0};
    maker->piece->track = (uint8_t)track;
    maker->samples += maker->piece->segment.count;
    transcode_encode_message(&message, TRANSCODE_FILE_PIECE, piece, maker->piece);
    return exchange(maker, &message, fd, fault);
}

/* ---- tracks
 * -----------------------------------------------------------------------------------------------
 */

static enum rr_err ask_track(struct maker *maker, struct rr_fault *fault)
{
    struct rr_buf message = {0};
    transcode_encode_message(&message, TRANSCODE_FILE_TRACK, mux, maker->mux);
    return exchange(maker, &message, -1, fault);
}

static enum rr_err begin(struct maker *maker, uint32_t reserve, struct rr_fault *fault)
{
    const struct transcode_plan *plan = &maker->job->plan;
    struct transcode_file ask = {.reserve = reserve, .timescale = plan->timescale};
    struct rr_buf message = {0};
    maker->end = maker->samples = 0;
    transcode_encode_message(&message, TRANSCODE_FILE, file, &ask);
    enum rr_err err = exchange(maker, &message, -1, fault);
    if (err == RR_OK && plan->rung_count > 0) {
        transcode_pack_ask_video(maker->mux, maker->job, 0);
        err = ask_track(maker, fault);
    }
    for (unsigned track = 0; track < plan->audio_count && err == RR_OK; track++) {
        transcode_pack_ask_sound(maker->mux, maker->job, track);
        maker->sounds[track] = (struct transcode_sound_cursor){0};
        maker->sound_on[track] = true;
        err = ask_track(maker, fault);
    }
    for (unsigned track = 0; track < plan->subtitle_count && err == RR_OK; track++) {
        maker->mux->rung = (uint8_t)(TRANSCODE_SUBTITLE_RUNG + track);
        maker->mux->extradata_bytes = 0;
        maker->text_ms[track] = 0;
        err = ask_track(maker, fault);
    }
    return err;
}

static enum rr_err put_sound(struct maker *maker, unsigned track, struct rr_fault *fault)
{
    struct transcode_job *job = maker->job;
    unsigned number = (job->plan.rung_count > 0 ? 1u : 0) + track;
    maker->sound_on[track] =
        transcode_pack_sound(&maker->piece->segment, &maker->sounds[track], job, track);
    return maker->sound_on[track] ? put_piece(maker, number, maker->sound_fds[track], fault)
                                  : RR_OK;
}

/* Plain text of a cue: tags go, entities become what they stand for. */
static void plain(struct rr_buf *out, struct rr_slice text)
{
    static const char *const entities[][2] = {{"&amp;", "&"}, {"&lt;", "<"}, {"&gt;", ">"}};
    for (size_t i = 0; i < text.len;) {
        size_t step = 1;
        if (text.ptr[i] == '<') {
            while (i + step < text.len && text.ptr[i + step - 1] != '>') {
                step++;
            }
            i += step;
            continue;
        }
        const char *stands = NULL;
        for (size_t j = 0; j < RR_COUNT(entities) && stands == NULL; j++) {
            size_t len = strlen(entities[j][0]);
            if (len <= text.len - i && memcmp(text.ptr + i, entities[j][0], len) == 0) {
                stands = entities[j][1];
                step = len;
            }
        }
        rr_write_u8(out, stands != NULL ? (uint8_t)*stands : text.ptr[i]);
        i += step;
    }
}

/* The text shown at at_ms, and where that changes next. A sample of MP4 stands alone, so cues that
 * overlap are one below the other. */
static uint32_t shown_at(struct rr_buf *out, struct rr_slice cues, uint32_t at_ms, uint32_t end_ms)
{
    struct rr_reader reader = rr_reader_of(cues);
    struct transcode_cue cue;
    uint32_t next_ms = end_ms;
    while (transcode_cue_next(&reader, &cue) && cue.start_ms < end_ms) {
        if (cue.start_ms > at_ms) {
            next_ms = cue.start_ms < next_ms ? cue.start_ms : next_ms;
            break; /* they are by start */
        }
        if (cue.end_ms > at_ms) {
            next_ms = cue.end_ms < next_ms ? cue.end_ms : next_ms;
            if (out->len > 0) {
                rr_write_u8(out, '\n');
            }
            plain(out, cue.text);
        }
    }
    return next_ms;
}

/* Samples of a track of text up to to_ms at least, without a hole. */
static enum rr_err put_text(struct maker *maker, unsigned track, uint32_t to_ms, uint32_t end_ms,
                            struct rr_fault *fault)
{
    const struct transcode_plan *plan = &maker->job->plan;
    struct rr_slice cues = rr_buf_slice(&maker->job->texts[track].cues);
    struct transcode_segment *segment = &maker->piece->segment;
    struct rr_buf bytes = {0}, text = {0};
    enum rr_err err = RR_OK;
    unsigned number = (plan->rung_count > 0 ? 1u : 0) + plan->audio_count + track;
    while (maker->text_ms[track] < to_ms && err == RR_OK) {
        segment->offset = segment->count = 0;
        bytes.len = 0;
        while (maker->text_ms[track] < to_ms && segment->count < TEXT_STEP) {
            uint32_t at_ms = maker->text_ms[track];
            text.len = 0;
            uint32_t next_ms = shown_at(&text, cues, at_ms, end_ms);
            text.len = text.len < UINT16_MAX ? text.len : 0;
            rr_write_u8(&bytes, (uint8_t)(text.len >> 8));
            rr_write_u8(&bytes, (uint8_t)text.len);
            rr_buf_append(&bytes, text.ptr, text.len);
            segment->samples[segment->count++] =
                (struct transcode_sample){.bytes = (uint32_t)text.len + 2,
                                          .pts = at_ms,
                                          .dts = at_ms,
                                          .duration = next_ms - at_ms,
                                          .key = 1};
            maker->text_ms[track] = next_ms;
        }
        err = rr_pwrite_full(maker->text_fd, bytes.ptr, bytes.len, 0, fault);
        err = err != RR_OK ? err : put_piece(maker, number, maker->text_fd, fault);
    }
    rr_buf_clear(&bytes);
    rr_buf_clear(&text);
    return err;
}

/* ---- the file
 * --------------------------------------------------------------------------------------------- */

/* GOP by GOP, so that a player never reads far for what belongs together. */
static enum rr_err put_all(struct maker *maker, struct rr_fault *fault)
{
    struct transcode_job *job = maker->job;
    const struct transcode_plan *plan = &job->plan;
    uint32_t end_ms = transcode_pack_end_ms(job);
    bool more = true;
    enum rr_err err = RR_OK;
    for (uint32_t gop = 0; more && err == RR_OK; gop++) {
        uint32_t to_ms = end_ms;
        int fd = -1;
        more = false;
        if (gop < job->gop_count) {
            int64_t end = job->gops[gop].facts.end - plan->origin;
            to_ms = (uint32_t)transcode_rescale(end, plan->tb_num * INT64_C(1000), plan->tb_den);
            err =
                transcode_pack_gop(&maker->piece->segment, &fd, maker->packets, job, 0, gop, fault);
            err = err != RR_OK ? err : put_piece(maker, 0, fd, fault);
            if (fd >= 0) {
                close(fd);
            }
            more = gop + 1 < job->gop_count;
        }
        for (unsigned track = 0; track < plan->audio_count && err == RR_OK; track++) {
            err = maker->sound_on[track] ? put_sound(maker, track, fault) : RR_OK;
            more = more || maker->sound_on[track];
        }
        for (unsigned track = 0; track < plan->subtitle_count && err == RR_OK; track++) {
            err = put_text(maker, track, more ? (to_ms < end_ms ? to_ms : end_ms) : end_ms, end_ms,
                           fault);
        }
    }
    return err;
}

/* *index_bytes gets the length of the index when it was written last. */
static enum rr_err make_once(struct maker *maker, uint32_t reserve, uint64_t *index_bytes,
                             struct rr_fault *fault)
{
    struct rr_buf message = {0};
    enum rr_err err = begin(maker, reserve, fault);
    err = err != RR_OK ? err : put_all(maker, fault);
    if (err != RR_OK) {
        return err;
    }
    uint64_t before = maker->end;
    rr_write_u8(&message, TRANSCODE_FILE_END);
    err = exchange(maker, &message, -1, fault);
    *index_bytes = maker->end - before;
    return err;
}

static enum rr_err make(struct maker *maker, const char *path, struct rr_fault *fault)
{
    uint64_t index = 0, none = 0;
    enum rr_err err = make_once(maker, 0, &index, fault);
    if (err != RR_OK) {
        return err;
    }
    uint64_t spare = maker->end > LONG_FROM ? 4 * maker->samples : 0;
    if (index == 0 || index + spare + FREE_BYTES > INT32_MAX) {
        return rr_fail(fault, RR_ERR_LIMIT, "an index of %llu bytes", (unsigned long long)index);
    }
    maker->to_fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (maker->to_fd < 0) {
        return rr_fail_errno(fault, "%.200s cannot be made", path);
    }
    err = make_once(maker, (uint32_t)(index + spare + FREE_BYTES), &none, fault);
    if (err == RR_OK && fsync(maker->to_fd) != 0) {
        err = rr_fail_errno(fault, "%.200s cannot be written", path);
    }
    if (close(maker->to_fd) != 0 && err == RR_OK) {
        err = rr_fail_errno(fault, "%.200s cannot be written", path);
    }
    return err;
}

static enum rr_err open_sounds(struct maker *maker, struct rr_fault *fault)
{
    enum rr_err err = RR_OK;
    char name[64];
    for (unsigned track = 0; track < maker->job->plan.audio_count && err == RR_OK; track++) {
        transcode_track_record(name, &maker->job->plan, track);
        err = transcode_pack_open(&maker->sound_fds[track], maker->job, name, fault);
    }
    return err;
}

enum rr_err transcode_job_mp4(struct transcode_job *job, struct transcode_worker *worker,
                              const char *path, struct rr_fault *fault)
{
    struct maker maker = {.job = job, .worker = worker, .out_fd = -1, .to_fd = -1, .text_fd = -1};
    char part[RR_PATH_BYTES];
    maker.mux = rr_alloc(sizeof *maker.mux);
    maker.piece = rr_alloc(sizeof *maker.piece);
    maker.packets = rr_alloc(sizeof *maker.packets);
    maker.made = rr_alloc(sizeof *maker.made);
    maker.mux->plan = job->plan;
    for (unsigned track = 0; track < RR_TRACKS_MAX; track++) {
        maker.sound_fds[track] = -1;
    }
    enum rr_err err = rr_path(part, fault, "%s.part", path);
    err = err != RR_OK ? err : transcode_memfd(&maker.out_fd, "reelrig-file", fault);
    err = err != RR_OK ? err : transcode_memfd(&maker.text_fd, "reelrig-text", fault);
    err = err != RR_OK ? err : open_sounds(&maker, fault);
    err = err != RR_OK ? err : make(&maker, part, fault);
    if (err == RR_OK && rename(part, path) != 0) {
        err = rr_fail_errno(fault, "%.200s cannot be put in place", path);
    }
    if (err != RR_OK && maker.to_fd >= 0) {
        unlink(part);
    }
    for (unsigned track = 0; track < RR_TRACKS_MAX; track++) {
        if (maker.sound_fds[track] >= 0) {
            close(maker.sound_fds[track]);
        }
    }
    if (maker.out_fd >= 0) {
        close(maker.out_fd);
    }
    if (maker.text_fd >= 0) {
        close(maker.text_fd);
    }
    rr_free(maker.mux);
    rr_free(maker.piece);
    rr_free(maker.packets);
    rr_free(maker.made);
    return err;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* All tracks into one MP4 file, whose bytes the parent puts in place: what libavformat writes
 * leaves here as extents, so a film of any length needs no memory but its index. */
#include "transcode/worker/worker.h"
#include <string.h>

#define IO_BYTES 65536

struct worker_file {
    AVFormatContext *format;
    bool begun;
    uint32_t reserve, timescale;
    int64_t at; /* where the next byte goes */
    struct rr_buf out;
    struct transcode_file_made made;
    bool overflow; /* more extents than a message holds */
};

static int take_bytes(void *ctx, uint8_t *bytes, int len)
{
    struct worker_file *file = ctx;
    struct transcode_file_made *made = &file->made;
    struct transcode_extent *last = made->count > 0 ? &made->extents[made->count - 1] : NULL;
    if (last == NULL || (int64_t)(last->at + last->bytes) != file->at) {
        if (made->count == TRANSCODE_EXTENTS_MAX) {
            file->overflow = true;
            return AVERROR(ENOSPC);
        }
        last = &made->extents[made->count++];
        *last = (struct transcode_extent){.at = (uint64_t)file->at};
    }
    rr_buf_append(&file->out, bytes, (size_t)len);
    last->bytes += (uint64_t)len;
    file->at += len;
    return len;
}

static int64_t move(void *ctx, int64_t offset, int whence)
{
    struct worker_file *file = ctx;
    if ((whence & AVSEEK_SIZE) != 0 || (whence & ~AVSEEK_FORCE) == SEEK_END) {
        return AVERROR(ENOSYS);
    }
    int64_t to = (whence & ~AVSEEK_FORCE) == SEEK_CUR ? file->at + offset : offset;
    if (to < 0) {
        return AVERROR(EINVAL);
    }
    file->at = to;
    return to;
}

void worker_file_free(struct worker_file *file)
{
    if (file == NULL) {
        return;
    }
    if (file->format != NULL && file->format->pb != NULL) {
        av_freep(&file->format->pb->buffer);
        avio_context_free(&file->format->pb);
    }
    avformat_free_context(file->format);
    rr_buf_clear(&file->out);
    rr_free(file);
}

static enum rr_err open_file(struct worker *worker, struct rr_fault *fault)
{
    struct transcode_file ask;
    if (!transcode_decode_message(worker_body(worker), file, &ask)) {
        return rr_fail(fault, RR_ERR_USAGE, "a file task that does not follow its form");
    }
    worker_file_free(worker->file);
    struct worker_file *file = worker->file = rr_alloc(sizeof *file);
    file->reserve = ask.reserve;
    file->timescale = ask.timescale;
    int rc = avformat_alloc_output_context2(&file->format, NULL, "mp4", NULL);
    uint8_t *room = rc < 0 ? NULL : av_malloc(IO_BYTES);
    if (room == NULL || (file->format->pb = avio_alloc_context(room, IO_BYTES, 1, file, NULL,
                                                               take_bytes, move)) == NULL) {
        av_free(room);
        return rr_fail(fault, RR_ERR_MEMORY, "no memory for the container");
    }
    file->format->flags |= AVFMT_FLAG_CUSTOM_IO | AVFMT_FLAG_BITEXACT;
    file->format->avoid_negative_ts = AVFMT_AVOID_NEG_TS_DISABLED;
    return RR_OK;
}

static enum rr_err add_track(struct worker *worker, struct rr_fault *fault)
{
    struct worker_file *file = worker->file;
    struct transcode_mux *ask = rr_alloc(sizeof *ask);
    AVStream *stream = NULL;
    enum rr_err err = RR_OK;
    bool good = file != NULL && !file->begun &&
                transcode_decode_message(worker_body(worker), mux, ask) &&
                (ask->rung < ask->plan.rung_count ||
                 (ask->rung >= TRANSCODE_AUDIO_RUNG &&
                  ask->rung < TRANSCODE_AUDIO_RUNG + ask->plan.audio_count) ||
                 (ask->rung >= TRANSCODE_SUBTITLE_RUNG &&
                  ask->rung < TRANSCODE_SUBTITLE_RUNG + ask->plan.subtitle_count));
    if (!good) {
        err = rr_fail(fault, RR_ERR_USAGE, "a track that does not follow its form");
    } else if ((stream = avformat_new_stream(file->format, NULL)) == NULL ||
               !worker_mux_shape(stream, ask)) {
        err = rr_fail(fault, RR_ERR_MEMORY, "no memory for the container");
    }
    rr_free(ask);
    return err;
}

/* Times of the file are kept in the pictures' own ticks: an edit rounded to milliseconds would move
 * them. */
static enum rr_err begin(struct worker_file *file, struct rr_fault *fault)
{
    AVDictionary *options = NULL;
    if (file->begun) {
        return RR_OK;
    }
    av_dict_set_int(&options, "video_track_timescale", file->timescale, 0);
    av_dict_set_int(&options, "movie_timescale", file->timescale, 0);
    if (file->reserve > 0) {
        av_dict_set_int(&options, "moov_size", file->reserve, 0);
    }
    int rc = avformat_write_header(file->format, &options);
    av_dict_free(&options);
    file->begun = true;
    return rc < 0 ? worker_fail_av(fault, rc, "the container does not begin") : RR_OK;
}

static enum rr_err add_piece(struct worker *worker, struct rr_fault *fault)
{
    struct worker_file *file = worker->file;
    struct transcode_piece *ask = rr_alloc(sizeof *ask);
    AVPacket *packet = av_packet_alloc();
    enum rr_err err = RR_OK;
    if (file == NULL || packet == NULL || worker->fd_count != 2 ||
        !transcode_decode_message(worker_body(worker), piece, ask) ||
        ask->track >= file->format->nb_streams) {
        err = rr_fail(fault, RR_ERR_USAGE, "a piece that does not follow its form");
    }
    err = err != RR_OK ? err : begin(file, fault);
    for (uint32_t i = 0; err == RR_OK && i < ask->segment.count; i++) {
        err = worker_mux_sample(packet, &ask->segment.samples[i], worker->fds[0],
                                &ask->segment.offset, fault);
        packet->stream_index = ask->track;
        int rc = err == RR_OK ? av_write_frame(file->format, packet) : 0;
        if (rc < 0) {
            err = worker_fail_av(fault, rc, "the container refuses a packet");
        }
        av_packet_unref(packet);
    }
    av_packet_free(&packet);
    rr_free(ask);
    return err;
}

static enum rr_err end_file(struct worker_file *file, struct rr_fault *fault)
{
    if (file == NULL) {
        return rr_fail(fault, RR_ERR_USAGE, "an end without a file");
    }
    enum rr_err err = begin(file, fault);
    int rc = err == RR_OK ? av_write_trailer(file->format) : 0;
    return rc < 0 ? worker_fail_av(fault, rc, "the container does not end") : err;
}

enum rr_err worker_file(struct worker *worker, struct rr_fault *fault)
{
    struct rr_buf message = {0};
    uint8_t kind = worker_kind(worker);
    if (worker->file != NULL) {
        worker->file->made.count = 0;
        worker->file->out.len = 0;
    }
    enum rr_err err = kind == TRANSCODE_FILE         ? open_file(worker, fault)
                      : kind == TRANSCODE_FILE_TRACK ? add_track(worker, fault)
                      : kind == TRANSCODE_FILE_PIECE ? add_piece(worker, fault)
                                                     : end_file(worker->file, fault);
    struct worker_file *file = worker->file;
    if (err == RR_OK) {
        avio_flush(file->format->pb);
        err = file->overflow ? rr_fail(fault, RR_ERR_LIMIT, "the container jumps about too much")
                             : RR_OK;
    }
    if (err == RR_OK && file->out.len > 0) {
        err = worker->fd_count > 0
                  ? rr_pwrite_full(worker->fds[worker->fd_count - 1], file->out.ptr, file->out.len,
                                   0, fault)
                  : rr_fail(fault, RR_ERR_USAGE, "no room for what the container gave");
    }
    if (err == RR_OK) {
        transcode_encode_message(&message, TRANSCODE_FILE_MADE, file_made, &file->made);
        worker_send(worker, &message);
    }
    return err;
}

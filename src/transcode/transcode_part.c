/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A shard made into one file, on the rig that took it. */
#include "transcode/transcode_shard.h"
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define HEAD_BYTES        13
#define RECORD_HEAD_BYTES 12
#define BODY_MAX          (1u << 28) /* as the journal's */
#define PIECE_BYTES       (1u << 20)

/* ---- reading ---- */

enum rr_err transcode_part_open(struct transcode_part *out, int fd, uint64_t offset, uint64_t bytes,
                                struct rr_fault *fault)
{
    uint8_t head[HEAD_BYTES];
    struct transcode_part part = {.fd = fd, .at = offset + HEAD_BYTES, .end = offset + bytes};
    if (bytes < HEAD_BYTES || rr_pread_full(fd, head, sizeof head, offset, NULL) != RR_OK) {
        return rr_fail(fault, RR_ERR_TRUST, "a part of %llu bytes has no head",
                       (unsigned long long)bytes);
    }
    struct rr_reader reader = rr_reader_of(rr_slice_of(head, sizeof head));
    uint32_t version = rr_read_u32(&reader);
    uint8_t sound = rr_read_u8(&reader);
    part.sound = sound == 1;
    part.gops = rr_read_u32(&reader);
    part.bad_from = rr_read_u32(&reader);
    if (version != TRANSCODE_PROTO_VERSION || sound > 1) {
        return rr_fail(fault, RR_ERR_TRUST, "a part of version %u, expected %u; update the rig",
                       (unsigned)version, TRANSCODE_PROTO_VERSION);
    }
    *out = part;
    return RR_OK;
}

enum rr_err transcode_part_next(struct transcode_part *part, struct rr_buf *body,
                                uint64_t *payload_at, uint64_t *payload_bytes,
                                struct rr_fault *fault)
{
    uint8_t head[RECORD_HEAD_BYTES];
    uint64_t room = part->end - part->at;
    body->len = 0;
    if (room < sizeof head || rr_pread_full(part->fd, head, sizeof head, part->at, NULL) != RR_OK) {
        return rr_fail(fault, RR_ERR_TRUST, "a part ends in the middle of its records");
    }
    struct rr_reader reader = rr_reader_of(rr_slice_of(head, sizeof head));
    uint32_t body_bytes = rr_read_u32(&reader);
    uint64_t payload = rr_read_u64(&reader);
    room -= sizeof head;
    if (body_bytes > BODY_MAX || body_bytes > room || payload > room - body_bytes) {
        return rr_fail(fault, RR_ERR_TRUST,
                       "a record of %u and %llu bytes in a part with %llu left",
                       (unsigned)body_bytes, (unsigned long long)payload, (unsigned long long)room);
    }
    rr_buf_reserve(body, body_bytes + 1);
    if (rr_pread_full(part->fd, body->ptr, body_bytes, part->at + sizeof head, NULL) != RR_OK) {
        return rr_fail(fault, RR_ERR_TRUST, "a part ends in the middle of its records");
    }
    body->len = body_bytes;
    *payload_at = part->at + sizeof head + body_bytes;
    *payload_bytes = payload;
    part->at = *payload_at + payload;
    return RR_OK;
}

/* ---- writing ---- */

struct writer {
    int fd;
    uint64_t at;
    const struct transcode_job *job;
    struct rr_buf body;
};

static enum rr_err put(struct writer *writer, const void *bytes, size_t len, struct rr_fault *fault)
{
    enum rr_err err = rr_pwrite_full(writer->fd, bytes, len, writer->at, fault);
    writer->at += len;
    return err;
}

static enum rr_err put_payload(struct writer *writer, const char *name, uint64_t offset,
                               uint64_t bytes, struct rr_fault *fault)
{
    char path[RR_PATH_BYTES];
    enum rr_err err = rr_path(path, fault, "%s/%s", writer->job->options.job_folder, name);
    int in = err == RR_OK ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (err == RR_OK && in < 0) {
        err = rr_fail_errno(fault, "%.200s cannot be read back", path);
    }
    uint8_t *piece = rr_alloc(PIECE_BYTES);
    for (uint64_t done = 0; done < bytes && err == RR_OK;) {
        size_t now = (size_t)(bytes - done < PIECE_BYTES ? bytes - done : PIECE_BYTES);
        err = rr_pread_full(in, piece, now, offset + done, fault);
        err = err != RR_OK ? err : put(writer, piece, now, fault);
        done += now;
    }
    rr_free(piece);
    if (in >= 0) {
        close(in);
    }
    return err;
}

/* One record of the journal behind what is written. */
static enum rr_err put_record(struct writer *writer, const char *name, struct rr_fault *fault)
{
    uint64_t offset = 0, payload = 0;
    struct rr_buf head = {0};
    if (!transcode_journal_get(&writer->body, writer->job->options.job_folder, name, &offset,
                               &payload)) {
        return rr_fail(fault, RR_ERR_DAMAGED, "the record %.64s in %.160s is torn", name,
                       writer->job->options.job_folder);
    }
    rr_write_u32(&head, (uint32_t)writer->body.len);
    rr_write_u64(&head, payload);
    enum rr_err err = put(writer, head.ptr, head.len, fault);
    err = err != RR_OK ? err : put(writer, writer->body.ptr, writer->body.len, fault);
    err = err != RR_OK ? err : put_payload(writer, name, offset, payload, fault);
    rr_buf_clear(&head);
    return err;
}

static enum rr_err put_all(struct writer *writer, bool sound, struct rr_fault *fault)
{
    const struct transcode_job *job = writer->job;
    struct rr_buf head = {0};
    char name[64];
    rr_write_u32(&head, TRANSCODE_PROTO_VERSION);
    rr_write_u8(&head, sound);
    rr_write_u32(&head, sound ? 0 : job->gop_count);
    rr_write_u32(&head, sound ? UINT32_MAX : job->bad_from);
    enum rr_err err = put(writer, head.ptr, head.len, fault);
    rr_buf_clear(&head);
    for (uint32_t gop = 0; !sound && gop < job->gop_count && err == RR_OK; gop++) {
        snprintf(name, sizeof name, TRANSCODE_GOP_RECORD, (unsigned)gop);
        err = put_record(writer, name, fault);
        for (unsigned rung = 0; rung < job->plan.rung_count && err == RR_OK; rung++) {
            snprintf(name, sizeof name, TRANSCODE_CODED_RECORD, rung, (unsigned)gop);
            err = put_record(writer, name, fault);
        }
    }
    unsigned tracks = sound ? job->plan.audio_count + job->plan.subtitle_count : 0;
    for (unsigned i = 0; i < tracks && err == RR_OK; i++) {
        transcode_track_record(name, &job->plan, i);
        err = put_record(writer, name, fault);
    }
    return err;
}

enum rr_err transcode_part_write(const char *path, const struct transcode_job *job, bool sound,
                                 struct rr_fault *fault)
{
    struct writer writer = {.job = job};
    writer.fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (writer.fd < 0) {
        return rr_fail_errno(fault, "%.200s cannot be made", path);
    }
    enum rr_err err = put_all(&writer, sound, fault);
    if (close(writer.fd) != 0 && err == RR_OK) {
        err = rr_fail_errno(fault, "%.200s cannot be written", path);
    }
    if (err != RR_OK) {
        unlink(path);
    }
    rr_buf_clear(&writer.body);
    return err;
}

/* ---- making ---- */

enum rr_err transcode_part_make(const char *path, const char *folder,
                                const struct transcode_job *like, uint32_t cell_first,
                                uint32_t cell_end, uint32_t packet_first, bool sound,
                                struct rr_fault *fault)
{
    struct transcode_job *job = rr_alloc(sizeof *job);
    job->source_fd = job->lock_fd = -1;
    job->options = like->options;
    job->options.job_folder = folder;
    job->plan = like->plan;
    job->cancel = like->cancel;
    job->started_us = rr_monotonic_us(rr_clock_system());
    memcpy(job->program, like->program, sizeof job->program);
    job->first_cell = cell_first;
    job->end_cell = cell_end;
    job->first_packet = packet_first;
    job->bad_from = UINT32_MAX;
    job->source_done = sound;
    for (unsigned i = 0; i < RR_TRACKS_MAX; i++) {
        job->sounds[i].done = job->texts[i].done = !sound;
    }
    enum rr_err err = rr_remove_tree(folder, fault); /* what a killed rig left */
    err = err != RR_OK ? err : rr_make_folders(folder, fault);
    err = err != RR_OK ? err : transcode_source_fd(&job->source_fd, like->source_fd, fault);
    err = err != RR_OK ? err : transcode_job_encode(job, fault);
    err = err != RR_OK ? err : transcode_part_write(path, job, sound, fault);
    if (rr_remove_tree(folder, NULL) != RR_OK) {
        rr_log(RR_LOG_WARN, "transcode", "%s cannot be removed", folder);
    }
    transcode_job_clear(job);
    rr_free(job);
    return err;
}

/* What the code between here and the worker divides by or allocates from. */
static bool plan_holds(const struct transcode_plan *plan)
{
    bool good = plan->gop_ms >= 500 && plan->gop_ms <= 10000 &&
                (plan->video_stream >= 0 || plan->audio_count > 0);
    if (plan->video_stream >= 0) {
        good &= plan->fps_num > 0 && plan->fps_den > 0 && plan->ticks > 0 && plan->timescale > 0 &&
                plan->rung_count > 0;
    }
    for (unsigned i = 0; i < plan->rung_count; i++) {
        good &= plan->rungs[i].width >= 2 && plan->rungs[i].height >= 2 &&
                plan->rungs[i].width <= TRANSCODE_SIDE_MAX &&
                plan->rungs[i].height <= TRANSCODE_SIDE_MAX;
    }
    return good;
}

static enum rr_err read_plan(struct transcode_plan *out, struct rr_slice bytes,
                             const struct rr_transcode_shard *shard, struct rr_fault *fault)
{
    struct rr_reader reader = rr_reader_of(bytes);
    uint32_t version = rr_read_u32(&reader);
    if (version != TRANSCODE_PROTO_VERSION) {
        return rr_fail(fault, RR_ERR_UNSUPPORTED,
                       "a job of version %u, this rig speaks %u; update the older one",
                       (unsigned)version, TRANSCODE_PROTO_VERSION);
    }
    struct rr_slice body = rr_slice_of(reader.ptr, reader.len);
    if (!transcode_decode_message(body, plan, out) || !plan_holds(out) ||
        (shard->sound ? out->audio_count + out->subtitle_count == 0
                      : out->video_stream < 0 || shard->cell_first >= shard->cell_end)) {
        return rr_fail(fault, RR_ERR_FORMAT, "a job's plan that does not follow its form");
    }
    return RR_OK;
}

enum rr_err rr_transcode_range(const char *out_path, int source_fd, struct rr_slice plan,
                               const struct rr_transcode_shard *shard,
                               const struct rr_transcode_options *options,
                               const atomic_bool *cancel, struct rr_fault *fault)
{
    struct rr_fault own = {0};
    struct transcode_job *like = rr_alloc(sizeof *like);
    fault = fault != NULL ? fault : &own;
    like->options.workers = options->workers;
    like->source_fd = source_fd;
    like->cancel = cancel;
    RR_CHECK(options->job_folder != NULL && options->workers <= 256);
    enum rr_err err = read_plan(&like->plan, plan, shard, fault);
    err = err != RR_OK ? err : transcode_worker_find(like->program, options, fault);
    err = err != RR_OK
              ? err
              : transcode_part_make(out_path, options->job_folder, like, shard->cell_first,
                                    shard->cell_end, shard->packet_first, shard->sound, fault);
    rr_free(like);
    return err;
}

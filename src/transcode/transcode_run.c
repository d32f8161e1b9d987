/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "transcode/transcode_device.h"
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static enum rr_err look_at_file(const struct transcode_job *job, int64_t *size, int64_t *mtime,
                                struct rr_fault *fault)
{
    struct stat facts;
    if (fstat(job->source_fd, &facts) != 0) {
        return rr_fail_errno(fault, "the input cannot be looked at");
    }
    *size = facts.st_size;
    *mtime = (int64_t)facts.st_mtim.tv_sec * 1000000000 + facts.st_mtim.tv_nsec;
    return RR_OK;
}

/* Whether the input is still what the job began with: its bytes, and that nobody wrote to it (it
 * may have been put back). What was made of a mixture must not be gone on with. */
static enum rr_err check_unchanged(struct transcode_job *job, enum rr_err err,
                                   struct rr_fault *fault)
{
    int64_t size = 0, mtime = 0;
    struct rr_hash32 key = job->key;
    if (look_at_file(job, &size, &mtime, NULL) == RR_OK &&
        (size != job->source_size || mtime != job->source_mtime)) {
        key = (struct rr_hash32){0};
    } else if (err == RR_OK) {
        err = transcode_journal_key(&job->key, job->source_fd, &job->plan, job->cancel, fault);
    }
    if (rr_hash32_equal(&key, &job->key) || err == RR_ERR_CANCELLED) {
        return err;
    }
    enum rr_err removed = rr_remove_tree(job->options.job_folder, NULL);
    (void)removed; /* what stays is refused by its key */
    return rr_fail(fault, RR_ERR_STATE,
                   "the input changed while the job ran: %lld bytes at its start, %lld now; run it "
                   "again when nobody writes to it",
                   (long long)job->source_size, (long long)size);
}

static enum rr_err pack(struct transcode_job *job, struct rr_transcode_result *out,
                        struct rr_fault *fault)
{
    enum rr_err err = RR_ERR_UNREACHABLE;
    for (unsigned i = 0; i < TRANSCODE_DEATHS_MAX && err == RR_ERR_UNREACHABLE; i++) {
        err = transcode_job_pack(job, out, fault);
    }
    if ((err == RR_ERR_UNREACHABLE || err == RR_ERR_TIMEOUT) && fault != NULL) {
        fault->code = RR_ERR_DAMAGED;
    }
    return err == RR_ERR_UNREACHABLE || err == RR_ERR_TIMEOUT ? RR_ERR_DAMAGED : err;
}

/* Options, program, probe and plan: what a job and a spot check have in common. */
enum rr_err transcode_prepare(struct transcode_job *job, int source_fd,
                              const struct rr_transcode_options *options, const atomic_bool *cancel,
                              struct rr_fault *fault)
{
    job->source_fd = job->lock_fd = -1;
    job->reader.socket = job->maker.socket = -1;
    job->cancel = cancel;
    job->started_us = rr_monotonic_us(rr_clock_system());
    enum rr_err err = transcode_options_fit(&job->options, options, fault);
    err = err != RR_OK ? err : transcode_worker_find(job->program, &job->options, fault);
    err = err != RR_OK ? err : transcode_source_fd(&job->source_fd, source_fd, fault);
    err = err != RR_OK ? err : look_at_file(job, &job->source_size, &job->source_mtime, fault);
    err = err != RR_OK ? err
                       : transcode_probe_with(&job->facts, &job->reader, job->program,
                                              job->source_fd, job->options.video, cancel, fault);
    err = err != RR_OK ? err : transcode_auto(job, fault);
    err = err != RR_OK ? err : transcode_plan_make(&job->plan, &job->facts, &job->options, fault);
    if (err == RR_OK && job->facts.shown.duration_us > 0) {
        job->expected_gops =
            (uint32_t)((job->facts.shown.duration_us + job->plan.gop_ms * INT64_C(1000) - 1) /
                       (job->plan.gop_ms * INT64_C(1000)));
    }
    return err;
}

void transcode_job_clear(struct transcode_job *job)
{
    transcode_worker_stop(&job->reader);
    transcode_worker_stop(&job->maker);
    for (uint32_t gop = 0; gop < job->gop_room; gop++) {
        rr_free(job->gops[gop].facts.pts);
    }
    for (unsigned rung = 0; rung < RR_RUNGS_MAX; rung++) {
        rr_buf_clear(&job->extradata[rung]);
    }
    for (unsigned track = 0; track < RR_TRACKS_MAX; track++) {
        rr_buf_clear(&job->sounds[track].sizes);
        rr_buf_clear(&job->texts[track].cues);
    }
    rr_free(job->gops);
    rr_free(job->devices);
    if (job->source_fd >= 0) {
        close(job->source_fd);
    }
    if (job->lock_fd >= 0) {
        close(job->lock_fd);
    }
}

enum rr_err transcode_keep_note(const struct rr_transcode_options *options, struct rr_fault *fault)
{
    char path[RR_PATH_BYTES];
    if (options->job_note == NULL) {
        return RR_OK;
    }
    enum rr_err err = rr_path(path, fault, "%s/note", options->job_folder);
    struct rr_slice text =
        rr_slice_of((const uint8_t *)options->job_note, strlen(options->job_note));
    return err != RR_OK ? err : rr_file_write(path, text, 0600, fault);
}

enum rr_err rr_transcode_run(struct rr_transcode_result *out, int source_fd,
                             const struct rr_transcode_options *options,
                             rr_transcode_progress_fn *progress, void *ctx,
                             const atomic_bool *cancel, struct rr_fault *fault)
{
    struct transcode_job *job = rr_alloc(sizeof *job);
    struct rr_fault own = {0};
    fault = fault != NULL ? fault : &own; /* its text is carried from place to place below */
    RR_CHECK(options->job_folder != NULL);
    enum rr_err err = transcode_prepare(job, source_fd, options, cancel, fault);
    if (err == RR_OK && job->plan.codec == RR_CODEC_H264 && job->plan.ten_bit != 0) {
        rr_log(RR_LOG_WARN, "transcode",
               "the source has 10 bits%s, and so will its H.264 (High 10), which few players show; "
               "take codec hevc, av1 or vp9, or tone mapping for SDR",
               job->plan.transfer == TRANSCODE_PQ || job->plan.transfer == TRANSCODE_HLG
                   ? " and HDR"
                   : "");
    }
    job->progress = progress;
    job->progress_ctx = ctx;
    if (err == RR_OK) {
        transcode_tracks_tell(&job->plan, &job->facts, &job->options);
    }
    err = err != RR_OK
              ? err
              : transcode_journal_key(&job->key, job->source_fd, &job->plan, cancel, fault);
    err = err != RR_OK ? err
                       : transcode_devices_choose(job, fault); /* refused before a job is there */
    err = err != RR_OK
              ? err
              : transcode_journal_open(&job->lock_fd, job->options.job_folder, &job->key, fault);
    err = err != RR_OK ? err : transcode_keep_note(&job->options, fault);
    err = err != RR_OK ? err : transcode_finish(job, out, fault);
    transcode_job_clear(job);
    rr_free(job);
    return err;
}

enum rr_err transcode_finish(struct transcode_job *job, struct rr_transcode_result *out,
                             struct rr_fault *fault)
{
    enum rr_err err = check_unchanged(job, transcode_job_encode(job, fault), fault);
    err = err != RR_OK ? err : pack(job, out, fault);
    if (err == RR_OK) {
        for (unsigned rung = 0; rung < job->plan.rung_count; rung++) {
            transcode_device_told(job, rung, &out->renditions[rung]);
        }
        out->seconds = (double)(rr_monotonic_us(rr_clock_system()) - job->started_us) / 1e6;
    }
    return err;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "transcode/transcode_private.h"
#include <string.h>
#include <unistd.h>

/* Options, program, probe and plan: what a job and a spot check have in common. */
enum rr_err transcode_prepare(struct transcode_job *job, int source_fd,
                              const struct rr_transcode_options *options, const atomic_bool *cancel,
                              struct rr_fault *fault)
{
    job->source_fd = job->lock_fd = -1;
    job->cancel = cancel;
    job->started_us = rr_monotonic_us(rr_clock_system());
    enum rr_err err = transcode_options_fit(&job->options, options, fault);
    err = err != RR_OK ? err : transcode_worker_find(job->program, &job->options, fault);
    err = err != RR_OK ? err : transcode_source_fd(&job->source_fd, source_fd, fault);
    err = err != RR_OK
              ? err
              : transcode_probe_with(&job->facts, job->program, job->source_fd, cancel, fault);
    err = err != RR_OK ? err : transcode_auto(job, fault);
    err = err != RR_OK ? err : transcode_plan_make(&job->plan, &job->facts, &job->options, fault);
    if (err == RR_OK && job->facts.shown.duration_us > 0) {
        job->expected_gops =
            (uint32_t)((job->facts.shown.duration_us + job->plan.gop_ms * INT64_C(1000) - 1) /
                       (job->plan.gop_ms * INT64_C(1000)));
    }
    job->sound = rr_alloc(sizeof *job->sound);
    return err;
}

void transcode_job_clear(struct transcode_job *job)
{
    for (uint32_t gop = 0; gop < job->gop_room; gop++) {
        rr_free(job->gops[gop].facts.pts);
    }
    for (unsigned rung = 0; rung < RR_RUNGS_MAX; rung++) {
        rr_buf_clear(&job->extradata[rung]);
    }
    rr_buf_clear(&job->sound_sizes);
    rr_free(job->gops);
    rr_free(job->sound);
    if (job->source_fd >= 0) {
        close(job->source_fd);
    }
    if (job->lock_fd >= 0) {
        close(job->lock_fd);
    }
}

enum rr_err rr_transcode_run(struct rr_transcode_result *out, int source_fd,
                             const struct rr_transcode_options *options,
                             rr_transcode_progress_fn *progress, void *ctx,
                             const atomic_bool *cancel, struct rr_fault *fault)
{
    struct transcode_job *job = rr_alloc(sizeof *job);
    struct rr_fault own = {0};
    struct rr_hash32 key;
    fault = fault != NULL ? fault : &own; /* its text is carried from place to place below */
    RR_CHECK(options->job_folder != NULL);
    enum rr_err err = transcode_prepare(job, source_fd, options, cancel, fault);
    job->progress = progress;
    job->progress_ctx = ctx;
    err =
        err != RR_OK ? err : transcode_journal_key(&key, job->source_fd, &job->plan, cancel, fault);
    err = err != RR_OK
              ? err
              : transcode_journal_open(&job->lock_fd, job->options.job_folder, &key, fault);
    err = err != RR_OK ? err : transcode_job_encode(job, fault);
    err = err != RR_OK ? err : transcode_job_pack(job, out, fault);
    if (err == RR_OK) {
        out->seconds = (double)(rr_monotonic_us(rr_clock_system()) - job->started_us) / 1e6;
    }
    transcode_job_clear(job);
    rr_free(job);
    return err;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The job's sound worker: all sound, once. */
#include "transcode/transcode_scheduler.h"
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Sound is coded at some fifty times its own speed; twice its length is a hang, and so is what
 * small packets cannot be. */
static unsigned patience(const struct transcode_job *job)
{
    int64_t us = job->facts.shown.duration_us;
    struct stat file;
    uint64_t by_size = fstat(job->source_fd, &file) == 0 && file.st_size > 0
                           ? (uint64_t)file.st_size / 1000
                           : TRANSCODE_DURATION_MAX_S;
    uint64_t seconds = us > 0 ? (uint64_t)us / 500000 : by_size;
    seconds = seconds < TRANSCODE_DURATION_MAX_S ? seconds : TRANSCODE_DURATION_MAX_S;
    return (unsigned)(600 + seconds);
}

enum rr_err transcode_sound_start(struct transcode_scheduler *plan, struct rr_fault *fault)
{
    struct transcode_job *job = plan->job;
    struct transcode_audio *ask = rr_alloc(sizeof *ask);
    struct rr_buf message = {0};
    enum rr_err err = transcode_worker_start(&plan->sound, job->program, false, fault);
    for (unsigned i = 0; i < 2 && err == RR_OK; i++) {
        if (plan->sound_fds[i] >= 0) {
            close(plan->sound_fds[i]);
        }
        err = transcode_memfd(&plan->sound_fds[i], "reelrig-sound", fault);
    }
    if (err == RR_OK) {
        int fds[3] = {job->source_fd, plan->sound_fds[0], plan->sound_fds[1]};
        ask->plan = job->plan;
        transcode_encode_message(&message, TRANSCODE_AUDIO, audio, ask);
        err = transcode_worker_ask(&plan->sound, &message, fds, 3, patience(job), fault);
        plan->sound_on = err == RR_OK;
    }
    rr_free(ask);
    return err;
}

enum rr_err transcode_sound_check(const struct transcode_sound *sound, struct rr_slice sizes,
                                  struct rr_fault *fault)
{
    struct rr_reader reader = rr_reader_of(sizes);
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < sound->count; i++) {
        bytes += rr_read_u32(&reader);
    }
    if (!rr_reader_done(&reader) || bytes != sound->bytes || sound->count == 0 ||
        sound->sample_rate < 8000 || sound->frame_samples == 0 ||
        sound->priming > 2 * sound->frame_samples || sound->source_packets == 0 ||
        sound->samples + sound->priming > (uint64_t)sound->count * sound->frame_samples ||
        sound->samples + sound->priming + sound->frame_samples <=
            (uint64_t)sound->count * sound->frame_samples) {
        return rr_fail(
            fault, RR_ERR_DAMAGED,
            "%u AAC frames of %llu bytes for %llu samples do not add up (sizes say %llu bytes)",
            (unsigned)sound->count, (unsigned long long)sound->bytes,
            (unsigned long long)sound->samples, (unsigned long long)bytes);
    }
    return RR_OK;
}

static enum rr_err take_sound(struct transcode_scheduler *plan, struct rr_fault *fault)
{
    struct transcode_job *job = plan->job;
    struct transcode_coder coder = {0};
    struct rr_buf sound = {0}, body = {0};
    if (!transcode_decode_message(transcode_worker_body(&plan->sound), sound, job->sound)) {
        return rr_fail(fault, RR_ERR_DAMAGED, "the sound worker's answer does not follow its form");
    }
    size_t sizes = (size_t)job->sound->count * 4;
    job->sound_sizes.len = 0;
    rr_buf_reserve(&job->sound_sizes, sizes + 1);
    enum rr_err err = rr_pread_full(plan->sound_fds[1], job->sound_sizes.ptr, sizes, 0, fault);
    if (err == RR_OK) {
        job->sound_sizes.len = sizes;
        err = transcode_sound_check(job->sound, rr_buf_slice(&job->sound_sizes), fault);
    }
    if (err == RR_OK) {
        coder.out = &sound;
        transcode_code_sound(&coder, job->sound);
        rr_write_var32(&body, rr_buf_slice(&sound));
        rr_buf_append(&body, job->sound_sizes.ptr, sizes);
        err = transcode_journal_put(job->options.job_folder, TRANSCODE_SOUND_RECORD,
                                    rr_buf_slice(&body), plan->sound_fds[0], job->sound->bytes,
                                    &job->sound_offset, fault);
    }
    rr_buf_clear(&sound);
    rr_buf_clear(&body);
    job->sound_done = err == RR_OK;
    plan->sound_on = false;
    transcode_worker_stop(&plan->sound);
    return err;
}

enum rr_err transcode_sound_serve(struct transcode_scheduler *plan, struct rr_fault *fault)
{
    uint8_t kind = 0;
    enum rr_err err = transcode_worker_take(&plan->sound, &kind, fault);
    if (err == RR_OK && kind != TRANSCODE_SOUND) {
        err = rr_fail(fault, RR_ERR_DAMAGED, "the sound worker answered with message %u", kind);
    }
    return err == RR_OK ? take_sound(plan, fault) : err;
}

enum rr_err transcode_sound_failed(struct transcode_scheduler *plan, enum rr_err err,
                                   struct rr_fault *fault)
{
    transcode_worker_stop(&plan->sound);
    plan->sound_on = false;
    if (transcode_again(err, &plan->sound_deaths)) {
        rr_log_fault(RR_LOG_WARN, "transcode", fault);
        return transcode_sound_start(plan, fault);
    }
    return transcode_place(fault, transcode_died(err) ? RR_ERR_DAMAGED : err,
                           "the sound of the input failed");
}

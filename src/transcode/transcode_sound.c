/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The job's sound worker: each track of sound, then of text, once and whole, one after another,
 * each in a fresh process. */
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

static bool is_text(const struct transcode_scheduler *plan)
{
    return plan->sound_rung >= TRANSCODE_SUBTITLE_RUNG;
}

static unsigned track_of(const struct transcode_scheduler *plan)
{
    return plan->sound_rung - (is_text(plan) ? TRANSCODE_SUBTITLE_RUNG : TRANSCODE_AUDIO_RUNG);
}

void transcode_track_message(struct rr_buf *out, const struct transcode_plan *plan, unsigned rung)
{
    if (rung >= TRANSCODE_SUBTITLE_RUNG) {
        struct transcode_subtitle *ask = rr_alloc(sizeof *ask);
        ask->plan = *plan;
        ask->track = (uint8_t)(rung - TRANSCODE_SUBTITLE_RUNG);
        transcode_encode_message(out, TRANSCODE_SUBTITLE, subtitle, ask);
        rr_free(ask);
    } else {
        struct transcode_audio *ask = rr_alloc(sizeof *ask);
        ask->plan = *plan;
        ask->track = (uint8_t)(rung - TRANSCODE_AUDIO_RUNG);
        transcode_encode_message(out, TRANSCODE_AUDIO, audio, ask);
        rr_free(ask);
    }
}

/* Starts on the track that sound_rung names. */
static enum rr_err start_track(struct transcode_scheduler *plan, struct rr_fault *fault)
{
    struct transcode_job *job = plan->job;
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
        transcode_track_message(&message, &job->plan, plan->sound_rung);
        err = transcode_worker_ask(&plan->sound, &message, fds, is_text(plan) ? 2 : 3,
                                   patience(job), fault);
        plan->sound_on = err == RR_OK;
    }
    return err;
}

enum rr_err transcode_sound_start(struct transcode_scheduler *plan, struct rr_fault *fault)
{
    plan->sound_deaths = 0;
    return transcode_job_tracks_done(plan->job, &plan->sound_rung) ? RR_OK
                                                                   : start_track(plan, fault);
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
        sound->sample_rate < 8000 || sound->frame_samples == 0 || sound->channels == 0 ||
        sound->priming > 2 * sound->frame_samples || sound->source_packets == 0 ||
        sound->samples + sound->priming > (uint64_t)sound->count * sound->frame_samples ||
        sound->samples + sound->priming + sound->frame_samples <=
            (uint64_t)sound->count * sound->frame_samples) {
        return rr_fail(
            fault, RR_ERR_DAMAGED,
            "%u coded frames of %llu bytes for %llu samples do not add up (sizes say %llu bytes)",
            (unsigned)sound->count, (unsigned long long)sound->bytes,
            (unsigned long long)sound->samples, (unsigned long long)bytes);
    }
    return RR_OK;
}

static enum rr_err take_sound(struct transcode_scheduler *plan, struct rr_fault *fault)
{
    struct transcode_job *job = plan->job;
    struct transcode_job_sound *made = &job->sounds[track_of(plan)];
    struct transcode_coder coder = {0};
    struct rr_buf sound = {0}, body = {0};
    char name[64];
    if (!transcode_decode_message(transcode_worker_body(&plan->sound), sound, &made->facts)) {
        return rr_fail(fault, RR_ERR_DAMAGED, "the sound worker's answer does not follow its form");
    }
    size_t sizes = (size_t)made->facts.count * 4;
    made->sizes.len = 0;
    rr_buf_reserve(&made->sizes, sizes + 1);
    enum rr_err err = rr_pread_full(plan->sound_fds[1], made->sizes.ptr, sizes, 0, fault);
    if (err == RR_OK) {
        made->sizes.len = sizes;
        err = transcode_sound_check(&made->facts, rr_buf_slice(&made->sizes), fault);
    }
    if (err == RR_OK) {
        coder.out = &sound;
        transcode_code_sound(&coder, &made->facts);
        rr_write_var32(&body, rr_buf_slice(&sound));
        rr_buf_append(&body, made->sizes.ptr, sizes);
        snprintf(name, sizeof name, TRANSCODE_SOUND_RECORD, track_of(plan));
        err = transcode_journal_put(job->options.job_folder, name, rr_buf_slice(&body),
                                    plan->sound_fds[0], made->facts.bytes, &made->offset, fault);
    }
    rr_buf_clear(&sound);
    rr_buf_clear(&body);
    made->done = err == RR_OK;
    return err;
}

enum rr_err transcode_text_take(struct transcode_job_text *out, struct rr_slice answer, int fd,
                                struct rr_fault *fault)
{
    if (!transcode_decode_message(answer, cues, &out->facts)) {
        return rr_fail(fault, RR_ERR_DAMAGED, "the text worker's answer does not follow its form");
    }
    size_t bytes = (size_t)out->facts.bytes;
    out->cues.len = 0;
    rr_buf_reserve(&out->cues, bytes + 1);
    enum rr_err err = rr_pread_full(fd, out->cues.ptr, bytes, 0, fault);
    out->cues.len = err == RR_OK ? bytes : 0;
    return err != RR_OK ? err : transcode_cues_check(&out->facts, rr_buf_slice(&out->cues), fault);
}

static enum rr_err take_text(struct transcode_scheduler *plan, struct rr_fault *fault)
{
    struct transcode_job *job = plan->job;
    struct transcode_job_text *made = &job->texts[track_of(plan)];
    struct rr_buf facts = {0}, body = {0};
    struct transcode_coder coder = {.out = &facts};
    char name[64];
    enum rr_err err =
        transcode_text_take(made, transcode_worker_body(&plan->sound), plan->sound_fds[0], fault);
    if (err == RR_OK) {
        if (made->facts.left_out > 0) {
            rr_log(RR_LOG_WARN, "transcode",
                   "%u subtitles of track %u are left out: no text, or too long",
                   (unsigned)made->facts.left_out, track_of(plan) + 1);
        }
        transcode_code_cues(&coder, &made->facts);
        rr_write_var32(&body, rr_buf_slice(&facts));
        rr_buf_append(&body, made->cues.ptr, made->cues.len);
        snprintf(name, sizeof name, TRANSCODE_TEXT_RECORD, track_of(plan));
        err = transcode_journal_put(job->options.job_folder, name, rr_buf_slice(&body), -1, 0, NULL,
                                    fault);
    }
    rr_buf_clear(&facts);
    rr_buf_clear(&body);
    made->done = err == RR_OK;
    return err;
}

enum rr_err transcode_sound_serve(struct transcode_scheduler *plan, struct rr_fault *fault)
{
    uint8_t kind = 0;
    enum rr_err err = transcode_worker_take(&plan->sound, &kind, fault);
    if (err == RR_OK && kind != (is_text(plan) ? TRANSCODE_CUES : TRANSCODE_SOUND)) {
        err = rr_fail(fault, RR_ERR_DAMAGED, "the sound worker answered with message %u", kind);
    }
    if (err == RR_OK) {
        err = is_text(plan) ? take_text(plan, fault) : take_sound(plan, fault);
    }
    if (err != RR_OK) {
        return err;
    }
    plan->sound_on = false;
    transcode_worker_stop(&plan->sound);
    return transcode_sound_start(plan, fault);
}

enum rr_err transcode_sound_failed(struct transcode_scheduler *plan, enum rr_err err,
                                   struct rr_fault *fault)
{
    char name[RR_NAME_MAX + 1];
    transcode_worker_stop(&plan->sound);
    plan->sound_on = false;
    if (transcode_again(err, &plan->sound, &plan->sound_deaths)) {
        rr_log_fault(RR_LOG_WARN, "transcode", fault);
        return start_track(plan, fault);
    }
    transcode_rung_name(name, &plan->job->plan, plan->sound_rung);
    return transcode_place(fault, transcode_died(err) ? RR_ERR_DAMAGED : err,
                           "track %s of the input failed", name);
}

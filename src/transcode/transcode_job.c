/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The job's one thread: a source worker that runs ahead by a few GOPs, encode workers, one worker
 * for the sound, and a journal of what is done. */
#include "transcode/transcode_device.h"
#include "transcode/transcode_scheduler.h"
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define MEMORY_BYTES                                                                               \
    (UINT64_C(2) << 30) /* of raw pictures, beyond the one GOP that there must be */
#define SHOW_US 200000

/* GOPs in memory at a time: enough to keep the encoders busy, within the budget, at least one. */
static uint32_t window_of(const struct transcode_job *job, unsigned encoders)
{
    uint64_t frames =
        (uint64_t)job->plan.fps_num * job->plan.gop_ms / ((uint64_t)job->plan.fps_den * 1000) + 1;
    uint64_t bytes = 0;
    for (unsigned i = 0; i < job->plan.rung_count; i++) {
        bytes += transcode_frame_bytes(&job->plan, &job->plan.rungs[i]) * frames;
    }
    uint64_t fit = bytes > 0 ? MEMORY_BYTES / bytes : 1;
    uint64_t want = encoders / (job->plan.rung_count > 0 ? job->plan.rung_count : 1u) + 2u;
    return (uint32_t)(fit < 1 ? 1 : fit < want ? fit : want);
}

enum rr_err transcode_place(struct rr_fault *fault, enum rr_err err, const char *format, ...)
{
    char what[96], why[200];
    va_list args;
    if (fault == NULL) {
        return err;
    }
    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
    snprintf(why, sizeof why, "%.190s", fault->text);
    return rr_fault_set(fault, err, fault->sys_errno, fault->where, "%s: %s", what, why);
}

bool transcode_died(enum rr_err err)
{
    return err == RR_ERR_UNREACHABLE || err == RR_ERR_TIMEOUT;
}

bool transcode_again(enum rr_err err, const struct transcode_worker *worker, uint8_t *deaths)
{
    if (!transcode_died(err)) {
        return false;
    }
    bool shot = WIFSIGNALED(worker->ended) && WTERMSIG(worker->ended) == SIGKILL;
    unsigned sum = *deaths + (err == RR_ERR_TIMEOUT ? 4u : shot ? 1u : 2u);
    *deaths = (uint8_t)sum;
    return sum <= 6;
}

static bool late(const struct transcode_worker *worker, uint64_t now_us)
{
    return worker->pid > 0 && worker->deadline_us != 0 && now_us > worker->deadline_us;
}

static enum rr_err end_late(struct transcode_scheduler *plan, struct rr_fault *fault)
{
    static const char text[] = "the worker gave no answer within %u s";
    uint64_t now_us = rr_monotonic_us(rr_clock_system());
    enum rr_err err = RR_OK;
    if (late(&plan->source, now_us)) {
        rr_fail(fault, RR_ERR_TIMEOUT, text, plan->source.seconds);
        err = transcode_source_failed(plan, RR_ERR_TIMEOUT, fault);
    }
    if (err == RR_OK && late(&plan->sound, now_us)) {
        rr_fail(fault, RR_ERR_TIMEOUT, text, plan->sound.seconds);
        err = transcode_sound_failed(plan, RR_ERR_TIMEOUT, fault);
    }
    for (unsigned i = 0; i < plan->encoder_count && err == RR_OK; i++) {
        struct transcode_encoder *encoder = &plan->encoders[i];
        if (encoder->gop != TRANSCODE_NO_TASK && late(&encoder->worker, now_us)) {
            rr_fail(fault, RR_ERR_TIMEOUT, text, encoder->worker.seconds);
            err = transcode_encoder_failed(plan, encoder, RR_ERR_TIMEOUT, fault);
        }
    }
    return err;
}

static void show_progress(struct transcode_scheduler *plan)
{
    struct transcode_job *job = plan->job;
    struct rr_transcode_progress shown = {0};
    uint64_t now_us = rr_monotonic_us(rr_clock_system());
    double seconds = (double)(now_us - job->started_us) / 1e6;
    uint64_t done = 0, all = 0;
    if (job->progress == NULL || (now_us - job->shown_us < SHOW_US)) {
        return;
    }
    job->shown_us = now_us;
    for (unsigned rung = 0; rung < job->plan.rung_count; rung++) {
        struct rr_transcode_rendition_progress *to = &shown.renditions[shown.rendition_count++];
        uint64_t pixels = (uint64_t)job->plan.rungs[rung].width * job->plan.rungs[rung].height;
        transcode_rung_name(to->name, &job->plan, rung);
        for (uint32_t gop = 0; gop < job->gop_count; gop++) {
            to->gops_done += job->gops[gop].coded[rung].done ? 1 : 0;
        }
        to->gops = job->source_done || job->gop_count > job->expected_gops ? job->gop_count
                                                                           : job->expected_gops;
        to->fps = seconds > 0 ? (double)job->frames_done[rung] / seconds : 0;
        if (to->fps > 0 && to->gops > to->gops_done) {
            double frames = (double)(to->gops - to->gops_done) * job->plan.gop_ms *
                            job->plan.fps_num / job->plan.fps_den / 1000;
            to->eta_s = frames / to->fps;
        }
        shown.fps += to->fps;
        done += pixels * to->gops_done;
        all += pixels * to->gops;
    }
    unsigned tracks = job->plan.audio_count + job->plan.subtitle_count, tracks_done = 0;
    for (unsigned i = 0; i < tracks; i++) {
        struct rr_transcode_rendition_progress *to = &shown.renditions[shown.rendition_count++];
        bool sound = i < job->plan.audio_count;
        unsigned track = sound ? i : i - job->plan.audio_count;
        transcode_rung_name(to->name, &job->plan,
                            (sound ? TRANSCODE_AUDIO_RUNG : TRANSCODE_SUBTITLE_RUNG) + track);
        to->gops = 1;
        to->gops_done = (sound ? job->sounds[track].done : job->texts[track].done) ? 1 : 0;
        tracks_done += to->gops_done;
    }
    double part = all > 0      ? (double)done / (double)all
                  : tracks > 0 ? (double)tracks_done / tracks
                               : 0;
    shown.percent = part * 99; /* the rest is packing */
    shown.eta_s = part > 0.01 ? seconds * (1 - part) / part : 0;
    job->progress(job->progress_ctx, &shown);
}

static bool finished(const struct transcode_scheduler *plan)
{
    const struct transcode_job *job = plan->job;
    bool video = job->plan.video_stream < 0 ||
                 (job->source_done && transcode_job_missing(job) == job->gop_count);
    unsigned rung = 0;
    return video && transcode_job_tracks_done(job, &rung);
}

/* Polls all workers once and serves those that are ready. */
static enum rr_err turn(struct transcode_scheduler *plan, struct rr_fault *fault)
{
    struct pollfd ready[2 + 256];
    nfds_t count = 2;
    enum rr_err err = RR_OK;
    ready[0] = (struct pollfd){.fd = plan->source_on ? plan->source.socket : -1, .events = POLLIN};
    ready[1] = (struct pollfd){.fd = plan->sound_on ? plan->sound.socket : -1, .events = POLLIN};
    for (unsigned i = 0; i < plan->encoder_count; i++) {
        int fd = plan->encoders[i].gop != TRANSCODE_NO_TASK ? plan->encoders[i].worker.socket : -1;
        ready[count++] = (struct pollfd){.fd = fd, .events = POLLIN};
    }
    int found = poll(ready, count, 0);
    if (found == 0 && !transcode_encoder_warm(plan)) {
        found = poll(ready, count, 100);
    }
    if (found < 0 && errno != EINTR) {
        return rr_fail_errno(fault, "waiting for workers failed");
    }
    if (ready[0].revents != 0) {
        err = transcode_source_serve(plan, fault);
        err = err != RR_OK ? transcode_source_failed(plan, err, fault) : RR_OK;
    }
    if (err == RR_OK && ready[1].revents != 0 && plan->sound_on) {
        err = transcode_sound_serve(plan, fault);
        err = err != RR_OK ? transcode_sound_failed(plan, err, fault) : RR_OK;
    }
    for (unsigned i = 0; i < plan->encoder_count && err == RR_OK; i++) {
        /* One that was served before it may have had this one stopped. */
        bool same = plan->encoders[i].gop != TRANSCODE_NO_TASK &&
                    plan->encoders[i].worker.socket == ready[2 + i].fd;
        if (ready[2 + i].revents != 0 && same) {
            err = transcode_encoder_serve(plan, &plan->encoders[i], fault);
        }
    }
    return err != RR_OK ? err : end_late(plan, fault);
}

static enum rr_err grant(struct transcode_scheduler *plan, struct rr_fault *fault)
{
    enum rr_err err = transcode_source_grant(plan, fault);
    return err == RR_ERR_UNREACHABLE ? transcode_source_failed(plan, err, fault) : err;
}

static enum rr_err feed_all(struct transcode_scheduler *plan, struct rr_fault *fault)
{
    enum rr_err err = grant(plan, fault);
    for (unsigned i = 0; i < plan->encoder_count && err == RR_OK; i++) {
        err = transcode_encoder_feed(plan, &plan->encoders[i], fault);
        if (err == RR_ERR_UNREACHABLE) {
            err = transcode_encoder_failed(plan, &plan->encoders[i], err, fault);
        }
    }
    return err;
}

static enum rr_err start_all(struct transcode_scheduler *plan, struct rr_fault *fault)
{
    struct transcode_job *job = plan->job;
    enum rr_err err = RR_OK;
    if (job->plan.video_stream >= 0) {
        err = transcode_devices_settle(job, fault);
        if (err != RR_OK) {
            return err;
        }
    }
    transcode_job_load(job, plan->packets);
    if (job->plan.video_stream >= 0 &&
        !(job->source_done && transcode_job_missing(job) == job->gop_count)) {
        /* Pictures of a GOP that misses a rung are needed again, even when the source once came to
         * its end. */
        job->source_done = false;
        err = transcode_source_start(plan, transcode_job_missing(job), fault);
        err = err == RR_ERR_UNREACHABLE ? transcode_source_failed(plan, err, fault) : err;
        err = err != RR_OK ? err : grant(plan, fault); /* it decodes while the others start */
    }
    return err != RR_OK ? err : transcode_sound_start(plan, fault);
}

/* One that never saw the input, and may no more than a worker that packs. */
static void keep_for_packing(struct transcode_scheduler *plan, struct transcode_encoder *encoder)
{
    struct transcode_job *job = plan->job;
    if (encoder->worker.pid != 0 && encoder->gop == TRANSCODE_NO_TASK && encoder->device < 0 &&
        job->maker.pid == 0 && !transcode_codec_threads(&job->plan)) {
        job->maker = encoder->worker;
        encoder->worker = (struct transcode_worker){.socket = -1};
    }
}

static void clear_scheduler(struct transcode_scheduler *plan)
{
    transcode_worker_stop(&plan->source);
    transcode_worker_stop(&plan->sound);
    for (unsigned i = 0; i < plan->encoder_count; i++) {
        keep_for_packing(plan, &plan->encoders[i]);
        transcode_worker_stop(&plan->encoders[i].worker);
        if (plan->encoders[i].out_fd >= 0) {
            close(plan->encoders[i].out_fd);
        }
    }
    for (unsigned i = 0; i < plan->pooled; i++) {
        close(plan->pool[i].fd);
    }
    for (unsigned i = 0; i < 2; i++) {
        if (plan->sound_fds[i] >= 0) {
            close(plan->sound_fds[i]);
        }
    }
    for (unsigned rung = 0; rung < RR_RUNGS_MAX && plan->granted != TRANSCODE_NO_TASK; rung++) {
        if (plan->granted_fds[rung] >= 0) {
            close(plan->granted_fds[rung]);
        }
    }
    for (uint32_t gop = 0; gop < plan->job->gop_count; gop++) {
        for (unsigned rung = 0; rung < RR_RUNGS_MAX; rung++) {
            if (plan->job->gops[gop].frames[rung] >= 0) {
                close(plan->job->gops[gop].frames[rung]);
                plan->job->gops[gop].frames[rung] = -1;
            }
        }
    }
    rr_free(plan->encoders);
    rr_free(plan->task);
    rr_free(plan->packets);
    rr_free(plan->told);
    rr_free(plan->stream);
}

enum rr_err transcode_job_encode(struct transcode_job *job, struct rr_fault *fault)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    struct transcode_scheduler plan = {
        .job = job, .granted = TRANSCODE_NO_TASK, .sound_fds = {-1, -1}};
    plan.source.socket = plan.sound.socket = -1;
    plan.encoder_count = job->options.workers != 0 ? job->options.workers
                                                   : (unsigned)(cores < 1     ? 1
                                                                : cores > 256 ? 256
                                                                              : cores);
    plan.encoders = rr_alloc_array(plan.encoder_count, sizeof *plan.encoders);
    plan.task = rr_alloc(sizeof *plan.task);
    plan.packets = rr_alloc(sizeof *plan.packets);
    plan.told = rr_alloc(sizeof *plan.told);
    plan.stream = rr_alloc(sizeof *plan.stream);
    for (unsigned i = 0; i < RR_RUNGS_MAX; i++) {
        plan.granted_fds[i] = -1;
    }
    for (unsigned i = 0; i < plan.encoder_count; i++) {
        plan.encoders[i].gop = TRANSCODE_NO_TASK;
        plan.encoders[i].device = TRANSCODE_CPU;
        plan.encoders[i].out_fd = plan.encoders[i].worker.socket = -1;
    }
    if (job->plan.video_stream >= 0) {
        plan.window = window_of(job, plan.encoder_count);
    }
    enum rr_err err = start_all(&plan, fault);
    while (err == RR_OK && !finished(&plan)) {
        if (job->cancel != NULL && atomic_load(job->cancel)) {
            err = rr_fail(fault, RR_ERR_CANCELLED,
                          "cancelled; the same command, or --resume, goes on where it was");
            break;
        }
        err = feed_all(&plan, fault);
        err = err != RR_OK ? err : turn(&plan, fault);
        show_progress(&plan);
    }
    clear_scheduler(&plan);
    return err;
}

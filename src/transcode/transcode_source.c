/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The job's source worker: one demux and decode that runs ahead by a few GOPs, and the memory of
 * raw pictures between it and the encoders. */
#include "transcode/transcode_live_proto.h"
#include "transcode/transcode_scheduler.h"
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* ---- memory of raw pictures
 * ---------------------------------------------------------------------------- */

enum rr_err transcode_frames_get(struct transcode_scheduler *plan, int *out, unsigned rung,
                                 struct rr_fault *fault)
{
    for (unsigned i = plan->pooled; i-- > 0;) {
        if (plan->pool[i].rung == rung) {
            *out = plan->pool[i].fd;
            plan->pool[i] = plan->pool[--plan->pooled];
            return RR_OK;
        }
    }
    return transcode_memfd(out, "reelrig-pictures", fault);
}

void transcode_frames_put(struct transcode_scheduler *plan, int fd, unsigned rung)
{
    if (plan->pooled == TRANSCODE_POOL_MAX) {
        close(fd);
    } else {
        plan->pool[plan->pooled++] = (struct transcode_pooled){.fd = fd, .rung = rung};
    }
}

/* ---- source
 * ---------------------------------------------------------------------------------------------- */

enum rr_err transcode_source_start(struct transcode_scheduler *plan, uint32_t from,
                                   struct rr_fault *fault)
{
    struct transcode_job *job = plan->job;
    struct transcode_source *ask = rr_alloc(sizeof *ask);
    struct rr_buf message = {0};
    ask->plan = job->plan;
    ask->work_max = job->options.work_max;
    /* Only a GOP that was told can be named to start at: the last one before, when this one was
     * not. */
    if (from > 0 && (from >= job->gop_count || !job->gops[from].known)) {
        from--;
    }
    if (from > 0) {
        ask->first_cell = job->gops[from].facts.cell;
        ask->first_packet = job->gops[from].facts.first;
    } else {
        ask->first_cell = job->first_cell;
        ask->first_packet = job->first_packet;
    }
    ask->end_cell = job->end_cell;
    plan->next_gop = from;
    plan->granted = TRANSCODE_NO_TASK;
    plan->granted_coded = plan->chained = 0;
    enum rr_err err = transcode_device_source(plan, fault);
    if (err == RR_OK) {
        transcode_encode_message(&message, TRANSCODE_SOURCE, source, ask);
        err = transcode_worker_ask(&plan->source, &message, &job->source_fd, 1,
                                   transcode_patience(&job->plan, 0), fault);
        plan->source.deadline_us = 0; /* it waits for a grant first */
        plan->source_on = err == RR_OK;
    }
    rr_free(ask);
    return err;
}

enum rr_err transcode_source_grant(struct transcode_scheduler *plan, struct rr_fault *fault)
{
    struct transcode_job *job = plan->job;
    struct transcode_grant grant = {0};
    struct rr_buf message = {0};
    int fds[RR_RUNGS_MAX];
    size_t count = 0;
    uint32_t gop = plan->next_gop;
    if (!plan->source_on || plan->granted != TRANSCODE_NO_TASK || plan->held >= plan->window ||
        plan->chained != 0) {
        return RR_OK;
    }
    transcode_job_room(job, gop);
    for (unsigned rung = 0; rung < job->plan.rung_count; rung++) {
        plan->granted_fds[rung] = -1;
        bool wanted = !job->gops[gop].known ||
                      (!job->gops[gop].coded[rung].done && job->gops[gop].frames[rung] < 0);
        if (!wanted) {
            continue;
        }
        enum rr_err err = transcode_frames_get(plan, &plan->granted_fds[rung], rung, fault);
        if (err != RR_OK) {
            return err;
        }
        grant.rungs |= (uint8_t)(1u << rung);
        fds[count++] = plan->granted_fds[rung];
    }
    grant.coded = transcode_device_chain(plan, grant.rungs);
    grant.tell = grant.coded == 0 ? 1 : 0;
    plan->stream->count = 0;
    plan->granted = gop;
    plan->granted_coded = grant.coded;
    transcode_encode_message(&message, TRANSCODE_GRANT, grant, &grant);
    uint32_t frames = TRANSCODE_FRAMES_MAX / 4;
    return transcode_worker_ask(&plan->source, &message, fds, count,
                                transcode_patience(&job->plan, frames), fault);
}

static bool same_gop(const struct transcode_gop_facts *a, const struct transcode_gop_facts *b)
{
    return a->cell == b->cell && a->first == b->first && a->last == b->last &&
           a->count == b->count && a->end == b->end && rr_hash32_equal(&a->digest, &b->digest) &&
           memcmp(a->pts, b->pts, sizeof *a->pts * a->count) == 0;
}

bool transcode_gop_fits(const struct transcode_plan *plan, const struct transcode_gop *gop)
{
    bool good = gop->count > 0 && gop->first <= gop->last;
    for (uint32_t i = 0; good && i < gop->count; i++) {
        good = transcode_cell(plan, gop->pts[i]) == gop->cell &&
               gop->pts[i] < (i + 1 < gop->count ? gop->pts[i + 1] : gop->end) &&
               (gop->end - plan->origin) < INT64_MAX / 4 / (int64_t)plan->ticks &&
               gop->pts[i] >= plan->origin;
    }
    return good;
}

static enum rr_err check_told(const struct transcode_job *job, uint32_t gop,
                              const struct transcode_gop *told, struct rr_fault *fault)
{
    bool follows = gop == 0 || (job->gops[gop - 1].facts.cell < told->cell &&
                                job->gops[gop - 1].facts.end == told->pts[0]);
    return follows && transcode_gop_fits(&job->plan, told)
               ? RR_OK
               : rr_fail(fault, RR_ERR_DAMAGED,
                         "the pictures' times of GOP %u do not rise or do not fit its place",
                         (unsigned)gop);
}

static enum rr_err take_gop(struct transcode_scheduler *plan, struct rr_fault *fault)
{
    struct transcode_job *job = plan->job;
    struct transcode_gop_facts facts;
    struct rr_buf record = {0};
    char name[64];
    uint32_t gop = plan->next_gop;
    if (plan->granted == TRANSCODE_NO_TASK ||
        !transcode_decode_message(transcode_worker_body(&plan->source), gop, plan->told)) {
        return rr_fail(fault, RR_ERR_DAMAGED,
                       "the worker's account of GOP %u does not follow its form", (unsigned)gop);
    }
    enum rr_err err = check_told(job, gop, plan->told, fault);
    if (err == RR_OK && !transcode_stream_agrees(plan)) {
        err = rr_fail(fault, RR_ERR_DAMAGED, "GOP %u has not the pictures that were told of it",
                      (unsigned)gop);
    }
    if (err != RR_OK) {
        return err;
    }
    transcode_gop_keep(&facts, plan->told);
    if (job->gops[gop].known) {
        bool same = same_gop(&facts, &job->gops[gop].facts);
        rr_free(facts.pts);
        if (!same) {
            return rr_fail(fault, RR_ERR_DAMAGED,
                           "GOP %u is not what the journal says; remove %.160s and begin again",
                           (unsigned)gop, job->options.job_folder);
        }
    } else {
        snprintf(name, sizeof name, TRANSCODE_GOP_RECORD, (unsigned)gop);
        transcode_gop_record(&record, &facts);
        err = transcode_journal_put(job->options.job_folder, name, rr_buf_slice(&record), -1, 0,
                                    NULL, fault);
        rr_buf_clear(&record);
        job->gops[gop].facts = facts;
        job->gops[gop].known = true;
        job->gop_count = gop + 1;
    }
    for (unsigned rung = 0; rung < job->plan.rung_count; rung++) {
        if (plan->granted_fds[rung] >= 0) {
            job->gops[gop].frames[rung] = plan->granted_fds[rung];
            plan->granted_fds[rung] = -1;
            if (!job->gops[gop].held) {
                job->gops[gop].held = true;
                plan->held++;
            }
        }
    }
    uint8_t asked = plan->granted_coded;
    plan->granted = TRANSCODE_NO_TASK;
    plan->granted_coded = 0;
    plan->chained = plan->told->coded & asked;
    plan->next_gop++;
    plan->source_deaths = 0;
    return err != RR_OK ? err : transcode_device_chained(plan, asked, plan->chained, fault);
}

static enum rr_err take_end(struct transcode_scheduler *plan, struct rr_fault *fault)
{
    struct transcode_job *job = plan->job;
    struct transcode_end end;
    struct rr_buf body = {0};
    if (!transcode_decode_message(transcode_worker_body(&plan->source), end, &end) ||
        plan->chained != 0 || plan->next_gop < job->gop_count ||
        (plan->granted != TRANSCODE_NO_TASK && plan->stream->count > 0)) {
        return rr_fail(fault, RR_ERR_DAMAGED, "the source ended at GOP %u of %u",
                       (unsigned)plan->next_gop, (unsigned)job->gop_count);
    }
    transcode_worker_stop(&plan->source);
    plan->source_on = false;
    job->source_done = true;
    for (unsigned rung = 0; rung < RR_RUNGS_MAX; rung++) {
        if (plan->granted != TRANSCODE_NO_TASK && plan->granted_fds[rung] >= 0) {
            transcode_frames_put(plan, plan->granted_fds[rung], rung);
            plan->granted_fds[rung] = -1;
        }
    }
    plan->granted = TRANSCODE_NO_TASK;
    job->bad_from = end.bad_from;
    if (job->gop_count == 0 && job->end_cell == 0) {
        return rr_fail(fault, RR_ERR_DAMAGED, "not one picture of the video decodes");
    }
    rr_write_u32(&body, job->gop_count);
    enum rr_err err = transcode_journal_put(job->options.job_folder, TRANSCODE_END_RECORD,
                                            rr_buf_slice(&body), -1, 0, NULL, fault);
    rr_buf_clear(&body);
    return err;
}

/* Packets that the source's device made of the GOP before, in place of its pictures. */
static enum rr_err take_packets(struct transcode_scheduler *plan, struct rr_fault *fault)
{
    struct transcode_job *job = plan->job;
    if (plan->chained == 0) {
        return rr_fail(fault, RR_ERR_DAMAGED, "the source worker told packets that nobody awaits");
    }
    unsigned rung = (unsigned)__builtin_ctz(plan->chained);
    uint32_t gop = plan->next_gop - 1;
    enum rr_err err = transcode_encoder_keep(plan, transcode_worker_body(&plan->source), gop, rung,
                                             job->gops[gop].frames[rung], fault);
    if (err == RR_OK && job->gops[gop].coded[rung].done) {
        plan->chained &= (uint8_t)(plan->chained - 1);
        transcode_device_well(plan, transcode_device_maker(plan, rung));
        transcode_encoder_release(plan, gop, rung);
    }
    return err;
}

enum rr_err transcode_source_serve(struct transcode_scheduler *plan, struct rr_fault *fault)
{
    uint8_t kind = 0;
    uint64_t deadline_us = plan->source.deadline_us;
    enum rr_err err = transcode_worker_take(&plan->source, &kind, fault);
    if (err != RR_OK) {
        return err;
    }
    switch (kind) {
    case TRANSCODE_GOP:
        return take_gop(plan, fault);
    case TRANSCODE_PICTURE:
        plan->source.deadline_us = deadline_us; /* of the whole GOP */
        return transcode_stream_take(plan, fault);
    case TRANSCODE_PACKETS:
        return take_packets(plan, fault);
    case TRANSCODE_END:
        return take_end(plan, fault);
    default:
        return rr_fail(fault, RR_ERR_DAMAGED, "the source worker answered with message %u", kind);
    }
}

void transcode_source_stop(struct transcode_scheduler *plan)
{
    transcode_stream_drop(plan);
    transcode_worker_stop(&plan->source);
    plan->source_on = false;
    for (unsigned rung = 0; rung < RR_RUNGS_MAX && plan->granted != TRANSCODE_NO_TASK; rung++) {
        if (plan->granted_fds[rung] >= 0) {
            close(plan->granted_fds[rung]);
            plan->granted_fds[rung] = -1;
        }
    }
    plan->granted = TRANSCODE_NO_TASK;
    for (; plan->chained != 0; plan->chained &= (uint8_t)(plan->chained - 1)) {
        /* half a stream, and no pictures */
        transcode_encoder_release(plan, plan->next_gop - 1, (unsigned)__builtin_ctz(plan->chained));
    }
    plan->granted_coded = 0;
}

enum rr_err transcode_source_failed(struct transcode_scheduler *plan, enum rr_err err,
                                    struct rr_fault *fault)
{
    uint32_t from = plan->next_gop;
    transcode_source_stop(plan);
    if (transcode_device_source_failed(plan, err, fault)) {
        return transcode_source_start(plan, transcode_job_missing(plan->job), fault);
    }
    if (transcode_again(err, &plan->source, &plan->source_deaths)) {
        rr_log_fault(RR_LOG_WARN, "transcode", fault);
        enum rr_err started = transcode_source_start(plan, from, fault);
        return started == RR_ERR_UNREACHABLE ? transcode_source_failed(plan, started, fault)
                                             : started;
    }
    return transcode_place(fault, transcode_died(err) ? RR_ERR_DAMAGED : err,
                           "decoding the input failed at GOP %u", (unsigned)from);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The job's one thread: a source worker that runs ahead by a few GOPs, encode workers that take the
 * largest task first, one worker for the sound, and a journal of what is done. */
#include "transcode/transcode_private.h"
#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define POOL_MAX 64 /* idle memfds of raw pictures, all rungs */
#define MEMORY_BYTES                                                                               \
    (UINT64_C(2) << 30) /* of raw pictures, beyond the one GOP that there must be */
#define AUDIO_SECONDS (TRANSCODE_DURATION_MAX_S + 600)
#define SHOW_US       200000
#define NO_TASK       UINT32_MAX

struct pooled {
    int fd;
    unsigned rung;
};
struct encoder {
    struct transcode_worker worker;
    int out_fd;
    uint32_t gop; /* NO_TASK: idle */
    unsigned rung;
};
struct scheduler {
    struct transcode_job *job;
    struct transcode_worker source, sound;
    uint32_t next_gop; /* that the source will tell */
    uint32_t granted;  /* number of the GOP that it may make now; NO_TASK: none */
    uint32_t held;     /* GOPs with pictures in memory */
    uint32_t window;
    int granted_fds[RR_RUNGS_MAX];
    bool source_on, sound_on, source_again, sound_again;
    int sound_fds[2];
    struct encoder *encoders;
    unsigned encoder_count;
    struct pooled pool[POOL_MAX];
    unsigned pooled;
    struct transcode_encode *task;
    struct transcode_packets *packets;
    struct transcode_gop *told;
};

/* ---- memory of raw pictures
 * ---------------------------------------------------------------------------- */

static enum rr_err frames_get(struct scheduler *plan, int *out, unsigned rung,
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

static void frames_put(struct scheduler *plan, int fd, unsigned rung)
{
    if (plan->pooled == POOL_MAX) {
        close(fd);
    } else {
        plan->pool[plan->pooled++] = (struct pooled){.fd = fd, .rung = rung};
    }
}

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

/* ---- source
 * ---------------------------------------------------------------------------------------------- */

static enum rr_err start_source(struct scheduler *plan, uint32_t from, struct rr_fault *fault)
{
    struct transcode_job *job = plan->job;
    struct transcode_source *ask = rr_alloc(sizeof *ask);
    struct rr_buf message = {0};
    ask->plan = job->plan;
    /* Only a GOP that was told can be named to start at: the last one before, when this one was
     * not. */
    if (from > 0 && (from >= job->gop_count || !job->gops[from].known)) {
        from--;
    }
    if (from > 0) {
        ask->first_cell = job->gops[from].facts.cell;
        ask->first_packet = job->gops[from].facts.first;
    }
    plan->next_gop = from;
    plan->granted = NO_TASK;
    enum rr_err err = transcode_worker_start(&plan->source, job->program, false, fault);
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

static enum rr_err grant(struct scheduler *plan, struct rr_fault *fault)
{
    struct transcode_job *job = plan->job;
    struct transcode_grant grant = {0};
    struct rr_buf message = {0};
    int fds[RR_RUNGS_MAX];
    size_t count = 0;
    uint32_t gop = plan->next_gop;
    if (!plan->source_on || plan->granted != NO_TASK || plan->held >= plan->window) {
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
        enum rr_err err = frames_get(plan, &plan->granted_fds[rung], rung, fault);
        if (err != RR_OK) {
            return err;
        }
        grant.rungs |= (uint8_t)(1u << rung);
        fds[count++] = plan->granted_fds[rung];
    }
    plan->granted = gop;
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

static enum rr_err check_told(const struct transcode_job *job, uint32_t gop,
                              const struct transcode_gop *told, struct rr_fault *fault)
{
    bool good = told->count > 0 && told->first <= told->last &&
                (gop == 0 || (job->gops[gop - 1].facts.cell < told->cell &&
                              job->gops[gop - 1].facts.end == told->pts[0]));
    for (uint32_t i = 0; good && i < told->count; i++) {
        good = transcode_cell(&job->plan, told->pts[i]) == told->cell &&
               told->pts[i] < (i + 1 < told->count ? told->pts[i + 1] : told->end) &&
               (told->end - job->plan.origin) < INT64_MAX / 4 / (int64_t)job->plan.ticks &&
               told->pts[i] >= job->plan.origin;
    }
    return good ? RR_OK
                : rr_fail(fault, RR_ERR_DAMAGED,
                          "the pictures' times of GOP %u do not rise or do not fit its place",
                          (unsigned)gop);
}

static enum rr_err take_gop(struct scheduler *plan, struct rr_fault *fault)
{
    struct transcode_job *job = plan->job;
    struct transcode_gop_facts facts;
    struct rr_buf record = {0};
    char name[64];
    uint32_t gop = plan->next_gop;
    if (plan->granted == NO_TASK ||
        !transcode_decode_message(transcode_worker_body(&plan->source), gop, plan->told)) {
        return rr_fail(fault, RR_ERR_DAMAGED,
                       "the worker's account of GOP %u does not follow its form", (unsigned)gop);
    }
    enum rr_err err = check_told(job, gop, plan->told, fault);
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
    plan->granted = NO_TASK;
    plan->next_gop++;
    return err;
}

static enum rr_err take_end(struct scheduler *plan, struct rr_fault *fault)
{
    struct transcode_job *job = plan->job;
    struct transcode_end end;
    struct rr_buf body = {0};
    if (!transcode_decode_message(transcode_worker_body(&plan->source), end, &end) ||
        plan->next_gop < job->gop_count) {
        return rr_fail(fault, RR_ERR_DAMAGED, "the source ended at GOP %u of %u",
                       (unsigned)plan->next_gop, (unsigned)job->gop_count);
    }
    transcode_worker_stop(&plan->source);
    plan->source_on = false;
    job->source_done = true;
    for (unsigned rung = 0; rung < RR_RUNGS_MAX; rung++) {
        if (plan->granted != NO_TASK && plan->granted_fds[rung] >= 0) {
            frames_put(plan, plan->granted_fds[rung], rung);
            plan->granted_fds[rung] = -1;
        }
    }
    plan->granted = NO_TASK;
    if (job->gop_count == 0) {
        return rr_fail(fault, RR_ERR_DAMAGED, "not one picture of the video decodes");
    }
    rr_write_u32(&body, job->gop_count);
    enum rr_err err = transcode_journal_put(job->options.job_folder, TRANSCODE_END_RECORD,
                                            rr_buf_slice(&body), -1, 0, NULL, fault);
    rr_buf_clear(&body);
    return err;
}

/* ---- encoders
 * ------------------------------------------------------------------------------------------------
 */

/* The largest task that waits: pixels x pictures; of equal ones the earliest. */
static bool pick(const struct scheduler *plan, uint32_t *gop_out, unsigned *rung_out)
{
    const struct transcode_job *job = plan->job;
    uint64_t best = 0;
    for (uint32_t gop = 0; gop < job->gop_count; gop++) {
        for (unsigned rung = 0; job->gops[gop].held && rung < job->plan.rung_count; rung++) {
            uint64_t cost = (uint64_t)job->plan.rungs[rung].width * job->plan.rungs[rung].height *
                            job->gops[gop].facts.count;
            bool running = false;
            for (unsigned i = 0; i < plan->encoder_count; i++) {
                running |= plan->encoders[i].gop == gop && plan->encoders[i].rung == rung;
            }
            if (job->gops[gop].frames[rung] >= 0 && !running && cost > best) {
                best = cost;
                *gop_out = gop;
                *rung_out = rung;
            }
        }
    }
    return best > 0;
}

static enum rr_err feed(struct scheduler *plan, struct encoder *encoder, struct rr_fault *fault)
{
    struct transcode_job *job = plan->job;
    struct rr_buf message = {0};
    uint32_t gop = 0;
    unsigned rung = 0;
    enum rr_err err = RR_OK;
    if (encoder->gop != NO_TASK || !pick(plan, &gop, &rung)) {
        return RR_OK;
    }
    if (encoder->worker.pid == 0) {
        err = transcode_worker_start(&encoder->worker, job->program,
                                     transcode_codec_threads(&job->plan), fault);
    }
    if (err == RR_OK && encoder->out_fd < 0) {
        err = transcode_memfd(&encoder->out_fd, "reelrig-packets", fault);
    }
    if (err != RR_OK) {
        return err;
    }
    const struct transcode_gop_facts *facts = &job->gops[gop].facts;
    int fds[2] = {job->gops[gop].frames[rung], encoder->out_fd};
    transcode_encode_task(plan->task, &job->plan, rung, facts->pts, facts->count);
    transcode_encode_message(&message, TRANSCODE_ENCODE, encode, plan->task);
    encoder->gop = gop;
    encoder->rung = rung;
    return transcode_worker_ask(&encoder->worker, &message, fds, 2,
                                transcode_patience(&job->plan, facts->count), fault);
}

static void release(struct scheduler *plan, uint32_t gop, unsigned rung)
{
    struct transcode_job_gop *entry = &plan->job->gops[gop];
    bool empty = true;
    frames_put(plan, entry->frames[rung], rung);
    entry->frames[rung] = -1;
    for (unsigned i = 0; i < RR_RUNGS_MAX; i++) {
        empty &= entry->frames[i] < 0;
    }
    if (empty && entry->held) {
        entry->held = false;
        plan->held--;
    }
}

static enum rr_err keep_coded(struct scheduler *plan, struct encoder *encoder,
                              struct rr_fault *fault)
{
    struct transcode_job *job = plan->job;
    struct transcode_coded *coded = &job->gops[encoder->gop].coded[encoder->rung];
    struct transcode_gop_facts *facts = &job->gops[encoder->gop].facts;
    struct transcode_packets *packets = plan->packets;
    struct transcode_coder coder = {0};
    struct rr_buf body = {0};
    char name[64];
    if (!transcode_decode_message(transcode_worker_body(&encoder->worker), packets, packets)) {
        return rr_fail(fault, RR_ERR_DAMAGED, "the encoder's answer does not follow its form");
    }
    transcode_encode_task(plan->task, &job->plan, encoder->rung, facts->pts, facts->count);
    enum rr_err err = transcode_check_packets(packets, plan->task, fault);
    err = err != RR_OK ? err
                       : transcode_job_extradata(job, encoder->rung, encoder->gop, packets, fault);
    err = err != RR_OK ? err : transcode_es_digest(coded, packets, encoder->out_fd, 0, fault);
    if (err != RR_OK) {
        return err;
    }
    coder.out = &body;
    transcode_code_packets(&coder, packets);
    rr_buf_append(&body, coded->digest.bytes, sizeof coded->digest.bytes);
    rr_write_u64(&body, coded->bytes);
    snprintf(name, sizeof name, TRANSCODE_CODED_RECORD, encoder->rung, (unsigned)encoder->gop);
    err = transcode_journal_put(job->options.job_folder, name, rr_buf_slice(&body), encoder->out_fd,
                                packets->bytes, &coded->payload_offset, fault);
    rr_buf_clear(&body);
    if (err == RR_OK) {
        coded->done = true;
        transcode_job_reorder(job, encoder->gop, packets);
        job->frames_done[encoder->rung] += packets->count;
    }
    return err;
}

/* Adds to the fault where in the job it happened. */
static enum rr_err place(struct rr_fault *fault, enum rr_err err, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static enum rr_err place(struct rr_fault *fault, enum rr_err err, const char *format, ...)
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

/* Death and silence get one more try on a fresh worker; what a worker says itself is final. */
static bool again(enum rr_err err)
{
    return err == RR_ERR_UNREACHABLE || err == RR_ERR_TIMEOUT;
}

static enum rr_err encoder_failed(struct scheduler *plan, struct encoder *encoder, enum rr_err err,
                                  struct rr_fault *fault)
{
    uint32_t gop = encoder->gop;
    unsigned rung = encoder->rung;
    encoder->gop = NO_TASK;
    transcode_worker_stop(&encoder->worker);
    if (again(err) && (plan->job->gops[gop].coded[rung].tries++ == 0)) {
        rr_log_fault(RR_LOG_WARN, "transcode", fault);
        return RR_OK;
    }
    char name[RR_NAME_MAX + 1];
    transcode_rung_name(name, &plan->job->plan, rung);
    return place(fault, again(err) ? RR_ERR_DAMAGED : err, "encoding GOP %u of %s failed",
                 (unsigned)gop, name);
}

static enum rr_err serve_encoder(struct scheduler *plan, struct encoder *encoder,
                                 struct rr_fault *fault)
{
    uint8_t kind = 0;
    enum rr_err err = transcode_worker_take(&encoder->worker, &kind, fault);
    if (err == RR_OK && (kind != TRANSCODE_PACKETS || encoder->gop == NO_TASK)) {
        err = rr_fail(fault, RR_ERR_DAMAGED, "the encoder answered with message %u", kind);
    }
    if (err == RR_OK) {
        err = keep_coded(plan, encoder, fault);
    }
    if (err != RR_OK) {
        return encoder->gop == NO_TASK ? err : encoder_failed(plan, encoder, err, fault);
    }
    release(plan, encoder->gop, encoder->rung);
    encoder->gop = NO_TASK;
    return RR_OK;
}

/* ---- sound
 * ------------------------------------------------------------------------------------------------
 */

static enum rr_err start_sound(struct scheduler *plan, struct rr_fault *fault)
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
        err = transcode_worker_ask(&plan->sound, &message, fds, 3, AUDIO_SECONDS, fault);
        plan->sound_on = err == RR_OK;
    }
    rr_free(ask);
    return err;
}

static enum rr_err check_sound(const struct transcode_sound *sound, const struct rr_buf *sizes,
                               struct rr_fault *fault)
{
    struct rr_reader reader = rr_reader_of(rr_buf_slice(sizes));
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

static enum rr_err take_sound(struct scheduler *plan, struct rr_fault *fault)
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
        err = check_sound(job->sound, &job->sound_sizes, fault);
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

static enum rr_err serve_sound(struct scheduler *plan, struct rr_fault *fault)
{
    uint8_t kind = 0;
    enum rr_err err = transcode_worker_take(&plan->sound, &kind, fault);
    if (err == RR_OK && kind != TRANSCODE_SOUND) {
        err = rr_fail(fault, RR_ERR_DAMAGED, "the sound worker answered with message %u", kind);
    }
    return err == RR_OK ? take_sound(plan, fault) : err;
}

static enum rr_err sound_failed(struct scheduler *plan, enum rr_err err, struct rr_fault *fault)
{
    transcode_worker_stop(&plan->sound);
    plan->sound_on = false;
    if (again(err) && !plan->sound_again) {
        plan->sound_again = true;
        rr_log_fault(RR_LOG_WARN, "transcode", fault);
        return start_sound(plan, fault);
    }
    return place(fault, again(err) ? RR_ERR_DAMAGED : err, "the sound of the input failed");
}

/* ---- the loop
 * --------------------------------------------------------------------------------------------- */

static enum rr_err serve_source(struct scheduler *plan, struct rr_fault *fault)
{
    uint8_t kind = 0;
    enum rr_err err = transcode_worker_take(&plan->source, &kind, fault);
    if (err != RR_OK) {
        return err;
    }
    switch (kind) {
    case TRANSCODE_GOP:
        return take_gop(plan, fault);
    case TRANSCODE_END:
        return take_end(plan, fault);
    default:
        return rr_fail(fault, RR_ERR_DAMAGED, "the source worker answered with message %u", kind);
    }
}

static enum rr_err source_failed(struct scheduler *plan, enum rr_err err, struct rr_fault *fault)
{
    uint32_t from = plan->next_gop;
    transcode_worker_stop(&plan->source);
    plan->source_on = false;
    for (unsigned rung = 0; rung < RR_RUNGS_MAX && plan->granted != NO_TASK; rung++) {
        if (plan->granted_fds[rung] >= 0) {
            close(plan->granted_fds[rung]);
        }
    }
    plan->granted = NO_TASK;
    if (again(err) && !plan->source_again) {
        plan->source_again = true;
        rr_log_fault(RR_LOG_WARN, "transcode", fault);
        return start_source(plan, from, fault);
    }
    return place(fault, again(err) ? RR_ERR_DAMAGED : err, "decoding the input failed at GOP %u",
                 (unsigned)from);
}

static bool late(const struct transcode_worker *worker, uint64_t now_us)
{
    return worker->pid > 0 && worker->deadline_us != 0 && now_us > worker->deadline_us;
}

static enum rr_err end_late(struct scheduler *plan, struct rr_fault *fault)
{
    static const char text[] = "the worker gave no answer within %u s";
    uint64_t now_us = rr_monotonic_us(rr_clock_system());
    enum rr_err err = RR_OK;
    if (late(&plan->source, now_us)) {
        rr_fail(fault, RR_ERR_TIMEOUT, text, plan->source.seconds);
        err = source_failed(plan, RR_ERR_TIMEOUT, fault);
    }
    if (err == RR_OK && late(&plan->sound, now_us)) {
        rr_fail(fault, RR_ERR_TIMEOUT, text, plan->sound.seconds);
        err = sound_failed(plan, RR_ERR_TIMEOUT, fault);
    }
    for (unsigned i = 0; i < plan->encoder_count && err == RR_OK; i++) {
        struct encoder *encoder = &plan->encoders[i];
        if (encoder->gop != NO_TASK && late(&encoder->worker, now_us)) {
            rr_fail(fault, RR_ERR_TIMEOUT, text, encoder->worker.seconds);
            err = encoder_failed(plan, encoder, RR_ERR_TIMEOUT, fault);
        }
    }
    return err;
}

static void show_progress(struct scheduler *plan)
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
        shown.fps += to->fps;
        done += pixels * to->gops_done;
        all += pixels * to->gops;
    }
    if (job->plan.audio_stream >= 0) {
        struct rr_transcode_rendition_progress *to = &shown.renditions[shown.rendition_count++];
        transcode_rung_name(to->name, &job->plan, TRANSCODE_AUDIO_RUNG);
        to->gops = 1;
        to->gops_done = job->sound_done ? 1 : 0;
    }
    double part = all > 0 ? (double)done / (double)all : job->sound_done ? 1 : 0;
    shown.percent = part * 99; /* the rest is packing */
    shown.eta_s = part > 0.01 ? seconds * (1 - part) / part : 0;
    job->progress(job->progress_ctx, &shown);
}

static bool finished(const struct scheduler *plan)
{
    const struct transcode_job *job = plan->job;
    bool video = job->plan.video_stream < 0 ||
                 (job->source_done && transcode_job_missing(job) == job->gop_count);
    return video && (job->plan.audio_stream < 0 || job->sound_done);
}

/* Polls all workers once and serves those that are ready. */
static enum rr_err turn(struct scheduler *plan, struct rr_fault *fault)
{
    struct pollfd ready[2 + 256];
    nfds_t count = 2;
    enum rr_err err = RR_OK;
    ready[0] = (struct pollfd){.fd = plan->source_on ? plan->source.socket : -1, .events = POLLIN};
    ready[1] = (struct pollfd){.fd = plan->sound_on ? plan->sound.socket : -1, .events = POLLIN};
    for (unsigned i = 0; i < plan->encoder_count; i++) {
        int fd = plan->encoders[i].gop != NO_TASK ? plan->encoders[i].worker.socket : -1;
        ready[count++] = (struct pollfd){.fd = fd, .events = POLLIN};
    }
    if (poll(ready, count, 100) < 0 && errno != EINTR) {
        return rr_fail_errno(fault, "waiting for workers failed");
    }
    if (ready[0].revents != 0) {
        err = serve_source(plan, fault);
        err = err != RR_OK ? source_failed(plan, err, fault) : RR_OK;
    }
    if (err == RR_OK && ready[1].revents != 0) {
        err = serve_sound(plan, fault);
        err = err != RR_OK ? sound_failed(plan, err, fault) : RR_OK;
    }
    for (unsigned i = 0; i < plan->encoder_count && err == RR_OK; i++) {
        if (ready[2 + i].revents != 0) {
            err = serve_encoder(plan, &plan->encoders[i], fault);
        }
    }
    return err != RR_OK ? err : end_late(plan, fault);
}

static enum rr_err feed_all(struct scheduler *plan, struct rr_fault *fault)
{
    enum rr_err err = grant(plan, fault);
    if (err == RR_ERR_UNREACHABLE) {
        err = source_failed(plan, err, fault);
    }
    for (unsigned i = 0; i < plan->encoder_count && err == RR_OK; i++) {
        err = feed(plan, &plan->encoders[i], fault);
        if (err == RR_ERR_UNREACHABLE) {
            err = encoder_failed(plan, &plan->encoders[i], err, fault);
        }
    }
    return err;
}

static enum rr_err start_all(struct scheduler *plan, struct rr_fault *fault)
{
    struct transcode_job *job = plan->job;
    enum rr_err err = RR_OK;
    transcode_job_load(job, plan->packets);
    if (job->plan.video_stream >= 0 &&
        !(job->source_done && transcode_job_missing(job) == job->gop_count)) {
        /* Pictures of a GOP that misses a rung are needed again, even when the source once came to
         * its end. */
        job->source_done = false;
        err = start_source(plan, transcode_job_missing(job), fault);
    }
    if (err == RR_OK && job->plan.audio_stream >= 0 && !job->sound_done) {
        err = start_sound(plan, fault);
    }
    return err;
}

static void clear_scheduler(struct scheduler *plan)
{
    transcode_worker_stop(&plan->source);
    transcode_worker_stop(&plan->sound);
    for (unsigned i = 0; i < plan->encoder_count; i++) {
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
    for (unsigned rung = 0; rung < RR_RUNGS_MAX && plan->granted != NO_TASK; rung++) {
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
}

enum rr_err transcode_job_encode(struct transcode_job *job, struct rr_fault *fault)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    struct scheduler plan = {.job = job, .granted = NO_TASK, .sound_fds = {-1, -1}};
    plan.source.socket = plan.sound.socket = -1;
    plan.encoder_count = job->options.workers != 0 ? job->options.workers
                                                   : (unsigned)(cores < 1     ? 1
                                                                : cores > 256 ? 256
                                                                              : cores);
    plan.encoders = rr_alloc_array(plan.encoder_count, sizeof *plan.encoders);
    plan.task = rr_alloc(sizeof *plan.task);
    plan.packets = rr_alloc(sizeof *plan.packets);
    plan.told = rr_alloc(sizeof *plan.told);
    for (unsigned i = 0; i < RR_RUNGS_MAX; i++) {
        plan.granted_fds[i] = -1;
    }
    for (unsigned i = 0; i < plan.encoder_count; i++) {
        plan.encoders[i].gop = NO_TASK;
        plan.encoders[i].out_fd = plan.encoders[i].worker.socket = -1;
    }
    if (job->plan.video_stream >= 0) {
        plan.window = window_of(job, plan.encoder_count);
    }
    enum rr_err err = start_all(&plan, fault);
    while (err == RR_OK && !finished(&plan)) {
        if (job->cancel != NULL && atomic_load(job->cancel)) {
            err = rr_fail(fault, RR_ERR_CANCELLED,
                          "cancelled; the same command goes on where it was");
            break;
        }
        err = feed_all(&plan, fault);
        err = err != RR_OK ? err : turn(&plan, fault);
        show_progress(&plan);
    }
    clear_scheduler(&plan);
    return err;
}

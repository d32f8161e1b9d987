/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The job's encode workers: what each does next; each GOP of a rung goes to a fresh encoder. */
#include "transcode/transcode_device.h"
#include "transcode/transcode_live_proto.h"
#include "transcode/transcode_scheduler.h"
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* The task to take next. While the source decodes: the largest (pixels x pictures) of the earliest
 * GOP, so that its memory is free for the next one soon; largest first over all GOPs would leave
 * the small rungs of each until all memory waits for them. Then the largest of all, so that the
 * last ones end together. device: of that maker only; NULL: of any. */
static bool pick(const struct transcode_scheduler *plan, const int *device, uint32_t *gop_out,
                 unsigned *rung_out)
{
    const struct transcode_job *job = plan->job;
    uint64_t best = 0;
    for (uint32_t gop = 0; gop < job->gop_count && !(plan->source_on && best > 0); gop++) {
        for (unsigned rung = 0; job->gops[gop].held && rung < job->plan.rung_count; rung++) {
            uint64_t cost = (uint64_t)job->plan.rungs[rung].width * job->plan.rungs[rung].height *
                            job->gops[gop].facts.count;
            bool running = false;
            for (unsigned i = 0; i < plan->encoder_count; i++) {
                running |= plan->encoders[i].gop == gop && plan->encoders[i].rung == rung;
            }
            bool chained = gop + 1 == plan->next_gop && (plan->chained >> rung & 1) != 0;
            if (job->gops[gop].frames[rung] >= 0 && !running && !chained && cost > best &&
                (device == NULL || transcode_device_maker(plan, rung) == *device) &&
                transcode_device_free(plan, rung)) {
                best = cost;
                *gop_out = gop;
                *rung_out = rung;
            }
        }
    }
    return best > 0;
}

/* The source counts as one of the processes at work: with a core of its own it stays ahead, so that
 * the encoders never wait for it and the last GOPs are there early enough to end together. One
 * process more than cores made it as slow as they are (measured: tails of half a GOP). */
static bool core_is_free(const struct transcode_scheduler *plan)
{
    unsigned busy = plan->granted != TRANSCODE_NO_TASK ? 1 : 0;
    for (unsigned i = 0; i < plan->encoder_count; i++) {
        busy += plan->encoders[i].gop != TRANSCODE_NO_TASK ? 1 : 0;
    }
    return busy < (plan->encoder_count > 1 ? plan->encoder_count : 2);
}

enum rr_err transcode_encoder_feed(struct transcode_scheduler *plan,
                                   struct transcode_encoder *encoder, struct rr_fault *fault)
{
    struct transcode_job *job = plan->job;
    struct rr_buf message = {0};
    uint32_t gop = 0;
    unsigned rung = 0;
    enum rr_err err = RR_OK;
    if (encoder->streams) {
        return transcode_stream_feed(plan, encoder, fault);
    }
    if (encoder->gop != TRANSCODE_NO_TASK || !core_is_free(plan)) {
        return RR_OK;
    }
    /* A worker stays with its device: to open another takes longer than a small GOP. */
    bool whole = (encoder->worker.pid != 0 && pick(plan, &encoder->device, &gop, &rung)) ||
                 pick(plan, NULL, &gop, &rung);
    if (!whole && !transcode_stream_pick(plan, &rung)) {
        return RR_OK;
    }
    int device = transcode_device_maker(plan, rung);
    if (encoder->worker.pid != 0 && encoder->device != device) {
        transcode_worker_stop(&encoder->worker);
    }
    if (encoder->worker.pid == 0) {
        err = transcode_device_encoder(plan, encoder, device, fault);
        if (err != RR_OK && device >= 0) {
            return transcode_device_encoder_failed(plan, encoder, err, fault);
        }
    }
    if (err == RR_OK && encoder->out_fd < 0) {
        err = transcode_memfd(&encoder->out_fd, "reelrig-packets", fault);
    }
    if (err != RR_OK) {
        return err;
    }
    if (!whole) {
        return transcode_stream_begin(plan, encoder, rung, fault);
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

bool transcode_encoder_warm(struct transcode_scheduler *plan)
{
    const struct transcode_job *job = plan->job;
    uint64_t gops = job->expected_gops > job->gop_count ? job->expected_gops : job->gop_count + 1u;
    uint64_t leaves = gops * job->plan.rung_count;
    uint64_t tasks = plan->source_on && leaves > job->resumed ? leaves - job->resumed : 0;
    unsigned most = plan->encoder_count > 1 ? plan->encoder_count - 1 : 1; /* beside the source */
    bool cpu = true;
    for (unsigned rung = 0; rung < job->plan.rung_count; rung++) {
        cpu &= transcode_device_maker(plan, rung) < 0;
    }
    if (!cpu || plan->warmed >= most || plan->warmed >= tasks) {
        return false;
    }
    struct transcode_encoder *encoder = &plan->encoders[plan->warmed++];
    if (encoder->worker.pid == 0) {
        enum rr_err err = transcode_device_encoder(plan, encoder, TRANSCODE_CPU, NULL);
        (void)err;
    }
    return true;
}

void transcode_encoder_release(struct transcode_scheduler *plan, uint32_t gop, unsigned rung)
{
    struct transcode_job_gop *entry = &plan->job->gops[gop];
    bool empty = true;
    transcode_frames_put(plan, entry->frames[rung], rung);
    entry->frames[rung] = -1;
    for (unsigned i = 0; i < RR_RUNGS_MAX; i++) {
        empty &= entry->frames[i] < 0;
    }
    if (empty && entry->held) {
        entry->held = false;
        plan->held--;
    }
}

/* Another card of the same profile may write other parameter sets. */
static bool differs(const struct transcode_job *job, unsigned rung,
                    const struct transcode_packets *packets)
{
    return job->devices != NULL && job->devices->maker[rung] >= 0 &&
           job->extradata[rung].len != 0 &&
           !rr_slice_equal(rr_slice_of(packets->extradata, packets->extradata_bytes),
                           rr_buf_slice(&job->extradata[rung]));
}

enum rr_err transcode_encoder_keep(struct transcode_scheduler *plan, struct rr_slice answer,
                                   uint32_t gop, unsigned rung, int fd, struct rr_fault *fault)
{
    struct transcode_job *job = plan->job;
    struct transcode_coded *coded = &job->gops[gop].coded[rung];
    struct transcode_gop_facts *facts = &job->gops[gop].facts;
    struct transcode_packets *packets = plan->packets;
    struct transcode_coder coder = {0};
    struct rr_buf body = {0};
    char name[64];
    if (!transcode_decode_message(answer, packets, packets)) {
        return rr_fail(fault, RR_ERR_DAMAGED, "the encoder's answer does not follow its form");
    }
    transcode_encode_task(plan->task, &job->plan, rung, facts->pts, facts->count);
    enum rr_err err = transcode_check_packets(packets, plan->task, fault);
    if (err == RR_OK && differs(job, rung, packets)) {
        return transcode_device_differs(plan, rung, fault);
    }
    err = err != RR_OK ? err : transcode_job_extradata(job, rung, gop, packets, fault);
    err = err != RR_OK ? err : transcode_es_digest(coded, packets, fd, 0, fault);
    if (err != RR_OK) {
        return err;
    }
    coder.out = &body;
    transcode_code_packets(&coder, packets);
    rr_buf_append(&body, coded->digest.bytes, sizeof coded->digest.bytes);
    rr_write_u64(&body, coded->bytes);
    snprintf(name, sizeof name, TRANSCODE_CODED_RECORD, rung, (unsigned)gop);
    err = transcode_journal_put(job->options.job_folder, name, rr_buf_slice(&body), fd,
                                packets->bytes, &coded->payload_offset, fault);
    rr_buf_clear(&body);
    if (err == RR_OK) {
        coded->done = true;
        transcode_job_reorder(job, gop, packets);
        job->frames_done[rung] += packets->count;
    }
    return err;
}

enum rr_err transcode_encoder_failed(struct transcode_scheduler *plan,
                                     struct transcode_encoder *encoder, enum rr_err err,
                                     struct rr_fault *fault)
{
    uint32_t gop = encoder->gop;
    unsigned rung = encoder->rung;
    if (encoder->device >= 0) {
        return transcode_device_encoder_failed(plan, encoder, err, fault);
    }
    encoder->gop = TRANSCODE_NO_TASK;
    encoder->streams = false;
    encoder->waiting = 0;
    transcode_worker_stop(&encoder->worker);
    if (transcode_again(err, &encoder->worker, &plan->job->gops[gop].coded[rung].deaths)) {
        rr_log_fault(RR_LOG_WARN, "transcode", fault);
        return RR_OK;
    }
    char name[RR_NAME_MAX + 1];
    transcode_rung_name(name, &plan->job->plan, rung);
    return transcode_place(fault, transcode_died(err) ? RR_ERR_DAMAGED : err,
                           "encoding GOP %u of %s failed", (unsigned)gop, name);
}

enum rr_err transcode_encoder_serve(struct transcode_scheduler *plan,
                                    struct transcode_encoder *encoder, struct rr_fault *fault)
{
    const struct transcode_job *job = plan->job;
    uint8_t kind = 0;
    enum rr_err err = transcode_worker_take(&encoder->worker, &kind, fault);
    if (err == RR_OK && kind == TRANSCODE_CODED) {
        err = transcode_stream_serve(encoder, fault);
        return err != RR_OK ? transcode_encoder_failed(plan, encoder, err, fault) : RR_OK;
    }
    if (err == RR_OK && (kind != TRANSCODE_PACKETS || encoder->streams || encoder->waiting > 0 ||
                         encoder->gop == TRANSCODE_NO_TASK)) {
        err = rr_fail(fault, RR_ERR_DAMAGED, "the encoder answered with message %u", kind);
    }
    if (err == RR_OK) {
        uint32_t gop = encoder->gop;
        err = transcode_encoder_keep(plan, transcode_worker_body(&encoder->worker), gop,
                                     encoder->rung, encoder->out_fd, fault);
        if (err == RR_OK && !job->gops[gop].coded[encoder->rung].done) {
            encoder->gop = TRANSCODE_NO_TASK; /* is made again */
            return RR_OK;
        }
    }
    if (err != RR_OK) {
        return encoder->gop == TRANSCODE_NO_TASK
                   ? err
                   : transcode_encoder_failed(plan, encoder, err, fault);
    }
    transcode_device_well(plan, encoder->device);
    transcode_encoder_release(plan, encoder->gop, encoder->rung);
    encoder->gop = TRANSCODE_NO_TASK;
    return RR_OK;
}

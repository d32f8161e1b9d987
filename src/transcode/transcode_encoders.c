/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The job's encode workers: the largest task first, each GOP of a rung to a fresh encoder. */
#include "transcode/transcode_scheduler.h"
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* The largest task that waits: pixels x pictures; of equal ones the earliest. */
static bool pick(const struct transcode_scheduler *plan, uint32_t *gop_out, unsigned *rung_out)
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

enum rr_err transcode_encoder_feed(struct transcode_scheduler *plan,
                                   struct transcode_encoder *encoder, struct rr_fault *fault)
{
    struct transcode_job *job = plan->job;
    struct rr_buf message = {0};
    uint32_t gop = 0;
    unsigned rung = 0;
    enum rr_err err = RR_OK;
    if (encoder->gop != TRANSCODE_NO_TASK || !pick(plan, &gop, &rung)) {
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

static void release(struct transcode_scheduler *plan, uint32_t gop, unsigned rung)
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

static enum rr_err keep_coded(struct transcode_scheduler *plan, struct transcode_encoder *encoder,
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

enum rr_err transcode_encoder_failed(struct transcode_scheduler *plan,
                                     struct transcode_encoder *encoder, enum rr_err err,
                                     struct rr_fault *fault)
{
    uint32_t gop = encoder->gop;
    unsigned rung = encoder->rung;
    encoder->gop = TRANSCODE_NO_TASK;
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
    uint8_t kind = 0;
    enum rr_err err = transcode_worker_take(&encoder->worker, &kind, fault);
    if (err == RR_OK && (kind != TRANSCODE_PACKETS || encoder->gop == TRANSCODE_NO_TASK)) {
        err = rr_fail(fault, RR_ERR_DAMAGED, "the encoder answered with message %u", kind);
    }
    if (err == RR_OK) {
        err = keep_coded(plan, encoder, fault);
    }
    if (err != RR_OK) {
        return encoder->gop == TRANSCODE_NO_TASK
                   ? err
                   : transcode_encoder_failed(plan, encoder, err, fault);
    }
    release(plan, encoder->gop, encoder->rung);
    encoder->gop = TRANSCODE_NO_TASK;
    return RR_OK;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A verdict on a GOP that another made. Each step has a worker of its own, so that no byte of the
 * candidate can reach the source's pictures or the reference's; measures are taken in this process,
 * out of files whose writers are dead. */
#include "transcode/transcode_verify.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum rr_err transcode_verify_decode(struct transcode_verify *verify,
                                    struct transcode_decoded *decoded, int packets_fd, int out_fd,
                                    struct rr_fault *fault)
{
    struct transcode_worker worker = {.socket = -1};
    struct rr_buf message = {0};
    const struct transcode_job *job = &verify->remake.job;
    int fds[2] = {packets_fd, out_fd};
    verify->decode->plan = job->plan;
    verify->decode->rung = (uint8_t)verify->rung;
    transcode_encode_message(&message, TRANSCODE_DECODE, decode, verify->decode);
    enum rr_err err = transcode_worker_start(&worker, job->program, false, fault);
    if (err != RR_OK) {
        rr_buf_clear(&message);
        return err;
    }
    err =
        transcode_worker_ask(&worker, &message, fds, 2,
                             transcode_patience(&job->plan, verify->decode->packets.count), fault);
    err =
        err != RR_OK ? err : transcode_worker_wait(&worker, TRANSCODE_DECODED, job->cancel, fault);
    if (err == RR_OK &&
        !transcode_decode_message(transcode_worker_body(&worker), decoded, decoded)) {
        err = rr_fail(fault, RR_ERR_DAMAGED, "the decoder's answer does not follow its form");
    }
    transcode_worker_stop(&worker);
    return err;
}

/* ---- the candidate's packets -------------------------------------------------------------------
 */

static int compare_times(const void *a, const void *b)
{
    const int64_t *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

/* Times of the packets are those of the source, each once. */
static bool times_fit(const struct transcode_verify *verify)
{
    const struct transcode_gop *source = verify->remake.gop;
    const struct transcode_plan *plan = &verify->remake.job.plan;
    int64_t *times = rr_alloc_array(verify->gop->count, sizeof *times);
    bool fit = true;
    for (uint32_t i = 0; i < verify->gop->count; i++) {
        times[i] = verify->gop->packets[i].pts;
    }
    qsort(times, verify->gop->count, sizeof *times, compare_times);
    for (uint32_t i = 0; i < verify->gop->count; i++) {
        fit = fit && times[i] == (source->pts[i] - source->pts[0]) * plan->ticks;
    }
    rr_free(times);
    return fit;
}

static void check_packets(struct transcode_verify *verify, const struct rr_pot_leaf *leaf)
{
    struct rr_transcode_verdict *out = verify->out;
    const struct rr_pot_gop *gop = verify->gop;
    struct rr_hash32 digest;
    rr_pot_gop_digest(&digest, &out->candidate_bytes, gop);
    if (!rr_hash32_equal(&digest, &leaf->output_digest) ||
        out->candidate_bytes != leaf->output_bytes) {
        transcode_verdict_refuse(out, RR_POT_BYTES, 0,
                                 "%llu bytes were shown whose digest is not the leaf's",
                                 (unsigned long long)out->candidate_bytes);
        return; /* nothing was committed to that could be judged */
    }
    if (gop->count != verify->remake.gop->count) {
        transcode_verdict_refuse(out, RR_POT_COUNT, 0, "%u packets; the source has %u pictures",
                                 (unsigned)gop->count, (unsigned)verify->remake.gop->count);
        return;
    }
    if (!times_fit(verify)) {
        transcode_verdict_refuse(out, RR_POT_TIMES, 0,
                                 "the packets' times are not those of the source's pictures");
    }
}

static enum rr_err hand_over(struct transcode_verify *verify, int *packets_fd,
                             struct rr_fault *fault)
{
    const struct rr_pot_gop *gop = verify->gop;
    struct transcode_packets *to = &verify->decode->packets;
    memset(to, 0, sizeof *to);
    to->bytes = gop->payload.len;
    to->count = gop->count;
    to->extradata_bytes = (uint32_t)gop->extradata.len;
    if (gop->extradata.len > 0) {
        memcpy(to->extradata, gop->extradata.ptr, gop->extradata.len);
    }
    for (uint32_t i = 0; i < gop->count; i++) {
        to->packets[i] = (struct transcode_packet){.bytes = gop->packets[i].bytes,
                                                   .pts = gop->packets[i].pts,
                                                   .key = gop->packets[i].key ? 1 : 0};
    }
    enum rr_err err = transcode_memfd(packets_fd, "reelrig-candidate", fault);
    return err != RR_OK ? err
                        : rr_pwrite_full(*packets_fd, gop->payload.ptr, gop->payload.len, 0, fault);
}

/* What a decoder says of both streams. A stream that says nothing of a colour is as one that says
 * "unspecified". */
static void check_stream(struct transcode_verify *verify)
{
    const struct transcode_decoded *c = verify->decoded[0], *r = verify->decoded[1];
    const struct transcode_gop *source = verify->remake.gop;
    const struct transcode_plan *plan = &verify->remake.job.plan;
    const struct transcode_rung *rung = &plan->rungs[verify->rung];
    struct rr_transcode_verdict *out = verify->out;
    if (c->width != rung->width || c->height != rung->height) {
        transcode_verdict_refuse(out, RR_POT_SIZE, 0, "pictures of %ux%u; the rung is %ux%u",
                                 (unsigned)c->width, (unsigned)c->height, rung->width,
                                 rung->height);
    }
    if (c->format == 0) {
        transcode_verdict_refuse(out, RR_POT_FORMAT, 0, "pictures that are not 4:2:0 of %d bits",
                                 plan->ten_bit != 0 ? 10 : 8);
    }
    if (c->count != source->count) {
        transcode_verdict_refuse(out, RR_POT_COUNT, 0, "%u pictures; the source has %u",
                                 (unsigned)c->count, (unsigned)source->count);
    }
    for (uint32_t i = 0; i < c->count && i < source->count; i++) {
        if (c->pts[i] != (source->pts[i] - source->pts[0]) * plan->ticks) {
            transcode_verdict_refuse(out, RR_POT_TIMES, 0,
                                     "picture %u is shown at another time than the source's",
                                     (unsigned)i);
            break;
        }
    }
    if (c->damaged > 0) {
        transcode_verdict_refuse(out, RR_POT_DECODE, 0, "%u pictures are damaged",
                                 (unsigned)c->damaged);
    }
    if (c->idr == 0) {
        transcode_verdict_refuse(out, RR_POT_IDR, 0,
                                 "the first packet is not the one IDR picture of the GOP");
    }
    if ((uint64_t)c->sar_num * r->sar_den != (uint64_t)r->sar_num * c->sar_den) {
        transcode_verdict_refuse(out, RR_POT_ASPECT, 0, "sample aspect %u:%u; the rung's is %u:%u",
                                 (unsigned)c->sar_num, (unsigned)c->sar_den, (unsigned)r->sar_num,
                                 (unsigned)r->sar_den);
    }
    if (c->full_range != r->full_range || c->primaries != r->primaries ||
        c->transfer != r->transfer || c->matrix != r->matrix) {
        transcode_verdict_refuse(out, RR_POT_COLOUR, 0,
                                 "range %u, primaries %u, transfer %u, matrix %u; the job's are "
                                 "%u, %u, %u, %u",
                                 c->full_range, c->primaries, c->transfer, c->matrix, r->full_range,
                                 r->primaries, r->transfer, r->matrix);
    }
}

/* ---- measures
 * -------------------------------------------------------------------------------------------------
 */

static enum rr_err measure_pair(struct transcode_verify *verify, struct transcode_series *series,
                                uint8_t *pictures[2], void *room, int fd, struct rr_fault *fault)
{
    const struct transcode_plan *plan = &verify->remake.job.plan;
    const struct transcode_rung *rung = &plan->rungs[verify->rung];
    uint64_t size = transcode_frame_bytes(plan, rung);
    struct rr_quality found[3];
    enum rr_err err = RR_OK;
    for (uint32_t i = 0; i < verify->remake.gop->count && err == RR_OK; i++) {
        err = rr_pread_full(verify->remake.frames_fd, pictures[0], (size_t)size, size * i, fault);
        err = err != RR_OK ? err : rr_pread_full(fd, pictures[1], (size_t)size, size * i, fault);
        err = err != RR_OK
                  ? err
                  : transcode_measure(found, plan, rung, pictures[0], pictures[1], room, fault);
        if (err == RR_OK) {
            transcode_series_add(series, found, plan->ten_bit != 0 ? 10 : 8);
        }
    }
    transcode_series_end(series);
    return err;
}

static enum rr_err measure(struct transcode_verify *verify, struct rr_transcode_judged out[3],
                           int fd, struct rr_fault *fault)
{
    const struct transcode_plan *plan = &verify->remake.job.plan;
    const struct transcode_rung *rung = &plan->rungs[verify->rung];
    size_t size = (size_t)transcode_frame_bytes(plan, rung);
    struct transcode_series series = {0};
    uint8_t *pictures[2] = {rr_alloc_aligned(size), rr_alloc_aligned(size)};
    void *room = rr_alloc_aligned(transcode_measure_room(rung));
    enum rr_err err = measure_pair(verify, &series, pictures, room, fd, fault);
    memcpy(out, series.planes, sizeof series.planes);
    rr_free(pictures[0]);
    rr_free(pictures[1]);
    rr_free(room);
    return err;
}

/* ---- the whole
 * -------------------------------------------------------------------------------------------------
 */

static enum rr_err judge_candidate(struct transcode_verify *verify, enum rr_exactness exactness,
                                   struct rr_fault *fault)
{
    struct rr_transcode_verdict *out = verify->out;
    const struct transcode_plan *plan = &verify->remake.job.plan;
    struct rr_fault why = {0};
    int packets_fd = -1;
    enum rr_err err = hand_over(verify, &packets_fd, fault);
    if (err == RR_OK) {
        err = transcode_verify_decode(verify, verify->decoded[0], packets_fd, verify->candidate_fd,
                                      &why);
        if (err == RR_ERR_CANCELLED || err == RR_ERR_STATE) {
            err = rr_fail(fault, err, "%s", why.text);
        } else if (err != RR_OK) { /* bytes that kill a worker are as bad as any others */
            transcode_verdict_refuse(out, RR_POT_DECODE, 0, "%.200s", why.text);
            err = RR_OK;
        }
    }
    if (packets_fd >= 0) {
        close(packets_fd);
    }
    err = err != RR_OK ? err : transcode_reference_make(verify, fault);
    if (err != RR_OK || (out->failed & 1u << RR_POT_DECODE) != 0) {
        return err;
    }
    verify->decode->packets = *verify->remake.packets;
    err = transcode_verify_decode(verify, verify->decoded[1], verify->remake.out_fd,
                                  verify->reference_fd, fault);
    if (err != RR_OK) {
        return err;
    }
    check_stream(verify);
    if ((out->failed & (1u << RR_POT_SIZE | 1u << RR_POT_FORMAT | 1u << RR_POT_COUNT)) != 0) {
        return RR_OK; /* nothing that could be measured */
    }
    err = measure(verify, out->candidate, verify->candidate_fd, &why);
    if (err == RR_ERR_DAMAGED) {
        transcode_verdict_refuse(out, RR_POT_DECODE, 0, "%.200s", why.text);
        return RR_OK;
    }
    err = err != RR_OK ? rr_fail(fault, err, "%s", why.text)
                       : measure(verify, out->reference, verify->reference_fd, fault);
    if (err == RR_OK) {
        out->frames = verify->remake.gop->count;
        transcode_verdict_judge(out, exactness, plan->ten_bit != 0 ? 10 : 8);
    }
    return err;
}

static void check_source(struct rr_transcode_verdict *out, const struct rr_pot_leaf *leaf,
                         uint32_t first, uint32_t last, const struct rr_hash32 *digest)
{
    out->source_first = first;
    out->source_last = last;
    out->source_digest = *digest;
    if (first != leaf->source_first || last != leaf->source_last ||
        !rr_hash32_equal(digest, &leaf->source_digest)) {
        transcode_verdict_refuse(out, RR_POT_SOURCE, 0,
                                 "packets %u to %u of the original decode to this GOP; the leaf "
                                 "was made of %u to %u, or of others",
                                 (unsigned)first, (unsigned)last, (unsigned)leaf->source_first,
                                 (unsigned)leaf->source_last);
    }
}

static enum rr_err verify_tolerant(struct transcode_verify *verify, enum rr_exactness exactness,
                                   const struct rr_pot_leaf *leaf, struct rr_fault *fault)
{
    struct transcode_remake *remake = &verify->remake;
    enum rr_err err = transcode_memfd(&remake->frames_fd, "reelrig-pictures", fault);
    err = err != RR_OK ? err : transcode_remake_decode(remake, leaf, fault);
    transcode_worker_stop(&remake->worker); /* has read foreign bytes */
    if (err != RR_OK) {
        return err;
    }
    check_source(verify->out, leaf, remake->gop->first, remake->gop->last, &remake->gop->digest);
    check_packets(verify, leaf);
    if (verify->out->failed != 0) {
        return RR_OK; /* before what costs an encode */
    }
    err = transcode_memfd(&verify->candidate_fd, "reelrig-candidate", fault);
    err = err != RR_OK ? err : transcode_memfd(&verify->reference_fd, "reelrig-reference", fault);
    return err != RR_OK ? err : judge_candidate(verify, exactness, fault);
}

static enum rr_err verify_exact(struct transcode_verify *verify, const struct rr_pot_leaf *leaf,
                                struct rr_fault *fault)
{
    struct rr_transcode_remade made;
    enum rr_err err = transcode_remake_leaf(&verify->remake, &made, leaf, fault);
    if (err != RR_OK) {
        return err;
    }
    struct rr_transcode_verdict *out = verify->out;
    out->output_digest = made.output_digest;
    out->output_bytes = made.output_bytes;
    out->encodes =
        verify->remake.encodes > 0 ? verify->remake.encodes : 1; /* sound is coded once */
    check_source(out, leaf, made.source_first, made.source_last, &made.source_digest);
    if (!rr_hash32_equal(&made.output_digest, &leaf->output_digest) ||
        made.output_bytes != leaf->output_bytes) {
        transcode_verdict_refuse(
            out, RR_POT_DIGEST, 0, "the profile makes %llu bytes; the leaf has %llu, or others",
            (unsigned long long)made.output_bytes, (unsigned long long)leaf->output_bytes);
    }
    return RR_OK;
}

/* A leaf that names no GOP of the job, or a range that does not decode to it, is the maker's
 * fault; a verifier that stops or lacks its worker is not. */
static enum rr_err blame(struct rr_transcode_verdict *out, enum rr_err err, struct rr_fault *fault)
{
    if (err != RR_ERR_NOTFOUND) {
        return err;
    }
    transcode_verdict_refuse(out, RR_POT_SOURCE, 0, "%.200s", fault->text);
    return RR_OK;
}

enum rr_err rr_transcode_verify(struct rr_transcode_verdict *out, int source_fd,
                                const struct rr_transcode_options *options,
                                enum rr_exactness exactness, const struct rr_pot_leaf *leaf,
                                const struct rr_pot_gop *gop, const atomic_bool *cancel,
                                struct rr_fault *fault)
{
    struct rr_transcode_verdict verdict = {0};
    struct rr_fault own = {0};
    struct transcode_verify *verify = rr_alloc(sizeof *verify);
    uint64_t started_us = rr_monotonic_us(rr_clock_system());
    fault = fault != NULL ? fault : &own; /* its text is carried into verdicts */
    *verify = (struct transcode_verify){
        .gop = gop,
        .rung = leaf->rendition,
        .candidate_fd = -1,
        .reference_fd = -1,
        .decode = rr_alloc(sizeof *verify->decode),
        .decoded = {rr_alloc(sizeof *verify->decoded[0]), rr_alloc(sizeof *verify->decoded[1])},
        .out = &verdict};
    enum rr_err err = transcode_remake_open(&verify->remake, source_fd, options, cancel, fault);
    if (err == RR_OK) {
        bool sound = leaf->rendition >= verify->remake.job.plan.rung_count;
        if (exactness == RR_EXACT || sound) {
            err = verify_exact(verify, leaf, fault);
        } else if (gop == NULL) {
            transcode_verdict_refuse(&verdict, RR_POT_BYTES, 0, "the GOP was not shown");
        } else {
            err = verify_tolerant(verify, exactness, leaf, fault);
        }
        err = blame(&verdict, err, fault);
    }
    transcode_remake_close(&verify->remake);
    int fds[2] = {verify->candidate_fd, verify->reference_fd};
    for (unsigned i = 0; i < 2; i++) {
        if (fds[i] >= 0) {
            close(fds[i]);
        }
    }
    rr_free(verify->decode);
    rr_free(verify->decoded[0]);
    rr_free(verify->decoded[1]);
    rr_free(verify);
    if (err == RR_OK) {
        verdict.seconds = (double)(rr_monotonic_us(rr_clock_system()) - started_us) / 1e6;
        *out = verdict;
    }
    return transcode_remake_fault(err, fault);
}

/* ---- the maker's side
 * -------------------------------------------------------------------------------------------------
 */

enum rr_err rr_transcode_gop_read(struct rr_pot_gop *out, const char *job_folder,
                                  const struct rr_pot_leaf *leaves, uint32_t index,
                                  struct rr_fault *fault)
{
    struct transcode_packets *packets = rr_alloc(sizeof *packets);
    struct rr_buf body = {0}, file = {0};
    char name[64], path[RR_PATH_BYTES];
    uint64_t offset = 0, payload = 0;
    uint32_t gop = 0; /* place in the rendition: cells without pictures have no leaf */
    for (uint32_t i = 0; i < index; i++) {
        gop += leaves[i].rendition == leaves[index].rendition ? 1 : 0;
    }
    snprintf(name, sizeof name, TRANSCODE_CODED_RECORD, leaves[index].rendition, (unsigned)gop);
    enum rr_err err = RR_OK;
    if (!transcode_journal_get(&body, job_folder, name, &offset, &payload) || body.len <= 40 ||
        !transcode_decode_message(rr_slice_of(body.ptr, body.len - 40), packets, packets) ||
        packets->count == 0 || payload != packets->bytes) {
        err = rr_fail(fault, RR_ERR_NOTFOUND, "%.200s has no whole %s", job_folder, name);
    }
    err = err != RR_OK ? err : rr_path(path, fault, "%s/%s", job_folder, name);
    err = err != RR_OK ? err : rr_file_read(&file, path, RR_POT_PAYLOAD_MAX, fault);
    if (err == RR_OK && file.len != offset + payload) {
        err =
            rr_fail(fault, RR_ERR_DAMAGED, "%.200s/%s changes while it is read", job_folder, name);
    }
    if (err == RR_OK) {
        struct rr_pot_gop made = {.count = packets->count};
        made.packets = rr_alloc_array(packets->count, sizeof *made.packets);
        for (uint32_t i = 0; i < packets->count; i++) {
            made.packets[i] = (struct rr_pot_packet){.bytes = packets->packets[i].bytes,
                                                     .pts = packets->packets[i].pts,
                                                     .key = packets->packets[i].key != 0};
        }
        if (packets->extradata_bytes > 0) {
            rr_buf_append(&made.extradata, packets->extradata, packets->extradata_bytes);
        }
        rr_buf_append(&made.payload, file.ptr + offset, (size_t)payload);
        *out = made;
    }
    rr_buf_clear(&body);
    rr_buf_clear(&file);
    rr_free(packets);
    return err;
}

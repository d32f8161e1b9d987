/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A spot check: one GOP of one rendition again, out of the original, in memory ([VC 7.3]). */
#include "transcode/transcode_remake.h"
#include <unistd.h>

#define AUDIO_SECONDS (TRANSCODE_DURATION_MAX_S + 600)

enum rr_err transcode_remake_decode(struct transcode_remake *remake, const struct rr_pot_leaf *leaf,
                                    struct rr_fault *fault)
{
    struct transcode_source *ask = rr_alloc(sizeof *ask);
    struct transcode_grant grant = {.rungs = (uint8_t)(1u << leaf->rendition)};
    struct rr_buf message = {0};
    unsigned seconds = transcode_patience(&remake->job.plan, TRANSCODE_FRAMES_MAX);
    ask->plan = remake->job.plan;
    ask->first_cell = leaf->gop;
    ask->first_packet = leaf->source_first;
    ask->one = remake->quick ? TRANSCODE_QUICK : 1;
    ask->work_max = remake->job.options.work_max;
    transcode_encode_message(&message, TRANSCODE_SOURCE, source, ask);
    rr_free(ask);
    enum rr_err err =
        transcode_worker_ask(&remake->worker, &message, &remake->job.source_fd, 1, seconds, fault);
    if (err == RR_OK) {
        transcode_encode_message(&message, TRANSCODE_GRANT, grant, &grant);
        err =
            transcode_worker_ask(&remake->worker, &message, &remake->frames_fd, 1, seconds, fault);
    }
    err = err != RR_OK
              ? err
              : transcode_worker_wait(&remake->worker, TRANSCODE_GOP, remake->job.cancel, fault);
    if (err == RR_OK &&
        (!transcode_decode_message(transcode_worker_body(&remake->worker), gop, remake->gop) ||
         remake->gop->count == 0 || remake->gop->cell != leaf->gop)) {
        err =
            rr_fail(fault, RR_ERR_DAMAGED,
                    "the worker's account of GOP %u does not follow its form", (unsigned)leaf->gop);
    }
    if (err == RR_OK) {
        remake->worker.deadline_us = rr_monotonic_us(rr_clock_system()) + UINT64_C(10000000);
        err = transcode_worker_wait(&remake->worker, TRANSCODE_END, remake->job.cancel, fault);
    }
    return err;
}

enum rr_err transcode_remake_encode(struct transcode_remake *remake, struct transcode_coded *coded,
                                    unsigned rung, uint32_t quality, struct rr_fault *fault)
{
    struct rr_buf message = {0};
    int fds[2] = {remake->frames_fd, remake->out_fd};
    enum rr_err err = RR_OK;
    if (remake->worker.pid == 0 || transcode_codec_threads(&remake->job.plan)) {
        /* not the one that has read foreign bytes */
        transcode_worker_stop(&remake->worker);
        err = transcode_worker_start(&remake->worker, remake->job.program, true, fault);
    }
    if (err != RR_OK) {
        return err;
    }
    transcode_encode_task(remake->encode, &remake->job.plan, rung, remake->gop->pts,
                          remake->gop->count);
    remake->encode->quality = quality;
    if (quality != 0) { /* in place of all that the rung's rate says */
        remake->encode->plan.rungs[rung].rate =
            (struct rr_rung_rate){.crf = (uint16_t)(quality / 100)};
    }
    transcode_encode_message(&message, TRANSCODE_ENCODE, encode, remake->encode);
    remake->encodes++;
    err = transcode_worker_ask(&remake->worker, &message, fds, 2,
                               transcode_patience(&remake->job.plan, remake->gop->count), fault);
    err = err != RR_OK ? err
                       : transcode_worker_wait(&remake->worker, TRANSCODE_PACKETS,
                                               remake->job.cancel, fault);
    if (err == RR_OK && !transcode_decode_message(transcode_worker_body(&remake->worker), packets,
                                                  remake->packets)) {
        err = rr_fail(fault, RR_ERR_DAMAGED, "the encoder's answer does not follow its form");
    }
    err = err != RR_OK ? err : transcode_check_packets(remake->packets, remake->encode, fault);
    return err != RR_OK ? err
                        : transcode_es_digest(coded, remake->packets, remake->out_fd, 0, fault);
}

static enum rr_err make_picture(struct transcode_remake *remake, struct rr_transcode_remade *out,
                                const struct rr_pot_leaf *leaf, struct rr_fault *fault)
{
    struct transcode_coded coded = {0};
    enum rr_err err = transcode_remake_decode(remake, leaf, fault);
    err = err != RR_OK ? err : transcode_remake_encode(remake, &coded, leaf->rendition, 0, fault);
    if (err == RR_OK) {
        *out = (struct rr_transcode_remade){.source_first = remake->gop->first,
                                            .source_last = remake->gop->last,
                                            .source_digest = remake->gop->digest,
                                            .output_digest = coded.digest,
                                            .output_bytes = coded.bytes};
    }
    return err;
}

static bool is_leaf(const struct rr_transcode_remade *made, const struct rr_pot_leaf *leaf)
{
    return made->source_first == leaf->source_first && made->source_last == leaf->source_last &&
           made->output_bytes == leaf->output_bytes &&
           rr_hash32_equal(&made->source_digest, &leaf->source_digest) &&
           rr_hash32_equal(&made->output_digest, &leaf->output_digest);
}

static enum rr_err remake_picture(struct transcode_remake *remake, struct rr_transcode_remade *out,
                                  const struct rr_pot_leaf *leaf, struct rr_fault *fault)
{
    enum rr_err err = transcode_memfd(&remake->frames_fd, "reelrig-pictures", fault);
    if (err == RR_OK && leaf->source_first > 0) {
        remake->quick = true;
        err = make_picture(remake, out, leaf, NULL);
        remake->quick = false;
        if (err == RR_ERR_CANCELLED || (err == RR_OK && is_leaf(out, leaf))) {
            return err == RR_OK ? RR_OK : rr_fail(fault, err, "cancelled");
        }
        transcode_worker_stop(&remake->worker);
        err = transcode_worker_start(&remake->worker, remake->job.program, false, fault);
    }
    return err != RR_OK ? err : make_picture(remake, out, leaf, fault);
}

static enum rr_err remake_sound(struct transcode_remake *remake, struct rr_transcode_remade *out,
                                unsigned track, struct rr_fault *fault)
{
    struct transcode_sound *sound = &remake->job.sounds[track].facts;
    struct transcode_coded coded = {0};
    struct rr_buf message = {0};
    int fds[3] = {remake->job.source_fd, remake->out_fd, -1};
    transcode_track_message(&message, &remake->job.plan, TRANSCODE_AUDIO_RUNG + track);
    enum rr_err err = transcode_memfd(&remake->sizes_fd, "reelrig-sound", fault);
    fds[2] = remake->sizes_fd;
    err = err != RR_OK
              ? err
              : transcode_worker_ask(&remake->worker, &message, fds, 3, AUDIO_SECONDS, fault);
    err = err != RR_OK
              ? err
              : transcode_worker_wait(&remake->worker, TRANSCODE_SOUND, remake->job.cancel, fault);
    if (err == RR_OK &&
        (!transcode_decode_message(transcode_worker_body(&remake->worker), sound, sound) ||
         sound->source_packets == 0)) {
        err = rr_fail(fault, RR_ERR_DAMAGED, "the sound worker's answer does not follow its form");
    }
    err = err != RR_OK ? err : transcode_sound_digest(&coded, sound, remake->out_fd, 0, fault);
    if (err == RR_OK) {
        *out = (struct rr_transcode_remade){.source_last = sound->source_packets - 1,
                                            .source_digest = sound->digest,
                                            .output_digest = coded.digest,
                                            .output_bytes = coded.bytes};
    }
    return err;
}

static enum rr_err remake_text(struct transcode_remake *remake, struct rr_transcode_remade *out,
                               unsigned track, struct rr_fault *fault)
{
    struct transcode_job_text *text = &remake->job.texts[track];
    struct transcode_coded coded = {0};
    struct rr_buf message = {0};
    int fds[2] = {remake->job.source_fd, remake->out_fd};
    transcode_track_message(&message, &remake->job.plan, TRANSCODE_SUBTITLE_RUNG + track);
    enum rr_err err = transcode_worker_ask(&remake->worker, &message, fds, 2, AUDIO_SECONDS, fault);
    err = err != RR_OK
              ? err
              : transcode_worker_wait(&remake->worker, TRANSCODE_CUES, remake->job.cancel, fault);
    err = err != RR_OK ? err
                       : transcode_text_take(text, transcode_worker_body(&remake->worker),
                                             remake->out_fd, fault);
    if (err == RR_OK) {
        uint32_t packets = text->facts.source_packets;
        transcode_cues_digest(&coded, rr_buf_slice(&text->cues));
        *out = (struct rr_transcode_remade){.source_last = packets > 0 ? packets - 1 : 0,
                                            .source_digest = text->facts.digest,
                                            .output_digest = coded.digest,
                                            .output_bytes = coded.bytes};
    }
    return err;
}

enum rr_err transcode_remake_open(struct transcode_remake *remake, int source_fd,
                                  const struct rr_transcode_options *options,
                                  const atomic_bool *cancel, struct rr_fault *fault)
{
    remake->frames_fd = remake->out_fd = remake->sizes_fd = remake->worker.socket = -1;
    remake->gop = rr_alloc(sizeof *remake->gop);
    remake->encode = rr_alloc(sizeof *remake->encode);
    remake->packets = rr_alloc(sizeof *remake->packets);
    enum rr_err err = transcode_prepare(&remake->job, source_fd, options, cancel, fault);
    err = err != RR_OK ? err
                       : transcode_worker_take_over(&remake->worker, &remake->job.reader,
                                                    remake->job.program, fault);
    return err != RR_OK ? err : transcode_memfd(&remake->out_fd, "reelrig-packets", fault);
}

void transcode_remake_close(struct transcode_remake *remake)
{
    int fds[3] = {remake->frames_fd, remake->out_fd, remake->sizes_fd};
    transcode_worker_stop(&remake->worker);
    for (unsigned i = 0; i < 3; i++) {
        if (fds[i] >= 0) {
            close(fds[i]);
        }
    }
    transcode_job_clear(&remake->job);
    rr_free(remake->gop);
    rr_free(remake->encode);
    rr_free(remake->packets);
}

enum rr_err transcode_remake_fault(enum rr_err err, struct rr_fault *fault)
{
    return err == RR_ERR_UNREACHABLE || err == RR_ERR_TIMEOUT
               ? rr_fail(fault, RR_ERR_DAMAGED,
                         "the GOP cannot be made again: the worker died twice or hung")
               : err;
}

enum rr_err transcode_remake_leaf(struct transcode_remake *remake, struct rr_transcode_remade *out,
                                  const struct rr_pot_leaf *leaf, struct rr_fault *fault)
{
    const struct transcode_plan *plan = &remake->job.plan;
    if (leaf->rendition < plan->rung_count) {
        return remake_picture(remake, out, leaf, fault);
    }
    unsigned track = leaf->rendition - plan->rung_count;
    if (leaf->gop == 0 && track < plan->audio_count) {
        return remake_sound(remake, out, track, fault);
    }
    if (leaf->gop == 0 && track < (unsigned)plan->audio_count + plan->subtitle_count) {
        return remake_text(remake, out, track - plan->audio_count, fault);
    }
    return rr_fail(fault, RR_ERR_NOTFOUND, "the job has no rendition %u with GOP %u",
                   leaf->rendition, (unsigned)leaf->gop);
}

enum rr_err rr_transcode_remake(struct rr_transcode_remade *out, int source_fd,
                                const struct rr_transcode_options *options,
                                const struct rr_pot_leaf *leaf, const atomic_bool *cancel,
                                struct rr_fault *fault)
{
    struct transcode_remake *remake = rr_alloc(sizeof *remake);
    enum rr_err err = transcode_remake_open(remake, source_fd, options, cancel, fault);
    err = err != RR_OK ? err : transcode_remake_leaf(remake, out, leaf, fault);
    transcode_remake_close(remake);
    rr_free(remake);
    return transcode_remake_fault(err, fault);
}

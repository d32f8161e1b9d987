/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "transcode/transcode_device.h"
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* The short side as displayed: what a ladder names. */
static uint32_t short_side(const struct rr_transcode_facts *facts)
{
    uint64_t wide = (uint64_t)facts->width * facts->sar_num,
             high = (uint64_t)facts->height * facts->sar_den;
    uint64_t side = wide < high ? wide : high;
    return facts->sar_den > 0 ? (uint32_t)(side / facts->sar_den) : 0;
}

static void explain_rung(struct rr_outline_rung *out, const struct transcode_job *job, unsigned i,
                         bool automatic, uint32_t side)
{
    const struct transcode_plan *plan = &job->plan;
    const struct rr_rung_rate *rate = &out->rate;
    const struct transcode_rung *above = i > 0 ? &plan->rungs[i - 1] : NULL;
    if (automatic && above != NULL && rate->max_kbps > 0 && above->rate.max_kbps > 0) {
        snprintf(out->why, sizeof out->why,
                 "measured: costs %u %% of the rung above; at most %u kbit/s",
                 (unsigned)((uint64_t)rate->max_kbps * 100 / above->rate.max_kbps),
                 (unsigned)rate->max_kbps);
    } else if (automatic && rate->max_kbps > 0) {
        snprintf(out->why, sizeof out->why,
                 "measured: the largest size at which this video shows more; at most %u kbit/s",
                 (unsigned)rate->max_kbps);
    } else if (out->width < RR_RUNG_MIN || job->options.ladder.rung_count == 0 ||
               job->options.ladder.rungs[job->options.ladder.rung_count - 1] > side) {
        snprintf(out->why, sizeof out->why,
                 "the source's own size: it is smaller than every rung of the ladder");
    } else {
        snprintf(out->why, sizeof out->why, "of the ladder; the source has %u lines%s",
                 (unsigned)side, above != NULL ? "; scaled from the rung above" : "");
    }
}

static void fill_rungs(struct rr_transcode_outline *out, const struct transcode_job *job,
                       bool automatic)
{
    const struct transcode_plan *plan = &job->plan;
    uint32_t side = short_side(&job->facts.shown);
    for (unsigned i = 0; i < plan->rung_count; i++) {
        struct rr_outline_rung *to = &out->rungs[out->rung_count++];
        const struct transcode_rung *rung = &plan->rungs[i];
        transcode_rung_name(to->name, plan, i);
        to->width = rung->width;
        to->height = rung->height;
        to->sar_num = rung->sar_num;
        to->sar_den = rung->sar_den;
        to->rate = rung->rate;
        explain_rung(to, job, i, automatic, side);
    }
    for (unsigned i = 0; i < job->options.ladder.rung_count && !automatic; i++) {
        const struct rr_ladder *ladder = &job->options.ladder;
        bool larger = ladder->rungs[i] > side;
        if (larger || transcode_rung_twin(ladder, i, side)) {
            struct rr_outline_rung *to = &out->rungs[out->rung_count++];
            snprintf(to->name, sizeof to->name, "%up", ladder->rungs[i]);
            if (larger) {
                snprintf(to->why, sizeof to->why,
                         "left out: the source has %u lines, and nothing is enlarged",
                         (unsigned)side);
            } else {
                snprintf(to->why, sizeof to->why,
                         "left out: sides are even, and rung %u is made with as many lines",
                         ladder->rungs[i - 1]);
            }
        }
    }
}

static void fill_texts(struct rr_transcode_outline *out, const struct transcode_job *job)
{
    const struct rr_transcode_facts *facts = &job->facts.shown;
    bool mean = false, most = false;
    for (unsigned i = 0; i < job->plan.rung_count; i++) {
        mean |= job->plan.rungs[i].rate.kbps > 0;
        most |= job->plan.rungs[i].rate.max_kbps > 0;
    }
    snprintf(out->rates, sizeof out->rates, "%s",
             mean   ? "mean rates in one pass, each GOP within its limit"
             : most ? "constant quality, each GOP within its limit"
                    : "constant quality: sizes follow the pictures");
    if (facts->exact) {
        snprintf(out->exactness, sizeof out->exactness,
                 "exact: %s decodes to the same pictures everywhere, so any GOP can be made again "
                 "byte for byte",
                 facts->video_codec);
    } else {
        snprintf(out->exactness, sizeof out->exactness,
                 "not exact: decoders of %s may differ, so spot checks can only compare quality",
                 facts->video_codec);
    }
}

enum rr_err rr_transcode_outline(struct rr_transcode_outline *out, int source_fd,
                                 const struct rr_transcode_options *options,
                                 const atomic_bool *cancel, struct rr_fault *fault)
{
    struct transcode_job *job = rr_alloc(sizeof *job);
    struct rr_transcode_outline made = {0};
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    enum rr_err err = transcode_prepare(job, source_fd, options, cancel, fault);
    if (err == RR_OK && options->device != NULL && strcmp(options->device, "auto") != 0) {
        err = transcode_devices_choose(job, fault); /* what the job would refuse */
    }
    if (err == RR_OK) {
        made.facts = job->facts.shown;
        made.gop_ms = job->plan.gop_ms;
        made.gops = job->expected_gops;
        made.workers =
            job->options.workers != 0 ? job->options.workers : (uint32_t)(cores > 0 ? cores : 1);
        if (job->plan.video_stream >= 0) {
            made.ten_bit = job->plan.ten_bit != 0;
            made.tone_map = job->plan.tone.transfer != 0;
            RR_CHECK(rr_transcode_profile(made.profile, job->options.codec, job->options.preset));
            fill_rungs(&made, job, options->ladder.automatic);
            fill_texts(&made, job);
        }
        *out = made;
    }
    transcode_job_clear(job);
    rr_free(job);
    return err;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Devices in the scheduler of a job: workers on them, sessions that wait, devices that are lost. */
#include "transcode/transcode_device.h"
#include "transcode/transcode_scheduler.h"
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static uint64_t now(void)
{
    return rr_monotonic_us(rr_clock_system());
}

/* ---- the choice
 * -------------------------------------------------------------------------------------- */

enum rr_err transcode_devices_choose(struct transcode_job *job, struct rr_fault *fault)
{
    struct rr_transcode_device *found = NULL;
    const char *wanted = job->options.device;
    bool exact = job->options.class == RR_TRANSCODE_EXACT;
    size_t count = 0;
    if (wanted == NULL || strcmp(wanted, "cpu") == 0 || job->plan.video_stream < 0 ||
        (exact && strcmp(wanted, "auto") == 0)) {
        return RR_OK;
    }
    found = rr_alloc_array(RR_TRANSCODE_DEVICES_MAX, sizeof *found);
    bool any = strcmp(wanted, "auto") == 0;
    enum rr_err err =
        transcode_devices_find(found, &count, &job->options, any ? NULL : wanted, fault);
    if (err != RR_OK && any) {
        rr_log_fault(RR_LOG_INFO, "transcode", fault);
        err = RR_OK;
    } else if (err == RR_OK) {
        job->devices = rr_alloc(sizeof *job->devices);
        err = transcode_devices_pick(job->devices, found, count, wanted, fault);
    }
    if (err == RR_OK && job->devices != NULL) {
        transcode_devices_assign(job->devices, &job->plan, &job->facts.shown, exact);
    }
    rr_free(found);
    return err;
}

static int maker_of(const struct transcode_job *job, unsigned rung)
{
    return job->devices != NULL ? job->devices->maker[rung] : TRANSCODE_CPU;
}

static void profile_of(char out[static RR_NAME_MAX + 1], const struct transcode_job *job, int maker)
{
    enum rr_codec codec = (enum rr_codec)job->plan.codec;
    bool named = maker >= 0
                     ? rr_transcode_device_profile(out, job->devices->list[maker].facts.id, codec)
                     : rr_transcode_profile(out, codec, job->plan.preset);
    if (!named) {
        out[0] = 0;
    }
}

void transcode_device_told(const struct transcode_job *job, unsigned rung,
                           struct rr_transcode_rendition *rendition)
{
    int maker = maker_of(job, rung);
    profile_of(rendition->profile, job, maker);
    snprintf(rendition->device, sizeof rendition->device, "%s",
             maker >= 0 ? job->devices->list[maker].facts.id : "cpu");
}

/* ---- renditions
 * -------------------------------------------------------------------------------------- */

static enum rr_err write_maker(const struct transcode_job *job, unsigned rung,
                               struct rr_fault *fault)
{
    char name[64], profile[RR_NAME_MAX + 1];
    snprintf(name, sizeof name, TRANSCODE_MAKER_RECORD, rung);
    profile_of(profile, job, maker_of(job, rung));
    return transcode_journal_put(job->options.job_folder, name,
                                 rr_slice_of(profile, strlen(profile)), -1, 0, NULL, fault);
}

/* Removed before the new maker is written: whatever a kill leaves is of the maker that stands
 * there. */
static void drop_records(const struct transcode_job *job, unsigned rung, uint32_t gops)
{
    char name[64], path[RR_PATH_BYTES];
    for (uint32_t gop = 0; gop < gops; gop++) {
        snprintf(name, sizeof name, TRANSCODE_CODED_RECORD, rung, (unsigned)gop);
        if (rr_path(path, NULL, "%s/%s", job->options.job_folder, name) == RR_OK) {
            unlink(path);
        }
    }
}

/* How many GOPs the journal may have of a rendition. */
static uint32_t records(const struct transcode_job *job)
{
    char name[64], path[RR_PATH_BYTES];
    for (uint32_t gop = 0;; gop++) {
        snprintf(name, sizeof name, TRANSCODE_GOP_RECORD, (unsigned)gop);
        if (rr_path(path, NULL, "%s/%s", job->options.job_folder, name) != RR_OK ||
            access(path, F_OK) != 0) {
            return gop;
        }
    }
}

enum rr_err transcode_devices_settle(struct transcode_job *job, struct rr_fault *fault)
{
    enum rr_err err = RR_OK;
    for (unsigned rung = 0; rung < job->plan.rung_count && err == RR_OK; rung++) {
        struct rr_buf record = {0};
        char name[64], profile[RR_NAME_MAX + 1] = "", has[RR_NAME_MAX + 1];
        uint64_t offset = 0, payload = 0;
        bool kept = false;
        snprintf(name, sizeof name, TRANSCODE_MAKER_RECORD, rung);
        bool there =
            transcode_journal_get(&record, job->options.job_folder, name, &offset, &payload);
        if (there && record.len <= RR_NAME_MAX && record.len > 0) {
            memcpy(profile, record.ptr, record.len);
            profile[record.len] = 0;
        }
        rr_buf_clear(&record);
        profile_of(has, job, maker_of(job, rung));
        kept = strcmp(has, profile) == 0;
        int last = job->devices != NULL ? (int)job->devices->count - 1 : TRANSCODE_CPU;
        for (int maker = TRANSCODE_CPU; !kept && maker <= last; maker++) {
            profile_of(has, job, maker);
            if (strcmp(has, profile) == 0 && job->devices != NULL) {
                job->devices->maker[rung] = maker; /* what was begun is ended by the same */
                kept = true;
            }
        }
        if (!kept) {
            if (there) {
                drop_records(job, rung, records(job));
            }
            err = write_maker(job, rung, fault);
        }
    }
    return err;
}

/* All of it anew by `to`; pictures that are in memory are used again. */
static enum rr_err remake(struct transcode_scheduler *plan, unsigned rung, int to,
                          struct rr_fault *fault)
{
    struct transcode_job *job = plan->job;
    for (unsigned i = 0; i < plan->encoder_count; i++) {
        if (plan->encoders[i].gop != TRANSCODE_NO_TASK && plan->encoders[i].rung == rung) {
            transcode_worker_stop(&plan->encoders[i].worker);
            plan->encoders[i].gop = TRANSCODE_NO_TASK;
        }
    }
    drop_records(job, rung, job->gop_count);
    for (uint32_t gop = 0; gop < job->gop_count; gop++) {
        job->gops[gop].coded[rung] = (struct transcode_coded){0};
    }
    rr_buf_clear(&job->extradata[rung]);
    job->frames_done[rung] = 0;
    job->devices->maker[rung] = to;
    return write_maker(job, rung, fault);
}

static bool starved(const struct transcode_scheduler *plan)
{
    const struct transcode_job *job = plan->job;
    uint32_t end = plan->source_on ? plan->next_gop : job->gop_count;
    for (uint32_t gop = 0; gop < end && gop < job->gop_count; gop++) {
        for (unsigned rung = 0; rung < job->plan.rung_count; rung++) {
            if (!job->gops[gop].coded[rung].done && job->gops[gop].frames[rung] < 0) {
                return true;
            }
        }
    }
    return false;
}

/* The source begins again where pictures are missing. */
static enum rr_err refill(struct transcode_scheduler *plan, struct rr_fault *fault)
{
    if (!starved(plan)) {
        return RR_OK;
    }
    transcode_source_stop(plan);
    plan->job->source_done = false;
    return transcode_source_start(plan, transcode_job_missing(plan->job), fault);
}

/* Gives a rendition of `from` to another; GOPs stay when the profile is the same. */
static enum rr_err move(struct transcode_scheduler *plan, unsigned rung, int to,
                        struct rr_fault *fault)
{
    struct transcode_job *job = plan->job;
    char before[RR_NAME_MAX + 1], after[RR_NAME_MAX + 1], name[RR_NAME_MAX + 1];
    profile_of(before, job, job->devices->maker[rung]);
    profile_of(after, job, to);
    transcode_rung_name(name, &job->plan, rung);
    rr_log(RR_LOG_WARN, "transcode", "%s goes from %s to %s%s", name,
           job->devices->list[job->devices->maker[rung]].facts.id,
           to >= 0 ? job->devices->list[to].facts.id : "the CPU",
           strcmp(before, after) == 0 ? "" : " and is made again whole");
    if (strcmp(before, after) == 0) {
        job->devices->maker[rung] = to;
        return RR_OK;
    }
    return remake(plan, rung, to, fault);
}

static enum rr_err leave(struct transcode_scheduler *plan, int device, struct rr_fault *fault)
{
    struct transcode_devices *devices = plan->job->devices;
    enum rr_err err = RR_OK;
    for (unsigned rung = 0; rung < plan->job->plan.rung_count && err == RR_OK; rung++) {
        if (devices->maker[rung] == device) {
            err =
                move(plan, rung, transcode_device_other(devices, &plan->job->plan, device), fault);
        }
    }
    return err;
}

/* ---- encoders
 * ---------------------------------------------------------------------------------------- */

unsigned transcode_device_busy(const struct transcode_scheduler *plan, int device)
{
    unsigned busy = 0;
    for (unsigned i = 0; i < plan->encoder_count; i++) {
        busy += plan->encoders[i].gop != TRANSCODE_NO_TASK && plan->encoders[i].device == device;
    }
    if (plan->job->devices != NULL && plan->job->devices->source == device &&
        plan->granted != TRANSCODE_NO_TASK) {
        busy += (unsigned)__builtin_popcount(plan->granted_coded);
    }
    return busy;
}

int transcode_device_maker(const struct transcode_scheduler *plan, unsigned rung)
{
    return maker_of(plan->job, rung);
}

bool transcode_device_free(const struct transcode_scheduler *plan, unsigned rung)
{
    int device = maker_of(plan->job, rung);
    return device < 0 || transcode_device_may(&plan->job->devices->list[device],
                                              transcode_device_busy(plan, device), now());
}

enum rr_err transcode_device_encoder(struct transcode_scheduler *plan,
                                     struct transcode_encoder *encoder, int device,
                                     struct rr_fault *fault)
{
    const struct transcode_job *job = plan->job;
    encoder->device = device;
    return device < 0 ? transcode_worker_start(&encoder->worker, job->program,
                                               transcode_codec_threads(&job->plan), fault)
                      : transcode_device_worker(&encoder->worker, job->program,
                                                job->devices->list[device].facts.id, false, fault);
}

/* The last rendition of a device, which is the smallest, for the CPU. */
static enum rr_err unload(struct transcode_scheduler *plan, int device, struct rr_fault *fault)
{
    struct transcode_devices *devices = plan->job->devices;
    for (unsigned rung = plan->job->plan.rung_count; rung-- > 0;) {
        if (devices->maker[rung] == device) {
            enum rr_err err = move(plan, rung, TRANSCODE_CPU, fault);
            return err != RR_OK ? err : refill(plan, fault);
        }
    }
    return RR_OK;
}

static enum rr_err refused(struct transcode_scheduler *plan, int device, unsigned busy,
                           struct rr_fault *fault)
{
    struct transcode_device_state *state = &plan->job->devices->list[device];
    transcode_device_refused(state, busy, now());
    rr_log(RR_LOG_INFO, "transcode", "%s gives %u encoder sessions now", state->facts.id, busy);
    bool tired = state->none_us != 0 && now() - state->none_us > TRANSCODE_SESSION_WAIT_US;
    return plan->job->options.policy == RR_TRANSCODE_CPU || tired ? unload(plan, device, fault)
                                                                  : RR_OK;
}

enum rr_err transcode_device_strike(struct transcode_scheduler *plan, int device,
                                    struct rr_fault *fault)
{
    struct transcode_devices *devices = plan->job->devices;
    struct transcode_device_state *state = &devices->list[device];
    rr_log_fault(RR_LOG_WARN, "transcode", fault);
    if (state->lost || ++state->strikes < TRANSCODE_STRIKES) {
        return RR_OK;
    }
    state->lost = true;
    rr_log(RR_LOG_WARN, "transcode", "%s is given up for this job", state->facts.id);
    enum rr_err err = leave(plan, device, fault);
    if (err == RR_OK && devices->source == device) {
        devices->source = TRANSCODE_CPU;
        if (plan->source_on) {
            uint32_t from = plan->next_gop;
            transcode_source_stop(plan);
            err = transcode_source_start(plan, from, fault);
        }
    }
    return err != RR_OK ? err : refill(plan, fault);
}

enum rr_err transcode_device_encoder_failed(struct transcode_scheduler *plan,
                                            struct transcode_encoder *encoder, enum rr_err err,
                                            struct rr_fault *fault)
{
    int device = encoder->device;
    transcode_worker_stop(&encoder->worker);
    encoder->gop = TRANSCODE_NO_TASK;
    return err == RR_ERR_BUSY ? refused(plan, device, transcode_device_busy(plan, device), fault)
                              : transcode_device_strike(plan, device, fault);
}

void transcode_device_well(struct transcode_scheduler *plan, int device)
{
    if (device >= 0) {
        transcode_device_gave(&plan->job->devices->list[device],
                              transcode_device_busy(plan, device));
    }
}

enum rr_err transcode_device_differs(struct transcode_scheduler *plan, unsigned rung,
                                     struct rr_fault *fault)
{
    struct transcode_devices *devices = plan->job->devices;
    int to = devices->dry[rung] ? TRANSCODE_CPU : devices->maker[rung];
    devices->dry[rung] = true;
    rr_log(RR_LOG_WARN, "transcode",
           "parameter sets of rung %u differ between devices; it is made again whole", rung);
    enum rr_err err = remake(plan, rung, to, fault);
    return err != RR_OK ? err : refill(plan, fault);
}

/* ---- source
 * ------------------------------------------------------------------------------------------ */

enum rr_err transcode_device_source(struct transcode_scheduler *plan, struct rr_fault *fault)
{
    struct transcode_job *job = plan->job;
    bool exact = job->options.class == RR_TRANSCODE_EXACT;
    if (job->devices != NULL && job->devices->source >= 0) {
        const struct transcode_device_state *state = &job->devices->list[job->devices->source];
        enum rr_err err =
            transcode_device_worker(&plan->source, job->program, state->facts.id, exact, fault);
        if (err == RR_OK) {
            return RR_OK;
        }
        rr_log_fault(RR_LOG_WARN, "transcode", fault);
        job->devices->source = TRANSCODE_CPU;
    }
    return transcode_worker_take_over(&plan->source, &job->reader, job->program, fault);
}

/* Rungs that the source's device encodes without their pictures leaving it, the largest first, as
 * many as it has sessions. */
uint8_t transcode_device_chain(const struct transcode_scheduler *plan, uint8_t wanted)
{
    const struct transcode_devices *devices = plan->job->devices;
    uint8_t coded = 0;
    if (devices == NULL || devices->source < 0 || plan->job->options.class == RR_TRANSCODE_EXACT) {
        return 0;
    }
    const struct transcode_device_state *state = &devices->list[devices->source];
    unsigned busy = transcode_device_busy(plan, devices->source);
    for (unsigned rung = 0; rung < plan->job->plan.rung_count && state->facts.scales; rung++) {
        if ((wanted >> rung & 1) != 0 && devices->maker[rung] == devices->source &&
            transcode_device_may(state, busy, now())) {
            coded |= (uint8_t)(1u << rung);
            busy++;
        }
    }
    return coded;
}

/* Told after a GOP: what the chain was asked to encode and what it found sessions for. */
enum rr_err transcode_device_chained(struct transcode_scheduler *plan, uint8_t asked, uint8_t coded,
                                     struct rr_fault *fault)
{
    int device = plan->job->devices != NULL ? plan->job->devices->source : TRANSCODE_CPU;
    if (device < 0 || asked == coded) {
        return RR_OK;
    }
    return refused(plan, device,
                   transcode_device_busy(plan, device) + (unsigned)__builtin_popcount(coded),
                   fault);
}

bool transcode_device_source_failed(struct transcode_scheduler *plan, enum rr_err err,
                                    struct rr_fault *fault)
{
    struct transcode_devices *devices = plan->job->devices;
    if (devices == NULL || devices->source < 0) {
        return false;
    }
    rr_log_fault(RR_LOG_WARN, "transcode", fault);
    int device = devices->source;
    /* What the device says itself: this input is not for it; its encoders may be well. */
    bool said = err != RR_ERR_UNREACHABLE && err != RR_ERR_TIMEOUT;
    if (said || ++devices->list[device].strikes >= TRANSCODE_STRIKES) {
        devices->source = TRANSCODE_CPU;
    }
    return true;
}

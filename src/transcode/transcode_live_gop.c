/* SPDX-License-Identifier: GPL-2.0-or-later */
/* GOPs in flight: the source fills them picture by picture, one encoder a rung follows it, a fresh
 * codec a GOP. What does not keep up is dropped by a rule: the costliest rung first, then whole
 * GOPs, always at a GOP's border and always told. */
#include "transcode/transcode_live_private.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define MEMORY_BYTES     (UINT64_C(1) << 30) /* of raw pictures, beyond two GOPs */
#define SPOOL_BEHIND     (INGEST_SPOOL_BYTES / 4)
#define LAG_BEHIND_GOPS  2 /* of input that waits to be decoded, and grows */
#define FINE_WAIT_US     (UINT64_C(30) * 1000000)
#define FINE_WAIT_MAX_US (UINT64_C(600) * 1000000)
#define PICTURE_SECONDS  60 /* for one picture through one encoder: a hung one is ended */

struct live_gop *live_gop_at(struct live *live, uint64_t number)
{
    return &live->gops[number % LIVE_GOPS];
}

void live_say(struct live *live, enum rr_live_event event, const char *format, ...)
{
    char text[512];
    va_list list;
    va_start(list, format);
    vsnprintf(text, sizeof text, format, list);
    va_end(list);
    live->sink->said(live->sink->ctx, event, text);
}

/* ---- what keeps up -------------------------------------------------------------------- */

/* What waits in the spool, as time by the bytes that a second took so far. More than before, and
 * enough: the first look leaves some that a machine in step soon works off. */
static bool lags(struct live *live)
{
    uint64_t media_us =
        (uint64_t)transcode_rescale(live->out_end - live->base, 1000000, live->plan.timescale);
    uint64_t read = live->input.read[0] > 0 ? live->input.read[0] : 1;
    uint64_t waiting = live_input_waiting(&live->input);
    uint64_t lag_us = waiting < UINT32_MAX ? waiting * (media_us / 1000) / read * 1000 : UINT64_MAX;
    bool grows = lag_us > live->lag_us;
    live->lag_us = lag_us;
    return grows && lag_us > LAG_BEHIND_GOPS * live->plan.gop_ms * UINT64_C(1000);
}

static bool behind(struct live *live)
{
    for (unsigned i = 0; i < live->plan.rung_count; i++) {
        if (live->rungs[i].active && live->next - live->rungs[i].gop >= LIVE_BEHIND_GOPS) {
            return true;
        }
    }
    return live_input_waiting(&live->input) > SPOOL_BEHIND || lags(live);
}

static void drop_rung(struct live *live, uint64_t now_us)
{
    char name[RR_NAME_MAX + 1];
    unsigned rung = 0;
    while (!live->rungs[rung].active) {
        rung++; /* rungs fall in size */
    }
    live->fine_us = now_us;
    live->rungs[rung].active = false;
    live->fine_wait_us =
        live->fine_wait_us * 2 < FINE_WAIT_MAX_US ? live->fine_wait_us * 2 : FINE_WAIT_MAX_US;
    transcode_rung_name(name, &live->plan, rung);
    live_say(live, RR_LIVE_BEHIND, "this machine does not keep up: %s is left out from now on",
             name);
}

static void restore_rung(struct live *live, uint64_t now_us)
{
    char name[RR_NAME_MAX + 1];
    if (now_us - live->fine_us < live->fine_wait_us) {
        return;
    }
    live->fine_us = now_us;
    for (unsigned i = live->plan.rung_count; i-- > 0;) {
        if (!live->rungs[i].active) {
            live->rungs[i].active = true;
            transcode_rung_name(name, &live->plan, i);
            live_say(live, RR_LIVE_RESTORED, "%s is made again", name);
            return;
        }
    }
}

static unsigned active_rungs(const struct live *live)
{
    unsigned count = 0;
    for (unsigned i = 0; i < live->plan.rung_count; i++) {
        count += live->rungs[i].active ? 1 : 0;
    }
    return count;
}

/* The rungs of the next GOP. A file waits for its encoders, a publisher does not wait for anyone.
 */
static uint8_t choose_rungs(struct live *live)
{
    uint64_t now_us = rr_monotonic_us(rr_clock_system());
    uint8_t mask = 0;
    bool skips = false;
    if (live->input.network) {
        bool slow = behind(live);
        if (!slow) {
            restore_rung(live, now_us);
        } else if (active_rungs(live) == 1) {
            skips = true; /* the last rung leaves a GOP out rather than fall behind further */
            live->fine_us = now_us;
        } else {
            drop_rung(live, now_us);
        }
    }
    for (unsigned i = 0; i < live->plan.rung_count; i++) {
        bool late =
            live->input.network && live->next - live->rungs[i].gop + 1 >= (uint64_t)live->window;
        mask |= live->rungs[i].active && !late && !skips ? (uint8_t)(1u << i) : 0;
    }
    if (mask == 0) {
        live_say(live, RR_LIVE_BEHIND, "this machine does not keep up: GOP %llu is left out",
                 (unsigned long long)live->next);
    }
    return mask;
}

/* ---- leave for the source ------------------------------------------------------------- */

static bool in_step(const struct live *live)
{
    if (live->input.network || live->given->catch_up || live->session_us == 0) {
        return true;
    }
    uint64_t passed_us = rr_monotonic_us(rr_clock_system()) - live->session_us;
    int64_t media_us = transcode_rescale(live->out_end - live->base, 1000000, live->plan.timescale);
    return media_us <= (int64_t)passed_us + 1000;
}

static unsigned window_of(const struct transcode_plan *plan)
{
    uint64_t frames = (uint64_t)plan->fps_num * plan->gop_ms / ((uint64_t)plan->fps_den * 1000) + 1;
    uint64_t bytes = 1;
    for (unsigned i = 0; i < plan->rung_count; i++) {
        bytes += transcode_frame_bytes(plan, &plan->rungs[i]) * frames;
    }
    uint64_t fit = MEMORY_BYTES / bytes + 2;
    return fit < LIVE_BEHIND_GOPS + 1 ? LIVE_BEHIND_GOPS + 1
           : fit > LIVE_GOPS          ? LIVE_GOPS
                                      : (unsigned)fit;
}

enum rr_err live_grant(struct live *live, struct rr_fault *fault)
{
    struct transcode_grant grant = {0};
    struct rr_buf message = {0};
    struct live_gop *gop = live_gop_at(live, live->next);
    int fds[RR_RUNGS_MAX];
    size_t count = 0;
    if (live->window == 0) {
        live->window = window_of(&live->plan);
    }
    /* Leave is given when the GOP before is whole, so that pictures never go to two. */
    if (!live->source_on || live->granted || live->next - live->first >= live->window ||
        (live->next > live->first && !live_gop_at(live, live->next - 1)->closed) ||
        !in_step(live)) {
        return RR_OK;
    }
    gop->open = gop->closed = false;
    gop->count = 0;
    grant.rungs = gop->rungs = choose_rungs(live);
    for (unsigned i = 0; i < live->plan.rung_count; i++) {
        if ((grant.rungs >> i & 1) == 0) {
            continue;
        }
        enum rr_err err = gop->frames[i] < 0
                              ? transcode_memfd(&gop->frames[i], "reelrig-pictures", fault)
                              : RR_OK;
        if (err != RR_OK) {
            return err;
        }
        fds[count++] = gop->frames[i];
    }
    live->granted = true;
    transcode_encode_message(&message, TRANSCODE_GRANT, grant, &grant);
    enum rr_err err = transcode_worker_ask(&live->source, &message, fds, count, 1, fault);
    live->source.deadline_us = 0; /* it waits for its input, which may take long */
    return err;
}

/* ---- what the source tells ------------------------------------------------------------ */

static enum rr_err wrong(struct rr_fault *fault)
{
    return rr_fail(fault, RR_ERR_DAMAGED, "the worker's account of its pictures does not add up");
}

static int64_t out_time(const struct live *live, int64_t pts)
{
    return live->base + (pts - live->plan.origin) * (int64_t)live->plan.ticks;
}

/* The first picture of a GOP. */
static void open_gop(struct live *live, struct live_gop *gop, int64_t pts)
{
    uint64_t now_us = rr_monotonic_us(rr_clock_system());
    gop->open = true;
    gop->cell = transcode_cell(&live->plan, pts);
    gop->jumped = live->jumped;
    live->jumped = false;
    memcpy(gop->before, live->before, sizeof gop->before);
    if (live->session_us == 0) {
        live->session_us = now_us;
        live->session_ms = rr_wall_ms(rr_clock_system());
    }
    int64_t since = out_time(live, pts) - live->base;
    gop->program_ms =
        live->session_ms + (uint64_t)transcode_rescale(since, 1000, live->plan.timescale);
    live->granted = false;
    live->next++;
}

enum rr_err live_take_picture(struct live *live, struct rr_fault *fault)
{
    struct transcode_picture picture;
    if (!transcode_decode_message(transcode_worker_body(&live->source), picture, &picture)) {
        return wrong(fault);
    }
    bool first = live->granted;
    if (!first && live->next == live->first) {
        return wrong(fault);
    }
    struct live_gop *gop = live_gop_at(live, first ? live->next : live->next - 1);
    int64_t time = out_time(live, picture.pts);
    if (gop->closed || picture.index != gop->count || gop->count >= TRANSCODE_FRAMES_MAX ||
        time < live->base || time > INT64_MAX / 4 ||
        (first ? time < live->out_end - live->plan.timescale
               : time <= gop->times[gop->count - 1])) {
        return wrong(fault);
    }
    if (first) {
        open_gop(live, gop, picture.pts);
    }
    gop->pts[gop->count] = picture.pts;
    gop->times[gop->count++] = time;
    return RR_OK;
}

enum rr_err live_take_gop(struct live *live, struct rr_fault *fault)
{
    const struct transcode_gop *told = live->told;
    struct live_gop *gop = live_gop_at(live, live->next - 1);
    if (!transcode_decode_message(transcode_worker_body(&live->source), gop, live->told) ||
        live->next == live->first || !gop->open || gop->closed || told->count != gop->count ||
        told->cell != gop->cell || told->end <= told->pts[told->count - 1] ||
        memcmp(told->pts, gop->pts, sizeof *gop->pts * gop->count) != 0) {
        return wrong(fault);
    }
    gop->closed = true;
    gop->end = out_time(live, told->end);
    gop->read = live->input.read[0];
    gop->first = told->first;
    gop->last = told->last;
    gop->digest = told->digest;
    live->out_end = gop->end;
    for (uint32_t i = 0; i < LIVE_REORDER_MAX; i++) {
        live->before[i] =
            i < gop->count ? gop->times[gop->count - 1 - i] : gop->before[i - gop->count];
    }
    return RR_OK;
}

/* ---- encoders ------------------------------------------------------------------------- */

static enum rr_err begin(struct live *live, unsigned rung, struct rr_fault *fault)
{
    struct live_rung *r = &live->rungs[rung];
    struct live_gop *gop = live_gop_at(live, r->gop);
    struct rr_buf message = {0};
    enum rr_err err = RR_OK;
    if (!r->on) {
        err = transcode_worker_start(&r->worker, live->program,
                                     transcode_codec_threads(&live->plan), fault);
        r->on = err == RR_OK;
    }
    if (err == RR_OK && r->out_fd < 0) {
        err = transcode_memfd(&r->out_fd, "reelrig-packets", fault);
    }
    if (err != RR_OK) {
        return err;
    }
    int fds[2] = {gop->frames[rung], r->out_fd};
    *live->task = (struct transcode_encode){.plan = live->plan, .rung = (uint8_t)rung};
    transcode_encode_message(&message, TRANSCODE_ENCODE, encode, live->task);
    r->busy = true;
    r->ended = false;
    r->sent = r->waiting = r->part_first = 0;
    r->part_offset = 0;
    r->packets->count = 0;
    r->packets->bytes = 0;
    return transcode_worker_ask(&r->worker, &message, fds, 2, PICTURE_SECONDS, fault);
}

static enum rr_err send_pictures(struct live *live, struct live_rung *r, struct rr_fault *fault)
{
    struct live_gop *gop = live_gop_at(live, r->gop);
    enum rr_err err = RR_OK;
    while (err == RR_OK && !r->ended && r->waiting < LIVE_AHEAD) {
        struct transcode_picture picture = {.index = r->sent};
        struct rr_buf message = {0};
        if (r->sent < gop->count) {
            picture.pts = gop->times[r->sent] - gop->times[0];
            r->sent++;
        } else if (gop->closed) {
            picture.last = 1;
            r->ended = true;
        } else {
            return RR_OK;
        }
        r->waiting++;
        transcode_encode_message(&message, TRANSCODE_PICTURE, picture, &picture);
        err = transcode_worker_ask(&r->worker, &message, NULL, 0, PICTURE_SECONDS, fault);
    }
    return err;
}

/* What this rung made of its GOP is lost; the others do not care. */
static enum rr_err lose(struct live *live, unsigned rung, enum rr_err err, struct rr_fault *fault)
{
    struct live_rung *r = &live->rungs[rung];
    char name[RR_NAME_MAX + 1];
    transcode_rung_name(name, &live->plan, rung);
    if (err == RR_ERR_USAGE || err == RR_ERR_STATE || err == RR_ERR_UNSUPPORTED) {
        return err; /* would be so again */
    }
    live_say(live, RR_LIVE_FAULT, "GOP %llu of %s is lost: %.300s", (unsigned long long)r->gop,
             name, fault->text);
    transcode_worker_stop(&r->worker);
    r->on = r->busy = false;
    live_gop_at(live, r->gop)->rungs &= (uint8_t) ~(1u << rung);
    return RR_OK;
}

enum rr_err live_pump(struct live *live, unsigned rung, struct rr_fault *fault)
{
    struct live_rung *r = &live->rungs[rung];
    for (;;) {
        if (r->gop >= live->next) {
            return RR_OK;
        }
        struct live_gop *gop = live_gop_at(live, r->gop);
        if ((gop->rungs >> rung & 1) == 0) {
            if (!gop->closed) {
                return RR_OK;
            }
            live_close_segment(live, rung, true);
            r->gop++;
            continue;
        }
        enum rr_err err = r->busy ? RR_OK : begin(live, rung, fault);
        err = err != RR_OK ? err : send_pictures(live, r, fault);
        return err != RR_OK ? lose(live, rung, err, fault) : RR_OK;
    }
}

static enum rr_err take_packets(struct live *live, struct live_rung *r, struct rr_fault *fault)
{
    const struct transcode_packets *more = live->packets;
    struct transcode_packets *all = r->packets;
    uint64_t bytes = all->bytes;
    if (all->count + more->count > live_gop_at(live, r->gop)->count) {
        return wrong(fault);
    }
    for (uint32_t i = 0; i < more->count; i++) {
        all->packets[all->count++] = more->packets[i];
        bytes += more->packets[i].bytes;
    }
    all->bytes = bytes;
    if (r->mux.extradata.len == 0 && more->extradata_bytes > 0) {
        rr_buf_append(&r->mux.extradata, more->extradata, more->extradata_bytes);
    }
    return bytes == more->bytes ? RR_OK : wrong(fault);
}

/* The whole GOP: the invariants of a job hold for it too. */
static enum rr_err finish(struct live *live, unsigned rung, struct rr_fault *fault)
{
    struct live_rung *r = &live->rungs[rung];
    struct live_gop *gop = live_gop_at(live, r->gop);
    const struct transcode_packets *whole = live->packets;
    transcode_encode_task(live->task, &live->plan, rung, gop->pts, gop->count);
    enum rr_err err = transcode_check_packets(whole, live->task, fault);
    if (err == RR_OK &&
        (whole->count != r->packets->count || whole->bytes != r->packets->bytes ||
         whole->extradata_bytes != r->mux.extradata.len ||
         (whole->extradata_bytes > 0 &&
          memcmp(whole->extradata, r->mux.extradata.ptr, whole->extradata_bytes) != 0))) {
        err = rr_fail(fault, RR_ERR_DAMAGED,
                      "the parameter sets or packets differ from what was told before");
    }
    err = err != RR_OK ? err : live_pack(live, rung, true, fault);
    if (err == RR_OK) {
        live_close_segment(live, rung, false);
        r->busy = false;
        r->gop++;
    }
    return err;
}

enum rr_err live_take_coded(struct live *live, unsigned rung, struct rr_fault *fault)
{
    struct live_rung *r = &live->rungs[rung];
    uint8_t kind = 0;
    enum rr_err err = transcode_worker_take(&r->worker, &kind, fault);
    if (err == RR_OK && (!r->busy || !transcode_decode_message(transcode_worker_body(&r->worker),
                                                               packets, live->packets))) {
        err = wrong(fault);
    }
    if (err == RR_OK && kind == TRANSCODE_CODED && r->waiting > 0) {
        r->waiting--;
        err = take_packets(live, r, fault);
        err = err != RR_OK ? err : live_pack(live, rung, false, fault);
    } else if (err == RR_OK && kind == TRANSCODE_PACKETS && r->ended && r->waiting == 0) {
        err = finish(live, rung, fault);
    } else if (err == RR_OK) {
        err = wrong(fault);
    }
    return err != RR_OK ? lose(live, rung, err, fault) : RR_OK;
}

void live_recycle(struct live *live)
{
    while (live->first < live->next && live_gop_at(live, live->first)->closed) {
        for (unsigned i = 0; i < live->plan.rung_count; i++) {
            if (live->rungs[i].gop == live->first) {
                return;
            }
        }
        if (live->sound.wanted && live->sound.gop == live->first) {
            return;
        }
        live->first++;
    }
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a live ladder holds, and who waits for more of it. One lock; nothing under it blocks. */
#include "serve/serve_live_private.h"
#include "serve/serve_reply.h"
#include <string.h>

#define PARTS_KEPT    4     /* segments back whose parts are still there and shown */
#define AFTER_KEPT    6     /* segments that are kept after they went out of the playlist */
#define WAIT_FIRST_MS 20000 /* for the first segment of all */

/* ---- life ----------------------------------------------------------------------------- */

struct rr_serve_live *rr_serve_live_new(const struct rr_serve_live_options *options)
{
    struct rr_serve_live *live = rr_alloc(sizeof(*live));
    live->window = options->window < 3 ? 3 : options->window > 1000 ? 1000 : options->window;
    live->all = options->all;
    live->gop_ms = options->gop_ms;
    live->folder = options->folder != NULL ? rr_strdup(options->folder) : NULL;
    RR_CHECK(pthread_mutex_init(&live->lock, NULL) == 0);
    return live;
}

static void drop_parts(struct live_segment *segment)
{
    for (uint32_t i = 0; i < segment->part_count; i++) {
        serve_blob_unref(segment->parts[i].blob);
        segment->parts[i].blob = NULL;
    }
    segment->parts_shown = false;
}

static void clear_segment(struct live_segment *segment)
{
    drop_parts(segment);
    rr_free(segment->parts);
    serve_blob_unref(segment->bytes);
    *segment = (struct live_segment){0};
}

void rr_serve_live_free(struct rr_serve_live *live)
{
    if (live == NULL) {
        return;
    }
    for (uint32_t i = 0; i < live->count; i++) {
        struct live_rendition *r = &live->renditions[i];
        for (uint32_t j = 0; j < r->count; j++) {
            clear_segment(&r->segments[j]);
        }
        rr_free(r->segments);
        serve_blob_unref(r->held.blob);
        serve_blob_unref(r->init);
        serve_blob_unref(r->text);
    }
    pthread_mutex_destroy(&live->lock);
    rr_free(live->folder);
    rr_free(live);
}

/* ---- waiting -------------------------------------------------------------------------- */

/* All look again whether what they wait for is there; each asks few questions. */
static void wake_all(struct rr_serve_live *live)
{
    struct serve_request *request = live->waiting;
    live->waiting = NULL;
    while (request != NULL) {
        struct serve_request *next = request->next;
        serve_request_wake(request);
        request = next;
    }
}

static void wake_ready(struct rr_serve_live *live)
{
    struct serve_request **at = &live->waiting;
    while (*at != NULL) {
        struct serve_request *request = *at;
        if (live->stopped || serve_live_ready(live, &request->live)) {
            *at = request->next;
            serve_request_wake(request);
        } else {
            at = &request->next;
        }
    }
}

/* Also says that playlists are old. */
static void changed(struct rr_serve_live *live)
{
    live->version++;
    wake_ready(live);
}

void rr_serve_live_tick(struct rr_serve_live *live)
{
    uint64_t now_ms = rr_monotonic_us(rr_clock_system()) / 1000;
    pthread_mutex_lock(&live->lock);
    struct serve_request **at = &live->waiting;
    while (*at != NULL) {
        struct serve_request *request = *at;
        if (now_ms >= request->live.deadline_ms) {
            *at = request->next;
            request->live.late = true;
            serve_request_wake(request);
        } else {
            at = &request->next;
        }
    }
    pthread_mutex_unlock(&live->lock);
}

void serve_live_stop(struct rr_serve_live *live)
{
    pthread_mutex_lock(&live->lock);
    live->stopped = true;
    wake_all(live);
    pthread_mutex_unlock(&live->lock);
}

static bool has_part(const struct live_rendition *r, uint64_t number, uint64_t part)
{
    const struct live_segment *segment = serve_live_segment(r, number);
    if (number >= r->next || segment == NULL) {
        return number < r->next; /* long gone counts as had */
    }
    return part < segment->part_count;
}

bool serve_live_ready(const struct rr_serve_live *live, const struct serve_live_ask *ask)
{
    if (ask->kind == SERVE_LIVE_MASTER) {
        return serve_live_begun(live);
    }
    const struct live_rendition *r = &live->renditions[ask->rendition];
    const struct live_segment *segment = serve_live_segment(r, ask->segment);
    bool whole = ask->segment < r->next && (segment == NULL || segment->whole);
    switch (ask->kind) {
    case SERVE_LIVE_INIT:
        return r->init != NULL || live->ended;
    case SERVE_LIVE_SEGMENT:
        return whole || live->ended;
    case SERVE_LIVE_PART:
        return whole || live->ended || has_part(r, ask->segment, ask->part);
    case SERVE_LIVE_PLAYLIST:
        if (live->ended || !ask->blocks) {
            return true;
        }
        if (!ask->with_part) {
            return whole;
        }
        /* A part after the last one of a segment is the first of the next. */
        return has_part(r, ask->segment, ask->part) || (whole && has_part(r, ask->segment + 1, 0));
    case SERVE_LIVE_MASTER:
        break;
    }
    return true;
}

bool serve_live_wait(struct rr_serve_live *live, struct serve_request *request)
{
    uint64_t wait_ms = UINT64_C(3) * live->target_s * 1000;
    request->live.deadline_ms =
        rr_monotonic_us(rr_clock_system()) / 1000 + (wait_ms > 0 ? wait_ms : WAIT_FIRST_MS);
    if (live->stopped) {
        return false;
    }
    request->next = live->waiting;
    live->waiting = request;
    return true;
}

/* ---- segments ------------------------------------------------------------------------- */

struct live_segment *serve_live_segment(const struct live_rendition *r, uint64_t number)
{
    if (r->count == 0 || number < r->segments[0].number || number >= r->next) {
        return NULL;
    }
    return &r->segments[number - r->segments[0].number];
}

bool serve_live_begun(const struct rr_serve_live *live)
{
    bool begun = live->count > 0;
    for (uint32_t i = 0; i < live->count; i++) {
        begun = begun && live->renditions[i].init != NULL && live->renditions[i].peak_bps > 0;
    }
    return begun;
}

void rr_serve_live_begin(struct rr_serve_live *live, const struct rr_rendition *renditions,
                         uint32_t count, uint32_t part_us)
{
    pthread_mutex_lock(&live->lock);
    RR_CHECK(live->count == 0 && count <= RR_RENDITIONS_MAX);
    for (uint32_t i = 0; i < count; i++) {
        live->renditions[i].info = renditions[i];
    }
    live->count = count;
    live->part_us = part_us;
    live->target_s = (live->gop_ms + 999) / 1000;
    pthread_mutex_unlock(&live->lock);
}

void rr_serve_live_init(struct rr_serve_live *live, uint32_t rendition, const char *codecs,
                        struct rr_slice bytes)
{
    struct live_rendition *r = &live->renditions[rendition];
    struct rr_buf copy = {0};
    rr_buf_append(&copy, bytes.ptr, bytes.len);
    pthread_mutex_lock(&live->lock);
    memcpy(r->info.codecs, codecs, strnlen(codecs, RR_NAME_MAX) + 1);
    r->info.codecs[RR_NAME_MAX] = '\0';
    serve_blob_unref(r->init);
    r->init = serve_blob_new(&copy);
    serve_etag_make(r->init_etag, bytes);
    changed(live);
    pthread_mutex_unlock(&live->lock);
}

static struct live_segment *add_segment(struct live_rendition *r, uint64_t number)
{
    if (r->count == r->room) {
        r->room = r->room != 0 ? r->room * 2 : 32;
        r->segments = rr_realloc(r->segments, sizeof(*r->segments) * r->room);
    }
    struct live_segment *segment = &r->segments[r->count++];
    *segment = (struct live_segment){.number = number, .parts_shown = true};
    r->next = number + 1;
    return segment;
}

static struct live_segment *last_segment(struct live_rendition *r)
{
    return r->count > 0 ? &r->segments[r->count - 1] : NULL;
}

void rr_serve_live_open(struct rr_serve_live *live, uint32_t rendition, uint64_t number,
                        uint64_t program_ms, bool discontinuity)
{
    struct live_rendition *r = &live->renditions[rendition];
    pthread_mutex_lock(&live->lock);
    struct live_segment *segment = add_segment(r, number);
    segment->program_ms = program_ms;
    segment->discontinuity = discontinuity;
    pthread_mutex_unlock(&live->lock);
}

static void add_part(struct live_segment *segment, struct live_part part)
{
    if (segment->part_count == segment->room) {
        segment->room = segment->room != 0 ? segment->room * 2 : 16;
        segment->parts = rr_realloc(segment->parts, sizeof(*segment->parts) * segment->room);
    }
    segment->parts[segment->part_count++] = part;
}

void rr_serve_live_part(struct rr_serve_live *live, uint32_t rendition, uint32_t duration_us,
                        bool independent, bool last, struct rr_slice bytes)
{
    struct live_rendition *r = &live->renditions[rendition];
    struct live_part part = {.duration_us = duration_us, .independent = independent};
    struct rr_buf copy = {0};
    rr_buf_append(&copy, bytes.ptr, bytes.len);
    part.blob = serve_blob_new(&copy);
    serve_etag_make(part.etag, bytes);
    pthread_mutex_lock(&live->lock);
    struct live_segment *segment = last_segment(r);
    RR_CHECK(segment != NULL && !segment->whole && r->held.blob == NULL);
    if (last) {
        r->held = part;
    } else {
        add_part(segment, part);
        changed(live);
    }
    pthread_mutex_unlock(&live->lock);
}

/* Takes what nobody can be shown any more away. */
static void slide(const struct rr_serve_live *live, struct live_rendition *r)
{
    if (r->count > PARTS_KEPT) {
        drop_parts(&r->segments[r->count - 1 - PARTS_KEPT]);
    }
    if (live->all) {
        if (r->count > live->window + AFTER_KEPT && live->folder != NULL) {
            struct live_segment *old = &r->segments[r->count - 1 - live->window - AFTER_KEPT];
            serve_blob_unref(old->bytes);
            old->bytes = NULL;
        }
        return;
    }
    /* The last one out of the playlist takes its discontinuity along. */
    if (r->count > live->window && r->segments[r->count - 1 - live->window].discontinuity) {
        r->discontinuities++;
    }
    while (r->count > live->window + AFTER_KEPT) {
        clear_segment(&r->segments[0]);
        memmove(r->segments, r->segments + 1, sizeof(*r->segments) * --r->count);
    }
}

static void join_parts(struct live_segment *segment)
{
    struct rr_buf all = {0};
    for (uint32_t i = 0; i < segment->part_count; i++) {
        rr_buf_append(&all, segment->parts[i].blob->bytes, segment->parts[i].blob->len);
    }
    serve_etag_make(segment->etag, rr_buf_slice(&all));
    segment->bytes = serve_blob_new(&all);
}

void rr_serve_live_close(struct rr_serve_live *live, uint32_t rendition, uint64_t number,
                         uint64_t program_ms, bool discontinuity, bool gap, uint64_t duration_us)
{
    struct live_rendition *r = &live->renditions[rendition];
    pthread_mutex_lock(&live->lock);
    struct live_segment *segment = last_segment(r);
    if (segment == NULL || segment->number != number) {
        segment = add_segment(r, number);
        segment->program_ms = program_ms;
        segment->discontinuity = discontinuity;
    }
    if (r->held.blob != NULL) {
        add_part(segment, r->held);
        r->held = (struct live_part){0};
    }
    segment->duration_us = duration_us;
    segment->gap = gap;
    segment->whole = true;
    if (!gap) {
        join_parts(segment);
        uint64_t bps = duration_us > 0 ? (uint64_t)segment->bytes->len * 8000000 / duration_us : 0;
        /* A little more than was seen, because the list is read once and long. A segment below half
         * the usual length tells no rate (RFC 8216, 4.1): one picture of a second's bytes. */
        bps += bps / 4;
        bool counts = r->peak_bps == 0 || duration_us * 2 >= live->gop_ms * UINT64_C(1000);
        r->peak_bps = bps > r->peak_bps && counts ? bps : r->peak_bps;
        r->bytes += segment->bytes->len;
        r->us += duration_us;
    }
    uint32_t seconds = (uint32_t)((duration_us + 499999) / 1000000);
    live->target_s = seconds > live->target_s ? seconds : live->target_s;
    slide(live, r);
    changed(live);
    pthread_mutex_unlock(&live->lock);
}

void rr_serve_live_end(struct rr_serve_live *live)
{
    pthread_mutex_lock(&live->lock);
    live->ended = true;
    live->version++;
    wake_all(live);
    pthread_mutex_unlock(&live->lock);
}

/* ---- texts ---------------------------------------------------------------------------- */

static uint32_t fill_reports(const struct rr_serve_live *live, uint32_t rendition,
                             struct rr_llhls_report *reports)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < live->count; i++) {
        const struct live_rendition *r = &live->renditions[i];
        if (i == rendition || r->count == 0) {
            continue;
        }
        const struct live_segment *last = &r->segments[r->count - 1];
        reports[count++] =
            (struct rr_llhls_report){.name = r->info.name,
                                     .segment = last->number,
                                     .part = last->part_count > 0 ? last->part_count - 1 : 0,
                                     .any = true};
    }
    return count;
}

/* With the lock. */
void serve_live_text(const struct rr_serve_live *live, struct rr_buf *out, uint32_t rendition,
                     bool parts)
{
    const struct live_rendition *r = &live->renditions[rendition];
    uint32_t from = live->all || r->count <= live->window ? 0 : r->count - live->window;
    uint32_t count = r->count - from, part_count = 0;
    struct rr_llhls_segment *shown = rr_alloc_array(count + 1u, sizeof(*shown));
    struct rr_llhls_report reports[RR_RENDITIONS_MAX];
    for (uint32_t i = 0; i < count; i++) {
        part_count += r->segments[from + i].part_count;
    }
    struct rr_llhls_part *all = rr_alloc_array(part_count + 1u, sizeof(*all));
    struct rr_llhls_part *at = all;
    struct rr_llhls list = {.target_s = live->target_s,
                            .part_us = parts ? live->part_us : 0,
                            .discontinuities = r->discontinuities,
                            .next = r->next,
                            .all = live->all,
                            .ended = live->ended,
                            .segments = shown,
                            .reports = reports,
                            .report_count = fill_reports(live, rendition, reports)};
    for (uint32_t i = 0; i < count; i++) {
        const struct live_segment *segment = &r->segments[from + i];
        if (!segment->whole && !parts) {
            continue;
        }
        shown[list.segment_count++] =
            (struct rr_llhls_segment){.number = segment->number,
                                      .duration_us = segment->duration_us,
                                      .program_ms = segment->program_ms,
                                      .discontinuity = segment->discontinuity,
                                      .gap = segment->gap,
                                      .whole = segment->whole,
                                      .parts_shown = segment->parts_shown,
                                      .parts = at,
                                      .part_count = segment->part_count};
        for (uint32_t j = 0; j < segment->part_count; j++) {
            *at++ = (struct rr_llhls_part){.duration_us = segment->parts[j].duration_us,
                                           .independent = segment->parts[j].independent};
        }
    }
    /* Sound often ends a little before the pictures; but what viewers were shown stays, and a list
     * of nothing is none. */
    uint32_t whole = list.segment_count;
    while (whole > 0 && shown[whole - 1].gap) {
        whole--;
    }
    list.segment_count = live->ended && !parts && whole > 0 ? whole : list.segment_count;
    rr_llhls_media(out, &list);
    rr_free(all);
    rr_free(shown);
}

void rr_serve_live_playlist(struct rr_serve_live *live, struct rr_buf *out, uint32_t rendition,
                            bool parts)
{
    pthread_mutex_lock(&live->lock);
    serve_live_text(live, out, rendition, parts);
    pthread_mutex_unlock(&live->lock);
}

static uint32_t rate(uint64_t bps)
{
    return bps > UINT32_MAX ? UINT32_MAX : (uint32_t)bps;
}

void serve_live_master_text(const struct rr_serve_live *live, struct rr_buf *out)
{
    struct rr_manifest view = {.kind = RR_RESOURCE_LIVE, .rendition_count = live->count};
    view.renditions = rr_alloc_array(live->count + 1u, sizeof(*view.renditions));
    for (uint32_t i = 0; i < live->count; i++) {
        const struct live_rendition *r = &live->renditions[i];
        view.renditions[i] = r->info;
        view.renditions[i].peak_bps = rate(r->peak_bps);
        view.renditions[i].mean_bps = rate(r->us > 0 ? r->bytes * 8000000 / r->us : 0);
    }
    rr_hls_master(out, &view);
    rr_free(view.renditions);
}

bool rr_serve_live_master(struct rr_serve_live *live, struct rr_buf *out)
{
    pthread_mutex_lock(&live->lock);
    bool begun = serve_live_begun(live);
    if (begun) {
        serve_live_master_text(live, out);
    }
    pthread_mutex_unlock(&live->lock);
    return begun;
}

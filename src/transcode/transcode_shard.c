/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A job as shards: what is wanted, what is there, and how it becomes one journal again. */
#include "transcode/transcode_shard.h"
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct rr_transcode_job {
    struct transcode_job job;
    struct rr_buf plan;
    char *folder; /* owned; the options' own may go */
    struct transcode_scan_notes scan;
    struct rr_transcode_shard *shards;
    struct transcode_part_facts *parts; /* of each shard that is done by a part */
    bool *own;                          /* the journal had all of it before there were shards */
    uint32_t shard_count;
    uint32_t *cells; /* of the GOPs that the journal has whole, from the first on */
    uint32_t cell_count, begin_cell;
    uint32_t own_bad; /* a packet that a damaged one of them reaches to; UINT32_MAX: none */
};

#define PART_BODY_BYTES (4 + 4 + 4 + 4 + 8 + 8 + 4 * RR_RUNGS_MAX)

static void part_name(char out[static 64], const struct rr_transcode_shard *shard)
{
    if (shard->sound) {
        snprintf(out, 64, "part-sound");
    } else {
        snprintf(out, 64, "part-%u-%u", (unsigned)shard->cell_first, (unsigned)shard->cell_end);
    }
}

/* ---- damage
 * A leaf behind damage begins at packet 0 (worker_source.c), and whoever began later cannot know.
 * ---- */

static uint32_t damage_of(const struct rr_transcode_job *job)
{
    uint32_t bad = job->own_bad;
    for (uint32_t i = 0; i < job->shard_count; i++) {
        if (job->shards[i].done && !job->own[i] && job->parts[i].bad_from < bad) {
            bad = job->parts[i].bad_from;
        }
    }
    return bad;
}

static void mind_damage(struct rr_transcode_job *job)
{
    uint32_t bad = damage_of(job);
    for (uint32_t i = 0; bad != UINT32_MAX && i < job->shard_count; i++) {
        struct rr_transcode_shard *shard = &job->shards[i];
        bool reached = !shard->done || (job->parts[i].gops > 0 && job->parts[i].last >= bad);
        if (!shard->sound && !job->own[i] && shard->packet_first > 0 && reached) {
            shard->packet_first = 0;
            shard->done = false;
            shard->take_size = 0;
            shard->revision++;
        }
    }
}

/* ---- opening ---- */

/* What a run without shards, or an earlier putting together, left whole at the beginning. */
static void look_at_journal(struct rr_transcode_job *job)
{
    struct transcode_job *look = rr_alloc(sizeof *look);
    struct transcode_packets *scratch = rr_alloc(sizeof *scratch);
    look->source_fd = look->lock_fd = -1;
    look->options = job->job.options;
    look->plan = job->job.plan;
    transcode_job_load(look, scratch);
    uint32_t whole = transcode_job_missing(look);
    job->cells = rr_alloc_array(whole + 1u, sizeof *job->cells);
    for (uint32_t gop = 0; gop < whole; gop++) {
        const struct transcode_gop_facts *facts = &look->gops[gop].facts;
        job->cells[gop] = facts->cell;
        if (facts->unclean && job->own_bad == UINT32_MAX) {
            job->own_bad = facts->last;
        }
    }
    job->cell_count = whole;
    job->begin_cell = whole == 0 ? 0 : job->cells[whole - 1] + 1;
    if (look->source_done && whole == look->gop_count) {
        job->begin_cell = UINT32_MAX;
    }
    for (unsigned rung = 0; rung < RR_RUNGS_MAX && whole > 0; rung++) {
        rr_buf_append(&job->job.extradata[rung], look->extradata[rung].ptr,
                      look->extradata[rung].len);
    }
    for (uint32_t i = 0; i < job->shard_count; i++) {
        struct rr_transcode_shard *shard = &job->shards[i];
        unsigned rung = 0;
        job->own[i] = shard->sound ? transcode_job_tracks_done(look, &rung)
                                   : shard->cell_end <= job->begin_cell;
        shard->done = job->own[i];
    }
    transcode_job_clear(look);
    rr_free(look);
    rr_free(scratch);
}

static void write_facts(struct rr_buf *out, const struct transcode_part_facts *facts,
                        uint32_t packet_first)
{
    rr_write_u32(out, packet_first);
    rr_write_u32(out, facts->gops);
    rr_write_u32(out, facts->bad_from);
    rr_write_u32(out, facts->last);
    rr_write_u64(out, (uint64_t)facts->first_pts);
    rr_write_u64(out, (uint64_t)facts->end);
    for (unsigned i = 0; i < RR_RUNGS_MAX; i++) {
        rr_write_u32(out, facts->frames[i]);
    }
}

/* Parts that were taken by an earlier run. */
static void look_at_parts(struct rr_transcode_job *job)
{
    struct rr_buf body = {0};
    char name[64];
    uint64_t offset = 0, payload = 0;
    for (uint32_t i = 0; i < job->shard_count; i++) {
        struct rr_transcode_shard *shard = &job->shards[i];
        struct transcode_part_facts *facts = &job->parts[i];
        part_name(name, shard);
        if (shard->done ||
            !transcode_journal_get(&body, job->job.options.job_folder, name, &offset, &payload) ||
            body.len != PART_BODY_BYTES) {
            continue;
        }
        struct rr_reader reader = rr_reader_of(rr_buf_slice(&body));
        uint32_t packet_first = rr_read_u32(&reader);
        facts->gops = rr_read_u32(&reader);
        facts->bad_from = rr_read_u32(&reader);
        facts->last = rr_read_u32(&reader);
        facts->first_pts = (int64_t)rr_read_u64(&reader);
        facts->end = (int64_t)rr_read_u64(&reader);
        for (unsigned rung = 0; rung < RR_RUNGS_MAX; rung++) {
            facts->frames[rung] = rr_read_u32(&reader);
        }
        if (packet_first == 0 || packet_first == shard->packet_first) {
            shard->packet_first = packet_first;
            shard->take_size = facts->gops;
            shard->done = true;
        }
    }
    rr_buf_clear(&body);
    mind_damage(job);
}

static enum rr_err cut(struct rr_transcode_job *job, struct rr_fault *fault)
{
    enum rr_err err = RR_OK;
    if (job->job.plan.video_stream >= 0) {
        err = transcode_scan_read(&job->scan, &job->job, fault);
    }
    if (err == RR_OK) {
        transcode_scan_cut(&job->shards, &job->shard_count, &job->scan, &job->job);
        job->parts = rr_alloc_array(job->shard_count + 1u, sizeof *job->parts);
        job->own = rr_alloc_array(job->shard_count + 1u, sizeof *job->own);
        look_at_journal(job);
        look_at_parts(job);
    }
    return err;
}

enum rr_err rr_transcode_open(struct rr_transcode_job **out, int source_fd,
                              const struct rr_transcode_options *options, const atomic_bool *cancel,
                              struct rr_fault *fault)
{
    struct rr_transcode_job *job = rr_alloc(sizeof *job);
    struct rr_transcode_options inner = *options;
    struct transcode_coder coder = {.out = &job->plan};
    RR_CHECK(options->job_folder != NULL);
    inner.job_folder = job->folder = rr_strdup(options->job_folder);
    job->own_bad = UINT32_MAX;
    enum rr_err err = transcode_prepare(&job->job, source_fd, &inner, cancel, fault);
    transcode_worker_stop(&job->job.reader); /* what comes next may take days */
    err = err != RR_OK ? err
                       : transcode_journal_key(&job->job.key, job->job.source_fd, &job->job.plan,
                                               cancel, fault);
    err = err != RR_OK ? err
                       : transcode_journal_open(&job->job.lock_fd, job->job.options.job_folder,
                                                &job->job.key, fault);
    err = err != RR_OK ? err : transcode_keep_note(&job->job.options, fault);
    if (err == RR_OK) {
        rr_write_u32(&job->plan, TRANSCODE_PROTO_VERSION);
        transcode_code_plan(&coder, &job->job.plan);
        err = cut(job, fault);
    }
    if (err == RR_OK) {
        *out = job;
    } else {
        rr_transcode_close(job);
    }
    return err;
}

void rr_transcode_close(struct rr_transcode_job *job)
{
    if (job != NULL) {
        transcode_job_clear(&job->job);
        rr_buf_clear(&job->plan);
        rr_free(job->scan.notes);
        rr_free(job->shards);
        rr_free(job->parts);
        rr_free(job->own);
        rr_free(job->cells);
        rr_free(job->folder);
        rr_free(job);
    }
}

const struct rr_hash32 *rr_transcode_key(const struct rr_transcode_job *job)
{
    return &job->job.key;
}

struct rr_slice rr_transcode_plan(const struct rr_transcode_job *job)
{
    return rr_buf_slice(&job->plan);
}

const struct rr_transcode_shard *rr_transcode_shards(const struct rr_transcode_job *job,
                                                     size_t *count)
{
    *count = job->shard_count;
    return job->shards;
}

/* ---- taking ---- */

static enum rr_err check(struct rr_transcode_job *job, struct transcode_part_facts *facts, int fd,
                         uint64_t bytes, size_t index, bool spot, struct rr_fault *fault)
{
    struct transcode_part part;
    bool first[RR_RUNGS_MAX];
    enum rr_err err = transcode_part_open(&part, fd, 0, bytes, fault);
    if (err != RR_OK) {
        return err;
    }
    struct transcode_part again = part;
    for (unsigned rung = 0; rung < RR_RUNGS_MAX; rung++) {
        first[rung] = job->job.extradata[rung].len == 0;
    }
    err = transcode_part_check(facts, &job->job, &part, &job->shards[index], &job->scan, fault);
    if (err == RR_OK && !job->shards[index].sound) {
        err = transcode_part_ends(&job->job, facts, &job->shards[index], &job->scan, fault);
    }
    if (err == RR_OK && spot) {
        err = transcode_part_spot(&job->job, &again, &job->shards[index], fault);
    }
    for (unsigned rung = 0; rung < RR_RUNGS_MAX && err != RR_OK; rung++) {
        if (first[rung]) {
            job->job.extradata[rung].len = 0; /* a bad part must not set what good ones are */
        }
    }
    return err;
}

enum rr_err rr_transcode_take(struct rr_transcode_job *job, size_t index, const char *path,
                              bool spot, struct rr_fault *fault)
{
    struct rr_fault own = {0};
    struct transcode_part_facts facts = {0};
    struct rr_buf body = {0};
    struct stat found;
    char name[64];
    fault = fault != NULL ? fault : &own;
    RR_CHECK(index < job->shard_count);
    struct rr_transcode_shard *shard = &job->shards[index];
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0 || fstat(fd, &found) != 0) {
        enum rr_err gone = rr_fail_errno(fault, "%.200s cannot be read", path);
        if (fd >= 0) {
            close(fd);
        }
        return gone;
    }
    enum rr_err err = check(job, &facts, fd, (uint64_t)found.st_size, index, spot, fault);
    if (err == RR_OK) {
        part_name(name, shard);
        write_facts(&body, &facts, shard->packet_first);
        err = transcode_journal_put_from(job->job.options.job_folder, name, rr_buf_slice(&body), fd,
                                         0, (uint64_t)found.st_size, fault);
        rr_buf_clear(&body);
    }
    close(fd);
    if (err == RR_OK) {
        unlink(path);
        job->parts[index] = facts;
        shard->done = true;
        shard->take_size = facts.gops;
        for (unsigned rung = 0; rung < job->job.plan.rung_count; rung++) {
            job->job.frames_done[rung] += facts.frames[rung];
        }
        mind_damage(job);
    }
    return err;
}

void rr_transcode_shown(const struct rr_transcode_job *job, struct rr_transcode_progress *out)
{
    const struct transcode_plan *plan = &job->job.plan;
    uint64_t now_us = rr_monotonic_us(rr_clock_system());
    double seconds = (double)(now_us - job->job.started_us) / 1e6;
    uint64_t done = 0, all = 0, all_cells = 0, gops = 0;
    *out = (struct rr_transcode_progress){0};
    for (uint32_t i = 0; i < job->shard_count; i++) {
        const struct rr_transcode_shard *shard = &job->shards[i];
        uint32_t cells = shard->cell_end == UINT32_MAX ? 1 : shard->cell_end - shard->cell_first;
        cells = shard->done && !job->own[i] ? job->parts[i].gops : cells;
        all += shard->cost;
        done += shard->done ? shard->cost : 0;
        all_cells += shard->sound ? 0 : cells;
        gops += shard->sound || !shard->done ? 0 : cells;
    }
    for (unsigned rung = 0; rung < plan->rung_count; rung++) {
        struct rr_transcode_rendition_progress *to = &out->renditions[out->rendition_count++];
        transcode_rung_name(to->name, plan, rung);
        to->gops = (uint32_t)all_cells;
        to->gops_done = (uint32_t)gops;
        to->fps = seconds > 0 ? (double)job->job.frames_done[rung] / seconds : 0;
        out->fps += to->fps;
    }
    for (unsigned i = 0; i < (unsigned)plan->audio_count + plan->subtitle_count; i++) {
        struct rr_transcode_rendition_progress *to = &out->renditions[out->rendition_count++];
        transcode_rung_name(to->name, plan,
                            i < plan->audio_count
                                ? TRANSCODE_AUDIO_RUNG + i
                                : TRANSCODE_SUBTITLE_RUNG + i - plan->audio_count);
        to->gops = 1;
        to->gops_done = job->shards[job->shard_count - 1].done;
    }
    double part = all > 0 ? (double)done / (double)all : 1;
    out->percent = part * 99; /* the rest is packing */
    out->eta_s = part > 0.01 ? seconds * (1 - part) / part : 0;
}

/* ---- what nobody has made ---- */

/* Our own bytes are checked like those of others, but not made a second time. */
static enum rr_err make_here(struct rr_transcode_job *job, uint32_t index, struct rr_fault *fault)
{
    char path[RR_PATH_BYTES], folder[RR_PATH_BYTES];
    const struct rr_transcode_shard *shard = &job->shards[index];
    const char *own = job->job.options.job_folder;
    enum rr_err err = rr_path(path, fault, "%s/here", own);
    err = err != RR_OK ? err : rr_path(folder, fault, "%s/here.d", own);
    err = err != RR_OK
              ? err
              : transcode_part_make(path, folder, &job->job, shard->cell_first, shard->cell_end,
                                    shard->packet_first, shard->sound, fault);
    return err != RR_OK ? err : rr_transcode_take(job, index, path, false, fault);
}

/* One that turns out to lie behind damage is wanted a second time, from the first packet on. */
static enum rr_err make_missing(struct rr_transcode_job *job, rr_transcode_progress_fn *progress,
                                void *ctx, struct rr_fault *fault)
{
    struct rr_transcode_progress shown;
    enum rr_err err = RR_OK;
    for (uint32_t i = 0; i < job->shard_count && err == RR_OK;) {
        if (job->shards[i].done) {
            i++;
            continue;
        }
        if (job->job.cancel != NULL && atomic_load(job->job.cancel)) {
            return rr_fail(fault, RR_ERR_CANCELLED, "the job was cancelled");
        }
        err = make_here(job, i, fault);
        i = 0; /* earlier ones may be open again */
        if (progress != NULL) {
            rr_transcode_shown(job, &shown);
            progress(ctx, &shown);
        }
    }
    return err;
}

/* ---- putting together ---- */

/* Where one part ends the next begins, whatever rig made them; a part may be empty. */
static enum rr_err check_borders(struct rr_transcode_job *job, struct rr_fault *fault)
{
    uint32_t before = UINT32_MAX;
    for (uint32_t i = 0; i < job->shard_count; i++) {
        if (job->shards[i].sound || job->own[i] || job->parts[i].gops == 0) {
            continue;
        }
        if (before != UINT32_MAX && job->parts[before].end != job->parts[i].first_pts) {
            job->shards[before].done = job->shards[i].done = false;
            job->shards[before].revision++;
            job->shards[i].revision++;
            return rr_fail(fault, RR_ERR_TRUST,
                           "the pictures of cell %u do not begin where those before end",
                           (unsigned)job->shards[i].cell_first);
        }
        before = i;
    }
    return RR_OK;
}

/* Records of one part into the journal, from GOP `index` on. */
static enum rr_err import(struct rr_transcode_job *job, uint32_t *index,
                          struct transcode_part *part, struct rr_fault *fault)
{
    const char *folder = job->job.options.job_folder;
    struct rr_buf body = {0};
    char name[64];
    uint64_t at = 0, payload = 0;
    const struct transcode_plan *plan = &job->job.plan;
    unsigned records =
        part->sound ? (unsigned)plan->audio_count + plan->subtitle_count : plan->rung_count + 1u;
    uint32_t groups = part->sound ? 1 : part->gops;
    enum rr_err err = RR_OK;
    for (uint32_t gop = 0; gop < groups && err == RR_OK; gop++) {
        for (unsigned i = 0; i < records && err == RR_OK; i++) {
            if (part->sound) {
                transcode_track_record(name, plan, i);
            } else if (i == 0) {
                snprintf(name, sizeof name, TRANSCODE_GOP_RECORD, (unsigned)*index);
            } else {
                snprintf(name, sizeof name, TRANSCODE_CODED_RECORD, i - 1, (unsigned)*index);
            }
            err = transcode_part_next(part, &body, &at, &payload, fault);
            err = err != RR_OK ? err
                               : transcode_journal_put_from(folder, name, rr_buf_slice(&body),
                                                            part->fd, at, payload, fault);
        }
        *index += part->sound ? 0 : 1;
    }
    rr_buf_clear(&body);
    return err;
}

static enum rr_err import_shard(struct rr_transcode_job *job, uint32_t *index,
                                const struct rr_transcode_shard *shard, struct rr_fault *fault)
{
    char path[RR_PATH_BYTES], name[64];
    struct transcode_part part;
    struct stat facts;
    part_name(name, shard);
    enum rr_err err = rr_path(path, fault, "%s/%s", job->job.options.job_folder, name);
    int fd = err == RR_OK ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (err == RR_OK && (fd < 0 || fstat(fd, &facts) != 0)) {
        err = rr_fail_errno(fault, "%.200s cannot be read", path);
    }
    uint64_t head = 36 + PART_BODY_BYTES; /* the journal's own, and what we wrote before the part */
    if (err == RR_OK && (uint64_t)facts.st_size < head) {
        err = rr_fail(fault, RR_ERR_DAMAGED, "%.200s was cut short meanwhile", path);
    }
    err = err != RR_OK
              ? err
              : transcode_part_open(&part, fd, head, (uint64_t)facts.st_size - head, fault);
    err = err != RR_OK ? err : import(job, index, &part, fault);
    if (fd >= 0) {
        close(fd);
    }
    return err;
}

static enum rr_err import_all(struct rr_transcode_job *job, struct rr_fault *fault)
{
    struct rr_buf body = {0};
    uint32_t index = 0;
    bool parts = false;
    enum rr_err err = RR_OK;
    for (uint32_t i = 0; i < job->shard_count && err == RR_OK; i++) {
        const struct rr_transcode_shard *shard = &job->shards[i];
        if (job->own[i]) {
            continue;
        }
        if (!parts && !shard->sound) {
            while (index < job->cell_count && job->cells[index] < shard->cell_first) {
                index++;
            }
            parts = true;
        }
        err = import_shard(job, &index, shard, fault);
    }
    if (err == RR_OK && parts && index > 0) {
        rr_write_u32(&body, index);
        err = transcode_journal_put(job->job.options.job_folder, TRANSCODE_END_RECORD,
                                    rr_buf_slice(&body), -1, 0, NULL, fault);
        rr_buf_clear(&body);
    }
    return err;
}

enum rr_err rr_transcode_finish(struct rr_transcode_job *job, struct rr_transcode_result *out,
                                rr_transcode_progress_fn *progress, void *ctx,
                                struct rr_fault *fault)
{
    struct rr_fault own = {0};
    fault = fault != NULL ? fault : &own;
    enum rr_err err = make_missing(job, progress, ctx, fault);
    err = err != RR_OK ? err : check_borders(job, fault);
    err = err != RR_OK ? err : import_all(job, fault);
    job->job.progress = progress;
    job->job.progress_ctx = ctx;
    return err != RR_OK ? err : transcode_finish(&job->job, out, fault);
}

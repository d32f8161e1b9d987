/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Where a job can be cut, out of the times and key marks of its packets alone. */
#include "transcode/transcode_shard.h"
#include <string.h>
#include <unistd.h>

/* Small enough that the last ones end together on many rigs, large enough that a shard's start,
 * some 0.2 s, is nothing (ours). Never a matter of how many rigs there are: the same command must
 * find the same shards again. */
#define SHARDS_WANTED   48
#define SHARD_CELLS_MAX 8
#define SCAN_SECONDS    3600
#define READ_NOTES      4096u

static enum rr_err read_notes(struct transcode_scan_notes *out, int fd, uint32_t count,
                              struct rr_fault *fault)
{
    struct transcode_scan_notes scan = {.count = count};
    uint8_t *piece = rr_alloc((size_t)READ_NOTES * TRANSCODE_SCAN_NOTE);
    enum rr_err err = RR_OK;
    scan.notes = rr_alloc_array(count + 1u, sizeof *scan.notes);
    for (uint32_t at = 0; at < count && err == RR_OK;) {
        uint32_t now = count - at < READ_NOTES ? count - at : READ_NOTES;
        err = rr_pread_full(fd, piece, (size_t)now * TRANSCODE_SCAN_NOTE,
                            (uint64_t)at * TRANSCODE_SCAN_NOTE, fault);
        struct rr_reader reader =
            rr_reader_of(rr_slice_of(piece, (size_t)now * TRANSCODE_SCAN_NOTE));
        for (uint32_t i = at; i < at + now && err == RR_OK; i++) {
            rr_read_bytes(&reader, scan.notes[i].digest.bytes, sizeof scan.notes[i].digest.bytes);
            scan.notes[i].pts = (int64_t)rr_read_u64(&reader);
            scan.notes[i].key = rr_read_u8(&reader) == 1;
        }
        at += now;
    }
    rr_free(piece);
    if (err == RR_OK) {
        *out = scan;
    } else {
        rr_free(scan.notes);
    }
    return err;
}

enum rr_err transcode_scan_read(struct transcode_scan_notes *out, const struct transcode_job *job,
                                struct rr_fault *fault)
{
    struct transcode_worker worker = {.socket = -1};
    struct transcode_scan *ask = rr_alloc(sizeof *ask);
    struct transcode_scanned scanned = {0};
    struct rr_buf message = {0};
    int fds[2] = {job->source_fd, -1};
    ask->plan = job->plan;
    enum rr_err err = transcode_memfd(&fds[1], "reelrig-scan", fault);
    err = err != RR_OK ? err : transcode_worker_start(&worker, job->program, false, fault);
    if (err == RR_OK) {
        transcode_encode_message(&message, TRANSCODE_SCAN, scan, ask);
        err = transcode_worker_ask(&worker, &message, fds, 2, SCAN_SECONDS, fault);
    }
    err =
        err != RR_OK ? err : transcode_worker_wait(&worker, TRANSCODE_SCANNED, job->cancel, fault);
    if (err == RR_OK &&
        !transcode_decode_message(transcode_worker_body(&worker), scanned, &scanned)) {
        err = rr_fail(fault, RR_ERR_DAMAGED, "the worker's account of the packets has no form");
    }
    err = err != RR_OK ? err : read_notes(out, fds[1], scanned.packets, fault);
    transcode_worker_stop(&worker);
    rr_buf_clear(&message);
    rr_free(ask);
    if (fds[1] >= 0) {
        close(fds[1]);
    }
    return err;
}

/* ---- cutting ---- */

struct cell {
    uint32_t packets;  /* that show in it */
    uint32_t lowest;   /* packet of it or of any later one */
    uint32_t highest;  /* packet of it */
    int64_t first_pts; /* of it or of any later one */
    uint32_t start;    /* where decoding for it may begin */
};
struct cells {
    struct cell *cells; /* owned */
    uint32_t count;
    bool timed; /* all packets have times */
};

static bool shows(const struct transcode_plan *plan, const struct transcode_scan_note *note)
{
    return note->pts != INT64_MIN && note->pts >= plan->first_pts;
}

static struct cells cells_of(const struct transcode_scan_notes *scan,
                             const struct transcode_job *job)
{
    const struct transcode_plan *plan = &job->plan;
    uint32_t most = TRANSCODE_DURATION_MAX_S * 2; /* cells of half a second */
    struct cells all = {.count = job->expected_gops, .timed = true};
    for (uint32_t i = 0; i < scan->count; i++) {
        all.timed &= scan->notes[i].pts != INT64_MIN;
        uint32_t cell = shows(plan, &scan->notes[i]) ? transcode_cell(plan, scan->notes[i].pts) : 0;
        all.count = cell < most && cell + 1 > all.count ? cell + 1 : all.count;
    }
    all.count = all.count == 0 ? 1 : all.count > most ? most : all.count;
    all.cells = rr_alloc_array(all.count, sizeof *all.cells);
    for (uint32_t i = 0; i < all.count; i++) {
        all.cells[i].lowest = UINT32_MAX;
        all.cells[i].first_pts = INT64_MAX;
    }
    for (uint32_t i = 0; i < scan->count; i++) {
        uint32_t at =
            shows(plan, &scan->notes[i]) ? transcode_cell(plan, scan->notes[i].pts) : UINT32_MAX;
        if (at < all.count) {
            struct cell *cell = &all.cells[at];
            cell->packets++;
            cell->lowest = i < cell->lowest ? i : cell->lowest;
            cell->highest = i;
            cell->first_pts =
                scan->notes[i].pts < cell->first_pts ? scan->notes[i].pts : cell->first_pts;
        }
    }
    for (uint32_t i = all.count - 1; i-- > 0;) {
        struct cell *cell = &all.cells[i], *next = cell + 1;
        cell->lowest = next->lowest < cell->lowest ? next->lowest : cell->lowest;
        cell->first_pts = next->first_pts < cell->first_pts ? next->first_pts : cell->first_pts;
    }
    return all;
}

/* The last key packet that nothing of the cell or behind it precedes, in either order: that or an
 * earlier one is where the leaf's own lead-in begins (worker_source.c, lead_in). */
static void find_starts(struct cells *all, const struct transcode_scan_notes *scan)
{
    for (uint32_t c = 0; c < all->count; c++) {
        struct cell *cell = &all->cells[c];
        uint32_t at = cell->lowest < scan->count ? cell->lowest : 0;
        while (at > 0 && !(scan->notes[at].key && scan->notes[at].pts <= cell->first_pts)) {
            at--;
        }
        cell->start = all->timed ? at : 0;
    }
}

static void measure(struct rr_transcode_shard *shard, const struct cells *all, uint32_t end,
                    const struct transcode_job *job)
{
    uint64_t out = 0, pictures = 0;
    uint64_t in = (uint64_t)job->facts.shown.width * job->facts.shown.height;
    uint32_t highest = shard->packet_first;
    for (unsigned i = 0; i < job->plan.rung_count; i++) {
        out += (uint64_t)job->plan.rungs[i].width * job->plan.rungs[i].height;
    }
    for (uint32_t c = shard->cell_first; c < end; c++) {
        pictures += all->cells[c].packets;
        highest = all->cells[c].highest > highest ? all->cells[c].highest : highest;
    }
    /* Decoding and scaling a picture is a third of encoding it (measured, veryfast). */
    shard->cost = pictures * out + (highest - shard->packet_first + 1) * in / 3 + 2;
}

void transcode_scan_cut(struct rr_transcode_shard **out, uint32_t *count,
                        const struct transcode_scan_notes *scan, const struct transcode_job *job)
{
    uint32_t used = 0, step = 1;
    struct rr_transcode_shard *shards = NULL;
    if (job->plan.video_stream >= 0) {
        struct cells all = cells_of(scan, job);
        find_starts(&all, scan);
        step = all.count / SHARDS_WANTED;
        step = step < 1 ? 1 : step > SHARD_CELLS_MAX ? SHARD_CELLS_MAX : step;
        shards = rr_alloc_array(all.count / step + 3, sizeof *shards);
        for (uint32_t c = 0; c < all.count; c += step) {
            uint32_t end = all.count - c > step ? c + step : all.count;
            struct rr_transcode_shard *shard = &shards[used++];
            *shard = (struct rr_transcode_shard){
                .cell_first = c, .cell_end = end, .packet_first = all.cells[c].start};
            measure(shard, &all, end, job);
        }
        shards[used - 1].cell_end = UINT32_MAX; /* a decoder may show more than packets say */
        rr_free(all.cells);
    } else {
        shards = rr_alloc_array(1, sizeof *shards);
    }
    if (job->plan.audio_count + job->plan.subtitle_count > 0) {
        shards[used++] = (struct rr_transcode_shard){
            .sound = true, .cost = 1, .here = job->plan.audio_codec == RR_AUDIO_OPUS};
    }
    *out = shards;
    *count = used;
}

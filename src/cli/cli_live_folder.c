/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cli/cli_live.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define AFTER_KEPT 6 /* segments that stay after they went out of the playlist */

static void note(struct live_folder *folder, enum rr_err err, const struct rr_fault *fault)
{
    if (err != RR_OK && !folder->failed) {
        folder->failed = true;
        folder->fault = *fault;
    }
}

/* Whole or not there; not durable, which would hold the stream up, and a live playlist is old after
 * seconds anyway. */
static bool put_file(struct live_folder *folder, const char *name, struct rr_slice bytes)
{
    char path[RR_PATH_BYTES], fresh[RR_PATH_BYTES];
    struct rr_fault fault = {0};
    enum rr_err err = rr_path(path, &fault, "%s/%s", folder->path, name);
    err = err != RR_OK ? err : rr_path(fresh, &fault, "%s/%s.new", folder->path, name);
    int fd = err == RR_OK ? open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644) : -1;
    if (err == RR_OK && fd < 0) {
        err = rr_fail_errno(&fault, "%.200s cannot be made", fresh);
    }
    if (err == RR_OK && rr_write_full(fd, bytes.ptr, bytes.len, &fault) != RR_OK) {
        errno = fault.sys_errno;
        err = rr_fail_errno(&fault, "%.200s cannot be written", path);
    }
    if (fd >= 0 && close(fd) != 0 && err == RR_OK) {
        err = rr_fail_errno(&fault, "%.200s cannot be written", path);
    }
    if (err == RR_OK && rename(fresh, path) != 0) {
        err = rr_fail_errno(&fault, "%.200s cannot be put in place", path);
    }
    if (err != RR_OK && fd >= 0) {
        unlink(fresh); /* on a full disk its bytes are for the playlists' end */
    }
    note(folder, err, &fault);
    return err == RR_OK;
}

static bool put_named(struct live_folder *folder, uint32_t rendition, const char *file,
                      struct rr_slice bytes)
{
    char name[2 * RR_NAME_MAX + 32];
    snprintf(name, sizeof name, "%s/%s", folder->renditions[rendition].info.name, file);
    return put_file(folder, name, bytes);
}

static bool put_playlist(struct live_folder *folder, uint32_t rendition)
{
    struct rr_buf text = {0};
    rr_serve_live_playlist(folder->live, &text, rendition, false);
    bool put = put_named(folder, rendition, "index.m3u8", rr_buf_slice(&text));
    rr_buf_clear(&text);
    return put;
}

/* The playlist that is there, where there is no room for another. */
static void end_playlist(const struct live_folder *folder, uint32_t rendition)
{
    static const char end[] = "#EXT-X-ENDLIST\n";
    char path[RR_PATH_BYTES];
    struct rr_fault fault;
    if (rr_path(path, &fault, "%s/%s/index.m3u8", folder->path,
                folder->renditions[rendition].info.name) == RR_OK) {
        int fd = open(path, O_WRONLY | O_APPEND | O_CLOEXEC);
        if (fd >= 0) {
            (void)!write(fd, end, sizeof end - 1);
            close(fd);
        }
    }
}

static enum rr_err want_empty(const struct live_folder *folder, struct rr_fault *fault)
{
    char path[RR_PATH_BYTES];
    enum rr_err err = rr_path(path, fault, "%s/master.m3u8", folder->path);
    return err == RR_OK && access(path, F_OK) == 0
               ? rr_fail(fault, RR_ERR_EXISTS,
                         "%.200s holds a ladder already; remove it or name another folder",
                         folder->path)
               : err;
}

/* One stream a folder: whoever holds gops.jsonl writes, and empties it only then. */
static enum rr_err hold(const struct live_folder *folder, const char *path, struct rr_fault *fault)
{
    struct stat held, named;
    if (flock(folder->proofs, LOCK_EX | LOCK_NB) != 0) {
        return errno == EWOULDBLOCK
                   ? rr_fail(fault, RR_ERR_BUSY,
                             "another \"reelrig live\" writes into %.200s; name another folder",
                             folder->path)
                   : rr_fail_errno(fault, "%.200s cannot be locked", path);
    }
    if (fstat(folder->proofs, &held) != 0 || stat(path, &named) != 0 ||
        held.st_ino != named.st_ino || held.st_dev != named.st_dev) {
        return rr_fail(fault, RR_ERR_BUSY, "%.200s was just given up by another; try again",
                       folder->path);
    }
    enum rr_err err = want_empty(folder, fault);
    return err == RR_OK && ftruncate(folder->proofs, 0) != 0
               ? rr_fail_errno(fault, "%.200s cannot be emptied", path)
               : err;
}

enum rr_err live_folder_open(struct live_folder *folder, struct rr_fault *fault)
{
    char path[RR_PATH_BYTES];
    enum rr_err err = want_empty(folder, fault);
    folder->made = access(folder->path, F_OK) != 0;
    err = err != RR_OK ? err : rr_make_shown_folders(folder->path, fault);
    err = err != RR_OK ? err : rr_path(path, fault, "%s/gops.jsonl", folder->path);
    if (err != RR_OK) {
        return err;
    }
    folder->proofs = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_APPEND, 0644);
    if (folder->proofs < 0) {
        return rr_fail_errno(fault, "%.200s cannot be made", path);
    }
    err = hold(folder, path, fault);
    if (err != RR_OK) {
        close(folder->proofs);
        folder->proofs = -1;
    }
    return err;
}

void live_folder_begin(struct live_folder *folder, const struct rr_rendition *renditions,
                       uint32_t count)
{
    char path[RR_PATH_BYTES];
    struct rr_fault fault = {0};
    folder->count = count;
    for (uint32_t i = 0; i < count; i++) {
        folder->renditions[i].info = renditions[i];
        enum rr_err err = rr_path(path, &fault, "%s/%s", folder->path, renditions[i].name);
        err = err != RR_OK ? err : rr_make_shown_folders(path, &fault);
        note(folder, err, &fault);
    }
}

void live_folder_init(struct live_folder *folder, uint32_t rendition, const char *codecs,
                      struct rr_slice bytes)
{
    struct rr_rendition *info = &folder->renditions[rendition].info;
    snprintf(info->codecs, sizeof info->codecs, "%s", codecs);
    put_named(folder, rendition, "init.mp4", bytes);
}

void live_folder_part(struct live_folder *folder, uint32_t rendition, struct rr_slice bytes)
{
    rr_buf_append(&folder->renditions[rendition].bytes, bytes.ptr, bytes.len);
}

static void put_proof(struct live_folder *folder, uint32_t rendition,
                      const struct rr_live_segment *segment)
{
    const struct rr_pot_leaf *leaf = &segment->leaf;
    char source[65], output[65];
    struct rr_buf line = {0};
    struct rr_fault fault = {0};
    if (segment->gap || folder->renditions[rendition].info.kind != RR_RENDITION_VIDEO) {
        return;
    }
    rr_hex(source, leaf->source_digest.bytes, 32);
    rr_hex(output, leaf->output_digest.bytes, 32);
    rr_buf_format(&line,
                  "{\"segment\":%" PRIu64 ",\"rendition\":%u,\"gop\":%u,\"source_first\":%u,"
                  "\"source_last\":%u,\"source\":\"%s\",\"output\":\"%s\",\"bytes\":%" PRIu64 "}\n",
                  segment->number, leaf->rendition, (unsigned)leaf->gop,
                  (unsigned)leaf->source_first, (unsigned)leaf->source_last, source, output,
                  leaf->output_bytes);
    note(folder, rr_write_full(folder->proofs, line.ptr, line.len, &fault), &fault);
    rr_buf_clear(&line);
}

static void keep_times(struct live_folder_rendition *r, const struct rr_live_segment *segment)
{
    if (r->count == r->room) {
        r->room = r->room != 0 ? r->room * 2 : 64;
        r->segments = rr_realloc(r->segments, sizeof *r->segments * r->room);
    }
    r->segments[r->count++] = (struct live_folder_segment){.start_us = segment->start_us,
                                                           .duration_us = segment->duration_us,
                                                           .bytes = r->bytes.len,
                                                           .gap = segment->gap};
}

static void remove_old(struct live_folder *folder, uint32_t rendition, uint64_t number)
{
    char path[RR_PATH_BYTES];
    struct rr_fault fault;
    uint64_t back = (uint64_t)folder->window + AFTER_KEPT;
    if (!folder->keep && number >= back &&
        rr_path(path, &fault, "%s/%s/seg_%05" PRIu64 ".m4s", folder->path,
                folder->renditions[rendition].info.name, number - back) == RR_OK) {
        unlink(path);
    }
}

/* Rates grow with what was seen, and a list that tells less than comes makes players stall. */
static void put_master(struct live_folder *folder)
{
    struct rr_buf text = {0};
    if (rr_serve_live_master(folder->live, &text) &&
        !rr_slice_equal(rr_buf_slice(&text), rr_buf_slice(&folder->master)) &&
        put_file(folder, "master.m3u8", rr_buf_slice(&text))) {
        rr_buf_clear(&folder->master);
        folder->master = text;
        return;
    }
    rr_buf_clear(&text);
}

bool live_folder_put(struct live_folder *folder, uint32_t rendition, uint64_t number)
{
    char name[64];
    snprintf(name, sizeof name, "seg_%05" PRIu64 ".m4s", number);
    return put_named(folder, rendition, name, rr_buf_slice(&folder->renditions[rendition].bytes));
}

void live_folder_close(struct live_folder *folder, uint32_t rendition,
                       const struct rr_live_segment *segment)
{
    struct live_folder_rendition *r = &folder->renditions[rendition];
    if (folder->keep) {
        keep_times(r, segment);
    }
    r->bytes.len = 0;
    put_proof(folder, rendition, segment);
    put_playlist(folder, rendition);
    remove_old(folder, rendition, segment->number);
    put_master(folder);
}

/* Segments without those that are missing at the end; *holes: others are missing too. */
static uint64_t whole_segments(const struct live_folder_rendition *r, bool *holes)
{
    uint64_t count = r->count;
    while (count > 0 && r->segments[count - 1].gap) {
        count--;
    }
    for (uint64_t i = 0; i < count; i++) {
        *holes = *holes || r->segments[i].gap;
    }
    return count;
}

#define ROUNDED_US 5 /* times of neighbours that are apart by no more meet */

/* Times and rates of what was kept, owned by shown. */
static void show_times(struct rr_rendition *shown, const struct live_folder_rendition *r,
                       uint32_t count)
{
    uint64_t us = 0, bytes = 0, longest_us = 0, peak = 0;
    *shown = r->info;
    shown->timescale = 1000000;
    shown->segment_count = count;
    shown->segments = rr_alloc_array(count + 1u, sizeof *shown->segments);
    for (uint32_t i = 0; i < count; i++) {
        const struct live_folder_segment *at = &r->segments[i];
        uint64_t end = at->start_us + at->duration_us;
        uint64_t next = i + 1 < count ? at[1].start_us : end;
        end = next + ROUNDED_US >= end && next <= end + ROUNDED_US ? next : end;
        shown->segments[i].start = at->start_us;
        shown->segments[i].duration = (uint32_t)(end - at->start_us);
        us += at->duration_us;
        bytes += at->bytes;
        longest_us = at->duration_us > longest_us ? at->duration_us : longest_us;
    }
    /* As in playlists, a segment below half the usual length tells no rate. */
    for (uint32_t i = 0; i < count; i++) {
        const struct live_folder_segment *at = &r->segments[i];
        uint64_t bps = at->duration_us > 0 ? at->bytes * 8000000 / at->duration_us + 1 : 0;
        peak = at->duration_us * 2 >= longest_us && bps > peak ? bps : peak;
    }
    shown->mean_bps = us > 0 ? (uint32_t)(bytes * 8000000 / us) : 0;
    shown->peak_bps = peak > UINT32_MAX ? UINT32_MAX : (uint32_t)peak;
}

/* Only whole ladders: a timeline with holes is no normal one. */
static void put_dash(struct live_folder *folder)
{
    struct rr_manifest view = {.kind = RR_RESOURCE_VOD, .rendition_count = folder->count};
    struct rr_buf text = {0};
    bool holes = false;
    view.renditions = rr_alloc_array(folder->count + 1u, sizeof *view.renditions);
    for (uint32_t i = 0; i < folder->count; i++) {
        uint64_t count = whole_segments(&folder->renditions[i], &holes);
        folder->too_many = folder->too_many || count > RR_SEGMENTS_MAX;
        show_times(&view.renditions[i], &folder->renditions[i],
                   folder->too_many ? 0 : (uint32_t)count);
    }
    folder->holes = holes;
    if (!holes && !folder->too_many) {
        rr_dash_manifest(&text, &view);
        put_file(folder, "manifest.mpd", rr_buf_slice(&text));
    }
    rr_buf_clear(&text);
    for (uint32_t i = 0; i < folder->count; i++) {
        rr_free(view.renditions[i].segments);
    }
    rr_free(view.renditions);
}

void live_folder_end(struct live_folder *folder)
{
    for (uint32_t i = 0; i < folder->count; i++) {
        if (!put_playlist(folder, i)) {
            end_playlist(folder, i);
        }
    }
    put_master(folder);
    if (folder->keep && folder->count > 0 && folder->renditions[0].count > 0) {
        put_dash(folder);
    }
}

/* Where no stream began, as after a wrong word or with a port that is taken. */
static void leave_nothing(const struct live_folder *folder)
{
    char path[RR_PATH_BYTES];
    struct rr_fault fault;
    if (folder->count == 0 && rr_path(path, &fault, "%s/gops.jsonl", folder->path) == RR_OK) {
        unlink(path);
        if (folder->made) {
            rmdir(folder->path);
        }
    }
}

void live_folder_clear(struct live_folder *folder)
{
    for (uint32_t i = 0; i < RR_COUNT(folder->renditions); i++) {
        rr_buf_clear(&folder->renditions[i].bytes);
        rr_free(folder->renditions[i].segments);
    }
    rr_buf_clear(&folder->master);
    if (folder->proofs >= 0) {
        leave_nothing(folder);
        close(folder->proofs);
    }
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What another rig gave is hostile until it has passed here. */
#include "crypto/crypto.h"
#include "transcode/transcode_shard.h"
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define CODED_TAIL 40 /* digest and bytes behind the PACKETS body */

struct walk {
    struct transcode_job *job;
    struct transcode_part *part;
    const struct rr_transcode_shard *shard;
    const struct transcode_scan_notes *scan;
    struct transcode_gop *gop;
    struct transcode_encode *task;
    struct transcode_packets *packets;
    struct rr_buf body;
    struct transcode_part_facts facts;
};

static enum rr_err check_gop(struct walk *walk, struct rr_fault *fault)
{
    const struct transcode_gop *gop = walk->gop;
    const struct rr_transcode_shard *shard = walk->shard;
    struct rr_hasher hasher;
    struct rr_hash32 digest;
    uint64_t at = 0, payload = 0;
    enum rr_err err = transcode_part_next(walk->part, &walk->body, &at, &payload, fault);
    if (err != RR_OK) {
        return err;
    }
    if (!transcode_decode_message(rr_buf_slice(&walk->body), gop, walk->gop) || payload != 0 ||
        !transcode_gop_fits(&walk->job->plan, gop) || gop->cell < shard->cell_first ||
        gop->cell >= shard->cell_end || gop->last >= walk->scan->count ||
        gop->first < shard->packet_first ||
        (walk->facts.gops > 0 &&
         (gop->cell <= walk->facts.last_cell || gop->pts[0] != walk->facts.end))) {
        return rr_fail(fault, RR_ERR_TRUST, "GOP %u of cells %u to %u does not fit its place",
                       (unsigned)walk->facts.gops, (unsigned)shard->cell_first,
                       (unsigned)shard->cell_end);
    }
    rr_hasher_init(&hasher, "rr.src.v1");
    for (uint32_t i = gop->first; i <= gop->last; i++) {
        rr_hasher_add(&hasher, walk->scan->notes[i].digest.bytes, sizeof digest.bytes);
    }
    rr_hasher_final(&hasher, &digest);
    if (!rr_hash32_equal(&digest, &gop->digest)) {
        return rr_fail(fault, RR_ERR_TRUST,
                       "the source's packets %u to %u do not have the digest that GOP %u names",
                       (unsigned)gop->first, (unsigned)gop->last, (unsigned)gop->cell);
    }
    walk->facts.first_pts = walk->facts.gops == 0 ? gop->pts[0] : walk->facts.first_pts;
    walk->facts.first_cell = walk->facts.gops == 0 ? gop->cell : walk->facts.first_cell;
    walk->facts.last_cell = gop->cell;
    walk->facts.end = gop->end;
    walk->facts.last = gop->last > walk->facts.last ? gop->last : walk->facts.last;
    walk->facts.gops++;
    return RR_OK;
}

static enum rr_err check_coded(struct walk *walk, unsigned rung, struct rr_fault *fault)
{
    struct transcode_coded coded = {0};
    struct rr_hash32 told;
    uint64_t at = 0, payload = 0;
    enum rr_err err = transcode_part_next(walk->part, &walk->body, &at, &payload, fault);
    if (err != RR_OK) {
        return err;
    }
    if (walk->body.len <= CODED_TAIL ||
        !transcode_decode_message(rr_slice_of(walk->body.ptr, walk->body.len - CODED_TAIL), packets,
                                  walk->packets) ||
        walk->packets->bytes != payload) {
        return rr_fail(fault, RR_ERR_TRUST, "the record of rung %u of GOP %u has no form", rung,
                       (unsigned)walk->gop->cell);
    }
    struct rr_reader tail =
        rr_reader_of(rr_slice_of(walk->body.ptr + walk->body.len - CODED_TAIL, CODED_TAIL));
    rr_read_bytes(&tail, told.bytes, sizeof told.bytes);
    uint64_t bytes = rr_read_u64(&tail);
    transcode_encode_task(walk->task, &walk->job->plan, rung, walk->gop->pts, walk->gop->count);
    err = transcode_check_packets(walk->packets, walk->task, fault);
    err = err != RR_OK
              ? err
              : transcode_job_extradata(walk->job, rung, walk->gop->cell, walk->packets, fault);
    err =
        err != RR_OK ? err : transcode_es_digest(&coded, walk->packets, walk->part->fd, at, fault);
    if (err == RR_ERR_DAMAGED) {
        fault->code = RR_ERR_TRUST;
        return RR_ERR_TRUST;
    }
    if (err == RR_OK && (!rr_hash32_equal(&told, &coded.digest) || bytes != coded.bytes)) {
        return rr_fail(fault, RR_ERR_TRUST, "rung %u of GOP %u does not have the digest it names",
                       rung, (unsigned)walk->gop->cell);
    }
    walk->facts.frames[rung] += walk->packets->count;
    return err;
}

static enum rr_err check_sound(struct walk *walk, struct rr_fault *fault)
{
    uint64_t at = 0, payload = 0;
    struct transcode_sound *sound = rr_alloc(sizeof *sound);
    enum rr_err err = transcode_part_next(walk->part, &walk->body, &at, &payload, fault);
    if (err == RR_OK) {
        struct rr_reader reader = rr_reader_of(rr_buf_slice(&walk->body));
        struct rr_slice told = rr_read_var32(&reader, TRANSCODE_MESSAGE_MAX);
        bool good =
            !reader.failed && transcode_decode_message(told, sound, sound) &&
            reader.len == (size_t)sound->count * 4 && payload == sound->bytes &&
            transcode_sound_check(sound, rr_slice_of(reader.ptr, reader.len), NULL) == RR_OK;
        err = good ? RR_OK : rr_fail(fault, RR_ERR_TRUST, "the sound's frames do not add up");
    }
    rr_free(sound);
    return err;
}

static enum rr_err check_text(struct walk *walk, struct rr_fault *fault)
{
    struct transcode_cues cues;
    uint64_t at = 0, payload = 0;
    enum rr_err err = transcode_part_next(walk->part, &walk->body, &at, &payload, fault);
    if (err == RR_OK) {
        struct rr_reader reader = rr_reader_of(rr_buf_slice(&walk->body));
        struct rr_slice told = rr_read_var32(&reader, TRANSCODE_MESSAGE_MAX);
        bool good = !reader.failed && payload == 0 && transcode_decode_message(told, cues, &cues) &&
                    transcode_cues_check(&cues, rr_slice_of(reader.ptr, reader.len), NULL) == RR_OK;
        err = good ? RR_OK : rr_fail(fault, RR_ERR_TRUST, "the subtitles do not follow their form");
    }
    return err;
}

static void walk_begin(struct walk *walk)
{
    walk->gop = rr_alloc(sizeof *walk->gop);
    walk->task = rr_alloc(sizeof *walk->task);
    walk->packets = rr_alloc(sizeof *walk->packets);
}

static void walk_end(struct walk *walk)
{
    rr_free(walk->gop);
    rr_free(walk->task);
    rr_free(walk->packets);
    rr_buf_clear(&walk->body);
}

enum rr_err transcode_part_check(struct transcode_part_facts *out, struct transcode_job *job,
                                 struct transcode_part *part,
                                 const struct rr_transcode_shard *shard,
                                 const struct transcode_scan_notes *scan, struct rr_fault *fault)
{
    struct walk walk = {.job = job, .part = part, .shard = shard, .scan = scan};
    enum rr_err err = RR_OK;
    walk.facts.bad_from = part->bad_from;
    if (part->sound != shard->sound) {
        return rr_fail(fault, RR_ERR_TRUST, "pictures were asked for and sound came, or the other");
    }
    walk_begin(&walk);
    for (uint32_t gop = 0; gop < part->gops && err == RR_OK; gop++) {
        err = check_gop(&walk, fault);
        for (unsigned rung = 0; rung < job->plan.rung_count && err == RR_OK; rung++) {
            err = check_coded(&walk, rung, fault);
        }
    }
    for (unsigned i = 0; i < job->plan.audio_count && part->sound && err == RR_OK; i++) {
        err = check_sound(&walk, fault);
    }
    for (unsigned i = 0; i < job->plan.subtitle_count && part->sound && err == RR_OK; i++) {
        err = check_text(&walk, fault);
    }
    if (err == RR_OK && part->at != part->end) {
        err = rr_fail(fault, RR_ERR_TRUST, "%llu bytes behind the last record of a part",
                      (unsigned long long)(part->end - part->at));
    }
    walk_end(&walk);
    if (err == RR_OK) {
        *out = walk.facts;
    }
    return err;
}

/* ---- spot checks ---- */

static bool same_bytes(int a, uint64_t a_at, int b, uint64_t b_at, uint64_t len)
{
    uint8_t *left = rr_alloc(1u << 16), *right = rr_alloc(1u << 16);
    bool same = true;
    for (uint64_t done = 0; done < len && same;) {
        size_t now = (size_t)(len - done < (1u << 16) ? len - done : 1u << 16);
        same = rr_pread_full(a, left, now, a_at + done, NULL) == RR_OK &&
               rr_pread_full(b, right, now, b_at + done, NULL) == RR_OK &&
               memcmp(left, right, now) == 0;
        done += now;
    }
    rr_free(left);
    rr_free(right);
    return same;
}

/* The next `records` records in both; `part` is moved behind `skip` of its own first. */
static enum rr_err compare(struct transcode_part part, struct transcode_part *mine, uint32_t skip,
                           uint32_t records, struct rr_fault *fault)
{
    struct rr_buf body = {0}, own = {0};
    uint64_t at = 0, payload = 0, own_at = 0, own_payload = 0;
    enum rr_err err = RR_OK;
    for (uint32_t i = 0; i < skip && err == RR_OK; i++) {
        err = transcode_part_next(&part, &body, &at, &payload, fault);
    }
    for (uint32_t i = 0; i < records && err == RR_OK; i++) {
        err = transcode_part_next(&part, &body, &at, &payload, fault);
        err = err != RR_OK ? err : transcode_part_next(mine, &own, &own_at, &own_payload, fault);
        if (err == RR_OK &&
            (!rr_slice_equal(rr_buf_slice(&body), rr_buf_slice(&own)) || payload != own_payload ||
             !same_bytes(part.fd, at, mine->fd, own_at, payload))) {
            err =
                rr_fail(fault, RR_ERR_TRUST, "%s that was made again here is not what the rig gave",
                        part.sound ? "the sound"
                        : i == 0   ? "a GOP of the source"
                                   : "a GOP");
        }
    }
    rr_buf_clear(&body);
    rr_buf_clear(&own);
    return err;
}

/* The cell of the GOP `number` of a part that has been checked. */
static enum rr_err cell_of(uint32_t *out, const struct transcode_job *job,
                           struct transcode_part part, uint32_t number, struct rr_fault *fault)
{
    struct transcode_gop *gop = rr_alloc(sizeof *gop);
    struct rr_buf body = {0};
    uint64_t at = 0, payload = 0;
    uint32_t skip = number * ((uint32_t)job->plan.rung_count + 1);
    enum rr_err err = RR_OK;
    for (uint32_t i = 0; i <= skip && err == RR_OK; i++) {
        err = transcode_part_next(&part, &body, &at, &payload, fault);
    }
    if (err == RR_OK && transcode_decode_message(rr_buf_slice(&body), gop, gop)) {
        *out = gop->cell;
    }
    rr_buf_clear(&body);
    rr_free(gop);
    return err;
}

/* A cell, or the sound, made again; *fd is the caller's. */
static enum rr_err make_again(struct transcode_part *out, int *fd, const struct transcode_job *job,
                              const struct rr_transcode_shard *shard, uint32_t cell,
                              struct rr_fault *fault)
{
    char path[RR_PATH_BYTES], folder[RR_PATH_BYTES];
    struct stat facts;
    enum rr_err err = rr_path(path, fault, "%s/spot", job->options.job_folder);
    err = err != RR_OK ? err : rr_path(folder, fault, "%s/spot.d", job->options.job_folder);
    err = err != RR_OK ? err
                       : transcode_part_make(path, folder, job, cell, cell + 1, shard->packet_first,
                                             shard->sound, fault);
    if (err != RR_OK) {
        return err;
    }
    *fd = open(path, O_RDONLY | O_CLOEXEC);
    unlink(path);
    if (*fd < 0 || fstat(*fd, &facts) != 0) {
        return rr_fail_errno(fault, "%.200s cannot be read", path);
    }
    return transcode_part_open(out, *fd, 0, (uint64_t)facts.st_size, fault);
}

/* One GOP, or all of the sound, which is one record a track. */
enum rr_err transcode_part_spot(const struct transcode_job *job, const struct transcode_part *part,
                                const struct rr_transcode_shard *shard, struct rr_fault *fault)
{
    struct transcode_part mine;
    uint8_t dice = 0;
    int fd = -1;
    if (!part->sound && part->gops == 0) {
        return RR_OK;
    }
    rr_random(&dice, sizeof dice); /* nobody is to know which */
    uint32_t number = part->sound ? 0 : dice % part->gops, cell = 0;
    uint32_t records = part->sound ? (uint32_t)job->plan.audio_count + job->plan.subtitle_count
                                   : (uint32_t)job->plan.rung_count + 1;
    enum rr_err err = part->sound ? RR_OK : cell_of(&cell, job, *part, number, fault);
    err = err != RR_OK ? err : make_again(&mine, &fd, job, shard, cell, fault);
    if (err == RR_OK && !part->sound && mine.gops != 1) {
        err = rr_fail(fault, RR_ERR_TRUST, "no picture falls into GOP %u", (unsigned)cell);
    }
    err = err != RR_OK ? err : compare(*part, &mine, number * records, records, fault);
    if (fd >= 0) {
        close(fd);
    }
    return err;
}

static enum rr_err check_lack(const struct transcode_job *job,
                              const struct rr_transcode_shard *shard, uint32_t cell,
                              struct rr_fault *fault)
{
    struct transcode_part mine;
    int fd = -1;
    enum rr_err err = make_again(&mine, &fd, job, shard, cell, fault);
    if (err == RR_OK && mine.gops > 0) {
        err = rr_fail(fault, RR_ERR_TRUST, "the pictures of GOP %u are not in it", (unsigned)cell);
    }
    if (fd >= 0) {
        close(fd);
    }
    return err;
}

enum rr_err transcode_part_ends(const struct transcode_job *job,
                                const struct transcode_part_facts *facts,
                                const struct rr_transcode_shard *shard,
                                const struct transcode_scan_notes *scan, struct rr_fault *fault)
{
    uint32_t first = UINT32_MAX, last = 0;
    enum rr_err err = RR_OK;
    for (uint32_t i = 0; i < scan->count; i++) {
        int64_t pts = scan->notes[i].pts;
        uint32_t cell = pts == INT64_MIN || pts < job->plan.first_pts
                            ? UINT32_MAX
                            : transcode_cell(&job->plan, pts);
        if (cell >= shard->cell_first && cell < shard->cell_end) {
            first = cell < first ? cell : first;
            last = cell > last ? cell : last;
        }
    }
    if (first == UINT32_MAX) {
        return RR_OK;
    }
    if (facts->gops == 0 || facts->first_cell > first) {
        err = check_lack(job, shard, first, fault);
    }
    if (err == RR_OK && last != first && (facts->gops == 0 || facts->last_cell < last)) {
        err = check_lack(job, shard, last, fault);
    }
    return err;
}

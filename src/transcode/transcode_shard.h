/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Between the files that cut a job into shards and put it together again. */
#ifndef RR_TRANSCODE_SHARD_H
#define RR_TRANSCODE_SHARD_H
#include "transcode/transcode_private.h"

/* ---- parts: what a rig gives for a shard (transcode_part.c)
 * The file: u32 version, u8 sound, u32 GOPs, u32 bad_from; then for each GOP its record and that of
 * each rung, or the records of all sound and text: u32 body, u64 payload, bodies and payloads as in
 * the journal.
 */
struct transcode_part {
    int fd; /* borrowed */
    uint64_t at, end;
    bool sound;
    uint32_t gops, bad_from;
};
/* RR_ERR_TRUST when the head does not follow its form. */
enum rr_err transcode_part_open(struct transcode_part *out, int fd, uint64_t offset, uint64_t bytes,
                                struct rr_fault *fault) RR_MUST_USE;
/* The next record; body cleared first. RR_ERR_TRUST at a bad one, also behind the last. */
enum rr_err transcode_part_next(struct transcode_part *part, struct rr_buf *body,
                                uint64_t *payload_at, uint64_t *payload_bytes,
                                struct rr_fault *fault) RR_MUST_USE;
/* Writes what the job's journal holds as a part into a fresh file. */
enum rr_err transcode_part_write(const char *path, const struct transcode_job *job, bool sound,
                                 struct rr_fault *fault) RR_MUST_USE;
/* Makes a shard in a job of its own, in `folder`, which is then removed, into the file `path`. */
enum rr_err transcode_part_make(const char *path, const char *folder,
                                const struct transcode_job *like, uint32_t cell_first,
                                uint32_t cell_end, uint32_t packet_first, bool sound,
                                struct rr_fault *fault) RR_MUST_USE;

/* ---- the look at all packets (transcode_scan.c) ---- */
struct transcode_scan_note {
    struct rr_hash32 digest;
    int64_t pts;
    bool key;
};
struct transcode_scan_notes {
    struct transcode_scan_note *notes; /* owned */
    uint32_t count;
};
enum rr_err transcode_scan_read(struct transcode_scan_notes *out, const struct transcode_job *job,
                                struct rr_fault *fault) RR_MUST_USE;
/* Shards of this job, owned; the pictures' in rising order, the sound last. */
void transcode_scan_cut(struct rr_transcode_shard **out, uint32_t *count,
                        const struct transcode_scan_notes *scan, const struct transcode_job *job);

/* ---- checks of a part (transcode_part_check.c) ---- */
/* What the coordinator keeps of a part that holds. */
struct transcode_part_facts {
    uint32_t gops, bad_from, last; /* last: highest packet of its GOPs */
    uint32_t frames[RR_RUNGS_MAX];
    int64_t first_pts, end;         /* when gops > 0 */
    uint32_t first_cell, last_cell; /* so too; only of a part that was just checked */
};
/* All that can be known without making it again: form, place, times, digests of source and of what
 * came out, parameter sets like those of `job`, whose first it becomes. RR_ERR_TRUST. */
enum rr_err transcode_part_check(struct transcode_part_facts *out, struct transcode_job *job,
                                 struct transcode_part *part,
                                 const struct rr_transcode_shard *shard,
                                 const struct transcode_scan_notes *scan,
                                 struct rr_fault *fault) RR_MUST_USE;
/* The first and the last cell in which packets show, and which the part does not have, made here:
 * RR_ERR_TRUST when there are pictures. What lacks in the middle shows at the borders of parts. */
enum rr_err transcode_part_ends(const struct transcode_job *job,
                                const struct transcode_part_facts *facts,
                                const struct rr_transcode_shard *shard,
                                const struct transcode_scan_notes *scan,
                                struct rr_fault *fault) RR_MUST_USE;
/* One GOP of the part against the same GOP made here. RR_ERR_TRUST when they differ. */
enum rr_err transcode_part_spot(const struct transcode_job *job, const struct transcode_part *part,
                                const struct rr_transcode_shard *shard,
                                struct rr_fault *fault) RR_MUST_USE;
#endif

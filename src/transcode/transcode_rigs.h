/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Part of the door of transcode: a job cut into shards that any rig makes, with the same bytes in
 * the end whatever rig made what. */
#ifndef RR_TRANSCODE_RIGS_H
#define RR_TRANSCODE_RIGS_H
#include "transcode/transcode.h"

/* A part of a job that any rig makes alone: all renditions of the pictures of the cells
 * [cell_first, cell_end) of the GOP grid, decoded from packet packet_first on; or the sound. */
struct rr_transcode_shard {
    bool sound;
    uint32_t cell_first, cell_end, packet_first;
    uint64_t cost; /* about how much work, in pixels; the sound is 1 */
    bool here; /* no other machine is to make it: libopus estimates square roots by the processor's
                  own tables, and two makers of processors have two */
    bool done; /* its records are in the job's folder */
    uint32_t take_size; /* GOPs that it gave; 0 when not done */
    uint32_t revision;  /* rises when it must be made again otherwise than before */
};
struct rr_transcode_job;
/* Opens the job of options->job_folder, or goes on with it: plan, lock, journal, a look at all
 * packets of the source, and shards. Errors as rr_transcode_run. source_fd and
 * options borrowed for the call. Blocks while it reads the source. A job belongs to one thread. */
enum rr_err rr_transcode_open(struct rr_transcode_job **out, int source_fd,
                              const struct rr_transcode_options *options, const atomic_bool *cancel,
                              struct rr_fault *fault) RR_MUST_USE;
void rr_transcode_close(struct rr_transcode_job *job); /* NULL is fine; the folder stays */
const struct rr_hash32 *rr_transcode_key(const struct rr_transcode_job *job);
/* All that a rig must know beside the source and the shard; borrowed. */
struct rr_slice rr_transcode_plan(const struct rr_transcode_job *job);
/* Borrowed, of as many as *count; they change with rr_transcode_take. */
const struct rr_transcode_shard *rr_transcode_shards(const struct rr_transcode_job *job,
                                                     size_t *count);
/* Makes a shard into the fresh file out_path, on any rig: workers, worker_path and job_folder
 * (scratch room, made and removed) of the options are used, the rest is in the plan. The plan is
 * taken for hostile: RR_ERR_FORMAT, RR_ERR_UNSUPPORTED of another version. Otherwise as
 * rr_transcode_run. progress and cancel may be NULL. */
enum rr_err rr_transcode_range(const char *out_path, int source_fd, struct rr_slice plan,
                               const struct rr_transcode_shard *shard,
                               const struct rr_transcode_options *options,
                               const atomic_bool *cancel, struct rr_fault *fault) RR_MUST_USE;
/* Checks what a rig gave for shards[index] in the file at `path` as any worker's answer, and moves
 * it into the job's folder; done then says so, but for a shard that must be made again because of
 * damage before it. RR_ERR_TRUST: it is not what was asked, the file stays; other errors are our
 * own. `check` makes one GOP of it again here, in all renditions, or all of the sound, and
 * compares. */
enum rr_err rr_transcode_take(struct rr_transcode_job *job, size_t index, const char *path,
                              bool check, struct rr_fault *fault) RR_MUST_USE;
/* As rr_transcode_progress_fn gets it, of what is taken. */
void rr_transcode_shown(const struct rr_transcode_job *job, struct rr_transcode_progress *out);
/* Puts the shards together and packs; what is missing is made here. RR_ERR_TRUST: neighbours do not
 * fit, both are open again. Otherwise as rr_transcode_run. */
enum rr_err rr_transcode_finish(struct rr_transcode_job *job, struct rr_transcode_result *out,
                                rr_transcode_progress_fn *progress, void *ctx,
                                struct rr_fault *fault) RR_MUST_USE;
#endif

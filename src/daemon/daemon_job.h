/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A publishing job: one video from upload to proof. Its state is a file, written before each next
 * step, so that a killed rig goes on where it was. */
#ifndef RR_DAEMON_JOB_H
#define RR_DAEMON_JOB_H
#include "daemon/daemon_chain.h"
#include "daemon/daemon_puzzles.h"
#include "transcode/transcode.h"

#define DAEMON_JOB_STAGES(X)                                                                       \
    X(JOB_UPLOADED, "uploaded")                                                                    \
    X(JOB_STORED, "stored")                                                                        \
    X(JOB_CONTRACTED, "contracted")                                                                \
    X(JOB_PUBLISHED, "published")                                                                  \
    X(JOB_CLAIMED, "claimed")                                                                      \
    X(JOB_PROVED, "proved")                                                                        \
    X(JOB_REFUSED, "refused")                                                                      \
    X(JOB_FAILED, "failed")
enum daemon_job_stage {
#define X(id, text) id,
    DAEMON_JOB_STAGES(X)
#undef X
};
struct daemon_rendition_progress {
    char name[RR_NAME_MAX + 1];
    uint32_t gops_done, gops;
    double fps;
};
struct daemon_job {
    struct daemon_job *next;
    struct rr_rig *rig;
    char handle[33]; /* names its folder and the API's job */
    /* kept in job.json */
    char title[RR_NAME_MAX + 1];
    enum daemon_job_stage stage;
    struct rr_job_spec spec; /* source is zero before JOB_STORED */
    char preset[32];
    struct rr_coin slice_price, job_price;
    uint32_t slice_bytes;
    uint8_t data_shards, parity_shards;
    uint64_t source_bytes;
    struct rr_hash32 contract_tx, claim_tx, attestation_tx; /* ids; zero: not made yet */
    struct rr_hash32 resource_id, root;
    uint32_t leaves, gops;
    uint64_t frames_in, concealed;
    bool frames_out_ok;
    uint16_t proofs_checked, proofs_failed;
    uint64_t shards;
    struct daemon_puzzles puzzles;
    struct daemon_chain chain;
    double transcode_s, prove_s, store_s;
    char error[320];
    /* only while it runs */
    double percent, fps, eta_s;
    struct daemon_rendition_progress renditions[RR_RENDITIONS_MAX];
    uint32_t rendition_count;
    bool waits;         /* for coins, in the queue behind the others */
    atomic_bool cancel; /* the rig stops; or else its owner gave the job up */
};

const char *daemon_job_stage_text(enum daemon_job_stage stage);
/* Under rig->lock. */
void daemon_job_set_stage(struct daemon_job *job, enum daemon_job_stage stage);
bool daemon_job_final(enum daemon_job_stage stage);
/* Path of a file in the job's folder. */
enum rr_err daemon_job_path(const struct daemon_job *job, char out[static RR_PATH_BYTES],
                            const char *name, struct rr_fault *fault) RR_MUST_USE;
/* Writes job.json durably. Takes rig->lock. Blocks. */
enum rr_err daemon_job_save(struct daemon_job *job, struct rr_fault *fault) RR_MUST_USE;
/* Loads all jobs of the data folder into rig->jobs and queues the unfinished ones. */
enum rr_err daemon_jobs_load(struct rr_rig *rig, struct rr_fault *fault) RR_MUST_USE;
/* What is asked of a new job; NULL: as configured. */
struct daemon_job_words {
    const char *title, *ladder, *kbps, *max_kbps, *tone_map, *slice_price, *chain, *journal;
    struct daemon_puzzle_words puzzles;
};
/* New job around the uploaded file (renamed into the job's folder). Queued when RR_OK. handle
 * copied to out. */
enum rr_err daemon_job_create(struct rr_rig *rig, char out[static 33], const char *upload_path,
                              const struct daemon_job_words *words,
                              struct rr_fault *fault) RR_MUST_USE;
/* Runs the steps that are left; on the jobs thread. A job that has no coins for its contract goes
 * to the end of the queue. ctx: the job. */
void daemon_job_run(void *ctx);
/* Gives a job up that is not published: it fails as soon as its thread hears of it.
 * RR_ERR_NOTFOUND; RR_ERR_STATE: published, or over. Any thread. */
enum rr_err daemon_job_cancel(struct rr_rig *rig, const char *handle,
                              struct rr_fault *fault) RR_MUST_USE;
/* Removes the objects that neither a manifest nor a job that goes on names; on the jobs thread, so
 * that no job is between its objects and its manifest. Nothing is removed when a manifest or a
 * job's record cannot be read. ctx: the rig. */
void daemon_collect(void *ctx);
/* Steps of daemon_prove.c: claim on the ledger, challenge, verify, attest. */
enum rr_err daemon_prove_claim(struct daemon_job *job, struct rr_fault *fault) RR_MUST_USE;
enum rr_err daemon_prove_verify(struct daemon_job *job, struct rr_fault *fault) RR_MUST_USE;
/* Gets one transaction of the job into a block: *id names it (zero: `fill` makes type and body
 * first). Survives restarts; waits for blocks and funds. RR_ERR_FUNDS at JOB_STORED alone: it has
 * waited a block, or another job waits for this thread; to be called again. */
enum rr_err daemon_job_transact(struct daemon_job *job, struct rr_hash32 *id, const char *name,
                                void (*fill)(void *ctx, struct rr_tx *tx), void *fill_ctx,
                                uint64_t *height, struct rr_fault *fault) RR_MUST_USE;
/* Makes and sends one transaction of the job, as daemon_job_transact, without waiting for it. */
enum rr_err daemon_job_send(struct daemon_job *job, struct rr_hash32 *id, const char *name,
                            void (*fill)(void *ctx, struct rr_tx *tx), void *fill_ctx,
                            struct rr_fault *fault) RR_MUST_USE;
/* The original out of the store in a sealed memfd at offset 0; the caller closes it. */
enum rr_err daemon_job_original(struct daemon_job *job, int *fd,
                                struct rr_fault *fault) RR_MUST_USE;
/* Rungs and rates into the job's specification. */
void daemon_job_set_ladder(struct rr_job_spec *spec, const struct rr_ladder *ladder);
/* Transcoding options of the job. */
enum rr_err daemon_job_options(const struct daemon_job *job, struct rr_transcode_options *out,
                               struct rr_fault *fault) RR_MUST_USE;
#endif

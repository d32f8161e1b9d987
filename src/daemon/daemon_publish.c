/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/daemon_job.h"
#include "proof/proof.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define COPY_BYTES (4u << 20)

static double seconds_since(const struct rr_clock *clock, uint64_t from_us)
{
    return (double)(rr_monotonic_us(clock) - from_us) / 1e6;
}

/* ---- original -------------------------------------------------------------------------------- */

/* An automatic ladder is chosen before the job has a name, so that whoever checks it need not
 * measure. */
static enum rr_err choose_ladder(struct daemon_job *job, int fd,
                                 const struct rr_transcode_options *options, struct rr_fault *fault)
{
    struct rr_ladder ladder;
    if (!options->ladder.automatic) {
        return RR_OK;
    }
    enum rr_err err = rr_transcode_choose(&ladder, fd, options, &job->cancel, fault);
    if (err == RR_OK) {
        pthread_mutex_lock(&job->rig->lock);
        daemon_job_set_ladder(&job->spec, &ladder);
        pthread_mutex_unlock(&job->rig->lock);
    }
    return err;
}

static enum rr_err store_original(struct daemon_job *job, struct rr_fault *fault)
{
    char path[RR_PATH_BYTES];
    enum rr_err err = daemon_job_path(job, path, "source", fault);
    if (err != RR_OK) {
        return err;
    }
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return rr_fail_errno(fault, "cannot read the uploaded file %s", path);
    }
    uint64_t started_us = rr_monotonic_us(job->rig->clock);
    struct rr_object object;
    struct rr_transcode_facts facts;
    struct rr_transcode_options options;
    if (job->source_bytes == 0) {
        err = rr_fail(fault, RR_ERR_FORMAT, "the uploaded file is empty; a video was expected");
    } else if ((err = daemon_job_options(job, &options, fault)) == RR_OK &&
               (err = rr_transcode_probe(&facts, fd, &options, fault)) == RR_OK &&
               (err = choose_ladder(job, fd, &options, fault)) == RR_OK) {
        /* Looked into before anything is stored or paid. */
        err = rr_store_put_fd(job->rig->store, &object, fd, job->source_bytes, job->data_shards,
                              job->parity_shards, fault);
    }
    close(fd);
    if (err != RR_OK) {
        return err;
    }
    job->spec.source = object.object_id;
    job->shards = (uint64_t)object.k + object.m;
    job->store_s = seconds_since(job->rig->clock, started_us);
    daemon_job_set_stage(job, JOB_STORED);
    err = daemon_job_save(job, fault);
    if (err == RR_OK) {
        unlink(path); /* the store has it; a leftover is removed with the folder */
    }
    return err;
}

enum rr_err daemon_job_original(struct daemon_job *job, int *fd, struct rr_fault *fault)
{
    struct rr_object object;
    enum rr_err err = rr_store_object(job->rig->store, &job->spec.source, &object, fault);
    if (err != RR_OK) {
        return err;
    }
    int memfd = memfd_create("reelrig-original", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (memfd < 0) {
        return rr_fail_errno(fault, "cannot make memory for the original");
    }
    uint8_t *piece = rr_alloc(COPY_BYTES);
    for (uint64_t at = 0; at < object.length && err == RR_OK; at += COPY_BYTES) {
        size_t len = object.length - at < COPY_BYTES ? (size_t)(object.length - at) : COPY_BYTES;
        err = rr_store_read(job->rig->store, &object, at, piece, len, fault);
        if (err == RR_OK) {
            err = rr_pwrite_full(memfd, piece, len, at, fault);
        }
    }
    rr_free(piece);
    if (err == RR_OK &&
        fcntl(memfd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0) {
        err = rr_fail_errno(fault, "cannot seal the original");
    }
    if (err != RR_OK) {
        close(memfd);
        return err;
    }
    *fd = memfd;
    return RR_OK;
}

/* Own transactions do not take each other's sequence (rr_chain_send): once is usual after a crash,
 * more is somebody else with this rig's key. */
#define COLLISIONS_MAX  8
#define FULL_BLOCKS_MAX 1000

/* ---- transactions of a job ------------------------------------------------------------------- */

struct keeping {
    struct daemon_job *job;
    struct rr_hash32 *id;
    const char *path;
};

/* Kept before it is sent: after a crash the same transaction is sent again, never a second one. */
static enum rr_err keep_tx(void *ctx, const struct rr_tx *tx, struct rr_fault *fault)
{
    const struct keeping *keeping = ctx;
    struct rr_buf bytes = {0};
    rr_tx_id(keeping->id, tx);
    rr_tx_encode(&bytes, tx);
    enum rr_err err = rr_file_write(keeping->path, rr_buf_slice(&bytes), 0600, fault);
    rr_buf_clear(&bytes);
    return err == RR_OK ? daemon_job_save(keeping->job, fault) : err;
}

static enum rr_err submit_new(struct daemon_job *job, struct rr_hash32 *id, const char *path,
                              void (*fill)(void *ctx, struct rr_tx *tx), void *fill_ctx,
                              struct rr_fault *fault)
{
    struct rr_tx tx = {0};
    struct keeping keeping = {.job = job, .id = id, .path = path};
    fill(fill_ctx, &tx);
    return rr_chain_send(job->rig->chain, &tx, job->rig->key, keep_tx, &keeping, fault);
}

static enum rr_err submit_kept(struct daemon_job *job, const char *path, struct rr_fault *fault)
{
    struct rr_buf bytes = {0};
    struct rr_tx tx;
    enum rr_err err = rr_file_read(&bytes, path, RR_TX_BYTES_MAX, fault);
    if (err == RR_OK && (err = rr_tx_decode(&tx, rr_buf_slice(&bytes), fault)) == RR_OK) {
        err = rr_chain_submit(job->rig->chain, &tx, fault);
    }
    rr_buf_clear(&bytes);
    return err;
}

/* Says why the job stands still, in its record and once in the log; "" ends it. */
static void show_waiting(struct daemon_job *job, const char *why)
{
    pthread_mutex_lock(&job->rig->lock);
    bool news = strcmp(job->error, why) != 0;
    snprintf(job->error, sizeof job->error, "%s", why);
    pthread_mutex_unlock(&job->rig->lock);
    if (news && why[0] != '\0') {
        rr_log(RR_LOG_WARN, "jobs", "job %s waits: %s", job->handle, why);
    }
}

/* Under rig->lock: whether a job has something to do that this one keeps it from. */
static bool others_ready(const struct daemon_job *job)
{
    for (const struct daemon_job *other = job->rig->jobs; other != NULL; other = other->next) {
        if (other != job && !other->waits && !daemon_job_final(other->stage)) {
            return true;
        }
    }
    return false;
}

/* Until the next block; for_coins: or until another job is ready. */
static enum rr_err wait_block(struct daemon_job *job, bool for_coins, struct rr_fault *fault)
{
    struct rr_rig *rig = job->rig;
    struct rr_chain_tip tip;
    rr_chain_tip(rig->chain, &tip);
    pthread_mutex_lock(&rig->lock);
    while (rig->tip_height <= tip.height && !atomic_load(&rig->stopping) &&
           !atomic_load(&job->cancel) && !(for_coins && others_ready(job))) {
        pthread_cond_wait(&rig->tip_changed, &rig->lock);
    }
    pthread_mutex_unlock(&rig->lock);
    return atomic_load(&rig->stopping) || atomic_load(&job->cancel)
               ? rr_fail(fault, RR_ERR_CANCELLED, "the rig stops, or the job was cancelled")
               : RR_OK;
}

enum rr_err daemon_job_transact(struct daemon_job *job, struct rr_hash32 *id, const char *name,
                                void (*fill)(void *ctx, struct rr_tx *tx), void *fill_ctx,
                                uint64_t *height, struct rr_fault *fault)
{
    struct rr_rig *rig = job->rig;
    char path[RR_PATH_BYTES];
    enum rr_err err = daemon_job_path(job, path, name, fault);
    unsigned collisions = 0, full_blocks = 0;
    while (err == RR_OK) {
        if (!rr_hash32_is_zero(id) && rr_chain_tx_height(rig->chain, id, height, NULL) == RR_OK) {
            show_waiting(job, "");
            return RR_OK;
        }
        enum rr_err sent = rr_hash32_is_zero(id) ? submit_new(job, id, path, fill, fill_ctx, fault)
                                                 : submit_kept(job, path, fault);
        if (sent == RR_ERR_STATE || sent == RR_ERR_NOTFOUND) {
            /* One of an earlier life whose sequence another took, or that grew too old: make it
             * anew, unless it is in a block by now. */
            if (rr_chain_tx_height(rig->chain, id, height, NULL) == RR_OK) {
                return RR_OK;
            }
            rr_log(RR_LOG_WARN, "jobs", "job %s makes %s anew: %s", job->handle, name, fault->text);
            if (++collisions > COLLISIONS_MAX) {
                return sent;
            }
            *id = (struct rr_hash32){0};
        } else if (sent == RR_ERR_FUNDS) {
            *id = (struct rr_hash32){0}; /* mining or a transfer may bring them */
            show_waiting(job, fault->text);
            if (job->stage == JOB_STORED) { /* nothing is done yet that others could wait for */
                err = wait_block(job, true, fault);
                return err != RR_OK ? err : RR_ERR_FUNDS;
            }
        } else if (sent == RR_ERR_LIMIT && ++full_blocks <= FULL_BLOCKS_MAX) {
            show_waiting(job, fault->text); /* no room to wait in: the next block makes some */
        } else if (sent != RR_OK) {
            return sent;
        }
        err = wait_block(job, false, fault);
    }
    return err;
}

static void fill_contract(void *ctx, struct rr_tx *tx)
{
    const struct daemon_job *job = ctx;
    tx->type = RR_TX_OPEN_CONTRACT;
    tx->body.open_contract.kind = RR_CONTRACT_TRANSCODE;
    rr_job_id(&tx->body.open_contract.job_id, &job->spec);
    tx->body.open_contract.provider = job->rig->public_key;
    tx->body.open_contract.verifier = job->rig->public_key;
    tx->body.open_contract.price = job->job_price;
    tx->body.open_contract.challenges = job->spec.challenges;
    tx->body.open_contract.expiry_blocks = job->rig->config.genesis.pool_blocks_max;
}

enum rr_err daemon_job_send(struct daemon_job *job, struct rr_hash32 *id, const char *name,
                            void (*fill)(void *ctx, struct rr_tx *tx), void *fill_ctx,
                            struct rr_fault *fault)
{
    char path[RR_PATH_BYTES];
    enum rr_err err = daemon_job_path(job, path, name, fault);
    return err != RR_OK ? err : submit_new(job, id, path, fill, fill_ctx, fault);
}

static enum rr_err contract(struct daemon_job *job, struct rr_fault *fault)
{
    uint64_t height;
    enum rr_err err = job->chain.chain.step_count > 0
                          ? daemon_chain_contract(job, fault)
                          : daemon_job_transact(job, &job->contract_tx, "contract.tx",
                                                fill_contract, job, &height, fault);
    if (err != RR_OK) {
        return err;
    }
    daemon_job_set_stage(job, JOB_CONTRACTED);
    return daemon_job_save(job, fault);
}

/* ---- transcoding, storing, publishing -------------------------------------------------------- */

enum rr_err daemon_job_options(const struct daemon_job *job, struct rr_transcode_options *out,
                               struct rr_fault *fault)
{
    enum rr_codec codec;
    const char *preset;
    if (!rr_transcode_profile_read(&codec, &preset, job->spec.profile)) {
        return rr_fail(fault, RR_ERR_UNSUPPORTED,
                       "the job asks for profile %s, which this version does not have",
                       job->spec.profile);
    }
    *out = (struct rr_transcode_options){
        .codec = codec,
        .gop_ms = job->spec.gop_ms,
        .crf = job->spec.crf,
        .audio_bps = job->spec.audio_bps,
        .workers = job->rig->config.workers,
        .preset = preset,
        .tone_map = job->spec.tone_map != 0,
    };
    out->ladder.rung_count = job->spec.rung_count;
    memcpy(out->ladder.rungs, job->spec.rungs, sizeof out->ladder.rungs);
    memcpy(out->ladder.rates, job->spec.rates, sizeof out->ladder.rates);
    out->ladder.automatic = job->spec.rung_count == 0;
    return RR_OK;
}

static void show_progress(void *ctx, const struct rr_transcode_progress *progress)
{
    struct daemon_job *job = ctx;
    pthread_mutex_lock(&job->rig->lock);
    job->percent = progress->percent;
    job->fps = progress->fps;
    job->eta_s = progress->eta_s;
    job->rendition_count = progress->rendition_count;
    for (uint32_t i = 0; i < progress->rendition_count; i++) {
        struct daemon_rendition_progress *to = &job->renditions[i];
        snprintf(to->name, sizeof to->name, "%s", progress->renditions[i].name);
        to->gops_done = progress->renditions[i].gops_done;
        to->gops = progress->renditions[i].gops;
        to->fps = progress->renditions[i].fps;
    }
    pthread_mutex_unlock(&job->rig->lock);
}

/* The last report comes before the last GOP. */
static void show_done(struct daemon_job *job, const struct rr_transcode_result *result)
{
    pthread_mutex_lock(&job->rig->lock);
    job->percent = 100;
    job->eta_s = 0;
    for (uint32_t i = 0; i < job->rendition_count && i < result->rendition_count; i++) {
        bool video = result->renditions[i].info.kind == RR_RENDITION_VIDEO;
        job->renditions[i].gops = video ? result->gops : 1;
        job->renditions[i].gops_done = job->renditions[i].gops;
    }
    pthread_mutex_unlock(&job->rig->lock);
}

/* maker: NULL, or what puts puzzles into segment `number` of the newest rendition. */
static enum rr_err put_file(struct daemon_job *job, struct rr_manifest *manifest,
                            struct rr_segment *segment, const char *path,
                            struct daemon_puzzle_maker *maker, uint32_t number,
                            struct rr_fault *fault)
{
    struct rr_buf bytes = {0};
    enum rr_err err = rr_file_read(&bytes, path, 1u << 30, fault);
    struct rr_object *object = &manifest->objects[manifest->object_count];
    if (err == RR_OK && maker != NULL) {
        uint32_t rendition = manifest->rendition_count - 1;
        err = daemon_puzzles_insert(maker, &bytes, rendition,
                                    manifest->renditions[rendition].timescale, number, segment,
                                    fault);
    }
    if (err == RR_OK) {
        err = rr_store_put(job->rig->store, object, rr_buf_slice(&bytes), job->data_shards,
                           job->parity_shards, fault);
    }
    if (err == RR_OK) {
        segment->object = manifest->object_count++;
        segment->offset = 0;
        segment->bytes = (uint32_t)bytes.len;
        rr_segment_digest(&segment->digest, rr_buf_slice(&bytes));
        job->shards += (uint64_t)object->k + object->m;
    }
    rr_buf_clear(&bytes);
    return err;
}

/* What puzzles add to the rates that were measured without them. */
static void add_rates(struct rr_rendition *to, const struct rr_transcode_rendition *from)
{
    uint64_t bytes = 0, ticks = 0;
    double peak = to->peak_bps, mean = to->mean_bps;
    for (uint32_t i = 0; i < to->segment_count; i++) {
        uint64_t added = to->segments[i].bytes - from->segments[i].bytes;
        uint64_t duration = to->segments[i].duration > 0 ? to->segments[i].duration : 1;
        double bps = (double)added * 8 * to->timescale / (double)duration;
        peak = to->peak_bps + bps > peak ? to->peak_bps + bps : peak;
        bytes += added;
        ticks += duration;
    }
    mean += ticks > 0 ? (double)bytes * 8 * to->timescale / (double)ticks : 0;
    to->peak_bps = (uint32_t)(peak > UINT32_MAX ? UINT32_MAX : peak);
    to->mean_bps = (uint32_t)(mean > UINT32_MAX ? UINT32_MAX : mean);
}

static enum rr_err put_rendition(struct daemon_job *job, struct rr_manifest *manifest,
                                 const struct rr_transcode_rendition *from,
                                 struct daemon_puzzle_maker *maker, struct rr_fault *fault)
{
    struct rr_rendition *to = &manifest->renditions[manifest->rendition_count++];
    *to = from->info;
    to->segments = rr_alloc_array(from->segment_count, sizeof *to->segments);
    to->segment_count = from->segment_count;
    bool wanted = daemon_puzzles_wanted(&job->puzzles, manifest, manifest->rendition_count - 1);
    enum rr_err err = put_file(job, manifest, &to->init, from->init_path, NULL, 0, fault);
    for (uint32_t i = 0; i < from->segment_count && err == RR_OK; i++) {
        to->segments[i].start = from->segments[i].start;
        to->segments[i].duration = from->segments[i].duration;
        err = put_file(job, manifest, &to->segments[i], from->segments[i].path,
                       wanted ? maker : NULL, i, fault);
    }
    if (err == RR_OK && wanted) {
        add_rates(to, from);
    }
    return err;
}

static enum rr_err publish(struct daemon_job *job, const struct rr_transcode_result *result,
                           struct rr_fault *fault)
{
    struct rr_rig *rig = job->rig;
    struct rr_manifest manifest = {
        .chain_id = job->spec.chain_id,
        .owner = rig->public_key,
        .created_ms = job->spec.created_ms,
        .kind = RR_RESOURCE_VOD,
        .revision = 1,
        .slice_price = job->slice_price,
        .slice_bytes = job->slice_bytes,
        .proof_root = job->root,
    };
    rr_manifest_set_title(&manifest, job->title);
    rr_job_id(&manifest.job_id, &job->spec);
    rr_resource_id(&manifest.resource_id, manifest.chain_id, &manifest.owner, &job->spec.source,
                   manifest.created_ms, manifest.kind);
    struct daemon_puzzles puzzles = job->puzzles; /* a step that runs again counts anew */
    puzzles.count = 0;
    puzzles.prizes = RR_COIN_ZERO;
    struct daemon_puzzle_maker maker = {.puzzles = &puzzles,
                                        .list.resource_id = manifest.resource_id};
    uint32_t objects = 1;
    for (uint32_t i = 0; i < result->rendition_count; i++) {
        objects += 1 + result->renditions[i].segment_count;
    }
    manifest.objects = rr_alloc_array(objects, sizeof *manifest.objects);
    manifest.renditions = rr_alloc_array(result->rendition_count, sizeof *manifest.renditions);
    enum rr_err err = rr_store_object(rig->store, &job->spec.source, &manifest.objects[0], fault);
    manifest.object_count = 1;
    job->shards = (uint64_t)manifest.objects[0].k + manifest.objects[0].m;
    for (uint32_t i = 0; i < result->rendition_count && err == RR_OK; i++) {
        err = put_rendition(job, &manifest, &result->renditions[i], &maker, fault);
    }
    if (err == RR_OK && puzzles.count > 0) {
        err = daemon_puzzles_keep(rig, &maker.list, fault); /* before the manifest shows it */
    }
    if (err == RR_OK) {
        rr_manifest_sign(&manifest, rig->key);
        err = rr_store_put_manifest(rig->store, &manifest, fault);
        job->resource_id = manifest.resource_id;
        pthread_mutex_lock(&rig->lock);
        job->puzzles = puzzles;
        pthread_mutex_unlock(&rig->lock);
    }
    rr_puzzle_list_clear(&maker.list);
    rr_manifest_clear(&manifest);
    return err;
}

static enum rr_err keep_leaves(struct daemon_job *job, const struct rr_transcode_result *result,
                               struct rr_fault *fault)
{
    struct rr_buf bytes = {0};
    struct rr_hash32 job_id;
    char path[RR_PATH_BYTES];
    struct rr_hash32 *hashes = rr_alloc_array(result->leaf_count, sizeof *hashes);
    rr_job_id(&job_id, &job->spec);
    for (uint32_t i = 0; i < result->leaf_count; i++) {
        rr_pot_leaf_hash(&hashes[i], &job_id, &result->leaves[i]);
    }
    rr_merkle_root(&job->root, hashes, result->leaf_count);
    job->leaves = result->leaf_count;
    rr_free(hashes);
    rr_pot_leaves_encode(&bytes, &job_id, result->leaves, result->leaf_count);
    enum rr_err err = daemon_job_path(job, path, "leaves", fault);
    if (err == RR_OK) {
        err = rr_file_write(path, rr_buf_slice(&bytes), 0600, fault);
    }
    rr_buf_clear(&bytes);
    return err;
}

/* In a tolerant class another profile than the reference's encodes. */
static enum rr_err choose_maker(const struct daemon_job *job, struct rr_transcode_options *options,
                                struct rr_fault *fault)
{
    enum rr_codec codec;
    if (job->spec.exactness != RR_EXACT &&
        (!rr_transcode_profile_read(&codec, &options->preset, job->spec.maker) ||
         codec != options->codec)) {
        return rr_fail(fault, RR_ERR_UNSUPPORTED,
                       "the job is to be encoded by %s, which this rig does not have",
                       job->spec.maker);
    }
    return RR_OK;
}

/* Transcode and publish stand in one step: its journal makes the first cheap to run again. */
static enum rr_err transcode(struct daemon_job *job, struct rr_fault *fault)
{
    struct rr_transcode_options options;
    struct rr_transcode_result result = {0};
    char work[RR_PATH_BYTES];
    int fd = -1;
    uint64_t started_us = rr_monotonic_us(job->rig->clock);
    enum rr_err err = daemon_job_options(job, &options, fault);
    if (err != RR_OK || (err = daemon_job_path(job, work, "work", fault)) != RR_OK ||
        (err = daemon_job_original(job, &fd, fault)) != RR_OK) {
        return err;
    }
    options.job_folder = work;
    err = choose_maker(job, &options, fault);
    err = err != RR_OK
              ? err
              : rr_transcode_run(&result, fd, &options, show_progress, job, &job->cancel, fault);
    close(fd);
    if (err != RR_OK) {
        return err;
    }
    job->transcode_s += seconds_since(job->rig->clock, started_us);
    job->frames_in = result.frames_in;
    job->concealed = result.concealed;
    job->gops = result.gops;
    job->frames_out_ok = result.frames_out_ok;
    started_us = rr_monotonic_us(job->rig->clock);
    if ((err = keep_leaves(job, &result, fault)) == RR_OK &&
        (err = publish(job, &result, fault)) == RR_OK) {
        job->store_s += seconds_since(job->rig->clock, started_us);
        show_done(job, &result);
        daemon_job_set_stage(job, JOB_PUBLISHED);
        err = daemon_job_save(job, fault);
    }
    if (err == RR_OK) {
        rr_serve_forget(job->rig->serve, &job->resource_id);
        /* A tolerant class is answered with the GOPs' bytes. */
        err = job->spec.exactness == RR_EXACT ? rr_remove_tree(work, fault) : RR_OK;
    }
    rr_transcode_result_clear(&result);
    return err;
}

/* A chain is claimed, checked and paid step by step. */
static enum rr_err claim_chain(struct daemon_job *job, struct rr_fault *fault)
{
    enum rr_err err = daemon_chain_claim(job, fault);
    if (err == RR_OK) {
        daemon_job_set_stage(job, JOB_CLAIMED);
        err = daemon_job_save(job, fault);
    }
    return err;
}

static enum rr_err verify_chain(struct daemon_job *job, struct rr_fault *fault)
{
    enum rr_err err = daemon_chain_verify(job, fault);
    if (err == RR_OK) {
        daemon_job_set_stage(job, job->proofs_failed == 0 ? JOB_PROVED : JOB_REFUSED);
        err = daemon_job_save(job, fault);
    }
    return err;
}

static enum rr_err run_step(struct daemon_job *job, struct rr_fault *fault)
{
    switch (job->stage) {
    case JOB_UPLOADED:
        return store_original(job, fault);
    case JOB_STORED:
        return contract(job, fault);
    case JOB_CONTRACTED:
        return transcode(job, fault);
    case JOB_PUBLISHED:
        return job->chain.chain.step_count > 0 ? claim_chain(job, fault)
                                               : daemon_prove_claim(job, fault);
    case JOB_CLAIMED:
        return job->chain.chain.step_count > 0 ? verify_chain(job, fault)
                                               : daemon_prove_verify(job, fault);
    case JOB_PROVED:
    case JOB_REFUSED:
    case JOB_FAILED:
        break;
    }
    RR_BUG("a final job has no step");
}

/* A failed job keeps its record, not its bytes. */
static void remove_leftovers(const struct daemon_job *job)
{
    char path[RR_PATH_BYTES];
    struct rr_fault fault = {0};
    if (daemon_job_path(job, path, "source", &fault) == RR_OK) {
        unlink(path);
    }
    if (daemon_job_path(job, path, "work", &fault) == RR_OK &&
        rr_remove_tree(path, &fault) != RR_OK) {
        rr_log_fault(RR_LOG_WARN, "jobs", &fault);
    }
}

/* To the end of the queue: the next try comes when the others have had their turn. */
static void queue_again(struct daemon_job *job)
{
    pthread_mutex_lock(&job->rig->lock);
    job->waits = true;
    pthread_mutex_unlock(&job->rig->lock);
    rr_pool_submit(job->rig->jobs_pool, daemon_job_run, NULL, NULL, job);
}

static void fail_job(struct daemon_job *job, struct rr_fault *fault)
{
    rr_log_fault(RR_LOG_ERROR, "jobs", fault);
    pthread_mutex_lock(&job->rig->lock);
    snprintf(job->error, sizeof job->error, "%s", fault->text);
    job->stage = JOB_FAILED;
    pthread_mutex_unlock(&job->rig->lock);
    remove_leftovers(job);
    if (daemon_job_save(job, fault) != RR_OK) {
        rr_log_fault(RR_LOG_ERROR, "jobs", fault);
    }
    daemon_collect(job->rig);
}

/* After a step. A cancel that comes while the manifest goes out is too late. */
static void go_on(struct daemon_job *job)
{
    rr_log(RR_LOG_INFO, "jobs", "job %s: %s", job->handle, daemon_job_stage_text(job->stage));
    pthread_mutex_lock(&job->rig->lock);
    job->waits = false;
    if (job->stage >= JOB_PUBLISHED && !atomic_load(&job->rig->stopping)) {
        atomic_store(&job->cancel, false);
    }
    pthread_mutex_unlock(&job->rig->lock);
}

void daemon_job_run(void *ctx)
{
    struct daemon_job *job = ctx;
    struct rr_fault fault = {0};
    enum rr_err err = RR_OK;
    while (err == RR_OK && !daemon_job_final(job->stage)) {
        if (atomic_load(&job->rig->stopping)) {
            return;
        }
        err = atomic_load(&job->cancel) ? RR_ERR_CANCELLED : run_step(job, &fault);
        if (err == RR_OK) {
            go_on(job);
        }
    }
    /* A stop leaves the job where it is; the next start goes on. */
    if (err == RR_OK || atomic_load(&job->rig->stopping)) {
        return;
    }
    if (err == RR_ERR_FUNDS && job->stage == JOB_STORED) {
        queue_again(job);
        return;
    }
    if (err == RR_ERR_CANCELLED) {
        err = rr_fail(&fault, err, "the job was cancelled");
    }
    fail_job(job, &fault);
}

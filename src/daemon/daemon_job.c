/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/daemon_job.h"

#include <dirent.h>
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define JOB_FILE_BYTES_MAX (1u << 20)

const char *daemon_job_stage_text(enum daemon_job_stage stage)
{
    static const char *const texts[] = {
#define X(id, text) [id] = (text),
        DAEMON_JOB_STAGES(X)
#undef X
    };
    return texts[stage];
}

bool daemon_job_final(enum daemon_job_stage stage)
{
    return stage == JOB_PROVED || stage == JOB_REFUSED || stage == JOB_FAILED;
}

enum rr_err daemon_job_path(const struct daemon_job *job, char out[static RR_PATH_BYTES],
                            const char *name, struct rr_fault *fault)
{
    return rr_path(out, fault, "%s/jobs/%s/%s", job->rig->data, job->handle, name);
}

void daemon_job_set_stage(struct daemon_job *job, enum daemon_job_stage stage)
{
    pthread_mutex_lock(&job->rig->lock);
    job->stage = stage;
    pthread_mutex_unlock(&job->rig->lock);
}

/* ---- job.json ----------------------------------------------------------------------------------
 */

static json_t *json_hash(const struct rr_hash32 *hash)
{
    char text[65];
    rr_hex(text, hash->bytes, 32);
    return json_string(text);
}

static json_t *job_json(const struct daemon_job *job)
{
    struct rr_buf spec = {0};
    rr_job_spec_encode(&spec, &job->spec);
    char *spec_hex = rr_alloc(spec.len * 2 + 1);
    rr_hex(spec_hex, spec.ptr, spec.len);
    json_t *json = json_pack(
        "{s:i, s:s, s:s, s:s, s:s, s:I, s:I, s:I, s:i, s:i, s:I}", "version", 1, "title",
        job->title, "stage", daemon_job_stage_text(job->stage), "spec", spec_hex, "preset",
        job->preset, "slice_price_units", (json_int_t)rr_coin_units(job->slice_price),
        "job_price_units", (json_int_t)rr_coin_units(job->job_price), "slice_bytes",
        (json_int_t)job->slice_bytes, "data_shards", (int)job->data_shards, "parity_shards",
        (int)job->parity_shards, "source_bytes", (json_int_t)job->source_bytes);
    RR_CHECK(json != NULL);
    json_object_set_new(json, "contract_tx", json_hash(&job->contract_tx));
    json_object_set_new(json, "claim_tx", json_hash(&job->claim_tx));
    json_object_set_new(json, "attestation_tx", json_hash(&job->attestation_tx));
    json_object_set_new(json, "resource_id", json_hash(&job->resource_id));
    json_object_set_new(json, "root", json_hash(&job->root));
    json_t *rest = json_pack(
        "{s:I, s:I, s:I, s:I, s:b, s:i, s:i, s:I, s:f, s:f, s:f, s:s}", "leaves",
        (json_int_t)job->leaves, "gops", (json_int_t)job->gops, "frames_in",
        (json_int_t)job->frames_in, "concealed", (json_int_t)job->concealed, "frames_out_ok",
        (int)job->frames_out_ok, "proofs_checked", (int)job->proofs_checked, "proofs_failed",
        (int)job->proofs_failed, "shards", (json_int_t)job->shards, "transcode_s", job->transcode_s,
        "prove_s", job->prove_s, "store_s", job->store_s, "error", job->error);
    RR_CHECK(rest != NULL);
    json_object_update(json, rest);
    json_object_set_new(json, "puzzles", daemon_puzzles_json(&job->puzzles));
    json_object_set_new(json, "chain", daemon_chain_json(&job->chain, false));
    json_decref(rest);
    rr_free(spec_hex);
    rr_buf_clear(&spec);
    return json;
}

enum rr_err daemon_job_save(struct daemon_job *job, struct rr_fault *fault)
{
    char path[RR_PATH_BYTES];
    enum rr_err err = daemon_job_path(job, path, "job.json", fault);
    if (err != RR_OK) {
        return err;
    }
    pthread_mutex_lock(&job->rig->lock);
    json_t *json = job_json(job);
    pthread_mutex_unlock(&job->rig->lock);
    char *text = json_dumps(json, JSON_INDENT(1) | JSON_SORT_KEYS);
    RR_CHECK(text != NULL);
    err = rr_file_write(path, rr_slice_str(text), 0600, fault);
    json_decref(json);
    json_free_t release;
    json_get_alloc_funcs(NULL, &release);
    release(text);
    return err;
}

static bool read_hash(const json_t *json, const char *key, struct rr_hash32 *out)
{
    const char *text = json_string_value(json_object_get(json, key));
    return text != NULL && rr_unhex(out->bytes, 32, text);
}

static bool read_spec(const char *hex, struct rr_job_spec *out)
{
    size_t len = hex != NULL ? strlen(hex) / 2 : 0;
    uint8_t bytes[1024];
    return len > 0 && len <= sizeof bytes && rr_unhex(bytes, len, hex) &&
           rr_job_spec_decode(out, rr_slice_of(bytes, len), NULL) == RR_OK;
}

static bool read_job(struct daemon_job *job, json_t *json)
{
    const char *title, *stage, *spec, *preset, *error;
    json_int_t slice_price, job_price, slice_bytes, source_bytes, leaves, gops, frames, concealed,
        shards;
    int version, k, m, ok, checked, failed;
    if (json_unpack(json, "{s:i, s:s, s:s, s:s, s:s, s:I, s:I, s:I, s:i, s:i, s:I}", "version",
                    &version, "title", &title, "stage", &stage, "spec", &spec, "preset", &preset,
                    "slice_price_units", &slice_price, "job_price_units", &job_price, "slice_bytes",
                    &slice_bytes, "data_shards", &k, "parity_shards", &m, "source_bytes",
                    &source_bytes) != 0 ||
        json_unpack(json, "{s:I, s:I, s:I, s:I, s:b, s:i, s:i, s:I, s:F, s:F, s:F, s:s}", "leaves",
                    &leaves, "gops", &gops, "frames_in", &frames, "concealed", &concealed,
                    "frames_out_ok", &ok, "proofs_checked", &checked, "proofs_failed", &failed,
                    "shards", &shards, "transcode_s", &job->transcode_s, "prove_s", &job->prove_s,
                    "store_s", &job->store_s, "error", &error) != 0 ||
        version != 1 || !read_spec(spec, &job->spec) ||
        !rr_coin_of_units(&job->slice_price, (uint64_t)slice_price) ||
        !rr_coin_of_units(&job->job_price, (uint64_t)job_price) ||
        !read_hash(json, "contract_tx", &job->contract_tx) ||
        !read_hash(json, "claim_tx", &job->claim_tx) ||
        !read_hash(json, "attestation_tx", &job->attestation_tx) ||
        !read_hash(json, "resource_id", &job->resource_id) ||
        !read_hash(json, "root", &job->root) ||
        !daemon_puzzles_read(&job->puzzles, json_object_get(json, "puzzles")) ||
        !daemon_chain_read(&job->chain, json_object_get(json, "chain"))) {
        return false;
    }
    snprintf(job->title, sizeof job->title, "%s", title);
    snprintf(job->preset, sizeof job->preset, "%s", preset);
    snprintf(job->error, sizeof job->error, "%s", error);
    job->slice_bytes = (uint32_t)slice_bytes;
    job->data_shards = (uint8_t)k;
    job->parity_shards = (uint8_t)m;
    job->source_bytes = (uint64_t)source_bytes;
    job->leaves = (uint32_t)leaves;
    job->gops = (uint32_t)gops;
    job->frames_in = (uint64_t)frames;
    job->concealed = (uint64_t)concealed;
    job->frames_out_ok = ok != 0;
    job->proofs_checked = (uint16_t)checked;
    job->proofs_failed = (uint16_t)failed;
    job->shards = (uint64_t)shards;
    for (enum daemon_job_stage s = JOB_UPLOADED; s <= JOB_FAILED; s++) {
        if (strcmp(stage, daemon_job_stage_text(s)) == 0) {
            job->stage = s;
            return true;
        }
    }
    return false;
}

static enum rr_err load_job(struct rr_rig *rig, const char *handle, struct rr_fault *fault)
{
    struct daemon_job *job = rr_alloc(sizeof *job);
    struct rr_buf text = {0};
    json_t *json = NULL;
    char path[RR_PATH_BYTES];
    job->rig = rig;
    memcpy(job->handle, handle, sizeof job->handle);
    enum rr_err err = daemon_job_path(job, path, "job.json", fault);
    if (err == RR_OK) {
        err = rr_file_read(&text, path, JOB_FILE_BYTES_MAX, fault);
    }
    if (err == RR_OK) {
        json = json_loadb((const char *)text.ptr, text.len, JSON_REJECT_DUPLICATES, NULL);
        if (json == NULL || !read_job(job, json)) {
            err = rr_fail(fault, RR_ERR_DAMAGED,
                          "%s is not a job record; move its folder away to go on", path);
        }
    }
    if (err == RR_OK) {
        job->next = rig->jobs;
        rig->jobs = job;
    } else {
        rr_free(job);
    }
    json_decref(json);
    rr_buf_clear(&text);
    return err;
}

static bool is_handle(const char *name)
{
    uint8_t bytes[16];
    return strlen(name) == 32 && rr_unhex(bytes, sizeof bytes, name);
}

enum rr_err daemon_jobs_load(struct rr_rig *rig, struct rr_fault *fault)
{
    char path[RR_PATH_BYTES];
    enum rr_err err = rr_path(path, fault, "%s/jobs", rig->data);
    if (err != RR_OK || (err = rr_make_folders(path, fault)) != RR_OK) {
        return err;
    }
    DIR *folder = opendir(path);
    if (folder == NULL) {
        return rr_fail_errno(fault, "cannot read %s", path);
    }
    struct dirent *entry;
    while (err == RR_OK && (entry = readdir(folder)) != NULL) {
        char stale[RR_PATH_BYTES];
        if (is_handle(entry->d_name)) {
            struct rr_fault why = {0};
            char record[RR_PATH_BYTES];
            struct stat st;
            /* A folder without its record is an upload that was never acknowledged. */
            if (rr_path(record, NULL, "%s/%s/job.json", path, entry->d_name) == RR_OK &&
                stat(record, &st) == 0) {
                if (load_job(rig, entry->d_name, &why) != RR_OK) {
                    rr_log_fault(RR_LOG_ERROR, "jobs", &why);
                    rig->job_records_unread = true;
                }
            } else if (rr_path(stale, NULL, "%s/%s", path, entry->d_name) == RR_OK) {
                err = rr_remove_tree(stale, fault);
            }
        }
    }
    closedir(folder);
    rr_pool_submit(rig->jobs_pool, daemon_collect, NULL, NULL, rig);
    for (struct daemon_job *job = rig->jobs; job != NULL && err == RR_OK; job = job->next) {
        if (!daemon_job_final(job->stage)) {
            rr_log(RR_LOG_INFO, "jobs", "job %s goes on from stage %s", job->handle,
                   daemon_job_stage_text(job->stage));
            rr_pool_submit(rig->jobs_pool, daemon_job_run, NULL, NULL, job);
        }
    }
    return err;
}

/* ---- new jobs -------------------------------------------------------------------------------- */

void daemon_job_set_ladder(struct rr_job_spec *spec, const struct rr_ladder *ladder)
{
    spec->rung_count = ladder->rung_count; /* 0: to be chosen when the video is there */
    memcpy(spec->rungs, ladder->rungs, sizeof spec->rungs);
    memcpy(spec->rates, ladder->rates, sizeof spec->rates);
}

/* No path: the words may be another machine's. */
static enum rr_err parse_pictures(struct rr_job_spec *spec, const struct rig_config *config,
                                  const struct daemon_job_words *words, struct rr_fault *fault)
{
    struct rr_ladder ladder = config->ladder;
    enum rr_err err = RR_OK;
    spec->tone_map = config->tone_map;
    if (words->ladder != NULL) {
        err = rr_ladder_parse(&ladder, words->ladder, fault);
    }
    err = err != RR_OK ? err : rr_ladder_rates(&ladder, words->kbps, words->max_kbps, fault);
    if (err == RR_OK && words->tone_map != NULL) {
        bool on = strcmp(words->tone_map, "1") == 0;
        if (!on && strcmp(words->tone_map, "0") != 0) {
            return rr_fail(fault, RR_ERR_USAGE, "tone_map \"%.16s\": 0 or 1 was expected",
                           words->tone_map);
        }
        spec->tone_map = on;
    }
    if (err == RR_OK) {
        daemon_job_set_ladder(spec, &ladder);
    }
    return err;
}

static enum rr_err fill_job(struct daemon_job *job, const struct daemon_job_words *words,
                            struct rr_fault *fault)
{
    const struct rig_config *config = &job->rig->config;
    struct rr_manifest cleaned = {0};
    rr_manifest_set_title(&cleaned,
                          words->title != NULL
                              ? words->title
                              : "untitled"); /* whole UTF-8 characters, no control characters */
    memcpy(job->title, cleaned.title, sizeof job->title);
    snprintf(job->preset, sizeof job->preset, "%s", config->preset);
    job->slice_price = config->slice_price;
    if (words->slice_price != NULL && !rr_coin_parse(&job->slice_price, words->slice_price)) {
        return rr_fail(fault, RR_ERR_USAGE, "price '%s' is not an amount of coins, as in 0.0005",
                       words->slice_price);
    }
    job->job_price = config->job_price;
    job->slice_bytes = config->slice_bytes;
    job->data_shards = config->data_shards;
    job->parity_shards = config->parity_shards;
    job->spec.chain_id = rr_genesis_chain_id(&config->genesis);
    job->spec.owner = job->rig->public_key;
    job->spec.created_ms = rr_wall_ms(job->rig->clock);
    RR_CHECK(rr_transcode_profile(job->spec.profile, config->codec, config->preset));
    job->spec.crf = config->crf;
    job->spec.gop_ms = config->gop_ms;
    job->spec.audio_bps = config->audio_bps;
    job->spec.challenges = config->challenges;
    job->spec.exactness = config->exactness;
    if (config->exactness != RR_EXACT) {
        RR_CHECK(rr_transcode_profile(job->spec.maker, config->codec, config->maker_preset));
    }
    enum rr_err err = daemon_puzzles_parse(&job->puzzles, &words->puzzles, fault);
    err = err != RR_OK ? err : parse_pictures(&job->spec, config, words, fault);
    return err != RR_OK || words->chain == NULL ? err : daemon_chain_set(job, words->chain, fault);
}

/* What others have made of the same source for the same options; the transcoder goes on from it,
 * and refuses another's. */
static enum rr_err adopt_journal(const struct daemon_job *job, const char *journal,
                                 struct rr_fault *fault)
{
    char path[RR_PATH_BYTES];
    enum rr_err err = daemon_job_path(job, path, "work", fault);
    if (err == RR_OK && rename(journal, path) != 0) {
        err = rr_fail_errno(fault, "cannot move %.200s into the rig's data folder", journal);
    }
    return err;
}

enum rr_err daemon_job_create(struct rr_rig *rig, char out[static 33], const char *upload_path,
                              const struct daemon_job_words *words, struct rr_fault *fault)
{
    struct daemon_job *job = rr_alloc(sizeof *job);
    char path[RR_PATH_BYTES];
    uint8_t id[16];
    struct stat st;
    rr_random(id, sizeof id);
    job->rig = rig;
    rr_hex(job->handle, id, sizeof id);
    enum rr_err err = fill_job(job, words, fault);
    if (err == RR_OK && stat(upload_path, &st) != 0) {
        err = rr_fail_errno(fault, "cannot read the upload");
    }
    if (err != RR_OK ||
        (err = rr_path(path, fault, "%s/jobs/%s", rig->data, job->handle)) != RR_OK ||
        (err = rr_make_folders(path, fault)) != RR_OK ||
        (err = daemon_job_path(job, path, "source", fault)) != RR_OK) {
        rr_free(job);
        return err;
    }
    job->source_bytes = (uint64_t)st.st_size;
    if (rename(upload_path, path) != 0) {
        err = rr_fail_errno(fault, "cannot move the upload to %s", path);
    }
    if (err == RR_OK && words->journal != NULL) {
        err = adopt_journal(job, words->journal, fault);
    }
    /* The record comes last: with it the job exists. */
    if (err != RR_OK || (err = daemon_job_save(job, fault)) != RR_OK) {
        rr_free(job);
        return err;
    }
    pthread_mutex_lock(&rig->lock);
    job->next = rig->jobs;
    rig->jobs = job;
    pthread_cond_broadcast(&rig->tip_changed); /* one that waits for coins lets it pass */
    pthread_mutex_unlock(&rig->lock);
    memcpy(out, job->handle, sizeof job->handle);
    rr_pool_submit(rig->jobs_pool, daemon_job_run, NULL, NULL, job);
    return RR_OK;
}

enum rr_err daemon_job_cancel(struct rr_rig *rig, const char *handle, struct rr_fault *fault)
{
    enum rr_err err = RR_ERR_NOTFOUND;
    enum daemon_job_stage stage = JOB_FAILED;
    pthread_mutex_lock(&rig->lock);
    for (struct daemon_job *job = rig->jobs; job != NULL; job = job->next) {
        if (strcmp(job->handle, handle) == 0) {
            stage = job->stage;
            err = stage < JOB_PUBLISHED ? RR_OK : RR_ERR_STATE;
            if (err == RR_OK) {
                atomic_store(&job->cancel, true);
                pthread_cond_broadcast(&rig->tip_changed);
            }
        }
    }
    pthread_mutex_unlock(&rig->lock);
    return err == RR_OK          ? RR_OK
           : err == RR_ERR_STATE ? rr_fail(fault, err,
                                           "the job is %s; only one that is not "
                                           "published can be cancelled",
                                           daemon_job_stage_text(stage))
                                 : rr_fail(fault, err, "there is no job '%.64s'", handle);
}

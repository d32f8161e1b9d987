/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Jobs of others: the thread that does them. */
#include "daemon/daemon_work_jobs.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define WAKE_MS     1000
#define PIECE_BYTES (1u << 20)

/* ---- settings
 * -------------------------------------------------------------------------------------------- */

enum rr_err daemon_work_settings(struct work_settings *out, const struct rr_config *config,
                                 struct rr_fault *fault)
{
    const struct {
        const char *key, *usual;
        struct rr_coin *to;
    } coins[] = {{"offers.h264_price", "0.00001", &out->codec_price[RR_CODEC_H264]},
                 {"offers.hevc_price", "0.00003", &out->codec_price[RR_CODEC_HEVC]},
                 {"offers.av1_price", "0.00003", &out->codec_price[RR_CODEC_AV1]},
                 {"offers.vp9_price", "0.00003", &out->codec_price[RR_CODEC_VP9]},
                 {"offers.demux_price", "0.00001", &out->demux_price},
                 {"offers.decode_price", "0.000001", &out->decode_price},
                 {"offers.audio_price", "0.00001", &out->audio_price},
                 {"offers.unit_price", "0.0001", &out->unit_price},
                 {"offers.unpaid_max", "0.01", &out->unpaid_max}};
    struct {
        const char *key;
        uint64_t value, min, max;
    } numbers[] = {{"offers.jobs_max", 2, 1, 64},
                   {"offers.valid_s", 600, 10, 86400},
                   {"offers.speed", 60, 1, 1000000},
                   {"offers.source_mib_max", 4096, 1, 1u << 24}};
    enum rr_err err = rr_config_bool(config, "offers.enabled", &out->enabled, fault);
    for (size_t i = 0; i < RR_COUNT(coins) && err == RR_OK; i++) {
        const char *text = coins[i].usual;
        err = rr_config_string(config, coins[i].key, &text, fault);
        if (err == RR_OK && !rr_coin_parse(coins[i].to, text)) {
            err =
                rr_fail(fault, RR_ERR_FORMAT, "%s is \"%s\"; coins as in \"0.00001\" were expected",
                        coins[i].key, text);
        }
    }
    for (size_t i = 0; i < RR_COUNT(numbers) && err == RR_OK; i++) {
        err = rr_config_u64(config, numbers[i].key, &numbers[i].value, numbers[i].min,
                            numbers[i].max, fault);
    }
    if (err == RR_OK && rr_coin_is_zero(out->unit_price)) {
        err = rr_fail(fault, RR_ERR_FORMAT,
                      "offers.unit_price is 0; it is what one payword pays, and must be above it");
    }
    out->jobs_max = (uint32_t)numbers[0].value;
    out->valid_s = (uint32_t)numbers[1].value;
    out->speed = (uint32_t)numbers[2].value;
    out->source_bytes_max = numbers[3].value << 20;
    return err;
}

/* ---- jobs
 * ------------------------------------------------------------------------------------------------
 */

enum rr_err daemon_work_path(const struct daemon_work *work, const struct work_job *job,
                             char out[static RR_PATH_BYTES], const char *format, unsigned number,
                             struct rr_fault *fault)
{
    char name[64];
    if (strcmp(format, "shard") == 0) {
        snprintf(name, sizeof name, "/shard-%06u", number);
    } else {
        snprintf(name, sizeof name, "%s%s", format[0] != '\0' ? "/" : "", format);
    }
    return rr_path(out, fault, "%s/%s%s", work->folder, job->handle, name);
}

uint64_t daemon_work_due(struct daemon_work *work, const struct work_job *job, uint64_t *paid)
{
    uint64_t done = 0;
    *paid = 0;
    for (size_t i = 0; i < job->shard_count; i++) {
        done += job->shards[i].state == WORK_DONE ? job->shards[i].due_units : 0;
    }
    if (job->funded &&
        rr_till_paid(work->rig->till, paid, job->session_id, &job->quote_id, NULL) != RR_OK) {
        *paid = 0;
    }
    return done > *paid ? done - *paid : 0;
}

static void fail_job(struct daemon_work *work, struct work_job *job, const struct rr_fault *why)
{
    rr_log(RR_LOG_WARN, "work", "job %.16s of a publisher failed: %s", job->handle, why->text);
    pthread_mutex_lock(&work->lock);
    snprintf(job->error, sizeof job->error, "%s", why->text);
    pthread_mutex_unlock(&work->lock);
}

/* What was ordered is what came: the price was made of it. */
static enum rr_err check_facts(const struct work_job *job, const struct rr_transcode_facts *facts,
                               struct rr_fault *fault)
{
    const struct rr_work_facts *told = &job->order.facts;
    uint64_t points = (uint64_t)facts->width * facts->height;
    bool slower =
        (uint64_t)facts->fps_num * told->fps_den <= (uint64_t)told->fps_num * facts->fps_den;
    if (points != (uint64_t)told->width * told->height || !slower ||
        facts->duration_us / 1000 > (int64_t)told->duration_ms + job->order.chain.gop_ms) {
        return rr_fail(fault, RR_ERR_TRUST,
                       "the source is %u x %u, %u/%u a second, %.1f s; the order says %u x %u, "
                       "%u/%u, %.1f s",
                       facts->width, facts->height, facts->fps_num, facts->fps_den,
                       (double)facts->duration_us / 1e6, told->width, told->height, told->fps_num,
                       told->fps_den, (double)told->duration_ms / 1e3);
    }
    return RR_OK;
}

static enum rr_err list_shards(struct work_job *job, const struct rr_transcode_job *opened,
                               struct work_shard **out, size_t *out_count, struct rr_fault *fault)
{
    size_t count;
    uint64_t gops = 0;
    const struct rr_transcode_shard *shards = rr_transcode_shards(opened, &count);
    struct work_shard *list = rr_alloc_array(count + 1, sizeof *list);
    for (size_t i = 0; i < count; i++) {
        bool open_end = shards[i].cell_end == UINT32_MAX;
        gops += shards[i].sound || open_end ? 0 : shards[i].cell_end - shards[i].cell_first;
        list[i].shard = shards[i];
    }
    if (gops > job->quote.gops) {
        rr_free(list);
        return rr_fail(fault, RR_ERR_TRUST, "the source has %llu GOPs; the order spoke of %u",
                       (unsigned long long)gops, job->quote.gops);
    }
    *out = list;
    *out_count = count;
    return RR_OK;
}

static enum rr_err open_job(struct daemon_work *work, struct work_job *job, struct rr_fault *fault)
{
    struct rr_transcode_options options;
    struct rr_transcode_facts facts;
    struct rr_transcode_job *opened = NULL;
    struct work_shard *shards = NULL;
    size_t count = 0;
    char folder[RR_PATH_BYTES];
    enum rr_err err = rr_transcode_chain_options(&options, &job->order.chain, fault);
    if (err != RR_OK || (err = daemon_work_path(work, job, folder, "job", 0, fault)) != RR_OK) {
        return err;
    }
    options.workers = work->rig->config.workers;
    options.job_folder = folder;
    if ((err = rr_transcode_probe(&facts, job->source_fd, &options, fault)) != RR_OK ||
        (err = check_facts(job, &facts, fault)) != RR_OK ||
        (err = rr_transcode_open(&opened, job->source_fd, &options, &job->cancel, fault)) !=
            RR_OK) {
        return err;
    }
    err = list_shards(job, opened, &shards, &count, fault);
    if (err == RR_OK) {
        struct rr_slice plan = rr_transcode_plan(opened);
        pthread_mutex_lock(&work->lock);
        rr_buf_append(&job->plan, plan.ptr, plan.len);
        job->key = *rr_transcode_key(opened);
        job->shards = shards;
        job->shard_count = count;
        job->opened = true;
        pthread_mutex_unlock(&work->lock);
    }
    rr_transcode_close(opened);
    return err;
}

static enum rr_err digest_shard(struct rr_work_commit *commit, const char *path,
                                struct rr_fault *fault)
{
    struct rr_hasher hasher;
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) != 0) {
        enum rr_err err = rr_fail_errno(fault, "cannot read %s", path);
        if (fd >= 0) {
            close(fd);
        }
        return err;
    }
    uint8_t *piece = rr_alloc(PIECE_BYTES);
    enum rr_err err = RR_OK;
    rr_hasher_init(&hasher, "rr.work.shard");
    commit->bytes = (uint64_t)st.st_size;
    for (uint64_t at = 0; at < commit->bytes && err == RR_OK; at += PIECE_BYTES) {
        size_t len = commit->bytes - at < PIECE_BYTES ? (size_t)(commit->bytes - at) : PIECE_BYTES;
        err = rr_pread_full(fd, piece, len, at, fault);
        rr_hasher_add(&hasher, piece, len);
    }
    rr_hasher_final(&hasher, &commit->digest);
    rr_free(piece);
    close(fd);
    return err;
}

/* Megapixel-frames of a shard: what the price of encoding is made of too. */
static void learn_speed(struct daemon_work *work, const struct work_job *job, uint32_t cells,
                        uint64_t took_us)
{
    uint64_t work_ms = job->quote.gops > 0 ? job->quote.work_ms * cells / job->quote.gops : 0;
    uint64_t mpf = work_ms * work->rig->config.work.speed / 1000;
    if (cells > 0 && mpf > 0 && took_us > 0) {
        uint64_t seen = mpf * 1000000 / took_us;
        pthread_mutex_lock(&work->lock);
        uint64_t mean = ((uint64_t)work->speed * 3 + (seen < 1 ? 1 : seen)) / 4;
        work->speed = (uint32_t)(mean < 1 ? 1 : mean > 1000000 ? 1000000 : mean);
        pthread_mutex_unlock(&work->lock);
    }
}

static enum rr_err make_shard(struct daemon_work *work, struct work_job *job, size_t index,
                              struct rr_fault *fault)
{
    struct rr_transcode_options options = {.workers = work->rig->config.workers};
    struct rr_work_commit commit = {.quote_id = job->quote_id, .shard = (uint32_t)index};
    struct rr_transcode_shard shard = job->shards[index].shard;
    char path[RR_PATH_BYTES], scratch[RR_PATH_BYTES];
    uint64_t started_us = rr_monotonic_us(work->rig->clock);
    enum rr_err err = daemon_work_path(work, job, path, "shard", (unsigned)index, fault);
    if (err != RR_OK ||
        (err = daemon_work_path(work, job, scratch, "scratch", 0, fault)) != RR_OK) {
        return err;
    }
    options.job_folder = scratch;
    unlink(path);
    if ((err = rr_transcode_range(path, job->source_fd, rr_buf_slice(&job->plan), &shard, &options,
                                  &job->cancel, fault)) != RR_OK ||
        (err = rr_transcode_shard_gops(&commit.gops, path, fault)) != RR_OK ||
        (err = digest_shard(&commit, path, fault)) != RR_OK) {
        return err;
    }
    uint64_t units =
        shard.sound ? job->quote.audio_units : (uint64_t)commit.gops * job->quote.gop_units;
    rr_work_commit_sign(&commit, work->rig->key);
    learn_speed(work, job, commit.gops, rr_monotonic_us(work->rig->clock) - started_us);
    pthread_mutex_lock(&work->lock);
    job->shards[index].commit = commit;
    job->shards[index].state = WORK_DONE;
    job->shards[index].due_units = units < UINT32_MAX ? (uint32_t)units : UINT32_MAX;
    work->gops_done += commit.gops;
    work->units_done += job->shards[index].due_units;
    pthread_mutex_unlock(&work->lock);
    return RR_OK;
}

/* ---- the thread
 * ------------------------------------------------------------------------------------------ */

static void remove_job(struct daemon_work *work, struct work_job *job)
{
    char path[RR_PATH_BYTES];
    struct rr_fault fault = {0};
    if (daemon_work_path(work, job, path, "", 0, &fault) != RR_OK ||
        rr_remove_tree(path, &fault) != RR_OK) {
        rr_log_fault(RR_LOG_WARN, "work", &fault);
    }
    if (job->source_fd >= 0) {
        close(job->source_fd);
    }
    rr_buf_clear(&job->plan);
    rr_free(job->shards);
    rr_free(job);
}

/* Under the lock: takes jobs that are over, and that no request holds, out of the list. */
static struct work_job *take_ended(struct daemon_work *work)
{
    uint64_t now_ms = rr_wall_ms(work->rig->clock);
    for (struct work_job **at = &work->jobs; *at != NULL; at = &(*at)->next) {
        struct work_job *job = *at;
        if (job->users == 0 && (job->ended || now_ms > job->touched_ms + WORK_IDLE_MS ||
                                (!job->funded && now_ms > job->quote.expires_ms))) {
            *at = job->next;
            return job;
        }
    }
    return NULL;
}

/* Under the lock: the next thing to do, in the order of the jobs. *shard: SIZE_MAX to open it. */
static struct work_job *next_task(struct daemon_work *work, size_t *shard)
{
    for (struct work_job *job = work->jobs; job != NULL; job = job->next) {
        uint64_t paid;
        if (job->ended || job->error[0] != '\0' || !job->source_done) {
            continue;
        }
        if (!job->opened) {
            *shard = SIZE_MAX;
            return job;
        }
        if (daemon_work_due(work, job, &paid) > job->quote.unpaid_units) {
            continue; /* its publisher owes enough */
        }
        for (size_t i = 0; i < job->shard_count; i++) {
            if (job->shards[i].state == WORK_QUEUED) {
                *shard = i;
                return job;
            }
        }
    }
    return NULL;
}

static void wait_a_while(struct daemon_work *work)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += WAKE_MS / 1000;
    pthread_cond_timedwait(&work->changed, &work->lock, &until);
}

void *daemon_work_run(void *ctx)
{
    struct daemon_work *work = ctx;
    pthread_mutex_lock(&work->lock);
    while (!work->stopping) {
        size_t shard = 0;
        struct work_job *over = take_ended(work);
        struct work_job *job = over == NULL ? next_task(work, &shard) : NULL;
        if (over == NULL && job == NULL) {
            wait_a_while(work);
            continue;
        }
        if (job != NULL && shard != SIZE_MAX) {
            job->shards[shard].state = WORK_RUNNING;
        }
        pthread_mutex_unlock(&work->lock);
        if (over != NULL) {
            remove_job(work, over);
        } else {
            struct rr_fault fault = {0};
            enum rr_err err = shard == SIZE_MAX ? open_job(work, job, &fault)
                                                : make_shard(work, job, shard, &fault);
            if (err != RR_OK) {
                fail_job(work, job, &fault);
            }
        }
        pthread_mutex_lock(&work->lock);
    }
    pthread_mutex_unlock(&work->lock);
    return NULL;
}

/* ---- life
 * ------------------------------------------------------------------------------------------------
 */

enum rr_err daemon_work_start(struct daemon_work **out, struct rr_rig *rig, struct rr_fault *fault)
{
    if (!rig->config.work.enabled) {
        *out = NULL;
        return RR_OK;
    }
    struct daemon_work *work = rr_alloc(sizeof *work);
    pthread_condattr_t monotonic;
    work->rig = rig;
    work->speed = rig->config.work.speed;
    pthread_mutex_init(&work->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&work->changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    enum rr_err err = rr_path(work->folder, fault, "%s/work", rig->data);
    if (err == RR_OK && (err = rr_remove_tree(work->folder, fault)) == RR_OK &&
        (err = rr_make_folders(work->folder, fault)) == RR_OK) {
        RR_CHECK(pthread_create(&work->thread, NULL, daemon_work_run, work) == 0);
        work->thread_runs = true;
        *out = work;
        return RR_OK;
    }
    daemon_work_stop(work);
    return err;
}

void daemon_work_cancel(struct daemon_work *work)
{
    if (work == NULL) {
        return;
    }
    pthread_mutex_lock(&work->lock);
    work->stopping = true;
    for (struct work_job *job = work->jobs; job != NULL; job = job->next) {
        atomic_store(&job->cancel, true);
    }
    pthread_cond_broadcast(&work->changed);
    pthread_mutex_unlock(&work->lock);
}

void daemon_work_stop(struct daemon_work *work)
{
    if (work == NULL) {
        return;
    }
    daemon_work_cancel(work);
    if (work->thread_runs) {
        pthread_join(work->thread, NULL);
    }
    while (work->jobs != NULL) {
        struct work_job *job = work->jobs;
        work->jobs = job->next;
        remove_job(work, job);
    }
    pthread_cond_destroy(&work->changed);
    pthread_mutex_destroy(&work->lock);
    rr_free(work);
}

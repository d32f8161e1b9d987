/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/daemon_mining_pool.h"
#include "daemon/daemon_rig.h"
#include "daemon/daemon_settings.h"
#include "keccak/keccak.h"
#include "stratum/stratum.h"

#include <stdio.h>
#include <string.h>

#define EPOCH_AHEAD 300 /* an hour of blocks */

struct daemon_mining_pool {
    struct rr_rig *rig;
    uint32_t epoch, prepared; /* of the last job, and what was built ahead; the client's thread */
    pthread_mutex_t lock;
    struct rr_stratum_client *client; /* NULL: stopped */
};

/* ---- settings ---------------------------------------------------------------------------- */

static enum rr_err read_urls(struct mining_pool_settings *out, const struct rr_config *config,
                             struct rr_fault *fault)
{
    size_t count = rr_config_count(config, "mining_pool.urls");
    enum rr_err err = RR_OK;
    if (count > MINING_POOL_URLS) {
        return rr_fail(fault, RR_ERR_FORMAT, "mining_pool.urls has %zu addresses; at most %d fit",
                       count, MINING_POOL_URLS);
    }
    for (size_t i = 0; i < count && err == RR_OK; i++) {
        char key[40];
        snprintf(key, sizeof key, "mining_pool.urls.%zu", i);
        err = daemon_settings_text(config, key, out->urls[i], sizeof out->urls[i], fault);
    }
    out->url_count = (uint32_t)count;
    return err;
}

enum rr_err daemon_mining_pool_settings(struct mining_pool_settings *out,
                                        const struct rr_config *config, struct rr_fault *fault)
{
    struct mining_pool_settings read = {0};
    uint64_t response_s = 10, work_s = 180, return_s = 300;
    char network[16] = "";
    enum rr_err err;
    if ((err = read_urls(&read, config, fault)) != RR_OK ||
        (err = daemon_settings_text(config, "mining_pool.user", read.user, sizeof read.user,
                                    fault)) != RR_OK ||
        (err = daemon_settings_text(config, "mining_pool.password", read.password,
                                    sizeof read.password, fault)) != RR_OK ||
        (err = daemon_settings_text(config, "mining_pool.tls_ca", read.ca, sizeof read.ca,
                                    fault)) != RR_OK ||
        (err = daemon_settings_text(config, "mining_pool.tls_fingerprint", read.fingerprint,
                                    sizeof read.fingerprint, fault)) != RR_OK ||
        (err = daemon_settings_text(config, "mining_pool.network", network, sizeof network,
                                    fault)) != RR_OK ||
        (err = rr_config_u64(config, "mining_pool.response_s", &response_s, 1, 3600, fault)) !=
            RR_OK ||
        (err = rr_config_u64(config, "mining_pool.work_s", &work_s, 1, 3600, fault)) != RR_OK ||
        (err = rr_config_u64(config, "mining_pool.return_s", &return_s, 1, 3600, fault)) != RR_OK) {
        return err;
    }
    read.epoch_blocks = strcmp(network, "ethash") == 0    ? RR_HASH_ETHASH_BLOCKS
                        : strcmp(network, "etchash") == 0 ? RR_HASH_ETCHASH_BLOCKS
                                                          : 0;
    if (read.epoch_blocks == 0 && network[0] != '\0' && strcmp(network, "own") != 0) {
        return rr_fail(fault, RR_ERR_FORMAT,
                       "mining_pool.network is \"%s\"; \"own\" (this rig's), or \"ethash\" or "
                       "\"etchash\" (standard epochs) was expected",
                       network);
    }
    read.response_ms = (uint32_t)response_s * 1000;
    read.work_ms = (uint32_t)work_s * 1000;
    read.return_ms = (uint32_t)return_s * 1000;
    *out = read;
    return RR_OK;
}

/* ---- the engine for a job ---------------------------------------------------------------- */

/* The epoch whose seed this is, looked for from the last one on: it changes by one in days. */
static bool find_epoch(uint32_t *out, const uint8_t seed[32], uint32_t from, uint32_t epoch_blocks)
{
    struct rr_hash_params first;
    if (rr_hash_params_epoch(&first, from, epoch_blocks, NULL) != RR_OK) {
        return false;
    }
    for (uint32_t epoch = from; epoch <= RR_HASH_EPOCH_MAX; epoch++) {
        if (memcmp(first.seed, seed, 32) == 0) {
            *out = epoch;
            return true;
        }
        for (uint32_t i = 0; i < epoch_blocks / RR_HASH_ETHASH_BLOCKS; i++) {
            rr_keccak256(first.seed, first.seed, 32);
        }
    }
    return from > 0 && find_epoch(out, seed, 0, epoch_blocks);
}

static enum rr_err params_of(struct daemon_mining_pool *pool, struct rr_hash_params *out,
                             const struct rr_stratum_job *job, struct rr_fault *fault)
{
    const struct rr_genesis *genesis = &pool->rig->config.genesis;
    const uint32_t epoch_blocks = pool->rig->config.mining_pool.epoch_blocks;
    if (epoch_blocks == 0) {
        *out = (struct rr_hash_params){.cache_items = genesis->cache_items,
                                       .dataset_items = genesis->dataset_items};
        memcpy(out->seed, genesis->ethash_seed, 32);
        if (job->seed_known && memcmp(job->seed, out->seed, 32) != 0) {
            return rr_fail(
                fault, RR_ERR_UNSUPPORTED,
                "the mining pool's work has another seed than this rig's network; set "
                "mining_pool.network to \"ethash\" or \"etchash\" for a network of standard "
                "epochs");
        }
        return RR_OK;
    }
    uint32_t epoch = job->epoch;
    if (job->seed_known && !find_epoch(&epoch, job->seed, pool->epoch, epoch_blocks)) {
        return rr_fail(fault, RR_ERR_UNSUPPORTED,
                       "the mining pool's seed is of no epoch of Ethash's table");
    }
    if (epoch == RR_STRATUM_EPOCH_UNKNOWN) {
        return rr_fail(fault, RR_ERR_FORMAT, "the mining pool told neither epoch nor seed");
    }
    pool->epoch = epoch;
    return rr_hash_params_epoch(out, epoch, epoch_blocks, fault);
}

/* Where the height is told: the next dataset before the last blocks of an epoch are through. */
static void prepare_next(struct daemon_mining_pool *pool, const struct rr_stratum_job *job)
{
    struct rr_hash_params next;
    struct rr_fault fault = {0};
    const uint32_t epoch_blocks = pool->rig->config.mining_pool.epoch_blocks;
    if (job->height / epoch_blocks != pool->epoch || pool->prepared == pool->epoch + 1 ||
        job->height % epoch_blocks < epoch_blocks - EPOCH_AHEAD) {
        return;
    }
    pool->prepared = pool->epoch + 1;
    if (rr_hash_params_epoch(&next, pool->prepared, epoch_blocks, &fault) != RR_OK ||
        rr_hash_engine_prepare_next(pool->rig->engine, &next, &fault) != RR_OK) {
        rr_log_fault(RR_LOG_WARN, "pool", &fault);
    }
}

static struct rr_hash_engine *engine_for(void *ctx, const struct rr_stratum_job *job,
                                         struct rr_fault *fault)
{
    struct daemon_mining_pool *pool = ctx;
    struct rr_hash_params params;
    enum rr_err err = params_of(pool, &params, job, fault);
    if (err == RR_OK) {
        err = rr_hash_engine_switch(pool->rig->engine, &params, fault);
    }
    if (err == RR_OK && pool->rig->config.mining_pool.epoch_blocks != 0) {
        prepare_next(pool, job);
    }
    return err == RR_OK ? pool->rig->engine : NULL;
}

/* ---- life -------------------------------------------------------------------------------- */

enum rr_err daemon_mining_pool_start(struct daemon_mining_pool **out, struct rr_rig *rig,
                                     struct rr_fault *fault)
{
    const struct mining_pool_settings *settings = &rig->config.mining_pool;
    if (settings->url_count == 0) {
        *out = NULL;
        return RR_OK;
    }
    struct daemon_mining_pool *pool = rr_alloc(sizeof *pool);
    struct rr_stratum_client_options options = {
        .loop = rig->loop,
        .url_count = settings->url_count,
        .user = settings->user,
        .password = settings->password,
        .ca_path = settings->ca[0] != '\0' ? settings->ca : NULL,
        .fingerprint = settings->fingerprint[0] != '\0' ? settings->fingerprint : NULL,
        .response_ms = settings->response_ms,
        .work_ms = settings->work_ms,
        .return_ms = settings->return_ms,
        .engine = engine_for,
        .ctx = pool,
        .weight = 1,
    };
    for (uint32_t i = 0; i < settings->url_count; i++) {
        options.urls[i] = settings->urls[i];
    }
    pool->rig = rig;
    pthread_mutex_init(&pool->lock, NULL);
    enum rr_err err = rr_stratum_client_start(&pool->client, &options, fault);
    if (err != RR_OK) {
        daemon_mining_pool_free(pool);
        return err;
    }
    *out = pool;
    return RR_OK;
}

void daemon_mining_pool_stop(struct daemon_mining_pool *pool)
{
    if (pool == NULL) {
        return;
    }
    pthread_mutex_lock(&pool->lock);
    struct rr_stratum_client *client = pool->client;
    pool->client = NULL;
    pthread_mutex_unlock(&pool->lock);
    rr_stratum_client_stop(client);
}

void daemon_mining_pool_free(struct daemon_mining_pool *pool)
{
    if (pool != NULL) {
        pthread_mutex_destroy(&pool->lock);
        rr_free(pool);
    }
}

/* ---- status ------------------------------------------------------------------------------ */

static json_t *number(uint64_t value)
{
    return json_integer((json_int_t)(value > INT64_MAX ? INT64_MAX : value));
}

json_t *daemon_mining_pool_json(struct daemon_mining_pool *pool)
{
    struct rr_stratum_client_stats stats = {0};
    bool on = false;
    if (pool != NULL) {
        pthread_mutex_lock(&pool->lock);
        on = pool->client != NULL;
        if (on) {
            rr_stratum_client_stats(pool->client, &stats);
        }
        pthread_mutex_unlock(&pool->lock);
    }
    if (!on) {
        return json_pack("{s:b}", "on", 0);
    }
    return json_pack("{s:b, s:b, s:s, s:o, s:s, s:b, s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, "
                     "s:o, s:o, s:o, s:o, s:o}",
                     "on", 1, "connected", (int)stats.connected, "pool", stats.pool, "pool_index",
                     number(stats.pool_index), "dialect", stats.dialect, "tls", (int)stats.tls,
                     "last_failure", stats.why, "since_ms", number(stats.since_ms), "accepted",
                     number(stats.accepted), "rejected", number(stats.rejected), "stale",
                     number(stats.stale), "unanswered", number(stats.unanswered), "connections",
                     number(stats.connections), "failures", number(stats.failures), "jobs",
                     number(stats.jobs), "latency_us", number(stats.latency_us), "latency_mean_us",
                     number(stats.latency_mean_us), "hashes", number(stats.hashes), "job_height",
                     number(stats.job_height), "job_difficulty", number(stats.job_difficulty));
}

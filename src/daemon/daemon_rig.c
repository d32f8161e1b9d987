/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/daemon_rig.h"
#include "daemon/daemon_api.h"
#include "daemon/daemon_devices.h"
#include "daemon/daemon_job.h"
#include "daemon/daemon_miner.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define DATASET_BYTES_MAX (UINT64_C(1) << 33)
#define SNAPSHOT_MS       500
#define DRAIN_MS          300
#define COMMIT_MS         10

const struct rr_hash_light *daemon_rig_light(const struct rr_rig *rig)
{
    return rig->light != NULL ? rig->light : rr_hash_engine_light(rig->engine);
}

bool daemon_rig_work(void *ctx, const uint8_t header_hash[32], uint64_t nonce, uint8_t mix[32],
                     uint8_t final_be[32])
{
    struct rr_rig *rig = ctx;
    rr_hash_light_compute(daemon_rig_light(rig), header_hash, nonce, mix, final_be);
    return true;
}

bool daemon_rig_work_many(void *ctx, struct rr_proof_work *works, size_t count)
{
    struct rr_rig *rig = ctx;
    struct rr_fault fault = {0};
    enum rr_err err = RR_ERR_STATE;
    struct rr_hash_check *checks = rr_alloc_array(count, sizeof *checks);
    for (size_t i = 0; i < count; i++) {
        memcpy(checks[i].header_hash, works[i].header_hash, 32);
        checks[i].nonce = works[i].nonce;
    }
    if (rig->light == NULL && /* else there is none, or it is of another epoch */
        (err = rr_hash_verify(rig->engine, checks, count, &fault)) != RR_OK) {
        rr_log_fault(RR_LOG_WARN, "pay", &fault);
    }
    for (size_t i = 0; i < count; i++) {
        if (err != RR_OK) { /* no engine, or none that is right: the law */
            rr_hash_light_compute(daemon_rig_light(rig), works[i].header_hash, works[i].nonce,
                                  checks[i].mix, checks[i].final_be);
        }
        memcpy(works[i].final_be, checks[i].final_be, 32);
    }
    rr_free(checks);
    return true;
}

enum rr_err daemon_rig_wait_height(struct rr_rig *rig, uint64_t height, struct rr_fault *fault)
{
    pthread_mutex_lock(&rig->lock);
    while (rig->tip_height < height && !atomic_load(&rig->stopping)) {
        pthread_cond_wait(&rig->tip_changed, &rig->lock);
    }
    bool reached = rig->tip_height >= height;
    pthread_mutex_unlock(&rig->lock);
    return reached && !atomic_load(&rig->stopping)
               ? RR_OK
               : rr_fail(fault, RR_ERR_CANCELLED, "the rig stops");
}

static void settle_due(void *ctx)
{
    struct rr_rig *rig = ctx;
    struct rr_fault fault = {0};
    uint32_t submitted = 0;
    atomic_store(&rig->settle_queued, false);
    if (!atomic_load(&rig->stopping) &&
        rr_till_settle(rig->till, false, &submitted, &fault) != RR_OK) {
        rr_log_fault(RR_LOG_WARN, "pay", &fault);
    }
}

static void tip_changed(void *ctx, const struct rr_chain_tip *tip)
{
    struct rr_rig *rig = ctx;
    pthread_mutex_lock(&rig->lock);
    rig->tip_height = tip->height;
    rig->tip_version++;
    pthread_cond_broadcast(&rig->tip_changed);
    pthread_mutex_unlock(&rig->lock);
    if (!atomic_exchange(&rig->settle_queued, true)) {
        rr_pool_submit(rig->ledger_pool, settle_due, NULL, NULL, rig);
    }
}

static void publish_snapshot(void *ctx)
{
    struct rr_rig *rig = ctx;
    struct rr_buf json = {0};
    atomic_store(&rig->snapshot_queued, false);
    if (!atomic_load(&rig->stopping)) {
        daemon_api_snapshot(rig, &json);
        rr_monitor_publish(rig->monitor, rr_buf_slice(&json));
    }
    rr_buf_clear(&json);
}

static void snapshot_due(void *ctx)
{
    struct rr_rig *rig = ctx;
    if (!atomic_exchange(&rig->snapshot_queued, true)) {
        rr_pool_submit(rig->ledger_pool, publish_snapshot, NULL, NULL, rig);
    }
}

static enum rr_err open_keys(struct rr_rig *rig, struct rr_fault *fault)
{
    char path[RR_PATH_BYTES];
    uint8_t secret[32];
    enum rr_err err = rr_path(path, fault, "%s/rig.key", rig->data);
    if (err != RR_OK || (err = rr_seckey_load(&rig->key, path, fault)) != RR_OK) {
        return err;
    }
    rr_seckey_public(rig->key, &rig->public_key);
    rr_address_of(&rig->address, &rig->public_key);
    rr_random(secret, sizeof secret);
    rr_hex(rig->token, secret, sizeof secret);
    return RR_OK;
}

static struct rr_hash_params hash_params(const struct rr_rig *rig)
{
    const struct rr_genesis *genesis = &rig->config.genesis;
    struct rr_hash_params params = {.cache_items = genesis->cache_items,
                                    .dataset_items = genesis->dataset_items};
    memcpy(params.seed, genesis->ethash_seed, sizeof params.seed);
    return params;
}

/* One light cache serves the books and the engine, unless there is none or it works for mining
 * pools of other epochs; its dataset, minutes on a large network, is made beside the rest. */
static enum rr_err open_hash(struct rr_rig *rig, struct rr_fault *fault)
{
    struct rr_hash_params params = hash_params(rig);
    bool for_pools = rig->config.mining_pool.url_count > 0, engine = rig->config.mine || for_pools;
    enum rr_err err = RR_OK;
    if (!engine || (for_pools && rig->config.mining_pool.epoch_blocks != 0)) {
        err = rr_hash_light_new(&rig->light, &params, fault);
    }
    if (err != RR_OK || !engine) {
        return err;
    }
    char path[RR_PATH_BYTES];
    err = rr_path(path, fault, "%s/tuning.txt", rig->data);
    if (err != RR_OK) {
        return err;
    }
    rr_hash_tuning_open(&rig->tuning, path);
    struct rr_hash_options options = {
        .threads = rig->config.mine_threads,
        .share_percent = rig->config.mine_share_percent,
        .dataset_bytes_max = DATASET_BYTES_MAX,
        .devices = rig->config.devices,
        .gpu_share_percent = rig->config.gpu_share_percent,
        .light_first = true,
        .tuning = {.load = rr_hash_tuning_load, .save = rr_hash_tuning_save, .ctx = rig->tuning}};
    return rr_hash_engine_new(&rig->engine, &params, &options, fault);
}

static enum rr_err open_books(struct rr_rig *rig, struct rr_fault *fault)
{
    const struct rig_config *config = &rig->config;
    char path[RR_PATH_BYTES];
    enum rr_err err = rr_path(path, fault, "%s/store", rig->data);
    struct rr_store_options store = {.folder = path,
                                     .quota_bytes = config->quota_bytes,
                                     .headroom_bytes = config->headroom_bytes};
    if (err != RR_OK || (err = rr_store_open(&rig->store, &store, fault)) != RR_OK ||
        (err = rr_path(path, fault, "%s/chain", rig->data)) != RR_OK) {
        return err;
    }
    struct rr_chain_options chain = {.folder = path,
                                     .genesis = &config->genesis,
                                     .clock = rig->clock,
                                     .work = daemon_rig_work,
                                     .work_ctx = rig};
    struct rr_fault why = {0};
    if ((err = rr_chain_open(&rig->chain, &chain, &why)) != RR_OK) {
        return rr_fail(fault, err, "%s: %.230s", path, why.text);
    }
    if ((err = rr_path(path, fault, "%s/till", rig->data)) != RR_OK) {
        return err;
    }
    struct rr_till_options till = {.folder = path,
                                   .chain = rig->chain,
                                   .genesis = &config->genesis,
                                   .key = rig->key,
                                   .clock = rig->clock,
                                   .risk_limit = config->risk_limit,
                                   .settle_amount = config->settle_amount,
                                   .settle_age_ms = config->settle_age_ms,
                                   .margin_blocks = config->margin_blocks,
                                   .commit_ms = COMMIT_MS,
                                   .withholding = config->withholding};
    err = rr_till_open(&rig->till, &till, fault);
    if (err == RR_OK) {
        struct rr_chain_tip tip;
        rr_till_set_work(rig->till, daemon_rig_work, rig);
        rr_chain_tip(rig->chain, &tip);
        rig->tip_height = tip.height;
        rr_till_set_work_many(rig->till, daemon_rig_work_many, rig);
        rr_chain_on_tip(rig->chain, tip_changed, rig);
        rr_chain_on_waiting(rig->chain, daemon_miner_new_body, rig);
        rr_till_on_certificates(rig->till, daemon_miner_new_body, rig);
    }
    return err;
}

static enum rr_err open_doors(struct rr_rig *rig, const struct rig_arguments *arguments,
                              struct rr_fault *fault)
{
    const struct rig_config *config = &rig->config;
    struct rr_serve_options serve = {
        .address = config->serve_address,
        .port = arguments->serve_port >= 0 ? (uint16_t)arguments->serve_port : config->serve_port,
        .threads = config->serve_threads,
        .cache_bytes = config->cache_bytes,
        .connections_max = config->connections_max,
        .store = rig->store,
        .chain = rig->chain,
        .till = rig->till,
        .genesis = &config->genesis,
        .key = rig->public_key,
        .clock = rig->clock,
        .margin_blocks = config->margin_blocks,
        .puzzles = daemon_puzzles_load,
        .claims = daemon_claims_add,
        .puzzles_ctx = rig,
        .work = rig->work != NULL ? daemon_work_answer : NULL,
        .work_price = rig->work != NULL ? daemon_work_price : NULL,
        .work_ctx = rig->work,
    };
    enum rr_err err = rr_serve_start(&rig->serve, &serve, fault);
    if (err != RR_OK || (err = rr_path(rig->uploads, fault, "%s/uploads", rig->data)) != RR_OK ||
        (err = rr_remove_tree(rig->uploads, fault)) != RR_OK ||
        (err = rr_make_folders(rig->uploads, fault)) != RR_OK) {
        return err;
    }
    struct rr_monitor_options monitor = {
        .address = config->control_address,
        .port =
            arguments->control_port >= 0 ? (uint16_t)arguments->control_port : config->control_port,
        .web_folder = rig->web_folder,
        .upload_folder = rig->uploads,
        .upload_bytes_max = config->upload_bytes_max,
        .token = rig->token,
        .answer = daemon_api_answer,
        .metrics = daemon_api_metrics,
        .ctx = rig,
    };
    return rr_monitor_start(&rig->monitor, &monitor, fault);
}

static enum rr_err write_control(struct rr_rig *rig, struct rr_fault *fault)
{
    char path[RR_PATH_BYTES], control[96], serve[96];
    snprintf(control, sizeof control, "http://%s:%u", rig->config.control_address,
             rr_monitor_port(rig->monitor));
    snprintf(serve, sizeof serve, "http://%s:%u", rig->config.serve_address,
             rr_serve_port(rig->serve));
    struct rr_buf text = {0};
    rr_buf_format(&text,
                  "{\"control\": \"%s\", \"serve\": \"%s\", \"token\": \"%s\", \"pid\": %ld}\n",
                  control, serve, rig->token, (long)getpid());
    enum rr_err err = rr_path(path, fault, "%s/control.json", rig->data);
    if (err == RR_OK) {
        err = rr_file_write(path, rr_buf_slice(&text), 0600, fault);
    }
    rr_buf_clear(&text);
    return err;
}

static enum rr_err open_all(struct rr_rig *rig, const struct rig_arguments *arguments,
                            struct rr_fault *fault)
{
    char path[RR_PATH_BYTES];
    enum rr_err err = rr_make_folders(rig->data, fault);
    if (err != RR_OK || (err = rr_path(path, fault, "%s/lock", rig->data)) != RR_OK) {
        return err;
    }
    if ((err = rr_lock_file(&rig->lock_fd, path, fault)) != RR_OK) {
        return err == RR_ERR_BUSY
                   ? rr_fail(fault, RR_ERR_BUSY,
                             "another reelrigd runs on %s; stop it, or give --data another folder",
                             rig->data)
                   : err;
    }
    if ((err = rr_path(path, fault, "%s/control.json", rig->data)) != RR_OK) {
        return err;
    }
    unlink(path); /* of a former life */
    if ((err = open_keys(rig, fault)) != RR_OK || (err = open_hash(rig, fault)) != RR_OK ||
        (err = open_books(rig, fault)) != RR_OK ||
        (err = daemon_devices_start(rig, fault)) != RR_OK ||
        (err = daemon_work_start(&rig->work, rig, fault)) != RR_OK ||
        (err = open_doors(rig, arguments, fault)) != RR_OK ||
        (err = daemon_stratum_start(&rig->stratum, rig, fault)) != RR_OK ||
        (err = daemon_mining_pool_start(&rig->mining_pool, rig, fault)) != RR_OK ||
        (err = daemon_jobs_load(rig, fault)) != RR_OK) {
        return err;
    }
    if (rig->engine != NULL && rig->mining_pool == NULL) { /* else the engine works for others */
        RR_CHECK(pthread_create(&rig->miner, NULL, daemon_miner_run, rig) == 0);
        rig->miner_runs = true;
    }
    rig->snapshot_timer = rr_timer_new(rig->loop, SNAPSHOT_MS, SNAPSHOT_MS, snapshot_due, rig);
    return write_control(rig, fault);
}

enum rr_err daemon_rig_open(struct rr_rig **out, struct rr_loop *loop,
                            const struct rig_arguments *arguments, struct rr_fault *fault)
{
    struct rr_rig *rig = rr_alloc(sizeof *rig);
    rig->lock_fd = -1;
    rig->clock = rr_clock_system();
    rig->started_ms = rr_wall_ms(rig->clock);
    rig->loop = loop;
    rig->web_folder = arguments->web_folder;
    pthread_mutex_init(&rig->lock, NULL);
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&rig->tip_changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    rig->jobs_pool = rr_pool_new("jobs", 1);
    rig->ledger_pool = rr_pool_new("ledger", 1);
    enum rr_err err = rr_path(rig->data, fault, "%s", arguments->data);
    if (err == RR_OK &&
        (err = daemon_config_load(&rig->config, arguments->config_path, fault)) == RR_OK) {
        err = open_all(rig, arguments, fault);
    }
    if (err != RR_OK) {
        daemon_rig_close(rig);
        return err;
    }
    *out = rig;
    return RR_OK;
}

void daemon_rig_close(struct rr_rig *rig)
{
    pthread_mutex_lock(&rig->lock);
    atomic_store(&rig->stopping, true);
    for (struct daemon_job *job = rig->jobs; job != NULL; job = job->next) {
        atomic_store(&job->cancel, true);
    }
    pthread_cond_broadcast(&rig->tip_changed);
    pthread_mutex_unlock(&rig->lock);
    rr_timer_free(rig->snapshot_timer);
    daemon_work_cancel(rig->work);
    if (rig->miner_runs) {
        pthread_join(rig->miner, NULL);
    }
    daemon_mining_pool_stop(rig->mining_pool);
    daemon_stratum_stop(rig->stratum);
    rr_pool_free(rig->jobs_pool);
    if (rig->serve != NULL) {
        rr_serve_stop(rig->serve, DRAIN_MS);
    }
    daemon_work_stop(rig->work);
    rr_pool_free(rig->ledger_pool);
    rr_hash_engine_stop(rig->engine); /* commands that wait for a device come back */
    rr_monitor_stop(rig->monitor);
    daemon_devices_stop(rig->devices);
    daemon_mining_pool_free(rig->mining_pool);
    daemon_stratum_free(rig->stratum);
    rr_till_close(rig->till);
    rr_chain_close(rig->chain);
    rr_store_close(rig->store);
    rr_hash_engine_free(rig->engine); /* last of these: the books check work by its cache */
    rr_hash_tuning_close(rig->tuning);
    rr_hash_light_free(rig->light);
    rr_seckey_free(rig->key);
    while (rig->jobs != NULL) {
        struct daemon_job *job = rig->jobs;
        rig->jobs = job->next;
        rr_free(job);
    }
    if (rig->lock_fd >= 0) {
        char path[RR_PATH_BYTES];
        if (rr_path(path, NULL, "%s/control.json", rig->data) == RR_OK) {
            unlink(path);
        }
        close(rig->lock_fd);
    }
    pthread_cond_destroy(&rig->tip_changed);
    pthread_mutex_destroy(&rig->lock);
    rr_free(rig);
}

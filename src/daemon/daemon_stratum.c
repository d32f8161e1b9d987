/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/daemon_stratum.h"
#include "daemon/daemon_miner.h"
#include "daemon/daemon_rig.h"
#include "daemon/daemon_settings.h"
#include "stratum/stratum.h"

#include <stdio.h>
#include <string.h>

#define TEMPLATES    8    /* as many works as the server keeps */
#define REFRESH_MS   4000 /* new transactions and certificates; the tip wakes at once */
#define WORKERS_SHOW 64

struct template
{
    uint64_t id; /* 0: none */
    struct rr_block_template block;
    struct rr_certificate_set *sets;
    uint32_t set_count;
};

struct daemon_stratum {
    struct rr_rig *rig;
    struct rr_timer *timer;
    struct rr_pool *pool; /* one thread: makes templates */
    atomic_bool queued;
    pthread_mutex_t lock; /* of what follows */
    struct rr_stratum_server *server;
    struct template templates[TEMPLATES];
    uint64_t last_id;
};

/* ---- settings ---------------------------------------------------------------------------- */

enum rr_err daemon_stratum_settings(struct stratum_settings *out, const struct rr_config *config,
                                    struct rr_fault *fault)
{
    struct stratum_settings read = {0};
    uint64_t port = 8802, share_ms = 10000, connections = 256, lines = 50, ban_s = 300;
    enum rr_err err;
    if ((err = daemon_settings_text(config, "stratum.listen", read.listen, sizeof read.listen,
                                    fault)) != RR_OK ||
        (err = daemon_settings_text(config, "stratum.tls_certificate", read.certificate,
                                    sizeof read.certificate, fault)) != RR_OK ||
        (err = daemon_settings_text(config, "stratum.tls_key", read.key, sizeof read.key, fault)) !=
            RR_OK ||
        (err = daemon_settings_text(config, "stratum.password", read.password, sizeof read.password,
                                    fault)) != RR_OK ||
        (err = rr_config_u64(config, "stratum.port", &port, 0, 65535, fault)) != RR_OK ||
        (err = rr_config_u64(config, "stratum.share_difficulty", &read.share_difficulty, 0,
                             UINT64_C(1) << 60, fault)) != RR_OK ||
        (err = rr_config_u64(config, "stratum.share_ms", &share_ms, 100, 600000, fault)) != RR_OK ||
        (err = rr_config_u64(config, "stratum.connections_max", &connections, 1, 16384, fault)) !=
            RR_OK ||
        (err = rr_config_u64(config, "stratum.lines_per_s", &lines, 1, 10000, fault)) != RR_OK ||
        (err = rr_config_u64(config, "stratum.ban_s", &ban_s, 0, 86400, fault)) != RR_OK) {
        return err;
    }
    if ((read.certificate[0] == '\0') != (read.key[0] == '\0')) {
        return rr_fail(fault, RR_ERR_FORMAT,
                       "stratum.tls_certificate and stratum.tls_key belong together; only one of "
                       "them is set");
    }
    read.port = (uint16_t)port;
    read.share_ms = (uint32_t)share_ms;
    read.connections_max = (uint32_t)connections;
    read.lines_per_s = (uint32_t)lines;
    read.ban_ms = (uint32_t)ban_s * 1000;
    *out = read;
    return RR_OK;
}

/* ---- templates --------------------------------------------------------------------------- */

static void clear_template(struct template *template)
{
    if (template->id != 0) {
        rr_block_clear(&template->block.block);
        rr_till_free_sets(template->sets, template->set_count);
        *template = (struct template){0};
    }
}

static enum rr_err make_template(struct rr_rig *rig, struct template *out, struct rr_fault *fault)
{
    struct template made = {0};
    struct rr_chain_tip tip;
    rr_chain_tip(rig->chain, &tip);
    enum rr_err err =
        rr_till_build_sets(rig->till, &made.sets, &made.set_count, tip.height + 1, fault);
    if (err == RR_OK) {
        err = rr_chain_template(rig->chain, &made.block, &rig->public_key, made.sets,
                                made.set_count, fault);
    }
    if (err != RR_OK) {
        rr_till_free_sets(made.sets, made.set_count);
        return err;
    }
    *out = made;
    return RR_OK;
}

static void refresh(void *ctx)
{
    struct daemon_stratum *stratum = ctx;
    struct template made;
    struct rr_fault fault = {0};
    atomic_store(&stratum->queued, false);
    if (atomic_load(&stratum->rig->stopping)) {
        return;
    }
    if (make_template(stratum->rig, &made, &fault) != RR_OK) {
        rr_log_fault(RR_LOG_WARN, "stratum", &fault); /* the timer tries again */
        return;
    }
    pthread_mutex_lock(&stratum->lock);
    made.id = ++stratum->last_id;
    struct template *place = &stratum->templates[made.id % TEMPLATES];
    clear_template(place);
    *place = made;
    struct rr_stratum_work work = {.id = made.id,
                                   .height = made.block.block.header.height,
                                   .difficulty = made.block.block.header.difficulty};
    memcpy(work.header_hash, made.block.work_hash, 32);
    memcpy(work.seed, stratum->rig->config.genesis.ethash_seed, 32);
    rr_stratum_server_set_work(stratum->server, &work);
    pthread_mutex_unlock(&stratum->lock);
}

static void want_refresh(void *ctx)
{
    struct daemon_stratum *stratum = ctx;
    if (!atomic_exchange(&stratum->queued, true)) {
        rr_pool_submit(stratum->pool, refresh, NULL, NULL, stratum);
    }
}

static void on_tip(void *ctx, const struct rr_chain_tip *tip)
{
    (void)tip;
    want_refresh(ctx);
}

/* ---- what the server asks ---------------------------------------------------------------- */

static enum rr_err verify(void *ctx, struct rr_hash_check *checks, size_t count,
                          struct rr_fault *fault)
{
    struct rr_rig *rig = ((struct daemon_stratum *)ctx)->rig;
    if (rig->light == NULL) { /* then the engine is there, and of our own epoch */
        return rr_hash_verify(rig->engine, checks, count, fault);
    }
    for (size_t i = 0; i < count; i++) {
        rr_hash_light_compute(daemon_rig_light(rig), checks[i].header_hash, checks[i].nonce,
                              checks[i].mix, checks[i].final_be);
    }
    return RR_OK;
}

static bool solved(void *ctx, const struct rr_stratum_solution *solution)
{
    struct daemon_stratum *stratum = ctx;
    struct rr_rig *rig = stratum->rig;
    struct rr_fault fault = {0};
    enum rr_err err = RR_ERR_NOTFOUND;
    pthread_mutex_lock(&stratum->lock);
    struct template *template = &stratum->templates[solution->work_id % TEMPLATES];
    if (template->id == solution->work_id) {
        struct rr_block *block = &template->block.block;
        block->header.nonce = solution->nonce;
        memcpy(block->header.mix.bytes, solution->mix, 32);
        err = daemon_miner_append(rig, block, template->sets, template->set_count, &fault);
    } else {
        err = rr_fail(&fault, err, "the block of %s is of work no longer kept", solution->worker);
    }
    pthread_mutex_unlock(&stratum->lock);
    if (err != RR_OK) { /* mostly: another block of this height was first */
        rr_log_fault(RR_LOG_INFO, "stratum", &fault);
        return false;
    }
    pthread_mutex_lock(&rig->lock);
    rig->blocks_mined++;
    pthread_mutex_unlock(&rig->lock);
    rr_log(RR_LOG_INFO, "stratum", "block %llu solved by %s", (unsigned long long)solution->height,
           solution->worker);
    return true;
}

/* ---- life -------------------------------------------------------------------------------- */

enum rr_err daemon_stratum_start(struct daemon_stratum **out, struct rr_rig *rig,
                                 struct rr_fault *fault)
{
    const struct stratum_settings *settings = &rig->config.stratum;
    if (settings->listen[0] == '\0') {
        *out = NULL;
        return RR_OK;
    }
    struct daemon_stratum *stratum = rr_alloc(sizeof *stratum);
    bool tls = settings->certificate[0] != '\0';
    struct rr_stratum_server_options options = {
        .loop = rig->loop,
        .address = settings->listen,
        .port = settings->port,
        .certificate_path = tls ? settings->certificate : NULL,
        .key_path = tls ? settings->key : NULL,
        .password = settings->password,
        .share_difficulty = settings->share_difficulty,
        .share_ms = settings->share_ms,
        .connections_max = settings->connections_max,
        .lines_per_s = settings->lines_per_s,
        .ban_ms = settings->ban_ms,
        .verify = verify,
        .solved = solved,
        .ctx = stratum,
    };
    stratum->rig = rig;
    pthread_mutex_init(&stratum->lock, NULL);
    enum rr_err err = rr_stratum_server_start(&stratum->server, &options, fault);
    if (err != RR_OK) {
        pthread_mutex_destroy(&stratum->lock);
        rr_free(stratum);
        return err;
    }
    stratum->pool = rr_pool_new("work", 1);
    stratum->timer = rr_timer_new(rig->loop, 0, REFRESH_MS, want_refresh, stratum);
    rr_chain_on_tip(rig->chain, on_tip, stratum);
    *out = stratum;
    return RR_OK;
}

void daemon_stratum_stop(struct daemon_stratum *stratum)
{
    if (stratum == NULL) {
        return;
    }
    rr_timer_free(stratum->timer);
    rr_pool_free(stratum->pool);
    pthread_mutex_lock(&stratum->lock);
    struct rr_stratum_server *server = stratum->server;
    stratum->server = NULL;
    pthread_mutex_unlock(&stratum->lock);
    rr_stratum_server_stop(server);
}

void daemon_stratum_free(struct daemon_stratum *stratum)
{
    if (stratum == NULL) {
        return;
    }
    for (size_t i = 0; i < TEMPLATES; i++) {
        clear_template(&stratum->templates[i]);
    }
    pthread_mutex_destroy(&stratum->lock);
    rr_free(stratum);
}

/* ---- status ------------------------------------------------------------------------------ */

static json_t *number(uint64_t value)
{
    return json_integer((json_int_t)(value > INT64_MAX ? INT64_MAX : value));
}

static json_t *worker_json(const struct rr_stratum_worker *worker)
{
    return json_pack(
        "{s:s, s:I, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "worker", worker->name,
        "connections", (json_int_t)worker->connections, "accepted", number(worker->accepted),
        "stale", number(worker->stale), "duplicate", number(worker->duplicate), "rejected",
        number(worker->rejected), "blocks", number(worker->blocks), "hashes",
        number(worker->hashes), "hashes_per_s", number(worker->rate), "reported_hashes_per_s",
        number(worker->reported_rate), "last_share_ms",
        worker->last_share_ms == UINT64_MAX ? json_null() : number(worker->last_share_ms));
}

/* Under the lock. */
static json_t *server_json(struct daemon_stratum *stratum)
{
    static const char *const dialects[] = {"unknown", "classic", "plain", "1.0.0", "2.0.0"};
    struct rr_stratum_server_stats stats;
    struct rr_stratum_worker *workers = rr_alloc_array(WORKERS_SHOW, sizeof *workers);
    rr_stratum_server_stats(stratum->server, &stats);
    size_t count = rr_stratum_server_workers(stratum->server, workers, WORKERS_SHOW);
    json_t *list = json_array(), *spoken = json_object();
    for (size_t i = 0; i < count; i++) {
        json_array_append_new(list, worker_json(&workers[i]));
    }
    rr_free(workers);
    for (size_t i = 0; i < RR_COUNT(dialects); i++) {
        json_object_set_new(spoken, dialects[i], number(stats.dialects[i]));
    }
    const struct stratum_settings *settings = &stratum->rig->config.stratum;
    return json_pack(
        "{s:b, s:s, s:i, s:b, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o,"
        " s:o, s:o}",
        "on", 1, "listen", settings->listen, "port", (int)rr_stratum_server_port(stratum->server),
        "tls", (int)(settings->certificate[0] != '\0'), "connections", number(stats.connections),
        "authorized", number(stats.authorized), "dialects", spoken, "hashes_per_s",
        number(stats.rate), "accepted", number(stats.accepted), "stale", number(stats.stale),
        "duplicate", number(stats.duplicate), "rejected", number(stats.rejected), "blocks",
        number(stats.blocks), "bans", number(stats.bans), "refused_connections",
        number(stats.refused_connections), "bad_messages", number(stats.errors), "push_us",
        number(stats.push_us), "height", number(stats.height), "worker_names",
        number(stats.workers), "workers", list);
}

json_t *daemon_stratum_json(struct daemon_stratum *stratum)
{
    json_t *out = NULL;
    if (stratum != NULL) {
        pthread_mutex_lock(&stratum->lock);
        out = stratum->server != NULL ? server_json(stratum) : NULL;
        pthread_mutex_unlock(&stratum->lock);
    }
    return out != NULL ? out : json_pack("{s:b}", "on", 0);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The client's shell: the stream, and the jobs in the hash engine. */
#include "stratum/stratum_client.h"
#include "stratum/stratum_pipe.h"

#include <pthread.h>
#include <string.h>

#define TICK_MS   100
#define FOUND_MAX 256
#define RATE_US   UINT64_C(60000000)

RR_GAUGE(stratum_mine_connected_gauge, "reelrig_mining_pool_connected",
         "1 while a mining pool gives work.")
RR_GAUGE(stratum_mine_latency_gauge, "reelrig_mining_pool_latency_us",
         "Mean time from a share to the mining pool's answer.")
RR_COUNTER(stratum_mine_accepted_counter, "reelrig_mining_pool_shares_accepted_total",
           "Shares that the mining pool took.")
RR_COUNTER(stratum_mine_rejected_counter, "reelrig_mining_pool_shares_rejected_total",
           "Shares that the mining pool refused.")
RR_COUNTER(stratum_mine_stale_counter, "reelrig_mining_pool_shares_stale_total",
           "Shares that were too late for the mining pool.")
RR_COUNTER(stratum_mine_failures_counter, "reelrig_mining_pool_failures_total",
           "Connections to mining pools that failed.")

struct stream {
    struct rr_stratum_client *client;
    struct stratum_pipe *pipe;
    uint32_t link;
    bool probe;
};

struct found {
    uint64_t number, nonce;
    uint8_t mix[32];
};

/* One search in the engine: from a nonce to the end of the job's range. */
struct search {
    struct rr_stratum_client *client;
    uint64_t generation, number;
    struct rr_hash_job job;
};

struct rr_stratum_client {
    struct rr_stratum_client_options options;
    struct stratum_tls_context *tls;
    struct rr_timer *timer;
    struct rr_pool *pool; /* one thread: prepares epochs, ends and starts searches */
    struct stream *stream, *probe;
    uint64_t rate_us;
    uint64_t job_told;

    pthread_mutex_t lock; /* of the core and what follows */
    bool stopped;
    struct stratum_client *core;
    struct rr_hash_engine *engine; /* that searches */
    uint64_t generation;           /* of searches: older ones do not go on */
    uint64_t engine_job;           /* 0: none */
    bool found_posted;
    uint32_t found_count;
    struct found found[FOUND_MAX];
};

static uint64_t now_us(void)
{
    return rr_monotonic_us(rr_clock_system());
}

/* ---- searching --------------------------------------------------------------------------- */

static void start_search(struct rr_stratum_client *client, const struct search *model);
static void on_found(void *ctx);

/* On a thread of the engine, or the one that cancels. */
static void search_done(void *ctx, const struct rr_hash_result *result)
{
    struct search *search = ctx;
    struct rr_stratum_client *client = search->client;
    pthread_mutex_lock(&client->lock);
    bool hit = result->end == RR_HASH_FOUND && result->found;
    if (hit && client->found_count < FOUND_MAX && !client->stopped) {
        struct found *found = &client->found[client->found_count++];
        found->number = search->number;
        found->nonce = result->nonce;
        memcpy(found->mix, result->mix, 32);
        if (!client->found_posted) {
            client->found_posted = true;
            rr_loop_post(client->options.loop, on_found, client);
        }
    }
    uint64_t end = search->job.nonce_start + search->job.nonce_count; /* 0: of 64 bits */
    if (search->generation == client->generation) {
        client->engine_job = 0;
        if (hit && !client->stopped && result->nonce + 1 != end) {
            search->job.nonce_start = result->nonce + 1;
            search->job.nonce_count = end - search->job.nonce_start;
            start_search(client, search);
        }
    }
    pthread_mutex_unlock(&client->lock);
    if (result->end == RR_HASH_FAILED) {
        rr_log(RR_LOG_ERROR, "pool", "the hash engine has no device left; mining stops");
    }
    rr_free(search);
}

/* Under the lock. */
static void start_search(struct rr_stratum_client *client, const struct search *model)
{
    struct search *search = rr_alloc(sizeof *search);
    struct rr_fault fault = {0};
    *search = *model;
    if (rr_hash_submit(client->engine, &client->engine_job, &search->job, search_done, search,
                       &fault) != RR_OK) {
        rr_log_fault(RR_LOG_WARN, "pool", &fault); /* the next job tries again */
        client->engine_job = 0;
        rr_free(search);
    }
}

/* On the pool's thread: ends the search of the former job, starts that of the newest. */
static void switch_job(void *ctx)
{
    struct rr_stratum_client *client = ctx;
    struct rr_fault fault = {0};
    pthread_mutex_lock(&client->lock);
    struct rr_stratum_job job = *stratum_client_job(client->core);
    uint64_t generation = ++client->generation, former = client->engine_job;
    struct rr_hash_engine *engine = client->engine;
    bool stopped = client->stopped;
    client->engine_job = 0;
    pthread_mutex_unlock(&client->lock);
    if (former != 0) {
        rr_hash_cancel(engine, former);
    }
    if (job.number == 0 || stopped) {
        return;
    }
    engine = client->options.engine(client->options.ctx, &job, &fault);
    if (engine == NULL) {
        rr_log_fault(RR_LOG_WARN, "pool", &fault);
        return;
    }
    struct search search = {.client = client,
                            .generation = generation,
                            .number = job.number,
                            .job = {.nonce_start = job.nonce_start,
                                    .nonce_count = job.nonce_count,
                                    .kind = RR_HASH_TARGET,
                                    .difficulty = rr_stratum_difficulty(job.boundary),
                                    .weight = client->options.weight}};
    memcpy(search.job.header_hash, job.header_hash, 32);
    pthread_mutex_lock(&client->lock);
    client->engine = engine;
    if (client->generation == generation && !client->stopped) {
        start_search(client, &search);
    }
    pthread_mutex_unlock(&client->lock);
}

/* ---- the stream -------------------------------------------------------------------------- */

static void end_stream(struct stream **stream)
{
    if (*stream != NULL) {
        stratum_pipe_close((*stream)->pipe);
        rr_free(*stream);
        *stream = NULL;
    }
}

static void sync_core(struct rr_stratum_client *client);

static void on_opened(void *ctx)
{
    struct stream *stream = ctx;
    struct rr_stratum_client *client = stream->client;
    pthread_mutex_lock(&client->lock);
    if (stream->probe) {
        end_stream(&client->probe);
        stratum_client_probed(client->core, true, now_us());
    } else {
        stratum_client_opened(client->core, stream->link, now_us());
    }
    sync_core(client);
    pthread_mutex_unlock(&client->lock);
}

static void on_received(void *ctx, struct rr_slice bytes)
{
    struct stream *stream = ctx;
    struct rr_stratum_client *client = stream->client;
    pthread_mutex_lock(&client->lock);
    if (!stream->probe) {
        stratum_client_input(client->core, stream->link, bytes, now_us());
        sync_core(client);
    }
    pthread_mutex_unlock(&client->lock);
}

static void on_closed(void *ctx, const struct rr_fault *why)
{
    struct stream *stream = ctx;
    struct rr_stratum_client *client = stream->client;
    pthread_mutex_lock(&client->lock);
    if (stream->probe) {
        end_stream(&client->probe);
        stratum_client_probed(client->core, false, now_us());
    } else {
        stratum_client_closed(client->core, stream->link, why->text, now_us());
    }
    sync_core(client);
    pthread_mutex_unlock(&client->lock);
}

static const struct stratum_pipe_events pipe_events = {on_opened, on_received, on_closed};

static struct stream *open_stream(struct rr_stratum_client *client, uint32_t pool, bool probe)
{
    const struct stratum_pool *to = &client->core->config.pools[pool];
    struct stream *stream = rr_alloc(sizeof *stream);
    stream->client = client;
    stream->link = client->core->link;
    stream->probe = probe;
    stream->pipe = stratum_pipe_connect(client->options.loop, to->host, to->port,
                                        to->tls ? client->tls : NULL, &pipe_events, stream);
    return stream;
}

static void publish_sums(struct rr_stratum_client *client)
{
    struct rr_stratum_client_stats stats;
    stratum_client_stats(client->core, &stats, now_us());
    rr_gauge_set(&stratum_mine_connected_gauge, stats.connected);
    rr_gauge_set(&stratum_mine_latency_gauge, stats.latency_mean_us);
    rr_gauge_set(&stratum_mine_accepted_counter, stats.accepted);
    rr_gauge_set(&stratum_mine_rejected_counter, stats.rejected);
    rr_gauge_set(&stratum_mine_stale_counter, stats.stale);
    rr_gauge_set(&stratum_mine_failures_counter, stats.failures);
}

/* Does what the core wishes. Loop thread, under the lock. */
static void sync_core(struct rr_stratum_client *client)
{
    struct stratum_client *core = client->core;
    if (client->stream != NULL && client->stream->link != core->link) {
        if (!core->wants_link && core->stats.why[0] != '\0') {
            rr_log(RR_LOG_INFO, "pool", "%s", core->stats.why);
        }
        end_stream(&client->stream);
    }
    if (client->stream == NULL && core->wants_link) {
        client->stream = open_stream(client, core->pool, false);
    }
    if (core->output.len > 0 && client->stream != NULL && stratum_pipe_open(client->stream->pipe)) {
        stratum_pipe_send(client->stream->pipe, rr_buf_slice(&core->output));
        core->output.len = 0;
    }
    if (core->wants_probe && client->probe == NULL) {
        client->probe = open_stream(client, 0, true);
    } else if (!core->wants_probe) {
        end_stream(&client->probe);
    }
    if (core->job_number != client->job_told) {
        client->job_told = core->job_number;
        rr_pool_submit(client->pool, switch_job, NULL, NULL, client);
    }
    publish_sums(client);
}

static void on_found(void *ctx)
{
    struct rr_stratum_client *client = ctx;
    pthread_mutex_lock(&client->lock);
    client->found_posted = false;
    for (uint32_t i = 0; i < client->found_count && !client->stopped; i++) {
        const struct found *found = &client->found[i];
        stratum_client_found(client->core, found->number, found->nonce, found->mix, now_us());
    }
    client->found_count = 0;
    if (!client->stopped) {
        sync_core(client);
    }
    pthread_mutex_unlock(&client->lock);
}

static void on_tick(void *ctx)
{
    struct rr_stratum_client *client = ctx;
    uint64_t now = now_us();
    pthread_mutex_lock(&client->lock);
    stratum_client_tick(client->core, now);
    if (client->engine != NULL && now - client->rate_us > RATE_US) {
        client->rate_us = now;
        stratum_client_rate(client->core, rr_hash_engine_rate(client->engine), now);
    }
    sync_core(client);
    pthread_mutex_unlock(&client->lock);
}

/* ---- the door ---------------------------------------------------------------------------- */

static bool copy_default(char out[static STRATUM_NAME_BYTES], const char *text)
{
    return out[0] != '\0' || text == NULL || text[0] == '\0' || stratum_read_name(out, text);
}

static enum rr_err read_options(struct stratum_client_config *out, bool *tls,
                                const struct rr_stratum_client_options *options,
                                struct rr_fault *fault)
{
    const uint32_t times[] = {options->response_ms, options->work_ms, options->return_ms};
    if (options->url_count < 1 || options->url_count > RR_STRATUM_POOLS_MAX ||
        options->weight < 1 || options->weight > RR_HASH_WEIGHT_MAX) {
        return rr_fail(fault, RR_ERR_USAGE, "%u addresses of mining pools; 1 to %d were expected",
                       options->url_count, RR_STRATUM_POOLS_MAX);
    }
    for (size_t i = 0; i < RR_COUNT(times); i++) {
        if (times[i] < 100 || times[i] > 3600000) {
            return rr_fail(fault, RR_ERR_USAGE,
                           "a time limit for mining pools is %u ms; 100 to 3600000 were expected",
                           times[i]);
        }
    }
    for (uint32_t i = 0; i < options->url_count; i++) {
        struct stratum_pool *pool = &out->pools[i];
        enum rr_err err = stratum_pool_parse(pool, options->urls[i], fault);
        if (err != RR_OK) {
            return err;
        }
        if (!copy_default(pool->user, options->user) ||
            !copy_default(pool->password, options->password) || pool->user[0] == '\0') {
            return rr_fail(fault, RR_ERR_USAGE,
                           "%s:%u has no good user and password; printable ASCII without blanks "
                           "and quotes was expected",
                           pool->host, pool->port);
        }
        *tls = *tls || pool->tls;
    }
    out->pool_count = options->url_count;
    out->response_ms = options->response_ms;
    out->work_ms = options->work_ms;
    out->return_ms = options->return_ms;
    rr_random(&out->seed, sizeof out->seed);
    return RR_OK;
}

enum rr_err rr_stratum_client_start(struct rr_stratum_client **out,
                                    const struct rr_stratum_client_options *options,
                                    struct rr_fault *fault)
{
    struct stratum_client_config *config = rr_alloc(sizeof *config);
    struct stratum_tls_context *context = NULL;
    bool tls = false;
    enum rr_err err = read_options(config, &tls, options, fault);
    if (err == RR_OK && tls) {
        err = stratum_tls_client(&context, options->ca_path, options->fingerprint, fault);
    }
    if (err == RR_OK) {
        struct rr_stratum_client *client = rr_alloc(sizeof *client);
        client->options = *options;
        client->tls = context;
        pthread_mutex_init(&client->lock, NULL);
        client->core = stratum_client_new(config, now_us());
        client->pool = rr_pool_new("mine", 1);
        client->timer = rr_timer_new(options->loop, 0, TICK_MS, on_tick, client);
        *out = client;
    }
    rr_free(config);
    return err;
}

void rr_stratum_client_stop(struct rr_stratum_client *client)
{
    if (client == NULL) {
        return;
    }
    rr_timer_free(client->timer);
    pthread_mutex_lock(&client->lock);
    client->stopped = true;
    end_stream(&client->stream);
    end_stream(&client->probe);
    rr_pool_submit(client->pool, switch_job, NULL, NULL, client); /* ends the search */
    pthread_mutex_unlock(&client->lock);
    rr_pool_free(client->pool);
    rr_loop_drain(client->options.loop); /* what was posted to this client */
    stratum_client_free(client->core);
    stratum_tls_context_free(client->tls);
    pthread_mutex_destroy(&client->lock);
    rr_free(client);
}

void rr_stratum_client_stats(struct rr_stratum_client *client, struct rr_stratum_client_stats *out)
{
    pthread_mutex_lock(&client->lock);
    stratum_client_stats(client->core, out, now_us());
    pthread_mutex_unlock(&client->lock);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which mining pool, when, and in which dialect; what the jobs are. */
#include "stratum/stratum_client.h"

#include <stdio.h>
#include <string.h>

#define BACKOFF_FIRST_US UINT64_C(1000000)
#define BACKOFF_MAX_US   UINT64_C(60000000)
#define DIALECT_PAUSE_US UINT64_C(50000) /* between the dialects of one pool */
#define CONNECT_US       UINT64_C(10000000)
#define NOOP_US          UINT64_C(60000000) /* 2.0.0: so that the pool does not think us dead */
#define WIDE_BITS        40
#define FREE_BITS        56 /* without an extranonce: searched from a random point */

struct stratum_client *stratum_client_new(const struct stratum_client_config *config,
                                          uint64_t now_us)
{
    struct stratum_client *client = rr_alloc(sizeof *client);
    RR_CHECK(config->pool_count >= 1 && config->pool_count <= RR_STRATUM_POOLS_MAX);
    client->config = *config;
    client->phase = STRATUM_WAITING;
    client->retry_us = now_us;
    rr_prng_seed(&client->prng, config->seed);
    return client;
}

void stratum_client_free(struct stratum_client *client)
{
    if (client != NULL) {
        stratum_lines_clear(&client->lines);
        rr_buf_clear(&client->output);
        rr_free(client);
    }
}

struct rr_u256 rr_stratum_difficulty(struct rr_u256 boundary)
{
    struct rr_u256 difficulty = rr_u256_div(rr_u256_max(), boundary, NULL);
    if (rr_u256_compare(rr_hash_boundary(difficulty), boundary) > 0) {
        difficulty = rr_u256_add(difficulty, rr_u256_of(1), NULL);
    }
    return difficulty;
}

/* ---- streams ----------------------------------------------------------------------------- */

static void forget_stream(struct stratum_client *client)
{
    stratum_lines_clear(&client->lines);
    client->output.len = 0;
    client->errors = 0;
    client->job_number = 0;
    client->prefix = 0;
    client->prefix_digits = 0;
    client->seed_known = false;
    client->epoch = RR_STRATUM_EPOCH_UNKNOWN;
    client->token[0] = '\0';
    client->stats.connected = false;
    client->wants_probe = false;
    for (size_t i = 0; i < STRATUM_CLIENT_REQUESTS; i++) {
        client->stats.unanswered += client->requests[i].kind == STRATUM_REQUEST_SUBMIT;
    }
    memset(client->requests, 0, sizeof client->requests);
    memset(client->jobs, 0, sizeof client->jobs);
}

static const enum stratum_dialect order[] = {STRATUM_V2, STRATUM_V1, STRATUM_CLASSIC,
                                             STRATUM_PLAIN};

static enum stratum_dialect first_dialect(const struct stratum_client *client)
{
    enum stratum_dialect fixed = client->config.pools[client->pool].dialect;
    enum stratum_dialect known = client->known[client->pool];
    return fixed != STRATUM_UNKNOWN ? fixed : known != STRATUM_UNKNOWN ? known : order[0];
}

/* STRATUM_UNKNOWN: all were tried. */
static enum stratum_dialect next_dialect(const struct stratum_client *client)
{
    if (client->config.pools[client->pool].dialect != STRATUM_UNKNOWN ||
        client->known[client->pool] != STRATUM_UNKNOWN) {
        return STRATUM_UNKNOWN;
    }
    for (size_t i = 0; i + 1 < RR_COUNT(order); i++) {
        if (order[i] == client->dialect) {
            return order[i + 1];
        }
    }
    return STRATUM_UNKNOWN;
}

/* Each whole round of the list doubles the pause before the next one. */
static uint64_t backoff_us(struct stratum_client *client)
{
    uint32_t rounds = (client->failures - 1) / client->config.pool_count;
    uint64_t us = BACKOFF_FIRST_US << (rounds < 6 ? rounds : 6);
    us = us < BACKOFF_MAX_US ? us : BACKOFF_MAX_US;
    bool round_over = client->failures % client->config.pool_count == 0;
    us = round_over ? us : BACKOFF_FIRST_US / 4;
    return us / 2 + rr_prng_below(&client->prng, us);
}

void stratum_client_fail(struct stratum_client *client, const char *why, bool unspoken,
                         uint64_t now_us)
{
    bool worked = client->stats.connected;
    snprintf(client->stats.why, sizeof client->stats.why, "%.60s:%u: %.120s",
             client->config.pools[client->pool].host, client->config.pools[client->pool].port, why);
    forget_stream(client);
    client->link++;
    client->wants_link = false;
    client->phase = STRATUM_WAITING;
    enum stratum_dialect next = unspoken && !worked ? next_dialect(client) : STRATUM_UNKNOWN;
    if (next != STRATUM_UNKNOWN) {
        client->dialect = next;
        client->retry_us = now_us + DIALECT_PAUSE_US;
        return;
    }
    client->stats.failures++;
    client->failures++;
    if (!worked) { /* one that worked gets a second try before the next one */
        client->pool = (client->pool + 1) % client->config.pool_count;
    }
    client->dialect = STRATUM_UNKNOWN;
    client->retry_us = now_us + backoff_us(client);
}

void stratum_client_opened(struct stratum_client *client, uint32_t link, uint64_t now_us)
{
    if (link != client->link || client->phase != STRATUM_CONNECTING) {
        return;
    }
    client->phase = STRATUM_GREETING;
    client->phase_us = client->work_us = client->noop_us = now_us;
    client->stats.connections++;
    stratum_client_greet(client, now_us);
}

void stratum_client_closed(struct stratum_client *client, uint32_t link, const char *why,
                           uint64_t now_us)
{
    if (link == client->link && client->wants_link) {
        stratum_client_fail(client, why, client->phase == STRATUM_GREETING, now_us);
    }
}

void stratum_client_input(struct stratum_client *client, uint32_t link, struct rr_slice bytes,
                          uint64_t now_us)
{
    struct rr_slice line;
    if (link != client->link || !client->wants_link) {
        return;
    }
    stratum_lines_add(&client->lines, bytes);
    while (link == client->link && stratum_lines_next(&client->lines, &line)) {
        if (line.len > 0) {
            stratum_client_line(client, line, now_us);
        }
    }
    if (link == client->link && client->lines.overlong) {
        stratum_client_fail(client, "sends an overlong line", client->phase == STRATUM_GREETING,
                            now_us);
    }
}

/* ---- time -------------------------------------------------------------------------------- */

void stratum_client_probed(struct stratum_client *client, bool there, uint64_t now_us)
{
    if (!client->wants_probe) {
        return;
    }
    client->wants_probe = false;
    client->probe_us = now_us;
    if (there && client->pool != 0) {
        uint64_t failures = client->stats.failures;
        stratum_client_fail(client, "the first mining pool is back", false, now_us);
        client->stats.failures = failures;
        client->failures = 0;
        client->pool = 0;
        client->retry_us = now_us;
    }
}

static bool overdue(const struct stratum_client *client, uint64_t now_us)
{
    for (size_t i = 0; i < STRATUM_CLIENT_REQUESTS; i++) {
        const struct stratum_request *request = &client->requests[i];
        if (request->kind != STRATUM_REQUEST_NONE && request->kind != STRATUM_REQUEST_EXTRANONCE &&
            request->kind != STRATUM_REQUEST_RATE && request->kind != STRATUM_REQUEST_NOOP &&
            now_us - request->sent_us > (uint64_t)client->config.response_ms * 1000) {
            return true;
        }
    }
    return false;
}

static void tick_work(struct stratum_client *client, uint64_t now_us)
{
    if (now_us - client->work_us > (uint64_t)client->config.work_ms * 1000) {
        stratum_client_fail(client, "has no new work for too long", false, now_us);
        return;
    }
    if (client->pool != 0 && !client->wants_probe &&
        now_us - client->probe_us > (uint64_t)client->config.return_ms * 1000) {
        client->wants_probe = true;
    }
    if (client->dialect == STRATUM_V2 && now_us - client->noop_us > NOOP_US) {
        client->noop_us = now_us;
        stratum_client_ask(client, STRATUM_REQUEST_NOOP, 0, now_us);
    }
}

void stratum_client_tick(struct stratum_client *client, uint64_t now_us)
{
    switch (client->phase) {
    case STRATUM_WAITING:
        if (now_us >= client->retry_us) {
            if (client->dialect == STRATUM_UNKNOWN) {
                client->dialect = first_dialect(client);
            }
            client->link++;
            client->wants_link = true;
            client->phase = STRATUM_CONNECTING;
            client->phase_us = now_us;
        }
        return;
    case STRATUM_CONNECTING:
        if (now_us - client->phase_us > CONNECT_US) {
            stratum_client_fail(client, "does not take the connection", false, now_us);
        }
        return;
    case STRATUM_GREETING:
        if (overdue(client, now_us)) {
            stratum_client_fail(client, "does not answer", true, now_us);
        } else if (now_us - client->work_us > (uint64_t)client->config.work_ms * 1000) {
            stratum_client_fail(client, "has no work", false, now_us);
        }
        return;
    case STRATUM_WORKING:
        if (overdue(client, now_us)) {
            stratum_client_fail(client, "does not answer", false, now_us);
        } else {
            tick_work(client, now_us);
        }
        return;
    }
}

/* ---- jobs -------------------------------------------------------------------------------- */

static void set_range(struct stratum_client *client, struct rr_stratum_job *job)
{
    unsigned digits = client->prefix_digits;
    if (digits == 0) {
        job->nonce_start = rr_prng_u64(&client->prng) >> FREE_BITS << FREE_BITS;
        job->nonce_count = UINT64_C(1) << FREE_BITS;
    } else {
        unsigned bits = 64 - 4 * digits; /* at most 6 bytes are the pool's */
        /* Not at its start, where room allows: the same header told again, with another boundary,
         * would give the same nonces again. */
        uint64_t skip =
            bits >= WIDE_BITS ? rr_prng_below(&client->prng, UINT64_C(1) << (bits - 1)) : 0;
        job->nonce_start = (client->prefix << bits) + skip;
        job->nonce_count = (UINT64_C(1) << bits) - skip;
    }
}

void stratum_client_add_job(struct stratum_client *client, const struct rr_stratum_job *job,
                            const char *name, bool clean, uint64_t now_us)
{
    uint64_t number = ++client->jobs_made;
    struct stratum_client_job *place = &client->jobs[number % STRATUM_CLIENT_JOBS];
    *place = (struct stratum_client_job){.job = *job, .prefix_digits = client->prefix_digits};
    place->job.number = number;
    set_range(client, &place->job);
    snprintf(place->name, sizeof place->name, "%s", name);
    if (clean) {
        client->clean_number = number;
    }
    client->job_number = number;
    client->work_us = now_us;
    client->stats.jobs++;
    client->stats.job_height = job->height;
    client->stats.job_difficulty = stratum_hashes_of(job->boundary);
    if (client->phase == STRATUM_GREETING) {
        client->phase = STRATUM_WORKING;
        client->since_us = client->probe_us = now_us;
        client->known[client->pool] = client->dialect;
        client->stats.connected = true;
        client->failures = 0;
    }
}

const struct rr_stratum_job *stratum_client_job(const struct stratum_client *client)
{
    static const struct rr_stratum_job none = {0};
    const struct stratum_client_job *job = &client->jobs[client->job_number % STRATUM_CLIENT_JOBS];
    return client->job_number != 0 && job->job.number == client->job_number ? &job->job : &none;
}

bool stratum_client_found(struct stratum_client *client, uint64_t number, uint64_t nonce,
                          const uint8_t mix[32], uint64_t now_us)
{
    const struct stratum_client_job *job = &client->jobs[number % STRATUM_CLIENT_JOBS];
    if (number == 0 || job->job.number != number || number < client->clean_number ||
        client->phase != STRATUM_WORKING) {
        client->stats.stale++;
        return false;
    }
    if (nonce - job->job.nonce_start >= job->job.nonce_count) {
        return false;
    }
    stratum_client_submit(client, job, nonce, mix, now_us);
    return true;
}

void stratum_client_rate(struct stratum_client *client, uint64_t rate, uint64_t now_us)
{
    if (client->phase == STRATUM_WORKING) {
        stratum_client_ask(client, STRATUM_REQUEST_RATE, rate, now_us);
    }
}

void stratum_client_stats(const struct stratum_client *client, struct rr_stratum_client_stats *out,
                          uint64_t now_us)
{
    const struct stratum_pool *pool = &client->config.pools[client->pool];
    *out = client->stats;
    snprintf(out->pool, sizeof out->pool, "%s:%u", pool->host, pool->port);
    snprintf(out->dialect, sizeof out->dialect, "%s", stratum_dialect_text(client->dialect));
    out->tls = pool->tls;
    out->pool_index = client->pool;
    out->since_ms = out->connected ? (now_us - client->since_us) / 1000 : 0;
    out->latency_mean_us = client->answers > 0 ? client->latency_sum_us / client->answers : 0;
    out->job_difficulty = client->job_number != 0 ? out->job_difficulty : 0;
}

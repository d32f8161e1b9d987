/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a client says in each dialect, and what it makes of what it hears. Strings of a mining pool
 * are read into numbers and hashes, or checked as names, before anything is made of them. */
#include "stratum/stratum_client.h"

#include <stdio.h>
#include <string.h>

#define AGENT      "reelrig/" RR_VERSION
#define V2_ID_MAX  65535
#define DIGITS_MAX 12 /* of an extranonce: 6 bytes [EIP-1571] */

/* A new request's id; the place of one without an answer is reused only when all are taken. */
static struct stratum_request *add_request(struct stratum_client *client,
                                           enum stratum_request_kind kind, uint64_t now_us)
{
    struct stratum_request *place = &client->requests[0];
    for (size_t i = 0; i < STRATUM_CLIENT_REQUESTS; i++) {
        struct stratum_request *request = &client->requests[i];
        if (request->kind == STRATUM_REQUEST_NONE) {
            place = request;
            break;
        }
        if (request->sent_us < place->sent_us) {
            place = request;
        }
    }
    client->stats.unanswered += place->kind == STRATUM_REQUEST_SUBMIT;
    client->next_id = client->next_id % V2_ID_MAX + 1;
    *place = (struct stratum_request){.kind = kind, .id = client->next_id, .sent_us = now_us};
    return place;
}

static uint32_t new_request(struct stratum_client *client, enum stratum_request_kind kind,
                            uint64_t now_us)
{
    return add_request(client, kind, now_us)->id;
}

static void ask_authorize(struct stratum_client *client, uint64_t now_us)
{
    const struct stratum_pool *pool = &client->config.pools[client->pool];
    uint32_t id = new_request(client, STRATUM_REQUEST_AUTHORIZE, now_us);
    if (client->dialect == STRATUM_CLASSIC) {
        stratum_say(
            &client->output,
            "{\"id\":%u,\"jsonrpc\":\"2.0\",\"method\":\"eth_submitLogin\",\"params\":[\"%s\","
            "\"%s\"]}",
            id, pool->user, pool->password);
    } else {
        stratum_say(&client->output,
                    "{\"id\":%u,\"method\":\"mining.authorize\",\"params\":[\"%s\",\"%s\"]}", id,
                    pool->user, pool->password);
    }
}

static void ask_subscribe(struct stratum_client *client, uint64_t now_us)
{
    uint32_t id = new_request(client, STRATUM_REQUEST_SUBSCRIBE, now_us);
    if (client->dialect == STRATUM_V2) {
        stratum_say(&client->output, "{\"id\":%u,\"method\":\"mining.subscribe\"}", id);
    } else if (client->dialect == STRATUM_V1) {
        stratum_say(&client->output,
                    "{\"id\":%u,\"method\":\"mining.subscribe\",\"params\":[\"" AGENT
                    "\",\"EthereumStratum/1.0.0\"]}",
                    id);
    } else {
        stratum_say(&client->output, "{\"id\":%u,\"method\":\"mining.subscribe\",\"params\":[]}",
                    id);
    }
}

void stratum_client_greet(struct stratum_client *client, uint64_t now_us)
{
    const struct stratum_pool *pool = &client->config.pools[client->pool];
    /* Difficulty 1 until the pool says otherwise: both specifications' default. */
    RR_CHECK(stratum_v1_boundary(&client->boundary, 1.0));
    switch (client->dialect) {
    case STRATUM_V2:
        stratum_say(&client->output,
                    "{\"id\":%u,\"method\":\"mining.hello\",\"params\":{\"agent\":\"" AGENT
                    "\",\"host\":\"%s\",\"port\":\"%x\",\"proto\":\"EthereumStratum/2.0.0\"}}",
                    new_request(client, STRATUM_REQUEST_HELLO, now_us), pool->host, pool->port);
        return;
    case STRATUM_CLASSIC:
        ask_authorize(client, now_us);
        return;
    case STRATUM_UNKNOWN:
    case STRATUM_V1:
    case STRATUM_PLAIN:
        ask_subscribe(client, now_us);
        return;
    }
}

void stratum_client_ask(struct stratum_client *client, enum stratum_request_kind kind,
                        uint64_t rate, uint64_t now_us)
{
    uint32_t id = new_request(client, kind, now_us);
    if (kind == STRATUM_REQUEST_NOOP) {
        stratum_say(&client->output, "{\"id\":%u,\"method\":\"mining.noop\"}", id);
    } else if (kind == STRATUM_REQUEST_WORK) {
        stratum_say(&client->output,
                    "{\"id\":%u,\"jsonrpc\":\"2.0\",\"method\":\"eth_getWork\",\"params\":[]}", id);
    } else if (client->dialect == STRATUM_V2) {
        stratum_say(&client->output,
                    "{\"id\":%u,\"method\":\"mining.hashrate\",\"params\":[\"%llx\",\"%s\"]}", id,
                    (unsigned long long)rate, client->token);
    } else {
        stratum_say(&client->output,
                    "{\"id\":%u,\"jsonrpc\":\"2.0\",\"method\":\"eth_submitHashrate\",\"params\":["
                    "\"0x%064llx\",\"0x%064x\"]}",
                    id, (unsigned long long)rate, 1);
    }
}

void stratum_client_submit(struct stratum_client *client, const struct stratum_client_job *job,
                           uint64_t nonce, const uint8_t mix[32], uint64_t now_us)
{
    const char *user = client->config.pools[client->pool].user;
    struct stratum_request *request = add_request(client, STRATUM_REQUEST_SUBMIT, now_us);
    uint32_t id = request->id;
    char digits[17], header[65], mix_text[65];
    snprintf(digits, sizeof digits, "%016llx", (unsigned long long)nonce);
    rr_hex(header, job->job.header_hash, 32);
    rr_hex(mix_text, mix, 32);
    request->hashes = stratum_hashes_of(job->job.boundary);
    switch (client->dialect) {
    case STRATUM_CLASSIC:
        stratum_say(
            &client->output,
            "{\"id\":%u,\"jsonrpc\":\"2.0\",\"method\":\"eth_submitWork\",\"params\":[\"0x%s\","
            "\"0x%s\",\"0x%s\"]}",
            id, digits, header, mix_text);
        return;
    case STRATUM_UNKNOWN:
    case STRATUM_PLAIN:
        stratum_say(
            &client->output,
            "{\"id\":%u,\"method\":\"mining.submit\",\"params\":[\"%s\",\"%s\",\"0x%s\",\"0x%s\","
            "\"0x%s\"]}",
            id, user, job->name, digits, header, mix_text);
        return;
    case STRATUM_V1:
        stratum_say(&client->output,
                    "{\"id\":%u,\"method\":\"mining.submit\",\"params\":[\"%s\",\"%s\",\"%s\"]}",
                    id, user, job->name, digits + job->prefix_digits);
        return;
    case STRATUM_V2:
        stratum_say(&client->output,
                    "{\"id\":%u,\"method\":\"mining.submit\",\"params\":[\"%s\",\"%s\",\"%s\"]}",
                    id, job->name, digits + job->prefix_digits, client->token);
        return;
    }
}

/* ---- what the pool tells ----------------------------------------------------------------- */

static bool read_extranonce(struct stratum_client *client, const char *text)
{
    uint64_t prefix = 0;
    size_t len = text != NULL ? strlen(text) : DIGITS_MAX + 1;
    if (len > DIGITS_MAX || (len > 0 && (text[0] == '0' && (text[1] == 'x' || text[1] == 'X'))) ||
        (len > 0 && !stratum_read_u64(&prefix, text))) {
        return false;
    }
    client->prefix = prefix;
    client->prefix_digits = (unsigned)len;
    return true;
}

/* Names of jobs go back as they came; what could break out of a JSON string is no name. */
static bool read_job_name(char out[static STRATUM_JOB_NAME_BYTES], const char *text)
{
    char name[STRATUM_NAME_BYTES];
    if (!stratum_read_name(name, text) || strlen(name) >= STRATUM_JOB_NAME_BYTES) {
        return false;
    }
    memcpy(out, name, strlen(name) + 1);
    return true;
}

/* [job,] header, seed, boundary[, height]: classic and plain. */
static bool take_whole_work(struct stratum_client *client, const json_t *params, size_t at,
                            bool clean, uint64_t now_us)
{
    struct rr_stratum_job job = {.epoch = RR_STRATUM_EPOCH_UNKNOWN, .seed_known = true};
    const struct rr_stratum_job *present = stratum_client_job(client);
    char name[STRATUM_JOB_NAME_BYTES] = "";
    if ((at > 0 && !read_job_name(name, stratum_param_text(params, 0))) ||
        !stratum_read_hash(job.header_hash, stratum_param_text(params, at)) ||
        !stratum_read_hash(job.seed, stratum_param_text(params, at + 1)) ||
        !stratum_read_u256(&job.boundary, stratum_param_text(params, at + 2)) ||
        rr_u256_is_zero(job.boundary)) {
        return false;
    }
    if (!stratum_read_u64(&job.height, stratum_param_text(params, at + 3))) {
        job.height = 0;
    }
    client->work_us = now_us;
    bool same = present->number != 0 && memcmp(present->header_hash, job.header_hash, 32) == 0 &&
                rr_u256_compare(present->boundary, job.boundary) == 0;
    if (!same) { /* classic pools send the same work again and again */
        stratum_client_add_job(client, &job, name, clean, now_us);
    }
    return true;
}

static bool take_v1_job(struct stratum_client *client, const json_t *params, uint64_t now_us)
{
    struct rr_stratum_job job = {.epoch = RR_STRATUM_EPOCH_UNKNOWN, .seed_known = true};
    char name[STRATUM_JOB_NAME_BYTES];
    if (!read_job_name(name, stratum_param_text(params, 0)) ||
        !stratum_read_hash(job.seed, stratum_param_text(params, 1)) ||
        !stratum_read_hash(job.header_hash, stratum_param_text(params, 2))) {
        return false;
    }
    job.boundary = client->boundary;
    stratum_client_add_job(client, &job, name, json_is_true(json_array_get(params, 3)), now_us);
    return true;
}

static bool take_v2_job(struct stratum_client *client, const json_t *params, uint64_t now_us)
{
    struct rr_stratum_job job = {.epoch = client->epoch, .seed_known = client->seed_known};
    char name[STRATUM_JOB_NAME_BYTES];
    const char *clean = stratum_param_text(params, 3);
    if (!read_job_name(name, stratum_param_text(params, 0)) ||
        !stratum_read_u64(&job.height, stratum_param_text(params, 1)) ||
        !stratum_read_hash(job.header_hash, stratum_param_text(params, 2))) {
        return false;
    }
    memcpy(job.seed, client->seed, 32);
    job.boundary = client->boundary;
    stratum_client_add_job(client, &job, name, clean != NULL && strcmp(clean, "1") == 0, now_us);
    return true;
}

static bool take_set(struct stratum_client *client, const json_t *params)
{
    const char *epoch = json_string_value(json_object_get(params, "epoch"));
    const char *target = json_string_value(json_object_get(params, "target"));
    const char *algo = json_string_value(json_object_get(params, "algo"));
    const char *extranonce = json_string_value(json_object_get(params, "extranonce"));
    const char *seed = json_string_value(json_object_get(params, "seed"));
    struct rr_u256 boundary = client->boundary;
    uint64_t number = client->epoch;
    if ((epoch != NULL && (!stratum_read_u64(&number, epoch) || number >= UINT32_MAX)) ||
        (target != NULL && (!stratum_read_u256(&boundary, target) || rr_u256_is_zero(boundary))) ||
        (algo != NULL && strcmp(algo, "ethash") != 0) ||
        (extranonce != NULL && !read_extranonce(client, extranonce)) ||
        (seed != NULL && !stratum_read_hash(client->seed, seed))) {
        return false;
    }
    client->boundary = boundary;
    client->epoch = (uint32_t)number;
    if (epoch != NULL || seed != NULL) {
        client->seed_known = seed != NULL;
    }
    return true;
}

static bool take_notice(struct stratum_client *client, const char *method, const json_t *params,
                        uint64_t now_us)
{
    bool v1 = client->dialect == STRATUM_V1, v2 = client->dialect == STRATUM_V2;
    if (strcmp(method, "mining.notify") == 0) {
        return v1   ? take_v1_job(client, params, now_us)
               : v2 ? take_v2_job(client, params, now_us)
                    : take_whole_work(client, params, 1, json_is_true(json_array_get(params, 4)),
                                      now_us);
    }
    if (strcmp(method, "mining.set_difficulty") == 0 && v1) {
        struct rr_u256 boundary;
        if (!stratum_v1_boundary(&boundary, json_number_value(json_array_get(params, 0))) ||
            rr_u256_is_zero(boundary)) {
            return false;
        }
        client->boundary = boundary;
        return true;
    }
    if (strcmp(method, "mining.set_extranonce") == 0 && v1) {
        return read_extranonce(client, stratum_param_text(params, 0));
    }
    if (strcmp(method, "mining.set") == 0 && v2) {
        return take_set(client, params);
    }
    if (strcmp(method, "mining.bye") == 0 || strcmp(method, "mining.reconnect") == 0 ||
        strcmp(method, "client.reconnect") == 0) {
        /* To the same address: whoever is in between shall not choose another one for us. */
        stratum_client_fail(client, "asked us to connect again", false, now_us);
    }
    return true; /* others are none of our business */
}

/* ---- answers ----------------------------------------------------------------------------- */

/* No error and no "false". 2.0.0: codes 2xx are notes on something that was taken. */
static bool is_good(const json_t *message, int64_t *code)
{
    const json_t *error = json_object_get(message, "error");
    *code = 0;
    if (json_is_object(error)) {
        *code = json_integer_value(json_object_get(error, "code"));
        return false;
    }
    if (json_is_array(error)) {
        *code = json_integer_value(json_array_get(error, 0));
        return false;
    }
    return (error == NULL || json_is_null(error)) &&
           !json_is_false(json_object_get(message, "result"));
}

static void count_share(struct stratum_client *client, const struct stratum_request *request,
                        bool good, int64_t code, uint64_t now_us)
{
    struct rr_stratum_client_stats *stats = &client->stats;
    bool stale = client->dialect == STRATUM_V2 ? code == 202 : code == 21;
    stats->latency_us = now_us - request->sent_us;
    client->latency_sum_us += stats->latency_us;
    client->answers++;
    if (good) {
        stats->accepted++;
        stats->hashes = stats->hashes + request->hashes < stats->hashes
                            ? UINT64_MAX
                            : stats->hashes + request->hashes;
    } else if (stale) {
        stats->stale++;
    } else {
        stats->rejected++;
    }
}

static bool take_subscription(struct stratum_client *client, const json_t *result, uint64_t now_us)
{
    if (client->dialect == STRATUM_V1) {
        const char *version = stratum_param_text(json_array_get(result, 0), 2);
        if (version == NULL || strncmp(version, "EthereumStratum/1.", 18) != 0 ||
            !read_extranonce(client, stratum_param_text(result, 1))) {
            return false;
        }
        stratum_say(&client->output,
                    "{\"id\":%u,\"method\":\"mining.extranonce.subscribe\",\"params\":[]}",
                    new_request(client, STRATUM_REQUEST_EXTRANONCE, now_us));
    }
    ask_authorize(client, now_us);
    return true;
}

static bool take_hello(struct stratum_client *client, const json_t *result, uint64_t now_us)
{
    const char *proto = json_string_value(json_object_get(result, "proto"));
    const char *encoding = json_string_value(json_object_get(result, "encoding"));
    if (proto == NULL || strcmp(proto, "EthereumStratum/2.0.0") != 0 ||
        (encoding != NULL && strcmp(encoding, "plain") != 0)) {
        return false;
    }
    ask_subscribe(client, now_us);
    return true;
}

static bool take_authorization(struct stratum_client *client, const json_t *result, uint64_t now_us)
{
    if (client->dialect == STRATUM_V2 &&
        !stratum_read_name(client->token, json_string_value(result))) {
        return false;
    }
    if (client->dialect == STRATUM_CLASSIC) {
        stratum_client_ask(client, STRATUM_REQUEST_WORK, 0, now_us);
    }
    return true;
}

static void take_answer(struct stratum_client *client, struct stratum_request request,
                        const json_t *message, uint64_t now_us)
{
    const json_t *result = json_object_get(message, "result");
    int64_t code;
    bool good = is_good(message, &code), kept = true;
    switch (request.kind) {
    case STRATUM_REQUEST_NONE:
    case STRATUM_REQUEST_EXTRANONCE:
    case STRATUM_REQUEST_RATE:
    case STRATUM_REQUEST_NOOP:
        return;
    case STRATUM_REQUEST_SUBMIT:
        count_share(client, &request, good, code, now_us);
        return;
    case STRATUM_REQUEST_HELLO:
        kept = good && take_hello(client, result, now_us);
        break;
    case STRATUM_REQUEST_SUBSCRIBE:
        kept = good && take_subscription(client, result, now_us);
        break;
    case STRATUM_REQUEST_AUTHORIZE:
        if (!good && (client->dialect == STRATUM_V1 || client->dialect == STRATUM_V2)) {
            stratum_client_fail(client, "refuses user or password", false, now_us);
            return; /* it does speak this dialect */
        }
        kept = good && take_authorization(client, result, now_us);
        break;
    case STRATUM_REQUEST_WORK: /* not ready yet: it will be pushed */
        return;
    }
    if (!kept) {
        stratum_client_fail(client, "does not speak this dialect", true, now_us);
    }
}

static struct stratum_request take_request(struct stratum_client *client, const json_t *id)
{
    struct stratum_request found = {0};
    for (size_t i = 0; i < STRATUM_CLIENT_REQUESTS && json_is_integer(id); i++) {
        struct stratum_request *request = &client->requests[i];
        if (request->kind != STRATUM_REQUEST_NONE && json_integer_value(id) == request->id) {
            found = *request;
            *request = (struct stratum_request){0};
            break;
        }
    }
    return found;
}

static void forget_requests(struct stratum_client *client, enum stratum_request_kind kind)
{
    for (size_t i = 0; i < STRATUM_CLIENT_REQUESTS; i++) {
        if (client->requests[i].kind == kind) {
            client->requests[i] = (struct stratum_request){0};
        }
    }
}

void stratum_client_line(struct stratum_client *client, struct rr_slice line, uint64_t now_us)
{
    json_t *message = stratum_parse(line);
    uint32_t link = client->link;
    bool good = message != NULL;
    if (good) {
        const char *method = json_string_value(json_object_get(message, "method"));
        const json_t *result = json_object_get(message, "result");
        if (method != NULL) {
            good = take_notice(client, method, json_object_get(message, "params"), now_us);
        } else if (client->dialect == STRATUM_CLASSIC && json_is_array(result)) {
            /* Asked for or pushed: the id of pushed work is any, perhaps one of our requests. */
            forget_requests(client, STRATUM_REQUEST_WORK);
            good = take_whole_work(client, result, 0, false, now_us);
        } else {
            take_answer(client, take_request(client, json_object_get(message, "id")), message,
                        now_us);
        }
    }
    json_decref(message);
    if (!good && link == client->link && ++client->errors >= STRATUM_CLIENT_ERRORS) {
        stratum_client_fail(client, "sends what makes no sense", client->phase == STRATUM_GREETING,
                            now_us);
    }
}

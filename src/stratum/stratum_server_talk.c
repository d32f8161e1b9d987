/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What is said: the four ways of miners, told apart by their first message. Facts from EIP-1571 and
 * NiceHash's EthereumStratum/1.0.0 (revision R2); the classic ways have no document, they are what
 * ethminer sends. */
#include "stratum/stratum_server.h"

#include <stdio.h>
#include <string.h>

#define REST_DIGITS                                                                                \
    ((64 - STRATUM_SEGMENT_BITS) / 4) /* hex digits of a nonce that are a miner's                  \
                                       */
#define V2_ID_MAX 65535

/* One request on its way through. */
struct talk {
    struct stratum_server *server;
    struct stratum_conn *conn;
    const json_t *message, *params;
    const char *method;
    char id[STRATUM_ID_BYTES];
    bool has_id;
    uint64_t now_us;
};

static const struct {
    int code, v2_code;
    const char *text;
} refusals[] = {
    [STRATUM_STALE] = {21, 202, "Stale"},
    [STRATUM_NO_JOB] = {21, 404, "Job not found"},
    [STRATUM_DUPLICATE] = {22, 409, "Duplicate share"},
    [STRATUM_LOW] = {23, 406, "Bad nonce: above the share's target"},
    [STRATUM_BAD_MIX] = {20, 406, "Bad nonce: another mix hash"},
    [STRATUM_UNAUTHORIZED] = {24, 301, "Unauthorized worker"},
    [STRATUM_NOT_SUBSCRIBED] = {25, 302, "Not subscribed"},
    [STRATUM_BAD_PASSWORD] = {24, 303, "Wrong password"},
    [STRATUM_SYNTAX] = {20, 400, "Bad request"},
    [STRATUM_METHOD] = {20, 405, "Unknown method"},
    [STRATUM_VERSION] = {20, 400, "Bad protocol request"},
    [STRATUM_NO_WORK] = {0, 503, "Work not ready"},
    [STRATUM_BUSY] = {20, 429, "Too many shares at once"},
    [STRATUM_INTERNAL] = {20, 500, "The share could not be checked"},
};

static void say_result(struct stratum_conn *conn, const char *id, const char *result)
{
    switch (conn->dialect) {
    case STRATUM_V2:
        if (result == NULL) {
            stratum_say(&conn->output, "{\"id\":%s}", id);
        } else {
            stratum_say(&conn->output, "{\"id\":%s,\"result\":%s}", id, result);
        }
        break;
    case STRATUM_CLASSIC:
        stratum_say(&conn->output, "{\"id\":%s,\"jsonrpc\":\"2.0\",\"result\":%s}", id,
                    result != NULL ? result : "true");
        break;
    case STRATUM_UNKNOWN:
    case STRATUM_PLAIN:
    case STRATUM_V1:
        stratum_say(&conn->output, "{\"id\":%s,\"result\":%s,\"error\":null}", id,
                    result != NULL ? result : "true");
        break;
    }
}

void stratum_talk_accept(struct stratum_conn *conn, const char *id)
{
    say_result(conn, id, NULL);
}

void stratum_talk_refuse(struct stratum_conn *conn, const char *id, enum stratum_refusal why)
{
    const char *text = refusals[why].text;
    switch (conn->dialect) {
    case STRATUM_V2:
        stratum_say(&conn->output, "{\"id\":%s,\"error\":{\"code\":%d,\"message\":\"%s\"}}", id,
                    refusals[why].v2_code, text);
        break;
    case STRATUM_CLASSIC:
        stratum_say(&conn->output,
                    "{\"id\":%s,\"jsonrpc\":\"2.0\",\"result\":false,\"error\":{\"code\":%d,"
                    "\"message\":\"%s\"}}",
                    id, refusals[why].code, text);
        break;
    case STRATUM_UNKNOWN:
    case STRATUM_PLAIN:
    case STRATUM_V1:
        stratum_say(&conn->output, "{\"id\":%s,\"result\":false,\"error\":[%d,\"%s\",null]}", id,
                    refusals[why].code, text);
        break;
    }
}

/* A message that is no good; some are borne. */
static void bad(struct talk *talk, enum stratum_refusal why)
{
    talk->server->stats.errors++;
    stratum_talk_refuse(talk->conn, talk->id, why);
    if (++talk->conn->errors >= STRATUM_ERRORS_MAX) {
        talk->conn->ending = "too many bad messages";
    }
}

/* ---- work -------------------------------------------------------------------------------- */

static void say_set(struct stratum_conn *conn, const struct stratum_job *job, uint64_t difficulty)
{
    char boundary[65], seed[65];
    bool first = !conn->told_seed;
    stratum_boundary_text(boundary, rr_hash_boundary(rr_u256_of(difficulty)));
    rr_hex(seed, job->work.seed, 32);
    if (!first && conn->told_epoch == job->work.epoch) {
        stratum_say(&conn->output, "{\"method\":\"mining.set\",\"params\":{\"target\":\"%s\"}}",
                    boundary);
        return;
    }
    /* "seed" is ours: a network of its own sizes has no epoch in the standard table. */
    stratum_say(
        &conn->output,
        "{\"method\":\"mining.set\",\"params\":{\"epoch\":\"%x\",\"target\":\"%s\",\"algo\":"
        "\"ethash\",\"extranonce\":\"%04x\",\"seed\":\"%s\"}}",
        job->work.epoch, boundary, conn->segment, seed);
    conn->told_seed = true;
    conn->told_epoch = job->work.epoch;
}

static void say_classic_work(struct stratum_conn *conn, const char *id,
                             const struct stratum_job *job, uint64_t difficulty)
{
    char header[65], seed[65], boundary[65];
    rr_hex(header, job->work.header_hash, 32);
    rr_hex(seed, job->work.seed, 32);
    stratum_boundary_text(boundary, rr_hash_boundary(rr_u256_of(difficulty)));
    stratum_say(
        &conn->output,
        "{\"id\":%s,\"jsonrpc\":\"2.0\",\"result\":[\"0x%s\",\"0x%s\",\"0x%s\",\"0x%llx\"]}", id,
        header, seed, boundary, (unsigned long long)job->work.height);
}

/* Number of the job and of its telling. */
static unsigned long long name_of(const struct stratum_conn *conn, const struct stratum_job *job)
{
    return (unsigned long long)job->number << STRATUM_VARIANT_BITS |
           stratum_share_variant(conn, job);
}

void stratum_talk_work(struct stratum_server *server, struct stratum_conn *conn, bool clean)
{
    const struct stratum_job *job = stratum_job_newest(server);
    char header[65], seed[65], boundary[65];
    if (job == NULL) {
        return;
    }
    uint64_t difficulty = stratum_share_difficulty(conn, job);
    rr_hex(header, job->work.header_hash, 32);
    rr_hex(seed, job->work.seed, 32);
    switch (conn->dialect) {
    case STRATUM_UNKNOWN:
        return;
    case STRATUM_CLASSIC:
        say_classic_work(conn, "0", job, difficulty);
        return;
    case STRATUM_PLAIN:
        stratum_boundary_text(boundary, rr_hash_boundary(rr_u256_of(difficulty)));
        stratum_say(
            &conn->output,
            "{\"id\":null,\"jsonrpc\":\"2.0\",\"method\":\"mining.notify\",\"params\":[\"%s\","
            "\"0x%s\",\"0x%s\",\"0x%s\",%s]}",
            header, header, seed, boundary, clean ? "true" : "false");
        return;
    case STRATUM_V1:
        if (conn->told != difficulty) {
            stratum_say(&conn->output,
                        "{\"id\":null,\"method\":\"mining.set_difficulty\",\"params\":[%.17g]}",
                        stratum_v1_of_hashes(difficulty));
        }
        stratum_say(
            &conn->output,
            "{\"id\":null,\"method\":\"mining.notify\",\"params\":[\"%08llx\",\"%s\",\"%s\",%s]}",
            name_of(conn, job), seed, header, clean ? "true" : "false");
        break;
    case STRATUM_V2:
        if (conn->told != difficulty || conn->told_epoch != job->work.epoch) {
            say_set(conn, job, difficulty);
        }
        stratum_say(&conn->output,
                    "{\"method\":\"mining.notify\",\"params\":[\"%llx\",\"%llx\",\"%s\",\"%d\"]}",
                    name_of(conn, job), (unsigned long long)job->work.height, header, clean);
        break;
    }
    conn->told = difficulty;
}

/* ---- workers ----------------------------------------------------------------------------- */

/* Index in the server's table, STRATUM_NO_WORKER when the name is not one of the connection's. */
static uint32_t worker_of_name(const struct talk *talk, const char *name)
{
    for (uint32_t i = 0; name != NULL && i < talk->conn->worker_count; i++) {
        uint32_t worker = talk->conn->workers[i];
        if (strcmp(talk->server->workers[worker].sums.name, name) == 0) {
            return worker;
        }
    }
    return STRATUM_NO_WORKER;
}

static uint32_t worker_of_token(const struct talk *talk, const char *token)
{
    uint64_t number;
    if (token == NULL || strncmp(token, "w-", 2) != 0 || !stratum_read_u64(&number, token + 2) ||
        number >= talk->conn->worker_count) {
        return STRATUM_NO_WORKER;
    }
    return talk->conn->workers[number];
}

/* Place among the connection's workers, added when it is new; STRATUM_NO_WORKER: no room. */
static uint32_t add_worker(struct talk *talk, const char *name)
{
    struct stratum_conn *conn = talk->conn;
    uint32_t worker = stratum_worker_find(talk->server, name, talk->now_us);
    for (uint32_t i = 0; worker != STRATUM_NO_WORKER && i < conn->worker_count; i++) {
        if (conn->workers[i] == worker) {
            return i;
        }
    }
    if (worker == STRATUM_NO_WORKER || conn->worker_count == STRATUM_CONN_WORKERS_MAX) {
        return STRATUM_NO_WORKER;
    }
    talk->server->workers[worker].sums.connections++;
    talk->server->workers[worker].last_us = talk->now_us;
    conn->workers[conn->worker_count] = worker;
    return conn->worker_count++;
}

/* User and, in the classic dialect, the worker beside the request: "user.worker". */
static bool read_login(const struct talk *talk, char name[static STRATUM_NAME_BYTES])
{
    char user[STRATUM_NAME_BYTES], worker[STRATUM_NAME_BYTES];
    if (!stratum_read_name(user, stratum_param_text(talk->params, 0))) {
        return false;
    }
    const char *extra = json_string_value(json_object_get(talk->message, "worker"));
    if (extra == NULL || extra[0] == '\0') {
        memcpy(name, user, sizeof user);
        return true;
    }
    if (!stratum_read_name(worker, extra) ||
        strlen(user) + 1 + strlen(worker) >= STRATUM_NAME_BYTES) {
        return false;
    }
    size_t len = strlen(user);
    memcpy(name, user, len + 1);
    name[len] = '.';
    memcpy(name + len + 1, worker, strlen(worker) + 1);
    return true;
}

static void authorize(struct talk *talk)
{
    struct stratum_conn *conn = talk->conn;
    const char *password = stratum_param_text(talk->params, 1);
    const char *expected = talk->server->config.password;
    char name[STRATUM_NAME_BYTES];
    if (!conn->subscribed) {
        bad(talk, STRATUM_NOT_SUBSCRIBED);
        return;
    }
    if (!read_login(talk, name)) {
        bad(talk, STRATUM_SYNTAX);
        return;
    }
    if (expected[0] != '\0' && (password == NULL || strcmp(password, expected) != 0)) {
        bad(talk, STRATUM_BAD_PASSWORD);
        return;
    }
    bool first = conn->worker_count == 0;
    uint32_t place = add_worker(talk, name);
    if (place == STRATUM_NO_WORKER) {
        bad(talk, STRATUM_BUSY);
        return;
    }
    if (conn->dialect == STRATUM_V2) {
        char token[24];
        snprintf(token, sizeof token, "\"w-%x\"", place);
        say_result(conn, talk->id, token);
    } else {
        stratum_talk_accept(conn, talk->id);
    }
    if (first && conn->dialect != STRATUM_CLASSIC) {
        stratum_talk_work(talk->server, conn, true); /* classic miners ask: eth_getWork */
    }
}

/* ---- the dialects' greetings ------------------------------------------------------------- */

static void hello(struct talk *talk)
{
    const char *proto = json_string_value(json_object_get(talk->params, "proto"));
    if (proto == NULL || strcmp(proto, "EthereumStratum/2.0.0") != 0) {
        bad(talk, STRATUM_VERSION);
        talk->conn->ending = "another version of the protocol";
        return;
    }
    talk->conn->greeted = true;
    char result[160];
    snprintf(result, sizeof result,
             "{\"proto\":\"EthereumStratum/2.0.0\",\"encoding\":\"plain\",\"resume\":\"0\","
             "\"timeout\":\"%llx\",\"maxerrors\":\"%x\",\"node\":\"reelrig/" RR_VERSION "\"}",
             (unsigned long long)(STRATUM_IDLE_US / 1000000), STRATUM_ERRORS_MAX);
    say_result(talk->conn, talk->id, result);
}

static void subscribe(struct talk *talk)
{
    struct stratum_conn *conn = talk->conn;
    uint64_t session = rr_prng_u64(&talk->server->prng);
    char result[160];
    if (conn->dialect == STRATUM_V2 && !conn->greeted) {
        bad(talk, STRATUM_NOT_SUBSCRIBED);
        return;
    }
    conn->subscribed = true;
    switch (conn->dialect) {
    case STRATUM_V2:
        snprintf(result, sizeof result, "\"s-%llx\"", (unsigned long long)session);
        say_result(conn, talk->id, result);
        break;
    case STRATUM_V1:
        snprintf(result, sizeof result,
                 "[[\"mining.notify\",\"%016llx%016llx\",\"EthereumStratum/1.0.0\"],\"%04x\"]",
                 (unsigned long long)session, (unsigned long long)conn->id, conn->segment);
        say_result(conn, talk->id, result);
        break;
    case STRATUM_UNKNOWN:
    case STRATUM_CLASSIC:
    case STRATUM_PLAIN:
        stratum_talk_accept(conn, talk->id);
        break;
    }
}

/* ---- shares ------------------------------------------------------------------------------ */

static void add_share(struct talk *talk, const struct stratum_entry *entry)
{
    enum stratum_refusal refusal = stratum_share_add(talk->server, talk->conn, entry, talk->now_us);
    if (refusal != STRATUM_ACCEPTED) {
        stratum_talk_refuse(talk->conn, talk->id, refusal);
    }
}

static void no_worker(struct talk *talk)
{
    stratum_share_refused(talk->server, talk->conn, STRATUM_NO_WORKER, STRATUM_UNAUTHORIZED,
                          talk->now_us);
    stratum_talk_refuse(talk->conn, talk->id, STRATUM_UNAUTHORIZED);
}

/* Whole nonce, header, and a mix that some leave out; from params[at] on. */
static void submit_whole(struct talk *talk, size_t at, uint32_t worker)
{
    uint64_t nonce;
    uint8_t header[32], mix[32];
    const char *mix_text = stratum_param_text(talk->params, at + 2);
    if (!stratum_read_u64(&nonce, stratum_param_text(talk->params, at)) ||
        !stratum_read_hash(header, stratum_param_text(talk->params, at + 1)) ||
        (mix_text != NULL && !stratum_read_hash(mix, mix_text))) {
        bad(talk, STRATUM_SYNTAX);
        return;
    }
    struct stratum_entry entry = {.job = stratum_job_of_header(talk->server, header),
                                  .worker = worker,
                                  .id = talk->id,
                                  .nonce = nonce,
                                  .mix = mix_text != NULL ? mix : NULL};
    add_share(talk, &entry);
}

static void submit_work(struct talk *talk)
{
    if (talk->conn->worker_count == 0) {
        no_worker(talk);
        return;
    }
    submit_whole(talk, 0, talk->conn->workers[0]);
}

/* The miner's part of the nonce, behind the connection's. Zeros in front may be left out; the whole
 * nonce will do when it is of the segment. */
static bool read_rest(const struct talk *talk, uint64_t *nonce, const char *text)
{
    uint64_t segment = (uint64_t)talk->conn->segment << (64 - STRATUM_SEGMENT_BITS);
    uint64_t mask = UINT64_MAX << (64 - STRATUM_SEGMENT_BITS);
    if (text == NULL || !stratum_read_u64(nonce, text)) {
        return false;
    }
    if (strlen(text) > REST_DIGITS) {
        return (*nonce & mask) == segment;
    }
    *nonce |= segment;
    return true;
}

static void submit(struct talk *talk)
{
    bool v2 = talk->conn->dialect == STRATUM_V2;
    const char *name = stratum_param_text(talk->params, v2 ? 2 : 0);
    struct stratum_entry entry = {
        .worker = v2 ? worker_of_token(talk, name) : worker_of_name(talk, name), .id = talk->id};
    if (entry.worker == STRATUM_NO_WORKER) {
        no_worker(talk);
        return;
    }
    if (talk->conn->dialect == STRATUM_PLAIN) {
        submit_whole(talk, 2, entry.worker);
        return;
    }
    uint64_t told;
    if (!stratum_read_u64(&told, stratum_param_text(talk->params, v2 ? 0 : 1)) ||
        !read_rest(talk, &entry.nonce, stratum_param_text(talk->params, v2 ? 1 : 2))) {
        bad(talk, STRATUM_SYNTAX);
        return;
    }
    uint64_t number = told >> STRATUM_VARIANT_BITS;
    entry.variant = (uint32_t)told % STRATUM_VARIANTS;
    entry.job = number <= UINT32_MAX ? stratum_job_numbered(talk->server, (uint32_t)number) : NULL;
    add_share(talk, &entry);
}

/* ---- the rest ---------------------------------------------------------------------------- */

static void get_work(struct talk *talk)
{
    const struct stratum_job *job = stratum_job_newest(talk->server);
    if (talk->conn->worker_count == 0) {
        bad(talk, STRATUM_UNAUTHORIZED);
    } else if (job == NULL) {
        stratum_talk_refuse(talk->conn, talk->id, STRATUM_NO_WORK);
    } else {
        say_classic_work(talk->conn, talk->id, job, stratum_share_difficulty(talk->conn, job));
    }
}

static void hashrate(struct talk *talk)
{
    struct rr_u256 rate; /* 32 bytes wide in miners */
    struct stratum_conn *conn = talk->conn;
    uint32_t worker = conn->dialect == STRATUM_V2
                          ? worker_of_token(talk, stratum_param_text(talk->params, 1))
                      : conn->worker_count > 0 ? conn->workers[0]
                                               : STRATUM_NO_WORKER;
    if (worker == STRATUM_NO_WORKER) {
        bad(talk, STRATUM_UNAUTHORIZED);
    } else if (!stratum_read_u256(&rate, stratum_param_text(talk->params, 0))) {
        bad(talk, STRATUM_SYNTAX);
    } else {
        talk->server->workers[worker].sums.reported_rate = rr_u256_saturate_u64(rate);
        stratum_talk_accept(conn, talk->id);
    }
}

static void accept(struct talk *talk)
{
    stratum_talk_accept(talk->conn, talk->id);
}

static void bye(struct talk *talk)
{
    talk->conn->ending = "it said bye";
}

#define IN(dialect) (1u << (dialect))
static const struct {
    const char *name;
    unsigned dialects;
    bool silent; /* heard also as a notification, which is not answered */
    void (*run)(struct talk *talk);
} methods[] = {
    {"mining.hello", IN(STRATUM_V2), false, hello},
    {"mining.subscribe", IN(STRATUM_PLAIN) | IN(STRATUM_V1) | IN(STRATUM_V2), false, subscribe},
    {"mining.authorize", IN(STRATUM_PLAIN) | IN(STRATUM_V1) | IN(STRATUM_V2), false, authorize},
    {"mining.extranonce.subscribe", IN(STRATUM_PLAIN) | IN(STRATUM_V1), false, accept},
    {"mining.submit", IN(STRATUM_PLAIN) | IN(STRATUM_V1) | IN(STRATUM_V2), false, submit},
    {"mining.hashrate", IN(STRATUM_V2), false, hashrate},
    {"mining.noop", IN(STRATUM_V2), false, accept},
    {"mining.bye", IN(STRATUM_V2), true, bye},
    {"eth_submitLogin", IN(STRATUM_CLASSIC), false, authorize},
    {"eth_login", IN(STRATUM_CLASSIC), false, authorize},
    {"eth_getWork", IN(STRATUM_CLASSIC), false, get_work},
    {"eth_submitWork", IN(STRATUM_CLASSIC), false, submit_work},
    {"eth_submitHashrate", IN(STRATUM_CLASSIC) | IN(STRATUM_PLAIN) | IN(STRATUM_V1), false,
     hashrate},
};

static enum stratum_dialect detect(const char *method, const json_t *params)
{
    if (strcmp(method, "mining.hello") == 0) {
        return STRATUM_V2;
    }
    if (strcmp(method, "mining.subscribe") == 0) {
        const char *version = stratum_param_text(params, 1);
        if (version == NULL || strncmp(version, "EthereumStratum/", 16) != 0) {
            return STRATUM_PLAIN;
        }
        return strncmp(version + 16, "1.", 2) == 0 ? STRATUM_V1 : STRATUM_UNKNOWN;
    }
    return strncmp(method, "eth_", 4) == 0 ? STRATUM_CLASSIC : STRATUM_UNKNOWN;
}

/* The id as it goes back. 2.0.0 has integers only; whatever else is no request there. */
static bool read_id(struct talk *talk)
{
    const json_t *id = json_object_get(talk->message, "id");
    talk->has_id = id != NULL && !json_is_null(id);
    if (talk->conn->dialect == STRATUM_V2 && talk->has_id &&
        (!json_is_integer(id) || json_integer_value(id) < 0 ||
         json_integer_value(id) > V2_ID_MAX)) {
        return false;
    }
    return stratum_id_text(talk->id, id);
}

static void run(struct talk *talk)
{
    for (size_t i = 0; i < RR_COUNT(methods); i++) {
        if (strcmp(talk->method, methods[i].name) != 0 ||
            (methods[i].dialects & IN(talk->conn->dialect)) == 0) {
            continue;
        }
        /* Elsewhere an id of null is answered as such; in 2.0.0 it makes a notification. */
        if (talk->has_id || talk->conn->dialect != STRATUM_V2 || methods[i].silent) {
            methods[i].run(talk);
        }
        return;
    }
    bad(talk, talk->conn->dialect == STRATUM_UNKNOWN ? STRATUM_VERSION : STRATUM_METHOD);
}

void stratum_talk_line(struct stratum_server *server, struct stratum_conn *conn,
                       struct rr_slice line, uint64_t now_us)
{
    json_t *message = stratum_parse(line);
    struct talk talk = {.server = server,
                        .conn = conn,
                        .message = message,
                        .params = json_object_get(message, "params"),
                        .method = json_string_value(json_object_get(message, "method")),
                        .id = "null",
                        .now_us = now_us};
    if (message == NULL) {
        bad(&talk, STRATUM_SYNTAX);
        if (conn->dialect == STRATUM_UNKNOWN) {
            conn->ending = "it does not speak Stratum";
        }
        return;
    }
    if (talk.method != NULL && conn->dialect == STRATUM_UNKNOWN) {
        conn->dialect = detect(talk.method, talk.params);
        conn->subscribed = conn->dialect == STRATUM_CLASSIC;
    }
    if (!read_id(&talk)) {
        memcpy(talk.id, "null", 5);
        bad(&talk, STRATUM_SYNTAX);
    } else if (talk.method != NULL) {
        run(&talk);
    } /* else an answer to a question that nobody put */
    json_decref(message);
}

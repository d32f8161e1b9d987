/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/daemon_api.h"
#include "daemon/daemon_devices.h"
#include "daemon/daemon_job.h"

#include <stdlib.h>
#include <string.h>

#define BODY_BYTES_MAX   4096 /* of commands with a JSON body */
#define CLAIMS_SHOWN_MAX 100000

static void append_json(struct rr_buf *out, json_t *json)
{
    char *text = json_dumps(json, JSON_COMPACT);
    RR_CHECK(text != NULL);
    rr_buf_append(out, text, strlen(text));
    json_free_t release;
    json_get_alloc_funcs(NULL, &release);
    release(text);
    json_decref(json);
}

void daemon_api_snapshot(struct rr_rig *rig, struct rr_buf *out)
{
    append_json(out, daemon_view_status(rig));
}

void daemon_api_metrics(void *ctx, struct rr_buf *out)
{
    const struct rr_rig *rig = ctx;
    daemon_devices_metrics(rig->devices, out);
}

static bool read_number(const char *text, uint64_t max, uint64_t *out)
{
    char *end;
    if (text == NULL || text[0] < '0' || text[0] > '9') {
        return false;
    }
    unsigned long long value = strtoull(text, &end, 10);
    *out = value;
    return *end == '\0' && value <= max;
}

static bool read_hash(const char *text, struct rr_hash32 *out)
{
    return text != NULL && rr_unhex(out->bytes, 32, text);
}

/* ---- questions ------------------------------------------------------------------------------- */

static enum rr_err answer_block(struct rr_rig *rig, const char *text, json_t **out,
                                struct rr_fault *fault)
{
    uint64_t height;
    if (!read_number(text, UINT64_MAX, &height) ||
        (*out = daemon_view_block(rig, height)) == NULL) {
        return rr_fail(fault, RR_ERR_NOTFOUND, "there is no block %s on this chain", text);
    }
    return RR_OK;
}

static enum rr_err answer_get(struct rr_rig *rig, const struct rr_monitor_request *request,
                              json_t **out, struct rr_fault *fault)
{
    const char *path = request->path;
    struct rr_hash32 id;
    if (strcmp(path, "status") == 0) {
        *out = daemon_view_status(rig);
    } else if (strcmp(path, "jobs") == 0) {
        *out = json_pack("{s:o}", "jobs", daemon_view_jobs(rig));
    } else if (strncmp(path, "jobs/", 5) == 0) {
        *out = daemon_view_job(rig, path + 5);
        return *out != NULL ? RR_OK
                            : rr_fail(fault, RR_ERR_NOTFOUND, "there is no job '%s'", path + 5);
    } else if (strcmp(path, "chain") == 0) {
        uint64_t count = 20;
        const char *text = request->argument(request, "count");
        if (text != NULL && !read_number(text, 1000, &count)) {
            return rr_fail(fault, RR_ERR_USAGE, "count is '%s'; 0 to 1000 was expected", text);
        }
        *out = daemon_view_chain(rig, count);
    } else if (strncmp(path, "chain/", 6) == 0) {
        return answer_block(rig, path + 6, out, fault);
    } else if (strcmp(path, "pools") == 0) {
        *out = daemon_view_pools(rig);
    } else if (strncmp(path, "pools/", 6) == 0) {
        *out = read_hash(path + 6, &id) ? daemon_view_pool(rig, &id) : NULL;
        return *out != NULL ? RR_OK
                            : rr_fail(fault, RR_ERR_NOTFOUND, "there is no pool '%s' on the ledger",
                                      path + 6);
    } else if (strcmp(path, "puzzle-claims") == 0) {
        uint64_t count = 1000;
        const char *text = request->argument(request, "count");
        if (text != NULL && !read_number(text, CLAIMS_SHOWN_MAX, &count)) {
            return rr_fail(fault, RR_ERR_USAGE, "count is '%s'; 0 to %d was expected", text,
                           CLAIMS_SHOWN_MAX);
        }
        *out = daemon_claims_view(rig, count);
    } else if (strcmp(path, "wallet") == 0) {
        *out = daemon_view_wallet(rig);
    } else if (strcmp(path, "devices") == 0) {
        *out = json_pack("{s:o}", "devices", daemon_devices_view(rig->devices));
    } else if (strcmp(path, "store") == 0) {
        *out = daemon_view_store(rig);
    } else if (strcmp(path, "store/objects") == 0) {
        if (!read_hash(request->argument(request, "resource"), &id)) {
            return rr_fail(fault, RR_ERR_USAGE, "resource=HEX with 64 digits was expected");
        }
        return daemon_view_objects(rig, &id, out, fault);
    } else {
        return rr_fail(fault, RR_ERR_NOTFOUND,
                       "there is nothing at '%s'; docs/api.md lists the paths", path);
    }
    return RR_OK;
}

/* ---- commands -------------------------------------------------------------------------------- */

static enum rr_err command_publish(struct rr_rig *rig, const struct rr_monitor_request *request,
                                   json_t **out, struct rr_fault *fault)
{
    char handle[33];
    const struct daemon_job_words words = {
        .title = request->argument(request, "title"),
        .ladder = request->argument(request, "ladder"),
        .kbps = request->argument(request, "kbps"),
        .max_kbps = request->argument(request, "max_kbps"),
        .tone_map = request->argument(request, "tone_map"),
        .slice_price = request->argument(request, "price"),
        .chain = request->argument(request, "chain"),
        .journal = request->argument(request, "journal"),
        .puzzles = {.contract = request->argument(request, "puzzle"),
                    .kind = request->argument(request, "puzzle_kind"),
                    .prize = request->argument(request, "puzzle_prize"),
                    .difficulty = request->argument(request, "puzzle_difficulty"),
                    .rise = request->argument(request, "puzzle_rise"),
                    .per_segment = request->argument(request, "puzzles_per_segment")}};
    if (request->body_path == NULL) {
        return rr_fail(fault, RR_ERR_FORMAT,
                       "the body is empty (0 bytes); the bytes of a video were expected");
    }
    enum rr_err err = daemon_job_create(rig, handle, request->body_path, &words, fault);
    if (err == RR_OK) {
        *out = json_pack("{s:s}", "job", handle);
    }
    return err;
}

static enum rr_err read_body(const struct rr_monitor_request *request, json_t **out,
                             struct rr_fault *fault)
{
    struct rr_buf text = {0};
    enum rr_err err = RR_ERR_FORMAT;
    if (request->body_path != NULL) {
        err = rr_file_read(&text, request->body_path, BODY_BYTES_MAX, fault);
    }
    *out = err == RR_OK ? json_loadb((const char *)text.ptr, text.len, JSON_REJECT_DUPLICATES, NULL)
                        : NULL;
    rr_buf_clear(&text);
    return *out != NULL ? RR_OK : rr_fail(fault, RR_ERR_FORMAT, "the body is not a JSON object");
}

static enum rr_err send_coins(struct rr_rig *rig, const char *to, const char *amount, json_t **out,
                              struct rr_fault *fault)
{
    struct rr_tx tx = {.type = RR_TX_TRANSFER};
    struct rr_hash32 id;
    if (!rr_address_parse(&tx.body.transfer.to, to, rig->config.genesis.test_addresses)) {
        return rr_fail(fault, RR_ERR_USAGE, "'%s' is not an address of this network (%s...)", to,
                       rig->config.genesis.test_addresses ? "trr1" : "rr1");
    }
    if (!rr_coin_parse(&tx.body.transfer.amount, amount) ||
        rr_coin_is_zero(tx.body.transfer.amount)) {
        return rr_fail(fault, RR_ERR_USAGE, "'%s' is not an amount of coins above zero", amount);
    }
    enum rr_err err = rr_chain_send(rig->chain, &tx, rig->key, NULL, NULL, fault);
    if (err == RR_OK) {
        rr_tx_id(&id, &tx);
        *out = json_pack("{s:o}", "transaction", daemon_json_hash(id.bytes, 32));
    }
    return err;
}

static enum rr_err command_send(struct rr_rig *rig, const struct rr_monitor_request *request,
                                json_t **out, struct rr_fault *fault)
{
    json_t *body;
    const char *to, *amount;
    enum rr_err err = read_body(request, &body, fault);
    if (err != RR_OK) {
        return err;
    }
    if (json_unpack(body, "{s:s, s:s}", "to", &to, "amount", &amount) != 0) {
        err = rr_fail(fault, RR_ERR_FORMAT,
                      "the body must be {\"to\": ADDRESS, \"amount\": \"COINS\"}");
    } else {
        err = send_coins(rig, to, amount, out, fault);
    }
    json_decref(body);
    return err;
}

static enum rr_err command_device(struct rr_rig *rig, const char *verb,
                                  const struct rr_monitor_request *request, json_t **out,
                                  struct rr_fault *fault)
{
    json_t *body;
    const char *id;
    enum rr_err err = read_body(request, &body, fault);
    if (err != RR_OK) {
        return err;
    }
    if (json_unpack(body, "{s:s}", "id", &id) != 0) {
        err = rr_fail(fault, RR_ERR_FORMAT, "the body must be {\"id\": DEVICE}");
    } else {
        err = daemon_devices_command(rig->devices, verb, id, out, fault);
    }
    json_decref(body);
    return err;
}

static enum rr_err command_share(struct rr_rig *rig, const struct rr_monitor_request *request,
                                 json_t **out, struct rr_fault *fault)
{
    json_t *body;
    json_int_t cpu = 0, gpu = 0;
    enum rr_err err = read_body(request, &body, fault);
    if (err != RR_OK) {
        return err;
    }
    bool said = json_unpack(body, "{s?I, s?I}", "cpu", &cpu, "gpu", &gpu) == 0;
    if (!said || cpu < 0 || gpu < 0 || cpu > 100 || gpu > 100 || cpu + gpu == 0) {
        err = rr_fail(fault, RR_ERR_FORMAT,
                      "the body must be {\"cpu\": PERCENT, \"gpu\": PERCENT}, or one of them, 1 to "
                      "100");
    } else {
        err = daemon_devices_share(rig->devices, (uint32_t)cpu, (uint32_t)gpu, out, fault);
    }
    json_decref(body);
    return err;
}

static enum rr_err command_verify(struct rr_rig *rig, json_t **out, struct rr_fault *fault)
{
    char folder[RR_PATH_BYTES];
    struct rr_chain_tip tip;
    enum rr_err err = rr_path(folder, fault, "%s/replay", rig->data);
    if (err != RR_OK || (err = rr_remove_tree(folder, fault)) != RR_OK) {
        return err;
    }
    struct rr_chain_options options = {.folder = folder,
                                       .genesis = &rig->config.genesis,
                                       .clock = rig->clock,
                                       .work = daemon_rig_work,
                                       .work_ctx = rig};
    rr_chain_tip(rig->chain, &tip);
    err = rr_chain_replay(rig->chain, &options, fault);
    struct rr_fault ignored;
    if (rr_remove_tree(folder, &ignored) != RR_OK) {
        rr_log_fault(RR_LOG_WARN, "api", &ignored);
    }
    if (err == RR_OK) {
        *out = json_pack("{s:I, s:o, s:b}", "height", (json_int_t)tip.height, "state_root",
                         daemon_json_hash(tip.state_root.bytes, 32), "equal", 1);
    }
    return err;
}

/* "JOB/cancel" */
static enum rr_err command_job(struct rr_rig *rig, const char *path, json_t **out,
                               struct rr_fault *fault)
{
    char handle[33];
    const char *slash = strchr(path, '/');
    size_t len = slash != NULL ? (size_t)(slash - path) : 0;
    if (len == 0 || len >= sizeof handle || strcmp(slash, "/cancel") != 0) {
        return rr_fail(fault, RR_ERR_NOTFOUND, "jobs/JOB/cancel is all that can be told to a job");
    }
    memcpy(handle, path, len);
    handle[len] = '\0';
    enum rr_err err = daemon_job_cancel(rig, handle, fault);
    *out = err == RR_OK ? daemon_view_job(rig, handle) : NULL;
    return err;
}

static enum rr_err answer_post(struct rr_rig *rig, const struct rr_monitor_request *request,
                               json_t **out, struct rr_fault *fault)
{
    const char *path = request->path;
    if (strcmp(path, "publish") == 0) {
        return command_publish(rig, request, out, fault);
    }
    if (strcmp(path, "wallet/send") == 0) {
        return command_send(rig, request, out, fault);
    }
    if (strcmp(path, "pay/settle") == 0) {
        uint32_t submitted = 0;
        enum rr_err err = rr_till_settle(rig->till, true, &submitted, fault);
        if (err == RR_OK) {
            struct rr_till_stats stats;
            rr_till_stats(rig->till, &stats);
            *out = json_pack("{s:I, s:I, s:o}", "submitted", (json_int_t)submitted, "held_pools",
                             (json_int_t)stats.held_pools, "held", daemon_json_coin(stats.held));
        }
        return err;
    }
    if (strcmp(path, "store/scrub") == 0) {
        uint64_t bad = 0;
        enum rr_err err = rr_store_scrub(rig->store, &bad, fault);
        *out = json_pack("{s:I}", "bad_shards", (json_int_t)bad);
        return err;
    }
    if (strcmp(path, "chain/verify") == 0) {
        return command_verify(rig, out, fault);
    }
    if (strncmp(path, "jobs/", 5) == 0) {
        return command_job(rig, path + 5, out, fault);
    }
    if (strcmp(path, "devices/share") == 0) {
        return command_share(rig, request, out, fault);
    }
    if (strncmp(path, "devices/", 8) == 0) {
        return command_device(rig, path + 8, request, out, fault);
    }
    if (strcmp(path, "sessions/owner") == 0) {
        uint8_t session[RR_SESSION_ID_BYTES];
        rr_till_owner_session(rig->till, session);
        *out = json_pack("{s:o}", "session", daemon_json_hash(session, sizeof session));
        return RR_OK;
    }
    return rr_fail(fault, RR_ERR_NOTFOUND, "there is no command '%s'; docs/api.md lists them",
                   path);
}

enum rr_err daemon_api_answer(void *ctx, const struct rr_monitor_request *request,
                              struct rr_buf *out, struct rr_fault *fault)
{
    struct rr_rig *rig = ctx;
    json_t *json = NULL;
    enum rr_err err = strcmp(request->method, "GET") == 0 ? answer_get(rig, request, &json, fault)
                                                          : answer_post(rig, request, &json, fault);
    if (err == RR_OK) {
        append_json(out, json);
    } else {
        json_decref(json);
    }
    return err;
}

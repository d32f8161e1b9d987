/* SPDX-License-Identifier: GPL-2.0-or-later */
/* reelrig hash: Ethash at an operator's hand, without a rig. */
#include "cli/cli_gpu.h"
#include "cpu/cpu.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define INDEX_MAX UINT64_C(0x7fffffff)

struct ask {
    const char *block, *epoch, *index, *header, *nonce, *difficulty, *backend;
    bool json, etchash;
    uint32_t epoch_blocks; /* of --etchash or not */
    uint64_t block_number, epoch_number, index_number, nonce_number;
    uint8_t header_hash[32];
    struct rr_u256 difficulty_number;
};

/* ---- words of the command line ------------------------------------------------------------------
 */
static enum rr_err read_number(uint64_t *out, const char *option, const char *text, uint64_t max,
                               struct rr_fault *fault)
{
    uint64_t value = 0;
    if (text == NULL) {
        return rr_fail(fault, RR_ERR_USAGE, "--%s is missing; a number was expected", option);
    }
    for (const char *p = text; *p != '\0' || p == text; p++) {
        uint64_t digit = (uint64_t)(*p - '0');
        if (*p < '0' || *p > '9' || value > (max - digit) / 10) {
            return rr_fail(fault, RR_ERR_USAGE, "--%s is '%.40s'; 0 to %" PRIu64 " was expected",
                           option, text, max);
        }
        value = value * 10 + digit;
    }
    *out = value;
    return RR_OK;
}

static const char *skip_0x(const char *text)
{
    return text[0] == '0' && (text[1] == 'x' || text[1] == 'X') ? text + 2 : text;
}

/* Hex digits of a number or of exactly `bytes`, right-aligned in out. */
static enum rr_err read_hex(uint8_t *out, size_t bytes, bool shorter, const char *option,
                            const char *text, struct rr_fault *fault)
{
    char digits[65];
    if (text == NULL) {
        return rr_fail(fault, RR_ERR_USAGE, "--%s is missing; %zu hex digits were expected", option,
                       2 * bytes);
    }
    const char *given = skip_0x(text);
    size_t len = strlen(given);
    size_t pad = len <= 2 * bytes ? 2 * bytes - len : 0;
    if (len > 2 * bytes || len == 0 || (pad > 0 && !shorter)) {
        return rr_fail(fault, RR_ERR_USAGE,
                       "--%s has %zu hex digits; %s%zu were expected, with or without 0x", option,
                       len, shorter ? "1 to " : "", 2 * bytes);
    }
    memset(digits, '0', pad);
    memcpy(digits + pad, given, len + 1);
    if (!rr_unhex(out, bytes, digits)) {
        return rr_fail(fault, RR_ERR_USAGE, "--%s is '%.70s'; only hex digits were expected",
                       option, text);
    }
    return RR_OK;
}

/* Decimal, or hex with 0x; 1 to 2^256 - 1. */
static enum rr_err read_difficulty(struct rr_u256 *out, const char *text, struct rr_fault *fault)
{
    struct rr_u256 value = rr_u256_of(0);
    uint8_t bytes[32];
    if (skip_0x(text) != text) {
        enum rr_err err = read_hex(bytes, sizeof bytes, true, "difficulty", text, fault);
        if (err != RR_OK) {
            return err;
        }
        value = rr_u256_from_be(bytes);
    } else {
        for (const char *p = text; *p != '\0'; p++) {
            bool over = false, carry = false;
            value = rr_u256_mul(value, rr_u256_of(10), &over);
            value = rr_u256_add(value, rr_u256_of((uint64_t)(*p - '0')), &carry);
            if (*p < '0' || *p > '9' || over || carry) {
                value = rr_u256_of(0);
                break;
            }
        }
    }
    if (rr_u256_is_zero(value)) {
        return rr_fail(fault, RR_ERR_USAGE,
                       "--difficulty is '%.80s'; 1 to 2^256 - 1 was expected, decimal or with 0x",
                       text);
    }
    *out = value;
    return RR_OK;
}

/* The epoch by --epoch, or by --block of a standard chain. */
static enum rr_err read_epoch(struct ask *ask, struct rr_fault *fault)
{
    ask->epoch_blocks = ask->etchash ? RR_HASH_ETCHASH_BLOCKS : RR_HASH_ETHASH_BLOCKS;
    if (ask->block != NULL && ask->epoch != NULL) {
        return rr_fail(fault, RR_ERR_USAGE, "give --block or --epoch, not both");
    }
    if (ask->block == NULL) {
        enum rr_err err = read_number(&ask->epoch_number, "epoch", ask->epoch, UINT32_MAX, fault);
        ask->block_number = ask->epoch_number * ask->epoch_blocks;
        return err;
    }
    enum rr_err err = read_number(&ask->block_number, "block", ask->block,
                                  (RR_HASH_EPOCH_MAX + UINT64_C(1)) * ask->epoch_blocks - 1, fault);
    ask->epoch_number = ask->block_number / ask->epoch_blocks;
    return err;
}

static enum rr_err epoch_params(struct rr_hash_params *out, struct ask *ask, struct rr_fault *fault)
{
    enum rr_err err = read_epoch(ask, fault);
    return err != RR_OK
               ? err
               : rr_hash_params_epoch(out, (uint32_t)ask->epoch_number, ask->epoch_blocks, fault);
}

/* ---- backends -----------------------------------------------------------------------------------
 */
struct answer {
    uint8_t mix[32], final_be[32];
    char device[80], text[96];
};

/* A search over the one nonce: its result is what the device found and the law confirmed. */
static enum rr_err search_one(struct rr_hash_engine *engine, struct answer *out,
                              const struct ask *ask, struct rr_fault *fault)
{
    struct rr_hash_result result;
    struct rr_hash_job job = {
        .kind = RR_HASH_ARGMIN, .nonce_start = ask->nonce_number, .nonce_count = 1};
    memcpy(job.header_hash, ask->header_hash, 32);
    enum rr_err err = cli_gpu_search(engine, &result, &job, fault);
    if (err == RR_OK) {
        memcpy(out->mix, result.mix, 32);
        memcpy(out->final_be, result.final_be, 32);
    }
    return err;
}

/* The device that a backend's name or an id means; unusable ones say why. */
static enum rr_err find_device(struct rr_hash_device *out, const char *name, struct rr_fault *fault)
{
    struct rr_hash_device *devices = rr_alloc_array(RR_HASH_DEVICES_MAX, sizeof(*devices));
    const struct rr_hash_device *found = NULL;
    size_t count = rr_hash_devices(devices, RR_HASH_DEVICES_MAX);
    for (size_t i = 0; i < count; i++) {
        bool named = strcmp(devices[i].backend, name) == 0 || strcmp(devices[i].id, name) == 0;
        if (named && (found == NULL || found->why_not[0] != '\0')) {
            found = &devices[i];
        }
    }
    enum rr_err err = RR_OK;
    if (found == NULL) {
        err = rr_fail(fault, RR_ERR_NOTFOUND,
                      "there is no backend or device '%.80s'; law, a variant of the processor "
                      "(ref, avx2, avx512) or one that `reelrig gpu list` shows was expected",
                      name);
    } else if (found->why_not[0] != '\0') {
        err = rr_fail(fault, RR_ERR_UNSUPPORTED, "%.80s cannot be used: %s", found->id,
                      found->why_not);
    } else {
        *out = *found;
    }
    rr_free(devices);
    return err;
}

/* Features of a variant of the processor; 0: not the name of one. */
static uint32_t needs_of(const char *backend)
{
    return strcmp(backend, "avx2") == 0     ? RR_CPU_AVX2
           : strcmp(backend, "avx512") == 0 ? RR_CPU_AVX2 | RR_CPU_AVX512
                                            : 0;
}

static enum rr_err by_engine(struct answer *out, const struct ask *ask,
                             const struct rr_hash_params *params, struct rr_fault *fault)
{
    struct rr_hash_device device;
    struct rr_hash_engine *engine = NULL;
    uint32_t needs = needs_of(ask->backend);
    if ((needs & ~rr_cpu_features()) != 0) {
        return rr_fail(fault, RR_ERR_UNSUPPORTED, "this processor cannot run %s", ask->backend);
    }
    if (needs != 0) {
        rr_cpu_narrow(needs);
    }
    struct rr_hash_device_status *all = rr_alloc_array(RR_HASH_DEVICES_MAX, sizeof(*all));
    enum rr_err err = find_device(&device, needs != 0 ? "cpu" : ask->backend, fault);
    if (err == RR_OK) {
        struct rr_hash_options options = {.threads = 1, .devices = device.id};
        err = rr_hash_engine_new(&engine, params, &options, fault);
    }
    size_t count = err == RR_OK ? rr_hash_engine_devices(engine, all, RR_HASH_DEVICES_MAX) : 0;
    for (size_t i = 0; i < count && err == RR_OK; i++) {
        if (strcmp(all[i].device.id, device.id) != 0) {
            continue;
        }
        if (all[i].state != RR_HASH_DEVICE_RUNNING) { /* the engine took another one instead */
            err =
                rr_fail(fault, RR_ERR_UNSUPPORTED, "%.80s does not run: %s", device.id, all[i].why);
        }
        snprintf(out->device, sizeof out->device, "%s", device.id);
        snprintf(out->text, sizeof out->text, "%s", all[i].text);
    }
    if (err == RR_OK) {
        err = search_one(engine, out, ask, fault);
    }
    rr_hash_engine_free(engine);
    rr_free(all);
    return err;
}

static bool is_law(const char *backend)
{
    return strcmp(backend, "law") == 0 || strcmp(backend, "ref") == 0;
}

static enum rr_err by_law(struct answer *out, const struct ask *ask,
                          const struct rr_hash_params *params, struct rr_fault *fault)
{
    struct rr_hash_light *light = NULL;
    enum rr_err err = rr_hash_light_new(&light, params, fault);
    if (err == RR_OK) {
        rr_hash_light_compute(light, ask->header_hash, ask->nonce_number, out->mix, out->final_be);
        snprintf(out->device, sizeof out->device, "cpu");
        snprintf(out->text, sizeof out->text, "light, ref");
    }
    rr_hash_light_free(light);
    return err;
}

/* ---- the four questions -------------------------------------------------------------------------
 */
static json_t *hex_json(const void *bytes, size_t len)
{
    char text[257];
    rr_hex(text, bytes, len);
    return json_string(text);
}

static enum rr_err ask_ethash(struct ask *ask, json_t *out, struct rr_fault *fault)
{
    struct rr_hash_params params;
    struct answer answer = {0};
    uint8_t nonce[8], boundary[32];
    enum rr_err err;
    if ((err = epoch_params(&params, ask, fault)) != RR_OK ||
        (err = read_hex(ask->header_hash, 32, false, "header", ask->header, fault)) != RR_OK ||
        (err = read_hex(nonce, 8, true, "nonce", ask->nonce, fault)) != RR_OK ||
        (ask->difficulty != NULL &&
         (err = read_difficulty(&ask->difficulty_number, ask->difficulty, fault)) != RR_OK)) {
        return err;
    }
    for (size_t i = 0; i < 8; i++) {
        ask->nonce_number = ask->nonce_number << 8 | nonce[i];
    }
    err = is_law(ask->backend) ? by_law(&answer, ask, &params, fault)
                               : by_engine(&answer, ask, &params, fault);
    if (err != RR_OK) {
        return err;
    }
    cli_json_set(out, "block", json_integer((json_int_t)ask->block_number));
    cli_json_set(out, "epoch", json_integer((json_int_t)ask->epoch_number));
    cli_json_set(out, "header", hex_json(ask->header_hash, 32));
    cli_json_set(out, "nonce", hex_json(nonce, 8));
    cli_json_set(out, "mix", hex_json(answer.mix, 32));
    cli_json_set(out, "final", hex_json(answer.final_be, 32));
    cli_json_set(out, "backend", json_string(ask->backend));
    cli_json_set(out, "device", json_string(answer.device));
    cli_json_set(out, "variant", json_string(answer.text));
    if (ask->difficulty != NULL) {
        rr_u256_to_be(boundary, rr_hash_boundary(ask->difficulty_number));
        cli_json_set(out, "difficulty", json_string(ask->difficulty));
        cli_json_set(out, "boundary", hex_json(boundary, 32));
        cli_json_set(out, "solves",
                     json_boolean(rr_hash_solves(answer.final_be, ask->difficulty_number)));
    }
    return RR_OK;
}

static enum rr_err ask_size(struct ask *ask, json_t *out, struct rr_fault *fault)
{
    struct rr_hash_params params;
    enum rr_err err = epoch_params(&params, ask, fault);
    if (err != RR_OK) {
        return err;
    }
    cli_json_set(out, "epoch", json_integer((json_int_t)ask->epoch_number));
    cli_json_set(out, "cache_items", json_integer(params.cache_items));
    cli_json_set(out, "cache_bytes", json_integer((json_int_t)params.cache_items * 64));
    cli_json_set(out, "dataset_items", json_integer(params.dataset_items));
    cli_json_set(out, "dataset_bytes", json_integer((json_int_t)params.dataset_items * 128));
    return RR_OK;
}

static enum rr_err ask_seed(struct ask *ask, json_t *out, struct rr_fault *fault)
{
    struct rr_hash_params params;
    enum rr_err err = epoch_params(&params, ask, fault);
    if (err != RR_OK) {
        return err;
    }
    cli_json_set(out, "epoch", json_integer((json_int_t)ask->epoch_number));
    cli_json_set(out, "seed", hex_json(params.seed, 32));
    return RR_OK;
}

static enum rr_err ask_item(struct ask *ask, json_t *out, struct rr_fault *fault)
{
    struct rr_hash_params params;
    struct rr_hash_light *light = NULL;
    uint8_t item[128];
    enum rr_err err;
    if ((err = epoch_params(&params, ask, fault)) != RR_OK ||
        (err = read_number(&ask->index_number, "index", ask->index, INDEX_MAX, fault)) != RR_OK ||
        (err = rr_hash_light_new(&light, &params, fault)) != RR_OK) {
        return err;
    }
    err = rr_hash_light_item(light, is_law(ask->backend) ? NULL : ask->backend,
                             (uint32_t)ask->index_number, item, fault);
    rr_hash_light_free(light);
    if (err != RR_OK) {
        return err;
    }
    cli_json_set(out, "epoch", json_integer((json_int_t)ask->epoch_number));
    cli_json_set(out, "index", json_integer((json_int_t)ask->index_number));
    cli_json_set(out, "in_dataset", json_boolean(ask->index_number < params.dataset_items));
    cli_json_set(out, "item", hex_json(item, sizeof item));
    cli_json_set(out, "backend", json_string(ask->backend));
    return RR_OK;
}

/* "name   value", one a line, in the order of the JSON. */
static void print_lines(json_t *json)
{
    const char *key;
    json_t *value;
    json_object_foreach(json, key, value)
    {
        if (json_is_string(value)) {
            cli_print("%-14s %s\n", key, json_string_value(value));
        } else if (json_is_boolean(value)) {
            cli_print("%-14s %s\n", key, json_is_true(value) ? "yes" : "no");
        } else {
            cli_print("%-14s %lld\n", key, (long long)json_integer_value(value));
        }
    }
}

int cli_hash(int argc, char **argv)
{
    static const struct {
        const char *name;
        enum rr_err (*run)(struct ask *ask, json_t *out, struct rr_fault *fault);
    } questions[] = {
        {"ethash", ask_ethash}, {"size", ask_size}, {"seed", ask_seed}, {"item", ask_item}};
    struct ask ask = {.backend = "law"};
    const char *name = NULL;
    size_t count;
    const struct cli_option options[] = {
        {"block", &ask.block, NULL},     {"epoch", &ask.epoch, NULL},
        {"index", &ask.index, NULL},     {"header", &ask.header, NULL},
        {"nonce", &ask.nonce, NULL},     {"difficulty", &ask.difficulty, NULL},
        {"backend", &ask.backend, NULL}, {"json", NULL, &ask.json},
        {"etchash", NULL, &ask.etchash}};
    if (!cli_options(argc, argv, options, RR_COUNT(options), &name, 1, &count) || count != 1) {
        return cli_usage(argv[0]);
    }
    for (size_t i = 0; i < RR_COUNT(questions); i++) {
        if (strcmp(questions[i].name, name) != 0) {
            continue;
        }
        struct rr_fault fault = {0};
        json_t *out = json_object();
        enum rr_err err = questions[i].run(&ask, out, &fault);
        int status = err == RR_OK ? 0 : cli_fail(err, &fault, ask.json);
        if (err == RR_OK && ask.json) {
            cli_print_json(out);
        } else if (err == RR_OK) {
            print_lines(out);
        }
        json_decref(out);
        return status;
    }
    return cli_usage(argv[0]);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/daemon_config.h"
#include "daemon/daemon_settings.h"
#include "hash/hash.h"
#include "transcode/transcode.h"

#include <stdio.h>
#include <string.h>

#define CONFIG_BYTES_MAX (1u << 20)
#define MIB              (UINT64_C(1) << 20)

extern const char rr_default_config_text[];

enum rr_err daemon_settings_text(const struct rr_config *config, const char *key, char *out,
                                 size_t out_bytes, struct rr_fault *fault)
{
    const char *text = out;
    enum rr_err err = rr_config_string(config, key, &text, fault);
    if (err == RR_OK && text != out) {
        int n = snprintf(out, out_bytes, "%s", text);
        if (n < 0 || (size_t)n >= out_bytes) {
            err = rr_fail(fault, RR_ERR_FORMAT, "%s is longer than %zu characters", key,
                          out_bytes - 1);
        }
    }
    return err;
}

static enum rr_err read_coin(const struct rr_config *config, const char *key, struct rr_coin *out,
                             struct rr_fault *fault)
{
    const char *text = NULL;
    enum rr_err err = rr_config_string(config, key, &text, fault);
    if (err == RR_OK && text != NULL && !rr_coin_parse(out, text)) {
        err = rr_fail(fault, RR_ERR_FORMAT,
                      "%s is \"%s\"; an amount of coins is expected, as in \"0.25\"", key, text);
    }
    return err;
}

/* One number of the table in read_numbers. */
struct number {
    const char *key;
    uint64_t min, max, value;
};
enum {
    SERVE_PORT,
    SERVE_THREADS,
    CACHE_MIB,
    CONNECTIONS,
    CONTROL_PORT,
    UPLOAD_MIB,
    MINE_THREADS,
    MINE_SHARE,
    GPU_SHARE,
    HEAT_MAX,
    HEAT_STEP,
    RESTARTS,
    ERRORS,
    RATE_FLOOR,
    QUOTA_MIB,
    HEADROOM_MIB,
    DATA_SHARDS,
    PARITY_SHARDS,
    GOP_MS,
    CRF,
    AUDIO_KBPS,
    WORKERS,
    CHALLENGES,
    SLICE_KIB,
    SETTLE_AGE_S,
    MARGIN_BLOCKS,
    NUMBERS
};

static enum rr_err read_numbers(const struct rr_config *config, struct rig_config *out,
                                struct rr_fault *fault)
{
    struct number numbers[NUMBERS] = {
        [SERVE_PORT] = {"serve.port", 0, 65535, 8800},
        [SERVE_THREADS] = {"serve.threads", 1, 64, 1},
        [CACHE_MIB] = {"serve.cache_mib", 1, 1u << 20, 256},
        [CONNECTIONS] = {"serve.connections_max", 1, 18000, 1000},
        [CONTROL_PORT] = {"control.port", 0, 65535, 8801},
        [UPLOAD_MIB] = {"control.upload_mib_max", 1, 1u << 24, 65536},
        [MINE_THREADS] = {"mine.threads", 1, 64, 1},
        [MINE_SHARE] = {"mine.share_percent", 1, 100, 15},
        [GPU_SHARE] = {"mine.gpu_share_percent", 1, 100, 100},
        [HEAT_MAX] = {"mine.temperature_max_c", 0, 150, 85},
        [HEAT_STEP] = {"mine.temperature_hysteresis_c", 0, 100, 10},
        [RESTARTS] = {"mine.restarts_per_hour", 0, RR_HASH_GUARD_RESTARTS_MAX, 3},
        [ERRORS] = {"mine.errors_per_minute", 0, 1000000, 10},
        [RATE_FLOOR] = {"mine.rate_floor_percent", 0, 100, 50},
        [QUOTA_MIB] = {"store.quota_mib", 0, 1u << 30, 0},
        [HEADROOM_MIB] = {"store.headroom_mib", 0, 1u << 30, 1024},
        [DATA_SHARDS] = {"store.data_shards", 1, 200, 4},
        [PARITY_SHARDS] = {"store.parity_shards", 0, 55, 2},
        [GOP_MS] = {"transcode.gop_ms", 500, 10000, 2000},
        [CRF] = {"transcode.crf", 0, 63, 0},
        [AUDIO_KBPS] = {"transcode.audio_kbps", 16, 512, 128},
        [WORKERS] = {"transcode.workers", 0, 256, 0},
        [CHALLENGES] = {"transcode.challenges", 1, 1024, 8},
        [SLICE_KIB] = {"pay.slice_kib", 4, 16384, 64},
        [SETTLE_AGE_S] = {"pay.settle_age_s", 1, 86400 * 14, 10},
        [MARGIN_BLOCKS] = {"pay.margin_blocks", 1, 10000, 4},
    };
    for (size_t i = 0; i < NUMBERS; i++) {
        struct number *n = &numbers[i];
        enum rr_err err = rr_config_u64(config, n->key, &n->value, n->min, n->max, fault);
        if (err != RR_OK) {
            return err;
        }
    }
    out->serve_port = (uint16_t)numbers[SERVE_PORT].value;
    out->serve_threads = (unsigned)numbers[SERVE_THREADS].value;
    out->cache_bytes = numbers[CACHE_MIB].value * MIB;
    out->connections_max = (uint32_t)numbers[CONNECTIONS].value;
    out->control_port = (uint16_t)numbers[CONTROL_PORT].value;
    out->upload_bytes_max = numbers[UPLOAD_MIB].value * MIB;
    out->mine_threads = (unsigned)numbers[MINE_THREADS].value;
    out->mine_share_percent = (unsigned)numbers[MINE_SHARE].value;
    out->gpu_share_percent = (unsigned)numbers[GPU_SHARE].value;
    out->temperature_max_c = (uint32_t)numbers[HEAT_MAX].value;
    out->temperature_hysteresis_c = (uint32_t)numbers[HEAT_STEP].value;
    out->restarts_per_hour = (uint32_t)numbers[RESTARTS].value;
    out->errors_per_minute = (uint32_t)numbers[ERRORS].value;
    out->rate_floor_percent = (uint32_t)numbers[RATE_FLOOR].value;
    out->quota_bytes = numbers[QUOTA_MIB].value * MIB;
    out->headroom_bytes = numbers[HEADROOM_MIB].value * MIB;
    out->data_shards = (uint8_t)numbers[DATA_SHARDS].value;
    out->parity_shards = (uint8_t)numbers[PARITY_SHARDS].value;
    out->gop_ms = (uint32_t)numbers[GOP_MS].value;
    out->crf = (uint16_t)numbers[CRF].value;
    out->audio_bps = (uint32_t)numbers[AUDIO_KBPS].value * 1000;
    out->workers = (unsigned)numbers[WORKERS].value;
    out->challenges = (uint16_t)numbers[CHALLENGES].value;
    out->slice_bytes = (uint32_t)numbers[SLICE_KIB].value * 1024;
    out->settle_age_ms = numbers[SETTLE_AGE_S].value * 1000;
    out->margin_blocks = (uint32_t)numbers[MARGIN_BLOCKS].value;
    return RR_OK;
}

/* Codec first: the other two are its own when they are left out. */
static enum rr_err read_codec(const struct rr_config *config, struct rig_config *out,
                              struct rr_fault *fault)
{
    const char *name = "h264";
    enum rr_err err = rr_config_string(config, "transcode.codec", &name, fault);
    if (err == RR_OK && !rr_codec_parse(&out->codec, name)) {
        err = rr_fail(fault, RR_ERR_FORMAT,
                      "transcode.codec is \"%s\"; h264, hevc, av1 or vp9 was expected", name);
    }
    if (err == RR_OK) {
        err = daemon_settings_text(config, "transcode.preset", out->preset, sizeof out->preset,
                                   fault);
    }
    if (err == RR_OK && out->preset[0] == '\0') {
        snprintf(out->preset, sizeof out->preset, "%s", rr_codec_preset(out->codec));
    }
    name = "exact";
    err = err != RR_OK ? err : rr_config_string(config, "transcode.class", &name, fault);
    if (err == RR_OK && strcmp(name, "exact") != 0 && strcmp(name, "build") != 0) {
        err = rr_fail(fault, RR_ERR_FORMAT,
                      "transcode.class is \"%s\"; exact or build was expected", name);
    }
    out->exactness = strcmp(name, "build") == 0 ? RR_TOLERANT_BUILD : RR_EXACT;
    err = err != RR_OK ? err
                       : daemon_settings_text(config, "transcode.maker_preset", out->maker_preset,
                                              sizeof out->maker_preset, fault);
    if (err == RR_OK && out->maker_preset[0] == '\0') {
        snprintf(out->maker_preset, sizeof out->maker_preset, "%s", out->preset);
    }
    out->crf = out->crf != 0 ? out->crf : rr_codec_crf(out->codec);
    return err;
}

static enum rr_err read_ladder(const struct rr_config *config, struct rig_config *out,
                               struct rr_fault *fault)
{
    const char *rungs = "720,480,360", *kbps = NULL, *max_kbps = NULL;
    enum rr_err err = rr_config_string(config, "transcode.ladder", &rungs, fault);
    err = err != RR_OK ? err : rr_config_string(config, "transcode.kbps", &kbps, fault);
    err = err != RR_OK ? err : rr_config_string(config, "transcode.max_kbps", &max_kbps, fault);
    err = err != RR_OK ? err : rr_config_bool(config, "transcode.tone_map", &out->tone_map, fault);
    err = err != RR_OK ? err : rr_ladder_read(&out->ladder, rungs, fault);
    return err != RR_OK ? err : rr_ladder_rates(&out->ladder, kbps, max_kbps, fault);
}

static enum rr_err read_withholding(const struct rr_config *config, struct rig_config *out,
                                    struct rr_fault *fault)
{
    static const char *const words[] = {[RR_WITHHOLDING_REPORT] = "report",
                                        [RR_WITHHOLDING_DROP] = "drop",
                                        [RR_WITHHOLDING_OFF] = "off"};
    const char *text = words[RR_WITHHOLDING_REPORT];
    enum rr_err err = rr_config_string(config, "pay.withholding", &text, fault);
    for (size_t i = 0; i < RR_COUNT(words) && err == RR_OK; i++) {
        if (strcmp(text, words[i]) == 0) {
            out->withholding = (enum rr_till_withholding)i;
            return RR_OK;
        }
    }
    return err != RR_OK ? err
                        : rr_fail(fault, RR_ERR_FORMAT,
                                  "pay.withholding is \"%s\"; \"report\", \"drop\" or \"off\" was "
                                  "expected",
                                  text);
}

static enum rr_err read_texts(const struct rr_config *config, struct rig_config *out,
                              struct rr_fault *fault)
{
    static const char *const coin_keys[] = {"pay.slice_price", "pay.job_price", "pay.risk_limit",
                                            "pay.settle_amount"};
    struct rr_coin *const coins[] = {&out->slice_price, &out->job_price, &out->risk_limit,
                                     &out->settle_amount};
    static const char *const coin_defaults[] = {"0.0005", "1", "1", "0.1"};
    enum rr_err err;
    for (size_t i = 0; i < RR_COUNT(coins); i++) {
        RR_CHECK(rr_coin_parse(coins[i], coin_defaults[i]));
        if ((err = read_coin(config, coin_keys[i], coins[i], fault)) != RR_OK) {
            return err;
        }
    }
    snprintf(out->serve_address, sizeof out->serve_address, "127.0.0.1");
    snprintf(out->control_address, sizeof out->control_address, "127.0.0.1");
    snprintf(out->devices, sizeof out->devices, "auto");
    out->mine = true;
    if ((err = daemon_settings_text(config, "serve.address", out->serve_address,
                                    sizeof out->serve_address, fault)) != RR_OK ||
        (err = daemon_settings_text(config, "control.address", out->control_address,
                                    sizeof out->control_address, fault)) != RR_OK ||
        (err = daemon_settings_text(config, "mine.devices", out->devices, sizeof out->devices,
                                    fault)) != RR_OK ||
        (err = read_ladder(config, out, fault)) != RR_OK ||
        (err = read_codec(config, out, fault)) != RR_OK) {
        return err;
    }
    if ((err = read_withholding(config, out, fault)) != RR_OK) {
        return err;
    }
    return rr_config_bool(config, "mine.enabled", &out->mine, fault);
}

static enum rr_err read_genesis(const struct rr_config *config, struct rig_config *out,
                                struct rr_fault *fault)
{
    const char *name = "dev";
    enum rr_err err = rr_config_string(config, "network.genesis", &name, fault);
    if (err != RR_OK) {
        return err;
    }
    const char *preset = rr_genesis_preset(name);
    if (preset != NULL) {
        return rr_genesis_parse(&out->genesis, rr_slice_str(preset), name, fault);
    }
    struct rr_buf text = {0};
    err = rr_file_read(&text, name, CONFIG_BYTES_MAX, fault);
    if (err == RR_OK) {
        err = rr_genesis_parse(&out->genesis, rr_buf_slice(&text), name, fault);
    }
    rr_buf_clear(&text);
    return err;
}

static enum rr_err check_transcode(const struct rig_config *config, struct rr_fault *fault)
{
    const struct rr_ladder *ladder = &config->ladder;
    char profile[RR_NAME_MAX + 1];
    if (!rr_transcode_profile(profile, config->codec, config->preset)) {
        return rr_fail(
            fault, RR_ERR_FORMAT,
            "transcode.preset is \"%s\", which %s does not have; its usual one is \"%s\"",
            config->preset, rr_codec_text(config->codec), rr_codec_preset(config->codec));
    }
    if (!rr_transcode_profile(profile, config->codec, config->maker_preset)) {
        return rr_fail(fault, RR_ERR_FORMAT,
                       "transcode.maker_preset is \"%s\", which %s does not have",
                       config->maker_preset, rr_codec_text(config->codec));
    }
    for (unsigned i = 0; i <= ladder->rung_count; i++) {
        uint16_t crf = i == 0 ? config->crf : ladder->rates[i - 1].crf;
        if (config->codec != RR_CODEC_AV1 && config->codec != RR_CODEC_VP9 && crf > 51) {
            return rr_fail(fault, RR_ERR_FORMAT, "transcode.crf is %u; %s takes at most 51", crf,
                           rr_codec_text(config->codec));
        }
    }
    if (ladder->rung_count > 0 &&
        ladder->rungs[ladder->rung_count - 1] < rr_codec_side_min(config->codec)) {
        return rr_fail(fault, RR_ERR_FORMAT,
                       "transcode.ladder has a rung of %u; %s needs sides of at least %u",
                       ladder->rungs[ladder->rung_count - 1], rr_codec_text(config->codec),
                       rr_codec_side_min(config->codec));
    }
    return RR_OK;
}

enum rr_err daemon_config_load(struct rig_config *out, const char *path, struct rr_fault *fault)
{
    struct rr_buf text = {0};
    struct rr_config *config = NULL;
    struct rig_config loaded = {0};
    enum rr_err err = RR_OK;
    if (path == NULL) {
        rr_buf_append(&text, rr_default_config_text, strlen(rr_default_config_text));
    } else if ((err = rr_file_read(&text, path, CONFIG_BYTES_MAX, fault)) != RR_OK) {
        goto out;
    }
    err = rr_config_parse(&config, rr_buf_slice(&text),
                          path != NULL ? path : "built-in configuration", fault);
    if (err != RR_OK || (err = read_numbers(config, &loaded, fault)) != RR_OK ||
        (err = read_texts(config, &loaded, fault)) != RR_OK ||
        (err = read_genesis(config, &loaded, fault)) != RR_OK ||
        (err = daemon_stratum_settings(&loaded.stratum, config, fault)) != RR_OK ||
        (err = daemon_mining_pool_settings(&loaded.mining_pool, config, fault)) != RR_OK ||
        (err = daemon_work_settings(&loaded.work, config, fault)) != RR_OK ||
        (err = rr_config_check_unknown(config, fault)) != RR_OK ||
        (err = check_transcode(&loaded, fault)) != RR_OK) {
        goto out;
    }
    *out = loaded;
out:
    rr_config_free(config);
    rr_buf_clear(&text);
    return err;
}

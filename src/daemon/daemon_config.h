/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef RR_DAEMON_CONFIG_H
#define RR_DAEMON_CONFIG_H
#include "daemon/daemon_mining_pool.h"
#include "daemon/daemon_stratum.h"
#include "daemon/daemon_work.h"
#include "pay/pay.h"
#include "transcode/transcode.h"
#include "wire/wire.h"

/* All settings of a rig; texts are NUL-terminated copies. Keys: reelrig.toml beside this file. */
struct rig_config {
    struct rr_genesis genesis;
    char serve_address[64];
    uint16_t serve_port;
    unsigned serve_threads;
    uint64_t cache_bytes;
    uint32_t connections_max;
    char control_address[64];
    uint16_t control_port;
    uint64_t upload_bytes_max;
    bool mine;
    unsigned mine_threads, mine_share_percent, gpu_share_percent;
    char devices[256];
    uint32_t temperature_max_c, temperature_hysteresis_c;
    uint32_t restarts_per_hour, errors_per_minute, rate_floor_percent;
    uint64_t quota_bytes, headroom_bytes;
    uint8_t data_shards, parity_shards;
    struct rr_ladder ladder;
    bool tone_map;
    uint32_t gop_ms;
    uint16_t crf;
    enum rr_codec codec;
    char preset[32];
    enum rr_exactness exactness;
    char maker_preset[32]; /* what encodes in class "build" */
    uint32_t audio_bps;
    unsigned workers;
    uint16_t challenges;
    struct rr_coin slice_price, job_price, risk_limit, settle_amount;
    uint32_t slice_bytes;
    uint64_t settle_age_ms;
    uint32_t margin_blocks;
    struct stratum_settings stratum;
    enum rr_till_withholding withholding;
    struct mining_pool_settings mining_pool;
    struct work_settings work;
};
/* Reads the file at path, or the built-in default when path is NULL. RR_ERR_FORMAT with
 * file:line:column, RR_ERR_NOTFOUND when the file is not there. Blocks. */
enum rr_err daemon_config_load(struct rig_config *out, const char *path,
                               struct rr_fault *fault) RR_MUST_USE;
#endif

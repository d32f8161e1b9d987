/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Work for hire: this rig's offer, and the jobs of publishers that took it (spec 20, 6). A job
 * lives in memory and a scratch folder and ends with the rig: its publisher has the journal. */
#ifndef RR_DAEMON_WORK_H
#define RR_DAEMON_WORK_H
#include "base/base.h"
#include "serve/serve.h"
#include "transcode/transcode.h"

struct rr_rig;

/* [offers] of the configuration. */
#define DAEMON_WORK_CODECS 4
struct work_settings {
    bool enabled;
    struct rr_coin codec_price[DAEMON_WORK_CODECS]; /* by rr_codec; 0: not offered */
    struct rr_coin demux_price, decode_price, audio_price, unit_price, unpaid_max;
    uint32_t jobs_max, valid_s, speed;
    uint64_t source_bytes_max;
};
enum rr_err daemon_work_settings(struct work_settings *out, const struct rr_config *config,
                                 struct rr_fault *fault) RR_MUST_USE;

struct daemon_work;
/* *out owned (stop); NULL when [offers] is off. Before the doors open. */
enum rr_err daemon_work_start(struct daemon_work **out, struct rr_rig *rig,
                              struct rr_fault *fault) RR_MUST_USE;
void daemon_work_cancel(struct daemon_work *work); /* what runs ends soon; NULL is fine */
void daemon_work_stop(struct daemon_work *work);   /* after the doors are shut; NULL is fine */
/* As rr_serve_options.work and work_price ask for them; ctx: struct daemon_work. */
enum rr_err daemon_work_answer(void *ctx, const struct rr_serve_work *asked, struct rr_buf *out,
                               struct rr_fault *fault) RR_MUST_USE;
enum rr_err daemon_work_price(void *ctx, const struct rr_hash32 *quote_id, struct rr_coin *price,
                              struct rr_fault *fault) RR_MUST_USE;
#endif

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The publisher's side of one rig: every answer is checked, and nothing is paid before it. */
#include "cli/cli_market.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define PIECE_BYTES   (4u << 20)
#define TX_WAIT_S     300
#define PAY_WAIT_US   (UINT64_C(120) * 1000000)
#define OPEN_WAIT_US  (UINT64_C(600) * 1000000)
#define UNITS_AT_ONCE 4096   /* as the till takes them */
#define VOUCHER_UNITS 500000 /* its settlement is weighed a byte a unit, and must fit a block */
#define SPARE_MS      600000 /* of the pool's time */

static void pause_ms(unsigned ms)
{
    nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000L},
              NULL);
}

static enum rr_err stop_asked(const atomic_bool *cancel, struct rr_fault *fault)
{
    return cancel != NULL && atomic_load(cancel)
               ? rr_fail(fault, RR_ERR_CANCELLED,
                         "cancelled; the same command goes on where it was")
               : RR_OK;
}

/* ---- requests
 * -------------------------------------------------------------------------------------------- */

enum rr_err market_rig_open(struct market_rig *rig, const char *wallet, const char *url,
                            struct rr_fault *fault)
{
    struct cli_response response = {0};
    snprintf(rig->url, sizeof rig->url, "%s", url);
    enum rr_err err = cli_viewer_open_rig(&rig->viewer, wallet, url, fault);
    if (err != RR_OK) {
        return err;
    }
    rig->viewing = true;
    err = cli_viewer_get(&rig->viewer, &response, "the offer", fault, "/v1/offers");
    if (err == RR_OK) {
        err = rr_work_offer_decode(&rig->offer, rr_buf_slice(&response.body), fault);
    }
    cli_response_clear(&response);
    rig->viewer.timeout_s = 0;
    if (err == RR_ERR_NOTFOUND) {
        return rr_fail(fault, RR_ERR_NOTFOUND,
                       "%s makes no offers: it takes no work for hire ([offers] of its "
                       "configuration is off)",
                       rig->viewer.base);
    }
    if (err != RR_OK) {
        return err;
    }
    if (!rr_work_offer_verify(&rig->offer)) {
        return rr_fail(fault, RR_ERR_TRUST, "the offer of %s is not signed by its rig", url);
    }
    if (rig->offer.chain_id != rr_genesis_chain_id(&rig->viewer.genesis)) {
        return rr_fail(fault, RR_ERR_TRUST, "the offer of %s is for another network", url);
    }
    if (rig->offer.expires_ms < rr_wall_ms(rr_clock_system())) {
        return rr_fail(fault, RR_ERR_STATE, "the offer of %s has expired", url);
    }
    return RR_OK;
}

static enum rr_err post(struct market_rig *rig, const char *what, const char *path, bool pays,
                        struct rr_slice body, struct rr_fault *fault)
{
    char url[1024];
    struct rr_buf payment = {0};
    struct cli_response response = {0};
    const char *headers[3] = {"Content-Type: application/octet-stream", NULL, NULL};
    int n = snprintf(url, sizeof url, "%s/v1/jobs/%s/%s", rig->viewer.base, rig->handle, path);
    RR_CHECK(n > 0 && (size_t)n < sizeof url);
    if (pays) {
        rr_buf_format(&payment, "Reelrig-Payment: ");
        rr_payment_header_text(&payment, &rig->payment);
        rr_write_u8(&payment, 0);
        headers[1] = (const char *)payment.ptr;
    }
    struct cli_request request = {.url = url,
                                  .method = "POST",
                                  .headers = headers,
                                  .body = body.ptr != NULL ? body : rr_slice_str("")};
    enum rr_err err = cli_http_send(rig->viewer.http, &response, &request, fault);
    err = err != RR_OK ? err : cli_response_check(&response, what, fault);
    cli_response_clear(&response);
    rr_buf_clear(&payment);
    return err;
}

void market_rig_close(struct market_rig *rig)
{
    struct rr_fault ignored = {0};
    if (rig->viewing && rig->handle[0] != '\0') {
        enum rr_err told =
            post(rig, "the end of the job", "end", false, rr_slice_of(NULL, 0), &ignored);
        (void)told; /* it forgets the job by itself */
    }
    rr_purse_free(rig->purse);
    if (rig->viewing) {
        cli_viewer_close(&rig->viewer);
    }
    rig->purse = NULL;
    rig->viewing = false;
}

/* ---- quote
 * -----------------------------------------------------------------------------------------------
 */

/* The rig may ask less than its offer says, not more; its speed has no say in the price. */
static enum rr_err check_quote(struct market_rig *rig, struct rr_fault *fault)
{
    const struct rr_work_quote *quote = &rig->quote;
    struct rr_work_quote own = {.chain_id = rig->offer.chain_id};
    struct rr_hash32 order_id;
    rr_work_order_id(&order_id, &rig->order);
    enum rr_err err = rr_work_quote_price(&own, &rig->offer, &rig->order, fault);
    if (err != RR_OK) {
        return err;
    }
    if (!rr_work_quote_verify(quote) ||
        memcmp(&quote->rig, &rig->offer.rig, sizeof quote->rig) != 0 ||
        memcmp(&quote->publisher, &rig->viewer.public_key, sizeof quote->publisher) != 0 ||
        !rr_hash32_equal(&quote->order_id, &order_id) || quote->chain_id != own.chain_id ||
        quote->step_count != own.step_count) {
        return rr_fail(fault, RR_ERR_TRUST, "the quote of %s is not signed, or of another order",
                       rig->url);
    }
    if (rr_coin_compare(quote->unit_price, own.unit_price) != 0 ||
        quote->gop_units > own.gop_units || quote->audio_units > own.audio_units ||
        quote->gops > own.gops) {
        return rr_fail(fault, RR_ERR_TRUST, "the quote of %s asks for more than its offer",
                       rig->url);
    }
    return RR_OK;
}

enum rr_err market_rig_quote(struct market_rig *rig, const struct rr_work_chain *chain,
                             const struct rr_work_facts *facts, uint64_t deadline_ms,
                             struct rr_fault *fault)
{
    struct cli_response response = {0};
    struct rr_buf body = {0};
    rig->order = (struct rr_work_order){.rig = rig->offer.rig,
                                        .created_ms = rr_wall_ms(rr_clock_system()),
                                        .deadline_ms = deadline_ms,
                                        .facts = *facts,
                                        .steps = rr_transcode_chain_offered(chain, &rig->offer),
                                        .chain = *chain};
    if (rig->order.steps == 0) {
        return rr_fail(fault, RR_ERR_UNSUPPORTED, "%s offers no part of this chain", rig->url);
    }
    rr_work_order_sign(&rig->order, rig->viewer.key);
    rr_work_order_encode(&body, &rig->order);
    enum rr_err err = cli_viewer_post(&rig->viewer, &response, "the order", "/v1/jobs",
                                      rr_buf_slice(&body), fault);
    if (err == RR_OK) {
        err = rr_work_quote_decode(&rig->quote, rr_buf_slice(&response.body), fault);
    }
    if (err == RR_OK) {
        rr_hex(rig->handle, rig->quote.handle.bytes, 32);
        rr_work_quote_id(&rig->quote_id, &rig->quote);
        err = check_quote(rig, fault);
    }
    cli_response_clear(&response);
    rr_buf_clear(&body);
    return err;
}

/* ---- pool and session
 * ------------------------------------------------------------------------------------ */

static uint64_t units_of(const struct rr_work_quote *quote)
{
    return (uint64_t)quote->gop_units * quote->gops + quote->audio_units;
}

static uint32_t pool_blocks(const struct market_rig *rig)
{
    const struct rr_genesis *genesis = &rig->viewer.genesis;
    uint64_t ms = rig->quote.work_ms * 4 + SPARE_MS;
    uint64_t blocks = ms / genesis->block_ms + rig->offer.margin_blocks + 1;
    blocks = blocks < rig->offer.pool_blocks_min ? rig->offer.pool_blocks_min : blocks;
    return (uint32_t)(blocks < genesis->pool_blocks_max ? blocks : genesis->pool_blocks_max);
}

static enum rr_err make_pool(struct market_rig *rig, struct rr_fault *fault)
{
    const struct cli_pool_ask ask = {.resource_id = rig->quote_id,
                                     .price = rig->quote.unit_price,
                                     .unit_count = units_of(&rig->quote),
                                     .duration_blocks = pool_blocks(rig)};
    enum rr_err err = cli_viewer_make_pool(&rig->viewer, &rig->pool_tx, &ask, fault);
    if (err == RR_OK) {
        rr_tx_id(&rig->pool_id, &rig->pool_tx);
    }
    return err;
}

static enum rr_err open_session(struct market_rig *rig, const struct rr_buf *proof,
                                struct rr_fault *fault)
{
    struct rr_session_request request = {.resource_id = rig->quote_id,
                                         .viewer = rig->viewer.public_key,
                                         .voucher = *rr_purse_voucher(rig->purse)};
    struct rr_session_answer answer;
    struct cli_response response = {0};
    struct rr_buf bytes = {0};
    if (proof != NULL) {
        rr_buf_append(&request.pool_proof, proof->ptr, proof->len);
    }
    rr_session_request_encode(&bytes, &request);
    enum rr_err err = cli_viewer_post(&rig->viewer, &response, "opening a session", "/v1/sessions",
                                      rr_buf_slice(&bytes), fault);
    err =
        err != RR_OK ? err : rr_session_answer_decode(&answer, rr_buf_slice(&response.body), fault);
    if (err == RR_OK) {
        rig->payment = (struct rr_payment_header){0};
        memcpy(rig->payment.session_id, answer.session_id, RR_SESSION_ID_BYTES);
    }
    rr_session_request_clear(&request);
    rr_buf_clear(&bytes);
    cli_response_clear(&response);
    return err;
}

/* The pool is named in the wallet before its transaction leaves: `reelrig pool release` finds it.
 */
static enum rr_err keep_pool(const struct market_rig *rig, struct rr_fault *fault)
{
    char path[RR_PATH_BYTES], pool[65];
    struct rr_buf text = {0};
    rr_hex(pool, rig->pool_id.bytes, 32);
    rr_buf_format(&text, "pool %s\nurl %s\njob %s\n", pool, rig->viewer.base, rig->handle);
    enum rr_err err = cli_viewer_path(&rig->viewer, path, fault, "work-%s", pool);
    err = err != RR_OK ? err : rr_file_write(path, rr_buf_slice(&text), 0600, fault);
    rr_buf_clear(&text);
    return err;
}

static enum rr_err fund(struct market_rig *rig, struct rr_fault *fault)
{
    uint8_t seed[32];
    struct rr_buf proof = {0};
    uint64_t units = units_of(&rig->quote);
    uint32_t first = units < VOUCHER_UNITS ? (uint32_t)units : VOUCHER_UNITS;
    enum rr_err err = make_pool(rig, fault);
    if (err != RR_OK || (err = keep_pool(rig, fault)) != RR_OK ||
        (err = cli_viewer_wait_tx(&rig->viewer, &rig->pool_tx, TX_WAIT_S, fault)) != RR_OK ||
        (err = cli_viewer_prove_tx(&rig->viewer, &proof, &rig->pool_tx, &rig->pool_height,
                                   fault)) != RR_OK) {
        rr_buf_clear(&proof);
        return err;
    }
    rr_random(seed, sizeof seed);
    rig->purse = rr_purse_new(
        rig->viewer.key, rig->offer.chain_id, &rig->pool_id, &rig->offer.rig, rig->quote.unit_price,
        first, rig->pool_height + rig->pool_tx.body.create_pool.duration_blocks, seed);
    rr_wipe(seed, sizeof seed);
    rig->units_left = units - first;
    err = open_session(rig, &proof, fault);
    rr_buf_clear(&proof);
    /* Nothing is paid yet; the rig learns which session pays this job. */
    return err != RR_OK ? err : post(rig, "the session", "pay", true, rr_slice_of(NULL, 0), fault);
}

static enum rr_err next_voucher(struct market_rig *rig, struct rr_fault *fault)
{
    uint32_t units = rig->units_left < VOUCHER_UNITS ? (uint32_t)rig->units_left : VOUCHER_UNITS;
    if (units == 0) {
        return rr_fail(fault, RR_ERR_FUNDS, "the pool of %s is used up; it was quoted to be enough",
                       rig->url);
    }
    enum rr_err err =
        rr_purse_renew(rig->purse, rig->viewer.key, units,
                       rig->pool_height + rig->pool_tx.body.create_pool.duration_blocks, fault);
    if (err == RR_OK) {
        rig->units_left -= units;
        err = open_session(rig, NULL, fault);
    }
    return err;
}

enum rr_err market_rig_pay(struct market_rig *rig, uint32_t units, const atomic_bool *cancel,
                           struct rr_fault *fault)
{
    uint64_t until_us = rr_monotonic_us(rr_clock_system()) + PAY_WAIT_US;
    enum rr_err err = RR_OK;
    while (units > 0 && err == RR_OK) {
        uint32_t left = rr_purse_voucher(rig->purse)->max_units - rr_purse_depth(rig->purse);
        uint32_t now = units < UNITS_AT_ONCE ? units : UNITS_AT_ONCE;
        if (left == 0) {
            err = next_voucher(rig, fault);
            continue;
        }
        now = now < left ? now : left;
        rig->payment.has_preimage = true;
        err = rr_purse_pay(rig->purse, now, &rig->payment.depth, &rig->payment.preimage, fault);
        rig->paid_units += err == RR_OK ? now : 0; /* it leaves: paid, whatever is answered */
        while (err == RR_OK &&
               (err = post(rig, "the payment", "pay", true, rr_slice_of(NULL, 0), fault)) ==
                   RR_ERR_FUNDS &&
               rr_monotonic_us(rr_clock_system()) < until_us &&
               stop_asked(cancel, fault) == RR_OK) {
            pause_ms(200); /* at its risk limit: its next settlement takes it on */
            err = RR_OK;
        }
        if (err == RR_OK) {
            units -= now;
        }
    }
    return err;
}

/* ---- source and shards
 * ----------------------------------------------------------------------------------- */

static enum rr_err send_source(struct market_rig *rig, int source_fd, const atomic_bool *cancel,
                               struct rr_fault *fault)
{
    uint64_t bytes = rig->order.facts.bytes;
    uint8_t *piece = rr_alloc(PIECE_BYTES);
    enum rr_err err = RR_OK;
    for (uint64_t at = 0; at < bytes && err == RR_OK; at += PIECE_BYTES) {
        char path[64];
        size_t len = bytes - at < PIECE_BYTES ? (size_t)(bytes - at) : PIECE_BYTES;
        snprintf(path, sizeof path, "source?at=%llu", (unsigned long long)at);
        cli_progress("sending the source to %s: %3.0f %%", rig->viewer.base,
                     100.0 * (double)at / (double)bytes);
        err = stop_asked(cancel, fault);
        err = err != RR_OK ? err : rr_pread_full(source_fd, piece, len, at, fault);
        err = err != RR_OK ? err
                           : post(rig, "the source", path, false, rr_slice_of(piece, len), fault);
    }
    rr_free(piece);
    return err;
}

enum rr_err market_rig_look(struct market_rig *rig, json_t **json, struct rr_fault *fault)
{
    struct cli_response response = {0};
    enum rr_err err =
        cli_viewer_get(&rig->viewer, &response, "the job", fault, "/v1/jobs/%s", rig->handle);
    err = err != RR_OK ? err : cli_response_json(&response, json, fault);
    cli_response_clear(&response);
    if (err == RR_OK && cli_text(*json, "error")[0] != '\0') {
        err = rr_fail(fault, RR_ERR_STATE, "%s gave the job up: %.200s", rig->viewer.base,
                      cli_text(*json, "error"));
        json_decref(*json);
        *json = NULL;
    }
    return err;
}

static enum rr_err wait_opened(struct market_rig *rig, const struct rr_hash32 *key,
                               const atomic_bool *cancel, struct rr_fault *fault)
{
    uint64_t until_us = rr_monotonic_us(rr_clock_system()) + OPEN_WAIT_US;
    char own[65];
    rr_hex(own, key->bytes, 32);
    for (;;) {
        json_t *json = NULL;
        enum rr_err err = stop_asked(cancel, fault);
        if (err != RR_OK || (err = market_rig_look(rig, &json, fault)) != RR_OK) {
            return err;
        }
        bool opened = json_is_true(json_object_get(json, "opened"));
        bool same = opened && strcmp(cli_text(json, "key"), own) == 0;
        json_decref(json);
        if (opened) {
            return same ? RR_OK
                        : rr_fail(fault, RR_ERR_STATE,
                                  "%s makes another job of this source: its version of the "
                                  "transcoder is not ours",
                                  rig->url);
        }
        if (rr_monotonic_us(rr_clock_system()) > until_us) {
            return rr_fail(fault, RR_ERR_TIMEOUT, "%s has not looked at the source in time",
                           rig->url);
        }
        pause_ms(50);
    }
}

enum rr_err market_rig_begin(struct market_rig *rig, int source_fd, const struct rr_hash32 *key,
                             const atomic_bool *cancel, struct rr_fault *fault)
{
    enum rr_err err = fund(rig, fault);
    err = err != RR_OK ? err : send_source(rig, source_fd, cancel, fault);
    err = err != RR_OK ? err : wait_opened(rig, key, cancel, fault);
    rig->asked_us = rr_monotonic_us(rr_clock_system());
    return err;
}

enum rr_err market_rig_ask(struct market_rig *rig, size_t shard, bool whole, struct rr_fault *fault)
{
    char path[64];
    snprintf(path, sizeof path, "shards/%zu%s", shard, whole ? "?from=0" : "");
    return post(rig, "a shard", path, false, rr_slice_of(NULL, 0), fault);
}

enum rr_err market_rig_fetch(struct market_rig *rig, size_t shard, const char *path,
                             struct rr_work_commit *commit, struct rr_fault *fault)
{
    struct cli_response response = {0};
    struct rr_hash32 digest;
    enum rr_err err = cli_viewer_get(&rig->viewer, &response, "a commitment", fault,
                                     "/v1/jobs/%s/shards/%zu/commit", rig->handle, shard);
    err = err != RR_OK ? err : rr_work_commit_decode(commit, rr_buf_slice(&response.body), fault);
    if (err == RR_OK &&
        (!rr_work_commit_verify(commit, &rig->offer.rig) ||
         !rr_hash32_equal(&commit->quote_id, &rig->quote_id) || commit->shard != shard)) {
        err = rr_fail(fault, RR_ERR_TRUST,
                      "the commitment of %s is not signed, or of another shard", rig->url);
    }
    err = err != RR_OK ? err
                       : cli_viewer_get(&rig->viewer, &response, "a shard", fault,
                                        "/v1/jobs/%s/shards/%zu", rig->handle, shard);
    if (err == RR_OK) {
        rr_hash(&digest, "rr.work.shard", rr_buf_slice(&response.body));
        if (response.body.len != commit->bytes || !rr_hash32_equal(&digest, &commit->digest)) {
            err =
                rr_fail(fault, RR_ERR_TRUST, "%s committed to other bytes than it sends", rig->url);
        } else {
            unlink(path);
            err = rr_file_write(path, rr_buf_slice(&response.body), 0600, fault);
        }
    }
    cli_response_clear(&response);
    return err;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cli/cli_viewer.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define POLL_MS         200
#define RELEASE_WAIT_S  (14u * 24 * 3600)
#define FEE_TX_BYTES    512 /* above any transaction a viewer makes */
#define OFFER_TIMEOUT_S 10  /* what a rig that is alive needs by far not */

static void pause_ms(unsigned ms)
{
    nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000L},
              NULL);
}

enum rr_err cli_viewer_path(const struct cli_viewer *viewer, char out[static RR_PATH_BYTES],
                            struct rr_fault *fault, const char *format, ...)
{
    char name[512];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(name, sizeof name, format, args);
    va_end(args);
    RR_CHECK(n > 0 && (size_t)n < sizeof name);
    return rr_path(out, fault, "%s/%s", viewer->folder, name);
}

/* ---- requests -------------------------------------------------------------------------------- */

enum rr_err cli_viewer_get(struct cli_viewer *viewer, struct cli_response *out, const char *what,
                           struct rr_fault *fault, const char *format, ...)
{
    char url[1024];
    int base = snprintf(url, sizeof url, "%s", viewer->base);
    RR_CHECK(base > 0 && (size_t)base < sizeof url);
    va_list args;
    va_start(args, format);
    int n = vsnprintf(url + base, sizeof url - (size_t)base, format, args);
    va_end(args);
    RR_CHECK(n > 0 && (size_t)(base + n) < sizeof url);
    struct cli_request request = {.url = url, .timeout_s = viewer->timeout_s};
    enum rr_err err = cli_http_send(viewer->http, out, &request, fault);
    return err != RR_OK ? err : cli_response_check(out, what, fault);
}

enum rr_err cli_viewer_post(struct cli_viewer *viewer, struct cli_response *out, const char *what,
                            const char *path, struct rr_slice body, struct rr_fault *fault)
{
    char url[1024];
    static const char *const headers[] = {"Content-Type: application/octet-stream", NULL};
    int n = snprintf(url, sizeof url, "%s%s", viewer->base, path);
    RR_CHECK(n > 0 && (size_t)n < sizeof url);
    struct cli_request request = {
        .url = url, .headers = headers, .body = body, .timeout_s = viewer->timeout_s};
    enum rr_err err = cli_http_send(viewer->http, out, &request, fault);
    return err != RR_OK ? err : cli_response_check(out, what, fault);
}

/* ---- opening --------------------------------------------------------------------------------- */

size_t cli_viewer_base_bytes(const char *url)
{
    const char *host = strstr(url, "://");
    host = host != NULL ? host + 3 : url;
    return (size_t)(host - url) + strcspn(host, "/?#");
}

static enum rr_err set_base(struct cli_viewer *viewer, const char *url, bool rig,
                            struct rr_fault *fault)
{
    if (strncmp(url, "http://", 7) != 0 && strncmp(url, "https://", 8) != 0) {
        return rr_fail(fault, RR_ERR_USAGE,
                       "'%s' is not an address; http://HOST:PORT%s was expected", url,
                       rig ? " of a rig" : "/v1/resources/ID");
    }
    size_t len = cli_viewer_base_bytes(url);
    if (len >= sizeof viewer->base) {
        return rr_fail(fault, RR_ERR_LIMIT, "the address is too long");
    }
    memcpy(viewer->base, url, len);
    viewer->base[len] = '\0';
    return RR_OK;
}

enum rr_err cli_viewer_folder(char out[static RR_PATH_BYTES], const char *folder,
                              struct rr_fault *fault)
{
    const char *home = getenv("HOME");
    folder = folder != NULL ? folder : getenv("REELRIG_WALLET");
    if (folder == NULL && home == NULL) {
        return rr_fail(fault, RR_ERR_USAGE, "name the wallet's folder with --wallet");
    }
    enum rr_err err = folder != NULL ? rr_path(out, fault, "%s", folder)
                                     : rr_path(out, fault, "%s/.reelrig", home);
    return err != RR_OK ? err : rr_make_folders(out, fault);
}

static enum rr_err pin_genesis(struct cli_viewer *viewer, struct rr_fault *fault)
{
    char path[RR_PATH_BYTES];
    struct cli_response response = {0};
    struct rr_buf kept = {0};
    enum rr_err err = cli_viewer_path(viewer, path, fault, "genesis");
    if (err != RR_OK ||
        (err = cli_viewer_get(viewer, &response, "the network's genesis", fault,
                              "/v1/ledger/genesis")) != RR_OK ||
        (err = rr_genesis_decode(&viewer->genesis, rr_buf_slice(&response.body), fault)) != RR_OK) {
        goto out;
    }
    rr_genesis_hash(&viewer->genesis_hash, &viewer->genesis);
    err = rr_file_read(&kept, path, 1u << 16, fault);
    if (err == RR_ERR_NOTFOUND) {
        err = rr_file_write(path, rr_buf_slice(&response.body), 0600, fault);
    } else if (err == RR_OK && !rr_slice_equal(rr_buf_slice(&kept), rr_buf_slice(&response.body))) {
        err = rr_fail(fault, RR_ERR_TRUST,
                      "%s is on the network '%s', the wallet in %s on another; use another "
                      "--wallet folder for it",
                      viewer->base, viewer->genesis.name, viewer->folder);
    }
out:
    rr_buf_clear(&kept);
    cli_response_clear(&response);
    return err;
}

static enum rr_err load_trusted(struct cli_viewer *viewer, struct rr_fault *fault)
{
    char path[RR_PATH_BYTES];
    struct rr_buf bytes = {0};
    enum rr_err err = cli_viewer_path(viewer, path, fault, "trusted");
    if (err == RR_OK &&
        (err = rr_file_read(&bytes, path, RR_HEADER_BYTES_MAX + 8, fault)) == RR_OK) {
        struct rr_reader reader = rr_reader_of(rr_buf_slice(&bytes));
        viewer->anchor_ms = rr_read_u64(&reader);
        err = rr_header_decode(&viewer->trusted, rr_slice_of(reader.ptr, reader.len), fault);
    } else if (err == RR_ERR_NOTFOUND) {
        rr_rule_genesis_header(&viewer->genesis, &viewer->trusted);
        err = RR_OK;
    }
    rr_buf_clear(&bytes);
    return err;
}

/* From here on the viewer's files of this rig lie in a folder of its own. */
static enum rr_err enter_rig(struct cli_viewer *viewer, struct rr_fault *fault)
{
    struct rr_hash32 hash;
    char name[17], path[RR_PATH_BYTES];
    rr_hash(&hash, "rr.cli.rig", rr_slice_str(viewer->base));
    rr_hex(name, hash.bytes, 8);
    enum rr_err err = cli_viewer_path(viewer, path, fault, "rigs/%s", name);
    if (err == RR_OK && (err = rr_make_folders(path, fault)) == RR_OK) {
        memcpy(viewer->folder, path, sizeof viewer->folder);
    }
    return err;
}

static enum rr_err open_viewer(struct cli_viewer *out, const char *folder, const char *url,
                               bool rig, struct rr_fault *fault)
{
    char path[RR_PATH_BYTES];
    *out = (struct cli_viewer){.http = cli_http_new(), .timeout_s = rig ? OFFER_TIMEOUT_S : 0};
    enum rr_err err = set_base(out, url, rig, fault);
    if (err != RR_OK || (err = cli_viewer_folder(out->folder, folder, fault)) != RR_OK ||
        (err = cli_viewer_path(out, path, fault, "viewer.key")) != RR_OK ||
        (err = rr_seckey_load(&out->key, path, fault)) != RR_OK ||
        (err = pin_genesis(out, fault)) != RR_OK ||
        (rig && (err = enter_rig(out, fault)) != RR_OK) ||
        (err = load_trusted(out, fault)) != RR_OK) {
        goto fail;
    }
    struct rr_hash_params params = {.cache_items = out->genesis.cache_items,
                                    .dataset_items = out->genesis.dataset_items};
    memcpy(params.seed, out->genesis.ethash_seed, sizeof params.seed);
    if ((err = rr_hash_light_new(&out->light, &params, fault)) != RR_OK) {
        goto fail;
    }
    rr_seckey_public(out->key, &out->public_key);
    rr_address_of(&out->address, &out->public_key);
    return RR_OK;
fail:
    cli_viewer_close(out);
    return err;
}

enum rr_err cli_viewer_open(struct cli_viewer *out, const char *folder, const char *url,
                            struct rr_fault *fault)
{
    return open_viewer(out, folder, url, false, fault);
}

enum rr_err cli_viewer_open_rig(struct cli_viewer *out, const char *folder, const char *url,
                                struct rr_fault *fault)
{
    return open_viewer(out, folder, url, true, fault);
}

void cli_viewer_close(struct cli_viewer *viewer)
{
    rr_hash_light_free(viewer->light);
    rr_seckey_free(viewer->key);
    cli_http_free(viewer->http);
    *viewer = (struct cli_viewer){0};
}

/* ---- ledger ---------------------------------------------------------------------------------- */

enum rr_err cli_viewer_tip(struct cli_viewer *viewer, uint64_t *height, struct rr_fault *fault)
{
    struct cli_response response = {0};
    json_t *json = NULL;
    enum rr_err err =
        cli_viewer_get(viewer, &response, "the ledger's tip", fault, "/v1/ledger/tip");
    if (err == RR_OK && (err = cli_response_json(&response, &json, fault)) == RR_OK) {
        *height = cli_number(json, "height");
    }
    json_decref(json);
    cli_response_clear(&response);
    return err;
}

enum rr_err cli_viewer_balance(struct cli_viewer *viewer, struct rr_coin *balance,
                               uint64_t *next_sequence, struct rr_fault *fault)
{
    struct cli_response response = {0};
    json_t *json = NULL;
    char key[65];
    rr_hex(key, viewer->public_key.bytes, 32);
    enum rr_err err =
        cli_viewer_get(viewer, &response, "the account", fault, "/v1/ledger/account/%s", key);
    if (err == RR_OK && (err = cli_response_json(&response, &json, fault)) == RR_OK) {
        char *end;
        const char *units = cli_text(json, "balance_units");
        unsigned long long value = strtoull(units, &end, 10);
        if (units[0] == '\0' || *end != '\0' || !rr_coin_of_units(balance, value)) {
            err = rr_fail(fault, RR_ERR_FORMAT, "the rig's account answer has no balance");
        }
        *next_sequence = cli_number(json, "next_sequence");
    }
    json_decref(json);
    cli_response_clear(&response);
    return err;
}

enum rr_err cli_viewer_sign(struct cli_viewer *viewer, struct rr_tx *tx, struct rr_fault *fault)
{
    struct rr_coin balance, per_bytes;
    uint64_t sequence;
    enum rr_err err = cli_viewer_balance(viewer, &balance, &sequence, fault);
    if (err != RR_OK) {
        return err;
    }
    if (!rr_coin_of_units(&per_bytes, viewer->genesis.fee_units_per_byte * FEE_TX_BYTES) ||
        !rr_coin_add(&tx->fee, viewer->genesis.fee_base, per_bytes)) {
        return rr_fail(fault, RR_ERR_LIMIT, "the network's fees are beyond the cap of amounts");
    }
    tx->chain_id = rr_genesis_chain_id(&viewer->genesis);
    tx->sequence = sequence;
    rr_tx_sign(tx, viewer->key);
    return RR_OK;
}

enum rr_err cli_viewer_make_pool(struct cli_viewer *viewer, struct rr_tx *out,
                                 const struct cli_pool_ask *ask, struct rr_fault *fault)
{
    struct rr_coin deposit, collateral, total, balance, one;
    uint64_t sequence;
    if (ask->unit_count == 0 || !rr_coin_of_units(&one, 1) ||
        !rr_coin_mul(&deposit, ask->price, ask->unit_count) ||
        !rr_coin_add(&collateral, deposit, one) || !rr_coin_add(&total, deposit, collateral)) {
        return rr_fail(fault, RR_ERR_LIMIT, "%llu units at the price of %s cannot be paid",
                       (unsigned long long)ask->unit_count, viewer->base);
    }
    struct rr_tx tx = {.type = RR_TX_CREATE_POOL,
                       .body.create_pool = {.resource_id = ask->resource_id,
                                            .deposit = deposit,
                                            .collateral = collateral,
                                            .duration_blocks = ask->duration_blocks}};
    enum rr_err err = cli_viewer_sign(viewer, &tx, fault);
    err = err != RR_OK ? err : cli_viewer_balance(viewer, &balance, &sequence, fault);
    if (err != RR_OK) {
        return err;
    }
    if (!rr_coin_add(&total, total, tx.fee) || rr_coin_compare(balance, total) < 0) {
        char need[RR_COIN_TEXT_BYTES], have[RR_COIN_TEXT_BYTES], address[RR_ADDRESS_TEXT_BYTES];
        rr_coin_text(need, total);
        rr_coin_text(have, balance);
        rr_address_text(address, &viewer->address, viewer->genesis.test_addresses);
        return rr_fail(fault, RR_ERR_FUNDS,
                       "%s coins are needed for the pool of %s (deposit, collateral, fee; what is "
                       "not used comes back), %s has %s; send coins to that address",
                       need, viewer->base, address, have);
    }
    *out = tx;
    return RR_OK;
}

enum rr_err cli_viewer_submit(struct cli_viewer *viewer, const struct rr_tx *tx,
                              struct rr_fault *fault)
{
    struct rr_buf bytes = {0};
    struct cli_response response = {0};
    rr_tx_encode(&bytes, tx);
    enum rr_err err = cli_viewer_post(viewer, &response, "the transaction",
                                      "/v1/ledger/transactions", rr_buf_slice(&bytes), fault);
    cli_response_clear(&response);
    rr_buf_clear(&bytes);
    return err;
}

static enum rr_err find_tx(struct cli_viewer *viewer, const struct rr_tx *tx, bool *found,
                           struct rr_fault *fault)
{
    struct cli_response response = {0};
    struct rr_hash32 id;
    char text[65];
    rr_tx_id(&id, tx);
    rr_hex(text, id.bytes, 32);
    enum rr_err err = cli_viewer_get(viewer, &response, "the transaction", fault,
                                     "/v1/ledger/transactions/%s", text);
    *found = err == RR_OK;
    cli_response_clear(&response);
    return err == RR_ERR_NOTFOUND ? RR_OK : err;
}

enum rr_err cli_viewer_wait_tx(struct cli_viewer *viewer, const struct rr_tx *tx,
                               unsigned timeout_s, struct rr_fault *fault)
{
    uint64_t until_us = rr_monotonic_us(rr_clock_system()) + (uint64_t)timeout_s * 1000000;
    for (unsigned round = 0;; round++) {
        bool found;
        enum rr_err err = find_tx(viewer, tx, &found, fault);
        if (err != RR_OK || found) {
            return err;
        }
        /* Sent again now and then: a rig that was restarted may have lost what it had not
         * acknowledged. */
        if (round % 25 == 0 && (err = cli_viewer_submit(viewer, tx, fault)) != RR_OK) {
            struct rr_fault ignored;
            enum rr_err again = find_tx(viewer, tx, &found, &ignored);
            return again == RR_OK && found ? RR_OK : err;
        }
        if (rr_monotonic_us(rr_clock_system()) > until_us) {
            return rr_fail(fault, RR_ERR_TIMEOUT,
                           "the transaction is in no block after %u s; does the rig mine?",
                           timeout_s);
        }
        pause_ms(POLL_MS);
    }
}

enum rr_err cli_viewer_prove_tx(struct cli_viewer *viewer, struct rr_buf *proof_bytes,
                                const struct rr_tx *tx, uint64_t *height, struct rr_fault *fault)
{
    struct cli_response response = {0};
    struct rr_tx_proof proof = {0};
    struct rr_hash32 id, proved;
    char text[65], path[RR_PATH_BYTES];
    struct rr_buf header = {0};
    rr_tx_id(&id, tx);
    rr_hex(text, id.bytes, 32);
    enum rr_err err =
        cli_viewer_get(viewer, &response, "the proof", fault, "/v1/ledger/proof/%s?from=%llu", text,
                       (unsigned long long)viewer->trusted.height);
    if (err != RR_OK ||
        (err = rr_tx_proof_decode(&proof, rr_buf_slice(&response.body), fault)) != RR_OK) {
        goto out;
    }
    rr_tx_id(&proved, &proof.tx);
    if (!rr_hash32_equal(&proved, &id)) {
        err = rr_fail(fault, RR_ERR_TRUST, "the rig proved another transaction than ours");
        goto out;
    }
    uint64_t anchor_ms = viewer->trusted.height == 0 ? proof.headers[0].time_ms : viewer->anchor_ms;
    err = rr_rule_check_proof(&viewer->genesis, &proof, &viewer->trusted, anchor_ms,
                              rr_hash_light_work, viewer->light, fault);
    if (err != RR_OK || (err = cli_viewer_path(viewer, path, fault, "trusted")) != RR_OK) {
        goto out;
    }
    const struct rr_header *last = &proof.headers[proof.header_count - 1];
    rr_write_u64(&header, anchor_ms);
    rr_header_encode(&header, last);
    if ((err = rr_file_write(path, rr_buf_slice(&header), 0600, fault)) == RR_OK) {
        viewer->trusted = *last;
        viewer->anchor_ms = anchor_ms;
        *height = last->height;
        rr_buf_clear(proof_bytes);
        rr_buf_append(proof_bytes, response.body.ptr, response.body.len);
    }
out:
    rr_buf_clear(&header);
    rr_tx_proof_clear(&proof);
    cli_response_clear(&response);
    return err;
}

/* ---- release --------------------------------------------------------------------------------- */

static enum rr_err pool_end(struct cli_viewer *viewer, const struct rr_hash32 *pool_id, bool *gone,
                            uint64_t *end_height, struct rr_fault *fault)
{
    struct cli_response response = {0};
    json_t *json = NULL;
    char text[65];
    rr_hex(text, pool_id->bytes, 32);
    enum rr_err err =
        cli_viewer_get(viewer, &response, "the pool", fault, "/v1/ledger/pools/%s", text);
    *gone = err == RR_ERR_NOTFOUND;
    if (err == RR_OK && (err = cli_response_json(&response, &json, fault)) == RR_OK) {
        *end_height = cli_number(json, "end_height");
    }
    json_decref(json);
    cli_response_clear(&response);
    return *gone ? RR_OK : err;
}

enum rr_err cli_viewer_release(struct cli_viewer *viewer, const struct rr_hash32 *pool_id,
                               bool wait, struct rr_fault *fault)
{
    bool gone;
    uint64_t end_height = 0, height = 0;
    enum rr_err err = pool_end(viewer, pool_id, &gone, &end_height, fault);
    if (err != RR_OK || gone) {
        return err;
    }
    uint64_t due = end_height + 2 * (uint64_t)viewer->genesis.checkpoint_blocks + 1;
    while ((err = cli_viewer_tip(viewer, &height, fault)) == RR_OK && height < due) {
        if (!wait) {
            return rr_fail(fault, RR_ERR_STATE,
                           "the pool can be released from block %llu on; it is block %llu now "
                           "(--wait waits)",
                           (unsigned long long)due, (unsigned long long)height);
        }
        cli_progress("waiting for block %llu to release the pool, now %llu",
                     (unsigned long long)due, (unsigned long long)height);
        pause_ms(POLL_MS);
    }
    cli_progress("%s", "");
    if (err != RR_OK) {
        return err;
    }
    struct rr_tx tx = {.type = RR_TX_RELEASE_POOL};
    tx.body.release_pool.pool_id = *pool_id;
    if ((err = cli_viewer_sign(viewer, &tx, fault)) != RR_OK) {
        return err;
    }
    return cli_viewer_wait_tx(viewer, &tx, 600, fault);
}

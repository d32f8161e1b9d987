/* SPDX-License-Identifier: GPL-2.0-or-later */
/* reelrig wallet, reelrig pool release: a rig's wallet, or a viewer's by --wallet and --url. */
#include "cli/cli_viewer.h"

#include <stdio.h>
#include <string.h>

int cli_pool_release(int argc, char **argv);

struct wallet_options {
    const char *data, *wallet, *url;
    bool json, wait;
    const char *words[4];
    size_t word_count;
};

static bool read_options(struct wallet_options *out, int argc, char **argv)
{
    const struct cli_option options[] = {{"data", &out->data, NULL},
                                         {"wallet", &out->wallet, NULL},
                                         {"url", &out->url, NULL},
                                         {"json", NULL, &out->json},
                                         {"wait", NULL, &out->wait}};
    return cli_options(argc, argv, options, RR_COUNT(options), out->words, RR_COUNT(out->words),
                       &out->word_count);
}

static void print_wallet(const char *address, const char *balance, bool json)
{
    if (json) {
        json_t *out = json_pack("{s:s, s:s}", "address", address, "balance", balance);
        cli_print_json(out);
        json_decref(out);
    } else {
        cli_print("%s  %s coins\n", address, balance);
    }
}

static int show_viewer(const struct wallet_options *options)
{
    struct cli_viewer viewer = {0};
    struct rr_fault fault = {0};
    struct rr_coin balance;
    uint64_t sequence;
    enum rr_err err = cli_viewer_open(&viewer, options->wallet, options->url, &fault);
    if (err == RR_OK) {
        err = cli_viewer_balance(&viewer, &balance, &sequence, &fault);
    }
    if (err == RR_OK) {
        char address[RR_ADDRESS_TEXT_BYTES], coins[RR_COIN_TEXT_BYTES];
        rr_address_text(address, &viewer.address, viewer.genesis.test_addresses);
        rr_coin_text(coins, balance);
        print_wallet(address, coins, options->json);
    }
    cli_viewer_close(&viewer);
    return err == RR_OK ? 0 : cli_fail(err, &fault, options->json);
}

static int call_rig(const struct wallet_options *options, const char *path, const char *body)
{
    struct cli_rig rig = {0};
    struct rr_fault fault = {0};
    json_t *json = NULL;
    enum rr_err err = cli_rig_open(&rig, options->data, &fault);
    if (err == RR_OK) {
        err = cli_rig_call(&rig, &json, path, body, &fault);
        cli_rig_close(&rig);
    }
    if (err != RR_OK) {
        return cli_fail(err, &fault, options->json);
    }
    if (body == NULL) {
        print_wallet(cli_text(json, "address"), cli_text(json, "balance"), options->json);
    } else if (options->json) {
        cli_print_json(json);
    } else {
        cli_print("sent, transaction %s\n", cli_text(json, "transaction"));
    }
    json_decref(json);
    return 0;
}

int cli_wallet(int argc, char **argv)
{
    struct wallet_options options = {0};
    if (!read_options(&options, argc, argv) || options.word_count < 1) {
        return cli_usage(argv[0]);
    }
    if (strcmp(options.words[0], "show") == 0 && options.word_count == 1) {
        return options.url != NULL ? show_viewer(&options) : call_rig(&options, "wallet", NULL);
    }
    if (strcmp(options.words[0], "send") == 0 && options.word_count == 3) {
        json_t *body = json_pack("{s:s, s:s}", "to", options.words[1], "amount", options.words[2]);
        char *text = body != NULL ? json_dumps(body, JSON_COMPACT) : NULL;
        int status = text != NULL ? call_rig(&options, "wallet/send", text) : cli_usage(argv[0]);
        json_free_t release;
        json_get_alloc_funcs(NULL, &release);
        release(text);
        json_decref(body);
        return status;
    }
    return cli_usage(argv[0]);
}

int cli_pool_release(int argc, char **argv)
{
    struct wallet_options options = {0};
    struct cli_viewer viewer = {0};
    struct rr_fault fault = {0};
    struct rr_hash32 pool_id;
    if (!read_options(&options, argc, argv) || options.word_count != 2 || options.url == NULL) {
        return cli_usage(argv[0]);
    }
    if (!rr_unhex(pool_id.bytes, 32, options.words[1])) {
        rr_fail(&fault, RR_ERR_USAGE, "'%s' is not a pool id (64 hex digits)", options.words[1]);
        return cli_fail(RR_ERR_USAGE, &fault, options.json);
    }
    enum rr_err err = cli_viewer_open(&viewer, options.wallet, options.url, &fault);
    if (err == RR_OK) {
        err = cli_viewer_release(&viewer, &pool_id, options.wait, &fault);
    }
    cli_viewer_close(&viewer);
    if (err != RR_OK) {
        return cli_fail(err, &fault, options.json);
    }
    if (options.json) {
        json_t *out = json_pack("{s:s, s:b}", "pool", options.words[1], "released", 1);
        cli_print_json(out);
        json_decref(out);
    } else {
        cli_print("released\n");
    }
    return 0;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* reelrig offers; reelrig publish --rigs: a ladder made by rigs of others, paid GOP by GOP. */
#include "cli/cli_market.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define OFFERS_MAX 64

static atomic_bool cancelled;

static void cancel(int signum)
{
    (void)signum;
    atomic_store(&cancelled, true);
}

/* ---- offers
 * ---------------------------------------------------------------------------------------------- */

static void print_offer(const struct market_rig *rig)
{
    const struct rr_work_offer *offer = &rig->offer;
    char price[RR_COIN_TEXT_BYTES], unit[RR_COIN_TEXT_BYTES];
    cli_print("%s\n", rig->url);
    for (uint8_t i = 0; i < offer->codec_count; i++) {
        rr_coin_text(price, offer->codecs[i].price);
        cli_print("  %-5s %s coins a megapixel-frame, about %u of them a second\n",
                  offer->codecs[i].codec, price, (unsigned)offer->codecs[i].rate);
    }
    rr_coin_text(price, offer->audio_price);
    rr_coin_text(unit, offer->unpaid_max);
    cli_print("  sound %s a second; %s %s; rungs %u to %u; %u of %u jobs; works %s coins ahead of "
              "payment\n",
              price, offer->device, offer->exact ? "exact" : "tolerant", offer->rung_min,
              offer->rung_max, offer->jobs_now, offer->jobs_max, unit);
}

static json_t *offer_json(const struct market_rig *rig)
{
    struct rr_buf text = {0};
    rr_work_offer_json(&text, &rig->offer);
    json_t *json = json_loadb((const char *)text.ptr, text.len, 0, NULL);
    rr_buf_clear(&text);
    RR_CHECK(json != NULL);
    cli_json_set(json, "url", cli_json_text(rig->url));
    return json;
}

int cli_offers(int argc, char **argv)
{
    const char *wallet = NULL, *urls[OFFERS_MAX];
    bool json = false;
    size_t count, good = 0;
    const struct cli_option options[] = {{"wallet", &wallet, NULL}, {"json", NULL, &json}};
    if (!cli_options(argc, argv, options, RR_COUNT(options), urls, OFFERS_MAX, &count) ||
        count == 0) {
        return cli_usage(argv[0]);
    }
    struct rr_fault fault = {0};
    enum rr_err err = RR_OK;
    json_t *list = json_array();
    for (size_t i = 0; i < count; i++) {
        struct market_rig *rig = rr_alloc(sizeof *rig);
        enum rr_err one = market_rig_open(rig, wallet, urls[i], &fault);
        if (one != RR_OK) {
            err = one;
            if (json) {
                json_array_append_new(list, json_pack("{s:o, s:o}", "url", cli_json_text(urls[i]),
                                                      "error", cli_json_text(fault.text)));
            } else {
                fprintf(stderr, "reelrig: %s: %s\n", urls[i], fault.text);
            }
        } else {
            good++;
            if (json) {
                json_array_append_new(list, offer_json(rig));
            } else {
                print_offer(rig);
            }
        }
        market_rig_close(rig);
        rr_free(rig);
    }
    if (json) {
        json_t *out = json_pack("{s:O}", "offers", list);
        cli_print_json(out);
        json_decref(out);
    }
    json_decref(list);
    return good > 0 ? 0 : rr_err_exit_status(err);
}

/* ---- publish --rigs
 * -------------------------------------------------------------------------------------- */

static bool read_number(const char *text, uint64_t max, uint64_t *out)
{
    uint64_t value = 0;
    for (const char *p = text; text != NULL && *p != '\0'; p++) {
        if (*p < '0' || *p > '9' || (value = value * 10 + (uint64_t)(*p - '0')) > max) {
            return false;
        }
    }
    *out = text != NULL ? value : *out;
    return text == NULL || text[0] != '\0';
}

static enum rr_err read_options(struct rr_transcode_options *out, struct cli_market *market,
                                const struct cli_publish_rigs *hired, struct rr_fault *fault)
{
    uint64_t gop_ms = 2000, crf = 0, audio_kbps = 128, deadline_s = 0, patience_s = 120, every = 1;
    if (!read_number(hired->gop_ms, 10000, &gop_ms) || !read_number(hired->crf, 63, &crf) ||
        !read_number(hired->audio_kbps, 512, &audio_kbps) ||
        !read_number(hired->deadline, 86400 * 30, &deadline_s) ||
        !read_number(hired->patience, 86400, &patience_s) ||
        !read_number(hired->check_every, 64, &every)) {
        return rr_fail(fault, RR_ERR_USAGE,
                       "--gop-ms, --crf, --audio-kbps, --deadline, --patience and --check-every "
                       "(at most 64) take whole numbers");
    }
    market->has_price_max = hired->max_price != NULL;
    if (market->has_price_max && !rr_coin_parse(&market->price_max, hired->max_price)) {
        return rr_fail(fault, RR_ERR_USAGE, "--max-price \"%.32s\": coins as in 0.5 were expected",
                       hired->max_price);
    }
    market->deadline_ms = deadline_s * 1000;
    market->patience_s = (unsigned)patience_s;
    market->check_every = (unsigned)every;
    *out = (struct rr_transcode_options){.gop_ms = (uint32_t)gop_ms,
                                         .crf = (uint16_t)crf,
                                         .audio_bps = (uint32_t)audio_kbps * 1000,
                                         .preset = hired->preset};
    if (hired->codec != NULL && !rr_codec_parse(&out->codec, hired->codec)) {
        return rr_fail(fault, RR_ERR_USAGE, "codec \"%.32s\": h264, hevc, av1 and vp9 are known",
                       hired->codec);
    }
    return hired->ladder != NULL ? rr_ladder_read(&out->ladder, hired->ladder, fault) : RR_OK;
}

static void show_progress(void *ctx, const struct rr_transcode_progress *progress)
{
    (void)ctx;
    cli_progress("%5.1f %%  %.1f fps  %.0f s to go", progress->percent, progress->fps,
                 progress->eta_s);
}

static void print_report(const struct cli_publish_rigs *hired, const struct cli_market *market,
                         const struct rr_transcode_result *result, json_t *job)
{
    json_t *report = cli_market_report(market);
    const char *where = job != NULL ? cli_text(job, "url") : hired->folder;
    const json_t *rig;
    size_t i;
    cli_json_set(report, job != NULL ? "url" : "folder", cli_json_text(where));
    cli_json_set(report, "job", job != NULL ? json_incref(job) : json_null());
    cli_json_set(report, "frames_in", json_integer((json_int_t)result->frames_in));
    cli_json_set(report, "gops", json_integer((json_int_t)result->gops));
    cli_json_set(report, "seconds", json_real(result->seconds));
    if (hired->json) {
        cli_print_json(report);
        json_decref(report);
        return;
    }
    json_array_foreach(json_object_get(report, "rigs"), i, rig)
    {
        cli_print("%s: %s; %llu GOPs in %llu shards, %s coins paid%s%s\n", cli_text(rig, "url"),
                  cli_text(rig, "state"), (unsigned long long)cli_number(rig, "gops"),
                  (unsigned long long)cli_number(rig, "shards"), cli_text(rig, "paid"),
                  cli_text(rig, "why")[0] != '\0' ? "; " : "", cli_text(rig, "why"));
        if (cli_text(rig, "pool")[0] != '\0') {
            cli_print("  what is left comes back: reelrig pool release %s --url %s\n",
                      cli_text(rig, "pool"), cli_text(rig, "url"));
        }
    }
    cli_print("%s%s: %llu frames, %llu GOPs, %llu of %llu shards made here\n", where,
              market->chain.output == RR_WORK_MP4 ? "" : "/master.m3u8",
              (unsigned long long)result->frames_in, (unsigned long long)result->gops,
              (unsigned long long)cli_number(report, "made_here"),
              (unsigned long long)cli_number(report, "shards"));
    json_decref(report);
}

/* A folder of its own in the wallet, so that a killed publisher goes on from it: the same file and
 * options give the same name. */
static enum rr_err own_folder(char out[static RR_PATH_BYTES], const char *file,
                              const struct cli_publish_rigs *hired, struct rr_fault *fault)
{
    char wallet[RR_PATH_BYTES], name[17];
    struct rr_buf words = {0};
    struct rr_hash32 hash;
    const char *const all[] = {file,       hired->ladder, hired->codec,     hired->preset,
                               hired->crf, hired->gop_ms, hired->audio_kbps};
    for (size_t i = 0; i < RR_COUNT(all); i++) {
        rr_buf_format(&words, "%s\n", all[i] != NULL ? all[i] : "");
    }
    rr_hash(&hash, "rr.cli.hired", rr_buf_slice(&words));
    rr_buf_clear(&words);
    rr_hex(name, hash.bytes, 8);
    enum rr_err err = cli_viewer_folder(wallet, hired->wallet, fault);
    err = err != RR_OK ? err : rr_path(out, fault, "%s/hired/%s", wallet, name);
    return err != RR_OK ? err : rr_make_folders(out, fault);
}

/* Made by others, published, proved and served by the own rig. */
static enum rr_err publish_here(const char *file, const struct cli_publish_rigs *hired,
                                struct cli_market *market, struct rr_transcode_options *options,
                                struct rr_transcode_result *result, json_t **job,
                                struct rr_fault *fault)
{
    char work[RR_PATH_BYTES], whole[RR_PATH_BYTES];
    struct cli_rig rig = {0};
    struct rr_buf chain = {0};
    enum rr_err err = own_folder(work, file, hired, fault);
    if (err != RR_OK || (err = cli_rig_open(&rig, hired->data, fault)) != RR_OK) {
        return err;
    }
    int fd = open(file, O_RDONLY | O_CLOEXEC);
    options->job_folder = work;
    err = fd < 0 ? rr_fail_errno(fault, "cannot read %s", file)
                 : cli_market_make(market, result, fd, options, show_progress, NULL, &cancelled,
                                   fault);
    if (fd >= 0) {
        close(fd);
    }
    if (err == RR_OK && realpath(work, whole) == NULL) {
        err = rr_fail_errno(fault, "cannot name %.200s", work);
    }
    if (err == RR_OK) {
        rr_work_chain_json(&chain, &market->chain);
        rr_write_u8(&chain, 0);
        const struct cli_publish_words words = {.title = hired->title,
                                                .price = hired->price,
                                                .chain = (const char *)chain.ptr,
                                                .journal = whole};
        err = cli_publish_follow(&rig, job, file, &words, fault);
    }
    if (err == RR_OK) {
        rr_buf_clear(&chain);
        rr_buf_format(&chain, "%s/v1/resources/%s/hls", rig.serve, cli_text(*job, "resource"));
        rr_write_u8(&chain, 0);
        cli_json_set(*job, "url", json_string((const char *)chain.ptr));
    }
    rr_buf_clear(&chain);
    cli_rig_close(&rig);
    return err;
}

int cli_publish_by_rigs(const char *file, const struct cli_publish_rigs *hired)
{
    struct rr_transcode_options options;
    struct rr_transcode_result result = {0};
    struct rr_fault fault = {0};
    json_t *job = NULL;
    struct cli_market *market = rr_alloc(sizeof *market);
    market->urls = hired->urls;
    market->wallet = hired->wallet;
    market->explain = hired->explain;
    market->json = hired->json;
    market->no_local = hired->no_local;
    struct sigaction action = {.sa_handler = cancel};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    enum rr_err err = read_options(&options, market, hired, &fault);
    if (err == RR_OK && hired->folder == NULL) {
        err = publish_here(file, hired, market, &options, &result, &job, &fault);
    } else if (err == RR_OK) {
        size_t len = strlen(hired->folder);
        options.one_rung = len > 4 && strcmp(hired->folder + len - 4, ".mp4") == 0;
        options.maker = cli_market_make;
        options.maker_ctx = market;
        err = (options.one_rung ? rr_transcode_to_file : rr_transcode_to_folder)(
            &result, hired->folder, file, &options, show_progress, NULL, &cancelled, &fault);
    }
    cli_progress("%s", "");
    if (err == RR_OK) {
        print_report(hired, market, &result, job);
    }
    json_decref(job);
    cli_market_clear(market);
    rr_free(market);
    rr_transcode_result_clear(&result);
    return err == RR_OK ? 0 : cli_fail(err, &fault, hired->json);
}

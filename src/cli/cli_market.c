/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which rig makes what: the cheapest first, another when it fails, and no coin before a check. */
#include "cli/cli_market.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define IN_FLIGHT    2 /* shards of one rig at a time: one is made while another travels */
#define NOBODY       SIZE_MAX
#define POLL_MS      100
#define LATE_LEAST_S 60

struct flow {
    struct cli_market *market;
    struct rr_transcode_job *job;
    int source_fd;
    const char *folder;
    const atomic_bool *cancel;
    rr_transcode_progress_fn *progress;
    void *progress_ctx;
    size_t *owner; /* of each shard: a rig, or NOBODY */
    bool *here;    /* of each shard: it is left to be made here */
    size_t shard_count;
    struct rr_transcode_choice pictures, sound;
};

/* ---- offers and choice
 * ----------------------------------------------------------------------------------- */

static void put_out(struct market_rig *rig, const struct rr_fault *fault)
{
    rig->state = MARKET_OUT;
    snprintf(rig->why, sizeof rig->why, "%s", fault->text);
}

static enum rr_err digest_source(struct rr_hash32 *out, int fd, uint64_t bytes,
                                 struct rr_fault *fault)
{
    struct rr_hasher hasher;
    uint8_t *piece = rr_alloc(1u << 20);
    enum rr_err err = RR_OK;
    rr_hasher_init(&hasher, "rr.work.source");
    for (uint64_t at = 0; at < bytes && err == RR_OK; at += 1u << 20) {
        size_t len = bytes - at < 1u << 20 ? (size_t)(bytes - at) : 1u << 20;
        err = rr_pread_full(fd, piece, len, at, fault);
        rr_hasher_add(&hasher, piece, len);
    }
    rr_hasher_final(&hasher, out);
    rr_free(piece);
    return err;
}

/* Two jobs on one rig would be paid by two pools. */
static bool is_named(const struct cli_market *market, const char *url)
{
    size_t len = cli_viewer_base_bytes(url);
    for (size_t i = 0; i < market->rig_count; i++) {
        const char *other = market->rigs[i].url;
        if (cli_viewer_base_bytes(other) == len && strncmp(other, url, len) == 0) {
            return true;
        }
    }
    return false;
}

static enum rr_err open_rigs(struct cli_market *market, struct rr_fault *fault)
{
    char url[512];
    for (const char *at = market->urls; *at != '\0';) {
        size_t len = strcspn(at, ",");
        if (len == 0 || len >= sizeof url || market->rig_count == MARKET_RIGS_MAX) {
            return rr_fail(fault, RR_ERR_USAGE, "--rigs takes 1 to %d addresses: URL,URL",
                           MARKET_RIGS_MAX);
        }
        memcpy(url, at, len);
        url[len] = '\0';
        at += len + (at[len] == ',' ? 1 : 0);
        if (is_named(market, url)) {
            continue;
        }
        struct rr_fault why = {0};
        struct market_rig *rig = &market->rigs[market->rig_count++];
        if (market_rig_open(rig, market->wallet, url, &why) != RR_OK) {
            put_out(rig, &why);
        }
    }
    return RR_OK;
}

static enum rr_err make_chain(struct cli_market *market, struct rr_work_facts *told, int source_fd,
                              const struct rr_transcode_options *options, struct rr_fault *fault)
{
    struct rr_transcode_facts facts;
    struct stat st;
    struct rr_work_chain *chain = &market->chain;
    if (fstat(source_fd, &st) != 0) {
        return rr_fail_errno(fault, "cannot read the source");
    }
    enum rr_err err = rr_transcode_probe(&facts, source_fd, options, fault);
    if (err != RR_OK ||
        (err = digest_source(&chain->source, source_fd, (uint64_t)st.st_size, fault)) != RR_OK ||
        (err = rr_transcode_chain_make(chain, &facts, options, fault)) != RR_OK) {
        return err;
    }
    chain->created_ms = rr_wall_ms(rr_clock_system());
    chain->challenges = 8; /* of the own rig, where it publishes */
    *told = (struct rr_work_facts){.width = (uint16_t)facts.width,
                                   .height = (uint16_t)facts.height,
                                   .fps_num = facts.fps_num,
                                   .fps_den = facts.fps_den,
                                   .duration_ms = (uint64_t)(facts.duration_us + 999) / 1000,
                                   .bytes = (uint64_t)st.st_size,
                                   .has_audio = facts.audio_count > 0};
    return RR_OK;
}

/* The chain as this rig's network and owner have it. */
static void quote_all(struct cli_market *market, const struct rr_work_facts *facts)
{
    for (size_t i = 0; i < market->rig_count; i++) {
        struct market_rig *rig = &market->rigs[i];
        struct rr_fault why = {0};
        if (rig->state == MARKET_OUT) {
            continue;
        }
        market->chain.chain_id = rig->offer.chain_id;
        market->chain.owner = rig->viewer.public_key;
        enum rr_err err = market_rig_quote(rig, &market->chain, facts, market->deadline_ms, &why);
        if (err == RR_OK && market->has_price_max &&
            rr_coin_compare(rr_work_quote_total(&rig->quote), market->price_max) > 0) {
            char price[RR_COIN_TEXT_BYTES], most[RR_COIN_TEXT_BYTES];
            rr_coin_text(price, rr_work_quote_total(&rig->quote));
            rr_coin_text(most, market->price_max);
            err = rr_fail(&why, RR_ERR_FUNDS, "too expensive: it asks %s, at most %s are given",
                          price, most);
        }
        if (err != RR_OK) {
            put_out(rig, &why);
        }
    }
}

static void choose(struct flow *flow)
{
    struct cli_market *market = flow->market;
    struct rr_transcode_bid bids[MARKET_RIGS_MAX];
    for (size_t i = 0; i < market->rig_count; i++) {
        bids[i] = (struct rr_transcode_bid){
            .quote = &market->rigs[i].quote,
            .steps = market->rigs[i].state == MARKET_OUT ? 0 : market->rigs[i].order.steps};
    }
    rr_transcode_chain_choose(&flow->pictures, bids, market->rig_count,
                              rr_transcode_chain_leg(&market->chain, RR_TRANSCODE_LEG_PICTURES),
                              NULL, market->deadline_ms);
    rr_transcode_chain_choose(&flow->sound, bids, market->rig_count,
                              rr_transcode_chain_leg(&market->chain, RR_TRANSCODE_LEG_SOUND), NULL,
                              0);
}

/* With --json standard output holds the report and nothing else. */
static void say(const struct cli_market *market, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static void say(const struct cli_market *market, const char *format, ...)
{
    char line[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    if (market->json) {
        fprintf(stderr, "%s\n", line);
    } else {
        cli_print("%s\n", line);
    }
}

static void explain(const struct flow *flow)
{
    const struct cli_market *market = flow->market;
    for (size_t i = 0; i < market->rig_count; i++) {
        const struct market_rig *rig = &market->rigs[i];
        char total[RR_COIN_TEXT_BYTES];
        if (rig->state == MARKET_OUT) {
            say(market, "%s: out: %s", rig->url, rig->why);
            continue;
        }
        size_t place = 0;
        while (place < flow->pictures.count && flow->pictures.order[place] != i) {
            place++;
        }
        rr_coin_text(total, rr_work_quote_total(&rig->quote));
        say(market, "%s: %s coins at most, %u units a GOP, about %.0f s: %s", rig->url, total,
            (unsigned)rig->quote.gop_units, (double)rig->quote.work_ms / 1e3,
            place == flow->pictures.count   ? "takes no pictures of it"
            : place < flow->pictures.active ? "chosen, as the cheapest in time"
                                            : "spare, for when one before it fails");
    }
    if (flow->pictures.late) {
        say(market, "all of them together are expected to miss the deadline of %.0f s",
            (double)market->deadline_ms / 1e3);
    }
}

/* ---- one rig's turn
 * -------------------------------------------------------------------------------------- */

static void drop(struct flow *flow, size_t index, const struct rr_fault *why)
{
    put_out(&flow->market->rigs[index], why);
    for (size_t i = 0; i < flow->shard_count; i++) {
        flow->owner[i] = flow->owner[i] == index ? NOBODY : flow->owner[i];
    }
    cli_progress("%s", "");
    fprintf(stderr, "reelrig: %s is out: %s\n", flow->market->rigs[index].url, why->text);
}

/* What the rig signed and what it gave, for whoever has to judge it. */
static void keep_evidence(const struct market_rig *rig, const struct rr_work_commit *commit,
                          const char *path)
{
    char to[RR_PATH_BYTES], folder[RR_PATH_BYTES];
    struct rr_buf bytes = {0};
    struct rr_fault ignored = {0};
    rr_work_commit_encode(&bytes, commit);
    if (cli_viewer_path(&rig->viewer, folder, &ignored, "evidence") == RR_OK &&
        rr_make_folders(folder, &ignored) == RR_OK &&
        rr_path(to, &ignored, "%s/%.16s-%u", folder, rig->handle, commit->shard) == RR_OK) {
        char named[RR_PATH_BYTES];
        if (rename(path, to) == 0 && rr_path(named, &ignored, "%s.commit", to) == RR_OK &&
            rr_file_write(named, rr_buf_slice(&bytes), 0600, &ignored) == RR_OK) {
            fprintf(stderr, "reelrig: its commitment and its bytes are kept as %s\n", to);
        }
    }
    rr_buf_clear(&bytes);
}

static enum rr_err take(struct flow *flow, size_t index, size_t shard, struct rr_fault *fault)
{
    struct cli_market *market = flow->market;
    struct market_rig *rig = &market->rigs[index];
    struct rr_work_commit commit;
    char path[RR_PATH_BYTES];
    size_t count;
    bool spot = market->check_every <= 1 || rig->shards % market->check_every == 0;
    enum rr_err err = rr_path(path, fault, "%s/fetched", flow->folder);
    if (err != RR_OK || (err = market_rig_fetch(rig, shard, path, &commit, fault)) != RR_OK) {
        return err;
    }
    err = rr_transcode_take(flow->job, shard, path, spot, fault);
    const struct rr_transcode_shard *now = &rr_transcode_shards(flow->job, &count)[shard];
    if (err == RR_ERR_TRUST) {
        rig->cheated = true;
        keep_evidence(rig, &commit, path);
    }
    if (err != RR_OK) {
        return err;
    }
    flow->owner[shard] = NOBODY;
    flow->here[shard] = false;
    if (now->done && now->take_size != commit.gops) {
        rig->cheated = true;
        return rr_fail(fault, RR_ERR_TRUST, "%s signed for %u GOPs, there are %u", rig->url,
                       commit.gops, now->take_size);
    }
    uint64_t units =
        now->sound ? rig->quote.audio_units : (uint64_t)commit.gops * rig->quote.gop_units;
    rig->shards++;
    rig->gops += commit.gops;
    rig->asked_us = rr_monotonic_us(rr_clock_system());
    return market_rig_pay(rig, (uint32_t)units, flow->cancel, fault);
}

/* A shard for this rig that nobody has; the sound for the cheapest that takes it. */
static size_t find_shard(struct flow *flow, bool pictures, bool sound)
{
    size_t count;
    const struct rr_transcode_shard *shards = rr_transcode_shards(flow->job, &count);
    for (size_t i = 0; i < count; i++) {
        if (!shards[i].done && flow->owner[i] == NOBODY && (shards[i].sound ? sound : pictures)) {
            return i;
        }
    }
    return NOBODY;
}

static enum rr_err feed(struct flow *flow, size_t index, bool pictures, bool sound,
                        struct rr_fault *fault)
{
    size_t count, held = 0;
    const struct rr_transcode_shard *shards = rr_transcode_shards(flow->job, &count);
    for (size_t i = 0; i < count; i++) {
        held += flow->owner[i] == index ? 1 : 0;
    }
    enum rr_err err = RR_OK;
    while (held < IN_FLIGHT && err == RR_OK) {
        size_t shard = find_shard(flow, pictures, sound);
        if (shard == NOBODY) {
            break;
        }
        err = market_rig_ask(&flow->market->rigs[index], shard, shards[shard].packet_first == 0,
                             fault);
        if (err == RR_OK) {
            if (held == 0) {
                flow->market->rigs[index].asked_us = rr_monotonic_us(rr_clock_system());
            }
            flow->owner[shard] = index;
            held++;
        }
    }
    return err;
}

static enum rr_err collect(struct flow *flow, size_t index, struct rr_fault *fault)
{
    struct market_rig *rig = &flow->market->rigs[index];
    json_t *json = NULL;
    bool waits = false;
    enum rr_err err = market_rig_look(rig, &json, fault);
    for (size_t i = 0; err == RR_OK && i < flow->shard_count; i++) {
        const json_t *shard = json_array_get(json_object_get(json, "shards"), i);
        if (flow->owner[i] != index) {
            continue;
        }
        if (strcmp(cli_text(shard, "state"), "done") == 0) {
            err = take(flow, index, i, fault);
        } else {
            waits = true;
        }
    }
    json_decref(json);
    uint64_t gop_ms = rig->quote.gops > 0 ? rig->quote.work_ms / rig->quote.gops : 0;
    uint64_t late_s = flow->market->patience_s + gop_ms * 64 / 1000;
    uint64_t since_us = rr_monotonic_us(rr_clock_system()) - rig->asked_us;
    if (err == RR_OK && waits && since_us > late_s * 1000000) {
        err = rr_fail(fault, RR_ERR_TIMEOUT, "late: %s has finished nothing for %llu s", rig->url,
                      (unsigned long long)(since_us / 1000000));
    }
    return err;
}

static enum rr_err turn(struct flow *flow, size_t index, bool pictures, bool sound,
                        struct rr_fault *fault)
{
    struct market_rig *rig = &flow->market->rigs[index];
    enum rr_err err = RR_OK;
    if (rig->state == MARKET_SPARE) {
        if (find_shard(flow, pictures, sound) == NOBODY) {
            return RR_OK; /* nothing to pay a pool for */
        }
        err = market_rig_begin(rig, flow->source_fd, rr_transcode_key(flow->job), flow->cancel,
                               fault);
        rig->state = err == RR_OK ? MARKET_WORKING : rig->state;
    }
    err = err != RR_OK ? err : feed(flow, index, pictures, sound, fault);
    return err != RR_OK ? err : collect(flow, index, fault);
}

/* ---- the job
 * --------------------------------------------------------------------------------------------- */

/* Bit 1: pictures, bit 2: sound; of the rig's place among those that are still in. */
static unsigned part_of(const struct flow *flow, size_t index)
{
    size_t before = 0;
    unsigned parts = 0;
    for (size_t i = 0; i < flow->pictures.count && before < flow->pictures.active; i++) {
        size_t rig = flow->pictures.order[i];
        if (flow->market->rigs[rig].state != MARKET_OUT) {
            before++;
            parts |= rig == index ? 1u : 0u;
        }
    }
    for (size_t i = 0; i < flow->sound.count; i++) {
        size_t rig = flow->sound.order[i];
        if (flow->market->rigs[rig].state != MARKET_OUT) {
            parts |= rig == index ? 2u : 0u;
            break;
        }
    }
    return parts;
}

static void show(const struct flow *flow)
{
    struct rr_transcode_progress shown;
    if (flow->progress != NULL) {
        rr_transcode_shown(flow->job, &shown);
        flow->progress(flow->progress_ctx, &shown);
    }
}

/* A rig that is still in takes something that is not made. */
static bool is_wanted(struct flow *flow)
{
    for (size_t i = 0; i < flow->market->rig_count; i++) {
        unsigned parts = flow->market->rigs[i].state == MARKET_OUT ? 0 : part_of(flow, i);
        if (parts != 0 && find_shard(flow, (parts & 1) != 0, (parts & 2) != 0) != NOBODY) {
            return true;
        }
    }
    return false;
}

static enum rr_err turn_all(struct flow *flow, struct rr_fault *fault)
{
    for (size_t i = 0; i < flow->market->rig_count; i++) {
        struct rr_fault why = {0};
        unsigned parts = flow->market->rigs[i].state == MARKET_OUT ? 0 : part_of(flow, i);
        enum rr_err err =
            parts != 0 ? turn(flow, i, (parts & 1) != 0, (parts & 2) != 0, &why) : RR_OK;
        if (err == RR_ERR_CANCELLED) {
            *fault = why;
            return err;
        }
        if (err != RR_OK) {
            drop(flow, i, &why);
        }
    }
    return RR_OK;
}

/* Until all is there, or nobody is left who takes what is not. RR_OK both. Each round in which
 * nothing is under way has put a rig out, or there is no next one. */
static enum rr_err run(struct flow *flow, struct rr_fault *fault)
{
    for (bool busy = false; busy || is_wanted(flow);) {
        enum rr_err err = turn_all(flow, fault);
        if (err != RR_OK) {
            return err;
        }
        busy = false;
        for (size_t i = 0; i < flow->shard_count; i++) {
            busy |= flow->owner[i] != NOBODY;
        }
        show(flow);
        if (flow->cancel != NULL && atomic_load(flow->cancel)) {
            return rr_fail(fault, RR_ERR_CANCELLED,
                           "cancelled; the same command goes on where it was");
        }
        if (busy) {
            nanosleep(&(struct timespec){.tv_nsec = POLL_MS * 1000000L}, NULL);
        }
    }
    return RR_OK;
}

/* What no rig has made; market->shards_local counts it over all rounds. */
static uint32_t count_missing(struct flow *flow)
{
    size_t count;
    uint32_t missing = 0;
    const struct rr_transcode_shard *shards = rr_transcode_shards(flow->job, &count);
    flow->market->shards = (uint32_t)count;
    flow->market->shards_local = 0;
    for (size_t i = 0; i < count; i++) {
        missing += shards[i].done ? 0 : 1;
        flow->here[i] |= !shards[i].done;
        flow->market->shards_local += flow->here[i] ? 1 : 0;
    }
    return missing;
}

static enum rr_err finish(struct flow *flow, struct rr_transcode_result *out,
                          struct rr_fault *fault)
{
    enum rr_err err = RR_ERR_TRUST;
    for (unsigned round = 0; round < 3 && err == RR_ERR_TRUST; round++) {
        if ((err = run(flow, fault)) != RR_OK) {
            return err;
        }
        uint32_t missing = count_missing(flow);
        if (missing > 0 && flow->market->no_local) {
            return rr_fail(fault, RR_ERR_UNREACHABLE,
                           "%u of %u parts are made by no rig; without --no-local they are made "
                           "here",
                           missing, flow->market->shards);
        }
        if (missing > 0) {
            cli_progress("%s", "");
            fprintf(stderr, "reelrig: %u of %u parts are made here\n", missing,
                    flow->market->shards);
        }
        err = rr_transcode_finish(flow->job, out, flow->progress, flow->progress_ctx, fault);
    }
    return err;
}

/* The first rig that is out, or what those that are in do not take. */
static const char *why_nobody(const struct cli_market *market)
{
    for (size_t i = 0; i < market->rig_count; i++) {
        if (market->rigs[i].state == MARKET_OUT) {
            return market->rigs[i].why;
        }
    }
    return "none of them takes the pictures, or none the sound";
}

enum rr_err cli_market_make(void *ctx, struct rr_transcode_result *out, int source_fd,
                            const struct rr_transcode_options *options,
                            rr_transcode_progress_fn *progress, void *progress_ctx,
                            const atomic_bool *cancel, struct rr_fault *fault)
{
    struct cli_market *market = ctx;
    struct rr_work_facts facts;
    struct flow flow = {.market = market,
                        .source_fd = source_fd,
                        .folder = options->job_folder,
                        .cancel = cancel,
                        .progress = progress,
                        .progress_ctx = progress_ctx};
    enum rr_err err = open_rigs(market, fault);
    if (err != RR_OK || (err = make_chain(market, &facts, source_fd, options, fault)) != RR_OK ||
        (err = rr_transcode_open(&flow.job, source_fd, options, cancel, fault)) != RR_OK) {
        return err;
    }
    rr_transcode_shards(flow.job, &flow.shard_count);
    flow.owner = rr_alloc_array(flow.shard_count + 1, sizeof *flow.owner);
    flow.here = rr_alloc_array(flow.shard_count + 1, sizeof *flow.here);
    for (size_t i = 0; i < flow.shard_count; i++) {
        flow.owner[i] = NOBODY;
    }
    quote_all(market, &facts);
    choose(&flow);
    if (market->explain) {
        explain(&flow);
    }
    bool nobody = (flow.pictures.count == 0 && find_shard(&flow, true, false) != NOBODY) ||
                  (flow.sound.count == 0 && find_shard(&flow, false, true) != NOBODY);
    if (nobody && market->no_local) {
        err = rr_fail(fault, RR_ERR_UNREACHABLE, "no rig takes the work: %s", why_nobody(market));
    } else {
        err = finish(&flow, out, fault);
    }
    rr_transcode_close(flow.job);
    rr_free(flow.owner);
    rr_free(flow.here);
    return err;
}

json_t *cli_market_report(const struct cli_market *market)
{
    json_t *rigs = json_array();
    for (size_t i = 0; i < market->rig_count; i++) {
        const struct market_rig *rig = &market->rigs[i];
        char price[RR_COIN_TEXT_BYTES], paid[RR_COIN_TEXT_BYTES] = "0", key[65], pool[65];
        struct rr_coin sum = RR_COIN_ZERO;
        rr_coin_text(price, rr_work_quote_total(&rig->quote));
        if (rr_coin_mul(&sum, rig->quote.unit_price, rig->paid_units)) {
            rr_coin_text(paid, sum);
        }
        rr_hex(key, rig->offer.rig.bytes, 32);
        rr_hex(pool, rig->pool_id.bytes, 32);
        json_array_append_new(
            rigs, json_pack("{s:o, s:s, s:o, s:b, s:s, s:s, s:s, s:i, s:i, s:i, s:I, s:s}", "url",
                            cli_json_text(rig->url), "rig", key, "why", cli_json_text(rig->why),
                            "cheated", (int)rig->cheated, "state",
                            rig->state == MARKET_OUT       ? "out"
                            : rig->state == MARKET_WORKING ? "worked"
                                                           : "spare",
                            "price", price, "pool", rig->purse != NULL ? pool : "", "shards",
                            (int)rig->shards, "gops", (int)rig->gops, "gop_units",
                            (int)rig->quote.gop_units, "paid_units", (json_int_t)rig->paid_units,
                            "paid", paid));
    }
    return json_pack("{s:o, s:i, s:i}", "rigs", rigs, "shards", (int)market->shards, "made_here",
                     (int)market->shards_local);
}

void cli_market_clear(struct cli_market *market)
{
    for (size_t i = 0; i < market->rig_count; i++) {
        market_rig_close(&market->rigs[i]);
    }
    market->rig_count = 0;
}

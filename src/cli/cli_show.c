/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Verbs that show a rig: status, job, chain, pool, store. */
#include "cli/cli.h"

#include <stdio.h>
#include <string.h>

#define WORKERS_SHOWN 8

struct show {
    const char *data;
    bool json;
    const char *words[4];
    size_t word_count;
};

static bool read_show(struct show *out, int argc, char **argv)
{
    const struct cli_option options[] = {{"data", &out->data, NULL}, {"json", NULL, &out->json}};
    return cli_options(argc, argv, options, RR_COUNT(options), out->words, RR_COUNT(out->words),
                       &out->word_count);
}

/* Asks, prints as JSON or by `print`, returns the exit status. */
static int ask(const struct show *show, const char *path, const char *post_body,
               void (*print)(const json_t *json))
{
    struct cli_rig rig = {0};
    struct rr_fault fault = {0};
    json_t *json = NULL;
    enum rr_err err = cli_rig_open(&rig, show->data, &fault);
    if (err == RR_OK) {
        err = cli_rig_call(&rig, &json, path, post_body, &fault);
        cli_rig_close(&rig);
    }
    if (err != RR_OK) {
        return cli_fail(err, &fault, show->json);
    }
    if (show->json) {
        cli_print_json(json);
    } else {
        print(json);
    }
    json_decref(json);
    return 0;
}

static double reputation(uint64_t q32)
{
    return (double)q32 / 4294967296.0;
}

static void print_job_line(const json_t *job)
{
    const char *error = cli_text(job, "error");
    cli_print("  %s  %-10s %5.1f %%  %6.1f fps  %llu proofs, %llu failed  %s%s%s\n",
              cli_text(job, "job"), cli_text(job, "stage"), cli_real(job, "percent"),
              cli_real(job, "fps"), (unsigned long long)cli_number(job, "proofs_checked"),
              (unsigned long long)cli_number(job, "proofs_failed"), cli_text(job, "title"),
              error[0] != '\0' ? ": " : "", error);
}

/* Miners that work on this rig's blocks, and the mining pool that this rig works for. */
static void print_mining(const json_t *stratum, const json_t *pool)
{
    const json_t *worker;
    size_t i;
    uint64_t refused = cli_number(stratum, "rejected") + cli_number(stratum, "duplicate");
    if (json_is_true(json_object_get(stratum, "on"))) {
        cli_print(
            "stratum  %s:%llu%s, %llu miners, %llu H/s, %llu shares, %llu stale, %llu refused, "
            "%llu blocks\n",
            cli_text(stratum, "listen"), (unsigned long long)cli_number(stratum, "port"),
            json_is_true(json_object_get(stratum, "tls")) ? " (TLS)" : "",
            (unsigned long long)cli_number(stratum, "authorized"),
            (unsigned long long)cli_number(stratum, "hashes_per_s"),
            (unsigned long long)cli_number(stratum, "accepted"),
            (unsigned long long)cli_number(stratum, "stale"), (unsigned long long)refused,
            (unsigned long long)cli_number(stratum, "blocks"));
    }
    json_array_foreach(json_object_get(stratum, "workers"), i, worker)
    {
        if (i == WORKERS_SHOWN) {
            cli_print("         and more: --json shows them\n");
            break;
        }
        cli_print("         %-24s %llu H/s, %llu shares, %llu blocks\n", cli_text(worker, "worker"),
                  (unsigned long long)cli_number(worker, "hashes_per_s"),
                  (unsigned long long)cli_number(worker, "accepted"),
                  (unsigned long long)cli_number(worker, "blocks"));
    }
    if (json_is_true(json_object_get(pool, "on"))) {
        bool connected = json_is_true(json_object_get(pool, "connected"));
        cli_print(
            "mining pool %s%s, %s; %llu shares, %llu stale, %llu refused, answers in %.1f ms%s%s\n",
            cli_text(pool, "pool"), json_is_true(json_object_get(pool, "tls")) ? " (TLS)" : "",
            connected ? cli_text(pool, "dialect") : "no work yet",
            (unsigned long long)cli_number(pool, "accepted"),
            (unsigned long long)cli_number(pool, "stale"),
            (unsigned long long)cli_number(pool, "rejected"),
            (double)cli_number(pool, "latency_mean_us") / 1e3,
            connected ? "" : "; last: ", connected ? "" : cli_text(pool, "last_failure"));
    }
}

static void print_status(const json_t *json)
{
    const json_t *chain = json_object_get(json, "chain"), *hash = json_object_get(json, "hash");
    const json_t *store = json_object_get(json, "store"), *serve = json_object_get(json, "serve");
    const json_t *pay = json_object_get(json, "pay"), *wallet = json_object_get(json, "wallet");
    const json_t *job;
    size_t i;
    cli_print("reelrig %s, up %llu s, data in %s\n", cli_text(json, "version"),
              (unsigned long long)cli_number(json, "uptime_s"), cli_text(json, "data"));
    cli_print("wallet   %s  %s coins\n", cli_text(wallet, "address"), cli_text(wallet, "balance"));
    cli_print("chain    %s, height %llu, finalized %llu, reputation %.3f, best %.3f, %llu "
              "certificates in blocks\n",
              cli_text(chain, "network"), (unsigned long long)cli_number(chain, "height"),
              (unsigned long long)cli_number(chain, "finalized_height"),
              reputation(cli_number(chain, "reputation_q32")),
              reputation(cli_number(chain, "best_reputation_q32")),
              (unsigned long long)cli_number(chain, "certificates_mined"));
    cli_print("hash     %llu H/s (%s)\n", (unsigned long long)cli_number(hash, "hashes_per_s"),
              cli_text(hash, "device"));
    cli_gpu_print(json_object_get(hash, "devices"));
    if (cli_text(hash, "alarm")[0] != '\0') {
        cli_print("         %s\n", cli_text(hash, "alarm"));
    }
    print_mining(json_object_get(json, "stratum"), json_object_get(json, "mining_pool"));
    cli_print("store    %llu objects, %llu shards, %.1f MB; repaired %llu, to repair %llu\n",
              (unsigned long long)cli_number(store, "objects"),
              (unsigned long long)cli_number(store, "shards"),
              (double)cli_number(store, "bytes") / 1e6,
              (unsigned long long)cli_number(store, "shards_repaired"),
              (unsigned long long)cli_number(store, "repair_queue"));
    cli_print("serve    %s, %llu segments, %.1f MB in %llu requests\n", cli_text(serve, "url"),
              (unsigned long long)cli_number(serve, "segments"),
              (double)cli_number(serve, "bytes") / 1e6,
              (unsigned long long)cli_number(serve, "requests"));
    cli_print("pay      %llu units paid (%s coins), %llu settled (%s coins), %llu certificates\n",
              (unsigned long long)cli_number(pay, "paid_units"), cli_text(pay, "paid"),
              (unsigned long long)cli_number(pay, "settled_units"), cli_text(pay, "settled"),
              (unsigned long long)cli_number(pay, "certificates"));
    if (cli_number(pay, "withheld") > 0) {
        cli_print("         viewers that kept certificates back: %llu found, %llu not served now\n",
                  (unsigned long long)cli_number(pay, "withheld"),
                  (unsigned long long)cli_number(pay, "dropped_viewers"));
    }
    cli_print("jobs\n");
    json_array_foreach(json_object_get(json, "jobs"), i, job)
    {
        print_job_line(job);
    }
}

int cli_status(int argc, char **argv)
{
    struct show show = {0};
    if (!read_show(&show, argc, argv) || show.word_count != 0) {
        return cli_usage(argv[0]);
    }
    return ask(&show, "status", NULL, print_status);
}

static void print_jobs(const json_t *json)
{
    const json_t *job;
    size_t i;
    json_array_foreach(json_object_get(json, "jobs"), i, job)
    {
        print_job_line(job);
    }
}

static void print_job(const json_t *job)
{
    const json_t *rendition, *seconds = json_object_get(job, "seconds");
    size_t i;
    print_job_line(job);
    json_array_foreach(json_object_get(job, "renditions"), i, rendition)
    {
        cli_print("    %-8s GOP %llu of %llu, %.1f fps\n", cli_text(rendition, "name"),
                  (unsigned long long)cli_number(rendition, "gops_done"),
                  (unsigned long long)cli_number(rendition, "gops"), cli_real(rendition, "fps"));
    }
    cli_print("  frames in %llu, frames out %s, GOPs %llu, leaves %llu, shards %llu\n",
              (unsigned long long)cli_number(job, "frames_in"),
              json_is_true(json_object_get(job, "frames_out_ok")) ? "equal" : "not checked yet",
              (unsigned long long)cli_number(job, "gops"),
              (unsigned long long)cli_number(job, "leaves"),
              (unsigned long long)cli_number(job, "shards"));
    cli_print("  resource %s\n  contract %s\n  proof root %s\n", cli_text(job, "resource"),
              cli_text(job, "contract"), cli_text(job, "root"));
    cli_print("  seconds: transcode %.1f, prove %.1f, store %.1f\n", cli_real(seconds, "transcode"),
              cli_real(seconds, "prove"), cli_real(seconds, "store"));
}

static void print_cancelled(const json_t *job)
{
    cli_print("job %s ends; it was %s\n", cli_text(job, "job"), cli_text(job, "stage"));
}

int cli_job(int argc, char **argv)
{
    struct show show = {0};
    char path[128] = "jobs";
    if (!read_show(&show, argc, argv) || show.word_count < 1 || show.word_count > 2) {
        return cli_usage(argv[0]);
    }
    if (strcmp(show.words[0], "cancel") == 0 && show.word_count == 2) {
        snprintf(path, sizeof path, "jobs/%.100s/cancel", show.words[1]);
        return ask(&show, path, "{}", print_cancelled);
    }
    if (strcmp(show.words[0], "show") != 0) {
        return cli_usage(argv[0]);
    }
    if (show.word_count == 2) {
        snprintf(path, sizeof path, "jobs/%.100s", show.words[1]);
    }
    return ask(&show, path, NULL, show.word_count == 2 ? print_job : print_jobs);
}

static void print_chain(const json_t *json)
{
    const json_t *block;
    size_t i;
    cli_print("%s, height %llu, finalized %llu, state root %s, %llu transactions waiting\n",
              cli_text(json, "network"), (unsigned long long)cli_number(json, "height"),
              (unsigned long long)cli_number(json, "finalized_height"),
              cli_text(json, "state_root"), (unsigned long long)cli_number(json, "mempool"));
    json_array_foreach(json_object_get(json, "blocks"), i, block)
    {
        cli_print("  %6llu  %.16s  difficulty %llu  service %llu ms  reputation %.3f\n",
                  (unsigned long long)cli_number(block, "height"), cli_text(block, "hash"),
                  (unsigned long long)cli_number(block, "difficulty"),
                  (unsigned long long)cli_number(block, "service_ms"),
                  reputation(cli_number(block, "reputation_q32")));
    }
}

static void print_block(const json_t *json)
{
    const json_t *tx;
    size_t i;
    cli_print("block %llu  %s\n  parent %s\n  state root %s\n  difficulty %llu, service %llu ms, "
              "reputation %.3f\n",
              (unsigned long long)cli_number(json, "height"), cli_text(json, "hash"),
              cli_text(json, "parent"), cli_text(json, "state_root"),
              (unsigned long long)cli_number(json, "difficulty"),
              (unsigned long long)cli_number(json, "service_ms"),
              reputation(cli_number(json, "reputation_q32")));
    json_array_foreach(json_object_get(json, "transactions"), i, tx)
    {
        cli_print("  %-14s %s  from %s, fee %s\n", cli_text(tx, "type"), cli_text(tx, "id"),
                  cli_text(tx, "sender"), cli_text(tx, "fee"));
    }
}

static void print_verified(const json_t *json)
{
    cli_print("replayed %llu blocks into an empty ledger: the state root is the same, %s\n",
              (unsigned long long)cli_number(json, "height"), cli_text(json, "state_root"));
}

int cli_chain(int argc, char **argv)
{
    struct show show = {0};
    char path[128] = "chain";
    if (!read_show(&show, argc, argv) || show.word_count < 1 || show.word_count > 2) {
        return cli_usage(argv[0]);
    }
    if (strcmp(show.words[0], "verify") == 0 && show.word_count == 1) {
        return ask(&show, "chain/verify", "{}", print_verified);
    }
    if (strcmp(show.words[0], "show") != 0) {
        return cli_usage(argv[0]);
    }
    if (show.word_count == 2) {
        snprintf(path, sizeof path, "chain/%.100s", show.words[1]);
    }
    return ask(&show, path, NULL, show.word_count == 2 ? print_block : print_chain);
}

static void print_pool(const json_t *pool)
{
    cli_print(
        "  %.16s  deposit %s, left %s, collateral %s, settled here %s, ends at %llu, owner %s\n",
        cli_text(pool, "pool"), cli_text(pool, "deposit"), cli_text(pool, "deposit_left"),
        cli_text(pool, "collateral"), cli_text(pool, "settled_here"),
        (unsigned long long)cli_number(pool, "end_height"), cli_text(pool, "owner"));
}

static void print_pools(const json_t *json)
{
    const json_t *row;
    size_t i;
    cli_print(
        "%llu sessions; %llu units paid (%s coins), %llu settled (%s coins), %llu certificates\n",
        (unsigned long long)cli_number(json, "sessions"),
        (unsigned long long)cli_number(json, "paid_units"), cli_text(json, "paid"),
        (unsigned long long)cli_number(json, "settled_units"), cli_text(json, "settled"),
        (unsigned long long)cli_number(json, "certificates"));
    cli_print("pools on the ledger\n");
    json_array_foreach(json_object_get(json, "pools"), i, row)
    {
        print_pool(row);
    }
    cli_print("sales of this rig\n");
    json_array_foreach(json_object_get(json, "sales"), i, row)
    {
        cli_print("  %.16s  %llu units at %s, paid %s, settled %s\n", cli_text(row, "pool"),
                  (unsigned long long)cli_number(row, "units"), cli_text(row, "unit_price"),
                  cli_text(row, "paid"), cli_text(row, "settled"));
        if (json_is_true(json_object_get(row, "withholds"))) {
            cli_print(
                "                    its viewer keeps certificates back: %llu of %llu puzzles "
                "brought none%s\n",
                (unsigned long long)cli_number(row, "puzzles_missing"),
                (unsigned long long)cli_number(row, "puzzles"),
                json_is_true(json_object_get(row, "dropped")) ? "; it is not served" : "");
        }
    }
}

static void print_settled(const json_t *json)
{
    cli_print("%llu settlements submitted\n", (unsigned long long)cli_number(json, "submitted"));
    if (cli_number(json, "held_pools") > 0) {
        cli_print("%s coins of %llu pools held back: below the fee of a settlement\n",
                  cli_text(json, "held"), (unsigned long long)cli_number(json, "held_pools"));
    }
}

int cli_pool_release(int argc, char **argv);

int cli_pool(int argc, char **argv)
{
    struct show show = {0};
    char path[128] = "pools";
    if (argc >= 2 && strcmp(argv[1], "release") == 0) {
        return cli_pool_release(argc, argv);
    }
    if (!read_show(&show, argc, argv) || show.word_count < 1 || show.word_count > 2) {
        return cli_usage(argv[0]);
    }
    if (strcmp(show.words[0], "settle") == 0 && show.word_count == 1) {
        return ask(&show, "pay/settle", "{}", print_settled);
    }
    if (strcmp(show.words[0], "show") != 0) {
        return cli_usage(argv[0]);
    }
    if (show.word_count == 2) {
        snprintf(path, sizeof path, "pools/%.100s", show.words[1]);
    }
    return ask(&show, path, NULL, show.word_count == 2 ? print_pool : print_pools);
}

static void print_store(const json_t *json)
{
    cli_print("%llu objects in %llu shards, %.1f MB; missing %llu, damaged %llu, repaired %llu, to "
              "repair %llu; "
              "%.1f GB free\n",
              (unsigned long long)cli_number(json, "objects"),
              (unsigned long long)cli_number(json, "shards"),
              (double)cli_number(json, "bytes") / 1e6,
              (unsigned long long)cli_number(json, "shards_missing"),
              (unsigned long long)cli_number(json, "shards_damaged"),
              (unsigned long long)cli_number(json, "shards_repaired"),
              (unsigned long long)cli_number(json, "repair_queue"),
              (double)cli_number(json, "free_bytes") / 1e9);
}

static void print_objects(const json_t *json)
{
    const json_t *row;
    size_t i;
    json_array_foreach(json_object_get(json, "objects"), i, row)
    {
        cli_print("  %s  %10llu bytes  %llu+%llu%s\n", cli_text(row, "object"),
                  (unsigned long long)cli_number(row, "bytes"),
                  (unsigned long long)cli_number(row, "k"),
                  (unsigned long long)cli_number(row, "m"),
                  json_is_true(json_object_get(row, "original")) ? "  original" : "");
    }
}

static void print_scrub(const json_t *json)
{
    cli_print("every shard read; %llu were bad and have been repaired\n",
              (unsigned long long)cli_number(json, "bad_shards"));
}

int cli_store(int argc, char **argv)
{
    struct show show = {0};
    char path[128];
    if (!read_show(&show, argc, argv) || show.word_count < 1) {
        return cli_usage(argv[0]);
    }
    if (strcmp(show.words[0], "show") == 0 && show.word_count == 1) {
        return ask(&show, "store", NULL, print_store);
    }
    if (strcmp(show.words[0], "scrub") == 0 && show.word_count == 1) {
        return ask(&show, "store/scrub", "{}", print_scrub);
    }
    if (strcmp(show.words[0], "objects") == 0 && show.word_count == 2) {
        snprintf(path, sizeof path, "store/objects?resource=%.64s", show.words[1]);
        return ask(&show, path, NULL, print_objects);
    }
    return cli_usage(argv[0]);
}

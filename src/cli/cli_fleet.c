/* SPDX-License-Identifier: GPL-2.0-or-later */
/* reelrig fleet: the rigs of a rack, and being one of them. */
#include "cli/cli_fleet.h"
#include "cli/cli.h"
#include "crypto/crypto.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define JSON_MAX     (1u << 20)
#define ENCODERS_FED 5 /* by one source worker */
#define SHARDS_MAX   64

static atomic_bool stop;

static void on_signal(int signum)
{
    (void)signum;
    atomic_store(&stop, true);
}

/* ---- a job on many rigs ---- */

/* A device that the user names; NULL, auto and cpu name none. */
static bool named(const char *device)
{
    return device != NULL && strcmp(device, "auto") != 0 && strcmp(device, "cpu") != 0;
}

/* One source worker decodes and scales for all encoders, which is about a sixth of a ladder's work
 * (source_s of bench transcode, over its floor): it feeds five. With more, parts of the source are
 * made side by side. In class exact only a device that is named decodes, and feeds more. */
unsigned cli_fleet_sources(const struct rr_transcode_options *job)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    unsigned encoders = job->workers != 0 ? job->workers : cores > 0 ? (unsigned)cores : 1;
    if (encoders < 2 * ENCODERS_FED || job->class != RR_TRANSCODE_EXACT || named(job->device)) {
        return 1;
    }
    return (encoders + ENCODERS_FED / 2) / ENCODERS_FED;
}

enum rr_err cli_fleet_check(const struct cli_fleet_words *words,
                            const struct rr_transcode_options *job, struct rr_fault *fault)
{
    uint64_t shards = 1;
    if (words->nats != NULL && words->shards != NULL) {
        return rr_fail(fault, RR_ERR_USAGE,
                       "--nats gives the job to the rigs of a rack, --shards makes it here; leave "
                       "out one of the two");
    }
    if (words->shards != NULL &&
        (!cli_read_number(words->shards, SHARDS_MAX, &shards) || shards < 1)) {
        return rr_fail(fault, RR_ERR_USAGE, "--shards %.20s: 1 to 64 are possible", words->shards);
    }
    if ((words->nats != NULL || words->shards != NULL) && named(job->device)) {
        return rr_fail(fault, RR_ERR_USAGE,
                       "--device %.63s with %s: shards are made by processors alone; leave out one "
                       "of the two",
                       job->device, words->nats != NULL ? "--nats" : "--shards");
    }
    return RR_OK;
}

enum rr_err cli_fleet_open(struct cli_fleet *fleet, const struct cli_fleet_words *words,
                           const char *title, struct rr_transcode_options *job,
                           struct rr_fault *fault)
{
    struct rr_dispatch_nats_options options = {
        .urls = words->nats, .auth_file = words->auth, .ca_file = words->ca};
    const char *slash = title != NULL ? strrchr(title, '/') : NULL;
    enum rr_err err = RR_OK;
    if (words->nats != NULL) {
        err = rr_dispatch_nats_open(&fleet->nats, &options, fault);
        fleet->run.queue =
            err == RR_OK ? rr_dispatch_nats_queue(fleet->nats) : (struct rr_dispatch_queue){0};
    } else {
        uint64_t shards = 0;
        if (words->shards == NULL) {
            shards = cli_fleet_sources(job);
        } else {
            RR_CHECK(cli_read_number(words->shards, SHARDS_MAX, &shards));
        }
        if (words->shards == NULL && shards < 2) {
            return RR_OK;
        }
        fleet->local = rr_dispatch_local_new((unsigned)(shards < SHARDS_MAX ? shards : SHARDS_MAX));
        fleet->run.queue = rr_dispatch_local_queue(fleet->local);
        fleet->run.own = true;
    }
    if (err == RR_OK) {
        fleet->run.title = slash != NULL ? slash + 1 : title;
        fleet->run.checks_per_mille = 10;
        job->maker = rr_dispatch_make;
        job->maker_ctx = &fleet->run;
    }
    return err;
}

void cli_fleet_close(struct cli_fleet *fleet)
{
    rr_dispatch_local_free(fleet->local);
    rr_dispatch_nats_close(fleet->nats);
}

/* ---- fleet worker ---- */

/* This host and, for a second worker on it, its folder. */
static void name_of(char out[static RR_DISPATCH_NAME_MAX + 1], const char *folder)
{
    char host[40] = "";
    struct rr_hash32 digest;
    char tail[9];
    (void)gethostname(host, sizeof host - 1);
    for (char *p = host; *p != '\0'; p++) {
        bool good =
            (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') || (*p >= '0' && *p <= '9');
        *p = good ? *p : '-';
    }
    rr_hash(&digest, "rr.rigname.v1", rr_slice_str(folder));
    rr_hex(tail, digest.bytes, 2);
    snprintf(out, RR_DISPATCH_NAME_MAX + 1, "%s-%s", host[0] != '\0' ? host : "rig", tail);
}

static bool number_of(const char *text, unsigned long max, unsigned long *out)
{
    char *end = NULL;
    *out = strtoul(text, &end, 10);
    return text[0] >= '0' && text[0] <= '9' && *end == '\0' && *out <= max;
}

static int worker(int argc, char **argv)
{
    const char *nats = getenv("RR_NATS"), *auth = getenv("RR_NATS_AUTH");
    const char *ca = getenv("RR_NATS_CA"), *name = NULL, *folder = NULL, *extra = NULL;
    const char *cache = "64", *slots = "0", *workers = "0";
    char own[RR_DISPATCH_NAME_MAX + 1];
    size_t count;
    const struct cli_option options[] = {{"nats", &nats, NULL},    {"nats-auth", &auth, NULL},
                                         {"nats-ca", &ca, NULL},   {"name", &name, NULL},
                                         {"cache", &folder, NULL}, {"cache-gib", &cache, NULL},
                                         {"slots", &slots, NULL},  {"workers", &workers, NULL}};
    unsigned long cache_gib, slot_count, worker_count;
    if (!cli_options(argc, argv, options, RR_COUNT(options), &extra, 1, &count) || count != 0 ||
        nats == NULL || folder == NULL || !number_of(cache, 1u << 20, &cache_gib) ||
        cache_gib == 0 || !number_of(slots, 64, &slot_count) ||
        !number_of(workers, 256, &worker_count) || (name != NULL && !rr_dispatch_name_good(name))) {
        return cli_usage("fleet");
    }
    name_of(own, folder);
    struct rr_fault fault = {0};
    struct rr_dispatch_nats *connection = NULL;
    struct rr_dispatch_nats_options server = {.urls = nats, .auth_file = auth, .ca_file = ca};
    struct rr_dispatch_rig_options rig = {.name = name != NULL ? name : own,
                                          .folder = folder,
                                          .cache_bytes = (uint64_t)cache_gib << 30,
                                          .slots = (unsigned)slot_count,
                                          .workers = (unsigned)worker_count,
                                          .stop = &stop};
    struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    enum rr_err err = rr_dispatch_nats_open(&connection, &server, &fault);
    if (err == RR_OK) {
        rr_log(RR_LOG_INFO, "fleet", "%s takes work from %s", rig.name, nats);
        err = rr_dispatch_rig_run(connection, &rig, &fault);
    }
    rr_dispatch_nats_close(connection);
    return err == RR_OK ? 0 : cli_fail(err, &fault, false);
}

/* ---- fleet ---- */

static void print_fleet(const json_t *fleet)
{
    const json_t *row;
    size_t i;
    cli_print("%-24s %-9s %5s %5s %5s %6s %6s\n", "RIG", "VERSION", "CORES", "SLOTS", "BUSY",
              "DONE", "FAILED");
    json_array_foreach(json_object_get(fleet, "rigs"), i, row)
    {
        cli_print("%-24s %-9s %5llu %5llu %5llu %6llu %6llu\n", cli_text(row, "name"),
                  cli_text(row, "version"), (unsigned long long)cli_number(row, "cores"),
                  (unsigned long long)cli_number(row, "slots"),
                  (unsigned long long)cli_number(row, "busy"),
                  (unsigned long long)cli_number(row, "done"),
                  (unsigned long long)cli_number(row, "failed"));
    }
    if (json_array_size(json_object_get(fleet, "jobs")) == 0) {
        return;
    }
    cli_print("\n%-14s %-32s %11s %7s %s\n", "JOB", "TITLE", "SHARDS", "DONE", "STATE");
    json_array_foreach(json_object_get(fleet, "jobs"), i, row)
    {
        bool lost =
            strcmp(cli_text(row, "state"), "running") == 0 && cli_real(row, "seconds_ago") > 10;
        cli_print("%-14.12s %-32.32s %5llu/%-5llu %5.1f %% %s\n", cli_text(row, "job"),
                  cli_text(row, "title"), (unsigned long long)cli_number(row, "done"),
                  (unsigned long long)cli_number(row, "shards"), cli_real(row, "percent"),
                  lost ? "its coordinator is silent; give the same command again"
                       : cli_text(row, "state"));
    }
}

int cli_fleet(int argc, char **argv)
{
    const char *nats = getenv("RR_NATS"), *auth = getenv("RR_NATS_AUTH");
    const char *ca = getenv("RR_NATS_CA"), *extra = NULL;
    bool json = false;
    size_t count;
    const struct cli_option options[] = {{"nats", &nats, NULL},
                                         {"nats-auth", &auth, NULL},
                                         {"nats-ca", &ca, NULL},
                                         {"json", NULL, &json}};
    if (argc > 1 && strcmp(argv[1], "worker") == 0) {
        return worker(argc - 1, argv + 1);
    }
    if (!cli_options(argc, argv, options, RR_COUNT(options), &extra, 1, &count) || count != 0 ||
        nats == NULL) {
        return cli_usage(argv[0]);
    }
    struct rr_fault fault = {0};
    struct rr_buf text = {0};
    struct rr_dispatch_nats *connection = NULL;
    struct rr_dispatch_nats_options server = {.urls = nats, .auth_file = auth, .ca_file = ca};
    json_t *fleet = NULL;
    enum rr_err err = rr_dispatch_nats_open(&connection, &server, &fault);
    err = err != RR_OK ? err : rr_dispatch_nats_fleet(connection, &text, &fault);
    rr_dispatch_nats_close(connection);
    if (err == RR_OK && text.len < JSON_MAX) {
        fleet = json_loadb((const char *)text.ptr, text.len, 0, NULL);
    }
    if (err == RR_OK && fleet == NULL) {
        err = rr_fail(&fault, RR_ERR_FORMAT, "the registries hold what is no JSON");
    }
    rr_buf_clear(&text);
    if (err != RR_OK) {
        return cli_fail(err, &fault, json);
    }
    if (json) {
        cli_print_json(fleet);
    } else {
        print_fleet(fleet);
    }
    json_decref(fleet);
    return 0;
}

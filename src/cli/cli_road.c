/* SPDX-License-Identifier: GPL-2.0-or-later */
/* reelrig road: the main job from end to end, on a rig of its own, with the parts that every user
 * has: reelrigd, publish, watch. Two shards of every tenth segment are spoiled before serving, so
 * that repair is part of the road. */
#include "cli/cli.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define START_WAIT_MS  20000
#define CHAIN_WAIT_MS  180000
#define REPAIR_WAIT_MS 30000
#define POLL_MS        200
#define VIEWER_COINS   "2"
/* An advertiser's, so to say: each segment carries a puzzle of some thousand hashes. */
#define PUZZLE_CONTRACT   "00000000000000000000000000000000000000000000000000000000000000ad"
#define PUZZLE_PRIZE      "0.01"
#define PUZZLE_DIFFICULTY "2000"
#define POOL_BLOCKS       "14"
#define SPOIL_EVERY       10

extern char **environ;

struct road {
    const char *data, *web, *video;
    bool once;
    char self_folder[RR_PATH_BYTES];
    char wallet[RR_PATH_BYTES], watched[RR_PATH_BYTES];
    pid_t rigd;
    struct cli_rig rig;
    json_t *job, *watch;
    char resource_url[512];
    uint64_t started_us;
    double serve_s;
};

static volatile sig_atomic_t interrupted;

static void on_signal(int signum)
{
    (void)signum;
    interrupted = 1;
}

static double seconds_since(uint64_t from_us)
{
    return (double)(rr_monotonic_us(rr_clock_system()) - from_us) / 1e6;
}

static void say(const struct road *road, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static void say(const struct road *road, const char *format, ...)
{
    char line[512];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    fprintf(stderr, "[%6.1f s] %s\n", seconds_since(road->started_us), line);
}

static void pause_ms(unsigned ms)
{
    nanosleep(&(struct timespec){.tv_nsec = (long)ms * 1000000L}, NULL);
}

/* ---- the rig --------------------------------------------------------------------------------- */

static enum rr_err find_programs(struct road *road, struct rr_fault *fault)
{
    ssize_t n = readlink("/proc/self/exe", road->self_folder, sizeof road->self_folder - 1);
    if (n < 0) {
        return rr_fail_errno(fault, "cannot find the programs");
    }
    road->self_folder[n] = '\0';
    *strrchr(road->self_folder, '/') = '\0';
    return RR_OK;
}

static enum rr_err spawn(pid_t *pid, const char *program, const char *const argv[], int out_fd,
                         struct rr_fault *fault)
{
    posix_spawn_file_actions_t actions;
    union {
        const char *const *in;
        char *const *out;
    } arguments = {.in = argv}; /* posix_spawn does not write to them */
    posix_spawn_file_actions_init(&actions);
    if (out_fd >= 0) {
        posix_spawn_file_actions_adddup2(&actions, out_fd, STDOUT_FILENO);
    }
    int rc = posix_spawn(pid, program, &actions, NULL, arguments.out, environ);
    posix_spawn_file_actions_destroy(&actions);
    if (rc != 0) {
        errno = rc;
        return rr_fail_errno(fault, "cannot start %s", program);
    }
    return RR_OK;
}

static enum rr_err start_rig(struct road *road, struct rr_fault *fault)
{
    char program[RR_PATH_BYTES], control[RR_PATH_BYTES];
    const char *argv[] = {"reelrigd", "--data", road->data, road->web != NULL ? "--web" : NULL,
                          road->web,  NULL};
    enum rr_err err = rr_make_folders(road->data, fault);
    if (err != RR_OK ||
        (err = rr_path(program, fault, "%s/reelrigd", road->self_folder)) != RR_OK ||
        (err = rr_path(control, fault, "%s/control.json", road->data)) != RR_OK) {
        return err;
    }
    /* A rig that runs there already holds the folder's lock: ours says so and ends. */
    if ((err = spawn(&road->rigd, program, argv, -1, fault)) != RR_OK) {
        return err;
    }
    for (unsigned waited = 0; waited < START_WAIT_MS; waited += POLL_MS) {
        int status;
        if (waitpid(road->rigd, &status, WNOHANG) == road->rigd) {
            road->rigd = 0;
            return rr_fail(fault, RR_ERR_STATE,
                           "reelrigd did not start; its last line above says why");
        }
        struct rr_fault ignored;
        if (cli_rig_open(&road->rig, road->data, &ignored) == RR_OK) {
            if (road->rig.pid == (long)road->rigd) {
                return RR_OK;
            }
            cli_rig_close(&road->rig);
        }
        pause_ms(POLL_MS);
    }
    return rr_fail(fault, RR_ERR_TIMEOUT, "reelrigd is not ready after %d s", START_WAIT_MS / 1000);
}

static void stop_rig(struct road *road)
{
    if (road->rigd > 0) {
        kill(road->rigd, SIGTERM);
        waitpid(road->rigd, NULL, 0);
        road->rigd = 0;
    }
}

/* Polls a path of the API until `enough` says so. *out: the last answer, new reference. */
static enum rr_err wait_for(struct road *road, json_t **out, const char *path, unsigned timeout_ms,
                            bool (*enough)(const json_t *answer), const char *what,
                            struct rr_fault *fault)
{
    for (unsigned waited = 0;; waited += POLL_MS) {
        json_t *answer = NULL;
        enum rr_err err = cli_rig_call(&road->rig, &answer, path, NULL, fault);
        if (err != RR_OK || enough(answer)) {
            *out = answer;
            return err;
        }
        json_decref(answer);
        if (interrupted) {
            return rr_fail(fault, RR_ERR_CANCELLED, "stopped while waiting for %s", what);
        }
        if (waited >= timeout_ms) {
            return rr_fail(fault, RR_ERR_TIMEOUT, "%s did not happen within %u s", what,
                           timeout_ms / 1000);
        }
        pause_ms(POLL_MS);
    }
}

/* ---- spoiled shards -------------------------------------------------------------------------- */

static enum rr_err flip_byte(const char *path, struct rr_fault *fault)
{
    struct stat st;
    uint8_t byte;
    int fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) != 0) {
        if (fd >= 0) {
            close(fd);
        }
        return rr_fail_errno(fault, "cannot spoil %s", path);
    }
    uint64_t at = (uint64_t)st.st_size / 3;
    enum rr_err err = rr_pread_full(fd, &byte, 1, at, fault);
    byte ^= 0x40;
    if (err == RR_OK) {
        err = rr_pwrite_full(fd, &byte, 1, at, fault);
    }
    close(fd);
    return err;
}

/* One shard deleted, one with a flipped bit, of every tenth object behind the original. */
static enum rr_err spoil_shards(struct road *road, struct rr_fault *fault)
{
    char path[128];
    json_t *json = NULL;
    const json_t *row;
    size_t i, seen = 0, spoiled = 0;
    snprintf(path, sizeof path, "store/objects?resource=%.64s", cli_text(road->job, "resource"));
    enum rr_err err = cli_rig_call(&road->rig, &json, path, NULL, fault);
    if (err != RR_OK) {
        return err;
    }
    json_array_foreach(json_object_get(json, "objects"), i, row)
    {
        const json_t *shards = json_object_get(row, "shards");
        if (json_is_true(json_object_get(row, "original")) || seen++ % SPOIL_EVERY != 0) {
            continue;
        }
        if (unlink(json_string_value(json_array_get(shards, seen % 4))) != 0) {
            err = rr_fail_errno(fault, "cannot spoil a shard");
        } else {
            err = flip_byte(json_string_value(json_array_get(shards, (seen + 1) % 4)), fault);
        }
        if (err != RR_OK) {
            break;
        }
        spoiled += 2;
    }
    json_decref(json);
    say(road, "spoiled %zu shards on purpose", spoiled);
    return err;
}

/* ---- the viewer ------------------------------------------------------------------------------ */

static enum rr_err run_program(struct road *road, json_t **out, const char *const argv[],
                               struct rr_fault *fault)
{
    char program[RR_PATH_BYTES];
    struct rr_buf text = {0};
    int pipe_fds[2], status = 0;
    pid_t pid;
    enum rr_err err = rr_path(program, fault, "%s/reelrig", road->self_folder);
    if (err != RR_OK) {
        return err;
    }
    if (pipe2(pipe_fds, O_CLOEXEC) != 0) {
        return rr_fail_errno(fault, "cannot make a pipe");
    }
    err = spawn(&pid, program, argv, pipe_fds[1], fault);
    close(pipe_fds[1]);
    if (err == RR_OK) {
        char piece[4096];
        ssize_t n;
        while ((n = read(pipe_fds[0], piece, sizeof piece)) > 0) {
            rr_buf_append(&text, piece, (size_t)n);
        }
        waitpid(pid, &status, 0);
        *out = json_loadb((const char *)text.ptr, text.len, JSON_DISABLE_EOF_CHECK, NULL);
        if (!WIFEXITED(status) || WEXITSTATUS(status) != 0 || *out == NULL) {
            err = rr_fail(fault, RR_ERR_STATE, "reelrig %s failed: %s", argv[1],
                          cli_text(*out, "message"));
            json_decref(*out);
        }
    }
    close(pipe_fds[0]);
    rr_buf_clear(&text);
    return err;
}

static bool viewer_funded(const json_t *answer)
{
    return strtod(cli_text(answer, "balance"), NULL) >= 3.0;
}

static enum rr_err fund_viewer(struct road *road, struct rr_fault *fault)
{
    const char *show[] = {"reelrig", "wallet",        "show",   "--wallet", road->wallet,
                          "--url",   road->rig.serve, "--json", NULL};
    json_t *wallet = NULL, *answer = NULL;
    char body[256];
    enum rr_err err = wait_for(road, &answer, "wallet", CHAIN_WAIT_MS, viewer_funded,
                               "mining the viewer's coins", fault);
    json_decref(answer);
    if (err != RR_OK || (err = run_program(road, &wallet, show, fault)) != RR_OK) {
        return err;
    }
    snprintf(body, sizeof body, "{\"to\": \"%.100s\", \"amount\": \"" VIEWER_COINS "\"}",
             cli_text(wallet, "address"));
    json_t *sent = NULL;
    if (strtod(cli_text(wallet, "balance"), NULL) < strtod(VIEWER_COINS, NULL) &&
        (err = cli_rig_call(&road->rig, &sent, "wallet/send", body, fault)) == RR_OK) {
        for (unsigned waited = 0; waited < CHAIN_WAIT_MS && err == RR_OK; waited += 1000) {
            json_decref(wallet);
            wallet = NULL;
            err = run_program(road, &wallet, show, fault);
            if (err != RR_OK ||
                strtod(cli_text(wallet, "balance"), NULL) >= strtod(VIEWER_COINS, NULL)) {
                break;
            }
            pause_ms(500);
        }
    }
    json_decref(sent);
    json_decref(wallet);
    return err;
}

static enum rr_err watch(struct road *road, struct rr_fault *fault)
{
    const json_t *first = json_array_get(json_object_get(road->job, "renditions"), 0);
    const char *argv[] = {
        "reelrig",   "watch",       road->resource_url, "--rendition", cli_text(first, "name"),
        "-o",        road->watched, "--wallet",         road->wallet,  "--pool-blocks",
        POOL_BLOCKS, "--puzzles",   "--json",           NULL};
    if (argv[4][0] == '\0') {
        argv[3] =
            "--json"; /* after a restart the progress is gone: the first rendition is the default */
        argv[4] = "--json";
    }
    unlink(road->watched);
    uint64_t from_us = rr_monotonic_us(rr_clock_system());
    enum rr_err err = run_program(road, &road->watch, argv, fault);
    road->serve_s = seconds_since(from_us);
    if (err == RR_OK) {
        const json_t *puzzles = json_object_get(road->watch, "puzzles");
        say(road,
            "watched %s: %llu segments, %llu units paid, %llu certificates, %llu of %llu puzzles "
            "solved",
            cli_text(road->watch, "rendition"),
            (unsigned long long)cli_number(road->watch, "segments"),
            (unsigned long long)cli_number(road->watch, "paid_units"),
            (unsigned long long)cli_number(road->watch, "certificates"),
            (unsigned long long)cli_number(puzzles, "solved"),
            (unsigned long long)cli_number(puzzles, "seen"));
    }
    return err;
}

/* ---- settlement ------------------------------------------------------------------------------ */

static bool settled(const json_t *answer)
{
    return cli_number(answer, "paid_units") > 0 &&
           cli_number(answer, "settled_units") == cli_number(answer, "paid_units");
}

static bool certified(const json_t *answer)
{
    return cli_number(answer, "certificates_mined") > 0;
}

static bool repaired(const json_t *answer)
{
    return cli_number(answer, "shards_repaired") > 0 && cli_number(answer, "repair_queue") == 0;
}

static enum rr_err settle_and_release(struct road *road, struct rr_fault *fault)
{
    const char *pool = cli_text(road->watch, "pool");
    const char *release[] = {"reelrig",  "pool",       "release", pool,
                             "--wallet", road->wallet, "--url",   road->rig.serve,
                             "--wait",   "--json",     NULL};
    json_t *answer = NULL;
    enum rr_err err;
    if (cli_number(road->watch, "paid_units") > 0) {
        err = wait_for(road, &answer, "pools", CHAIN_WAIT_MS, settled,
                       "settlement of what was paid", fault);
        json_decref(answer);
        if (err != RR_OK) {
            return err;
        }
        say(road, "settled on the ledger");
    }
    if (cli_number(road->watch, "certificates") > 0) {
        err = wait_for(road, &answer, "chain?count=0", CHAIN_WAIT_MS, certified,
                       "a block with certificates", fault);
        if (err == RR_OK) {
            say(road, "a block carries the certificates, reputation %.4f",
                (double)cli_number(answer, "best_reputation_q32") / 4294967296.0);
        }
        json_decref(answer);
        if (err != RR_OK) {
            return err;
        }
    }
    /* Serving has found what it read; the scrub finds the rest. */
    json_t *scrubbed = NULL;
    if ((err = cli_rig_call(&road->rig, &scrubbed, "store/scrub", "{}", fault)) != RR_OK) {
        return err;
    }
    json_decref(scrubbed);
    err = wait_for(road, &answer, "store", REPAIR_WAIT_MS, repaired, "repair of the spoiled shards",
                   fault);
    if (err == RR_OK) {
        say(road, "%llu spoiled shards found and rebuilt",
            (unsigned long long)cli_number(answer, "shards_repaired"));
    }
    json_decref(answer);
    if (err == RR_OK && pool[0] != '\0') {
        json_t *released = NULL;
        err = run_program(road, &released, release, fault);
        json_decref(released);
        if (err == RR_OK) {
            say(road, "the pool is released, the rest is back with the viewer");
        }
    }
    return err;
}

/* ---- the whole ------------------------------------------------------------------------------- */

static enum rr_err walk(struct road *road, struct rr_fault *fault)
{
    say(road, "rig %s, control %s", road->rig.serve, road->rig.control);
    const struct cli_publish_words words = {.puzzle = PUZZLE_CONTRACT,
                                            .puzzle_prize = PUZZLE_PRIZE,
                                            .puzzle_difficulty = PUZZLE_DIFFICULTY};
    enum rr_err err = cli_publish_follow(&road->rig, &road->job, road->video, &words, fault);
    if (err != RR_OK) {
        return err;
    }
    snprintf(road->resource_url, sizeof road->resource_url, "%s/v1/resources/%s", road->rig.serve,
             cli_text(road->job, "resource"));
    say(road, "published: %llu frames, %llu GOPs, %llu proofs checked, %llu failed, %llu shards",
        (unsigned long long)cli_number(road->job, "frames_in"),
        (unsigned long long)cli_number(road->job, "gops"),
        (unsigned long long)cli_number(road->job, "proofs_checked"),
        (unsigned long long)cli_number(road->job, "proofs_failed"),
        (unsigned long long)cli_number(road->job, "shards"));
    if ((err = spoil_shards(road, fault)) != RR_OK || (err = fund_viewer(road, fault)) != RR_OK ||
        (err = watch(road, fault)) != RR_OK) {
        return err;
    }
    return settle_and_release(road, fault);
}

static json_t *summary(struct road *road, struct rr_fault *fault)
{
    json_t *status = NULL;
    if (cli_rig_call(&road->rig, &status, "status", NULL, fault) != RR_OK) {
        return NULL;
    }
    const json_t *chain = json_object_get(status, "chain"),
                 *store = json_object_get(status, "store");
    const json_t *serve = json_object_get(status, "serve"), *pay = json_object_get(status, "pay");
    const json_t *seconds = json_object_get(road->job, "seconds");
    const json_t *puzzles = json_object_get(road->watch, "puzzles");
    json_t *out = json_pack(
        "{s:I, s:I, s:I, s:b, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, "
        "s:s}",
        "frames_in", (json_int_t)cli_number(road->job, "frames_in"), "renditions",
        (json_int_t)json_array_size(json_object_get(road->job, "renditions")), "gops",
        (json_int_t)cli_number(road->job, "gops"), "frames_out_ok",
        (int)json_is_true(json_object_get(road->job, "frames_out_ok")), "proofs_checked",
        (json_int_t)cli_number(road->job, "proofs_checked"), "proofs_failed",
        (json_int_t)cli_number(road->job, "proofs_failed"), "shards",
        (json_int_t)cli_number(store, "shards"), "shards_repaired",
        (json_int_t)cli_number(store, "shards_repaired"), "served_bytes",
        (json_int_t)cli_number(serve, "bytes"), "segments_served",
        (json_int_t)cli_number(serve, "segments"), "paid_units",
        (json_int_t)cli_number(pay, "paid_units"), "settled_units",
        (json_int_t)cli_number(pay, "settled_units"), "certificates",
        (json_int_t)cli_number(chain, "certificates_mined"), "reputation_q32",
        (json_int_t)cli_number(chain, "best_reputation_q32"), "puzzles",
        (json_int_t)cli_number(puzzles, "seen"), "puzzle_claims",
        (json_int_t)cli_number(puzzles, "accepted"), "height",
        (json_int_t)cli_number(chain, "height"), "state_root", cli_text(chain, "state_root"));
    json_object_set_new(
        out, "seconds",
        json_pack("{s:f, s:f, s:f, s:f, s:f}", "transcode", cli_real(seconds, "transcode"), "prove",
                  cli_real(seconds, "prove"), "store", cli_real(seconds, "store"), "serve",
                  road->serve_s, "total", seconds_since(road->started_us)));
    json_decref(status);
    return out;
}

static enum rr_err run(struct road *road, struct rr_fault *fault)
{
    struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    enum rr_err err = find_programs(road, fault);
    if (err != RR_OK || (err = rr_path(road->wallet, fault, "%s/viewer", road->data)) != RR_OK ||
        (err = rr_path(road->watched, fault, "%s/watched.mp4", road->data)) != RR_OK ||
        (err = start_rig(road, fault)) != RR_OK || (err = walk(road, fault)) != RR_OK) {
        return err;
    }
    json_t *out = summary(road, fault);
    if (out == NULL) {
        return fault->code;
    }
    if (!road->once) {
        say(road, "the rig goes on. Page: %s/#token=%s", road->rig.control, road->rig.token);
        say(road,
            "HLS: %s/hls/master.m3u8 (paid; the page plays it as the owner). Stop with Ctrl-C.",
            road->resource_url);
    }
    cli_print_json(out);
    json_decref(out);
    while (!road->once && !interrupted && waitpid(road->rigd, NULL, WNOHANG) == 0) {
        pause_ms(POLL_MS);
    }
    return RR_OK;
}

int cli_road(int argc, char **argv)
{
    struct road road = {.data = "run", .started_us = rr_monotonic_us(rr_clock_system())};
    size_t count;
    struct rr_fault fault = {0};
    const struct cli_option options[] = {
        {"data", &road.data, NULL}, {"web", &road.web, NULL}, {"once", NULL, &road.once}};
    if (!cli_options(argc, argv, options, RR_COUNT(options), &road.video, 1, &count) ||
        count != 1) {
        return cli_usage(argv[0]);
    }
    struct stat st;
    enum rr_err err = stat(road.video, &st) == 0
                          ? RR_OK
                          : rr_fail_errno(&fault, "cannot read the video %s", road.video);
    if (err == RR_OK) {
        err = run(&road, &fault);
    }
    stop_rig(&road);
    cli_rig_close(&road.rig);
    json_decref(road.job);
    json_decref(road.watch);
    return err == RR_OK ? 0 : cli_fail(err, &fault, false);
}

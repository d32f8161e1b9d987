/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cli/cli.h"
#include "transcode/transcode.h"

#include <curl/curl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#define POLL_MS         200
#define CHAIN_BYTES_MAX 8192 /* it travels in the address */
#define WAIT_TOLD_MS    5000

static void append_argument(struct rr_buf *path, const char *name, const char *value)
{
    if (value != NULL) {
        char *escaped = curl_easy_escape(NULL, value, 0);
        RR_CHECK(escaped != NULL);
        rr_buf_format(path, "%s%s=%s", memchr(path->ptr, '?', path->len) != NULL ? "&" : "?", name,
                      escaped);
        curl_free(escaped);
    }
}

/* A ladder file is read here: the rig may be another machine. */
static enum rr_err append_ladder(struct rr_buf *path, const char *words, struct rr_fault *fault)
{
    struct rr_ladder ladder;
    struct rr_buf text = {0};
    enum rr_err err = words != NULL ? rr_ladder_read(&ladder, words, fault) : RR_OK;
    if (words != NULL && err == RR_OK) {
        rr_ladder_text(&text, &ladder);
        rr_write_u8(&text, 0);
        append_argument(path, "ladder", (const char *)text.ptr);
        rr_buf_clear(&text);
    }
    return err;
}

static const char *file_title(const char *file)
{
    const char *slash = strrchr(file, '/');
    return slash != NULL ? slash + 1 : file;
}

static enum rr_err start(struct cli_rig *rig, char job[static 33], const char *file,
                         const struct cli_publish_words *words, struct rr_fault *fault)
{
    struct rr_buf path = {0};
    json_t *json = NULL;
    struct stat st;
    if (stat(file, &st) != 0) {
        return rr_fail_errno(fault, "cannot read %s", file);
    }
    if (!S_ISREG(st.st_mode)) {
        return rr_fail(fault, RR_ERR_USAGE, "%s is not a file; a video file was expected", file);
    }
    if (st.st_size == 0) {
        return rr_fail(fault, RR_ERR_FORMAT, "%s is empty (0 bytes); a video file was expected",
                       file);
    }
    rr_buf_format(&path, "publish");
    char short_title[1024]; /* the rig keeps as many whole characters as a manifest holds */
    snprintf(short_title, sizeof short_title, "%s",
             words->title != NULL ? words->title : file_title(file));
    append_argument(&path, "title", short_title);
    enum rr_err err = append_ladder(&path, words->ladder, fault);
    append_argument(&path, "kbps", words->kbps);
    append_argument(&path, "max_kbps", words->max_kbps);
    append_argument(&path, "tone_map", words->tone_map ? "1" : NULL);
    append_argument(&path, "price", words->price);
    append_argument(&path, "chain", words->chain);
    append_argument(&path, "journal", words->journal);
    append_argument(&path, "puzzle", words->puzzle);
    append_argument(&path, "puzzle_kind", words->puzzle_kind);
    append_argument(&path, "puzzle_prize", words->puzzle_prize);
    append_argument(&path, "puzzle_difficulty", words->puzzle_difficulty);
    append_argument(&path, "puzzle_rise", words->puzzle_rise);
    append_argument(&path, "puzzles_per_segment", words->puzzles_per_segment);
    rr_write_u8(&path, 0);
    err = err != RR_OK ? err : cli_rig_upload(rig, &json, (const char *)path.ptr, file, fault);
    if (err == RR_OK) {
        snprintf(job, 33, "%s", cli_text(json, "job"));
    }
    json_decref(json);
    rr_buf_clear(&path);
    return err;
}

static void show(const json_t *job)
{
    cli_progress("%-10s %5.1f %%  %.1f fps, %.0f s to go; proofs %llu, failed %llu",
                 cli_text(job, "stage"), cli_real(job, "percent"), cli_real(job, "fps"),
                 cli_real(job, "eta_s"), (unsigned long long)cli_number(job, "proofs_checked"),
                 (unsigned long long)cli_number(job, "proofs_failed"));
}

/* What the job has been waiting for; told once it has done so for WAIT_TOLD_MS. */
struct waiting {
    char why[320];
    unsigned ms;
};

static void show_waiting(struct waiting *waiting, const json_t *job)
{
    const char *why = cli_text(job, "error");
    if (strcmp(waiting->why, why) != 0) {
        snprintf(waiting->why, sizeof waiting->why, "%s", why);
        waiting->ms = 0;
    }
    unsigned before = waiting->ms;
    waiting->ms += POLL_MS;
    if (why[0] != '\0' && before < WAIT_TOLD_MS && waiting->ms >= WAIT_TOLD_MS) {
        cli_progress("%s", "");
        fprintf(stderr, "reelrig: the job waits: %s\n", why);
    }
}

enum rr_err cli_publish_follow(struct cli_rig *rig, json_t **job, const char *file,
                               const struct cli_publish_words *words, struct rr_fault *fault)
{
    char handle[33], path[64];
    json_t *state = NULL;
    struct waiting waiting = {.ms = 0};
    enum rr_err err = start(rig, handle, file, words, fault);
    snprintf(path, sizeof path, "jobs/%s", err == RR_OK ? handle : "");
    while (err == RR_OK) {
        json_decref(state);
        state = NULL;
        err = cli_rig_call(rig, &state, path, NULL, fault);
        if (err != RR_OK || json_is_true(json_object_get(state, "final"))) {
            break;
        }
        show(state);
        show_waiting(&waiting, state);
        nanosleep(&(struct timespec){.tv_nsec = POLL_MS * 1000000L}, NULL);
    }
    cli_progress("%s", "");
    if (err == RR_OK && strcmp(cli_text(state, "stage"), "proved") != 0) {
        const char *why = cli_text(state, "error");
        err = rr_fail(fault, RR_ERR_STATE, "publishing %s ended as %s: %s", file,
                      cli_text(state, "stage"), why[0] != '\0' ? why : "the proof did not hold");
    }
    if (err != RR_OK) {
        json_decref(state);
        return err;
    }
    *job = state;
    return RR_OK;
}

static void print_published(const struct cli_rig *rig, const json_t *job, bool json)
{
    if (json) {
        cli_print_json(job);
    } else {
        const json_t *seconds = json_object_get(job, "seconds");
        cli_print("%s/v1/resources/%s/hls/master.m3u8\n", rig->serve, cli_text(job, "resource"));
        cli_print("%llu frames in, %llu GOPs, %llu proofs checked, none failed, %llu shards; "
                  "transcode %.1f s, prove "
                  "%.1f s\n",
                  (unsigned long long)cli_number(job, "frames_in"),
                  (unsigned long long)cli_number(job, "gops"),
                  (unsigned long long)cli_number(job, "proofs_checked"),
                  (unsigned long long)cli_number(job, "shards"), cli_real(seconds, "transcode"),
                  cli_real(seconds, "prove"));
        const json_t *puzzles = json_object_get(job, "puzzles");
        if (json_is_object(puzzles)) {
            cli_print("%llu puzzles with %s coins of prizes; nothing is paid before the contract "
                      "is on the ledger\n",
                      (unsigned long long)cli_number(puzzles, "count"),
                      cli_text(puzzles, "prizes"));
        }
    }
}

int cli_publish(int argc, char **argv)
{
    const char *data = NULL, *file = NULL;
    struct cli_publish_words words = {0};
    const char *chain = NULL;
    struct rr_buf chain_text = {0};
    struct cli_publish_rigs hired = {.json = false};
    bool json = false;
    size_t count;
    const struct cli_option options[] = {{"chain", &chain, NULL},
                                         {"rigs", &hired.urls, NULL},
                                         {"o", &hired.folder, NULL},
                                         {"wallet", &hired.wallet, NULL},
                                         {"codec", &hired.codec, NULL},
                                         {"preset", &hired.preset, NULL},
                                         {"crf", &hired.crf, NULL},
                                         {"gop-ms", &hired.gop_ms, NULL},
                                         {"audio-kbps", &hired.audio_kbps, NULL},
                                         {"max-price", &hired.max_price, NULL},
                                         {"deadline", &hired.deadline, NULL},
                                         {"patience", &hired.patience, NULL},
                                         {"check-every", &hired.check_every, NULL},
                                         {"explain", NULL, &hired.explain},
                                         {"no-local", NULL, &hired.no_local},
                                         {"data", &data, NULL},
                                         {"ladder", &words.ladder, NULL},
                                         {"kbps", &words.kbps, NULL},
                                         {"max-kbps", &words.max_kbps, NULL},
                                         {"tone-map", NULL, &words.tone_map},
                                         {"price", &words.price, NULL},
                                         {"title", &words.title, NULL},
                                         {"puzzle", &words.puzzle, NULL},
                                         {"puzzle-kind", &words.puzzle_kind, NULL},
                                         {"puzzle-prize", &words.puzzle_prize, NULL},
                                         {"puzzle-difficulty", &words.puzzle_difficulty, NULL},
                                         {"puzzle-rise", &words.puzzle_rise, NULL},
                                         {"puzzles-per-segment", &words.puzzles_per_segment, NULL},
                                         {"json", NULL, &json}};
    if (!cli_options(argc, argv, options, RR_COUNT(options), &file, 1, &count) || count != 1) {
        return cli_usage(argv[0]);
    }
    if (hired.urls != NULL) {
        hired.ladder = words.ladder;
        hired.data = data;
        hired.title = words.title;
        hired.price = words.price;
        hired.json = json;
        return cli_publish_by_rigs(file, &hired);
    }
    struct cli_rig rig = {0};
    struct rr_fault fault = {0};
    json_t *job = NULL;
    enum rr_err err =
        chain != NULL ? rr_file_read(&chain_text, chain, CHAIN_BYTES_MAX, &fault) : RR_OK;
    if (chain != NULL && err == RR_OK) {
        rr_write_u8(&chain_text, 0);
        words.chain = (const char *)chain_text.ptr;
    }
    err = err != RR_OK ? err : cli_rig_open(&rig, data, &fault);
    if (err == RR_OK) {
        err = cli_publish_follow(&rig, &job, file, &words, &fault);
    }
    rr_buf_clear(&chain_text);
    if (err != RR_OK) {
        cli_rig_close(&rig);
        return cli_fail(err, &fault, json);
    }
    print_published(&rig, job, json);
    json_decref(job);
    cli_rig_close(&rig);
    return 0;
}

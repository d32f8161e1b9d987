/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the verbs of `reelrig` share. */
#ifndef RR_CLI_H
#define RR_CLI_H
#include "base/base.h"

#include <jansson.h>

/* ---- HTTP (libcurl): one keep-alive client, one thread --------------------------------------- */
struct cli_http;
struct cli_response {
    long status;
    struct rr_buf body; /* owned: cli_response_clear */
    char puzzle[192];   /* Reelrig-Puzzle, or "" */
};
struct cli_http *cli_http_new(void);
void cli_http_free(struct cli_http *http);
struct cli_request {
    const char *url;
    const char *method;         /* NULL: GET, or POST when there is a body */
    const char *const *headers; /* "Name: value", NULL-terminated; NULL: none */
    struct rr_slice body;
    const char *upload_path; /* POST this file's bytes instead of body */
    bool progress;           /* upload progress on a terminal */
    long timeout_s;          /* 0: 60 */
};
/* Any status is RR_OK; no answer is RR_ERR_UNREACHABLE. *out cleared first. Blocks. */
enum rr_err cli_http_send(struct cli_http *http, struct cli_response *out,
                          const struct cli_request *request, struct rr_fault *fault) RR_MUST_USE;
void cli_response_clear(struct cli_response *response);
/* RR_OK for 2xx; else the server's sentence as a fault: 402 FUNDS, 404 NOTFOUND, 409 STATE, 4xx
 * FORMAT, 5xx IO. */
enum rr_err cli_response_check(const struct cli_response *response, const char *what,
                               struct rr_fault *fault) RR_MUST_USE;
/* Body as JSON, new reference; RR_ERR_FORMAT otherwise. */
enum rr_err cli_response_json(const struct cli_response *response, json_t **out,
                              struct rr_fault *fault) RR_MUST_USE;

/* ---- the rig of a data folder ---------------------------------------------------------------- */
struct cli_rig {
    struct cli_http *http;
    char control[128], serve[128], token[80];
    long pid;
};
/* Reads control.json of the folder (NULL: $REELRIG_DATA, ./run, /var/lib/reelrig in this order). No
 * rig: RR_ERR_UNREACHABLE with what to do. */
enum rr_err cli_rig_open(struct cli_rig *out, const char *data, struct rr_fault *fault) RR_MUST_USE;
void cli_rig_close(struct cli_rig *rig);
/* GET or POST (body NULL: GET) of /api/v1/<path>; *out a new reference. */
enum rr_err cli_rig_call(struct cli_rig *rig, json_t **out, const char *path, const char *post_body,
                         struct rr_fault *fault) RR_MUST_USE;
/* POST with a file as body. */
enum rr_err cli_rig_upload(struct cli_rig *rig, json_t **out, const char *path, const char *file,
                           struct rr_fault *fault) RR_MUST_USE;

/* ---- output ---------------------------------------------------------------------------------- */
/* printf to standard output; a closed pipe ends the program quietly, a full disk with a sentence.
 */
void cli_print(const char *format, ...) __attribute__((format(printf, 1, 2)));
void cli_print_json(const json_t *json); /* one compact line */
/* One line on standard error that replaces itself on a terminal; nothing when it is not one. ""
 * clears it. */
void cli_progress(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* "reelrig: <sentence>" on standard error; with json, {"error":..,"message":..} on standard output.
 * Returns the exit status of the code. */
int cli_fail(enum rr_err code, const struct rr_fault *fault, bool json);
const char *cli_text(const json_t *object, const char *key); /* "" when absent */
/* Sets a key to a new reference, which is taken. */
void cli_json_set(json_t *object, const char *key, json_t *value);
/* U+FFFD for each byte that is no UTF-8, as paths and drivers may give. */
json_t *cli_json_text(const char *text);
uint64_t cli_number(const json_t *object, const char *key); /* 0 when absent */
double cli_real(const json_t *object, const char *key);

/* ---- verbs: argv[0] is the verb; return the exit status -------------------------------------- */
struct cli_verb {
    const char *name, *arguments, *help;
    int (*run)(int argc, char **argv);
};
extern const struct cli_verb cli_verbs[];
/* Prints that verb's line on standard error, with --json an object too. Returns 2. */
int cli_usage(const char *verb);
const char *cli_complaint(void); /* what cli_options found wrong; "" so far */
int cli_status(int argc, char **argv);
int cli_job(int argc, char **argv);
int cli_chain(int argc, char **argv);
int cli_pool(int argc, char **argv);
int cli_store(int argc, char **argv);
int cli_wallet(int argc, char **argv);
int cli_publish(int argc, char **argv);
int cli_offers(int argc, char **argv);
int cli_transcode(int argc, char **argv);
int cli_compare(int argc, char **argv);
int cli_live(int argc, char **argv);
int cli_watch(int argc, char **argv);
/* A line of devices each, as `gpu list` and `status` show them; list as in docs/api.md. */
void cli_gpu_print(const json_t *devices);
int cli_gpu(int argc, char **argv);
int cli_hash(int argc, char **argv);
int cli_puzzle(int argc, char **argv);
int cli_bench(int argc, char **argv);
int cli_road(int argc, char **argv);
int cli_fleet(int argc, char **argv);

/* Options of a verb: "--name value", "--name=value" or "--flag". */
struct cli_option {
    const char *name;   /* without the dashes */
    const char **value; /* takes a value when not NULL */
    bool *flag;         /* set when given */
};
/* Fills options; *positional and *positional_count get the rest (borrowed from argv). False after
 * an unknown or incomplete option has been reported on standard error. */
bool cli_options(int argc, char **argv, const struct cli_option *options, size_t option_count,
                 const char **positional, size_t positional_max, size_t *positional_count);
/* What is asked of a publishing job; NULL: the rig's own. */
struct cli_publish_words {
    const char *chain;   /* its JSON text */
    const char *journal; /* folder of a job that is done; becomes the rig's */
    const char *title, *ladder, *kbps, *max_kbps, *price;
    bool tone_map;
    const char *puzzle, *puzzle_kind, *puzzle_prize, *puzzle_difficulty, *puzzle_rise,
        *puzzles_per_segment; /* docs/puzzles.md */
};
/* Publishing on an open rig, shared by publish and road: uploads, follows to a final stage with
 * progress on standard error. *job: the job's last state, new reference. */
enum rr_err cli_publish_follow(struct cli_rig *rig, json_t **job, const char *file,
                               const struct cli_publish_words *words,
                               struct rr_fault *fault) RR_MUST_USE;
/* publish --rigs: options as given, NULL: the usual. Returns the exit status. */
struct cli_publish_rigs {
    const char *data, *title, *price; /* of the own rig, where no folder is named */
    const char *urls, *folder, *wallet, *ladder, *codec, *preset, *crf, *gop_ms, *audio_kbps;
    const char *max_price, *deadline, *patience, *check_every;
    bool explain, no_local, json;
};
int cli_publish_by_rigs(const char *file, const struct cli_publish_rigs *hired);
/* A whole number 0..max in decimal digits; *out on success only. */
bool cli_read_number(const char *text, uint64_t max, uint64_t *out) RR_MUST_USE;
#endif

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* reelrig live: a live input as a live ladder, in a folder and over HTTP, without a rig. */
#include "cli/cli_live.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define SERVE_THREADS 2
#define CONNECTIONS   10000
#define TICK_US       100000

static atomic_bool stopped;

static void stop(int signum)
{
    (void)signum;
    atomic_store(&stopped, true);
}

struct show {
    bool json;
    const char *address;
    struct live_folder folder;
    struct rr_serve_live *live;
    uint64_t ticked_us;
    struct rr_fault deaf; /* why standard output takes no more */
};

/* Nobody who reads is a reason to end, but in order: the folder is for others. */
static void print_event(struct show *show, json_t *event, const char *line)
{
    int rc = 0;
    if (show->deaf.code == RR_OK && show->json) {
        rc = json_dumpf(event, stdout, JSON_COMPACT) != 0 || putchar('\n') < 0 ? -1 : 0;
    } else if (show->deaf.code == RR_OK && line != NULL) {
        rc = printf("%s\n", line) < 0 ? -1 : 0;
    }
    if (show->deaf.code == RR_OK && (fflush(stdout) != 0 || rc != 0)) {
        (void)rr_fail_errno(&show->deaf, "standard output takes no more, so the stream was ended");
        atomic_store(&stopped, true);
    }
    json_decref(event);
}

static void say_listening(void *ctx, uint16_t port)
{
    char line[64];
    snprintf(line, sizeof line, "waiting for a publisher at port %u", port);
    print_event(ctx, json_pack("{s:s, s:i}", "event", "listening", "port", (int)port), line);
}

static void say(void *ctx, enum rr_live_event event, const char *text)
{
    static const char *const names[] = {"came", "went", "refused", "behind", "restored", "fault"};
    char line[600];
    snprintf(line, sizeof line, "%s: %s", names[event], text);
    json_t *told = json_pack("{s:s}", "event", names[event]);
    cli_json_set(told, "text", cli_json_text(text));
    print_event(ctx, told, line);
}

static void begin(void *ctx, const struct rr_rendition *renditions, uint32_t count,
                  uint32_t part_us)
{
    struct show *show = ctx;
    json_t *names = json_array();
    for (uint32_t i = 0; i < count; i++) {
        json_array_append_new(names, json_string(renditions[i].name));
    }
    rr_serve_live_begin(show->live, renditions, count, part_us);
    live_folder_begin(&show->folder, renditions, count);
    print_event(show,
                json_pack("{s:s, s:o, s:f}", "event", "begin", "renditions", names, "part_s",
                          (double)part_us / 1e6),
                NULL);
}

static void init(void *ctx, uint32_t rendition, const char *codecs, struct rr_slice bytes)
{
    struct show *show = ctx;
    rr_serve_live_init(show->live, rendition, codecs, bytes);
    live_folder_init(&show->folder, rendition, codecs, bytes);
}

static void open_segment(void *ctx, uint32_t rendition, const struct rr_live_segment *segment)
{
    struct show *show = ctx;
    rr_serve_live_open(show->live, rendition, segment->number, segment->program_ms,
                       segment->discontinuity);
}

static void part(void *ctx, uint32_t rendition, const struct rr_live_part *given)
{
    struct show *show = ctx;
    rr_serve_live_part(show->live, rendition, given->duration_us, given->independent, given->last,
                       given->bytes);
    live_folder_part(&show->folder, rendition, given->bytes);
}

static void close_segment(void *ctx, uint32_t rendition, const struct rr_live_segment *segment)
{
    struct show *show = ctx;
    struct rr_live_segment told = *segment;
    told.gap = told.gap || !live_folder_put(&show->folder, rendition, segment->number);
    rr_serve_live_close(show->live, rendition, told.number, told.program_ms, told.discontinuity,
                        told.gap, told.duration_us);
    live_folder_close(&show->folder, rendition, &told);
    print_event(show,
                json_pack("{s:s, s:s, s:I, s:f, s:b}", "event", "segment", "rendition",
                          show->folder.renditions[rendition].info.name, "number",
                          (json_int_t)told.number, "duration_s", (double)told.duration_us / 1e6,
                          "gap", (int)told.gap),
                NULL);
    if (show->folder.failed) {
        atomic_store(&stopped, true); /* a full disk is told at the end */
    }
}

static void tick(void *ctx)
{
    struct show *show = ctx;
    uint64_t now_us = rr_monotonic_us(rr_clock_system());
    if (now_us - show->ticked_us >= TICK_US) {
        show->ticked_us = now_us;
        rr_serve_live_tick(show->live);
    }
}

/* "127.0.0.1:8080", "[::1]:0" into host and port. */
static bool read_address(char host[static 64], uint16_t *port, const char *text)
{
    const char *colon = strrchr(text, ':');
    uint64_t value;
    if (colon == NULL || colon == text || (size_t)(colon - text) > 63 ||
        !cli_read_number(colon + 1, UINT16_MAX, &value)) {
        return false;
    }
    size_t len = (size_t)(colon - text);
    bool six = len > 2 && text[0] == '[' && text[len - 1] == ']';
    memcpy(host, text + (six ? 1 : 0), six ? len - 2 : len);
    host[six ? len - 2 : len] = '\0';
    *port = (uint16_t)value;
    return true;
}

static enum rr_err start_server(struct rr_serve **out, struct show *show, struct rr_fault *fault)
{
    char host[64];
    struct rr_serve_options options = {.threads = SERVE_THREADS,
                                       .connections_max = CONNECTIONS,
                                       .clock = rr_clock_system(),
                                       .live = show->live};
    if (show->address == NULL) {
        return RR_OK;
    }
    if (!read_address(host, &options.port, show->address)) {
        return rr_fail(fault, RR_ERR_USAGE, "--serve takes ADDRESS:PORT, as 127.0.0.1:8080");
    }
    options.address = host;
    enum rr_err err = rr_serve_start(out, &options, fault);
    if (err == RR_OK) {
        char line[160];
        bool six = strchr(host, ':') != NULL;
        snprintf(line, sizeof line, "http://%s%s%s:%u/live/master.m3u8", six ? "[" : "", host,
                 six ? "]" : "", rr_serve_port(*out));
        print_event(show, json_pack("{s:s, s:s}", "event", "serving", "url", line), line);
    }
    return err;
}

static void say_no_manifest(struct show *show)
{
    if (show->folder.holes) {
        say(show, RR_LIVE_FAULT,
            "segments are missing (EXT-X-GAP), so there is no manifest.mpd; master.m3u8 is whole");
    } else if (show->folder.too_many) {
        say(show, RR_LIVE_FAULT,
            "more segments than a manifest may have, so there is no manifest.mpd");
    }
}

/* Viewers are to see the end before the server goes. */
static void linger(struct show *show, uint64_t seconds)
{
    const struct timespec pause = {.tv_nsec = 50000000};
    uint64_t until_us = rr_monotonic_us(rr_clock_system()) + seconds * 1000000;
    atomic_store(&stopped, false);
    while (!atomic_load(&stopped) && rr_monotonic_us(rr_clock_system()) < until_us) {
        tick(show);
        nanosleep(&pause, NULL);
    }
}

static enum rr_err run(struct show *show, const struct rr_live_options *options, uint64_t linger_s,
                       struct rr_fault *fault)
{
    struct rr_serve *server = NULL;
    const struct rr_live_sink sink = {.ctx = show,
                                      .listening = say_listening,
                                      .said = say,
                                      .begin = begin,
                                      .init = init,
                                      .open = open_segment,
                                      .part = part,
                                      .close = close_segment,
                                      .tick = tick};
    enum rr_err err = live_folder_open(&show->folder, fault);
    err = err != RR_OK ? err : start_server(&server, show, fault);
    if (err == RR_OK) {
        err = rr_live_run(options, &sink, &stopped, fault);
        rr_serve_live_end(show->live);
        live_folder_end(&show->folder);
        say_no_manifest(show);
        if (show->folder.count > 0) {
            print_event(show, json_pack("{s:s}", "event", "end"), "the stream has ended");
        }
        if (server != NULL && show->folder.count > 0) {
            linger(show, linger_s);
        }
    }
    if (err == RR_OK && (show->folder.failed || show->deaf.code != RR_OK)) {
        *fault = show->folder.failed ? show->folder.fault : show->deaf;
        err = fault->code;
    }
    rr_serve_stop(server, 500);
    return err;
}

/* The words after the verb, as given. */
struct words {
    const char *in, *ladder, *codec, *preset, *gop_ms, *part_ms, *crf, *audio_kbps;
    const char *window, *grace, *quiet, *linger;
    bool follow, catch_up;
};

struct numbers {
    uint64_t gop_ms, part_ms, crf, audio_kbps, window, grace_s, quiet_s, linger_s;
};

static bool read_words(struct words *words, struct show *show, int argc, char **argv)
{
    *words = (struct words){.codec = "h264",
                            .gop_ms = "2000",
                            .part_ms = "333",
                            .crf = "0",
                            .audio_kbps = "128",
                            .window = "12",
                            .grace = "30",
                            .quiet = "5",
                            .linger = "10"};
    const struct cli_option table[] = {{"o", &show->folder.path, NULL},
                                       {"ladder", &words->ladder, NULL},
                                       {"serve", &show->address, NULL},
                                       {"codec", &words->codec, NULL},
                                       {"gop-ms", &words->gop_ms, NULL},
                                       {"part-ms", &words->part_ms, NULL},
                                       {"crf", &words->crf, NULL},
                                       {"preset", &words->preset, NULL},
                                       {"audio-kbps", &words->audio_kbps, NULL},
                                       {"window", &words->window, NULL},
                                       {"grace", &words->grace, NULL},
                                       {"quiet", &words->quiet, NULL},
                                       {"linger", &words->linger, NULL},
                                       {"keep", NULL, &show->folder.keep},
                                       {"follow", NULL, &words->follow},
                                       {"catch-up", NULL, &words->catch_up},
                                       {"json", NULL, &show->json}};
    size_t count;
    return cli_options(argc, argv, table, RR_COUNT(table), &words->in, 1, &count) && count == 1 &&
           show->folder.path != NULL;
}

static enum rr_err read_numbers(struct numbers *numbers, const struct words *words,
                                struct rr_fault *fault)
{
    const struct {
        const char *name, *text;
        uint64_t *to, min, max;
    } table[] = {{"gop-ms", words->gop_ms, &numbers->gop_ms, 500, 10000},
                 {"part-ms", words->part_ms, &numbers->part_ms, 200, 1000},
                 {"crf", words->crf, &numbers->crf, 0, 63},
                 {"audio-kbps", words->audio_kbps, &numbers->audio_kbps, 16, 512},
                 {"window", words->window, &numbers->window, 3, 1000},
                 {"grace", words->grace, &numbers->grace_s, 0, 86400},
                 {"quiet", words->quiet, &numbers->quiet_s, 0, 86400},
                 {"linger", words->linger, &numbers->linger_s, 0, 86400}};
    for (size_t i = 0; i < RR_COUNT(table); i++) {
        if (!cli_read_number(table[i].text, table[i].max, table[i].to) ||
            *table[i].to < table[i].min) {
            return rr_fail(fault, RR_ERR_USAGE, "--%s \"%.32s\": %llu to %llu are possible",
                           table[i].name, table[i].text, (unsigned long long)table[i].min,
                           (unsigned long long)table[i].max);
        }
    }
    return RR_OK;
}

/* Into options and show; pointers stay borrowed. */
static enum rr_err read_options(struct rr_live_options *options, const struct words *words,
                                const struct numbers *numbers, struct rr_fault *fault)
{
    bool file = strstr(words->in, "://") == NULL;
    /* 0 is "as usual" to the door, and here none at all. */
    *options = (struct rr_live_options){
        .input = words->in,
        .part_ms = (uint32_t)numbers->part_ms,
        .grace_ms = numbers->grace_s > 0 ? (uint32_t)numbers->grace_s * 1000 : 1,
        .quiet_ms = numbers->quiet_s > 0 ? (uint32_t)numbers->quiet_s * 1000 : 1,
        .catch_up = words->catch_up,
        .job = {.gop_ms = (uint32_t)numbers->gop_ms,
                .crf = (uint16_t)numbers->crf,
                .audio_bps = (uint32_t)numbers->audio_kbps * 1000,
                .preset = words->preset}};
    if (words->follow != file) {
        return rr_fail(fault, RR_ERR_USAGE,
                       file ? "a file needs --follow, which reads on while it grows; one that is "
                              "whole is for \"reelrig transcode\""
                            : "--follow is for files, and %.64s is an address",
                       words->in);
    }
    if (!rr_codec_parse(&options->job.codec, words->codec)) {
        return rr_fail(fault, RR_ERR_USAGE, "codec \"%.32s\": h264, hevc, av1 and vp9 are known",
                       words->codec);
    }
    return words->ladder != NULL ? rr_ladder_read(&options->job.ladder, words->ladder, fault)
                                 : RR_OK;
}

int cli_live(int argc, char **argv)
{
    struct show show = {.folder.proofs = -1};
    struct rr_live_options options = {0};
    struct rr_fault fault = {0};
    struct words words;
    struct numbers numbers;
    if (!read_words(&words, &show, argc, argv)) {
        return cli_usage(argv[0]);
    }
    struct sigaction action = {.sa_handler = stop};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    enum rr_err err = read_numbers(&numbers, &words, &fault);
    err = err != RR_OK ? err : read_options(&options, &words, &numbers, &fault);
    if (err != RR_OK) {
        return cli_fail(err, &fault, show.json);
    }
    const struct rr_serve_live_options shown = {.window = (uint32_t)numbers.window,
                                                .all = show.folder.keep,
                                                .folder = show.folder.path,
                                                .gop_ms = (uint32_t)numbers.gop_ms};
    show.live = show.folder.live = rr_serve_live_new(&shown);
    show.folder.window = (uint32_t)numbers.window;
    err = run(&show, &options, numbers.linger_s, &fault);
    live_folder_clear(&show.folder);
    rr_serve_live_free(show.live);
    return err == RR_OK ? 0 : cli_fail(err, &fault, show.json);
}

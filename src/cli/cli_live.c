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
};

static void print_event(const struct show *show, json_t *event, const char *line)
{
    if (show->json) {
        cli_print_json(event);
    } else if (line != NULL) {
        cli_print("%s\n", line);
    }
    fflush(stdout);
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
    rr_serve_live_close(show->live, rendition, segment->number, segment->program_ms,
                        segment->discontinuity, segment->gap, segment->duration_us);
    live_folder_close(&show->folder, rendition, segment);
    print_event(show,
                json_pack("{s:s, s:s, s:I, s:f, s:b}", "event", "segment", "rendition",
                          show->folder.renditions[rendition].info.name, "number",
                          (json_int_t)segment->number, "duration_s",
                          (double)segment->duration_us / 1e6, "gap", (int)segment->gap),
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

static bool read_number(const char *text, uint64_t max, uint64_t *out)
{
    uint64_t value = 0;
    for (const char *p = text; *p != '\0'; p++) {
        if (*p < '0' || *p > '9' || (value = value * 10 + (uint64_t)(*p - '0')) > max) {
            return false;
        }
    }
    *out = value;
    return text[0] != '\0';
}

/* "127.0.0.1:8080", "[::1]:0" into host and port. */
static bool read_address(char host[static 64], uint16_t *port, const char *text)
{
    const char *colon = strrchr(text, ':');
    uint64_t value;
    if (colon == NULL || colon == text || (size_t)(colon - text) > 63 ||
        !read_number(colon + 1, UINT16_MAX, &value)) {
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
        print_event(show, json_pack("{s:s}", "event", "end"), "the stream has ended");
        if (server != NULL && show->folder.count > 0) {
            linger(show, linger_s);
        }
    }
    if (err == RR_OK && show->folder.failed) {
        *fault = show->folder.fault;
        err = RR_ERR_IO;
    }
    rr_serve_stop(server, 500);
    return err;
}

int cli_live(int argc, char **argv)
{
    const char *in = NULL, *ladder = NULL, *codec = "h264", *window = "12", *linger_s = "10";
    const char *gop_ms = "2000", *part_ms = "333", *crf = "0", *audio_kbps = "128";
    const char *grace = "30", *quiet = "5";
    struct show show = {.folder.proofs = -1};
    struct rr_live_options options = {0};
    bool follow = false;
    size_t count;
    const struct cli_option table[] = {{"o", &show.folder.path, NULL},
                                       {"ladder", &ladder, NULL},
                                       {"serve", &show.address, NULL},
                                       {"codec", &codec, NULL},
                                       {"gop-ms", &gop_ms, NULL},
                                       {"part-ms", &part_ms, NULL},
                                       {"crf", &crf, NULL},
                                       {"preset", &options.job.preset, NULL},
                                       {"audio-kbps", &audio_kbps, NULL},
                                       {"window", &window, NULL},
                                       {"grace", &grace, NULL},
                                       {"quiet", &quiet, NULL},
                                       {"linger", &linger_s, NULL},
                                       {"keep", NULL, &show.folder.keep},
                                       {"follow", NULL, &follow},
                                       {"catch-up", NULL, &options.catch_up},
                                       {"json", NULL, &show.json}};
    uint64_t gop, parts, crf_value, audio, segments, grace_s, quiet_s, stay_s;
    if (!cli_options(argc, argv, table, RR_COUNT(table), &in, 1, &count) || count != 1 ||
        show.folder.path == NULL || !read_number(gop_ms, 10000, &gop) ||
        !read_number(part_ms, 1000, &parts) || !read_number(crf, 63, &crf_value) ||
        !read_number(audio_kbps, 512, &audio) || !read_number(window, 1000, &segments) ||
        segments < 3 || !read_number(grace, 86400, &grace_s) ||
        !read_number(quiet, 86400, &quiet_s) || !read_number(linger_s, 86400, &stay_s) ||
        follow == (strstr(in, "://") != NULL)) {
        return cli_usage(argv[0]);
    }
    struct rr_fault fault = {0};
    options.input = in;
    options.part_ms = (uint32_t)parts;
    options.grace_ms = (uint32_t)grace_s * 1000;
    options.quiet_ms = (uint32_t)quiet_s * 1000;
    options.job.gop_ms = (uint32_t)gop;
    options.job.crf = (uint16_t)crf_value;
    options.job.audio_bps = (uint32_t)audio * 1000;
    struct sigaction action = {.sa_handler = stop};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    enum rr_err err = rr_codec_parse(&options.job.codec, codec)
                          ? RR_OK
                          : rr_fail(&fault, RR_ERR_USAGE,
                                    "codec \"%.32s\": h264, hevc, av1 and vp9 are known", codec);
    if (err == RR_OK && ladder != NULL) {
        err = rr_ladder_parse(&options.job.ladder, ladder, &fault);
    }
    const struct rr_serve_live_options shown = {.window = (uint32_t)segments,
                                                .all = show.folder.keep,
                                                .folder = show.folder.path,
                                                .gop_ms = (uint32_t)gop};
    show.live = show.folder.live = rr_serve_live_new(&shown);
    show.folder.window = (uint32_t)segments;
    err = err != RR_OK ? err : run(&show, &options, stay_s, &fault);
    live_folder_clear(&show.folder);
    rr_serve_live_free(show.live);
    return err == RR_OK ? 0 : cli_fail(err, &fault, show.json);
}

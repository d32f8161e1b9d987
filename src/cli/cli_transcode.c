/* SPDX-License-Identifier: GPL-2.0-or-later */
/* reelrig transcode: an HLS ladder in a folder, without a rig. */
#include "cli/cli_transcode.h"
#include "cli/cli_devices.h"
#include "cli/cli_fleet.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

static atomic_bool cancelled;

static void cancel(int signum)
{
    (void)signum;
    atomic_store(&cancelled, true);
}

struct progress_ctx {
    bool json;
    uint64_t next_us; /* of the next JSON line */
};

static void show_progress(void *ctx, const struct rr_transcode_progress *progress)
{
    struct progress_ctx *show = ctx;
    uint64_t now_us = rr_monotonic_us(rr_clock_system());
    cli_meter(progress);
    if (!show->json || now_us < show->next_us) {
        return;
    }
    show->next_us = now_us + 1000000;
    json_t *renditions = json_array();
    for (uint32_t i = 0; i < progress->rendition_count; i++) {
        const struct rr_transcode_rendition_progress *r = &progress->renditions[i];
        json_array_append_new(renditions,
                              json_pack("{s:s, s:I, s:I, s:f, s:f}", "name", r->name, "gops_done",
                                        (json_int_t)r->gops_done, "gops", (json_int_t)r->gops,
                                        "fps", r->fps, "eta_s", r->eta_s));
    }
    json_t *out =
        json_pack("{s:s, s:f, s:f, s:f, s:o}", "event", "progress", "percent", progress->percent,
                  "fps", progress->fps, "eta_s", progress->eta_s, "renditions", renditions);
    cli_print_json(out);
    json_decref(out);
}

static json_t *rendition_json(const struct rr_transcode_rendition *rendition)
{
    uint64_t bytes = rendition->init_bytes;
    for (uint32_t i = 0; i < rendition->segment_count; i++) {
        bytes += rendition->segments[i].bytes;
    }
    return json_pack("{s:s, s:s, s:s, s:s, s:i, s:i, s:I, s:I, s:I}", "name", rendition->info.name,
                     "codecs", rendition->info.codecs, "profile", rendition->profile, "device",
                     rendition->device, "width", (int)rendition->info.width, "height",
                     (int)rendition->info.height, "segments", (json_int_t)rendition->segment_count,
                     "frames", (json_int_t)rendition->frames_out, "bytes", (json_int_t)bytes);
}

/* first: the file that a player is given; "" when the folder's name is all. */
static void print_result(const struct rr_transcode_result *result, const char *folder,
                         const char *first, bool json)
{
    json_t *list = json_array();
    for (uint32_t i = 0; i < result->rendition_count; i++) {
        json_array_append_new(list, rendition_json(&result->renditions[i]));
    }
    if (json) {
        json_t *out = json_pack(
            "{s:s, s:o, s:o, s:I, s:b, s:I, s:I, s:f}", "event", "done", "folder",
            cli_json_text(folder), "renditions", list, "frames_in", (json_int_t)result->frames_in,
            "frames_out_ok", (int)result->frames_out_ok, "gops", (json_int_t)result->gops,
            "concealed", (json_int_t)result->concealed, "seconds", result->seconds);
        cli_print_json(out);
        json_decref(out);
        return;
    }
    const json_t *row;
    size_t i;
    json_array_foreach(list, i, row)
    {
        cli_print("  %-8s %4llux%-4llu %-14s %llu segments, %.1f MB\n", cli_text(row, "name"),
                  (unsigned long long)cli_number(row, "width"),
                  (unsigned long long)cli_number(row, "height"), cli_text(row, "codecs"),
                  (unsigned long long)cli_number(row, "segments"),
                  (double)cli_number(row, "bytes") / 1e6);
    }
    cli_print("%s%s: %llu frames in %.1f s", folder, first, (unsigned long long)result->frames_in,
              result->seconds);
    if (result->concealed > 0) {
        cli_print("; damage concealed in %llu pictures, first in GOP %u",
                  (unsigned long long)result->concealed, (unsigned)result->first_damage);
    }
    cli_print("\n");
    json_decref(list);
}

/* The options about tracks, as given. */
struct track_words {
    const char *video, *audio, *subtitles, *codec, *channels, *format;
};

static const char *given_or(const char *given, const char *usual)
{
    return given != NULL ? given : usual;
}

/* *out untouched where nothing was given: 0 is no way to say that. */
static enum rr_err read_number(uint64_t *out, const char *name, const char *text, uint64_t min,
                               uint64_t max, struct rr_fault *fault)
{
    if (text == NULL || (cli_read_number(text, max, out) && *out >= min)) {
        return RR_OK;
    }
    return rr_fail(fault, RR_ERR_USAGE, "--%s \"%.32s\": a number of %llu to %llu was expected",
                   name, text, (unsigned long long)min, (unsigned long long)max);
}

static enum rr_err read_tracks(struct rr_transcode_options *job, const struct track_words *words,
                               struct rr_fault *fault)
{
    const char *channels = given_or(words->channels, "stereo"),
               *codec = given_or(words->codec, "aac");
    uint64_t video = 0;
    bool keep = strcmp(channels, "keep") == 0;
    enum rr_err err = read_number(&video, "video", words->video, 1, 64, fault);
    if (err != RR_OK) {
        return err;
    }
    if (!rr_audio_codec_parse(&job->audio_codec, codec)) {
        return rr_fail(fault, RR_ERR_USAGE, "audio codec \"%.32s\": aac and opus are known", codec);
    }
    if (!keep && strcmp(channels, "stereo") != 0) {
        return rr_fail(fault, RR_ERR_USAGE, "channels \"%.32s\": stereo and keep are known",
                       channels);
    }
    job->video = (uint8_t)video;
    job->keep_channels = keep;
    err = rr_tracks_parse(&job->audio, given_or(words->audio, "all"), fault);
    return err != RR_OK
               ? err
               : rr_tracks_parse(&job->subtitles, given_or(words->subtitles, "all"), fault);
}

/* One MP4 file when asked for, or by its name; else a folder, with the manifests of one format when
 * it is named. */
static enum rr_err read_format(bool *whole, enum rr_transcode_lists *lists, const char *format,
                               const char *out, struct rr_fault *fault)
{
    size_t len = strlen(out);
    if (format == NULL) {
        *whole = len > 4 && strcmp(out + len - 4, ".mp4") == 0;
        return RR_OK;
    }
    *whole = strcmp(format, "mp4") == 0;
    if (*whole && out[len - 1] == '/') {
        return rr_fail(
            fault, RR_ERR_USAGE,
            "-o %.200s is the name of a folder; --format mp4 makes one file, as %.200s%s", out, out,
            "film.mp4");
    }
    *lists = strcmp(format, "hls") == 0    ? RR_LISTS_HLS
             : strcmp(format, "dash") == 0 ? RR_LISTS_DASH
                                           : RR_LISTS_BOTH;
    return *whole || *lists != RR_LISTS_BOTH
               ? RR_OK
               : rr_fail(fault, RR_ERR_USAGE,
                         "format \"%.32s\": hls, dash and mp4 are known; without the option a "
                         "folder serves HLS and DASH",
                         format);
}

/* The words after the verb, as given; NULL: not given. */
struct words {
    const char *in, *folder, *ladder, *preset, *codec, *kbps, *max_kbps;
    const char *gop_ms, *crf, *audio_kbps, *workers;
    struct cli_fleet_words rigs;
    struct track_words tracks;
    const char *device, *class, *busy;
    bool json, tone_map, resume, dry_run, explain, devices;
    const char *other;   /* with resume: an option that the kept words decide */
    bool resumed, whole; /* whole, if resumed: one file, whatever its name now */
};

/* An option of `options` that is given and not for this run alone; NULL: there is none. */
static const char *find_other(const struct cli_option *options, size_t count)
{
    static const char *const own[] = {"o", "json", "resume", "dry-run", "explain"};
    for (size_t i = 0; i < count; i++) {
        bool given = options[i].value != NULL ? *options[i].value != NULL : *options[i].flag;
        for (size_t j = 0; j < RR_COUNT(own); j++) {
            given = given && strcmp(options[i].name, own[j]) != 0;
        }
        if (given) {
            return options[i].name;
        }
    }
    return NULL;
}

static bool read_words(struct words *words, size_t *count, int argc, char **argv)
{
    *words = (struct words){0};
    const struct cli_option options[] = {{"o", &words->folder, NULL},
                                         {"ladder", &words->ladder, NULL},
                                         {"preset", &words->preset, NULL},
                                         {"gop-ms", &words->gop_ms, NULL},
                                         {"crf", &words->crf, NULL},
                                         {"audio-kbps", &words->audio_kbps, NULL},
                                         {"workers", &words->workers, NULL},
                                         {"codec", &words->codec, NULL},
                                         {"kbps", &words->kbps, NULL},
                                         {"max-kbps", &words->max_kbps, NULL},
                                         {"tone-map", NULL, &words->tone_map},
                                         {"nats", &words->rigs.nats, NULL},
                                         {"nats-auth", &words->rigs.auth, NULL},
                                         {"nats-ca", &words->rigs.ca, NULL},
                                         {"shards", &words->rigs.shards, NULL},
                                         {"video", &words->tracks.video, NULL},
                                         {"audio", &words->tracks.audio, NULL},
                                         {"subtitles", &words->tracks.subtitles, NULL},
                                         {"audio-codec", &words->tracks.codec, NULL},
                                         {"channels", &words->tracks.channels, NULL},
                                         {"format", &words->tracks.format, NULL},
                                         {"device", &words->device, NULL},
                                         {"class", &words->class, NULL},
                                         {"when-busy", &words->busy, NULL},
                                         {"devices", NULL, &words->devices},
                                         {"json", NULL, &words->json},
                                         {"resume", NULL, &words->resume},
                                         {"dry-run", NULL, &words->dry_run},
                                         {"explain", NULL, &words->explain}};
    if (!cli_options(argc, argv, options, RR_COUNT(options), &words->in, 1, count)) {
        return false;
    }
    words->other = find_other(options, RR_COUNT(options));
    return true;
}

/* A --crf that no rung would use was asked for in vain. */
static enum rr_err check_crf(const struct rr_transcode_options *job, struct rr_fault *fault)
{
    const struct rr_ladder *ladder = &job->ladder;
    bool used = job->crf == 0 || ladder->rung_count == 0;
    for (unsigned i = 0; i < ladder->rung_count; i++) {
        used |= ladder->rates[i].crf == 0 && ladder->rates[i].kbps == 0;
    }
    return used ? RR_OK
                : rr_fail(fault, RR_ERR_USAGE,
                          "--crf %u is for rungs that say nothing themselves, and each has a mean "
                          "rate or a crf of its own; leave out --crf, or take --max-kbps for a "
                          "limit",
                          job->crf);
}

/* Into the job; pointers stay borrowed. */
static enum rr_err read_options(struct rr_transcode_options *job, const struct words *words,
                                struct rr_fault *fault)
{
    uint64_t gop_ms = 0, crf = 0, audio_kbps = 0, workers = 0;
    const char *codec = given_or(words->codec, "h264");
    enum rr_err err = read_number(&gop_ms, "gop-ms", words->gop_ms, 500, 10000, fault);
    err = err != RR_OK ? err : read_number(&crf, "crf", words->crf, 1, 63, fault);
    err = err != RR_OK ? err
                       : read_number(&audio_kbps, "audio-kbps", words->audio_kbps, 16, 512, fault);
    err = err != RR_OK ? err : read_number(&workers, "workers", words->workers, 1, 256, fault);
    if (err != RR_OK) {
        return err;
    }
    *job = (struct rr_transcode_options){.gop_ms = (uint32_t)gop_ms,
                                         .crf = (uint16_t)crf,
                                         .audio_bps = (uint32_t)audio_kbps * 1000,
                                         .workers = (unsigned)workers,
                                         .preset = words->preset,
                                         .tone_map = words->tone_map,
                                         .device = given_or(words->device, "auto")};
    if (!rr_codec_parse(&job->codec, codec)) {
        return rr_fail(fault, RR_ERR_USAGE, "codec \"%.32s\": h264, hevc, av1 and vp9 are known",
                       codec);
    }
    err = cli_devices_options(job, given_or(words->class, "exact"), given_or(words->busy, "wait"),
                              fault);
    err = err != RR_OK ? err : read_tracks(job, &words->tracks, fault);
    if (err == RR_OK && words->ladder != NULL) {
        err = rr_ladder_read(&job->ladder, words->ladder, fault);
    }
    err = err != RR_OK ? err : rr_ladder_rates(&job->ladder, words->kbps, words->max_kbps, fault);
    err = err != RR_OK ? err : check_crf(job, fault);
    return err != RR_OK ? err : cli_fleet_check(&words->rigs, job, fault);
}

static enum rr_err outline(const struct words *words, const struct rr_transcode_options *job,
                           struct rr_fault *fault)
{
    struct rr_transcode_outline made;
    int fd;
    enum rr_err err = rr_transcode_open_input(&fd, words->in, fault);
    if (err != RR_OK) {
        return err;
    }
    err = rr_transcode_outline(&made, fd, job, &cancelled, fault);
    close(fd);
    if (err == RR_OK) {
        uint64_t sources = 0;
        if (words->rigs.nats == NULL &&
            (words->rigs.shards == NULL || !cli_read_number(words->rigs.shards, 64, &sources))) {
            sources = cli_fleet_sources(job);
        }
        cli_outline_print(&made, (unsigned)sources, words->explain, words->json);
    }
    return err;
}

static enum rr_err run(const struct words *words, int argc, char **argv, struct rr_fault *fault)
{
    struct rr_transcode_options job;
    struct rr_transcode_result result = {0};
    struct progress_ctx show = {.json = words->json};
    struct rr_buf note = {0};
    struct cli_fleet fleet = {0};
    bool whole = false;
    enum rr_err err = read_options(&job, words, fault);
    if (err == RR_OK && words->folder != NULL) {
        err = read_format(&whole, &job.lists, words->tracks.format, words->folder, fault);
        whole = words->resumed ? words->whole : whole;
        job.one_rung = whole;
    }
    if (err == RR_OK && (words->dry_run || words->explain)) {
        err = outline(words, &job, fault);
    }
    if (err != RR_OK || words->dry_run) {
        return err;
    }
    cli_words_keep(&note, argc, argv);
    job.job_note = (const char *)note.ptr;
    err = cli_fleet_open(&fleet, &words->rigs, words->in, &job, fault);
    if (err == RR_OK) {
        err = (whole ? rr_transcode_to_file : rr_transcode_to_folder)(
            &result, words->folder, words->in, &job, show_progress, &show, &cancelled, fault);
    }
    cli_fleet_close(&fleet);
    rr_buf_clear(&note);
    cli_meter(NULL);
    if (err == RR_OK) {
        print_result(&result, words->folder,
                     whole                        ? ""
                     : job.lists == RR_LISTS_DASH ? "/manifest.mpd"
                                                  : "/master.m3u8",
                     words->json);
        rr_transcode_result_clear(&result);
    }
    return err;
}

/* The words of the job of the folder that is given, in place of those given now. */
static enum rr_err go_on(struct words *words, struct cli_words *kept, struct rr_fault *fault)
{
    struct words now = *words;
    size_t count;
    if (now.other != NULL) {
        return rr_fail(
            fault, RR_ERR_USAGE,
            "--resume goes on by the words that the job was begun with; for another --%s "
            "give the whole command again",
            now.other);
    }
    enum rr_err err = cli_words_read(kept, now.folder, fault);
    if (err == RR_OK && (!read_words(words, &count, kept->argc, kept->argv) || count != 1 ||
                         words->folder == NULL)) {
        err = rr_fail(fault, RR_ERR_FORMAT, "the job's note holds no command of this version");
    }
    words->folder = kept->place;
    words->resumed = true;
    words->whole = kept->whole;
    words->json |= now.json;
    words->dry_run = now.dry_run;
    words->explain |= now.explain;
    return err;
}

int cli_transcode(int argc, char **argv)
{
    struct words words;
    struct rr_fault fault = {0};
    struct cli_words kept = {0};
    size_t count;
    struct sigaction action = {.sa_handler = cancel};
    if (!read_words(&words, &count, argc, argv)) {
        return cli_usage(argv[0]);
    }
    if (words.devices) {
        return cli_devices(words.json);
    }
    if ((words.folder == NULL && !(words.dry_run && !words.resume)) ||
        count != (words.resume ? 0 : 1)) {
        return cli_usage(argv[0]);
    }
    if (words.folder != NULL && words.folder[0] == '\0') {
        enum rr_err err = rr_fail(&fault, RR_ERR_USAGE,
                                  "-o \"\": the name of a folder, or of a file that ends in .mp4, "
                                  "was expected");
        return cli_fail(err, &fault, words.json);
    }
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    enum rr_err err = RR_OK;
    if (words.resume) {
        err = go_on(&words, &kept, &fault);
        argc = kept.argc;
        argv = kept.argv;
    }
    err = err != RR_OK ? err : run(&words, argc, argv, &fault);
    cli_words_clear(&kept);
    return err == RR_OK ? 0 : cli_fail(err, &fault, words.json);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* reelrig transcode: an HLS ladder in a folder, without a rig. */
#include "cli/cli.h"
#include "cli/cli_fleet.h"
#include "transcode/transcode.h"

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
    cli_progress("%5.1f %%  %.1f fps  %.0f s to go", progress->percent, progress->fps,
                 progress->eta_s);
    if (!show->json || now_us < show->next_us) {
        return;
    }
    show->next_us = now_us + 1000000;
    json_t *renditions = json_array();
    for (uint32_t i = 0; i < progress->rendition_count; i++) {
        const struct rr_transcode_rendition_progress *r = &progress->renditions[i];
        json_array_append_new(renditions, json_pack("{s:s, s:I, s:I, s:f}", "name", r->name,
                                                    "gops_done", (json_int_t)r->gops_done, "gops",
                                                    (json_int_t)r->gops, "fps", r->fps));
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
    return json_pack("{s:s, s:s, s:i, s:i, s:I, s:I, s:I}", "name", rendition->info.name, "codecs",
                     rendition->info.codecs, "width", (int)rendition->info.width, "height",
                     (int)rendition->info.height, "segments", (json_int_t)rendition->segment_count,
                     "frames", (json_int_t)rendition->frames_out, "bytes", (json_int_t)bytes);
}

static void print_result(const struct rr_transcode_result *result, const char *folder, bool json)
{
    json_t *list = json_array();
    for (uint32_t i = 0; i < result->rendition_count; i++) {
        json_array_append_new(list, rendition_json(&result->renditions[i]));
    }
    if (json) {
        json_t *out =
            json_pack("{s:s, s:s, s:o, s:I, s:b, s:I, s:I, s:f}", "event", "done", "folder", folder,
                      "renditions", list, "frames_in", (json_int_t)result->frames_in,
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
    cli_print("%s/master.m3u8: %llu frames in %.1f s", folder,
              (unsigned long long)result->frames_in, result->seconds);
    if (result->concealed > 0) {
        cli_print("; damage concealed in %llu pictures, first in GOP %u",
                  (unsigned long long)result->concealed, (unsigned)result->first_damage);
    }
    cli_print("\n");
    json_decref(list);
}

/* The options about tracks, as given. */
struct track_words {
    const char *video, *audio, *subtitles, *codec, *channels;
};

static enum rr_err read_tracks(struct rr_transcode_options *job, const struct track_words *words,
                               struct rr_fault *fault)
{
    uint64_t video = 0;
    bool keep = strcmp(words->channels, "keep") == 0;
    if (!cli_read_number(words->video, 64, &video)) {
        return rr_fail(fault, RR_ERR_USAGE, "video \"%.32s\": a number from 1 on was expected",
                       words->video);
    }
    if (!rr_audio_codec_parse(&job->audio_codec, words->codec)) {
        return rr_fail(fault, RR_ERR_USAGE, "audio codec \"%.32s\": aac and opus are known",
                       words->codec);
    }
    if (!keep && strcmp(words->channels, "stereo") != 0) {
        return rr_fail(fault, RR_ERR_USAGE, "channels \"%.32s\": stereo and keep are known",
                       words->channels);
    }
    job->video = (uint8_t)video;
    job->keep_channels = keep;
    enum rr_err err = rr_tracks_parse(&job->audio, words->audio, fault);
    return err != RR_OK ? err : rr_tracks_parse(&job->subtitles, words->subtitles, fault);
}

int cli_transcode(int argc, char **argv)
{
    const char *in = NULL, *folder = NULL, *ladder = NULL, *preset = NULL;
    const char *codec = "h264", *kbps = NULL, *max_kbps = NULL;
    const char *gop_ms = "2000", *crf = "0", *audio_kbps = "128", *workers = "0";
    bool json = false, tone_map = false;
    struct cli_fleet_words rigs = {0};
    struct cli_fleet fleet = {0};
    size_t count;
    struct track_words tracks = {"0", "all", "all", "aac", "stereo"};
    const struct cli_option options[] = {{"o", &folder, NULL},
                                         {"ladder", &ladder, NULL},
                                         {"preset", &preset, NULL},
                                         {"gop-ms", &gop_ms, NULL},
                                         {"crf", &crf, NULL},
                                         {"audio-kbps", &audio_kbps, NULL},
                                         {"workers", &workers, NULL},
                                         {"json", NULL, &json},
                                         {"codec", &codec, NULL},
                                         {"kbps", &kbps, NULL},
                                         {"max-kbps", &max_kbps, NULL},
                                         {"tone-map", NULL, &tone_map},
                                         {"nats", &rigs.nats, NULL},
                                         {"nats-auth", &rigs.auth, NULL},
                                         {"nats-ca", &rigs.ca, NULL},
                                         {"shards", &rigs.shards, NULL},
                                         {"video", &tracks.video, NULL},
                                         {"audio", &tracks.audio, NULL},
                                         {"subtitles", &tracks.subtitles, NULL},
                                         {"audio-codec", &tracks.codec, NULL},
                                         {"channels", &tracks.channels, NULL}};
    uint64_t gop_value, crf_value, audio_value, workers_value;
    if (!cli_options(argc, argv, options, RR_COUNT(options), &in, 1, &count) || count != 1 ||
        folder == NULL || !cli_read_number(gop_ms, 10000, &gop_value) ||
        !cli_read_number(crf, 63, &crf_value) || !cli_read_number(audio_kbps, 512, &audio_value) ||
        !cli_read_number(workers, 256, &workers_value)) {
        return cli_usage(argv[0]);
    }
    struct rr_fault fault = {0};
    struct rr_transcode_result result = {0};
    struct progress_ctx show = {.json = json};
    struct rr_transcode_options job = {.gop_ms = (uint32_t)gop_value,
                                       .crf = (uint16_t)crf_value,
                                       .audio_bps = (uint32_t)audio_value * 1000,
                                       .workers = (unsigned)workers_value,
                                       .preset = preset,
                                       .tone_map = tone_map};
    struct sigaction action = {.sa_handler = cancel};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    enum rr_err err = rr_codec_parse(&job.codec, codec)
                          ? RR_OK
                          : rr_fail(&fault, RR_ERR_USAGE,
                                    "codec \"%.32s\": h264, hevc, av1 and vp9 are known", codec);
    if (err == RR_OK) {
        err = read_tracks(&job, &tracks, &fault);
    }
    if (err == RR_OK && ladder != NULL) {
        err = rr_ladder_read(&job.ladder, ladder, &fault);
    }
    err = err != RR_OK ? err : rr_ladder_rates(&job.ladder, kbps, max_kbps, &fault);
    err = err != RR_OK ? err : cli_fleet_open(&fleet, &rigs, in, &job, &fault);
    if (err == RR_OK) {
        err = rr_transcode_to_folder(&result, folder, in, &job, show_progress, &show, &cancelled,
                                     &fault);
    }
    cli_fleet_close(&fleet);
    cli_progress("%s", "");
    if (err != RR_OK) {
        return cli_fail(err, &fault, json);
    }
    print_result(&result, folder, json);
    rr_transcode_result_clear(&result);
    return 0;
}

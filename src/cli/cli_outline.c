/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cli/cli_transcode.h"

#include <stdio.h>

static json_t *facts_json(const struct rr_transcode_facts *facts)
{
    json_t *audio = json_array();
    for (uint32_t i = 0; i < facts->audio_count && i < RR_TRANSCODE_AUDIO_MAX; i++) {
        json_array_append_new(audio,
                              json_pack("{s:s, s:I, s:I}", "codec", facts->audio[i].codec,
                                        "channels", (json_int_t)facts->audio[i].channels,
                                        "sample_rate", (json_int_t)facts->audio[i].sample_rate));
    }
    json_t *out = json_pack(
        "{s:s, s:f, s:b, s:o, s:I, s:I}", "container", facts->container, "seconds",
        (double)facts->duration_us / 1e6, "has_video", (int)facts->has_video, "audio", audio,
        "videos", (json_int_t)facts->video_count, "subtitles", (json_int_t)facts->subtitle_count);
    if (facts->has_video) {
        cli_json_set(out, "codec", cli_json_text(facts->video_codec));
        cli_json_set(out, "width", json_integer(facts->width));
        cli_json_set(out, "height", json_integer(facts->height));
        cli_json_set(out, "rotation", json_integer(facts->rotation));
        cli_json_set(out, "fps", json_real((double)facts->fps_num / facts->fps_den));
        cli_json_set(out, "bit_depth", json_integer(facts->bit_depth));
    }
    return out;
}

static void print_json(const struct rr_transcode_outline *outline, unsigned sources)
{
    json_t *rungs = json_array();
    for (uint32_t i = 0; i < outline->rung_count; i++) {
        const struct rr_outline_rung *rung = &outline->rungs[i];
        json_array_append_new(rungs, json_pack("{s:s, s:b, s:i, s:i, s:i, s:I, s:I, s:s}", "name",
                                               rung->name, "made", rung->width > 0, "width",
                                               (int)rung->width, "height", (int)rung->height, "crf",
                                               (int)rung->rate.crf, "kbps",
                                               (json_int_t)rung->rate.kbps, "max_kbps",
                                               (json_int_t)rung->rate.max_kbps, "why", rung->why));
    }
    json_t *out =
        json_pack("{s:s, s:o, s:s, s:I, s:I, s:I, s:I, s:b, s:b, s:s, s:s, s:o}", "event", "plan",
                  "source", facts_json(&outline->facts), "profile", outline->profile, "gop_ms",
                  (json_int_t)outline->gop_ms, "gops", (json_int_t)outline->gops, "workers",
                  (json_int_t)outline->workers, "sources", (json_int_t)sources, "ten_bit",
                  (int)outline->ten_bit, "tone_map", (int)outline->tone_map, "rates",
                  outline->rates, "exactness", outline->exactness, "rungs", rungs);
    cli_print_json(out);
    json_decref(out);
}

static void rate_text(char *out, size_t room, const struct rr_rung_rate *rate)
{
    int used = rate->kbps > 0 ? snprintf(out, room, "%u kbit/s", (unsigned)rate->kbps)
                              : snprintf(out, room, "CRF %u", rate->crf);
    if (rate->max_kbps > 0) {
        snprintf(out + used, room - (size_t)used, ", at most %u kbit/s", (unsigned)rate->max_kbps);
    }
}

void cli_outline_print(const struct rr_transcode_outline *outline, unsigned sources, bool explain,
                       bool json)
{
    const struct rr_transcode_facts *facts = &outline->facts;
    if (json) {
        print_json(outline, sources);
        return;
    }
    cli_print("source: %s", facts->container);
    if (facts->has_video) {
        cli_print(", %s %ux%u, %.3f fps, %u bit", facts->video_codec, (unsigned)facts->width,
                  (unsigned)facts->height, (double)facts->fps_num / facts->fps_den,
                  facts->bit_depth);
    }
    cli_print(", %.1f s, %u audio, %u subtitle tracks\n", (double)facts->duration_us / 1e6,
              (unsigned)facts->audio_count, (unsigned)facts->subtitle_count);
    if (!facts->has_video) {
        return;
    }
    cli_print("plan: %s%s%s, GOPs of %.1f s, about %u of each rendition, %u workers at a time\n",
              outline->profile, outline->ten_bit ? ", 10 bit" : "",
              outline->tone_map ? ", tone-mapped to BT.709" : "", outline->gop_ms / 1000.0,
              (unsigned)outline->gops, (unsigned)outline->workers);
    for (uint32_t i = 0; i < outline->rung_count; i++) {
        const struct rr_outline_rung *rung = &outline->rungs[i];
        char rate[64];
        if (rung->width == 0 && !explain) {
            continue;
        }
        rate_text(rate, sizeof rate, &rung->rate);
        if (rung->width > 0) {
            cli_print("  %-8s %4ux%-4u  %s", rung->name, rung->width, rung->height, rate);
        } else {
            cli_print("  %-8s", rung->name);
        }
        cli_print("%s%s\n", explain ? "  -- " : "", explain ? rung->why : "");
    }
    if (explain) {
        cli_print("rates: %s\nclass: %s\n", outline->rates, outline->exactness);
        if (sources > 1) {
            cli_print("source: read in %u places at a time; one decoder could not feed all "
                      "encoders\n",
                      sources);
        }
    }
}

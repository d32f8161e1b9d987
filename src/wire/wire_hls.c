/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "wire/wire_private.h"

#include <string.h>

#define AUDIO_GROUP    "audio"
#define SUBTITLE_GROUP "subtitle"

/* ---- multivariant playlist
 * ------------------------------------------------------------------------------ */

static uint64_t pixels(const struct rr_rendition *r)
{
    return (uint64_t)r->width * r->height;
}

static bool higher(const struct rr_rendition *a, const struct rr_rendition *b)
{
    return pixels(a) != pixels(b) ? pixels(a) > pixels(b) : a->peak_bps > b->peak_bps;
}

/* Those of one kind, highest first, in `order`; equal ones as they stand in the manifest. */
static uint32_t sort(const struct rr_rendition *order[static RR_RENDITIONS_MAX],
                     const struct rr_manifest *manifest, enum rr_rendition_kind kind)
{
    uint32_t count = 0;
    RR_CHECK(manifest->rendition_count <= RR_RENDITIONS_MAX);
    for (uint32_t i = 0; i < manifest->rendition_count; i++) {
        const struct rr_rendition *r = &manifest->renditions[i];
        if (r->kind != kind) {
            continue;
        }
        uint32_t at = count++;
        for (; at > 0 && higher(r, order[at - 1]); at--) {
            order[at] = order[at - 1];
        }
        order[at] = r;
    }
    return count;
}

/* Those of one kind as they stand in the manifest, which is the source's order of tracks. */
static uint32_t pick(const struct rr_rendition *order[static RR_RENDITIONS_MAX],
                     const struct rr_manifest *manifest, enum rr_rendition_kind kind)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < manifest->rendition_count; i++) {
        if (manifest->renditions[i].kind == kind) {
            order[count++] = &manifest->renditions[i];
        }
    }
    return count;
}

/* What a player may combine with any video: codecs joined, the dearest audio's rates. */
struct sound {
    const struct rr_rendition *const *list;
    uint32_t count;
    uint64_t peak_bps, mean_bps;
};

static struct sound sound_of(const struct rr_rendition *const *list, uint32_t count)
{
    struct sound sound = {.list = list, .count = count};
    for (uint32_t i = 0; i < count; i++) {
        sound.peak_bps = list[i]->peak_bps > sound.peak_bps ? list[i]->peak_bps : sound.peak_bps;
        sound.mean_bps = list[i]->mean_bps > sound.mean_bps ? list[i]->mean_bps : sound.mean_bps;
    }
    return sound;
}

static void write_codecs(struct rr_buf *out, const char *codecs, const struct sound *sound)
{
    rr_buf_format(out, ",CODECS=\"%s", codecs);
    for (uint32_t i = 0; i < sound->count; i++) {
        bool seen = strcmp(sound->list[i]->codecs, codecs) == 0;
        for (uint32_t j = 0; j < i; j++) {
            seen = seen || strcmp(sound->list[i]->codecs, sound->list[j]->codecs) == 0;
        }
        if (!seen) {
            rr_buf_format(out, ",%s", sound->list[i]->codecs);
        }
    }
    rr_buf_format(out, "\"");
}

/* A quoted string of the playlist: what would end it becomes an apostrophe. */
static void write_quoted(struct rr_buf *out, const char *text)
{
    for (; *text != '\0'; text++) {
        rr_write_u8(out, (uint8_t)(*text == '"' ? '\'' : *text));
    }
}

/* NAME differs within a group [RFC 8216, 4.3.4.1.1]: two of one label say their rendition too. */
static void write_name(struct rr_buf *out, const struct rr_rendition *const *list, uint32_t count,
                       uint32_t index)
{
    const struct rr_rendition *r = list[index];
    bool twice = false;
    for (uint32_t i = 0; i < count; i++) {
        twice = twice || (i != index && (strcmp(list[i]->label, r->label) == 0 ||
                                         strcmp(list[i]->name, r->label) == 0));
    }
    rr_buf_format(out, ",NAME=\"");
    write_quoted(out, r->label[0] != '\0' ? r->label : r->name);
    if (r->label[0] != '\0' && twice) {
        rr_buf_format(out, " (%s)", r->name);
    }
    rr_buf_format(out, "\"");
    if (r->language[0] != '\0') {
        rr_buf_format(out, ",LANGUAGE=\"%s\"", r->language);
    }
}

/* The first that its flags call default; else `otherwise`. */
static uint32_t default_of(const struct rr_rendition *const *list, uint32_t count,
                           uint32_t otherwise)
{
    for (uint32_t i = 0; i < count; i++) {
        if ((list[i]->flags & RR_RENDITION_DEFAULT) != 0) {
            return i;
        }
    }
    return otherwise;
}

static void write_audio_group(struct rr_buf *out, const struct sound *sound)
{
    uint32_t first = default_of(sound->list, sound->count, 0);
    for (uint32_t i = 0; i < sound->count; i++) {
        const struct rr_rendition *r = sound->list[i];
        rr_buf_format(out, "#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"" AUDIO_GROUP "\"");
        write_name(out, sound->list, sound->count, i);
        rr_buf_format(out, ",DEFAULT=%s,AUTOSELECT=YES", i == first ? "YES" : "NO");
        if (r->channels > 0) {
            rr_buf_format(out, ",CHANNELS=\"%u\"", r->channels);
        }
        rr_buf_format(out, ",URI=\"%s/index.m3u8\"\n", r->name);
    }
}

static void write_subtitle_group(struct rr_buf *out, const struct rr_rendition *const *list,
                                 uint32_t count)
{
    uint32_t first = default_of(list, count, count);
    for (uint32_t i = 0; i < count; i++) {
        bool forced = (list[i]->flags & RR_RENDITION_FORCED) != 0;
        rr_buf_format(out, "#EXT-X-MEDIA:TYPE=SUBTITLES,GROUP-ID=\"" SUBTITLE_GROUP "\"");
        write_name(out, list, count, i);
        rr_buf_format(out, ",DEFAULT=%s,AUTOSELECT=YES,FORCED=%s,URI=\"%s/index.m3u8\"\n",
                      i == first ? "YES" : "NO", forced ? "YES" : "NO", list[i]->name);
    }
}

/* The size to show it at: pixels made square by the width. */
static void write_resolution(struct rr_buf *out, const struct rr_rendition *r)
{
    uint64_t width = r->width;
    if (r->sar_num > 0 && r->sar_den > 0) {
        width = (width * r->sar_num + r->sar_den / 2) / r->sar_den;
    }
    rr_buf_format(out, ",RESOLUTION=%llux%u", (unsigned long long)width, r->height);
}

static void write_video(struct rr_buf *out, const struct rr_rendition *r, const struct sound *sound,
                        bool subtitles)
{
    static const char *const ranges[] = {"SDR", "PQ", "HLG"};
    unsigned long long peak_bps = r->peak_bps + sound->peak_bps;
    unsigned long long mean_bps = r->mean_bps + sound->mean_bps;
    rr_buf_format(out, "#EXT-X-STREAM-INF:BANDWIDTH=%llu,AVERAGE-BANDWIDTH=%llu", peak_bps,
                  mean_bps);
    write_codecs(out, r->codecs, sound);
    write_resolution(out, r);
    if (r->fps_num > 0 && r->fps_den > 0) {
        uint64_t milli = ((uint64_t)r->fps_num * 1000 + r->fps_den / 2) / r->fps_den;
        rr_buf_format(out, ",FRAME-RATE=%llu.%03u", (unsigned long long)(milli / 1000),
                      (unsigned)(milli % 1000));
    }
    RR_CHECK(r->video_range < RR_COUNT(ranges));
    rr_buf_format(out, ",VIDEO-RANGE=%s", ranges[r->video_range]);
    if (sound->count > 0) {
        rr_buf_format(out, ",AUDIO=\"" AUDIO_GROUP "\"");
    }
    if (subtitles) {
        rr_buf_format(out, ",SUBTITLES=\"" SUBTITLE_GROUP "\"");
    }
    rr_buf_format(out, "\n%s/index.m3u8\n", r->name);
}

/* Tracks of a file without pictures are no bit rates of each other: one variant, the default one,
 * and all of them as its group. */
static void write_sound_alone(struct rr_buf *out, const struct sound *sound, bool subtitles)
{
    const struct rr_rendition *r = sound->list[default_of(sound->list, sound->count, 0)];
    rr_buf_format(out, "#EXT-X-STREAM-INF:BANDWIDTH=%llu,AVERAGE-BANDWIDTH=%llu",
                  (unsigned long long)sound->peak_bps, (unsigned long long)sound->mean_bps);
    write_codecs(out, r->codecs, sound);
    if (sound->count > 1) {
        rr_buf_format(out, ",AUDIO=\"" AUDIO_GROUP "\"");
    }
    if (subtitles) {
        rr_buf_format(out, ",SUBTITLES=\"" SUBTITLE_GROUP "\"");
    }
    rr_buf_format(out, "\n%s/index.m3u8\n", r->name);
}

void rr_hls_master(struct rr_buf *out, const struct rr_manifest *manifest)
{
    const struct rr_rendition *videos[RR_RENDITIONS_MAX], *audios[RR_RENDITIONS_MAX];
    const struct rr_rendition *subtitles[RR_RENDITIONS_MAX];
    uint32_t video_count = sort(videos, manifest, RR_RENDITION_VIDEO);
    uint32_t audio_count = pick(audios, manifest, RR_RENDITION_AUDIO);
    uint32_t subtitle_count = pick(subtitles, manifest, RR_RENDITION_SUBTITLE);
    struct sound sound = sound_of(audios, audio_count);
    rr_buf_format(out, "#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-INDEPENDENT-SEGMENTS\n");
    if (video_count > 0 || audio_count > 1) {
        write_audio_group(out, &sound);
    }
    write_subtitle_group(out, subtitles, subtitle_count);
    for (uint32_t i = 0; i < video_count; i++) {
        write_video(out, videos[i], &sound, subtitle_count > 0);
    }
    if (video_count == 0 && audio_count > 0) {
        write_sound_alone(out, &sound, subtitle_count > 0);
    }
}

/* ---- media playlist
 * -------------------------------------------------------------------------------------- */

/* No EXTINF is above it, so neither is any rounded one [RFC 8216, 4.3.3.1]; players of old versions
 * did not round. */
static uint64_t target_duration_s(const struct rr_rendition *rendition)
{
    uint64_t longest = 1;
    for (uint32_t i = 0; i < rendition->segment_count; i++) {
        uint64_t ticks = rendition->segments[i].duration;
        uint64_t seconds = (ticks + rendition->timescale - 1) / rendition->timescale;
        longest = seconds > longest ? seconds : longest;
    }
    return longest;
}

void rr_hls_media(struct rr_buf *out, const struct rr_rendition *rendition)
{
    rr_hls_media_puzzles(out, rendition, NULL, 0);
}

void rr_hls_media_puzzles(struct rr_buf *out, const struct rr_rendition *rendition,
                          const struct rr_puzzle_entry *entries, uint32_t count)
{
    uint32_t next = 0;
    bool text = rendition->kind == RR_RENDITION_SUBTITLE;
    RR_CHECK(rendition->timescale > 0);
    rr_buf_format(out,
                  "#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-TARGETDURATION:%llu\n#EXT-X-MEDIA-SEQUENCE:0\n"
                  "#EXT-X-PLAYLIST-TYPE:VOD\n%s",
                  (unsigned long long)target_duration_s(rendition),
                  text ? "" : "#EXT-X-INDEPENDENT-SEGMENTS\n#EXT-X-MAP:URI=\"init.mp4\"\n");
    for (uint32_t i = 0; i < rendition->segment_count; i++) {
        uint64_t ticks = rendition->segments[i].duration;
        uint64_t us = (ticks * 1000000 + rendition->timescale / 2) / rendition->timescale;
        for (; next < count && entries[next].segment == i; next++) {
            rr_puzzle_tag_text(out, &entries[next].contract_id, &entries[next].puzzle);
            rr_write_u8(out, '\n');
        }
        rr_buf_format(out, "#EXTINF:%llu.%06u,\nseg_%05u.%s\n", (unsigned long long)(us / 1000000),
                      (unsigned)(us % 1000000), i, text ? "vtt" : "m4s");
    }
    rr_buf_format(out, "#EXT-X-ENDLIST\n");
}

/* ---- paths
 * ---------------------------------------------------------------------------------------------------
 */

static bool is(struct rr_slice text, const char *word)
{
    return rr_slice_equal(text, rr_slice_str(word));
}

/* "seg_NNNNN.m4s" or ".vtt", always five digits. */
static bool take_segment(struct rr_slice file, const char *ending, uint32_t *out)
{
    uint32_t number = 0;
    if (!wire_take_word(&file, "seg_") || file.len != 5 + strlen(ending)) {
        return false;
    }
    for (int i = 0; i < 5; i++) {
        if (file.ptr[i] < '0' || file.ptr[i] > '9') {
            return false;
        }
        number = number * 10 + (uint32_t)(file.ptr[i] - '0');
    }
    *out = number;
    return is(rr_slice_of(file.ptr + 5, file.len - 5), ending);
}

static bool find_in(struct rr_hls_ref *out, const struct rr_rendition *rendition,
                    struct rr_slice file)
{
    uint32_t segment;
    bool text = rendition->kind == RR_RENDITION_SUBTITLE;
    if (is(file, "index.m3u8")) {
        out->kind = RR_HLS_MEDIA;
        return true;
    }
    if (is(file, text ? "all.ttml" : "init.mp4")) {
        out->kind = RR_HLS_INIT;
        return true;
    }
    if (!take_segment(file, text ? ".vtt" : ".m4s", &segment) ||
        segment >= rendition->segment_count) {
        return false;
    }
    out->kind = RR_HLS_SEGMENT;
    out->segment = segment;
    return true;
}

bool rr_hls_find(struct rr_hls_ref *out, const struct rr_manifest *manifest, struct rr_slice path)
{
    struct rr_hls_ref ref = {.kind = RR_HLS_MASTER};
    const uint8_t *slash = path.len > 0 ? memchr(path.ptr, '/', path.len) : NULL;
    if (slash == NULL) {
        ref.kind = is(path, "manifest.mpd") ? RR_HLS_DASH : RR_HLS_MASTER;
        if (ref.kind == RR_HLS_MASTER && !is(path, "master.m3u8")) {
            return false;
        }
        *out = ref;
        return true;
    }
    struct rr_slice name = rr_slice_of(path.ptr, (size_t)(slash - path.ptr));
    struct rr_slice file = rr_slice_of(slash + 1, path.len - name.len - 1);
    for (uint32_t i = 0; i < manifest->rendition_count; i++) {
        if (is(name, manifest->renditions[i].name)) {
            ref.rendition = i;
            if (!find_in(&ref, &manifest->renditions[i], file)) {
                return false;
            }
            *out = ref;
            return true;
        }
    }
    return false;
}

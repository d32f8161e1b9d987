/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The DASH manifest of the segments that the HLS playlists name. */
#include "wire/wire_private.h"

#include <inttypes.h>
#include <string.h>

static uint64_t end_of(const struct rr_rendition *rendition)
{
    const struct rr_segment *last =
        rendition->segment_count > 0 ? &rendition->segments[rendition->segment_count - 1] : NULL;
    return last != NULL ? last->start + last->duration : 0;
}

/* "PT12.345S", rounded up: nothing lies behind it. */
static void write_duration(struct rr_buf *out, uint64_t ticks, uint32_t timescale)
{
    uint64_t ms = ticks / timescale * 1000 + (ticks % timescale * 1000 + timescale - 1) / timescale;
    rr_buf_format(out, "PT%" PRIu64 ".%03uS", ms / 1000, (unsigned)(ms % 1000));
}

/* Runs of equal segments that follow each other are one S. */
static void write_timeline(struct rr_buf *out, const struct rr_rendition *rendition)
{
    rr_buf_format(out, "          <SegmentTimeline>\n");
    for (uint32_t i = 0, run; i < rendition->segment_count; i += run) {
        const struct rr_segment *first = &rendition->segments[i];
        for (run = 1; i + run < rendition->segment_count; run++) {
            const struct rr_segment *next = &rendition->segments[i + run];
            if (next->duration != first->duration ||
                next->start != first->start + (uint64_t)run * first->duration) {
                break;
            }
        }
        rr_buf_format(out, "            <S t=\"%" PRIu64 "\" d=\"%" PRIu32 "\"", first->start,
                      first->duration);
        if (run > 1) {
            rr_buf_format(out, " r=\"%" PRIu32 "\"", run - 1);
        }
        rr_buf_format(out, "/>\n");
    }
    rr_buf_format(out, "          </SegmentTimeline>\n");
}

static void write_representation(struct rr_buf *out, const struct rr_rendition *r)
{
    rr_buf_format(out, "      <Representation id=\"%s\" codecs=\"%s\" bandwidth=\"%" PRIu32 "\"",
                  r->name, r->codecs, r->peak_bps);
    if (r->kind == RR_RENDITION_VIDEO) {
        rr_buf_format(out, " width=\"%u\" height=\"%u\" sar=\"%u:%u\"", r->width, r->height,
                      r->sar_num > 0 ? r->sar_num : 1u, r->sar_den > 0 ? r->sar_den : 1u);
        if (r->fps_num > 0 && r->fps_den > 0) {
            rr_buf_format(out, " frameRate=\"%" PRIu32 "/%" PRIu32 "\"", r->fps_num, r->fps_den);
        }
        rr_buf_format(out, ">\n");
    } else {
        rr_buf_format(out, " audioSamplingRate=\"%" PRIu32 "\">\n", r->sample_rate);
        rr_buf_format(out,
                      "        <AudioChannelConfiguration schemeIdUri="
                      "\"urn:mpeg:dash:23003:3:audio_channel_configuration:2011\" "
                      "value=\"%u\"/>\n",
                      r->channels);
    }
    rr_buf_format(out,
                  "        <SegmentTemplate timescale=\"%" PRIu32 "\" startNumber=\"0\" "
                  "initialization=\"$RepresentationID$/init.mp4\" "
                  "media=\"$RepresentationID$/seg_$Number%%05d$.m4s\">\n",
                  r->timescale);
    write_timeline(out, r);
    rr_buf_format(out, "        </SegmentTemplate>\n      </Representation>\n");
}

/* Text of an element or attribute. */
static void write_escaped(struct rr_buf *out, const char *text)
{
    for (; *text != '\0'; text++) {
        const char *entity = *text == '&'   ? "&amp;"
                             : *text == '<' ? "&lt;"
                             : *text == '>' ? "&gt;"
                             : *text == '"' ? "&quot;"
                                            : NULL;
        if (entity != NULL) {
            rr_buf_format(out, "%s", entity);
        } else if (strncmp(text, "\xef\xbf\xbe", 3) == 0 || strncmp(text, "\xef\xbf\xbf", 3) == 0) {
            rr_write_u8(out, '?'); /* no characters of XML [XML 1.0, 2.2] */
            text += 2;
        } else {
            rr_write_u8(out, (uint8_t)*text);
        }
    }
}

/* Renditions of one range of colours: what a player may switch between. */
static void write_videos(struct rr_buf *out, const struct rr_manifest *manifest,
                         uint8_t video_range)
{
    static const unsigned transfers[] = {1, 16, 18}; /* [ITU-T H.273, table 3]: BT.709, PQ, HLG */
    bool open = false;
    for (uint32_t i = 0; i < manifest->rendition_count; i++) {
        const struct rr_rendition *r = &manifest->renditions[i];
        if (r->kind != RR_RENDITION_VIDEO || r->video_range != video_range) {
            continue;
        }
        if (!open) {
            rr_buf_format(out, "    <AdaptationSet contentType=\"video\" mimeType=\"video/mp4\" "
                               "segmentAlignment=\"true\" startWithSAP=\"1\">\n");
            if (video_range != 0) {
                rr_buf_format(out,
                              "      <SupplementalProperty schemeIdUri="
                              "\"urn:mpeg:mpegB:cicp:TransferCharacteristics\" value=\"%u\"/>\n",
                              transfers[video_range]);
            }
            open = true;
        }
        write_representation(out, r);
    }
    if (open) {
        rr_buf_format(out, "    </AdaptationSet>\n");
    }
}

static void write_set_start(struct rr_buf *out, const struct rr_rendition *r, const char *type)
{
    rr_buf_format(out, "    <AdaptationSet %s", type);
    if (r->language[0] != '\0') {
        rr_buf_format(out, " lang=\"%s\"", r->language);
    }
    rr_buf_format(out, ">\n");
    if (r->label[0] != '\0') {
        rr_buf_format(out, "      <Label>");
        write_escaped(out, r->label);
        rr_buf_format(out, "</Label>\n");
    }
}

static void write_role(struct rr_buf *out, const char *value)
{
    rr_buf_format(out, "      <Role schemeIdUri=\"urn:mpeg:dash:role:2011\" value=\"%s\"/>\n",
                  value);
}

/* Each audio track is a set of its own, so that a player offers the choice and never mixes them. */
static void write_audios(struct rr_buf *out, const struct rr_manifest *manifest)
{
    const struct rr_rendition *main = NULL;
    uint32_t count = 0;
    for (uint32_t i = 0; i < manifest->rendition_count; i++) {
        const struct rr_rendition *r = &manifest->renditions[i];
        if (r->kind == RR_RENDITION_AUDIO) {
            bool better = main == NULL || ((main->flags & RR_RENDITION_DEFAULT) == 0 &&
                                           (r->flags & RR_RENDITION_DEFAULT) != 0);
            main = better ? r : main;
            count++;
        }
    }
    for (uint32_t i = 0; i < manifest->rendition_count; i++) {
        const struct rr_rendition *r = &manifest->renditions[i];
        if (r->kind != RR_RENDITION_AUDIO) {
            continue;
        }
        write_set_start(out, r,
                        "contentType=\"audio\" mimeType=\"audio/mp4\" segmentAlignment=\"true\" "
                        "startWithSAP=\"1\"");
        if (count > 1) {
            write_role(out, r == main ? "main" : "alternate");
        }
        write_representation(out, r);
        rr_buf_format(out, "    </AdaptationSet>\n");
    }
}

/* Whole files, fetched once. TTML and not WebVTT, and no contentType: ffmpeg refuses a manifest
 * that names a file as text and does not end in what it knows of media. */
static void write_subtitles(struct rr_buf *out, const struct rr_manifest *manifest)
{
    for (uint32_t i = 0; i < manifest->rendition_count; i++) {
        const struct rr_rendition *r = &manifest->renditions[i];
        if (r->kind != RR_RENDITION_SUBTITLE) {
            continue;
        }
        write_set_start(out, r, "mimeType=\"application/ttml+xml\"");
        write_role(out, (r->flags & RR_RENDITION_FORCED) != 0 ? "forced-subtitle" : "subtitle");
        if ((r->flags & RR_RENDITION_DEFAULT) != 0) {
            write_role(out, "main");
        }
        rr_buf_format(out,
                      "      <Representation id=\"%s\" bandwidth=\"%" PRIu32 "\">\n"
                      "        <BaseURL>%s/all.ttml</BaseURL>\n      </Representation>\n"
                      "    </AdaptationSet>\n",
                      r->name, r->peak_bps, r->name);
    }
}

void rr_dash_manifest(struct rr_buf *out, const struct rr_manifest *manifest)
{
    const struct rr_rendition *longest = NULL;
    uint64_t segment_s = 1;
    for (uint32_t i = 0; i < manifest->rendition_count; i++) {
        const struct rr_rendition *r = &manifest->renditions[i];
        RR_CHECK(r->timescale > 0 && r->video_range <= 2);
        if (longest == NULL ||
            (double)end_of(r) / r->timescale > (double)end_of(longest) / longest->timescale) {
            longest = r;
        }
        for (uint32_t j = 0; j < r->segment_count && r->kind != RR_RENDITION_SUBTITLE; j++) {
            uint64_t s = ((uint64_t)r->segments[j].duration + r->timescale - 1) / r->timescale;
            segment_s = s > segment_s ? s : segment_s;
        }
    }
    rr_buf_format(out, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
                       "<MPD xmlns=\"urn:mpeg:dash:schema:mpd:2011\" "
                       "profiles=\"urn:mpeg:dash:profile:isoff-live:2011\" type=\"static\" "
                       "mediaPresentationDuration=\"");
    write_duration(out, longest != NULL ? end_of(longest) : 0,
                   longest != NULL ? longest->timescale : 1);
    rr_buf_format(out,
                  "\" maxSegmentDuration=\"PT%" PRIu64 "S\" minBufferTime=\"PT%" PRIu64
                  "S\">\n  <Period id=\"0\" start=\"PT0S\">\n",
                  segment_s, segment_s);
    for (uint8_t range = 0; range <= 2; range++) {
        write_videos(out, manifest, range);
    }
    write_audios(out, manifest);
    write_subtitles(out, manifest);
    rr_buf_format(out, "  </Period>\n</MPD>\n");
}

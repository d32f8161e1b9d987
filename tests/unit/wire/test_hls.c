/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Playlists, line by line, and the paths below hls/. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include <string.h>

#include "wire/wire.h"

static struct rr_rendition video(const char *name, uint16_t width, uint16_t height,
                                 uint32_t peak_bps)
{
    struct rr_rendition r = {.kind = RR_RENDITION_VIDEO,
                             .width = width,
                             .height = height,
                             .sar_num = 1,
                             .sar_den = 1,
                             .fps_num = 30000,
                             .fps_den = 1001,
                             .peak_bps = peak_bps,
                             .mean_bps = peak_bps / 2,
                             .timescale = 30000};
    snprintf(r.name, sizeof r.name, "%s", name);
    snprintf(r.codecs, sizeof r.codecs, "avc1.64001f");
    return r;
}

static struct rr_rendition audio(const char *name, uint32_t peak_bps)
{
    struct rr_rendition r = {.kind = RR_RENDITION_AUDIO,
                             .fps_den = 1,
                             .channels = 2,
                             .sample_rate = 48000,
                             .peak_bps = peak_bps,
                             .mean_bps = peak_bps - 1000,
                             .timescale = 48000};
    snprintf(r.name, sizeof r.name, "%s", name);
    snprintf(r.codecs, sizeof r.codecs, "mp4a.40.2");
    return r;
}

static void assert_master(struct rr_rendition *renditions, uint32_t count, const char *expected)
{
    struct rr_manifest manifest = {.renditions = renditions, .rendition_count = count};
    struct rr_buf text = {0};
    rr_hls_master(&text, &manifest);
    rr_write_u8(&text, 0);
    assert_string_equal((const char *)text.ptr, expected);
    rr_buf_clear(&text);
}

#define HEAD "#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-INDEPENDENT-SEGMENTS\n"

static void test_master(void **state)
{
    (void)state;
    struct rr_rendition list[] = {video("360p", 640, 360, 800000), audio("audio", 130000),
                                  video("1080p", 1920, 1080, 5000000)};
    list[2].video_range = 1;
    assert_master(
        list, 3,
        HEAD
        "#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"audio\",NAME=\"audio\",DEFAULT=YES,AUTOSELECT=YES,"
        "CHANNELS=\"2\",URI=\"audio/index.m3u8\"\n"
        "#EXT-X-STREAM-INF:BANDWIDTH=5130000,AVERAGE-BANDWIDTH=2629000,"
        "CODECS=\"avc1.64001f,mp4a.40.2\",RESOLUTION=1920x1080,FRAME-RATE=29.970,VIDEO-RANGE=PQ,"
        "AUDIO=\"audio\"\n1080p/index.m3u8\n"
        "#EXT-X-STREAM-INF:BANDWIDTH=930000,AVERAGE-BANDWIDTH=529000,"
        "CODECS=\"avc1.64001f,mp4a.40.2\",RESOLUTION=640x360,FRAME-RATE=29.970,VIDEO-RANGE=SDR,"
        "AUDIO=\"audio\"\n360p/index.m3u8\n");
}

static void test_master_silent(void **state)
{
    (void)state;
    struct rr_rendition list[] = {video("576p", 720, 576, 1000000)};
    list[0].sar_num = 64; /* 16:9 PAL */
    list[0].sar_den = 45;
    list[0].fps_num = 50;
    list[0].fps_den = 2;
    list[0].video_range = 2;
    assert_master(
        list, 1,
        HEAD "#EXT-X-STREAM-INF:BANDWIDTH=1000000,AVERAGE-BANDWIDTH=500000,CODECS=\"avc1.64001f\","
             "RESOLUTION=1024x576,FRAME-RATE=25.000,VIDEO-RANGE=HLG\n576p/index.m3u8\n");
}

static void test_master_audio_only(void **state)
{
    (void)state;
    struct rr_rendition list[] = {audio("audio", 130000)};
    assert_master(
        list, 1,
        HEAD "#EXT-X-STREAM-INF:BANDWIDTH=130000,AVERAGE-BANDWIDTH=129000,CODECS=\"mp4a.40.2\"\n"
             "audio/index.m3u8\n");
}

static void test_master_two_audios(void **state)
{
    (void)state;
    struct rr_rendition list[] = {video("360p", 640, 360, 800000), audio("low", 64000),
                                  audio("high", 256000), audio("opus", 128000)};
    snprintf(list[3].codecs, sizeof list[3].codecs, "Opus");
    list[3].channels = 0;
    assert_master(
        list, 4,
        HEAD "#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"audio\",NAME=\"low\",DEFAULT=YES,AUTOSELECT=YES,"
             "CHANNELS=\"2\",URI=\"low/index.m3u8\"\n"
             "#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"audio\",NAME=\"high\",DEFAULT=NO,AUTOSELECT=YES,"
             "CHANNELS=\"2\",URI=\"high/index.m3u8\"\n"
             "#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"audio\",NAME=\"opus\",DEFAULT=NO,AUTOSELECT=YES,"
             "URI=\"opus/index.m3u8\"\n"
             "#EXT-X-STREAM-INF:BANDWIDTH=1056000,AVERAGE-BANDWIDTH=655000,"
             "CODECS=\"avc1.64001f,mp4a.40.2,Opus\",RESOLUTION=640x360,FRAME-RATE=29.970,VIDEO-"
             "RANGE=SDR,"
             "AUDIO=\"audio\"\n360p/index.m3u8\n");
}

static struct rr_rendition subtitle(const char *name, const char *language, uint8_t flags)
{
    struct rr_rendition r = {.kind = RR_RENDITION_SUBTITLE,
                             .sar_num = 1,
                             .sar_den = 1,
                             .fps_den = 1,
                             .peak_bps = 600,
                             .mean_bps = 500,
                             .timescale = 1000,
                             .flags = flags};
    snprintf(r.name, sizeof r.name, "%s", name);
    snprintf(r.codecs, sizeof r.codecs, "wvtt");
    snprintf(r.language, sizeof r.language, "%s", language);
    return r;
}

#define AUDIO_MEDIA "#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"audio\",NAME="

static void test_master_tracks(void **state)
{
    (void)state;
    struct rr_rendition list[] = {
        video("360p", 640, 360, 800000), audio("audio", 128000), audio("audio-2", 128000),
        subtitle("subtitle", "en", 0),
        subtitle("subtitle-2", "de", RR_RENDITION_DEFAULT | RR_RENDITION_FORCED)};
    snprintf(list[1].label, sizeof list[1].label, "The \"film\"");
    snprintf(list[2].label, sizeof list[2].label, "The \"film\"");
    snprintf(list[2].language, sizeof list[2].language, "fr");
    list[2].flags = RR_RENDITION_DEFAULT;
    assert_master(
        list, 5,
        HEAD AUDIO_MEDIA
        "\"The 'film' (audio)\",DEFAULT=NO,AUTOSELECT=YES,"
        "CHANNELS=\"2\",URI=\"audio/index.m3u8\"\n" AUDIO_MEDIA
        "\"The 'film' (audio-2)\",LANGUAGE=\"fr\",DEFAULT=YES,AUTOSELECT=YES,"
        "CHANNELS=\"2\",URI=\"audio-2/index.m3u8\"\n"
        "#EXT-X-MEDIA:TYPE=SUBTITLES,GROUP-ID=\"subtitle\",NAME=\"subtitle\",LANGUAGE=\"en\","
        "DEFAULT=NO,AUTOSELECT=YES,FORCED=NO,URI=\"subtitle/index.m3u8\"\n"
        "#EXT-X-MEDIA:TYPE=SUBTITLES,GROUP-ID=\"subtitle\",NAME=\"subtitle-2\",LANGUAGE=\"de\","
        "DEFAULT=YES,AUTOSELECT=YES,FORCED=YES,URI=\"subtitle-2/index.m3u8\"\n"
        "#EXT-X-STREAM-INF:BANDWIDTH=928000,AVERAGE-BANDWIDTH=527000,"
        "CODECS=\"avc1.64001f,mp4a.40.2\",RESOLUTION=640x360,FRAME-RATE=29.970,VIDEO-RANGE=SDR,"
        "AUDIO=\"audio\",SUBTITLES=\"subtitle\"\n360p/index.m3u8\n");
}

static void test_master_sounds_alone(void **state)
{
    (void)state;
    struct rr_rendition list[] = {audio("audio", 128000), audio("audio-2", 130000)};
    list[1].flags = RR_RENDITION_DEFAULT;
    assert_master(list, 2,
                  HEAD AUDIO_MEDIA
                  "\"audio\",DEFAULT=NO,AUTOSELECT=YES,CHANNELS=\"2\",URI=\"audio/"
                  "index.m3u8\"\n" AUDIO_MEDIA
                  "\"audio-2\",DEFAULT=YES,AUTOSELECT=YES,CHANNELS=\"2\",URI=\"audio-2/"
                  "index.m3u8\"\n"
                  "#EXT-X-STREAM-INF:BANDWIDTH=130000,AVERAGE-BANDWIDTH=129000,CODECS=\"mp4a.40."
                  "2\",AUDIO=\"audio\"\naudio-2/index.m3u8\n");
}

static void test_media_text(void **state)
{
    (void)state;
    struct rr_segment segments[] = {{.start = 0, .duration = 10010},
                                    {.start = 10010, .duration = 3003}};
    struct rr_rendition r = subtitle("subtitle", "en", 0);
    struct rr_manifest manifest = {.renditions = &r, .rendition_count = 1};
    struct rr_buf text = {0};
    struct rr_hls_ref ref;
    r.segments = segments;
    r.segment_count = 2;
    rr_hls_media(&text, &r);
    rr_write_u8(&text, 0);
    assert_string_equal((const char *)text.ptr,
                        "#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-TARGETDURATION:11\n"
                        "#EXT-X-MEDIA-SEQUENCE:0\n#EXT-X-PLAYLIST-TYPE:VOD\n"
                        "#EXTINF:10.010000,\nseg_00000.vtt\n#EXTINF:3.003000,\nseg_00001.vtt\n"
                        "#EXT-X-ENDLIST\n");
    rr_buf_clear(&text);
    assert_true(rr_hls_find(&ref, &manifest, rr_slice_str("subtitle/seg_00001.vtt")));
    assert_int_equal(ref.kind, RR_HLS_SEGMENT);
    assert_int_equal(ref.segment, 1);
    assert_true(rr_hls_find(&ref, &manifest, rr_slice_str("subtitle/all.ttml")));
    assert_int_equal(ref.kind, RR_HLS_INIT);
    assert_false(rr_hls_find(&ref, &manifest, rr_slice_str("subtitle/seg_00001.m4s")));
    assert_false(rr_hls_find(&ref, &manifest, rr_slice_str("subtitle/init.mp4")));
    assert_false(rr_hls_find(&ref, &manifest, rr_slice_str("subtitle/seg_00002.vtt")));
}

static void test_dash_tracks(void **state)
{
    (void)state;
    struct rr_rendition list[] = {audio("audio", 128000), audio("audio-2", 128000),
                                  subtitle("subtitle", "de", RR_RENDITION_FORCED)};
    struct rr_manifest manifest = {.renditions = list, .rendition_count = 3};
    struct rr_buf text = {0};
    snprintf(list[0].language, sizeof list[0].language, "en");
    snprintf(list[1].label, sizeof list[1].label, "<R&D>\xef\xbf\xbe");
    list[1].flags = RR_RENDITION_DEFAULT;
    rr_dash_manifest(&text, &manifest);
    rr_write_u8(&text, 0);
    static const char *const parts[] = {
        "startWithSAP=\"1\" lang=\"en\">\n      <Role "
        "schemeIdUri=\"urn:mpeg:dash:role:2011\" value=\"alternate\"/>\n      <Representation "
        "id=\"audio\"",
        "startWithSAP=\"1\">\n      <Label>&lt;R&amp;D&gt;?</Label>\n      <Role "
        "schemeIdUri=\"urn:mpeg:dash:role:2011\" value=\"main\"/>",
        "    <AdaptationSet mimeType=\"application/ttml+xml\" lang=\"de\">\n      <Role "
        "schemeIdUri=\"urn:mpeg:dash:role:2011\" value=\"forced-subtitle\"/>\n      "
        "<Representation id=\"subtitle\" bandwidth=\"600\">\n        "
        "<BaseURL>subtitle/all.ttml</BaseURL>\n"};
    for (size_t i = 0; i < RR_COUNT(parts); i++) {
        if (strstr((const char *)text.ptr, parts[i]) == NULL) {
            fail_msg("no %s in %s", parts[i], (const char *)text.ptr);
        }
    }
    rr_buf_clear(&text);
}

static void test_media(void **state)
{
    (void)state;
    struct rr_segment segments[] = {
        {.duration = 60060}, {.duration = 60060}, {.duration = 1}, {.duration = 29999}};
    struct rr_rendition r = video("360p", 640, 360, 800000);
    struct rr_buf text = {0};
    r.segments = segments;
    r.segment_count = 4;
    rr_hls_media(&text, &r);
    rr_write_u8(&text, 0);
    assert_string_equal(
        (const char *)text.ptr,
        "#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-TARGETDURATION:3\n#EXT-X-MEDIA-SEQUENCE:0\n"
        "#EXT-X-PLAYLIST-TYPE:VOD\n#EXT-X-INDEPENDENT-SEGMENTS\n#EXT-X-MAP:URI=\"init.mp4\"\n"
        "#EXTINF:2.002000,\nseg_00000.m4s\n#EXTINF:2.002000,\nseg_00001.m4s\n"
        "#EXTINF:0.000033,\nseg_00002.m4s\n#EXTINF:0.999967,\nseg_00003.m4s\n#EXT-X-ENDLIST\n");
    rr_buf_clear(&text);
}

/* Every EXTINF, rounded to whole seconds, is at most TARGETDURATION, for any timescale. */
static void test_target_duration(void **state)
{
    (void)state;
    struct rr_prng prng;
    rr_prng_seed(&prng, 8216);
    for (int round = 0; round < 2000; round++) {
        struct rr_segment segment = {.duration = (uint32_t)rr_prng_u64(&prng)};
        struct rr_rendition r = audio("audio", 1000);
        struct rr_buf text = {0};
        r.timescale = (uint32_t)(1 + rr_prng_below(&prng, UINT32_MAX));
        r.segments = &segment;
        r.segment_count = 1;
        rr_hls_media(&text, &r);
        rr_write_u8(&text, 0);
        const char *target = strstr((const char *)text.ptr, "TARGETDURATION:");
        const char *extinf = strstr((const char *)text.ptr, "#EXTINF:");
        assert_true(target != NULL && extinf != NULL);
        double seconds = strtod(extinf + strlen("#EXTINF:"), NULL);
        uint64_t whole = strtoull(target + strlen("TARGETDURATION:"), NULL, 10);
        assert_true(whole >= 1 && (double)whole >= seconds - 0.000001);
        double exact = (double)segment.duration / r.timescale;
        assert_true(seconds - exact < 0.000001 && exact - seconds < 0.000001);
        rr_buf_clear(&text);
    }
}

static void test_find(void **state)
{
    (void)state;
    struct rr_rendition list[] = {video("720p", 1280, 720, 1), audio("audio", 1000)};
    struct rr_manifest manifest = {.renditions = list, .rendition_count = 2};
    list[0].segment_count = 3;
    list[1].segment_count = 65536;
    static const struct {
        const char *path;
        enum rr_hls_kind kind;
        uint32_t rendition, segment;
    } good[] = {{"master.m3u8", RR_HLS_MASTER, 0, 0},
                {"720p/index.m3u8", RR_HLS_MEDIA, 0, 0},
                {"audio/index.m3u8", RR_HLS_MEDIA, 1, 0},
                {"720p/init.mp4", RR_HLS_INIT, 0, 0},
                {"audio/init.mp4", RR_HLS_INIT, 1, 0},
                {"720p/seg_00000.m4s", RR_HLS_SEGMENT, 0, 0},
                {"720p/seg_00002.m4s", RR_HLS_SEGMENT, 0, 2},
                {"audio/seg_65535.m4s", RR_HLS_SEGMENT, 1, 65535}};
    for (size_t i = 0; i < RR_COUNT(good); i++) {
        struct rr_hls_ref ref;
        assert_true(rr_hls_find(&ref, &manifest, rr_slice_str(good[i].path)));
        assert_int_equal(ref.kind, good[i].kind);
        assert_int_equal(ref.rendition, good[i].rendition);
        assert_int_equal(ref.segment, good[i].segment);
    }
    const char *bad[] = {"",
                         "/",
                         "/master.m3u8",
                         "master.m3u",
                         "master.m3u8/",
                         "720p",
                         "720p/",
                         "720/index.m3u8",
                         "720P/index.m3u8",
                         "720p//index.m3u8",
                         "720p/../master.m3u8",
                         "../720p/index.m3u8",
                         "720p/init.mp4x",
                         "720p/seg_00003.m4s",
                         "720p/seg_0000.m4s",
                         "720p/seg_000001.m4s",
                         "720p/seg_ 0001.m4s",
                         "720p/seg_+0001.m4s",
                         "720p/seg_00001.mp4",
                         "720p/seg_00001.m4s?x=1",
                         "audio/seg_65536.m4s"};
    for (size_t i = 0; i < RR_COUNT(bad); i++) {
        struct rr_hls_ref ref;
        if (rr_hls_find(&ref, &manifest, rr_slice_str(bad[i]))) {
            fail_msg("found: '%s'", bad[i]);
        }
    }
    struct rr_hls_ref ref;
    assert_false(rr_hls_find(&ref, &manifest, rr_slice_of("720p/init.mp4\0", 14)));
    assert_false(rr_hls_find(&ref, &manifest, (struct rr_slice){0}));
}

static void test_dash(void **state)
{
    (void)state;
    struct rr_segment pictures[] = {{.start = 0, .duration = 60060},
                                    {.start = 60060, .duration = 60060},
                                    {.start = 120120, .duration = 60060},
                                    {.start = 180180, .duration = 30030}};
    struct rr_segment sounds[] = {{.start = 0, .duration = 96256},
                                  {.start = 96256, .duration = 240000}};
    struct rr_rendition list[] = {video("720p", 1280, 720, 2000000),
                                  video("360p", 640, 360, 500000), audio("audio", 128000)};
    list[0].segments = list[1].segments = pictures;
    list[0].segment_count = 4;
    list[1].segment_count = 1;
    list[1].video_range = 1;
    list[1].sar_num = 4;
    list[1].sar_den = 3;
    list[2].segments = sounds;
    list[2].segment_count = 2;
    struct rr_manifest manifest = {.renditions = list, .rendition_count = 3};
    struct rr_buf text = {0};
    rr_dash_manifest(&text, &manifest);
    rr_write_u8(&text, 0);
    assert_string_equal(
        (const char *)text.ptr,
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
        "<MPD xmlns=\"urn:mpeg:dash:schema:mpd:2011\" "
        "profiles=\"urn:mpeg:dash:profile:isoff-live:2011\" type=\"static\" "
        "mediaPresentationDuration=\"PT7.007S\" maxSegmentDuration=\"PT5S\" "
        "minBufferTime=\"PT5S\">\n"
        "  <Period id=\"0\" start=\"PT0S\">\n"
        "    <AdaptationSet contentType=\"video\" mimeType=\"video/mp4\" "
        "segmentAlignment=\"true\" startWithSAP=\"1\">\n"
        "      <Representation id=\"720p\" codecs=\"avc1.64001f\" bandwidth=\"2000000\" "
        "width=\"1280\" height=\"720\" sar=\"1:1\" frameRate=\"30000/1001\">\n"
        "        <SegmentTemplate timescale=\"30000\" startNumber=\"0\" "
        "initialization=\"$RepresentationID$/init.mp4\" "
        "media=\"$RepresentationID$/seg_$Number%05d$.m4s\">\n"
        "          <SegmentTimeline>\n"
        "            <S t=\"0\" d=\"60060\" r=\"2\"/>\n"
        "            <S t=\"180180\" d=\"30030\"/>\n"
        "          </SegmentTimeline>\n"
        "        </SegmentTemplate>\n      </Representation>\n"
        "    </AdaptationSet>\n"
        "    <AdaptationSet contentType=\"video\" mimeType=\"video/mp4\" "
        "segmentAlignment=\"true\" startWithSAP=\"1\">\n"
        "      <SupplementalProperty "
        "schemeIdUri=\"urn:mpeg:mpegB:cicp:TransferCharacteristics\" value=\"16\"/>\n"
        "      <Representation id=\"360p\" codecs=\"avc1.64001f\" bandwidth=\"500000\" "
        "width=\"640\" height=\"360\" sar=\"4:3\" frameRate=\"30000/1001\">\n"
        "        <SegmentTemplate timescale=\"30000\" startNumber=\"0\" "
        "initialization=\"$RepresentationID$/init.mp4\" "
        "media=\"$RepresentationID$/seg_$Number%05d$.m4s\">\n"
        "          <SegmentTimeline>\n"
        "            <S t=\"0\" d=\"60060\"/>\n"
        "          </SegmentTimeline>\n"
        "        </SegmentTemplate>\n      </Representation>\n"
        "    </AdaptationSet>\n"
        "    <AdaptationSet contentType=\"audio\" mimeType=\"audio/mp4\" "
        "segmentAlignment=\"true\" startWithSAP=\"1\">\n"
        "      <Representation id=\"audio\" codecs=\"mp4a.40.2\" bandwidth=\"128000\" "
        "audioSamplingRate=\"48000\">\n"
        "        <AudioChannelConfiguration "
        "schemeIdUri=\"urn:mpeg:dash:23003:3:audio_channel_configuration:2011\" "
        "value=\"2\"/>\n"
        "        <SegmentTemplate timescale=\"48000\" startNumber=\"0\" "
        "initialization=\"$RepresentationID$/init.mp4\" "
        "media=\"$RepresentationID$/seg_$Number%05d$.m4s\">\n"
        "          <SegmentTimeline>\n"
        "            <S t=\"0\" d=\"96256\"/>\n"
        "            <S t=\"96256\" d=\"240000\"/>\n"
        "          </SegmentTimeline>\n"
        "        </SegmentTemplate>\n      </Representation>\n"
        "    </AdaptationSet>\n"
        "  </Period>\n</MPD>\n");
    rr_buf_clear(&text);
    struct rr_hls_ref ref;
    assert_true(rr_hls_find(&ref, &manifest, rr_slice_str("manifest.mpd")));
    assert_int_equal(ref.kind, RR_HLS_DASH);
    assert_false(rr_hls_find(&ref, &manifest, rr_slice_str("manifest.mp")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        {"the master lists videos highest first with their audio", test_master, NULL, NULL, NULL},
        {"video without audio has no group, and pixels are made square", test_master_silent, NULL,
         NULL, NULL},
        {"audio alone is a stream of its own", test_master_audio_only, NULL, NULL, NULL},
        {"rates and codecs are those of the dearest combination", test_master_two_audios, NULL,
         NULL, NULL},
        {"tracks of sound and text are groups with languages, names and one default",
         test_master_tracks, NULL, NULL, NULL},
        {"several tracks of sound alone are one variant", test_master_sounds_alone, NULL, NULL,
         NULL},
        {"a playlist of text has no map", test_media_text, NULL, NULL, NULL},
        {"DASH has a set for each track", test_dash_tracks, NULL, NULL, NULL},
        {"a media playlist names its segments in order", test_media, NULL, NULL, NULL},
        {"the target duration is never below a segment's", test_target_duration, NULL, NULL, NULL},
        {"a DASH manifest tells the same segments by times", test_dash, NULL, NULL, NULL},
        {"only paths of the manifest are found", test_find, NULL, NULL, NULL},
    };
    return cmocka_run_group_tests_name("wire hls", tests, NULL, NULL);
}

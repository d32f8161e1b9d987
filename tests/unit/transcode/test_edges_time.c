/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Clocks: every way in which a container's times are not 0, 1, 2 ... */
#include "edges.h"

#define BFRAMES "-g 20 -bf 3 -x264-params scenecut=0 "
static const struct edge edges[] = {
    {.name = "open GOPs, H.264",
     .make = EDGE_VIDEO EDGE_X264 "-g 20 -bf 3 -x264-params open-gop=1:scenecut=0 %s/a.mkv",
     .file = "a.mkv",
     .frames = 75},
    {.name = "open GOPs, HEVC",
     .make = EDGE_VIDEO "-c:v libx265 -preset ultrafast -x265-params "
                        "open-gop=1:keyint=20:min-keyint=20:bframes=3:log-level=none %s/b.mp4",
     .file = "b.mp4",
     .frames = 75},
    {.name = "an edit list that begins inside a GOP",
     .make = EDGE_VIDEO EDGE_SOUND EDGE_X264 BFRAMES
     "-c:a aac %s/c0.mp4 | -ss 0.7 -i %s/c0.mp4 -c copy %s/c.mp4",
     .file = "c.mp4"},
    {.name = "negative composition offsets",
     .make = EDGE_VIDEO EDGE_X264 BFRAMES "-movflags negative_cts_offsets %s/d.mp4",
     .file = "d.mp4",
     .frames = 75},
    {.name = "negative decoding times",
     .make = EDGE_VIDEO EDGE_X264 BFRAMES "-avoid_negative_ts disabled %s/e.nut",
     .file = "e.nut",
     .frames = 75},
    {.name = "the 33-bit clock wraps",
     .make = EDGE_VIDEO EDGE_SOUND EDGE_X264 BFRAMES "-c:a aac -output_ts_offset 95442.2 %s/f.ts",
     .file = "f.ts",
     .frames = 75},
    {.name = "a start after ten hours",
     .make = EDGE_VIDEO EDGE_SOUND EDGE_X264 BFRAMES "-c:a aac -output_ts_offset 36000 %s/g.ts",
     .file = "g.ts",
     .frames = 75},
    {.name = "a variable rate",
     .make = EDGE_VIDEO "-vf select=not(mod(n\\,3))+not(mod(n\\,7)) -fps_mode vfr " EDGE_X264
                        "-bf 2 %s/h.mp4",
     .file = "h.mp4"},
    {.name = "a variable rate in milliseconds",
     .make = EDGE_VIDEO "-vf setpts=PTS+random(3)*0.03/TB -fps_mode vfr -enc_time_base 1:1000 "
                        "-c:v libvpx-vp9 -deadline realtime -cpu-used 8 %s/i.webm",
     .file = "i.webm"},
    {.name = "a gap of nine seconds",
     .make = EDGE_VIDEO "-vf setpts=PTS+if(gte(N\\,40)\\,9/TB\\,0) -fps_mode vfr " EDGE_X264
                        "-bf 0 %s/j.mkv",
     .file = "j.mkv",
     .frames = 75},
    {.name = "a gap of 45 seconds in a transport stream",
     .make = EDGE_VIDEO "-vf setpts=PTS+if(gte(N\\,40)\\,45/TB\\,0) -fps_mode vfr " EDGE_X264
                        "-bf 0 %s/k.ts",
     .file = "k.ts",
     .frames = 75},
    {.name = "one picture a second",
     .make = "-f lavfi -i testsrc2=s=160x90:r=1:d=6 " EDGE_X264 "%s/l.mp4",
     .file = "l.mp4",
     .frames = 6},
    {.name = "one picture in five seconds",
     .make = "-f lavfi -i testsrc2=s=160x90:r=1/5:d=20 " EDGE_X264 "%s/m.mp4",
     .file = "m.mp4",
     .frames = 4},
    {.name = "120 pictures a second",
     .make = "-f lavfi -i testsrc2=s=160x90:r=120:d=2 " EDGE_X264 "-bf 2 %s/n.mp4",
     .file = "n.mp4",
     .frames = 240},
    {.name = "one picture in all",
     .make = "-f lavfi -i testsrc2=s=160x90:r=25:d=0.04 " EDGE_X264 "%s/o.mp4",
     .file = "o.mp4",
     .frames = 1},
    {.name = "one key picture in front of twenty seconds",
     .make = "-f lavfi -i testsrc2=s=160x90:r=25:d=20 " EDGE_X264
             "-g 9999 -bf 2 -x264-params scenecut=0 %s/p.mp4",
     .file = "p.mp4",
     .frames = 500},
    {.name = "an elementary stream without any times",
     .make = EDGE_VIDEO EDGE_X264 BFRAMES "%s/q.h264",
     .file = "q.h264",
     .frames = 75,
     .rate = 25},
    {.name = "an AVI, which has decoding times alone",
     .make = EDGE_VIDEO "-c:v mpeg4 -bf 2 -g 20 %s/r.avi",
     .file = "r.avi",
     .frames = 75,
     .rate = 25},
    {.name = "an FLV",
     .make = EDGE_VIDEO EDGE_SOUND EDGE_X264 BFRAMES "-c:a aac %s/s.flv",
     .file = "s.flv",
     .frames = 75},
};

/* ---- transport streams with other stamps
 * ----------------------------------------------------------------------------------------- */

/* Calls `change` with each PES header of video (stream ids 0xe0..) that has both stamps. */
static unsigned each_pes(struct rr_buf *ts, void (*change)(uint8_t *pes, unsigned index))
{
    unsigned index = 0;
    for (size_t at = 0; at + 188 <= ts->len; at += 188) {
        uint8_t *packet = ts->ptr + at;
        size_t body = (packet[3] & 0x20) != 0 ? 5u + packet[4] : 4;
        bool start = (packet[1] & 0x40) != 0 && (packet[3] & 0x10) != 0 && body + 19 < 188;
        uint8_t *pes = packet + body;
        if (start && pes[0] == 0 && pes[1] == 0 && pes[2] == 1 && (pes[3] & 0xf0) == 0xe0 &&
            (pes[7] & 0xc0) == 0xc0) {
            change(pes, index++);
        }
    }
    return index;
}

static void drop_dts(uint8_t *pes, unsigned index)
{
    (void)index;
    pes[7] = (uint8_t)((pes[7] & 0x3f) | 0x80);
    pes[9] = (uint8_t)((pes[9] & 0x0f) | 0x20);
    memset(pes + 14, 0xff, 5); /* stuffing */
}

static uint8_t last_dts[5];
static void double_dts(uint8_t *pes, unsigned index)
{
    if (index % 5 == 4) { /* as its neighbour's before */
        memcpy(pes + 14, last_dts, 5);
    }
    memcpy(last_dts, pes + 14, 5);
}

static void changed_stamps(const char *name, void (*change)(uint8_t *pes, unsigned index))
{
    static struct edge_times want;
    struct edge edge = {.name = name};
    struct rr_transcode_result result = {0};
    struct rr_buf ts = {0};
    char source[RR_PATH_BYTES];
    kit_need_ffmpeg();
    if (!kit_make(EDGE_VIDEO EDGE_X264 BFRAMES "%s/stamps.ts")) {
        skip();
    }
    snprintf(source, sizeof source, "%s", kit_path("stamps.ts"));
    want.count = edge_times(source, "v:0", want.at);
    assert_int_equal(rr_file_read(&ts, source, 1u << 28, NULL), RR_OK);
    assert_true(each_pes(&ts, change) > 20);
    assert_int_equal(rr_file_write(source, rr_buf_slice(&ts), 0600, NULL), RR_OK);
    rr_buf_clear(&ts);
    edge_run(&edge, source, &want, &result); /* pictures' times are not those stamps */
    rr_transcode_result_clear(&result);
}

static void decoding_times_that_are_missing_cost_nothing(void **state)
{
    (void)state;
    changed_stamps("missing DTS", drop_dts);
}

static void decoding_times_that_are_there_twice_cost_nothing(void **state)
{
    (void)state;
    changed_stamps("duplicate DTS", double_dts);
}

/* Two files end to end: the second's clock starts again, its pictures follow the first's. */
static void joined_streams_go_on_where_they_were(void **state)
{
    (void)state;
    static struct edge_times want, second;
    struct edge edge = {.name = "joined", .tolerance_s = 0.1};
    struct rr_transcode_result result = {0};
    struct rr_buf all = {0}, part = {0};
    char source[RR_PATH_BYTES];
    kit_need_ffmpeg();
    if (!kit_make(
            EDGE_VIDEO EDGE_SOUND EDGE_X264 BFRAMES
            "-c:a aac -output_ts_offset 20 %s/one.ts | " EDGE_VIDEO EDGE_SOUND EDGE_X264 BFRAMES
            "-vf negate -c:a aac %s/two.ts")) {
        skip();
    }
    want.count = edge_times(kit_path("one.ts"), "v:0", want.at);
    second.count = edge_times(kit_path("two.ts"), "v:0", second.at);
    assert_int_equal(want.count + second.count, 150);
    for (size_t i = 0; i < second.count; i++) {
        want.at[75 + i] = want.at[74] + 0.04 + second.at[i] - second.at[0];
    }
    want.count = 150;
    assert_int_equal(rr_file_read(&all, kit_path("one.ts"), 1u << 28, NULL), RR_OK);
    assert_int_equal(rr_file_read(&part, kit_path("two.ts"), 1u << 28, NULL), RR_OK);
    rr_buf_append(&all, part.ptr, part.len);
    snprintf(source, sizeof source, "%s", kit_path("joined.ts"));
    assert_int_equal(rr_file_write(source, rr_buf_slice(&all), 0600, NULL), RR_OK);
    edge_run(&edge, source, &want, &result);
    /* The sound too: six seconds, and not three. */
    const struct rr_transcode_rendition *sound = &result.renditions[result.rendition_count - 1];
    const struct rr_transcode_segment *last = &sound->segments[sound->segment_count - 1];
    assert_int_equal(sound->info.kind, RR_RENDITION_AUDIO);
    double seconds = (double)(last->start + last->duration) / sound->info.timescale;
    if (fabs(seconds - 6.0) > 0.12) {
        fail_msg("%f s of sound", seconds);
    }
    rr_transcode_result_clear(&result);
    rr_buf_clear(&all);
    rr_buf_clear(&part);
}

int main(void)
{
    struct CMUnitTest tests[RR_COUNT(edges) + 3];
    size_t count = 0;
    for (size_t i = 0; i < RR_COUNT(edges); i++) {
        tests[count++] = edge_test(&edges[i]);
    }
    tests[count++] =
        (struct CMUnitTest)cmocka_unit_test(decoding_times_that_are_missing_cost_nothing);
    tests[count++] =
        (struct CMUnitTest)cmocka_unit_test(decoding_times_that_are_there_twice_cost_nothing);
    tests[count++] = (struct CMUnitTest)cmocka_unit_test(joined_streams_go_on_where_they_were);
    return cmocka_run_group_tests(tests, kit_begin, kit_end);
}

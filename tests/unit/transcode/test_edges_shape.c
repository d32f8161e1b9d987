/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Pictures of every shape and colour, and streams that become another on the way. */
#include "edges.h"

#define HDR                                                                                        \
    "master-display=G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,1):"         \
    "max-cll=1000,400"
#define CUT(x) EDGE_VIDEO x
#define HALF   "-f lavfi -i testsrc2=s=160x90:r=25:d=1.6 "
#define BIG    "-f lavfi -i testsrc2=s=320x180:r=25:d=1.6 "
#define LATER  "-output_ts_offset 2 "

static const struct edge edges[] = {
    {.name = "pixels twice as wide as high",
     .make = "-f lavfi -i testsrc2=s=80x90:r=25:d=2 -vf setsar=2 " EDGE_X264 "%s/a.mp4",
     .file = "a.mp4",
     .shape = "160,90,1:1,yuv420p"},
    {.name = "anamorphic PAL",
     .make = "-f lavfi -i testsrc2=s=180x144:r=25:d=2 -vf setsar=64/45 " EDGE_X264 "%s/b.mkv",
     .file = "b.mkv"},
    {.name = "odd sides",
     .make = "-f lavfi -i testsrc2=s=162x92:r=25:d=2 -vf format=yuv444p,crop=161:91:exact=1 "
             "-c:v ffv1 %s/c.mkv",
     .file = "c.mkv",
     .shape = "160,90,1:1,yuv420p"},
    {.name = "ten bits, HEVC",
     .make = EDGE_VIDEO "-pix_fmt yuv420p10le -c:v libx265 -preset ultrafast -x265-params "
                        "log-level=none %s/d.mp4",
     .file = "d.mp4",
     .shape = "160,90,1:1,yuv420p10le"},
    {.name = "ten bits, H.264",
     .make = EDGE_VIDEO "-pix_fmt yuv420p10le " EDGE_X264 "%s/e.mkv",
     .file = "e.mkv",
     .shape = "160,90,1:1,yuv420p10le"},
    {.name = "twelve bits, 4:4:4",
     .make = EDGE_VIDEO "-pix_fmt yuv444p12le -c:v libx265 -preset ultrafast -x265-params "
                        "log-level=none %s/f.mp4",
     .file = "f.mp4",
     .shape = "160,90,1:1,yuv420p10le"},
    {.name = "interlaced, woven",
     .make = EDGE_VIDEO "-vf setfield=tff -c:v mpeg2video -flags +ildct+ilme -b:v 2M %s/g.mpg",
     .file = "g.mpg"},
    {.name = "interlaced, macroblocks of fields",
     .make = "-f lavfi -i testsrc2=s=160x96:r=25:d=3 -vf setfield=tff " EDGE_X264
             "-x264-params interlaced=1 %s/h.ts",
     .file = "h.ts",
     .frames = 75},
    {.name = "a cover picture beside the film",
     .make = "-f lavfi -i color=red:s=640x480 -frames:v 1 %s/cover.png | " EDGE_VIDEO EDGE_SOUND
         EDGE_X264 "-c:a aac %s/i0.mp4 | -i %s/cover.png -i %s/i0.mp4 -map 1 -map 0 -c copy "
             "-disposition:v:1 attached_pic %s/i.mp4",
     .file = "i.mp4",
     .frames = 75,
     .shape = "160,90"},
    {.name = "16 wide and 2000 high",
     .make = "-f lavfi -i testsrc2=s=16x2000:r=5:d=1 " EDGE_X264 "%s/j.mp4",
     .file = "j.mp4",
     .shape = "16,2000,1:1,yuv420p",
     .frames = 5},
    {.name = "six streams",
     .make =
         EDGE_VIDEO EDGE_SOUND "-f lavfi -i testsrc2=s=80x44:r=25:d=3 -map 0 -map 1 -map 2 -map 1 "
                               "-map 1 -map 0 " EDGE_X264 "-c:a aac %s/k.mkv",
     .file = "k.mkv",
     .frames = 75,
     .shape = "160,90"},
};

/* ---- streams that change
 * --------------------------------------------------------------------------------- */

struct joint {
    const char *name, *make; /* two files, x0 and x1 */
    uint32_t frames;
    bool jumbled;
};
#define TWO(first, second) first "%s/x0.ts | " second LATER "%s/x1.ts"
static const struct joint joints[] = {
    {.name = "another size midway",
     .make = TWO(HALF EDGE_X264 "-bf 2 ", BIG EDGE_X264 "-bf 2 "),
     .frames = 80},
    {.name = "back to a smaller size midway",
     .make = TWO(BIG EDGE_X264, HALF EDGE_X264),
     .frames = 80},
    {.name = "another profile and other parameter sets midway",
     .make = TWO(HALF EDGE_X264, HALF "-c:v libx264 -preset medium -g 12 -refs 5 "),
     .frames = 80},
    {.name = "another chroma midway",
     .make = TWO(HALF EDGE_X264, HALF EDGE_X264 "-pix_fmt yuv444p "),
     .frames = 80},
    {.name = "ten bits midway",
     .make = TWO(HALF EDGE_X264, HALF EDGE_X264 "-pix_fmt yuv420p10le "),
     .frames = 80},
    {.name = "full range midway",
     .make = TWO(HALF EDGE_X264, HALF EDGE_X264 "-pix_fmt yuvj420p "),
     .frames = 80},
    {.name = "another shape of pixels midway",
     .make = TWO(HALF EDGE_X264, HALF "-vf setsar=4/3 " EDGE_X264),
     .frames = 80},
    {.name = "other parameter sets midway, HEVC",
     .make = TWO(HALF "-c:v libx265 -preset ultrafast -x265-params log-level=none ",
                 BIG "-c:v libx265 -preset fast -x265-params log-level=none "),
     .frames = 80},
    {.name = "another size midway, MPEG-2",
     .make = TWO(HALF "-c:v mpeg2video -bf 2 ", BIG "-c:v mpeg2video -bf 2 ")},
    {.name = "a joint where two pictures of the second are too early",
     .make = HALF EDGE_X264 "-bf 2 %s/x0.ts | " BIG EDGE_X264 "-output_ts_offset 1.6 %s/x1.ts",
     .frames = 80,
     .jumbled = true},
};

static void join_files(char source[RR_PATH_BYTES])
{
    struct rr_buf all = {0}, part = {0};
    assert_int_equal(rr_file_read(&all, kit_path("x0.ts"), 1u << 28, NULL), RR_OK);
    assert_int_equal(rr_file_read(&part, kit_path("x1.ts"), 1u << 28, NULL), RR_OK);
    rr_buf_append(&all, part.ptr, part.len);
    snprintf(source, RR_PATH_BYTES, "%s", kit_path("x.ts"));
    assert_int_equal(rr_file_write(source, rr_buf_slice(&all), 0600, NULL), RR_OK);
    rr_buf_clear(&all);
    rr_buf_clear(&part);
}

static void a_stream_that_changes_keeps_all_pictures(void **state)
{
    const struct joint *joint = *state;
    static struct edge_times want;
    struct edge edge = {.name = joint->name, .jumbled = joint->jumbled};
    struct rr_transcode_result result = {0};
    char source[RR_PATH_BYTES];
    kit_need_ffmpeg();
    if (!kit_make(joint->make)) {
        skip();
    }
    join_files(source);
    want.count = times_of(source, "v:0", want.at, EDGE_FRAMES_MAX);
    assert_true(joint->frames == 0 || want.count == joint->frames);
    edge_rise(&want, 1.0 / 90000);
    edge_run(&edge, source, &want, &result);
    rr_transcode_result_clear(&result);
}

/* ---- turned pictures
 * --------------------------------------------------------------------------------------------- */

/* The eight display matrices of an MP4, 16.16 fixed: a b c d of x' = ax + cy, y' = bx + dy. */
static const int8_t turns[8][4] = {{1, 0, 0, 1}, {-1, 0, 0, 1}, {1, 0, 0, -1}, {-1, 0, 0, -1},
                                   {0, 1, 1, 0}, {0, 1, -1, 0}, {0, -1, 1, 0}, {0, -1, -1, 0}};

static void put_matrix(struct rr_buf *mp4, const int8_t turn[4])
{
    static const uint8_t name[4] = {'t', 'k', 'h', 'd'};
    uint8_t *at = memmem(mp4->ptr, mp4->len, name, sizeof name);
    static const size_t places[4] = {0, 1, 3, 4};
    assert_non_null(at);
    at += 4 + 40; /* version 0: version and flags, then 40 bytes in front of the matrix */
    for (size_t i = 0; i < 4; i++) {
        uint32_t value = (uint32_t)((int32_t)turn[i] * 65536);
        for (size_t j = 0; j < 4; j++) {
            at[places[i] * 4 + j] = (uint8_t)(value >> (24 - 8 * j));
        }
    }
}

/* ffmpeg's own turn is the judge: a wrong one is nowhere near. */
static double likeness(const char *made, const char *source)
{
    char *printed = NULL;
    const char *argv[] = {"ffmpeg", "-nostdin", "-v",   "info", "-i",   made, "-i",
                          source,   "-lavfi",   "psnr", "-f",   "null", "-",  NULL};
    int status = kit_run(&printed, argv);
    const char *average = status == 0 ? strstr(printed, "average:") : NULL;
    double psnr = average != NULL ? strtod(average + strlen("average:"), NULL) : 0;
    rr_free(printed);
    return psnr;
}

static void all_eight_turns_and_mirrors_are_applied(void **state)
{
    (void)state;
    struct rr_buf mp4 = {0};
    char source[RR_PATH_BYTES];
    kit_need_ffmpeg();
    if (!kit_make("-f lavfi -i testsrc=s=160x90:r=5:d=1 " EDGE_X264 "-qp 4 %s/turn.mp4")) {
        skip();
    }
    snprintf(source, sizeof source, "%s", kit_path("turn.mp4"));
    assert_int_equal(rr_file_read(&mp4, source, 1u << 28, NULL), RR_OK);
    for (size_t i = 0; i < RR_COUNT(turns); i++) {
        struct rr_transcode_options options = kit_options("90", 1);
        struct rr_transcode_result result = {0};
        struct rr_fault fault = {0};
        bool upright = turns[i][0] != 0;
        put_matrix(&mp4, turns[i]);
        assert_int_equal(rr_file_write(source, rr_buf_slice(&mp4), 0600, NULL), RR_OK);
        options.crf = 4;
        options.preset = "ultrafast";
        if (kit_job(&result, source, "turned", &options, &fault) != RR_OK) {
            fail_msg("turn %zu: %s", i, fault.text);
        }
        assert_int_equal(result.renditions[0].info.width, upright ? 160 : 90);
        assert_int_equal(result.renditions[0].info.height, upright ? 90 : 160);
        kit_join(kit_path("turned.mp4"), &result.renditions[0]);
        double psnr = likeness(kit_path("turned.mp4"), source);
        if (psnr < 30) {
            fail_msg("turn %zu: PSNR of %.1f dB against ffmpeg's own", i, psnr);
        }
        rr_transcode_result_clear(&result);
        assert_int_equal(rr_remove_tree(kit_path("turned"), NULL), RR_OK);
    }
    rr_buf_clear(&mp4);
}

/* ---- colours
 * ------------------------------------------------------------------------------------------------
 */

static void colours_survive(const char *make, const char *file, const char *entries,
                            const char *const *wanted)
{
    struct edge edge = {.name = file};
    static struct edge_times want;
    struct rr_transcode_result result = {0};
    char source[RR_PATH_BYTES];
    kit_need_ffmpeg();
    if (!kit_make(make)) {
        skip();
    }
    snprintf(source, sizeof source, "%s", kit_path(file));
    want.count = edge_times(source, "v:0", want.at);
    edge_run(&edge, source, &want, &result);
    kit_join(kit_path("joined.mp4"), &result.renditions[0]);
    char *shown = probe(kit_path("joined.mp4"), "v:0", entries);
    for (size_t i = 0; wanted[i] != NULL; i++) {
        if (strstr(shown, wanted[i]) == NULL) {
            fail_msg("%s: ffprobe shows %s without %s", file, shown, wanted[i]);
        }
    }
    rr_free(shown);
    rr_transcode_result_clear(&result);
}

static void full_range_stays_full(void **state)
{
    (void)state;
    static const char *const wanted[] = {"pc", NULL};
    colours_survive(EDGE_VIDEO "-pix_fmt yuvj420p -c:v mjpeg %s/full.avi", "full.avi",
                    "stream=color_range", wanted);
    colours_survive(EDGE_VIDEO "-pix_fmt yuvj420p " EDGE_X264 "%s/full.mkv", "full.mkv",
                    "stream=color_range", wanted);
}

static void hdr10_and_hlg_stay_what_they_are(void **state)
{
    (void)state;
    static const char *const pq[] = {"smpte2084",      "bt2020",   "34000/50000",
                                     "10000000/10000", "1000,400", NULL};
    static const char *const hlg[] = {"arib-std-b67", "bt2020", NULL};
    colours_survive(EDGE_VIDEO "-pix_fmt yuv420p10le -color_primaries bt2020 -color_trc smpte2084 "
                               "-colorspace bt2020nc -c:v libx265 -preset ultrafast -x265-params "
                               "log-level=none:hdr10=1:" HDR " %s/pq.mkv",
                    "pq.mkv",
                    "stream=color_transfer,color_primaries:stream_side_data=red_x,max_luminance,"
                    "max_content,max_average",
                    pq);
    colours_survive(EDGE_VIDEO "-pix_fmt yuv420p10le -color_primaries bt2020 -color_trc "
                               "arib-std-b67 -colorspace bt2020nc -c:v libx265 -preset ultrafast "
                               "-x265-params log-level=none %s/hlg.mkv",
                    "hlg.mkv", "stream=color_transfer,color_primaries", hlg);
}

int main(void)
{
    struct CMUnitTest tests[RR_COUNT(edges) + RR_COUNT(joints) + 3];
    size_t count = 0;
    for (size_t i = 0; i < RR_COUNT(edges); i++) {
        tests[count++] = edge_test(&edges[i]);
    }
    for (size_t i = 0; i < RR_COUNT(joints); i++) {
        union {
            const struct joint *in;
            void *out;
        } joint = {.in = &joints[i]};
        tests[count++] = (struct CMUnitTest){
            joints[i].name, a_stream_that_changes_keeps_all_pictures, NULL, NULL, joint.out};
    }
    tests[count++] = (struct CMUnitTest)cmocka_unit_test(all_eight_turns_and_mirrors_are_applied);
    tests[count++] = (struct CMUnitTest)cmocka_unit_test(full_range_stays_full);
    tests[count++] = (struct CMUnitTest)cmocka_unit_test(hdr10_and_hlg_stay_what_they_are);
    return cmocka_run_group_tests(tests, kit_begin, kit_end);
}

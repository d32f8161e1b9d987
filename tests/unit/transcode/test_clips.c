/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Real clips, each with what makes it hard. Every output is read by ffmpeg and ffprobe, which know
 * nothing of us. */
#include "clips.h"

static const struct clip clips[] = {
    {"bbb_480p24_h264_aac_30s.mp4", "v:0", 720, 2, 854, 480, false, "yuv420p", PLAIN},
    {"bbb_720p24_h264_openGOP_20s.mp4", "v:0", 480, 2, 854, 480, false, "yuv420p", PLAIN},
    {"bbb_720p24_hevc_openGOP_6s.mp4", "v:0", 144, 2, 854, 480, false, "yuv420p", PLAIN},
    {"bbb_480p24_vp9_opus_8s.webm", "v:0", 192, 2, 854, 480, false, "yuv420p", PLAIN},
    {"bbb_480p_vfr_10s.mp4", "v:0", 144, 2, 854, 480, false, "yuv420p", PLAIN},
    {"bbb_480p_rot90_6s.mp4", "v:0", 146, 2, 480, 854, false, "yuv420p", PLAIN},
    {"bbb_480p_editlist_6s.mp4", "v:0", 146, 2, 854, 480, false, "yuv420p", PLAIN},
    {"bbb_480p_tswrap_10s.ts", "v:0", 242, 2, 854, 480, false, "yuv420p", PLAIN},
    {"bbb_480p_corrupt_10s.ts", "v:0", 239, 2, 854, 480, true, "yuv420p", PLAIN},
    {"bbb_480p_hdr10tags_4s.mp4", "v:0", 96, 2, 854, 480, false, "yuv420p10le",
     "tv,bt2020nc,smpte2084,bt2020"},
    {"car-detection.mp4", "v:0", 377, 1, 640, 360, false, "yuv420p",
     "tv,smpte170m,smpte170m,smpte170m"},
    {"nasa_13013.mp4", "v:1", 390, 1, 480, 270, false, "yuv420p", "tv,bt709,bt709,bt709"},
};

/* cmocka hands over the clip as the test's state. */
static void a_clip_keeps_its_pictures_times_shape_and_colours(void **state)
{
    run_clip(*state, RR_CODEC_H264, "480,360");
}

/* The rotated clip against ffmpeg's own rotation: a wrong turn or mirror has nothing near this
 * likeness. */
static void rotation_is_applied_the_right_way(void **state)
{
    (void)state;
    const char *found = kit_clip("bbb_480p_rot90_6s.mp4");
    struct rr_transcode_options options = kit_options("360", 0);
    struct rr_transcode_result result = {0};
    char *printed = NULL;
    char source[RR_PATH_BYTES];
    if (found == NULL) {
        skip();
    }
    kit_need_ffmpeg();
    snprintf(source, sizeof source, "%s", found);
    assert_int_equal(kit_job(&result, source, "turned", &options, NULL), RR_OK);
    const char *made = kit_path("turned.mp4");
    kit_join(made, &result.renditions[0]);
    const char *argv[] = {
        "ffmpeg", "-nostdin", "-v",   "info",   "-i",
        made,     "-i",       source, "-lavfi", "[1:v]scale=360:640[b];[0:v][b]psnr",
        "-f",     "null",     "-",    NULL};
    assert_int_equal(kit_run(&printed, argv), 0);
    const char *average = strstr(printed, "average:");
    assert_non_null(average);
    double psnr = strtod(average + strlen("average:"), NULL);
    if (psnr < 35) {
        fail_msg("PSNR of %f dB against ffmpeg's own rotation", psnr);
    }
    rr_free(printed);
    rr_transcode_result_clear(&result);
}

static void hdr10_metadata_reaches_the_container(void **state)
{
    (void)state;
    const char *found = kit_clip("bbb_480p_hdr10tags_4s.mp4");
    struct rr_transcode_options options = kit_options("360", 0);
    struct rr_transcode_result result = {0};
    if (found == NULL) {
        skip();
    }
    kit_need_ffmpeg();
    assert_int_equal(kit_job(&result, found, "hdr", &options, NULL), RR_OK);
    assert_int_equal(result.renditions[0].info.video_range, 1);
    assert_int_equal(strncmp(result.renditions[0].info.codecs, "avc1.6e", 7), 0); /* High 10 */
    const char *made = kit_path("hdr.mp4");
    kit_join(made, &result.renditions[0]);
    char *shown =
        probe(made, "v:0", "stream_side_data=red_x,max_luminance,max_content,max_average");
    assert_non_null(strstr(shown, "34000/50000"));
    assert_non_null(strstr(shown, "10000000/10000"));
    assert_non_null(strstr(shown, "1000,400"));
    rr_free(shown);
    rr_transcode_result_clear(&result);
}

int main(void)
{
    struct CMUnitTest tests[RR_COUNT(clips) + 2];
    size_t count = 0;
    /* The first two are long and plain, and system.clips has them too. */
    for (size_t i = getenv("RR_FULL") != NULL ? 0 : 2; i < RR_COUNT(clips); i++) {
        union {
            const struct clip *in;
            void *out;
        } clip = {.in = &clips[i]};
        tests[count++] = (struct CMUnitTest){
            clips[i].name, a_clip_keeps_its_pictures_times_shape_and_colours, NULL, NULL, clip.out};
    }
    tests[count++] = (struct CMUnitTest)cmocka_unit_test(rotation_is_applied_the_right_way);
    tests[count++] = (struct CMUnitTest)cmocka_unit_test(hdr10_metadata_reaches_the_container);
    if (kit_clip("car-detection.mp4") == NULL) {
        return 77; /* no clips on this machine */
    }
    return cmocka_run_group_tests(tests, kit_begin, kit_end);
}

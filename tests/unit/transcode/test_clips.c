/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Real clips, each with what makes it hard. Every output is read by ffmpeg and ffprobe, which know
 * nothing of us. */
#include "kit.h"
#include <math.h>

struct clip {
    const char *name, *stream; /* of the source, as ffprobe names it */
    unsigned frames, rungs, width, height;
    bool damaged;
    const char *format,
        *colour; /* what ffprobe shows of the output: pix_fmt, and range,space,transfer,primaries */
};

#define PLAIN "unknown,unknown,unknown,unknown"
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

/* Text of one ffprobe question about one stream, errors of damaged sources left out. */
static char *probe(const char *path, const char *stream, const char *entries)
{
    char *printed = NULL;
    const char *argv[] = {
        "ffprobe", "-v", "quiet", "-select_streams", stream, "-show_entries", entries, "-of",
        "csv=p=0", path, NULL};
    assert_int_equal(kit_run(&printed, argv), 0);
    return printed;
}

/* Times of the shown pictures; returns how many. */
static size_t times_of(const char *path, const char *stream, double *times, size_t room)
{
    char *text = probe(path, stream, "frame=pts_time");
    size_t count = 0;
    char *rest = text;
    for (char *line; (line = strsep(&rest, "\n")) != NULL;) {
        char *end = NULL;
        double time = strtod(line, &end);
        if (end != line && count < room) {
            times[count++] = time;
        }
    }
    rr_free(text);
    return count;
}

static void decodes_without_a_word(const char *path)
{
    char *printed = NULL;
    const char *argv[] = {"ffmpeg", "-nostdin", "-v",   "warning", "-xerror", "-i",
                          path,     "-f",       "null", "-",       NULL};
    int status = kit_run(&printed, argv);
    if (status != 0 || printed[0] != 0) {
        fail_msg("ffmpeg on %s: status %d, says: %s", path, status, printed);
    }
    rr_free(printed);
}

static void check_times(const struct clip *clip, const char *source, const char *made,
                        const char *name)
{
    static double in[1024], out[1024];
    size_t shown = times_of(source, clip->stream, in, RR_COUNT(in));
    size_t count = times_of(made, "v:0", out, RR_COUNT(out));
    assert_int_equal(shown, clip->frames);
    assert_int_equal(count, clip->frames);
    for (size_t i = 0; i < count; i++) {
        if (fabs((out[i] - out[0]) - (in[i] - in[0])) > 1e-5) {
            fail_msg("%s %s: picture %zu at %f s, in the source at %f s (from the first on)",
                     clip->name, name, i, out[i] - out[0], in[i] - in[0]);
        }
    }
}

static void check_shape(const struct clip *clip, const char *made,
                        const struct rr_transcode_rendition *rendition)
{
    char want[160];
    char *shape = probe(made, "v:0",
                        "stream=width,height,sample_aspect_ratio,pix_fmt,color_range,color_space,"
                        "color_transfer,color_primaries");
    snprintf(want, sizeof want, "%u,%u,1:1,%s,%s\n", rendition->info.width, rendition->info.height,
             clip->format, clip->colour);
    if (strncmp(shape, want, strlen(want) - 1) != 0) {
        fail_msg("%s: ffprobe shows %s, not %s", clip->name, shape, want);
    }
    rr_free(shape);
}

static void check_rendition(const struct clip *clip, const char *source,
                            const struct rr_transcode_result *result,
                            const struct rr_transcode_rendition *rendition)
{
    const char *made = kit_path("joined.mp4");
    uint64_t at = rendition->segments[0].start;
    kit_join(made, rendition);
    decodes_without_a_word(made);
    for (uint32_t i = 0; i < rendition->segment_count; i++) {
        assert_int_equal(rendition->segments[i].start, at);
        at += rendition->segments[i].duration;
    }
    if (rendition->info.kind == RR_RENDITION_VIDEO) {
        assert_int_equal(rendition->frames_out, clip->frames);
        assert_int_equal(rendition->segment_count, result->gops);
        check_times(clip, source, made, rendition->info.name);
        check_shape(clip, made, rendition);
    }
    assert_true(rendition->info.peak_bps >= rendition->info.mean_bps &&
                rendition->info.mean_bps > 0);
}

/* Of the leaves a few, spread; each must come out the same when it is made alone. */
static void check_leaves(const struct rr_transcode_result *result, const char *source,
                         const struct rr_transcode_options *options, uint32_t step)
{
    int fd = open(source, O_RDONLY | O_CLOEXEC);
    for (uint32_t i = step / 2; i < result->leaf_count; i += step) {
        const struct rr_pot_leaf *leaf = &result->leaves[i];
        struct rr_transcode_remade made;
        struct rr_fault fault = {0};
        if (rr_transcode_remake(&made, fd, options, leaf, NULL, &fault) != RR_OK) {
            fail_msg("leaf %u: %s", (unsigned)i, fault.text);
        }
        assert_int_equal(made.source_first, leaf->source_first);
        assert_int_equal(made.source_last, leaf->source_last);
        assert_int_equal(made.output_bytes, leaf->output_bytes);
        assert_memory_equal(&made.source_digest, &leaf->source_digest, 32);
        assert_memory_equal(&made.output_digest, &leaf->output_digest, 32);
    }
    close(fd);
}

static void run_clip(const struct clip *clip)
{
    const char *found = kit_clip(clip->name);
    struct rr_transcode_options options = kit_options("480,360", 0);
    struct rr_transcode_result result = {0};
    struct rr_fault fault = {0};
    char source[RR_PATH_BYTES];
    if (found == NULL) {
        skip();
    }
    kit_need_ffmpeg();
    snprintf(source, sizeof source, "%s", found);
    if (rr_transcode_to_folder(&result, kit_path("out"), source, &options, NULL, NULL, NULL,
                               &fault) != RR_OK) {
        fail_msg("%s: %s", clip->name, fault.text);
    }
    assert_true(result.frames_out_ok);
    assert_int_equal(result.frames_in, clip->frames);
    assert_int_equal(result.renditions[0].info.width, clip->width);
    assert_int_equal(result.renditions[0].info.height, clip->height);
    assert_int_equal(result.renditions[clip->rungs - 1].info.kind, RR_RENDITION_VIDEO);
    assert_int_equal(result.concealed > 0, clip->damaged);
    assert_int_not_equal(access(kit_path("out/.job"), F_OK), 0);
    for (uint32_t i = 0; i < result.rendition_count; i++) {
        check_rendition(clip, source, &result, &result.renditions[i]);
    }
    decodes_without_a_word(kit_path("out/master.m3u8"));
    check_leaves(&result, source, &options, result.leaf_count / 3 + 1);
    rr_transcode_result_clear(&result);
    assert_int_equal(rr_remove_tree(kit_path("out"), NULL), RR_OK);
}

/* cmocka hands over the clip as the test's state. */
static void a_clip_keeps_its_pictures_times_shape_and_colours(void **state)
{
    run_clip(*state);
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
    for (size_t i = 0; i < RR_COUNT(clips); i++) {
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

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Measures of files, beside those of ffmpeg's filters. */
#include "kit.h"
#include <math.h>

static void make(const char *to, const char *from, const char *start, const char *format,
                 const char *crf)
{
    char *printed = NULL;
    const char *argv[] = {"ffmpeg",  "-v",      "error",    "-y",  "-ss", start,
                          "-i",      from,      "-t",       "2",   "-an", "-c:v",
                          "libx264", "-preset", "veryfast", "-bf", "0",   "-pix_fmt",
                          format,    "-crf",    crf,        to,    NULL};
    assert_int_equal(kit_run(&printed, argv), 0);
    rr_free(printed);
}

/* The figure behind `word` in the last line of a filter's report. */
static double figure(const char *text, const char *line, const char *word)
{
    const char *at = strstr(text, line);
    assert_non_null(at);
    at = strstr(at, word);
    assert_non_null(at);
    return strtod(at + strlen(word), NULL);
}

static struct rr_transcode_comparison compare(const char *a, const char *b)
{
    struct rr_transcode_comparison found;
    struct rr_transcode_options options = {.worker_path = KIT_WORKER};
    struct rr_fault fault = {0};
    int fds[2];
    assert_int_equal(rr_transcode_open_video(&fds[0], a, NULL), RR_OK);
    assert_int_equal(rr_transcode_open_video(&fds[1], b, NULL), RR_OK);
    if (rr_transcode_compare(&found, fds[0], fds[1], &options, NULL, &fault) != RR_OK) {
        fail_msg("%s", fault.text);
    }
    close(fds[0]);
    close(fds[1]);
    return found;
}

/* ffmpeg's SIMD code has other bits than its plain code in planes whose width is no multiple of 8,
 * so that one is asked for. */
static void figures_are_those_of_ffmpeg(void **state)
{
    (void)state;
    const struct {
        const char *clip, *start, *format;
    } rows[] = {{"bbb_480p24_h264_aac_30s.mp4", "0", "yuv420p"},
                {"bbb_480p24_h264_aac_30s.mp4", "5", "yuv420p10le"},
                {"car-detection.mp4", "3", "yuv420p"}};
    static const char *const names[2][3] = {{" y:", " u:", " v:"}, {" Y:", " U:", " V:"}};
    kit_need_ffmpeg();
    for (size_t i = 0; i < RR_COUNT(rows); i++) {
        const char *clip = kit_clip(rows[i].clip);
        if (clip == NULL) {
            skip();
        }
        char *printed = NULL, *a = kit_path("a.mp4"), *b = kit_path("b.mp4");
        make(a, clip, rows[i].start, rows[i].format, "12");
        make(b, a, "0", rows[i].format, "33");
        struct rr_transcode_comparison found = compare(a, b);
        const char *argv[] = {"ffmpeg",
                              "-v",
                              "info",
                              "-cpuflags",
                              "0",
                              "-i",
                              b,
                              "-i",
                              a,
                              "-lavfi",
                              "[0:v]split[p][q];[1:v]split[r][s];[p][r]psnr,nullsink;[q][s]ssim",
                              "-f",
                              "null",
                              "-",
                              NULL};
        assert_int_equal(kit_run(&printed, argv), 0);
        for (unsigned plane = 0; plane < 3; plane++) {
            double psnr = figure(printed, "PSNR y:", names[0][plane] + (plane == 0));
            double ssim = figure(printed, "SSIM Y:", names[1][plane] + (plane == 0));
            if (fabs(psnr - found.planes[plane].psnr_db) > 2e-6 ||
                fabs(ssim - found.planes[plane].ssim) > 2e-6) {
                fail_msg("%s plane %u: PSNR %f here, %f by ffmpeg; SSIM %f and %f", rows[i].clip,
                         plane, found.planes[plane].psnr_db, psnr, found.planes[plane].ssim, ssim);
            }
        }
        assert_true(fabs(figure(printed, "SSIM Y:", "All:") - found.ssim) < 2e-6);
        assert_true(fabs(figure(printed, "PSNR y:", "average:") - found.psnr_db) < 2e-6);
        rr_free(printed);
    }
}

static void a_file_equals_itself_and_its_lengths_are_told(void **state)
{
    (void)state;
    const char *clip = kit_clip("car-detection.mp4");
    if (clip == NULL) {
        skip();
    }
    kit_need_ffmpeg();
    char *a = kit_path("long.mp4"), *b = kit_path("short.mp4"), *printed = NULL;
    make(a, clip, "3", "yuv420p", "20");
    const char *argv[] = {"ffmpeg",    "-v", "error", "-y",   "-i", a,
                          "-frames:v", "10", "-c",    "copy", b,    NULL};
    assert_int_equal(kit_run(&printed, argv), 0);
    rr_free(printed);
    struct rr_transcode_comparison found = compare(a, b);
    assert_int_equal(found.frames_b, found.frames);
    assert_true(found.frames_a > found.frames_b);
    assert_int_equal(found.times_off, 0);
    for (unsigned plane = 0; plane < 3; plane++) {
        assert_int_equal(found.planes[plane].sse, 0);
        assert_true(found.planes[plane].ssim_worst >= 1 && found.planes[plane].detail >= 1);
    }
    assert_int_equal(rr_transcode_open_video(&(int){0}, kit_folder, NULL), RR_ERR_NOTFOUND);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(figures_are_those_of_ffmpeg),
        cmocka_unit_test(a_file_equals_itself_and_its_lengths_are_told),
    };
    return cmocka_run_group_tests_name("compare", tests, kit_begin, kit_end);
}

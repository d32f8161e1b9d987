/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Containers and codecs that the real clips do not have. A library path that opens a file or starts
 * a thread would end in the worker's death; iconv in MPEG-TS and the time zone in MP4 did, before
 * the worker provided for them. */
#include "kit.h"

struct form {
    const char *file, *video, *format, *extra, *value;
    uint32_t frames;
};
static const struct form forms[] = {
    {"a.avi", "mpeg4", "yuv420p", "-c:a", "libmp3lame", 50},
    {"b.mkv", "libx264", "yuv422p", "-c:a", "ac3", 50},
    {"c.ogg", "libtheora", "yuv420p", "-c:a", "libvorbis", 50},
    {"d.mpg", "mpeg2video", "yuv420p", "-c:a", "mp2", 50},
    {"e.flv", "flv1", "yuv420p", "-ar", "44100", 50},
    {"f.mov", "prores_ks", "yuv422p10le", "-c:a", "pcm_s16le", 50},
    {"g.gif", "gif", "rgb8", "-an", "-sn", 50},
    {"h.mp4", "libsvtav1", "yuv420p", "-c:a", "aac", 50},
    {"i.webm", "libvpx", "yuv420p", "-c:a", "libopus", 50},
    {"j.mkv", "libx265", "yuv420p10le", "-c:a", "flac", 50},
    {"k.avi", "mjpeg", "yuvj420p", "-c:a", "pcm_u8", 50},
    {"l.mov", "png", "rgb24", "-an", "-sn", 50},
    {"m.h264", "libx264", "yuv420p", "-an", "-sn", 50},
    {"n.wmv", "wmv2", "yuv420p", "-c:a", "wmav2", 50},
};

static void a_form_is_taken_whole(void **state)
{
    const struct form *form = *state;
    struct rr_transcode_options options = kit_options("90", 1);
    struct rr_transcode_result result = {0};
    struct rr_fault fault = {0};
    char *printed = NULL;
    char path[RR_PATH_BYTES];
    snprintf(path, sizeof path, "%s", kit_path(form->file));
    kit_need_ffmpeg();
    const char *argv[] = {"ffmpeg",  "-nostdin",  "-v",        "error",
                          "-f",      "lavfi",     "-i",        "testsrc=s=160x120:r=25:d=2",
                          "-f",      "lavfi",     "-i",        "sine=440:r=48000:d=2",
                          "-c:v",    form->video, "-pix_fmt",  form->format,
                          "-strict", "-1",        form->extra, form->value,
                          path,      NULL};
    int status = kit_run(&printed, argv);
    bool lacking = strstr(printed, "Unknown encoder") != NULL;
    rr_free(printed);
    if (lacking) {
        skip();
    }
    assert_int_equal(status, 0);
    if (kit_job(&result, path, form->file + 2, &options, &fault) != RR_OK) {
        fail_msg("%s: %s", form->file, fault.text);
    }
    assert_int_equal(result.frames_in, form->frames);
    assert_int_equal(result.concealed, 0);
    assert_int_equal(rr_remove_tree(kit_path(form->file + 2), NULL), RR_OK);
    struct rr_transcode_remade made;
    const struct rr_pot_leaf *leaf = &result.leaves[result.gops - 1];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_int_equal(rr_transcode_remake(&made, fd, &options, leaf, NULL, &fault), RR_OK);
    close(fd);
    assert_memory_equal(&made.output_digest, &leaf->output_digest, 32);
    assert_memory_equal(&made.source_digest, &leaf->source_digest, 32);
    rr_transcode_result_clear(&result);
}

int main(void)
{
    struct CMUnitTest tests[RR_COUNT(forms)];
    for (size_t i = 0; i < RR_COUNT(forms); i++) {
        union {
            const struct form *in;
            void *out;
        } form = {.in = &forms[i]};
        tests[i] = (struct CMUnitTest){forms[i].file, a_form_is_taken_whole, NULL, NULL, form.out};
    }
    return cmocka_run_group_tests(tests, kit_begin, kit_end);
}

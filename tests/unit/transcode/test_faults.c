/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Wrong input of every kind ends in one clear sentence and leaves nothing behind that looks whole.
 */
#include "kit.h"
#include <sys/mount.h>

static enum rr_err run_bytes(const void *bytes, size_t len, const char *name,
                             struct rr_fault *fault)
{
    struct rr_transcode_options options = kit_options("480", 1);
    struct rr_transcode_result result = {0};
    const char *path = kit_path(name);
    assert_int_equal(rr_file_write(path, rr_slice_of(bytes, len), 0600, NULL), RR_OK);
    enum rr_err err =
        rr_transcode_to_folder(&result, kit_path("out"), path, &options, NULL, NULL, NULL, fault);
    assert_true(err == RR_OK || result.rendition_count == 0);
    assert_int_not_equal(access(kit_path("out/master.m3u8"), F_OK), 0);
    assert_int_equal(rr_remove_tree(kit_path("out"), NULL), RR_OK);
    return err;
}

static void a_file_that_is_not_there_is_named(void **state)
{
    (void)state;
    struct rr_transcode_options options = kit_options("480", 1);
    struct rr_fault fault = {0};
    assert_int_equal(rr_transcode_to_folder(NULL, kit_path("out"), kit_path("nowhere.mp4"),
                                            &options, NULL, NULL, NULL, &fault),
                     RR_ERR_NOTFOUND);
    assert_non_null(strstr(fault.text, "nowhere.mp4"));
    assert_int_not_equal(access(kit_path("out"), F_OK), 0);
    assert_int_equal(rr_transcode_to_folder(NULL, kit_path("out"), kit_folder, &options, NULL, NULL,
                                            NULL, &fault),
                     RR_ERR_USAGE);
}

static void zero_bytes_are_called_empty(void **state)
{
    (void)state;
    struct rr_fault fault = {0};
    assert_int_equal(run_bytes("", 0, "zero.mp4", &fault), RR_ERR_FORMAT);
    assert_non_null(strstr(fault.text, "empty"));
}

static void text_and_noise_are_not_a_video(void **state)
{
    (void)state;
    struct rr_fault fault = {0};
    struct rr_prng prng;
    uint8_t noise[65536];
    char text[4096];
    rr_prng_seed(&prng, 1);
    rr_prng_bytes(&prng, noise, sizeof noise);
    memset(text, 'a', sizeof text);
    enum rr_err err = run_bytes(text, sizeof text, "text.txt", &fault);
    assert_true(err == RR_ERR_FORMAT || err == RR_ERR_UNSUPPORTED);
    assert_true(fault.text[0] != 0);
    err = run_bytes(noise, sizeof noise, "noise.mp4", &fault);
    assert_true(err == RR_ERR_FORMAT || err == RR_ERR_UNSUPPORTED || err == RR_ERR_DAMAGED);
}

static void a_playlist_cannot_make_the_worker_open_other_files(void **state)
{
    (void)state;
    struct rr_fault fault = {0};
    static const char hls[] =
        "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n";
    static const char concat[] = "ffconcat version 1.0\nfile /etc/passwd\n";
    static const char sdp[] =
        "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\n"
        "a=rtpmap:96 H264/90000\n";
    assert_int_equal(run_bytes(hls, sizeof hls - 1, "list.m3u8", &fault), RR_ERR_UNSUPPORTED);
    assert_non_null(strstr(fault.text, "playlists"));
    assert_int_not_equal(run_bytes(concat, sizeof concat - 1, "list.txt", &fault), RR_OK);
    assert_int_not_equal(run_bytes(sdp, sizeof sdp - 1, "net.sdp", &fault), RR_OK);
    assert_null(strstr(fault.text, "killed")); /* refused by name, before the sandbox has to */
}

static void a_file_cut_before_its_index_says_so(void **state)
{
    (void)state;
    const char *clip = kit_clip("bbb_480p_hdr10tags_4s.mp4");
    struct rr_buf bytes = {0};
    struct rr_fault fault = {0};
    if (clip == NULL) {
        skip();
    }
    assert_int_equal(rr_file_read(&bytes, clip, 1u << 28, NULL), RR_OK);
    static const uint8_t moov[4] = {'m', 'o', 'o', 'v'};
    uint8_t *index = memmem(bytes.ptr, bytes.len, moov, sizeof moov);
    assert_non_null(index);
    size_t cut = (size_t)(index - bytes.ptr) + 200;
    assert_int_equal(run_bytes(bytes.ptr, cut, "cut.mp4", &fault), RR_ERR_FORMAT);
    assert_non_null(strstr(fault.text, "cut short"));
    rr_buf_clear(&bytes);
}

/* Anything may come of bytes at random places; a crash of the parent, a hang or an empty sentence
 * may not. */
static void flipped_bytes_never_reach_the_parent(void **state)
{
    (void)state;
    const char *clip = kit_clip("bbb_480p_hdr10tags_4s.mp4");
    struct rr_buf bytes = {0};
    struct rr_prng prng;
    if (clip == NULL) {
        skip();
    }
    rr_prng_seed(&prng, 7);
    assert_int_equal(rr_file_read(&bytes, clip, 1u << 28, NULL), RR_OK);
    for (int round = 0; round < 4; round++) {
        struct rr_buf spoiled = {0};
        struct rr_fault fault = {0};
        struct rr_transcode_options options = kit_options("16", 1);
        rr_buf_append(&spoiled, bytes.ptr, bytes.len);
        for (int i = 0; i < 40; i++) {
            spoiled.ptr[rr_prng_below(&prng, spoiled.len)] ^=
                (uint8_t)(1 + rr_prng_below(&prng, 255));
        }
        assert_int_equal(rr_file_write(kit_path("spoiled.mp4"), rr_buf_slice(&spoiled), 0600, NULL),
                         RR_OK);
        enum rr_err err = rr_transcode_to_folder(NULL, kit_path("spoiled"), kit_path("spoiled.mp4"),
                                                 &options, NULL, NULL, NULL, &fault);
        assert_true(err == RR_OK || fault.text[0] != 0);
        assert_int_equal(rr_remove_tree(kit_path("spoiled"), NULL), RR_OK);
        rr_buf_clear(&spoiled);
    }
    rr_buf_clear(&bytes);
}

static void no_worker_program_is_said_with_what_to_do(void **state)
{
    (void)state;
    struct rr_transcode_options options = kit_options("480", 1);
    struct rr_transcode_facts facts;
    struct rr_fault fault = {0};
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    options.worker_path = "/nowhere/reelrig-worker";
    assert_int_equal(rr_transcode_probe(&facts, fd, &options, &fault), RR_ERR_STATE);
    assert_non_null(strstr(fault.text, "RR_WORKER"));
    options.worker_path = "/bin/true"; /* a program, but not a worker */
    assert_int_equal(rr_transcode_probe(&facts, fd, &options, &fault), RR_ERR_STATE);
    close(fd);
}

static void three_by_one_pixels_work(void **state)
{
    (void)state;
    struct rr_transcode_options options = kit_options("480", 1);
    struct rr_transcode_result result = {0};
    char *printed = NULL;
    char *path = kit_path("tiny.mkv");
    kit_need_ffmpeg();
    const char *argv[] = {"ffmpeg",
                          "-v",
                          "error",
                          "-f",
                          "lavfi",
                          "-i",
                          "testsrc=s=8x8:r=10:d=1,format=yuv444p,crop=3:1:exact=1",
                          "-c:v",
                          "ffv1",
                          "-pix_fmt",
                          "yuv444p",
                          path,
                          NULL};
    assert_int_equal(kit_run(&printed, argv), 0);
    rr_free(printed);
    struct rr_fault fault = {0};
    if (kit_job(&result, path, "tiny", &options, &fault) != RR_OK) {
        fail_msg("%s", fault.text);
    }
    assert_int_equal(result.frames_in, 10);
    assert_int_equal(result.renditions[0].info.width, 4);
    assert_int_equal(result.renditions[0].info.height, 2);
    assert_int_equal(result.renditions[0].info.sar_num, 3);
    assert_int_equal(result.renditions[0].info.sar_den, 2);
    rr_transcode_result_clear(&result);
}

static void sound_alone_becomes_a_sound_rendition(void **state)
{
    (void)state;
    struct rr_transcode_options options = kit_options("480", 1);
    struct rr_transcode_result result = {0};
    struct rr_fault fault = {0};
    char *printed = NULL;
    char *path = kit_path("sound.flac");
    kit_need_ffmpeg();
    const char *argv[] = {"ffmpeg", "-v", "error", "-f", "lavfi", "-i", "sine=440:r=44100:d=5",
                          path,     NULL};
    assert_int_equal(kit_run(&printed, argv), 0);
    rr_free(printed);
    if (kit_job(&result, path, "sound", &options, &fault) != RR_OK) {
        fail_msg("%s", fault.text);
    }
    assert_int_equal(result.rendition_count, 1);
    assert_int_equal(result.leaf_count, 1);
    assert_int_equal(result.renditions[0].info.kind, RR_RENDITION_AUDIO);
    uint64_t samples = 0;
    for (uint32_t i = 0; i < result.renditions[0].segment_count; i++) {
        assert_int_equal(result.renditions[0].segments[i].start, samples);
        samples += result.renditions[0].segments[i].duration;
    }
    assert_int_equal(samples, 5 * 44100);
    rr_transcode_result_clear(&result);
}

/* A file system of 1 MiB, where the machine lets us make one. */
static void a_full_disk_is_told_and_the_job_goes_on_when_there_is_room(void **state)
{
    (void)state;
    const char *clip = kit_clip("bbb_480p24_vp9_opus_8s.webm");
    char *small = kit_path("small");
    struct rr_transcode_options options = kit_options("480", 1);
    struct rr_transcode_result result = {0};
    struct rr_fault fault = {0};
    if (clip == NULL || mkdir(small, 0700) != 0 ||
        mount("none", small, "tmpfs", 0, "size=300k") != 0) {
        skip();
    }
    enum rr_err err = kit_job(&result, clip, "small/job", &options, &fault);
    int grown = mount("none", small, "tmpfs", MS_REMOUNT, "size=64m");
    enum rr_err again = kit_job(&result, clip, "small/job", &options, NULL);
    uint32_t resumed = result.gops_resumed;
    rr_transcode_result_clear(&result);
    umount2(small, MNT_DETACH);
    assert_int_equal(err, RR_ERR_FULL);
    assert_non_null(strstr(fault.text, "No space left"));
    assert_int_equal(grown, 0);
    assert_int_equal(again, RR_OK);
    assert_true(resumed > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_that_is_not_there_is_named),
        cmocka_unit_test(zero_bytes_are_called_empty),
        cmocka_unit_test(text_and_noise_are_not_a_video),
        cmocka_unit_test(a_playlist_cannot_make_the_worker_open_other_files),
        cmocka_unit_test(a_file_cut_before_its_index_says_so),
        cmocka_unit_test(flipped_bytes_never_reach_the_parent),
        cmocka_unit_test(no_worker_program_is_said_with_what_to_do),
        cmocka_unit_test(three_by_one_pixels_work),
        cmocka_unit_test(sound_alone_becomes_a_sound_rendition),
        cmocka_unit_test(a_full_disk_is_told_and_the_job_goes_on_when_there_is_room),
    };
    return cmocka_run_group_tests(tests, kit_begin, kit_end);
}

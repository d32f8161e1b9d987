/* SPDX-License-Identifier: GPL-2.0-or-later */
/* HEVC, AV1 and VP9 keep what H.264 keeps: pictures, times, shapes, colours, and bytes that come
 * out the same when they are made again. */
#include "clips.h"

#define VIDEO_RANGE "tv,unknown,unknown,unknown" /* these codecs always say it */
static const struct clip clips[] = {
    {"bbb_480p_vfr_10s.mp4", "v:0", 144, 1, 428, 240, false, "yuv420p", VIDEO_RANGE},
    {"bbb_480p_rot90_6s.mp4", "v:0", 146, 1, 240, 428, false, "yuv420p", VIDEO_RANGE},
    {"bbb_480p_corrupt_10s.ts", "v:0", 239, 1, 428, 240, true, "yuv420p", VIDEO_RANGE},
    {"bbb_480p_hdr10tags_4s.mp4", "v:0", 96, 1, 428, 240, false, "yuv420p10le",
     "tv,bt2020nc,smpte2084,bt2020"},
};

static void check_codec(enum rr_codec codec)
{
    size_t count = getenv("RR_SHORT") != NULL ? 1 : RR_COUNT(clips);
    for (size_t i = 0; i < count; i++) {
        run_clip(&clips[i], codec, "240");
    }
}

static void hevc_keeps_every_clip(void **state)
{
    (void)state;
    check_codec(RR_CODEC_HEVC);
}

static void av1_keeps_every_clip(void **state)
{
    (void)state;
    check_codec(RR_CODEC_AV1);
}

static void vp9_keeps_every_clip(void **state)
{
    (void)state;
    check_codec(RR_CODEC_VP9);
}

static void the_number_of_workers_changes_no_byte(void **state)
{
    (void)state;
    const char *found = kit_clip("bbb_480p_hdr10tags_4s.mp4");
    assert_non_null(found);
    for (unsigned codec = RR_CODEC_HEVC; codec <= RR_CODEC_VP9; codec++) {
        struct rr_hash32 first = {0};
        for (unsigned workers = 1; workers <= 3; workers += 2) {
            struct rr_transcode_options options = kit_options("180", workers);
            struct rr_transcode_result result = {0};
            struct rr_fault fault = {0};
            char name[32];
            options.codec = (enum rr_codec)codec;
            snprintf(name, sizeof name, "%s-%u", rr_codec_text(options.codec), workers);
            if (kit_job(&result, found, name, &options, &fault) != RR_OK) {
                fail_msg("%s: %s", name, fault.text);
            }
            struct rr_hash32 digest = kit_digest(&result);
            if (workers == 1) {
                first = digest;
            }
            assert_memory_equal(&digest, &first, sizeof digest);
            rr_transcode_result_clear(&result);
        }
    }
}

static void a_picture_too_small_for_the_codec_is_refused_by_its_size(void **state)
{
    (void)state;
    const char *found = kit_clip("bbb_480p_hdr10tags_4s.mp4");
    struct rr_transcode_options options = kit_options("48", 1);
    struct rr_transcode_result result = {0};
    struct rr_fault fault = {0};
    assert_non_null(found);
    options.codec = RR_CODEC_AV1;
    assert_int_equal(kit_job(&result, found, "small", &options, &fault), RR_ERR_UNSUPPORTED);
    assert_non_null(strstr(fault.text, "at least 64"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hevc_keeps_every_clip),
        cmocka_unit_test(av1_keeps_every_clip),
        cmocka_unit_test(vp9_keeps_every_clip),
        cmocka_unit_test(the_number_of_workers_changes_no_byte),
        cmocka_unit_test(a_picture_too_small_for_the_codec_is_refused_by_its_size),
    };
    for (size_t i = 0; i < RR_COUNT(clips); i++) {
        if (kit_clip(clips[i].name) == NULL) {
            return 77; /* no clips on this machine */
        }
    }
    return cmocka_run_group_tests(tests, kit_begin, kit_end);
}

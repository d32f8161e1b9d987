/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Rates, tone mapping, long GOPs and automatic ladders on real clips: limits that hold in every
 * segment, figures that are true, and GOPs that come out the same when they are made again. */
#include "kit.h"

#define CLIP "bbb_480p_hdr10tags_4s.mp4"

static void run(struct rr_transcode_result *out, const char *clip, const char *name,
                const struct rr_transcode_options *options)
{
    struct rr_fault fault = {0};
    const char *path = kit_clip(clip);
    assert_non_null(path);
    if (kit_job(out, path, name, options, &fault) != RR_OK) {
        fail_msg("%s: %s", name, fault.text);
    }
}

/* The last GOP of each video rendition, as a spot check makes it. */
static void check_remade(const char *clip, const struct rr_transcode_options *options,
                         const struct rr_transcode_result *result)
{
    const char *path = kit_clip(clip);
    int fd = path != NULL ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    assert_true(fd >= 0);
    for (uint32_t i = 0; i + 1 < result->leaf_count; i++) {
        const struct rr_pot_leaf *leaf = &result->leaves[i];
        struct rr_transcode_remade made;
        struct rr_fault fault = {0};
        if (leaf[1].rendition == leaf->rendition) {
            continue;
        }
        if (rr_transcode_remake(&made, fd, options, leaf, NULL, &fault) != RR_OK) {
            fail_msg("leaf %u: %s", (unsigned)i, fault.text);
        }
        assert_memory_equal(&made.output_digest, &leaf->output_digest, sizeof made.output_digest);
        assert_memory_equal(&made.source_digest, &leaf->source_digest, sizeof made.source_digest);
        assert_true(made.output_bytes == leaf->output_bytes);
    }
    close(fd);
}

/* The fastest of each, for time's sake. */
static const char *const presets[] = {[RR_CODEC_H264] = "ultrafast",
                                      [RR_CODEC_HEVC] = "ultrafast",
                                      [RR_CODEC_AV1] = "12",
                                      [RR_CODEC_VP9] = "8"};

static double segment_kbps(const struct rr_transcode_rendition *r, uint32_t i)
{
    const struct rr_transcode_segment *s = &r->segments[i];
    return (double)s->bytes * 8 * r->info.timescale / s->duration / 1000;
}

static double most_kbps(const struct rr_transcode_rendition *r)
{
    double most = 0;
    for (uint32_t i = 0; i < r->segment_count; i++) {
        double kbps = segment_kbps(r, i);
        most = kbps > most ? kbps : most;
    }
    return most;
}

/* A limit of half of what constant quality takes at its peak, then a mean. */
static void check_codec(enum rr_codec codec)
{
    struct rr_transcode_options options = kit_options("144", 2);
    struct rr_transcode_result free_rate = {0}, limited = {0}, mean = {0};
    char name[32];
    options.codec = codec;
    options.preset = presets[codec];
    snprintf(name, sizeof name, "crf-%s", rr_codec_text(codec));
    run(&free_rate, CLIP, name, &options);
    uint32_t limit = (uint32_t)(most_kbps(&free_rate.renditions[0]) / 2);
    options.ladder.rates[0].max_kbps = limit;
    snprintf(name, sizeof name, "max-%s", rr_codec_text(codec));
    run(&limited, CLIP, name, &options);
    print_message("%s: %.0f kbit/s at most, limited to %u: %.0f\n", rr_codec_text(codec),
                  most_kbps(&free_rate.renditions[0]), (unsigned)limit,
                  most_kbps(&limited.renditions[0]));
    assert_true(most_kbps(&limited.renditions[0]) <= limit);
    assert_true(limited.renditions[0].info.peak_bps <= limit * 1000);
    assert_true(most_kbps(&limited.renditions[0]) > limit * 0.4); /* and uses what it may */
    check_remade(CLIP, &options, &limited);

    uint32_t wanted = limit * 3 / 2;
    options.ladder.rates[0] = (struct rr_rung_rate){.kbps = wanted};
    snprintf(name, sizeof name, "mean-%s", rr_codec_text(codec));
    run(&mean, CLIP, name, &options);
    double got = mean.renditions[0].info.mean_bps / 1000.0;
    print_message("%s: %u kbit/s wanted, %.0f in the mean, %.0f at most\n", rr_codec_text(codec),
                  (unsigned)wanted, got, most_kbps(&mean.renditions[0]));
    assert_true(got > wanted * 0.7 && got < wanted * 1.3);
    assert_true(most_kbps(&mean.renditions[0]) <= wanted * 1.5);
    check_remade(CLIP, &options, &mean);
    rr_transcode_result_clear(&free_rate);
    rr_transcode_result_clear(&limited);
    rr_transcode_result_clear(&mean);
}

static void limits_and_means_hold_in_h264(void **state)
{
    (void)state;
    check_codec(RR_CODEC_H264);
}

static void limits_and_means_hold_in_hevc(void **state)
{
    (void)state;
    check_codec(RR_CODEC_HEVC);
}

static void limits_and_means_hold_in_av1(void **state)
{
    (void)state;
    check_codec(RR_CODEC_AV1);
}

static void limits_and_means_hold_in_vp9(void **state)
{
    (void)state;
    check_codec(RR_CODEC_VP9);
}

static void no_worker_count_changes_a_limited_byte(void **state)
{
    (void)state;
    for (unsigned codec = RR_CODEC_HEVC; codec <= RR_CODEC_AV1; codec++) {
        struct rr_hash32 digests[2];
        for (unsigned i = 0; i < 2; i++) {
            struct rr_transcode_options options = kit_options("144:kbps=60", i == 0 ? 1 : 3);
            struct rr_transcode_result result = {0};
            char name[32];
            options.codec = (enum rr_codec)codec;
            options.preset = presets[codec];
            options.tone_map = true;
            snprintf(name, sizeof name, "count-%u-%u", codec, i);
            run(&result, CLIP, name, &options);
            digests[i] = kit_digest(&result);
            rr_transcode_result_clear(&result);
        }
        assert_memory_equal(&digests[0], &digests[1], sizeof digests[0]);
    }
}

static void tone_mapped_gops_of_4_s_are_sdr_and_made_again(void **state)
{
    (void)state;
    struct rr_transcode_options options = kit_options("180,144", 2);
    struct rr_transcode_result result = {0};
    options.tone_map = true;
    options.gop_ms = 4000;
    run(&result, CLIP, "tone", &options);
    assert_int_equal(result.gops, 1);
    for (unsigned i = 0; i < 2; i++) {
        const struct rr_rendition *info = &result.renditions[i].info;
        assert_int_equal(info->video_range, 0);
        assert_memory_equal(info->codecs, "avc1.64", 7); /* High, 8 bit */
    }
    check_remade(CLIP, &options, &result);
    rr_transcode_result_clear(&result);
    options.tone_map = false;
    options.codec = RR_CODEC_HEVC;
    run(&result, CLIP, "kept", &options);
    assert_int_equal(result.renditions[0].info.video_range, 1); /* PQ */
    check_remade(CLIP, &options, &result);
    rr_transcode_result_clear(&result);
}

static struct rr_ladder choose(const char *clip)
{
    struct rr_transcode_options options = {.worker_path = KIT_WORKER,
                                           .ladder = {.automatic = true}};
    struct rr_ladder ladder;
    struct rr_fault fault = {0};
    const char *path = kit_clip(clip);
    int fd = path != NULL ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    assert_true(fd >= 0);
    if (rr_transcode_choose(&ladder, fd, &options, NULL, &fault) != RR_OK) {
        fail_msg("%s: %s", clip, fault.text);
    }
    close(fd);
    struct rr_buf text = {0};
    rr_ladder_text(&text, &ladder);
    print_message("%s: %.*s\n", clip, (int)text.len, (const char *)text.ptr);
    rr_buf_clear(&text);
    return ladder;
}

static void an_automatic_ladder_is_the_videos_own_and_always_the_same(void **state)
{
    (void)state;
    struct rr_ladder animation = choose("bbb_480p24_h264_aac_30s.mp4");
    struct rr_ladder again = choose("bbb_480p24_h264_aac_30s.mp4");
    struct rr_ladder camera = choose("car-detection.mp4");
    assert_memory_equal(&animation, &again, sizeof animation);
    assert_false(animation.automatic);
    assert_int_equal(animation.rungs[0], 480);
    assert_int_equal(camera.rungs[0], 432);
    assert_true(animation.rates[0].max_kbps != camera.rates[0].max_kbps);
}

int main(void)
{
    static const char *const clips[] = {CLIP, "bbb_480p24_h264_aac_30s.mp4", "car-detection.mp4"};
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(limits_and_means_hold_in_h264),
        cmocka_unit_test(tone_mapped_gops_of_4_s_are_sdr_and_made_again),
        cmocka_unit_test(an_automatic_ladder_is_the_videos_own_and_always_the_same),
        cmocka_unit_test(limits_and_means_hold_in_hevc),
        cmocka_unit_test(limits_and_means_hold_in_av1),
        cmocka_unit_test(limits_and_means_hold_in_vp9),
        cmocka_unit_test(no_worker_count_changes_a_limited_byte),
    };
    for (size_t i = 0; i < RR_COUNT(clips); i++) {
        if (kit_clip(clips[i]) == NULL) {
            return 77; /* no clips on this machine */
        }
    }
    size_t count = getenv("RR_SHORT") != NULL ? 2 : RR_COUNT(tests);
    return count == RR_COUNT(tests)
               ? cmocka_run_group_tests(tests, kit_begin, kit_end)
               : _cmocka_run_group_tests("rate jobs", tests, count, kit_begin, kit_end);
}

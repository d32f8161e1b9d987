/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "kit.h"
#include "transcode/transcode_private.h"

static void a_ladder_is_sorted_whatever_its_order(void **state)
{
    (void)state;
    struct rr_ladder ladder;
    assert_int_equal(rr_ladder_parse(&ladder, "360,720,480", NULL), RR_OK);
    assert_int_equal(ladder.rung_count, 3);
    assert_int_equal(ladder.rungs[0], 720);
    assert_int_equal(ladder.rungs[1], 480);
    assert_int_equal(ladder.rungs[2], 360);
}

static void wrong_ladders_are_refused_with_a_sentence(void **state)
{
    (void)state;
    static const char *const wrong[] = {"",
                                        ",",
                                        "720,",
                                        "720,,360",
                                        "720p",
                                        "15",
                                        "4321",
                                        "720,720",
                                        "-1",
                                        "7 20",
                                        "99999999999999999999",
                                        "0x10",
                                        "16,17,18,19,20,21,22,23,24"};
    for (size_t i = 0; i < RR_COUNT(wrong); i++) {
        struct rr_ladder ladder = {.rung_count = 77};
        struct rr_fault fault = {0};
        assert_int_equal(rr_ladder_parse(&ladder, wrong[i], &fault), RR_ERR_USAGE);
        assert_true(strstr(fault.text, "rungs") != NULL || strstr(fault.text, "pixels") != NULL);
        assert_int_equal(ladder.rung_count, 77);
    }
}

struct shape {
    uint32_t width, height, sar_num, sar_den, rotation;
    const char *ladder;
    unsigned count;
    struct transcode_rung rungs[3];
};

static void rungs_keep_the_shape_and_never_grow(void **state)
{
    (void)state;
    static const struct shape shapes[] = {
        {1920,
         1080,
         1,
         1,
         0,
         "720,480,360",
         3,
         {{1280, 720, 1, 1, {0}}, {854, 480, 1, 1, {0}}, {640, 360, 1, 1, {0}}}},
        {1920, 1080, 1, 1, 90, "1080,720", 2, {{1080, 1920, 1, 1, {0}}, {720, 1280, 1, 1, {0}}}},
        {854, 480, 1, 1, 0, "720,480,360", 2, {{854, 480, 1, 1, {0}}, {640, 360, 1, 1, {0}}}},
        {720, 576, 64, 45, 0, "480", 1, {{854, 480, 1, 1, {0}}}},
        {320, 240, 2, 1, 0, "240,120", 2, {{640, 240, 1, 1, {0}}, {320, 120, 1, 1, {0}}}},
        {768, 432, 1, 1, 0, "480,360", 1, {{640, 360, 1, 1, {0}}}},
        {100, 80, 1, 1, 0, "720", 1, {{100, 80, 1, 1, {0}}}}, /* all larger: the source's own size
                                                               */
        {3, 1, 1, 1, 0, "720", 1, {{4, 2, 3, 2, {0}}}}, /* 4:2:0 has no odd sides; the pixels keep
                                                      the shape */
        {1, 1, 1, 1, 0, "16", 1, {{2, 2, 1, 1, {0}}}},
        {320, 180, 1, 1, 0, "122,121", 1, {{216, 122, 1, 1, {0}}}}, /* both were 122p: one name,
                                                                     and the job ended in it */
        {216, 121, 1, 1, 0, "122,121", 1, {{218, 122, 1, 1, {0}}}},
        {641, 359, 1, 1, 0, "360", 1, {{642, 360, 1, 1, {0}}}},
        {16, 4000, 1, 1, 0, "16", 1, {{16, 4000, 1, 1, {0}}}},
        {50, 34, 1, 1, 0, "16", 1, {{24, 16, 50, 51, {0}}}}, /* 24:16 is 2 % off: the exact aspect
                                                           goes into the pixels */
    };
    for (size_t i = 0; i < RR_COUNT(shapes); i++) {
        const struct shape *shape = &shapes[i];
        struct rr_transcode_facts facts = {.width = shape->width,
                                           .height = shape->height,
                                           .sar_num = shape->sar_num,
                                           .sar_den = shape->sar_den,
                                           .rotation = (uint16_t)shape->rotation};
        struct rr_ladder ladder;
        struct transcode_rung rungs[RR_RUNGS_MAX];
        assert_int_equal(rr_ladder_parse(&ladder, shape->ladder, NULL), RR_OK);
        assert_int_equal(transcode_rungs_fit(rungs, &ladder, &facts), shape->count);
        for (unsigned j = 0; j < shape->count; j++) {
            assert_memory_equal(&rungs[j], &shape->rungs[j], sizeof rungs[j]);
        }
    }
}

static void any_shape_gives_even_sides_and_an_aspect_within_half_a_percent(void **state)
{
    (void)state;
    struct rr_prng prng;
    struct rr_ladder ladder;
    rr_prng_seed(&prng, 20);
    assert_int_equal(rr_ladder_parse(&ladder, "2160,1080,720,480,360,240,144,16", NULL), RR_OK);
    for (int i = 0; i < 20000; i++) {
        struct transcode_rung rungs[RR_RUNGS_MAX];
        struct rr_transcode_facts facts = {.width = (uint32_t)rr_prng_below(&prng, 5000) + 1,
                                           .height = (uint32_t)rr_prng_below(&prng, 5000) + 1,
                                           .sar_num = (uint32_t)rr_prng_below(&prng, 40) + 1,
                                           .sar_den = (uint32_t)rr_prng_below(&prng, 40) + 1,
                                           .rotation = (uint16_t)(90 * rr_prng_below(&prng, 4))};
        double aspect = (double)facts.width * facts.sar_num / facts.sar_den / facts.height;
        aspect = facts.rotation % 180 != 0 ? 1 / aspect : aspect;
        unsigned count = transcode_rungs_fit(rungs, &ladder, &facts);
        assert_in_range(count, 1, RR_RUNGS_MAX);
        for (unsigned j = 0; j < count; j++) {
            double made =
                (double)rungs[j].width * rungs[j].sar_num / rungs[j].sar_den / rungs[j].height;
            assert_int_equal(rungs[j].width % 2 + rungs[j].height % 2, 0);
            assert_in_range(rungs[j].width, 2, TRANSCODE_SIDE_MAX);
            assert_in_range(rungs[j].height, 2, TRANSCODE_SIDE_MAX);
            bool cut =
                rungs[j].width == TRANSCODE_SIDE_MAX || rungs[j].height == TRANSCODE_SIDE_MAX;
            assert_true(cut || (made / aspect < 1.0051 && made / aspect > 0.9949));
        }
    }
}

static struct transcode_facts some_facts(int32_t tb_num, int32_t tb_den)
{
    struct transcode_facts facts = {.tb_num = tb_num, .tb_den = tb_den};
    facts.shown.width = 640;
    facts.shown.height = 360;
    facts.shown.sar_num = facts.shown.sar_den = 1;
    facts.shown.fps_num = 24;
    facts.shown.fps_den = 1;
    return facts;
}

static void the_output_keeps_the_ticks_of_the_source(void **state)
{
    (void)state;
    struct rr_transcode_options given = {0}, options;
    struct transcode_plan plan;
    assert_int_equal(transcode_options_fit(&options, &given, NULL), RR_OK);
    struct transcode_facts facts = some_facts(1001, 30000);
    assert_int_equal(transcode_plan_make(&plan, &facts, &options, NULL), RR_OK);
    assert_int_equal(plan.timescale, 30000);
    assert_int_equal(plan.ticks, 1001);
    facts = some_facts(1, 24);
    assert_int_equal(transcode_plan_make(&plan, &facts, &options, NULL), RR_OK);
    assert_int_equal(plan.timescale, 24 << 9);
    assert_int_equal(plan.ticks, 1 << 9);
}

static void gops_begin_on_a_grid_of_time(void **state)
{
    (void)state;
    struct transcode_plan plan = {.tb_num = 1, .tb_den = 90000, .first_pts = -5000, .gop_ms = 2000};
    assert_int_equal(transcode_cell(&plan, -5000), 0);
    assert_int_equal(transcode_cell(&plan, -5000 + 179999), 0);
    assert_int_equal(transcode_cell(&plan, -5000 + 180000), 1);
    assert_int_equal(transcode_cell(&plan, -6000), 0);
    assert_int_equal(transcode_cell(&plan, INT64_C(1) << 60), UINT32_MAX);
    plan.tb_num = 1001;
    plan.tb_den = 30000;
    plan.first_pts = 0;
    assert_int_equal(transcode_cell(&plan, 59), 0); /* 1.969 s */
    assert_int_equal(transcode_cell(&plan, 60), 1); /* 2.002 s */
}

static void options_out_of_range_are_refused(void **state)
{
    (void)state;
    struct rr_transcode_options fit;
    struct rr_transcode_options wrong[] = {
        {.gop_ms = 499},  {.gop_ms = 10001},     {.crf = 52},       {.audio_bps = 1},
        {.workers = 257}, {.preset = "placebo"}, {.preset = "../x"}};
    for (size_t i = 0; i < RR_COUNT(wrong); i++) {
        struct rr_fault fault = {0};
        assert_int_equal(transcode_options_fit(&fit, &wrong[i], &fault), RR_ERR_USAGE);
        assert_true(fault.text[0] != 0);
    }
}

static void a_profile_names_codec_and_preset_and_leads_back_to_them(void **state)
{
    (void)state;
    static const struct {
        const char *codec, *preset, *profile;
    } rows[] = {{"h264", "veryfast", "x264-164-veryfast-v1"},
                {"hevc", "medium", "x265-199-medium-v1"},
                {"av1", "10", "svtav1-141-p10-v1"},
                {"vp9", "5", "vpx9-112-c5-v1"}};
    char profile[RR_NAME_MAX + 1];
    enum rr_codec codec, again;
    const char *preset;
    for (size_t i = 0; i < RR_COUNT(rows); i++) {
        assert_true(rr_codec_parse(&codec, rows[i].codec));
        assert_string_equal(rr_codec_text(codec), rows[i].codec);
        assert_true(rr_transcode_profile(profile, codec, rows[i].preset));
        assert_string_equal(profile, rows[i].profile);
        assert_true(rr_transcode_profile_read(&again, &preset, profile));
        assert_int_equal(again, codec);
        assert_string_equal(preset, rows[i].preset);
        assert_false(rr_transcode_profile(profile, codec, "placebo"));
        assert_true(rr_transcode_profile(profile, codec, rr_codec_preset(codec)));
    }
    assert_false(rr_codec_parse(&codec, "h265"));
    assert_false(rr_transcode_profile_read(&again, &preset, "x264-164-veryfast-v2"));
}

static void names_for_players_are_read_from_what_the_encoder_gave(void **state)
{
    (void)state;
    static const uint8_t avc[] = {0, 0, 0, 1, 0x67, 0x64, 0x00, 0x1f, 0xac, 0, 0, 1, 0x68};
    /* VPS begins, then an SPS of Main, level 3.1 with its 0 0 3. */
    static const uint8_t hevc[] = {0,    0,    0, 1, 0x40, 1,    0x0c, 0, 0,    0,
                                   1,    0x42, 1, 1, 0x01, 0x60, 0,    0, 3,    0,
                                   0x90, 0,    0, 3, 0,    0,    3,    0, 0x5d, 0xa0};
    /* As SVT-AV1 gives them: 854x480 in 8 bit, and 428x240 HLG in 10. */
    static const uint8_t av1[] = {0x0a, 0x0b, 0x00, 0x00, 0x00, 0x24, 0xc6,
                                  0xab, 0xdf, 0x00, 0xbe, 0x00, 0x90};
    static const uint8_t av1_hlg[] = {0x0a, 0x0e, 0x00, 0x00, 0x00, 0x04, 0x3e, 0xaf,
                                      0xbc, 0x02, 0xf8, 0x50, 0x91, 0x20, 0x92, 0x40};
    struct transcode_plan plan = {.codec = RR_CODEC_H264, .rung_count = 1};
    char name[RR_NAME_MAX + 1];
    plan.rungs[0] = (struct transcode_rung){.width = 1280, .height = 720};
    plan.fps_num = 30;
    plan.fps_den = 1;
    plan.primaries = plan.transfer = plan.matrix = 1;
    assert_int_equal(transcode_codec_name(name, &plan, 0, rr_slice_of(avc, sizeof avc), NULL),
                     RR_OK);
    assert_string_equal(name, "avc1.64001f");
    plan.codec = RR_CODEC_HEVC;
    assert_int_equal(transcode_codec_name(name, &plan, 0, rr_slice_of(hevc, sizeof hevc), NULL),
                     RR_OK);
    assert_string_equal(name, "hvc1.1.6.L93.90");
    plan.codec = RR_CODEC_AV1;
    assert_int_equal(transcode_codec_name(name, &plan, 0, rr_slice_of(av1, sizeof av1), NULL),
                     RR_OK);
    assert_string_equal(name, "av01.0.04M.08");
    assert_int_equal(
        transcode_codec_name(name, &plan, 0, rr_slice_of(av1_hlg, sizeof av1_hlg), NULL), RR_OK);
    assert_string_equal(name, "av01.0.00M.10.0.111.09.18.09.0");
    plan.codec = RR_CODEC_VP9;
    assert_int_equal(transcode_codec_name(name, &plan, 0, (struct rr_slice){0}, NULL), RR_OK);
    assert_string_equal(name, "vp09.00.31.08.01.01.01.01.00");
    /* Cut anywhere they are refused, not read beyond. */
    for (size_t len = 0; len < 9; len++) {
        uint8_t *copy = rr_alloc(len + 1);
        memcpy(copy, avc, len < 6 ? len : 6);
        plan.codec = RR_CODEC_H264;
        assert_int_equal(
            transcode_codec_name(name, &plan, 0, rr_slice_of(copy, len < 6 ? len : 6), NULL),
            RR_ERR_DAMAGED);
        memcpy(copy, hevc, len);
        plan.codec = RR_CODEC_HEVC;
        assert_int_equal(transcode_codec_name(name, &plan, 0, rr_slice_of(copy, len), NULL),
                         RR_ERR_DAMAGED);
        memcpy(copy, av1, len < 6 ? len : 6);
        plan.codec = RR_CODEC_AV1;
        assert_int_equal(
            transcode_codec_name(name, &plan, 0, rr_slice_of(copy, len < 6 ? len : 6), NULL),
            RR_ERR_DAMAGED);
        rr_free(copy);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_ladder_is_sorted_whatever_its_order),
        cmocka_unit_test(wrong_ladders_are_refused_with_a_sentence),
        cmocka_unit_test(rungs_keep_the_shape_and_never_grow),
        cmocka_unit_test(any_shape_gives_even_sides_and_an_aspect_within_half_a_percent),
        cmocka_unit_test(the_output_keeps_the_ticks_of_the_source),
        cmocka_unit_test(gops_begin_on_a_grid_of_time),
        cmocka_unit_test(options_out_of_range_are_refused),
        cmocka_unit_test(a_profile_names_codec_and_preset_and_leads_back_to_them),
        cmocka_unit_test(names_for_players_are_read_from_what_the_encoder_gave),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

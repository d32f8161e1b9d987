/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Rates and ladders as laws: no video, no worker. */
#include "kit.h"
#include "transcode/transcode_private.h"

static void the_usual_rate_rises_with_size_and_pictures_and_falls_with_the_codec(void **state)
{
    (void)state;
    uint32_t last = 0;
    for (uint32_t side = 16; side <= 4320; side += 16) {
        uint32_t kbps = transcode_rate_usual(RR_CODEC_H264, side * 16 / 9, side, 30, 1);
        assert_true(kbps >= last);
        last = kbps;
    }
    assert_int_equal(transcode_rate_usual(RR_CODEC_H264, 1920, 1080, 30, 1), 5000);
    assert_int_equal(transcode_rate_usual(RR_CODEC_H264, 1280, 720, 30, 1), 2800);
    assert_true(transcode_rate_usual(RR_CODEC_H264, 1280, 720, 60, 1) >
                transcode_rate_usual(RR_CODEC_H264, 1280, 720, 24, 1));
    assert_true(transcode_rate_usual(RR_CODEC_AV1, 1280, 720, 30, 1) <
                transcode_rate_usual(RR_CODEC_HEVC, 1280, 720, 30, 1));
    assert_true(transcode_rate_usual(RR_CODEC_H264, 2, 2, 1, 0) >= 50);
}

static void pictures_that_stay_hdr_take_a_fifth_more(void **state)
{
    (void)state;
    static const uint8_t transfers[] = {TRANSCODE_PQ, TRANSCODE_HLG};
    for (size_t i = 0; i < RR_COUNT(transfers); i++) {
        for (unsigned mapped = 0; mapped < 2; mapped++) {
            struct transcode_plan plan = {.transfer = transfers[i],
                                          .codec = RR_CODEC_HEVC,
                                          .ten_bit = 1,
                                          .fps_num = 30,
                                          .fps_den = 1,
                                          .rung_count = 2,
                                          .rungs = {{1920, 1080, 1, 1, {0, RR_KBPS_AUTO, 0}},
                                                    {1280, 720, 1, 1, {0, 1500, 0}}}};
            if (mapped != 0) {
                transcode_tone_fit(&plan);
            }
            transcode_rates_fit(&plan, 26);
            assert_int_equal(plan.rungs[0].rate.kbps, mapped != 0 ? 3250 : 3900);
            assert_int_equal(plan.rungs[1].rate.kbps, 1500); /* as was asked */
        }
    }
}

static void no_gop_can_leave_its_buffer_above_the_limit(void **state)
{
    (void)state;
    static const uint32_t fps[][2] = {{24, 1}, {30000, 1001}, {25, 2}, {60, 1}};
    static const uint32_t gops_ms[] = {500, 2000, 4000, 10000};
    struct transcode_encode *ask = rr_alloc(sizeof *ask);
    for (size_t f = 0; f < RR_COUNT(fps); f++) {
        for (size_t g = 0; g < RR_COUNT(gops_ms); g++) {
            for (uint32_t max_kbps = 40; max_kbps <= 40000; max_kbps *= 10) {
                uint32_t whole = (uint32_t)((uint64_t)gops_ms[g] * fps[f][0] / 1000 / fps[f][1]);
                *ask = (struct transcode_encode){
                    .plan = {.timescale = 90000,
                             .fps_num = fps[f][0],
                             .fps_den = fps[f][1],
                             .gop_ms = gops_ms[g],
                             .rung_count = 1,
                             .rungs = {{320, 180, 1, 1, {23, 0, max_kbps}}}}};
                for (uint32_t count = 1; count <= whole; count += 1 + whole / 7) {
                    struct transcode_vbv vbv;
                    double step = 90000.0 * fps[f][1] / fps[f][0];
                    ask->count = count;
                    for (uint32_t i = 0; i < count; i++) {
                        ask->pts[i] = (int64_t)(i * step);
                    }
                    transcode_vbv(&vbv, ask);
                    double seconds = count * step / 90000;
                    double most =
                        vbv.rate_kbps * seconds + vbv.buffer_kbit * (vbv.start_permille / 1000.0);
                    assert_true(most <= max_kbps * seconds * 1.01 + 2);
                    assert_true((double)vbv.bytes_max <= max_kbps * 125 * seconds + 8192);
                    assert_true(vbv.start_permille <= 1000);
                }
            }
        }
    }
    rr_free(ask);
}

static void a_gop_over_its_limit_is_tried_again_with_less_and_not_forever(void **state)
{
    (void)state;
    for (uint8_t codec = RR_CODEC_H264; codec <= RR_CODEC_VP9; codec++) {
        for (uint64_t bytes = 1001; bytes < 1000000; bytes *= 3) {
            struct transcode_vbv vbv = {.bytes_max = 1000};
            struct rr_rung_rate rate = {.crf = 23, .max_kbps = 100}, before;
            unsigned tries = 1;
            do {
                before = rate;
                tries++;
            } while (transcode_rate_again(&rate, codec, &vbv, bytes, tries - 1) &&
                     rate.crf > before.crf && rate.crf <= TRANSCODE_CRF_MAX(codec));
            assert_true(tries <= TRANSCODE_TRIES_MAX + 1);
            rate = (struct rr_rung_rate){.kbps = 100, .max_kbps = 150};
            assert_true(transcode_rate_again(&rate, codec, &vbv, bytes, 1));
            assert_true(rate.kbps < 100 && rate.kbps > 0);
        }
        struct transcode_vbv vbv = {.bytes_max = 1500, .bytes_mean = 1000};
        struct rr_rung_rate rate = {.kbps = 100, .max_kbps = 150};
        assert_false(transcode_rate_again(&rate, codec, &vbv, 900, 1));
        assert_true(transcode_rate_again(&rate, codec, &vbv, 500, 1));
        assert_true(rate.kbps > 100);
        assert_false(transcode_rate_again(&rate, codec, &vbv, 500, TRANSCODE_RAISES_MAX));
        rate = (struct rr_rung_rate){.crf = 23};
        vbv = (struct transcode_vbv){.bytes_max = UINT64_MAX};
        assert_false(transcode_rate_again(&rate, codec, &vbv, UINT64_MAX - 1, 1));
    }
}

static void a_ladder_is_its_text(void **state)
{
    (void)state;
    static const char *const texts[] = {"auto", "720,480,360", "1080:crf=21:max=6000,720:kbps=2500",
                                        "720:kbps=auto:max=auto,480:kbps=900:max=1200"};
    for (size_t i = 0; i < RR_COUNT(texts); i++) {
        struct rr_ladder ladder;
        struct rr_buf text = {0};
        assert_int_equal(rr_ladder_parse(&ladder, texts[i], NULL), RR_OK);
        rr_ladder_text(&text, &ladder);
        rr_write_u8(&text, 0);
        assert_string_equal((const char *)text.ptr, texts[i]);
        rr_buf_clear(&text);
    }
    static const char *const wrong[] = {"720:",       "720:crf",          "720:crf=0",
                                        "720:crf=64", "720:crf=2:crf=2",  "720:crf=20:kbps=9",
                                        "720:max=-1", "720:kbps=1000001", "720:crf=auto",
                                        "auto,720",   "720:max=1,",       "720:bits=1"};
    for (size_t i = 0; i < RR_COUNT(wrong); i++) {
        struct rr_ladder ladder;
        struct rr_fault fault = {0};
        assert_int_equal(rr_ladder_parse(&ladder, wrong[i], &fault), RR_ERR_USAGE);
        assert_non_null(strstr(fault.text, "ladder"));
    }
}

static void rates_stand_beside_the_rungs_highest_first(void **state)
{
    (void)state;
    struct rr_ladder ladder;
    struct rr_fault fault = {0};
    assert_int_equal(rr_ladder_parse(&ladder, "360,720", NULL), RR_OK);
    assert_int_equal(rr_ladder_rates(&ladder, "3000,800", "auto", NULL), RR_OK);
    assert_int_equal(ladder.rates[0].kbps, 3000);
    assert_int_equal(ladder.rates[1].kbps, 800);
    assert_true(ladder.rates[0].max_kbps == RR_KBPS_AUTO);
    static const char *const wrong[] = {"3000", "1,2,3", "0,1", "1,", "a,b", "1000001,1", "1, 2"};
    for (size_t i = 0; i < RR_COUNT(wrong); i++) {
        assert_int_equal(rr_ladder_rates(&ladder, wrong[i], NULL, &fault), RR_ERR_USAGE);
        assert_non_null(strstr(fault.text, "2 numbers"));
        assert_int_equal(ladder.rates[0].kbps, 3000);
    }
    ladder = (struct rr_ladder){0};
    assert_int_equal(rr_ladder_rates(&ladder, NULL, "3,2,1", NULL), RR_OK);
    assert_int_equal(ladder.rung_count, 3);
    ladder = (struct rr_ladder){.automatic = true};
    assert_int_equal(rr_ladder_rates(&ladder, "1", NULL, &fault), RR_ERR_USAGE);
    assert_int_equal(rr_ladder_parse(&ladder, "720:crf=20,360", NULL), RR_OK);
    assert_int_equal(rr_ladder_rates(&ladder, "900,300", NULL, &fault), RR_ERR_USAGE);
    assert_non_null(strstr(fault.text, "leave out one of the two"));
}

static enum rr_err parse_file(struct rr_ladder *out, const char *text, struct rr_fault *fault)
{
    return rr_ladder_parse_file(out, rr_slice_str(text), "my.toml", fault);
}

static void a_ladder_file_says_one_rung_after_the_other(void **state)
{
    (void)state;
    struct rr_ladder ladder;
    struct rr_fault fault = {0};
    assert_int_equal(parse_file(&ladder,
                                "# film\n[[rung]]\nside = 480\nkbps = 900\n[[rung]]\nside = 1080\n"
                                "crf = 21\nmax_kbps = 6000\n",
                                &fault),
                     RR_OK);
    assert_int_equal(ladder.rung_count, 2);
    assert_int_equal(ladder.rungs[0], 1080);
    assert_int_equal(ladder.rates[0].crf, 21);
    assert_int_equal(ladder.rates[0].max_kbps, 6000);
    assert_int_equal(ladder.rates[1].kbps, 900);
    assert_int_equal(parse_file(&ladder, "max_kbps = \"auto\"\n[[rung]]\nside = 480\n", NULL),
                     RR_OK);
    assert_true(ladder.rates[0].max_kbps == RR_KBPS_AUTO);
    /* A rung's own limit was overwritten, its own quality dropped. */
    assert_int_equal(parse_file(&ladder,
                                "kbps = \"auto\"\nmax_kbps = \"auto\"\n[[rung]]\nside = 480\n"
                                "max_kbps = 6000\n[[rung]]\nside = 360\ncrf = 20\n",
                                NULL),
                     RR_OK);
    assert_true(ladder.rates[0].kbps == RR_KBPS_AUTO);
    assert_int_equal(ladder.rates[0].max_kbps, 6000);
    assert_int_equal(ladder.rates[1].kbps, 0);
    assert_int_equal(ladder.rates[1].crf, 20);
    assert_true(ladder.rates[1].max_kbps == RR_KBPS_AUTO);
    static const struct {
        const char *text, *place, *says;
    } wrong[] = {
        {"", "my.toml:1", "no [[rung]]"},
        {"[[rung]]\ncrf = 20\n", "my.toml:1", "side"},
        {"[[rung]]\nside = 480\n\n[[rung]]\nside = 480\n", "my.toml:4", "already"},
        {"[[rung]]\nside = 480\ncrf = 64\n", "my.toml:3", "expected 1 to 63"},
        {"[[rung]]\nside = \"480\"\n", "my.toml:2", "an integer"},
        {"[[rung]]\nside = 480\ncrf = 20\nkbps = 500\n", "my.toml:1", "one of the two"},
        {"[[rung]]\nside = 480\nkbps = 900\nmax_kbps = 500\n", "my.toml:1", "the larger"},
        {"[[rung]]\nside = 480\nquality = 3\n", "my.toml:3", "quality"},
        {"[[rung]\nside = 480\n", "my.toml:1", ""},
    };
    for (size_t i = 0; i < RR_COUNT(wrong); i++) {
        fault = (struct rr_fault){0};
        assert_int_equal(parse_file(&ladder, wrong[i].text, &fault), RR_ERR_FORMAT);
        if (strstr(fault.text, wrong[i].place) == NULL ||
            strstr(fault.text, wrong[i].says) == NULL) {
            fail_msg("\"%s\": %s", wrong[i].text, fault.text);
        }
    }
}

static void a_plan_leaves_no_rate_open(void **state)
{
    (void)state;
    struct transcode_facts facts = {.shown = {.has_video = true,
                                              .width = 1280,
                                              .height = 720,
                                              .sar_num = 1,
                                              .sar_den = 1,
                                              .fps_num = 30,
                                              .fps_den = 1},
                                    .tb_num = 1,
                                    .tb_den = 30};
    struct rr_transcode_options options = {0}, fit;
    struct transcode_plan plan;
    assert_int_equal(rr_ladder_parse(&options.ladder,
                                     "1080:kbps=9000,720:kbps=auto,480:max=auto,360:crf=30", NULL),
                     RR_OK);
    assert_int_equal(transcode_options_fit(&fit, &options, NULL), RR_OK);
    assert_int_equal(transcode_plan_make(&plan, &facts, &fit, NULL), RR_OK);
    assert_int_equal(plan.rung_count, 3); /* never larger than the source */
    assert_int_equal(plan.rungs[0].rate.kbps, 2800);
    assert_int_equal(plan.rungs[0].rate.max_kbps, 4200);
    assert_int_equal(plan.rungs[1].rate.kbps, 0);
    assert_int_equal(plan.rungs[1].rate.crf, 23);
    assert_true(plan.rungs[1].rate.max_kbps > 1000 && plan.rungs[1].rate.max_kbps < 4200);
    assert_int_equal(plan.rungs[2].rate.crf, 30);
    assert_int_equal(plan.rungs[2].rate.max_kbps, 0);
    /* "1260 kbit/s, at most 10": the rule's mean stays within a limit that is given. */
    assert_int_equal(rr_ladder_parse(&options.ladder, "720:kbps=auto:max=10", NULL), RR_OK);
    assert_int_equal(transcode_options_fit(&fit, &options, NULL), RR_OK);
    assert_int_equal(transcode_plan_make(&plan, &facts, &fit, NULL), RR_OK);
    assert_int_equal(plan.rungs[0].rate.kbps, 10);
    assert_int_equal(plan.rungs[0].rate.max_kbps, 10);
    options.codec = RR_CODEC_H264;
    assert_int_equal(rr_ladder_parse(&options.ladder, "720:crf=60", NULL), RR_OK);
    assert_int_equal(transcode_options_fit(&fit, &options, NULL), RR_ERR_USAGE);
    options.codec = RR_CODEC_AV1;
    assert_int_equal(transcode_options_fit(&fit, &options, NULL), RR_OK);
}

/* What a worker would have measured of 16:9 pictures at 1080, 540 and 270 lines. */
static struct rr_ladder choose(const uint64_t kbps[3], uint32_t small, enum rr_codec codec)
{
    struct transcode_plan probe = {
        .gop_ms = 2000,
        .fps_num = 24,
        .fps_den = 1,
        .rung_count = 3,
        .rungs = {{1920, 1080, 1, 1, {0}}, {960, 540, 1, 1, {0}}, {480, 270, 1, 1, {0}}}};
    struct transcode_measured made = {.pieces = 1, .others = 47, .rung_count = 3};
    struct rr_transcode_options options = {.codec = codec}, fit;
    struct rr_ladder ladder;
    for (unsigned i = 0; i < 3; i++) {
        made.rungs[i].key_bytes = kbps[i] * 250 / 4; /* a quarter of 2 s */
        made.rungs[i].other_bytes = kbps[i] * 250 * 3 / 4;
    }
    assert_int_equal(transcode_options_fit(&fit, &options, NULL), RR_OK);
    transcode_auto_choose(&ladder, &probe, &made, small, &fit);
    return ladder;
}

static void an_automatic_ladder_follows_what_the_video_costs(void **state)
{
    (void)state;
    static const uint64_t rich[3] = {6000, 2000, 700}, plain[3] = {300, 140, 60},
                          grown[3] = {900, 880, 400};
    struct rr_ladder film = choose(rich, 1080, RR_CODEC_H264);
    struct rr_ladder screen = choose(plain, 1080, RR_CODEC_H264);
    struct rr_ladder upscaled = choose(grown, 1080, RR_CODEC_H264);
    assert_int_equal(film.rungs[0], 1080);
    assert_true(film.rung_count >= 4);
    assert_true(screen.rung_count < film.rung_count);
    assert_true(film.rates[0].max_kbps >= 12000 && film.rates[0].max_kbps <= 13000);
    assert_true(upscaled.rungs[0] < 1080); /* 1080 shows nothing that 540 does not */
    for (unsigned i = 1; i < film.rung_count; i++) {
        assert_true(film.rungs[i] < film.rungs[i - 1]);
        assert_true(film.rates[i].max_kbps * 100 <= film.rates[i - 1].max_kbps * 68);
    }
    struct rr_ladder small = choose(rich, 432, RR_CODEC_H264);
    assert_int_equal(small.rungs[0], 432); /* the source's own side, well above 360 */
    assert_true(choose(rich, 2160, RR_CODEC_H264).rungs[0] == 2160);
    assert_true(choose(rich, 1080, RR_CODEC_AV1).rates[0].max_kbps < film.rates[0].max_kbps);
    assert_true(choose(rich, 100, RR_CODEC_H264).rung_count > 0);
}

static void hdr_becomes_sdr_in_the_plan_only_when_asked(void **state)
{
    (void)state;
    struct transcode_plan plan = {.transfer = TRANSCODE_PQ,
                                  .primaries = 9,
                                  .matrix = 9,
                                  .ten_bit = 1,
                                  .hdr = {.has_light = 1, .light_max = 2000}};
    transcode_tone_fit(&plan);
    assert_int_equal(plan.tone.transfer, TRANSCODE_PQ);
    assert_int_equal(plan.tone.peak_nits, 2000);
    assert_int_equal(plan.transfer, 1);
    assert_int_equal(plan.ten_bit, 0);
    assert_int_equal(plan.hdr.has_light, 0);
    struct transcode_plan sdr = {.transfer = 1, .primaries = 1, .matrix = 1, .ten_bit = 1},
                          was = sdr;
    transcode_tone_fit(&sdr);
    assert_memory_equal(&sdr, &was, sizeof sdr);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_usual_rate_rises_with_size_and_pictures_and_falls_with_the_codec),
        cmocka_unit_test(pictures_that_stay_hdr_take_a_fifth_more),
        cmocka_unit_test(no_gop_can_leave_its_buffer_above_the_limit),
        cmocka_unit_test(a_gop_over_its_limit_is_tried_again_with_less_and_not_forever),
        cmocka_unit_test(a_ladder_is_its_text),
        cmocka_unit_test(rates_stand_beside_the_rungs_highest_first),
        cmocka_unit_test(a_ladder_file_says_one_rung_after_the_other),
        cmocka_unit_test(a_plan_leaves_no_rate_open),
        cmocka_unit_test(an_automatic_ladder_follows_what_the_video_costs),
        cmocka_unit_test(hdr_becomes_sdr_in_the_plan_only_when_asked),
    };
    return cmocka_run_group_tests(tests, kit_begin, kit_end);
}

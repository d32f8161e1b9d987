/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A job as a contract chain and back, its parts, and the choice among rigs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "transcode/transcode.h"

static const struct rr_transcode_facts facts_1080 = {.has_video = true,
                                                     .width = 1920,
                                                     .height = 1080,
                                                     .sar_num = 1,
                                                     .sar_den = 1,
                                                     .bit_depth = 8,
                                                     .fps_num = 25,
                                                     .fps_den = 1,
                                                     .audio_count = 1};

static struct rr_work_chain chain_of(const char *ladder, const struct rr_transcode_facts *facts)
{
    struct rr_work_chain chain = {.challenges = 1, .output = RR_WORK_LADDER};
    struct rr_transcode_options options = {.codec = RR_CODEC_HEVC, .crf = 30};
    struct rr_fault fault = {0};
    assert_int_equal(rr_ladder_parse(&options.ladder, ladder, &fault), RR_OK);
    assert_int_equal(rr_transcode_chain_make(&chain, facts, &options, &fault), RR_OK);
    assert_int_equal(rr_work_chain_check(&chain, &fault), RR_OK);
    return chain;
}

static void test_round_trip(void **state)
{
    (void)state;
    struct rr_work_chain chain = chain_of("2160,720:crf=22,360:kbps=400", &facts_1080);
    struct rr_transcode_options options;
    assert_int_equal(rr_transcode_chain_options(&options, &chain, NULL), RR_OK);
    assert_int_equal(options.codec, RR_CODEC_HEVC);
    assert_int_equal(options.crf, 30);
    assert_int_equal(options.ladder.rung_count, 2); /* 2160 is above the source */
    assert_int_equal(options.ladder.rungs[0], 720);
    assert_int_equal(options.ladder.rates[0].crf, 22);
    assert_int_equal(options.ladder.rates[1].kbps, 400);
    assert_int_equal(options.audio_bps, 128000);
    assert_string_equal(options.preset, rr_codec_preset(RR_CODEC_HEVC));
}

static void test_silent(void **state)
{
    (void)state;
    struct rr_transcode_facts silent = facts_1080;
    silent.audio_count = 0;
    struct rr_work_chain chain = chain_of("360", &silent);
    assert_int_equal(chain.step_count, 4);
    assert_int_equal(rr_transcode_chain_leg(&chain, RR_TRANSCODE_LEG_SOUND), 0);
    silent.has_video = false;
    assert_int_equal(
        rr_transcode_chain_make(&chain, &silent, &(struct rr_transcode_options){0}, NULL),
        RR_ERR_UNSUPPORTED);
}

static void test_unsupported(void **state)
{
    (void)state;
    struct rr_work_chain chain = chain_of("720,360", &facts_1080);
    struct rr_transcode_options options;
    snprintf(chain.steps[3].profile, sizeof chain.steps[3].profile, "x264-164-veryfast-v1");
    assert_int_equal(rr_transcode_chain_options(&options, &chain, NULL), RR_ERR_UNSUPPORTED);
    chain = chain_of("720,360", &facts_1080);
    snprintf(chain.steps[2].profile, sizeof chain.steps[2].profile, "x264-9999-veryfast-v1");
    assert_int_equal(rr_transcode_chain_options(&options, &chain, NULL), RR_ERR_UNSUPPORTED);
    chain = chain_of("720,360", &facts_1080);
    snprintf(chain.steps[5].profile, sizeof chain.steps[5].profile, "vorbis");
    assert_int_equal(rr_transcode_chain_options(&options, &chain, NULL), RR_ERR_UNSUPPORTED);
}

static void test_parts(void **state)
{
    (void)state;
    struct rr_work_chain chain = chain_of("720,360", &facts_1080); /* 7 steps */
    struct rr_work_offer offer = {.kinds = 0x3e,
                                  .codec_count = 1,
                                  .codecs = {{.codec = "hevc"}},
                                  .rung_min = 16,
                                  .rung_max = 4320};
    uint32_t pictures = rr_transcode_chain_leg(&chain, RR_TRANSCODE_LEG_PICTURES),
             sound = rr_transcode_chain_leg(&chain, RR_TRANSCODE_LEG_SOUND),
             output = rr_transcode_chain_leg(&chain, RR_TRANSCODE_LEG_OUTPUT);
    assert_int_equal(pictures, 0x0f);
    assert_int_equal(sound, 0x30);
    assert_int_equal(output, 0x40);
    assert_int_equal(rr_transcode_chain_offered(&chain, &offer), pictures | sound);
    offer.rung_max = 480; /* not the whole part: none of it */
    assert_int_equal(rr_transcode_chain_offered(&chain, &offer), sound);
    offer.rung_max = 4320;
    snprintf(offer.codecs[0].codec, sizeof offer.codecs[0].codec, "av1");
    assert_int_equal(rr_transcode_chain_offered(&chain, &offer), sound);
    snprintf(offer.codecs[0].codec, sizeof offer.codecs[0].codec, "hevc");
    offer.kinds &= ~(1u << RR_WORK_DECODE_AUDIO);
    assert_int_equal(rr_transcode_chain_offered(&chain, &offer), pictures);
    offer.kinds |= 1u << RR_WORK_MUX;
    assert_int_equal(rr_transcode_chain_offered(&chain, &offer), pictures | output);
}

static struct rr_work_quote quote_of(uint64_t price, uint64_t work_ms)
{
    struct rr_work_quote quote = {.step_count = 7, .work_ms = work_ms};
    assert_true(rr_coin_of_units(&quote.prices[2], price));
    return quote;
}

static void test_choice(void **state)
{
    (void)state;
    struct rr_work_quote quotes[] = {quote_of(30, 9000), quote_of(10, 60000), quote_of(20, 20000),
                                     quote_of(10, 50000), quote_of(5, 1000)};
    struct rr_transcode_bid bids[RR_COUNT(quotes)];
    struct rr_transcode_choice choice;
    struct rr_coin most;
    for (size_t i = 0; i < RR_COUNT(quotes); i++) {
        bids[i] = (struct rr_transcode_bid){.quote = &quotes[i], .steps = i == 4 ? 0x30 : 0x3f};
    }
    rr_transcode_chain_choose(&choice, bids, RR_COUNT(bids), 0x0f, NULL, 0);
    assert_int_equal(choice.count, 4); /* the last one takes sound alone */
    const size_t order[] = {1, 3, 2, 0};
    assert_memory_equal(choice.order, order, sizeof order);
    assert_int_equal(choice.active, 1);
    /* 60 s and 50 s alone are too late, 27.3 s together; 11.5 s with the third. */
    rr_transcode_chain_choose(&choice, bids, RR_COUNT(bids), 0x0f, NULL, 30000);
    assert_int_equal(choice.active, 2);
    rr_transcode_chain_choose(&choice, bids, RR_COUNT(bids), 0x0f, NULL, 12000);
    assert_int_equal(choice.active, 3);
    assert_false(choice.late);
    rr_transcode_chain_choose(&choice, bids, RR_COUNT(bids), 0x0f, NULL, 100);
    assert_true(choice.active == 4 && choice.late);
    assert_true(rr_coin_of_units(&most, 15));
    rr_transcode_chain_choose(&choice, bids, RR_COUNT(bids), 0x0f, &most, 0);
    assert_int_equal(choice.count, 2);
    rr_transcode_chain_choose(&choice, bids, 0, 0x0f, NULL, 0);
    assert_true(choice.count == 0 && choice.active == 0 && !choice.late);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        {"a job becomes a chain and the same job again", test_round_trip, NULL, NULL, NULL},
        {"a source without sound has no steps for it, one without pictures no chain", test_silent,
         NULL, NULL, NULL},
        {"what this version cannot run as one is refused", test_unsupported, NULL, NULL, NULL},
        {"a rig takes parts whole or not at all", test_parts, NULL, NULL, NULL},
        {"the cheapest works, more of them when time is short", test_choice, NULL, NULL, NULL},
    };
    return cmocka_run_group_tests_name("transcode: chains", tests, NULL, NULL);
}

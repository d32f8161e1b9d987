/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Contract chains and work for hire: which graphs are chains, what a quote costs, what signatures
 * cover. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "make_work.h"

static struct rr_work_chain chain_of_two(void)
{
    struct source s = {.fixed = true};
    return make_chain(&s); /* two renditions and a sound */
}

static void refused(const struct rr_work_chain *chain, const char *word)
{
    struct rr_fault fault = {0};
    assert_int_equal(rr_work_chain_check(chain, &fault), RR_ERR_FORMAT);
    assert_non_null(strstr(fault.text, word));
}

static void test_graphs(void **state)
{
    (void)state;
    struct rr_work_chain good = chain_of_two(), bad = good;
    assert_int_equal(rr_work_chain_check(&good, NULL), RR_OK);
    bad.steps[1].inputs[0].step = 1; /* of itself */
    refused(&bad, "earlier");
    bad = good;
    bad.steps[2].inputs[0].step = 5; /* of a later one: a circle needs one */
    refused(&bad, "earlier");
    bad = good;
    bad.steps[2].inputs[0] = (struct rr_work_input){.step = 0, .type = RR_WORK_VIDEO_PACKETS};
    refused(&bad, "does not fit"); /* packets into an encoder */
    bad = good;
    bad.steps[1].inputs[0].type = RR_WORK_AUDIO_PACKETS;
    refused(&bad, "does not fit");
    bad = good;
    bad.steps[bad.step_count - 1].input_count--; /* the sound is made for nobody */
    refused(&bad, "nobody takes");
    bad = good;
    bad.steps[3].rung = bad.steps[2].rung;
    refused(&bad, "does not fit");
    bad = good;
    bad.steps[bad.step_count - 1].inputs[1] = bad.steps[bad.step_count - 1].inputs[0];
    refused(&bad, "does not fit"); /* one stream twice */
    bad = good;
    bad.steps[1].kind = RR_WORK_MUX;
    refused(&bad, "does not fit its place");
    bad = good;
    bad.step_count--;
    refused(&bad, "does not fit its place"); /* nothing muxes */
    bad = good;
    for (uint8_t i = 0; i < bad.step_count; i++) {
        assert_true(rr_coin_of_units(&bad.steps[i].price, RR_COIN_MAX_UNITS));
    }
    refused(&bad, "price");
    bad = good;
    bad.challenges = 0;
    refused(&bad, "challenges");
}

static void test_identities(void **state)
{
    (void)state;
    struct rr_work_chain chain = chain_of_two();
    struct rr_hash32 id, other, steps[2];
    rr_work_chain_id(&id, &chain);
    rr_work_step_id(&steps[0], &id, 0);
    rr_work_step_id(&steps[1], &id, 1);
    assert_false(rr_hash32_equal(&steps[0], &steps[1]));
    assert_true(rr_coin_of_units(&chain.steps[3].price, 1));
    rr_work_chain_id(&other, &chain);
    assert_false(rr_hash32_equal(&id, &other)); /* a price is part of it */
}

static void test_words(void **state)
{
    (void)state;
    static const char text[] =
        "{\"gop_ms\": 4000, \"crf\": 26, \"steps\": [{\"kind\": \"demux\", \"price\": \"0.5\"},"
        "{\"kind\": \"decode_video\", \"from\": [0]},"
        "{\"kind\": \"encode_video\", \"from\": [1], \"profile\": \"x265-199-fast-v1\", \"rung\": "
        "720, \"max_kbps\": 900},"
        "{\"kind\": \"decode_audio\", \"from\": [0]},"
        "{\"kind\": \"encode_audio\", \"from\": [3], \"profile\": \"aac\", \"bps\": 96000},"
        "{\"kind\": \"mux\", \"from\": [2, 4]}]}";
    static const char *const wrong[] = {
        "",
        "[]",
        "{\"steps\": []}",
        "{\"steps\": [{\"kind\": \"wash\"}]}",
        "{\"gop_ms\": -1, \"steps\": []}",
        "{\"steps\": [{\"kind\": \"demux\", \"from\": [0]}]}",
        "{\"colour\": 1, \"steps\": [{\"kind\": \"demux\"}]}",
        "{\"steps\": [{\"kind\": \"demux\", \"price\": \"much\"}]}"};
    struct rr_work_chain chain;
    struct rr_fault fault = {0};
    assert_int_equal(rr_work_chain_parse(&chain, rr_slice_str(text), &fault), RR_OK);
    assert_int_equal(chain.step_count, 6);
    assert_int_equal(chain.steps[3].inputs[0].type, RR_WORK_AUDIO_PACKETS);
    assert_int_equal(chain.steps[5].inputs[0].type, RR_WORK_VIDEO_STREAM);
    assert_int_equal(chain.steps[5].inputs[1].type, RR_WORK_AUDIO_STREAM);
    assert_int_equal(chain.steps[2].rate.max_kbps, 900);
    assert_int_equal(rr_coin_units(chain.steps[0].price), 50000000);
    struct rr_buf words = {0};
    struct rr_work_chain again;
    struct rr_hash32 ids[2];
    rr_work_chain_json(&words, &chain);
    assert_int_equal(rr_work_chain_parse(&again, rr_buf_slice(&words), &fault), RR_OK);
    rr_work_chain_id(&ids[0], &chain);
    rr_work_chain_id(&ids[1], &again);
    assert_true(rr_hash32_equal(&ids[0], &ids[1]));
    rr_buf_clear(&words);
    for (size_t i = 0; i < RR_COUNT(wrong); i++) {
        assert_int_equal(rr_work_chain_parse(&chain, rr_slice_str(wrong[i]), &fault),
                         RR_ERR_FORMAT);
    }
}

/* "kind, from (numbers of earlier steps), profile, ... are known" for a price of -1. */
static void test_wrong_values_are_named(void **state)
{
    (void)state;
    static const struct {
        const char *text, *told;
    } wrong[] = {
        {"{\"steps\": [{\"kind\": \"demux\", \"price\": \"-1\"}]}",
         "step 0 of the chain: price is \"-1\""},
        {"{\"steps\": [{\"kind\": \"demux\"}, {\"kind\": \"encode_video\", \"rung\": 100000}]}",
         "step 1 of the chain: rung is 100000"},
        {"{\"steps\": [{\"kind\": \"demux\", \"price\": 0.5}]}", "price is 0.5"},
        {"{\"steps\": [{\"kind\": \"wash\"}]}", "kind is \"wash\""},
        {"{\"steps\": [{}]}", "kind is missing"},
        {"{\"steps\": [{\"kind\": \"mux\", \"from\": [3]}]}", "from is [3]"},
        {"{\"steps\": [{\"kind\": \"mux\", \"profile\": "
         "[\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
         "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"]}]}",
         "aaa...; a name"},
        {"{\"crf\": 64, \"steps\": []}", "the chain: crf is 64"},
        {"{\"output\": \"film\", \"steps\": []}", "the chain: output is \"film\""}};
    struct rr_work_chain chain;
    for (size_t i = 0; i < RR_COUNT(wrong); i++) {
        struct rr_fault fault = {0};
        assert_int_equal(rr_work_chain_parse(&chain, rr_slice_str(wrong[i].text), &fault),
                         RR_ERR_FORMAT);
        if (strstr(fault.text, wrong[i].told) == NULL) {
            fail_msg("\"%s\" does not say: %s", fault.text, wrong[i].told);
        }
    }
}

/* ---- prices
 * --------------------------------------------------------------------------------------------- */

static struct rr_work_order order_1080(void)
{
    struct rr_work_order order = {0};
    static const char text[] =
        "{\"steps\": [{\"kind\": \"demux\"}, {\"kind\": \"decode_video\", \"from\": [0]},"
        "{\"kind\": \"encode_video\", \"from\": [1], \"profile\": \"x264-164-veryfast-v1\", "
        "\"rung\": 1080},"
        "{\"kind\": \"encode_video\", \"from\": [1], \"profile\": \"x264-164-veryfast-v1\", "
        "\"rung\": 540},"
        "{\"kind\": \"decode_audio\", \"from\": [0]},"
        "{\"kind\": \"encode_audio\", \"from\": [4], \"profile\": \"aac\", \"bps\": 96000},"
        "{\"kind\": \"mux\", \"from\": [2, 3, 5]}]}";
    assert_int_equal(rr_work_chain_parse(&order.chain, rr_slice_str(text), NULL), RR_OK);
    order.facts = (struct rr_work_facts){.width = 1920,
                                         .height = 1080,
                                         .fps_num = 25,
                                         .fps_den = 1,
                                         .duration_ms = 10000,
                                         .bytes = 1000000,
                                         .has_audio = true};
    order.steps = 0x3f;
    return order;
}

static struct rr_work_offer offer_plain(void)
{
    struct rr_work_offer offer = {.kinds = 0x3e,
                                  .codec_count = 1,
                                  .codecs = {{.codec = "h264", .rate = 100}},
                                  .rung_min = 16,
                                  .rung_max = 4320,
                                  .gop_ms_min = 500,
                                  .gop_ms_max = 10000,
                                  .source_bytes_max = 1u << 30,
                                  .points_max = 1u << 26};
    assert_true(rr_coin_of_units(&offer.codecs[0].price, 1000));
    assert_true(rr_coin_of_units(&offer.decode_price, 100));
    assert_true(rr_coin_of_units(&offer.demux_price, 10));
    assert_true(rr_coin_of_units(&offer.audio_price, 7));
    assert_true(rr_coin_of_units(&offer.unit_price, 10000));
    assert_true(rr_coin_of_units(&offer.unpaid_max, 55000));
    return offer;
}

static void test_prices(void **state)
{
    (void)state;
    struct rr_work_order order = order_1080();
    struct rr_work_offer offer = offer_plain();
    struct rr_work_quote quote = {0};
    assert_int_equal(rr_work_quote_price(&quote, &offer, &order, NULL), RR_OK);
    /* 50 pictures of 2.0736 Mpx: 103680 to encode, 25920 at half the side, 10368 to decode, 20. */
    assert_int_equal(quote.gops, 7);
    assert_int_equal(quote.gop_units, (103680 + 25920 + 10368 + 20 + 9999) / 10000);
    assert_int_equal(quote.audio_units, 1); /* 2 x 70 of 10000 */
    assert_int_equal(quote.unpaid_units, 6);
    assert_int_equal(rr_coin_units(quote.prices[2]), 7 * 103680);
    assert_int_equal(rr_coin_units(quote.prices[4]), 70);
    assert_int_equal(rr_coin_units(quote.prices[6]), 0); /* not ordered */
    assert_int_equal(quote.work_ms, 7 * (103680 + 25920) / 100);
    assert_int_equal(rr_coin_units(rr_work_quote_total(&quote)),
                     (uint64_t)10000 * (quote.gop_units * 7 + 1));
    /* A rung above the source is made as large as the source, and costs so. */
    order.chain.steps[2].rung = 2160;
    assert_int_equal(rr_work_quote_price(&quote, &offer, &order, NULL), RR_OK);
    assert_int_equal(rr_coin_units(quote.prices[2]), 7 * 103680);
}

static void test_price_limits(void **state)
{
    (void)state;
    struct rr_work_order order = order_1080();
    struct rr_work_offer offer = offer_plain();
    struct rr_work_quote quote = {.gops = 77}, kept = quote;
    struct rr_fault fault = {0};
    offer.kinds &= ~(1u << RR_WORK_ENCODE_AUDIO);
    assert_int_equal(rr_work_quote_price(&quote, &offer, &order, &fault), RR_ERR_UNSUPPORTED);
    offer = offer_plain();
    memcpy(order.chain.steps[3].profile, "x265-199-fast-v1", sizeof "x265-199-fast-v1");
    assert_int_equal(rr_work_quote_price(&quote, &offer, &order, &fault), RR_ERR_UNSUPPORTED);
    order = order_1080();
    order.facts.bytes = offer.source_bytes_max + 1;
    assert_int_equal(rr_work_quote_price(&quote, &offer, &order, &fault), RR_ERR_LIMIT);
    order = order_1080();
    order.facts.duration_ms = UINT64_MAX; /* more GOPs than there can be */
    assert_int_equal(rr_work_quote_price(&quote, &offer, &order, &fault), RR_ERR_LIMIT);
    order = order_1080();
    order.facts.fps_num = UINT32_MAX;
    assert_true(rr_coin_of_units(&offer.codecs[0].price, RR_COIN_MAX_UNITS));
    assert_int_equal(rr_work_quote_price(&quote, &offer, &order, &fault), RR_ERR_LIMIT);
    assert_memory_equal(&quote, &kept, sizeof quote); /* written on success only */
}

/* ---- signatures
 * ------------------------------------------------------------------------------------------ */

static void test_signatures(void **state)
{
    (void)state;
    struct source s = {.fixed = true};
    struct rr_seckey *key = rr_seckey_new();
    struct rr_pubkey public_key;
    struct rr_work_offer offer = make_work_offer(&s);
    struct rr_work_order order = make_work_order(&s);
    struct rr_work_quote quote = make_work_quote(&s);
    struct rr_work_commit commit = make_work_commit(&s);
    rr_seckey_public(key, &public_key);
    assert_false(rr_work_offer_verify(&offer));
    rr_work_offer_sign(&offer, key);
    rr_work_order_sign(&order, key);
    rr_work_quote_sign(&quote, key);
    rr_work_commit_sign(&commit, key);
    assert_true(rr_work_offer_verify(&offer) && rr_work_order_verify(&order) &&
                rr_work_quote_verify(&quote) && rr_work_commit_verify(&commit, &public_key));
    assert_memory_equal(&order.chain.owner, &public_key, sizeof public_key);
    offer.jobs_now++;
    order.chain.steps[1].rung = 0;
    order.facts.duration_ms++;
    quote.gop_units++;
    commit.gops++;
    assert_false(rr_work_offer_verify(&offer) || rr_work_order_verify(&order) ||
                 rr_work_quote_verify(&quote) || rr_work_commit_verify(&commit, &public_key));
    rr_seckey_free(key);
}

int main(void)
{
    rr_crypto_init();
    const struct CMUnitTest tests[] = {
        {"a graph is a chain when types fit, nothing circles and nothing is left over", test_graphs,
         NULL, NULL, NULL},
        {"ids cover steps and prices", test_identities, NULL, NULL, NULL},
        {"a chain is read from words, and wrong words are refused", test_words, NULL, NULL, NULL},
        {"a wrong value in the words is named", test_wrong_values_are_named, NULL, NULL, NULL},
        {"a quote is the sum of its steps, rounded up to units", test_prices, NULL, NULL, NULL},
        {"what is not offered, too large or beyond coins gets no quote", test_price_limits, NULL,
         NULL, NULL},
        {"signatures cover every field", test_signatures, NULL, NULL, NULL},
    };
    return cmocka_run_group_tests_name("wire: work", tests, NULL, NULL);
}

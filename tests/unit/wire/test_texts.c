/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Header fields, base64, the offer's JSON, the genesis file. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "make_more.h"
#include "wire/wire_private.h"

#define ID   "000102030405060708090a0b0c0d0e0f"
#define HASH "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static void test_base64(void **state)
{
    (void)state;
    const char *rows[][2] = {{"", ""},
                             {"f", "Zg=="},
                             {"fo", "Zm8="},
                             {"foo", "Zm9v"},
                             {"foob", "Zm9vYg=="},
                             {"fooba", "Zm9vYmE="},
                             {"foobar", "Zm9vYmFy"}}; /* RFC 4648, 10 */
    for (size_t i = 0; i < RR_COUNT(rows); i++) {
        struct rr_buf text = {0}, bytes = {0};
        wire_write_base64(&text, rr_slice_str(rows[i][0]));
        assert_true(rr_slice_equal(rr_buf_slice(&text), rr_slice_str(rows[i][1])));
        assert_true(wire_read_base64(&bytes, rr_buf_slice(&text)));
        assert_true(rr_slice_equal(rr_buf_slice(&bytes), rr_slice_str(rows[i][0])));
        rr_buf_clear(&text);
        rr_buf_clear(&bytes);
    }
    const char *bad[] = {"Z",      "Zg",   "Zg=",  "Zh==", "Zm9=",     "=m9v",     "Z===", "====",
                         "Zm9v\n", "Zm 9", "Zm9-", "Zm_v", "Zg==Zg==", "Zm8=Zm8=", "Zg=a", "Zm9vY"};
    for (size_t i = 0; i < RR_COUNT(bad); i++) {
        struct rr_buf bytes = {0};
        rr_write_u8(&bytes, 'x');
        assert_false(wire_read_base64(&bytes, rr_slice_str(bad[i])));
        assert_int_equal(bytes.len, 1);
        rr_buf_clear(&bytes);
    }
}

static void test_payment(void **state)
{
    (void)state;
    struct rr_payment_header header;
    struct rr_fault fault;
    assert_int_equal(rr_payment_header_parse(&header, rr_slice_str("session=" ID), &fault), RR_OK);
    assert_int_equal(header.session_id[15], 15);
    assert_false(header.has_preimage || header.has_voucher);
    assert_int_equal(
        rr_payment_header_parse(
            &header, rr_slice_str("session=" ID ", depth=4294967295, preimage=" HASH), &fault),
        RR_OK);
    assert_true(header.has_preimage);
    assert_int_equal(header.depth, UINT32_MAX);
    assert_int_equal(header.preimage.bytes[31], 0xef);
    const char *bad[] = {
        "",
        "session=",
        "session=" ID " ",
        " session=" ID,
        "Session=" ID,
        "session=" ID ID,
        "session=000102030405060708090A0B0C0D0E0F",
        "session=" ID ",depth=1, preimage=" HASH,
        "session=" ID ",  depth=1, preimage=" HASH,
        "session=" ID ", depth=1",
        "session=" ID ", depth=, preimage=" HASH,
        "session=" ID ", depth=01, preimage=" HASH,
        "session=" ID ", depth=+1, preimage=" HASH,
        "session=" ID ", depth=4294967296, preimage=" HASH,
        "session=" ID ", depth=18446744073709551617, preimage=" HASH,
        "session=" ID ", preimage=" HASH ", depth=1",
        "session=" ID ", depth=1, preimage=" HASH ", voucher=AAAA",
        "session=" ID ", depth=1, preimage=" ID,
        "session=" ID ", voucher=",
        "session=" ID ", voucher=AAAA",
    };
    for (size_t i = 0; i < RR_COUNT(bad); i++) {
        assert_int_equal(rr_payment_header_parse(&header, rr_slice_str(bad[i]), &fault),
                         RR_ERR_FORMAT);
    }
}

static void test_payment_voucher(void **state)
{
    (void)state;
    struct source s = {.fixed = true};
    struct rr_payment_header header = {.has_voucher = true, .voucher = make_voucher(&s)}, out;
    struct rr_buf text = {0};
    struct rr_fault fault;
    rr_payment_header_text(&text, &header);
    assert_int_equal(rr_payment_header_parse(&out, rr_buf_slice(&text), &fault), RR_OK);
    assert_true(out.has_voucher);
    assert_memory_equal(out.voucher.payword_root.bytes, header.voucher.payword_root.bytes, 32);
    assert_int_equal(out.voucher.seq, header.voucher.seq);
    assert_true(text.len < 400); /* it goes into one header field */
    rr_buf_clear(&text);
}

static void test_puzzle(void **state)
{
    (void)state;
    struct rr_puzzle_offer offer;
    struct rr_fault fault;
    char text[RR_PUZZLE_TEXT_BYTES];
    const char *good = "height=18446744073709551615, block=" HASH ", s=4294967295, d=4294967295";
    assert_int_equal(rr_puzzle_offer_parse(&offer, rr_slice_str(good), &fault), RR_OK);
    rr_puzzle_offer_text(text, &offer);
    assert_string_equal(text, good);
    const char *bad[] = {"",
                         "height=1, block=" HASH ", s=1",
                         "height=1, block=" HASH ", d=1, s=1",
                         "height=1,block=" HASH ", s=1, d=1",
                         "height=1, block=" HASH ", s=1, d=1 ",
                         "height=1, block=" HASH ", s=1, d=4294967296",
                         "height=18446744073709551616, block=" HASH ", s=1, d=1",
                         "height=-1, block=" HASH ", s=1, d=1",
                         "height=1, block=" ID ", s=1, d=1"};
    for (size_t i = 0; i < RR_COUNT(bad); i++) {
        assert_int_equal(rr_puzzle_offer_parse(&offer, rr_slice_str(bad[i]), &fault),
                         RR_ERR_FORMAT);
    }
}

/* ---- offers
 * ------------------------------------------------------------------------------------------------------
 */

static bool accepted(const char *json, size_t len)
{
    struct rr_offer offer;
    struct rr_fault fault;
    return rr_offer_parse(&offer, rr_slice_of(json, len), &fault) == RR_OK;
}

/* The offer of fixed values with `from` replaced by `to`. */
static bool accepted_with(const char *from, const char *to)
{
    struct source s = {.fixed = true};
    struct rr_offer offer = make_offer(&s);
    struct rr_buf json = {0}, changed = {0};
    rr_offer_json(&json, &offer);
    rr_write_u8(&json, 0);
    const char *text = (const char *)json.ptr;
    const char *at = strstr(text, from);
    assert_non_null(at);
    rr_buf_append(&changed, text, (size_t)(at - text));
    rr_buf_append(&changed, to, strlen(to));
    rr_buf_append(&changed, at + strlen(from), strlen(at + strlen(from)));
    bool ok = accepted((const char *)changed.ptr, changed.len);
    rr_buf_clear(&json);
    rr_buf_clear(&changed);
    return ok;
}

static void test_offer(void **state)
{
    (void)state;
    assert_true(accepted_with("{", "{"));
    assert_false(accepted_with("{", "{ "));
    assert_false(accepted_with("\"margin_blocks\":", "\"margin\":"));
    assert_false(accepted_with("{", "{\"aaa\":1,"));
    assert_false(accepted_with("\"deposit < collateral\"", "\"deposit <= collateral\""));
    assert_false(accepted_with("\"slice_bytes\":3", "\"slice_bytes\":\"3\""));
    assert_true(accepted_with("\"slice_bytes\":3", "\"slice_bytes\":4"));
    assert_false(accepted_with("\"slice_bytes\":3", "\"slice_bytes\":-3"));
    assert_false(accepted_with("\"slice_bytes\":3", "\"slice_bytes\":3.0"));
    assert_false(accepted_with("\"slice_bytes\":3", "\"slice_bytes\":4294967296"));
    assert_false(accepted_with("\"slice_bytes\":3", "\"slice_bytes\":3,\"slice_bytes\":3"));
    assert_false(
        accepted_with("\"slice_price\":\"0.00000002\"", "\"slice_price\":\"0.000000020\""));
    assert_false(
        accepted_with("\"target_key\":\"04", "\"target_key\":\"05")); /* its address is another */
    assert_false(accepted_with("\"resource\":\"01", "\"resource\":\"0G"));
    assert_false(accepted("", 0));
    assert_false(accepted("[]", 2));
    assert_false(accepted("{}", 2));
    char big[RR_OFFER_JSON_MAX + 1];
    memset(big, '[', sizeof big);
    assert_false(accepted(big, sizeof big));
    assert_false(accepted(big, RR_OFFER_JSON_MAX));
}

static void test_offer_network(void **state)
{
    (void)state;
    struct source s = {.fixed = true};
    struct rr_offer offer = make_offer(&s), out;
    struct rr_fault fault;
    for (int test = 0; test < 2; test++) {
        struct rr_buf json = {0};
        offer.test_addresses = test == 1;
        rr_offer_json(&json, &offer);
        assert_int_equal(rr_offer_parse(&out, rr_buf_slice(&json), &fault), RR_OK);
        assert_int_equal(out.test_addresses, test == 1);
        rr_write_u8(&json, 0);
        assert_non_null(
            strstr((const char *)json.ptr, test == 1 ? "\"target\":\"trr1" : "\"target\":\"rr1"));
        rr_buf_clear(&json);
    }
}

/* ---- genesis
 * ------------------------------------------------------------------------------------------------------
 */

static void test_presets(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        uint32_t block_ms, dataset_items, checkpoint_blocks;
        bool test;
    } rows[] = {{"dev", 2000, 8191, 4, true},
                {"test", 5000, 8388593, 40, true},
                {"main", 15000, 8388593, 40, false}};
    uint32_t ids[3];
    for (size_t i = 0; i < RR_COUNT(rows); i++) {
        struct rr_genesis genesis, again;
        struct rr_fault fault = {0};
        struct rr_buf bytes = {0};
        struct rr_hash32 hash;
        const char *text = rr_genesis_preset(rows[i].name);
        assert_non_null(text);
        if (rr_genesis_parse(&genesis, rr_slice_str(text), rows[i].name, &fault) != RR_OK) {
            fail_msg("%s", fault.text);
        }
        assert_string_equal(genesis.name, rows[i].name);
        assert_int_equal(genesis.block_ms, rows[i].block_ms);
        assert_int_equal(genesis.dataset_items, rows[i].dataset_items);
        assert_int_equal(genesis.checkpoint_blocks, rows[i].checkpoint_blocks);
        assert_int_equal(genesis.test_addresses, rows[i].test);
        assert_int_equal(genesis.time_ms, UINT64_C(1767225600000));
        rr_genesis_encode(&bytes, &genesis);
        assert_int_equal(rr_genesis_decode(&again, rr_buf_slice(&bytes), &fault), RR_OK);
        rr_genesis_hash(&hash, &again);
        ids[i] = rr_genesis_chain_id(&genesis);
        assert_int_equal(ids[i], hash.bytes[0] | hash.bytes[1] << 8 | hash.bytes[2] << 16 |
                                     (uint32_t)hash.bytes[3] << 24);
        rr_buf_clear(&bytes);
    }
    assert_true(ids[0] != ids[1] && ids[1] != ids[2] && ids[0] != ids[2]);
    assert_null(rr_genesis_preset("other"));
    assert_null(rr_genesis_preset(""));
}

/* Parses dev.toml with each line that starts with `key` replaced by `line`. */
static enum rr_err parse_with(const char *key, const char *line, struct rr_fault *fault)
{
    struct rr_buf text = {0};
    struct rr_genesis genesis;
    const char *at = rr_genesis_preset("dev");
    while (*at != '\0') {
        size_t len = strcspn(at, "\n");
        len += at[len] == '\n' ? 1 : 0;
        if (key[0] != '\0' && strncmp(at, key, strlen(key)) == 0 && at[strlen(key)] == ' ') {
            rr_buf_append(&text, line, strlen(line));
            rr_write_u8(&text, '\n');
        } else {
            rr_buf_append(&text, at, len);
        }
        at += len;
    }
    enum rr_err err = rr_genesis_parse(&genesis, rr_buf_slice(&text), "file", fault);
    rr_buf_clear(&text);
    return err;
}

static void test_genesis_keys(void **state)
{
    (void)state;
    const char *keys[] = {"name",
                          "test_addresses",
                          "time_ms",
                          "block_ms",
                          "cache_items",
                          "dataset_items",
                          "ethash_seed",
                          "difficulty",
                          "halflife_ms",
                          "base_reward",
                          "checkpoint_blocks",
                          "puzzle_blocks",
                          "certificate_hashes_per_s",
                          "reputation_num",
                          "reputation_den",
                          "window_blocks",
                          "certificates_per_block",
                          "certificate_binding",
                          "credit_units_per_ms",
                          "fee_base",
                          "fee_units_per_byte",
                          "pool_blocks_min",
                          "pool_blocks_max",
                          "block_bytes_max"};
    for (size_t i = 0; i < RR_COUNT(keys); i++) {
        struct rr_fault fault = {0};
        assert_int_equal(parse_with(keys[i], "", &fault),
                         RR_ERR_FORMAT); /* every key must be there */
        if (strstr(fault.text, keys[i]) == NULL) {
            fail_msg("the sentence does not name %s: %s", keys[i], fault.text);
        }
        assert_int_equal(parse_with(keys[i], "unknown_key = 1", &fault), RR_ERR_FORMAT);
    }
}

static void test_genesis_values(void **state)
{
    (void)state;
    struct rr_fault fault;
    assert_int_equal(parse_with("", "", &fault), RR_OK);
    assert_int_equal(parse_with("test_addresses", "test_addresses = false", &fault), RR_OK);
    assert_int_equal(parse_with("certificate_binding", "certificate_binding = \"none\"", &fault),
                     RR_OK);
    assert_int_equal(parse_with("difficulty", "difficulty = 18446744073709551615", &fault), RR_OK);
    const char *bad[][2] = {{"name", "name = \"Dev\""},
                            {"name", "name = \"\""},
                            {"name", "name = \"a2345678901234567890123456789012x\""},
                            {"test_addresses", "test_addresses = 1"},
                            {"time_ms", "time_ms = -1"},
                            {"block_ms", "block_ms = 99"},
                            {"block_ms", "block_ms = 600001"},
                            {"block_ms", "block_ms = \"2000\""},
                            {"ethash_seed", "ethash_seed = \"00\""},
                            {"ethash_seed", "ethash_seed = \"" HASH "00\""},
                            {"difficulty", "difficulty = 0"},
                            {"base_reward", "base_reward = 50"},
                            {"base_reward", "base_reward = \"-1\""},
                            {"base_reward", "base_reward = \"10000000001\""},
                            {"fee_base", "fee_base = \"0.000000001\""},
                            {"reputation_den", "reputation_den = 0"},
                            {"puzzle_blocks", "puzzle_blocks = 0"},
                            {"certificates_per_block", "certificates_per_block = 16385"},
                            {"certificate_binding", "certificate_binding = \"both\""},
                            {"credit_units_per_ms", "credit_units_per_ms = 0"},
                            {"pool_blocks_min", "pool_blocks_min = 43201"},
                            {"block_bytes_max", "block_bytes_max = 16777217"},
                            {"block_bytes_max", "block_bytes_max = 1000\nblock_bytes_max = 1000"}};
    for (size_t i = 0; i < RR_COUNT(bad); i++) {
        fault = (struct rr_fault){0};
        if (parse_with(bad[i][0], bad[i][1], &fault) != RR_ERR_FORMAT ||
            strncmp(fault.text, "file", 4) != 0) {
            fail_msg("%s: %s", bad[i][1], fault.text);
        }
    }
}

int main(void)
{
    rr_crypto_init();
    const struct CMUnitTest tests[] = {
        {"base64 has one form for any bytes", test_base64, NULL, NULL, NULL},
        {"a payment is read in exactly its documented form", test_payment, NULL, NULL, NULL},
        {"a payment may carry a voucher", test_payment_voucher, NULL, NULL, NULL},
        {"a puzzle is read in exactly its documented form", test_puzzle, NULL, NULL, NULL},
        {"an offer has one form", test_offer, NULL, NULL, NULL},
        {"an offer names the network by its address", test_offer_network, NULL, NULL, NULL},
        {"the presets hold", test_presets, NULL, NULL, NULL},
        {"a genesis without one of its keys is refused by name", test_genesis_keys, NULL, NULL,
         NULL},
        {"values out of range are refused with the file's name", test_genesis_values, NULL, NULL,
         NULL},
    };
    return cmocka_run_group_tests_name("wire texts", tests, NULL, NULL);
}

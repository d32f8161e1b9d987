/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "stratum/stratum_client.h"
#include "stratum/stratum_text.h"
#include "unit/base/unit.h"

#include <math.h>

static void lines_come_out_whatever_the_pieces(void **state)
{
    static const char text[] = "{\"a\":1}\r\n\n{\"b\":2}\n{\"c\"";
    (void)state;
    for (size_t piece = 1; piece <= sizeof text; piece++) {
        struct stratum_lines lines = {0};
        struct rr_slice line;
        char seen[64] = "";
        for (size_t at = 0; at < sizeof text - 1; at += piece) {
            size_t rest = sizeof text - 1 - at;
            stratum_lines_add(&lines, rr_slice_of(text + at, rest < piece ? rest : piece));
            while (stratum_lines_next(&lines, &line)) {
                strncat(seen, (const char *)line.ptr, line.len);
                strncat(seen, "|", 2);
            }
        }
        assert_string_equal(seen, "{\"a\":1}||{\"b\":2}|");
        stratum_lines_clear(&lines);
    }
}

static void a_line_of_16_KiB_is_taken_and_one_byte_more_is_not(void **state)
{
    (void)state;
    for (size_t extra = 0; extra <= 1; extra++) {
        struct stratum_lines lines = {0};
        struct rr_slice line;
        char *text = malloc(STRATUM_LINE_MAX + 2);
        memset(text, 'x', STRATUM_LINE_MAX + 1);
        text[STRATUM_LINE_MAX + extra] = '\n';
        stratum_lines_add(&lines, rr_slice_of(text, STRATUM_LINE_MAX + extra + 1));
        assert_int_equal(stratum_lines_next(&lines, &line), extra == 0);
        assert_int_equal(lines.overlong, extra == 1);
        stratum_lines_clear(&lines);
        free(text);
    }
}

static void an_endless_line_is_not_kept(void **state)
{
    struct stratum_lines lines = {0};
    struct rr_slice line;
    char piece[4096];
    (void)state;
    memset(piece, 'x', sizeof piece);
    for (int i = 0; i < 1000; i++) {
        stratum_lines_add(&lines, rr_slice_of(piece, sizeof piece));
        assert_false(stratum_lines_next(&lines, &line));
        assert_true(lines.bytes.len <= STRATUM_LINE_MAX + sizeof piece);
    }
    assert_true(lines.overlong);
    stratum_lines_clear(&lines);
}

static void difficulty_1_is_the_boundary_of_the_document(void **state)
{
    struct rr_u256 boundary;
    char text[65];
    (void)state;
    assert_true(stratum_v1_boundary(&boundary, 1.0));
    stratum_boundary_text(text, boundary);
    assert_string_equal(text, "00000000ffff0000000000000000000000000000000000000000000000000000");
    assert_true(stratum_v1_boundary(&boundary, 0.5));
    stratum_boundary_text(text, boundary);
    assert_string_equal(text, "00000001fffe0000000000000000000000000000000000000000000000000000");
    assert_true(stratum_v1_boundary(&boundary, 65535.0));
    stratum_boundary_text(text, boundary);
    assert_string_equal(text, "0000000000010000000000000000000000000000000000000000000000000000");
}

static void difficulties_out_of_all_measure_do_no_harm(void **state)
{
    static const double none[] = {0, -1, (double)NAN, (double)INFINITY, -(double)INFINITY};
    struct rr_u256 boundary;
    (void)state;
    for (size_t i = 0; i < RR_COUNT(none); i++) {
        assert_false(stratum_v1_boundary(&boundary, none[i]));
    }
    assert_true(stratum_v1_boundary(&boundary, 1e-300));
    assert_int_equal(rr_u256_compare(boundary, rr_u256_max()), 0);
    assert_true(stratum_v1_boundary(&boundary, 5e-324));
    assert_true(stratum_v1_boundary(&boundary, 1e300));
    assert_true(rr_u256_is_zero(boundary));
}

static void hashes_and_difficulties_go_there_and_back(void **state)
{
    (void)state;
    for (uint64_t hashes = 2; hashes < UINT64_C(1) << 62; hashes = hashes * 3 + 1) {
        struct rr_u256 boundary;
        assert_true(stratum_v1_boundary(&boundary, stratum_v1_of_hashes(hashes)));
        double back = (double)stratum_hashes_of(boundary);
        assert_true(fabs(back / (double)hashes - 1) <= 1.0 / (double)hashes + 1e-12);
        boundary = rr_hash_boundary(rr_u256_of(hashes));
        assert_in_range(stratum_hashes_of(boundary), hashes, hashes + 1);
    }
}

static void our_difficulty_never_gives_a_share_above_the_pools_boundary(void **state)
{
    struct rr_prng prng;
    (void)state;
    rr_prng_seed(&prng, 4);
    for (int i = 0; i < 20000; i++) {
        uint8_t bytes[32];
        rr_prng_bytes(&prng, bytes, sizeof bytes);
        struct rr_u256 boundary =
            rr_u256_shr(rr_u256_from_be(bytes), (unsigned)rr_prng_below(&prng, 255));
        if (rr_u256_is_zero(boundary)) {
            continue;
        }
        struct rr_u256 difficulty = rr_stratum_difficulty(boundary);
        assert_true(rr_u256_compare(rr_hash_boundary(difficulty), boundary) <= 0);
        /* and one less would, where the boundary is finer than the difficulty */
        if (rr_u256_compare(boundary, difficulty) > 0 && difficulty.limb[0] > 1) {
            struct rr_u256 less = rr_u256_sub(difficulty, rr_u256_of(1), NULL);
            assert_true(rr_u256_compare(rr_hash_boundary(less), boundary) > 0);
        }
    }
    assert_int_equal(rr_stratum_difficulty(rr_u256_max()).limb[0], 1);
}

static void numbers_are_read_as_miners_write_them(void **state)
{
    uint64_t value;
    struct rr_u256 wide;
    (void)state;
    assert_true(stratum_read_u64(&value, "0x1c8") && value == 456);
    assert_true(stratum_read_u64(&value, "1C8") && value == 456);
    assert_true(stratum_read_u64(&value, "ffffffffffffffff") && value == UINT64_MAX);
    static const char *const bad[] = {"", "0x", "0xg", "1ffffffffffffffff", " 1", "1 ", "-1", NULL};
    for (size_t i = 0; i < RR_COUNT(bad); i++) {
        assert_false(stratum_read_u64(&value, bad[i]));
    }
    assert_true(stratum_read_u256(&wide,
                                  "0x0112e0be826d694b2e62d01511f12a6061fbaec8bc02357593e70e52"
                                  "ba"));
    assert_false(stratum_read_u256(&wide,
                                   "0x1000000000000000000000000000000000000000000000000000000"
                                   "0000000000"));
    char name[STRATUM_NAME_BYTES];
    assert_true(stratum_read_name(name, "0xabc.rig-1/mail@example.org"));
    assert_false(stratum_read_name(name, ""));
    assert_false(stratum_read_name(name, "a b"));
    assert_false(stratum_read_name(name, "a\"b"));
    assert_false(stratum_read_name(name, "a\\b"));
    assert_false(stratum_read_name(name, "caf\xc3\xa9"));
}

static void addresses_of_mining_pools(void **state)
{
    struct stratum_pool pool;
    struct rr_fault fault;
    (void)state;
    assert_int_equal(
        stratum_pool_parse(&pool, "stratum2+ssl://0xab.rig:x%40y%3a@eu.pool.example:4444/", &fault),
        RR_OK);
    assert_int_equal(pool.dialect, STRATUM_V1);
    assert_true(pool.tls);
    assert_string_equal(pool.host, "eu.pool.example");
    assert_int_equal(pool.port, 4444);
    assert_string_equal(pool.user, "0xab.rig");
    assert_string_equal(pool.password, "x@y:");
    assert_int_equal(stratum_pool_parse(&pool, "stratum+tcp://[::1]:1", &fault), RR_OK);
    assert_string_equal(pool.host, "::1");
    assert_int_equal(pool.dialect, STRATUM_UNKNOWN);
    assert_int_equal(pool.user[0], 0);
    static const struct {
        const char *url;
        enum stratum_dialect dialect;
        bool tls;
    } good[] = {{"stratum://h:1", STRATUM_UNKNOWN, false},
                {"stratum0+tcp://h:1", STRATUM_PLAIN, false},
                {"stratum1+tcp://h:1", STRATUM_CLASSIC, false},
                {"stratum1+tls12://h:1", STRATUM_CLASSIC, true},
                {"stratum3+tls://h:65535", STRATUM_V2, true}};
    for (size_t i = 0; i < RR_COUNT(good); i++) {
        assert_int_equal(stratum_pool_parse(&pool, good[i].url, &fault), RR_OK);
        assert_int_equal(pool.dialect, good[i].dialect);
        assert_int_equal(pool.tls, good[i].tls);
    }
    static const char *const bad[] = {"h:1",
                                      "http://h:1",
                                      "stratum4+tcp://h:1",
                                      "stratum+udp://h:1",
                                      "stratum+tcp://h",
                                      "stratum+tcp://h:0",
                                      "stratum+tcp://h:65536",
                                      "stratum+tcp://h:1x",
                                      "stratum+tcp://:1",
                                      "stratum+tcp://@h:1",
                                      "stratum+tcp://a b@h:1",
                                      "stratum+tcp://a%zz@h:1",
                                      "stratum+tcp://a%00@h:1",
                                      "stratum+tcp://a%2@h:1",
                                      "stratum+tcp://[::1:1",
                                      "stratum+tcp://h:1/path",
                                      "stratum+tcp://h\"x:1",
                                      "stratum+tcp://h:99999999999999999999"};
    for (size_t i = 0; i < RR_COUNT(bad); i++) {
        assert_int_equal(stratum_pool_parse(&pool, bad[i], &fault), RR_ERR_USAGE);
        assert_true(strlen(fault.text) > 20);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_come_out_whatever_the_pieces),
        cmocka_unit_test(a_line_of_16_KiB_is_taken_and_one_byte_more_is_not),
        cmocka_unit_test(an_endless_line_is_not_kept),
        cmocka_unit_test(difficulty_1_is_the_boundary_of_the_document),
        cmocka_unit_test(difficulties_out_of_all_measure_do_no_harm),
        cmocka_unit_test(hashes_and_difficulties_go_there_and_back),
        cmocka_unit_test(our_difficulty_never_gives_a_share_above_the_pools_boundary),
        cmocka_unit_test(numbers_are_read_as_miners_write_them),
        cmocka_unit_test(addresses_of_mining_pools),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

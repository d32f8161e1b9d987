/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "serve/serve_text.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
/* after its own needs */
#include <cmocka.h>

static void ranges_become_what_rfc_9110_says(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint64_t size;
        enum serve_range_result result;
        const char *ranges;
    } rows[] = {
        {"bytes=0-0", 10, SERVE_RANGE_ONE, "0-0 "},
        {"bytes=0-9", 10, SERVE_RANGE_ONE, "0-9 "},
        {"bytes=5-", 10, SERVE_RANGE_ONE, "5-9 "},
        {"bytes=9-", 10, SERVE_RANGE_ONE, "9-9 "},
        {"bytes=5-100", 10, SERVE_RANGE_ONE, "5-9 "},
        {"bytes=-3", 10, SERVE_RANGE_ONE, "7-9 "},
        {"bytes=-10", 10, SERVE_RANGE_ONE, "0-9 "},
        {"bytes=-11", 10, SERVE_RANGE_ONE, "0-9 "},
        {"BYTES=1-2", 10, SERVE_RANGE_ONE, "1-2 "},
        {"bytes= 1-2 , ", 10, SERVE_RANGE_ONE, "1-2 "},
        {"bytes=10-", 10, SERVE_RANGE_OUTSIDE, ""},
        {"bytes=10-11", 10, SERVE_RANGE_OUTSIDE, ""},
        {"bytes=-0", 10, SERVE_RANGE_OUTSIDE, ""},
        {"bytes=0-", 0, SERVE_RANGE_OUTSIDE, ""},
        {"bytes=-5", 0, SERVE_RANGE_OUTSIDE, ""},
        {"bytes=0-1,4-5", 10, SERVE_RANGE_MANY, "0-1 4-5 "},
        {"bytes=4-5,0-1", 10, SERVE_RANGE_MANY, "0-1 4-5 "},
        {"bytes=0-1,2-5", 10, SERVE_RANGE_ONE, "0-5 "},
        {"bytes=0-3,2-5", 10, SERVE_RANGE_ONE, "0-5 "},
        {"bytes=0-1,8-9,2-7", 10, SERVE_RANGE_ONE, "0-9 "},
        {"bytes=0-1,-1,4-4", 10, SERVE_RANGE_MANY, "0-1 4-4 9-9 "},
        {"bytes=0-1,20-30", 10, SERVE_RANGE_ONE, "0-1 "},
        {"bytes=20-30,40-", 10, SERVE_RANGE_OUTSIDE, ""},
        {"bytes=", 10, SERVE_RANGE_NONE, ""},
        {"bytes=,", 10, SERVE_RANGE_NONE, ""},
        {"bytes=5-4", 10, SERVE_RANGE_NONE, ""},
        {"bytes=a-b", 10, SERVE_RANGE_NONE, ""},
        {"bytes=1", 10, SERVE_RANGE_NONE, ""},
        {"bytes=-", 10, SERVE_RANGE_NONE, ""},
        {"bytes=--1", 10, SERVE_RANGE_NONE, ""},
        {"bytes=1-2-3", 10, SERVE_RANGE_NONE, ""},
        {"bytes=1 - 2", 10, SERVE_RANGE_NONE, ""},
        {"bytes=0-1,x", 10, SERVE_RANGE_NONE, ""},
        {"bytes =0-1", 10, SERVE_RANGE_NONE, ""},
        {"seconds=0-1", 10, SERVE_RANGE_NONE, ""},
        {"bytes=99999999999999999999-", 10, SERVE_RANGE_NONE, ""},
        {"bytes=0-18446744073709551615", 10, SERVE_RANGE_ONE, "0-9 "},
        {"bytes=18446744073709551615-", 10, SERVE_RANGE_OUTSIDE, ""},
        {"bytes=0-0,2-2,4-4,6-6,8-8,10-10,12-12,14-14,16-16,18-18,20-20,22-22,24-24,26-26,28-28,30-"
         "30,32-32",
         99, SERVE_RANGE_NONE, ""},
    };
    for (size_t i = 0; i < RR_COUNT(rows); i++) {
        struct serve_range ranges[SERVE_RANGES_MAX];
        unsigned count = 99;
        char text[400] = "";
        enum serve_range_result result =
            serve_range_parse(ranges, &count, rr_slice_str(rows[i].text), rows[i].size);
        for (unsigned j = 0; j < count; j++) {
            size_t len = strlen(text);
            snprintf(text + len, sizeof(text) - len, "%llu-%llu ",
                     (unsigned long long)ranges[j].first, (unsigned long long)ranges[j].last);
        }
        if (result != rows[i].result || strcmp(text, rows[i].ranges) != 0) {
            fail_msg("'%s' of %llu gave %d '%s'", rows[i].text, (unsigned long long)rows[i].size,
                     result, text);
        }
    }
}

static void dates_go_there_and_back(void **state)
{
    (void)state;
    char text[SERVE_DATE_BYTES];
    uint64_t seconds;
    serve_date_text(text, 784111777);
    assert_string_equal(text, "Sun, 06 Nov 1994 08:49:37 GMT"); /* RFC 9110, 5.6.7 */
    assert_true(serve_date_parse(&seconds, rr_slice_str(text)));
    assert_int_equal(seconds, 784111777);
    serve_date_text(text, 951782400);
    assert_string_equal(text, "Tue, 29 Feb 2000 00:00:00 GMT");
    for (uint64_t at = 0; at < UINT64_C(253402300800); at += 86399 * 997) {
        serve_date_text(text, at);
        assert_true(serve_date_parse(&seconds, rr_slice_str(text)));
        assert_int_equal(seconds, at);
    }
    static const char *const wrong[] = {
        "",
        "Sun, 06 Nov 1994 08:49:37",
        "Mon, 06 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 08:49:37 UTC",
        "Sun, 06 Nov 1994 24:49:37 GMT",
        "Thu, 31 Feb 2000 00:00:00 GMT",
        "Sun, 06 Xxx 1994 08:49:37 GMT",
        "Sunday, 06-Nov-94 08:49:37 GMT",
        "Sun Nov  6 08:49:37 1994",
        "Wed, 31 Dec 1969 23:59:59 GMT",
    };
    for (size_t i = 0; i < RR_COUNT(wrong); i++) {
        assert_false(serve_date_parse(&seconds, rr_slice_str(wrong[i])));
    }
}

static void tags_and_lists_and_queries_are_found(void **state)
{
    (void)state;
    struct rr_slice tag = rr_slice_str("\"ab\"");
    assert_true(serve_etag_listed(rr_slice_str("\"ab\""), tag));
    assert_true(serve_etag_listed(rr_slice_str(" * "), tag));
    assert_true(serve_etag_listed(rr_slice_str("\"x,y\", W/\"ab\""), tag));
    assert_false(serve_etag_listed(rr_slice_str("\"abc\", ab"), tag));
    assert_false(serve_etag_listed(rr_slice_str("\"x,\"ab\""), rr_slice_str("\"y\"")));
    assert_false(serve_etag_listed(rr_slice_str(""), tag));
    struct rr_slice query = rr_slice_str("fromx=9&from=12&count=&x");
    assert_true(rr_slice_equal(serve_text_query(query, "from"), rr_slice_str("12")));
    assert_int_equal(serve_text_query(query, "count").len, 0);
    assert_non_null(serve_text_query(query, "count").ptr);
    assert_null(serve_text_query(query, "x").ptr);
    assert_null(serve_text_query(query, "y").ptr);
    uint64_t value;
    assert_true(serve_text_number(&value, rr_slice_str("18446744073709551615"), UINT64_MAX));
    assert_false(serve_text_number(&value, rr_slice_str("18446744073709551616"), UINT64_MAX));
    assert_true(serve_text_number(&value, rr_slice_str("7"), 7));
    assert_false(serve_text_number(&value, rr_slice_str("8"), 7));
    assert_false(serve_text_number(&value, rr_slice_str(""), 7));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ranges_become_what_rfc_9110_says),
        cmocka_unit_test(dates_go_there_and_back),
        cmocka_unit_test(tags_and_lists_and_queries_are_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "wire/wire.h"
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
/* after setjmp and stdarg */
#include <cmocka.h>

static const struct rr_llhls_part parts[] = {
    {.duration_us = 333333, .independent = true}, {.duration_us = 333333}, {.duration_us = 100000}};
static const struct rr_llhls_segment segments[] = {
    {.number = 41, .duration_us = 2000000, .program_ms = 1700000000123, .whole = true, .gap = true},
    {.number = 42,
     .duration_us = 766666,
     .program_ms = 1700000002123,
     .discontinuity = true,
     .whole = true,
     .parts_shown = true,
     .parts = parts,
     .part_count = 3},
    {.number = 43,
     .program_ms = 1700000002890,
     .parts_shown = true,
     .parts = parts,
     .part_count = 2}};
static const struct rr_llhls_report reports[] = {
    {.name = "480p", .segment = 43, .part = 1, .any = true}, {.name = "audio"}};

static char *text_of(const struct rr_llhls *list)
{
    static struct rr_buf out;
    rr_buf_clear(&out);
    rr_llhls_media(&out, list);
    rr_write_u8(&out, 0);
    return (char *)out.ptr;
}

static struct rr_llhls usual(void)
{
    return (struct rr_llhls){.target_s = 2,
                             .part_us = 340000,
                             .discontinuities = 7,
                             .next = 44,
                             .segments = segments,
                             .segment_count = 3,
                             .reports = reports,
                             .report_count = 2};
}

static void a_growing_list_shows_parts_and_promises(void **state)
{
    (void)state;
    struct rr_llhls list = usual();
    assert_string_equal(
        text_of(&list),
        "#EXTM3U\n#EXT-X-VERSION:9\n#EXT-X-TARGETDURATION:2\n"
        "#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK=1.020000,HOLD-BACK=6.0\n"
        "#EXT-X-PART-INF:PART-TARGET=0.340000\n#EXT-X-MEDIA-SEQUENCE:41\n"
        "#EXT-X-DISCONTINUITY-SEQUENCE:7\n#EXT-X-INDEPENDENT-SEGMENTS\n"
        "#EXT-X-MAP:URI=\"init.mp4\"\n#EXT-X-PROGRAM-DATE-TIME:2023-11-14T22:13:20.123Z\n"
        "#EXT-X-GAP\n#EXTINF:2.000000,\nseg_00041.m4s\n#EXT-X-DISCONTINUITY\n"
        "#EXT-X-PROGRAM-DATE-TIME:2023-11-14T22:13:22.123Z\n"
        "#EXT-X-PART:DURATION=0.333333,URI=\"part_00042.0.m4s\",INDEPENDENT=YES\n"
        "#EXT-X-PART:DURATION=0.333333,URI=\"part_00042.1.m4s\"\n"
        "#EXT-X-PART:DURATION=0.100000,URI=\"part_00042.2.m4s\"\n#EXTINF:0.766666,\n"
        "seg_00042.m4s\n#EXT-X-PROGRAM-DATE-TIME:2023-11-14T22:13:22.890Z\n"
        "#EXT-X-PART:DURATION=0.333333,URI=\"part_00043.0.m4s\",INDEPENDENT=YES\n"
        "#EXT-X-PART:DURATION=0.333333,URI=\"part_00043.1.m4s\"\n"
        "#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"part_00043.2.m4s\"\n"
        "#EXT-X-RENDITION-REPORT:URI=\"../480p/index.m3u8\",LAST-MSN=43,LAST-PART=1\n");
}

static void the_hint_of_a_whole_list_is_the_next_segment_s_first_part(void **state)
{
    (void)state;
    struct rr_llhls list = usual();
    list.segment_count = 2;
    list.next = 43;
    assert_non_null(strstr(text_of(&list), "TYPE=PART,URI=\"part_00043.0.m4s\"\n"));
}

static void an_ended_list_has_segments_alone(void **state)
{
    (void)state;
    struct rr_llhls list = usual();
    list.ended = list.all = true;
    list.segment_count = 2;
    const char *text = text_of(&list);
    assert_null(strstr(text, "EXT-X-PART"));
    assert_null(strstr(text, "SERVER-CONTROL"));
    assert_null(strstr(text, "PRELOAD"));
    assert_non_null(strstr(text, "#EXT-X-PLAYLIST-TYPE:VOD\n"));
    assert_string_equal(text + strlen(text) - 15, "#EXT-X-ENDLIST\n");
}

static void without_parts_nothing_is_promised(void **state)
{
    (void)state;
    struct rr_llhls list = usual();
    list.part_us = 0;
    list.segment_count = 2;
    const char *text = text_of(&list);
    assert_null(strstr(text, "PART"));
    assert_null(strstr(text, "BLOCK"));
    assert_null(strstr(text, "ENDLIST"));
}

static void paths_are_read_back_and_others_refused(void **state)
{
    (void)state;
    static const char *const wrong[] = {"",
                                        "seg_1.m4s",
                                        "seg_000001.m4s",
                                        "seg_00001.mp4",
                                        "seg_00001.m4s ",
                                        "part_00001.m4s",
                                        "part_00001..m4s",
                                        "part_00001.01.m4s",
                                        "part_00001.-1.m4s",
                                        "part_00001.4294967296.m4s",
                                        "seg_99999999999999999999.m4s",
                                        "seg_00001.0.m4s"};
    struct rr_llhls_ref ref;
    assert_true(rr_llhls_find(&ref, rr_slice_str("seg_00012.m4s")));
    assert_true(!ref.part && ref.segment == 12);
    assert_true(rr_llhls_find(&ref, rr_slice_str("seg_123456.m4s")));
    assert_true(ref.segment == 123456);
    assert_true(rr_llhls_find(&ref, rr_slice_str("part_00000.10.m4s")));
    assert_true(ref.part && ref.segment == 0 && ref.number == 10);
    for (size_t i = 0; i < RR_COUNT(wrong); i++) {
        assert_false(rr_llhls_find(&ref, rr_slice_str(wrong[i])));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_growing_list_shows_parts_and_promises),
        cmocka_unit_test(the_hint_of_a_whole_list_is_the_next_segment_s_first_part),
        cmocka_unit_test(an_ended_list_has_segments_alone),
        cmocka_unit_test(without_parts_nothing_is_promised),
        cmocka_unit_test(paths_are_read_back_and_others_refused)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

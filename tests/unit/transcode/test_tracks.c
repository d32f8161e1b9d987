/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Tracks of sound and text: which are carried, and what a worker may say of them. */
#include "kit.h"
#include "transcode/transcode_private.h"

static const char *language(const char *text)
{
    static char out[RR_LANGUAGE_MAX + 1];
    transcode_language(out, text);
    return out;
}

static void languages_get_their_shortest_names(void **state)
{
    (void)state;
    char three[4];
    assert_string_equal(language("eng"), "en");
    assert_string_equal(language("ger"), "de"); /* the set of names for libraries */
    assert_string_equal(language("DEU"), "de");
    assert_string_equal(language("en-US"), "en-US");
    assert_string_equal(language("gsw"), "gsw"); /* has no two letters */
    assert_string_equal(language("und"), "");
    assert_string_equal(language(""), "");
    assert_string_equal(language("english"), "");
    assert_string_equal(language("e\" x"), "");
    assert_string_equal(language("en-"), "");
    transcode_language_three(three, "de");
    assert_string_equal(three, "deu");
    transcode_language_three(three, "pt-BR");
    assert_string_equal(three, "por");
    transcode_language_three(three, "gsw");
    assert_string_equal(three, "gsw");
    transcode_language_three(three, "");
    assert_string_equal(three, "und");
}

static void lists_of_tracks_are_read_whole_or_refused(void **state)
{
    (void)state;
    struct rr_tracks tracks;
    assert_int_equal(rr_tracks_parse(&tracks, "all", NULL), RR_OK);
    assert_int_equal(tracks.mode, RR_TRACKS_ALL);
    assert_int_equal(rr_tracks_parse(&tracks, "none", NULL), RR_OK);
    assert_int_equal(tracks.mode, RR_TRACKS_NONE);
    assert_int_equal(rr_tracks_parse(&tracks, "2,1", NULL), RR_OK);
    assert_int_equal(tracks.count, 2);
    assert_int_equal(tracks.numbers[0], 2);
    static const char *const wrong[] = {
        "", "0", "1,", ",1", "1,1", "65", "a", "1 ", "-1", "al", "1,2,3,4,5,6,7,8,9"};
    for (size_t i = 0; i < RR_COUNT(wrong); i++) {
        assert_int_equal(rr_tracks_parse(&tracks, wrong[i], NULL), RR_ERR_USAGE);
    }
}

static struct transcode_facts *facts_of(uint32_t audio, uint32_t subtitles)
{
    struct transcode_facts *facts = rr_alloc(sizeof *facts);
    facts->video_stream = -1;
    facts->tb_num = facts->tb_den = 1;
    facts->shown.audio_count = audio;
    facts->shown.subtitle_count = subtitles;
    for (uint32_t i = 0; i < RR_TRANSCODE_AUDIO_MAX; i++) {
        facts->sounds[i] = (struct transcode_sound_place){
            .stream = (int32_t)i, .tb_num = 1, .tb_den = 48000, .decodes = 1};
        facts->shown.audio[i].channels = 6;
        facts->shown.subtitles[i].text = true;
        facts->shown.subtitles[i].is_default = true;
        facts->subtitle_streams[i] = (int32_t)(20 + i);
    }
    return facts;
}

static void as_many_tracks_as_fit_are_carried(void **state)
{
    (void)state;
    struct transcode_facts *facts = facts_of(17, 3);
    struct transcode_plan plan = {0};
    struct rr_transcode_options options = {0};
    facts->sounds[1].decodes = 0;
    facts->shown.audio[3].is_default = true;
    facts->shown.subtitles[0].text = false; /* pictures */
    assert_int_equal(transcode_tracks_fit(&plan, facts, &options, NULL), RR_OK);
    assert_int_equal(plan.audio_count, RR_TRACKS_MAX);
    assert_int_equal(plan.audio[1].stream, 2);
    assert_int_equal(plan.audio[0].channels, 2);
    assert_int_equal(plan.audio[0].flags, 0);
    assert_int_equal(plan.audio[2].flags, RR_RENDITION_DEFAULT);
    assert_int_equal(plan.subtitle_count, 2);
    assert_int_equal(plan.subtitles[0].stream, 21);
    assert_int_equal(plan.subtitles[0].flags, RR_RENDITION_DEFAULT);
    assert_int_equal(plan.subtitles[1].flags, 0); /* one default of a kind */
    rr_free(facts);
}

static void tracks_are_chosen_by_number_and_keep_their_channels_when_asked(void **state)
{
    (void)state;
    struct transcode_facts *facts = facts_of(3, 2);
    struct transcode_plan plan = {0};
    struct rr_transcode_options options = {.keep_channels = true};
    facts->shown.audio[0].channels = 1;
    facts->shown.audio[1].channels = 4;
    assert_int_equal(rr_tracks_parse(&options.audio, "1,3", NULL), RR_OK);
    assert_int_equal(rr_tracks_parse(&options.subtitles, "none", NULL), RR_OK);
    assert_int_equal(transcode_tracks_fit(&plan, facts, &options, NULL), RR_OK);
    assert_int_equal(plan.audio_count, 2);
    assert_int_equal(plan.subtitle_count, 0);
    assert_int_equal(plan.audio[0].channels, 1);
    assert_int_equal(plan.audio[1].channels, 6);
    assert_int_equal(rr_tracks_parse(&options.audio, "4", NULL), RR_OK);
    assert_int_equal(transcode_tracks_fit(&plan, facts, &options, NULL), RR_ERR_USAGE);
    rr_free(facts);
}

static void add_cue(struct rr_buf *out, struct transcode_cues *facts, uint32_t start_ms,
                    uint32_t end_ms, const char *text)
{
    rr_write_u32(out, start_ms);
    rr_write_u32(out, end_ms);
    rr_write_var16(out, rr_slice_str(text));
    facts->count++;
    facts->bytes = out->len;
}

static enum rr_err check_cue(uint32_t start_ms, uint32_t end_ms, const char *text)
{
    struct rr_buf cues = {0};
    struct transcode_cues facts = {0};
    add_cue(&cues, &facts, start_ms, end_ms, text);
    enum rr_err err = transcode_cues_check(&facts, rr_buf_slice(&cues), NULL);
    rr_buf_clear(&cues);
    return err;
}

static void no_cue_of_a_worker_can_break_out_of_its_text(void **state)
{
    (void)state;
    static const char *const wrong[] = {"",
                                        "a\n",
                                        "\na",
                                        "a\n\nb",
                                        "a --> b",
                                        "<c>a</c>",
                                        "a & b",
                                        "&nbsp;",
                                        "a\rb",
                                        "a\x01",
                                        "\xff",
                                        "<b",
                                        "a\tb",
                                        "\xef\xbf\xbe",
                                        ">",
                                        "<script>a</script>",
                                        "X\n\n00:00 --> 1"};
    for (size_t i = 0; i < RR_COUNT(wrong); i++) {
        if (check_cue(0, 1, wrong[i]) != RR_ERR_DAMAGED) {
            fail_msg("\"%s\" is taken", wrong[i]);
        }
    }
    assert_int_equal(check_cue(0, 1, "<i>one</i> &amp; &lt;two&gt;\nZw\xc3\xb6lf"), RR_OK);
    assert_int_equal(check_cue(1, 1, "a"), RR_ERR_DAMAGED);
    assert_int_equal(check_cue(0, 86400001, "a"), RR_ERR_DAMAGED);
}

static void cues_over_a_border_are_in_both_segments(void **state)
{
    (void)state;
    struct rr_buf cues = {0}, out = {0};
    struct transcode_cues facts = {0};
    add_cue(&cues, &facts, 500, 2000, "one");
    add_cue(&cues, &facts, 9000, 11000, "<i>two</i>\nlines");
    add_cue(&cues, &facts, 12000, 3700000, "three");
    add_cue(&cues, &facts, 15000, 16000, "behind the end");
    assert_int_equal(transcode_cues_check(&facts, rr_buf_slice(&cues), NULL), RR_OK);
    facts.count--;
    assert_int_equal(transcode_cues_check(&facts, rr_buf_slice(&cues), NULL), RR_ERR_DAMAGED);
    transcode_cues_vtt(&out, rr_buf_slice(&cues), 0, 10000, 14000);
    rr_write_u8(&out, 0);
    assert_string_equal((const char *)out.ptr,
                        "WEBVTT\nX-TIMESTAMP-MAP=MPEGTS:0,LOCAL:00:00:00.000\n\n"
                        "00:00:00.500 --> 00:00:02.000\none\n\n"
                        "00:00:09.000 --> 00:00:11.000\n<i>two</i>\nlines\n\n");
    out.len = 0;
    transcode_cues_vtt(&out, rr_buf_slice(&cues), 10000, 14000, 14000);
    rr_write_u8(&out, 0);
    assert_string_equal((const char *)out.ptr,
                        "WEBVTT\nX-TIMESTAMP-MAP=MPEGTS:0,LOCAL:00:00:00.000\n\n"
                        "00:00:09.000 --> 00:00:11.000\n<i>two</i>\nlines\n\n"
                        "00:00:12.000 --> 00:00:14.000\nthree\n\n");
    out.len = 0;
    assert_int_equal(transcode_cues_ttml(&out, rr_buf_slice(&cues), 14000, "en"), 3);
    rr_write_u8(&out, 0);
    assert_non_null(strstr((const char *)out.ptr,
                           "<p begin=\"00:00:09.000\" end=\"00:00:11.000\"><span "
                           "tts:fontStyle=\"italic\">two</span><br/>lines</p>\n"));
    rr_buf_clear(&cues);
    rr_buf_clear(&out);
}

/* Sound of one codec, twice; and each leaf made again alone. */
static void check_codec(const char *clip, enum rr_audio_codec codec)
{
    struct rr_transcode_options options = kit_options("90", 0);
    struct rr_transcode_result first = {0}, second = {0};
    struct rr_fault fault = {0};
    options.audio_codec = codec;
    if (kit_job(&first, clip, "first", &options, &fault) != RR_OK ||
        kit_job(&second, clip, "second", &options, &fault) != RR_OK) {
        fail_msg("%s", fault.text);
    }
    struct rr_hash32 a = kit_digest(&first), b = kit_digest(&second);
    assert_memory_equal(&a, &b, sizeof a);
    assert_int_equal(first.rendition_count, 5);
    int fd = open(clip, O_RDONLY | O_CLOEXEC);
    for (uint32_t i = first.leaf_count - 4; i < first.leaf_count; i++) {
        const struct rr_pot_leaf *leaf = &first.leaves[i];
        struct rr_transcode_remade made;
        assert_int_equal(rr_transcode_remake(&made, fd, &options, leaf, NULL, &fault), RR_OK);
        assert_int_equal(made.source_last, leaf->source_last);
        assert_int_equal(made.output_bytes, leaf->output_bytes);
        assert_memory_equal(&made.source_digest, &leaf->source_digest, 32);
        assert_memory_equal(&made.output_digest, &leaf->output_digest, 32);
    }
    close(fd);
    rr_transcode_result_clear(&first);
    rr_transcode_result_clear(&second);
    assert_int_equal(rr_remove_tree(kit_path("first"), NULL), RR_OK);
    assert_int_equal(rr_remove_tree(kit_path("second"), NULL), RR_OK);
}

static void every_track_is_a_leaf_that_comes_out_the_same_alone(void **state)
{
    (void)state;
    char clip[RR_PATH_BYTES];
    if (kit_clip("nasa_13013.mp4") == NULL) {
        skip();
    }
    snprintf(clip, sizeof clip, "%s", kit_clip("nasa_13013.mp4"));
    check_codec(clip, RR_AUDIO_AAC);
    if (getenv("RR_SHORT") == NULL) {
        check_codec(clip, RR_AUDIO_OPUS);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(languages_get_their_shortest_names),
        cmocka_unit_test(lists_of_tracks_are_read_whole_or_refused),
        cmocka_unit_test(as_many_tracks_as_fit_are_carried),
        cmocka_unit_test(tracks_are_chosen_by_number_and_keep_their_channels_when_asked),
        cmocka_unit_test(no_cue_of_a_worker_can_break_out_of_its_text),
        cmocka_unit_test(cues_over_a_border_are_in_both_segments),
        cmocka_unit_test(every_track_is_a_leaf_that_comes_out_the_same_alone),
    };
    return cmocka_run_group_tests_name("transcode tracks", tests, kit_begin, kit_end);
}

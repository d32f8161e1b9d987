/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "kit.h"
#include "transcode/transcode_private.h"

/* Fills a message with its largest table and odd values, so that each byte of the encoding means
 * something. */
static struct transcode_plan a_plan(void)
{
    struct transcode_plan plan = {
        .video_stream = 1,
        .audio_count = 2,
        .audio = {{.stream = 2, .channels = 2, .flags = 1, .language = "en"},
                  {.stream = 4, .channels = 6, .language = "de", .label = "Erz\xc3\xa4hler"}},
        .subtitle_count = 1,
        .subtitles = {{.stream = 5, .flags = 3, .language = "fr"}},
        .tb_num = 1001,
        .tb_den = 30000,
        .first_pts = -77,
        .origin = -99,
        .gop_ms = 2000,
        .orientation = 5,
        .ten_bit = 1,
        .timescale = 30000,
        .ticks = 1001,
        .fps_num = 24,
        .fps_den = 1,
        .preset = "veryfast",
        .audio_bps = 128000,
        .rung_count = 2,
        .rungs = {{640, 360, 1, 1, {23, 0, 900}}, {320, 180, 4, 3, {0, 300, 450}}}};
    plan.hdr =
        (struct transcode_hdr){.has_mastering = 1, .luminance_max = 10000000, .light_max = 1000};
    return plan;
}

/* Property of every coding function: what is read is written again the same, each shorter form is
 * refused, a byte more is refused, and no bit flip is both taken and written differently. */
#define CHECK_FORM(name, value)                                                                    \
    do {                                                                                           \
        struct transcode_##name *in_ = (value), *out_ = rr_alloc(sizeof *out_);                    \
        struct rr_buf bytes_ = {0}, again_ = {0};                                                  \
        struct transcode_coder write_ = {.out = &bytes_}, write_again_ = {.out = &again_};         \
        transcode_code_##name(&write_, in_);                                                       \
        assert_true(bytes_.len > 0 && bytes_.len < TRANSCODE_MESSAGE_MAX);                         \
        assert_true(transcode_decode_message(rr_buf_slice(&bytes_), name, out_));                  \
        transcode_code_##name(&write_again_, out_);                                                \
        assert_true(rr_slice_equal(rr_buf_slice(&bytes_), rr_buf_slice(&again_)));                 \
        size_t step_ = bytes_.len > 4096 ? 97 : 1;                                                 \
        for (size_t len_ = 0; len_ < bytes_.len; len_ += step_) {                                  \
            assert_false(transcode_decode_message(rr_slice_of(bytes_.ptr, len_), name, out_));     \
        }                                                                                          \
        rr_write_u8(&bytes_, 0);                                                                   \
        assert_false(transcode_decode_message(rr_buf_slice(&bytes_), name, out_));                 \
        bytes_.len--;                                                                              \
        for (size_t bit_ = 0; bit_ < bytes_.len * 8; bit_ += step_) {                              \
            bytes_.ptr[bit_ / 8] ^= (uint8_t)(1u << bit_ % 8);                                     \
            if (transcode_decode_message(rr_buf_slice(&bytes_), name, out_)) {                     \
                again_.len = 0;                                                                    \
                transcode_code_##name(&write_again_, out_);                                        \
                assert_true(rr_slice_equal(rr_buf_slice(&bytes_), rr_buf_slice(&again_)));         \
            }                                                                                      \
            bytes_.ptr[bit_ / 8] ^= (uint8_t)(1u << bit_ % 8);                                     \
        }                                                                                          \
        rr_buf_clear(&bytes_);                                                                     \
        rr_buf_clear(&again_);                                                                     \
        rr_free(out_);                                                                             \
    } while (0)

static void every_message_has_one_form(void **state)
{
    (void)state;
    struct transcode_hello hello = {.version = 1, .namespaces = 1, .landlock_abi = 7, .seccomp = 1};
    struct transcode_failed failed = {.code = RR_ERR_FORMAT, .text = "not a video"};
    struct transcode_grant grant = {.rungs = 5};
    struct transcode_end end = {.frames = 720, .packets = 721, .concealed = 3};
    struct transcode_plan plan = a_plan();
    struct transcode_sound sound = {
        .bytes = 99, .extradata_bytes = 5, .sample_rate = 48000, .channels = 2, .count = 7};
    struct transcode_probe probe = {.video = 2};
    struct transcode_audio audio = {.plan = plan, .track = 1};
    struct transcode_subtitle subtitle = {.plan = plan, .track = 7};
    struct transcode_cues cues = {.count = 3, .bytes = 99, .source_packets = 4, .left_out = 1};
    struct transcode_mux mux = {
        .plan = plan, .rung = 129, .start = 5, .extradata_bytes = 40, .sample_rate = 48000};
    struct transcode_segment_made made = {.init_bytes = 776, .bytes = 100000};
    struct transcode_source source = {.plan = plan, .first_cell = 4, .first_packet = 9, .one = 1};
    CHECK_FORM(hello, &hello);
    CHECK_FORM(failed, &failed);
    CHECK_FORM(grant, &grant);
    CHECK_FORM(end, &end);
    CHECK_FORM(plan, &plan);
    CHECK_FORM(sound, &sound);
    CHECK_FORM(mux, &mux);
    CHECK_FORM(probe, &probe);
    CHECK_FORM(audio, &audio);
    CHECK_FORM(subtitle, &subtitle);
    CHECK_FORM(cues, &cues);
    struct transcode_file file = {.reserve = 12756, .timescale = 30000};
    struct transcode_file_made file_made = {.count = 2, .extents = {{0, 32}, {44, 100000}}};
    CHECK_FORM(file, &file);
    CHECK_FORM(file_made, &file_made);
    CHECK_FORM(segment_made, &made);
    CHECK_FORM(source, &source);
    struct transcode_measure measure = {.plan = plan, .duration_us = 30000000};
    struct transcode_measured measured = {
        .pieces = 5, .others = 75, .rung_count = 2, .rungs = {{9000, 40000}, {3000, 12000}}};
    CHECK_FORM(measure, &measure);
    CHECK_FORM(measured, &measured);
}

static void the_largest_tables_fit_a_message(void **state)
{
    (void)state;
    struct transcode_gop *gop = rr_alloc(sizeof *gop);
    struct transcode_packets *packets = rr_alloc(sizeof *packets);
    struct transcode_segment *segment = rr_alloc(sizeof *segment);
    struct transcode_encode *encode = rr_alloc(sizeof *encode);
    *encode = (struct transcode_encode){.plan = a_plan(), .rung = 1, .count = TRANSCODE_FRAMES_MAX};
    gop->count = packets->count = segment->count = TRANSCODE_FRAMES_MAX;
    packets->extradata_bytes = TRANSCODE_EXTRADATA_MAX;
    for (uint32_t i = 0; i < TRANSCODE_FRAMES_MAX; i++) {
        gop->pts[i] = encode->pts[i] = i * 1001;
        packets->packets[i] =
            (struct transcode_packet){.bytes = i, .pts = -(int64_t)i, .key = i == 0};
        segment->samples[i] =
            (struct transcode_sample){.bytes = i, .pts = i, .dts = -(int64_t)i, .duration = 1};
    }
    CHECK_FORM(gop, gop);
    CHECK_FORM(packets, packets);
    CHECK_FORM(segment, segment);
    struct transcode_piece *piece = rr_alloc(sizeof *piece);
    *piece = (struct transcode_piece){.track = 16, .segment = *segment};
    CHECK_FORM(piece, piece);
    rr_free(piece);
    CHECK_FORM(encode, encode);
    rr_free(gop);
    rr_free(packets);
    rr_free(segment);
    rr_free(encode);
}

static void the_facts_of_a_file_have_one_form(void **state)
{
    (void)state;
    struct transcode_facts *facts = rr_alloc(sizeof *facts);
    facts->tb_num = facts->tb_den = 1;
    facts->video_stream = 0;
    for (unsigned i = 0; i < RR_TRANSCODE_AUDIO_MAX; i++) {
        facts->sounds[i] = (struct transcode_sound_place){
            .stream = (int32_t)i, .tb_num = 1, .tb_den = 48000, .first_pts = -7, .decodes = 1};
    }
    facts->shown.subtitle_count = 17;
    facts->shown.subtitles[15] = (struct rr_transcode_subtitle){.codec = "mov_text",
                                                                .language = "deu",
                                                                .label = "\xe2\x82\xac",
                                                                .forced = true,
                                                                .text = true};
    facts->shown.audio_count = 17; /* one more than is shown */
    snprintf(facts->shown.container, sizeof facts->shown.container, "mov,mp4");
    snprintf(facts->shown.audio[15].codec, sizeof facts->shown.audio[15].codec, "aac");
    CHECK_FORM(facts, facts);
    rr_free(facts);
}

static void unprintable_text_of_a_worker_is_refused(void **state)
{
    (void)state;
    struct rr_buf bytes = {0};
    struct transcode_failed failed;
    rr_write_u8(&bytes, RR_ERR_FORMAT);
    rr_write_var16(&bytes, rr_slice_of("a\x1b[31mb", 7));
    assert_false(transcode_decode_message(rr_buf_slice(&bytes), failed, &failed));
    bytes.len = 0;
    rr_write_u8(&bytes, RR_ERR_FORMAT);
    rr_write_var16(&bytes, rr_slice_of("a\0b", 3));
    assert_false(transcode_decode_message(rr_buf_slice(&bytes), failed, &failed));
    rr_buf_clear(&bytes);
}

static void rescaling_rounds_down_and_never_overflows(void **state)
{
    (void)state;
    assert_int_equal(transcode_rescale(7, 1, 2), 3);
    assert_int_equal(transcode_rescale(-7, 1, 2), -4);
    assert_int_equal(transcode_rescale(INT64_MAX, INT64_MAX, 1), INT64_MAX);
    assert_int_equal(transcode_rescale(INT64_MIN, INT64_MAX, 1), INT64_MIN);
    assert_int_equal(transcode_rescale(INT64_MAX, INT64_MAX, INT64_MAX), INT64_MAX);
}

static struct transcode_packets *three_packets(struct transcode_encode *asked)
{
    struct transcode_packets *packets = rr_alloc(sizeof *packets);
    *asked = (struct transcode_encode){.count = 3, .pts = {0, 10, 25}};
    packets->count = 3;
    packets->bytes = 60;
    packets->packets[0] = (struct transcode_packet){.bytes = 30, .pts = 0, .key = 1};
    packets->packets[1] = (struct transcode_packet){.bytes = 20, .pts = 25};
    packets->packets[2] = (struct transcode_packet){.bytes = 10, .pts = 10};
    return packets;
}

static void an_encoder_that_breaks_an_invariant_is_found(void **state)
{
    (void)state;
    struct transcode_encode *asked = rr_alloc(sizeof *asked);
    struct transcode_packets *packets = three_packets(asked);
    assert_int_equal(transcode_check_packets(packets, asked, NULL), RR_OK);
    packets->packets[1].pts = 24; /* another time */
    assert_int_equal(transcode_check_packets(packets, asked, NULL), RR_ERR_DAMAGED);
    packets->packets[1].pts = 10; /* twice the same */
    assert_int_equal(transcode_check_packets(packets, asked, NULL), RR_ERR_DAMAGED);
    packets->packets[1].pts = 25;
    packets->packets[0].key = 0; /* no IDR first */
    assert_int_equal(transcode_check_packets(packets, asked, NULL), RR_ERR_DAMAGED);
    packets->packets[0].key = packets->packets[2].key = 1; /* a second IDR */
    assert_int_equal(transcode_check_packets(packets, asked, NULL), RR_ERR_DAMAGED);
    packets->packets[2].key = 0;
    packets->bytes = 61; /* bytes that belong to nobody */
    assert_int_equal(transcode_check_packets(packets, asked, NULL), RR_ERR_DAMAGED);
    packets->bytes = 50;
    packets->count = 2; /* a picture lost */
    assert_int_equal(transcode_check_packets(packets, asked, NULL), RR_ERR_DAMAGED);
    rr_free(packets);
    rr_free(asked);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_message_has_one_form),
        cmocka_unit_test(the_largest_tables_fit_a_message),
        cmocka_unit_test(the_facts_of_a_file_have_one_form),
        cmocka_unit_test(unprintable_text_of_a_worker_is_refused),
        cmocka_unit_test(rescaling_rounds_down_and_never_overflows),
        cmocka_unit_test(an_encoder_that_breaks_an_invariant_is_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

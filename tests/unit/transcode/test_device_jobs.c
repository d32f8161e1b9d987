/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Jobs on cards that are not there: chains, limits, and cards that go away in the middle. */
#include "cards.h"

#define LADDER       "144,96,64"
#define PROFILE_CPU  "x264-164-ultrafast-v1"
#define PROFILE_CARD "nvenc-h264-p4-v1"

static char clip[RR_PATH_BYTES]; /* 3 s of H.264, no sound */

static int begin(void **state)
{
    const char *film = kit_clip("bbb_480p24_h264_aac_30s.mp4");
    char *printed = NULL;
    if (kit_begin(state) != 0) {
        return 1;
    }
    snprintf(clip, sizeof clip, "%s", kit_path("clip.mp4"));
    const char *argv[] = {"ffmpeg", "-nostdin", "-v", "error", "-i", film, "-t",
                          "3",      "-an",      "-c", "copy",  clip, NULL};
    if (film == NULL || kit_run(&printed, argv) != 0) {
        (void)kit_end(state);
        exit(77);
    }
    rr_free(printed);
    return 0;
}

static struct rr_transcode_options options_of(const char *device, enum rr_transcode_class class)
{
    struct rr_transcode_options options = kit_options(LADDER, 3);
    options.gop_ms = 500;
    options.preset = "ultrafast";
    options.device = device;
    options.class = class;
    return options;
}

static enum rr_err run(struct rr_transcode_result *out, const struct rr_transcode_options *given,
                       const char *name, struct rr_fault *fault)
{
    struct rr_transcode_options options = *given;
    options.job_folder = kit_path(name);
    int fd = open(clip, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    enum rr_err err = rr_transcode_run(out, fd, &options, NULL, NULL, NULL, fault);
    close(fd);
    return err;
}

static struct rr_hash32 digest_of(struct rr_transcode_result *result, const char *name)
{
    struct rr_hash32 digest = kit_digest(result);
    rr_transcode_result_clear(result);
    assert_int_equal(rr_remove_tree(kit_path(name), NULL), RR_OK);
    return digest;
}

/* Runs on the cards and gives the result, with all invariants of a job. */
static void run_on(struct rr_transcode_result *out, const char *lines,
                   struct rr_transcode_options options)
{
    struct rr_fault fault = {0};
    options.worker_path = cards(lines);
    if (run(out, &options, "job", &fault) != RR_OK) {
        fail_msg("%s", fault.text);
    }
    assert_true(out->frames_out_ok);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(out->renditions[i].frames_out, out->frames_in);
        assert_int_equal(out->renditions[i].segment_count, out->gops);
    }
}

static void clear(struct rr_transcode_result *result)
{
    rr_transcode_result_clear(result);
    assert_int_equal(rr_remove_tree(kit_path("job"), NULL), RR_OK);
}

/* All renditions decode to their end without a word. */
static void plays(const struct rr_transcode_result *result)
{
    for (unsigned i = 0; i < 3; i++) {
        char *printed = NULL;
        const char *path = kit_path("joined.mp4");
        kit_join(path, &result->renditions[i]);
        const char *argv[] = {"ffmpeg", "-nostdin", "-v",   "warning", "-xerror", "-i",
                              path,     "-f",       "null", "-",       NULL};
        int status = kit_run(&printed, argv);
        if (status != 0 || printed[0] != 0) {
            fail_msg("rendition %u: status %d, %s", i, status, printed);
        }
        rr_free(printed);
    }
}

static void made_by(const struct rr_transcode_result *result, const char *a, const char *b,
                    const char *c)
{
    const char *const want[3] = {a, b, c};
    for (unsigned i = 0; i < 3; i++) {
        assert_string_equal(result->renditions[i].profile, want[i]);
    }
}

static struct rr_hash32 exact_digest(void)
{
    static struct rr_hash32 digest;
    static bool known;
    struct rr_transcode_result result = {0};
    struct rr_fault fault = {0};
    struct rr_transcode_options options = options_of(NULL, RR_TRANSCODE_EXACT);
    if (!known) {
        assert_int_equal(run(&result, &options, "plain", &fault), RR_OK);
        digest = digest_of(&result, "plain");
        known = true;
    }
    return digest;
}

static void is_exact(struct rr_transcode_result *result)
{
    struct rr_hash32 want = exact_digest();
    made_by(result, PROFILE_CPU, PROFILE_CPU, PROFILE_CPU);
    struct rr_hash32 digest = digest_of(result, "job");
    assert_memory_equal(digest.bytes, want.bytes, sizeof want.bytes);
}

/* ---- what a card does well
 * ---------------------------------------------------------------------------- */

static void a_card_decodes_for_class_exact_and_the_bytes_are_the_same(void **state)
{
    (void)state;
    struct rr_transcode_result result = {0};
    run_on(&result, "cuda:0 " CARDS_ALL " enc=h264\n", options_of("cuda:0", RR_TRANSCODE_EXACT));
    is_exact(&result);
}

static void auto_in_class_exact_asks_no_device(void **state)
{
    (void)state;
    struct rr_transcode_result result = {0};
    run_on(&result, "cuda:0 hang=1\n", options_of("auto", RR_TRANSCODE_EXACT));
    is_exact(&result);
}

static void a_card_does_all_in_class_tolerant(void **state)
{
    (void)state;
    struct rr_transcode_result result = {0};
    run_on(&result, "cuda:0 " CARDS_ALL " enc=h264 sessions=8\n",
           options_of("auto", RR_TRANSCODE_TOLERANT));
    made_by(&result, PROFILE_CARD, PROFILE_CARD, PROFILE_CARD);
    assert_string_equal(result.renditions[0].device, "cuda:0");
    plays(&result);
    clear(&result);
}

static void a_card_without_encoder_decodes_and_scales_for_the_cpu(void **state)
{
    (void)state;
    struct rr_transcode_result result = {0};
    run_on(&result, "cuda:0 name=H200 " CARDS_ALL "\n", options_of("auto", RR_TRANSCODE_TOLERANT));
    made_by(&result, PROFILE_CPU, PROFILE_CPU, PROFILE_CPU);
    plays(&result);
    struct rr_hash32 want = exact_digest(), digest = digest_of(&result, "job");
    assert_memory_not_equal(digest.bytes, want.bytes, sizeof want.bytes); /* the card scaled */
}

static void a_card_that_only_encodes_gets_pictures_of_the_cpu(void **state)
{
    (void)state;
    struct rr_transcode_result result = {0};
    run_on(&result, "qsv:/dev/dri/renderD128 enc=h264\n",
           options_of("auto", RR_TRANSCODE_TOLERANT));
    made_by(&result, "qsv-h264-medium-v1", "qsv-h264-medium-v1", "qsv-h264-medium-v1");
    plays(&result);
    clear(&result);
}

static void a_device_that_is_not_there_is_refused_by_name(void **state)
{
    (void)state;
    struct rr_transcode_result result = {0};
    struct rr_fault fault = {0};
    struct rr_transcode_options options = options_of("cuda:7", RR_TRANSCODE_EXACT);
    options.worker_path = cards("cuda:0 dec=h264\ncuda:1 old=1\n");
    assert_int_equal(run(&result, &options, "job", &fault), RR_ERR_UNSUPPORTED);
    assert_non_null(strstr(fault.text, "cuda:7"));
    options.device = "cuda:1";
    assert_int_equal(run(&result, &options, "job", &fault), RR_ERR_UNSUPPORTED);
    assert_non_null(strstr(fault.text, "Required: 11.1"));
    options.device = "toaster";
    assert_int_equal(run(&result, &options, "job", &fault), RR_ERR_USAGE);
    (void)!rr_remove_tree(kit_path("job"), NULL);
}

/* ---- limits
 * ------------------------------------------------------------------------------------------- */

static void gops_wait_for_a_session(void **state)
{
    (void)state;
    struct rr_transcode_result result = {0};
    run_on(&result, "cuda:0 " CARDS_ALL " enc=h264 sessions=1\n",
           options_of("auto", RR_TRANSCODE_TOLERANT));
    made_by(&result, PROFILE_CARD, PROFILE_CARD, PROFILE_CARD);
    plays(&result);
    clear(&result);
}

static void renditions_without_a_session_go_to_the_cpu_by_policy(void **state)
{
    (void)state;
    struct rr_transcode_result result = {0};
    struct rr_transcode_options options = options_of("auto", RR_TRANSCODE_TOLERANT);
    options.policy = RR_TRANSCODE_CPU;
    run_on(&result, "cuda:0 " CARDS_ALL " enc=h264 sessions=1\n", options);
    assert_string_equal(result.renditions[0].profile, PROFILE_CARD);
    assert_string_equal(result.renditions[2].profile, PROFILE_CPU);
    plays(&result);
    clear(&result);
}

/* ---- faults
 * ------------------------------------------------------------------------------------------- */

static void a_decoder_that_dies_or_fails_leaves_the_bytes_as_they_are(void **state)
{
    (void)state;
    struct rr_transcode_result result = {0};
    /* Probing takes the first few dozen pictures. */
    run_on(&result, "cuda:0 dec=h264 enc=h264 die_decode=40\n",
           options_of("cuda:0", RR_TRANSCODE_EXACT));
    is_exact(&result);
    run_on(&result, "cuda:0 dec=h264 enc=h264 fail_decode=40\n",
           options_of("cuda:0", RR_TRANSCODE_EXACT));
    is_exact(&result);
}

static void an_encoder_that_dies_once_is_tried_again(void **state)
{
    (void)state;
    struct rr_transcode_result result = {0};
    run_on(&result, "qsv:/dev/dri/renderD128 enc=h264 die_encode=60\n",
           options_of("auto", RR_TRANSCODE_TOLERANT));
    made_by(&result, "qsv-h264-medium-v1", "qsv-h264-medium-v1", "qsv-h264-medium-v1");
    plays(&result);
    clear(&result);
}

static void a_card_that_disappears_leaves_its_renditions_to_the_cpu(void **state)
{
    (void)state;
    struct rr_transcode_result result = {0};
    run_on(&result, "cuda:0 " CARDS_ALL " enc=h264 gone_encode=100\n",
           options_of("auto", RR_TRANSCODE_TOLERANT));
    made_by(&result, PROFILE_CPU, PROFILE_CPU, PROFILE_CPU);
    assert_string_equal(result.renditions[0].device, "cpu");
    plays(&result);
    clear(&result);
}

static void an_equal_card_goes_on_where_the_other_was(void **state)
{
    (void)state;
    struct rr_transcode_result result = {0};
    run_on(&result, "cuda:0 " CARDS_ALL " enc=h264 gone_encode=70\ncuda:1 " CARDS_ALL " enc=h264\n",
           options_of("auto", RR_TRANSCODE_TOLERANT));
    made_by(&result, PROFILE_CARD, PROFILE_CARD, PROFILE_CARD);
    for (unsigned i = 0; i < 3; i++) {
        assert_string_equal(result.renditions[i].device, "cuda:1");
    }
    plays(&result);
    clear(&result);
}

/* Players decode a rendition by one set of parameters: plays() would not be silent. */
static void a_card_with_other_parameter_sets_makes_the_rendition_again_whole(void **state)
{
    (void)state;
    struct rr_transcode_result result = {0};
    run_on(&result, "cuda:0 " CARDS_ALL " enc=h264 gone_encode=70\ncuda:1 enc=h264 sets=1\n",
           options_of("auto", RR_TRANSCODE_TOLERANT));
    made_by(&result, PROFILE_CARD, PROFILE_CARD, PROFILE_CARD);
    plays(&result);
    clear(&result);
}

static void stop_half(void *ctx, const struct rr_transcode_progress *progress)
{
    if (progress->renditions[0].gops_done >= 2) {
        atomic_store((atomic_bool *)ctx, true);
    }
}

/* The card is gone when the job goes on: nothing of its making may be left. */
static void a_job_goes_on_without_its_card(void **state)
{
    (void)state;
    struct rr_transcode_result result = {0};
    struct rr_fault fault = {0};
    atomic_bool cancel = false;
    struct rr_transcode_options options = options_of("auto", RR_TRANSCODE_TOLERANT);
    options.worker_path = cards("cuda:0 enc=h264 slow_ms=20\n");
    options.job_folder = kit_path("job");
    int fd = open(clip, O_RDONLY | O_CLOEXEC);
    enum rr_err err = rr_transcode_run(&result, fd, &options, stop_half, &cancel, &cancel, &fault);
    close(fd);
    assert_true(err == RR_ERR_CANCELLED || err == RR_OK);
    if (err == RR_OK) {
        rr_transcode_result_clear(&result);
    }
    run_on(&result, "", options);
    made_by(&result, PROFILE_CPU, PROFILE_CPU, PROFILE_CPU);
    plays(&result);
    clear(&result);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_card_decodes_for_class_exact_and_the_bytes_are_the_same),
        cmocka_unit_test(auto_in_class_exact_asks_no_device),
        cmocka_unit_test(a_card_does_all_in_class_tolerant),
        cmocka_unit_test(a_card_without_encoder_decodes_and_scales_for_the_cpu),
        cmocka_unit_test(a_card_that_only_encodes_gets_pictures_of_the_cpu),
        cmocka_unit_test(a_device_that_is_not_there_is_refused_by_name),
        cmocka_unit_test(gops_wait_for_a_session),
        cmocka_unit_test(renditions_without_a_session_go_to_the_cpu_by_policy),
        cmocka_unit_test(a_decoder_that_dies_or_fails_leaves_the_bytes_as_they_are),
        cmocka_unit_test(an_encoder_that_dies_once_is_tried_again),
        cmocka_unit_test(a_card_that_disappears_leaves_its_renditions_to_the_cpu),
        cmocka_unit_test(an_equal_card_goes_on_where_the_other_was),
        cmocka_unit_test(a_card_with_other_parameter_sets_makes_the_rendition_again_whole),
        cmocka_unit_test(a_job_goes_on_without_its_card),
    };
    return cmocka_run_group_tests(tests, begin, kit_end);
}

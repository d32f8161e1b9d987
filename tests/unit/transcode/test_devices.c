/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What devices are found to do, who is chosen for what, and how sessions are counted. */
#include "cards.h"
#include "transcode/transcode_device.h"

#define H264 (1u << RR_CODEC_H264)
#define ALL  15u

static size_t find(struct rr_transcode_device *found, const char *lines)
{
    struct rr_transcode_options options = {.worker_path = cards(lines)};
    struct rr_fault fault = {0};
    size_t count = 0;
    enum rr_err err = rr_transcode_devices(found, &count, &options, &fault);
    if (err != RR_OK) {
        fail_msg("%s", fault.text);
    }
    return count;
}

/* ---- probing
 * ------------------------------------------------------------------------------------------ */

static void a_machine_without_devices_says_so_without_a_word_more(void **state)
{
    (void)state;
    struct rr_transcode_device found[RR_TRANSCODE_DEVICES_MAX];
    struct rr_transcode_options options = {.worker_path = KIT_WORKER};
    struct rr_fault fault = {0};
    size_t count = 99;
    if (access("/dev/nvidiactl", F_OK) == 0 || access("/dev/dri", F_OK) == 0) {
        skip();
    }
    assert_int_equal(rr_transcode_devices(found, &count, &options, &fault), RR_OK);
    assert_int_equal(count, 0);
}

/* The real driver layer inside the real sandbox. */
static void drivers_that_are_not_there_give_a_reason(void **state)
{
    (void)state;
    static const struct {
        const char *id, *text;
    } cases[] = {{"cuda:0", "libcuda"},
                 {"cuda:x", "number was expected"},
                 {"vaapi:/dev/dri/renderD128", "/dev/dri/renderD128 is not there"},
                 {"qsv:/dev/dri/renderD128", "/dev/dri/renderD128 is not there"},
                 {"toaster:1", "are known"}};
    if (access("/dev/nvidiactl", F_OK) == 0 || access("/dev/dri", F_OK) == 0) {
        skip();
    }
    for (size_t i = 0; i < RR_COUNT(cases); i++) {
        struct transcode_worker worker = {.socket = -1};
        struct rr_fault fault = {0};
        enum rr_err err = transcode_device_worker(&worker, KIT_WORKER, cases[i].id, false, &fault);
        assert_int_not_equal(err, RR_OK);
        if (strstr(fault.text, cases[i].text) == NULL) {
            fail_msg("%s: %s", cases[i].id, fault.text);
        }
    }
}

static void the_wider_sandbox_opens_nodes_and_libraries_and_nothing_else(void **state)
{
    (void)state;
    static const char *const tries[] = {"file",   "write", "node", "library",
                                        "socket", "fork",  "kill"};
    char program[RR_PATH_BYTES];
    snprintf(program, sizeof program, "%s-device", KIT_WORKER);
    for (size_t i = 0; i < RR_COUNT(tries); i++) {
        char *printed = NULL;
        const char *argv[] = {program, "--self-test", tries[i], NULL};
        int status = kit_run(&printed, argv);
        if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
            fail_msg("%s: status %d", tries[i], status);
        }
        rr_free(printed);
    }
    char *printed = NULL;
    const char *argv[] = {program, "--self-test", "exec", NULL};
    int status = kit_run(&printed, argv);
    rr_free(printed);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGSYS);
}

static void cards_are_known_by_what_they_do(void **state)
{
    (void)state;
    struct rr_transcode_device found[RR_TRANSCODE_DEVICES_MAX] = {0};
    size_t count = find(found, "cuda:0 name=GeForce " CARDS_ALL " enc=h264 sessions=3 scale=1\n"
                               "cuda:1 name=H200 " CARDS_ALL "\n"
                               "qsv:/dev/dri/renderD128 name=Intel enc=h264\n");
    assert_int_equal(count, 3);
    assert_string_equal(found[0].name, "GeForce");
    assert_int_equal(found[0].decodes, ALL);
    assert_int_equal(found[0].encodes, H264);
    assert_true(found[0].scales);
    assert_int_equal(found[0].sessions, 0); /* not known before a refusal */
    assert_string_equal(found[0].why_not, "");
    assert_int_equal(found[1].decodes, ALL);
    assert_int_equal(found[1].encodes, 0);
    assert_non_null(strstr(found[1].why_not, "this card has no encoder"));
    assert_int_equal(found[2].decodes, 0);
    assert_int_equal(found[2].encodes, H264);
}

static void cards_that_refuse_or_lie_are_listed_with_the_reason(void **state)
{
    (void)state;
    struct rr_transcode_device found[RR_TRANSCODE_DEVICES_MAX] = {0};
    size_t count = find(found, "cuda:0 old=1\n"
                               "vaapi:/dev/dri/renderD128 denied=1\n"
                               "cuda:1 lie_decode=1 " CARDS_ALL " enc=h264\n"
                               "cuda:2 dec=h264 enc=h264 lie_encode=1\n"
                               "cuda:3 dec=h264 enc=h264 die_decode=3\n");
    assert_int_equal(count, 5);
    assert_int_equal(found[0].decodes | found[0].encodes, 0);
    assert_non_null(strstr(found[0].why_not, "Required: 11.1"));
    assert_int_equal(found[1].decodes | found[1].encodes, 0);
    assert_non_null(strstr(found[1].why_not, "no right to read and write"));
    assert_int_equal(found[2].decodes, 0);
    assert_int_equal(found[2].encodes, H264);
    assert_non_null(strstr(found[2].why_not, "its pictures are not the CPU's"));
    assert_int_equal(found[3].decodes, H264);
    assert_int_equal(found[3].encodes, 0);
    assert_int_equal(found[4].decodes | found[4].encodes, 0); /* it took its worker with it */
    assert_non_null(strstr(found[4].why_not, "worker ended"));
}

static void a_missing_program_is_named(void **state)
{
    (void)state;
    struct rr_transcode_device found[RR_TRANSCODE_DEVICES_MAX];
    struct rr_transcode_options options = {.worker_path = cards("")};
    struct rr_fault fault = {0};
    size_t count;
    assert_int_equal(unlink(kit_path("cards/reelrig-worker-device")), 0);
    assert_int_equal(rr_transcode_devices(found, &count, &options, &fault), RR_ERR_STATE);
    assert_non_null(strstr(fault.text, "reelrig-worker-device"));
}

static void a_driver_that_hangs_costs_a_minute_and_no_more(void **state)
{
    (void)state;
    struct rr_transcode_device found[RR_TRANSCODE_DEVICES_MAX] = {0};
    if (getenv("RR_FULL") == NULL) {
        skip();
    }
    assert_int_equal(find(found, "cuda:0 hang=1\ncuda:1 dec=h264\n"), 2);
    assert_non_null(strstr(found[0].why_not, "no answer within"));
    assert_int_equal(found[1].decodes, H264);
}

/* ---- choosing
 * ----------------------------------------------------------------------------------------- */

static struct rr_transcode_device card(const char *id, unsigned decodes, unsigned encodes)
{
    struct rr_transcode_device out = {
        .decodes = (uint8_t)decodes, .encodes = (uint8_t)encodes, .scales = decodes != 0};
    snprintf(out.id, sizeof out.id, "%s", id);
    return out;
}

static void words_name_devices_or_are_refused(void **state)
{
    (void)state;
    struct transcode_devices devices;
    struct rr_fault fault = {0};
    struct rr_transcode_device found[2] = {card("cuda:0", ALL, H264),
                                           card("vaapi:/dev/dri/renderD128", 0, 0)};
    assert_int_equal(transcode_devices_pick(&devices, found, 2, "auto", &fault), RR_OK);
    assert_int_equal(devices.count, 1);
    assert_int_equal(transcode_devices_pick(&devices, found, 2, "cuda:0,cpu", &fault), RR_OK);
    assert_int_equal(devices.count, 1);
    assert_int_equal(transcode_devices_pick(&devices, found, 2, "cuda:1", &fault),
                     RR_ERR_UNSUPPORTED);
    assert_non_null(strstr(fault.text, "not on this machine"));
    assert_int_equal(
        transcode_devices_pick(&devices, found, 2, "vaapi:/dev/dri/renderD128", &fault),
        RR_ERR_UNSUPPORTED);
    assert_int_equal(transcode_devices_pick(&devices, found, 2, "gpu", &fault), RR_ERR_USAGE);
}

static struct transcode_plan three_rungs(void)
{
    return (struct transcode_plan){
        .codec = RR_CODEC_H264,
        .rung_count = 3,
        .rungs = {{1280, 720, 1, 1, {0}}, {854, 480, 1, 1, {0}}, {640, 360, 1, 1, {0}}}};
}

static void class_exact_lets_a_device_decode_alone(void **state)
{
    (void)state;
    struct transcode_devices devices;
    struct rr_transcode_device found[1] = {card("cuda:0", ALL, H264)};
    struct transcode_plan plan = three_rungs();
    struct rr_transcode_facts facts = {.video_codec = "hevc", .bit_depth = 8};
    assert_int_equal(transcode_devices_pick(&devices, found, 1, "auto", NULL), RR_OK);
    transcode_devices_assign(&devices, &plan, &facts, true);
    assert_int_equal(devices.source, 0);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(devices.maker[i], TRANSCODE_CPU);
    }
    facts.bit_depth = 10; /* this card decodes eight bits */
    transcode_devices_assign(&devices, &plan, &facts, true);
    assert_int_equal(devices.source, TRANSCODE_CPU);
    snprintf(facts.video_codec, sizeof facts.video_codec, "prores");
    facts.bit_depth = 8;
    transcode_devices_assign(&devices, &plan, &facts, false);
    assert_int_equal(devices.source, TRANSCODE_CPU);
    assert_int_equal(devices.maker[0], 0);
}

static void renditions_spread_over_the_cards_that_encode(void **state)
{
    (void)state;
    struct transcode_devices devices;
    struct rr_transcode_device found[3] = {card("cuda:0", ALL, 0), card("cuda:1", ALL, H264),
                                           card("cuda:2", ALL, H264)};
    struct transcode_plan plan = three_rungs();
    struct rr_transcode_facts facts = {.video_codec = "h264", .bit_depth = 8};
    assert_int_equal(transcode_devices_pick(&devices, found, 3, "auto", NULL), RR_OK);
    transcode_devices_assign(&devices, &plan, &facts, false);
    assert_int_equal(devices.source, 0);
    assert_int_equal(devices.maker[0], 1);
    assert_int_equal(devices.maker[1], 2);
    assert_int_equal(devices.maker[2], 2);
    plan.ten_bit = 1;
    transcode_devices_assign(&devices, &plan, &facts, false);
    assert_int_equal(devices.maker[0], TRANSCODE_CPU);
    plan.ten_bit = 0;
    devices.list[1].lost = true;
    assert_int_equal(transcode_device_other(&devices, &plan, 1), 2);
    devices.list[2].lost = true;
    assert_int_equal(transcode_device_other(&devices, &plan, 1), TRANSCODE_CPU);
}

static void a_refused_session_is_the_limit_until_it_is_tried_again(void **state)
{
    (void)state;
    struct transcode_device_state device = {0};
    uint64_t now = 1000000;
    assert_true(transcode_device_may(&device, 200, now)); /* no limit was met */
    transcode_device_refused(&device, 3, now);
    assert_int_equal(device.sessions, 3);
    assert_true(transcode_device_may(&device, 2, now));
    assert_false(transcode_device_may(&device, 3, now));
    now += TRANSCODE_SESSION_RETRY_US;
    assert_true(transcode_device_may(&device, 3, now));
    transcode_device_gave(&device, 4);
    assert_int_equal(device.sessions, 4);
    transcode_device_refused(&device, 0, now); /* others hold them all */
    assert_false(transcode_device_may(&device, 0, now));
    assert_true(transcode_device_may(&device, 0, now + TRANSCODE_SESSION_NONE_US));
    device.lost = true;
    assert_false(transcode_device_may(&device, 0, now + TRANSCODE_SESSION_NONE_US));
}

static void profiles_tell_kind_and_codec(void **state)
{
    (void)state;
    char name[RR_NAME_MAX + 1];
    assert_true(rr_transcode_device_profile(name, "cuda:0", RR_CODEC_H264));
    assert_string_equal(name, "nvenc-h264-p4-v1");
    assert_true(rr_transcode_device_profile(name, "vaapi:/dev/dri/renderD128", RR_CODEC_HEVC));
    assert_string_equal(name, "vaapi-hevc-cqp-v1");
    assert_true(rr_transcode_device_profile(name, "qsv:/dev/dri/renderD128", RR_CODEC_VP9));
    assert_false(rr_transcode_device_profile(name, "vaapi:/dev/dri/renderD128", RR_CODEC_AV1));
    assert_false(rr_transcode_device_profile(name, "cpu", RR_CODEC_H264));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_machine_without_devices_says_so_without_a_word_more),
        cmocka_unit_test(drivers_that_are_not_there_give_a_reason),
        cmocka_unit_test(the_wider_sandbox_opens_nodes_and_libraries_and_nothing_else),
        cmocka_unit_test(cards_are_known_by_what_they_do),
        cmocka_unit_test(cards_that_refuse_or_lie_are_listed_with_the_reason),
        cmocka_unit_test(a_missing_program_is_named),
        cmocka_unit_test(a_driver_that_hangs_costs_a_minute_and_no_more),
        cmocka_unit_test(words_name_devices_or_are_refused),
        cmocka_unit_test(class_exact_lets_a_device_decode_alone),
        cmocka_unit_test(renditions_spread_over_the_cards_that_encode),
        cmocka_unit_test(a_refused_session_is_the_limit_until_it_is_tried_again),
        cmocka_unit_test(profiles_tell_kind_and_codec),
    };
    return cmocka_run_group_tests(tests, kit_begin, kit_end);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Live over a file: what is promised of its GOPs, its parts, and of inputs that are none. */
#include "kit.h"

#define SECONDS "5"

struct seen {
    struct rr_pot_leaf leaves[64];
    unsigned leaf_count, gaps, renditions, inits, parts, opened, faults;
    uint32_t part_us, longest_us;
    uint64_t next[RR_RUNGS_MAX + 1]; /* segment that is to close */
    uint64_t sum_us[RR_RUNGS_MAX + 1];
    uint32_t next_part[RR_RUNGS_MAX + 1];
    bool first_before_end; /* a part of a GOP came before its segment closed */
    unsigned kill_after;   /* parts, then one worker; 0: never */
    atomic_bool stop;
};

static void listening(void *ctx, uint16_t port)
{
    (void)ctx;
    (void)port;
    fail();
}

static void said(void *ctx, enum rr_live_event event, const char *text)
{
    struct seen *seen = ctx;
    (void)text;
    seen->faults += event == RR_LIVE_FAULT ? 1 : 0;
}

static void begin(void *ctx, const struct rr_rendition *renditions, uint32_t count,
                  uint32_t part_us)
{
    struct seen *seen = ctx;
    seen->renditions = count;
    seen->part_us = part_us;
    assert_string_equal(renditions[0].name, "144p");
    assert_int_equal(renditions[count - 1].kind, RR_RENDITION_AUDIO);
}

static void init(void *ctx, uint32_t rendition, const char *codecs, struct rr_slice bytes)
{
    struct seen *seen = ctx;
    assert_true(rendition < seen->renditions && codecs[0] != 0 && bytes.len > 100);
    seen->inits++;
}

static void open_segment(void *ctx, uint32_t rendition, const struct rr_live_segment *segment)
{
    struct seen *seen = ctx;
    assert_int_equal(segment->number, seen->next[rendition]);
    seen->opened++;
    seen->sum_us[rendition] = 0;
    seen->next_part[rendition] = 0;
}

/* The newest child of this process that is a worker. */
static void kill_worker(void)
{
    char *printed = NULL, own[16];
    snprintf(own, sizeof own, "%d", (int)getpid());
    const char *argv[] = {"pgrep", "-n", "-P", own, "reelrig-worker", NULL};
    int status = kit_run(&printed, argv);
    int pid = status == 0 ? (int)strtol(printed, NULL, 10) : 0;
    rr_free(printed);
    if (pid > 1) {
        kill(pid, SIGKILL);
    }
}

static void part(void *ctx, uint32_t rendition, const struct rr_live_part *given)
{
    struct seen *seen = ctx;
    assert_int_equal(given->segment, seen->next[rendition]);
    assert_int_equal(given->number, seen->next_part[rendition]++);
    assert_true(given->duration_us > 0 && given->duration_us <= seen->part_us);
    assert_true(given->bytes.len > 8 &&
                given->independent == (given->number == 0 || rendition == 2));
    seen->sum_us[rendition] += given->duration_us;
    seen->first_before_end |= given->number == 0 && !given->last;
    seen->parts++;
    if (seen->kill_after != 0 && seen->parts == seen->kill_after) {
        kill_worker();
    }
}

static void close_segment(void *ctx, uint32_t rendition, const struct rr_live_segment *segment)
{
    struct seen *seen = ctx;
    assert_int_equal(segment->number, seen->next[rendition]++);
    if (segment->gap) {
        seen->gaps++;
        return;
    }
    uint64_t sum = seen->sum_us[rendition];
    assert_true(sum + 5 >= segment->duration_us && sum <= segment->duration_us + 5);
    if (rendition < 2) {
        seen->leaves[seen->leaf_count++] = segment->leaf;
    }
}

static void tick(void *ctx)
{
    (void)ctx;
}

static enum rr_err run(struct seen *seen, const char *input, struct rr_fault *fault)
{
    const struct rr_live_sink sink = {.ctx = seen,
                                      .listening = listening,
                                      .said = said,
                                      .begin = begin,
                                      .init = init,
                                      .open = open_segment,
                                      .part = part,
                                      .close = close_segment,
                                      .tick = tick};
    const struct rr_live_options options = {
        .input = input, .quiet_ms = 500, .catch_up = true, .job = kit_options("144,72", 1)};
    return rr_live_run(&options, &sink, &seen->stop, fault);
}

static void an_automatic_ladder_is_refused(void **state)
{
    (void)state;
    struct rr_fault fault = {0};
    atomic_bool stop = false;
    const struct rr_live_sink sink = {0};
    struct rr_live_options options = {.input = "srt://127.0.0.1:0", .job = kit_options("144", 1)};
    options.job.ladder = (struct rr_ladder){.automatic = true};
    assert_int_equal(rr_live_run(&options, &sink, &stop, &fault), RR_ERR_USAGE);
    assert_non_null(strstr(fault.text, "auto"));
}

static const char *clip(const char *name)
{
    char *printed = NULL;
    char *path = kit_path(name);
    const char *argv[] = {
        "ffmpeg",  "-v",        "error",    "-y",
        "-f",      "lavfi",     "-i",       "testsrc2=size=256x144:rate=24",
        "-f",      "lavfi",     "-i",       "sine=frequency=440:sample_rate=48000",
        "-t",      SECONDS,     "-c:v",     "libx264",
        "-preset", "ultrafast", "-bf",      "2",
        "-g",      "30",        "-pix_fmt", "yuv420p",
        "-c:a",    "aac",       path,       NULL};
    kit_need_ffmpeg();
    assert_int_equal(kit_run(&printed, argv), 0);
    rr_free(printed);
    return path;
}

static void a_live_gop_has_the_bytes_of_a_job_and_of_a_spot_check(void **state)
{
    (void)state;
    struct seen *seen = rr_alloc(sizeof *seen);
    struct rr_fault fault = {0};
    struct rr_transcode_result result = {0};
    struct rr_transcode_options options = kit_options("144,72", 1);
    const char *path = clip("live.ts");
    assert_int_equal(run(seen, path, &fault), RR_OK);
    assert_int_equal(seen->inits, 3);
    assert_int_equal(seen->faults, 0);
    assert_true(seen->first_before_end && seen->parts > 3 * 3 * 4);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    options.job_folder = kit_path("job");
    assert_int_equal(rr_transcode_run(&result, fd, &options, NULL, NULL, NULL, &fault), RR_OK);
    assert_int_equal(seen->leaf_count, 2 * 3);
    for (unsigned i = 0; i < seen->leaf_count; i++) {
        const struct rr_pot_leaf *leaf = &seen->leaves[i];
        const struct rr_pot_leaf *same = &result.leaves[leaf->rendition * 3 + leaf->gop];
        struct rr_transcode_remade remade;
        assert_true(rr_hash32_equal(&leaf->output_digest, &same->output_digest));
        assert_true(rr_hash32_equal(&leaf->source_digest, &same->source_digest));
        assert_int_equal(leaf->source_first, same->source_first);
        assert_int_equal(leaf->source_last, same->source_last);
        assert_int_equal(leaf->output_bytes, same->output_bytes);
        if (i == 3) {
            assert_int_equal(rr_transcode_remake(&remade, fd, &options, leaf, NULL, &fault), RR_OK);
            assert_true(rr_hash32_equal(&remade.output_digest, &leaf->output_digest));
        }
    }
    rr_transcode_result_clear(&result);
    close(fd);
    rr_free(seen);
}

static void a_worker_that_dies_costs_a_gop_and_not_the_stream(void **state)
{
    (void)state;
    struct seen *seen = rr_alloc(sizeof *seen);
    struct rr_fault fault = {0};
    const char *path = clip("killed.ts");
    seen->kill_after = 4;
    enum rr_err err = run(seen, path, &fault);
    /* Whatever it was: an encoder's GOP is a gap, a source ends the file, a writer of containers
     * ends all. Nothing hangs, and what was closed is whole. */
    assert_true(err == RR_OK || err == RR_ERR_STATE);
    assert_true(err != RR_OK || seen->faults + seen->gaps > 0 || seen->leaf_count > 0);
    rr_free(seen);
}

static void inputs_that_are_none_are_refused(void **state)
{
    (void)state;
    struct seen *seen = rr_alloc(sizeof *seen);
    struct rr_fault fault = {0};
    uint8_t junk[50000];
    for (size_t i = 0; i < sizeof junk; i++) {
        junk[i] = (uint8_t)(i * 7919 >> 3);
    }
    const char *path = kit_path("junk.bin");
    assert_int_equal(rr_file_write(path, rr_slice_of(junk, sizeof junk), 0600, &fault), RR_OK);
    enum rr_err err = run(seen, path, &fault);
    assert_true(err == RR_ERR_FORMAT || err == RR_ERR_DAMAGED || err == RR_ERR_UNSUPPORTED);
    assert_int_equal(rr_file_write(path, rr_slice_of("", 0), 0600, &fault), RR_OK);
    err = run(seen, path, &fault);
    assert_true(err != RR_OK && fault.text[0] != 0);
    assert_int_equal(run(seen, "ftp://127.0.0.1/x", &fault), RR_ERR_USAGE);
    assert_int_equal(run(seen, "srt://127.0.0.1", &fault), RR_ERR_USAGE);
    assert_int_equal(run(seen, "srt://127.0.0.1:1?mode=caller", &fault), RR_ERR_USAGE);
    assert_int_equal(run(seen, "rtmp://127.0.0.1:99999/a/b", &fault), RR_ERR_USAGE);
    assert_int_equal(seen->opened, 0);
    rr_free(seen);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_live_gop_has_the_bytes_of_a_job_and_of_a_spot_check),
        cmocka_unit_test(a_worker_that_dies_costs_a_gop_and_not_the_stream),
        cmocka_unit_test(inputs_that_are_none_are_refused),
        cmocka_unit_test(an_automatic_ladder_is_refused)};
    return cmocka_run_group_tests(tests, kit_begin, kit_end);
}

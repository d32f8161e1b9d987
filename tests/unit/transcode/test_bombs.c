/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Small files that ask for much: refused by a limit, with the number in the sentence, before memory
 * or time is spent. */
#include "kit.h"
#include <sys/resource.h>

static struct rr_buf file;

static void make(const char *command, const char *name)
{
    kit_need_ffmpeg();
    if (!kit_make(command)) {
        skip();
    }
    file.len = 0;
    assert_int_equal(rr_file_read(&file, kit_path(name), 1u << 26, NULL), RR_OK);
}

static uint8_t *find(const char *word)
{
    uint8_t *at = memmem(file.ptr, file.len, word, strlen(word));
    assert_non_null(at);
    return at;
}

static void put_be32(uint8_t *at, uint32_t value)
{
    for (size_t i = 0; i < 4; i++) {
        at[i] = (uint8_t)(value >> (24 - 8 * i));
    }
}

/* Runs the bytes as a job; err and a word of its sentence are known before. */
static enum rr_err run_bomb(uint64_t work_max, struct rr_fault *fault)
{
    struct rr_transcode_options options = kit_options("60", 1);
    struct rr_transcode_result result = {0};
    options.preset = "ultrafast";
    options.work_max = work_max;
    options.gop_ms = 500;
    assert_int_equal(rr_file_write(kit_path("bomb"), rr_buf_slice(&file), 0600, NULL), RR_OK);
    enum rr_err err = kit_job(&result, kit_path("bomb"), "job", &options, fault);
    rr_transcode_result_clear(&result);
    assert_int_equal(rr_remove_tree(kit_path("job"), NULL), RR_OK);
    struct rusage used;
    getrusage(RUSAGE_CHILDREN, &used);
    assert_true(used.ru_maxrss < 1l << 20); /* KiB: no worker ever held 1 GiB */
    return err;
}

static void must_be(enum rr_err want, const char *word, uint64_t work_max)
{
    struct rr_fault fault = {0};
    enum rr_err err = run_bomb(work_max, &fault);
    if (err != want || strstr(fault.text, word) == NULL) {
        fail_msg("error %d instead of %d: \"%s\" without \"%s\"", (int)err, (int)want, fault.text,
                 word);
    }
}

static void pictures_that_are_too_large_are_refused(void **state)
{
    (void)state;
    make("-f lavfi -i testsrc2=s=64x48:r=10:d=1 -c:v rawvideo -pix_fmt bgr24 %s/a.avi", "a.avi");
    uint8_t *at = find("strf") + 8 + 4; /* BITMAPINFOHEADER after its size: width, height */
    static const uint8_t wide[8] = {0x60, 0xea, 0, 0, 0x60, 0xea, 0, 0};
    memcpy(at, wide, sizeof wide);
    must_be(RR_ERR_LIMIT, "60000x60000", 0);
}

/* What the container says is modest, what the picture says is not. */
static void pictures_that_hide_their_size_do_not_decode(void **state)
{
    (void)state;
    make("-f lavfi -i testsrc2=s=64x48:r=10:d=1 -c:v png %s/b.mov", "b.mov");
    static const uint8_t name[] = {'I', 'H', 'D', 'R'};
    for (uint8_t *at = file.ptr;
         (at = memmem(at, file.len - (size_t)(at - file.ptr), name, 4)) != NULL; at += 4) {
        put_be32(at + 4, 30000);
        put_be32(at + 8, 30000);
    }
    must_be(RR_ERR_DAMAGED, "decodes", 0);
}

static void days_of_duration_are_refused(void **state)
{
    (void)state;
    make("-f lavfi -i testsrc2=s=64x48:r=10:d=1 -c:v libx264 -preset ultrafast -movflags "
         "+faststart -use_editlist 0 %s/c.mp4",
         "c.mp4");
    uint8_t *times = find("stts") + 8; /* count, then number and length of each run */
    put_be32(times + 8, 0x10000000);
    struct rr_fault fault = {0};
    enum rr_err err = run_bomb(0, &fault);
    if (err != RR_ERR_LIMIT) {
        fail_msg("error %d: %s", (int)err, fault.text);
    }
}

static void too_many_streams_are_refused(void **state)
{
    (void)state;
    char command[4096] = "-f lavfi -i testsrc2=s=64x48:r=10:d=0.2 -f lavfi -i sine=r=8000:d=0.2 "
                         "-c:v libx264 -preset ultrafast -c:a pcm_s16le -map 0";
    for (unsigned i = 0; i < 70; i++) {
        strncat(command, " -map 1", sizeof command - strlen(command) - 1);
    }
    strncat(command, " %s/d.mkv", sizeof command - strlen(command) - 1);
    make(command, "d.mkv");
    must_be(RR_ERR_LIMIT, "71 streams", 0);
}

static void a_rate_beyond_reason_is_refused(void **state)
{
    (void)state;
    make("-f lavfi -i testsrc2=s=16x16:r=10000:d=0.4 -c:v libx264 -preset ultrafast %s/e.mp4",
         "e.mp4");
    must_be(RR_ERR_LIMIT, "more than 2048 pictures", 0);
}

/* 500 pictures that are all alike are a few bytes each. */
static void the_work_of_a_job_is_bounded_while_it_runs(void **state)
{
    (void)state;
    make("-f lavfi -i color=red:s=640x360:r=50:d=10 -c:v libx264 -preset ultrafast -g 500 "
         "%s/f.ts",
         "f.ts");
    must_be(RR_ERR_LIMIT, "more than 20000000 pixels", 20000000);
    struct rr_fault fault = {0};
    if (run_bomb(640u * 360 * 510, &fault) != RR_OK) {
        fail_msg("within its bound: %s", fault.text);
    }
}

/* Ten short packets of sound, each ten minutes after the one before: silence for nothing. It was a
 * day of it that kept a worker busy (spoiled file 3121 of seed 2026). */
static void silence_between_packets_is_bounded_by_the_bytes_of_the_file(void **state)
{
    (void)state;
    make("-f lavfi -i sine=r=8000:d=0.6:samples_per_frame=480 -af "
         "asetpts=PTS+floor(NB_CONSUMED_SAMPLES/480)*590/TB -c:a pcm_s16le %s/g.mkv",
         "g.mkv");
    must_be(RR_ERR_LIMIT, "at most 2", 0); /* half an hour, and some minutes for its 11 kB */
}

/* What is said now and then, from the second minute on, is no bomb. */
static void gaps_of_minutes_in_sound_are_filled(void **state)
{
    (void)state;
    struct rr_transcode_options options = kit_options("60", 1);
    struct rr_transcode_result result = {0};
    struct rr_fault fault = {0};
    make("-f lavfi -i testsrc2=s=64x48:r=1:d=400 -f lavfi -i sine=r=8000:d=0.2:samples_per_frame="
         "480 -af asetpts=PTS+(70+floor(NB_CONSUMED_SAMPLES/480)*150)/TB -c:v libx264 -preset "
         "ultrafast -c:a pcm_s16le %s/h.mkv",
         "h.mkv");
    options.preset = "ultrafast";
    if (kit_job(&result, kit_path("h.mkv"), "job", &options, &fault) != RR_OK) {
        fail_msg("%s", fault.text);
    }
    const struct rr_transcode_rendition *sound = &result.renditions[result.rendition_count - 1];
    const struct rr_transcode_segment *last = &sound->segments[sound->segment_count - 1];
    assert_int_equal(sound->info.kind, RR_RENDITION_AUDIO);
    assert_int_equal((last->start + last->duration) / sound->info.timescale, 520);
    rr_transcode_result_clear(&result);
    assert_int_equal(rr_remove_tree(kit_path("job"), NULL), RR_OK);
}

/* 9600 samples, which at one a second are hours. */
static void sound_of_a_few_samples_a_second_is_refused(void **state)
{
    (void)state;
    make("-f lavfi -i sine=r=8000:d=1.2 %s/i.caf", "i.caf");
    static const uint8_t one[8] = {0x3f, 0xf0}; /* 1.0, big endian */
    memcpy(find("desc") + 12, one, sizeof one);
    must_be(RR_ERR_LIMIT, "1 samples a second", 0);
}

/* A compressed index that says it is 1.9 GB. */
static void a_compressed_index_is_not_believed(void **state)
{
    (void)state;
    static const uint8_t moov[] = {
        0,    0,    0,    8,   'f', 't', 'y', 'p', 0,   0,   0,   60,  'm',  'o', 'o', 'v',
        0,    0,    0,    52,  'c', 'm', 'o', 'v', 0,   0,   0,   12,  'd',  'c', 'o', 'm',
        'z',  'l',  'i',  'b', 0,   0,   0,   32,  'c', 'm', 'v', 'd', 0x71, 0,   0,   0,
        0x78, 0x9c, 0x03, 0,   0,   0,   0,   1,   0,   0,   0,   0,   0,    0,   0,   0};
    struct rr_fault fault = {0};
    kit_need_ffmpeg();
    file.len = 0;
    rr_buf_append(&file, moov, sizeof moov);
    assert_int_not_equal(run_bomb(0, &fault), RR_OK);
    assert_true(fault.text[0] != 0);
}

static int end(void **state)
{
    rr_buf_clear(&file);
    return kit_end(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pictures_that_are_too_large_are_refused),
        cmocka_unit_test(pictures_that_hide_their_size_do_not_decode),
        cmocka_unit_test(days_of_duration_are_refused),
        cmocka_unit_test(too_many_streams_are_refused),
        cmocka_unit_test(a_rate_beyond_reason_is_refused),
        cmocka_unit_test(the_work_of_a_job_is_bounded_while_it_runs),
        cmocka_unit_test(silence_between_packets_is_bounded_by_the_bytes_of_the_file),
        cmocka_unit_test(gaps_of_minutes_in_sound_are_filled),
        cmocka_unit_test(sound_of_a_few_samples_a_second_is_refused),
        cmocka_unit_test(a_compressed_index_is_not_believed),
    };
    return cmocka_run_group_tests(tests, kit_begin, end);
}

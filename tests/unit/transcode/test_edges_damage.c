/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Damage, tracks that are missing, late or too long, and codecs that are not taken. */
#include "edges.h"

static const struct edge edges[] = {
    {.name = "pictures alone",
     .make = EDGE_VIDEO EDGE_X264 "-an %s/a.mp4",
     .file = "a.mp4",
     .frames = 75},
    {.name = "a still picture as a film",
     .make = "-f lavfi -i testsrc2=s=160x90 -frames:v 1 -c:v png %s/b.mov",
     .file = "b.mov",
     .frames = 1},
};

/* ---- sound beside pictures
 * --------------------------------------------------------------------------------------- */

struct track {
    const char *name, *make, *file;
    double starts_s, ends_s; /* where there is sound, from the first picture on */
};
static const struct track tracks[] = {
    {"sound that starts late",
     EDGE_VIDEO "-itsoffset 1.25 " EDGE_SOUND EDGE_X264 "-c:a aac -t 3 %s/t.mkv", "t.mkv", 1.25, 3},
    {"sound that ends early",
     EDGE_VIDEO "-f lavfi -i sine=440:r=48000:d=1.2 " EDGE_X264 "-c:a aac %s/t.mp4", "t.mp4", 0,
     1.2},
    {"sound that is longer than the pictures",
     EDGE_VIDEO "-f lavfi -i sine=440:r=48000:d=7.5 " EDGE_X264 "-c:a aac %s/t.mp4", "t.mp4", 0,
     7.5},
    {"sound with a hole of two seconds",
     "-f lavfi -i testsrc2=s=160x90:r=25:d=5 -f lavfi -i sine=440:r=48000:d=5 "
     "-af aselect=lt(t\\,1)+gt(t\\,3) " EDGE_X264 "-c:a pcm_s16le %s/t.mkv",
     "t.mkv", 0, 5},
};

static void sound_keeps_its_place(void **state)
{
    const struct track *track = *state;
    static struct edge_times want;
    struct edge edge = {.name = track->name};
    struct rr_transcode_result result = {0};
    struct rr_buf pcm = {0};
    char source[RR_PATH_BYTES], command[2 * RR_PATH_BYTES];
    kit_need_ffmpeg();
    if (!kit_make(track->make)) {
        skip();
    }
    snprintf(source, sizeof source, "%s", kit_path(track->file));
    want.count = edge_times(source, "v:0", want.at);
    edge_run(&edge, source, &want, &result);
    const struct rr_transcode_rendition *sound = &result.renditions[result.rendition_count - 1];
    assert_int_equal(sound->info.kind, RR_RENDITION_AUDIO);
    /* What is heard: 8000 samples a second, decoded by ffmpeg with its edit list. */
    kit_join(kit_path("sound.mp4"), sound);
    snprintf(command, sizeof command, "-i %s -ac 1 -ar 8000 -f s16le %s", kit_path("sound.mp4"),
             kit_path("sound.raw"));
    assert_int_equal(kit_ffmpeg(command), 0);
    assert_int_equal(rr_file_read(&pcm, kit_path("sound.raw"), 1u << 28, NULL), RR_OK);
    size_t first = SIZE_MAX, last = 0;
    for (size_t i = 0; i + 1 < pcm.len; i += 2) {
        int16_t value = (int16_t)(pcm.ptr[i] | pcm.ptr[i + 1] << 8);
        if (value > 500 || value < -500) {
            first = first == SIZE_MAX ? i / 2 : first;
            last = i / 2;
        }
    }
    double starts = (double)first / 8000, ends = (double)last / 8000;
    if (fabs(starts - track->starts_s) > 0.06 || fabs(ends - track->ends_s) > 0.06) {
        fail_msg("%s: heard from %.3f to %.3f s, not %.3f to %.3f", track->name, starts, ends,
                 track->starts_s, track->ends_s);
    }
    rr_transcode_result_clear(&result);
    rr_buf_clear(&pcm);
}

/* ---- damage
 * --------------------------------------------------------------------------------------------------
 */

/* Flips bytes of the payload at places that the seed picks, none in the first tenth. */
static void spoil(const char *path, uint64_t seed, unsigned hits)
{
    struct rr_buf bytes = {0};
    struct rr_prng prng;
    rr_prng_seed(&prng, seed);
    assert_int_equal(rr_file_read(&bytes, path, 1u << 28, NULL), RR_OK);
    for (unsigned i = 0; i < hits; i++) {
        size_t at = bytes.len / 10 + (size_t)rr_prng_below(&prng, bytes.len * 8 / 10);
        bytes.ptr[at] ^= (uint8_t)(1 + rr_prng_below(&prng, 255));
    }
    assert_int_equal(rr_file_write(path, rr_buf_slice(&bytes), 0600, NULL), RR_OK);
    rr_buf_clear(&bytes);
}

struct damage {
    const char *make, *file;
    uint64_t seed;
    unsigned hits;
};
static const struct damage damages[] = {
    {EDGE_VIDEO EDGE_X264 "-preset veryfast -g 25 -bf 2 %s/x.ts", "x.ts", 1, 12},
    {EDGE_VIDEO EDGE_X264 "-preset veryfast -g 25 -bf 2 %s/x.mkv", "x.mkv", 2, 8},
    {EDGE_VIDEO "-c:v libx265 -preset ultrafast -x265-params keyint=25:log-level=none %s/x.ts",
     "x.ts", 3, 8},
    {EDGE_VIDEO "-c:v libvpx-vp9 -deadline realtime -cpu-used 8 -g 25 %s/x.webm", "x.webm", 4, 3},
    {EDGE_VIDEO "-c:v libsvtav1 -preset 12 -g 25 %s/x.mp4", "x.mp4", 5, 3},
    {EDGE_VIDEO "-c:v mpeg2video -g 12 -bf 2 %s/x.ts", "x.ts", 6, 12},
    {EDGE_VIDEO "-c:v mpeg4 -g 25 -bf 2 %s/x.avi", "x.avi", 7, 12},
};

/* The outcome may be any, but one: every GOP made alone, and the whole made again by other workers,
 * is the same. */
static void damage_has_one_outcome_wherever_decoding_begins(void **state)
{
    (void)state;
    for (size_t i = 0; i < RR_COUNT(damages); i++) {
        struct rr_transcode_options options = kit_options("90", 1);
        struct rr_transcode_result result = {0}, again = {0};
        struct rr_fault fault = {0};
        char source[RR_PATH_BYTES];
        kit_need_ffmpeg();
        if (!kit_make(damages[i].make)) {
            continue;
        }
        snprintf(source, sizeof source, "%s", kit_path(damages[i].file));
        spoil(source, damages[i].seed, damages[i].hits);
        options.gop_ms = 500;
        options.preset = "ultrafast";
        if (kit_job(&result, source, "one", &options, &fault) != RR_OK) {
            fail_msg("%s: %s", damages[i].make, fault.text);
        }
        struct rr_hash32 digest = kit_digest(&result);
        options.workers = 3;
        assert_int_equal(kit_job(&again, source, "two", &options, NULL), RR_OK);
        struct rr_hash32 second = kit_digest(&again);
        assert_memory_equal(&digest, &second, sizeof digest);
        struct edge edge = {.name = damages[i].make};
        edge_spot_checks(&edge, &result, source, &options);
        kit_join(kit_path("joined.mp4"), &result.renditions[0]);
        decodes_without_a_word(kit_path("joined.mp4"));
        rr_transcode_result_clear(&result);
        rr_transcode_result_clear(&again);
        assert_int_equal(rr_remove_tree(kit_path("one"), NULL), RR_OK);
        assert_int_equal(rr_remove_tree(kit_path("two"), NULL), RR_OK);
    }
}

/* ---- files that end too soon or hold what is not taken
 * -------------------------------------------------------------------------------- */

static enum rr_err try_file(const char *source, struct rr_transcode_result *result,
                            struct rr_fault *fault)
{
    struct rr_transcode_options options = kit_options("90", 1);
    options.preset = "ultrafast";
    enum rr_err err = kit_job(result, source, "tried", &options, fault);
    assert_true(err == RR_OK || fault->text[0] != 0);
    assert_int_equal(rr_remove_tree(kit_path("tried"), NULL), RR_OK);
    return err;
}

static void a_file_cut_in_the_middle_gives_what_is_there(void **state)
{
    (void)state;
    static const char *const makes[] = {
        EDGE_VIDEO EDGE_X264 "-g 20 %s/cut.ts", EDGE_VIDEO EDGE_X264 "-g 20 %s/cut.mkv",
        EDGE_VIDEO EDGE_X264 "-g 20 -movflags +faststart %s/cut.mp4",
        EDGE_VIDEO EDGE_X264 "-g 20 -movflags frag_keyframe+empty_moov %s/cut.mp4"};
    static const char *const files[] = {"cut.ts", "cut.mkv", "cut.mp4", "cut.mp4"};
    kit_need_ffmpeg();
    for (size_t i = 0; i < RR_COUNT(makes); i++) {
        struct rr_transcode_result result = {0};
        struct rr_fault fault = {0};
        struct stat facts;
        char source[RR_PATH_BYTES];
        assert_true(kit_make(makes[i]));
        snprintf(source, sizeof source, "%s", kit_path(files[i]));
        assert_int_equal(stat(source, &facts), 0);
        assert_int_equal(truncate(source, facts.st_size * 6 / 10), 0);
        if (try_file(source, &result, &fault) != RR_OK) {
            fail_msg("%s: %s", files[i], fault.text);
        }
        if (result.frames_in < 35 || result.frames_in > 60) {
            fail_msg("%s: %llu pictures of 75", files[i], (unsigned long long)result.frames_in);
        }
        rr_transcode_result_clear(&result);
    }
}

static void codecs_that_are_not_taken_are_named(void **state)
{
    (void)state;
    struct rr_transcode_result result = {0};
    struct rr_fault fault = {0};
    static const uint8_t old[4] = {'H', '2', '6', '4'};
    struct rr_buf avi = {0};
    kit_need_ffmpeg();
    assert_true(kit_make(EDGE_VIDEO "-c:v snow -strict -2 %s/snow.avi"));
    assert_int_equal(try_file(kit_path("snow.avi"), &result, &fault), RR_ERR_UNSUPPORTED);
    assert_non_null(strstr(fault.text, "snow"));
    /* A name that nobody knows. */
    assert_true(kit_make(EDGE_VIDEO EDGE_X264 "%s/x.avi"));
    assert_int_equal(rr_file_read(&avi, kit_path("x.avi"), 1u << 28, NULL), RR_OK);
    for (uint8_t *at; (at = memmem(avi.ptr, avi.len, old, 4)) != NULL;) {
        at[0] = at[1] = at[2] = at[3] = 'Q';
    }
    assert_int_equal(rr_file_write(kit_path("x.avi"), rr_buf_slice(&avi), 0600, NULL), RR_OK);
    rr_buf_clear(&avi);
    assert_int_equal(try_file(kit_path("x.avi"), &result, &fault), RR_ERR_UNSUPPORTED);
    /* A picture file is no film. */
    assert_true(kit_make("-f lavfi -i testsrc2=s=160x90 -frames:v 1 %s/still.png"));
    assert_int_equal(try_file(kit_path("still.png"), &result, &fault), RR_ERR_UNSUPPORTED);
}

/* A transport stream may name another codec on its way. What came before it is made, the rest is
 * counted as damage. */
static void a_change_of_codec_is_told(void **state)
{
    (void)state;
    struct rr_transcode_result result = {0};
    struct rr_fault fault = {0};
    struct rr_buf all = {0}, part = {0};
    kit_need_ffmpeg();
    if (!kit_make(EDGE_VIDEO EDGE_X264 "%s/one.ts | " EDGE_VIDEO
                                       "-c:v libx265 -preset ultrafast -x265-params "
                                       "log-level=none -output_ts_offset 4 %s/two.ts")) {
        skip();
    }
    assert_int_equal(rr_file_read(&all, kit_path("one.ts"), 1u << 28, NULL), RR_OK);
    assert_int_equal(rr_file_read(&part, kit_path("two.ts"), 1u << 28, NULL), RR_OK);
    rr_buf_append(&all, part.ptr, part.len);
    assert_int_equal(rr_file_write(kit_path("both.ts"), rr_buf_slice(&all), 0600, NULL), RR_OK);
    enum rr_err err = try_file(kit_path("both.ts"), &result, &fault);
    assert_int_equal(err, RR_OK);
    assert_int_equal(result.frames_in, 75);
    assert_true(result.concealed > 0);
    rr_transcode_result_clear(&result);
    rr_buf_clear(&all);
    rr_buf_clear(&part);
}

/* ---- inputs that others change
 * ----------------------------------------------------------------------------------------- */

struct meddler {
    char path[RR_PATH_BYTES], other[RR_PATH_BYTES];
    enum { WRITE_INTO, CUT_SHORT, REPLACE, TOUCH_NOTHING } how;
    bool done;
};

static void meddle(void *ctx, const struct rr_transcode_progress *progress)
{
    struct meddler *meddler = ctx;
    (void)progress;
    if (meddler->done) {
        return;
    }
    meddler->done = true;
    int fd = open(meddler->path, O_WRONLY | O_CLOEXEC);
    switch (meddler->how) {
    case WRITE_INTO:
        assert_int_equal(pwrite(fd, "x", 1, 5000), 1);
        break;
    case CUT_SHORT:
        assert_int_equal(ftruncate(fd, 9000), 0);
        break;
    case REPLACE:
        assert_int_equal(rename(meddler->other, meddler->path), 0);
        break;
    case TOUCH_NOTHING:
    default:
        break;
    }
    close(fd);
}

static void an_input_that_changes_during_the_job_is_refused(void **state)
{
    (void)state;
    static const char *const words[] = {"changed", "changed", "replaced", NULL};
    kit_need_ffmpeg();
    for (int how = WRITE_INTO; how <= TOUCH_NOTHING; how++) {
        struct rr_transcode_options options = kit_options("90", 1);
        struct meddler meddler = {.how = how};
        struct rr_fault fault = {0};
        options.gop_ms = 500;
        snprintf(meddler.path, sizeof meddler.path, "%s", kit_path("mine.mp4"));
        snprintf(meddler.other, sizeof meddler.other, "%s", kit_path("other.mp4"));
        assert_true(kit_make(EDGE_VIDEO EDGE_X264 "-movflags +faststart %s/mine.mp4 | " EDGE_VIDEO
                                                  "-vf negate " EDGE_X264 "%s/other.mp4"));
        enum rr_err err = rr_transcode_to_folder(NULL, kit_path("ladder"), meddler.path, &options,
                                                 meddle, &meddler, NULL, &fault);
        assert_true(meddler.done);
        if (how == TOUCH_NOTHING) {
            assert_int_equal(err, RR_OK);
        } else {
            assert_int_equal(err, RR_ERR_STATE);
            assert_non_null(strstr(fault.text, words[how]));
            assert_int_not_equal(access(kit_path("ladder/master.m3u8"), F_OK), 0);
            /* Nothing of it is gone on with. */
            assert_int_not_equal(access(kit_path("ladder/.job"), F_OK), 0);
            if (how == REPLACE) {
                assert_int_equal(rr_transcode_to_folder(NULL, kit_path("ladder"), meddler.path,
                                                        &options, NULL, NULL, NULL, &fault),
                                 RR_OK);
            }
        }
        assert_int_equal(rr_remove_tree(kit_path("ladder"), NULL), RR_OK);
    }
}

int main(void)
{
    struct CMUnitTest tests[RR_COUNT(edges) + RR_COUNT(tracks) + 5];
    size_t count = 0;
    for (size_t i = 0; i < RR_COUNT(edges); i++) {
        tests[count++] = edge_test(&edges[i]);
    }
    for (size_t i = 0; i < RR_COUNT(tracks); i++) {
        union {
            const struct track *in;
            void *out;
        } track = {.in = &tracks[i]};
        tests[count++] =
            (struct CMUnitTest){tracks[i].name, sound_keeps_its_place, NULL, NULL, track.out};
    }
    tests[count++] =
        (struct CMUnitTest)cmocka_unit_test(damage_has_one_outcome_wherever_decoding_begins);
    tests[count++] =
        (struct CMUnitTest)cmocka_unit_test(a_file_cut_in_the_middle_gives_what_is_there);
    tests[count++] = (struct CMUnitTest)cmocka_unit_test(codecs_that_are_not_taken_are_named);
    tests[count++] = (struct CMUnitTest)cmocka_unit_test(a_change_of_codec_is_told);
    tests[count++] =
        (struct CMUnitTest)cmocka_unit_test(an_input_that_changes_during_the_job_is_refused);
    return cmocka_run_group_tests(tests, kit_begin, kit_end);
}

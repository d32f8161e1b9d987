/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A job cut into shards gives the bytes of the job in one piece, wherever a shard was begun. */
#include "kit.h"
#include "transcode/transcode_shard.h"

/* The first ones always, all with RR_FULL=1: a minute. */
#define USUAL_CLIPS 4
static const char *const clips[] = {
    "bbb_480p_corrupt_10s.ts",     "bbb_720p24_hevc_openGOP_6s.mp4",
    "bbb_480p_editlist_6s.mp4",    "bbb_480p_vfr_10s.mp4",
    "bbb_480p24_vp9_opus_8s.webm", "bbb_480p_tswrap_10s.ts",
    "bbb_480p_rot90_6s.mp4",       "nasa_13013.mp4",
};

static struct rr_transcode_options small(const char *folder)
{
    struct rr_transcode_options options = kit_options("180,120", 1);
    options.preset = "ultrafast";
    options.gop_ms = 1000;
    options.job_folder = folder;
    return options;
}

static const char *clip_or_skip(const char *name)
{
    const char *found = kit_clip(name);
    if (found == NULL) {
        skip();
    }
    return found;
}

/* One shard, made as a rig makes it. */
static void make(const char *out, int fd, const struct rr_transcode_job *job,
                 const struct rr_transcode_shard *shard)
{
    struct rr_transcode_options options = {.worker_path = KIT_WORKER, .workers = 1};
    struct rr_fault fault = {0};
    options.job_folder = kit_path("scratch");
    if (rr_transcode_range(out, fd, rr_transcode_plan(job), shard, &options, NULL, &fault) !=
        RR_OK) {
        fail_msg("%s", fault.text);
    }
}

/* Makes what is wanted, from behind, until nothing is; returns how many that were. */
static unsigned make_all(struct rr_transcode_job *job, int fd, unsigned most)
{
    size_t count = 0;
    unsigned made = 0;
    struct rr_fault fault = {0};
    for (bool more = true; more && made < most;) {
        more = false;
        (void)rr_transcode_shards(job, &count);
        for (size_t i = count; i-- > 0 && made < most;) {
            const struct rr_transcode_shard *shard = &rr_transcode_shards(job, &count)[i];
            if (shard->done) {
                continue;
            }
            make(kit_path("part"), fd, job, shard);
            if (rr_transcode_take(job, i, kit_path("part"), i == 1, &fault) != RR_OK) {
                fail_msg("shard %zu: %s", i, fault.text);
            }
            made++;
            more = true;
        }
    }
    return made;
}

static struct rr_hash32 whole(const char *clip)
{
    struct rr_transcode_options options = small(NULL);
    struct rr_transcode_result result = {0};
    struct rr_fault fault = {0};
    assert_int_equal(rr_remove_tree(kit_path("whole"), NULL), RR_OK);
    if (kit_job(&result, clip, "whole", &options, &fault) != RR_OK) {
        fail_msg("%s", fault.text);
    }
    struct rr_hash32 digest = kit_digest(&result);
    rr_transcode_result_clear(&result);
    return digest;
}

static struct rr_hash32 finish(struct rr_transcode_job *job)
{
    struct rr_transcode_result result = {0};
    struct rr_fault fault = {0};
    if (rr_transcode_finish(job, &result, NULL, NULL, &fault) != RR_OK) {
        fail_msg("%s", fault.text);
    }
    struct rr_hash32 digest = kit_digest(&result);
    rr_transcode_result_clear(&result);
    return digest;
}

static struct rr_transcode_job *open_job(const char *folder, int fd)
{
    struct rr_transcode_job *job = NULL;
    struct rr_transcode_options options = small(folder);
    struct rr_fault fault = {0};
    if (rr_transcode_open(&job, fd, &options, NULL, &fault) != RR_OK) {
        fail_msg("%s", fault.text);
    }
    return job;
}

/* cmocka hands over the clip's name. Shards are made last first, a few in a first life of the
 * coordinator, the others in a second. */
static void shards_give_the_bytes_of_one_piece(void **state)
{
    const char *clip = clip_or_skip(*state);
    size_t count = 0;
    struct rr_hash32 expected = whole(clip);
    int fd = open(clip, O_RDONLY | O_CLOEXEC);
    assert_int_equal(rr_remove_tree(kit_path("cut"), NULL), RR_OK);
    struct rr_transcode_job *job = open_job(kit_path("cut"), fd);
    (void)rr_transcode_shards(job, &count);
    assert_true(count >= 6);
    assert_int_equal(make_all(job, fd, 3), 3);
    rr_transcode_close(job);
    job = open_job(kit_path("cut"), fd);
    unsigned rest = make_all(job, fd, UINT32_MAX);
    assert_true(rest >= count - 3 || strstr(clip, "corrupt") != NULL);
    struct rr_hash32 found = finish(job);
    assert_memory_equal(&found, &expected, sizeof found);
    rr_transcode_close(job);
    job = open_job(kit_path("cut"), fd);
    assert_int_equal(make_all(job, fd, UINT32_MAX), 0);
    rr_transcode_close(job);
    close(fd);
}

static struct rr_hash32 file_digest(const char *path)
{
    struct rr_buf bytes = {0};
    struct rr_hash32 digest;
    assert_int_equal(rr_file_read(&bytes, path, 1u << 30, NULL), RR_OK);
    rr_hash(&digest, "rr.test", rr_buf_slice(&bytes));
    rr_buf_clear(&bytes);
    return digest;
}

/* From its own start, from that of the shard two before, and from packet 0. */
static void where_a_shard_is_begun_changes_no_byte(void **state)
{
    const char *clip = clip_or_skip(*state);
    int fd = open(clip, O_RDONLY | O_CLOEXEC);
    size_t count = 0;
    uint32_t tried = UINT32_MAX;
    assert_int_equal(rr_remove_tree(kit_path("begin"), NULL), RR_OK);
    struct rr_transcode_job *job = open_job(kit_path("begin"), fd);
    const struct rr_transcode_shard *shards = rr_transcode_shards(job, &count);
    struct rr_transcode_shard shard = shards[4];
    make(kit_path("part"), fd, job, &shard);
    struct rr_hash32 expected = file_digest(kit_path("part"));
    for (size_t i = 4; i < 5; i -= 2) {
        shard.packet_first = shards[i].packet_first;
        if (shard.packet_first != tried) {
            tried = shard.packet_first;
            make(kit_path("part"), fd, job, &shard);
            struct rr_hash32 found = file_digest(kit_path("part"));
            assert_memory_equal(&found, &expected, sizeof found);
        }
    }
    assert_int_equal(tried, 0);
    rr_transcode_close(job);
    close(fd);
}

static void a_job_begun_in_one_piece_goes_on_in_shards(void **state)
{
    (void)state;
    char clip[RR_PATH_BYTES], name[32];
    snprintf(clip, sizeof clip, "%s", clip_or_skip("bbb_480p_vfr_10s.mp4"));
    size_t count = 0;
    struct rr_hash32 expected = whole(clip);
    int fd = open(clip, O_RDONLY | O_CLOEXEC);
    /* As if it had been killed with three GOPs and a half done. */
    for (unsigned gop = 3; gop < 12; gop++) {
        for (unsigned rung = gop == 3 ? 1 : 0; rung < 2; rung++) {
            snprintf(name, sizeof name, "whole/" TRANSCODE_CODED_RECORD, rung, gop);
            unlink(kit_path(name));
        }
    }
    unlink(kit_path("whole/end"));
    unlink(kit_path("whole/gop-000005"));
    struct rr_transcode_job *job = open_job(kit_path("whole"), fd);
    const struct rr_transcode_shard *shards = rr_transcode_shards(job, &count);
    assert_true(shards[0].done && shards[2].done && !shards[3].done && !shards[4].done);
    assert_true(make_all(job, fd, UINT32_MAX) >= 5);
    struct rr_hash32 found = finish(job);
    assert_memory_equal(&found, &expected, sizeof found);
    rr_transcode_close(job);
    close(fd);
}

static void count_progress(void *ctx, const struct rr_transcode_progress *progress)
{
    double *last = ctx;
    assert_true(progress->percent >= *last);
    *last = progress->percent;
}

/* "3 of 3 parts are made here", and then: transcode_shard.c: RR_CHECK(err != RR_OK || whole). */
static void what_no_rig_has_made_is_made_here(void **state)
{
    (void)state;
    char clip[RR_PATH_BYTES];
    snprintf(clip, sizeof clip, "%s", clip_or_skip("bbb_480p_vfr_10s.mp4"));
    size_t count = 0;
    double last = 0;
    atomic_bool cancel = false;
    struct rr_hash32 expected = whole(clip);
    int fd = open(clip, O_RDONLY | O_CLOEXEC);
    struct rr_transcode_job *job = NULL;
    struct rr_transcode_options options = small(kit_path("alone"));
    struct rr_transcode_result result = {0};
    struct rr_fault fault = {0};
    assert_int_equal(rr_remove_tree(kit_path("alone"), NULL), RR_OK);
    assert_int_equal(rr_transcode_open(&job, fd, &options, &cancel, &fault), RR_OK);
    atomic_store(&cancel, true);
    assert_int_equal(rr_transcode_finish(job, &result, NULL, NULL, &fault), RR_ERR_CANCELLED);
    atomic_store(&cancel, false);
    (void)rr_transcode_shards(job, &count);
    assert_int_equal(make_all(job, fd, 2), 2);
    if (rr_transcode_finish(job, &result, count_progress, &last, &fault) != RR_OK) {
        fail_msg("%s", fault.text);
    }
    for (size_t i = 0; i < count; i++) {
        assert_true(rr_transcode_shards(job, &count)[i].done);
    }
    struct rr_hash32 found = kit_digest(&result);
    assert_memory_equal(&found, &expected, sizeof found);
    assert_true(last > 50);
    rr_transcode_result_clear(&result);
    rr_transcode_close(job);
    close(fd);
}

/* Every byte of a part decides something that is checked, but for damage that a rig only says. */
static void a_part_with_a_changed_byte_is_refused(void **state)
{
    (void)state;
    const char *clip = clip_or_skip("bbb_480p24_vp9_opus_8s.webm");
    int fd = open(clip, O_RDONLY | O_CLOEXEC);
    struct rr_buf part = {0};
    struct rr_fault fault = {0};
    size_t count = 0;
    assert_int_equal(rr_remove_tree(kit_path("bad"), NULL), RR_OK);
    struct rr_transcode_job *job = open_job(kit_path("bad"), fd);
    const struct rr_transcode_shard *shards = rr_transcode_shards(job, &count);
    make(kit_path("part"), fd, job, &shards[0]);
    assert_int_equal(rr_file_read(&part, kit_path("part"), 1u << 30, NULL), RR_OK);
    for (size_t i = 0; i < 400; i++) {
        size_t at = i < 200 ? i : part.len * (i - 200) / 200;
        if (at >= 9 && at < 13) {
            continue; /* bad_from */
        }
        part.ptr[at] ^= 0x55;
        assert_int_equal(rr_file_write(kit_path("spoiled"), rr_buf_slice(&part), 0600, NULL),
                         RR_OK);
        enum rr_err err = rr_transcode_take(job, 0, kit_path("spoiled"), false, &fault);
        part.ptr[at] ^= 0x55;
        /* Whether a picture was concealed, and what was unclean, is told by the rig alone. */
        if (err != RR_ERR_TRUST && !(err == RR_OK && at < 100)) {
            fail_msg("byte %zu of %zu: %s", at, part.len, rr_err_text(err));
        }
    }
    for (size_t len = 0; len < part.len; len += 1 + part.len / 50) {
        struct rr_slice cut = rr_slice_of(part.ptr, len);
        assert_int_equal(rr_file_write(kit_path("spoiled"), cut, 0600, NULL), RR_OK);
        assert_int_equal(rr_transcode_take(job, 0, kit_path("spoiled"), false, &fault),
                         RR_ERR_TRUST);
    }
    /* What belongs to another shard is none of this one. */
    assert_int_equal(rr_transcode_take(job, 1, kit_path("part"), false, &fault), RR_ERR_TRUST);
    assert_int_equal(rr_transcode_take(job, 0, kit_path("part"), true, &fault), RR_OK);
    rr_buf_clear(&part);
    rr_transcode_close(job);
    close(fd);
}

/* A whole, well-formed part that was made with another quality. */
static void a_spot_check_finds_what_no_digest_can(void **state)
{
    (void)state;
    const char *clip = clip_or_skip("bbb_480p24_vp9_opus_8s.webm");
    int fd = open(clip, O_RDONLY | O_CLOEXEC);
    struct rr_transcode_options cheap = small(kit_path("cheap"));
    struct rr_transcode_job *liar = NULL;
    struct rr_fault fault = {0};
    size_t count = 0;
    cheap.crf = 45;
    assert_int_equal(rr_transcode_open(&liar, fd, &cheap, NULL, NULL), RR_OK);
    struct rr_transcode_job *job = open_job(kit_path("honest"), fd);
    const struct rr_transcode_shard *shards = rr_transcode_shards(job, &count);
    make(kit_path("part"), fd, liar, &shards[2]);
    assert_int_equal(rr_transcode_take(job, 2, kit_path("part"), true, &fault), RR_ERR_TRUST);
    assert_false(rr_transcode_shards(job, &count)[2].done);
    make(kit_path("part"), fd, job, &shards[2]);
    assert_int_equal(rr_transcode_take(job, 2, kit_path("part"), true, &fault), RR_OK);
    rr_transcode_close(job);
    rr_transcode_close(liar);
    close(fd);
}

static void a_hostile_plan_is_refused(void **state)
{
    (void)state;
    const char *clip = clip_or_skip("nasa_13013.mp4");
    int fd = open(clip, O_RDONLY | O_CLOEXEC);
    struct rr_transcode_job *job = open_job(kit_path("plan"), fd);
    struct rr_transcode_options options = {.worker_path = KIT_WORKER, .workers = 1};
    size_t count = 0;
    struct rr_transcode_shard shard = rr_transcode_shards(job, &count)[0];
    struct rr_slice plan = rr_transcode_plan(job);
    options.job_folder = kit_path("scratch");
    for (size_t len = 0; len < plan.len; len++) {
        enum rr_err err = rr_transcode_range(kit_path("part"), fd, rr_slice_of(plan.ptr, len),
                                             &shard, &options, NULL, NULL);
        assert_true(err == RR_ERR_FORMAT || err == RR_ERR_UNSUPPORTED);
    }
    shard.cell_end = shard.cell_first;
    assert_int_equal(rr_transcode_range(kit_path("part"), fd, plan, &shard, &options, NULL, NULL),
                     RR_ERR_FORMAT);
    rr_transcode_close(job);
    close(fd);
}

int main(void)
{
    struct CMUnitTest tests[RR_COUNT(clips) * 2 + 6];
    size_t count = 0;
    size_t most = getenv("RR_FULL") != NULL    ? RR_COUNT(clips)
                  : getenv("RR_SHORT") != NULL ? 2
                                               : USUAL_CLIPS;
    for (size_t i = 0; i < most; i++) {
        union {
            const char *in;
            void *out;
        } clip = {.in = clips[i]};
        tests[count++] =
            (struct CMUnitTest){clips[i], shards_give_the_bytes_of_one_piece, NULL, NULL, clip.out};
        if (strstr(clips[i], "corrupt") == NULL) {
            tests[count++] = (struct CMUnitTest){clips[i], where_a_shard_is_begun_changes_no_byte,
                                                 NULL, NULL, clip.out};
        }
    }
    tests[count++] =
        (struct CMUnitTest)cmocka_unit_test(a_job_begun_in_one_piece_goes_on_in_shards);
    tests[count++] = (struct CMUnitTest)cmocka_unit_test(what_no_rig_has_made_is_made_here);
    tests[count++] = (struct CMUnitTest)cmocka_unit_test(a_part_with_a_changed_byte_is_refused);
    tests[count++] = (struct CMUnitTest)cmocka_unit_test(a_spot_check_finds_what_no_digest_can);
    tests[count++] = (struct CMUnitTest)cmocka_unit_test(a_hostile_plan_is_refused);
    if (kit_clip("car-detection.mp4") == NULL) {
        return 77; /* no clips on this machine */
    }
    return _cmocka_run_group_tests("shards", tests, count, kit_begin, kit_end);
}

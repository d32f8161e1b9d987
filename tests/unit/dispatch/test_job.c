/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The coordinator over queues and rigs that lie, lose, double and fail: the same bytes, or one
 * sentence. */
#include "../transcode/kit.h"
#include "dispatch/dispatch.h"

#define CLIP "bbb_480p24_vp9_opus_8s.webm"

static unsigned shards; /* of the job, the sound last; the first test counts them */

/* Between the coordinator and the queue of threads. */
struct rogue {
    struct rr_dispatch_queue inner;
    unsigned lose;  /* offers that nobody gets, at first */
    unsigned spoil; /* parts of rig "liar" with another byte, at first */
    unsigned fail;  /* answers that are failures, at first */
    bool sound;     /* only the sound is spoiled */
    bool opus;      /* sound that no rig is to make */
    bool sounded;   /* it was offered */
    bool empty;     /* the pictures of the last seconds are said to be none */
    bool doubling;  /* each answer comes twice */
    bool again;
    struct rr_dispatch_answer last;
    char copy[RR_PATH_BYTES];
    bool lost[64];
    unsigned offers, refused, cancelled_at;
    atomic_bool cancel;
};

static enum rr_err rogue_begin(void *ctx, const struct rr_dispatch_job *job, struct rr_fault *fault)
{
    struct rogue *rogue = ctx;
    snprintf(rogue->copy, sizeof rogue->copy, "%.3000s/copy", job->folder);
    return rogue->inner.ops->begin(rogue->inner.ctx, job, fault);
}

static enum rr_err rogue_offer(void *ctx, const struct rr_dispatch_task *task, bool fresh,
                               struct rr_fault *fault)
{
    struct rogue *rogue = ctx;
    rogue->offers++;
    rogue->sounded |= task->shard.sound;
    rogue->lost[task->number % 64] = false;
    if (rogue->lose > 0) {
        rogue->lose--;
        rogue->lost[task->number % 64] = true;
        return RR_OK;
    }
    return rogue->inner.ops->offer(rogue->inner.ctx, task, fresh, fault);
}

static void spoil(const char *path)
{
    struct rr_buf bytes = {0};
    assert_int_equal(rr_file_read(&bytes, path, 1u << 30, NULL), RR_OK);
    bytes.ptr[bytes.len - 1] ^= 1;
    assert_int_equal(rr_file_write(path, rr_buf_slice(&bytes), 0600, NULL), RR_OK);
    rr_buf_clear(&bytes);
}

/* A part as a rig would give that found no picture (transcode_shard.h). */
static void empty(const char *path)
{
    struct rr_buf bytes = {0};
    assert_int_equal(rr_file_read(&bytes, path, 1u << 30, NULL), RR_OK);
    struct rr_reader reader = rr_reader_of(rr_buf_slice(&bytes));
    uint32_t version = rr_read_u32(&reader);
    bytes.len = 0;
    rr_write_u32(&bytes, version);
    rr_write_u8(&bytes, 0);
    rr_write_u32(&bytes, 0);
    rr_write_u32(&bytes, UINT32_MAX);
    assert_int_equal(rr_file_write(path, rr_buf_slice(&bytes), 0600, NULL), RR_OK);
    rr_buf_clear(&bytes);
}

static void copy(const char *to, const char *from)
{
    struct rr_buf bytes = {0};
    assert_int_equal(rr_file_read(&bytes, from, 1u << 30, NULL), RR_OK);
    assert_int_equal(rr_file_write(to, rr_buf_slice(&bytes), 0600, NULL), RR_OK);
    rr_buf_clear(&bytes);
}

static enum rr_err rogue_next(void *ctx, struct rr_dispatch_answer *out, char path[RR_PATH_BYTES],
                              bool *got, unsigned timeout_ms, struct rr_fault *fault)
{
    struct rogue *rogue = ctx;
    if (rogue->again) {
        rogue->again = false;
        *out = rogue->last;
        memcpy(path, rogue->copy, RR_PATH_BYTES);
        *got = true;
        return RR_OK;
    }
    enum rr_err err = rogue->inner.ops->next(rogue->inner.ctx, out, path, got, timeout_ms, fault);
    if (err != RR_OK || !*got || out->code != RR_OK) {
        return err;
    }
    if (rogue->empty && out->number == shards - 3) {
        rogue->empty = false;
        snprintf(out->rig, sizeof out->rig, "liar");
        empty(path);
    } else if (rogue->spoil > 0 && (!rogue->sound || out->number == shards - 1)) {
        rogue->spoil--;
        snprintf(out->rig, sizeof out->rig, "liar");
        spoil(path);
    } else if (rogue->fail > 0) {
        rogue->fail--;
        out->code = RR_ERR_FULL;
        snprintf(out->text, sizeof out->text, "no space left");
        unlink(path);
    } else if (rogue->doubling) {
        rogue->again = true;
        rogue->last = *out;
        copy(rogue->copy, path);
    }
    return RR_OK;
}

static void rogue_accept(void *ctx, const struct rr_dispatch_answer *answer, bool holds)
{
    struct rogue *rogue = ctx;
    rogue->refused += holds ? 0 : 1;
    rogue->inner.ops->accept(rogue->inner.ctx, answer, holds);
    if (holds && rogue->cancelled_at > 0 && --rogue->cancelled_at == 0) {
        atomic_store(&rogue->cancel, true);
    }
}

static bool rogue_alive(void *ctx, const struct rr_dispatch_task *task)
{
    return !((struct rogue *)ctx)->lost[task->number % 64];
}

static int rogue_tell(void *ctx, uint32_t done, double percent)
{
    (void)ctx;
    assert_true(done <= 64 && percent >= 0 && percent <= 100);
    return 1;
}

static void rogue_end(void *ctx, bool done, bool cancelled)
{
    struct rogue *rogue = ctx;
    rogue->inner.ops->end(rogue->inner.ctx, done, cancelled);
}

static const struct rr_dispatch_ops rogue_ops = {rogue_begin, rogue_offer, rogue_next, rogue_accept,
                                                 rogue_alive, rogue_tell,  rogue_end};

static char clip[RR_PATH_BYTES];
static struct rr_hash32 expected, expected_opus;

static struct rr_transcode_options small(const char *folder)
{
    struct rr_transcode_options options = kit_options("120", 1);
    options.preset = "ultrafast";
    options.job_folder = folder;
    return options;
}

static int first_run(void **state)
{
    struct rr_transcode_options options = small(NULL);
    struct rr_transcode_result result = {0};
    const char *found = kit_clip(CLIP);
    if (kit_begin(state) != 0 || found == NULL) {
        return 1;
    }
    snprintf(clip, sizeof clip, "%s", found);
    assert_int_equal(kit_job(&result, clip, "alone", &options, NULL), RR_OK);
    expected = kit_digest(&result);
    rr_transcode_result_clear(&result);
    options.audio_codec = RR_AUDIO_OPUS;
    assert_int_equal(kit_job(&result, clip, "alone-opus", &options, NULL), RR_OK);
    expected_opus = kit_digest(&result);
    rr_transcode_result_clear(&result);
    return 0;
}

static enum rr_err run(struct rogue *rogue, const char *folder, struct rr_fault *fault)
{
    char path[RR_PATH_BYTES];
    snprintf(path, sizeof path, "%s", kit_path(folder));
    struct rr_transcode_options options = small(path);
    struct rr_transcode_result result = {0};
    options.audio_codec = rogue->opus ? RR_AUDIO_OPUS : RR_AUDIO_AAC;
    struct rr_dispatch_local *local = rr_dispatch_local_new(2);
    struct rr_dispatch_run how = {.queue = {.ops = &rogue_ops, .ctx = rogue}, .title = "clip"};
    int fd = open(clip, O_RDONLY | O_CLOEXEC);
    rogue->inner = rr_dispatch_local_queue(local);
    enum rr_err err =
        rr_dispatch_make(&how, &result, fd, &options, NULL, NULL, &rogue->cancel, fault);
    if (err == RR_OK) {
        struct rr_hash32 digest = kit_digest(&result);
        assert_memory_equal(&digest, rogue->opus ? &expected_opus : &expected, sizeof digest);
    }
    rr_transcode_result_clear(&result);
    rr_dispatch_local_free(local);
    close(fd);
    return err;
}

static void threads_of_one_rig_give_the_same_bytes(void **state)
{
    struct rogue rogue = {0};
    struct rr_fault fault = {0};
    (void)state;
    if (run(&rogue, "plain", &fault) != RR_OK) {
        fail_msg("%s", fault.text);
    }
    shards = rogue.offers;
    assert_true(shards >= 5 && rogue.refused == 0);
}

static void lost_tasks_are_offered_again_and_doubled_answers_count_once(void **state)
{
    struct rogue rogue = {.lose = 2, .doubling = true};
    (void)state;
    assert_int_equal(run(&rogue, "lost", NULL), RR_OK);
    assert_true(rogue.offers >= shards + 2);
    assert_true(rogue.refused >= shards - 1);
}

static void a_wrong_part_goes_to_another_and_its_rig_gets_no_more(void **state)
{
    struct rogue rogue = {.spoil = 2, .fail = 1};
    (void)state;
    assert_int_equal(run(&rogue, "wrong", NULL), RR_OK);
    assert_int_equal(rogue.refused, 3);
    assert_int_equal(rogue.offers, shards + 3);
}

static void spoiled_sound_is_found(void **state)
{
    struct rogue rogue = {.spoil = 1, .sound = true};
    (void)state;
    assert_int_equal(run(&rogue, "sound", NULL), RR_OK);
    assert_int_equal(rogue.refused, 1);
    assert_int_equal(rogue.offers, shards + 1);
}

static void sound_that_depends_on_the_processor_is_made_here(void **state)
{
    struct rogue rogue = {.opus = true}, plain = {0};
    (void)state;
    assert_int_equal(run(&rogue, "opus", NULL), RR_OK);
    assert_false(rogue.sounded);
    assert_int_equal(run(&plain, "aac", NULL), RR_OK);
    assert_true(plain.sounded);
}

static void a_film_is_not_cut_short(void **state)
{
    struct rogue rogue = {.empty = true};
    struct rr_fault fault = {0};
    (void)state;
    if (run(&rogue, "short", &fault) != RR_OK) {
        fail_msg("%s", fault.text);
    }
    assert_int_equal(rogue.refused, 1);
    assert_int_equal(rogue.offers, shards + 1);
}

static void a_shard_that_fails_everywhere_ends_the_job_with_its_sentence(void **state)
{
    struct rogue rogue = {.fail = 1000};
    struct rr_fault fault = {0};
    (void)state;
    assert_int_equal(run(&rogue, "poison", &fault), RR_ERR_DAMAGED);
    assert_non_null(strstr(fault.text, "given up after 5 rigs"));
    assert_non_null(strstr(fault.text, "no space left"));
}

static void a_cancelled_job_goes_on_where_it_was(void **state)
{
    struct rogue rogue = {.cancelled_at = 2}, rest = {0};
    (void)state;
    assert_int_equal(run(&rogue, "cancelled", NULL), RR_ERR_CANCELLED);
    assert_int_equal(run(&rest, "cancelled", NULL), RR_OK);
    assert_true(rest.offers <= shards - 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(threads_of_one_rig_give_the_same_bytes),
        cmocka_unit_test(lost_tasks_are_offered_again_and_doubled_answers_count_once),
        cmocka_unit_test(a_wrong_part_goes_to_another_and_its_rig_gets_no_more),
        cmocka_unit_test(spoiled_sound_is_found),
        cmocka_unit_test(sound_that_depends_on_the_processor_is_made_here),
        cmocka_unit_test(a_film_is_not_cut_short),
        cmocka_unit_test(a_shard_that_fails_everywhere_ends_the_job_with_its_sentence),
        cmocka_unit_test(a_cancelled_job_goes_on_where_it_was),
    };
    if (kit_clip(CLIP) == NULL) {
        return 77; /* no clips on this machine */
    }
    return cmocka_run_group_tests(tests, first_run, kit_end);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "crypto/crypto.h"
#include "dispatch/dispatch.h"
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
/* after setjmp and stdarg */
#include <cmocka.h>

static char folder[64];

static int begin(void **state)
{
    (void)state;
    rr_crypto_init();
    rr_log_set_level(RR_LOG_ERROR);
    snprintf(folder, sizeof folder, "/tmp/rr-dispatch-XXXXXX");
    return mkdtemp(folder) != NULL ? 0 : 1;
}

static int end(void **state)
{
    (void)state;
    return rr_remove_tree(folder, NULL) == RR_OK ? 0 : 1;
}

static void sample(struct rr_dispatch_task *task)
{
    *task = (struct rr_dispatch_task){
        .source_bytes = 123456789,
        .number = 7,
        .revision = 1,
        .attempt = 2,
        .shard = {.cell_first = 8, .cell_end = UINT32_MAX, .packet_first = 250, .cost = 1ull << 40},
        .avoid = {"rig-1", "rig_2"},
        .avoid_count = 2};
    memset(task->job.bytes, 1, 32);
    memset(task->source.bytes, 2, 32);
    rr_buf_append(&task->plan, "a plan", 6);
}

static void a_task_comes_back_as_it_went(void **state)
{
    struct rr_dispatch_task task, back;
    struct rr_buf bytes = {0}, again = {0};
    (void)state;
    sample(&task);
    rr_dispatch_task_write(&bytes, &task);
    assert_int_equal(rr_dispatch_task_read(&back, rr_buf_slice(&bytes), NULL), RR_OK);
    rr_dispatch_task_write(&again, &back);
    assert_true(rr_slice_equal(rr_buf_slice(&bytes), rr_buf_slice(&again)));
    assert_string_equal(back.avoid[1], "rig_2");
    assert_int_equal(back.shard.cost, 1ull << 40);
    rr_dispatch_task_clear(&back);
    for (size_t len = 0; len < bytes.len; len++) {
        assert_int_equal(rr_dispatch_task_read(&back, rr_slice_of(bytes.ptr, len), NULL),
                         RR_ERR_FORMAT);
    }
    rr_write_u8(&bytes, 0);
    assert_int_equal(rr_dispatch_task_read(&back, rr_buf_slice(&bytes), NULL), RR_ERR_FORMAT);
    rr_dispatch_task_clear(&task);
    rr_buf_clear(&bytes);
    rr_buf_clear(&again);
}

/* What is still read after a flip is written again to the same bytes. */
static void a_changed_bit_is_refused_or_is_another_task(void **state)
{
    struct rr_dispatch_task task, back;
    struct rr_buf bytes = {0}, again = {0};
    (void)state;
    sample(&task);
    rr_dispatch_task_write(&bytes, &task);
    for (size_t bit = 0; bit < bytes.len * 8; bit++) {
        bytes.ptr[bit / 8] ^= (uint8_t)(1u << bit % 8);
        if (rr_dispatch_task_read(&back, rr_buf_slice(&bytes), NULL) == RR_OK) {
            again.len = 0;
            rr_dispatch_task_write(&again, &back);
            assert_true(rr_slice_equal(rr_buf_slice(&bytes), rr_buf_slice(&again)));
            rr_dispatch_task_clear(&back);
        }
        bytes.ptr[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    rr_dispatch_task_clear(&task);
    rr_buf_clear(&bytes);
    rr_buf_clear(&again);
}

static void an_answer_comes_back_as_it_went_and_its_text_is_clean(void **state)
{
    struct rr_dispatch_answer answer = {.number = 3,
                                        .revision = 1,
                                        .attempt = 9,
                                        .rig = "rig-a",
                                        .code = RR_ERR_FULL,
                                        .text = "no space left",
                                        .bytes = 5,
                                        .pieces = 1};
    struct rr_dispatch_answer back;
    struct rr_buf bytes = {0};
    (void)state;
    rr_dispatch_answer_write(&bytes, &answer);
    assert_int_equal(rr_dispatch_answer_read(&back, rr_buf_slice(&bytes), NULL), RR_OK);
    assert_string_equal(back.text, answer.text);
    assert_int_equal(back.code, RR_ERR_FULL);
    for (size_t len = 0; len < bytes.len; len++) {
        assert_int_equal(rr_dispatch_answer_read(&back, rr_slice_of(bytes.ptr, len), NULL),
                         RR_ERR_FORMAT);
    }
    bytes.len = 0;
    answer.text[2] = '\n';
    rr_dispatch_answer_write(&bytes, &answer);
    assert_int_equal(rr_dispatch_answer_read(&back, rr_buf_slice(&bytes), NULL), RR_ERR_FORMAT);
    bytes.len = 0;
    answer.text[2] = ' ';
    snprintf(answer.rig, sizeof answer.rig, "../rig");
    rr_dispatch_answer_write(&bytes, &answer);
    assert_int_equal(rr_dispatch_answer_read(&back, rr_buf_slice(&bytes), NULL), RR_ERR_FORMAT);
    rr_buf_clear(&bytes);
}

static void names_fit_subjects_and_paths(void **state)
{
    char longest[RR_DISPATCH_NAME_MAX + 2];
    (void)state;
    memset(longest, 'x', sizeof longest);
    longest[RR_DISPATCH_NAME_MAX + 1] = '\0';
    assert_false(rr_dispatch_name_good(longest));
    longest[RR_DISPATCH_NAME_MAX] = '\0';
    assert_true(rr_dispatch_name_good(longest));
    assert_true(rr_dispatch_name_good("Rig-07_b"));
    assert_false(rr_dispatch_name_good(""));
    assert_false(rr_dispatch_name_good("a.b"));
    assert_false(rr_dispatch_name_good("a*"));
    assert_false(rr_dispatch_name_good("a/b"));
}

/* ---- the cache ---- */

struct origin {
    struct rr_buf bytes;
    struct rr_hash32 digest;
    unsigned asked;
    bool lies;
};

static struct origin origin_of(size_t len, uint8_t fill)
{
    struct origin origin = {0};
    char path[128];
    uint64_t bytes = 0;
    rr_buf_reserve(&origin.bytes, len);
    memset(origin.bytes.ptr, fill, len);
    origin.bytes.len = len;
    snprintf(path, sizeof path, "%s/origin", folder);
    assert_int_equal(rr_file_write(path, rr_buf_slice(&origin.bytes), 0600, NULL), RR_OK);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_int_equal(rr_dispatch_source_digest(&origin.digest, &bytes, fd, NULL, NULL), RR_OK);
    assert_int_equal(bytes, len);
    close(fd);
    return origin;
}

static enum rr_err fetch(void *ctx, uint8_t *out, uint64_t offset, size_t len,
                         struct rr_fault *fault)
{
    struct origin *origin = ctx;
    (void)fault;
    origin->asked++;
    assert_true(offset + len <= origin->bytes.len);
    memcpy(out, origin->bytes.ptr + offset, len);
    out[0] ^= origin->lies ? 1 : 0;
    return RR_OK;
}

static enum rr_err get(struct rr_dispatch_cache *cache, struct origin *origin)
{
    int fd = -1;
    uint8_t first = 0;
    enum rr_err err = rr_dispatch_cache_get(cache, &fd, &origin->digest, origin->bytes.len, 1000,
                                            fetch, origin, NULL, NULL);
    if (err == RR_OK) {
        assert_int_equal(rr_pread_full(fd, &first, 1, 0, NULL), RR_OK);
        assert_int_equal(first, origin->bytes.ptr[0]);
        close(fd);
    }
    return err;
}

static void a_source_is_fetched_once_checked_and_makes_room(void **state)
{
    char path[128], hex[65], file[256];
    struct rr_dispatch_cache *cache = NULL, *second = NULL;
    struct origin a = origin_of(2500, 'a'), b = origin_of(2500, 'b'), c = origin_of(2500, 'c');
    struct origin large = origin_of(7000, 'd');
    (void)state;
    snprintf(path, sizeof path, "%s/cache", folder);
    assert_int_equal(rr_dispatch_cache_open(&cache, path, 6000, NULL), RR_OK);
    assert_int_equal(rr_dispatch_cache_open(&second, path, 6000, NULL), RR_ERR_BUSY);
    assert_int_equal(get(cache, &a), RR_OK);
    assert_int_equal(get(cache, &a), RR_OK);
    assert_int_equal(a.asked, 3);
    b.lies = true;
    assert_int_equal(get(cache, &b), RR_ERR_TRUST);
    b.lies = false;
    assert_int_equal(get(cache, &b), RR_OK);
    assert_int_equal(get(cache, &large), RR_ERR_LIMIT);
    usleep(20000);
    assert_int_equal(get(cache, &a), RR_OK);
    assert_int_equal(get(cache, &c), RR_OK); /* b was the longest unused */
    assert_int_equal(get(cache, &a), RR_OK);
    assert_int_equal(a.asked, 3);
    b.asked = 0;
    assert_int_equal(get(cache, &b), RR_OK);
    assert_int_equal(b.asked, 3);
    /* A file that a disk spoiled is fetched again. */
    rr_hex(hex, b.digest.bytes, 32);
    snprintf(file, sizeof file, "%s/%s", path, hex);
    assert_int_equal(truncate(file, 10), 0);
    assert_int_equal(get(cache, &b), RR_OK);
    assert_int_equal(b.asked, 6);
    rr_dispatch_cache_close(cache);
    rr_buf_clear(&a.bytes);
    rr_buf_clear(&b.bytes);
    rr_buf_clear(&c.bytes);
    rr_buf_clear(&large.bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_task_comes_back_as_it_went),
        cmocka_unit_test(a_changed_bit_is_refused_or_is_another_task),
        cmocka_unit_test(an_answer_comes_back_as_it_went_and_its_text_is_clean),
        cmocka_unit_test(names_fit_subjects_and_paths),
        cmocka_unit_test(a_source_is_fetched_once_checked_and_makes_room),
    };
    return cmocka_run_group_tests(tests, begin, end);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "unit/base/unit.h"

static void numbers_are_little_endian_and_come_back(void **state)
{
    (void)state;
    struct rr_buf buf = {0};
    rr_write_u8(&buf, 0x01);
    rr_write_u16(&buf, 0x0302);
    rr_write_u32(&buf, 0x07060504);
    rr_write_u64(&buf, UINT64_C(0x0f0e0d0c0b0a0908));
    assert_int_equal(buf.len, 15);
    for (size_t i = 0; i < buf.len; i++) {
        assert_int_equal(buf.ptr[i], i + 1);
    }
    struct rr_reader reader = rr_reader_of(rr_buf_slice(&buf));
    assert_int_equal(rr_read_u8(&reader), 0x01);
    assert_int_equal(rr_read_u16(&reader), 0x0302);
    assert_int_equal(rr_read_u32(&reader), 0x07060504);
    assert_false(rr_reader_done(&reader));
    assert_true(rr_read_u64(&reader) == UINT64_C(0x0f0e0d0c0b0a0908));
    assert_true(rr_reader_done(&reader));
    assert_true(rr_load_u64le(buf.ptr + 7) == UINT64_C(0x0f0e0d0c0b0a0908));
    rr_buf_clear(&buf);
    assert_null(buf.ptr);
}

static void a_read_past_the_end_sticks_and_gives_zeros(void **state)
{
    (void)state;
    static const uint8_t bytes[5] = {1, 2, 3, 4, 5};
    struct rr_reader reader = rr_reader_of(rr_slice_of(bytes, sizeof bytes));
    uint8_t out[6];
    memset(out, 0xaa, sizeof out);
    assert_int_equal(rr_read_u32(&reader), 0x04030201);
    assert_int_equal(rr_read_u16(&reader), 0);
    assert_true(reader.failed);
    assert_int_equal(rr_read_u8(&reader), 0); /* byte 5 is there, but the failure sticks */
    rr_read_bytes(&reader, out, sizeof out);
    for (size_t i = 0; i < sizeof out; i++) {
        assert_int_equal(out[i], 0);
    }
    assert_null(rr_read_slice(&reader, 0).ptr);
    assert_false(rr_reader_done(&reader));
}

static void every_truncation_of_a_record_fails(void **state)
{
    (void)state;
    struct rr_buf buf = {0};
    rr_write_var16(&buf, rr_slice_str("abc"));
    rr_write_var32(&buf, rr_slice_str("defgh"));
    rr_write_u16(&buf, 3);
    rr_write_u32(&buf, 4);
    for (size_t len = 0; len <= buf.len + 1; len++) {
        uint8_t *copy = rr_alloc(len); /* exact, so that a sanitizer sees a read beyond it */
        memcpy(copy, buf.ptr, len < buf.len ? len : buf.len);
        struct rr_reader reader = rr_reader_of(rr_slice_of(copy, len));
        (void)rr_read_var16(&reader, 3);
        (void)rr_read_var32(&reader, 5);
        (void)rr_read_count16(&reader, 3);
        (void)rr_read_count32(&reader, 4);
        assert_int_equal(rr_reader_done(&reader), len == buf.len);
        rr_free(copy);
    }
    rr_buf_clear(&buf);
}

static void counts_and_lengths_over_their_limit_fail(void **state)
{
    (void)state;
    static const uint8_t bytes[8] = {4, 0, 0, 0, 'a', 'b', 'c', 'd'};
    struct rr_slice all = rr_slice_of(bytes, sizeof bytes);
    struct rr_reader reader = rr_reader_of(all);
    assert_int_equal(rr_read_var32(&reader, 4).len, 4);
    assert_true(rr_reader_done(&reader));
    reader = rr_reader_of(all);
    assert_int_equal(rr_read_var32(&reader, 3).len, 0);
    assert_true(reader.failed);
    reader = rr_reader_of(all);
    assert_int_equal(rr_read_count16(&reader, 3), 0);
    assert_true(reader.failed);
    reader = rr_reader_of(all);
    assert_int_equal(rr_read_count32(&reader, 4), 4);
    assert_false(reader.failed);
}

static void hex_goes_both_ways_and_refuses_the_rest(void **state)
{
    (void)state;
    uint8_t bytes[3] = {0x00, 0x9f, 0xff};
    uint8_t back[3] = {0};
    char text[7];
    rr_hex(text, bytes, sizeof bytes);
    assert_string_equal(text, "009fff");
    assert_true(rr_unhex(back, 3, "009FfF"));
    assert_memory_equal(back, bytes, 3);
    static const char *const bad[] = {"",       "009ff",  "009fff0", "009fff00", "009ffg",
                                      "0x9fff", "009ff ", "009f:f",  "009f@f",   "009f`f"};
    for (size_t i = 0; i < RR_COUNT(bad); i++) {
        uint8_t kept[3] = {7, 7, 7};
        assert_false(rr_unhex(kept, 3, bad[i]));
        assert_int_equal(kept[0], 7);
    }
    assert_true(rr_unhex(NULL, 0, ""));
}

static void a_buffer_grows_and_keeps_what_it_has(void **state)
{
    (void)state;
    struct rr_buf buf = {0};
    struct rr_buf expected = {0};
    for (unsigned i = 0; i < 1000; i++) {
        rr_buf_format(&buf, "%u,", i);
        char text[16];
        int len = snprintf(text, sizeof text, "%u,", i);
        rr_buf_append(&expected, text, (size_t)len);
    }
    assert_true(rr_slice_equal(rr_buf_slice(&buf), rr_buf_slice(&expected)));
    expected.ptr[expected.len - 1] ^= 1;
    assert_false(rr_slice_equal(rr_buf_slice(&buf), rr_buf_slice(&expected)));
    assert_true(rr_slice_equal((struct rr_slice){0}, rr_slice_str("")));
    rr_buf_append(&buf, NULL, 0);
    rr_buf_clear(&buf);
    rr_buf_clear(&expected);
}

static void memory_comes_zeroed_and_aligned(void **state)
{
    (void)state;
    static const uint8_t zeros[200];
    for (size_t len = 0; len < sizeof zeros; len++) {
        uint8_t *plain = rr_alloc(len);
        uint8_t *aligned = rr_alloc_aligned(len);
        assert_memory_equal(plain, zeros, len);
        assert_memory_equal(aligned, zeros, len);
        assert_int_equal((uintptr_t)aligned % 64, 0);
        memset(plain, 0xff, len);
        memset(aligned, 0xff, len);
        rr_free(plain);
        rr_free(aligned);
    }
    char *copy = rr_strdup("text");
    assert_string_equal(copy, "text");
    rr_free(copy);
    rr_free(NULL);
}

static void hashes_compare_as_bytes(void **state)
{
    (void)state;
    struct rr_hash32 a = {{0}};
    struct rr_hash32 b = {{0}};
    assert_true(rr_hash32_is_zero(&a) && rr_hash32_equal(&a, &b));
    for (size_t i = 0; i < 32; i++) {
        b = a;
        b.bytes[i] = 1;
        assert_false(rr_hash32_is_zero(&b) || rr_hash32_equal(&a, &b));
        assert_true(rr_hash32_compare(&a, &b) < 0 && rr_hash32_compare(&b, &a) > 0);
    }
}

static void write_too_long(void)
{
    static uint8_t bytes[65536];
    struct rr_buf buf = {0};
    rr_write_var16(&buf, rr_slice_of(bytes, sizeof bytes));
}

static void overflow_array(void)
{
    rr_free(rr_alloc_array(SIZE_MAX / 2, 3));
}

static void our_own_bugs_abort(void **state)
{
    (void)state;
    assert_aborts(write_too_long);
    assert_aborts(overflow_array);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_are_little_endian_and_come_back),
        cmocka_unit_test(a_read_past_the_end_sticks_and_gives_zeros),
        cmocka_unit_test(every_truncation_of_a_record_fails),
        cmocka_unit_test(counts_and_lengths_over_their_limit_fail),
        cmocka_unit_test(hex_goes_both_ways_and_refuses_the_rest),
        cmocka_unit_test(a_buffer_grows_and_keeps_what_it_has),
        cmocka_unit_test(memory_comes_zeroed_and_aligned),
        cmocka_unit_test(hashes_compare_as_bytes),
        cmocka_unit_test(our_own_bugs_abort),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

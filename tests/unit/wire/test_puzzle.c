/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Puzzles: difficulties, boxes in segments, tags in playlists. Their round trips: test_formats.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "formats.h"

/* ---- difficulty ------------------------------------------------------------------------------ */

static struct rr_u256 power(unsigned bits)
{
    return rr_u256_shl(rr_u256_of(1), bits);
}

static void test_difficulty_exact(void **state)
{
    (void)state;
    for (unsigned bits = 0; bits < 256; bits++) {
        struct rr_puzzle_difficulty d;
        assert_true(rr_puzzle_difficulty_of(&d, power(bits)));
        assert_int_equal(rr_u256_compare(rr_puzzle_difficulty_value(d), power(bits)), 0);
        assert_true(d.exponent == 0 || d.mantissa >> 31 == 1);
    }
    for (uint64_t n = 1; n <= UINT32_MAX; n = n * 3 + 1) {
        struct rr_puzzle_difficulty d;
        assert_true(rr_puzzle_difficulty_of(&d, rr_u256_of(n)));
        assert_int_equal(rr_puzzle_difficulty_value(d).limb[0], n);
        assert_int_equal(d.exponent, 0);
    }
}

static void test_difficulty_below(void **state)
{
    (void)state;
    struct rr_prng prng;
    struct rr_puzzle_difficulty d;
    rr_prng_seed(&prng, 7);
    for (unsigned round = 0; round < 2000; round++) {
        struct rr_u256 wanted;
        for (unsigned i = 0; i < 4; i++) {
            wanted.limb[i] = rr_prng_u64(&prng);
        }
        wanted = rr_u256_shr(wanted, (unsigned)rr_prng_below(&prng, 255));
        if (rr_u256_is_zero(wanted)) {
            continue;
        }
        assert_true(rr_puzzle_difficulty_of(&d, wanted));
        struct rr_u256 value = rr_puzzle_difficulty_value(d);
        struct rr_u256 lost = rr_u256_sub(wanted, value, NULL);
        assert_true(rr_u256_compare(value, wanted) <= 0);
        assert_true(rr_u256_compare(lost, rr_u256_shr(wanted, 31)) <= 0);
    }
    assert_true(rr_puzzle_difficulty_of(&d, rr_u256_max()));
    assert_int_equal(d.mantissa, UINT32_MAX);
    assert_int_equal(d.exponent, RR_PUZZLE_EXPONENT_MAX);
    assert_false(rr_puzzle_difficulty_of(&d, rr_u256_of(0)));
}

static enum rr_err decode_difficulty(uint8_t kind, uint32_t mantissa, uint8_t exponent)
{
    struct source s = {.fixed = true};
    struct rr_buf bytes = {0};
    struct rr_puzzle puzzle;
    write_puzzle(&s, &bytes);
    bytes.ptr[1] = kind;
    for (unsigned i = 0; i < 4; i++) {
        bytes.ptr[10 + i] = (uint8_t)(mantissa >> 8 * i);
    }
    bytes.ptr[14] = exponent;
    enum rr_err err = rr_puzzle_decode(&puzzle, rr_buf_slice(&bytes), NULL);
    rr_buf_clear(&bytes);
    return err;
}

static void test_difficulty_forms(void **state)
{
    (void)state;
    assert_int_equal(decode_difficulty(1, 1, 0), RR_OK);
    assert_int_equal(decode_difficulty(1, UINT32_MAX, 224), RR_OK);
    assert_int_equal(decode_difficulty(1, 0, 0), RR_ERR_FORMAT);
    assert_int_equal(decode_difficulty(1, UINT32_MAX, 225), RR_ERR_FORMAT);
    assert_int_equal(decode_difficulty(1, 0x7fffffff, 1), RR_ERR_FORMAT);
    assert_int_equal(decode_difficulty(1, 0x80000000, 1), RR_OK);
    assert_int_equal(decode_difficulty(2, 1, 0), RR_OK);
    assert_int_equal(decode_difficulty(2, 2, 0), RR_ERR_FORMAT);
    assert_int_equal(decode_difficulty(0, 1, 0), RR_ERR_FORMAT);
    assert_int_equal(decode_difficulty(3, 1, 0), RR_ERR_FORMAT);
}

/* ---- boxes ----------------------------------------------------------------------------------- */

static void put_box(struct rr_buf *out, const char *type, const void *payload, size_t len)
{
    uint32_t size = (uint32_t)len + 8;
    for (int shift = 24; shift >= 0; shift -= 8) {
        rr_write_u8(out, (uint8_t)(size >> shift));
    }
    rr_buf_append(out, type, 4);
    rr_buf_append(out, payload, len);
}

static struct rr_buf make_file(void)
{
    struct rr_buf file = {0};
    put_box(&file, "styp", "msdh\0\0\0\0", 8);
    put_box(&file, "emsg", "\1\0\0\0--------------------https://aomedia.org/emsg/ID3\0\0x", 54);
    put_box(&file, "moof", "a fragment", 10);
    put_box(&file, "mdat", "pictures", 8);
    put_box(&file, "moof", "a fragment", 10);
    put_box(&file, "mdat", "pictures", 8);
    return file;
}

static void make_boxes(struct rr_puzzle_box *boxes, uint32_t count)
{
    struct source s = {0};
    rr_prng_seed(&s.prng, 11);
    for (uint32_t i = 0; i < count; i++) {
        boxes[i] = make_puzzle_box(&s);
    }
}

static void test_insert(void **state)
{
    (void)state;
    struct rr_puzzle_box boxes[RR_PUZZLES_A_SEGMENT + 1];
    struct rr_buf file = make_file(), filled = {0};
    struct rr_hash32 before, after, whole;
    struct rr_puzzle_scan scan;
    struct rr_fault fault = {0};
    make_boxes(boxes, RR_COUNT(boxes));
    rr_segment_digest(&before, rr_buf_slice(&file));
    for (uint32_t count = 0; count <= RR_PUZZLES_A_SEGMENT; count++) {
        filled.len = 0;
        assert_int_equal(rr_puzzle_insert(&filled, rr_buf_slice(&file), boxes, count, &fault),
                         RR_OK);
        assert_int_equal(rr_puzzle_scan(&scan, rr_buf_slice(&filled), &fault), RR_OK);
        assert_int_equal(scan.count, count);
        assert_int_equal(scan.unknown, 0);
        for (uint32_t i = 0; i < count; i++) {
            struct rr_buf ours = {0}, theirs = {0};
            rr_puzzle_box_encode(&ours, &boxes[i]);
            rr_puzzle_box_encode(&theirs, &scan.boxes[i]);
            assert_true(rr_slice_equal(rr_buf_slice(&ours), rr_buf_slice(&theirs)));
            rr_buf_clear(&ours);
            rr_buf_clear(&theirs);
        }
        rr_puzzle_segment_digest(&after, &scan);
        assert_true(rr_hash32_equal(&before, &after));
        rr_segment_digest(&whole, rr_buf_slice(&filled));
        assert_int_equal(rr_hash32_equal(&before, &whole), count == 0);
    }
    /* In front of the first fragment, behind what stood there before. */
    assert_memory_equal(filled.ptr, file.ptr, 16 + 62);
    assert_memory_equal(filled.ptr + 16 + 62 + 4, "emsg", 4);
    filled.len = 0;
    assert_int_equal(rr_puzzle_insert(&filled, rr_buf_slice(&file), boxes, RR_COUNT(boxes), &fault),
                     RR_ERR_LIMIT);
    rr_buf_clear(&file);
    rr_buf_clear(&filled);
}

static void test_insert_refused(void **state)
{
    (void)state;
    struct rr_puzzle_box box;
    struct rr_buf file = make_file(), once = {0}, out = {0}, bare = {0};
    struct rr_fault fault = {0};
    make_boxes(&box, 1);
    assert_int_equal(rr_puzzle_insert(&once, rr_buf_slice(&file), &box, 1, &fault), RR_OK);
    assert_int_equal(rr_puzzle_insert(&out, rr_buf_slice(&once), &box, 1, &fault), RR_ERR_FORMAT);
    put_box(&bare, "ftyp", "iso6", 4);
    assert_int_equal(rr_puzzle_insert(&out, rr_buf_slice(&bare), &box, 1, &fault), RR_ERR_FORMAT);
    assert_int_equal(rr_puzzle_insert(&out, rr_slice_of("", 0), &box, 1, &fault), RR_ERR_FORMAT);
    assert_int_equal(out.len, 0);
    rr_buf_clear(&file);
    rr_buf_clear(&once);
    rr_buf_clear(&bare);
}

/* Boxes of the scheme count as puzzles, known or not, wherever they stand at the top. */
static void test_scan_unknown(void **state)
{
    (void)state;
    struct rr_puzzle_box box;
    struct rr_buf file = {0}, one = {0}, plain = make_file();
    struct rr_puzzle_scan scan;
    struct rr_hash32 digest, expected;
    make_boxes(&box, 1);
    rr_puzzle_box_encode(&one, &box);
    rr_buf_append(&file, plain.ptr, plain.len);
    rr_buf_append(&file, one.ptr, one.len);
    one.ptr[one.len - RR_PUZZLE_BYTES] = 2; /* a version to come */
    rr_buf_append(&file, one.ptr, one.len);
    one.ptr[one.len - RR_PUZZLE_BYTES] = 1;
    one.ptr[one.len - 1] ^= 1; /* another contract than the box names */
    rr_buf_append(&file, one.ptr, one.len);
    put_box(&file, "emsg",
            "\0\0\0\0urn:reelrig:puzzle\0"
            "2\0----------------",
            40);
    assert_int_equal(rr_puzzle_scan(&scan, rr_buf_slice(&file), NULL), RR_OK);
    assert_int_equal(scan.count, 1);
    assert_int_equal(scan.unknown, 3);
    rr_puzzle_segment_digest(&digest, &scan);
    rr_segment_digest(&expected, rr_buf_slice(&plain));
    assert_true(rr_hash32_equal(&digest, &expected));
    rr_buf_clear(&file);
    rr_buf_clear(&one);
    rr_buf_clear(&plain);
}

static void test_scan_damaged(void **state)
{
    (void)state;
    struct rr_puzzle_box boxes[2];
    struct rr_buf file = make_file(), filled = {0};
    struct rr_puzzle_scan scan;
    struct rr_fault fault = {0};
    make_boxes(boxes, 2);
    assert_int_equal(rr_puzzle_insert(&filled, rr_buf_slice(&file), boxes, 2, &fault), RR_OK);
    unsigned whole = 0;
    for (size_t len = 0; len < filled.len; len++) {
        enum rr_err err = rr_puzzle_scan(&scan, rr_slice_of(filled.ptr, len), &fault);
        assert_true(err == RR_OK || err == RR_ERR_FORMAT);
        whole += err == RR_OK;
    }
    assert_int_equal(whole, 8); /* after each of the boxes but the last, and before all */
    for (size_t bit = 0; bit < 8 * filled.len; bit++) {
        filled.ptr[bit / 8] ^= (uint8_t)(1u << bit % 8);
        if (rr_puzzle_scan(&scan, rr_buf_slice(&filled), &fault) == RR_OK) {
            size_t plain = 0;
            for (uint32_t i = 0; i < scan.plain_count; i++) {
                plain += scan.plain[i].len;
            }
            assert_true(plain <= filled.len && scan.count <= 2);
        }
        filled.ptr[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    rr_buf_clear(&file);
    rr_buf_clear(&filled);
}

/* ---- playlists ------------------------------------------------------------------------------- */

static void test_playlist(void **state)
{
    (void)state;
    struct rr_segment segments[] = {{.duration = 48000}, {.duration = 48000}, {.duration = 24000}};
    struct rr_rendition rendition = {
        .timescale = 24000, .segments = segments, .segment_count = RR_COUNT(segments)};
    struct source s = {.fixed = true};
    struct rr_puzzle_entry entries[3] = {{.segment = 0}, {.segment = 2}, {.segment = 2}};
    struct rr_buf text = {0}, expected = {0}, plain = {0};
    for (size_t i = 0; i < RR_COUNT(entries); i++) {
        make_field(&s, entries[i].contract_id);
        entries[i].puzzle = make_puzzle(&s, NULL, &entries[i].contract_id);
    }
    rr_hls_media_puzzles(&text, &rendition, entries, RR_COUNT(entries));
    rr_hls_media(&plain, &rendition);
    /* Line by line: without the tags it is the plain playlist, and each tag is before its segment.
     */
    unsigned seen = 0, segment = 0;
    for (size_t at = 0; at < text.len;) {
        const uint8_t *end = memchr(text.ptr + at, '\n', text.len - at);
        assert_non_null(end);
        struct rr_slice line = rr_slice_of(text.ptr + at, (size_t)(end - text.ptr) - at);
        struct rr_hash32 contract;
        struct rr_puzzle puzzle;
        if (rr_puzzle_tag_parse(&contract, &puzzle, line, NULL) == RR_OK) {
            assert_true(seen < RR_COUNT(entries));
            assert_int_equal(entries[seen].segment, segment);
            assert_true(rr_hash32_equal(&contract, &entries[seen].contract_id));
            assert_memory_equal(puzzle.rand, entries[seen].puzzle.rand, sizeof puzzle.rand);
            seen++;
        } else {
            rr_buf_append(&expected, line.ptr, line.len + 1);
            segment += line.len > 0 && line.ptr[0] != '#';
        }
        at += line.len + 1;
    }
    assert_int_equal(seen, RR_COUNT(entries));
    assert_true(rr_slice_equal(rr_buf_slice(&expected), rr_buf_slice(&plain)));
    rr_buf_clear(&text);
    rr_buf_clear(&expected);
    rr_buf_clear(&plain);
}

int main(void)
{
    rr_crypto_init();
    const struct CMUnitTest tests[] = {
        {"a difficulty below 2^32 and each power of two is exact", test_difficulty_exact, NULL,
         NULL, NULL},
        {"any other is met from below, within 2^-31", test_difficulty_below, NULL, NULL, NULL},
        {"each difficulty has one form; a draw by stake has no work", test_difficulty_forms, NULL,
         NULL, NULL},
        {"boxes go before the first fragment and leave the digest", test_insert, NULL, NULL, NULL},
        {"a second insertion and files without fragments are refused", test_insert_refused, NULL,
         NULL, NULL},
        {"boxes of our scheme are no part of the segment, known or not", test_scan_unknown, NULL,
         NULL, NULL},
        {"a segment cut or damaged anywhere is refused or stays in bounds", test_scan_damaged, NULL,
         NULL, NULL},
        {"tags stand before their segments and change nothing else", test_playlist, NULL, NULL,
         NULL},
    };
    return cmocka_run_group_tests_name("wire puzzles", tests, NULL, NULL);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Segments with puzzles inside: what is taken apart is the whole file; the plain segment holds no
 * box of ours; boxes put into it leave it as it was. */
#include "recode.h"

#include <string.h>

static void check_parts(const struct rr_puzzle_scan *scan, struct rr_slice file)
{
    size_t plain = 0;
    for (uint32_t i = 0; i < scan->plain_count; i++) {
        RR_CHECK(scan->plain[i].ptr >= file.ptr && scan->plain[i].len > 0);
        RR_CHECK(scan->plain[i].ptr + scan->plain[i].len <= file.ptr + file.len);
        plain += scan->plain[i].len;
    }
    RR_CHECK(plain <= file.len && (scan->count + scan->unknown > 0) == (plain < file.len));
}

static void join(struct rr_buf *out, const struct rr_puzzle_scan *scan)
{
    for (uint32_t i = 0; i < scan->plain_count; i++) {
        rr_buf_append(out, scan->plain[i].ptr, scan->plain[i].len);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct rr_slice file = rr_slice_of(data, size);
    struct rr_puzzle_scan scan, again;
    struct rr_fault fault = {0};
    struct rr_buf plain = {0}, filled = {0}, back = {0};
    enum rr_err err = rr_puzzle_scan(&scan, file, &fault);
    if (err != RR_OK) {
        RR_CHECK((err == RR_ERR_FORMAT || err == RR_ERR_LIMIT) && fault.text[0] != '\0');
        return 0;
    }
    check_parts(&scan, file);
    join(&plain, &scan);
    RR_CHECK(rr_puzzle_scan(&again, rr_buf_slice(&plain), &fault) == RR_OK);
    RR_CHECK(again.count == 0 && again.unknown == 0);
    if (rr_puzzle_insert(&filled, rr_buf_slice(&plain), scan.boxes, scan.count, &fault) == RR_OK) {
        struct rr_hash32 one, two;
        RR_CHECK(rr_puzzle_scan(&again, rr_buf_slice(&filled), &fault) == RR_OK);
        RR_CHECK(again.count == scan.count && again.unknown == 0);
        join(&back, &again);
        RR_CHECK(rr_slice_equal(rr_buf_slice(&back), rr_buf_slice(&plain)));
        rr_puzzle_segment_digest(&one, &scan);
        rr_puzzle_segment_digest(&two, &again);
        RR_CHECK(rr_hash32_equal(&one, &two));
    }
    rr_buf_clear(&plain);
    rr_buf_clear(&filled);
    rr_buf_clear(&back);
    return 0;
}

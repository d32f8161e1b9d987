/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Puzzles as they ride: in the segments as boxes, in playlists as tags. */
#include "wire/wire_private.h"

#include <string.h>

#define TAG         "#EXT-X-REELRIG-PUZZLE:"
#define VALUE_BYTES 65 /* hex and NUL */
/* size, type, version and flags, timescale, time, duration, id, scheme, value, message */
#define BOX_BYTES (8 + 4 + 4 + 8 + 4 + 4 + sizeof RR_PUZZLE_SCHEME + VALUE_BYTES + RR_PUZZLE_BYTES)

/* ---- big-endian, as ISO boxes are
 * ------------------------------------------------------------------------------------------------
 */

static void write_be(struct rr_buf *out, uint64_t value, unsigned bytes)
{
    for (unsigned i = bytes; i > 0; i--) {
        rr_write_u8(out, (uint8_t)(value >> 8 * (i - 1)));
    }
}

static uint64_t load_be(const uint8_t *from, unsigned bytes)
{
    uint64_t value = 0;
    for (unsigned i = 0; i < bytes; i++) {
        value = value << 8 | from[i];
    }
    return value;
}

static uint64_t read_be(struct rr_reader *reader, unsigned bytes)
{
    struct rr_slice at = rr_read_slice(reader, bytes);
    return at.ptr != NULL ? load_be(at.ptr, bytes) : 0;
}

/* ---- one box
 * ------------------------------------------------------------------------------------------------
 */

void rr_puzzle_box_encode(struct rr_buf *out, const struct rr_puzzle_box *box)
{
    size_t before = out->len;
    write_be(out, BOX_BYTES, 4);
    rr_buf_append(out, "emsg", 4);
    write_be(out, 1u << 24, 4); /* version 1, no flags */
    write_be(out, box->timescale, 4);
    write_be(out, box->presentation_time, 8);
    write_be(out, box->duration, 4);
    write_be(out, box->id, 4);
    rr_buf_append(out, RR_PUZZLE_SCHEME, sizeof RR_PUZZLE_SCHEME);
    wire_write_hex(out, box->contract_id.bytes, sizeof box->contract_id.bytes);
    rr_write_u8(out, 0);
    rr_puzzle_encode(out, &box->puzzle);
    RR_CHECK(out->len - before == BOX_BYTES);
}

static void take(struct rr_reader *reader, const void *bytes, size_t len)
{
    struct rr_slice at = rr_read_slice(reader, len);
    if (at.ptr == NULL || memcmp(at.ptr, bytes, len) != 0) {
        wire_refuse(reader);
    }
}

enum rr_err rr_puzzle_box_decode(struct rr_puzzle_box *out, struct rr_slice bytes,
                                 struct rr_fault *fault)
{
    static const uint8_t type[] = {'e', 'm', 's', 'g', 1, 0, 0, 0}, end[] = {0};
    struct rr_reader reader = rr_reader_of(bytes);
    struct rr_puzzle_box box = {0};
    if (read_be(&reader, 4) != BOX_BYTES) {
        wire_refuse(&reader);
    }
    take(&reader, type, sizeof type);
    box.timescale = (uint32_t)read_be(&reader, 4);
    box.presentation_time = read_be(&reader, 8);
    box.duration = (uint32_t)read_be(&reader, 4);
    box.id = (uint32_t)read_be(&reader, 4);
    take(&reader, RR_PUZZLE_SCHEME, sizeof RR_PUZZLE_SCHEME);
    struct rr_slice value = rr_read_slice(&reader, VALUE_BYTES - 1);
    if (value.ptr == NULL || !wire_take_hex(&value, box.contract_id.bytes, 32) ||
        box.timescale == 0) {
        wire_refuse(&reader);
    }
    take(&reader, end, sizeof end);
    struct rr_slice message = rr_read_slice(&reader, RR_PUZZLE_BYTES);
    enum rr_err err = wire_done(&reader, "puzzle box", fault);
    err = err != RR_OK ? err : rr_puzzle_decode(&box.puzzle, message, fault);
    err = err != RR_OK ? err : wire_puzzle_fits(&box.puzzle, &box.contract_id, fault);
    if (err == RR_OK) {
        *out = box;
    }
    return err;
}

/* ---- boxes of a file
 * ------------------------------------------------------------------------------------------------
 */

/* The whole box that begins at `at`; false when there is none. [ISO/IEC 14496-12, 4.2] */
static bool box_at(struct rr_slice *out, struct rr_slice file, size_t at)
{
    size_t left = file.len - at;
    const uint8_t *p = file.ptr + at;
    if (left < 8) {
        return false;
    }
    uint64_t size = load_be(p, 4), least = 8;
    if (size == 1) {
        least = 16;
        size = left >= 16 ? load_be(p + 8, 8) : 0;
    } else if (size == 0) {
        size = left; /* to the end of the file */
    }
    if (size < least || size > left) {
        return false;
    }
    *out = rr_slice_of(p, (size_t)size);
    return true;
}

static bool is_type(struct rr_slice box, const char *type)
{
    return memcmp(box.ptr + 4, type, 4) == 0;
}

/* Whatever its version and its content: scheme_id_uri is what tells whose it is. It stands behind
 * version and flags in version 0, behind times and id in version 1. */
static bool is_ours(struct rr_slice box)
{
    size_t head = load_be(box.ptr, 4) == 1 ? 16 : 8;
    if (!is_type(box, "emsg") || box.len < head + 4) {
        return false;
    }
    size_t at = head + 4 + (box.ptr[head] == 0 ? 0 : 20);
    return box.len >= at + sizeof RR_PUZZLE_SCHEME &&
           memcmp(box.ptr + at, RR_PUZZLE_SCHEME, sizeof RR_PUZZLE_SCHEME) == 0;
}

static void add_plain(struct rr_puzzle_scan *scan, struct rr_slice box)
{
    struct rr_slice *last = scan->plain_count > 0 ? &scan->plain[scan->plain_count - 1] : NULL;
    if (last != NULL && last->ptr + last->len == box.ptr) {
        last->len += box.len;
    } else {
        RR_CHECK(scan->plain_count < RR_COUNT(scan->plain));
        scan->plain[scan->plain_count++] = box;
    }
}

enum rr_err rr_puzzle_scan(struct rr_puzzle_scan *out, struct rr_slice file, struct rr_fault *fault)
{
    struct rr_puzzle_scan scan = {0};
    for (size_t at = 0; at < file.len;) {
        struct rr_slice box;
        if (!box_at(&box, file, at)) {
            return rr_fail(fault, RR_ERR_FORMAT,
                           "the segment holds no whole box at byte %zu of %zu; is it cut short?",
                           at, file.len);
        }
        at += box.len;
        if (!is_ours(box)) {
            add_plain(&scan, box);
            continue;
        }
        if (scan.count + scan.unknown == RR_PUZZLES_A_SEGMENT) {
            return rr_fail(fault, RR_ERR_LIMIT, "the segment carries more than %d puzzles",
                           RR_PUZZLES_A_SEGMENT);
        }
        if (rr_puzzle_box_decode(&scan.boxes[scan.count], box, NULL) == RR_OK) {
            scan.count++;
        } else {
            scan.unknown++;
        }
    }
    *out = scan;
    return RR_OK;
}

void rr_puzzle_segment_digest(struct rr_hash32 *out, const struct rr_puzzle_scan *scan)
{
    struct rr_hasher hasher;
    rr_hasher_init(&hasher, "rr.segment.v1");
    for (uint32_t i = 0; i < scan->plain_count; i++) {
        rr_hasher_add(&hasher, scan->plain[i].ptr, scan->plain[i].len);
    }
    rr_hasher_final(&hasher, out);
}

enum rr_err rr_puzzle_insert(struct rr_buf *out, struct rr_slice file,
                             const struct rr_puzzle_box *boxes, uint32_t count,
                             struct rr_fault *fault)
{
    struct rr_slice box;
    if (count > RR_PUZZLES_A_SEGMENT) {
        return rr_fail(fault, RR_ERR_LIMIT, "%u puzzles for one segment; at most %d are allowed",
                       count, RR_PUZZLES_A_SEGMENT);
    }
    for (size_t at = 0; at < file.len && box_at(&box, file, at); at += box.len) {
        if (is_ours(box)) {
            return rr_fail(fault, RR_ERR_FORMAT, "the segment carries puzzles already");
        }
        if (is_type(box, "moof")) {
            rr_buf_reserve(out, file.len + count * BOX_BYTES);
            rr_buf_append(out, file.ptr, at);
            for (uint32_t i = 0; i < count; i++) {
                rr_puzzle_box_encode(out, &boxes[i]);
            }
            rr_buf_append(out, file.ptr + at, file.len - at);
            return RR_OK;
        }
    }
    return rr_fail(fault, RR_ERR_FORMAT, "the segment has no movie fragment to put puzzles before");
}

/* ---- tag
 * ------------------------------------------------------------------------------------------------
 */

static void write_upper_hex(struct rr_buf *out, const uint8_t *bytes, size_t len)
{
    static const char digits[] = "0123456789ABCDEF";
    for (size_t i = 0; i < len; i++) {
        rr_write_u8(out, (uint8_t)digits[bytes[i] >> 4]);
        rr_write_u8(out, (uint8_t)digits[bytes[i] & 15]);
    }
}

static bool take_upper_hex(struct rr_slice *text, uint8_t *out, size_t len)
{
    if (text->len < 2 * len) {
        return false;
    }
    for (size_t i = 0; i < 2 * len; i++) {
        if (text->ptr[i] >= 'a' && text->ptr[i] <= 'f') {
            return false;
        }
    }
    bool fits = rr_unhex_slice(out, len, rr_slice_of(text->ptr, 2 * len));
    *text = rr_slice_of(text->ptr + 2 * len, text->len - 2 * len);
    return fits;
}

void rr_puzzle_tag_text(struct rr_buf *out, const struct rr_hash32 *contract_id,
                        const struct rr_puzzle *puzzle)
{
    struct rr_buf bytes = {0};
    rr_puzzle_encode(&bytes, puzzle);
    rr_buf_format(out, TAG "CONTRACT=0x");
    write_upper_hex(out, contract_id->bytes, sizeof contract_id->bytes);
    rr_buf_format(out, ",PUZZLE=0x");
    write_upper_hex(out, bytes.ptr, bytes.len);
    rr_buf_clear(&bytes);
}

enum rr_err rr_puzzle_tag_parse(struct rr_hash32 *contract_id, struct rr_puzzle *puzzle,
                                struct rr_slice line, struct rr_fault *fault)
{
    struct rr_hash32 contract;
    struct rr_puzzle parsed;
    uint8_t bytes[RR_PUZZLE_BYTES];
    if (!wire_take_word(&line, TAG "CONTRACT=0x") ||
        !take_upper_hex(&line, contract.bytes, sizeof contract.bytes) ||
        !wire_take_word(&line, ",PUZZLE=0x") || !take_upper_hex(&line, bytes, sizeof bytes) ||
        line.len != 0) {
        return rr_fail(fault, RR_ERR_FORMAT,
                       "a line that is not '" TAG "CONTRACT=0xHEX,PUZZLE=0xHEX'");
    }
    enum rr_err err = rr_puzzle_decode(&parsed, rr_slice_of(bytes, sizeof bytes), fault);
    err = err != RR_OK ? err : wire_puzzle_fits(&parsed, &contract, fault);
    if (err == RR_OK) {
        *contract_id = contract;
        *puzzle = parsed;
    }
    return err;
}

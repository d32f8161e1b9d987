/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The name of an AV1 stream out of its sequence header [AV1 5.5; AV1 in ISOBMFF, 5]. The bytes come
 * from a worker and may be anything. */
#include "transcode/transcode_private.h"
#include <stdio.h>

struct bits {
    struct rr_slice bytes;
    size_t at; /* in bits */
    bool failed;
};

static uint32_t take(struct bits *bits, unsigned count)
{
    uint32_t value = 0;
    if (count > 32 || bits->bytes.len * 8 - bits->at < count) {
        bits->failed = true;
        return 0;
    }
    for (unsigned i = 0; i < count; i++, bits->at++) {
        value = value << 1 | (bits->bytes.ptr[bits->at / 8] >> (7 - bits->at % 8) & 1u);
    }
    return value;
}

static void take_uvlc(struct bits *bits)
{
    unsigned zeros = 0;
    while (!bits->failed && take(bits, 1) == 0) {
        zeros++;
    }
    (void)take(bits, zeros < 32 ? zeros : 0);
}

struct header {
    uint32_t profile, level, tier, depth, mono, primaries, transfer, matrix, full, place;
};

/* Timing and operating points; the first point's level is the stream's. */
static void take_points(struct bits *bits, struct header *h)
{
    uint32_t delay_bits = 0, model = 0;
    if (take(bits, 1) != 0) { /* timing_info */
        (void)take(bits, 32);
        (void)take(bits, 32);
        if (take(bits, 1) != 0) {
            take_uvlc(bits);
        }
        model = take(bits, 1);
        if (model != 0) {
            delay_bits = take(bits, 5) + 1;
            (void)take(bits, 32);
            (void)take(bits, 10);
        }
    }
    uint32_t delays = take(bits, 1), points = take(bits, 5) + 1;
    for (uint32_t i = 0; i < points && !bits->failed; i++) {
        (void)take(bits, 12);
        uint32_t level = take(bits, 5), tier = level > 7 ? take(bits, 1) : 0;
        h->level = i == 0 ? level : h->level;
        h->tier = i == 0 ? tier : h->tier;
        if (model != 0 && take(bits, 1) != 0) {
            (void)take(bits, delay_bits);
            (void)take(bits, delay_bits);
            (void)take(bits, 1);
        }
        if (delays != 0 && take(bits, 1) != 0) {
            (void)take(bits, 4);
        }
    }
}

/* Sizes and tools, up to the colours. */
static void take_tools(struct bits *bits, bool reduced)
{
    uint32_t width_bits = take(bits, 4) + 1, height_bits = take(bits, 4) + 1;
    (void)take(bits, width_bits);
    (void)take(bits, height_bits);
    if (!reduced && take(bits, 1) != 0) { /* frame_id_numbers */
        (void)take(bits, 7);
    }
    (void)take(bits, 3);
    if (!reduced) {
        (void)take(bits, 4);
        uint32_t order = take(bits, 1);
        (void)take(bits, order != 0 ? 2 : 0);
        uint32_t screen = take(bits, 1) != 0 ? 2 : take(bits, 1);
        if (screen > 0 && take(bits, 1) == 0) {
            (void)take(bits, 1);
        }
        (void)take(bits, order != 0 ? 3 : 0);
    }
    (void)take(bits, 3);
}

static void take_colours(struct bits *bits, struct header *h)
{
    h->depth = take(bits, 1) != 0 ? 10 : 8;
    if (h->profile == 2 && h->depth == 10 && take(bits, 1) != 0) {
        h->depth = 12;
    }
    h->mono = h->profile == 1 ? 0 : take(bits, 1);
    h->primaries = h->transfer = h->matrix = 2;
    if (take(bits, 1) != 0) {
        h->primaries = take(bits, 8);
        h->transfer = take(bits, 8);
        h->matrix = take(bits, 8);
    }
    h->full = take(bits, 1);
    h->place = h->mono != 0 ? 0 : take(bits, 2);
}

bool transcode_name_av1(char out[static RR_NAME_MAX + 1], struct rr_slice extradata)
{
    struct header h = {0};
    /* The sequence header is the one OBU that an encoder tells beforehand. [AV1 5.3] */
    if (extradata.len < 4 || (extradata.ptr[0] & 0xf8) != 0x08 || (extradata.ptr[0] & 2) == 0 ||
        (extradata.ptr[1] & 0x80) != 0) {
        return false;
    }
    size_t head = (extradata.ptr[0] & 4) != 0 ? 3 : 2;
    struct bits bits = {.bytes = rr_slice_of(extradata.ptr + head, extradata.len - head)};
    h.profile = take(&bits, 3);
    (void)take(&bits, 1);
    bool reduced = take(&bits, 1) != 0;
    if (reduced) {
        h.level = take(&bits, 5);
    } else {
        take_points(&bits, &h);
    }
    take_tools(&bits, reduced);
    take_colours(&bits, &h);
    if (bits.failed || h.profile != 0 || h.primaries > 99 || h.transfer > 99 || h.matrix > 99) {
        return false; /* all that is made here is 4:2:0 */
    }
    int len = snprintf(out, RR_NAME_MAX + 1, "av01.%u.%02u%c.%02u", (unsigned)h.profile,
                       (unsigned)h.level, h.tier != 0 ? 'H' : 'M', (unsigned)h.depth);
    bool usual = (h.primaries == 2 || h.primaries == 1) && (h.transfer == 2 || h.transfer == 1) &&
                 (h.matrix == 2 || h.matrix == 1) && h.full == 0;
    if (!usual) { /* what is left out stands for BT.709 in limited range */
        snprintf(out + len, RR_NAME_MAX + 1 - (size_t)len, ".%u.11%u.%02u.%02u.%02u.%u",
                 (unsigned)h.mono, (unsigned)h.place, (unsigned)h.primaries, (unsigned)h.transfer,
                 (unsigned)h.matrix, (unsigned)h.full);
    }
    return true;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Range values: what comes out is ascending, apart and inside the body, and covers exactly the
 * bytes that a slow reading of the same text covers. The first byte of the input is the size of the
 * body. */
#include "serve/serve_text.h"
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Byte by byte, for bodies of up to 255: false when any part is malformed. */
static bool cover(bool covered[256], struct rr_slice text, uint64_t size, unsigned *asked)
{
    struct rr_slice item;
    while (serve_text_item(&item, &text)) {
        uint64_t first = 0;
        uint64_t last = UINT64_MAX;
        const uint8_t *dash = memchr(item.ptr, '-', item.len);
        if (dash == NULL || item.len == 1) {
            return false;
        }
        struct rr_slice a = {item.ptr, (size_t)(dash - item.ptr)};
        struct rr_slice b = {dash + 1, item.len - a.len - 1};
        if ((a.len > 0 && !serve_text_number(&first, a, UINT64_MAX)) ||
            (b.len > 0 && !serve_text_number(&last, b, UINT64_MAX)) ||
            (a.len > 0 && first > last)) {
            return false;
        }
        ++*asked;
        for (uint64_t i = 0; i < size; i++) {
            bool in = a.len > 0 ? i >= first && i <= last : size - i <= last;
            covered[i] = covered[i] || in;
        }
    }
    return *asked > 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct serve_range ranges[SERVE_RANGES_MAX];
    bool covered[256] = {false};
    bool given[256] = {false};
    unsigned count = 0;
    unsigned asked = 0;
    if (size < 1 || size > 4096) {
        return 0;
    }
    uint64_t body = data[0];
    struct rr_slice text = {data + 1, size - 1};
    enum serve_range_result result = serve_range_parse(ranges, &count, text, body);
    uint64_t next = 0;
    for (unsigned i = 0; i < count; i++) {
        RR_CHECK(ranges[i].first <= ranges[i].last && ranges[i].last < body);
        RR_CHECK(i == 0 ? true : ranges[i].first > next);
        next = ranges[i].last + 1;
        memset(given + ranges[i].first, true, (size_t)(next - ranges[i].first));
    }
    bool unit = text.len >= 6 && serve_text_is(rr_slice_of(text.ptr, 6), "bytes=");
    bool good = unit && cover(covered, rr_slice_of(text.ptr + 6, text.len - 6), body, &asked) &&
                asked <= SERVE_RANGES_MAX;
    if (!good) {
        RR_CHECK(result == SERVE_RANGE_NONE && count == 0);
        return 0;
    }
    RR_CHECK(memcmp(covered, given, sizeof(covered)) == 0);
    RR_CHECK(result == (count == 0   ? SERVE_RANGE_OUTSIDE
                        : count == 1 ? SERVE_RANGE_ONE
                                     : SERVE_RANGE_MANY));
    return 0;
}

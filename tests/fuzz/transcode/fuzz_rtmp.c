/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Bytes of a stranger at the RTMP door, after the handshake or in it (first byte), cut by the
 * second byte: no memory beyond the limits, no media before the key, and the same media however it
 * is cut.
 */
#include "transcode/ingest/ingest_rtmp.c"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MEDIA_MAX (UINT64_C(64) << 20)

static enum rtmp_state feed(const uint8_t *data, size_t size, size_t step, bool greeted,
                            struct rr_buf *media)
{
    static const uint8_t hello[1 + 2 * HANDSHAKE_BYTES] = {3};
    struct rtmp *rtmp = rtmp_new("live", "key");
    struct rr_buf reply = {0};
    enum rtmp_state state = RTMP_TALKING;
    if (greeted) {
        state = rtmp_feed(rtmp, rr_slice_of(hello, sizeof hello), &reply, media);
    }
    for (size_t at = 0; at < size && (state == RTMP_TALKING || state == RTMP_PUBLISHING);
         at += step) {
        size_t now = size - at < step ? size - at : step;
        state = rtmp_feed(rtmp, rr_slice_of(data + at, now), &reply, media);
        RR_CHECK(state == RTMP_PUBLISHING || state == RTMP_ENDED || state == RTMP_BROKEN ||
                 media->len == 0);
        if (state == RTMP_ASKS) {
            rtmp_admit(rtmp, true, &reply, media);
            state = rtmp_feed(rtmp, rr_slice_of("", 0), &reply, media);
        }
        RR_CHECK(media->len < MEDIA_MAX);
    }
    rr_buf_clear(&reply);
    rtmp_free(rtmp);
    return state;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct rr_buf once = {0}, cut = {0};
    if (size < 2) {
        return 0;
    }
    bool greeted = (data[0] & 1) != 0;
    enum rtmp_state a = feed(data + 2, size - 2, size, greeted, &once);
    enum rtmp_state b = feed(data + 2, size - 2, data[1] + 1u, greeted, &cut);
    RR_CHECK(a == b && once.len == cut.len &&
             (once.len == 0 || memcmp(once.ptr, cut.ptr, once.len) == 0));
    rr_buf_clear(&once);
    rr_buf_clear(&cut);
    return 0;
}

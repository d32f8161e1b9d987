/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Paths below hls/: one that is found is the only way to write what was found. */
#include "recode.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct rr_rendition renditions[] = {
        {.kind = RR_RENDITION_VIDEO, .name = "720p", .segment_count = 12},
        {.kind = RR_RENDITION_AUDIO, .name = "audio", .segment_count = 100},
        {.kind = RR_RENDITION_SUBTITLE, .name = "subtitle", .segment_count = 3}};
    struct rr_manifest manifest = {.renditions = renditions, .rendition_count = 3};
    struct rr_hls_ref ref;
    struct rr_buf path = {0};
    if (!rr_hls_find(&ref, &manifest, rr_slice_of(data, size))) {
        return 0;
    }
    RR_CHECK(ref.rendition < manifest.rendition_count);
    const struct rr_rendition *rendition = &renditions[ref.rendition];
    bool text = rendition->kind == RR_RENDITION_SUBTITLE;
    switch (ref.kind) {
    case RR_HLS_MASTER:
        rr_buf_format(&path, "master.m3u8");
        break;
    case RR_HLS_DASH:
        rr_buf_format(&path, "manifest.mpd");
        break;
    case RR_HLS_MEDIA:
        rr_buf_format(&path, "%s/index.m3u8", rendition->name);
        break;
    case RR_HLS_INIT:
        rr_buf_format(&path, "%s/%s", rendition->name, text ? "all.ttml" : "init.mp4");
        break;
    case RR_HLS_SEGMENT:
        RR_CHECK(ref.segment < rendition->segment_count);
        rr_buf_format(&path, "%s/seg_%05u.%s", rendition->name, ref.segment, text ? "vtt" : "m4s");
        break;
    }
    RR_CHECK(rr_slice_equal(rr_buf_slice(&path), rr_slice_of(data, size)));
    rr_buf_clear(&path);
    return 0;
}

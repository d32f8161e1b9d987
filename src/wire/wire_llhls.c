/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "wire/wire_private.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

static void write_seconds(struct rr_buf *out, uint64_t us)
{
    rr_buf_format(out, "%llu.%06u", (unsigned long long)(us / 1000000), (unsigned)(us % 1000000));
}

/* ISO 8601 in UTC; the year stays below 10000. */
static void write_date(struct rr_buf *out, uint64_t ms)
{
    time_t seconds = (time_t)(ms / 1000);
    struct tm parts;
    char text[32];
    gmtime_r(&seconds, &parts);
    strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &parts);
    rr_buf_format(out, "#EXT-X-PROGRAM-DATE-TIME:%s.%03uZ\n", text, (unsigned)(ms % 1000));
}

static void write_head(struct rr_buf *out, const struct rr_llhls *list)
{
    rr_buf_format(out, "#EXTM3U\n#EXT-X-VERSION:%d\n#EXT-X-TARGETDURATION:%u\n",
                  list->part_us > 0 ? 9 : 8, (unsigned)list->target_s);
    if (list->part_us > 0 && !list->ended) {
        /* Three parts and three targets: the least that the standard allows. */
        rr_buf_format(out, "#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK=");
        write_seconds(out, UINT64_C(3) * list->part_us);
        rr_buf_format(
            out, ",HOLD-BACK=%u.0\n#EXT-X-PART-INF:PART-TARGET=", 3 * (unsigned)list->target_s);
        write_seconds(out, list->part_us);
        rr_buf_format(out, "\n");
    }
    uint64_t first = list->segment_count > 0 ? list->segments[0].number : list->next;
    rr_buf_format(out, "#EXT-X-MEDIA-SEQUENCE:%llu\n", (unsigned long long)first);
    if (list->discontinuities > 0) {
        rr_buf_format(out, "#EXT-X-DISCONTINUITY-SEQUENCE:%llu\n",
                      (unsigned long long)list->discontinuities);
    }
    if (list->all) {
        rr_buf_format(out, "#EXT-X-PLAYLIST-TYPE:%s\n", list->ended ? "VOD" : "EVENT");
    }
    rr_buf_format(out, "#EXT-X-INDEPENDENT-SEGMENTS\n#EXT-X-MAP:URI=\"init.mp4\"\n");
}

static void write_parts(struct rr_buf *out, const struct rr_llhls_segment *segment)
{
    for (uint32_t i = 0; i < segment->part_count; i++) {
        rr_buf_format(out, "#EXT-X-PART:DURATION=");
        write_seconds(out, segment->parts[i].duration_us);
        rr_buf_format(out, ",URI=\"part_%05llu.%u.m4s\"%s\n", (unsigned long long)segment->number,
                      (unsigned)i, segment->parts[i].independent ? ",INDEPENDENT=YES" : "");
    }
}

static void write_segment(struct rr_buf *out, const struct rr_llhls *list,
                          const struct rr_llhls_segment *segment)
{
    if (segment->discontinuity) {
        rr_buf_format(out, "#EXT-X-DISCONTINUITY\n");
    }
    write_date(out, segment->program_ms);
    if (list->part_us > 0 && !list->ended && segment->parts_shown) {
        write_parts(out, segment);
    }
    if (!segment->whole) {
        return;
    }
    if (segment->gap) {
        rr_buf_format(out, "#EXT-X-GAP\n");
    }
    rr_buf_format(out, "#EXTINF:");
    write_seconds(out, segment->duration_us);
    rr_buf_format(out, ",\nseg_%05llu.m4s\n", (unsigned long long)segment->number);
}

void rr_llhls_media(struct rr_buf *out, const struct rr_llhls *list)
{
    const struct rr_llhls_segment *last =
        list->segment_count > 0 ? &list->segments[list->segment_count - 1] : NULL;
    write_head(out, list);
    for (uint32_t i = 0; i < list->segment_count; i++) {
        write_segment(out, list, &list->segments[i]);
    }
    if (list->ended) {
        rr_buf_format(out, "#EXT-X-ENDLIST\n");
        return;
    }
    if (list->part_us == 0) {
        return;
    }
    bool open = last != NULL && !last->whole;
    rr_buf_format(out, "#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"part_%05llu.%u.m4s\"\n",
                  (unsigned long long)(open ? last->number : list->next),
                  open ? (unsigned)last->part_count : 0u);
    for (uint32_t i = 0; i < list->report_count; i++) {
        const struct rr_llhls_report *report = &list->reports[i];
        if (report->any) {
            rr_buf_format(
                out,
                "#EXT-X-RENDITION-REPORT:URI=\"../%s/index.m3u8\",LAST-MSN=%llu,LAST-PART=%u\n",
                report->name, (unsigned long long)report->segment, (unsigned)report->part);
        }
    }
}

/* ---- paths ---------------------------------------------------------------------------- */

static bool take_number(struct rr_slice *text, size_t least, uint64_t *out)
{
    uint64_t value = 0;
    size_t len = 0;
    while (len < text->len && text->ptr[len] >= '0' && text->ptr[len] <= '9' && len < 18) {
        value = value * 10 + (uint64_t)(text->ptr[len++] - '0');
    }
    if (len < least || (len > least && text->ptr[0] == '0')) {
        return false;
    }
    text->ptr += len;
    text->len -= len;
    *out = value;
    return true;
}

bool rr_llhls_find(struct rr_llhls_ref *out, struct rr_slice file)
{
    struct rr_llhls_ref ref = {.part = wire_take_word(&file, "part_")};
    uint64_t number = 0;
    if ((!ref.part && !wire_take_word(&file, "seg_")) || !take_number(&file, 5, &ref.segment) ||
        (ref.part &&
         (!wire_take_word(&file, ".") || !take_number(&file, 1, &number) || number > UINT32_MAX)) ||
        !rr_slice_equal(file, rr_slice_str(".m4s"))) {
        return false;
    }
    ref.number = (uint32_t)number;
    *out = ref;
    return true;
}

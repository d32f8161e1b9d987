/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A media playlist that still grows: live HLS, with parts where the server can hold requests back
 * (RFC 8216bis, 4.4 and 6.2.5.2). Enter by wire.h. */
#ifndef RR_WIRE_LLHLS_H
#define RR_WIRE_LLHLS_H
#include "wire/wire_hls.h"

struct rr_llhls_part {
    uint32_t duration_us;
    bool independent;
};
struct rr_llhls_segment {
    uint64_t number; /* its media sequence number; rising by one */
    uint64_t duration_us, program_ms;
    bool discontinuity, gap;
    bool whole; /* false: only the last, of which there are parts so far */
    bool parts_shown;
    const struct rr_llhls_part *parts;
    uint32_t part_count;
};
struct rr_llhls_report {
    const char *name; /* of the other rendition */
    uint64_t segment;
    uint32_t part; /* the last that there is */
    bool any;
};
struct rr_llhls {
    uint32_t target_s;
    uint32_t part_us;         /* 0: no parts, no promises about held requests */
    uint64_t discontinuities; /* that went out of the window */
    uint64_t next;            /* number of the segment after the last one shown */
    bool all;                 /* nothing is ever taken away */
    bool ended;
    const struct rr_llhls_segment *segments;
    uint32_t segment_count;
    const struct rr_llhls_report *reports;
    uint32_t report_count;
};
/* Appends the playlist; URIs as in rr_hls_media, parts "part_%05llu.%u.m4s". */
void rr_llhls_media(struct rr_buf *out, const struct rr_llhls *list);

/* Splits "seg_00012.m4s" and "part_00012.3.m4s"; five digits or more, no leading zeros beyond
 * five. */
struct rr_llhls_ref {
    bool part;
    uint64_t segment;
    uint32_t number; /* of the part */
};
bool rr_llhls_find(struct rr_llhls_ref *out, struct rr_slice file) RR_MUST_USE;
#endif

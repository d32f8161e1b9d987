/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Live ladders below /live/: what one thread puts in, viewers get at once, and who asks for what
 * does not exist yet waits without a thread (RFC 8216bis, 6.2.5.2). Enter by serve.h. */
#ifndef RR_SERVE_LIVE_H
#define RR_SERVE_LIVE_H
#include "wire/wire.h"

struct rr_serve_live;
struct rr_serve_live_options {
    uint32_t window;    /* segments that a playlist shows; 3..1000 */
    bool all;           /* none is ever taken away; older ones are read from folder */
    const char *folder; /* NAME/seg_%05llu.m4s; NULL: memory only */
    uint32_t gop_ms;
};
/* Options are copied. All calls below: any thread, do not block. */
struct rr_serve_live *rr_serve_live_new(const struct rr_serve_live_options *options);
/* After the server that was given it has stopped. NULL is fine. */
void rr_serve_live_free(struct rr_serve_live *live);
/* Once; the list is copied. */
void rr_serve_live_begin(struct rr_serve_live *live, const struct rr_rendition *renditions,
                         uint32_t count, uint32_t part_us);
void rr_serve_live_init(struct rr_serve_live *live, uint32_t rendition, const char *codecs,
                        struct rr_slice bytes);
/* What a segment is made of, in this order: open, parts, close. A gap may be closed unopened. */
void rr_serve_live_open(struct rr_serve_live *live, uint32_t rendition, uint64_t segment,
                        uint64_t program_ms, bool discontinuity);
/* last: viewers see it together with the close that follows, since only a last part may be short.
 */
void rr_serve_live_part(struct rr_serve_live *live, uint32_t rendition, uint32_t duration_us,
                        bool independent, bool last, struct rr_slice bytes);
void rr_serve_live_close(struct rr_serve_live *live, uint32_t rendition, uint64_t segment,
                         uint64_t program_ms, bool discontinuity, bool gap, uint64_t duration_us);
/* Nothing comes any more: playlists get their end, who waits is answered. */
void rr_serve_live_end(struct rr_serve_live *live);
/* Answers those who have waited too long; to be called a few times a second. */
void rr_serve_live_tick(struct rr_serve_live *live);
/* Appends the playlist of a rendition: with parts as viewers get it, or without as a plain file
 * server can give it. */
void rr_serve_live_playlist(struct rr_serve_live *live, struct rr_buf *out, uint32_t rendition,
                            bool parts);
/* Appends the multivariant playlist; false while a rendition has no segment. */
bool rr_serve_live_master(struct rr_serve_live *live, struct rr_buf *out);
#endif

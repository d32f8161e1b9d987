/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Private to serve: a live ladder's inside. All fields under `lock`. */
#ifndef RR_SERVE_LIVE_PRIVATE_H
#define RR_SERVE_LIVE_PRIVATE_H
#include "serve/serve_private.h"

struct live_part {
    struct serve_blob *blob; /* NULL: too old */
    uint32_t duration_us;
    bool independent;
    char etag[SERVE_ETAG_BYTES];
};
struct live_segment {
    uint64_t number, program_ms, duration_us;
    bool discontinuity, gap, whole, parts_shown;
    struct live_part *parts; /* owned */
    uint32_t part_count, room;
    struct serve_blob *bytes; /* NULL: a gap, not whole, or in the folder */
    char etag[SERVE_ETAG_BYTES];
};
struct live_rendition {
    struct rr_rendition info;
    struct serve_blob *init;
    char init_etag[SERVE_ETAG_BYTES];
    struct live_segment *segments; /* owned; numbers rise by one */
    uint32_t count, room;
    struct live_part held; /* of the open segment, until it closes */
    uint64_t next;         /* number after the last */
    uint64_t discontinuities;
    uint64_t peak_bps, bytes, us;
    struct serve_blob *text; /* playlist of `text_version` */
    uint64_t text_version;
    char text_etag[SERVE_ETAG_BYTES];
};
struct rr_serve_live {
    pthread_mutex_t lock;
    uint32_t window, gop_ms, target_s, part_us;
    bool all, ended, stopped;
    char *folder;
    uint64_t version;
    struct live_rendition renditions[RR_RENDITIONS_MAX];
    uint32_t count;
    struct serve_request *waiting;
};

/* With the lock: NULL when it is not there. */
struct live_segment *serve_live_segment(const struct live_rendition *r, uint64_t number);
bool serve_live_begun(const struct rr_serve_live *live);
bool serve_live_ready(const struct rr_serve_live *live, const struct serve_live_ask *ask);
/* With the lock: the request waits and comes back by its resume. False: not any more. */
bool serve_live_wait(struct rr_serve_live *live, struct serve_request *request);
void serve_live_text(const struct rr_serve_live *live, struct rr_buf *out, uint32_t rendition,
                     bool parts);
void serve_live_master_text(const struct rr_serve_live *live, struct rr_buf *out);
#endif

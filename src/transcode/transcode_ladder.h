/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Ladders as users say them. Enter by transcode.h. */
#ifndef RR_TRANSCODE_LADDER_H
#define RR_TRANSCODE_LADDER_H
#include "base/base.h"
#include "wire/wire.h"

/* Rungs are short sides of the displayed picture in pixels, falling; 0 rungs stand for 720, 480,
 * 360. rates[i] is of rungs[i], all 0: constant quality. */
struct rr_ladder {
    bool automatic; /* rungs and rates by what the video is like; rungs and rates are then 0 */
    uint8_t rung_count;
    uint16_t rungs[RR_RUNGS_MAX];
    struct rr_rung_rate rates[RR_RUNGS_MAX];
};
#define RR_RUNG_MIN 16
#define RR_RUNG_MAX 4320
/* "auto", or "720,480,360", any order, with rates where wanted:
 * "720:kbps=2500:max=auto,480:crf=24". Sorted, 1..8 different rungs of RR_RUNG_MIN..RR_RUNG_MAX,
 * else RR_ERR_USAGE. Any thread. */
enum rr_err rr_ladder_parse(struct rr_ladder *out, const char *text,
                            struct rr_fault *fault) RR_MUST_USE;
/* The text that rr_ladder_parse makes the same ladder of, appended. */
void rr_ladder_text(struct rr_buf *out, const struct rr_ladder *ladder);
/* A ladder file, TOML: one [[rung]] with `side` and, where wanted, `crf`, `kbps`, `max_kbps`
 * for each rung; before them `kbps` and `max_kbps` for all, texts as rr_ladder_rates takes them.
 * name stands in sentences, with the line.
 * RR_ERR_FORMAT; RR_ERR_USAGE as rr_ladder_parse. Any thread. */
enum rr_err rr_ladder_parse_file(struct rr_ladder *out, struct rr_slice text, const char *name,
                                 struct rr_fault *fault) RR_MUST_USE;
/* What a user says: "auto", rungs as rr_ladder_parse takes them, or else the path of a ladder
 * file. Blocks for a file. */
enum rr_err rr_ladder_read(struct rr_ladder *out, const char *words,
                           struct rr_fault *fault) RR_MUST_USE;
/* Rates beside the rungs, highest first: as many numbers as there are rungs, "3000,1200,600", or
 * "auto", which is for the rungs that say nothing themselves; NULL or "" leaves what is there. A
 * ladder without rungs gets the usual ones first. RR_ERR_USAGE. Any thread. */
enum rr_err rr_ladder_rates(struct rr_ladder *ladder, const char *kbps, const char *max_kbps,
                            struct rr_fault *fault) RR_MUST_USE;
#endif

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Engagement puzzles of a job: what the publisher asked for, put into the segments before they are
 * stored (docs/puzzles.md). */
#ifndef RR_DAEMON_PUZZLES_H
#define RR_DAEMON_PUZZLES_H
#include "daemon/daemon_rig.h"

#include <jansson.h>

/* As in the command; NULL: not given. */
struct daemon_puzzle_words {
    const char *contract, *kind, *prize, *difficulty, *rise, *per_segment;
};
struct daemon_puzzles {
    uint32_t per_segment; /* 0: none */
    struct rr_hash32 contract_id;
    enum rr_puzzle_kind kind;
    struct rr_coin prize; /* of one puzzle of segment 0 */
    struct rr_puzzle_difficulty difficulty;
    uint32_t rise_percent; /* of prize, added with each segment */
    /* What each puzzle's rand is derived from: a job that goes on after a kill makes the same
     * bytes, and nobody else can tell them beforehand. */
    uint8_t seed[32];
    /* made so far */
    uint64_t count;
    struct rr_coin prizes;
};
/* RR_ERR_USAGE with what is wrong; nothing given: none. */
enum rr_err daemon_puzzles_parse(struct daemon_puzzles *out,
                                 const struct daemon_puzzle_words *words,
                                 struct rr_fault *fault) RR_MUST_USE;
/* For job.json; a new reference. NULL or absent reads as none. */
json_t *daemon_puzzles_json(const struct daemon_puzzles *puzzles);
bool daemon_puzzles_read(struct daemon_puzzles *out, json_t *json);
/* For the API: without the seed; null when there are none. */
json_t *daemon_puzzles_view(const struct daemon_puzzles *puzzles);

/* All puzzles while a resource is published. */
struct daemon_puzzle_maker {
    struct daemon_puzzles *puzzles; /* borrowed */
    struct rr_puzzle_list list;     /* rr_puzzle_list_clear */
    uint32_t room;
};
/* True when that rendition carries puzzles: every video, or every audio where there is no video. */
bool daemon_puzzles_wanted(const struct daemon_puzzles *puzzles, const struct rr_manifest *manifest,
                           uint32_t rendition);
/* Replaces the segment's bytes by those with its puzzles; start and duration are read.
 * RR_ERR_LIMIT: a prize or their sum passes the cap of amounts, or there are too many. */
enum rr_err daemon_puzzles_insert(struct daemon_puzzle_maker *maker, struct rr_buf *file,
                                  uint32_t rendition, uint32_t timescale, uint32_t number,
                                  const struct rr_segment *segment,
                                  struct rr_fault *fault) RR_MUST_USE;
/* Writes the list where rr_serve asks for it. Blocks. */
enum rr_err daemon_puzzles_keep(const struct rr_rig *rig, const struct rr_puzzle_list *list,
                                struct rr_fault *fault) RR_MUST_USE;
/* As rr_serve_options.puzzles; ctx is the rig. */
enum rr_err daemon_puzzles_load(void *ctx, struct rr_buf *out, const struct rr_hash32 *resource_id,
                                struct rr_fault *fault) RR_MUST_USE;

/* ---- claims (daemon_claims.c) ---------------------------------------------------------------- */
/* As rr_serve_options.claims; ctx is the rig. A claim is kept when it counts, in
 * data/puzzle-claims, as the ledger of incentive contracts will want it; the first to arrive stands
 * first. */
enum rr_err daemon_claims_add(void *ctx, const struct rr_puzzle_claim *claims, uint32_t count,
                              struct rr_fault *faults, struct rr_fault *fault) RR_MUST_USE;
/* Kept claims for the API, at most `most`: {"count", "claims": [...]}. Blocks. */
json_t *daemon_claims_view(const struct rr_rig *rig, uint64_t most);
#endif

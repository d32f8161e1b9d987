/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Solves the puzzles that come with the slices and returns service certificates as the puzzles end
 * (spec 10, 3). */
#ifndef RR_CLI_SOLVER_H
#define RR_CLI_SOLVER_H
#include "cli/cli_viewer.h"
#include "proof/proof.h"

struct cli_solver;
struct cli_solver_options {
    struct cli_viewer *viewer;      /* borrowed until free; its HTTP client is not used */
    const struct rr_pubkey *cacher; /* the certificates are for it; borrowed, filled before the
                                       first offer */
    bool certificates;              /* false: offers are passed over, only the engine is there */
    uint32_t cpu_share;             /* percent of the machine's cores; 0: half of one core */
    uint32_t gpu_share;             /* percent of each GPU's time; 0: none is used */
};
/* Starts the engine, which is one for all puzzles, and the thread that talks to the rig. */
enum rr_err cli_solver_start(struct cli_solver **out, const struct cli_solver_options *options,
                             struct rr_fault *fault) RR_MUST_USE;
/* Takes the text of a Reelrig-Puzzle header ("" is fine). A puzzle not seen before is searched in
 * the background until its expected end; the one before it ends now and its best nonce is sent.
 * Does not block. */
void cli_solver_offer(struct cli_solver *solver, const char *text);
/* Ends the puzzle at hand and sends its best; when that is too little to count, at most two seconds
 * later. RR_ERR_UNREACHABLE and the like: some certificates could not be handed over. */
enum rr_err cli_solver_finish(struct cli_solver *solver, struct rr_fault *fault) RR_MUST_USE;
/* Borrowed until free: for other searches of this viewer. */
struct rr_hash_engine *cli_solver_engine(struct cli_solver *solver);
struct cli_solver_stats {
    uint32_t puzzles, sent; /* searched; certificates handed over */
    uint32_t accepted, refused[RR_PROOF_REFUSAL_COUNT];
    uint64_t hashes, hashes_per_s; /* of ended puzzles; while they were searched */
};
/* Any time; solver NULL: zeros. */
void cli_solver_stats(struct cli_solver *solver, struct cli_solver_stats *out);
/* {"puzzles", "sent", "accepted", "refused", "refused_for": {reason: count}, "hashes",
 * "hashes_per_s"}: new reference. */
json_t *cli_solver_json(struct cli_solver *solver);
void cli_solver_free(struct cli_solver *solver); /* NULL is fine; cancels */
#endif

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Solves the puzzles that come with the slices and returns service certificates (spec 10, 3). */
#ifndef RR_CLI_SOLVER_H
#define RR_CLI_SOLVER_H
#include "cli/cli_viewer.h"

struct cli_solver;
/* viewer and cacher (the key the certificates are for; filled before the first offer) are borrowed
 * until free. */
enum rr_err cli_solver_start(struct cli_solver **out, struct cli_viewer *viewer,
                             const struct rr_pubkey *cacher, struct rr_fault *fault) RR_MUST_USE;
/* Takes the text of a Reelrig-Puzzle header ("" is fine): a puzzle not seen before is searched in
 * the background. */
void cli_solver_offer(struct cli_solver *solver, const char *text);
/* Waits for the searches (their effort is what the network expects of a puzzle's time), signs,
 * sends. */
enum rr_err cli_solver_finish(struct cli_solver *solver, struct rr_fault *fault) RR_MUST_USE;
/* Borrowed until free: for other searches of this viewer. */
struct rr_hash_engine *cli_solver_engine(struct cli_solver *solver);
uint32_t cli_solver_accepted(const struct cli_solver *solver);
void cli_solver_free(struct cli_solver *solver); /* NULL is fine; cancels */
#endif

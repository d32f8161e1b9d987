/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Solves the engagement puzzles of segments and keeps the claims (docs/puzzles.md). */
#ifndef RR_CLI_PUZZLER_H
#define RR_CLI_PUZZLER_H
#include "cli/cli.h"
#include "hash/hash.h"
#include "proof/proof.h"

struct cli_puzzler;
struct cli_puzzler_options {
    struct rr_hash_engine *engine;
    const struct rr_seckey *key; /* the viewer's */
    const char *wallet;          /* claims go into its folder puzzle-claims, one file each */
    uint32_t seconds;            /* each puzzle is searched at most this long */
};
/* All of options is borrowed until free. */
enum rr_err cli_puzzler_start(struct cli_puzzler **out, const struct cli_puzzler_options *options,
                              struct rr_fault *fault) RR_MUST_USE;
/* Takes the puzzles out of a segment's file; those whose claim is not kept yet are searched in the
 * background. Claims of puzzles solved by now are signed and kept. A segment that is none, or a
 * puzzle that is not its own, is counted and no fault; RR_ERR_IO and the like: a claim could not be
 * kept. Blocks for the disk. */
enum rr_err cli_puzzler_segment(struct cli_puzzler *puzzler, const struct rr_proof_place *place,
                                struct rr_slice file, struct rr_fault *fault) RR_MUST_USE;
/* Waits for the searches, signs and keeps what they found. */
enum rr_err cli_puzzler_finish(struct cli_puzzler *puzzler, struct rr_fault *fault) RR_MUST_USE;
/* Hands the kept claims to the rig at base ("http://HOST:PORT"), which says of each whether it
 * counts. After finish. */
enum rr_err cli_puzzler_post(struct cli_puzzler *puzzler, struct cli_http *http, const char *base,
                             struct rr_fault *fault) RR_MUST_USE;
/* {"seen", "solved", "unsolved", "unknown", "hashes", "accepted", "claims": [...]}: new reference.
 * After finish; claims: also those kept by an earlier run. Each has "refused", the rig's reason, or
 * null. */
json_t *cli_puzzler_json(const struct cli_puzzler *puzzler);
void cli_puzzler_free(struct cli_puzzler *puzzler); /* NULL is fine; cancels */

/* A claim, or a puzzle as found in a segment: new references. Amounts are text, the nonce too. */
json_t *cli_claim_json(const struct rr_puzzle_claim *claim);
json_t *cli_puzzle_json(const struct rr_puzzle *puzzle, const struct rr_hash32 *contract_id);
/* A line each. */
void cli_claim_print(const struct rr_puzzle_claim *claim);
/* POST of at most RR_PUZZLE_CLAIMS_POST_MAX claims. *answer: {"accepted", "claims"}, new reference.
 */
enum rr_err cli_claims_post(struct cli_http *http, json_t **answer, const char *base,
                            const struct rr_puzzle_claim *claims, uint32_t count,
                            struct rr_fault *fault) RR_MUST_USE;
/* Reads a file made by a puzzler. */
enum rr_err cli_claim_read(struct rr_puzzle_claim *out, const char *path,
                           struct rr_fault *fault) RR_MUST_USE;
#endif

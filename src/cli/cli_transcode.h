/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Between the files of reelrig transcode. */
#ifndef RR_CLI_TRANSCODE_H
#define RR_CLI_TRANSCODE_H
#include "cli/cli.h"
#include "transcode/transcode.h"

/* A line for the whole and one for each rendition on the terminal, drawn over the ones before;
 * nothing where standard error is none. NULL: takes them away. */
void cli_meter(const struct rr_transcode_progress *progress);

/* --dry-run and --explain. json: one object of event "plan". explain: with reasons. sources: parts
 * of the source made side by side; 0: rigs decide. */
void cli_outline_print(const struct rr_transcode_outline *outline, unsigned sources, bool explain,
                       bool json);

/* The words of a command as its job keeps them, so that --resume needs none: a JSON object of the
 * folder they hold in and the words. */
void cli_words_keep(struct rr_buf *out, int argc, char **argv);
/* The words of the job below `folder`, as kept; *argv is an owned array of owned texts, NULL at its
 * end (cli_words_free). Relative paths were made absolute. RR_ERR_NOTFOUND: nothing to go on
 * with. */
enum rr_err cli_words_read(char ***argv, int *argc, const char *folder,
                           struct rr_fault *fault) RR_MUST_USE;
void cli_words_free(char **argv);
#endif

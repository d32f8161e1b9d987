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
/* What a job was begun with, and where it is now. */
struct cli_words {
    char **argv; /* NULL at its end */
    int argc;
    char *place; /* absolute: the folder that was given, or the file whose job is beside it */
    bool whole;  /* it makes one file */
};
/* Reads the words of the job of `folder` as kept; *out ({0}) is cleared by cli_words_clear, also
 * after a failure. Goes to the folder that they hold in. RR_ERR_NOTFOUND: nothing to go on with. */
enum rr_err cli_words_read(struct cli_words *out, const char *folder,
                           struct rr_fault *fault) RR_MUST_USE;
void cli_words_clear(struct cli_words *words);
#endif

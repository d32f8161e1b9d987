/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A transcoding job on many rigs, for the verbs that make one. */
#ifndef RR_CLI_FLEET_H
#define RR_CLI_FLEET_H
#include "dispatch/dispatch.h"

/* As cli_fleet_check passed them; as given on the command line; NULL: not. */
struct cli_fleet_words {
    const char *nats, *auth, *ca, *shards;
};
struct cli_fleet {
    struct rr_dispatch_local *local;
    struct rr_dispatch_nats *nats;
    struct rr_dispatch_run run;
};
/* Parts of the source that a job without further words makes side by side on this machine: 1 on
 * few cores, in class tolerant, or with a device that is named. Pure but for the cores. */
unsigned cli_fleet_sources(const struct rr_transcode_options *job);
/* RR_ERR_USAGE: words that contradict each other or the job's device. Opens nothing. */
enum rr_err cli_fleet_check(const struct cli_fleet_words *words,
                            const struct rr_transcode_options *job,
                            struct rr_fault *fault) RR_MUST_USE;
/* Sets job->maker when the words ask for rigs; *fleet ({0}) and title must outlive the job. Then
 * cli_fleet_close, also after a failure. */
enum rr_err cli_fleet_open(struct cli_fleet *fleet, const struct cli_fleet_words *words,
                           const char *title, struct rr_transcode_options *job,
                           struct rr_fault *fault) RR_MUST_USE;
void cli_fleet_close(struct cli_fleet *fleet);
#endif

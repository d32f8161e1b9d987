/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Devices that decode, scale and encode video, as `transcode` and `gpu list` show them. */
#ifndef RR_CLI_DEVICES_H
#define RR_CLI_DEVICES_H
#include "cli/cli.h"
#include "transcode/transcode.h"

/* [{device, name, dec[], dec10[], enc[], enc10[], scale, sessions|null, why_not}]; a new reference,
 * NULL with the fault. Blocks some seconds per device. */
json_t *cli_devices_list(struct rr_fault *fault);
void cli_devices_print(const json_t *devices); /* a line each, or that there is none */
int cli_devices(bool json);                    /* `transcode --devices` */
/* Words of --class and --when-busy. */
enum rr_err cli_devices_options(struct rr_transcode_options *job, const char *class,
                                const char *busy, struct rr_fault *fault) RR_MUST_USE;
#endif

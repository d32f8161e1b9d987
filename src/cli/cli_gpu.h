/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files of `reelrig gpu` and `reelrig hash` share. */
#ifndef RR_CLI_GPU_H
#define RR_CLI_GPU_H
#include "cli/cli.h"
#include "hash/hash.h"

/* The words of a call of `reelrig gpu`; texts borrowed from argv. */
struct cli_gpu {
    const char *data, *seconds_text, *epoch_text, *id, *cpu_text, *gpu_text;
    bool json;
    unsigned seconds, epoch;
};
int cli_gpu_bench(const struct cli_gpu *gpu);
int cli_gpu_tune(const struct cli_gpu *gpu);

/* New references, keys as in docs/api.md. */
json_t *cli_gpu_sensors(const struct rr_hash_sample *sample);
json_t *cli_gpu_device(const struct rr_hash_device *device);
/* Sensors as the environment names them (REELRIG_SYSFS, REELRIG_NVML: for tests); owned. */
struct rr_hash_telemetry *cli_gpu_telemetry(void);
/* The rig's answer; RR_ERR_UNREACHABLE when none runs. *out a new reference. */
enum rr_err cli_gpu_ask(const struct cli_gpu *gpu, const char *path, const char *body, json_t **out,
                        struct rr_fault *fault) RR_MUST_USE;
/* Runs a job on an engine to its end; RR_ERR_DAMAGED when it has no result that the law confirms.
 */
enum rr_err cli_gpu_search(struct rr_hash_engine *engine, struct rr_hash_result *out,
                           const struct rr_hash_job *job, struct rr_fault *fault) RR_MUST_USE;
#endif

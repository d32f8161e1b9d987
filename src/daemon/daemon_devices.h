/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The rig's eyes and hands on its hash devices: sensors, guards, commands. */
#ifndef RR_DAEMON_DEVICES_H
#define RR_DAEMON_DEVICES_H
#include "daemon/daemon_rig.h"

#include <jansson.h>

struct daemon_devices;
/* Starts the thread that looks at every device once a second and does what the guards want. Uses
 * rig->engine (NULL: mining is off, devices are only shown) until stop. Owned by rig->devices.
 * RR_ERR_IO when there is no thread. Environment, for tests: REELRIG_SYSFS (root of another /sys),
 * REELRIG_NVML (library to load). */
enum rr_err daemon_devices_start(struct rr_rig *rig, struct rr_fault *fault) RR_MUST_USE;
/* After rr_hash_engine_stop, so that restarts under way come back; before rr_hash_engine_free. NULL
 * is fine. */
void daemon_devices_stop(struct daemon_devices *devices);
/* List of devices as docs/api.md shows them: new reference. Any thread. */
json_t *daemon_devices_view(struct daemon_devices *devices);
/* Shares of time from now to the rig's end, in percent up to 100; 0: as it is. *out as of
 * daemon_devices_shares. RR_ERR_STATE. Any thread. */
enum rr_err daemon_devices_share(struct daemon_devices *devices, uint32_t cpu_percent,
                                 uint32_t gpu_percent, json_t **out,
                                 struct rr_fault *fault) RR_MUST_USE;
/* {"cpu": percent, "gpu": percent}: new reference. Any thread. */
json_t *daemon_devices_shares(struct daemon_devices *devices);
/* Sentence when no device is left to search, "" otherwise. Any thread. */
void daemon_devices_alarm(struct daemon_devices *devices, char text[static 160]);
/* Appends counters and readings with the label `device` in Prometheus' text format. Any thread. */
void daemon_devices_metrics(struct daemon_devices *devices, struct rr_buf *out);
/* "pause", "resume", "restart", "tune" of the device `id`; tune blocks for seconds, restart returns
 * at once. *out: what to answer, new reference. RR_ERR_NOTFOUND, RR_ERR_STATE, RR_ERR_UNSUPPORTED.
 */
enum rr_err daemon_devices_command(struct daemon_devices *devices, const char *verb, const char *id,
                                   json_t **out, struct rr_fault *fault) RR_MUST_USE;
#endif

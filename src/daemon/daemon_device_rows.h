/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Inside of daemon_devices: what the watching thread writes and the views read. */
#ifndef RR_DAEMON_DEVICE_ROWS_H
#define RR_DAEMON_DEVICE_ROWS_H
#include "daemon/daemon_devices.h"

struct daemon_device_row {
    struct rr_hash_device_status status;
    struct rr_hash_sample sample;
    struct rr_hash_guard guard;
    struct rr_hash_guard_answer answer;
    uint64_t looked_us;
    bool guarded;        /* the engine uses it: it counts for the rig */
    bool paused_by_user; /* by command */
    struct daemon_devices *all;
    pthread_t restarter;
    bool restarting, joinable;
};

struct daemon_devices {
    struct rr_rig *rig;
    struct rr_hash_telemetry *telemetry;
    struct rr_hash_guard_options guards;
    pthread_t thread;
    struct rr_hash_device_status *seen; /* of the thread alone */
    pthread_mutex_t lock;
    pthread_cond_t wake;
    /* below under lock */
    bool stopping, down;
    uint32_t cpu_share, gpu_share;  /* percent of time, 1..100 */
    struct daemon_device_row *rows; /* RR_HASH_DEVICES_MAX; a row keeps its place */
    size_t count;
};
#endif

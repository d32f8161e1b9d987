/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A running rig: all modules of one data folder, built floor by floor. */
#ifndef RR_DAEMON_RIG_H
#define RR_DAEMON_RIG_H
#include "daemon/daemon_config.h"
#include "hash/hash.h"
#include "ledger/ledger.h"
#include "loop/loop.h"
#include "monitor/monitor.h"
#include "pay/pay.h"
#include "serve/serve.h"
#include "storage/storage.h"

#include <pthread.h>
#include <stdatomic.h>

struct daemon_devices;
struct daemon_job;
struct daemon_mining_pool;
struct daemon_stratum;
struct daemon_work;
struct rr_rig {
    struct rig_config config;
    char data[RR_PATH_BYTES]; /* folder of everything below */
    int lock_fd;
    uint64_t started_ms;
    const struct rr_clock *clock;
    struct rr_seckey *key;
    struct rr_pubkey public_key;
    struct rr_address address;
    struct rr_hash_light *light; /* NULL beside an engine, which has one: daemon_rig_light */
    struct rr_hash_engine *engine;
    struct rr_hash_tuning_file *tuning; /* of the engine */
    struct daemon_devices *devices;
    struct rr_store *store;
    struct rr_chain *chain;
    struct rr_till *till;
    struct rr_serve *serve;
    struct rr_monitor *monitor;
    struct daemon_work *work;               /* NULL: it offers none */
    struct daemon_stratum *stratum;         /* NULL: off */
    struct daemon_mining_pool *mining_pool; /* NULL: off; else the engine is its */
    struct rr_loop *loop;
    struct rr_pool *jobs_pool;   /* one thread: publishing jobs, one after the other */
    struct rr_pool *ledger_pool; /* one thread: settlements, snapshots */
    struct rr_timer *snapshot_timer;
    char token[65];
    char uploads[RR_PATH_BYTES]; /* bodies on their way in */
    const char *web_folder;
    bool job_records_unread; /* at the start: daemon_collect keeps everything then */
    pthread_t miner;
    bool miner_runs;
    atomic_bool stopping;
    atomic_bool settle_queued, snapshot_queued;

    pthread_mutex_t lock;       /* guards what follows */
    pthread_cond_t tip_changed; /* monotonic; also signalled by new bodies, searches, stopping */
    uint64_t tip_height;
    uint64_t tip_version, body_version; /* raised by each tip; by certificates and transactions */
    struct daemon_job *jobs;            /* newest first; never freed before the rig */
    uint64_t blocks_mined;
    uint32_t best_r_q32; /* highest reputation of a block mined here */
    uint64_t certificates_mined;
};

struct rig_arguments {
    const char *data;             /* folder; made when absent */
    const char *config_path;      /* NULL: built-in */
    const char *web_folder;       /* NULL: no pages */
    int serve_port, control_port; /* -1: as configured */
};
/* Opens everything and starts serving, mining and unfinished jobs. *out owned (daemon_rig_close).
 * Blocks. Writes control.json (mode 0600: addresses and token) into the data folder last: whoever
 * waits for it may talk to the rig. */
enum rr_err daemon_rig_open(struct rr_rig **out, struct rr_loop *loop,
                            const struct rig_arguments *arguments,
                            struct rr_fault *fault) RR_MUST_USE;
/* Stops in reverse order; under 2 s: running work is cancelled and goes on at the next start. */
void daemon_rig_close(struct rr_rig *rig);
/* Waits until the tip is at `height` or above; RR_ERR_CANCELLED when the rig stops. */
enum rr_err daemon_rig_wait_height(struct rr_rig *rig, uint64_t height,
                                   struct rr_fault *fault) RR_MUST_USE;
/* The light cache of this rig, borrowed for its life. Any thread. */
const struct rr_hash_light *daemon_rig_light(const struct rr_rig *rig);
/* Many at once, on the fastest device where the rig has an engine; as pay asks for it; ctx is the
 * rig. Any thread, blocks. */
bool daemon_rig_work_many(void *ctx, struct rr_proof_work *works, size_t count);
/* Light verification as ledger and pay ask for it; ctx is the rig. Any thread. */
bool daemon_rig_work(void *ctx, const uint8_t header_hash[32], uint64_t nonce, uint8_t mix[32],
                     uint8_t final_be[32]);
#endif

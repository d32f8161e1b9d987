/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Private to hash: the engine's state. One lock guards all that is said to be under it; backends,
 * callbacks and the light law run outside (README, "Threads"). */
#ifndef RR_HASH_ENGINE_STATE_H
#define RR_HASH_ENGINE_STATE_H
#include "hash/hash_jobs.h"
#include <pthread.h>

struct hash_device;
struct hash_run;

/* Parameters with their light cache. Counted: the engine, datasets, jobs and checks hold it. */
struct hash_epoch {
    struct rr_hash_params params;
    struct rr_hash_light *light;
    uint32_t holders;
};

/* An epoch as a device has it. */
struct hash_dataset {
    struct hash_epoch *epoch;
    void *state;    /* the backend's */
    uint32_t users; /* threads in the backend with it */
    bool whole;     /* false: light, and the whole one may follow */
    char text[96];
    struct hash_dataset *next_old;
};

/* A thread that searches. */
struct hash_slot {
    struct hash_run *run;
    uint32_t index;
    pthread_t thread;
    bool joinable, left;    /* left: its last look at the run is over */
    uint64_t busy_since_us; /* 0: not in the backend */
    uint64_t rest_until_us;
    struct hash_source source; /* of the works below */
    size_t count;              /* works in flight; 0 once they were given back */
    struct hash_job **jobs;    /* works_max of each */
    struct hash_work *works;
    struct hash_candidate *found;
};

/* A device from its opening to its closing. A lost one stays until its last thread has come back.
 */
struct hash_run {
    struct hash_device *device;
    void *handle;
    struct hash_opened opened;
    struct hash_dataset *now, *next, *old; /* old: a list, released when nobody uses them */
    const struct hash_epoch *refused;      /* no memory for this one beside the present */
    struct hash_slot *slots;
    uint32_t slot_count;
    bool dead;      /* lost: no answer counts any more */
    bool hangs;     /* found so by the watch: nobody waits for its threads */
    bool unproven;  /* its dataset is new: the proof comes before any search */
    bool verifying; /* a thread is in the backend's verify */
    uint64_t last_done_us, dead_since_us;
    struct hash_run *next_dead;
};

/* A batch of checks on its way through a device's thread. */
struct hash_request {
    struct hash_request *next;
    struct hash_epoch *epoch;
    struct rr_hash_check *checks; /* a copy: the caller may leave before a hanging device */
    size_t count;
    bool taken, returned; /* by a thread of the device */
    bool over, good;
    bool left; /* by the caller: the device's thread frees */
};

struct hash_device {
    struct rr_hash_engine *engine;
    const struct hash_backend *backend;
    uint32_t index;
    bool is_cpu;
    bool asked;    /* to search */
    int stands_in; /* for the device of this index when that cannot be used; -1 */
    /* under the engine's lock */
    struct rr_hash_device_status status;
    struct rr_fault fault; /* of the last start */
    struct hash_run *run;  /* NULL: closed */
    bool first_start, start, starting, tune, paused, last_resort;
    char paused_why[200];
    uint64_t start_at_us; /* UINT64_MAX: not by itself */
    uint64_t starts_done, tunes_done;
    enum rr_err start_err, tune_err;
    char tuned[96];
    uint64_t life, wrong_life, proofs, next_proof_us;
    bool proving;
    uint32_t quantum;
    uint64_t ps_per_hash; /* of one slot, running mean; 0: not known yet */
    uint64_t window_hashes, window_start_us, running_since_us, restarts_since_us;
    uint32_t restarts_in_row;
    uint64_t worth; /* hashes that the accepted results stand for */
    struct hash_request *requests;
    pthread_t keeper;
    bool keeper_runs, keeper_left;
};

/* Times that tests shorten. */
struct hash_times {
    uint64_t proof_us;   /* 0: none after the start */
    uint64_t hang_us;    /* no quantum for so long */
    uint64_t backoff_us; /* before the first restart; doubles */
    uint64_t steady_us;  /* running for so long forgets restarts */
    uint32_t restarts_max;
};
extern const struct hash_times hash_times_default;
struct hash_kit {
    const struct hash_backend *const *backends;
    size_t count;
    bool falls_back; /* to the device "cpu" when no other can be used */
    struct hash_times times;
};

#define HASH_CHECKERS_MAX 16
struct rr_hash_engine {
    struct hash_kit kit;
    uint32_t threads; /* of the CPU */
    uint64_t dataset_bytes_max;
    bool light_first;
    struct rr_hash_tuning_store tuning;
    atomic_bool cancel; /* of backends that prepare */
    _Atomic(const struct rr_hash_light *) light;
    _Atomic(const char *) text; /* one of texts */

    pthread_mutex_t lock;
    pthread_cond_t work;   /* nonces to search: for idle slots */
    pthread_cond_t change; /* of a device, an epoch, a request, or the end: for all who wait */
    pthread_cond_t gone;   /* a job's callback has returned */
    pthread_cond_t due;    /* a nearer deadline: for the watch */
    pthread_cond_t ready;  /* a job has ended: for the checkers */
    /* all below under lock */
    struct hash_jobs jobs;
    struct hash_job *ready_first, *ready_last;
    size_t ready_count;
    bool stopping;
    bool broken; /* no device is left */
    bool orphan; /* freed by its owner while a device hung: the last thread frees */
    struct hash_epoch *epoch, *previous, *next;
    bool next_wanted, switching;
    struct rr_hash_params next_params;
    struct hash_device devices[RR_HASH_DEVICES_MAX];
    uint32_t device_count;
    struct hash_run *dead; /* lost runs with threads that have not come back */
    uint32_t turn;         /* the largest quantum of a device */
    uint32_t cpu_percent, gpu_percent;
    uint32_t idle, idle_checkers;
    struct hash_text *texts;
    uint32_t threads_alive; /* of all kinds */

    pthread_mutex_t tuning_lock; /* around the tuning store; taken alone */
    pthread_t watch, builder, checkers[HASH_CHECKERS_MAX];
    bool watch_runs, builder_runs, builder_left;
    uint32_t checker_count;
};
#endif

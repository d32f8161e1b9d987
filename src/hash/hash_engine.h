/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Private to hash: the engine's inside. One lock guards all that is said to be under it; backends,
 * callbacks and the light law run outside (README, "Threads"). */
#ifndef RR_HASH_ENGINE_H
#define RR_HASH_ENGINE_H
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
    bool first_start, start, tune, busy, paused, light_only;
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

/* ---- hash_engine.c */
uint64_t hash_now_us(void);
/* Waits for cond until the time at most (UINT64_MAX: no end). Lock held. */
void hash_wait(struct rr_hash_engine *engine, pthread_cond_t *cond, uint64_t until_us);
/* Wakes slots and all that wait for a change. */
void hash_stir(struct rr_hash_engine *engine);
/* A thread with all signals blocked, counted in threads_alive; it ends by hash_thread_leaves. Lock
 * held. Gives an errno. */
int hash_thread_start(struct rr_hash_engine *engine, pthread_t *thread, void *(*body)(void *),
                      void *argument);
/* With the lock held, at the very end of a thread's body; gives the lock back. Frees an orphan. */
void hash_thread_leaves(struct rr_hash_engine *engine);
enum rr_err hash_engine_new_with(struct rr_hash_engine **out, const struct hash_kit *kit,
                                 const struct rr_hash_params *params,
                                 const struct rr_hash_options *options,
                                 struct rr_fault *fault) RR_MUST_USE;
extern struct rr_counter hash_hashes_total, hash_quanta_total, hash_failed_total, hash_checked_us;

/* ---- hash_check.c: mix and final of many by the light law. No lock needed. */
void hash_check_many(const struct hash_epoch *epoch, struct rr_hash_check *checks, size_t count);

/* After any change of what searches: the text of rr_hash_engine_text. Lock held. */
void hash_engine_retext(struct rr_hash_engine *engine);

/* ---- hash_engine_options.c */
const struct hash_backend *const *hash_backends(size_t *count);
enum rr_err hash_options_check(const struct rr_hash_options *options, struct rr_fault *fault);
/* Fills the engine's devices from the kit's backends and marks those asked for. RR_ERR_USAGE. */
enum rr_err hash_devices_select(struct rr_hash_engine *engine, const char *wish,
                                struct rr_fault *fault);

/* ---- hash_engine_devices.c: lock held in all */
bool hash_device_wants(const struct hash_device *device); /* RUNNING, or will be by itself */
void hash_device_state(struct hash_device *device, enum rr_hash_device_state state,
                       const char *why);
/* Gives back all works of the run, counts it dead, plans a restart unless `wrong`. */
void hash_device_lost(struct hash_device *device, struct hash_run *run, const char *why);
/* The law refused something of it: undoes what it did for unfinished jobs, off for good. */
void hash_device_wrong(struct hash_device *device, uint64_t life, const char *why);
/* A start that failed: the state by the error, stand-ins, the CPU when nothing else is left. */
void hash_device_failed(struct hash_device *device, const struct rr_fault *fault);
/* Ends all jobs as RR_HASH_FAILED when no device is left that will search. */
void hash_devices_count_left(struct rr_hash_engine *engine);
/* Wishes a device to search, and the CPU when no other can be used. */
void hash_device_ask(struct hash_device *device);
void hash_devices_fall_back(struct rr_hash_engine *engine);
/* At the engine's end: its run takes no more answers. */
void hash_device_close(struct hash_device *device);
uint64_t hash_device_rate(struct hash_device *device, uint64_t now_us);
void hash_device_timed(struct hash_device *device, uint64_t busy_us, uint64_t hashes);
struct hash_device *hash_device_find(struct rr_hash_engine *engine, const char *id);

/* ---- hash_engine_keeper.c: the thread that opens, prepares, tunes and closes a device */
enum rr_err hash_keeper_start(struct hash_device *device, struct rr_fault *fault);
/* Joins the threads of a dead run and closes it; false while one has not come back. Lock held at
 * call and return, not meanwhile. */
bool hash_run_reap(struct rr_hash_engine *engine, struct hash_run *run);

/* ---- hash_engine_slots.c */
void *hash_slot_body(void *slot);

/* ---- hash_engine_life.c: lock held in all */
/* Queues the job for its check and callback when it is ready. */
void hash_job_settle(struct rr_hash_engine *engine, struct hash_job *job);
void hash_jobs_for_each(struct rr_hash_engine *engine,
                        void (*visit)(struct rr_hash_engine *engine, struct hash_job *job));
void hash_job_fail(struct rr_hash_engine *engine, struct hash_job *job);
void hash_job_stale(struct rr_hash_engine *engine, struct hash_job *job);
/* Checks and delivers up to a batch of ready jobs; false when there is none. The lock is open
 * meanwhile. */
bool hash_deliver_some(struct rr_hash_engine *engine);
void *hash_checker_body(void *engine);
bool hash_in_callback(const struct rr_hash_engine *engine); /* on this thread; no lock needed */

/* ---- hash_engine_watch.c */
void *hash_watch_body(void *engine);

/* ---- hash_engine_epochs.c */
enum rr_err hash_epoch_new(struct hash_epoch **out, const struct rr_hash_params *params,
                           struct rr_fault *fault);
void hash_epoch_hold(struct hash_epoch *epoch);                                /* lock held */
void hash_epoch_drop(struct rr_hash_engine *engine, struct hash_epoch *epoch); /* lock held */
bool hash_params_equal(const struct rr_hash_params *a, const struct rr_hash_params *b);

/* ---- hash_engine_verify.c: lock held in both */
/* Serves one request of the run's device; false when there is none. The lock is open meanwhile. */
bool hash_request_serve(struct hash_slot *slot);
/* Ends all requests of a device without an answer. */
void hash_requests_fail(struct hash_device *device);
#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Private to hash: what the engine's files do for each other. */
#ifndef RR_HASH_ENGINE_H
#define RR_HASH_ENGINE_H
#include "hash/hash_engine_state.h"

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

/* ---- hash_engine_text.c */
/* After any change of what searches: the text of rr_hash_engine_text. Lock held. */
void hash_engine_retext(struct rr_hash_engine *engine);
void hash_texts_clear(struct rr_hash_engine *engine); /* at the end; no lock */

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
/* Takes what devices did in wrong lives out of a job; true when there was anything. */
bool hash_undo_wrong(struct rr_hash_engine *engine, struct hash_job *job);
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

/* ---- hash_engine_runs.c */
/* Opens, prepares and proves. No lock; the epoch is held by the caller, the run takes that over. */
enum rr_err hash_run_open(struct hash_run **out, struct hash_device *device,
                          struct hash_epoch *epoch, struct rr_fault *fault);
enum rr_err hash_run_start_slots(struct hash_device *device, struct hash_run *run,
                                 struct rr_fault *fault); /* lock held */
/* Joins the threads of a dead run and closes it; false while one has not come back. Lock held at
 * call and return, not meanwhile. */
bool hash_run_reap(struct rr_hash_engine *engine, struct hash_run *run);
bool hash_run_reap_some(struct hash_device *device); /* the same for one of this device's */
/* A device that is to start again waits so long for its threads, which hold its memory. Lock held.
 */
uint64_t hash_run_old_until(const struct hash_device *device);

/* ---- hash_engine_datasets.c */
uint64_t hash_dataset_bytes(const struct hash_epoch *epoch);
/* True when the device is to have the whole dataset of this epoch. */
bool hash_dataset_whole(const struct hash_device *device, const struct hash_epoch *epoch);
/* No lock. The epoch is held by the caller; the dataset takes that over on success. */
enum rr_err hash_dataset_make(struct hash_dataset **out, struct hash_device *device,
                              struct hash_run *run, struct hash_epoch *epoch, bool whole,
                              bool may_race, struct rr_fault *fault);
/* Races the variants and keeps the winner; nobody searches on it. No lock. */
enum rr_err hash_dataset_race(struct hash_device *device, const struct hash_dataset *dataset,
                              struct hash_tuning *best, struct rr_fault *fault);
/* What the kernel could give without paging; 0: not told. */
uint64_t hash_memory_left(void);
/* Lock held in all; open while a dataset is released. release_old: false when there was none. */
void hash_dataset_release(struct hash_device *device, struct hash_dataset *dataset);
void hash_dataset_retire(struct hash_run *run, struct hash_dataset **dataset);
bool hash_dataset_release_old(struct hash_run *run);

/* ---- hash_engine_slots.c */
void *hash_slot_body(void *slot);

/* ---- hash_engine_life.c: lock held in all */
/* Queues the job for its check and callback when it is ready. */
void hash_job_settle(struct rr_hash_engine *engine, struct hash_job *job);
void hash_jobs_for_each(struct rr_hash_engine *engine,
                        void (*visit)(struct rr_hash_engine *engine, struct hash_job *job));
void hash_job_fail(struct rr_hash_engine *engine, struct hash_job *job);
void hash_job_stale(struct rr_hash_engine *engine, struct hash_job *job);
/* ---- hash_engine_answers.c */
/* Queues a job that is ready; it is claimed by this. Lock held. */
void hash_queue(struct rr_hash_engine *engine, struct hash_job *job);
/* Checks and delivers up to a batch of ready jobs; false when there is none. The lock is open
 * meanwhile. */
bool hash_deliver_some(struct rr_hash_engine *engine);
/* The same for one job, claimed by the caller. */
void hash_deliver_one(struct rr_hash_engine *engine, struct hash_job *job);
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

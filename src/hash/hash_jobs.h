/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Private to hash: the table of jobs, by id and as the ring of those with nonces to give out. No
 * thread and no clock in it; the engine holds its lock around every call. */
#ifndef RR_HASH_JOBS_H
#define RR_HASH_JOBS_H
#include "hash/hash_backend.h"

struct hash_job {
    struct rr_hash_job spec; /* weight at least 1 */
    uint64_t id;
    void (*done)(void *ctx, const struct rr_hash_result *result);
    void *ctx;
    uint8_t boundary_be[32];

    struct hash_job *ring_next, *ring_before; /* NULL while not in the ring */
    struct hash_job *bucket_next;
    uint64_t next, last; /* nonces not yet given out, last included; meaningless when over */
    uint64_t credit;     /* of hashes, in 1 / RR_HASH_WEIGHT_MAX */
    bool credited;       /* for its present turn */

    struct hash_candidate best;
    uint64_t hashes;
    uint32_t in_flight; /* quanta at a backend */
    bool over;          /* gives out no more nonces */
    bool cancelled;
    bool claimed; /* somebody is to call done */
    bool gone;    /* done has returned; waiters may still look */
    uint32_t waiters;
    enum rr_hash_end end; /* valid once gone */
};

#define HASH_BUCKETS 4096
struct hash_jobs {
    struct hash_job *ring; /* whose turn it is; NULL when nobody has nonces */
    struct hash_job *buckets[HASH_BUCKETS];
    uint32_t count;                           /* in the buckets */
    uint32_t weights[RR_HASH_WEIGHT_MAX + 1]; /* jobs in the ring of each weight */
    uint64_t last_id;
    uint64_t first_deadline_us; /* not later than any in the ring; UINT64_MAX: none */
};
void hash_jobs_init(struct hash_jobs *jobs);
/* Gives the job an id, a place in the buckets and the last place in the ring. Job borrowed. */
void hash_jobs_add(struct hash_jobs *jobs, struct hash_job *job);
struct hash_job *hash_jobs_find(const struct hash_jobs *jobs, uint64_t id);
/* Out of the ring: the job gives out no more nonces. */
void hash_jobs_stop(struct hash_jobs *jobs, struct hash_job *job);
/* Out of the buckets too. */
void hash_jobs_remove(struct hash_jobs *jobs, struct hash_job *job);

/* Gives out up to `room` nonces of the job whose turn it is, by weighted deficit round robin with
 * turns of `quantum` hashes for the heaviest job. NULL when the ring is empty. in_flight rises by
 * one. */
struct hash_job *hash_jobs_take(struct hash_jobs *jobs, struct hash_work *work, uint32_t quantum,
                                uint32_t room);
/* Brings the result of a work back; a target that is solved stops. */
void hash_jobs_return(struct hash_jobs *jobs, struct hash_job *job,
                      const struct hash_candidate *candidate);
/* True when nobody works on it, nothing is left and nobody has claimed it yet. */
bool hash_job_ready(const struct hash_job *job);
#endif

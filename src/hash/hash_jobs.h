/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Private to hash: the table of jobs, by id, by deadline, and as the ring of those with nonces to
 * give out. No thread and no clock in it; the engine holds its lock around every call. */
#ifndef RR_HASH_JOBS_H
#define RR_HASH_JOBS_H
#include "hash/hash_backend.h"

struct hash_epoch;

/* Nonces, both included. */
struct hash_range {
    uint64_t first, last;
};
struct hash_ranges {
    struct hash_range *at; /* owned; NULL: none yet */
    uint32_t count, room;
};

/* Whose answer it is: a device, the how manieth time it was opened, its proofs until then. */
struct hash_source {
    uint32_t device;
    uint64_t life, proofs;
};
/* What one life of a device did for a job, so that it can be undone when the device was wrong. */
struct hash_part {
    struct hash_part *next;
    struct hash_source source;
    struct hash_candidate best;
    uint64_t hashes;
    struct hash_ranges done; /* argmin: all; target: since the device's last proof. Neighbours may
                                be merged over a gap: more is searched again then, never less */
};

struct hash_job {
    struct rr_hash_job spec; /* weight at least 1 */
    uint64_t id;
    void (*done)(void *ctx, const struct rr_hash_result *result);
    void *ctx;
    uint8_t boundary_be[32];
    struct hash_epoch *epoch; /* counted there; the table does not look */

    struct hash_job *ring_next, *ring_before; /* NULL while not in the ring */
    struct hash_job *bucket_next;
    uint32_t place[2];        /* in the heaps, from 1; 0: not there */
    uint64_t next, last;      /* nonces never given out, last included; meaningless when spent */
    bool spent;               /* all were given out once */
    struct hash_ranges again; /* given back, in rising order: go out first */
    uint64_t credit;          /* of hashes, in 1 / RR_HASH_WEIGHT_MAX */
    bool credited;            /* for its present turn */

    struct hash_candidate best; /* of all parts */
    struct hash_source best_of;
    struct hash_part *parts;
    struct hash_part first_part; /* most jobs need one */
    bool first_part_used;
    uint64_t hashes;
    uint32_t in_flight; /* works at backends */
    bool ended;         /* stopped: gives out nothing, takes nothing back */
    bool cancelled, stale, failed;
    bool claimed; /* somebody is to call done */
    bool gone;    /* done has returned; waiters may still look */
    uint32_t waiters;
    enum rr_hash_end end;        /* valid once gone */
    struct hash_job *ready_next; /* of the engine's queue while claimed */
};

/* Jobs by deadline, the first on top. */
struct hash_heap {
    struct hash_job **at; /* owned */
    uint32_t count, room;
    uint32_t which; /* of hash_job.place */
};

#define HASH_BUCKETS 16384
struct hash_jobs {
    struct hash_job *ring; /* whose turn it is; NULL when nobody has nonces */
    struct hash_job *buckets[HASH_BUCKETS];
    struct hash_heap deadlines;               /* all not ended that have one */
    struct hash_heap urgent;                  /* of these, those that had no turn yet */
    uint32_t count;                           /* in the buckets */
    uint32_t weights[RR_HASH_WEIGHT_MAX + 1]; /* jobs in the ring of each weight */
    uint32_t heaviest;                        /* of these */
    uint64_t last_id;
};
void hash_jobs_init(struct hash_jobs *jobs);
/* Frees what the table owns; the jobs are gone by then. */
void hash_jobs_clear(struct hash_jobs *jobs);
/* Gives the job an id, a place in the buckets and the last place in the ring. Job borrowed. */
void hash_jobs_add(struct hash_jobs *jobs, struct hash_job *job);
struct hash_job *hash_jobs_find(const struct hash_jobs *jobs, uint64_t id);
/* The job gives out no more nonces, whatever comes back. */
void hash_jobs_stop(struct hash_jobs *jobs, struct hash_job *job);
/* Out of the buckets too; frees its ranges and parts. */
void hash_jobs_remove(struct hash_jobs *jobs, struct hash_job *job);
/* The earliest deadline, UINT64_MAX: none. The job it is of: NULL when there is none. */
uint64_t hash_jobs_first_deadline(const struct hash_jobs *jobs, struct hash_job **job);

/* Gives out up to `room` nonces of the job whose turn it is: first turns by deadline, then weighted
 * deficit round robin with turns of `quantum` hashes for the heaviest job. Runs that do not end a
 * range are multiples of `step`. NULL when nothing can be given. in_flight rises by one. */
struct hash_job *hash_jobs_take(struct hash_jobs *jobs, struct hash_work *work, uint32_t quantum,
                                uint32_t room, uint32_t step);
/* Brings the answer to a work back; a target that is solved gives out only lower nonces. */
void hash_jobs_return(struct hash_jobs *jobs, struct hash_job *job, const struct hash_work *work,
                      struct hash_source source, const struct hash_candidate *candidate);
/* Brings a work back that has no answer: its nonces go out again. */
void hash_jobs_give_back(struct hash_jobs *jobs, struct hash_job *job,
                         const struct hash_work *work);
/* Undoes what a device did for a job in lives up to this one. True when there was anything. */
bool hash_jobs_undo(struct hash_jobs *jobs, struct hash_job *job, uint32_t device, uint64_t life);
/* True when nobody works on it, nothing is to be given out and nobody has claimed it yet. */
bool hash_job_ready(const struct hash_job *job);

/* ---- heap (hash_heap.c): removing a job that is not in it does nothing */
void hash_heap_add(struct hash_heap *heap, struct hash_job *job);
void hash_heap_remove(struct hash_heap *heap, struct hash_job *job);

/* ---- ranges and parts (hash_parts.c) */
/* Adds a range to a rising list, merged with neighbours; beyond `most`, the two that lie nearest
 * are merged over their gap. */
void hash_ranges_add(struct hash_ranges *ranges, struct hash_range range, uint32_t most);
/* The job's part of this source, made when it is missing. */
struct hash_part *hash_job_part(struct hash_job *job, struct hash_source source);
/* Books an answer. */
void hash_job_record(struct hash_job *job, const struct hash_work *work, struct hash_source source,
                     const struct hash_candidate *candidate);
/* Takes the parts of a device away, lives up to this one; their nonces are to go out again. */
bool hash_job_forget(struct hash_job *job, uint32_t device, uint64_t life);
void hash_job_clear_parts(struct hash_job *job);
#endif

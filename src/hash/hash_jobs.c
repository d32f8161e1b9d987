/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hash/hash_jobs.h"
#include <string.h>

bool hash_candidate_replaces(const struct hash_candidate *a, const struct hash_candidate *b,
                             enum rr_hash_kind kind)
{
    if (!b->found || !a->found) {
        return b->found;
    }
    int order = kind == RR_HASH_ARGMIN ? memcmp(b->final_be, a->final_be, 32) : 0;
    return order < 0 || (order == 0 && b->nonce < a->nonce);
}

void hash_jobs_init(struct hash_jobs *jobs)
{
    memset(jobs, 0, sizeof(*jobs));
    jobs->urgent.which = 1;
}

void hash_jobs_clear(struct hash_jobs *jobs)
{
    rr_free(jobs->deadlines.at);
    rr_free(jobs->urgent.at);
    hash_jobs_init(jobs);
}

/* ---- the ring -----------------------------------------------------------------------------------
 */
static bool solved(const struct hash_job *job)
{
    return job->spec.kind == RR_HASH_TARGET && job->best.found;
}

/* Nonces that were given back and still matter: of a solved target only the lower ones. */
static bool has_again(const struct hash_job *job)
{
    return job->again.count > 0 && (!solved(job) || job->again.at[0].first < job->best.nonce);
}

static bool wants_turns(const struct hash_job *job)
{
    return !job->ended && (has_again(job) || (!job->spent && !solved(job)));
}

static void enter_ring(struct hash_jobs *jobs, struct hash_job *job)
{
    struct hash_job *head = jobs->ring;
    if (head == NULL) {
        job->ring_next = job;
        job->ring_before = job;
        jobs->ring = job;
    } else {
        job->ring_next = head;
        job->ring_before = head->ring_before;
        job->ring_before->ring_next = job;
        head->ring_before = job;
    }
    job->credited = false;
    jobs->weights[job->spec.weight]++;
    jobs->heaviest = job->spec.weight > jobs->heaviest ? job->spec.weight : jobs->heaviest;
}

static void leave_ring(struct hash_jobs *jobs, struct hash_job *job)
{
    jobs->weights[job->spec.weight]--;
    while (jobs->heaviest > 1 && jobs->weights[jobs->heaviest] == 0) {
        jobs->heaviest--;
    }
    if (job->ring_next == job) {
        jobs->ring = NULL;
    } else {
        job->ring_before->ring_next = job->ring_next;
        job->ring_next->ring_before = job->ring_before;
        if (jobs->ring == job) {
            jobs->ring = job->ring_next;
        }
    }
    job->ring_next = NULL;
    job->ring_before = NULL;
    hash_heap_remove(&jobs->urgent, job);
}

static void place(struct hash_jobs *jobs, struct hash_job *job)
{
    bool wants = wants_turns(job);
    if (wants && job->ring_next == NULL) {
        enter_ring(jobs, job);
    } else if (!wants && job->ring_next != NULL) {
        leave_ring(jobs, job);
    }
}

/* ---- the table ----------------------------------------------------------------------------------
 */
void hash_jobs_add(struct hash_jobs *jobs, struct hash_job *job)
{
    job->id = ++jobs->last_id;
    struct hash_job **bucket = &jobs->buckets[job->id % HASH_BUCKETS];
    job->bucket_next = *bucket;
    *bucket = job;
    jobs->count++;
    place(jobs, job);
    if (job->spec.deadline_us != 0) {
        hash_heap_add(&jobs->deadlines, job);
        hash_heap_add(&jobs->urgent, job);
    }
}

struct hash_job *hash_jobs_find(const struct hash_jobs *jobs, uint64_t id)
{
    struct hash_job *job = jobs->buckets[id % HASH_BUCKETS];
    while (job != NULL && job->id != id) {
        job = job->bucket_next;
    }
    return job;
}

void hash_jobs_stop(struct hash_jobs *jobs, struct hash_job *job)
{
    job->ended = true;
    place(jobs, job);
    hash_heap_remove(&jobs->deadlines, job);
}

void hash_jobs_remove(struct hash_jobs *jobs, struct hash_job *job)
{
    hash_jobs_stop(jobs, job);
    struct hash_job **link = &jobs->buckets[job->id % HASH_BUCKETS];
    while (*link != job) {
        RR_CHECK(*link != NULL);
        link = &(*link)->bucket_next;
    }
    *link = job->bucket_next;
    jobs->count--;
    hash_job_clear_parts(job);
}

uint64_t hash_jobs_first_deadline(const struct hash_jobs *jobs, struct hash_job **job)
{
    *job = jobs->deadlines.count > 0 ? jobs->deadlines.at[0] : NULL;
    return *job != NULL ? (*job)->spec.deadline_us : UINT64_MAX;
}

/* ---- giving out ---------------------------------------------------------------------------------
 */
static void end_turn(struct hash_jobs *jobs, struct hash_job *job)
{
    job->credited = false;
    hash_heap_remove(&jobs->urgent, job); /* it had its turn: from now on in the ring's order */
    if (jobs->ring == job) {
        jobs->ring = job->ring_next;
    }
}

/* The nonces that are next of a job, at most `most`, in steps unless they end a range. */
static uint32_t next_run(const struct hash_job *job, uint64_t *first, uint64_t most, uint32_t step)
{
    bool again = has_again(job);
    uint64_t last = again ? job->again.at[0].last : job->last;
    *first = again ? job->again.at[0].first : job->next;
    if (most - 1 >= last - *first) {
        return (uint32_t)(last - *first + 1);
    }
    return (uint32_t)(most - most % step);
}

static void give(struct hash_job *job, struct hash_work *work, uint64_t first, uint32_t count)
{
    *work = (struct hash_work){.nonce = first, .count = count, .kind = job->spec.kind};
    memcpy(work->header_hash, job->spec.header_hash, 32);
    memcpy(work->boundary_be, job->boundary_be, 32);
    job->credit -= (uint64_t)count * RR_HASH_WEIGHT_MAX;
    job->in_flight++;
    uint64_t last = first + (count - 1);
    if (has_again(job)) {
        struct hash_ranges *again = &job->again;
        if (last < again->at[0].last) {
            again->at[0].first = last + 1;
        } else {
            again->count--;
            memmove(again->at, again->at + 1, again->count * sizeof(*again->at));
        }
    } else if (last == job->last) {
        job->spent = true;
    } else {
        job->next = last + 1;
    }
}

struct hash_job *hash_jobs_take(struct hash_jobs *jobs, struct hash_work *work, uint32_t quantum,
                                uint32_t room, uint32_t step)
{
    while (jobs->ring != NULL && room > 0) {
        struct hash_job *job = jobs->urgent.count > 0 ? jobs->urgent.at[0] : jobs->ring;
        if (!job->credited) {
            /* At least 1, so that every round brings the lightest job nearer to a whole hash. */
            job->credit +=
                (uint64_t)quantum * RR_HASH_WEIGHT_MAX * job->spec.weight / jobs->heaviest;
            job->credited = true;
        }
        uint64_t credit = job->credit / RR_HASH_WEIGHT_MAX;
        uint64_t first = 0;
        uint32_t count =
            credit == 0 ? 0 : next_run(job, &first, credit < room ? credit : room, step);
        if (count == 0 && credit >= step) {
            return NULL; /* too little room for a step: the turn goes on with the next taker */
        }
        if (count == 0) {
            end_turn(jobs, job);
            continue;
        }
        give(job, work, first, count);
        if (!wants_turns(job)) {
            leave_ring(jobs, job);
        } else if (job->credit < RR_HASH_WEIGHT_MAX) {
            end_turn(jobs, job);
        }
        return job;
    }
    return NULL;
}

/* ---- coming back --------------------------------------------------------------------------------
 */
void hash_jobs_return(struct hash_jobs *jobs, struct hash_job *job, const struct hash_work *work,
                      struct hash_source source, const struct hash_candidate *candidate)
{
    job->in_flight--;
    hash_job_record(job, work, source, candidate);
    /* Nonces are given out in order: once those in flight are back, the lowest solution is known.
     */
    place(jobs, job);
}

void hash_jobs_give_back(struct hash_jobs *jobs, struct hash_job *job, const struct hash_work *work)
{
    job->in_flight--;
    if (!job->ended) {
        hash_ranges_add(
            &job->again,
            (struct hash_range){.first = work->nonce, .last = work->nonce + (work->count - 1)},
            UINT32_MAX);
        place(jobs, job);
    }
}

bool hash_jobs_undo(struct hash_jobs *jobs, struct hash_job *job, uint32_t device, uint64_t life)
{
    bool any = hash_job_forget(job, device, life);
    place(jobs, job);
    return any;
}

bool hash_job_ready(const struct hash_job *job)
{
    return job->ring_next == NULL && job->in_flight == 0 && !job->claimed;
}

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
    jobs->first_deadline_us = UINT64_MAX;
}

void hash_jobs_add(struct hash_jobs *jobs, struct hash_job *job)
{
    job->id = ++jobs->last_id;
    struct hash_job **bucket = &jobs->buckets[job->id % HASH_BUCKETS];
    job->bucket_next = *bucket;
    *bucket = job;
    jobs->count++;

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
    jobs->weights[job->spec.weight]++;
    if (job->spec.deadline_us != 0 && job->spec.deadline_us < jobs->first_deadline_us) {
        jobs->first_deadline_us = job->spec.deadline_us;
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
    job->over = true;
    if (job->ring_next == NULL) {
        return;
    }
    jobs->weights[job->spec.weight]--;
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
}

static uint32_t heaviest(const struct hash_jobs *jobs)
{
    uint32_t weight = RR_HASH_WEIGHT_MAX;
    while (weight > 1 && jobs->weights[weight] == 0) {
        weight--;
    }
    return weight;
}

static void end_turn(struct hash_jobs *jobs, struct hash_job *job)
{
    job->credited = false;
    jobs->ring = job->ring_next;
}

struct hash_job *hash_jobs_take(struct hash_jobs *jobs, struct hash_work *work, uint32_t quantum,
                                uint32_t room)
{
    while (jobs->ring != NULL) {
        struct hash_job *job = jobs->ring;
        if (!job->credited) {
            /* At least 1, so that every round brings the lightest job nearer to a whole hash. */
            job->credit +=
                (uint64_t)quantum * RR_HASH_WEIGHT_MAX * job->spec.weight / heaviest(jobs);
            job->credited = true;
        }
        uint64_t take = job->credit / RR_HASH_WEIGHT_MAX;
        take = take < room ? take : room;
        if (take == 0) {
            end_turn(jobs, job);
            continue;
        }
        bool all = take - 1 >= job->last - job->next;
        if (all) {
            take = job->last - job->next + 1;
        }
        *work =
            (struct hash_work){.nonce = job->next, .count = (uint32_t)take, .kind = job->spec.kind};
        memcpy(work->header_hash, job->spec.header_hash, 32);
        memcpy(work->boundary_be, job->boundary_be, 32);
        job->credit -= take * RR_HASH_WEIGHT_MAX;
        job->in_flight++;
        if (all) {
            hash_jobs_stop(jobs, job);
        } else {
            job->next += take;
            if (job->credit < RR_HASH_WEIGHT_MAX) {
                end_turn(jobs, job);
            }
        }
        return job;
    }
    return NULL;
}

void hash_jobs_return(struct hash_jobs *jobs, struct hash_job *job,
                      const struct hash_candidate *candidate)
{
    job->in_flight--;
    job->hashes += candidate->done;
    if (hash_candidate_replaces(&job->best, candidate, job->spec.kind)) {
        job->best = *candidate;
    }
    /* Nonces are given out in order: once those in flight are back, the lowest solution is known.
     */
    if (candidate->found && job->spec.kind == RR_HASH_TARGET) {
        hash_jobs_stop(jobs, job);
    }
}

bool hash_job_ready(const struct hash_job *job)
{
    return job->over && job->in_flight == 0 && !job->claimed;
}

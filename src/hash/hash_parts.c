/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Who searched which nonces of a job: what a wrong device did is undone by it. */
#include "hash/hash_jobs.h"
#include <string.h>

#define RANGES_MAX 64 /* of a part: 1 KiB; above, ranges are merged over the smallest gap */

static void merge_with_next(struct hash_ranges *ranges, uint32_t i)
{
    struct hash_range *at = ranges->at;
    at[i].last = at[i].last > at[i + 1].last ? at[i].last : at[i + 1].last;
    memmove(&at[i + 1], &at[i + 2], (ranges->count - i - 2) * sizeof(*at));
    ranges->count--;
}

static bool touches(struct hash_range low, struct hash_range high)
{
    return high.first <= low.last || high.first - low.last == 1;
}

static uint32_t smallest_gap(const struct hash_ranges *ranges)
{
    uint32_t best = 0;
    uint64_t least = UINT64_MAX;
    for (uint32_t i = 0; i + 1 < ranges->count; i++) {
        uint64_t gap = ranges->at[i + 1].first - ranges->at[i].last;
        if (gap < least) {
            least = gap;
            best = i;
        }
    }
    return best;
}

void hash_ranges_add(struct hash_ranges *ranges, struct hash_range range, uint32_t most)
{
    uint32_t i = ranges->count; /* most come in order: look from the end */
    while (i > 0 && ranges->at[i - 1].first > range.first) {
        i--;
    }
    if (i > 0 && touches(ranges->at[i - 1], range)) {
        i--;
        ranges->at[i].last = ranges->at[i].last > range.last ? ranges->at[i].last : range.last;
    } else {
        if (ranges->count == ranges->room) {
            ranges->room = ranges->room == 0 ? 2 : ranges->room * 2;
            ranges->at = rr_realloc(ranges->at, ranges->room * sizeof(*ranges->at));
        }
        memmove(&ranges->at[i + 1], &ranges->at[i], (ranges->count - i) * sizeof(*ranges->at));
        ranges->at[i] = range;
        ranges->count++;
    }
    while (i + 1 < ranges->count && touches(ranges->at[i], ranges->at[i + 1])) {
        merge_with_next(ranges, i);
    }
    if (ranges->count > most) {
        merge_with_next(ranges, smallest_gap(ranges));
    }
}

struct hash_part *hash_job_part(struct hash_job *job, struct hash_source source)
{
    struct hash_part *part = job->parts;
    while (part != NULL &&
           (part->source.device != source.device || part->source.life != source.life)) {
        part = part->next;
    }
    if (part == NULL) {
        part = job->first_part_used ? rr_alloc(sizeof(*part)) : &job->first_part;
        job->first_part_used = true;
        *part = (struct hash_part){.next = job->parts, .source = source};
        job->parts = part;
    }
    return part;
}

static void free_part(struct hash_job *job, struct hash_part *part)
{
    rr_free(part->done.at);
    if (part != &job->first_part) {
        rr_free(part);
    }
}

void hash_job_clear_parts(struct hash_job *job)
{
    while (job->parts != NULL) {
        struct hash_part *part = job->parts;
        job->parts = part->next;
        free_part(job, part);
    }
    rr_free(job->again.at);
    job->again = (struct hash_ranges){0};
}

static void find_best(struct hash_job *job)
{
    job->best = (struct hash_candidate){0};
    for (const struct hash_part *part = job->parts; part != NULL; part = part->next) {
        if (hash_candidate_replaces(&job->best, &part->best, job->spec.kind)) {
            job->best = part->best;
            job->best_of = part->source;
        }
    }
}

void hash_job_record(struct hash_job *job, const struct hash_work *work, struct hash_source source,
                     const struct hash_candidate *candidate)
{
    struct hash_part *part = hash_job_part(job, source);
    job->hashes += candidate->done;
    part->hashes += candidate->done;
    if (job->spec.kind == RR_HASH_TARGET && !job->best.found &&
        source.proofs > part->source.proofs) {
        part->done.count = 0; /* an endless search need not remember what a proof has cleared */
        part->source.proofs = source.proofs;
    }
    hash_ranges_add(
        &part->done,
        (struct hash_range){.first = work->nonce, .last = work->nonce + (work->count - 1)},
        RANGES_MAX);
    if (hash_candidate_replaces(&part->best, candidate, job->spec.kind)) {
        part->best = *candidate;
    }
    if (hash_candidate_replaces(&job->best, candidate, job->spec.kind)) {
        job->best = *candidate;
        job->best_of = source;
    }
}

bool hash_job_forget(struct hash_job *job, uint32_t device, uint64_t life)
{
    bool any = false;
    struct hash_part **link = &job->parts;
    while (*link != NULL) {
        struct hash_part *part = *link;
        if (part->source.device != device || part->source.life > life) {
            link = &part->next;
            continue;
        }
        for (uint32_t i = 0; i < part->done.count; i++) {
            hash_ranges_add(&job->again, part->done.at[i], UINT32_MAX);
        }
        job->hashes -= part->hashes;
        *link = part->next;
        job->first_part_used = job->first_part_used && part != &job->first_part;
        free_part(job, part);
        any = true;
    }
    if (any) {
        find_best(job);
    }
    return any;
}

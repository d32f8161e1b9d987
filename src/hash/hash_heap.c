/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Jobs by deadline: who is out of time, and who is to have the first turn. */
#include "hash/hash_jobs.h"

static bool before(const struct hash_job *a, const struct hash_job *b)
{
    return a->spec.deadline_us != b->spec.deadline_us ? a->spec.deadline_us < b->spec.deadline_us
                                                      : a->id < b->id;
}

static void put(struct hash_heap *heap, uint32_t i, struct hash_job *job)
{
    heap->at[i] = job;
    job->place[heap->which] = i + 1;
}

static void rise(struct hash_heap *heap, uint32_t i, struct hash_job *job)
{
    while (i > 0 && before(job, heap->at[(i - 1) / 2])) {
        put(heap, i, heap->at[(i - 1) / 2]);
        i = (i - 1) / 2;
    }
    put(heap, i, job);
}

static void sink(struct hash_heap *heap, uint32_t i, struct hash_job *job)
{
    for (;;) {
        uint32_t child = 2 * i + 1;
        if (child + 1 < heap->count && before(heap->at[child + 1], heap->at[child])) {
            child++;
        }
        if (child >= heap->count || !before(heap->at[child], job)) {
            break;
        }
        put(heap, i, heap->at[child]);
        i = child;
    }
    put(heap, i, job);
}

void hash_heap_add(struct hash_heap *heap, struct hash_job *job)
{
    if (heap->count == heap->room) {
        heap->room = heap->room == 0 ? 64 : heap->room * 2;
        heap->at = rr_realloc(heap->at, heap->room * sizeof(void *));
    }
    rise(heap, heap->count++, job);
}

void hash_heap_remove(struct hash_heap *heap, struct hash_job *job)
{
    uint32_t place = job->place[heap->which];
    if (place == 0) {
        return;
    }
    job->place[heap->which] = 0;
    heap->count--;
    if (place - 1 == heap->count) {
        return;
    }
    struct hash_job *moved = heap->at[heap->count];
    if (place > 1 && before(moved, heap->at[(place - 2) / 2])) {
        rise(heap, place - 1, moved);
    } else {
        sink(heap, place - 1, moved);
    }
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "pay/pay_till.h"
#include <string.h>

static uint32_t start_of(uint64_t number, uint32_t capacity)
{
    /* Fibonacci hashing: chunk numbers of one rendition differ in their low bits only. */
    return (uint32_t)((number * UINT64_C(0x9e3779b97f4a7c15)) >> 32) & (capacity - 1);
}

/* The chunk, or the unused place where it belongs. capacity > 0 and never full. */
static struct pay_chunk *place_of(struct pay_chunk *chunks, uint32_t capacity, uint64_t number)
{
    uint32_t at = start_of(number, capacity);
    while (chunks[at].used && chunks[at].number != number) {
        at = (at + 1) & (capacity - 1);
    }
    return &chunks[at];
}

static struct pay_chunk *make_chunk(struct pay_slices *slices, uint64_t number)
{
    if (slices->count * 4 >= slices->capacity * 3) {
        uint32_t capacity = slices->capacity == 0 ? 4 : slices->capacity * 2;
        struct pay_chunk *chunks = rr_alloc_array(capacity, sizeof(*chunks));
        for (uint32_t i = 0; i < slices->capacity; i++) {
            if (slices->chunks[i].used) {
                *place_of(chunks, capacity, slices->chunks[i].number) = slices->chunks[i];
            }
        }
        rr_free(slices->chunks);
        slices->chunks = chunks;
        slices->capacity = capacity;
    }
    struct pay_chunk *chunk = place_of(slices->chunks, slices->capacity, number);
    if (!chunk->used) {
        *chunk = (struct pay_chunk){.number = number, .used = true};
        slices->count++;
    }
    return chunk;
}

bool pay_slices_has(const struct pay_slices *slices, uint64_t key)
{
    if (slices->count == 0) {
        return false;
    }
    const struct pay_chunk *chunk = place_of(slices->chunks, slices->capacity, key >> 9);
    return chunk->used && (chunk->bits[(key & 511) / 8] & 1u << (key % 8)) != 0;
}

static void mark_dirty(struct pay_slices *slices, struct pay_chunk *chunk)
{
    if (chunk->dirty) {
        return;
    }
    if (slices->changed_count == slices->changed_capacity) {
        slices->changed_capacity = slices->changed_capacity == 0 ? 4 : slices->changed_capacity * 2;
        slices->changed = rr_realloc(slices->changed, slices->changed_capacity * sizeof(uint64_t));
    }
    slices->changed[slices->changed_count++] = chunk->number;
    chunk->dirty = true;
}

void pay_slices_add(struct pay_slices *slices, uint64_t key)
{
    struct pay_chunk *chunk = make_chunk(slices, key >> 9);
    chunk->bits[(key & 511) / 8] |= (uint8_t)(1u << (key % 8));
    mark_dirty(slices, chunk);
}

const struct pay_chunk *pay_slices_next_dirty(struct pay_slices *slices)
{
    if (slices->changed_count == 0) {
        return NULL;
    }
    uint64_t number = slices->changed[--slices->changed_count];
    struct pay_chunk *chunk = place_of(slices->chunks, slices->capacity, number);
    chunk->dirty = false;
    return chunk;
}

void pay_slices_load(struct pay_slices *slices, uint64_t number,
                     const uint8_t bits[static PAY_CHUNK_BYTES])
{
    memcpy(make_chunk(slices, number)->bits, bits, PAY_CHUNK_BYTES);
}

void pay_slices_set_dirty(struct pay_slices *slices)
{
    for (uint32_t i = 0; i < slices->capacity; i++) {
        if (slices->chunks[i].used) {
            mark_dirty(slices, &slices->chunks[i]);
        }
    }
}

void pay_slices_clear(struct pay_slices *slices)
{
    rr_free(slices->chunks);
    rr_free(slices->changed);
    *slices = (struct pay_slices){0};
}

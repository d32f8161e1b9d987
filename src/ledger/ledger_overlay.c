/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Changes in memory over another view: every record is read below at most once, and only the net
 * difference of a block reaches the state hash and the disk. */
#include "ledger/ledger_state.h"

#include <string.h>

#define CHUNK_BYTES 65536

struct chunk {
    struct chunk *next;
    size_t used;
    uint8_t bytes[CHUNK_BYTES];
};

struct ledger_overlay {
    struct ledger_view below;
    struct ledger_change *changes; /* in first-touch order */
    uint32_t count, cap;
    uint32_t *slots; /* index + 1 into changes; 0: free */
    uint32_t mask;
    uint64_t seed; /* keys come from strangers: no two processes hash alike */
    struct chunk *chunks;
};

static uint64_t mix(uint64_t a)
{
    a ^= a >> 32;
    a *= UINT64_C(0xd6e8feb86659fd93);
    a ^= a >> 32;
    a *= UINT64_C(0xd6e8feb86659fd93);
    return a ^ a >> 32;
}

static uint64_t hash_key(const struct ledger_overlay *overlay, uint8_t table,
                         const struct ledger_key *key)
{
    uint64_t h = mix(overlay->seed ^ ((uint64_t)table << 8 | key->len));
    for (size_t at = 0; at < key->len; at += 8) {
        uint8_t word[8] = {0};
        size_t left = key->len - at;
        memcpy(word, key->bytes + at, left < 8 ? left : 8);
        h = mix((h ^ rr_load_u64le(word)) + overlay->seed);
    }
    return h;
}

struct ledger_overlay *ledger_overlay_new(const struct ledger_view *below)
{
    struct ledger_overlay *overlay = rr_alloc(sizeof *overlay);
    overlay->below = *below;
    overlay->cap = 64;
    overlay->changes = rr_alloc_array(overlay->cap, sizeof *overlay->changes);
    overlay->mask = 127;
    overlay->slots = rr_alloc_array(overlay->mask + 1, sizeof *overlay->slots);
    rr_random(&overlay->seed, sizeof overlay->seed);
    return overlay;
}

void ledger_overlay_free(struct ledger_overlay *overlay)
{
    if (overlay == NULL) {
        return;
    }
    while (overlay->chunks != NULL) {
        struct chunk *next = overlay->chunks->next;
        rr_free(overlay->chunks);
        overlay->chunks = next;
    }
    rr_free(overlay->changes);
    rr_free(overlay->slots);
    rr_free(overlay);
}

void ledger_overlay_set_below(struct ledger_overlay *overlay, const struct ledger_view *below)
{
    overlay->below = *below;
}

static uint8_t *keep(struct ledger_overlay *overlay, size_t len)
{
    if (overlay->chunks == NULL || overlay->chunks->used + len > CHUNK_BYTES) {
        struct chunk *chunk = rr_alloc(sizeof *chunk);
        chunk->next = overlay->chunks;
        overlay->chunks = chunk;
    }
    uint8_t *at = overlay->chunks->bytes + overlay->chunks->used;
    overlay->chunks->used += len;
    return at;
}

static void grow(struct ledger_overlay *overlay)
{
    overlay->cap *= 2;
    overlay->changes = rr_realloc(overlay->changes, overlay->cap * sizeof *overlay->changes);
    overlay->mask = overlay->mask * 2 + 1;
    rr_free(overlay->slots);
    overlay->slots = rr_alloc_array((size_t)overlay->mask + 1, sizeof *overlay->slots);
    for (uint32_t i = 0; i < overlay->count; i++) {
        uint32_t at =
            (uint32_t)hash_key(overlay, overlay->changes[i].table, &overlay->changes[i].key) &
            overlay->mask;
        while (overlay->slots[at] != 0) {
            at = (at + 1) & overlay->mask;
        }
        overlay->slots[at] = i + 1;
    }
}

static bool same_key(const struct ledger_change *change, uint8_t table,
                     const struct ledger_key *key)
{
    return change->table == table && change->key.len == key->len &&
           memcmp(change->key.bytes, key->bytes, key->len) == 0;
}

/* The entry of a record, read below when it is new here. */
static enum rr_err find(struct ledger_overlay *overlay, enum ledger_table table,
                        const struct ledger_key *key, struct ledger_change **out,
                        struct rr_fault *fault)
{
    uint32_t at = (uint32_t)hash_key(overlay, (uint8_t)table, key) & overlay->mask;
    while (overlay->slots[at] != 0) {
        struct ledger_change *change = &overlay->changes[overlay->slots[at] - 1];
        if (same_key(change, (uint8_t)table, key)) {
            *out = change;
            return RR_OK;
        }
        at = (at + 1) & overlay->mask;
    }
    struct ledger_value value;
    enum rr_err err = overlay->below.get(overlay->below.ctx, table, key, &value, fault);
    if (err != RR_OK) {
        return err;
    }
    overlay->slots[at] = overlay->count + 1;
    struct ledger_change *change = &overlay->changes[overlay->count++];
    *change = (struct ledger_change){.table = (uint8_t)table, .key = *key};
    change->old_len = change->now_len = value.len;
    if (value.len != 0) {
        change->old = change->now = keep(overlay, value.len);
        memcpy(change->old, value.bytes, value.len);
    }
    if (overlay->count == overlay->cap) {
        grow(overlay);
        change = &overlay->changes[overlay->count - 1];
    }
    *out = change;
    return RR_OK;
}

static enum rr_err overlay_get(void *ctx, enum ledger_table table, const struct ledger_key *key,
                               struct ledger_value *out, struct rr_fault *fault)
{
    struct ledger_change *change;
    enum rr_err err = find(ctx, table, key, &change, fault);
    if (err != RR_OK) {
        return err;
    }
    out->len = change->now_len;
    if (change->now_len != 0) {
        memcpy(out->bytes, change->now, change->now_len);
    }
    return RR_OK;
}

static enum rr_err overlay_put(void *ctx, enum ledger_table table, const struct ledger_key *key,
                               const struct ledger_value *value, struct rr_fault *fault)
{
    struct ledger_change *change;
    enum rr_err err = find(ctx, table, key, &change, fault);
    if (err != RR_OK) {
        return err;
    }
    /* Records of a table have one length, so a second write fits where the first went. */
    if (value->len != 0 && (change->now == NULL || change->now == change->old)) {
        change->now = keep(ctx, value->len);
    }
    change->now_len = value->len;
    if (value->len != 0) {
        memcpy(change->now, value->bytes, value->len);
    }
    return RR_OK;
}

struct ledger_view ledger_overlay_view(struct ledger_overlay *overlay)
{
    return (struct ledger_view){.ctx = overlay, .get = overlay_get, .put = overlay_put};
}

enum rr_err ledger_overlay_visit(struct ledger_overlay *overlay,
                                 enum rr_err (*visit)(void *ctx, const struct ledger_change *change,
                                                      struct rr_fault *fault),
                                 void *ctx, struct rr_fault *fault)
{
    for (uint32_t i = 0; i < overlay->count; i++) {
        const struct ledger_change *change = &overlay->changes[i];
        if (change->old_len == change->now_len &&
            (change->now_len == 0 || memcmp(change->old, change->now, change->now_len) == 0)) {
            continue;
        }
        enum rr_err err = visit(ctx, change, fault);
        if (err != RR_OK) {
            return err;
        }
    }
    return RR_OK;
}

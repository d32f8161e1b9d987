/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "proof/proof.h"
#include <stdlib.h>
#include <string.h>

uint32_t rr_proof_entries_max(const struct rr_genesis *genesis)
{
    uint32_t form = RR_CERTIFICATE_SET_MAX * RR_HEADER_SETS_MAX;
    return genesis->certificates_per_block < form ? genesis->certificates_per_block : form;
}

static int compare_place(const struct rr_certificate *a, const struct rr_certificate *b)
{
    int order = memcmp(a->viewer.bytes, b->viewer.bytes, sizeof(a->viewer.bytes));
    if (order != 0) {
        return order;
    }
    return (a->block_height > b->block_height) - (a->block_height < b->block_height);
}

/* By place; more credit first, then the lower nonce, so that the result does not hang on the order
 * given. */
static int compare_entries(const void *left, const void *right)
{
    const struct rr_certificate_entry *a = left;
    const struct rr_certificate_entry *b = right;
    int order = compare_place(&a->certificate, &b->certificate);
    if (order != 0) {
        return order;
    }
    if (a->credit_ms != b->credit_ms) {
        return a->credit_ms > b->credit_ms ? -1 : 1;
    }
    return (a->certificate.nonce > b->certificate.nonce) -
           (a->certificate.nonce < b->certificate.nonce);
}

/* Room of each distinct pool, asked once and used up entry by entry. */
struct pool_room {
    struct rr_hash32 pool_id;
    uint64_t left_ms;
};
struct rooms {
    struct pool_room *items; /* sorted by pool_id */
    uint32_t count;
};

static int compare_rooms(const void *left, const void *right)
{
    const struct pool_room *a = left;
    const struct pool_room *b = right;
    return rr_hash32_compare(&a->pool_id, &b->pool_id);
}

static void finish_rooms(struct rooms *rooms, struct rr_proof_room room)
{
    qsort(rooms->items, rooms->count, sizeof(*rooms->items), compare_rooms);
    uint32_t kept = 0;
    for (uint32_t i = 0; i < rooms->count; i++) {
        if (kept == 0 ||
            !rr_hash32_equal(&rooms->items[kept - 1].pool_id, &rooms->items[i].pool_id)) {
            rooms->items[kept] = rooms->items[i];
            rooms->items[kept].left_ms = room.ms(room.ctx, &rooms->items[kept].pool_id);
            kept++;
        }
    }
    rooms->count = kept;
}

/* Takes up to want_ms out of the pool's room. */
static uint64_t take_room(struct rooms *rooms, const struct rr_hash32 *pool_id, uint64_t want_ms)
{
    struct pool_room key = {.pool_id = *pool_id};
    struct pool_room *room = bsearch(&key, rooms->items, rooms->count, sizeof(key), compare_rooms);
    RR_CHECK(room != NULL);
    uint64_t got = want_ms < room->left_ms ? want_ms : room->left_ms;
    room->left_ms -= got;
    return got;
}

static void collect_rooms(struct rooms *rooms, const struct rr_certificate_entry *entries,
                          uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        rooms->items[rooms->count++].pool_id = entries[i].pool_id;
    }
}

void rr_proof_sets_build(const struct rr_genesis *genesis, struct rr_certificate_set **sets,
                         uint32_t *count, struct rr_certificate_entry *entries,
                         uint32_t entry_count, struct rr_proof_room room)
{
    bool bound = genesis->certificate_binding == RR_BINDING_POOL;
    uint32_t most = rr_proof_entries_max(genesis);
    struct rooms rooms = {0};
    *sets = NULL;
    *count = 0;
    if (entry_count == 0) {
        return;
    }
    qsort(entries, entry_count, sizeof(*entries), compare_entries);
    if (bound) {
        rooms.items = rr_alloc_array(entry_count, sizeof(*rooms.items));
        collect_rooms(&rooms, entries, entry_count);
        finish_rooms(&rooms, room);
    }
    uint32_t kept = 0;
    const struct rr_certificate *last = NULL;
    for (uint32_t i = 0; i < entry_count && kept < most; i++) {
        struct rr_certificate_entry entry = entries[i];
        if (last != NULL && compare_place(last, &entry.certificate) == 0) {
            continue;
        }
        if (bound) {
            entry.credit_ms = take_room(&rooms, &entry.pool_id, entry.credit_ms);
        } else {
            entry.pool_id = (struct rr_hash32){{0}};
        }
        if (entry.credit_ms == 0) {
            continue;
        }
        entries[kept] = entry;
        last = &entries[kept].certificate;
        kept++;
    }
    rr_free(rooms.items);
    uint32_t set_count =
        kept / RR_CERTIFICATE_SET_MAX + (kept % RR_CERTIFICATE_SET_MAX != 0 ? 1 : 0);
    if (set_count == 0) {
        return;
    }
    struct rr_certificate_set *made = rr_alloc_array(set_count, sizeof(*made));
    for (uint32_t s = 0; s < set_count; s++) {
        uint32_t from = s * RR_CERTIFICATE_SET_MAX;
        made[s].count = kept - from < RR_CERTIFICATE_SET_MAX ? kept - from : RR_CERTIFICATE_SET_MAX;
        made[s].entries = rr_alloc_array(made[s].count, sizeof(*made[s].entries));
        memcpy(made[s].entries, entries + from, made[s].count * sizeof(*entries));
    }
    *sets = made;
    *count = set_count;
}

void rr_proof_sets_free(struct rr_certificate_set *sets, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        rr_certificate_set_clear(&sets[i]);
    }
    rr_free(sets);
}

/* Order and ownership of one entry after the one before it. */
static enum rr_err check_entry(const struct rr_genesis *genesis,
                               const struct rr_certificate_entry *entry,
                               const struct rr_certificate *last,
                               const struct rr_certificate *first, uint32_t set, uint32_t index,
                               struct rr_fault *fault)
{
    if (last != NULL && compare_place(last, &entry->certificate) >= 0) {
        return rr_fail(fault, RR_ERR_TRUST,
                       "set %u, entry %u: not above the entry before it by (viewer, block)", set,
                       index);
    }
    if (!rr_equal_secret(&entry->certificate.cacher, &first->cacher, sizeof(first->cacher))) {
        return rr_fail(fault, RR_ERR_TRUST, "set %u, entry %u: another cacher than the first's",
                       set, index);
    }
    bool bound = genesis->certificate_binding == RR_BINDING_POOL;
    if (rr_hash32_is_zero(&entry->pool_id) == bound) {
        return rr_fail(fault, RR_ERR_TRUST,
                       bound ? "set %u, entry %u: bound to no pool"
                             : "set %u, entry %u: bound to a pool on a chain that binds to none",
                       set, index);
    }
    uint64_t puzzle_ms = (uint64_t)genesis->puzzle_blocks * genesis->block_ms;
    if (entry->credit_ms == 0 || entry->credit_ms > puzzle_ms) {
        return rr_fail(fault, RR_ERR_LIMIT,
                       "set %u, entry %u: %llu ms of credit, a puzzle gives 1 to %llu", set, index,
                       (unsigned long long)entry->credit_ms, (unsigned long long)puzzle_ms);
    }
    return RR_OK;
}

static enum rr_err check_rooms(const struct rr_certificate_set *sets, uint32_t count,
                               uint32_t entries, struct rr_proof_room room, struct rr_fault *fault)
{
    struct rooms rooms = {.items = rr_alloc_array(entries, sizeof(*rooms.items))};
    enum rr_err err = RR_OK;
    for (uint32_t s = 0; s < count; s++) {
        collect_rooms(&rooms, sets[s].entries, sets[s].count);
    }
    finish_rooms(&rooms, room);
    for (uint32_t s = 0; s < count && err == RR_OK; s++) {
        for (uint32_t i = 0; i < sets[s].count && err == RR_OK; i++) {
            const struct rr_certificate_entry *entry = &sets[s].entries[i];
            if (take_room(&rooms, &entry->pool_id, entry->credit_ms) != entry->credit_ms) {
                err = rr_fail(fault, RR_ERR_LIMIT,
                              "set %u, entry %u: more credit than its pool has paid for", s, i);
            }
        }
    }
    rr_free(rooms.items);
    return err;
}

enum rr_err rr_proof_sets_check(const struct rr_genesis *genesis,
                                const struct rr_certificate_set *sets, uint32_t count,
                                struct rr_proof_room room, struct rr_fault *fault)
{
    if (count > RR_HEADER_SETS_MAX) {
        return rr_fail(fault, RR_ERR_LIMIT, "%u certificate sets, a header holds %d", count,
                       RR_HEADER_SETS_MAX);
    }
    uint32_t total = 0;
    const struct rr_certificate *last = NULL;
    for (uint32_t s = 0; s < count; s++) {
        if (sets[s].count == 0 || sets[s].count > RR_CERTIFICATE_SET_MAX) {
            return rr_fail(fault, RR_ERR_LIMIT, "set %u has %u entries, 1 to %d are allowed", s,
                           sets[s].count, RR_CERTIFICATE_SET_MAX);
        }
        total += sets[s].count;
        for (uint32_t i = 0; i < sets[s].count; i++) {
            const struct rr_certificate_entry *entry = &sets[s].entries[i];
            enum rr_err err =
                check_entry(genesis, entry, last, &sets[0].entries[0].certificate, s, i, fault);
            if (err != RR_OK) {
                return err;
            }
            last = &entry->certificate;
        }
    }
    if (total > rr_proof_entries_max(genesis)) {
        return rr_fail(fault, RR_ERR_LIMIT, "%u certificates, a block of this chain holds %u",
                       total, rr_proof_entries_max(genesis));
    }
    if (total == 0 || genesis->certificate_binding == RR_BINDING_NONE) {
        return RR_OK;
    }
    return check_rooms(sets, count, total, room, fault);
}

static enum rr_err
verify_set(const struct rr_proof_view *view, const struct rr_certificate_set *set, uint32_t number,
           const struct rr_pubkey *cacher,
           bool (*work_many)(void *ctx, struct rr_proof_work *works, size_t count), void *work_ctx,
           struct rr_fault *fault)
{
    struct rr_proof_verdict *verdicts = rr_alloc_array(set->count, sizeof(*verdicts));
    struct rr_certificate *certificates = rr_alloc_array(set->count, sizeof(*certificates));
    for (uint32_t i = 0; i < set->count; i++) {
        certificates[i] = set->entries[i].certificate;
    }
    enum rr_err err = rr_proof_certificates_check(view, verdicts, certificates, set->count, cacher,
                                                  work_many, work_ctx, fault);
    for (uint32_t i = 0; i < set->count && err == RR_OK; i++) {
        uint64_t credit_ms = set->entries[i].credit_ms;
        if (verdicts[i].refusal != RR_PROOF_ACCEPTED) {
            err = rr_fail(fault, RR_ERR_TRUST, "set %u, entry %u: does not count (%s)", number, i,
                          rr_proof_refusal_text(verdicts[i].refusal));
        } else if (credit_ms > verdicts[i].service_ms) {
            err =
                rr_fail(fault, RR_ERR_TRUST,
                        "set %u, entry %u: %llu ms of credit, its work shows %llu", number, i,
                        (unsigned long long)credit_ms, (unsigned long long)verdicts[i].service_ms);
        }
    }
    rr_free(certificates);
    rr_free(verdicts);
    return err;
}

enum rr_err
rr_proof_sets_verify(const struct rr_proof_view *view, const struct rr_certificate_set *sets,
                     uint32_t count, const struct rr_pubkey *cacher, struct rr_proof_room room,
                     bool (*work_many)(void *ctx, struct rr_proof_work *works, size_t count),
                     void *work_ctx, struct rr_fault *fault)
{
    enum rr_err err = rr_proof_sets_check(view->genesis, sets, count, room, fault);
    for (uint32_t s = 0; s < count && err == RR_OK; s++) {
        err = verify_set(view, &sets[s], s, cacher, work_many, work_ctx, fault);
    }
    return err;
}

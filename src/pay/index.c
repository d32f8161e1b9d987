/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "pay/pay_till.h"
#include <string.h>

static const uint8_t *key_of(enum pay_index by, const struct pay_session *session)
{
    switch (by) {
    case PAY_BY_ID:
        return session->id;
    case PAY_BY_POOL:
        return session->pool_id.bytes;
    case PAY_BY_VIEWER:
        break;
    }
    return session->viewer.bytes;
}

static size_t key_bytes(enum pay_index by)
{
    return by == PAY_BY_ID ? RR_SESSION_ID_BYTES : 32;
}

static struct pay_session **next_of(enum pay_index by, struct pay_session *session)
{
    switch (by) {
    case PAY_BY_ID:
        return &session->next_by_id;
    case PAY_BY_POOL:
        return &session->next_by_pool;
    case PAY_BY_VIEWER:
        break;
    }
    return &session->next_by_viewer;
}

void pay_index_init(struct pay_index_table *table, enum pay_index by)
{
    table->by = by;
    for (int i = 0; i < PAY_SHARDS; i++) {
        RR_CHECK(pthread_rwlock_init(&table->shards[i].lock, NULL) == 0);
    }
}

void pay_index_clear(struct pay_index_table *table)
{
    for (int i = 0; i < PAY_SHARDS; i++) {
        rr_free(table->shards[i].buckets);
        pthread_rwlock_destroy(&table->shards[i].lock);
    }
}

/* All keys are hashes or random bytes: their own bits serve as hash. */
static struct pay_shard *shard_of(struct pay_index_table *table, const uint8_t *key)
{
    return &table->shards[key[15] % PAY_SHARDS];
}

static struct pay_session **bucket_of(struct pay_session **buckets, uint32_t capacity,
                                      const uint8_t *key)
{
    return &buckets[rr_load_u64le(key) & (capacity - 1)];
}

static void grow(struct pay_shard *shard, enum pay_index by)
{
    uint32_t capacity = shard->capacity == 0 ? 8 : shard->capacity * 2;
    struct pay_session **buckets = rr_alloc_array(capacity, sizeof(struct pay_session *));
    for (uint32_t i = 0; i < shard->capacity; i++) {
        struct pay_session *session = shard->buckets[i];
        while (session != NULL) {
            struct pay_session *next = *next_of(by, session);
            struct pay_session **bucket = bucket_of(buckets, capacity, key_of(by, session));
            *next_of(by, session) = *bucket;
            *bucket = session;
            session = next;
        }
    }
    rr_free(shard->buckets);
    shard->buckets = buckets;
    shard->capacity = capacity;
}

void pay_index_insert(struct pay_index_table *table, struct pay_session *session)
{
    const uint8_t *key = key_of(table->by, session);
    struct pay_shard *shard = shard_of(table, key);
    pthread_rwlock_wrlock(&shard->lock);
    if (shard->count >= shard->capacity) {
        grow(shard, table->by);
    }
    struct pay_session **bucket = bucket_of(shard->buckets, shard->capacity, key);
    *next_of(table->by, session) = *bucket;
    *bucket = session;
    shard->count++;
    pthread_rwlock_unlock(&shard->lock);
}

struct pay_session *pay_index_find(struct pay_index_table *table, const uint8_t *key,
                                   const struct pay_session *after)
{
    struct pay_shard *shard = shard_of(table, key);
    struct pay_session *found = NULL;
    bool passed = after == NULL;
    pthread_rwlock_rdlock(&shard->lock);
    if (shard->count > 0) {
        found = *bucket_of(shard->buckets, shard->capacity, key);
    }
    /* From the bucket's start each time: a growth in between turns its order around. */
    while (found != NULL &&
           !(passed && memcmp(key_of(table->by, found), key, key_bytes(table->by)) == 0)) {
        passed = passed || found == after;
        found = *next_of(table->by, found);
    }
    pthread_rwlock_unlock(&shard->lock);
    return found;
}

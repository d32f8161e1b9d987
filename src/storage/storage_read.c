/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Reading: every strip is checked before its bytes leave; what is missing is decoded on the fly and
 * queued for repair. */
#include "storage/storage_private.h"

#include <errno.h>
#include <string.h>

/* Shards go and come back while a long read holds the old ones: before an object counts as lost,
 * its shards are looked at afresh. */
#define LOOKS 3

struct reading {
    struct rr_store *store;
    const struct rr_object *object;
    struct storage_shard shards[RR_SHARDS_MAX];
    /* The strips of one stripe, each read and hashed at most once. */
    uint64_t stripe;
    bool here[RR_SHARDS_MAX]; /* read into `strips` and good */
    uint8_t *strips;          /* of all shards */
    /* Tables that decode a shard out of those in table_from. */
    uint8_t table_from[RR_SHARDS_MAX];
    uint8_t *tables[RR_SHARDS_MAX];
    bool degraded;
};

static uint8_t *place(const struct reading *reading, unsigned shard)
{
    return reading->strips + (size_t)shard * RR_STRIP_BYTES;
}

static bool have_strip(struct reading *reading, uint64_t stripe, uint8_t shard)
{
    if (reading->stripe != stripe) {
        memset(reading->here, 0, sizeof reading->here);
        reading->stripe = stripe;
    }
    if (!reading->here[shard]) {
        reading->here[shard] =
            storage_shard_strip(reading->store, &reading->shards[shard], reading->object, shard,
                                stripe, place(reading, shard));
    }
    return reading->here[shard];
}

static enum rr_err too_few(const struct reading *reading, unsigned have, struct rr_fault *fault)
{
    const struct rr_object *object = reading->object;
    struct rr_object record;
    char id[65];
    rr_hex(id, object->object_id.bytes, 32);
    for (unsigned j = 0; j < (unsigned)object->k + object->m; j++) {
        if (reading->shards[j].refused != 0) {
            errno = reading->shards[j].refused;
            return rr_fail_errno(fault, "cannot open the shards of object %s", id);
        }
    }
    if (storage_find(reading->store, &object->object_id, &record, fault) == RR_ERR_NOTFOUND) {
        return RR_ERR_NOTFOUND;
    }
    return rr_fail(fault, RR_ERR_DAMAGED,
                   "object %s has only %u good shards of the %u it needs; it is lost here", id,
                   have, (unsigned)object->k);
}

static const uint8_t *tables_for(struct reading *reading, const struct storage_code *code,
                                 const uint8_t from[], uint8_t lost)
{
    if (memcmp(reading->table_from, from, code->k) != 0) {
        for (unsigned j = 0; j < RR_SHARDS_MAX; j++) {
            rr_free(reading->tables[j]);
            reading->tables[j] = NULL;
        }
        memcpy(reading->table_from, from, code->k);
    }
    if (reading->tables[lost] == NULL) {
        reading->tables[lost] = rr_alloc_aligned((size_t)32 * code->k);
        RR_CHECK(storage_code_decoder(code, reading->tables[lost], from,
                                      lost)); /* any k rows of a Cauchy matrix are independent */
    }
    return reading->tables[lost];
}

/* Makes strip `stripe` of data shard `lost` out of any k good strips of the stripe. */
static enum rr_err decode_strip(struct reading *reading, uint64_t stripe, uint8_t lost,
                                struct rr_fault *fault)
{
    const struct rr_object *object = reading->object;
    uint8_t from[RR_SHARDS_MAX], *strips[RR_SHARDS_MAX];
    unsigned have = 0, shards = (unsigned)object->k + object->m;
    for (unsigned j = 0; j < shards && have < object->k; j++) {
        if (j != lost && have_strip(reading, stripe, (uint8_t)j)) {
            strips[have] = place(reading, j);
            from[have++] = (uint8_t)j;
        }
    }
    if (have < object->k) {
        return too_few(reading, have, fault);
    }
    const struct storage_code *code = storage_code_get(object->k, object->m);
    storage_code_decode(code, tables_for(reading, code, from, lost), strips, place(reading, lost),
                        RR_STRIP_BYTES);
    reading->degraded = true;
    return RR_OK;
}

static enum rr_err read_strip(struct reading *reading, uint64_t stripe, uint8_t shard,
                              struct rr_fault *fault)
{
    return have_strip(reading, stripe, shard) ? RR_OK : decode_strip(reading, stripe, shard, fault);
}

/* Closes all shards; true when one of them was missing or damaged. */
static bool close_shards(struct reading *reading)
{
    bool hurt = false;
    for (unsigned j = 0; j < RR_SHARDS_MAX; j++) {
        struct storage_shard *shard = &reading->shards[j];
        hurt = hurt || (shard->tried && shard->refused == 0 && (shard->fd < 0 || shard->bad));
        storage_shard_close(shard);
    }
    return hurt;
}

enum rr_err rr_store_read(struct rr_store *store, const struct rr_object *object, uint64_t offset,
                          void *out, size_t len, struct rr_fault *fault)
{
    if (offset > object->length || len > object->length - offset) {
        return rr_fail(fault, RR_ERR_USAGE, "bytes %llu to %llu of an object of %llu",
                       (unsigned long long)offset, (unsigned long long)(offset + len),
                       (unsigned long long)object->length);
    }
    struct reading *reading = rr_alloc(sizeof *reading);
    uint64_t k = object->k;
    unsigned looks = LOOKS;
    bool hurt = false;
    enum rr_err err = RR_OK;
    reading->store = store;
    reading->object = object;
    reading->stripe = UINT64_MAX;
    reading->strips = rr_alloc_aligned(((size_t)object->k + object->m) * RR_STRIP_BYTES);
    for (size_t done = 0; done < len && err == RR_OK;) {
        uint64_t at = offset + done, strip = at / RR_STRIP_BYTES;
        size_t in_strip = (size_t)(at % RR_STRIP_BYTES);
        size_t n = RR_STRIP_BYTES - in_strip < len - done ? RR_STRIP_BYTES - in_strip : len - done;
        uint8_t shard = (uint8_t)(strip % k);
        err = read_strip(reading, strip / k, shard, fault);
        if (err == RR_OK) {
            memcpy((uint8_t *)out + done, place(reading, shard) + in_strip, n);
            done += n;
        } else if (err == RR_ERR_DAMAGED && --looks > 0) {
            hurt = close_shards(reading) || hurt;
            err = RR_OK;
        }
    }
    hurt = close_shards(reading) || hurt;
    for (unsigned j = 0; j < RR_SHARDS_MAX; j++) {
        rr_free(reading->tables[j]);
    }
    if (reading->degraded) {
        atomic_fetch_add(&store->degraded_reads, 1);
    }
    if (hurt) {
        storage_repair_later(store, &object->object_id);
    }
    rr_free(reading->strips);
    rr_free(reading);
    return err;
}

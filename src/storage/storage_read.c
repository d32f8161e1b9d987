/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Reading: every strip is checked before its bytes leave; what is missing is decoded on the fly and
 * queued for repair. */
#include "storage/storage_private.h"

#include <string.h>

/* Shards go and come back while a long read holds the old ones: before an object counts as lost,
 * its shards are looked at afresh. */
#define LOOKS 3

struct reading {
    struct rr_store *store;
    const struct rr_object *object;
    struct storage_shard shards[RR_SHARDS_MAX];
    uint8_t *strip;  /* one */
    uint8_t *others; /* k of them, for decoding; made when needed */
    uint8_t *tables; /* 32 k */
    bool degraded;
};

/* Makes strip `stripe` of data shard `lost` out of any k good strips of the stripe. */
static enum rr_err decode_strip(struct reading *reading, uint64_t stripe, uint8_t lost,
                                struct rr_fault *fault)
{
    const struct rr_object *object = reading->object;
    uint8_t from[RR_SHARDS_MAX], *strips[RR_SHARDS_MAX];
    unsigned have = 0, shards = (unsigned)object->k + object->m;
    if (reading->others == NULL) {
        reading->others = rr_alloc_aligned((size_t)object->k * RR_STRIP_BYTES);
        reading->tables = rr_alloc_aligned((size_t)32 * object->k);
    }
    for (unsigned j = 0; j < shards && have < object->k; j++) {
        strips[have] = reading->others + (size_t)have * RR_STRIP_BYTES;
        if (j != lost && storage_shard_strip(reading->store, &reading->shards[j], object,
                                             (uint8_t)j, stripe, strips[have])) {
            from[have++] = (uint8_t)j;
        }
    }
    if (have < object->k) {
        char id[65];
        rr_hex(id, object->object_id.bytes, 32);
        return rr_fail(fault, RR_ERR_DAMAGED,
                       "object %s has only %u good shards of the %u it needs; it is lost here", id,
                       have, (unsigned)object->k);
    }
    const struct storage_code *code = storage_code_get(object->k, object->m);
    RR_CHECK(storage_code_decoder(code, reading->tables, from,
                                  lost)); /* any k rows of a Cauchy matrix are independent */
    storage_code_decode(code, reading->tables, strips, reading->strip, RR_STRIP_BYTES);
    reading->degraded = true;
    return RR_OK;
}

static enum rr_err read_strip(struct reading *reading, uint64_t stripe, uint8_t shard,
                              struct rr_fault *fault)
{
    if (storage_shard_strip(reading->store, &reading->shards[shard], reading->object, shard, stripe,
                            reading->strip)) {
        return RR_OK;
    }
    return decode_strip(reading, stripe, shard, fault);
}

/* Closes all shards; true when one of them was missing or damaged. */
static bool close_shards(struct reading *reading)
{
    bool hurt = false;
    for (unsigned j = 0; j < RR_SHARDS_MAX; j++) {
        struct storage_shard *shard = &reading->shards[j];
        hurt = hurt || (shard->tried && (shard->fd < 0 || shard->bad));
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
    reading->strip = rr_alloc_aligned(RR_STRIP_BYTES);
    for (size_t done = 0; done < len && err == RR_OK;) {
        uint64_t at = offset + done, strip = at / RR_STRIP_BYTES;
        size_t in_strip = (size_t)(at % RR_STRIP_BYTES);
        size_t n = RR_STRIP_BYTES - in_strip < len - done ? RR_STRIP_BYTES - in_strip : len - done;
        err = read_strip(reading, strip / k, (uint8_t)(strip % k), fault);
        if (err == RR_OK) {
            memcpy((uint8_t *)out + done, reading->strip + in_strip, n);
            done += n;
        } else if (err == RR_ERR_DAMAGED && --looks > 0) {
            hurt = close_shards(reading) || hurt;
            err = RR_OK;
        }
    }
    hurt = close_shards(reading) || hurt;
    if (reading->degraded) {
        atomic_fetch_add(&store->degraded_reads, 1);
    }
    if (hurt) {
        storage_repair_later(store, &object->object_id);
    }
    rr_free(reading->others);
    rr_free(reading->tables);
    rr_free(reading->strip);
    rr_free(reading);
    return err;
}

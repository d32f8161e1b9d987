/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "wire/wire_private.h"

uint64_t rr_object_shard_bytes(const struct rr_object *object)
{
    uint64_t stripe = (uint64_t)object->k * object->strip;
    uint64_t strips = object->length / stripe + (object->length % stripe != 0 ? 1 : 0);
    return (strips > 0 ? strips : 1) * object->strip;
}

void wire_write_object(struct rr_buf *out, const struct rr_object *object, bool with_id)
{
    rr_write_u8(out, WIRE_VERSION);
    if (with_id) {
        wire_write_hash(out, &object->object_id);
    }
    rr_write_u64(out, object->length);
    rr_write_u8(out, object->k);
    rr_write_u8(out, object->m);
    rr_write_u32(out, object->strip);
    rr_write_u8(out, (uint8_t)object->class);
    wire_write_hash(out, &object->key_id);
    for (unsigned i = 0; i < (unsigned)object->k + object->m; i++) {
        wire_write_hash(out, &object->roots[i]);
    }
}

void wire_read_object(struct rr_reader *reader, struct rr_object *out)
{
    *out = (struct rr_object){0};
    wire_read_version(reader);
    wire_read_hash(reader, &out->object_id);
    out->length = rr_read_u64(reader);
    out->k = rr_read_u8(reader);
    out->m = rr_read_u8(reader);
    out->strip = rr_read_u32(reader);
    out->class = (enum rr_object_class)rr_read_u8(reader);
    wire_read_hash(reader, &out->key_id);
    unsigned shards = (unsigned)out->k + out->m;
    bool class_known = out->class == RR_CLASS_LOCAL || out->class == RR_CLASS_RELAY;
    if (out->k == 0 || out->m > RR_PARITY_MAX || shards > RR_SHARDS_MAX ||
        out->strip != RR_STRIP_BYTES || !class_known || out->length > INT64_MAX) {
        out->k = 1;
        out->m = 0;
        wire_refuse(reader);
        return;
    }
    for (unsigned i = 0; i < shards; i++) {
        wire_read_hash(reader, &out->roots[i]);
    }
}

static void object_id(struct rr_hash32 *out, const struct rr_object *object)
{
    struct rr_buf bytes = {0};
    wire_write_object(&bytes, object, false);
    rr_hash(out, "rr.object.v1", rr_buf_slice(&bytes));
    rr_buf_clear(&bytes);
}

void rr_object_set_id(struct rr_object *object)
{
    object_id(&object->object_id, object);
}

void rr_object_encode(struct rr_buf *out, const struct rr_object *object)
{
    wire_write_object(out, object, true);
}

enum rr_err rr_object_decode(struct rr_object *out, struct rr_slice bytes, struct rr_fault *fault)
{
    struct rr_reader reader = rr_reader_of(bytes);
    struct rr_object object;
    struct rr_hash32 id;
    wire_read_object(&reader, &object);
    enum rr_err err = wire_done(&reader, "object record", fault);
    if (err != RR_OK) {
        return err;
    }
    object_id(&id, &object);
    if (!rr_hash32_equal(&id, &object.object_id)) {
        return rr_fail(fault, RR_ERR_TRUST, "an object record whose id does not fit its fields");
    }
    *out = object;
    return RR_OK;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "wire/wire_private.h"

const char *rr_pot_refusal_text(enum rr_pot_refusal refusal)
{
    static const char *const texts[] = {
#define X(id, number, word, sentence) [id] = (word),
        RR_POT_REFUSALS(X)
#undef X
    };
    return (size_t)refusal < RR_COUNT(texts) ? texts[refusal] : "unknown";
}

const char *rr_pot_refusal_sentence(enum rr_pot_refusal refusal)
{
    static const char *const texts[] = {
#define X(id, number, word, sentence) [id] = (sentence),
        RR_POT_REFUSALS(X)
#undef X
    };
    return (size_t)refusal < RR_COUNT(texts) ? texts[refusal] : "unknown";
}

/* ---- the bytes of a GOP ------------------------------------------------------------------------
 */

void rr_pot_gop_encode(struct rr_buf *out, const struct rr_pot_gop *gop)
{
    RR_CHECK(gop->count <= RR_POT_PACKETS_MAX);
    rr_write_u8(out, WIRE_VERSION);
    rr_write_var16(out, rr_buf_slice(&gop->extradata));
    rr_write_u16(out, (uint16_t)gop->count);
    for (uint32_t i = 0; i < gop->count; i++) {
        rr_write_u32(out, gop->packets[i].bytes);
        rr_write_u64(out, (uint64_t)gop->packets[i].pts);
        rr_write_u8(out, gop->packets[i].key ? 1 : 0);
    }
    rr_write_var32(out, rr_buf_slice(&gop->payload));
}

static void read_packet(struct rr_reader *reader, struct rr_pot_packet *out)
{
    out->bytes = rr_read_u32(reader);
    out->pts = (int64_t)rr_read_u64(reader);
    uint8_t key = rr_read_u8(reader);
    out->key = key == 1;
    if (key > 1 || out->bytes == 0) {
        wire_refuse(reader);
    }
}

enum rr_err rr_pot_gop_decode(struct rr_pot_gop *out, struct rr_slice bytes, struct rr_fault *fault)
{
    struct rr_reader reader = rr_reader_of(bytes);
    uint64_t sum = 0;
    wire_read_version(&reader);
    struct rr_slice extradata = rr_read_var16(&reader, RR_POT_EXTRADATA_MAX);
    uint32_t count = rr_read_count16(&reader, RR_POT_PACKETS_MAX);
    if (reader.failed || count == 0) {
        wire_refuse(&reader);
        return wire_done(&reader, "GOP", fault);
    }
    struct rr_pot_packet *packets = rr_alloc_array(count, sizeof *packets);
    for (uint32_t i = 0; i < count && !reader.failed; i++) {
        read_packet(&reader, &packets[i]);
        sum += packets[i].bytes;
    }
    struct rr_slice payload = rr_read_var32(&reader, RR_POT_PAYLOAD_MAX);
    if (payload.len != sum) {
        wire_refuse(&reader);
    }
    enum rr_err err = wire_done(&reader, "GOP", fault);
    if (err != RR_OK) {
        rr_free(packets);
        return err;
    }
    *out = (struct rr_pot_gop){.packets = packets, .count = count};
    if (extradata.len > 0) {
        rr_buf_append(&out->extradata, extradata.ptr, extradata.len);
    }
    rr_buf_append(&out->payload, payload.ptr, payload.len);
    return RR_OK;
}

void rr_pot_gop_clear(struct rr_pot_gop *gop)
{
    rr_buf_clear(&gop->extradata);
    rr_buf_clear(&gop->payload);
    rr_free(gop->packets);
    *gop = (struct rr_pot_gop){0};
}

void rr_pot_gop_digest(struct rr_hash32 *out, uint64_t *bytes, const struct rr_pot_gop *gop)
{
    struct rr_hasher hasher;
    rr_hasher_init(&hasher, "rr.es.v1");
    if (gop->extradata.len > 0) {
        rr_hasher_add(&hasher, gop->extradata.ptr, gop->extradata.len);
    }
    rr_hasher_add(&hasher, gop->payload.ptr, gop->payload.len);
    rr_hasher_final(&hasher, out);
    *bytes = gop->extradata.len + gop->payload.len;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Offers as people and scripts read them; a view, never parsed. */
#include "wire/wire_private.h"

#include <jansson.h>

static int append(const char *bytes, size_t len, void *ctx)
{
    rr_buf_append(ctx, bytes, len);
    return 0;
}

/* json takes the value. */
static void put(json_t *object, const char *key, json_t *value)
{
    RR_CHECK(value != NULL && json_object_set_new(object, key, value) == 0);
}

static void put_coin(json_t *object, const char *key, struct rr_coin coin)
{
    char text[RR_COIN_TEXT_BYTES];
    rr_coin_text(text, coin);
    put(object, key, json_string(text));
}

static void put_hex(json_t *object, const char *key, const void *bytes, size_t len)
{
    char text[129];
    RR_CHECK(len * 2 < sizeof text);
    rr_hex(text, bytes, len);
    put(object, key, json_string(text));
}

void rr_work_offer_json(struct rr_buf *out, const struct rr_work_offer *offer)
{
    json_t *object = json_object(), *codecs = json_object(), *kinds = json_array();
    RR_CHECK(object != NULL && codecs != NULL && kinds != NULL);
    for (unsigned kind = RR_WORK_DEMUX; kind <= RR_WORK_MUX; kind++) {
        if ((offer->kinds & 1u << kind) != 0) {
            json_array_append_new(kinds, json_string(rr_work_kind_text((enum rr_work_kind)kind)));
        }
    }
    for (uint8_t i = 0; i < offer->codec_count; i++) {
        json_t *codec = json_pack("{s:i}", "megapixel_frames_per_s", (int)offer->codecs[i].rate);
        put_coin(codec, "price", offer->codecs[i].price);
        put(codecs, offer->codecs[i].codec, codec);
    }
    put_hex(object, "rig", offer->rig.bytes, 32);
    put(object, "chain_id", json_integer(offer->chain_id));
    put(object, "created_ms", json_integer((json_int_t)offer->created_ms));
    put(object, "expires_ms", json_integer((json_int_t)offer->expires_ms));
    put(object, "steps", kinds);
    put(object, "codecs", codecs);
    put(object, "exact", json_boolean(offer->exact));
    put(object, "tolerant", json_boolean(offer->tolerant));
    put(object, "device", json_string(offer->device));
    put_coin(object, "demux_price", offer->demux_price);
    put_coin(object, "decode_price", offer->decode_price);
    put_coin(object, "audio_price", offer->audio_price);
    put_coin(object, "mux_price", offer->mux_price);
    put_coin(object, "unit_price", offer->unit_price);
    put_coin(object, "unpaid_max", offer->unpaid_max);
    put(object, "rung_min", json_integer(offer->rung_min));
    put(object, "rung_max", json_integer(offer->rung_max));
    put(object, "gop_ms_min", json_integer(offer->gop_ms_min));
    put(object, "gop_ms_max", json_integer(offer->gop_ms_max));
    put(object, "source_bytes_max", json_integer((json_int_t)offer->source_bytes_max));
    put(object, "points_max", json_integer((json_int_t)offer->points_max));
    put(object, "jobs_max", json_integer(offer->jobs_max));
    put(object, "jobs_now", json_integer(offer->jobs_now));
    put(object, "pool_blocks_min", json_integer(offer->pool_blocks_min));
    put(object, "margin_blocks", json_integer(offer->margin_blocks));
    put_hex(object, "signature", offer->signature.bytes, sizeof offer->signature.bytes);
    RR_CHECK(json_dump_callback(object, append, out, JSON_COMPACT) == 0);
    json_decref(object);
}

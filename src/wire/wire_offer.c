/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "wire/wire_private.h"

#include <jansson.h>

#define COLLATERAL_RULE "deposit < collateral"

/* ---- writing
 * -------------------------------------------------------------------------------------------- */

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

static json_t *hex_of(const uint8_t bytes[static 32])
{
    char text[65];
    rr_hex(text, bytes, 32);
    return json_string(text);
}

void rr_offer_json(struct rr_buf *out, const struct rr_offer *offer)
{
    struct rr_address address;
    char target[RR_ADDRESS_TEXT_BYTES], price[RR_COIN_TEXT_BYTES];
    json_t *object = json_object();
    RR_CHECK(object != NULL && offer->checkpoint_height <= INT64_MAX);
    rr_address_of(&address, &offer->target);
    rr_address_text(target, &address, offer->test_addresses);
    rr_coin_text(price, offer->slice_price);
    put(object, "resource", hex_of(offer->resource_id.bytes));
    put(object, "slice_price", json_string(price));
    put(object, "slice_bytes", json_integer(offer->slice_bytes));
    put(object, "target", json_string(target));
    put(object, "target_key", hex_of(offer->target.bytes));
    put(object, "chain_id", json_integer(offer->chain_id));
    put(object, "genesis", hex_of(offer->genesis.bytes));
    put(object, "checkpoint_height", json_integer((json_int_t)offer->checkpoint_height));
    put(object, "checkpoint_hash", hex_of(offer->checkpoint_hash.bytes));
    put(object, "collateral_min_ratio", json_string(COLLATERAL_RULE));
    put(object, "pool_blocks_min", json_integer(offer->pool_blocks_min));
    put(object, "margin_blocks", json_integer(offer->margin_blocks));
    RR_CHECK(json_dump_callback(object, append, out, JSON_SORT_KEYS | JSON_COMPACT) == 0);
    json_decref(object);
}

/* ---- reading
 * ---------------------------------------------------------------------------------------------- */

static bool take_hash(const json_t *object, const char *key, uint8_t out[static 32])
{
    const char *text = json_string_value(json_object_get(object, key));
    return text != NULL && rr_unhex(out, 32, text);
}

static bool take_u32(const json_t *object, const char *key, uint32_t *out)
{
    const json_t *value = json_object_get(object, key);
    json_int_t number = json_integer_value(value);
    if (!json_is_integer(value) || number < 0 || number > UINT32_MAX) {
        return false;
    }
    *out = (uint32_t)number;
    return true;
}

static bool take_price(const json_t *object, struct rr_coin *out)
{
    const char *text = json_string_value(json_object_get(object, "slice_price"));
    return text != NULL && rr_coin_parse(out, text);
}

/* Values only; the caller compares with what rr_offer_json makes of them, which says the rest: all
 * keys, no others, their order, the address, the rule. */
static bool take_offer(struct rr_offer *out, const json_t *object)
{
    const char *target = json_string_value(json_object_get(object, "target"));
    const json_t *height = json_object_get(object, "checkpoint_height");
    if (target == NULL || !json_is_integer(height) || json_integer_value(height) < 0) {
        return false;
    }
    out->test_addresses = target[0] == 't';
    out->checkpoint_height = (uint64_t)json_integer_value(height);
    return take_hash(object, "resource", out->resource_id.bytes) &&
           take_price(object, &out->slice_price) &&
           take_u32(object, "slice_bytes", &out->slice_bytes) &&
           take_hash(object, "target_key", out->target.bytes) &&
           take_u32(object, "chain_id", &out->chain_id) &&
           take_hash(object, "genesis", out->genesis.bytes) &&
           take_hash(object, "checkpoint_hash", out->checkpoint_hash.bytes) &&
           take_u32(object, "pool_blocks_min", &out->pool_blocks_min) &&
           take_u32(object, "margin_blocks", &out->margin_blocks);
}

enum rr_err rr_offer_parse(struct rr_offer *out, struct rr_slice json, struct rr_fault *fault)
{
    struct rr_offer offer = {0};
    struct rr_buf again = {0};
    if (json.len > RR_OFFER_JSON_MAX) {
        return rr_fail(fault, RR_ERR_LIMIT, "an offer of %zu bytes; at most %d", json.len,
                       RR_OFFER_JSON_MAX);
    }
    json_t *object =
        json.len > 0 ? json_loadb((const char *)json.ptr, json.len, JSON_REJECT_DUPLICATES, NULL)
                     : NULL;
    bool fits = json_is_object(object) && take_offer(&offer, object);
    json_decref(object);
    if (fits) {
        rr_offer_json(&again, &offer);
        fits = rr_slice_equal(rr_buf_slice(&again), json);
        rr_buf_clear(&again);
    }
    if (!fits) {
        return rr_fail(fault, RR_ERR_FORMAT,
                       "bytes that are not an offer: compact JSON, keys sorted, its twelve keys "
                       "and no others");
    }
    *out = offer;
    return RR_OK;
}

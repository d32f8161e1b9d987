/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Work for hire: offers, orders, quotes, commitments. Each is signed over all before the signature.
 */
#include "wire/wire_private.h"
#include <string.h>

#define KINDS_ALL (((1u << (RR_WORK_MUX + 1)) - 1) & ~1u)

static void digest(struct rr_hash32 *out, const char *domain, const struct rr_buf *bytes)
{
    rr_hash(out, domain, rr_buf_slice(bytes));
}

static bool flag(struct rr_reader *reader)
{
    uint8_t value = rr_read_u8(reader);
    if (value > 1) {
        wire_refuse(reader);
    }
    return value == 1;
}

/* ---- offers
 * --------------------------------------------------------------------------------------------- */

static void write_offer(struct rr_buf *out, const struct rr_work_offer *offer)
{
    RR_CHECK(offer->codec_count <= RR_WORK_CODECS_MAX);
    rr_write_u8(out, WIRE_VERSION);
    rr_write_u32(out, offer->chain_id);
    wire_write_key(out, &offer->rig);
    rr_write_u64(out, offer->created_ms);
    rr_write_u64(out, offer->expires_ms);
    rr_write_u32(out, offer->kinds);
    rr_write_u8(out, offer->codec_count);
    for (uint8_t i = 0; i < offer->codec_count; i++) {
        wire_write_text(out, offer->codecs[i].codec, sizeof offer->codecs[i].codec - 1);
        wire_write_coin(out, offer->codecs[i].price);
        rr_write_u32(out, offer->codecs[i].rate);
    }
    rr_write_u8(out, offer->exact ? 1 : 0);
    rr_write_u8(out, offer->tolerant ? 1 : 0);
    wire_write_text(out, offer->device, RR_NAME_MAX);
    wire_write_coin(out, offer->demux_price);
    wire_write_coin(out, offer->decode_price);
    wire_write_coin(out, offer->audio_price);
    wire_write_coin(out, offer->mux_price);
    wire_write_coin(out, offer->unit_price);
    rr_write_u16(out, offer->rung_min);
    rr_write_u16(out, offer->rung_max);
    rr_write_u32(out, offer->gop_ms_min);
    rr_write_u32(out, offer->gop_ms_max);
    rr_write_u64(out, offer->source_bytes_max);
    rr_write_u64(out, offer->points_max);
    rr_write_u16(out, offer->jobs_max);
    rr_write_u16(out, offer->jobs_now);
    wire_write_coin(out, offer->unpaid_max);
    rr_write_u32(out, offer->pool_blocks_min);
    rr_write_u32(out, offer->margin_blocks);
}

static void read_offer_rest(struct rr_reader *reader, struct rr_work_offer *out)
{
    out->exact = flag(reader);
    out->tolerant = flag(reader);
    wire_read_text(reader, out->device, RR_NAME_MAX, wire_name_valid);
    wire_read_coin(reader, &out->demux_price);
    wire_read_coin(reader, &out->decode_price);
    wire_read_coin(reader, &out->audio_price);
    wire_read_coin(reader, &out->mux_price);
    wire_read_coin(reader, &out->unit_price);
    out->rung_min = rr_read_u16(reader);
    out->rung_max = rr_read_u16(reader);
    out->gop_ms_min = rr_read_u32(reader);
    out->gop_ms_max = rr_read_u32(reader);
    out->source_bytes_max = rr_read_u64(reader);
    out->points_max = rr_read_u64(reader);
    out->jobs_max = rr_read_u16(reader);
    out->jobs_now = rr_read_u16(reader);
    wire_read_coin(reader, &out->unpaid_max);
    out->pool_blocks_min = rr_read_u32(reader);
    out->margin_blocks = rr_read_u32(reader);
    wire_read_signature(reader, &out->signature);
}

void rr_work_offer_encode(struct rr_buf *out, const struct rr_work_offer *offer)
{
    write_offer(out, offer);
    wire_write_signature(out, &offer->signature);
}

enum rr_err rr_work_offer_decode(struct rr_work_offer *out, struct rr_slice bytes,
                                 struct rr_fault *fault)
{
    struct rr_reader reader = rr_reader_of(bytes);
    struct rr_work_offer offer = {0};
    wire_read_version(&reader);
    offer.chain_id = rr_read_u32(&reader);
    wire_read_key(&reader, &offer.rig);
    offer.created_ms = rr_read_u64(&reader);
    offer.expires_ms = rr_read_u64(&reader);
    offer.kinds = rr_read_u32(&reader);
    offer.codec_count = rr_read_u8(&reader);
    if (offer.codec_count > RR_WORK_CODECS_MAX || (offer.kinds & ~KINDS_ALL) != 0 ||
        offer.expires_ms < offer.created_ms) {
        offer.codec_count = 0;
        wire_refuse(&reader);
    }
    for (uint8_t i = 0; i < offer.codec_count; i++) {
        struct rr_work_codec *codec = &offer.codecs[i];
        wire_read_text(&reader, codec->codec, sizeof codec->codec - 1, wire_name_valid);
        wire_read_coin(&reader, &codec->price);
        codec->rate = rr_read_u32(&reader);
        if (i > 0 && strcmp(offer.codecs[i - 1].codec, codec->codec) >= 0) {
            wire_refuse(&reader);
        }
    }
    read_offer_rest(&reader, &offer);
    if (rr_coin_is_zero(offer.unit_price)) {
        wire_refuse(&reader); /* what is paid by it could not be counted */
    }
    enum rr_err err = wire_done(&reader, "offer of work", fault);
    if (err == RR_OK) {
        *out = offer;
    }
    return err;
}

static void offer_digest(struct rr_hash32 *out, const struct rr_work_offer *offer)
{
    struct rr_buf bytes = {0};
    write_offer(&bytes, offer);
    digest(out, "rr.work.offer", &bytes);
    rr_buf_clear(&bytes);
}

void rr_work_offer_sign(struct rr_work_offer *offer, const struct rr_seckey *key)
{
    struct rr_hash32 hash;
    rr_seckey_public(key, &offer->rig);
    offer_digest(&hash, offer);
    rr_sign(&offer->signature, key, &hash);
}

bool rr_work_offer_verify(const struct rr_work_offer *offer)
{
    struct rr_hash32 hash;
    offer_digest(&hash, offer);
    return rr_verify(&offer->signature, &offer->rig, &hash);
}

/* ---- orders
 * --------------------------------------------------------------------------------------------- */

static void write_order(struct rr_buf *out, const struct rr_work_order *order)
{
    rr_write_u8(out, WIRE_VERSION);
    wire_write_key(out, &order->rig);
    rr_write_u64(out, order->created_ms);
    rr_write_u64(out, order->deadline_ms);
    rr_write_u16(out, order->facts.width);
    rr_write_u16(out, order->facts.height);
    rr_write_u32(out, order->facts.fps_num);
    rr_write_u32(out, order->facts.fps_den);
    rr_write_u64(out, order->facts.duration_ms);
    rr_write_u64(out, order->facts.bytes);
    rr_write_u8(out, order->facts.has_audio ? 1 : 0);
    rr_write_u32(out, order->steps);
    wire_write_work_chain(out, &order->chain);
}

void rr_work_order_encode(struct rr_buf *out, const struct rr_work_order *order)
{
    write_order(out, order);
    wire_write_signature(out, &order->signature);
}

enum rr_err rr_work_order_decode(struct rr_work_order *out, struct rr_slice bytes,
                                 struct rr_fault *fault)
{
    struct rr_reader reader = rr_reader_of(bytes);
    struct rr_work_order *order = rr_alloc(sizeof *order);
    wire_read_version(&reader);
    wire_read_key(&reader, &order->rig);
    order->created_ms = rr_read_u64(&reader);
    order->deadline_ms = rr_read_u64(&reader);
    order->facts.width = rr_read_u16(&reader);
    order->facts.height = rr_read_u16(&reader);
    order->facts.fps_num = rr_read_u32(&reader);
    order->facts.fps_den = rr_read_u32(&reader);
    order->facts.duration_ms = rr_read_u64(&reader);
    order->facts.bytes = rr_read_u64(&reader);
    order->facts.has_audio = flag(&reader);
    order->steps = rr_read_u32(&reader);
    wire_read_work_chain(&reader, &order->chain);
    wire_read_signature(&reader, &order->signature);
    if (order->facts.fps_den == 0 || order->steps == 0 ||
        order->steps >> order->chain.step_count != 0) {
        wire_refuse(&reader);
    }
    enum rr_err err = wire_done(&reader, "work order", fault);
    err = err != RR_OK ? err : rr_work_chain_check(&order->chain, fault);
    if (err == RR_OK) {
        *out = *order;
    }
    rr_free(order);
    return err;
}

void rr_work_order_id(struct rr_hash32 *out, const struct rr_work_order *order)
{
    struct rr_buf bytes = {0};
    write_order(&bytes, order);
    digest(out, "rr.work.order", &bytes);
    rr_buf_clear(&bytes);
}

void rr_work_order_sign(struct rr_work_order *order, const struct rr_seckey *key)
{
    struct rr_hash32 hash;
    rr_seckey_public(key, &order->chain.owner);
    rr_work_order_id(&hash, order);
    rr_sign(&order->signature, key, &hash);
}

bool rr_work_order_verify(const struct rr_work_order *order)
{
    struct rr_hash32 hash;
    rr_work_order_id(&hash, order);
    return rr_verify(&order->signature, &order->chain.owner, &hash);
}

/* ---- quotes
 * --------------------------------------------------------------------------------------------- */

static void write_quote(struct rr_buf *out, const struct rr_work_quote *quote)
{
    RR_CHECK(quote->step_count <= RR_WORK_STEPS_MAX);
    rr_write_u8(out, WIRE_VERSION);
    rr_write_u32(out, quote->chain_id);
    wire_write_key(out, &quote->rig);
    wire_write_key(out, &quote->publisher);
    wire_write_hash(out, &quote->order_id);
    wire_write_hash(out, &quote->handle);
    rr_write_u64(out, quote->created_ms);
    rr_write_u64(out, quote->expires_ms);
    wire_write_coin(out, quote->unit_price);
    rr_write_u32(out, quote->gop_units);
    rr_write_u32(out, quote->audio_units);
    rr_write_u32(out, quote->unpaid_units);
    rr_write_u32(out, quote->gops);
    rr_write_u64(out, quote->work_ms);
    rr_write_u8(out, quote->step_count);
    for (uint8_t i = 0; i < quote->step_count; i++) {
        wire_write_coin(out, quote->prices[i]);
    }
}

void rr_work_quote_encode(struct rr_buf *out, const struct rr_work_quote *quote)
{
    write_quote(out, quote);
    wire_write_signature(out, &quote->signature);
}

enum rr_err rr_work_quote_decode(struct rr_work_quote *out, struct rr_slice bytes,
                                 struct rr_fault *fault)
{
    struct rr_reader reader = rr_reader_of(bytes);
    struct rr_work_quote quote = {0};
    wire_read_version(&reader);
    quote.chain_id = rr_read_u32(&reader);
    wire_read_key(&reader, &quote.rig);
    wire_read_key(&reader, &quote.publisher);
    wire_read_hash(&reader, &quote.order_id);
    wire_read_hash(&reader, &quote.handle);
    quote.created_ms = rr_read_u64(&reader);
    quote.expires_ms = rr_read_u64(&reader);
    wire_read_coin(&reader, &quote.unit_price);
    quote.gop_units = rr_read_u32(&reader);
    quote.audio_units = rr_read_u32(&reader);
    quote.unpaid_units = rr_read_u32(&reader);
    quote.gops = rr_read_u32(&reader);
    quote.work_ms = rr_read_u64(&reader);
    quote.step_count = rr_read_u8(&reader);
    if (quote.step_count > RR_WORK_STEPS_MAX || rr_coin_is_zero(quote.unit_price)) {
        quote.step_count = 0;
        wire_refuse(&reader);
    }
    for (uint8_t i = 0; i < quote.step_count; i++) {
        wire_read_coin(&reader, &quote.prices[i]);
    }
    wire_read_signature(&reader, &quote.signature);
    enum rr_err err = wire_done(&reader, "quote of work", fault);
    if (err == RR_OK) {
        *out = quote;
    }
    return err;
}

void rr_work_quote_id(struct rr_hash32 *out, const struct rr_work_quote *quote)
{
    struct rr_buf bytes = {0};
    write_quote(&bytes, quote);
    digest(out, "rr.work.quote", &bytes);
    rr_buf_clear(&bytes);
}

void rr_work_quote_sign(struct rr_work_quote *quote, const struct rr_seckey *key)
{
    struct rr_hash32 hash;
    rr_seckey_public(key, &quote->rig);
    rr_work_quote_id(&hash, quote);
    rr_sign(&quote->signature, key, &hash);
}

bool rr_work_quote_verify(const struct rr_work_quote *quote)
{
    struct rr_hash32 hash;
    rr_work_quote_id(&hash, quote);
    return rr_verify(&quote->signature, &quote->rig, &hash);
}

/* ---- commitments
 * ---------------------------------------------------------------------------------------- */

static void write_commit(struct rr_buf *out, const struct rr_work_commit *commit)
{
    rr_write_u8(out, WIRE_VERSION);
    wire_write_hash(out, &commit->quote_id);
    rr_write_u32(out, commit->shard);
    rr_write_u32(out, commit->gops);
    rr_write_u64(out, commit->bytes);
    wire_write_hash(out, &commit->digest);
}

void rr_work_commit_encode(struct rr_buf *out, const struct rr_work_commit *commit)
{
    write_commit(out, commit);
    wire_write_signature(out, &commit->signature);
}

enum rr_err rr_work_commit_decode(struct rr_work_commit *out, struct rr_slice bytes,
                                  struct rr_fault *fault)
{
    struct rr_reader reader = rr_reader_of(bytes);
    struct rr_work_commit commit = {0};
    wire_read_version(&reader);
    wire_read_hash(&reader, &commit.quote_id);
    commit.shard = rr_read_u32(&reader);
    commit.gops = rr_read_u32(&reader);
    commit.bytes = rr_read_u64(&reader);
    wire_read_hash(&reader, &commit.digest);
    wire_read_signature(&reader, &commit.signature);
    enum rr_err err = wire_done(&reader, "commitment to a shard", fault);
    if (err == RR_OK) {
        *out = commit;
    }
    return err;
}

static void commit_digest(struct rr_hash32 *out, const struct rr_work_commit *commit)
{
    struct rr_buf bytes = {0};
    write_commit(&bytes, commit);
    digest(out, "rr.work.commit", &bytes);
    rr_buf_clear(&bytes);
}

void rr_work_commit_sign(struct rr_work_commit *commit, const struct rr_seckey *key)
{
    struct rr_hash32 hash;
    commit_digest(&hash, commit);
    rr_sign(&commit->signature, key, &hash);
}

bool rr_work_commit_verify(const struct rr_work_commit *commit, const struct rr_pubkey *rig)
{
    struct rr_hash32 hash;
    commit_digest(&hash, commit);
    return rr_verify(&commit->signature, rig, &hash);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* From an offer and an order to the price of each step: one rule, used by the rig that quotes and
 * by the publisher that checks. Whole numbers only; every step is rounded up to a unit of the
 * coin. */
#include "wire/wire_private.h"
#include <string.h>

#define MEGA UINT64_C(1000000)

__extension__ typedef unsigned __int128 wide;

/* ceil(price num / den); a price times what one GOP holds stays far below 2^128. */
static bool scale_up(struct rr_coin *out, struct rr_coin price, wide num, wide den)
{
    wide product;
    if (__builtin_mul_overflow((wide)price.units, num, &product) || product > ((wide)0 - 1) - den) {
        return false;
    }
    wide units = (product + den - 1) / den;
    return units <= RR_COIN_MAX_UNITS && rr_coin_of_units(out, (uint64_t)units);
}

static const struct rr_work_codec *find_codec(const struct rr_work_offer *offer,
                                              const char *profile)
{
    /* The first part of a profile names the encoder (spec 20, 3). */
    static const char *const encoders[][2] = {
        {"x264-", "h264"}, {"x265-", "hevc"}, {"svtav1-", "av1"}, {"vpx9-", "vp9"}};
    for (size_t i = 0; i < RR_COUNT(encoders); i++) {
        for (uint8_t j = 0; j < offer->codec_count; j++) {
            if (strncmp(profile, encoders[i][0], strlen(encoders[i][0])) == 0 &&
                strcmp(offer->codecs[j].codec, encoders[i][1]) == 0) {
                return &offer->codecs[j];
            }
        }
    }
    return NULL;
}

struct pricing {
    const struct rr_work_offer *offer;
    const struct rr_work_order *order;
    uint64_t frames; /* of a GOP */
    uint64_t side;   /* the shorter one of the source */
    wide work;       /* points of a GOP over megapixel-frames a second, in microseconds */
};

/* Of one GOP, or for sound of all of it. */
static bool price_step(struct pricing *pricing, const struct rr_work_step *step,
                       struct rr_coin *out)
{
    const struct rr_work_facts *facts = &pricing->order->facts;
    const struct rr_work_offer *offer = pricing->offer;
    uint64_t gop_ms = pricing->order->chain.gop_ms;
    wide points = (wide)facts->width * facts->height * pricing->frames;
    const struct rr_work_codec *codec = find_codec(offer, step->profile);
    uint64_t rung = step->rung < pricing->side ? step->rung : pricing->side;
    switch (step->kind) {
    case RR_WORK_DEMUX:
        return scale_up(out, offer->demux_price, gop_ms, 1000);
    case RR_WORK_DECODE_VIDEO:
        return scale_up(out, offer->decode_price, points, MEGA);
    case RR_WORK_ENCODE_VIDEO:
        if (codec == NULL) {
            return false;
        }
        points = points * rung * rung / ((wide)pricing->side * pricing->side);
        pricing->work += points / (codec->rate > 0 ? codec->rate : 1);
        return scale_up(out, codec->price, points, MEGA);
    case RR_WORK_DECODE_AUDIO:
    case RR_WORK_ENCODE_AUDIO:
        return scale_up(out, offer->audio_price, facts->duration_ms, 1000);
    case RR_WORK_MUX:
        return scale_up(out, offer->mux_price, gop_ms, 1000);
    }
    return false;
}

static enum rr_err check_offer(const struct rr_work_offer *offer, const struct rr_work_order *order,
                               struct rr_fault *fault)
{
    const struct rr_work_chain *chain = &order->chain;
    for (uint8_t i = 0; i < chain->step_count; i++) {
        const struct rr_work_step *step = &chain->steps[i];
        bool video = step->kind == RR_WORK_ENCODE_VIDEO;
        if ((order->steps & 1u << i) != 0 &&
            ((offer->kinds & 1u << step->kind) == 0 ||
             (video && (find_codec(offer, step->profile) == NULL || step->rung < offer->rung_min ||
                        step->rung > offer->rung_max)))) {
            return rr_fail(fault, RR_ERR_UNSUPPORTED,
                           "the rig does not offer step %u (%s %s %u) of the chain", i,
                           rr_work_kind_text(step->kind), step->profile, step->rung);
        }
    }
    if (chain->gop_ms < offer->gop_ms_min || chain->gop_ms > offer->gop_ms_max) {
        return rr_fail(fault, RR_ERR_UNSUPPORTED, "the rig takes GOPs of %u to %u ms, not of %u",
                       offer->gop_ms_min, offer->gop_ms_max, chain->gop_ms);
    }
    const struct rr_work_facts *facts = &order->facts;
    if (facts->bytes > offer->source_bytes_max ||
        (uint64_t)facts->width * facts->height > offer->points_max) {
        return rr_fail(fault, RR_ERR_LIMIT,
                       "a source of %llu bytes and %u x %u; the rig takes %llu bytes and %llu "
                       "points",
                       (unsigned long long)facts->bytes, facts->width, facts->height,
                       (unsigned long long)offer->source_bytes_max,
                       (unsigned long long)offer->points_max);
    }
    return RR_OK;
}

static bool units_of(uint32_t *out, struct rr_coin price, struct rr_coin unit)
{
    uint64_t units = price.units / unit.units + (price.units % unit.units != 0);
    *out = (uint32_t)units;
    return units <= UINT32_MAX;
}

enum rr_err rr_work_quote_price(struct rr_work_quote *quote, const struct rr_work_offer *offer,
                                const struct rr_work_order *order, struct rr_fault *fault)
{
    const struct rr_work_chain *chain = &order->chain;
    const struct rr_work_facts *facts = &order->facts;
    struct rr_work_quote priced = *quote;
    struct rr_coin gop = RR_COIN_ZERO, audio = RR_COIN_ZERO;
    enum rr_err err = check_offer(offer, order, fault);
    if (err != RR_OK) {
        return err;
    }
    struct pricing pricing = {.offer = offer, .order = order};
    pricing.side = facts->width < facts->height ? facts->width : facts->height;
    pricing.side = pricing.side > 0 ? pricing.side : 1;
    uint64_t fps_parts = (uint64_t)facts->fps_den * 1000;
    pricing.frames = ((uint64_t)facts->fps_num * chain->gop_ms + fps_parts - 1) / fps_parts;
    uint64_t gops = facts->duration_ms / chain->gop_ms + 2; /* pictures may begin late, end late */
    bool good = gops <= UINT32_MAX && !rr_coin_is_zero(offer->unit_price);
    priced.gops = (uint32_t)gops;
    priced.unit_price = offer->unit_price;
    priced.step_count = chain->step_count;
    memset(priced.prices, 0, sizeof priced.prices);
    for (uint8_t i = 0; i < chain->step_count && good; i++) {
        const struct rr_work_step *step = &chain->steps[i];
        struct rr_coin one = RR_COIN_ZERO;
        bool sound = step->kind == RR_WORK_DECODE_AUDIO || step->kind == RR_WORK_ENCODE_AUDIO;
        if ((order->steps & 1u << i) == 0) {
            continue;
        }
        struct rr_coin *sum = sound ? &audio : &gop;
        good = price_step(&pricing, step, &one) && rr_coin_add(sum, *sum, one) &&
               rr_coin_mul(&priced.prices[i], one, sound ? 1 : gops);
    }
    good = good && units_of(&priced.gop_units, gop, offer->unit_price) &&
           units_of(&priced.audio_units, audio, offer->unit_price) &&
           units_of(&priced.unpaid_units, offer->unpaid_max, offer->unit_price);
    wide work_ms = pricing.work * gops / 1000;
    if (!good || work_ms > UINT64_MAX) {
        return rr_fail(fault, RR_ERR_LIMIT, "the price of this order is beyond what can be paid");
    }
    priced.work_ms = (uint64_t)work_ms;
    *quote = priced;
    return RR_OK;
}

struct rr_coin rr_work_quote_total(const struct rr_work_quote *quote)
{
    struct rr_coin gops = RR_COIN_ZERO, all = RR_COIN_ZERO;
    uint64_t units = (uint64_t)quote->gop_units * quote->gops;
    bool good = units <= UINT64_MAX - quote->audio_units &&
                rr_coin_mul(&gops, quote->unit_price, units + quote->audio_units);
    if (good) {
        all = gops;
    } else {
        RR_CHECK(rr_coin_of_units(&all, RR_COIN_MAX_UNITS));
    }
    return all;
}

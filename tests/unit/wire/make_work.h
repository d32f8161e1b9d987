/* SPDX-License-Identifier: GPL-2.0-or-later */
/* As make.h: contract chains and work for hire. */
#ifndef UNIT_WIRE_MAKE_WORK_H
#define UNIT_WIRE_MAKE_WORK_H
#include "make.h"

static inline struct rr_coin make_small_coin(struct source *s)
{
    struct rr_coin coin = RR_COIN_ZERO;
    RR_CHECK(rr_coin_of_units(&coin, make_number(s, 1, RR_COIN_MAX_UNITS / RR_WORK_STEPS_MAX)));
    return coin;
}

static inline struct rr_work_step *make_step(struct source *s, struct rr_work_chain *c,
                                             enum rr_work_kind kind, uint8_t from,
                                             enum rr_work_type type)
{
    struct rr_work_step *step = &c->steps[c->step_count++];
    step->kind = kind;
    step->price = make_small_coin(s);
    if (kind != RR_WORK_DEMUX && kind != RR_WORK_MUX) {
        step->input_count = 1;
        step->inputs[0] = (struct rr_work_input){.step = from, .type = type};
    }
    return step;
}

static inline struct rr_work_chain make_chain(struct source *s)
{
    struct rr_work_chain c = {0};
    struct rr_work_input streams[RR_WORK_INPUTS_MAX];
    uint8_t count = 0, rungs = (uint8_t)(1 + make_count(s, 1, 7));
    c.chain_id = make_u32(s);
    make_field(s, c.source);
    make_field(s, c.owner);
    c.created_ms = make_u64(s);
    c.gop_ms = (uint32_t)make_number(s, 100, 60000);
    c.crf = make_u16(s);
    c.tone_map = (uint8_t)make_number(s, 0, 1);
    c.challenges = (uint16_t)make_number(s, 1, UINT16_MAX);
    c.output = make_number(s, 0, 1) == 0 ? RR_WORK_LADDER : RR_WORK_MP4;
    make_step(s, &c, RR_WORK_DEMUX, 0, RR_WORK_VIDEO_PACKETS);
    make_step(s, &c, RR_WORK_DECODE_VIDEO, 0, RR_WORK_VIDEO_PACKETS);
    for (uint8_t i = 0; i < rungs; i++) {
        streams[count++] =
            (struct rr_work_input){.step = c.step_count, .type = RR_WORK_VIDEO_STREAM};
        struct rr_work_step *step = make_step(s, &c, RR_WORK_ENCODE_VIDEO, 1, RR_WORK_PICTURES);
        make_text(s, step->profile, 1, RR_NAME_MAX, MAKE_NAME_LETTERS);
        step->rung = (uint16_t)(2000 - i);
        step->rate =
            (struct rr_rung_rate){.crf = make_u16(s), .kbps = make_u32(s), .max_kbps = make_u32(s)};
    }
    for (uint32_t i = make_count(s, 1, 3); i > 0; i--) {
        uint8_t at = c.step_count;
        make_step(s, &c, RR_WORK_DECODE_AUDIO, 0, RR_WORK_AUDIO_PACKETS);
        struct rr_work_step *step = make_step(s, &c, RR_WORK_ENCODE_AUDIO, at, RR_WORK_SAMPLES);
        make_text(s, step->profile, 1, RR_NAME_MAX, MAKE_NAME_LETTERS);
        step->bps = (uint32_t)make_number(s, 1, UINT32_MAX);
        streams[count++] =
            (struct rr_work_input){.step = (uint8_t)(at + 1), .type = RR_WORK_AUDIO_STREAM};
    }
    struct rr_work_step *mux = make_step(s, &c, RR_WORK_MUX, 0, RR_WORK_VIDEO_STREAM);
    mux->input_count = count;
    memcpy(mux->inputs, streams, sizeof streams[0] * count);
    return c;
}

static inline struct rr_work_offer make_work_offer(struct source *s)
{
    static const char *const names[] = {"av1", "h264", "hevc", "vp9"};
    struct rr_work_offer o = {0};
    o.chain_id = make_u32(s);
    make_field(s, o.rig);
    o.created_ms = make_number(s, 0, UINT64_MAX / 2);
    o.expires_ms = o.created_ms + make_number(s, 0, UINT32_MAX);
    o.kinds = (uint32_t)make_number(s, 0, 63) << 1;
    for (uint32_t i = 4 - make_count(s, 2, 4); i < 4; i++) {
        struct rr_work_codec *codec = &o.codecs[o.codec_count++];
        memcpy(codec->codec, names[i], strlen(names[i]) + 1);
        codec->price = make_coin(s);
        codec->rate = make_u32(s);
    }
    o.exact = make_number(s, 0, 1) == 1;
    o.tolerant = make_number(s, 0, 1) == 1;
    make_text(s, o.device, 1, RR_NAME_MAX, MAKE_NAME_LETTERS);
    o.demux_price = make_coin(s);
    o.decode_price = make_coin(s);
    o.audio_price = make_coin(s);
    o.mux_price = make_coin(s);
    o.unit_price = make_small_coin(s);
    o.rung_min = make_u16(s);
    o.rung_max = make_u16(s);
    o.gop_ms_min = make_u32(s);
    o.gop_ms_max = make_u32(s);
    o.source_bytes_max = make_u64(s);
    o.points_max = make_u64(s);
    o.jobs_max = make_u16(s);
    o.jobs_now = make_u16(s);
    o.unpaid_max = make_coin(s);
    o.pool_blocks_min = make_u32(s);
    o.margin_blocks = make_u32(s);
    make_field(s, o.signature);
    return o;
}

static inline struct rr_work_order make_work_order(struct source *s)
{
    struct rr_work_order o = {0};
    make_field(s, o.rig);
    o.created_ms = make_u64(s);
    o.deadline_ms = make_u64(s);
    o.facts.width = make_u16(s);
    o.facts.height = make_u16(s);
    o.facts.fps_num = make_u32(s);
    o.facts.fps_den = (uint32_t)make_number(s, 1, UINT32_MAX);
    o.facts.duration_ms = make_u64(s);
    o.facts.bytes = make_u64(s);
    o.facts.has_audio = make_number(s, 0, 1) == 1;
    o.chain = make_chain(s);
    o.steps = (uint32_t)make_number(s, 1, (UINT64_C(1) << o.chain.step_count) - 1);
    make_field(s, o.signature);
    return o;
}

static inline struct rr_work_quote make_work_quote(struct source *s)
{
    struct rr_work_quote q = {0};
    q.chain_id = make_u32(s);
    make_field(s, q.rig);
    make_field(s, q.publisher);
    make_field(s, q.order_id);
    make_field(s, q.handle);
    q.created_ms = make_u64(s);
    q.expires_ms = make_u64(s);
    q.unit_price = make_small_coin(s);
    q.gop_units = make_u32(s);
    q.audio_units = make_u32(s);
    q.unpaid_units = make_u32(s);
    q.gops = make_u32(s);
    q.work_ms = make_u64(s);
    q.step_count = (uint8_t)make_count(s, 3, RR_WORK_STEPS_MAX);
    for (uint8_t i = 0; i < q.step_count; i++) {
        q.prices[i] = make_coin(s);
    }
    make_field(s, q.signature);
    return q;
}

static inline struct rr_work_commit make_work_commit(struct source *s)
{
    struct rr_work_commit c = {0};
    make_field(s, c.quote_id);
    c.shard = make_u32(s);
    c.gops = make_u32(s);
    c.bytes = make_u64(s);
    make_field(s, c.digest);
    make_field(s, c.signature);
    return c;
}
#endif

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* As make_more.h: proof of transcoding among many. */
#ifndef UNIT_WIRE_MAKE_POT_H
#define UNIT_WIRE_MAKE_POT_H
#include "make_more.h"

/* Owned: rr_pot_gop_clear. */
static inline struct rr_pot_gop make_pot_gop(struct source *s)
{
    struct rr_pot_gop g = {.count = 1 + make_count(s, 1, 9)};
    uint8_t bytes[64];
    uint32_t sum = 0, extradata = make_count(s, 3, 40);
    make_bytes(s, bytes, extradata);
    rr_buf_append(&g.extradata, bytes, extradata);
    g.packets = rr_alloc_array(g.count, sizeof *g.packets);
    for (uint32_t i = 0; i < g.count; i++) {
        g.packets[i].bytes = 1 + make_count(s, 1, 5);
        g.packets[i].pts = (int64_t)make_u64(s);
        g.packets[i].key = make_number(s, 0, 1) == 1;
        sum += g.packets[i].bytes;
    }
    make_bytes(s, bytes, sum);
    rr_buf_append(&g.payload, bytes, sum);
    return g;
}

static inline struct rr_pot_challenge make_challenge(struct source *s)
{
    struct rr_pot_challenge c = {0};
    make_field(s, c.contract_id);
    make_field(s, c.root);
    c.leaves = (uint32_t)make_number(s, 1, RR_LEAVES_MAX);
    c.beacon_height = make_u64(s);
    make_field(s, c.beacon);
    c.index = (uint32_t)make_number(s, 0, c.leaves - 1);
    return c;
}

static inline struct rr_pot_vote make_vote(struct source *s)
{
    struct rr_pot_vote v = {0};
    v.chain_id = make_u32(s);
    make_field(s, v.contract_id);
    make_field(s, v.root);
    v.index = make_u32(s);
    v.refusal = (enum rr_pot_refusal)make_number(s, 0, RR_POT_REFUSAL_COUNT - 1);
    make_field(s, v.leaf);
    make_field(s, v.remade);
    make_field(s, v.verifier);
    make_field(s, v.signature);
    return v;
}

/* Owned: rr_pot_fraud_clear. */
static inline struct rr_pot_fraud make_fraud(struct source *s)
{
    struct rr_pot_fraud f = {.answer = make_answer(s)};
    f.count = make_count(s, 2, 5);
    f.votes = rr_alloc_array(f.count + 1u, sizeof *f.votes);
    for (uint32_t i = 0; i < f.count; i++) {
        f.votes[i] = make_vote(s);
        memset(f.votes[i].verifier.bytes, (int)(9 + i), sizeof f.votes[i].verifier.bytes);
    }
    return f;
}

static inline void write_pot_challenge(struct source *s, struct rr_buf *out)
{
    struct rr_pot_challenge challenge = make_challenge(s);
    rr_pot_challenge_encode(out, &challenge);
}

static inline void write_pot_vote(struct source *s, struct rr_buf *out)
{
    struct rr_pot_vote vote = make_vote(s);
    rr_pot_vote_encode(out, &vote);
}

static inline void write_pot_gop(struct source *s, struct rr_buf *out)
{
    struct rr_pot_gop gop = make_pot_gop(s);
    rr_pot_gop_encode(out, &gop);
    rr_pot_gop_clear(&gop);
}

static inline void write_pot_fraud(struct source *s, struct rr_buf *out)
{
    struct rr_pot_fraud fraud = make_fraud(s);
    rr_pot_fraud_encode(out, &fraud);
    rr_pot_fraud_clear(&fraud);
}

/* For the table of all formats. */
#define FORMATS_POT                                                                                \
    FORMAT(pot_leaves), FORMAT(pot_gop), FORMAT(pot_challenge), FORMAT(pot_vote), FORMAT(pot_fraud)
#endif

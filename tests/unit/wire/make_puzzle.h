/* SPDX-License-Identifier: GPL-2.0-or-later */
/* As make.h: engagement puzzles. */
#ifndef UNIT_WIRE_MAKE_PUZZLE_H
#define UNIT_WIRE_MAKE_PUZZLE_H
#include "make.h"

/* contract and segment: whole ids that the prefixes are of; NULL: bytes of their own. */
static inline struct rr_puzzle make_puzzle(struct source *s, const struct rr_hash32 *segment,
                                           const struct rr_hash32 *contract)
{
    struct rr_puzzle p = {0};
    p.kind = make_number(s, 1, 2) == 1 ? RR_PUZZLE_WORK : RR_PUZZLE_STAKE;
    p.prize = make_coin(s);
    p.difficulty.mantissa = (uint32_t)make_number(s, UINT32_C(1) << 31, UINT32_MAX);
    p.difficulty.exponent = (uint8_t)make_number(s, 0, RR_PUZZLE_EXPONENT_MAX);
    if (p.kind == RR_PUZZLE_STAKE) {
        p.difficulty = (struct rr_puzzle_difficulty){.mantissa = 1};
    } else if (p.difficulty.exponent == 0) {
        p.difficulty.mantissa >>= 20; /* small ones have no exponent */
    }
    make_bytes(s, p.rand, sizeof p.rand);
    if (segment != NULL) {
        memcpy(p.segment, segment->bytes, sizeof p.segment);
    } else {
        make_bytes(s, p.segment, sizeof p.segment);
    }
    if (contract != NULL) {
        memcpy(p.contract, contract->bytes, sizeof p.contract);
    } else {
        make_bytes(s, p.contract, sizeof p.contract);
    }
    return p;
}

static inline struct rr_puzzle_box make_puzzle_box(struct source *s)
{
    struct rr_puzzle_box b = {0};
    b.timescale = (uint32_t)make_number(s, 1, UINT32_MAX);
    b.presentation_time = make_u64(s);
    b.duration = make_u32(s);
    b.id = make_u32(s);
    make_field(s, b.contract_id);
    b.puzzle = make_puzzle(s, NULL, &b.contract_id);
    return b;
}

static inline struct rr_puzzle_claim make_puzzle_claim(struct source *s)
{
    struct rr_puzzle_claim c = {0};
    c.chain_id = make_u32(s);
    make_field(s, c.contract_id);
    make_field(s, c.resource_id);
    c.rendition = (uint16_t)make_number(s, 0, RR_RENDITIONS_MAX - 1);
    c.segment = (uint32_t)make_number(s, 0, RR_SEGMENTS_MAX - 1);
    make_field(s, c.segment_digest);
    c.puzzle = make_puzzle(s, &c.segment_digest, &c.contract_id);
    make_field(s, c.engagement);
    make_field(s, c.viewer);
    c.nonce = make_u64(s);
    if (c.puzzle.kind == RR_PUZZLE_STAKE) {
        c.nonce = 0;
    }
    make_field(s, c.signature);
    return c;
}

/* Owned: rr_puzzle_list_clear. */
static inline struct rr_puzzle_list make_puzzle_list(struct source *s)
{
    struct rr_puzzle_list list = {0};
    make_field(s, list.resource_id);
    list.count = make_count(s, 3, 9);
    list.entries = list.count > 0 ? rr_alloc_array(list.count, sizeof *list.entries) : NULL;
    for (uint32_t i = 0; i < list.count; i++) {
        struct rr_puzzle_entry *e = &list.entries[i];
        e->rendition = (uint16_t)(i / 4); /* rising, two of a segment */
        e->segment = 7 + i / 2;
        make_field(s, e->contract_id);
        e->puzzle = make_puzzle(s, NULL, &e->contract_id);
    }
    return list;
}
#endif

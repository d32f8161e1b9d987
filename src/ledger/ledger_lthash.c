/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* LtHash16: the hash of a set of records that changes by what changed ([spec 50, 2]; Bellare and
 * Micciancio's AdHash over lattices). A record expands to 1024 lanes; the state is their sum modulo
 * 2^16, lane by lane. */
#include "ledger/ledger_state.h"

#include <string.h>

static void expand(uint16_t lanes[static LEDGER_LANES], uint8_t table, struct rr_slice key,
                   struct rr_slice value)
{
    struct rr_hasher hasher;
    struct rr_hash32 seed;
    uint8_t stream[LEDGER_SUM_BYTES];
    rr_hasher_init(&hasher, "rr.lt.v1");
    rr_hasher_add(&hasher, &table, 1);
    rr_hasher_add(&hasher, key.ptr, key.len);
    rr_hasher_add(&hasher, value.ptr, value.len);
    rr_hasher_final(&hasher, &seed);
    rr_chacha20_stream(stream, sizeof stream, seed.bytes);
    for (size_t i = 0; i < LEDGER_LANES; i++) {
        lanes[i] = (uint16_t)(stream[2 * i] | stream[2 * i + 1] << 8);
    }
}

void ledger_sum_add(struct ledger_sum *sum, uint8_t table, struct rr_slice key,
                    struct rr_slice value)
{
    uint16_t lanes[LEDGER_LANES];
    expand(lanes, table, key, value);
    for (size_t i = 0; i < LEDGER_LANES; i++) {
        sum->lanes[i] = (uint16_t)(sum->lanes[i] + lanes[i]);
    }
}

void ledger_sum_remove(struct ledger_sum *sum, uint8_t table, struct rr_slice key,
                       struct rr_slice value)
{
    uint16_t lanes[LEDGER_LANES];
    expand(lanes, table, key, value);
    for (size_t i = 0; i < LEDGER_LANES; i++) {
        sum->lanes[i] = (uint16_t)(sum->lanes[i] - lanes[i]);
    }
}

void ledger_sum_encode(uint8_t out[static LEDGER_SUM_BYTES], const struct ledger_sum *sum)
{
    for (size_t i = 0; i < LEDGER_LANES; i++) {
        out[2 * i] = (uint8_t)sum->lanes[i];
        out[2 * i + 1] = (uint8_t)(sum->lanes[i] >> 8);
    }
}

void ledger_sum_decode(struct ledger_sum *out, const uint8_t bytes[static LEDGER_SUM_BYTES])
{
    for (size_t i = 0; i < LEDGER_LANES; i++) {
        out->lanes[i] = (uint16_t)(bytes[2 * i] | bytes[2 * i + 1] << 8);
    }
}

void ledger_sum_root(struct rr_hash32 *out, const struct ledger_sum *sum)
{
    uint8_t bytes[LEDGER_SUM_BYTES];
    ledger_sum_encode(bytes, sum);
    rr_hash(out, "rr.state", rr_slice_of(bytes, sizeof bytes));
}

static enum rr_err sum_change(void *ctx, const struct ledger_change *change, struct rr_fault *fault)
{
    (void)fault;
    struct ledger_sum *sum = ctx;
    struct rr_slice key = rr_slice_of(change->key.bytes, change->key.len);
    if (change->old_len != 0) {
        ledger_sum_remove(sum, change->table, key, rr_slice_of(change->old, change->old_len));
    }
    if (change->now_len != 0) {
        ledger_sum_add(sum, change->table, key, rr_slice_of(change->now, change->now_len));
    }
    return RR_OK;
}

void ledger_sum_overlay(struct ledger_sum *sum, struct ledger_overlay *overlay)
{
    enum rr_err err = ledger_overlay_visit(overlay, sum_change, sum, NULL);
    RR_CHECK(err == RR_OK);
}

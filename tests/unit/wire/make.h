/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Valid values of every format: random ones, or the fixed ones behind the checked-in vectors. A
 * fixed source counts: its first number or byte string is 1, the next 2, and so on; a byte string
 * is that number in every byte. */
#ifndef UNIT_WIRE_MAKE_H
#define UNIT_WIRE_MAKE_H
#include "wire/wire.h"

#include <string.h>

struct source {
    bool fixed;
    uint64_t next; /* of a fixed source */
    struct rr_prng prng;
};

/* lowest .. highest; a fixed source wraps into the range. */
static inline uint64_t make_number(struct source *s, uint64_t lowest, uint64_t highest)
{
    uint64_t span = highest - lowest + 1; /* 0: all of 64 bits */
    if (s->fixed) {
        uint64_t n = ++s->next;
        return n >= lowest && n <= highest ? n : lowest + (span == 0 ? n : n % span);
    }
    /* Half of them near an end, where mistakes live. */
    switch (rr_prng_below(&s->prng, 4)) {
    case 0:
        return lowest;
    case 1:
        return highest;
    default:
        return span == 0 ? rr_prng_u64(&s->prng) : lowest + rr_prng_below(&s->prng, span);
    }
}

static inline void make_bytes(struct source *s, void *out, size_t len)
{
    if (s->fixed) {
        memset(out, (int)(++s->next & 0xff), len);
    } else {
        rr_prng_bytes(&s->prng, out, len);
    }
}

/* How many of something: `fixed` for a fixed source. */
static inline uint32_t make_count(struct source *s, uint32_t fixed, uint32_t highest)
{
    return s->fixed ? fixed : (uint32_t)rr_prng_below(&s->prng, highest + 1u);
}

static inline struct rr_coin make_coin(struct source *s)
{
    struct rr_coin coin = RR_COIN_ZERO;
    RR_CHECK(rr_coin_of_units(&coin, make_number(s, 0, RR_COIN_MAX_UNITS)));
    return coin;
}

#define make_u16(s)          ((uint16_t)make_number(s, 0, UINT16_MAX))
#define make_u32(s)          ((uint32_t)make_number(s, 0, UINT32_MAX))
#define make_u64(s)          make_number(s, 0, UINT64_MAX)
#define make_field(s, field) make_bytes(s, (field).bytes, sizeof(field).bytes)

static inline void make_text(struct source *s, char *out, size_t lowest, size_t highest,
                             const char *letters)
{
    size_t len = s->fixed ? (lowest > 4 ? lowest : 4) : (size_t)make_number(s, lowest, highest);
    for (size_t i = 0; i < len; i++) {
        out[i] = letters[make_number(s, 0, strlen(letters) - 1)];
    }
    out[len] = '\0';
}
#define MAKE_NAME_LETTERS "abcdefghijklmnopqrstuvwxyz0123456789-"

/* ---- chain
 * -------------------------------------------------------------------------------------------------
 */

static inline struct rr_genesis make_genesis(struct source *s)
{
    struct rr_genesis g = {0};
    make_text(s, g.name, 1, 32, MAKE_NAME_LETTERS);
    g.test_addresses = make_number(s, 0, 1) == 1;
    g.time_ms = make_number(s, 0, INT64_MAX);
    g.block_ms = (uint32_t)make_number(s, 100, 600000);
    g.cache_items = (uint32_t)make_number(s, 1, 67106813);
    g.dataset_items = (uint32_t)make_number(s, 1, INT32_MAX);
    make_bytes(s, g.ethash_seed, sizeof g.ethash_seed);
    g.difficulty.limb[3] = make_number(s, 0, UINT32_MAX); /* below 2^224 */
    g.difficulty.limb[0] = make_number(s, 1, UINT64_MAX);
    g.halflife_ms = make_number(s, 1, UINT64_C(31536000000));
    g.base_reward = make_coin(s);
    g.checkpoint_blocks = (uint32_t)make_number(s, 1, 1 << 20);
    g.puzzle_blocks = (uint32_t)make_number(s, 1, 1 << 16);
    g.certificate_hashes_per_s = (uint32_t)make_number(s, 1, UINT32_MAX);
    g.reputation_num = make_u32(s);
    g.reputation_den = (uint32_t)make_number(s, 1, UINT32_MAX);
    g.window_blocks = (uint32_t)make_number(s, 1, 1 << 24);
    g.certificates_per_block = (uint32_t)make_number(s, 0, 16384);
    g.certificate_binding = make_number(s, 0, 1) == 1 ? RR_BINDING_POOL : RR_BINDING_NONE;
    g.credit_units_per_ms = make_number(s, 1, RR_COIN_MAX_UNITS);
    g.fee_base = make_coin(s);
    g.fee_units_per_byte = make_number(s, 0, RR_COIN_MAX_UNITS);
    g.pool_blocks_min = (uint32_t)make_number(s, 1, UINT32_MAX);
    g.pool_blocks_max = (uint32_t)make_number(s, g.pool_blocks_min, UINT32_MAX);
    g.block_bytes_max = (uint32_t)make_number(s, RR_TX_BYTES_MAX, 16u << 20);
    return g;
}

static inline struct rr_voucher make_voucher(struct source *s)
{
    struct rr_voucher v = {0};
    v.chain_id = make_u32(s);
    make_field(s, v.pool_id);
    make_field(s, v.target);
    v.cum_amount = make_coin(s);
    v.seq = make_u64(s);
    v.expiry_height = make_u64(s);
    make_field(s, v.payword_root);
    v.unit_price = make_coin(s);
    v.max_units = make_u32(s);
    make_field(s, v.signature);
    return v;
}

static inline void make_tx_body(struct source *s, struct rr_tx *t)
{
    switch (t->type) {
    case RR_TX_TRANSFER:
        make_field(s, t->body.transfer.to);
        t->body.transfer.amount = make_coin(s);
        return;
    case RR_TX_CREATE_POOL:
        make_field(s, t->body.create_pool.resource_id);
        t->body.create_pool.deposit = make_coin(s);
        t->body.create_pool.collateral = make_coin(s);
        t->body.create_pool.cap = make_coin(s);
        t->body.create_pool.duration_blocks = make_u32(s);
        return;
    case RR_TX_REFILL_POOL:
        make_field(s, t->body.refill_pool.pool_id);
        t->body.refill_pool.amount = make_coin(s);
        return;
    case RR_TX_SETTLE:
        t->body.settle.voucher = make_voucher(s);
        t->body.settle.depth = make_u32(s);
        if (t->body.settle.depth > 0) {
            make_field(s, t->body.settle.preimage);
        }
        return;
    case RR_TX_RELEASE_POOL:
        make_field(s, t->body.release_pool.pool_id);
        return;
    case RR_TX_OPEN_CONTRACT:
        t->body.open_contract.kind = RR_CONTRACT_TRANSCODE;
        make_field(s, t->body.open_contract.job_id);
        make_field(s, t->body.open_contract.provider);
        make_field(s, t->body.open_contract.verifier);
        t->body.open_contract.price = make_coin(s);
        t->body.open_contract.challenges = make_u16(s);
        t->body.open_contract.expiry_blocks = make_u32(s);
        return;
    case RR_TX_CLAIM:
        make_field(s, t->body.claim.contract_id);
        make_field(s, t->body.claim.root);
        t->body.claim.leaves = make_u32(s);
        return;
    case RR_TX_ATTESTATION:
        make_field(s, t->body.attestation.contract_id);
        t->body.attestation.beacon_height = make_u64(s);
        t->body.attestation.checked = make_u16(s);
        t->body.attestation.failed = make_u16(s);
        make_field(s, t->body.attestation.evidence);
        return;
    }
}

static const enum rr_tx_type make_tx_types[] = {
    RR_TX_TRANSFER,     RR_TX_CREATE_POOL,   RR_TX_REFILL_POOL, RR_TX_SETTLE,
    RR_TX_RELEASE_POOL, RR_TX_OPEN_CONTRACT, RR_TX_CLAIM,       RR_TX_ATTESTATION};

static inline struct rr_tx make_tx_of(struct source *s, enum rr_tx_type type)
{
    struct rr_tx t = {.type = type};
    t.chain_id = make_u32(s);
    make_field(s, t.sender);
    t.sequence = make_u64(s);
    t.valid_until_height = make_u64(s);
    t.fee = make_coin(s);
    make_tx_body(s, &t);
    make_field(s, t.signature);
    return t;
}

static inline struct rr_tx make_tx(struct source *s)
{
    return make_tx_of(s, make_tx_types[make_number(s, 0, RR_COUNT(make_tx_types) - 1)]);
}

static inline struct rr_header make_header(struct source *s)
{
    struct rr_header h = {0};
    h.chain_id = make_u32(s);
    h.height = make_u64(s);
    make_field(s, h.parent);
    h.time_ms = make_u64(s);
    h.difficulty.limb[3] = make_u64(s);
    h.difficulty.limb[0] = make_number(s, 1, UINT64_MAX);
    make_field(s, h.tx_root);
    make_field(s, h.state_root);
    make_field(s, h.cert_root);
    h.sets = (uint16_t)make_count(s, 2, RR_HEADER_SETS_MAX);
    for (uint16_t i = 0; i < h.sets; i++) {
        h.set_ms[i] = make_u64(s);
    }
    h.total_ms = make_u64(s);
    h.r_q32 = make_u32(s);
    make_field(s, h.cert_digest);
    make_field(s, h.attest_root);
    make_field(s, h.checkpoint_ref);
    make_field(s, h.miner);
    h.nonce = make_u64(s);
    make_field(s, h.mix);
    return h;
}

static inline struct rr_merkle_proof make_place(struct source *s)
{
    struct rr_merkle_proof p = {0};
    p.count = (uint32_t)make_number(s, 1, UINT32_MAX);
    p.index = (uint32_t)make_number(s, 0, p.count - 1);
    p.depth = make_count(s, 2, RR_MERKLE_MAX_DEPTH);
    for (uint32_t i = 0; i < p.depth; i++) {
        make_field(s, p.siblings[i]);
    }
    return p;
}
#endif

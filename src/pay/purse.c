/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "pay/pay.h"
#include <string.h>

#define PURSE_VERSION 1
/* One link of this many is kept; the links between are made again, a block of them at a time. Ours:
 * 2^24 units then take 8 MB, and a payment costs two hashes on average. */
#define STRIDE 64

struct rr_purse {
    struct rr_voucher voucher;
    uint8_t seed[32];
    uint32_t depth;
    struct rr_hash32 *marks; /* the link at depth min((i + 1) STRIDE, max_units) */
    uint32_t mark_count;
    struct rr_hash32 block[STRIDE]; /* links at depths block_first + 1 ... */
    uint32_t block_first;
    bool block_filled;
};

static void wipe(struct rr_purse *purse)
{
    rr_wipe(purse->seed, sizeof(purse->seed));
    rr_wipe(purse->block, sizeof(purse->block));
    if (purse->marks != NULL) {
        rr_wipe(purse->marks, purse->mark_count * sizeof(*purse->marks));
    }
    rr_free(purse->marks);
    purse->marks = NULL;
}

/* The deepest link: bound to pool, target and sequence, so that one seed never makes the same chain
 * twice. */
static void deepest_link(struct rr_hash32 *out, const struct rr_purse *purse)
{
    struct rr_buf text = {0};
    const struct rr_voucher *voucher = &purse->voucher;
    rr_buf_append(&text, voucher->pool_id.bytes, sizeof(voucher->pool_id.bytes));
    rr_buf_append(&text, voucher->target.bytes, sizeof(voucher->target.bytes));
    rr_write_u64(&text, voucher->seq);
    rr_keyed_hash(out, purse->seed, rr_buf_slice(&text));
    rr_buf_clear(&text);
}

/* Makes marks and, as the last step, the root. */
static void make_chain(struct rr_purse *purse, struct rr_hash32 *root)
{
    uint32_t units = purse->voucher.max_units;
    struct rr_hash32 link;
    purse->mark_count = (units - 1) / STRIDE + 1;
    purse->marks = rr_alloc_array(purse->mark_count, sizeof(*purse->marks));
    purse->block_filled = false;
    deepest_link(&link, purse);
    for (uint32_t depth = units; depth > 0; depth--) {
        if (depth == units || depth % STRIDE == 0) {
            purse->marks[(depth - 1) / STRIDE] = link;
        }
        rr_payword_step(&link, &link);
    }
    *root = link;
}

static void link_at(struct rr_purse *purse, uint32_t depth, struct rr_hash32 *out)
{
    if (depth == 0) {
        *out = purse->voucher.payword_root;
        return;
    }
    uint32_t block = (depth - 1) / STRIDE;
    uint32_t first = block * STRIDE;
    if (!purse->block_filled || purse->block_first != first) {
        uint32_t last =
            first + STRIDE < purse->voucher.max_units ? first + STRIDE : purse->voucher.max_units;
        purse->block[last - first - 1] = purse->marks[block];
        for (uint32_t at = last - first - 1; at > 0; at--) {
            rr_payword_step(&purse->block[at - 1], &purse->block[at]);
        }
        purse->block_first = first;
        purse->block_filled = true;
    }
    *out = purse->block[depth - first - 1];
}

static void sign(struct rr_purse *purse, const struct rr_seckey *key)
{
    struct rr_hash32 digest;
    rr_voucher_digest(&digest, &purse->voucher);
    rr_sign(&purse->voucher.signature, key, &digest);
}

struct rr_purse *rr_purse_new(const struct rr_seckey *key, uint32_t chain_id,
                              const struct rr_hash32 *pool_id, const struct rr_pubkey *target,
                              struct rr_coin unit_price, uint32_t max_units, uint64_t expiry_height,
                              const uint8_t seed[static 32])
{
    if (max_units == 0 || max_units > RR_PURSE_UNITS_MAX) {
        return NULL;
    }
    struct rr_purse *purse = rr_alloc(sizeof(*purse));
    purse->voucher = (struct rr_voucher){
        .chain_id = chain_id,
        .pool_id = *pool_id,
        .seq = 1,
        .expiry_height = expiry_height,
        .unit_price = unit_price,
        .max_units = max_units,
    };
    rr_address_of(&purse->voucher.target, target);
    memcpy(purse->seed, seed, sizeof(purse->seed));
    make_chain(purse, &purse->voucher.payword_root);
    sign(purse, key);
    return purse;
}

void rr_purse_free(struct rr_purse *purse)
{
    if (purse != NULL) {
        wipe(purse);
        rr_free(purse);
    }
}

enum rr_err rr_purse_renew(struct rr_purse *purse, const struct rr_seckey *key, uint32_t max_units,
                           uint64_t expiry_height, struct rr_fault *fault)
{
    struct rr_coin value;
    if (max_units == 0 || max_units > RR_PURSE_UNITS_MAX) {
        return rr_fail(fault, RR_ERR_LIMIT, "a voucher over %u units: 1 to %u are allowed",
                       max_units, RR_PURSE_UNITS_MAX);
    }
    if (!rr_voucher_value(&value, &purse->voucher, purse->depth)) {
        return rr_fail(fault, RR_ERR_LIMIT, "what the purse has paid is beyond the cap of amounts");
    }
    purse->voucher.cum_amount = value;
    purse->voucher.seq++;
    purse->voucher.max_units = max_units;
    purse->voucher.expiry_height = expiry_height;
    purse->depth = 0;
    rr_wipe(purse->marks, purse->mark_count * sizeof(*purse->marks));
    rr_free(purse->marks);
    make_chain(purse, &purse->voucher.payword_root);
    sign(purse, key);
    return RR_OK;
}

const struct rr_voucher *rr_purse_voucher(const struct rr_purse *purse)
{
    return &purse->voucher;
}

enum rr_err rr_purse_pay(struct rr_purse *purse, uint32_t units, uint32_t *depth,
                         struct rr_hash32 *preimage, struct rr_fault *fault)
{
    if (units > purse->voucher.max_units - purse->depth) {
        return rr_fail(fault, RR_ERR_FUNDS,
                       "%u units are asked for, %u of the voucher's %u are left: renew it or open "
                       "another pool",
                       units, purse->voucher.max_units - purse->depth, purse->voucher.max_units);
    }
    purse->depth += units;
    *depth = purse->depth;
    link_at(purse, purse->depth, preimage);
    return RR_OK;
}

uint32_t rr_purse_depth(const struct rr_purse *purse)
{
    return purse->depth;
}

void rr_purse_resume(struct rr_purse *purse, uint32_t depth)
{
    if (depth > purse->depth) {
        purse->depth = depth < purse->voucher.max_units ? depth : purse->voucher.max_units;
    }
}

void rr_purse_encode(struct rr_buf *out, const struct rr_purse *purse)
{
    struct rr_buf voucher = {0};
    rr_voucher_encode(&voucher, &purse->voucher);
    rr_write_u8(out, PURSE_VERSION);
    rr_write_var16(out, rr_buf_slice(&voucher));
    rr_write_u32(out, purse->depth);
    rr_buf_append(out, purse->seed, sizeof(purse->seed));
    rr_buf_clear(&voucher);
}

enum rr_err rr_purse_decode(struct rr_purse **out, const struct rr_seckey *key,
                            struct rr_slice bytes, struct rr_fault *fault)
{
    struct rr_reader reader = rr_reader_of(bytes);
    uint8_t version = rr_read_u8(&reader);
    struct rr_slice voucher = rr_read_var16(&reader, UINT16_MAX);
    uint32_t depth = rr_read_u32(&reader);
    struct rr_slice seed = rr_read_slice(&reader, 32);
    if (version != PURSE_VERSION || !rr_reader_done(&reader)) {
        return rr_fail(fault, RR_ERR_FORMAT,
                       "%zu bytes, version %u, are no purse that this program can read", bytes.len,
                       version);
    }
    struct rr_purse *purse = rr_alloc(sizeof(*purse));
    struct rr_pubkey owner;
    struct rr_hash32 digest;
    struct rr_hash32 root;
    enum rr_err err = rr_voucher_decode(&purse->voucher, voucher, fault);
    if (err != RR_OK) {
        goto out;
    }
    uint32_t units = purse->voucher.max_units;
    if (units == 0 || units > RR_PURSE_UNITS_MAX || depth > units) {
        err =
            rr_fail(fault, RR_ERR_FORMAT, "the purse stands at depth %u of %u units", depth, units);
        goto out;
    }
    rr_seckey_public(key, &owner);
    rr_voucher_digest(&digest, &purse->voucher);
    if (!rr_verify(&purse->voucher.signature, &owner, &digest)) {
        err = rr_fail(fault, RR_ERR_TRUST, "the purse was made with another key");
        goto out;
    }
    memcpy(purse->seed, seed.ptr, sizeof(purse->seed));
    purse->depth = depth;
    make_chain(purse, &root);
    if (!rr_hash32_equal(&root, &purse->voucher.payword_root)) {
        err =
            rr_fail(fault, RR_ERR_TRUST, "the seed of the purse does not make its voucher's chain");
    }
out:
    if (err == RR_OK) {
        *out = purse;
    } else {
        rr_purse_free(purse);
    }
    return err;
}

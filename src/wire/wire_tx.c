/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "wire/wire_private.h"

#define VOUCHER_DOMAIN "rr.voucher.v1"

/* ---- vouchers ---------------------------------------------------------------------------------
 */

void wire_write_voucher(struct rr_buf *out, const struct rr_voucher *voucher, bool with_signature)
{
    rr_write_u8(out, WIRE_VERSION);
    rr_write_u32(out, voucher->chain_id);
    wire_write_hash(out, &voucher->pool_id);
    rr_buf_append(out, voucher->target.bytes, sizeof voucher->target.bytes);
    wire_write_coin(out, voucher->cum_amount);
    rr_write_u64(out, voucher->seq);
    rr_write_u64(out, voucher->expiry_height);
    wire_write_hash(out, &voucher->payword_root);
    wire_write_coin(out, voucher->unit_price);
    rr_write_u32(out, voucher->max_units);
    if (with_signature) {
        wire_write_signature(out, &voucher->signature);
    }
}

void wire_read_voucher(struct rr_reader *reader, struct rr_voucher *out)
{
    wire_read_version(reader);
    out->chain_id = rr_read_u32(reader);
    wire_read_hash(reader, &out->pool_id);
    rr_read_bytes(reader, out->target.bytes, sizeof out->target.bytes);
    wire_read_coin(reader, &out->cum_amount);
    out->seq = rr_read_u64(reader);
    out->expiry_height = rr_read_u64(reader);
    wire_read_hash(reader, &out->payword_root);
    wire_read_coin(reader, &out->unit_price);
    out->max_units = rr_read_u32(reader);
    wire_read_signature(reader, &out->signature);
}

void rr_voucher_encode(struct rr_buf *out, const struct rr_voucher *voucher)
{
    wire_write_voucher(out, voucher, true);
}

enum rr_err rr_voucher_decode(struct rr_voucher *out, struct rr_slice bytes, struct rr_fault *fault)
{
    struct rr_reader reader = rr_reader_of(bytes);
    struct rr_voucher voucher;
    wire_read_voucher(&reader, &voucher);
    enum rr_err err = wire_done(&reader, "voucher", fault);
    if (err == RR_OK) {
        *out = voucher;
    }
    return err;
}

void rr_voucher_digest(struct rr_hash32 *out, const struct rr_voucher *voucher)
{
    struct rr_buf bytes = {0};
    wire_write_voucher(&bytes, voucher, false);
    rr_hash(out, VOUCHER_DOMAIN, rr_buf_slice(&bytes));
    rr_buf_clear(&bytes);
}

bool rr_voucher_value(struct rr_coin *out, const struct rr_voucher *voucher, uint32_t depth)
{
    struct rr_coin paid;
    uint32_t units = depth < voucher->max_units ? depth : voucher->max_units;
    return rr_coin_mul(&paid, voucher->unit_price, units) &&
           rr_coin_add(out, voucher->cum_amount, paid);
}

void rr_payword_step(struct rr_hash32 *out, const struct rr_hash32 *in)
{
    struct rr_hash32 copy = *in;
    rr_hash(out, "rr.payword.v1", rr_slice_of(copy.bytes, sizeof copy.bytes));
}

/* ---- bodies of transactions
 * ------------------------------------------------------------------------ */

static void write_open_contract(struct rr_buf *out, const struct rr_tx *tx)
{
    rr_write_u8(out, (uint8_t)tx->body.open_contract.kind);
    wire_write_hash(out, &tx->body.open_contract.job_id);
    wire_write_key(out, &tx->body.open_contract.provider);
    wire_write_key(out, &tx->body.open_contract.verifier);
    wire_write_coin(out, tx->body.open_contract.price);
    rr_write_u16(out, tx->body.open_contract.challenges);
    rr_write_u32(out, tx->body.open_contract.expiry_blocks);
}

static void read_open_contract(struct rr_reader *reader, struct rr_tx *out)
{
    uint8_t kind = rr_read_u8(reader);
    if (kind != RR_CONTRACT_TRANSCODE) {
        wire_refuse(reader);
    }
    out->body.open_contract.kind = RR_CONTRACT_TRANSCODE;
    wire_read_hash(reader, &out->body.open_contract.job_id);
    wire_read_key(reader, &out->body.open_contract.provider);
    wire_read_key(reader, &out->body.open_contract.verifier);
    wire_read_coin(reader, &out->body.open_contract.price);
    out->body.open_contract.challenges = rr_read_u16(reader);
    out->body.open_contract.expiry_blocks = rr_read_u32(reader);
}

static void write_body(struct rr_buf *out, const struct rr_tx *tx)
{
    switch (tx->type) {
    case RR_TX_TRANSFER:
        rr_buf_append(out, tx->body.transfer.to.bytes, sizeof tx->body.transfer.to.bytes);
        wire_write_coin(out, tx->body.transfer.amount);
        return;
    case RR_TX_CREATE_POOL:
        wire_write_hash(out, &tx->body.create_pool.resource_id);
        wire_write_coin(out, tx->body.create_pool.deposit);
        wire_write_coin(out, tx->body.create_pool.collateral);
        wire_write_coin(out, tx->body.create_pool.cap);
        rr_write_u32(out, tx->body.create_pool.duration_blocks);
        return;
    case RR_TX_REFILL_POOL:
        wire_write_hash(out, &tx->body.refill_pool.pool_id);
        wire_write_coin(out, tx->body.refill_pool.amount);
        return;
    case RR_TX_SETTLE:
        wire_write_voucher(out, &tx->body.settle.voucher, true);
        rr_write_u32(out, tx->body.settle.depth);
        wire_write_hash(out, &tx->body.settle.preimage);
        return;
    case RR_TX_RELEASE_POOL:
        wire_write_hash(out, &tx->body.release_pool.pool_id);
        return;
    case RR_TX_OPEN_CONTRACT:
        write_open_contract(out, tx);
        return;
    case RR_TX_CLAIM:
        wire_write_hash(out, &tx->body.claim.contract_id);
        wire_write_hash(out, &tx->body.claim.root);
        rr_write_u32(out, tx->body.claim.leaves);
        return;
    case RR_TX_ATTESTATION:
        wire_write_hash(out, &tx->body.attestation.contract_id);
        rr_write_u64(out, tx->body.attestation.beacon_height);
        rr_write_u16(out, tx->body.attestation.checked);
        rr_write_u16(out, tx->body.attestation.failed);
        wire_write_hash(out, &tx->body.attestation.evidence);
        return;
    }
    RR_BUG("a transaction of no type");
}

static void read_settle(struct rr_reader *reader, struct rr_tx *out)
{
    wire_read_voucher(reader, &out->body.settle.voucher);
    out->body.settle.depth = rr_read_u32(reader);
    wire_read_hash(reader, &out->body.settle.preimage);
    if (out->body.settle.depth == 0 && !rr_hash32_is_zero(&out->body.settle.preimage)) {
        wire_refuse(reader); /* one encoding per value */
    }
}

static void read_body(struct rr_reader *reader, struct rr_tx *out)
{
    switch (out->type) {
    case RR_TX_TRANSFER:
        rr_read_bytes(reader, out->body.transfer.to.bytes, sizeof out->body.transfer.to.bytes);
        wire_read_coin(reader, &out->body.transfer.amount);
        return;
    case RR_TX_CREATE_POOL:
        wire_read_hash(reader, &out->body.create_pool.resource_id);
        wire_read_coin(reader, &out->body.create_pool.deposit);
        wire_read_coin(reader, &out->body.create_pool.collateral);
        wire_read_coin(reader, &out->body.create_pool.cap);
        out->body.create_pool.duration_blocks = rr_read_u32(reader);
        return;
    case RR_TX_REFILL_POOL:
        wire_read_hash(reader, &out->body.refill_pool.pool_id);
        wire_read_coin(reader, &out->body.refill_pool.amount);
        return;
    case RR_TX_SETTLE:
        read_settle(reader, out);
        return;
    case RR_TX_RELEASE_POOL:
        wire_read_hash(reader, &out->body.release_pool.pool_id);
        return;
    case RR_TX_OPEN_CONTRACT:
        read_open_contract(reader, out);
        return;
    case RR_TX_CLAIM:
        wire_read_hash(reader, &out->body.claim.contract_id);
        wire_read_hash(reader, &out->body.claim.root);
        out->body.claim.leaves = rr_read_u32(reader);
        return;
    case RR_TX_ATTESTATION:
        wire_read_hash(reader, &out->body.attestation.contract_id);
        out->body.attestation.beacon_height = rr_read_u64(reader);
        out->body.attestation.checked = rr_read_u16(reader);
        out->body.attestation.failed = rr_read_u16(reader);
        wire_read_hash(reader, &out->body.attestation.evidence);
        return;
    }
    wire_refuse(reader);
}

/* ---- transactions
 * -------------------------------------------------------------------------------------- */

void wire_write_tx(struct rr_buf *out, const struct rr_tx *tx, bool with_signature)
{
    rr_write_u8(out, WIRE_VERSION);
    rr_write_u8(out, (uint8_t)tx->type);
    rr_write_u32(out, tx->chain_id);
    wire_write_key(out, &tx->sender);
    rr_write_u64(out, tx->sequence);
    rr_write_u64(out, tx->valid_until_height);
    wire_write_coin(out, tx->fee);
    write_body(out, tx);
    if (with_signature) {
        wire_write_signature(out, &tx->signature);
    }
}

void wire_read_tx(struct rr_reader *reader, struct rr_tx *out)
{
    *out = (struct rr_tx){0};
    wire_read_version(reader);
    out->type = (enum rr_tx_type)rr_read_u8(reader);
    out->chain_id = rr_read_u32(reader);
    wire_read_key(reader, &out->sender);
    out->sequence = rr_read_u64(reader);
    out->valid_until_height = rr_read_u64(reader);
    wire_read_coin(reader, &out->fee);
    if (!reader->failed) {
        read_body(reader, out);
    }
    wire_read_signature(reader, &out->signature);
}

void rr_tx_encode(struct rr_buf *out, const struct rr_tx *tx)
{
    wire_write_tx(out, tx, true);
}

enum rr_err rr_tx_decode(struct rr_tx *out, struct rr_slice bytes, struct rr_fault *fault)
{
    struct rr_tx tx;
    if (bytes.len > RR_TX_BYTES_MAX) {
        return rr_fail(fault, RR_ERR_LIMIT, "a transaction of %zu bytes; at most %d", bytes.len,
                       RR_TX_BYTES_MAX);
    }
    struct rr_reader reader = rr_reader_of(bytes);
    wire_read_tx(&reader, &tx);
    enum rr_err err = wire_done(&reader, "transaction", fault);
    if (err == RR_OK) {
        *out = tx;
    }
    return err;
}

static void hash_tx(struct rr_hash32 *out, const char *domain, const struct rr_tx *tx,
                    bool with_signature)
{
    struct rr_buf bytes = {0};
    wire_write_tx(&bytes, tx, with_signature);
    rr_hash(out, domain, rr_buf_slice(&bytes));
    rr_buf_clear(&bytes);
}

void rr_tx_digest(struct rr_hash32 *out, const struct rr_tx *tx)
{
    hash_tx(out, "rr.tx.v1", tx, false);
}

void rr_tx_id(struct rr_hash32 *out, const struct rr_tx *tx)
{
    hash_tx(out, "rr.txid.v1", tx, true);
}

void rr_tx_sign(struct rr_tx *tx, const struct rr_seckey *key)
{
    struct rr_hash32 digest;
    rr_seckey_public(key, &tx->sender);
    rr_tx_digest(&digest, tx);
    rr_sign(&tx->signature, key, &digest);
}

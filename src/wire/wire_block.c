/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "wire/wire_private.h"

#include "keccak/keccak.h"

/* ---- headers
 * ------------------------------------------------------------------------------------- */

void wire_write_header(struct rr_buf *out, const struct rr_header *header, bool with_work)
{
    RR_CHECK(header->sets <= RR_HEADER_SETS_MAX);
    rr_write_u8(out, WIRE_VERSION);
    rr_write_u32(out, header->chain_id);
    rr_write_u64(out, header->height);
    wire_write_hash(out, &header->parent);
    rr_write_u64(out, header->time_ms);
    wire_write_u256(out, header->difficulty);
    wire_write_hash(out, &header->tx_root);
    wire_write_hash(out, &header->state_root);
    wire_write_hash(out, &header->cert_root);
    rr_write_u16(out, header->sets);
    for (uint16_t i = 0; i < header->sets; i++) {
        rr_write_u64(out, header->set_ms[i]);
    }
    rr_write_u64(out, header->total_ms);
    rr_write_u32(out, header->r_q32);
    wire_write_hash(out, &header->cert_digest);
    wire_write_hash(out, &header->attest_root);
    wire_write_hash(out, &header->checkpoint_ref);
    wire_write_key(out, &header->miner);
    if (with_work) {
        rr_write_u64(out, header->nonce);
        wire_write_hash(out, &header->mix);
    }
}

void wire_read_header(struct rr_reader *reader, struct rr_header *out)
{
    *out = (struct rr_header){0};
    wire_read_version(reader);
    out->chain_id = rr_read_u32(reader);
    out->height = rr_read_u64(reader);
    wire_read_hash(reader, &out->parent);
    out->time_ms = rr_read_u64(reader);
    wire_read_u256(reader, &out->difficulty);
    wire_read_hash(reader, &out->tx_root);
    wire_read_hash(reader, &out->state_root);
    wire_read_hash(reader, &out->cert_root);
    out->sets = rr_read_u16(reader);
    if (out->sets > RR_HEADER_SETS_MAX || (!reader->failed && rr_u256_is_zero(out->difficulty))) {
        out->sets = 0;
        wire_refuse(reader);
    }
    for (uint16_t i = 0; i < out->sets; i++) {
        out->set_ms[i] = rr_read_u64(reader);
    }
    out->total_ms = rr_read_u64(reader);
    out->r_q32 = rr_read_u32(reader);
    wire_read_hash(reader, &out->cert_digest);
    wire_read_hash(reader, &out->attest_root);
    wire_read_hash(reader, &out->checkpoint_ref);
    wire_read_key(reader, &out->miner);
    out->nonce = rr_read_u64(reader);
    wire_read_hash(reader, &out->mix);
}

void rr_header_encode(struct rr_buf *out, const struct rr_header *header)
{
    wire_write_header(out, header, true);
}

enum rr_err rr_header_decode(struct rr_header *out, struct rr_slice bytes, struct rr_fault *fault)
{
    struct rr_reader reader = rr_reader_of(bytes);
    struct rr_header header;
    wire_read_header(&reader, &header);
    enum rr_err err = wire_done(&reader, "block header", fault);
    if (err == RR_OK) {
        *out = header;
    }
    return err;
}

void rr_header_hash(struct rr_hash32 *out, const struct rr_header *header)
{
    struct rr_buf bytes = {0};
    wire_write_header(&bytes, header, true);
    rr_hash(out, "rr.blk.v1", rr_buf_slice(&bytes));
    rr_buf_clear(&bytes);
}

void rr_header_work_hash(struct rr_hash32 *out, const struct rr_header *header)
{
    struct rr_buf bytes = {0};
    wire_write_header(&bytes, header, false);
    rr_keccak256(out->bytes, bytes.ptr, bytes.len);
    rr_buf_clear(&bytes);
}

/* ---- blocks
 * ----------------------------------------------------------------------------------------- */

void rr_block_encode(struct rr_buf *out, const struct rr_block *block)
{
    RR_CHECK(block->tx_count <= RR_BLOCK_TXS_MAX);
    rr_write_u8(out, WIRE_VERSION);
    wire_write_header(out, &block->header, true);
    rr_write_u32(out, block->tx_count);
    for (uint32_t i = 0; i < block->tx_count; i++) {
        wire_write_tx(out, &block->txs[i], true);
    }
}

/* Least bytes of a transaction: a count that the rest cannot hold is refused before memory is
 * taken. */
#define TX_BYTES_MIN (1 + 1 + 4 + 32 + 8 + 8 + 8 + 28 + 64)

enum rr_err rr_block_decode(struct rr_block *out, struct rr_slice bytes, struct rr_fault *fault)
{
    struct rr_reader reader = rr_reader_of(bytes);
    struct rr_block block = {0};
    wire_read_version(&reader);
    wire_read_header(&reader, &block.header);
    uint32_t count = rr_read_count32(&reader, RR_BLOCK_TXS_MAX);
    if (reader.failed || count > reader.len / TX_BYTES_MIN) {
        wire_refuse(&reader);
        return wire_done(&reader, "block", fault);
    }
    if (count > 0) {
        block.txs = rr_alloc_array(count, sizeof *block.txs);
    }
    block.tx_count = count;
    for (uint32_t i = 0; i < count && !reader.failed; i++) {
        wire_read_tx(&reader, &block.txs[i]);
    }
    enum rr_err err = wire_done(&reader, "block", fault);
    if (err == RR_OK) {
        *out = block;
    } else {
        rr_block_clear(&block);
    }
    return err;
}

void rr_block_clear(struct rr_block *block)
{
    rr_free(block->txs);
    block->txs = NULL;
    block->tx_count = 0;
}

void rr_block_tx_root(struct rr_hash32 *out, const struct rr_tx *txs, uint32_t count)
{
    struct rr_hash32 *leaves = rr_alloc_array(count > 0 ? count : 1, sizeof *leaves);
    for (uint32_t i = 0; i < count; i++) {
        struct rr_hash32 id;
        rr_tx_id(&id, &txs[i]);
        rr_hash(&leaves[i], "rr.txleaf.v1", rr_slice_of(id.bytes, sizeof id.bytes));
    }
    rr_merkle_root(out, leaves, count);
    rr_free(leaves);
}

/* ---- proofs of inclusion
 * --------------------------------------------------------------------------------- */

#define HEADER_BYTES_MIN (1 + 4 + 8 + 32 + 8 + 32 + 96 + 2 + 8 + 4 + 96 + 32 + 8 + 32)

void rr_tx_proof_encode(struct rr_buf *out, const struct rr_tx_proof *proof)
{
    RR_CHECK(proof->header_count >= 1 && proof->header_count <= RR_TX_PROOF_HEADERS_MAX);
    rr_write_u8(out, WIRE_VERSION);
    wire_write_tx(out, &proof->tx, true);
    wire_write_place(out, &proof->place);
    rr_write_u32(out, proof->header_count);
    for (uint32_t i = 0; i < proof->header_count; i++) {
        wire_write_header(out, &proof->headers[i], true);
    }
}

enum rr_err rr_tx_proof_decode(struct rr_tx_proof *out, struct rr_slice bytes,
                               struct rr_fault *fault)
{
    struct rr_reader reader = rr_reader_of(bytes);
    struct rr_tx_proof proof = {0};
    wire_read_version(&reader);
    wire_read_tx(&reader, &proof.tx);
    wire_read_place(&reader, &proof.place);
    uint32_t count = rr_read_count32(&reader, RR_TX_PROOF_HEADERS_MAX);
    if (reader.failed || count == 0 || count > reader.len / HEADER_BYTES_MIN) {
        wire_refuse(&reader);
        return wire_done(&reader, "proof of a transaction", fault);
    }
    proof.headers = rr_alloc_array(count, sizeof *proof.headers);
    proof.header_count = count;
    for (uint32_t i = 0; i < count && !reader.failed; i++) {
        wire_read_header(&reader, &proof.headers[i]);
    }
    enum rr_err err = wire_done(&reader, "proof of a transaction", fault);
    if (err == RR_OK) {
        *out = proof;
    } else {
        rr_tx_proof_clear(&proof);
    }
    return err;
}

void rr_tx_proof_clear(struct rr_tx_proof *proof)
{
    rr_free(proof->headers);
    *proof = (struct rr_tx_proof){0};
}

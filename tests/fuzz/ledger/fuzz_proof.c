/* SPDX-License-Identifier: GPL-2.0-or-later */
/* rr_rule_check_proof on whatever decodes. First byte even: the rest is a proof. Odd: the rest is a
 * list of changes (u16 position, u8 xor) to a good proof. Property: what is accepted shows the one
 * transaction that the one chain of headers holds; only the place may be written in another way
 * (shapes of a Merkle path are not unique). */
#include "ledger/ledger.h"

#include <string.h>

#define HEADERS 3

static struct rr_genesis genesis;
static struct rr_header trusted;
static struct rr_tx_proof good;
static struct rr_buf good_bytes;

/* Work that binds every bit of a header as Ethash does, at the price of a hash. */
static bool work(void *ctx, const uint8_t header_hash[32], uint64_t nonce, uint8_t mix[32],
                 uint8_t final_be[32])
{
    struct rr_hash32 expected;
    struct rr_buf bytes = {0};
    (void)ctx;
    rr_buf_append(&bytes, header_hash, 32);
    rr_write_u64(&bytes, nonce);
    rr_hash(&expected, "rr.fuzz.work", rr_buf_slice(&bytes));
    rr_buf_clear(&bytes);
    memset(final_be, 0, 32);
    return memcmp(expected.bytes, mix, 32) == 0;
}

static void do_work(struct rr_header *header)
{
    struct rr_hash32 hash;
    struct rr_buf bytes = {0};
    rr_header_work_hash(&hash, header);
    rr_buf_append(&bytes, hash.bytes, 32);
    rr_write_u64(&bytes, header->nonce);
    rr_hash(&header->mix, "rr.fuzz.work", rr_buf_slice(&bytes));
    rr_buf_clear(&bytes);
}

static void make_tx(struct rr_tx *tx, const struct rr_seckey *key, uint64_t sequence)
{
    memset(tx, 0, sizeof *tx);
    tx->type = RR_TX_TRANSFER;
    tx->chain_id = rr_genesis_chain_id(&genesis);
    tx->sequence = sequence;
    RR_CHECK(rr_coin_of_units(&tx->body.transfer.amount, 77));
    rr_tx_sign(tx, key);
}

static void make_good(void)
{
    static const uint8_t scalar[32] = {[31] = 3};
    struct rr_seckey *key = rr_seckey_from_bytes(scalar);
    struct rr_hash32 leaves[5];
    struct rr_tx txs[5];
    const char *toml = rr_genesis_preset("dev");
    RR_CHECK(rr_genesis_parse(&genesis, rr_slice_str(toml), "dev", NULL) == RR_OK);
    rr_rule_genesis_header(&genesis, &trusted);
    for (uint32_t i = 0; i < 5; i++) {
        struct rr_hash32 id;
        make_tx(&txs[i], key, i + 1);
        rr_tx_id(&id, &txs[i]);
        rr_hash(&leaves[i], "rr.txleaf.v1", rr_slice_of(id.bytes, sizeof id.bytes));
    }
    good.tx = txs[3];
    rr_merkle_prove(&good.place, leaves, 5, 3);
    good.header_count = HEADERS;
    good.headers = rr_alloc_array(HEADERS, sizeof *good.headers);
    for (uint32_t i = 0; i < HEADERS; i++) {
        struct rr_header *header = &good.headers[i];
        const struct rr_header *parent = i == 0 ? &trusted : header - 1;
        memset(header, 0, sizeof *header);
        header->chain_id = trusted.chain_id;
        header->height = i + 1;
        header->time_ms = parent->time_ms + genesis.block_ms;
        header->difficulty =
            rr_rule_difficulty(&genesis, header->height, parent->time_ms, good.headers[0].time_ms);
        rr_header_hash(&header->parent, parent);
        rr_block_tx_root(&header->tx_root, txs, 5);
        do_work(header);
    }
    rr_tx_proof_encode(&good_bytes, &good);
    rr_seckey_free(key);
    struct rr_fault fault = {0};
    if (rr_rule_check_proof(&genesis, &good, &trusted, 0, work, NULL, &fault) != RR_OK) {
        RR_BUG(fault.text);
    }
}

static void check(struct rr_slice bytes)
{
    struct rr_tx_proof proof;
    struct rr_buf a = {0};
    struct rr_buf b = {0};
    if (rr_tx_proof_decode(&proof, bytes, NULL) != RR_OK) {
        return;
    }
    if (rr_rule_check_proof(&genesis, &proof, &trusted, 0, work, NULL, NULL) == RR_OK) {
        rr_tx_encode(&a, &good.tx);
        rr_tx_encode(&b, &proof.tx);
        RR_CHECK(rr_slice_equal(rr_buf_slice(&a), rr_buf_slice(&b)));
        RR_CHECK(proof.header_count == HEADERS);
        for (uint32_t i = 0; i < HEADERS; i++) {
            struct rr_hash32 expected;
            struct rr_hash32 found;
            rr_header_hash(&expected, &good.headers[i]);
            rr_header_hash(&found, &proof.headers[i]);
            RR_CHECK(rr_hash32_equal(&expected, &found));
        }
    }
    rr_buf_clear(&a);
    rr_buf_clear(&b);
    rr_tx_proof_clear(&proof);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (good_bytes.len == 0) {
        rr_crypto_init();
        make_good();
    }
    if (size == 0) {
        return 0;
    }
    if (data[0] % 2 == 0) {
        check(rr_slice_of(data + 1, size - 1));
        return 0;
    }
    struct rr_buf bytes = {0};
    rr_buf_append(&bytes, good_bytes.ptr, good_bytes.len);
    for (size_t at = 1; at + 3 <= size; at += 3) {
        bytes.ptr[(data[at] | (size_t)data[at + 1] << 8) % bytes.len] ^= data[at + 2];
    }
    check(rr_buf_slice(&bytes));
    rr_buf_clear(&bytes);
    return 0;
}

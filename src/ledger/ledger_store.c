/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Typed access to the tables of the chain's database. */
#include "ledger/ledger_chain.h"

#include <string.h>

struct rr_slice store_key(const struct ledger_key *key)
{
    return rr_slice_of(key->bytes, key->len);
}

static enum rr_err view_get(void *ctx, enum ledger_table table, const struct ledger_key *key,
                            struct ledger_value *out, struct rr_fault *fault)
{
    struct rr_slice value;
    enum rr_err err = rr_db_get(ctx, (uint32_t)table, store_key(key), &value, fault);
    if (err == RR_ERR_NOTFOUND) {
        out->len = 0;
        return RR_OK;
    }
    if (err != RR_OK) {
        return err;
    }
    if (value.len > LEDGER_RECORD_MAX) {
        return rr_fail(fault, RR_ERR_DAMAGED,
                       "a state record has %zu bytes, at most %d are possible; replay the chain",
                       value.len, LEDGER_RECORD_MAX);
    }
    out->len = (uint16_t)value.len;
    memcpy(out->bytes, value.ptr, value.len);
    return RR_OK;
}

static enum rr_err view_put(void *ctx, enum ledger_table table, const struct ledger_key *key,
                            const struct ledger_value *value, struct rr_fault *fault)
{
    (void)ctx, (void)table, (void)key, (void)value, (void)fault;
    RR_BUG("the stored state is written through an overlay only");
}

struct ledger_view store_view(struct rr_db_txn *txn)
{
    return (struct ledger_view){.ctx = txn, .get = view_get, .put = view_put};
}

enum rr_err store_put(struct rr_db_txn *txn, uint32_t table, const struct ledger_key *key,
                      struct rr_slice value, struct rr_fault *fault)
{
    return value.len != 0 ? rr_db_put(txn, table, store_key(key), value, fault)
                          : rr_db_delete(txn, table, store_key(key), fault);
}

static enum rr_err beyond_tip(struct rr_fault *fault, uint64_t height)
{
    return rr_fail(fault, RR_ERR_NOTFOUND, "there is no block of height %llu; the chain is shorter",
                   (unsigned long long)height);
}

enum rr_err store_header(struct rr_db_txn *txn, uint64_t height, struct rr_header *out,
                         struct rr_fault *fault)
{
    struct ledger_key key = ledger_key_height(height);
    struct rr_slice value;
    enum rr_err err = rr_db_get(txn, STORE_HEADERS, store_key(&key), &value, fault);
    if (err == RR_ERR_NOTFOUND) {
        return beyond_tip(fault, height);
    }
    if (err == RR_OK && rr_header_decode(out, value, fault) != RR_OK) {
        return rr_fail(fault, RR_ERR_DAMAGED,
                       "the stored header %llu does not decode; restore the chain folder",
                       (unsigned long long)height);
    }
    return err;
}

enum rr_err store_block(struct rr_db_txn *txn, uint64_t height, struct rr_block *out,
                        struct rr_fault *fault)
{
    struct ledger_key key = ledger_key_height(height);
    struct rr_slice value;
    enum rr_err err = rr_db_get(txn, STORE_BLOCKS, store_key(&key), &value, fault);
    if (err == RR_ERR_NOTFOUND) {
        return beyond_tip(fault, height);
    }
    if (err == RR_OK && rr_block_decode(out, value, fault) != RR_OK) {
        return rr_fail(fault, RR_ERR_DAMAGED,
                       "the stored block %llu does not decode; restore the chain folder",
                       (unsigned long long)height);
    }
    return err;
}

static const struct ledger_key *chain_key(const char *name)
{
    static const struct ledger_key tip = {.len = 3, .bytes = "tip"};
    static const struct ledger_key sum = {.len = 3, .bytes = "sum"};
    return name[0] == 't' ? &tip : &sum;
}

enum rr_err store_sum(struct rr_db_txn *txn, struct ledger_sum *out, struct rr_fault *fault)
{
    struct rr_slice value;
    enum rr_err err = rr_db_get(txn, STORE_CHAIN, store_key(chain_key("sum")), &value, fault);
    if (err == RR_ERR_NOTFOUND || (err == RR_OK && value.len != LEDGER_SUM_BYTES)) {
        return rr_fail(fault, RR_ERR_DAMAGED,
                       "the stored state hash is missing or short; restore the chain folder");
    }
    if (err == RR_OK) {
        ledger_sum_decode(out, value.ptr);
    }
    return err;
}

enum rr_err store_put_sum(struct rr_db_txn *txn, const struct ledger_sum *sum,
                          struct rr_fault *fault)
{
    uint8_t bytes[LEDGER_SUM_BYTES];
    ledger_sum_encode(bytes, sum);
    return rr_db_put(txn, STORE_CHAIN, store_key(chain_key("sum")),
                     rr_slice_of(bytes, sizeof bytes), fault);
}

enum rr_err store_put_tip(struct rr_db_txn *txn, uint64_t height, const struct rr_hash32 *hash,
                          struct rr_fault *fault)
{
    struct rr_buf value = {0};
    rr_write_u64(&value, height);
    rr_buf_append(&value, hash->bytes, sizeof hash->bytes);
    enum rr_err err =
        rr_db_put(txn, STORE_CHAIN, store_key(chain_key("tip")), rr_buf_slice(&value), fault);
    rr_buf_clear(&value);
    return err;
}

enum rr_err store_tip(struct rr_db_txn *txn, uint64_t *height, struct rr_hash32 *hash,
                      struct rr_fault *fault)
{
    struct rr_slice value;
    enum rr_err err = rr_db_get(txn, STORE_CHAIN, store_key(chain_key("tip")), &value, fault);
    if (err != RR_OK && err != RR_ERR_NOTFOUND) {
        return err;
    }
    struct rr_reader reader = rr_reader_of(err == RR_OK ? value : rr_slice_of(NULL, 0));
    uint64_t found = rr_read_u64(&reader);
    struct rr_hash32 found_hash;
    rr_read_bytes(&reader, found_hash.bytes, sizeof found_hash.bytes);
    if (!rr_reader_done(&reader)) {
        return rr_fail(fault, RR_ERR_DAMAGED,
                       "the record of the tip is missing or short; restore the chain folder");
    }
    *height = found;
    *hash = found_hash;
    return RR_OK;
}

enum rr_err store_tx_place(struct rr_db_txn *txn, const struct rr_hash32 *id, uint64_t *height,
                           uint32_t *index, struct rr_fault *fault)
{
    struct rr_slice value;
    enum rr_err err =
        rr_db_get(txn, STORE_TXS, rr_slice_of(id->bytes, sizeof id->bytes), &value, fault);
    if (err != RR_OK) {
        return err;
    }
    struct rr_reader reader = rr_reader_of(value);
    uint64_t found_height = rr_read_u64(&reader);
    uint32_t found_index = rr_read_u32(&reader);
    if (!rr_reader_done(&reader)) {
        return rr_fail(fault, RR_ERR_DAMAGED,
                       "the index of transactions is damaged; replay the chain");
    }
    *height = found_height;
    *index = found_index;
    return RR_OK;
}

/* ---- what a header is judged by --------------------------------------------- */
static enum rr_err read_median(struct rr_db_txn *txn, uint64_t height, uint64_t *out,
                               struct rr_fault *fault)
{
    uint64_t times[LEDGER_MEDIAN_BLOCKS];
    uint32_t count = 0;
    while (count < LEDGER_MEDIAN_BLOCKS && count < height) {
        struct rr_header header;
        enum rr_err err = store_header(txn, height - 1 - count, &header, fault);
        if (err != RR_OK) {
            return err;
        }
        times[count++] = header.time_ms;
    }
    *out = ledger_median(times, count);
    return RR_OK;
}

/* Floor of the mean difficulty of the checkpoint_blocks blocks up to and with `checkpoint`. */
static enum rr_err read_mean(struct rr_chain *chain, struct rr_db_txn *txn, uint64_t checkpoint,
                             struct rr_u256 *out, struct rr_fault *fault)
{
    uint32_t blocks = chain->genesis.checkpoint_blocks;
    struct rr_u256 sum = rr_u256_of(0);
    if (checkpoint == 0) {
        *out = chain->genesis.difficulty;
        return RR_OK;
    }
    if (chain->mean_height == checkpoint) {
        *out = chain->mean;
        return RR_OK;
    }
    for (uint32_t i = 0; i < blocks; i++) {
        struct rr_header header;
        bool wrapped = false;
        enum rr_err err = store_header(txn, checkpoint - i, &header, fault);
        if (err != RR_OK) {
            return err;
        }
        sum = rr_u256_add(sum, header.difficulty, &wrapped);
        if (wrapped) {
            sum = rr_u256_max();
        }
    }
    chain->mean = rr_u256_div(sum, rr_u256_of(blocks), NULL);
    chain->mean_height = checkpoint;
    *out = chain->mean;
    return RR_OK;
}

enum rr_err store_past(struct rr_chain *chain, struct rr_db_txn *txn, uint64_t height,
                       struct rr_rule_past *out, struct rr_fault *fault)
{
    struct rr_rule_past past = {0};
    struct rr_header header;
    uint64_t checkpoint = ledger_checkpoint_below(&chain->genesis, height);
    enum rr_err err = read_median(txn, height, &past.median_time_ms, fault);
    if (err == RR_OK && height > 1) {
        err = store_header(txn, 1, &header, fault);
        past.anchor_time_ms = err == RR_OK ? header.time_ms : 0;
    }
    if (err == RR_OK) {
        err = read_mean(chain, txn, checkpoint, &past.mean_difficulty, fault);
    }
    if (err == RR_OK) {
        err = store_header(txn, checkpoint, &header, fault);
    }
    if (err == RR_OK) {
        rr_header_hash(&past.checkpoint, &header);
        *out = past;
    }
    return err;
}

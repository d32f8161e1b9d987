/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "ledger/ledger_state.h"

#include <string.h>

struct ledger_key ledger_key_of(const void *bytes, size_t len)
{
    RR_CHECK(len <= LEDGER_KEY_MAX);
    struct ledger_key key = {.len = (uint8_t)len};
    memcpy(key.bytes, bytes, len);
    return key;
}

struct ledger_key ledger_key_height(uint64_t height)
{
    struct ledger_key key = {.len = 8};
    for (int i = 0; i < 8; i++) {
        key.bytes[i] = (uint8_t)(height >> (56 - 8 * i));
    }
    return key;
}

struct ledger_key ledger_key_target(const struct rr_hash32 *pool_id,
                                    const struct rr_address *target)
{
    struct ledger_key key = {.len = 52};
    memcpy(key.bytes, pool_id->bytes, 32);
    memcpy(key.bytes + 32, target->bytes, 20);
    return key;
}

/* ---- a writer and a reader of fixed records --------------------------------- */
static void put(struct ledger_value *out, const void *bytes, size_t len)
{
    RR_CHECK(out->len + len <= LEDGER_RECORD_MAX);
    memcpy(out->bytes + out->len, bytes, len);
    out->len = (uint16_t)(out->len + len);
}

static void put_number(struct ledger_value *out, uint64_t value, unsigned bytes)
{
    uint8_t le[8];
    for (unsigned i = 0; i < bytes; i++) {
        le[i] = (uint8_t)(value >> (8 * i));
    }
    put(out, le, bytes);
}

static void put_coin(struct ledger_value *out, struct rr_coin coin)
{
    put_number(out, rr_coin_units(coin), 8);
}

static struct rr_coin read_coin(struct rr_reader *reader)
{
    struct rr_coin coin = RR_COIN_ZERO;
    if (!rr_coin_of_units(&coin, rr_read_u64(reader))) {
        reader->failed = true;
    }
    return coin;
}

void ledger_account_encode(struct ledger_value *out, const struct rr_account *account)
{
    out->len = 0;
    if (rr_coin_is_zero(account->balance) && account->sequence == 0) {
        return;
    }
    put_coin(out, account->balance);
    put_number(out, account->sequence, 8);
}

bool ledger_account_decode(struct rr_account *out, struct rr_slice bytes)
{
    struct rr_reader reader = rr_reader_of(bytes);
    struct rr_account account;
    account.balance = read_coin(&reader);
    account.sequence = rr_read_u64(&reader);
    if (!rr_reader_done(&reader)) {
        return false;
    }
    *out = account;
    return true;
}

void ledger_pool_encode(struct ledger_value *out, const struct ledger_pool *pool)
{
    out->len = 0;
    put(out, pool->pub.resource_id.bytes, 32);
    put(out, pool->pub.owner.bytes, 32);
    put_coin(out, pool->pub.deposit);
    put_coin(out, pool->pub.deposit_left);
    put_coin(out, pool->pub.collateral);
    put_coin(out, pool->pub.cap);
    put_number(out, pool->pub.created_height, 8);
    put_number(out, pool->pub.end_height, 8);
    put(out, pool->head.bytes, 20);
}

bool ledger_pool_decode(struct ledger_pool *out, struct rr_slice bytes)
{
    struct rr_reader reader = rr_reader_of(bytes);
    struct ledger_pool pool = {0};
    rr_read_bytes(&reader, pool.pub.resource_id.bytes, 32);
    rr_read_bytes(&reader, pool.pub.owner.bytes, 32);
    pool.pub.deposit = read_coin(&reader);
    pool.pub.deposit_left = read_coin(&reader);
    pool.pub.collateral = read_coin(&reader);
    pool.pub.cap = read_coin(&reader);
    pool.pub.created_height = rr_read_u64(&reader);
    pool.pub.end_height = rr_read_u64(&reader);
    rr_read_bytes(&reader, pool.head.bytes, 20);
    if (!rr_reader_done(&reader)) {
        return false;
    }
    *out = pool;
    return true;
}

void ledger_target_encode(struct ledger_value *out, const struct ledger_target *target)
{
    out->len = 0;
    put_coin(out, target->pub.settled);
    put_number(out, target->pub.seq, 8);
    put(out, target->next.bytes, 20);
}

bool ledger_target_decode(struct ledger_target *out, struct rr_slice bytes)
{
    struct rr_reader reader = rr_reader_of(bytes);
    struct ledger_target target = {0};
    target.pub.settled = read_coin(&reader);
    target.pub.seq = rr_read_u64(&reader);
    rr_read_bytes(&reader, target.next.bytes, 20);
    if (!rr_reader_done(&reader)) {
        return false;
    }
    *out = target;
    return true;
}

void ledger_contract_encode(struct ledger_value *out, const struct ledger_contract *contract)
{
    const struct rr_contract_state *pub = &contract->pub;
    out->len = 0;
    put_number(out, (uint64_t)pub->kind, 1);
    put_number(out, (uint64_t)pub->status, 1);
    put(out, pub->job_id.bytes, 32);
    put(out, pub->owner.bytes, 32);
    put(out, pub->provider.bytes, 32);
    put(out, pub->verifier.bytes, 32);
    put_coin(out, pub->price);
    put_number(out, pub->challenges, 2);
    put_number(out, pub->opened_height, 8);
    put_number(out, pub->expiry_height, 8);
    put_number(out, pub->claimed_height, 8);
    put(out, pub->root.bytes, 32);
    put_number(out, pub->leaves, 4);
    put_number(out, pub->beacon_height, 8);
    put_number(out, pub->checked, 2);
    put_number(out, pub->failed, 2);
    put(out, contract->next_due.bytes, 32);
}

bool ledger_contract_decode(struct ledger_contract *out, struct rr_slice bytes)
{
    struct rr_reader reader = rr_reader_of(bytes);
    struct ledger_contract contract = {0};
    struct rr_contract_state *pub = &contract.pub;
    uint8_t kind = rr_read_u8(&reader);
    uint8_t status = rr_read_u8(&reader);
    rr_read_bytes(&reader, pub->job_id.bytes, 32);
    rr_read_bytes(&reader, pub->owner.bytes, 32);
    rr_read_bytes(&reader, pub->provider.bytes, 32);
    rr_read_bytes(&reader, pub->verifier.bytes, 32);
    pub->price = read_coin(&reader);
    pub->challenges = rr_read_u16(&reader);
    pub->opened_height = rr_read_u64(&reader);
    pub->expiry_height = rr_read_u64(&reader);
    pub->claimed_height = rr_read_u64(&reader);
    rr_read_bytes(&reader, pub->root.bytes, 32);
    pub->leaves = rr_read_u32(&reader);
    pub->beacon_height = rr_read_u64(&reader);
    pub->checked = rr_read_u16(&reader);
    pub->failed = rr_read_u16(&reader);
    rr_read_bytes(&reader, contract.next_due.bytes, 32);
    if (!rr_reader_done(&reader) || kind != RR_CONTRACT_TRANSCODE || status < RR_CONTRACT_OPEN ||
        status > RR_CONTRACT_EXPIRED) {
        return false;
    }
    pub->kind = (enum rr_contract_kind)kind;
    pub->status = (enum rr_contract_status)status;
    *out = contract;
    return true;
}

void ledger_escrow_encode(struct ledger_value *out, const struct ledger_escrow *escrow)
{
    out->len = 0;
    put(out, escrow->miner.bytes, 20);
    put_coin(out, escrow->bonus);
}

bool ledger_escrow_decode(struct ledger_escrow *out, struct rr_slice bytes)
{
    struct rr_reader reader = rr_reader_of(bytes);
    struct ledger_escrow escrow = {0};
    rr_read_bytes(&reader, escrow.miner.bytes, 20);
    escrow.bonus = read_coin(&reader);
    if (!rr_reader_done(&reader)) {
        return false;
    }
    *out = escrow;
    return true;
}

void ledger_coin_encode(struct ledger_value *out, struct rr_coin coin)
{
    out->len = 0;
    if (!rr_coin_is_zero(coin)) {
        put_coin(out, coin);
    }
}

bool ledger_coin_decode(struct rr_coin *out, struct rr_slice bytes)
{
    struct rr_reader reader = rr_reader_of(bytes);
    struct rr_coin coin = read_coin(&reader);
    if (!rr_reader_done(&reader)) {
        return false;
    }
    *out = coin;
    return true;
}

/* ---- typed reads and writes through a view ---------------------------------- */
static enum rr_err damaged(struct rr_fault *fault, const char *table, const struct ledger_key *key)
{
    char text[2 * LEDGER_KEY_MAX + 1];
    rr_hex(text, key->bytes, key->len);
    return rr_fail(fault, RR_ERR_DAMAGED,
                   "the record %s of %s does not follow its layout; restore the chain folder or "
                   "replay the chain",
                   text, table);
}

static struct rr_slice slice(const struct ledger_value *value)
{
    return rr_slice_of(value->bytes, value->len);
}

enum rr_err ledger_get_account(const struct ledger_view *view, const struct rr_address *address,
                               struct rr_account *out, struct rr_fault *fault)
{
    struct ledger_key key = ledger_key_of(address->bytes, sizeof address->bytes);
    struct ledger_value value;
    enum rr_err err = view->get(view->ctx, LEDGER_ACCOUNTS, &key, &value, fault);
    if (err != RR_OK) {
        return err;
    }
    if (value.len == 0) {
        *out = (struct rr_account){0};
        return RR_OK;
    }
    return ledger_account_decode(out, slice(&value)) ? RR_OK : damaged(fault, "accounts", &key);
}

enum rr_err ledger_put_account(const struct ledger_view *view, const struct rr_address *address,
                               const struct rr_account *account, struct rr_fault *fault)
{
    struct ledger_key key = ledger_key_of(address->bytes, sizeof address->bytes);
    struct ledger_value value;
    ledger_account_encode(&value, account);
    return view->put(view->ctx, LEDGER_ACCOUNTS, &key, &value, fault);
}

enum rr_err ledger_get_pool(const struct ledger_view *view, const struct rr_hash32 *id,
                            struct ledger_pool *out, bool *found, struct rr_fault *fault)
{
    struct ledger_key key = ledger_key_of(id->bytes, sizeof id->bytes);
    struct ledger_value value;
    enum rr_err err = view->get(view->ctx, LEDGER_POOLS, &key, &value, fault);
    if (err != RR_OK) {
        return err;
    }
    if (value.len != 0 && !ledger_pool_decode(out, slice(&value))) {
        return damaged(fault, "pools", &key);
    }
    *found = value.len != 0;
    return RR_OK;
}

enum rr_err ledger_put_pool(const struct ledger_view *view, const struct rr_hash32 *id,
                            const struct ledger_pool *pool, struct rr_fault *fault)
{
    struct ledger_key key = ledger_key_of(id->bytes, sizeof id->bytes);
    struct ledger_value value;
    ledger_pool_encode(&value, pool);
    return view->put(view->ctx, LEDGER_POOLS, &key, &value, fault);
}

enum rr_err ledger_get_target(const struct ledger_view *view, const struct rr_hash32 *pool_id,
                              const struct rr_address *target, struct ledger_target *out,
                              bool *found, struct rr_fault *fault)
{
    struct ledger_key key = ledger_key_target(pool_id, target);
    struct ledger_value value;
    enum rr_err err = view->get(view->ctx, LEDGER_POOL_TARGETS, &key, &value, fault);
    if (err != RR_OK) {
        return err;
    }
    if (value.len != 0 && !ledger_target_decode(out, slice(&value))) {
        return damaged(fault, "pool targets", &key);
    }
    *found = value.len != 0;
    return RR_OK;
}

enum rr_err ledger_get_contract(const struct ledger_view *view, const struct rr_hash32 *id,
                                struct ledger_contract *out, bool *found, struct rr_fault *fault)
{
    struct ledger_key key = ledger_key_of(id->bytes, sizeof id->bytes);
    struct ledger_value value;
    enum rr_err err = view->get(view->ctx, LEDGER_CONTRACTS, &key, &value, fault);
    if (err != RR_OK) {
        return err;
    }
    if (value.len != 0 && !ledger_contract_decode(out, slice(&value))) {
        return damaged(fault, "contracts", &key);
    }
    *found = value.len != 0;
    return RR_OK;
}

enum rr_err ledger_put_contract(const struct ledger_view *view, const struct rr_hash32 *id,
                                const struct ledger_contract *contract, struct rr_fault *fault)
{
    struct ledger_key key = ledger_key_of(id->bytes, sizeof id->bytes);
    struct ledger_value value;
    ledger_contract_encode(&value, contract);
    return view->put(view->ctx, LEDGER_CONTRACTS, &key, &value, fault);
}

enum rr_err ledger_get_issued(const struct ledger_view *view, struct rr_coin *out,
                              struct rr_fault *fault)
{
    struct ledger_key key = ledger_key_of("issued", 6);
    struct ledger_value value;
    enum rr_err err = view->get(view->ctx, LEDGER_META, &key, &value, fault);
    if (err != RR_OK) {
        return err;
    }
    if (value.len == 0) {
        *out = RR_COIN_ZERO;
        return RR_OK;
    }
    return ledger_coin_decode(out, slice(&value)) ? RR_OK : damaged(fault, "meta", &key);
}

enum rr_err ledger_remove(const struct ledger_view *view, enum ledger_table table,
                          const struct ledger_key *key, struct rr_fault *fault)
{
    struct ledger_value none = {.len = 0};
    return view->put(view->ctx, table, key, &none, fault);
}

enum rr_err ledger_credit(const struct ledger_view *view, const struct rr_address *address,
                          struct rr_coin amount, struct rr_fault *fault)
{
    struct rr_account account;
    enum rr_err err = ledger_get_account(view, address, &account, fault);
    if (err != RR_OK) {
        return err;
    }
    if (!rr_coin_add(&account.balance, account.balance, amount)) {
        return rr_fail(fault, RR_ERR_DAMAGED,
                       "a balance would pass the cap of all coins; replay the chain");
    }
    return ledger_put_account(view, address, &account, fault);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The state: its records, the view that rules read and write through, the overlay that collects
 * changes, and the hash over all of it. No I/O. Private to the folder. */
#ifndef RR_LEDGER_STATE_H
#define RR_LEDGER_STATE_H
#include "ledger/ledger.h"

/* ---- records ---------------------------------------------------------------- */
/* State tables. The number goes into the state hash, so it never changes. */
enum ledger_table {
    LEDGER_ACCOUNTS = 1,     /* address -> balance, sequence */
    LEDGER_POOLS = 2,        /* pool id -> pool */
    LEDGER_POOL_TARGETS = 3, /* pool id, address -> settled, seq, next */
    LEDGER_CONTRACTS = 4,    /* contract id -> contract */
    LEDGER_ESCROW = 5,       /* height of release, big-endian -> miner, bonus */
    LEDGER_DUE = 6,          /* expiry height, big-endian -> first contract of a list */
    LEDGER_META = 7          /* "issued" -> coins ever made */
};
#define LEDGER_TABLE_FIRST 1
#define LEDGER_TABLE_LAST  7
#define LEDGER_KEY_MAX     52
#define LEDGER_RECORD_MAX  256

struct ledger_key {
    uint8_t len;
    uint8_t bytes[LEDGER_KEY_MAX];
};
struct ledger_value {
    uint16_t len; /* 0: absent */
    uint8_t bytes[LEDGER_RECORD_MAX];
};
/* A pool as recorded: its targets hang on a list, so that a release removes them without a scan. */
struct ledger_pool {
    struct rr_pool_state pub;
    struct rr_address head; /* first target; all zeros: none */
};
struct ledger_target {
    struct rr_pool_target pub;
    struct rr_address next;
};
struct ledger_contract {
    struct rr_contract_state pub;
    struct rr_hash32 next_due; /* next contract with the same expiry height */
};
struct ledger_escrow {
    struct rr_address miner;
    struct rr_coin bonus;
};

struct ledger_key ledger_key_of(const void *bytes, size_t len);
struct ledger_key ledger_key_height(uint64_t height);
struct ledger_key ledger_key_target(const struct rr_hash32 *pool_id,
                                    const struct rr_address *target);

/* Encoders fill *out; a record that equals its table's nothing (zero account) becomes absent.
 * Decoders return false on a record of another length or with values out of range (RR_ERR_DAMAGED
 * for the caller). */
void ledger_account_encode(struct ledger_value *out, const struct rr_account *account);
bool ledger_account_decode(struct rr_account *out, struct rr_slice bytes) RR_MUST_USE;
void ledger_pool_encode(struct ledger_value *out, const struct ledger_pool *pool);
bool ledger_pool_decode(struct ledger_pool *out, struct rr_slice bytes) RR_MUST_USE;
void ledger_target_encode(struct ledger_value *out, const struct ledger_target *target);
bool ledger_target_decode(struct ledger_target *out, struct rr_slice bytes) RR_MUST_USE;
void ledger_contract_encode(struct ledger_value *out, const struct ledger_contract *contract);
bool ledger_contract_decode(struct ledger_contract *out, struct rr_slice bytes) RR_MUST_USE;
void ledger_escrow_encode(struct ledger_value *out, const struct ledger_escrow *escrow);
bool ledger_escrow_decode(struct ledger_escrow *out, struct rr_slice bytes) RR_MUST_USE;
void ledger_coin_encode(struct ledger_value *out, struct rr_coin coin);
bool ledger_coin_decode(struct rr_coin *out, struct rr_slice bytes) RR_MUST_USE;

/* ---- view: how rules see a state -------------------------------------------- */
struct ledger_view {
    void *ctx;
    /* Absent is RR_OK with len 0. Fails only when reading fails. */
    enum rr_err (*get)(void *ctx, enum ledger_table table, const struct ledger_key *key,
                       struct ledger_value *out, struct rr_fault *fault);
    /* len 0 removes. */
    enum rr_err (*put)(void *ctx, enum ledger_table table, const struct ledger_key *key,
                       const struct ledger_value *value, struct rr_fault *fault);
};
enum rr_err ledger_get_account(const struct ledger_view *view, const struct rr_address *address,
                               struct rr_account *out, struct rr_fault *fault) RR_MUST_USE;
enum rr_err ledger_put_account(const struct ledger_view *view, const struct rr_address *address,
                               const struct rr_account *account,
                               struct rr_fault *fault) RR_MUST_USE;
/* *found false when there is none. */
enum rr_err ledger_get_pool(const struct ledger_view *view, const struct rr_hash32 *id,
                            struct ledger_pool *out, bool *found,
                            struct rr_fault *fault) RR_MUST_USE;
enum rr_err ledger_get_target(const struct ledger_view *view, const struct rr_hash32 *pool_id,
                              const struct rr_address *target, struct ledger_target *out,
                              bool *found, struct rr_fault *fault) RR_MUST_USE;
enum rr_err ledger_get_contract(const struct ledger_view *view, const struct rr_hash32 *id,
                                struct ledger_contract *out, bool *found,
                                struct rr_fault *fault) RR_MUST_USE;
enum rr_err ledger_get_issued(const struct ledger_view *view, struct rr_coin *out,
                              struct rr_fault *fault) RR_MUST_USE;
enum rr_err ledger_put_pool(const struct ledger_view *view, const struct rr_hash32 *id,
                            const struct ledger_pool *pool, struct rr_fault *fault) RR_MUST_USE;
enum rr_err ledger_put_contract(const struct ledger_view *view, const struct rr_hash32 *id,
                                const struct ledger_contract *contract,
                                struct rr_fault *fault) RR_MUST_USE;
enum rr_err ledger_remove(const struct ledger_view *view, enum ledger_table table,
                          const struct ledger_key *key, struct rr_fault *fault) RR_MUST_USE;
/* Adds to a balance. Cannot pass the cap of amounts: the sum of all coins never does. */
enum rr_err ledger_credit(const struct ledger_view *view, const struct rr_address *address,
                          struct rr_coin amount, struct rr_fault *fault) RR_MUST_USE;

/* ---- overlay: a view that keeps changes in memory over another view's reads --- */
struct ledger_change {
    uint8_t table;
    struct ledger_key key;
    uint16_t old_len, now_len; /* 0: absent */
    uint8_t *old, *now;
};
struct ledger_overlay;
/* below: copied; only its get is used. Owned by the caller. */
struct ledger_overlay *ledger_overlay_new(const struct ledger_view *below);
void ledger_overlay_free(struct ledger_overlay *overlay);
struct ledger_view ledger_overlay_view(struct ledger_overlay *overlay);
/* Exchanges what is read below; what was read already stays. */
void ledger_overlay_set_below(struct ledger_overlay *overlay, const struct ledger_view *below);
/* Visits every record whose bytes differ from below, in first-touch order, until visit fails. */
enum rr_err ledger_overlay_visit(struct ledger_overlay *overlay,
                                 enum rr_err (*visit)(void *ctx, const struct ledger_change *change,
                                                      struct rr_fault *fault),
                                 void *ctx, struct rr_fault *fault) RR_MUST_USE;

/* ---- state hash: LtHash16 (spec 50, 2) -------------------------------------- */
#define LEDGER_LANES 1024
struct ledger_sum {
    uint16_t lanes[LEDGER_LANES];
};
void ledger_sum_add(struct ledger_sum *sum, uint8_t table, struct rr_slice key,
                    struct rr_slice value);
void ledger_sum_remove(struct ledger_sum *sum, uint8_t table, struct rr_slice key,
                       struct rr_slice value);
void ledger_sum_root(struct rr_hash32 *out, const struct ledger_sum *sum);
/* Lanes as little-endian u16. */
#define LEDGER_SUM_BYTES 2048
void ledger_sum_encode(uint8_t out[static LEDGER_SUM_BYTES], const struct ledger_sum *sum);
void ledger_sum_decode(struct ledger_sum *out, const uint8_t bytes[static LEDGER_SUM_BYTES]);
/* Applies all changes of an overlay. */
void ledger_sum_overlay(struct ledger_sum *sum, struct ledger_overlay *overlay);
#endif

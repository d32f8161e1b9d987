/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The rules of the ledger: a core without I/O. Records, the view that rules read and write through,
 * the state hash, and what a transaction and a block do to a state. Private to the folder. */
#ifndef RR_LEDGER_RULES_H
#define RR_LEDGER_RULES_H
#include "ledger/ledger.h"

/* ---- records
 * --------------------------------------------------------------------------------------- */
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

/* ---- view: how rules see a state
 * ------------------------------------------------------------------- */
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

/* ---- overlay: a view that keeps changes in memory over another view's reads
 * ------------------------- */
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

/* ---- state hash: LtHash16 (spec 50, 2)
 * -------------------------------------------------------------- */
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

/* ---- transactions
 * ------------------------------------------------------------------------------------ */
struct ledger_rules {
    const struct rr_genesis *genesis;
    uint32_t chain_id;
    uint64_t height;       /* of the block that the transaction is for */
    bool signatures_known; /* checked before: not checked again */
    bool counting;         /* this is the application that stays: counters count it */
};
/* Encoded bytes and payword steps: what a transaction costs the chain. */
uint64_t ledger_tx_weight(const struct rr_tx *tx);
struct rr_coin ledger_min_fee(const struct rr_genesis *genesis, const struct rr_tx *tx);
/* Blocks from a pool's end, or a bonus's making, to its release. */
uint64_t ledger_hold_blocks(const struct rr_genesis *genesis);
/* Applies one transaction. Every check stands before the first write: a refusal (RR_ERR_TRUST,
 * _FUNDS, _STATE, _LIMIT) leaves the state untouched. *fee: what goes to the miner. */
enum rr_err ledger_apply_tx(const struct ledger_rules *rules, const struct ledger_view *view,
                            const struct rr_tx *tx, struct rr_coin *fee,
                            struct rr_fault *fault) RR_MUST_USE;
/* Whether an error of ledger_apply_tx is the transaction's fault, not the disk's. */
bool ledger_is_refusal(enum rr_err code);

/* What each type does; `sender` is loaded, its sequence and form are checked. Each debits and
 * credits by itself. */
struct ledger_call {
    const struct ledger_rules *rules;
    const struct ledger_view *view;
    const struct rr_tx *tx;
    struct rr_hash32 id;       /* of the transaction */
    struct rr_address address; /* of the sender */
    struct rr_account sender;  /* before */
    struct rr_coin fee;        /* taken: set by the call */
};
/* Writes the sender back: sequence up, `spend` (fee included) off. Checked before: call_can_spend.
 */
enum rr_err ledger_spend(struct ledger_call *call, struct rr_coin spend,
                         struct rr_fault *fault) RR_MUST_USE;
/* *spend = amount + fee; RR_ERR_FUNDS when the sender does not have it. */
enum rr_err ledger_can_spend(const struct ledger_call *call, struct rr_coin *spend,
                             struct rr_coin amount, struct rr_fault *fault) RR_MUST_USE;
enum rr_err ledger_create_pool(struct ledger_call *call, struct rr_fault *fault) RR_MUST_USE;
enum rr_err ledger_refill_pool(struct ledger_call *call, struct rr_fault *fault) RR_MUST_USE;
enum rr_err ledger_settle(struct ledger_call *call, struct rr_fault *fault) RR_MUST_USE;
enum rr_err ledger_release_pool(struct ledger_call *call, struct rr_fault *fault) RR_MUST_USE;
enum rr_err ledger_open_contract(struct ledger_call *call, struct rr_fault *fault) RR_MUST_USE;
enum rr_err ledger_claim(struct ledger_call *call, struct rr_fault *fault) RR_MUST_USE;
enum rr_err ledger_attest(struct ledger_call *call, struct rr_fault *fault) RR_MUST_USE;
/* Contracts whose expiry height this is: open and claimed ones end, the price goes back. */
enum rr_err ledger_expire_contracts(const struct ledger_rules *rules,
                                    const struct ledger_view *view,
                                    struct rr_fault *fault) RR_MUST_USE;

/* ---- blocks
 * ------------------------------------------------------------------------------------------ */
/* 0 settlements, 1 releases, 2 the rest: classes follow each other in a block. */
uint32_t ledger_tx_class(enum rr_tx_type type);
/* Within a class: of the first waiting transaction of each sender, the one with the highest fee,
 * then the lowest id, comes next. A picker yields that order; `drop` leaves out the last one given
 * and its sender's later ones. */
struct ledger_picker;
struct ledger_pick {
    const struct rr_tx *tx;
    struct rr_hash32 id;
    uint32_t index; /* caller's */
};
/* picks borrowed (txs too), all of one class; any order. Owned by the caller. */
struct ledger_picker *ledger_picker_new(const struct ledger_pick *picks, uint32_t count);
void ledger_picker_free(struct ledger_picker *picker);
const struct ledger_pick *ledger_picker_next(struct ledger_picker *picker); /* NULL: done */
void ledger_picker_drop(struct ledger_picker *picker);
/* Start of a block: escrow and contracts that are due. */
enum rr_err ledger_begin_block(const struct ledger_rules *rules, const struct ledger_view *view,
                               struct rr_fault *fault) RR_MUST_USE;
/* End of a block: base and fees to the miner, bonus to escrow, issue counted. */
enum rr_err ledger_end_block(const struct ledger_rules *rules, const struct ledger_view *view,
                             const struct rr_pubkey *miner, uint32_t r_q32, struct rr_coin fees,
                             struct rr_fault *fault) RR_MUST_USE;
/* The whole of a block's body: order, weight, every transaction, rewards. known(ctx, id):
 * signatures of this transaction were checked before; may be NULL. */
enum rr_err ledger_apply_block(const struct ledger_rules *rules, const struct ledger_view *view,
                               const struct rr_block *block,
                               bool (*known)(void *ctx, const struct rr_hash32 *id),
                               void *known_ctx, struct rr_fault *fault) RR_MUST_USE;
/* Merkle root over the ids of the attestations, leaf "rr.attleaf.v1"; zero when there are none. */
void ledger_attest_root(struct rr_hash32 *out, const struct rr_tx *txs, uint32_t count);

/* ---- headers
 * ----------------------------------------------------------------------------------------- */
#define LEDGER_MEDIAN_BLOCKS 11
#define LEDGER_FUTURE_MS     60000
/* Upper median of count >= 1 times; sorts in place. */
uint64_t ledger_median(uint64_t *times, uint32_t count);
/* Height of the latest checkpoint below `height` >= 1. */
uint64_t ledger_checkpoint_below(const struct rr_genesis *genesis, uint64_t height);
/* r of a header with these sums (spec 50, 3). */
uint32_t ledger_reputation(const struct rr_genesis *genesis, uint64_t total_ms,
                           struct rr_u256 mean_difficulty);
/* Caps of set_ms and total_ms: certificates x d x T_b; saturating. */
uint64_t ledger_set_cap_ms(const struct rr_genesis *genesis, uint32_t certificates);
bool ledger_work_holds(const struct rr_header *header,
                       bool (*work)(void *ctx, const uint8_t header_hash[32], uint64_t nonce,
                                    uint8_t mix[32], uint8_t final_be[32]),
                       void *work_ctx) RR_MUST_USE;
#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The rules of the ledger: what a transaction and a block do to a state, and what a header must be.
 * A core without I/O. Private to the folder. */
#ifndef RR_LEDGER_RULES_H
#define RR_LEDGER_RULES_H
#include "ledger/ledger_state.h"

/* ---- transactions ----------------------------------------------------------- */
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

/* ---- blocks ----------------------------------------------------------------- */
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

/* ---- headers ---------------------------------------------------------------- */
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

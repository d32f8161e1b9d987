/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The door of ledger, floor 2: rules (a core without I/O), and the chain, which keeps state in one
 * db environment (spec 50). One chain object per process; its functions may be called from any
 * thread (internal lock). */
#ifndef RR_LEDGER_H
#define RR_LEDGER_H
#include "wire/wire.h"

struct rr_chain;
struct rr_chain_options {
    const char *folder;
    const struct rr_genesis *genesis;
    const struct rr_clock *clock;
    /* Light verification of work, given from above: false when mix or final do not belong to header
     * and nonce. final_be is compared against the difficulty by the ledger. Any thread. */
    bool (*work)(void *ctx, const uint8_t header_hash[32], uint64_t nonce, uint8_t mix[32],
                 uint8_t final_be[32]);
    void *work_ctx;
};
/* Opens or makes the chain. A folder of another genesis: RR_ERR_STATE naming both hashes. Checks
 * tip, index and state root against each other at open (RR_ERR_DAMAGED). *out owned (close).
 * Blocks. */
enum rr_err rr_chain_open(struct rr_chain **out, const struct rr_chain_options *options,
                          struct rr_fault *fault) RR_MUST_USE;
void rr_chain_close(struct rr_chain *chain);

/* Checks header and body by every rule of spec 50, 2, applies, and commits in one transaction:
 * durable on return. Extends the tip only: another parent is RR_ERR_STATE. sets: the certificate
 * sets the header commits to (may be NULL with set_count 0 when they are not at hand). Blocks (one
 * fsync). */
enum rr_err rr_chain_append(struct rr_chain *chain, const struct rr_block *block,
                            struct rr_fault *fault) RR_MUST_USE;
/* Takes the tip block back by its undo record (to two checkpoints back). */
enum rr_err rr_chain_undo_tip(struct rr_chain *chain, struct rr_fault *fault) RR_MUST_USE;

struct rr_chain_tip {
    uint64_t height; /* 0: genesis only */
    struct rr_hash32 hash;
    struct rr_hash32 state_root;
    uint64_t time_ms;
    uint32_t r_q32;                 /* of the tip */
    struct rr_u256 difficulty;      /* of the tip */
    struct rr_u256 next_difficulty; /* at a block dated now */
    uint64_t finalized_height;      /* 0 while no guardians vote */
    uint64_t mempool;               /* transactions waiting */
};
void rr_chain_tip(struct rr_chain *chain, struct rr_chain_tip *out);
/* Wakes the caller when the tip changed: visited after each append, on the appending thread; add up
 * to 8. */
void rr_chain_on_tip(struct rr_chain *chain, void (*fn)(void *ctx, const struct rr_chain_tip *tip),
                     void *ctx);
/* Wakes the caller when a transaction has come to wait for a block: visited after each submit that
 * was taken, on the submitting thread, no lock held; add up to 8, before the first submit. */
void rr_chain_on_waiting(struct rr_chain *chain, void (*fn)(void *ctx), void *ctx);

/* Copies; RR_ERR_NOTFOUND beyond the tip. Block decode owned by the caller (rr_block_clear). */
enum rr_err rr_chain_header(struct rr_chain *chain, uint64_t height, struct rr_header *out,
                            struct rr_fault *fault) RR_MUST_USE;
enum rr_err rr_chain_block(struct rr_chain *chain, uint64_t height, struct rr_block *out,
                           struct rr_fault *fault) RR_MUST_USE;
enum rr_err rr_chain_block_hash(struct rr_chain *chain, uint64_t height, struct rr_hash32 *out,
                                struct rr_fault *fault) RR_MUST_USE;

/* ---- state ------------------------------------------------------------------ */
struct rr_account {
    struct rr_coin balance;
    uint64_t sequence; /* of its last transaction */
};
/* An address never seen is a zero account and RR_OK. */
enum rr_err rr_chain_account(struct rr_chain *chain, const struct rr_address *address,
                             struct rr_account *out, struct rr_fault *fault) RR_MUST_USE;
struct rr_pool_state {
    struct rr_hash32 resource_id;
    struct rr_pubkey owner;
    struct rr_coin deposit;      /* as funded */
    struct rr_coin deposit_left; /* not yet settled */
    struct rr_coin collateral, cap;
    uint64_t created_height, end_height;
};
enum rr_err
rr_chain_pool(struct rr_chain *chain, const struct rr_hash32 *pool_id, struct rr_pool_state *out,
              struct rr_fault *fault) RR_MUST_USE; /* RR_ERR_NOTFOUND: never made, or released */
struct rr_pool_target {
    struct rr_coin settled;
    uint64_t seq;
};
enum rr_err rr_chain_pool_target(struct rr_chain *chain, const struct rr_hash32 *pool_id,
                                 const struct rr_address *target, struct rr_pool_target *out,
                                 struct rr_fault *fault) RR_MUST_USE; /* zeros when none */
enum rr_err rr_chain_visit_pools(struct rr_chain *chain,
                                 bool (*visit)(void *ctx, const struct rr_hash32 *pool_id,
                                               const struct rr_pool_state *pool),
                                 void *ctx, struct rr_fault *fault) RR_MUST_USE;
enum rr_contract_status {
    RR_CONTRACT_OPEN = 1,
    RR_CONTRACT_CLAIMED = 2,
    RR_CONTRACT_PAID = 3,
    RR_CONTRACT_REFUSED = 4,
    RR_CONTRACT_EXPIRED = 5
};
struct rr_contract_state {
    enum rr_contract_kind kind;
    enum rr_contract_status status;
    struct rr_hash32 job_id;
    struct rr_pubkey owner, provider, verifier;
    struct rr_coin price;
    uint16_t challenges;
    uint64_t opened_height, expiry_height, claimed_height;
    struct rr_hash32 root;
    uint32_t leaves;
    uint64_t beacon_height; /* as attested */
    uint16_t checked, failed;
};
enum rr_err rr_chain_contract(struct rr_chain *chain, const struct rr_hash32 *contract_id,
                              struct rr_contract_state *out, struct rr_fault *fault) RR_MUST_USE;
/* Block height that holds a transaction; RR_ERR_NOTFOUND when none does. */
enum rr_err rr_chain_tx_height(struct rr_chain *chain, const struct rr_hash32 *tx_id,
                               uint64_t *height, struct rr_fault *fault) RR_MUST_USE;
/* Proof of a transaction with headers from just after `from_height` up to its block (RR_ERR_LIMIT
 * when more than RR_TX_PROOF_HEADERS_MAX). *out owned (rr_tx_proof_clear). */
enum rr_err rr_chain_prove_tx(struct rr_chain *chain, struct rr_tx_proof *out,
                              const struct rr_hash32 *tx_id, uint64_t from_height,
                              struct rr_fault *fault) RR_MUST_USE;

/* ---- mempool ---------------------------------------------------------------- */
/* Checks form, signature, chain, sequence (next or following those waiting), fee, funds; keeps it
 * for the next block. Known already: RR_OK. Also durable: waiting transactions survive a restart.
 * Refusals: RR_ERR_TRUST, _FUNDS, _STATE, _LIMIT, each naming what to do. */
enum rr_err rr_chain_submit(struct rr_chain *chain, const struct rr_tx *tx,
                            struct rr_fault *fault) RR_MUST_USE;
/* Sequence to use for the next transaction of this key, those waiting counted. */
enum rr_err rr_chain_next_sequence(struct rr_chain *chain, const struct rr_pubkey *key,
                                   uint64_t *out, struct rr_fault *fault) RR_MUST_USE;
/* Makes and submits one transaction of `key` in one step, so that parts of a rig that share a key
 * do not take each other's sequence: next sequence, least fee, signature, then `keep` (may be NULL;
 * what it returns but RR_OK ends the call), then submit. tx: type, body, valid_until_height given,
 * all else is filled in. Who sends several in a row, or needs the sequence itself, holds the same
 * lock with rr_chain_sender_lock around next_sequence and submit; it is not recursive. Blocks for
 * the others and for a commit; any thread. The errors of rr_chain_submit. */
enum rr_err rr_chain_send(struct rr_chain *chain, struct rr_tx *tx, const struct rr_seckey *key,
                          enum rr_err (*keep)(void *ctx, const struct rr_tx *tx,
                                              struct rr_fault *fault),
                          void *keep_ctx, struct rr_fault *fault) RR_MUST_USE;
void rr_chain_sender_lock(struct rr_chain *chain);
void rr_chain_sender_unlock(struct rr_chain *chain);
/* Least fee of this transaction (its size and type). */
struct rr_coin rr_chain_min_fee(const struct rr_chain *chain, const struct rr_tx *tx);

/* ---- mining ----------------------------------------------------------------- */
/* Sets for the next block, built above; the ledger checks the header against them. */
struct rr_block_template {
    struct rr_block block; /* all but nonce and mix; owned (rr_block_clear) */
    uint8_t work_hash[32];
};
/* Next block on the tip: transactions in rule order, roots, difficulty for time now, r from the
 * sets (count 0 fine). Applies the sets' T_i: r_q32 = f(lambda sum T_i). */
enum rr_err rr_chain_template(struct rr_chain *chain, struct rr_block_template *out,
                              const struct rr_pubkey *miner, const struct rr_certificate_set *sets,
                              uint32_t set_count, struct rr_fault *fault) RR_MUST_USE;
/* Certificate sets of a block, kept beside the chain for reveal ([THETA-18] technique 3), in place
 * of those kept for that height before. Durable on return: keep them before the block is appended,
 * else a crash loses them. Blocks. */
enum rr_err rr_chain_keep_sets(struct rr_chain *chain, uint64_t height,
                               const struct rr_certificate_set *sets, uint32_t set_count,
                               struct rr_fault *fault) RR_MUST_USE;
/* The sets kept of the block at `height`, checked against the roots in its header. *sets owned
 * (each rr_certificate_set_clear, then rr_free); count 0 and NULL for a block without certificates.
 * RR_ERR_NOTFOUND: beyond the tip, or they were never kept here. */
enum rr_err rr_chain_sets(struct rr_chain *chain, uint64_t height, struct rr_certificate_set **sets,
                          uint32_t *count, struct rr_fault *fault) RR_MUST_USE;

/* ---- pure rules, exported for light clients, tests and benches -------------- */
/* ASERT (aserti3-2d form), integer only: difficulty of a block at `height` >= 1 whose parent is
 * dated parent_time_ms. The anchor is block 1: it has the genesis difficulty, and the schedule
 * counts from its time anchor_time_ms (ours: a preset's genesis time is long past when a chain
 * starts). Never below 1. */
struct rr_u256 rr_rule_difficulty(const struct rr_genesis *genesis, uint64_t height,
                                  uint64_t parent_time_ms, uint64_t anchor_time_ms);
/* What a header is judged by beside its parent. */
struct rr_rule_past {
    uint64_t anchor_time_ms; /* of block 1; not used for block 1 itself */
    uint64_t median_time_ms; /* of the last 11 blocks (fewer near genesis), the parent among them */
    struct rr_u256 mean_difficulty; /* D of lambda: floor of the mean over the last whole checkpoint
                                       interval, the genesis difficulty before the first; zero: not
                                       known, r is not checked */
    struct rr_hash32
        checkpoint; /* of the latest checkpoint below; all zeros: not known, not checked */
};
/* Header against its parent and past: chain, height, parent hash, time above the median,
 * difficulty, checkpoint, set sums and their caps, r; neither the work nor the clock. */
enum rr_err rr_rule_header(const struct rr_genesis *genesis, const struct rr_header *header,
                           const struct rr_header *parent, const struct rr_rule_past *past,
                           struct rr_fault *fault) RR_MUST_USE;
void rr_rule_genesis_header(const struct rr_genesis *genesis, struct rr_header *out);
/* True when final_be, as a 256-bit big-endian number, times difficulty is at most 2^256. */
bool rr_rule_solves(const uint8_t final_be[static 32], struct rr_u256 difficulty);
/* Checks a proof from a trusted header on: chain of headers, difficulty and work of each, place and
 * signature of the transaction. anchor_time_ms: time of block 1, from the same source as the
 * trusted header; when that is the genesis header (rr_rule_genesis_header) or block 1 it is not
 * used and nothing but the genesis is trusted: headers[0].time_ms of such a proof is what to keep
 * beside the header that is trusted from there on. RR_ERR_TRUST. */
enum rr_err rr_rule_check_proof(const struct rr_genesis *genesis, const struct rr_tx_proof *proof,
                                const struct rr_header *trusted, uint64_t anchor_time_ms,
                                bool (*work)(void *ctx, const uint8_t header_hash[32],
                                             uint64_t nonce, uint8_t mix[32], uint8_t final_be[32]),
                                void *work_ctx, struct rr_fault *fault) RR_MUST_USE;
/* Sums over the whole state, and its root recomputed from every record (O(state); blocks). accounts
 * + pools + contracts + escrow == issued always holds. RR_ERR_DAMAGED when sums or root do not
 * hold. */
struct rr_chain_audit {
    struct rr_coin accounts, pools, contracts, escrow; /* pools: deposit left and collateral */
    struct rr_coin issued;                             /* base rewards and bonuses since genesis */
    uint64_t account_count, pool_count, contract_count;
    struct rr_hash32 state_root;
};
enum rr_err rr_chain_audit(struct rr_chain *chain, struct rr_chain_audit *out,
                           struct rr_fault *fault) RR_MUST_USE;
/* Opens an empty chain in `folder`, appends every block of `from`, and compares tips and state
 * roots: RR_ERR_DAMAGED where they part. For `reelrig chain verify` and the kill test. */
enum rr_err rr_chain_replay(struct rr_chain *from, const struct rr_chain_options *into,
                            struct rr_fault *fault) RR_MUST_USE;
#endif

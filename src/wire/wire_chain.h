/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Genesis, transactions, headers, blocks, proofs of inclusion (spec 50). Private to wire; enter by
 * wire.h. */
#ifndef RR_WIRE_CHAIN_H
#define RR_WIRE_CHAIN_H
#include "crypto/crypto.h"

/* ---- genesis: all parameters of a chain (spec 50, 1) ------------------------------------------
 */
enum rr_binding { RR_BINDING_NONE = 0, RR_BINDING_POOL = 1 };
struct rr_genesis {
    char name[33];          /* preset or network name, [a-z0-9-], NUL-terminated */
    bool test_addresses;    /* trr1... */
    uint64_t time_ms;       /* of block 0 */
    uint32_t block_ms;      /* T_b, 100..600000 */
    uint32_t cache_items;   /* Ethash light cache, 64 B items */
    uint32_t dataset_items; /* Ethash dataset, 128 B items */
    uint8_t ethash_seed[32];
    struct rr_u256 difficulty;  /* of block 1 and ASERT anchor */
    uint64_t halflife_ms;       /* ASERT */
    struct rr_coin base_reward; /* per block */
    uint32_t checkpoint_blocks;
    uint32_t puzzle_blocks;                  /* d */
    uint32_t certificate_hashes_per_s;       /* s */
    uint32_t reputation_num, reputation_den; /* c of lambda = c s T_b / (W D) */
    uint32_t window_blocks;                  /* W */
    uint32_t certificates_per_block;         /* technique 1 cap, <= 16384 */
    enum rr_binding certificate_binding;
    uint64_t credit_units_per_ms; /* price of a millisecond of service for the binding; >= 1 */
    struct rr_coin fee_base;
    uint64_t fee_units_per_byte;
    uint32_t pool_blocks_min, pool_blocks_max;
    uint32_t block_bytes_max; /* of all transactions, <= 16 MiB */
};
void rr_genesis_encode(struct rr_buf *out, const struct rr_genesis *genesis);
enum rr_err rr_genesis_decode(struct rr_genesis *out, struct rr_slice bytes,
                              struct rr_fault *fault) RR_MUST_USE;
/* From the commented TOML file; unknown keys and values out of range are errors with their
 * position. */
enum rr_err rr_genesis_parse(struct rr_genesis *out, struct rr_slice toml, const char *name,
                             struct rr_fault *fault) RR_MUST_USE;
/* Presets "dev", "test", "main": the TOML text, static; NULL when unknown. */
const char *rr_genesis_preset(const char *name);
/* BLAKE2b-256("rr.genesis", encoding); chain_id = its first four bytes, little-endian. */
void rr_genesis_hash(struct rr_hash32 *out, const struct rr_genesis *genesis);
uint32_t rr_genesis_chain_id(const struct rr_genesis *genesis);

/* ---- transactions (spec 50, 7); numbers are final, gaps are named there -----------------------
 */
enum rr_tx_type {
    RR_TX_TRANSFER = 1,
    RR_TX_CREATE_POOL = 2,
    RR_TX_REFILL_POOL = 3,
    RR_TX_SETTLE = 4,
    RR_TX_RELEASE_POOL = 5,
    RR_TX_OPEN_CONTRACT = 10,
    RR_TX_CLAIM = 11,
    RR_TX_ATTESTATION = 13
    /* reserved: 6 slash_pool, 7 stake, 8 unstake, 9 slash_stake, 12 challenge_answer, 14
     * guardian_votes, 15 reveal_set, 16 fraud_proof */
};
enum rr_contract_kind { RR_CONTRACT_TRANSCODE = 1 }; /* 2 storage, 3 incentive reserved */

/* Owner-signed cumulative payment out of a pool (spec 60, 2). value = cum + min(depth, max_units) *
 * unit_price, depth proved by a preimage: hashing it `depth` times (domain "rr.payword.v1") gives
 * payword_root. */
struct rr_voucher {
    uint32_t chain_id;
    struct rr_hash32 pool_id;
    struct rr_address target;
    struct rr_coin cum_amount;
    uint64_t seq;
    uint64_t expiry_height;
    struct rr_hash32 payword_root; /* zero: none */
    struct rr_coin unit_price;
    uint32_t max_units;
    struct rr_signature signature; /* of the pool's owner, over rr_voucher_digest */
};
void rr_voucher_encode(struct rr_buf *out, const struct rr_voucher *voucher);
enum rr_err rr_voucher_decode(struct rr_voucher *out, struct rr_slice bytes,
                              struct rr_fault *fault) RR_MUST_USE;
void rr_voucher_digest(struct rr_hash32 *out,
                       const struct rr_voucher *voucher); /* "rr.voucher.v1" */
/* cum + min(depth, max_units) * unit_price; false beyond the cap of amounts. */
bool rr_voucher_value(struct rr_coin *out, const struct rr_voucher *voucher,
                      uint32_t depth) RR_MUST_USE;
/* One step of the chain: out = BLAKE2b-256("rr.payword.v1", in); in == out allowed. */
void rr_payword_step(struct rr_hash32 *out, const struct rr_hash32 *in);

struct rr_tx {
    enum rr_tx_type type;
    uint32_t chain_id;
    struct rr_pubkey sender;
    uint64_t sequence;           /* account sequence + 1 */
    uint64_t valid_until_height; /* 0: no bound */
    struct rr_coin fee;          /* settle: out of the proceeds, else the sender's */
    union {
        struct {
            struct rr_address to;
            struct rr_coin amount;
        } transfer;
        struct {
            struct rr_hash32 resource_id;
            struct rr_coin deposit, collateral, cap; /* cap 0: none */
            uint32_t duration_blocks;
        } create_pool;
        struct {
            struct rr_hash32 pool_id;
            struct rr_coin amount;
        } refill_pool;
        struct {
            struct rr_voucher voucher;
            uint32_t depth;
            struct rr_hash32 preimage; /* zero when depth is 0 */
        } settle;
        struct {
            struct rr_hash32 pool_id;
        } release_pool;
        struct {
            enum rr_contract_kind kind;
            struct rr_hash32 job_id;
            struct rr_pubkey provider, verifier;
            struct rr_coin price; /* held until the attestation */
            uint16_t challenges;  /* c, >= 1 */
            uint32_t expiry_blocks;
        } open_contract;
        struct {
            struct rr_hash32 contract_id; /* hash of its open_contract */
            struct rr_hash32 root;        /* Merkle root over all leaves of the job */
            uint32_t leaves;
        } claim;
        struct {
            struct rr_hash32 contract_id;
            uint64_t beacon_height; /* block whose hash drew the leaves */
            uint16_t checked, failed;
            struct rr_hash32 evidence; /* digest over the answers */
        } attestation;
    } body;
    struct rr_signature signature; /* over rr_tx_digest */
};
#define RR_TX_BYTES_MAX 4096
void rr_tx_encode(struct rr_buf *out, const struct rr_tx *tx);
enum rr_err rr_tx_decode(struct rr_tx *out, struct rr_slice bytes,
                         struct rr_fault *fault) RR_MUST_USE;
void rr_tx_digest(struct rr_hash32 *out,
                  const struct rr_tx *tx); /* "rr.tx.v1", all but the signature */
void rr_tx_id(struct rr_hash32 *out, const struct rr_tx *tx); /* "rr.txid.v1", with the signature */
void rr_tx_sign(struct rr_tx *tx, const struct rr_seckey *key); /* sets sender and signature */

/* ---- headers and blocks -----------------------------------------------------------------------
 */
#define RR_HEADER_SETS_MAX 64
struct rr_header {
    uint32_t chain_id;
    uint64_t height;
    struct rr_hash32 parent;
    uint64_t time_ms;
    struct rr_u256 difficulty;
    struct rr_hash32 tx_root, state_root, cert_root;
    uint16_t sets;                       /* number of certificate sets, <= RR_HEADER_SETS_MAX */
    uint64_t set_ms[RR_HEADER_SETS_MAX]; /* T_1..T_n; unused ones zero */
    uint64_t total_ms;                   /* T_total = their sum */
    uint32_t r_q32;
    struct rr_hash32
        cert_digest; /* [THETA-18 eq. 10] H(T_total || sc_1 || ...), zero without any */
    struct rr_hash32 attest_root, checkpoint_ref;
    struct rr_pubkey miner;
    uint64_t nonce;
    struct rr_hash32 mix;
};
#define RR_HEADER_BYTES_MAX 1024
void rr_header_encode(struct rr_buf *out, const struct rr_header *header);
enum rr_err rr_header_decode(struct rr_header *out, struct rr_slice bytes,
                             struct rr_fault *fault) RR_MUST_USE;
void rr_header_hash(struct rr_hash32 *out,
                    const struct rr_header *header); /* "rr.blk.v1", all fields */
/* keccak256 of the encoding without nonce and mix: what the work is done on (spec 10, 5). */
void rr_header_work_hash(struct rr_hash32 *out, const struct rr_header *header);

#define RR_BLOCK_TXS_MAX 65536
struct rr_block {
    struct rr_header header;
    struct rr_tx *txs; /* owned */
    uint32_t tx_count;
};
void rr_block_encode(struct rr_buf *out, const struct rr_block *block);
enum rr_err rr_block_decode(struct rr_block *out, struct rr_slice bytes,
                            struct rr_fault *fault) RR_MUST_USE;
void rr_block_clear(struct rr_block *block);
/* Merkle root over the transaction ids in order (leaf = "rr.txleaf.v1" of the id). */
void rr_block_tx_root(struct rr_hash32 *out, const struct rr_tx *txs, uint32_t count);

/* A transaction, its place in a block, and headers from just after a known block up to that block.
 */
#define RR_TX_PROOF_HEADERS_MAX 8192
struct rr_tx_proof {
    struct rr_tx tx;
    struct rr_merkle_proof place;
    struct rr_header *headers; /* owned; consecutive; the last one holds tx */
    uint32_t header_count;     /* >= 1 */
};
void rr_tx_proof_encode(struct rr_buf *out, const struct rr_tx_proof *proof);
enum rr_err rr_tx_proof_decode(struct rr_tx_proof *out, struct rr_slice bytes,
                               struct rr_fault *fault) RR_MUST_USE;
void rr_tx_proof_clear(struct rr_tx_proof *proof);
#endif

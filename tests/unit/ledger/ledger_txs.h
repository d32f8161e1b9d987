/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Signed transactions of a test world: sequence as next, fee the least unless set. */
#ifndef RR_TEST_LEDGER_TXS_H
#define RR_TEST_LEDGER_TXS_H
#include "ledger_world.h"

/* ---- transactions ----------------------------------------------------------- */
/* Sequence as next, fee the least; the body is the caller's, then world_sign. */
static inline struct rr_tx world_tx(struct world *world, enum rr_tx_type type, int key)
{
    struct rr_tx tx;
    memset(&tx, 0, sizeof tx);
    tx.type = type;
    tx.chain_id = rr_genesis_chain_id(&world->genesis);
    tx.sender = world->pub[key];
    assert_int_equal(rr_chain_next_sequence(world->chain, &world->pub[key], &tx.sequence, NULL),
                     RR_OK);
    if (type == RR_TX_OPEN_CONTRACT) {
        tx.body.open_contract.kind = RR_CONTRACT_TRANSCODE; /* an encoding needs one */
    }
    return tx;
}

static inline void world_sign(struct world *world, struct rr_tx *tx, int key)
{
    if (rr_coin_is_zero(tx->fee)) {
        tx->fee = rr_chain_min_fee(world->chain, tx);
    }
    rr_tx_sign(tx, world->keys[key]);
}

static inline enum rr_err world_submit(struct world *world, const struct rr_tx *tx)
{
    world->fault = (struct rr_fault){0};
    return rr_chain_submit(world->chain, tx, &world->fault);
}

static inline void world_accept(struct world *world, const struct rr_tx *tx)
{
    enum rr_err err = world_submit(world, tx);
    if (err != RR_OK) {
        print_error("submit: %s\n", world->fault.text);
    }
    assert_int_equal(err, RR_OK);
}

/* Refused with this code, and with a sentence that holds this text. */
#define world_refuse(world, tx, code_, sentence)                                                   \
    do {                                                                                           \
        assert_int_equal(world_submit((world), (tx)), (code_));                                    \
        if (strstr((world)->fault.text, (sentence)) == NULL) {                                     \
            fail_msg("expected \"%s\" in \"%s\"", (sentence), (world)->fault.text);                \
        }                                                                                          \
    } while (0)

static inline struct rr_tx world_transfer(struct world *world, int from, int to, uint64_t amount)
{
    struct rr_tx tx = world_tx(world, RR_TX_TRANSFER, from);
    tx.body.transfer.to = world->address[to];
    tx.body.transfer.amount = units(amount);
    world_sign(world, &tx, from);
    return tx;
}

static inline struct rr_tx world_create_pool(struct world *world, int owner, uint64_t deposit,
                                             uint64_t collateral, uint64_t cap, uint32_t blocks)
{
    struct rr_tx tx = world_tx(world, RR_TX_CREATE_POOL, owner);
    memset(tx.body.create_pool.resource_id.bytes, 0x5e, 32);
    tx.body.create_pool.deposit = units(deposit);
    tx.body.create_pool.collateral = units(collateral);
    tx.body.create_pool.cap = units(cap);
    tx.body.create_pool.duration_blocks = blocks;
    world_sign(world, &tx, owner);
    return tx;
}

/* Makes a pool and mines it; its id. */
static inline struct rr_hash32 world_pool(struct world *world, int owner, uint64_t deposit,
                                          uint64_t collateral, uint64_t cap, uint32_t blocks)
{
    struct rr_hash32 id;
    struct rr_tx tx = world_create_pool(world, owner, deposit, collateral, cap, blocks);
    world_accept(world, &tx);
    world_mine(world, 0);
    rr_tx_id(&id, &tx);
    return id;
}

static inline struct rr_voucher world_voucher(struct world *world, const struct rr_hash32 *pool,
                                              int owner, int target, uint64_t cum, uint64_t seq)
{
    struct rr_voucher voucher;
    struct rr_hash32 digest;
    memset(&voucher, 0, sizeof voucher);
    voucher.chain_id = rr_genesis_chain_id(&world->genesis);
    voucher.pool_id = *pool;
    voucher.target = world->address[target];
    voucher.cum_amount = units(cum);
    voucher.seq = seq;
    voucher.expiry_height = 1000000;
    rr_voucher_digest(&digest, &voucher);
    rr_sign(&voucher.signature, world->keys[owner], &digest);
    return voucher;
}

static inline void world_sign_voucher(struct world *world, struct rr_voucher *voucher, int owner)
{
    struct rr_hash32 digest;
    rr_voucher_digest(&digest, voucher);
    rr_sign(&voucher->signature, world->keys[owner], &digest);
}

static inline struct rr_tx world_settle(struct world *world, const struct rr_voucher *voucher,
                                        int target)
{
    struct rr_tx tx = world_tx(world, RR_TX_SETTLE, target);
    tx.body.settle.voucher = *voucher;
    world_sign(world, &tx, target);
    return tx;
}

static inline struct rr_tx world_release(struct world *world, const struct rr_hash32 *pool,
                                         int owner)
{
    struct rr_tx tx = world_tx(world, RR_TX_RELEASE_POOL, owner);
    tx.body.release_pool.pool_id = *pool;
    world_sign(world, &tx, owner);
    return tx;
}

static inline struct rr_tx world_open_contract(struct world *world, int owner, int provider,
                                               int verifier, uint64_t price, uint32_t blocks)
{
    struct rr_tx tx = world_tx(world, RR_TX_OPEN_CONTRACT, owner);
    memset(tx.body.open_contract.job_id.bytes, 0x0b, 32);
    tx.body.open_contract.provider = world->pub[provider];
    tx.body.open_contract.verifier = world->pub[verifier];
    tx.body.open_contract.price = units(price);
    tx.body.open_contract.challenges = 3;
    tx.body.open_contract.expiry_blocks = blocks;
    world_sign(world, &tx, owner);
    return tx;
}

static inline struct rr_tx world_claim(struct world *world, const struct rr_hash32 *contract,
                                       int provider)
{
    struct rr_tx tx = world_tx(world, RR_TX_CLAIM, provider);
    tx.body.claim.contract_id = *contract;
    memset(tx.body.claim.root.bytes, 0xc1, 32);
    tx.body.claim.leaves = 20;
    world_sign(world, &tx, provider);
    return tx;
}

static inline struct rr_tx world_attest(struct world *world, const struct rr_hash32 *contract,
                                        int verifier, uint64_t beacon, uint16_t checked,
                                        uint16_t failed)
{
    struct rr_tx tx = world_tx(world, RR_TX_ATTESTATION, verifier);
    tx.body.attestation.contract_id = *contract;
    tx.body.attestation.beacon_height = beacon;
    tx.body.attestation.checked = checked;
    tx.body.attestation.failed = failed;
    world_sign(world, &tx, verifier);
    return tx;
}
#endif

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A small world for the ledger's tests: a chain in a folder of its own, a clock that stands still,
 * eight keys. */
#ifndef RR_TEST_LEDGER_WORLD_H
#define RR_TEST_LEDGER_WORLD_H
#include "ledger/ledger.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define WORLD_KEYS 8

struct world {
    char folder[128];
    struct rr_genesis genesis;
    struct rr_chain_options options;
    struct rr_chain *chain;
    struct rr_clock clock;
    uint64_t now_ms;
    struct rr_seckey *keys[WORLD_KEYS];
    struct rr_pubkey pub[WORLD_KEYS];
    struct rr_address address[WORLD_KEYS];
    struct rr_fault fault; /* of the last refusal */
};

static inline struct rr_coin units(uint64_t n)
{
    struct rr_coin coin;
    assert_true(rr_coin_of_units(&coin, n));
    return coin;
}

static inline uint64_t world_wall(void *ctx)
{
    return ((struct world *)ctx)->now_ms;
}

static inline uint64_t world_monotonic(void *ctx)
{
    return ((struct world *)ctx)->now_ms * 1000;
}

/* Every nonce is a solution: the tests are about the rules, the work has its own module. A mix
 * whose first byte is 0xbd is a bad one. */
static inline bool world_work(void *ctx, const uint8_t header_hash[32], uint64_t nonce,
                              uint8_t mix[32], uint8_t final_be[32])
{
    (void)ctx, (void)header_hash, (void)nonce;
    memset(final_be, 0, 32);
    return mix[0] != 0xbd;
}

static inline struct rr_genesis world_genesis(void)
{
    struct rr_genesis genesis;
    memset(&genesis, 0, sizeof genesis);
    snprintf(genesis.name, sizeof genesis.name, "unit");
    genesis.test_addresses = true;
    genesis.time_ms = UINT64_C(1700000000000);
    genesis.block_ms = 2000;
    genesis.cache_items = 1021;
    genesis.dataset_items = 8191;
    genesis.difficulty = rr_u256_of(1);
    genesis.halflife_ms = 1200000;
    genesis.base_reward = units(UINT64_C(50) * RR_COIN_UNITS_PER_COIN);
    genesis.checkpoint_blocks = 4;
    genesis.puzzle_blocks = 4;
    genesis.certificate_hashes_per_s = 1000;
    genesis.reputation_num = 1;
    genesis.reputation_den = 1;
    genesis.window_blocks = 100;
    genesis.certificates_per_block = 1024;
    genesis.credit_units_per_ms = 1;
    genesis.fee_base = units(1000);
    genesis.fee_units_per_byte = 2;
    genesis.pool_blocks_min = 3;
    genesis.pool_blocks_max = 1000;
    genesis.block_bytes_max = 1u << 20;
    return genesis;
}

static inline void world_open(struct world *world)
{
    world->fault = (struct rr_fault){0};
    enum rr_err err = rr_chain_open(&world->chain, &world->options, &world->fault);
    if (err != RR_OK) {
        print_error("open: %s\n", world->fault.text);
    }
    assert_int_equal(err, RR_OK);
}

/* Keys are the scalars 1..8: repeatable. */
static inline void world_init(struct world *world)
{
    memset(world, 0, sizeof *world);
    rr_crypto_init();
    const char *base = getenv("TMPDIR");
    snprintf(world->folder, sizeof world->folder, "%s/rr-ledger-XXXXXX",
             base != NULL ? base : "/tmp");
    assert_non_null(mkdtemp(world->folder));
    world->genesis = world_genesis();
    world->now_ms = world->genesis.time_ms + 100000;
    world->clock =
        (struct rr_clock){.wall_ms = world_wall, .monotonic_us = world_monotonic, .ctx = world};
    world->options = (struct rr_chain_options){.folder = world->folder,
                                               .genesis = &world->genesis,
                                               .clock = &world->clock,
                                               .work = world_work};
    for (uint8_t i = 0; i < WORLD_KEYS; i++) {
        uint8_t scalar[32] = {0};
        scalar[31] = (uint8_t)(i + 1);
        world->keys[i] = rr_seckey_from_bytes(scalar);
        assert_non_null(world->keys[i]);
        rr_seckey_public(world->keys[i], &world->pub[i]);
        rr_address_of(&world->address[i], &world->pub[i]);
    }
}

static inline void world_clear(struct world *world)
{
    rr_chain_close(world->chain);
    for (int i = 0; i < WORLD_KEYS; i++) {
        rr_seckey_free(world->keys[i]);
    }
    assert_int_equal(rr_remove_tree(world->folder, NULL), RR_OK);
}

static inline void world_reopen(struct world *world)
{
    rr_chain_close(world->chain);
    world->chain = NULL;
    world_open(world);
}

/* ---- blocks ----------------------------------------------------------------- */
static inline void world_template(struct world *world, struct rr_block *out, int miner)
{
    struct rr_block_template template;
    enum rr_err err =
        rr_chain_template(world->chain, &template, &world->pub[miner], NULL, 0, &world->fault);
    if (err != RR_OK) {
        print_error("template: %s\n", world->fault.text);
    }
    assert_int_equal(err, RR_OK);
    *out = template.block;
}

static inline enum rr_err world_append(struct world *world, const struct rr_block *block)
{
    world->fault = (struct rr_fault){0};
    return rr_chain_append(world->chain, block, &world->fault);
}

static inline void world_mine(struct world *world, int miner)
{
    struct rr_block block;
    world->now_ms += world->genesis.block_ms;
    world_template(world, &block, miner);
    enum rr_err err = world_append(world, &block);
    if (err != RR_OK) {
        print_error("append: %s\n", world->fault.text);
    }
    assert_int_equal(err, RR_OK);
    rr_block_clear(&block);
}

static inline void world_mine_many(struct world *world, int miner, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        world_mine(world, miner);
    }
}

static inline uint64_t world_height(struct world *world)
{
    struct rr_chain_tip tip;
    rr_chain_tip(world->chain, &tip);
    return tip.height;
}

static inline struct rr_hash32 world_root(struct world *world)
{
    struct rr_chain_tip tip;
    rr_chain_tip(world->chain, &tip);
    return tip.state_root;
}

static inline uint64_t world_waiting(struct world *world)
{
    struct rr_chain_tip tip;
    rr_chain_tip(world->chain, &tip);
    return tip.mempool;
}

static inline uint64_t world_balance(struct world *world, int key)
{
    struct rr_account account;
    assert_int_equal(rr_chain_account(world->chain, &world->address[key], &account, NULL), RR_OK);
    return rr_coin_units(account.balance);
}

static inline void world_audit(struct world *world)
{
    struct rr_chain_audit audit;
    enum rr_err err = rr_chain_audit(world->chain, &audit, &world->fault);
    if (err != RR_OK) {
        print_error("audit: %s\n", world->fault.text);
    }
    assert_int_equal(err, RR_OK);
}

#define COIN RR_COIN_UNITS_PER_COIN
/* A world whose keys 1..4 have 1000 coins or so each: mined by each in turn. */
static inline void world_rich(struct world *world)
{
    world_init(world);
    world_open(world);
    for (int key = 1; key <= 4; key++) {
        world_mine_many(world, key, 20);
    }
}
#endif

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A small real world for the tests of pay: a chain of difficulty 1 with real Ethash work on a tiny
 * cache, a clock that the test moves, a rig with a till, viewers with pools. */
#ifndef RR_TEST_PAY_WORLD_H
#define RR_TEST_PAY_WORLD_H
#include "ethash/ethash.h"
#include "pay/pay.h"
#include "proof/proof.h"
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
/* after its own needs */
#include <cmocka.h>

#define WORLD_CACHE   251
#define WORLD_DATASET 509
#define WORLD_PRICE   1000000u /* 0.01 coins a slice */

struct world {
    char folder[64];
    char chain_folder[96], till_folder[96];
    struct rr_genesis genesis;
    struct rr_ethash_node cache[WORLD_CACHE];
    _Atomic uint64_t now_ms;
    struct rr_clock clock;
    struct rr_seckey *rig, *viewers[4];
    struct rr_pubkey rig_public, viewer_public[4];
    struct rr_manifest manifest;
    struct rr_chain *chain;
    struct rr_till *till;
    struct rr_till_options options;
    struct rr_hash32 pools[4];
};

#define world_ok(call)                                                                             \
    do {                                                                                           \
        struct rr_fault fault = {0};                                                               \
        enum rr_err world_err = (call);                                                            \
        if (world_err != RR_OK) {                                                                  \
            fail_msg("%s: %s [%s]", rr_err_text(world_err), fault.text, fault.where);              \
        }                                                                                          \
    } while (0)
#define world_refused(call, code)                                                                  \
    do {                                                                                           \
        struct rr_fault fault = {0};                                                               \
        enum rr_err world_err = (call);                                                            \
        if (world_err != (code)) {                                                                 \
            fail_msg("%s instead of %s: %s", rr_err_text(world_err), rr_err_text(code),            \
                     fault.text);                                                                  \
        }                                                                                          \
        assert_true(fault.text[0] != 0);                                                           \
    } while (0)

static inline struct rr_coin coins(uint64_t units)
{
    struct rr_coin coin = {0};
    assert_true(rr_coin_of_units(&coin, units));
    return coin;
}

static inline uint64_t world_wall(void *ctx)
{
    struct world *world = ctx;
    return atomic_load(&world->now_ms);
}

static inline uint64_t world_monotonic(void *ctx)
{
    (void)ctx;
    return rr_monotonic_us(rr_clock_system());
}

static inline bool world_work(void *ctx, const uint8_t header_hash[32], uint64_t nonce,
                              uint8_t mix[32], uint8_t final_be[32])
{
    struct world *world = ctx;
    rr_ethash_light(mix, final_be, world->cache, WORLD_CACHE, WORLD_DATASET, header_hash, nonce);
    return true;
}

static inline void world_make_genesis(struct rr_genesis *out)
{
    struct rr_genesis genesis;
    world_ok(rr_genesis_parse(&genesis, rr_slice_str(rr_genesis_preset("dev")), "dev", &fault));
    genesis.cache_items = WORLD_CACHE;
    genesis.dataset_items = WORLD_DATASET;
    genesis.difficulty = rr_u256_of(1);
    genesis.block_ms = 2000;
    genesis.base_reward = coins(1000 * RR_COIN_UNITS_PER_COIN);
    genesis.pool_blocks_min = 2;
    genesis.pool_blocks_max = 10000;
    genesis.puzzle_blocks = 2;
    genesis.certificate_hashes_per_s = 4;
    genesis.window_blocks = 20;
    genesis.certificates_per_block = 1024;
    genesis.certificate_binding = RR_BINDING_POOL;
    genesis.checkpoint_blocks = 4;
    genesis.credit_units_per_ms = 1000;
    *out = genesis;
}

static inline void world_open_chain(struct world *world)
{
    struct rr_chain_options options = {.folder = world->chain_folder,
                                       .genesis = &world->genesis,
                                       .clock = &world->clock,
                                       .work = world_work,
                                       .work_ctx = world};
    world_ok(rr_chain_open(&world->chain, &options, &fault));
}

static inline void world_open_till(struct world *world)
{
    world->options.chain = world->chain;
    world_ok(rr_till_open(&world->till, &world->options, &fault));
    rr_till_set_work(world->till, world_work, world);
}

static inline void world_restart(struct world *world)
{
    rr_till_close(world->till);
    rr_chain_close(world->chain);
    world_open_chain(world);
    world_open_till(world);
}

static inline void world_mine_sets(struct world *world, const struct rr_seckey *miner,
                                   const struct rr_certificate_set *sets, uint32_t count)
{
    struct rr_block_template made;
    struct rr_pubkey key;
    rr_seckey_public(miner, &key);
    atomic_fetch_add(&world->now_ms, world->genesis.block_ms);
    world_ok(rr_chain_template(world->chain, &made, &key, sets, count, &fault));
    uint8_t final_be[32];
    uint64_t nonce = 0;
    do {
        nonce++;
        assert_true(nonce < 10000);
        world_work(world, made.work_hash, nonce, made.block.header.mix.bytes, final_be);
    } while (!rr_rule_solves(final_be, made.block.header.difficulty));
    made.block.header.nonce = nonce;
    world_ok(rr_chain_append(world->chain, &made.block, &fault));
    rr_block_clear(&made.block);
}

static inline void world_mine(struct world *world, int blocks)
{
    for (int i = 0; i < blocks; i++) {
        world_mine_sets(world, world->rig, NULL, 0);
    }
}

static inline uint64_t world_height(struct world *world)
{
    struct rr_chain_tip tip;
    rr_chain_tip(world->chain, &tip);
    return tip.height;
}

/* Submits after filling in what every transaction has. */
static inline enum rr_err world_submit(struct world *world, struct rr_tx *tx,
                                       const struct rr_seckey *key, struct rr_fault *fault)
{
    struct rr_pubkey sender;
    rr_seckey_public(key, &sender);
    tx->chain_id = rr_genesis_chain_id(&world->genesis);
    enum rr_err err = rr_chain_next_sequence(world->chain, &sender, &tx->sequence, fault);
    if (err != RR_OK) {
        return err;
    }
    rr_tx_sign(tx, key);
    tx->fee = rr_chain_min_fee(world->chain, tx);
    rr_tx_sign(tx, key);
    return rr_chain_submit(world->chain, tx, fault);
}

static inline struct world *world_new(void)
{
    struct world *world = rr_alloc(sizeof(*world));
    rr_crypto_init();
    rr_log_set_level(RR_LOG_ERROR);
    const char *base = getenv("TMPDIR");
    int wrote = snprintf(world->folder, sizeof(world->folder), "%s/rr-pay-XXXXXX",
                         base != NULL && strlen(base) < 40 ? base : "/tmp");
    assert_true(wrote > 0 && (size_t)wrote < sizeof(world->folder));
    assert_non_null(mkdtemp(world->folder));
    snprintf(world->chain_folder, sizeof(world->chain_folder), "%s/chain", world->folder);
    snprintf(world->till_folder, sizeof(world->till_folder), "%s/till", world->folder);
    world_make_genesis(&world->genesis);
    rr_ethash_cache(world->cache, WORLD_CACHE, world->genesis.ethash_seed);
    atomic_init(&world->now_ms, world->genesis.time_ms);
    world->clock = (struct rr_clock){world_wall, world_monotonic, world};
    uint8_t bytes[32] = {7};
    world->rig = rr_seckey_from_bytes(bytes);
    rr_seckey_public(world->rig, &world->rig_public);
    for (int i = 0; i < 4; i++) {
        bytes[0] = (uint8_t)(11 + i);
        world->viewers[i] = rr_seckey_from_bytes(bytes);
        rr_seckey_public(world->viewers[i], &world->viewer_public[i]);
    }
    memset(world->manifest.resource_id.bytes, 0x5a, 32);
    world->manifest.slice_price = coins(WORLD_PRICE);
    world->manifest.slice_bytes = 65536;
    world->options = (struct rr_till_options){
        .folder = world->till_folder,
        .genesis = &world->genesis,
        .key = world->rig,
        .clock = &world->clock,
        .risk_limit = coins(1000 * (uint64_t)WORLD_PRICE),
        .settle_amount = coins(500 * (uint64_t)WORLD_PRICE),
        .settle_age_ms = 60000,
        .margin_blocks = 3,
        .commit_ms = 2,
    };
    world_open_chain(world);
    for (int i = 0; i < 4; i++) {
        world_mine_sets(world, world->viewers[i], NULL, 0);
    }
    world_open_till(world);
    return world;
}

static inline void world_free(struct world *world)
{
    struct rr_fault fault = {0};
    rr_till_close(world->till);
    rr_chain_close(world->chain);
    rr_seckey_free(world->rig);
    for (int i = 0; i < 4; i++) {
        rr_seckey_free(world->viewers[i]);
    }
    assert_int_equal(rr_remove_tree(world->folder, &fault), RR_OK);
    rr_free(world);
}
#endif

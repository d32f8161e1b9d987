/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A real rig without its daemon: store, chain with real Ethash work on a tiny cache, till, and the
 * server on a free port. */
#ifndef RR_TEST_SERVE_WORLD_H
#define RR_TEST_SERVE_WORLD_H
#include "ethash/ethash.h"
#include "publish.h"
#include "serve/serve.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
/* after its own needs */
#include <cmocka.h>

#define WORLD_CACHE   251
#define WORLD_DATASET 509

struct world {
    char folder[64];
    struct rr_genesis genesis;
    struct rr_ethash_node cache[WORLD_CACHE];
    _Atomic uint64_t now_ms, later_us; /* later: added to the monotonic clock */
    struct rr_clock clock;
    struct rr_seckey *rig, *viewer;
    struct rr_pubkey rig_public, viewer_public;
    struct rr_store *store;
    struct rr_chain *chain;
    struct rr_till *till;
    struct rr_serve_options options;
    struct rr_serve *serve;
    struct resource open, paid;
};

static inline uint64_t world_wall(void *ctx)
{
    struct world *world = ctx;
    return atomic_load(&world->now_ms);
}

static inline uint64_t world_monotonic(void *ctx)
{
    struct world *world = ctx;
    return rr_monotonic_us(rr_clock_system()) + atomic_load(&world->later_us);
}

static inline bool world_work(void *ctx, const uint8_t header_hash[32], uint64_t nonce,
                              uint8_t mix[32], uint8_t final_be[32])
{
    struct world *world = ctx;
    rr_ethash_light(mix, final_be, world->cache, WORLD_CACHE, WORLD_DATASET, header_hash, nonce);
    return true;
}

/* ---- chain ---------------------------------------------------------------------------- */
static inline void world_make_genesis(struct world *world)
{
    struct rr_genesis *genesis = &world->genesis;
    world_ok(rr_genesis_parse(genesis, rr_slice_str(rr_genesis_preset("dev")), "dev", &fault));
    genesis->cache_items = WORLD_CACHE;
    genesis->dataset_items = WORLD_DATASET;
    genesis->difficulty = rr_u256_of(1);
    genesis->base_reward = coins(1000 * RR_COIN_UNITS_PER_COIN);
    genesis->pool_blocks_min = 2;
    genesis->pool_blocks_max = 10000;
    genesis->puzzle_blocks = 2;
    genesis->certificate_hashes_per_s = 4;
    genesis->checkpoint_blocks = 4;
    rr_ethash_cache(world->cache, WORLD_CACHE, genesis->ethash_seed);
    atomic_init(&world->now_ms, genesis->time_ms);
}

static inline void world_mine(struct world *world, const struct rr_seckey *miner, int blocks)
{
    for (int i = 0; i < blocks; i++) {
        struct rr_block_template made;
        struct rr_pubkey key;
        uint8_t final_be[32];
        uint64_t nonce = 0;
        rr_seckey_public(miner, &key);
        atomic_fetch_add(&world->now_ms, world->genesis.block_ms);
        world_ok(rr_chain_template(world->chain, &made, &key, NULL, 0, &fault));
        do {
            nonce++;
            assert_true(nonce < 10000);
            world_work(world, made.work_hash, nonce, made.block.header.mix.bytes, final_be);
        } while (!rr_rule_solves(final_be, made.block.header.difficulty));
        made.block.header.nonce = nonce;
        world_ok(rr_chain_append(world->chain, &made.block, &fault));
        rr_block_clear(&made.block);
    }
}

/* ---- the rig -------------------------------------------------------------------------- */
static inline void world_open_till(struct world *world)
{
    char path[96];
    snprintf(path, sizeof(path), "%s/till", world->folder);
    struct rr_till_options options = {
        .folder = path,
        .chain = world->chain,
        .genesis = &world->genesis,
        .key = world->rig,
        .clock = &world->clock,
        .risk_limit = coins(1000 * (uint64_t)WORLD_PRICE),
        .settle_amount = coins(500 * (uint64_t)WORLD_PRICE),
        .settle_age_ms = 60000,
        .margin_blocks = 3,
        .commit_ms = 2,
    };
    world_ok(rr_till_open(&world->till, &options, &fault));
    rr_till_set_work(world->till, world_work, world);
}

static inline void world_open_parts(struct world *world)
{
    char path[96];
    snprintf(path, sizeof(path), "%s/chain", world->folder);
    struct rr_chain_options chain = {.folder = path,
                                     .genesis = &world->genesis,
                                     .clock = &world->clock,
                                     .work = world_work,
                                     .work_ctx = world};
    world_ok(rr_chain_open(&world->chain, &chain, &fault));
    snprintf(path, sizeof(path), "%s/store", world->folder);
    struct rr_store_options store = {.folder = path};
    world_ok(rr_store_open(&world->store, &store, &fault));
    world_open_till(world);
}

static inline void world_start(struct world *world)
{
    world->options.store = world->store;
    world->options.chain = world->chain;
    world->options.till = world->till;
    world_ok(rr_serve_start(&world->serve, &world->options, &fault));
}

/* segment_bytes: about the length of all segments, but first_bytes of the first one. */
static inline struct world *world_new(unsigned threads, uint32_t first_bytes,
                                      uint32_t segment_bytes)
{
    struct world *world = rr_alloc(sizeof(*world));
    uint8_t bytes[32] = {7};
    rr_crypto_init();
    rr_log_set_level(RR_LOG_ERROR);
    const char *base = getenv("TMPDIR");
    int wrote = snprintf(world->folder, sizeof(world->folder), "%s/rr-serve-XXXXXX",
                         base != NULL && strlen(base) < 40 ? base : "/tmp");
    assert_true(wrote > 0 && (size_t)wrote < sizeof(world->folder));
    assert_non_null(mkdtemp(world->folder));
    world_make_genesis(world);
    world->clock = (struct rr_clock){world_wall, world_monotonic, world};
    world->rig = rr_seckey_from_bytes(bytes);
    bytes[0] = 11;
    world->viewer = rr_seckey_from_bytes(bytes);
    rr_seckey_public(world->rig, &world->rig_public);
    rr_seckey_public(world->viewer, &world->viewer_public);
    world_open_parts(world);
    world_mine(world, world->viewer, 2);
    struct publisher by = {world->store, world->rig, rr_genesis_chain_id(&world->genesis),
                           world->genesis.time_ms};
    world_publish(&by, &world->open, 0, first_bytes, segment_bytes, 1);
    world_publish(&by, &world->paid, WORLD_PRICE, segment_bytes, segment_bytes, 2);
    world->options = (struct rr_serve_options){
        .address = "127.0.0.1",
        .threads = threads,
        .cache_bytes = 64u << 20,
        .connections_max = 5000,
        .genesis = &world->genesis,
        .key = world->rig_public,
        .margin_blocks = 3,
        .clock = &world->clock,
    };
    world_start(world);
    return world;
}

static inline void world_free(struct world *world)
{
    struct rr_fault fault = {0};
    rr_serve_stop(world->serve, 1000);
    rr_till_close(world->till);
    rr_store_close(world->store);
    rr_chain_close(world->chain);
    rr_seckey_free(world->rig);
    rr_seckey_free(world->viewer);
    resource_clear(&world->open);
    resource_clear(&world->paid);
    assert_int_equal(rr_remove_tree(world->folder, &fault), RR_OK);
    rr_free(world);
}

static inline struct rr_serve_stats world_stats(struct world *world)
{
    struct rr_serve_stats stats;
    rr_serve_stats(world->serve, &stats);
    return stats;
}

/* What is sent is counted a moment after the client may have it: until `member` is `count`. */
#define world_counted(world, member, count)                                                        \
    do {                                                                                           \
        for (int try_ = 0; try_ < 400 && world_stats(world).member < (count); try_++) {            \
            usleep(5000);                                                                          \
        }                                                                                          \
        assert_int_equal(world_stats(world).member, count);                                        \
    } while (0)
#endif

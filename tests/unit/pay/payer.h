/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Viewers of the small world: purses, requests, and charges whose answer is waited for. */
#ifndef RR_TEST_PAY_PAYER_H
#define RR_TEST_PAY_PAYER_H
#include "world.h"

/* A pool in the next block. */
static inline struct rr_hash32 world_make_pool(struct world *world, int viewer, uint64_t deposit,
                                               uint32_t blocks)
{
    struct rr_tx tx = {.type = RR_TX_CREATE_POOL};
    tx.body.create_pool.resource_id = world->manifest.resource_id;
    tx.body.create_pool.deposit = coins(deposit);
    tx.body.create_pool.collateral = coins(deposit + 1);
    tx.body.create_pool.duration_blocks = blocks;
    world_ok(world_submit(world, &tx, world->viewers[viewer], &fault));
    struct rr_hash32 id;
    rr_tx_id(&id, &tx);
    world_mine(world, 1);
    return id;
}

static inline struct rr_purse *world_purse(struct world *world, int viewer,
                                           const struct rr_hash32 *pool, uint32_t units)
{
    uint8_t seed[32] = {(uint8_t)viewer, 3};
    struct rr_purse *purse = rr_purse_new(
        world->viewers[viewer], rr_genesis_chain_id(&world->genesis), pool, &world->rig_public,
        world->manifest.slice_price, units, world_height(world) + 5000, seed);
    assert_non_null(purse);
    return purse;
}

static inline struct rr_session_request world_request(struct world *world, int viewer,
                                                      const struct rr_voucher *voucher)
{
    return (struct rr_session_request){.resource_id = world->manifest.resource_id,
                                       .viewer = world->viewer_public[viewer],
                                       .voucher = *voucher};
}

/* ---- charging, and waiting for the answer ------------------------------------------------------
 */
struct answer {
    pthread_mutex_t lock;
    pthread_cond_t wake;
    int calls;
    enum rr_err err;
};

static inline void answer_done(void *ctx, enum rr_err result)
{
    struct answer *answer = ctx;
    pthread_mutex_lock(&answer->lock);
    answer->calls++;
    answer->err = result;
    pthread_cond_signal(&answer->wake);
    pthread_mutex_unlock(&answer->lock);
}

static inline enum rr_err world_charge_header(struct world *world,
                                              const struct rr_payment_header *header,
                                              const uint64_t *keys, uint32_t count)
{
    struct answer answer = {.calls = 0};
    pthread_mutex_init(&answer.lock, NULL);
    pthread_cond_init(&answer.wake, NULL);
    rr_till_charge(world->till, header, &world->manifest.resource_id, keys, count, answer_done,
                   &answer);
    pthread_mutex_lock(&answer.lock);
    while (answer.calls == 0) {
        pthread_cond_wait(&answer.wake, &answer.lock);
    }
    pthread_mutex_unlock(&answer.lock);
    assert_int_equal(answer.calls, 1);
    pthread_mutex_destroy(&answer.lock);
    pthread_cond_destroy(&answer.wake);
    return answer.err;
}

/* Pays `units` more (0: none, no preimage) and asks for one slice. */
static inline enum rr_err world_charge(struct world *world, const struct rr_session_answer *session,
                                       struct rr_purse *purse, uint32_t units, uint64_t key)
{
    struct rr_payment_header header = {.has_preimage = units > 0};
    memcpy(header.session_id, session->session_id, sizeof(header.session_id));
    if (units > 0) {
        world_ok(rr_purse_pay(purse, units, &header.depth, &header.preimage, &fault));
    }
    return world_charge_header(world, &header, &key, 1);
}
#endif

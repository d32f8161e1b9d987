/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The chain's functions from several threads at once: one mines and sometimes takes back, two
 * submit, two read. */
#include "ledger_world.h"

#include <pthread.h>
#include <stdatomic.h>

#define BLOCKS     60
#define BLOCKS_MAX 20000 /* a busy machine may hold the others back for a while */
#define TURNS      20

struct team {
    struct world world; /* the clock stands still: nobody writes to it */
    atomic_bool done;
    atomic_uint accepted, reads, failed;
};

static bool everyone_had_a_turn(struct team *team)
{
    return atomic_load(&team->accepted) > TURNS && atomic_load(&team->reads) > TURNS;
}

static void *miner(void *ctx)
{
    struct team *team = ctx;
    for (int i = 0; i < BLOCKS || (i < BLOCKS_MAX && !everyone_had_a_turn(team)); i++) {
        struct rr_block_template template;
        struct rr_fault fault = {0};
        if (rr_chain_template(team->world.chain, &template, &team->world.pub[0], NULL, 0, &fault) !=
                RR_OK ||
            rr_chain_append(team->world.chain, &template.block, &fault) != RR_OK) {
            print_error("%s\n", fault.text);
            atomic_fetch_add(&team->failed, 1);
            break;
        }
        rr_block_clear(&template.block);
        if (i % 7 == 6 && rr_chain_undo_tip(team->world.chain, &fault) != RR_OK) {
            atomic_fetch_add(&team->failed, 1);
        }
    }
    atomic_store(&team->done, true);
    return NULL;
}

static void submit_as(struct team *team, int key)
{
    struct world *world = &team->world;
    while (!atomic_load(&team->done)) {
        struct rr_tx tx;
        struct rr_fault fault = {0};
        memset(&tx, 0, sizeof tx);
        tx.type = RR_TX_TRANSFER;
        tx.chain_id = rr_genesis_chain_id(&world->genesis);
        tx.body.transfer.to = world->address[5];
        if (!rr_coin_of_units(&tx.body.transfer.amount, 1) ||
            rr_chain_next_sequence(world->chain, &world->pub[key], &tx.sequence, &fault) != RR_OK) {
            atomic_fetch_add(&team->failed, 1);
        }
        tx.fee = rr_chain_min_fee(world->chain, &tx);
        rr_tx_sign(&tx, world->keys[key]);
        enum rr_err err = rr_chain_submit(world->chain, &tx, &fault);
        /* An undo between the two calls moves the sequence; the cap of waiting ones may be met. */
        if (err == RR_OK) {
            atomic_fetch_add(&team->accepted, 1);
        } else if (err != RR_ERR_STATE && err != RR_ERR_LIMIT) {
            print_error("%s\n", fault.text);
            atomic_fetch_add(&team->failed, 1);
        }
    }
}

static void *first_submitter(void *ctx)
{
    submit_as(ctx, 1);
    return NULL;
}

static void *second_submitter(void *ctx)
{
    submit_as(ctx, 2);
    return NULL;
}

static void *reader(void *ctx)
{
    struct team *team = ctx;
    while (!atomic_load(&team->done)) {
        struct rr_chain_tip tip;
        struct rr_chain_audit audit;
        struct rr_block block;
        struct rr_fault fault = {0};
        rr_chain_tip(team->world.chain, &tip);
        enum rr_err err = rr_chain_block(team->world.chain, tip.height, &block, &fault);
        if (err == RR_OK) {
            rr_block_clear(&block);
        }
        if ((err != RR_OK && err != RR_ERR_NOTFOUND) || /* taken back meanwhile */
            rr_chain_audit(team->world.chain, &audit, &fault) != RR_OK) {
            print_error("%s\n", fault.text);
            atomic_fetch_add(&team->failed, 1);
        }
        atomic_fetch_add(&team->reads, 1);
    }
    return NULL;
}

static void threads_see_a_whole_chain_at_every_moment(void **state)
{
    (void)state;
    static struct team team;
    void *(*const roles[])(void *) = {miner, first_submitter, second_submitter, reader, reader};
    pthread_t threads[RR_COUNT(roles)];
    world_rich(&team.world);
    for (size_t i = 0; i < RR_COUNT(roles); i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, roles[i], &team), 0);
    }
    for (size_t i = 0; i < RR_COUNT(roles); i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    assert_int_equal(atomic_load(&team.failed), 0);
    assert_true(everyone_had_a_turn(&team));
    world_audit(&team.world);
    world_reopen(&team.world);
    world_clear(&team.world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(threads_see_a_whole_chain_at_every_moment),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

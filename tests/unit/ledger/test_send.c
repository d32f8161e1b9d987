/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Several senders of one key: it was so that each asked for the next sequence on its own, two got
 * the same, and the loser tried again without end. */
#include "ledger_txs.h"

#include <pthread.h>
#include <stdatomic.h>

#define SENDERS 4
#define EACH    20

struct sender {
    struct world *world;
    atomic_uint *failed;
    uint64_t sequences[EACH];
};

static enum rr_err keep_sequence(void *ctx, const struct rr_tx *tx, struct rr_fault *fault)
{
    uint64_t *out = ctx;
    (void)fault;
    *out = tx->sequence;
    return RR_OK;
}

static enum rr_err keep_nothing(void *ctx, const struct rr_tx *tx, struct rr_fault *fault)
{
    (void)ctx, (void)tx;
    return rr_fail(fault, RR_ERR_FULL, "the disk is full");
}

static struct rr_tx small_transfer(struct world *world)
{
    struct rr_tx tx;
    memset(&tx, 0, sizeof tx);
    tx.type = RR_TX_TRANSFER;
    tx.body.transfer.to = world->address[5];
    tx.body.transfer.amount = units(COIN / 100);
    return tx;
}

static void *send_many(void *ctx)
{
    struct sender *sender = ctx;
    for (int i = 0; i < EACH; i++) {
        struct rr_tx tx = small_transfer(sender->world);
        struct rr_fault fault = {0};
        if (rr_chain_send(sender->world->chain, &tx, sender->world->keys[1], keep_sequence,
                          &sender->sequences[i], &fault) != RR_OK) {
            print_error("%s\n", fault.text);
            atomic_fetch_add(sender->failed, 1);
        }
    }
    return NULL;
}

static void senders_of_one_key_never_take_the_same_sequence(void **state)
{
    (void)state;
    struct world w;
    atomic_uint failed = 0;
    pthread_t threads[SENDERS];
    static struct sender senders[SENDERS];
    bool seen[SENDERS * EACH + 1] = {false};
    world_rich(&w);
    uint64_t before;
    assert_int_equal(rr_chain_next_sequence(w.chain, &w.pub[1], &before, NULL), RR_OK);
    for (int i = 0; i < SENDERS; i++) {
        senders[i] = (struct sender){.world = &w, .failed = &failed};
        assert_int_equal(pthread_create(&threads[i], NULL, send_many, &senders[i]), 0);
    }
    for (int i = 0; i < SENDERS; i++) {
        pthread_join(threads[i], NULL);
    }
    assert_int_equal(atomic_load(&failed), 0);
    for (int i = 0; i < SENDERS * EACH; i++) {
        uint64_t place = senders[i / EACH].sequences[i % EACH] - before;
        assert_true(place < SENDERS * EACH && !seen[place]);
        seen[place] = true;
    }
    world_mine(&w, 6);
    assert_int_equal(world_balance(&w, 5), SENDERS * EACH * (COIN / 100));
    world_clear(&w);
}

static void what_could_not_be_kept_is_not_sent(void **state)
{
    (void)state;
    struct world w;
    uint64_t sequence = 0, next;
    struct rr_chain_tip tip;
    world_rich(&w);
    struct rr_tx tx = small_transfer(&w);
    assert_int_equal(rr_chain_send(w.chain, &tx, w.keys[1], keep_nothing, NULL, &w.fault),
                     RR_ERR_FULL);
    rr_chain_tip(w.chain, &tip);
    assert_int_equal(tip.mempool, 0);
    assert_int_equal(rr_chain_next_sequence(w.chain, &w.pub[1], &next, NULL), RR_OK);
    assert_int_equal(rr_chain_send(w.chain, &tx, w.keys[1], keep_sequence, &sequence, &w.fault),
                     RR_OK);
    assert_int_equal(sequence, next);
    world_clear(&w);
}

static void count(void *ctx)
{
    unsigned *calls = ctx;
    (*calls)++;
}

static void who_asks_is_woken_by_each_transaction_that_comes_to_wait(void **state)
{
    (void)state;
    struct world w;
    unsigned calls = 0;
    world_rich(&w);
    rr_chain_on_waiting(w.chain, count, &calls);
    struct rr_tx tx = small_transfer(&w);
    assert_int_equal(rr_chain_send(w.chain, &tx, w.keys[1], NULL, NULL, &w.fault), RR_OK);
    assert_int_equal(calls, 1);
    tx.body.transfer.amount = units(UINT64_C(1000000) * COIN); /* more than there is */
    assert_int_equal(rr_chain_send(w.chain, &tx, w.keys[1], NULL, NULL, &w.fault), RR_ERR_FUNDS);
    assert_int_equal(calls, 1);
    world_mine(&w, 6);
    assert_int_equal(calls, 1);
    world_clear(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(senders_of_one_key_never_take_the_same_sequence),
        cmocka_unit_test(what_could_not_be_kept_is_not_sent),
        cmocka_unit_test(who_asks_is_woken_by_each_transaction_that_comes_to_wait),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

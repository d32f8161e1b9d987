/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A child appends blocks and takes transactions in, and tells what it was promised; it is killed at
 * a random moment. Nothing acknowledged may be missing, and the state is that of a node that was
 * never killed. RR_KILLS: how often. */
#include "ledger_world.h"

#include <signal.h>
#include <sys/wait.h>

struct promise {
    uint64_t height;   /* acknowledged block */
    uint64_t sequence; /* acknowledged transaction of key 1 */
};

static _Noreturn void live(struct world *world, int out)
{
    struct rr_fault fault = {0};
    if (rr_chain_open(&world->chain, &world->options, &fault) != RR_OK) {
        fprintf(stderr, "child: %s\n", fault.text);
        _exit(3);
    }
    for (;;) {
        struct promise promise = {0};
        struct rr_block_template template;
        struct rr_tx tx;
        struct rr_chain_tip tip;
        rr_chain_tip(world->chain, &tip);
        world->now_ms = tip.time_ms + 2000;
        memset(&tx, 0, sizeof tx);
        tx.type = RR_TX_TRANSFER;
        tx.chain_id = rr_genesis_chain_id(&world->genesis);
        tx.sender = world->pub[1];
        tx.body.transfer.to = world->address[2];
        if (!rr_coin_of_units(&tx.body.transfer.amount, 1)) {
            _exit(3);
        }
        if (rr_chain_next_sequence(world->chain, &world->pub[1], &tx.sequence, &fault) != RR_OK) {
            _exit(3);
        }
        tx.fee = rr_chain_min_fee(world->chain, &tx);
        rr_tx_sign(&tx, world->keys[1]);
        if (tip.height > 1 && rr_chain_submit(world->chain, &tx, &fault) == RR_OK) {
            promise.sequence = tx.sequence;
        } else if (tip.height > 1) {
            fprintf(stderr, "child: %s\n", fault.text);
            _exit(3);
        }
        if (tip.height % 3 != 2 || tip.mempool > 3) {
            if (rr_chain_template(world->chain, &template, &world->pub[1], NULL, 0, &fault) !=
                    RR_OK ||
                rr_chain_append(world->chain, &template.block, &fault) != RR_OK) {
                fprintf(stderr, "child: %s\n", fault.text);
                _exit(3);
            }
            promise.height = template.block.header.height;
            rr_block_clear(&template.block);
        }
        if (write(out, &promise, sizeof promise) != sizeof promise) {
            _exit(0);
        }
    }
}

/* Runs a child for `wait_us`, kills it, and takes note of the last promises. */
static void kill_one(struct world *world, struct promise *last, useconds_t wait_us)
{
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        close(ends[0]);
        live(world, ends[1]);
    }
    close(ends[1]);
    usleep(wait_us);
    kill(child, SIGKILL);
    struct promise promise;
    while (read(ends[0], &promise, sizeof promise) == sizeof promise) {
        last->height = promise.height > last->height ? promise.height : last->height;
        last->sequence = promise.sequence > last->sequence ? promise.sequence : last->sequence;
    }
    close(ends[0]);
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL); /* it did not stop by itself */
}

static void nothing_acknowledged_is_lost_by_kills_at_random_moments(void **state)
{
    (void)state;
    struct world w;
    struct rr_prng prng;
    struct promise last = {0};
    const char *text = getenv("RR_KILLS");
    unsigned long kills = text != NULL ? strtoul(text, NULL, 10) : 100;
    world_init(&w);
    rr_prng_seed(&prng, 9);
    for (unsigned long i = 0; i < kills; i++) {
        uint64_t before = last.height;
        kill_one(&w, &last, 2000 + (useconds_t)rr_prng_below(&prng, 40000));
        w.now_ms = w.genesis.time_ms + UINT64_C(1000000000);
        world_open(&w); /* checks tip, index and state hash against each other */
        uint64_t next;
        assert_true(world_height(&w) >= last.height && last.height >= before);
        assert_int_equal(rr_chain_next_sequence(w.chain, &w.pub[1], &next, NULL), RR_OK);
        assert_true(next > last.sequence);
        rr_chain_close(w.chain);
        w.chain = NULL;
    }
    assert_true(last.height > kills / 2); /* the children did live */
    world_open(&w);
    char folder[160];
    struct rr_chain_options into = w.options;
    snprintf(folder, sizeof folder, "%s/replay", w.folder);
    into.folder = folder;
    assert_int_equal(rr_chain_replay(w.chain, &into, &w.fault), RR_OK);
    print_message("%lu kills, height %llu, sequence %llu\n", kills, (unsigned long long)last.height,
                  (unsigned long long)last.sequence);
    world_clear(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_acknowledged_is_lost_by_kills_at_random_moments),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

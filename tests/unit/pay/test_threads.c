/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Many threads on one till: sums are exact whatever the order. To be run under ThreadSanitizer too.
 */
#include "payer.h"

#define THREADS 4
#define ROUNDS  300
#define DEPOSIT (10000 * (uint64_t)WORLD_PRICE)

struct worker {
    struct world *world;
    struct rr_session_answer *sessions; /* of 4 viewers */
    struct rr_payment_header (*headers)[ROUNDS];
    int number;
    _Atomic uint64_t *ok;
    _Atomic int *open;
};

struct note {
    _Atomic uint64_t *ok;
    _Atomic int *open;
    enum rr_err want;
};

static void noted(void *ctx, enum rr_err result)
{
    struct note *note = ctx;
    if (result == RR_OK) {
        atomic_fetch_add(note->ok, 1);
    }
    atomic_fetch_sub(note->open, 1);
    rr_free(note);
}

/* Every thread sends every payment of every viewer, in an order of its own: each depth arrives four
 * times, often late. */
static void *charge_all(void *ctx)
{
    struct worker *worker = ctx;
    struct rr_prng prng;
    rr_prng_seed(&prng, (uint64_t)worker->number);
    for (int i = 0; i < ROUNDS; i++) {
        for (int viewer = 0; viewer < 4; viewer++) {
            int at = i;
            if (i > 3 && rr_prng_below(&prng, 4) == 0) {
                at -= (int)rr_prng_below(&prng, 3);
            }
            struct note *note = rr_alloc(sizeof(*note));
            note->ok = worker->ok;
            note->open = worker->open;
            uint64_t key = (uint64_t)at;
            atomic_fetch_add(worker->open, 1);
            rr_till_charge(worker->world->till, &worker->headers[viewer][at],
                           &worker->world->manifest.resource_id, &key, 1, noted, note);
        }
    }
    return NULL;
}

static void *settle_often(void *ctx)
{
    struct world *world = ctx;
    for (int i = 0; i < 5; i++) {
        uint32_t submitted = 0;
        struct rr_till_stats stats;
        struct rr_fault fault = {0};
        if (rr_till_settle(world->till, true, &submitted, &fault) != RR_OK) {
            return &world->till;
        }
        world_mine(world, 1);
        rr_till_stats(world->till, &stats);
        if (stats.settled_units > stats.paid_units + 1000000) {
            return &world->till;
        }
    }
    return NULL;
}

static void sums_are_exact_under_many_threads(void **state)
{
    (void)state;
    struct world *world = world_new();
    world->options.risk_limit = coins(DEPOSIT);
    rr_till_close(world->till);
    world_open_till(world);
    struct rr_session_answer sessions[4];
    static struct rr_payment_header headers[4][ROUNDS];
    for (int i = 0; i < 4; i++) {
        struct rr_hash32 pool = world_make_pool(world, i, DEPOSIT, 5000);
        struct rr_purse *purse = world_purse(world, i, &pool, ROUNDS);
        struct rr_session_request request = world_request(world, i, rr_purse_voucher(purse));
        world_ok(
            rr_till_open_session(world->till, &sessions[i], &request, &world->manifest, &fault));
        for (int at = 0; at < ROUNDS; at++) {
            headers[i][at].has_preimage = true;
            memcpy(headers[i][at].session_id, sessions[i].session_id, RR_SESSION_ID_BYTES);
            world_ok(
                rr_purse_pay(purse, 1, &headers[i][at].depth, &headers[i][at].preimage, &fault));
        }
        rr_purse_free(purse);
    }
    _Atomic uint64_t ok = 0;
    _Atomic int open = 0;
    pthread_t threads[THREADS + 1];
    struct worker workers[THREADS];
    for (int i = 0; i < THREADS; i++) {
        workers[i] = (struct worker){world, sessions, headers, i, &ok, &open};
        assert_int_equal(pthread_create(&threads[i], NULL, charge_all, &workers[i]), 0);
    }
    assert_int_equal(pthread_create(&threads[THREADS], NULL, settle_often, world), 0);
    for (int i = 0; i <= THREADS; i++) {
        void *failed = NULL;
        assert_int_equal(pthread_join(threads[i], &failed), 0);
        assert_null(failed);
    }
    while (atomic_load(&open) > 0) {
        usleep(1000);
    }
    assert_true(atomic_load(&ok) >= 4 * ROUNDS);
    for (int i = 0; i < 4; i++) {
        for (uint64_t key = 0; key < ROUNDS; key++) {
            struct rr_payment_header header = headers[i][key];
            assert_int_equal(world_charge_header(world, &header, &key, 1), RR_OK);
        }
        uint64_t key = ROUNDS;
        struct rr_payment_header header = headers[i][ROUNDS - 1];
        assert_int_equal(world_charge_header(world, &header, &key, 1), RR_ERR_FUNDS);
    }
    struct rr_till_stats stats;
    uint32_t submitted;
    world_ok(rr_till_settle(world->till, true, &submitted, &fault));
    world_mine(world, 1);
    world_ok(rr_till_settle(world->till, true, &submitted, &fault));
    rr_till_stats(world->till, &stats);
    assert_int_equal(stats.paid_units, 4 * ROUNDS);
    assert_int_equal(stats.settled_units, 4 * ROUNDS);
    world_free(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sums_are_exact_under_many_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

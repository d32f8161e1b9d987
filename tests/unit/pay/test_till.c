/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Taking money: sessions, vouchers, paywords, slices; every refusal; a restart after every step. */
#include "payer.h"
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>

static int set_up(void **state)
{
    struct world *world = world_new();
    *state = world;
    return 0;
}

static int tear_down(void **state)
{
    world_free(*state);
    return 0;
}

static uint64_t units_of(struct world *world)
{
    struct rr_till_stats stats;
    rr_till_stats(world->till, &stats);
    return stats.paid_units;
}

static void resign(struct world *world, int viewer, struct rr_voucher *voucher)
{
    struct rr_hash32 digest;
    rr_voucher_digest(&digest, voucher);
    rr_sign(&voucher->signature, world->viewers[viewer], &digest);
}

#define DEPOSIT (1000 * (uint64_t)WORLD_PRICE)

static void slices_paid_one_by_one_survive_a_restart_after_each(void **state)
{
    struct world *world = *state;
    struct rr_hash32 pool = world_make_pool(world, 0, DEPOSIT, 100);
    struct rr_purse *purse = world_purse(world, 0, &pool, 100);
    struct rr_session_request request = world_request(world, 0, rr_purse_voucher(purse));
    struct rr_session_answer session;
    struct rr_session_answer again;
    world_ok(rr_till_open_session(world->till, &session, &request, &world->manifest, &fault));
    assert_int_equal(session.accepted_depth, 0);
    assert_int_equal(session.slice_bytes, 65536);
    assert_int_equal(rr_coin_units(session.unit_price), WORLD_PRICE);
    for (uint32_t i = 1; i <= 5; i++) {
        assert_int_equal(world_charge(world, &session, purse, 1, i * 1000), RR_OK);
        world_restart(world);
        assert_int_equal(units_of(world), i);
        world_ok(rr_till_open_session(world->till, &again, &request, &world->manifest, &fault));
        assert_memory_equal(again.session_id, session.session_id, sizeof(session.session_id));
        assert_int_equal(again.accepted_depth, i);
        /* Paid before the restart: free now. Not paid: refused. */
        assert_int_equal(world_charge(world, &session, purse, 0, i * 1000), RR_OK);
        assert_int_equal(world_charge(world, &session, purse, 0, i * 1000 + 1), RR_ERR_FUNDS);
    }
    struct rr_till_stats stats;
    rr_till_stats(world->till, &stats);
    assert_int_equal(stats.sessions, 1);
    assert_int_equal(rr_coin_units(stats.paid), 5 * (uint64_t)WORLD_PRICE);
    assert_int_equal(stats.settled_units, 0);
    rr_purse_free(purse);
}

static void a_slice_is_charged_once_and_overpaid_units_stay_credited(void **state)
{
    struct world *world = *state;
    struct rr_hash32 pool = world_make_pool(world, 0, DEPOSIT, 100);
    struct rr_purse *purse = world_purse(world, 0, &pool, 100);
    struct rr_session_request request = world_request(world, 0, rr_purse_voucher(purse));
    struct rr_session_answer session;
    world_ok(rr_till_open_session(world->till, &session, &request, &world->manifest, &fault));
    assert_int_equal(world_charge(world, &session, purse, 3, 1), RR_OK); /* 2 left */
    assert_int_equal(world_charge(world, &session, purse, 0, 1), RR_OK); /* paid already */
    assert_int_equal(world_charge(world, &session, purse, 0, 2), RR_OK);
    world_restart(world);
    assert_int_equal(world_charge(world, &session, purse, 0, 3), RR_OK);
    assert_int_equal(world_charge(world, &session, purse, 0, 4), RR_ERR_FUNDS);
    /* Several slices in one request, some of them paid, one named twice. */
    uint64_t keys[5] = {2, 3, 10, 11, 10};
    struct rr_payment_header header = {.has_preimage = true};
    memcpy(header.session_id, session.session_id, sizeof(header.session_id));
    world_ok(rr_purse_pay(purse, 1, &header.depth, &header.preimage, &fault));
    assert_int_equal(world_charge_header(world, &header, keys, 5), RR_ERR_FUNDS);
    world_ok(rr_purse_pay(purse, 1, &header.depth, &header.preimage, &fault));
    assert_int_equal(world_charge_header(world, &header, keys, 5), RR_OK);
    assert_int_equal(units_of(world), 5);
    /* Nothing is left, and nothing was charged twice. */
    assert_int_equal(world_charge(world, &session, purse, 0, 12), RR_ERR_FUNDS);
    rr_purse_free(purse);
}

static void preimages_must_lead_to_the_root(void **state)
{
    struct world *world = *state;
    struct rr_hash32 pool = world_make_pool(world, 0, 10 * DEPOSIT, 100);
    struct rr_purse *purse = world_purse(world, 0, &pool, 8000);
    struct rr_session_request request = world_request(world, 0, rr_purse_voucher(purse));
    struct rr_session_answer session;
    world->options.risk_limit = coins(100000 * (uint64_t)WORLD_PRICE);
    rr_till_close(world->till);
    world_open_till(world);
    world_ok(rr_till_open_session(world->till, &session, &request, &world->manifest, &fault));
    struct rr_payment_header header = {.has_preimage = true};
    uint64_t key = 1;
    memcpy(header.session_id, session.session_id, sizeof(header.session_id));
    world_ok(rr_purse_pay(purse, 2, &header.depth, &header.preimage, &fault));
    struct rr_payment_header wrong = header;
    wrong.preimage.bytes[31] ^= 1;
    assert_int_equal(world_charge_header(world, &wrong, &key, 1), RR_ERR_TRUST);
    wrong = header;
    wrong.depth = 3;
    assert_int_equal(world_charge_header(world, &wrong, &key, 1), RR_ERR_TRUST);
    wrong.depth = 8001; /* beyond max_units */
    assert_int_equal(world_charge_header(world, &wrong, &key, 1), RR_ERR_FUNDS);
    assert_int_equal(units_of(world), 0);
    assert_int_equal(world_charge_header(world, &header, &key, 1), RR_OK);
    /* The same depth again books nothing; with another preimage it is refused; an earlier depth is
     * old news. */
    assert_int_equal(world_charge_header(world, &header, &key, 1), RR_OK);
    assert_int_equal(units_of(world), 2);
    wrong = header;
    wrong.preimage.bytes[0] ^= 0x80;
    assert_int_equal(world_charge_header(world, &wrong, &key, 1), RR_ERR_TRUST);
    wrong.depth = 1;
    assert_int_equal(world_charge_header(world, &wrong, &key, 1), RR_OK);
    assert_int_equal(units_of(world), 2);
    /* More steps than one request may ask to hash; exactly so many are fine. */
    world_ok(rr_purse_pay(purse, 4096, &header.depth, &header.preimage, &fault));
    struct rr_payment_header far = header;
    world_ok(rr_purse_pay(purse, 1, &far.depth, &far.preimage, &fault));
    assert_int_equal(world_charge_header(world, &far, &key, 1), RR_ERR_LIMIT);
    assert_int_equal(world_charge_header(world, &header, &key, 1), RR_OK);
    assert_int_equal(units_of(world), 4098);
    rr_purse_free(purse);
}

static void sessions_are_for_one_resource(void **state)
{
    struct world *world = *state;
    struct rr_hash32 pool = world_make_pool(world, 0, DEPOSIT, 100);
    struct rr_purse *purse = world_purse(world, 0, &pool, 10);
    struct rr_session_request request = world_request(world, 0, rr_purse_voucher(purse));
    struct rr_session_answer session;
    world_ok(rr_till_open_session(world->till, &session, &request, &world->manifest, &fault));
    struct rr_payment_header header = {.has_preimage = true};
    struct answer answer = {.calls = 0};
    struct rr_hash32 other = {{9}};
    uint64_t key = 1;
    pthread_mutex_init(&answer.lock, NULL);
    pthread_cond_init(&answer.wake, NULL);
    memcpy(header.session_id, session.session_id, sizeof(header.session_id));
    world_ok(rr_purse_pay(purse, 1, &header.depth, &header.preimage, &fault));
    rr_till_charge(world->till, &header, &other, &key, 1, answer_done, &answer);
    assert_int_equal(answer.calls, 1);
    assert_int_equal(answer.err, RR_ERR_NOTFOUND);
    header.session_id[0] ^= 1;
    assert_int_equal(world_charge_header(world, &header, &key, 1), RR_ERR_NOTFOUND);
    assert_int_equal(units_of(world), 0);
    rr_purse_free(purse);
}

static void requests_that_do_not_fit_their_pool_are_refused(void **state)
{
    struct world *world = *state;
    struct rr_hash32 pool = world_make_pool(world, 0, DEPOSIT, 100);
    struct rr_purse *purse = world_purse(world, 0, &pool, 100);
    struct rr_session_answer session;
    struct rr_session_request good = world_request(world, 0, rr_purse_voucher(purse));
    struct rr_session_request bad = good;

#define refused(code)                                                                              \
    world_refused(rr_till_open_session(world->till, &session, &bad, &world->manifest, &fault), code)
    bad.resource_id.bytes[0] ^= 1; /* another resource than the manifest's */
    refused(RR_ERR_TRUST);
    bad = good;
    bad.voucher.chain_id ^= 1;
    resign(world, 0, &bad.voucher);
    refused(RR_ERR_TRUST);
    bad = good;
    rr_address_of(&bad.voucher.target, &world->viewer_public[1]); /* foreign target */
    resign(world, 0, &bad.voucher);
    refused(RR_ERR_TRUST);
    bad = good;
    bad.voucher.signature.bytes[5] ^= 1;
    refused(RR_ERR_TRUST);
    bad = good;
    bad.viewer = world->viewer_public[1]; /* another viewer's pool */
    resign(world, 1, &bad.voucher);
    refused(RR_ERR_TRUST);
    bad = good;
    bad.voucher.pool_id.bytes[3] ^= 1; /* no such pool */
    resign(world, 0, &bad.voucher);
    refused(RR_ERR_NOTFOUND);
    bad = good;
    bad.voucher.max_units = 1001; /* worth more than the deposit */
    resign(world, 0, &bad.voucher);
    refused(RR_ERR_FUNDS);
    bad = good;
    bad.voucher.unit_price = coins(WORLD_PRICE - 1); /* below the price */
    resign(world, 0, &bad.voucher);
    refused(RR_ERR_FUNDS);
    bad = good;
    bad.voucher.expiry_height = world_height(world) + 3; /* no time to settle */
    resign(world, 0, &bad.voucher);
    refused(RR_ERR_STATE);
    bad = good;
    bad.voucher.cum_amount = coins(1001 * (uint64_t)WORLD_PRICE);
    bad.voucher.max_units = 0;
    bad.voucher.payword_root = (struct rr_hash32){{0}};
    bad.voucher.unit_price = coins(0);
    resign(world, 0, &bad.voucher);
    refused(RR_ERR_FUNDS);
    bad = good;
    bad.voucher.max_units = UINT32_MAX; /* never fits into a block */
    resign(world, 0, &bad.voucher);
    refused(RR_ERR_LIMIT);
#undef refused
    struct rr_manifest free_one = world->manifest;
    free_one.slice_price = coins(0);
    world_refused(rr_till_open_session(world->till, &session, &good, &free_one, &fault),
                  RR_ERR_STATE);
    struct rr_manifest other = world->manifest; /* a pool for another resource */
    struct rr_session_request foreign = good;
    other.resource_id.bytes[9] ^= 1;
    foreign.resource_id = other.resource_id;
    world_refused(rr_till_open_session(world->till, &session, &foreign, &other, &fault),
                  RR_ERR_TRUST);
    struct rr_till_stats stats;
    rr_till_stats(world->till, &stats);
    assert_int_equal(stats.sessions, 0);
    assert_int_equal(stats.refused, 13);
    world_ok(rr_till_open_session(world->till, &session, &good, &world->manifest, &fault));
    rr_purse_free(purse);
}

static void vouchers_go_only_upwards(void **state)
{
    struct world *world = *state;
    struct rr_hash32 pool = world_make_pool(world, 0, DEPOSIT, 100);
    struct rr_purse *purse = world_purse(world, 0, &pool, 100);
    struct rr_session_answer session;
    struct rr_session_answer again;
    struct rr_session_request first = world_request(world, 0, rr_purse_voucher(purse));
    world_ok(rr_till_open_session(world->till, &session, &first, &world->manifest, &fault));
    assert_int_equal(world_charge(world, &session, purse, 10, 1), RR_OK);

    struct rr_session_request bad = first;
    bad.voucher.expiry_height++; /* same sequence, another voucher */
    resign(world, 0, &bad.voucher);
    world_refused(rr_till_open_session(world->till, &again, &bad, &world->manifest, &fault),
                  RR_ERR_STATE);
    bad = first;
    bad.voucher.seq = 2; /* takes back the 10 units */
    resign(world, 0, &bad.voucher);
    world_refused(rr_till_open_session(world->till, &again, &bad, &world->manifest, &fault),
                  RR_ERR_FUNDS);
    bad.voucher.cum_amount = coins(10 * (uint64_t)WORLD_PRICE);
    bad.voucher.unit_price = coins(2 * (uint64_t)WORLD_PRICE); /* another price in the middle */
    resign(world, 0, &bad.voucher);
    world_refused(rr_till_open_session(world->till, &again, &bad, &world->manifest, &fault),
                  RR_ERR_STATE);

    world_ok(rr_purse_renew(purse, world->viewers[0], 50, world_height(world) + 5000, &fault));
    struct rr_session_request renewed = world_request(world, 0, rr_purse_voucher(purse));
    world_ok(rr_till_open_session(world->till, &again, &renewed, &world->manifest, &fault));
    assert_memory_equal(again.session_id, session.session_id, sizeof(session.session_id));
    assert_int_equal(again.accepted_depth, 0);
    assert_int_equal(units_of(world), 10);
    assert_int_equal(world_charge(world, &session, purse, 1, 2), RR_OK);
    assert_int_equal(units_of(world), 11);
    world_refused(rr_till_open_session(world->till, &again, &first, &world->manifest, &fault),
                  RR_ERR_STATE);
    world_restart(world);
    world_ok(rr_till_open_session(world->till, &again, &renewed, &world->manifest, &fault));
    assert_int_equal(again.accepted_depth, 1);
    assert_int_equal(units_of(world), 11);
    rr_purse_free(purse);
}

static void a_voucher_in_the_header_pays_without_paywords(void **state)
{
    struct world *world = *state;
    struct rr_hash32 pool = world_make_pool(world, 1, DEPOSIT, 100);
    struct rr_purse *purse = world_purse(world, 1, &pool, 1);
    struct rr_session_request request = world_request(world, 1, rr_purse_voucher(purse));
    struct rr_session_answer session;
    world_ok(rr_till_open_session(world->till, &session, &request, &world->manifest, &fault));
    struct rr_payment_header header = {.has_voucher = true, .voucher = request.voucher};
    memcpy(header.session_id, session.session_id, sizeof(header.session_id));
    header.voucher.payword_root = (struct rr_hash32){{0}};
    header.voucher.max_units = 0;
    header.voucher.unit_price = coins(0);
    for (uint64_t i = 1; i <= 4; i++) {
        header.voucher.seq = 1 + i;
        header.voucher.cum_amount = coins(i * WORLD_PRICE);
        resign(world, 1, &header.voucher);
        assert_int_equal(world_charge_header(world, &header, &i, 1), RR_OK);
        assert_int_equal(units_of(world), i);
    }
    uint64_t key = 77;
    assert_int_equal(world_charge_header(world, &header, &key, 1), RR_ERR_FUNDS); /* a replay */
    header.voucher.seq++;
    assert_int_equal(world_charge_header(world, &header, &key, 1), RR_ERR_TRUST); /* not signed */
    assert_int_equal(units_of(world), 4);
    rr_purse_free(purse);
}

static void exposure_stops_at_the_risk_limit_until_it_is_settled(void **state)
{
    struct world *world = *state;
    world->options.risk_limit = coins(5 * (uint64_t)WORLD_PRICE);
    rr_till_close(world->till);
    world_open_till(world);
    struct rr_hash32 pool = world_make_pool(world, 0, DEPOSIT, 100);
    struct rr_purse *purse = world_purse(world, 0, &pool, 100);
    struct rr_session_request request = world_request(world, 0, rr_purse_voucher(purse));
    struct rr_session_answer session;
    world_ok(rr_till_open_session(world->till, &session, &request, &world->manifest, &fault));
    for (uint64_t i = 1; i <= 5; i++) {
        assert_int_equal(world_charge(world, &session, purse, 1, i), RR_OK);
    }
    struct rr_payment_header header = {.has_preimage = true};
    uint64_t key = 6;
    memcpy(header.session_id, session.session_id, sizeof(header.session_id));
    world_ok(rr_purse_pay(purse, 1, &header.depth, &header.preimage, &fault));
    assert_int_equal(world_charge_header(world, &header, &key, 1), RR_ERR_FUNDS);
    assert_int_equal(units_of(world), 5);
    uint32_t submitted = 0;
    world_ok(rr_till_settle(world->till, false, &submitted, &fault));
    assert_int_equal(submitted, 1);
    world_mine(world, 1);
    world_ok(rr_till_settle(world->till, false, &submitted, &fault));
    assert_int_equal(submitted, 0);
    assert_int_equal(world_charge_header(world, &header, &key, 1), RR_OK);
    assert_int_equal(units_of(world), 6);
    rr_purse_free(purse);
}

static void pools_near_their_end_take_no_more(void **state)
{
    struct world *world = *state;
    struct rr_hash32 pool = world_make_pool(world, 0, DEPOSIT, 8);
    struct rr_purse *purse = world_purse(world, 0, &pool, 100);
    struct rr_session_request request = world_request(world, 0, rr_purse_voucher(purse));
    struct rr_session_answer session;
    uint32_t submitted;
    world_ok(rr_till_open_session(world->till, &session, &request, &world->manifest, &fault));
    assert_int_equal(world_charge(world, &session, purse, 1, 1), RR_OK);
    world_mine(world, 5); /* three blocks before the end: the margin */
    world_ok(rr_till_settle(world->till, false, &submitted, &fault));
    assert_int_equal(submitted, 1); /* by margin, though neither old nor much */
    assert_int_equal(world_charge(world, &session, purse, 1, 2), RR_ERR_FUNDS);
    assert_int_equal(world_charge(world, &session, purse, 0, 1), RR_OK);
    rr_purse_free(purse);
    /* A new session on a pool like that. */
    struct rr_hash32 late = world_make_pool(world, 1, DEPOSIT, 2);
    purse = world_purse(world, 1, &late, 100);
    request = world_request(world, 1, rr_purse_voucher(purse));
    world_refused(rr_till_open_session(world->till, &session, &request, &world->manifest, &fault),
                  RR_ERR_STATE);
    rr_purse_free(purse);
}

static void the_owner_plays_for_nothing_until_a_restart(void **state)
{
    struct world *world = *state;
    struct rr_payment_header header = {.depth = 0};
    uint64_t key = 5;
    rr_till_owner_session(world->till, header.session_id);
    assert_int_equal(world_charge_header(world, &header, &key, 1), RR_OK);
    assert_int_equal(units_of(world), 0);
    world_restart(world);
    assert_int_equal(world_charge_header(world, &header, &key, 1), RR_ERR_NOTFOUND);
}

static bool find_pool(void *ctx, const struct rr_till_pool *pool)
{
    struct rr_till_pool *out = ctx;
    *out = *pool;
    return true;
}

static void the_book_can_be_visited(void **state)
{
    struct world *world = *state;
    struct rr_hash32 pool = world_make_pool(world, 2, DEPOSIT, 100);
    struct rr_purse *purse = world_purse(world, 2, &pool, 100);
    struct rr_session_request request = world_request(world, 2, rr_purse_voucher(purse));
    struct rr_session_answer session;
    struct rr_till_pool seen = {.units = 99};
    world_ok(rr_till_open_session(world->till, &session, &request, &world->manifest, &fault));
    assert_int_equal(world_charge(world, &session, purse, 2, 1), RR_OK);
    world_ok(rr_till_visit(world->till, find_pool, &seen, &fault));
    assert_int_equal(seen.units, 2);
    assert_memory_equal(&seen.pool_id, &pool, sizeof(pool));
    assert_memory_equal(&seen.viewer, &world->viewer_public[2], sizeof(seen.viewer));
    assert_int_equal(rr_coin_units(seen.paid), 2 * (uint64_t)WORLD_PRICE);
    assert_int_equal(rr_coin_units(seen.unit_price), WORLD_PRICE);
    assert_true(seen.end_height > world_height(world));
    rr_purse_free(purse);
}

/* A commit that the disk refuses is told to the payer, who may try again; in the end everything is
 * booked once. */
static void a_full_disk_loses_nothing_and_charges_nothing_twice(void **state)
{
    struct world *world = *state;
    struct rr_hash32 pool = world_make_pool(world, 0, DEPOSIT, 100);
    struct rr_purse *purse = world_purse(world, 0, &pool, 900);
    struct rr_session_request request = world_request(world, 0, rr_purse_voucher(purse));
    struct rr_session_answer session;
    struct stat file;
    struct rlimit limit;
    struct rlimit small;
    char path[128];
    world_ok(rr_till_open_session(world->till, &session, &request, &world->manifest, &fault));
    snprintf(path, sizeof(path), "%s/data.mdb", world->till_folder);
    assert_int_equal(stat(path, &file), 0);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    small = limit;
    small.rlim_cur = (rlim_t)file.st_size;
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    uint64_t failed_at = 0;
    enum rr_err err = RR_OK;
    struct rr_payment_header header = {.has_preimage = true};
    memcpy(header.session_id, session.session_id, sizeof(header.session_id));
    for (uint64_t i = 1; i <= 800 && failed_at == 0; i++) {
        uint64_t key = i << 16;
        struct rr_fault fault = {0};
        assert_int_equal(rr_purse_pay(purse, 1, &header.depth, &header.preimage, &fault), RR_OK);
        err = world_charge_header(world, &header, &key, 1);
        failed_at = err == RR_OK ? 0 : i;
    }
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    signal(SIGXFSZ, SIG_DFL);
    assert_true(failed_at > 0);
    assert_true(err == RR_ERR_FULL || err == RR_ERR_IO);
    uint64_t key = failed_at << 16;
    assert_int_equal(world_charge_header(world, &header, &key, 1), RR_OK);
    assert_int_equal(units_of(world), failed_at);
    world_restart(world);
    assert_int_equal(units_of(world), failed_at);
    assert_int_equal(world_charge(world, &session, purse, 0, key), RR_OK);
    assert_int_equal(world_charge(world, &session, purse, 0, key + 1), RR_ERR_FUNDS);
    rr_purse_free(purse);
}

static void a_book_of_another_chain_or_key_is_not_opened(void **state)
{
    struct world *world = *state;
    struct rr_till *other = NULL;
    struct rr_till_options options = world->options;
    struct rr_genesis genesis = world->genesis;
    world_refused(rr_till_open(&other, &options, &fault), RR_ERR_BUSY); /* open already */
    rr_till_close(world->till);
    options.key = world->viewers[0];
    world_refused(rr_till_open(&other, &options, &fault), RR_ERR_STATE);
    options = world->options;
    genesis.window_blocks++;
    options.genesis = &genesis;
    world_refused(rr_till_open(&other, &options, &fault), RR_ERR_STATE);
    options = world->options;
    options.commit_ms = 21;
    world_refused(rr_till_open(&other, &options, &fault), RR_ERR_USAGE);
    assert_null(other);
    world_open_till(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        T(slices_paid_one_by_one_survive_a_restart_after_each),
        T(a_slice_is_charged_once_and_overpaid_units_stay_credited),
        T(preimages_must_lead_to_the_root),
        T(sessions_are_for_one_resource),
        T(requests_that_do_not_fit_their_pool_are_refused),
        T(vouchers_go_only_upwards),
        T(a_voucher_in_the_header_pays_without_paywords),
        T(exposure_stops_at_the_risk_limit_until_it_is_settled),
        T(pools_near_their_end_take_no_more),
        T(the_owner_plays_for_nothing_until_a_restart),
        T(the_book_can_be_visited),
        T(a_full_disk_loses_nothing_and_charges_nothing_twice),
        T(a_book_of_another_chain_or_key_is_not_opened),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

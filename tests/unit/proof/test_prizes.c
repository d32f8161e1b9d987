/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Prizes: how they rise, who wins by stake, what each of a group gets. */
#include "proof/proof.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
/* after its own needs */
#include <cmocka.h>

static struct rr_coin coins(uint64_t units)
{
    struct rr_coin coin;
    assert_true(rr_coin_of_units(&coin, units));
    return coin;
}

static void test_rise(void **state)
{
    (void)state;
    struct rr_coin out;
    assert_true(rr_proof_engagement_prize(&out, coins(1000), 0, 4000000000u));
    assert_int_equal(rr_coin_units(out), 1000);
    assert_true(rr_proof_engagement_prize(&out, coins(1000), 5, 0));
    assert_int_equal(rr_coin_units(out), 1000);
    assert_true(rr_proof_engagement_prize(&out, coins(1000), 5, 10));
    assert_int_equal(rr_coin_units(out), 1500);
    assert_true(rr_proof_engagement_prize(&out, coins(3), 5, 10));
    assert_int_equal(rr_coin_units(out), 4); /* 4.5, rounded down */
    assert_false(rr_proof_engagement_prize(&out, coins(RR_COIN_MAX_UNITS), 1, 1));
    assert_true(rr_proof_engagement_prize(&out, coins(0), UINT32_MAX, UINT32_MAX));
}

/* ---- by stake -------------------------------------------------------------------------------- */

#define CLAIMANTS 5
static const uint64_t stakes[CLAIMANTS] = {1, 0, 300, 699, 1000};

static void make_claims(struct rr_proof_stake claims[CLAIMANTS], uint64_t scale)
{
    for (unsigned i = 0; i < CLAIMANTS; i++) {
        memset(claims[i].viewer.bytes, (int)(i + 1), 32);
        claims[i].stake = coins(stakes[i] * scale);
    }
}

static struct rr_hash32 hash_of(uint64_t number)
{
    struct rr_hash32 hash;
    rr_hash(&hash, "test", rr_slice_of(&number, sizeof number));
    return hash;
}

/* Chi-squared of the winners of many blocks against the stakes. Four kinds of winner: 3 degrees of
 * freedom, beyond 21.1 once in 10^4 runs; the blocks are fixed, so it holds always or never. */
static void test_proportion(void **state)
{
    (void)state;
    enum { ROUNDS = 40000 };
    struct rr_proof_stake claims[CLAIMANTS];
    struct rr_hash32 puzzle = hash_of(1);
    for (uint64_t scale = 1; scale <= 1000000000000; scale *= 1000000) {
        unsigned wins[CLAIMANTS] = {0};
        make_claims(claims, scale);
        for (uint64_t round = 0; round < ROUNDS; round++) {
            struct rr_hash32 block = hash_of(scale + 1000 + round);
            uint32_t winner = CLAIMANTS, again;
            assert_int_equal(
                rr_proof_engagement_draw(&winner, claims, CLAIMANTS, &puzzle, &block, NULL), RR_OK);
            assert_true(winner < CLAIMANTS);
            assert_int_equal(
                rr_proof_engagement_draw(&again, claims, CLAIMANTS, &puzzle, &block, NULL), RR_OK);
            assert_int_equal(winner, again);
            wins[winner]++;
        }
        assert_int_equal(wins[1], 0); /* no stake, no chance */
        double chi = 0;
        for (unsigned i = 0; i < CLAIMANTS; i++) {
            double expected = (double)stakes[i] * ROUNDS / 2000;
            double off = wins[i] - expected;
            chi += expected > 0 ? off * off / expected : 0;
        }
        assert_true(chi < 21.1);
    }
}

static void test_draw_differs(void **state)
{
    (void)state;
    struct rr_proof_stake claims[CLAIMANTS];
    unsigned same_puzzle = 0, same_block = 0;
    make_claims(claims, 1000);
    for (uint64_t round = 0; round < 400; round++) {
        struct rr_hash32 a = hash_of(round), b = hash_of(round + 5000), c = hash_of(round + 9000);
        uint32_t first, second, third;
        assert_int_equal(rr_proof_engagement_draw(&first, claims, 5, &a, &b, NULL), RR_OK);
        assert_int_equal(rr_proof_engagement_draw(&second, claims, 5, &a, &c, NULL), RR_OK);
        assert_int_equal(rr_proof_engagement_draw(&third, claims, 5, &c, &b, NULL), RR_OK);
        same_puzzle += first == second;
        same_block += first == third;
    }
    /* 0.39 of them agree by chance. */
    assert_true(same_puzzle > 100 && same_puzzle < 220);
    assert_true(same_block > 100 && same_block < 220);
}

static void test_draw_refused(void **state)
{
    (void)state;
    struct rr_proof_stake claims[CLAIMANTS], swap;
    struct rr_hash32 hash = hash_of(1);
    uint32_t winner = 77;
    make_claims(claims, 1);
    assert_int_equal(rr_proof_engagement_draw(&winner, claims, 0, &hash, &hash, NULL),
                     RR_ERR_STATE);
    assert_int_equal(rr_proof_engagement_draw(&winner, claims + 1, 1, &hash, &hash, NULL),
                     RR_ERR_STATE);
    swap = claims[2];
    claims[2] = claims[3];
    claims[3] = swap;
    assert_int_equal(rr_proof_engagement_draw(&winner, claims, 5, &hash, &hash, NULL),
                     RR_ERR_USAGE);
    claims[3] = claims[2]; /* twice */
    assert_int_equal(rr_proof_engagement_draw(&winner, claims, 5, &hash, &hash, NULL),
                     RR_ERR_USAGE);
    make_claims(claims, 1);
    claims[4].stake = coins(RR_COIN_MAX_UNITS);
    assert_int_equal(rr_proof_engagement_draw(&winner, claims, 5, &hash, &hash, NULL),
                     RR_ERR_LIMIT);
    assert_int_equal(winner, 77);
    claims[3].stake = claims[2].stake = claims[0].stake = coins(0);
    assert_int_equal(rr_proof_engagement_draw(&winner, claims, 5, &hash, &hash, NULL), RR_OK);
    assert_int_equal(winner, 4);
}

/* ---- among a group --------------------------------------------------------------------------- */

static void test_shares(void **state)
{
    (void)state;
    struct rr_coin shares[3];
    static const uint64_t thirds[] = {1, 1, 1}, uneven[] = {1, 0, 2};
    assert_int_equal(rr_proof_engagement_share(shares, coins(100), thirds, 3, NULL), RR_OK);
    assert_int_equal(rr_coin_units(shares[0]), 33);
    assert_int_equal(rr_coin_units(shares[1]), 33);
    assert_int_equal(rr_coin_units(shares[2]), 34);
    assert_int_equal(rr_proof_engagement_share(shares, coins(2), uneven, 3, NULL), RR_OK);
    assert_int_equal(rr_coin_units(shares[0]), 0);
    assert_int_equal(rr_coin_units(shares[1]), 0);
    assert_int_equal(rr_coin_units(shares[2]), 2);
    assert_int_equal(rr_proof_engagement_share(shares, coins(7), uneven, 1, NULL), RR_OK);
    assert_int_equal(rr_coin_units(shares[0]), 7);
    static const uint64_t none[] = {0, 0}, huge[] = {UINT64_MAX, 1};
    assert_int_equal(rr_proof_engagement_share(shares, coins(7), none, 2, NULL), RR_ERR_USAGE);
    assert_int_equal(rr_proof_engagement_share(shares, coins(7), none, 0, NULL), RR_ERR_USAGE);
    assert_int_equal(rr_proof_engagement_share(shares, coins(7), huge, 2, NULL), RR_ERR_LIMIT);
}

/* Nothing is lost, nothing is made, and only the last gains by rounding. */
static void test_shares_sum(void **state)
{
    (void)state;
    struct rr_prng prng;
    rr_prng_seed(&prng, 3);
    for (unsigned round = 0; round < 2000; round++) {
        struct rr_coin shares[9], sum = RR_COIN_ZERO;
        struct rr_coin prize = coins(rr_prng_below(&prng, RR_COIN_MAX_UNITS + 1));
        uint64_t weights[9], total = 0;
        uint32_t count = 1 + (uint32_t)rr_prng_below(&prng, 9);
        for (uint32_t i = 0; i < count; i++) {
            weights[i] = rr_prng_u64(&prng) >> (4 + rr_prng_below(&prng, 60));
            total += weights[i];
        }
        enum rr_err err = rr_proof_engagement_share(shares, prize, weights, count, NULL);
        assert_int_equal(err, total > 0 ? RR_OK : RR_ERR_USAGE);
        for (uint32_t i = 0; i < count && err == RR_OK; i++) {
            struct rr_coin fair;
            assert_true(rr_coin_scale(&fair, prize, weights[i], total));
            assert_true(rr_coin_add(&sum, sum, shares[i]));
            uint64_t more = rr_coin_units(shares[i]) - rr_coin_units(fair);
            assert_true(i + 1 < count ? more == 0 : more < count);
        }
        assert_true(err != RR_OK || rr_coin_compare(sum, prize) == 0);
    }
}

int main(void)
{
    rr_crypto_init();
    const struct CMUnitTest tests[] = {
        {"a prize rises straight with the segment's number", test_rise, NULL, NULL, NULL},
        {"winners are drawn in proportion to their stakes", test_proportion, NULL, NULL, NULL},
        {"another block or puzzle draws anew", test_draw_differs, NULL, NULL, NULL},
        {"a draw without stakes, order or bounds is refused", test_draw_refused, NULL, NULL, NULL},
        {"rounding goes to the last", test_shares, NULL, NULL, NULL},
        {"shares add up to the prize", test_shares_sum, NULL, NULL, NULL},
    };
    return cmocka_run_group_tests_name("prizes", tests, NULL, NULL);
}

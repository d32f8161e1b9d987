/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Difficulty, work, reputation and the other rules of headers. */
#include "ledger_world.h"

#include "ledger/ledger_rules.h"

static const uint64_t ANCHOR = UINT64_C(1700000123456);

static struct rr_genesis main_like(uint64_t difficulty)
{
    struct rr_genesis genesis = world_genesis();
    genesis.block_ms = 15000;
    genesis.halflife_ms = 3600000;
    genesis.difficulty = rr_u256_of(difficulty);
    return genesis;
}

/* Time of the parent of `height` on schedule, shifted. */
static uint64_t parent_time(const struct rr_genesis *genesis, uint64_t height, int64_t shift_ms)
{
    return (uint64_t)((int64_t)(ANCHOR + (height - 2) * genesis->block_ms) + shift_ms);
}

static uint64_t difficulty_at(const struct rr_genesis *genesis, uint64_t height, int64_t shift_ms)
{
    return rr_u256_saturate_u64(
        rr_rule_difficulty(genesis, height, parent_time(genesis, height, shift_ms), ANCHOR));
}

static void the_first_two_blocks_have_the_genesis_difficulty(void **state)
{
    (void)state;
    struct rr_genesis genesis = main_like(1000000);
    assert_int_equal(rr_u256_saturate_u64(rr_rule_difficulty(&genesis, 1, genesis.time_ms, 0)),
                     1000000);
    assert_int_equal(rr_u256_saturate_u64(rr_rule_difficulty(&genesis, 2, ANCHOR, ANCHOR)),
                     1000000);
}

static void blocks_on_schedule_keep_the_difficulty(void **state)
{
    (void)state;
    struct rr_genesis genesis = main_like(987654321);
    for (uint64_t height = 2; height < 5000000; height = height * 3 / 2 + 1) {
        assert_int_equal(difficulty_at(&genesis, height, 0), 987654321);
    }
}

static void a_halflife_early_doubles_and_late_halves_exactly(void **state)
{
    (void)state;
    struct rr_genesis genesis = main_like(UINT64_C(1) << 40);
    int64_t half = (int64_t)genesis.halflife_ms;
    for (int n = 1; n <= 20; n++) {
        assert_int_equal(difficulty_at(&genesis, 100000, -n * half), UINT64_C(1) << (40 + n));
        assert_int_equal(difficulty_at(&genesis, 100000, n * half), UINT64_C(1) << (40 - n));
    }
}

static void fractions_follow_the_power_of_two_within_the_cubics_error(void **state)
{
    (void)state;
    /* 65536 * 2^(i/8), rounded; the cubic of aserti3-2d is within 0.013 %. */
    static const uint64_t expected[8] = {65536, 71468, 77936, 84990, 92682, 101070, 110218, 120194};
    struct rr_genesis genesis = main_like(65536);
    genesis.halflife_ms = 3600000;
    for (int i = 0; i < 8; i++) {
        uint64_t found = difficulty_at(&genesis, 100000, -(int64_t)genesis.halflife_ms * i / 8);
        uint64_t off = found > expected[i] ? found - expected[i] : expected[i] - found;
        assert_true(off * 10000 <= expected[i] * 2);
    }
}

static void later_is_never_harder(void **state)
{
    (void)state;
    struct rr_genesis genesis = main_like(1234567890123);
    uint64_t before = UINT64_MAX;
    for (int64_t shift = -40000000; shift < 40000000; shift += 9973) {
        uint64_t now = difficulty_at(&genesis, 200000, shift);
        assert_true(now <= before);
        before = now;
    }
}

static void extremes_stay_between_one_and_the_most(void **state)
{
    (void)state;
    struct rr_genesis genesis = main_like(1000);
    struct rr_u256 one = rr_u256_of(1);
    assert_int_equal(rr_u256_compare(rr_rule_difficulty(&genesis, 3, UINT64_MAX, 0), one), 0);
    struct rr_u256 most = rr_rule_difficulty(&genesis, UINT64_MAX, 0, UINT64_MAX);
    struct rr_u256 max = rr_u256_max();
    assert_int_equal(rr_u256_compare(most, max), 0);
    genesis.halflife_ms = UINT64_MAX;
    assert_true(rr_u256_saturate_u64(rr_rule_difficulty(&genesis, 1000, ANCHOR + 1, ANCHOR)) >= 1);
    genesis.halflife_ms = 1;
    assert_int_equal(rr_u256_compare(rr_rule_difficulty(&genesis, 1000, ANCHOR * 2, ANCHOR), one),
                     0);
}

static void fast_miners_meet_a_rising_difficulty_until_blocks_take_their_time(void **state)
{
    (void)state;
    struct rr_genesis genesis = main_like(15000); /* right for 1 hash a millisecond */
    uint64_t time_ms = ANCHOR;
    uint64_t difficulty = 0;
    for (uint64_t height = 2; height < 20000; height++) {
        difficulty = rr_u256_saturate_u64(rr_rule_difficulty(&genesis, height, time_ms, ANCHOR));
        time_ms += difficulty / 10; /* 10 hashes a millisecond, no luck */
    }
    assert_true(difficulty > 149000 && difficulty < 151500);
}

/* Consensus arithmetic: the digest over 300 000 cases is the same for every compiler, optimisation
 * and machine. */
static void difficulty_and_reputation_are_the_same_everywhere(void **state)
{
    (void)state;
    struct rr_prng prng;
    struct rr_hasher hasher;
    struct rr_hash32 digest;
    char text[65];
    rr_prng_seed(&prng, 18);
    rr_hasher_init(&hasher, "rr.test.rules");
    struct rr_genesis genesis = main_like(1);
    for (int i = 0; i < 300000; i++) {
        uint8_t be[32];
        uint64_t word = rr_prng_u64(&prng) | 1;
        genesis.difficulty = rr_u256_of(word >> rr_prng_below(&prng, 63));
        genesis.difficulty = rr_u256_shl(genesis.difficulty, (unsigned)rr_prng_below(&prng, 128));
        genesis.difficulty.limb[0] |= 1;
        genesis.halflife_ms = 1 + rr_prng_below(&prng, 100000000);
        uint64_t height = 1 + rr_prng_below(&prng, 10000000);
        uint64_t at = ANCHOR + rr_prng_below(&prng, UINT64_C(300000000000));
        struct rr_u256 difficulty = rr_rule_difficulty(&genesis, height, at, ANCHOR);
        rr_u256_to_be(be, difficulty);
        rr_hasher_add(&hasher, be, sizeof be);
        uint64_t total_ms = rr_prng_u64(&prng);
        total_ms >>= rr_prng_below(&prng, 64);
        uint32_t r_q32 = ledger_reputation(&genesis, total_ms, difficulty);
        uint8_t r_be[4] = {(uint8_t)(r_q32 >> 24), (uint8_t)(r_q32 >> 16), (uint8_t)(r_q32 >> 8),
                           (uint8_t)r_q32};
        rr_hasher_add(&hasher, r_be, sizeof r_be);
    }
    rr_hasher_final(&hasher, &digest);
    rr_hex(text, digest.bytes, sizeof digest.bytes);
    assert_string_equal(text, "e60634907e09676a2bb189572d8413251655f3f3da72db0aa2d347bb099a27d5");
}

static void a_final_hash_solves_up_to_the_bound_and_not_beyond(void **state)
{
    (void)state;
    uint8_t be[32];
    struct rr_u256 max = rr_u256_max();
    struct rr_u256 one = rr_u256_of(1);
    memset(be, 0xff, sizeof be);
    assert_true(rr_rule_solves(be, one));
    assert_false(rr_rule_solves(be, rr_u256_of(0)));
    assert_false(rr_rule_solves(be, rr_u256_of(2)));
    for (unsigned shift = 1; shift < 256; shift++) { /* 2^256 / 2^shift, and one more */
        struct rr_u256 bound = rr_u256_shl(one, 256 - shift);
        rr_u256_to_be(be, bound);
        assert_true(rr_rule_solves(be, rr_u256_shl(one, shift)));
        rr_u256_to_be(be, rr_u256_add(bound, one, NULL));
        assert_false(rr_rule_solves(be, rr_u256_shl(one, shift)));
    }
    struct rr_u256 third = rr_u256_div(max, rr_u256_of(3), NULL); /* 2^256 - 1 is a multiple of 3 */
    rr_u256_to_be(be, third);
    assert_true(rr_rule_solves(be, rr_u256_of(3)));
    rr_u256_to_be(be, rr_u256_add(third, one, NULL));
    assert_false(rr_rule_solves(be, rr_u256_of(3)));
    rr_u256_to_be(be, one);
    assert_true(rr_rule_solves(be, max));
    rr_u256_to_be(be, rr_u256_of(2));
    assert_false(rr_rule_solves(be, max));
}

static void the_genesis_header_binds_every_parameter(void **state)
{
    (void)state;
    struct rr_genesis genesis = world_genesis();
    struct rr_header a;
    struct rr_header b;
    struct rr_hash32 hash_a;
    struct rr_hash32 hash_b;
    rr_rule_genesis_header(&genesis, &a);
    genesis.pool_blocks_max++;
    rr_rule_genesis_header(&genesis, &b);
    rr_header_hash(&hash_a, &a);
    rr_header_hash(&hash_b, &b);
    assert_false(rr_hash32_equal(&hash_a, &hash_b));
    assert_int_equal(a.height, 0);
}

/* ---- headers against their parent ------------------------------------------- */
struct case_of {
    struct rr_genesis genesis;
    struct rr_header parent, header;
    struct rr_rule_past past;
};

static void case_init(struct case_of *c)
{
    memset(c, 0, sizeof *c);
    c->genesis = world_genesis();
    rr_rule_genesis_header(&c->genesis, &c->parent);
    c->past.median_time_ms = c->parent.time_ms;
    c->past.mean_difficulty = c->genesis.difficulty;
    rr_header_hash(&c->past.checkpoint, &c->parent);
    c->header.chain_id = c->parent.chain_id;
    c->header.height = 1;
    rr_header_hash(&c->header.parent, &c->parent);
    c->header.time_ms = c->parent.time_ms + 1;
    c->header.difficulty = c->genesis.difficulty;
    c->header.checkpoint_ref = c->past.checkpoint;
}

static enum rr_err check(const struct case_of *c)
{
    struct rr_fault fault = {0};
    enum rr_err err = rr_rule_header(&c->genesis, &c->header, &c->parent, &c->past, &fault);
    assert_true(err == RR_OK || strlen(fault.text) > 20);
    return err;
}

static void a_header_is_refused_for_each_thing_that_is_wrong(void **state)
{
    (void)state;
    struct case_of good;
    case_init(&good);
    assert_int_equal(check(&good), RR_OK);
    struct case_of c = good;
    c.header.chain_id++;
    assert_int_equal(check(&c), RR_ERR_TRUST);
    c = good;
    c.header.height = 2;
    assert_int_equal(check(&c), RR_ERR_STATE);
    c = good;
    c.header.parent.bytes[5] ^= 1;
    assert_int_equal(check(&c), RR_ERR_STATE);
    c = good;
    c.header.time_ms = c.past.median_time_ms;
    assert_int_equal(check(&c), RR_ERR_TRUST);
    c = good;
    c.header.difficulty = rr_u256_of(2);
    assert_int_equal(check(&c), RR_ERR_TRUST);
    c = good;
    c.header.checkpoint_ref.bytes[0] ^= 1;
    assert_int_equal(check(&c), RR_ERR_TRUST);
    c = good;
    c.header.r_q32 = 1;
    assert_int_equal(check(&c), RR_ERR_TRUST);
    c = good;
    c.header.total_ms = 1;
    assert_int_equal(check(&c), RR_ERR_TRUST);
    c = good;
    c.header.cert_root.bytes[0] = 1; /* a root without sets */
    assert_int_equal(check(&c), RR_ERR_TRUST);
    c = good;
    c.header.sets = 1; /* a set without a root */
    assert_int_equal(check(&c), RR_ERR_TRUST);
    c.header.sets = RR_HEADER_SETS_MAX + 1;
    assert_int_equal(check(&c), RR_ERR_LIMIT);
}

static void sums_of_sets_are_checked_and_capped(void **state)
{
    (void)state;
    struct case_of c;
    case_init(&c);
    c.header.cert_root.bytes[0] = c.header.cert_digest.bytes[0] = 1;
    c.past.mean_difficulty = rr_u256_of(0); /* r is not the point here */
    c.header.sets = 2;
    c.header.set_ms[0] = 3000;
    c.header.set_ms[1] = 5000;
    c.header.total_ms = 8000;
    assert_int_equal(check(&c), RR_OK);
    c.header.total_ms = 7999;
    assert_int_equal(check(&c), RR_ERR_TRUST);
    c.header.total_ms = 8000;
    c.header.set_ms[0] = UINT64_C(256) * 4 * 2000 + 1; /* 256 certificates of d T_b each */
    assert_int_equal(check(&c), RR_ERR_LIMIT);
    c.header.set_ms[0] = UINT64_MAX; /* wraps to a small sum */
    c.header.set_ms[1] = 8001;
    assert_int_equal(check(&c), RR_ERR_LIMIT);
    c.genesis.certificates_per_block = 1; /* technique 1 binds the whole header */
    rr_rule_genesis_header(&c.genesis, &c.parent);
    rr_header_hash(&c.header.parent, &c.parent);
    c.header.chain_id = c.parent.chain_id;
    c.past.checkpoint = c.header.parent;
    c.header.checkpoint_ref = c.header.parent;
    c.header.set_ms[0] = 4000;
    c.header.set_ms[1] = 4000;
    c.header.total_ms = 8000;
    assert_int_equal(check(&c), RR_OK);
    c.header.set_ms[1] = 4001;
    c.header.total_ms = 8001;
    assert_int_equal(check(&c), RR_ERR_TRUST);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_two_blocks_have_the_genesis_difficulty),
        cmocka_unit_test(blocks_on_schedule_keep_the_difficulty),
        cmocka_unit_test(a_halflife_early_doubles_and_late_halves_exactly),
        cmocka_unit_test(fractions_follow_the_power_of_two_within_the_cubics_error),
        cmocka_unit_test(later_is_never_harder),
        cmocka_unit_test(extremes_stay_between_one_and_the_most),
        cmocka_unit_test(fast_miners_meet_a_rising_difficulty_until_blocks_take_their_time),
        cmocka_unit_test(difficulty_and_reputation_are_the_same_everywhere),
        cmocka_unit_test(a_final_hash_solves_up_to_the_bound_and_not_beyond),
        cmocka_unit_test(the_genesis_header_binds_every_parameter),
        cmocka_unit_test(a_header_is_refused_for_each_thing_that_is_wrong),
        cmocka_unit_test(sums_of_sets_are_checked_and_capped),
    };
    rr_crypto_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}

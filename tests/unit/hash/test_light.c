/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "unit/kernels/vectors.h"

#include "hash/hash.h"

static struct rr_hash_light *light;

static void check_hash(char *row)
{
    uint8_t header[32];
    uint8_t want[64];
    uint8_t got[64];
    uint64_t block = next_u64(&row);
    if (block >= 30000) {
        return; /* rows of other epochs are the kernels' test */
    }
    next_hex(&row, header, 32);
    uint64_t nonce = strtoull(next_word(&row), NULL, 16);
    next_hex(&row, want, 32);
    next_hex(&row, want + 32, 32);
    rr_hash_light_compute(light, header, nonce, got, got + 32);
    assert_memory_equal(got, want, 64);
    memset(got, 0, sizeof(got));
    assert_true(rr_hash_light_work(light, header, nonce, got, got + 32));
    assert_memory_equal(got, want, 64);
}

static void light_of_epoch_0_equals_the_public_vectors(void **state)
{
    (void)state;
    struct rr_hash_params params;
    assert_int_equal(rr_hash_params_epoch(&params, 0, RR_HASH_ETHASH_BLOCKS, NULL), RR_OK);
    assert_int_equal(rr_hash_light_new(&light, &params, NULL), RR_OK);
    assert_int_equal(each_row("ethash.txt", "hash", check_hash), 4);
    rr_hash_light_free(light);
}

/* Ethereum Classic's block 11 700 000, where its epochs became longer: number 390 became 195, the
 * dataset shrank to that of epoch 195, and the seed went on. [ECIP-1099] */
static void longer_epochs_keep_the_seed_of_their_block(void **state)
{
    (void)state;
    struct rr_hash_params before, after, small_one;
    assert_int_equal(rr_hash_params_epoch(&before, 390, RR_HASH_ETHASH_BLOCKS, NULL), RR_OK);
    assert_int_equal(rr_hash_params_epoch(&after, 195, RR_HASH_ETCHASH_BLOCKS, NULL), RR_OK);
    assert_int_equal(rr_hash_params_epoch(&small_one, 195, RR_HASH_ETHASH_BLOCKS, NULL), RR_OK);
    assert_memory_equal(after.seed, before.seed, 32);
    assert_memory_not_equal(after.seed, small_one.seed, 32);
    assert_int_equal(after.cache_items, small_one.cache_items);
    assert_int_equal(after.dataset_items, small_one.dataset_items);
}

static void epoch_beyond_the_last_is_refused(void **state)
{
    (void)state;
    struct rr_fault fault = {0};
    struct rr_hash_params params;
    assert_int_equal(rr_hash_params_epoch(&params, 32639, RR_HASH_ETHASH_BLOCKS, &fault), RR_OK);
    assert_int_equal(params.cache_items, 67106813);
    params.cache_items = 5;
    assert_int_equal(rr_hash_params_epoch(&params, 32640, RR_HASH_ETHASH_BLOCKS, &fault),
                     RR_ERR_LIMIT);
    assert_int_equal(params.cache_items, 5);
    assert_non_null(strstr(fault.text, "32640"));
}

static void absurd_sizes_are_refused_before_allocation(void **state)
{
    (void)state;
    struct rr_fault fault = {0};
    struct rr_hash_light *none = NULL;
    const struct rr_hash_params bad[] = {{.cache_items = 0, .dataset_items = 1},
                                         {.cache_items = 1, .dataset_items = 0},
                                         {.cache_items = 67106814, .dataset_items = 1},
                                         {.cache_items = UINT32_MAX, .dataset_items = 1},
                                         {.cache_items = 1, .dataset_items = 0x80000000},
                                         {.cache_items = 1, .dataset_items = UINT32_MAX}};
    for (size_t i = 0; i < RR_COUNT(bad); i++) {
        assert_int_equal(rr_hash_light_new(&none, &bad[i], &fault), RR_ERR_LIMIT);
        struct rr_hash_engine *engine = NULL;
        struct rr_hash_options options = {.dataset_bytes_max = UINT64_MAX};
        assert_int_equal(rr_hash_engine_new(&engine, &bad[i], &options, &fault), RR_ERR_LIMIT);
        assert_null(engine);
    }
    assert_null(none);
    /* 256 GiB: within Ethash's limits, beyond this machine's memory. */
    if ((uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE) < UINT64_C(200) << 30) {
        const struct rr_hash_params large = {.cache_items = 1, .dataset_items = 0x7fffffff};
        struct rr_hash_engine *engine = NULL;
        struct rr_hash_options options = {.dataset_bytes_max = UINT64_MAX};
        assert_int_equal(rr_hash_engine_new(&engine, &large, &options, &fault), RR_ERR_MEMORY);
        assert_null(engine);
        assert_non_null(strstr(fault.text, "MiB"));
    }
}

/* ---- difficulty: final * difficulty <= 2^256, by school multiplication on bytes -----------------
 */
static bool solves_by_hand(const uint8_t final_be[32], struct rr_u256 difficulty)
{
    uint8_t d[32];
    uint32_t product[64] = {0}; /* little-endian bytes */
    rr_u256_to_be(d, difficulty);
    for (size_t i = 0; i < 32; i++) {
        uint32_t carry = 0;
        for (size_t j = 0; j < 32; j++) {
            uint32_t v = product[i + j] + (uint32_t)final_be[31 - i] * d[31 - j] + carry;
            product[i + j] = v & 255;
            carry = v >> 8;
        }
        product[i + 32] += carry;
    }
    bool below = true;
    bool low_zero = true;
    for (size_t i = 32; i < 64; i++) {
        below = below && product[i] == 0;
    }
    for (size_t i = 0; i < 32; i++) {
        low_zero = low_zero && product[i] == 0;
    }
    bool equal = low_zero && product[32] == 1;
    for (size_t i = 33; i < 64; i++) {
        equal = equal && product[i] == 0;
    }
    return below || equal;
}

static void check_around_the_boundary(struct rr_u256 difficulty)
{
    struct rr_u256 boundary = rr_hash_boundary(difficulty);
    uint8_t final[32];
    for (int step = -2; step <= 2; step++) {
        bool wrapped = false;
        struct rr_u256 value = step < 0
                                   ? rr_u256_sub(boundary, rr_u256_of((uint64_t)-step), &wrapped)
                                   : rr_u256_add(boundary, rr_u256_of((uint64_t)step), &wrapped);
        if (!wrapped) {
            rr_u256_to_be(final, value);
            assert_int_equal(rr_hash_solves(final, difficulty), solves_by_hand(final, difficulty));
            assert_int_equal(rr_hash_solves(final, difficulty), step <= 0);
        }
    }
}

static void solves_is_exact_at_the_boundary(void **state)
{
    (void)state;
    for (uint64_t d = 1; d < 300; d++) {
        check_around_the_boundary(rr_u256_of(d));
    }
    for (unsigned bit = 0; bit < 256; bit++) {
        struct rr_u256 power = rr_u256_shl(rr_u256_of(1), bit);
        check_around_the_boundary(power);
        check_around_the_boundary(rr_u256_add(power, rr_u256_of(1), NULL));
        if (bit > 0) {
            check_around_the_boundary(rr_u256_sub(power, rr_u256_of(1), NULL));
        }
    }
    check_around_the_boundary(rr_u256_max());
    struct rr_prng prng;
    rr_prng_seed(&prng, 42);
    for (int i = 0; i < 2000; i++) {
        struct rr_u256 d;
        rr_prng_bytes(&prng, &d, sizeof(d));
        d = rr_u256_shr(d, (unsigned)rr_prng_below(&prng, 256));
        if (!rr_u256_is_zero(d)) {
            check_around_the_boundary(d);
        }
    }
}

static void nothing_solves_difficulty_zero_and_all_solve_one(void **state)
{
    (void)state;
    uint8_t final[32] = {0};
    assert_false(rr_hash_solves(final, rr_u256_of(0)));
    assert_true(rr_hash_solves(final, rr_u256_max()));
    memset(final, 0xff, sizeof(final));
    assert_true(rr_hash_solves(final, rr_u256_of(1)));
    assert_false(rr_hash_solves(final, rr_u256_of(2)));
    assert_false(rr_hash_solves(final, rr_u256_max()));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(light_of_epoch_0_equals_the_public_vectors),
        cmocka_unit_test(longer_epochs_keep_the_seed_of_their_block),
        cmocka_unit_test(epoch_beyond_the_last_is_refused),
        cmocka_unit_test(absurd_sizes_are_refused_before_allocation),
        cmocka_unit_test(solves_is_exact_at_the_boundary),
        cmocka_unit_test(nothing_solves_difficulty_zero_and_all_solve_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

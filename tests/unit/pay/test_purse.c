/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The payer's core. */
#include "payer.h"

static struct rr_seckey *make_key(uint8_t first)
{
    uint8_t bytes[32] = {first};
    return rr_seckey_from_bytes(bytes);
}

static struct rr_purse *make_purse(const struct rr_seckey *key, uint32_t units)
{
    struct rr_hash32 pool = {{1, 2, 3}};
    struct rr_seckey *target_key = make_key(9);
    struct rr_pubkey target;
    uint8_t seed[32] = {42};
    rr_seckey_public(target_key, &target);
    rr_seckey_free(target_key);
    return rr_purse_new(key, 77, &pool, &target, coins(5), units, 1000, seed);
}

static void assert_leads_to_root(const struct rr_purse *purse, uint32_t depth,
                                 const struct rr_hash32 *preimage)
{
    struct rr_hash32 link = *preimage;
    for (uint32_t i = 0; i < depth; i++) {
        rr_payword_step(&link, &link);
    }
    assert_memory_equal(&link, &rr_purse_voucher(purse)->payword_root, sizeof(link));
}

static void every_link_of_every_chain_length_leads_to_the_root(void **state)
{
    (void)state;
    struct rr_seckey *key = make_key(1);
    static const uint32_t lengths[] = {1, 2, 63, 64, 65, 127, 128, 129, 300};
    for (size_t n = 0; n < RR_COUNT(lengths); n++) {
        struct rr_purse *purse = make_purse(key, lengths[n]);
        uint32_t depth = 0;
        struct rr_hash32 preimage;
        for (uint32_t i = 1; i <= lengths[n]; i++) {
            world_ok(rr_purse_pay(purse, 1, &depth, &preimage, &fault));
            assert_int_equal(depth, i);
            assert_leads_to_root(purse, depth, &preimage);
        }
        world_refused(rr_purse_pay(purse, 1, &depth, &preimage, &fault), RR_ERR_FUNDS);
        assert_int_equal(rr_purse_depth(purse), lengths[n]);
        rr_purse_free(purse);
    }
    rr_seckey_free(key);
}

static void a_purse_of_no_units_or_too_many_is_none(void **state)
{
    (void)state;
    struct rr_seckey *key = make_key(1);
    assert_null(make_purse(key, 0));
    assert_null(make_purse(key, RR_PURSE_UNITS_MAX + 1));
    rr_seckey_free(key);
}

static void the_voucher_is_signed_by_the_owner_and_bound_to_all(void **state)
{
    (void)state;
    struct rr_seckey *key = make_key(1);
    struct rr_pubkey public;
    struct rr_purse *purse = make_purse(key, 100);
    struct rr_hash32 digest;
    const struct rr_voucher *voucher = rr_purse_voucher(purse);
    rr_seckey_public(key, &public);
    rr_voucher_digest(&digest, voucher);
    assert_true(rr_verify(&voucher->signature, &public, &digest));
    assert_int_equal(voucher->chain_id, 77);
    assert_int_equal(voucher->seq, 1);
    assert_int_equal(voucher->max_units, 100);
    assert_int_equal(voucher->expiry_height, 1000);
    assert_true(rr_coin_is_zero(voucher->cum_amount));
    rr_purse_free(purse);
    rr_seckey_free(key);
}

static void a_purse_comes_back_from_its_bytes_and_only_with_its_key(void **state)
{
    (void)state;
    struct rr_seckey *key = make_key(1);
    struct rr_seckey *stranger = make_key(2);
    struct rr_purse *purse = make_purse(key, 200);
    struct rr_purse *back = NULL;
    struct rr_buf bytes = {0};
    struct rr_buf again = {0};
    uint32_t depth[2];
    struct rr_hash32 preimage[2];
    world_ok(rr_purse_pay(purse, 70, &depth[0], &preimage[0], &fault));
    rr_purse_encode(&bytes, purse);
    world_ok(rr_purse_decode(&back, key, rr_buf_slice(&bytes), &fault));
    assert_int_equal(rr_purse_depth(back), 70);
    rr_purse_encode(&again, back);
    assert_true(rr_slice_equal(rr_buf_slice(&bytes), rr_buf_slice(&again)));
    world_ok(rr_purse_pay(purse, 3, &depth[0], &preimage[0], &fault));
    world_ok(rr_purse_pay(back, 3, &depth[1], &preimage[1], &fault));
    assert_memory_equal(&preimage[0], &preimage[1], sizeof(preimage[0]));
    rr_purse_free(back);
    world_refused(rr_purse_decode(&back, stranger, rr_buf_slice(&bytes), &fault), RR_ERR_TRUST);
    for (size_t len = 0; len < bytes.len; len++) {
        assert_int_not_equal(rr_purse_decode(&back, key, rr_slice_of(bytes.ptr, len), NULL), RR_OK);
    }
    for (size_t bit = 0; bit < bytes.len * 8; bit++) {
        bytes.ptr[bit / 8] ^= (uint8_t)(1u << bit % 8);
        if (rr_purse_decode(&back, key, rr_buf_slice(&bytes), NULL) == RR_OK) {
            assert_int_not_equal(rr_purse_depth(back), 70); /* only the depth is free */
            rr_purse_free(back);
        }
        bytes.ptr[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    rr_buf_append(&bytes, "x", 1);
    world_refused(rr_purse_decode(&back, key, rr_buf_slice(&bytes), &fault), RR_ERR_FORMAT);
    rr_buf_clear(&bytes);
    rr_buf_clear(&again);
    rr_purse_free(purse);
    rr_seckey_free(key);
    rr_seckey_free(stranger);
}

static void resuming_never_goes_back_and_renewing_starts_at_what_was_paid(void **state)
{
    (void)state;
    struct rr_seckey *key = make_key(1);
    struct rr_purse *purse = make_purse(key, 100);
    uint32_t depth;
    struct rr_hash32 preimage;
    struct rr_hash32 root = rr_purse_voucher(purse)->payword_root;
    rr_purse_resume(purse, 40);
    rr_purse_resume(purse, 30);
    assert_int_equal(rr_purse_depth(purse), 40);
    world_refused(rr_purse_renew(purse, key, 0, 2000, &fault), RR_ERR_LIMIT);
    assert_int_equal(rr_purse_depth(purse), 40);
    world_ok(rr_purse_renew(purse, key, 70, 2000, &fault));
    const struct rr_voucher *voucher = rr_purse_voucher(purse);
    assert_int_equal(voucher->seq, 2);
    assert_int_equal(rr_coin_units(voucher->cum_amount), 40 * 5);
    assert_int_equal(voucher->expiry_height, 2000);
    assert_memory_not_equal(&voucher->payword_root, &root, sizeof(root));
    world_ok(rr_purse_pay(purse, 70, &depth, &preimage, &fault));
    assert_leads_to_root(purse, 70, &preimage);
    struct rr_pubkey public;
    struct rr_hash32 digest;
    rr_seckey_public(key, &public);
    rr_voucher_digest(&digest, voucher);
    assert_true(rr_verify(&voucher->signature, &public, &digest));
    rr_purse_resume(purse, 1000);
    assert_int_equal(rr_purse_depth(purse), 70);
    rr_purse_free(purse);
    rr_seckey_free(key);
}

int main(void)
{
    rr_crypto_init();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_link_of_every_chain_length_leads_to_the_root),
        cmocka_unit_test(a_purse_of_no_units_or_too_many_is_none),
        cmocka_unit_test(the_voucher_is_signed_by_the_owner_and_bound_to_all),
        cmocka_unit_test(a_purse_comes_back_from_its_bytes_and_only_with_its_key),
        cmocka_unit_test(resuming_never_goes_back_and_renewing_starts_at_what_was_paid),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Small worlds exhaustively: every set of lost shards that a code promises to survive, and every
 * set one larger. */
#include "shelf.h"

/* Sanitizers make each pattern ten times as dear: they get the smaller codes. */
#ifdef RR_SANITIZED
#define SHARDS_MAX 9
#else
#define SHARDS_MAX 12
#endif

static unsigned bits_of(unsigned set)
{
    return (unsigned)__builtin_popcount(set);
}

/* Deletes some and flips others of the set, so that both ways of loss meet in one object. */
static void spoil(struct shelf *shelf, const struct rr_object *object, unsigned set, unsigned way)
{
    uint64_t bits = rr_object_shard_bytes(object) * 8;
    for (unsigned j = 0; j < (unsigned)object->k + object->m; j++) {
        if ((set >> j & 1) == 0) {
            continue;
        }
        if (way == 0 || (way == 2 && j % 2 == 0)) {
            shelf_delete(shelf, object, j);
        } else {
            shelf_flip(shelf, object, j, rr_prng_below(&shelf_prng, bits), false);
        }
    }
}

/* All sets of exactly `lost` shards; returns how many. */
static unsigned every_set(struct shelf *shelf, uint8_t k, uint8_t m, unsigned lost, size_t len)
{
    unsigned shards = (unsigned)k + m;
    unsigned tried = 0;
    uint8_t *bytes = shelf_bytes(len);
    struct rr_object object = shelf_put(shelf, bytes, len, k, m);
    for (unsigned set = 0; set < 1u << shards; set++) {
        if (bits_of(set) == lost) {
            spoil(shelf, &object, set, tried % 3);
            shelf_expect(shelf, &object, 0, bytes, len);
            /* The read need not have met them all: parity is read only when it is needed. */
            uint64_t bad = 0;
            assert_int_equal(rr_store_scrub(shelf->store, &bad, NULL), RR_OK);
            shelf_expect(shelf, &object, 0, bytes, len);
            tried++;
        }
    }
    shelf_expect_clean(shelf, 1, shards);
    assert_int_equal(rr_store_remove(shelf->store, &object.object_id, NULL), RR_OK);
    shelf_expect_clean(shelf, 0, 0);
    rr_free(bytes);
    return tried;
}

static void all_1001_patterns_of_10_and_4(void **state)
{
    (void)state;
    struct shelf shelf;
    shelf_init(&shelf, true);
    shelf_open(&shelf);
    assert_int_equal(every_set(&shelf, 10, 4, 4, 10 * RR_STRIP_BYTES + 777), 1001);
    shelf_clear(&shelf);
}

static void all_patterns_of_all_codes_of_up_to_12_shards(void **state)
{
    (void)state;
    struct shelf shelf;
    unsigned tried = 0;
    shelf_init(&shelf, true);
    shelf_open(&shelf);
    for (uint8_t k = 1; k < SHARDS_MAX; k++) {
        for (uint8_t m = 1; k + m <= SHARDS_MAX; m++) {
            tried += every_set(&shelf, k, m, m, (size_t)k * RR_STRIP_BYTES - 5);
        }
    }
    print_message("%u patterns\n", tried);
    /* Sum over n shards of 2^n - 2: 8166 of up to 12. */
    assert_int_equal(tried, (2u << SHARDS_MAX) - 4 - 2 * (SHARDS_MAX - 1));
    shelf_clear(&shelf);
}

static void every_set_of_one_too_many_is_damage_and_gives_no_wrong_byte(void **state)
{
    (void)state;
    enum { K = 4, M = 2, LEN = 4 * RR_STRIP_BYTES - 99 };
    struct shelf shelf;
    uint8_t *bytes = shelf_bytes(LEN);
    uint8_t *out = rr_alloc(LEN);
    shelf_init(&shelf, true);
    shelf_open(&shelf);
    for (unsigned set = 0; set < 1u << (K + M); set++) {
        if (bits_of(set) <= M) {
            continue;
        }
        struct rr_object object = shelf_put(&shelf, bytes, LEN, K, M);
        spoil(&shelf, &object, set, set % 3);
        struct rr_fault fault = {0};
        enum rr_err err = rr_store_read(shelf.store, &object, 0, out, LEN, &fault);
        /* With all data shards whole nothing needs to be decoded. */
        if ((set & ((1u << K) - 1)) == 0) {
            assert_int_equal(err, RR_OK);
            assert_memory_equal(out, bytes, LEN);
        } else {
            assert_int_equal(err, RR_ERR_DAMAGED);
            assert_true(strlen(fault.text) > 0);
        }
        shelf_wait(&shelf);
        assert_int_equal(rr_store_remove(shelf.store, &object.object_id, NULL), RR_OK);
    }
    shelf_expect_clean(&shelf, 0, 0);
    shelf_clear(&shelf);
    rr_free(bytes);
    rr_free(out);
}

int main(void)
{
    shelf_seed();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_1001_patterns_of_10_and_4),
        cmocka_unit_test(all_patterns_of_all_codes_of_up_to_12_shards),
        cmocka_unit_test(every_set_of_one_too_many_is_damage_and_gives_no_wrong_byte),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

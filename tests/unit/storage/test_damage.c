/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Wrong bytes never leave, whatever happens to the files; what can be rebuilt is rebuilt. */
#include "shelf.h"

enum { OBJECTS = 8 };

struct filled {
    struct shelf shelf;
    uint8_t *bytes[OBJECTS];
    struct rr_object objects[OBJECTS];
};

static const uint8_t codes[OBJECTS][2] = {{4, 2}, {8, 3}, {10, 4}, {4, 2},
                                          {1, 1}, {2, 5}, {20, 9}, {4, 2}};

static void fill(struct filled *filled)
{
    shelf_init(&filled->shelf, true);
    shelf_open(&filled->shelf);
    for (unsigned i = 0; i < OBJECTS; i++) {
        size_t len = 1 + rr_prng_below(&shelf_prng, 400000);
        filled->bytes[i] = shelf_bytes(len);
        filled->objects[i] =
            shelf_put(&filled->shelf, filled->bytes[i], len, codes[i][0], codes[i][1]);
    }
}

static void empty(struct filled *filled)
{
    shelf_clear(&filled->shelf);
    for (unsigned i = 0; i < OBJECTS; i++) {
        rr_free(filled->bytes[i]);
    }
}

/* A random range of an object; now and then all of it. */
static void read_some(struct filled *filled, unsigned i)
{
    size_t len = (size_t)filled->objects[i].length;
    size_t at = (size_t)rr_prng_below(&shelf_prng, len);
    size_t count = 1 + (size_t)rr_prng_below(&shelf_prng, len - at);
    if (rr_prng_below(&shelf_prng, 4) == 0) {
        at = 0;
        count = len;
    }
    shelf_expect(&filled->shelf, &filled->objects[i], at, filled->bytes[i] + at, count);
}

static void read_all(struct filled *filled)
{
    for (unsigned i = 0; i < OBJECTS; i++) {
        shelf_expect(&filled->shelf, &filled->objects[i], 0, filled->bytes[i],
                     (size_t)filled->objects[i].length);
    }
}

static void two_thousand_flips_are_all_found_and_none_is_served(void **state)
{
    (void)state;
    struct filled filled;
#ifdef RR_SANITIZED
    unsigned flips = shelf_count("RR_FLIPS", 500);
#else
    unsigned flips = shelf_count("RR_FLIPS", 2000);
#endif
    unsigned flipped = 0;
    uint64_t found = 0;
    fill(&filled);
    read_all(&filled);
    while (flipped < flips) {
        /* One for each of some objects, shards and bits drawn; half of them behind the store's
         * back: file times as they were, after the shard was read and found good. */
        unsigned in_round = 0;
        for (unsigned i = 0; i < OBJECTS && flipped < flips; i++) {
            struct rr_object *object = &filled.objects[i];
            unsigned shard = (unsigned)rr_prng_below(&shelf_prng, codes[i][0] + codes[i][1]);
            shelf_flip(&filled.shelf, object, shard,
                       rr_prng_below(&shelf_prng, rr_object_shard_bytes(object) * 8),
                       rr_prng_below(&shelf_prng, 2) == 0);
            in_round++;
            flipped++;
        }
        uint64_t before = shelf_stats(&filled.shelf).shards_repaired;
        for (unsigned i = 0; i < 2 * OBJECTS; i++) {
            read_some(&filled, (unsigned)rr_prng_below(&shelf_prng, OBJECTS));
        }
        uint64_t bad;
        assert_int_equal(rr_store_scrub(filled.shelf.store, &bad, NULL), RR_OK);
        assert_int_equal(shelf_stats(&filled.shelf).shards_repaired - before, in_round);
        found += in_round;
    }
    read_all(&filled);
    print_message("%u flips, %llu found and repaired, 0 bad bytes served\n", flipped,
                  (unsigned long long)found);
    shelf_expect_clean(&filled.shelf, OBJECTS, 3 * 6 + 11 + 14 + 2 + 7 + 29);
    empty(&filled);
}

static void whatever_becomes_of_a_file_the_reader_gets_the_bytes(void **state)
{
    (void)state;
    struct filled filled;
    fill(&filled);
    read_all(&filled);
    struct rr_object *object = &filled.objects[0];
    char path[RR_PATH_BYTES];
    char other[RR_PATH_BYTES];
    for (unsigned way = 0; way < 7; way++) {
        unsigned shard = way % 6;
        shelf_path(&filled.shelf, path, object, shard);
        shelf_path(&filled.shelf, other, &filled.objects[3], shard);
        off_t bytes = (off_t)rr_object_shard_bytes(object);
        switch (way) {
        case 0:
            assert_int_equal(truncate(path, 0), 0);
            break;
        case 1:
            assert_int_equal(truncate(path, bytes - 1), 0);
            break;
        case 2: /* zeros where the file was */
            assert_int_equal(truncate(path, 0), 0);
            assert_int_equal(truncate(path, bytes), 0);
            break;
        case 3:
            assert_int_equal(truncate(path, bytes + 1), 0);
            break;
        case 4: /* the file of another object */
            assert_int_equal(unlink(path), 0);
            assert_int_equal(link(other, path), 0);
            break;
        case 5:
            assert_int_equal(unlink(path), 0);
            assert_int_equal(symlink("/dev/null", path), 0);
            break;
        default: /* the folder of many objects */
            *strrchr(path, '/') = '\0';
            shelf_ok(rr_remove_tree(path, NULL), &(struct rr_fault){0});
        }
        if (way < 6) {
            shelf_expect(&filled.shelf, object, 0, filled.bytes[0], (size_t)object->length);
            uint64_t bad;
            assert_int_equal(rr_store_scrub(filled.shelf.store, &bad, NULL), RR_OK);
            shelf_expect(&filled.shelf, object, 0, filled.bytes[0], (size_t)object->length);
            uint64_t again;
            assert_int_equal(rr_store_scrub(filled.shelf.store, &again, NULL), RR_OK);
            assert_int_equal(again, 0);
        } else {
            uint8_t out[64];
            assert_int_equal(rr_store_read(filled.shelf.store, object, 0, out, 1, NULL),
                             RR_ERR_DAMAGED);
        }
    }
    for (unsigned i = 1; i < OBJECTS; i++) {
        if (filled.objects[i].object_id.bytes[0] != object->object_id.bytes[0]) {
            read_some(&filled, i);
        }
    }
    empty(&filled);
}

static void any_two_of_4_and_2_may_go_at_any_length(void **state)
{
    static const size_t lengths[] = {1, 16384, 65535, 65536, 65537, 131072, 262145, 700001};
    (void)state;
    struct shelf shelf;
    shelf_init(&shelf, true);
    shelf_open(&shelf);
    for (size_t i = 0; i < RR_COUNT(lengths); i++) {
        uint8_t *bytes = shelf_bytes(lengths[i]);
        struct rr_object object = shelf_put(&shelf, bytes, lengths[i], 4, 2);
        for (unsigned a = 0; a < 6; a++) {
            for (unsigned b = a + 1; b < 6; b++) {
                uint64_t bits = rr_object_shard_bytes(&object) * 8;
                shelf_delete(&shelf, &object, a);
                shelf_flip(&shelf, &object, b, rr_prng_below(&shelf_prng, bits), true);
                uint64_t before = shelf_stats(&shelf).shards_repaired;
                shelf_expect(&shelf, &object, 0, bytes, lengths[i]);
                uint64_t bad;
                assert_int_equal(rr_store_scrub(shelf.store, &bad, NULL), RR_OK);
                assert_int_equal(shelf_stats(&shelf).shards_repaired - before, 2);
            }
        }
        rr_free(bytes);
    }
    shelf_expect_clean(&shelf, RR_COUNT(lengths), RR_COUNT(lengths) * 6);
    shelf_clear(&shelf);
}

static void a_degraded_read_counts_and_starts_the_repair(void **state)
{
    (void)state;
    struct shelf shelf;
    enum { LEN = 300000 };
    uint8_t *bytes = shelf_bytes(LEN);
    shelf_init(&shelf, true);
    shelf_open(&shelf);
    struct rr_object object = shelf_put(&shelf, bytes, LEN, 4, 2);
    shelf_expect(&shelf, &object, 0, bytes, LEN);
    assert_int_equal(shelf_stats(&shelf).degraded_reads, 0);
    shelf_delete(&shelf, &object, 1);
    /* A range that does not touch the lost shard is no degraded read. */
    shelf_expect(&shelf, &object, 0, bytes, 100);
    assert_int_equal(shelf_stats(&shelf).degraded_reads, 0);
    shelf_expect(&shelf, &object, 0, bytes, LEN);
    assert_int_equal(shelf_stats(&shelf).degraded_reads, 1);
    shelf_wait(&shelf);
    struct rr_store_stats stats = shelf_stats(&shelf);
    assert_int_equal(stats.shards_repaired, 1);
    assert_int_equal(stats.repair_queue, 0);
    assert_true(stats.shards_missing >= 1);
    shelf_expect(&shelf, &object, 0, bytes, LEN);
    assert_int_equal(shelf_stats(&shelf).degraded_reads, 1);
    shelf_expect_clean(&shelf, 1, 6);
    shelf_clear(&shelf);
    rr_free(bytes);
}

static void what_went_while_the_store_was_closed_is_rebuilt_at_the_next_start(void **state)
{
    (void)state;
    struct filled filled;
    fill(&filled);
    for (unsigned i = 0; i < OBJECTS; i++) {
        for (unsigned j = 0; j < codes[i][1]; j++) {
            shelf_delete(&filled.shelf, &filled.objects[i], j);
        }
    }
    rr_store_close(filled.shelf.store);
    filled.shelf.store = NULL;
    shelf_open(&filled.shelf);
    shelf_wait(&filled.shelf);
    assert_int_equal(shelf_stats(&filled.shelf).shards_repaired, 2 + 3 + 4 + 2 + 1 + 5 + 9 + 2);
    assert_int_equal(shelf_stats(&filled.shelf).degraded_reads, 0);
    read_all(&filled);
    shelf_expect_clean(&filled.shelf, OBJECTS, 3 * 6 + 11 + 14 + 2 + 7 + 29);
    empty(&filled);
}

int main(void)
{
    shelf_seed();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_thousand_flips_are_all_found_and_none_is_served),
        cmocka_unit_test(whatever_becomes_of_a_file_the_reader_gets_the_bytes),
        cmocka_unit_test(any_two_of_4_and_2_may_go_at_any_length),
        cmocka_unit_test(a_degraded_read_counts_and_starts_the_repair),
        cmocka_unit_test(what_went_while_the_store_was_closed_is_rebuilt_at_the_next_start),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

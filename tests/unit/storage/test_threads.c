/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Writers, readers, removers, vandals and the repair thread at the same time. */
#include "shelf.h"

#include <pthread.h>
#include <stdatomic.h>

enum { OBJECTS = 6, LEN = 150000, WRITERS = 2, READERS = 3 };

struct crowd {
    struct shelf shelf;
    uint8_t *bytes;
    struct rr_object objects[OBJECTS];
    _Atomic bool stop;
    _Atomic uint64_t reads, puts, wrong;
};

/* cmocka's assertions belong to the main thread: here harm is counted. */
static void *read_on(void *ctx)
{
    struct crowd *crowd = ctx;
    uint8_t *out = rr_alloc(LEN);
    struct rr_prng prng;
    rr_prng_seed(&prng, (uint64_t)(uintptr_t)out);
    while (!atomic_load(&crowd->stop)) {
        unsigned i = (unsigned)rr_prng_below(&prng, OBJECTS);
        size_t at = (size_t)rr_prng_below(&prng, LEN);
        size_t len = 1 + (size_t)rr_prng_below(&prng, LEN - at);
        struct rr_fault fault = {0};
        enum rr_err err =
            rr_store_read(crowd->shelf.store, &crowd->objects[i], at, out, len, &fault);
        if (err != RR_OK || memcmp(out, crowd->bytes + i + at, len) != 0) {
            atomic_fetch_add(&crowd->wrong, 1);
        }
        atomic_fetch_add(&crowd->reads, 1);
    }
    rr_free(out);
    return NULL;
}

/* Puts and removes; some of its bytes are those of others, at the same time. */
static void *write_on(void *ctx)
{
    struct crowd *crowd = ctx;
    struct rr_prng prng;
    uint8_t *bytes = rr_alloc(60000);
    rr_prng_seed(&prng, 1);
    while (!atomic_load(&crowd->stop)) {
        struct rr_fault fault = {0};
        struct rr_object object;
        struct rr_object found;
        size_t len = 1 + (size_t)rr_prng_below(&prng, 60000);
        rr_prng_bytes(&prng, bytes, len);
        if (rr_store_put(crowd->shelf.store, &object, rr_slice_of(bytes, len), 4, 2, &fault) !=
            RR_OK) {
            atomic_fetch_add(&crowd->wrong, 1);
        }
        /* Another writer of the same bytes may have removed it by now. */
        enum rr_err err = rr_store_object(crowd->shelf.store, &object.object_id, &found, &fault);
        if ((err != RR_OK && err != RR_ERR_NOTFOUND) ||
            rr_store_remove(crowd->shelf.store, &object.object_id, &fault) != RR_OK) {
            atomic_fetch_add(&crowd->wrong, 1);
        }
        atomic_fetch_add(&crowd->puts, 1);
    }
    rr_free(bytes);
    return NULL;
}

static void a_crowd_reads_right_while_shards_die_and_are_rebuilt(void **state)
{
    (void)state;
    struct crowd *crowd = rr_alloc(sizeof *crowd);
    pthread_t threads[READERS + WRITERS];
    unsigned rounds = shelf_count("RR_ROUNDS", 100);
    crowd->bytes = shelf_bytes(LEN + OBJECTS);
    shelf_init(&crowd->shelf, true);
    shelf_open(&crowd->shelf);
    for (unsigned i = 0; i < OBJECTS; i++) {
        crowd->objects[i] = shelf_put(&crowd->shelf, crowd->bytes + i, LEN, 4, 2);
    }
    for (unsigned i = 0; i < READERS + WRITERS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, i < READERS ? read_on : write_on, crowd),
                         0);
    }
    for (unsigned round = 0; round < rounds; round++) {
        unsigned i = (unsigned)rr_prng_below(&shelf_prng, OBJECTS);
        unsigned first = (unsigned)rr_prng_below(&shelf_prng, 6);
        struct rr_object *object = &crowd->objects[i];
        shelf_delete(&crowd->shelf, object, first);
        shelf_flip(&crowd->shelf, object, (first + 1 + round % 5) % 6,
                   rr_prng_below(&shelf_prng, rr_object_shard_bytes(object) * 8), round % 2 == 0);
        uint64_t bad;
        assert_int_equal(rr_store_scrub(crowd->shelf.store, &bad, NULL), RR_OK);
    }
    atomic_store(&crowd->stop, true);
    for (unsigned i = 0; i < READERS + WRITERS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    print_message("%llu reads, %llu puts, %llu shards rebuilt\n", (unsigned long long)crowd->reads,
                  (unsigned long long)crowd->puts,
                  (unsigned long long)shelf_stats(&crowd->shelf).shards_repaired);
    assert_int_equal(crowd->wrong, 0);
    assert_true(crowd->reads > 0 && crowd->puts > 0);
    assert_true(shelf_stats(&crowd->shelf).shards_repaired >= rounds);
    shelf_wait(&crowd->shelf);
    shelf_expect_clean(&crowd->shelf, OBJECTS, OBJECTS * 6);
    shelf_clear(&crowd->shelf);
    rr_free(crowd->bytes);
    rr_free(crowd);
}

int main(void)
{
    shelf_seed();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_crowd_reads_right_while_shards_die_and_are_rebuilt),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

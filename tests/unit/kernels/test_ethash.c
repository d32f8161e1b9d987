/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "vectors.h"

#include "cpu/cpu.h"
#include "ethash/ethash.h"
#include "keccak/keccak.h"

/* Variants of the law that this processor runs, the law itself first. */
static const struct rr_ethash_kernels *next_variant(size_t *index)
{
    const struct rr_ethash_kernels *one = rr_ethash_kernels_at((*index)++);
    while (one != NULL && (one->needs & ~rr_cpu_features()) != 0) {
        one = rr_ethash_kernels_at((*index)++);
    }
    return one;
}

/* The light cache of one epoch, kept from row to row. */
static struct rr_ethash_node *cache;
static uint32_t cache_items;
static uint32_t dataset_items;
static uint32_t cache_epoch = UINT32_MAX;

static void use_epoch(uint32_t epoch)
{
    if (epoch == cache_epoch) {
        return;
    }
    uint8_t seed[32];
    free(cache);
    assert_true(rr_ethash_sizes(&cache_items, &dataset_items, epoch));
    cache = malloc(sizeof(*cache) * cache_items);
    assert_non_null(cache);
    rr_ethash_seed(seed, epoch);
    rr_ethash_cache(cache, cache_items, seed);
    cache_epoch = epoch;
}

static void check_size(char *row)
{
    const char *word = next_word(&row);
    uint32_t epoch =
        (uint32_t)strtol(word, NULL, 10); /* -1 is 2^32 - 1: beyond the last epoch too */
    uint64_t cache_bytes = next_u64(&row);
    uint64_t dataset_bytes = next_u64(&row);
    uint32_t items = 77;
    uint32_t dataset = 78;
    bool known = rr_ethash_sizes(&items, &dataset, epoch);
    assert_int_equal(known, cache_bytes != 0);
    if (!known) {
        assert_int_equal(items, 77);
        assert_int_equal(dataset, 78);
        return;
    }
    assert_int_equal(UINT64_C(64) * items, cache_bytes);
    assert_int_equal(UINT64_C(128) * dataset, dataset_bytes);
    assert_true(items <= RR_ETHASH_CACHE_ITEMS_MAX && dataset <= RR_ETHASH_DATASET_ITEMS_MAX);
}

static void sizes_of_epochs_equal_the_vectors(void **state)
{
    (void)state;
    assert_int_equal(each_row("ethash.txt", "size", check_size), 46);
}

static void check_seed(char *row)
{
    uint8_t want[32];
    uint8_t got[32];
    uint32_t epoch = (uint32_t)next_u64(&row);
    next_hex(&row, want, 32);
    rr_ethash_seed(got, epoch);
    assert_memory_equal(got, want, 32);
}

static void seeds_of_epochs_equal_the_vectors(void **state)
{
    (void)state;
    assert_int_equal(each_row("ethash.txt", "seed", check_seed), 6);
}

static unsigned caches_left_out;

static void check_cache(char *row)
{
    uint8_t want[32];
    uint8_t got[32];
    uint32_t epoch = (uint32_t)next_u64(&row);
    next_hex(&row, want, 32);
#ifdef RR_SANITIZED
    if (epoch > 1000) {
        caches_left_out++;
        return;
    }
#endif
    use_epoch(epoch);
    rr_keccak256(got, cache, sizeof(*cache) * cache_items);
    assert_memory_equal(got, want, 32);
}

static void light_caches_equal_the_vectors(void **state)
{
    (void)state;
    assert_int_equal(each_row("ethash.txt", "cache", check_cache), 3);
    if (caches_left_out > 0) {
        print_message("left out under sanitizers: %u cache of 272 MiB\n", caches_left_out);
    }
}

static void check_item(char *row)
{
    uint8_t want[128];
    struct rr_ethash_node got[2];
    use_epoch(13);
    uint32_t index = (uint32_t)next_u64(&row);
    next_hex(&row, want, 64);
    next_hex(&row, want + 64, 64);
    rr_ethash_item(got, cache, cache_items, index);
    assert_memory_equal(got, want, 128);
    const struct rr_ethash_kernels *variant;
    for (size_t i = 0; (variant = next_variant(&i)) != NULL;) {
        memset(got, 0, sizeof(got));
        variant->items(got, cache, cache_items, index, 1);
        assert_memory_equal(got, want, 128);
    }
}

static void dataset_items_equal_the_vectors(void **state)
{
    (void)state;
    assert_int_equal(each_row("ethash.txt", "item13", check_item), 11);
}

static void check_hash(char *row)
{
    uint8_t header[32];
    uint8_t want[2][32];
    uint8_t mix[32];
    uint8_t final[32];
    use_epoch((uint32_t)(next_u64(&row) / RR_ETHASH_EPOCH_BLOCKS));
    next_hex(&row, header, 32);
    uint64_t nonce = strtoull(next_word(&row), NULL, 16);
    rr_ethash_light(mix, final, cache, cache_items, dataset_items, header, nonce);
    next_hex(&row, want[0], 32);
    next_hex(&row, want[1], 32);
    assert_memory_equal(mix, want[0], 32);
    assert_memory_equal(final, want[1], 32);
    const struct rr_ethash_kernels *variant;
    for (size_t i = 0; (variant = next_variant(&i)) != NULL;) {
        struct rr_ethash_try made[3] = {{.nonce = 1}, {.nonce = nonce}, {.nonce = 2}};
        memcpy(made[1].header_hash, header, 32);
        variant->light(made, 3, cache, cache_items, dataset_items);
        assert_memory_equal(made[1].mix, want[0], 32);
        assert_memory_equal(made[1].final_be, want[1], 32);
    }
}

static void hashes_equal_the_vectors(void **state)
{
    (void)state;
    assert_int_equal(each_row("ethash.txt", "hash", check_hash), 4);
}

/* Also sizes of one, which have neither a neighbour nor a choice. */
static void full_and_light_hash_agree_for_any_sizes(void **state)
{
    (void)state;
    const uint32_t sizes[][2] = {{1, 1}, {1, 2}, {2, 1}, {251, 8191}, {16, 1000}};
    for (size_t s = 0; s < sizeof(sizes) / sizeof(sizes[0]); s++) {
        uint32_t items = sizes[s][0];
        uint32_t rows = sizes[s][1];
        struct rr_ethash_node *small = test_malloc(sizeof(*small) * items);
        struct rr_ethash_node *dataset = test_malloc(sizeof(*dataset) * rows * 2);
        uint8_t header[32];
        fill_counting(header, 32);
        rr_ethash_cache(small, items, header);
        for (uint32_t i = 0; i < rows; i++) {
            rr_ethash_item(dataset + 2 * (size_t)i, small, items, i);
        }
        for (uint64_t nonce = 0; nonce < 50; nonce++) {
            uint8_t a[2][32];
            uint8_t b[2][32];
            rr_ethash_light(a[0], a[1], small, items, rows, header,
                            nonce * UINT64_C(0x123456789abcdef));
            rr_ethash_full(b[0], b[1], dataset, rows, header, nonce * UINT64_C(0x123456789abcdef));
            assert_memory_equal(a, b, sizeof(a));
        }
        test_free(dataset);
        test_free(small);
    }
}

static void largest_prime_is_the_largest_prime(void **state)
{
    (void)state;
    uint32_t last = 0;
    assert_int_equal(rr_ethash_prime(0), 0);
    assert_int_equal(rr_ethash_prime(1), 0);
    for (uint32_t n = 2; n < 3000; n++) {
        bool prime = true;
        for (uint32_t d = 2; d < n; d++) {
            prime = prime && n % d != 0;
        }
        last = prime ? n : last;
        assert_int_equal(rr_ethash_prime(n), last);
    }
    assert_int_equal(rr_ethash_prime(UINT32_MAX), 4294967291u); /* the largest below 2^32 */
}

static int free_cache(void **state)
{
    (void)state;
    free(cache);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sizes_of_epochs_equal_the_vectors),
        cmocka_unit_test(seeds_of_epochs_equal_the_vectors),
        cmocka_unit_test(light_caches_equal_the_vectors),
        cmocka_unit_test(dataset_items_equal_the_vectors),
        cmocka_unit_test(hashes_equal_the_vectors),
        cmocka_unit_test(full_and_light_hash_agree_for_any_sizes),
        cmocka_unit_test(largest_prime_is_the_largest_prime),
    };
    return cmocka_run_group_tests(tests, NULL, free_cache);
}

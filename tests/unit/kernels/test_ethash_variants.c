/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Every variant against the law: random sizes (primes among them), counts with and without tails,
 * skewed addresses, guard zones. A variant that this processor cannot run is skipped, and said. */
#include "vectors.h"

#include "cpu/cpu.h"
#include "ethash/ethash.h"
#include "kcheck/kcheck.h"
#include "keccak/keccak.h"
#include <sys/mman.h>

#define ROWS_MAX  40u
#define TRIES_MAX 70u
#define LIGHT_MAX 34u
/* Nodes of random words: a cache, or a dataset of half as many rows, of any size up to here. */
#define NODES (1u << 20)

static struct rr_ethash_node *nodes;
static const struct rr_ethash_kernels *kernels; /* under test: kcheck's callbacks have no context */
static const struct rr_keccak_kernels *lanes_of;

static unsigned rounds(void)
{
    return getenv("RR_SHORT") != NULL ? 100 : 2000;
}

/* Fails with kcheck's sentence, or skips. */
static void check(const struct rr_kcheck *what, uint32_t needs)
{
    if ((needs & ~rr_cpu_features()) != 0) {
        print_message("left out: this processor lacks what the variant needs\n");
        skip();
    }
    char text[200];
    uint8_t *room = test_malloc(rr_kcheck_room(what));
    uint64_t seed = test_seed();
    print_message("%s: seed 0x%llx, %u rounds\n", what->name, (unsigned long long)seed, rounds());
    bool equal = rr_kcheck_run(what, seed, rounds(), room, text);
    test_free(room);
    if (!equal) {
        fail_msg("%s", text);
    }
}

/* ---- keccak -------------------------------------------------------------------------------------
 */
/* The input, repeated with its position mixed in, is the states. */
static uint64_t state_word(const uint8_t *in, size_t len, size_t at)
{
    struct rr_kcheck_random random = {at};
    for (size_t i = 0; i < len; i++) {
        random.state = random.state * 31 + in[i];
    }
    return rr_kcheck_u64(&random);
}

static void keccak_law(uint8_t *out, const uint8_t *in, size_t len)
{
    size_t states = lanes_of->states;
    for (size_t s = 0; s < states; s++) {
        uint64_t lanes[25];
        for (size_t i = 0; i < 25; i++) {
            lanes[i] = state_word(in, len, i * states + s);
        }
        rr_keccak_f1600(lanes);
        for (size_t i = 0; i < 25; i++) {
            memcpy(out + 8 * (i * states + s), &lanes[i], 8);
        }
    }
}

static void keccak_variant(uint8_t *out, const uint8_t *in, size_t len,
                           struct rr_kcheck_random *random)
{
    uint64_t lanes[25 * 8 + 8];
    uint64_t *skewed = lanes + rr_kcheck_below(random, 8); /* no alignment is promised */
    for (size_t i = 0; i < (size_t)25 * lanes_of->states; i++) {
        skewed[i] = state_word(in, len, i);
    }
    lanes_of->permute(skewed);
    memcpy(out, skewed, (size_t)200 * lanes_of->states);
}

static void permutation_equals_the_law(void **state)
{
    lanes_of = *state;
    const struct rr_kcheck what = {.name = lanes_of->name,
                                   .law = keccak_law,
                                   .variant = keccak_variant,
                                   .len_max = 100,
                                   .out_bytes = (size_t)200 * lanes_of->states};
    check(&what, lanes_of->needs);
}

/* ---- items --------------------------------------------------------------------------------------
 */
/* What a case is about, out of its input; a prime in half of the cases. */
static uint32_t size_of(uint64_t word, uint32_t max)
{
    uint32_t size = (uint32_t)(word >> 8) >> (word % 32); /* as many small as large ones */
    size = size % max + 1;
    return (word & 128) != 0 && size > 1 ? rr_ethash_prime(size) : size;
}

struct item_case {
    uint32_t cache_items, first, count;
};

static struct item_case item_case(const uint8_t *in, size_t len)
{
    uint64_t word = state_word(in, len, 0);
    uint64_t other = state_word(in, len, 1);
    uint32_t count = (uint32_t)(len + 31) / 32;
    uint32_t last = (other & 1) != 0 ? RR_ETHASH_DATASET_ITEMS_MAX : 100;
    return (struct item_case){size_of(word, NODES), (uint32_t)(other >> 32) % (last - count),
                              count};
}

static void items_law(uint8_t *out, const uint8_t *in, size_t len)
{
    struct item_case c = item_case(in, len);
    for (uint32_t i = 0; i < c.count; i++) {
        struct rr_ethash_node item[2];
        rr_ethash_item(item, nodes, c.cache_items, c.first + i);
        memcpy(out + (size_t)128 * i, item, 128);
    }
}

static void items_variant(uint8_t *out, const uint8_t *in, size_t len,
                          struct rr_kcheck_random *random)
{
    struct item_case c = item_case(in, len);
    _Alignas(64) uint8_t room[ROWS_MAX * 128 + 128];
    /* At 64 B stores go past the caches; elsewhere they do not. */
    size_t skew = rr_kcheck_below(random, 2) == 0 ? 0 : 4 * (size_t)rr_kcheck_below(random, 16);
    memset(room, 0x5a, sizeof(room));
    kernels->items((struct rr_ethash_node *)(void *)(room + skew), nodes, c.cache_items, c.first,
                   c.count);
    memcpy(out, room + skew, (size_t)128 * c.count);
    for (size_t i = 0; i < sizeof(room); i++) {
        bool inside = i >= skew && i < skew + (size_t)128 * c.count;
        assert_true(inside || room[i] == 0x5a);
    }
}

static void items_equal_the_law(void **state)
{
    kernels = *state;
    const struct rr_kcheck what = {.name = kernels->name,
                                   .law = items_law,
                                   .variant = items_variant,
                                   .len_max = 32 * ROWS_MAX,
                                   .out_per_chunk = 128,
                                   .chunk_bytes = 32};
    check(&what, kernels->needs);
}

/* ---- hashes -------------------------------------------------------------------------------------
 */
static size_t fill_tries(struct rr_ethash_try *tries, const uint8_t *in, size_t len)
{
    size_t count = (len + 31) / 32;
    for (size_t i = 0; i < count; i++) {
        memset(&tries[i], 0, sizeof(tries[i]));
        memcpy(tries[i].header_hash, in + 32 * i, len - 32 * i < 32 ? len - 32 * i : 32);
        tries[i].nonce = state_word(in, len < 32 ? len : 32, i + 2);
    }
    return count;
}

static void give(uint8_t *out, const struct rr_ethash_try *tries, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        memcpy(out + 64 * i, tries[i].mix, 32);
        memcpy(out + 64 * i + 32, tries[i].final_be, 32);
    }
}

static void hash_by_law(uint8_t *out, const uint8_t *in, size_t len,
                        const struct rr_ethash_node *dataset, uint32_t dataset_items)
{
    struct rr_ethash_try tries[TRIES_MAX];
    size_t count = fill_tries(tries, in, len);
    for (size_t i = 0; i < count; i++) {
        rr_ethash_full(tries[i].mix, tries[i].final_be, dataset, dataset_items,
                       tries[i].header_hash, tries[i].nonce);
    }
    give(out, tries, count);
}

static uint32_t full_rows(const uint8_t *in, size_t len)
{
    return size_of(state_word(in, len, 0), NODES / 2);
}

static void full_law(uint8_t *out, const uint8_t *in, size_t len)
{
    hash_by_law(out, in, len, nodes, full_rows(in, len));
}

static void full_variant(uint8_t *out, const uint8_t *in, size_t len,
                         struct rr_kcheck_random *random)
{
    (void)random;
    struct rr_ethash_try tries[TRIES_MAX];
    size_t count = fill_tries(tries, in, len);
    kernels->full(tries, count, nodes, full_rows(in, len));
    give(out, tries, count);
}

static void full_hashes_equal_the_law(void **state)
{
    kernels = *state;
    const struct rr_kcheck what = {.name = kernels->name,
                                   .law = full_law,
                                   .variant = full_variant,
                                   .len_max = 32 * TRIES_MAX,
                                   .out_per_chunk = 64,
                                   .chunk_bytes = 32};
    check(&what, kernels->needs);
}

/* Datasets that the law made from the first nodes: its full hash is its light one, and quick. */
static struct world {
    uint32_t cache_items, dataset_items;
    struct rr_ethash_node *dataset;
} worlds[] = {{1, 1, NULL},      {1, 2, NULL},      {2, 1, NULL},        {16, 1000, NULL},
              {251, 8191, NULL}, {1021, 509, NULL}, {65521, 2039, NULL}, {256, 64, NULL}};
#define WORLDS (sizeof(worlds) / sizeof(worlds[0]))

static const struct world *light_world(const uint8_t *in, size_t len)
{
    return &worlds[state_word(in, len, 0) % WORLDS];
}

static void light_law(uint8_t *out, const uint8_t *in, size_t len)
{
    const struct world *world = light_world(in, len);
    hash_by_law(out, in, len, world->dataset, world->dataset_items);
}

static void light_variant(uint8_t *out, const uint8_t *in, size_t len,
                          struct rr_kcheck_random *random)
{
    (void)random;
    const struct world *world = light_world(in, len);
    struct rr_ethash_try tries[LIGHT_MAX];
    size_t count = fill_tries(tries, in, len);
    kernels->light(tries, count, nodes, world->cache_items, world->dataset_items);
    give(out, tries, count);
}

static void light_hashes_equal_the_law(void **state)
{
    kernels = *state;
    const struct rr_kcheck what = {.name = kernels->name,
                                   .law = light_law,
                                   .variant = light_variant,
                                   .len_max = 32 * LIGHT_MAX,
                                   .out_per_chunk = 64,
                                   .chunk_bytes = 32};
    check(&what, kernels->needs);
}

/* ---- sizes beyond this machine ------------------------------------------------------------------
 */
#define TILE_BYTES ((size_t)16 << 20)
/* The same 16 MiB over and over, as many bytes as asked: a place tells its number modulo 2^18 or
 * 2^17, so that a remainder that is off by the divisor reads something else or beyond the end. */
static void *map_tiles(size_t bytes)
{
    int file = memfd_create("tiles", MFD_CLOEXEC);
    assert_true(file >= 0);
    assert_int_equal(ftruncate(file, (off_t)TILE_BYTES), 0);
    for (size_t at = 0; at < TILE_BYTES;) {
        ssize_t written = pwrite(file, (const uint8_t *)nodes + at, TILE_BYTES - at, (off_t)at);
        assert_true(written > 0);
        at += (size_t)written;
    }
    uint8_t *map = mmap(NULL, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    assert_true(map != MAP_FAILED);
    for (size_t at = 0; at < bytes; at += TILE_BYTES) {
        size_t len = bytes - at < TILE_BYTES ? bytes - at : TILE_BYTES;
        void *tile = mmap(map + at, len, PROT_READ, MAP_SHARED | MAP_FIXED, file, 0);
        assert_ptr_equal(tile, map + at);
    }
    assert_int_equal(close(file), 0);
    return map;
}

static void largest_sizes_are_divided_exactly(void **state)
{
    kernels = *state;
    if ((kernels->needs & ~rr_cpu_features()) != 0) {
        print_message("left out: this processor lacks what %s needs\n", kernels->name);
        skip();
    }
    const uint32_t rows[] = {RR_ETHASH_DATASET_ITEMS_MAX, RR_ETHASH_DATASET_ITEMS_MAX - 1,
                             (1u << 30) + 1, (1u << 30) - 35, 715827881};
    size_t bytes = (size_t)128 * RR_ETHASH_DATASET_ITEMS_MAX;
    const struct rr_ethash_node *tiles = map_tiles(bytes);
    for (size_t r = 0; r < sizeof(rows) / sizeof(rows[0]); r++) {
        struct rr_ethash_try tries[TRIES_MAX] = {0};
        for (size_t i = 0; i < TRIES_MAX; i++) {
            tries[i].nonce = i * UINT64_C(0x9e3779b97f4a7c15);
        }
        kernels->full(tries, TRIES_MAX, tiles, rows[r]);
        for (size_t i = 0; i < TRIES_MAX; i++) {
            uint8_t mix[32];
            uint8_t final_be[32];
            rr_ethash_full(mix, final_be, tiles, rows[r], tries[i].header_hash, tries[i].nonce);
            assert_memory_equal(tries[i].mix, mix, 32);
            assert_memory_equal(tries[i].final_be, final_be, 32);
        }
    }
    struct rr_ethash_node made[2 * ROWS_MAX];
    uint32_t first = RR_ETHASH_DATASET_ITEMS_MAX - ROWS_MAX;
    kernels->items(made, tiles, RR_ETHASH_CACHE_ITEMS_MAX, first, ROWS_MAX);
    for (uint32_t i = 0; i < ROWS_MAX; i++) {
        struct rr_ethash_node item[2];
        rr_ethash_item(item, tiles, RR_ETHASH_CACHE_ITEMS_MAX, first + i);
        assert_memory_equal(&made[2 * (size_t)i], item, sizeof(item));
    }
    assert_int_equal(munmap((void *)(uintptr_t)tiles, bytes), 0);
}

/* ---- choice -------------------------------------------------------------------------------------
 */
static void the_mask_narrows_the_choice(void **state)
{
    (void)state;
    assert_string_equal(rr_ethash_kernels_choose(0)->name, "ref");
    assert_string_equal(rr_ethash_kernels_choose(0x80000000u)->name, "ref");
    for (size_t i = 0; rr_ethash_kernels_at(i) != NULL; i++) {
        const struct rr_ethash_kernels *one = rr_ethash_kernels_at(i);
        const struct rr_ethash_kernels *got = rr_ethash_kernels_choose(one->needs);
        bool here = (one->needs & ~rr_cpu_features()) == 0;
        assert_int_equal(here, got == one);
        assert_int_equal(got->needs & ~one->needs, 0);
    }
    uint32_t all = rr_cpu_features();
    rr_cpu_narrow(0);
    assert_string_equal(rr_ethash_kernels_choose(UINT32_MAX)->name, "ref");
    rr_cpu_narrow(UINT32_MAX);
    assert_int_equal(rr_cpu_features(), all);
}

static void the_processor_has_a_name(void **state)
{
    (void)state;
    char name[49];
    memset(name, 'x', sizeof(name));
    rr_cpu_name(name);
    size_t len = strnlen(name, sizeof(name));
    assert_true(len > 0 && len < sizeof(name));
    assert_true(name[0] != ' ' && name[len - 1] != ' ');
}

static int make_worlds(void **state)
{
    (void)state;
    nodes = malloc(sizeof(*nodes) * NODES);
    assert_non_null(nodes);
    struct rr_kcheck_random random = {7};
    for (size_t i = 0; i < NODES; i++) {
        for (int w = 0; w < 16; w++) {
            nodes[i].word[w] = (uint32_t)rr_kcheck_u64(&random);
        }
    }
    for (size_t i = 0; i < WORLDS; i++) {
        struct world *world = &worlds[i];
        world->dataset = malloc(sizeof(*nodes) * 2 * world->dataset_items);
        assert_non_null(world->dataset);
        for (uint32_t row = 0; row < world->dataset_items; row++) {
            rr_ethash_item(world->dataset + 2 * (size_t)row, nodes, world->cache_items, row);
        }
    }
    return 0;
}

static int free_worlds(void **state)
{
    (void)state;
    for (size_t i = 0; i < WORLDS; i++) {
        free(worlds[i].dataset);
    }
    free(nodes);
    return 0;
}

static struct CMUnitTest tests[64];
static char names[64][80];
static size_t test_count;

static void add(const char *variant, const char *sentence, CMUnitTestFunction run,
                const void *about)
{
    assert_true(test_count < 64);
    (void)snprintf(names[test_count], sizeof(names[0]), "%s_%s", variant, sentence);
    tests[test_count] = (struct CMUnitTest){
        .name = names[test_count], .test_func = run, .initial_state = (void *)(uintptr_t)about};
    test_count++;
}

int main(void)
{
    for (size_t i = 1; rr_keccak_kernels_at(i) != NULL; i++) {
        const struct rr_keccak_kernels *one = rr_keccak_kernels_at(i);
        add(one->name, "permutation_equals_the_law", permutation_equals_the_law, one);
    }
    for (size_t i = 1; rr_ethash_kernels_at(i) != NULL; i++) {
        const struct rr_ethash_kernels *one = rr_ethash_kernels_at(i);
        add(one->name, "items_equal_the_law", items_equal_the_law, one);
        add(one->name, "full_hashes_equal_the_law", full_hashes_equal_the_law, one);
        add(one->name, "light_hashes_equal_the_law", light_hashes_equal_the_law, one);
        add(one->name, "sizes_at_the_limits_are_divided_exactly", largest_sizes_are_divided_exactly,
            one);
    }
    add("any", "mask_narrows_the_choice", the_mask_narrows_the_choice, NULL);
    add("any", "processor_has_a_name", the_processor_has_a_name, NULL);
    return _cmocka_run_group_tests("ethash variants", tests, test_count, make_worlds, free_worlds);
}

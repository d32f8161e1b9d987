/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The CUDA kernels themselves, run on the CPU thread by thread, against the plain law. */
#include "cuda/emulator.h"
#include "ethash/ethash.h"
#include "ethash/ethash_gpu.h"
#include "unit/kernels/vectors.h"

#include "base/base.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define CACHE_ITEMS   251
#define DATASET_ITEMS 8191 /* 1 MiB */
#define JOBS_MAX      64
#define BLOCKS_MAX    256

static struct rr_ethash_node *cache;
static struct rr_ethash_node *dataset;
static struct rr_prng prng;

static const char *const variants[] = {"lanes8_4_128", "lanes8_4_256", "lanes8_8_128",
                                       "lanes8_8_256", "bulk_1_128",   "persist_4_128",
                                       "persist_8_128"};

static void launch(const struct emulated_kernel *kernels, const char *name, uint32_t blocks,
                   uint32_t threads, const void *arguments)
{
    char full[64];
    (void)snprintf(full, sizeof(full), "rr_ethash_gpu_%s", name);
    const struct emulated_kernel *kernel = emulated_find(kernels, full);
    assert_non_null(kernel);
    emulator_launch(kernel, blocks, threads, arguments);
}

static const struct rr_ethash_gpu_quad *quads(const struct rr_ethash_node *nodes)
{
    return (const struct rr_ethash_gpu_quad *)(const void *)nodes;
}
static struct rr_ethash_gpu_rows rows_of(const struct rr_ethash_node *nodes, uint32_t items)
{
    return (struct rr_ethash_gpu_rows){.quads = quads(nodes),
                                       .items = rr_ethash_gpu_modulus(items)};
}

static int make_dataset(void **state)
{
    (void)state;
    uint64_t seed = 0;
    rr_random(&seed, sizeof(seed));
    const char *given = getenv("RR_SEED");
    seed = given != NULL ? strtoull(given, NULL, 0) : seed;
    rr_prng_seed(&prng, seed);
    print_message("seed %" PRIu64 " (RR_SEED repeats it)\n", seed);
    static const uint8_t key[32] = {3, 1, 4};
    cache = rr_alloc_aligned(CACHE_ITEMS * sizeof(*cache));
    dataset = rr_alloc_aligned(2 * DATASET_ITEMS * sizeof(*dataset));
    rr_ethash_cache(cache, CACHE_ITEMS, key);
    for (uint32_t i = 0; i < DATASET_ITEMS; i++) {
        rr_ethash_item(dataset + 2 * (size_t)i, cache, CACHE_ITEMS, i);
    }
    return 0;
}
static int free_dataset(void **state)
{
    (void)state;
    rr_free(cache);
    rr_free(dataset);
    return 0;
}

static void nodes_of_the_dataset_equal_the_law_in_slices_of_any_size(void **state)
{
    (void)state;
    struct rr_ethash_node *made = rr_alloc_aligned(2 * DATASET_ITEMS * sizeof(*made));
    memset(made, 0xa5, 2 * DATASET_ITEMS * sizeof(*made));
    uint32_t until = getenv("RR_SHORT") != NULL ? 1000 : 2 * DATASET_ITEMS;
    for (uint32_t first = 0; first < until;) {
        uint32_t count = 1 + (uint32_t)rr_prng_below(&prng, 3000);
        count = count < until - first ? count : until - first;
        struct rr_ethash_gpu_build build = {.cache = quads(cache),
                                            .dataset = (struct rr_ethash_gpu_quad *)(void *)made,
                                            .cache_items = rr_ethash_gpu_modulus(CACHE_ITEMS),
                                            .first = first,
                                            .count = count};
        launch(emulated_kernels, "build", (count + 127) / 128, 128, &build);
        first += count;
        if (first < 2 * DATASET_ITEMS) {
            assert_int_equal(made[first].word[3], 0xa5a5a5a5); /* not one more */
        }
    }
    for (uint32_t i = 0; i < until; i++) {
        assert_memory_equal(&made[i], &dataset[i], sizeof(made[i]));
    }
    rr_free(made);
}

/* Caches and datasets of a single item, of two, of powers of two: the reciprocal's corners. */
static void smallest_sizes_equal_the_law(void **state)
{
    (void)state;
    static const uint32_t sizes[] = {1, 2, 3, 4, 64, 97};
    for (size_t s = 0; s < RR_COUNT(sizes); s++) {
        uint32_t n = sizes[s];
        struct rr_ethash_node *made = rr_alloc_aligned((size_t)2 * n * sizeof(*made));
        struct rr_ethash_gpu_build build = {.cache = quads(cache),
                                            .dataset = (struct rr_ethash_gpu_quad *)(void *)made,
                                            .cache_items = rr_ethash_gpu_modulus(n),
                                            .count = 2 * n};
        launch(emulated_kernels, "build", (2 * n + 127) / 128, 128, &build);
        for (uint32_t i = 0; i < n; i++) {
            struct rr_ethash_node law[2];
            rr_ethash_item(law, cache, n, i);
            assert_memory_equal(&made[2 * (size_t)i], law, sizeof(law));
        }
        struct rr_ethash_gpu_check check = {.nonce = rr_prng_u64(&prng)};
        struct rr_ethash_gpu_verify verify = {
            .rows = rows_of(made, n), .checks = &check, .count = 1};
        launch(emulated_kernels, "verify", 1, 128, &verify);
        uint8_t mix[32];
        uint8_t final[32];
        rr_ethash_full(mix, final, made, n, (const uint8_t *)check.header, check.nonce);
        assert_memory_equal(check.mix, mix, 32);
        assert_memory_equal(check.final, final, 32);
        rr_free(made);
    }
}

static void the_reciprocal_gives_the_remainder(void **state)
{
    (void)state;
    for (int i = 0; i < 2000000; i++) {
        uint32_t n = ((uint32_t)rr_prng_u64(&prng) & 0x7fffffff) >> rr_prng_below(&prng, 31);
        n = n == 0 ? 1 : n;
        uint32_t x = (uint32_t)rr_prng_u64(&prng);
        uint32_t choice = (uint32_t)rr_prng_below(&prng, 4);
        x = choice == 0 ? UINT32_MAX - x % 3 : choice == 1 ? x / n * n : x;
        x = choice == 2 ? x / n * n - 1 : x;
        struct rr_ethash_gpu_modulus m = rr_ethash_gpu_modulus(n);
        uint32_t r = x - (uint32_t)((uint64_t)x * m.reciprocal >> 32) * n;
        uint32_t less = r - n;
        assert_int_equal(less < r ? less : r, x % n);
    }
}

static void verify_equals_the_law_for_any_number_of_checks(void **state)
{
    (void)state;
    static const uint32_t counts[] = {1, 7, 127, 128, 129, 300};
    for (size_t c = 0; c < RR_COUNT(counts); c++) {
        struct rr_ethash_gpu_check checks[301];
        rr_prng_bytes(&prng, checks, sizeof(checks));
        checks[0].nonce = UINT64_MAX;
        struct rr_ethash_gpu_check before = checks[counts[c]];
        struct rr_ethash_gpu_verify verify = {
            .rows = rows_of(dataset, DATASET_ITEMS), .checks = checks, .count = counts[c]};
        launch(emulated_kernels, "verify", (counts[c] + 127) / 128, 128, &verify);
        for (uint32_t i = 0; i < counts[c]; i++) {
            uint8_t mix[32];
            uint8_t final[32];
            rr_ethash_full(mix, final, dataset, DATASET_ITEMS, (const uint8_t *)checks[i].header,
                           checks[i].nonce);
            assert_memory_equal(checks[i].mix, mix, 32);
            assert_memory_equal(checks[i].final, final, 32);
        }
        assert_memory_equal(&checks[counts[c]], &before, sizeof(before));
    }
}

/* ---- searches -----------------------------------------------------------------------------------
 */
struct table {
    struct rr_ethash_gpu_job jobs[JOBS_MAX];
    uint32_t block_job[BLOCKS_MAX];
    struct rr_ethash_gpu_candidate candidates[BLOCKS_MAX + 4];
    struct rr_ethash_gpu_result results[JOBS_MAX];
    uint32_t jobs_count, blocks;
};

static void add_job(struct table *table, uint64_t nonce, uint32_t count, uint32_t kind,
                    uint64_t top_max)
{
    struct rr_ethash_gpu_job *job = &table->jobs[table->jobs_count];
    rr_prng_bytes(&prng, job->header, sizeof(job->header));
    job->nonce = nonce;
    job->count = count;
    job->kind = kind;
    job->top_max = top_max;
    job->block_first = table->blocks;
    job->block_count = (count + 127) / 128;
    assert_true(table->blocks + job->block_count <= BLOCKS_MAX && table->jobs_count < JOBS_MAX);
    for (uint32_t i = 0; i < job->block_count; i++) {
        table->block_job[table->blocks++] = table->jobs_count;
    }
    table->jobs_count++;
}

static void run(struct table *table, const struct emulated_kernel *kernels, const char *variant)
{
    memset(table->candidates, 0x5a, sizeof(table->candidates));
    memset(table->results, 0x5a, sizeof(table->results));
    uint32_t counter = 0;
    uint32_t threads = strstr(variant, "256") != NULL ? 256 : 128;
    uint32_t grid = (table->blocks * 128 + threads - 1) / threads;
    struct rr_ethash_gpu_search search = {.rows = rows_of(dataset, DATASET_ITEMS),
                                          .jobs = table->jobs,
                                          .block_job = table->block_job,
                                          .candidates = table->candidates,
                                          .counter = &counter,
                                          .blocks = table->blocks};
    launch(kernels, variant, strncmp(variant, "persist", 7) == 0 ? 2 : grid, threads, &search);
    for (size_t i = table->blocks; i < RR_COUNT(table->candidates); i++) {
        assert_int_equal(table->candidates[i].offset, 0x5a5a5a5a);
    }
    struct rr_ethash_gpu_tail tail = {.rows = rows_of(dataset, DATASET_ITEMS),
                                      .jobs = table->jobs,
                                      .candidates = table->candidates,
                                      .results = table->results,
                                      .jobs_count = table->jobs_count};
    launch(kernels, "tail", table->jobs_count, 128, &tail);
    launch(kernels, "finish", (table->jobs_count + 127) / 128, 128, &tail);
}

static uint64_t top_of(const uint8_t final[32])
{
    uint64_t top = 0;
    for (int i = 0; i < 8; i++) {
        top = top << 8 | final[i];
    }
    return top;
}

/* What a job must give, nonce after nonce. */
static void check_job(const struct rr_ethash_gpu_job *job,
                      const struct rr_ethash_gpu_result *result, uint64_t mask)
{
    uint64_t best_top = UINT64_MAX;
    uint32_t best = RR_ETHASH_GPU_NONE;
    uint32_t ties = 0;
    uint8_t best_final[32] = {0};
    for (uint32_t i = 0; i < job->count; i++) {
        uint8_t mix[32];
        uint8_t final[32];
        rr_ethash_full(mix, final, dataset, DATASET_ITEMS, (const uint8_t *)job->header,
                       job->nonce + i);
        uint64_t top = top_of(final) & mask;
        bool take = job->kind == RR_ETHASH_GPU_TARGET
                        ? best == RR_ETHASH_GPU_NONE && top <= (job->top_max & mask)
                        : best == RR_ETHASH_GPU_NONE || top < best_top;
        ties = take ? 1 : ties + (top == best_top ? 1 : 0);
        if (take) {
            best = i;
            best_top = top;
            memcpy(best_final, final, 32);
        }
    }
    assert_int_equal(result->offset, best);
    assert_int_equal(result->hashed, job->count);
    if (best != RR_ETHASH_GPU_NONE) {
        assert_true(result->top == best_top);
        assert_memory_equal(result->final, best_final, 32);
    }
    if (job->kind == RR_ETHASH_GPU_ARGMIN) {
        assert_int_equal(result->ties, ties);
    }
}

static void fill_table(struct table *table)
{
    memset(table, 0, sizeof(*table));
    static const uint32_t counts[] = {1, 2, 31, 127, 128, 129, 255, 256, 257, 700};
    for (size_t i = 0; i < RR_COUNT(counts); i++) {
        uint32_t kind = i % 2 == 0 ? RR_ETHASH_GPU_ARGMIN : RR_ETHASH_GPU_TARGET;
        uint64_t top_max = UINT64_MAX >> rr_prng_below(&prng, 12); /* found early, late, never */
        uint64_t nonce = i % 3 == 0   ? UINT64_MAX - counts[i] + 1 /* the last ones there are */
                         : i % 3 == 1 ? UINT32_MAX - counts[i] / 2
                                      : rr_prng_u64(&prng) / 2;
        add_job(table, nonce, counts[i], kind, top_max);
        add_job(table, nonce + 3, counts[i] - (i % 3 == 0 && counts[i] > 3 ? 3 : 0),
                RR_ETHASH_GPU_ARGMIN + RR_ETHASH_GPU_TARGET - kind, i == 4 ? 0 : top_max);
    }
}

static void every_variant_equals_the_law(void **state)
{
    (void)state;
    struct table *table = rr_alloc(sizeof(*table));
    for (size_t v = 0; v < RR_COUNT(variants); v++) {
        fill_table(table);
        run(table, emulated_kernels, variants[v]);
        for (uint32_t i = 0; i < table->jobs_count; i++) {
            check_job(&table->jobs[i], &table->results[i], UINT64_MAX);
        }
    }
    rr_free(table);
}

static void ties_of_the_top_bits_are_counted_and_the_lower_nonce_wins(void **state)
{
    (void)state;
    struct table *table = rr_alloc(sizeof(*table));
    for (size_t v = 0; v < RR_COUNT(variants); v++) {
        fill_table(table);
        run(table, emulated_kernels_narrow, variants[v]);
        uint32_t tied = 0;
        for (uint32_t i = 0; i < table->jobs_count; i++) {
            check_job(&table->jobs[i], &table->results[i], UINT64_C(0xfc) << 56);
            tied += table->jobs[i].kind == RR_ETHASH_GPU_ARGMIN && table->results[i].ties > 1;
        }
        assert_true(tied >= 4); /* 700 nonces in 64 classes */
    }
    rr_free(table);
}

/* A job of more blocks than the tail has threads. */
static void a_job_of_many_blocks_is_reduced_whole(void **state)
{
    (void)state;
    struct table *table = rr_alloc(sizeof(*table));
    add_job(table, 77, 150 * 128 + 5, RR_ETHASH_GPU_ARGMIN, 0);
    if (getenv("RR_SHORT") != NULL) {
        table->jobs[0].count = 130;
        table->jobs[0].block_count = 2;
        table->blocks = 2;
    }
    run(table, emulated_kernels, "lanes8_8_256");
    check_job(&table->jobs[0], &table->results[0], UINT64_MAX);
    rr_free(table);
}

int main(void)
{
#ifdef __SANITIZE_THREAD__
    return 77; /* one thread, whose fibres cost this sanitizer minutes */
#endif
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nodes_of_the_dataset_equal_the_law_in_slices_of_any_size),
        cmocka_unit_test(smallest_sizes_equal_the_law),
        cmocka_unit_test(the_reciprocal_gives_the_remainder),
        cmocka_unit_test(verify_equals_the_law_for_any_number_of_checks),
        cmocka_unit_test(every_variant_equals_the_law),
        cmocka_unit_test(ties_of_the_top_bits_are_counted_and_the_lower_nonce_wins),
        cmocka_unit_test(a_job_of_many_blocks_is_reduced_whole),
    };
    return cmocka_run_group_tests(tests, make_dataset, free_dataset);
}

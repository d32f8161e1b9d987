/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Everything that will be timed, first compared with the plain law on random inputs. */
#include "bench/gpu_bench.h"
#include <stdio.h>
#include <string.h>

struct law {
    const struct rr_ethash_node *dataset;
    uint32_t items;
};

static bool work_holds(const struct law *law, const struct hash_work *work,
                       const struct hash_candidate *got)
{
    struct hash_candidate best = {.found = false};
    for (uint32_t i = 0; i < work->count; i++) {
        uint8_t mix[32];
        struct hash_candidate tried = {.found = true, .nonce = work->nonce + i};
        rr_ethash_full(mix, tried.final_be, law->dataset, law->items, work->header_hash,
                       tried.nonce);
        bool solves = memcmp(tried.final_be, work->boundary_be, 32) <= 0;
        if (work->kind == RR_HASH_TARGET
                ? solves
                : !best.found || memcmp(tried.final_be, best.final_be, 32) < 0) {
            best = tried;
            if (work->kind == RR_HASH_TARGET) {
                break;
            }
        }
    }
    return got->found == best.found && got->nonce == best.nonce &&
           memcmp(got->final_be, best.final_be, 32) == 0;
}

static struct hash_work random_work(struct gpu_bench *bench, const struct law *law, uint32_t most)
{
    struct hash_work work = {.count = 1 + (uint32_t)rr_prng_below(&bench->prng, most)};
    rr_prng_bytes(&bench->prng, work.header_hash, 32);
    rr_prng_bytes(&bench->prng, work.boundary_be, 32);
    work.kind = rr_prng_below(&bench->prng, 2) == 0 ? RR_HASH_TARGET : RR_HASH_ARGMIN;
    work.nonce = rr_prng_u64(&bench->prng);
    if (work.nonce > UINT64_MAX - work.count || rr_prng_below(&bench->prng, 4) == 0) {
        work.nonce = UINT64_MAX - work.count + 1;
    }
    work.boundary_be[0] = (uint8_t)rr_prng_below(&bench->prng, 6);
    if (work.boundary_be[0] == 5) { /* one of its own finals, exactly */
        uint8_t mix[32];
        rr_ethash_full(mix, work.boundary_be, law->dataset, law->items, work.header_hash,
                       work.nonce + rr_prng_below(&bench->prng, work.count));
    }
    return work;
}

static void check_ways(struct gpu_bench *bench, const struct law *law)
{
    struct cuda_way ways[16];
    uint32_t count = run_ways(bench, ways);
    size_t works = bench->dry ? 5 : 100;
    struct hash_work *asked = rr_alloc_array(works, sizeof(*asked));
    struct hash_candidate *got = rr_alloc_array(works, sizeof(*got));
    for (uint32_t i = 0; i < count; i++) {
        struct rr_fault fault = {0};
        char text[96] = "";
        cuda_way_text(text, &ways[i]);
        bench->epoch->way = ways[i];
        enum rr_err err =
            hash_backend_prove(&hash_backend_cuda, bench->epoch, i % 2, bench->light, &fault);
        bool holds = err == RR_OK;
        for (size_t w = 0; w < works; w++) {
            asked[w] = random_work(bench, law, bench->dry ? 200 : 600);
        }
        memset(got, 0xa5, works * sizeof(*got));
        kit_check(hash_backend_cuda.search(bench->epoch, i % 2, got, asked, works, &fault), text,
                  &fault);
        for (size_t w = 0; w < works; w++) {
            holds = work_holds(law, &asked[w], &got[w]) && holds;
        }
        kit_holds(bench, holds, text);
        kit_json(",");
    }
    rr_free(asked);
    rr_free(got);
}

static void check_verify(struct gpu_bench *bench, const struct law *law)
{
    size_t count = bench->dry ? 130 : 5000;
    struct rr_hash_check *checks = rr_alloc_array(count, sizeof(*checks));
    struct rr_fault fault = {0};
    rr_prng_bytes(&bench->prng, checks, count * sizeof(*checks));
    kit_check(hash_backend_cuda.verify(bench->epoch, checks, count, &fault), "verify", &fault);
    bool holds = true;
    for (size_t i = 0; i < count; i++) {
        uint8_t mix[32];
        uint8_t final[32];
        rr_ethash_full(mix, final, law->dataset, law->items, checks[i].header_hash,
                       checks[i].nonce);
        holds = holds && memcmp(mix, checks[i].mix, 32) == 0 &&
                memcmp(final, checks[i].final_be, 32) == 0;
    }
    rr_free(checks);
    kit_holds(bench, holds, "verify");
    kit_json(",");
}

static uint32_t read_words(struct gpu_bench *bench, uint32_t *out, uint32_t count)
{
    const struct cuda_driver *driver = bench->device->driver;
    void *stream = bench->device->slots[0].stream;
    kit_code(bench, driver->to_host(out, bench->words, count * sizeof(*out), stream), "words");
    kit_code(bench, driver->stream_wait(stream), "words");
    uint32_t sum = 0;
    for (uint32_t i = 0; i < count; i++) {
        sum ^= out[i];
    }
    return sum;
}

static uint32_t next(uint32_t x)
{
    return x * 1664525u + 1013904223u;
}

/* Probes that skip reads would flatter; what they add up is added up here as well. */
static void check_probes(struct gpu_bench *bench, const struct law *law)
{
    static uint32_t words[512];
    static const uint32_t rows_of[] = {1, 2, 4, 8, 16};
    bool holds = true;
    const uint32_t *data = law->dataset[0].word;
    for (int k = 0; k < 5; k++) {
        (void)run_probe_ms(bench, (enum gpu_probe)(GPU_probe_gather_1 + k), bench->epoch->dataset,
                           law->items, 4, 3);
        (void)read_words(bench, words, 512);
        for (uint32_t thread = 0; thread < 512; thread++) {
            uint32_t x = (thread / 8 + 1) * 2654435769u ^ bench->probe_seed;
            uint32_t sum = 0;
            for (uint32_t i = 0; i < 3 * rows_of[k]; i++) {
                x = next(x);
                size_t row = (uint64_t)x * law->items >> 32;
                const uint32_t *quad = data + 32 * row + 4 * (size_t)(thread & 7);
                sum ^= quad[0] ^ quad[1] ^ quad[2] ^ quad[3];
            }
            holds = holds && words[thread] == sum;
        }
    }
    kit_holds(bench, holds, "probe of random rows");
    kit_json(",");

    (void)run_probe_ms(bench, GPU_probe_chain, bench->epoch->dataset, law->items, 1, 40);
    (void)read_words(bench, words, 128);
    holds = true;
    for (uint32_t group = 0; group < 16; group++) {
        uint32_t x = (group + 1) * 2654435769u ^ bench->probe_seed;
        for (uint32_t turn = 0; turn < 40; turn++) {
            size_t row = (uint64_t)next(x) * law->items >> 32;
            x = next(x) ^ data[32 * row + 4 * (turn & 7) + (turn & 3)];
        }
        holds = holds && words[(size_t)group * 8] == x;
    }
    kit_holds(bench, holds, "probe of chains");
    kit_json(",");

    (void)run_probe_ms(bench, GPU_probe_stream, bench->epoch->dataset, law->items, 4, 0);
    uint32_t got = read_words(bench, words, 512);
    for (size_t i = 0; i < (size_t)law->items * 32; i++) {
        got ^= data[i];
    }
    kit_holds(bench, got == 0, "probe of streams");
    kit_json(",");
}

static void check_usual(struct gpu_bench *bench, const struct law *law)
{
    uint32_t blocks = bench->dry ? 2 : 40;
    struct rr_ethash_gpu_usual usual = {.rows = cuda_rows(bench->epoch),
                                        .nonce = rr_prng_u64(&bench->prng) / 2,
                                        .top_max = UINT64_MAX / (blocks * 64),
                                        .out = cuda_pointer(bench->words)};
    rr_prng_bytes(&bench->prng, usual.header, 32);
    (void)run_usual_ms(bench, &usual, blocks);
    uint32_t words[RR_ETHASH_GPU_USUAL_MAX + 1];
    (void)read_words(bench, words, RR_ETHASH_GPU_USUAL_MAX + 1);
    uint32_t solved = 0;
    uint32_t found = 0;
    for (uint32_t i = 0; i < blocks * 128; i++) {
        uint8_t mix[32];
        uint8_t final[32];
        uint64_t top = 0;
        rr_ethash_full(mix, final, law->dataset, law->items, (const uint8_t *)usual.header,
                       usual.nonce + i);
        for (int b = 0; b < 8; b++) {
            top = top << 8 | final[b];
        }
        solved += top <= usual.top_max;
        for (uint32_t w = 0; w < words[0] && w < RR_ETHASH_GPU_USUAL_MAX; w++) {
            found += top <= usual.top_max && words[1 + w] == i;
        }
    }
    uint32_t kept = solved < RR_ETHASH_GPU_USUAL_MAX ? solved : RR_ETHASH_GPU_USUAL_MAX;
    kit_holds(bench, words[0] == solved && found == kept, "the usual way");
}

void check_kernels(struct gpu_bench *bench)
{
    struct rr_hash_params params = {.cache_items = 251, .dataset_items = bench->dry ? 509 : 8191};
    double unused = 0;
    rr_prng_bytes(&bench->prng, params.seed, sizeof(params.seed));
    if (!run_epoch(bench, &params, &unused, &unused)) {
        kit_fail("no memory for a dataset of 1 MiB", NULL);
    }
    struct rr_ethash_node *dataset =
        rr_alloc_array((size_t)2 * params.dataset_items, sizeof(*dataset));
    for (uint32_t i = 0; i < params.dataset_items; i++) {
        rr_ethash_item(dataset + 2 * (size_t)i, hash_light_cache(bench->light), params.cache_items,
                       i);
    }
    const struct cuda_driver *driver = bench->device->driver;
    void *stream = bench->device->slots[0].stream;
    size_t bytes = (size_t)2 * params.dataset_items * sizeof(*dataset);
    struct rr_ethash_node *made = rr_alloc_array((size_t)2 * params.dataset_items, sizeof(*made));
    kit_code(bench, driver->to_host(made, bench->epoch->dataset, bytes, stream), "dataset");
    kit_code(bench, driver->stream_wait(stream), "dataset");
    kit_json(",\n  \"checks\": [");
    kit_holds(bench, memcmp(made, dataset, bytes) == 0, "dataset, every byte");
    kit_json(",");
    rr_free(made);
    struct law law = {dataset, params.dataset_items};
    check_ways(bench, &law);
    check_verify(bench, &law);
    check_probes(bench, &law);
    check_usual(bench, &law);
    kit_json("\n  ]");
    rr_free(dataset);
    run_drop(bench);
}

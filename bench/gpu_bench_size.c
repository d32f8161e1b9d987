/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Searches beside the probes, on the same buffer, in turns. */
#include "bench/gpu_bench.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define PROBES_MAX 40u
#define BEST       3u /* probes that take part in the rounds */

struct gather {
    enum gpu_probe probe;
    uint32_t rows, per_unit, grid, turns;
    double first_rate;
    struct kit_times rates; /* rows/s */
};
struct search {
    struct cuda_way way;
    struct kit_times rates; /* hashes/s */
};

struct rr_hash_params size_params(const struct gpu_bench *bench, uint32_t epoch)
{
    struct rr_hash_params params = {.cache_items = 67, .dataset_items = 509};
    struct rr_fault fault = {0};
    if (!bench->dry) {
        kit_check(rr_hash_params_epoch(&params, epoch, RR_HASH_ETHASH_BLOCKS, &fault), "epoch",
                  &fault);
    }
    return params;
}

/* ---- the probe of random rows -------------------------------------------------------------------
 */
static double gather_once(struct gpu_bench *bench, const struct gather *gather, cuda_address quads,
                          uint64_t rows)
{
    double ms = run_probe_ms(bench, gather->probe, quads, rows, gather->grid, gather->turns);
    return (double)gather->grid * 16 * gather->rows * gather->turns / ms * 1e3;
}

/* Every shape once; the best ones first. Rows in all as those of a search of `blocks` blocks. */
static uint32_t sweep(struct gpu_bench *bench, struct gather *out, cuda_address quads,
                      uint64_t rows, uint32_t blocks)
{
    static const uint32_t rows_of[] = {1, 2, 4, 8, 16};
    static const uint32_t per_units[] = {2, 4, 6, 8, 12, 16};
    uint32_t count = 0;
    for (size_t r = 0; r < RR_COUNT(rows_of); r++) {
        for (size_t u = 0; u < RR_COUNT(per_units) - (bench->dry ? 4 : 0); u++) {
            struct gather *gather = &out[count++];
            int resident = 0;
            *gather = (struct gather){.probe = (enum gpu_probe)(GPU_probe_gather_1 + (int)r),
                                      .rows = rows_of[r],
                                      .per_unit = per_units[u]};
            if (bench->device->driver->occupancy(&resident, bench->probes[gather->probe], 128, 0) ==
                    CUDA_OK &&
                (uint32_t)resident < gather->per_unit) {
                count--; /* would come in waves */
                continue;
            }
            gather->grid = gather->per_unit * bench->device->units;
            uint64_t all = (uint64_t)blocks * RR_ETHASH_GPU_BLOCK * 64;
            gather->turns = (uint32_t)(all / ((uint64_t)gather->grid * 16 * gather->rows)) + 1;
            if (bench->dry) {
                gather->turns = 2;
            }
            gather->first_rate = gather_once(bench, gather, quads, rows);
        }
    }
    for (uint32_t i = 0; i < count; i++) {
        for (uint32_t j = i + 1; j < count; j++) {
            if (out[j].first_rate > out[i].first_rate) {
                struct gather swap = out[i];
                out[i] = out[j];
                out[j] = swap;
            }
        }
    }
    return count;
}

static void gather_json(const struct gather *gathers, uint32_t count)
{
    kit_json(",\n    \"gather_sweep\": [");
    for (uint32_t i = 0; i < count; i++) {
        kit_json(
            "%s\n      {\"rows\": %" PRIu32 ", \"per_sm\": %" PRIu32 ", \"mrows_per_s\": %.2f}",
            i > 0 ? "," : "", gathers[i].rows, gathers[i].per_unit, gathers[i].first_rate / 1e6);
    }
    kit_json("\n    ]");
}

/* ---- one size -----------------------------------------------------------------------------------
 */
struct contest {
    struct gather gathers[PROBES_MAX];
    struct search searches[16];
    struct kit_times usual; /* hashes/s */
    uint32_t gathers_count, best, searches_count, blocks;
};

/* Blocks of a launch that takes some 10 ms or more: the ends of launches then count little. */
static uint32_t launch_blocks(struct gpu_bench *bench, const struct cuda_way *way)
{
    uint32_t blocks = bench->dry ? 2 : bench->device->units * 8;
    while (!bench->dry && blocks < bench->device->blocks_max) {
        run_tables(bench, blocks);
        if (run_search_ms(bench, way, blocks) > 10) {
            break;
        }
        blocks = blocks * 2 < bench->device->blocks_max ? blocks * 2 : bench->device->blocks_max;
    }
    run_tables(bench, blocks);
    return blocks;
}

static void rounds(struct gpu_bench *bench, struct contest *contest)
{
    uint64_t rows = bench->epoch->params.dataset_items;
    struct rr_ethash_gpu_usual usual = {.rows = cuda_rows(bench->epoch),
                                        .header = {1, 2, 3, 4},
                                        .nonce = 5,
                                        .out = cuda_pointer(bench->words)};
    double nonces = (double)contest->blocks * RR_ETHASH_GPU_BLOCK;
    uint32_t turns = bench->dry ? 2 : GPU_BENCH_ROUNDS;
    for (uint32_t round = 0; round < turns; round++) {
        for (uint32_t i = 0; i < contest->searches_count; i++) {
            struct search *search = &contest->searches[i];
            double ms = run_search_ms(bench, &search->way, contest->blocks);
            kit_add(&search->rates, nonces / ms * 1e3);
            if (i < contest->best) {
                struct gather *gather = &contest->gathers[i];
                kit_add(&gather->rates, gather_once(bench, gather, bench->epoch->dataset, rows));
            }
        }
        kit_add(&contest->usual, nonces / run_usual_ms(bench, &usual, contest->blocks) * 1e3);
    }
}

static void report(const struct contest *contest)
{
    double probe = 0;
    for (uint32_t i = 0; i < contest->best; i++) {
        const struct gather *gather = &contest->gathers[i];
        double rate = kit_median(&gather->rates);
        probe = rate > probe ? rate : probe;
        kit_say("  probe, %2" PRIu32 " rows in flight, %2" PRIu32
                " blocks a unit: %9.2f MH/s worth of rows (%.2f to %.2f)",
                gather->rows, gather->per_unit, rate / 64e6, kit_least(&gather->rates) / 64e6,
                kit_most(&gather->rates) / 64e6);
    }
    double usual = kit_median(&contest->usual);
    double best = 0;
    kit_json(",\n    \"limit_mh_per_s\": %.3f, \"usual_mh_per_s\": %.3f, \"rounds\": %" PRIu32
             ", \"nonces_per_launch\": %" PRIu32 ",\n    \"search\": [",
             probe / 64e6, usual / 1e6, contest->usual.count,
             contest->blocks * RR_ETHASH_GPU_BLOCK);
    for (uint32_t i = 0; i < contest->searches_count; i++) {
        const struct search *search = &contest->searches[i];
        char text[96] = "";
        double rate = kit_median(&search->rates);
        cuda_way_text(text, &search->way);
        best = rate > best ? rate : best;
        kit_say("  %-46s %9.2f MH/s (%.2f to %.2f), %.3f of the probe, %.3f of the usual way", text,
                rate / 1e6, kit_least(&search->rates) / 1e6, kit_most(&search->rates) / 1e6,
                rate * 64 / probe, rate / usual);
        kit_json("%s\n      {\"way\": \"%s\", \"mh_per_s\": %.3f, \"min\": %.3f, \"max\": %.3f, "
                 "\"ratio_limit\": %.4f}",
                 i > 0 ? "," : "", text, rate / 1e6, kit_least(&search->rates) / 1e6,
                 kit_most(&search->rates) / 1e6, rate * 64 / probe);
    }
    kit_json("\n    ],\n    \"best_mh_per_s\": %.3f, \"ratio_limit\": %.4f, \"ratio_usual\": %.4f",
             best / 1e6, best * 64 / probe, best / usual);
    kit_say("  best %.2f MH/s: %.3f of the probe, %.3f of the usual way (%.2f MH/s)", best / 1e6,
            best * 64 / probe, best / usual, usual / 1e6);
    if (best * 64 > probe) {
        kit_say("  a search faster than its limit: the probe's sweep is too small, extend it");
    }
}

/* Streaming read and latency of dependent rows. */
static void measure_rest(struct gpu_bench *bench)
{
    uint64_t rows = bench->epoch->params.dataset_items;
    struct kit_times stream = {.count = 0};
    struct kit_times chain = {.count = 0};
    uint32_t turns = bench->dry ? 10 : 20000;
    for (int i = 0; i < (bench->dry ? 1 : 5); i++) {
        double ms = run_probe_ms(bench, GPU_probe_stream, bench->epoch->dataset, rows,
                                 bench->dry ? 2 : bench->device->units * 16, 0);
        kit_add(&stream, (double)rows * 128 / ms / 1e6);
        ms = run_probe_ms(bench, GPU_probe_chain, bench->epoch->dataset, rows, 1, turns);
        kit_add(&chain, ms * 1e6 / turns);
    }
    kit_say("  stream %.1f GB/s (%.2f MH/s worth), a dependent row %.0f ns", kit_median(&stream),
            kit_median(&stream) / 8.192, kit_median(&chain));
    kit_json(",\n    \"stream_gb_per_s\": %.2f, \"chain_ns\": %.1f", kit_median(&stream),
             kit_median(&chain));
}

/* Rows beyond 4 GB have addresses that small datasets do not test. */
static void prove_ways(struct gpu_bench *bench, const struct cuda_way *ways, uint32_t count)
{
    uint32_t wrong = 0;
    for (uint32_t i = 0; i < count; i++) {
        struct rr_fault fault = {0};
        bench->epoch->way = ways[i];
        if (hash_backend_prove(&hash_backend_cuda, bench->epoch, 0, bench->light, &fault) !=
            RR_OK) {
            kit_say("  WRONG: %s", fault.text);
            wrong++;
        }
    }
    bench->epoch->way = ways[0];
    bench->failures += wrong;
    kit_json(",\n    \"proofs\": %" PRIu32 ", \"proofs_failed\": %" PRIu32, count, wrong);
}

static void size_of_epoch(struct gpu_bench *bench, uint32_t epoch)
{
    struct rr_hash_params params = size_params(bench, epoch);
    double cache_ms = 0;
    double prepare_ms = 0;
    if (!run_epoch(bench, &params, &cache_ms, &prepare_ms)) {
        kit_json(",\n  \"dataset_epoch_%" PRIu32 "\": \"no memory for it\"", epoch);
        return;
    }
    double build_ms = run_build_ms(bench);
    kit_say("  dataset of %.2f GB: built in %.1f ms; with copying, slices and samples %.1f ms; "
            "its light cache took the CPU %.0f ms",
            (double)params.dataset_items * 128 / 1e9, build_ms, prepare_ms, cache_ms);
    kit_json(",\n  \"dataset_epoch_%" PRIu32 "\": {\n    \"dataset_bytes\": %" PRIu64
             ", \"build_ms\": %.2f, \"prepare_ms\": %.2f, \"light_cache_ms\": %.1f",
             epoch, (uint64_t)params.dataset_items * 128, build_ms, prepare_ms, cache_ms);
    struct contest *contest = rr_alloc(sizeof(*contest));
    struct cuda_way ways[16];
    contest->searches_count = run_ways(bench, ways);
    for (uint32_t i = 0; i < contest->searches_count; i++) {
        contest->searches[i].way = ways[i];
    }
    prove_ways(bench, ways, contest->searches_count);
    contest->blocks = launch_blocks(bench, &ways[0]);
    contest->gathers_count = sweep(bench, contest->gathers, bench->epoch->dataset,
                                   params.dataset_items, contest->blocks);
    contest->best = contest->gathers_count < BEST ? contest->gathers_count : BEST;
    rounds(bench, contest);
    gather_json(contest->gathers, contest->gathers_count);
    report(contest);
    measure_rest(bench);
    kit_json("\n  }");
    rr_free(contest);
}

void size_standard(struct gpu_bench *bench)
{
    size_of_epoch(bench, GPU_BENCH_EPOCH);
}
void size_small(struct gpu_bench *bench)
{
    size_of_epoch(bench, 0);
}
void size_large(struct gpu_bench *bench)
{
    size_of_epoch(bench, 828);
}

/* ---- buffers ------------------------------------------------------------------------------------
 */
/* Whether address translation slows large buffers: one allocation, its first part used. */
void size_buffers(struct gpu_bench *bench)
{
    const struct cuda_driver *driver = bench->device->driver;
    size_t free_bytes = 0;
    size_t all_bytes = 0;
    cuda_address buffer = 0;
    struct rr_fault fault = {0};
    run_drop(bench);
    kit_check(cuda_enter(bench->device, &fault), "context", &fault); /* the engine had its own */
    kit_code(bench, driver->memory_info(&free_bytes, &all_bytes), "memory");
    uint64_t unit = bench->dry ? UINT64_C(16) << 10 : UINT64_C(512) << 20;
    uint64_t room = free_bytes / 100 * 95;
    uint64_t most = unit;
    while (most * 2 <= room && most < unit * (bench->dry ? 4 : 256)) {
        most *= 2;
    }
    int code = driver->alloc(&buffer, most);
    if (code == CUDA_OUT_OF_MEMORY && most > unit) {
        most /= 2;
        code = driver->alloc(&buffer, most);
    }
    kit_code(bench, code, "buffer");
    (void)run_probe_ms(bench, GPU_probe_fill, buffer, most / 128, bench->device->units * 8, 0);
    kit_json(",\n  \"gather_by_buffer\": [");
    struct gather *gathers = rr_alloc_array(PROBES_MAX, sizeof(*gathers));
    for (uint64_t bytes = unit; bytes <= most; bytes *= 2) {
        (void)sweep(bench, gathers, buffer, bytes / 128, bench->dry ? 1 : 16384);
        kit_say("  %8.2f GiB: %9.2f MH/s worth of rows (%" PRIu32 " rows in flight, %" PRIu32
                " blocks a unit)",
                (double)bytes / 1073741824.0, gathers[0].first_rate / 64e6, gathers[0].rows,
                gathers[0].per_unit);
        kit_json("%s\n    {\"bytes\": %" PRIu64 ", \"limit_mh_per_s\": %.3f, \"rows\": %" PRIu32
                 ", \"per_sm\": %" PRIu32 "}",
                 bytes > unit ? "," : "", bytes, gathers[0].first_rate / 64e6, gathers[0].rows,
                 gathers[0].per_unit);
    }
    kit_json("\n  ]");
    rr_free(gathers);
    kit_code(bench, driver->release(buffer), "buffer");
}

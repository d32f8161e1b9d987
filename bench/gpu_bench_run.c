/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Bare launches on the device, timed by its own events. */
#include "bench/gpu_bench.h"
#include <stdio.h>
#include <string.h>

/* Kernels of measurement (kernels/ethash/ethash_probe.cu), compiled by bench/gpu.sh. */
#ifdef RR_PROBE_FATBIN
__asm__(".pushsection .rodata\n"
        ".balign 64\n"
        "rr_probe_fatbin:\n"
        ".incbin \"" RR_PROBE_FATBIN "\"\n"
        ".balign 8\n"
        ".popsection\n");
extern const unsigned char rr_probe_fatbin[] __attribute__((visibility("hidden")));
#define PROBES rr_probe_fatbin
#else
#define PROBES "FAKE kernels"
#endif

static const char *const probe_names[GPU_BENCH_PROBES] = {
#define X(name, arguments) "rr_ethash_gpu_" #name,
    RR_ETHASH_PROBE_KERNELS(X)
#undef X
};

static struct cuda_slot *slot_of(const struct gpu_bench *bench)
{
    return &bench->device->slots[0];
}

void run_open(struct gpu_bench *bench, const char *id)
{
    static struct rr_hash_device list[32];
    size_t count = hash_backend_cuda.list(list, RR_COUNT(list));
    size_t chosen = count;
    for (size_t i = count; i-- > 0;) {
        kit_say("  %s  %s  %s%s", list[i].id, list[i].name,
                list[i].why_not[0] == '\0' ? "" : "not usable: ", list[i].why_not);
        bool wanted = id == NULL || strcmp(id, list[i].id) == 0;
        chosen = wanted && list[i].why_not[0] == '\0' ? i : chosen;
    }
    if (chosen == count) {
        kit_fail("no CUDA device can be used here", NULL);
    }
    bench->about = list[chosen];
    struct hash_open how = {0};
    struct rr_fault fault = {0};
    void *device = NULL;
    kit_check(hash_backend_cuda.open(&device, &bench->opened, &bench->about, &how, &fault), "open",
              &fault);
    bench->device = device;
    if (bench->dry) {
        bench->device->blocks_max = 8;
    }
    const struct cuda_driver *driver = bench->device->driver;
    kit_code(bench, driver->module_load(&bench->probe_module, PROBES), "loading the probes");
    for (int i = 0; i < GPU_BENCH_PROBES; i++) {
        kit_code(bench,
                 driver->module_function(&bench->probes[i], bench->probe_module, probe_names[i]),
                 "finding a probe");
    }
    kit_code(bench, driver->alloc(&bench->words, GPU_BENCH_WORDS * sizeof(uint32_t)),
             "memory for the probes' words");
}

void run_drop(struct gpu_bench *bench)
{
    if (bench->epoch != NULL) {
        hash_backend_cuda.release(bench->epoch);
    }
    rr_hash_light_free(bench->light);
    bench->epoch = NULL;
    bench->light = NULL;
}

bool run_epoch(struct gpu_bench *bench, const struct rr_hash_params *params, double *cache_ms,
               double *prepare_ms)
{
    struct rr_fault fault = {0};
    run_drop(bench);
    uint64_t start = kit_now_us();
    kit_check(rr_hash_light_new(&bench->light, params, &fault), "light cache", &fault);
    *cache_ms = (double)(kit_now_us() - start) / 1e3;
    struct hash_setup setup = {.params = *params, .light = bench->light};
    void *epoch = NULL;
    start = kit_now_us();
    enum rr_err err = hash_backend_cuda.prepare(&epoch, bench->device, &setup, &fault);
    *prepare_ms = (double)(kit_now_us() - start) / 1e3;
    if (err == RR_ERR_MEMORY) {
        kit_say("  %s", fault.text);
        return false;
    }
    kit_check(err, "dataset", &fault);
    bench->epoch = epoch;
    return true;
}

/* ---- timed launches -----------------------------------------------------------------------------
 */
static void begin(struct gpu_bench *bench)
{
    struct cuda_slot *slot = slot_of(bench);
    struct rr_fault fault = {0};
    kit_check(cuda_enter(bench->device, &fault), "context", &fault);
    kit_code(bench, bench->device->driver->event_record(slot->start, slot->stream), "event");
}
static double end(struct gpu_bench *bench, int code, const char *what)
{
    const struct cuda_driver *driver = bench->device->driver;
    struct cuda_slot *slot = slot_of(bench);
    float ms = 0;
    kit_code(bench, code, what);
    kit_code(bench, driver->event_record(slot->end, slot->stream), "event");
    kit_code(bench, driver->stream_wait(slot->stream), what);
    kit_code(bench, driver->event_elapsed(&ms, slot->start, slot->end), "event");
    return ms > 1e-6F ? (double)ms : 1e-6;
}

void run_tables(struct gpu_bench *bench, uint32_t blocks)
{
    const struct cuda_driver *driver = bench->device->driver;
    struct cuda_slot *slot = slot_of(bench);
    struct rr_ethash_gpu_job job = {.nonce = rr_prng_u64(&bench->prng) / 2,
                                    .count = blocks * RR_ETHASH_GPU_BLOCK,
                                    .kind = RR_ETHASH_GPU_ARGMIN};
    rr_prng_bytes(&bench->prng, job.header, sizeof(job.header));
    uint32_t jobs = 0;
    uint32_t filled = 0;
    (void)cuda_add_job(bench->device, slot, &job, &jobs, &filled);
    kit_code(bench,
             driver->to_device(slot->jobs.device, slot->jobs.host, sizeof(job), slot->stream),
             "job");
    kit_code(bench,
             driver->to_device(slot->block_job.device, slot->block_job.host,
                               filled * sizeof(uint32_t), slot->stream),
             "blocks of the job");
    kit_code(bench, driver->stream_wait(slot->stream), "tables");
}

double run_search_ms(struct gpu_bench *bench, const struct cuda_way *way, uint32_t blocks)
{
    begin(bench);
    return end(bench, cuda_queue_search(bench->epoch, slot_of(bench), way, blocks), "search");
}

static int launch(struct gpu_bench *bench, void *function, uint32_t grid, const void *arguments)
{
    union {
        const void *in;
        void *out;
    } argument = {.in = arguments};
    void *parameters[1] = {argument.out};
    return bench->device->driver->launch(function, grid, 1, 1, 128, 1, 1, 0, slot_of(bench)->stream,
                                         parameters, NULL);
}

double run_probe_ms(struct gpu_bench *bench, enum gpu_probe probe, cuda_address quads,
                    uint64_t rows, uint32_t grid, uint32_t turns)
{
    bool fills = probe == GPU_probe_fill;
    bench->probe_seed = (uint32_t)rr_prng_u64(&bench->prng);
    struct rr_ethash_gpu_probe arguments = {.quads = cuda_pointer(quads),
                                            .quads_count = rows * 8,
                                            .rows = (uint32_t)rows,
                                            .turns =
                                                fills || probe == GPU_probe_stream ? grid : turns,
                                            .seed = bench->probe_seed,
                                            .out = cuda_pointer(fills ? quads : bench->words)};
    RR_CHECK(fills || (uint64_t)grid * 128 <= GPU_BENCH_WORDS);
    begin(bench);
    return end(bench, launch(bench, bench->probes[probe], grid, &arguments), probe_names[probe]);
}

double run_usual_ms(struct gpu_bench *bench, const struct rr_ethash_gpu_usual *arguments,
                    uint32_t blocks)
{
    kit_code(bench,
             bench->device->driver->fill(bench->words, 0, RR_ETHASH_GPU_USUAL_MAX + 1,
                                         slot_of(bench)->stream),
             "fill");
    begin(bench);
    return end(bench, launch(bench, bench->probes[GPU_usual], blocks, arguments), "usual");
}

/* The whole dataset once more over itself, in one launch. */
double run_build_ms(struct gpu_bench *bench)
{
    const struct cuda_driver *driver = bench->device->driver;
    const struct rr_hash_params *params = &bench->epoch->params;
    size_t bytes = (size_t)params->cache_items * 64;
    cuda_address cache = 0;
    kit_code(bench, driver->alloc(&cache, bytes), "light cache");
    kit_code(
        bench,
        driver->to_device(cache, hash_light_cache(bench->light), bytes, slot_of(bench)->stream),
        "light cache");
    struct rr_ethash_gpu_build arguments = {.cache = cuda_pointer(cache),
                                            .dataset = cuda_pointer(bench->epoch->dataset),
                                            .cache_items =
                                                rr_ethash_gpu_modulus(params->cache_items),
                                            .count = 2 * params->dataset_items};
    double ms = 0;
    for (int warm = 0; warm < 2; warm++) {
        begin(bench);
        ms = end(bench,
                 cuda_launch(bench->device, CUDA_KERNEL_build, (arguments.count + 127) / 128, 128,
                             &arguments, slot_of(bench)->stream),
                 "build");
    }
    kit_code(bench, driver->release(cache), "light cache");
    return ms;
}

uint32_t run_ways(const struct gpu_bench *bench, struct cuda_way out[static 16])
{
    static const char *const shapes[] = {"lanes8 rows=4 block=128", "lanes8 rows=4 block=256",
                                         "lanes8 rows=8 block=128", "lanes8 rows=8 block=256",
                                         "bulk rows=1 block=128",   "persist rows=4 block=128",
                                         "persist rows=8 block=128"};
    uint32_t count = 0;
    for (size_t i = 0; i < RR_COUNT(shapes); i++) {
        char text[96];
        int resident = 0;
        (void)snprintf(text, sizeof(text), "variant=%s per_sm=%d", shapes[i], i >= 5);
        struct cuda_way way = cuda_way_of(bench->device, text);
        char found[96] = "";
        cuda_way_text(found, &way);
        if (strcmp(found, text) != 0) {
            continue; /* not on this device */
        }
        if (i < 5) {
            out[count++] = way;
        } else if (bench->device->driver->occupancy(&resident, bench->device->kernels[way.kernel],
                                                    128, 0) == CUDA_OK) {
            for (int less = 0; less < 2 && resident - less > 0; less++) {
                way.per_unit = (uint32_t)(resident - less);
                out[count++] = way;
            }
        }
    }
    return count;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How near to the memory's own limit does a CUDA device search, bare and through the engine?
 * Started by bench/gpu.sh, which says what it needs. Method: searches, probes and the usual way
 * take turns on the same buffer, medians count; times of kernels are the device's, times of calls
 * the host's. What would make it wrong: another program on the card, a card that clocks down in the
 * middle (the script notes clocks before and after), a dataset that the L2 holds. */
#include "bench/gpu_bench.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

_Noreturn static void usage(void)
{
    (void)fprintf(stderr, "usage: gpu_bench --out FILE [--seconds N] [--device ID] [--seed N] "
                          "[--dry LIBRARY] [--fact NAME=TEXT]...\n");
    exit(2);
}

static void fact(const char *text)
{
    const char *equals = strchr(text, '=');
    if (equals == NULL || strpbrk(text, "\"\\") != NULL) {
        usage();
    }
    kit_json(",\n  \"%.*s\": \"%s\"", (int)(equals - text), text, equals + 1);
}

static void describe(const struct gpu_bench *bench)
{
    const struct cuda_driver *driver = bench->device->driver;
    int clock_khz = 0;
    int l2_bytes = 0;
    size_t free_bytes = 0;
    size_t all_bytes = 0;
    (void)driver->device_attribute(&clock_khz, CUDA_ATTRIBUTE_CLOCK_KHZ, bench->device->ordinal);
    (void)driver->device_attribute(&l2_bytes, CUDA_ATTRIBUTE_L2_BYTES, bench->device->ordinal);
    kit_code(bench, driver->memory_info(&free_bytes, &all_bytes), "memory");
    kit_say("%s, compute %d, %" PRIu32 " units, %.1f of %.1f GiB free, L2 %d KiB, %d MHz, %s",
            bench->about.name, bench->device->compute, bench->device->units,
            (double)free_bytes / 1073741824.0, (double)all_bytes / 1073741824.0, l2_bytes >> 10,
            clock_khz / 1000, bench->about.driver);
    kit_json(",\n  \"device\": {\"id\": \"%s\", \"name\": \"%s\", \"driver\": \"%s\", \"pci\": "
             "\"%s\", \"compute\": %d, \"units\": %" PRIu32 ", \"memory_bytes\": %" PRIu64
             ", \"free_bytes\": %zu, \"l2_bytes\": %d, \"clock_khz\": %d}",
             bench->about.id, bench->about.name, bench->about.driver, bench->about.pci,
             bench->device->compute, bench->device->units, bench->about.memory_bytes, free_bytes,
             l2_bytes, clock_khz);
}

static const struct {
    const char *name;
    unsigned limit_s;
    void (*run)(struct gpu_bench *bench);
} phases[] = {
    {"check", 60, check_kernels}, {"standard", 90, size_standard}, {"jobs", 60, jobs_bare},
    {"tune", 30, jobs_tune},      {"engine", 120, jobs_engine},    {"small", 60, size_small},
    {"large", 90, size_large},    {"buffers", 90, size_buffers},
};

int main(int argc, char **argv)
{
    static struct gpu_bench bench;
    const char *device = NULL;
    const char *library = NULL;
    uint64_t seed = 0;
    unsigned long seconds = 540;
    rr_random(&seed, sizeof(seed));
    for (int i = 1; i < argc; i += 2) {
        const char *value = i + 1 < argc ? argv[i + 1] : NULL;
        if (value == NULL) {
            usage();
        }
        if (strcmp(argv[i], "--out") == 0) {
            bench.out_path = value;
        } else if (strcmp(argv[i], "--seconds") == 0) {
            seconds = strtoul(value, NULL, 10);
        } else if (strcmp(argv[i], "--device") == 0) {
            device = value;
        } else if (strcmp(argv[i], "--seed") == 0) {
            seed = strtoull(value, NULL, 0);
        } else if (strcmp(argv[i], "--dry") == 0) {
            library = value;
        } else if (strcmp(argv[i], "--fact") == 0) {
            fact(value);
        } else {
            usage();
        }
    }
    if (bench.out_path == NULL || seconds == 0) {
        usage();
    }
    bench.start_us = kit_now_us();
    bench.until_us = bench.start_us + seconds * UINT64_C(1000000);
    bench.dry = library != NULL;
    if (bench.dry) {
        int version = 0;
        const void *image = cuda_image(&version);
        cuda_driver_use(library, image != NULL ? image : "FAKE kernels",
                        image != NULL ? version : 13000);
    }
    kit_say("seed %" PRIu64 " (--seed repeats its inputs)", seed);
    kit_json(",\n  \"seed\": %" PRIu64 ", \"dry\": %s", seed, bench.dry ? "true" : "false");
    rr_prng_seed(&bench.prng, seed);
    run_open(&bench, device);
    describe(&bench);
    for (size_t i = 0; i < RR_COUNT(phases); i++) {
        kit_phase(&bench, phases[i].name, phases[i].limit_s, phases[i].run);
        if (bench.failures > 0) {
            break; /* rates of wrong kernels are worth nothing */
        }
    }
    run_drop(&bench);
    (void)cuda_enter(bench.device, NULL);
    (void)bench.device->driver->release(bench.words);
    (void)bench.device->driver->module_unload(bench.probe_module);
    hash_backend_cuda.close(bench.device);
    kit_say("%s in %.1f s: %s", bench.failures == 0 ? "all checks held" : "CHECKS FAILED",
            (double)(kit_now_us() - bench.start_us) / 1e6, bench.out_path);
    kit_end(bench.failures == 0 ? "well" : "wrong results");
    return bench.failures == 0 ? 0 : 1;
}

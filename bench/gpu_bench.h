/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Private to gpu_bench_*.c: one run of measurements on one CUDA device. */
#ifndef RR_BENCH_GPU_BENCH_H
#define RR_BENCH_GPU_BENCH_H
#include "ethash/ethash_probe.h"
#include "hash/hash_cuda.h"

#define GPU_BENCH_ROUNDS 7
#define GPU_BENCH_PROBES 9

struct gpu_bench {
    bool dry; /* tiny, on the emulated driver: shows that all of it works */
    const char *out_path;
    uint64_t start_us, until_us;
    struct rr_prng prng;
    struct rr_hash_device about;
    struct hash_opened opened;
    struct cuda_device *device;
    struct cuda_epoch *epoch;    /* of the sizes below; NULL: none */
    struct rr_hash_light *light; /* of epoch */
    void *probe_module, *probes[GPU_BENCH_PROBES];
    cuda_address words;  /* a word a thread of the probes */
    uint32_t probe_seed; /* of the last probe */
    uint32_t failures;   /* checks that did not hold */
};
enum gpu_probe {
#define X(name, arguments) GPU_##name,
    RR_ETHASH_PROBE_KERNELS(X)
#undef X
};
#define GPU_BENCH_WORDS (1u << 20)

/* ---- gpu_bench_kit.c ----------------------------------------------------------------------------
 */
/* Members of the report's JSON object; the file is written anew after each phase. */
void kit_json(const char *format, ...) __attribute__((format(printf, 1, 2)));
void kit_say(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Runs a phase and writes the report. Skipped, with a word in it, when less than a third of its
 * limit is left of all; ended with the whole program when it takes longer than its limit. */
void kit_phase(struct gpu_bench *bench, const char *name, unsigned limit_s,
               void (*run)(struct gpu_bench *bench));
/* Ends the program with the report so far. */
_Noreturn void kit_fail(const char *what, const struct rr_fault *fault);
void kit_check(enum rr_err err, const char *what, const struct rr_fault *fault);
void kit_code(const struct gpu_bench *bench, int code, const char *what);
/* A check of results: counted, said, in the report. */
void kit_holds(struct gpu_bench *bench, bool holds, const char *what);
/* Writes the report for the last time. */
void kit_end(const char *word);
uint64_t kit_now_us(void);
struct kit_times {
    double value[64];
    uint32_t count;
};
void kit_add(struct kit_times *times, double value);
double kit_median(const struct kit_times *times);
double kit_least(const struct kit_times *times);
double kit_most(const struct kit_times *times);

/* ---- gpu_bench_run.c: the device's work ---------------------------------------------------------
 */
void run_open(struct gpu_bench *bench, const char *id);
/* Light cache and dataset of these parameters; the ones before are given back. False: no memory for
 * them, said in the report. Milliseconds of both. */
bool run_epoch(struct gpu_bench *bench, const struct rr_hash_params *params, double *cache_ms,
               double *prepare_ms);
void run_drop(struct gpu_bench *bench);
/* One job of blocks * 128 nonces into slot 0's tables; then a launch of the search kernel alone. */
void run_tables(struct gpu_bench *bench, uint32_t blocks);
double run_search_ms(struct gpu_bench *bench, const struct cuda_way *way, uint32_t blocks);
/* A probe over `rows` rows at `quads`, all its threads' words left in bench->words. */
double run_probe_ms(struct gpu_bench *bench, enum gpu_probe probe, cuda_address quads,
                    uint64_t rows, uint32_t grid, uint32_t turns);
double run_usual_ms(struct gpu_bench *bench, const struct rr_ethash_gpu_usual *arguments,
                    uint32_t blocks);
double run_build_ms(struct gpu_bench *bench);
/* All ways to search that the device has; gives how many. */
uint32_t run_ways(const struct gpu_bench *bench, struct cuda_way out[static 16]);

/* ---- phases -------------------------------------------------------------------------------------
 */
void check_kernels(struct gpu_bench *bench); /* gpu_bench_check.c */
void size_standard(struct gpu_bench *bench); /* gpu_bench_size.c: 4.3 GB, the headline */
void size_small(struct gpu_bench *bench);    /* 1 GiB */
void size_large(struct gpu_bench *bench);    /* 8 GB */
void size_buffers(struct gpu_bench *bench);  /* the gather probe alone, 0.5 to 120 GiB */
void jobs_bare(struct gpu_bench *bench);     /* gpu_bench_jobs.c: many small jobs, latencies */
void jobs_engine(struct gpu_bench *bench);   /* the same through the engine */
void jobs_tune(struct gpu_bench *bench);
struct rr_hash_params size_params(const struct gpu_bench *bench, uint32_t epoch);
#define GPU_BENCH_EPOCH 390 /* 4.35e9 bytes: the 4.3 GB of spec 10, 6 */
#endif

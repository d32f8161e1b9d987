/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The door of hash, floor 2: the Ethash engine (spec 10) and the light check of anybody's work.
 * Reputation arithmetic is in kernels/reputation, below every folder. */
#ifndef RR_HASH_H
#define RR_HASH_H
#include "base/base.h"

/* ---- parameters -------------------------------------------------------------------------------
 */
/* A network's sizes and seed (genesis), or those of a standard epoch. */
struct rr_hash_params {
    uint32_t cache_items;   /* of 64 B, 1 .. 67106813 */
    uint32_t dataset_items; /* of 128 B, 1 .. 2^31 - 1 */
    uint8_t seed[32];
};
/* Parameters of a standard Ethash epoch; above 32639 RR_ERR_LIMIT. Any thread. [Ethash rev. 23] */
enum rr_err rr_hash_params_epoch(struct rr_hash_params *out, uint32_t epoch,
                                 struct rr_fault *fault) RR_MUST_USE;

/* ---- difficulty -------------------------------------------------------------------------------
 */
/* True when final_be, as a big-endian number, times difficulty is at most 2^256, exactly; false for
 * difficulty 0, which nothing solves. Any thread. (spec 10, 1) */
bool rr_hash_solves(const uint8_t final_be[static 32], struct rr_u256 difficulty);
/* The largest final that solves: floor(2^256 / difficulty), 2^256 - 1 for difficulty 1. difficulty
 * > 0. */
struct rr_u256 rr_hash_boundary(struct rr_u256 difficulty);

/* ---- light: checks work of block headers and certificates ---------------------------------------
 */
struct rr_hash_light;
/* Builds the light cache (1 MiB in milliseconds, 16 MiB in about half a second; blocks). Sizes out
 * of range, or more than the machine's memory, are refused before anything is allocated
 * (RR_ERR_LIMIT, RR_ERR_MEMORY). *out owned by the caller; params copied. */
enum rr_err rr_hash_light_new(struct rr_hash_light **out, const struct rr_hash_params *params,
                              struct rr_fault *fault) RR_MUST_USE;
void rr_hash_light_free(struct rr_hash_light *light);
/* mix and final of header and nonce by the plain C law, about 1 to 2 ms. Any thread, many at a
 * time. */
void rr_hash_light_compute(const struct rr_hash_light *light, const uint8_t header_hash[static 32],
                           uint64_t nonce, uint8_t mix[static 32], uint8_t final_be[static 32]);
/* The same in the form of the ledger's and the till's `work` callback, ctx a struct rr_hash_light:
 * writes mix and final_be, always true. */
bool rr_hash_light_work(void *light, const uint8_t header_hash[32], uint64_t nonce, uint8_t mix[32],
                        uint8_t final_be[32]);

/* ---- devices -----------------------------------------------------------------------------------
 */
/* A GPU or the CPU as the hash engine sees it. */
struct rr_hash_device {
    char id[80];           /* stable: "cpu", "cuda:GPU-<uuid>", "opencl:<platform>/<device>/<n>" */
    char backend[16];      /* "cpu", "cuda", "opencl" */
    char name[96];         /* of the maker */
    char driver[64];       /* version as the driver tells it; empty: unknown */
    char pci[16];          /* "0000:65:00.0"; empty: unknown or none */
    char why_not[200];     /* empty: usable */
    uint64_t memory_bytes; /* 0: unknown */
    uint32_t units;        /* cores, multiprocessors, compute units; 0: unknown */
};

/* ---- engine: searches for nonces ----------------------------------------------------------------
 */
struct rr_hash_engine;
struct rr_hash_options {
    uint32_t threads;           /* 0: one per online core; at most RR_HASH_THREADS_MAX */
    uint32_t share_percent;     /* of each thread's time, 1..100; 0: 100. Kept by a duty cycle */
    uint64_t dataset_bytes_max; /* build the whole dataset when it is at most this, else go light */
};
#define RR_HASH_THREADS_MAX 256
/* Makes cache and (see options) dataset, proves the backend against the light law on fixed inputs
 * (RR_ERR_DAMAGED when it is wrong), starts its threads at nice 19. Blocks: a dataset takes about
 * 30 to 60 s of one core per million items. *out owned by the caller; params and options copied.
 * Also RR_ERR_USAGE, RR_ERR_LIMIT, RR_ERR_MEMORY, RR_ERR_IO. */
enum rr_err rr_hash_engine_new(struct rr_hash_engine **out, const struct rr_hash_params *params,
                               const struct rr_hash_options *options,
                               struct rr_fault *fault) RR_MUST_USE;
/* Ends every job as RR_HASH_CANCELLED (callbacks run before it returns), joins the threads. Blocks
 * for a quantum. NULL is fine. Not from a callback; no other call on the engine may be in progress.
 */
void rr_hash_engine_free(struct rr_hash_engine *engine);
/* The engine's own light cache, borrowed for the engine's life. Any thread. */
const struct rr_hash_light *rr_hash_engine_light(const struct rr_hash_engine *engine);
/* Hashes per second over the last full second or more; 0 when idle. Any thread. */
uint64_t rr_hash_engine_rate(struct rr_hash_engine *engine);
/* "cpu, dataset" or "cpu, light": static text. */
const char *rr_hash_engine_text(const struct rr_hash_engine *engine);

enum rr_hash_kind {
    RR_HASH_TARGET = 1, /* stop at the lowest nonce that solves difficulty */
    RR_HASH_ARGMIN = 2  /* the nonce with the smallest final; the lower nonce wins a tie */
};
struct rr_hash_job {
    uint8_t header_hash[32];
    uint64_t nonce_start;
    uint64_t nonce_count; /* 0: to the end of the 64-bit range; past that end is RR_ERR_USAGE */
    enum rr_hash_kind kind;
    struct rr_u256 difficulty; /* target only; 0 is RR_ERR_USAGE */
    uint64_t deadline_us; /* rr_monotonic_us of the system clock; 0: none. Kept to a few quanta.
                             Argmin needs a count or a deadline */
    uint32_t weight;      /* share among jobs, 1..RR_HASH_WEIGHT_MAX; 0: 1 */
};
#define RR_HASH_WEIGHT_MAX 64
#define RR_HASH_JOBS_MAX   65536

enum rr_hash_end {
    RR_HASH_FOUND = 1, /* target solved; argmin: range or deadline done, best nonce given */
    RR_HASH_NOTHING,   /* range or deadline done without a result */
    RR_HASH_CANCELLED, /* by rr_hash_cancel or rr_hash_engine_free; argmin still gives its best so
                          far */
    RR_HASH_FAILED     /* the backend disagrees with the light law; the engine has stopped itself */
};
struct rr_hash_result {
    uint64_t job_id;
    enum rr_hash_end end;
    bool found; /* nonce, mix, final_be hold a result, recomputed by the light law */
    uint64_t nonce;
    uint8_t mix[32];
    uint8_t final_be[32];
    uint64_t hashes; /* tried for this job */
};

/* Queues a job. done is called exactly once per job, on an engine thread or on the one that cancels
 * or frees; it may submit but not cancel or free, and must be short; its result is borrowed for the
 * call. job copied; ctx borrowed until done has run. *job_id (never 0) is written before done can
 * run. Any thread; does not block. RR_ERR_USAGE, RR_ERR_LIMIT (RR_HASH_JOBS_MAX wait), RR_ERR_STATE
 * (the engine has stopped itself). */
enum rr_err rr_hash_submit(struct rr_hash_engine *engine, uint64_t *job_id,
                           const struct rr_hash_job *job,
                           void (*done)(void *ctx, const struct rr_hash_result *result), void *ctx,
                           struct rr_fault *fault) RR_MUST_USE;
/* Ends a job. When it returns, done has run and will not run again, so ctx may go. True when it
 * ended as RR_HASH_CANCELLED by now, false when it had ended otherwise or is unknown. Blocks for a
 * quantum; any thread, also several for one job, but not from a callback. */
bool rr_hash_cancel(struct rr_hash_engine *engine, uint64_t job_id);

/* One nonce to compute. */
struct rr_hash_check {
    uint8_t header_hash[32];
    uint64_t nonce;
    uint8_t mix[32];      /* written */
    uint8_t final_be[32]; /* written */
};
/* Computes mix and final of many by the engine's fastest way (the dataset where there is one), on
 * the calling thread. Any thread. RR_ERR_STATE when the engine has stopped itself. */
enum rr_err rr_hash_verify(struct rr_hash_engine *engine, struct rr_hash_check *checks,
                           size_t count, struct rr_fault *fault) RR_MUST_USE;
#endif

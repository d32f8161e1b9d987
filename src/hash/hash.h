/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The door of hash, floor 2: the Ethash engine (spec 10) and the light check of anybody's work.
 * Reputation arithmetic is in kernels/reputation, below every folder. */
#ifndef RR_HASH_H
#define RR_HASH_H
#include "base/base.h"

/* ---- parameters ---- */
/* A network's sizes and seed (genesis), or those of a standard epoch. */
struct rr_hash_params {
    uint32_t cache_items;   /* of 64 B, 1 .. 67106813 */
    uint32_t dataset_items; /* of 128 B, 1 .. 2^31 - 1 */
    uint8_t seed[32];
};
#define RR_HASH_EPOCH_MAX      32639 /* the last epoch of Ethash's table of sizes */
#define RR_HASH_ETHASH_BLOCKS  30000 /* of an epoch [Ethash rev. 23] */
#define RR_HASH_ETCHASH_BLOCKS 60000 /* [ECIP-1099] */
/* Parameters of an epoch of a standard chain whose epochs have epoch_blocks blocks, a multiple of
 * 30000: the sizes of Ethash's epoch of this number, and the seed of the Ethash epoch that begins
 * at the same block. Above RR_HASH_EPOCH_MAX RR_ERR_LIMIT. Any thread. [Ethash rev. 23, ECIP-1099]
 */
enum rr_err rr_hash_params_epoch(struct rr_hash_params *out, uint32_t epoch, uint32_t epoch_blocks,
                                 struct rr_fault *fault) RR_MUST_USE;

/* ---- difficulty ---- */
/* True when final_be, as a big-endian number, times difficulty is at most 2^256, exactly; false for
 * difficulty 0, which nothing solves. Any thread. (spec 10, 1) */
bool rr_hash_solves(const uint8_t final_be[static 32], struct rr_u256 difficulty);
/* The largest final that solves: floor(2^256 / difficulty), 2^256 - 1 for difficulty 1. difficulty
 * > 0. */
struct rr_u256 rr_hash_boundary(struct rr_u256 difficulty);

/* ---- light: checks work of block headers and certificates ---- */
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

/* ---- devices ---- */
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
    bool processor;        /* computes on the machine's own cores: "auto" leaves it to "cpu" */
};
#define RR_HASH_DEVICES_MAX 64
/* All devices of all backends, at most max, those that cannot be used with their why_not. Gives
 * how many were written. Any thread; blocks for the drivers. */
size_t rr_hash_devices(struct rr_hash_device *out, size_t max);

/* ---- engine: searches for nonces ---- */
struct rr_hash_engine;
/* Where the winners of races between a device's variants are kept; called on threads of the engine,
 * one device at a time. */
struct rr_hash_tuning_store {
    bool (*load)(void *ctx, const char *key, char text[static 96]); /* false: nothing is kept */
    void (*save)(void *ctx, const char *key, const char *text);
    void *ctx;
};
struct rr_hash_options {
    uint32_t threads;           /* of the CPU. 0: one per online core; <= RR_HASH_THREADS_MAX */
    uint32_t share_percent;     /* of each CPU thread's time, 1..100; 0: 100. Kept by duty cycle */
    uint64_t dataset_bytes_max; /* CPU: the whole dataset when it is at most this, else light */
    const char *devices;        /* NULL, "", "auto": every usable GPU, else the CPU. Or a list of
                                   backends ("cuda"), ids, "cpu" and "auto", by comma */
    uint32_t gpu_share_percent; /* of the time of each other device, 1..100; 0: 100 */
    bool light_first; /* be up at once: search light, or wait, until the datasets are there */
    struct rr_hash_tuning_store tuning; /* load and save NULL: nothing is kept. ctx borrowed */
};
#define RR_HASH_THREADS_MAX 256
/* Makes the cache, opens the devices with their datasets (see options), proves each against the
 * light law on fixed inputs, starts the threads at nice 19. A device that cannot be used or is
 * wrong is left out and logged; when none is left the CPU searches, which can be refused only by
 * RR_ERR_DAMAGED (it is wrong), RR_ERR_MEMORY or RR_ERR_IO. Blocks (but see light_first): one core
 * makes a dataset of a million items in 3 to 60 s, a GPU in a fraction of a second. *out owned by
 * the caller; params and options copied. RR_ERR_USAGE (a device that nobody knows, shares),
 * RR_ERR_LIMIT (sizes, threads). */
enum rr_err rr_hash_engine_new(struct rr_hash_engine **out, const struct rr_hash_params *params,
                               const struct rr_hash_options *options,
                               struct rr_fault *fault) RR_MUST_USE;
/* Ends every job as RR_HASH_CANCELLED (callbacks run before it returns), joins the threads. Blocks
 * for a quantum; for 10 s when a device hangs, whose memory then stays with it. NULL is fine. Not
 * from a callback; no other call on the engine may be in progress. */
void rr_hash_engine_free(struct rr_hash_engine *engine);
/* Begins that end: calls that wait for a device (restart, tune) return soon with an error, devices
 * take no more work. For who must join the threads of such calls before rr_hash_engine_free. Any
 * thread, does not block; NULL is fine. */
void rr_hash_engine_stop(struct rr_hash_engine *engine);
/* The light cache of the present epoch, borrowed until the second switch from now or the engine's
 * end: who keeps it asks again after each switch. Any thread. */
const struct rr_hash_light *rr_hash_engine_light(const struct rr_hash_engine *engine);
/* Hashes per second of all devices over the last full second or more; 0 when idle. Any thread. */
uint64_t rr_hash_engine_rate(struct rr_hash_engine *engine);
/* "cpu, dataset", "cuda, dataset; cpu, light": the devices that search. Borrowed for the engine's
 * life, and does not change: ask again. Any thread. */
const char *rr_hash_engine_text(const struct rr_hash_engine *engine);
/* Shares of time from now on, 1..100; 0: 100, above: 100. Any thread. */
void rr_hash_engine_set_share(struct rr_hash_engine *engine, uint32_t cpu_percent,
                              uint32_t gpu_percent);

enum rr_hash_device_state {
    RR_HASH_DEVICE_OFF = 0,   /* not asked for, or cannot be used: see why */
    RR_HASH_DEVICE_PREPARING, /* opens, makes its dataset, proves itself */
    RR_HASH_DEVICE_RUNNING,
    RR_HASH_DEVICE_PAUSED, /* by rr_hash_device_pause */
    RR_HASH_DEVICE_LOST,   /* failed or hung: starts again by itself, not without end */
    RR_HASH_DEVICE_WRONG   /* disagreed with the light law: off until rr_hash_device_restart */
};
struct rr_hash_device_status {
    struct rr_hash_device device;
    enum rr_hash_device_state state;
    char why[200]; /* of the state; empty while it runs */
    char text[96]; /* "dataset, avx512"; empty: not prepared */
    uint64_t hashes, quanta;
    uint64_t accepted, rejected; /* results that the light law confirmed, refused */
    uint64_t failed_checks;      /* proofs and samples that it refused, rejected results too */
    uint64_t stale;              /* works whose job had ended by a switch of epochs */
    uint64_t errors, restarts;
    uint64_t rate;            /* hashes/s over the last full second or more */
    uint64_t effective_rate;  /* hashes/s that its accepted results stand for, since it runs */
    uint64_t last_quantum_us; /* how long the last one took */
    uint32_t in_flight;       /* works */
};
/* The engine's devices, those left off too, at most max. Gives how many were written. Any thread.
 */
size_t rr_hash_engine_devices(struct rr_hash_engine *engine, struct rr_hash_device_status *out,
                              size_t max);
/* Takes no new work while paused; why is shown. why NULL: goes on. RR_ERR_NOTFOUND (no such
 * device), RR_ERR_STATE (it does not run). Any thread. */
enum rr_err rr_hash_device_pause(struct rr_hash_engine *engine, const char *id, const char *why,
                                 struct rr_fault *fault);
/* Closes, opens, prepares and proves a device again, whatever its state; its works move to others.
 * Blocks for all of it. The errors of these; RR_ERR_NOTFOUND. Any thread, not from a callback. */
enum rr_err rr_hash_device_restart(struct rr_hash_engine *engine, const char *id,
                                   struct rr_fault *fault);
/* Races the variants again, keeps and gives the winner. The device does not search meanwhile;
 * blocks for 2 to 3 s. RR_ERR_NOTFOUND, RR_ERR_UNSUPPORTED (nothing to choose), RR_ERR_STATE. */
enum rr_err rr_hash_device_tune(struct rr_hash_engine *engine, const char *id, char text[static 96],
                                struct rr_fault *fault);

/* Builds cache and datasets of the next epoch beside searching, where memory allows; a device that
 * has none says so in the log and will prepare at the switch. Another next one is given up.
 * Returns at once. Any thread. RR_ERR_LIMIT (sizes). */
enum rr_err rr_hash_engine_prepare_next(struct rr_hash_engine *engine,
                                        const struct rr_hash_params *params,
                                        struct rr_fault *fault);
/* True when what was asked by rr_hash_engine_prepare_next is there: the switch will not block. */
bool rr_hash_engine_next_ready(struct rr_hash_engine *engine);
/* From now on jobs and checks are of these params; those that wait end as RR_HASH_STALE, argmin
 * with its best so far. A pointer swap when it was prepared; else blocks for the cache, and devices
 * make their datasets after it while jobs wait for them.
 * The params of the present epoch change nothing. Any thread, not from a callback. RR_ERR_LIMIT,
 * RR_ERR_MEMORY (the old epoch stays). */
enum rr_err rr_hash_engine_switch(struct rr_hash_engine *engine,
                                  const struct rr_hash_params *params,
                                  struct rr_fault *fault) RR_MUST_USE;

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
    RR_HASH_FAILED,    /* no device is left that agrees with the light law */
    RR_HASH_STALE      /* by rr_hash_engine_switch; argmin still gives its best so far */
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
 * (no device is left). */
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
/* Computes mix and final of many on the fastest device that runs: few on the calling thread by the
 * CPU, many by a GPU, whose answers are sampled against the light law. Any thread, also during a
 * switch: all by one epoch. RR_ERR_STATE when no device is left. */
enum rr_err rr_hash_verify(struct rr_hash_engine *engine, struct rr_hash_check *checks,
                           size_t count, struct rr_fault *fault) RR_MUST_USE;
/* Item `index` of the dataset, about 10 us; index < 2^31, also beyond the dataset's own end.
 * variant: "ref" or NULL for the plain C law, "cpu" for the processor's fastest, "avx2", "avx512".
 * RR_ERR_NOTFOUND (no such variant), RR_ERR_UNSUPPORTED (the processor cannot). Any thread. */
enum rr_err rr_hash_light_item(const struct rr_hash_light *light, const char *variant,
                               uint32_t index, uint8_t item[static 128],
                               struct rr_fault *fault) RR_MUST_USE;

/* The rest of the door: sensors, guards, tuning. */
#include "hash/hash_guard.h"
#include "hash/hash_telemetry.h"
#include "hash/hash_tuning.h"
#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Private to hash: what a device does for the engine (spec 10, 2), and the light cache's inside. */
#ifndef RR_HASH_BACKEND_H
#define RR_HASH_BACKEND_H
#include "ethash/ethash.h"
#include "hash/hash.h"
#include <stdatomic.h>

/* A run of nonces of one job; nonce + count - 1 never wraps. */
struct hash_work {
    uint8_t header_hash[32];
    uint64_t nonce;
    uint32_t count; /* >= 1 */
    enum rr_hash_kind kind;
    uint8_t boundary_be[32]; /* target: finals up to this one solve */
};

/* Target: the lowest nonce of the run that solves. Argmin: the nonce with the smallest final, the
 * lower one of a tie; always found. */
struct hash_candidate {
    bool found;
    uint32_t done; /* hashes really made */
    uint64_t nonce;
    uint8_t final_be[32];
};
/* True when b (found) is to replace a, for results of one job of this kind. */
bool hash_candidate_replaces(const struct hash_candidate *a, const struct hash_candidate *b,
                             enum rr_hash_kind kind);

/* What a device is opened with. */
struct hash_open {
    uint32_t threads;          /* cpu: threads that search, >= 1; others do not look */
    uint64_t memory_bytes_max; /* of the device, for datasets; 0: what is free */
    uint32_t kernel_mask;      /* cpu: features of cpu/cpu.h that its kernels may use; 0: all */
};
#define HASH_KERNELS_LAW 0x80000000u /* as kernel_mask: no feature at all */
/* What the engine has to know of an open device. */
struct hash_opened {
    uint32_t slots;        /* searches it takes at a time, each from a thread of its own: cpu one a
                              thread, GPUs one a stream */
    uint32_t works_max;    /* of one search */
    uint32_t hashes_first; /* of one search, until one has been timed */
    uint32_t hashes_step;  /* runs of this many nonces fill the device: 1, 16, 128 */
};
/* The winner of a race between variants, as text of the backend's own: "variant=lanes8 rows=4
 * block=128". Kept by the engine's owner; empty: the backend's default. */
struct hash_tuning {
    char text[96];
};
struct hash_setup {
    struct rr_hash_params params;
    const struct rr_hash_light *light; /* borrowed until release */
    uint64_t dataset_bytes_max;        /* cpu: light above this */
    uint32_t threads;                  /* cpu: for the build, >= 1 */
    struct hash_tuning tuning;
    const atomic_bool *cancel; /* true: give up soon with RR_ERR_CANCELLED; NULL: never */
};

/* A kind of device. A device is opened once and keeps one or two epochs (parameters with their
 * dataset) at a time: the next one is prepared while the present one is searched. */
struct hash_backend {
    const char *name; /* "cpu", "cuda", "opencl" */
    /* Devices of this kind, at most `max`, in an order that stays; those that cannot be used say
     * why in why_not. A kind that is not there at all gives one entry with why_not. Any thread. */
    size_t (*list)(struct rr_hash_device *out, size_t max);
    /* *device given to the caller (close). Blocks. */
    enum rr_err (*open)(void **device, struct hash_opened *opened,
                        const struct rr_hash_device *which, const struct hash_open *how,
                        struct rr_fault *fault);
    /* *epoch given to the caller (release, before close). Rows are sampled against the law.
     * RR_ERR_MEMORY when the device has too little, RR_ERR_IO when it is lost. Blocks; beside
     * searches of another epoch of the device. */
    enum rr_err (*prepare)(void **epoch, void *device, const struct hash_setup *setup,
                           struct rr_fault *fault);
    /* Searches `count` works (1..works_max); out[i] answers works[i]. slot < slots, each used by
     * one thread at a time. On an error nothing in out counts: RR_ERR_IO (device lost),
     * RR_ERR_MEMORY. */
    enum rr_err (*search)(void *epoch, uint32_t slot, struct hash_candidate *out,
                          const struct hash_work *works, size_t count, struct rr_fault *fault);
    /* Computes mix and final of many. One thread at a time, beside searches (cpu: any). */
    enum rr_err (*verify)(void *epoch, struct rr_hash_check *checks, size_t count,
                          struct rr_fault *fault);
    /* Races the variants on the epoch's dataset for 2 to 3 s and takes the best one. NULL: there is
     * nothing to choose. Not beside a search. */
    enum rr_err (*tune)(void *epoch, struct hash_tuning *best, struct rr_fault *fault);
    const char *(*text)(const void *epoch); /* "dataset, avx512": borrowed */
    void (*release)(void *epoch);           /* no search or verify may be in it */
    void (*close)(void *device);
};
extern const struct hash_backend hash_backend_cpu;
extern const struct hash_backend hash_backend_cuda;   /* also where it was built without nvcc */
extern const struct hash_backend hash_backend_opencl; /* also where it was built without */

/* rr_hash_engine_new on a backend of the caller's, proving it every proof_us (0: never again after
 * the start). Tests bring backends that are wrong. */
enum rr_err hash_engine_new_on(struct rr_hash_engine **out, const struct hash_backend *backend,
                               const struct rr_hash_params *params,
                               const struct rr_hash_options *options, uint64_t proof_us,
                               struct rr_fault *fault) RR_MUST_USE;

/* Compares backend and light law on fixed inputs: both kinds of search by `slot` and the
 * verification. RR_ERR_DAMAGED names the nonce; errors of the device pass through. */
enum rr_err hash_backend_prove(const struct hash_backend *backend, void *epoch, uint32_t slot,
                               const struct rr_hash_light *light,
                               struct rr_fault *fault) RR_MUST_USE;

/* RR_ERR_LIMIT when a size is 0 or beyond Ethash's own limits. */
enum rr_err hash_params_check(const struct rr_hash_params *params,
                              struct rr_fault *fault) RR_MUST_USE;
const struct rr_ethash_node *hash_light_cache(const struct rr_hash_light *light);

/* Memory for nodes in huge pages where the kernel gives them; *out owned (hash_nodes_free with the
 * same count). More than the machine has: RR_ERR_MEMORY before anything is mapped. */
enum rr_err hash_nodes_new(struct rr_ethash_node **out, uint64_t count,
                           struct rr_fault *fault) RR_MUST_USE;
void hash_nodes_free(struct rr_ethash_node *nodes, uint64_t count);
#endif

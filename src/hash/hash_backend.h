/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Private to hash: what a device does for the engine (spec 10, 2), and the light cache's inside. */
#ifndef RR_HASH_BACKEND_H
#define RR_HASH_BACKEND_H
#include "ethash/ethash.h"
#include "hash/hash.h"

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

struct hash_setup {
    struct rr_hash_params params;
    const struct rr_hash_light *light; /* borrowed until close */
    uint64_t dataset_bytes_max;
    uint32_t threads; /* for the build */
};

struct hash_backend {
    const char *name;
    /* False with a static sentence when the machine has no such device. */
    bool (*probe)(const char **why);
    /* *state given to the engine (close); *text static. Blocks. */
    enum rr_err (*prepare)(void **state, const char **text, const struct hash_setup *setup,
                           struct rr_fault *fault);
    /* Both from any thread, several at a time. */
    void (*search)(void *state, struct hash_candidate *out, const struct hash_work *works,
                   size_t count);
    void (*verify)(void *state, struct rr_hash_check *checks, size_t count);
    void (*close)(void *state);
};
extern const struct hash_backend hash_backend_cpu;

/* rr_hash_engine_new on a backend of the caller's, proving it every proof_us (0: never again after
 * the start). Tests bring backends that are wrong. */
enum rr_err hash_engine_new_on(struct rr_hash_engine **out, const struct hash_backend *backend,
                               const struct rr_hash_params *params,
                               const struct rr_hash_options *options, uint64_t proof_us,
                               struct rr_fault *fault) RR_MUST_USE;

/* Compares backend and light law on fixed inputs: both kinds of search and the verification.
 * RR_ERR_DAMAGED names the nonce. */
enum rr_err hash_backend_prove(const struct hash_backend *backend, void *state,
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

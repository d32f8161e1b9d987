/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Jobs on devices that a test rules, and what the law says of them. */
#ifndef RR_TEST_DOUBLES_JOBS_H
#define RR_TEST_DOUBLES_JOBS_H
#include "unit/hash/doubles.h"

static inline struct rr_hash_engine *engine_on(const struct hash_kit *kit, const char *devices)
{
    struct rr_hash_engine *engine = NULL;
    struct rr_fault fault = {0};
    struct rr_hash_options options = {.threads = 1, .dataset_bytes_max = WHOLE, .devices = devices};
    if (hash_engine_new_with(&engine, kit, &small, &options, &fault) != RR_OK) {
        fail_msg("%s", fault.text);
    }
    return engine;
}

struct outcome {
    atomic_uint calls;
    struct rr_hash_result result;
};

static inline void keep(void *ctx, const struct rr_hash_result *result)
{
    struct outcome *outcome = ctx;
    outcome->result = *result;
    atomic_fetch_add(&outcome->calls, 1);
}

static inline void await(struct outcome *outcome)
{
    for (int i = 0; i < 120000 && atomic_load(&outcome->calls) == 0; i++) {
        wait_ms(1);
    }
    assert_int_equal(atomic_load(&outcome->calls), 1);
}

static inline struct rr_hash_job make_job(enum rr_hash_kind kind, uint8_t header, uint64_t start,
                                          uint64_t count)
{
    struct rr_hash_job job = {
        .kind = kind, .nonce_start = start, .nonce_count = count, .difficulty = rr_u256_max()};
    memset(job.header_hash, header, 32);
    return job;
}

static inline uint64_t submit(struct rr_hash_engine *engine, const struct rr_hash_job *job,
                              struct outcome *outcome)
{
    uint64_t id = 0;
    assert_int_equal(rr_hash_submit(engine, &id, job, keep, outcome, NULL), RR_OK);
    assert_int_not_equal(id, 0);
    return id;
}

/* The answer by the law over a dataset of the test's own, nonce after nonce. */
static inline bool by_hand(const struct rr_hash_params *params, const struct rr_hash_job *job,
                           uint64_t *nonce, uint8_t final_be[32])
{
    static struct rr_hash_params of;
    static struct rr_ethash_node rows[2 * 1024];
    bool found = false;
    assert_true(params->dataset_items <= 1024);
    if (memcmp(&of, params, sizeof of) != 0) {
        struct rr_ethash_node *cache = test_calloc(params->cache_items, sizeof(*cache));
        rr_ethash_cache(cache, params->cache_items, params->seed);
        for (uint32_t i = 0; i < params->dataset_items; i++) {
            rr_ethash_item(rows + 2 * (size_t)i, cache, params->cache_items, i);
        }
        test_free(cache);
        of = *params;
    }
    for (uint64_t i = 0; i < job->nonce_count; i++) {
        uint8_t mix[32];
        uint8_t final[32];
        rr_ethash_full(mix, final, rows, params->dataset_items, job->header_hash,
                       job->nonce_start + i);
        if (job->kind == RR_HASH_TARGET ? rr_hash_solves(final, job->difficulty)
                                        : !found || memcmp(final, final_be, 32) < 0) {
            memcpy(final_be, final, 32);
            *nonce = job->nonce_start + i;
            found = true;
            if (job->kind == RR_HASH_TARGET) {
                break;
            }
        }
    }
    return found;
}

static inline void expect_law(const struct rr_hash_params *params, const struct rr_hash_job *job,
                              const struct outcome *outcome)
{
    uint64_t nonce = 0;
    uint8_t final_be[32] = {0};
    bool found = by_hand(params, job, &nonce, final_be);
    assert_int_equal(outcome->result.found, found);
    assert_int_equal(outcome->result.end, found ? RR_HASH_FOUND : RR_HASH_NOTHING);
    assert_int_equal(outcome->result.nonce, nonce);
    assert_memory_equal(outcome->result.final_be, final_be, 32);
}

static inline struct rr_hash_device_status status_of(struct rr_hash_engine *engine, const char *id)
{
    struct rr_hash_device_status *all = test_calloc(RR_HASH_DEVICES_MAX, sizeof(*all));
    struct rr_hash_device_status found = {0};
    size_t count = rr_hash_engine_devices(engine, all, RR_HASH_DEVICES_MAX);
    for (size_t i = 0; i < count; i++) {
        if (strcmp(all[i].device.id, id) == 0) {
            found = all[i];
        }
    }
    test_free(all);
    assert_string_equal(found.device.id, id);
    return found;
}

static inline void await_state(struct rr_hash_engine *engine, const char *id,
                               enum rr_hash_device_state state)
{
    for (int i = 0; i < 60000 && status_of(engine, id).state != state; i++) {
        wait_ms(1);
    }
    assert_int_equal(status_of(engine, id).state, state);
}

static inline void await_count(atomic_uint *counter, unsigned least)
{
    for (int i = 0; i < 60000 && atomic_load(counter) < least; i++) {
        wait_ms(1);
    }
    assert_true(atomic_load(counter) >= least);
}
#endif

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the tests of the OpenCL backend share: a device, an epoch on it and the law beside them. */
#ifndef TEST_HASH_OPENCL_LAB_H
#define TEST_HASH_OPENCL_LAB_H
#include "unit/kernels/vectors.h"

#include "hash/hash_opencl.h"
#include <pthread.h>

#define OPENCL (&hash_backend_opencl)

static const struct rr_hash_params one_mib = {
    .cache_items = 1021, .dataset_items = 8191, .seed = {1, 2, 3}};

/* An epoch on the device and by the law. */
struct lab {
    struct rr_hash_params params;
    struct rr_hash_light *light;
    struct rr_ethash_node *dataset;
    void *epoch;
};

/* A folder of the build for what PoCL compiles, shared by the tests; before OpenCL is loaded. */
static inline void keep_compiled_kernels(void)
{
    static const char path[] = RR_BIN_DIR "/../tests/pocl";
    assert_int_equal(rr_make_folders(path, NULL), RR_OK);
    assert_int_equal(setenv("POCL_CACHE_DIR", path, 1), 0);
}

/* The first device that can be used; false when this machine has none. */
static inline bool usable_device(struct rr_hash_device *out)
{
    struct rr_hash_device list[RR_HASH_DEVICES_MAX];
    size_t count = OPENCL->list(list, RR_HASH_DEVICES_MAX);
    assert_true(count > 0);
    for (size_t i = 0; i < count; i++) {
        if (list[i].why_not[0] == '\0') {
            *out = list[i];
            return true;
        }
    }
    print_message("skipped: %s\n", list[0].why_not);
    return false;
}

static inline void *open_device_of(const struct rr_hash_device *which, struct hash_opened *opened)
{
    void *device = NULL;
    struct rr_fault fault = {0};
    const struct hash_open how = {0};
    if (OPENCL->open(&device, opened, which, &how, &fault) != RR_OK) {
        fail_msg("%s", fault.text);
    }
    return device;
}

static inline struct hash_setup setup_of(const struct lab *lab, const char *tuning)
{
    struct hash_setup setup = {.params = lab->params, .light = lab->light};
    assert_true(snprintf(setup.tuning.text, sizeof(setup.tuning.text), "%s", tuning) < 96);
    return setup;
}

/* The law's side; the epoch is put in by the test. */
static inline struct lab lab_of(struct rr_hash_params params)
{
    struct lab lab = {.params = params};
    assert_int_equal(rr_hash_light_new(&lab.light, &params, NULL), RR_OK);
    lab.dataset = test_calloc(params.dataset_items, 2 * sizeof(*lab.dataset));
    for (uint32_t i = 0; i < params.dataset_items; i++) {
        rr_ethash_item(lab.dataset + 2 * (size_t)i, hash_light_cache(lab.light), params.cache_items,
                       i);
    }
    return lab;
}

static inline void lab_prepare(struct lab *lab, void *device, const char *tuning)
{
    struct rr_fault fault = {0};
    struct hash_setup setup = setup_of(lab, tuning);
    if (OPENCL->prepare(&lab->epoch, device, &setup, &fault) != RR_OK) {
        fail_msg("%s", fault.text);
    }
}

static inline void lab_clear(struct lab *lab)
{
    if (lab->epoch != NULL) {
        OPENCL->release(lab->epoch);
    }
    rr_hash_light_free(lab->light);
    test_free(lab->dataset);
}

static inline void law(const struct lab *lab, const uint8_t header[32], uint64_t nonce,
                       uint8_t mix[32], uint8_t final_be[32])
{
    rr_ethash_full(mix, final_be, lab->dataset, lab->params.dataset_items, header, nonce);
}

/* What a search has to say of a work. */
static inline struct hash_candidate law_of(const struct lab *lab, const struct hash_work *work)
{
    struct hash_candidate best = {0};
    for (uint32_t i = 0; i < work->count; i++) {
        uint8_t mix[32];
        struct hash_candidate tried = {.found = true, .nonce = work->nonce + i};
        law(lab, work->header_hash, tried.nonce, mix, tried.final_be);
        if (work->kind == RR_HASH_TARGET) {
            if (memcmp(tried.final_be, work->boundary_be, 32) <= 0) {
                return tried;
            }
        } else if (!best.found || memcmp(tried.final_be, best.final_be, 32) < 0) {
            best = tried;
        }
    }
    return best;
}

static inline void assert_candidate(const struct hash_candidate *got,
                                    const struct hash_candidate *want, const struct hash_work *work)
{
    assert_int_equal(got->found, want->found);
    if (work->kind == RR_HASH_ARGMIN || !want->found) {
        assert_int_equal(got->done, work->count);
    } else {
        assert_true(got->done > want->nonce - work->nonce && got->done <= work->count);
    }
    if (want->found) {
        assert_int_equal(got->nonce, want->nonce);
        assert_memory_equal(got->final_be, want->final_be, 32);
    }
}

static inline struct hash_work random_work(struct rr_prng *prng, uint32_t count_max)
{
    struct hash_work work = {.count = 1 + (uint32_t)rr_prng_below(prng, count_max)};
    for (size_t i = 0; i < 32; i++) {
        work.header_hash[i] = (uint8_t)rr_prng_u64(prng);
    }
    /* Half of them end where the 64 bits end. */
    bool at_end = rr_prng_below(prng, 2) == 0;
    work.nonce = at_end ? UINT64_MAX - (work.count - 1) : rr_prng_u64(prng) >> 1;
    work.kind = rr_prng_below(prng, 2) == 0 ? RR_HASH_TARGET : RR_HASH_ARGMIN;
    if (work.kind == RR_HASH_TARGET) {
        uint64_t difficulty = 1 + rr_prng_below(prng, 2 * (uint64_t)work.count);
        rr_u256_to_be(work.boundary_be, rr_hash_boundary(rr_u256_of(difficulty)));
    }
    return work;
}

/* Searches the works in one call and compares each with the law. */
static inline void search_as_the_law(const struct lab *lab, uint32_t slot,
                                     const struct hash_work *works, size_t count)
{
    struct rr_fault fault = {0};
    struct hash_candidate *found = test_calloc(count, sizeof(*found));
    if (OPENCL->search(lab->epoch, slot, found, works, count, &fault) != RR_OK) {
        fail_msg("%s", fault.text);
    }
    for (size_t i = 0; i < count; i++) {
        struct hash_candidate want = law_of(lab, &works[i]);
        assert_candidate(&found[i], &want, &works[i]);
    }
    test_free(found);
}

static inline void search_random_works(const struct lab *lab, uint32_t slot, struct rr_prng *prng,
                                       size_t count, uint32_t nonces_max)
{
    struct hash_work *works = test_calloc(count, sizeof(*works));
    for (size_t i = 0; i < count; i++) {
        works[i] = random_work(prng, nonces_max);
    }
    search_as_the_law(lab, slot, works, count);
    test_free(works);
}

static inline void check_as_the_law(const struct lab *lab, struct rr_prng *prng, size_t count)
{
    struct rr_fault fault = {0};
    struct rr_hash_check *checks = test_calloc(count, sizeof(*checks));
    for (size_t i = 0; i < count; i++) {
        memset(checks[i].header_hash, (int)(i % 251), 32);
        checks[i].nonce = i % 3 == 0 ? UINT64_MAX - i : rr_prng_u64(prng);
    }
    if (OPENCL->verify(lab->epoch, checks, count, &fault) != RR_OK) {
        fail_msg("%s", fault.text);
    }
    for (size_t i = 0; i < count; i++) {
        uint8_t mix[32];
        uint8_t final_be[32];
        law(lab, checks[i].header_hash, checks[i].nonce, mix, final_be);
        assert_memory_equal(checks[i].mix, mix, 32);
        assert_memory_equal(checks[i].final_be, final_be, 32);
    }
    test_free(checks);
}
/* Half of the shapes, as each takes the compiler a second. */
static inline void shapes_search_as_the_law(void *device, struct rr_prng *prng, bool lanes)
{
    struct lab lab = lab_of(one_mib);
    for (size_t i = 0; i < OPENCL_SHAPES; i++) {
        char text[96];
        struct rr_fault fault = {0};
        bool is_lanes = strcmp(opencl_shapes[i].variant, "lanes") == 0;
        /* Kernels are not sanitized: two shapes are enough for this side of them. */
        if (is_lanes != lanes || (getenv("RR_SHORT") != NULL && i % 6 != 0)) {
            continue;
        }
        opencl_shape_text(text, &opencl_shapes[i]);
        lab_prepare(&lab, device, text);
        assert_non_null(strstr(OPENCL->text(lab.epoch), opencl_shapes[i].variant));
        if (hash_backend_prove(OPENCL, lab.epoch, 0, lab.light, &fault) != RR_OK) {
            fail_msg("%s: %s", text, fault.text);
        }
        for (uint32_t slot = 0; slot < OPENCL_SLOTS; slot++) {
            search_random_works(&lab, slot, prng, 50, 700);
        }
        OPENCL->release(lab.epoch);
        lab.epoch = NULL;
    }
    lab_clear(&lab);
}
#endif

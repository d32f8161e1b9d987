/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The OpenCL backend on a real device (PoCL, where there is no other) against the C law. */
#ifdef RR_WITH_OPENCL
#include "unit/hash/opencl_lab.h"

static struct rr_hash_device which;
static struct hash_opened opened;
static struct opencl_device *device;
static struct rr_prng prng;

static void the_shapes_of_lanes_search_and_check_as_the_law(void **state)
{
    (void)state;
    shapes_search_as_the_law(device, &prng, true);
}

static void sizes_from_one_item_to_some_mib_equal_the_law(void **state)
{
    (void)state;
    static const struct rr_hash_params sizes[] = {
        {.cache_items = 1, .dataset_items = 1},    {.cache_items = 2, .dataset_items = 2},
        {.cache_items = 3, .dataset_items = 1024}, {.cache_items = 1024, .dataset_items = 3},
        {.cache_items = 67, .dataset_items = 509}, {.cache_items = 4093, .dataset_items = 32749},
    };
    for (size_t i = 0; i < RR_COUNT(sizes); i++) {
        struct lab lab = lab_of(sizes[i]);
        lab_prepare(&lab, device, "");
        search_random_works(&lab, 0, &prng, 20, 300);
        check_as_the_law(&lab, &prng, 100);
        lab_clear(&lab);
    }
}

static void thousands_of_jobs_share_a_launch(void **state)
{
    (void)state;
    struct lab lab = lab_of(one_mib);
    lab_prepare(&lab, device, "");
    search_random_works(&lab, 1, &prng, 3000, 20);
    search_random_works(&lab, 0, &prng, opened.works_max, 2);
    lab_clear(&lab);
}

static void ranges_longer_than_a_batch_are_searched_whole(void **state)
{
    (void)state;
    struct lab lab = lab_of((struct rr_hash_params){.cache_items = 3, .dataset_items = 5});
    lab_prepare(&lab, device, "variant=lots group=64 pair=1");
    /* Nobody solves the first; the second begins in the middle of a batch. */
    struct hash_work works[2] = {
        {.nonce = 7, .count = 64 * OPENCL_GROUPS_MAX + 1000, .kind = RR_HASH_TARGET},
        {.nonce = 5, .count = 70000, .kind = RR_HASH_ARGMIN}};
    struct hash_candidate found[2];
    assert_int_equal(OPENCL->search(lab.epoch, 0, found, works, 2, NULL), RR_OK);
    assert_false(found[0].found);
    assert_int_equal(found[0].done, works[0].count);
    struct hash_candidate want = law_of(&lab, &works[1]);
    assert_candidate(&found[1], &want, &works[1]);
    lab_clear(&lab);
}

static void verify_takes_more_checks_than_a_launch(void **state)
{
    (void)state;
    struct lab lab = lab_of(one_mib);
    lab_prepare(&lab, device, "");
    check_as_the_law(&lab, &prng, 1);
    check_as_the_law(&lab, &prng, OPENCL_CHECKS_MAX);
    check_as_the_law(&lab, &prng, OPENCL_CHECKS_MAX + 77);
    assert_int_equal(OPENCL->verify(lab.epoch, NULL, 0, NULL), RR_OK);
    lab_clear(&lab);
}

/* A target whose boundary is the final of a nonce itself, one below and one above. */
static void a_boundary_counts_to_its_last_bit(void **state)
{
    (void)state;
    struct lab lab = lab_of(one_mib);
    lab_prepare(&lab, device, "");
    for (int i = 0; i < 20; i++) {
        struct hash_work work = random_work(&prng, 300);
        work.kind = RR_HASH_ARGMIN;
        struct hash_candidate least = law_of(&lab, &work);
        struct rr_u256 final = rr_u256_from_be(least.final_be);
        work.kind = RR_HASH_TARGET;
        rr_u256_to_be(work.boundary_be, final);
        search_as_the_law(&lab, 0, &work, 1);
        rr_u256_to_be(work.boundary_be, rr_u256_sub(final, rr_u256_of(1), NULL));
        search_as_the_law(&lab, 0, &work, 1);
    }
    lab_clear(&lab);
}

/* Kernels that compare few bits of a final, or none, meet ties all the time; the answer is still
 * that of all 256 bits. */
static void ties_are_settled_by_all_bits(void **state)
{
    (void)state;
    static const uint64_t masks[] = {UINT64_C(0xff) << 56, UINT64_C(0x8000000000000000), 0};
    static const char *const tunings[] = {"", "variant=thread group=64 pair=1", ""};
    char why_not[200];
    struct lab lab = lab_of(one_mib);
    for (size_t i = 0; i < RR_COUNT(masks); i++) {
        struct opencl_api api = *device->api;
        api.key_mask = masks[i];
        opencl_api_use(&api);
        assert_non_null(opencl_api_get(why_not));
        struct hash_opened ignored;
        void *coarse = open_device_of(&which, &ignored);
        lab_prepare(&lab, coarse, tunings[i]);
        search_random_works(&lab, 0, &prng, 60, 900);
        OPENCL->release(lab.epoch);
        lab.epoch = NULL;
        OPENCL->close(coarse);
        opencl_api_use(NULL);
    }
    lab_clear(&lab);
}

int main(void)
{
    rr_log_set_level(RR_LOG_ERROR);
    keep_compiled_kernels();
    if (!usable_device(&which)) {
        return 77;
    }
    print_message("RR_SEED=%llu\n", (unsigned long long)test_seed());
    rr_prng_seed(&prng, test_seed());
    device = open_device_of(&which, &opened);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_shapes_of_lanes_search_and_check_as_the_law),
        cmocka_unit_test(sizes_from_one_item_to_some_mib_equal_the_law),
        cmocka_unit_test(thousands_of_jobs_share_a_launch),
        cmocka_unit_test(ranges_longer_than_a_batch_are_searched_whole),
        cmocka_unit_test(verify_takes_more_checks_than_a_launch),
        cmocka_unit_test(a_boundary_counts_to_its_last_bit),
        cmocka_unit_test(ties_are_settled_by_all_bits),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    OPENCL->close(device);
    return failed;
}
#else
int main(void)
{
    return 77; /* built without the OpenCL headers */
}
#endif

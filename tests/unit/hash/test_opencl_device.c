/* SPDX-License-Identifier: GPL-2.0-or-later */
/* An OpenCL device's facts, its rows against public vectors, the race of the variants, and what
 * PoCL needs of its surroundings. */
#ifdef RR_WITH_OPENCL
#include "unit/hash/opencl_lab.h"

static struct rr_hash_device which;
static struct hash_opened opened;
static struct opencl_device *device;
static struct rr_prng prng;

static void a_device_is_listed_with_its_facts(void **state)
{
    (void)state;
    struct rr_hash_device list[2];
    assert_int_equal(OPENCL->list(list, 0), 0);
    assert_int_equal(strncmp(which.id, "opencl:", 7), 0);
    assert_null(strpbrk(which.id, ", \t")); /* it can stand in a list by comma */
    assert_int_equal(which.id[strlen(which.id) - 2], '/');
    assert_string_equal(which.backend, "opencl");
    assert_true(which.name[0] != '\0' && which.driver[0] != '\0');
    assert_true(which.memory_bytes > (1u << 20));
    assert_true(which.units > 0);
    assert_true(opened.slots >= 2 && opened.works_max >= 1000);
    print_message("%s: %s, driver %s, %u units, seed %llu\n", which.id, which.name, which.driver,
                  which.units, (unsigned long long)test_seed());
}

static void the_other_shapes_search_and_check_as_the_law(void **state)
{
    (void)state;
    shapes_search_as_the_law(device, &prng, false);
}

/* ---- public vectors -----------------------------------------------------------------------------
 */
static struct rr_hash_light *light13;
static cl_mem cache13, item13;
static cl_kernel kernel13;
static cl_command_queue queue13;

static void check_item(char *row)
{
    const struct opencl_api *api = device->api;
    uint32_t cache_items = 0;
    uint32_t dataset_items = 0;
    assert_true(rr_ethash_sizes(&cache_items, &dataset_items, 13));
    uint8_t want[128];
    uint8_t got[128];
    uint32_t node = 2 * (uint32_t)next_u64(&row);
    next_hex(&row, want, 64);
    next_hex(&row, want + 64, 64);
    uint32_t magic = opencl_magic(cache_items);
    uint32_t count = 2;
    const size_t items = 64;
    cl_int code = CL_SUCCESS;
    opencl_argument_buffer(api, kernel13, 0, item13, &code);
    opencl_argument_u32(api, kernel13, 1, node, &code);
    opencl_argument_u32(api, kernel13, 2, node, &code);
    opencl_argument_u32(api, kernel13, 3, count, &code);
    opencl_argument_buffer(api, kernel13, 4, cache13, &code);
    opencl_argument_u32(api, kernel13, 5, cache_items, &code);
    opencl_argument_u32(api, kernel13, 6, magic, &code);
    assert_int_equal(code, CL_SUCCESS);
    assert_int_equal(
        api->clEnqueueNDRangeKernel(queue13, kernel13, 1, NULL, &items, &items, 0, NULL, NULL),
        CL_SUCCESS);
    assert_int_equal(api->clEnqueueReadBuffer(queue13, item13, CL_TRUE, 0, 128, got, 0, NULL, NULL),
                     CL_SUCCESS);
    assert_memory_equal(got, want, 128);
}

static void dataset_rows_equal_the_public_vectors(void **state)
{
    (void)state;
    const struct opencl_api *api = device->api;
    struct rr_hash_params params;
    cl_int code = CL_SUCCESS;
    assert_int_equal(rr_hash_params_epoch(&params, 13, RR_HASH_ETHASH_BLOCKS, NULL), RR_OK);
    assert_int_equal(rr_hash_light_new(&light13, &params, NULL), RR_OK);
    size_t bytes = (size_t)params.cache_items * 64;
    queue13 = device->queues[0].queue;
    item13 = api->clCreateBuffer(device->context, CL_MEM_READ_WRITE, 128, NULL, &code);
    assert_int_equal(code, CL_SUCCESS);
    cache13 = api->clCreateBuffer(device->context, CL_MEM_READ_ONLY, bytes, NULL, &code);
    assert_int_equal(code, CL_SUCCESS);
    assert_int_equal(api->clEnqueueWriteBuffer(queue13, cache13, CL_TRUE, 0, bytes,
                                               hash_light_cache(light13), 0, NULL, NULL),
                     CL_SUCCESS);
    static const char *const kernels[] = {"dataset", "dataset_lots"};
    for (size_t i = 0; i < (device->processor ? 2 : 1); i++) {
        kernel13 = api->clCreateKernel(device->common, kernels[i], &code);
        assert_int_equal(code, CL_SUCCESS);
        assert_int_equal(each_row("ethash.txt", "item13", check_item), 11);
        (void)api->clReleaseKernel(kernel13);
    }
    (void)api->clReleaseMemObject(cache13);
    (void)api->clReleaseMemObject(item13);
    rr_hash_light_free(light13);
}

static void the_race_takes_a_shape_that_the_next_epoch_accepts(void **state)
{
    (void)state;
    if (getenv("RR_SHORT") != NULL) {
        return; /* the race itself takes its time */
    }
    struct rr_fault fault = {0};
    struct hash_tuning best = {{0}};
    struct lab lab = lab_of(one_mib);
    lab_prepare(&lab, device, "");
    if (OPENCL->tune(lab.epoch, &best, &fault) != RR_OK) {
        fail_msg("%s", fault.text);
    }
    print_message("winner: %s\n", best.text);
    search_random_works(&lab, 0, &prng, 30, 500);
    check_as_the_law(&lab, &prng, 20);
    char text[96];
    opencl_shape_text(text, opencl_shape_find(device, best.text));
    assert_string_equal(text, best.text);
    assert_non_null(strstr(OPENCL->text(lab.epoch), opencl_shape_find(device, best.text)->variant));
    lab_clear(&lab);
}

static void an_unknown_tuning_text_means_the_usual_shape(void **state)
{
    (void)state;
    const struct opencl_shape *usual = opencl_shape_find(device, "");
    assert_ptr_equal(opencl_shape_find(device, "variant=lanes8 rows=4 block=128"), usual);
    assert_ptr_equal(opencl_shape_find(device, "variant=lanes group=64"), usual);
}

/* ---- where PoCL may write -----------------------------------------------------------------------
 */
/* An empty POCL_CACHE_DIR aborts PoCL, and a service may have no home: the list must come all the
 * same. In a process of its own, as the library is loaded once. */
static void no_home_and_an_empty_cache_folder_do_no_harm(void **state)
{
    (void)state;
    char folder[512];
    char own[512];
    char list[] = "list";
    char *const arguments[] = {own, list, NULL};
    assert_true(snprintf(folder, sizeof(folder), "%s", getenv("POCL_CACHE_DIR")) < 512);
    const char *const homes[] = {NULL, "", "/nonexistent", folder};
    ssize_t len = readlink("/proc/self/exe", own, sizeof(own) - 1);
    assert_true(len > 0);
    own[len] = '\0';
    const char *home = getenv("HOME");
    char *old_home = home != NULL ? rr_strdup(home) : NULL;
    assert_int_equal(unsetenv("XDG_CACHE_HOME"), 0);
    assert_int_equal(setenv("TMPDIR", folder, 1), 0);
    for (size_t i = 0; i < 2 * RR_COUNT(homes); i++) {
        const char *now = homes[i / 2];
        (void)(i % 2 == 0 ? setenv("POCL_CACHE_DIR", "", 1) : unsetenv("POCL_CACHE_DIR"));
        (void)(now != NULL ? setenv("HOME", now, 1) : unsetenv("HOME"));
        assert_int_equal(run_program(arguments, "/dev/null"), 0);
    }
    (void)(old_home != NULL ? setenv("HOME", old_home, 1) : unsetenv("HOME"));
    assert_int_equal(setenv("POCL_CACHE_DIR", folder, 1), 0);
    rr_free(old_home);
}

/* As a child: 0 when a device is there and PoCL was given a folder, or has a home. */
static int list_only(void)
{
    if (!usable_device(&which)) {
        return 1;
    }
    const char *folder = getenv("POCL_CACHE_DIR");
    const char *home = getenv("HOME");
    bool has_home = home != NULL && home[0] != '\0' && access(home, W_OK) == 0;
    return has_home ? folder != NULL : folder == NULL || access(folder, W_OK) != 0;
}

int main(int argc, char **argv)
{
    rr_log_set_level(RR_LOG_ERROR);
    if (argc > 1 && strcmp(argv[1], "list") == 0) {
        return list_only();
    }
    keep_compiled_kernels();
    if (!usable_device(&which)) {
        return 77;
    }
    rr_prng_seed(&prng, test_seed());
    device = open_device_of(&which, &opened);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_device_is_listed_with_its_facts),
        cmocka_unit_test(the_other_shapes_search_and_check_as_the_law),
        cmocka_unit_test(dataset_rows_equal_the_public_vectors),
        cmocka_unit_test(the_race_takes_a_shape_that_the_next_epoch_accepts),
        cmocka_unit_test(an_unknown_tuning_text_means_the_usual_shape),
        cmocka_unit_test(no_home_and_an_empty_cache_folder_do_no_harm),
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

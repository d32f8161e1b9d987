/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The OpenCL backend's epochs, and what it makes of drivers that fail, lie or have less memory: the
 * entry points are a table, and a double of it stands before the real device. */
#ifdef RR_WITH_OPENCL
#include "unit/hash/opencl_lab.h"
#include <stdatomic.h>

static struct rr_hash_device which;
static struct hash_opened opened;
static void *device; /* without the double */
static struct rr_prng prng;

/* ---- the double ---------------------------------------------------------------------------------
 * Counts the calls that may fail, and lets one of them fail; counts what is made and released.
 * Context and programs are made once, so that each round takes milliseconds. */
#define PROGRAMS 4
static struct {
    const struct opencl_api *real;
    struct opencl_api api;
    unsigned calls, failing_call; /* failing_call 0: none */
    cl_int code;
    const char *failed; /* the entry point that failed */
    int objects;        /* made and not yet released */
    cl_context context;
    const char *sources[PROGRAMS];
    cl_program programs[PROGRAMS];
    bool built[PROGRAMS];
    uint64_t buffer_bytes_max; /* 0: the device's own */
    bool spoil_build, drop_launches, spoil_rows, spoil_keys;
} fake;

static bool fails(const char *entry)
{
    if (++fake.calls == fake.failing_call) {
        fake.failed = entry;
        return true;
    }
    return false;
}

static void *made(void *object)
{
    fake.objects += object != NULL;
    return object;
}

/* clang-format off */
#define MAY_FAIL_TO_MAKE(code_out)                                                                 \
    if (fails(__func__)) {                                                                         \
        *(code_out) = fake.code;                                                                   \
        return NULL;                                                                               \
    }
#define MAY_FAIL                                                                                   \
    if (fails(__func__)) {                                                                         \
        return fake.code;                                                                          \
    }
/* clang-format on */

static cl_context
create_context(const cl_context_properties *properties, cl_uint count, const cl_device_id *devices,
               void(CL_CALLBACK *notify)(const char *, const void *, size_t, void *), void *user,
               cl_int *code)
{
    MAY_FAIL_TO_MAKE(code)
    *code = CL_SUCCESS;
    if (fake.context == NULL) {
        fake.context = fake.real->clCreateContext(properties, count, devices, notify, user, code);
    }
    return made(fake.context);
}

static cl_int release_context(cl_context context)
{
    (void)context;
    fake.objects--;
    return CL_SUCCESS;
}

static cl_command_queue create_queue(cl_context context, cl_device_id id,
                                     cl_command_queue_properties properties, cl_int *code)
{
    MAY_FAIL_TO_MAKE(code)
    return made(fake.real->clCreateCommandQueue(context, id, properties, code));
}

static cl_int release_queue(cl_command_queue queue)
{
    fake.objects--;
    return fake.real->clReleaseCommandQueue(queue);
}

static cl_program create_program(cl_context context, cl_uint count, const char **texts,
                                 const size_t *sizes, cl_int *code)
{
    MAY_FAIL_TO_MAKE(code)
    *code = CL_SUCCESS;
    size_t at = 0;
    while (at < PROGRAMS && fake.sources[at] != NULL && fake.sources[at] != texts[1]) {
        at++;
    }
    assert_true(at < PROGRAMS);
    if (fake.programs[at] == NULL) {
        fake.sources[at] = texts[1];
        fake.programs[at] =
            fake.real->clCreateProgramWithSource(context, count, texts, sizes, code);
    }
    return made(fake.programs[at]);
}

static cl_int release_program(cl_program program)
{
    (void)program;
    fake.objects--;
    return CL_SUCCESS;
}

static cl_int build_program(cl_program program, cl_uint count, const cl_device_id *devices,
                            const char *options, void(CL_CALLBACK *notify)(cl_program, void *),
                            void *user)
{
    size_t at = 0;
    MAY_FAIL
    while (fake.programs[at] != program) {
        at++;
    }
    if (fake.spoil_build) {
        options = "-cl-std=CL1.2"; /* without the sizes the source does not compile */
    } else if (fake.built[at]) {
        return CL_SUCCESS;
    }
    cl_int code = fake.real->clBuildProgram(program, count, devices, options, notify, user);
    fake.built[at] = code == CL_SUCCESS;
    return code;
}

static cl_kernel create_kernel(cl_program program, const char *name, cl_int *code)
{
    MAY_FAIL_TO_MAKE(code)
    return made(fake.real->clCreateKernel(program, name, code));
}

static cl_int release_kernel(cl_kernel kernel)
{
    fake.objects--;
    return fake.real->clReleaseKernel(kernel);
}

static cl_int kernel_info(cl_kernel kernel, cl_device_id id, cl_kernel_work_group_info what,
                          size_t size, void *out, size_t *got)
{
    MAY_FAIL
    return fake.real->clGetKernelWorkGroupInfo(kernel, id, what, size, out, got);
}

static cl_int set_argument(cl_kernel kernel, cl_uint index, size_t size, const void *value)
{
    MAY_FAIL
    return fake.real->clSetKernelArg(kernel, index, size, value);
}

static cl_mem create_buffer(cl_context context, cl_mem_flags flags, size_t size, void *host,
                            cl_int *code)
{
    MAY_FAIL_TO_MAKE(code)
    return made(fake.real->clCreateBuffer(context, flags, size, host, code));
}

static cl_int release_buffer(cl_mem buffer)
{
    fake.objects--;
    return fake.real->clReleaseMemObject(buffer);
}

static cl_int read_buffer(cl_command_queue queue, cl_mem buffer, cl_bool blocking, size_t offset,
                          size_t size, void *out, cl_uint waits, const cl_event *wait,
                          cl_event *event)
{
    MAY_FAIL
    cl_int code = fake.real->clEnqueueReadBuffer(queue, buffer, blocking, offset, size, out, waits,
                                                 wait, event);
    if (fake.spoil_rows && size == 128) {
        ((uint8_t *)out)[77] ^= 0x10;
    }
    if (fake.spoil_keys && size == sizeof(struct opencl_candidate)) {
        ((uint8_t *)out)[7] = 0; /* the key's top byte: better than all others */
    }
    return code;
}

static cl_int write_buffer(cl_command_queue queue, cl_mem buffer, cl_bool blocking, size_t offset,
                           size_t size, const void *bytes, cl_uint waits, const cl_event *wait,
                           cl_event *event)
{
    MAY_FAIL
    return fake.real->clEnqueueWriteBuffer(queue, buffer, blocking, offset, size, bytes, waits,
                                           wait, event);
}

static cl_int launch(cl_command_queue queue, cl_kernel kernel, cl_uint dimensions,
                     const size_t *offset, const size_t *global, const size_t *local, cl_uint waits,
                     const cl_event *wait, cl_event *event)
{
    MAY_FAIL
    if (fake.drop_launches) {
        return CL_SUCCESS;
    }
    return fake.real->clEnqueueNDRangeKernel(queue, kernel, dimensions, offset, global, local,
                                             waits, wait, event);
}

static cl_int finish(cl_command_queue queue)
{
    MAY_FAIL
    return fake.real->clFinish(queue);
}

static cl_int device_info(cl_device_id id, cl_device_info what, size_t size, void *out, size_t *got)
{
    if (what == CL_DEVICE_MAX_MEM_ALLOC_SIZE && fake.buffer_bytes_max != 0) {
        memcpy(out, &fake.buffer_bytes_max, sizeof(fake.buffer_bytes_max));
        return CL_SUCCESS;
    }
    return fake.real->clGetDeviceInfo(id, what, size, out, got);
}

static int use_double(void **state)
{
    (void)state;
    char why_not[200];
    opencl_api_use(NULL);
    memset(&fake, 0, sizeof(fake));
    fake.real = opencl_api_get(why_not);
    fake.api = *fake.real;
    fake.api.clCreateContext = create_context;
    fake.api.clReleaseContext = release_context;
    fake.api.clCreateCommandQueue = create_queue;
    fake.api.clReleaseCommandQueue = release_queue;
    fake.api.clCreateProgramWithSource = create_program;
    fake.api.clReleaseProgram = release_program;
    fake.api.clBuildProgram = build_program;
    fake.api.clCreateKernel = create_kernel;
    fake.api.clReleaseKernel = release_kernel;
    fake.api.clGetKernelWorkGroupInfo = kernel_info;
    fake.api.clSetKernelArg = set_argument;
    fake.api.clCreateBuffer = create_buffer;
    fake.api.clReleaseMemObject = release_buffer;
    fake.api.clEnqueueReadBuffer = read_buffer;
    fake.api.clEnqueueWriteBuffer = write_buffer;
    fake.api.clEnqueueNDRangeKernel = launch;
    fake.api.clFinish = finish;
    fake.api.clGetDeviceInfo = device_info;
    opencl_api_use(&fake.api);
    return 0;
}

static int drop_double(void **state)
{
    (void)state;
    for (size_t i = 0; i < PROGRAMS; i++) {
        if (fake.programs[i] != NULL) {
            (void)fake.real->clReleaseProgram(fake.programs[i]);
        }
    }
    if (fake.context != NULL) {
        (void)fake.real->clReleaseContext(fake.context);
    }
    opencl_api_use(NULL);
    return fake.objects; /* 0: all that was made was released */
}

/* ---- epochs -------------------------------------------------------------------------------------
 */
struct searcher {
    const struct lab *lab;
    uint32_t slot;
    atomic_bool stop;
    unsigned rounds;
    unsigned wrong;
};

static void *search_until_stopped(void *argument)
{
    struct searcher *searcher = argument;
    struct hash_work work = {.count = 500, .kind = RR_HASH_ARGMIN};
    struct hash_candidate want = law_of(searcher->lab, &work);
    while (!atomic_load(&searcher->stop) || searcher->rounds == 0) {
        struct hash_candidate got = {0};
        enum rr_err err =
            OPENCL->search(searcher->lab->epoch, searcher->slot, &got, &work, 1, NULL);
        searcher->wrong +=
            err != RR_OK || got.nonce != want.nonce || memcmp(got.final_be, want.final_be, 32) != 0;
        searcher->rounds++;
    }
    return NULL;
}

static void the_next_epoch_is_made_while_this_one_is_searched(void **state)
{
    (void)state;
    struct lab now = lab_of(one_mib);
    struct lab next =
        lab_of((struct rr_hash_params){.cache_items = 1031, .dataset_items = 8209, .seed = {9}});
    lab_prepare(&now, device, "");
    struct searcher searchers[OPENCL_SLOTS];
    pthread_t threads[OPENCL_SLOTS];
    for (uint32_t i = 0; i < OPENCL_SLOTS; i++) {
        searchers[i] = (struct searcher){.lab = &now, .slot = i};
        assert_int_equal(pthread_create(&threads[i], NULL, search_until_stopped, &searchers[i]), 0);
    }
    lab_prepare(&next, device, "");
    check_as_the_law(&next, &prng, 200); /* beside the searches too */
    for (uint32_t i = 0; i < OPENCL_SLOTS; i++) {
        atomic_store(&searchers[i].stop, true);
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_int_equal(searchers[i].wrong, 0);
        assert_true(searchers[i].rounds > 0);
    }
    search_random_works(&next, 0, &prng, 30, 300);
    search_random_works(&now, 1, &prng, 30, 300);
    OPENCL->release(now.epoch);
    now.epoch = NULL;
    search_random_works(&next, 1, &prng, 30, 300);
    lab_clear(&now);
    lab_clear(&next);
}

static void sizes_beyond_the_device_are_refused_with_both_figures(void **state)
{
    (void)state;
    struct lab lab = lab_of(one_mib);
    struct rr_fault fault = {0};
    struct hash_setup setup = setup_of(&lab, "");
    void *epoch = NULL;
    setup.params.dataset_items = RR_ETHASH_DATASET_ITEMS_MAX;
    assert_int_equal(OPENCL->prepare(&epoch, device, &setup, &fault), RR_ERR_MEMORY);
    assert_non_null(strstr(fault.text, "262143 MiB"));
    setup.params.dataset_items = 0;
    assert_int_equal(OPENCL->prepare(&epoch, device, &setup, &fault), RR_ERR_LIMIT);
    setup.params.dataset_items = RR_ETHASH_DATASET_ITEMS_MAX + 1u;
    assert_int_equal(OPENCL->prepare(&epoch, device, &setup, &fault), RR_ERR_LIMIT);

    /* Two epochs of 1 MiB in 3 MiB, the third one not; room comes back. */
    const struct hash_open how = {.memory_bytes_max = 3 << 20};
    struct hash_opened ignored;
    void *small = NULL;
    void *epochs[3] = {NULL, NULL, NULL};
    assert_int_equal(OPENCL->open(&small, &ignored, &which, &how, NULL), RR_OK);
    setup.params = lab.params;
    assert_int_equal(OPENCL->prepare(&epochs[0], small, &setup, NULL), RR_OK);
    assert_int_equal(OPENCL->prepare(&epochs[1], small, &setup, NULL), RR_OK);
    assert_int_equal(OPENCL->prepare(&epochs[2], small, &setup, &fault), RR_ERR_MEMORY);
    assert_non_null(strstr(fault.text, "left of 3 MiB"));
    OPENCL->release(epochs[0]);
    assert_int_equal(OPENCL->prepare(&epochs[2], small, &setup, NULL), RR_OK);
    OPENCL->release(epochs[1]);
    OPENCL->release(epochs[2]);
    OPENCL->close(small);
    lab_clear(&lab);
}

static void a_preparation_can_be_given_up(void **state)
{
    (void)state;
    atomic_bool cancel = true;
    struct lab lab = lab_of(one_mib);
    struct rr_fault fault = {0};
    struct hash_setup setup = setup_of(&lab, "");
    setup.cancel = &cancel;
    assert_int_equal(OPENCL->prepare(&lab.epoch, device, &setup, &fault), RR_ERR_CANCELLED);
    assert_null(lab.epoch);
    lab_clear(&lab);
}

/* ---- faults -------------------------------------------------------------------------------------
 */
static const struct rr_hash_params tiny = {.cache_items = 5, .dataset_items = 97};

/* The whole life of a device up to the first error. */
static enum rr_err live(const struct lab *lab, struct rr_fault *fault)
{
    struct hash_opened ignored;
    const struct hash_open how = {0};
    struct hash_setup setup = setup_of(lab, "");
    struct hash_work works[2] = {{.count = 100, .kind = RR_HASH_ARGMIN},
                                 {.count = 100, .kind = RR_HASH_TARGET}};
    memset(works[1].boundary_be, 0xff, 32);
    struct hash_candidate found[2];
    struct rr_hash_check check = {.nonce = 5};
    void *opened_device = NULL;
    void *epoch = NULL;
    enum rr_err err = OPENCL->open(&opened_device, &ignored, &which, &how, fault);
    if (err == RR_OK) {
        err = OPENCL->prepare(&epoch, opened_device, &setup, fault);
    }
    if (err == RR_OK) {
        err = OPENCL->search(epoch, 1, found, works, 2, fault);
    }
    if (err == RR_OK) {
        err = OPENCL->verify(epoch, &check, 1, fault);
    }
    if (epoch != NULL && err != RR_OK) {
        /* It was but one call that failed: what is left works on. */
        unsigned calls = fake.calls;
        assert_int_equal(OPENCL->search(epoch, 1, found, works, 2, NULL), RR_OK);
        assert_int_equal(OPENCL->verify(epoch, &check, 1, NULL), RR_OK);
        fake.calls = calls;
    }
    if (epoch != NULL) {
        struct hash_candidate want = law_of(lab, &works[0]);
        assert_candidate(&found[0], &want, &works[0]);
        OPENCL->release(epoch);
    }
    if (opened_device != NULL) {
        OPENCL->close(opened_device);
    }
    return err;
}

static void each_call_that_fails_gives_its_error_and_leaks_nothing(void **state)
{
    (void)state;
    static const cl_int codes[] = {CL_DEVICE_NOT_AVAILABLE, CL_MEM_OBJECT_ALLOCATION_FAILURE};
    struct lab lab = lab_of(tiny);
    fake.failing_call = 0;
    assert_int_equal(live(&lab, NULL), RR_OK);
    assert_int_equal(fake.objects, 0);
    unsigned calls = fake.calls;
    assert_true(calls > 100);
    for (size_t c = 0; c < RR_COUNT(codes); c++) {
        for (unsigned i = 1; i <= calls; i++) {
            struct rr_fault fault = {0};
            fake.calls = 0;
            fake.failing_call = i;
            fake.code = codes[c];
            fake.failed = NULL;
            enum rr_err err = live(&lab, &fault);
            if (fake.failed == NULL) {
                assert_int_equal(err, RR_OK); /* fewer launches than the first time */
                continue;
            }
            enum rr_err want = codes[c] == CL_DEVICE_NOT_AVAILABLE ? RR_ERR_IO : RR_ERR_MEMORY;
            want = strcmp(fake.failed, "build_program") == 0 ? RR_ERR_UNSUPPORTED : want;
            if (err != want || fault.code != want || fake.objects != 0) {
                fail_msg("call %u of %u, %s: %s, %d objects left: %s", i, calls, fake.failed,
                         rr_err_text(err), fake.objects, fault.text);
            }
            assert_non_null(strstr(fault.text, "CL_"));
        }
    }
    print_message("%u calls, %zu ways to fail\n", calls, RR_COUNT(codes));
    fake.failing_call = 0;
    lab_clear(&lab);
}

static void a_lack_of_memory_is_told_with_the_sizes(void **state)
{
    (void)state;
    struct lab lab = lab_of(one_mib);
    struct hash_setup setup = setup_of(&lab, "");
    void *own = open_device_of(&which, &opened);
    /* Given lazily: the call that makes the buffer succeeds, the first write does not. */
    assert_int_equal(OPENCL->prepare(&lab.epoch, own, &setup, NULL), RR_OK);
    OPENCL->release(lab.epoch);
    lab.epoch = NULL;
    bool seen = false;
    for (unsigned i = 1; i < 12 && !seen; i++) {
        struct rr_fault fault = {0};
        fake.calls = 0;
        fake.failing_call = i;
        fake.code = CL_OUT_OF_RESOURCES;
        assert_int_not_equal(OPENCL->prepare(&lab.epoch, own, &setup, &fault), RR_OK);
        if (strcmp(fake.failed, "write_buffer") == 0) {
            assert_int_equal(fault.code, RR_ERR_MEMORY);
            assert_non_null(strstr(fault.text, "1 MiB of dataset (it has "));
            seen = true;
        }
    }
    assert_true(seen);
    fake.failing_call = 0;
    OPENCL->close(own);
    lab_clear(&lab);
}

static void a_program_that_does_not_compile_gives_the_compilers_words(void **state)
{
    (void)state;
    struct rr_fault fault = {0};
    const struct hash_open how = {0};
    void *none = NULL;
    fake.spoil_build = true;
    assert_int_equal(OPENCL->open(&none, &opened, &which, &how, &fault), RR_ERR_UNSUPPORTED);
    assert_null(none);
    assert_non_null(strstr(fault.text, "CL_BUILD_PROGRAM_FAILURE"));
    assert_non_null(strstr(fault.text, "RR_KEY_MASK")); /* the name that the compiler misses */
}

static void a_launch_that_never_ran_is_noticed(void **state)
{
    (void)state;
    struct lab lab = lab_of(tiny);
    struct rr_fault fault = {0};
    struct hash_work work = {.count = 100, .kind = RR_HASH_ARGMIN};
    struct hash_candidate found;
    struct rr_hash_check check = {.nonce = 5};
    void *own = open_device_of(&which, &opened);
    lab_prepare(&lab, own, "");
    for (int round = 0; round < 2; round++) { /* the second time over the answers of the first */
        fake.drop_launches = true;
        assert_int_equal(OPENCL->search(lab.epoch, 0, &found, &work, 1, &fault), RR_ERR_IO);
        assert_non_null(strstr(fault.text, "left out"));
        assert_int_equal(OPENCL->verify(lab.epoch, &check, 1, &fault), RR_ERR_IO);
        fake.drop_launches = false;
        assert_int_equal(OPENCL->search(lab.epoch, 0, &found, &work, 1, &fault), RR_OK);
        assert_int_equal(OPENCL->verify(lab.epoch, &check, 1, &fault), RR_OK);
    }
    fake.drop_launches = true;
    OPENCL->release(lab.epoch);
    lab.epoch = NULL;
    struct hash_setup setup = setup_of(&lab, "");
    assert_int_equal(OPENCL->prepare(&lab.epoch, own, &setup, &fault), RR_ERR_DAMAGED);
    fake.drop_launches = false;
    OPENCL->close(own);
    lab_clear(&lab);
}

static void wrong_rows_and_wrong_keys_are_damage(void **state)
{
    (void)state;
    struct lab lab = lab_of(tiny);
    struct rr_fault fault = {0};
    struct hash_setup setup = setup_of(&lab, "");
    struct hash_work work = {.count = 60, .kind = RR_HASH_ARGMIN};
    struct hash_candidate found;
    void *own = open_device_of(&which, &opened);
    fake.spoil_rows = true;
    assert_int_equal(OPENCL->prepare(&lab.epoch, own, &setup, &fault), RR_ERR_DAMAGED);
    assert_non_null(strstr(fault.text, "row 0 "));
    fake.spoil_rows = false;
    lab_prepare(&lab, own, "");
    fake.spoil_keys = true;
    for (int kind = RR_HASH_TARGET; kind <= RR_HASH_ARGMIN; kind++) {
        work.kind = (enum rr_hash_kind)kind;
        memset(work.boundary_be, 0xff, 32);
        assert_int_equal(OPENCL->search(lab.epoch, 0, &found, &work, 1, &fault), RR_ERR_DAMAGED);
        assert_non_null(strstr(fault.text, "contradicts itself"));
    }
    fake.spoil_keys = false;
    OPENCL->release(lab.epoch);
    lab.epoch = NULL;
    OPENCL->close(own);
    lab_clear(&lab);
}

/* Sizes at which the halves are equal, differ by a row, and just do not fit. */
static void a_dataset_larger_than_a_buffer_lies_in_two(void **state)
{
    (void)state;
    static const uint32_t items[] = {8191, 8192, 2};
    for (size_t i = 0; i < RR_COUNT(items); i++) {
        struct rr_hash_params params = one_mib;
        params.dataset_items = items[i];
        params.cache_items = items[i] > 2 ? 1021 : 1;
        struct lab lab = lab_of(params);
        uint64_t half = (uint64_t)(items[i] - items[i] / 2) * 128;
        fake.buffer_bytes_max = half;
        void *own = open_device_of(&which, &opened);
        lab_prepare(&lab, own, "");
        const struct opencl_epoch *epoch = lab.epoch;
        assert_non_null(epoch->high);
        assert_int_equal(epoch->low_rows, items[i] - items[i] / 2);
        search_random_works(&lab, 0, &prng, 40, 400);
        check_as_the_law(&lab, &prng, 200);
        OPENCL->release(lab.epoch);
        lab.epoch = NULL;
        lab_prepare(&lab, own, "variant=lanes group=128 pair=2");
        search_random_works(&lab, 1, &prng, 40, 400);
        OPENCL->release(lab.epoch);
        lab.epoch = NULL;
        OPENCL->close(own);

        struct rr_fault fault = {0};
        struct hash_setup setup = setup_of(&lab, "");
        fake.buffer_bytes_max = half - 1;
        own = open_device_of(&which, &opened);
        assert_int_equal(OPENCL->prepare(&lab.epoch, own, &setup, &fault), RR_ERR_MEMORY);
        assert_non_null(strstr(fault.text, "at most"));
        OPENCL->close(own);
        lab_clear(&lab);
    }
}

int main(void)
{
    rr_log_set_level(RR_LOG_ERROR);
    keep_compiled_kernels();
    if (!usable_device(&which)) {
        return 77;
    }
    rr_prng_seed(&prng, test_seed());
    device = open_device_of(&which, &opened);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_next_epoch_is_made_while_this_one_is_searched),
        cmocka_unit_test(sizes_beyond_the_device_are_refused_with_both_figures),
        cmocka_unit_test(a_preparation_can_be_given_up),
#define WITH_DOUBLE(test) cmocka_unit_test_setup_teardown(test, use_double, drop_double)
        WITH_DOUBLE(each_call_that_fails_gives_its_error_and_leaks_nothing),
        WITH_DOUBLE(a_lack_of_memory_is_told_with_the_sizes),
        WITH_DOUBLE(a_program_that_does_not_compile_gives_the_compilers_words),
        WITH_DOUBLE(a_launch_that_never_ran_is_noticed),
        WITH_DOUBLE(wrong_rows_and_wrong_keys_are_damage),
        WITH_DOUBLE(a_dataset_larger_than_a_buffer_lies_in_two),
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

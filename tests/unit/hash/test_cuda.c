/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The CUDA backend through its table, on a driver without a device (tests/cuda). */
#include "cuda/fake_cuda.h"
#include "unit/kernels/vectors.h"

#include "hash/hash_cuda.h"
#include <dlfcn.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

static struct fake_cuda *fake;
static fake_cuda_reset reset;
static struct rr_prng prng;
static const struct rr_hash_params small = {
    .cache_items = 67, .dataset_items = 509, .seed = {1, 2, 3}};
static struct rr_hash_light *light;
static struct rr_ethash_node *dataset; /* of the law */

static int load(void **state)
{
    (void)state;
    uint64_t seed = 0;
    rr_random(&seed, sizeof(seed));
    const char *given = getenv("RR_SEED");
    seed = given != NULL ? strtoull(given, NULL, 0) : seed;
    rr_prng_seed(&prng, seed);
    print_message("seed %" PRIu64 " (RR_SEED repeats it)\n", seed);
    void *library = dlopen(RR_FAKE_CUDA, RTLD_NOW | RTLD_LOCAL); /* stays: the backend's counts */
    assert_non_null(library);
    void *symbol = dlsym(library, FAKE_CUDA_RESET);
    assert_non_null(symbol);
    memcpy(&reset, &symbol, sizeof(reset));
    assert_int_equal(rr_hash_light_new(&light, &small, NULL), RR_OK);
    dataset = rr_alloc_array((size_t)2 * small.dataset_items, sizeof(*dataset));
    for (uint32_t i = 0; i < small.dataset_items; i++) {
        rr_ethash_item(dataset + 2 * (size_t)i, hash_light_cache(light), small.cache_items, i);
    }
    return 0;
}

static void law(const uint8_t *header_hash, uint64_t nonce, uint8_t *mix, uint8_t *final)
{
    rr_ethash_full(mix, final, dataset, small.dataset_items, header_hash, nonce);
}
static int unload(void **state)
{
    (void)state;
    rr_hash_light_free(light);
    rr_free(dataset);
    cuda_driver_use(NULL, NULL, 0);
    return 0;
}

/* One good device, of which the test may make what it wants before the driver is loaded. */
static int fresh(void **state)
{
    (void)state;
    fake = reset();
    cuda_driver_use(RR_FAKE_CUDA, FAKE_CUDA_IMAGE, 13000);
    return 0;
}
static int nothing_left(void **state)
{
    (void)state;
    assert_int_equal(fake->contexts, 0);
    assert_int_equal(fake->streams, 0);
    assert_int_equal(fake->events, 0);
    assert_int_equal(fake->modules, 0);
    assert_int_equal(fake->allocations, 0);
    for (int i = 0; i < FAKE_DEVICES_MAX; i++) {
        assert_int_equal(fake->used_bytes[i], 0);
    }
    return 0;
}

static struct rr_hash_device one(size_t number)
{
    struct rr_hash_device devices[8];
    size_t count = hash_backend_cuda.list(devices, RR_COUNT(devices));
    assert_true(number < count);
    return devices[number];
}

struct opened {
    void *device, *epoch;
    struct hash_opened what;
};
static struct hash_setup setup_of(const char *tuning)
{
    struct hash_setup setup = {.params = small, .light = light};
    (void)snprintf(setup.tuning.text, sizeof(setup.tuning.text), "%s", tuning);
    return setup;
}
static void open_one(struct opened *opened, size_t number, const char *tuning)
{
    struct rr_hash_device device = one(number);
    struct hash_open how = {0};
    struct rr_fault fault = {0};
    enum rr_err err = hash_backend_cuda.open(&opened->device, &opened->what, &device, &how, &fault);
    assert_string_equal(fault.text, "");
    assert_int_equal(err, RR_OK);
    struct hash_setup setup = setup_of(tuning);
    err = hash_backend_cuda.prepare(&opened->epoch, opened->device, &setup, &fault);
    assert_string_equal(fault.text, "");
    assert_int_equal(err, RR_OK);
}
static void close_one(struct opened *opened)
{
    hash_backend_cuda.release(opened->epoch);
    hash_backend_cuda.close(opened->device);
}

/* ---- list and open ------------------------------------------------------------------------------
 */
static void devices_are_listed_with_what_users_need(void **state)
{
    (void)state;
    fake->devices = 3;
    fake->compute[1] = 61;
    struct rr_hash_device devices[8];
    assert_int_equal(hash_backend_cuda.list(devices, 8), 3);
    assert_string_equal(devices[0].id, "cuda:GPU-00010203-0405-0607-0809-0a0b0c0d0e0f");
    assert_string_equal(devices[0].backend, "cuda");
    assert_string_equal(devices[0].name, "Emulated device 0");
    assert_string_equal(devices[0].driver, "CUDA 13.0");
    assert_string_equal(devices[0].pci, "0000:01:00.0");
    assert_string_equal(devices[0].why_not, "");
    assert_int_equal(devices[0].memory_bytes, 512u << 20);
    assert_int_equal(devices[0].units, 2);
    assert_non_null(strstr(devices[1].why_not, "compute capability 6.1"));
    assert_string_equal(devices[2].why_not, "");
    assert_int_equal(hash_backend_cuda.list(devices, 2), 2);
    assert_int_equal(hash_backend_cuda.list(devices, 0), 0);
    fake->mode = 2;
    assert_non_null(strstr(one(0).why_not, "compute mode"));
}

static void check_why_not(const char *text)
{
    struct rr_hash_device devices[4];
    assert_int_equal(hash_backend_cuda.list(devices, 4), 1);
    assert_string_equal(devices[0].backend, "cuda");
    if (strstr(devices[0].why_not, text) == NULL) {
        fail_msg("'%s' does not say '%s'", devices[0].why_not, text);
    }
    void *device = NULL;
    struct hash_opened opened;
    struct hash_open how = {0};
    struct rr_fault fault = {0};
    assert_int_equal(hash_backend_cuda.open(&device, &opened, &devices[0], &how, &fault),
                     RR_ERR_UNSUPPORTED);
    assert_non_null(strstr(fault.text, text));
}

static void what_is_missing_is_said_in_the_list_and_at_open(void **state)
{
    (void)state;
    cuda_driver_use("/nowhere/libcuda.so.1", FAKE_CUDA_IMAGE, 13000);
    check_why_not("driver is not installed");
    (void)fresh(state);
    fake->version = 12080;
    check_why_not("made for CUDA 12.8 and the kernels with 13.0");
    (void)fresh(state);
    fake->init_code = 100;
    check_why_not("finds no device");
    (void)fresh(state);
    fake->init_code = 803;
    check_why_not("does not start (code 803)");
    static const char *const symbols[] = {"cuInit", "cuCtxCreate", "cuStreamCreateWithPriority",
                                          "cuLaunchKernel"};
    for (size_t i = 0; i < RR_COUNT(symbols); i++) {
        (void)fresh(state);
        fake->missing = symbols[i];
        check_why_not(symbols[i]);
    }
}

static void a_build_without_nvcc_says_so(void **state)
{
    (void)state;
    int version = 0;
    cuda_driver_use(RR_FAKE_CUDA, NULL, 0);
    if (cuda_image(&version) == NULL) {
        check_why_not("built without nvcc");
        return;
    }
    /* Built with it: the kernels in this program are a fatbin, of which the driver takes any. */
    static const uint8_t magic[4] = {0x50, 0xed, 0x55, 0xba};
    assert_memory_equal(cuda_image(&version), magic, 4);
    assert_true(version >= 11000);
    assert_string_equal(one(0).why_not, "");
}

static void a_driver_that_refuses_the_kernels_leaves_nothing(void **state)
{
    (void)state;
    static const int codes[] = {200, 209, 218, 221, 222, 2, 999};
    static const enum rr_err errs[] = {RR_ERR_UNSUPPORTED, RR_ERR_UNSUPPORTED, RR_ERR_UNSUPPORTED,
                                       RR_ERR_UNSUPPORTED, RR_ERR_UNSUPPORTED, RR_ERR_MEMORY,
                                       RR_ERR_IO};
    for (size_t i = 0; i < RR_COUNT(codes); i++) {
        fake->load_code = codes[i];
        struct rr_hash_device device = one(0);
        struct hash_open how = {0};
        struct opened opened;
        struct rr_fault fault = {0};
        assert_int_equal(
            hash_backend_cuda.open(&opened.device, &opened.what, &device, &how, &fault), errs[i]);
        (void)nothing_left(state);
    }
}

static void a_device_that_is_gone_is_not_found(void **state)
{
    (void)state;
    fake->devices = 2;
    struct rr_hash_device device = one(1);
    fake->devices = 1;
    struct hash_open how = {0};
    struct opened opened;
    struct rr_fault fault = {0};
    assert_int_equal(hash_backend_cuda.open(&opened.device, &opened.what, &device, &how, &fault),
                     RR_ERR_NOTFOUND);
}

/* ---- results ------------------------------------------------------------------------------------
 */
static struct hash_work random_work(uint32_t count_max)
{
    struct hash_work work = {.count = 1 + (uint32_t)rr_prng_below(&prng, count_max)};
    rr_prng_bytes(&prng, work.header_hash, 32);
    work.kind = rr_prng_below(&prng, 2) == 0 ? RR_HASH_TARGET : RR_HASH_ARGMIN;
    work.nonce = rr_prng_u64(&prng) / 2;
    if (rr_prng_below(&prng, 4) == 0) {
        work.nonce = UINT64_MAX - work.count + 1;
    }
    rr_prng_bytes(&prng, work.boundary_be, 32);
    uint64_t choice = rr_prng_below(&prng, 6);
    if (choice < 4) {
        work.boundary_be[0] = (uint8_t)(choice * choice);
    } else if (choice == 5) { /* the final of one of its nonces: solves, by the last bit */
        uint8_t mix[32];
        uint64_t at = rr_prng_below(&prng, work.count);
        law(work.header_hash, work.nonce + at, mix, work.boundary_be);
        if (rr_prng_below(&prng, 2) == 0 && work.boundary_be[31] > 0) {
            work.boundary_be[31]--; /* or just not */
        }
    }
    return work;
}

static void check_work(const struct hash_work *work, const struct hash_candidate *got)
{
    struct hash_candidate best = {.found = false};
    for (uint32_t i = 0; i < work->count; i++) {
        uint8_t mix[32];
        struct hash_candidate tried = {.found = true, .nonce = work->nonce + i};
        law(work->header_hash, tried.nonce, mix, tried.final_be);
        if (work->kind == RR_HASH_TARGET) {
            if (memcmp(tried.final_be, work->boundary_be, 32) <= 0) {
                best = tried;
                break;
            }
        } else if (!best.found || memcmp(tried.final_be, best.final_be, 32) < 0) {
            best = tried;
        }
    }
    assert_int_equal(got->found, best.found);
    if (best.found) {
        assert_true(got->nonce == best.nonce);
        assert_memory_equal(got->final_be, best.final_be, 32);
    }
    assert_true(got->done > 0 && got->done <= work->count);
    if (work->kind == RR_HASH_ARGMIN || !best.found) {
        assert_int_equal(got->done, work->count);
    }
}

static void search_and_check(struct opened *opened, uint32_t slot, size_t count, uint32_t most)
{
    struct hash_work *works = rr_alloc_array(count, sizeof(*works));
    struct hash_candidate *found = rr_alloc_array(count, sizeof(*found));
    for (size_t i = 0; i < count; i++) {
        works[i] = random_work(most);
    }
    struct rr_fault fault = {0};
    assert_int_equal(hash_backend_cuda.search(opened->epoch, slot, found, works, count, &fault),
                     RR_OK);
    for (size_t i = 0; i < count; i++) {
        check_work(&works[i], &found[i]);
    }
    rr_free(works);
    rr_free(found);
}

static const char *const tunings[] = {"",
                                      "variant=lanes8 rows=8 block=128 per_sm=0",
                                      "variant=lanes8 rows=8 block=256 per_sm=0",
                                      "variant=bulk rows=1 block=128 per_sm=0",
                                      "variant=persist rows=4 block=128 per_sm=2",
                                      "variant=persist rows=8 block=128 per_sm=1"};

static void every_tuning_proves_itself_and_searches_as_the_law(void **state)
{
    (void)state;
    for (size_t i = 0; i < RR_COUNT(tunings); i++) {
        struct opened opened;
        open_one(&opened, 0, tunings[i]);
        assert_int_equal(opened.what.works_max, CUDA_WORKS_MAX);
        assert_int_equal(opened.what.hashes_step, 128);
        assert_non_null(strstr(hash_backend_cuda.text(opened.epoch),
                               i == 0 ? "dataset, variant=lanes8 rows=4 block=128" : tunings[i]));
        struct rr_fault fault = {0};
        for (uint32_t slot = 0; slot < opened.what.slots; slot++) {
            assert_int_equal(
                hash_backend_prove(&hash_backend_cuda, opened.epoch, slot, light, &fault), RR_OK);
        }
        search_and_check(&opened, 0, 12, 400);
        search_and_check(&opened, 1, 1, 300);
        close_one(&opened);
    }
}

static void tunings_of_another_build_give_the_default(void **state)
{
    (void)state;
    fake->compute[0] = 75;
    static const char *const strange[] = {"variant=bulk rows=1 block=128 per_sm=0", /* needs 9.0 */
                                          "variant=lanes8 rows=3 block=128 per_sm=0",
                                          "variant=persist rows=4 block=128 per_sm=0",
                                          "variant=persist rows=4 block=128 per_sm=4000000",
                                          "variant=%s%s%n",
                                          "zz"};
    struct cuda_device device = {.compute = 75};
    for (size_t i = 0; i < RR_COUNT(strange); i++) {
        struct cuda_way way = cuda_way_of(&device, strange[i]);
        assert_int_equal(way.kernel, CUDA_KERNEL_lanes8_4_128);
        assert_int_equal(way.per_unit, 0);
    }
}

static void many_small_works_share_a_launch(void **state)
{
    (void)state;
    struct opened opened;
    open_one(&opened, 0, "");
    static struct hash_work works[400];
    static struct hash_candidate found[400];
    for (size_t i = 0; i < RR_COUNT(works); i++) {
        works[i] = random_work(3);
        works[i].kind = RR_HASH_ARGMIN;
    }
    int before = fake->launches;
    assert_int_equal(hash_backend_cuda.search(opened.epoch, 1, found, works, RR_COUNT(works), NULL),
                     RR_OK);
    assert_int_equal(fake->launches - before, 3); /* search, tail, finish */
    for (size_t i = 0; i < RR_COUNT(works); i++) {
        check_work(&works[i], &found[i]);
    }
    close_one(&opened);
}

/* Answers are put together from several launches where the tables are too small for all. */
static void works_larger_than_a_launch_are_cut(void **state)
{
    (void)state;
    struct opened opened;
    open_one(&opened, 0, "");
    ((struct cuda_device *)opened.device)->blocks_max = 3;
    search_and_check(&opened, 0, 5, 1000);
    search_and_check(&opened, 0, 9, 130);
    close_one(&opened);
}

/* By 6 bits instead of 64, ties are everywhere: what the kernels cannot decide the host must. */
static void ties_of_the_compared_bits_are_decided_by_the_whole_hash(void **state)
{
    (void)state;
    fake->narrow = true;
    struct opened opened;
    open_one(&opened, 0, "");
    search_and_check(&opened, 0, 40, 700);
    ((struct cuda_device *)opened.device)->blocks_max = 4;
    search_and_check(&opened, 0, 10, 700);
    assert_true(fake->launches > 40); /* the questions were asked */
    close_one(&opened);
}

static void checks_of_any_number_equal_the_law(void **state)
{
    (void)state;
    struct opened opened;
    open_one(&opened, 0, "");
    size_t count = getenv("RR_SHORT") != NULL ? 300 : CUDA_CHECKS_MAX + 5;
    struct rr_hash_check *checks = rr_alloc_array(count, sizeof(*checks));
    rr_prng_bytes(&prng, checks, count * sizeof(*checks));
    assert_int_equal(hash_backend_cuda.verify(opened.epoch, checks, count, NULL), RR_OK);
    for (size_t i = 0; i < count; i += i + 20 < count ? 7 : 1) {
        uint8_t mix[32];
        uint8_t final[32];
        law(checks[i].header_hash, checks[i].nonce, mix, final);
        assert_memory_equal(checks[i].mix, mix, 32);
        assert_memory_equal(checks[i].final_be, final, 32);
    }
    rr_free(checks);
    close_one(&opened);
}

/* ---- threads ------------------------------------------------------------------------------------
 */
struct searcher {
    struct opened *opened;
    uint32_t slot;
};
static void *search_a_while(void *argument)
{
    const struct searcher *searcher = argument;
    struct hash_work work = {
        .nonce = searcher->slot, .count = 300, .kind = RR_HASH_ARGMIN, .header_hash = {7}};
    for (int i = 0; i < 4; i++) {
        struct hash_candidate found = {0};
        assert_int_equal(hash_backend_cuda.search(searcher->opened->epoch, searcher->slot, &found,
                                                  &work, 1, NULL),
                         RR_OK);
        check_work(&work, &found);
        work.nonce += 1000;
    }
    return NULL;
}

static void slots_checks_and_the_next_epoch_go_beside_each_other(void **state)
{
    (void)state;
    struct opened opened;
    open_one(&opened, 0, "");
    struct searcher searchers[CUDA_SLOTS];
    pthread_t threads[CUDA_SLOTS];
    for (uint32_t i = 0; i < CUDA_SLOTS; i++) {
        searchers[i] = (struct searcher){&opened, i};
        assert_int_equal(pthread_create(&threads[i], NULL, search_a_while, &searchers[i]), 0);
    }
    void *next = NULL;
    struct hash_setup setup = setup_of("");
    assert_int_equal(hash_backend_cuda.prepare(&next, opened.device, &setup, NULL), RR_OK);
    struct rr_hash_check check = {.nonce = 5};
    assert_int_equal(hash_backend_cuda.verify(next, &check, 1, NULL), RR_OK);
    uint8_t mix[32];
    uint8_t final[32];
    law(check.header_hash, 5, mix, final);
    assert_memory_equal(check.final_be, final, 32);
    for (uint32_t i = 0; i < CUDA_SLOTS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    hash_backend_cuda.release(opened.epoch);
    opened.epoch = next;
    search_and_check(&opened, 0, 2, 200);
    close_one(&opened);
}

static void several_devices_work_at_the_same_time(void **state)
{
    (void)state;
    fake->devices = 3;
    struct opened opened[3];
    for (size_t i = 0; i < 3; i++) {
        open_one(&opened[i], i, tunings[i]);
    }
    for (size_t i = 0; i < 3; i++) {
        assert_true(fake->used_bytes[i] > 65152);
        search_and_check(&opened[i], 0, 3, 200);
    }
    for (size_t i = 0; i < 3; i++) {
        close_one(&opened[i]);
        assert_int_equal(fake->used_bytes[i], 0);
    }
}

/* ---- faults -------------------------------------------------------------------------------------
 */
static enum rr_err try_prepare(void *device, const struct hash_setup *setup, const char *text)
{
    void *epoch = NULL;
    struct rr_fault fault = {0};
    enum rr_err err = hash_backend_cuda.prepare(&epoch, device, setup, &fault);
    if (err == RR_OK) {
        hash_backend_cuda.release(epoch);
    } else if (strstr(fault.text, text) == NULL) {
        fail_msg("'%s' does not say '%s'", fault.text, text);
    }
    return err;
}

static void too_little_memory_is_said_in_figures_before_it_is_taken(void **state)
{
    (void)state;
    struct rr_hash_device device = one(0);
    struct hash_open how = {.memory_bytes_max = 100u << 20};
    struct opened opened;
    assert_int_equal(hash_backend_cuda.open(&opened.device, &opened.what, &device, &how, NULL),
                     RR_OK);
    uint64_t used = fake->used_bytes[0];
    struct hash_setup setup = setup_of("");
    setup.params.dataset_items = 8000009; /* 976 MiB */
    assert_int_equal(try_prepare(opened.device, &setup, "need 976 MiB on Emulated device 0"),
                     RR_ERR_MEMORY);
    assert_int_equal(try_prepare(opened.device, &setup, "100 MiB are allowed"), RR_ERR_MEMORY);
    setup.params.dataset_items = 1000003; /* 122 MiB, of 448 free and 100 allowed */
    assert_int_equal(try_prepare(opened.device, &setup, "allowed"), RR_ERR_MEMORY);
    ((struct cuda_device *)opened.device)->memory_bytes_max = 0;
    fake->memory_bytes = 100u << 20;
    assert_int_equal(try_prepare(opened.device, &setup, "MiB are free"), RR_ERR_MEMORY);
    assert_int_equal(fake->used_bytes[0], used);
    setup = setup_of("");
    assert_int_equal(try_prepare(opened.device, &setup, ""), RR_OK); /* it lives on */
    hash_backend_cuda.close(opened.device);
}

static void a_device_without_room_for_its_buffers_is_not_opened(void **state)
{
    (void)state;
    struct rr_hash_device device = one(0);
    for (uint64_t bytes = 1024; bytes < 2u << 20; bytes *= 2) {
        fake->memory_bytes = bytes;
        struct hash_open how = {0};
        struct opened opened;
        struct rr_fault fault = {0};
        assert_int_equal(
            hash_backend_cuda.open(&opened.device, &opened.what, &device, &how, &fault),
            RR_ERR_MEMORY);
        (void)nothing_left(state);
    }
}

static void a_device_lost_at_any_launch_is_an_error_and_can_be_opened_again(void **state)
{
    (void)state;
    for (int after = 0; after < 5; after++) {
        struct opened opened;
        open_one(&opened, 0, "");
        struct hash_work work = random_work(300);
        struct hash_candidate found;
        struct rr_fault fault = {0};
        fake->fail_after = after;
        enum rr_err err = hash_backend_cuda.search(opened.epoch, 0, &found, &work, 1, &fault);
        if (after < 3) {
            assert_int_equal(err, RR_ERR_IO);
            assert_non_null(strstr(fault.text, "CUDA_ERROR_LAUNCH_FAILED at searching"));
        } else { /* the launches after a search belong to a check */
            assert_int_equal(err, RR_OK);
            struct rr_hash_check check = {.nonce = 1};
            err = hash_backend_cuda.verify(opened.epoch, &check, 1, &fault);
            assert_int_equal(err, after == 3 ? RR_ERR_IO : RR_OK);
        }
        if (after < 4) {
            assert_int_equal(hash_backend_cuda.search(opened.epoch, 1, &found, &work, 1, &fault),
                             RR_ERR_IO);
            assert_non_null(strstr(fault.text, "is lost since an earlier error"));
            struct hash_tuning best = {""};
            assert_int_equal(hash_backend_cuda.tune(opened.epoch, &best, &fault), RR_ERR_IO);
            struct hash_setup setup = setup_of("");
            assert_int_equal(try_prepare(opened.device, &setup, "lost"), RR_ERR_IO);
        }
        fake->fail_after = -1;
        close_one(&opened);
        (void)nothing_left(state);
    }
    struct opened opened;
    open_one(&opened, 0, "");
    search_and_check(&opened, 0, 2, 200);
    close_one(&opened);
}

static void a_device_lost_while_it_builds_is_an_error(void **state)
{
    (void)state;
    struct rr_hash_device device = one(0);
    struct hash_open how = {0};
    struct opened opened;
    assert_int_equal(hash_backend_cuda.open(&opened.device, &opened.what, &device, &how, NULL),
                     RR_OK);
    fake->fail_after = 0;
    struct hash_setup setup = setup_of("");
    assert_int_equal(try_prepare(opened.device, &setup, "building the dataset"), RR_ERR_IO);
    hash_backend_cuda.close(opened.device);
}

static void wrong_rows_and_wrong_answers_are_found(void **state)
{
    (void)state;
    struct rr_hash_device device = one(0);
    struct hash_open how = {0};
    struct opened opened;
    assert_int_equal(hash_backend_cuda.open(&opened.device, &opened.what, &device, &how, NULL),
                     RR_OK);
    fake->wrong = "build";
    struct hash_setup setup = setup_of("");
    assert_int_equal(try_prepare(opened.device, &setup, "row 0 of the dataset"), RR_ERR_DAMAGED);
    fake->wrong = NULL;
    assert_int_equal(hash_backend_cuda.prepare(&opened.epoch, opened.device, &setup, NULL), RR_OK);
    static const char *const kernels[] = {"lanes8", "verify"};
    for (size_t i = 0; i < RR_COUNT(kernels); i++) {
        struct rr_fault fault = {0};
        fake->wrong = kernels[i];
        assert_int_equal(hash_backend_prove(&hash_backend_cuda, opened.epoch, 0, light, &fault),
                         RR_ERR_DAMAGED);
    }
    fake->wrong = NULL;
    assert_int_equal(hash_backend_prove(&hash_backend_cuda, opened.epoch, 0, light, NULL), RR_OK);
    close_one(&opened);
}

static void a_build_can_be_cancelled(void **state)
{
    (void)state;
    struct rr_hash_device device = one(0);
    struct hash_open how = {0};
    struct opened opened;
    assert_int_equal(hash_backend_cuda.open(&opened.device, &opened.what, &device, &how, NULL),
                     RR_OK);
    atomic_bool cancel = true;
    struct hash_setup setup = setup_of("");
    setup.cancel = &cancel;
    assert_int_equal(try_prepare(opened.device, &setup, "cancelled"), RR_ERR_CANCELLED);
    cancel = false;
    assert_int_equal(try_prepare(opened.device, &setup, ""), RR_OK);
    hash_backend_cuda.close(opened.device);
}

/* ---- tune ---------------------------------------------------------------------------------------
 */
static void tune_gives_a_way_that_is_right_and_taken_up_again(void **state)
{
    (void)state;
    struct opened opened;
    open_one(&opened, 0, "");
    ((struct cuda_device *)opened.device)->blocks_max = 2;
    struct hash_tuning best = {""};
    struct rr_fault fault = {0};
    assert_int_equal(hash_backend_cuda.tune(opened.epoch, &best, &fault), RR_OK);
    assert_non_null(strstr(best.text, "variant="));
    assert_non_null(strstr(hash_backend_cuda.text(opened.epoch), best.text));
    ((struct cuda_device *)opened.device)->blocks_max = CUDA_BLOCKS_MAX;
    search_and_check(&opened, 0, 4, 300);
    close_one(&opened);
    open_one(&opened, 0, best.text);
    assert_non_null(strstr(hash_backend_cuda.text(opened.epoch), best.text));
    close_one(&opened);
}

static void tune_crowns_no_variant_that_is_wrong(void **state)
{
    (void)state;
    fake->wrong = "lanes8"; /* four of them; its offset is off by one */
    struct opened opened;
    open_one(&opened, 0, "");
    ((struct cuda_device *)opened.device)->blocks_max = 2;
    struct hash_tuning best = {""};
    rr_log_set_level((enum rr_log_level)0);
    assert_int_equal(hash_backend_cuda.tune(opened.epoch, &best, NULL), RR_OK);
    assert_null(strstr(best.text, "lanes8"));
    fake->wrong = "_128";
    struct hash_tuning none = {"as before"};
    struct rr_fault fault = {0};
    fake->compute[0] = 75;
    enum rr_err err = hash_backend_cuda.tune(opened.epoch, &none, &fault);
    assert_true(err == RR_OK || err == RR_ERR_DAMAGED);
    if (err == RR_OK) {
        assert_non_null(strstr(none.text, "block=256"));
    }
    rr_log_set_level(RR_LOG_INFO);
    close_one(&opened);
}

static void a_kernel_that_does_not_fit_leaves_the_race(void **state)
{
    (void)state;
    struct opened opened;
    open_one(&opened, 0, "");
    ((struct cuda_device *)opened.device)->blocks_max = 2;
    fake->fail_code = 701;
    fake->fail_gently = true;
    fake->fail_after = 3;
    struct hash_tuning best = {""};
    assert_int_equal(hash_backend_cuda.tune(opened.epoch, &best, NULL), RR_OK);
    fake->fail_after = -1;
    search_and_check(&opened, 0, 2, 200);
    close_one(&opened);
}

#define T(name) cmocka_unit_test_setup_teardown(name, fresh, nothing_left)
int main(void)
{
    const struct CMUnitTest tests[] = {
        T(devices_are_listed_with_what_users_need),
        T(what_is_missing_is_said_in_the_list_and_at_open),
        T(a_build_without_nvcc_says_so),
        T(a_driver_that_refuses_the_kernels_leaves_nothing),
        T(a_device_that_is_gone_is_not_found),
        T(every_tuning_proves_itself_and_searches_as_the_law),
        T(tunings_of_another_build_give_the_default),
        T(many_small_works_share_a_launch),
        T(works_larger_than_a_launch_are_cut),
        T(ties_of_the_compared_bits_are_decided_by_the_whole_hash),
        T(checks_of_any_number_equal_the_law),
        T(slots_checks_and_the_next_epoch_go_beside_each_other),
        T(several_devices_work_at_the_same_time),
        T(too_little_memory_is_said_in_figures_before_it_is_taken),
        T(a_device_without_room_for_its_buffers_is_not_opened),
        T(a_device_lost_at_any_launch_is_an_error_and_can_be_opened_again),
        T(a_device_lost_while_it_builds_is_an_error),
        T(wrong_rows_and_wrong_answers_are_found),
        T(a_build_can_be_cancelled),
        T(tune_gives_a_way_that_is_right_and_taken_up_again),
        T(tune_crowns_no_variant_that_is_wrong),
        T(a_kernel_that_does_not_fit_leaves_the_race),
    };
#ifdef __SANITIZE_THREAD__
    /* A switch of fibres costs this sanitizer microseconds; the one test of threads is its own. */
    cmocka_set_test_filter("slots_*");
#endif
    return cmocka_run_group_tests(tests, load, unload);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The backend of the CPU, with every variant that this processor runs, against the law. */
#include "cpu/cpu.h"
#include "hash/hash_backend.h"
#include <inttypes.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define CACHE_ITEMS   1021u
#define DATASET_ITEMS 8191u
#define WORKS         90u /* more than one call takes at a time */

static const struct rr_hash_params params = {
    .cache_items = CACHE_ITEMS, .dataset_items = DATASET_ITEMS, .seed = {7}};
static struct rr_hash_light *light;
static struct rr_ethash_node *dataset; /* by the law */

static uint64_t random_state;
static uint64_t random_u64(void)
{
    uint64_t z = random_state += 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    return z ^ z >> 29;
}

static void law(uint8_t mix[32], uint8_t final_be[32], const uint8_t *header_hash, uint64_t nonce)
{
    rr_ethash_full(mix, final_be, dataset, DATASET_ITEMS, header_hash, nonce);
}

struct lab {
    void *device, *epoch;
    struct hash_opened opened;
};

static void open_lab(struct lab *lab, uint32_t mask, bool whole)
{
    struct rr_fault fault = {0};
    struct rr_hash_device device;
    struct hash_open how = {.threads = 2, .kernel_mask = mask};
    struct hash_setup setup = {.params = params,
                               .light = light,
                               .dataset_bytes_max = whole ? UINT64_C(1) << 30 : 0,
                               .threads = 2};
    assert_int_equal(hash_backend_cpu.list(&device, 1), 1);
    assert_int_equal(hash_backend_cpu.open(&lab->device, &lab->opened, &device, &how, &fault),
                     RR_OK);
    assert_int_equal(hash_backend_cpu.prepare(&lab->epoch, lab->device, &setup, &fault), RR_OK);
}

static void close_lab(struct lab *lab)
{
    hash_backend_cpu.release(lab->epoch);
    hash_backend_cpu.close(lab->device);
}

/* The law's answer to a work; *hashes: how many it needs at least. */
static struct hash_candidate right(const struct hash_work *work)
{
    struct hash_candidate best = {0};
    for (uint32_t i = 0; i < work->count; i++) {
        struct hash_candidate one = {.found = true, .nonce = work->nonce + i};
        uint8_t mix[32];
        law(mix, one.final_be, work->header_hash, one.nonce);
        bool target = work->kind == RR_HASH_TARGET;
        bool takes = target ? memcmp(one.final_be, work->boundary_be, 32) <= 0
                            : hash_candidate_replaces(&best, &one, RR_HASH_ARGMIN);
        best = takes ? one : best;
        best.done = i + 1;
        if (target && takes) {
            break;
        }
    }
    return best;
}

static void random_work(struct hash_work *work, bool whole)
{
    *work = (struct hash_work){.nonce = random_u64() % 3 == 0 ? UINT64_MAX - 150 : random_u64() / 2,
                               .count = (uint32_t)(random_u64() % (whole ? 150 : 20)) + 1,
                               .kind = random_u64() % 2 == 0 ? RR_HASH_TARGET : RR_HASH_ARGMIN};
    for (size_t i = 0; i < 32; i++) {
        work->header_hash[i] = (uint8_t)random_u64();
    }
    /* Met by one of 256, 128 .. 1 hashes, or by none. */
    memset(work->boundary_be, 0xff, 32);
    unsigned bits = (unsigned)(random_u64() % 10);
    work->boundary_be[0] = bits > 8 ? 0 : (uint8_t)(0xff >> bits);
    work->boundary_be[1] = bits > 8 ? 0 : 0xff;
}

static void check_search(struct lab *lab, bool whole)
{
    static struct hash_work works[WORKS];
    static struct hash_candidate found[WORKS];
    struct rr_fault fault = {0};
    size_t count = (size_t)(random_u64() % (whole ? WORKS : 6)) + 1;
    for (size_t i = 0; i < count; i++) {
        random_work(&works[i], whole);
    }
    memset(found, 0x55, sizeof found);
    assert_int_equal(hash_backend_cpu.search(lab->epoch, 0, found, works, count, &fault), RR_OK);
    for (size_t i = 0; i < count; i++) {
        struct hash_candidate want = right(&works[i]);
        assert_int_equal(found[i].found, want.found);
        assert_true(found[i].done >= want.done && found[i].done <= works[i].count);
        if (want.found) {
            assert_int_equal(found[i].nonce, want.nonce);
            assert_memory_equal(found[i].final_be, want.final_be, 32);
        }
        if (works[i].kind == RR_HASH_ARGMIN) {
            assert_int_equal(found[i].done, works[i].count);
        }
    }
}

static void check_verify(struct lab *lab, size_t count)
{
    static struct rr_hash_check checks[150];
    struct rr_fault fault = {0};
    assert_true(count <= RR_COUNT(checks));
    for (size_t i = 0; i < count; i++) {
        checks[i] = (struct rr_hash_check){.nonce = random_u64()};
        checks[i].header_hash[i % 32] = (uint8_t)random_u64();
    }
    assert_int_equal(hash_backend_cpu.verify(lab->epoch, checks, count, &fault), RR_OK);
    for (size_t i = 0; i < count; i++) {
        uint8_t mix[32];
        uint8_t final_be[32];
        law(mix, final_be, checks[i].header_hash, checks[i].nonce);
        assert_memory_equal(checks[i].mix, mix, 32);
        assert_memory_equal(checks[i].final_be, final_be, 32);
    }
}

static const uint32_t masks[] = {HASH_KERNELS_LAW, RR_CPU_AVX2, 0};

static void every_variant_answers_as_the_law_does(void **state)
{
    (void)state;
    random_state = (uint64_t)getpid();
    print_message("seed %" PRIu64 "\n", random_state);
    for (size_t m = 0; m < RR_COUNT(masks); m++) {
        for (int whole = 0; whole < 2; whole++) {
            struct lab lab;
            open_lab(&lab, masks[m], whole != 0);
            const char *text = hash_backend_cpu.text(lab.epoch);
            print_message("%s\n", text);
            const char *kernels =
                rr_ethash_kernels_choose(masks[m] == 0 ? UINT32_MAX : masks[m])->name;
            assert_non_null(strstr(text, kernels));
            assert_non_null(strstr(text, whole != 0 ? "dataset" : "light"));
            for (unsigned i = 0; i < (whole != 0 ? 12u : 3u); i++) {
                check_search(&lab, whole != 0);
                check_verify(&lab, (size_t)(random_u64() % (whole != 0 ? 150 : 40)));
            }
            close_lab(&lab);
        }
    }
}

/* Quanta are multiples of hashes_step, or all that a job has left. */
static void a_step_fills_the_vectors(void **state)
{
    (void)state;
    for (size_t m = 0; m < RR_COUNT(masks); m++) {
        struct lab lab;
        open_lab(&lab, masks[m], true);
        uint32_t batch = rr_ethash_kernels_choose(masks[m] == 0 ? UINT32_MAX : masks[m])->batch;
        assert_true(lab.opened.hashes_step >= 1 && batch % lab.opened.hashes_step == 0);
        assert_true(lab.opened.hashes_first % lab.opened.hashes_step == 0);
        assert_int_equal(lab.opened.slots, 2);
        close_lab(&lab);
    }
}

static void the_processor_is_told_with_cores_and_memory(void **state)
{
    (void)state;
    struct rr_hash_device device;
    assert_int_equal(hash_backend_cpu.list(&device, 0), 0);
    assert_int_equal(hash_backend_cpu.list(&device, 1), 1);
    assert_string_equal(device.id, "cpu");
    assert_string_equal(device.backend, "cpu");
    assert_string_equal(device.why_not, "");
    assert_true(device.name[0] != '\0');
    assert_int_equal(device.units, sysconf(_SC_NPROCESSORS_ONLN));
    assert_int_equal(device.memory_bytes,
                     (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE));
}

static void *cancel_soon(void *flag)
{
    (void)usleep(20000);
    atomic_store((atomic_bool *)flag, true);
    return NULL;
}

static void a_build_ends_when_it_is_cancelled(void **state)
{
    (void)state;
    for (int before = 0; before < 2; before++) {
        atomic_bool cancel = before == 0;
        struct rr_fault fault = {0};
        struct lab lab;
        pthread_t thread;
        open_lab(&lab, HASH_KERNELS_LAW, false);
        /* By the law a minute of one core: the test would run into its time. */
        struct rr_hash_params large = params;
        large.dataset_items = 1u << 21;
        struct hash_setup setup = {.params = large,
                                   .light = light,
                                   .dataset_bytes_max = UINT64_C(1) << 30,
                                   .threads = 2,
                                   .cancel = &cancel};
        void *epoch = &lab;
        if (before != 0) {
            assert_int_equal(pthread_create(&thread, NULL, cancel_soon, &cancel), 0);
        }
        assert_int_equal(hash_backend_cpu.prepare(&epoch, lab.device, &setup, &fault),
                         RR_ERR_CANCELLED);
        assert_ptr_equal(epoch, &lab); /* outputs only on success */
        if (before != 0) {
            assert_int_equal(pthread_join(thread, NULL), 0);
        }
        close_lab(&lab);
    }
}

/* Bytes of the mapping at `at` that are in huge pages. */
static uint64_t huge_bytes(const void *at)
{
    char line[512];
    uint64_t from = 0;
    uint64_t until = 0;
    uint64_t kib = 0;
    FILE *file = fopen("/proc/self/smaps", "re");
    assert_non_null(file);
    while (fgets(line, sizeof line, file) != NULL) {
        uint64_t a;
        uint64_t b;
        if (sscanf(line, "%" SCNx64 "-%" SCNx64 " ", &a, &b) == 2) {
            from = a;
            until = b;
        } else if ((uintptr_t)at >= from && (uintptr_t)at < until) {
            (void)sscanf(line, "AnonHugePages: %" SCNu64, &kib);
        }
    }
    (void)fclose(file);
    return kib << 10;
}

static void nodes_lie_in_huge_pages_where_there_are_any(void **state)
{
    (void)state;
    const uint64_t counts[] = {1, 100, 32768, 32769, 3 * 32768 + 7, 8 * 32768};
    char mode[64] = "";
    FILE *file = fopen("/sys/kernel/mm/transparent_hugepage/enabled", "re");
    if (file != NULL) {
        (void)fgets(mode, sizeof mode, file);
        (void)fclose(file);
    }
    bool given = strstr(mode, "[madvise]") != NULL || strstr(mode, "[always]") != NULL;
    for (size_t i = 0; i < RR_COUNT(counts); i++) {
        struct rr_ethash_node *nodes = NULL;
        struct rr_fault fault = {0};
        uint64_t bytes = counts[i] * sizeof *nodes;
        assert_int_equal(hash_nodes_new(&nodes, counts[i], &fault), RR_OK);
        assert_int_equal((uintptr_t)nodes % 64, 0);
        memset(nodes, 0x5a, (size_t)bytes);
        if (bytes >= 2 << 20) {
            assert_int_equal((uintptr_t)nodes % (2 << 20), 0);
            uint64_t huge = huge_bytes(nodes);
            print_message("%" PRIu64 " KiB: %" PRIu64 " KiB in huge pages%s\n", bytes >> 10,
                          huge >> 10, given ? "" : " (the kernel gives none)");
        }
        hash_nodes_free(nodes, counts[i]);
    }
    struct rr_fault fault = {0};
    struct rr_ethash_node *none = NULL;
    assert_int_equal(hash_nodes_new(&none, UINT64_C(1) << 50, &fault), RR_ERR_MEMORY);
    assert_null(none);
}

static int open_world(void **state)
{
    (void)state;
    struct rr_fault fault = {0};
    if (rr_hash_light_new(&light, &params, &fault) != RR_OK) {
        return -1;
    }
    dataset = malloc(sizeof *dataset * 2 * DATASET_ITEMS);
    for (uint32_t i = 0; dataset != NULL && i < DATASET_ITEMS; i++) {
        rr_ethash_item(dataset + 2 * (size_t)i, hash_light_cache(light), CACHE_ITEMS, i);
    }
    return dataset != NULL ? 0 : -1;
}

static int close_world(void **state)
{
    (void)state;
    free(dataset);
    rr_hash_light_free(light);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_variant_answers_as_the_law_does),
        cmocka_unit_test(a_step_fills_the_vectors),
        cmocka_unit_test(the_processor_is_told_with_cores_and_memory),
        cmocka_unit_test(a_build_ends_when_it_is_cancelled),
        cmocka_unit_test(nodes_lie_in_huge_pages_where_there_are_any),
    };
    return cmocka_run_group_tests(tests, open_world, close_world);
}

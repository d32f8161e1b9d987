/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <dlfcn.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "fake/nvml.h"
#include "hash/hash.h"

#define FIXTURES RR_SOURCE_DIR "/tests/unit/hash/"
#define FAKE     RR_TESTS_DIR "/libfake_nvml.so"

static void *fake;
static void (*set_mode)(int);
static int (*starts)(void);

static int load_fake(void **state)
{
    (void)state;
    fake = dlopen(FAKE, RTLD_NOW);
    assert_non_null(fake);
    void *found = dlsym(fake, "fake_nvml_set");
    memcpy(&set_mode, &found, sizeof(found));
    found = dlsym(fake, "fake_nvml_starts");
    memcpy(&starts, &found, sizeof(found));
    return 0;
}

static struct rr_hash_device cuda(void)
{
    return (struct rr_hash_device){
        .id = "cuda:" FAKE_NVML_UUID, .backend = "cuda", .pci = FAKE_NVML_PCI};
}

static struct rr_hash_telemetry *open_it(const char *root, const char *nvml, uint32_t timeout_ms)
{
    struct rr_hash_telemetry *telemetry = NULL;
    rr_hash_telemetry_new(&telemetry,
                          &(struct rr_hash_telemetry_options){
                              .sysfs_root = root, .nvml_path = nvml, .timeout_ms = timeout_ms});
    return telemetry;
}

static struct rr_hash_sample read_once(const char *root, const char *nvml,
                                       const struct rr_hash_device *device)
{
    struct rr_hash_telemetry *telemetry = open_it(root, nvml, 20000);
    struct rr_hash_sample sample;
    memset(&sample, 0xa5, sizeof(sample));
    rr_hash_telemetry_read(telemetry, &sample, device);
    rr_hash_telemetry_free(telemetry);
    for (unsigned i = 0; i < RR_HASH_READING_COUNT; i++) {
        assert_true(rr_hash_sample_has(&sample, i) || sample.value[i] == 0);
    }
    return sample;
}

static void reads(const struct rr_hash_sample *sample, enum rr_hash_reading reading, int64_t want)
{
    if (!rr_hash_sample_has(sample, reading)) {
        fail_msg("%s is unknown; %lld was expected", rr_hash_reading_name(reading),
                 (long long)want);
    }
    assert_int_equal(sample->value[reading], want);
}

static void nvml_tells_everything_of_a_card(void **state)
{
    (void)state;
    struct rr_hash_device device = cuda();
    set_mode(FAKE_NVML_GOOD);
    struct rr_hash_sample sample = read_once(FIXTURES "sysfs_bad", FAKE, &device);
    assert_string_equal(sample.source, "nvml");
    assert_string_equal(sample.trouble, "");
    reads(&sample, RR_HASH_READING_TEMPERATURE, 67000);
    reads(&sample, RR_HASH_READING_MEMORY_TEMPERATURE, 74000);
    reads(&sample, RR_HASH_READING_TEMPERATURE_LIMIT, 92000);
    reads(&sample, RR_HASH_READING_POWER, 431250);
    reads(&sample, RR_HASH_READING_POWER_LIMIT, 700000);
    reads(&sample, RR_HASH_READING_FAN, 0);
    reads(&sample, RR_HASH_READING_CORE_CLOCK, 1755);
    reads(&sample, RR_HASH_READING_MEMORY_CLOCK, 3201);
    reads(&sample, RR_HASH_READING_BUSY, 98);
    reads(&sample, RR_HASH_READING_MEMORY_BUSY, 71);
    reads(&sample, RR_HASH_READING_MEMORY_USED, 4754820096);
    reads(&sample, RR_HASH_READING_MEMORY_TOTAL, 150754820096);
    reads(&sample, RR_HASH_READING_THROTTLE, RR_HASH_THROTTLE_POWER | RR_HASH_THROTTLE_HEAT);
    reads(&sample, RR_HASH_READING_ECC_CORRECTED, 14);
    reads(&sample, RR_HASH_READING_ECC_UNCORRECTED, 2);
    assert_int_equal(starts(), 0); /* shut down again */
}

static void a_card_is_found_by_uuid_where_it_has_no_pci_address(void **state)
{
    (void)state;
    struct rr_hash_device device = cuda();
    set_mode(FAKE_NVML_GOOD);
    device.pci[0] = '\0';
    struct rr_hash_sample sample = read_once("", FAKE, &device);
    reads(&sample, RR_HASH_READING_TEMPERATURE, 67000);
    (void)snprintf(device.id, sizeof(device.id), "cuda:GPU-another");
    sample = read_once("", FAKE, &device);
    assert_int_equal(sample.known, 0);
    assert_non_null(strstr(sample.trouble, "GPU-another"));
}

static void an_nvidia_card_of_another_backend_is_asked_by_nvml_too(void **state)
{
    (void)state;
    struct rr_hash_device device = {
        .id = "opencl:NVIDIA CUDA/H200/0", .backend = "opencl", .pci = FAKE_NVML_PCI};
    set_mode(FAKE_NVML_GOOD);
    struct rr_hash_sample sample = read_once(FIXTURES "sysfs_bad", FAKE, &device);
    reads(&sample, RR_HASH_READING_TEMPERATURE, 67000);
}

static void bad_answers_of_nvml_are_unknown_never_zero(void **state)
{
    (void)state;
    static const enum fake_nvml modes[] = {FAKE_NVML_ERRORS, FAKE_NVML_ABSURD, FAKE_NVML_LOST,
                                           FAKE_NVML_NO_START};
    static const char *const troubles[] = {"no temperature", "no temperature", "fallen off the bus",
                                           "does not start"};
    struct rr_hash_device device = cuda();
    for (size_t i = 0; i < RR_COUNT(modes); i++) {
        set_mode((int)modes[i]);
        struct rr_hash_sample sample = read_once("", FAKE, &device);
        /* absurd mode tells one thing that can be: no reason to throttle */
        assert_int_equal(sample.known, modes[i] == FAKE_NVML_ABSURD
                                           ? UINT32_C(1) << RR_HASH_READING_THROTTLE
                                           : 0);
        assert_non_null(strstr(sample.trouble, troubles[i]));
    }
    set_mode(FAKE_NVML_SLICE); /* the rest of a slice's readings are good */
    struct rr_hash_sample sample = read_once("", FAKE, &device);
    assert_false(rr_hash_sample_has(&sample, RR_HASH_READING_TEMPERATURE));
    reads(&sample, RR_HASH_READING_POWER, 431250);
    assert_int_equal(starts(), 1); /* of the one that did not start: it gets no shutdown */
}

static void a_library_that_is_absent_or_another_is_said(void **state)
{
    (void)state;
    struct rr_hash_device device = cuda();
    struct rr_hash_sample sample = read_once("", "libno-such-thing.so.7", &device);
    assert_int_equal(sample.known, 0);
    assert_non_null(strstr(sample.trouble, "cannot be loaded"));
    sample = read_once("", "libm.so.6", &device);
    assert_int_equal(sample.known, 0);
    assert_non_null(strstr(sample.trouble, "does not start"));
}

static void a_driver_that_hangs_holds_up_nobody(void **state)
{
    (void)state;
    struct rr_hash_device device = cuda(), processor = {.id = "cpu", .backend = "cpu"};
    struct rr_hash_telemetry *telemetry = open_it(FIXTURES "sysfs_amd", FAKE, 200);
    struct rr_hash_sample sample;
    set_mode(FAKE_NVML_HANG);
    for (unsigned i = 0; i < 5; i++) {
        rr_hash_telemetry_read(telemetry, &sample, &device);
        assert_int_equal(sample.known, 0);
        assert_non_null(strstr(sample.trouble, "has not answered"));
    }
    /* The other source goes on. */
    do {
        rr_hash_telemetry_read(telemetry, &sample, &processor);
    } while (sample.known == 0);
    reads(&sample, RR_HASH_READING_TEMPERATURE, 68250);
    /* It comes back: so do its readings. */
    set_mode(FAKE_NVML_GOOD);
    do {
        rr_hash_telemetry_read(telemetry, &sample, &device);
    } while (!rr_hash_sample_has(&sample, RR_HASH_READING_TEMPERATURE));
    reads(&sample, RR_HASH_READING_TEMPERATURE, 67000);
    /* One that hangs at the end is left behind. */
    set_mode(FAKE_NVML_HANG);
    rr_hash_telemetry_read(telemetry, &sample, &device);
    assert_int_equal(sample.known, 0);
    int before = starts();
    rr_hash_telemetry_free(telemetry);
    assert_int_equal(starts(), before);
    set_mode(FAKE_NVML_GOOD); /* and cleans up behind itself */
    while (starts() == before) {
        struct timespec moment = {.tv_nsec = 1000000};
        (void)nanosleep(&moment, NULL);
    }
}

static void sysfs_tells_of_an_amd_card(void **state)
{
    (void)state;
    struct rr_hash_device device = {
        .id = "opencl:AMD/gfx1030/0", .backend = "opencl", .pci = "0000:03:00.0"};
    struct rr_hash_sample sample = read_once(FIXTURES "sysfs_amd", FAKE, &device);
    assert_string_equal(sample.source, "amdgpu");
    assert_string_equal(sample.trouble, "");
    reads(&sample, RR_HASH_READING_TEMPERATURE, 74000); /* the hottest place */
    reads(&sample, RR_HASH_READING_TEMPERATURE_LIMIT, 110000);
    reads(&sample, RR_HASH_READING_MEMORY_TEMPERATURE, 82000);
    reads(&sample, RR_HASH_READING_POWER, 142000);
    reads(&sample, RR_HASH_READING_POWER_LIMIT, 186000);
    reads(&sample, RR_HASH_READING_FAN, 49);
    reads(&sample, RR_HASH_READING_FAN_RPM, 0);
    reads(&sample, RR_HASH_READING_CORE_CLOCK, 1340);
    reads(&sample, RR_HASH_READING_MEMORY_CLOCK, 875);
    reads(&sample, RR_HASH_READING_BUSY, 97);
    reads(&sample, RR_HASH_READING_MEMORY_BUSY, 88);
    reads(&sample, RR_HASH_READING_MEMORY_TOTAL, 17163091968);
    reads(&sample, RR_HASH_READING_MEMORY_USED, 4900000000);
    reads(&sample, RR_HASH_READING_ECC_CORRECTED, 23);
    reads(&sample, RR_HASH_READING_ECC_UNCORRECTED, 1);
    assert_false(rr_hash_sample_has(&sample, RR_HASH_READING_THROTTLE));
}

static void sysfs_tells_of_processors_of_both_makers(void **state)
{
    (void)state;
    struct rr_hash_device device = {.id = "cpu", .backend = "cpu"};
    struct rr_hash_sample sample = read_once(FIXTURES "sysfs_amd", FAKE, &device);
    assert_string_equal(sample.source, "k10temp");
    reads(&sample, RR_HASH_READING_TEMPERATURE, 68250); /* not the board's 99 */
    reads(&sample, RR_HASH_READING_CORE_CLOCK, 3612);
    sample = read_once(FIXTURES "sysfs_intel", FAKE, &device);
    assert_string_equal(sample.source, "coretemp");
    reads(&sample, RR_HASH_READING_TEMPERATURE, 59000); /* the hotter socket */
    reads(&sample, RR_HASH_READING_TEMPERATURE_LIMIT, 100000);
    reads(&sample, RR_HASH_READING_POWER_LIMIT, 270000);
}

static void nonsense_in_sysfs_is_unknown(void **state)
{
    (void)state;
    struct rr_hash_device device = {
        .id = "opencl:AMD/gfx1030/0", .backend = "opencl", .pci = "0000:03:00.0"};
    struct rr_hash_sample sample = read_once(FIXTURES "sysfs_bad", FAKE, &device);
    assert_int_equal(sample.known, UINT32_C(1) << RR_HASH_READING_MEMORY_TOTAL);
    assert_non_null(strstr(sample.trouble, "no temperature"));
    static const char *const paths[] = {"../../../../etc", "0000:03:00.0/..", "::..", "no", ""};
    for (size_t i = 0; i < RR_COUNT(paths); i++) {
        (void)snprintf(device.pci, sizeof(device.pci), "%s", paths[i]);
        sample = read_once(FIXTURES "sysfs_amd", FAKE, &device);
        assert_int_equal(sample.known, 0);
        assert_true(sample.trouble[0] != '\0');
    }
}

static void an_address_in_upper_case_is_the_same_card(void **state)
{
    (void)state;
    struct rr_hash_device device = {.id = "opencl:x", .backend = "opencl", .pci = "0000:AF:00.0"};
    struct rr_hash_sample sample = read_once(FIXTURES "sysfs_intel", FAKE, &device);
    assert_string_equal(sample.source, "i915");
    reads(&sample, RR_HASH_READING_POWER_LIMIT, 150000);
}

static void every_reading_has_a_name_and_throttling_has_words(void **state)
{
    (void)state;
    char text[48];
    for (unsigned i = 0; i < RR_HASH_READING_COUNT; i++) {
        assert_true(strlen(rr_hash_reading_name(i)) > 3 && strlen(rr_hash_reading_help(i)) > 10);
    }
    rr_hash_throttle_text(text, 0);
    assert_string_equal(text, "none");
    rr_hash_throttle_text(text, 15);
    assert_string_equal(text, "power, heat, slowdown, set clocks");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nvml_tells_everything_of_a_card),
        cmocka_unit_test(a_card_is_found_by_uuid_where_it_has_no_pci_address),
        cmocka_unit_test(an_nvidia_card_of_another_backend_is_asked_by_nvml_too),
        cmocka_unit_test(a_driver_that_hangs_holds_up_nobody),
        cmocka_unit_test(bad_answers_of_nvml_are_unknown_never_zero),
        cmocka_unit_test(a_library_that_is_absent_or_another_is_said),
        cmocka_unit_test(sysfs_tells_of_an_amd_card),
        cmocka_unit_test(sysfs_tells_of_processors_of_both_makers),
        cmocka_unit_test(nonsense_in_sysfs_is_unknown),
        cmocka_unit_test(an_address_in_upper_case_is_the_same_card),
        cmocka_unit_test(every_reading_has_a_name_and_throttling_has_words),
    };
    return cmocka_run_group_tests(tests, load_fake, NULL);
}

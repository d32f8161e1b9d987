/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Readings of NVIDIA's library, loaded when it is there; its declarations by hand, from the public
 * reference of its API, so that no header of CUDA's is needed. Each function may be missing,
 * refuse, or answer nonsense: that reading is unknown then. */
#include "hash/hash_sensors.h"
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

#define OPEN_AGAIN_US UINT64_C(60000000) /* after a failure: a driver can be loaded later */

enum {
    NVML_SUCCESS = 0,
    NVML_UNINITIALIZED = 1,
    NVML_DRIVER_NOT_LOADED = 9,
    NVML_GPU_IS_LOST = 15,
    NVML_RESET_REQUIRED = 16,

    NVML_TEMPERATURE_GPU = 0,
    NVML_THRESHOLD_SLOWDOWN = 1,
    NVML_CLOCK_SM = 1,
    NVML_CLOCK_MEM = 2,
    NVML_ECC_CORRECTED = 0,
    NVML_ECC_UNCORRECTED = 1,
    NVML_ECC_VOLATILE = 0,
    NVML_FIELD_MEMORY_TEMP = 82,
    NVML_VALUE_UNSIGNED_INT = 1,
};
/* nvmlClocksThrottleReasons */
#define NVML_REASONS_CLOCKS UINT64_C(0x112) /* application clocks, sync boost, display */
#define NVML_REASONS_POWER  UINT64_C(0x084) /* software power cap, hardware power brake */
#define NVML_REASONS_HEAT   UINT64_C(0x060) /* software and hardware thermal slowdown */
#define NVML_REASON_SLOW    UINT64_C(0x008) /* hardware slowdown */

typedef int nvml_result;
typedef void *nvml_device;
struct nvml_utilization {
    unsigned gpu, memory;
};
struct nvml_memory {
    unsigned long long total, free, used;
};
struct nvml_field {
    unsigned id, scope;
    long long time, latency;
    int type;
    nvml_result result;
    union {
        double real;
        unsigned small;
        unsigned long long large;
    } value;
};

/* Function, arguments; those that are not there are NULL. */
#define FUNCTIONS(X)                                                                               \
    X(init, nvmlInit_v2, (void))                                                                   \
    X(shutdown, nvmlShutdown, (void))                                                              \
    X(by_uuid, nvmlDeviceGetHandleByUUID, (const char *, nvml_device *))                           \
    X(by_pci, nvmlDeviceGetHandleByPciBusId_v2, (const char *, nvml_device *))                     \
    X(temperature, nvmlDeviceGetTemperature, (nvml_device, int, unsigned *))                       \
    X(threshold, nvmlDeviceGetTemperatureThreshold, (nvml_device, int, unsigned *))                \
    X(power, nvmlDeviceGetPowerUsage, (nvml_device, unsigned *))                                   \
    X(power_limit, nvmlDeviceGetEnforcedPowerLimit, (nvml_device, unsigned *))                     \
    X(fan, nvmlDeviceGetFanSpeed, (nvml_device, unsigned *))                                       \
    X(clock, nvmlDeviceGetClockInfo, (nvml_device, int, unsigned *))                               \
    X(utilization, nvmlDeviceGetUtilizationRates, (nvml_device, struct nvml_utilization *))        \
    X(memory, nvmlDeviceGetMemoryInfo, (nvml_device, struct nvml_memory *))                        \
    X(throttle, nvmlDeviceGetCurrentClocksThrottleReasons, (nvml_device, unsigned long long *))    \
    X(ecc, nvmlDeviceGetTotalEccErrors, (nvml_device, int, int, unsigned long long *))             \
    X(fields, nvmlDeviceGetFieldValues, (nvml_device, int, struct nvml_field *))

struct nvml {
    char path[256];
    void *library;
    bool ready;
    uint64_t tried_us; /* 0: never */
    char why[160];
#define X(name, symbol, arguments) nvml_result(*name) arguments; /* NOLINT(bugprone-macro-*) */
    FUNCTIONS(X)
#undef X
};

static void load_functions(struct nvml *nvml)
{
    const struct {
        const char *symbol;
        void *at;
    } functions[] = {
#define X(name, symbol, arguments) {#symbol, &nvml->name},
        FUNCTIONS(X)
#undef X
    };
    for (size_t i = 0; i < RR_COUNT(functions); i++) {
        void *found = dlsym(nvml->library, functions[i].symbol);
        memcpy(functions[i].at, &found, sizeof(found)); /* ISO C has no cast for this */
    }
}

static void stop(struct nvml *nvml)
{
    if (nvml->ready && nvml->shutdown != NULL) {
        (void)nvml->shutdown();
    }
    nvml->ready = false;
    if (nvml->library != NULL) {
        (void)dlclose(nvml->library);
        nvml->library = NULL;
    }
}

static bool start(struct nvml *nvml)
{
    uint64_t now = rr_monotonic_us(rr_clock_system());
    if (nvml->ready || (nvml->tried_us != 0 && now < nvml->tried_us + OPEN_AGAIN_US)) {
        return nvml->ready;
    }
    nvml->tried_us = now;
    nvml->library = dlopen(nvml->path, RTLD_NOW | RTLD_LOCAL);
    if (nvml->library == NULL) {
        (void)snprintf(nvml->why, sizeof(nvml->why),
                       "%.100s cannot be loaded; install NVIDIA's driver", nvml->path);
        return false;
    }
    load_functions(nvml);
    nvml_result result = nvml->init != NULL ? nvml->init() : NVML_UNINITIALIZED;
    if (result != NVML_SUCCESS) {
        (void)snprintf(nvml->why, sizeof(nvml->why), "NVML does not start: error %d", result);
        stop(nvml);
        return false;
    }
    nvml->ready = true;
    nvml->why[0] = '\0';
    return true;
}

/* By PCI first: a slice of a card has a UUID of its own that knows no temperature. */
static nvml_result find(const struct nvml *nvml, nvml_device *out,
                        const struct rr_hash_device *device)
{
    nvml_result result = NVML_UNINITIALIZED;
    if (device->pci[0] != '\0' && nvml->by_pci != NULL) {
        result = nvml->by_pci(device->pci, out);
    }
    const char *uuid = strchr(device->id, ':');
    if (result != NVML_SUCCESS && uuid != NULL && nvml->by_uuid != NULL) {
        result = nvml->by_uuid(uuid + 1, out);
    }
    return result;
}

static void set_large(struct rr_hash_sample *out, enum rr_hash_reading reading,
                      unsigned long long value)
{
    if (value <= INT64_MAX) {
        (void)hash_sample_set(out, reading, (int64_t)value);
    }
}

static void read_heat(const struct nvml *nvml, struct rr_hash_sample *out, nvml_device device)
{
    unsigned value = 0;
    if (nvml->temperature != NULL &&
        nvml->temperature(device, NVML_TEMPERATURE_GPU, &value) == NVML_SUCCESS) {
        (void)hash_sample_set(out, RR_HASH_READING_TEMPERATURE, (int64_t)value * 1000);
    }
    if (nvml->threshold != NULL &&
        nvml->threshold(device, NVML_THRESHOLD_SLOWDOWN, &value) == NVML_SUCCESS) {
        (void)hash_sample_set(out, RR_HASH_READING_TEMPERATURE_LIMIT, (int64_t)value * 1000);
    }
    struct nvml_field field = {.id = NVML_FIELD_MEMORY_TEMP};
    if (nvml->fields != NULL && nvml->fields(device, 1, &field) == NVML_SUCCESS &&
        field.result == NVML_SUCCESS && field.type == NVML_VALUE_UNSIGNED_INT &&
        field.value.small != 0) { /* cards without the sensor say 0 */
        (void)hash_sample_set(out, RR_HASH_READING_MEMORY_TEMPERATURE,
                              (int64_t)field.value.small * 1000);
    }
    if (nvml->fan != NULL && nvml->fan(device, &value) == NVML_SUCCESS) {
        (void)hash_sample_set(out, RR_HASH_READING_FAN, value);
    }
}

static void read_power(const struct nvml *nvml, struct rr_hash_sample *out, nvml_device device)
{
    unsigned value = 0;
    if (nvml->power != NULL && nvml->power(device, &value) == NVML_SUCCESS) {
        (void)hash_sample_set(out, RR_HASH_READING_POWER, value);
    }
    if (nvml->power_limit != NULL && nvml->power_limit(device, &value) == NVML_SUCCESS) {
        (void)hash_sample_set(out, RR_HASH_READING_POWER_LIMIT, value);
    }
    if (nvml->clock != NULL && nvml->clock(device, NVML_CLOCK_SM, &value) == NVML_SUCCESS) {
        (void)hash_sample_set(out, RR_HASH_READING_CORE_CLOCK, value);
    }
    if (nvml->clock != NULL && nvml->clock(device, NVML_CLOCK_MEM, &value) == NVML_SUCCESS) {
        (void)hash_sample_set(out, RR_HASH_READING_MEMORY_CLOCK, value);
    }
}

static int64_t throttle_of(unsigned long long reasons)
{
    return ((reasons & NVML_REASONS_POWER) != 0 ? RR_HASH_THROTTLE_POWER : 0) |
           ((reasons & NVML_REASONS_HEAT) != 0 ? RR_HASH_THROTTLE_HEAT : 0) |
           ((reasons & NVML_REASON_SLOW) != 0 ? RR_HASH_THROTTLE_SLOW : 0) |
           ((reasons & NVML_REASONS_CLOCKS) != 0 ? RR_HASH_THROTTLE_CLOCKS : 0);
}

static void read_load(const struct nvml *nvml, struct rr_hash_sample *out, nvml_device device)
{
    struct nvml_utilization busy = {0};
    struct nvml_memory memory = {0};
    unsigned long long large = 0;
    if (nvml->utilization != NULL && nvml->utilization(device, &busy) == NVML_SUCCESS) {
        (void)hash_sample_set(out, RR_HASH_READING_BUSY, busy.gpu);
        (void)hash_sample_set(out, RR_HASH_READING_MEMORY_BUSY, busy.memory);
    }
    if (nvml->memory != NULL && nvml->memory(device, &memory) == NVML_SUCCESS &&
        memory.total != 0 && memory.used <= memory.total) {
        set_large(out, RR_HASH_READING_MEMORY_TOTAL, memory.total);
        set_large(out, RR_HASH_READING_MEMORY_USED, memory.used);
    }
    if (nvml->throttle != NULL && nvml->throttle(device, &large) == NVML_SUCCESS) {
        (void)hash_sample_set(out, RR_HASH_READING_THROTTLE, throttle_of(large));
    }
    if (nvml->ecc != NULL) {
        if (nvml->ecc(device, NVML_ECC_CORRECTED, NVML_ECC_VOLATILE, &large) == NVML_SUCCESS) {
            set_large(out, RR_HASH_READING_ECC_CORRECTED, large);
        }
        if (nvml->ecc(device, NVML_ECC_UNCORRECTED, NVML_ECC_VOLATILE, &large) == NVML_SUCCESS) {
            set_large(out, RR_HASH_READING_ECC_UNCORRECTED, large);
        }
    }
}

/* ---- as sensors ---------------------------------------------------------------------------------
 */
static void *open_nvml(const char *path)
{
    struct nvml *nvml = rr_alloc(sizeof(*nvml));
    (void)snprintf(nvml->path, sizeof(nvml->path), "%s", path);
    return nvml;
}

static void read_nvml(void *sensors, struct rr_hash_sample *out,
                      const struct rr_hash_device *device)
{
    struct nvml *nvml = sensors;
    nvml_device handle = NULL;
    if (!start(nvml)) {
        memcpy(out->trouble, nvml->why, sizeof(nvml->why));
        return;
    }
    nvml_result result = find(nvml, &handle, device);
    if (result != NVML_SUCCESS || handle == NULL) {
        const char *what = result == NVML_GPU_IS_LOST      ? "has fallen off the bus"
                           : result == NVML_RESET_REQUIRED ? "needs a reset"
                                                           : "is not known to it";
        (void)snprintf(out->trouble, sizeof(out->trouble), "NVML: %.80s %s (error %d)", device->id,
                       what, result);
        if (result == NVML_UNINITIALIZED || result == NVML_DRIVER_NOT_LOADED) {
            stop(nvml); /* the driver was exchanged below us: once more after a while */
        }
        return;
    }
    (void)snprintf(out->source, sizeof(out->source), "nvml");
    read_heat(nvml, out, handle);
    read_power(nvml, out, handle);
    read_load(nvml, out, handle);
    if (!rr_hash_sample_has(out, RR_HASH_READING_TEMPERATURE)) {
        (void)snprintf(out->trouble, sizeof(out->trouble), "NVML gives no temperature of %.80s",
                       device->id);
    }
}

static void close_nvml(void *sensors)
{
    stop(sensors);
    rr_free(sensors);
}

const struct hash_sensors hash_sensors_nvml = {
    .name = "NVML", .open = open_nvml, .read = read_nvml, .close = close_nvml};

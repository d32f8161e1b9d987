/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A library that answers as libnvidia-ml does for one card, well or badly. Who loaded it says how
 * by fake_nvml_set; a program that only has its path, by the variable FAKE_NVML (a number). Values
 * and signatures: the public reference of NVML's API. */
#include "fake/nvml.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define EXPORT __attribute__((visibility("default")))

enum { SUCCESS = 0, NOT_SUPPORTED = 3, NOT_FOUND = 6, GPU_IS_LOST = 15, UNKNOWN = 999 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static enum fake_nvml mode = FAKE_NVML_GOOD;
static _Atomic int starts;
static char card;

EXPORT void fake_nvml_set(int now)
{
    pthread_mutex_lock(&lock);
    mode = (enum fake_nvml)now;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
}

EXPORT int fake_nvml_starts(void)
{
    return starts;
}

/* The mode; while it is "hang" nobody comes back. */
static enum fake_nvml now(void)
{
    pthread_mutex_lock(&lock);
    while (mode == FAKE_NVML_HANG) {
        pthread_cond_wait(&changed, &lock);
    }
    enum fake_nvml is = mode;
    pthread_mutex_unlock(&lock);
    return is;
}

#define ANSWER(out, good, absurd)                                                                  \
    do {                                                                                           \
        enum fake_nvml is_ = now();                                                                \
        if (is_ == FAKE_NVML_ERRORS) {                                                             \
            return UNKNOWN;                                                                        \
        }                                                                                          \
        *(out) = is_ == FAKE_NVML_ABSURD ? (absurd) : (good);                                      \
        return SUCCESS;                                                                            \
    } while (0)

int nvmlInit_v2(void);
EXPORT int nvmlInit_v2(void)
{
    const char *text = getenv("FAKE_NVML");
    if (text != NULL) {
        fake_nvml_set((int)strtol(text, NULL, 10));
    }
    starts++;
    return now() == FAKE_NVML_NO_START ? 9 : SUCCESS;
}

int nvmlShutdown(void);
EXPORT int nvmlShutdown(void)
{
    starts--;
    return SUCCESS;
}

int nvmlDeviceGetHandleByUUID(const char *uuid, void **out);
EXPORT int nvmlDeviceGetHandleByUUID(const char *uuid, void **out)
{
    if (now() == FAKE_NVML_LOST) {
        return GPU_IS_LOST;
    }
    if (strcmp(uuid, FAKE_NVML_UUID) != 0) {
        return NOT_FOUND;
    }
    *out = &card;
    return SUCCESS;
}

int nvmlDeviceGetHandleByPciBusId_v2(const char *pci, void **out);
EXPORT int nvmlDeviceGetHandleByPciBusId_v2(const char *pci, void **out)
{
    if (now() == FAKE_NVML_LOST) {
        return GPU_IS_LOST;
    }
    if (strcmp(pci, FAKE_NVML_PCI) != 0) {
        return NOT_FOUND;
    }
    *out = &card;
    return SUCCESS;
}

int nvmlDeviceGetTemperature(void *device, int sensor, unsigned *out);
EXPORT int nvmlDeviceGetTemperature(void *device, int sensor, unsigned *out)
{
    (void)device;
    if (sensor != 0 || now() == FAKE_NVML_SLICE) {
        return NOT_SUPPORTED;
    }
    ANSWER(out, 67, 4294967295u);
}

int nvmlDeviceGetTemperatureThreshold(void *device, int kind, unsigned *out);
EXPORT int nvmlDeviceGetTemperatureThreshold(void *device, int kind, unsigned *out)
{
    (void)device;
    if (kind != 1) {
        return NOT_SUPPORTED;
    }
    ANSWER(out, 92, 0);
}

int nvmlDeviceGetPowerUsage(void *device, unsigned *out);
EXPORT int nvmlDeviceGetPowerUsage(void *device, unsigned *out)
{
    (void)device;
    ANSWER(out, 431250, 4000000000u);
}

int nvmlDeviceGetEnforcedPowerLimit(void *device, unsigned *out);
EXPORT int nvmlDeviceGetEnforcedPowerLimit(void *device, unsigned *out)
{
    (void)device;
    ANSWER(out, 700000, 4000000000u);
}

int nvmlDeviceGetFanSpeed(void *device, unsigned *out);
EXPORT int nvmlDeviceGetFanSpeed(void *device, unsigned *out)
{
    (void)device;
    ANSWER(out, 0, 65535); /* a fan that stands is known, and 0 */
}

int nvmlDeviceGetClockInfo(void *device, int kind, unsigned *out);
EXPORT int nvmlDeviceGetClockInfo(void *device, int kind, unsigned *out)
{
    (void)device;
    ANSWER(out, kind == 1 ? 1755u : kind == 2 ? 3201u : 1u, 4294967295u);
}

struct utilization {
    unsigned gpu, memory;
};
int nvmlDeviceGetUtilizationRates(void *device, struct utilization *out);
EXPORT int nvmlDeviceGetUtilizationRates(void *device, struct utilization *out)
{
    (void)device;
    ANSWER(out, ((struct utilization){98, 71}), ((struct utilization){101, 4294967295u}));
}

struct memory {
    unsigned long long total, free, used;
};
int nvmlDeviceGetMemoryInfo(void *device, struct memory *out);
EXPORT int nvmlDeviceGetMemoryInfo(void *device, struct memory *out)
{
    (void)device;
    ANSWER(out, ((struct memory){150754820096, 146000000000, 4754820096}),
           ((struct memory){10, 0, 11}));
}

int nvmlDeviceGetCurrentClocksThrottleReasons(void *device, unsigned long long *out);
EXPORT int nvmlDeviceGetCurrentClocksThrottleReasons(void *device, unsigned long long *out)
{
    (void)device;
    ANSWER(out, 0x44, 0);
}

int nvmlDeviceGetTotalEccErrors(void *device, int kind, int counter, unsigned long long *out);
EXPORT int nvmlDeviceGetTotalEccErrors(void *device, int kind, int counter, unsigned long long *out)
{
    (void)device;
    (void)counter;
    ANSWER(out, kind == 0 ? 14 : 2, ~0ull);
}

struct field {
    unsigned id, scope;
    long long time, latency;
    int type, result;
    unsigned long long value;
};
int nvmlDeviceGetFieldValues(void *device, int count, struct field *fields);
EXPORT int nvmlDeviceGetFieldValues(void *device, int count, struct field *fields)
{
    (void)device;
    enum fake_nvml is = now();
    for (int i = 0; i < count; i++) {
        fields[i].type = is == FAKE_NVML_ABSURD ? 3 : 1;
        fields[i].result = fields[i].id == 82 ? SUCCESS : NOT_SUPPORTED;
        fields[i].value = 74;
    }
    return is == FAKE_NVML_ERRORS ? UNKNOWN : SUCCESS;
}

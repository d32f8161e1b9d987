/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Asks the sensors on threads of their own, so that a driver that hangs holds up nobody. */
#include "hash/hash_sensors.h"
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum asking { ASK_IDLE, ASK_BUSY, ASK_DONE };

/* Shared by its thread and the owner; the last one to leave frees it. */
struct asker {
    const struct hash_sensors *sensors;
    char *setting;
    pthread_mutex_t lock;
    pthread_cond_t changed; /* on the monotonic clock */
    /* below under lock */
    enum asking state;
    bool leaving, left; /* the owner goes; the thread has gone */
    uint64_t asked_us;  /* since when the thread is busy */
    struct rr_hash_device device;
    struct rr_hash_sample sample;
};

struct rr_hash_telemetry {
    pthread_mutex_t lock; /* one question at a time */
    uint32_t timeout_ms;
    char *sysfs_root;
    struct asker *nvml, *sysfs; /* NULL: no thread could be had */
};

static const struct {
    const char *name, *help;
} readings[RR_HASH_READING_COUNT] = {
#define X(id, name, help) [RR_HASH_READING_##id] = {name, help},
    RR_HASH_READINGS(X)
#undef X
};

const char *rr_hash_reading_name(enum rr_hash_reading reading)
{
    RR_CHECK(reading < RR_HASH_READING_COUNT);
    return readings[reading].name;
}

const char *rr_hash_reading_help(enum rr_hash_reading reading)
{
    RR_CHECK(reading < RR_HASH_READING_COUNT);
    return readings[reading].help;
}

/* The widest range that hardware of today and tomorrow can honestly report. */
static void range_of(enum rr_hash_reading reading, int64_t *min, int64_t *max)
{
    *min = 0;
    *max = INT64_MAX;
    switch (reading) {
    case RR_HASH_READING_TEMPERATURE:
    case RR_HASH_READING_MEMORY_TEMPERATURE:
        *min = -50000;
        *max = 200000;
        break;
    case RR_HASH_READING_TEMPERATURE_LIMIT:
        *min = 1000; /* drivers say 0 for "none" */
        *max = 200000;
        break;
    case RR_HASH_READING_POWER:
    case RR_HASH_READING_POWER_LIMIT:
        *max = 10000000; /* 10 kW */
        break;
    case RR_HASH_READING_FAN:
    case RR_HASH_READING_BUSY:
    case RR_HASH_READING_MEMORY_BUSY:
        *max = 100;
        break;
    case RR_HASH_READING_FAN_RPM:
    case RR_HASH_READING_CORE_CLOCK:
    case RR_HASH_READING_MEMORY_CLOCK:
        *max = 100000;
        break;
    case RR_HASH_READING_MEMORY_TOTAL:
        *min = 1;
        break;
    case RR_HASH_READING_MEMORY_USED:
    case RR_HASH_READING_THROTTLE:
    case RR_HASH_READING_ECC_CORRECTED:
    case RR_HASH_READING_ECC_UNCORRECTED:
    case RR_HASH_READING_COUNT:
        break;
    }
}

bool hash_sample_set(struct rr_hash_sample *sample, enum rr_hash_reading reading, int64_t value)
{
    int64_t min, max;
    range_of(reading, &min, &max);
    if (value < min || value > max) {
        return false;
    }
    sample->value[reading] = value;
    sample->known |= UINT32_C(1) << reading;
    return true;
}

bool hash_pci_valid(const char *pci)
{
    size_t len = strlen(pci);
    return len >= 7 && len < 16 && strspn(pci, "0123456789abcdefABCDEF:.") == len &&
           strchr(pci, ':') != NULL && strstr(pci, "..") == NULL;
}

void rr_hash_throttle_text(char text[static 48], int64_t reasons)
{
    static const struct {
        int64_t bit;
        const char *name;
    } names[] = {{RR_HASH_THROTTLE_POWER, "power"},
                 {RR_HASH_THROTTLE_HEAT, "heat"},
                 {RR_HASH_THROTTLE_SLOW, "slowdown"},
                 {RR_HASH_THROTTLE_CLOCKS, "set clocks"}};
    size_t len = 0;
    for (size_t i = 0; i < RR_COUNT(names); i++) {
        if ((reasons & names[i].bit) != 0) {
            len +=
                (size_t)snprintf(text + len, 48 - len, "%s%s", len > 0 ? ", " : "", names[i].name);
        }
    }
    if (len == 0) {
        (void)snprintf(text, 48, "none");
    }
}

/* ---- a thread that asks -------------------------------------------------------------------------
 */
static uint64_t now_us(void)
{
    return rr_monotonic_us(rr_clock_system());
}

static void free_asker(struct asker *asker)
{
    (void)pthread_cond_destroy(&asker->changed);
    (void)pthread_mutex_destroy(&asker->lock);
    rr_free(asker->setting);
    rr_free(asker);
}

static void *ask(void *argument)
{
    struct asker *asker = argument;
    void *sensors = NULL;
    (void)pthread_mutex_lock(&asker->lock);
    while (!asker->leaving) {
        if (asker->state != ASK_BUSY) {
            (void)pthread_cond_wait(&asker->changed, &asker->lock);
            continue;
        }
        struct rr_hash_device device = asker->device;
        struct rr_hash_sample sample = {0};
        (void)pthread_mutex_unlock(&asker->lock);
        if (sensors == NULL) {
            sensors = asker->sensors->open(asker->setting);
        }
        asker->sensors->read(sensors, &sample, &device);
        (void)pthread_mutex_lock(&asker->lock);
        asker->sample = sample;
        asker->state = ASK_DONE;
        (void)pthread_cond_broadcast(&asker->changed);
    }
    (void)pthread_mutex_unlock(&asker->lock);
    if (sensors != NULL) {
        asker->sensors->close(sensors); /* may hang as well */
    }
    (void)pthread_mutex_lock(&asker->lock);
    bool last = asker->left;
    asker->left = true;
    (void)pthread_cond_broadcast(&asker->changed);
    (void)pthread_mutex_unlock(&asker->lock);
    if (last) {
        free_asker(asker);
    }
    return NULL;
}

static struct asker *new_asker(const struct hash_sensors *sensors, const char *setting)
{
    struct asker *asker = rr_alloc(sizeof(*asker));
    pthread_condattr_t attr;
    pthread_attr_t detached;
    pthread_t thread;
    sigset_t all, before;
    asker->sensors = sensors;
    asker->setting = rr_strdup(setting);
    (void)pthread_mutex_init(&asker->lock, NULL);
    (void)pthread_condattr_init(&attr);
    (void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&asker->changed, &attr);
    (void)pthread_condattr_destroy(&attr);
    (void)pthread_attr_init(&detached);
    (void)pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before); /* signals are for others */
    int number = pthread_create(&thread, &detached, ask, asker);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    (void)pthread_attr_destroy(&detached);
    if (number != 0) {
        rr_log(RR_LOG_WARN, "hash", "no thread for %s: its readings stay unknown", sensors->name);
        free_asker(asker);
        return NULL;
    }
    return asker;
}

/* Waits until the state is not `busy` or, when leaving, the thread has left. Lock held. */
static void wait_for(struct asker *asker, uint64_t until_us)
{
    struct timespec until = {.tv_sec = (time_t)(until_us / 1000000),
                             .tv_nsec = (long)(until_us % 1000000) * 1000};
    while (asker->leaving ? !asker->left : asker->state == ASK_BUSY) {
        if (pthread_cond_timedwait(&asker->changed, &asker->lock, &until) == ETIMEDOUT) {
            return;
        }
    }
}

static void close_asker(struct asker *asker, uint32_t timeout_ms)
{
    if (asker == NULL) {
        return;
    }
    (void)pthread_mutex_lock(&asker->lock);
    asker->leaving = true;
    (void)pthread_cond_broadcast(&asker->changed);
    wait_for(asker, now_us() + (uint64_t)timeout_ms * 1000);
    bool last = asker->left;
    asker->left = true;
    (void)pthread_mutex_unlock(&asker->lock);
    if (last) {
        free_asker(asker);
    }
}

static void question(struct asker *asker, struct rr_hash_sample *out,
                     const struct rr_hash_device *device, uint32_t timeout_ms)
{
    memset(out, 0, sizeof(*out));
    if (asker == NULL) {
        (void)snprintf(out->trouble, sizeof(out->trouble), "no thread could be started to ask");
        return;
    }
    uint64_t now = now_us();
    (void)pthread_mutex_lock(&asker->lock);
    if (asker->state != ASK_BUSY) { /* a late answer to an old question is dropped */
        asker->state = ASK_BUSY;
        asker->device = *device;
        asker->asked_us = now;
        (void)pthread_cond_broadcast(&asker->changed);
        wait_for(asker, now + (uint64_t)timeout_ms * 1000);
    }
    if (asker->state == ASK_DONE) {
        *out = asker->sample;
        asker->state = ASK_IDLE;
    } else {
        (void)snprintf(out->trouble, sizeof(out->trouble),
                       "%s has not answered for %" PRIu64 " s; its driver may hang",
                       asker->sensors->name, (now_us() - asker->asked_us) / 1000000);
    }
    (void)pthread_mutex_unlock(&asker->lock);
}

/* ---- the door -----------------------------------------------------------------------------------
 */
void rr_hash_telemetry_new(struct rr_hash_telemetry **out,
                           const struct rr_hash_telemetry_options *options)
{
    struct rr_hash_telemetry *telemetry = rr_alloc(sizeof(*telemetry));
    const char *nvml = options->nvml_path != NULL ? options->nvml_path : "libnvidia-ml.so.1";
    telemetry->sysfs_root = rr_strdup(options->sysfs_root != NULL ? options->sysfs_root : "");
    telemetry->timeout_ms = options->timeout_ms != 0 ? options->timeout_ms : RR_HASH_TELEMETRY_MS;
    (void)pthread_mutex_init(&telemetry->lock, NULL);
    telemetry->nvml = new_asker(&hash_sensors_nvml, nvml);
    telemetry->sysfs = new_asker(&hash_sensors_sysfs, telemetry->sysfs_root);
    *out = telemetry;
}

/* What `more` knows and *out does not. */
static void merge(struct rr_hash_sample *out, const struct rr_hash_sample *more)
{
    for (unsigned i = 0; i < RR_HASH_READING_COUNT; i++) {
        if (!rr_hash_sample_has(out, i) && rr_hash_sample_has(more, i)) {
            (void)hash_sample_set(out, i, more->value[i]);
        }
    }
    if (out->source[0] == '\0') {
        memcpy(out->source, more->source, sizeof(out->source));
    }
    if (out->trouble[0] == '\0' && !rr_hash_sample_has(out, RR_HASH_READING_TEMPERATURE)) {
        memcpy(out->trouble, more->trouble, sizeof(out->trouble));
    }
}

void rr_hash_telemetry_read(struct rr_hash_telemetry *telemetry, struct rr_hash_sample *out,
                            const struct rr_hash_device *device)
{
    struct rr_hash_sample sample = {0}, more;
    (void)pthread_mutex_lock(&telemetry->lock);
    bool pci = hash_pci_valid(device->pci);
    if (strcmp(device->backend, "cuda") == 0 ||
        (pci && hash_sysfs_is_nvidia(telemetry->sysfs_root, device->pci))) {
        question(telemetry->nvml, &sample, device, telemetry->timeout_ms);
    }
    if (pci || strcmp(device->backend, "cpu") == 0) {
        question(telemetry->sysfs, &more, device, telemetry->timeout_ms);
        merge(&sample, &more);
    }
    if (sample.known == 0 && sample.trouble[0] == '\0') {
        (void)snprintf(sample.trouble, sizeof(sample.trouble), "no sensor answers");
    }
    *out = sample;
    (void)pthread_mutex_unlock(&telemetry->lock);
}

void rr_hash_telemetry_free(struct rr_hash_telemetry *telemetry)
{
    if (telemetry == NULL) {
        return;
    }
    close_asker(telemetry->nvml, telemetry->timeout_ms);
    close_asker(telemetry->sysfs, telemetry->timeout_ms);
    (void)pthread_mutex_destroy(&telemetry->lock);
    rr_free(telemetry->sysfs_root);
    rr_free(telemetry);
}

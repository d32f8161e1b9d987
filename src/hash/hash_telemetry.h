/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Part of the door of hash: what the sensors of a device say (spec 10, 2). hash.h includes it. */
#ifndef RR_HASH_TELEMETRY_H
#define RR_HASH_TELEMETRY_H
#include "base/base.h"

struct rr_hash_device;

/* Every reading with its name in JSON and, behind "reelrig_device_", in metrics. */
#define RR_HASH_READINGS(X)                                                                        \
    X(TEMPERATURE, "temperature_mc", "Temperature in thousandths of a degree Celsius")             \
    X(MEMORY_TEMPERATURE, "memory_temperature_mc", "Temperature of the memory, as above")          \
    X(TEMPERATURE_LIMIT, "temperature_limit_mc", "Temperature from which the maker slows it down") \
    X(POWER, "power_mw", "Power taken, in milliwatts")                                             \
    X(POWER_LIMIT, "power_limit_mw", "Power that it may take, in milliwatts")                      \
    X(FAN, "fan_percent", "Speed of its fan in percent of the highest")                            \
    X(FAN_RPM, "fan_rpm", "Speed of its fan in turns a minute")                                    \
    X(CORE_CLOCK, "core_mhz", "Clock of its cores")                                                \
    X(MEMORY_CLOCK, "memory_mhz", "Clock of its memory")                                           \
    X(BUSY, "busy_percent", "Part of the time in which a kernel ran")                              \
    X(MEMORY_BUSY, "memory_busy_percent", "Part of the time in which its memory was busy")         \
    X(MEMORY_USED, "memory_used_bytes", "Memory in use by all programs")                           \
    X(MEMORY_TOTAL, "memory_total_bytes", "Memory of the device")                                  \
    X(THROTTLE, "throttle_reasons", "Why its clocks are held down: bits of RR_HASH_THROTTLE_*")    \
    X(ECC_CORRECTED, "ecc_corrected", "Memory errors that were corrected since the driver loaded") \
    X(ECC_UNCORRECTED, "ecc_uncorrected", "Memory errors that were not corrected")

enum rr_hash_reading {
#define X(id, name, help) RR_HASH_READING_##id,
    RR_HASH_READINGS(X)
#undef X
        RR_HASH_READING_COUNT
};
enum {
    RR_HASH_THROTTLE_POWER = 1 << 0,  /* power cap or brake */
    RR_HASH_THROTTLE_HEAT = 1 << 1,   /* thermal slowdown */
    RR_HASH_THROTTLE_SLOW = 1 << 2,   /* hardware slowdown without a closer reason */
    RR_HASH_THROTTLE_CLOCKS = 1 << 3, /* clocks set by the operator, or a boost group */
};

/* A reading that is not known has its bit clear and value 0: the value then means nothing. */
struct rr_hash_sample {
    char source[24];   /* "nvml", "amdgpu", "coretemp", ...; empty: nothing answered */
    char trouble[200]; /* why readings that were expected are unknown; empty: none */
    uint32_t known;    /* bit 1 << reading */
    int64_t value[RR_HASH_READING_COUNT];
};
static inline bool rr_hash_sample_has(const struct rr_hash_sample *sample,
                                      enum rr_hash_reading reading)
{
    return (sample->known >> reading & 1) != 0;
}
/* Static texts: the name in the list above, and its explanation. Any thread. */
const char *rr_hash_reading_name(enum rr_hash_reading reading);
const char *rr_hash_reading_help(enum rr_hash_reading reading);
/* "power, heat"; "none" for 0. text: at least 48 bytes. Any thread. */
void rr_hash_throttle_text(char text[static 48], int64_t reasons);

struct rr_hash_telemetry;
struct rr_hash_telemetry_options {
    const char *sysfs_root; /* put before "/sys"; NULL: none. Tests bring a tree of their own */
    const char *nvml_path;  /* library to load; NULL: "libnvidia-ml.so.1" */
    uint32_t timeout_ms;    /* of one question; 0: RR_HASH_TELEMETRY_MS */
};
#define RR_HASH_TELEMETRY_MS 2000 /* ours: a healthy driver answers in milliseconds */

/* Starts two threads that ask NVML and sysfs; nothing is loaded before the first question, and a
 * machine without NVIDIA's library is not an error. *out owned (rr_hash_telemetry_free); options
 * copied. Any thread, does not block. */
void rr_hash_telemetry_new(struct rr_hash_telemetry **out,
                           const struct rr_hash_telemetry_options *options);
/* Reads one device, by its PCI address or the UUID in its id; "cpu" is the processor. Always fills
 * *out; what did not come is unknown. Blocks for 2 timeout_ms at most; a driver that hangs costs
 * that once, from then on its readings are unknown at once until it comes back. Any thread, one at
 * a time (others wait). */
void rr_hash_telemetry_read(struct rr_hash_telemetry *telemetry, struct rr_hash_sample *out,
                            const struct rr_hash_device *device);
/* Ends the threads; one that hangs in a driver is left behind and cleans up when it comes back.
 * Blocks for 2 timeout_ms at most. NULL is fine. */
void rr_hash_telemetry_free(struct rr_hash_telemetry *telemetry);
#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Private to hash: the two sources of readings. Each is used by one thread, its own. */
#ifndef RR_HASH_SENSORS_H
#define RR_HASH_SENSORS_H
#include "hash/hash.h"

struct hash_sensors {
    const char *name; /* for people: "NVML", "sysfs" */
    /* setting: library path or root; borrowed. Must not block. */
    void *(*open)(const char *setting);
    /* Adds what it knows to *out, which is empty. May block for ever. */
    void (*read)(void *sensors, struct rr_hash_sample *out, const struct rr_hash_device *device);
    void (*close)(void *sensors);
};
extern const struct hash_sensors hash_sensors_nvml;
extern const struct hash_sensors hash_sensors_sysfs;

/* Takes a value when it lies in the range that the reading can have at all; absurd answers stay
 * unknown. False then. */
bool hash_sample_set(struct rr_hash_sample *sample, enum rr_hash_reading reading, int64_t value);
/* True for "0000:65:00.0" and the like: only such a text may become part of a path. */
bool hash_pci_valid(const char *pci);
/* True when the device at this PCI address is of NVIDIA's making, as sysfs below root says. */
bool hash_sysfs_is_nvidia(const char *root, const char *pci);
#endif

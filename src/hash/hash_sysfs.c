/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Readings of the kernel's own: hwmon of a PCI device (amdgpu, i915, xe, nouveau) and of the
 * processor (coretemp, k10temp, ...), power caps. Below a root, so that tests bring a tree.
 * Names of files: Documentation/hwmon/sysfs-interface and Documentation/gpu/amdgpu of Linux. */
#include "hash/hash_sensors.h"
#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TEMPERATURES_MAX 16 /* temp1 .. temp16 of a hwmon are looked at */

struct sysfs {
    char root[RR_PATH_BYTES];
};

/* ---- files --------------------------------------------------------------------------------------
 */
/* First line of a small file, without its end. False: absent, empty or unreadable. */
static bool read_line(char *out, size_t bytes, const char *folder, const char *name)
{
    char path[RR_PATH_BYTES];
    if (rr_path(path, NULL, "%s/%s", folder, name) != RR_OK) {
        return false;
    }
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        return false;
    }
    ssize_t n = read(fd, out, bytes - 1);
    (void)close(fd);
    if (n <= 0) {
        return false;
    }
    out[n] = '\0';
    out[strcspn(out, "\n")] = '\0';
    return out[0] != '\0';
}

static bool read_number(int64_t *out, const char *folder, const char *name)
{
    char text[32], *end;
    if (!read_line(text, sizeof(text), folder, name) ||
        (!isdigit((unsigned char)text[0]) && text[0] != '-')) {
        return false;
    }
    long long value = strtoll(text, &end, 10);
    if (*end != '\0' || value > INT64_MAX / 1000 || value < -(INT64_MAX / 1000)) {
        return false;
    }
    *out = value;
    return true;
}

/* Sets a reading from a file whose unit is `divisor` times finer; false when there is none. */
static bool take(struct rr_hash_sample *out, enum rr_hash_reading reading, const char *folder,
                 const char *name, int64_t divisor)
{
    int64_t value;
    return read_number(&value, folder, name) && (value >= 0 || divisor == 1) &&
           hash_sample_set(out, reading, value / divisor);
}

/* Calls visit for each entry of a folder whose name starts with `prefix`, in no order, until it
 * gives true. */
static bool each(const char *folder, const char *prefix, bool (*visit)(void *ctx, const char *path),
                 void *ctx)
{
    DIR *dir = opendir(folder);
    bool done = false;
    if (dir == NULL) {
        return false;
    }
    for (struct dirent *entry = readdir(dir); entry != NULL && !done; entry = readdir(dir)) {
        char path[RR_PATH_BYTES];
        if (strncmp(entry->d_name, prefix, strlen(prefix)) == 0 &&
            rr_path(path, NULL, "%s/%s", folder, entry->d_name) == RR_OK) {
            done = visit(ctx, path);
        }
    }
    (void)closedir(dir);
    return done;
}

/* ---- hwmon --------------------------------------------------------------------------------------
 */
/* Highest of the temperatures, and that of the memory: a chip is as hot as its hottest place. */
static void take_temperatures(struct rr_hash_sample *out, const char *hwmon)
{
    for (int i = 1; i <= TEMPERATURES_MAX; i++) {
        char name[32], label[32];
        int64_t value;
        (void)snprintf(name, sizeof(name), "temp%d_input", i);
        if (!read_number(&value, hwmon, name)) {
            continue;
        }
        (void)snprintf(name, sizeof(name), "temp%d_label", i);
        bool memory = read_line(label, sizeof(label), hwmon, name) &&
                      (strcmp(label, "mem") == 0 || strcmp(label, "vram") == 0);
        enum rr_hash_reading reading =
            memory ? RR_HASH_READING_MEMORY_TEMPERATURE : RR_HASH_READING_TEMPERATURE;
        if (rr_hash_sample_has(out, reading) && out->value[reading] >= value) {
            continue;
        }
        if (hash_sample_set(out, reading, value) && !memory) {
            (void)snprintf(name, sizeof(name), "temp%d_crit", i);
            (void)take(out, RR_HASH_READING_TEMPERATURE_LIMIT, hwmon, name, 1);
        }
    }
}

static void take_fan(struct rr_hash_sample *out, const char *hwmon)
{
    int64_t pwm, rpm, top;
    (void)take(out, RR_HASH_READING_FAN_RPM, hwmon, "fan1_input", 1);
    if (read_number(&pwm, hwmon, "pwm1") && pwm >= 0 && pwm <= 255) {
        (void)hash_sample_set(out, RR_HASH_READING_FAN, pwm * 100 / 255);
    } else if (read_number(&rpm, hwmon, "fan1_input") && read_number(&top, hwmon, "fan1_max") &&
               top > 0 && rpm >= 0) {
        (void)hash_sample_set(out, RR_HASH_READING_FAN, rpm * 100 / top);
    }
}

static bool take_hwmon(void *ctx, const char *hwmon)
{
    struct rr_hash_sample *out = ctx;
    (void)read_line(out->source, sizeof(out->source), hwmon, "name");
    take_temperatures(out, hwmon);
    take_fan(out, hwmon);
    if (!take(out, RR_HASH_READING_POWER, hwmon, "power1_average", 1000)) {
        (void)take(out, RR_HASH_READING_POWER, hwmon, "power1_input", 1000);
    }
    if (!take(out, RR_HASH_READING_POWER_LIMIT, hwmon, "power1_cap", 1000)) {
        (void)take(out, RR_HASH_READING_POWER_LIMIT, hwmon, "power1_max", 1000);
    }
    (void)take(out, RR_HASH_READING_CORE_CLOCK, hwmon, "freq1_input", 1000000);
    (void)take(out, RR_HASH_READING_MEMORY_CLOCK, hwmon, "freq2_input", 1000000);
    return out->known != 0;
}

/* ---- devices ------------------------------------------------------------------------------------
 */
static bool pci_folder(char folder[static RR_PATH_BYTES], const char *root, const char *pci)
{
    char lower[16] = "";
    if (!hash_pci_valid(pci)) {
        return false;
    }
    for (size_t i = 0; pci[i] != '\0'; i++) {
        lower[i] = (char)tolower((unsigned char)pci[i]);
    }
    return rr_path(folder, NULL, "%s/sys/bus/pci/devices/%s", root, lower) == RR_OK;
}

bool hash_sysfs_is_nvidia(const char *root, const char *pci)
{
    char folder[RR_PATH_BYTES], vendor[16];
    return pci_folder(folder, root, pci) && read_line(vendor, sizeof(vendor), folder, "vendor") &&
           strcmp(vendor, "0x10de") == 0;
}

/* Two lines of amdgpu's memory controller: "ue: 2" and "ce: 14". */
static void take_amd_ecc(struct rr_hash_sample *out, const char *folder)
{
    char path[RR_PATH_BYTES], text[64];
    if (rr_path(path, NULL, "%s/ras/umc_err_count", folder) != RR_OK) {
        return;
    }
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        return;
    }
    ssize_t n = read(fd, text, sizeof(text) - 1);
    (void)close(fd);
    text[n > 0 ? n : 0] = '\0';
    const char *bad = strstr(text, "ue: "), *good = strstr(text, "ce: ");
    if (bad != NULL && isdigit((unsigned char)bad[4])) {
        (void)hash_sample_set(out, RR_HASH_READING_ECC_UNCORRECTED, strtoll(bad + 4, NULL, 10));
    }
    if (good != NULL && isdigit((unsigned char)good[4])) {
        (void)hash_sample_set(out, RR_HASH_READING_ECC_CORRECTED, strtoll(good + 4, NULL, 10));
    }
}

static void read_pci(const struct sysfs *sysfs, struct rr_hash_sample *out, const char *pci)
{
    char folder[RR_PATH_BYTES], hwmon[RR_PATH_BYTES];
    if (!pci_folder(folder, sysfs->root, pci) ||
        rr_path(hwmon, NULL, "%s/hwmon", folder) != RR_OK) {
        return;
    }
    (void)each(hwmon, "hwmon", take_hwmon, out);
    (void)take(out, RR_HASH_READING_BUSY, folder, "gpu_busy_percent", 1);
    (void)take(out, RR_HASH_READING_MEMORY_BUSY, folder, "mem_busy_percent", 1);
    (void)take(out, RR_HASH_READING_MEMORY_TOTAL, folder, "mem_info_vram_total", 1);
    if (take(out, RR_HASH_READING_MEMORY_USED, folder, "mem_info_vram_used", 1) &&
        rr_hash_sample_has(out, RR_HASH_READING_MEMORY_TOTAL) &&
        out->value[RR_HASH_READING_MEMORY_USED] > out->value[RR_HASH_READING_MEMORY_TOTAL]) {
        out->known &= ~(UINT32_C(1) << RR_HASH_READING_MEMORY_USED);
        out->value[RR_HASH_READING_MEMORY_USED] = 0;
    }
    take_amd_ecc(out, folder);
}

/* Several sockets: each has its hwmon; the hottest one counts. */
static bool take_processor(void *ctx, const char *hwmon)
{
    static const char *const names[] = {"coretemp", "k10temp", "zenpower", "cpu_thermal",
                                        "fam15h_power"};
    struct rr_hash_sample *out = ctx;
    char name[24];
    if (!read_line(name, sizeof(name), hwmon, "name")) {
        return false;
    }
    for (size_t i = 0; i < RR_COUNT(names); i++) {
        if (strcmp(name, names[i]) == 0) {
            take_temperatures(out, hwmon);
            if (out->known != 0) {
                memcpy(out->source, name, sizeof(out->source));
            }
        }
    }
    return false; /* go on: another socket */
}

static void read_processor(const struct sysfs *sysfs, struct rr_hash_sample *out)
{
    char folder[RR_PATH_BYTES];
    if (rr_path(folder, NULL, "%s/sys/class/hwmon", sysfs->root) == RR_OK) {
        (void)each(folder, "hwmon", take_processor, out);
    }
    if (rr_path(folder, NULL, "%s/sys/devices/system/cpu/cpu0/cpufreq", sysfs->root) == RR_OK) {
        (void)take(out, RR_HASH_READING_CORE_CLOCK, folder, "scaling_cur_freq", 1000);
    }
    if (rr_path(folder, NULL, "%s/sys/class/powercap/intel-rapl:0", sysfs->root) == RR_OK) {
        (void)take(out, RR_HASH_READING_POWER_LIMIT, folder, "constraint_0_power_limit_uw", 1000);
    }
    if (out->known != 0 && out->source[0] == '\0') {
        (void)snprintf(out->source, sizeof(out->source), "sysfs");
    }
}

static void *open_sysfs(const char *root)
{
    struct sysfs *sysfs = rr_alloc(sizeof(*sysfs));
    (void)snprintf(sysfs->root, sizeof(sysfs->root), "%s", root);
    return sysfs;
}

static void read_sysfs(void *sensors, struct rr_hash_sample *out,
                       const struct rr_hash_device *device)
{
    if (strcmp(device->backend, "cpu") == 0) {
        read_processor(sensors, out);
    } else {
        read_pci(sensors, out, device->pci);
    }
    if (!rr_hash_sample_has(out, RR_HASH_READING_TEMPERATURE)) {
        (void)snprintf(out->trouble, sizeof(out->trouble), "the kernel shows no temperature");
    }
}

static void close_sysfs(void *sensors)
{
    rr_free(sensors);
}

const struct hash_sensors hash_sensors_sysfs = {
    .name = "sysfs", .open = open_sysfs, .read = read_sysfs, .close = close_sysfs};

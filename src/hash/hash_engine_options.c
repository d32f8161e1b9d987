/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which devices there are, and which of them are to search. */
#include "hash/hash_engine.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* In the order in which a card is taken that several can drive. */
static const struct hash_backend *const backends[] = {&hash_backend_cuda, &hash_backend_opencl,
                                                      &hash_backend_cpu};

const struct hash_backend *const *hash_backends(size_t *count)
{
    *count = RR_COUNT(backends);
    return backends;
}

size_t rr_hash_devices(struct rr_hash_device *out, size_t max)
{
    size_t count = 0;
    for (size_t i = 0; i < RR_COUNT(backends) && count < max; i++) {
        memset(out + count, 0, (max - count) * sizeof(*out));
        count += backends[i]->list(out + count, max - count);
    }
    return count;
}

enum rr_err hash_options_check(const struct rr_hash_options *options, struct rr_fault *fault)
{
    if (options->threads > RR_HASH_THREADS_MAX) {
        return rr_fail(fault, RR_ERR_LIMIT,
                       "%" PRIu32 " threads for hashing; at most %d are possible", options->threads,
                       RR_HASH_THREADS_MAX);
    }
    if (options->share_percent > 100 || options->gpu_share_percent > 100) {
        return rr_fail(fault, RR_ERR_USAGE, "a share of %" PRIu32 " percent; choose 1 to 100",
                       options->share_percent > 100 ? options->share_percent
                                                    : options->gpu_share_percent);
    }
    return RR_OK;
}

static bool is_kind(const struct hash_device *device, const char *word, size_t len)
{
    const char *kind = device->status.device.backend;
    return strlen(kind) == len && memcmp(kind, word, len) == 0;
}

static bool usable(const struct hash_device *device)
{
    return device->status.device.why_not[0] == '\0';
}

/* The same card seen by two backends: by its place on the bus, where both know it, else by name. */
static bool same_card(const struct rr_hash_device *a, const struct rr_hash_device *b)
{
    if (a->pci[0] != '\0' && b->pci[0] != '\0') {
        return strcmp(a->pci, b->pci) == 0;
    }
    return strcmp(a->backend, b->backend) != 0 && a->name[0] != '\0' &&
           strcmp(a->name, b->name) == 0;
}

static void ask(struct hash_device *device)
{
    device->asked = true;
    if (!usable(device)) {
        rr_log(RR_LOG_WARN, "hash", "device %s cannot be used: %s", device->status.device.id,
               device->status.device.why_not);
    }
}

/* Every usable GPU once, by the first backend that can use it; the CPU where there is none. */
static void ask_auto(struct rr_hash_engine *engine)
{
    bool any = false;
    for (uint32_t i = 0; i < engine->device_count; i++) {
        struct hash_device *device = &engine->devices[i];
        const struct rr_hash_device *about = &device->status.device;
        if (device->is_cpu || about->processor || !usable(device)) {
            continue;
        }
        for (uint32_t j = 0; j < i && device->stands_in < 0; j++) {
            const struct hash_device *other = &engine->devices[j];
            if (other->asked && other->stands_in < 0 && usable(other) &&
                same_card(&other->status.device, about)) {
                device->stands_in = (int)j;
            }
        }
        if (device->stands_in < 0) {
            ask(device);
            any = true;
        }
    }
    for (uint32_t i = 0; i < engine->device_count && !any; i++) {
        if (engine->devices[i].is_cpu) {
            ask(&engine->devices[i]);
        }
    }
}

static enum rr_err ask_word(struct rr_hash_engine *engine, const char *word, size_t len,
                            struct rr_fault *fault)
{
    bool any = len == 4 && memcmp(word, "auto", 4) == 0;
    if (any) {
        ask_auto(engine);
        return RR_OK;
    }
    for (uint32_t i = 0; i < engine->device_count; i++) {
        struct hash_device *device = &engine->devices[i];
        const char *id = device->status.device.id;
        bool named = strlen(id) == len && memcmp(id, word, len) == 0;
        if (named || is_kind(device, word, len)) {
            ask(device);
            any = true;
        }
    }
    const char *colon = memchr(word, ':', len);
    if (!any && colon != NULL && len < sizeof engine->devices[0].status.device.id &&
        engine->device_count < RR_HASH_DEVICES_MAX) {
        for (size_t i = 0; i < engine->kit.count && !any; i++) {
            const char *name = engine->kit.backends[i]->name;
            any = strlen(name) == (size_t)(colon - word) &&
                  memcmp(name, word, (size_t)(colon - word)) == 0;
            if (any) { /* a card that was there yesterday: shown, so that it is missed */
                struct hash_device *device = &engine->devices[engine->device_count];
                *device = (struct hash_device){.engine = engine,
                                               .backend = engine->kit.backends[i],
                                               .index = engine->device_count++,
                                               .stands_in = -1,
                                               .start_at_us = UINT64_MAX};
                memcpy(device->status.device.id, word, len);
                (void)snprintf(device->status.device.backend, sizeof device->status.device.backend,
                               "%s", name);
                (void)snprintf(device->status.device.why_not, sizeof device->status.device.why_not,
                               "is not in this machine: look at its seat and its driver");
                ask(device);
            }
        }
    }
    return any ? RR_OK
               : rr_fail(fault, RR_ERR_USAGE,
                         "no hash device \"%.*s\": choose auto, cpu, cuda, opencl or an id of "
                         "\"reelrig gpu list\"",
                         len < 80 ? (int)len : 80, word);
}

static void list_all(struct rr_hash_engine *engine)
{
    struct rr_hash_device *about =
        rr_alloc_array(RR_HASH_DEVICES_MAX, sizeof(struct rr_hash_device));
    for (size_t i = 0; i < engine->kit.count; i++) {
        size_t room = RR_HASH_DEVICES_MAX - engine->device_count;
        memset(about, 0, RR_HASH_DEVICES_MAX * sizeof(*about));
        size_t count = engine->kit.backends[i]->list(about, room);
        for (size_t j = 0; j < count && j < room; j++) {
            struct hash_device *device = &engine->devices[engine->device_count];
            *device = (struct hash_device){.engine = engine,
                                           .backend = engine->kit.backends[i],
                                           .index = engine->device_count++,
                                           .is_cpu = strcmp(about[j].backend, "cpu") == 0,
                                           .stands_in = -1,
                                           .start_at_us = UINT64_MAX};
            device->status.device = about[j];
        }
    }
    rr_free(about);
}

enum rr_err hash_devices_select(struct rr_hash_engine *engine, const char *wish,
                                struct rr_fault *fault)
{
    enum rr_err err = RR_OK;
    list_all(engine);
    const char *word = wish == NULL || wish[0] == '\0' ? "auto" : wish;
    while (err == RR_OK) {
        size_t len = strcspn(word, ",");
        err = ask_word(engine, word, len, fault);
        if (word[len] == '\0') {
            break;
        }
        word += len + 1;
    }
    for (uint32_t i = 0; i < engine->device_count; i++) {
        struct hash_device *device = &engine->devices[i];
        if (!usable(device)) {
            device->asked = false;
            memcpy(device->status.why, device->status.device.why_not, sizeof device->status.why);
        } else if (!device->asked) {
            (void)snprintf(device->status.why, sizeof device->status.why, "%s",
                           device->stands_in >= 0 ? "another backend serves this card"
                                                  : "not asked for");
        }
    }
    return err;
}

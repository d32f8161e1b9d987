/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The backend `cuda`: devices, contexts, datasets. */
#include "hash/hash_cuda.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define COMPUTE_MIN   75         /* what nvcc 13 still compiles for */
#define SLICE_NODES   (1u << 20) /* of a build: some 10 ms, after which others have their turn */
#define ROWS_SAMPLED  64u
#define RESERVE_BYTES (UINT64_C(64) << 20) /* left for the driver's own needs */
#define ROW_BYTES     UINT64_C(128)
#define NODE_BYTES    UINT64_C(64)

static const char *const kernel_names[CUDA_KERNELS] = {
#define X(name, arguments) "rr_ethash_gpu_" #name,
    RR_ETHASH_GPU_KERNELS(X)
#undef X
};

/* ---- errors -------------------------------------------------------------------------------------
 */
enum rr_err cuda_result(struct cuda_device *device, int code, const char *doing,
                        struct rr_fault *fault)
{
    char text[32];
    if (code == CUDA_OK) {
        return RR_OK;
    }
    const char *name = cuda_error_text(device->driver, code, text);
    switch (code) {
    case CUDA_OUT_OF_MEMORY:
        return rr_fail(fault, RR_ERR_MEMORY,
                       "%s has no memory for %s (%s); close what else uses it", device->name, doing,
                       name);
    case CUDA_INVALID_IMAGE:
    case CUDA_NO_BINARY:
    case CUDA_INVALID_PTX:
    case CUDA_JIT_NOT_FOUND:
    case CUDA_UNSUPPORTED_PTX:
    case CUDA_JIT_DISABLED:
    case CUDA_NOT_FOUND:
        return rr_fail(fault, RR_ERR_UNSUPPORTED,
                       "%s cannot run the kernels of this build (%s at %s); install driver 580 or "
                       "newer, or use opencl",
                       device->name, name, doing);
    case CUDA_OUT_OF_RESOURCES: /* of one launch: the context lives on */
        return rr_fail(fault, RR_ERR_UNSUPPORTED, "%s has too few registers for %s (%s)",
                       device->name, doing, name);
    default:
        atomic_store(&device->lost, true);
        return rr_fail(fault, RR_ERR_IO,
                       "%s is lost: %s at %s; look at the kernel's log, its clocks and its power, "
                       "then restart it",
                       device->name, name, doing);
    }
}

enum rr_err cuda_enter(struct cuda_device *device, struct rr_fault *fault)
{
    if (atomic_load(&device->lost)) {
        return rr_fail(fault, RR_ERR_IO, "%s is lost since an earlier error; restart it",
                       device->name);
    }
    return cuda_result(device, device->driver->context_use(device->context), "its context", fault);
}

int cuda_launch(const struct cuda_device *device, enum cuda_kernel kernel, uint32_t blocks,
                uint32_t threads, const void *arguments, void *stream)
{
    union {
        const void *in;
        void *out;
    } argument = {.in = arguments}; /* the driver reads it, whatever its prototype says */
    void *parameters[1] = {argument.out};
    return device->driver->launch(device->kernels[kernel], blocks, 1, 1, threads, 1, 1, 0, stream,
                                  parameters, NULL);
}

void *cuda_pointer(cuda_address address)
{
    return (void *)(uintptr_t)address; /* an address of the device, never followed here */
}

struct rr_ethash_gpu_rows cuda_rows(const struct cuda_epoch *epoch)
{
    return (struct rr_ethash_gpu_rows){.quads = cuda_pointer(epoch->dataset),
                                       .items = rr_ethash_gpu_modulus(epoch->params.dataset_items)};
}

/* ---- list ---------------------------------------------------------------------------------------
 */
static void id_of(char id[static 80], const struct cuda_uuid *uuid)
{
    char hex[33];
    rr_hex(hex, uuid->bytes, sizeof(uuid->bytes));
    (void)snprintf(id, 80, "cuda:GPU-%.8s-%.4s-%.4s-%.4s-%.12s", hex, hex + 8, hex + 12, hex + 16,
                   hex + 20);
}

static void describe(const struct cuda_driver *driver, struct rr_hash_device *out, int ordinal,
                     int image_version)
{
    int device = 0;
    int units = 0;
    int major = 0;
    int minor = 0;
    int mode = 0;
    size_t bytes = 0;
    struct cuda_uuid uuid = {{0}};
    *out = (struct rr_hash_device){.backend = "cuda"};
    (void)snprintf(out->driver, sizeof(out->driver), "CUDA %d.%d", driver->version / 1000,
                   driver->version % 1000 / 10);
    (void)snprintf(out->id, sizeof(out->id), "cuda:%d", ordinal);
    int code = driver->device_get(&device, ordinal);
    code = code != CUDA_OK ? code : driver->device_uuid(&uuid, device);
    if (code == CUDA_OK) {
        id_of(out->id, &uuid);
        code = driver->device_name(out->name, (int)sizeof(out->name), device);
    }
    code = code != CUDA_OK ? code : driver->device_memory(&bytes, device);
    code = code != CUDA_OK ? code : driver->device_attribute(&units, CUDA_ATTRIBUTE_UNITS, device);
    code = code != CUDA_OK ? code : driver->device_attribute(&major, CUDA_ATTRIBUTE_MAJOR, device);
    code = code != CUDA_OK ? code : driver->device_attribute(&minor, CUDA_ATTRIBUTE_MINOR, device);
    code = code != CUDA_OK ? code : driver->device_attribute(&mode, CUDA_ATTRIBUTE_MODE, device);
    if (driver->device_pci(out->pci, (int)sizeof(out->pci), device) != CUDA_OK) {
        out->pci[0] = '\0';
    }
    out->memory_bytes = bytes;
    out->units = (uint32_t)units;
    char text[32];
    if (code != CUDA_OK) {
        (void)snprintf(out->why_not, sizeof(out->why_not), "the driver cannot describe it (%s)",
                       cuda_error_text(driver, code, text));
    } else if (driver->version / 1000 < image_version / 1000) {
        (void)snprintf(out->why_not, sizeof(out->why_not),
                       "the driver is made for CUDA %d.%d and the kernels with %d.%d; install "
                       "driver 580 or newer, or use opencl",
                       driver->version / 1000, driver->version % 1000 / 10, image_version / 1000,
                       image_version % 1000 / 10);
    } else if (major * 10 + minor < COMPUTE_MIN) {
        (void)snprintf(out->why_not, sizeof(out->why_not),
                       "compute capability %d.%d is older than 7.5: opencl serves it", major,
                       minor);
    } else if (mode == 2) {
        (void)snprintf(out->why_not, sizeof(out->why_not),
                       "its compute mode forbids programs; ask whoever set it");
    }
}

static size_t list(struct rr_hash_device *out, size_t max)
{
    if (max == 0) {
        return 0;
    }
    struct rr_hash_device none = {.id = "cuda", .backend = "cuda", .name = "CUDA"};
    int version = 0;
    if (cuda_image(&version) == NULL) {
        (void)snprintf(
            none.why_not, sizeof(none.why_not),
            "built without nvcc: build on a machine with the CUDA toolkit, or use opencl");
        *out = none;
        return 1;
    }
    const struct cuda_driver *driver = cuda_driver_get(none.why_not);
    int count = 0;
    if (driver != NULL && (driver->device_count(&count) != CUDA_OK || count <= 0)) {
        (void)snprintf(none.why_not, sizeof(none.why_not), "NVIDIA's driver finds no device");
        count = 0;
    }
    if (driver == NULL || count == 0) {
        *out = none;
        return 1;
    }
    size_t listed = (size_t)count < max ? (size_t)count : max;
    for (size_t i = 0; i < listed; i++) {
        describe(driver, &out[i], (int)i, version);
    }
    return listed;
}

/* The ordinal of the device with this id: ordinals change when cards do. */
static enum rr_err find(int *ordinal, const struct cuda_driver *driver, const char *id, int version,
                        struct rr_fault *fault)
{
    int count = 0;
    if (driver->device_count(&count) != CUDA_OK) {
        count = 0;
    }
    for (int i = 0; i < count; i++) {
        struct rr_hash_device device;
        describe(driver, &device, i, version);
        if (strcmp(device.id, id) != 0) {
            continue;
        }
        if (device.why_not[0] != '\0') {
            return rr_fail(fault, RR_ERR_UNSUPPORTED, "%s: %s", device.name, device.why_not);
        }
        *ordinal = i;
        return RR_OK;
    }
    return rr_fail(fault, RR_ERR_NOTFOUND, "there is no device %s now; list them", id);
}

/* ---- open and close -----------------------------------------------------------------------------
 */
static int pair_new(const struct cuda_driver *driver, struct cuda_pair *pair, size_t bytes)
{
    int code = driver->alloc(&pair->device, bytes);
    return code != CUDA_OK ? code : driver->alloc_host(&pair->host, bytes);
}
static void pair_free(const struct cuda_driver *driver, struct cuda_pair *pair)
{
    if (pair->device != 0) {
        (void)driver->release(pair->device);
    }
    if (pair->host != NULL) {
        (void)driver->release_host(pair->host);
    }
}

static int slot_new(const struct cuda_driver *driver, struct cuda_slot *slot)
{
    int code = driver->stream_create(&slot->stream, CUDA_NON_BLOCKING_STREAM, -1);
    code = code != CUDA_OK ? code : driver->event_create(&slot->start, 0);
    code = code != CUDA_OK ? code : driver->event_create(&slot->end, 0);
    const struct {
        struct cuda_pair *pair;
        size_t bytes;
    } pairs[] = {
        {&slot->jobs, CUDA_WORKS_MAX * sizeof(struct rr_ethash_gpu_job)},
        {&slot->block_job, CUDA_BLOCKS_MAX * sizeof(uint32_t)},
        {&slot->results, CUDA_WORKS_MAX * sizeof(struct rr_ethash_gpu_result)},
        {&slot->candidates, CUDA_BLOCKS_MAX * sizeof(struct rr_ethash_gpu_candidate)},
        {&slot->checks, RR_ETHASH_GPU_BLOCK * sizeof(struct rr_ethash_gpu_check)},
    };
    for (size_t i = 0; i < RR_COUNT(pairs); i++) {
        code = code != CUDA_OK ? code : pair_new(driver, pairs[i].pair, pairs[i].bytes);
    }
    return code != CUDA_OK ? code : driver->alloc(&slot->counter, sizeof(uint32_t));
}

static void slot_free(const struct cuda_driver *driver, struct cuda_slot *slot)
{
    struct cuda_pair *pairs[] = {&slot->jobs, &slot->block_job, &slot->results, &slot->candidates,
                                 &slot->checks};
    for (size_t i = 0; i < RR_COUNT(pairs); i++) {
        pair_free(driver, pairs[i]);
    }
    if (slot->counter != 0) {
        (void)driver->release(slot->counter);
    }
    if (slot->end != NULL) {
        (void)driver->event_destroy(slot->end);
    }
    if (slot->start != NULL) {
        (void)driver->event_destroy(slot->start);
    }
    if (slot->stream != NULL) {
        (void)driver->stream_destroy(slot->stream);
    }
}

static int load_kernels(struct cuda_device *device, const void *image)
{
    int code = device->driver->module_load(&device->module, image);
    for (int i = 0; i < CUDA_KERNELS && code == CUDA_OK; i++) {
        code =
            device->driver->module_function(&device->kernels[i], device->module, kernel_names[i]);
    }
    return code;
}

static int make_streams(struct cuda_device *device)
{
    const struct cuda_driver *driver = device->driver;
    /* Checks go before searches, and both before the next epoch's dataset. */
    int code = driver->stream_create(&device->verify_stream, CUDA_NON_BLOCKING_STREAM, -2);
    code = code != CUDA_OK
               ? code
               : driver->stream_create(&device->prepare_stream, CUDA_NON_BLOCKING_STREAM, 0);
    code = code != CUDA_OK ? code
                           : pair_new(driver, &device->checks,
                                      CUDA_CHECKS_MAX * sizeof(struct rr_ethash_gpu_check));
    for (uint32_t i = 0; i < CUDA_SLOTS && code == CUDA_OK; i++) {
        code = slot_new(driver, &device->slots[i]);
    }
    return code;
}

/* A lost device answers each of these with an error, which changes nothing: the context goes. */
static void close_cuda(void *state)
{
    struct cuda_device *device = state;
    const struct cuda_driver *driver = device->driver;
    if (device->context != NULL) {
        (void)driver->context_use(device->context);
        for (uint32_t i = 0; i < CUDA_SLOTS; i++) {
            slot_free(driver, &device->slots[i]);
        }
        pair_free(driver, &device->checks);
        if (device->prepare_stream != NULL) {
            (void)driver->stream_destroy(device->prepare_stream);
        }
        if (device->verify_stream != NULL) {
            (void)driver->stream_destroy(device->verify_stream);
        }
        if (device->module != NULL) {
            (void)driver->module_unload(device->module);
        }
        (void)driver->context_destroy(device->context);
    }
    rr_free(device);
}

static enum rr_err open_cuda(void **out, struct hash_opened *opened,
                             const struct rr_hash_device *which, const struct hash_open *how,
                             struct rr_fault *fault)
{
    char why_not[200];
    int version = 0;
    const void *image = cuda_image(&version);
    if (image == NULL) {
        return rr_fail(fault, RR_ERR_UNSUPPORTED, "%s: built without nvcc", which->id);
    }
    const struct cuda_driver *driver = cuda_driver_get(why_not);
    if (driver == NULL) {
        return rr_fail(fault, RR_ERR_UNSUPPORTED, "%s: %s", which->id, why_not);
    }
    struct cuda_device *device = rr_alloc(sizeof(*device));
    device->driver = driver;
    device->blocks_max = CUDA_BLOCKS_MAX;
    device->memory_bytes_max = how->memory_bytes_max;
    (void)snprintf(device->name, sizeof(device->name), "%s", which->name);
    enum rr_err err = find(&device->ordinal, driver, which->id, version, fault);
    if (err != RR_OK) {
        rr_free(device);
        return err;
    }
    int handle = 0;
    int units = 0;
    int major = 0;
    int minor = 0;
    int code = driver->device_get(&handle, device->ordinal);
    code = code != CUDA_OK ? code : driver->device_attribute(&units, CUDA_ATTRIBUTE_UNITS, handle);
    code = code != CUDA_OK ? code : driver->device_attribute(&major, CUDA_ATTRIBUTE_MAJOR, handle);
    code = code != CUDA_OK ? code : driver->device_attribute(&minor, CUDA_ATTRIBUTE_MINOR, handle);
    code = code != CUDA_OK ? code
                           : driver->context_create(&device->context, CUDA_BLOCKING_SYNC, handle);
    device->units = units > 0 ? (uint32_t)units : 1;
    device->compute = major * 10 + minor;
    err = cuda_result(device, code, "its context", fault);
    if (err == RR_OK) {
        err = cuda_result(device, load_kernels(device, image), "the kernels", fault);
    }
    if (err == RR_OK) {
        err = cuda_result(device, make_streams(device), "streams and their buffers", fault);
    }
    if (err != RR_OK) {
        close_cuda(device);
        return err;
    }
    *opened = (struct hash_opened){.slots = CUDA_SLOTS,
                                   .works_max = CUDA_WORKS_MAX,
                                   .hashes_first = device->units * 8 * RR_ETHASH_GPU_BLOCK,
                                   .hashes_step = RR_ETHASH_GPU_BLOCK};
    *out = device;
    return RR_OK;
}

/* ---- dataset ------------------------------------------------------------------------------------
 */
/* Refuses what does not fit before anything is allocated, with both figures. */
static enum rr_err check_memory(struct cuda_device *device, uint64_t need, struct rr_fault *fault)
{
    size_t free_bytes = 0;
    size_t all_bytes = 0;
    enum rr_err err = cuda_result(device, device->driver->memory_info(&free_bytes, &all_bytes),
                                  "its memory's size", fault);
    if (err != RR_OK) {
        return err;
    }
    uint64_t room = free_bytes > RESERVE_BYTES ? free_bytes - RESERVE_BYTES : 0;
    const char *whose = "free";
    if (device->memory_bytes_max != 0) {
        uint64_t used = atomic_load(&device->used_bytes);
        uint64_t allowed = device->memory_bytes_max > used ? device->memory_bytes_max - used : 0;
        whose = allowed < room ? "allowed" : whose;
        room = allowed < room ? allowed : room;
    }
    if (need > room) {
        return rr_fail(fault, RR_ERR_MEMORY,
                       "this epoch's cache and dataset need %" PRIu64 " MiB on %s, where %" PRIu64
                       " MiB are %s; close what else uses it, or take another device",
                       need >> 20, device->name, room >> 20, whose);
    }
    return RR_OK;
}

static enum rr_err build(struct cuda_epoch *epoch, cuda_address cache,
                         const struct hash_setup *setup, struct rr_fault *fault)
{
    struct cuda_device *device = epoch->device;
    uint32_t nodes = 2 * epoch->params.dataset_items;
    for (uint32_t first = 0; first < nodes;) {
        uint32_t count = nodes - first < SLICE_NODES ? nodes - first : SLICE_NODES;
        struct rr_ethash_gpu_build arguments = {
            .cache = cuda_pointer(cache),
            .dataset = cuda_pointer(epoch->dataset),
            .cache_items = rr_ethash_gpu_modulus(epoch->params.cache_items),
            .first = first,
            .count = count};
        if (setup->cancel != NULL && atomic_load(setup->cancel)) {
            return rr_fail(fault, RR_ERR_CANCELLED, "building the dataset on %s was cancelled",
                           device->name);
        }
        int code = cuda_launch(device, CUDA_KERNEL_build, (count + 127) / 128, 128, &arguments,
                               device->prepare_stream);
        code = code != CUDA_OK ? code : device->driver->stream_wait(device->prepare_stream);
        enum rr_err err = cuda_result(device, code, "building the dataset", fault);
        if (err != RR_OK) {
            return err;
        }
        first += count;
    }
    return RR_OK;
}

/* Rows spread over the dataset, made again by the law: wrong clocks show here. */
static enum rr_err sample(struct cuda_epoch *epoch, struct rr_fault *fault)
{
    struct cuda_device *device = epoch->device;
    struct rr_ethash_node(*made)[2] = rr_alloc(ROWS_SAMPLED * sizeof(*made));
    uint32_t rows = epoch->params.dataset_items;
    int code = CUDA_OK;
    uint32_t row_of[ROWS_SAMPLED];
    for (uint32_t i = 0; i < ROWS_SAMPLED && code == CUDA_OK; i++) {
        row_of[i] = (uint32_t)((uint64_t)(rows - 1) * i / (ROWS_SAMPLED - 1));
        code = device->driver->to_host(made[i], epoch->dataset + row_of[i] * ROW_BYTES, ROW_BYTES,
                                       device->prepare_stream);
    }
    code = code != CUDA_OK ? code : device->driver->stream_wait(device->prepare_stream);
    enum rr_err err = cuda_result(device, code, "reading rows of the dataset", fault);
    for (uint32_t i = 0; i < ROWS_SAMPLED && err == RR_OK; i++) {
        struct rr_ethash_node law[2];
        rr_ethash_item(law, hash_light_cache(epoch->light), epoch->params.cache_items, row_of[i]);
        if (memcmp(law, made[i], sizeof(law)) != 0) {
            err = rr_fail(fault, RR_ERR_DAMAGED,
                          "row %" PRIu32 " of the dataset on %s is wrong; lower its clocks, then "
                          "restart it",
                          row_of[i], device->name);
        }
    }
    rr_free(made);
    return err;
}

static void release(void *state)
{
    struct cuda_epoch *epoch = state;
    struct cuda_device *device = epoch->device;
    if (epoch->dataset != 0) {
        (void)device->driver->context_use(device->context);
        (void)device->driver->release(epoch->dataset);
        (void)atomic_fetch_sub(&device->used_bytes, epoch->bytes);
    }
    rr_free(epoch);
}

static enum rr_err make(struct cuda_epoch *epoch, const struct hash_setup *setup,
                        struct rr_fault *fault)
{
    struct cuda_device *device = epoch->device;
    const struct cuda_driver *driver = device->driver;
    uint64_t cache_bytes = setup->params.cache_items * NODE_BYTES;
    cuda_address cache = 0;
    enum rr_err err = check_memory(device, cache_bytes + epoch->bytes, fault);
    if (err != RR_OK) {
        return err;
    }
    err = cuda_result(device, driver->alloc(&epoch->dataset, epoch->bytes), "the dataset", fault);
    if (err != RR_OK) {
        epoch->dataset = 0;
        return err;
    }
    (void)atomic_fetch_add(&device->used_bytes, epoch->bytes);
    err = cuda_result(device, driver->alloc(&cache, cache_bytes), "the light cache", fault);
    if (err != RR_OK) {
        return err;
    }
    int code = driver->to_device(cache, hash_light_cache(setup->light), cache_bytes,
                                 device->prepare_stream);
    err = cuda_result(device, code, "copying the light cache", fault);
    if (err == RR_OK) {
        err = build(epoch, cache, setup, fault);
    }
    if (err == RR_OK) {
        err = sample(epoch, fault);
    }
    /* The copy may still run after an early end. */
    (void)driver->stream_wait(device->prepare_stream);
    (void)driver->release(cache);
    return err;
}

static enum rr_err prepare(void **out, void *state, const struct hash_setup *setup,
                           struct rr_fault *fault)
{
    struct cuda_device *device = state;
    enum rr_err err = cuda_enter(device, fault);
    if (err != RR_OK) {
        return err;
    }
    struct cuda_epoch *epoch = rr_alloc(sizeof(*epoch));
    epoch->device = device;
    epoch->params = setup->params;
    epoch->light = setup->light;
    epoch->bytes = setup->params.dataset_items * ROW_BYTES;
    epoch->way = cuda_way_of(device, setup->tuning.text);
    err = make(epoch, setup, fault);
    if (err != RR_OK) {
        release(epoch);
        return err;
    }
    char way[96];
    cuda_way_text(way, &epoch->way);
    (void)snprintf(epoch->text, sizeof(epoch->text), "dataset, %.80s", way);
    *out = epoch;
    return RR_OK;
}

static const char *text(const void *epoch)
{
    return ((const struct cuda_epoch *)epoch)->text;
}

const struct hash_backend hash_backend_cuda = {
    .name = "cuda",
    .list = list,
    .open = open_cuda,
    .prepare = prepare,
    .search = cuda_search,
    .verify = cuda_verify,
    .tune = cuda_tune,
    .text = text,
    .release = release,
    .close = close_cuda,
};

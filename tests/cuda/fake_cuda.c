/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cuda/fake_cuda.h"
#include "cuda/emulator.h"
#include "ethash/ethash_gpu.h"
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define EXPORT __attribute__((visibility("default")))

#define OK              0
#define INVALID_VALUE   1
#define OUT_OF_MEMORY   2
#define INVALID_CONTEXT 201
#define INVALID_IMAGE   200
#define NOT_FOUND       500
#define NOT_READY       600

static struct fake_cuda fake;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

struct context {
    int device;
    atomic_int lost; /* the code that everything answers from now on */
};
enum op_kind { COPY, FILL, LAUNCH, RECORD };
struct event {
    double ms;
    bool reached;
};
struct op {
    enum op_kind kind;
    struct op *next;
    void *to;
    const void *from;
    size_t bytes;
    uint32_t value;
    const struct emulated_kernel *kernel;
    uint32_t blocks, threads;
    uint8_t arguments[256];
    struct event *event;
};
struct stream {
    struct context *context;
    struct op *first, *last;
};
struct allocation {
    uint8_t *at;
    size_t bytes;
    struct context *context;
    struct allocation *next;
};
static struct allocation *allocations;
static _Thread_local struct context *current;

EXPORT struct fake_cuda *fake_cuda_reset_state(void);
struct fake_cuda *fake_cuda_reset_state(void)
{
    memset(&fake, 0, sizeof(fake));
    fake.devices = 1;
    fake.version = 13000;
    fake.units = 2;
    for (int i = 0; i < FAKE_DEVICES_MAX; i++) {
        fake.compute[i] = 90;
    }
    fake.memory_bytes = UINT64_C(512) << 20;
    fake.fail_after = -1;
    fake.fail_code = 719;
    return &fake;
}
__attribute__((constructor)) static void begin(void)
{
    (void)fake_cuda_reset_state();
}

/* ---- without a context --------------------------------------------------------------------------
 */
static int cu_init(unsigned flags)
{
    return flags == 0 ? fake.init_code : INVALID_VALUE;
}
static int cu_driver_version(int *version)
{
    *version = fake.version;
    return OK;
}
static int cu_error_name(int code, const char **text)
{
    *text = code == 719   ? "CUDA_ERROR_LAUNCH_FAILED"
            : code == 2   ? "CUDA_ERROR_OUT_OF_MEMORY"
            : code == 222 ? "CUDA_ERROR_UNSUPPORTED_PTX_VERSION"
            : code == 100 ? "CUDA_ERROR_NO_DEVICE"
                          : NULL;
    return *text != NULL ? OK : INVALID_VALUE;
}
static int cu_device_count(int *count)
{
    *count = fake.devices;
    return OK;
}
static int cu_device_get(int *device, int ordinal)
{
    *device = ordinal;
    return ordinal < fake.devices ? OK : 101;
}
static int cu_device_name(char *name, int len, int device)
{
    (void)snprintf(name, (size_t)len, "Emulated device %d", device);
    return OK;
}
static int cu_device_uuid(uint8_t uuid[16], int device)
{
    for (int i = 0; i < 16; i++) {
        uuid[i] = (uint8_t)(16 * device + i);
    }
    return OK;
}
static int cu_device_pci(char *id, int len, int device)
{
    (void)snprintf(id, (size_t)len, "0000:%02x:00.0", (unsigned)device + 1);
    return OK;
}
static int cu_device_memory(size_t *bytes, int device)
{
    (void)device;
    *bytes = fake.memory_bytes;
    return OK;
}
static int cu_device_attribute(int *value, int attribute, int device)
{
    *value = attribute == 16   ? fake.units
             : attribute == 75 ? fake.compute[device] / 10
             : attribute == 76 ? fake.compute[device] % 10
             : attribute == 20 ? fake.mode
             : attribute == 13 ? 1000000
             : attribute == 38 ? 1 << 20
                               : -1;
    return *value >= 0 ? OK : INVALID_VALUE;
}

/* ---- contexts, modules, memory ------------------------------------------------------------------
 */
static int cu_context_create(void **out, unsigned flags, int device)
{
    (void)flags;
    struct context *context = calloc(1, sizeof(*context));
    context->device = device;
    current = context;
    fake.contexts++;
    *out = context;
    return OK;
}
static int cu_context_destroy(void *context)
{
    /* All that lives in a context goes with it; what is left is counted. */
    (void)pthread_mutex_lock(&lock);
    for (struct allocation **at = &allocations; *at != NULL;) {
        struct allocation *gone = *at;
        if (gone->context == context) {
            *at = gone->next;
            free(gone->at);
            free(gone);
        } else {
            at = &gone->next;
        }
    }
    (void)pthread_mutex_unlock(&lock);
    current = current == context ? NULL : current;
    fake.contexts--;
    free(context);
    return OK;
}
static int cu_context_use(void *context)
{
    current = context;
    return OK;
}
static int state_of(const struct context *context)
{
    return context == NULL ? INVALID_CONTEXT : context->lost;
}
static int cu_module_load(void **module, const void *image)
{
    static const uint8_t fatbin[4] = {0x50, 0xed, 0x55, 0xba};
    if (state_of(current) != OK || fake.load_code != OK) {
        return fake.load_code != OK ? fake.load_code : state_of(current);
    }
    if (memcmp(image, "FAKE", 4) != 0 && memcmp(image, fatbin, 4) != 0) {
        return INVALID_IMAGE;
    }
    fake.modules++;
    *module = &fake;
    return OK;
}
static int cu_module_unload(void *module)
{
    (void)module;
    fake.modules--;
    return OK;
}
static int cu_module_function(void **function, void *module, const char *name)
{
    (void)module;
    const struct emulated_kernel *kernel =
        emulated_find(fake.narrow ? emulated_kernels_narrow : emulated_kernels, name);
    kernel = kernel != NULL ? kernel : emulated_find(emulated_probes, name);
    union {
        const struct emulated_kernel *in;
        void *out;
    } handle = {.in = kernel};
    *function = handle.out;
    return kernel != NULL ? OK : NOT_FOUND;
}
static int cu_occupancy(int *blocks, void *function, int threads, size_t shared_bytes)
{
    (void)function;
    (void)shared_bytes;
    *blocks = 512 / threads;
    return OK;
}
static int cu_memory_info(size_t *free_bytes, size_t *all_bytes)
{
    if (state_of(current) != OK) {
        return state_of(current);
    }
    *all_bytes = fake.memory_bytes;
    *free_bytes = fake.memory_bytes - fake.used_bytes[current->device];
    return OK;
}
static int cu_alloc(uint64_t *address, size_t bytes)
{
    if (state_of(current) != OK) {
        return state_of(current);
    }
    if (bytes > fake.memory_bytes - fake.used_bytes[current->device]) {
        return OUT_OF_MEMORY;
    }
    struct allocation *made = calloc(1, sizeof(*made));
    made->at = aligned_alloc(256, (bytes + 255) / 256 * 256);
    made->bytes = bytes;
    made->context = current;
    memset(made->at, 0xcd, bytes);
    (void)pthread_mutex_lock(&lock);
    made->next = allocations;
    allocations = made;
    (void)pthread_mutex_unlock(&lock);
    fake.used_bytes[current->device] += bytes;
    fake.allocations++;
    *address = (uint64_t)(uintptr_t)made->at;
    return OK;
}
static int cu_release(uint64_t address)
{
    (void)pthread_mutex_lock(&lock);
    struct allocation **at = &allocations;
    while (*at != NULL && (uint64_t)(uintptr_t)(*at)->at != address) {
        at = &(*at)->next;
    }
    struct allocation *gone = *at;
    if (gone != NULL) {
        *at = gone->next;
    }
    (void)pthread_mutex_unlock(&lock);
    if (gone == NULL) {
        return INVALID_VALUE;
    }
    fake.used_bytes[gone->context->device] -= gone->bytes;
    fake.allocations--;
    free(gone->at);
    free(gone);
    return state_of(current);
}
static int cu_alloc_host(void **address, size_t bytes)
{
    if (state_of(current) != OK) {
        return state_of(current);
    }
    *address = malloc(bytes);
    memset(*address, 0xcd, bytes);
    fake.allocations++;
    return OK;
}
static int cu_release_host(void *address)
{
    free(address);
    fake.allocations--;
    return state_of(current);
}
/* Whether a copy stays inside one allocation of the running context. */
static bool inside(uint64_t address, size_t bytes)
{
    bool found = false;
    (void)pthread_mutex_lock(&lock);
    for (const struct allocation *at = allocations; at != NULL; at = at->next) {
        uint64_t first = (uint64_t)(uintptr_t)at->at;
        found = found || (at->context == current && address >= first &&
                          address + bytes <= first + at->bytes);
    }
    (void)pthread_mutex_unlock(&lock);
    return found;
}

/* ---- streams ------------------------------------------------------------------------------------
 */
static int cu_stream_create(void **out, unsigned flags, int priority)
{
    (void)flags;
    (void)priority;
    if (state_of(current) != OK) {
        return state_of(current);
    }
    struct stream *stream = calloc(1, sizeof(*stream));
    stream->context = current;
    fake.streams++;
    *out = stream;
    return OK;
}
static int cu_stream_destroy(void *handle)
{
    struct stream *stream = handle;
    while (stream->first != NULL) {
        struct op *op = stream->first;
        stream->first = op->next;
        free(op);
    }
    free(stream);
    fake.streams--;
    return OK;
}
static int queue(void *handle, const struct op *op)
{
    struct stream *stream = handle;
    if (stream == NULL || stream->context != current || state_of(current) != OK) {
        return current != NULL && stream != NULL && stream->context == current ? state_of(current)
                                                                               : INVALID_VALUE;
    }
    struct op *made = malloc(sizeof(*made));
    *made = *op;
    made->next = NULL;
    if (stream->first == NULL) {
        stream->first = made;
    } else {
        stream->last->next = made;
    }
    stream->last = made;
    return OK;
}
static void *at_address(uint64_t address)
{
    return (void *)(uintptr_t)address;
}
static int cu_to_device(uint64_t to, const void *from, size_t bytes, void *stream)
{
    struct op op = {.kind = COPY, .to = at_address(to), .from = from, .bytes = bytes};
    return inside(to, bytes) ? queue(stream, &op) : INVALID_VALUE;
}
static int cu_to_host(void *to, uint64_t from, size_t bytes, void *stream)
{
    struct op op = {.kind = COPY, .to = to, .from = at_address(from), .bytes = bytes};
    return inside(from, bytes) ? queue(stream, &op) : INVALID_VALUE;
}
static int cu_fill(uint64_t to, unsigned value, size_t words, void *stream)
{
    struct op op = {.kind = FILL, .to = at_address(to), .bytes = words, .value = value};
    return inside(to, 4 * words) ? queue(stream, &op) : INVALID_VALUE;
}
static int cu_launch(void *function, unsigned grid_x, unsigned grid_y, unsigned grid_z,
                     unsigned block_x, unsigned block_y, unsigned block_z, unsigned shared_bytes,
                     void *stream, void **parameters, void **extra)
{
    (void)extra;
    const struct emulated_kernel *kernel = function;
    if (grid_x == 0 || grid_y != 1 || grid_z != 1 || block_y != 1 || block_z != 1 ||
        shared_bytes != 0) {
        return INVALID_VALUE;
    }
    fake.launches++;
    if (fake.fail_after >= 0 && fake.fail_after-- == 0) {
        if (fake.fail_gently) {
            return fake.fail_code;
        }
        current->lost = fake.fail_code;
    }
    struct op op = {.kind = LAUNCH, .kernel = kernel, .blocks = grid_x, .threads = block_x};
    memcpy(op.arguments, parameters[0], kernel->arguments_bytes);
    /* A launch that fails on the device is taken at first; the wait tells. */
    return state_of(current) == OK ? queue(stream, &op) : OK;
}
static int cu_event_create(void **event, unsigned flags)
{
    (void)flags;
    *event = calloc(1, sizeof(struct event));
    fake.events++;
    return OK;
}
static int cu_event_destroy(void *event)
{
    free(event);
    fake.events--;
    return OK;
}
static int cu_event_record(void *event, void *stream)
{
    ((struct event *)event)->reached = false;
    struct op op = {.kind = RECORD, .event = event};
    return queue(stream, &op);
}
static int cu_event_elapsed(float *ms, void *start, void *end)
{
    const struct event *a = start;
    const struct event *b = end;
    *ms = (float)(b->ms - a->ms);
    return a->reached && b->reached ? OK : NOT_READY;
}

static void damage(const struct op *op)
{
    if (strstr(op->kernel->name, "build") != NULL) {
        struct rr_ethash_gpu_build a;
        memcpy(&a, op->arguments, sizeof(a));
        a.dataset[4 * (size_t)a.first].word[1] ^= 1;
    } else if (strstr(op->kernel->name, "verify") != NULL) {
        struct rr_ethash_gpu_verify a;
        memcpy(&a, op->arguments, sizeof(a));
        a.checks[0].final[3] ^= 1;
    } else {
        struct rr_ethash_gpu_search a;
        memcpy(&a, op->arguments, sizeof(a));
        for (uint32_t i = 0; i < a.blocks; i++) {
            a.candidates[i].offset ^= 1; /* the neighbour's nonce */
        }
    }
}

static void run(const struct op *op)
{
    struct timespec now;
    switch (op->kind) {
    case COPY:
        memcpy(op->to, op->from, op->bytes);
        break;
    case FILL:
        for (size_t i = 0; i < op->bytes; i++) {
            ((uint32_t *)op->to)[i] = op->value;
        }
        break;
    case LAUNCH:
        emulator_launch(op->kernel, op->blocks, op->threads, op->arguments);
        if (fake.wrong != NULL && strstr(op->kernel->name, fake.wrong) != NULL) {
            damage(op);
        }
        break;
    case RECORD:
        (void)clock_gettime(CLOCK_MONOTONIC, &now);
        op->event->ms = (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
        op->event->reached = true;
        break;
    }
}

static int cu_stream_wait(void *handle)
{
    struct stream *stream = handle;
    if (stream->context != current) {
        return INVALID_CONTEXT;
    }
    while (stream->first != NULL) {
        struct op *op = stream->first;
        stream->first = op->next;
        if (state_of(current) == OK) {
            run(op);
        }
        free(op);
    }
    return state_of(current);
}

/* ---- entry points -------------------------------------------------------------------------------
 */
struct entry {
    const char *symbol;
    int version;
    void (*call)(void);
};
#define ENTRY(symbol, version, call)                                                               \
    {                                                                                              \
        symbol, version, (void (*)(void))(call)                                                    \
    }
static const struct entry entries[] = {
    ENTRY("cuInit", 2000, cu_init),
    ENTRY("cuDriverGetVersion", 2020, cu_driver_version),
    ENTRY("cuGetErrorName", 6000, cu_error_name),
    ENTRY("cuDeviceGetCount", 2000, cu_device_count),
    ENTRY("cuDeviceGet", 2000, cu_device_get),
    ENTRY("cuDeviceGetName", 2000, cu_device_name),
    ENTRY("cuDeviceGetUuid", 9020, cu_device_uuid),
    ENTRY("cuDeviceGetPCIBusId", 4010, cu_device_pci),
    ENTRY("cuDeviceTotalMem", 3020, cu_device_memory),
    ENTRY("cuDeviceGetAttribute", 2000, cu_device_attribute),
    ENTRY("cuCtxCreate", 3020, cu_context_create),
    ENTRY("cuCtxDestroy", 4000, cu_context_destroy),
    ENTRY("cuCtxSetCurrent", 4000, cu_context_use),
    ENTRY("cuModuleLoadData", 2000, cu_module_load),
    ENTRY("cuModuleUnload", 2000, cu_module_unload),
    ENTRY("cuModuleGetFunction", 2000, cu_module_function),
    ENTRY("cuOccupancyMaxActiveBlocksPerMultiprocessor", 6050, cu_occupancy),
    ENTRY("cuMemGetInfo", 3020, cu_memory_info),
    ENTRY("cuMemAlloc", 3020, cu_alloc),
    ENTRY("cuMemFree", 3020, cu_release),
    ENTRY("cuMemAllocHost", 3020, cu_alloc_host),
    ENTRY("cuMemFreeHost", 2000, cu_release_host),
    ENTRY("cuMemcpyHtoDAsync", 3020, cu_to_device),
    ENTRY("cuMemcpyDtoHAsync", 3020, cu_to_host),
    ENTRY("cuMemsetD32Async", 3020, cu_fill),
    ENTRY("cuStreamCreateWithPriority", 5050, cu_stream_create),
    ENTRY("cuStreamDestroy", 4000, cu_stream_destroy),
    ENTRY("cuStreamSynchronize", 2000, cu_stream_wait),
    ENTRY("cuEventCreate", 2000, cu_event_create),
    ENTRY("cuEventDestroy", 4000, cu_event_destroy),
    ENTRY("cuEventRecord", 2000, cu_event_record),
    ENTRY("cuEventElapsedTime", 2000, cu_event_elapsed),
    ENTRY("cuLaunchKernel", 4000, cu_launch),
};

/* The ABI that was asked for, and no other: a caller with another version in mind finds nothing. */
static int entry_of(const char *symbol, void **out, int version)
{
    for (size_t i = 0; i < sizeof(entries) / sizeof(entries[0]); i++) {
        bool missing = fake.missing != NULL && strcmp(symbol, fake.missing) == 0;
        if (!missing && strcmp(entries[i].symbol, symbol) == 0 && entries[i].version == version) {
            memcpy(out, &entries[i].call, sizeof(*out));
            return OK;
        }
    }
    *out = NULL;
    return NOT_FOUND;
}

EXPORT int cuGetProcAddress(const char *symbol, void **out, int version, uint64_t flags);
int cuGetProcAddress(const char *symbol, void **out, int version, uint64_t flags)
{
    (void)flags;
    return entry_of(symbol, out, version);
}
EXPORT int cuGetProcAddress_v2(const char *symbol, void **out, int version, uint64_t flags,
                               int *status);
int cuGetProcAddress_v2(const char *symbol, void **out, int version, uint64_t flags, int *status)
{
    int code = cuGetProcAddress(symbol, out, version, flags);
    *status = code == OK ? 0 : 1;
    return code;
}

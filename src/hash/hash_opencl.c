/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The backend `opencl`: devices, programs, datasets. */
#include "hash/hash_opencl.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define ROWS_SAMPLED 64
#define ITEMS        64 /* of a work-group of `dataset` and `verify` */
#define ROW_BYTES    UINT64_C(128)
#define NODE_BYTES   UINT64_C(64)

/* kernels/ethash/ethash*.cl */
extern const char opencl_source_common[];
extern const char opencl_source_dataset[];
extern const char opencl_source_dataset_lots[]; /* behind it, for processors */
extern const char opencl_source_thread[];
extern const char opencl_source_lanes[];
extern const char opencl_source_lots[];

/* Raced by opencl_tune; the usual ones are known to opencl_shape_find. */
const struct opencl_shape opencl_shapes[OPENCL_SHAPES] = {
    {"lanes", 64, 64, 2},   {"lanes", 64, 64, 1},    {"lanes", 64, 64, 4}, {"lanes", 128, 128, 1},
    {"lanes", 128, 128, 2}, {"lanes", 256, 256, 1},  {"lots", 128, 16, 1}, {"lots", 64, 8, 1},
    {"thread", 64, 64, 1},  {"thread", 128, 128, 1},
};
#define SHAPE_OF_GPUS       (&opencl_shapes[0])
#define SHAPE_OF_PROCESSORS (&opencl_shapes[6])

void opencl_shape_text(char text[static 96], const struct opencl_shape *shape)
{
    (void)snprintf(text, 96, "variant=%s group=%" PRIu32 " pair=%" PRIu32, shape->variant,
                   shape->group, shape->pair);
}

const struct opencl_shape *opencl_shape_find(const struct opencl_device *device, const char *text)
{
    for (size_t i = 0; i < OPENCL_SHAPES; i++) {
        char known[96];
        opencl_shape_text(known, &opencl_shapes[i]);
        if (strcmp(known, text) == 0 && opencl_shapes[i].items <= device->items_max) {
            return &opencl_shapes[i];
        }
    }
    return device->processor ? SHAPE_OF_PROCESSORS : SHAPE_OF_GPUS;
}

enum rr_err opencl_failed(const struct opencl_device *device, const char *what, cl_int code,
                          struct rr_fault *fault)
{
    char text[32];
    bool memory = code == CL_MEM_OBJECT_ALLOCATION_FAILURE || code == CL_OUT_OF_HOST_MEMORY ||
                  code == CL_INVALID_BUFFER_SIZE;
    if (memory) {
        return rr_fail(fault, RR_ERR_MEMORY,
                       "OpenCL device %s has no memory for %s (%s); close what else uses it",
                       device->name, what, opencl_error_text(code, text));
    }
    return rr_fail(fault, RR_ERR_IO,
                   "OpenCL device %s failed at %s (%s); look at the kernel's log, at its clocks "
                   "and its power, then restart it",
                   device->name, what, opencl_error_text(code, text));
}

uint32_t opencl_magic(uint32_t n)
{
    return n == 1 ? UINT32_MAX : (uint32_t)((UINT64_C(1) << 32) / n);
}

void opencl_argument_u32(const struct opencl_api *api, cl_kernel kernel, cl_uint index,
                         uint32_t value, cl_int *code)
{
    if (*code == CL_SUCCESS) {
        *code = api->clSetKernelArg(kernel, index, sizeof(value), &value);
    }
}

void opencl_argument_buffer(const struct opencl_api *api, cl_kernel kernel, cl_uint index,
                            cl_mem buffer, cl_int *code)
{
    if (*code == CL_SUCCESS) {
        *code = api->clSetKernelArg(kernel, index, sizeof(cl_mem), &buffer);
    }
}

/* ---- programs -----------------------------------------------------------------------------------
 */
/* The compiler's words from the first error on, in one line. */
static enum rr_err build_failed(const struct opencl_device *device, cl_program program, cl_int code,
                                struct rr_fault *fault)
{
    const struct opencl_api *api = device->api;
    char text[32];
    char log[2048] = "";
    size_t len = 0;
    if (api->clGetProgramBuildInfo(program, device->id, CL_PROGRAM_BUILD_LOG, 0, NULL, &len) ==
            CL_SUCCESS &&
        len > 0 && len < (1u << 20)) {
        char *whole = rr_alloc(len + 1);
        if (api->clGetProgramBuildInfo(program, device->id, CL_PROGRAM_BUILD_LOG, len, whole,
                                       NULL) == CL_SUCCESS) {
            const char *error = strstr(whole, "error");
            (void)snprintf(log, sizeof(log), "%s", error != NULL ? error : whole);
        }
        rr_free(whole);
    }
    for (char *c = log; *c != '\0'; c++) {
        *c = *c == '\n' || *c == '\r' || *c == '\t' ? ' ' : *c;
    }
    return rr_fail(fault, RR_ERR_UNSUPPORTED,
                   "OpenCL device %.60s cannot compile the kernels (%s); install another driver. "
                   "Its compiler says: %.160s",
                   device->name, opencl_error_text(code, text), log[0] != '\0' ? log : "nothing");
}

static cl_kernel make_kernel(const struct opencl_device *device, cl_program program,
                             const char *name, size_t items, cl_int *code)
{
    if (*code != CL_SUCCESS) {
        return NULL;
    }
    const struct opencl_api *api = device->api;
    cl_kernel kernel = api->clCreateKernel(program, name, code);
    size_t most = 0;
    if (*code == CL_SUCCESS) {
        *code = api->clGetKernelWorkGroupInfo(kernel, device->id, CL_KERNEL_WORK_GROUP_SIZE,
                                              sizeof(most), &most, NULL);
    }
    if (*code == CL_SUCCESS && most < items) {
        *code = CL_INVALID_WORK_GROUP_SIZE; /* its registers or local memory do not suffice */
    }
    return kernel; /* also with an error: the caller clears it */
}

/* The common source with another behind it, and perhaps a third. */
static enum rr_err make_program(cl_program *out, const struct opencl_device *device,
                                const char *source, const char *third, const char *options,
                                struct rr_fault *fault)
{
    const struct opencl_api *api = device->api;
    const char *sources[3] = {opencl_source_common, source, third};
    cl_int code = CL_SUCCESS;
    cl_program program = api->clCreateProgramWithSource(device->context, third != NULL ? 3 : 2,
                                                        sources, NULL, &code);
    if (code != CL_SUCCESS) {
        return opencl_failed(device, "its program", code, fault);
    }
    code = api->clBuildProgram(program, 1, &device->id, options, NULL, NULL);
    if (code != CL_SUCCESS) {
        enum rr_err err = build_failed(device, program, code, fault);
        (void)api->clReleaseProgram(program);
        return err;
    }
    *out = program;
    return RR_OK;
}

static void clear_kernel(cl_kernel kernel, const struct opencl_api *api)
{
    if (kernel != NULL) {
        (void)api->clReleaseKernel(kernel);
    }
}

enum rr_err opencl_program_init(struct opencl_program *out, const struct opencl_device *device,
                                const struct opencl_shape *shape, struct rr_fault *fault)
{
    const char *source = opencl_source_thread;
    if (strcmp(shape->variant, "lanes") == 0) {
        source = opencl_source_lanes;
    } else if (strcmp(shape->variant, "lots") == 0) {
        source = opencl_source_lots;
    }
    char options[160];
    (void)snprintf(options, sizeof(options),
                   "-cl-std=CL1.2 -DRR_GROUP=%" PRIu32 " -DRR_PAIR=%" PRIu32
                   " -DRR_KEY_MASK=0x%" PRIx64 "UL",
                   shape->group, shape->pair, device->api->key_mask);
    struct opencl_program made = {.shape = shape};
    enum rr_err err = make_program(&made.program, device, source, NULL, options, fault);
    if (err != RR_OK) {
        return err;
    }
    cl_int code = CL_SUCCESS;
    for (size_t i = 0; i < OPENCL_SLOTS; i++) {
        made.search[i] = make_kernel(device, made.program, "search", shape->items, &code);
    }
    if (code != CL_SUCCESS) {
        err = opencl_failed(device, "its search", code, fault);
        opencl_program_clear(&made, device->api);
        return err;
    }
    *out = made;
    return RR_OK;
}

void opencl_program_clear(struct opencl_program *program, const struct opencl_api *api)
{
    for (size_t i = 0; i < OPENCL_SLOTS; i++) {
        clear_kernel(program->search[i], api);
    }
    if (program->program != NULL) {
        (void)api->clReleaseProgram(program->program);
    }
    *program = (struct opencl_program){0};
}

/* ---- queues -------------------------------------------------------------------------------------
 */
static cl_mem make_buffer(const struct opencl_device *device, cl_mem_flags flags, uint64_t bytes,
                          cl_int *code)
{
    if (*code != CL_SUCCESS) {
        return NULL;
    }
    return device->api->clCreateBuffer(device->context, flags, (size_t)bytes, NULL, code);
}

static void clear_buffer(cl_mem buffer, const struct opencl_api *api)
{
    if (buffer != NULL) {
        (void)api->clReleaseMemObject(buffer);
    }
}

static enum rr_err init_queue(struct opencl_queue *out, const struct opencl_device *device,
                              struct rr_fault *fault)
{
    cl_int code = CL_SUCCESS;
    out->host_works = rr_alloc_array(OPENCL_WORKS_MAX, sizeof(*out->host_works));
    out->host_map = rr_alloc_array(OPENCL_GROUPS_MAX, sizeof(*out->host_map));
    out->host_candidates = rr_alloc_array(OPENCL_GROUPS_MAX, sizeof(*out->host_candidates));
    out->host_checks = rr_alloc_array(OPENCL_CHECKS_MAX, sizeof(*out->host_checks));
    out->host_hashes = rr_alloc_array(OPENCL_CHECKS_MAX, sizeof(*out->host_hashes));
    out->doubts = rr_alloc_array(OPENCL_CHECKS_MAX, sizeof(*out->doubts));
    out->queue = device->api->clCreateCommandQueue(device->context, device->id, 0, &code);
    out->works =
        make_buffer(device, CL_MEM_READ_ONLY, OPENCL_WORKS_MAX * sizeof(*out->host_works), &code);
    out->map =
        make_buffer(device, CL_MEM_READ_ONLY, OPENCL_GROUPS_MAX * sizeof(*out->host_map), &code);
    out->candidates = make_buffer(device, CL_MEM_WRITE_ONLY,
                                  OPENCL_GROUPS_MAX * sizeof(*out->host_candidates), &code);
    out->checks =
        make_buffer(device, CL_MEM_READ_ONLY, OPENCL_CHECKS_MAX * sizeof(*out->host_checks), &code);
    out->hashes = make_buffer(device, CL_MEM_WRITE_ONLY,
                              OPENCL_CHECKS_MAX * sizeof(*out->host_hashes), &code);
    out->verify = make_kernel(device, device->common, "verify", ITEMS, &code);
    return code == CL_SUCCESS ? RR_OK : opencl_failed(device, "its queues", code, fault);
}

static void clear_queue(struct opencl_queue *queue, const struct opencl_api *api)
{
    clear_kernel(queue->verify, api);
    clear_buffer(queue->works, api);
    clear_buffer(queue->map, api);
    clear_buffer(queue->candidates, api);
    clear_buffer(queue->checks, api);
    clear_buffer(queue->hashes, api);
    if (queue->queue != NULL) {
        (void)api->clReleaseCommandQueue(queue->queue);
    }
    rr_free(queue->host_works);
    rr_free(queue->host_map);
    rr_free(queue->host_candidates);
    rr_free(queue->host_checks);
    rr_free(queue->host_hashes);
    rr_free(queue->doubts);
    *queue = (struct opencl_queue){0};
}

/* ---- open and close -----------------------------------------------------------------------------
 */
static void close_device(void *state)
{
    struct opencl_device *device = state;
    for (size_t i = 0; i < OPENCL_QUEUES; i++) {
        clear_queue(&device->queues[i], device->api);
    }
    if (device->common != NULL) {
        (void)device->api->clReleaseProgram(device->common);
    }
    if (device->context != NULL) {
        (void)device->api->clReleaseContext(device->context);
    }
    (void)pthread_mutex_destroy(&device->lock);
    rr_free(device);
}

static cl_int read_facts(struct opencl_device *device, const struct rr_hash_device *which)
{
    const struct opencl_api *api = device->api;
    cl_ulong buffer_bytes_max = 0;
    cl_int code = api->clGetDeviceInfo(device->id, CL_DEVICE_MAX_MEM_ALLOC_SIZE,
                                       sizeof(buffer_bytes_max), &buffer_bytes_max, NULL);
    if (code == CL_SUCCESS) {
        code = api->clGetDeviceInfo(device->id, CL_DEVICE_MAX_WORK_GROUP_SIZE,
                                    sizeof(device->items_max), &device->items_max, NULL);
    }
    memcpy(device->name, which->name, sizeof(device->name));
    device->processor = which->processor;
    device->units = which->units > 0 ? which->units : 1;
    device->buffer_bytes_max = buffer_bytes_max;
    device->memory_bytes = which->memory_bytes;
    return code;
}

static enum rr_err open_device(void **out, struct hash_opened *opened,
                               const struct rr_hash_device *which, const struct hash_open *how,
                               struct rr_fault *fault)
{
    char why_not[200];
    const struct opencl_api *api = opencl_api_get(why_not);
    if (api == NULL) {
        return rr_fail(fault, RR_ERR_UNSUPPORTED, "%s", why_not);
    }
    struct opencl_device *device = rr_alloc(sizeof(*device));
    device->api = api;
    (void)pthread_mutex_init(&device->lock, NULL);
    enum rr_err err = opencl_find(&device->id, api, which->id, fault);
    if (err == RR_OK) {
        cl_int code = read_facts(device, which);
        if (code == CL_SUCCESS) {
            device->context = api->clCreateContext(NULL, 1, &device->id, NULL, NULL, &code);
        }
        err = code == CL_SUCCESS ? RR_OK : opencl_failed(device, "opening it", code, fault);
    }
    if (how->memory_bytes_max > 0 && how->memory_bytes_max < device->memory_bytes) {
        device->memory_bytes = how->memory_bytes_max;
    }
    if (err == RR_OK) {
        err = make_program(&device->common, device, opencl_source_dataset,
                           device->processor ? opencl_source_dataset_lots : NULL,
                           "-cl-std=CL1.2 -DRR_KEY_MASK=0", fault);
    }
    for (size_t i = 0; i < OPENCL_QUEUES && err == RR_OK; i++) {
        err = init_queue(&device->queues[i], device, fault);
    }
    if (err != RR_OK) {
        close_device(device);
        return err;
    }
    uint32_t step = 128; /* of every shape but one */
    *opened = (struct hash_opened){
        .slots = OPENCL_SLOTS,
        .works_max = OPENCL_WORKS_MAX,
        .hashes_first = device->processor ? step * device->units : 16 * step * device->units,
        .hashes_step = step,
    };
    *out = device;
    return RR_OK;
}

/* ---- datasets -----------------------------------------------------------------------------------
 */
/* A buffer that is really there: drivers give out what they do not have, until it is written. */
static enum rr_err make_nodes(cl_mem *out, const struct opencl_epoch *epoch, cl_command_queue queue,
                              uint64_t bytes, const char *what, struct rr_fault *fault)
{
    const struct opencl_device *device = epoch->device;
    const struct opencl_api *api = device->api;
    const uint8_t last[NODE_BYTES] = {0};
    cl_int code = CL_SUCCESS;
    cl_mem buffer = make_buffer(device, CL_MEM_READ_WRITE, bytes, &code);
    if (code == CL_SUCCESS) {
        code = api->clEnqueueWriteBuffer(queue, buffer, CL_TRUE, (size_t)(bytes - sizeof(last)),
                                         sizeof(last), last, 0, NULL, NULL);
    }
    if (code == CL_SUCCESS) {
        *out = buffer;
        return RR_OK;
    }
    clear_buffer(buffer, api);
    if (code == CL_OUT_OF_RESOURCES) {
        code = CL_MEM_OBJECT_ALLOCATION_FAILURE; /* said by some when a buffer cannot be placed */
    }
    char size[96];
    (void)snprintf(size, sizeof(size), "%" PRIu64 " MiB of %s (it has %" PRIu64 " MiB in all)",
                   (bytes + (1u << 20) - 1) >> 20, what, device->memory_bytes >> 20);
    return opencl_failed(device, size, code, fault);
}

static enum rr_err check_sizes(struct opencl_epoch *epoch, struct rr_fault *fault)
{
    const struct opencl_device *device = epoch->device;
    uint64_t dataset = ROW_BYTES * epoch->params.dataset_items;
    uint64_t cache = NODE_BYTES * epoch->params.cache_items;
    epoch->low_rows = epoch->params.dataset_items;
    if (dataset > device->buffer_bytes_max) {
        epoch->low_rows = epoch->params.dataset_items - epoch->params.dataset_items / 2;
    }
    uint64_t largest = ROW_BYTES * epoch->low_rows > cache ? ROW_BYTES * epoch->low_rows : cache;
    if (largest > device->buffer_bytes_max) {
        return rr_fail(fault, RR_ERR_MEMORY,
                       "the Ethash dataset of %" PRIu64 " MiB needs buffers of %" PRIu64
                       " MiB and OpenCL device %s gives at most %" PRIu64 " MiB each",
                       dataset >> 20, largest >> 20, device->name, device->buffer_bytes_max >> 20);
    }
    epoch->bytes = dataset + cache;
    return RR_OK;
}

static enum rr_err reserve(struct opencl_epoch *epoch, struct rr_fault *fault)
{
    struct opencl_device *device = epoch->device;
    enum rr_err err = RR_OK;
    (void)pthread_mutex_lock(&device->lock);
    uint64_t left =
        device->memory_bytes > device->used_bytes ? device->memory_bytes - device->used_bytes : 0;
    if (epoch->bytes > left) {
        err = rr_fail(fault, RR_ERR_MEMORY,
                      "the Ethash dataset and its cache need %" PRIu64
                      " MiB and OpenCL device %s has %" PRIu64 " MiB left of %" PRIu64 " MiB",
                      epoch->bytes >> 20, device->name, left >> 20, device->memory_bytes >> 20);
        epoch->bytes = 0;
    }
    device->used_bytes += epoch->bytes;
    (void)pthread_mutex_unlock(&device->lock);
    return err;
}

static void unreserve(struct opencl_epoch *epoch, uint64_t bytes)
{
    (void)pthread_mutex_lock(&epoch->device->lock);
    epoch->device->used_bytes -= bytes;
    (void)pthread_mutex_unlock(&epoch->device->lock);
    epoch->bytes -= bytes;
}

/* What a dataset is made with. */
struct builder {
    cl_command_queue queue; /* of its own: beside searches */
    cl_kernel kernel;
    uint32_t nodes; /* of a work-item */
    cl_mem cache;
    const atomic_bool *cancel;
};

/* Fills a buffer with the rows first .. first + rows - 1, in launches that stay short. */
static enum rr_err build_rows(const struct opencl_epoch *epoch, const struct builder *builder,
                              cl_mem out, uint32_t first_row, uint32_t rows, struct rr_fault *fault)
{
    const struct opencl_device *device = epoch->device;
    const struct opencl_api *api = device->api;
    cl_kernel kernel = builder->kernel;
    uint32_t base = 2 * first_row;
    uint32_t end = base + 2 * rows;
    uint32_t magic = opencl_magic(epoch->params.cache_items);
    const uint32_t group = builder->nodes * ITEMS; /* nodes of a work-group */
    uint64_t launch = (uint64_t)device->units * group;
    cl_int code = CL_SUCCESS;
    opencl_argument_buffer(api, kernel, 0, out, &code);
    opencl_argument_u32(api, kernel, 1, base, &code);
    opencl_argument_buffer(api, kernel, 4, builder->cache, &code);
    opencl_argument_u32(api, kernel, 5, epoch->params.cache_items, &code);
    opencl_argument_u32(api, kernel, 6, magic, &code);
    for (uint32_t node = base; node < end && code == CL_SUCCESS;) {
        if (builder->cancel != NULL && atomic_load(builder->cancel)) {
            return rr_fail(fault, RR_ERR_CANCELLED, "the Ethash dataset on %s was given up",
                           device->name);
        }
        uint32_t count = end - node < launch ? end - node : (uint32_t)launch;
        size_t global = ((size_t)count + group - 1) / group * ITEMS;
        const size_t local = ITEMS;
        uint64_t start_us = rr_monotonic_us(rr_clock_system());
        opencl_argument_u32(api, kernel, 2, node, &code);
        opencl_argument_u32(api, kernel, 3, count, &code);
        if (code == CL_SUCCESS) {
            code = api->clEnqueueNDRangeKernel(builder->queue, kernel, 1, NULL, &global, &local, 0,
                                               NULL, NULL);
        }
        if (code == CL_SUCCESS) {
            code = api->clFinish(builder->queue);
        }
        uint64_t took_us = rr_monotonic_us(rr_clock_system()) - start_us;
        if (took_us < OPENCL_LAUNCH_US / 2 && launch < (1u << 22)) {
            launch *= 2;
        } else if (took_us > OPENCL_LAUNCH_US && launch >= UINT64_C(2) * group) {
            launch /= 2;
        }
        node += count;
    }
    return code == CL_SUCCESS ? RR_OK : opencl_failed(device, "its dataset", code, fault);
}

/* Rows spread over the dataset, made again by the law. */
static enum rr_err sample(const struct opencl_epoch *epoch, cl_command_queue queue,
                          struct rr_fault *fault)
{
    const struct opencl_device *device = epoch->device;
    uint32_t rows = epoch->params.dataset_items;
    for (uint32_t i = 0; i <= ROWS_SAMPLED; i++) {
        uint32_t row = (uint32_t)((uint64_t)(rows - 1) * i / ROWS_SAMPLED);
        bool in_low = row < epoch->low_rows;
        size_t offset = (size_t)(in_low ? row : row - epoch->low_rows) * ROW_BYTES;
        struct rr_ethash_node law[2];
        struct rr_ethash_node made[2];
        cl_int code =
            device->api->clEnqueueReadBuffer(queue, in_low ? epoch->low : epoch->high, CL_TRUE,
                                             offset, sizeof(made), made, 0, NULL, NULL);
        if (code != CL_SUCCESS) {
            return opencl_failed(device, "reading its dataset", code, fault);
        }
        rr_ethash_item(law, hash_light_cache(epoch->light), epoch->params.cache_items, row);
        if (memcmp(law, made, sizeof(law)) != 0) {
            return rr_fail(fault, RR_ERR_DAMAGED,
                           "row %" PRIu32 " of the Ethash dataset on OpenCL device %s is wrong; "
                           "lower its clocks, or install another driver",
                           row, device->name);
        }
    }
    return RR_OK;
}

static enum rr_err build_both(struct opencl_epoch *epoch, struct builder *builder,
                              struct rr_fault *fault)
{
    const struct opencl_device *device = epoch->device;
    uint32_t low = epoch->low_rows;
    uint32_t rows = epoch->params.dataset_items;
    uint64_t cache_bytes = NODE_BYTES * epoch->params.cache_items;
    enum rr_err err =
        make_nodes(&epoch->low, epoch, builder->queue, ROW_BYTES * low, "dataset", fault);
    if (err == RR_OK && low < rows) {
        err = make_nodes(&epoch->high, epoch, builder->queue, ROW_BYTES * (rows - low), "dataset",
                         fault);
    }
    if (err == RR_OK) {
        err = make_nodes(&builder->cache, epoch, builder->queue, cache_bytes, "cache", fault);
    }
    if (err == RR_OK) {
        cl_int code = device->api->clEnqueueWriteBuffer(
            builder->queue, builder->cache, CL_TRUE, 0, (size_t)cache_bytes,
            hash_light_cache(epoch->light), 0, NULL, NULL);
        err = code == CL_SUCCESS ? RR_OK : opencl_failed(device, "its cache", code, fault);
    }
    if (err == RR_OK) {
        err = build_rows(epoch, builder, epoch->low, 0, low, fault);
    }
    if (err == RR_OK && low < rows) {
        err = build_rows(epoch, builder, epoch->high, low, rows - low, fault);
    }
    return err == RR_OK ? sample(epoch, builder->queue, fault) : err;
}

static enum rr_err build(struct opencl_epoch *epoch, const struct hash_setup *setup,
                         struct rr_fault *fault)
{
    const struct opencl_device *device = epoch->device;
    const struct opencl_api *api = device->api;
    struct builder builder = {.nodes = device->processor ? 8 : 1, .cancel = setup->cancel};
    cl_int code = CL_SUCCESS;
    builder.queue = api->clCreateCommandQueue(device->context, device->id, 0, &code);
    builder.kernel = make_kernel(device, device->common,
                                 device->processor ? "dataset_lots" : "dataset", ITEMS, &code);
    enum rr_err err = code == CL_SUCCESS
                          ? build_both(epoch, &builder, fault)
                          : opencl_failed(device, "the making of a dataset", code, fault);
    clear_buffer(builder.cache, api);
    clear_kernel(builder.kernel, api);
    if (builder.queue != NULL) {
        (void)api->clReleaseCommandQueue(builder.queue);
    }
    unreserve(epoch, NODE_BYTES * epoch->params.cache_items);
    return err;
}

void opencl_epoch_take(struct opencl_epoch *epoch, const struct opencl_program *program)
{
    epoch->program = *program;
    (void)snprintf(epoch->text, sizeof(epoch->text), "dataset, %s of %" PRIu32,
                   program->shape->variant, program->shape->group);
}

static void release(void *state)
{
    struct opencl_epoch *epoch = state;
    const struct opencl_api *api = epoch->device->api;
    opencl_program_clear(&epoch->program, api);
    clear_buffer(epoch->high, api);
    clear_buffer(epoch->low, api);
    unreserve(epoch, epoch->bytes);
    rr_free(epoch);
}

static enum rr_err prepare(void **out, void *state, const struct hash_setup *setup,
                           struct rr_fault *fault)
{
    struct opencl_device *device = state;
    enum rr_err err = hash_params_check(&setup->params, fault);
    if (err != RR_OK) {
        return err;
    }
    struct opencl_epoch *epoch = rr_alloc(sizeof(*epoch));
    epoch->device = device;
    epoch->light = setup->light;
    epoch->params = setup->params;
    err = check_sizes(epoch, fault);
    if (err == RR_OK) {
        err = reserve(epoch, fault);
    }
    if (err == RR_OK) {
        struct opencl_program program;
        err = opencl_program_init(&program, device, opencl_shape_find(device, setup->tuning.text),
                                  fault);
        if (err == RR_OK) {
            opencl_epoch_take(epoch, &program);
        }
    }
    if (err == RR_OK) {
        err = build(epoch, setup, fault);
    }
    if (err != RR_OK) {
        release(epoch);
        return err;
    }
    *out = epoch;
    return RR_OK;
}

static const char *text(const void *state)
{
    const struct opencl_epoch *epoch = state;
    return epoch->text;
}

const struct hash_backend hash_backend_opencl = {
    .name = "opencl",
    .list = opencl_list,
    .open = open_device,
    .prepare = prepare,
    .search = opencl_search,
    .verify = opencl_verify,
    .tune = opencl_tune,
    .text = text,
    .release = release,
    .close = close_device,
};

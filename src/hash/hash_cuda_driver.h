/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Private to hash, and to bench/gpu_bench.c: the part of NVIDIA's driver API that we call, declared
 * by hand, so that neither building nor running needs the toolkit. */
#ifndef RR_HASH_CUDA_DRIVER_H
#define RR_HASH_CUDA_DRIVER_H
#include "base/base.h"

#define CUDA_OK                  0
#define CUDA_OUT_OF_MEMORY       2
#define CUDA_NO_DEVICE           100
#define CUDA_ECC_UNCORRECTABLE   214
#define CUDA_INVALID_IMAGE       200
#define CUDA_NO_BINARY           209
#define CUDA_INVALID_PTX         218
#define CUDA_JIT_NOT_FOUND       221
#define CUDA_UNSUPPORTED_PTX     222
#define CUDA_JIT_DISABLED        223
#define CUDA_NOT_FOUND           500
#define CUDA_OUT_OF_RESOURCES    701
#define CUDA_BLOCKING_SYNC       4u /* of cuCtxCreate: waits without burning a core */
#define CUDA_NON_BLOCKING_STREAM 1u
#define CUDA_ATTRIBUTE_UNITS     16
#define CUDA_ATTRIBUTE_MODE      20 /* 2: prohibited */
#define CUDA_ATTRIBUTE_CLOCK_KHZ 13
#define CUDA_ATTRIBUTE_L2_BYTES  38
#define CUDA_ATTRIBUTE_MAJOR     75
#define CUDA_ATTRIBUTE_MINOR     76

struct cuda_uuid {
    uint8_t bytes[16];
};
typedef uint64_t cuda_address; /* the driver's CUdeviceptr: no structure, as the ABI has none */

/* Name here, the driver's symbol, the version whose ABI is meant: of some calls there are several,
 * and asking for a later one gives other parameters. Streams, events, modules, functions and
 * contexts are opaque. Results are CUDA's codes. [CUDA driver API 13.0, cudaTypedefs.h] */
#define CUDA_CALLS(X)                                                                              \
    X(init, "cuInit", 2000, (unsigned flags))                                                      \
    X(driver_version, "cuDriverGetVersion", 2020, (int *version))                                  \
    X(error_name, "cuGetErrorName", 6000, (int code, const char **text))                           \
    X(device_count, "cuDeviceGetCount", 2000, (int *count))                                        \
    X(device_get, "cuDeviceGet", 2000, (int *device, int ordinal))                                 \
    X(device_name, "cuDeviceGetName", 2000, (char *name, int len, int device))                     \
    X(device_uuid, "cuDeviceGetUuid", 9020, (struct cuda_uuid * uuid, int device))                 \
    X(device_pci, "cuDeviceGetPCIBusId", 4010, (char *id, int len, int device))                    \
    X(device_memory, "cuDeviceTotalMem", 3020, (size_t * bytes, int device))                       \
    X(device_attribute, "cuDeviceGetAttribute", 2000, (int *value, int attribute, int device))     \
    X(context_create, "cuCtxCreate", 3020, (void **context, unsigned flags, int device))           \
    X(context_destroy, "cuCtxDestroy", 4000, (void *context))                                      \
    X(context_use, "cuCtxSetCurrent", 4000, (void *context))                                       \
    X(module_load, "cuModuleLoadData", 2000, (void **module, const void *image))                   \
    X(module_unload, "cuModuleUnload", 2000, (void *module))                                       \
    X(module_function, "cuModuleGetFunction", 2000,                                                \
      (void **function, void *module, const char *name))                                           \
    X(occupancy, "cuOccupancyMaxActiveBlocksPerMultiprocessor", 6050,                              \
      (int *blocks, void *function, int threads, size_t shared_bytes))                             \
    X(memory_info, "cuMemGetInfo", 3020, (size_t * free_bytes, size_t * all_bytes))                \
    X(alloc, "cuMemAlloc", 3020, (cuda_address * address, size_t bytes))                           \
    X(release, "cuMemFree", 3020, (cuda_address address))                                          \
    X(alloc_host, "cuMemAllocHost", 3020, (void **address, size_t bytes))                          \
    X(release_host, "cuMemFreeHost", 2000, (void *address))                                        \
    X(to_device, "cuMemcpyHtoDAsync", 3020,                                                        \
      (cuda_address to, const void *from, size_t bytes, void *stream))                             \
    X(to_host, "cuMemcpyDtoHAsync", 3020,                                                          \
      (void *to, cuda_address from, size_t bytes, void *stream))                                   \
    X(fill, "cuMemsetD32Async", 3020,                                                              \
      (cuda_address to, unsigned value, size_t words, void *stream))                               \
    X(stream_create, "cuStreamCreateWithPriority", 5050,                                           \
      (void **stream, unsigned flags, int priority))                                               \
    X(stream_destroy, "cuStreamDestroy", 4000, (void *stream))                                     \
    X(stream_wait, "cuStreamSynchronize", 2000, (void *stream))                                    \
    X(event_create, "cuEventCreate", 2000, (void **event, unsigned flags))                         \
    X(event_destroy, "cuEventDestroy", 4000, (void *event))                                        \
    X(event_record, "cuEventRecord", 2000, (void *event, void *stream))                            \
    X(event_elapsed, "cuEventElapsedTime", 2000, (float *ms, void *start, void *end))              \
    X(launch, "cuLaunchKernel", 4000,                                                              \
      (void *function, unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned block_x,        \
       unsigned block_y, unsigned block_z, unsigned shared_bytes, void *stream, void **parameters, \
       void **extra))

struct cuda_driver {
#define X(name, symbol, version, parameters) int(*name) parameters;
    CUDA_CALLS(X)
#undef X
    int version; /* 13000 */
};

/* The driver, loaded and initialised at the first call and kept to the end of the process; NULL:
 * there is none that can be used, and why_not says what is missing. Any thread. */
const struct cuda_driver *cuda_driver_get(char why_not[static 200]);
/* Tests bring a library and kernels of their own; NULL for libcuda.so.1 and the built-in kernels
 * again. No device may be open. */
void cuda_driver_use(const char *library, const void *image, int image_version);
/* The kernels and the CUDA version that compiled them (13000); NULL: built without nvcc. */
const void *cuda_image(int *version);
/* "CUDA_ERROR_LAUNCH_FAILED", "code 719": static or in `text`. */
const char *cuda_error_text(const struct cuda_driver *driver, int code, char text[static 32]);
#endif

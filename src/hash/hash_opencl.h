/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Private to hash: inside of the OpenCL backend. Included only where the OpenCL headers are. */
#ifndef RR_HASH_OPENCL_H
#define RR_HASH_OPENCL_H
#define CL_TARGET_OPENCL_VERSION 120 /* what the kernels and this side are content with */
#include "hash/hash_backend.h"
#include <CL/cl.h>
#include <pthread.h>

/* Entry points, found at run time so that a binary runs where no OpenCL is. */
#define OPENCL_ENTRIES(X)                                                                          \
    X(clGetPlatformIDs)                                                                            \
    X(clGetPlatformInfo)                                                                           \
    X(clGetDeviceIDs)                                                                              \
    X(clGetDeviceInfo)                                                                             \
    X(clCreateContext)                                                                             \
    X(clReleaseContext)                                                                            \
    X(clCreateCommandQueue)                                                                        \
    X(clReleaseCommandQueue)                                                                       \
    X(clCreateProgramWithSource)                                                                   \
    X(clBuildProgram)                                                                              \
    X(clGetProgramBuildInfo)                                                                       \
    X(clReleaseProgram)                                                                            \
    X(clCreateKernel)                                                                              \
    X(clReleaseKernel)                                                                             \
    X(clGetKernelWorkGroupInfo)                                                                    \
    X(clSetKernelArg)                                                                              \
    X(clCreateBuffer)                                                                              \
    X(clReleaseMemObject)                                                                          \
    X(clEnqueueReadBuffer)                                                                         \
    X(clEnqueueWriteBuffer)                                                                        \
    X(clEnqueueNDRangeKernel)                                                                      \
    X(clFinish)

struct opencl_api {
#define X(name) __typeof__(name) *name;
    OPENCL_ENTRIES(X)
#undef X
    uint64_t key_mask; /* bits of a final that the kernels compare: all. Tests make ties common */
};
/* The system's OpenCL, loaded at the first call and kept to the end of the process; NULL: none, and
 * why_not says what is missing. Any thread. */
const struct opencl_api *opencl_api_get(char why_not[static 200]);
/* Tests bring their own entry points, NULL for the system's again. Before anything else is called.
 */
void opencl_api_use(const struct opencl_api *api);

/* ---- devices ------------------------------------------------------------------------------------
 */
size_t opencl_list(struct rr_hash_device *out, size_t max);
/* The device of this id. RR_ERR_NOTFOUND, RR_ERR_UNSUPPORTED with its why_not. */
enum rr_err opencl_find(cl_device_id *out, const struct opencl_api *api, const char *id,
                        struct rr_fault *fault);
/* "CL_DEVICE_NOT_AVAILABLE", "code -9999": static or in `text`. */
const char *opencl_error_text(cl_int code, char text[static 32]);

/* ---- what the kernels and the host share (kernels/ethash/ethash.cl) -----------------------------
 */
struct opencl_work {
    uint8_t header[32];
    uint64_t nonce;
    uint64_t boundary;
    uint32_t count;
    uint32_t kind;
    uint64_t unused;
};
struct opencl_candidate {
    uint64_t key;
    uint32_t offset;
    uint32_t info;
};
struct opencl_check {
    uint8_t header[32];
    uint64_t nonce;
    uint64_t unused[3];
};
struct opencl_hash {
    uint8_t mix[32];
    uint8_t final_be[32];
    uint64_t stamp;
};
_Static_assert(sizeof(struct opencl_work) == 64 && sizeof(struct opencl_check) == 64 &&
                   sizeof(struct opencl_candidate) == 16 && sizeof(struct opencl_hash) == 72,
               "as the kernels have them");
#define OPENCL_FOUND      1u
#define OPENCL_TIE        2u
#define OPENCL_DONE(info) ((info) >> 2 & 0x3fffu)
#define OPENCL_STAMP_BIT0 16

/* ---- inside -------------------------------------------------------------------------------------
 */
#define OPENCL_SLOTS      2
#define OPENCL_QUEUES     (OPENCL_SLOTS + 1) /* the last one is verify's */
#define OPENCL_WORKS_MAX  8192
#define OPENCL_GROUPS_MAX 16384 /* of work-items, at a time */
#define OPENCL_CHECKS_MAX 4096  /* at a time */
/* A launch takes no longer than this: drivers end kernels that keep a display waiting. */
#define OPENCL_LAUNCH_US 20000

/* A search variant with its sizes. */
struct opencl_shape {
    const char *variant; /* "thread", "lanes", "lots" */
    uint32_t group;      /* nonces of a work-group */
    uint32_t items;      /* work-items of a work-group */
    uint32_t pair;       /* hashes in flight in four lanes */
};
#define OPENCL_SHAPES 10
extern const struct opencl_shape opencl_shapes[OPENCL_SHAPES];
void opencl_shape_text(char text[static 96], const struct opencl_shape *shape);

/* A nonce that is hashed in full. */
struct opencl_doubt {
    uint32_t work;
    bool keyed; /* the search gave this key for it: the full hash has to have it */
    uint64_t key;
};
/* An in-order queue with its buffers on both sides. */
struct opencl_queue {
    cl_command_queue queue;
    cl_mem works, map, candidates, checks, hashes;
    cl_kernel verify; /* arguments belong to a kernel: each queue has its own */
    struct opencl_candidate *host_candidates;
    uint32_t (*host_map)[2];
    struct opencl_work *host_works;
    struct opencl_check *host_checks;
    struct opencl_hash *host_hashes;
    struct opencl_doubt *doubts; /* beside host_checks */
    uint16_t stamp;              /* of the last batch: answers with another one do not count */
    uint64_t ns_per_group;       /* running mean; 0: not known yet */
};

struct opencl_device {
    const struct opencl_api *api;
    cl_device_id id;
    cl_context context;
    char name[96];
    bool processor;
    uint32_t units;
    size_t items_max; /* of a work-group */
    uint64_t memory_bytes, buffer_bytes_max;
    struct opencl_queue queues[OPENCL_QUEUES];
    cl_program common; /* kernels that are the same for every shape */
    pthread_mutex_t lock;
    uint64_t used_bytes; /* of epochs; under lock */
};

/* The search built for one shape. */
struct opencl_program {
    const struct opencl_shape *shape;
    cl_program program;
    cl_kernel search[OPENCL_SLOTS];
};

struct opencl_epoch {
    struct opencl_device *device;
    const struct rr_hash_light *light;
    struct rr_hash_params params;
    struct opencl_program program;
    cl_mem low, high; /* the dataset; one buffer twice where it fits into one */
    uint32_t low_rows;
    uint64_t bytes; /* taken of the device's memory */
    char text[64];
};

/* Fails with RR_ERR_MEMORY for the errors of memory, else RR_ERR_IO: the device is lost. */
enum rr_err opencl_failed(const struct opencl_device *device, const char *what, cl_int code,
                          struct rr_fault *fault);
/* floor(2^32 / n), 2^32 - 1 for n = 1: the kernels' modulo. */
uint32_t opencl_magic(uint32_t n);
/* Set an argument; the first error stays in *code. */
void opencl_argument_u32(const struct opencl_api *api, cl_kernel kernel, cl_uint index,
                         uint32_t value, cl_int *code);
void opencl_argument_buffer(const struct opencl_api *api, cl_kernel kernel, cl_uint index,
                            cl_mem buffer, cl_int *code);

/* Builds the search; RR_ERR_UNSUPPORTED with the compiler's words. *out by opencl_program_clear.
 */
enum rr_err opencl_program_init(struct opencl_program *out, const struct opencl_device *device,
                                const struct opencl_shape *shape, struct rr_fault *fault);
void opencl_program_clear(struct opencl_program *program, const struct opencl_api *api);
/* The shape of this text, or the device's usual one. */
const struct opencl_shape *opencl_shape_find(const struct opencl_device *device, const char *text);

/* From now on the epoch searches by this program, given to it; the one before is the caller's. */
void opencl_epoch_take(struct opencl_epoch *epoch, const struct opencl_program *program);

/* The backend's search, verify, tune. */
enum rr_err opencl_search(void *epoch, uint32_t slot, struct hash_candidate *out,
                          const struct hash_work *works, size_t count, struct rr_fault *fault);
enum rr_err opencl_verify(void *epoch, struct rr_hash_check *checks, size_t count,
                          struct rr_fault *fault);
enum rr_err opencl_tune(void *epoch, struct hash_tuning *best, struct rr_fault *fault);
#endif

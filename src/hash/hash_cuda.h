/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Private to hash: inside of the CUDA backend. */
#ifndef RR_HASH_CUDA_H
#define RR_HASH_CUDA_H
#include "ethash/ethash_gpu.h"
#include "hash/hash_backend.h"
#include "hash/hash_cuda_driver.h"

#define CUDA_SLOTS      2u
#define CUDA_WORKS_MAX  4096u  /* of a launch */
#define CUDA_BLOCKS_MAX 65536u /* of a launch: 8.4 M nonces; more take several */
#define CUDA_CHECKS_MAX 4096u  /* of a launch of `verify` */

enum cuda_kernel {
#define X(name, arguments) CUDA_KERNEL_##name,
    RR_ETHASH_GPU_KERNELS(X)
#undef X
        CUDA_KERNELS
};

/* A buffer on both sides; the host's half is pinned, so that copies run beside the kernels. */
struct cuda_pair {
    cuda_address device;
    void *host;
};
/* A search in progress: a stream with buffers of its own. */
struct cuda_slot {
    void *stream;
    void *start, *end; /* events around the search kernel, for tune */
    struct cuda_pair jobs, block_job, results, candidates, checks;
    cuda_address counter;
    uint32_t work_of[CUDA_WORKS_MAX]; /* of each job of the launch its work */
    uint32_t reached[CUDA_WORKS_MAX]; /* of each work the nonces of it that were launched */
};
struct cuda_device {
    const struct cuda_driver *driver;
    char name[96];
    void *context, *module, *kernels[CUDA_KERNELS];
    int ordinal, compute; /* 90 for 9.0 */
    uint32_t units;
    uint32_t blocks_max; /* CUDA_BLOCKS_MAX; tests lower it */
    uint64_t memory_bytes_max;
    atomic_uint_least64_t used_bytes; /* by datasets */
    atomic_bool lost; /* an error after which a context answers nothing but errors */
    void *prepare_stream, *verify_stream;
    struct cuda_pair checks;
    struct cuda_slot slots[CUDA_SLOTS];
};
/* A way to search: one of the search kernels, and of a persistent one its blocks on each
 * multiprocessor. */
struct cuda_way {
    enum cuda_kernel kernel;
    uint32_t threads, per_unit; /* per_unit 0: a block of threads for each block of nonces */
};
struct cuda_epoch {
    struct cuda_device *device;
    struct rr_hash_params params;
    const struct rr_hash_light *light;
    cuda_address dataset;
    uint64_t bytes;
    struct cuda_way way;
    char text[96];
};

/* ---- hash_cuda.c --------------------------------------------------------------------------------
 */
/* RR_OK, or fills the fault: RR_ERR_MEMORY, RR_ERR_UNSUPPORTED for kernels that the driver cannot
 * take, else RR_ERR_IO, after which the device is lost. */
enum rr_err cuda_result(struct cuda_device *device, int code, const char *doing,
                        struct rr_fault *fault);
/* Makes the device's context the thread's; RR_ERR_IO when it is lost. */
enum rr_err cuda_enter(struct cuda_device *device, struct rr_fault *fault);
/* Launches blocks of 128 threads, or as many as `threads`; gives CUDA's code. */
int cuda_launch(const struct cuda_device *device, enum cuda_kernel kernel, uint32_t blocks,
                uint32_t threads, const void *arguments, void *stream);
struct rr_ethash_gpu_rows cuda_rows(const struct cuda_epoch *epoch);
void *cuda_pointer(cuda_address address);

/* ---- hash_cuda_search.c -------------------------------------------------------------------------
 */
enum rr_err cuda_search(void *epoch, uint32_t slot, struct hash_candidate *out,
                        const struct hash_work *works, size_t count, struct rr_fault *fault);
enum rr_err cuda_verify(void *epoch, struct rr_hash_check *checks, size_t count,
                        struct rr_fault *fault);
/* Queues the search kernel in `way` over the slot's tables. CUDA's code. */
int cuda_queue_search(const struct cuda_epoch *epoch, struct cuda_slot *slot,
                      const struct cuda_way *way, uint32_t blocks);
/* A job into the slot's tables; block_first and block_count are filled. False: no room for it. */
bool cuda_add_job(const struct cuda_device *device, struct cuda_slot *slot,
                  struct rr_ethash_gpu_job *job, uint32_t *jobs, uint32_t *blocks);

/* ---- hash_cuda_tune.c ---------------------------------------------------------------------------
 */
enum rr_err cuda_tune(void *epoch, struct hash_tuning *best, struct rr_fault *fault);
/* The way that a tuning text names, or the default for the device. */
struct cuda_way cuda_way_of(const struct cuda_device *device, const char *text);
void cuda_way_text(char text[static 96], const struct cuda_way *way);
#endif

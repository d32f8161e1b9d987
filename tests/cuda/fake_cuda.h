/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A driver of CUDA without a device, for tests: a shared library with the calls that we make. What
 * is queued on a stream happens at the wait for it, as late as a real driver may; kernels are the
 * real ones, run by the emulator. Found only where a test names its path. */
#ifndef RR_TESTS_FAKE_CUDA_H
#define RR_TESTS_FAKE_CUDA_H
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FAKE_DEVICES_MAX 4

/* What the driver is to be like; set before it is loaded or between calls. */
struct fake_cuda {
    int devices, version, units, compute[FAKE_DEVICES_MAX], mode;
    uint64_t memory_bytes;
    int init_code, load_code; /* what cuInit and cuModuleLoadData answer */
    const char *missing;      /* a symbol that this driver lacks */
    bool narrow;              /* kernels that compare 6 bits */
    /* The launch after this many fails with fail_code, and so does all of its context from then on;
     * negative: never. */
    atomic_int fail_after;
    int fail_code;
    bool fail_gently;  /* that launch alone */
    const char *wrong; /* a kernel whose output is damaged */
    /* what there is and was */
    atomic_int contexts, streams, events, modules, allocations, launches;
    atomic_uint_least64_t used_bytes[FAKE_DEVICES_MAX];
};
/* Exported by the library: its state, set back to one good device. */
typedef struct fake_cuda *(*fake_cuda_reset)(void);
#define FAKE_CUDA_RESET "fake_cuda_reset_state"
/* An image that its cuModuleLoadData takes. */
#define FAKE_CUDA_IMAGE "FAKE kernels"
#endif

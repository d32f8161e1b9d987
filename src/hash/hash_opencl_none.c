/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The backend `opencl` of a build without it: says so. */
#include "hash/hash_backend.h"

static const char why_not[] =
    "this build has no OpenCL; install opencl-c-headers and build again with -DRR_OPENCL=ON";

static size_t list(struct rr_hash_device *out, size_t max)
{
    if (max == 0) {
        return 0;
    }
    *out = (struct rr_hash_device){.id = "opencl", .backend = "opencl", .name = "OpenCL"};
    _Static_assert(sizeof(why_not) <= sizeof(out->why_not), "fits");
    for (size_t i = 0; i < sizeof(why_not); i++) {
        out->why_not[i] = why_not[i];
    }
    return 1;
}

static enum rr_err open_none(void **device, struct hash_opened *opened,
                             const struct rr_hash_device *which, const struct hash_open *how,
                             struct rr_fault *fault)
{
    (void)device;
    (void)opened;
    (void)which;
    (void)how;
    return rr_fail(fault, RR_ERR_UNSUPPORTED, "%s", why_not);
}

/* What needs an open device cannot be reached: there is none. */
const struct hash_backend hash_backend_opencl = {.name = "opencl", .list = list, .open = open_none};

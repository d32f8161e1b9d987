/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Finds OpenCL and its devices at run time. */
#include "hash/hash_opencl.h"
#include <dlfcn.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LIBRARY       "libOpenCL.so.1"
#define PLATFORMS_MAX 16
#define DEVICES_MAX   64 /* of a platform */
#define ITEMS_MIN     64 /* the smallest work-group among the default shapes of GPUs */

/* Facts that extensions give; the headers of 1.2 do not name them all. */
#define PCI_BUS_INFO_KHR 0x410f /* cl_khr_pci_bus_info: domain, bus, device, function */
#define PCI_BUS_ID_NV    0x4008 /* cl_nv_device_attribute_query */
#define PCI_SLOT_ID_NV   0x4009
#define PCI_DOMAIN_ID_NV 0x400a
#define TOPOLOGY_AMD     0x4037 /* cl_amd_device_attribute_query */
#define BOARD_NAME_AMD   0x4038

/* ---- the library --------------------------------------------------------------------------------
 */
static struct opencl_api loaded;
static char load_failure[200]; /* empty: loaded holds */
static const struct opencl_api *replaced;

static bool is_set(const char *name)
{
    const char *value = getenv(name);
    return value != NULL && *value != '\0';
}

/* A folder that nobody else can write to: PoCL runs the code that it finds there. */
static bool make_own_folder(const char *path)
{
    struct stat about;
    return (mkdir(path, 0700) == 0 || errno == EEXIST) && lstat(path, &about) == 0 &&
           S_ISDIR(about.st_mode) && about.st_uid == geteuid() && (about.st_mode & 022) == 0;
}

/* PoCL keeps compiled kernels in POCL_CACHE_DIR, else below the home. It aborts the process when
 * the variable is there but empty, and a service often has no home that it may write to: then it
 * is given a folder before anything of OpenCL is loaded. Here alone, once. */
static void give_pocl_a_folder(void)
{
    const char *home = getenv("HOME");
    bool has_home = is_set("XDG_CACHE_HOME") || (is_set("HOME") && access(home, W_OK) == 0);
    if (is_set("POCL_CACHE_DIR")) {
        return;
    }
    if (has_home) {
        (void)unsetenv("POCL_CACHE_DIR"); /* empty: as if not there */
        return;
    }
    char path[RR_PATH_BYTES];
    const char *parent = is_set("TMPDIR") ? getenv("TMPDIR") : "/tmp";
    if (rr_path(path, NULL, "%s/reelrig-pocl-%lu", parent, (unsigned long)geteuid()) != RR_OK) {
        return;
    }
    if (!make_own_folder(path)) {
        if (rr_path(path, NULL, "%s/reelrig-pocl-XXXXXX", parent) != RR_OK ||
            mkdtemp(path) == NULL) {
            return;
        }
    }
    (void)setenv("POCL_CACHE_DIR", path, 1);
}

static void load(void)
{
    give_pocl_a_folder();
    void *library = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);
    if (library == NULL) {
        (void)snprintf(load_failure, sizeof(load_failure),
                       LIBRARY " cannot be loaded; install an OpenCL loader (ocl-icd-libopencl1) "
                               "and the driver of the device");
        return;
    }
    loaded.key_mask = UINT64_MAX;
#define X(name)                                                                                    \
    if (load_failure[0] == '\0') {                                                                 \
        void *entry = dlsym(library, #name);                                                       \
        memcpy(&loaded.name, &entry, sizeof(entry));                                               \
        if (entry == NULL) {                                                                       \
            (void)snprintf(load_failure, sizeof(load_failure),                                     \
                           LIBRARY " has no " #name "; install one of OpenCL 1.2 or later");       \
        }                                                                                          \
    }
    OPENCL_ENTRIES(X)
#undef X
    /* The library stays: drivers keep threads that outlive any use of theirs. */
}

const struct opencl_api *opencl_api_get(char why_not[static 200])
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    if (replaced != NULL) {
        return replaced;
    }
    (void)pthread_once(&once, load);
    if (load_failure[0] != '\0') {
        memcpy(why_not, load_failure, sizeof(load_failure));
        return NULL;
    }
    return &loaded;
}

void opencl_api_use(const struct opencl_api *api)
{
    replaced = api;
}

const char *opencl_error_text(cl_int code, char text[static 32])
{
    static const struct {
        cl_int code;
        const char *text;
    } known[] = {
        {-1, "CL_DEVICE_NOT_FOUND"},       {-2, "CL_DEVICE_NOT_AVAILABLE"},
        {-3, "CL_COMPILER_NOT_AVAILABLE"}, {-4, "CL_MEM_OBJECT_ALLOCATION_FAILURE"},
        {-5, "CL_OUT_OF_RESOURCES"},       {-6, "CL_OUT_OF_HOST_MEMORY"},
        {-11, "CL_BUILD_PROGRAM_FAILURE"}, {-14, "CL_EXEC_STATUS_ERROR"},
        {-30, "CL_INVALID_VALUE"},         {-33, "CL_INVALID_DEVICE"},
        {-34, "CL_INVALID_CONTEXT"},       {-36, "CL_INVALID_COMMAND_QUEUE"},
        {-46, "CL_INVALID_KERNEL_NAME"},   {-54, "CL_INVALID_WORK_GROUP_SIZE"},
        {-61, "CL_INVALID_BUFFER_SIZE"},   {-1001, "CL_PLATFORM_NOT_FOUND_KHR"},
    };
    for (size_t i = 0; i < RR_COUNT(known); i++) {
        if (known[i].code == code) {
            return known[i].text;
        }
    }
    (void)snprintf(text, 32, "code %d", (int)code);
    return text;
}

/* ---- facts --------------------------------------------------------------------------------------
 */
/* Text of a device, spaces at its ends off; empty when the driver does not tell. */
static void device_text(char *out, size_t size, const struct opencl_api *api, cl_device_id device,
                        cl_device_info what)
{
    char text[4096] = "";
    if (api->clGetDeviceInfo(device, what, sizeof(text) - 1, text, NULL) != CL_SUCCESS) {
        text[0] = '\0';
    }
    const char *start = text + strspn(text, " ");
    size_t len = strlen(start);
    while (len > 0 && start[len - 1] == ' ') {
        len--;
    }
    (void)snprintf(out, size, "%.*s", (int)(len < size ? len : size - 1), start);
}

static uint64_t device_number(const struct opencl_api *api, cl_device_id device,
                              cl_device_info what, size_t size)
{
    uint64_t value = 0;
    size_t got = 0;
    if (api->clGetDeviceInfo(device, what, size, &value, &got) != CL_SUCCESS || got != size) {
        return 0;
    }
    return value; /* narrower ones lie in the low bytes: this machine is little-endian */
}

static void pci_of(char out[static 16], const struct opencl_api *api, cl_device_id device,
                   const char *extensions)
{
    uint32_t at[4] = {0};
    uint8_t topology[24] = {0};
    bool known = false;
    if (strstr(extensions, "cl_khr_pci_bus_info") != NULL) {
        known = api->clGetDeviceInfo(device, PCI_BUS_INFO_KHR, sizeof(at), at, NULL) == CL_SUCCESS;
    } else if (strstr(extensions, "cl_nv_device_attribute_query") != NULL) {
        size_t one = sizeof(at[0]);
        uint32_t slot = 0;
        known = api->clGetDeviceInfo(device, PCI_BUS_ID_NV, one, &at[1], NULL) == CL_SUCCESS &&
                api->clGetDeviceInfo(device, PCI_SLOT_ID_NV, one, &slot, NULL) == CL_SUCCESS;
        (void)api->clGetDeviceInfo(device, PCI_DOMAIN_ID_NV, one, &at[0], NULL);
        at[2] = slot >> 3;
        at[3] = slot & 7;
    } else if (strstr(extensions, "cl_amd_device_attribute_query") != NULL) {
        known = api->clGetDeviceInfo(device, TOPOLOGY_AMD, sizeof(topology), topology, NULL) ==
                    CL_SUCCESS &&
                topology[0] == 1; /* of the PCIe kind */
        for (int i = 1; i < 4; i++) {
            at[i] = topology[20 + i];
        }
    }
    if (known && at[0] <= 0xffff && at[1] <= 0xff && at[2] <= 0x1f && at[3] <= 7) {
        (void)snprintf(out, 16, "%04" PRIx32 ":%02" PRIx32 ":%02" PRIx32 ".%" PRIx32, at[0], at[1],
                       at[2], at[3]);
    }
}

static const char *unfit(const struct opencl_api *api, cl_device_id device, uint64_t type)
{
    char version[64];
    device_text(version, sizeof(version), api, device, CL_DEVICE_VERSION);
    static const char before[] = "OpenCL "; /* then "1.2", then what the maker likes */
    unsigned long major = 0;
    unsigned long minor = 0;
    if (strncmp(version, before, strlen(before)) == 0) {
        char *end = NULL;
        major = strtoul(version + strlen(before), &end, 10);
        minor = *end == '.' ? strtoul(end + 1, NULL, 10) : 0;
    }
    if (device_number(api, device, CL_DEVICE_AVAILABLE, sizeof(cl_bool)) == 0) {
        return "its driver says that it is not available; look at the driver's own tools";
    }
    if (major < 1 || (major == 1 && minor < 2)) {
        return "it has no OpenCL 1.2; install a newer driver";
    }
    if (device_number(api, device, CL_DEVICE_COMPILER_AVAILABLE, sizeof(cl_bool)) == 0) {
        return "its driver has no compiler; install the complete driver";
    }
    if (device_number(api, device, CL_DEVICE_ENDIAN_LITTLE, sizeof(cl_bool)) == 0) {
        return "its words are big-endian; the kernels need little-endian ones";
    }
    if ((type & (CL_DEVICE_TYPE_CPU | CL_DEVICE_TYPE_GPU | CL_DEVICE_TYPE_ACCELERATOR)) == 0) {
        return "it is of a special kind that takes no kernels from others";
    }
    if (device_number(api, device, CL_DEVICE_MAX_WORK_GROUP_SIZE, sizeof(size_t)) < ITEMS_MIN) {
        return "its work-groups are smaller than 64 work-items";
    }
    return "";
}

/* Lower-case letters, digits and single dashes, so that an id can stand in a list by comma. */
static void slug(char *out, size_t size, const char *text)
{
    size_t len = 0;
    for (; *text != '\0' && len + 1 < size; text++) {
        char c = *text;
        if (c >= 'A' && c <= 'Z') {
            c = (char)(c - 'A' + 'a');
        }
        if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9')) {
            out[len++] = c;
        } else if (len > 0 && out[len - 1] != '-') {
            out[len++] = '-';
        }
    }
    while (len > 0 && out[len - 1] == '-') {
        len--;
    }
    out[len] = '\0';
}

static void describe(struct rr_hash_device *out, const struct opencl_api *api, const char *platform,
                     cl_device_id device)
{
    char extensions[4096];
    char model[96];
    char slugged[40];
    *out = (struct rr_hash_device){.backend = "opencl"};
    device_text(extensions, sizeof(extensions), api, device, CL_DEVICE_EXTENSIONS);
    device_text(model, sizeof(model), api, device, CL_DEVICE_NAME);
    device_text(out->driver, sizeof(out->driver), api, device, CL_DRIVER_VERSION);
    /* AMD's CL_DEVICE_NAME is a chip ("gfx1030"); the card's name is another fact. */
    if (strstr(extensions, "cl_amd_device_attribute_query") != NULL) {
        device_text(out->name, sizeof(out->name), api, device, BOARD_NAME_AMD);
    }
    if (out->name[0] == '\0') {
        memcpy(out->name, model, sizeof(model));
    }
    uint64_t type = device_number(api, device, CL_DEVICE_TYPE, sizeof(cl_device_type));
    out->processor = (type & CL_DEVICE_TYPE_CPU) != 0;
    out->memory_bytes = device_number(api, device, CL_DEVICE_GLOBAL_MEM_SIZE, sizeof(cl_ulong));
    out->units = (uint32_t)device_number(api, device, CL_DEVICE_MAX_COMPUTE_UNITS, sizeof(cl_uint));
    pci_of(out->pci, api, device, extensions);
    const char *why_not = unfit(api, device, type);
    memcpy(out->why_not, why_not, strlen(why_not) + 1);
    slug(slugged, sizeof(slugged), model);
    (void)snprintf(out->id, sizeof(out->id), "opencl:%s/%s/", platform, slugged);
}

/* Which of several equal devices it is: others that come or go do not change it. */
static void number(struct rr_hash_device *list, size_t at)
{
    size_t len = strlen(list[at].id);
    unsigned before = 0;
    for (size_t i = 0; i < at; i++) {
        before += strncmp(list[i].id, list[at].id, len) == 0;
    }
    (void)snprintf(list[at].id + len, sizeof(list[at].id) - len, "%u", before);
}

/* ids may be NULL. */
static size_t enumerate(struct rr_hash_device *out, cl_device_id *ids, size_t max,
                        const struct opencl_api *api)
{
    cl_platform_id platforms[PLATFORMS_MAX];
    cl_uint platform_count = 0;
    size_t count = 0;
    if (api->clGetPlatformIDs(PLATFORMS_MAX, platforms, &platform_count) != CL_SUCCESS) {
        return 0;
    }
    for (cl_uint p = 0; p < platform_count && p < PLATFORMS_MAX; p++) {
        cl_device_id devices[DEVICES_MAX];
        cl_uint device_count = 0;
        char name[256] = "";
        char slugged[24];
        if (api->clGetDeviceIDs(platforms[p], CL_DEVICE_TYPE_ALL, DEVICES_MAX, devices,
                                &device_count) != CL_SUCCESS ||
            api->clGetPlatformInfo(platforms[p], CL_PLATFORM_NAME, sizeof(name) - 1, name, NULL) !=
                CL_SUCCESS) {
            continue; /* a driver without a device */
        }
        slug(slugged, sizeof(slugged), name);
        for (cl_uint d = 0; d < device_count && d < DEVICES_MAX && count < max; d++) {
            describe(&out[count], api, slugged, devices[d]);
            number(out, count);
            if (ids != NULL) {
                ids[count] = devices[d];
            }
            count++;
        }
    }
    return count;
}

size_t opencl_list(struct rr_hash_device *out, size_t max)
{
    struct rr_hash_device none = {.id = "opencl", .backend = "opencl", .name = "OpenCL"};
    if (max == 0) {
        return 0;
    }
    const struct opencl_api *api = opencl_api_get(none.why_not);
    size_t count = api != NULL ? enumerate(out, NULL, max, api) : 0;
    if (count > 0) {
        return count;
    }
    if (api != NULL) {
        (void)snprintf(none.why_not, sizeof(none.why_not),
                       "no driver has an OpenCL device; install that of the device "
                       "(see /etc/OpenCL/vendors)");
    }
    *out = none;
    return 1;
}

enum rr_err opencl_find(cl_device_id *out, const struct opencl_api *api, const char *id,
                        struct rr_fault *fault)
{
    struct rr_hash_device *list = rr_alloc_array(RR_HASH_DEVICES_MAX, sizeof(*list));
    cl_device_id ids[RR_HASH_DEVICES_MAX];
    size_t count = enumerate(list, ids, RR_HASH_DEVICES_MAX, api);
    enum rr_err err = RR_ERR_NOTFOUND;
    for (size_t i = 0; i < count && err == RR_ERR_NOTFOUND; i++) {
        if (strcmp(list[i].id, id) != 0) {
            continue;
        }
        err = RR_OK;
        if (list[i].why_not[0] != '\0') {
            err = rr_fail(fault, RR_ERR_UNSUPPORTED, "%s cannot be used: %s", id, list[i].why_not);
        } else {
            *out = ids[i];
        }
    }
    if (err == RR_ERR_NOTFOUND) {
        (void)rr_fail(fault, err, "there is no OpenCL device %s now; see `reelrig gpu list`", id);
    }
    rr_free(list);
    return err;
}

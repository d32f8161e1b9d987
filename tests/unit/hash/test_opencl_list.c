/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Devices that are not here, as the OpenCL backend lists them; and a build without OpenCL. */
#include "unit/kernels/vectors.h"

#define hash_backend_opencl backend_of_a_build_without
#include "hash/hash_opencl_none.c"
#undef hash_backend_opencl
extern const struct hash_backend hash_backend_opencl; /* of this build */

static void a_build_without_opencl_says_so(void **state)
{
    (void)state;
    struct rr_hash_device device;
    struct rr_fault fault = {0};
    const struct hash_open how = {0};
    struct hash_opened none;
    void *state_of_it = NULL;
    assert_int_equal(backend_of_a_build_without.list(&device, 0), 0);
    assert_int_equal(backend_of_a_build_without.list(&device, 1), 1);
    assert_string_equal(device.id, "opencl");
    assert_non_null(strstr(device.why_not, "opencl-c-headers"));
    assert_int_equal(backend_of_a_build_without.open(&state_of_it, &none, &device, &how, &fault),
                     RR_ERR_UNSUPPORTED);
    assert_string_equal(fault.text, device.why_not);
}

#ifdef RR_WITH_OPENCL
#include "hash/hash_opencl.h"

#define OPENCL (&hash_backend_opencl)

struct paper {
    const char *name, *board, *version, *extensions;
    uint64_t type;
    bool unavailable, no_compiler, big_endian;
    uint32_t at[4]; /* PCI */
};
#define KHR "cl_khr_fp64 cl_khr_pci_bus_info"
#define NV  "cl_nv_device_attribute_query"
#define AMD "cl_amd_device_attribute_query"
static struct paper papers[] = {
    {"gfx1030",
     "Radeon RX 6800 XT",
     "OpenCL 2.0 AMD-APP",
     AMD,
     4,
     false,
     false,
     false,
     {0, 3, 0, 0}},
    {"gfx1030", "", "OpenCL 2.0 AMD-APP", AMD, 4, false, false, false, {0, 0x0a, 0, 1}},
    {" Tesla V100-PCIE-16GB ", "", "OpenCL 3.0 CUDA", NV, 4, false, false, false, {1, 0x65, 2, 3}},
    {"Arc, A770", "", "OpenCL 3.0 NEO", KHR, 4, false, false, false, {0, 4, 0, 0}},
    {"gfx1030", "", "OpenCL 1.1 old", "", 4, false, false, false, {0}},
    {"absent", "", "OpenCL 1.2 x", "", 4, true, false, false, {0}},
    {"mute", "", "OpenCL 1.2 x", "", 8, false, true, false, {0}},
    {"upside", "", "OpenCL 1.2 x", "", 2, false, false, true, {0}},
    {"odd", "", "OpenCL 1.2 x", "", 16, false, false, false, {0}},
    {"garbled", "", "of no version", "", 4, false, false, false, {0}},
};
static cl_uint paper_count; /* 0: no platform */

static cl_int paper_platforms(cl_uint max, cl_platform_id *out, cl_uint *count)
{
    if (paper_count == 0) {
        *count = 0;
        return -1001;
    }
    *count = 1;
    assert_true(max >= 1);
    out[0] = (cl_platform_id)(void *)papers;
    return CL_SUCCESS;
}

static cl_int paper_platform_info(cl_platform_id platform, cl_platform_info what, size_t size,
                                  void *out, size_t *got)
{
    (void)platform;
    (void)got;
    assert_int_equal(what, CL_PLATFORM_NAME);
    (void)snprintf(out, size, "Paper & Co., Ltd");
    return CL_SUCCESS;
}

static cl_int paper_devices(cl_platform_id platform, cl_device_type type, cl_uint max,
                            cl_device_id *out, cl_uint *count)
{
    (void)platform;
    assert_int_equal(type, CL_DEVICE_TYPE_ALL);
    assert_true(max >= paper_count);
    for (cl_uint i = 0; i < paper_count; i++) {
        out[i] = (cl_device_id)(void *)&papers[i];
    }
    *count = paper_count;
    return CL_SUCCESS;
}

static cl_int answer(void *out, size_t size, size_t *got, const void *value, size_t value_size)
{
    if (size < value_size) {
        return CL_INVALID_VALUE;
    }
    memcpy(out, value, value_size);
    if (got != NULL) {
        *got = value_size;
    }
    return CL_SUCCESS;
}

static cl_int paper_info(cl_device_id id, cl_device_info what, size_t size, void *out, size_t *got)
{
    const struct paper *paper = (const struct paper *)(void *)id;
    const char *text = what == CL_DEVICE_NAME         ? paper->name
                       : what == CL_DEVICE_VERSION    ? paper->version
                       : what == CL_DEVICE_EXTENSIONS ? paper->extensions
                       : what == CL_DRIVER_VERSION    ? "1.0"
                       : what == 0x4038               ? paper->board
                                                      : NULL;
    if (text != NULL) {
        return answer(out, size, got, text, strlen(text) + 1);
    }
    const cl_bool yes = CL_TRUE;
    const cl_bool no = CL_FALSE;
    const uint32_t units = 36;
    const size_t items = 1024;
    const uint64_t bytes = UINT64_C(16) << 30;
    uint8_t topology[24] = {1, 0, 0, 0};
    for (int i = 1; i < 4; i++) {
        topology[20 + i] = (uint8_t)paper->at[i];
    }
    uint32_t slot = paper->at[2] << 3 | paper->at[3];
    switch (what) {
    case CL_DEVICE_TYPE:
        return answer(out, size, got, &paper->type, 8);
    case CL_DEVICE_AVAILABLE:
        return answer(out, size, got, paper->unavailable ? &no : &yes, sizeof(yes));
    case CL_DEVICE_COMPILER_AVAILABLE:
        return answer(out, size, got, paper->no_compiler ? &no : &yes, sizeof(yes));
    case CL_DEVICE_ENDIAN_LITTLE:
        return answer(out, size, got, paper->big_endian ? &no : &yes, sizeof(yes));
    case CL_DEVICE_GLOBAL_MEM_SIZE:
        return answer(out, size, got, &bytes, 8);
    case CL_DEVICE_MAX_COMPUTE_UNITS:
        return answer(out, size, got, &units, 4);
    case CL_DEVICE_MAX_WORK_GROUP_SIZE:
        return answer(out, size, got, &items, sizeof(items));
    case 0x410f:
        return answer(out, size, got, paper->at, 16);
    case 0x4008:
        return answer(out, size, got, &paper->at[1], 4);
    case 0x4009:
        return answer(out, size, got, &slot, 4);
    case 0x400a:
        return answer(out, size, got, &paper->at[0], 4);
    case 0x4037:
        return answer(out, size, got, topology, 24);
    default:
        return CL_INVALID_VALUE;
    }
}

static void cards_of_each_maker_are_listed_with_name_and_bus(void **state)
{
    (void)state;
    struct rr_hash_device list[RR_COUNT(papers)];
    static const struct opencl_api api = {.clGetPlatformIDs = paper_platforms,
                                          .clGetPlatformInfo = paper_platform_info,
                                          .clGetDeviceIDs = paper_devices,
                                          .clGetDeviceInfo = paper_info};
    struct hash_opened opened;
    opencl_api_use(&api);
    paper_count = RR_COUNT(papers);
    assert_int_equal(OPENCL->list(list, RR_COUNT(papers)), RR_COUNT(papers));
    assert_string_equal(list[0].id, "opencl:paper-co-ltd/gfx1030/0");
    assert_string_equal(list[0].name, "Radeon RX 6800 XT");
    assert_string_equal(list[0].pci, "0000:03:00.0");
    assert_string_equal(list[1].id, "opencl:paper-co-ltd/gfx1030/1");
    assert_string_equal(list[1].name, "gfx1030"); /* no board name: the chip's */
    assert_string_equal(list[1].pci, "0000:0a:00.1");
    assert_string_equal(list[2].id, "opencl:paper-co-ltd/tesla-v100-pcie-16gb/0");
    assert_string_equal(list[2].name, "Tesla V100-PCIE-16GB");
    assert_string_equal(list[2].pci, "0001:65:02.3");
    assert_string_equal(list[3].id, "opencl:paper-co-ltd/arc-a770/0");
    assert_string_equal(list[3].pci, "0000:04:00.0");
    for (size_t i = 0; i < RR_COUNT(papers); i++) {
        assert_int_equal(list[i].why_not[0] == '\0', i < 4);
        assert_int_equal(list[i].processor, papers[i].type == CL_DEVICE_TYPE_CPU);
        assert_int_equal(list[i].units, 36);
        assert_int_equal(list[i].memory_bytes, UINT64_C(16) << 30);
    }
    assert_string_equal(list[4].id, "opencl:paper-co-ltd/gfx1030/2");
    assert_string_equal(list[4].pci, "");
    assert_non_null(strstr(list[4].why_not, "1.2"));
    assert_non_null(strstr(list[5].why_not, "not available"));
    assert_non_null(strstr(list[6].why_not, "compiler"));
    assert_non_null(strstr(list[7].why_not, "endian"));
    assert_non_null(strstr(list[9].why_not, "1.2"));
    assert_int_equal(OPENCL->list(list, 3), 3);

    struct rr_fault fault = {0};
    const struct hash_open how = {0};
    void *none = NULL;
    assert_int_equal(OPENCL->list(list, RR_COUNT(papers)), RR_COUNT(papers));
    assert_int_equal(OPENCL->open(&none, &opened, &list[5], &how, &fault), RR_ERR_UNSUPPORTED);
    assert_non_null(strstr(fault.text, "not available"));
    paper_count = 3; /* the card has gone */
    assert_int_equal(OPENCL->open(&none, &opened, &list[3], &how, &fault), RR_ERR_NOTFOUND);
    paper_count = 0;
    assert_int_equal(OPENCL->list(list, RR_COUNT(papers)), 1);
    assert_string_equal(list[0].id, "opencl");
    assert_non_null(strstr(list[0].why_not, "no driver"));
    opencl_api_use(NULL);
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_build_without_opencl_says_so),
#ifdef RR_WITH_OPENCL
        cmocka_unit_test(cards_of_each_maker_are_listed_with_name_and_bus),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

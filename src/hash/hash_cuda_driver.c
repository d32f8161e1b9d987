/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Finds NVIDIA's driver at run time. */
#include "hash/hash_cuda_driver.h"
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#define LIBRARY "libcuda.so.1"

/* The fatbin, made by nvcc where there is one (cuda.cmake). */
#ifdef RR_CUDA_FATBIN
__asm__(".pushsection .rodata\n"
        ".balign 64\n"
        "rr_cuda_fatbin:\n"
        ".incbin \"" RR_CUDA_FATBIN "\"\n"
        ".balign 8\n"
        ".popsection\n");
extern const unsigned char rr_cuda_fatbin[] __attribute__((visibility("hidden")));
#define BUILT_IN         rr_cuda_fatbin
#define BUILT_IN_VERSION RR_CUDA_VERSION
#else
#define BUILT_IN         NULL
#define BUILT_IN_VERSION 0
#endif

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct {
    const char *library; /* of tests; NULL: LIBRARY */
    const void *image;
    int image_version;
    bool tried;
    bool usable;
    char why_not[200];
    void *handle;
    struct cuda_driver driver;
} state;

typedef int (*get_1)(const char *symbol, void **out, int version, uint64_t flags);
typedef int (*get_2)(const char *symbol, void **out, int version, uint64_t flags, int *status);

static void *find(get_1 first, get_2 second, const char *symbol, int version)
{
    void *out = NULL;
    int status = 0;
    int code = second != NULL ? second(symbol, &out, version, 0, &status)
                              : first(symbol, &out, version, 0);
    return code == CUDA_OK ? out : NULL;
}

/* Function pointers go through memcpy, as ISO C has no conversion from void *. */
static bool find_all(struct cuda_driver *driver, void *handle, char why_not[static 200])
{
    get_1 first = NULL;
    get_2 second = NULL;
    void *symbol = dlsym(handle, "cuGetProcAddress_v2");
    memcpy(&second, &symbol, sizeof(second));
    symbol = dlsym(handle, "cuGetProcAddress");
    memcpy(&first, &symbol, sizeof(first));
    const char *missing = first == NULL && second == NULL ? "cuGetProcAddress" : NULL;
#define X(name, text, since, parameters)                                                           \
    if (missing == NULL) {                                                                         \
        symbol = find(first, second, text, since);                                                 \
        memcpy(&driver->name, &symbol, sizeof(driver->name));                                      \
        missing = symbol == NULL ? (text) : NULL;                                                  \
    }
    CUDA_CALLS(X)
#undef X
    if (missing != NULL) {
        (void)snprintf(why_not, 200,
                       "NVIDIA's driver is too old: it has no %s; install version 580 or newer",
                       missing);
    }
    return missing == NULL;
}

const char *cuda_error_text(const struct cuda_driver *driver, int code, char text[static 32])
{
    const char *name = NULL;
    if (driver->error_name(code, &name) == CUDA_OK && name != NULL) {
        return name;
    }
    (void)snprintf(text, 32, "code %d", code);
    return text;
}

static bool load(void)
{
    const char *library = state.library != NULL ? state.library : LIBRARY;
    state.handle = dlopen(library, RTLD_NOW | RTLD_LOCAL);
    if (state.handle == NULL) {
        (void)snprintf(state.why_not, sizeof(state.why_not),
                       "no %s: NVIDIA's driver is not installed", LIBRARY);
        return false;
    }
    if (!find_all(&state.driver, state.handle, state.why_not)) {
        return false;
    }
    char text[32];
    int code = state.driver.init(0);
    if (code == CUDA_OK) {
        code = state.driver.driver_version(&state.driver.version);
    }
    if (code != CUDA_OK) {
        (void)snprintf(state.why_not, sizeof(state.why_not),
                       code == CUDA_NO_DEVICE
                           ? "NVIDIA's driver finds no device (%s)"
                           : "NVIDIA's driver does not start (%s); look at the kernel's log",
                       cuda_error_text(&state.driver, code, text));
        return false;
    }
    return true;
}

const struct cuda_driver *cuda_driver_get(char why_not[static 200])
{
    (void)pthread_mutex_lock(&lock);
    if (!state.tried) {
        state.tried = true;
        state.usable = load();
        if (!state.usable && state.handle != NULL) {
            (void)dlclose(state.handle);
            state.handle = NULL;
        }
    }
    bool usable = state.usable;
    (void)snprintf(why_not, 200, "%s", usable ? "" : state.why_not);
    (void)pthread_mutex_unlock(&lock);
    return usable ? &state.driver : NULL;
}

const void *cuda_image(int *version)
{
    (void)pthread_mutex_lock(&lock);
    const void *image = state.image != NULL ? state.image : BUILT_IN;
    *version = state.image != NULL ? state.image_version : BUILT_IN_VERSION;
    (void)pthread_mutex_unlock(&lock);
    return image;
}

void cuda_driver_use(const char *library, const void *image, int image_version)
{
    (void)pthread_mutex_lock(&lock);
    if (state.handle != NULL) {
        (void)dlclose(state.handle);
    }
    memset(&state, 0, sizeof(state));
    state.library = library;
    state.image = image;
    state.image_version = image_version;
    (void)pthread_mutex_unlock(&lock);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cpu/cpu.h"
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#define LOOKED 0x80000000u /* beside the features once the processor has been asked */

static _Atomic uint32_t found;
static _Atomic uint32_t allowed = RR_CPU_ALL;

#if defined(__x86_64__)
#include <cpuid.h>

static void read_name(char out[static 49])
{
    for (unsigned part = 0; part < 3; part++) {
        unsigned r[4] = {0};
        if (__get_cpuid(0x80000002u + part, &r[0], &r[1], &r[2], &r[3]) == 0) {
            return;
        }
        memcpy(out + (size_t)16 * part, r, 16);
    }
}

static uint32_t look(void)
{
    __builtin_cpu_init(); /* also asks the system whether it saves the wide registers */
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("bmi") ||
        !__builtin_cpu_supports("bmi2")) {
        return 0;
    }
    uint32_t features = RR_CPU_AVX2;
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl")) {
        features |= RR_CPU_AVX512;
    }
    return features;
}
#else
static void read_name(char out[static 49])
{
    (void)out;
}

static uint32_t look(void)
{
    return 0;
}
#endif

uint32_t rr_cpu_features(void)
{
    uint32_t features = atomic_load_explicit(&found, memory_order_relaxed);
    if (features == 0) {
        features = look() | LOOKED; /* the same for every thread that comes here */
        atomic_store_explicit(&found, features, memory_order_relaxed);
    }
    return features & ~LOOKED & atomic_load_explicit(&allowed, memory_order_relaxed);
}

void rr_cpu_narrow(uint32_t mask)
{
    atomic_store_explicit(&allowed, mask, memory_order_relaxed);
}

const char *rr_cpu_text(void)
{
    uint32_t features = rr_cpu_features();
    return (features & RR_CPU_AVX512) != 0 ? "avx512"
           : (features & RR_CPU_AVX2) != 0 ? "avx2"
                                           : "plain";
}

void rr_cpu_name(char out[static 49])
{
    char name[49] = {0};
    size_t len = 0;
    read_name(name);
    for (const char *p = name; *p != '\0'; p++) {
        bool doubled = *p == ' ' && (len == 0 || out[len - 1] == ' ');
        if (*p >= ' ' && *p <= '~' && !doubled) {
            out[len++] = *p;
        }
    }
    len -= len > 0 && out[len - 1] == ' ' ? 1 : 0;
    out[len] = '\0';
    if (len == 0) {
        memcpy(out, "processor", sizeof("processor"));
    }
}

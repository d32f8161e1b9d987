/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Report, phases and their limits, medians. */
#include "bench/gpu_bench.h"
#include <inttypes.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct rr_buf members; /* ",\n  "name": value" of each */
static const char *report_path;
static const char *phase_name = "start";
static uint64_t phase_until_us = UINT64_MAX;

uint64_t kit_now_us(void)
{
    return rr_monotonic_us(rr_clock_system());
}

void kit_json(const char *format, ...)
{
    char text[4096];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    (void)pthread_mutex_lock(&lock);
    rr_buf_format(&members, "%s", text);
    (void)pthread_mutex_unlock(&lock);
}

void kit_say(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    (void)vprintf(format, arguments);
    va_end(arguments);
    (void)printf("\n");
    (void)fflush(stdout);
}

/* The report as it is now. Lock held. */
static void write_report(const char *ended)
{
    struct rr_buf whole = {0};
    rr_buf_format(&whole, "{\n  \"ended\": \"%s\"", ended);
    rr_buf_append(&whole, members.ptr, members.len);
    rr_buf_format(&whole, "\n}\n");
    struct rr_fault fault = {0};
    if (report_path != NULL &&
        rr_file_write(report_path, rr_buf_slice(&whole), 0644, &fault) != RR_OK) {
        (void)fprintf(stderr, "gpu_bench: %s\n", fault.text);
    }
    rr_buf_clear(&whole);
}

_Noreturn static void end_in(const char *why)
{
    char text[512];
    char clean[400];
    size_t len = 0;
    for (const char *c = why; *c != '\0' && len + 1 < sizeof(clean); c++) {
        clean[len++] = *c == '"' || *c == '\\' || (unsigned char)*c < ' ' ? '\'' : *c;
    }
    clean[len] = '\0';
    (void)snprintf(text, sizeof(text), "in %s: %s", phase_name, clean);
    (void)fprintf(stderr, "gpu_bench: %s\n", text);
    write_report(text);
    _exit(3);
}

_Noreturn void kit_fail(const char *what, const struct rr_fault *fault)
{
    char text[400];
    (void)snprintf(text, sizeof(text), "%s: %s", what, fault != NULL ? fault->text : "");
    (void)pthread_mutex_lock(&lock);
    end_in(text);
}

void kit_check(enum rr_err err, const char *what, const struct rr_fault *fault)
{
    if (err != RR_OK) {
        kit_fail(what, fault);
    }
}

void kit_code(const struct gpu_bench *bench, int code, const char *what)
{
    struct rr_fault fault = {0};
    kit_check(cuda_result(bench->device, code, what, &fault), what, &fault);
}

void kit_holds(struct gpu_bench *bench, bool holds, const char *what)
{
    kit_say("  %s: %s", what, holds ? "equals the law" : "WRONG");
    bench->failures += holds ? 0 : 1;
    kit_json("%s\n    {\"what\": \"%s\", \"holds\": %s}", "", what, holds ? "true" : "false");
}

/* ---- phases -------------------------------------------------------------------------------------
 */
/* A kernel that hangs keeps the thread that waits for it: this one ends the program. */
static void *watch(void *argument)
{
    (void)argument;
    for (;;) {
        struct timespec nap = {.tv_nsec = 100000000};
        (void)nanosleep(&nap, NULL);
        (void)pthread_mutex_lock(&lock);
        if (kit_now_us() > phase_until_us) {
            end_in("took longer than its limit");
        }
        (void)pthread_mutex_unlock(&lock);
    }
    return NULL;
}

static void set_phase(const char *name, uint64_t until_us)
{
    (void)pthread_mutex_lock(&lock);
    phase_name = name;
    phase_until_us = until_us;
    (void)pthread_mutex_unlock(&lock);
}

void kit_phase(struct gpu_bench *bench, const char *name, unsigned limit_s,
               void (*run)(struct gpu_bench *bench))
{
    static bool started;
    uint64_t now = kit_now_us();
    if (!started) {
        pthread_t thread;
        report_path = bench->out_path;
        started = pthread_create(&thread, NULL, watch, NULL) == 0 && pthread_detach(thread) == 0;
    }
    uint64_t left_s = bench->until_us > now ? (bench->until_us - now) / 1000000 : 0;
    if (left_s < limit_s / 3 + 1) {
        kit_say("%s: skipped, %" PRIu64 " s are left", name, left_s);
        kit_json(",\n  \"%s\": \"skipped: no time left\"", name);
        return;
    }
    uint64_t limit_us = limit_s * UINT64_C(1000000);
    uint64_t until = now + limit_us < bench->until_us ? now + limit_us : bench->until_us;
    kit_say("%s", name);
    set_phase(name, bench->dry ? UINT64_MAX : until);
    run(bench);
    set_phase("between phases", UINT64_MAX);
    kit_json(",\n  \"%s_s\": %.3f", name, (double)(kit_now_us() - now) / 1e6);
    (void)pthread_mutex_lock(&lock);
    write_report("no: still running");
    (void)pthread_mutex_unlock(&lock);
}

void kit_end(const char *word)
{
    (void)pthread_mutex_lock(&lock);
    write_report(word);
    rr_buf_clear(&members);
    (void)pthread_mutex_unlock(&lock);
}

/* ---- medians ------------------------------------------------------------------------------------
 */
void kit_add(struct kit_times *times, double value)
{
    if (times->count < RR_COUNT(times->value)) {
        times->value[times->count++] = value;
    }
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;
    return (x > y) - (x < y);
}

static double at(const struct kit_times *times, uint32_t index)
{
    struct kit_times sorted = *times;
    qsort(sorted.value, sorted.count, sizeof(double), compare);
    return sorted.count == 0 ? 0 : sorted.value[index < sorted.count ? index : sorted.count - 1];
}
double kit_median(const struct kit_times *times)
{
    return at(times, times->count / 2);
}
double kit_least(const struct kit_times *times)
{
    return at(times, 0);
}
double kit_most(const struct kit_times *times)
{
    return at(times, UINT32_MAX);
}

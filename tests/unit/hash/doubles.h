/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Devices that a test rules: they compute by the CPU's backend, and are slow, lost, hang or lie as
 * they are told. */
#ifndef RR_TEST_DOUBLES_H
#define RR_TEST_DOUBLES_H
#include "unit/kernels/vectors.h"

#include "hash/hash_engine.h"
#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

/* 64 KiB dataset: a hash in microseconds with it, about half a millisecond without. */
static const struct rr_hash_params small = {
    .cache_items = 67, .dataset_items = 509, .seed = {1, 2, 3}};
#define WHOLE (UINT64_C(1) << 30)

enum lie {
    HONEST,
    FALSE_BEST, /* says that a nonce has a final that it has not */
    MISSES,     /* overlooks: its argmin is the first nonce, its targets are never met */
    WRONG_ALL   /* also in verify */
};

enum { DOUBLES = 4 };
struct told {
    bool there, processor;
    const char *pci, *name, *why_not;
    uint32_t slots, works_max, step;
    atomic_int lie;
    atomic_uint slow_us;    /* a quantum more */
    atomic_int fail_after;  /* searches until one fails; < 0: never */
    atomic_bool gate;       /* closed: searches and verifications wait for it */
    atomic_int open_err;    /* enum rr_err */
    atomic_int prepare_err; /* of the first prepare after a start */
    atomic_int next_err;    /* of every further one */
    atomic_bool null;       /* computes nothing, finds nothing */
    atomic_uint waiting;    /* threads at the gate */
    atomic_uint searches, verified, opened, prepared, released, tuned;
};
static struct told told[2][DOUBLES]; /* by backend, by device */

struct double_device {
    struct told *told;
    void *cpu;
    uint32_t epochs;
};
struct double_epoch {
    struct double_device *device;
    void *cpu;
    char tuning[96];
};

static inline void wait_ms(long ms)
{
    struct timespec time = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    (void)nanosleep(&time, NULL);
}

static inline size_t list_of(int backend, const char *name, struct rr_hash_device *out, size_t max)
{
    size_t count = 0;
    for (int i = 0; i < DOUBLES && count < max; i++) {
        const struct told *one = &told[backend][i];
        if (one->there) {
            struct rr_hash_device device = {.units = (uint32_t)i, .processor = one->processor};
            (void)snprintf(device.id, sizeof device.id, "%s:%d", name, i);
            (void)snprintf(device.backend, sizeof device.backend, "%s", name);
            (void)snprintf(device.driver, sizeof device.driver, "7.%d", backend);
            (void)snprintf(device.name, sizeof device.name, "%s", one->name ? one->name : "");
            (void)snprintf(device.pci, sizeof device.pci, "%s", one->pci ? one->pci : "");
            (void)snprintf(device.why_not, sizeof device.why_not, "%s",
                           one->why_not ? one->why_not : "");
            out[count++] = device;
        }
    }
    return count;
}

static inline size_t list_red(struct rr_hash_device *out, size_t max)
{
    return list_of(0, "red", out, max);
}

static inline size_t list_blue(struct rr_hash_device *out, size_t max)
{
    return list_of(1, "blue", out, max);
}

static inline enum rr_err double_open(void **device, struct hash_opened *opened,
                                      const struct rr_hash_device *which,
                                      const struct hash_open *how, struct rr_fault *fault)
{
    struct told *one = &told[strcmp(which->backend, "blue") == 0][which->units];
    enum rr_err err = (enum rr_err)atomic_load(&one->open_err);
    if (err != RR_OK) {
        return rr_fail(fault, err, "%s does not open, as the test told it", which->id);
    }
    struct double_device *made = rr_alloc(sizeof(*made));
    made->told = one;
    err = hash_backend_cpu.open(&made->cpu, opened, which, how, fault);
    opened->slots = one->slots > 0 ? one->slots : 1;
    opened->works_max = one->works_max > 0 ? one->works_max : 64;
    opened->hashes_step = one->step > 0 ? one->step : 1;
    opened->hashes_first = opened->hashes_step;
    atomic_fetch_add(&one->opened, 1);
    *device = made;
    return err;
}

static inline enum rr_err double_prepare(void **epoch, void *device, const struct hash_setup *setup,
                                         struct rr_fault *fault)
{
    struct double_device *of = device;
    enum rr_err err =
        (enum rr_err)atomic_load(of->epochs++ == 0 ? &of->told->prepare_err : &of->told->next_err);
    if (err != RR_OK) {
        return rr_fail(fault, err, "no dataset, as the test told it");
    }
    struct double_epoch made = {.device = of};
    memcpy(made.tuning, setup->tuning.text, sizeof made.tuning);
    err = hash_backend_cpu.prepare(&made.cpu, of->cpu, setup, fault);
    if (err == RR_OK) {
        *epoch = memcpy(rr_alloc(sizeof made), &made, sizeof made);
        atomic_fetch_add(&of->told->prepared, 1);
    }
    return err;
}

static inline void pass_gate(struct told *one)
{
    atomic_fetch_add(&one->waiting, 1);
    while (atomic_load(&one->gate)) {
        wait_ms(1);
    }
    atomic_fetch_sub(&one->waiting, 1);
}

static inline enum rr_err double_search(void *epoch, uint32_t slot, struct hash_candidate *out,
                                        const struct hash_work *works, size_t count,
                                        struct rr_fault *fault)
{
    struct double_epoch *of = epoch;
    struct told *one = of->device->told;
    atomic_fetch_add(&one->searches, 1);
    pass_gate(one);
    if (atomic_load(&one->fail_after) >= 0 && atomic_fetch_sub(&one->fail_after, 1) == 0) {
        return rr_fail(fault, RR_ERR_IO, "fell off the bus, as the test told it");
    }
    if (atomic_load(&one->null) && works[0].nonce < UINT64_C(0xfffffffffffffff0)) {
        for (size_t i = 0; i < count; i++) {
            out[i] = (struct hash_candidate){.done = works[i].count};
        }
        return RR_OK;
    }
    if (atomic_load(&one->slow_us) > 0) {
        struct timespec time = {.tv_nsec = (long)atomic_load(&one->slow_us) * 1000};
        (void)nanosleep(&time, NULL);
    }
    enum rr_err err = hash_backend_cpu.search(of->cpu, slot, out, works, count, fault);
    enum lie lie = (enum lie)atomic_load(&one->lie);
    for (size_t i = 0; i < count && lie != HONEST; i++) {
        if (lie == MISSES && works[i].kind == RR_HASH_TARGET) {
            out[i] = (struct hash_candidate){.done = works[i].count};
        } else if (lie == MISSES) {
            struct hash_work first = works[i];
            first.count = 1;
            (void)hash_backend_cpu.search(of->cpu, slot, &out[i], &first, 1, fault);
            out[i].done = works[i].count;
        } else {
            out[i] = (struct hash_candidate){
                .found = true, .done = works[i].count, .nonce = works[i].nonce};
        }
    }
    return err;
}

static inline enum rr_err double_verify(void *epoch, struct rr_hash_check *checks, size_t count,
                                        struct rr_fault *fault)
{
    struct double_epoch *of = epoch;
    struct told *one = of->device->told;
    pass_gate(one);
    atomic_fetch_add(&one->verified, (unsigned)count);
    enum rr_err err = hash_backend_cpu.verify(of->cpu, checks, count, fault);
    for (size_t i = 0; i < count && atomic_load(&one->lie) == WRONG_ALL; i++) {
        checks[i].final_be[31] ^= 1;
    }
    return err;
}

static inline enum rr_err double_tune(void *epoch, struct hash_tuning *best, struct rr_fault *fault)
{
    struct double_epoch *of = epoch;
    (void)fault;
    (void)snprintf(best->text, sizeof best->text, "variant=%u",
                   atomic_fetch_add(&of->device->told->tuned, 1));
    return RR_OK;
}

static const char *double_text(const void *epoch)
{
    return hash_backend_cpu.text(((const struct double_epoch *)epoch)->cpu);
}

static inline void double_release(void *epoch)
{
    struct double_epoch *of = epoch;
    hash_backend_cpu.release(of->cpu);
    atomic_fetch_add(&of->device->told->released, 1);
    rr_free(of);
}

static inline void double_close(void *device)
{
    struct double_device *of = device;
    hash_backend_cpu.close(of->cpu);
    rr_free(of);
}

static struct hash_backend double_red = {"red",          list_red,      double_open, double_prepare,
                                         double_search,  double_verify, NULL,        double_text,
                                         double_release, double_close};
static struct hash_backend double_blue = {
    "blue",        list_blue,   double_open, double_prepare, double_search,
    double_verify, double_tune, double_text, double_release, double_close};
static const struct hash_backend *const double_backends[] = {&double_red, &double_blue,
                                                             &hash_backend_cpu};

/* All forgotten; red:0 is there. */
static inline void tell_again(void)
{
    memset(told, 0, sizeof told);
    for (int i = 0; i < 2 * DOUBLES; i++) {
        atomic_store(&told[i / DOUBLES][i % DOUBLES].fail_after, -1);
    }
    told[0][0].there = true;
}

static inline struct hash_kit double_kit(void)
{
    /* Times of a test: proofs never but at the start, hangs and restarts after moments. */
    return (struct hash_kit){
        .backends = double_backends,
        .count = RR_COUNT(double_backends),
        .falls_back = true,
        .times = {
            .hang_us = 10000000, .backoff_us = 20000, .steady_us = 3600000000, .restarts_max = 2}};
}
#endif

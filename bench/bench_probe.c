/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "bench/bench_probe.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#define HUGE_BYTES   (UINT64_C(2) << 20)
#define READS        8192 /* of one call */
#define AHEAD_MAX    64
#define STREAM_AHEAD 2048
#define STREAM_STEP  (UINT64_C(4) << 20)

/* ---- threads ------------------------------------------------------------------------------------
 */
struct hand {
    uint64_t (*work)(void *ctx, uint32_t thread, uint64_t call);
    void *ctx;
    uint32_t number, budget_ms;
    pthread_barrier_t *start;
    pthread_t thread;
    double per_s;
};

/* Of this thread's processor time: what others take of a shared machine does not count. */
static uint64_t spent_us(void)
{
    struct timespec spent;
    RR_CHECK(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &spent) == 0);
    return (uint64_t)spent.tv_sec * 1000000 + (uint64_t)spent.tv_nsec / 1000;
}

static void *labour(void *argument)
{
    struct hand *hand = argument;
    if (hand->start != NULL) {
        (void)pthread_barrier_wait(hand->start);
    }
    uint64_t from_us = spent_us();
    uint64_t took_us = 0;
    uint64_t units = 0;
    for (uint64_t call = 0; took_us < UINT64_C(1000) * hand->budget_ms; call++) {
        units += hand->work(hand->ctx, hand->number, call);
        took_us = spent_us() - from_us;
    }
    hand->per_s = (double)units * 1e6 / (double)took_us;
    return NULL;
}

double bench_rate(uint32_t threads, uint32_t budget_ms,
                  uint64_t (*work)(void *ctx, uint32_t thread, uint64_t call), void *ctx)
{
    struct hand hands[BENCH_THREADS_MAX];
    pthread_barrier_t start;
    double per_s = 0;
    RR_CHECK(threads >= 1 && threads <= BENCH_THREADS_MAX);
    RR_CHECK(pthread_barrier_init(&start, NULL, threads) == 0);
    for (uint32_t i = 0; i < threads; i++) {
        hands[i] = (struct hand){.work = work,
                                 .ctx = ctx,
                                 .number = i,
                                 .budget_ms = budget_ms,
                                 .start = threads > 1 ? &start : NULL};
    }
    for (uint32_t i = 1; i < threads; i++) {
        RR_CHECK(pthread_create(&hands[i].thread, NULL, labour, &hands[i]) == 0);
    }
    (void)labour(&hands[0]);
    for (uint32_t i = 0; i < threads; i++) {
        if (i > 0) {
            (void)pthread_join(hands[i].thread, NULL);
        }
        per_s += hands[i].per_s;
    }
    (void)pthread_barrier_destroy(&start);
    return per_s;
}

/* ---- reads --------------------------------------------------------------------------------------
 */
struct probe {
    const uint8_t *buffer;
    uint64_t rows;
    uint32_t row_bytes, ahead, threads;
    _Atomic uint64_t sink; /* keeps the reads from being left out */
};

/* The row of a number: two odd multipliers of SplitMix64 spread it. No row waits for another. */
static inline const uint8_t *row_at(const struct probe *probe, uint64_t number, uint32_t row_bytes)
{
    uint64_t mixed = number * UINT64_C(0xbf58476d1ce4e5b9);
    mixed = (mixed ^ mixed >> 31) * UINT64_C(0x94d049bb133111eb);
    return probe->buffer + (((mixed >> 32) * probe->rows) >> 32) * row_bytes;
}

/* A ring of rows that were asked for: the oldest is read, and a new one takes its place. A word of
 * each line is read: the memory gives the line in any case. row_bytes is a constant where this is
 * inlined. */
static inline uint64_t gather(struct probe *probe, uint32_t thread, uint64_t call,
                              uint32_t row_bytes)
{
    const uint8_t *asked[AHEAD_MAX];
    uint64_t first = (call * BENCH_THREADS_MAX + thread) * (READS + AHEAD_MAX);
    uint64_t sum = 0;
    uint32_t mask = probe->ahead - 1;
    for (uint32_t i = 0; i < AHEAD_MAX; i++) {
        asked[i] = probe->buffer;
    }
    for (uint32_t i = 0; i < probe->ahead + READS; i++) {
        const uint8_t **at = &asked[i & mask];
        for (uint32_t line = 0; line < row_bytes; line += 64) {
            uint64_t word;
            memcpy(&word, *at + line, 8);
            sum += word;
        }
        *at = row_at(probe, first + i, row_bytes);
        for (uint32_t line = 0; line < row_bytes; line += 64) {
            __builtin_prefetch(*at + line, 0, 2);
        }
    }
    probe->sink += sum;
    return READS;
}

static uint64_t gather_64(void *ctx, uint32_t thread, uint64_t call)
{
    return gather(ctx, thread, call, 64);
}

static uint64_t gather_128(void *ctx, uint32_t thread, uint64_t call)
{
    return gather(ctx, thread, call, 128);
}

double bench_gather(const void *buffer, uint64_t rows, uint32_t row_bytes, uint32_t threads,
                    uint32_t budget_ms)
{
    struct probe probe = {.buffer = buffer, .rows = rows, .row_bytes = row_bytes};
    uint64_t (*work)(void *, uint32_t, uint64_t) = row_bytes == 64 ? gather_64 : gather_128;
    double best = 0;
    for (probe.ahead = 8; probe.ahead <= AHEAD_MAX; probe.ahead *= 2) {
        double per_s = bench_rate(threads, budget_ms, work, &probe);
        best = per_s > best ? per_s : best;
    }
    return best;
}

static uint64_t stream(void *ctx, uint32_t thread, uint64_t call)
{
    struct probe *probe = ctx;
    uint64_t steps = probe->rows / probe->threads; /* each thread's own */
    const uint8_t *from = probe->buffer + (thread * steps + call % steps) * STREAM_STEP;
    uint64_t sum[8] = {0};
    for (uint64_t at = 0; at < STREAM_STEP; at += 64) {
        uint64_t line[8];
        __builtin_prefetch(from + at + STREAM_AHEAD, 0, 2);
        memcpy(line, from + at, 64);
        for (int w = 0; w < 8; w++) {
            sum[w] += line[w];
        }
    }
    probe->sink += sum[0] ^ sum[1] ^ sum[2] ^ sum[3] ^ sum[4] ^ sum[5] ^ sum[6] ^ sum[7];
    return STREAM_STEP;
}

double bench_stream(const void *buffer, uint64_t bytes, uint32_t threads, uint32_t budget_ms)
{
    struct probe probe = {.buffer = buffer, .rows = bytes / STREAM_STEP, .threads = threads};
    RR_CHECK(probe.rows >= threads);
    return bench_rate(threads, budget_ms, stream, &probe);
}

/* ---- memory -------------------------------------------------------------------------------------
 */
void *bench_map(uint64_t bytes, bool huge)
{
    /* More than asked for, so that a start at a huge page can be cut out. */
    uint64_t whole = (bytes + HUGE_BYTES - 1) / HUGE_BYTES * HUGE_BYTES;
    uint8_t *map = mmap(NULL, (size_t)(whole + HUGE_BYTES), PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (map == MAP_FAILED) {
        return NULL;
    }
    uint64_t before = (HUGE_BYTES - (uintptr_t)map % HUGE_BYTES) % HUGE_BYTES;
    if (before > 0) {
        (void)munmap(map, (size_t)before);
    }
    if (before < HUGE_BYTES) {
        (void)munmap(map + before + whole, (size_t)(HUGE_BYTES - before));
    }
    map += before;
    (void)madvise(map, (size_t)whole, huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
    uint64_t state = 1;
    for (uint64_t at = 0; at < bytes / 8; at++) {
        state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        uint64_t word = state ^ state >> 29;
        memcpy(map + 8 * at, &word, 8);
    }
    return map;
}

void bench_unmap(void *map, uint64_t bytes)
{
    if (map != NULL) {
        (void)munmap(map, (size_t)((bytes + HUGE_BYTES - 1) / HUGE_BYTES * HUGE_BYTES));
    }
}

uint64_t bench_huge_bytes(const void *map)
{
    FILE *file = fopen("/proc/self/smaps", "re");
    char line[512];
    uint64_t kib = 0;
    bool here = false;
    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        static const char key[] = "AnonHugePages:";
        char *rest = line;
        uint64_t from = strtoull(line, &rest, 16);
        if (rest != line && *rest == '-') { /* "from-until rights ...": a map begins */
            here = (uintptr_t)map >= from && (uintptr_t)map < strtoull(rest + 1, NULL, 16);
        } else if (here && strncmp(line, key, sizeof key - 1) == 0) {
            kib = strtoull(line + sizeof key - 1, NULL, 10);
            break;
        }
    }
    if (file != NULL) {
        fclose(file);
    }
    return kib << 10;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the memory gives at best, and work by several threads at a time. Private to bench. */
#ifndef RR_BENCH_PROBE_H
#define RR_BENCH_PROBE_H
#include "base/base.h"

#define BENCH_THREADS_MAX 2
/* Calls work(ctx, thread, call) again and again on `threads` threads for budget_ms each, starting
 * together; it gives the units that it made. The sum of their units per second of processor time.
 */
double bench_rate(uint32_t threads, uint32_t budget_ms,
                  uint64_t (*work)(void *ctx, uint32_t thread, uint64_t call), void *ctx);

/* Random reads of rows of 64 or 128 bytes whose addresses do not depend on what is read: the best
 * of a sweep over how many are asked for ahead. Rows per second of all threads. */
double bench_gather(const void *buffer, uint64_t rows, uint32_t row_bytes, uint32_t threads,
                    uint32_t budget_ms);
/* Reading from start to end: bytes per second of all threads, each with its own part. */
double bench_stream(const void *buffer, uint64_t bytes, uint32_t threads, uint32_t budget_ms);

/* Memory for measurements, filled with random words; huge: in pages of 2 MiB where the kernel has
 * them, else of 4 KiB. NULL when there is none. */
void *bench_map(uint64_t bytes, bool huge);
void bench_unmap(void *map, uint64_t bytes);
/* Bytes of it that really are in huge pages; 0 where the kernel does not say. */
uint64_t bench_huge_bytes(const void *map);
#endif

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the parts of `bench hash` share. Private to bench. */
#ifndef RR_BENCH_HASH_H
#define RR_BENCH_HASH_H
#include "bench/bench_probe.h"
#include "bench/bench_rows.h"
#include "bench/peer_ethash/peer_ethash.h"
#include "ethash/ethash.h"
#include "keccak/keccak.h"

/* Memory of epoch 0, and one after the other all that is measured on it. */
struct hash_world {
    struct rr_ethash_node *cache, *dataset, *scratch; /* scratch: room for another cache */
    uint32_t cache_items, dataset_items;
    uint64_t dataset_bytes;
    uint32_t threads; /* 1, or 2 where there are two cores */
    uint64_t from_us; /* when it was opened; the monotonic clock */
    struct rr_ethash_node *rows[BENCH_THREADS_MAX];
    struct rr_ethash_try *tries[BENCH_THREADS_MAX];
    const struct rr_peer_ethash *peer; /* NULL: none */
    void *peer_library, *peer_epoch;
    _Atomic uint64_t sink; /* keeps work from being left out */
};
/* Maps and fills, loads the peer (path NULL: none), and compares every variant and the peer with
 * the law: RR_ERR_DAMAGED names the one that is wrong. RR_ERR_MEMORY, RR_ERR_USAGE (a peer that is
 * none). Closed by hash_world_close. */
enum rr_err hash_world_open(struct hash_world *world, const char *peer_path,
                            struct rr_fault *fault) RR_MUST_USE;
void hash_world_close(struct hash_world *world);
/* Whether so much more may be mapped: at most half of what is free. */
bool hash_world_has(uint64_t bytes);

#define HASH_ROWS_MAX 128
struct hash_table {
    struct bench_row rows[HASH_ROWS_MAX];
    char texts[HASH_ROWS_MAX][96];
    size_t count, text_count;
};
struct bench_row *hash_table_row(struct hash_table *table);
/* A copy that lives as long as the table. */
const char *hash_table_text(struct hash_table *table, const char *text);

/* 5000 small argmin jobs, and fewer larger ones, through the door against one job of their total:
 * rows `small_jobs`. */
enum rr_err hash_small_jobs(struct hash_table *table, const struct hash_world *world,
                            struct rr_fault *fault) RR_MUST_USE;
#endif

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Question: how near is the hash on the CPU to what its memory gives, and how far from the plain
 * law and from another library?
 * Method: in each of five turns every variant that this processor runs, the limit and the peer work
 * for BUDGET_MS each, one after the other; ratios are taken turn by turn, medians count. Rates are
 * per second of processor time, so that others on a shared machine do not count (small_jobs: of the
 * clock). Limits: random reads of rows that do not wait for each other over the same buffer, best
 * of a sweep of how many are asked for ahead; reading from start to end for Keccak, whose states
 * need no memory; the law's permutations for the light cache, which is a chain of them; one job of
 * the same total for small jobs. Each variant's results are compared with the law's first. What
 * would make it wrong: a probe slower than the search (a ratio above 1 says so), a dataset that
 * fits into a cache (the sweep shows where), huge pages that the kernel did not give (the row
 * says). The dataset holds random words: its rows cost what true ones cost. */
#include "bench/bench_hash.h"
#include "bench/bench.h"
#include "cpu/cpu.h"

#include <stdio.h>
#include <string.h>

#define BUDGET_MS      12
#define LIGHT_MS       30
#define LIGHT_RUNS     3 /* caches take half a second each */
#define ITEMS_AT_ONCE  64u
#define TRIES_AT_ONCE  256u
#define CHECKS_AT_ONCE 32u
#define KECCAKS        64u
#define MIB            (UINT64_C(1) << 20)
#define LARGE_MIB      UINT64_C(4096)
/* On a machine that others use the parts that are no row's only source are left out after this: the
 * whole stays within a minute. */
#define ENOUGH_US (UINT64_C(30) * 1000000)

/* What a work of an entry needs; one for each entry. */
struct subject {
    struct hash_world *world;
    const struct rr_ethash_kernels *kernels;
    const struct rr_keccak_kernels *lanes;
    bool peer;
    size_t at_once;
};
struct entry {
    struct bench_row *row;
    struct subject subject;
    uint64_t (*work)(void *ctx, uint32_t thread, uint64_t call);
};

/* ---- works --------------------------------------------------------------------------------------
 */
static uint64_t keccak_work(void *ctx, uint32_t thread, uint64_t call)
{
    const struct subject *s = ctx;
    uint64_t lanes[25 * 8] = {thread + 1, call};
    uint32_t states = s->peer ? 1 : s->lanes->states;
    for (uint32_t i = 0; i < KECCAKS; i++) {
        if (s->peer) {
            s->world->peer->keccak_f1600(lanes);
        } else {
            s->lanes->permute(lanes);
        }
    }
    s->world->sink += lanes[0];
    return (uint64_t)states * KECCAKS;
}

static uint64_t item_work(void *ctx, uint32_t thread, uint64_t call)
{
    const struct subject *s = ctx;
    struct hash_world *w = s->world;
    uint32_t first = (uint32_t)((call * 7919 + thread) * ITEMS_AT_ONCE) % w->dataset_items;
    s->kernels->items(w->rows[thread], w->cache, w->cache_items, first, ITEMS_AT_ONCE);
    w->sink += w->rows[thread][0].word[0];
    return ITEMS_AT_ONCE;
}

static void number_tries(struct rr_ethash_try *tries, size_t count, uint32_t thread, uint64_t call)
{
    for (size_t i = 0; i < count; i++) {
        tries[i].nonce = (call * BENCH_THREADS_MAX + thread) * TRIES_AT_ONCE + i;
    }
}

static uint64_t full_work(void *ctx, uint32_t thread, uint64_t call)
{
    const struct subject *s = ctx;
    struct hash_world *w = s->world;
    struct rr_ethash_try *tries = w->tries[thread];
    number_tries(tries, s->at_once, thread, call);
    for (size_t i = 0; s->peer && i < s->at_once; i++) {
        w->peer->full(w->peer_epoch, tries[i].header_hash, tries[i].nonce, tries[i].mix,
                      tries[i].final_be);
    }
    if (!s->peer) {
        s->kernels->full(tries, s->at_once, w->dataset, w->dataset_items);
    }
    w->sink += tries[0].final_be[31];
    return s->at_once;
}

static uint64_t light_work(void *ctx, uint32_t thread, uint64_t call)
{
    const struct subject *s = ctx;
    struct hash_world *w = s->world;
    struct rr_ethash_try *tries = w->tries[thread];
    number_tries(tries, s->at_once, thread, call);
    for (size_t i = 0; s->peer && i < s->at_once; i++) {
        w->peer->light(w->peer_epoch, tries[i].header_hash, tries[i].nonce, tries[i].mix,
                       tries[i].final_be);
    }
    if (!s->peer) {
        s->kernels->light(tries, s->at_once, w->cache, w->cache_items, w->dataset_items);
    }
    w->sink += tries[0].final_be[31];
    return s->at_once;
}

/* The peer's items are those of its light hash: it gives none of its own to the outside. */
static uint64_t peer_item_work(void *ctx, uint32_t thread, uint64_t call)
{
    return light_work(ctx, thread, call) * 64;
}

static uint64_t cache_work(void *ctx, uint32_t thread, uint64_t call)
{
    const struct subject *s = ctx;
    const uint8_t seed[32] = {(uint8_t)call, (uint8_t)thread};
    rr_ethash_cache(s->world->scratch, s->world->cache_items, seed);
    s->world->sink += s->world->scratch[0].word[0];
    return 1;
}

/* ---- limits -------------------------------------------------------------------------------------
 */
static double states_limit(struct hash_world *w, uint32_t threads)
{
    return bench_stream(w->dataset, w->dataset_bytes, threads, BUDGET_MS) / 200;
}

static double chain_limit(struct hash_world *w, uint32_t threads)
{
    struct subject law = {.world = w, .lanes = rr_keccak_kernels_at(0)};
    return bench_rate(threads, LIGHT_MS, keccak_work, &law) / (4.0 * w->cache_items);
}

static double item_limit(struct hash_world *w, uint32_t threads)
{
    return bench_gather(w->cache, w->cache_items, 64, threads, BUDGET_MS) / 512;
}

static double light_limit(struct hash_world *w, uint32_t threads)
{
    return item_limit(w, threads) / 64;
}

static double full_limit(struct hash_world *w, uint32_t threads)
{
    return bench_gather(w->dataset, w->dataset_items, 128, threads, BUDGET_MS) / 64;
}

/* ---- contests -----------------------------------------------------------------------------------
 */
struct contest {
    const char *name, *unit, *limit_name;
    double (*limit)(struct hash_world *w, uint32_t threads);
    uint64_t (*work)(void *ctx, uint32_t thread, uint64_t call);
    uint64_t (*peer_work)(void *ctx, uint32_t thread, uint64_t call); /* NULL: none */
    size_t at_once, law_at_once;
    uint32_t budget_ms, runs;
    bool best_alone; /* only the fastest variant, no law */
    bool law_alone;
};

static bool runs_here(uint32_t needs)
{
    return (needs & ~rr_cpu_features()) == 0;
}

static void add_entry(struct hash_table *table, struct entry *entries, size_t *count,
                      const struct contest *c, struct subject subject, const char *variant,
                      uint32_t threads)
{
    struct bench_row *row = hash_table_row(table);
    row->name = c->name;
    row->unit = c->unit;
    row->limit_name = c->limit_name;
    row->variant = variant;
    row->threads = threads;
    row->runs = c->runs;
    subject.at_once = subject.kernels == rr_ethash_kernels_at(0) ? c->law_at_once : c->at_once;
    subject.at_once = subject.peer ? c->law_at_once : subject.at_once;
    entries[(*count)++] = (struct entry){
        .row = row, .subject = subject, .work = subject.peer ? c->peer_work : c->work};
}

static size_t line_up(struct hash_table *table, struct entry *entries, const struct contest *c,
                      struct hash_world *w)
{
    size_t count = 0;
    size_t variants = 0;
    while (rr_ethash_kernels_at(variants) != NULL) {
        variants++;
    }
    for (uint32_t threads = 1; threads <= w->threads; threads++) {
        for (size_t i = 0; i < variants; i++) {
            /* Both lists have the same variants in the same order. */
            const struct rr_ethash_kernels *kernels = rr_ethash_kernels_at(i);
            struct subject subject = {
                .world = w, .kernels = kernels, .lanes = rr_keccak_kernels_at(i)};
            bool best = kernels == rr_ethash_kernels_choose(UINT32_MAX);
            bool wanted = c->law_alone ? i == 0 && threads == 1 : !c->best_alone || best;
            if (wanted && runs_here(kernels->needs)) {
                add_entry(table, entries, &count, c, subject, kernels->name, threads);
            }
        }
        if (threads == 1 && w->peer != NULL && c->peer_work != NULL && !c->best_alone) {
            struct subject subject = {.world = w, .peer = true};
            add_entry(table, entries, &count, c, subject, w->peer->name, threads);
        }
    }
    return count;
}

/* The law and the peer of one thread beside every row: a ratio of two threads is of all they do. */
static void compare(struct entry *entries, size_t count)
{
    const struct bench_row *law = NULL;
    const struct bench_row *peer = NULL;
    for (size_t i = 0; i < count; i++) {
        if (entries[i].row->threads == 1) {
            law = strcmp(entries[i].row->variant, "ref") == 0 ? entries[i].row : law;
            peer = entries[i].subject.peer ? entries[i].row : peer;
        }
    }
    for (size_t i = 0; i < count; i++) {
        struct bench_row *row = entries[i].row;
        if (law != NULL && row != law) {
            memcpy(row->ref, law->ours, sizeof row->ref);
        }
        if (peer != NULL && row != peer) {
            memcpy(row->peer, peer->ours, sizeof row->peer);
        }
    }
}

static void hold(struct hash_table *table, const struct contest *c, struct hash_world *w,
                 const char *what)
{
    struct entry entries[16] = {0};
    size_t count = line_up(table, entries, c, w);
    const char *kept = what != NULL ? hash_table_text(table, what) : NULL;
    for (uint32_t turn = 0; turn < c->runs; turn++) {
        for (uint32_t threads = 1; threads <= w->threads; threads++) {
            double limit = c->law_alone && threads > 1 ? 0 : c->limit(w, threads);
            for (size_t i = 0; i < count; i++) {
                struct entry *e = &entries[i];
                if (e->row->threads == threads) {
                    e->row->ours[turn] = bench_rate(threads, c->budget_ms, e->work, &e->subject);
                    e->row->limit[turn] = limit;
                }
            }
        }
    }
    for (size_t i = 0; i < count; i++) {
        entries[i].row->what = kept;
    }
    compare(entries, count);
}

/* ---- the whole ----------------------------------------------------------------------------------
 */
static const struct contest keccaks = {.name = "keccak_f1600",
                                       .unit = "perms/s",
                                       .limit_name = "states read in order",
                                       .limit = states_limit,
                                       .work = keccak_work,
                                       .peer_work = keccak_work,
                                       .budget_ms = BUDGET_MS,
                                       .runs = BENCH_RUNS};
static const struct contest caches = {.name = "light_cache",
                                      .unit = "caches/s",
                                      .limit_name = "its permutations",
                                      .limit = chain_limit,
                                      .work = cache_work,
                                      .budget_ms = 1,
                                      .runs = LIGHT_RUNS,
                                      .law_alone = true};
static const struct contest items = {.name = "dataset_item",
                                     .unit = "items/s",
                                     .limit_name = "random 64 B reads",
                                     .limit = item_limit,
                                     .work = item_work,
                                     .peer_work = peer_item_work,
                                     .law_at_once = 1,
                                     .budget_ms = BUDGET_MS,
                                     .runs = BENCH_RUNS};
static const struct contest searches = {.name = "full_search",
                                        .unit = "hashes/s",
                                        .limit_name = "random 128 B reads",
                                        .limit = full_limit,
                                        .work = full_work,
                                        .peer_work = full_work,
                                        .at_once = TRIES_AT_ONCE,
                                        .law_at_once = TRIES_AT_ONCE,
                                        .budget_ms = BUDGET_MS,
                                        .runs = BENCH_RUNS};
static const struct contest verifies = {.name = "light_verify",
                                        .unit = "hashes/s",
                                        .limit_name = "random 64 B reads",
                                        .limit = light_limit,
                                        .work = light_work,
                                        .peer_work = light_work,
                                        .at_once = 1,
                                        .law_at_once = 1,
                                        .budget_ms = LIGHT_MS,
                                        .runs = BENCH_RUNS};

static bool late(const struct hash_world *w, const char *what)
{
    bool is = rr_monotonic_us(rr_clock_system()) - w->from_us > ENOUGH_US;
    if (is) {
        rr_log(RR_LOG_WARN, "bench", "left out for want of time: %s", what);
    }
    return is;
}

static void one_size(struct hash_table *table, struct hash_world *w, uint64_t mib)
{
    struct contest c = searches;
    char what[64];
    c.best_alone = true;
    w->dataset_items = (uint32_t)(mib * MIB / 128 - 1);
    (void)snprintf(what, sizeof what, "dataset %u MiB, huge pages", (unsigned)mib);
    hold(table, &c, w, what);
}

/* Datasets below and above that of epoch 0. */
static void sweep(struct hash_table *table, struct hash_world *w)
{
    struct rr_ethash_node *epoch = w->dataset;
    uint32_t epoch_items = w->dataset_items;
    one_size(table, w, 64);
    one_size(table, w, 256);
    if (hash_world_has(LARGE_MIB * MIB) && !late(w, "larger datasets")) {
        w->dataset = bench_map(LARGE_MIB * MIB, true);
        if (w->dataset != NULL) {
            one_size(table, w, LARGE_MIB / 2);
            one_size(table, w, LARGE_MIB);
        }
        bench_unmap(w->dataset, LARGE_MIB * MIB);
    }
    w->dataset = epoch;
    w->dataset_items = epoch_items;
}

/* With 4 KiB pages, as a library gets them that does not ask for others. */
static void small_pages(struct hash_table *table, struct hash_world *w)
{
    struct rr_ethash_node *huge[2] = {w->cache, w->dataset};
    uint64_t cache_bytes = UINT64_C(64) * w->cache_items;
    uint64_t dataset_bytes = UINT64_C(128) * w->dataset_items;
    w->cache = bench_map(cache_bytes, false);
    w->dataset = bench_map(dataset_bytes, false);
    if (w->cache != NULL && w->dataset != NULL) {
        hold(table, &items, w, "4 KiB pages");
        hold(table, &searches, w, "dataset 1024 MiB, 4 KiB pages");
    }
    bench_unmap(w->cache, cache_bytes);
    bench_unmap(w->dataset, dataset_bytes);
    w->cache = huge[0];
    w->dataset = huge[1];
}

static enum rr_err run_all(struct hash_table *table, struct hash_world *w, struct rr_fault *fault)
{
    char what[2][96];
    struct contest batch = verifies;
    batch.name = "light_verify_batch";
    batch.at_once = CHECKS_AT_ONCE;
    (void)snprintf(what[0], sizeof what[0], "%u of %u MiB in huge pages",
                   (unsigned)(bench_huge_bytes(w->cache) / MIB),
                   (unsigned)(UINT64_C(64) * w->cache_items / MIB + 1));
    (void)snprintf(what[1], sizeof what[1], "dataset 1024 MiB, %u of %u in huge pages",
                   (unsigned)(bench_huge_bytes(w->dataset) / MIB),
                   (unsigned)(w->dataset_bytes / MIB));
    hold(table, &keccaks, w, NULL);
    hold(table, &caches, w, "epoch 0");
    hold(table, &items, w, what[0]);
    hold(table, &searches, w, what[1]);
    hold(table, &verifies, w, "one at a time");
    hold(table, &batch, w, "32 at a time");
    enum rr_err err = hash_small_jobs(table, w, fault);
    if (err == RR_OK && !late(w, "4 KiB pages")) {
        small_pages(table, w);
    }
    if (err == RR_OK && !late(w, "the sweep of dataset sizes")) {
        sweep(table, w);
    }
    return err;
}

enum rr_err rr_bench_hash(struct rr_buf *out, bool json, const char *peer_path)
{
    struct hash_world world;
    struct hash_table table = {0};
    struct rr_fault fault = {0};
    enum rr_err err = hash_world_open(&world, peer_path, &fault);
    if (err == RR_OK) {
        err = run_all(&table, &world, &fault);
        if (err == RR_OK) { /* before the peer is unloaded: its name is in the rows */
            bench_report(out, json,
                         "the hash on the CPU beside random reads of its memory; epoch 0, rates "
                         "per second of processor time",
                         table.rows, table.count);
        }
        hash_world_close(&world);
    }
    if (err != RR_OK) {
        rr_log_fault(RR_LOG_ERROR, "bench", &fault);
    }
    return err;
}

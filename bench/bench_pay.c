/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Question: what does taking a payment cost beyond the one check that it cannot do without?
 * Method: one thread charges a real till (LMDB on disk, group commit) over a real chain; each run
 * ends when the last unit is durable. The limit is the bare check over the same bytes in the same
 * order. Ours and the limit take turns, five pairs; medians count. What would make it wrong: a
 * folder in RAM (commits cost nothing), a batch so small that one fsync is most of it, a limit that
 * walks memory in a kinder order than the till. The sums of the till are checked after the last
 * run. */
#include "bench/bench.h"
#include "ethash/ethash.h"
#include "pay/pay.h"
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PAIRS    5
#define CACHE    251
#define DATASET  509
#define VOUCHERS 4000    /* of one run */
#define UNITS    1280000 /* of all runs over paywords */
#define POOLS    256
#define POOL_MAX 80000
#define DURATION 5000
#define PRICE    100000

struct rig {
    char folder[64], chain_folder[96], till_folder[96];
    struct rr_genesis genesis;
    struct rr_ethash_node cache[CACHE];
    uint64_t now_ms;
    struct rr_clock clock;
    struct rr_seckey *key, *viewer;
    struct rr_pubkey public_key, viewer_public;
    struct rr_chain *chain;
    struct rr_till *till;
    struct rr_manifest manifest;
    struct rr_hash32 pools[POOLS];
    struct rr_session_answer sessions[POOLS];
    /* Counting answers. */
    pthread_mutex_t lock;
    pthread_cond_t wake;
    _Atomic uint64_t left, refused;
};

struct row {
    const char *name, *unit, *limit_name;
    double ours[PAIRS], limit[PAIRS];
};

static uint64_t wall(void *ctx)
{
    return ((struct rig *)ctx)->now_ms;
}

static uint64_t monotonic(void *ctx)
{
    (void)ctx;
    return rr_monotonic_us(rr_clock_system());
}

static bool work(void *ctx, const uint8_t header_hash[32], uint64_t nonce, uint8_t mix[32],
                 uint8_t final_be[32])
{
    struct rig *rig = ctx;
    rr_ethash_light(mix, final_be, rig->cache, CACHE, DATASET, header_hash, nonce);
    return true;
}

static enum rr_err mine(struct rig *rig, struct rr_fault *fault)
{
    struct rr_block_template made;
    uint8_t final_be[32];
    rig->now_ms += rig->genesis.block_ms;
    enum rr_err err = rr_chain_template(rig->chain, &made, &rig->viewer_public, NULL, 0, fault);
    if (err != RR_OK) {
        return err;
    }
    do {
        made.block.header.nonce++;
        work(rig, made.work_hash, made.block.header.nonce, made.block.header.mix.bytes, final_be);
    } while (!rr_rule_solves(final_be, made.block.header.difficulty));
    err = rr_chain_append(rig->chain, &made.block, fault);
    rr_block_clear(&made.block);
    return err;
}

/* A difficulty-1 chain: what it costs to make a block is not the question here. */
static enum rr_err open_chain(struct rig *rig, struct rr_fault *fault)
{
    struct rr_genesis *genesis = &rig->genesis;
    struct rr_coin coins;
    enum rr_err err =
        rr_genesis_parse(genesis, rr_slice_str(rr_genesis_preset("dev")), "dev", fault);
    if (err != RR_OK) {
        return err;
    }
    RR_CHECK(rr_coin_of_units(&coins, RR_COIN_UNITS_PER_COIN * 1000000));
    genesis->cache_items = CACHE;
    genesis->dataset_items = DATASET;
    genesis->difficulty = rr_u256_of(1);
    genesis->base_reward = coins;
    genesis->pool_blocks_min = 2;
    genesis->pool_blocks_max = 2 * DURATION;
    rr_ethash_cache(rig->cache, CACHE, genesis->ethash_seed);
    rig->now_ms = genesis->time_ms;
    rig->clock = (struct rr_clock){wall, monotonic, rig};
    struct rr_chain_options options = {.folder = rig->chain_folder,
                                       .genesis = genesis,
                                       .clock = &rig->clock,
                                       .work = work,
                                       .work_ctx = rig};
    err = rr_chain_open(&rig->chain, &options, fault);
    return err == RR_OK ? mine(rig, fault) : err;
}

static enum rr_err fund_pools(struct rig *rig, struct rr_fault *fault)
{
    struct rr_coin deposit;
    struct rr_coin collateral;
    RR_CHECK(rr_coin_of_units(&deposit, (uint64_t)POOL_MAX * PRICE));
    RR_CHECK(rr_coin_of_units(&collateral, (uint64_t)POOL_MAX * PRICE + 1));
    enum rr_err err = RR_OK;
    for (int i = 0; i < POOLS && err == RR_OK; i++) {
        struct rr_tx tx = {.type = RR_TX_CREATE_POOL,
                           .chain_id = rr_genesis_chain_id(&rig->genesis)};
        tx.body.create_pool.resource_id = rig->manifest.resource_id;
        tx.body.create_pool.deposit = deposit;
        tx.body.create_pool.collateral = collateral;
        tx.body.create_pool.duration_blocks = DURATION;
        err = rr_chain_next_sequence(rig->chain, &rig->viewer_public, &tx.sequence, fault);
        if (err == RR_OK) {
            rr_tx_sign(&tx, rig->viewer);
            tx.fee = rr_chain_min_fee(rig->chain, &tx);
            rr_tx_sign(&tx, rig->viewer);
            rr_tx_id(&rig->pools[i], &tx);
            err = rr_chain_submit(rig->chain, &tx, fault);
        }
        /* The waiting list has a cap for each account. */
        if (err == RR_OK && (i % 16 == 15 || i == POOLS - 1)) {
            err = mine(rig, fault);
        }
    }
    return err;
}

static enum rr_err open_rig(struct rig *rig, struct rr_fault *fault)
{
    uint8_t bytes[32] = {7};
    rr_crypto_init();
    const char *base = getenv("TMPDIR");
    struct rr_buf path = {0};
    rr_buf_format(&path, "%s/rr-bench-XXXXXX", base == NULL ? "/tmp" : base);
    if (path.len >= sizeof(rig->folder)) {
        rr_buf_clear(&path);
        return rr_fail(fault, RR_ERR_LIMIT, "TMPDIR is too long a path for a bench");
    }
    memcpy(rig->folder, path.ptr, path.len);
    rr_buf_clear(&path);
    if (mkdtemp(rig->folder) == NULL) {
        return rr_fail_errno(fault, "%s cannot be made", rig->folder);
    }
    char joined[RR_PATH_BYTES];
    enum rr_err err = rr_path(joined, fault, "%s/chain", rig->folder);
    if (err != RR_OK) {
        return err;
    }
    memcpy(rig->chain_folder, joined, strlen(joined) + 1);
    err = rr_path(joined, fault, "%s/till", rig->folder);
    if (err != RR_OK) {
        return err;
    }
    memcpy(rig->till_folder, joined, strlen(joined) + 1);
    RR_CHECK(pthread_mutex_init(&rig->lock, NULL) == 0);
    RR_CHECK(pthread_cond_init(&rig->wake, NULL) == 0);
    rig->key = rr_seckey_from_bytes(bytes);
    bytes[0]++;
    rig->viewer = rr_seckey_from_bytes(bytes);
    rr_seckey_public(rig->key, &rig->public_key);
    rr_seckey_public(rig->viewer, &rig->viewer_public);
    memset(rig->manifest.resource_id.bytes, 0x77, 32);
    RR_CHECK(rr_coin_of_units(&rig->manifest.slice_price, PRICE));
    rig->manifest.slice_bytes = 65536;
    err = open_chain(rig, fault);
    if (err == RR_OK) {
        err = fund_pools(rig, fault);
    }
    if (err != RR_OK) {
        return err;
    }
    struct rr_till_options options = {.folder = rig->till_folder,
                                      .chain = rig->chain,
                                      .genesis = &rig->genesis,
                                      .key = rig->key,
                                      .clock = &rig->clock,
                                      .settle_age_ms = UINT64_MAX,
                                      .margin_blocks = 3,
                                      .commit_ms = 20};
    RR_CHECK(rr_coin_of_units(&options.risk_limit, RR_COIN_MAX_UNITS));
    RR_CHECK(rr_coin_of_units(&options.settle_amount, RR_COIN_MAX_UNITS));
    return rr_till_open(&rig->till, &options, fault);
}

static void close_rig(struct rig *rig)
{
    struct rr_fault fault = {0};
    rr_till_close(rig->till);
    if (rig->chain != NULL) {
        rr_chain_close(rig->chain);
    }
    rr_seckey_free(rig->key);
    rr_seckey_free(rig->viewer);
    if (rig->folder[0] != 0 && rr_remove_tree(rig->folder, &fault) != RR_OK) {
        rr_log_fault(RR_LOG_WARN, "bench", &fault);
    }
    rr_free(rig);
}

/* ---- counting ----------------------------------------------------------------------------------
 */
static void counted(void *ctx, enum rr_err result)
{
    struct rig *rig = ctx;
    if (result != RR_OK) {
        atomic_fetch_add(&rig->refused, 1);
    }
    if (atomic_fetch_sub(&rig->left, 1) == 1) {
        pthread_mutex_lock(&rig->lock);
        pthread_cond_signal(&rig->wake);
        pthread_mutex_unlock(&rig->lock);
    }
}

static void expect(struct rig *rig, uint64_t answers)
{
    atomic_store(&rig->left, answers);
}

static void wait_for_all(struct rig *rig)
{
    pthread_mutex_lock(&rig->lock);
    while (atomic_load(&rig->left) > 0) {
        pthread_cond_wait(&rig->wake, &rig->lock);
    }
    pthread_mutex_unlock(&rig->lock);
}

static double per_s(uint64_t count, uint64_t from_us)
{
    uint64_t us = rr_monotonic_us(rr_clock_system()) - from_us;
    return (double)count * 1e6 / (double)(us == 0 ? 1 : us);
}

static enum rr_err open_session(struct rig *rig, int pool, const struct rr_voucher *voucher,
                                struct rr_fault *fault)
{
    struct rr_session_request request = {.resource_id = rig->manifest.resource_id,
                                         .viewer = rig->viewer_public,
                                         .voucher = *voucher};
    return rr_till_open_session(rig->till, &rig->sessions[pool], &request, &rig->manifest, fault);
}

/* ---- row 1: signed vouchers --------------------------------------------------------------------
 */
static void sign_voucher(struct rig *rig, struct rr_voucher *out, int pool, uint64_t seq)
{
    struct rr_hash32 digest;
    *out = (struct rr_voucher){.chain_id = rr_genesis_chain_id(&rig->genesis),
                               .pool_id = rig->pools[pool],
                               .seq = seq,
                               .expiry_height = DURATION};
    RR_CHECK(rr_coin_of_units(&out->cum_amount, (seq - 1) * PRICE));
    rr_address_of(&out->target, &rig->public_key);
    rr_voucher_digest(&digest, out);
    rr_sign(&out->signature, rig->viewer, &digest);
}

#define VOUCHER_POOLS 64
static enum rr_err bench_vouchers(struct rig *rig, struct row *row, struct rr_fault *fault)
{
    struct rr_payment_header *headers = rr_alloc_array(VOUCHERS, sizeof(*headers));
    uint64_t seq[VOUCHER_POOLS];
    uint64_t good = 0;
    enum rr_err err = RR_OK;
    for (int i = 0; i < VOUCHER_POOLS && err == RR_OK; i++) {
        struct rr_voucher first;
        seq[i] = 1;
        sign_voucher(rig, &first, i, 1);
        err = open_session(rig, i, &first, fault);
    }
    for (int pair = 0; pair < PAIRS && err == RR_OK; pair++) {
        for (uint32_t i = 0; i < VOUCHERS; i++) {
            int pool = (int)(i % VOUCHER_POOLS);
            headers[i] = (struct rr_payment_header){.has_voucher = true};
            memcpy(headers[i].session_id, rig->sessions[pool].session_id, RR_SESSION_ID_BYTES);
            sign_voucher(rig, &headers[i].voucher, pool, ++seq[pool]);
        }
        expect(rig, VOUCHERS);
        uint64_t from = rr_monotonic_us(rr_clock_system());
        for (uint32_t i = 0; i < VOUCHERS; i++) {
            uint64_t key = seq[i % VOUCHER_POOLS] * VOUCHERS + i;
            rr_till_charge(rig->till, &headers[i], &rig->manifest.resource_id, &key, 1, counted,
                           rig);
        }
        wait_for_all(rig);
        row->ours[pair] = per_s(VOUCHERS, from);
        from = rr_monotonic_us(rr_clock_system());
        for (uint32_t i = 0; i < VOUCHERS; i++) {
            struct rr_hash32 digest;
            rr_voucher_digest(&digest, &headers[i].voucher);
            good += rr_verify(&headers[i].voucher.signature, &rig->viewer_public, &digest) ? 1 : 0;
        }
        row->limit[pair] = per_s(VOUCHERS, from);
    }
    rr_free(headers);
    if (err == RR_OK && good != (uint64_t)PAIRS * VOUCHERS) {
        err = rr_fail(fault, RR_ERR_TRUST, "the bench made vouchers that do not verify");
    }
    return err;
}

/* ---- row 2: paywords ---------------------------------------------------------------------------
 */
/* A run pays `units` over `sessions` in an order that hops between them; links[] by session, then
 * depth. */
struct payword_run {
    struct rr_hash32 *links;
    uint32_t *order; /* session of each step */
    uint32_t *depth; /* reached by each session */
    uint32_t first, sessions, per_session;
};

static void pay_links(struct rig *rig, const struct payword_run *run, uint32_t from, uint32_t count)
{
    for (uint32_t i = from; i < from + count; i++) {
        uint32_t session = run->order[i];
        uint32_t depth = ++run->depth[session];
        struct rr_payment_header header = {.has_preimage = true, .depth = depth};
        uint64_t key = depth;
        memcpy(header.session_id, rig->sessions[run->first + session].session_id,
               RR_SESSION_ID_BYTES);
        header.preimage = run->links[(size_t)session * run->per_session + depth - 1];
        rr_till_charge(rig->till, &header, &rig->manifest.resource_id, &key, 1, counted, rig);
    }
}

/* The same links in the same order, hashed and compared with the one before, nothing else. */
static uint64_t hash_links(const struct payword_run *run, uint32_t from, uint32_t count,
                           uint32_t *depth)
{
    uint64_t good = 0;
    for (uint32_t i = from; i < from + count; i++) {
        uint32_t session = run->order[i];
        const struct rr_hash32 *link = &run->links[(size_t)session * run->per_session];
        uint32_t at = ++depth[session];
        struct rr_hash32 hash;
        rr_payword_step(&hash, &link[at - 1]);
        good += at < 2 || rr_hash32_equal(&hash, &link[at - 2]) ? 1 : 0;
    }
    return good;
}

static enum rr_err prepare_paywords(struct rig *rig, struct payword_run *run,
                                    struct rr_fault *fault)
{
    enum rr_err err = RR_OK;
    struct rr_prng prng;
    rr_prng_seed(&prng, 5);
    for (uint32_t s = 0; s < run->sessions && err == RR_OK; s++) {
        uint8_t seed[32] = {(uint8_t)s, 1};
        struct rr_coin price;
        RR_CHECK(rr_coin_of_units(&price, PRICE));
        struct rr_purse *purse = rr_purse_new(rig->viewer, rr_genesis_chain_id(&rig->genesis),
                                              &rig->pools[run->first + s], &rig->public_key, price,
                                              run->per_session, DURATION, seed);
        err = open_session(rig, (int)(run->first + s), rr_purse_voucher(purse), fault);
        for (uint32_t i = 0; i < run->per_session && err == RR_OK; i++) {
            uint32_t depth;
            err = rr_purse_pay(purse, 1, &depth, &run->links[(size_t)s * run->per_session + i],
                               fault);
        }
        rr_purse_free(purse);
    }
    uint32_t total = run->sessions * run->per_session;
    for (uint32_t i = 0; i < total; i++) {
        run->order[i] = i % run->sessions;
    }
    for (uint32_t i = total; i > 1; i--) {
        uint32_t at = (uint32_t)rr_prng_below(&prng, i);
        uint32_t held = run->order[i - 1];
        run->order[i - 1] = run->order[at];
        run->order[at] = held;
    }
    return err;
}

static enum rr_err bench_paywords(struct rig *rig, struct row *row, uint32_t first,
                                  uint32_t sessions, struct rr_fault *fault)
{
    struct payword_run run = {.first = first, .sessions = sessions};
    run.per_session = UNITS / sessions;
    uint32_t total = run.per_session * sessions;
    uint32_t each = total / PAIRS;
    uint64_t good = 0;
    run.links = rr_alloc_array(total, sizeof(*run.links));
    run.order = rr_alloc_array(total, sizeof(*run.order));
    run.depth = rr_alloc_array(sessions, sizeof(*run.depth));
    uint32_t *bare = rr_alloc_array(sessions, sizeof(*bare));
    enum rr_err err = prepare_paywords(rig, &run, fault);
    for (uint32_t pair = 0; pair < PAIRS && err == RR_OK; pair++) {
        expect(rig, each);
        uint64_t from = rr_monotonic_us(rr_clock_system());
        pay_links(rig, &run, pair * each, each);
        wait_for_all(rig);
        row->ours[pair] = per_s(each, from);
        from = rr_monotonic_us(rr_clock_system());
        good += hash_links(&run, pair * each, each, bare);
        row->limit[pair] = per_s(each, from);
    }
    rr_free(run.links);
    rr_free(run.order);
    rr_free(run.depth);
    rr_free(bare);
    if (err == RR_OK && good != (uint64_t)each * PAIRS) {
        err = rr_fail(fault, RR_ERR_TRUST, "the bench made paywords that do not chain");
    }
    return err;
}

/* ---- report ------------------------------------------------------------------------------------
 */
static int compare_doubles(const void *left, const void *right)
{
    double a = *(const double *)left;
    double b = *(const double *)right;
    return (a > b) - (a < b);
}

static void write_row(struct rr_buf *out, bool json, const struct row *row, bool first)
{
    double ours[PAIRS];
    double limit[PAIRS];
    memcpy(ours, row->ours, sizeof(ours));
    memcpy(limit, row->limit, sizeof(limit));
    qsort(ours, PAIRS, sizeof(ours[0]), compare_doubles);
    qsort(limit, PAIRS, sizeof(limit[0]), compare_doubles);
    double ratio = ours[PAIRS / 2] / limit[PAIRS / 2];
    if (json) {
        rr_buf_format(out,
                      "%s{\"name\":\"%s\",\"unit\":\"%s\",\"runs\":%d,\"min\":%.0f,\"median\":%.0f,"
                      "\"max\":%.0f,\"limit\":\"%s\",\"limit_min\":%.0f,\"limit_median\":%.0f,"
                      "\"limit_max\":%.0f,\"ratio_limit\":%.3f}",
                      first ? "" : ",", row->name, row->unit, PAIRS, ours[0], ours[PAIRS / 2],
                      ours[PAIRS - 1], row->limit_name, limit[0], limit[PAIRS / 2],
                      limit[PAIRS - 1], ratio);
        return;
    }
    rr_buf_format(out, "%-26s %10.0f %10.0f %10.0f %s  limit %s %.0f  ratio %.3f\n", row->name,
                  ours[0], ours[PAIRS / 2], ours[PAIRS - 1], row->unit, row->limit_name,
                  limit[PAIRS / 2], ratio);
}

static void write_report(struct rr_buf *out, bool json, const struct row *rows, size_t count)
{
    if (json) {
        rr_buf_format(out,
                      "{\"bench\":\"pay\",\"question\":\"payments taken and durable, against the "
                      "bare check\",\"method\":\"one thread, group commit of 20 ms, %d alternated "
                      "pairs, medians\",\"seed\":5,\"rows\":[",
                      PAIRS);
    } else {
        rr_buf_format(out,
                      "pay: payments taken and durable, against the bare check\none thread, group "
                      "commit of 20 ms, %d alternated pairs\n%-26s %10s %10s %10s\n",
                      PAIRS, "row", "min", "median", "max");
    }
    for (size_t i = 0; i < count; i++) {
        write_row(out, json, &rows[i], i == 0);
    }
    if (json) {
        rr_buf_format(out, "]}");
    }
}

enum rr_err rr_bench_pay(struct rr_buf *out, bool json)
{
    struct rr_fault fault = {0};
    struct rig *rig = rr_alloc(sizeof(*rig));
    struct row rows[] = {
        {.name = "voucher_verify_account", .unit = "1/s", .limit_name = "schnorr_verify"},
        {.name = "payword_increment", .unit = "1/s", .limit_name = "hash_step"},
        {.name = "payword_increment_tenth", .unit = "1/s", .limit_name = "hash_step"},
    };
    enum rr_err err = open_rig(rig, &fault);
    if (err == RR_OK) {
        err = bench_vouchers(rig, &rows[0], &fault);
    }
    if (err == RR_OK) {
        err = bench_paywords(rig, &rows[1], VOUCHER_POOLS, 160, &fault);
    }
    if (err == RR_OK) {
        err = bench_paywords(rig, &rows[2], VOUCHER_POOLS + 160, 16, &fault);
    }
    if (err == RR_OK) {
        struct rr_till_stats stats;
        rr_till_stats(rig->till, &stats);
        uint64_t want = (uint64_t)PAIRS * VOUCHERS + 160 * (UNITS / 160) / PAIRS * PAIRS;
        if (rig->refused != 0 || stats.paid_units < want) {
            err = rr_fail(&fault, RR_ERR_STATE,
                          "%llu charges were refused and %llu units are booked, %llu expected",
                          (unsigned long long)rig->refused, (unsigned long long)stats.paid_units,
                          (unsigned long long)want);
        }
    }
    if (err == RR_OK) {
        write_report(out, json, rows, RR_COUNT(rows));
    } else {
        rr_log_fault(RR_LOG_ERROR, "bench", &fault);
    }
    close_rig(rig);
    return err;
}

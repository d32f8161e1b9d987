/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/daemon_miner.h"

#include <string.h>

/* Lowest share of the engine: puzzles with a deadline come first (spec 10, 2). */
#define WEIGHT 1
/* Certificates and transactions come in crowds: a template takes in what came in this time. A new
 * tip waits for nothing. */
#define GATHER_US 100000
/* A header's time must not grow old: the difficulty of the next block hangs on it. */
#define RENEW_US     10000000
#define RETRY_US     200000
#define RETRY_US_MAX 10000000

/* One search, shared with the engine's callback. */
struct search {
    struct rr_rig *rig;
    bool ended; /* under rig->lock */
    struct rr_hash_result result;
};

/* What the template was made from. */
struct versions {
    uint64_t tip, body;
};

void daemon_miner_new_body(void *ctx)
{
    struct rr_rig *rig = ctx;
    pthread_mutex_lock(&rig->lock);
    rig->body_version++;
    pthread_cond_broadcast(&rig->tip_changed);
    pthread_mutex_unlock(&rig->lock);
}

static void search_ended(void *ctx, const struct rr_hash_result *result)
{
    struct search *search = ctx;
    struct rr_rig *rig = search->rig;
    pthread_mutex_lock(&rig->lock);
    search->result = *result;
    search->ended = true;
    pthread_cond_broadcast(&rig->tip_changed);
    pthread_mutex_unlock(&rig->lock);
}

/* Under rig->lock, which it gives up meanwhile. */
static void wait_until(struct rr_rig *rig, uint64_t until_us)
{
    struct timespec until = {.tv_sec = (time_t)(until_us / 1000000),
                             .tv_nsec = (long)(until_us % 1000000) * 1000};
    pthread_cond_timedwait(&rig->tip_changed, &rig->lock, &until);
}

/* Until the search has ended, its template is stale, or the rig stops. */
static void wait_for_search(struct rr_rig *rig, const struct search *search,
                            const struct versions *from)
{
    uint64_t start_us = rr_monotonic_us(rr_clock_system());
    uint64_t now_us = start_us;
    pthread_mutex_lock(&rig->lock);
    while (!search->ended && !atomic_load(&rig->stopping) && rig->tip_version == from->tip) {
        uint64_t until_us = start_us + (rig->body_version == from->body ? RENEW_US : GATHER_US);
        if (now_us >= until_us) {
            break;
        }
        wait_until(rig, until_us);
        now_us = rr_monotonic_us(rr_clock_system());
    }
    pthread_mutex_unlock(&rig->lock);
}

static enum rr_err find_nonce(struct rr_rig *rig, struct rr_block_template *found, bool *solved,
                              const struct versions *from, struct rr_fault *fault)
{
    struct search search = {.rig = rig};
    struct rr_hash_job job = {
        .kind = RR_HASH_TARGET, .difficulty = found->block.header.difficulty, .weight = WEIGHT};
    uint64_t job_id;
    memcpy(job.header_hash, found->work_hash, sizeof job.header_hash);
    rr_random(&job.nonce_start, sizeof job.nonce_start);
    job.nonce_start >>= 1; /* room above for any search */
    enum rr_err err = rr_hash_submit(rig->engine, &job_id, &job, search_ended, &search, fault);
    if (err != RR_OK) {
        return err;
    }
    wait_for_search(rig, &search, from);
    rr_hash_cancel(rig->engine, job_id); /* the callback has run by now */
    if (search.result.end == RR_HASH_FAILED) {
        return rr_fail(fault, RR_ERR_DAMAGED,
                       "no device of the hash engine agrees with its own check; nothing is mined");
    }
    *solved = search.result.end == RR_HASH_FOUND;
    if (*solved) {
        found->block.header.nonce = search.result.nonce;
        memcpy(found->block.header.mix.bytes, search.result.mix, 32);
    }
    return RR_OK;
}

enum rr_err daemon_miner_append(struct rr_rig *rig, const struct rr_block *block,
                                const struct rr_certificate_set *sets, uint32_t set_count,
                                struct rr_fault *fault)
{
    enum rr_err err = rr_till_append(rig->till, block, sets, set_count, fault);
    if (err != RR_OK) {
        return err;
    }
    uint64_t certificates = 0;
    for (uint32_t i = 0; i < set_count; i++) {
        certificates += sets[i].count;
    }
    pthread_mutex_lock(&rig->lock);
    rig->certificates_mined += certificates;
    if (set_count > 0 && block->header.r_q32 > rig->best_r_q32) {
        rig->best_r_q32 = block->header.r_q32;
    }
    pthread_mutex_unlock(&rig->lock);
    return RR_OK;
}

static struct versions get_versions(struct rr_rig *rig)
{
    pthread_mutex_lock(&rig->lock);
    struct versions versions = {.tip = rig->tip_version, .body = rig->body_version};
    pthread_mutex_unlock(&rig->lock);
    return versions;
}

static enum rr_err mine_once(struct rr_rig *rig, struct rr_fault *fault)
{
    struct rr_block_template next = {0};
    struct rr_certificate_set *sets = NULL;
    uint32_t set_count = 0;
    struct rr_chain_tip tip;
    bool solved = false;
    struct versions from = get_versions(rig);
    rr_chain_tip(rig->chain, &tip);
    enum rr_err err = rr_till_build_sets(rig->till, &sets, &set_count, tip.height + 1, fault);
    if (err == RR_OK &&
        (err = rr_chain_template(rig->chain, &next, &rig->public_key, sets, set_count, fault)) ==
            RR_OK &&
        (err = find_nonce(rig, &next, &solved, &from, fault)) == RR_OK && solved) {
        err = daemon_miner_append(rig, &next.block, sets, set_count, fault);
    }
    if (err == RR_OK && solved) {
        pthread_mutex_lock(&rig->lock);
        rig->blocks_mined++;
        pthread_mutex_unlock(&rig->lock);
        rr_log(RR_LOG_DEBUG, "mine", "block %llu", (unsigned long long)next.block.header.height);
    }
    if (err == RR_ERR_STATE && solved && get_versions(rig).tip != from.tip) {
        err = RR_OK; /* another block of this height was first */
    }
    rr_block_clear(&next.block);
    rr_till_free_sets(sets, set_count);
    return err;
}

void *daemon_miner_run(void *ctx)
{
    struct rr_rig *rig = ctx;
    struct rr_fault fault = {0};
    uint64_t retry_us = RETRY_US;
    while (!atomic_load(&rig->stopping)) {
        enum rr_err err = mine_once(rig, &fault);
        if (err == RR_OK) {
            retry_us = RETRY_US;
            continue;
        }
        bool bad = err == RR_ERR_DAMAGED || err == RR_ERR_IO || err == RR_ERR_FULL;
        rr_log_fault(bad ? RR_LOG_ERROR : RR_LOG_WARN, "mine", &fault);
        uint64_t until_us = rr_monotonic_us(rr_clock_system()) + retry_us;
        retry_us = retry_us * 2 < RETRY_US_MAX ? retry_us * 2 : RETRY_US_MAX;
        pthread_mutex_lock(&rig->lock);
        while (!atomic_load(&rig->stopping) && rr_monotonic_us(rr_clock_system()) < until_us) {
            wait_until(rig, until_us);
        }
        pthread_mutex_unlock(&rig->lock);
    }
    return NULL;
}

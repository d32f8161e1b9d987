/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/daemon_miner.h"

#include <string.h>
#include <time.h>

/* A search that found nothing for this long starts again on a fresh template: new transactions and
 * time. */
#define TEMPLATE_MS 500
#define RETRY_MS    200

/* One search, shared with the engine's callback. */
struct search {
    pthread_mutex_t lock;
    pthread_cond_t ended_cond;
    bool ended;
    struct rr_hash_result result;
};

static void search_ended(void *ctx, const struct rr_hash_result *result)
{
    struct search *search = ctx;
    pthread_mutex_lock(&search->lock);
    search->result = *result;
    search->ended = true;
    pthread_cond_signal(&search->ended_cond);
    pthread_mutex_unlock(&search->lock);
}

static enum rr_err find_nonce(struct rr_rig *rig, struct rr_block_template *found, bool *solved,
                              struct rr_fault *fault)
{
    struct search search = {.lock = PTHREAD_MUTEX_INITIALIZER,
                            .ended_cond = PTHREAD_COND_INITIALIZER};
    struct rr_hash_job job = {
        .kind = RR_HASH_TARGET,
        .difficulty = found->block.header.difficulty,
        .deadline_us = rr_monotonic_us(rr_clock_system()) + TEMPLATE_MS * 1000,
    };
    uint64_t job_id;
    memcpy(job.header_hash, found->work_hash, sizeof job.header_hash);
    rr_random(&job.nonce_start, sizeof job.nonce_start);
    job.nonce_start >>= 1; /* room above for any deadline */
    enum rr_err err = rr_hash_submit(rig->engine, &job_id, &job, search_ended, &search, fault);
    if (err != RR_OK) {
        return err;
    }
    pthread_mutex_lock(&search.lock);
    while (!search.ended) {
        pthread_cond_wait(&search.ended_cond, &search.lock);
    }
    pthread_mutex_unlock(&search.lock);
    if (search.result.end == RR_HASH_FAILED) {
        return rr_fail(fault, RR_ERR_DAMAGED,
                       "the hash engine disagrees with its own check; mining stops");
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
    uint64_t height = block->header.height;
    enum rr_err err = rr_chain_append(rig->chain, block, fault);
    if (err != RR_OK || set_count == 0) {
        return err;
    }
    uint64_t certificates = 0;
    for (uint32_t i = 0; i < set_count; i++) {
        certificates += sets[i].count;
    }
    pthread_mutex_lock(&rig->lock);
    rig->certificates_mined += certificates;
    if (block->header.r_q32 > rig->best_r_q32) {
        rig->best_r_q32 = block->header.r_q32;
    }
    pthread_mutex_unlock(&rig->lock);
    err = rr_chain_keep_sets(rig->chain, height, sets, set_count, fault);
    return err != RR_OK ? err : rr_till_sets_mined(rig->till, sets, set_count, height, fault);
}

static enum rr_err mine_once(struct rr_rig *rig, struct rr_fault *fault)
{
    struct rr_block_template next = {0};
    struct rr_certificate_set *sets = NULL;
    uint32_t set_count = 0;
    struct rr_chain_tip tip;
    bool solved = false;
    rr_chain_tip(rig->chain, &tip);
    enum rr_err err = rr_till_build_sets(rig->till, &sets, &set_count, tip.height + 1, fault);
    if (err == RR_OK &&
        (err = rr_chain_template(rig->chain, &next, &rig->public_key, sets, set_count, fault)) ==
            RR_OK &&
        (err = find_nonce(rig, &next, &solved, fault)) == RR_OK && solved) {
        err = daemon_miner_append(rig, &next.block, sets, set_count, fault);
    }
    if (err == RR_OK && solved) {
        pthread_mutex_lock(&rig->lock);
        rig->blocks_mined++;
        pthread_mutex_unlock(&rig->lock);
        rr_log(RR_LOG_DEBUG, "mine", "block %llu", (unsigned long long)next.block.header.height);
    }
    rr_block_clear(&next.block);
    rr_till_free_sets(sets, set_count);
    return err;
}

void *daemon_miner_run(void *ctx)
{
    struct rr_rig *rig = ctx;
    struct rr_fault fault = {0};
    while (!atomic_load(&rig->stopping)) {
        enum rr_err err = mine_once(rig, &fault);
        if (err == RR_ERR_DAMAGED || err == RR_ERR_IO || err == RR_ERR_FULL) {
            rr_log_fault(RR_LOG_ERROR, "mine", &fault);
        } else if (err != RR_OK) {
            rr_log_fault(RR_LOG_WARN, "mine", &fault);
        }
        if (err != RR_OK) {
            nanosleep(&(struct timespec){.tv_nsec = RETRY_MS * 1000000L}, NULL);
        }
    }
    return NULL;
}

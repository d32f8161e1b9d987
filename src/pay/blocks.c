/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A block and its certificates, as one: whatever moment the rig dies at, a certificate goes into
 * one block. */
#include "pay/pay_till.h"

static enum rr_err mark_block(struct rr_till *till, uint64_t height, uint64_t next_height,
                              struct rr_fault *fault)
{
    struct rr_certificate_set *sets;
    uint32_t count;
    bool all = true;
    enum rr_err err = rr_chain_sets(till->options.chain, height, &sets, &count, fault);
    if (err == RR_ERR_NOTFOUND) {
        return RR_OK; /* another miner's block: none of its certificates are for this rig */
    }
    if (err != RR_OK) {
        return err;
    }
    err = pay_certificates_marked(till, &all, sets, count, next_height, fault);
    if (err == RR_OK && !all) {
        rr_log(RR_LOG_INFO, "pay", "certificates in block %llu are marked as spent now",
               (unsigned long long)height);
        err = rr_till_sets_mined(till, sets, count, height, fault);
    }
    rr_proof_sets_free(sets, count);
    return err;
}

enum rr_err pay_certificates_reconcile(struct rr_till *till, struct rr_fault *fault)
{
    struct rr_chain_tip tip;
    enum rr_err err = RR_OK;
    rr_chain_tip(till->options.chain, &tip);
    uint64_t window = till->options.genesis->window_blocks;
    uint64_t height = tip.height > window ? tip.height - window : 1;
    for (; height <= tip.height && err == RR_OK; height++) {
        err = mark_block(till, height, tip.height + 1, fault);
    }
    return err;
}

enum rr_err rr_till_append(struct rr_till *till, const struct rr_block *block,
                           const struct rr_certificate_set *sets, uint32_t count,
                           struct rr_fault *fault)
{
    uint64_t height = block->header.height;
    struct rr_chain_tip tip;
    enum rr_err err = RR_OK;
    pthread_mutex_lock(&till->block_lock);
    rr_chain_tip(till->options.chain, &tip);
    if (height != tip.height + 1) { /* before its sets take the place of those of the block there */
        err =
            rr_fail(fault, RR_ERR_STATE, "block %llu comes too late or too early: the tip is %llu",
                    (unsigned long long)height, (unsigned long long)tip.height);
    }
    if (err == RR_OK) {
        err = rr_chain_keep_sets(till->options.chain, height, sets, count, fault);
    }
    if (err == RR_OK) {
        err = rr_chain_append(till->options.chain, block, fault);
    }
    struct rr_fault why = {0};
    if (err == RR_OK && count > 0 && rr_till_sets_mined(till, sets, count, height, &why) != RR_OK) {
        rr_log_fault(RR_LOG_ERROR, "pay", &why);
        till->blocks_unmarked = true;
    }
    pthread_mutex_unlock(&till->block_lock);
    return err;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a light client checks: headers, their work, and the place of one transaction. Pure. */
#include "ledger/ledger_rules.h"

#include <string.h>

/* Times of the last headers seen, for the median; whole when they reach back 11 blocks or to
 * genesis. */
struct times {
    uint64_t last[LEDGER_MEDIAN_BLOCKS];
    uint32_t count;
    bool from_genesis;
};

static void times_add(struct times *times, uint64_t time_ms)
{
    if (times->count == LEDGER_MEDIAN_BLOCKS) {
        memmove(times->last, times->last + 1, sizeof times->last - sizeof times->last[0]);
        times->count--;
    }
    times->last[times->count++] = time_ms;
}

/* 0 while too few headers are known: then time is left to the difficulty, which follows it. */
static uint64_t times_median(const struct times *times)
{
    uint64_t sorted[LEDGER_MEDIAN_BLOCKS];
    if (times->count < LEDGER_MEDIAN_BLOCKS && !times->from_genesis) {
        return 0;
    }
    memcpy(sorted, times->last, sizeof sorted);
    return ledger_median(sorted, times->count);
}

static enum rr_err check_headers(const struct rr_genesis *genesis, const struct rr_tx_proof *proof,
                                 const struct rr_header *trusted, uint64_t anchor_time_ms,
                                 bool (*work)(void *ctx, const uint8_t header_hash[32],
                                              uint64_t nonce, uint8_t mix[32],
                                              uint8_t final_be[32]),
                                 void *work_ctx, struct rr_fault *fault)
{
    const struct rr_header *parent = trusted;
    struct times times = {.from_genesis = trusted->height == 0};
    struct rr_rule_past past = {.anchor_time_ms =
                                    trusted->height == 1 ? trusted->time_ms : anchor_time_ms};
    times_add(&times, trusted->time_ms);
    for (uint32_t i = 0; i < proof->header_count; i++) {
        const struct rr_header *header = &proof->headers[i];
        past.median_time_ms = times_median(&times);
        enum rr_err err = rr_rule_header(genesis, header, parent, &past, fault);
        if (err != RR_OK) {
            return fault != NULL ? fault->code = RR_ERR_TRUST : RR_ERR_TRUST;
        }
        if (!ledger_work_holds(header, work, work_ctx)) {
            return rr_fail(fault, RR_ERR_TRUST,
                           "the work of header %llu of the proof does not hold",
                           (unsigned long long)header->height);
        }
        if (header->height == 1) {
            past.anchor_time_ms = header->time_ms;
        }
        times_add(&times, header->time_ms);
        parent = header;
    }
    return RR_OK;
}

enum rr_err rr_rule_check_proof(const struct rr_genesis *genesis, const struct rr_tx_proof *proof,
                                const struct rr_header *trusted, uint64_t anchor_time_ms,
                                bool (*work)(void *ctx, const uint8_t header_hash[32],
                                             uint64_t nonce, uint8_t mix[32], uint8_t final_be[32]),
                                void *work_ctx, struct rr_fault *fault)
{
    struct rr_hash32 id;
    struct rr_hash32 leaf;
    struct rr_hash32 digest;
    if (proof->header_count == 0) {
        return rr_fail(fault, RR_ERR_TRUST, "the proof has no header; ask for it again");
    }
    if (proof->tx.chain_id != rr_genesis_chain_id(genesis)) {
        return rr_fail(fault, RR_ERR_TRUST, "the proof's transaction is of another chain");
    }
    /* Cheap before dear: a forged place costs one hash path, a header costs an Ethash evaluation.
     */
    const struct rr_header *last = &proof->headers[proof->header_count - 1];
    rr_tx_id(&id, &proof->tx);
    rr_hash(&leaf, "rr.txleaf.v1", rr_slice_of(id.bytes, sizeof id.bytes));
    if (!rr_merkle_check(&proof->place, &leaf, &last->tx_root)) {
        return rr_fail(fault, RR_ERR_TRUST,
                       "the transaction does not stand in block %llu at the place that is claimed",
                       (unsigned long long)last->height);
    }
    rr_tx_digest(&digest, &proof->tx);
    if (!rr_verify(&proof->tx.signature, &proof->tx.sender, &digest)) {
        return rr_fail(fault, RR_ERR_TRUST,
                       "the signature of the proof's transaction is not its sender's");
    }
    return check_headers(genesis, proof, trusted, anchor_time_ms, work, work_ctx, fault);
}

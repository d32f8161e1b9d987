/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "proof/proof.h"
#include "reputation/reputation.h"
#include <string.h>

const char *rr_proof_refusal_text(enum rr_proof_refusal refusal)
{
    static const char *const texts[] = {
#define X(id, text) text,
        RR_PROOF_REFUSALS(X)
#undef X
    };
    RR_CHECK((unsigned)refusal < RR_COUNT(texts));
    return texts[refusal];
}

uint64_t rr_proof_puzzle_height(const struct rr_genesis *genesis, uint64_t tip_height)
{
    return tip_height - tip_height % genesis->puzzle_blocks;
}

bool rr_proof_in_window(const struct rr_genesis *genesis, uint64_t block_height,
                        uint64_t next_height)
{
    return block_height < next_height && next_height - block_height <= genesis->window_blocks;
}

bool rr_proof_on_time(const struct rr_genesis *genesis, uint64_t block_height, uint64_t tip_height,
                      uint64_t end_ms, uint64_t tip_ms)
{
    uint64_t now = rr_proof_puzzle_height(genesis, tip_height);
    uint64_t puzzle_ms = (uint64_t)genesis->puzzle_blocks * genesis->block_ms;
    if (block_height > now) {
        return false;
    }
    return now - block_height <= genesis->puzzle_blocks || tip_ms <= end_ms ||
           tip_ms - end_ms <= puzzle_ms;
}

static enum rr_err check_place(const struct rr_proof_view *view, enum rr_proof_refusal *refusal,
                               const struct rr_certificate *certificate,
                               const struct rr_pubkey *cacher, struct rr_fault *fault)
{
    const struct rr_genesis *genesis = view->genesis;
    uint32_t chain_id = rr_genesis_chain_id(genesis);
    if (certificate->chain_id != chain_id) {
        *refusal = RR_PROOF_CHAIN;
        return rr_fail(fault, RR_ERR_TRUST, "the certificate is for chain %08x, this chain is %08x",
                       certificate->chain_id, chain_id);
    }
    if (!rr_equal_secret(&certificate->cacher, cacher, sizeof(*cacher))) {
        *refusal = RR_PROOF_CACHER;
        return rr_fail(fault, RR_ERR_TRUST, "the certificate names another cacher than this rig");
    }
    uint64_t height = certificate->block_height;
    if (height % genesis->puzzle_blocks != 0) {
        *refusal = RR_PROOF_HEIGHT;
        return rr_fail(fault, RR_ERR_STATE, "block %llu makes no puzzle: only each %uth block does",
                       (unsigned long long)height, genesis->puzzle_blocks);
    }
    if (height > view->tip_height || !rr_proof_in_window(genesis, height, view->tip_height + 1)) {
        *refusal = RR_PROOF_HEIGHT;
        return rr_fail(fault, RR_ERR_STATE,
                       "the certificate is for block %llu, outside the last %u blocks up to %llu",
                       (unsigned long long)height, genesis->window_blocks,
                       (unsigned long long)view->tip_height);
    }
    struct rr_hash32 own;
    if (!view->block_hash(view->block_ctx, height, &own) ||
        !rr_hash32_equal(&own, &certificate->block_hash)) {
        *refusal = RR_PROOF_BLOCK;
        return rr_fail(fault, RR_ERR_TRUST,
                       "the certificate names another block at height %llu than this chain has",
                       (unsigned long long)height);
    }
    return RR_OK;
}

static bool is_signed(const struct rr_certificate *certificate)
{
    struct rr_hash32 digest;
    rr_certificate_digest(&digest, certificate);
    return rr_verify(&certificate->signature, &certificate->viewer, &digest);
}

static uint64_t time_of(const struct rr_genesis *genesis, const uint8_t final_be[static 32])
{
    return rr_reputation_time_ms(final_be, genesis->certificate_hashes_per_s,
                                 genesis->puzzle_blocks, genesis->block_ms);
}

enum rr_err rr_proof_certificate_place(const struct rr_proof_view *view,
                                       const struct rr_certificate *certificate,
                                       const struct rr_pubkey *cacher, struct rr_fault *fault)
{
    enum rr_proof_refusal refusal;
    return check_place(view, &refusal, certificate, cacher, fault);
}

enum rr_err rr_proof_certificate_check(const struct rr_proof_view *view, uint64_t *service_ms,
                                       const struct rr_certificate *certificate,
                                       const struct rr_pubkey *cacher, struct rr_fault *fault)
{
    enum rr_err err = rr_proof_certificate_place(view, certificate, cacher, fault);
    if (err != RR_OK) {
        return err;
    }
    if (!is_signed(certificate)) {
        return rr_fail(fault, RR_ERR_TRUST, "the certificate is not signed by its viewer");
    }
    struct rr_hash32 work_hash;
    uint8_t mix[32] = {0};
    uint8_t final_be[32] = {0};
    rr_certificate_work_hash(&work_hash, certificate);
    if (!view->work(view->work_ctx, work_hash.bytes, certificate->nonce, mix, final_be)) {
        return rr_fail(fault, RR_ERR_TRUST, "the work of the certificate could not be computed");
    }
    uint64_t credit = time_of(view->genesis, final_be);
    if (credit == 0) {
        return rr_fail(fault, RR_ERR_LIMIT,
                       "the certificate shows less than a quarter of the work of a whole puzzle; "
                       "such ones do not count");
    }
    *service_ms = credit;
    return RR_OK;
}

/* ---- many at once ------------------------------------------------------------------------------
 */
static bool compute(const struct rr_proof_view *view, struct rr_proof_work *works, size_t count,
                    bool (*work_many)(void *ctx, struct rr_proof_work *works, size_t count),
                    void *work_ctx)
{
    if (count == 0) {
        return true;
    }
    if (work_many != NULL) {
        return work_many(work_ctx, works, count);
    }
    for (size_t i = 0; i < count; i++) {
        uint8_t mix[32] = {0};
        if (!view->work(view->work_ctx, works[i].header_hash, works[i].nonce, mix,
                        works[i].final_be)) {
            return false;
        }
    }
    return true;
}

/* The cheap passes: place of all, then signatures. */
static void judge_cheaply(const struct rr_proof_view *view, struct rr_proof_verdict *verdicts,
                          const struct rr_certificate *certificates, uint32_t count,
                          const struct rr_pubkey *cacher)
{
    for (uint32_t i = 0; i < count; i++) {
        struct rr_proof_verdict *verdict = &verdicts[i];
        verdict->worked = false;
        verdict->service_ms = 0;
        if (verdict->refusal == RR_PROOF_ACCEPTED) {
            (void)check_place(view, &verdict->refusal, &certificates[i], cacher, NULL);
        }
    }
    for (uint32_t i = 0; i < count; i++) {
        if (verdicts[i].refusal == RR_PROOF_ACCEPTED && !is_signed(&certificates[i])) {
            verdicts[i].refusal = RR_PROOF_SIGNATURE;
        }
    }
}

enum rr_err
rr_proof_certificates_check(const struct rr_proof_view *view, struct rr_proof_verdict *verdicts,
                            const struct rr_certificate *certificates, uint32_t count,
                            const struct rr_pubkey *cacher,
                            bool (*work_many)(void *ctx, struct rr_proof_work *works, size_t count),
                            void *work_ctx, struct rr_fault *fault)
{
    struct rr_proof_work works[RR_PROOF_BATCH_MAX];
    size_t left = 0;
    if (count > RR_PROOF_BATCH_MAX) {
        return rr_fail(fault, RR_ERR_LIMIT, "%u certificates at once, at most %d are checked",
                       count, RR_PROOF_BATCH_MAX);
    }
    judge_cheaply(view, verdicts, certificates, count, cacher);
    for (uint32_t i = 0; i < count; i++) {
        if (verdicts[i].refusal == RR_PROOF_ACCEPTED) {
            struct rr_hash32 work_hash;
            rr_certificate_work_hash(&work_hash, &certificates[i]);
            memcpy(works[left].header_hash, work_hash.bytes, 32);
            works[left++].nonce = certificates[i].nonce;
        }
    }
    if (!compute(view, works, left, work_many, work_ctx)) {
        return rr_fail(fault, RR_ERR_STATE, "the work of %zu certificates could not be computed",
                       left);
    }
    left = 0;
    for (uint32_t i = 0; i < count; i++) {
        struct rr_proof_verdict *verdict = &verdicts[i];
        if (verdict->refusal == RR_PROOF_ACCEPTED) {
            memcpy(verdict->final_be, works[left++].final_be, 32);
            verdict->worked = true;
            verdict->service_ms = time_of(view->genesis, verdict->final_be);
            verdict->refusal = verdict->service_ms > 0 ? RR_PROOF_ACCEPTED : RR_PROOF_WORK;
        }
    }
    return RR_OK;
}

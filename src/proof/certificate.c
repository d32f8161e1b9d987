/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "proof/proof.h"
#include "reputation/reputation.h"

uint64_t rr_proof_puzzle_height(const struct rr_genesis *genesis, uint64_t tip_height)
{
    return tip_height - tip_height % genesis->puzzle_blocks;
}

bool rr_proof_in_window(const struct rr_genesis *genesis, uint64_t block_height,
                        uint64_t next_height)
{
    return block_height < next_height && next_height - block_height <= genesis->window_blocks;
}

enum rr_err rr_proof_certificate_place(const struct rr_proof_view *view,
                                       const struct rr_certificate *certificate,
                                       const struct rr_pubkey *cacher, struct rr_fault *fault)
{
    const struct rr_genesis *genesis = view->genesis;
    uint32_t chain_id = rr_genesis_chain_id(genesis);
    if (certificate->chain_id != chain_id) {
        return rr_fail(fault, RR_ERR_TRUST, "the certificate is for chain %08x, this is chain %08x",
                       certificate->chain_id, chain_id);
    }
    if (!rr_equal_secret(&certificate->cacher, cacher, sizeof(*cacher))) {
        return rr_fail(fault, RR_ERR_TRUST, "the certificate names another cacher than this rig");
    }
    uint64_t height = certificate->block_height;
    if (height % genesis->puzzle_blocks != 0) {
        return rr_fail(fault, RR_ERR_STATE, "block %llu makes no puzzle: only each %uth block does",
                       (unsigned long long)height, genesis->puzzle_blocks);
    }
    if (height > view->tip_height || !rr_proof_in_window(genesis, height, view->tip_height + 1)) {
        return rr_fail(fault, RR_ERR_STATE,
                       "the certificate is for block %llu, outside the last %u blocks up to %llu",
                       (unsigned long long)height, genesis->window_blocks,
                       (unsigned long long)view->tip_height);
    }
    struct rr_hash32 own;
    if (!view->block_hash(view->block_ctx, height, &own) ||
        !rr_hash32_equal(&own, &certificate->block_hash)) {
        return rr_fail(fault, RR_ERR_TRUST,
                       "the certificate names another block at height %llu than this chain has",
                       (unsigned long long)height);
    }
    return RR_OK;
}

enum rr_err rr_proof_certificate_check(const struct rr_proof_view *view, uint64_t *service_ms,
                                       const struct rr_certificate *certificate,
                                       const struct rr_pubkey *cacher, struct rr_fault *fault)
{
    enum rr_err err = rr_proof_certificate_place(view, certificate, cacher, fault);
    if (err != RR_OK) {
        return err;
    }
    struct rr_hash32 digest;
    rr_certificate_digest(&digest, certificate);
    if (!rr_verify(&certificate->signature, &certificate->viewer, &digest)) {
        return rr_fail(fault, RR_ERR_TRUST, "the certificate is not signed by its viewer");
    }
    struct rr_hash32 work_hash;
    uint8_t mix[32] = {0};
    uint8_t final_be[32] = {0};
    rr_certificate_work_hash(&work_hash, certificate);
    if (!view->work(view->work_ctx, work_hash.bytes, certificate->nonce, mix, final_be)) {
        return rr_fail(fault, RR_ERR_TRUST, "the work of the certificate could not be computed");
    }
    const struct rr_genesis *genesis = view->genesis;
    uint64_t credit = rr_reputation_time_ms(final_be, genesis->certificate_hashes_per_s,
                                            genesis->puzzle_blocks, genesis->block_ms);
    if (credit == 0) {
        return rr_fail(fault, RR_ERR_LIMIT,
                       "the certificate shows less than a quarter of the work of a whole puzzle; "
                       "such ones do not count");
    }
    *service_ms = credit;
    return RR_OK;
}

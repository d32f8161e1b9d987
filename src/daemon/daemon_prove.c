/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/daemon_job.h"
#include "proof/proof.h"

#include <string.h>
#include <unistd.h>

#define LEAVES_BYTES_MAX (512u << 20)

static void fill_claim(void *ctx, struct rr_tx *tx)
{
    const struct daemon_job *job = ctx;
    tx->type = RR_TX_CLAIM;
    tx->body.claim.contract_id = job->contract_tx;
    tx->body.claim.root = job->root;
    tx->body.claim.leaves = job->leaves;
}

enum rr_err daemon_prove_claim(struct daemon_job *job, struct rr_fault *fault)
{
    uint64_t height;
    enum rr_err err =
        daemon_job_transact(job, &job->claim_tx, "claim.tx", fill_claim, job, &height, fault);
    if (err != RR_OK) {
        return err;
    }
    daemon_job_set_stage(job, JOB_CLAIMED);
    return daemon_job_save(job, fault);
}

/* What the verifier holds while it works through the challenge. */
struct check {
    struct daemon_job *job;
    struct rr_pot_leaf *leaves;
    struct rr_hash32 *hashes;
    struct rr_proof_claim claim;
    uint16_t challenges;
    int original_fd;
    struct rr_transcode_options options;
    uint64_t beacon_height;
    struct rr_pot_answer *answers; /* as drawn */
    bool *passed;
    uint32_t drawn;
    uint16_t checked, failed;
};

static enum rr_err load_leaves(struct check *check, struct rr_fault *fault)
{
    struct rr_buf bytes = {0};
    char path[RR_PATH_BYTES];
    struct rr_hash32 job_id;
    uint32_t count = 0;
    enum rr_err err = daemon_job_path(check->job, path, "leaves", fault);
    if (err == RR_OK && (err = rr_file_read(&bytes, path, LEAVES_BYTES_MAX, fault)) == RR_OK) {
        err = rr_pot_leaves_decode(&job_id, &check->leaves, &count, rr_buf_slice(&bytes), fault);
    }
    rr_buf_clear(&bytes);
    if (err != RR_OK) {
        return err;
    }
    if (!rr_hash32_equal(&job_id, &check->claim.job_id) || count != check->claim.leaves) {
        return rr_fail(fault, RR_ERR_DAMAGED, "%s holds %u leaves of another job; %u were claimed",
                       path, (unsigned)count, (unsigned)check->claim.leaves);
    }
    check->hashes = rr_alloc_array(count, sizeof *check->hashes);
    for (uint32_t i = 0; i < count; i++) {
        rr_pot_leaf_hash(&check->hashes[i], &job_id, &check->leaves[i]);
    }
    return RR_OK;
}

/* The rig's side of a challenge: reveal one leaf with its place, as it goes over a wire. */
static enum rr_err answer_leaf(const struct check *check, struct rr_pot_answer *out, uint32_t index,
                               struct rr_fault *fault)
{
    struct rr_pot_answer answer = {.contract_id = check->claim.contract_id,
                                   .job_id = check->claim.job_id,
                                   .leaf = check->leaves[index]};
    struct rr_buf wire = {0};
    rr_merkle_prove(&answer.place, check->hashes, check->claim.leaves, index);
    rr_pot_answer_encode(&wire, &answer);
    enum rr_err err = rr_pot_answer_decode(out, rr_buf_slice(&wire), fault);
    rr_buf_clear(&wire);
    return err;
}

/* What the rig shows of the leaf beside its answer in a tolerant class, as it goes over a wire. A
 * GOP that is no longer there is an answer without bytes: *out stays empty. */
static enum rr_err show_gop(const struct check *check, struct rr_pot_gop *out, uint32_t index,
                            struct rr_fault *fault)
{
    struct rr_pot_gop kept = {0};
    struct rr_buf wire = {0};
    char work[RR_PATH_BYTES];
    enum rr_err err = daemon_job_path(check->job, work, "work", fault);
    err = err != RR_OK ? err : rr_transcode_gop_read(&kept, work, check->leaves, index, fault);
    if (err == RR_OK) {
        rr_pot_gop_encode(&wire, &kept);
        err = rr_pot_gop_decode(out, rr_buf_slice(&wire), fault);
    }
    rr_pot_gop_clear(&kept);
    rr_buf_clear(&wire);
    return err == RR_ERR_NOTFOUND ? RR_OK : err;
}

/* Sound is exact in every class, and has no GOP to show. */
static enum rr_err judge(struct check *check, struct rr_transcode_verdict *verdict,
                         const struct rr_pot_answer *answer, uint32_t index, struct rr_fault *fault)
{
    const struct daemon_job *job = check->job;
    struct rr_pot_gop gop = {0};
    enum rr_err err = RR_OK;
    if (job->spec.exactness != RR_EXACT) {
        err = show_gop(check, &gop, index, fault);
    }
    if (err == RR_OK) {
        err = rr_transcode_verify(verdict, check->original_fd, &check->options, job->spec.exactness,
                                  &answer->leaf, gop.count > 0 ? &gop : NULL, &job->cancel, fault);
    }
    rr_pot_gop_clear(&gop);
    return err;
}

/* The verifier's side: check the place, then judge the GOP by the job's class. */
static enum rr_err check_answer(struct check *check, const struct rr_pot_answer *answer,
                                uint32_t index, bool *passed, struct rr_fault *fault)
{
    struct rr_transcode_verdict verdict = {.refusal = RR_POT_PLACE};
    struct rr_fault why = {0};
    if (rr_proof_answer_check(answer, &check->claim, index, &why) == RR_OK) {
        enum rr_err err = judge(check, &verdict, answer, index, fault);
        if (err != RR_OK) {
            return err;
        }
    } else {
        memcpy(verdict.sentence, why.text, sizeof verdict.sentence - 1);
    }
    bool good = verdict.refusal == RR_POT_ACCEPTED;
    pthread_mutex_lock(&check->job->rig->lock);
    check->checked++;
    check->failed = (uint16_t)(check->failed + (good ? 0 : 1));
    check->job->proofs_checked = check->checked;
    check->job->proofs_failed = check->failed;
    pthread_mutex_unlock(&check->job->rig->lock);
    if (!good) {
        rr_log(RR_LOG_WARN, "prove", "job %s: rendition %u GOP %u is refused (%s): %s",
               check->job->handle, (unsigned)answer->leaf.rendition, (unsigned)answer->leaf.gop,
               rr_pot_refusal_text(verdict.refusal), verdict.sentence);
    }
    *passed = good;
    return RR_OK;
}

static enum rr_err run_challenge(struct check *check, struct rr_fault *fault)
{
    struct daemon_job *job = check->job;
    struct rr_hash32 beacon;
    enum rr_err err = daemon_rig_wait_height(job->rig, check->beacon_height, fault);
    if (err != RR_OK || (err = rr_chain_block_hash(job->rig->chain, check->beacon_height, &beacon,
                                                   fault)) != RR_OK) {
        return err;
    }
    uint32_t capacity = rr_proof_draw_count(check->claim.leaves, check->challenges);
    uint32_t *drawn = rr_alloc_array(capacity, sizeof *drawn);
    check->answers = rr_alloc_array(capacity, sizeof *check->answers);
    check->passed = rr_alloc_array(capacity, sizeof *check->passed);
    err = rr_proof_draw(&beacon, &check->claim.root, check->claim.leaves, check->challenges, drawn,
                        &check->drawn, capacity, fault);
    for (uint32_t i = 0; i < check->drawn && err == RR_OK; i++) {
        if (atomic_load(&job->rig->stopping)) {
            err = rr_fail(fault, RR_ERR_CANCELLED, "the rig stops");
        } else if ((err = answer_leaf(check, &check->answers[i], drawn[i], fault)) == RR_OK) {
            err = check_answer(check, &check->answers[i], drawn[i], &check->passed[i], fault);
        }
    }
    rr_free(drawn);
    return err;
}

static void fill_attestation(void *ctx, struct rr_tx *tx)
{
    const struct check *check = ctx;
    tx->type = RR_TX_ATTESTATION;
    tx->body.attestation.contract_id = check->claim.contract_id;
    tx->body.attestation.beacon_height = check->beacon_height;
    tx->body.attestation.checked = check->checked;
    tx->body.attestation.failed = check->failed;
    rr_proof_evidence(&tx->body.attestation.evidence, check->answers, check->passed, check->drawn);
}

/* What a tolerant class was answered with. */
static enum rr_err drop_work(const struct daemon_job *job, struct rr_fault *fault)
{
    char work[RR_PATH_BYTES];
    enum rr_err err = daemon_job_path(job, work, "work", fault);
    return err != RR_OK ? err : rr_remove_tree(work, fault);
}

enum rr_err daemon_prove_verify(struct daemon_job *job, struct rr_fault *fault)
{
    struct check check = {.job = job, .original_fd = -1};
    struct rr_contract_state contract;
    uint64_t started_us = rr_monotonic_us(job->rig->clock);
    uint64_t height;
    enum rr_err err = rr_chain_contract(job->rig->chain, &job->contract_tx, &contract, fault);
    if (err != RR_OK) {
        return err;
    }
    check.claim = (struct rr_proof_claim){.contract_id = job->contract_tx,
                                          .job_id = contract.job_id,
                                          .root = contract.root,
                                          .leaves = contract.leaves};
    check.challenges = contract.challenges;
    check.beacon_height = rr_proof_beacon_height(contract.claimed_height);
    if ((err = load_leaves(&check, fault)) != RR_OK ||
        (err = daemon_job_options(job, &check.options, fault)) != RR_OK ||
        (err = daemon_job_original(job, &check.original_fd, fault)) != RR_OK ||
        (err = run_challenge(&check, fault)) != RR_OK) {
        goto out;
    }
    job->prove_s = (double)(rr_monotonic_us(job->rig->clock) - started_us) / 1e6;
    err = daemon_job_transact(job, &job->attestation_tx, "attestation.tx", fill_attestation, &check,
                              &height, fault);
    if (err == RR_OK) {
        daemon_job_set_stage(job, job->proofs_failed == 0 ? JOB_PROVED : JOB_REFUSED);
        err = daemon_job_save(job, fault);
    }
    if (err == RR_OK) {
        err = drop_work(job, fault);
    }
out:
    if (check.original_fd >= 0) {
        close(check.original_fd);
    }
    rr_free(check.leaves);
    rr_free(check.hashes);
    rr_free(check.answers);
    rr_free(check.passed);
    return err;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A publishing job as a contract chain: a contract for each step, each claimed, checked and paid by
 * itself ([VC 8], spec 20, 5). */
#ifndef RR_DAEMON_CHAIN_H
#define RR_DAEMON_CHAIN_H
#include "transcode/transcode.h"

#include <jansson.h>

struct daemon_job;
struct daemon_chain_step {
    struct rr_hash32 contract_tx, claim_tx, attestation_tx; /* ids; zero: not made yet */
    struct rr_hash32 root;                                  /* over its leaves */
    uint32_t leaves;
    uint16_t checked, failed;
};
struct daemon_chain {
    struct rr_work_chain chain; /* no steps: the job is no chain */
    struct daemon_chain_step steps[RR_WORK_STEPS_MAX];
};
/* Reads the words of a chain and makes the job's specification of it. */
enum rr_err daemon_chain_set(struct daemon_job *job, const char *words,
                             struct rr_fault *fault) RR_MUST_USE;
/* For job.json and for views; under rig->lock. NULL when the job is no chain. */
json_t *daemon_chain_json(const struct daemon_chain *chain, bool view);
/* Absent or JSON null: no chain. */
bool daemon_chain_read(struct daemon_chain *out, const json_t *json) RR_MUST_USE;
/* The steps of a job in place of its one contract: opening, claims, challenges and attestations. */
enum rr_err daemon_chain_contract(struct daemon_job *job, struct rr_fault *fault) RR_MUST_USE;
enum rr_err daemon_chain_claim(struct daemon_job *job, struct rr_fault *fault) RR_MUST_USE;
enum rr_err daemon_chain_verify(struct daemon_job *job, struct rr_fault *fault) RR_MUST_USE;
#endif

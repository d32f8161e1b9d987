/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Decode, then encode again: what every format promises is that this gives the same bytes, or an
 * error. */
#ifndef FUZZ_WIRE_RECODE_H
#define FUZZ_WIRE_RECODE_H
#include "wire/wire.h"

typedef enum rr_err recode_fn(struct rr_buf *out, struct rr_slice bytes, struct rr_fault *fault);

#define RECODE_FLAT(name, type)                                                                    \
    static inline enum rr_err recode_##name(struct rr_buf *out, struct rr_slice bytes,             \
                                            struct rr_fault *fault)                                \
    {                                                                                              \
        struct type value;                                                                         \
        enum rr_err err = type##_decode(&value, bytes, fault);                                     \
        if (err == RR_OK) {                                                                        \
            type##_encode(out, &value);                                                            \
        }                                                                                          \
        return err;                                                                                \
    }
#define RECODE_OWNING(name, type)                                                                  \
    static inline enum rr_err recode_##name(struct rr_buf *out, struct rr_slice bytes,             \
                                            struct rr_fault *fault)                                \
    {                                                                                              \
        struct type value;                                                                         \
        enum rr_err err = type##_decode(&value, bytes, fault);                                     \
        if (err == RR_OK) {                                                                        \
            type##_encode(out, &value);                                                            \
            type##_clear(&value);                                                                  \
        }                                                                                          \
        return err;                                                                                \
    }

RECODE_FLAT(genesis, rr_genesis)
RECODE_FLAT(voucher, rr_voucher)
RECODE_FLAT(tx, rr_tx)
RECODE_FLAT(header, rr_header)
RECODE_OWNING(block, rr_block)
RECODE_OWNING(tx_proof, rr_tx_proof)
RECODE_FLAT(object, rr_object)
RECODE_OWNING(manifest, rr_manifest)
RECODE_FLAT(job_spec, rr_job_spec)
RECODE_FLAT(pot_answer, rr_pot_answer)
RECODE_OWNING(pot_gop, rr_pot_gop)
RECODE_FLAT(pot_challenge, rr_pot_challenge)
RECODE_FLAT(pot_vote, rr_pot_vote)
RECODE_OWNING(pot_fraud, rr_pot_fraud)
RECODE_FLAT(certificate, rr_certificate)
RECODE_OWNING(certificate_set, rr_certificate_set)
RECODE_OWNING(session_request, rr_session_request)
RECODE_FLAT(session_answer, rr_session_answer)
RECODE_FLAT(puzzle, rr_puzzle)
RECODE_FLAT(puzzle_box, rr_puzzle_box)
RECODE_FLAT(puzzle_claim, rr_puzzle_claim)
RECODE_OWNING(puzzle_list, rr_puzzle_list)
RECODE_FLAT(work_chain, rr_work_chain)
RECODE_FLAT(work_offer, rr_work_offer)
RECODE_FLAT(work_order, rr_work_order)
RECODE_FLAT(work_quote, rr_work_quote)
RECODE_FLAT(work_commit, rr_work_commit)

static inline enum rr_err recode_puzzle_claims(struct rr_buf *out, struct rr_slice bytes,
                                               struct rr_fault *fault)
{
    struct rr_puzzle_claim *claims;
    uint32_t count;
    enum rr_err err = rr_puzzle_claims_decode(&claims, &count, bytes, fault);
    if (err == RR_OK) {
        rr_puzzle_claims_encode(out, claims, count);
        rr_free(claims);
    }
    return err;
}

static inline enum rr_err recode_puzzle_tag(struct rr_buf *out, struct rr_slice bytes,
                                            struct rr_fault *fault)
{
    struct rr_hash32 contract_id;
    struct rr_puzzle puzzle;
    enum rr_err err = rr_puzzle_tag_parse(&contract_id, &puzzle, bytes, fault);
    if (err == RR_OK) {
        rr_puzzle_tag_text(out, &contract_id, &puzzle);
    }
    return err;
}

static inline enum rr_err recode_pot_leaves(struct rr_buf *out, struct rr_slice bytes,
                                            struct rr_fault *fault)
{
    struct rr_hash32 job_id;
    struct rr_pot_leaf *leaves;
    uint32_t count;
    enum rr_err err = rr_pot_leaves_decode(&job_id, &leaves, &count, bytes, fault);
    if (err == RR_OK) {
        rr_pot_leaves_encode(out, &job_id, leaves, count);
        rr_free(leaves);
    }
    return err;
}

static inline enum rr_err recode_certificates(struct rr_buf *out, struct rr_slice bytes,
                                              struct rr_fault *fault)
{
    struct rr_certificate *certificates;
    uint32_t count;
    enum rr_err err = rr_certificates_decode(&certificates, &count, bytes, fault);
    if (err == RR_OK) {
        rr_certificates_encode(out, certificates, count);
        rr_free(certificates);
    }
    return err;
}

static inline enum rr_err recode_puzzle_offer(struct rr_buf *out, struct rr_slice bytes,
                                              struct rr_fault *fault)
{
    struct rr_puzzle_offer offer;
    enum rr_err err = rr_puzzle_offer_parse(&offer, bytes, fault);
    if (err == RR_OK) {
        char text[RR_PUZZLE_TEXT_BYTES];
        rr_puzzle_offer_text(text, &offer);
        rr_buf_append(out, text, rr_slice_str(text).len);
    }
    return err;
}

static inline enum rr_err recode_payment_header(struct rr_buf *out, struct rr_slice bytes,
                                                struct rr_fault *fault)
{
    struct rr_payment_header header;
    enum rr_err err = rr_payment_header_parse(&header, bytes, fault);
    if (err == RR_OK) {
        rr_payment_header_text(out, &header);
    }
    return err;
}

static inline enum rr_err recode_offer(struct rr_buf *out, struct rr_slice bytes,
                                       struct rr_fault *fault)
{
    struct rr_offer offer;
    enum rr_err err = rr_offer_parse(&offer, bytes, fault);
    if (err == RR_OK) {
        rr_offer_json(out, &offer);
    }
    return err;
}

/* For a fuzz target: aborts when accepted bytes come back different, or a refusal does not say why.
 */
static inline void recode_check(recode_fn *recode, const uint8_t *data, size_t size)
{
    struct rr_buf out = {0};
    struct rr_fault fault = {0};
    struct rr_slice bytes = rr_slice_of(data, size);
    enum rr_err err = recode(&out, bytes, &fault);
    if (err == RR_OK) {
        RR_CHECK(rr_slice_equal(rr_buf_slice(&out), bytes));
    } else {
        RR_CHECK(fault.code == err && fault.text[0] != '\0' && out.len == 0);
    }
    rr_buf_clear(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
#define RECODE_TARGET(name)                                                                        \
    int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)                                   \
    {                                                                                              \
        recode_check(recode_##name, data, size);                                                   \
        return 0;                                                                                  \
    }
#endif

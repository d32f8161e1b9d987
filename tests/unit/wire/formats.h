/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Every format by name: makes the bytes of a valid value, and decodes and encodes again. */
#ifndef UNIT_WIRE_FORMATS_H
#define UNIT_WIRE_FORMATS_H
#include "make_pot.h"
#include "make_puzzle.h"
#include "make_work.h"

#define WRITE_FLAT(name, type, make)                                                               \
    static inline void write_##name(struct source *s, struct rr_buf *out)                          \
    {                                                                                              \
        struct type value = make(s);                                                               \
        type##_encode(out, &value);                                                                \
    }
WRITE_FLAT(genesis, rr_genesis, make_genesis)
WRITE_FLAT(voucher, rr_voucher, make_voucher)
WRITE_FLAT(header, rr_header, make_header)
WRITE_FLAT(object, rr_object, make_object)
WRITE_FLAT(job_spec, rr_job_spec, make_job_spec)
WRITE_FLAT(pot_answer, rr_pot_answer, make_answer)
WRITE_FLAT(certificate, rr_certificate, make_certificate)
WRITE_FLAT(puzzle_box, rr_puzzle_box, make_puzzle_box)
WRITE_FLAT(puzzle_claim, rr_puzzle_claim, make_puzzle_claim)
WRITE_FLAT(work_chain, rr_work_chain, make_chain)
WRITE_FLAT(work_offer, rr_work_offer, make_work_offer)
WRITE_FLAT(work_order, rr_work_order, make_work_order)
WRITE_FLAT(work_quote, rr_work_quote, make_work_quote)
WRITE_FLAT(work_commit, rr_work_commit, make_work_commit)

static inline void write_puzzle(struct source *s, struct rr_buf *out)
{
    struct rr_puzzle puzzle = make_puzzle(s, NULL, NULL);
    rr_puzzle_encode(out, &puzzle);
}

static inline void write_puzzle_tag(struct source *s, struct rr_buf *out)
{
    struct rr_hash32 contract_id;
    make_field(s, contract_id);
    struct rr_puzzle puzzle = make_puzzle(s, NULL, &contract_id);
    rr_puzzle_tag_text(out, &contract_id, &puzzle);
}

static inline void write_puzzle_claims(struct source *s, struct rr_buf *out)
{
    struct rr_puzzle_claim list[8];
    uint32_t count = make_count(s, 2, 8);
    for (uint32_t i = 0; i < count; i++) {
        list[i] = make_puzzle_claim(s);
    }
    rr_puzzle_claims_encode(out, list, count);
}

static inline void write_puzzle_list(struct source *s, struct rr_buf *out)
{
    struct rr_puzzle_list list = make_puzzle_list(s);
    rr_puzzle_list_encode(out, &list);
    rr_puzzle_list_clear(&list);
}

static inline void write_tx(struct source *s, struct rr_buf *out)
{
    struct rr_tx tx = make_tx(s);
    rr_tx_encode(out, &tx);
}

#define WRITE_TX(name, type)                                                                       \
    static inline void write_##name(struct source *s, struct rr_buf *out)                          \
    {                                                                                              \
        struct rr_tx tx = make_tx_of(s, type);                                                     \
        rr_tx_encode(out, &tx);                                                                    \
    }
WRITE_TX(tx_transfer, RR_TX_TRANSFER)
WRITE_TX(tx_create_pool, RR_TX_CREATE_POOL)
WRITE_TX(tx_refill_pool, RR_TX_REFILL_POOL)
WRITE_TX(tx_settle, RR_TX_SETTLE)
WRITE_TX(tx_release_pool, RR_TX_RELEASE_POOL)
WRITE_TX(tx_open_contract, RR_TX_OPEN_CONTRACT)
WRITE_TX(tx_claim, RR_TX_CLAIM)
WRITE_TX(tx_attestation, RR_TX_ATTESTATION)

static inline void write_block(struct source *s, struct rr_buf *out)
{
    struct rr_tx txs[8];
    struct rr_block block = {.header = make_header(s), .txs = txs, .tx_count = make_count(s, 2, 8)};
    for (uint32_t i = 0; i < block.tx_count; i++) {
        txs[i] = make_tx(s);
    }
    rr_block_encode(out, &block);
}

static inline void write_tx_proof(struct source *s, struct rr_buf *out)
{
    struct rr_header headers[4];
    struct rr_tx_proof proof = {
        .tx = make_tx(s), .headers = headers, .header_count = 1 + make_count(s, 1, 3)};
    proof.place = make_place(s);
    for (uint32_t i = 0; i < proof.header_count; i++) {
        headers[i] = make_header(s);
    }
    rr_tx_proof_encode(out, &proof);
}

static inline void write_manifest(struct source *s, struct rr_buf *out)
{
    struct rr_manifest manifest = make_manifest(s);
    rr_manifest_encode(out, &manifest);
    rr_manifest_clear(&manifest);
}

static inline void write_manifest_tracks(struct source *s, struct rr_buf *out)
{
    struct rr_manifest manifest = make_manifest_of(s, true);
    rr_manifest_encode(out, &manifest);
    rr_manifest_clear(&manifest);
}

static inline void write_pot_leaves(struct source *s, struct rr_buf *out)
{
    struct rr_pot_leaf leaves[8];
    struct rr_hash32 job_id;
    uint32_t count = make_count(s, 2, 8);
    make_field(s, job_id);
    for (uint32_t i = 0; i < count; i++) {
        leaves[i] = make_leaf(s);
    }
    rr_pot_leaves_encode(out, &job_id, leaves, count);
}

static inline void write_certificates(struct source *s, struct rr_buf *out)
{
    struct rr_certificate list[8];
    uint32_t count = make_count(s, 2, 8);
    for (uint32_t i = 0; i < count; i++) {
        list[i] = make_certificate(s);
    }
    rr_certificates_encode(out, list, count);
}

static inline void write_certificate_set(struct source *s, struct rr_buf *out)
{
    struct rr_certificate_set set = make_set(s);
    rr_certificate_set_encode(out, &set);
    rr_certificate_set_clear(&set);
}

static inline void write_session_request(struct source *s, struct rr_buf *out)
{
    struct rr_session_request request = {0};
    make_field(s, request.resource_id);
    make_field(s, request.viewer);
    request.voucher = make_voucher(s);
    uint8_t proof[64];
    size_t len = make_count(s, 5, sizeof proof);
    make_bytes(s, proof, len);
    rr_buf_append(&request.pool_proof, proof, len);
    rr_session_request_encode(out, &request);
    rr_session_request_clear(&request);
}

static inline void write_session_answer(struct source *s, struct rr_buf *out)
{
    struct rr_session_answer answer = {0};
    make_bytes(s, answer.session_id, sizeof answer.session_id);
    answer.slice_bytes = make_u32(s);
    answer.unit_price = make_coin(s);
    answer.accepted_depth = make_u32(s);
    rr_session_answer_encode(out, &answer);
}

static inline void write_puzzle_offer(struct source *s, struct rr_buf *out)
{
    struct rr_puzzle_offer offer = {.block_height = make_u64(s)};
    char text[RR_PUZZLE_TEXT_BYTES];
    make_field(s, offer.block_hash);
    offer.s = make_u32(s);
    offer.d = make_u32(s);
    rr_puzzle_offer_text(text, &offer);
    rr_buf_append(out, text, strlen(text));
}

static inline void write_payment_header(struct source *s, struct rr_buf *out)
{
    struct rr_payment_header header = make_payment(s);
    rr_payment_header_text(out, &header);
}

static inline void write_offer(struct source *s, struct rr_buf *out)
{
    struct rr_offer offer = make_offer(s);
    rr_offer_json(out, &offer);
}

struct format {
    const char *name;   /* of the vector and of the fuzz corpus' seed */
    const char *corpus; /* fuzz_<corpus>.c */
    void (*write)(struct source *s, struct rr_buf *out);
    recode_fn *recode;
    bool text;         /* a shorter form may be a value too */
    size_t version_at; /* of the version byte, which is 1 */
};
#define FORMAT_AT(name, whole, text, at)                                                           \
    {                                                                                              \
#name, #whole, write_##name, recode_##whole, text, at                                      \
    }
#define FORMAT(name)      FORMAT_AT(name, name, false, 0)
#define FORMAT_TEXT(name) FORMAT_AT(name, name, true, 0)
#define FORMAT_TX(name)   FORMAT_AT(name, tx, false, 0)
#define FORMAT_BOX(name)  FORMAT_AT(name, name, false, 8)
static const struct format formats[] = {
    FORMAT(genesis),
    FORMAT(voucher),
    FORMAT_TX(tx_transfer),
    FORMAT_TX(tx_create_pool),
    FORMAT_TX(tx_refill_pool),
    FORMAT_TX(tx_settle),
    FORMAT_TX(tx_release_pool),
    FORMAT_TX(tx_open_contract),
    FORMAT_TX(tx_claim),
    FORMAT_TX(tx_attestation),
    FORMAT(header),
    FORMAT(block),
    FORMAT(tx_proof),
    FORMAT(object),
    FORMAT(manifest),
    FORMAT_AT(manifest_tracks, manifest, false, 0),
    FORMAT(job_spec),
    FORMAT(pot_answer),
    FORMATS_POT,
    FORMAT(certificate),
    FORMAT(certificates),
    FORMAT(certificate_set),
    FORMAT(session_request),
    FORMAT(session_answer),
    FORMAT(puzzle),
    FORMAT(puzzle_list),
    FORMAT(puzzle_claim),
    FORMAT(puzzle_claims),
    FORMAT(work_chain),
    FORMAT(work_offer),
    FORMAT(work_order),
    FORMAT(work_quote),
    FORMAT(work_commit),
    FORMAT_BOX(puzzle_box),
    FORMAT_TEXT(puzzle_tag),
    FORMAT_TEXT(puzzle_offer),
    FORMAT_TEXT(payment_header),
    FORMAT_TEXT(offer),
};
#endif

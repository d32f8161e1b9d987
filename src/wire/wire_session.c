/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "wire/wire_private.h"

/* ---- opening of a session
 * ---------------------------------------------------------------------------- */

void rr_session_request_encode(struct rr_buf *out, const struct rr_session_request *request)
{
    rr_write_u8(out, WIRE_VERSION);
    wire_write_hash(out, &request->resource_id);
    wire_write_key(out, &request->viewer);
    wire_write_voucher(out, &request->voucher, true);
    rr_write_var32(out, rr_buf_slice(&request->pool_proof));
}

enum rr_err rr_session_request_decode(struct rr_session_request *out, struct rr_slice bytes,
                                      struct rr_fault *fault)
{
    if (bytes.len > RR_SESSION_REQUEST_MAX) {
        return rr_fail(fault, RR_ERR_LIMIT, "a session request of %zu bytes; at most %u", bytes.len,
                       RR_SESSION_REQUEST_MAX);
    }
    struct rr_reader reader = rr_reader_of(bytes);
    struct rr_session_request request = {0};
    wire_read_version(&reader);
    wire_read_hash(&reader, &request.resource_id);
    wire_read_key(&reader, &request.viewer);
    wire_read_voucher(&reader, &request.voucher);
    struct rr_slice proof = rr_read_var32(&reader, RR_SESSION_REQUEST_MAX);
    enum rr_err err = wire_done(&reader, "session request", fault);
    if (err == RR_OK) {
        rr_buf_append(&request.pool_proof, proof.ptr, proof.len);
        *out = request;
    }
    return err;
}

void rr_session_request_clear(struct rr_session_request *request)
{
    rr_buf_clear(&request->pool_proof);
    *request = (struct rr_session_request){0};
}

void rr_session_answer_encode(struct rr_buf *out, const struct rr_session_answer *answer)
{
    rr_write_u8(out, WIRE_VERSION);
    rr_buf_append(out, answer->session_id, sizeof answer->session_id);
    rr_write_u32(out, answer->slice_bytes);
    wire_write_coin(out, answer->unit_price);
    rr_write_u32(out, answer->accepted_depth);
}

enum rr_err rr_session_answer_decode(struct rr_session_answer *out, struct rr_slice bytes,
                                     struct rr_fault *fault)
{
    struct rr_reader reader = rr_reader_of(bytes);
    struct rr_session_answer answer;
    wire_read_version(&reader);
    rr_read_bytes(&reader, answer.session_id, sizeof answer.session_id);
    answer.slice_bytes = rr_read_u32(&reader);
    wire_read_coin(&reader, &answer.unit_price);
    answer.accepted_depth = rr_read_u32(&reader);
    enum rr_err err = wire_done(&reader, "session answer", fault);
    if (err == RR_OK) {
        *out = answer;
    }
    return err;
}

/* ---- Reelrig-Payment
 * ------------------------------------------------------------------------------------- */

/* The base64 of a voucher, whose encoding has one length. */
static bool take_voucher(struct rr_slice *text, struct rr_voucher *out)
{
    struct rr_buf bytes = {0};
    bool fits = text->len <= 512 && wire_read_base64(&bytes, *text) &&
                rr_voucher_decode(out, rr_buf_slice(&bytes), NULL) == RR_OK;
    rr_buf_clear(&bytes);
    text->len = 0;
    return fits;
}

enum rr_err rr_payment_header_parse(struct rr_payment_header *out, struct rr_slice text,
                                    struct rr_fault *fault)
{
    struct rr_payment_header header = {0};
    uint64_t depth = 0;
    bool fits = wire_take_word(&text, "session=") &&
                wire_take_hex(&text, header.session_id, sizeof header.session_id);
    if (fits && wire_take_word(&text, ", depth=")) {
        fits = wire_take_number(&text, &depth, UINT32_MAX) &&
               wire_take_word(&text, ", preimage=") &&
               wire_take_hex(&text, header.preimage.bytes, sizeof header.preimage.bytes);
        header.has_preimage = true;
        header.depth = (uint32_t)depth;
    } else if (fits && wire_take_word(&text, ", voucher=")) {
        fits = take_voucher(&text, &header.voucher);
        header.has_voucher = true;
    }
    if (!fits || text.len != 0) {
        return rr_fail(
            fault, RR_ERR_FORMAT,
            "a payment that is not 'session=HEX', alone or with ', depth=N, preimage=HEX' or "
            "', voucher=BASE64'");
    }
    *out = header;
    return RR_OK;
}

void rr_payment_header_text(struct rr_buf *out, const struct rr_payment_header *header)
{
    RR_CHECK(!header->has_preimage || !header->has_voucher);
    rr_buf_format(out, "session=");
    wire_write_hex(out, header->session_id, sizeof header->session_id);
    if (header->has_preimage) {
        rr_buf_format(out, ", depth=%u, preimage=", header->depth);
        wire_write_hex(out, header->preimage.bytes, sizeof header->preimage.bytes);
    }
    if (header->has_voucher) {
        struct rr_buf bytes = {0};
        rr_voucher_encode(&bytes, &header->voucher);
        rr_buf_format(out, ", voucher=");
        wire_write_base64(out, rr_buf_slice(&bytes));
        rr_buf_clear(&bytes);
    }
}

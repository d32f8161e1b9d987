/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Certificates, sessions, offers (spec 10, 3; 40, 4; 60). Enter by wire.h. */
#ifndef RR_WIRE_PAY_H
#define RR_WIRE_PAY_H
#include "wire/wire_chain.h"

/* ---- service certificates (spec 10, 3) ----------------------------------------------------------
 */
struct rr_certificate {
    uint32_t chain_id;
    struct rr_pubkey cacher, viewer;
    uint64_t block_height; /* k */
    struct rr_hash32 block_hash;
    uint64_t nonce;
    struct rr_signature signature; /* of viewer, over "rr.cert.v1" of all before it */
};
void rr_certificate_encode(struct rr_buf *out, const struct rr_certificate *certificate);
enum rr_err rr_certificate_decode(struct rr_certificate *out, struct rr_slice bytes,
                                  struct rr_fault *fault) RR_MUST_USE;
void rr_certificate_digest(struct rr_hash32 *out, const struct rr_certificate *certificate);
void rr_certificate_sign(struct rr_certificate *certificate, const struct rr_seckey *viewer);
/* keccak256("reelrig/sc" || chain_id u32 || cacher || viewer || block_hash). */
void rr_certificate_work_hash(struct rr_hash32 *out, const struct rr_certificate *certificate);
/* Body of POST /v1/certificates: version, u16 count, certificates. Decode allocates *out (rr_free),
 * never NULL. */
#define RR_CERTIFICATES_POST_MAX 256
void rr_certificates_encode(struct rr_buf *out, const struct rr_certificate *certificates,
                            uint32_t count);
enum rr_err rr_certificates_decode(struct rr_certificate **out, uint32_t *count,
                                   struct rr_slice bytes, struct rr_fault *fault) RR_MUST_USE;

/* A set as the header commits it: <= 256 entries sorted by (viewer, block height). */
#define RR_CERTIFICATE_SET_MAX 256
struct rr_certificate_entry {
    struct rr_certificate certificate;
    struct rr_hash32 pool_id; /* funded pool that binds it; zero under binding none */
    uint64_t credit_ms;       /* T_sc after the cap of its pool */
};
struct rr_certificate_set {
    struct rr_certificate_entry *entries; /* owned */
    uint32_t count;
};
void rr_certificate_set_encode(struct rr_buf *out, const struct rr_certificate_set *set);
enum rr_err rr_certificate_set_decode(struct rr_certificate_set *out, struct rr_slice bytes,
                                      struct rr_fault *fault) RR_MUST_USE;
void rr_certificate_set_clear(struct rr_certificate_set *set);
/* Leaf of cert_root: "rr.certset.v1" over index u16, first and last (viewer, height), count u32,
 * T_i u64, and "rr.certs.v1" of the encoding. */
void rr_certificate_set_leaf(struct rr_hash32 *out, uint16_t index,
                             const struct rr_certificate_set *set);
uint64_t rr_certificate_set_ms(const struct rr_certificate_set *set); /* T_i, saturating */

/* The puzzle of the response header: "height=H, block=HEX, s=N, d=N". */
struct rr_puzzle_offer {
    uint64_t block_height;
    struct rr_hash32 block_hash;
    uint32_t s, d;
};
#define RR_PUZZLE_TEXT_BYTES 160
void rr_puzzle_offer_text(char text[static RR_PUZZLE_TEXT_BYTES],
                          const struct rr_puzzle_offer *offer);
enum rr_err rr_puzzle_offer_parse(struct rr_puzzle_offer *out, struct rr_slice text,
                                  struct rr_fault *fault) RR_MUST_USE;

/* ---- sessions (spec 40, 4; 60, 2)
 * ------------------------------------------------------------------ */
struct rr_session_request {
    struct rr_hash32 resource_id;
    struct rr_pubkey viewer;
    struct rr_voucher voucher; /* first, or renewed with a higher seq */
    struct rr_buf pool_proof;  /* rr_tx_proof of its create_pool; owned; empty on renewal */
};
#define RR_SESSION_REQUEST_MAX (16u << 20)
void rr_session_request_encode(struct rr_buf *out, const struct rr_session_request *request);
enum rr_err rr_session_request_decode(struct rr_session_request *out, struct rr_slice bytes,
                                      struct rr_fault *fault) RR_MUST_USE;
void rr_session_request_clear(struct rr_session_request *request);
#define RR_SESSION_ID_BYTES 16
struct rr_session_answer {
    uint8_t session_id[RR_SESSION_ID_BYTES];
    uint32_t slice_bytes;
    struct rr_coin unit_price;
    uint32_t accepted_depth; /* units of this voucher taken so far */
};
void rr_session_answer_encode(struct rr_buf *out, const struct rr_session_answer *answer);
enum rr_err rr_session_answer_decode(struct rr_session_answer *out, struct rr_slice bytes,
                                     struct rr_fault *fault) RR_MUST_USE;

/* Value of the request header Reelrig-Payment: "session=HEX", then either nothing more,
 * ", depth=N, preimage=HEX" or ", voucher=BASE64". */
struct rr_payment_header {
    uint8_t session_id[RR_SESSION_ID_BYTES];
    bool has_preimage, has_voucher;
    uint32_t depth;
    struct rr_hash32 preimage;
    struct rr_voucher voucher;
};
enum rr_err rr_payment_header_parse(struct rr_payment_header *out, struct rr_slice text,
                                    struct rr_fault *fault) RR_MUST_USE;
/* Appends the text to out, no NUL. */
void rr_payment_header_text(struct rr_buf *out, const struct rr_payment_header *header);

/* Offer of a paid resource, the body of a 402: JSON object with exactly the keys resource,
 * slice_price (coins, as text), slice_bytes, target (address text), target_key, chain_id, genesis,
 * checkpoint_height, checkpoint_hash, collateral_min_ratio ("deposit < collateral"),
 * pool_blocks_min, margin_blocks; compact, keys sorted. No other form of it is parsed; target must
 * be the address of target_key. */
struct rr_offer {
    struct rr_hash32 resource_id;
    struct rr_coin slice_price;
    uint32_t slice_bytes;
    struct rr_pubkey target;
    uint32_t chain_id;
    struct rr_hash32 genesis;
    uint64_t checkpoint_height;
    struct rr_hash32 checkpoint_hash;
    uint32_t pool_blocks_min;
    uint32_t margin_blocks; /* the provider settles this long before the pool's end */
    bool test_addresses;    /* target is written trr1..., as the genesis says */
};
#define RR_OFFER_JSON_MAX 2048
/* Heights above INT64_MAX do not exist in JSON and are a bug. */
void rr_offer_json(struct rr_buf *out, const struct rr_offer *offer);
enum rr_err rr_offer_parse(struct rr_offer *out, struct rr_slice json,
                           struct rr_fault *fault) RR_MUST_USE;
#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Engagement puzzles ([THETA-18] eq. 12-13; spec 10, 4): the puzzle, the box and the playlist tag
 * that carry it in the stream, the claim of who solved it. Enter by wire.h. */
#ifndef RR_WIRE_PUZZLE_H
#define RR_WIRE_PUZZLE_H
#include "wire/wire_media.h"

/* ---- puzzle: what rides in the stream, 63 bytes (spec: at most 64) ------------------------------
 */
enum rr_puzzle_kind {
    RR_PUZZLE_WORK = 1, /* a nonce has to be found; the first valid claim wins */
    RR_PUZZLE_STAKE = 2 /* no work, difficulty 1: the winner is drawn from the claims by stake */
};
#define RR_PUZZLE_BYTES        63
#define RR_PUZZLE_PREFIX_BYTES 16 /* of an id; the claim carries the whole id (docs/puzzles.md) */
#define RR_PUZZLE_RAND_BYTES   16
/* mantissa times 2^exponent, one form for each value: mantissa >= 1, and exponent is 0 or the
 * mantissa has its top bit; exponent <= 224, so that it fits 256 bits. */
struct rr_puzzle_difficulty {
    uint32_t mantissa;
    uint8_t exponent;
};
#define RR_PUZZLE_EXPONENT_MAX 224
struct rr_puzzle {
    enum rr_puzzle_kind kind;
    struct rr_coin prize;
    struct rr_puzzle_difficulty difficulty;
    uint8_t rand[RR_PUZZLE_RAND_BYTES];
    uint8_t segment[RR_PUZZLE_PREFIX_BYTES];  /* first bytes of rr_puzzle_segment_digest */
    uint8_t contract[RR_PUZZLE_PREFIX_BYTES]; /* first bytes of the contract's id */
};
/* The difficulty, exactly. */
struct rr_u256 rr_puzzle_difficulty_value(struct rr_puzzle_difficulty difficulty);
/* The greatest difficulty that is not above `wanted` and has a form; exact below 2^32. wanted 0 has
 * none: false. */
bool rr_puzzle_difficulty_of(struct rr_puzzle_difficulty *out, struct rr_u256 wanted) RR_MUST_USE;
void rr_puzzle_encode(struct rr_buf *out, const struct rr_puzzle *puzzle);
enum rr_err rr_puzzle_decode(struct rr_puzzle *out, struct rr_slice bytes,
                             struct rr_fault *fault) RR_MUST_USE;

/* ---- box: an `emsg` version 1 [ISO/IEC 23009-1, 5.10.3.3] in front of a `moof` ------------------
 */
#define RR_PUZZLE_SCHEME     "urn:reelrig:puzzle" /* scheme_id_uri; value: the contract's id, hex */
#define RR_PUZZLES_A_SEGMENT 16
struct rr_puzzle_box {
    uint32_t timescale;         /* of its rendition, not 0 */
    uint64_t presentation_time; /* of the segment's begin */
    uint32_t duration;          /* of the segment, same unit */
    uint32_t id;                /* segment number times 16, plus the place among its puzzles */
    struct rr_hash32 contract_id;
    struct rr_puzzle puzzle; /* contract: the first bytes of contract_id */
};
void rr_puzzle_box_encode(struct rr_buf *out, const struct rr_puzzle_box *box);
/* One whole box. RR_ERR_FORMAT; RR_ERR_TRUST when contract id and puzzle do not fit. */
enum rr_err rr_puzzle_box_decode(struct rr_puzzle_box *out, struct rr_slice bytes,
                                 struct rr_fault *fault) RR_MUST_USE;
/* A segment file taken apart. Boxes of the scheme above are no part of the plain segment, whatever
 * they hold, also those that later versions may bring; all other bytes are, in their order. */
struct rr_puzzle_scan {
    struct rr_puzzle_box boxes[RR_PUZZLES_A_SEGMENT]; /* those that decode, in file order */
    uint32_t count;
    uint32_t unknown;                                /* of the scheme, not decoded */
    struct rr_slice plain[RR_PUZZLES_A_SEGMENT + 1]; /* borrowed from the file */
    uint32_t plain_count;
};
/* Walks the boxes at the top of the file. RR_ERR_FORMAT: bytes that are no boxes to their end;
 * RR_ERR_LIMIT: more than RR_PUZZLES_A_SEGMENT boxes of the scheme. */
enum rr_err rr_puzzle_scan(struct rr_puzzle_scan *out, struct rr_slice file,
                           struct rr_fault *fault) RR_MUST_USE;
/* "rr.segment.v1" over the plain segment: equal to the manifest's digest where no box is in. */
void rr_puzzle_segment_digest(struct rr_hash32 *out, const struct rr_puzzle_scan *scan);
/* Appends the segment with the boxes in front of its first `moof`. RR_ERR_FORMAT: no `moof`, or it
 * holds boxes of the scheme already; RR_ERR_LIMIT: count > RR_PUZZLES_A_SEGMENT. */
enum rr_err rr_puzzle_insert(struct rr_buf *out, struct rr_slice file,
                             const struct rr_puzzle_box *boxes, uint32_t count,
                             struct rr_fault *fault) RR_MUST_USE;

/* ---- all puzzles of a resource, as the rig keeps them beside the manifest -----------------------
 */
struct rr_puzzle_entry {
    uint16_t rendition; /* index in the manifest */
    uint32_t segment;
    struct rr_hash32 contract_id;
    struct rr_puzzle puzzle;
};
struct rr_puzzle_list {
    struct rr_hash32 resource_id;
    struct rr_puzzle_entry *entries; /* owned; rising by rendition, then segment */
    uint32_t count;
};
#define RR_PUZZLES_MAX (1u << 20)
void rr_puzzle_list_encode(struct rr_buf *out, const struct rr_puzzle_list *list);
/* At most RR_PUZZLES_A_SEGMENT of one segment. */
enum rr_err rr_puzzle_list_decode(struct rr_puzzle_list *out, struct rr_slice bytes,
                                  struct rr_fault *fault) RR_MUST_USE;
void rr_puzzle_list_clear(struct rr_puzzle_list *list);

/* ---- playlist tag: players pass over tags they do not know [RFC 8216, 6.3.1] --------------------
 */
/* Appends "#EXT-X-REELRIG-PUZZLE:CONTRACT=0x<HEX>,PUZZLE=0x<HEX>", upper-case hex [RFC 8216, 4.2],
 * no line end. */
void rr_puzzle_tag_text(struct rr_buf *out, const struct rr_hash32 *contract_id,
                        const struct rr_puzzle *puzzle);
/* One line without its end. *contract_id and *puzzle written on success. RR_ERR_FORMAT,
 * RR_ERR_TRUST as of the box. */
enum rr_err rr_puzzle_tag_parse(struct rr_hash32 *contract_id, struct rr_puzzle *puzzle,
                                struct rr_slice line, struct rr_fault *fault) RR_MUST_USE;

/* ---- claim: a viewer's answer, 306 bytes --------------------------------------------------------
 */
#define RR_PUZZLE_CLAIM_BYTES 306
struct rr_puzzle_claim {
    uint32_t chain_id;
    struct rr_hash32 contract_id, resource_id;
    uint16_t rendition;              /* index in the manifest, < RR_RENDITIONS_MAX */
    uint32_t segment;                /* < RR_SEGMENTS_MAX */
    struct rr_hash32 segment_digest; /* whole, of the plain segment */
    struct rr_puzzle puzzle;
    struct rr_hash32 engagement; /* keccak256("reelrig/poe", segment, rand, viewer): proof.h */
    struct rr_pubkey viewer;
    uint64_t nonce;                /* 0 for RR_PUZZLE_STAKE */
    struct rr_signature signature; /* of viewer, over "rr.pzclaim.v1" of all before it */
};
void rr_puzzle_claim_encode(struct rr_buf *out, const struct rr_puzzle_claim *claim);
/* RR_ERR_TRUST: contract id or segment digest do not begin as the puzzle says. */
enum rr_err rr_puzzle_claim_decode(struct rr_puzzle_claim *out, struct rr_slice bytes,
                                   struct rr_fault *fault) RR_MUST_USE;
/* The puzzle's name on the ledger: "rr.puzzle.v1" of all fields before `engagement`. Of claims with
 * one name the first valid one in the ledger's order wins. */
void rr_puzzle_id(struct rr_hash32 *out, const struct rr_puzzle_claim *claim);
void rr_puzzle_claim_sign(struct rr_puzzle_claim *claim,
                          const struct rr_seckey *key); /* sets viewer too */
bool rr_puzzle_claim_verify(const struct rr_puzzle_claim *claim) RR_MUST_USE;
/* Body of POST /v1/puzzle-claims: version, u16 count, claims. Decode allocates *out (rr_free),
 * never NULL; RR_ERR_TRUST as of one claim. */
#define RR_PUZZLE_CLAIMS_POST_MAX 256
void rr_puzzle_claims_encode(struct rr_buf *out, const struct rr_puzzle_claim *claims,
                             uint32_t count);
enum rr_err rr_puzzle_claims_decode(struct rr_puzzle_claim **out, uint32_t *count,
                                    struct rr_slice bytes, struct rr_fault *fault) RR_MUST_USE;
#endif

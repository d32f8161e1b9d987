/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "wire/wire_private.h"

#include <string.h>

#define ENTRY_BYTES (2 + 4 + 32 + RR_PUZZLE_BYTES)

/* ---- difficulty
 * ------------------------------------------------------------------------------------------------
 */

static const uint32_t top_bit = UINT32_C(1) << 31;

static bool difficulty_valid(struct rr_puzzle_difficulty d)
{
    return d.mantissa > 0 && d.exponent <= RR_PUZZLE_EXPONENT_MAX &&
           (d.exponent == 0 || d.mantissa >= top_bit);
}

struct rr_u256 rr_puzzle_difficulty_value(struct rr_puzzle_difficulty difficulty)
{
    RR_CHECK(difficulty_valid(difficulty));
    return rr_u256_shl(rr_u256_of(difficulty.mantissa), difficulty.exponent);
}

bool rr_puzzle_difficulty_of(struct rr_puzzle_difficulty *out, struct rr_u256 wanted)
{
    struct rr_puzzle_difficulty difficulty = {0};
    while (wanted.limb[0] > UINT32_MAX || (wanted.limb[1] | wanted.limb[2] | wanted.limb[3]) != 0) {
        wanted = rr_u256_shr(wanted, 1);
        difficulty.exponent++;
    }
    difficulty.mantissa = (uint32_t)wanted.limb[0];
    if (difficulty.mantissa == 0) {
        return false;
    }
    *out = difficulty;
    return true;
}

/* ---- puzzle
 * ------------------------------------------------------------------------------------------------
 */

static void write_puzzle(struct rr_buf *out, const struct rr_puzzle *puzzle)
{
    rr_write_u8(out, WIRE_VERSION);
    rr_write_u8(out, (uint8_t)puzzle->kind);
    wire_write_coin(out, puzzle->prize);
    rr_write_u32(out, puzzle->difficulty.mantissa);
    rr_write_u8(out, puzzle->difficulty.exponent);
    rr_buf_append(out, puzzle->rand, sizeof puzzle->rand);
    rr_buf_append(out, puzzle->segment, sizeof puzzle->segment);
    rr_buf_append(out, puzzle->contract, sizeof puzzle->contract);
}

static void read_puzzle(struct rr_reader *reader, struct rr_puzzle *out)
{
    wire_read_version(reader);
    uint8_t kind = rr_read_u8(reader);
    wire_read_coin(reader, &out->prize);
    out->difficulty.mantissa = rr_read_u32(reader);
    out->difficulty.exponent = rr_read_u8(reader);
    rr_read_bytes(reader, out->rand, sizeof out->rand);
    rr_read_bytes(reader, out->segment, sizeof out->segment);
    rr_read_bytes(reader, out->contract, sizeof out->contract);
    bool known = kind == RR_PUZZLE_WORK || kind == RR_PUZZLE_STAKE;
    bool free_of_work = out->difficulty.mantissa == 1 && out->difficulty.exponent == 0;
    out->kind = kind == RR_PUZZLE_STAKE ? RR_PUZZLE_STAKE : RR_PUZZLE_WORK;
    if (!known || !difficulty_valid(out->difficulty) ||
        (kind == RR_PUZZLE_STAKE && !free_of_work)) {
        wire_refuse(reader);
    }
}

void rr_puzzle_encode(struct rr_buf *out, const struct rr_puzzle *puzzle)
{
    write_puzzle(out, puzzle);
}

enum rr_err rr_puzzle_decode(struct rr_puzzle *out, struct rr_slice bytes, struct rr_fault *fault)
{
    struct rr_reader reader = rr_reader_of(bytes);
    struct rr_puzzle puzzle = {0};
    read_puzzle(&reader, &puzzle);
    enum rr_err err = wire_done(&reader, "puzzle", fault);
    if (err == RR_OK) {
        *out = puzzle;
    }
    return err;
}

enum rr_err wire_puzzle_fits(const struct rr_puzzle *puzzle, const struct rr_hash32 *contract_id,
                             struct rr_fault *fault)
{
    return memcmp(puzzle->contract, contract_id->bytes, sizeof puzzle->contract) == 0
               ? RR_OK
               : rr_fail(fault, RR_ERR_TRUST,
                         "a puzzle of another contract than the one it is carried for");
}

/* ---- all puzzles of a resource
 * ------------------------------------------------------------------------------------------------
 */

void rr_puzzle_list_encode(struct rr_buf *out, const struct rr_puzzle_list *list)
{
    RR_CHECK(list->count <= RR_PUZZLES_MAX);
    rr_write_u8(out, WIRE_VERSION);
    wire_write_hash(out, &list->resource_id);
    rr_write_u32(out, list->count);
    for (uint32_t i = 0; i < list->count; i++) {
        const struct rr_puzzle_entry *entry = &list->entries[i];
        rr_write_u16(out, entry->rendition);
        rr_write_u32(out, entry->segment);
        wire_write_hash(out, &entry->contract_id);
        write_puzzle(out, &entry->puzzle);
    }
}

/* Segments of all renditions in one order. */
static uint64_t place_of(const struct rr_puzzle_entry *entry)
{
    return (uint64_t)entry->rendition << 32 | entry->segment;
}

static bool list_in_order(const struct rr_puzzle_list *list)
{
    uint32_t same = 1; /* of one segment */
    for (uint32_t i = 1; i < list->count; i++) {
        uint64_t last = place_of(&list->entries[i - 1]), now = place_of(&list->entries[i]);
        same = now == last ? same + 1 : 1;
        if (now < last || same > RR_PUZZLES_A_SEGMENT) {
            return false;
        }
    }
    return true;
}

enum rr_err rr_puzzle_list_decode(struct rr_puzzle_list *out, struct rr_slice bytes,
                                  struct rr_fault *fault)
{
    struct rr_reader reader = rr_reader_of(bytes);
    struct rr_puzzle_list list = {0};
    wire_read_version(&reader);
    wire_read_hash(&reader, &list.resource_id);
    uint32_t count = rr_read_count32(&reader, RR_PUZZLES_MAX);
    if (reader.failed || reader.len != (size_t)count * ENTRY_BYTES) {
        wire_refuse(&reader);
        return wire_done(&reader, "list of puzzles", fault);
    }
    list.entries = count > 0 ? rr_alloc_array(count, sizeof *list.entries) : NULL;
    list.count = count;
    bool fits = true;
    for (uint32_t i = 0; i < count; i++) {
        struct rr_puzzle_entry *entry = &list.entries[i];
        entry->rendition = rr_read_u16(&reader);
        entry->segment = rr_read_u32(&reader);
        wire_read_hash(&reader, &entry->contract_id);
        read_puzzle(&reader, &entry->puzzle);
        fits = fits && entry->rendition < RR_RENDITIONS_MAX && entry->segment < RR_SEGMENTS_MAX &&
               wire_puzzle_fits(&entry->puzzle, &entry->contract_id, NULL) == RR_OK;
    }
    if (!fits || !list_in_order(&list)) {
        wire_refuse(&reader);
    }
    enum rr_err err = wire_done(&reader, "list of puzzles", fault);
    if (err == RR_OK) {
        *out = list;
    } else {
        rr_puzzle_list_clear(&list);
    }
    return err;
}

void rr_puzzle_list_clear(struct rr_puzzle_list *list)
{
    rr_free(list->entries);
    *list = (struct rr_puzzle_list){0};
}

/* ---- claim
 * ------------------------------------------------------------------------------------------------
 */

/* What names the puzzle on the ledger. */
static void write_place(struct rr_buf *out, const struct rr_puzzle_claim *claim)
{
    rr_write_u8(out, WIRE_VERSION);
    rr_write_u32(out, claim->chain_id);
    wire_write_hash(out, &claim->contract_id);
    wire_write_hash(out, &claim->resource_id);
    rr_write_u16(out, claim->rendition);
    rr_write_u32(out, claim->segment);
    wire_write_hash(out, &claim->segment_digest);
    write_puzzle(out, &claim->puzzle);
}

static void write_claim(struct rr_buf *out, const struct rr_puzzle_claim *claim)
{
    write_place(out, claim);
    wire_write_hash(out, &claim->engagement);
    wire_write_key(out, &claim->viewer);
    rr_write_u64(out, claim->nonce);
}

void rr_puzzle_claim_encode(struct rr_buf *out, const struct rr_puzzle_claim *claim)
{
    write_claim(out, claim);
    wire_write_signature(out, &claim->signature);
}

enum rr_err rr_puzzle_claim_decode(struct rr_puzzle_claim *out, struct rr_slice bytes,
                                   struct rr_fault *fault)
{
    struct rr_reader reader = rr_reader_of(bytes);
    struct rr_puzzle_claim claim = {0};
    wire_read_version(&reader);
    claim.chain_id = rr_read_u32(&reader);
    wire_read_hash(&reader, &claim.contract_id);
    wire_read_hash(&reader, &claim.resource_id);
    claim.rendition = rr_read_u16(&reader);
    claim.segment = rr_read_u32(&reader);
    wire_read_hash(&reader, &claim.segment_digest);
    read_puzzle(&reader, &claim.puzzle);
    wire_read_hash(&reader, &claim.engagement);
    wire_read_key(&reader, &claim.viewer);
    claim.nonce = rr_read_u64(&reader);
    wire_read_signature(&reader, &claim.signature);
    if (claim.rendition >= RR_RENDITIONS_MAX || claim.segment >= RR_SEGMENTS_MAX ||
        (claim.puzzle.kind == RR_PUZZLE_STAKE && claim.nonce != 0)) {
        wire_refuse(&reader);
    }
    enum rr_err err = wire_done(&reader, "puzzle claim", fault);
    err = err != RR_OK ? err : wire_puzzle_fits(&claim.puzzle, &claim.contract_id, fault);
    if (err == RR_OK && memcmp(claim.puzzle.segment, claim.segment_digest.bytes,
                               sizeof claim.puzzle.segment) != 0) {
        err = rr_fail(fault, RR_ERR_TRUST, "a claim whose puzzle is of another segment");
    }
    if (err == RR_OK) {
        *out = claim;
    }
    return err;
}

void rr_puzzle_claims_encode(struct rr_buf *out, const struct rr_puzzle_claim *claims,
                             uint32_t count)
{
    RR_CHECK(count <= RR_PUZZLE_CLAIMS_POST_MAX);
    rr_write_u8(out, WIRE_VERSION);
    rr_write_u16(out, (uint16_t)count);
    for (uint32_t i = 0; i < count; i++) {
        rr_puzzle_claim_encode(out, &claims[i]);
    }
}

enum rr_err rr_puzzle_claims_decode(struct rr_puzzle_claim **out, uint32_t *count,
                                    struct rr_slice bytes, struct rr_fault *fault)
{
    struct rr_reader reader = rr_reader_of(bytes);
    wire_read_version(&reader);
    uint32_t n = rr_read_count16(&reader, RR_PUZZLE_CLAIMS_POST_MAX);
    if (reader.failed || reader.len != (size_t)n * RR_PUZZLE_CLAIM_BYTES) {
        wire_refuse(&reader);
        return wire_done(&reader, "list of puzzle claims", fault);
    }
    struct rr_puzzle_claim *list = rr_alloc_array(n > 0 ? n : 1, sizeof *list);
    enum rr_err err = RR_OK;
    for (uint32_t i = 0; i < n && err == RR_OK; i++) {
        err =
            rr_puzzle_claim_decode(&list[i], rr_read_slice(&reader, RR_PUZZLE_CLAIM_BYTES), fault);
    }
    if (err != RR_OK) {
        rr_free(list);
        return err;
    }
    *out = list;
    *count = n;
    return RR_OK;
}

void rr_puzzle_id(struct rr_hash32 *out, const struct rr_puzzle_claim *claim)
{
    struct rr_buf bytes = {0};
    write_place(&bytes, claim);
    rr_hash(out, "rr.puzzle.v1", rr_buf_slice(&bytes));
    rr_buf_clear(&bytes);
}

static void claim_digest(struct rr_hash32 *out, const struct rr_puzzle_claim *claim)
{
    struct rr_buf bytes = {0};
    write_claim(&bytes, claim);
    rr_hash(out, "rr.pzclaim.v1", rr_buf_slice(&bytes));
    rr_buf_clear(&bytes);
}

void rr_puzzle_claim_sign(struct rr_puzzle_claim *claim, const struct rr_seckey *key)
{
    struct rr_hash32 digest;
    rr_seckey_public(key, &claim->viewer);
    claim_digest(&digest, claim);
    rr_sign(&claim->signature, key, &digest);
}

bool rr_puzzle_claim_verify(const struct rr_puzzle_claim *claim)
{
    struct rr_hash32 digest;
    claim_digest(&digest, claim);
    return rr_verify(&claim->signature, &claim->viewer, &digest);
}

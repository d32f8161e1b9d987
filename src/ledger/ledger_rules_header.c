/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Rules of headers: difficulty, time, reputation, work. Pure; integers only. */
#include "ledger/ledger_rules.h"

#include "reputation/reputation.h"

#include <string.h>

/* 2^45 ms are 1 100 years: beyond it the schedule saturates, and a difference times 2^16 still fits
 * 63 bits. */
#define SCHEDULE_MAX_MS (INT64_C(1) << 45)

static int64_t clamp_span(uint64_t from, uint64_t to)
{
    uint64_t span = to > from ? to - from : from - to;
    int64_t clamped = span > (uint64_t)SCHEDULE_MAX_MS ? SCHEDULE_MAX_MS : (int64_t)span;
    return to >= from ? clamped : -clamped;
}

/* D0 * 2^(x / 65536). The cubic is that of aserti3-2d: 2^f for f in [0,1) in Q16, error below 0.013
 * %. */
static struct rr_u256 scale_difficulty(struct rr_u256 base, int64_t x)
{
    int64_t shifts = x >= 0 ? x / 65536 : -((-x + 65535) / 65536); /* floor */
    uint64_t f = (uint64_t)(x - shifts * 65536);
    uint64_t factor = 65536 + ((UINT64_C(195766423245049) * f + UINT64_C(971821376) * f * f +
                                UINT64_C(5127) * f * f * f + (UINT64_C(1) << 47)) >>
                               48);
    bool wrapped = false;
    struct rr_u256 scaled = rr_u256_mul(base, rr_u256_of(factor), &wrapped);
    if (wrapped) {
        return rr_u256_max();
    }
    shifts -= 16;
    if (shifts >= 0) {
        if (shifts >= 256) {
            return rr_u256_max();
        }
        struct rr_u256 up = rr_u256_shl(scaled, (unsigned)shifts);
        if (rr_u256_compare(rr_u256_shr(up, (unsigned)shifts), scaled) != 0) {
            return rr_u256_max();
        }
        return up;
    }
    return shifts <= -256 ? rr_u256_of(0) : rr_u256_shr(scaled, (unsigned)-shifts);
}

struct rr_u256 rr_rule_difficulty(const struct rr_genesis *genesis, uint64_t height,
                                  uint64_t parent_time_ms, uint64_t anchor_time_ms)
{
    struct rr_u256 base =
        rr_u256_is_zero(genesis->difficulty) ? rr_u256_of(1) : genesis->difficulty;
    if (height <= 2 || genesis->halflife_ms == 0) {
        return base; /* block 2: its parent is the anchor itself */
    }
    int64_t elapsed = clamp_span(anchor_time_ms, parent_time_ms);
    uint64_t blocks = height - 2;
    uint64_t ideal_ms;
    if (__builtin_mul_overflow(blocks, (uint64_t)genesis->block_ms, &ideal_ms) ||
        ideal_ms > (uint64_t)SCHEDULE_MAX_MS) {
        ideal_ms = (uint64_t)SCHEDULE_MAX_MS;
    }
    uint64_t halflife = genesis->halflife_ms > (uint64_t)SCHEDULE_MAX_MS ? (uint64_t)SCHEDULE_MAX_MS
                                                                         : genesis->halflife_ms;
    /* Early blocks (elapsed < ideal) raise the difficulty; the division truncates as in aserti3-2d.
     */
    int64_t x = ((int64_t)ideal_ms - elapsed) * 65536 / (int64_t)halflife;
    struct rr_u256 difficulty = scale_difficulty(base, x);
    return rr_u256_is_zero(difficulty) ? rr_u256_of(1) : difficulty;
}

void rr_rule_genesis_header(const struct rr_genesis *genesis, struct rr_header *out)
{
    struct ledger_sum empty = {{0}};
    struct rr_header header;
    memset(&header, 0, sizeof header);
    header.chain_id = rr_genesis_chain_id(genesis);
    rr_genesis_hash(&header.parent, genesis); /* binds the header to every parameter */
    header.time_ms = genesis->time_ms;
    header.difficulty = genesis->difficulty;
    ledger_sum_root(&header.state_root, &empty);
    *out = header;
}

bool rr_rule_solves(const uint8_t final_be[static 32], struct rr_u256 difficulty)
{
    if (rr_u256_is_zero(difficulty)) {
        return false; /* no block has it: nothing solves it */
    }
    struct rr_u256 final = rr_u256_from_be(final_be);
    /* final * difficulty <= 2^256  <=>  final <= floor(2^256 / difficulty) */
    if (rr_u256_compare(difficulty, rr_u256_of(1)) == 0) {
        return true;
    }
    struct rr_u256 rest;
    struct rr_u256 bound = rr_u256_div(rr_u256_max(), difficulty, &rest);
    bool wrapped;
    /* max = 2^256 - 1: the quotient of 2^256 is one more when the rest is difficulty - 1. */
    rest = rr_u256_add(rest, rr_u256_of(1), &wrapped);
    if (rr_u256_compare(rest, difficulty) == 0) {
        bound = rr_u256_add(bound, rr_u256_of(1), &wrapped);
    }
    return rr_u256_compare(final, bound) <= 0;
}

uint64_t ledger_median(uint64_t *times, uint32_t count)
{
    RR_CHECK(count >= 1);
    for (uint32_t i = 1; i < count; i++) {
        uint64_t time = times[i];
        uint32_t at = i;
        while (at > 0 && times[at - 1] > time) {
            times[at] = times[at - 1];
            at--;
        }
        times[at] = time;
    }
    return times[count / 2];
}

uint64_t ledger_checkpoint_below(const struct rr_genesis *genesis, uint64_t height)
{
    RR_CHECK(height >= 1 && genesis->checkpoint_blocks >= 1);
    return (height - 1) / genesis->checkpoint_blocks * genesis->checkpoint_blocks;
}

uint32_t ledger_reputation(const struct rr_genesis *genesis, uint64_t total_ms,
                           struct rr_u256 mean_difficulty)
{
    struct rr_reputation_terms terms = {
        .c_num = genesis->reputation_num,
        .c_den = genesis->reputation_den,
        .hashes_per_s = genesis->certificate_hashes_per_s,
        .block_ms = genesis->block_ms,
        .window_ms = (uint64_t)genesis->window_blocks * genesis->block_ms,
        .total_ms = total_ms,
    };
    memcpy(terms.difficulty, mean_difficulty.limb, sizeof terms.difficulty);
    return rr_reputation_q32(rr_reputation_y_q32(&terms));
}

uint64_t ledger_set_cap_ms(const struct rr_genesis *genesis, uint32_t certificates)
{
    uint64_t cap = (uint64_t)genesis->puzzle_blocks * genesis->block_ms;
    return __builtin_mul_overflow(cap, (uint64_t)certificates, &cap) ? UINT64_MAX : cap;
}

static enum rr_err check_sums(const struct rr_genesis *genesis, const struct rr_header *header,
                              const struct rr_rule_past *past, struct rr_fault *fault)
{
    if (header->sets > RR_HEADER_SETS_MAX) {
        return rr_fail(fault, RR_ERR_LIMIT,
                       "the header has %u certificate sets, at most %d are allowed", header->sets,
                       RR_HEADER_SETS_MAX);
    }
    uint64_t total = 0;
    for (uint16_t i = 0; i < header->sets; i++) {
        if (header->set_ms[i] > ledger_set_cap_ms(genesis, RR_CERTIFICATE_SET_MAX) ||
            __builtin_add_overflow(total, header->set_ms[i], &total)) {
            return rr_fail(fault, RR_ERR_LIMIT,
                           "certificate set %u claims %llu ms, more than its certificates can earn",
                           i, (unsigned long long)header->set_ms[i]);
        }
    }
    if (total != header->total_ms ||
        total > ledger_set_cap_ms(genesis, genesis->certificates_per_block)) {
        return rr_fail(
            fault, RR_ERR_TRUST,
            "the header claims %llu ms of service, its %u sets sum to %llu and the cap is %llu",
            (unsigned long long)header->total_ms, header->sets, (unsigned long long)total,
            (unsigned long long)ledger_set_cap_ms(genesis, genesis->certificates_per_block));
    }
    bool bare = rr_hash32_is_zero(&header->cert_root) && rr_hash32_is_zero(&header->cert_digest);
    bool full = !rr_hash32_is_zero(&header->cert_root) && !rr_hash32_is_zero(&header->cert_digest);
    if (header->sets == 0 ? !bare : !full) {
        return rr_fail(fault, RR_ERR_TRUST,
                       "the header has %u certificate sets, but its certificate root and digest do "
                       "not fit that",
                       header->sets);
    }
    if (rr_u256_is_zero(past->mean_difficulty)) {
        return RR_OK;
    }
    uint32_t r_q32 = ledger_reputation(genesis, total, past->mean_difficulty);
    if (r_q32 != header->r_q32) {
        return rr_fail(fault, RR_ERR_TRUST, "the header claims reputation %u, its sums give %u",
                       header->r_q32, r_q32);
    }
    return RR_OK;
}

static enum rr_err check_place(const struct rr_genesis *genesis, const struct rr_header *header,
                               const struct rr_header *parent, const struct rr_rule_past *past,
                               struct rr_fault *fault)
{
    struct rr_hash32 hash;
    uint32_t chain_id = rr_genesis_chain_id(genesis);
    if (header->chain_id != chain_id) {
        return rr_fail(fault, RR_ERR_TRUST, "the header is of chain %08x, this is chain %08x",
                       header->chain_id, chain_id);
    }
    if (header->height != parent->height + 1) {
        return rr_fail(fault, RR_ERR_STATE, "the header has height %llu, the next one is %llu",
                       (unsigned long long)header->height, (unsigned long long)parent->height + 1);
    }
    rr_header_hash(&hash, parent);
    if (!rr_hash32_equal(&hash, &header->parent)) {
        return rr_fail(fault, RR_ERR_STATE,
                       "the header of height %llu stands on another parent than block %llu",
                       (unsigned long long)header->height, (unsigned long long)parent->height);
    }
    if (header->time_ms <= past->median_time_ms) {
        return rr_fail(fault, RR_ERR_TRUST,
                       "the block is dated %llu ms, it must be later than %llu, the median of the "
                       "blocks below",
                       (unsigned long long)header->time_ms,
                       (unsigned long long)past->median_time_ms);
    }
    if (!rr_hash32_is_zero(&past->checkpoint) &&
        !rr_hash32_equal(&past->checkpoint, &header->checkpoint_ref)) {
        return rr_fail(fault, RR_ERR_TRUST,
                       "the header names another block than height %llu as its checkpoint",
                       (unsigned long long)ledger_checkpoint_below(genesis, header->height));
    }
    return RR_OK;
}

enum rr_err rr_rule_header(const struct rr_genesis *genesis, const struct rr_header *header,
                           const struct rr_header *parent, const struct rr_rule_past *past,
                           struct rr_fault *fault)
{
    enum rr_err err = check_place(genesis, header, parent, past, fault);
    if (err != RR_OK) {
        return err;
    }
    struct rr_u256 difficulty =
        rr_rule_difficulty(genesis, header->height, parent->time_ms, past->anchor_time_ms);
    if (rr_u256_compare(difficulty, header->difficulty) != 0) {
        return rr_fail(
            fault, RR_ERR_TRUST,
            "the header of height %llu has difficulty %llu (saturated), the rule gives %llu",
            (unsigned long long)header->height,
            (unsigned long long)rr_u256_saturate_u64(header->difficulty),
            (unsigned long long)rr_u256_saturate_u64(difficulty));
    }
    return check_sums(genesis, header, past, fault);
}

bool ledger_work_holds(const struct rr_header *header,
                       bool (*work)(void *ctx, const uint8_t header_hash[32], uint64_t nonce,
                                    uint8_t mix[32], uint8_t final_be[32]),
                       void *work_ctx)
{
    struct rr_hash32 hash;
    uint8_t mix[32];
    uint8_t final_be[32];
    memcpy(mix, header->mix.bytes, 32);
    memset(final_be, 0xff, sizeof final_be);
    rr_header_work_hash(&hash, header);
    return work(work_ctx, hash.bytes, header->nonce, mix, final_be) &&
           memcmp(mix, header->mix.bytes, 32) == 0 && rr_rule_solves(final_be, header->difficulty);
}

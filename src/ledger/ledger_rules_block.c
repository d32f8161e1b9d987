/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The body of a block: the order of its transactions, their application, rewards. Pure. */
#include "ledger/ledger_rules.h"

#include <stdlib.h>
#include <string.h>

uint32_t ledger_tx_class(enum rr_tx_type type)
{
    /* A release after every settlement of its block: the owner cannot run off with what was signed.
     */
    return type == RR_TX_SETTLE ? 0 : type == RR_TX_RELEASE_POOL ? 1 : 2;
}

/* ---- picker: a heap over the first waiting transaction of each sender ------- */
struct ledger_picker {
    struct ledger_pick *picks; /* by sender, then sequence */
    uint32_t count;
    uint32_t *heap; /* indices into picks, best first */
    uint32_t heads;
    uint32_t last; /* given last; UINT32_MAX: none, or dropped */
};

static int by_sender(const void *a, const void *b)
{
    const struct ledger_pick *x = a;
    const struct ledger_pick *y = b;
    int order = memcmp(x->tx->sender.bytes, y->tx->sender.bytes, sizeof x->tx->sender.bytes);
    if (order != 0) {
        return order;
    }
    if (x->tx->sequence != y->tx->sequence) {
        return x->tx->sequence < y->tx->sequence ? -1 : 1;
    }
    return rr_hash32_compare(&x->id, &y->id);
}

static bool better(const struct ledger_picker *picker, uint32_t a, uint32_t b)
{
    const struct ledger_pick *x = &picker->picks[a];
    const struct ledger_pick *y = &picker->picks[b];
    int order = rr_coin_compare(x->tx->fee, y->tx->fee);
    return order != 0 ? order > 0 : rr_hash32_compare(&x->id, &y->id) < 0;
}

static void push(struct ledger_picker *picker, uint32_t pick)
{
    uint32_t at = picker->heads++;
    while (at > 0 && better(picker, pick, picker->heap[(at - 1) / 2])) {
        picker->heap[at] = picker->heap[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    picker->heap[at] = pick;
}

static uint32_t pop(struct ledger_picker *picker)
{
    uint32_t best = picker->heap[0];
    uint32_t moved = picker->heap[--picker->heads];
    uint32_t at = 0;
    for (;;) {
        uint32_t child = 2 * at + 1;
        if (child >= picker->heads) {
            break;
        }
        if (child + 1 < picker->heads &&
            better(picker, picker->heap[child + 1], picker->heap[child])) {
            child++;
        }
        if (!better(picker, picker->heap[child], moved)) {
            break;
        }
        picker->heap[at] = picker->heap[child];
        at = child;
    }
    picker->heap[at] = moved;
    return best;
}

static bool same_sender(const struct ledger_picker *picker, uint32_t a, uint32_t b)
{
    return memcmp(picker->picks[a].tx->sender.bytes, picker->picks[b].tx->sender.bytes, 32) == 0;
}

struct ledger_picker *ledger_picker_new(const struct ledger_pick *picks, uint32_t count)
{
    struct ledger_picker *picker = rr_alloc(sizeof *picker);
    picker->picks = rr_alloc_array(count + 1, sizeof *picker->picks);
    picker->heap = rr_alloc_array(count + 1, sizeof *picker->heap);
    picker->count = count;
    picker->last = UINT32_MAX;
    if (count != 0) {
        memcpy(picker->picks, picks, count * sizeof *picks);
        qsort(picker->picks, count, sizeof *picks, by_sender);
    }
    for (uint32_t i = 0; i < count; i++) {
        if (i == 0 || !same_sender(picker, i, i - 1)) {
            push(picker, i);
        }
    }
    return picker;
}

void ledger_picker_free(struct ledger_picker *picker)
{
    if (picker != NULL) {
        rr_free(picker->picks);
        rr_free(picker->heap);
        rr_free(picker);
    }
}

const struct ledger_pick *ledger_picker_next(struct ledger_picker *picker)
{
    uint32_t last = picker->last;
    if (last != UINT32_MAX && last + 1 < picker->count && same_sender(picker, last, last + 1)) {
        push(picker, last + 1);
    }
    picker->last = UINT32_MAX;
    if (picker->heads == 0) {
        return NULL;
    }
    picker->last = pop(picker);
    return &picker->picks[picker->last];
}

void ledger_picker_drop(struct ledger_picker *picker)
{
    picker->last = UINT32_MAX;
}

/* ---- start and end ---------------------------------------------------------- */
enum rr_err ledger_begin_block(const struct ledger_rules *rules, const struct ledger_view *view,
                               struct rr_fault *fault)
{
    struct ledger_key key = ledger_key_height(rules->height);
    struct ledger_value value;
    enum rr_err err = view->get(view->ctx, LEDGER_ESCROW, &key, &value, fault);
    if (err == RR_OK && value.len != 0) {
        struct ledger_escrow escrow;
        if (!ledger_escrow_decode(&escrow, rr_slice_of(value.bytes, value.len))) {
            return rr_fail(fault, RR_ERR_DAMAGED,
                           "the escrow due at height %llu is damaged; replay the chain",
                           (unsigned long long)rules->height);
        }
        err = ledger_remove(view, LEDGER_ESCROW, &key, fault);
        if (err == RR_OK) {
            err = ledger_credit(view, &escrow.miner, escrow.bonus, fault);
        }
    }
    return err == RR_OK ? ledger_expire_contracts(rules, view, fault) : err;
}

/* At most what is left below the cap of all coins. */
static struct rr_coin clamp_issue(struct rr_coin wanted, struct rr_coin issued)
{
    struct rr_coin all;
    struct rr_coin left;
    bool fits = rr_coin_of_units(&all, RR_COIN_MAX_UNITS) && rr_coin_sub(&left, all, issued);
    RR_CHECK(fits);
    return rr_coin_compare(wanted, left) > 0 ? left : wanted;
}

static enum rr_err put_escrow(const struct ledger_rules *rules, const struct ledger_view *view,
                              const struct ledger_escrow *escrow, struct rr_fault *fault)
{
    struct ledger_key key = ledger_key_height(rules->height + ledger_hold_blocks(rules->genesis));
    struct ledger_value value;
    ledger_escrow_encode(&value, escrow);
    return view->put(view->ctx, LEDGER_ESCROW, &key, &value, fault);
}

enum rr_err ledger_end_block(const struct ledger_rules *rules, const struct ledger_view *view,
                             const struct rr_pubkey *miner, uint32_t r_q32, struct rr_coin fees,
                             struct rr_fault *fault)
{
    struct rr_coin issued;
    enum rr_err err = ledger_get_issued(view, &issued, fault);
    if (err != RR_OK) {
        return err;
    }
    struct ledger_escrow escrow;
    struct rr_coin base = clamp_issue(rules->genesis->base_reward, issued);
    struct rr_coin at_once;
    bool fits = rr_coin_add(&issued, issued, base) &&
                rr_coin_scale(&escrow.bonus, rules->genesis->base_reward, r_q32, UINT64_C(1) << 32);
    RR_CHECK(fits);
    escrow.bonus = clamp_issue(escrow.bonus, issued);
    fits = rr_coin_add(&issued, issued, escrow.bonus) && rr_coin_add(&at_once, base, fees);
    RR_CHECK(fits);
    rr_address_of(&escrow.miner, miner);
    if (!rr_coin_is_zero(at_once)) {
        err = ledger_credit(view, &escrow.miner, at_once, fault);
    }
    if (err == RR_OK && !rr_coin_is_zero(escrow.bonus)) {
        err = put_escrow(rules, view, &escrow, fault);
    }
    if (err != RR_OK) {
        return err;
    }
    struct ledger_key key = ledger_key_of("issued", 6);
    struct ledger_value value;
    ledger_coin_encode(&value, issued);
    return view->put(view->ctx, LEDGER_META, &key, &value, fault);
}

/* ---- the whole body --------------------------------------------------------- */
static enum rr_err refuse_order(const struct rr_block *block, uint32_t at, struct rr_fault *fault)
{
    return rr_fail(fault, RR_ERR_TRUST,
                   "transaction %u of block %llu is out of order: settlements, releases, then the "
                   "rest, each by fee, "
                   "then id",
                   at, (unsigned long long)block->header.height);
}

static enum rr_err check_class(const struct rr_block *block, const struct ledger_pick *picks,
                               uint32_t count, struct rr_fault *fault)
{
    struct ledger_picker *picker = ledger_picker_new(picks, count);
    enum rr_err err = RR_OK;
    for (uint32_t i = 0; i < count; i++) {
        const struct ledger_pick *pick = ledger_picker_next(picker);
        RR_CHECK(pick != NULL); /* the picker gives each of its count picks once */
        if (pick->index != picks[i].index) {
            err = refuse_order(block, picks[i].index, fault);
            break;
        }
    }
    ledger_picker_free(picker);
    return err;
}

static enum rr_err check_order(const struct rr_block *block, const struct ledger_pick *picks,
                               struct rr_fault *fault)
{
    uint32_t start = 0;
    for (uint32_t i = 1; i <= block->tx_count; i++) {
        uint32_t before = ledger_tx_class(picks[i - 1].tx->type);
        if (i < block->tx_count && ledger_tx_class(picks[i].tx->type) == before) {
            continue;
        }
        if (i < block->tx_count && ledger_tx_class(picks[i].tx->type) < before) {
            return refuse_order(block, i, fault);
        }
        enum rr_err err = check_class(block, picks + start, i - start, fault);
        if (err != RR_OK) {
            return err;
        }
        start = i;
    }
    return RR_OK;
}

static enum rr_err check_weight(const struct ledger_rules *rules, const struct rr_block *block,
                                struct rr_fault *fault)
{
    uint64_t weight = 0;
    if (block->tx_count > RR_BLOCK_TXS_MAX) {
        return rr_fail(fault, RR_ERR_LIMIT, "the block has %u transactions, at most %d are allowed",
                       block->tx_count, RR_BLOCK_TXS_MAX);
    }
    for (uint32_t i = 0; i < block->tx_count; i++) {
        weight += ledger_tx_weight(&block->txs[i]);
    }
    if (weight > rules->genesis->block_bytes_max) {
        return rr_fail(fault, RR_ERR_LIMIT,
                       "the block's transactions weigh %llu, at most %u are allowed",
                       (unsigned long long)weight, rules->genesis->block_bytes_max);
    }
    return RR_OK;
}

static enum rr_err apply_txs(const struct ledger_rules *rules, const struct ledger_view *view,
                             const struct rr_block *block, const struct ledger_pick *picks,
                             bool (*known)(void *ctx, const struct rr_hash32 *id), void *known_ctx,
                             struct rr_coin *fees, struct rr_fault *fault)
{
    struct ledger_rules each = *rules;
    for (uint32_t i = 0; i < block->tx_count; i++) {
        struct rr_fault why = {0};
        struct rr_coin fee;
        each.signatures_known =
            rules->signatures_known || (known != NULL && known(known_ctx, &picks[i].id));
        enum rr_err err = ledger_apply_tx(&each, view, &block->txs[i], &fee, &why);
        if (err != RR_OK) {
            return rr_fail(fault, err, "transaction %u of block %llu: %s", i,
                           (unsigned long long)block->header.height, why.text);
        }
        if (!rr_coin_add(fees, *fees, fee)) {
            return rr_fail(fault, RR_ERR_LIMIT, "the fees of block %llu pass the cap of all coins",
                           (unsigned long long)block->header.height);
        }
    }
    return RR_OK;
}

enum rr_err ledger_apply_block(const struct ledger_rules *rules, const struct ledger_view *view,
                               const struct rr_block *block,
                               bool (*known)(void *ctx, const struct rr_hash32 *id),
                               void *known_ctx, struct rr_fault *fault)
{
    struct rr_coin fees = RR_COIN_ZERO;
    enum rr_err err = check_weight(rules, block, fault);
    if (err != RR_OK) {
        return err;
    }
    struct ledger_pick *picks = rr_alloc_array(block->tx_count + 1, sizeof *picks);
    for (uint32_t i = 0; i < block->tx_count; i++) {
        picks[i].tx = &block->txs[i];
        picks[i].index = i;
        rr_tx_id(&picks[i].id, &block->txs[i]);
    }
    err = check_order(block, picks, fault);
    if (err == RR_OK) {
        err = ledger_begin_block(rules, view, fault);
    }
    if (err == RR_OK) {
        err = apply_txs(rules, view, block, picks, known, known_ctx, &fees, fault);
    }
    if (err == RR_OK) {
        err = ledger_end_block(rules, view, &block->header.miner, block->header.r_q32, fees, fault);
    }
    rr_free(picks);
    return err;
}

void ledger_attest_root(struct rr_hash32 *out, const struct rr_tx *txs, uint32_t count)
{
    struct rr_hash32 *leaves = rr_alloc_array(count + 1, sizeof *leaves);
    uint32_t found = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (txs[i].type == RR_TX_ATTESTATION) {
            struct rr_hash32 id;
            rr_tx_id(&id, &txs[i]);
            rr_hash(&leaves[found++], "rr.attleaf.v1", rr_slice_of(id.bytes, sizeof id.bytes));
        }
    }
    rr_merkle_root(out, leaves, found);
    rr_free(leaves);
}

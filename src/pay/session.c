/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "pay/pay_till.h"
#include <string.h>

#define RECORD_VERSION 1

struct pay_session *pay_session_new(void)
{
    struct pay_session *session = rr_alloc(sizeof(*session));
    RR_CHECK(pthread_mutex_init(&session->lock, NULL) == 0);
    return session;
}

void pay_session_free(struct pay_session *session)
{
    if (session == NULL) {
        return;
    }
    pay_slices_clear(&session->slices);
    rr_free(session->pending);
    pthread_mutex_destroy(&session->lock);
    rr_free(session);
}

void pay_till_insert(struct rr_till *till, struct pay_session *session)
{
    if (till->count == till->capacity) {
        till->capacity = till->capacity == 0 ? 64 : till->capacity * 2;
        till->all = rr_realloc(till->all, till->capacity * sizeof(struct pay_session *));
    }
    till->all[till->count++] = session;
    if (!session->free) {
        pay_viewer_attach(till, session);
    }
    pay_index_insert(&till->by_id, session);
    if (!session->free) {
        pay_index_insert(&till->by_pool, session);
        pay_index_insert(&till->by_viewer, session);
    }
}

struct pay_session **pay_till_list(struct rr_till *till, size_t *count)
{
    pthread_mutex_lock(&till->create_lock);
    *count = till->count;
    struct pay_session **list = rr_alloc_array(till->count + 1, sizeof(struct pay_session *));
    if (till->count > 0) {
        memcpy(list, till->all, till->count * sizeof(struct pay_session *));
    }
    pthread_mutex_unlock(&till->create_lock);
    return list;
}

/* ---- record ------------------------------------------------------------------------------------
 */
static void write_coin(struct rr_buf *out, struct rr_coin coin)
{
    rr_write_u64(out, rr_coin_units(coin));
}

static struct rr_coin read_coin(struct rr_reader *reader)
{
    struct rr_coin coin = RR_COIN_ZERO;
    if (!rr_coin_of_units(&coin, rr_read_u64(reader))) {
        reader->failed = true;
    }
    return coin;
}

void pay_session_encode(struct rr_buf *out, const struct pay_session *session)
{
    struct rr_buf part = {0};
    rr_write_u8(out, RECORD_VERSION);
    rr_buf_append(out, session->id, sizeof(session->id));
    rr_buf_append(out, session->pool_id.bytes, 32);
    rr_buf_append(out, session->resource_id.bytes, 32);
    rr_buf_append(out, session->viewer.bytes, 32);
    write_coin(out, session->unit_price);
    write_coin(out, session->origin);
    rr_voucher_encode(&part, &session->voucher);
    rr_write_var16(out, rr_buf_slice(&part));
    rr_write_u32(out, session->depth);
    rr_buf_append(out, session->link.bytes, 32);
    write_coin(out, session->value);
    rr_write_u64(out, session->used_units);
    write_coin(out, session->settled);
    write_coin(out, session->ceiling);
    write_coin(out, session->cap);
    rr_write_u64(out, session->chain_seq);
    rr_write_u64(out, session->end_height);
    rr_write_u8(out, session->over ? 1 : 0);
    rr_write_u64(out, session->open_ms);
    part.len = 0;
    if (session->pending != NULL) {
        rr_tx_encode(&part, session->pending);
    }
    rr_write_var16(out, rr_buf_slice(&part));
    rr_buf_clear(&part);
}

enum rr_err pay_session_decode(struct pay_session *out, struct rr_slice bytes,
                               struct rr_fault *fault)
{
    struct rr_reader reader = rr_reader_of(bytes);
    uint8_t version = rr_read_u8(&reader);
    rr_read_bytes(&reader, out->id, sizeof(out->id));
    rr_read_bytes(&reader, out->pool_id.bytes, 32);
    rr_read_bytes(&reader, out->resource_id.bytes, 32);
    rr_read_bytes(&reader, out->viewer.bytes, 32);
    out->unit_price = read_coin(&reader);
    out->origin = read_coin(&reader);
    struct rr_slice voucher = rr_read_var16(&reader, UINT16_MAX);
    out->depth = rr_read_u32(&reader);
    rr_read_bytes(&reader, out->link.bytes, 32);
    out->value = read_coin(&reader);
    out->used_units = rr_read_u64(&reader);
    out->settled = read_coin(&reader);
    out->ceiling = read_coin(&reader);
    out->cap = read_coin(&reader);
    out->chain_seq = rr_read_u64(&reader);
    out->end_height = rr_read_u64(&reader);
    out->over = rr_read_u8(&reader) != 0;
    out->open_ms = rr_read_u64(&reader);
    struct rr_slice pending = rr_read_var16(&reader, RR_TX_BYTES_MAX);
    if (version != RECORD_VERSION || !rr_reader_done(&reader) || rr_coin_is_zero(out->unit_price)) {
        return rr_fail(fault, RR_ERR_DAMAGED,
                       "a session record of %zu bytes, version %u, cannot be read", bytes.len,
                       version);
    }
    enum rr_err err = rr_voucher_decode(&out->voucher, voucher, fault);
    if (err == RR_OK && pending.len > 0) {
        out->pending = rr_alloc(sizeof(*out->pending));
        err = rr_tx_decode(out->pending, pending, fault);
    }
    out->counted = out->value;
    return err;
}

/* ---- values ------------------------------------------------------------------------------------
 */
uint64_t pay_session_units(const struct pay_session *session, struct rr_coin value)
{
    struct rr_coin paid;
    if (!rr_coin_sub(&paid, value, session->origin)) {
        return 0;
    }
    return rr_coin_units(paid) / rr_coin_units(session->unit_price);
}

struct rr_coin pay_session_open_value(const struct pay_session *session)
{
    struct rr_coin open = RR_COIN_ZERO;
    if (!rr_coin_sub(&open, session->value, session->settled)) {
        return RR_COIN_ZERO;
    }
    return open;
}

void pay_totals_add(struct pay_totals *totals, const struct pay_session *session)
{
    struct rr_coin part;
    totals->sessions++;
    totals->paid_units += pay_session_units(session, session->value);
    totals->settled_units += pay_session_units(session, session->settled);
    if (!rr_coin_sub(&part, session->value, session->origin) ||
        !rr_coin_add(&totals->paid, totals->paid, part)) {
        rr_log(RR_LOG_WARN, "pay", "the sum of payments is beyond the cap of amounts");
    }
    if (!rr_coin_sub(&part, session->settled, session->origin) ||
        !rr_coin_add(&totals->settled, totals->settled, part)) {
        rr_log(RR_LOG_WARN, "pay", "the sum of settlements is beyond the cap of amounts");
    }
}

/* ---- the chain's word --------------------------------------------------------------------------
 */
enum rr_err pay_facts_read(struct rr_till *till, struct pay_facts *out,
                           const struct rr_hash32 *pool_id, const struct rr_hash32 *pending_id,
                           struct rr_fault *fault)
{
    struct rr_chain *chain = till->options.chain;
    struct pay_facts facts = {0};
    struct rr_chain_tip tip;
    rr_chain_tip(chain, &tip);
    facts.height = tip.height;
    uint64_t known = atomic_load(&till->height);
    while (known < tip.height && !atomic_compare_exchange_weak(&till->height, &known, tip.height)) {
    }
    enum rr_err err = rr_chain_pool(chain, pool_id, &facts.pool, fault);
    if (err == RR_OK) {
        facts.pool_found = true;
        err = rr_chain_pool_target(chain, pool_id, &till->address, &facts.target, fault);
    } else if (err == RR_ERR_NOTFOUND) {
        err = RR_OK;
    }
    if (err == RR_OK && pending_id != NULL) {
        uint64_t height = 0;
        facts.pending_id = *pending_id;
        err = rr_chain_tx_height(chain, pending_id, &height, fault);
        facts.pending_mined = err == RR_OK;
        err = err == RR_ERR_NOTFOUND ? RR_OK : err;
    }
    if (err == RR_OK) {
        *out = facts;
    }
    return err;
}

/* The ledger takes settlements for two checkpoint intervals after a pool's end. */
static bool is_over(const struct rr_till *till, const struct pay_facts *facts)
{
    uint64_t last = facts->pool.end_height + 2 * (uint64_t)till->options.genesis->checkpoint_blocks;
    return !facts->pool_found || facts->height >= last;
}

/* Up when a settlement is in a block, down when a block is taken back. */
static void move_settled(struct rr_till *till, struct pay_session *session, struct rr_coin settled)
{
    struct rr_coin part;
    uint64_t before = pay_session_units(session, session->settled);
    uint64_t after = pay_session_units(session, settled);
    pthread_mutex_lock(&till->totals_lock);
    struct rr_coin *sum = &till->totals.settled;
    bool fits = rr_coin_compare(settled, session->settled) >= 0
                    ? rr_coin_sub(&part, settled, session->settled) && rr_coin_add(sum, *sum, part)
                    : rr_coin_sub(&part, session->settled, settled) && rr_coin_sub(sum, *sum, part);
    till->totals.settled_units += after - before;
    pthread_mutex_unlock(&till->totals_lock);
    if (!fits) {
        rr_log(RR_LOG_WARN, "pay", "the sum of settlements is out of its range");
    }
    session->settled = settled;
    session->version++;
}

/* Whether the facts speak of the settlement that is on its way now. */
static bool is_pending(const struct pay_session *session, const struct rr_hash32 *id)
{
    struct rr_hash32 own;
    if (session->pending == NULL) {
        return false;
    }
    rr_tx_id(&own, session->pending);
    return rr_hash32_equal(&own, id);
}

/* Settled and released between two looks: the pool's own record is gone, but the transaction is
 * there. */
static struct rr_coin settled_by(const struct pay_session *session)
{
    struct rr_coin value;
    const struct rr_voucher *voucher = &session->pending->body.settle.voucher;
    if (!rr_voucher_value(&value, voucher, session->pending->body.settle.depth) ||
        rr_coin_compare(value, session->settled) < 0) {
        return session->settled;
    }
    return value;
}

bool pay_facts_take(struct rr_till *till, struct pay_session *session,
                    const struct pay_facts *facts)
{
    uint64_t before = session->version;
    if (facts->height < session->facts_height) {
        return false;
    }
    bool pending = is_pending(session, &facts->pending_id);
    struct rr_coin settled = session->settled;
    session->facts_height = facts->height;
    session->touched = false;
    if (facts->pool_found) {
        settled = facts->target.settled;
        if (!rr_coin_add(&session->ceiling, settled, facts->pool.deposit_left)) {
            session->ceiling = settled;
        }
        session->cap = facts->pool.cap;
        session->end_height = facts->pool.end_height;
        session->chain_seq = facts->target.seq;
    } else if (pending && facts->pending_mined) {
        settled = settled_by(session);
    }
    if (pending && (facts->pending_mined || !facts->pool_found)) {
        rr_free(session->pending);
        session->pending = NULL;
        session->version++;
    }
    if (rr_coin_compare(settled, session->settled) != 0) {
        move_settled(till, session, settled);
    }
    bool over = is_over(till, facts);
    if (over != session->over) {
        session->over = over;
        session->version++;
    }
    if (over) {
        pay_slices_clear(&session->slices);
    }
    if (rr_coin_is_zero(pay_session_open_value(session))) {
        session->open_ms = 0;
        session->pressed = false;
    }
    return session->version != before;
}

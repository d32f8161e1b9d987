/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Settlements: made, written down, submitted, and followed until a block holds them. */
#include "pay/pay_till.h"
#include <stdlib.h>

RR_COUNTER(settlements, "reelrig_pay_settlements_total", "Settlements submitted to the chain")

/* One of an earlier life, or one that lost its place in a full block, may stand in the way of a
 * sequence: it is given up, and made anew. */
#define ROUNDS 4

static bool reached(struct rr_coin open, struct rr_coin mark)
{
    return rr_coin_compare(open, mark) >= 0;
}

/* Under the session's lock: is it time, and is there anything that can be had? */
static bool is_due(const struct rr_till *till, const struct pay_session *session, bool all,
                   uint64_t height, uint64_t now_ms)
{
    const struct rr_till_options *options = &till->options;
    struct rr_coin open = pay_session_open_value(session);
    if (session->over || session->pending != NULL || rr_coin_is_zero(open) ||
        rr_coin_compare(session->ceiling, session->settled) <= 0 ||
        height >= session->voucher.expiry_height) {
        return false;
    }
    uint64_t end = session->end_height < session->voucher.expiry_height
                       ? session->end_height
                       : session->voucher.expiry_height;
    bool old = session->open_ms != 0 && now_ms >= session->open_ms &&
               now_ms - session->open_ms >= options->settle_age_ms;
    /* One block earlier than charges stop, so that what is open then has the whole margin. */
    bool ending = height + 1 + options->margin_blocks >= end;
    return all || session->pressed || old || ending || reached(open, options->settle_amount) ||
           reached(open, options->risk_limit);
}

/* The settlement of what is booked now; false when its fee is more than it brings. */
static bool make_settlement(const struct rr_till *till, const struct pay_session *session,
                            uint64_t sequence, uint64_t height, struct rr_tx *out)
{
    struct rr_tx tx = {
        .type = RR_TX_SETTLE,
        .chain_id = till->chain_id,
        .sequence = sequence,
        .valid_until_height = height + PAY_SETTLE_BLOCKS,
        .body.settle = {.voucher = session->voucher, .depth = session->depth},
    };
    if (session->depth > 0) {
        tx.body.settle.preimage = session->link;
    }
    rr_seckey_public(till->options.key, &tx.sender);
    tx.fee = rr_chain_min_fee(till->options.chain, &tx);
    if (rr_coin_compare(tx.fee, pay_session_open_value(session)) > 0) {
        return false;
    }
    rr_tx_sign(&tx, till->options.key);
    *out = tx;
    return true;
}

/* ---- following the chain -----------------------------------------------------------------------
 */
static enum rr_err follow(struct rr_till *till, struct pay_session *session, struct rr_fault *fault)
{
    struct rr_hash32 pending_id;
    pthread_mutex_lock(&session->lock);
    bool pending = session->pending != NULL;
    bool quiet = session->over || (!pending && !session->touched &&
                                   rr_coin_compare(session->value, session->settled) == 0);
    if (pending) {
        rr_tx_id(&pending_id, session->pending);
    }
    pthread_mutex_unlock(&session->lock);
    if (quiet) {
        return RR_OK;
    }
    struct pay_facts facts;
    enum rr_err err =
        pay_facts_read(till, &facts, &session->pool_id, pending ? &pending_id : NULL, fault);
    if (err != RR_OK) {
        return err;
    }
    pthread_mutex_lock(&session->lock);
    if (pay_facts_take(till, session, &facts)) {
        pay_committer_queue(till, session, NULL, NULL);
    }
    pthread_mutex_unlock(&session->lock);
    return RR_OK;
}

/* ---- submitting --------------------------------------------------------------------------------
 */
static void set_pending(struct rr_till *till, struct pay_session *session, const struct rr_tx *tx,
                        struct pay_wait *wait)
{
    rr_free(session->pending);
    session->pending = NULL;
    session->pending_sent = false;
    if (tx != NULL) {
        session->pending = rr_alloc(sizeof(*tx));
        *session->pending = *tx;
    }
    session->version++;
    if (wait != NULL) {
        pay_wait_expect(wait);
    }
    pay_committer_queue(till, session, wait == NULL ? NULL : pay_wait_done, wait);
}

/* What is due but held back, for the owner to see. */
static void show_held(struct rr_till *till, uint64_t pools, struct rr_coin held)
{
    pthread_mutex_lock(&till->totals_lock);
    till->held_pools = pools;
    till->held = held;
    pthread_mutex_unlock(&till->totals_lock);
}

/* Writes down a settlement for each session that is due, with account sequences in a row. */
static enum rr_err prepare(struct rr_till *till, struct pay_session **list, size_t count, bool all,
                           uint64_t height, struct rr_fault *fault)
{
    uint64_t sequence = 0;
    uint64_t now_ms = rr_wall_ms(till->options.clock);
    enum rr_err err = rr_chain_next_sequence(till->options.chain, &till->key, &sequence, fault);
    if (err != RR_OK) {
        return err;
    }
    struct pay_wait wait;
    uint64_t held_pools = 0;
    struct rr_coin held = RR_COIN_ZERO;
    pay_wait_init(&wait);
    for (size_t i = 0; i < count; i++) {
        struct pay_session *session = list[i];
        struct rr_tx tx;
        pthread_mutex_lock(&session->lock);
        if (!session->free && is_due(till, session, all, height, now_ms)) {
            if (make_settlement(till, session, sequence, height, &tx)) {
                set_pending(till, session, &tx, &wait);
                sequence++;
            } else {
                struct rr_coin open = pay_session_open_value(session);
                held_pools++;
                held = rr_coin_add(&open, open, held) ? open : held; /* the cap: still a sum */
            }
        }
        pthread_mutex_unlock(&session->lock);
    }
    show_held(till, held_pools, held);
    err = pay_wait_finish(&wait);
    if (err != RR_OK) {
        return rr_fail(fault, err, "settlements could not be written to disk; none was submitted");
    }
    return RR_OK;
}

struct waiting {
    struct pay_session *session;
    struct rr_tx tx;
};

static int compare_waiting(const void *left, const void *right)
{
    const struct waiting *a = left;
    const struct waiting *b = right;
    return (a->tx.sequence > b->tx.sequence) - (a->tx.sequence < b->tx.sequence);
}

/* Settlements that are written down, in the order of their account sequences. */
static struct waiting *collect(struct pay_session **list, size_t count, size_t *found)
{
    struct waiting *waiting = NULL;
    size_t capacity = 0;
    *found = 0;
    for (size_t i = 0; i < count; i++) {
        pthread_mutex_lock(&list[i]->lock);
        if (list[i]->pending != NULL) {
            if (*found == capacity) {
                capacity = capacity == 0 ? 16 : capacity * 2;
                waiting = rr_realloc(waiting, capacity * sizeof(*waiting));
            }
            waiting[(*found)++] = (struct waiting){.session = list[i], .tx = *list[i]->pending};
        }
        pthread_mutex_unlock(&list[i]->lock);
    }
    if (*found > 1) {
        qsort(waiting, *found, sizeof(*waiting), compare_waiting);
    }
    return waiting;
}

/* A settlement that the chain will not take as it is: gone from the book, so that a new one is
 * made. */
static void give_up(struct rr_till *till, const struct waiting *waiting)
{
    struct pay_session *session = waiting->session;
    struct rr_hash32 own;
    struct rr_hash32 refused;
    rr_tx_id(&refused, &waiting->tx);
    pthread_mutex_lock(&session->lock);
    if (session->pending != NULL) {
        rr_tx_id(&own, session->pending);
        if (rr_hash32_equal(&own, &refused)) {
            set_pending(till, session, NULL, NULL);
        }
    }
    pthread_mutex_unlock(&session->lock);
}

/* True the first time. */
static bool mark_sent(struct pay_session *session)
{
    pthread_mutex_lock(&session->lock);
    bool first = !session->pending_sent;
    session->pending_sent = true;
    pthread_mutex_unlock(&session->lock);
    if (first) {
        rr_counter_add(&settlements, 1);
    }
    return first;
}

/* Submits all that is written down. *again: some were refused for their place and are to be made
 * anew. */
static enum rr_err submit(struct rr_till *till, struct pay_session **list, size_t count,
                          uint32_t *submitted, bool *again, struct rr_fault *fault)
{
    size_t found;
    struct waiting *waiting = collect(list, count, &found);
    enum rr_err err = RR_OK;
    *again = false;
    for (size_t i = 0; i < found && err == RR_OK; i++) {
        uint64_t mined_at;
        struct rr_hash32 id;
        struct rr_fault refusal = {0};
        rr_tx_id(&id, &waiting[i].tx);
        if (rr_chain_tx_height(till->options.chain, &id, &mined_at, NULL) == RR_OK) {
            continue; /* the next look at the chain takes note */
        }
        err = rr_chain_submit(till->options.chain, &waiting[i].tx, &refusal);
        if (err == RR_OK) {
            *submitted += mark_sent(waiting[i].session) ? 1 : 0;
        } else if (err == RR_ERR_LIMIT || err == RR_ERR_BUSY) {
            /* No room now: it stays written down and goes out with a later block. */
            rr_log_fault(RR_LOG_INFO, "pay", &refusal);
            err = RR_OK;
            break;
        } else if (err == RR_ERR_STATE || err == RR_ERR_FUNDS || err == RR_ERR_TRUST) {
            rr_log_fault(RR_LOG_INFO, "pay", &refusal);
            give_up(till, &waiting[i]);
            *again = *again || err == RR_ERR_STATE;
            err = RR_OK;
        } else if (fault != NULL) {
            *fault = refusal;
        }
    }
    rr_free(waiting);
    return err;
}

enum rr_err rr_till_settle(struct rr_till *till, bool all, uint32_t *submitted,
                           struct rr_fault *fault)
{
    struct rr_chain_tip tip;
    uint32_t sent = 0;
    enum rr_err err = RR_OK;
    pthread_mutex_lock(&till->settle_lock);
    rr_chain_tip(till->options.chain, &tip);
    atomic_store(&till->height, tip.height);
    size_t count;
    struct pay_session **list = pay_till_list(till, &count);
    for (size_t i = 0; i < count && err == RR_OK; i++) {
        if (!list[i]->free) {
            err = follow(till, list[i], fault);
        }
    }
    pay_viewers_judge(till, &tip);
    bool again = true;
    rr_chain_sender_lock(till->options.chain);
    for (int round = 0; round < ROUNDS && again && err == RR_OK; round++) {
        err = prepare(till, list, count, all, tip.height, fault);
        if (err == RR_OK) {
            err = submit(till, list, count, &sent, &again, fault);
        }
    }
    rr_chain_sender_unlock(till->options.chain);
    if (again && err == RR_OK) {
        rr_log(RR_LOG_WARN, "pay",
               "settlements were refused for their place %d times in a row; the next block tries "
               "again",
               ROUNDS);
    }
    rr_free(list);
    pthread_mutex_unlock(&till->settle_lock);
    if (err == RR_OK) {
        *submitted = sent;
    }
    return err;
}

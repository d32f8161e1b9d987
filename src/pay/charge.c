/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The hot path: one look-up, one hash, no disk. */
#include "pay/pay_till.h"
#include <string.h>

RR_COUNTER(charges, "reelrig_pay_charges_total", "Requests charged to a session")

static bool ascending(const uint64_t *keys, uint32_t count)
{
    for (uint32_t i = 1; i < count; i++) {
        if (keys[i] <= keys[i - 1]) {
            return false;
        }
    }
    return true;
}

/* Slices of the request that this session has not paid; each key counts once. */
static uint32_t count_new(const struct pay_session *session, const uint64_t *keys, uint32_t count)
{
    uint32_t fresh = 0;
    struct pay_slices seen = {0};
    bool repeats = !ascending(keys, count);
    for (uint32_t i = 0; i < count; i++) {
        if (pay_slices_has(&session->slices, keys[i])) {
            continue;
        }
        if (repeats) {
            if (pay_slices_has(&seen, keys[i])) {
                continue;
            }
            pay_slices_add(&seen, keys[i]);
        }
        fresh++;
    }
    pay_slices_clear(&seen);
    return fresh;
}

static bool take_slices(struct pay_session *session, const uint64_t *keys, uint32_t count,
                        uint64_t credit, bool *changed)
{
    uint32_t fresh = count_new(session, keys, count);
    if (fresh > credit) {
        return false;
    }
    for (uint32_t i = 0; i < count && fresh > 0; i++) {
        if (!pay_slices_has(&session->slices, keys[i])) {
            pay_slices_add(&session->slices, keys[i]);
        }
    }
    session->used_units += fresh;
    *changed = fresh > 0;
    return true;
}

/* Under the session's lock. *fresh: something has to be written. */
static enum rr_err book(struct rr_till *till, struct pay_session *session,
                        const struct rr_payment_header *payment, const uint64_t *keys,
                        uint32_t count, bool *fresh)
{
    bool paid = false;
    bool used = false;
    enum rr_err err = RR_OK;
    if (payment->has_voucher) {
        err = pay_voucher_take(till, session, &payment->voucher, &paid, NULL);
    } else if (payment->has_preimage) {
        err = pay_payword_take(till, session, payment->depth, &payment->preimage, &paid, NULL);
    }
    if (err == RR_OK) {
        uint64_t units = pay_session_units(session, session->value);
        uint64_t credit = units > session->used_units ? units - session->used_units : 0;
        err = take_slices(session, keys, count, credit, &used) ? RR_OK : RR_ERR_FUNDS;
    }
    if (used) {
        session->version++;
    }
    *fresh = paid || used;
    /* What time or order forbids is mended by another voucher or pool: the same answer as no money.
     */
    return err == RR_ERR_STATE ? RR_ERR_FUNDS : err;
}

void rr_till_charge(struct rr_till *till, const struct rr_payment_header *payment,
                    const struct rr_hash32 *resource_id, const uint64_t *slice_keys,
                    uint32_t slice_count, void (*done)(void *ctx, enum rr_err result), void *ctx)
{
    rr_counter_add(&charges, 1);
    enum rr_err err = RR_OK;
    bool fresh = false;
    bool later = false;
    struct pay_session *session = pay_index_find(&till->by_id, payment->session_id, NULL);
    if (session != NULL && session->free) {
        done(ctx, RR_OK);
        return;
    }
    if (session == NULL || !rr_hash32_equal(&session->resource_id, resource_id)) {
        err = RR_ERR_NOTFOUND;
        goto out;
    }
    if (pay_viewer_dropped(till, session->record)) {
        err = RR_ERR_STATE;
        goto out;
    }
    if (payment->has_voucher) {
        err = pay_voucher_check(till, &payment->voucher, &session->viewer, NULL);
        if (err != RR_OK) {
            goto out;
        }
    }
    pthread_mutex_lock(&session->lock);
    err = book(till, session, payment, slice_keys, slice_count, &fresh);
    later = err == RR_OK && session->version != session->durable;
    if (fresh || later) {
        pay_committer_queue(till, session, later ? done : NULL, ctx);
    }
    pthread_mutex_unlock(&session->lock);
    if (err == RR_OK && slice_count > 0) {
        pay_viewer_served(till, session->record);
    }
out:
    if (err != RR_OK) {
        atomic_fetch_add(&till->refused, 1);
    }
    if (!later) {
        done(ctx, err);
    }
}

enum rr_err rr_till_paid(struct rr_till *till, uint64_t *units,
                         const uint8_t session_id[static RR_SESSION_ID_BYTES],
                         const struct rr_hash32 *resource_id, struct rr_fault *fault)
{
    struct pay_session *session = pay_index_find(&till->by_id, session_id, NULL);
    if (session == NULL || session->free || !rr_hash32_equal(&session->resource_id, resource_id)) {
        return rr_fail(fault, RR_ERR_NOTFOUND, "there is no such session: open one");
    }
    pthread_mutex_lock(&session->lock);
    *units = pay_session_units(session, session->value);
    pthread_mutex_unlock(&session->lock);
    return RR_OK;
}

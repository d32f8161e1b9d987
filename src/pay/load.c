/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What earlier lives of the till left on disk. */
#include "pay/pay_till.h"
#include <string.h>

struct loading {
    struct rr_till *till;
    struct pay_session **over; /* nothing of them can be settled any more */
    size_t over_count;
    enum rr_err err;
    struct rr_fault *fault;
};

static bool load_session(void *ctx, struct rr_slice key, struct rr_slice value)
{
    struct loading *loading = ctx;
    struct pay_session *session = pay_session_new();
    loading->err = pay_session_decode(session, value, loading->fault);
    if (loading->err == RR_OK &&
        !rr_slice_equal(key, rr_slice_of(session->id, sizeof(session->id)))) {
        loading->err = rr_fail(loading->fault, RR_ERR_DAMAGED,
                               "a session record lies under another session's id");
    }
    if (loading->err != RR_OK) {
        pay_session_free(session);
        return false;
    }
    session->version = 1;
    session->durable = 1;
    session->touched = true;
    if (session->over) {
        loading->over =
            rr_realloc(loading->over, (loading->over_count + 1) * sizeof(struct pay_session *));
        loading->over[loading->over_count++] = session;
    } else {
        pay_till_insert(loading->till, session);
    }
    return true;
}

static bool load_slices(void *ctx, struct rr_slice key, struct rr_slice value)
{
    struct loading *loading = ctx;
    if (key.len != RR_SESSION_ID_BYTES + 8 || value.len != PAY_CHUNK_BYTES) {
        loading->err = rr_fail(loading->fault, RR_ERR_DAMAGED,
                               "a record of paid slices has a key of %zu and a value of %zu bytes",
                               key.len, value.len);
        return false;
    }
    uint64_t number = 0;
    for (size_t i = RR_SESSION_ID_BYTES; i < key.len; i++) {
        number = number << 8 | key.ptr[i];
    }
    struct pay_session *session = pay_index_find(&loading->till->by_id, key.ptr, NULL);
    if (session != NULL) {
        pay_slices_load(&session->slices, number, value.ptr);
    }
    return true;
}

static struct rr_slice totals_key(void)
{
    return rr_slice_str("totals");
}

static enum rr_err load_totals(struct rr_till *till, struct rr_db_txn *txn, struct rr_fault *fault)
{
    struct rr_slice value;
    enum rr_err err = rr_db_get(txn, PAY_TABLE_META, totals_key(), &value, fault);
    if (err == RR_ERR_NOTFOUND) {
        return RR_OK;
    }
    if (err != RR_OK) {
        return err;
    }
    struct rr_reader reader = rr_reader_of(value);
    struct pay_totals totals = {0};
    totals.sessions = rr_read_u64(&reader);
    totals.paid_units = rr_read_u64(&reader);
    totals.settled_units = rr_read_u64(&reader);
    bool fits = rr_coin_of_units(&totals.paid, rr_read_u64(&reader));
    fits = rr_coin_of_units(&totals.settled, rr_read_u64(&reader)) && fits;
    if (!fits || !rr_reader_done(&reader)) {
        return rr_fail(fault, RR_ERR_DAMAGED, "the sums of the till cannot be read");
    }
    till->totals = totals;
    return RR_OK;
}

/* ---- sessions that are over: into the sums, out of the tables -----------------------------------
 */
struct slice_keys {
    const uint8_t *id;
    struct rr_buf keys; /* each RR_SESSION_ID_BYTES + 8 bytes */
};

static bool collect_key(void *ctx, struct rr_slice key, struct rr_slice value)
{
    struct slice_keys *found = ctx;
    (void)value;
    if (memcmp(key.ptr, found->id, RR_SESSION_ID_BYTES) != 0) {
        return false;
    }
    rr_buf_append(&found->keys, key.ptr, RR_SESSION_ID_BYTES + 8);
    return true;
}

static enum rr_err remove_session(struct rr_db_txn *txn, const struct pay_session *session,
                                  struct rr_fault *fault)
{
    struct slice_keys found = {.id = session->id};
    struct rr_slice id = rr_slice_of(session->id, sizeof(session->id));
    enum rr_err err = rr_db_scan(txn, PAY_TABLE_SLICES, id, collect_key, &found, fault);
    for (size_t at = 0; at < found.keys.len && err == RR_OK; at += RR_SESSION_ID_BYTES + 8) {
        struct rr_slice key = rr_slice_of(found.keys.ptr + at, RR_SESSION_ID_BYTES + 8);
        err = rr_db_delete(txn, PAY_TABLE_SLICES, key, fault);
    }
    rr_buf_clear(&found.keys);
    return err == RR_OK ? rr_db_delete(txn, PAY_TABLE_SESSIONS, id, fault) : err;
}

static enum rr_err archive(struct rr_db_txn *txn, void *ctx, struct rr_fault *fault)
{
    const struct loading *loading = ctx;
    const struct pay_totals *totals = &loading->till->totals;
    struct rr_buf value = {0};
    rr_write_u64(&value, totals->sessions);
    rr_write_u64(&value, totals->paid_units);
    rr_write_u64(&value, totals->settled_units);
    rr_write_u64(&value, rr_coin_units(totals->paid));
    rr_write_u64(&value, rr_coin_units(totals->settled));
    enum rr_err err = rr_db_put(txn, PAY_TABLE_META, totals_key(), rr_buf_slice(&value), fault);
    rr_buf_clear(&value);
    for (size_t i = 0; i < loading->over_count && err == RR_OK; i++) {
        err = remove_session(txn, loading->over[i], fault);
    }
    return err;
}

/* ---- whose book it is --------------------------------------------------------------------------
 */
static void identity(const struct rr_till *till, struct rr_buf *out)
{
    struct rr_hash32 genesis;
    rr_genesis_hash(&genesis, till->options.genesis);
    rr_buf_append(out, genesis.bytes, sizeof(genesis.bytes));
    rr_buf_append(out, till->key.bytes, sizeof(till->key.bytes));
}

static enum rr_err check_identity(struct rr_db_txn *txn, void *ctx, struct rr_fault *fault)
{
    const struct rr_till *till = ctx;
    struct rr_slice key = rr_slice_str("identity");
    struct rr_slice found;
    struct rr_buf own = {0};
    identity(till, &own);
    enum rr_err err = rr_db_get(txn, PAY_TABLE_META, key, &found, fault);
    if (err == RR_ERR_NOTFOUND) {
        err = rr_db_put(txn, PAY_TABLE_META, key, rr_buf_slice(&own), fault);
    } else if (err == RR_OK && !rr_slice_equal(found, rr_buf_slice(&own))) {
        err = rr_fail(fault, RR_ERR_STATE,
                      "the book of payments in %s belongs to another chain or another key: give "
                      "this rig a data folder of its own",
                      till->options.folder);
    }
    rr_buf_clear(&own);
    return err;
}

static enum rr_err read_all(struct loading *loading, struct rr_fault *fault)
{
    struct rr_till *till = loading->till;
    struct rr_db_txn *txn;
    struct rr_slice all = {0};
    enum rr_err err = rr_db_begin(till->db, false, &txn, fault);
    if (err != RR_OK) {
        return err;
    }
    err = load_totals(till, txn, fault);
    if (err == RR_OK) {
        err = rr_db_scan(txn, PAY_TABLE_SESSIONS, all, load_session, loading, fault);
        err = err == RR_OK ? loading->err : err;
    }
    if (err == RR_OK) {
        err = rr_db_scan(txn, PAY_TABLE_SLICES, all, load_slices, loading, fault);
        err = err == RR_OK ? loading->err : err;
    }
    if (err == RR_OK) {
        err = pay_certificates_load(till, txn, fault);
    }
    rr_db_abort(txn);
    return err;
}

enum rr_err pay_till_load(struct rr_till *till, struct rr_fault *fault)
{
    struct loading loading = {.till = till, .err = RR_OK, .fault = fault};
    enum rr_err err = rr_db_write(till->db, check_identity, till, fault);
    if (err == RR_OK) {
        err = read_all(&loading, fault);
    }
    for (size_t i = 0; i < loading.over_count && err == RR_OK; i++) {
        pay_totals_add(&till->totals, loading.over[i]);
    }
    if (err == RR_OK && loading.over_count > 0) {
        err = rr_db_write(till->db, archive, &loading, fault);
    }
    for (size_t i = 0; i < till->count && err == RR_OK; i++) {
        pay_totals_add(&till->totals, till->all[i]);
    }
    for (size_t i = 0; i < loading.over_count; i++) {
        pay_session_free(loading.over[i]);
    }
    rr_free(loading.over);
    return err;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "pay/pay_till.h"
#include <string.h>

static const char *const table_names[PAY_TABLES] = {"meta", "sessions", "slices", "certificates",
                                                    "credits"};

/* ---- open and close ----------------------------------------------------------------------------
 */
enum rr_err rr_till_open(struct rr_till **out, const struct rr_till_options *options,
                         struct rr_fault *fault)
{
    if (options->commit_ms > 20) {
        return rr_fail(fault, RR_ERR_USAGE,
                       "commit_ms is %u, at most 20 is allowed: viewers wait for it",
                       options->commit_ms);
    }
    struct rr_till *till = rr_alloc(sizeof(*till));
    till->options = *options;
    till->chain_id = rr_genesis_chain_id(options->genesis);
    rr_seckey_public(options->key, &till->key);
    rr_address_of(&till->address, &till->key);
    pay_index_init(&till->by_id, PAY_BY_ID);
    pay_index_init(&till->by_pool, PAY_BY_POOL);
    pay_index_init(&till->by_viewer, PAY_BY_VIEWER);
    RR_CHECK(pthread_mutex_init(&till->create_lock, NULL) == 0);
    RR_CHECK(pthread_mutex_init(&till->totals_lock, NULL) == 0);
    RR_CHECK(pthread_mutex_init(&till->settle_lock, NULL) == 0);
    RR_CHECK(pthread_mutex_init(&till->certificate_lock, NULL) == 0);
    RR_CHECK(pthread_mutex_init(&till->block_lock, NULL) == 0);
    struct rr_chain_tip tip;
    rr_chain_tip(options->chain, &tip);
    atomic_init(&till->height, tip.height);

    enum rr_err err =
        rr_db_open(&till->db, options->folder, table_names, RR_COUNT(table_names), fault);
    if (err == RR_OK) {
        err = pay_till_load(till, fault);
    }
    if (err == RR_OK) {
        err = pay_certificates_reconcile(till, fault);
    }
    if (err == RR_OK) {
        err = pay_committer_start(till, fault);
    }
    if (err != RR_OK) {
        rr_till_close(till);
        return err;
    }
    struct pay_session *owner = pay_session_new();
    owner->free = true;
    rr_random(owner->id, sizeof(owner->id));
    memcpy(till->owner_id, owner->id, sizeof(owner->id));
    pay_till_insert(till, owner);
    *out = till;
    return RR_OK;
}

void rr_till_close(struct rr_till *till)
{
    if (till == NULL) {
        return;
    }
    pay_committer_stop(till);
    for (size_t i = 0; i < till->count; i++) {
        pay_session_free(till->all[i]);
    }
    rr_free(till->all);
    pay_index_clear(&till->by_id);
    pay_index_clear(&till->by_pool);
    pay_index_clear(&till->by_viewer);
    pay_viewers_free(till);
    rr_db_close(till->db);
    pthread_mutex_destroy(&till->create_lock);
    pthread_mutex_destroy(&till->totals_lock);
    pthread_mutex_destroy(&till->settle_lock);
    pthread_mutex_destroy(&till->certificate_lock);
    pthread_mutex_destroy(&till->block_lock);
    rr_free(till);
}

/* ---- sessions ----------------------------------------------------------------------------------
 */
void rr_till_owner_session(struct rr_till *till, uint8_t out[static RR_SESSION_ID_BYTES])
{
    memcpy(out, till->owner_id, RR_SESSION_ID_BYTES);
}

/* What request, pool and manifest must have in common. */
static enum rr_err check_request(struct rr_till *till, const struct rr_session_request *request,
                                 const struct rr_manifest *manifest, struct rr_fault *fault)
{
    if (!rr_hash32_equal(&request->resource_id, &manifest->resource_id)) {
        return rr_fail(fault, RR_ERR_TRUST, "the session is asked for another resource than this");
    }
    if (rr_coin_is_zero(manifest->slice_price)) {
        return rr_fail(fault, RR_ERR_STATE,
                       "this resource is free: ask for it without a payment header");
    }
    if (memcmp(&request->viewer, &till->key, sizeof(till->key)) == 0) {
        return rr_fail(fault, RR_ERR_STATE,
                       "this rig cannot pay itself: its owner plays with a free session");
    }
    struct pay_session *known = pay_index_find(&till->by_viewer, request->viewer.bytes, NULL);
    if (known != NULL && pay_viewer_dropped(till, known->record)) {
        return rr_fail(fault, RR_ERR_TRUST,
                       "this rig does not serve this viewer for now: the service certificates that "
                       "its viewing asks for failed to come");
    }
    return pay_voucher_check(till, &request->voucher, &request->viewer, fault);
}

static enum rr_err check_pool(const struct rr_till *till, const struct rr_session_request *request,
                              const struct pay_facts *facts, struct rr_fault *fault)
{
    if (!facts->pool_found) {
        char text[65];
        rr_hex(text, request->voucher.pool_id.bytes, 32);
        return rr_fail(fault, RR_ERR_NOTFOUND,
                       "pool %s is not on this rig's chain at height %llu: wait for the block that "
                       "holds it",
                       text, (unsigned long long)atomic_load(&till->height));
    }
    if (memcmp(&facts->pool.owner, &request->viewer, sizeof(request->viewer)) != 0) {
        return rr_fail(fault, RR_ERR_TRUST, "the pool belongs to another key than the viewer's");
    }
    if (!rr_hash32_equal(&facts->pool.resource_id, &request->resource_id)) {
        return rr_fail(fault, RR_ERR_TRUST, "the pool was opened for another resource");
    }
    return RR_OK;
}

/* A price that is not below the resource's. */
static enum rr_err check_price(const struct rr_manifest *manifest, struct rr_coin price,
                               struct rr_fault *fault)
{
    if (rr_coin_compare(price, manifest->slice_price) < 0) {
        char text[2][RR_COIN_TEXT_BYTES];
        rr_coin_text(text[0], price);
        rr_coin_text(text[1], manifest->slice_price);
        return rr_fail(fault, RR_ERR_FUNDS,
                       "the voucher is at %s a slice, the price is %s: renew it", text[0], text[1]);
    }
    return RR_OK;
}

static struct pay_session *make_session(const struct rr_session_request *request,
                                        const struct rr_manifest *manifest,
                                        const struct pay_facts *facts)
{
    struct pay_session *session = pay_session_new();
    rr_random(session->id, sizeof(session->id));
    session->pool_id = request->voucher.pool_id;
    session->resource_id = request->resource_id;
    session->viewer = request->viewer;
    session->unit_price =
        request->voucher.max_units > 0 ? request->voucher.unit_price : manifest->slice_price;
    session->origin = facts->target.settled;
    session->settled = session->origin;
    session->value = session->origin;
    session->counted = session->origin;
    return session;
}

/* Finds or makes the pool's session, and gives it the voucher. Under create_lock. */
static enum rr_err open_locked(struct rr_till *till, struct pay_session **out,
                               const struct rr_session_request *request,
                               const struct rr_manifest *manifest, const struct pay_facts *facts,
                               struct pay_wait *wait, struct rr_fault *fault)
{
    struct pay_session *session =
        pay_index_find(&till->by_pool, request->voucher.pool_id.bytes, NULL);
    bool fresh = session == NULL;
    if (fresh) {
        session = make_session(request, manifest, facts);
    }
    bool changed = false;
    enum rr_err err = RR_OK;
    pthread_mutex_lock(&session->lock);
    pay_facts_take(till, session, facts);
    if (!pay_voucher_same(&session->voucher, &request->voucher)) {
        err = check_price(manifest, session->unit_price, fault);
    }
    if (err == RR_OK) {
        err = pay_voucher_take(till, session, &request->voucher, &changed, fault);
    }
    if (err == RR_OK && fresh) {
        pay_till_insert(till, session);
    }
    if (err == RR_OK && session->version != session->durable) {
        pay_wait_expect(wait);
        pay_committer_queue(till, session, pay_wait_done, wait);
    }
    pthread_mutex_unlock(&session->lock);
    if (err != RR_OK && fresh) {
        pay_session_free(session);
    }
    *out = session;
    return err;
}

enum rr_err rr_till_open_session(struct rr_till *till, struct rr_session_answer *out,
                                 const struct rr_session_request *request,
                                 const struct rr_manifest *manifest, struct rr_fault *fault)
{
    struct pay_session *session = NULL;
    struct pay_facts facts = {0};
    struct pay_wait wait;
    enum rr_err err = check_request(till, request, manifest, fault);
    if (err == RR_OK) {
        err = pay_facts_read(till, &facts, &request->voucher.pool_id, NULL, fault);
    }
    if (err == RR_OK) {
        err = check_pool(till, request, &facts, fault);
    }
    if (err == RR_OK) {
        pay_wait_init(&wait);
        pthread_mutex_lock(&till->create_lock);
        err = open_locked(till, &session, request, manifest, &facts, &wait, fault);
        pthread_mutex_unlock(&till->create_lock);
        enum rr_err written = pay_wait_finish(&wait);
        if (err == RR_OK && written != RR_OK) {
            err = rr_fail(fault, written, "the session could not be written to disk: try again");
        }
    }
    if (err != RR_OK) {
        atomic_fetch_add(&till->refused, 1);
        return err;
    }
    pthread_mutex_lock(&session->lock);
    memcpy(out->session_id, session->id, sizeof(out->session_id));
    out->slice_bytes = manifest->slice_bytes;
    out->unit_price = session->unit_price;
    out->accepted_depth = session->depth;
    pthread_mutex_unlock(&session->lock);
    return RR_OK;
}

/* ---- what is in the book -----------------------------------------------------------------------
 */
void rr_till_stats(struct rr_till *till, struct rr_till_stats *out)
{
    pthread_mutex_lock(&till->totals_lock);
    struct pay_totals totals = till->totals;
    struct rr_coin held = till->held;
    uint64_t held_pools = till->held_pools;
    pthread_mutex_unlock(&till->totals_lock);
    *out = (struct rr_till_stats){
        .sessions = totals.sessions,
        .paid_units = totals.paid_units,
        .settled_units = totals.settled_units,
        .certificates = atomic_load(&till->certificates),
        .paid = totals.paid,
        .settled = totals.settled,
        .refused = atomic_load(&till->refused),
        .held_pools = held_pools,
        .held = held,
        .withheld = atomic_load(&till->withheld),
    };
    for (size_t i = 0; i < RR_PROOF_REFUSAL_COUNT; i++) {
        out->certificates_refused[i] = atomic_load(&till->certificates_refused[i]);
    }
    struct pay_viewer *viewer = atomic_load(&till->viewers);
    for (; viewer != NULL; viewer = viewer->next) {
        out->dropped_viewers += pay_viewer_dropped(till, viewer) ? 1 : 0;
    }
}

static void describe(struct rr_till *till, struct rr_till_pool *out,
                     const struct pay_session *session)
{
    *out = (struct rr_till_pool){
        .pool_id = session->pool_id,
        .resource_id = session->resource_id,
        .viewer = session->viewer,
        .paid = session->value,
        .settled = session->settled,
        .unit_price = session->unit_price,
        .end_height = session->end_height,
    };
    out->units = pay_session_units(session, session->value);
    pay_viewer_describe(till, out, session->record);
}

enum rr_err rr_till_visit(struct rr_till *till,
                          bool (*visit)(void *ctx, const struct rr_till_pool *pool), void *ctx,
                          struct rr_fault *fault)
{
    (void)fault;
    size_t count;
    struct pay_session **list = pay_till_list(till, &count);
    for (size_t i = 0; i < count; i++) {
        struct pay_session *session = list[i];
        if (session->free) {
            continue;
        }
        pthread_mutex_lock(&session->lock);
        struct rr_till_pool pool;
        describe(till, &pool, session);
        pthread_mutex_unlock(&session->lock);
        if (!visit(ctx, &pool)) {
            break;
        }
    }
    rr_free(list);
    return RR_OK;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Certificates of viewers: kept until a block holds them or the window has passed. The table's own
 * order, viewer then block height, is the order of the sets. */
#include "pay/pay_till.h"
#include <string.h>

#define KEY_BYTES      (32 + 8)
#define RECORD_VERSION 1

RR_COUNTER(certificates_taken_total, "reelrig_pay_certificates_total", "Service certificates taken")
RR_COUNTER(certificates_late_total, "reelrig_pay_certificates_late_total",
           "Service certificates that came after their puzzle and the next one")
RR_COUNTER(certificates_poor_total, "reelrig_pay_certificates_poor_total",
           "Service certificates with less than a quarter of the work of a puzzle")
RR_COUNTER(certificates_refused_total, "reelrig_pay_certificates_refused_total",
           "Service certificates refused for any reason")

struct record {
    struct rr_certificate certificate;
    uint64_t service_ms;   /* T_sc */
    uint64_t mined_height; /* 0: waits for a block */
};

static void make_key(uint8_t key[static KEY_BYTES], const struct rr_pubkey *viewer, uint64_t height)
{
    memcpy(key, viewer->bytes, 32);
    for (int i = 0; i < 8; i++) {
        key[32 + i] = (uint8_t)(height >> (56 - 8 * i));
    }
}

static void encode_record(struct rr_buf *out, const struct record *record)
{
    struct rr_buf part = {0};
    rr_certificate_encode(&part, &record->certificate);
    rr_write_u8(out, RECORD_VERSION);
    rr_write_var16(out, rr_buf_slice(&part));
    rr_write_u64(out, record->service_ms);
    rr_write_u64(out, record->mined_height);
    rr_buf_clear(&part);
}

static enum rr_err decode_record(struct record *out, struct rr_slice bytes, struct rr_fault *fault)
{
    struct rr_reader reader = rr_reader_of(bytes);
    struct record record = {0};
    uint8_t version = rr_read_u8(&reader);
    struct rr_slice certificate = rr_read_var16(&reader, UINT16_MAX);
    record.service_ms = rr_read_u64(&reader);
    record.mined_height = rr_read_u64(&reader);
    if (version != RECORD_VERSION || !rr_reader_done(&reader)) {
        return rr_fail(fault, RR_ERR_DAMAGED,
                       "a certificate record of %zu bytes, version %u, cannot be read", bytes.len,
                       version);
    }
    enum rr_err err = rr_certificate_decode(&record.certificate, certificate, fault);
    if (err == RR_OK) {
        *out = record;
    }
    return err;
}

static enum rr_err put_record(struct rr_db_txn *txn, const struct record *record,
                              struct rr_fault *fault)
{
    uint8_t key[KEY_BYTES];
    struct rr_buf value = {0};
    make_key(key, &record->certificate.viewer, record->certificate.block_height);
    encode_record(&value, record);
    enum rr_err err = rr_db_put(txn, PAY_TABLE_CERTIFICATES, rr_slice_of(key, sizeof(key)),
                                rr_buf_slice(&value), fault);
    rr_buf_clear(&value);
    return err;
}

/* *found false when there is none. */
static enum rr_err get_record(struct rr_db_txn *txn, struct record *out, bool *found,
                              const struct rr_certificate *certificate, struct rr_fault *fault)
{
    uint8_t key[KEY_BYTES];
    struct rr_slice value;
    make_key(key, &certificate->viewer, certificate->block_height);
    enum rr_err err =
        rr_db_get(txn, PAY_TABLE_CERTIFICATES, rr_slice_of(key, sizeof(key)), &value, fault);
    *found = err == RR_OK;
    if (err == RR_ERR_NOTFOUND) {
        return RR_OK;
    }
    return err == RR_OK ? decode_record(out, value, fault) : err;
}

static enum rr_err get_u64(struct rr_db_txn *txn, enum pay_table table, struct rr_slice key,
                           uint64_t *out, struct rr_fault *fault)
{
    struct rr_slice value;
    enum rr_err err = rr_db_get(txn, (uint32_t)table, key, &value, fault);
    *out = 0;
    if (err == RR_OK && value.len != 8) {
        return rr_fail(fault, RR_ERR_DAMAGED, "a number of the till has %zu bytes", value.len);
    }
    if (err == RR_OK) {
        *out = rr_load_u64le(value.ptr);
    }
    return err == RR_ERR_NOTFOUND ? RR_OK : err;
}

static enum rr_err put_u64(struct rr_db_txn *txn, enum pay_table table, struct rr_slice key,
                           uint64_t number, struct rr_fault *fault)
{
    struct rr_buf value = {0};
    rr_write_u64(&value, number);
    enum rr_err err = rr_db_put(txn, (uint32_t)table, key, rr_buf_slice(&value), fault);
    rr_buf_clear(&value);
    return err;
}

static struct rr_slice counted_key(void)
{
    return rr_slice_str("certificates");
}

/* ---- reading the table -------------------------------------------------------------------------
 */
struct reading {
    bool (*visit)(void *ctx, const struct record *record);
    void *ctx;
    enum rr_err err;
    struct rr_fault *fault;
};

static bool read_one(void *ctx, struct rr_slice key, struct rr_slice value)
{
    struct reading *reading = ctx;
    struct record record;
    (void)key;
    reading->err = decode_record(&record, value, reading->fault);
    return reading->err == RR_OK && reading->visit(reading->ctx, &record);
}

static enum rr_err read_records(struct rr_db_txn *txn,
                                bool (*visit)(void *ctx, const struct record *record), void *ctx,
                                struct rr_fault *fault)
{
    struct reading reading = {.visit = visit, .ctx = ctx, .err = RR_OK, .fault = fault};
    struct rr_slice all = {0};
    enum rr_err err = rr_db_scan(txn, PAY_TABLE_CERTIFICATES, all, read_one, &reading, fault);
    return err == RR_OK ? reading.err : err;
}

static bool count_waiting(void *ctx, const struct record *record)
{
    uint32_t *waiting = ctx;
    *waiting += record->mined_height == 0 ? 1 : 0;
    return true;
}

enum rr_err pay_certificates_load(struct rr_till *till, struct rr_db_txn *txn,
                                  struct rr_fault *fault)
{
    uint64_t counted = 0;
    enum rr_err err = get_u64(txn, PAY_TABLE_META, counted_key(), &counted, fault);
    if (err == RR_OK) {
        atomic_store(&till->certificates, counted);
        till->waiting = 0;
        err = read_records(txn, count_waiting, &till->waiting, fault);
    }
    return err;
}

/* Removes what no block can take any more; mined ones too: their heights make no new certificates.
 */
struct old_keys {
    const struct rr_genesis *genesis;
    uint64_t next_height;
    struct rr_buf keys;
    uint32_t waiting;
};

static bool collect_old(void *ctx, const struct record *record)
{
    struct old_keys *old = ctx;
    uint64_t height = record->certificate.block_height;
    if (height < old->next_height && !rr_proof_in_window(old->genesis, height, old->next_height)) {
        uint8_t key[KEY_BYTES];
        make_key(key, &record->certificate.viewer, height);
        rr_buf_append(&old->keys, key, sizeof(key));
        old->waiting += record->mined_height == 0 ? 1 : 0;
    }
    return true;
}

static enum rr_err remove_old(struct rr_till *till, struct rr_db_txn *txn, uint64_t next_height,
                              uint32_t *gone, struct rr_fault *fault)
{
    struct old_keys old = {.genesis = till->options.genesis, .next_height = next_height};
    enum rr_err err = read_records(txn, collect_old, &old, fault);
    for (size_t at = 0; at < old.keys.len && err == RR_OK; at += KEY_BYTES) {
        err = rr_db_delete(txn, PAY_TABLE_CERTIFICATES, rr_slice_of(old.keys.ptr + at, KEY_BYTES),
                           fault);
    }
    rr_buf_clear(&old.keys);
    *gone = old.waiting;
    return err;
}

/* ---- taking certificates -----------------------------------------------------------------------
 */
void rr_till_set_work(struct rr_till *till,
                      bool (*work)(void *ctx, const uint8_t header_hash[32], uint64_t nonce,
                                   uint8_t mix[32], uint8_t final_be[32]),
                      void *ctx)
{
    pthread_mutex_lock(&till->certificate_lock);
    till->work = work;
    till->work_ctx = ctx;
    pthread_mutex_unlock(&till->certificate_lock);
}

void rr_till_set_work_many(struct rr_till *till,
                           bool (*work_many)(void *ctx, struct rr_proof_work *works, size_t count),
                           void *ctx)
{
    pthread_mutex_lock(&till->certificate_lock);
    till->work_many = work_many;
    till->work_many_ctx = ctx;
    pthread_mutex_unlock(&till->certificate_lock);
}

void rr_till_on_certificates(struct rr_till *till, void (*fn)(void *ctx), void *ctx)
{
    pthread_mutex_lock(&till->certificate_lock);
    till->on_certificates = fn;
    till->on_certificates_ctx = ctx;
    pthread_mutex_unlock(&till->certificate_lock);
}

static bool block_hash(void *ctx, uint64_t height, struct rr_hash32 *out)
{
    return rr_chain_block_hash(ctx, height, out, NULL) == RR_OK;
}

/* Under binding `pool`: the viewer owns a pool that pays this rig and can still be settled. */
static bool is_bound(struct rr_till *till, const struct rr_pubkey *viewer)
{
    if (till->options.genesis->certificate_binding == RR_BINDING_NONE) {
        return true;
    }
    struct pay_session *session = NULL;
    bool bound = false;
    while (!bound && (session = pay_index_find(&till->by_viewer, viewer->bytes, session)) != NULL) {
        pthread_mutex_lock(&session->lock);
        bound = !session->over;
        pthread_mutex_unlock(&session->lock);
    }
    return bound;
}

struct adding {
    struct rr_till *till;
    struct record *records; /* checked */
    uint32_t count;
    uint64_t next_height;
    /* Results of the last run of the body. */
    uint32_t stored, replaced, known, full, gone;
};

static enum rr_err add_records(struct rr_db_txn *txn, void *ctx, struct rr_fault *fault)
{
    struct adding *adding = ctx;
    struct rr_till *till = adding->till;
    uint64_t counted = 0;
    adding->stored = 0;
    adding->replaced = 0;
    adding->known = 0;
    adding->full = 0;
    adding->gone = 0;
    enum rr_err err = get_u64(txn, PAY_TABLE_META, counted_key(), &counted, fault);
    if (err == RR_OK && till->waiting + adding->count > PAY_CERTIFICATES_MAX) {
        err = remove_old(till, txn, adding->next_height, &adding->gone, fault);
    }
    for (uint32_t i = 0; i < adding->count && err == RR_OK; i++) {
        const struct record *fresh = &adding->records[i];
        struct record old;
        bool found;
        err = get_record(txn, &old, &found, &fresh->certificate, fault);
        if (err != RR_OK) {
            break;
        }
        bool better = found && old.mined_height == 0 && old.service_ms < fresh->service_ms;
        bool same_block =
            found && rr_hash32_equal(&old.certificate.block_hash, &fresh->certificate.block_hash);
        if (found && same_block && !better) {
            adding->known++;
            continue;
        }
        if (!found && till->waiting - adding->gone + adding->stored >= PAY_CERTIFICATES_MAX) {
            adding->full++;
            continue;
        }
        err = put_record(txn, fresh, fault);
        adding->replaced += found ? 1 : 0;
        adding->stored += found ? 0 : 1;
    }
    if (err == RR_OK && adding->stored > 0) {
        err = put_u64(txn, PAY_TABLE_META, counted_key(), counted + adding->stored, fault);
    }
    return err;
}

/* Verdicts on all, and records of those that count. */
static enum rr_err judge(struct adding *adding, const struct rr_chain_tip *tip,
                         struct rr_proof_verdict *verdicts,
                         const struct rr_certificate *certificates, uint32_t count,
                         struct rr_fault *fault)
{
    struct rr_till *till = adding->till;
    struct rr_proof_view view = {.genesis = till->options.genesis,
                                 .tip_height = tip->height,
                                 .block_hash = block_hash,
                                 .block_ctx = till->options.chain};
    pthread_mutex_lock(&till->certificate_lock);
    view.work = till->work;
    view.work_ctx = till->work_ctx;
    bool (*work_many)(void *ctx, struct rr_proof_work *works, size_t count) = till->work_many;
    void *work_ctx = till->work_many_ctx;
    pthread_mutex_unlock(&till->certificate_lock);
    if (view.work == NULL && work_many == NULL) {
        return rr_fail(fault, RR_ERR_STATE, "this rig has nothing to verify certificates with");
    }
    for (uint32_t i = 0; i < count; i++) {
        uint64_t height = certificates[i].block_height;
        bool known = height <= tip->height &&
                     rr_proof_in_window(till->options.genesis, height, tip->height + 1);
        verdicts[i].refusal = !is_bound(till, &certificates[i].viewer)   ? RR_PROOF_UNBOUND
                              : known && !pay_on_time(till, height, tip) ? RR_PROOF_LATE
                                                                         : RR_PROOF_ACCEPTED;
    }
    enum rr_err err = rr_proof_certificates_check(&view, verdicts, certificates, count, &till->key,
                                                  work_many, work_ctx, fault);
    for (uint32_t i = 0; i < count && err == RR_OK; i++) {
        if (verdicts[i].worked) {
            pay_viewer_worked(till, &certificates[i], verdicts[i].final_be);
        }
        if (verdicts[i].refusal == RR_PROOF_ACCEPTED) {
            adding->records[adding->count++] = (struct record){
                .certificate = certificates[i], .service_ms = verdicts[i].service_ms};
        }
    }
    return err;
}

static void count_taken(struct adding *adding, struct rr_till_taken *taken,
                        const struct rr_proof_verdict *verdicts, uint32_t count)
{
    struct rr_till_taken sums = {.accepted = adding->stored + adding->replaced + adding->known};
    for (uint32_t i = 0; i < count; i++) {
        if (verdicts[i].refusal != RR_PROOF_ACCEPTED) {
            sums.refused[verdicts[i].refusal]++;
        }
    }
    sums.refused[RR_PROOF_FULL] = adding->full;
    for (size_t i = 0; i < RR_PROOF_REFUSAL_COUNT; i++) {
        atomic_fetch_add(&adding->till->certificates_refused[i], sums.refused[i]);
        rr_counter_add(&certificates_refused_total, sums.refused[i]);
    }
    rr_counter_add(&certificates_late_total, sums.refused[RR_PROOF_LATE]);
    rr_counter_add(&certificates_poor_total, sums.refused[RR_PROOF_WORK]);
    rr_counter_add(&certificates_taken_total, adding->stored);
    *taken = sums;
}

enum rr_err rr_till_add_certificates(struct rr_till *till,
                                     const struct rr_certificate *certificates, uint32_t count,
                                     struct rr_till_taken *taken, struct rr_fault *fault)
{
    if (count > RR_CERTIFICATES_POST_MAX) {
        return rr_fail(fault, RR_ERR_LIMIT, "%u certificates at once, at most %d are taken", count,
                       RR_CERTIFICATES_POST_MAX);
    }
    struct rr_chain_tip tip;
    rr_chain_tip(till->options.chain, &tip);
    struct rr_proof_verdict *verdicts = rr_alloc_array(count + 1, sizeof(*verdicts));
    struct adding adding = {
        .till = till,
        .records = rr_alloc_array(count + 1, sizeof(struct record)),
        .next_height = tip.height + 1,
    };
    void (*wake)(void *ctx) = NULL;
    void *wake_ctx = NULL;
    enum rr_err err = judge(&adding, &tip, verdicts, certificates, count, fault);
    if (err == RR_OK) {
        pthread_mutex_lock(&till->certificate_lock);
        err = adding.count == 0 ? RR_OK : rr_db_write(till->db, add_records, &adding, fault);
        if (err == RR_OK) {
            till->waiting = till->waiting - adding.gone + adding.stored;
            atomic_fetch_add(&till->certificates, adding.stored);
            wake = adding.stored + adding.replaced > 0 ? till->on_certificates : NULL;
            wake_ctx = till->on_certificates_ctx;
        }
        pthread_mutex_unlock(&till->certificate_lock);
    }
    if (err == RR_OK) {
        count_taken(&adding, taken, verdicts, count);
    }
    if (wake != NULL) {
        wake(wake_ctx);
    }
    rr_free(adding.records);
    rr_free(verdicts);
    return err;
}

/* ---- sets for a block --------------------------------------------------------------------------
 */
struct building {
    struct rr_till *till;
    uint64_t next_height;
    struct rr_certificate_entry *entries;
    uint32_t count, capacity;
};

static bool collect_entry(void *ctx, const struct record *record)
{
    struct building *building = ctx;
    if (record->mined_height != 0 ||
        !rr_proof_in_window(building->till->options.genesis, record->certificate.block_height,
                            building->next_height)) {
        return true;
    }
    if (building->count == building->capacity) {
        building->capacity = building->capacity == 0 ? 64 : building->capacity * 2;
        building->entries =
            rr_realloc(building->entries, building->capacity * sizeof(*building->entries));
    }
    building->entries[building->count++] = (struct rr_certificate_entry){
        .certificate = record->certificate,
        .credit_ms = record->service_ms,
    };
    return true;
}

/* Of the pools that one viewer pays from, the one with most credit left. */
static uint64_t room_of(struct rr_till *till, struct rr_db_txn *txn, struct pay_session *session)
{
    uint64_t credited = 0;
    struct rr_fault fault = {0};
    struct rr_slice key = rr_slice_of(session->pool_id.bytes, 32);
    if (get_u64(txn, PAY_TABLE_CREDITS, key, &credited, &fault) != RR_OK) {
        rr_log_fault(RR_LOG_WARN, "pay", &fault);
        return 0;
    }
    pthread_mutex_lock(&session->lock);
    uint64_t earned = rr_coin_units(session->settled) / till->options.genesis->credit_units_per_ms;
    pthread_mutex_unlock(&session->lock);
    return earned > credited ? earned - credited : 0;
}

struct rooms {
    struct rr_till *till;
    struct rr_db_txn *txn;
};

static uint64_t pool_room(void *ctx, const struct rr_hash32 *pool_id)
{
    const struct rooms *rooms = ctx;
    struct pay_session *session = pay_index_find(&rooms->till->by_pool, pool_id->bytes, NULL);
    return session == NULL ? 0 : room_of(rooms->till, rooms->txn, session);
}

/* Drops entries whose block is not on the chain any more, and binds the others to pools. */
static void bind_entries(struct rooms *rooms, struct building *building)
{
    struct rr_till *till = building->till;
    bool bound = till->options.genesis->certificate_binding == RR_BINDING_POOL;
    uint32_t kept = 0;
    for (uint32_t i = 0; i < building->count; i++) {
        struct rr_certificate_entry entry = building->entries[i];
        struct rr_hash32 own;
        if (!block_hash(till->options.chain, entry.certificate.block_height, &own) ||
            !rr_hash32_equal(&own, &entry.certificate.block_hash)) {
            continue;
        }
        uint64_t best = 0;
        struct pay_session *session = NULL;
        const uint8_t *viewer = entry.certificate.viewer.bytes;
        while (bound && (session = pay_index_find(&till->by_viewer, viewer, session)) != NULL) {
            uint64_t room = room_of(till, rooms->txn, session);
            if (room > best) {
                best = room;
                entry.pool_id = session->pool_id;
            }
        }
        if (!bound || best > 0) {
            building->entries[kept++] = entry;
        }
    }
    building->count = kept;
}

enum rr_err rr_till_build_sets(struct rr_till *till, struct rr_certificate_set **sets,
                               uint32_t *count, uint64_t next_height, struct rr_fault *fault)
{
    struct building building = {.till = till, .next_height = next_height};
    struct rr_db_txn *txn = NULL;
    enum rr_err err = RR_OK;
    pthread_mutex_lock(&till->block_lock);
    if (till->blocks_unmarked && (err = pay_certificates_reconcile(till, fault)) == RR_OK) {
        till->blocks_unmarked = false;
    }
    if (err == RR_OK) {
        err = rr_db_begin(till->db, false, &txn, fault);
    }
    pthread_mutex_unlock(&till->block_lock);
    if (err != RR_OK) {
        return err;
    }
    err = read_records(txn, collect_entry, &building, fault);
    if (err == RR_OK) {
        struct rooms rooms = {.till = till, .txn = txn};
        bind_entries(&rooms, &building);
        rr_proof_sets_build(till->options.genesis, sets, count, building.entries, building.count,
                            (struct rr_proof_room){.ms = pool_room, .ctx = &rooms});
    }
    rr_db_abort(txn);
    rr_free(building.entries);
    return err;
}

void rr_till_free_sets(struct rr_certificate_set *sets, uint32_t count)
{
    rr_proof_sets_free(sets, count);
}

/* ---- after the block ---------------------------------------------------------------------------
 */
struct mining {
    struct rr_till *till;
    const struct rr_certificate_set *sets;
    uint32_t count;
    uint64_t height;
    uint32_t spent; /* of those waiting, by the last run of the body */
};

static enum rr_err spend_entry(struct mining *mining, struct rr_db_txn *txn,
                               const struct rr_certificate_entry *entry, struct rr_fault *fault)
{
    struct record record;
    bool found;
    enum rr_err err = get_record(txn, &record, &found, &entry->certificate, fault);
    if (err != RR_OK || (found && record.mined_height != 0)) {
        return err;
    }
    mining->spent += found ? 1 : 0;
    record = (struct record){
        .certificate = entry->certificate,
        .service_ms = found ? record.service_ms : entry->credit_ms,
        .mined_height = mining->height,
    };
    err = put_record(txn, &record, fault);
    if (err != RR_OK || rr_hash32_is_zero(&entry->pool_id)) {
        return err;
    }
    uint64_t credited;
    struct rr_slice key = rr_slice_of(entry->pool_id.bytes, 32);
    err = get_u64(txn, PAY_TABLE_CREDITS, key, &credited, fault);
    if (err == RR_OK) {
        bool fits = !__builtin_add_overflow(credited, entry->credit_ms, &credited);
        err = put_u64(txn, PAY_TABLE_CREDITS, key, fits ? credited : UINT64_MAX, fault);
    }
    return err;
}

static enum rr_err spend_sets(struct rr_db_txn *txn, void *ctx, struct rr_fault *fault)
{
    struct mining *mining = ctx;
    uint32_t gone = 0;
    enum rr_err err = RR_OK;
    mining->spent = 0;
    for (uint32_t s = 0; s < mining->count; s++) {
        for (uint32_t i = 0; i < mining->sets[s].count && err == RR_OK; i++) {
            err = spend_entry(mining, txn, &mining->sets[s].entries[i], fault);
        }
    }
    if (err == RR_OK) {
        err = remove_old(mining->till, txn, mining->height + 1, &gone, fault);
    }
    mining->spent += gone;
    return err;
}

enum rr_err rr_till_sets_mined(struct rr_till *till, const struct rr_certificate_set *sets,
                               uint32_t count, uint64_t height, struct rr_fault *fault)
{
    if (height == 0) {
        return rr_fail(fault, RR_ERR_USAGE, "block 0 holds no certificates");
    }
    struct mining mining = {.till = till, .sets = sets, .count = count, .height = height};
    pthread_mutex_lock(&till->certificate_lock);
    enum rr_err err = rr_db_write(till->db, spend_sets, &mining, fault);
    if (err == RR_OK) {
        till->waiting -= mining.spent;
    }
    pthread_mutex_unlock(&till->certificate_lock);
    return err;
}

enum rr_err pay_certificates_marked(struct rr_till *till, bool *all,
                                    const struct rr_certificate_set *sets, uint32_t count,
                                    uint64_t next_height, struct rr_fault *fault)
{
    struct rr_db_txn *txn;
    bool marked = true;
    enum rr_err err = rr_db_begin(till->db, false, &txn, fault);
    if (err != RR_OK) {
        return err;
    }
    for (uint32_t s = 0; s < count && err == RR_OK && marked; s++) {
        for (uint32_t i = 0; i < sets[s].count && err == RR_OK && marked; i++) {
            const struct rr_certificate *certificate = &sets[s].entries[i].certificate;
            struct record record;
            bool found;
            err = get_record(txn, &record, &found, certificate, fault);
            /* One that is gone is either old, or was never on this disk: its place is held. */
            marked = err != RR_OK ||
                     (found ? record.mined_height != 0
                            : !rr_proof_in_window(till->options.genesis, certificate->block_height,
                                                  next_height));
        }
    }
    rr_db_abort(txn);
    if (err == RR_OK) {
        *all = marked;
    }
    return err;
}

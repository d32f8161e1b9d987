/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Opening and closing a chain: a folder is taken only when genesis, tip, index and state hash fit
 * each other. */
#include "ledger/ledger_chain.h"

#include <string.h>

static const char *const TABLES[STORE_TABLES] = {
    "chain",   "accounts", "pools",  "pool_targets", "contracts", "escrow",  "due",  "meta",
    "headers", "blocks",   "hashes", "txs",          "undo",      "mempool", "sets",
};

struct ledger_rules chain_rules(const struct rr_chain *chain, uint64_t height)
{
    return (struct ledger_rules){
        .genesis = &chain->genesis, .chain_id = chain->chain_id, .height = height};
}

/* ---- a new folder ----------------------------------------------------------- */
static enum rr_err put_genesis(struct rr_db_txn *txn, const struct rr_genesis *genesis,
                               struct rr_fault *fault)
{
    struct rr_buf bytes = {0};
    rr_genesis_encode(&bytes, genesis);
    enum rr_err err =
        rr_db_put(txn, STORE_CHAIN, rr_slice_str("genesis"), rr_buf_slice(&bytes), fault);
    rr_buf_clear(&bytes);
    return err;
}

static enum rr_err make_chain(struct rr_db_txn *txn, void *ctx, struct rr_fault *fault)
{
    const struct rr_chain *chain = ctx;
    struct ledger_sum empty = {{0}};
    struct rr_header header;
    struct rr_hash32 hash;
    struct rr_buf bytes = {0};
    struct ledger_key key = ledger_key_height(0);
    rr_rule_genesis_header(&chain->genesis, &header);
    rr_header_hash(&hash, &header);
    enum rr_err err = put_genesis(txn, &chain->genesis, fault);
    if (err == RR_OK) {
        err = store_put_sum(txn, &empty, fault);
    }
    if (err == RR_OK) {
        rr_header_encode(&bytes, &header);
        err = store_put(txn, STORE_HEADERS, &key, rr_buf_slice(&bytes), fault);
    }
    if (err == RR_OK) {
        struct rr_block block = {.header = header};
        rr_buf_clear(&bytes);
        rr_block_encode(&bytes, &block);
        err = store_put(txn, STORE_BLOCKS, &key, rr_buf_slice(&bytes), fault);
    }
    if (err == RR_OK) {
        err = rr_db_put(txn, STORE_HASHES, rr_slice_of(hash.bytes, sizeof hash.bytes),
                        store_key(&key), fault);
    }
    if (err == RR_OK) {
        err = store_put_tip(txn, 0, &hash, fault);
    }
    rr_buf_clear(&bytes);
    return err;
}

/* ---- an old one ------------------------------------------------------------- */
static enum rr_err refuse_genesis(const struct rr_chain *chain, struct rr_slice found,
                                  struct rr_fault *fault)
{
    struct rr_genesis genesis;
    struct rr_hash32 hash;
    char ours[65];
    char theirs[65] = "unreadable";
    rr_genesis_hash(&hash, &chain->genesis);
    rr_hex(ours, hash.bytes, sizeof hash.bytes);
    if (rr_genesis_decode(&genesis, found, NULL) == RR_OK) {
        rr_genesis_hash(&hash, &genesis);
        rr_hex(theirs, hash.bytes, sizeof hash.bytes);
    }
    return rr_fail(
        fault, RR_ERR_STATE,
        "the folder holds a chain of genesis %.16s, the config names %.16s; choose another "
        "data folder or the genesis that this one was made with",
        theirs, ours);
}

/* *fresh true when nothing was ever written. */
static enum rr_err check_genesis(const struct rr_chain *chain, struct rr_db_txn *txn, bool *fresh,
                                 struct rr_fault *fault)
{
    struct rr_slice found;
    struct rr_slice key;
    enum rr_err err = rr_db_get(txn, STORE_CHAIN, rr_slice_str("genesis"), &found, fault);
    if (err == RR_ERR_NOTFOUND) {
        err = rr_db_last(txn, STORE_HEADERS, &key, &found, fault);
        if (err == RR_OK) {
            return rr_fail(fault, RR_ERR_DAMAGED,
                           "the folder has blocks but no genesis; restore it or start anew");
        }
        *fresh = err == RR_ERR_NOTFOUND;
        return *fresh ? RR_OK : err;
    }
    if (err != RR_OK) {
        return err;
    }
    struct rr_buf ours = {0};
    rr_genesis_encode(&ours, &chain->genesis);
    bool same = rr_slice_equal(rr_buf_slice(&ours), found);
    rr_buf_clear(&ours);
    *fresh = false;
    return same ? RR_OK : refuse_genesis(chain, found, fault);
}

static enum rr_err damaged_tip(struct rr_fault *fault, uint64_t height, const char *what)
{
    return rr_fail(fault, RR_ERR_DAMAGED,
                   "%s at height %llu; restore the chain folder, or remove it to start anew", what,
                   (unsigned long long)height);
}

/* Tip record, last header, block and both indexes name the same block. */
static enum rr_err load_tip(struct rr_chain *chain, struct rr_db_txn *txn, struct rr_fault *fault)
{
    uint64_t height;
    struct rr_hash32 stored;
    struct rr_hash32 hash;
    struct rr_header header;
    struct rr_block block;
    struct rr_slice key;
    struct rr_slice value;
    enum rr_err err = store_tip(txn, &height, &stored, fault);
    if (err == RR_OK) {
        err = store_header(txn, height, &header, fault);
    }
    if (err == RR_OK) {
        err = store_block(txn, height, &block, fault);
    }
    if (err != RR_OK) {
        return err == RR_ERR_NOTFOUND ? damaged_tip(fault, height, "the tip's block is missing")
                                      : err;
    }
    rr_header_hash(&hash, &block.header);
    bool whole = block.tx_count == 0;
    if (!whole) {
        struct rr_hash32 root;
        rr_block_tx_root(&root, block.txs, block.tx_count);
        whole = rr_hash32_equal(&root, &block.header.tx_root);
    }
    rr_block_clear(&block);
    if (!whole || !rr_hash32_equal(&hash, &stored)) {
        return damaged_tip(fault, height, "the tip's block does not hash to its record");
    }
    rr_header_hash(&hash, &header);
    struct ledger_key at = ledger_key_height(height);
    err = rr_db_get(txn, STORE_HASHES, rr_slice_of(hash.bytes, sizeof hash.bytes), &value, fault);
    if (err != RR_OK || !rr_slice_equal(value, store_key(&at)) ||
        !rr_hash32_equal(&hash, &stored)) {
        return damaged_tip(fault, height, "header and index of hashes do not name the tip");
    }
    err = rr_db_last(txn, STORE_HEADERS, &key, &value, fault);
    if (err != RR_OK || !rr_slice_equal(key, store_key(&at))) {
        return damaged_tip(fault, height, "there are headers beyond the tip");
    }
    chain->tip = header;
    chain->tip_hash = hash;
    return RR_OK;
}

static enum rr_err check_state(const struct rr_chain *chain, struct rr_db_txn *txn,
                               struct rr_fault *fault)
{
    struct rr_chain_audit audit;
    struct ledger_sum counted;
    struct ledger_sum stored;
    enum rr_err err = store_audit(txn, &audit, &counted, fault);
    if (err == RR_OK) {
        err = store_sum(txn, &stored, fault);
    }
    if (err != RR_OK) {
        return err;
    }
    if (memcmp(&counted, &stored, sizeof stored) != 0 ||
        !rr_hash32_equal(&audit.state_root, &chain->tip.state_root)) {
        return damaged_tip(fault, chain->tip.height,
                           "the state does not hash to what the tip's header says");
    }
    return RR_OK;
}

/* ---- waiting transactions of a former life ---------------------------------- */
struct dropping {
    const struct fit *fit;
    struct waiting *const *list;
};

static enum rr_err delete_dropped(struct rr_db_txn *txn, void *ctx, struct rr_fault *fault)
{
    const struct dropping *dropping = ctx;
    return mempool_delete_dropped(txn, dropping->fit, dropping->list, fault);
}

static enum rr_err load_waiting(struct rr_chain *chain, struct rr_fault *fault)
{
    struct rr_db_txn *txn;
    struct mempool *pool = &chain->mempool;
    struct fit fit;
    enum rr_err err = rr_db_begin(chain->db, false, &txn, fault);
    if (err != RR_OK) {
        return err;
    }
    struct ledger_view below = store_view(txn);
    err = mempool_load(pool, txn, fault);
    if (err == RR_OK) {
        err = mempool_fit(chain, &fit, &below, chain->tip.height + 1, pool->list, pool->count,
                          UINT32_MAX, NULL, fault);
    }
    rr_db_abort(txn);
    if (err != RR_OK) {
        return err;
    }
    bool any = false;
    for (uint32_t i = 0; i < fit.count; i++) {
        any = any || fit.drop[i];
    }
    struct dropping dropping = {.fit = &fit, .list = pool->list};
    if (any) {
        err = rr_db_write(chain->db, delete_dropped, &dropping, fault);
    }
    if (err != RR_OK) {
        fit_clear(&fit);
        return err;
    }
    mempool_adopt(pool, &fit, pool->list);
    return RR_OK;
}

static enum rr_err load_chain(struct rr_chain *chain, struct rr_fault *fault)
{
    struct rr_db_txn *txn;
    bool fresh = false;
    enum rr_err err = rr_db_begin(chain->db, false, &txn, fault);
    if (err != RR_OK) {
        return err;
    }
    err = check_genesis(chain, txn, &fresh, fault);
    if (err == RR_OK && fresh) {
        rr_db_abort(txn);
        err = rr_db_write(chain->db, make_chain, chain, fault);
        if (err == RR_OK) {
            err = rr_db_begin(chain->db, false, &txn, fault);
        }
        if (err != RR_OK) {
            return err;
        }
    }
    if (err == RR_OK) {
        err = load_tip(chain, txn, fault);
    }
    if (err == RR_OK) {
        err = check_state(chain, txn, fault);
    }
    rr_db_abort(txn);
    return err == RR_OK ? load_waiting(chain, fault) : err;
}

static enum rr_err check_options(const struct rr_genesis *genesis, struct rr_fault *fault)
{
    if (genesis->checkpoint_blocks == 0 || genesis->block_ms == 0 || genesis->halflife_ms == 0 ||
        rr_u256_is_zero(genesis->difficulty)) {
        return rr_fail(
            fault, RR_ERR_FORMAT,
            "checkpoint_blocks, block_ms, halflife_ms and difficulty of a genesis are at least 1");
    }
    if (!rr_u256_is_zero(
            rr_u256_shr(genesis->difficulty, 224))) { /* times 2^17 it must fit 256 bits */
        return rr_fail(fault, RR_ERR_FORMAT,
                       "the difficulty of the genesis is above 2^224; nobody could mine");
    }
    return RR_OK;
}

enum rr_err rr_chain_open(struct rr_chain **out, const struct rr_chain_options *options,
                          struct rr_fault *fault)
{
    enum rr_err err = check_options(options->genesis, fault);
    if (err != RR_OK) {
        return err;
    }
    rr_crypto_init();
    struct rr_chain *chain = rr_alloc(sizeof *chain);
    chain->genesis = *options->genesis;
    chain->chain_id = rr_genesis_chain_id(options->genesis);
    chain->clock = options->clock;
    chain->work = options->work;
    chain->work_ctx = options->work_ctx;
    pthread_mutex_init(&chain->lock, NULL);
    pthread_mutex_init(&chain->shown_lock, NULL);
    pthread_mutex_init(&chain->sender_lock, NULL);
    err = rr_db_open(&chain->db, options->folder, TABLES, STORE_TABLES, fault);
    if (err == RR_OK) {
        err = load_chain(chain, fault);
    }
    if (err != RR_OK) {
        rr_chain_close(chain);
        return err;
    }
    chain_set_tip(chain, &chain->tip, &chain->tip_hash);
    *out = chain;
    return RR_OK;
}

void rr_chain_close(struct rr_chain *chain)
{
    if (chain == NULL) {
        return;
    }
    mempool_clear(&chain->mempool);
    rr_db_close(chain->db);
    pthread_mutex_destroy(&chain->sender_lock);
    pthread_mutex_destroy(&chain->shown_lock);
    pthread_mutex_destroy(&chain->lock);
    rr_free(chain);
}

/* ---- the tip as shown ------------------------------------------------------- */
void chain_show(struct rr_chain *chain)
{
    pthread_mutex_lock(&chain->shown_lock);
    chain->shown.mempool = chain->mempool.count;
    pthread_mutex_unlock(&chain->shown_lock);
}

void chain_set_tip(struct rr_chain *chain, const struct rr_header *header,
                   const struct rr_hash32 *hash)
{
    struct rr_db_txn *txn;
    uint64_t anchor_time_ms = header->time_ms; /* right for heights 0 and 1 */
    chain->tip = *header;
    chain->tip_hash = *hash;
    if (header->height > 1 && rr_db_begin(chain->db, false, &txn, NULL) == RR_OK) {
        struct rr_header first;
        if (store_header(txn, 1, &first, NULL) == RR_OK) {
            anchor_time_ms = first.time_ms;
        }
        rr_db_abort(txn);
    }
    struct rr_chain_tip shown = {
        .height = header->height,
        .hash = *hash,
        .state_root = header->state_root,
        .time_ms = header->time_ms,
        .r_q32 = header->r_q32,
        .difficulty = header->difficulty,
        .next_difficulty = rr_rule_difficulty(&chain->genesis, header->height + 1, header->time_ms,
                                              anchor_time_ms),
        .mempool = chain->mempool.count,
    };
    pthread_mutex_lock(&chain->shown_lock);
    chain->shown = shown;
    pthread_mutex_unlock(&chain->shown_lock);
}

void chain_notify(struct rr_chain *chain)
{
    struct rr_chain_tip tip;
    pthread_mutex_lock(&chain->shown_lock);
    tip = chain->shown;
    uint32_t count = chain->watcher_count;
    pthread_mutex_unlock(&chain->shown_lock);
    for (uint32_t i = 0; i < count; i++) {
        chain->watchers[i].fn(chain->watchers[i].ctx, &tip); /* an added watcher never changes */
    }
}

void chain_notify_waiting(struct rr_chain *chain)
{
    pthread_mutex_lock(&chain->shown_lock);
    uint32_t count = chain->listener_count;
    pthread_mutex_unlock(&chain->shown_lock);
    for (uint32_t i = 0; i < count; i++) {
        chain->listeners[i].fn(chain->listeners[i].ctx);
    }
}

void rr_chain_tip(struct rr_chain *chain, struct rr_chain_tip *out)
{
    pthread_mutex_lock(&chain->shown_lock);
    *out = chain->shown;
    pthread_mutex_unlock(&chain->shown_lock);
}

void rr_chain_on_tip(struct rr_chain *chain, void (*fn)(void *ctx, const struct rr_chain_tip *tip),
                     void *ctx)
{
    pthread_mutex_lock(&chain->shown_lock);
    RR_CHECK(chain->watcher_count < LEDGER_WATCHERS_MAX);
    chain->watchers[chain->watcher_count].fn = fn;
    chain->watchers[chain->watcher_count].ctx = ctx;
    chain->watcher_count++;
    pthread_mutex_unlock(&chain->shown_lock);
}

void rr_chain_on_waiting(struct rr_chain *chain, void (*fn)(void *ctx), void *ctx)
{
    pthread_mutex_lock(&chain->shown_lock);
    RR_CHECK(chain->listener_count < LEDGER_WATCHERS_MAX);
    chain->listeners[chain->listener_count].fn = fn;
    chain->listeners[chain->listener_count].ctx = ctx;
    chain->listener_count++;
    pthread_mutex_unlock(&chain->shown_lock);
}

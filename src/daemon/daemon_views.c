/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/daemon_api.h"
#include "daemon/daemon_devices.h"
#include "daemon/daemon_job.h"

#include <string.h>

#define VISIT_MAX 1000 /* rows of one list; the rest by their own path */

json_t *daemon_json_hash(const void *bytes, size_t len)
{
    char text[2 * 64 + 1];
    RR_CHECK(len <= 64);
    rr_hex(text, bytes, len);
    return json_string(text);
}

json_t *daemon_json_coin(struct rr_coin coin)
{
    char text[RR_COIN_TEXT_BYTES];
    rr_coin_text(text, coin);
    return json_string(text);
}

static json_t *number(uint64_t value)
{
    return json_integer((json_int_t)value);
}

static json_t *address_json(const struct rr_rig *rig, const struct rr_address *address)
{
    char text[RR_ADDRESS_TEXT_BYTES];
    rr_address_text(text, address, rig->config.genesis.test_addresses);
    return json_string(text);
}

static void set(json_t *object, const char *key, json_t *value)
{
    RR_CHECK(value != NULL && json_object_set_new(object, key, value) == 0);
}

/* ---- jobs ------------------------------------------------------------------------------------ */

static json_t *renditions_json(const struct daemon_job *job)
{
    json_t *list = json_array();
    for (uint32_t i = 0; i < job->rendition_count; i++) {
        const struct daemon_rendition_progress *r = &job->renditions[i];
        json_array_append_new(list, json_pack("{s:s, s:I, s:I, s:f}", "name", r->name, "gops_done",
                                              (json_int_t)r->gops_done, "gops", (json_int_t)r->gops,
                                              "fps", r->fps));
    }
    return list;
}

/* Under rig->lock. */
static json_t *job_json(const struct daemon_job *job)
{
    json_t *out = json_object();
    set(out, "job", json_string(job->handle));
    set(out, "title", json_string(job->title));
    set(out, "stage", json_string(daemon_job_stage_text(job->stage)));
    set(out, "final", json_boolean(daemon_job_final(job->stage)));
    set(out, "percent",
        json_real(job->stage >= JOB_PUBLISHED && job->stage != JOB_FAILED ? 100.0 : job->percent));
    set(out, "fps", json_real(job->fps));
    set(out, "eta_s", json_real(job->eta_s));
    set(out, "renditions", renditions_json(job));
    set(out, "source_bytes", number(job->source_bytes));
    set(out, "frames_in", number(job->frames_in));
    set(out, "frames_out_ok", json_boolean(job->frames_out_ok));
    set(out, "concealed", number(job->concealed));
    set(out, "gops", number(job->gops));
    set(out, "leaves", number(job->leaves));
    set(out, "proofs_checked", number(job->proofs_checked));
    set(out, "proofs_failed", number(job->proofs_failed));
    set(out, "shards", number(job->shards));
    set(out, "root", daemon_json_hash(job->root.bytes, 32));
    set(out, "contract", daemon_json_hash(job->contract_tx.bytes, 32));
    set(out, "slice_price", daemon_json_coin(job->slice_price));
    set(out, "puzzles", daemon_puzzles_view(&job->puzzles));
    set(out, "chain", daemon_chain_json(&job->chain, true));
    set(out, "seconds",
        json_pack("{s:f, s:f, s:f}", "transcode", job->transcode_s, "prove", job->prove_s, "store",
                  job->store_s));
    bool published = !rr_hash32_is_zero(&job->resource_id);
    set(out, "resource", published ? daemon_json_hash(job->resource_id.bytes, 32) : json_null());
    set(out, "error", job->error[0] != '\0' ? json_string(job->error) : json_null());
    return out;
}

json_t *daemon_view_jobs(struct rr_rig *rig)
{
    json_t *list = json_array();
    pthread_mutex_lock(&rig->lock);
    for (const struct daemon_job *job = rig->jobs; job != NULL; job = job->next) {
        json_array_append_new(list, job_json(job));
    }
    pthread_mutex_unlock(&rig->lock);
    return list;
}

json_t *daemon_view_job(struct rr_rig *rig, const char *handle)
{
    json_t *found = NULL;
    pthread_mutex_lock(&rig->lock);
    for (const struct daemon_job *job = rig->jobs; job != NULL && found == NULL; job = job->next) {
        if (strcmp(job->handle, handle) == 0) {
            found = job_json(job);
        }
    }
    pthread_mutex_unlock(&rig->lock);
    return found;
}

/* ---- chain ----------------------------------------------------------------------------------- */

static json_t *tip_json(struct rr_rig *rig)
{
    struct rr_chain_tip tip;
    rr_chain_tip(rig->chain, &tip);
    json_t *out = json_object();
    set(out, "height", number(tip.height));
    set(out, "hash", daemon_json_hash(tip.hash.bytes, 32));
    set(out, "state_root", daemon_json_hash(tip.state_root.bytes, 32));
    set(out, "time_ms", number(tip.time_ms));
    set(out, "reputation_q32", number(tip.r_q32));
    set(out, "difficulty", number(rr_u256_saturate_u64(tip.difficulty)));
    set(out, "next_difficulty", number(rr_u256_saturate_u64(tip.next_difficulty)));
    set(out, "finalized_height", number(tip.finalized_height));
    set(out, "mempool", number(tip.mempool));
    set(out, "network", json_string(rig->config.genesis.name));
    set(out, "chain_id", number(rr_genesis_chain_id(&rig->config.genesis)));
    pthread_mutex_lock(&rig->lock);
    set(out, "blocks_mined", number(rig->blocks_mined));
    set(out, "certificates_mined", number(rig->certificates_mined));
    set(out, "best_reputation_q32", number(rig->best_r_q32));
    pthread_mutex_unlock(&rig->lock);
    return out;
}

static json_t *header_json(const struct rr_header *header)
{
    struct rr_hash32 hash;
    rr_header_hash(&hash, header);
    json_t *out = json_object();
    set(out, "height", number(header->height));
    set(out, "hash", daemon_json_hash(hash.bytes, 32));
    set(out, "parent", daemon_json_hash(header->parent.bytes, 32));
    set(out, "time_ms", number(header->time_ms));
    set(out, "difficulty", number(rr_u256_saturate_u64(header->difficulty)));
    set(out, "state_root", daemon_json_hash(header->state_root.bytes, 32));
    set(out, "certificate_sets", number(header->sets));
    set(out, "service_ms", number(header->total_ms));
    set(out, "reputation_q32", number(header->r_q32));
    set(out, "miner", daemon_json_hash(header->miner.bytes, 32));
    return out;
}

json_t *daemon_view_chain(struct rr_rig *rig, uint64_t count)
{
    struct rr_chain_tip tip;
    json_t *out = tip_json(rig);
    json_t *blocks = json_array();
    rr_chain_tip(rig->chain, &tip);
    for (uint64_t i = 0; i < count && i <= tip.height; i++) {
        struct rr_header header;
        if (rr_chain_header(rig->chain, tip.height - i, &header, NULL) != RR_OK) {
            break;
        }
        json_array_append_new(blocks, header_json(&header));
    }
    set(out, "blocks", blocks);
    return out;
}

static const char *tx_type_text(enum rr_tx_type type)
{
    switch (type) {
    case RR_TX_TRANSFER:
        return "transfer";
    case RR_TX_CREATE_POOL:
        return "create_pool";
    case RR_TX_REFILL_POOL:
        return "refill_pool";
    case RR_TX_SETTLE:
        return "settle";
    case RR_TX_RELEASE_POOL:
        return "release_pool";
    case RR_TX_OPEN_CONTRACT:
        return "open_contract";
    case RR_TX_CLAIM:
        return "claim";
    case RR_TX_ATTESTATION:
        return "attestation";
    }
    return "unknown";
}

json_t *daemon_view_block(struct rr_rig *rig, uint64_t height)
{
    struct rr_block block;
    if (rr_chain_block(rig->chain, height, &block, NULL) != RR_OK) {
        return NULL;
    }
    json_t *out = header_json(&block.header);
    json_t *txs = json_array();
    for (uint32_t i = 0; i < block.tx_count; i++) {
        struct rr_hash32 id;
        struct rr_address sender;
        rr_tx_id(&id, &block.txs[i]);
        rr_address_of(&sender, &block.txs[i].sender);
        json_t *tx = json_object();
        set(tx, "id", daemon_json_hash(id.bytes, 32));
        set(tx, "type", json_string(tx_type_text(block.txs[i].type)));
        set(tx, "sender", address_json(rig, &sender));
        set(tx, "sequence", number(block.txs[i].sequence));
        set(tx, "fee", daemon_json_coin(block.txs[i].fee));
        json_array_append_new(txs, tx);
    }
    set(out, "transactions", txs);
    rr_block_clear(&block);
    return out;
}

/* ---- pools, wallet, store, serving ----------------------------------------------------------- */

struct pool_list {
    struct rr_rig *rig;
    json_t *list;
};

static json_t *pool_json(struct rr_rig *rig, const struct rr_hash32 *pool_id,
                         const struct rr_pool_state *pool)
{
    struct rr_address owner;
    struct rr_pool_target target = {0};
    rr_address_of(&owner, &pool->owner);
    json_t *out = json_object();
    set(out, "pool", daemon_json_hash(pool_id->bytes, 32));
    set(out, "resource", daemon_json_hash(pool->resource_id.bytes, 32));
    set(out, "owner", address_json(rig, &owner));
    set(out, "deposit", daemon_json_coin(pool->deposit));
    set(out, "deposit_left", daemon_json_coin(pool->deposit_left));
    set(out, "collateral", daemon_json_coin(pool->collateral));
    set(out, "created_height", number(pool->created_height));
    set(out, "end_height", number(pool->end_height));
    if (rr_chain_pool_target(rig->chain, pool_id, &rig->address, &target, NULL) == RR_OK) {
        set(out, "settled_here", daemon_json_coin(target.settled));
    }
    return out;
}

static bool add_pool(void *ctx, const struct rr_hash32 *pool_id, const struct rr_pool_state *pool)
{
    struct pool_list *pools = ctx;
    json_array_append_new(pools->list, pool_json(pools->rig, pool_id, pool));
    return json_array_size(pools->list) < VISIT_MAX;
}

json_t *daemon_view_pool(struct rr_rig *rig, const struct rr_hash32 *pool_id)
{
    struct rr_pool_state pool;
    return rr_chain_pool(rig->chain, pool_id, &pool, NULL) == RR_OK ? pool_json(rig, pool_id, &pool)
                                                                    : NULL;
}

static bool add_sale(void *ctx, const struct rr_till_pool *pool)
{
    struct pool_list *sales = ctx;
    struct rr_address viewer;
    rr_address_of(&viewer, &pool->viewer);
    json_t *out = json_object();
    set(out, "pool", daemon_json_hash(pool->pool_id.bytes, 32));
    set(out, "resource", daemon_json_hash(pool->resource_id.bytes, 32));
    set(out, "viewer", address_json(sales->rig, &viewer));
    set(out, "paid", daemon_json_coin(pool->paid));
    set(out, "settled", daemon_json_coin(pool->settled));
    set(out, "unit_price", daemon_json_coin(pool->unit_price));
    set(out, "units", number(pool->units));
    set(out, "end_height", number(pool->end_height));
    set(out, "puzzles", number(pool->service.puzzles));
    set(out, "puzzles_missing", number(pool->service.missing));
    set(out, "work_share", json_real(pool->service.share));
    set(out, "withholds", json_boolean(pool->service.withheld || pool->dropped));
    set(out, "dropped", json_boolean(pool->dropped));
    json_array_append_new(sales->list, out);
    return json_array_size(sales->list) < VISIT_MAX;
}

static json_t *pay_json(struct rr_rig *rig)
{
    struct rr_till_stats stats;
    rr_till_stats(rig->till, &stats);
    json_t *out = json_object();
    json_t *reasons = json_object();
    uint64_t not_taken = 0;
    for (size_t i = RR_PROOF_ACCEPTED + 1; i < RR_PROOF_REFUSAL_COUNT; i++) {
        not_taken += stats.certificates_refused[i];
        set(reasons, rr_proof_refusal_text((enum rr_proof_refusal)i),
            number(stats.certificates_refused[i]));
    }
    set(out, "certificates_refused", number(not_taken));
    set(out, "certificates_refused_for", reasons);
    set(out, "withheld", number(stats.withheld));
    set(out, "dropped_viewers", number(stats.dropped_viewers));
    set(out, "held_pools", number(stats.held_pools));
    set(out, "held", daemon_json_coin(stats.held));
    set(out, "sessions", number(stats.sessions));
    set(out, "paid_units", number(stats.paid_units));
    set(out, "settled_units", number(stats.settled_units));
    set(out, "paid", daemon_json_coin(stats.paid));
    set(out, "settled", daemon_json_coin(stats.settled));
    set(out, "certificates", number(stats.certificates));
    set(out, "refused", number(stats.refused));
    return out;
}

json_t *daemon_view_pools(struct rr_rig *rig)
{
    struct pool_list pools = {.rig = rig, .list = json_array()};
    struct pool_list sales = {.rig = rig, .list = json_array()};
    struct rr_fault fault = {0};
    if (rr_chain_visit_pools(rig->chain, add_pool, &pools, &fault) != RR_OK ||
        rr_till_visit(rig->till, add_sale, &sales, &fault) != RR_OK) {
        rr_log_fault(RR_LOG_WARN, "api", &fault);
    }
    json_t *out = pay_json(rig);
    set(out, "pools", pools.list);
    set(out, "sales", sales.list);
    return out;
}

json_t *daemon_view_wallet(struct rr_rig *rig)
{
    struct rr_account account = {0};
    struct rr_fault fault = {0};
    if (rr_chain_account(rig->chain, &rig->address, &account, &fault) != RR_OK) {
        rr_log_fault(RR_LOG_WARN, "api", &fault);
    }
    json_t *out = json_object();
    set(out, "address", address_json(rig, &rig->address));
    set(out, "key", daemon_json_hash(rig->public_key.bytes, 32));
    set(out, "balance", daemon_json_coin(account.balance));
    set(out, "sequence", number(account.sequence));
    return out;
}

json_t *daemon_view_store(struct rr_rig *rig)
{
    struct rr_store_stats stats;
    rr_store_stats(rig->store, &stats);
    json_t *out = json_object();
    set(out, "objects", number(stats.objects));
    set(out, "shards", number(stats.shards));
    set(out, "bytes", number(stats.bytes));
    set(out, "shards_missing", number(stats.shards_missing));
    set(out, "shards_damaged", number(stats.shards_damaged));
    set(out, "shards_repaired", number(stats.shards_repaired));
    set(out, "repair_queue", number(stats.repair_queue));
    set(out, "degraded_reads", number(stats.degraded_reads));
    set(out, "quota_bytes", number(stats.quota_bytes));
    set(out, "free_bytes", number(stats.free_bytes));
    return out;
}

static json_t *serve_json(struct rr_rig *rig)
{
    struct rr_serve_stats stats;
    rr_serve_stats(rig->serve, &stats);
    json_t *out = json_object();
    set(out, "url",
        json_sprintf("http://%s:%u", rig->config.serve_address,
                     (unsigned)rr_serve_port(rig->serve)));
    set(out, "requests", number(stats.requests));
    set(out, "bytes", number(stats.bytes));
    set(out, "segments", number(stats.segments));
    set(out, "connections", number(stats.connections));
    set(out, "payment_required", number(stats.payment_required));
    set(out, "bad_requests", number(stats.bad_requests));
    set(out, "cache_hits", number(stats.cache_hits));
    set(out, "cache_misses", number(stats.cache_misses));
    return out;
}

json_t *daemon_view_status(struct rr_rig *rig)
{
    json_t *out = json_object();
    json_t *hash = json_object();
    char alarm[160];
    set(hash, "hashes_per_s", number(rig->engine != NULL ? rr_hash_engine_rate(rig->engine) : 0));
    set(hash, "device",
        json_string(rig->engine != NULL ? rr_hash_engine_text(rig->engine) : "off"));
    set(hash, "devices", daemon_devices_view(rig->devices));
    set(hash, "share_percent", daemon_devices_shares(rig->devices));
    set(hash, "next_epoch_ready",
        json_boolean(rig->engine != NULL && rr_hash_engine_next_ready(rig->engine)));
    daemon_devices_alarm(rig->devices, alarm);
    set(hash, "alarm", alarm[0] != '\0' ? json_string(alarm) : json_null());
    set(out, "version", json_string(RR_VERSION));
    set(out, "uptime_s", number((rr_wall_ms(rig->clock) - rig->started_ms) / 1000));
    set(out, "data", json_string(rig->data));
    set(out, "wallet", daemon_view_wallet(rig));
    set(out, "chain", tip_json(rig));
    set(out, "hash", hash);
    set(out, "stratum", daemon_stratum_json(rig->stratum));
    set(out, "mining_pool", daemon_mining_pool_json(rig->mining_pool));
    set(out, "store", daemon_view_store(rig));
    set(out, "serve", serve_json(rig));
    set(out, "pay", pay_json(rig));
    set(out, "jobs", daemon_view_jobs(rig));
    return out;
}

enum rr_err daemon_view_objects(struct rr_rig *rig, const struct rr_hash32 *resource_id,
                                json_t **out, struct rr_fault *fault)
{
    struct rr_manifest manifest;
    enum rr_err err = rr_store_manifest(rig->store, &manifest, resource_id, fault);
    if (err != RR_OK) {
        return err;
    }
    json_t *list = json_array();
    for (uint32_t i = 0; i < manifest.object_count && err == RR_OK; i++) {
        const struct rr_object *object = &manifest.objects[i];
        json_t *shards = json_array();
        for (unsigned j = 0; j < (unsigned)object->k + object->m && err == RR_OK; j++) {
            char path[RR_PATH_BYTES];
            err = rr_store_shard_path(rig->store, path, &object->object_id, (uint8_t)j, fault);
            if (err == RR_OK) {
                json_array_append_new(shards, json_string(path));
            }
        }
        json_t *row = json_object();
        set(row, "object", daemon_json_hash(object->object_id.bytes, 32));
        set(row, "bytes", number(object->length));
        set(row, "k", number(object->k));
        set(row, "m", number(object->m));
        set(row, "original", json_boolean(i == manifest.original));
        set(row, "shards", shards);
        json_array_append_new(list, row);
    }
    rr_manifest_clear(&manifest);
    if (err != RR_OK) {
        json_decref(list);
        return err;
    }
    *out = json_pack("{s:o}", "objects", list);
    return RR_OK;
}

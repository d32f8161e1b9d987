/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The next block, all but its work. */
#include "ledger/ledger_chain.h"

#include <string.h>

struct building {
    struct rr_chain *chain;
    struct ledger_rules rules;
    struct ledger_view view;
    struct rr_block block;
    uint64_t weight;
    struct rr_coin fees;
};

/* Takes what still fits and holds; the rest waits. */
static enum rr_err take_class(struct building *building, uint32_t class, struct rr_fault *fault)
{
    const struct mempool *pool = &building->chain->mempool;
    struct ledger_pick *picks = rr_alloc_array(pool->count + 1, sizeof *picks);
    uint32_t count = 0;
    for (uint32_t i = 0; i < pool->count; i++) {
        if (ledger_tx_class(pool->list[i]->tx.type) == class) {
            picks[count++] =
                (struct ledger_pick){.tx = &pool->list[i]->tx, .id = pool->list[i]->id, .index = i};
        }
    }
    struct ledger_picker *picker = ledger_picker_new(picks, count);
    const struct ledger_pick *pick;
    enum rr_err err = RR_OK;
    while (err == RR_OK && (pick = ledger_picker_next(picker)) != NULL) {
        uint64_t weight = pool->list[pick->index]->weight;
        struct rr_coin fee;
        if (building->weight + weight > building->chain->genesis.block_bytes_max ||
            building->block.tx_count == RR_BLOCK_TXS_MAX) {
            ledger_picker_drop(picker);
            continue;
        }
        err = ledger_apply_tx(&building->rules, &building->view, pick->tx, &fee, fault);
        if (err != RR_OK && ledger_is_refusal(err)) {
            ledger_picker_drop(picker);
            err = RR_OK;
        } else if (err == RR_OK) {
            building->weight += weight;
            building->block.txs[building->block.tx_count++] = *pick->tx;
            bool fits = rr_coin_add(&building->fees, building->fees, fee);
            RR_CHECK(fits); /* fees are coins that exist */
        }
    }
    ledger_picker_free(picker);
    rr_free(picks);
    return err;
}

/* [THETA-18 eq. 10] BLAKE2b-256("rr.certdig.v1", T_total u64 || every certificate, set by set). */
static void set_digest(struct rr_header *header, const struct rr_certificate_set *sets,
                       uint32_t set_count)
{
    struct rr_hasher hasher;
    struct rr_buf bytes = {0};
    rr_hasher_init(&hasher, "rr.certdig.v1");
    rr_write_u64(&bytes, header->total_ms);
    rr_hasher_add(&hasher, bytes.ptr, bytes.len);
    for (uint32_t i = 0; i < set_count; i++) {
        for (uint32_t k = 0; k < sets[i].count; k++) {
            rr_buf_clear(&bytes);
            rr_certificate_encode(&bytes, &sets[i].entries[k].certificate);
            rr_hasher_add(&hasher, bytes.ptr, bytes.len);
        }
    }
    rr_buf_clear(&bytes);
    rr_hasher_final(&hasher, &header->cert_digest);
}

static enum rr_err fill_sets(const struct rr_genesis *genesis, struct rr_header *header,
                             const struct rr_certificate_set *sets, uint32_t set_count,
                             const struct rr_rule_past *past, struct rr_fault *fault)
{
    struct rr_hash32 leaves[RR_HEADER_SETS_MAX];
    uint64_t certificates = 0;
    if (set_count > RR_HEADER_SETS_MAX) {
        return rr_fail(fault, RR_ERR_LIMIT, "%u certificate sets are given, a header holds %d",
                       set_count, RR_HEADER_SETS_MAX);
    }
    header->sets = (uint16_t)set_count;
    for (uint32_t i = 0; i < set_count; i++) {
        header->set_ms[i] = rr_certificate_set_ms(&sets[i]);
        certificates += sets[i].count;
        rr_certificate_set_leaf(&leaves[i], (uint16_t)i, &sets[i]);
        if (sets[i].count > RR_CERTIFICATE_SET_MAX ||
            header->set_ms[i] > ledger_set_cap_ms(genesis, sets[i].count) ||
            __builtin_add_overflow(header->total_ms, header->set_ms[i], &header->total_ms)) {
            return rr_fail(fault, RR_ERR_LIMIT,
                           "certificate set %u claims %llu ms, more than its %u certificates earn",
                           i, (unsigned long long)header->set_ms[i], sets[i].count);
        }
    }
    if (certificates > genesis->certificates_per_block) {
        return rr_fail(fault, RR_ERR_LIMIT,
                       "%llu certificates are given, a block counts at most %u",
                       (unsigned long long)certificates, genesis->certificates_per_block);
    }
    if (set_count != 0) {
        rr_merkle_root(&header->cert_root, leaves, set_count);
        set_digest(header, sets, set_count);
    }
    header->r_q32 = ledger_reputation(genesis, header->total_ms, past->mean_difficulty);
    return RR_OK;
}

static enum rr_err fill_header(struct building *building, struct rr_db_txn *txn,
                               const struct rr_pubkey *miner, const struct rr_certificate_set *sets,
                               uint32_t set_count, struct rr_fault *fault)
{
    struct rr_chain *chain = building->chain;
    struct rr_header *header = &building->block.header;
    struct rr_rule_past past;
    enum rr_err err = store_past(chain, txn, building->rules.height, &past, fault);
    if (err != RR_OK) {
        return err;
    }
    header->chain_id = chain->chain_id;
    header->height = building->rules.height;
    header->parent = chain->tip_hash;
    header->miner = *miner;
    header->checkpoint_ref = past.checkpoint;
    header->time_ms = rr_wall_ms(chain->clock);
    if (header->time_ms <= past.median_time_ms) {
        header->time_ms = past.median_time_ms + 1; /* this clock runs behind the chain's */
    }
    header->difficulty = rr_rule_difficulty(&chain->genesis, header->height, chain->tip.time_ms,
                                            past.anchor_time_ms);
    return fill_sets(&chain->genesis, header, sets, set_count, &past, fault);
}

static enum rr_err fill_body(struct building *building, struct rr_fault *fault)
{
    struct rr_header *header = &building->block.header;
    enum rr_err err = ledger_begin_block(&building->rules, &building->view, fault);
    for (uint32_t class = 0; err == RR_OK && class < 3; class ++) {
        err = take_class(building, class, fault);
    }
    if (err == RR_OK) {
        err = ledger_end_block(&building->rules, &building->view, &header->miner, header->r_q32,
                               building->fees, fault);
    }
    if (err == RR_OK) {
        rr_block_tx_root(&header->tx_root, building->block.txs, building->block.tx_count);
        ledger_attest_root(&header->attest_root, building->block.txs, building->block.tx_count);
    }
    return err;
}

static enum rr_err build(struct rr_chain *chain, struct rr_db_txn *txn,
                         struct rr_block_template *out, const struct rr_pubkey *miner,
                         const struct rr_certificate_set *sets, uint32_t set_count,
                         struct rr_fault *fault)
{
    struct ledger_view below = store_view(txn);
    struct ledger_overlay *overlay = ledger_overlay_new(&below);
    struct building building = {.chain = chain,
                                .rules = chain_rules(chain, chain->tip.height + 1),
                                .view = ledger_overlay_view(overlay)};
    struct ledger_sum sum;
    building.rules.signatures_known = true; /* checked when they came in */
    memset(&building.block.header, 0, sizeof building.block.header);
    building.block.txs = rr_alloc_array(chain->mempool.count + 1, sizeof *building.block.txs);
    enum rr_err err = fill_header(&building, txn, miner, sets, set_count, fault);
    if (err == RR_OK) {
        err = fill_body(&building, fault);
    }
    if (err == RR_OK) {
        err = store_sum(txn, &sum, fault);
    }
    if (err == RR_OK) {
        struct rr_hash32 hash;
        ledger_sum_overlay(&sum, overlay);
        ledger_sum_root(&building.block.header.state_root, &sum);
        rr_header_work_hash(&hash, &building.block.header);
        memcpy(out->work_hash, hash.bytes, sizeof out->work_hash);
        out->block = building.block;
    } else {
        rr_block_clear(&building.block);
    }
    ledger_overlay_free(overlay);
    return err;
}

enum rr_err rr_chain_template(struct rr_chain *chain, struct rr_block_template *out,
                              const struct rr_pubkey *miner, const struct rr_certificate_set *sets,
                              uint32_t set_count, struct rr_fault *fault)
{
    struct rr_db_txn *txn;
    pthread_mutex_lock(&chain->lock);
    enum rr_err err = rr_db_begin(chain->db, false, &txn, fault);
    if (err == RR_OK) {
        err = build(chain, txn, out, miner, sets, set_count, fault);
        rr_db_abort(txn);
    }
    pthread_mutex_unlock(&chain->lock);
    return err;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Blocks, undo, opening, proofs, replay. */
#include "ledger_txs.h"

#include "db/db.h"

/* Roots of a body that a test has changed. */
static void reroot(struct rr_block *block)
{
    rr_block_tx_root(&block->header.tx_root, block->txs, block->tx_count);
}

static void refuse_block(struct world *world, const struct rr_block *block, enum rr_err code,
                         const char *text)
{
    struct rr_chain_tip before;
    struct rr_chain_tip after;
    rr_chain_tip(world->chain, &before);
    assert_int_equal(world_append(world, block), code);
    if (strstr(world->fault.text, text) == NULL) {
        fail_msg("expected \"%s\" in \"%s\"", text, world->fault.text);
    }
    rr_chain_tip(world->chain, &after);
    assert_memory_equal(&before.hash, &after.hash, 32);
    assert_int_equal(before.mempool, after.mempool);
}

/* ---- blocks ----------------------------------------------------------------- */
static void a_block_is_refused_for_each_field_that_is_wrong(void **state)
{
    (void)state;
    struct world w;
    world_rich(&w);
    struct rr_tx tx = world_transfer(&w, 1, 2, COIN);
    world_accept(&w, &tx);
    struct rr_block good;
    w.now_ms += 2000;
    world_template(&w, &good, 0);
    struct rr_block b = good;
    b.header.chain_id++;
    refuse_block(&w, &b, RR_ERR_TRUST, "chain");
    b = good;
    b.header.height++;
    refuse_block(&w, &b, RR_ERR_STATE, "extend the tip");
    b = good;
    b.header.parent.bytes[0] ^= 1;
    refuse_block(&w, &b, RR_ERR_STATE, "extend the tip");
    b = good;
    b.header.time_ms = w.now_ms + 60001;
    refuse_block(&w, &b, RR_ERR_TRUST, "ahead of this clock");
    b = good;
    b.header.time_ms = w.now_ms - 12 * 2000;
    refuse_block(&w, &b, RR_ERR_TRUST, "median");
    b = good;
    b.header.difficulty = rr_u256_of(7);
    refuse_block(&w, &b, RR_ERR_TRUST, "difficulty");
    b = good;
    b.header.tx_root.bytes[0] ^= 1;
    refuse_block(&w, &b, RR_ERR_TRUST, "do not hash");
    b = good;
    b.header.attest_root.bytes[0] ^= 1;
    refuse_block(&w, &b, RR_ERR_TRUST, "attestations");
    b = good;
    b.header.state_root.bytes[0] ^= 1;
    refuse_block(&w, &b, RR_ERR_TRUST, "another state");
    b = good;
    b.header.r_q32 = 1;
    refuse_block(&w, &b, RR_ERR_TRUST, "reputation");
    b = good;
    b.header.checkpoint_ref.bytes[0] ^= 1;
    refuse_block(&w, &b, RR_ERR_TRUST, "checkpoint");
    b = good;
    b.header.miner = w.pub[1]; /* its reward is in the state root */
    refuse_block(&w, &b, RR_ERR_TRUST, "another state");
    b = good;
    b.header.mix.bytes[0] = 0xbd;
    refuse_block(&w, &b, RR_ERR_TRUST, "work");
    b = good;
    b.tx_count = 0; /* transactions held back */
    refuse_block(&w, &b, RR_ERR_TRUST, "do not hash");
    reroot(&b);
    refuse_block(&w, &b, RR_ERR_TRUST, "another state");
    b = good;
    struct rr_tx twice[2] = {good.txs[0], good.txs[0]};
    b.txs = twice;
    b.tx_count = 2;
    reroot(&b);
    refuse_block(&w, &b, RR_ERR_STATE, "sequence");
    b = good;
    struct rr_tx changed = good.txs[0];
    changed.body.transfer.amount = units(2);
    b.txs = &changed;
    reroot(&b);
    refuse_block(&w, &b, RR_ERR_TRUST, "signature");
    b = good;
    b.header.time_ms = w.now_ms + 60000; /* the last moment that counts */
    assert_int_equal(world_append(&w, &b), RR_OK);
    rr_block_clear(&good);
    world_audit(&w);
    world_clear(&w);
}

static void time_may_step_back_as_far_as_the_median(void **state)
{
    (void)state;
    struct world w;
    world_init(&w);
    world_open(&w);
    world_mine_many(&w, 0, 20);
    struct rr_header header;
    uint64_t sixth;
    assert_int_equal(rr_chain_header(w.chain, 15, &header, NULL), RR_OK); /* middle of 10..20 */
    sixth = header.time_ms;
    struct rr_block block;
    world_template(&w, &block, 0);
    block.header.time_ms = sixth;
    refuse_block(&w, &block, RR_ERR_TRUST, "median");
    block.header.time_ms = sixth + 1;
    assert_int_equal(world_append(&w, &block), RR_OK);
    rr_block_clear(&block);
    world_clear(&w);
}

static void transactions_stand_in_rule_order(void **state)
{
    (void)state;
    struct world w;
    world_rich(&w);
    struct rr_hash32 pool = world_pool(&w, 1, 10 * COIN, 20 * COIN, 0, 3);
    struct rr_hash32 old = world_pool(&w, 2, 10 * COIN, 20 * COIN, 0, 3);
    world_mine_many(&w, 0, 9);
    struct rr_tx low = world_transfer(&w, 3, 5, COIN);
    struct rr_tx high = world_transfer(&w, 4, 5, COIN);
    high.fee = units(rr_coin_units(high.fee) * 3);
    rr_tx_sign(&high, w.keys[4]);
    struct rr_voucher v = world_voucher(&w, &pool, 1, 6, COIN, 1);
    struct rr_tx settle = world_settle(&w, &v, 6);
    world_accept(&w, &low);
    world_accept(&w, &high);
    world_accept(&w, &settle);
    world_mine(&w, 7); /* `old` is due one block later than `pool` */
    struct rr_block block;
    assert_int_equal(rr_chain_block(w.chain, world_height(&w), &block, NULL), RR_OK);
    assert_int_equal(block.tx_count, 3);
    assert_int_equal(block.txs[0].type, RR_TX_SETTLE);
    assert_memory_equal(&block.txs[1].sender, &w.pub[4], 32);
    assert_memory_equal(&block.txs[2].sender, &w.pub[3], 32);
    rr_block_clear(&block);
    world_mine(&w, 0);
    struct rr_tx release = world_release(&w, &pool, 1);
    low = world_transfer(&w, 3, 5, COIN);
    high = world_transfer(
        &w, 3, 5, 2 * COIN); /* next of the same account, higher fee: still after its first */
    world_accept(&w, &low);
    high = world_transfer(&w, 3, 5, 2 * COIN);
    high.fee = units(rr_coin_units(high.fee) * 5);
    rr_tx_sign(&high, w.keys[3]);
    world_accept(&w, &high);
    world_accept(&w, &release);
    (void)old;
    w.now_ms += 2000;
    world_template(&w, &block, 0);
    assert_int_equal(block.tx_count, 3);
    assert_int_equal(block.txs[0].type, RR_TX_RELEASE_POOL);
    assert_int_equal(block.txs[1].sequence + 1, block.txs[2].sequence);
    struct rr_tx swapped[3] = {block.txs[1], block.txs[0], block.txs[2]};
    struct rr_block bad = block;
    bad.txs = swapped;
    reroot(&bad);
    refuse_block(&w, &bad, RR_ERR_TRUST, "out of order");
    struct rr_tx late[3] = {block.txs[0], block.txs[2], block.txs[1]};
    bad.txs = late;
    reroot(&bad);
    refuse_block(&w, &bad, RR_ERR_TRUST, "out of order");
    assert_int_equal(world_append(&w, &block), RR_OK);
    rr_block_clear(&block);
    world_audit(&w);
    world_clear(&w);
}

static void a_block_weighs_no_more_than_the_genesis_allows(void **state)
{
    (void)state;
    struct world w;
    world_init(&w);
    w.genesis.block_bytes_max = 1000;
    world_open(&w);
    world_mine_many(&w, 1, 2);
    for (int i = 0; i < 10; i++) {
        struct rr_tx tx = world_transfer(&w, 1, 2, 10);
        world_accept(&w, &tx);
    }
    struct rr_block block;
    w.now_ms += 2000;
    world_template(&w, &block, 0);
    struct rr_buf bytes = {0};
    for (uint32_t i = 0; i < block.tx_count; i++) {
        rr_tx_encode(&bytes, &block.txs[i]);
    }
    assert_true(block.tx_count >= 2 && block.tx_count < 10 && bytes.len <= 1000);
    rr_buf_clear(&bytes);
    struct rr_tx many[8];
    for (int i = 0; i < 8; i++) {
        many[i] = world_transfer(&w, 1, 2, 10);
    }
    struct rr_block bad = block;
    bad.txs = many;
    bad.tx_count = 8;
    reroot(&bad);
    refuse_block(&w, &bad, RR_ERR_LIMIT, "weigh");
    assert_int_equal(world_append(&w, &block), RR_OK);
    rr_block_clear(&block);
    for (int i = 0; i < 6; i++) {
        world_mine(&w, 0);
    }
    assert_int_equal(world_waiting(&w), 0); /* the rest came later */
    world_clear(&w);
}

/* ---- reputation ------------------------------------------------------------- */
static void make_sets(struct world *world, struct rr_certificate_set *set, uint32_t count,
                      uint64_t credit_ms)
{
    set->count = count;
    set->entries = rr_alloc_array(count, sizeof *set->entries);
    for (uint32_t i = 0; i < count; i++) {
        struct rr_certificate *certificate = &set->entries[i].certificate;
        certificate->chain_id = rr_genesis_chain_id(&world->genesis);
        certificate->cacher = world->pub[1];
        certificate->block_height = i;
        rr_certificate_sign(certificate, world->keys[2]);
        set->entries[i].credit_ms = credit_ms;
    }
}

/* What is kept is read back only when it is what the header of that height commits to. */
static void check_kept(struct world *w, struct rr_certificate_set *sets)
{
    struct rr_certificate_set *read;
    uint32_t count = 9;
    assert_int_equal(rr_chain_sets(w->chain, 1, &read, &count, &w->fault), RR_ERR_NOTFOUND);
    assert_int_equal(rr_chain_keep_sets(w->chain, 1, sets, 1, &w->fault), RR_OK);
    assert_int_equal(rr_chain_sets(w->chain, 1, &read, &count, &w->fault), RR_ERR_NOTFOUND);
    assert_int_equal(rr_chain_keep_sets(w->chain, 1, sets, 2, &w->fault), RR_OK);
    assert_int_equal(rr_chain_sets(w->chain, 1, &read, &count, &w->fault), RR_OK);
    assert_int_equal(count, 2);
    for (uint32_t s = 0; s < count; s++) {
        assert_int_equal(read[s].count, sets[s].count);
        assert_int_equal(rr_certificate_set_ms(&read[s]), rr_certificate_set_ms(&sets[s]));
        rr_certificate_set_clear(&read[s]);
    }
    rr_free(read);
    sets[1].entries[0].certificate.nonce++; /* of a block that was never appended */
    assert_int_equal(rr_chain_keep_sets(w->chain, 1, sets, 2, &w->fault), RR_OK);
    assert_int_equal(rr_chain_sets(w->chain, 1, &read, &count, &w->fault), RR_ERR_NOTFOUND);
    sets[1].entries[0].certificate.nonce--;
    assert_int_equal(rr_chain_keep_sets(w->chain, 1, sets, 2, &w->fault), RR_OK);
    assert_int_equal(rr_chain_sets(w->chain, 2, &read, &count, &w->fault), RR_ERR_NOTFOUND);
    assert_int_equal(rr_chain_sets(w->chain, 0, &read, &count, &w->fault), RR_OK);
    assert_int_equal(count, 0);
    assert_null(read);
}

static void certificates_raise_the_reward_and_the_bonus_waits_in_escrow(void **state)
{
    (void)state;
    struct world w;
    world_init(&w);
    w.genesis.difficulty = rr_u256_of(100000);
    world_open(&w);
    struct rr_certificate_set sets[2];
    make_sets(&w, &sets[0], 8, 8000);
    make_sets(&w, &sets[1], 3, 5000);
    struct rr_block_template template;
    w.now_ms += 2000;
    assert_int_equal(rr_chain_template(w.chain, &template, &w.pub[1], sets, 2, &w.fault), RR_OK);
    struct rr_block block = template.block;
    assert_int_equal(block.header.sets, 2);
    assert_int_equal(block.header.total_ms, 8 * 8000 + 3 * 5000);
    /* y = T s / (W blocks x D) = 79 s x 1000 / (100 x 100000) in Q32: small, so r ~ y / 2. */
    uint64_t y = (UINT64_C(79) * 1000 << 32) / (100 * 100000);
    assert_true(block.header.r_q32 > y / 2 - 1000 && block.header.r_q32 < y / 2 + 1000);
    struct rr_hash32 hash;
    rr_header_work_hash(&hash, &block.header);
    assert_memory_equal(hash.bytes, template.work_hash, 32);
    struct rr_block bad = block;
    bad.header.set_ms[0] += 1000;
    bad.header.total_ms += 1000; /* r no longer fits its sums */
    refuse_block(&w, &bad, RR_ERR_TRUST, "reputation");
    assert_int_equal(world_append(&w, &block), RR_OK);
    check_kept(&w, sets);
    assert_int_equal(world_balance(&w, 1), 50 * COIN); /* base at once */
    struct rr_coin bonus;
    assert_true(
        rr_coin_scale(&bonus, w.genesis.base_reward, block.header.r_q32, UINT64_C(1) << 32));
    assert_true(rr_coin_units(bonus) > 0);
    struct rr_chain_audit audit;
    assert_int_equal(rr_chain_audit(w.chain, &audit, &w.fault), RR_OK);
    assert_int_equal(rr_coin_units(audit.escrow), rr_coin_units(bonus));
    world_mine_many(&w, 0, 7);
    assert_int_equal(world_balance(&w, 1), 50 * COIN);
    world_mine(&w, 0); /* height 9 = 1 + 2 checkpoints of 4 */
    assert_int_equal(world_balance(&w, 1), 50 * COIN + rr_coin_units(bonus));
    world_audit(&w);
    rr_block_clear(&block);
    sets[0].entries[0].credit_ms = 8001; /* more than d T_b for each */
    assert_int_equal(rr_chain_template(w.chain, &template, &w.pub[1], sets, 2, &w.fault),
                     RR_ERR_LIMIT);
    rr_certificate_set_clear(&sets[0]);
    rr_certificate_set_clear(&sets[1]);
    world_clear(&w);
}

/* ---- undo ------------------------------------------------------------------- */
static void undo_brings_every_state_back_and_its_transactions_wait_again(void **state)
{
    (void)state;
    struct world w;
    world_rich(&w);
    struct rr_hash32 roots[9];
    for (int i = 0; i < 9; i++) {
        roots[i] = world_root(&w);
        struct rr_tx tx = world_transfer(&w, 1 + i % 4, 5, COIN + (uint64_t)i);
        world_accept(&w, &tx);
        tx = world_open_contract(&w, 2, 3, 4, COIN, 2);
        world_accept(&w, &tx);
        world_mine(&w, 6);
    }
    uint64_t height = world_height(&w);
    struct rr_hash32 end = world_root(&w);
    for (int i = 8; i >= 1; i--) { /* two checkpoints of 4 */
        assert_int_equal(rr_chain_undo_tip(w.chain, &w.fault), RR_OK);
        struct rr_hash32 root = world_root(&w);
        assert_memory_equal(&root, &roots[i], 32);
        world_audit(&w);
        assert_int_equal(world_waiting(&w), 2 * (9 - (uint64_t)i));
    }
    assert_int_equal(rr_chain_undo_tip(w.chain, &w.fault), RR_ERR_STATE);
    assert_non_null(strstr(w.fault.text, "two checkpoints"));
    world_reopen(&w);
    assert_int_equal(world_height(&w), height - 8);
    assert_int_equal(world_waiting(&w), 16);
    world_mine(&w, 6);
    assert_int_equal(world_waiting(&w), 0);
    world_audit(&w);
    assert_false(rr_hash32_equal(&end, &roots[0]));
    world_clear(&w);
}

/* ---- the state root, made here once more from the text of the specification --- */
static void add_record(uint16_t lanes[static 1024], uint8_t table, const void *key, size_t key_len,
                       struct rr_slice value)
{
    struct rr_buf bytes = {0};
    struct rr_hash32 seed;
    uint8_t stream[2048];
    rr_write_u8(&bytes, table);
    rr_buf_append(&bytes, key, key_len);
    rr_buf_append(&bytes, value.ptr, value.len);
    rr_hash(&seed, "rr.lt.v1", rr_buf_slice(&bytes));
    rr_chacha20_stream(stream, sizeof stream, seed.bytes);
    for (int i = 0; i < 1024; i++) {
        lanes[i] = (uint16_t)(lanes[i] + (stream[2 * i] | stream[2 * i + 1] << 8));
    }
    rr_buf_clear(&bytes);
}

static void the_state_root_is_the_sum_over_all_records(void **state)
{
    (void)state;
    struct world w;
    uint16_t lanes[1024] = {0};
    struct rr_buf value = {0};
    struct rr_buf sum = {0};
    struct rr_hash32 expected;
    world_init(&w);
    world_open(&w);
    world_mine(&w, 3);
    rr_write_u64(&value, 50 * COIN);
    add_record(lanes, 7, "issued", 6, rr_buf_slice(&value));
    rr_write_u64(&value, 0); /* the miner's balance and sequence */
    add_record(lanes, 1, w.address[3].bytes, 20, rr_buf_slice(&value));
    for (int i = 0; i < 1024; i++) {
        rr_write_u16(&sum, lanes[i]);
    }
    rr_hash(&expected, "rr.state", rr_buf_slice(&sum));
    struct rr_hash32 root = world_root(&w);
    assert_memory_equal(&root, &expected, 32);
    rr_buf_clear(&value);
    rr_buf_clear(&sum);
    world_clear(&w);
}

/* ---- opening ---------------------------------------------------------------- */
static void a_chain_comes_back_as_it_was(void **state)
{
    (void)state;
    struct world w;
    world_rich(&w);
    struct rr_chain_tip before;
    struct rr_chain_tip after;
    struct rr_tx tx = world_transfer(&w, 1, 2, COIN);
    world_accept(&w, &tx);
    rr_chain_tip(w.chain, &before);
    world_reopen(&w);
    rr_chain_tip(w.chain, &after);
    assert_memory_equal(&before, &after, sizeof before);
    assert_int_equal(after.mempool, 1);
    world_mine(&w, 0);
    assert_int_equal(world_waiting(&w), 0);
    world_clear(&w);
}

static void another_genesis_is_refused_by_name(void **state)
{
    (void)state;
    struct world w;
    world_rich(&w);
    struct rr_hash32 hash;
    char ours[65];
    char theirs[65];
    rr_genesis_hash(&hash, &w.genesis);
    rr_hex(theirs, hash.bytes, 8); /* the sentence shows as much of each */
    rr_chain_close(w.chain);
    w.chain = NULL;
    struct rr_genesis other = w.genesis;
    other.base_reward = units(7);
    rr_genesis_hash(&hash, &other);
    rr_hex(ours, hash.bytes, 8);
    w.options.genesis = &other;
    assert_int_equal(rr_chain_open(&w.chain, &w.options, &w.fault), RR_ERR_STATE);
    assert_null(w.chain);
    assert_non_null(strstr(w.fault.text, ours));
    assert_non_null(strstr(w.fault.text, theirs));
    w.options.genesis = &w.genesis;
    world_open(&w);
    world_clear(&w);
}

static void a_second_opener_is_refused(void **state)
{
    (void)state;
    struct world w;
    world_init(&w);
    world_open(&w);
    struct rr_chain *second = NULL;
    assert_int_equal(rr_chain_open(&second, &w.options, &w.fault), RR_ERR_BUSY);
    assert_null(second);
    world_clear(&w);
}

/* Changes one record of the database under the chain. */
struct spoil {
    uint32_t table;
    const uint8_t *key;
    size_t key_len;
    const uint8_t *value;
    size_t value_len;
};

static enum rr_err spoil_body(struct rr_db_txn *txn, void *ctx, struct rr_fault *fault)
{
    const struct spoil *spoil = ctx;
    struct rr_slice key = rr_slice_of(spoil->key, spoil->key_len);
    return spoil->value == NULL ? rr_db_delete(txn, spoil->table, key, fault)
                                : rr_db_put(txn, spoil->table, key,
                                            rr_slice_of(spoil->value, spoil->value_len), fault);
}

static void spoil_and_open(struct spoil spoil)
{
    static const char *const tables[] = {"chain",  "accounts", "pools", "pool_targets", "contracts",
                                         "escrow", "due",      "meta",  "headers",      "blocks",
                                         "hashes", "txs",      "undo",  "mempool",      "sets"};
    struct world w;
    struct rr_db *db;
    world_rich(&w);
    rr_chain_close(w.chain);
    w.chain = NULL;
    assert_int_equal(rr_db_open(&db, w.folder, tables, RR_COUNT(tables), &w.fault), RR_OK);
    assert_int_equal(rr_db_write(db, spoil_body, &spoil, &w.fault), RR_OK);
    rr_db_close(db);
    assert_int_equal(rr_chain_open(&w.chain, &w.options, &w.fault), RR_ERR_DAMAGED);
    assert_true(strlen(w.fault.text) > 20);
    assert_null(w.chain);
    world_clear(&w);
}

static void a_folder_whose_parts_do_not_fit_is_refused(void **state)
{
    (void)state;
    static const uint8_t height[8] = {0, 0, 0, 0, 0, 0, 0, 80};
    static const uint8_t beyond[8] = {0, 0, 0, 0, 0, 0, 0, 81};
    uint8_t address[20];
    uint8_t account[16] = {1};
    memset(address, 0xaa, sizeof address);
    spoil_and_open((struct spoil){1, address, 20, account, 16}); /* coins out of nothing */
    spoil_and_open((struct spoil){1, address, 20, account, 15}); /* short record */
    spoil_and_open((struct spoil){0, (const uint8_t *)"tip", 3, NULL, 0});
    spoil_and_open((struct spoil){0, (const uint8_t *)"sum", 3, NULL, 0});
    spoil_and_open((struct spoil){0, (const uint8_t *)"genesis", 7, NULL, 0});
    spoil_and_open((struct spoil){7, (const uint8_t *)"issued", 6, account, 8});
    spoil_and_open((struct spoil){9, height, 8, NULL, 0});
    spoil_and_open((struct spoil){8, height, 8, height, 8});
    spoil_and_open((struct spoil){8, beyond, 8, height, 8});
}

static void state_hash_alone_finds_a_moved_coin(void **state)
{
    (void)state;
    /* Sums hold when a coin moves between two accounts; the state hash does not. A bonus cannot
     * hide it either. */
    uint8_t address[20];
    static const uint8_t empty[16] = {0, 0, 0, 0, 0, 0, 0, 0, 9};
    memset(address, 0xab, sizeof address);
    spoil_and_open((struct spoil){1, address, 20, empty, 16}); /* no coins, sequence 9 */
}

/* ---- proofs ----------------------------------------------------------------- */
static enum rr_err check_proof(struct world *world, const struct rr_tx_proof *proof,
                               const struct rr_header *trusted)
{
    struct rr_header first;
    assert_int_equal(rr_chain_header(world->chain, 1, &first, NULL), RR_OK);
    world->fault = (struct rr_fault){0};
    return rr_rule_check_proof(&world->genesis, proof, trusted, first.time_ms, world_work, NULL,
                               &world->fault);
}

static void a_proof_holds_and_every_change_of_it_does_not(void **state)
{
    (void)state;
    struct world w;
    world_rich(&w);
    struct rr_tx txs[5];
    struct rr_hash32 id;
    for (int i = 0; i < 5; i++) {
        txs[i] = world_transfer(&w, 1, 2, 100 + (uint64_t)i);
        world_accept(&w, &txs[i]);
    }
    world_mine(&w, 0);
    rr_tx_id(&id, &txs[3]);
    struct rr_header genesis;
    struct rr_header trusted;
    rr_rule_genesis_header(&w.genesis, &genesis);
    uint64_t height = world_height(&w);
    assert_int_equal(rr_chain_header(w.chain, height - 20, &trusted, NULL), RR_OK);
    struct rr_tx_proof proof;
    assert_int_equal(rr_chain_prove_tx(w.chain, &proof, &id, 0, &w.fault), RR_OK);
    assert_int_equal(proof.header_count, height);
    assert_int_equal(check_proof(&w, &proof, &genesis), RR_OK);
    assert_int_equal(check_proof(&w, &proof, &trusted), RR_ERR_TRUST); /* starts elsewhere */
    rr_tx_proof_clear(&proof);
    assert_int_equal(rr_chain_prove_tx(w.chain, &proof, &id, height - 20, &w.fault), RR_OK);
    assert_int_equal(check_proof(&w, &proof, &trusted), RR_OK);

    struct rr_tx_proof bad = proof;
    bad.tx.body.transfer.amount = units(1);
    assert_int_equal(check_proof(&w, &bad, &trusted), RR_ERR_TRUST);
    bad = proof;
    bad.tx.signature.bytes[0] ^= 1;
    assert_int_equal(check_proof(&w, &bad, &trusted), RR_ERR_TRUST);
    bad = proof;
    bad.place.index ^= 1;
    assert_int_equal(check_proof(&w, &bad, &trusted), RR_ERR_TRUST);
    bad = proof;
    bad.place.siblings[0].bytes[0] ^= 1;
    assert_int_equal(check_proof(&w, &bad, &trusted), RR_ERR_TRUST);
    bad = proof;
    bad.place.depth--;
    assert_int_equal(check_proof(&w, &bad, &trusted), RR_ERR_TRUST);
    bad = proof;
    bad.header_count--;
    assert_int_equal(check_proof(&w, &bad, &trusted), RR_ERR_TRUST);
    bad.header_count = 0;
    assert_int_equal(check_proof(&w, &bad, &trusted), RR_ERR_TRUST);
    bad = proof;
    bad.headers = proof.headers + 1; /* a header left out */
    bad.header_count--;
    assert_int_equal(check_proof(&w, &bad, &trusted), RR_ERR_TRUST);
    for (uint32_t i = 0; i < proof.header_count; i += 6) {
        struct rr_header kept = proof.headers[i];
        proof.headers[i].state_root.bytes[0] ^= 1;
        assert_int_equal(i + 1 == proof.header_count ? RR_ERR_TRUST
                                                     : check_proof(&w, &proof, &trusted),
                         RR_ERR_TRUST);
        proof.headers[i] = kept;
        proof.headers[i].difficulty = rr_u256_of(2);
        assert_int_equal(check_proof(&w, &proof, &trusted), RR_ERR_TRUST);
        proof.headers[i] = kept;
        proof.headers[i].mix.bytes[0] = 0xbd;
        assert_int_equal(check_proof(&w, &proof, &trusted), RR_ERR_TRUST);
        proof.headers[i] = kept;
        proof.headers[i].chain_id++;
        assert_int_equal(check_proof(&w, &proof, &trusted), RR_ERR_TRUST);
        proof.headers[i] = kept;
    }
    assert_int_equal(check_proof(&w, &proof, &trusted), RR_OK);
    struct rr_genesis other = w.genesis;
    other.base_reward = units(1);
    assert_int_equal(rr_rule_check_proof(&other, &proof, &trusted, 0, world_work, NULL, NULL),
                     RR_ERR_TRUST);
    rr_tx_proof_clear(&proof);
    assert_int_equal(rr_chain_prove_tx(w.chain, &proof, &id, height, &w.fault), RR_ERR_STATE);
    id.bytes[0] ^= 1;
    assert_int_equal(rr_chain_prove_tx(w.chain, &proof, &id, 0, &w.fault), RR_ERR_NOTFOUND);
    world_clear(&w);
}

static void a_proof_longer_than_the_format_is_refused(void **state)
{
    (void)state;
    struct world w;
    world_init(&w);
    world_open(&w);
    world_mine(&w, 1);
    struct rr_tx tx;
    for (int i = 0; i < 3; i++) {
        tx = world_transfer(&w, 1, 2, 10);
        world_accept(&w, &tx);
        world_mine(&w, 1);
    }
    struct rr_hash32 id;
    struct rr_tx_proof proof;
    rr_tx_id(&id, &tx);
    assert_int_equal(rr_chain_prove_tx(w.chain, &proof, &id, world_height(&w) - 1, &w.fault),
                     RR_OK);
    assert_int_equal(proof.header_count, 1);
    struct rr_buf bytes = {0};
    rr_tx_proof_encode(&bytes, &proof);
    struct rr_tx_proof again;
    assert_int_equal(rr_tx_proof_decode(&again, rr_buf_slice(&bytes), &w.fault), RR_OK);
    struct rr_header trusted;
    assert_int_equal(rr_chain_header(w.chain, world_height(&w) - 1, &trusted, NULL), RR_OK);
    assert_int_equal(check_proof(&w, &again, &trusted), RR_OK);
    rr_buf_clear(&bytes);
    rr_tx_proof_clear(&again);
    rr_tx_proof_clear(&proof);
    world_clear(&w);
}

/* ---- the rest --------------------------------------------------------------- */
static void a_replay_leads_to_the_same_state(void **state)
{
    (void)state;
    struct world w;
    world_rich(&w);
    struct rr_hash32 pool = world_pool(&w, 1, 10 * COIN, 20 * COIN, 0, 5);
    struct rr_voucher v = world_voucher(&w, &pool, 1, 6, COIN, 1);
    struct rr_tx tx = world_settle(&w, &v, 6);
    world_accept(&w, &tx);
    world_mine_many(&w, 0, 3);
    char folder[160];
    struct rr_chain_options into = w.options;
    snprintf(folder, sizeof folder, "%s/replay", w.folder);
    into.folder = folder;
    assert_int_equal(rr_chain_replay(w.chain, &into, &w.fault), RR_OK);
    assert_int_equal(rr_chain_replay(w.chain, &into, &w.fault), RR_ERR_EXISTS);
    world_clear(&w);
}

struct seen {
    uint64_t height;
    int calls;
    struct rr_chain *chain;
};

static void see_tip(void *ctx, const struct rr_chain_tip *tip)
{
    struct seen *seen = ctx;
    struct rr_header header; /* a watcher may call the chain */
    assert_int_equal(rr_chain_header(seen->chain, tip->height, &header, NULL), RR_OK);
    seen->height = tip->height;
    seen->calls++;
}

static bool count_pool(void *ctx, const struct rr_hash32 *id, const struct rr_pool_state *pool)
{
    (void)id;
    *(uint64_t *)ctx += rr_coin_units(pool->deposit);
    return true;
}

static void watchers_and_visitors_see_what_is(void **state)
{
    (void)state;
    struct world w;
    world_rich(&w);
    struct seen seen = {.chain = w.chain};
    uint64_t deposits = 0;
    rr_chain_on_tip(w.chain, see_tip, &seen);
    world_pool(&w, 1, 3, 20 * COIN, 0, 5);
    world_pool(&w, 2, 4, 20 * COIN, 0, 5);
    assert_int_equal(seen.calls, 2);
    assert_int_equal(seen.height, world_height(&w));
    assert_int_equal(rr_chain_visit_pools(w.chain, count_pool, &deposits, NULL), RR_OK);
    assert_int_equal(deposits, 7);
    struct rr_chain_tip tip;
    struct rr_block block;
    rr_chain_tip(w.chain, &tip);
    world_template(&w, &block, 0);
    assert_memory_equal(&tip.next_difficulty, &block.header.difficulty, sizeof tip.next_difficulty);
    rr_block_clear(&block);
    assert_int_equal(rr_chain_block(w.chain, tip.height + 1, &block, &w.fault), RR_ERR_NOTFOUND);
    struct rr_hash32 hash;
    assert_int_equal(rr_chain_block_hash(w.chain, tip.height, &hash, NULL), RR_OK);
    assert_memory_equal(&hash, &tip.hash, 32);
    world_clear(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_block_is_refused_for_each_field_that_is_wrong),
        cmocka_unit_test(time_may_step_back_as_far_as_the_median),
        cmocka_unit_test(transactions_stand_in_rule_order),
        cmocka_unit_test(a_block_weighs_no_more_than_the_genesis_allows),
        cmocka_unit_test(certificates_raise_the_reward_and_the_bonus_waits_in_escrow),
        cmocka_unit_test(undo_brings_every_state_back_and_its_transactions_wait_again),
        cmocka_unit_test(the_state_root_is_the_sum_over_all_records),
        cmocka_unit_test(a_chain_comes_back_as_it_was),
        cmocka_unit_test(another_genesis_is_refused_by_name),
        cmocka_unit_test(a_second_opener_is_refused),
        cmocka_unit_test(a_folder_whose_parts_do_not_fit_is_refused),
        cmocka_unit_test(state_hash_alone_finds_a_moved_coin),
        cmocka_unit_test(a_proof_holds_and_every_change_of_it_does_not),
        cmocka_unit_test(a_proof_longer_than_the_format_is_refused),
        cmocka_unit_test(a_replay_leads_to_the_same_state),
        cmocka_unit_test(watchers_and_visitors_see_what_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

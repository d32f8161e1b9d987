/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The chain against a naive ledger that keeps everything in arrays and copies itself whole for each
 * block: random transactions, right and wrong ones, blocks and undo. After each block and each undo
 * every balance, pool, contract and the sum of all coins are equal. RR_MODEL_OPS and RR_MODEL_SEED
 * change length and seed. */
#include "ledger_txs.h"

#define POOLS_MAX     1024
#define CONTRACTS_MAX 1024
#define WAIT_MAX      512
#define HISTORY       9 /* undo reaches back 8 */
#define HOLD          8

struct naive_pool {
    struct rr_hash32 id;
    bool open;
    int owner;
    uint64_t deposit, left, collateral, cap, end;
    uint64_t settled[WORLD_KEYS], seq[WORLD_KEYS];
};
struct naive_contract {
    struct rr_hash32 id;
    int owner, provider, verifier;
    uint64_t price, expiry, claimed;
    uint32_t leaves, challenges;
    int status;
};
struct naive {
    uint64_t height, issued;
    uint64_t balance[WORLD_KEYS], sequence[WORLD_KEYS];
    struct naive_pool pools[POOLS_MAX];
    struct naive_contract contracts[CONTRACTS_MAX];
    uint32_t pool_count, contract_count;
};
struct model {
    struct world world;
    struct rr_prng prng;
    struct naive *now;     /* at the tip */
    struct naive *pending; /* now and all that waits */
    struct naive *history[HISTORY];
    struct rr_hash32 roots[HISTORY];
    uint32_t depth;
    struct rr_tx waiting[WAIT_MAX];
    uint32_t waiting_count;
    uint64_t accepted, refused, blocks, undone;
};

static int key_of(const struct world *world, const void *key)
{
    for (int i = 0; i < WORLD_KEYS; i++) {
        if (memcmp(world->pub[i].bytes, key, 32) == 0) {
            return i;
        }
    }
    return -1;
}

static int address_of(const struct world *world, const struct rr_address *address)
{
    for (int i = 0; i < WORLD_KEYS; i++) {
        if (memcmp(world->address[i].bytes, address->bytes, 20) == 0) {
            return i;
        }
    }
    return -1;
}

static struct naive_pool *find_pool(struct naive *n, const struct rr_hash32 *id)
{
    for (uint32_t i = 0; i < n->pool_count; i++) {
        if (n->pools[i].open && memcmp(n->pools[i].id.bytes, id->bytes, 32) == 0) {
            return &n->pools[i];
        }
    }
    return NULL;
}

static struct naive_contract *find_contract(struct naive *n, const struct rr_hash32 *id)
{
    for (uint32_t i = 0; i < n->contract_count; i++) {
        if (memcmp(n->contracts[i].id.bytes, id->bytes, 32) == 0) {
            return &n->contracts[i];
        }
    }
    return NULL;
}

/* ---- the naive rules: a block of `height` ----------------------------------- */
static void naive_begin(struct naive *n, uint64_t height)
{
    for (uint32_t i = 0; i < n->contract_count; i++) {
        struct naive_contract *c = &n->contracts[i];
        if (c->expiry == height &&
            (c->status == RR_CONTRACT_OPEN || c->status == RR_CONTRACT_CLAIMED)) {
            c->status = RR_CONTRACT_EXPIRED;
            n->balance[c->owner] += c->price;
        }
    }
}

static bool naive_settle(struct world *w, struct naive *n, const struct rr_tx *tx, int from,
                         uint64_t height, uint64_t *fee)
{
    const struct rr_voucher *v = &tx->body.settle.voucher;
    struct naive_pool *p = find_pool(n, &v->pool_id);
    if (p == NULL || address_of(w, &v->target) != from || p->owner == from ||
        height > p->end + HOLD || height > v->expiry_height || v->seq < p->seq[from]) {
        return false;
    }
    struct rr_hash32 digest;
    rr_voucher_digest(&digest, v);
    if (!rr_verify(&v->signature, &w->pub[p->owner], &digest)) {
        return false;
    }
    uint64_t value = rr_coin_units(v->cum_amount);
    if (p->cap != 0 && value > p->cap) {
        value = p->cap;
    }
    if (value <= p->settled[from] || p->left == 0 || *fee > value - p->settled[from]) {
        return false;
    }
    uint64_t paid = value - p->settled[from];
    paid = paid > p->left ? p->left : paid;
    *fee = *fee > paid ? paid : *fee;
    p->left -= paid;
    p->settled[from] += paid;
    p->seq[from] = v->seq;
    n->balance[from] += paid - *fee;
    return true;
}

static bool naive_create(struct naive *n, const struct rr_tx *tx, int from, uint64_t height,
                         uint64_t fee)
{
    uint64_t deposit = rr_coin_units(tx->body.create_pool.deposit);
    uint64_t collateral = rr_coin_units(tx->body.create_pool.collateral);
    uint64_t cap = rr_coin_units(tx->body.create_pool.cap);
    uint32_t blocks = tx->body.create_pool.duration_blocks;
    if (deposit == 0 || collateral <= deposit || (cap != 0 && collateral <= 10 * cap) ||
        blocks < 3 || blocks > 1000 || n->balance[from] < deposit + collateral + fee ||
        n->pool_count == POOLS_MAX) {
        return false;
    }
    n->balance[from] -= deposit + collateral + fee;
    struct naive_pool *p = &n->pools[n->pool_count++];
    *p = (struct naive_pool){.open = true,
                             .owner = from,
                             .deposit = deposit,
                             .left = deposit,
                             .collateral = collateral,
                             .cap = cap,
                             .end = height + blocks};
    rr_tx_id(&p->id, tx);
    return true;
}

static bool naive_pool_tx(struct naive *n, const struct rr_tx *tx, int from, uint64_t height,
                          uint64_t fee)
{
    if (tx->type == RR_TX_REFILL_POOL) {
        struct naive_pool *p = find_pool(n, &tx->body.refill_pool.pool_id);
        uint64_t amount = rr_coin_units(tx->body.refill_pool.amount);
        if (p == NULL || p->owner != from || height >= p->end || amount == 0 ||
            p->deposit + amount >= p->collateral || n->balance[from] < amount + fee) {
            return false;
        }
        p->deposit += amount;
        p->left += amount;
        n->balance[from] -= amount + fee;
        return true;
    }
    struct naive_pool *p = find_pool(n, &tx->body.release_pool.pool_id);
    if (p == NULL || p->owner != from || height <= p->end + HOLD ||
        n->balance[from] + p->left + p->collateral < fee) {
        return false;
    }
    n->balance[from] += p->left + p->collateral - fee;
    p->open = false;
    return true;
}

static bool naive_contract_tx(struct world *w, struct naive *n, const struct rr_tx *tx, int from,
                              uint64_t height, uint64_t fee)
{
    struct naive_contract *c;
    if (n->balance[from] < fee) {
        return false;
    }
    if (tx->type == RR_TX_OPEN_CONTRACT) {
        uint64_t price = rr_coin_units(tx->body.open_contract.price);
        if (n->balance[from] < price + fee || tx->body.open_contract.expiry_blocks == 0 ||
            n->contract_count == CONTRACTS_MAX) {
            return false;
        }
        n->balance[from] -= price + fee;
        c = &n->contracts[n->contract_count++];
        *c = (struct naive_contract){.owner = from,
                                     .provider = key_of(w, &tx->body.open_contract.provider),
                                     .verifier = key_of(w, &tx->body.open_contract.verifier),
                                     .price = price,
                                     .expiry = height + tx->body.open_contract.expiry_blocks,
                                     .challenges = tx->body.open_contract.challenges,
                                     .status = RR_CONTRACT_OPEN};
        rr_tx_id(&c->id, tx);
        return true;
    }
    if (tx->type == RR_TX_CLAIM) {
        c = find_contract(n, &tx->body.claim.contract_id);
        if (c == NULL || c->provider != from || c->status != RR_CONTRACT_OPEN) {
            return false;
        }
        c->status = RR_CONTRACT_CLAIMED;
        c->claimed = height;
        c->leaves = tx->body.claim.leaves;
        n->balance[from] -= fee;
        return true;
    }
    c = find_contract(n, &tx->body.attestation.contract_id);
    uint32_t failed = tx->body.attestation.failed;
    uint32_t checked = tx->body.attestation.checked;
    if (c == NULL || c->verifier != from || c->status != RR_CONTRACT_CLAIMED ||
        tx->body.attestation.beacon_height <= c->claimed ||
        tx->body.attestation.beacon_height >= height || failed > checked ||
        (failed == 0 && checked < (c->challenges < c->leaves ? c->challenges : c->leaves))) {
        return false;
    }
    n->balance[from] -= fee;
    c->status = failed == 0 ? RR_CONTRACT_PAID : RR_CONTRACT_REFUSED;
    n->balance[failed == 0 ? c->provider : c->owner] += c->price;
    return true;
}

/* Whether the transaction is good in a block of `height`, and what it does. *fee: to the miner. */
static bool naive_apply(struct world *w, struct naive *n, const struct rr_tx *tx, uint64_t height,
                        uint64_t *fee)
{
    int from = key_of(w, &tx->sender);
    struct rr_hash32 digest;
    rr_tx_digest(&digest, tx);
    *fee = rr_coin_units(tx->fee);
    if (tx->chain_id != rr_genesis_chain_id(&w->genesis) || tx->sequence != n->sequence[from] + 1 ||
        (tx->valid_until_height != 0 && tx->valid_until_height < height) ||
        *fee < rr_coin_units(rr_chain_min_fee(w->chain, tx)) ||
        !rr_verify(&tx->signature, &tx->sender, &digest)) {
        return false;
    }
    bool good = false;
    switch (tx->type) {
    case RR_TX_TRANSFER: {
        uint64_t amount = rr_coin_units(tx->body.transfer.amount);
        good = amount != 0 && n->balance[from] >= amount + *fee;
        if (good) {
            n->balance[from] -= amount + *fee;
            n->balance[address_of(w, &tx->body.transfer.to)] += amount;
        }
        break;
    }
    case RR_TX_SETTLE:
        good = naive_settle(w, n, tx, from, height, fee);
        break;
    case RR_TX_CREATE_POOL:
        good = naive_create(n, tx, from, height, *fee);
        break;
    case RR_TX_REFILL_POOL:
    case RR_TX_RELEASE_POOL:
        good = naive_pool_tx(n, tx, from, height, *fee);
        break;
    case RR_TX_OPEN_CONTRACT:
    case RR_TX_CLAIM:
    case RR_TX_ATTESTATION:
        good = naive_contract_tx(w, n, tx, from, height, *fee);
        break;
    }
    if (good) {
        n->sequence[from] = tx->sequence;
    }
    return good;
}

/* ---- the model beside the chain --------------------------------------------- */
static void refit(struct model *m)
{
    struct rr_tx kept[WAIT_MAX];
    uint32_t count = 0;
    *m->pending = *m->now;
    naive_begin(m->pending, m->now->height + 1);
    for (uint32_t i = 0; i < m->waiting_count; i++) {
        uint64_t fee;
        if (naive_apply(&m->world, m->pending, &m->waiting[i], m->now->height + 1, &fee)) {
            kept[count++] = m->waiting[i];
        }
    }
    memcpy(m->waiting, kept, count * sizeof kept[0]);
    m->waiting_count = count;
}

static void compare(struct model *m)
{
    struct rr_chain_audit audit;
    uint64_t all = 0;
    assert_int_equal(rr_chain_audit(m->world.chain, &audit, &m->world.fault), RR_OK);
    for (int i = 0; i < WORLD_KEYS; i++) {
        struct rr_account account;
        assert_int_equal(rr_chain_account(m->world.chain, &m->world.address[i], &account, NULL),
                         RR_OK);
        assert_int_equal(rr_coin_units(account.balance), m->now->balance[i]);
        assert_int_equal(account.sequence, m->now->sequence[i]);
        all += m->now->balance[i];
    }
    for (uint32_t i = 0; i < m->now->pool_count; i++) {
        const struct naive_pool *p = &m->now->pools[i];
        struct rr_pool_state pool;
        enum rr_err err = rr_chain_pool(m->world.chain, &p->id, &pool, NULL);
        assert_int_equal(err, p->open ? RR_OK : RR_ERR_NOTFOUND);
        if (p->open) {
            assert_int_equal(rr_coin_units(pool.deposit_left), p->left);
            assert_int_equal(rr_coin_units(pool.deposit), p->deposit);
            all += p->left + p->collateral;
        }
    }
    for (uint32_t i = 0; i < m->now->contract_count; i++) {
        const struct naive_contract *c = &m->now->contracts[i];
        struct rr_contract_state contract;
        assert_int_equal(rr_chain_contract(m->world.chain, &c->id, &contract, NULL), RR_OK);
        assert_int_equal(contract.status, c->status);
        bool holds = c->status == RR_CONTRACT_OPEN || c->status == RR_CONTRACT_CLAIMED;
        all += holds ? c->price : 0;
    }
    assert_int_equal(all, m->now->issued);
    assert_int_equal(rr_coin_units(audit.issued), m->now->issued);
    assert_int_equal(world_height(&m->world), m->now->height);
    assert_int_equal(world_waiting(&m->world), m->waiting_count);
}

static void mine(struct model *m)
{
    struct rr_block block;
    int miner = (int)rr_prng_below(&m->prng, WORLD_KEYS);
    struct naive *last = m->history[HISTORY - 1];
    memmove(m->history + 1, m->history, (HISTORY - 1) * sizeof m->history[0]);
    memmove(m->roots + 1, m->roots, (HISTORY - 1) * sizeof m->roots[0]);
    m->history[0] = last;
    *last = *m->now;
    m->roots[0] = world_root(&m->world);
    m->depth += m->depth < HOLD;
    world_mine(&m->world, miner);
    m->blocks++;
    assert_int_equal(rr_chain_block(m->world.chain, world_height(&m->world), &block, NULL), RR_OK);
    uint64_t height = ++m->now->height;
    uint64_t fees = 0;
    naive_begin(m->now, height);
    for (uint32_t i = 0; i < block.tx_count; i++) {
        uint64_t fee;
        assert_true(naive_apply(&m->world, m->now, &block.txs[i], height, &fee));
        fees += fee;
        uint32_t kept = 0;
        for (uint32_t k = 0; k < m->waiting_count; k++) {
            if (memcmp(&m->waiting[k].signature, &block.txs[i].signature, 64) != 0) {
                m->waiting[kept++] = m->waiting[k];
            }
        }
        assert_int_equal(kept + 1, m->waiting_count); /* a block holds what waited, nothing else */
        m->waiting_count = kept;
    }
    m->now->balance[miner] += 50 * COIN + fees;
    m->now->issued += 50 * COIN;
    rr_block_clear(&block);
    refit(m);
    compare(m);
}

static void undo(struct model *m)
{
    struct rr_block block;
    struct rr_tx waiting[WAIT_MAX];
    if (m->depth == 0) {
        return;
    }
    assert_int_equal(rr_chain_block(m->world.chain, world_height(&m->world), &block, NULL), RR_OK);
    if (block.tx_count + m->waiting_count > WAIT_MAX) {
        rr_block_clear(&block);
        return;
    }
    assert_int_equal(rr_chain_undo_tip(m->world.chain, &m->world.fault), RR_OK);
    struct rr_hash32 root = world_root(&m->world);
    assert_memory_equal(&root, &m->roots[0], 32);
    struct naive *first = m->history[0];
    *m->now = *first;
    memmove(m->history, m->history + 1, (HISTORY - 1) * sizeof m->history[0]);
    memmove(m->roots, m->roots + 1, (HISTORY - 1) * sizeof m->roots[0]);
    m->history[HISTORY - 1] = first;
    m->depth--;
    m->undone++;
    memcpy(waiting, m->waiting, m->waiting_count * sizeof waiting[0]);
    for (uint32_t i = 0; i < block.tx_count; i++) {
        m->waiting[i] = block.txs[i];
    }
    memcpy(m->waiting + block.tx_count, waiting, m->waiting_count * sizeof waiting[0]);
    m->waiting_count += block.tx_count;
    rr_block_clear(&block);
    refit(m);
    compare(m);
}

static uint64_t below(struct model *m, uint64_t bound)
{
    return rr_prng_below(&m->prng, bound);
}

static struct rr_hash32 some_pool(struct model *m)
{
    struct rr_hash32 none = {{0}};
    uint32_t count = m->pending->pool_count;
    uint32_t recent = count > 12 ? 12 : count;
    return count == 0 ? none : m->pending->pools[count - 1 - below(m, recent)].id;
}

static struct rr_hash32 some_contract(struct model *m)
{
    struct rr_hash32 none = {{0}};
    uint32_t count = m->pending->contract_count;
    uint32_t recent = count > 8 ? 8 : count;
    return count == 0 ? none : m->pending->contracts[count - 1 - below(m, recent)].id;
}

static struct rr_tx random_settle(struct model *m, int from)
{
    struct rr_hash32 id = some_pool(m);
    struct naive_pool *p = find_pool(m->pending, &id);
    int owner = p != NULL && below(m, 20) != 0 ? p->owner : (int)below(m, WORLD_KEYS);
    uint64_t cum = 1000 + below(m, 20 * COIN);
    uint64_t seq = below(m, 4);
    if (p != NULL && below(m, 4) != 0) { /* mostly good ones */
        cum = p->settled[from] + 10000 + below(m, 3 * COIN);
        seq = p->seq[from] + below(m, 2);
    }
    struct rr_voucher v = world_voucher(&m->world, &id, owner, from, cum, seq);
    if (below(m, 20) == 0) {
        v.expiry_height = m->now->height + below(m, 3);
        world_sign_voucher(&m->world, &v, owner);
    }
    return world_settle(&m->world, &v, below(m, 30) == 0 ? (int)below(m, WORLD_KEYS) : from);
}

static struct rr_tx random_pool_tx(struct model *m, int from)
{
    struct rr_hash32 id = some_pool(m);
    struct naive_pool *p = find_pool(m->pending, &id);
    int owner = p != NULL && below(m, 10) != 0 ? p->owner : from;
    if (below(m, 2) == 0) {
        struct rr_tx tx = world_tx(&m->world, RR_TX_REFILL_POOL, owner);
        tx.body.refill_pool.pool_id = id;
        tx.body.refill_pool.amount = units(below(m, 5 * COIN));
        world_sign(&m->world, &tx, owner);
        return tx;
    }
    return world_release(&m->world, &id, owner);
}

static struct rr_tx random_contract_tx(struct model *m)
{
    struct rr_hash32 id = some_contract(m);
    struct naive_contract *c = find_contract(m->pending, &id);
    if (c == NULL || below(m, 2) == 0) {
        int provider = c != NULL && below(m, 10) != 0 ? c->provider : (int)below(m, WORLD_KEYS);
        return world_claim(&m->world, &id, provider);
    }
    int verifier = below(m, 10) != 0 ? c->verifier : (int)below(m, WORLD_KEYS);
    uint64_t beacon = c->claimed + below(m, 4);
    return world_attest(&m->world, &id, verifier, beacon, (uint16_t)(2 + below(m, 3)),
                        (uint16_t)(below(m, 3) / 2));
}

static struct rr_tx random_tx(struct model *m)
{
    int from = (int)below(m, WORLD_KEYS);
    switch (below(m, 8)) {
    case 0:
        return world_create_pool(
            &m->world, from, below(m, 20 * COIN), 5 * COIN + below(m, 30 * COIN),
            below(m, 3) == 0 ? below(m, 3 * COIN) : 0, 2 + (uint32_t)below(m, 12));
    case 1:
    case 2:
    case 3:
        return random_settle(m, from);
    case 4:
        return random_pool_tx(m, from);
    case 5:
        return world_open_contract(&m->world, from, (int)below(m, WORLD_KEYS),
                                   (int)below(m, WORLD_KEYS), below(m, 10 * COIN),
                                   (uint32_t)below(m, 12));
    case 6:
        return random_contract_tx(m);
    default:
        return world_transfer(&m->world, from, (int)below(m, WORLD_KEYS), below(m, 60 * COIN));
    }
}

static void submit(struct model *m)
{
    struct rr_tx tx = random_tx(m);
    int key = key_of(&m->world, &tx.sender);
    uint64_t spoil = below(m, 40);
    if (spoil == 0) {
        tx.sequence += below(m, 3);
        rr_tx_sign(&tx, m->world.keys[key]);
    } else if (spoil == 1) {
        tx.signature.bytes[below(m, 64)] ^= 1;
    } else if (spoil < 12) { /* several fees, so that the order of a block is not that of arrival */
        tx.fee = units(rr_coin_units(tx.fee) + below(m, 5000));
        rr_tx_sign(&tx, m->world.keys[key]);
    }
    if (m->waiting_count == WAIT_MAX) {
        return;
    }
    uint64_t fee;
    struct naive *before = m->history[HISTORY - 1]; /* free: undo reaches 8 */
    *before = *m->pending;
    bool expected = naive_apply(&m->world, m->pending, &tx, m->now->height + 1, &fee);
    bool full = m->pending->pool_count == POOLS_MAX || m->pending->contract_count == CONTRACTS_MAX;
    if (full && !expected) {
        return; /* the model's arrays are full, the chain's are not */
    }
    enum rr_err err = world_submit(&m->world, &tx);
    if ((err == RR_OK) != expected) {
        fail_msg("transaction of type %d: the model says %s, the chain: %s", (int)tx.type,
                 expected ? "yes" : "no", err == RR_OK ? "yes" : m->world.fault.text);
    }
    if (expected) {
        m->waiting[m->waiting_count++] = tx;
        m->accepted++;
    } else {
        *m->pending = *before;
        m->refused++;
    }
}

static uint64_t from_env(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    return text != NULL ? strtoull(text, NULL, 10) : otherwise;
}

static void random_operations_lead_where_the_naive_ledger_says(void **state)
{
    (void)state;
    struct model *m = rr_alloc(sizeof *m);
    uint64_t ops = from_env("RR_MODEL_OPS", 20000);
    uint64_t seed = from_env("RR_MODEL_SEED", 50);
    world_init(&m->world);
    world_open(&m->world);
    rr_prng_seed(&m->prng, seed);
    m->now = rr_alloc(sizeof *m->now);
    m->pending = rr_alloc(sizeof *m->pending);
    for (int i = 0; i < HISTORY; i++) {
        m->history[i] = rr_alloc(sizeof *m->now);
    }
    for (int i = 0; i < 30; i++) {
        mine(m);
    }
    for (uint64_t done = 0; done < ops; done++) {
        uint64_t what = below(m, 100);
        if (what < 4) {
            mine(m);
        } else if (what < 5) {
            undo(m);
        } else {
            submit(m);
        }
        if (m->now->pool_count > POOLS_MAX - 64 || m->now->contract_count > CONTRACTS_MAX - 64) {
            ops = ops - done; /* a fresh world when the model's arrays fill up */
            done = 0;
            rr_chain_close(m->world.chain);
            m->world.chain = NULL;
            assert_int_equal(rr_remove_tree(m->world.folder, NULL), RR_OK);
            world_open(&m->world);
            memset(m->now, 0, sizeof *m->now);
            m->waiting_count = m->depth = 0;
            refit(m);
            for (int i = 0; i < 30; i++) {
                mine(m);
            }
        }
    }
    mine(m);
    print_message("seed %llu: %llu accepted, %llu refused, %llu blocks, %llu undone\n",
                  (unsigned long long)seed, (unsigned long long)m->accepted,
                  (unsigned long long)m->refused, (unsigned long long)m->blocks,
                  (unsigned long long)m->undone);
    assert_true(m->accepted > ops / 10 && m->undone > ops / 500);
    char folder[160];
    struct rr_chain_options into = m->world.options;
    snprintf(folder, sizeof folder, "%s/replay", m->world.folder);
    into.folder = folder;
    assert_int_equal(rr_chain_replay(m->world.chain, &into, &m->world.fault), RR_OK);
    for (int i = 0; i < HISTORY; i++) {
        rr_free(m->history[i]);
    }
    rr_free(m->pending);
    rr_free(m->now);
    world_clear(&m->world);
    rr_free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_operations_lead_where_the_naive_ledger_says),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

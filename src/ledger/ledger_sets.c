/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Certificate sets beside the chain. */
#include "ledger/ledger_chain.h"

static struct ledger_key set_key(uint64_t height, uint32_t index)
{
    struct ledger_key key = ledger_key_height(height);
    key.bytes[key.len++] = (uint8_t)(index >> 8);
    key.bytes[key.len++] = (uint8_t)index;
    return key;
}

struct keeping {
    uint64_t height;
    const struct rr_certificate_set *sets;
    uint32_t count;
};

/* Rows of an earlier block of this height that was never appended. */
static enum rr_err delete_after(struct rr_db_txn *txn, uint64_t height, uint32_t count,
                                struct rr_fault *fault)
{
    enum rr_err err = RR_OK;
    for (uint32_t i = count; i < RR_HEADER_SETS_MAX && err == RR_OK; i++) {
        struct ledger_key key = set_key(height, i);
        struct rr_slice value;
        err = rr_db_get(txn, STORE_SETS, store_key(&key), &value, fault);
        if (err == RR_ERR_NOTFOUND) {
            return RR_OK;
        }
        if (err == RR_OK) {
            err = rr_db_delete(txn, STORE_SETS, store_key(&key), fault);
        }
    }
    return err;
}

static enum rr_err put_sets(struct rr_db_txn *txn, void *ctx, struct rr_fault *fault)
{
    const struct keeping *keeping = ctx;
    enum rr_err err = RR_OK;
    for (uint32_t i = 0; err == RR_OK && i < keeping->count; i++) {
        struct ledger_key key = set_key(keeping->height, i);
        struct rr_buf bytes = {0};
        rr_certificate_set_encode(&bytes, &keeping->sets[i]);
        err = store_put(txn, STORE_SETS, &key, rr_buf_slice(&bytes), fault);
        rr_buf_clear(&bytes);
    }
    return err == RR_OK ? delete_after(txn, keeping->height, keeping->count, fault) : err;
}

enum rr_err rr_chain_keep_sets(struct rr_chain *chain, uint64_t height,
                               const struct rr_certificate_set *sets, uint32_t set_count,
                               struct rr_fault *fault)
{
    struct keeping keeping = {.height = height, .sets = sets, .count = set_count};
    if (set_count > RR_HEADER_SETS_MAX) {
        return rr_fail(fault, RR_ERR_LIMIT, "%u certificate sets are given, a header holds %d",
                       set_count, RR_HEADER_SETS_MAX);
    }
    return set_count == 0 ? RR_OK : rr_db_write(chain->db, put_sets, &keeping, fault);
}

static void free_sets(struct rr_certificate_set *sets, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        rr_certificate_set_clear(&sets[i]);
    }
    rr_free(sets);
}

static enum rr_err read_set(struct rr_db_txn *txn, const struct rr_header *header, uint32_t index,
                            struct rr_certificate_set *out, struct rr_hash32 *leaf,
                            struct rr_fault *fault)
{
    struct ledger_key key = set_key(header->height, index);
    struct rr_slice value;
    enum rr_err err = rr_db_get(txn, STORE_SETS, store_key(&key), &value, fault);
    if (err == RR_ERR_NOTFOUND) {
        return rr_fail(fault, err, "certificate set %u of block %llu is not kept here", index,
                       (unsigned long long)header->height);
    }
    if (err == RR_OK && (err = rr_certificate_set_decode(out, value, fault)) == RR_OK) {
        rr_certificate_set_leaf(leaf, (uint16_t)index, out);
    }
    return err;
}

enum rr_err rr_chain_sets(struct rr_chain *chain, uint64_t height, struct rr_certificate_set **sets,
                          uint32_t *count, struct rr_fault *fault)
{
    struct rr_hash32 leaves[RR_HEADER_SETS_MAX];
    struct rr_certificate_set *read = NULL;
    struct rr_header header;
    struct rr_db_txn *txn;
    uint32_t done = 0;
    enum rr_err err = rr_db_begin(chain->db, false, &txn, fault);
    if (err != RR_OK) {
        return err;
    }
    err = store_header(txn, height, &header, fault);
    if (err == RR_OK && header.sets > 0) {
        read = rr_alloc_array(header.sets, sizeof *read);
        while (err == RR_OK && done < header.sets) {
            err = read_set(txn, &header, done, &read[done], &leaves[done], fault);
            done += err == RR_OK ? 1 : 0;
        }
    }
    rr_db_abort(txn);
    if (err == RR_OK && done > 0) {
        struct rr_hash32 root;
        rr_merkle_root(&root, leaves, done);
        if (!rr_hash32_equal(&root, &header.cert_root)) {
            err = rr_fail(fault, RR_ERR_NOTFOUND,
                          "the certificate sets kept for height %llu are of another block",
                          (unsigned long long)height);
        }
    }
    if (err != RR_OK) {
        free_sets(read, done);
        return err;
    }
    *sets = read;
    *count = done;
    return RR_OK;
}

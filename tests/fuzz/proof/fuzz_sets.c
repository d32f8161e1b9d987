/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A set of certificates out of foreign bytes: the check never falls over, and whatever entries come
 * in, the sets built out of them pass the check, hold no more credit than was given, and are the
 * same for entries in reverse order. */
#include "proof/proof.h"
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint64_t room(void *ctx, const struct rr_hash32 *pool_id)
{
    (void)ctx;
    return pool_id->bytes[0] * 64u;
}

static struct rr_certificate_entry *copy(const struct rr_certificate_set *set, bool reverse,
                                         const struct rr_genesis *genesis)
{
    struct rr_certificate_entry *entries = rr_alloc_array(set->count + 1, sizeof(*entries));
    uint64_t most = (uint64_t)genesis->puzzle_blocks * genesis->block_ms;
    for (uint32_t i = 0; i < set->count; i++) {
        struct rr_certificate_entry *entry = &entries[reverse ? set->count - 1 - i : i];
        *entry = set->entries[i];
        /* As callers give them: one cacher, pools of those who are bound, credit of one puzzle at
         * most. Equal places have equal credit and nonce here, so that which of them stays cannot
         * matter. */
        entry->certificate.cacher = set->entries[0].certificate.cacher;
        entry->pool_id = (struct rr_hash32){{entry->certificate.viewer.bytes[0] | 1}};
        entry->certificate.nonce = 0;
        entry->credit_ms = entry->certificate.block_height % most + 1;
    }
    return entries;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct rr_genesis genesis;
    struct rr_fault fault = {0};
    if (genesis.block_ms == 0) {
        rr_crypto_init();
        RR_CHECK(rr_genesis_parse(&genesis, rr_slice_str(rr_genesis_preset("dev")), "dev",
                                  &fault) == RR_OK);
        genesis.certificate_binding = RR_BINDING_POOL;
        genesis.certificates_per_block = 200;
    }
    struct rr_certificate_set set = {0};
    if (rr_certificate_set_decode(&set, rr_slice_of(data, size), &fault) != RR_OK) {
        return 0;
    }
    struct rr_proof_room rooms = {.ms = room};
    enum rr_err err = rr_proof_sets_check(&genesis, &set, 1, rooms, &fault);
    RR_CHECK(err == RR_OK || err == RR_ERR_TRUST || err == RR_ERR_LIMIT);
    struct rr_hash32 leaf[2] = {{{0}}};
    for (int turn = 0; turn < 2 && set.count > 0; turn++) {
        struct rr_certificate_entry *entries = copy(&set, turn == 1, &genesis);
        struct rr_certificate_set *built;
        uint32_t count;
        rr_proof_sets_build(&genesis, &built, &count, entries, set.count, rooms);
        RR_CHECK(rr_proof_sets_check(&genesis, built, count, rooms, &fault) == RR_OK);
        if (count > 0) {
            RR_CHECK(built[0].count <= set.count);
            for (uint32_t i = 0; i < built[0].count; i++) {
                memset(&built[0].entries[i].certificate.signature, 0, sizeof(struct rr_signature));
                built[0].entries[i].certificate.block_hash = (struct rr_hash32){{0}};
                built[0].entries[i].certificate.chain_id = 0;
            }
            rr_certificate_set_leaf(&leaf[turn], 0, &built[0]);
        }
        rr_proof_sets_free(built, count);
        rr_free(entries);
    }
    RR_CHECK(rr_hash32_equal(&leaf[0], &leaf[1]));
    rr_certificate_set_clear(&set);
    return 0;
}

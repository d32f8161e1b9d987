/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The check of results before they leave: the law for a few, its batched kernels for many, of which
 * one in every fourth batch is made by the law again. */
#include "hash/hash_engine.h"
#include <string.h>

#define FEW     3 /* below, a batch is not faster than the law one by one */
#define BATCH   32
#define OVERSEE 4 /* batches for one look by the law, which costs as much as eight of a batch */

static atomic_bool kernel_is_wrong; /* of this process: the law alone from then on */
static atomic_uint overseen;

static void by_law(const struct hash_epoch *epoch, struct rr_hash_check *checks, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        rr_hash_light_compute(epoch->light, checks[i].header_hash, checks[i].nonce, checks[i].mix,
                              checks[i].final_be);
    }
}

static void by_kernel(const struct hash_epoch *epoch, struct rr_hash_check *checks, size_t count)
{
    struct rr_ethash_try tries[BATCH];
    for (size_t i = 0; i < count; i++) {
        memcpy(tries[i].header_hash, checks[i].header_hash, 32);
        tries[i].nonce = checks[i].nonce;
    }
    rr_ethash_kernels_choose(UINT32_MAX)
        ->light(tries, count, hash_light_cache(epoch->light), epoch->params.cache_items,
                epoch->params.dataset_items);
    for (size_t i = 0; i < count; i++) {
        memcpy(checks[i].mix, tries[i].mix, 32);
        memcpy(checks[i].final_be, tries[i].final_be, 32);
    }
    unsigned turn = atomic_fetch_add(&overseen, 1);
    if (turn % OVERSEE != 0) {
        return;
    }
    struct rr_hash_check *one = &checks[turn / OVERSEE % count]; /* each place in its turn */
    struct rr_hash_check made = *one;
    by_law(epoch, one, 1);
    if (memcmp(made.mix, one->mix, 32) != 0 || memcmp(made.final_be, one->final_be, 32) != 0) {
        if (!atomic_exchange(&kernel_is_wrong, true)) {
            rr_log(RR_LOG_ERROR, "hash",
                   "the processor's fast check differs from the plain law; the law alone is used: "
                   "test this machine's memory and clocks");
        }
        rr_counter_add(&hash_failed_total, 1);
        by_law(epoch, checks, count);
    }
}

void hash_check_many(const struct hash_epoch *epoch, struct rr_hash_check *checks, size_t count)
{
    for (size_t i = 0; i < count; i += BATCH) {
        size_t run = count - i < BATCH ? count - i : BATCH;
        if (run < FEW || atomic_load(&kernel_is_wrong)) {
            by_law(epoch, checks + i, run);
        } else {
            by_kernel(epoch, checks + i, run);
        }
    }
}

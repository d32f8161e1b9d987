/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a backend must show at its start and every hour: the light law's results on fixed inputs. */
#include "hash/hash_engine.h"
#include <inttypes.h>
#include <string.h>

#define NONCES      16
#define FIRST_NONCE UINT64_C(0xfffffffffffffff0) /* the last ones: an index of 32 bits shows */

static enum rr_err wrong(struct rr_fault *fault, const struct hash_backend *backend,
                         const char *what, uint64_t nonce)
{
    return rr_fail(fault, RR_ERR_DAMAGED,
                   "hash backend %s gives a wrong %s at nonce %" PRIu64
                   "; it stays off: check memory, clocks and driver",
                   backend->name, what, nonce);
}

enum rr_err hash_backend_prove(const struct hash_backend *backend, void *epoch, uint32_t slot,
                               const struct rr_hash_light *light, struct rr_fault *fault)
{
    struct rr_hash_check law[NONCES] = {0};
    struct rr_hash_check made[NONCES] = {0};
    for (uint8_t i = 0; i < NONCES; i++) {
        for (uint8_t b = 0; b < 32; b++) {
            law[i].header_hash[b] = (uint8_t)(b * 7 + 1);
        }
        law[i].nonce = FIRST_NONCE + i;
        rr_hash_light_compute(light, law[i].header_hash, law[i].nonce, law[i].mix, law[i].final_be);
        made[i] = law[i];
        memset(made[i].mix, 0, 32);
        memset(made[i].final_be, 0, 32);
    }
    enum rr_err err = backend->verify(epoch, made, NONCES, fault);
    if (err != RR_OK) {
        return err;
    }
    size_t least = 0;
    for (size_t i = 0; i < NONCES; i++) {
        if (memcmp(&made[i], &law[i], sizeof(law[i])) != 0) {
            return wrong(fault, backend, "hash", law[i].nonce);
        }
        least = memcmp(law[i].final_be, law[least].final_be, 32) < 0 ? i : least;
    }

    /* A target that the median nonce meets: the first to meet it is often neither first nor least.
     */
    const uint8_t *boundary = law[NONCES / 2].final_be;
    size_t first = 0;
    while (memcmp(law[first].final_be, boundary, 32) > 0) {
        first++;
    }
    struct hash_work works[2] = {{.nonce = FIRST_NONCE, .count = NONCES, .kind = RR_HASH_TARGET},
                                 {.nonce = FIRST_NONCE, .count = NONCES, .kind = RR_HASH_ARGMIN}};
    const size_t want[2] = {first, least};
    struct hash_candidate found[2] = {{0}};
    for (int i = 0; i < 2; i++) {
        memcpy(works[i].header_hash, law[0].header_hash, 32);
        memcpy(works[i].boundary_be, boundary, 32);
    }
    err = backend->search(epoch, slot, found, works, 2, fault);
    if (err != RR_OK) {
        return err;
    }
    for (int i = 0; i < 2; i++) {
        const struct rr_hash_check *right = &law[want[i]];
        if (!found[i].found || found[i].nonce != right->nonce ||
            memcmp(found[i].final_be, right->final_be, 32) != 0) {
            return wrong(fault, backend, i == 0 ? "target search" : "argmin search", right->nonce);
        }
    }
    return RR_OK;
}

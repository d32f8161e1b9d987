/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What `reelrig bench hash --peer LIB` asks of another Ethash library: a shim of a page between the
 * two, built here for chfast/ethash where CMake is given RR_PEER_ETHASH. */
#ifndef RR_PEER_ETHASH_H
#define RR_PEER_ETHASH_H
#include <stddef.h>
#include <stdint.h>

#define RR_PEER_ETHASH_VERSION 1
#define RR_PEER_ETHASH_SYMBOL  "rr_peer_ethash"

struct rr_peer_ethash {
    uint32_t version; /* RR_PEER_ETHASH_VERSION */
    const char *name; /* of the library, in rows */
    void (*keccak_f1600)(uint64_t lanes[25]);
    /* Epoch 0 with its light cache, and its dataset to be `rows` (copied; none of them begins with
     * 0); NULL when there is no memory. Closed by the caller. */
    void *(*open)(const void *rows, size_t bytes);
    void (*close)(void *epoch);
    /* One hash by the light cache, and by the dataset. */
    void (*light)(void *epoch, const uint8_t header_hash[32], uint64_t nonce, uint8_t mix[32],
                  uint8_t final_be[32]);
    void (*full)(void *epoch, const uint8_t header_hash[32], uint64_t nonce, uint8_t mix[32],
                 uint8_t final_be[32]);
};
#endif

// SPDX-License-Identifier: GPL-2.0-or-later
// Between `reelrig bench hash` and the public C++ library chfast/ethash: its headers are included from the checkout that
// CMake is given. Its dataset makes rows when they are first read and takes a row that does not begin with 0 as made;
// the bench gives it the rows that we search, so that both read the same memory.
#include "peer_ethash.h"

#include <ethash/ethash-internal.hpp>
#include <ethash/ethash.hpp>
#include <ethash/keccak.h>

#include <cstring>

namespace
{
struct peer
{
    ethash_epoch_context *light;
    ethash_epoch_context_full *full;
};

void close_peer(void *state)
{
    peer *self = static_cast<peer *>(state);
    if (self->light != nullptr) {
        ethash_destroy_epoch_context(self->light);
    }
    if (self->full != nullptr) {
        ethash_destroy_epoch_context_full(self->full);
    }
    delete self;
}

void *open_peer(const void *rows, size_t bytes)
{
    peer *self = new peer{ethash_create_epoch_context(0), ethash_create_epoch_context_full(0)};
    if (self->light == nullptr || self->full == nullptr ||
        bytes != static_cast<size_t>(self->full->full_dataset_num_items) * 128) {
        close_peer(self);
        return nullptr;
    }
    std::memcpy(static_cast<void *>(self->full->full_dataset), rows, bytes);
    return self;
}

void give(const ethash::result &result, uint8_t *mix, uint8_t *final_be)
{
    std::memcpy(mix, result.mix_hash.bytes, 32);
    std::memcpy(final_be, result.final_hash.bytes, 32);
}

void light_peer(void *state, const uint8_t *header_hash, uint64_t nonce, uint8_t *mix, uint8_t *final_be)
{
    const ethash::epoch_context &context = *static_cast<peer *>(state)->light;
    give(ethash::hash(context, ethash::hash256_from_bytes(header_hash), nonce), mix, final_be);
}

void full_peer(void *state, const uint8_t *header_hash, uint64_t nonce, uint8_t *mix, uint8_t *final_be)
{
    const ethash::epoch_context_full &context = *static_cast<peer *>(state)->full;
    give(ethash::hash(context, ethash::hash256_from_bytes(header_hash), nonce), mix, final_be);
}
} // namespace

extern "C" __attribute__((visibility("default"))) const rr_peer_ethash rr_peer_ethash = {
    RR_PEER_ETHASH_VERSION, "chfast/ethash", ethash_keccakf1600, open_peer, close_peer, light_peer, full_peer,
};

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "crypto/crypto.h"

#include <sodium.h>
#include <string.h>

_Static_assert(sizeof(crypto_generichash_blake2b_state) <= sizeof(struct rr_hasher),
               "rr_hasher holds libsodium's state");
_Static_assert(_Alignof(crypto_generichash_blake2b_state) <= _Alignof(struct rr_hasher),
               "rr_hasher is aligned for libsodium's state");

static crypto_generichash_blake2b_state *state_of(struct rr_hasher *hasher)
{
    return (crypto_generichash_blake2b_state *)(void *)hasher->opaque;
}

/* The domain, zero padded, is BLAKE2b's personalization; the salt stays zero. */
void rr_hasher_init(struct rr_hasher *hasher, const char *domain)
{
    uint8_t personal[crypto_generichash_blake2b_PERSONALBYTES] = {0};
    size_t len = strlen(domain);
    RR_CHECK(len <= sizeof personal);
    memcpy(personal, domain, len);
    RR_CHECK(crypto_generichash_blake2b_init_salt_personal(state_of(hasher), NULL, 0, 32, NULL,
                                                           personal) == 0);
}

void rr_hasher_add(struct rr_hasher *hasher, const void *bytes, size_t len)
{
    RR_CHECK(crypto_generichash_blake2b_update(state_of(hasher), bytes, len) == 0);
}

void rr_hasher_final(struct rr_hasher *hasher, struct rr_hash32 *out)
{
    RR_CHECK(crypto_generichash_blake2b_final(state_of(hasher), out->bytes, 32) == 0);
}

void rr_hash(struct rr_hash32 *out, const char *domain, struct rr_slice bytes)
{
    struct rr_hasher hasher;
    rr_hasher_init(&hasher, domain);
    rr_hasher_add(&hasher, bytes.ptr, bytes.len);
    rr_hasher_final(&hasher, out);
}

void rr_keyed_hash(struct rr_hash32 *out, const uint8_t key[static 32], struct rr_slice bytes)
{
    RR_CHECK(crypto_generichash_blake2b(out->bytes, 32, bytes.ptr, bytes.len, key, 32) == 0);
}

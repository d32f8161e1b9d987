/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "crypto/crypto.h"

#include <sodium.h>

enum { BLOCK_BYTES = 64 };

static const uint8_t zero_nonce[crypto_stream_chacha20_ietf_NONCEBYTES];

/* The block counter has 32 bits: past it the key stream would repeat. */
static void check_range(size_t len, uint64_t offset)
{
    const uint64_t limit = (UINT64_C(1) << 32) * BLOCK_BYTES;
    RR_CHECK(offset <= limit && len <= limit - offset);
}

void rr_chacha20_stream(uint8_t *out, size_t len, const uint8_t key[static 32])
{
    check_range(len, 0);
    RR_CHECK(crypto_stream_chacha20_ietf(out, len, zero_nonce, key) == 0);
}

void rr_chacha20_xor(uint8_t *out, const uint8_t *in, size_t len, const uint8_t key[static 32],
                     uint64_t offset)
{
    check_range(len, offset);
    RR_CHECK(offset % BLOCK_BYTES == 0);
    if (len == 0) {
        return;
    }
    RR_CHECK(crypto_stream_chacha20_ietf_xor_ic(out, in, len, zero_nonce,
                                                (uint32_t)(offset / BLOCK_BYTES), key) == 0);
}

bool rr_equal_secret(const void *a, const void *b, size_t len)
{
    return sodium_memcmp(a, b, len) == 0;
}

void rr_wipe(void *bytes, size_t len)
{
    sodium_memzero(bytes, len);
}

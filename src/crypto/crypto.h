/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The door of crypto, floor 1: the only includer of sodium.h and secp256k1.h. */
#ifndef RR_CRYPTO_H
#define RR_CRYPTO_H
#include "base/base.h"

/* Once per process, before anything else here; repeated calls are fine. Aborts when a library
 * refuses. */
void rr_crypto_init(void);

/* ---- hashing (spec 50, 1): BLAKE2b-256 with a 16-byte personalization per domain --------------
 */
/* `domain` is text of at most 16 bytes, zero padded ("rr.tx.v1"); longer is a bug. Any thread. */
void rr_hash(struct rr_hash32 *out, const char *domain, struct rr_slice bytes);
struct rr_hasher {
    _Alignas(64) uint8_t opaque[384];
};
void rr_hasher_init(struct rr_hasher *hasher, const char *domain);
void rr_hasher_add(struct rr_hasher *hasher, const void *bytes, size_t len);
void rr_hasher_final(struct rr_hasher *hasher, struct rr_hash32 *out);
/* Keyed BLAKE2b-256 without domain, for derivation of secrets. */
void rr_keyed_hash(struct rr_hash32 *out, const uint8_t key[static 32], struct rr_slice bytes);

/* ---- Merkle trees: leaves are hashes made by their own domain; inner node =
 * BLAKE2b-256("rr.node.v1", left || right); an odd node is promoted, never doubled (ours:
 * CVE-2012-2459). ---------------- */
#define RR_MERKLE_MAX_DEPTH 32
struct rr_merkle_proof {
    uint32_t index; /* of the leaf */
    uint32_t count; /* of all leaves, >= 1 */
    uint32_t depth; /* siblings used */
    struct rr_hash32 siblings[RR_MERKLE_MAX_DEPTH];
};
/* Root of count >= 1 leaves; count 0 gives all zeros. leaves borrowed. */
void rr_merkle_root(struct rr_hash32 *out, const struct rr_hash32 *leaves, uint32_t count);
/* Proof of leaf `index` < count. */
void rr_merkle_prove(struct rr_merkle_proof *out, const struct rr_hash32 *leaves, uint32_t count,
                     uint32_t index);
/* True when leaf stands at proof->index of proof->count leaves under root; checks that depth fits.
 */
bool rr_merkle_check(const struct rr_merkle_proof *proof, const struct rr_hash32 *leaf,
                     const struct rr_hash32 *root) RR_MUST_USE;

/* ---- keys: secp256k1, BIP-340 Schnorr, x-only public keys ------------------------------------ */
struct rr_pubkey {
    uint8_t bytes[32];
};
struct rr_signature {
    uint8_t bytes[64];
};
struct rr_address {
    uint8_t bytes[20];
};                /* first 20 bytes of BLAKE2b-256("rr.addr", key) */
struct rr_seckey; /* opaque, locked memory, wiped when freed */

/* New random key. Owned by the caller: rr_seckey_free. */
struct rr_seckey *rr_seckey_new(void);
/* From 32 bytes; NULL when not a valid scalar. */
struct rr_seckey *rr_seckey_from_bytes(const uint8_t bytes[static 32]);
void rr_seckey_free(struct rr_seckey *key);
/* Loads the 32-byte file at path, or makes it (mode 0600, durable) when absent. Wrong size or mode
 * readable by others: RR_ERR_DAMAGED / RR_ERR_TRUST. *out owned by the caller. */
enum rr_err rr_seckey_load(struct rr_seckey **out, const char *path,
                           struct rr_fault *fault) RR_MUST_USE;
void rr_seckey_public(const struct rr_seckey *key, struct rr_pubkey *out);
/* Signs a 32-byte digest that already carries its domain. Any thread. */
void rr_sign(struct rr_signature *out, const struct rr_seckey *key, const struct rr_hash32 *digest);
bool rr_verify(const struct rr_signature *signature, const struct rr_pubkey *key,
               const struct rr_hash32 *digest) RR_MUST_USE;
void rr_address_of(struct rr_address *out, const struct rr_pubkey *key);
#define RR_ADDRESS_TEXT_BYTES 64
/* bech32m "rr1..." or, with test true, "trr1..."; NUL-terminated. */
void rr_address_text(char text[static RR_ADDRESS_TEXT_BYTES], const struct rr_address *address,
                     bool test);
/* False on a wrong prefix, checksum, length or mixed case. */
bool rr_address_parse(struct rr_address *out, const char *text, bool test) RR_MUST_USE;

/* ---- streams, secrets ------------------------------------------------------------------------ */
/* len bytes of the ChaCha20 (IETF, 96-bit zero nonce, counter 0) key stream. */
void rr_chacha20_stream(uint8_t *out, size_t len, const uint8_t key[static 32]);
/* out = in XOR the same key stream from byte offset (a multiple of 64); in == out allowed. */
void rr_chacha20_xor(uint8_t *out, const uint8_t *in, size_t len, const uint8_t key[static 32],
                     uint64_t offset);
bool rr_equal_secret(const void *a, const void *b, size_t len); /* constant time */
void rr_wipe(void *bytes, size_t len);
#endif

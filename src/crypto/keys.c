/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "crypto/crypto.h"

#include <errno.h>
#include <pthread.h>
#include <secp256k1.h>
#include <secp256k1_extrakeys.h>
#include <secp256k1_schnorrsig.h>
#include <sodium.h>
#include <string.h>
#include <sys/stat.h>

/* Lives in sodium_malloc memory: locked, guarded by unreadable pages, wiped when freed. */
struct rr_seckey {
    secp256k1_keypair keypair;
    struct rr_pubkey public_key;
};

static pthread_once_t once = PTHREAD_ONCE_INIT;
static secp256k1_context *context; /* const after start_libraries: any thread may use it */

static void start_libraries(void)
{
    RR_CHECK(sodium_init() >= 0);
    uint8_t seed[32];
    context = secp256k1_context_create(SECP256K1_CONTEXT_NONE);
    RR_CHECK(context != NULL);
    rr_random(seed, sizeof seed);
    RR_CHECK(secp256k1_context_randomize(context, seed) == 1);
    sodium_memzero(seed, sizeof seed);
}

void rr_crypto_init(void)
{
    RR_CHECK(pthread_once(&once, start_libraries) == 0);
}

struct rr_seckey *rr_seckey_from_bytes(const uint8_t bytes[static 32])
{
    secp256k1_xonly_pubkey xonly;
    rr_crypto_init();
    struct rr_seckey *key = sodium_malloc(sizeof *key);
    RR_CHECK(key != NULL);
    if (secp256k1_keypair_create(context, &key->keypair, bytes) != 1) {
        sodium_free(key);
        return NULL;
    }
    RR_CHECK(secp256k1_keypair_xonly_pub(context, &xonly, NULL, &key->keypair) == 1);
    RR_CHECK(secp256k1_xonly_pubkey_serialize(context, key->public_key.bytes, &xonly) == 1);
    (void)sodium_mprotect_readonly(key);
    return key;
}

struct rr_seckey *rr_seckey_new(void)
{
    uint8_t bytes[32];
    struct rr_seckey *key = NULL;
    while (key == NULL) { /* one in 2^128 draws is not a scalar */
        rr_random(bytes, sizeof bytes);
        key = rr_seckey_from_bytes(bytes);
    }
    sodium_memzero(bytes, sizeof bytes);
    return key;
}

void rr_seckey_free(struct rr_seckey *key)
{
    sodium_free(key); /* NULL is fine; wipes */
}

static enum rr_err read_key(struct rr_seckey **out, const char *path, struct rr_fault *fault)
{
    struct stat info;
    struct rr_buf bytes = {0};
    enum rr_err err = rr_file_read(&bytes, path, 32, fault);
    if (err == RR_ERR_LIMIT || (err == RR_OK && bytes.len != 32)) {
        err =
            rr_fail(fault, RR_ERR_DAMAGED,
                    "the key file %s does not have its 32 bytes; restore it from your copy", path);
    }
    if (err != RR_OK) {
        goto clear;
    }
    if (stat(path, &info) != 0) {
        err = rr_fail_errno(fault, "cannot look at the key file %s", path);
        goto clear;
    }
    if ((info.st_mode & 077) != 0) {
        err =
            rr_fail(fault, RR_ERR_TRUST,
                    "the key file %s has mode %03o, others may read it; make it 600 and consider a "
                    "new key",
                    path, (unsigned)info.st_mode & 0777);
        goto clear;
    }
    struct rr_seckey *key = rr_seckey_from_bytes(bytes.ptr);
    if (key == NULL) {
        err = rr_fail(fault, RR_ERR_DAMAGED,
                      "the key file %s holds no valid key; restore it from your copy", path);
        goto clear;
    }
    *out = key;
clear:
    if (bytes.ptr != NULL) {
        sodium_memzero(bytes.ptr, bytes.cap);
    }
    rr_buf_clear(&bytes);
    return err;
}

/* rr_file_create keeps what is there: of two processes that start at once, both end with one key.
 */
static enum rr_err make_key(const char *path, struct rr_fault *fault)
{
    uint8_t bytes[32];
    struct rr_seckey *key = NULL;
    while (key == NULL) {
        rr_random(bytes, sizeof bytes);
        key = rr_seckey_from_bytes(bytes);
    }
    rr_seckey_free(key);
    enum rr_err err = rr_file_create(path, rr_slice_of(bytes, sizeof bytes), 0600, fault);
    sodium_memzero(bytes, sizeof bytes);
    return err == RR_ERR_EXISTS ? RR_OK : err;
}

enum rr_err rr_seckey_load(struct rr_seckey **out, const char *path, struct rr_fault *fault)
{
    enum rr_err err = read_key(out, path, fault);
    if (err == RR_ERR_NOTFOUND) {
        err = make_key(path, fault);
        if (err == RR_OK) {
            err = read_key(out, path, fault);
        }
    }
    return err;
}

void rr_seckey_public(const struct rr_seckey *key, struct rr_pubkey *out)
{
    *out = key->public_key;
}

void rr_sign(struct rr_signature *out, const struct rr_seckey *key, const struct rr_hash32 *digest)
{
    uint8_t aux[32]; /* BIP-340's auxiliary randomness: against fault and side-channel attacks */
    rr_random(aux, sizeof aux);
    RR_CHECK(secp256k1_schnorrsig_sign32(context, out->bytes, digest->bytes, &key->keypair, aux) ==
             1);
    sodium_memzero(aux, sizeof aux);
}

bool rr_verify(const struct rr_signature *signature, const struct rr_pubkey *key,
               const struct rr_hash32 *digest)
{
    secp256k1_xonly_pubkey xonly;
    rr_crypto_init();
    return secp256k1_xonly_pubkey_parse(context, &xonly, key->bytes) == 1 &&
           secp256k1_schnorrsig_verify(context, signature->bytes, digest->bytes,
                                       sizeof digest->bytes, &xonly) == 1;
}

void rr_address_of(struct rr_address *out, const struct rr_pubkey *key)
{
    struct rr_hash32 hash;
    rr_hash(&hash, "rr.addr", rr_slice_of(key->bytes, sizeof key->bytes));
    memcpy(out->bytes, hash.bytes, sizeof out->bytes);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Digests of the fixed values against tests/vectors/wire/digests.txt, which another implementation
 * made (tests/tools/wire_vectors.py). */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "formats.h"

static struct source fixed(void)
{
    return (struct source){.fixed = true};
}

/* The digest of that name in the file. */
static void kept_digest(struct rr_hash32 *out, const char *name)
{
    static struct rr_buf file;
    struct rr_fault fault;
    if (file.len == 0) {
        const char *path = RR_SOURCE_DIR "/tests/vectors/wire/digests.txt";
        if (rr_file_read(&file, path, 1 << 20, &fault) != RR_OK) {
            fail_msg("%s", fault.text);
        }
        rr_write_u8(&file, 0);
    }
    for (const char *at = (const char *)file.ptr; *at != '\0'; at += strcspn(at, "\n") + 1) {
        size_t len = strlen(name);
        if (strncmp(at, name, len) == 0 && at[len] == ' ') {
            assert_true(rr_unhex_slice(out->bytes, 32, rr_slice_of(at + len + 1, 64)));
            return;
        }
    }
    fail_msg("no digest of %s", name);
}

static void assert_kept(const struct rr_hash32 *ours, const char *name)
{
    struct rr_hash32 kept;
    kept_digest(&kept, name);
    if (!rr_hash32_equal(ours, &kept)) {
        fail_msg("the digest of %s differs", name);
    }
}

static void test_transactions(void **state)
{
    (void)state;
    static const char *const names[] = {"transfer", "create_pool",  "refill_pool",
                                        "settle",   "release_pool", "open_contract",
                                        "claim",    "attestation"};
    for (size_t i = 0; i < RR_COUNT(names); i++) {
        struct source s = fixed();
        struct rr_tx tx = make_tx_of(&s, make_tx_types[i]);
        struct rr_hash32 hash;
        char name[64];
        snprintf(name, sizeof name, "tx_%s", names[i]);
        rr_tx_digest(&hash, &tx);
        assert_kept(&hash, name);
        snprintf(name, sizeof name, "tx_%s_id", names[i]);
        rr_tx_id(&hash, &tx);
        assert_kept(&hash, name);
    }
}

static void test_chain(void **state)
{
    (void)state;
    struct rr_hash32 hash;
    struct source s = fixed();
    struct rr_genesis genesis = make_genesis(&s);
    rr_genesis_hash(&hash, &genesis);
    assert_kept(&hash, "genesis");
    s = fixed();
    struct rr_voucher voucher = make_voucher(&s);
    rr_voucher_digest(&hash, &voucher);
    assert_kept(&hash, "voucher");
    s = fixed();
    struct rr_header header = make_header(&s);
    rr_header_hash(&hash, &header);
    assert_kept(&hash, "header");
    struct rr_buf bytes = {0};
    struct rr_block block;
    s = fixed();
    write_block(&s, &bytes);
    assert_int_equal(rr_block_decode(&block, rr_buf_slice(&bytes), NULL), RR_OK);
    rr_block_tx_root(&hash, block.txs, block.tx_count);
    assert_kept(&hash, "block");
    rr_block_clear(&block);
    rr_buf_clear(&bytes);
}

static void test_media(void **state)
{
    (void)state;
    struct rr_hash32 hash;
    struct source s = fixed();
    struct rr_object object = make_object(&s);
    assert_kept(&object.object_id, "object");
    s = fixed();
    struct rr_job_spec job = make_job_spec(&s);
    rr_job_id(&hash, &job);
    assert_kept(&hash, "job_spec");
    s = fixed();
    struct rr_pot_answer answer = make_answer(&s);
    rr_pot_leaf_hash(&hash, &answer.job_id, &answer.leaf);
    assert_kept(&hash, "pot_answer");
}

/* The manifest's digest has no door of its own: a signature made over the kept one must hold. */
static void test_manifest(void **state)
{
    (void)state;
    struct source s = fixed();
    struct rr_manifest manifest = make_manifest(&s);
    struct rr_buf bytes = {0};
    struct rr_hash32 hash;
    rr_manifest_encode(&bytes, &manifest);
    rr_hash(&hash, "rr.manifest.v1", rr_slice_of(bytes.ptr, bytes.len - 64));
    assert_kept(&hash, "manifest");
    struct rr_seckey *key = rr_seckey_new();
    rr_manifest_sign(&manifest, key);
    bytes.len = 0;
    rr_manifest_encode(&bytes, &manifest);
    rr_hash(&hash, "rr.manifest.v1", rr_slice_of(bytes.ptr, bytes.len - 64));
    assert_true(rr_verify(&manifest.signature, &manifest.owner, &hash));
    rr_seckey_free(key);
    rr_buf_clear(&bytes);
    rr_manifest_clear(&manifest);
}

static void test_certificates(void **state)
{
    (void)state;
    struct rr_hash32 hash;
    struct source s = fixed();
    struct rr_certificate certificate = make_certificate(&s);
    rr_certificate_digest(&hash, &certificate);
    assert_kept(&hash, "certificate");
    s = fixed();
    struct rr_certificate_set set = make_set(&s);
    rr_certificate_set_leaf(&hash, 0, &set);
    assert_kept(&hash, "certificate_set");
    rr_certificate_set_clear(&set);
}

/* The claim's digest has no door of its own either. */
static void test_puzzle_claim(void **state)
{
    (void)state;
    struct rr_buf bytes = {0};
    struct rr_hash32 hash;
    struct source s = fixed();
    struct rr_puzzle_claim claim = make_puzzle_claim(&s);
    rr_puzzle_id(&hash, &claim);
    assert_kept(&hash, "puzzle_claim_id");
    rr_puzzle_claim_encode(&bytes, &claim);
    rr_hash(&hash, "rr.pzclaim.v1", rr_slice_of(bytes.ptr, bytes.len - 64));
    assert_kept(&hash, "puzzle_claim");
    struct rr_seckey *key = rr_seckey_new();
    rr_puzzle_claim_sign(&claim, key);
    bytes.len = 0;
    rr_puzzle_claim_encode(&bytes, &claim);
    rr_hash(&hash, "rr.pzclaim.v1", rr_slice_of(bytes.ptr, bytes.len - 64));
    assert_true(rr_verify(&claim.signature, &claim.viewer, &hash));
    assert_true(rr_puzzle_claim_verify(&claim));
    claim.nonce ^= 1;
    assert_false(rr_puzzle_claim_verify(&claim));
    rr_seckey_free(key);
    rr_buf_clear(&bytes);
}

int main(void)
{
    rr_crypto_init();
    const struct CMUnitTest tests[] = {
        {"digests and ids of each transaction", test_transactions, NULL, NULL, NULL},
        {"genesis, voucher, header, root of transactions", test_chain, NULL, NULL, NULL},
        {"object, job, leaf", test_media, NULL, NULL, NULL},
        {"manifest", test_manifest, NULL, NULL, NULL},
        {"certificate and the leaf of a set", test_certificates, NULL, NULL, NULL},
        {"puzzle claim and the name of its puzzle", test_puzzle_claim, NULL, NULL, NULL},
    };
    return cmocka_run_group_tests_name("wire digests", tests, NULL, NULL);
}

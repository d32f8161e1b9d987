/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What digests, signatures, ids and sums cover. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "keccak/keccak.h"
#include "make_more.h"

static struct rr_seckey *key_of(uint8_t last)
{
    uint8_t bytes[32] = {0};
    bytes[31] = last;
    struct rr_seckey *key = rr_seckey_from_bytes(bytes);
    assert_non_null(key);
    return key;
}

static void assert_hash(const struct rr_hash32 *hash, const struct rr_hash32 *expected)
{
    assert_memory_equal(hash->bytes, expected->bytes, 32);
}

static void test_tx_signature(void **state)
{
    (void)state;
    struct rr_seckey *key = key_of(3);
    struct source s = {.fixed = true};
    for (size_t i = 0; i < RR_COUNT(make_tx_types); i++) {
        struct rr_tx tx = make_tx_of(&s, make_tx_types[i]);
        struct rr_hash32 digest, id, before;
        struct rr_pubkey public;
        rr_tx_sign(&tx, key);
        rr_seckey_public(key, &public);
        assert_memory_equal(tx.sender.bytes, public.bytes, 32);
        rr_tx_digest(&digest, &tx);
        assert_true(rr_verify(&tx.signature, &tx.sender, &digest));
        rr_tx_id(&id, &tx);
        tx.signature.bytes[63] ^= 1;
        rr_tx_digest(&before, &tx);
        assert_hash(&before, &digest); /* the signature is not signed */
        rr_tx_id(&before, &tx);
        assert_memory_not_equal(before.bytes, id.bytes, 32); /* but belongs to the id */
        tx.fee = RR_COIN_ZERO;
        rr_tx_digest(&before, &tx);
        assert_memory_not_equal(before.bytes, digest.bytes, 32);
        assert_false(rr_verify(&tx.signature, &tx.sender, &before));
    }
    rr_seckey_free(key);
}

/* Each byte of the encoding but the signature's changes the digest; none of the signature's does.
 */
static void test_digest_covers(void **state)
{
    (void)state;
    struct source s = {.fixed = true};
    struct rr_tx tx = make_tx_of(&s, RR_TX_TRANSFER);
    struct rr_hash32 digest;
    struct rr_buf bytes = {0};
    rr_tx_digest(&digest, &tx);
    rr_tx_encode(&bytes, &tx);
    unsigned covered = 0;
    for (size_t i = 0; i < bytes.len; i++) {
        struct rr_tx other;
        struct rr_hash32 now;
        bytes.ptr[i] ^= 1;
        if (rr_tx_decode(&other, rr_buf_slice(&bytes), NULL) == RR_OK) {
            rr_tx_digest(&now, &other);
            assert_int_equal(rr_hash32_equal(&now, &digest), i >= bytes.len - 64);
            covered++;
        }
        bytes.ptr[i] ^= 1;
    }
    assert_int_equal(covered, bytes.len - 2); /* version and type */
    rr_buf_clear(&bytes);
}

static void test_voucher_value(void **state)
{
    (void)state;
    struct rr_voucher voucher = {.max_units = 10};
    struct rr_coin value;
    assert_true(rr_coin_of_units(&voucher.cum_amount, 1000));
    assert_true(rr_coin_of_units(&voucher.unit_price, 7));
    assert_true(rr_voucher_value(&value, &voucher, 0));
    assert_int_equal(value.units, 1000);
    assert_true(rr_voucher_value(&value, &voucher, 9));
    assert_int_equal(value.units, 1063);
    assert_true(rr_voucher_value(&value, &voucher, UINT32_MAX)); /* no more than max_units */
    assert_int_equal(value.units, 1070);
    assert_true(rr_coin_of_units(&voucher.cum_amount, RR_COIN_MAX_UNITS - 69));
    assert_true(rr_voucher_value(&value, &voucher, 9));
    value.units = 5;
    assert_false(rr_voucher_value(&value, &voucher, 10));
    assert_int_equal(value.units, 5);
    voucher.unit_price.units = RR_COIN_MAX_UNITS;
    assert_false(rr_voucher_value(&value, &voucher, 2));
}

static void test_payword(void **state)
{
    (void)state;
    struct rr_hash32 seed = {{1, 2, 3}}, once, expected;
    rr_hash(&expected, "rr.payword.v1", rr_slice_of(seed.bytes, 32));
    rr_payword_step(&once, &seed);
    assert_hash(&once, &expected);
    rr_payword_step(&seed, &seed); /* in place */
    assert_hash(&seed, &expected);
}

static void test_header_hashes(void **state)
{
    (void)state;
    struct source s = {.fixed = true};
    struct rr_header header = make_header(&s);
    struct rr_hash32 hash, work, again;
    struct rr_buf bytes = {0};
    rr_header_encode(&bytes, &header);
    assert_true(bytes.len <= RR_HEADER_BYTES_MAX);
    rr_header_hash(&hash, &header);
    rr_hash(&again, "rr.blk.v1", rr_buf_slice(&bytes));
    assert_hash(&hash, &again);
    rr_header_work_hash(&work, &header);
    rr_keccak256(again.bytes, bytes.ptr,
                 bytes.len - 40); /* without nonce and mix, which end the encoding */
    assert_hash(&work, &again);
    header.nonce++;
    header.mix.bytes[5]++;
    rr_header_work_hash(&again, &header);
    assert_hash(&again, &work);
    rr_header_hash(&again, &header);
    assert_memory_not_equal(again.bytes, hash.bytes, 32);
    rr_buf_clear(&bytes);
    header.sets = RR_HEADER_SETS_MAX;
    rr_header_encode(&bytes, &header);
    assert_int_equal(bytes.len, 363 + 8 * RR_HEADER_SETS_MAX);
    rr_buf_clear(&bytes);
}

static void test_difficulty_zero(void **state)
{
    (void)state;
    struct source s = {.fixed = true};
    struct rr_header header = make_header(&s), out;
    struct rr_fault fault;
    struct rr_buf bytes = {0};
    header.difficulty = rr_u256_of(0);
    rr_header_encode(&bytes, &header);
    assert_int_equal(rr_header_decode(&out, rr_buf_slice(&bytes), &fault), RR_ERR_FORMAT);
    rr_buf_clear(&bytes);
}

static void test_tx_root(void **state)
{
    (void)state;
    struct source s = {.fixed = true};
    struct rr_tx txs[3] = {make_tx(&s), make_tx(&s), make_tx(&s)};
    struct rr_hash32 leaves[3], root, expected;
    for (int i = 0; i < 3; i++) {
        struct rr_hash32 id;
        rr_tx_id(&id, &txs[i]);
        rr_hash(&leaves[i], "rr.txleaf.v1", rr_slice_of(id.bytes, 32));
    }
    for (uint32_t count = 1; count <= 3; count++) {
        rr_merkle_root(&expected, leaves, count);
        rr_block_tx_root(&root, txs, count);
        assert_hash(&root, &expected);
    }
    rr_block_tx_root(&root, NULL, 0);
    assert_true(rr_hash32_is_zero(&root));
}

static void test_certificate(void **state)
{
    (void)state;
    struct rr_seckey *key = key_of(9);
    struct source s = {.fixed = true};
    struct rr_certificate certificate = make_certificate(&s), other;
    struct rr_hash32 digest, work, again;
    rr_certificate_sign(&certificate, key);
    rr_certificate_digest(&digest, &certificate);
    assert_true(rr_verify(&certificate.signature, &certificate.viewer, &digest));
    rr_certificate_work_hash(&work, &certificate);
    struct rr_buf bytes = {0}; /* spec 10, 3, written out */
    rr_buf_append(&bytes, "reelrig/sc", 10);
    rr_write_u32(&bytes, certificate.chain_id);
    rr_buf_append(&bytes, certificate.cacher.bytes, 32);
    rr_buf_append(&bytes, certificate.viewer.bytes, 32);
    rr_buf_append(&bytes, certificate.block_hash.bytes, 32);
    rr_keccak256(again.bytes, bytes.ptr, bytes.len);
    assert_hash(&work, &again);
    other = certificate;
    other.nonce++;
    rr_certificate_work_hash(&again, &other);
    assert_hash(&again, &work); /* the nonce is what is searched for */
    rr_certificate_digest(&again, &other);
    assert_memory_not_equal(again.bytes, digest.bytes, 32);
    rr_buf_clear(&bytes);
    rr_seckey_free(key);
}

static void test_set(void **state)
{
    (void)state;
    struct source s = {.fixed = true};
    struct rr_certificate_set set = make_set(&s), out;
    struct rr_hash32 leaf, again;
    struct rr_fault fault;
    struct rr_buf bytes = {0};
    rr_certificate_set_leaf(&leaf, 1, &set);
    rr_certificate_set_leaf(&again, 2, &set);
    assert_memory_not_equal(leaf.bytes, again.bytes, 32);
    set.entries[1].credit_ms++;
    rr_certificate_set_leaf(&again, 1, &set);
    assert_memory_not_equal(leaf.bytes, again.bytes, 32);
    set.entries[0].credit_ms = UINT64_MAX - 2;
    set.entries[1].credit_ms = 1;
    set.entries[2].credit_ms = 1;
    assert_int_equal(rr_certificate_set_ms(&set), UINT64_MAX);
    set.entries[1].credit_ms = 7;
    assert_int_equal(rr_certificate_set_ms(&set), UINT64_MAX); /* no wrap */
    set.entries[1].certificate = set.entries[0].certificate;   /* the same place twice */
    rr_certificate_set_encode(&bytes, &set);
    assert_int_equal(rr_certificate_set_decode(&out, rr_buf_slice(&bytes), &fault), RR_ERR_FORMAT);
    bytes.len = 0;
    set.entries[1].certificate.block_height--; /* falling */
    rr_certificate_set_encode(&bytes, &set);
    assert_int_equal(rr_certificate_set_decode(&out, rr_buf_slice(&bytes), &fault), RR_ERR_FORMAT);
    rr_buf_clear(&bytes);
    rr_certificate_set_clear(&set);
}

static void test_object(void **state)
{
    (void)state;
    struct rr_object object = {.k = 10, .m = 4, .strip = RR_STRIP_BYTES, .class = RR_CLASS_LOCAL};
    struct {
        uint64_t length, shard;
    } rows[] = {{0, 16384},
                {1, 16384},
                {163840, 16384},
                {163841, 32768},
                {UINT64_C(1) << 40, UINT64_C(109951172608)}};
    for (size_t i = 0; i < RR_COUNT(rows); i++) {
        object.length = rows[i].length;
        assert_int_equal(rr_object_shard_bytes(&object), rows[i].shard);
    }
    object.length = INT64_MAX;
    object.k = 1;
    assert_true(rr_object_shard_bytes(&object) >= INT64_MAX); /* no overflow */
    struct rr_buf bytes = {0};
    struct rr_object out;
    struct rr_fault fault;
    rr_object_set_id(&object);
    object.length--;
    rr_object_encode(&bytes, &object);
    assert_int_equal(rr_object_decode(&out, rr_buf_slice(&bytes), &fault), RR_ERR_TRUST);
    rr_buf_clear(&bytes);
}

static enum rr_err decode_manifest(const struct rr_manifest *manifest)
{
    struct rr_buf bytes = {0};
    struct rr_manifest out;
    struct rr_fault fault;
    rr_manifest_encode(&bytes, manifest);
    enum rr_err err = rr_manifest_decode(&out, rr_buf_slice(&bytes), &fault);
    if (err == RR_OK) {
        rr_manifest_clear(&out);
    }
    rr_buf_clear(&bytes);
    return err;
}

static void test_manifest(void **state)
{
    (void)state;
    struct rr_seckey *key = key_of(5);
    struct source s = {.fixed = true};
    struct rr_manifest m = make_manifest(&s);
    assert_int_equal(decode_manifest(&m), RR_OK);
    m.created_ms++;
    assert_int_equal(decode_manifest(&m), RR_ERR_TRUST); /* the resource id covers it */
    m.created_ms--;
    rr_manifest_sign(&m, key);
    assert_true(rr_manifest_verify(&m));
    m.slice_price.units++;
    assert_false(rr_manifest_verify(&m));
    m.slice_price.units--;
    assert_true(rr_manifest_verify(&m));
    rr_resource_id(&m.resource_id, m.chain_id, &m.owner, &m.objects[m.original].object_id,
                   m.created_ms, m.kind);
    assert_int_equal(decode_manifest(&m), m.kind == RR_RESOURCE_LIVE ? RR_ERR_TRUST : RR_OK);
    rr_manifest_clear(&m);
    rr_manifest_clear(&m); /* safe twice */
    rr_seckey_free(key);
}

/* Each line: one field made wrong in an otherwise good manifest. */
#define REFUSED(change)                                                                            \
    do {                                                                                           \
        struct source source = {.fixed = true};                                                    \
        struct rr_manifest m = make_manifest(&source);                                             \
        struct rr_rendition *r = &m.renditions[0];                                                 \
        struct rr_segment *g = &r->segments[0];                                                    \
        (void)g;                                                                                   \
        change;                                                                                    \
        assert_int_equal(decode_manifest(&m), RR_ERR_FORMAT);                                      \
        rr_manifest_clear(&m);                                                                     \
    } while (0)

static void test_manifest_refusals(void **state)
{
    (void)state;
    REFUSED(m.revision = 0);
    REFUSED(m.slice_bytes = 4095);
    REFUSED(m.slice_bytes = (16u << 20) + 1);
    REFUSED(m.kind = (enum rr_resource_kind)4);
    REFUSED(m.kind = RR_RESOURCE_VOD; m.original = m.object_count);
    REFUSED(m.title[0] = '\n');
    REFUSED(m.title[0] = '\x7f');
    REFUSED(m.title[0] = '\x80');
    REFUSED(memcpy(m.title, "\xed\xa0\x80", 4)); /* a surrogate */
    REFUSED(memcpy(m.title, "\xc0\xaf", 3));     /* longer than needed */
    REFUSED(memcpy(m.title, "\xc2\x85", 3));     /* a control of the second kind */
    REFUSED(memcpy(m.title, "\xf4\x90\x80\x80", 5));
    REFUSED(r->name[0] = 'A');
    REFUSED(r->name[0] = '/');
    REFUSED(r->name[0] = '\0');
    REFUSED(memcpy(m.renditions[1].name, r->name, sizeof r->name));
    REFUSED(r->codecs[0] = '"');
    REFUSED(r->codecs[0] = '\n');
    REFUSED(r->kind = (enum rr_rendition_kind)4);
    REFUSED(r->kind = (enum rr_rendition_kind)3; r->width = 1);
    REFUSED(r->label[0] = '\n');
    REFUSED(r->language[0] = '-');
    REFUSED(memcpy(r->language, "e_n", 4));
    REFUSED(r->kind = RR_RENDITION_VIDEO; r->flags = RR_RENDITION_FORCED);
    REFUSED(r->flags = 4);
    REFUSED(r->kind = RR_RENDITION_AUDIO; r->width = 1);
    REFUSED(r->kind = RR_RENDITION_VIDEO; r->height = 0);
    REFUSED(r->fps_den = 0);
    REFUSED(r->video_range = 3);
    REFUSED(r->timescale = 0);
    REFUSED(r->init.duration = 1);
    REFUSED(g->object = m.object_count);
    REFUSED(g->bytes = 0);
    REFUSED(g->offset = m.objects[g->object].length);
    REFUSED(g->offset = UINT64_MAX);
    REFUSED(m.objects[0].object_id.bytes[0] ^= 1);
}

static void test_titles(void **state)
{
    (void)state;
    struct source s = {.fixed = true};
    struct rr_manifest m = make_manifest(&s);
    const char *good[] = {"", "Caf\xc3\xa9", "\xe4\xb8\xad\xe6\x96\x87", "\xf0\x9f\x8e\xac",
                          "\xef\xbf\xbd"};
    for (size_t i = 0; i < RR_COUNT(good); i++) {
        memset(m.title, 0, sizeof m.title);
        memcpy(m.title, good[i], strlen(good[i]));
        assert_int_equal(decode_manifest(&m), RR_OK);
    }
    rr_manifest_clear(&m);
}

static void test_set_title(void **state)
{
    (void)state;
    static const struct {
        const char *text, *title;
    } rows[] = {
        {"", ""},
        {"Big Buck Bunny", "Big Buck Bunny"},
        {"a\nb\x7f", "a?b?"},
        {"caf\xe9", "caf?"}, /* Latin-1 */
        {"123456789 123456789 123456789 123456789 123456789 123456789 1234567",
         "123456789 123456789 123456789 123456789 123456789 123456789 1234"},
        /* The 64th byte is the first half of a character: it is left out whole. */
        {"123456789 123456789 123456789 123456789 123456789 123456789 123\xc3\xa9",
         "123456789 123456789 123456789 123456789 123456789 123456789 123"},
    };
    struct source s = {.fixed = true};
    struct rr_manifest m = make_manifest(&s);
    for (size_t i = 0; i < RR_COUNT(rows); i++) {
        rr_manifest_set_title(&m, rows[i].text);
        assert_string_equal(m.title, rows[i].title);
        assert_int_equal(decode_manifest(&m), RR_OK);
    }
    rr_manifest_clear(&m);
}

int main(void)
{
    rr_crypto_init();
    const struct CMUnitTest tests[] = {
        {"a transaction is signed over all but its signature", test_tx_signature, NULL, NULL, NULL},
        {"the digest changes with every byte it should cover", test_digest_covers, NULL, NULL,
         NULL},
        {"a voucher is worth no more than its units and never wraps", test_voucher_value, NULL,
         NULL, NULL},
        {"a payword is one hash", test_payword, NULL, NULL, NULL},
        {"the work hash leaves out nonce and mix, the block hash nothing", test_header_hashes, NULL,
         NULL, NULL},
        {"a header without difficulty is refused", test_difficulty_zero, NULL, NULL, NULL},
        {"the root of transactions is over their ids", test_tx_root, NULL, NULL, NULL},
        {"a certificate's signature and work cover what they should", test_certificate, NULL, NULL,
         NULL},
        {"a set is strictly sorted, its sum saturates, its leaf names its place", test_set, NULL,
         NULL, NULL},
        {"shards are whole strips and the id covers the record", test_object, NULL, NULL, NULL},
        {"a manifest is signed and its resource id checked", test_manifest, NULL, NULL, NULL},
        {"a manifest with one wrong field is refused", test_manifest_refusals, NULL, NULL, NULL},
        {"titles are UTF-8 of any script", test_titles, NULL, NULL, NULL},
        {"a title of any bytes is made to fit", test_set_title, NULL, NULL, NULL},
    };
    return cmocka_run_group_tests_name("wire meaning", tests, NULL, NULL);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "unit/base/unit.h"

#include "crypto/crypto.h"
#include <sys/stat.h>

static struct rr_fault fault;

struct vector {
    bool has_secret;
    uint8_t secret[32];
    struct rr_pubkey key;
    struct rr_hash32 digest;
    struct rr_signature signature;
};

static size_t read_vectors(struct vector *out, size_t cap)
{
    FILE *file = fopen(RR_SOURCE_DIR "/tests/vectors/bip340.txt", "r");
    char line[512];
    size_t count = 0;
    assert_non_null(file);
    while (fgets(line, sizeof line, file) != NULL) {
        char secret[65];
        char key[65];
        char digest[65];
        char signature[129];
        if (line[0] == '#') {
            continue;
        }
        assert_int_equal(sscanf(line, "%64s %64s %64s %128s", secret, key, digest, signature), 4);
        assert_true(count < cap);
        struct vector *vector = &out[count++];
        vector->has_secret = secret[0] != '-';
        assert_true(!vector->has_secret || rr_unhex(vector->secret, 32, secret));
        assert_true(rr_unhex(vector->key.bytes, 32, key));
        assert_true(rr_unhex(vector->digest.bytes, 32, digest));
        assert_true(rr_unhex(vector->signature.bytes, 64, signature));
    }
    fclose(file);
    return count;
}

static void the_vectors_of_bip_340_hold(void **state)
{
    (void)state;
    struct vector vectors[8];
    size_t count = read_vectors(vectors, RR_COUNT(vectors));
    assert_int_equal(count, 5);
    for (size_t i = 0; i < count; i++) {
        struct vector *v = &vectors[i];
        assert_true(rr_verify(&v->signature, &v->key, &v->digest));
        if (v->has_secret) {
            struct rr_pubkey key;
            struct rr_seckey *secret = rr_seckey_from_bytes(v->secret);
            assert_non_null(secret);
            rr_seckey_public(secret, &key);
            assert_memory_equal(key.bytes, v->key.bytes, 32);
            rr_seckey_free(secret);
        }
    }
}

static void each_flipped_bit_breaks_a_signature(void **state)
{
    (void)state;
    struct rr_pubkey key;
    struct rr_signature signature;
    struct rr_hash32 digest;
    struct rr_seckey *secret = rr_seckey_new();
    rr_seckey_public(secret, &key);
    rr_hash(&digest, "test", rr_slice_str("message"));
    rr_sign(&signature, secret, &digest);
    assert_true(rr_verify(&signature, &key, &digest));
    for (unsigned bit = 0; bit < 512; bit++) {
        signature.bytes[bit / 8] ^= (uint8_t)(1U << bit % 8);
        assert_false(rr_verify(&signature, &key, &digest));
        signature.bytes[bit / 8] ^= (uint8_t)(1U << bit % 8);
    }
    for (unsigned bit = 0; bit < 256; bit++) {
        digest.bytes[bit / 8] ^= (uint8_t)(1U << bit % 8);
        assert_false(rr_verify(&signature, &key, &digest));
        digest.bytes[bit / 8] ^= (uint8_t)(1U << bit % 8);
        key.bytes[bit / 8] ^= (uint8_t)(1U << bit % 8);
        assert_false(rr_verify(&signature, &key, &digest));
        key.bytes[bit / 8] ^= (uint8_t)(1U << bit % 8);
    }
    assert_true(rr_verify(&signature, &key, &digest));
    rr_seckey_free(secret);
}

static void values_outside_the_field_and_the_group_are_refused(void **state)
{
    (void)state;
    static const char field[] = "FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEFFFFFC2F";
    static const char group[] = "FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141";
    struct vector vectors[8];
    uint8_t order[32];
    assert_true(read_vectors(vectors, RR_COUNT(vectors)) > 1);
    struct vector v = vectors[1];
    assert_true(rr_unhex(v.signature.bytes, 32, field));
    assert_false(rr_verify(&v.signature, &v.key, &v.digest));
    v = vectors[1];
    assert_true(rr_unhex(v.signature.bytes + 32, 32, group));
    assert_false(rr_verify(&v.signature, &v.key, &v.digest));
    v = vectors[1];
    assert_true(rr_unhex(v.key.bytes, 32, field));
    assert_false(rr_verify(&v.signature, &v.key, &v.digest));
    assert_true(rr_unhex(order, 32, group));
    assert_null(rr_seckey_from_bytes(order));
    order[31] -= 1;
    struct rr_seckey *largest = rr_seckey_from_bytes(order);
    assert_non_null(largest);
    rr_seckey_free(largest);
    memset(order, 0, sizeof order);
    assert_null(rr_seckey_from_bytes(order));
    rr_seckey_free(NULL);
}

static void a_key_file_is_made_once_and_loaded_after(void **state)
{
    (void)state;
    char folder[64];
    char path[RR_PATH_BYTES];
    struct stat info;
    struct rr_pubkey first;
    struct rr_pubkey second;
    struct rr_seckey *key = NULL;
    make_folder(folder);
    assert_int_equal(rr_path(path, &fault, "%s/key", folder), RR_OK);
    assert_int_equal(rr_seckey_load(&key, path, &fault), RR_OK);
    rr_seckey_public(key, &first);
    rr_seckey_free(key);
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0600);
    assert_int_equal(info.st_size, 32);
    assert_int_equal(rr_seckey_load(&key, path, &fault), RR_OK);
    rr_seckey_public(key, &second);
    rr_seckey_free(key);
    assert_memory_equal(first.bytes, second.bytes, 32);

    key = NULL;
    assert_int_equal(chmod(path, 0640), 0);
    assert_int_equal(rr_seckey_load(&key, path, &fault), RR_ERR_TRUST);
    assert_int_equal(chmod(path, 0600), 0);
    static const uint8_t zeros[33];
    static const size_t sizes[] = {0, 31, 32, 33};
    for (size_t i = 0; i < RR_COUNT(sizes); i++) {
        assert_int_equal(rr_file_write(path, rr_slice_of(zeros, sizes[i]), 0600, &fault), RR_OK);
        assert_int_equal(rr_seckey_load(&key, path, &fault), RR_ERR_DAMAGED);
        assert_non_null(strstr(fault.text, path));
    }
    assert_null(key);
    assert_int_equal(rr_path(path, &fault, "%s/none/key", folder), RR_OK);
    assert_int_equal(rr_seckey_load(&key, path, &fault), RR_ERR_NOTFOUND);
    drop_folder(folder);
}

/* Texts made by an implementation of BIP-350 apart from ours. */
static void addresses_are_bech32m(void **state)
{
    (void)state;
    static const struct {
        int fill; /* of the 20 bytes; -1: 0, 1, 2 ... */
        bool test;
        const char *text;
    } cases[] = {
        {0, false, "rr1qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqq85h9ln"},
        {-1, false, "rr1qqqsyqcyq5rqwzqfpg9scrgwpugpzysnhpxqfh"},
        {255, false, "rr1llllllllllllllllllllllllllllllllt9k2ce"},
        {0, true, "trr1qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqcyavj9"},
        {-1, true, "trr1qqqsyqcyq5rqwzqfpg9scrgwpugpzysng3vfyp"},
        {255, true, "trr1llllllllllllllllllllllllllllllll54ur40"},
    };
    for (size_t i = 0; i < RR_COUNT(cases); i++) {
        struct rr_address address;
        struct rr_address back;
        char text[RR_ADDRESS_TEXT_BYTES];
        for (int j = 0; j < 20; j++) {
            address.bytes[j] = (uint8_t)(cases[i].fill < 0 ? j : cases[i].fill);
        }
        rr_address_text(text, &address, cases[i].test);
        assert_string_equal(text, cases[i].text);
        assert_true(rr_address_parse(&back, text, cases[i].test));
        assert_memory_equal(back.bytes, address.bytes, 20);
        assert_false(rr_address_parse(&back, text, !cases[i].test));
        for (char *c = text; *c != '\0'; c++) {
            *c = (char)(*c >= 'a' && *c <= 'z' ? *c - 'a' + 'A' : *c);
        }
        assert_true(rr_address_parse(&back, text, cases[i].test));
        text[0] = (char)(text[0] | 0x20);
        assert_false(rr_address_parse(&back, text, cases[i].test));
    }
}

/* Every change of one character, and of two neighbours by exchange, must show [BIP-173: up to 4
 * errors]. */
static void every_single_error_in_an_address_shows(void **state)
{
    (void)state;
    static const char good[] = "rr1qqqsyqcyq5rqwzqfpg9scrgwpugpzysnhpxqfh";
    struct rr_address kept;
    char text[RR_ADDRESS_TEXT_BYTES];
    memset(kept.bytes, 7, sizeof kept.bytes);
    for (size_t at = 0; at < sizeof good - 1; at++) {
        for (int c = 1; c < 256; c++) {
            memcpy(text, good, sizeof good);
            text[at] = (char)c;
            if (text[at] != good[at]) {
                assert_false(rr_address_parse(&kept, text, false));
            }
        }
        memcpy(text, good, sizeof good);
        text[at] = '\0';
        assert_false(rr_address_parse(&kept, text, false));
        if (good[at] != good[at + 1]) {
            memcpy(text, good, sizeof good);
            text[at] = good[at + 1];
            text[at + 1] = good[at];
            assert_false(rr_address_parse(&kept, text, false));
        }
    }
    memcpy(text, good, sizeof good);
    memcpy(text + sizeof good - 1, "q", 2);
    assert_false(rr_address_parse(&kept, text, false));
    assert_int_equal(kept.bytes[0], 7);
}

static void an_address_is_the_head_of_the_keys_hash(void **state)
{
    (void)state;
    struct rr_pubkey key;
    struct rr_address address;
    uint8_t expected[20];
    for (int i = 0; i < 32; i++) {
        key.bytes[i] = (uint8_t)i;
    }
    rr_address_of(&address, &key);
    assert_true(rr_unhex(expected, 20, "3b08c391d416d3e51c1ae5ede57fd9257757d6e7"));
    assert_memory_equal(address.bytes, expected, 20);
}

int main(void)
{
    rr_crypto_init();
    rr_crypto_init();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_vectors_of_bip_340_hold),
        cmocka_unit_test(each_flipped_bit_breaks_a_signature),
        cmocka_unit_test(values_outside_the_field_and_the_group_are_refused),
        cmocka_unit_test(a_key_file_is_made_once_and_loaded_after),
        cmocka_unit_test(addresses_are_bech32m),
        cmocka_unit_test(every_single_error_in_an_address_shows),
        cmocka_unit_test(an_address_is_the_head_of_the_keys_hash),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

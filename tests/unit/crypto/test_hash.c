/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Hashes, Merkle trees and the key stream. The BLAKE2b values come from Python's hashlib, with
 * `person`. */
#include "unit/base/unit.h"

#include "crypto/crypto.h"

static void assert_hash(const struct rr_hash32 *hash, const char *expected)
{
    char text[65];
    rr_hex(text, hash->bytes, 32);
    assert_string_equal(text, expected);
}

static void the_domain_is_blake2bs_personalization(void **state)
{
    (void)state;
    struct rr_hash32 hash;
    uint8_t bytes[1000];
    for (size_t i = 0; i < sizeof bytes; i++) {
        bytes[i] = (uint8_t)(i % 251);
    }
    rr_hash(&hash, "rr.tx.v1", (struct rr_slice){0});
    assert_hash(&hash, "bb0af0cc4b8acd00c9e81ec7dfa44926c2b7b9bf224b02ff48a13eb50f8e6ce4");
    rr_hash(&hash, "0123456789abcdef", rr_slice_str("abc"));
    assert_hash(&hash, "139dad3b92ad7c4601ae1ba6c616ca59699c6b1e8e789d095e1bec905871f612");
    static const char long_hash[] =
        "66906db032f7cfc7b43ed84d1aebf87b0100dec4d446de21dba1dbddab7ea1e8";
    rr_hash(&hash, "rr.node.v1", rr_slice_of(bytes, sizeof bytes));
    assert_hash(&hash, long_hash);
    for (size_t step = 1; step < 300; step += 7) {
        struct rr_hasher hasher;
        rr_hasher_init(&hasher, "rr.node.v1");
        for (size_t at = 0; at < sizeof bytes; at += step) {
            rr_hasher_add(&hasher, bytes + at, sizeof bytes - at < step ? sizeof bytes - at : step);
        }
        rr_hasher_final(&hasher, &hash);
        assert_hash(&hash, long_hash);
    }
    for (uint8_t i = 0; i < 32; i++) {
        bytes[i] = i;
    }
    rr_keyed_hash(&hash, bytes, rr_slice_str("abc"));
    assert_hash(&hash, "d63a32d3e44738d7907f964316c241adaba0abfeabc32349677578a15a203f7f");
}

static void hash_with_long_domain(void)
{
    struct rr_hash32 hash;
    rr_hash(&hash, "0123456789abcdefg", (struct rr_slice){0});
}

static void a_domain_of_17_bytes_is_a_bug(void **state)
{
    (void)state;
    assert_aborts(hash_with_long_domain);
}

enum { LEAVES_MAX = 70 };
static struct rr_hash32 leaves[LEAVES_MAX];

static int fill_leaves(void **state)
{
    (void)state;
    for (size_t i = 0; i < LEAVES_MAX; i++) {
        memset(leaves[i].bytes, (int)i, 32);
    }
    return 0;
}

/* Roots from a level-by-level implementation in Python. */
static void roots_promote_the_odd_node(void **state)
{
    (void)state;
    static const struct {
        uint32_t count;
        const char *root;
    } cases[] = {
        {0, "0000000000000000000000000000000000000000000000000000000000000000"},
        {1, "0000000000000000000000000000000000000000000000000000000000000000"},
        {2, "d63083f5a88082f0b58d5179604a81614e8d96c2ca50ed910fd0fe5520b8985c"},
        {3, "be8dc44df503404fe4296e1e4e76e7fea44b0a86be11f1b68de2d8fd57a9f1eb"},
        {5, "b4f85cc4aaede19bc50b80fc6acd99bf3497a20ad69637a1c5ac7e21f4be5d95"},
        {7, "1811d3d3b7377fff443a53553123a0dee10661ab06b4780d5b705026a4c58db0"},
        {13, "98b5b367682b57096ef2105d9ff7d984578c1eb622b7cf7d53be65c1aebf465e"},
    };
    struct rr_hash32 root;
    for (size_t i = 0; i < RR_COUNT(cases); i++) {
        rr_merkle_root(&root, leaves, cases[i].count);
        assert_hash(&root, cases[i].root);
    }
    /* CVE-2012-2459: a doubled last leaf must not give the same root. */
    struct rr_hash32 doubled[4] = {leaves[0], leaves[1], leaves[2], leaves[2]};
    struct rr_hash32 other;
    rr_merkle_root(&root, leaves, 3);
    rr_merkle_root(&other, doubled, 4);
    assert_false(rr_hash32_equal(&root, &other));
}

static void check_proof(uint32_t count, uint32_t index, const struct rr_hash32 *root)
{
    struct rr_merkle_proof proof;
    rr_merkle_prove(&proof, leaves, count, index);
    assert_true(proof.index == index && proof.count == count);
    assert_true(rr_merkle_check(&proof, &leaves[index], root));
    for (uint32_t other = 0; other < count; other++) {
        if (other != index) {
            assert_false(rr_merkle_check(&proof, &leaves[other], root));
            struct rr_merkle_proof moved = proof;
            moved.index = other;
            assert_false(rr_merkle_check(&moved, &leaves[index], root));
        }
    }
    for (uint32_t i = 0; i < proof.depth; i++) {
        struct rr_merkle_proof bent = proof;
        bent.siblings[i].bytes[i % 32] ^= 1;
        assert_false(rr_merkle_check(&bent, &leaves[index], root));
    }
    struct rr_merkle_proof bent = proof;
    bent.depth = proof.depth + 1;
    assert_false(rr_merkle_check(&bent, &leaves[index], root));
    bent.depth = proof.depth - 1; /* wraps at 0: beyond the maximum */
    assert_false(rr_merkle_check(&bent, &leaves[index], root));
    bent = proof;
    bent.index = count;
    assert_false(rr_merkle_check(&bent, &leaves[index], root));
    bent.count = 0;
    assert_false(rr_merkle_check(&bent, &leaves[index], root));
}

static void each_leaf_of_each_small_tree_is_proved_and_nothing_else(void **state)
{
    (void)state;
    for (uint32_t count = 1; count <= LEAVES_MAX; count++) {
        struct rr_hash32 root;
        rr_merkle_root(&root, leaves, count);
        for (uint32_t index = 0; index < count; index++) {
            check_proof(count, index, &root);
        }
    }
}

static void counts_up_to_the_largest_end(void **state)
{
    (void)state;
    struct rr_merkle_proof proof = {.index = 0, .count = UINT32_MAX, .depth = 32};
    struct rr_hash32 root = {{1}};
    assert_false(rr_merkle_check(&proof, &leaves[0], &root));
    proof.index = UINT32_MAX - 1;
    assert_false(rr_merkle_check(&proof, &leaves[0], &root));
}

/* RFC 8439, A.1, vectors 1 and 2: key and nonce zero, counters 0 and 1. */
static void the_key_stream_is_chacha20(void **state)
{
    (void)state;
    static const uint8_t key[32];
    static const char expected[] =
        "76b8e0ada0f13d90405d6ae55386bd28bdd219b8a08ded1aa836efcc8b770dc7"
        "da41597c5157488d7724e03fb8d84a376a43b8f41518a11cc387b669b2ee6586"
        "9f07e7be5551387a98ba977c732d080dcb0f29a048e3656912c6533e32ee7aed"
        "29b721769ce64e43d57133b074d839d531ed1f28510afb45ace10a1f4b794d6f";
    uint8_t stream[128];
    uint8_t out[128];
    char text[257];
    rr_chacha20_stream(stream, sizeof stream, key);
    rr_hex(text, stream, sizeof stream);
    assert_string_equal(text, expected);
    memset(out, 0x5a, sizeof out);
    rr_chacha20_xor(out, out, 64, key, 0);
    rr_chacha20_xor(out + 64, out + 64, 64, key, 64);
    for (size_t i = 0; i < sizeof out; i++) {
        assert_int_equal(out[i] ^ 0x5a, stream[i]);
    }
    rr_chacha20_xor(out, out, sizeof out, key, 0);
    for (size_t i = 0; i < sizeof out; i++) {
        assert_int_equal(out[i], 0x5a);
    }
    rr_chacha20_xor(NULL, NULL, 0, key, 64);
}

static void start_within_a_block(void)
{
    static uint8_t bytes[64];
    rr_chacha20_xor(bytes, bytes, 64, bytes, 1);
}

static void run_past_the_counter(void)
{
    static uint8_t bytes[65];
    rr_chacha20_xor(bytes, bytes, 65, bytes, ((UINT64_C(1) << 32) - 1) * 64);
}

static void a_key_stream_never_repeats(void **state)
{
    (void)state;
    uint8_t last[64] = {0};
    uint8_t first[64] = {0};
    rr_chacha20_xor(last, last, 64, (uint8_t[32]){0}, ((UINT64_C(1) << 32) - 1) * 64);
    rr_chacha20_stream(first, 64, (uint8_t[32]){0});
    assert_memory_not_equal(first, last, 64);
    assert_aborts(start_within_a_block);
    assert_aborts(run_past_the_counter);
}

static void secrets_compare_and_are_wiped(void **state)
{
    (void)state;
    uint8_t a[16] = {1};
    uint8_t b[16] = {1};
    assert_true(rr_equal_secret(a, b, sizeof a));
    b[15] = 1;
    assert_false(rr_equal_secret(a, b, sizeof a));
    rr_wipe(a, sizeof a);
    assert_int_equal(a[0], 0);
}

int main(void)
{
    rr_crypto_init();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_domain_is_blake2bs_personalization),
        cmocka_unit_test(a_domain_of_17_bytes_is_a_bug),
        cmocka_unit_test(roots_promote_the_odd_node),
        cmocka_unit_test(each_leaf_of_each_small_tree_is_proved_and_nothing_else),
        cmocka_unit_test(counts_up_to_the_largest_end),
        cmocka_unit_test(the_key_stream_is_chacha20),
        cmocka_unit_test(a_key_stream_never_repeats),
        cmocka_unit_test(secrets_compare_and_are_wiped),
    };
    return cmocka_run_group_tests(tests, fill_leaves, NULL);
}

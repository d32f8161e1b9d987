/* SPDX-License-Identifier: GPL-2.0-or-later */
/* 256 certificates of one set, their work by the real engine: the same verdicts as one by one, and
 * how fast. RR_SHORT=1: a tiny dataset in place of the light cache of epoch 0. */
#include "hash/hash.h"
#include "proof/proof.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
/* after its own needs */
#include <cmocka.h>

#define COUNT RR_PROOF_BATCH_MAX

struct many {
    struct rr_genesis genesis;
    struct rr_pubkey cacher;
    struct rr_seckey *keys[COUNT];
    struct rr_certificate certificates[COUNT];
    struct rr_hash_engine *engine;
    uint32_t batches, works, singles;
    bool broken;
};

#define ok(call)                                                                                   \
    do {                                                                                           \
        struct rr_fault fault = {0};                                                               \
        if ((call) != RR_OK) {                                                                     \
            fail_msg("%s", fault.text);                                                            \
        }                                                                                          \
    } while (0)

static bool hash_of_block(void *ctx, uint64_t height, struct rr_hash32 *out)
{
    (void)ctx;
    memset(out, 0xaa, sizeof(*out));
    memcpy(out->bytes, &height, sizeof(height));
    return true;
}

static bool work_one(void *ctx, const uint8_t header_hash[32], uint64_t nonce, uint8_t mix[32],
                     uint8_t final_be[32])
{
    struct many *many = ctx;
    many->singles++;
    rr_hash_light_compute(rr_hash_engine_light(many->engine), header_hash, nonce, mix, final_be);
    return true;
}

static bool work_many(void *ctx, struct rr_proof_work *works, size_t count)
{
    struct many *many = ctx;
    struct rr_hash_check checks[COUNT];
    many->batches++;
    many->works += (uint32_t)count;
    if (many->broken) {
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        memcpy(checks[i].header_hash, works[i].header_hash, 32);
        checks[i].nonce = works[i].nonce;
    }
    ok(rr_hash_verify(many->engine, checks, count, &fault));
    for (size_t i = 0; i < count; i++) {
        memcpy(works[i].final_be, checks[i].final_be, 32);
    }
    return true;
}

static int compare_keys(const void *left, const void *right)
{
    struct rr_pubkey a, b;
    rr_seckey_public(*(struct rr_seckey *const *)left, &a);
    rr_seckey_public(*(struct rr_seckey *const *)right, &b);
    return memcmp(&a, &b, sizeof(a));
}

static int make_world(void **state)
{
    static struct many many;
    struct rr_hash_params params = {.cache_items = 1021, .dataset_items = 8191};
    struct rr_hash_options options = {.threads = 1, .devices = "cpu"};
    rr_crypto_init();
    ok(rr_genesis_parse(&many.genesis, rr_slice_str(rr_genesis_preset("dev")), "dev", &fault));
    if (getenv("RR_SHORT") == NULL) {
        ok(rr_hash_params_epoch(&params, 0, RR_HASH_ETHASH_BLOCKS, &fault));
    }
    many.genesis.puzzle_blocks = 4;
    many.genesis.window_blocks = 40;
    many.genesis.certificate_hashes_per_s = 1; /* each nonce is worth something */
    many.genesis.certificates_per_block = 1024;
    many.genesis.certificate_binding = RR_BINDING_NONE;
    ok(rr_hash_engine_new(&many.engine, &params, &options, &fault));
    memset(many.cacher.bytes, 0xcc, 32);
    for (uint32_t i = 0; i < COUNT; i++) {
        uint8_t bytes[32] = {1, (uint8_t)i, 9};
        many.keys[i] = rr_seckey_from_bytes(bytes);
    }
    qsort(many.keys, COUNT, sizeof(struct rr_seckey *), compare_keys);
    *state = &many;
    return 0;
}

static int clear_world(void **state)
{
    struct many *many = *state;
    for (uint32_t i = 0; i < COUNT; i++) {
        rr_seckey_free(many->keys[i]);
    }
    rr_hash_engine_free(many->engine);
    return 0;
}

static struct rr_certificate make(struct many *many, uint32_t viewer, uint64_t height)
{
    struct rr_certificate certificate = {.chain_id = rr_genesis_chain_id(&many->genesis),
                                         .cacher = many->cacher,
                                         .block_height = height,
                                         .nonce = 7919 * (viewer + 1)};
    hash_of_block(NULL, height, &certificate.block_hash);
    rr_certificate_sign(&certificate, many->keys[viewer]);
    return certificate;
}

static int set_up(void **state)
{
    struct many *many = *state;
    for (uint32_t i = 0; i < COUNT; i++) {
        many->certificates[i] = make(many, i, 100);
    }
    many->batches = 0;
    many->works = 0;
    many->singles = 0;
    many->broken = false;
    return 0;
}

static struct rr_proof_view view_of(struct many *many)
{
    return (struct rr_proof_view){.genesis = &many->genesis,
                                  .tip_height = 103,
                                  .block_hash = hash_of_block,
                                  .work = work_one,
                                  .work_ctx = many};
}

static void batch(struct many *many, struct rr_proof_verdict *verdicts)
{
    struct rr_proof_view view = view_of(many);
    ok(rr_proof_certificates_check(&view, verdicts, many->certificates, COUNT, &many->cacher,
                                   work_many, many, &fault));
}

/* Of this thread: others share the machine. */
static double cpu_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void a_batch_judges_as_one_by_one_does(void **state)
{
    struct many *many = *state;
    static struct rr_proof_verdict verdicts[COUNT], singly[COUNT];
    memset(verdicts, 0, sizeof(verdicts));
    memset(singly, 0, sizeof(singly));
    double from_s = cpu_s();
    batch(many, verdicts);
    double batch_s = cpu_s() - from_s;
    assert_int_equal(many->batches, 1);
    assert_int_equal(many->works, COUNT);
    assert_int_equal(many->singles, 0);
    struct rr_proof_view view = view_of(many);
    from_s = cpu_s();
    ok(rr_proof_certificates_check(&view, singly, many->certificates, COUNT, &many->cacher, NULL,
                                   NULL, &fault));
    double single_s = cpu_s() - from_s;
    assert_int_equal(many->singles, COUNT);
    for (uint32_t i = 0; i < COUNT; i++) {
        uint64_t ms = 0;
        struct rr_fault fault;
        assert_int_equal(verdicts[i].refusal, singly[i].refusal);
        assert_int_equal(verdicts[i].service_ms, singly[i].service_ms);
        assert_memory_equal(verdicts[i].final_be, singly[i].final_be, 32);
        enum rr_err err =
            rr_proof_certificate_check(&view, &ms, &many->certificates[i], &many->cacher, &fault);
        assert_int_equal(err == RR_OK, verdicts[i].refusal == RR_PROOF_ACCEPTED);
        assert_int_equal(ms, verdicts[i].service_ms);
    }
    print_message(
        "%d certificates, CPU time: %.0f/s in a batch (%s), %.0f/s one by one by the law: %.1f x\n",
        COUNT, COUNT / batch_s, rr_hash_engine_text(many->engine), COUNT / single_s,
        single_s / batch_s);
}

static void only_what_passes_the_cheap_checks_costs_work(void **state)
{
    struct many *many = *state;
    static struct rr_proof_verdict verdicts[COUNT];
    static const enum rr_proof_refusal expected[] = {
        RR_PROOF_CHAIN,     RR_PROOF_CACHER, RR_PROOF_HEIGHT,  RR_PROOF_HEIGHT,
        RR_PROOF_SIGNATURE, RR_PROOF_LATE,   RR_PROOF_UNBOUND, RR_PROOF_BLOCK,
    };
    memset(verdicts, 0, sizeof(verdicts));
    many->certificates[0].chain_id++;
    many->certificates[1].cacher.bytes[0] ^= 1;
    many->certificates[2].block_height = 101;
    many->certificates[3].block_height = 40;
    many->certificates[4].signature.bytes[1] ^= 1;
    verdicts[5].refusal = RR_PROOF_LATE; /* the caller's words */
    verdicts[6].refusal = RR_PROOF_UNBOUND;
    many->certificates[7].block_hash.bytes[9] ^= 1;
    many->certificates[8] = make(many, 8, 96);
    batch(many, verdicts);
    assert_int_equal(many->works, COUNT - 8);
    for (size_t i = 0; i < RR_COUNT(expected); i++) {
        assert_int_equal(verdicts[i].refusal, expected[i]);
        assert_int_equal(verdicts[i].service_ms, 0);
        assert_false(verdicts[i].worked);
        assert_true(strlen(rr_proof_refusal_text(expected[i])) > 2);
    }
    assert_true(verdicts[8].worked);
}

static void a_puzzle_has_the_grace_of_one_more_in_blocks_or_in_time(void **state)
{
    struct many *many = *state;
    const struct rr_genesis *genesis = &many->genesis; /* d is 4 */
    uint64_t puzzle_ms = (uint64_t)genesis->puzzle_blocks * genesis->block_ms;
    assert_true(rr_proof_on_time(genesis, 100, 103, 0, 900000));
    assert_true(rr_proof_on_time(genesis, 96, 103, 1000, 900000)); /* the next one is slow */
    assert_false(rr_proof_on_time(genesis, 92, 103, 1000, 1001 + puzzle_ms));
    assert_true(rr_proof_on_time(genesis, 92, 103, 1000, 1000 + puzzle_ms)); /* all were fast */
    assert_true(rr_proof_on_time(genesis, 92, 103, 1000, 990));              /* dates may go back */
    assert_false(rr_proof_on_time(genesis, 104, 103, 0, 0));
    assert_true(rr_proof_on_time(genesis, 0, 7, 0, 900000));
}

static void without_work_nothing_is_judged(void **state)
{
    struct many *many = *state;
    static struct rr_proof_verdict verdicts[COUNT + 1];
    struct rr_fault fault = {0};
    struct rr_proof_view view = view_of(many);
    memset(verdicts, 0, sizeof(verdicts));
    many->broken = true;
    assert_int_equal(rr_proof_certificates_check(&view, verdicts, many->certificates, COUNT,
                                                 &many->cacher, work_many, many, &fault),
                     RR_ERR_STATE);
    assert_int_equal(rr_proof_certificates_check(&view, verdicts, many->certificates, COUNT + 1,
                                                 &many->cacher, work_many, many, &fault),
                     RR_ERR_LIMIT);
    many->batches = 0;
    assert_int_equal(rr_proof_certificates_check(&view, verdicts, many->certificates, 0,
                                                 &many->cacher, work_many, many, &fault),
                     RR_OK);
    assert_int_equal(many->batches, 0);
}

static uint64_t no_room(void *ctx, const struct rr_hash32 *pool_id)
{
    (void)ctx, (void)pool_id;
    return 0;
}

static enum rr_err verify(struct many *many, const struct rr_certificate_set *sets, uint32_t count)
{
    struct rr_fault fault = {0};
    struct rr_proof_view view = view_of(many);
    enum rr_err err =
        rr_proof_sets_verify(&view, sets, count, &many->cacher,
                             (struct rr_proof_room){.ms = no_room}, work_many, many, &fault);
    assert_true(err == RR_OK || fault.text[0] != 0);
    return err;
}

static void a_set_of_another_is_verified_as_one_batch(void **state)
{
    struct many *many = *state;
    static struct rr_proof_verdict verdicts[COUNT];
    static struct rr_certificate_entry entries[COUNT];
    struct rr_certificate_set *sets;
    uint32_t count;
    uint32_t good = 0;
    memset(verdicts, 0, sizeof(verdicts));
    batch(many, verdicts);
    for (uint32_t i = 0; i < COUNT; i++) {
        if (verdicts[i].refusal == RR_PROOF_ACCEPTED) {
            entries[good++] = (struct rr_certificate_entry){.certificate = many->certificates[i],
                                                            .credit_ms = verdicts[i].service_ms};
        }
    }
    assert_true(good > COUNT / 4);
    rr_proof_sets_build(&many->genesis, &sets, &count, entries, good,
                        (struct rr_proof_room){.ms = no_room});
    assert_int_equal(count, 1);
    many->batches = 0;
    assert_int_equal(verify(many, sets, count), RR_OK);
    assert_int_equal(many->batches, 1);
    struct rr_certificate_entry *entry = &sets[0].entries[sets[0].count / 2];
    struct rr_certificate_entry kept = *entry;
    entry->credit_ms++; /* more than its work shows */
    assert_int_not_equal(verify(many, sets, count), RR_OK);
    *entry = kept;
    entry->certificate.nonce ^= 1; /* not what was signed */
    assert_int_equal(verify(many, sets, count), RR_ERR_TRUST);
    *entry = kept;
    many->batches = 0;
    sets[0].entries[1] = sets[0].entries[0]; /* twice: found before any work is done */
    assert_int_equal(verify(many, sets, count), RR_ERR_TRUST);
    assert_int_equal(many->batches, 0);
    rr_proof_sets_free(sets, count);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_batch_judges_as_one_by_one_does, set_up),
        cmocka_unit_test_setup(only_what_passes_the_cheap_checks_costs_work, set_up),
        cmocka_unit_test_setup(a_puzzle_has_the_grace_of_one_more_in_blocks_or_in_time, set_up),
        cmocka_unit_test_setup(without_work_nothing_is_judged, set_up),
        cmocka_unit_test_setup(a_set_of_another_is_verified_as_one_batch, set_up),
    };
    return cmocka_run_group_tests(tests, make_world, clear_world);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The ledger as a light client sees it through the serving port. */
#include "client.h"

#include <jansson.h>

static int set_up(void **state)
{
    *state = world_new(1, 1000, 1000);
    return 0;
}

static int tear_down(void **state)
{
    world_free(*state);
    return 0;
}

static json_t *json_of(const struct answer *answer)
{
    json_t *json = json_loadb((const char *)answer->body.ptr, answer->body.len, 0, NULL);
    assert_field(answer, "Content-Type", "application/json");
    assert_non_null(json);
    return json;
}

static uint64_t number(const json_t *json, const char *key)
{
    json_t *value = json_object_get(json, key);
    assert_true(json_is_integer(value));
    return (uint64_t)json_integer_value(value);
}

static const char *text(const json_t *json, const char *key)
{
    const char *value = json_string_value(json_object_get(json, key));
    assert_non_null(value);
    return value;
}

static struct rr_tx transfer(struct world *world, uint64_t units)
{
    struct rr_tx tx = {.type = RR_TX_TRANSFER, .chain_id = rr_genesis_chain_id(&world->genesis)};
    rr_address_of(&tx.body.transfer.to, &world->rig_public);
    tx.body.transfer.amount = coins(units);
    world_ok(rr_chain_next_sequence(world->chain, &world->viewer_public, &tx.sequence, &fault));
    rr_tx_sign(&tx, world->viewer);
    tx.fee = rr_chain_min_fee(world->chain, &tx);
    rr_tx_sign(&tx, world->viewer);
    return tx;
}

static void tip_genesis_and_headers_fit_together(void **state)
{
    struct world *world = *state;
    struct answer answer = {0};
    struct rr_genesis genesis;
    struct rr_header *header = rr_alloc(sizeof(*header));
    struct rr_hash32 hash;
    char hex[65];
    world_mine(world, world->rig, 7); /* 9 */
    ask(world, &answer, "GET", "", "/v1/ledger/genesis", "");
    world_ok(rr_genesis_decode(&genesis, rr_buf_slice(&answer.body), &fault));
    rr_genesis_hash(&hash, &genesis);
    rr_hex(hex, hash.bytes, 32);
    ask(world, &answer, "GET", "", "/v1/ledger/tip", "");
    json_t *tip = json_of(&answer);
    assert_string_equal(text(tip, "genesis"), hex);
    assert_int_equal(number(tip, "height"), 9);
    assert_int_equal(number(tip, "chain_id"), rr_genesis_chain_id(&genesis));
    assert_int_equal(number(tip, "finalized_height"), 0);
    ask(world, &answer, "GET", "", "/v1/ledger/headers?from=1&count=2000", "");
    struct rr_reader reader = rr_reader_of(rr_buf_slice(&answer.body));
    rr_rule_genesis_header(&genesis, header);
    for (uint64_t height = 1; height <= 9; height++) {
        struct rr_slice bytes = rr_read_var16(&reader, RR_HEADER_BYTES_MAX);
        rr_header_hash(&hash, header);
        world_ok(rr_header_decode(header, bytes, &fault));
        assert_int_equal(header->height, height);
        assert_memory_equal(&header->parent, &hash, 32);
    }
    assert_true(rr_reader_done(&reader));
    rr_header_hash(&hash, header);
    rr_hex(hex, hash.bytes, 32);
    assert_string_equal(text(tip, "hash"), hex);
    rr_hex(hex, header->state_root.bytes, 32);
    assert_string_equal(text(tip, "state_root"), hex);
    ask(world, &answer, "GET", "", "/v1/ledger/headers?from=10", "");
    assert_int_equal(answer.status, 200);
    assert_int_equal(answer.body.len, 0);
    ask(world, &answer, "GET", "", "/v1/ledger/headers?count=2001", "");
    assert_int_equal(answer.status, 413);
    ask(world, &answer, "GET", "", "/v1/ledger/headers?from=-1", "");
    assert_int_equal(answer.status, 400);
    json_decref(tip);
    rr_free(header);
    answer_clear(&answer);
}

static void a_transaction_goes_in_and_its_proof_comes_out(void **state)
{
    struct world *world = *state;
    struct client client = client_open(rr_serve_port(world->serve));
    struct answer answer = {0};
    struct rr_tx tx = transfer(world, 12345);
    struct rr_buf bytes = {0};
    struct rr_hash32 id;
    char hex[65];
    char path[160];
    rr_tx_id(&id, &tx);
    rr_hex(hex, id.bytes, 32);
    rr_tx_encode(&bytes, &tx);
    client_post(&client, &answer, "/v1/ledger/transactions", &bytes);
    assert_int_equal(answer.status, 202);
    json_t *json = json_of(&answer);
    assert_string_equal(text(json, "id"), hex);
    json_decref(json);
    snprintf(path, sizeof(path), "/v1/ledger/transactions/%s", hex);
    client_ask(&client, &answer, "GET", "", path, "");
    assert_int_equal(answer.status, 404);
    world_mine(world, world->rig, 1);
    client_ask(&client, &answer, "GET", "", path, "");
    json = json_of(&answer);
    assert_int_equal(number(json, "height"), 3);
    json_decref(json);
    world_mine(world, world->rig, 2);
    snprintf(path, sizeof(path), "/v1/ledger/proof/%s?from=0", hex);
    client_ask(&client, &answer, "GET", "", path, "");
    struct rr_tx_proof proof;
    struct rr_header *first = rr_alloc(sizeof(*first));
    world_ok(rr_tx_proof_decode(&proof, rr_buf_slice(&answer.body), &fault));
    rr_rule_genesis_header(&world->genesis, first);
    world_ok(rr_rule_check_proof(&world->genesis, &proof, first, 0, world_work, world, &fault));
    rr_tx_proof_clear(&proof);
    rr_free(first);
    rr_hex(hex, world->rig_public.bytes, 32);
    snprintf(path, sizeof(path), "/v1/ledger/account/%s", hex);
    client_ask(&client, &answer, "GET", "", path, "");
    json = json_of(&answer);
    struct rr_account account;
    struct rr_address address;
    char units[32];
    rr_address_of(&address, &world->rig_public);
    world_ok(rr_chain_account(world->chain, &address, &account, &fault));
    snprintf(units, sizeof(units), "%llu", (unsigned long long)rr_coin_units(account.balance));
    assert_string_equal(text(json, "balance_units"), units);
    assert_int_equal(number(json, "next_sequence"), 1);
    char by_address[192];
    snprintf(by_address, sizeof(by_address), "/v1/ledger/account/%s", text(json, "address"));
    json_decref(json);
    client_ask(&client, &answer, "GET", "", by_address, "");
    json = json_of(&answer);
    assert_string_equal(text(json, "balance_units"), units);
    json_decref(json);
    rr_buf_clear(&bytes);
    answer_clear(&answer);
    client_close(&client);
}

static void refused_transactions_say_why(void **state)
{
    struct world *world = *state;
    struct client client = client_open(rr_serve_port(world->serve));
    struct answer answer = {0};
    struct rr_buf bytes = {0};
    struct rr_tx tx = transfer(world, 1);
    tx.signature.bytes[7] ^= 1;
    rr_tx_encode(&bytes, &tx);
    client_post(&client, &answer, "/v1/ledger/transactions", &bytes);
    assert_int_equal(answer.status, 403);
    assert_holds(&answer, "\"error\":\"trust\"");
    bytes.len = 0;
    tx = transfer(world, RR_COIN_MAX_UNITS / 2);
    rr_tx_encode(&bytes, &tx);
    client_post(&client, &answer, "/v1/ledger/transactions", &bytes);
    assert_int_equal(answer.status, 402);
    bytes.len -= 1;
    client_post(&client, &answer, "/v1/ledger/transactions", &bytes);
    assert_int_equal(answer.status, 400);
    client_ask(&client, &answer, "GET", "", "/v1/ledger/account/trr1nonsense", "");
    assert_int_equal(answer.status, 400);
    client_ask(&client, &answer, "GET", "",
               "/v1/ledger/pools/0000000000000000000000000000000000000000000000000000000000000000",
               "");
    assert_int_equal(answer.status, 404);
    rr_buf_clear(&bytes);
    answer_clear(&answer);
    client_close(&client);
}

static void a_pool_is_shown(void **state)
{
    struct world *world = *state;
    struct answer answer = {0};
    struct rr_tx tx = transfer(world, 1);
    struct rr_hash32 id;
    char hex[65];
    char path[128];
    tx.type = RR_TX_CREATE_POOL;
    memset(&tx.body, 0, sizeof(tx.body));
    tx.body.create_pool.resource_id = world->paid.manifest.resource_id;
    tx.body.create_pool.deposit = coins(500);
    tx.body.create_pool.collateral = coins(501);
    tx.body.create_pool.duration_blocks = 20;
    tx.fee = RR_COIN_ZERO;
    rr_tx_sign(&tx, world->viewer);
    tx.fee = rr_chain_min_fee(world->chain, &tx);
    rr_tx_sign(&tx, world->viewer);
    world_ok(rr_chain_submit(world->chain, &tx, &fault));
    world_mine(world, world->rig, 1);
    rr_tx_id(&id, &tx);
    rr_hex(hex, id.bytes, 32);
    snprintf(path, sizeof(path), "/v1/ledger/pools/%s", hex);
    ask(world, &answer, "GET", "", path, "");
    json_t *json = json_of(&answer);
    assert_string_equal(text(json, "deposit_units"), "500");
    assert_string_equal(text(json, "collateral_units"), "501");
    assert_string_equal(text(json, "settled_here_units"), "0");
    assert_int_equal(number(json, "created_height"), 3);
    assert_int_equal(number(json, "end_height"), 23);
    json_decref(json);
    answer_clear(&answer);
}

static void bodies_come_chunked_and_after_leave(void **state)
{
    struct world *world = *state;
    struct client client = client_open(rr_serve_port(world->serve));
    struct answer answer = {0};
    struct rr_tx tx = transfer(world, 77);
    struct rr_buf bytes = {0};
    struct rr_buf request = {0};
    rr_tx_encode(&bytes, &tx);
    rr_buf_format(&request, "POST /v1/ledger/transactions HTTP/1.1\r\nHost: a\r\n"
                            "Transfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n");
    client_write(&client, request.ptr, request.len);
    client_read(&client, &answer, false);
    assert_int_equal(answer.status, 100);
    request.len = 0;
    for (size_t i = 0; i < bytes.len; i += 7) {
        size_t len = bytes.len - i < 7 ? bytes.len - i : 7;
        rr_buf_format(&request, "%zx\r\n", len);
        rr_buf_append(&request, bytes.ptr + i, len);
        rr_buf_format(&request, "\r\n");
    }
    rr_buf_format(&request, "0\r\n\r\n");
    client_write(&client, request.ptr, request.len);
    client_read(&client, &answer, false);
    assert_int_equal(answer.status, 202);
    client_text(&client, "POST /v1/ledger/transactions HTTP/1.1\r\nHost: a\r\n"
                         "Content-Length: 4097\r\nExpect: 100-continue\r\n\r\n");
    client_read(&client, &answer, false);
    assert_int_equal(answer.status, 413);
    assert_true(client_ends(&client, CLIENT_WAIT_MS));
    rr_buf_clear(&bytes);
    rr_buf_clear(&request);
    answer_clear(&answer);
    client_close(&client);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(tip_genesis_and_headers_fit_together),
        TEST(a_transaction_goes_in_and_its_proof_comes_out),
        TEST(refused_transactions_say_why),
        TEST(a_pool_is_shown),
        TEST(bodies_come_chunked_and_after_leave),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

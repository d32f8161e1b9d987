/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The node's ledger for light clients. All of it reads the database or waits for its disk: workers
 * do it. */
#include "serve/serve_reply.h"
#include <stdio.h>
#include <string.h>

#define HEADERS_MAX 2000 /* headers of one answer: at most 2 MB */
#define UNITS_BYTES 24

static void keep_json(struct serve_request *request, const struct serve_number *members,
                      size_t count)
{
    struct rr_buf text = {0};
    serve_json_flat(&text, members, count);
    request->blob = serve_blob_new(&text);
}

static void units_text(char text[static UNITS_BYTES], struct rr_coin coin)
{
    snprintf(text, UNITS_BYTES, "%llu", (unsigned long long)rr_coin_units(coin));
}

static void read_tip(struct serve_request *request)
{
    struct rr_chain_tip tip;
    char hash[65];
    char root[65];
    char genesis[65];
    rr_chain_tip(request->serve->options.chain, &tip);
    rr_hex(hash, tip.hash.bytes, 32);
    rr_hex(root, tip.state_root.bytes, 32);
    rr_hex(genesis, request->serve->genesis_hash.bytes, 32);
    const struct serve_number members[] = {
        {"height", NULL, tip.height},
        {"hash", hash, 0},
        {"state_root", root, 0},
        {"time_ms", NULL, tip.time_ms},
        {"genesis", genesis, 0},
        {"chain_id", NULL, request->serve->chain_id},
        {"finalized_height", NULL, tip.finalized_height},
    };
    keep_json(request, members, RR_COUNT(members));
}

/* An address, or the key that it is made of: only a key has transactions waiting. */
static void read_account(struct serve_request *request)
{
    struct rr_chain *chain = request->serve->options.chain;
    bool test = request->serve->options.genesis->test_addresses;
    struct rr_address address;
    struct rr_account account;
    struct rr_pubkey key;
    char text[RR_ADDRESS_TEXT_BYTES];
    char units[UNITS_BYTES];
    uint64_t next = 0;
    bool is_key = rr_unhex_slice(key.bytes, 32, request->rest);
    if (is_key) {
        rr_address_of(&address, &key);
    } else if (request->rest.len < sizeof(text)) {
        memcpy(text, request->rest.ptr, request->rest.len);
        text[request->rest.len] = '\0';
    }
    if (!is_key && (request->rest.len >= sizeof(text) || !rr_address_parse(&address, text, test))) {
        request->err =
            rr_fail(&request->fault, RR_ERR_FORMAT,
                    "an account is named by its address (%s...) or 64 hex digits of its key",
                    test ? "trr1" : "rr1");
        return;
    }
    request->err = rr_chain_account(chain, &address, &account, &request->fault);
    if (request->err == RR_OK) {
        next = account.sequence + 1;
        if (is_key) {
            request->err = rr_chain_next_sequence(chain, &key, &next, &request->fault);
        }
    }
    if (request->err != RR_OK) {
        return;
    }
    rr_address_text(text, &address, test);
    units_text(units, account.balance);
    const struct serve_number members[] = {{"address", text, 0},
                                           {"balance_units", units, 0},
                                           {"sequence", NULL, account.sequence},
                                           {"next_sequence", NULL, next}};
    keep_json(request, members, RR_COUNT(members));
}

static void submit(struct serve_request *request)
{
    struct rr_tx tx;
    struct rr_hash32 id;
    char text[65];
    request->err = rr_tx_decode(&tx, rr_buf_slice(&request->body), &request->fault);
    if (request->err == RR_OK) {
        request->err = rr_chain_submit(request->serve->options.chain, &tx, &request->fault);
    }
    if (request->err == RR_OK) {
        rr_tx_id(&id, &tx);
        rr_hex(text, id.bytes, 32);
        const struct serve_number member = {"id", text, 0};
        keep_json(request, &member, 1);
    }
}

static void read_transaction(struct serve_request *request)
{
    uint64_t height = 0;
    request->err =
        rr_chain_tx_height(request->serve->options.chain, &request->id, &height, &request->fault);
    const struct serve_number member = {"height", NULL, height};
    if (request->err == RR_OK) {
        keep_json(request, &member, 1);
    }
}

/* "name=digits" of the query; absent gives `otherwise`. */
static enum rr_err query_number(struct serve_request *request, uint64_t *out, const char *name,
                                uint64_t otherwise)
{
    struct rr_slice query = serve_span_of(&request->bytes, request->head.query);
    struct rr_slice text = serve_text_query(query, name);
    *out = otherwise;
    if (text.ptr != NULL && !serve_text_number(out, text, INT64_MAX)) {
        return rr_fail(&request->fault, RR_ERR_FORMAT, "'%s' in the query is not a whole number",
                       name);
    }
    return RR_OK;
}

static void read_proof(struct serve_request *request)
{
    struct rr_tx_proof proof = {0};
    struct rr_buf bytes = {0};
    uint64_t from;
    request->err = query_number(request, &from, "from", 0);
    if (request->err == RR_OK) {
        request->err = rr_chain_prove_tx(request->serve->options.chain, &proof, &request->id, from,
                                         &request->fault);
    }
    if (request->err == RR_OK) {
        rr_tx_proof_encode(&bytes, &proof);
        request->blob = serve_blob_new(&bytes);
        rr_tx_proof_clear(&proof);
    }
}

static void read_headers(struct serve_request *request)
{
    struct rr_chain *chain = request->serve->options.chain;
    struct rr_chain_tip tip;
    struct rr_header *header = rr_alloc(sizeof(*header));
    struct rr_buf bytes = {0};
    struct rr_buf one = {0};
    uint64_t from;
    uint64_t count;
    rr_chain_tip(chain, &tip);
    request->err = query_number(request, &from, "from", 0);
    if (request->err == RR_OK) {
        request->err = query_number(request, &count, "count", HEADERS_MAX);
    }
    if (request->err == RR_OK && count > HEADERS_MAX) {
        request->err = rr_fail(&request->fault, RR_ERR_LIMIT,
                               "%llu headers are asked for, at most %d come at once",
                               (unsigned long long)count, HEADERS_MAX);
    }
    for (uint64_t i = 0; request->err == RR_OK && i < count && from + i <= tip.height; i++) {
        request->err = rr_chain_header(chain, from + i, header, &request->fault);
        if (request->err == RR_OK) {
            one.len = 0;
            rr_header_encode(&one, header);
            rr_write_var16(&bytes, rr_buf_slice(&one));
        }
    }
    if (request->err == RR_OK) {
        request->blob = serve_blob_new(&bytes);
    }
    rr_buf_clear(&bytes);
    rr_buf_clear(&one);
    rr_free(header);
}

static void read_pool(struct serve_request *request)
{
    struct rr_serve *serve = request->serve;
    struct rr_chain *chain = serve->options.chain;
    struct rr_pool_state pool;
    struct rr_pool_target target;
    struct rr_address address;
    char id[65];
    char resource[65];
    char owner[65];
    char amounts[5][UNITS_BYTES];
    rr_address_of(&address, &serve->options.key);
    request->err = rr_chain_pool(chain, &request->id, &pool, &request->fault);
    if (request->err == RR_OK) {
        request->err =
            rr_chain_pool_target(chain, &request->id, &address, &target, &request->fault);
    }
    if (request->err != RR_OK) {
        return;
    }
    rr_hex(id, request->id.bytes, 32);
    rr_hex(resource, pool.resource_id.bytes, 32);
    rr_hex(owner, pool.owner.bytes, 32);
    units_text(amounts[0], pool.deposit);
    units_text(amounts[1], pool.deposit_left);
    units_text(amounts[2], pool.collateral);
    units_text(amounts[3], pool.cap);
    units_text(amounts[4], target.settled);
    const struct serve_number members[] = {
        {"pool", id, 0},
        {"resource", resource, 0},
        {"owner", owner, 0},
        {"deposit_units", amounts[0], 0},
        {"deposit_left_units", amounts[1], 0},
        {"collateral_units", amounts[2], 0},
        {"cap_units", amounts[3], 0},
        {"settled_here_units", amounts[4], 0},
        {"created_height", NULL, pool.created_height},
        {"end_height", NULL, pool.end_height},
    };
    keep_json(request, members, RR_COUNT(members));
}

/* ---- replies -------------------------------------------------------------------------- */
static void reply_taken(struct serve_request *request)
{
    serve_reply_made(request, 202, "application/json");
}

static void reply_genesis(struct serve_request *request)
{
    struct serve_blob *blob = serve_blob_ref(request->serve->genesis);
    struct serve_entity entity = {
        .type = "application/octet-stream", .cache = "no-cache", .size = blob->len};
    serve_etag_make(entity.etag, rr_slice_of(blob->bytes, blob->len));
    serve_reply_entity(request, &entity, blob);
}

void serve_ledger_run(struct serve_request *request)
{
    switch (request->route) {
    case SERVE_ROUTE_TIP:
        serve_request_block(request, read_tip, serve_reply_made_json);
        return;
    case SERVE_ROUTE_GENESIS:
        reply_genesis(request);
        return;
    case SERVE_ROUTE_ACCOUNT:
        serve_request_block(request, read_account, serve_reply_made_json);
        return;
    case SERVE_ROUTE_TRANSACTIONS:
        serve_request_block(request, submit, reply_taken);
        return;
    case SERVE_ROUTE_TRANSACTION:
        serve_request_block(request, read_transaction, serve_reply_made_json);
        return;
    case SERVE_ROUTE_PROOF:
        serve_request_block(request, read_proof, serve_reply_made_wire);
        return;
    case SERVE_ROUTE_HEADERS:
        serve_request_block(request, read_headers, serve_reply_made_wire);
        return;
    case SERVE_ROUTE_POOL:
        serve_request_block(request, read_pool, serve_reply_made_json);
        return;
    case SERVE_ROUTE_HEALTH:
    case SERVE_ROUTE_RESOURCES:
    case SERVE_ROUTE_MANIFEST:
    case SERVE_ROUTE_OFFER:
    case SERVE_ROUTE_HLS:
    case SERVE_ROUTE_SESSIONS:
    case SERVE_ROUTE_CERTIFICATES:
    case SERVE_ROUTE_CLAIMS:
    case SERVE_ROUTE_WORK:
    case SERVE_ROUTE_LIVE:
        RR_BUG("not a route of the ledger");
    }
}

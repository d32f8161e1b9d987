/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Offer, pool, session, slices: as a viewer that trusts nobody. */
#include "client.h"

#define SEGMENT_BYTES 150000 /* three slices */
#define DEPOSIT       (200 * (uint64_t)WORLD_PRICE)
#define UNITS         150

static int set_up(void **state)
{
    *state = world_new(1, SEGMENT_BYTES, SEGMENT_BYTES);
    return 0;
}

static int tear_down(void **state)
{
    world_free(*state);
    return 0;
}

struct viewer {
    struct world *world;
    struct client client;
    struct rr_purse *purse;
    struct rr_session_answer session;
    struct rr_payment_header payment;
    struct answer answer;
};

/* A pool in the next block. */
static struct rr_hash32 make_pool(struct world *world)
{
    struct rr_tx tx = {.type = RR_TX_CREATE_POOL, .chain_id = world->paid.manifest.chain_id};
    struct rr_hash32 id;
    tx.body.create_pool.resource_id = world->paid.manifest.resource_id;
    tx.body.create_pool.deposit = coins(DEPOSIT);
    tx.body.create_pool.collateral = coins(DEPOSIT + 1);
    tx.body.create_pool.duration_blocks = 500;
    world_ok(rr_chain_next_sequence(world->chain, &world->viewer_public, &tx.sequence, &fault));
    rr_tx_sign(&tx, world->viewer);
    tx.fee = rr_chain_min_fee(world->chain, &tx);
    rr_tx_sign(&tx, world->viewer);
    world_ok(rr_chain_submit(world->chain, &tx, &fault));
    rr_tx_id(&id, &tx);
    world_mine(world, world->rig, 1);
    return id;
}

static struct viewer *viewer_new(struct world *world)
{
    struct viewer *viewer = rr_alloc(sizeof(*viewer));
    struct rr_hash32 pool = make_pool(world);
    struct rr_chain_tip tip;
    uint8_t seed[32] = {3};
    rr_chain_tip(world->chain, &tip);
    viewer->world = world;
    viewer->client = client_open(rr_serve_port(world->serve));
    viewer->purse =
        rr_purse_new(world->viewer, world->paid.manifest.chain_id, &pool, &world->rig_public,
                     coins(WORLD_PRICE), UNITS, tip.height + 500, seed);
    assert_non_null(viewer->purse);
    return viewer;
}

static void viewer_free(struct viewer *viewer)
{
    client_close(&viewer->client);
    rr_purse_free(viewer->purse);
    answer_clear(&viewer->answer);
    rr_free(viewer);
}

static void open_session(struct viewer *viewer)
{
    struct rr_session_request request = {.resource_id = viewer->world->paid.manifest.resource_id,
                                         .viewer = viewer->world->viewer_public,
                                         .voucher = *rr_purse_voucher(viewer->purse)};
    struct rr_buf bytes = {0};
    rr_session_request_encode(&bytes, &request);
    client_post(&viewer->client, &viewer->answer, "/v1/sessions", &bytes);
    rr_buf_clear(&bytes);
    assert_int_equal(viewer->answer.status, 200);
    assert_field(&viewer->answer, "Content-Type", "application/octet-stream");
    world_ok(
        rr_session_answer_decode(&viewer->session, rr_buf_slice(&viewer->answer.body), &fault));
    assert_int_equal(viewer->session.slice_bytes, WORLD_SLICE);
    memcpy(viewer->payment.session_id, viewer->session.session_id, RR_SESSION_ID_BYTES);
}

/* Pays units more (0: as before) and asks for bytes first..last of a segment of 720p. */
static unsigned ask_range(struct viewer *viewer, uint32_t units, const char *method,
                          unsigned segment, unsigned long first, unsigned long last)
{
    struct rr_buf fields = {0};
    char path[64];
    if (units > 0) {
        viewer->payment.has_preimage = true;
        world_ok(rr_purse_pay(viewer->purse, units, &viewer->payment.depth,
                              &viewer->payment.preimage, &fault));
    }
    snprintf(path, sizeof(path), "/hls/720p/seg_%05u.m4s", segment);
    rr_buf_format(&fields, "Range: bytes=%lu-%lu\r\nReelrig-Payment: ", first, last);
    rr_payment_header_text(&fields, &viewer->payment);
    rr_buf_append(&fields, "\r\n", 3);
    client_ask(&viewer->client, &viewer->answer, method, viewer->world->paid.path, path,
               (char *)fields.ptr);
    rr_buf_clear(&fields);
    if (viewer->answer.status == 206) {
        const struct rr_buf *whole = &viewer->world->paid.segments[0][segment];
        unsigned long end = last < whole->len ? last : whole->len - 1;
        assert_body(&viewer->answer, whole->ptr + first, end - first + 1);
    }
    return viewer->answer.status;
}

static uint64_t paid_units(struct world *world)
{
    struct rr_till_stats stats;
    rr_till_stats(world->till, &stats);
    return stats.paid_units;
}

static void without_payment_there_is_an_offer_and_nothing_else(void **state)
{
    struct world *world = *state;
    struct answer answer = {0};
    struct rr_offer offer;
    struct rr_hash32 genesis;
    ask(world, &answer, "GET", world->paid.path, "/hls/720p/seg_00000.m4s", "");
    assert_int_equal(answer.status, 402);
    assert_field(&answer, "Reelrig-Refused", "payment");
    assert_field(&answer, "Cache-Control", "no-store");
    world_ok(rr_offer_parse(&offer, rr_buf_slice(&answer.body), &fault));
    rr_genesis_hash(&genesis, &world->genesis);
    assert_memory_equal(&offer.resource_id, &world->paid.manifest.resource_id, 32);
    assert_memory_equal(&offer.target, &world->rig_public, 32);
    assert_memory_equal(&offer.genesis, &genesis, 32);
    assert_int_equal(rr_coin_units(offer.slice_price), WORLD_PRICE);
    assert_int_equal(offer.slice_bytes, WORLD_SLICE);
    assert_int_equal(offer.pool_blocks_min, 2);
    assert_int_equal(offer.margin_blocks, 3);
    ask(world, &answer, "GET", world->paid.path, "/offer", "");
    assert_int_equal(answer.status, 200);
    world_ok(rr_offer_parse(&offer, rr_buf_slice(&answer.body), &fault));
    static const char *const free_ones[] = {"/hls/master.m3u8", "/hls/720p/index.m3u8",
                                            "/hls/720p/init.mp4", "/manifest"};
    for (size_t i = 0; i < RR_COUNT(free_ones); i++) {
        ask(world, &answer, "GET", world->paid.path, free_ones[i], "");
        assert_int_equal(answer.status, 200);
    }
    ask(world, &answer, "HEAD", world->paid.path, "/hls/720p/seg_00000.m4s", "");
    assert_int_equal(answer.status, 200);
    assert_field(&answer, "Cache-Control", "private, no-store");
    ask(world, &answer, "GET", world->paid.path, "/hls/720p/seg_00000.m4s",
        "Reelrig-Payment: nonsense\r\n");
    assert_int_equal(answer.status, 400);
    ask(world, &answer, "GET", world->paid.path, "/hls/720p/seg_00000.m4s",
        "Reelrig-Payment: session=00112233445566778899aabbccddeeff\r\n");
    assert_int_equal(answer.status, 402);
    assert_field(&answer, "Reelrig-Refused", "session");
    assert_int_equal(world_stats(world).payment_required, 2);
    assert_int_equal(world_stats(world).segments, 0);
    answer_clear(&answer);
}

static void each_slice_costs_one_unit_once(void **state)
{
    struct world *world = *state;
    struct viewer *viewer = viewer_new(world);
    open_session(viewer);
    assert_int_equal(ask_range(viewer, 0, "GET", 0, 0, WORLD_SLICE - 1), 402);
    assert_field(&viewer->answer, "Reelrig-Refused", "funds");
    assert_int_equal(ask_range(viewer, 0, "HEAD", 0, 0, WORLD_SLICE - 1), 200);
    assert_int_equal(ask_range(viewer, 1, "GET", 0, 0, WORLD_SLICE - 1), 206);
    assert_non_null(answer_field(&viewer->answer, "Reelrig-Puzzle"));
    assert_int_equal(paid_units(world), 1); /* durable before the first byte */
    assert_int_equal(ask_range(viewer, 0, "GET", 0, 0, WORLD_SLICE - 1), 206); /* again: free */
    assert_int_equal(ask_range(viewer, 0, "GET", 0, 5, 9), 206); /* a part of it too */
    assert_int_equal(ask_range(viewer, 0, "GET", 0, WORLD_SLICE - 1, WORLD_SLICE), 402);
    assert_int_equal(ask_range(viewer, 1, "GET", 0, WORLD_SLICE - 1, WORLD_SLICE), 206);
    assert_int_equal(ask_range(viewer, 0, "GET", 0, WORLD_SLICE, 2 * WORLD_SLICE - 1), 206);
    assert_int_equal(ask_range(viewer, 0, "GET", 0, 999999999, 999999999), 416); /* costs nothing */
    assert_int_equal(ask_range(viewer, 1, "GET", 0, 2 * WORLD_SLICE, 999999), 206);
    assert_int_equal(paid_units(world), 3);
    world_counted(world, segments, 1);
    assert_int_equal(ask_range(viewer, 1, "GET", 1, 0, 999999), 402); /* three slices for one */
    assert_int_equal(ask_range(viewer, 2, "GET", 1, 0, 999999), 206); /* credit is kept */
    assert_int_equal(ask_range(viewer, 5, "GET", 2, 0, 0), 206);      /* overpaid */
    assert_int_equal(ask_range(viewer, 0, "GET", 2, 0, 999999), 206);
    assert_int_equal(ask_range(viewer, 0, "GET", 3, 0, 2 * WORLD_SLICE - 1), 206);
    assert_int_equal(ask_range(viewer, 0, "GET", 4, 0, 0), 402);
    assert_int_equal(paid_units(world), 11);
    viewer_free(viewer);
}

static void wrong_payments_are_refused_and_cost_nothing(void **state)
{
    struct world *world = *state;
    struct viewer *viewer = viewer_new(world);
    struct rr_payment_header good;
    open_session(viewer);
    assert_int_equal(ask_range(viewer, 1, "GET", 0, 0, 0), 206);
    good = viewer->payment;
    viewer->payment.depth += 1; /* an old preimage for a new unit */
    assert_int_equal(ask_range(viewer, 0, "GET", 0, WORLD_SLICE, WORLD_SLICE), 403);
    viewer->payment = good;
    viewer->payment.preimage.bytes[0] ^= 1;
    viewer->payment.depth += 1;
    assert_int_equal(ask_range(viewer, 0, "GET", 0, WORLD_SLICE, WORLD_SLICE), 403);
    assert_int_equal(paid_units(world), 1);
    viewer->payment = good;
    assert_int_equal(ask_range(viewer, 1, "GET", 0, WORLD_SLICE, WORLD_SLICE), 206);
    viewer_free(viewer);
}

static void bodies_that_are_no_session_are_refused(void **state)
{
    struct world *world = *state;
    struct viewer *viewer = viewer_new(world);
    struct rr_session_request request = {.resource_id = world->paid.manifest.resource_id,
                                         .viewer = world->viewer_public,
                                         .voucher = *rr_purse_voucher(viewer->purse)};
    struct rr_buf bytes = {0};
    client_post(&viewer->client, &viewer->answer, "/v1/sessions", &bytes);
    assert_int_equal(viewer->answer.status, 400);
    rr_session_request_encode(&bytes, &request);
    bytes.len--;
    client_post(&viewer->client, &viewer->answer, "/v1/sessions", &bytes);
    assert_int_equal(viewer->answer.status, 400);
    bytes.len = 0;
    request.voucher.signature.bytes[5] ^= 1;
    rr_session_request_encode(&bytes, &request);
    client_post(&viewer->client, &viewer->answer, "/v1/sessions", &bytes);
    assert_int_equal(viewer->answer.status, 403);
    bytes.len = 0;
    request.resource_id.bytes[0] ^= 1;
    rr_session_request_encode(&bytes, &request);
    client_post(&viewer->client, &viewer->answer, "/v1/sessions", &bytes);
    assert_int_equal(viewer->answer.status, 404);
    rr_buf_clear(&bytes);
    viewer_free(viewer);
}

static void what_was_paid_outlives_a_restart(void **state)
{
    struct world *world = *state;
    struct viewer *viewer = viewer_new(world);
    open_session(viewer);
    assert_int_equal(ask_range(viewer, 2, "GET", 0, 0, 2 * WORLD_SLICE - 1), 206);
    rr_serve_stop(world->serve, 500);
    rr_till_close(world->till);
    world_open_till(world);
    world_start(world);
    client_close(&viewer->client);
    viewer->client = client_open(rr_serve_port(world->serve));
    assert_int_equal(paid_units(world), 2);
    assert_int_equal(ask_range(viewer, 0, "GET", 0, 0, 2 * WORLD_SLICE - 1), 206);
    assert_int_equal(ask_range(viewer, 0, "GET", 0, 2 * WORLD_SLICE, 999999), 402);
    open_session(viewer);
    assert_int_equal(viewer->session.accepted_depth, 2);
    assert_int_equal(ask_range(viewer, 1, "GET", 0, 2 * WORLD_SLICE, 999999), 206);
    viewer_free(viewer);
}

static void a_pipeline_of_paid_slices_is_answered_in_order(void **state)
{
    struct world *world = *state;
    struct viewer *viewer = viewer_new(world);
    struct rr_buf text = {0};
    open_session(viewer);
    viewer->payment.has_preimage = true;
    for (unsigned i = 0; i < 3 * WORLD_SEGMENTS; i++) {
        world_ok(rr_purse_pay(viewer->purse, 1, &viewer->payment.depth, &viewer->payment.preimage,
                              &fault));
        rr_buf_format(&text, "GET %s/hls/720p/seg_%05u.m4s HTTP/1.1\r\nHost: a\r\n",
                      world->paid.path, i / 3);
        rr_buf_format(&text, "Range: bytes=%u-%u\r\nReelrig-Payment: ", i % 3 * WORLD_SLICE,
                      (i % 3 + 1) * WORLD_SLICE - 1);
        rr_payment_header_text(&text, &viewer->payment);
        rr_buf_format(&text, "\r\n\r\n");
    }
    client_write(&viewer->client, text.ptr, text.len);
    for (unsigned i = 0; i < 3 * WORLD_SEGMENTS; i++) {
        const struct rr_buf *whole = &world->paid.segments[0][i / 3];
        size_t first = i % 3 * WORLD_SLICE;
        client_read(&viewer->client, &viewer->answer, false);
        assert_int_equal(viewer->answer.status, 206);
        assert_body(&viewer->answer, whole->ptr + first,
                    whole->len - first < WORLD_SLICE ? whole->len - first : WORLD_SLICE);
    }
    assert_int_equal(paid_units(world), 3 * WORLD_SEGMENTS);
    world_counted(world, segments, WORLD_SEGMENTS);
    rr_buf_clear(&text);
    viewer_free(viewer);
}

static void the_owners_session_is_free(void **state)
{
    struct world *world = *state;
    struct viewer *viewer = viewer_new(world);
    rr_till_owner_session(world->till, viewer->payment.session_id);
    assert_int_equal(ask_range(viewer, 0, "GET", 0, 0, 999999), 206);
    assert_int_equal(paid_units(world), 0);
    viewer_free(viewer);
}

static void certificates_are_taken_over_http(void **state)
{
    struct world *world = *state;
    struct viewer *viewer = viewer_new(world);
    struct rr_buf bytes = {0};
    struct rr_puzzle_offer puzzle;
    open_session(viewer);
    assert_int_equal(ask_range(viewer, 1, "GET", 0, 0, 0), 206);
    world_ok(rr_puzzle_offer_parse(
        &puzzle, rr_slice_str(answer_field(&viewer->answer, "Reelrig-Puzzle")), &fault));
    struct rr_certificate list[64] = {0};
    for (unsigned i = 0; i < RR_COUNT(list); i++) { /* some of 64 nonces are good enough */
        list[i] = (struct rr_certificate){.chain_id = world->paid.manifest.chain_id,
                                          .cacher = world->rig_public,
                                          .viewer = world->viewer_public,
                                          .block_height = puzzle.block_height,
                                          .block_hash = puzzle.block_hash,
                                          .nonce = i};
        rr_certificate_sign(&list[i], world->viewer);
    }
    rr_certificates_encode(&bytes, list, RR_COUNT(list));
    client_post(&viewer->client, &viewer->answer, "/v1/certificates", &bytes);
    assert_int_equal(viewer->answer.status, 200);
    assert_memory_equal(viewer->answer.body.ptr, "{\"accepted\":", 12);
    assert_true(viewer->answer.body.ptr[12] != '0');
    list[0].signature.bytes[0] ^= 1;
    bytes.len = 0;
    rr_certificates_encode(&bytes, list, 1);
    client_post(&viewer->client, &viewer->answer, "/v1/certificates", &bytes);
    assert_int_equal(viewer->answer.status, 200);
    assert_holds(&viewer->answer, "\"accepted\":0");
    bytes.len -= 1;
    client_post(&viewer->client, &viewer->answer, "/v1/certificates", &bytes);
    assert_int_equal(viewer->answer.status, 400);
    rr_buf_clear(&bytes);
    viewer_free(viewer);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(without_payment_there_is_an_offer_and_nothing_else),
        TEST(each_slice_costs_one_unit_once),
        TEST(wrong_payments_are_refused_and_cost_nothing),
        TEST(bodies_that_are_no_session_are_refused),
        TEST(what_was_paid_outlives_a_restart),
        TEST(a_pipeline_of_paid_slices_is_answered_in_order),
        TEST(the_owners_session_is_free),
        TEST(certificates_are_taken_over_http),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

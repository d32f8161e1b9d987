/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The client's core in virtual time: the test is the network and the mining pools. */
#include "stratum/stratum_client.h"
#include "stratum/stratum_server.h"
#include "unit/base/unit.h"

#define SECOND UINT64_C(1000000)
#define STEP   (SECOND / 10)

static struct stratum_client *client;
static uint64_t now;
static uint8_t mix[32];

static void make_client(const char *const *urls, uint32_t count)
{
    struct stratum_client_config config = {.pool_count = count,
                                           .response_ms = 4000,
                                           .work_ms = 180000,
                                           .return_ms = 300000,
                                           .seed = 3};
    for (uint32_t i = 0; i < count; i++) {
        assert_int_equal(stratum_pool_parse(&config.pools[i], urls[i], NULL), RR_OK);
    }
    now = 50 * SECOND;
    stratum_client_free(client);
    client = stratum_client_new(&config, now);
}

static int tear_down(void **state)
{
    (void)state;
    stratum_client_free(client);
    client = NULL;
    return 0;
}

/* Lets time go by until a stream is wanted. */
static void wait_link(void)
{
    for (int i = 0; i < 10000 && !client->wants_link; i++) {
        now += STEP;
        stratum_client_tick(client, now);
    }
    assert_true(client->wants_link);
}

static void open_link(void)
{
    wait_link();
    stratum_client_opened(client, client->link, now);
}

static const char *said(void)
{
    static char text[8192];
    size_t len = client->output.len < sizeof text - 1 ? client->output.len : sizeof text - 1;
    if (len > 0) {
        memcpy(text, client->output.ptr, len);
    }
    text[len] = '\0';
    client->output.len = 0;
    return text;
}

static void hear(const char *line)
{
    uint32_t link = client->link;
    stratum_client_input(client, link, rr_slice_str(line), now);
    stratum_client_input(client, link, rr_slice_str("\n"), now);
}

/* ---- the dialects, by their documents ---------------------------------------------------- */

static void the_session_of_nicehashs_document(void **state)
{
    static const char *const urls[] = {"stratum2+tcp://test:password@pool:3333"};
    (void)state;
    make_client(urls, 1);
    open_link();
    assert_string_equal(
        said(), "{\"id\":1,\"method\":\"mining.subscribe\",\"params\":[\"reelrig/" RR_VERSION
                "\",\"EthereumStratum/1.0.0\"]}\n");
    hear("{\"id\": 1, \"result\": [[\"mining.notify\", \"ae6812eb4cd7735a302a8a9dd95cf71f\", "
         "\"EthereumStratum/1.0.0\"], \"a2eea0\"], \"error\": null}");
    const char *next = said();
    assert_non_null(strstr(next, "\"mining.extranonce.subscribe\""));
    assert_non_null(
        strstr(next, "{\"id\":3,\"method\":\"mining.authorize\",\"params\":[\"test\",\"password\"]}"
                     "\n"));
    hear("{\"id\": 3, \"result\": true, \"error\": null}");
    hear("{\"id\": null, \"method\": \"mining.set_difficulty\", \"params\": [1.0]}");
    assert_false(client->stats.connected);
    hear("{\"id\": null, \"method\": \"mining.notify\", \"params\": [\"bf0488aa\", "
         "\"abad8f99f3918bf903c6a909d9bbc0fdfa5a2f4b9cb1196175ec825c6610126c\", "
         "\"fc12eb20c58158071c956316cdcd12a22dd8bf126ac4aee559f0ffe4df11f279\", true]}");
    assert_true(client->stats.connected);
    const struct rr_stratum_job *job = stratum_client_job(client);
    assert_int_equal(job->seed[0], 0xab);
    assert_int_equal(job->header_hash[31], 0x79);
    assert_int_equal(job->nonce_start >> 40, 0xa2eea0);
    assert_int_equal(job->nonce_start + job->nonce_count, UINT64_C(0xa2eea1) << 40);
    assert_int_equal(job->boundary.limb[3], UINT64_C(0x00000000ffff0000));
    /* the document's share: nonce a2eea0cfae7df760 is sent as its rest */
    client->jobs[job->number % STRATUM_CLIENT_JOBS].job.nonce_start = UINT64_C(0xa2eea0) << 40;
    client->jobs[job->number % STRATUM_CLIENT_JOBS].job.nonce_count = UINT64_C(1) << 40;
    assert_true(stratum_client_found(client, job->number, UINT64_C(0xa2eea0cfae7df760), mix, now));
    assert_string_equal(said(), "{\"id\":4,\"method\":\"mining.submit\",\"params\":[\"test\","
                                "\"bf0488aa\",\"cfae7df760\"]}\n");
    now += 5000;
    hear("{\"id\": 4, \"result\": true, \"error\": null}");
    assert_int_equal(client->stats.accepted, 1);
    assert_int_equal(client->stats.latency_us, 5000);
    assert_in_range(client->stats.hashes, 4295032832, 4295032834);
    /* a new extranonce holds from the next job on */
    hear("{\"id\": null, \"method\": \"mining.set_extranonce\", \"params\": [\"af4c\"]}");
    assert_int_equal(stratum_client_job(client)->nonce_start >> 40, 0xa2eea0);
    hear("{\"id\": null, \"method\": \"mining.notify\", \"params\": [\"bf0488ab\", "
         "\"abad8f99f3918bf903c6a909d9bbc0fdfa5a2f4b9cb1196175ec825c6610126c\", "
         "\"645cf20198c2f3861e947d4f67e3ab63b7b2e24dcc9095bd9123e7b33371f6cc\", true]}");
    assert_int_equal(stratum_client_job(client)->nonce_start >> 48, 0xaf4c);
    assert_false(stratum_client_found(client, job->number, 1, mix, now)); /* stale */
    assert_int_equal(client->stats.stale, 1);
    assert_string_equal(said(), "");
    uint64_t nonce = stratum_client_job(client)->nonce_start;
    assert_true(stratum_client_found(client, client->job_number, nonce, mix, now));
    hear("{\"id\": 5, \"result\": false, \"error\": [-1, \"Job not found\", null]}");
    assert_int_equal(client->stats.rejected, 1);
}

static void a_session_of_eip_1571(void **state)
{
    static const char *const urls[] = {"stratum3+tcp://acc.Machine:pw@somemininigpool.com:1234"};
    char text[256];
    (void)state;
    make_client(urls, 1);
    open_link();
    assert_string_equal(said(), "{\"id\":1,\"method\":\"mining.hello\",\"params\":{\"agent\":"
                                "\"reelrig/" RR_VERSION "\",\"host\":\"somemininigpool.com\","
                                "\"port\":\"4d2\",\"proto\":\"EthereumStratum/2.0.0\"}}\n");
    hear("{\"id\":1,\"result\":{\"proto\":\"EthereumStratum/2.0.0\",\"encoding\":\"plain\","
         "\"resume\":\"1\",\"timeout\":\"b4\",\"maxerrors\":\"5\",\"node\":\"Geth/v1.8.18\"}}");
    assert_string_equal(said(), "{\"id\":2,\"method\":\"mining.subscribe\"}\n");
    hear("{\"id\":2,\"result\":\"s-12345\"}");
    assert_string_equal(said(), "{\"id\":3,\"method\":\"mining.authorize\",\"params\":["
                                "\"acc.Machine\",\"pw\"]}\n");
    hear("{\"id\":3,\"result\":\"w-123\"}");
    hear("{\"method\":\"mining.set\",\"params\":{\"epoch\":\"dc\",\"target\":"
         "\"0112e0be826d694b2e62d01511f12a6061fbaec8bc02357593e70e52ba\",\"algo\":\"ethash\","
         "\"extranonce\":\"af4c\"}}");
    hear("{\"method\":\"mining.notify\",\"params\":[\"bf0488aa\",\"6526d5\","
         "\"645cf20198c2f3861e947d4f67e3ab63b7b2e24dcc9095bd9123e7b33371f6cc\",\"0\"]}");
    const struct rr_stratum_job *job = stratum_client_job(client);
    assert_int_equal(job->epoch, 0xdc);
    assert_false(job->seed_known);
    assert_int_equal(job->height, 0x6526d5);
    assert_int_equal(job->nonce_start >> 48, 0xaf4c);
    assert_int_equal(job->boundary.limb[3], UINT64_C(0x0000000112e0be82));
    client->jobs[job->number % STRATUM_CLIENT_JOBS].job.nonce_start = UINT64_C(0xaf4c) << 48;
    client->jobs[job->number % STRATUM_CLIENT_JOBS].job.nonce_count = UINT64_C(1) << 48;
    assert_true(stratum_client_found(client, job->number, UINT64_C(0xaf4c68765fccd712), mix, now));
    assert_string_equal(said(), "{\"id\":4,\"method\":\"mining.submit\",\"params\":[\"bf0488aa\","
                                "\"68765fccd712\",\"w-123\"]}\n");
    hear("{\"id\":4}");
    assert_int_equal(client->stats.accepted, 1);
    assert_true(stratum_client_found(client, job->number, UINT64_C(0xaf4c000000000001), mix, now));
    assert_non_null(strstr(said(), "\"000000000001\"")); /* all digits behind the extranonce */
    hear("{\"id\":5,\"error\":{\"code\":202,\"message\":\"Stale\"}}");
    assert_int_equal(client->stats.stale, 1);
    assert_false(stratum_client_found(client, job->number, UINT64_C(0xaf4d000000000000), mix, now));
    /* only what changes is told again */
    hear("{\"method\":\"mining.set\",\"params\":{\"target\":\"ffff\"}}");
    hear("{\"method\":\"mining.notify\",\"params\":[\"bf0488ab\",\"6526d6\","
         "\"745cf20198c2f3861e947d4f67e3ab63b7b2e24dcc9095bd9123e7b33371f6cc\",\"1\"]}");
    assert_int_equal(stratum_client_job(client)->boundary.limb[0], 0xffff);
    assert_int_equal(stratum_client_job(client)->epoch, 0xdc);
    hear("{\"method\":\"mining.set\",\"params\":{\"extranonce\":\"\"}}");
    hear("{\"method\":\"mining.notify\",\"params\":[\"bf0488ac\",\"6526d7\","
         "\"845cf20198c2f3861e947d4f67e3ab63b7b2e24dcc9095bd9123e7b33371f6cc\",\"1\"]}");
    uint64_t nonce = stratum_client_job(client)->nonce_start + 5;
    assert_true(stratum_client_found(client, client->job_number, nonce, mix, now));
    snprintf(text, sizeof text, "[\"bf0488ac\",\"%016llx\",\"w-123\"]", (unsigned long long)nonce);
    assert_non_null(strstr(said(), text)); /* without an extranonce: all 16 digits */
    stratum_client_rate(client, 0x500000, now);
    assert_non_null(strstr(said(), "\"mining.hashrate\",\"params\":[\"500000\",\"w-123\"]"));
    hear("{\"method\":\"mining.bye\"}");
    assert_false(client->wants_link);
}

static void a_classic_session(void **state)
{
    static const char *const urls[] = {"stratum1+tcp://0x12.rig@pool:3333"};
    (void)state;
    make_client(urls, 1);
    open_link();
    assert_string_equal(said(), "{\"id\":1,\"jsonrpc\":\"2.0\",\"method\":\"eth_submitLogin\","
                                "\"params\":[\"0x12.rig\",\"\"]}\n");
    hear("{\"id\":1,\"jsonrpc\":\"2.0\",\"result\":true}");
    assert_string_equal(
        said(), "{\"id\":2,\"jsonrpc\":\"2.0\",\"method\":\"eth_getWork\",\"params\":[]}\n");
    static const char work[] =
        "\"0x645cf20198c2f3861e947d4f67e3ab63b7b2e24dcc9095bd9123e7b33371f6cc\","
        "\"0xabad8f99f3918bf903c6a909d9bbc0fdfa5a2f4b9cb1196175ec825c6610126c\","
        "\"0x0000000394427b08175efa9a9eb59b9123e2969bf19bf272b20787ed022fbe6c\"";
    char text[512];
    snprintf(text, sizeof text, "{\"id\":2,\"jsonrpc\":\"2.0\",\"result\":[%s]}", work);
    hear(text);
    const struct rr_stratum_job *job = stratum_client_job(client);
    assert_int_equal(job->number, 1);
    assert_int_equal(job->boundary.limb[3], UINT64_C(0x0000000394427b08));
    assert_true(job->nonce_count >= UINT64_C(1) << 48);
    hear(text); /* the same once more: nothing new */
    assert_int_equal(client->job_number, 1);
    assert_true(stratum_client_found(client, 1, job->nonce_start + 7, mix, now));
    const char *sent = said();
    assert_non_null(strstr(sent, "{\"id\":3,\"jsonrpc\":\"2.0\",\"method\":\"eth_submitWork\","
                                 "\"params\":[\"0x"));
    assert_non_null(
        strstr(sent, "\"0x645cf20198c2f3861e947d4f67e3ab63b7b2e24dcc9095bd9123e7b33371f6cc\",\"0x"
                     "0000000000000000000000000000000000000000000000000000000000000000\"]"));
    /* pushed under an id of ours: still work, not an answer */
    snprintf(text, sizeof text, "{\"id\":3,\"jsonrpc\":\"2.0\",\"result\":[\"0x7%s]}", work + 4);
    hear(text);
    assert_int_equal(client->job_number, 2);
    assert_int_equal(client->stats.accepted, 0);
    hear("{\"id\":3,\"jsonrpc\":\"2.0\",\"result\":true}");
    assert_int_equal(client->stats.accepted, 1);
}

static void a_dialect_that_is_not_spoken_leads_to_the_next(void **state)
{
    static const char *const urls[] = {"stratum+tcp://u@pool:3333"};
    (void)state;
    make_client(urls, 1);
    open_link();
    assert_non_null(strstr(said(), "mining.hello"));
    hear("{\"id\":1,\"error\":{\"code\":-32601,\"message\":\"method not found\"}}");
    assert_false(client->wants_link);
    open_link();
    assert_non_null(strstr(said(), "EthereumStratum/1.0.0"));
    stratum_client_closed(client, client->link, "closed", now); /* it hangs up */
    open_link();
    assert_non_null(strstr(said(), "eth_submitLogin"));
    for (int i = 0; i < 50; i++) { /* it says nothing */
        now += STEP;
        stratum_client_tick(client, now);
    }
    open_link();
    assert_non_null(strstr(said(), "\"mining.subscribe\",\"params\":[]"));
    assert_int_equal(client->stats.failures, 0); /* all one attempt */
    uint32_t link = client->link;
    hear("{\"id\":4,\"result\":true,\"error\":null}");
    (void)link;
    assert_non_null(strstr(said(), "mining.authorize"));
    hear("{\"id\":5,\"result\":true,\"error\":null}");
    hear("{\"id\":null,\"method\":\"mining.notify\",\"params\":[\"job1\","
         "\"0x645cf20198c2f3861e947d4f67e3ab63b7b2e24dcc9095bd9123e7b33371f6cc\","
         "\"0xabad8f99f3918bf903c6a909d9bbc0fdfa5a2f4b9cb1196175ec825c6610126c\","
         "\"0x0000000394427b08175efa9a9eb59b9123e2969bf19bf272b20787ed022fbe6c\",true]}");
    assert_true(client->stats.connected);
    /* it is remembered */
    stratum_client_closed(client, client->link, "closed", now);
    open_link();
    assert_non_null(strstr(said(), "\"mining.subscribe\",\"params\":[]"));
}

/* ---- which pool, and when ---------------------------------------------------------------- */

/* Brings the present stream to work in 1.0.0. */
static void start_work(void)
{
    char text[64];
    open_link();
    uint32_t id = client->next_id;
    snprintf(text, sizeof text,
             "{\"id\":%u,\"result\":[[\"\",\"\",\"EthereumStratum/1.0.0\"],\"01\"]}", id);
    hear(text);
    snprintf(text, sizeof text, "{\"id\":%u,\"result\":true}", id + 2);
    hear(text);
    hear("{\"method\":\"mining.notify\",\"params\":[\"1\","
         "\"abad8f99f3918bf903c6a909d9bbc0fdfa5a2f4b9cb1196175ec825c6610126c\","
         "\"fc12eb20c58158071c956316cdcd12a22dd8bf126ac4aee559f0ffe4df11f279\",true]}");
    assert_true(client->stats.connected);
    said();
}

static void the_next_pool_follows_one_that_fails(void **state)
{
    static const char *const urls[] = {"stratum2+tcp://u@a:1", "stratum2+tcp://u@b:1",
                                       "stratum2+tcp://u@c:1"};
    (void)state;
    make_client(urls, 3);
    wait_link();
    assert_int_equal(client->pool, 0);
    stratum_client_closed(client, client->link, "refused", now);
    wait_link();
    assert_int_equal(client->pool, 1);
    for (int i = 0; i < 105 && client->pool == 1; i++) { /* neither refused nor taken */
        now += STEP;
        stratum_client_tick(client, now);
    }
    wait_link();
    assert_int_equal(client->pool, 2);
    start_work();
    /* one that gave work gets a second try */
    stratum_client_closed(client, client->link, "reset", now);
    wait_link();
    assert_int_equal(client->pool, 2);
    stratum_client_closed(client, client->link, "refused", now);
    wait_link();
    assert_int_equal(client->pool, 0);
}

static void each_round_of_the_list_doubles_the_pause(void **state)
{
    static const char *const urls[] = {"stratum2+tcp://u@a:1", "stratum2+tcp://u@b:1"};
    uint64_t last = 0, pauses[12];
    (void)state;
    make_client(urls, 2);
    for (int i = 0; i < 12; i++) {
        for (int pool = 0; pool < 2; pool++) {
            wait_link();
            assert_int_equal(client->pool, pool);
            stratum_client_closed(client, client->link, "refused", now);
        }
        pauses[i] = client->retry_us - now;
        assert_in_range(pauses[i], SECOND / 2, 90 * SECOND);
        last = pauses[i];
    }
    assert_true(pauses[5] > pauses[0] * 4);
    assert_in_range(last, 30 * SECOND, 90 * SECOND);
    start_work(); /* work makes all of it forgotten */
    stratum_client_closed(client, client->link, "reset", now);
    assert_true(client->retry_us - now < 2 * SECOND);
}

static void the_first_pool_is_taken_again_when_it_is_back(void **state)
{
    static const char *const urls[] = {"stratum2+tcp://u@a:1", "stratum2+tcp://u@b:1"};
    (void)state;
    make_client(urls, 2);
    wait_link();
    stratum_client_closed(client, client->link, "refused", now);
    start_work();
    assert_int_equal(client->pool, 1);
    for (int round = 0; round < 3; round++) {
        uint64_t start = now;
        while (!client->wants_probe && now - start < 400 * SECOND) {
            now += STEP;
            client->work_us = now; /* work comes all the time */
            stratum_client_tick(client, now);
        }
        assert_in_range(now - start, 299 * SECOND, 302 * SECOND);
        stratum_client_probed(client, round == 2, now);
        assert_int_equal(client->stats.connected, round != 2);
    }
    stratum_client_tick(client, now);
    wait_link();
    assert_int_equal(client->pool, 0);
    assert_int_equal(client->stats.failures, 1); /* to leave was none */
}

static void no_new_work_and_no_answer_end_a_connection(void **state)
{
    static const char *const urls[] = {"stratum2+tcp://u@a:1"};
    (void)state;
    make_client(urls, 1);
    start_work();
    now += 179 * SECOND;
    stratum_client_tick(client, now);
    assert_true(client->wants_link);
    now += 2 * SECOND;
    stratum_client_tick(client, now);
    assert_false(client->wants_link);
    assert_int_equal(client->job_number, 0); /* and the search ends */
    start_work();
    assert_true(stratum_client_found(client, client->job_number,
                                     stratum_client_job(client)->nonce_start, mix, now));
    now += 5 * SECOND;
    stratum_client_tick(client, now);
    assert_false(client->wants_link);
    assert_int_equal(client->stats.unanswered, 1);
    assert_non_null(strstr(client->stats.why, "does not answer"));
}

static void bytes_of_a_former_stream_are_not_heard(void **state)
{
    static const char *const urls[] = {"stratum2+tcp://u@a:1"};
    (void)state;
    make_client(urls, 1);
    start_work();
    uint32_t old = client->link;
    stratum_client_closed(client, old, "reset", now);
    open_link();
    said();
    stratum_client_input(client, old, rr_slice_str("{\"id\":1,\"result\":true}\n"), now);
    stratum_client_closed(client, old, "late", now);
    stratum_client_opened(client, old, now);
    assert_true(client->wants_link);
    assert_string_equal(said(), "");
}

/* ---- what a bad pool sends --------------------------------------------------------------- */

static void nonsense_is_borne_for_a_while(void **state)
{
    static const char *const urls[] = {"stratum2+tcp://u@a:1"};
    static const char *const lines[] = {
        "x",
        "[]",
        "{\"method\":\"mining.notify\"}",
        "{\"method\":\"mining.notify\",\"params\":[\"a\\\"b\",\"00\",\"00\",true]}",
        "{\"method\":\"mining.set_difficulty\",\"params\":[0]}",
        "{\"method\":\"mining.set_difficulty\",\"params\":[-1]}",
        "{\"method\":\"mining.set_difficulty\",\"params\":[1e308]}",
        "{\"method\":\"mining.set_extranonce\",\"params\":[\"00112233445566\"]}",
        "{\"method\":\"mining.set_extranonce\",\"params\":[\"0x01\"]}"};
    (void)state;
    make_client(urls, 1);
    start_work();
    unsigned sent = 0;
    for (; client->wants_link && sent < 100; sent++) {
        hear(lines[sent % RR_COUNT(lines)]);
        hear("{\"id\":77,\"result\":true}"); /* an answer that nobody asked for is none */
    }
    assert_int_equal(sent, STRATUM_CLIENT_ERRORS);
    assert_non_null(strstr(client->stats.why, "no sense"));
}

static void a_session_spoilt_at_any_byte_does_no_harm(void **state)
{
    static const char *const urls[] = {"stratum3+tcp://u@a:1"};
    static const char session[] =
        "{\"id\":1,\"result\":{\"proto\":\"EthereumStratum/2.0.0\",\"encoding\":\"plain\"}}\n"
        "{\"id\":2,\"result\":\"s-12345\"}\n{\"id\":3,\"result\":\"w-123\"}\n"
        "{\"method\":\"mining.set\",\"params\":{\"epoch\":\"dc\",\"target\":"
        "\"0112e0be826d694b2e62\","
        "\"algo\":\"ethash\",\"extranonce\":\"af4c\"}}\n"
        "{\"method\":\"mining.notify\",\"params\":[\"bf0488aa\",\"6526d5\","
        "\"645cf20198c2f3861e947d4f67e3ab63b7b2e24dcc9095bd9123e7b33371f6cc\",\"0\"]}\n";
    (void)state;
    for (size_t at = 0; at < sizeof session - 1; at++) {
        for (int bit = 0; bit < 256; bit = bit == 0 ? 1 : bit << 1) { /* 0: cut off there */
            char text[sizeof session];
            memcpy(text, session, sizeof session);
            text[at] = (char)(text[at] ^ bit);
            make_client(urls, 1);
            open_link();
            uint32_t link = client->link;
            stratum_client_input(client, link,
                                 rr_slice_of(text, bit == 0 ? at : sizeof session - 1), now);
            const struct rr_stratum_job *job = stratum_client_job(client);
            if (job->number != 0) {
                assert_false(rr_u256_is_zero(job->boundary));
                assert_true(job->nonce_count == 0 ||
                            job->nonce_start + (job->nonce_count - 1) >= job->nonce_start);
                stratum_client_found(client, job->number, job->nonce_start, mix, now);
            }
            const char *sent = said(); /* every line of ours is one JSON object */
            while (*sent != '\0') {
                const char *end = strchr(sent, '\n');
                assert_non_null(end);
                json_t *message = json_loadb(sent, (size_t)(end - sent), 0, NULL);
                assert_true(json_is_object(message));
                json_decref(message);
                sent = end + 1;
            }
        }
    }
}

/* ---- both cores together ----------------------------------------------------------------- */

static void our_server_and_our_client_agree_in_every_dialect(void **state)
{
    static const char *const urls[] = {"stratum0+tcp://u.w@a:1", "stratum1+tcp://u.w@a:1",
                                       "stratum2+tcp://u.w@a:1", "stratum3+tcp://u.w@a:1"};
    struct stratum_server_config config = {.share_difficulty = 500,
                                           .share_ms = 1000,
                                           .connections_max = 8,
                                           .lines_per_s = 1000,
                                           .seed = 9};
    (void)state;
    for (size_t i = 0; i < RR_COUNT(urls); i++) {
        make_client(&urls[i], 1);
        struct stratum_server *server = stratum_server_new(&config);
        struct rr_stratum_work work = {.id = 1, .height = 5, .difficulty = rr_u256_of(1 << 20)};
        memset(work.header_hash, 0x5a, 32);
        memset(work.seed, 0x77, 32);
        stratum_server_work(server, &work, now);
        struct stratum_conn *conn = stratum_server_open(server, "127.0.0.1", now);
        open_link();
        for (int round = 0; round < 400; round++) {
            now += STEP;
            if (client->output.len > 0) {
                stratum_server_input(server, conn, rr_buf_slice(&client->output), now);
                client->output.len = 0;
            }
            struct stratum_share shares[64];
            size_t count = stratum_server_take(server, shares, RR_COUNT(shares));
            for (size_t s = 0; s < count; s++) { /* as good as their own difficulty asks */
                rr_u256_to_be(shares[s].check.final_be,
                              rr_hash_boundary(rr_u256_of(shares[s].difficulty)));
            }
            stratum_server_judge(server, shares, count, now);
            if (round % 40 == 39) {
                work.id++;
                work.height += (uint64_t)round / 40 % 2;
                work.header_hash[0]++;
                stratum_server_work(server, &work, now);
            }
            if (conn->output.len > 0) {
                stratum_client_input(client, client->link, rr_buf_slice(&conn->output), now);
                conn->output.len = 0;
            }
            stratum_server_tick(server, now);
            stratum_client_tick(client, now);
            const struct rr_stratum_job *job = stratum_client_job(client);
            if (job->number != 0) {
                assert_memory_equal(job->header_hash, work.header_hash, 32);
                assert_true(stratum_client_found(client, job->number,
                                                 job->nonce_start + (uint64_t)round, mix, now));
            }
        }
        assert_true(client->stats.connected);
        assert_true(client->stats.accepted > 300);
        assert_int_equal(client->stats.rejected, 0);
        assert_int_equal(client->stats.accepted, server->stats.accepted);
        assert_int_equal(server->stats.errors, 0);
        stratum_server_free(server);
    }
}

#define TEST(name) cmocka_unit_test_teardown(name, tear_down)
int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_session_of_nicehashs_document),
        TEST(a_session_of_eip_1571),
        TEST(a_classic_session),
        TEST(a_dialect_that_is_not_spoken_leads_to_the_next),
        TEST(the_next_pool_follows_one_that_fails),
        TEST(each_round_of_the_list_doubles_the_pause),
        TEST(the_first_pool_is_taken_again_when_it_is_back),
        TEST(no_new_work_and_no_answer_end_a_connection),
        TEST(bytes_of_a_former_stream_are_not_heard),
        TEST(nonsense_is_borne_for_a_while),
        TEST(a_session_spoilt_at_any_byte_does_no_harm),
        TEST(our_server_and_our_client_agree_in_every_dialect),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

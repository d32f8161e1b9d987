/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The server's core in virtual time. Nothing is hashed here: the test is the verifier. */
#include "stratum/stratum_server.h"
#include "unit/base/unit.h"

#define SECOND UINT64_C(1000000)

static struct stratum_server *server;
static uint64_t now;

static int set_up(void **state)
{
    struct stratum_server_config config = {.share_difficulty = 1000,
                                           .share_ms = 10000,
                                           .connections_max = 64,
                                           .lines_per_s = 50,
                                           .ban_ms = 60000,
                                           .seed = 7};
    (void)state;
    now = 100 * SECOND;
    server = stratum_server_new(&config);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    stratum_server_free(server);
    return 0;
}

static void set_work(uint64_t height, uint8_t mark)
{
    struct rr_stratum_work work = {.id = mark, .height = height, .difficulty = rr_u256_of(1000000)};
    memset(work.header_hash, mark, 32);
    memset(work.seed, 0xee, 32);
    stratum_server_work(server, &work, now);
}

/* Sends a line and gives what came back since the last call. */
static const char *tell(struct stratum_conn *conn, const char *line)
{
    static char answer[STRATUM_OUTPUT_MAX * 2];
    stratum_server_input(server, conn, rr_slice_str(line), now);
    stratum_server_input(server, conn, rr_slice_str("\n"), now);
    memcpy(answer, conn->output.len > 0 ? conn->output.ptr : (const uint8_t *)"", conn->output.len);
    answer[conn->output.len] = '\0';
    conn->output.len = 0;
    return answer;
}

static const char *heard(struct stratum_conn *conn)
{
    static char answer[STRATUM_OUTPUT_MAX * 2];
    memcpy(answer, conn->output.len > 0 ? conn->output.ptr : (const uint8_t *)"", conn->output.len);
    answer[conn->output.len] = '\0';
    conn->output.len = 0;
    return answer;
}

static struct stratum_conn *enter(const char *peer)
{
    struct stratum_conn *conn = stratum_server_open(server, peer, now);
    assert_non_null(conn);
    return conn;
}

static struct stratum_conn *enter_v1(const char *peer)
{
    struct stratum_conn *conn = enter(peer);
    tell(conn, "{\"id\":1,\"method\":\"mining.subscribe\",\"params\":[\"m/1\",\"EthereumStratum/"
               "1.0.0\"]}");
    tell(conn, "{\"id\":2,\"method\":\"mining.authorize\",\"params\":[\"test\",\"password\"]}");
    assert_int_equal(conn->worker_count, 1);
    return conn;
}

static struct stratum_conn *enter_classic(const char *peer)
{
    struct stratum_conn *conn = enter(peer);
    tell(conn, "{\"id\":1,\"jsonrpc\":\"2.0\",\"worker\":\"rig\",\"method\":\"eth_submitLogin\","
               "\"params\":[\"user\",\"x\"]}");
    assert_int_equal(conn->worker_count, 1);
    return conn;
}

/* final of all shares under way; *count of them. */
static void judge(uint8_t first_byte, size_t *count)
{
    static struct stratum_share shares[STRATUM_SHARES_MAX];
    *count = stratum_server_take(server, shares, RR_COUNT(shares));
    for (size_t i = 0; i < *count; i++) {
        memset(shares[i].check.final_be, 0, 32);
        shares[i].check.final_be[first_byte == 0 ? 31 : 0] = first_byte == 0 ? 1 : first_byte;
        memset(shares[i].check.mix, 0xab, 32);
    }
    stratum_server_judge(server, shares, *count, now);
}

/* ---- the dialects ------------------------------------------------------------------------ */

static void a_classic_session(void **state)
{
    char text[1024];
    size_t count;
    (void)state;
    struct stratum_conn *conn = enter("10.0.0.1");
    assert_string_equal(tell(conn, "{\"id\":1,\"jsonrpc\":\"2.0\",\"method\":\"eth_submitLogin\","
                                   "\"params\":[\"0x1234.rig\"]}"),
                        "{\"id\":1,\"jsonrpc\":\"2.0\",\"result\":true}\n");
    assert_non_null(strstr(tell(conn, "{\"id\":2,\"method\":\"eth_getWork\",\"params\":[]}"),
                           "Work not ready"));
    set_work(0x65, 0x11);
    /* pushed with id 0: header, seed, boundary of the share (2^256 / 1000), height */
    assert_string_equal(
        heard(conn),
        "{\"id\":0,\"jsonrpc\":\"2.0\",\"result\":["
        "\"0x1111111111111111111111111111111111111111111111111111111111111111\","
        "\"0xeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee\","
        "\"0x004189374bc6a7ef9db22d0e5604189374bc6a7ef9db22d0e5604189374bc6a7\",\"0x65\"]}\n");
    assert_non_null(strstr(tell(conn, "{\"id\":3,\"method\":\"eth_getWork\",\"params\":[]}"),
                           "{\"id\":3,\"jsonrpc\":\"2.0\",\"result\":[\"0x1111"));
    assert_string_equal(
        tell(conn, "{\"id\":4,\"method\":\"eth_submitHashrate\",\"params\":[\"0x"
                   "0000000000000000000000000000000000000000000000000000000000500000\",\"0x01\"]}"),
        "{\"id\":4,\"jsonrpc\":\"2.0\",\"result\":true}\n");
    static const char mix[] = "abababababababababababababababababababababababababababababababab";
    static const char header[] = "1111111111111111111111111111111111111111111111111111111111111111";
    snprintf(text, sizeof text,
             "{\"id\":5,\"method\":\"eth_submitWork\",\"params\":[\"0x00000000deadbeef\",\"0x%s\","
             "\"0x%s\"]}",
             header, mix);
    assert_string_equal(tell(conn, text), ""); /* first it is verified */
    judge(0, &count);
    assert_int_equal(count, 1);
    assert_string_equal(heard(conn), "{\"id\":5,\"jsonrpc\":\"2.0\",\"result\":true}\n");
    assert_string_equal(tell(conn, text),
                        "{\"id\":5,\"jsonrpc\":\"2.0\",\"result\":false,\"error\":{\"code\":22,"
                        "\"message\":\"Duplicate share\"}}\n");
    snprintf(text, sizeof text,
             "{\"id\":6,\"method\":\"eth_submitWork\",\"params\":[\"0x00000000deadbef0\",\"0x%s\","
             "\"0x%s\"]}",
             header, header);
    tell(conn, text);
    judge(0, &count);
    assert_non_null(strstr(heard(conn), "another mix hash"));
    struct rr_stratum_worker worker;
    assert_int_equal(stratum_server_workers(server, &worker, 1, now), 1);
    assert_string_equal(worker.name, "0x1234.rig");
    assert_int_equal(worker.accepted, 1);
    assert_int_equal(worker.duplicate, 1);
    assert_int_equal(worker.rejected, 1);
    assert_int_equal(worker.hashes, 1000);
    assert_int_equal(worker.reported_rate, 0x500000);
}

static void a_session_of_1_0_0(void **state)
{
    char extranonce[8], text[512];
    size_t count;
    (void)state;
    set_work(7, 0x22);
    struct stratum_conn *conn = enter("10.0.0.1");
    const char *answer = tell(conn, "{\"id\": 1, \"method\": \"mining.subscribe\", \"params\": ["
                                    "\"EthereumMiner/1.0.0\", \"EthereumStratum/1.0.0\"]}");
    assert_non_null(strstr(answer, "{\"id\":1,\"result\":[[\"mining.notify\",\""));
    assert_int_equal(
        sscanf(strstr(answer, "EthereumStratum/1.0.0\"],\"") + 25, "%4[0-9a-f]", extranonce), 1);
    assert_int_equal(strlen(extranonce), 4);
    answer = tell(conn, "{\"id\":2,\"method\":\"mining.authorize\",\"params\":[\"test\","
                        "\"password\"]}");
    assert_ptr_equal(strstr(answer, "{\"id\":2,\"result\":true,\"error\":null}\n"), answer);
    assert_non_null(strstr(answer, "{\"id\":null,\"method\":\"mining.set_difficulty\",\"params\":["
                                   "2.328"));
    const char *notify = strstr(answer, "\"mining.notify\",\"params\":[\"00000008\",\"eeee");
    assert_non_null(notify);
    assert_non_null(strstr(notify, "2222222222222222\",true]}\n"));
    assert_string_equal(tell(conn, "{\"id\":3,\"method\":\"mining.submit\",\"params\":[\"test\","
                                   "\"00000008\",\"cfae7df76012\"]}"),
                        "");
    struct stratum_share share;
    assert_int_equal(stratum_server_take(server, &share, 1), 1);
    snprintf(text, sizeof text, "%016llx", (unsigned long long)share.check.nonce);
    assert_memory_equal(text, extranonce, 4);
    assert_string_equal(text + 4, "cfae7df76012");
    assert_int_equal(share.check.header_hash[0], 0x22);
    memset(share.check.final_be, 0xff, 32);
    stratum_server_judge(server, &share, 1, now);
    assert_string_equal(heard(conn), "{\"id\":3,\"result\":false,\"error\":[23,\"Bad nonce: above "
                                     "the share's target\",null]}\n");
    assert_non_null(strstr(tell(conn, "{\"id\":4,\"method\":\"mining.submit\",\"params\":[\"who\","
                                      "\"00000008\",\"cfae7df76013\"]}"),
                           "[24,\"Unauthorized worker\",null]"));
    assert_non_null(strstr(tell(conn, "{\"id\":5,\"method\":\"mining.submit\",\"params\":[\"test\","
                                      "\"bf0488aa\",\"cfae7df76013\"]}"),
                           "[21,\"Job not found\",null]"));
    /* work of the same height: both count; another height: the former is stale */
    set_work(7, 0x23);
    assert_non_null(strstr(heard(conn), ",false]}"));
    tell(conn, "{\"id\":6,\"method\":\"mining.submit\",\"params\":[\"test\",\"00000008\",\"1\"]}");
    judge(0, &count);
    assert_non_null(strstr(heard(conn), "{\"id\":6,\"result\":true,\"error\":null}"));
    set_work(8, 0x24);
    assert_non_null(strstr(heard(conn), ",true]}"));
    assert_non_null(strstr(tell(conn, "{\"id\":7,\"method\":\"mining.submit\",\"params\":[\"test\","
                                      "\"00000008\",\"2\"]}"),
                           "[21,\"Stale\",null]"));
}

static void a_session_of_2_0_0(void **state)
{
    char text[512];
    size_t count;
    (void)state;
    set_work(0x6526d5, 0x33);
    struct stratum_conn *conn = enter("10.0.0.1");
    const char *answer =
        tell(conn, "{\"id\":0,\"method\":\"mining.hello\",\"params\":{\"agent\":\"ethminer-0.17\","
                   "\"host\":\"somemininigpool.com\",\"port\":\"4d2\",\"proto\":"
                   "\"EthereumStratum/2.0.0\"}}");
    assert_string_equal(answer, "{\"id\":0,\"result\":{\"proto\":\"EthereumStratum/2.0.0\","
                                "\"encoding\":\"plain\",\"resume\":\"0\",\"timeout\":\"258\","
                                "\"maxerrors\":\"10\",\"node\":\"reelrig/" RR_VERSION "\"}}\n");
    answer = tell(conn, "{\"id\":1,\"method\":\"mining.subscribe\",\"params\":\"s-12345\"}");
    assert_ptr_equal(strstr(answer, "{\"id\":1,\"result\":\"s-"), answer);
    assert_null(strstr(answer, "\"s-12345\"")); /* no session is resumed */
    answer = tell(conn, "{\"id\":2,\"method\":\"mining.authorize\",\"params\":[\"acc.Machine\","
                        "\"password\"]}");
    assert_ptr_equal(strstr(answer, "{\"id\":2,\"result\":\"w-0\"}\n"), answer);
    const char *set = strstr(answer, "{\"method\":\"mining.set\",\"params\":{\"epoch\":\"0\","
                                     "\"target\":\"004189374bc6a7ef");
    assert_non_null(set);
    snprintf(text, sizeof text, "\"algo\":\"ethash\",\"extranonce\":\"%04x\"", conn->segment);
    assert_non_null(strstr(set, text));
    assert_non_null(strstr(set, "{\"method\":\"mining.notify\",\"params\":[\"8\",\"6526d5\","
                                "\"3333"));
    assert_non_null(strstr(set, "3333\",\"1\"]}\n"));
    /* the same credentials again give the same token, others another */
    assert_string_equal(tell(conn, "{\"id\":3,\"method\":\"mining.authorize\",\"params\":["
                                   "\"acc.Machine\",\"password\"]}"),
                        "{\"id\":3,\"result\":\"w-0\"}\n");
    assert_string_equal(tell(conn, "{\"id\":4,\"method\":\"mining.authorize\",\"params\":["
                                   "\"acc.Other\",\"\"]}"),
                        "{\"id\":4,\"result\":\"w-1\"}\n");
    tell(conn, "{\"id\":31,\"method\":\"mining.submit\",\"params\":[\"8\",\"68765fccd712\",\"w-1\"]"
               "}");
    judge(0, &count);
    assert_string_equal(heard(conn), "{\"id\":31}\n");
    assert_string_equal(tell(conn, "{\"id\":32,\"method\":\"mining.submit\",\"params\":[\"8\","
                                   "\"68765fccd712\",\"w-1\"]}"),
                        "{\"id\":32,\"error\":{\"code\":409,\"message\":\"Duplicate share\"}}\n");
    assert_non_null(strstr(tell(conn, "{\"id\":33,\"method\":\"mining.submit\",\"params\":[\"8\","
                                      "\"1\",\"w-7\"]}"),
                           "{\"code\":301"));
    tell(conn, "{\"id\":34,\"method\":\"mining.submit\",\"params\":[\"8\",\"2\",\"w-0\"]}");
    judge(0xff, &count);
    assert_non_null(strstr(heard(conn), "{\"id\":34,\"error\":{\"code\":406,"));
    assert_string_equal(tell(conn, "{\"id\":50,\"method\":\"mining.noop\"}"), "{\"id\":50}\n");
    assert_string_equal(tell(conn, "{\"id\":16,\"method\":\"mining.hashrate\",\"params\":["
                                   "\"500000\",\"w-1\"]}"),
                        "{\"id\":16}\n");
    set_work(0x6526d6, 0x34); /* nothing else changed: notify alone */
    assert_string_equal(heard(conn),
                        "{\"method\":\"mining.notify\",\"params\":[\"10\",\"6526d6\","
                        "\"3434343434343434343434343434343434343434343434343434343434343434\","
                        "\"1\"]}\n");
    assert_non_null(strstr(tell(conn, "{\"id\":35,\"method\":\"mining.submit\",\"params\":[\"8\","
                                      "\"3\",\"w-0\"]}"),
                           "{\"code\":202,\"message\":\"Stale\"}"));
    assert_non_null(strstr(tell(conn, "{\"id\":70000,\"method\":\"mining.noop\"}"), "400"));
    assert_string_equal(tell(conn, "{\"method\":\"mining.bye\"}"), "");
    assert_non_null(conn->ending);
}

static void a_plain_session_as_the_npm_client_speaks(void **state)
{
    char text[1024];
    size_t count;
    static const char hash[] = "4444444444444444444444444444444444444444444444444444444444444444";
    static const char mix[] = "abababababababababababababababababababababababababababababababab";
    (void)state;
    set_work(9, 0x44);
    struct stratum_conn *conn = enter("10.0.0.1");
    /* ids are strings there */
    assert_string_equal(tell(conn,
                             "{\"id\": \"mining.subscribe\", \"method\": \"mining.subscribe\","
                             " \"params\": []}"),
                        "{\"id\":\"mining.subscribe\",\"result\":true,\"error\":null}\n");
    const char *answer = tell(conn, "{\"id\":\"mining.authorize\",\"method\":\"mining.authorize\","
                                    "\"params\":[\"npm.worker\",\"x\"]}");
    assert_ptr_equal(strstr(answer, "{\"id\":\"mining.authorize\",\"result\":true,"), answer);
    snprintf(text, sizeof text, "\"method\":\"mining.notify\",\"params\":[\"%s\",\"0x%s\",\"0xeeee",
             hash, hash);
    assert_non_null(strstr(answer, text));
    snprintf(text, sizeof text,
             "{\"params\": [\"npm.worker\", \"%s\", \"0x0123456789abcdef\", \"0x%s\", \"0x%s\"], "
             "\"id\": \"mining.submit\", \"method\": \"mining.submit\"}",
             hash, hash, mix);
    tell(conn, text);
    judge(0, &count);
    assert_string_equal(heard(conn), "{\"id\":\"mining.submit\",\"result\":true,\"error\":null}\n");
}

static void a_session_of_another_version_is_sent_away(void **state)
{
    (void)state;
    struct stratum_conn *conn = enter("10.0.0.1");
    assert_non_null(strstr(tell(conn, "{\"id\":1,\"method\":\"mining.hello\",\"params\":{\"proto\":"
                                      "\"EthereumStratum/3.0.0\"}}"),
                           "Bad protocol request"));
    assert_non_null(conn->ending);
    conn = enter("10.0.0.2");
    assert_non_null(strstr(tell(conn, "GET / HTTP/1.1\r"), "Bad request"));
    assert_non_null(conn->ending);
}

/* ---- segments, limits -------------------------------------------------------------------- */

static void segments_never_overlap(void **state)
{
    struct stratum_conn *conns[32] = {0};
    struct rr_prng prng;
    (void)state;
    rr_prng_seed(&prng, 11);
    for (int round = 0; round < 20000; round++) {
        size_t i = (size_t)rr_prng_below(&prng, RR_COUNT(conns));
        if (conns[i] != NULL) {
            stratum_server_drop(server, conns[i]);
            conns[i] = NULL;
            continue;
        }
        conns[i] = enter(i % 2 == 0 ? "10.0.0.1" : "10.0.0.2");
        for (size_t j = 0; j < RR_COUNT(conns); j++) {
            assert_true(j == i || conns[j] == NULL || conns[j]->segment != conns[i]->segment);
        }
    }
}

static void a_nonce_of_another_segment_is_no_share(void **state)
{
    char text[256];
    (void)state;
    set_work(1, 1);
    struct stratum_conn *conn = enter_v1("10.0.0.1");
    snprintf(
        text, sizeof text,
        "{\"id\":9,\"method\":\"mining.submit\",\"params\":[\"test\",\"8\",\"%04x000000000001\"]"
        "}",
        (uint16_t)(conn->segment + 1));
    assert_non_null(strstr(tell(conn, text), "Bad request"));
    snprintf(
        text, sizeof text,
        "{\"id\":9,\"method\":\"mining.submit\",\"params\":[\"test\",\"8\",\"%04x000000000001\"]"
        "}",
        conn->segment);
    assert_string_equal(tell(conn, text), "");
    assert_int_equal(server->shares_count, 1);
}

static void one_address_takes_at_most_half_of_the_places(void **state)
{
    (void)state;
    for (int i = 0; i < 32; i++) {
        enter("10.0.0.1");
    }
    assert_null(stratum_server_open(server, "10.0.0.1", now));
    for (int i = 0; i < 32; i++) {
        enter("10.0.0.2");
    }
    assert_null(stratum_server_open(server, "10.0.0.3", now));
    assert_int_equal(server->stats.refused_connections, 2);
}

static void a_flood_of_lines_ends_and_bans_for_a_time(void **state)
{
    (void)state;
    struct stratum_conn *conn = enter_classic("10.0.0.1");
    unsigned lines = 0;
    while (conn->ending == NULL && lines < 100000) {
        tell(conn, "{\"id\":1,\"method\":\"eth_getWork\",\"params\":[]}");
        lines++;
        now += 100; /* ten thousand a second */
    }
    assert_string_equal(conn->ending, "too many lines");
    assert_in_range(lines, 200, 4000);
    assert_null(stratum_server_open(server, "10.0.0.1", now));
    assert_non_null(stratum_server_open(server, "10.0.0.2", now));
    now += 61 * SECOND;
    assert_non_null(stratum_server_open(server, "10.0.0.1", now));
}

static void a_fast_miner_is_sent_back_not_banned(void **state)
{
    char text[256];
    (void)state;
    set_work(1, 1);
    struct stratum_conn *conn = enter_v1("10.0.0.1");
    unsigned busy = 0;
    for (unsigned i = 0; i < 1000; i++) {
        size_t count;
        snprintf(text, sizeof text,
                 "{\"id\":%u,\"method\":\"mining.submit\",\"params\":[\"test\",\"8\",\"%x\"]}", i,
                 i);
        busy += strstr(tell(conn, text), "Too many shares at once") != NULL;
        judge(0, &count);
        now += 200;
    }
    assert_null(conn->ending);
    assert_in_range(busy, 500, 999);
    assert_int_equal(server->stats.rejected, 0);
    now += 10 * SECOND; /* and later it may speak again */
    assert_null(strstr(tell(conn, "{\"id\":2,\"method\":\"mining.submit\",\"params\":[\"test\","
                                  "\"8\",\"ffff\"]}"),
                       "Too many"));
}

static void bad_shares_ban_and_good_ones_make_up_for_some(void **state)
{
    char text[256];
    size_t count;
    (void)state;
    set_work(1, 1);
    struct stratum_conn *conn = enter_v1("10.0.0.1");
    for (unsigned i = 0; i < 200 && conn->ending == NULL; i++) {
        snprintf(text, sizeof text,
                 "{\"id\":1,\"method\":\"mining.submit\",\"params\":[\"test\",\"8\",\"%x\"]}", i);
        tell(conn, text);
        judge(i % 2 == 0 ? 0 : 0xff, &count);
        heard(conn);
        now += SECOND / 10;
    }
    assert_null(conn->ending); /* every second one was good */
    for (unsigned i = 200; i < 600 && conn->ending == NULL; i++) {
        snprintf(text, sizeof text,
                 "{\"id\":1,\"method\":\"mining.submit\",\"params\":[\"test\",\"8\",\"%x\"]}", i);
        tell(conn, text);
        judge(0xff, &count);
        heard(conn);
        now += SECOND / 10;
    }
    assert_string_equal(conn->ending, "too many bad shares");
    assert_null(stratum_server_open(server, "10.0.0.1", now));
}

static void silence_and_no_login_end_a_connection(void **state)
{
    (void)state;
    struct stratum_conn *mute = enter("10.0.0.1");
    struct stratum_conn *idle = enter_classic("10.0.0.2");
    now += 29 * SECOND;
    stratum_server_tick(server, now);
    assert_null(mute->ending);
    now += 2 * SECOND;
    stratum_server_tick(server, now);
    assert_string_equal(mute->ending, "it did not log in");
    assert_null(idle->ending);
    now += 600 * SECOND;
    stratum_server_tick(server, now);
    assert_string_equal(idle->ending, "it was silent");
}

static void a_wrong_password_is_told_and_counted(void **state)
{
    (void)state;
    memcpy(server->config.password, "secret", 7);
    struct stratum_conn *conn = enter("10.0.0.1");
    const char *login = "{\"id\":1,\"method\":\"eth_submitLogin\",\"params\":[\"u\",\"wrong\"]}";
    for (int i = 0; i < STRATUM_ERRORS_MAX; i++) {
        assert_null(conn->ending);
        assert_non_null(strstr(tell(conn, login), "Wrong password"));
    }
    assert_non_null(conn->ending);
    conn = enter("10.0.0.1");
    assert_non_null(strstr(
        tell(conn, "{\"id\":1,\"method\":\"eth_submitLogin\",\"params\":[\"u\",\"secret\"]}"),
        "true"));
}

static void one_nonce_counts_once_for_all_classic_miners(void **state)
{
    char text[512];
    size_t count;
    (void)state;
    set_work(1, 0x55);
    struct stratum_conn *first = enter_classic("10.0.0.1"), *second = enter_classic("10.0.0.2");
    tell(first, "{\"id\":1,\"method\":\"eth_getWork\",\"params\":[]}");
    tell(second, "{\"id\":1,\"method\":\"eth_getWork\",\"params\":[]}");
    static const char *const nonces[] = {"0x0", "0xffffffffffffffff", "0x8000000000000000"};
    for (size_t i = 0; i < RR_COUNT(nonces); i++) {
        snprintf(text, sizeof text,
                 "{\"id\":2,\"method\":\"eth_submitWork\",\"params\":[\"%s\",\"0x%s\"]}", nonces[i],
                 "5555555555555555555555555555555555555555555555555555555555555555");
        assert_string_equal(tell(first, text), "");
        assert_non_null(strstr(tell(second, text), "Duplicate"));
    }
    judge(0, &count);
    assert_int_equal(count, RR_COUNT(nonces));
}

static void share_difficulty_follows_the_miner(void **state)
{
    char text[256];
    size_t count;
    (void)state;
    set_work(1, 1);
    struct stratum_conn *conn = enter_v1("10.0.0.1");
    /* 100 000 hashes/s: a share of 1000 each 10 ms, wanted is one of 1 000 000 each 10 s */
    uint64_t difficulty = conn->difficulty, rate = 100000;
    unsigned serial = 0;
    for (uint64_t until = now + 300 * SECOND; now < until;) {
        uint32_t job = server->job_number;
        uint64_t told = conn->jobs[job % STRATUM_JOBS_KEPT]
                            .difficulty[conn->jobs[job % STRATUM_JOBS_KEPT].variants - 1];
        now += told * SECOND / rate;
        snprintf(text, sizeof text,
                 "{\"id\":1,\"method\":\"mining.submit\",\"params\":[\"test\",\"%x\",\"%x\"]}",
                 job << STRATUM_VARIANT_BITS | (conn->jobs[job % STRATUM_JOBS_KEPT].variants - 1),
                 ++serial);
        tell(conn, text);
        judge(0, &count);
        stratum_server_tick(server, now);
        heard(conn);
        difficulty = conn->difficulty;
    }
    assert_in_range(difficulty, 700000, 1400000);
    assert_true(server->stats.accepted < 300); /* not the 30 000 of the start's difficulty */
    assert_in_range(server->stats.hashes, 20000000, 40000000);
    struct rr_stratum_worker worker;
    stratum_server_workers(server, &worker, 1, now);
    assert_in_range(worker.rate, 50000, 200000);
    for (int i = 0; i < 100; i++) { /* then it stops: down to what our checks are worth */
        now += 61 * SECOND;
        conn->heard_us = now;
        stratum_server_tick(server, now);
    }
    assert_int_equal(conn->difficulty, 1);
}

static void a_share_that_solves_the_block_is_told_apart(void **state)
{
    struct stratum_share share = {.block_difficulty = rr_u256_of(1000000)};
    (void)state;
    rr_u256_to_be(share.check.final_be, rr_hash_boundary(share.block_difficulty));
    assert_true(stratum_share_solves(&share));
    share.failed = true;
    assert_false(stratum_share_solves(&share));
    share.failed = false;
    rr_u256_to_be(share.check.final_be,
                  rr_u256_add(rr_hash_boundary(share.block_difficulty), rr_u256_of(1), NULL));
    assert_false(stratum_share_solves(&share));
}

static void a_verdict_on_a_gone_connection_counts_for_its_worker(void **state)
{
    struct stratum_share share;
    (void)state;
    set_work(1, 1);
    struct stratum_conn *conn = enter_v1("10.0.0.1");
    tell(conn, "{\"id\":1,\"method\":\"mining.submit\",\"params\":[\"test\",\"8\",\"1\"]}");
    assert_int_equal(stratum_server_take(server, &share, 1), 1);
    stratum_server_drop(server, conn);
    memset(share.check.final_be, 0, 32);
    share.block = true;
    stratum_server_judge(server, &share, 1, now);
    assert_int_equal(server->stats.accepted, 1);
    assert_int_equal(server->stats.blocks, 1);
}

/* ---- what strangers send ----------------------------------------------------------------- */

static const char hello[] =
    "{\"id\":0,\"method\":\"mining.hello\",\"params\":{\"agent\":\"a\",\"host\":\"h\",\"port\":"
    "\"4d2\",\"proto\":\"EthereumStratum/2.0.0\"}}";
static const char *const good_lines[] = {
    hello, "{\"id\":1,\"method\":\"mining.subscribe\"}",
    "{\"id\":2,\"method\":\"mining.authorize\",\"params\":[\"acc.Machine\",\"password\"]}",
    "{\"id\":31,\"method\":\"mining.submit\",\"params\":[\"8\",\"68765fccd712\",\"w-0\"]}",
    "{\"id\":16,\"method\":\"mining.hashrate\",\"params\":[\"500000\",\"w-0\"]}"};

/* A session with the byte at `at` of all its lines changed, or cut off there; must not break. */
static void run_spoilt(size_t at, int spoil)
{
    struct stratum_conn *conn = stratum_server_open(server, "10.0.0.9", now);
    size_t seen = 0;
    assert_non_null(conn);
    for (size_t i = 0; i < RR_COUNT(good_lines); i++) {
        char line[256];
        size_t len = (size_t)snprintf(line, sizeof line, "%s\n", good_lines[i]);
        if (at >= seen && at < seen + len) {
            if (spoil < 0) {
                stratum_server_input(server, conn, rr_slice_of(line, at - seen), now);
                break;
            }
            line[at - seen] = (char)(line[at - seen] ^ spoil);
        }
        stratum_server_input(server, conn, rr_slice_of(line, len), now);
        seen += len;
    }
    stratum_server_drop(server, conn);
    server->shares_count = 0;
    memset(server->bans, 0, sizeof server->bans);
}

static void garbage_at_every_byte_and_every_cut_do_no_harm(void **state)
{
    size_t len = 0;
    (void)state;
    for (size_t i = 0; i < RR_COUNT(good_lines); i++) {
        len += strlen(good_lines[i]) + 1;
    }
    for (size_t at = 0; at < len; at++) {
        set_work(1, (uint8_t)at);
        run_spoilt(at, -1);
        for (int bit = 1; bit < 256; bit <<= 1) {
            run_spoilt(at, bit);
        }
    }
}

static void params_of_every_kind_are_refused_or_taken(void **state)
{
    static const char *const methods[] = {
        "mining.hello",      "mining.subscribe", "mining.authorize", "mining.submit",
        "mining.hashrate",   "mining.noop",      "mining.bye",       "mining.extranonce.subscribe",
        "eth_submitLogin",   "eth_login",        "eth_getWork",      "eth_submitWork",
        "eth_submitHashrate"};
    static const char *const params[] = {"null",
                                         "0",
                                         "-1.5e300",
                                         "true",
                                         "\"x\"",
                                         "[]",
                                         "{}",
                                         "[[[[]]]]",
                                         "[null,[]]",
                                         "[1,2,3]",
                                         "[{},{}]",
                                         "[\"\",\"\",\"\",\"\",\"\"]",
                                         "[\"u\",\"p\",\"x\",\"y\",\"z\"]"};
    static const char *const ids[] = {"1", "null", "\"s\"", "[]", "1.5", "-1"};
    static const char *const firsts[] = {
        "{\"id\":0,\"method\":\"mining.hello\",\"params\":{\"proto\":\"EthereumStratum/2.0.0\"}}",
        "{\"id\":1,\"method\":\"mining.subscribe\",\"params\":[\"m\",\"EthereumStratum/1.0.0\"]}",
        "{\"id\":1,\"method\":\"mining.subscribe\",\"params\":[]}",
        "{\"id\":1,\"method\":\"eth_submitLogin\",\"params\":[\"u\"]}", ""};
    char line[256];
    (void)state;
    set_work(1, 1);
    for (size_t f = 0; f < RR_COUNT(firsts); f++) {
        for (size_t m = 0; m < RR_COUNT(methods); m++) {
            for (size_t p = 0; p < RR_COUNT(params); p++) {
                struct stratum_conn *conn = enter("10.0.0.1");
                tell(conn, firsts[f]);
                snprintf(line, sizeof line, "{\"id\":%s,\"method\":\"%s\",\"params\":%s}",
                         ids[(m + p) % RR_COUNT(ids)], methods[m], params[p]);
                tell(conn, line);
                stratum_server_drop(server, conn);
                server->shares_count = 0;
            }
        }
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_classic_session),
        TEST(a_session_of_1_0_0),
        TEST(a_session_of_2_0_0),
        TEST(a_plain_session_as_the_npm_client_speaks),
        TEST(a_session_of_another_version_is_sent_away),
        TEST(segments_never_overlap),
        TEST(a_nonce_of_another_segment_is_no_share),
        TEST(one_address_takes_at_most_half_of_the_places),
        TEST(a_flood_of_lines_ends_and_bans_for_a_time),
        TEST(a_fast_miner_is_sent_back_not_banned),
        TEST(bad_shares_ban_and_good_ones_make_up_for_some),
        TEST(silence_and_no_login_end_a_connection),
        TEST(a_wrong_password_is_told_and_counted),
        TEST(one_nonce_counts_once_for_all_classic_miners),
        TEST(share_difficulty_follows_the_miner),
        TEST(a_share_that_solves_the_block_is_told_apart),
        TEST(a_verdict_on_a_gone_connection_counts_for_its_worker),
        TEST(garbage_at_every_byte_and_every_cut_do_no_harm),
        TEST(params_of_every_kind_are_refused_or_taken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
